"""Is a difference smaller than a margin, and is a number above a goal?

That no difference is shown does not say that there is none. Everywhere differences (seeds,) are paired. p asks other
trainings of these records; a verdict also needs an interval over patients, which asks other people.
"""

from collections.abc import Mapping

import numpy as np
import pandas as pd
from scipy import stats

from ecglib.stats.comparisons import counted, holm, limited, p_header, shown_p
from ecglib.stats.metrics import FEW, LEVEL, MIN_SEEDS, Interval

# Two macro-AUCs count as equal within this. It is R3's own resolution: R3 rounds class AUCs to two decimals, so that a
# reported number may lie 0.005 beside the true one. It is also the half-width of a 90 % bootstrap on all of PTB-XL's
# fold 10, as the published benchmark has it: smaller differences cannot be told there.
EQUAL_MARGIN = 0.005


def above(differences: np.ndarray, bound: float) -> float:
    """p of the one-sided t test whether the mean of the differences (seeds,) lies above `bound`.

    NaN below `metrics.MIN_SEEDS` seeds.
    """
    if len(differences) < MIN_SEEDS:
        return float("nan")
    if np.ptp(differences) < 1e-12:  # the same difference in every seed: t is infinite
        return 0.0 if float(np.mean(differences)) > bound else 1.0
    return float(stats.ttest_1samp(differences, bound, alternative="greater").pvalue)


def equivalence(differences: np.ndarray, margin: float) -> float:
    """p of two one-sided t tests (Schuirmann 1987), small if the mean of the differences (seeds,) is within ±margin.

    It is the larger p of the two; NaN below `metrics.MIN_SEEDS` seeds.
    """
    return max(above(differences, -margin), above(-differences, -margin))


def equivalence_table(questions: Mapping[str, tuple[np.ndarray, Interval]], limit: str = "") -> pd.DataFrame:
    """Whether pairs are equal within half, once and twice `EQUAL_MARGIN`: seeds by TOST, Holm; patients by interval.

    `questions` maps what is claimed to be equal to the differences (seeds,) and their mean's interval over patients.
    `limit` says what of data and budget is not the report's, "" for nothing.
    """
    rows = {
        name: {
            "seeds": str(len(differences)),
            "difference": f"{differences.mean():+.4f}",
            "over patients": f"[{over_patients.low:+.4f}, {over_patients.high:+.4f}]",
        }
        for name, (differences, over_patients) in questions.items()
    }
    for factor in (0.5, 1, 2):
        margin = factor * EQUAL_MARGIN
        adjusted = holm([equivalence(differences, margin) for differences, _ in questions.values()])
        for (name, (_, over_patients)), p in zip(questions.items(), adjusted, strict=True):
            within = max(-over_patients.low, over_patients.high) < margin
            rows[name][f"within {margin:g}: {p_header(counted(adjusted))}"] = shown_p(p)
            rows[name][f"within {margin:g}"] = limited(verdict("equal", float(p), within), limit)
    return pd.DataFrame.from_dict(rows, orient="index").rename_axis("equal?")


def verdict(word: str, adjusted_p: float, over_patients: bool) -> str:
    """`word` if p over seeds shows it, and whether other people would show it, too: `over_patients` says that."""
    if np.isnan(adjusted_p):
        return FEW
    if adjusted_p >= 1 - LEVEL:
        return "not shown"
    return word if over_patients else f"{word} on these patients; for others not shown"


def reached(goal: float, over_seeds: Interval, over_patients: Interval) -> str:
    """Whether a number is above a goal: "reached" if both intervals lie above it, "missed" if both lie below.

    Otherwise it is "open".
    """
    if np.isinf(over_seeds.low):
        return FEW
    if np.min([over_seeds.low, over_patients.low]) > goal:
        return "reached"
    return "missed" if np.max([over_seeds.high, over_patients.high]) < goal else "open"
