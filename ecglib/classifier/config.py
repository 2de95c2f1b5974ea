"""Frozen config -> run id -> run store, for R3's classifiers: what `ecglib.experiments` is for BeatGAN.

A run's folder holds `config.json`, `history.csv`, `predictions.npz` (logits of validation and test records),
`env.json`, `weights.safetensors` (with the scaling of its input), `last.safetensors` and, written last, `metrics.json`.
"""

import json
from dataclasses import dataclass
from functools import cached_property
from pathlib import Path
from typing import Literal

import numpy as np
import torch
from safetensors import safe_open
from torch import Tensor, nn

from ecglib.classifier import training
from ecglib.classifier.compress import fake_quantised, without_channels
from ecglib.classifier.networks import MODELS, build
from ecglib.classifier.training import Settings
from ecglib.core import cost
from ecglib.core.errors import EcglibError
from ecglib.data import ptbxl
from ecglib.data.mitbih import Split
from ecglib.data.ptbxl import LEADS, Records, Scaler
from ecglib.runs import snapshot
from ecglib.runs.store import PUBLISHED, StoredRun, digest, half, read_arrays, read_tensors, write_tensors
from ecglib.stats import metrics, multilabel

ALL_LEADS = tuple(range(len(LEADS)))
UNTRAINED = "untrained"  # R3's program made its teacher anew and never trained it
SELF = "self"
PARTS = ("validation", "test")


@dataclass(frozen=True)
class Lesson:
    """What a student learns from whom.

    Attributes:
        teacher: a run id; `UNTRAINED`, a new network of `network`, in training mode, as coded; or `SELF`, FRSKD's
            self-teacher, which learns along.
        loss: "as coded" is R3's program, "corrected" `BinaryKL` on logits, "published" MKD's, with probabilities
            divided by T.
        temperature: T.
        alpha: weight of the teacher; 1 - alpha is that of the labels.
        beta: weight of the self-teacher's attention.
        network: of an untrained teacher.
    """

    teacher: str
    loss: Literal["as coded", "corrected", "published"] = "corrected"
    temperature: float = 2.0
    alpha: float = 0.7  # R3's program
    beta: float = 0.0
    network: str = "teacher"


@dataclass(frozen=True)
class ClassifierConfig:
    """Everything that decides a classifier's result; equal configs are one run.

    Attributes:
        data: `Records.fingerprint`.
        training: the settings, the seed among them.
        network: a key of `ecgcnn.MODELS`.
        split: the data set's own folds, or R3's, which share patients.
        fold: which of R3's five folds validates.
        leads: positions in `LEADS`.
        standardised: per-lead scaling fitted on the training part; R3 had none.
        train_records: how many of the training records; 0 is all.
        lesson: None learns from labels alone.
        continued: a run id whose last weights training starts from, as R3's comparisons did.
        tuned: a run id whose best weights training starts from: fine-tuning.
        pruned: share of the channels that are cut out of the `tuned` run's network before it is trained again.
        fake_quantised: quantisation-aware training, as R3 tried it: see `compress.fake_quantised`.
    """

    data: str
    training: Settings
    network: str = "student"
    split: Literal["benchmark", "report"] = "benchmark"
    fold: int = 0
    leads: tuple[int, ...] = ALL_LEADS
    standardised: bool = True
    train_records: int = 0
    lesson: Lesson | None = None
    continued: str = ""
    tuned: str = ""
    pruned: float = 0.0
    fake_quantised: bool = False

    def __post_init__(self) -> None:
        if self.network not in MODELS:
            raise EcglibError(f"There is no network {self.network!r}: choose one of {', '.join(MODELS)}.")
        if self.train_records < 0:
            raise EcglibError(f"train_records={self.train_records}: 0, which means all, or more.")
        if not 0 <= self.pruned < 1 or (self.pruned and not self.tuned):
            raise EcglibError(f"pruned={self.pruned}: a share below 1, of the network of the run `tuned`.")
        if self.continued and self.tuned:
            raise EcglibError("Training starts from one run: from its last weights (continued) or its best (tuned).")

    @property
    def run_id(self) -> str:
        """The run's folder name: readable, and different for every other config."""
        kind = f"{self.network}{'' if self.leads == ALL_LEADS else f'-{len(self.leads)}lead'}"
        kind += f"{'-kd' if self.lesson else ''}{'-pruned' if self.pruned else '-tuned' if self.tuned else ''}"
        kind += "-qat" if self.fake_quantised else ""
        return f"{kind}-{self.split}-seed{self.training.seed}-{digest(self)}"

    def choose(self, records: Records) -> Split:
        """The split's indices; a part of the training records is a random one.

        Raises:
            EcglibError: the records are not those of this config, or leave a part of the split empty.
        """
        if records.fingerprint != self.data:
            raise EcglibError("The records are not those this config was made for: use data=records.fingerprint.")
        whole = ptbxl.benchmark_split(records) if self.split == "benchmark" else ptbxl.report_split(records, self.fold)
        for part, members in whole:
            if not len(members):
                raise EcglibError(f"None of the {len(records)} records at hand is for {part}: fetch more of PTB-XL.")
        if not self.train_records:
            return whole
        chosen = np.random.default_rng(0).permutation(whole.train)[: self.train_records]
        return Split(np.sort(chosen), whole.validation, whole.test)

    def x(self, records: Records, indices: np.ndarray, scaler: Scaler) -> Tensor:
        """Records (N, L, 1000) as the network sees them."""
        return torch.from_numpy(scaler(np.asarray(records.signals[indices])[:, list(self.leads)]))


@dataclass(frozen=True)
class ClassifierRun(StoredRun):
    """A finished classifier, read from its folder; metrics are those of "validation", "test" and "test_last"."""

    @cached_property
    def predictions(self) -> dict[str, np.ndarray]:
        """`<part>_logits` (N, 5) float32, `<part>_targets` (N, 5) and `<part>_patients` (N,) of each part."""
        return read_arrays(self.folder / "predictions.npz")

    @property
    def tested(self) -> np.ndarray:
        """(N, 5) targets of the test records."""
        return self.predictions["test_targets"]

    def resampled(self, rule: str, patients: bool) -> dict[str, np.ndarray]:
        """Macro-AUC of each bootstrap resample of the records of part `rule`, or of whole patients."""
        if (rule, patients) not in self._resampled:
            part = rule.removesuffix("_last")
            members = self.predictions[f"{part}_patients"] if patients else None
            drawn = multilabel.resampled_auc(
                self.predictions[f"{part}_targets"], self.predictions[f"{rule}_logits"], members
            )
            self._resampled[rule, patients] = {"auc": drawn}
        return self._resampled[rule, patients]

    @cached_property
    def _resampled(self) -> dict[tuple[str, bool], dict[str, np.ndarray]]:
        return {}

    @cached_property
    def scaler(self) -> Scaler:
        """The scaling of the input.

        Raises:
            EcglibError: the store came without weights, or they are damaged.
        """
        with snapshot.reading(self.weights_file), safe_open(self.weights_file, framework="pt") as file:
            facts = json.loads(file.metadata()["scaler"])
        return Scaler(tuple(facts["mean"]), tuple(facts["deviation"]))

    @property
    def leads(self) -> list[int]:
        """Positions in `LEADS` of what the network sees."""
        return list(self.config.get("leads", ALL_LEADS))

    @property
    def network(self) -> str:
        """A key of `ecgcnn.MODELS`."""
        return self.config.get("network", "student")

    @property
    def pruned(self) -> float:
        """The share of that network's channels that was cut out."""
        return self.config.get("pruned", 0)

    def model(self) -> nn.Module:
        """The network with its best weights, in evaluation mode, on the CPU.

        Raises:
            EcglibError: the store came without weights, or they are damaged.
        """
        model = self._network()
        model.load_state_dict(read_tensors(self.weights_file))
        return model.eval()

    @cached_property
    def parameters(self) -> int:
        """How many weights the network has that training may change."""
        return cost.count_parameters(self._network())

    def _network(self) -> nn.Module:
        """The network with weights of no meaning."""
        model = build(self.network, len(self.leads))
        if self.config.get("fake_quantised"):
            return fake_quantised(model)
        # Which channels went is in the weights; how many, and so all shapes, follow from the share alone.
        return without_channels(model, len(self.leads), self.pruned) if self.pruned else model

    def publish(self) -> Path:
        """Keep the best weights in half precision, small enough to be committed."""
        path = self.folder / PUBLISHED
        if not path.exists():
            with safe_open(self.weights_file, framework="pt") as file:
                facts = file.metadata()
            write_tensors(path, half(read_tensors(self.weights_file)), facts)
        return path

    @property
    def weights_file(self) -> Path:
        """Where the best weights are.

        Raises:
            EcglibError: the store came without them.
        """
        for name in ("weights.safetensors", PUBLISHED):
            if (self.folder / name).exists():
                return self.folder / name
        raise EcglibError(f"weights.safetensors is not in {self.folder.name}: train the run again.")


def is_finished(folder: Path, weights: bool = False) -> bool:
    """Whether a run's folder holds all that it should, with or without the weights (published ones will do)."""
    kept = all((folder / name).exists() for name in ("weights.safetensors", "last.safetensors"))
    results = all((folder / name).exists() for name in ("metrics.json", "predictions.npz"))
    return results and (not weights or kept or (folder / PUBLISHED).exists())


def best_run(store: Path, kind: str) -> ClassifierRun:
    """The run of a kind with the lowest validation loss among those whose weights are there, patients apart.

    Args:
        store: the folder of all runs.
        kind: as run ids begin: "student", "student-1lead", "resnet", ...; distilled ones are among them.

    Raises:
        EcglibError: there is none.
    """
    folders = [path for way in ("", "-kd") for path in store.glob(f"{kind}{way}-benchmark-seed*") if path.is_dir()]
    runs = [ClassifierRun(path) for path in folders if is_finished(path, weights=True)]
    # R3's chains of comparisons have been trained for longer the later they come.
    runs = [run for run in runs if "continued" not in run.config]
    if not runs:
        raise EcglibError(
            f"{store} has no finished {kind!r} with weights: 'ecglib run 05 --profile {store.parent.name}' trains one."
        )
    return min(runs, key=lambda run: float(run.history["validation_loss"].min()))


def thresholds(targets: np.ndarray, logits: np.ndarray) -> tuple[float, ...]:
    """For each class the probability with the best F1; of validation records, (N, 5) both."""
    found = training.probabilities(logits)
    return tuple(metrics.best_f1(targets[:, n] == 1, found[:, n])[1] for n in range(targets.shape[1]))


def evaluate(predictions: dict[str, np.ndarray], best: int, last: int) -> dict[str, dict[str, float]]:
    """Every metric of a run from its stored predictions.

    Args:
        predictions: see `ClassifierRun.predictions`.
        best: the epoch whose weights were kept.
        last: the epoch that "test_last" belongs to, which R3's program tested.
    """
    found = {
        name: multilabel.class_metrics(predictions[f"{name}_targets"], predictions[f"{name}_logits"]) for name in PARTS
    }
    found = {name: {**values, "epoch": best} for name, values in found.items()}
    at_last = multilabel.class_metrics(predictions["test_targets"], predictions["test_last_logits"])
    return found | {"test_last": {**at_last, "epoch": last}}
