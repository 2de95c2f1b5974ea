"""Where R3's 58.2 % after quantisation can come from: attempts at it with R3's own network, on R3's validation records.

R3's program called `quantize_dynamic`, which changes one small layer, and trained with rounding without ever converting
the network (audit, R3 point 6). Neither loses much. What can lose as much is shown beside them; which of it happened to
R3, nothing that R3 published says.
"""

from collections.abc import Mapping, Sequence
from pathlib import Path

import numpy as np
import pandas as pd

from ecglib import classifier_export, classifiers, compress, deploy, multilabel
from ecglib.classifier_runs import ClassifierConfig, ClassifierRun
from ecglib.data.ptbxl import FS, LEADS, Records
from ecglib.models.ecgcnn import build
from ecglib.reproducibility import seed_everything
from ecglib.store import read_arrays, write_arrays

ARTEFACTS = (10, 30, 100, 300, 1000)  # mV; the largest of the first 1,987 records of PTB-XL is 11 mV
ARTEFACT_S = 0.2  # an electrode that loses contact
FLOAT = "float"
QAT = "quantisation-aware training, never converted, as R3"


def with_artefact(records: np.ndarray, millivolts: float) -> np.ndarray:
    """Calibration records (N, L, T) of which the first has lead II moved by so much for 0.2 s."""
    result = records.copy()
    lead, stop = LEADS.index("II"), records.shape[-1] // 2
    result[0, lead, stop - round(ARTEFACT_S * FS) : stop] += millivolts
    return result


def answers(
    run: ClassifierRun, config: ClassifierConfig, records: Records, store: Path, profile: str
) -> dict[str, np.ndarray]:
    """What each attempt answers on the run's validation records: logits (N, 5); made once and kept in the store.

    Args:
        run: with all 12 leads, and with its weights unless the store has the answers.
        config: what it was made of.
        records: the records it was made for.
        store: the folder of all runs.
        profile: whose records these are, for the contract.
    """
    kept = store / "onnx" / f"{run.folder.name}.attempts.npz"
    if kept.exists():
        return read_arrays(kept)
    split, source = run.parts(records), store / "onnx" / f"{run.folder.name}.float.onnx"
    classifier_export.export(run, profile, source)
    seen = np.asarray(records.signals[split.validation])
    x = config.x(records, split.validation, run.scaler)
    seed_everything(config.training.seed)
    networks = {
        "quantize_dynamic, as R3": compress.quantised_dynamically(run.model()),
        "a new network, weights not loaded": build(run.network, len(LEADS)),
    }
    found = {FLOAT: deploy.run(deploy.open_model(source), seen)}
    found |= {name: classifiers.predict(network, x).numpy() for name, network in networks.items()}
    good, path = classifier_export.calibration_records(run, records), store / "onnx" / f".{run.folder.name}.onnx"
    calibrations = {"INT8 as in this notebook": good, "INT8, one scale a tensor, all layers, 8 bits": good}
    calibrations |= {_bad(size): with_artefact(good, size) for size in ARTEFACTS}
    calibrations["INT8, calibrated in microvolts"] = 1000 * good
    try:
        for name, calibration in calibrations.items():
            deploy.quantise(source, path, calibration, crude="a tensor" in name)
            found[name] = deploy.run(deploy.open_model(path), seen)
    finally:
        path.unlink(missing_ok=True)
    write_arrays(kept, {name: logits.astype(np.float16) for name, logits in found.items()})
    return read_arrays(kept)


def _bad(millivolts: float) -> str:
    return f"INT8, one calibration record with {millivolts:,} mV for {ARTEFACT_S} s"


def table(
    runs: Sequence[ClassifierRun], aware: Sequence[ClassifierRun], found: Sequence[Mapping[str, np.ndarray]]
) -> pd.DataFrame:
    """Every attempt: macro-AUC on R3's validation records, and how far logits lie apart.

    Args:
        runs: R3's network, one a seed.
        aware: the same with quantisation-aware training.
        found: `answers` of each of `runs`.
    """
    logits = {name: [one[name] for one in found] for name in found[0]}
    logits[QAT] = [run.predictions["validation_logits"] for run in aware]
    first = [FLOAT, "quantize_dynamic, as R3", QAT]
    rows = {}
    for name in first + [name for name in logits if name not in first]:
        targets = [run.predictions["validation_targets"] for run in runs]
        aucs = [multilabel.class_metrics(truth, one)["auc"] for truth, one in zip(targets, logits[name], strict=True)]
        rows[name] = {
            "seeds": str(len(aucs)),
            "macro-AUC, validation": f"{np.mean(aucs):.3f}",
            "lowest": f"{min(aucs):.3f}",
            "highest": f"{max(aucs):.3f}",
            "logits from": f"{np.mean([one.min() for one in logits[name]]):.1f}",
            "to": f"{np.mean([one.max() for one in logits[name]]):.1f}",
            "spread, as a share of float's": f"{_spread(logits[name]) / _spread(logits[FLOAT]):.2f}",
        }
    return pd.DataFrame.from_dict(rows, orient="index").rename_axis("attempt")


def _spread(logits: Sequence[np.ndarray]) -> float:
    """Mean over seeds and classes of the standard deviation over records."""
    return float(np.mean([one.astype(np.float64).std(axis=0).mean() for one in logits]))
