"""R3's claims in one table: a macro-AUC before and after, as published, as coded and corrected, on the same records."""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass

import numpy as np
import pandas as pd

from ecglib import metrics, multilabel, reports
from ecglib.classifier_runs import ClassifierRun
from ecglib.classifier_tables import TEST, at_budget, judged, values
from ecglib.comparisons import Comparison, compare, equivalence_table, p_header, p_value, shown_detectable, verdict
from ecglib.errors import EcglibError
from ecglib.metrics import Change, mean_interval
from ecglib.tables import bounds

SOURCES = ("report", "as coded", "corrected")


def change(before: Sequence[ClassifierRun], after: Sequence[ClassifierRun], part: str = TEST) -> Change:
    """Mean macro-AUC of two arms over the seeds that both have, and the paired difference with both intervals."""
    count = min(len(before), len(after))
    paired = compare(after[:count], before[:count], part)
    ends = [float(values(runs[:count], part).mean()) for runs in (before, after)]
    return Change(ends[0], ends[1], paired.over_seeds, paired.over_patients, paired.differences)


def change_of_answers(
    targets: np.ndarray, patients: np.ndarray, before: Sequence[np.ndarray], after: Sequence[np.ndarray]
) -> Change:
    """Mean macro-AUC of networks before and after something was done to them, on the same records.

    Args:
        targets: (N, 5) of 0 and 1.
        patients: (N,).
        before: logits (N, 5), one a seed.
        after: likewise.
    """
    aucs = [[multilabel.class_metrics(targets, one)["auc"] for one in side] for side in (before, after)]
    drawn = [
        np.mean([multilabel.resampled_auc(targets, one, patients) for one in side], axis=0) for side in (before, after)
    ]
    differences = np.subtract(aucs[1], aucs[0])
    over_seeds = mean_interval(differences)
    others = metrics.percentiles(over_seeds.value, drawn[1] - drawn[0])
    return Change(float(np.mean(aucs[0])), float(np.mean(aucs[1])), over_seeds, others, differences)


def published(before: str, after: str) -> Change:
    """Two numbers of R3, keys of `reports.CLAIMS` in %, as a change.

    Raises:
        EcglibError: they were measured on different parts of the data.
    """
    parts = {reports.CLAIMS[key].part for key in (before, after)}
    if len(parts) > 1:
        raise EcglibError(f"{before} and {after} are numbers of {' and '.join(sorted(parts))} data: not one change.")
    return Change(reports.value(before) / 100, reports.value(after) / 100)


@dataclass(frozen=True)
class Claimed:
    """One claim of R3 and what was measured of it, all on the same part of the data.

    Attributes:
        keys: of the published numbers before and after, in `reports.CLAIMS`.
        coded: as R3's program has it; None where that was not rebuilt.
        corrected: as a sound experiment has it.
    """

    keys: tuple[str, str]
    coded: Change | None
    corrected: Change

    @property
    def report(self) -> Change:
        """What R3 publishes."""
        return published(*self.keys)

    @property
    def part(self) -> str:
        """The part of the data, as R3's numbers have it."""
        return reports.CLAIMS[self.keys[0]].part

    @property
    def changes(self) -> dict[str, Change]:
        """Who says so -> the change."""
        found = {"report": self.report, "as coded": self.coded, "corrected": self.corrected}
        return {name: change for name, change in found.items() if change is not None}


def claims(claimed: Mapping[str, Claimed], comparable: bool) -> pd.DataFrame:
    """R3's claims: before and after in the report, as coded and corrected, with a verdict on the corrected.

    Args:
        claimed: claim -> what is known of it; all of them are one family for Holm's correction.
        comparable: whether data and budget are the report's.
    """
    compared = {name: _comparison(one.corrected) for name, one in claimed.items()}
    rows = []
    for name, (comparison, p) in judged(compared).items():
        one = claimed[name]
        rows.append(
            {
                "claim": name,
                "records": one.part,
                **{source: _arrow(one.changes[source]) if source in one.changes else "-" for source in SOURCES},
                p_header(len(claimed)): "-" if np.isnan(p) else f"{p:.2g}",
                "verdict": at_budget(_verdict(one.report, comparison, p), comparable),
                "could have shown": shown_detectable(comparison, len(claimed), 3),
            }
        )
    return pd.DataFrame(rows).set_index("claim")


def equal(claimed: Mapping[str, Claimed]) -> pd.DataFrame:
    """Whether before and after are equal, for the claims that say so or should: see `comparisons.equivalence_table`."""
    measured = {name: _comparison(one.corrected) for name, one in claimed.items()}
    return equivalence_table({name: (one.differences, one.over_patients) for name, one in measured.items()})


def _comparison(found: Change) -> Comparison:
    """A measured change as what `comparisons.verdict` judges."""
    assert found.differences is not None and found.over_seeds is not None and found.over_patients is not None
    differences, others = found.differences, found.over_patients
    return Comparison(differences, found.over_seeds, others, others, p_value(differences))


def _arrow(change: Change) -> str:
    found = [f"{change.after - change.before:+.3f}"]
    for interval, over in ((change.over_seeds, "seeds"), (change.over_patients, "patients")):
        if interval is not None and np.isfinite(interval.low):
            found.append(f"{bounds(interval, 3, signed=True)} over {over}")
    if change.differences is not None:
        found.append(f"{len(change.differences)} seed{'s' if len(change.differences) > 1 else ''}")
    return f"{change.before:.3f} -> {change.after:.3f} ({', '.join(found)})"


def _verdict(report: Change, found: Comparison, adjusted_p: float) -> str:
    difference = report.after - report.before
    said = "gain" if difference > 0 else "loss" if difference < 0 else "no change"
    text = verdict(found, adjusted_p, difference or None)
    for word, name in (("better", "gain"), ("worse", "loss")):
        text = text.replace(word, name, 1) if text.startswith(word) else text
    return f"report: {said}; here: {text}"
