"""EDF files as recordings, read by edfio."""

import warnings
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np

from ecglib.core.errors import EcglibError
from ecglib.core.extras import need
from ecglib.data.recording import PREFIX, Recording, factor_of
from ecglib.data.wfdb_header import LEAST_RATE


@dataclass(frozen=True)
class EdfRecording(Recording):
    """A recording in an EDF file."""

    signals: tuple[Any, ...]  # edfio's

    def _read(self, first: int, stop: int) -> np.ndarray:
        parts = []
        for row in self.chosen:
            one = self.signals[row]
            try:
                values = one.get_data_slice(first / self.rate, stop / self.rate)
            except (ValueError, OSError) as error:
                raise EcglibError(f"{self.name} cannot be read ({error}): is it a complete EDF file?") from error
            parts.append(values * factor_of(one.physical_dimension.strip(), one.label, self.name))
        return np.array(parts)


def open_edf(path: Path) -> Recording:
    """The signals of an EDF or EDF+ file that are sampled often enough for an ECG.

    Raises:
        EcglibError: it is missing, damaged, has gaps, or a signal is not calibrated.
    """
    edfio = need("edfio", "data")
    if not path.is_file():
        raise EcglibError(f"There is no file {path}.")
    with path.open("rb") as file:
        first = file.read(1)
    if first in (b"", b"\xff"):
        raise EcglibError(f"{path} is {'empty' if not first else 'BDF, which is not read: export it as EDF'}.")
    try:
        with warnings.catch_warnings(record=True) as said:  # edfio says it where the header and the file differ
            warnings.simplefilter("always")
            found = edfio.read_edf(path, lazy_load_data=True, header_encoding="latin-1")
        signals, continuous = tuple(found.signals), found.is_continuous and not found.reserved.startswith("EDF+D")
        ranges = [(one.label, one.physical_range, one.digital_range) for one in signals]
        rates = tuple(float(one.sampling_frequency) for one in signals)
        lengths = tuple(round(found.duration * rate) for rate in rates)
    except Exception as error:  # edfio's parsing lets all errors through
        reason = str(error).splitlines()[0][:120] if str(error) else type(error).__name__
        raise EcglibError(f"{path} cannot be read ({reason}): is it a complete EDF file?") from error
    if said:
        reason = str(said[0].message).splitlines()[0][:120]
        raise EcglibError(f"{path} is damaged ({reason}).")
    if not continuous:
        raise EcglibError(f"{path} has gaps (EDF+D), which are not read: export it as one continuous part.")
    if not signals:
        raise EcglibError(f"{path} has no signal.")
    for label, physical, digital in ranges:
        if physical.min == physical.max or digital.min >= digital.max or not np.isfinite(physical.max - physical.min):
            raise EcglibError(f"Signal {label} of {path} is not calibrated: its range is empty.")
        if physical.min > physical.max:
            raise EcglibError(f"Signal {label} of {path} is upside down: its physical minimum is above its maximum.")
    leads = tuple(PREFIX.sub("", one.label.strip()) for one in signals)
    return _slow_leads_left_out(EdfRecording(str(path), leads, rates, tuple(range(len(leads))), lengths, signals))


def _slow_leads_left_out(found: Recording) -> Recording:
    """Without what is sampled too slowly for an ECG: EDF files have temperature and position, too."""
    rows = [row for row, rate in enumerate(found.rates) if rate >= LEAST_RATE]
    if not rows:
        raise EcglibError(f"No signal of {found.name} has {LEAST_RATE:g} samples a second, which an ECG needs.")
    return found.only(rows)
