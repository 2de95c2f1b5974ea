"""AUC, AP, F1 and their intervals, from scores and labels alone.

R1 reports AUC, AP and the best F1 on the test set, as single numbers of single runs. Here each comes with an interval:
over beats, over patients (beats of one patient are not independent) and over seeds. A bootstrap resample is a vector of
weights, so a thousand of them are one matrix and no sorting is repeated.
"""

from collections.abc import Callable
from dataclasses import dataclass

import numpy as np
from scipy import stats
from sklearn.metrics import average_precision_score, roc_auc_score

LEVEL = 0.95
RESAMPLES = 1000
CHUNK = 50  # resamples at once: 50 x 27,107 beats of float64 are 11 MB


@dataclass(frozen=True)
class Interval:
    """A value with its two-sided 95 % interval."""

    value: float
    low: float
    high: float

    def __str__(self) -> str:
        return f"{self.value:.4f} [{self.low:.4f}, {self.high:.4f}]"


def auc(abnormal: np.ndarray, scores: np.ndarray) -> float:
    """Area under the ROC curve; `abnormal` (N,) bool, `scores` (N,), NaN where a class is absent."""
    if abnormal.all() or not abnormal.any():
        return float("nan")
    return float(roc_auc_score(abnormal, scores))


def average_precision(abnormal: np.ndarray, scores: np.ndarray) -> float:
    """Average precision; chance is the share of abnormal beats. NaN where none is abnormal."""
    return float(average_precision_score(abnormal, scores)) if abnormal.any() else float("nan")


def f1_at(abnormal: np.ndarray, scores: np.ndarray, threshold: float) -> float:
    """F1 of calling every beat with a score of at least `threshold` abnormal; 0 where nothing is found."""
    called = scores >= threshold
    hits = int((called & abnormal).sum())
    return 2 * hits / (int(called.sum()) + int(abnormal.sum())) if hits else 0.0


def best_f1(abnormal: np.ndarray, scores: np.ndarray) -> tuple[float, float]:
    """The best F1 over all thresholds and the threshold that gives it.

    R1 does this on the test set (as coded); corrected, the threshold comes from validation and goes to `f1_at`.
    """
    thresholds, hits, false_alarms = _cumulated(abnormal, scores, np.ones((1, len(scores))))
    values = 2 * hits[0] / (hits[0] + false_alarms[0] + hits[0, -1])
    best = int(values.argmax())
    return float(values[best]), float(thresholds[best])


def per_class_auc(labels: np.ndarray, scores: np.ndarray, normal: str = "N") -> dict[str, float]:
    """AUC of each abnormal class against the normal beats alone; `labels` (N,) of class names."""
    result = {}
    for name in dict.fromkeys(labels.tolist()):
        if name != normal:
            chosen = (labels == normal) | (labels == name)
            result[name] = auc(labels[chosen] == name, scores[chosen])
    return result


def _cumulated(abnormal: np.ndarray, scores: np.ndarray, weights: np.ndarray) -> tuple[np.ndarray, ...]:
    """Distinct thresholds (K,) from high to low, with the weight of hits and of false alarms (R, K) at each."""
    order = np.argsort(-scores, kind="stable")
    ordered = scores[order]
    last_of_tie = np.append(np.flatnonzero(np.diff(ordered)), len(ordered) - 1)
    weights, positive = weights[:, order], abnormal[order]
    hits = np.cumsum(weights * positive, axis=1)[:, last_of_tie]
    false_alarms = np.cumsum(weights * ~positive, axis=1)[:, last_of_tie]
    return ordered[last_of_tie], hits, false_alarms


def weighted_auc(abnormal: np.ndarray, scores: np.ndarray, weights: np.ndarray) -> np.ndarray:
    """AUC under each row of `weights` (R, N): (R,), NaN where a row leaves a class without weight."""
    _, hits, false_alarms = _cumulated(abnormal, scores, weights)
    area = (np.diff(false_alarms, prepend=0) * (hits + np.pad(hits, ((0, 0), (1, 0)))[:, :-1])).sum(axis=1) / 2
    with np.errstate(invalid="ignore"):
        return area / (hits[:, -1] * false_alarms[:, -1])


def weighted_average_precision(abnormal: np.ndarray, scores: np.ndarray, weights: np.ndarray) -> np.ndarray:
    """Average precision under each row of `weights` (R, N): (R,)."""
    _, hits, false_alarms = _cumulated(abnormal, scores, weights)
    with np.errstate(invalid="ignore"):
        precision = np.nan_to_num(hits / (hits + false_alarms))
        return (np.diff(hits, prepend=0) * precision).sum(axis=1) / hits[:, -1]


Statistic = Callable[[np.ndarray, np.ndarray, np.ndarray], np.ndarray]


def bootstrap(
    statistic: Statistic,
    abnormal: np.ndarray,
    scores: np.ndarray,
    groups: np.ndarray | None = None,
    resamples: int = RESAMPLES,
    seed: int = 0,
) -> Interval:
    """Percentile bootstrap of `weighted_auc` or `weighted_average_precision`.

    Args:
        statistic: maps (abnormal, scores, weights (R, N)) to (R,).
        abnormal: (N,) bool.
        scores: (N,).
        groups: (N,) patient of each beat: whole patients are drawn. None: single beats are drawn.
        resamples: how many resamples.
        seed: of the draws.

    Returns:
        The statistic on the sample itself with the 2.5 % and 97.5 % quantiles of its resamples.
    """
    rng = np.random.default_rng(seed)
    members = np.arange(len(scores)) if groups is None else np.unique(groups, return_inverse=True)[1]
    count = int(members.max()) + 1
    values = []
    for start in range(0, resamples, CHUNK):
        rows = min(CHUNK, resamples - start)
        drawn = rng.integers(count, size=(rows, count)) + count * np.arange(rows)[:, None]
        weights = np.bincount(drawn.ravel(), minlength=rows * count).reshape(rows, count)
        values.append(statistic(abnormal, scores, weights[:, members]))
    tail = (1 - LEVEL) / 2
    low, high = np.nanquantile(np.concatenate(values), [tail, 1 - tail])
    return Interval(float(statistic(abnormal, scores, np.ones((1, len(scores))))[0]), float(low), float(high))


def bootstrap_mean(values: np.ndarray, resamples: int = RESAMPLES, seed: int = 0) -> Interval:
    """The mean of `values` (N,) with its percentile bootstrap interval."""
    rng = np.random.default_rng(seed)
    means = np.array([values[rng.integers(len(values), size=len(values))].mean() for _ in range(resamples)])
    tail = (1 - LEVEL) / 2
    low, high = np.quantile(means, [tail, 1 - tail])
    return Interval(float(values.mean()), float(low), float(high))


def mean_interval(values: np.ndarray | list[float]) -> Interval:
    """The mean over seeds with Student's t interval, infinite for a single seed: that says nothing of the spread."""
    sample = np.asarray(values, dtype=float)
    mean = float(sample.mean())
    if len(sample) < 2:
        return Interval(mean, float("-inf"), float("inf"))
    half = float(stats.t.ppf((1 + LEVEL) / 2, len(sample) - 1) * stats.sem(sample))
    return Interval(mean, mean - half, mean + half)


def anomaly_metrics(
    labels: np.ndarray,
    scores: np.ndarray,
    patients: np.ndarray,
    validation_labels: np.ndarray,
    validation_scores: np.ndarray,
) -> dict[str, float]:
    """Every number that R1 reports of one run, with intervals, as a flat JSON-ready dictionary.

    Args:
        labels: (N,) class names of the test beats, "N" being normal.
        scores: (N,) anomaly scores of the test beats.
        patients: (N,) patient of each test beat.
        validation_labels: (M,) class names of the validation beats.
        validation_scores: (M,) their scores, from which the corrected F1 threshold is taken.
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
    for metric, statistic in (("auc", weighted_auc), ("ap", weighted_average_precision)):
        for unit, groups in (("beats", None), ("patients", patients)):
            interval = bootstrap(statistic, abnormal, scores, groups)
            result[f"{metric}_low_{unit}"], result[f"{metric}_high_{unit}"] = interval.low, interval.high
    result.update({f"auc_{name}": value for name, value in per_class_auc(labels, scores).items()})
    return result
