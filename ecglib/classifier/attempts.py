"""Why can a network fall when it is pruned or quantised, as R3's did (sections 4.1 and 4.2, figures 13 and 14)?

R3 reports 51.4 % after pruning and 58.2 % after quantisation of its CNN without BatchNorm. Tried here on R3's own
validation records: what its program did, what a sound recipe does, and mistakes that are easily made.
"""

import tempfile
from collections.abc import Mapping, Sequence
from pathlib import Path

import numpy as np
import pandas as pd
import torch

from ecglib.classifier import onnx, prune, quantise, training
from ecglib.classifier.export import CALIBRATION, calibration_records
from ecglib.classifier.networks import build
from ecglib.classifier.onnx import Contract
from ecglib.classifier.run import ClassifierRun
from ecglib.classifier.task import ClassifierConfig
from ecglib.core.seeds import seed_everything
from ecglib.data.ptbxl import SUPERCLASSES, Records
from ecglib.show.words import shown
from ecglib.stats.metrics import OverSeeds, mean_interval
from ecglib.stats.multilabel import class_metrics, macro_auc, rounded_auc

FLOAT, MASKED, DYNAMIC = "float", "masked, as R3", "quantize_dynamic, as R3"
BOTH, TRAINED, SOUND = "both, as R3", "QAT, never converted, as R3", "INT8, sound"
WHOLE, ONE = "INT8 of everything, one scale a layer", "the same, calibrated on one record"
ARTEFACT, FLAT = "the same, that record with an artefact", "the same, calibrated on a flat record"
BAD, WORSE = "INT8, sound, but one bad record", "INT8, sound, but one record with a larger artefact"
UNIT, FRESH = "INT8, sound, but calibrated in microvolts", "weights not loaded"
ARTEFACT_MV = 50.0  # a step in all leads for half a second: a loose cable, a defibrillator
LARGE_MV = 300.0
TEXTS = {
    FLOAT: "the trained network",
    MASKED: "masks over the smallest fifth of the weights",
    DYNAMIC: "`quantize_dynamic`, which changes the last layer alone",
    BOTH: "both of these",
    TRAINED: "trained while it rounds what comes out of each layer; not converted to integers",
    SOUND: f"weights a scale each channel, 7 bits, last layer in float, {CALIBRATION} training records calibrate",
    WHOLE: "weights a scale each layer, 8 bits, the same records calibrate",
    ONE: "one training record calibrates",
    ARTEFACT: f"{ARTEFACT_MV:g} mV added to half a second of it",
    FLAT: "a record of zeros calibrates: every range is too small",
    BAD: f"of the {CALIBRATION} records that calibrate, one has {ARTEFACT_MV:g} mV added to half a second of it",
    WORSE: f"the same with {LARGE_MV:g} mV",
    UNIT: "ranges are those of microvolts, records come in millivolts",
    FRESH: "a new network of the same layout, as when what was trained is not loaded into what is converted",
}


def attempts(
    config: ClassifierConfig, run: ClassifierRun, trained: ClassifierRun, records: Records, amount: float
) -> dict[str, np.ndarray]:
    """Logits (N, 5) of the validation records of the config's split, for every name in `TEXTS`.

    `trained` is the network of `run` after quantisation-aware training; `amount` is the share of weights to be masked.
    """
    split, network = config.choose(records), run.model()
    millivolts = records.seen(split.validation, run.leads)
    seen = torch.from_numpy(run.scaler(millivolts))
    dynamic = quantise.quantised_dynamically(network)
    forms = {
        FLOAT: network,
        MASKED: prune.masked(network, amount),
        DYNAMIC: dynamic,
        BOTH: prune.masked(dynamic, amount),
    }
    found = {name: training.predict(model, seen).numpy() for name, model in forms.items()}
    found[TRAINED] = trained.predictions["validation_logits"]
    seed_everything(config.training.seed)
    found[FRESH] = training.predict(build(config.network, len(run.leads)), seen).numpy()
    calibration = calibration_records(records, split.train, run.leads)
    with tempfile.TemporaryDirectory() as folder:
        source, path = Path(folder) / "float.onnx", Path(folder) / "int8.onnx"
        onnx.export(network, run.scaler, Contract(onnx.lead_names(tuple(run.leads))), source)
        for name, some, whole in (
            (SOUND, calibration, False),
            (WHOLE, calibration, True),
            (ONE, calibration[:1], True),
            (ARTEFACT, with_artefact(calibration[:1]), True),
            (FLAT, np.zeros_like(calibration[:1]), True),
            (BAD, np.concatenate([with_artefact(calibration[:1]), calibration[1:]]), False),
            (WORSE, np.concatenate([with_artefact(calibration[:1], LARGE_MV), calibration[1:]]), False),
            (UNIT, 1000 * calibration, False),
        ):
            onnx.quantise(source, path, some, whole, anything=True)
            found[name] = onnx.run(onnx.open_model(path), millivolts)
    return {name: found[name] for name in TEXTS}


def with_artefact(records: np.ndarray, millivolts: float = ARTEFACT_MV) -> np.ndarray:
    """Records (N, L, T) in mV with a step of `millivolts` in the middle twentieth of every lead."""
    result, samples = records.copy(), records.shape[2]
    result[:, :, samples // 2 : samples // 2 + samples // 20] += millivolts
    return result


def results(answers: Sequence[Mapping[str, np.ndarray]], targets: np.ndarray) -> pd.DataFrame:
    """Macro-AUC over seeds and range of the logits of every attempt; `answers` are `attempts` of each seed."""
    rows = []
    for name, text in TEXTS.items():
        aucs = [macro_auc(targets, one[name]) for one in answers]
        low, high = min(one[name].min() for one in answers), max(one[name].max() for one in answers)
        rows.append(
            {
                "attempt": name,
                "what is done": text,
                "macro-AUC, validation": shown(mean_interval(aucs), 3),
                "lowest seed": f"{min(aucs):.3f}",
                "logits": f"{low:.1f} to {high:.1f}",
                "seeds": len(answers),
            }
        )
    return pd.DataFrame(rows).set_index("attempt")


def epochs(plain: Sequence[ClassifierRun], trained: Sequence[ClassifierRun]) -> pd.DataFrame:
    """Validation macro-AUC after every epoch, without and with quantisation-aware training (never converted)."""
    rows = []
    for name, runs in (("float", plain), (TRAINED, trained)):
        for run in runs:
            aucs = run.history["auc"]
            row = {"training": name, "seed": run.config["training"]["seed"]}
            rows.append(row | {f"epoch {n + 1}": f"{auc:.3f}" for n, auc in enumerate(aucs)})
    return pd.DataFrame(rows).fillna("-").set_index(["training", "seed"])


def as_r3(answers: Sequence[Mapping[str, np.ndarray]], targets: np.ndarray) -> dict[str, OverSeeds]:
    """Key of `reports.CLAIMS` -> macro-AUC in %, rounded as in R3, of what R3 did to its network."""
    attempted = {"r3.pruned.auc": MASKED, "r3.quantised.auc": TRAINED}
    return {
        key: mean_interval([100 * rounded_auc(class_metrics(targets, one[name], SUPERCLASSES)) for one in answers])
        for key, name in attempted.items()
    }
