"""Which beats of a recording are unlike its usual ones? `ecglib detect`, for any length, block by block.

A recording is read twice. First its R peaks are found, or its annotated beats are taken, and what cannot be judged is
noted. Then a judge (`judges`) gives each beat a score and compares it with those of normal beats of other people. It is
a method of a companion to papers and no medical device.
"""

import warnings
from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass, field

import numpy as np
import pandas as pd

from ecglib.core.errors import EcglibError, EcglibWarning
from ecglib.data import mitbih, quality, r_peaks
from ecglib.data.mitbih import AFTER, BEAT_SYMBOLS, BEFORE, CLASS_OF_SYMBOL, FILTER_TAPS, FS
from ecglib.data.recording import Recording
from ecglib.detection import own_record
from ecglib.detection.judges import Judge
from ecglib.detection.own_record import BLOCK

THRESHOLD = 99.0  # percent of normal beats have a lower score; the best F1 on DS1, where it finds 92 % of the others
FEWEST = 30  # beats: with fewer, there is no usual one
PIECE = 60 * FS  # R peaks are looked for in a minute at a time, so that noise costs a minute and not the rest
OVERLAP = 5 * FS
CHUNK = 40 * BLOCK  # beats that are judged at once
SHORTEST = 3 * FS  # samples of a stretch in which R peaks are looked for
MARGIN = 3 * FILTER_TAPS + 1  # samples that the band-pass needs on both sides
# Hamilton's usual 0.475 misses broad beats beside steep ones: of record 208 it finds 74 %, with 0.3 98 %. Chosen on
# records 106, 108, 203 and 208 of DS1.
HEIGHT = 0.3  # see `r_peaks.HEIGHT`
REFRACTORY = 0.2  # s between two R peaks, at least
LONGEST_PAUSE = 3.0  # s without an R peak; a longer one is said
QUALITY_WINDOW = 10 * FS  # samples whose quality is judged together
MOST_BAD = 0.5  # share of windows that are no ECG, from which on nothing is judged
MANY = 0.3  # share of flagged beats, from which on what is usual is in doubt
RATES = (25, 220)  # beats a minute; outside the rate of the recording may be wrong
SHOWN = 40  # most unusual flagged beats that are drawn
# Names of leads that are known, those that are taken first at the beginning.
USUAL_LEADS = (
    *("MLII", "II", "I", "MCL1", "V5", "V1", "V2", "V4", "V6", "V3", "III", "aVF", "aVL", "aVR", "ECG", "EKG"),
    *("ECG1", "ECG2", "CM1", "CM5", "MLI", "MLIII", "CH1", "CH2"),
)


@dataclass(frozen=True)
class Shown:
    """A beat to be drawn."""

    time: float  # s
    score: float
    beat: np.ndarray  # (L, 320), filtered
    other: np.ndarray  # (L, 320), what it was compared with


@dataclass
class Detection:
    """What was found in a recording."""

    beats: pd.DataFrame  # see `detect`
    leads: tuple[str, ...]
    annotated: bool  # the beats are those of an annotation file
    threshold: float  # percent of normal beats that a flagged beat's score is above
    part: tuple[float, float]  # s, from where to where the recording was judged
    notes: list[str] = field(default_factory=list)  # what was not judged, and why
    shown: list[Shown] = field(default_factory=list)  # the most unusual flagged beats, the most unusual first


def choose_leads(recording: Recording, names: Sequence[str] | None, most: int) -> Recording:
    """The leads called `names`, or else at most `most`: those that are usual for rhythm, then what there is.

    Raises:
        EcglibError: a lead is missing or there twice, or more than `most` were named.
    """
    if names is not None:
        if len(names) > most:
            raise EcglibError(f"{len(names)} leads were named: this detector takes {most} at most.")
        return recording.choose(names)
    there = {lead.casefold(): row for row, lead in enumerate(recording.leads)}
    known = [there[name.casefold()] for name in USUAL_LEADS if name.casefold() in there]
    rows = known or list(range(len(recording.leads)))  # a column of another name may be a counter
    same = [row for row in rows if recording.rates[row] == recording.rates[rows[0]]]
    if left := [recording.leads[row] for row in rows[:most] if row not in same]:
        _warn(f"Lead {', '.join(left)} has another rate than {recording.leads[rows[0]]} and is left out.")
    if known:
        # `choose` refuses a name that is there twice.
        return recording.choose([recording.leads[row] for row in same[:most]])
    _warn(f"No lead of {recording.name} has a usual name: {', '.join(recording.leads[:most])} taken.")
    return recording.only(same[:most])


def _warn(message: str) -> None:
    warnings.warn(message, EcglibWarning, stacklevel=3)


def detect(
    recording: Recording,
    judge: Judge,
    annotations: tuple[np.ndarray, np.ndarray] | None = None,
    start: float = 0.0,
    stop: float | None = None,
    threshold: float = THRESHOLD,
    progress: Callable[[float], object] = lambda share: None,
) -> Detection:
    """Judge the beats of a recording with the leads that `choose_leads` chose, from `start` to `stop` in s.

    `annotations` are times (A,) in s and symbols (A,), of which the beats are judged; without, R peaks are detected.
    A beat is flagged if its percentile is at least `threshold`.
    `progress` is called with the share of the work that is done.

    `Detection.beats` has a row a beat: `time` in s, `class` ("" without annotations), `score`, `percentile` (the share
    of normal beats of other people with a lower score), `flagged`, `why`, and what else the judge says.

    Raises:
        EcglibError: there are too few beats, the part is not inside, or the recording cannot be read.
    """
    length, stop = recording.length_at(FS), recording.seconds if stop is None else stop
    if not 0 <= start < stop <= recording.seconds:
        raise EcglibError(f"{recording.title} lasts {recording.seconds:g} s: {start:g} to {stop:g} s is no part of it.")
    first, last = round(start * FS), min(round(stop * FS), length)
    peaks, missing, bad = _survey(recording, first, last, annotations is None, lambda share: progress(share / 2))
    found = Detection(pd.DataFrame(), recording.leads, annotations is not None, threshold, (start, stop))
    _say_what_is_bad(recording, bad, (last - first) / QUALITY_WINDOW, found.notes)
    symbols = np.full(len(peaks), "")
    if annotations is not None:
        times, all_symbols = annotations
        if len(times) and times[-1] > recording.seconds:
            raise EcglibError(
                f"The annotations go on to {times[-1]:g} s and {recording.name} ends at {recording.seconds:g} s: do "
                "they belong to it?"
            )
        samples = np.round(times * FS).astype(int)
        chosen = np.isin(all_symbols, BEAT_SYMBOLS) & (samples >= first) & (samples < last)
        if not chosen.any():
            raise EcglibError(
                f"The annotations of {recording.name} name no beat there: '--annotations none' detects R peaks instead."
            )
        peaks, symbols = samples[chosen], all_symbols[chosen]
        if (np.diff(peaks) <= 0).any():
            raise EcglibError(f"The annotations of {recording.name} have two beats at one time: correct them.")
    else:
        _say_pauses(peaks, first, last, found.notes)
    intervals = np.diff(peaks, prepend=np.nan) / FS
    centres = peaks + 1  # as `mitbih.select_beats`
    inside = (centres >= first + BEFORE) & (centres + AFTER <= last) & ~_touches(peaks, missing)
    if lost := int((~inside).sum()):
        number = "1 beat" if lost == 1 else f"{lost} beats"
        found.notes.append(f"Not judged: {number} at an end or beside missing samples.")
    peaks, intervals, symbols = peaks[inside], intervals[inside], symbols[inside]
    if len(peaks) < FEWEST:
        raise EcglibError(
            f"{recording.title} has {len(peaks)} beats that can be judged: {FEWEST} are needed to know what is usual."
        )
    pulse = 60 / float(np.nanmedian(intervals))
    if not RATES[0] <= pulse <= RATES[1]:
        found.notes.append(f"The heart would beat {pulse:.0f} times a minute: is the rate of the recording right?")
    judged = _judged(recording, judge, peaks, intervals, found, lambda share: progress((1 + share) / 2))
    judged.insert(0, "time", peaks / FS)
    judged.insert(1, "class", [CLASS_OF_SYMBOL.get(symbol, "") for symbol in symbols])
    judged.insert(3, "percentile", judge.percentile(judged["score"].to_numpy()))
    judged.insert(4, "flagged", judged["percentile"] >= threshold)
    judged["why"] = judged["why"].where(judged["flagged"], "")
    if (share := float(judged["flagged"].mean())) > MANY:
        found.notes.append(
            f"{share:.0%} of the beats are flagged: what is usual in this recording may itself be unusual, so do not "
            "trust the flags."
        )
    found.beats = judged
    return found


def _survey(
    recording: Recording, first: int, last: int, detect_peaks: bool, progress: Callable[[float], object]
) -> tuple[np.ndarray, np.ndarray, list[tuple[float, str]]]:
    """R peaks (M,), if they are to be detected, and samples that are missing (G,), at 360 Hz; and what is bad.

    What is bad is the time in s of a window, and why it is no ECG.
    """
    bad: list[tuple[float, str]] = []
    peaks: list[np.ndarray] = [np.empty(0, dtype=int)]
    missing: list[np.ndarray] = [np.empty(0, dtype=int)]
    for begin in range(first, last, PIECE):
        end = min(begin + PIECE, last)
        low, high = max(first, begin - OVERLAP), min(last, end + OVERLAP)
        x = recording.resampled(FS, low, high)
        for window in range(begin, end - QUALITY_WINDOW + 1, QUALITY_WINDOW):
            part = x[:, window - low : window - low + QUALITY_WINDOW]
            if part.shape[1] == QUALITY_WINDOW and np.isfinite(part).all():  # gaps are told apart
                why = quality.faults(part, recording.leads) or quality.oddities(part, FS)
                bad += [(window / FS, why[0])] if why else []
        gaps = ~np.isfinite(x).all(axis=0)
        missing.append(low + np.flatnonzero(gaps))
        if detect_peaks and x.shape[1] > MARGIN:
            found = low + _r_peaks(x)
            peaks.append(found[(found >= begin) & (found < end)])
        progress((end - first) / (last - first))
    together = np.unique(np.concatenate(peaks))
    apart = np.diff(together, prepend=-FS) >= REFRACTORY * FS
    return together[apart], np.unique(np.concatenate(missing)), bad


def _r_peaks(x: np.ndarray) -> np.ndarray:
    """R peaks of the lead whose QRS complexes stand out most (the first if its do), in each stretch that moves."""
    filled = np.where(np.isfinite(x), x, 0.0)
    peaked = np.nan_to_num(quality.peakedness(filled, FS))
    lead = 0 if peaked[0] >= quality.PEAKED else int(peaked.argmax())
    still = ~np.isfinite(x).all(axis=0) | _constant(filled[lead])
    edges = np.flatnonzero(np.diff(np.concatenate([[True], still, [True]]).astype(int)))
    found = [np.empty(0, dtype=int)]
    for begin, end in edges.reshape(-1, 2):
        if end - begin > SHORTEST:
            found.append(begin + r_peaks.find_r_peaks(mitbih.bandpass(filled[lead, begin:end]), FS, HEIGHT))
    return np.concatenate(found)


def _constant(lead: np.ndarray) -> np.ndarray:
    """Which samples of a lead (T,) are in a stretch of a second or more in which nothing changes."""
    lengths = quality.constant_stretches(lead)
    return np.repeat(lengths >= FS, lengths)


def _say_what_is_bad(recording: Recording, bad: list[tuple[float, str]], windows: float, notes: list[str]) -> None:
    """Note windows that are no ECG.

    Raises:
        EcglibError: they are most of the recording.
    """
    if not bad:
        return
    start, why = bad[0]
    if len(bad) > MOST_BAD * windows:
        raise EcglibError(f"{recording.title} {why} (from {start:.0f} s on, and in most of it): it cannot be judged.")
    notes.append(f"{len(bad)} of {windows:.0f} pieces of 10 s are doubtful; the first, from {start:.0f} s on, {why}.")


def _say_pauses(peaks: np.ndarray, first: int, last: int, notes: list[str]) -> None:
    """Note where no R peak was found for longer than a heart pauses."""
    ends = np.concatenate([[first], peaks, [last]])
    pauses = np.diff(ends) / FS
    long = np.flatnonzero(pauses > LONGEST_PAUSE)
    if len(long):
        total, longest = pauses[long].sum(), long[pauses[long].argmax()]
        notes.append(
            f"No beat was found for {total:.0f} of {(last - first) / FS:.0f} s, the longest from "
            f"{ends[longest] / FS:.0f} to {ends[longest + 1] / FS:.0f} s: is the lead off or noisy there?"
        )


def _touches(peaks: np.ndarray, missing: np.ndarray) -> np.ndarray:
    """Whether a missing sample is so near to each peak that its window or the filter touches it."""
    near = np.searchsorted(missing, peaks - BEFORE - FILTER_TAPS), np.searchsorted(missing, peaks + AFTER + FILTER_TAPS)
    touched: np.ndarray = near[1] > near[0]
    return touched


def _judged(
    recording: Recording,
    judge: Judge,
    peaks: np.ndarray,
    intervals: np.ndarray,
    found: Detection,
    progress: Callable[[float], object],
) -> pd.DataFrame:
    """What the judge says of all beats, chunk by chunk; the most unusual flagged ones go into `found`."""
    known, parts = own_record.known_intervals(intervals), []
    for begin, end, low, high in _chunks(len(peaks), judge.around):
        signals = _cut(recording, peaks[low:high])
        part = judge.judge(signals, known[low:high])[begin - low : end - low]
        scores = part["score"].to_numpy()
        unusual = np.flatnonzero(judge.percentile(scores) >= found.threshold)
        for number in unusual[np.argsort(-scores[unusual])][:SHOWN]:
            pair = judge.against(signals, known[low:high], begin - low + int(number))
            # Copies: a view would keep the whole chunk in memory.
            copies = (np.array(one) for one in pair)
            found.shown.append(Shown(peaks[begin + number] / FS, float(scores[number]), *copies))
        found.shown = sorted(found.shown, key=lambda one: -one.score)[:SHOWN]
        parts.append(part)
        progress(end / len(peaks))
    return pd.concat(parts, ignore_index=True)


def _chunks(count: int, around: int) -> Iterator[tuple[int, int, int, int]]:
    """First and last beat of each chunk, and of all beats that these are compared with.

    Chunks begin at multiples of `BLOCK`, so that the answers are those of the whole recording at once.
    """
    context = -(-(around // 2 + BLOCK) // BLOCK) * BLOCK
    for begin in range(0, count, CHUNK):
        end = min(begin + CHUNK, count)
        low = max(0, min(begin - context, count - around) // BLOCK * BLOCK)
        yield begin, end, low, min(count, end + context)


def _cut(recording: Recording, peaks: np.ndarray) -> np.ndarray:
    """The filtered beats (M, L, 320) around peaks (M,)."""
    low = max(0, int(peaks[0]) - BEFORE - MARGIN)
    high = min(recording.length_at(FS), int(peaks[-1]) + AFTER + MARGIN)
    x = recording.resampled(FS, low, high)
    filtered = mitbih.bandpass(np.where(np.isfinite(x), x, 0.0))
    return mitbih.cut_beats(filtered, peaks - low).astype(np.float32)
