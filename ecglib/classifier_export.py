"""From the store to a file that can be used elsewhere: `ecglib export`."""

from pathlib import Path

import numpy as np

from ecglib import classifier_runs, deploy
from ecglib.classifier_runs import ClassifierRun
from ecglib.data import physionet, ptbxl, simulate
from ecglib.data.ptbxl import Records
from ecglib.deploy import Contract
from ecglib.files import output_root
from ecglib.profiles import SMOKE

CALIBRATION = 256  # training records


def contract_of(run: ClassifierRun, profile: str) -> Contract:
    """What the model of a run of a profile expects and answers."""
    measured = {name: round(value, 4) for name, value in run.metrics["test"].items() if name != "epoch"}
    return Contract(
        deploy.lead_names(tuple(run.leads)),
        thresholds=tuple(round(value, 4) for value in classifier_runs.thresholds(run)),
        metrics=measured,
        source=run.folder.name,
        data="simulated records" if profile == SMOKE else ptbxl.SOURCE,
    )


def calibration_records(run: ClassifierRun, records: Records) -> np.ndarray:
    """Training records (N, L, 1000) in millivolts, none of which validates or tests."""
    train = ptbxl.benchmark_split(records).train
    chosen = np.sort(np.random.default_rng(0).permutation(train)[:CALIBRATION])
    return np.asarray(records.signals[chosen])[:, run.leads]


def export_best(kind: str, profile: str, path: Path, int8: bool = False, data_root: str | None = None) -> str:
    """Write the best run of a kind as ONNX.

    Args:
        kind: see `classifier_runs.best_run`.
        profile: whose runs.
        path: the file.
        int8: quantise it; this needs training records.
        data_root: where they are; simulated records serve the smoke profile.

    Returns:
        What was written, for a reader.

    Raises:
        EcglibError: no such run, no records, or the disk refused.
    """
    run = classifier_runs.best_run(output_root() / "papermill_runs" / profile / "runs", kind)
    plain = path.with_name(f".{path.name}.float") if int8 else path
    try:
        deploy.export(run.model(), run.scaler, contract_of(run, profile), plain)
        if int8:
            root = simulate.simulated_root() if profile == SMOKE else physionet.find_root(data_root)
            deploy.quantise(plain, path, calibration_records(run, ptbxl.load_records(root)))
    finally:
        if int8:
            plain.unlink(missing_ok=True)
    size, auc = path.stat().st_size, run.metrics["test"]["auc"]
    return f"{path}: {run.folder.name}, {'INT8' if int8 else 'float'}, {size:,} bytes, macro-AUC {auc:.4f} (float)"
