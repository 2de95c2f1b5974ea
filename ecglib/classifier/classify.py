"""From a WFDB record to the probabilities of an exported model: leads by name, any unit of voltage, any rate."""

import math
import warnings
from fractions import Fraction
from pathlib import Path

import numpy as np
from scipy import signal

from ecglib.classifier import onnx
from ecglib.classifier.onnx import Contract
from ecglib.classifier.training import probabilities
from ecglib.core.errors import EcglibError

MILLIVOLTS = {"mV": 1.0, "uV": 1e-3, "V": 1e3}
# mV, standard deviation of a lead: no body surface ECG varies by so much or so little. Microvolts taken for millivolts
# do the one, millivolts taken for microvolts or a lead that is off the other; PTB-XL's quietest lead has 0.026.
PLAUSIBLE = (0.005, 20.0)


def read_record(path: Path, contract: Contract, start: float | None = None) -> np.ndarray:
    """A WFDB record, named with or without `.hea` or `.dat`, as a model expects it: (1, L, T) float32 millivolts.

    `start` is the second at which the model's window begins; a record that is longer than the window needs it.

    Raises:
        EcglibError: the record is missing, damaged, too short, too long without `start`, lacks a lead, holds NaN, is in
            no unit of voltage, has no rate, or its numbers cannot be an ECG in that unit.
    """
    import wfdb  # here: training runs where wfdb is absent

    name = path.with_suffix("") if path.suffix in (".hea", ".dat") else path
    _check_header(name)
    try:
        with warnings.catch_warnings():
            warnings.simplefilter("ignore", DeprecationWarning)  # wfdb under pandas 3
            record = wfdb.rdrecord(str(name))
    except FileNotFoundError as error:
        raise EcglibError(f"There is no record {name}: {error.filename} is missing.") from error
    except Exception as error:  # wfdb raises whatever its parsing runs into
        raise EcglibError(f"Record {name} cannot be read ({error}): is it a complete WFDB record?") from error
    if not 0 < record.fs < math.inf:
        raise EcglibError(f"The header of record {name} gives a rate of {record.fs:g} Hz: write the true one there.")
    rows = _positions([signal or "without a name" for signal in record.sig_name or []], contract.leads, name)
    x = record.p_signal.T[rows] * np.array([_factor(record.units[row], name) for row in rows])[:, None]
    x = _window(x, record.fs, contract.samples / contract.rate, start, name)
    for lead, values in zip(contract.leads, x, strict=True):
        if not np.isfinite(values).all():
            raise EcglibError(f"Lead {lead} of {name} has missing samples: choose another part of the record.")
        if not PLAUSIBLE[0] <= values.std() <= PLAUSIBLE[1]:
            raise EcglibError(
                f"Lead {lead} of {name} varies by {values.std():,.3g} mV: is the header's unit right, is the lead on?"
            )
    ratio = Fraction(contract.rate / record.fs).limit_denominator(10_000)
    if ratio != 1:
        x = signal.resample_poly(x, ratio.numerator, ratio.denominator, axis=1, padtype="line")
    return x[None, :, : contract.samples].astype(np.float32)


def classify(path: Path, model: Path, start: float | None = None) -> dict[str, tuple[float, bool]]:
    """Label -> its probability, and whether it reaches the label's threshold.

    Raises:
        EcglibError: see `read_record`, and `onnx.read_contract`.
    """
    contract = onnx.read_contract(model)
    logits = onnx.run(onnx.open_model(model), read_record(path, contract, start))
    found = probabilities(logits)[0]
    return {
        label: (float(value), bool(value >= threshold))
        for label, value, threshold in zip(contract.labels, found, contract.thresholds, strict=True)
    }


def _check_header(name: Path) -> None:
    """WFDB headers are ASCII, and wfdb drops what is not: µV would silently become V."""
    header = name.with_name(f"{name.name}.hea")
    try:
        lines = header.read_bytes().splitlines()
    except OSError as error:
        raise EcglibError(f"There is no record {name}: {header} cannot be read ({error.strerror}).") from error
    if any(not line.isascii() for line in lines if not line.startswith(b"#")):
        raise EcglibError(
            f"The header of record {name} is not plain ASCII: write uV for µV, and names without accents."
        )


def _positions(names: list[str], leads: tuple[str, ...], record: Path) -> list[int]:
    there = {name.casefold(): position for position, name in enumerate(names)}
    missing = [lead for lead in leads if lead.casefold() not in there]
    if missing:
        raise EcglibError(
            f"Record {record} lacks lead {', '.join(missing)} (it has {', '.join(names) or 'none'}): the model needs "
            f"{', '.join(leads)}."
        )
    return [there[lead.casefold()] for lead in leads]


def _factor(unit: str, record: Path) -> float:
    if unit not in MILLIVOLTS:
        raise EcglibError(f"Record {record} is in {unit!r}, not in a unit of voltage ({', '.join(MILLIVOLTS)}).")
    return MILLIVOLTS[unit]


def _window(x: np.ndarray, rate: float, seconds: float, start: float | None, record: Path) -> np.ndarray:
    if start is not None and not np.isfinite(start):
        raise EcglibError(f"--start {start} is no time: give seconds from the beginning of the record.")
    lasts, first = x.shape[1] / rate, round((start or 0) * rate)
    needed = math.ceil(round(seconds * rate, 6))  # at an odd rate one sample too many, rather than one too few
    if first < 0 or first + needed > x.shape[1]:
        where = "" if start is None else f" from second {start:g} on"
        raise EcglibError(f"Record {record} lasts {lasts:g} s: the model needs {seconds:g} s{where}.")
    if start is None and x.shape[1] > needed:
        raise EcglibError(
            f"Record {record} lasts {lasts:g} s, the model takes {seconds:g} s: choose them with --start SECONDS."
        )
    return x[:, first : first + needed]
