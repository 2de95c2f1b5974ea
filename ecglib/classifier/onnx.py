"""A classifier as one ONNX file that states what it expects, and the same in INT8 (report R3, section 3.2.2).

R3 quantised with `quantize_dynamic`, which leaves Conv1d alone: nothing became smaller (R3, section 4.2). Here the
convolutions are quantised statically: weights per channel, activations by their range on training records.

Everything raises EcglibError if ONNX or ONNX Runtime is not installed, or if the disk refuses.
"""

import json
import tempfile
import warnings
from collections.abc import Sequence
from dataclasses import asdict, replace
from pathlib import Path
from typing import Any

import numpy as np
import torch
from torch import Tensor, nn

from ecglib.classifier.contract import CONTRACT, Contract, read_contract
from ecglib.classifier.contract import open_model as open_model  # with `run`, what files are used by
from ecglib.classifier.contract import run as run
from ecglib.core.errors import EcglibError, EcglibWarning
from ecglib.core.extras import need
from ecglib.core.files import atomic_path
from ecglib.core.graph import exported, quiet
from ecglib.data import quality
from ecglib.data.ptbxl import LEADS, Scaler


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


def lead_names(positions: tuple[int, ...]) -> tuple[str, ...]:
    """The names of the leads at positions in `LEADS`."""
    return tuple(LEADS[position] for position in positions)
