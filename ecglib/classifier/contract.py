"""What an exported model expects and answers, and running it: nothing here needs torch."""

import json
from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np

from ecglib.core.errors import EcglibError
from ecglib.core.extras import need
from ecglib.data.ptbxl import FS, SAMPLES, SOURCE, SUPERCLASSES
from ecglib.data.wfdb_header import MOST_RATE

COLUMNS = ("recording", "start", "given", "remark")  # of a table of answers, beside those of the labels
MOST_SAMPLES = 1_000_000
CONTRACT = "ecglib.contract"  # the key under which the ONNX metadata hold it


@dataclass(frozen=True)
class Contract:
    """What a model expects and what it answers; the contract travels inside the file."""

    leads: tuple[str, ...]  # names of the input's channels, in their order
    labels: tuple[str, ...] = SUPERCLASSES  # names of the outputs, in their order
    thresholds: tuple[float, ...] = (0.5,) * len(SUPERCLASSES)  # chosen on validation records, see `metrics`
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
    try:
        logits: np.ndarray = session.run(None, {"ecg": np.ascontiguousarray(x, dtype=np.float32)})[0]
    except Exception as error:  # the runtime has a class of its own for every way to fail
        raise EcglibError(f"The model does not run ({str(error).splitlines()[0][:200]}): export it again.") from error
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
    except (KeyError, ValueError, TypeError, RecursionError) as error:
        raise EcglibError(
            f"{path} does not say which leads and labels it has: use a model that 'ecglib export' wrote."
        ) from error
    inputs, outputs = (
        [(one.name, one.shape[1:]) for one in of] for of in (session.get_inputs(), session.get_outputs())
    )
    batches = [one.shape[0] for one in (*session.get_inputs(), *session.get_outputs())]
    types = {one.type for one in (*session.get_inputs(), *session.get_outputs())}
    fits = (
        _makes_sense(contract)
        and inputs == [("ecg", [len(contract.leads), contract.samples])]
        and [shape for _, shape in outputs] == [[len(contract.labels)]]
        and not any(isinstance(batch, int) for batch in batches)
        and types == {"tensor(float)"}
    )
    if not fits:
        raise EcglibError(f"The contract of {path} does not fit its network: export it again.")
    return contract


def _makes_sense(contract: Contract) -> bool:
    """Whether leads and labels are names, all different, and every number is one that `export` could have written."""
    names = (contract.leads, contract.labels)
    if not all(isinstance(name, str) and name for name in sum(names, ())):
        return False
    numbers = (contract.rate, contract.samples, *contract.thresholds)
    if not all(type(number) in (int, float) for number in numbers):
        return False
    return (
        all(len({name.casefold() for name in of}) == len(of) for of in names)
        and not {label.casefold() for label in contract.labels} & set(COLUMNS)
        and len(contract.thresholds) == len(contract.labels)
        and all(0 <= threshold <= 1 for threshold in contract.thresholds)
        and type(contract.samples) is int
        and 0 < contract.samples <= MOST_SAMPLES
        and 0 < contract.rate <= MOST_RATE
        and contract.unit == "mV"
    )
