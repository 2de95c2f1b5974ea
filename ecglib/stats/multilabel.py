"""How good is a multi-label classifier? AUC and AP of each class, their means, intervals over records or patients.

Everywhere `targets` (N, C) are 0 and 1, scores or probabilities are (N, C), and `patients` (N,) says whose each record
is. Resamples are drawn alike for equal targets, so the results of two models may be subtracted.
"""

from collections.abc import Sequence

import numpy as np

from ecglib.core.errors import EcglibError
from ecglib.stats import metrics
from ecglib.stats.metrics import Interval


def _checked(targets: np.ndarray, scores: np.ndarray, probable: bool = False) -> tuple[np.ndarray, np.ndarray]:
    """Targets and scores of one shape (N, C): the door of what follows, as `metrics.checked` is for one class.

    Raises:
        EcglibError: shapes differ, a target is not 0 or 1, a value is masked, a score is not finite or, if `probable`,
            not in 0 to 1.
    """
    metrics.refuse_masked(targets, scores)
    targets, scores = np.asarray(targets), np.asarray(scores)
    if targets.shape != scores.shape or targets.ndim != 2 or targets.size == 0:
        raise EcglibError(f"Targets {targets.shape} and scores {scores.shape} do not fit: both must be (N, C).")
    metrics.checked(targets.ravel(), scores.ravel())
    if probable and not ((scores >= 0) & (scores <= 1)).all():
        raise EcglibError("Probabilities must lie between 0 and 1: are these logits?")
    return targets, scores


def class_metrics(targets: np.ndarray, scores: np.ndarray, classes: Sequence[str]) -> dict[str, float]:
    """`auc_<class>` and `ap_<class>` of each column's class, and their means `auc` and `ap` over those that occur.

    A class occurs if some records have it and some do not; without any such class, the means are NaN.

    Raises:
        EcglibError: shapes differ, a target is not 0 or 1, a score is not finite, or names do not fit the columns.
    """
    targets, scores = _checked(targets, scores)
    if len(set(classes)) < len(classes) or len(classes) != targets.shape[1]:
        raise EcglibError(f"{len(classes)} names of classes, all different, must fit targets {targets.shape}.")
    found: dict[str, float] = {}
    for column, name in enumerate(classes):
        present = targets[:, column] == 1
        if present.any() and not present.all():
            found[f"auc_{name}"] = metrics.auc(present, scores[:, column])
            found[f"ap_{name}"] = metrics.average_precision(present, scores[:, column])
    of = {kind: [value for key, value in found.items() if key.startswith(kind)] for kind in ("auc", "ap")}
    return {kind: float(np.mean(values)) if values else float("nan") for kind, values in of.items()} | found


def macro_auc(targets: np.ndarray, scores: np.ndarray) -> float:
    """The mean AUC over the classes that occur; NaN without any."""
    targets, scores = _checked(targets, scores)
    aucs = [metrics.auc(column == 1, found) for column, found in zip(targets.T, scores.T, strict=True)]
    return float(np.nanmean(aucs)) if np.isfinite(aucs).any() else float("nan")


def rounded_auc(found: dict[str, float]) -> float:
    """The macro-AUC as R3 has it: the mean of class AUCs that were first rounded to two decimals (R3's program)."""
    values = [round(value, 2) for key, value in found.items() if key.startswith("auc_")]
    return float(np.mean(values))


def resampled_auc(targets: np.ndarray, scores: np.ndarray, patients: np.ndarray | None = None) -> np.ndarray:
    """Macro-AUC of each bootstrap resample of the records, or of whole patients: (R,).

    As in `macro_auc` the mean is over the classes that occur, here in the resample; NaN without any.
    """
    targets, scores = _checked(targets, scores)
    present = [column for column in range(targets.shape[1]) if 0 < targets[:, column].sum() < len(targets)]
    drawn = [metrics.resampled_auc(targets[:, column] == 1, scores[:, column], patients) for column in present]
    if not drawn:
        return np.full(metrics.RESAMPLES, np.nan)
    occurs = np.isfinite(drawn)
    with np.errstate(invalid="ignore"):
        return np.where(occurs, drawn, 0).sum(axis=0) / occurs.sum(axis=0)


def auc_interval(targets: np.ndarray, scores: np.ndarray, patients: np.ndarray | None = None) -> Interval:
    """Macro-AUC with its 95 % interval over records, or over whole patients."""
    return metrics.percentiles(macro_auc(targets, scores), resampled_auc(targets, scores, patients))


BINS = 10  # of equal width, for the calibration error


def brier(targets: np.ndarray, probabilities: np.ndarray) -> float:
    """Mean squared difference of probabilities and targets (Brier 1950): 0 is perfect."""
    targets, probabilities = _checked(targets, probabilities, probable=True)
    return float(np.mean((probabilities - targets) ** 2))


def resampled_brier(targets: np.ndarray, probabilities: np.ndarray, patients: np.ndarray) -> np.ndarray:
    """Brier score of each bootstrap resample of whole patients, the same that `resampled_auc` draws: (R,)."""
    targets, probabilities = _checked(targets, probabilities, probable=True)
    return metrics.resampled_mean(((probabilities - targets) ** 2).mean(axis=1), patients)


def calibration_error(targets: np.ndarray, probabilities: np.ndarray) -> float:
    """Expected calibration error, the mean over classes (Guo et al. 2017).

    For each of ten bins of equal width: the distance of the mean probability from the share of records that have the
    class, weighted by the number of records in the bin.
    """
    targets, probabilities = _checked(targets, probabilities, probable=True)
    bins = np.minimum((probabilities * BINS).astype(int), BINS - 1)
    errors = []
    for column in range(targets.shape[1]):
        count, said, true = (
            np.bincount(bins[:, column], weights, minlength=BINS)
            for weights in (np.ones(len(targets)), probabilities[:, column], targets[:, column].astype(float))
        )
        errors.append(np.abs(said - true).sum() / count.sum())
    return float(np.mean(errors))
