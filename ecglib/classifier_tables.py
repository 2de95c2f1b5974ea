"""The tables of notebook 05, from stored runs and published numbers alone."""

from collections.abc import Mapping, Sequence

import numpy as np
import pandas as pd

from ecglib import metrics, multilabel, reports
from ecglib.classifier_arms import ClassifierArm
from ecglib.classifier_runs import ClassifierRun
from ecglib.comparisons import Comparison, compare, holm, verdict
from ecglib.data.ptbxl import SUPERCLASSES
from ecglib.metrics import Change, Interval, mean_interval
from ecglib.tables import bounds, shown

Runs = Mapping[str, Sequence[ClassifierRun]]
TEST = "test"


def values(runs: Sequence[ClassifierRun], part: str = TEST, metric: str = "auc") -> np.ndarray:
    """One number a seed: (seeds,)."""
    return np.array([run.metrics[part][metric] for run in runs])


def rounded(runs: Sequence[ClassifierRun]) -> np.ndarray:
    """As R3 reports: the last epoch, and the mean of class AUCs each rounded to two decimals. (seeds,)"""
    return np.array([multilabel.rounded_auc(run.metrics["test_last"]) for run in runs])


def over_patients(runs: Sequence[ClassifierRun]) -> Interval:
    """Mean test macro-AUC of the seeds with its interval over resampled patients."""
    drawn = np.mean([run.resampled(TEST, patients=True)["auc"] for run in runs], axis=0)
    return metrics.percentiles(float(values(runs).mean()), drawn)


def results(arms: Mapping[str, ClassifierArm], runs: Runs) -> pd.DataFrame:
    """Every arm: macro-AUC as R3 counts it and sound, with both intervals.

    Args:
        arms: what each arm does.
        runs: its runs, one a seed.
    """
    rows = []
    for name, arm in arms.items():
        rows.append(
            {
                "arm": arm.name,
                "what is done": arm.text,
                "parameters": f"{runs[name][0].parameters:,}",
                "seeds": len(runs[name]),
                "as coded: last epoch, rounded": f"{rounded(runs[name]).mean():.3f}",
                "macro-AUC, 95 % over seeds": shown(mean_interval(values(runs[name]))),
                "over patients": bounds(over_patients(runs[name])),
                "AP": f"{values(runs[name], metric='ap').mean():.3f}",
            }
        )
    return pd.DataFrame(rows).set_index("arm")


def per_class(arms: Mapping[str, ClassifierArm], runs: Runs) -> pd.DataFrame:
    """Test AUC of each superclass, and its average precision in brackets: means over seeds."""

    def cell(members: Sequence[ClassifierRun], label: str) -> str:
        auc, precision = (values(members, metric=f"{metric}_{label}").mean() for metric in ("auc", "ap"))
        return f"{auc:.3f} ({precision:.3f})"

    rows = [
        {"arm": arm.name}
        | {label: cell(runs[name], label) for label in SUPERCLASSES if f"auc_{label}" in runs[name][0].metrics[TEST]}
        for name, arm in arms.items()
    ]
    return pd.DataFrame(rows).set_index("arm")


def comparisons(arms: Mapping[str, ClassifierArm], runs: Runs) -> dict[str, Comparison]:
    """Each arm that has a control against it, seed by seed."""
    return {name: compare(runs[name], runs[arm.control], TEST) for name, arm in arms.items() if arm.control}


def differences(arms: Mapping[str, ClassifierArm], runs: Runs) -> pd.DataFrame:
    """Each arm's macro-AUC minus its control's: three intervals, p of the paired t test after Holm, verdict."""
    compared = comparisons(arms, runs)
    adjusted = holm([comparison.p for comparison in compared.values()])
    rows = [
        {
            "arm": arms[name].name,
            "minus": arms[arms[name].control].name,
            "seeds": len(comparison.differences),
            "difference, 95 % over seeds": shown(comparison.over_seeds, signed=True),
            "over records": bounds(comparison.over_beats, signed=True),
            "over patients": bounds(comparison.over_patients, signed=True),
            "p (Holm)": "-" if np.isnan(p) else f"{p:.2g}",
            "verdict": verdict(comparison, float(p)),
        }
        for (name, comparison), p in zip(compared.items(), adjusted, strict=True)
    ]
    return pd.DataFrame(rows).set_index("arm")


def ladder(runs: Runs) -> pd.DataFrame:
    """Table 2: published size and macro-AUC beside the exact count and what was measured.

    Args:
        runs: of the teacher (6.5M) and the other sizes; networks that table 2 lacks are passed over.
    """
    rows = []
    for key, claim in reports.CLAIMS.items():
        size = key.removeprefix("r3.ladder.")
        name = "teacher" if size == "6.5M" else size
        if key.startswith("r3.ladder.") and name in runs:
            rows.append(
                {
                    "size in table 2": size,
                    "parameters here": f"{runs[name][0].parameters:,}",
                    "report, macro-AUC": f"{claim.value / 100:.3f}",
                    "as coded": f"{rounded(runs[name]).mean():.3f}",
                    "corrected, 95 % over seeds": shown(mean_interval(values(runs[name]))),
                    "over patients": bounds(over_patients(runs[name])),
                    "seeds": len(runs[name]),
                }
            )
    return pd.DataFrame(rows).set_index("size in table 2") if rows else pd.DataFrame()


def compression(costs: pd.DataFrame, losses: Mapping[str, Interval]) -> pd.DataFrame:
    """All together: what each model costs and what it knows.

    Args:
        costs: `compression.costs`.
        losses: model -> INT8 minus float.
    """
    rows = []
    for name, row in costs.iterrows():
        base = str(name).removesuffix(", INT8")
        loss = losses[base]
        rows.append(
            {
                "model": name,
                "parameters": f"{row['parameters']:,.0f}",
                "MACs (million)": f"{row['macs'] / 1e6:.1f}",
                "file (kB)": f"{row['bytes'] / 1000:,.0f}",
                "ms a record, 1 thread": f"{row['ms']:.2f} [{row['ms_low']:.2f}, {row['ms_high']:.2f}]",
                "torch, ms": f"{row['ms_torch']:.2f}",
                "macro-AUC, 95 % over patients": shown(Interval(row["auc"], row["auc_low"], row["auc_high"])),
                "INT8 - float": shown(loss, signed=True) if row["int8"] else "-",
            }
        )
    return pd.DataFrame(rows).set_index("model")


def change(before: Sequence[ClassifierRun], after: Sequence[ClassifierRun], part: str = TEST) -> Change:
    """Mean macro-AUC of two arms over the seeds that both have, and the interval of the paired difference."""
    pairs = [values(runs[: min(len(before), len(after))], part) for runs in (before, after)]
    return Change(float(pairs[0].mean()), float(pairs[1].mean()), mean_interval(pairs[1] - pairs[0]))


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
    text = f"{change.before:.3f} -> {change.after:.3f} ({change.after - change.before:+.3f}"
    if change.interval is None or not np.isfinite(change.interval.low):
        return f"{text})"
    return f"{text} {bounds(change.interval, signed=True)} over {change.over})"


def _verdict(report: Change, found: Change) -> str:
    claimed = "gain" if report.after > report.before else "loss" if report.after < report.before else "no change"
    interval = found.interval
    if interval is None or not np.isfinite(interval.low):
        return f"report: {claimed}; here: one seed, no verdict"
    shown_here = "gain" if interval.low > 0 else "loss" if interval.high < 0 else "no difference shown"
    return f"report: {claimed}; here: {shown_here}"
