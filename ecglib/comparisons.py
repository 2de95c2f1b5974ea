"""Is one arm better than another? Paired by seed, with intervals over seeds, beats and patients.

R1 compares one run with one run. Two runs of one program differ, too, so a difference means something only beside the
spread of such differences: here every arm has several seeds, and each seed is compared with the same seed of the
control, which had the same initial weights and the same order of data.
"""

from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any, Protocol

import numpy as np
from scipy import stats

from ecglib import metrics
from ecglib.errors import EcglibError
from ecglib.metrics import Interval

TESTED_ON = ("data", "split", "fold", "split_seed", "test_beats")  # settings that decide what is tested


class Tested(Protocol):
    """A run that can be compared: a BeatGAN or a classifier."""

    @property
    def folder(self) -> Path:
        """Where it is stored."""

    @property
    def config(self) -> dict[str, Any]:
        """What it was trained and tested on, where that differs from the defaults."""

    @property
    def metrics(self) -> dict[str, dict[str, float]]:
        """Its numbers."""

    @property
    def tested(self) -> np.ndarray:
        """The labels of what it was tested on."""

    def resampled(self, rule: str, patients: bool) -> dict[str, np.ndarray]:
        """Metrics of each bootstrap resample."""


@dataclass(frozen=True)
class Comparison:
    """Arm minus control.

    Attributes:
        differences: one a seed.
        over_seeds: their mean with Student's t interval: would a re-training say the same?
        over_beats: the same mean over bootstrap resamples of the test beats: would other beats?
        over_patients: likewise of whole patients: would other people?
        p: of the paired t test; NaN for fewer than two seeds, or where nothing differs.
    """

    differences: np.ndarray
    over_seeds: Interval
    over_beats: Interval
    over_patients: Interval
    p: float

    @property
    def identical(self) -> bool:
        """Whether the two arms are the same to the last stored bit."""
        return bool((self.differences == 0).all())


def compare(
    arm: Sequence[Tested], control: Sequence[Tested], rule: str = "corrected", metric: str = "auc"
) -> Comparison:
    """Pair two arms seed by seed.

    Args:
        arm: runs in the order of their seeds.
        control: its partners come first, in the same order; it may have more.
        rule: of choosing BeatGAN's epoch, or the part of the data that a classifier was tested on.
        metric: "auc" or "ap".

    Raises:
        EcglibError: an arm has no partner, or the two were tested on different data.
    """
    if len(arm) > len(control):
        raise EcglibError(f"{len(arm)} runs cannot be paired with {len(control)}: train the control for every seed.")
    partners = control[: len(arm)]
    for one, other in zip(arm, partners, strict=True):
        same_data = all(one.config.get(name) == other.config.get(name) for name in TESTED_ON)
        if not (same_data and np.array_equal(one.tested, other.tested)):
            raise EcglibError(f"{one.folder.name} and {other.folder.name} were tested on different data: no pair.")
    values, control_values = ([run.metrics[rule][metric] for run in runs] for runs in (arm, partners))
    differences = np.subtract(values, control_values)
    over_seeds = metrics.mean_interval(differences)
    over_beats, over_patients = (
        metrics.percentiles(over_seeds.value, _mean(arm, rule, metric, unit) - _mean(partners, rule, metric, unit))
        for unit in (False, True)
    )
    return Comparison(differences, over_seeds, over_beats, over_patients, _p_value(differences))


def _p_value(differences: np.ndarray) -> float:
    """Of the paired t test; NaN for one seed, or where nothing differs."""
    if len(differences) < 2 or not differences.any():
        return float("nan")
    if np.ptp(differences) < 1e-12:  # the same difference in every seed: t is infinite
        return 0.0
    return float(stats.ttest_1samp(differences, 0).pvalue)


def _mean(runs: Sequence[Tested], rule: str, metric: str, patients: bool) -> np.ndarray:
    """The mean over runs of the metric in each of the same resamples: (R,)."""
    return np.mean([run.resampled(rule, patients)[metric] for run in runs], axis=0)


def holm(p_values: Sequence[float]) -> np.ndarray:
    """Holm's (1979) step-down adjustment for several comparisons; NaN stays NaN and counts for nothing."""
    p = np.asarray(p_values, dtype=float)
    adjusted = np.full(len(p), np.nan)
    tested = np.flatnonzero(~np.isnan(p))
    ordered = tested[np.argsort(p[tested], kind="stable")]
    steps = p[ordered] * np.arange(len(ordered), 0, -1)
    adjusted[ordered] = np.minimum(np.maximum.accumulate(steps), 1)
    return adjusted


def verdict(comparison: Comparison, adjusted_p: float) -> str:
    """What the comparison says, in words: a difference counts where other seeds and other patients would show it."""
    if comparison.identical:
        return "identical: nothing was distilled"
    if np.isnan(adjusted_p):
        return "one seed: no verdict"
    if adjusted_p >= 1 - metrics.LEVEL:
        return "no difference shown"
    return for_whom("better" if comparison.over_seeds.value > 0 else "worse", comparison.over_patients)


def for_whom(word: str, over_patients: Interval) -> str:
    """A verdict over seeds, and whether it holds for other patients."""
    return word if over_patients.excludes_zero else f"{word} on these patients; for others not shown"
