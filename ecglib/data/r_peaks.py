"""R peaks of a filtered lead by Hamilton's rules (Hamilton 2002), peak for peak those of biosppy's segmenter.

biosppy compares every pair of peaks of a record, which takes nine tenths of the preparation of MIT-BIH. Here each peak
is compared with its neighbours alone. A test holds the result against biosppy on every record.
"""

from bisect import bisect_left
from collections import deque
from statistics import median

import numpy as np
from scipy import signal
from scipy.ndimage import maximum_filter1d

from ecglib.core.errors import EcglibError

LOWPASS, HIGHPASS = 25.0, 3.0  # Hz, Butterworth filters of order 4, forward and backward
SMOOTHING = 0.08  # s, of the slope
NEIGHBOURHOOD = 0.2  # s, in which a QRS complex has the steepest slope
SLOPES = 0.045  # s, on both sides of a peak, in which the lead has to rise and to fall
REFRACTORY = 0.36  # s, within which a flatter peak is a T wave
REFINED = 0.05  # s, around a peak, in which the largest sample is the R peak
MEMORY = 8  # how many peaks, noise peaks and intervals the thresholds remember
HEIGHT = 0.475  # where the threshold lies between the usual noise (0) and the usual QRS complex (1); as in biosppy
SECOND = 0.85  # negative peaks win if their two largest differ this much more than the two largest positive ones


def find_r_peaks(lead: np.ndarray, fs: int, height: float = HEIGHT) -> np.ndarray:
    """Indices of the R peaks of a filtered lead (T,) at `fs` Hz; `height` see `HEIGHT`.

    Raises:
        EcglibError: the lead is shorter than a second, from which the first thresholds come.
    """
    if len(lead) < fs:
        raise EcglibError(f"{len(lead)} samples at {fs} Hz: R peaks are found in a second or more.")
    near, reach, turns = int(np.ceil(NEIGHBOURHOOD * fs)), int(REFINED * fs), _Turns(lead)
    found = {turns.r_peak(beat, near, REFINED * fs) for beat in qrs_complexes(lead, fs, height)}
    starts = [peak - reach for peak in found if peak is not None and reach <= peak <= len(lead) - reach]
    return np.array(sorted({start + int(lead[start : start + 2 * reach].argmax()) for start in starts}), dtype=int)


def qrs_complexes(lead: np.ndarray, fs: int, height: float = HEIGHT) -> list[int]:
    """Indices of the QRS complexes of a filtered lead (T,): peaks of its slope that pass Hamilton's rules."""
    slope, seconds = _slope(lead, fs), min(MEMORY, len(lead) // fs)
    first = [slope[n * fs : (n + 1) * fs] for n in range(seconds)]
    heights = deque((one[_maxima(one)].max(initial=0.0) for one in first), maxlen=seconds)
    noise, intervals = deque([0.0] * seconds, maxlen=seconds), deque([float(fs)] * seconds, maxlen=seconds)
    threshold = _threshold(heights, noise, height)
    beats: list[int] = []

    def take(peak: int) -> None:
        if beats:
            intervals.append(peak - beats[-1])
        beats.append(peak)
        heights.append(slope[peak])

    # As biosppy has it, the buffers are rings in which the oldest entry is replaced; their medians ignore the order.
    for peak in _steepest(slope, _maxima(slope), int(np.ceil(NEIGHBOURHOOD * fs))):
        elapsed = peak - beats[-1] if beats else 0
        if slope[peak] > threshold:
            steps = _steps(lead, peak, int(np.ceil(SLOPES * fs)))
            if (steps > 0).all() or not (steps > 0).any():
                continue
            if beats and elapsed < np.ceil(REFRACTORY * fs):
                before = _steps(lead, beats[-1], int(np.ceil(SLOPES * fs)))
                if steps.max() < 0.5 * before.max():
                    continue  # a T wave
            if slope[peak] < 3.0 * median(heights):
                take(peak)
        elif len(beats) < 2 or elapsed < 1.5 * median(intervals) or elapsed <= np.ceil(REFRACTORY * fs):
            noise.append(slope[peak])
        elif slope[peak] > 0.5 * threshold:
            take(peak)  # after a long pause a lower peak is a beat, too
        threshold = _threshold(heights, noise, height)
    return beats


def _slope(lead: np.ndarray, fs: int) -> np.ndarray:
    """The smoothed steepness of a lead (T,) between 3 and 25 Hz, (T - 1,)."""
    for band, frequency in (("lowpass", LOWPASS), ("highpass", HIGHPASS)):
        lead = signal.filtfilt(*signal.butter(4, 2 * frequency / fs, band), lead)
    steepness, size = np.abs(np.diff(lead) * fs), int(SMOOTHING * fs)
    window = signal.windows.hamming(size)
    return np.convolve(window / window.sum(), np.pad(steepness, size, "edge"), "same")[size:-size]


def _maxima(values: np.ndarray) -> np.ndarray:
    """Indices of local maxima, of a plateau both ends."""
    return np.flatnonzero(np.diff(np.sign(np.diff(values))) < 0) + 1


def _threshold(heights: deque[float], noise: deque[float], height: float) -> float:
    usual_noise = median(noise)
    return usual_noise + height * (median(heights) - usual_noise)


def _steepest(slope: np.ndarray, peaks: np.ndarray, near: int) -> list[int]:
    """The peaks that no other peak less than `near` samples away exceeds."""
    heights = np.full(len(slope), -np.inf)
    heights[peaks] = slope[peaks]
    return peaks[slope[peaks] >= maximum_filter1d(heights, 2 * near - 1, mode="constant", cval=-np.inf)[peaks]].tolist()


def _steps(lead: np.ndarray, peak: int, reach: int) -> np.ndarray:
    """Differences of neighbouring samples around a peak."""
    if peak + reach >= len(lead):
        return np.diff(lead[max(peak - reach, 0) : len(lead) - 1])
    return np.diff(lead[max(peak - reach, 0) : peak + reach])


class _Turns:
    """Where a lead turns: its maxima, its minima, and level samples, which count as both."""

    def __init__(self, lead: np.ndarray) -> None:
        self.lead = lead.tolist()
        self.level = np.flatnonzero(np.diff(lead) == 0).tolist()
        self.extrema = {sign: _maxima(sign * lead).tolist() for sign in (1, -1)}

    def r_peak(self, beat: int, near: int, apart: float) -> int | None:
        """The R peak of a QRS complex, a maximum or a minimum less than `near` samples away."""
        start, end = max(beat - near, 0), min(beat + near, len(self.lead))
        (highest, gap_above), (lowest, gap_below) = (self._largest(sign, start, end, apart) for sign in (1, -1))
        if gap_above is not None and gap_below is not None:
            return highest if gap_above > SECOND * gap_below else lowest
        if gap_above is None and gap_below is None:
            return None if highest is None or lowest is None else max(highest, lowest)
        return highest if gap_above is None else lowest

    def _largest(self, sign: int, start: int, end: int, apart: float) -> tuple[int | None, float | None]:
        """The largest extremum of a sign, and how far the next one that is `apart` samples away stays behind it."""
        extrema, level = self.extrema[sign], self.level
        found = extrema[bisect_left(extrema, start + 1) : bisect_left(extrema, end - 1)]
        found += level[bisect_left(level, start) : bisect_left(level, end - 1)]
        # Of equal ones the later maximum, but the earlier minimum.
        ordered = sorted(found, key=lambda position: (sign * self.lead[position], sign * position), reverse=True)
        for other in ordered:
            if abs(ordered[0] - other) > apart:
                return ordered[0], abs(self.lead[ordered[0]] - self.lead[other])
        return (ordered[0] if ordered else None), None
