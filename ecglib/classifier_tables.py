"""The tables of notebook 05, from stored runs and published numbers alone."""

from collections.abc import Mapping, Sequence

import numpy as np
import pandas as pd

from ecglib import cost, metrics, multilabel, reports
from ecglib.classifier_arms import ClassifierArm
from ecglib.classifier_runs import SELF, UNTRAINED, ClassifierRun
from ecglib.comparisons import Comparison, compare, holm, p_header, shown_detectable, verdict
from ecglib.data.ptbxl import SUPERCLASSES
from ecglib.metrics import Change, Interval, mean_interval
from ecglib.models import ecgcnn
from ecglib.tables import bounds, shown

Runs = Mapping[str, Sequence[ClassifierRun]]
TEST, VALIDATION = "test", "validation"
DETECTABLE = "smallest difference shown with 80 %"


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


def trainings(runs: Sequence[ClassifierRun]) -> str:
    """How many there are, and of how many teachers where they share one: `5, taught by 3 teachers`."""
    lessons = [run.config.get("lesson") or {} for run in runs]
    teachers = {lesson["teacher"] for lesson in lessons if lesson.get("teacher", SELF) not in (SELF, UNTRAINED)}
    shared = bool(teachers) and len(teachers) < len(runs)
    return f"{len(runs)}, taught by {len(teachers)} teacher{'s' * (len(teachers) > 1)}" if shared else str(len(runs))


def at_budget(verdict: str, comparable: bool) -> str:
    """A verdict with what it holds for, where data or budget are not the report's."""
    return verdict if comparable or verdict == "-" else f"{verdict} (at this budget)"


def claimed_difference(claim: tuple[str, str] | None) -> float | None:
    """What R3 says a change is, from keys of `reports.CLAIMS` in %; None where it claims none."""
    return None if claim is None else (reports.value(claim[1]) - reports.value(claim[0])) / 100


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
                "seeds": trainings(runs[name]),
                "validation, rounded": f"{rounded(runs[name], VALIDATION).mean():.3f}",
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
        row = {"arm": arm.name, "seeds": trainings(runs[name])}
        rows.append(row | {label: cell(runs[name], tested(arm), label) for label in there})
    return pd.DataFrame(rows).set_index("arm")


def comparisons(arms: Mapping[str, ClassifierArm], runs: Runs) -> dict[str, Comparison]:
    """Each arm that has a control against it, seed by seed."""
    return {name: compare(runs[name], runs[arm.control], tested(arm)) for name, arm in arms.items() if arm.control}


def differences(
    arms: Mapping[str, ClassifierArm],
    runs: Runs,
    comparable: bool,
    controls: Mapping[str, ClassifierArm] | None = None,
) -> pd.DataFrame:
    """Each arm's macro-AUC minus its control's: three intervals, p of the paired t test, verdict; the last epoch's.

    The last epoch tells what the choice of the epoch has to do with a difference. All rows are one family of Holm's.

    Args:
        arms: those that have a control are asked about.
        runs: of arms and controls.
        comparable: whether data and budget are the report's.
        controls: those that are not among `arms`.
    """
    known = {**(controls or {}), **arms}

    def at_last(name: str) -> Interval:
        found, control = (values(runs[arm], "test_last") for arm in (name, arms[name].control))
        return mean_interval(found - control[: len(found)])

    compared = comparisons(arms, runs)
    count = len(compared)
    rows = [
        {
            "arm": arms[name].name,
            "minus": known[arms[name].control].name,
            "seeds": trainings(runs[name]),
            "difference, 95 % over seeds": shown(comparison.over_seeds, signed=True),
            "over records": bounds(comparison.over_beats, signed=True),
            "over patients": bounds(comparison.over_patients, signed=True),
            p_header(count): "-" if np.isnan(p) else f"{p:.2g}",
            DETECTABLE: shown_detectable(comparison, count),
            "verdict": at_budget(found, comparable),
            "at the last epoch, over seeds": shown(at_last(name), signed=True),
        }
        for name, (comparison, p, found) in judged(
            compared, {name: claimed_difference(arms[name].claim) for name in compared}
        ).items()
    ]
    return pd.DataFrame(rows).set_index("arm")


def judged(
    compared: Mapping[str, Comparison], claimed: Mapping[str, float | None]
) -> dict[str, tuple[Comparison, float, str]]:
    """Each comparison with its p, by Holm over all of them, and its verdict.

    Args:
        compared: the questions of a table.
        claimed: question -> the difference that R3 claims, if it does.
    """
    adjusted = holm([one.p for one in compared.values()])
    return {
        name: (one, float(p), verdict(one, float(p), claimed.get(name)))
        for (name, one), p in zip(compared.items(), adjusted, strict=True)
    }


def ladder(runs: Runs) -> pd.DataFrame:
    """Table 2: published size and macro-AUC beside the exact count and what was measured.

    R3's numbers are of validation records, so validation stands beside them; test stands by itself.

    Args:
        runs: of the networks (6.5M is the teacher), and under R3's program where their names begin with "R3"; without
            runs a row has its count alone.
    """
    rows = []
    for size, widths in ecgcnn.LADDER.items():
        network = ecgcnn.network_of(size)
        coded, sound = runs.get(f"R3 {network}", ()), runs.get(network, ())
        row = {
            "size in table 2": size,
            "widths": "-".join(map(str, widths)),
            "parameters here": f"{cost.count_parameters(ecgcnn.convnet(size)):,}",
            "report, validation": f"{reports.value(f'r3.ladder.{size}') / 100:.3f}",
        }
        if coded:
            row["as coded: R3's validation records, rounded"] = shown(mean_interval(rounded(coded, VALIDATION)), 3)
            row["seeds, as coded"] = str(len(coded))
        if sound:
            row |= {
                "corrected: own validation fold": shown(mean_interval(values(sound, VALIDATION)), 3),
                "own test fold": shown(mean_interval(values(sound))),
                "test, over patients": bounds(over_patients(sound)),
                "seeds, corrected": str(len(sound)),
            }
        rows.append(row)
    return pd.DataFrame(rows).set_index("size in table 2").fillna("-")


def settings(arms: Mapping[str, ClassifierArm], runs: Mapping[str, Runs], comparable: bool) -> pd.DataFrame:
    """Section 3.1: validation macro-AUC of each setting as coded and corrected, and whether R3's choice is the better.

    Args:
        arms: the fresh ones of `classifier_arms.setting_arms`.
        runs: "carried over", "in reverse" and "fresh" -> theirs.
        comparable: whether data, network and budget are the report's.
    """
    fresh = runs["fresh"]
    asked = {name: arm.control for name, arm in arms.items() if arm.control}
    found = judged({name: compare(fresh[name], fresh[control], VALIDATION) for name, control in asked.items()}, {})
    count = len(found)
    rows = []
    for name in arms:
        row = {
            "setting": name,
            "as coded: carried over": f"{values(runs['carried over'][name], VALIDATION).mean():.3f}",
            "carried over in reverse": f"{values(runs['in reverse'][name], VALIDATION).mean():.3f}",
            "corrected: fresh weights, 95 % over seeds": shown(mean_interval(values(fresh[name], VALIDATION)), 3),
            "seeds": str(len(fresh[name])),
            "minus R3's choice": "R3's choice",
            p_header(count): "-",
            DETECTABLE: "-",
            "verdict": "-",
        }
        if name in found:
            comparison, p, words = found[name]
            row |= {
                "minus R3's choice": shown(comparison.over_seeds, 3, signed=True),
                p_header(count): "-" if np.isnan(p) else f"{p:.2g}",
                DETECTABLE: shown_detectable(comparison, count, 3),
                "verdict": at_budget(words, comparable),
            }
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
                "seeds": f"{row['seeds']}",
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
