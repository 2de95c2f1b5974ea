"""A recording of one's own, read part by part: any length, any rate, in millivolts.

`recordings.open_recording` opens one, `Recording.read` gives a part of it, and `Recording.resampled` the same at
another rate. A day needs no more memory than the part that is read.
"""

import re
from abc import ABC, abstractmethod
from collections.abc import Sequence
from dataclasses import dataclass, replace
from fractions import Fraction

import numpy as np
from scipy import signal

from ecglib.core.errors import EcglibError

KILOVOLT = 1e6  # mV
MICRO = "uµμ"  # the letter, the micro sign and the Greek letter
PREFIX = re.compile(r"^(?:ecg|ekg|lead)[\s_:-]+(?=\S)", re.IGNORECASE)  # before a lead's name


def millivolts(unit: str) -> float | None:
    """How many millivolts a unit of voltage is, None if it is none; case only matters where it decides.

    "MV" may be a megavolt or a slip for a millivolt, so it is no unit here.
    """
    prefix, volt = unit[:-1], unit[-1:]
    if volt not in ("V", "v"):
        return None
    if prefix == "":
        return 1e3
    if prefix == "m":
        return 1.0
    if prefix in MICRO or prefix == "U":
        return 1e-3
    return 1e-6 if prefix in "nN" else None


def factor_of(unit: str, lead: str, recording: str) -> float:
    """How many millivolts a lead's unit is.

    Raises:
        EcglibError: it is no unit of voltage.
    """
    factor = millivolts(unit)
    if factor is None:
        raise EcglibError(f"Lead {lead} of {recording} is in {unit!r}, not in a unit of voltage (mV, uV, nV, V).")
    return factor


@dataclass(frozen=True)
class Recording(ABC):
    """Leads of one rate, or of several before `choose`."""

    name: str  # as a reader called it
    leads: tuple[str, ...]
    rates: tuple[float, ...]  # Hz, of each lead
    chosen: tuple[int, ...]  # positions of the leads in the file
    lengths: tuple[int, ...]  # samples of each lead

    @property
    def rate(self) -> float:
        """Hz of all leads; only of a recording whose leads have one rate, which `choose` sees to."""
        return self.rates[0]

    @property
    def samples(self) -> int:
        """Samples of each lead, likewise."""
        return self.lengths[0]

    @property
    def title(self) -> str:
        """The name at the beginning of a sentence."""
        return self.name[0].upper() + self.name[1:] if self.name.startswith("record ") else self.name

    @property
    def seconds(self) -> float:
        """How long it lasts."""
        return self.samples / self.rate

    def choose(self, names: Sequence[str] | None = None) -> "Recording":
        """The recording with the leads called `names` alone, in that order and in any case; None is all leads.

        Raises:
            EcglibError: it lacks one, has one twice, or they have different rates.
        """
        have = [lead.casefold() for lead in self.leads]
        wanted = [name.casefold() for name in (self.leads if names is None else names)]
        there = ", ".join(lead or "one without a name" for lead in self.leads) or "none"
        if lacking := [name for name, key in zip(names or (), wanted, strict=False) if key not in have]:
            raise EcglibError(f"{self.title} lacks lead {', '.join(lacking)}: it has {there}.")
        if names is not None and (named := [name for name in wanted if wanted.count(name) > 1]):
            raise EcglibError(f"Lead {self.leads[have.index(named[0])]} was named twice: name it once.")
        if twice := [name for name in wanted if have.count(name) > 1]:
            lead = self.leads[have.index(twice[0])]
            raise EcglibError(f"{self.title} has lead {lead} more than once ({there}): which one is meant?")
        rows = [have.index(name) for name in wanted]
        found = self.only(rows)
        if len({*found.rates}) > 1:
            rates = ", ".join(f"{lead} {rate:g} Hz" for lead, rate in zip(found.leads, found.rates, strict=True))
            raise EcglibError(f"The leads of {self.name} have different rates ({rates}): choose leads of one rate.")
        return found

    def only(self, rows: Sequence[int]) -> "Recording":
        """The recording with the leads at these positions alone."""
        return replace(
            self,
            leads=tuple(self.leads[row] for row in rows),
            rates=tuple(self.rates[row] for row in rows),
            chosen=tuple(self.chosen[row] for row in rows),
            lengths=tuple(self.lengths[row] for row in rows),
        )

    def read(self, first: int, stop: int) -> np.ndarray:
        """Samples first to stop (exclusive) of the leads: (L, T) float64 mV, NaN where samples are missing.

        What no body can have, more than a kilovolt, counts as missing.

        Raises:
            EcglibError: the part is not inside, or the file is damaged there.
        """
        if not 0 <= first < stop <= self.samples:
            raise EcglibError(f"{self.title} has {self.samples:,} samples: {first:,} to {stop:,} are not among them.")
        x = self._read(first, stop)
        return np.where(np.abs(x) < KILOVOLT, x, np.nan)

    @abstractmethod
    def _read(self, first: int, stop: int) -> np.ndarray: ...

    def compare_checksums(self) -> None:
        """Read everything once and warn of leads that do not have the checksum of the header, where there is one."""
        return

    def resampled(self, rate: float, first: int, stop: int) -> np.ndarray:
        """Samples first to stop of the recording as if it had `rate` Hz: (L, T) float64 mV, fewer at its end.

        It is cut from a longer part, so that the pieces of a recording fit each other.
        """
        ratio = Fraction(rate / self.rate).limit_denominator(10_000)
        up, down = ratio.numerator, ratio.denominator
        if up == down:
            return self.read(first, min(stop, self.samples))
        margin = 20 * max(up, down) // up + 1  # twice the reach of SciPy's filter
        begin = max(0, first * down // up - margin) // down * down  # a multiple of `down` is a sample of both
        end = min(self.samples, -(-stop * down // up) + margin)
        x, offset = self.read(begin, end), begin * up // down
        missing = ~np.isfinite(x)
        y = signal.resample_poly(_filled(x, missing), up, down, axis=1, padtype="line")
        if missing.any():
            nearest = np.minimum(np.round(np.arange(y.shape[1]) * down / up).astype(int), x.shape[1] - 1)
            y[missing[:, nearest]] = np.nan
        return y[:, first - offset : stop - offset]

    def length_at(self, rate: float) -> int:
        """How many samples the recording has at another rate."""
        ratio = Fraction(rate / self.rate).limit_denominator(10_000)
        return -(-self.samples * ratio.numerator // ratio.denominator)


def _filled(x: np.ndarray, missing: np.ndarray) -> np.ndarray:
    """Leads (L, T) with a straight line across what is missing, and 0 where all is."""
    filled, ticks = x.copy(), np.arange(x.shape[1])
    for lead, gaps in zip(filled, missing, strict=True):
        lead[gaps] = np.interp(ticks[gaps], ticks[~gaps], lead[~gaps]) if not gaps.all() else 0
    return filled
