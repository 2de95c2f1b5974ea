"""A classifier as one ONNX file that states what it expects, and the same in INT8 (report R3, section 3.2.2).

R3 quantised with `quantize_dynamic`, which leaves Conv1d alone: nothing became smaller (audit, R3 point 6). Here the
convolutions are quantised statically: weights per channel, activations by their range on training records.

Everything but `run` raises EcglibError if ONNX or ONNX Runtime is not installed, or if the disk refuses.
"""

import json
import tempfile
from collections.abc import Mapping
from dataclasses import asdict, dataclass, replace
from pathlib import Path
from typing import Any

import numpy as np
import torch
from torch import Tensor, nn

from ecglib.core.errors import EcglibError
from ecglib.core.extras import need
from ecglib.core.files import atomic_path
from ecglib.core.graph import exported, quiet
from ecglib.data.ptbxl import FS, LEADS, SAMPLES, SOURCE, SUPERCLASSES, Scaler

CONTRACT = "ecglib.contract"  # the key under which the ONNX metadata hold it


@dataclass(frozen=True)
class Contract:
    """What a model expects and what it answers; the contract travels inside the file."""

    leads: tuple[str, ...]  # names of the input's channels, in their order
    labels: tuple[str, ...] = SUPERCLASSES  # names of the outputs, in their order
    thresholds: tuple[float, ...] = (0.5,) * len(SUPERCLASSES)  # chosen on validation records by this very file
    metrics: Mapping[str, float] | None = None  # on test records, of this very file if INT8, otherwise of the run
    precision: str = "float32"  # of the convolutions: "float32" or "int8"
    source: str = ""  # run id of the training
    data: str = SOURCE  # data set and version, and how many of its records were trained on
    samples: int = SAMPLES  # length of the input
    rate: int = FS  # Hz
    unit: str = "mV"  # of the input
    mean: tuple[float, ...] = ()  # of each lead in `unit`; the model itself subtracts it
    deviation: tuple[float, ...] = ()  # of each lead in `unit`; the model itself divides by it
    output: str = "logits (batch, labels); their sigmoid is the probability of each label"


class Scaled(nn.Module):
    """A network with its per-lead scaling in front: millivolts in, logits out."""

    mean: Tensor
    deviation: Tensor

    def __init__(self, model: nn.Module, scaler: Scaler) -> None:
        super().__init__()
        self.model = model
        self.register_buffer("mean", torch.tensor(scaler.mean, dtype=torch.float32)[:, None])
        self.register_buffer("deviation", torch.tensor(scaler.deviation, dtype=torch.float32)[:, None])

    def forward(self, x: Tensor) -> Tensor:
        return self.model((x - self.mean) / self.deviation)


def export(model: nn.Module, scaler: Scaler, contract: Contract, path: Path) -> None:
    """Write a network, which expects scaled records (B, L, T), as ONNX with its scaling, for any batch size.

    The model is set to evaluation mode; the contract goes into the metadata.
    """
    example = torch.zeros(2, len(contract.leads), contract.samples)
    graph = exported(Scaled(model, scaler), example, "ecg", "logits")
    _write(need("onnx"), graph, replace(contract, mean=scaler.mean, deviation=scaler.deviation), path)


def quantise(source: Path, path: Path, records: np.ndarray, whole: bool = False) -> None:
    """Write the INT8 twin of an exported model: static, per channel, calibrated on training records (N, L, T) in mV.

    Weights use 7 of the 8 bits: processors without VNNI add pairs of products in 16 bits, which full-range weights
    overflow silently. The last linear layer stays in float: it has a thousandth of the weights and decides the ranking.
    `whole` is what a simpler recipe does (`attempts`): every layer, one scale for all its weights, all 8 bits.

    The contract keeps thresholds and metrics of the source; `relabel` gives it those that INT8 itself has.
    """
    onnx, quantization = need("onnx"), need("onnxruntime.quantization")
    shape_inference = need("onnxruntime.quantization.shape_inference")
    contract = read_contract(source)

    class Reader(quantization.CalibrationDataReader):  # type: ignore[name-defined]
        def __init__(self) -> None:
            self.batches = iter(np.array_split(records.astype(np.float32), max(1, len(records) // 32)))

        def get_next(self) -> dict[str, np.ndarray] | None:
            batch = next(self.batches, None)
            return None if batch is None else {"ecg": batch}

    with tempfile.TemporaryDirectory() as folder, quiet():
        prepared, quantised = Path(folder) / "prepared.onnx", Path(folder) / "int8.onnx"
        shape_inference.quant_pre_process(str(source), str(prepared), skip_symbolic_shape=True)
        last = [node.name for node in onnx.load(prepared).graph.node if node.op_type in ("Gemm", "MatMul")][-1:]
        quantization.quantize_static(
            str(prepared),
            str(quantised),
            Reader(),
            quant_format=quantization.QuantFormat.QDQ,
            per_channel=not whole,
            reduce_range=not whole,
            weight_type=quantization.QuantType.QInt8,
            activation_type=quantization.QuantType.QUInt8,
            nodes_to_exclude=[] if whole else last,
        )
        graph = onnx.load(quantised)
    _write(onnx, graph, replace(contract, precision="int8"), path)


def relabel(path: Path, contract: Contract) -> None:
    """Give an exported model another contract; the scaling stays, because it is in the model."""
    onnx, before = need("onnx"), read_contract(path)
    contract = replace(contract, mean=before.mean, deviation=before.deviation)
    graph = onnx.load(path)
    del graph.metadata_props[:]
    _write(onnx, graph, contract, path)


def _write(onnx: Any, graph: Any, contract: Contract, path: Path) -> None:
    # The exporter leaves a stack trace at every node; that is a third of a small model's file.
    del graph.metadata_props[:], graph.graph.metadata_props[:], graph.graph.value_info[:]
    for node in graph.graph.node:
        del node.metadata_props[:]
    graph.metadata_props.add(key=CONTRACT, value=json.dumps(asdict(contract), ensure_ascii=False))
    onnx.checker.check_model(graph)
    with atomic_path(path) as temporary:
        temporary.write_bytes(graph.SerializeToString())


def open_model(path: Path, threads: int = 0) -> Any:
    """An ONNX Runtime session on the CPU; `threads` 0 takes all.

    Raises:
        EcglibError: the file is missing or no model.
    """
    runtime = need("onnxruntime")
    options = runtime.SessionOptions()
    options.intra_op_num_threads = threads
    options.log_severity_level = 3
    try:
        return runtime.InferenceSession(str(path), options, providers=["CPUExecutionProvider"])
    except Exception as error:  # the runtime has a class of its own for every way to fail
        raise EcglibError(f"{path} is no ONNX model that can be run ({error}): export it again.") from error


def run(session: Any, x: np.ndarray) -> np.ndarray:
    """Logits (N, labels) of records x (N, L, T) in millivolts."""
    return session.run(None, {"ecg": np.ascontiguousarray(x, dtype=np.float32)})[0]


def read_contract(path: Path) -> Contract:
    """The contract of an exported model.

    Raises:
        EcglibError: the file is no model of this library.
    """
    found = open_model(path, threads=1).get_modelmeta().custom_metadata_map
    try:
        facts: dict[str, Any] = json.loads(found[CONTRACT])
        facts |= {name: tuple(facts[name]) for name in ("leads", "labels", "thresholds", "mean", "deviation")}
        return Contract(**facts)
    except (KeyError, ValueError, TypeError) as error:
        raise EcglibError(
            f"{path} does not say which leads and labels it has: use a model that 'ecglib export' wrote."
        ) from error


def lead_names(positions: tuple[int, ...]) -> tuple[str, ...]:
    """The names of the leads at positions in `LEADS`."""
    return tuple(LEADS[position] for position in positions)
