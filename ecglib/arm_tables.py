"""The tables of notebook 03: R1's question answered arm by arm, from stored runs and published numbers alone."""

from collections.abc import Mapping, Sequence

import numpy as np
import pandas as pd

from ecglib import metrics, reports
from ecglib.arms import Arm
from ecglib.comparisons import Comparison, compare, holm, verdict
from ecglib.experiments import Run
from ecglib.metrics import mean_interval
from ecglib.tables import bounds, shown

ArmRuns = Mapping[str, Sequence[Run]]
CONTROL, TEACHER = "B", "A"


def values(runs: Sequence[Run], metric: str = "auc", rule: str = "corrected") -> np.ndarray:
    """One number a seed: (seeds,)."""
    return np.array([run.metrics[rule][metric] for run in runs])


def partner(name: str, runs: ArmRuns) -> str | None:
    """The arm that `name` is compared with: the same width without distillation; none for the teacher and B itself."""
    if name in (TEACHER, CONTROL):
        return None
    return name.removesuffix("+") if name.endswith("+") and name.removesuffix("+") in runs else CONTROL


def comparisons(runs: ArmRuns, rule: str = "corrected") -> dict[str, Comparison]:
    """Each arm against its control, seed by seed."""
    pairs = {name: partner(name, runs) for name in runs}
    return {name: compare(runs[name], runs[other], rule) for name, other in pairs.items() if other is not None}


def verdicts(compared: Mapping[str, Comparison]) -> dict[str, tuple[float, str]]:
    """Each arm's p after Holm over all arms, and what it says."""
    adjusted = holm([comparison.p for comparison in compared.values()])
    return {
        name: (float(p), verdict(comparison, float(p)))
        for (name, comparison), p in zip(compared.items(), adjusted, strict=True)
    }


def arm_results(arms: Mapping[str, Arm], runs: ArmRuns, parameters: Mapping[str, int]) -> pd.DataFrame:
    """What each arm does, and its AUC and AP.

    Args:
        arms: what each arm does.
        runs: its runs, one a seed.
        parameters: of each arm's generator.
    """
    rows = [
        {
            "arm": arm.name,
            "what is done": arm.text,
            "weights of G": f"{parameters[name]:,}",
            "seeds": len(runs[name]),
            "AUC, 95 % over seeds": shown(mean_interval(values(runs[name]))),
            "AP": f"{values(runs[name], 'ap').mean():.4f}",
        }
        for name, arm in arms.items()
    ]
    return pd.DataFrame(rows).set_index("arm")


def arm_differences(arms: Mapping[str, Arm], runs: ArmRuns) -> pd.DataFrame:
    """Each arm's AUC minus its control's: three intervals, p of the paired t test after Holm, verdict."""
    compared = comparisons(runs)
    judged = verdicts(compared)
    rows = [
        {
            "arm": arms[name].name,
            "minus": arms[partner(name, runs) or name].name,
            "seeds": len(comparison.differences),
            "difference, 95 % over seeds": shown(comparison.over_seeds, signed=True),
            "over beats": bounds(comparison.over_beats, signed=True),
            "over patients": bounds(comparison.over_patients, signed=True),
            "p (Holm)": "-" if np.isnan(judged[name][0]) else f"{judged[name][0]:.2g}",
            "verdict": judged[name][1],
        }
        for name, comparison in compared.items()
    ]
    return pd.DataFrame(rows).set_index("arm")


# R1's claim -> (its name, published student, arm as coded, arm as written). R1's program had the same feature term that
# its text writes; no gradient was missing there.
EXPERIMENTS = (
    ("teacher", "r1.teacher", "A", "A"),
    ("student with KD", "r1.student", "C", "D"),
    ("student with feature distillation", "r1.feature", "F", "F"),
    ("student with KD and feature distillation", "r1.both", "F", "G"),
)


def experiments(runs: ArmRuns) -> pd.DataFrame:
    """Table 1 and section 4.3: report / as coded / as written / corrected.

    As coded and as written choose the epoch by labelled validation beats, corrected without labels.

    Args:
        runs: of arms A, C, D, F and G.
    """
    rows = []
    for name, key, coded, written in EXPERIMENTS:
        for metric in ("auc", "ap"):
            rows.append(
                {
                    "experiment": name,
                    "metric": metric.upper(),
                    "report (1 run)": f"{reports.value(f'{key}.{metric}'):.4f}",
                    "as coded": shown(mean_interval(values(runs[coded], metric, "as_coded"))),
                    "as written": shown(mean_interval(values(runs[written], metric, "as_coded"))),
                    "corrected": shown(mean_interval(values(runs[written], metric))),
                    "seeds": _seeds(len(runs[written]), len(runs[coded])),
                }
            )
    return pd.DataFrame(rows).set_index(["experiment", "metric"])


def _seeds(written: int, coded: int) -> str:
    return str(written) if written == coded else f"{written} (as coded {coded})"


def gains(runs: ArmRuns, comparable: bool) -> pd.DataFrame:
    """The claim itself: by how much a student differs, and from what.

    The report subtracts the teacher, another network; the corrected difference subtracts the control, which differs in
    nothing but the distillation.

    Args:
        runs: of arms A to D, F and G.
        comparable: whether data and budget are the report's.
    """
    judged = verdicts(comparisons(runs))
    rows = []
    for name, key, coded, written in EXPERIMENTS[1:]:
        difference = reports.value(f"{key}.auc") - reports.value("r1.teacher.auc")
        to_teacher = compare(runs[coded], runs[TEACHER], "as_coded")
        to_control = compare(runs[written], runs[CONTROL])
        rows.append(
            {
                "AUC of": name,
                "report: student - teacher (1 run)": f"{difference:+.4f}",
                "as coded: student - teacher": shown(to_teacher.over_seeds, signed=True),
                "as coded: student - control": shown(compare(runs[coded], runs[CONTROL]).over_seeds, signed=True),
                "corrected: student - control": shown(to_control.over_seeds, signed=True),
                "seeds": _seeds(len(to_control.differences), len(runs[coded])),
                "verdict": _claim_verdict(difference, judged[written][1], comparable),
            }
        )
    return pd.DataFrame(rows).set_index("AUC of")


def _claim_verdict(published: float, found: str, comparable: bool) -> str:
    """What our comparison says of a published difference."""
    words = {"better": "a gain", "worse": "a loss"}.get(found, found)
    claimed = "gain" if published > 0 else "loss"
    text = f"report: {claimed}; here: {words}"
    return text if comparable else f"{text} (at this budget)"


def protocol_results(runs: ArmRuns, protocol: ArmRuns, near_peak: np.ndarray) -> pd.DataFrame:
    """What each choice of protocol does to the teacher's number; differences are paired by seed.

    Args:
        runs: of the arms; A is the teacher.
        protocol: runs of "patients", "leads" and "warp".
        near_peak: (N,) bool, which test beats have a detected R peak near.
    """
    teacher = runs[TEACHER]
    reference = values(teacher)
    auc_rows: list[tuple[str, str, np.ndarray]] = [
        ("epoch by labelled AUC, BatchNorm in training mode", "as coded", values(teacher, rule="as_coded")),
        ("epoch by labelled AUC, BatchNorm in evaluation mode", "half-way", values(teacher, rule="labelled")),
        ("epoch without labels, BatchNorm in evaluation mode", "corrected: the reference", reference),
        ("R-peak rule on all classes, not on N alone", "corrected", _auc_among(teacher, near_peak)),
        ("both leads", "extension", values(protocol["leads"])),
        ("time warp, as in the BeatGAN paper", "extension", values(protocol["warp"])),
        ("new patients: trained on DS1, tested on DS2", "corrected", values(protocol["patients"])),
    ]
    rows = [_protocol_row(text, kind, "AUC", found, reference) for text, kind, found in auc_rows]
    f1 = values(teacher, "f1")
    rows.append(
        _protocol_row("F1 threshold from the test set", "as coded", "F1", values(teacher, "f1_threshold_on_test"), f1)
    )
    rows.append(_protocol_row("F1 threshold from validation", "corrected: the reference", "F1", f1, f1))
    return pd.DataFrame(rows).set_index("protocol")


def _auc_among(runs: Sequence[Run], chosen: np.ndarray) -> np.ndarray:
    """AUC of each run over the chosen test beats."""
    return np.array(
        [
            metrics.auc(run.predictions["labels"][chosen] != "N", run.predictions["scores_corrected"][chosen])
            for run in runs
        ]
    )


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


def baseline_results(found: Mapping[str, tuple[str | None, np.ndarray]], teacher: Sequence[Run]) -> pd.DataFrame:
    """The cheap rows of BeatGAN's table beside the published ones, the best last.

    Args:
        found: name -> key of the published AUC, AUC of each seed.
        teacher: BeatGAN itself.
    """
    rows = {name: (key, mean_interval(aucs), len(aucs)) for name, (key, aucs) in found.items()}
    rows["BeatGAN"] = ("beatgan.auc", mean_interval(values(teacher)), len(teacher))
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
