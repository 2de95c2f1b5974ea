"""AUC, AP, F1 and their intervals, from scores and labels alone.

R1 reports AUC, AP and the best F1 on the test set, as single numbers of single runs. Here each comes with an interval
over beats, over patients (beats of one patient are not independent) and over seeds. A bootstrap resample is a vector of
weights, so a thousand of them are one matrix and scores are sorted once.

Everywhere labels (N,) are bool or 0 and 1, and scores (N,) are higher for what is more likely abnormal.
"""

from collections.abc import Sequence
from dataclasses import dataclass
from functools import lru_cache

import numpy as np
from scipy import stats
from sklearn.metrics import average_precision_score, roc_auc_score

from ecglib.core.errors import EcglibError

LEVEL = 0.95
MIN_SEEDS = 3  # two trainings have an interval in theory, 25 times as wide as their spread: it says nothing
FEW = f"fewer than {MIN_SEEDS} seeds: no verdict"
RESAMPLES = 1000
BLOCK = 1_400_000  # weights of beats at once, 11 MB of float64: more would leave the processor's cache


@dataclass(frozen=True)
class Interval:
    """A value with its two-sided 95 % interval."""

    value: float
    low: float
    high: float

    def __str__(self) -> str:
        return f"{self.value:.4f} [{self.low:.4f}, {self.high:.4f}]"

    @property
    def excludes_zero(self) -> bool:
        """Whether all of it lies on one side of zero."""
        return self.low > 0 or self.high < 0


@dataclass(frozen=True)
class OverSeeds(Interval):
    """The mean over seeds with Student's t interval."""

    seeds: int


@dataclass(frozen=True)
class Change:
    """A number before and after something was done, in the report or here; a single run has no intervals."""

    before: float
    after: float
    over_seeds: Interval | None = None  # of the difference
    over_patients: Interval | None = None
    differences: np.ndarray | None = None  # (seeds,) after minus before


def refuse_masked(*given: np.ndarray) -> None:
    """Refuse masked values: a NumPy array that is made of them has whatever lies below the mask.

    Raises:
        EcglibError: some are masked.
    """
    for one in given:
        if hidden := int(np.ma.count_masked(one)):
            raise EcglibError(f"{hidden} of {np.size(one)} values are masked: leave out these beats or records first.")


def checked(abnormal: np.ndarray, scores: np.ndarray) -> tuple[np.ndarray, np.ndarray]:
    """Labels as bool and scores as floats, each (N,): the one door of all metrics.

    Raises:
        EcglibError: there is none, lengths differ, a label is not bool, 0 or 1, or a score is not finite or masked.
    """
    refuse_masked(abnormal, scores)
    abnormal, scores = np.asarray(abnormal), np.asarray(scores)
    if abnormal.shape != scores.shape or abnormal.ndim != 1 or len(abnormal) == 0:
        raise EcglibError(
            f"Labels {abnormal.shape} and scores {scores.shape} do not fit: both must be (N,), N being at least 1."
        )
    if abnormal.dtype != bool:
        if not np.isin(abnormal, (0, 1)).all():
            known = np.unique(abnormal)[:5]
            raise EcglibError(f"Labels are {known}: give True or 1 for abnormal, False or 0 for normal.")
        abnormal = abnormal.astype(bool)  # `~` turns the integer 1 into -2
    if not np.issubdtype(scores.dtype, np.floating):
        try:
            scores = scores.astype(np.float64)
        except (TypeError, ValueError) as error:
            raise EcglibError(f"Scores are no numbers ({error}).") from error
    finite = np.isfinite(scores)
    if not finite.all():
        raise EcglibError(
            f"{int((~finite).sum())} of {len(scores)} scores are not finite, the first at position "
            f"{int((~finite).argmax())}: did the training diverge?"
        )
    return abnormal, scores


def _members(groups: np.ndarray, count: int) -> np.ndarray:
    """The number of each beat's group (N,), from groups of any kind.

    Raises:
        EcglibError: there are not `count` of them, or one is missing.
    """
    groups = np.asarray(groups)
    if groups.shape != (count,):
        raise EcglibError(f"Groups {groups.shape} do not fit {count} scores: each beat needs one.")
    missing = int((groups != groups).sum())  # NaN is unlike itself
    if missing:
        raise EcglibError(f"{missing} of {count} groups are missing: whose are these beats?")
    return np.unique(groups, return_inverse=True)[1]


def auc(abnormal: np.ndarray, scores: np.ndarray) -> float:
    """Area under the ROC curve; NaN if a class is absent."""
    abnormal, scores = checked(abnormal, scores)
    if abnormal.all() or not abnormal.any():
        return float("nan")
    return float(roc_auc_score(abnormal, scores))


def average_precision(abnormal: np.ndarray, scores: np.ndarray) -> float:
    """Average precision, whose chance level is the share of abnormal beats; NaN if none is abnormal."""
    abnormal, scores = checked(abnormal, scores)
    return float(average_precision_score(abnormal, scores)) if abnormal.any() else float("nan")


def f1_at(abnormal: np.ndarray, scores: np.ndarray, threshold: float) -> float:
    """F1 of calling every beat with a score of at least `threshold` abnormal; 0 if no abnormal beat is called."""
    abnormal, scores = checked(abnormal, scores)
    called = scores >= threshold
    hits = int((called & abnormal).sum())
    return 2 * hits / (int(called.sum()) + int(abnormal.sum())) if hits else 0.0


def best_f1(abnormal: np.ndarray, scores: np.ndarray) -> tuple[float, float]:
    """The best F1 over all thresholds and the threshold that gives it.

    R1 does this on the test set (as coded); corrected, the threshold comes from validation and goes to `f1_at`.
    """
    abnormal, scores = checked(abnormal, scores)
    ranked = _ranked(abnormal, scores)
    thresholds = scores[ranked[0]][ranked[2]]
    hits, false_alarms = _cumulated(ranked, np.ones((1, len(scores))))
    values = 2 * hits[0] / (hits[0] + false_alarms[0] + hits[0, -1])
    best = int(values.argmax())
    return float(values[best]), float(thresholds[best])


def min_max(scores: np.ndarray, over: np.ndarray | None = None) -> np.ndarray:
    """Scores scaled so that those of the set `over` lie in [0, 1], as R1's program does before its KL and thresholds.

    `over` (M,) defaults to the scores themselves.

    Raises:
        EcglibError: those of `over` are all equal, or there are none.
    """
    whole = scores if over is None else over
    if len(whole) == 0:
        raise EcglibError("There is no score to stretch the others by.")
    low, high = float(whole.min()), float(whole.max())
    if not high > low:
        raise EcglibError(f"All scores are {low:g} or not finite, so they cannot be stretched to [0, 1].")
    return (scores - low) / (high - low)


def per_class_auc(labels: np.ndarray, scores: np.ndarray) -> dict[str, float]:
    """AUC of each abnormal class against the normal beats alone; `labels` (N,) of class names.

    Raises:
        EcglibError: there are not as many labels as scores.
    """
    if labels.shape != scores.shape:
        raise EcglibError(f"Labels {labels.shape} and scores {scores.shape} do not fit: both must be (N,).")
    result = {}
    for name in dict.fromkeys(labels.tolist()):
        if name != "N":
            chosen = (labels == "N") | (labels == name)
            result[name] = auc(labels[chosen] == name, scores[chosen])
    return result


Ranked = tuple[np.ndarray, np.ndarray, np.ndarray]


def _ranked(abnormal: np.ndarray, scores: np.ndarray) -> Ranked:
    """Beats from the highest score to the lowest (N,): their order, which are abnormal, and (K,) where ties end."""
    order = np.argsort(-scores, kind="stable")
    ordered = scores[order]
    return order, abnormal[order], np.append(np.flatnonzero(np.diff(ordered)), len(ordered) - 1)


def _cumulated(ranked: Ranked, weights: np.ndarray) -> tuple[np.ndarray, np.ndarray]:
    """The weight of hits and of false alarms (R, K) at each threshold from high to low, of weights (R, N)."""
    order, positive, last_of_tie = ranked
    weights = np.take(weights, order, axis=1)
    # Whole numbers add up exactly, and faster: a resample's weights are counts.
    kind = np.int32 if np.issubdtype(weights.dtype, np.integer) else np.float64
    hits = np.cumsum(weights * positive, axis=1, dtype=kind)[:, last_of_tie]
    false_alarms = np.cumsum(weights * ~positive, axis=1, dtype=kind)[:, last_of_tie]
    return hits, false_alarms


def _area(hits: np.ndarray, false_alarms: np.ndarray) -> np.ndarray:
    below = hits.astype(np.float64)
    below[:, 1:] += hits[:, :-1]
    area = np.einsum("rk,rk->r", np.diff(false_alarms, prepend=0), below) / 2
    with np.errstate(invalid="ignore", divide="ignore"):
        return area / (hits[:, -1].astype(np.float64) * false_alarms[:, -1])


def _precision(hits: np.ndarray, false_alarms: np.ndarray) -> np.ndarray:
    with np.errstate(invalid="ignore", divide="ignore"):
        precision = np.nan_to_num(hits / (hits + false_alarms))
        return np.einsum("rk,rk->r", np.diff(hits, prepend=0), precision) / hits[:, -1]


@lru_cache(maxsize=8)
def _draws(count: int, resamples: int = RESAMPLES, seed: int = 0) -> np.ndarray:
    """How often each of `count` members is drawn in each resample: (resamples, count) small integers."""
    rng = np.random.default_rng(seed)
    drawn = np.empty((resamples, count), dtype=np.uint8)
    for row in drawn:
        row[:] = np.bincount(rng.integers(count, size=count), minlength=count)
    return drawn


def resampled(
    abnormal: np.ndarray,
    scores: np.ndarray,
    groups: np.ndarray | None = None,
    resamples: int = RESAMPLES,
    seed: int = 0,
) -> dict[str, np.ndarray]:
    """AUC and AP of `resamples` bootstrap resamples: {"auc": (R,), "ap": (R,)}.

    With `groups` (N,), the patient of each beat, whole patients are drawn; without, single beats. The draws do not
    depend on the scores, so the results of two models may be subtracted.
    """
    abnormal, scores = checked(abnormal, scores)
    members = None if groups is None else _members(groups, len(scores))
    draws = _draws(len(scores) if members is None else int(members.max()) + 1, resamples, seed)
    values: dict[str, list[np.ndarray]] = {"auc": [], "ap": []}
    ranked, size = _ranked(abnormal, scores), max(1, BLOCK // len(scores))
    for start in range(0, resamples, size):
        rows = draws[start : start + size]
        hits, false_alarms = _cumulated(ranked, rows if members is None else rows[:, members])
        values["auc"].append(_area(hits, false_alarms))
        values["ap"].append(_precision(hits, false_alarms))
    return {name: np.concatenate(parts) for name, parts in values.items()}


def resampled_auc(abnormal: np.ndarray, scores: np.ndarray, groups: np.ndarray | None = None) -> np.ndarray:
    """The "auc" of `resampled`, (R,), at a fraction of its time if there are `groups`.

    The AUC is the share of the pairs of an abnormal and a normal beat in which the abnormal one has the higher score.
    Such pairs are counted once for each pair of groups; a resample that draws the groups w times has w' pairs w.
    """
    if groups is None:
        return resampled(abnormal, scores)["auc"]
    abnormal, scores = checked(abnormal, scores)
    members = _members(groups, len(scores))
    count = int(members.max()) + 1
    ranks = np.unique(scores, return_inverse=True)[1]  # equal scores have equal ranks
    normal = np.zeros((int(ranks.max()) + 1, count))
    np.add.at(normal, (ranks[~abnormal], members[~abnormal]), 1)
    below = np.cumsum(normal, axis=0) - normal / 2  # normal beats of each group below a rank, and half of those on it
    pairs = np.zeros((count, count))
    np.add.at(pairs, members[abnormal], below[ranks[abnormal]])
    draws = _draws(count).astype(np.float64)
    positives, negatives = (draws @ np.bincount(members[kind], minlength=count) for kind in (abnormal, ~abnormal))
    with np.errstate(invalid="ignore", divide="ignore"):
        return np.einsum("rg,rg->r", draws @ pairs, draws) / (positives * negatives)


def resampled_mean(values: np.ndarray, groups: np.ndarray) -> np.ndarray:
    """The mean of `values` (N,) in each resample of whole groups (N,), the same that `resampled` draws: (R,)."""
    members = _members(groups, len(values))
    draws = _draws(int(members.max()) + 1).astype(np.float64)
    sums, sizes = np.bincount(members, values), np.bincount(members)
    return (draws @ sums) / (draws @ sizes)


def percentiles(value: float, resampled_values: np.ndarray) -> Interval:
    """A value with the percentile interval of its resamples (R,); NaN among them are left out."""
    tail = (1 - LEVEL) / 2
    low, high = np.nanquantile(resampled_values, [tail, 1 - tail])
    return Interval(value, float(low), float(high))


def mean_interval(values: np.ndarray | list[float]) -> OverSeeds:
    """The mean over seeds with Student's t interval, which is infinite below `MIN_SEEDS` seeds.

    Raises:
        EcglibError: there is no value.
    """
    sample = np.asarray(values, dtype=float)
    if len(sample) == 0:
        raise EcglibError("There is no value to take the mean of: no run is finished.")
    mean = float(sample.mean())
    if len(sample) < MIN_SEEDS:
        return OverSeeds(mean, float("-inf"), float("inf"), len(sample))
    half = float(stats.t.ppf((1 + LEVEL) / 2, len(sample) - 1) * stats.sem(sample))
    return OverSeeds(mean, mean - half, mean + half, len(sample))


def without_rounding(differences: np.ndarray) -> np.ndarray:
    """Differences of numbers around 1 in which those of rounding alone are exactly 0."""
    return np.where(np.abs(differences) < 1e-12, 0.0, differences)


def paired_change(numbers: Sequence[Sequence[float]], drawn: Sequence[Sequence[np.ndarray]]) -> Change:
    """Means over seeds before and after something was done, and their mean difference with both intervals.

    Given are, before and after, the number of each seed, and its resamples over patients (R,).
    """
    (before, after), (drawn_before, drawn_after) = numbers, drawn
    differences = without_rounding(np.subtract(after, before))
    over_seeds = mean_interval(differences)
    over_patients = percentiles(over_seeds.value, np.mean(drawn_after, axis=0) - np.mean(drawn_before, axis=0))
    return Change(float(np.mean(before)), float(np.mean(after)), over_seeds, over_patients, differences)


def anomaly_metrics(
    labels: np.ndarray,
    scores: np.ndarray,
    patients: np.ndarray,
    validation_labels: np.ndarray,
    validation_scores: np.ndarray,
) -> dict[str, float]:
    """Every number that R1 reports of one run, with intervals, as a flat dictionary of metric -> value.

    Labels are class names, (N,) of the test beats and (M,) of the validation beats, "N" being normal. The corrected F1
    takes its threshold from the validation beats.
    """
    abnormal = labels != "N"
    _, threshold = best_f1(validation_labels != "N", validation_scores)
    f1_test, threshold_test = best_f1(abnormal, scores)
    result = {
        "auc": auc(abnormal, scores),
        "ap": average_precision(abnormal, scores),
        "chance_ap": float(abnormal.mean()),
        "f1": f1_at(abnormal, scores, threshold),
        "f1_threshold": threshold,
        "f1_threshold_on_test": f1_test,
        "f1_threshold_on_test_threshold": threshold_test,
    }
    for unit, groups in (("beats", None), ("patients", patients)):
        for metric, values in resampled(abnormal, scores, groups).items():
            interval = percentiles(result[metric], values)
            result[f"{metric}_low_{unit}"], result[f"{metric}_high_{unit}"] = interval.low, interval.high
    result.update({f"auc_{name}": value for name, value in per_class_auc(labels, scores).items()})
    return result
