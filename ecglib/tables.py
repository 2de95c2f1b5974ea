"""The tables of notebooks and README, made from stored runs and published numbers alone."""

from collections.abc import Callable, Mapping, Sequence

import numpy as np
import pandas as pd

from ecglib import metrics, reports
from ecglib.data.mitbih import CLASSES, Beats, Split, count_classes
from ecglib.experiments import Run
from ecglib.metrics import Interval
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


def class_counts(beats: Beats, split: Split) -> pd.DataFrame:
    """Beats of each class in each part of a split, with their sum."""
    counts = pd.DataFrame({part: count_classes(beats.labels[members]) for part, members in split}).T
    return counts.assign(all=counts.sum(axis=1))


def patient_counts(beats: Beats, split: Split) -> pd.DataFrame:
    """Beats of each patient (rows) in each part of a split (columns): whoever stands in two parts is the leak."""
    counts = {part: pd.Series(beats.patients[members]).value_counts() for part, members in split}
    return pd.DataFrame(counts).reindex(np.unique(beats.patients)).fillna(0).astype(int)


def shared_patients(beats: Beats, split: Split) -> int:
    """How many patients have beats both in training and in test."""
    counts = patient_counts(beats, split)
    return int(((counts["train"] > 0) & (counts["test"] > 0)).sum())


def _over_seeds(runs: Sequence[Run], rule: str, name: str) -> np.ndarray:
    return np.array([run.metrics[rule][name] for run in runs])


def teacher_results(runs: Sequence[Run], comparable: bool) -> pd.DataFrame:
    """Report / measured / difference / seeds / interval / verdict for BeatGAN under both rules of choosing the epoch.

    The interval over seeds is Student's t; those over beats and patients are the bootstrap of the first seed.

    Args:
        runs: the same config under several seeds.
        comparable: whether data and budget are the report's; otherwise no verdict on its claim is given.
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
                    "95 % over seeds": bounds(interval),
                    "95 % over beats": bounds(_stored(first, metric, "beats")),
                    "95 % over patients": bounds(_stored(first, metric, "patients")),
                    "verdict": judged(published, interval, len(runs))
                    if comparable
                    else "not comparable: budget or data",
                }
            )
    return pd.DataFrame(rows).set_index(["metric", "epoch chosen"])


def judged(published: float, interval: Interval, seeds: int) -> str:
    """Whether the published number, of one training, is one that a further training of ours could give."""
    if seeds < metrics.MIN_SEEDS:
        return f"fewer than {metrics.MIN_SEEDS} seeds: no verdict"
    reach = (interval.high - interval.value) * np.sqrt(seeds + 1)  # from the mean's interval to a single value's
    if abs(published - interval.value) <= reach:
        return "reproduced: a further training could give it"
    return "higher than reported" if interval.value > published else "lower than reported"


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
                    "seeds": len(runs),
                    "95 % over seeds": bounds(interval, digits=3),
                }
            )
    return pd.DataFrame(rows).set_index(["epoch chosen", "threshold from"])


def per_class(runs: Sequence[Run], count: Callable[[str], int]) -> pd.DataFrame:
    """AUC of each abnormal class against N, mean over seeds with its interval; `count` gives a class's test beats.

    The intervals are over seeds: a class of few beats or of one patient is less certain than they say.
    """
    rows = {}
    for name in (name for name in CLASSES[1:] if f"auc_{name}" in runs[0].metrics["corrected"]):
        row: dict[str, str | int] = {"test beats": count(name), "seeds": len(runs)}
        for rule in RULES:
            interval = metrics.mean_interval(_over_seeds(runs, rule, f"auc_{name}"))
            row[rule.replace("_", " ")] = shown(interval, digits=3)
        rows[name] = row
    return pd.DataFrame.from_dict(rows, orient="index").rename_axis("class")


def _stored(found: Mapping[str, float], metric: str, over: str) -> Interval:
    """An interval as a run's metrics keep it."""
    return Interval(found[metric], found[f"{metric}_low_{over}"], found[f"{metric}_high_{over}"])


def bounds(interval: Interval, digits: int = 4, signed: bool = False) -> str:
    """`[0.8950, 0.9074]` of a quantity in [0, 1], or of a difference `[-0.0010, +0.0050]`."""
    low, high = interval.low, interval.high
    if not np.isfinite(low + high):
        return f"needs {metrics.MIN_SEEDS} seeds"
    if signed:
        return f"[{low:+.{digits}f}, {high:+.{digits}f}]"
    # Student's t does not know that an AUC lies in [0, 1].
    return f"[{max(low, 0):.{digits}f}, {min(high, 1):.{digits}f}]"


def shown(interval: Interval, digits: int = 4, signed: bool = False) -> str:
    """`0.9012 [0.8950, 0.9074]`; fewer than three seeds have no interval."""
    value = f"{interval.value:{'+' if signed else ''}.{digits}f}"
    if not np.isfinite(interval.low + interval.high):
        return f"{value} (fewer than {metrics.MIN_SEEDS} seeds)"
    return f"{value} {bounds(interval, digits, signed)}"
