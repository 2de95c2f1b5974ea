"""The tables of notebooks and README, made from stored runs and published numbers alone."""

from collections.abc import Callable, Sequence

import numpy as np
import pandas as pd

from ecglib import metrics, reports
from ecglib.experiments import Run
from ecglib.training import RULES


def against_report(measured: dict[str, float]) -> pd.DataFrame:
    """Published number, measured number and difference, a row for each.

    Args:
        measured: key of `reports.CLAIMS` -> what was measured here.
    """
    rows = []
    for key, here in measured.items():
        claim = reports.CLAIMS[key]
        rows.append(
            {
                "what": claim.text,
                "where": f"{claim.report}, {claim.where}",
                "report": claim.value,
                "measured": here,
                "difference": here - claim.value,
            }
        )
    return pd.DataFrame(rows).set_index("what")


def _over_seeds(runs: Sequence[Run], rule: str, name: str) -> np.ndarray:
    return np.array([run.metrics[rule][name] for run in runs])


def teacher_results(runs: Sequence[Run]) -> pd.DataFrame:
    """Report / measured / difference / seeds / interval for BeatGAN under both rules of choosing the epoch.

    The interval over seeds is Student's t; those over beats and patients are the bootstrap of the first seed.
    """
    rows = []
    for metric, label in (("auc", "AUC"), ("ap", "AP")):
        published = reports.value(f"r1.teacher.{metric}")
        for rule in RULES:
            interval = metrics.mean_interval(_over_seeds(runs, rule, metric))
            first = runs[0].metrics[rule]
            rows.append(
                {
                    "metric": label,
                    "epoch chosen": rule.replace("_", " "),
                    "report (1 run)": f"{published:.4f}",
                    "measured": f"{interval.value:.4f}",
                    "difference": f"{interval.value - published:+.4f}",
                    "seeds": len(runs),
                    "95 % over seeds": _bounds(interval.low, interval.high),
                    "95 % over beats": _bounds(first[f"{metric}_low_beats"], first[f"{metric}_high_beats"]),
                    "95 % over patients": _bounds(first[f"{metric}_low_patients"], first[f"{metric}_high_patients"]),
                }
            )
    return pd.DataFrame(rows).set_index(["metric", "epoch chosen"])


def f1_results(runs: Sequence[Run]) -> pd.DataFrame:
    """Mean F1 over seeds, its threshold taken from the test set (as coded) or from validation (corrected)."""
    rows = []
    for rule in RULES:
        for source, name in (("test set (as coded)", "f1_threshold_on_test"), ("validation (corrected)", "f1")):
            interval = metrics.mean_interval(_over_seeds(runs, rule, name))
            rows.append(
                {
                    "epoch chosen": rule.replace("_", " "),
                    "threshold from": source,
                    "F1": f"{interval.value:.3f}",
                    "95 % over seeds": _bounds(interval.low, interval.high, digits=3),
                }
            )
    return pd.DataFrame(rows).set_index(["epoch chosen", "threshold from"])


def per_class(runs: Sequence[Run], count: Callable[[str], int]) -> pd.DataFrame:
    """AUC of each abnormal class against N, mean over seeds with its interval; `count` gives a class's test beats."""
    rows = {}
    for name in (key.removeprefix("auc_") for key in runs[0].metrics["corrected"] if key in AUC_KEYS):
        row: dict[str, str | int] = {"test beats": count(name)}
        for rule in RULES:
            interval = metrics.mean_interval(_over_seeds(runs, rule, f"auc_{name}"))
            row[rule.replace("_", " ")] = f"{interval.value:.3f} {_bounds(interval.low, interval.high, digits=3)}"
        rows[name] = row
    return pd.DataFrame.from_dict(rows, orient="index").rename_axis("class")


AUC_KEYS = ("auc_S", "auc_V", "auc_F", "auc_Q")


def _bounds(low: float, high: float, digits: int = 4) -> str:
    if not np.isfinite(low + high):
        return "needs 2 seeds"
    return f"[{low:.{digits}f}, {high:.{digits}f}]"
