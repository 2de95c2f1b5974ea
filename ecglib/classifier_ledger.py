"""The ledger of R3: every number beside what was measured, macro-AUCs on the part of the data that R3's number is of."""

import math
from collections.abc import Mapping, Sequence
from dataclasses import dataclass

import pandas as pd
import torch

from ecglib import compress, reports
from ecglib.classifier_claims import measured_on
from ecglib.classifier_runs import ClassifierRun, Lesson
from ecglib.classifiers import Settings
from ecglib.cost import count_parameters, layer_table
from ecglib.data.ptbxl import LEADS, SAMPLES, SUPERCLASSES
from ecglib.ledger import ledger
from ecglib.metrics import Interval, mean_interval
from ecglib.models import ecgcnn
from ecglib.models.ecgcnn import LADDER, Inception, Plain
from ecglib.tables import judged, shown

KNOWN = 0.99  # share of the ages that has to be there before they are set beside R3's
QAT = "R3 614K QAT"  # name of the runs with quantisation-aware training


@dataclass(frozen=True)
class Measured:
    """What was measured of R3's numbers.

    Attributes:
        numbers: key of `reports.CLAIMS` -> number.
        networks: key of a macro-AUC -> runs as coded, and corrected ones; either may be empty. The part of the data is
            not chosen here: it is the claim's.
        reasons: key -> why there is neither.
    """

    numbers: dict[str, float | Interval]
    networks: dict[str, tuple[Sequence[ClassifierRun], Sequence[ClassifierRun]]]
    reasons: dict[str, str]


def judged_ledger(found: Measured, comparable: bool) -> pd.DataFrame:
    """Every number of R3, as coded and corrected, with a verdict on the one as coded.

    Args:
        found: what was measured.
        comparable: whether data and budget are R3's; otherwise macro-AUCs get no verdict.
    """
    coded = {
        key: mean_interval(100 * measured_on(key, runs, "as coded"))
        for key, (runs, _) in found.networks.items()
        if runs
    }
    table = ledger("R3", found.numbers | coded, found.reasons)
    columns = []
    for key, claim in reports.CLAIMS.items():
        if claim.report != "R3":
            continue
        runs, sound = found.networks.get(key, ((), ()))
        number, verdict = found.numbers.get(key), "-"
        if key in coded:
            interval = mean_interval(measured_on(key, runs, "as coded"))
            verdict = judged(claim.value / 100, interval, len(runs)) if comparable else "not comparable: data, budget"
        elif isinstance(number, float | int):
            digits = len(repr(claim.value).partition(".")[2])  # as many as the report gives
            verdict = "as published" if round(number, digits) == claim.value else "differs"
        corrected = shown(mean_interval(measured_on(key, sound, "corrected")), 3) if sound else "-"
        columns.append((claim.part or "-", str(len(runs)) if runs else "-", corrected, verdict))
    parts, seeds, corrected_aucs, verdicts = zip(*columns, strict=True)
    table.insert(2, "part", parts)
    return table.assign(
        **{"seeds": seeds, "corrected AUC on the same part, 95 % over seeds": corrected_aucs, "verdict": verdicts}
    )


def measured_r3(
    index: pd.DataFrame,
    runs: Mapping[str, Sequence[ClassifierRun]],
    masked: Sequence[float],
    teacher: str,
    student: str,
) -> Measured:
    """What was measured of R3's numbers. R3's own numbers have R3's own networks beside them, or nothing.

    Args:
        index: of all records; ages stand beside R3's where it has them.
        runs: network or arm -> runs; under R3's whole program where names begin with "R3".
        masked: macro-AUC of the pruned network on R3's validation records, one a seed.
        teacher: the network that taught.
        student: the network that was taught.
    """
    numbers = _counted(index) | {"r3.pruned.auc": mean_interval([100 * value for value in masked])}
    settings, lesson = (runs["R3 kd"][0].config[key] for key in ("training", "lesson"))
    for names, defaults, given in (
        (("batch_size", "epochs", "patience"), Settings, settings),
        (("temperature", "alpha"), Lesson, lesson),
    ):
        numbers |= {f"r3.{name}": given.get(name, getattr(defaults, name)) for name in names}

    # Key of the claim -> the arm as coded, the sound arm.
    arms = {f"r3.{name}.auc": (f"R3 {name}", name) for name in ("inception", "plain")}
    arms |= {f"r3.ladder.{size}": (f"R3 {(network := ecgcnn.network_of(size))}", network) for size in LADDER}
    arms |= dict.fromkeys(("r3.float.auc", "r3.repository.auc"), ("R3 614K", ""))
    arms["r3.quantised.auc"] = (QAT, "")
    if teacher == "teacher":
        arms["r3.teacher.auc"] = ("R3 teacher", "teacher")
    if student == "student":
        arms |= {
            f"r3.{name}.{what}": (f"R3 {name}", name) for name in ("alone", "kd") for what in ("auc", "validation")
        }
        arms["r3.student.auc"] = ("R3 kd", "kd")
    networks = {key: (runs.get(coded, ()), runs.get(sound, ())) for key, (coded, sound) in arms.items()}
    networks = {key: pair for key, pair in networks.items() if pair[0]}
    reasons = {f"r3.age.{name}": "the index at hand lacks ages" for name in ("median", "iqr", "max")}
    reasons |= dict.fromkeys(_QAT, "of several trainings, on records that are not named: see 05_quantisation_attempts")
    reasons |= {key: "this profile does not train that network" for key, claim in reports.CLAIMS.items() if claim.part}
    return Measured(numbers, networks, reasons)


_QAT = ("r3.qat.lowest", "r3.qat.highest")


def _counted(index: pd.DataFrame) -> dict[str, float | Interval]:
    """What follows from the index and from the networks themselves."""
    networks = {"inception": Inception(), "plain": Plain(), "teacher": ecgcnn.teacher(), "student": ecgcnn.student()}
    found: dict[str, float | Interval] = {f"r3.{name}": int(index[name].sum()) for name in SUPERCLASSES}
    found |= {"r3.patients": index["patient_id"].nunique(), "r3.pruned.amount": reports.value("r3.pruned.amount")}
    age = index["age"].where(index["age"] < 120)  # PTB-XL writes 300 for people above 89
    if age.notna().mean() > KNOWN:
        found |= {"r3.age.median": float(age.median()), "r3.age.max": float(age.max())}
        found["r3.age.iqr"] = float(age.quantile(0.75) - age.quantile(0.25))
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
    small, record = ecgcnn.unnormalised(), torch.zeros(1, len(LEADS), SAMPLES)
    found["r3.repository.parameters"] = count_parameters(small)
    found["r3.float.flops"] = compress.flops_as_r3(small, record)
    found["r3.quantised.flops"] = compress.flops_as_r3(compress.quantised_dynamically(small), record)
    return found


@torch.no_grad()
def _passes(network: torch.nn.Module) -> float:
    """MiB of all layers' outputs for one record, forwards and backwards, as torchsummary estimates it."""
    layers = layer_table(network, torch.zeros(2, len(LEADS), SAMPLES))
    layers.append(("Sigmoid", (len(SUPERCLASSES),), 0))  # here in the loss
    return 2 * sum(math.prod(shape) for _, shape, _ in layers) * 4 / 2**20
