"""Training a classifier into the store, alone or taught (report R3): loaded, resumed or trained, as the store needs."""

import json
from collections.abc import Callable
from pathlib import Path
from typing import Any, Literal

import numpy as np
import pandas as pd
import torch
from torch import Tensor, nn

from ecglib.classifier import training
from ecglib.classifier.compress import fake_quantised, without_channels
from ecglib.classifier.config import PARTS, SELF, UNTRAINED, ClassifierConfig, ClassifierRun, evaluate, is_finished
from ecglib.classifier.frskd import SelfTaught
from ecglib.classifier.losses import BinaryKL, distillation_as_coded
from ecglib.classifier.networks import ConvNet, build
from ecglib.classifier.training import Loss
from ecglib.core.device import choose_device, environment
from ecglib.core.errors import EcglibError
from ecglib.core.files import sole_process, write_json, write_text
from ecglib.core.seeds import seed_everything
from ecglib.data.ptbxl import Records, Scaler
from ecglib.runs.store import differences, read_tensors, write_arrays, write_tensors
from ecglib.stats import multilabel

# What teachers said of which training records: asking R3's takes as long as an epoch of its student, and it has many.
_KNOWN: dict[tuple[Path, str, bytes, torch.device], Tensor] = {}
TEACHER_STREAM = 1  # sets the weights of an untrained teacher apart from the student's


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
    if config.tuned:
        parent = _parent(config, folder.parent / config.tuned, "weights")
        model = parent.model().to(device)
        if config.pruned:
            model = without_channels(model, len(config.leads), config.pruned).to(device)
    elif config.continued:
        parent = _parent(config, folder.parent / config.continued, "last")
        model.load_state_dict(read_tensors(parent.folder / "last.safetensors"))
    if config.fake_quantised:
        model = fake_quantised(model).to(device)
    loss: Loss = training.binary_cross_entropy
    learner = model
    if config.lesson and config.lesson.teacher == SELF:
        if not isinstance(model, ConvNet):
            raise EcglibError(f"{config.network} gives no features of blocks to a self-teacher: choose a ConvNet.")
        learner = SelfTaught(model, config.lesson.temperature, config.lesson.alpha, config.lesson.beta).to(device)
        loss = learner.loss
    elif config.lesson:
        loss = _distilling(config, records, folder.parent, split.train, parts["train"][0])
    write_json(folder / "config.json", differences(config))
    state = training.new_training(settings, learner)
    checkpoint = folder / "checkpoint.safetensors"
    training.fit(state, parts["train"], parts["validation"], settings, loss, checkpoint, progress)

    # A run trained again, because its weights were not kept, is unfinished from here on.
    (folder / "metrics.json").unlink(missing_ok=True)
    predictions: dict[str, np.ndarray] = {}
    answers = training.predict(model, parts["test"][0])
    write_tensors(folder / "last.safetensors", _weights(model))
    learner.load_state_dict(state.best)
    for name in PARTS:
        members = getattr(split, name)
        logits = training.predict(model, parts[name][0])
        predictions[f"{name}_logits"] = logits.cpu().numpy().astype(np.float16)
        predictions[f"{name}_targets"] = records.targets[members]
        predictions[f"{name}_patients"] = records.patients[members].astype(np.int32)
    predictions["test_last_logits"] = answers.cpu().numpy().astype(np.float16)
    facts = json.dumps({"mean": scaler.mean, "deviation": scaler.deviation})
    write_tensors(folder / "weights.safetensors", _weights(model), {"scaler": facts})
    write_arrays(folder / "predictions.npz", predictions)
    history = pd.DataFrame(state.history)
    write_text(folder / "history.csv", history.to_csv(index=False, float_format="%.6g", lineterminator="\n"))
    spent = {"seconds": round(history["seconds"].sum(), 1), "train_records": len(split.train)}
    write_json(folder / "env.json", {**environment(device), **spent})
    write_json(folder / "metrics.json", evaluate(ClassifierRun(folder).predictions, state.best_epoch, state.epoch - 1))
    checkpoint.unlink(missing_ok=True)


def _weights(model: nn.Module) -> dict[str, Tensor]:
    return {name: tensor.detach().cpu().clone() for name, tensor in model.state_dict().items()}


def _parent(config: ClassifierConfig, folder: Path, weights: Literal["weights", "last"]) -> ClassifierRun:
    """The run that `config` goes on from.

    Raises:
        EcglibError: it is not there with its weights, or has another network.
    """
    there = is_finished(folder, weights=True) if weights == "weights" else (folder / "last.safetensors").exists()
    if not there:
        raise EcglibError(f"{folder.name} is not in {folder.parent} with its weights: train that run first.")
    parent = ClassifierRun(folder)
    if (parent.network, parent.leads, parent.pruned) != (config.network, list(config.leads), 0):
        raise EcglibError(f"{folder.name} is another network than {config.run_id}: go on from one that is the same.")
    return parent


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
        labels = training.binary_cross_entropy(batch, logits, targets)
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
    key = (folder, records.fingerprint, train.tobytes(), device)
    if key not in _KNOWN:
        x = torch.from_numpy(teacher.scaler(np.asarray(records.signals[train])[:, teacher.leads])).to(device)
        _KNOWN[key] = training.predict(teacher.model().to(device), x)
    return _KNOWN[key]
