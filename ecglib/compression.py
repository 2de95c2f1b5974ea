"""R3's question answered: what is left of a classifier when it is exported, and when its numbers are INT8?

Every trained network goes the way a user's would: to ONNX, to INT8 calibrated on training records, through ONNX
Runtime on the test records. What it answers there is kept in the store beside the run.
"""

from collections.abc import Callable, Mapping
from dataclasses import dataclass
from pathlib import Path

import numpy as np
import pandas as pd
import torch

from ecglib import classifier_export, compress, deploy, metrics, multilabel
from ecglib.classifier_experiments import train_classifier
from ecglib.classifier_runs import ClassifierConfig, ClassifierRun
from ecglib.data.ptbxl import Records, benchmark_split
from ecglib.metrics import Interval
from ecglib.store import read_arrays, write_arrays

FORMS = ("float", "int8")


@dataclass(frozen=True)
class Exported:
    """A run as ONNX files, with what they answer on the test records.

    Attributes:
        run: the run.
        files: "float" and "int8".
        logits: of each, (N, 5).
    """

    run: ClassifierRun
    files: dict[str, Path]
    logits: dict[str, np.ndarray]

    def auc(self, form: str) -> Interval:
        """Test macro-AUC of a form with its interval over patients."""
        stored = self.run.predictions
        return multilabel.auc_interval(stored["test_targets"], self.logits[form], stored["test_patients"])

    def loss(self) -> Interval:
        """INT8 minus float on the same records, with its interval over patients."""
        stored = self.run.predictions
        drawn = {
            form: multilabel.resampled_auc(stored["test_targets"], self.logits[form], stored["test_patients"])
            for form in FORMS
        }
        return metrics.percentiles(self.auc("int8").value - self.auc("float").value, drawn["int8"] - drawn["float"])


def exported(config: ClassifierConfig, records: Records, store: Path, profile: str, device: str = "auto") -> Exported:
    """A config's ONNX files and answers: from the store, or made and kept there, trained first if need be.

    Args:
        config: of the data set's own split.
        records: the records it was made for.
        store: the folder of all runs.
        profile: whose records these are, for the contract.
        device: to train on: "auto", "cpu" or "cuda".
    """
    run = train_classifier(config, records, store, device, weights=True)
    files = {form: store / "onnx" / f"{run.folder.name}.{form}.onnx" for form in FORMS}
    answers = store / "onnx" / f"{run.folder.name}.npz"
    # All three belong together: answers may come from elsewhere, as the files may be those of weights since replaced.
    trained = run.weights_file.stat().st_mtime
    if not all(path.exists() and path.stat().st_mtime >= trained for path in (*files.values(), answers)):
        classifier_export.export(run, profile, files["float"])
        classifier_export.quantise(run, records, profile, files["float"], files["int8"])
        x = np.asarray(records.signals[benchmark_split(records).test])[:, run.leads]
        found = {form: deploy.run(deploy.open_model(path), x).astype(np.float16) for form, path in files.items()}
        write_arrays(answers, found)
    return Exported(run, files, read_arrays(answers))


def costs(models: Mapping[str, Exported], repeats: int = 30) -> pd.DataFrame:
    """Size, operations and time of each model, float and INT8, with its macro-AUC; a row each, as plain numbers.

    Times are those of one record on one thread; all ways take turns in one run.

    Args:
        models: name -> exported run.
        repeats: of every timing.
    """
    records = {name: np.zeros((1, len(model.run.leads), 1000), dtype=np.float32) for name, model in models.items()}
    ways: dict[str, Callable[[], object]] = {}
    for name, model in models.items():
        ways |= compress.ways({f"{name}|torch": model.run.model()}, {}, records[name])
        ways |= compress.ways({}, {f"{name}|{form}": model.files[form] for form in FORMS}, records[name])
    seconds = compress.timed(ways, repeats)
    rows = []
    for name, model in models.items():
        network = model.run.model()
        for form in FORMS:
            auc, spent = model.auc(form), 1000 * seconds[f"{name}|{form}"]
            rows.append(
                {
                    "model": name if form == "float" else f"{name}, INT8",
                    "parameters": model.run.parameters,
                    "macs": compress.flops(network, torch.from_numpy(records[name])) / 2,
                    "bytes": model.files[form].stat().st_size,
                    "ms": float(np.median(spent)),
                    "ms_low": float(np.quantile(spent, 0.25)),
                    "ms_high": float(np.quantile(spent, 0.75)),
                    "ms_torch": float(np.median(1000 * seconds[f"{name}|torch"])),
                    "auc": auc.value,
                    "auc_low": auc.low,
                    "auc_high": auc.high,
                    "int8": form == "int8",
                }
            )
    return pd.DataFrame(rows).set_index("model")
