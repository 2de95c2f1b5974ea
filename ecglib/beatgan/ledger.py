"""R1's numbers beside ours, and the files that a run leaves."""

from collections.abc import Mapping, Sequence

import numpy as np
import pandas as pd
import torch

from ecglib import reports
from ecglib.beatgan.distillation import Distillation
from ecglib.beatgan.networks import Discriminator, Generator
from ecglib.beatgan.task import BeatGANConfig, BeatGANRun
from ecglib.data.mitbih import Beats
from ecglib.show.ledger import mean, number
from ecglib.stats import metrics


def measured_r1(
    runs: Mapping[str, Sequence[BeatGANRun]], config: BeatGANConfig, beats: Beats
) -> tuple[dict[str, float | str], dict[str, str]]:
    """R1's numbers as arms A, B and Fc measured them (key -> mean over seeds), and reasons where there is none.

    They are as coded where R1's are. KD as coded is a constant, so B stands for the student with KD, and Fc for KD with
    feature distillation. Thresholds are on scores min-max scaled over the set, as in R1. `config` is that of any run.
    """
    split, teacher, last = config.choose(beats), runs["A"], config.training.epochs - 1
    lesson = Distillation(("scores",), "")
    coded = {arm: [run.metrics["as_coded"] for run in runs[arm]] for arm in ("A", "B", "Fc") if arm in runs}
    found: dict[str, float | str] = {
        "r1.beats": len(beats),
        "r1.records": len(np.unique(beats.records)),
        "r1.subjects": len(np.unique(beats.patients)),
        "r1.quoted_auc": mean([run.metrics["corrected"]["auc"] for run in teacher]),
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
        "r1.figure10.history_size": (teacher[0].size("history.csv") or 0) / 1024,
        "r1.figure9.best_auc": mean([run.history["auc_as_coded"].max() for run in teacher]),
        "r1.figure9.best_epoch": _listed([int(run.history["auc_as_coded"].to_numpy().argmax()) for run in teacher]),
        "r1.figure9.last_auc": mean([run.history["auc_as_coded"].iloc[-1] for run in teacher]),
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
            found[f"r1.figure9.{name}"] = mean([run.history[column].iloc[-1] for run in teacher])
        else:
            reasons[f"r1.figure9.{name}"] = "these runs were made before it was recorded; the next ones record it"
    for key, arm in (("teacher", "A"), ("student", "B"), ("feature", "Fc"), ("both", "Fc")):
        if arm not in runs:
            numbers = ("auc", "ap", "prose_auc", "f1", "threshold")
            reasons |= dict.fromkeys((f"r1.{key}.{name}" for name in numbers), f"arm {arm} was left out at this budget")
            continue
        found |= {f"r1.{key}.{name}": mean([row[name] for row in coded[arm]]) for name in ("auc", "ap")}
        if key != "teacher":
            found[f"r1.{key}.prose_auc"] = found[f"r1.{key}.auc"]
            found[f"r1.{key}.f1"] = mean([row["f1_threshold_on_test"] for row in coded[arm]])
            found[f"r1.{key}.threshold"] = mean([_scaled_threshold(run) for run in runs[arm]])
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
            found[f"r1.{key}.seconds"] = mean([float(run.environment["seconds"]) for run in runs[arm]])
        else:
            reasons[f"r1.{key}.seconds"] = f"{config.training.epochs} epochs here"
    return found, reasons


def run_files(run: BeatGANRun) -> pd.DataFrame:
    """R1's figure 10, the files that a training leaves, beside those of one of our runs, its weights included.

    Raises:
        EcglibError: the store has no weights of this run.
    """
    rows = []
    for theirs, key, what, ours in (
        ("beatgan_folder_0_G.pkl", "g_size", "weights of G", run.weights_file().name),
        ("beatgan_folder_0_D.pkl", "d_size", "weights of D", None),
        ("beatgan_s_history.pkl", "history_size", "losses and validation numbers", "history.csv"),
        (None, None, "scores of validation and test beats", "predictions.npz"),
        (None, None, "AUC, AP and F1 with their intervals", "metrics.json"),
        (None, None, "what was run", "config.json"),
        (None, None, "versions, device, seconds", "env.json"),
    ):
        if ours is None:
            size = "not kept: a score needs G alone"
        else:
            found = run.size(ours)
            small = found is not None and found < 1024
            size = "-" if found is None else number(found, "bytes") if small else number(found / 1024, "KiB")
        rows.append(
            {
                "what it holds": what,
                "R1, figure 10": theirs or "-",
                "size there": number(reports.value(f"r1.figure10.{key}"), "KiB") if key else "-",
                "here": ours or "-",
                "size here": size,
            }
        )
    return pd.DataFrame(rows).set_index("what it holds")


def _scaled_threshold(run: BeatGANRun) -> float:
    """The threshold of the best F1 on the test set, on scores min-max scaled over that set."""
    threshold = np.array([run.metrics["as_coded"]["f1_threshold_on_test_threshold"]])
    return float(metrics.min_max(threshold, over=run.predictions["scores_as_coded"])[0])


def _listed(epochs: Sequence[int]) -> str:
    return ", ".join(map(str, epochs)) + (" (one a seed)" if len(epochs) > 1 else "")


def _kibibytes(model: torch.nn.Module) -> float:
    """Size of a network's weights and running statistics, without a file's overhead."""
    return sum(tensor.numel() * tensor.element_size() for tensor in model.state_dict().values()) / 1024
