"""The tables of notebook 04: what R2 proposed and what was measured, made from stored runs and scores alone.

Everywhere: a sequence of runs or scores (M,) has one a seed, and a single one of a detector without a seed. `limit`
says what of data and budget is not the report's, "" for nothing. `labels`, `patients` and `near_peak` (an R peak was
found near the annotation) are those of the M test beats.
"""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass

import numpy as np
import pandas as pd

from ecglib import reports
from ecglib.beatgan.arms import Arm
from ecglib.beatgan.experiments import ArmRuns
from ecglib.beatgan.tables import values
from ecglib.beatgan.task import BeatGANRun
from ecglib.data.mitbih import CLASSES
from ecglib.show.words import bounds, shown
from ecglib.simclr.detectors import COMPARED, LADDER, aucs
from ecglib.stats import metrics
from ecglib.stats.comparisons import CORRECTED, Unpaired, compare, family, unpaired
from ecglib.stats.metrics import Interval, mean_interval

# Arm of `arms.contrast_arms` -> key of `reports.PROPOSALS`.
SCENARIOS = {"1": "r2.scenario_1", "1p": "r2.scenario_1", "2": "r2.scenario_2", "12": "r2.both"}
STUDENT, PLAIN = "D", "B"
RULE = CORRECTED  # not averaged weights, as in notebook 03: these trainings were made before those were kept

# Verdicts on a scenario that is better, worse.
WORDS = ("a gain, as expected", "a loss, against expectation")


def _values(runs: Sequence[BeatGANRun], metric: str = "auc") -> np.ndarray:
    """One number of each run, of the epoch that was chosen without labels: (seeds,)."""
    return values(runs, metric, RULE)


def scenarios(arms: Mapping[str, Arm], runs: ArmRuns, limit: str) -> pd.DataFrame:
    """Each scenario: what R2 expects, AUC, differences with intervals, p of the paired t test, verdict, power.

    A scenario adds contrast to the student with distillation (arm D), so its difference from D is the effect of
    contrast, and that from B the effect of contrast and distillation. Both are paired: the runs of one seed share
    initial weights and the order of the data. All rows are one family for Holm's correction. "could have shown" is the
    difference that so many seeds would show with a power of 80 % in Holm's first step.
    """
    compared = {name: compare(runs[name], runs[STUDENT], RULE) for name in SCENARIOS}
    judged = family(compared)
    rows = []
    for name, key in SCENARIOS.items():
        proposal, comparison, test = reports.PROPOSALS[key], compared[name], judged[name]
        rows.append(
            {
                "scenario": arms[name].name,
                "R2 expects": f"{proposal.expected} ({proposal.where})",
                "AUC, 95 % over seeds": shown(mean_interval(_values(runs[name]))),
                "minus student (D), paired, over seeds": shown(comparison.over_seeds, signed=True),
                "over patients": bounds(comparison.over_patients, signed=True),
                "minus BeatGAN (B), paired, over seeds": shown(
                    compare(runs[name], runs[PLAIN], RULE).over_seeds, signed=True
                ),
                test.header: test.shown_p,
                "seeds": len(comparison.differences),
                "verdict": test.verdict(limit, *WORDS),
                "could have shown": test.detectable(),
            }
        )
    return pd.DataFrame(rows).set_index("scenario")


def per_class(arms: Mapping[str, Arm], runs: ArmRuns) -> pd.DataFrame:
    """AUC of each class against N, with its interval over seeds."""
    classes = [name for name in CLASSES[1:] if f"auc_{name}" in runs[PLAIN][0].metrics["corrected"]]
    rows = [
        {"arm": arm.name, "seeds": len(runs[key])}
        | {name: shown(mean_interval(_values(runs[key], f"auc_{name}")), 3) for name in classes}
        for key, arm in arms.items()
    ]
    return pd.DataFrame(rows).set_index("arm")


def sweep(arms: Mapping[str, Arm], runs: ArmRuns) -> pd.DataFrame:
    """AUC of each gamma and tau, and its difference from the same student without contrast."""
    rows = [
        {
            "setting": arm.name,
            "AUC, 95 % over seeds": shown(mean_interval(_values(runs[name]))),
            "minus no contrast": "-"
            if name == STUDENT
            else shown(compare(runs[name], runs[STUDENT], RULE).over_seeds, signed=True),
            "seeds": len(runs[name]),
        }
        for name, arm in arms.items()
    ]
    return pd.DataFrame(rows).set_index("setting")


def selection_effect(arms: Mapping[str, Arm], runs: ArmRuns) -> float:
    """By how much the setting with the best test AUC exceeds the mean of all settings."""
    means = [float(_values(runs[name]).mean()) for name in arms if name != STUDENT]
    return max(means) - float(np.mean(means))


def costs(seconds: Mapping[str, float], unit: str) -> pd.DataFrame:
    """Times in `unit` ("ms a step" or "ms a beat"), and as multiples of BeatGAN's, which comes first in `seconds`."""
    first = next(iter(seconds.values()))
    rows = [
        {
            "what": name,
            unit: f"{1000 * spent:,.0f}" if spent > 0.01 else f"{1000 * spent:.2f}",
            "times BeatGAN's": f"{spent / first:.2f}",
        }
        for name, spent in seconds.items()
    ]
    return pd.DataFrame(rows).set_index("what")


def detectors(
    scores: Mapping[str, Sequence[np.ndarray]], labels: np.ndarray, patients: np.ndarray, near_peak: np.ndarray
) -> pd.DataFrame:
    """Each detector: AUC with both intervals, AP, and the AUC of each class against N.

    R1 applies its R-peak rule to N beats only; "R-peak rule on all" is the AUC if it also drops abnormal beats.
    """
    rows = []
    for name, members in scores.items():
        found = [aucs(labels, one) for one in members]
        mean = {key: float(np.mean([row[key] for row in found])) for key in found[0]}
        drawn = np.mean([metrics.resampled_auc(labels != "N", one, patients) for one in members], axis=0)
        ruled = [metrics.auc(labels[near_peak] != "N", one[near_peak]) for one in members]
        rows.append(
            {
                "detector": name,
                "AUC, 95 % over seeds": shown(mean_interval([row["all"] for row in found]))
                if _has_seed(name)
                else f"{mean['all']:.4f} (no seed)",
                "over patients": bounds(metrics.percentiles(mean["all"], drawn)),
                "R-peak rule on all": f"{np.mean(ruled):.4f}",
                "AP": f"{mean['ap']:.4f}",
                **{key: f"{mean[key]:.3f}" for key in CLASSES if key in mean},
                "seeds": len(members) if _has_seed(name) else 0,
            }
        )
    return pd.DataFrame(rows).set_index("detector")


def _has_seed(name: str) -> bool:
    """Whether the scores depend on a seed; those of BeatGANs, which are not in `LADDER`, do."""
    return name not in LADDER or LADDER[name].seeded


def seed_aucs(scores: Mapping[str, Sequence[np.ndarray]], labels: np.ndarray) -> dict[str, dict[str, list[float]]]:
    """Detector -> "all" or a class -> AUC of each run, for `figures.detector_ladder`."""
    found = {name: [aucs(labels, one) for one in members] for name, members in scores.items()}
    return {name: {key: [row[key] for row in rows] for key in rows[0]} for name, rows in found.items()}


# Outcome -> the classes of its test beats. Each comparison is made for both.
OUTCOMES = {"all abnormal": CLASSES, "S against N": ("N", "S")}


@dataclass(frozen=True)
class _Asked:
    """One detector on the beats of one outcome."""

    name: str
    aucs: np.ndarray  # of each run (n,)
    drawn: np.ndarray  # their mean in each resample of patients (R,)


def detector_differences(
    scores: Mapping[str, Sequence[np.ndarray]], labels: np.ndarray, patients: np.ndarray, limit: str
) -> pd.DataFrame:
    """AUC of one detector minus that of another, for each pair in `COMPARED` and each outcome in `OUTCOMES`.

    All rows are one family for Holm's correction. "could have shown" is the difference that so many runs would show
    with a power of 80 % in Holm's first step, or "-" if no two AUCs can differ as much.

    A trained encoder and its untrained control of the same seed share initial weights, so they are paired. The seeds of
    encoders and of BeatGANs are unrelated, so those are unpaired. A detector without a seed is a constant, against
    which the other's runs are tested. The column "test" names the test.
    """
    compared: dict[tuple[str, str, str], Unpaired] = {}
    others: dict[tuple[str, str, str], Interval] = {}
    tests: dict[tuple[str, str, str], str] = {}
    for outcome, classes in OUTCOMES.items():
        chosen = np.isin(labels, classes)
        abnormal, whose = labels[chosen] != "N", patients[chosen]
        asked = {}
        for name in dict.fromkeys(name for pair in COMPARED for name in pair):
            members = [one[chosen] for one in scores[name]]
            drawn = np.mean([metrics.resampled_auc(abnormal, one, whose) for one in members], axis=0)
            asked[name] = _Asked(name, np.array([metrics.auc(abnormal, one) for one in members]), drawn)
        for one, other in COMPARED:
            question = (one, other, outcome)
            found, tests[question] = _compared(asked[one], asked[other])
            compared[question] = found
            others[question] = metrics.percentiles(found.over_seeds.value, asked[one].drawn - asked[other].drawn)
    columns = ["detector", "minus", "beats"]
    rows = [
        dict(zip(columns, question, strict=True))
        | {
            "test": tests[question],
            "difference, 95 % over seeds": shown(judged.comparison.over_seeds, signed=True),
            "over patients": bounds(others[question], signed=True),
            judged.header: judged.shown_p,
            "verdict": judged.verdict(limit, "higher", "lower"),
            "could have shown": judged.detectable(),
        }
        for question, judged in family(compared, over_patients=others).items()
    ]
    return pd.DataFrame(rows).set_index(columns)


def _compared(one: _Asked, other: _Asked) -> tuple[Unpaired, str]:
    seeded = [asked for asked in (one, other) if _has_seed(asked.name)]
    if len(seeded) == 2 and all(asked.name in LADDER for asked in seeded):
        # The paired t test is the test of the differences against zero.
        return unpaired(one.aucs - other.aucs, 0.0), f"paired by seed, {len(one.aucs)}"
    if len(seeded) == 2:
        test = f"unpaired, {len(one.aucs)} and {len(other.aucs)} runs"
    else:
        count = len(seeded[0].aucs)
        test = f"one sample, {count} {'run' if count == 1 else 'runs'}"
    return unpaired(*(asked.aucs if _has_seed(asked.name) else float(asked.aucs[0]) for asked in (one, other))), test
