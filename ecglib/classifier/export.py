"""From the store to a file that can be used elsewhere: `ecglib export`. Everywhere `profile` is whose run it is."""

import math
import shutil
import tempfile
from collections.abc import Mapping, Sequence
from dataclasses import replace
from pathlib import Path

import numpy as np
import pandas as pd

from ecglib.classifier import onnx, task
from ecglib.classifier.onnx import Contract
from ecglib.classifier.run import ClassifierRun
from ecglib.core.errors import EcglibError
from ecglib.core.files import atomic_path, output_root
from ecglib.core.profiles import SMOKE
from ecglib.data import physionet, ptbxl, simulate
from ecglib.data.ptbxl import SUPERCLASSES, Records
from ecglib.stats import multilabel

CALIBRATION = 256  # training records


def export(run: ClassifierRun, profile: str, path: Path) -> None:
    """Write a run as ONNX; its contract holds what the run measured.

    Raises:
        EcglibError: the run has R3's split, whose test records share patients with its training records.
    """
    if run.config.get("split", "benchmark") != "benchmark":
        raise EcglibError(
            f"{run.folder.name} was trained on R3's split, so that its numbers are not those of new patients: export a "
            "run on the data set's own folds."
        )
    onnx.export(run.model(), run.scaler, _contract(run, profile, run.predictions), path)


def quantise(run: ClassifierRun, records: Records, profile: str, source: Path, path: Path) -> None:
    """Write the INT8 twin of `source`, which `export` wrote, with the thresholds and metrics that INT8 itself gives.

    Raises:
        EcglibError: the records, of which training records calibrate, are not those of the run.
    """
    if records.fingerprint != run.config["data"]:
        raise EcglibError(
            f"{run.folder.name} was made with other records than the {len(records):,} here: INT8 needs those to be "
            "calibrated and tested. Train it again with these, or leave out --int8."
        )
    onnx.quantise(source, path, calibration_records(records, ptbxl.benchmark_split(records).train, run.leads))
    session, split = onnx.open_model(path), ptbxl.benchmark_split(records)
    parts = {"validation": split.validation, "test": split.test}
    answers = {f"{name}_logits": onnx.run(session, records.seen(members, run.leads)) for name, members in parts.items()}
    onnx.relabel(path, replace(_contract(run, profile, answers), precision="int8"))


def _contract(run: ClassifierRun, profile: str, answers: Mapping[str, np.ndarray]) -> Contract:
    targets = run.predictions
    known = run.environment.get("database", ptbxl.SOURCE)  # runs of before this was kept are of that version
    source, count = "simulated" if profile == SMOKE else known, run.environment["train_records"]
    measured = multilabel.class_metrics(targets["test_targets"], answers["test_logits"], SUPERCLASSES)
    thresholds = task.thresholds(targets["validation_targets"], answers["validation_logits"])
    return Contract(
        onnx.lead_names(tuple(run.leads)),
        # Down, so that the record whose probability is the threshold still reaches it.
        thresholds=tuple(math.floor(10_000 * value) / 10_000 for value in thresholds),
        metrics={name: round(value, 4) for name, value in measured.items()},
        source=run.folder.name,
        data=f"{source}, {count} training records",
    )


def calibration_records(records: Records, train: np.ndarray, leads: Sequence[int]) -> np.ndarray:
    """Some of the training records (`CALIBRATION`, L, 1000) in millivolts, the same in every call."""
    chosen = np.sort(np.random.default_rng(0).permutation(train)[:CALIBRATION])
    return records.seen(chosen, leads)


def export_best(
    kind: str, profile: str, path: Path, int8: bool = False, data_root: str | None = None, output: str | None = None
) -> str:
    """Write the best run of a kind (see `task.best_run`) as ONNX; returned is what was written, for a reader.

    INT8 needs the records: those in `data_root`, or simulated ones for the smoke profile. `output` is the folder that
    has `papermill_runs/`; None is `files.output_root`.

    Raises:
        EcglibError: no such run, no records, or the disk refused.
    """
    run = task.best_run(output_root(output) / "papermill_runs" / profile / "runs", kind)
    return export_run(run, profile, path, int8, data_root)


def export_run(run: ClassifierRun, profile: str, path: Path, int8: bool = False, data_root: str | None = None) -> str:
    """Write a run as ONNX, see `export_best`."""
    # The file gets its name when all of it is true: INT8's own thresholds and metrics are known last.
    with atomic_path(path) as temporary, tempfile.TemporaryDirectory() as scratch:
        made = Path(scratch) / "float.onnx"
        export(run, profile, made)
        if int8:
            root = simulate.simulated_root() if profile == SMOKE else physionet.find_root(data_root)
            source, made = made, Path(scratch) / "int8.onnx"
            quantise(run, ptbxl.load_records(root), profile, source, made)
        shutil.copyfile(made, temporary)
    size, written = f"{path.stat().st_size:,} bytes", onnx.read_contract(path)
    auc = (written.metrics or {})["auc"]
    return f"{path}: {written.source}, {written.precision}, {size}, macro-AUC {auc:.4f} of this seed on test records"


def run_of(place: Path) -> tuple[ClassifierRun, str]:
    """The run in a folder, or of a file of weights in it, and the profile that its store is named after.

    Raises:
        EcglibError: there is no finished run of a classifier with weights.
    """
    folder = place.absolute() if place.is_dir() else place.absolute().parent
    run = ClassifierRun(folder)
    if not run.finished(weights=True):
        raise EcglibError(
            f"{place} is no finished run with weights: give a folder such as papermill_runs/desk/runs/NAME."
        )
    if "test_logits" not in run.predictions:
        raise EcglibError(f"{place} is no classifier of PTB-XL records, which alone can be exported.")
    return run, folder.parent.parent.name


def contract_of_best(kind: str, profile: str, int8: bool = False) -> Contract:
    """The contract of the file that `export_best` writes from these arguments: it is written and read back."""
    with tempfile.TemporaryDirectory() as folder:
        path = Path(folder) / "model.onnx"
        export_best(kind, profile, path, int8)
        return onnx.read_contract(path)


def contract_table(contracts: Mapping[str, Contract]) -> pd.DataFrame:
    """What models say of themselves, a column a kind of run."""
    columns = {}
    for kind, contract in contracts.items():
        measured = contract.metrics or {}
        columns[kind] = {
            "the run": contract.source,
            "leads": " ".join(contract.leads),
            "unit": contract.unit,
            "scaling": f"in the model: mean {contract.mean[0]:.4f}, deviation {contract.deviation[0]:.4f} "
            f"{contract.unit} of lead {contract.leads[0]}",
            "rate, Hz": str(contract.rate),
            "samples": str(contract.samples),
            "labels": " ".join(contract.labels),
            "thresholds": " ".join(map(str, contract.thresholds)),
            "output": contract.output,
            "precision": contract.precision,
            "metrics": f"macro-AUC {measured['auc']:.3f}, AP {measured['ap']:.3f}; and those of each class",
            "data": contract.data,
        }
    return pd.DataFrame(columns).rename_axis("contract")
