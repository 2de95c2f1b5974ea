"""Every number of a report beside what was measured here, and where a report contradicts itself."""

import math
from collections.abc import Mapping, Sequence

import numpy as np
import pandas as pd
import torch

from ecglib import compress, metrics, reports
from ecglib.classifier_runs import ClassifierRun, Lesson
from ecglib.classifiers import Settings
from ecglib.cost import count_parameters, layer_table
from ecglib.data.mitbih import Beats
from ecglib.data.ptbxl import LEADS, SAMPLES, SUPERCLASSES
from ecglib.distillation import Distillation
from ecglib.errors import EcglibError
from ecglib.experiments import BeatGANConfig, Run
from ecglib.metrics import Interval, mean_interval
from ecglib.models import ecgcnn
from ecglib.models.beatgan import Discriminator, Generator
from ecglib.models.ecgcnn import LADDER, Inception, Plain
from ecglib.multilabel import rounded_auc
from ecglib.pretraining import SimCLRConfig
from ecglib.tables import judged, shown

KNOWN = 0.99  # share of the ages that has to be there before they are set beside R3's


Measured = Mapping[str, float | str | Interval]


def ledger(report: str, measured: Measured, reasons: Mapping[str, str]) -> pd.DataFrame:
    """Every number that a report published, in the order of `reports.CLAIMS`; where nothing here corresponds, why.

    Args:
        report: "R1", "R2" or "R3".
        measured: key of `reports.CLAIMS` -> number measured here, as coded; of several seeds with its interval, or as
            text.
        reasons: key -> why there is no such number.

    Raises:
        EcglibError: a number is neither measured nor explained.
    """
    rows = []
    for key, claim in reports.CLAIMS.items():
        if claim.report == report:
            if key not in measured and key not in reasons:
                raise EcglibError(f"{key} is neither measured nor is it said why not: give one of them.")
            row = {
                "what": claim.text,
                "where": claim.where,
                "report": number(claim.value, claim.unit),
                "measured": number(measured[key], claim.unit) if key in measured else "-",
                "why not": "" if key in measured else reasons[key],
            }
            rows.append(row)
    return pd.DataFrame(rows).set_index("what")


def judged_ledger(
    report: str,
    measured: Measured,
    corrected: Mapping[str, Interval],
    reasons: Mapping[str, str],
    seeds: int,
    comparable: bool,
) -> pd.DataFrame:
    """`ledger` with what a sound way of measuring gives, and a verdict for every number.

    A macro-AUC is judged by what was measured as coded on the same part of the data, validation or test, as
    `Claim.part` has it; the corrected column shows the same part of the data set's own folds.

    Args:
        report: "R3".
        measured: key of `reports.CLAIMS` -> number measured here, as coded; a macro-AUC in % with its interval.
        corrected: key -> macro-AUC with its interval over seeds.
        reasons: key -> why there is no number.
        seeds: the fewest that an interval has.
        comparable: whether data and budget are the report's.
    """
    table = ledger(report, measured, reasons)
    rows: dict[str, list[str]] = {"records": [], "corrected, 95 % over seeds": [], "verdict": []}
    for key, claim in reports.CLAIMS.items():
        if claim.report != report:
            continue
        found = measured.get(key)
        if isinstance(found, Interval):
            verdict = judged(claim.value, found, seeds) if comparable else "not comparable: data, budget"
        elif isinstance(found, float | int):
            digits = len(repr(claim.value).partition(".")[2])  # as many as the report gives
            verdict = "as published" if round(found, digits) == claim.value else "differs"
        else:
            verdict = "-"
        rows["records"].append(claim.part or "-")
        rows["corrected, 95 % over seeds"].append(shown(corrected[key], 3) if key in corrected else "-")
        rows["verdict"].append(verdict)
    return table.assign(**rows)


def contradictions(report: str) -> pd.DataFrame:
    """Where a report says two things, and which of them the companion follows."""
    rows = [
        {"topic": found.topic, "one": found.one, "other": found.other, "followed": found.reading}
        for found in reports.CONTRADICTIONS
        if found.report == report
    ]
    return pd.DataFrame(rows).set_index("topic")


def measured_r1(
    runs: Mapping[str, Sequence[Run]], config: BeatGANConfig, beats: Beats
) -> tuple[dict[str, float | str], dict[str, str]]:
    """What the arms measured of R1's numbers, as coded where R1's number is: means over seeds.

    R1's thresholds are on scores that were min-max scaled over the set, so ours are scaled likewise.

    Args:
        runs: of arms A, B and Fc: KD as coded is a constant, so that B is the student with KD, and Fc is KD and feature
            distillation, too.
        config: of any of them, for data and budget.
        beats: the beats.

    Returns:
        Key -> number, and key -> why there is none.
    """
    split, teacher, last = config.choose(beats), runs["A"], config.training.epochs - 1
    lesson = Distillation(("scores",), "")
    coded = {arm: [run.metrics["as_coded"] for run in runs[arm]] for arm in ("A", "B", "Fc")}
    found: dict[str, float | str] = {
        "r1.beats": len(beats),
        "r1.records": len(np.unique(beats.records)),
        "r1.subjects": len(np.unique(beats.patients)),
        "r1.quoted_auc": _mean([run.metrics["corrected"]["auc"] for run in teacher]),
        "r1.epochs": config.training.epochs,
        "r1.batches": len(split.train) // config.training.batch_size,
        "r1.split_seed": config.split_seed,
        "r1.batch_size": config.training.batch_size,
        "r1.train_beats": len(split.train),
        "r1.validation_beats": len(split.validation),
        "r1.test_beats": len(split.test),
        "r1.temperature": lesson.temperature,
        "r1.alpha": lesson.alpha,
        "r1.leads": beats.signals.shape[1],
        "r1.figure10.d_size": _kibibytes(Discriminator()),
        "r1.figure10.g_size": _kibibytes(Generator()),
        "r1.figure10.history_size": (teacher[0].folder / "history.csv").stat().st_size / 1024,
        "r1.figure9.best_auc": _mean([run.history["auc_as_coded"].max() for run in teacher]),
        "r1.figure9.best_epoch": _listed([int(run.history["auc_as_coded"].to_numpy().argmax()) for run in teacher]),
        "r1.figure9.last_auc": _mean([run.history["auc_as_coded"].iloc[-1] for run in teacher]),
        "r1.figure9.last_epoch": last,
    }
    reasons = {
        "r1.ticks": "counted in notebook 01, section 2",
        "r1.minutes": "a record is read in notebook 01, section 1: 650,000 samples at 360 Hz",
        "r1.ms_per_beat": "timed in notebook 02, section 8",
        "r1.figure11.epoch": "notebook 02, section 5, draws the epoch that was chosen without labels",
    }
    for name, column in (("last_f1", "f1_as_coded"), ("last_threshold", "threshold_as_coded")):
        if all(column in run.history for run in teacher):
            found[f"r1.figure9.{name}"] = _mean([run.history[column].iloc[-1] for run in teacher])
        else:
            reasons[f"r1.figure9.{name}"] = "these runs were made before it was recorded; the next ones record it"
    for key, arm in (("teacher", "A"), ("student", "B"), ("feature", "Fc"), ("both", "Fc")):
        found |= {f"r1.{key}.{name}": _mean([row[name] for row in coded[arm]]) for name in ("auc", "ap")}
        if key != "teacher":
            found[f"r1.{key}.prose_auc"] = found[f"r1.{key}.auc"]
            found[f"r1.{key}.f1"] = _mean([row["f1_threshold_on_test"] for row in coded[arm]])
            found[f"r1.{key}.threshold"] = _mean([_scaled_threshold(run) for run in runs[arm]])
    found["r1.student.log_auc"] = found["r1.student.auc"]
    for key, arm in (("teacher", "A"), ("student", "B")):
        found |= {f"r1.readme.{key}.{name}": found[f"r1.{key}.{name}"] for name in ("auc", "ap")}
        for position in range(3):
            name = f"r1.slides.{key}_{position + 1}.auc"
            if position < len(coded[arm]):
                found[name] = coded[arm][position]["auc"]
            else:
                reasons[name] = f"{len(coded[arm])} seeds here"
        if config.training.epochs == reports.value("r1.epochs"):
            found[f"r1.{key}.seconds"] = _mean([float(run.environment["seconds"]) for run in runs[arm]])
        else:
            reasons[f"r1.{key}.seconds"] = f"{config.training.epochs} epochs here"
    return found, reasons


def _scaled_threshold(run: Run) -> float:
    """The threshold of the best F1 on the test set, on scores that are min-max scaled over it."""
    threshold = np.array([run.metrics["as_coded"]["f1_threshold_on_test_threshold"]])
    return float(metrics.min_max(threshold, over=run.predictions["scores_as_coded"])[0])


def _listed(epochs: Sequence[int]) -> str:
    """One number a seed."""
    return ", ".join(map(str, epochs)) + (" (one a seed)" if len(epochs) > 1 else "")


def measured_r2(
    config: SimCLRConfig, beats: Beats, plain: Sequence[Run], milliseconds: float
) -> tuple[dict[str, float | str], dict[str, str]]:
    """What the companion has of the numbers that R2 quotes.

    Args:
        config: of the encoder.
        beats: the beats.
        plain: BeatGANs without a teacher; their mean AUC counts.
        milliseconds: that BeatGAN's score of a beat takes.

    Returns:
        Key -> number, and key -> why there is none.
    """
    batch = config.beats.training.batch_size
    found: dict[str, float | str] = {
        "r2.quoted_auc": _mean([run.metrics["corrected"]["auc"] for run in plain]),
        "r2.ms_per_beat": milliseconds,
        "r2.beats": len(beats),
        "r2.records": len(np.unique(beats.records)),
        "r2.subjects": len(np.unique(beats.patients)),
        "r2.leads": beats.signals.shape[1],
        "r2.batch_size": batch,
        "r2.views": 2 * batch,
    }
    reasons = {
        "r2.ticks": "R1's number, counted in notebook 01, section 2",
        "r2.minutes": "R1's number: a record is read in notebook 01, section 1",
        "r2.cores": "SimCLR's own training; no TPU is used here",
    }
    return found, reasons


# Macro-AUC of R3 -> the arm that stands for it: under R3's program with "R3 " before its name, as it is on the data
# set's own folds.
ARMS_R3 = {
    **{f"r3.{name}.auc": name for name in ("inception", "plain", "teacher", "alone", "kd")},
    **{f"r3.ladder.{size}": ecgcnn.network_of(size) for size in LADDER},
    **{f"r3.{name}.validation": name for name in ("alone", "kd")},
    **dict.fromkeys(("r3.float.auc", "r3.repository.auc"), "614K"),
    "r3.student.auc": "kd",
}
OF_STUDENT = ("alone", "kd")  # arms whose network is a parameter of the notebook


def measured_r3(
    index: pd.DataFrame, runs: Mapping[str, Sequence[ClassifierRun]], student: str, attempts: Mapping[str, Interval]
) -> tuple[dict[str, float | str | Interval], dict[str, Interval], dict[str, str]]:
    """What was measured of R3's numbers: counted as R3 counts (class AUCs rounded), and corrected.

    As coded is R3's whole program, and on each part of the data what R3 showed of it: on validation records the best
    epoch, on test records the last.

    Args:
        index: of all records.
        runs: network or arm -> runs.
        student: the network that was taught; R3's numbers of its student stand beside R3's own alone.
        attempts: key -> macro-AUC in % of the network that was pruned or quantised as R3 did.

    Returns:
        Numbers as coded (macro-AUC in %, over seeds); macro-AUC of the same part of the data set's own folds with its
        interval over seeds; and why there is no number.
    """
    networks = {"inception": Inception(), "plain": Plain(), "teacher": ecgcnn.teacher(), "student": ecgcnn.student()}
    found: dict[str, float | str | Interval] = {f"r3.{name}": int(index[name].sum()) for name in SUPERCLASSES}
    found |= {"r3.patients": index["patient_id"].nunique(), "r3.pruned.amount": reports.value("r3.pruned.amount")}
    reasons: dict[str, str] = {}
    age = index["age"].where(index["age"] < 120)  # PTB-XL writes 300 for people above 89
    if age.notna().mean() > KNOWN:
        found |= {"r3.age.median": float(age.median()), "r3.age.max": float(age.max())}
        found["r3.age.iqr"] = float(age.quantile(0.75) - age.quantile(0.25))
    else:
        known = f"the index at hand states {age.notna().mean():.0%} of the ages"
        reasons |= {f"r3.age.{name}": known for name in ("median", "iqr", "max")}
    found |= {f"r3.{name}.parameters": count_parameters(model) for name, model in networks.items()}
    trained = count_parameters(networks["inception"])
    statistics = sum(b.numel() for b in networks["inception"].buffers() if b.is_floating_point())
    found |= {"r3.inception.trained": trained, "r3.inception.statistics": statistics}
    found["r3.inception.parameters"] = trained + statistics
    # A file of Keras holds Adam's two moments of every weight, too.
    found["r3.inception.file"] = (3 * trained + statistics) * 4 / 2**20
    found["r3.plain.mb"] = count_parameters(networks["plain"]) * 4 / 2**20
    for name in ("teacher", "student"):
        passes, weights = _passes(networks[name]), count_parameters(networks[name]) * 4 / 2**20
        found |= {f"r3.{name}.mb": weights, f"r3.{name}.passes": passes}
        found[f"r3.{name}.total"] = passes + weights + len(LEADS) * SAMPLES * 4 / 2**20
    unnormalised, record = ecgcnn.unnormalised(), torch.zeros(1, len(LEADS), SAMPLES)
    found["r3.repository.parameters"] = count_parameters(unnormalised)
    found["r3.float.flops"] = compress.flops_as_r3(unnormalised, record)
    found["r3.quantised.flops"] = compress.flops_as_r3(compress.quantised_dynamically(unnormalised), record)
    settings, lesson = (runs["R3 kd"][0].config[key] for key in ("training", "lesson"))
    for names, defaults, given in (
        (("batch_size", "epochs", "patience"), Settings, settings),
        (("temperature", "alpha"), Lesson, lesson),
    ):
        found |= {f"r3.{name}": given.get(name, getattr(defaults, name)) for name in names}
    found |= attempts

    corrected: dict[str, Interval] = {}
    for key, arm in ARMS_R3.items():
        part = reports.CLAIMS[key].part
        coded = runs.get(f"R3 {arm}", ())
        if not coded or (arm in OF_STUDENT and student != "student"):
            reasons[key] = "this profile does not train that network"
            continue
        at = "test_last" if part == "test" else part
        found[key] = mean_interval([100 * rounded_auc(run.metrics[at]) for run in coded])
        if sound := runs.get(arm, ()):
            corrected[key] = mean_interval([run.metrics[part]["auc"] for run in sound])
    return found, corrected, reasons


@torch.no_grad()
def _passes(network: torch.nn.Module) -> float:
    """MiB of all layers' outputs for one record, forwards and backwards, as torchsummary estimates it."""
    layers = layer_table(network, torch.zeros(2, len(LEADS), SAMPLES))
    layers.append(("Sigmoid", (len(SUPERCLASSES),), 0))  # here in the loss
    return 2 * sum(math.prod(shape) for _, shape, _ in layers) * 4 / 2**20


def _mean(values: Sequence[float]) -> float:
    return float(np.mean(values))


def _kibibytes(model: torch.nn.Module) -> float:
    """The size of a network's weights and running statistics, without a file's own overhead."""
    return sum(tensor.numel() * tensor.element_size() for tensor in model.state_dict().values()) / 1024


def number(value: float | str | Interval, unit: str) -> str:
    """A number as a reader expects it, with its unit, and with its interval in %; text as it is."""
    if isinstance(value, str):
        return value
    if isinstance(value, Interval):
        if not np.isfinite(value.low + value.high):
            return f"{value.value:.1f} {unit} (fewer than {metrics.MIN_SEEDS} seeds)"
        # Student's t does not know that an AUC lies in [0, 100].
        return f"{value.value:.1f} [{max(value.low, 0):.1f}, {min(value.high, 100):.1f}] {unit}"
    text = f"{value:,.0f}" if float(value).is_integer() or abs(value) >= 100 else f"{value:.4g}"
    if not unit and 0.5 <= abs(value) < 1:
        text = f"{value:.4f}"
    return f"{text} {unit}".strip()
