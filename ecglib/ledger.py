"""Every number of a report beside what was measured here, and where a report contradicts itself."""

from collections.abc import Mapping, Sequence

import numpy as np
import pandas as pd
import torch

from ecglib import reports
from ecglib.classifier_runs import ClassifierRun
from ecglib.cost import count_parameters
from ecglib.data.mitbih import Beats
from ecglib.data.ptbxl import SUPERCLASSES
from ecglib.experiments import BeatGANConfig, Run
from ecglib.models import ecgcnn
from ecglib.models.beatgan import Discriminator, Generator
from ecglib.models.ecgcnn import LADDER, Inception, Plain
from ecglib.multilabel import rounded_auc
from ecglib.pretraining import SimCLRConfig


def ledger(report: str, measured: Mapping[str, float]) -> pd.DataFrame:
    """Every number that a report published, in the order of `reports.CLAIMS`; "-" where nothing here corresponds.

    Args:
        report: "R1", "R2" or "R3".
        measured: key of `reports.CLAIMS` -> number measured here.
    """
    rows = [
        {
            "what": claim.text,
            "where": claim.where,
            "report": number(claim.value, claim.unit),
            "measured": number(measured[key], claim.unit) if key in measured else "-",
        }
        for key, claim in reports.CLAIMS.items()
        if claim.report == report
    ]
    return pd.DataFrame(rows).set_index("what")


def contradictions(report: str) -> pd.DataFrame:
    """Where a report says two things, and which of them the companion follows."""
    rows = [
        {"topic": found.topic, "one": found.one, "other": found.other, "followed": found.reading}
        for found in reports.CONTRADICTIONS
        if found.report == report
    ]
    return pd.DataFrame(rows).set_index("topic")


def measured_r1(runs: Mapping[str, Sequence[Run]], config: BeatGANConfig, beats: Beats) -> dict[str, float]:
    """What the arms measured of R1's numbers, as coded where R1's number is: means over seeds.

    Args:
        runs: of arms A, C, F and G.
        config: of any of them, for data and budget.
        beats: the beats.
    """
    split, teacher = config.choose(beats), runs["A"]
    steps = len(split.train) // config.training.batch_size
    found: dict[str, float] = {
        "r1.beats": len(beats),
        "r1.records": len(np.unique(beats.records)),
        "r1.epochs": config.training.epochs,
        "r1.batches": steps,
        "r1.split_seed": config.split_seed,
        "r1.batch_size": config.training.batch_size,
        "r1.train_beats": len(split.train),
        "r1.validation_beats": len(split.validation),
        "r1.test_beats": len(split.test),
        "r1.leads": beats.signals.shape[1],
        "r1.figure10.d_size": _kibibytes(Discriminator()),
        "r1.figure10.g_size": _kibibytes(Generator()),
        "r1.figure9.best_auc": _mean([run.history["auc_as_coded"].max() for run in teacher]),
        "r1.figure9.best_epoch": _mean([int(run.history["auc_as_coded"].to_numpy().argmax()) for run in teacher]),
        "r1.figure9.last_auc": _mean([run.history["auc_as_coded"].iloc[-1] for run in teacher]),
        "r1.figure9.last_epoch": config.training.epochs - 1,
    }
    for key, arm in (("teacher", "A"), ("student", "C"), ("feature", "F"), ("both", "G")):
        rows = [run.metrics["as_coded"] for run in runs[arm]]
        found |= {f"r1.{key}.{name}": _mean([row[name] for row in rows]) for name in ("auc", "ap")}
        if key != "teacher":
            found[f"r1.{key}.f1"] = _mean([row["f1_threshold_on_test"] for row in rows])
            found[f"r1.{key}.threshold"] = _mean([row["f1_threshold_on_test_threshold"] for row in rows])
    for key, arm in (("teacher", "A"), ("student", "C")):
        seconds = [float(run.environment["seconds"]) for run in runs[arm]]
        found[f"r1.{key}.seconds"] = _mean(seconds)
    return found


def measured_r2(config: SimCLRConfig, beats: Beats) -> dict[str, float]:
    """What the companion has of the numbers that R2 quotes.

    Args:
        config: of the encoder.
        beats: the beats.
    """
    batch = config.beats.training.batch_size
    return {
        "r2.beats": len(beats),
        "r2.leads": beats.signals.shape[1],
        "r2.batch_size": batch,
        "r2.views": 2 * batch,
    }


def measured_r3(
    index: pd.DataFrame, runs: Mapping[str, Sequence[ClassifierRun]], teacher: str, student: str
) -> dict[str, float]:
    """What was measured of R3's numbers, counted as R3 counts: class AUCs rounded, the last epoch on test records.

    Args:
        index: of all records.
        runs: network or arm -> runs.
        teacher: the network that taught; R3's own numbers are set beside R3's own networks alone.
        student: the network that was taught.
    """
    networks = {"inception": Inception(), "plain": Plain(), "teacher": ecgcnn.teacher(), "student": ecgcnn.student()}
    found: dict[str, float] = {f"r3.{name}": int(index[name].sum()) for name in SUPERCLASSES}
    found |= {"r3.patients": index["patient_id"].nunique(), "r3.pruned.amount": reports.value("r3.pruned.amount")}
    found |= {f"r3.{name}.parameters": count_parameters(model) for name, model in networks.items()}
    found["r3.inception.trained"] = found["r3.inception.parameters"]
    found["r3.inception.statistics"] = sum(b.numel() for b in Inception().buffers() if b.is_floating_point())
    found["r3.inception.parameters"] += found["r3.inception.statistics"]
    found |= {f"r3.{name}.mb": count_parameters(networks[name]) * 4 / 2**20 for name in ("plain", "teacher", "student")}
    for key, name in {"inception": "inception", "plain": "plain", "teacher": teacher, "student": "kd"}.items():
        if name in runs and (key != "teacher" or name == "teacher") and (key != "student" or student == "student"):
            found[f"r3.{key}.auc"] = 100 * _mean([rounded_auc(run.metrics["validation"]) for run in runs[name]])
    sizes = {"6.5M": "teacher"} | {size: size for size in LADDER if size in runs}
    for size, name in sizes.items():
        if name in runs:
            found[f"r3.ladder.{size}"] = 100 * _mean([rounded_auc(run.metrics["test_last"]) for run in runs[name]])
    if student == "student":
        for key, arm in {"alone": "alone", "kd": "coded"}.items():
            found[f"r3.{key}.auc"] = 100 * _mean([rounded_auc(run.metrics["test_last"]) for run in runs[arm]])
    settings = runs["alone"][0].config["training"]
    found["r3.batch_size"], found["r3.epochs"] = settings.get("batch_size", 64), settings.get("epochs", 50)
    return found


def _mean(values: Sequence[float]) -> float:
    return float(np.mean(values))


def _kibibytes(model: torch.nn.Module) -> float:
    """The size of a network's weights and running statistics, without a file's own overhead."""
    return sum(tensor.numel() * tensor.element_size() for tensor in model.state_dict().values()) / 1024


def number(value: float, unit: str) -> str:
    """A number as a reader expects it, with its unit."""
    text = f"{value:,.0f}" if float(value).is_integer() or abs(value) >= 100 else f"{value:.4g}"
    if not unit and 0.5 <= abs(value) < 1:
        text = f"{value:.4f}"
    return f"{text} {unit}".strip()
