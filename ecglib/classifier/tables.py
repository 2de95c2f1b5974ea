"""The tables of notebook 05, from stored runs and published numbers alone.

Everywhere `runs` are one a seed, and `limit` says what of data and budget is not the report's, "" for nothing.
"""

from collections.abc import Mapping, Sequence

import numpy as np
import pandas as pd

from ecglib import reports
from ecglib.classifier import networks, training
from ecglib.classifier.run import ClassifierRun
from ecglib.classifier.task import BOOSTED_TREES, SELF, UNTRAINED
from ecglib.core import cost
from ecglib.data.ptbxl import SUPERCLASSES
from ecglib.runs.grid import Arm
from ecglib.show.words import bounds, shown
from ecglib.stats import metrics, multilabel
from ecglib.stats.comparisons import Comparison, compare, family, unpaired
from ecglib.stats.metrics import Change, Interval, mean_interval

Runs = Mapping[str, Sequence[ClassifierRun]]
TEST, VALIDATION = "test", "validation"
REPORT = "R3 "  # begins the names of arms under R3's whole program


def values(runs: Sequence[ClassifierRun], part: str = TEST, metric: str = "auc") -> np.ndarray:
    """A metric of each run: (seeds,)."""
    return np.array([run.metrics[part][metric] for run in runs])


def rounded(runs: Sequence[ClassifierRun], part: str = "test_last") -> np.ndarray:
    """Macro-AUC of each run as R3 reports it, (seeds,): last epoch, mean of class AUCs each rounded to two decimals."""
    return np.array([multilabel.rounded_auc(run.metrics[part]) for run in runs])


def over_patients(runs: Sequence[ClassifierRun], part: str = TEST) -> Interval:
    """Mean macro-AUC of the seeds with its interval over resampled patients."""
    drawn = np.mean([run.resampled(part, patients=True) for run in runs], axis=0)
    return metrics.percentiles(float(values(runs, part).mean()), drawn)


def test_part(arm: Arm) -> str:
    """The metrics that an arm is tested by: as coded those of the last epoch, otherwise those of the best."""
    return "test_last" if arm.configs[0].split == "report" else TEST


def results(arms: Mapping[str, Arm], runs: Runs) -> pd.DataFrame:
    """Every arm: macro-AUC as R3 counts it and sound, with both intervals."""
    rows = []
    for name, arm in arms.items():
        part = test_part(arm)
        rows.append(
            {
                "arm": arm.name,
                "what is done": arm.text,
                "parameters": f"{runs[name][0].parameters:,}",
                "seeds": trained(runs[name]),
                "validation, rounded": f"{rounded(runs[name], VALIDATION).mean():.3f}",
                "last epoch, rounded": f"{rounded(runs[name]).mean():.3f}",
                "macro-AUC, 95 % over seeds": shown(mean_interval(values(runs[name], part))),
                "over patients": bounds(over_patients(runs[name], part)),
                "AP": f"{values(runs[name], part, 'ap').mean():.3f}",
            }
        )
    return pd.DataFrame(rows).set_index("arm")


def per_class(arms: Mapping[str, Arm], runs: Runs) -> pd.DataFrame:
    """Test AUC of each superclass, and its average precision in brackets: means over seeds."""

    def cell(members: Sequence[ClassifierRun], part: str, label: str) -> str:
        auc, precision = (values(members, part, f"{metric}_{label}").mean() for metric in ("auc", "ap"))
        return f"{auc:.3f} ({precision:.3f})"

    rows = []
    for name, arm in arms.items():
        there = [label for label in SUPERCLASSES if f"auc_{label}" in runs[name][0].metrics[test_part(arm)]]
        cells = {label: cell(runs[name], test_part(arm), label) for label in there}
        rows.append({"arm": arm.name, **cells, "seeds": trained(runs[name])})
    return pd.DataFrame(rows).set_index("arm")


def class_aucs(runs: Sequence[ClassifierRun]) -> np.ndarray:
    """Test AUC of each class, (seeds, 5), columns in the order of `SUPERCLASSES`; NaN if a class does not occur."""
    return np.array([[run.metrics[TEST].get(f"auc_{label}", np.nan) for label in SUPERCLASSES] for run in runs])


def comparisons(arms: Mapping[str, Arm], runs: Runs) -> dict[str, Comparison]:
    """Each arm that has a control, compared with it seed by seed."""
    return {name: compare(runs[name], runs[arm.control], test_part(arm)) for name, arm in arms.items() if arm.control}


def differences(
    arms: Mapping[str, Arm],
    runs: Runs,
    limit: str,
    controls: Mapping[str, Arm] | None = None,
) -> pd.DataFrame:
    """Each arm's macro-AUC minus its control's: three intervals, p of the paired t test, verdict; the last epoch's.

    All rows are one family for Holm's correction. The last epoch shows what the choice of the epoch contributes to a
    difference. `controls` has those that are not among `arms`.
    """
    known = {**(controls or {}), **arms}

    def at_last(name: str) -> Interval:
        found, control = (values(runs[arm], "test_last") for arm in (name, arms[name].control))
        return mean_interval(found - control[: len(found)])

    claimed = {name: claimed_difference(arm.claim) for name, arm in arms.items()}
    compared = comparisons(arms, runs)
    judged = family(compared, claimed)
    rows = [
        {
            "arm": arms[name].name,
            "minus": known[arms[name].control].name,
            "seeds": trained(runs[name]),
            "difference, 95 % over seeds": shown(comparison.over_seeds, signed=True),
            "over records": bounds(comparison.over_beats, signed=True),
            "over patients": bounds(comparison.over_patients, signed=True),
            one.header: one.shown_p,
            "verdict": one.verdict(limit),
            "could have shown": one.detectable(),
            "at the last epoch, over seeds": shown(at_last(name), signed=True),
        }
        for (name, comparison), one in zip(compared.items(), judged.values(), strict=True)
    ]
    return pd.DataFrame(rows).set_index("arm")


def trained(runs: Sequence[ClassifierRun]) -> str:
    """How many runs there are, and how many teachers they have if several share one: `5 (3 teachers)`."""
    teachers = {teacher for run in runs for teacher in run.teachers} - {SELF, UNTRAINED, BOOSTED_TREES}
    shared = 0 < len(teachers) < len(runs)
    return f"{len(runs)} ({len(teachers)} teacher{'s' * (len(teachers) > 1)})" if shared else str(len(runs))


def claimed_difference(claim: tuple[str, str] | None) -> float | None:
    """R3's second number minus its first (keys of `reports.CLAIMS`, in %); None without a claim."""
    return None if claim is None else (reports.value(claim[1]) - reports.value(claim[0])) / 100


def ladder(runs: Runs) -> pd.DataFrame:
    """Table 2: published size and macro-AUC beside the exact count and what was measured.

    R3's numbers are validation numbers on its own split, and so is the column as coded. A network without runs has its
    count alone.
    """
    rows = []
    for size, widths in networks.LADDER.items():
        network = networks.network_of(size)
        row = {
            "size in table 2": size,
            "widths": "-".join(map(str, widths)),
            "parameters here": f"{cost.count_parameters(networks.convnet(size)):,}",
            "report, validation": f"{reports.value(f'r3.ladder.{size}') / 100:.3f}",
        }
        if coded := runs.get(f"{REPORT}{network}", ()):
            row["as coded, validation, rounded"] = shown(mean_interval(rounded(coded, VALIDATION)), 3)
        if members := runs.get(network, ()):
            row |= {
                "own folds, validation": shown(mean_interval(values(members, VALIDATION)), 3),
                "own folds, test": shown(mean_interval(values(members)), 3),
                "test, over patients": bounds(over_patients(members), 3),
                "seeds": str(len(members)),
            }
        rows.append(row)
    return pd.DataFrame(rows).set_index("size in table 2").fillna("-")


def network_claims(runs: Runs, limit: str) -> pd.DataFrame:
    """R3's two claims about networks, on R3's split and validation records, as R3 measured them.

    Section 3.1: the plain CNN is better than the Inception CNN. Section 3.2.3 and table 2: the macro-AUC holds from
    6.5M parameters down and falls only at 57K. Networks share no weights, so the differences are unpaired (Welch).
    Networks without runs under R3's program are left out.
    """
    largest, *smaller = networks.LADDER
    pairs = {("plain", "inception"): ("r3.plain.auc", "r3.inception.auc")}
    for size in smaller:
        pairs[networks.network_of(size), networks.network_of(largest)] = (f"r3.ladder.{size}", f"r3.ladder.{largest}")
    asked = {pair: keys for pair, keys in pairs.items() if all(f"{REPORT}{name}" in runs for name in pair)}
    found = {pair: unpaired(*(values(runs[f"{REPORT}{name}"], VALIDATION) for name in pair)) for pair in asked}
    claimed = {pair: claimed_difference((before, after)) for pair, (after, before) in asked.items()}
    rows = []
    for (pair, one), test in zip(family(found, claimed).items(), found.values(), strict=True):
        rows.append(
            {
                "network": pair[0],
                "minus": pair[1],
                "report, validation": f"{claimed[pair]:+.3f}",
                "as coded, validation": shown(test.over_seeds, 3, signed=True),
                "seeds": f"{test.counts[0]} and {test.counts[1]}",
                one.header: one.shown_p,
                "verdict": one.verdict(limit),
                "could have shown": one.detectable(3),
            }
        )
    columns = ["network", "minus"]
    return pd.DataFrame(rows, columns=None if rows else columns).set_index(columns)


def settings(arms: Mapping[str, Arm], runs: Mapping[str, Runs], limit: str) -> pd.DataFrame:
    """Figure 6: validation macro-AUC of each setting as coded and corrected, and whether R3's choice is better.

    `arms` are the fresh ones of `arms.setting_arms`, `runs` are those of all three.
    """
    fresh = runs["fresh"]
    asked = {name: arm.control for name, arm in arms.items() if arm.control}
    found = family({name: compare(fresh[name], fresh[control], VALIDATION) for name, control in asked.items()})
    rows = []
    for name in arms:
        row = {
            "setting": name,
            "as coded: carried over": f"{values(runs['carried over'][name], VALIDATION).mean():.3f}",
            "carried over in reverse": f"{values(runs['in reverse'][name], VALIDATION).mean():.3f}",
            "corrected: fresh weights, 95 % over seeds": shown(mean_interval(values(fresh[name], VALIDATION)), 3),
            "seeds": str(len(fresh[name])),
            "minus R3's choice": "R3's choice",
        }
        if name in found:
            one = found[name]
            row |= {
                "minus R3's choice": shown(one.comparison.over_seeds, 3, signed=True),
                one.header: one.shown_p,
                "verdict": one.verdict(limit),
                "could have shown": one.detectable(3),
            }
        rows.append(row)
    return pd.DataFrame(rows).set_index("setting").fillna("-")


def compression(costs: pd.DataFrame, losses: Mapping[str, Change]) -> pd.DataFrame:
    """What each model of `deployed.costs` costs and what it knows; `losses` is model -> change from float to INT8."""
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


CONSTANT = "always each class's share"  # what a Brier score has to beat
CALIBRATION = f"expected calibration error ({multilabel.BINS} bins of equal width), over seeds"


def calibration(answers: Mapping[str, Sequence[np.ndarray]], targets: np.ndarray, patients: np.ndarray) -> pd.DataFrame:
    """Whether probabilities mean what they say, beside the AUC, which sees their order alone; from test logits (N, 5).

    The last row answers every record with the share of the test records that have each class: calibrated, but ignorant.
    """
    said = {name: [training.probabilities(one) for one in members] for name, members in answers.items()}
    rows = []
    for name, members in said.items():
        aucs = [multilabel.macro_auc(targets, one) for one in members]
        scores = [multilabel.brier(targets, one) for one in members]
        drawn = np.mean([multilabel.resampled_brier(targets, one, patients) for one in members], axis=0)
        errors = [multilabel.calibration_error(targets, one) for one in members]
        rows.append(
            {
                "model": name,
                "macro-AUC": shown(mean_interval(aucs), 3),
                "Brier score, over seeds": shown(mean_interval(scores), 4),
                "Brier score, over patients": bounds(metrics.percentiles(float(np.mean(scores)), drawn), 4),
                CALIBRATION: shown(mean_interval(errors), 4),
                "seeds": str(len(members)),
            }
        )
    share = np.broadcast_to(targets.mean(axis=0), targets.shape)
    constant = {"macro-AUC": "0.500", "seeds": "no seed", "Brier score, over patients": "-"}
    constant["Brier score, over seeds"] = f"{multilabel.brier(targets, share):.4f}"
    constant[CALIBRATION] = f"{multilabel.calibration_error(targets, share):.4f}"
    return pd.DataFrame([*rows, {"model": CONSTANT, **constant}]).set_index("model")


SMALLER, LOST = 3.8, 0.002  # what INT8 has to reach: size of the file, macro-AUC


def targets(costs: pd.DataFrame, lost: Mapping[str, np.ndarray]) -> pd.DataFrame:
    """Whether INT8 does what it should: a file 3.8 times smaller, in every seed a macro-AUC within 0.002 of float.

    `lost` is model -> (seeds,) INT8 minus float.
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
