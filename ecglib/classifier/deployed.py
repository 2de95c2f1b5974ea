"""R3's question answered: what is left of a classifier after export, and after quantisation to INT8?

Every trained network goes the way of a user's: to ONNX, to INT8 calibrated on training records, through ONNX Runtime
on the test records. The store keeps its answers beside the run. Everywhere `models` are one a seed, and a form is
"float" or "int8".
"""

import json
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path

import numpy as np
import pandas as pd
import torch

from ecglib.classifier import export, measure, onnx
from ecglib.classifier.run import ClassifierRun
from ecglib.classifier.task import ClassifierConfig
from ecglib.core.errors import EcglibError
from ecglib.core.files import write_json
from ecglib.data.ptbxl import SAMPLES, Records, benchmark_split
from ecglib.runs.grid import Arm
from ecglib.runs.obtain import obtain
from ecglib.runs.store import digest_of_file, is_stored, stored_arrays, write_arrays
from ecglib.stats import metrics, multilabel
from ecglib.stats.metrics import Change, Interval

FORMS = ("float", "int8")


@dataclass(frozen=True)
class Exported:
    """A run as ONNX files, with their answers on the test records."""

    run: ClassifierRun
    files: dict[str, Path]  # "float" and "int8"; empty if only the answers were asked for
    logits: dict[str, np.ndarray]  # of each form, (N, 5)

    def auc(self, form: str) -> float:
        """Test macro-AUC of a form."""
        return multilabel.macro_auc(self.run.tested, self.logits[form])

    def resampled(self, form: str) -> np.ndarray:
        """Test macro-AUC of a form in each resample of the patients: (R,)."""
        return multilabel.resampled_auc(self.run.tested, self.logits[form], self.run.predictions["test_patients"])


def over_patients(models: Sequence[Exported], form: str) -> Interval:
    """Mean test macro-AUC of a form over seeds, with its interval over patients."""
    mean = float(np.mean([model.auc(form) for model in models]))
    return metrics.percentiles(mean, np.mean([model.resampled(form) for model in models], axis=0))


def change(models: Sequence[Exported], smaller: Sequence[Exported] | None = None) -> Change:
    """From float to INT8 (of `smaller` ones, if given, with the same seeds): mean test macro-AUC over seeds.

    The difference has both intervals.

    Raises:
        EcglibError: seeds do not pair, or the two were tested on other records.
    """
    cut = models if smaller is None else smaller
    seeds = [[one.run.config["training"]["seed"] for one in members] for members in (models, cut)]
    if seeds[0] != seeds[1] or not np.array_equal(models[0].run.tested, cut[0].run.tested):
        raise EcglibError(f"Seeds {seeds[0]} and {seeds[1]}, or the records that they were tested on, do not pair.")
    aucs = [np.array([one.auc(form) for one in side]) for side, form in ((models, "float"), (cut, "int8"))]
    pairs = zip(models, cut, strict=True)
    drawn = np.mean([after.resampled("int8") - before.resampled("float") for before, after in pairs], axis=0)
    found = aucs[1] - aucs[0]
    lost, others = metrics.mean_interval(found), metrics.percentiles(float(found.mean()), drawn)
    return Change(float(aucs[0].mean()), float(aucs[1].mean()), lost, others, found)


def exported(
    config: ClassifierConfig, records: Records, store: Path, profile: str, device: str = "auto", files: bool = True
) -> Exported:
    """A config's ONNX files and answers: from the store, or made and kept there after training if need be.

    The config has the data set's own split. `profile` is written into the contract. Answers without files
    (`files=False`) need no stored weights.
    """
    name = f"onnx/{config.run_id}"
    if not files and is_stored(store, name) and config.run(store).finished():
        return Exported(config.run(store), {}, stored_arrays(store, name))
    answers = store / f"{name}.npz"
    run = obtain(config, records, store, device, weights=True)
    paths = {form: store / "onnx" / f"{run.folder.name}.{form}.onnx" for form in FORMS}
    # They belong together: answers may come from elsewhere, and files may be those of weights since replaced.
    made = store / f"{name}.json"
    together = {path.name: path for path in (run.weights_file, *paths.values(), answers)}
    if not _belong_together(together, made):
        export.export(run, profile, paths["float"])
        export.quantise(run, records, profile, paths["float"], paths["int8"])
        x = records.seen(benchmark_split(records).test, run.leads)
        found = {form: onnx.run(onnx.open_model(path), x).astype(np.float16) for form, path in paths.items()}
        write_arrays(answers, found)
        write_json(made, {key: digest_of_file(path) for key, path in together.items()})
    return Exported(run, paths, stored_arrays(store, name))


def exported_arms(
    arms: Mapping[str, Arm], records: Records, store: Path, profile: str, device: str = "auto"
) -> dict[str, list[Exported]]:
    """All models of arms, one a seed, with files of the first: see `exported`."""
    return {
        name: [
            exported(config, records, store, profile, device, files=number == 0)
            for number, config in enumerate(arm.configs)
        ]
        for name, arm in arms.items()
    }


def _belong_together(files: Mapping[str, Path], made: Path) -> bool:
    """Whether all files are there with the digests that `made` has."""
    if not all(path.is_file() for path in (*files.values(), made)):
        return False
    try:
        digests = json.loads(made.read_text(encoding="utf-8"))
    except ValueError:
        return False
    return bool(digests == {name: digest_of_file(path) for name, path in files.items()})


def costs(models: Mapping[str, Sequence[Exported]], repeats: int = 30) -> pd.DataFrame:
    """Size, operations, time and macro-AUC of each model, float and INT8: a row each, as plain numbers.

    Size and time are those of the first seed, which needs its files. Times are those of one record on one thread; all
    ways take turns in one run.
    """
    firsts = {name: seeds[0] for name, seeds in models.items()}
    records = {name: np.zeros((1, len(model.run.leads), SAMPLES), dtype=np.float32) for name, model in firsts.items()}
    ways: dict[str, Callable[[], object]] = {}
    for name, model in firsts.items():
        files = {f"{name}|{form}": model.files[form] for form in FORMS}
        ways |= measure.ways({f"{name}|torch": model.run.model()}, files, records[name])
    seconds = measure.timed(ways, repeats)
    rows = []
    for name, model in firsts.items():
        network, size = model.run.model(), {form: model.files[form].stat().st_size for form in FORMS}
        for form in FORMS:
            over_seeds = metrics.mean_interval([seed.auc(form) for seed in models[name]])
            auc, spent = over_patients(models[name], form), 1000 * seconds[f"{name}|{form}"]
            rows.append(
                {
                    "model": name if form == "float" else f"{name}, INT8",
                    "parameters": model.run.parameters,
                    "macs": measure.flops(network, torch.from_numpy(records[name])) / 2,
                    "bytes": size[form],
                    "smaller": size["float"] / size[form],
                    "ms": float(np.median(spent)),
                    "ms_low": float(np.quantile(spent, 0.25)),
                    "ms_high": float(np.quantile(spent, 0.75)),
                    "ms_torch": float(np.median(1000 * seconds[f"{name}|torch"])),
                    "auc": auc.value,
                    "seeds_low": over_seeds.low,
                    "seeds_high": over_seeds.high,
                    "auc_low": auc.low,
                    "auc_high": auc.high,
                    "int8": form == "int8",
                }
            )
    return pd.DataFrame(rows).set_index("model")
