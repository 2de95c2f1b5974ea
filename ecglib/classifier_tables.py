"""The tables of notebook 05, from stored runs and published numbers alone."""

from collections.abc import Mapping, Sequence

import numpy as np
import pandas as pd

from ecglib import cost, metrics, multilabel, reports
from ecglib.classifier_arms import ClassifierArm
from ecglib.classifier_runs import ClassifierRun
from ecglib.comparisons import Comparison, compare, for_whom, holm, verdict
from ecglib.data.ptbxl import SUPERCLASSES
from ecglib.metrics import Change, Interval, mean_interval
from ecglib.models import ecgcnn
from ecglib.tables import bounds, shown

Runs = Mapping[str, Sequence[ClassifierRun]]
TEST, VALIDATION = "test", "validation"
MAIN = ("kd", "alone pruned")  # R3's claims


def values(runs: Sequence[ClassifierRun], part: str = TEST, metric: str = "auc") -> np.ndarray:
    """One number a seed: (seeds,)."""
    return np.array([run.metrics[part][metric] for run in runs])


def rounded(runs: Sequence[ClassifierRun], part: str = "test_last") -> np.ndarray:
    """As R3 reports: the last epoch, and the mean of class AUCs each rounded to two decimals. (seeds,)"""
    return np.array([multilabel.rounded_auc(run.metrics[part]) for run in runs])


def over_patients(runs: Sequence[ClassifierRun], part: str = TEST) -> Interval:
    """Mean macro-AUC of the seeds with its interval over resampled patients."""
    drawn = np.mean([run.resampled(part, patients=True)["auc"] for run in runs], axis=0)
    return metrics.percentiles(float(values(runs, part).mean()), drawn)


def tested(arm: ClassifierArm) -> str:
    """What an arm's test numbers are: as coded those of the last epoch, otherwise those of the best."""
    return "test_last" if arm.configs[0].split == "report" else TEST


def results(arms: Mapping[str, ClassifierArm], runs: Runs) -> pd.DataFrame:
    """Every arm: macro-AUC as R3 counts it and sound, with both intervals.

    Args:
        arms: what each arm does.
        runs: its runs, one a seed.
    """
    rows = []
    for name, arm in arms.items():
        part = tested(arm)
        rows.append(
            {
                "arm": arm.name,
                "what is done": arm.text,
                "parameters": f"{runs[name][0].parameters:,}",
                "seeds": len(runs[name]),
                "last epoch, rounded": f"{rounded(runs[name]).mean():.3f}",
                "macro-AUC, 95 % over seeds": shown(mean_interval(values(runs[name], part))),
                "over patients": bounds(over_patients(runs[name], part)),
                "AP": f"{values(runs[name], part, 'ap').mean():.3f}",
            }
        )
    return pd.DataFrame(rows).set_index("arm")


def per_class(arms: Mapping[str, ClassifierArm], runs: Runs) -> pd.DataFrame:
    """Test AUC of each superclass, and its average precision in brackets: means over seeds."""

    def cell(members: Sequence[ClassifierRun], part: str, label: str) -> str:
        auc, precision = (values(members, part, f"{metric}_{label}").mean() for metric in ("auc", "ap"))
        return f"{auc:.3f} ({precision:.3f})"

    rows = []
    for name, arm in arms.items():
        there = [label for label in SUPERCLASSES if f"auc_{label}" in runs[name][0].metrics[tested(arm)]]
        rows.append({"arm": arm.name} | {label: cell(runs[name], tested(arm), label) for label in there})
    return pd.DataFrame(rows).set_index("arm")


def comparisons(arms: Mapping[str, ClassifierArm], runs: Runs) -> dict[str, Comparison]:
    """Each arm that has a control against it, seed by seed."""
    return {name: compare(runs[name], runs[arm.control], tested(arm)) for name, arm in arms.items() if arm.control}


def differences(
    arms: Mapping[str, ClassifierArm], runs: Runs, controls: Mapping[str, ClassifierArm] | None = None
) -> pd.DataFrame:
    """Each arm's macro-AUC minus its control's: three intervals, p of the paired t test, verdict; the last epoch's.

    The last epoch tells what the choice of the epoch has to do with a difference.

    R3's claims, corrected KD against the student alone and the pruned student against the whole one, are the main
    questions; p of all others is Holm's.

    Args:
        arms: those that have a control are asked about.
        runs: of arms and controls.
        controls: those that are not among `arms`.
    """
    known = {**(controls or {}), **arms}

    def at_last(name: str) -> Interval:
        found, control = (values(runs[arm], "test_last") for arm in (name, arms[name].control))
        return mean_interval(found - control[: len(found)])

    rows = [
        {
            "arm": arms[name].name,
            "minus": known[arms[name].control].name,
            "seeds": len(comparison.differences),
            "difference, 95 % over seeds": shown(comparison.over_seeds, signed=True),
            "over records": bounds(comparison.over_beats, signed=True),
            "over patients": bounds(comparison.over_patients, signed=True),
            "p": "-" if np.isnan(p) else f"{p:.2g}",
            "verdict": found,
            "at the last epoch, over seeds": shown(at_last(name), signed=True),
        }
        for name, (comparison, p, found) in _judged(comparisons(arms, runs), MAIN).items()
    ]
    return pd.DataFrame(rows).set_index("arm")


def _judged(compared: Mapping[str, Comparison], main: Sequence[str] = ()) -> dict[str, tuple[Comparison, float, str]]:
    """Each comparison with its p and verdict; p is Holm's over all but `main`, which were asked before all others."""
    others = [name for name in compared if name not in main]
    adjusted = dict(zip(others, holm([compared[name].p for name in others]), strict=True))
    found = {name: (one, float(adjusted.get(name, one.p))) for name, one in compared.items()}
    return {name: (one, p, verdict(one, p)) for name, (one, p) in found.items()}


def ladder(runs: Runs) -> pd.DataFrame:
    """Table 2: published size and macro-AUC beside the exact count and what was measured.

    Args:
        runs: of the teacher (6.5M) and the other sizes; without runs a row has its count alone.
    """
    rows = []
    for size, widths in ecgcnn.LADDER.items():
        members = runs.get(ecgcnn.network_of(size), ())
        row = {
            "size in table 2": size,
            "widths": "-".join(map(str, widths)),
            "parameters here": f"{cost.count_parameters(ecgcnn.convnet(size)):,}",
            "report, macro-AUC": f"{reports.value(f'r3.ladder.{size}') / 100:.3f}",
        }
        if members:
            row |= {
                "own validation fold, rounded": f"{rounded(members, 'validation').mean():.3f}",
                "test, 95 % over seeds": shown(mean_interval(values(members))),
                "over patients": bounds(over_patients(members)),
                "seeds": str(len(members)),
            }
        rows.append(row)
    return pd.DataFrame(rows).set_index("size in table 2").fillna("-")


def settings(arms: Mapping[str, ClassifierArm], runs: Mapping[str, Runs]) -> pd.DataFrame:
    """Figure 6: validation macro-AUC of each setting as coded and corrected, and whether R3's choice is the better.

    Args:
        arms: the fresh ones of `classifier_arms.setting_arms`.
        runs: "carried over", "in reverse" and "fresh" -> theirs.
    """
    fresh = runs["fresh"]
    asked = {name: arm.control for name, arm in arms.items() if arm.control}
    judged = _judged({name: compare(fresh[name], fresh[control], VALIDATION) for name, control in asked.items()})
    rows = []
    for name in arms:
        row = {
            "setting": name,
            "as coded: carried over": f"{values(runs['carried over'][name], VALIDATION).mean():.3f}",
            "carried over in reverse": f"{values(runs['in reverse'][name], VALIDATION).mean():.3f}",
            "corrected: fresh weights, 95 % over seeds": shown(mean_interval(values(fresh[name], VALIDATION)), 3),
            "minus R3's choice": "R3's choice",
            "verdict": "-",
        }
        if name in judged:
            comparison, _, found = judged[name]
            row |= {"minus R3's choice": shown(comparison.over_seeds, 3, signed=True), "verdict": found}
        rows.append(row)
    return pd.DataFrame(rows).set_index("setting")


def compression(costs: pd.DataFrame, losses: Mapping[str, Change]) -> pd.DataFrame:
    """All together: what each model costs and what it knows.

    Args:
        costs: `compression.costs`.
        losses: model -> from float to INT8.
    """
    rows = []
    for name, row in costs.iterrows():
        found = Interval(row["auc"], row["seeds_low"], row["seeds_high"])
        loss = losses[str(name).removesuffix(", INT8")].over_seeds if row["int8"] else None
        rows.append(
            {
                "model": name,
                "parameters": f"{row['parameters']:,.0f}",
                "MACs (million)": f"{row['macs'] / 1e6:.1f}",
                "file (kB)": f"{row['bytes'] / 1000:,.0f}",
                "times smaller": f"{row['smaller']:.2f}" if row["int8"] else "-",
                "ms a record (quartiles)": f"{row['ms']:.2f} ({row['ms_low']:.2f} to {row['ms_high']:.2f})",
                "torch, ms": f"{row['ms_torch']:.2f}",
                "macro-AUC, 95 % over seeds": shown(found),
                "over patients": bounds(Interval(row["auc"], row["auc_low"], row["auc_high"])),
                "INT8 - float, over seeds": shown(loss, signed=True) if loss else "-",
            }
        )
    return pd.DataFrame(rows).set_index("model")


SMALLER, LOST = 3.8, 0.002  # what INT8 has to reach: size of the file, macro-AUC


def targets(costs: pd.DataFrame, lost: Mapping[str, np.ndarray]) -> pd.DataFrame:
    """Whether INT8 does what it should: a file 3.8 times smaller, in every seed a macro-AUC within 0.002 of float.

    Args:
        costs: `compression.costs`.
        lost: model -> (seeds,) INT8 minus float.
    """
    rows = []
    for name, differences in lost.items():
        smaller, largest = float(costs["smaller"].to_dict()[f"{name}, INT8"]), float(np.abs(differences).max())
        rows.append(
            {
                "INT8 of": name,
                "times smaller": f"{smaller:.2f}",
                f"at least {SMALLER}": "yes" if smaller >= SMALLER else "no",
                "seeds": len(differences),
                "largest change of macro-AUC in a seed": f"{largest:.4f}",
                f"within {LOST}": "yes" if largest <= LOST else "no",
            }
        )
    return pd.DataFrame(rows).set_index("INT8 of")


def change(before: Sequence[ClassifierRun], after: Sequence[ClassifierRun], part: str = TEST) -> Change:
    """Mean macro-AUC of two arms over the seeds that both have, and the paired difference with both intervals."""
    count = min(len(before), len(after))
    paired = compare(after[:count], before[:count], part)
    ends = [float(values(runs[:count], part).mean()) for runs in (before, after)]
    return Change(ends[0], ends[1], paired.over_seeds, paired.over_patients)


def published(before: str, after: str) -> Change:
    """Two numbers of R3, keys of `reports.CLAIMS` in %, as a change."""
    return Change(reports.value(before) / 100, reports.value(after) / 100)


def claims(changes: Mapping[str, Mapping[str, Change]], comparable: bool) -> pd.DataFrame:
    """R3's claims: before and after in the report, as coded and corrected, with a verdict in words.

    Args:
        changes: claim -> "report", "as coded", "corrected" -> the change of macro-AUC.
        comparable: whether data and budget are the report's.
    """
    rows = []
    for claim, sources in changes.items():
        row = {"claim": claim}
        for source in ("report", "as coded", "corrected"):
            row[source] = _arrow(sources[source]) if source in sources else "-"
        row["verdict"] = _verdict(sources["report"], sources["corrected"])
        rows.append(row if comparable else row | {"verdict": f"{row['verdict']} (at this budget)"})
    return pd.DataFrame(rows).set_index("claim")


def _arrow(change: Change) -> str:
    found = [f"{change.after - change.before:+.3f}"]
    for interval, over in ((change.over_seeds, "seeds"), (change.over_patients, "patients")):
        if interval is not None and np.isfinite(interval.low):
            found.append(f"{bounds(interval, 3, signed=True)} over {over}")
    return f"{change.before:.3f} -> {change.after:.3f} ({', '.join(found)})"


def _verdict(report: Change, found: Change) -> str:
    claimed = "gain" if report.after > report.before else "loss" if report.after < report.before else "no change"
    return f"report: {claimed}; here: {_shown_here(found)}"


def _shown_here(found: Change) -> str:
    """As `comparisons.verdict`: other seeds and other patients have to agree."""
    if found.over_seeds is None or not np.isfinite(found.over_seeds.low):
        return "one seed, no verdict"
    if max(-found.over_seeds.low, found.over_seeds.high) <= LOST:
        return f"no change beyond {LOST}"
    if not found.over_seeds.excludes_zero:
        return "no difference shown"
    assert found.over_patients is not None  # as every change that was measured has
    return for_whom("gain" if found.over_seeds.value > 0 else "loss", found.over_patients)
