"""The tables of notebook 04: what R2 proposed and what was measured, from stored runs and scores alone."""

from collections.abc import Mapping, Sequence

import numpy as np
import pandas as pd

from ecglib import metrics, novelty, reports
from ecglib.arm_tables import ArmRuns, values
from ecglib.arms import Arm
from ecglib.comparisons import Unpaired, compare, holm, p_header, shown_detectable, unpaired, verdict
from ecglib.data.mitbih import CLASSES
from ecglib.metrics import mean_interval
from ecglib.tables import bounds, shown

# Arm of `arms.contrast_arms` -> what R2 expects of it (a key of `reports.PROPOSALS`).
SCENARIOS = {"1": "r2.scenario_1", "1p": "r2.scenario_1", "2": "r2.scenario_2", "12": "r2.both"}
STUDENT, PLAIN = "D", "B"
VERDICTS = {"better": "a gain, as expected", "worse": "a loss, against expectation"}


def scenarios(arms: Mapping[str, Arm], runs: ArmRuns, comparable: bool) -> pd.DataFrame:
    """Proposed / measured / interval / verdict; the four differences from D are one family for Holm's correction.

    Each scenario is added to R1's student with its corrected distillation (arm D), so the difference from D of the same
    seed is what contrast does; the difference from B is what all of it does.

    Args:
        arms: what each arm does.
        runs: of arms B, D and the scenarios.
        comparable: whether data and budget are the report's.
    """
    compared = {name: compare(runs[name], runs[STUDENT]) for name in SCENARIOS}
    adjusted = holm([comparison.p for comparison in compared.values()])
    rows = []
    for (name, key), p in zip(SCENARIOS.items(), adjusted, strict=True):
        proposal, comparison = reports.PROPOSALS[key], compared[name]
        found = verdict(comparison, float(p))
        rows.append(
            {
                "scenario": arms[name].name,
                "R2 expects": f"{proposal.expected} ({proposal.where})",
                "AUC, 95 % over seeds": shown(mean_interval(values(runs[name]))),
                "minus student (D), over seeds": shown(comparison.over_seeds, signed=True),
                "over patients": bounds(comparison.over_patients, signed=True),
                "minus BeatGAN (B), over seeds": shown(compare(runs[name], runs[PLAIN]).over_seeds, signed=True),
                p_header(len(SCENARIOS)): "-" if np.isnan(p) else f"{p:.2g}",
                "seeds": len(comparison.differences),
                "verdict": VERDICTS.get(found, found) + ("" if comparable else " (at this budget)"),
                "could have shown": shown_detectable(comparison, len(SCENARIOS)),
            }
        )
    return pd.DataFrame(rows).set_index("scenario")


def per_class(arms: Mapping[str, Arm], runs: ArmRuns) -> pd.DataFrame:
    """AUC of each class against N: mean over seeds and interval."""
    classes = [name for name in CLASSES[1:] if f"auc_{name}" in runs[PLAIN][0].metrics["corrected"]]
    rows = [
        {"arm": arm.name}
        | {name: shown(mean_interval(values(runs[key], f"auc_{name}")), 3) for name in classes}
        | {"seeds": len(runs[key])}
        for key, arm in arms.items()
    ]
    return pd.DataFrame(rows).set_index("arm")


def sweep(arms: Mapping[str, Arm], runs: ArmRuns) -> pd.DataFrame:
    """AUC of every setting of gamma and tau, and its difference from the same student without contrast."""
    rows = [
        {
            "setting": arm.name,
            "AUC, 95 % over seeds": shown(mean_interval(values(runs[name]))),
            "minus no contrast": "-"
            if name == STUDENT
            else shown(compare(runs[name], runs[STUDENT]).over_seeds, signed=True),
            "seeds": len(runs[name]),
        }
        for name, arm in arms.items()
    ]
    return pd.DataFrame(rows).set_index("setting")


def selection_effect(arms: Mapping[str, Arm], runs: ArmRuns) -> float:
    """By how much the best setting, chosen by test AUC, exceeds a setting taken at random."""
    means = [float(values(runs[name]).mean()) for name in arms if name != STUDENT]
    return max(means) - float(np.mean(means))


def costs(seconds: Mapping[str, float], unit: str) -> pd.DataFrame:
    """Times, and as multiples of plain BeatGAN's.

    Args:
        seconds: what is done -> its time; BeatGAN comes first.
        unit: what is timed: "ms a step", "ms a beat".
    """
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

    R1 keeps an N beat only where a detector finds its R peak, and asks nothing of the others; "R-peak rule on all" is
    the AUC without the abnormal beats that the rule would drop, too.

    Args:
        scores: detector -> (M,) scores of each seed.
        labels: (M,) classes of the test beats.
        patients: (M,).
        near_peak: (M,) bool, whether an R peak was found near the beat's annotation.
    """
    rows = []
    for name, members in scores.items():
        found = [novelty.aucs(labels, one) for one in members]
        mean = {key: float(np.mean([row[key] for row in found])) for key in found[0]}
        drawn = np.mean([metrics.resampled(labels != "N", one, patients)["auc"] for one in members], axis=0)
        over_patients = metrics.percentiles(mean["all"], drawn)
        rows.append(
            {
                "detector": name,
                "AUC, 95 % over seeds": shown(mean_interval([row["all"] for row in found]))
                if _has_seed(name)
                else f"{mean['all']:.4f} (no seed)",
                "over patients": bounds(over_patients),
                "R-peak rule on all": f"{np.mean([_under_rule(labels, one, near_peak) for one in members]):.4f}",
                "AP": f"{mean['ap']:.4f}",
                **{key: f"{mean[key]:.3f}" for key in CLASSES if key in mean},
                "seeds": len(members) if _has_seed(name) else 0,
            }
        )
    return pd.DataFrame(rows).set_index("detector")


def _has_seed(name: str) -> bool:
    """Whether a detector has trained or drawn weights; principal components and RR intervals have none."""
    return name not in novelty.LADDER or bool({"contrast", "untrained"} & set(novelty.LADDER[name].blocks))


def _under_rule(labels: np.ndarray, scores: np.ndarray, near_peak: np.ndarray) -> float:
    return metrics.auc(labels[near_peak] != "N", scores[near_peak])


def seed_aucs(scores: Mapping[str, Sequence[np.ndarray]], labels: np.ndarray) -> dict[str, dict[str, list[float]]]:
    """Detector -> "all" or a class -> AUC of each seed, for `plots.detector_ladder`."""
    found = {name: [novelty.aucs(labels, one) for one in members] for name, members in scores.items()}
    return {name: {key: [row[key] for row in rows] for key in rows[0]} for name, rows in found.items()}


# What is compared with what: is it better than BeatGAN, with and without the rhythm; is contrast, is PCA of the same
# lead; and what does contrast add?
COMPARED = (
    ("all four", "BeatGAN"),
    ("all four", "BeatGAN + rhythm"),
    ("all without rhythm", "BeatGAN"),
    ("contrast", "BeatGAN"),
    ("shape, lead 1", "BeatGAN"),
    ("contrast", "shape, lead 1"),
    ("contrast", "encoder that never learned"),
    ("contrast, Mahalanobis", "encoder that never learned, Mahalanobis"),
    ("all four", "all without contrast"),
)


OUTCOMES = {"all abnormal": CLASSES, "S against N": ("N", "S")}


def detector_differences(
    scores: Mapping[str, Sequence[np.ndarray]], labels: np.ndarray, patients: np.ndarray
) -> pd.DataFrame:
    """AUC of one detector minus that of another, over all abnormal beats and for S alone, with p and verdict.

    Encoders of one seed are paired: trained and untrained, they have the same weights to begin with. A BeatGAN's seed
    has nothing to do with an encoder's, so these are compared unpaired (Welch), and a detector without a seed with the
    mean of the others' runs. All questions of the table are one family for Holm's correction.

    Args:
        scores: detector -> (M,) scores of each run.
        labels: (M,) classes of the test beats.
        patients: (M,).
    """
    questions = len(COMPARED) * len(OUTCOMES)
    asked = {name for pair in COMPARED for name in pair}
    found = []
    for title, classes in OUTCOMES.items():
        chosen = np.isin(labels, classes)
        abnormal, whose = labels[chosen] != "N", patients[chosen]
        # What has no seed is one detector, however often it was scored.
        members = {name: scores[name] if _has_seed(name) else scores[name][:1] for name in asked}
        aucs = {name: [metrics.auc(abnormal, one[chosen]) for one in some] for name, some in members.items()}
        drawn = {
            name: np.mean([metrics.resampled(abnormal, one[chosen], whose)["auc"] for one in some], axis=0)
            for name, some in members.items()
        }
        for one, other in COMPARED:
            comparison, how = _compared(one, other, aucs)
            others = metrics.percentiles(comparison.over_seeds.value, drawn[one] - drawn[other])
            found.append((one, other, how, title, comparison, others))
    adjusted = holm([row[4].p for row in found])
    rows: dict[tuple[str, str], dict[str, object]] = {}
    for (one, other, how, title, comparison, others), p in zip(found, adjusted, strict=True):
        row = rows.setdefault((one, other), {"detector": one, "minus": other, "runs": how})
        row[title] = shown(comparison.over_seeds, signed=True)
        row[f"{title}, over patients"] = bounds(others, signed=True)
        row[f"{title}, {p_header(questions)}"] = "-" if np.isnan(p) else f"{p:.2g}"
        row[f"{title}, verdict"] = verdict(comparison, float(p), over_patients=others)
        row[f"{title}, could have shown"] = shown_detectable(comparison, questions)
    return pd.DataFrame(list(rows.values())).set_index(["detector", "minus"])


def _compared(one: str, other: str, aucs: Mapping[str, Sequence[float]]) -> tuple[Unpaired, str]:
    """The difference of two detectors with its interval over runs, and how they were compared."""
    counts = [len(aucs[name]) for name in (one, other)]
    if _is_paired(one, other):
        differences = np.subtract(aucs[one], aucs[other])
        # The mean of differences beside zero, which has no spread: the paired t test in the same form.
        return unpaired(differences, [0.0]), f"paired, {counts[0]} seeds"
    sides = [
        f"{count} runs" if _has_seed(name) else "no seed" for name, count in zip((one, other), counts, strict=True)
    ]
    return unpaired(aucs[one], aucs[other]), f"unpaired: {sides[0]}, {sides[1]}"


def _is_paired(one: str, other: str) -> bool:
    """Whether run n of both belongs together: both are encoders of seed n."""
    return all(name in novelty.LADDER and _has_seed(name) for name in (one, other))
