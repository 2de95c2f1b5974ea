"""A classifier as one ONNX file that states what it expects, and the same in INT8 (report R3, section 3.2.2).

R3 quantised with `quantize_dynamic`, which leaves Conv1d alone: nothing became smaller (audit, R3 point 6). Here the
convolutions are quantised statically: weights per channel, activations by their range on training records.

Everything but `run` raises EcglibError if ONNX or ONNX Runtime is not installed, or if the disk refuses.
"""

import json
import tempfile
import warnings
from collections.abc import Mapping, Sequence
from dataclasses import asdict, dataclass, replace
from pathlib import Path
from typing import Any

import numpy as np
import torch
from torch import Tensor, nn

from ecglib.core.errors import EcglibError, EcglibWarning
from ecglib.core.extras import need
from ecglib.core.files import atomic_path
from ecglib.core.graph import exported, quiet
from ecglib.data import quality
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


def quantise(source: Path, path: Path, records: np.ndarray, whole: bool = False, anything: bool = False) -> None:
    """Write the INT8 twin of an exported model: static, per channel, calibrated on training records (N, L, T) in mV.

    Weights use 7 of the 8 bits: processors without VNNI add pairs of products in 16 bits, which full-range weights
    overflow silently. The last linear layer stays in float: it has a thousandth of the weights and decides the ranking.
    `whole` is what a simpler recipe does (`attempts`): every layer, one scale for all its weights, all 8 bits.

    The contract keeps thresholds and metrics of the source; `relabel` gives it those that INT8 itself has. Records that
    cannot be ECGs in millivolts would widen the ranges of all others; they are left out with a warning, unless
    `anything` is taken, to show what they do (`attempts`).

    Raises:
        EcglibError: a record has missing samples, or none can be an ECG.
    """
    onnx, quantization = need("onnx"), need("onnxruntime.quantization")
    shape_inference = need("onnxruntime.quantization.shape_inference")
    contract = read_contract(source)
    if not anything:
        records = _sound(records, contract.leads)

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


def _sound(records: np.ndarray, leads: Sequence[str]) -> np.ndarray:
    """The records that can be ECGs in millivolts."""
    broken = [number for number, record in enumerate(records) if not np.isfinite(record).all()]
    if broken:
        raise EcglibError(f"Calibration record {broken[0]} has missing samples: INT8 would answer NaN to everything.")
    sound = np.array([not quality.faults(record.astype(np.float64), leads) for record in records], dtype=bool)
    if not sound.any():
        raise EcglibError(f"None of {len(records)} calibration records can be an ECG: INT8 needs at least one.")
    clipped = int((np.array([quality.at_extreme(one).max() for one in records[sound]]) >= quality.EXTREME).sum())
    for count, what in ((int((~sound).sum()), "cannot be ECGs and are left out"), (clipped, "are clipped")):
        if count:
            warnings.warn(f"{count} of {len(records)} calibration records {what}.", EcglibWarning, stacklevel=3)
    return records[sound]


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
    if not path.is_file():
        raise EcglibError(f"There is no model {path}: 'ecglib export' writes one.")
    options = runtime.SessionOptions()
    options.intra_op_num_threads = threads
    options.log_severity_level = 3
    try:
        return runtime.InferenceSession(str(path), options, providers=["CPUExecutionProvider"])
    except Exception as error:  # the runtime has a class of its own for every way to fail
        reason = str(error).splitlines()[0][:200]
        raise EcglibError(f"{path} is no ONNX model that can be run ({reason}): export it again.") from error


def run(session: Any, x: np.ndarray) -> np.ndarray:
    """Logits (N, labels) of records x (N, L, T) in millivolts.

    Raises:
        EcglibError: the shape is not the model's, or a sample or an answer is not finite.
    """
    (expected,) = (one.shape[1:] for one in session.get_inputs())
    if list(x.shape[1:]) != expected:
        raise EcglibError(f"Records are {x.shape}: the model takes (N, {expected[0]}, {expected[1]}).")
    if not np.isfinite(x).all():
        raise EcglibError("Records have missing samples, for which a model has no answer.")
    logits: np.ndarray = session.run(None, {"ecg": np.ascontiguousarray(x, dtype=np.float32)})[0]
    if not np.isfinite(logits).all():
        raise EcglibError("The model's answers are not numbers: its weights are damaged; export it again.")
    return logits


def read_contract(path: Path) -> Contract:
    """The contract of an exported model.

    Raises:
        EcglibError: the file is no model of this library, or its contract does not fit it.
    """
    session = open_model(path, threads=1)
    try:
        facts: dict[str, Any] = json.loads(session.get_modelmeta().custom_metadata_map[CONTRACT])
        facts |= {name: tuple(facts[name]) for name in ("leads", "labels", "thresholds", "mean", "deviation")}
        contract = Contract(**facts)
    except (KeyError, ValueError, TypeError) as error:
        raise EcglibError(
            f"{path} does not say which leads and labels it has: use a model that 'ecglib export' wrote."
        ) from error
    inputs, outputs = (
        [(one.name, one.shape[1:]) for one in of] for of in (session.get_inputs(), session.get_outputs())
    )
    fits = (
        inputs == [("ecg", [len(contract.leads), contract.samples])]
        and [shape for _, shape in outputs] == [[len(contract.labels)]]
        and len(contract.thresholds) == len(contract.labels)
        and len({lead.casefold() for lead in contract.leads}) == len(contract.leads)
        and contract.rate > 0
        and contract.unit == "mV"
    )
    if not fits:
        raise EcglibError(f"The contract of {path} does not fit its network: export it again.")
    return contract


def lead_names(positions: tuple[int, ...]) -> tuple[str, ...]:
    """The names of the leads at positions in `LEADS`."""
    return tuple(LEADS[position] for position in positions)
