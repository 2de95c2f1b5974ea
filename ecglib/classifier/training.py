"""Training R3's classifiers (report R3, section 3.1): settings, one epoch, answers.

R3's program tested the last epoch of the last fold. Here the epoch with the lowest validation loss is tested, and the
last one is reported beside it (`task.ClassifierConfig.train`).
"""

import math
from collections.abc import Callable
from dataclasses import dataclass
from typing import ClassVar, Literal

import numpy as np
import torch
from torch import Tensor, nn
from torch.nn import functional as F

from ecglib.core.config import Checked
from ecglib.core.precision import Precision

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
class Settings(Checked):
    """R3's settings (audit, 'Models')."""

    seed: int  # of weights, order of the data and dropout
    epochs: int = 50  # at most
    batch_size: int = 64
    optimizer: Literal["adam", "adadelta", "sgd", "rmsprop", "adagrad"] = "adam"
    learning_rate: float = 1e-3  # Adadelta's own default is 1
    patience: int = 5  # epochs without a lower validation loss before training stops
    precision: Precision = "float32"  # of hidden layers while they train

    LIMITS: ClassVar = {
        "epochs": (1, math.inf),
        "batch_size": (2, math.inf),  # BatchNorm needs two
        "learning_rate": (0, math.inf),
        "patience": (1, math.inf),
    }


def new_optimizer(settings: Settings, model: nn.Module) -> torch.optim.Optimizer:
    """The optimizer of the settings for all weights of a model."""
    return OPTIMIZERS[settings.optimizer](model.parameters(), lr=settings.learning_rate)


def binary_cross_entropy(batch: Tensor, logits: Tensor, targets: Tensor) -> Tensor:
    """Each class is a yes or no of its own (report R3, section 3.1)."""
    return F.binary_cross_entropy_with_logits(logits, targets)


def train_epoch(
    model: nn.Module,
    optimizer: torch.optim.Optimizer,
    x: Tensor,
    y: Tensor,
    batch_size: int,
    loss: Loss = binary_cross_entropy,
) -> float:
    """The mean loss of one pass over records x (N, L, T) with targets y (N, 5) in a random order."""
    model.train()
    losses: list[Tensor] = []  # read once an epoch, so that a GPU need not wait
    count = 0
    for batch in torch.randperm(len(x)).to(x.device).split(batch_size):
        if len(batch) < 2:
            continue  # BatchNorm cannot normalise over one record
        value = loss(batch, model(x[batch]), y[batch])
        optimizer.zero_grad()
        value.backward()
        optimizer.step()
        losses.append(value.detach() * len(batch))
        count += len(batch)
    return torch.stack(losses).double().sum().item() / count


@torch.no_grad()
def predict(model: nn.Module, x: Tensor, batch_size: int = 256) -> Tensor:
    """Logits (N, 5) of records x (N, L, T) in evaluation mode."""
    model.eval()
    return torch.cat([model(part) for part in x.split(batch_size)])


def probabilities(logits: np.ndarray) -> np.ndarray:
    """The sigmoid of logits (N, 5)."""
    return 1 / (1 + np.exp(-logits.astype(np.float64)))
