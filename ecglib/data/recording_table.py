"""Tables of numbers (CSV) as recordings: a line of lead names, then a line a sample."""

import csv
import re
import tempfile
import warnings
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np

from ecglib.core.errors import EcglibError
from ecglib.data.recording import KILOVOLT, Recording, factor_of
from ecglib.data.wfdb_header import LEAST_RATE, MOST_RATE

# Names of a column of times -> s.
TIMES = dict.fromkeys(("time", "t", "time (s)", "time [s]", "seconds", "sec", "s"), 1.0) | dict.fromkeys(
    ("time (ms)", "time [ms]", "time_ms", "ms", "milliseconds"), 1e-3
)
UNEVEN = 0.01  # of the usual step between two times, which no step may differ by more
ROUNDING = 0.001  # s: times are often rounded to milliseconds, which makes a step longer or shorter by one
ROWS = 50_000  # of a table at once
LINES = 50  # that are looked at to tell separator and decimal mark
THOUSANDS = re.compile(r"[-+]?[1-9]\d{0,2}(?:,\d{3})+")


@dataclass(frozen=True)
class TableRecording(Recording):
    """A recording in a table."""

    values: np.ndarray  # (T, L) float32 mV, in a temporary file

    def _read(self, first: int, stop: int) -> np.ndarray:
        return np.asarray(self.values[first:stop, list(self.chosen)], dtype=np.float64).T


def open_table(path: Path, rate: float | None, unit: str | None) -> Recording:
    """See `recordings.open_recording`."""
    names, times, separator, decimal = _columns(path)
    leads, units = zip(*(_name_and_unit(name) for name in names if name != times), strict=True)
    if unit is not None and any(units):
        raise EcglibError(f"{path} says units in its first line: leave --unit out.")
    units = tuple(one or unit or "mV" for one in units)
    factors = np.array([factor_of(one, lead, str(path)) for lead, one in zip(leads, units, strict=True)])
    length, clock = 0, _Clock(str(path))
    with tempfile.TemporaryFile() as file:  # the map below keeps it open
        for chunk in _chunks(path, names, separator, decimal, times is None):
            values = chunk[[name for name in names if name != times]].to_numpy(dtype=np.float64) * factors
            file.write(values.clip(-KILOVOLT, KILOVOLT).astype(np.float32).tobytes())
            length += len(values)
            if times is not None and len(values):
                clock.take(TIMES[times.casefold()] * chunk[times].to_numpy(dtype=np.float64))
        if length == 0:
            raise EcglibError(f"{path} has a line of names and no sample.")
        file.flush()
        values = np.memmap(file, np.float32, "r", shape=(length, len(leads)))
    if times is None and rate is None:
        raise EcglibError(f"{path} has no column of times (named time): say its rate with --rate HZ.")
    if times is not None and rate is not None:
        raise EcglibError(f"{path} has a column of times, from which its rate follows: leave --rate out.")
    found = clock.rate if rate is None else float(rate)
    if not LEAST_RATE <= found <= MOST_RATE:
        raise EcglibError(
            f"{path} has {found:g} samples a second: an ECG has {LEAST_RATE:g} to {MOST_RATE:,.0f}. Are its times in s?"
        )
    count = len(leads)
    return TableRecording(str(path), leads, (found,) * count, tuple(range(count)), (length,) * count, values)


def _columns(path: Path) -> tuple[list[str], str | None, str, str]:
    """Names of the columns, which of them has times, the separator, and the decimal mark."""
    try:
        with path.open(encoding="utf-8-sig", newline="") as file:
            head, *lines = (file.readline() for _ in range(LINES))
    except OSError as error:
        raise EcglibError(f"There is no table {path} that can be read ({error.strerror}).") from error
    except UnicodeDecodeError as error:
        raise EcglibError(f"{path} is no text in UTF-8 ({error}).") from error
    separator = next((mark for mark in "\t;," if mark in head), ",")
    names = [name.strip() for name in next(csv.reader([head], delimiter=separator), [])]
    if "" in names[:1] and len(names) > 1:
        raise EcglibError(f"The first column of {path} has no name (is it an index?): leave it out, or name it.")
    if not names or any(_is_number(name) or not name for name in names):
        raise EcglibError(f"The first line of {path} must name the leads, separated by commas: {head[:60]!r}.")
    if len(set(names)) < len(names):
        raise EcglibError(f"{path} has two columns of one name: {', '.join(names)}.")
    times = next((name for name in names if name.casefold() in TIMES), None)
    if len(names) == 1 and times:
        raise EcglibError(f"{path} has times and no lead.")
    cells = [cell.strip() for line in lines for cell in line.split(separator)] if separator != "," else []
    commas = [cell for cell in cells if "," in cell]
    if commas and all(THOUSANDS.fullmatch(cell) for cell in commas):
        raise EcglibError(f"{path} has numbers like {commas[0]}: a decimal comma, or thousands? Write decimal points.")
    return names, times, separator, "," if commas and not any("." in cell for cell in cells) else "."


def _is_number(text: str) -> bool:
    try:
        float(text)
    except ValueError:
        return False
    return text.casefold() not in ("nan", "inf")


def _name_and_unit(column: str) -> tuple[str, str | None]:
    match = re.fullmatch(r"(.+?)\s*[(\[](\S+)[)\]]", column)
    return (match[1], match[2]) if match else (column, None)


def _chunks(path: Path, names: list[str], separator: str, decimal: str, blank_is_a_sample: bool) -> Iterator[Any]:
    """The numbers of a table; a blank line is a sample that is missing, unless times say how long a gap lasts."""
    import pandas as pd

    row = 0
    try:
        with (
            warnings.catch_warnings(),
            pd.read_csv(
                path,
                sep=separator,
                decimal=decimal,
                encoding="utf-8-sig",
                header=0,
                names=names,
                chunksize=ROWS,
                index_col=False,
                skipinitialspace=True,
                skip_blank_lines=not blank_is_a_sample,
            ) as chunks,
        ):
            warnings.simplefilter("error", pd.errors.ParserWarning)  # it would drop what has no name
            for chunk in chunks:
                numbers = chunk.apply(pd.to_numeric, errors="coerce")
                wrong = numbers.isna() & chunk.notna()
                if wrong.to_numpy().any():
                    line, column = (int(at[0]) for at in np.nonzero(wrong.to_numpy()))
                    text = chunk.iloc[line, column]
                    raise EcglibError(
                        f"{path}, line {row + line + 2}, column {names[column]}: {str(text)[:40]!r} is no number."
                    )
                row += len(chunk)
                yield numbers
    except pd.errors.ParserWarning as error:
        raise EcglibError(f"{path} has a line with more numbers than its first line has names.") from error
    except (ValueError, UnicodeDecodeError) as error:  # pandas' own errors are ValueErrors
        raise EcglibError(f"{path} cannot be read ({str(error).strip()}).") from error


class _Clock:
    """Finds the rate of a column of times, in s, and whether it is even."""

    def __init__(self, name: str) -> None:
        self.name, self.first, self.last, self.count = name, float("nan"), float("nan"), 0
        self.steps = (float("inf"), float("-inf"))  # the shortest and the longest

    def take(self, times: np.ndarray) -> None:
        """The next times."""
        if not np.isfinite(times).all():
            raise EcglibError(f"{self.name} has a sample without a time.")
        whole = times if self.count == 0 else np.concatenate([[self.last], times])
        if self.count == 0:
            self.first = float(times[0])
        steps = np.diff(whole)
        if len(steps):
            self.steps = (min(self.steps[0], float(steps.min())), max(self.steps[1], float(steps.max())))
        self.last, self.count = float(times[-1]), self.count + len(times)

    @property
    def rate(self) -> float:
        """Hz.

        Raises:
            EcglibError: times do not rise by even steps, or are too few.
        """
        if self.count < 2:
            raise EcglibError(f"{self.name} has one sample.")
        step = (self.last - self.first) / (self.count - 1)
        low, high = self.steps
        allowed = max(UNEVEN * step, min(ROUNDING, step / 2))  # less than a whole step, which is a missing row
        if low <= 0 or max(high - step, step - low) > allowed:
            raise EcglibError(
                f"The times of {self.name} do not rise by even steps (from {low:g} to {high:g} s): does it have gaps, "
                "or are they not in seconds?"
            )
        return round(1 / step, 3)
