"""Every number of a report beside what was measured here, and where a report contradicts itself."""

from collections.abc import Mapping, Sequence

import numpy as np
import pandas as pd
import torch

from ecglib import metrics, reports
from ecglib.data.mitbih import Beats
from ecglib.distillation import Distillation
from ecglib.errors import EcglibError
from ecglib.experiments import BeatGANConfig, Run
from ecglib.metrics import Interval
from ecglib.models.beatgan import Discriminator, Generator
from ecglib.pretraining import SimCLRConfig

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
