"""R3's numbers beside what was measured here."""

import math
from collections.abc import Mapping, Sequence

import pandas as pd
import torch

from ecglib import reports
from ecglib.classifier import measure, networks, quantise
from ecglib.classifier.networks import LADDER, Inception, Plain
from ecglib.classifier.run import ClassifierRun
from ecglib.classifier.task import Distillation
from ecglib.classifier.training import Settings
from ecglib.core.cost import count_parameters, layer_table
from ecglib.data.ptbxl import LEADS, SAMPLES, SUPERCLASSES
from ecglib.stats.metrics import Interval, OverSeeds, mean_interval
from ecglib.stats.multilabel import rounded_auc

KNOWN = 0.99  # share of the ages that has to be there before they are set beside R3's


# Macro-AUC of R3 -> the arm that stands for it: under R3's program with "R3 " before its name, as it is on the data
# set's own folds.
ARMS_R3 = {
    **{f"r3.{name}.auc": name for name in ("inception", "plain", "teacher", "alone", "kd")},
    **{f"r3.ladder.{size}": networks.network_of(size) for size in LADDER},
    **{f"r3.{name}.validation": name for name in ("alone", "kd")},
    **dict.fromkeys(("r3.float.auc", "r3.repository.auc"), "614K"),
    "r3.student.auc": "kd",
}


OF_STUDENT = ("alone", "kd")  # arms whose network is a parameter of the notebook


def measured_r3(
    index: pd.DataFrame,
    runs: Mapping[str, Sequence[ClassifierRun]],
    student: str,
    attempts: Mapping[str, float | OverSeeds],
) -> tuple[dict[str, float | str | OverSeeds], dict[str, Interval], dict[str, str]]:
    """What was measured of R3's numbers, counted as in R3 (class AUCs rounded) and corrected, and why some are missing.

    As coded is R3's whole program: the best epoch on validation records, the last on test records, as R3 shows them.
    Corrected is the macro-AUC over seeds on the same part of the data set's own folds. `runs` maps a network or arm to
    its runs. `student` is the network that was taught; only "student" is compared with R3's own. `attempts` come from
    `attempts.as_r3`, with the share of channels that was masked.
    """
    built = {
        "inception": Inception(),
        "plain": Plain(),
        "teacher": networks.teacher(),
        "student": networks.student(),
    }
    found: dict[str, float | str | OverSeeds] = {f"r3.{name}": int(index[name].sum()) for name in SUPERCLASSES}
    found["r3.patients"] = index["patient_id"].nunique()
    reasons: dict[str, str] = {}
    age = index["age"].where(index["age"] < 120)  # PTB-XL writes 300 for people above 89
    if age.notna().mean() > KNOWN:
        found |= {"r3.age.median": float(age.median()), "r3.age.max": float(age.max())}
        found["r3.age.iqr"] = float(age.quantile(0.75) - age.quantile(0.25))
    else:
        known = f"the index at hand states {age.notna().mean():.0%} of the ages"
        reasons |= {f"r3.age.{name}": known for name in ("median", "iqr", "max")}
    found |= {f"r3.{name}.parameters": count_parameters(model) for name, model in built.items()}
    trained = count_parameters(built["inception"])
    statistics = sum(b.numel() for b in built["inception"].buffers() if b.is_floating_point())
    found |= {"r3.inception.trained": trained, "r3.inception.statistics": statistics}
    found["r3.inception.parameters"] = trained + statistics
    # A file of Keras holds Adam's two moments of every weight, too.
    found["r3.inception.file"] = (3 * trained + statistics) * 4 / 2**20
    found["r3.plain.mb"] = count_parameters(built["plain"]) * 4 / 2**20
    for name in ("teacher", "student"):
        passes, weights = _passes(built[name]), count_parameters(built[name]) * 4 / 2**20
        found |= {f"r3.{name}.mb": weights, f"r3.{name}.passes": passes}
        found[f"r3.{name}.total"] = passes + weights + len(LEADS) * SAMPLES * 4 / 2**20
    unnormalised, record = networks.unnormalised(), torch.zeros(1, len(LEADS), SAMPLES)
    found["r3.repository.parameters"] = count_parameters(unnormalised)
    found["r3.float.flops"] = measure.flops_as_r3(unnormalised, record)
    found["r3.quantised.flops"] = measure.flops_as_r3(quantise.quantised_dynamically(unnormalised), record)
    settings, lesson = (runs["R3 kd"][0].config[key] for key in ("training", "lesson"))
    for names, defaults, given in (
        (("batch_size", "epochs", "patience"), Settings, settings),
        (("temperature", "alpha"), Distillation, lesson),
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
