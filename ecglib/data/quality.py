"""Is this an ECG? What a piece of a recording shows that no electrode on a body gives.

Everywhere `x` is (L, T) mV. Each limit lies between what 1,987 records of PTB-XL show and what the fault shows; the
constants say both.
"""

from collections.abc import Sequence

import numpy as np
from scipy import signal, stats

PLAUSIBLE = (0.005, 20.0)  # mV, standard deviation: 0.026 to 2.7 in PTB-XL; a wrong unit is off by a thousand
CONSTANT = 0.25  # longest stretch without a change, as a share of the window: at most 0.034 in PTB-XL
COPIES = 0.9999  # correlation of two leads: at most 0.9996 in PTB-XL, as a lead and its multiple have 1
EXTREME = 0.05  # share of a lead's samples at its largest or smallest value: at most 0.027 in PTB-XL
PEAKED = 3.6  # median kurtosis over the leads: at least 4.1 in PTB-XL, at most 3.2 for white noise of twelve leads
HEART, OF_HEART = 40.0, 0.2  # Hz, below which lies the ECG; its least share of the power, 0.9 and more in PTB-XL
BAND = (5.0, 30.0)  # Hz, where the QRS complex stands out


def constant_stretches(lead: np.ndarray) -> np.ndarray:
    """Samples of each stretch of a lead (T,) in which nothing changes, in their order; they add up to T."""
    return np.diff(np.concatenate([[-1], np.flatnonzero(np.diff(lead) != 0), [len(lead) - 1]]))


def longest_constant(x: np.ndarray) -> np.ndarray:
    """Samples of the longest stretch of each lead in which nothing changes: (L,)."""
    return np.array([int(constant_stretches(lead).max()) for lead in x])


def at_extreme(x: np.ndarray) -> np.ndarray:
    """The share of each lead's samples at its largest or at its smallest value, whichever is more: (L,)."""
    ends = (x.max(axis=1, keepdims=True), x.min(axis=1, keepdims=True))
    return np.maximum(*((x == end).mean(axis=1) for end in ends))


def faults(x: np.ndarray, leads: Sequence[str]) -> list[str]:
    """Why a window cannot be an ECG in millivolts, each as the rest of a sentence about it; [] if nothing is found."""
    missing = ~np.isfinite(x).all(axis=1)
    if missing.any():
        return [f"has missing samples in {_names(leads, missing)}"]
    found, spread = [], x.std(axis=1)
    for lead, values in zip(leads, spread, strict=True):
        if not PLAUSIBLE[0] <= values <= PLAUSIBLE[1]:
            size = f"{values:.3g}" if values > 1e-9 else "0"  # 0 but for rounding
            found.append(f"varies by {size} mV in {lead} (is the header's unit right, is the lead on?)")
    on = spread >= PLAUSIBLE[0]  # what is said above is not said again
    flat = on & (longest_constant(x) >= CONSTANT * x.shape[1])
    clipped = on & ~flat & (at_extreme(x) >= EXTREME)
    if flat.any():
        found.append(
            f"does not change for a quarter of its time or more in {_names(leads, flat)} (is the electrode off?)"
        )
    if clipped.any():
        found.append(f"stays at its largest or smallest value in {_names(leads, clipped)} (did the recorder clip it?)")
    copies = _copies(x, on)
    if copies.any():
        found.append(f"has the same signal in {_names(leads, copies)}")
    return found


def oddities(x: np.ndarray, rate: float) -> list[str]:
    """What is odd about a window without `faults` at `rate` Hz and may make an answer worthless, likewise."""
    if float(np.median(peakedness(x, rate))) < PEAKED:
        return ["does not look like an ECG: no QRS complexes stand out"]
    power = np.abs(np.fft.rfft(x - x.mean(axis=1, keepdims=True), axis=1)) ** 2
    frequencies = np.fft.rfftfreq(x.shape[1], 1 / rate)
    share = power[:, frequencies <= HEART].sum(axis=1) / np.maximum(power.sum(axis=1), 1e-12)
    if float(np.median(share)) < OF_HEART:
        return [f"does not look like an ECG: it is mostly above {HEART:g} Hz, as mains and muscles are"]
    return []


def peakedness(x: np.ndarray, rate: float) -> np.ndarray:
    """The kurtosis of each lead between 5 and 30 Hz, (L,): 3 for noise, 1.5 for a sine, far more for QRS complexes.

    It is the signal quality index kSQI (Li, Mark and Clifford 2008) of a band-passed lead.
    """
    band = (BAND[0], min(BAND[1], 0.45 * rate))
    return stats.kurtosis(
        signal.sosfiltfilt(signal.butter(3, band, "bandpass", fs=rate, output="sos"), x), axis=1, fisher=False
    )


def _copies(x: np.ndarray, on: np.ndarray) -> np.ndarray:
    """Which of the leads that are `on` (L,) are copies of another one, or of its multiple: (L,)."""
    alike, rows = np.zeros(len(x), dtype=bool), np.flatnonzero(on)
    if len(rows) > 1:
        pairs = np.triu(np.abs(np.corrcoef(x[rows])) > COPIES, 1)
        alike[rows] = pairs.any(axis=0) | pairs.any(axis=1)
    return alike


def _names(leads: Sequence[str], which: np.ndarray) -> str:
    names = [lead for lead, chosen in zip(leads, which, strict=True) if chosen]
    return f"lead {names[0]}" if len(names) == 1 else f"leads {', '.join(names)}"
