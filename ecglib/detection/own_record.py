"""Does a beat look like the usual ones of its own record? Three questions of a cardiologist; no network, no training.

1. **P wave**: does the same wave come before it? One minus the correlation of the leads in that window.
2. **QRS complex**: do the ventricles beat as usual? The difference of the leads as a part of the usual complex.
3. **Timing**: does it come early? The logarithm of the usual interval over the one before the beat.

What is usual is the median of the *latest* beats around: the fifth with the longest intervals before them. A premature
beat is by its definition not among them. So they are normal beats even where most beats are premature, and the median
of all is not normal. Each answer is divided by how far these usual beats lie apart themselves, so that a noisy record
is not taken for an abnormal one.

Each answer is compared with those of normal beats of other people: its surprise is -log of the share of those that are
as far from usual. The score is the sum of three surprises (`stats.surprise.fisher`), without weights. The labels of
the judged record are never used. What was chosen on which records is told in EVIDENCE.md, "New patients".
"""

from collections.abc import Iterator
from dataclasses import dataclass

import numpy as np

from ecglib.core.config import Checked
from ecglib.core.errors import EcglibError
from ecglib.data.mitbih import BEFORE, FS, WINDOW, Beats
from ecglib.stats import metrics
from ecglib.stats.surprise import fisher, surprise

QUESTIONS = ("P wave", "QRS complex", "timing")
LEAST_SPREAD = 0.1  # added to the spread of the usual beats, which a clean record has hardly any of
BLOCK = 25  # neighbouring beats that are compared with the same usual one
LEAST_S = 10  # S beats in a record, for a trial of where most beats are S


def _window(start: float, stop: float) -> slice:
    """The part of a beat's window from `start` to `stop`, in s from the annotation."""
    annotation = BEFORE - 1  # the centre of a beat is one sample later, see `mitbih`
    return slice(annotation + round(start * FS), annotation + round(stop * FS))


P_WAVE = _window(-0.222, -0.042)
QRS_COMPLEX = _window(-0.111, 0.167)


@dataclass(frozen=True)
class Usual(Checked):
    """Which beats of a record are taken for usual."""

    around: int = 301  # beats around each, about four minutes
    latest: float = 0.2  # the share of these with the longest intervals before them, whose median is usual
    causal: bool = False  # only beats before count, as on a monitor; only the first `around` are judged together

    def __post_init__(self) -> None:
        super().__post_init__()
        if self.around < 1 or not 0 < self.latest <= 1:
            raise EcglibError(f"around={self.around}, latest={self.latest}: at least one beat, and a share in (0, 1].")


@dataclass(frozen=True)
class _Reference:
    """What a block of neighbouring beats is compared with."""

    judged: slice  # the block
    latest: np.ndarray  # positions of the latest beats around it
    interval: float  # from which a beat counts among the latest, s
    change: float  # median change of log intervals from one beat around to the next


def answers(signals: np.ndarray, intervals: np.ndarray, usual: Usual = Usual()) -> np.ndarray:
    """How far each beat of one record is from usual, for each of `QUESTIONS`: (M, 3) float32, higher is more unusual.

    Args:
        signals: all beats of the record in their order, (M, L, 320) mV, filtered.
        intervals: from the beat before to each beat, (M,) s; NaN where there is none, which is taken for usual.
        usual: which of them are compared with.

    Raises:
        EcglibError: there is no beat, the shapes do not fit each other, or a sample is not finite.
    """
    if not np.isfinite(signals).all():
        raise EcglibError("A beat has samples that are not finite: fill the gap or leave the beat out.")
    if signals.shape[2:] != (WINDOW,) or len(signals) != len(intervals):
        raise EcglibError(
            f"Beats {signals.shape} and intervals {intervals.shape} do not fit: (M, leads, {WINDOW}) and (M,)."
        )
    intervals, found = known_intervals(intervals), np.empty((len(signals), len(QUESTIONS)), dtype=np.float32)
    for reference in _references(intervals, usual):
        judged, late = signals[reference.judged], signals[reference.latest]
        template = np.median(late, axis=0)
        for n, unlike in enumerate((_other_p_wave, _other_qrs_complex)):
            spread = np.median(unlike(late, template))
            found[reference.judged, n] = unlike(judged, template) / (spread + LEAST_SPREAD)
        early = np.log(reference.interval / intervals[reference.judged])
        found[reference.judged, 2] = early / (reference.change + LEAST_SPREAD)
    return found


def embedding_answers(embeddings: np.ndarray, intervals: np.ndarray) -> np.ndarray:
    """The same question asked of an encoder: how far is each beat's embedding from the usual one? (M,) float32.

    The distance is one minus the cosine with the mean embedding of the latest beats. `embeddings` (M, d) are those of
    all beats of one record; everything else is as in `answers`.
    """
    unit = embeddings / np.maximum(np.linalg.norm(embeddings, axis=1, keepdims=True), 1e-9)
    found = np.empty(len(unit), dtype=np.float32)
    for reference in _references(known_intervals(intervals), Usual()):
        template = unit[reference.latest].mean(axis=0)
        template /= max(float(np.linalg.norm(template)), 1e-9)
        spread = np.median(1 - unit[reference.latest] @ template)
        found[reference.judged] = (1 - unit[reference.judged] @ template) / (spread + LEAST_SPREAD)
    return found


def known_intervals(intervals: np.ndarray) -> np.ndarray:
    """Intervals in which a missing one is the median of all; none is 0, even between annotations of one sample."""
    finite = np.isfinite(intervals)
    usual = np.median(intervals[finite]) if finite.any() else 1.0
    return np.maximum(np.where(finite, intervals, usual), 1 / FS)


def _references(intervals: np.ndarray, usual: Usual) -> Iterator[_Reference]:
    """Every block of beats of a record, in their order."""
    beats = len(intervals)
    if beats == 0:
        raise EcglibError("There is no beat: a record is compared with its own beats.")
    around = min(usual.around, beats)
    for start in range(0, beats, BLOCK):
        stop = min(start + BLOCK, beats)
        if usual.causal:
            last = max(start, around)
            first = last - around
        else:
            first = min(max(0, (start + stop - around) // 2), beats - around)
            last = first + around
        own = intervals[first:last]
        long = float(np.quantile(own, 1 - usual.latest))
        changes = np.abs(np.diff(np.log(own)))
        change = float(np.median(changes)) if len(changes) else 0.0
        yield _Reference(slice(start, stop), first + np.flatnonzero(own >= long), long, change)


def _other_p_wave(beats: np.ndarray, usual: np.ndarray) -> np.ndarray:
    """One minus Pearson's correlation of beats (M, L, 320) with the usual one, each lead about its mean: (M,)."""
    beats, usual = (_flat(x[..., P_WAVE] - x[..., P_WAVE].mean(axis=-1, keepdims=True)) for x in (beats, usual[None]))
    lengths = np.linalg.norm(beats, axis=1) * np.linalg.norm(usual)
    return 1 - (beats @ usual[0]) / np.maximum(lengths, 1e-9)  # 1 where either is flat


def _other_qrs_complex(beats: np.ndarray, usual: np.ndarray) -> np.ndarray:
    """Length of the difference of beats (M, L, 320) from the usual one, as a part of the length of that: (M,)."""
    difference, complexes = _flat((beats - usual)[..., QRS_COMPLEX]), _flat(usual[None, :, QRS_COMPLEX])
    return np.linalg.norm(difference, axis=1) / max(float(np.linalg.norm(complexes)), 1e-9)


def _flat(x: np.ndarray) -> np.ndarray:
    return x.reshape(len(x), -1)


def all_answers(
    beats: Beats, usual: Usual = Usual(), records: np.ndarray | None = None, leads: int | None = None
) -> np.ndarray:
    """`answers` of all beats (N, 3), each record by itself, by its first `leads` leads (None: by all).

    Given names of `records`, the beats of all others have NaN.
    """
    found = np.full((len(beats), len(QUESTIONS)), np.nan, dtype=np.float32)
    for name in np.unique(beats.records if records is None else records):
        own = beats.records == name
        found[own] = answers(beats.signals[own][:, :leads], beats.intervals[own, 0], usual)
    return found


def usual_beat(signals: np.ndarray, intervals: np.ndarray, number: int, usual: Usual = Usual()) -> np.ndarray:
    """The usual beat (L, 320), mV, that beat `number` of a record is compared with; see `answers` for the others."""
    references = _references(known_intervals(intervals), usual)
    reference = next(one for one in references if number < one.judged.stop)
    return np.median(signals[reference.latest], axis=0)


def template_of(beats: Beats, position: int) -> np.ndarray:
    """The usual beat (L, 320), mV, that the beat at `position` is compared with."""
    own = np.flatnonzero(beats.records == beats.records[position])
    number = int(np.flatnonzero(own == position)[0])
    return usual_beat(beats.signals[own], beats.intervals[own, 0], number)


def score(normal: np.ndarray, judged: np.ndarray) -> np.ndarray:
    """Scores (M,) of answers `judged` (M, Q), by answers `normal` (N, Q) of other people's normal beats."""
    return fisher({str(n): (normal[:, n], judged[:, n]) for n in range(normal.shape[1])})


def share_above(normal: np.ndarray, judged: np.ndarray) -> np.ndarray:
    """For each answer (M, Q) the share of the normal beats (N, Q) at least as far from usual, as an empirical p."""
    return np.exp(-np.stack([surprise(normal[:, n], judged[:, n]) for n in range(normal.shape[1])], axis=1))


def leave_one_patient_out_scores(found: np.ndarray, beats: Beats, members: np.ndarray) -> np.ndarray:
    """Scores of the beats `members` (M,), each record judged by the N beats of the other patients among `members`.

    This leaves one patient out at a time, so it shows on the training patients what new patients will get.
    `found` (N, Q) are the answers of all beats.
    """
    result = np.empty(len(members))
    patients, normal = beats.patients[members], beats.labels[members] == "N"
    for patient in np.unique(patients):
        own = patients == patient
        result[own] = score(found[members[normal & ~own]], found[members[own]])
    return result


def s_auc_in_s_dominated_records(found: np.ndarray, beats: Beats, members: np.ndarray, usual: Usual = Usual()) -> float:
    """A trial: the AUC of S beats in records whose normal beats are too few to be the usual ones by their number.

    From each record of `members` with at least `LEAST_S` S beats, all S beats are kept, a third as many N beats, drawn
    at random, and no others. Its S beats, judged as by `leave_one_patient_out_scores`, against the N beats of all whole
    records: the mean over records. `found` (N, 3) are the `answers` of all beats of whole records.

    Raises:
        EcglibError: no record has so many S beats.
    """
    normal = members[beats.labels[members] == "N"]
    known = leave_one_patient_out_scores(found, beats, members)[beats.labels[members] == "N"]
    aucs = []
    for name in np.unique(beats.records[members]):
        own = members[beats.records[members] == name]
        premature, others = own[beats.labels[own] == "S"], own[beats.labels[own] == "N"]
        if len(premature) < LEAST_S:
            continue
        few = np.random.default_rng(0).permutation(others)[: len(premature) // 3]
        kept = np.sort(np.concatenate([premature, few]))
        asked = answers(beats.signals[kept], beats.intervals[kept, 0], usual)[beats.labels[kept] == "S"]
        strangers = normal[beats.patients[normal] != beats.patients[own[0]]]
        scores = np.concatenate([known, score(found[strangers], asked)])
        aucs.append(metrics.auc(np.arange(len(scores)) >= len(known), scores))
    if not aucs:
        raise EcglibError(f"No record has {LEAST_S} S beats: the trial needs one.")
    return float(np.mean(aucs))
