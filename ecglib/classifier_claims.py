"""R3's claims: a number or a change in the report, as coded and corrected, all on the same part of the data.

The part comes from the claim itself (`reports.CLAIMS`), so that a validation number of R3 cannot stand beside a test
number of ours.
"""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from itertools import pairwise
from typing import Literal

import numpy as np
import pandas as pd

from ecglib import comparisons, metrics, reports
from ecglib.classifier_runs import ClassifierRun
from ecglib.classifier_tables import (
    DETECTABLE,
    VALIDATION,
    Runs,
    at_budget,
    claimed_difference,
    judged,
    rounded,
    trainings,
    values,
)
from ecglib.comparisons import (
    EQUAL_MARGIN,
    Comparison,
    MeasuredChange,
    Unpaired,
    compare,
    equivalence,
    holm,
    p_header,
    shown_detectable,
    unpaired,
    verdict,
)
from ecglib.errors import EcglibError
from ecglib.metrics import Change, Interval, mean_interval
from ecglib.models import ecgcnn
from ecglib.tables import bounds, shown

Way = Literal["as coded", "corrected"]
# As coded, R3's program tested its last epoch and validated every one of them; the best is reported.
PARTS: dict[Way, dict[str, str]] = {
    "as coded": {"validation": "validation", "test": "test_last"},
    "corrected": {"validation": "validation", "test": "test"},
}


def part_of(*keys: str) -> str:
    """The part of the data that R3 measured these numbers on.

    Raises:
        EcglibError: they are of no part, or of two.
    """
    parts = {reports.CLAIMS[key].part for key in keys}
    if len(parts) != 1 or "" in parts:
        raise EcglibError(f"{', '.join(keys)} are numbers of {sorted(parts)}: compare what is of one part of the data.")
    return parts.pop()


def measured_on(key: str, runs: Sequence[ClassifierRun], way: Way) -> np.ndarray:
    """Macro-AUC on the part of the data that R3's number `key` is of: (seeds,); as coded of rounded class AUCs."""
    part = PARTS[way][part_of(key)]
    return rounded(runs, part) if way == "as coded" else values(runs, part)


def change(before: Sequence[ClassifierRun], after: Sequence[ClassifierRun], part: str, way: Way) -> MeasuredChange:
    """Mean macro-AUC of two arms and what lies between.

    Paired over the seeds that both have, where each pair has a seed in common or the one taught the other; otherwise
    all trainings of the one against all of the other (Welch).

    Args:
        before: runs in the order of their seeds.
        after: likewise.
        part: "validation" or "test".
        way: how that part is measured.
    """
    key, count = PARTS[way][part], min(len(before), len(after))
    if all(_belong_together(*pair) for pair in zip(before[:count], after[:count], strict=True)):
        before, after = before[:count], after[:count]
        paired = compare(after, before, key)
        return _change(before, after, key, part, paired, paired.over_patients, trainings(after))
    test = unpaired(values(after, key), values(before, key))
    drawn = [np.mean([run.resampled(key, patients=True)["auc"] for run in runs], axis=0) for runs in (before, after)]
    others = metrics.percentiles(test.over_seeds.value, drawn[1] - drawn[0])
    return _change(before, after, key, part, test, others, f"{len(after)} against {len(before)}")


def _change(
    before: Sequence[ClassifierRun],
    after: Sequence[ClassifierRun],
    key: str,
    part: str,
    test: Comparison | Unpaired,
    others: Interval,
    made: str,
) -> MeasuredChange:
    first, second = (float(values(runs, key).mean()) for runs in (before, after))
    return MeasuredChange(first, second, test.over_seeds, others, test=test, trainings=made, part=part)


def _belong_together(before: ClassifierRun, after: ClassifierRun) -> bool:
    taught_by = (after.config.get("lesson") or {}).get("teacher")
    return before.config["training"]["seed"] == after.config["training"]["seed"] or taught_by == before.folder.name


@dataclass(frozen=True)
class Claim:
    """One of R3's claims beside what was measured.

    Attributes:
        part: of the data, of all of it.
        report: what R3 says.
        coded: what its program gives; None where it was not run.
        corrected: what a sound way gives; None where there is none.
    """

    part: str
    report: Change
    coded: MeasuredChange | None = None
    corrected: MeasuredChange | None = None

    @property
    def sources(self) -> dict[str, Change]:
        """What there is, by who says so."""
        found: dict[str, Change | None] = {"report": self.report, "as coded": self.coded, "corrected": self.corrected}
        return {name: one for name, one in found.items() if one is not None}

    @property
    def judged(self) -> MeasuredChange | None:
        """What the verdict is about: the corrected change, or the one as coded where there is no other."""
        return self.corrected or self.coded


Pair = tuple[Sequence[ClassifierRun], Sequence[ClassifierRun]]


def claim(
    before: str, after: str, coded: Pair | MeasuredChange | None = None, corrected: Pair | MeasuredChange | None = None
) -> Claim:
    """A claim whose every number is of the part that R3 measured it on.

    Args:
        before: a key of `reports.CLAIMS`, in %.
        after: another.
        coded: runs before and after; or a change that was measured otherwise.
        corrected: likewise.

    Raises:
        EcglibError: R3's two numbers, or R3's and ours, are of two parts of the data.
    """
    part, found = part_of(before, after), []
    for way, given in (("as coded", coded), ("corrected", corrected)):
        if isinstance(given, tuple):
            given = change(*given, part, way)  # type: ignore[arg-type]
        if given is not None and given.part != part:
            raise EcglibError(f"{after} is a {part} number, this change one of {given.part}: measure it on {part}.")
        found.append(given)
    return Claim(part, Change(reports.value(before) / 100, reports.value(after) / 100), *found)


def claims(found: Mapping[str, Claim], comparable: bool) -> pd.DataFrame:
    """R3's claims: before and after in the report, as coded and corrected, with p (one family) and a verdict in words.

    p and verdict are those of the corrected change, or of the one as coded where there is no corrected one.

    Args:
        found: claim in words -> what is said and was measured.
        comparable: whether data and budget are the report's.
    """
    asked = {name: one.judged for name, one in found.items() if one.judged is not None}
    adjusted = dict(zip(asked, holm([change.test.p for change in asked.values()]), strict=True))
    equal = [name for name in asked if found[name].report.before == found[name].report.after]
    equal_p = dict(zip(equal, holm([_equivalence(asked[name]) for name in equal]), strict=True))
    rows = []
    for name, one in found.items():
        row = {"claim": name, "part": one.part}
        row |= dict.fromkeys(("report", "as coded", "corrected"), "-")
        row |= {source: _arrow(each) for source, each in one.sources.items()}
        row |= {"trainings": "-", p_header(len(asked)): "-", DETECTABLE: "-", "verdict": "-"}
        if name in asked:
            p = float(adjusted[name])
            words = _verdict(one.report, asked[name], p, equal_p.get(name))
            row |= {
                "trainings": asked[name].trainings,
                p_header(len(asked)): "-" if np.isnan(p) else f"{p:.2g}",
                DETECTABLE: shown_detectable(asked[name].test, len(asked)),
                "verdict": at_budget(f"{words}{'' if one.corrected else ', as coded'}", comparable),
            }
        rows.append(row)
    return pd.DataFrame(rows).set_index("claim")


def _arrow(change: Change) -> str:
    found = [f"{change.after - change.before:+.3f}"]
    for interval, over in ((change.over_seeds, "seeds"), (change.over_patients, "patients")):
        if interval is not None and np.isfinite(interval.low):
            found.append(f"{bounds(interval, 3, signed=True)} over {over}")
    return f"{change.before:.3f} -> {change.after:.3f} ({', '.join(found)})"


def _equivalence(change: MeasuredChange) -> float:
    """p of `comparisons.equivalence`; NaN for trainings that are not paired."""
    test = change.test
    return equivalence(test.differences, EQUAL_MARGIN) if isinstance(test, Comparison) else float("nan")


def _verdict(report: Change, found: MeasuredChange, p: float, equal_p: float | None) -> str:
    claimed = report.after - report.before
    said = "no change" if not claimed else f"{'gain' if claimed > 0 else 'loss'} of {abs(claimed):.3f}"
    if claimed:
        return f"report: {said}; here: {verdict(found.test, p, claimed, found.over_patients)}"
    here = verdict(found.test, p, None, found.over_patients)
    if here.startswith("no difference"):
        equal = equal_p is not None and equal_p < 1 - metrics.LEVEL
        here = f"equal within {EQUAL_MARGIN}" if equal else f"{here}, nor that they are equal within {EQUAL_MARGIN}"
    return f"report: {said}; here: {here}"


def equivalence_table(found: Mapping[str, MeasuredChange], comparable: bool) -> pd.DataFrame:
    """Whether what is claimed to be equal is, within half, once and double the margin (`comparisons.EQUAL_MARGIN`).

    Args:
        found: question -> paired change; all of them are one family of Holm's.
        comparable: whether data and budget are the report's.
    """
    questions: dict[str, tuple[np.ndarray, Interval]] = {}
    for name, one in found.items():
        if not isinstance(one.test, Comparison) or one.over_patients is None:
            raise EcglibError(f"{name} is not paired: equivalence is asked of pairs of trainings alone.")
        questions[name] = one.test.differences, one.over_patients
    table = comparisons.equivalence_table(questions)
    table.insert(0, "part", [one.part for one in found.values()])
    table["seeds"] = [one.trainings for one in found.values()]
    for column in table.columns:
        if column.startswith("within") and ":" not in column:
            table[column] = [at_budget(words, comparable) for words in table[column]]
    return table


def network_questions(runs: Runs) -> dict[str, tuple[str, str, tuple[str, str]]]:
    """What section 3.1 and table 2 say of networks: question -> control, arm, keys of their numbers.

    Inception against plain; every rung of table 2 against the largest, and against the next larger one.

    Args:
        runs: as coded; a question of which a network is missing is left out.
    """
    sizes = list(ecgcnn.LADDER)
    pairs = {"Inception - plain": ("plain", "inception", ("r3.plain.auc", "r3.inception.auc"))}
    for before, after in [(sizes[0], size) for size in sizes[1:]] + list(pairwise(sizes)):
        keys = (f"r3.ladder.{before}", f"r3.ladder.{after}")
        pairs[f"{after} - {before}"] = (ecgcnn.network_of(before), ecgcnn.network_of(after), keys)
    return {name: pair for name, pair in pairs.items() if all(f"R3 {network}" in runs for network in pair[:2])}


def networks(runs: Runs, comparable: bool) -> pd.DataFrame:
    """R3 on its networks: "Inception is worse than plain", "the AUC falls only at 57K"; on R3's validation records.

    Args:
        runs: under R3's program where names begin with "R3", corrected otherwise.
        comparable: whether data and budget are the report's.
    """
    asked = network_questions(runs)
    compared = {
        name: compare(runs[f"R3 {after}"], runs[f"R3 {before}"], VALIDATION)
        for name, (before, after, _) in asked.items()
    }
    # A claim that nothing changes is no difference that could be excluded.
    claimed = {name: claimed_difference(keys) or None for name, (_, _, keys) in asked.items()}
    equal = holm([equivalence(one.differences, EQUAL_MARGIN) for one in compared.values()])
    rows = []
    for (name, (one, p, words)), equal_p in zip(judged(compared, claimed).items(), equal, strict=True):
        before, after, keys = asked[name]
        sound = all(network in runs for network in (before, after))
        own = (
            mean_interval(np.subtract(*(values(runs[each], VALIDATION) for each in (after, before)))) if sound else None
        )
        rows.append(
            {
                "question": name,
                "report": f"{claimed_difference(keys):+.3f}",
                "seeds": str(len(one.differences)),
                "as coded: difference, 95 % over seeds": shown(one.over_seeds, 3, signed=True),
                "over patients": bounds(one.over_patients, 3, signed=True),
                p_header(len(asked)): "-" if np.isnan(p) else f"{p:.2g}",
                DETECTABLE: shown_detectable(one, len(asked), 3),
                "verdict": at_budget(words, comparable),
                f"equal within {EQUAL_MARGIN}: {p_header(len(asked))}": "-" if np.isnan(equal_p) else f"{equal_p:.2g}",
                "corrected, own validation fold": shown(own, 3, signed=True) if own else "-",
            }
        )
    return pd.DataFrame(rows).set_index("question")
