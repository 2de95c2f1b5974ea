"""R3's claims in one table: a macro-AUC before and after, as published, as coded and corrected, on the same records.

Everywhere `limit` says what of data and budget is not the report's, "" for nothing, and all questions of a table are
one family for Holm's correction.
"""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field

import numpy as np
import pandas as pd

from ecglib import reports
from ecglib.classifier.run import ClassifierRun
from ecglib.classifier.tables import TEST, VALIDATION, trained, values
from ecglib.core.errors import EcglibError
from ecglib.show.words import bounds
from ecglib.stats import metrics, multilabel
from ecglib.stats.comparisons import (
    Comparison,
    Unpaired,
    compare,
    family,
    limited,
    p_value,
    unpaired,
)
from ecglib.stats.margins import equivalence_table
from ecglib.stats.metrics import Change, Interval

SOURCES = ("report", "as coded", "corrected")


@dataclass(frozen=True)
class Measured(Change):
    """A change that was measured, with its test."""

    part: str = field(kw_only=True)  # of the data, "validation" or "test"
    test: Comparison | Unpaired = field(kw_only=True)  # after minus before
    trained: str = field(kw_only=True)  # the number of trainings, in words


@dataclass(frozen=True)
class Paired(Measured):
    """A measured change of the same seeds."""

    test: Comparison = field(kw_only=True)


def change(before: Sequence[ClassifierRun], after: Sequence[ClassifierRun], part: str = TEST) -> Measured:
    """Mean macro-AUC of two arms and the difference with both intervals; runs are in the order of their seeds.

    The arms are paired over the seeds that both have if the two runs of each pair are one network with the same seed,
    or one taught the other. Otherwise they are compared unpaired (Welch). Part "test_last" is the last epoch on test
    records.

    Raises:
        EcglibError: the two were tested on different data.
    """
    count, on = min(len(before), len(after)), part.removesuffix("_last")
    if all(_related(*pair) for pair in zip(before[:count], after[:count], strict=True)):
        before, after = before[:count], after[:count]
        paired = compare(after, before, part)
        ends = _ends(before, after, part)
        return Measured(
            *ends, paired.over_seeds, paired.over_patients, part=on, test=paired, trained=f"seeds: {trained(after)}"
        )
    seen = [run.predictions[f"{on}_targets"] for run in (*before, *after)]
    if not all(np.array_equal(one, seen[0]) for one in seen):
        raise EcglibError(
            f"{before[0].folder.name} and {after[0].folder.name} saw other {on} records: compare one split."
        )
    apart = unpaired(values(after, part), values(before, part))
    drawn = [np.mean([run.resampled(part, patients=True) for run in runs], axis=0) for runs in (before, after)]
    others = metrics.percentiles(apart.over_seeds.value, drawn[1] - drawn[0])
    seeds = f"unpaired, seeds: {trained(before)} and {trained(after)}"
    return Measured(*_ends(before, after, part), apart.over_seeds, others, part=on, test=apart, trained=seeds)


def _ends(before: Sequence[ClassifierRun], after: Sequence[ClassifierRun], part: str) -> tuple[float, float]:
    return float(values(before, part).mean()), float(values(after, part).mean())


def _related(before: ClassifierRun, after: ClassifierRun) -> bool:
    """Whether one taught the other, or both are one network from the same initial weights."""
    network, other = ((run.config.get("network"), run.config.get("leads")) for run in (before, after))
    seeds = before.config["training"]["seed"], after.config["training"]["seed"]
    return before.folder.name in after.teachers or (network == other and seeds[0] == seeds[1])


def change_of_answers(
    targets: np.ndarray,
    patients: np.ndarray,
    before: Sequence[np.ndarray],
    after: Sequence[np.ndarray],
    part: str = VALIDATION,
) -> Paired:
    """Mean macro-AUC before and after something was done to networks, from logits (N, 5), one a seed."""
    aucs = [[multilabel.macro_auc(targets, one) for one in side] for side in (before, after)]
    drawn = [[multilabel.resampled_auc(targets, one, patients) for one in side] for side in (before, after)]
    return of_differences(metrics.paired_change(aucs, drawn), part)


def of_differences(found: Change, part: str = TEST) -> Paired:
    """A change with its paired differences (seeds,), such as `deployed.change`, as one that can be judged.

    Raises:
        EcglibError: the change has none, such as a published one.
    """
    if found.differences is None or found.over_seeds is None or found.over_patients is None:
        raise EcglibError("This change has no paired differences to be judged: give one such as `deployed.change`.")
    differences, others = found.differences, found.over_patients
    # No table shows an interval over records beside that over patients, so that over patients stands in both places.
    test = Comparison(differences, found.over_seeds, others, others, p_value(differences))
    seeds = f"seeds: {len(differences)}"
    return Paired(found.before, found.after, found.over_seeds, others, part=part, test=test, trained=seeds)


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

    Raises:
        EcglibError: something was measured on another part of the data than R3's numbers, or nothing was measured.
    """

    keys: tuple[str, str]  # in `reports.CLAIMS`, of the published numbers before and after
    coded: Measured | None  # None if R3's program was not rebuilt for it
    corrected: Measured | None  # None if there is no sound experiment for it

    def __post_init__(self) -> None:
        measured = [one for one in (self.coded, self.corrected) if one is not None]
        if not measured:
            raise EcglibError(f"Nothing was measured beside {self.keys[1]}: give a change as coded or corrected.")
        for one in measured:
            if one.part != self.part:
                raise EcglibError(
                    f"{self.keys[1]} is a {self.part} number, a change one of {one.part}: use {self.part}."
                )

    @property
    def judged(self) -> Measured:
        """The change that p and verdict belong to: the corrected one or, without it, the one as coded."""
        one = self.corrected or self.coded
        assert one is not None  # see __post_init__
        return one

    @property
    def report(self) -> Change:
        """The published numbers."""
        return published(*self.keys)

    @property
    def part(self) -> str:
        """The part of the data that R3's numbers belong to."""
        return reports.CLAIMS[self.keys[0]].part

    @property
    def changes(self) -> dict[str, Change]:
        """Source -> the change, for every source that there is."""
        found = {"report": self.report, "as coded": self.coded, "corrected": self.corrected}
        return {name: change for name, change in found.items() if change is not None}


def claims(claimed: Mapping[str, Claimed], limit: str) -> pd.DataFrame:
    """R3's claims: before and after in the report, as coded and corrected, with a verdict on the corrected change.

    Without a corrected change p and verdict belong to the change as coded; the verdict says so.
    """
    judged = family(
        {name: one.judged.test for name, one in claimed.items()},
        {name: one.report.after - one.report.before for name, one in claimed.items()},
        {name: one.judged.over_patients for name, one in claimed.items() if one.judged.over_patients},
    )
    rows = []
    for name, one in claimed.items():
        test = judged[name]
        said = "gain" if (test.claimed or 0) > 0 else "loss" if test.claimed else "no change"
        found = test.verdict(better="gain", worse="loss") + ("" if one.corrected else ", as coded")
        rows.append(
            {
                "claim": name,
                "records": one.part,
                **{source: _arrow(one.changes[source]) if source in one.changes else "-" for source in SOURCES},
                test.header: test.shown_p,
                "verdict": limited(f"report: {said}; here: {found}", limit),
                "could have shown": test.detectable(3),
            }
        )
    return pd.DataFrame(rows).set_index("claim")


def equal(found: Mapping[str, Claimed | Measured], limit: str = "") -> pd.DataFrame:
    """Whether before and after are equal (`margins.equivalence_table`), judged by the corrected change of a claim.

    Raises:
        EcglibError: a change is not paired.
    """
    changes = {name: one.judged if isinstance(one, Claimed) else one for name, one in found.items()}
    questions: dict[str, tuple[np.ndarray, Interval]] = {}
    for name, one in changes.items():
        if not isinstance(one.test, Comparison):
            raise EcglibError(f"{name} is not paired: two one-sided tests need trainings that belong together.")
        questions[name] = one.test.differences, one.test.over_patients
    table = equivalence_table(questions, limit)
    table.insert(0, "records", [one.part for one in changes.values()])
    table["seeds"] = [one.trained.removeprefix("seeds: ") for one in changes.values()]
    return table


def _arrow(change: Change) -> str:
    found = [f"{change.after - change.before:+.3f}"]
    for interval, over in ((change.over_seeds, "seeds"), (change.over_patients, "patients")):
        if interval is not None and np.isfinite(interval.low):
            found.append(f"{bounds(interval, 3, signed=True)} over {over}")
    if isinstance(change, Measured):
        found.append(change.trained)
    return f"{change.before:.3f} -> {change.after:.3f} ({', '.join(found)})"
