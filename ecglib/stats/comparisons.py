"""Is one arm better than another? Paired by seed, with intervals over seeds, beats and patients.

R1 compares one run with one run. Two runs of one program differ, too, so a difference means something only beside the
spread of such differences: here every arm has several seeds, and each seed is compared with the same seed of the
control, which had the same initial weights and the same order of data.
"""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from itertools import combinations
from pathlib import Path
from typing import Any, Protocol, TypeVar

import numpy as np
from scipy import optimize, stats

from ecglib.core.errors import EcglibError
from ecglib.core.seeds import STUDENT_SEED
from ecglib.stats import metrics
from ecglib.stats.metrics import Interval

POWER = 0.8  # of "the smallest difference that so many runs could have shown"
IDENTICAL = "the same number in every seed"
AFTER_HOLM = " after Holm's correction"  # in the words for a difference that an uncorrected interval would show
TESTED_ON = ("data", "split", "fold", "split_seed", "test_beats")  # settings that decide what is tested


@dataclass(frozen=True)
class Rule:
    """How BeatGAN's epoch was chosen, if one was. A column takes its numbers and its heading from one `Rule`."""

    key: str  # of `Tested.metrics`
    label: str  # for a reader


AS_CODED, CORRECTED = Rule("as_coded", "as coded"), Rule("corrected", "corrected")
# Section 3.3.4.2 of R1 takes the epoch with the best validation AUC, as its program does.
AS_WRITTEN = Rule("as_coded", "as written")
# The last quarter of the epochs, of which none is chosen (`beatgan.quarter`).
LATE = Rule("late", "none: mean AUC, last quarter")
AVERAGED = Rule("averaged", "none: averaged weights, last quarter")


class Tested(Protocol):
    """A run that can be compared.

    A key names a set of numbers: of a BeatGAN the rule that chose its epoch, of a classifier the part of the data.
    """

    @property
    def folder(self) -> Path: ...

    @property
    def config(self) -> dict[str, Any]: ...

    @property
    def metrics(self) -> dict[str, dict[str, float]]:
        """Key -> metric -> value."""

    @property
    def tested(self) -> np.ndarray:
        """The labels of what it was tested on."""

    def resampled(self, key: str, patients: bool) -> np.ndarray:
        """The AUC in each bootstrap resample, of whole patients or of single beats or records: (R,)."""


@dataclass(frozen=True)
class Comparison:
    """Arm minus control: the mean difference over the seeds, with three intervals."""

    differences: np.ndarray  # (seeds,)
    over_seeds: Interval  # Student's t: would a re-training say the same?
    over_beats: Interval  # bootstrap of the test beats or records: would others say the same?
    over_patients: Interval  # bootstrap of whole patients: would other people?
    p: float  # of the paired t test; NaN for fewer than `metrics.MIN_SEEDS` seeds, or if nothing differs

    @property
    def identical(self) -> bool:
        """Whether no pair differs in its number; differences of rounding are none."""
        return bool((self.differences == 0).all())

    def detectable(self, questions: int = 1) -> float:
        """The smallest true difference that so many seeds, spread as these, show with a power of 80 %.

        Holm's first step asks each question of a family at 0.05 / `questions`. Infinite for too few seeds.
        """
        count = len(self.differences)
        if count < metrics.MIN_SEEDS:
            return float("inf")
        return _detectable(float(stats.sem(self.differences)), count - 1, questions)


@dataclass(frozen=True)
class Unpaired:
    """The mean of some trainings minus the mean of others whose seeds do not pair with theirs (Welch 1947)."""

    over_seeds: Interval
    p: float  # of Welch's t test; NaN if there are too few seeds
    counts: tuple[int, int]  # how many runs each side has; 1 for something without a seed
    error: float  # the standard error of the difference
    freedom: float  # Welch's degrees of freedom

    def detectable(self, questions: int = 1) -> float:
        """See `Comparison.detectable`."""
        return float("inf") if np.isnan(self.p) else _detectable(self.error, self.freedom, questions)


def pairwise_distances(values: np.ndarray) -> np.ndarray:
    """How far each two of the values (n,) lie apart, (n (n - 1) / 2,): the spread of re-runs, seen as differences."""
    return np.array([abs(one - other) for one, other in combinations(values, 2)])


def unpaired(values: Sequence[float] | np.ndarray | float, control: Sequence[float] | np.ndarray | float) -> Unpaired:
    """Compare runs whose seeds do not belong together, such as an encoder's (n,) and a BeatGAN's (m,).

    A plain number is a method without a seed, a constant: its spread is zero. One run is no constant. The interval is
    infinite and p is NaN if a side of runs has fewer than `metrics.MIN_SEEDS`, or if both sides are constants.
    """
    constant = [np.ndim(side) == 0 for side in (values, control)]
    sides = [np.atleast_1d(np.asarray(side, dtype=float)) for side in (values, control)]
    counts = (len(sides[0]), len(sides[1]))
    difference = float(sides[0].mean() - sides[1].mean())
    few = [count < metrics.MIN_SEEDS and not fixed for count, fixed in zip(counts, constant, strict=True)]
    if all(constant) or any(few):
        unknown = Interval(difference, float("-inf"), float("inf"))
        return Unpaired(unknown, float("nan"), counts, float("nan"), float("nan"))
    variances = [
        0.0 if fixed else float(side.var(ddof=1)) / len(side) for side, fixed in zip(sides, constant, strict=True)
    ]
    error = float(np.sqrt(sum(variances)))
    if error == 0:  # nothing varies: every further run would give the same
        exact = Interval(difference, difference, difference)
        return Unpaired(exact, 0.0 if difference else 1.0, counts, 0.0, float(max(counts) - 1))
    freedom = sum(variances) ** 2 / sum(
        variance**2 / (count - 1) for variance, count in zip(variances, counts, strict=True) if variance
    )
    half = float(stats.t.ppf((1 + metrics.LEVEL) / 2, freedom)) * error
    p = float(2 * stats.t.sf(abs(difference) / error, freedom))
    return Unpaired(Interval(difference, difference - half, difference + half), p, counts, error, freedom)


def _detectable(error: float, freedom: float, questions: int) -> float:
    """The difference at which a two-sided t test at 0.05 / questions has a power of 80 %, by the noncentral t."""
    critical = float(stats.t.ppf(1 - (1 - metrics.LEVEL) / (2 * questions), freedom))

    def lacking(shift: float) -> float:
        return float(stats.nct.sf(critical, freedom, shift)) - POWER  # the other tail's share is negligible here

    return error * float(optimize.brentq(lacking, 0, 3 * critical + 10))


def compare(arm: Sequence[Tested], control: Sequence[Tested], by: Rule | str) -> Comparison:
    """Pair two arms seed by seed, by the AUC of a rule or of a key (see `Tested`).

    Both arms are in the order of their seeds. The control may have more runs; its first ones are the partners. Partners
    have the same seed, or those of a teacher and its student (`core.seeds.STUDENT_SEED`).

    Raises:
        EcglibError: an arm has no partner, seeds do not pair, or two partners were tested on different data.
    """
    key = by.key if isinstance(by, Rule) else by
    if len(arm) > len(control):
        raise EcglibError(f"{len(arm)} runs cannot be paired with {len(control)}: train the control for every seed.")
    partners = control[: len(arm)]
    for one, other in zip(arm, partners, strict=True):
        same_data = all(one.config.get(name) == other.config.get(name) for name in TESTED_ON)
        if not (same_data and np.array_equal(one.tested, other.tested)):
            raise EcglibError(f"{one.folder.name} and {other.folder.name} were tested on different data: no pair.")
    seeds, others = ([run.config["training"]["seed"] for run in runs] for runs in (arm, partners))
    offsets = set(np.subtract(seeds, others).tolist())
    if len(offsets) > 1 or not offsets <= {0, STUDENT_SEED, -STUDENT_SEED}:
        raise EcglibError(f"Runs of seeds {seeds} and {others} do not pair in this order.")
    values, control_values = ([run.metrics[key]["auc"] for run in runs] for runs in (arm, partners))
    differences = metrics.without_rounding(np.subtract(values, control_values))
    over_seeds = metrics.mean_interval(differences)
    over_beats, over_patients = (
        metrics.percentiles(over_seeds.value, _mean(arm, key, unit) - _mean(partners, key, unit))
        for unit in (False, True)
    )
    return Comparison(differences, over_seeds, over_beats, over_patients, p_value(differences))


def p_value(differences: np.ndarray) -> float:
    """p of the paired t test on differences (seeds,); NaN below `metrics.MIN_SEEDS` seeds, or if nothing differs."""
    if len(differences) < metrics.MIN_SEEDS or not differences.any():
        return float("nan")
    if np.ptp(differences) < 1e-12:  # the same difference in every seed: t is infinite
        return 0.0
    return float(stats.ttest_1samp(differences, 0).pvalue)


def _mean(runs: Sequence[Tested], key: str, patients: bool) -> np.ndarray:
    return np.mean([run.resampled(key, patients) for run in runs], axis=0)


def holm(p_values: Sequence[float]) -> np.ndarray:
    """Holm's (1979) step-down adjustment for several comparisons; NaN stays NaN and is not counted."""
    p = np.asarray(p_values, dtype=float)
    adjusted = np.full(len(p), np.nan)
    tested = np.flatnonzero(~np.isnan(p))
    ordered = tested[np.argsort(p[tested], kind="stable")]
    steps = p[ordered] * np.arange(len(ordered), 0, -1)
    adjusted[ordered] = np.minimum(np.maximum.accumulate(steps), 1)
    return adjusted


def counted(adjusted: np.ndarray) -> int:
    """How many questions a family has: those with a p, or all if none has."""
    return int(np.isfinite(adjusted).sum()) or len(adjusted)


def p_header(questions: int) -> str:
    """The heading of a table's column of adjusted p: all questions of a table are one family."""
    return f"p (Holm, {questions} questions)" if questions > 1 else "p (1 question)"


def verdict(
    comparison: Comparison | Unpaired,
    adjusted_p: float,
    claimed: float | None = None,
    over_patients: Interval | None = None,
) -> str:
    """What a comparison says, in words: a difference counts if other seeds and other patients would show it.

    If no difference is shown, the words say whether the interval over seeds excludes the one that a report `claimed`.
    That interval is not corrected: where it excludes 0, the words say that Holm's correction made the difference.
    An unpaired comparison has no interval over patients of its own, so it is given.
    """
    if isinstance(comparison, Comparison):
        if comparison.identical:
            return IDENTICAL
        over_patients = comparison.over_patients
    if np.isnan(adjusted_p):
        return metrics.FEW
    found = comparison.over_seeds
    if adjusted_p < 1 - metrics.LEVEL:
        word = "better" if found.value > 0 else "worse"
        return word if over_patients is None else for_whom(word, over_patients)
    corrected = AFTER_HOLM if found.excludes_zero else ""
    if claimed is None:
        return f"no difference shown{corrected}"
    if found.low <= claimed <= found.high:
        return f"cannot tell: the report's {claimed:+.4f} is not excluded, nor is 0{corrected}"
    return f"no difference shown{corrected}: excludes the report's {claimed:+.4f}"


def for_whom(word: str, over_patients: Interval) -> str:
    """A verdict over seeds, and whether it holds for other patients."""
    return word if over_patients.excludes_zero else f"{word} on these patients; for others not shown"


@dataclass(frozen=True)
class Judged:
    """A comparison as one of the questions of a table, which are one family for Holm's correction."""

    comparison: Comparison | Unpaired
    p: float  # adjusted
    questions: int  # in the family
    claimed: float | None = None  # the difference that a report publishes
    over_patients: Interval | None = None  # of an unpaired comparison

    @property
    def header(self) -> str:
        """The heading of the column of `shown_p`."""
        return p_header(self.questions)

    @property
    def shown_p(self) -> str:
        """The adjusted p as a table shows it."""
        return shown_p(self.p)

    def verdict(self, limit: str = "", better: str = "better", worse: str = "worse") -> str:
        """The function `verdict` in a table's own words; `limit` says what is not the report's, see `limited`."""
        words = verdict(self.comparison, self.p, self.claimed, self.over_patients)
        for word, chosen in (("better", better), ("worse", worse)):
            words = chosen + words.removeprefix(word) if words.startswith(word) else words
        return limited(words, limit)

    def detectable(self, digits: int = 4) -> str:
        """The column "could have shown": see `Comparison.detectable`."""
        return shown_detectable(self.comparison, self.questions, digits)


Name = TypeVar("Name")


def family(
    questions: Mapping[Name, Comparison | Unpaired],
    claimed: Mapping[Name, float | None] | None = None,
    over_patients: Mapping[Name, Interval] | None = None,
) -> dict[Name, Judged]:
    """All questions of a table, judged together; see `Judged` for what each question may have.

    The family is those that can be tested: with fewer than `metrics.MIN_SEEDS` seeds there is no p to correct.
    """
    adjusted = holm([one.p for one in questions.values()])
    tested = counted(adjusted)
    # A report that says "no change" claims no difference that an interval could exclude.
    claims, others = {name: one or None for name, one in (claimed or {}).items()}, over_patients or {}
    return {
        name: Judged(one, float(p), tested, claims.get(name), others.get(name))
        for (name, one), p in zip(questions.items(), adjusted, strict=True)
    }


def shown_p(p: float) -> str:
    """A p as a table shows it; "-" for NaN."""
    return "-" if np.isnan(p) else f"{p:.2g}"


def limited(words: str, limit: str) -> str:
    """A verdict, which says so if data or budget are not the report's: `limit` is "at this budget", "" for nothing."""
    return f"{words} ({limit})" if limit else words


def shown_detectable(comparison: Comparison | Unpaired, questions: int = 1, digits: int = 4) -> str:
    """`Comparison.detectable` as a table shows it; "-" above 1, as no two AUCs lie that far apart."""
    smallest = comparison.detectable(questions)
    return f"{smallest:.{digits}f}" if smallest <= 1 else "-"
