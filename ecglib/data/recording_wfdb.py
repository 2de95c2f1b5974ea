"""WFDB records of any kind as recordings: several samples a frame, segments and gaps included."""

import warnings
from collections.abc import Sequence
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Any

import numpy as np

from ecglib.core.errors import EcglibError, EcglibWarning
from ecglib.core.extras import need
from ecglib.data.recording import PREFIX, Recording, factor_of
from ecglib.data.wfdb_files import END_OF_ANNOTATIONS
from ecglib.data.wfdb_header import FORMATS, Header, Lead, read_header, wrong_checksums

# Of `wfdb_header.FORMATS`; the smallest digital value stands for a missing sample.
BITS = {"80": 8, "508": 8, "310": 10, "311": 10, "212": 12, "16": 16, "61": 16, "160": 16, "516": 16} | {
    "24": 24, "524": 24, "32": 32
}  # fmt: skip
BLOCK = 200_000  # samples of each lead at once
PADDING = 512  # bytes that a file may have behind its samples
LONGEST = 366 * 24 * 3600  # s


@dataclass(frozen=True)
class WfdbRecording(Recording):
    """A WFDB record of one part."""

    path: Path
    header: Header

    def _read(self, first: int, stop: int) -> np.ndarray:
        factors = np.array([[factor_of(lead.unit, lead.name, self.name)] for lead in self._leads])
        rows = []
        digital, zeros = self._digital(first, stop)
        for one, zero, lead in zip(digital, zeros, self._leads, strict=True):
            missing = one == -(2 ** (BITS[lead.format] - 1))
            rows.append(np.where(missing, np.nan, (one - zero) / lead.gain))
        return np.array(rows) * factors

    @property
    def _leads(self) -> tuple[Lead, ...]:
        return tuple(self.header.leads[row] for row in self.chosen)

    def _digital(self, first: int, stop: int, **how: Any) -> tuple[list[np.ndarray], list[int]]:
        """The stored integers of each lead, and which of them is 0 mV."""
        frame = self._leads[0].frame
        begin, end = first // frame, -(-stop // frame)
        found = self._rdrecord(begin, end, channels=list(self.chosen), physical=False, smooth_frames=False, **how)
        part = slice(first - begin * frame, stop - begin * frame)
        return [np.asarray(one)[part] for one in found.e_d_signal], found.baseline

    def _rdrecord(self, first: int, stop: int, **how: Any) -> Any:
        import wfdb

        try:
            with warnings.catch_warnings():
                warnings.simplefilter("ignore", DeprecationWarning)  # wfdb under pandas 3
                return wfdb.rdrecord(str(self.path), sampfrom=first, sampto=stop, **how)
        except Exception as error:  # wfdb raises whatever its parsing runs into
            raise EcglibError(f"{self.title} cannot be read ({error}): is it a complete WFDB record?") from error

    def compare_checksums(self) -> None:
        """See `Recording`."""
        sums = np.zeros(len(self.leads), dtype=np.int64)
        for first in range(0, self.samples, BLOCK):
            # As they are stored: a skew, which moves a lead, is left alone.
            digital, _ = self._digital(first, min(first + BLOCK, self.samples), ignore_skew=True)
            sums += [int(one.sum(dtype=np.int64)) for one in digital]
        if wrong := wrong_checksums(replace(self.header, leads=self._leads), sums.tolist()):
            warnings.warn(
                f"Lead {', '.join(wrong)} of {self.name} does not have the checksum that its header gives: is the file "
                "damaged?",
                EcglibWarning,
                stacklevel=2,
            )


@dataclass(frozen=True)
class SegmentedRecording(Recording):
    """A WFDB record of several parts with gaps between them."""

    parts: tuple[tuple[int, int, Recording | None], ...]  # first sample, the one after the last, None for a gap

    def _read(self, first: int, stop: int) -> np.ndarray:
        found = np.full((len(self.leads), stop - first), np.nan)
        for begin, end, part in self.parts:
            low, high = max(first, begin), min(stop, end)
            if part is None or low >= high:
                continue
            there = [row for row, lead in enumerate(self.leads) if lead in part.leads]
            if there:  # a lead may be off in a segment
                chosen = part.choose([self.leads[row] for row in there])
                found[there, low - first : high - first] = chosen.read(low - begin, high - begin)
        return found

    def compare_checksums(self) -> None:
        """See `Recording`."""
        for _, _, part in self.parts:
            if part is not None:
                part.compare_checksums()


def open_wfdb(path: Path) -> Recording:
    """A WFDB record, named with or without `.hea` or `.dat`.

    Raises:
        EcglibError: it is missing, or its header leaves something to be guessed (see `wfdb_header`).
    """
    need("wfdb", "data")
    if path.suffix in (".hea", ".dat"):
        path = path.with_suffix("")
    if not path.name:
        raise EcglibError("There is no record without a name: give the path of its header, without .hea.")
    name = f"record {path}"
    if path.is_dir() and not path.with_name(f"{path.name}.hea").exists():
        raise EcglibError(f"{path} is a folder: give one recording in it.")
    header = read_header(path, name)
    if header.segments:
        return _open_segments(path, name, header)
    if header.length is None or header.length < 1:
        raise EcglibError(f"The header of {name} does not say how many samples it has: write their number there.")
    if not header.leads:
        raise EcglibError(f"The header of {name} describes no signal.")
    for file in {lead.file for lead in header.leads}:
        if Path(file).name != file or not path.with_name(file).is_file():  # reading a pipe would wait for ever
            raise EcglibError(f"The header of {name} names {file}, which is not there, or is no plain file.")
        _compare_size(path.with_name(file), [lead for lead in header.leads if lead.file == file], header.length, name)
    leads = tuple(PREFIX.sub("", lead.name) for lead in header.leads)
    rates = tuple(header.frames * lead.frame for lead in header.leads)
    lengths = tuple(header.length * lead.frame for lead in header.leads)
    return WfdbRecording(name, leads, rates, tuple(range(len(leads))), lengths, path, header)


def _compare_size(file: Path, leads: Sequence[Lead], frames: int, record: str) -> None:
    """Refuse a file with far more samples than its header says: then that has lost a signal, or most of its length."""
    size = FORMATS[leads[0].format]
    if size is None:
        return
    expected = leads[0].offset + frames * sum(lead.frame for lead in leads) * size
    if file.stat().st_size > expected + PADDING:
        raise EcglibError(
            f"{file.name} has {file.stat().st_size:,} bytes, and {expected:,.0f} by the header of {record}: does that "
            "lack a signal, or say too short a length?"
        )


def read_beats(path: Path, annotator: str) -> tuple[np.ndarray, np.ndarray] | None:
    """Times (A,) in s and symbols (A,) of all annotations of a WFDB record; None if it has no such file.

    Raises:
        EcglibError: the annotations cannot be read, or are out of order.
    """
    import wfdb

    if not annotator.isalnum():
        raise EcglibError(f"{annotator!r} is no suffix of an annotation file, such as atr.")
    if path.suffix in (".hea", ".dat"):
        path = path.with_suffix("")
    file = path.with_name(f"{path.name}.{annotator}")
    if not file.exists():
        return None
    if file.is_file() and not file.read_bytes().endswith(END_OF_ANNOTATIONS):
        raise EcglibError(f"The annotations {file} break off: they have no end mark. Copy the file again.")
    try:
        with warnings.catch_warnings():
            warnings.simplefilter("ignore", DeprecationWarning)  # wfdb under pandas 3
            found = wfdb.rdann(str(path), annotator)
        rate = found.fs or read_header(path, f"record {path}").frames
        times, symbols = np.asarray(found.sample, dtype=np.float64) / rate, np.asarray(found.symbol, dtype=str)
    except EcglibError:
        raise
    except Exception as error:  # wfdb lets all errors of its parsing through
        raise EcglibError(f"The annotations {file} cannot be read ({error}).") from error
    if (np.diff(times) < 0).any():
        raise EcglibError(f"The annotations {file} are out of order.")
    return times, symbols


def _open_segments(path: Path, name: str, header: Header) -> Recording:
    parts: list[tuple[int, int, Recording | None]] = []
    position, fixed = 0, header.segments[0][1] > 0  # else the first describes leads that each of the others may lack
    if sum(frames for _, frames in header.segments) > LONGEST * header.frames:
        raise EcglibError(f"The segments of {name} last longer than a year: correct their lengths.")
    for called, frames in header.segments[0 if fixed else 1 :]:
        if called != "~" and read_header(path.with_name(called), f"segment {called} of {name}").segments:
            raise EcglibError(f"Segment {called} of {name} has segments itself, which is not read.")
        part = None if called == "~" else open_wfdb(path.with_name(called))
        if part is not None and ({*part.rates} != {header.frames} or part.samples != frames):
            raise EcglibError(f"Segment {called} of {name} has another rate or length than the header says.")
        if part is not None and fixed and len(part.leads) != header.signals:
            raise EcglibError(
                f"Segment {called} of {name} has {len(part.leads)} signals, and by its header {header.signals}."
            )
        parts.append((position, position + frames, part))
        position += frames
    leads = tuple(dict.fromkeys(lead for _, _, part in parts if part is not None for lead in part.leads))
    if not leads:
        raise EcglibError(f"No segment of {name} has a signal.")
    count = len(leads)
    return SegmentedRecording(
        name, leads, (header.frames,) * count, tuple(range(count)), (position,) * count, tuple(parts)
    )
