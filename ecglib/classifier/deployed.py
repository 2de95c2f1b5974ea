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
from ecglib.runs.formats import digest_of_file, write_arrays
from ecglib.runs.grid import Arm, obtain_with_weights
from ecglib.runs.obtain import Config
from ecglib.runs.store import is_stored, stored_arrays
from ecglib.stats import metrics, multilabel
from ecglib.stats.metrics import Change, Interval

FORMS = ("float", "int8")
ALIKE = 0.05  # how far a logit of one network may move from torch to ONNX, and to half precision


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


def mean_over_patients(models: Sequence[Exported], form: str) -> Interval:
    """Mean test macro-AUC of a form over seeds, with its interval over patients."""
    mean = float(np.mean([model.auc(form) for model in models]))
    return metrics.percentiles(mean, np.mean([model.resampled(form) for model in models], axis=0))


def change(models: Sequence[Exported]) -> Change:
    """From float to INT8: mean test macro-AUC over seeds, and the difference with both intervals."""
    return _change(models, "float", models, "int8")


def shrunk(whole: Sequence[Exported], small: Sequence[Exported]) -> Change:
    """From whole networks in float to those that were cut from them, in INT8; otherwise as `change`.

    Raises:
        EcglibError: a small network was not cut from the whole one in its place.
    """
    for one, cut in zip(whole, small, strict=True):
        if cut.run.config.get("tuned") != one.run.folder.name:
            raise EcglibError(f"{cut.run.folder.name} was not cut from {one.run.folder.name}: give them in one order.")
    return _change(whole, "float", small, "int8")


def _change(before: Sequence[Exported], form: str, after: Sequence[Exported], other: str) -> Change:
    sides = ((before, form), (after, other))
    aucs = [[one.auc(kind) for one in side] for side, kind in sides]
    drawn = [[one.resampled(kind) for one in side] for side, kind in sides]
    return metrics.paired_change(aucs, drawn)


def exported(
    config: ClassifierConfig,
    records: Records,
    store: Path,
    profile: str,
    device: str = "auto",
    files: bool = True,
    others: Sequence[Config] = (),
) -> Exported:
    """A config's ONNX files and answers: from the store, or made and kept there after training if need be.

    The config has the data set's own split. `profile` is written into the contract. Answers without files
    (`files=False`) need no stored weights; with files the weights are published, too. If it must be trained and needs
    another run's weights, that run is among `others`.
    """
    name = f"onnx/{config.run_id}"
    if not files and is_stored(store, name) and (known := config.run(store)).finished():
        logits = stored_arrays(store, name)
        # A run that was trained again since then has other answers.
        if np.allclose(logits["float"], known.predictions["test_logits"], atol=ALIKE):
            return Exported(known, {}, logits)
    answers = store / f"{name}.npz"
    run = obtain_with_weights(config, others, records, store, device)
    paths = {form: store / "onnx" / f"{run.folder.name}.{form}.onnx" for form in FORMS}
    # They belong together: answers may come from elsewhere, and files may be those of weights since replaced.
    made = store / f"{name}.json"
    together = {path.name: path for path in (run.weights_file(), *paths.values(), answers)}
    if not _belong_together(together, made):
        export.export(run, profile, paths["float"])
        export.quantise(run, records, profile, paths["float"], paths["int8"])
        x = records.seen(benchmark_split(records).test, run.leads)
        found = {form: onnx.run(onnx.open_model(path), x).astype(np.float16) for form, path in paths.items()}
        write_arrays(answers, found)
        write_json(made, {key: digest_of_file(path) for key, path in together.items()})
    if files:
        run.publish()  # so that the files can be made again where the run's weights are gone
    return Exported(run, paths if files else {}, stored_arrays(store, name))


def exported_arms(
    names: Mapping[str, str],
    arms: Mapping[str, Arm],
    records: Records,
    store: Path,
    profile: str,
    device: str = "auto",
) -> dict[str, list[Exported]]:
    """What a table calls a model -> its networks, one a seed, with files of the first: see `exported`.

    `names` says which key of `arms` a model is; `arms` have all runs whose weights these need.
    """
    others = [config for arm in arms.values() for config in arm.configs]
    return {
        name: [
            exported(config, records, store, profile, device, number == 0, others)
            for number, config in enumerate(arms[key].configs)
        ]
        for name, key in names.items()
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
            auc, spent = mean_over_patients(models[name], form), 1000 * seconds[f"{name}|{form}"]
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
