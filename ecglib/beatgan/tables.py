"""The tables of notebooks 02 and 03, made from stored runs and published numbers alone.

Everywhere: a sequence of runs has one run a seed, and `limit` says what of data and budget is not the report's, "" for
nothing.
"""

from collections.abc import Callable, Mapping, Sequence

import numpy as np
import pandas as pd

from ecglib import reports
from ecglib.beatgan.arms import Arm
from ecglib.beatgan.experiments import CHOSEN, CONTROL, EXPERIMENTS, PRIMARY_RULE, SOUND, TEACHER, ArmRuns
from ecglib.beatgan.task import BeatGANRun
from ecglib.beatgan.training import RULES
from ecglib.data.mitbih import CLASSES
from ecglib.show.words import bounds, reproduction_verdict, shown
from ecglib.stats import metrics
from ecglib.stats.comparisons import (
    AS_CODED,
    AS_WRITTEN,
    AVERAGED,
    CORRECTED,
    LATE,
    Comparison,
    Rule,
    compare,
    family,
    pairwise_distances,
    shown_detectable,
    shown_p,
    unpaired,
    verdict,
)
from ecglib.stats.metrics import Interval, mean_interval


def values(runs: Sequence[BeatGANRun], metric: str = "auc", rule: Rule | str = PRIMARY_RULE) -> np.ndarray:
    """One number of each run: (seeds,)."""
    key = rule.key if isinstance(rule, Rule) else rule
    return np.array([run.metrics[key][metric] for run in runs])


def comparisons(arms: Mapping[str, Arm], runs: ArmRuns) -> dict[str, Comparison]:
    """Each arm that has a control against it, seed by seed, by averaged weights."""
    return {name: compare(runs[name], runs[arm.control], PRIMARY_RULE) for name, arm in arms.items() if arm.control}


def arm_results(arms: Mapping[str, Arm], runs: ArmRuns, parameters: Mapping[str, int]) -> pd.DataFrame:
    """What each arm does, the `parameters` of its generator, its AUC and AP by averaged weights, and AUC otherwise."""
    rows = [
        {
            "arm": arm.name,
            "what is done": arm.text,
            "weights of G": f"{parameters[name]:,}",
            "seeds": len(runs[name]),
            "AUC of averaged weights, 95 % over seeds": shown(mean_interval(values(runs[name]))),
            "AP": f"{values(runs[name], 'ap').mean():.4f}",
            "AUC of the chosen epoch": shown(mean_interval(values(runs[name], rule=CORRECTED))),
        }
        for name, arm in arms.items()
    ]
    return pd.DataFrame(rows).set_index("arm")


def arm_differences(arms: Mapping[str, Arm], runs: ArmRuns) -> pd.DataFrame:
    """Each arm's AUC minus its control's by averaged weights: three intervals, p of the paired t test, verdict, power.

    All rows are one family for Holm's correction. "could have shown" is the difference that so many seeds would show
    with a power of 80 % in Holm's first step. The last two columns have the difference by the other two numbers.
    """
    compared = comparisons(arms, runs)
    judged = family(compared)
    other = {
        name: {rule: compare(runs[name], runs[arms[name].control], rule).over_seeds for rule in (CORRECTED, LATE)}
        for name in compared
    }
    rows = [
        {
            "arm": arms[name].name,
            "minus": arms[arms[name].control].name,
            "seeds": len(comparison.differences),
            "difference, 95 % over seeds": shown(comparison.over_seeds, signed=True),
            "over beats": bounds(comparison.over_beats, signed=True),
            "over patients": bounds(comparison.over_patients, signed=True),
            judged[name].header: judged[name].shown_p,
            "verdict": judged[name].verdict(),
            "could have shown": judged[name].detectable(),
            "by the chosen epoch": shown(other[name][CORRECTED], signed=True),
            "by the mean AUC of the last quarter": shown(other[name][LATE], signed=True),
        }
        for name, comparison in compared.items()
    ]
    return pd.DataFrame(rows).set_index("arm")


def experiments(runs: ArmRuns) -> pd.DataFrame:
    """Table 1 and section 4.3: report, as coded, as written and corrected, with the arms that computed them.

    As coded and as written choose the epoch by labelled validation beats, corrected chooses none.
    """
    rows = []
    for experiment in EXPERIMENTS:
        for metric in ("auc", "ap"):
            row = {
                "experiment": experiment.name,
                "metric": metric.upper(),
                "report (1 run)": f"{reports.value(f'{experiment.key}.{metric}'):.4f}",
            }
            for rule, arm in experiment.columns:
                found = None if arm is None else runs.get(arm)
                row[rule.label] = shown(mean_interval(values(found, metric, rule))) if found else "-"
            rows.append(row | {"arms and seeds": experiment.seeds(runs)})
    return pd.DataFrame(rows).set_index(["experiment", "metric"])


def gains(runs: ArmRuns, limit: str) -> pd.DataFrame:
    """R1's claim: by how much a student differs from the teacher, and from the control.

    The report subtracts the teacher, an unrelated network, so that difference is unpaired (Welch). The control differs
    from the student only in the distillation, so that difference is paired. An experiment without its corrected arm is
    left out.
    """
    asked = [one for one in EXPERIMENTS[1:] if one.corrected in runs]
    claimed = {one.key: reports.value(f"{one.key}.auc") - reports.value("r1.teacher.auc") for one in asked}
    judged = family({one.key: compare(runs[one.corrected], runs[CONTROL], SOUND) for one in asked}, claimed)
    rows = []
    for one in asked:
        published, test = claimed[one.key], judged[one.key]
        found = test.verdict(limit, "a gain", "a loss")
        to_teacher = "-"
        if one.coded in runs:
            sides = (values(runs[arm], rule=AS_CODED) for arm in (one.coded, TEACHER))
            to_teacher = shown(unpaired(*sides).over_seeds, signed=True)
        rows.append(
            {
                "AUC of": one.name,
                "report: student - teacher (1 run)": f"{published:+.4f}",
                f"{AS_CODED.label}: student - teacher": to_teacher,
                f"{AS_CODED.label}: student - control": _against_control(one.coded, runs, AS_CODED),
                f"{AS_WRITTEN.label}: student - control": _against_control(one.written, runs, AS_WRITTEN),
                f"{SOUND.label}: student - control": _against_control(one.corrected, runs, SOUND),
                f"{CHOSEN.label}: student - control": _against_control(one.corrected, runs, CHOSEN),
                "arms and seeds": one.seeds(runs),
                test.header: test.shown_p,
                "verdict on the corrected": f"report: {'gain' if published > 0 else 'loss'}; here: {found}",
                "could have shown": test.detectable(),
            }
        )
    return pd.DataFrame(rows).set_index("AUC of")


def _against_control(arm: str | None, runs: ArmRuns, rule: Rule) -> str:
    if arm is None or arm not in runs:
        return "-"
    if arm == CONTROL:  # it differs by nothing from itself
        return "0 (the term is a constant)"
    return shown(compare(runs[arm], runs[CONTROL], rule).over_seeds, signed=True)


def reruns(runs: ArmRuns) -> pd.DataFrame:
    """How far two trainings of one program lie apart, over all pairs of runs of A and B, which are both BeatGAN."""
    plain = [*runs[TEACHER], *runs[CONTROL]]
    gain = reports.value("r1.student.auc") - reports.value("r1.teacher.auc")
    rows = []
    for rule in (AS_CODED, CORRECTED, AVERAGED):
        aucs = values(plain, rule=rule)
        distances = pairwise_distances(aucs)
        rows.append(
            {
                "epoch chosen": rule.label,
                "runs": str(len(aucs)),
                "AUC, 95 % over seeds": shown(mean_interval(aucs)),
                "standard deviation": f"{aucs.std(ddof=1):.4f}",
                "pairs": str(len(distances)),
                "median apart": f"{np.median(distances):.4f}",
                "95 % of pairs within": f"{np.quantile(distances, 0.95):.4f}",
                "furthest apart": f"{distances.max():.4f}",
                f"pairs at least {gain:.4f} apart, R1's gain": f"{(distances >= gain).mean():.0%}",
                "AUC of each run": " ".join(f"{auc:.4f}" for auc in aucs),
            }
        )
    return pd.DataFrame(rows).set_index("epoch chosen")


def protocol_results(runs: ArmRuns, protocol: ArmRuns, near_peak: np.ndarray) -> pd.DataFrame:
    """What each choice of protocol does to the teacher's number; differences are paired by seed.

    The reference is the epoch chosen without labels, because the choice of an epoch is one of the choices asked about.

    Args:
        runs: of the arms.
        protocol: runs of "patients", "leads" and "warp".
        near_peak: (N,) bool, which test beats have a detected R peak near.
    """
    teacher = runs[TEACHER]
    reference = values(teacher, rule=CORRECTED)
    auc_rows: list[tuple[str, str, np.ndarray]] = [
        ("epoch by labelled AUC, BatchNorm in training mode", "as coded", values(teacher, rule="as_coded")),
        ("epoch by labelled AUC, BatchNorm in evaluation mode", "half-way", values(teacher, rule="labelled")),
        ("epoch without labels, BatchNorm in evaluation mode", "corrected: the reference", reference),
        ("no epoch: averaged weights of the last quarter", "corrected", values(teacher)),
        ("R-peak rule on all classes, not on N alone", "corrected", _auc_among(teacher, near_peak)),
        ("both leads", "extension", values(protocol["leads"], rule=CORRECTED)),
        ("time warp, as in the BeatGAN paper", "extension", values(protocol["warp"], rule=CORRECTED)),
        ("new patients: trained on DS1, tested on DS2", "corrected", values(protocol["patients"], rule=CORRECTED)),
    ]
    rows = [_protocol_row(text, kind, "AUC", found, reference) for text, kind, found in auc_rows]
    f1, f1_on_test = (values(teacher, name, CORRECTED) for name in ("f1", "f1_threshold_on_test"))
    rows.append(_protocol_row("F1 threshold from the test set", "as coded", "F1", f1_on_test, f1))
    rows.append(_protocol_row("F1 threshold from validation", "corrected: the reference", "F1", f1, f1))
    return pd.DataFrame(rows).set_index("protocol")


def protocol_steps(
    teacher: Sequence[BeatGANRun],
    strangers: Sequence[BeatGANRun],
    near_peak: np.ndarray,
    strangers_near_peak: np.ndarray,
) -> dict[str, np.ndarray]:
    """R1's protocol, mended step by step, each step on top of those before: step -> AUC of each seed.

    Args:
        teacher: runs on R1's split.
        strangers: runs tested on new patients, one for each of the first teachers.
        near_peak: (N,) bool, which test beats of R1's split have a detected R peak near.
        strangers_near_peak: the same for the new patients' beats.
    """
    paired = teacher[: len(strangers)]
    return {
        "R1's protocol, as coded": values(paired, rule=AS_CODED),
        "+ BatchNorm in evaluation mode": values(paired, rule="labelled"),
        "+ epoch chosen without labels": values(paired, rule=CORRECTED),
        "+ R-peak rule on all classes": _auc_among(paired, near_peak),
        "+ new patients": _auc_among(strangers, strangers_near_peak),
    }


def _auc_among(runs: Sequence[BeatGANRun], chosen: np.ndarray) -> np.ndarray:
    found = [run.predictions for run in runs]
    return np.array([metrics.auc(one["labels"][chosen] != "N", one["scores_corrected"][chosen]) for one in found])


def _protocol_row(text: str, kind: str, metric: str, found: np.ndarray, reference: np.ndarray) -> dict[str, object]:
    paired = found - reference[: len(found)]
    return {
        "protocol": text,
        "kind": kind,
        "metric": metric,
        "value, 95 % over seeds": shown(mean_interval(found)),
        "difference": "-" if not paired.any() else shown(mean_interval(paired), signed=True),
        "seeds": len(found),
    }


def baseline_results(
    found: Mapping[str, tuple[str | None, np.ndarray]],
    autoencoder: Sequence[BeatGANRun],
    teacher: Sequence[BeatGANRun],
) -> pd.DataFrame:
    """The baselines beside the published ones, sorted by AUC: name -> key of the published AUC, AUC of each seed.

    The autoencoder is arm N. Its AUC and that of the teacher are by averaged weights.
    """
    measured = dict(found)
    measured["autoencoder (N), averaged weights"] = ("beatgan.ae.auc", values(autoencoder))
    measured["BeatGAN (A), averaged weights"] = ("beatgan.auc", values(teacher))
    rows = {name: (key, mean_interval(aucs), len(aucs)) for name, (key, aucs) in measured.items()}
    ordered = sorted(rows.items(), key=lambda row: row[1][1].value)
    return pd.DataFrame(
        [
            {
                "method": name,
                "BeatGAN paper": f"{reports.value(key):.4f}" if key else "-",
                "measured AUC, 95 % over seeds": shown(interval),
                "seeds": seeds,
            }
            for name, (key, interval, seeds) in ordered
        ]
    ).set_index("method")


def teacher_results(runs: Sequence[BeatGANRun], limit: str) -> pd.DataFrame:
    """BeatGAN by the rules that choose an epoch and without a choice: report, measured, difference, intervals, verdict.

    The interval over seeds is Student's t; those over beats and patients are the bootstrap of the first seed.
    """
    rows = []
    for metric, label in (("auc", "AUC"), ("ap", "AP")):
        published = reports.value(f"r1.teacher.{metric}")
        for rule in (AS_CODED, CORRECTED, LATE, AVERAGED):
            interval, first = mean_interval(values(runs, metric, rule)), runs[0].metrics[rule.key]
            words = reproduction_verdict(published, interval) if not limit else f"not comparable: {limit}"
            rows.append(
                {
                    "metric": label,
                    "epoch chosen": rule.label,
                    "report (1 run)": f"{published:.4f}",
                    "measured": f"{interval.value:.4f}",
                    "difference": f"{interval.value - published:+.4f}",
                    "seeds": len(runs),
                    "95 % over seeds": bounds(interval),
                    "95 % over beats, seed 0": bounds(_stored(first, metric, "beats")),
                    "95 % over patients, seed 0": bounds(_stored(first, metric, "patients")),
                    "verdict": words,
                }
            )
    return pd.DataFrame(rows).set_index(["metric", "epoch chosen"])


def adversary_results(runs: ArmRuns) -> pd.DataFrame:
    """Whether the adversary helps: AUC of N minus A, paired by seed, by all ways to take a run's number.

    The verdict rests on the first row, as EVIDENCE.md said before the runs. The others are secondary.
    """
    ways = {
        AVERAGED: "averaged weights, last quarter: named before the runs",
        LATE: "mean AUC, last quarter",
        CORRECTED: "epoch of the smallest error on normal beats (corrected)",
        AS_CODED: "epoch of the best labelled validation AUC (as coded)",
    }
    rows = []
    for rule, way in ways.items():
        without, adversarial = (values(runs[arm], rule=rule) for arm in ("N", TEACHER))
        found = compare(runs["N"], runs[TEACHER], rule)
        rows.append(
            {
                "AUC of": way,
                "seeds": len(without),
                "A, with adversary: mean, 95 %": shown(mean_interval(adversarial)),
                "N, without: mean, 95 %": shown(mean_interval(without)),
                "SD over seeds, A / N": f"{adversarial.std(ddof=1):.4f} / {without.std(ddof=1):.4f}",
                "N - A, 95 % over seeds": shown(found.over_seeds, signed=True),
                "N - A, 95 % over patients": bounds(found.over_patients, signed=True),
                "p, paired t": shown_p(found.p),
                "verdict": verdict(found, found.p) if rule is AVERAGED else "secondary: no verdict",
                "could have shown": shown_detectable(found),
            }
        )
    return pd.DataFrame(rows).set_index("AUC of")


def f1_results(runs: Sequence[BeatGANRun]) -> pd.DataFrame:
    """Mean F1 over seeds, with the threshold from the test set (as coded) or from validation (corrected)."""
    rows = []
    for rule in RULES:
        for source, name in (("test set (as coded)", "f1_threshold_on_test"), ("validation (corrected)", "f1")):
            interval = mean_interval(values(runs, name, rule))
            rows.append(
                {
                    "epoch chosen": rule.replace("_", " "),
                    "threshold from": source,
                    "F1": f"{interval.value:.3f}",
                    "seeds": len(runs),
                    "95 % over seeds": bounds(interval, digits=3),
                }
            )
    return pd.DataFrame(rows).set_index(["epoch chosen", "threshold from"])


def per_class(runs: Sequence[BeatGANRun], count: Callable[[str], int]) -> pd.DataFrame:
    """AUC of each abnormal class against N, with its interval over seeds; `count` gives a class's test beats.

    A class of few beats or of one patient is less certain than these intervals say.
    """
    rows = {}
    for name in (name for name in CLASSES[1:] if f"auc_{name}" in runs[0].metrics["corrected"]):
        row: dict[str, str | int] = {"test beats": count(name), "seeds": len(runs)}
        for rule in RULES:
            row[rule.replace("_", " ")] = shown(mean_interval(values(runs, f"auc_{name}", rule)), digits=3)
        rows[name] = row
    return pd.DataFrame.from_dict(rows, orient="index").rename_axis("class")


def _stored(found: Mapping[str, float], metric: str, over: str) -> Interval:
    return Interval(found[metric], found[f"{metric}_low_{over}"], found[f"{metric}_high_{over}"])
