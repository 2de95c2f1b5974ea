"""Frozen config -> run id -> run store, for R3's classifiers: what `ecglib.experiments` is for BeatGAN.

A run's folder holds `config.json`, `history.csv`, `predictions.npz` (logits of validation and test records),
`env.json`, `weights.safetensors` (with the scaling of its input), `last.safetensors` and, written last, `metrics.json`.
"""

import json
from collections.abc import Callable
from dataclasses import dataclass
from functools import cached_property
from pathlib import Path
from typing import Any, Literal

import numpy as np
import pandas as pd
import torch
from safetensors import safe_open
from safetensors.torch import save_file
from torch import Tensor, nn

from ecglib import classifiers, metrics, multilabel
from ecglib.classifiers import Loss, Settings
from ecglib.data import ptbxl
from ecglib.data.mitbih import Split
from ecglib.data.ptbxl import LEADS, Records, Scaler
from ecglib.errors import EcglibError
from ecglib.files import atomic_path, sole_process, write_json, write_text
from ecglib.losses import BinaryKL, distillation_as_coded
from ecglib.models.ecgcnn import ConvNet, build
from ecglib.models.frskd import SelfTaught
from ecglib.reproducibility import choose_device, environment, seed_everything
from ecglib.store import PUBLISHED, StoredRun, differences, digest

ALL_LEADS = tuple(range(len(LEADS)))
UNTRAINED = "untrained"  # R3's program made its teacher anew and never trained it
SELF = "self"
PARTS = ("validation", "test")
TEACHER_STREAM = 1  # sets the weights of an untrained teacher apart from the student's


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

    @property
    def run_id(self) -> str:
        """The run's folder name: readable, and different for every other config."""
        kind = f"{self.network}{'' if self.leads == ALL_LEADS else f'-{len(self.leads)}lead'}"
        kind += "-kd" if self.lesson else ""
        return f"{kind}-{self.split}-seed{self.training.seed}-{digest(self)}"

    def choose(self, records: Records) -> Split:
        """The split's indices; a part of the training records is a random one.

        Raises:
            EcglibError: the records are not those of this config.
        """
        if records.fingerprint != self.data:
            raise EcglibError("The records are not those this config was made for: use data=records.fingerprint.")
        whole = ptbxl.benchmark_split(records) if self.split == "benchmark" else ptbxl.report_split(records, self.fold)
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
        with np.load(self.folder / "predictions.npz", allow_pickle=False) as file:
            stored = {name: file[name] for name in file.files}
        return stored | {name: values.astype(np.float32) for name, values in stored.items() if "logits" in name}

    @cached_property
    def scaler(self) -> Scaler:
        """The scaling of the input."""
        with safe_open(self._weights, framework="pt") as file:
            facts = json.loads(file.metadata()["scaler"])
        return Scaler(tuple(facts["mean"]), tuple(facts["deviation"]))

    def model(self) -> nn.Module:
        """The network with its best weights, in evaluation mode, on the CPU.

        Raises:
            EcglibError: the store came without weights.
        """
        model = build(self.config.get("network", "student"), len(self.config.get("leads", ALL_LEADS)))
        with safe_open(self._weights, framework="pt") as file:
            state = {name: file.get_tensor(name) for name in file.keys()}  # noqa: SIM118 - not a dict
        model.load_state_dict({name: t.float() if t.is_floating_point() else t for name, t in state.items()})
        return model.eval()

    def publish(self) -> Path:
        """Keep the best weights in half precision, small enough to be committed."""
        path = self.folder / PUBLISHED
        if not path.exists():
            with safe_open(self._weights, framework="pt") as file:
                state, facts = {name: file.get_tensor(name) for name in file.keys()}, file.metadata()  # noqa: SIM118
            with atomic_path(path) as temporary:
                save_file(
                    {name: t.half() if t.is_floating_point() else t for name, t in state.items()}, temporary, facts
                )
        return path

    @property
    def _weights(self) -> Path:
        for name in ("weights.safetensors", PUBLISHED):
            if (self.folder / name).exists():
                return self.folder / name
        raise EcglibError(f"weights.safetensors is not in {self.folder.name}: train the run again.")


def is_finished(folder: Path, weights: bool = False) -> bool:
    """Whether a run's folder holds all that it should, with or without the weights."""
    kept = any((folder / name).exists() for name in ("weights.safetensors", PUBLISHED))
    return (folder / "metrics.json").exists() and (kept or not weights)


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
    if not runs:
        raise EcglibError(f"{store} has no finished {kind!r} with weights: 'ecglib run 05' trains one.")
    return min(runs, key=lambda run: float(run.history["validation_loss"].min()))


def thresholds(run: ClassifierRun) -> tuple[float, ...]:
    """For each class the probability with the best F1 on validation records."""
    targets, found = (
        run.predictions["validation_targets"],
        classifiers.probabilities(run.predictions["validation_logits"]),
    )
    return tuple(metrics.best_f1(targets[:, n] == 1, found[:, n])[1] for n in range(targets.shape[1]))


def train_classifier(
    config: ClassifierConfig,
    records: Records,
    store: Path,
    device: str = "auto",
    weights: bool = False,
    progress: Callable[[dict[str, Any]], None] = lambda row: None,
) -> ClassifierRun:
    """The finished run of `config`: loaded where the store has it, resumed or trained where not.

    Args:
        config: what to run.
        records: the records it was made for.
        store: the folder of all runs.
        device: "auto", "cpu" or "cuda".
        weights: a run whose weights were not kept counts as unfinished.
        progress: called with each epoch's row of the history.

    Raises:
        EcglibError: another process is training this run, its teacher is missing; or what `classifiers.fit` raises.
    """
    folder = store / config.run_id
    if not is_finished(folder, weights):
        with sole_process(store, config.run_id):
            if not is_finished(folder, weights):  # the other process may have finished in between
                _train(config, records, folder, choose_device(device), progress)
    return ClassifierRun(folder)


def _train(
    config: ClassifierConfig,
    records: Records,
    folder: Path,
    device: torch.device,
    progress: Callable[[dict[str, Any]], None],
) -> None:
    split, settings = config.choose(records), config.training
    signals = np.asarray(records.signals[split.train])[:, list(config.leads)]
    scaler = Scaler.fit(signals) if config.standardised else Scaler.none(len(config.leads))
    y = torch.from_numpy(records.targets.astype(np.float32))
    parts = {name: (config.x(records, chosen, scaler).to(device), y[chosen].to(device)) for name, chosen in split}
    seed_everything(settings.seed)
    model = build(config.network, len(config.leads)).to(device)
    if config.continued:
        model.load_state_dict(_last_weights(folder.parent / config.continued))
    loss: Loss = classifiers.binary_cross_entropy
    learner = model
    if config.lesson and config.lesson.teacher == SELF:
        if not isinstance(model, ConvNet):
            raise EcglibError(f"{config.network} gives no features of blocks to a self-teacher: choose a ConvNet.")
        learner = SelfTaught(model, config.lesson.temperature, config.lesson.alpha, config.lesson.beta).to(device)
        loss = learner.loss
    elif config.lesson:
        loss = _distilling(config, records, folder.parent, split.train, parts["train"][0])
    write_json(folder / "config.json", differences(config))
    training = classifiers.new_training(settings, learner)
    checkpoint = folder / "checkpoint.safetensors"
    classifiers.fit(training, parts["train"], parts["validation"], settings, loss, checkpoint, progress)

    predictions: dict[str, np.ndarray] = {}
    last = classifiers.predict(model, parts["test"][0])
    with atomic_path(folder / "last.safetensors") as temporary:
        save_file(_weights(model), temporary)
    learner.load_state_dict(training.best)
    for name in PARTS:
        members = getattr(split, name)
        logits = classifiers.predict(model, parts[name][0])
        predictions[f"{name}_logits"] = logits.cpu().numpy().astype(np.float16)
        predictions[f"{name}_targets"] = records.targets[members]
        predictions[f"{name}_patients"] = records.patients[members].astype(np.int32)
    predictions["test_last_logits"] = last.cpu().numpy().astype(np.float16)
    facts = json.dumps({"mean": scaler.mean, "deviation": scaler.deviation})
    with atomic_path(folder / "weights.safetensors") as temporary:
        save_file(_weights(model), temporary, metadata={"scaler": facts})
    with atomic_path(folder / "predictions.npz") as temporary, temporary.open("wb") as file:
        np.savez_compressed(file, allow_pickle=False, **predictions)
    history = pd.DataFrame(training.history)
    write_text(folder / "history.csv", history.to_csv(index=False, float_format="%.6g", lineterminator="\n"))
    write_json(folder / "env.json", {**environment(device), "seconds": round(history["seconds"].sum(), 1)})
    write_json(folder / "metrics.json", evaluate(ClassifierRun(folder).predictions, training.best_epoch))
    checkpoint.unlink(missing_ok=True)


def _weights(model: nn.Module) -> dict[str, Tensor]:
    return {name: tensor.detach().cpu().clone() for name, tensor in model.state_dict().items()}


def evaluate(predictions: dict[str, np.ndarray], epoch: int) -> dict[str, dict[str, float]]:
    """Every metric of a run from its stored predictions; "test_last" is what the last epoch would have given."""
    found = {
        name: multilabel.class_metrics(predictions[f"{name}_targets"], predictions[f"{name}_logits"]) for name in PARTS
    }
    found["test_last"] = multilabel.class_metrics(predictions["test_targets"], predictions["test_last_logits"])
    return {name: {**values, "epoch": epoch} for name, values in found.items()}


def _last_weights(folder: Path) -> dict[str, Tensor]:
    path = folder / "last.safetensors"
    if not path.exists():
        raise EcglibError(f"{folder.name} has no last.safetensors to go on from: train that run first.")
    with safe_open(path, framework="pt") as file:
        return {name: file.get_tensor(name) for name in file.keys()}  # noqa: SIM118 - not a dict


def _distilling(config: ClassifierConfig, records: Records, store: Path, train: np.ndarray, x: Tensor) -> Loss:
    """The loss of a student.

    A trained teacher is frozen, so it is asked about every training record once, through its own leads and scaling. As
    coded it is a new network in training mode, asked anew about every batch.

    Args:
        config: the student's.
        records: all of them.
        store: where the teacher is.
        train: positions of the training records.
        x: (N, L, T) what the student sees of them.

    Raises:
        EcglibError: the teacher is not in the store, or no better than chance on validation.
    """
    lesson = config.lesson
    assert lesson is not None
    if lesson.teacher == UNTRAINED:
        seed_everything(config.training.seed, TEACHER_STREAM)
        network = build(lesson.network, len(config.leads)).to(x.device).train()

        def ask(batch: Tensor) -> Tensor:
            return network(x[batch])

    else:
        answers = _answers(store / lesson.teacher, records, train, x.device)

        def ask(batch: Tensor) -> Tensor:
            return answers[batch]

    kl = BinaryKL(lesson.temperature, "probabilities" if lesson.loss == "published" else "logits")

    def loss(batch: Tensor, logits: Tensor, targets: Tensor) -> Tensor:
        with torch.no_grad():
            taught = ask(batch)
        if lesson.loss == "as coded":
            return distillation_as_coded(logits, taught, targets, lesson.temperature, lesson.alpha)
        labels = classifiers.binary_cross_entropy(batch, logits, targets)
        return lesson.alpha * kl(logits, taught) + (1 - lesson.alpha) * labels

    return loss


def _answers(folder: Path, records: Records, train: np.ndarray, device: torch.device) -> Tensor:
    """What a trained teacher says of the training records: (N, 5) logits."""
    if not is_finished(folder, weights=True):
        raise EcglibError(f"The teacher {folder.name} is not in {folder.parent}: train it first, with weights=True.")
    teacher = ClassifierRun(folder)
    stored = teacher.predictions
    interval = multilabel.auc_interval(stored["validation_targets"], stored["validation_logits"])
    if interval.low <= 0.5:
        raise EcglibError(
            f"The teacher {folder.name} is no better than chance on validation (macro-AUC {interval}): "
            "it has nothing to teach. Train it longer, or choose another."
        )
    leads = list(teacher.config.get("leads", ALL_LEADS))
    x = torch.from_numpy(teacher.scaler(np.asarray(records.signals[train])[:, leads])).to(device)
    return classifiers.predict(teacher.model().to(device), x)
