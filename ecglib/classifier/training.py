"""Training R3's classifiers (report R3, section 3.1): one flat loop, early stopping, the best weights restored.

R3's program tested the last epoch of the last fold. Here the epoch with the lowest validation loss is tested, and what
the last one would have given stands beside it.
"""

import copy
import math
import time
from collections.abc import Callable
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import numpy as np
import torch
from torch import Tensor, nn
from torch.nn import functional as F

from ecglib.core.errors import EcglibError
from ecglib.core.seeds import seed_everything
from ecglib.runs import snapshot
from ecglib.stats import multilabel

# The loss of a batch: (positions in the training set, logits, targets) -> scalar. A teacher is asked by position.
Loss = Callable[[Tensor, Tensor, Tensor], Tensor]
OPTIMIZERS: dict[str, Callable[..., torch.optim.Optimizer]] = {
    "adam": torch.optim.Adam,
    "adadelta": torch.optim.Adadelta,
    "sgd": torch.optim.SGD,
    "rmsprop": torch.optim.RMSprop,
    "adagrad": torch.optim.Adagrad,
}


@dataclass(frozen=True)
class Settings:
    """R3's settings (audit, 'Models').

    Attributes:
        seed: of weights, order of data and dropout.
        epochs: at most.
        batch_size: records.
        optimizer: a key of `OPTIMIZERS`.
        learning_rate: of the optimizer; Adadelta's own default is 1.
        patience: epochs without a lower validation loss before training stops.
    """

    seed: int
    epochs: int = 50
    batch_size: int = 64
    optimizer: str = "adam"
    learning_rate: float = 1e-3
    patience: int = 5

    def __post_init__(self) -> None:
        if self.optimizer not in OPTIMIZERS:
            raise EcglibError(f"There is no optimizer {self.optimizer!r}: choose one of {', '.join(OPTIMIZERS)}.")
        if self.epochs < 1 or self.batch_size < 2:
            raise EcglibError(
                f"epochs={self.epochs}, batch_size={self.batch_size}: at least 1 epoch, and 2 records for BatchNorm."
            )


@dataclass
class Training:
    """A training under way.

    Attributes:
        model: gives logits.
        optimizer: of its weights.
        epoch: number of finished ones.
        history: a row an epoch.
        best: weights and statistics of the epoch with the lowest validation loss.
        best_loss: that loss.
        best_epoch: that epoch.
    """

    model: nn.Module
    optimizer: torch.optim.Optimizer
    epoch: int = 0
    history: list[dict[str, Any]] = field(default_factory=list)
    best: dict[str, Tensor] = field(default_factory=dict)
    best_loss: float = math.inf
    best_epoch: int = -1


def new_training(settings: Settings, model: nn.Module) -> Training:
    """A training at its start; the model keeps the weights it has."""
    optimizer = OPTIMIZERS[settings.optimizer](model.parameters(), lr=settings.learning_rate)
    return Training(model, optimizer)


def binary_cross_entropy(batch: Tensor, logits: Tensor, targets: Tensor) -> Tensor:
    """Each class is a yes or no of its own (report R3, section 3.1)."""
    return F.binary_cross_entropy_with_logits(logits, targets)


def fit(
    training: Training,
    train: tuple[Tensor, Tensor],
    validation: tuple[Tensor, Tensor],
    settings: Settings,
    loss: Loss = binary_cross_entropy,
    checkpoint: Path | None = None,
    progress: Callable[[dict[str, Any]], None] = lambda row: None,
) -> Training:
    """Train until the validation loss has not fallen for `patience` epochs, from wherever `training` is.

    Args:
        training: a new one; it goes on from `checkpoint` where that is.
        train: records (N, L, T) and targets (N, 5), on the device of the model.
        validation: likewise; early stopping looks at their binary cross-entropy, whatever `loss` is.
        settings: the order of the data depends on the seed and the epoch alone.
        loss: of a batch.
        checkpoint: where the training is kept after every epoch.
        progress: called with each epoch's row.

    Raises:
        EcglibError: no record to train on, training diverged, or the checkpoint is damaged.
    """
    x, y = train
    if len(x) < 2:
        raise EcglibError(f"{len(x)} training records are too few: BatchNorm needs two.")
    if checkpoint is not None and checkpoint.exists():
        with snapshot.reading(checkpoint):
            _unpack(training, *snapshot.read(checkpoint))
    for epoch in range(training.epoch, settings.epochs):
        if epoch - training.best_epoch > settings.patience:
            break
        started = time.perf_counter()
        seed_everything(settings.seed, epoch + 1)
        training.model.train()
        total, count = 0.0, 0
        for batch in torch.randperm(len(x)).to(x.device).split(settings.batch_size):
            if len(batch) < 2:
                continue  # BatchNorm cannot normalise over one record
            value = loss(batch, training.model(x[batch]), y[batch])
            training.optimizer.zero_grad()
            value.backward()
            training.optimizer.step()
            total, count = total + value.item() * len(batch), count + len(batch)
        logits = predict(training.model, validation[0])
        validation_loss = F.binary_cross_entropy_with_logits(logits, validation[1]).item()
        if not math.isfinite(total + validation_loss):
            raise EcglibError(f"Training diverged in epoch {epoch}: lower the learning rate or change the seed.")
        if validation_loss < training.best_loss:
            training.best_loss, training.best_epoch = validation_loss, epoch
            training.best = copy.deepcopy(training.model.state_dict())
        found = multilabel.class_metrics(validation[1].cpu().numpy(), logits.cpu().numpy())
        row = {"epoch": epoch, "loss": total / count, "validation_loss": validation_loss, "auc": found["auc"]}
        training.history.append(row | {"seconds": time.perf_counter() - started})
        training.epoch = epoch + 1
        if checkpoint is not None:
            snapshot.write(checkpoint, *_pack(training))
        progress(training.history[-1])
    return training


@torch.no_grad()
def predict(model: nn.Module, x: Tensor, batch_size: int = 256) -> Tensor:
    """Logits (N, 5) of records x (N, L, T) in evaluation mode."""
    model.eval()
    return torch.cat([model(part) for part in x.split(batch_size)])


def probabilities(logits: np.ndarray) -> np.ndarray:
    """The sigmoid of logits (N, 5)."""
    return 1 / (1 + np.exp(-logits.astype(np.float64)))


def _pack(training: Training) -> tuple[snapshot.Tensors, dict[str, Any]]:
    tensors = snapshot.pack_parts([("model", training.model, training.optimizer)])
    tensors |= {f"best.{name}": tensor for name, tensor in training.best.items()}
    names = ("epoch", "history", "best_loss", "best_epoch")
    return tensors, {name: getattr(training, name) for name in names}


def _unpack(training: Training, tensors: snapshot.Tensors, facts: dict[str, Any]) -> None:
    snapshot.unpack_parts([("model", training.model, training.optimizer)], tensors)
    training.best = {name[5:]: tensor for name, tensor in tensors.items() if name.startswith("best.")}
    for name, value in facts.items():
        setattr(training, name, value)
