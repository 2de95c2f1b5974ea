"""A classifier's training: what decides it, and how it is trained, alone or taught."""

import json
import math
import re
from collections.abc import Callable, Mapping
from dataclasses import dataclass, field, replace
from pathlib import Path
from typing import Any, Literal

import numpy as np
import torch
from torch import Tensor, nn
from torch.nn import functional as F

from ecglib.classifier import baselines, training
from ecglib.classifier.frskd import SelfTaught
from ecglib.classifier.losses import BinaryKL, distillation_as_coded
from ecglib.classifier.networks import MODELS, ConvNet, build
from ecglib.classifier.prune import without_channels
from ecglib.classifier.quantise import fake_quantised
from ecglib.classifier.run import ALL_LEADS, ClassifierRun, PretrainingRun
from ecglib.classifier.training import Loss, Settings
from ecglib.core.config import Checked, digest
from ecglib.core.errors import EcglibError
from ecglib.core.seeds import seed_everything
from ecglib.data import ptbxl
from ecglib.data.ptbxl import SUPERCLASSES, Records, Scaler
from ecglib.data.split import Split
from ecglib.runs.formats import read_tensors
from ecglib.runs.loop import Best, Loop, copied
from ecglib.runs.obtain import Clock, Result
from ecglib.stats import metrics, multilabel

KIND = re.compile(r"[A-Za-z0-9._]+(?:-1lead)?")  # of run: a network, and its leads if it has not all
UNTRAINED = "untrained"  # R3's program made its teacher anew and never trained it
SELF = "self"
BOOSTED_TREES = "trees"  # boosted trees, each record being judged by those that learned from other folds
PARTS = ("validation", "test")
# Sets an untrained teacher's weights apart from the student's. The first epoch draws its order from the same numbers,
# which has no bearing on random weights; another stream would make the committed runs of R3's program others.
TEACHER_STREAM = 1


@dataclass(frozen=True)
class Distillation(Checked):
    """What a student learns from whom."""

    # A run id; or `BOOSTED_TREES`; or `UNTRAINED`, a new network in training mode, as coded; or `SELF`, FRSKD's own.
    teacher: str
    # R3's program; or `BinaryKL` on logits; or MKD's loss, with probabilities divided by T.
    loss: Literal["as coded", "corrected", "published"] = "corrected"
    temperature: float = 2.0
    alpha: float = 0.7  # weight of the teacher (R3's program); the labels have 1 - alpha, beside a self-teacher 1
    beta: float = 0.0  # weight of the self-teacher's attention transfer
    network: str = "teacher"  # of an untrained teacher
    others: tuple[str, ...] = ()  # more runs: the student is taught the mean of all teachers' logits

    def __post_init__(self) -> None:
        super().__post_init__()
        words = {SELF, UNTRAINED, BOOSTED_TREES}
        if self.others and (self.teacher in (SELF, UNTRAINED) or words & {*self.others}):
            raise EcglibError("A committee is trained runs, with or without boosted trees as its first member.")
        if self.teacher != SELF and not 0 <= self.alpha <= 1:
            raise EcglibError(f"alpha={self.alpha}: the teacher's share of the loss, from 0 to 1.")


@dataclass(frozen=True)
class ClassifierConfig(Checked):
    """Everything that decides a classifier's result; equal configs are one run."""

    data: str  # `Records.fingerprint` of the records
    training: Settings
    network: str = "student"  # a key of `networks.MODELS`
    split: Literal["benchmark", "report"] = "benchmark"  # the data set's own folds, or R3's, which share patients
    fold: int = 0  # which of R3's five folds validates
    leads: tuple[int, ...] = ALL_LEADS  # positions in `LEADS`
    standardised: bool = True  # per-lead scaling fitted on the training records; R3 had none
    train_records: int = 0  # how many of the split's training records; 0 is all
    distillation: Distillation | None = field(default=None, metadata={"key": "lesson"})  # None learns from labels alone
    # A run id: training starts from its last weights (their moving average, if it had one), as in R3's comparisons.
    continued: str = ""
    tuned: str = ""  # a run id: training starts from its best weights (fine-tuning)
    pretrained: str = ""  # the id of a `pretraining` run: training starts with its convolutions
    pruned: float = 0.0  # share of the channels that are cut out of the `tuned` run's network before training
    fake_quantised: bool = False  # quantisation-aware training, as R3 tried it: see `quantise.fake_quantised`

    def __post_init__(self) -> None:
        super().__post_init__()
        if self.network not in MODELS:
            raise EcglibError(f"There is no network {self.network!r}: choose one of {', '.join(MODELS)}.")
        if not self.leads or not set(self.leads) <= set(ALL_LEADS):
            raise EcglibError(f"leads={self.leads}: positions of leads, from 0 to {len(ALL_LEADS) - 1}.")
        if self.train_records < 0:
            raise EcglibError(f"train_records={self.train_records}: 0, which means all, or more.")
        if not 0 <= self.pruned < 1 or (self.pruned and not self.tuned):
            raise EcglibError(f"pruned={self.pruned}: a share below 1, of the network of the run `tuned`.")
        if self.fake_quantised and self.training.precision != "float32":
            raise EcglibError("Quantisation-aware training rounds by itself: use precision='float32'.")
        settings, lesson = self.training, self.distillation
        if settings.window and self.network == "inception":
            raise EcglibError("Inception's dense layer needs the whole record: train it with window=0.")
        if settings.ema_decay and self.fake_quantised:
            raise EcglibError("Ranges that are measured while training cannot be averaged: use ema_decay=0.")
        if settings.mixup and lesson and lesson.teacher in (SELF, UNTRAINED):
            raise EcglibError("Mixed records ask a teacher twice, and this one changes in between: use mixup=0.")
        if sum(map(bool, (self.continued, self.tuned, self.pretrained))) > 1:
            raise EcglibError("Training starts from one run: name it continued, tuned or pretrained.")

    @property
    def run_id(self) -> str:
        """The run's folder name: readable, and different for every other config."""
        kind = f"{self.network}{'' if self.leads == ALL_LEADS else f'-{len(self.leads)}lead'}"
        kind += f"{'-kd' if self.distillation else ''}{'-pruned' if self.pruned else '-tuned' if self.tuned else ''}"
        kind += "-qat" if self.fake_quantised else ""
        return f"{kind}-{self.split}-seed{self.training.seed}-{digest(self)}"

    @property
    def parents(self) -> tuple[str, ...]:
        """Ids of the teachers and of the run that training starts from, as far as there are any."""
        teachers = (self.distillation.teacher, *self.distillation.others) if self.distillation else ()
        runs = (*teachers, self.continued, self.tuned, self.pretrained)
        return tuple(run for run in runs if run not in ("", SELF, UNTRAINED, BOOSTED_TREES))

    def run(self, store: Path) -> "ClassifierRun":
        """The run in a store, finished or not."""
        return ClassifierRun(store / self.run_id)

    def choose(self, records: Records) -> Split:
        """The indices of the split; `train_records` takes a random part of the training records.

        Raises:
            EcglibError: the records are not those of this config, or leave a part of the split empty.
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
        return torch.from_numpy(scaler(records.seen(indices, self.leads)))

    def model(self, loop: Loop) -> nn.Module:
        """The network that training starts from, on the loop's device.

        Raises:
            EcglibError: the run that it starts from is not in the store with its weights, has another network, or
                may have learned from what is tested here.
        """
        seed_everything(self.training.seed)
        model = build(self.network, len(self.leads)).to(loop.device)
        if self.tuned:
            model = self._parent(loop.store / self.tuned).model().to(loop.device)
            if self.pruned:
                model = without_channels(model, len(self.leads), self.pruned).to(loop.device)
        elif self.continued:
            model.load_state_dict(read_tensors(self._parent(loop.store / self.continued).folder / "last.safetensors"))
        elif self.pretrained:
            self._load_convolutions(model, PretrainingRun(loop.store / self.pretrained))
        return fake_quantised(model).to(loop.device) if self.fake_quantised else model

    def _parent(self, folder: Path) -> "ClassifierRun":
        parent = ClassifierRun(folder)
        there = parent.finished(weights=True) if self.tuned else (folder / "last.safetensors").exists()
        if not there:
            raise EcglibError(f"{folder.name} is not in {folder.parent} with its weights: train that run first.")
        if (parent.network, parent.leads, parent.pruned) != (self.network, list(self.leads), 0):
            raise EcglibError(f"{folder.name} is another network than {self.run_id}: go on from one that is the same.")
        self._check_split(parent)
        return parent

    def _check_split(self, other: "ClassifierRun") -> None:
        """Refuse a run that may have learned from records that validate or test here."""
        split, fold = other.config.get("split", "benchmark"), other.config.get("fold", 0)
        if (other.config["data"], split, fold) != (self.data, self.split, self.fold):
            raise EcglibError(
                f"{other.folder.name} was trained on other records or by another split than {self.run_id}, and may "
                "know what is validated or tested here: train it again with these."
            )

    def _load_convolutions(self, model: nn.Module, run: PretrainingRun) -> None:
        if not run.finished(weights=True):
            raise EcglibError(f"{run.folder.name} is not in {run.folder.parent} with its weights: train it first.")
        tensors = read_tensors(run.folder / "weights.safetensors")
        alike = isinstance(model, ConvNet) and _shapes(model.blocks.state_dict()) == _shapes(tensors)
        # It learned from the training records of the data set's own folds, scaled.
        learned_from_these = run.config["data"] == self.data and self.split == "benchmark" and self.standardised
        if not isinstance(model, ConvNet) or not alike or not learned_from_these or run.leads != list(self.leads):
            raise EcglibError(f"{run.folder.name} was not made for {self.run_id}: pretrain its own convolutions.")
        model.blocks.load_state_dict(tensors)

    def learner(self, model: nn.Module, records: Records, store: Path, x: Tensor) -> tuple[nn.Module, Loss]:
        """What learns, and its loss: the model itself, or FRSKD's model with its self-teacher.

        `x` (N, L, T) is what the student sees of the training records; the store has its teachers.

        Raises:
            EcglibError: FRSKD is asked of a network without blocks; a teacher is not in the store, may have learned
                from what is tested here, or is no better than chance on validation; or as `baselines.cross_fitted`.
        """
        taught = self.distillation
        if taught is None:
            return model, training.binary_cross_entropy
        if taught.teacher == SELF:
            if not isinstance(model, ConvNet):
                raise EcglibError(f"{self.network} gives no features of blocks to a self-teacher: choose a ConvNet.")
            self_taught = SelfTaught(model, taught.temperature, taught.alpha, taught.beta).to(x.device)
            return self_taught, self_taught.loss
        if taught.teacher == UNTRAINED:  # as coded: a new network in training mode, asked anew about every batch
            seed_everything(self.training.seed, TEACHER_STREAM)
            network = build(taught.network, len(self.leads)).to(x.device).train()
            return model, distilling(taught, lambda batch: network(x[batch]))
        train, teachers = self.choose(records).train, (taught.teacher, *taught.others)
        for teacher in (store / one for one in teachers if one != BOOSTED_TREES):
            _check_teacher(ClassifierRun(teacher))
            self._check_split(ClassifierRun(teacher))
        answers = torch.stack([_answers(store, one, records, train, x.device) for one in teachers]).mean(dim=0)
        return model, distilling(taught, lambda batch: answers[batch])

    def train(self, records: Records, loop: Loop) -> Result:
        """Train until the validation loss has not fallen for `patience` epochs (report R3, section 3.1).

        Early stopping looks at the binary cross-entropy of the validation records, whatever loss is minimised.

        Raises:
            EcglibError: there is no record to train on, or training diverged; or as `choose`, `model` and `learner`.
        """
        settings, split = self.training, self.choose(records)
        if len(split.train) < 2:
            raise EcglibError(f"{len(split.train)} training records are too few: BatchNorm needs two.")
        leads = self.leads
        scaler = Scaler.fit(records.seen(split.train, leads)) if self.standardised else Scaler.none(len(leads))
        targets = torch.from_numpy(records.targets.astype(np.float32)).to(loop.device)
        x, x_validation, x_test = (self.x(records, members, scaler).to(loop.device) for _, members in split)
        y, y_validation = targets[split.train], targets[split.validation]
        model = self.model(loop)
        learner, loss = self.learner(model, records, loop.store, x)
        optimizer, best = training.new_optimizer(settings, learner), Best()
        schedule = training.new_schedule(settings, optimizer, len(x))
        averaged = training.new_average(settings, learner)
        judged = averaged.module if averaged else learner
        parts: dict[str, Any] = {"learner": learner, "optimizer": optimizer, "best": best}
        parts |= {"schedule": schedule} if schedule else {}
        parts |= {"averaged": averaged} if averaged else {}
        loop.restore(**parts)

        def after_step() -> None:
            if schedule:
                schedule.step()
            if averaged:
                averaged.update_parameters(learner)

        for epoch in loop.epochs():
            if epoch - best.epoch > settings.patience:
                break
            with loop.reduced():
                mean = training.train_epoch(learner, optimizer, x, y, settings, loss, after_step)
            logits = training.predict(judged, x_validation)
            validation_loss = F.binary_cross_entropy_with_logits(logits, y_validation).item()
            if not math.isfinite(mean + validation_loss):
                raise EcglibError(f"Training diverged in epoch {epoch}: lower the learning rate or change the seed.")
            best.offer(epoch, validation_loss, judged)
            found = multilabel.class_metrics(y_validation.cpu().numpy(), logits.cpu().numpy(), SUPERCLASSES)
            loop.record(loss=mean, validation_loss=validation_loss, auc=found["auc"])
        if averaged:
            learner.load_state_dict(averaged.module.state_dict())
        at_last = training.predict(model, x_test)
        last = copied(model)
        learner.load_state_dict(best.weights)
        predictions = {"test_last_logits": at_last.cpu().numpy().astype(np.float16)}
        for name, seen in (("validation", x_validation), ("test", x_test)):
            members = getattr(split, name)
            predictions[f"{name}_logits"] = training.predict(model, seen).cpu().numpy().astype(np.float16)
            predictions[f"{name}_targets"] = records.targets[members]
            predictions[f"{name}_patients"] = records.patients[members].astype(np.int32)
        facts = {"scaler": json.dumps({"mean": scaler.mean, "deviation": scaler.deviation})}
        weights = {"last": (last, None), "weights": (copied(model), facts)}
        epochs = best.epoch, len(loop.history) - 1
        origin = {"train_records": len(split.train), "database": records.source}
        return Result(weights, predictions, lambda stored: evaluate(stored, *epochs), origin)

    def seconds_per_epoch(self, records: Records, device: torch.device, clock: Clock) -> float:
        """An estimate: steps and validation, timed on one batch of noise; a trained teacher answers once, uncounted."""
        settings, split = self.training, self.choose(records)
        x = torch.randn(settings.batch_size, len(self.leads), ptbxl.SAMPLES, device=device)
        y = torch.zeros(settings.batch_size, len(SUPERCLASSES), device=device)
        model = build(self.network, len(self.leads)).to(device)
        if self.pruned:
            model = without_channels(model, len(self.leads), self.pruned).to(device)
        taught = self.distillation
        alone = replace(self, distillation=None) if taught and taught.teacher not in (SELF, UNTRAINED) else self
        learner, loss = alone.learner(model, records, Path(), x)
        optimizer = training.new_optimizer(settings, learner)
        step = clock(lambda: training.train_epoch(learner, optimizer, x, y, settings, loss))
        answer = clock(lambda: training.predict(model, x))
        return (len(split.train) * step + len(split.validation) * answer) / settings.batch_size


def distilling(settings: Distillation, ask: Callable[[Tensor], Tensor]) -> Loss:
    """The loss of a student; `ask` gives the teacher's logits (B, 5) for positions of training records (B,)."""
    kl = BinaryKL(settings.temperature, "probabilities" if settings.loss == "published" else "logits")

    def loss(batch: Tensor, logits: Tensor, targets: Tensor) -> Tensor:
        with torch.no_grad():
            taught = ask(batch)
        if settings.loss == "as coded":
            return distillation_as_coded(logits, taught, targets, settings.temperature, settings.alpha)
        labels = training.binary_cross_entropy(batch, logits, targets)
        return settings.alpha * kl(logits, taught) + (1 - settings.alpha) * labels

    return loss


# Logits of the last few teachers on training records: R3's teacher takes as long for them as its student for an epoch.
_KNOWN: dict[tuple[Path, str, str, bytes, torch.device], Tensor] = {}  # the one used last stands last
TEACHERS_KEPT = 8


def _answers(store: Path, teacher: str, records: Records, train: np.ndarray, device: torch.device) -> Tensor:
    """The logits (N, 5) of a teacher, a run id or `BOOSTED_TREES`, for the training records."""
    key = (store, teacher, records.fingerprint, train.tobytes(), device)
    if key in _KNOWN:
        _KNOWN[key] = _KNOWN.pop(key)
        return _KNOWN[key]
    if teacher == BOOSTED_TREES:
        found = torch.from_numpy(baselines.cross_fitted(records, train)).to(device)
    else:
        run = ClassifierRun(store / teacher)
        x = torch.from_numpy(run.scaler(records.seen(train, run.leads))).to(device)
        found = training.predict(run.model().to(device), x)
    while len(_KNOWN) >= TEACHERS_KEPT:
        del _KNOWN[next(iter(_KNOWN))]
    _KNOWN[key] = found
    return found


def _check_teacher(teacher: ClassifierRun) -> None:
    if not teacher.finished(weights=True):
        folder = teacher.folder
        raise EcglibError(f"The teacher {folder.name} is not in {folder.parent}: train it first, with weights=True.")
    stored = teacher.predictions
    interval = multilabel.auc_interval(stored["validation_targets"], stored["validation_logits"])
    if interval.low <= 0.5:
        raise EcglibError(
            f"The teacher {teacher.folder.name} is no better than chance on validation (macro-AUC {interval}): "
            "it has nothing to teach. Train it longer, or choose another."
        )


def _shapes(tensors: Mapping[str, Tensor]) -> dict[str, torch.Size]:
    return {name: tensor.shape for name, tensor in tensors.items()}


def best_run(store: Path, kind: str) -> ClassifierRun:
    """The run of a kind with the lowest validation loss on the data set's own split, among those that have weights.

    `kind` is how run ids begin: "student", "student-1lead", "resnet", ...; however a network was trained and taught, it
    counts, unless it was pruned or goes on from another run.

    Raises:
        EcglibError: there is none, or they were trained on different records.
    """
    if not KIND.fullmatch(kind):
        raise EcglibError(f"{kind!r} is no kind of run: give one such as student, student-1lead or resnet.")
    folders = [path for way in ("", "-kd") for path in store.glob(f"{kind}{way}-benchmark-seed*") if path.is_dir()]
    runs = [run for run in map(ClassifierRun, folders) if run.finished(weights=True)]
    # In R3's chains of comparisons, later runs have been trained for longer, so they are left out.
    runs = [run for run in runs if "continued" not in run.config]
    if not runs:
        raise EcglibError(
            f"{store} has no finished {kind!r} with weights: 'ecglib run 05 --profile {store.parent.name}' trains one."
        )
    if len({run.config["data"] for run in runs}) > 1:
        raise EcglibError(f"{store} has {kind!r} trained on different records: move the folders of unwanted ones away.")
    return min(runs, key=lambda run: float(run.history["validation_loss"].min()))


def thresholds(targets: np.ndarray, logits: np.ndarray) -> tuple[float, ...]:
    """For each class the probability with the best F1, from targets and logits (N, 5) of validation records."""
    found = training.probabilities(logits)
    return tuple(metrics.best_f1(targets[:, n] == 1, found[:, n])[1] for n in range(targets.shape[1]))


def evaluate(predictions: Mapping[str, np.ndarray], best: int, last: int) -> dict[str, dict[str, float]]:
    """Every metric of a run from its stored `ClassifierRun.predictions`.

    `best` is the epoch of the kept weights; `last` is that of "test_last", which R3's program tested.
    """
    found = {
        name: multilabel.class_metrics(predictions[f"{name}_targets"], predictions[f"{name}_logits"], SUPERCLASSES)
        for name in PARTS
    }
    found = {name: {**values, "epoch": best} for name, values in found.items()}
    at_last = multilabel.class_metrics(predictions["test_targets"], predictions["test_last_logits"], SUPERCLASSES)
    return found | {"test_last": {**at_last, "epoch": last}}
