"""Training R3's classifiers (report R3, section 3.1): settings, one epoch, answers.

R3's program tested the last epoch of the last fold. Here the epoch with the lowest validation loss is tested, and the
last one is reported beside it (`task.ClassifierConfig.train`).

What R3 did not have, and the arms of `arms.recipe_arms` do: a learning rate that rises and falls once (Smith and Topin
2019), random windows of records (Strodthoff et al. 2021), mixed records (mixup, Zhang et al. 2018), averaged weights.
"""

import math
from collections.abc import Callable
from dataclasses import dataclass, field
from typing import ClassVar, Literal

import numpy as np
import torch
from scipy.special import expit
from torch import Tensor, nn
from torch.nn import functional as F
from torch.optim.lr_scheduler import OneCycleLR
from torch.optim.swa_utils import AveragedModel, get_ema_multi_avg_fn

from ecglib.core.config import Checked
from ecglib.core.errors import EcglibError
from ecglib.core.precision import Precision
from ecglib.data.ptbxl import SAMPLES

# The loss of a batch: (positions in the training set, logits, targets) -> scalar. A teacher is asked by position.
Loss = Callable[[Tensor, Tensor, Tensor], Tensor]
OPTIMIZERS: dict[str, Callable[..., torch.optim.Optimizer]] = {
    "adam": torch.optim.Adam,
    "adadelta": torch.optim.Adadelta,
    "sgd": torch.optim.SGD,
    "rmsprop": torch.optim.RMSprop,
    "adamw": torch.optim.AdamW,  # with torch's weight decay of 0.01
}
RISING = 0.2  # share of a training in which a "one cycle" learning rate rises
SHORTEST = 200  # samples of a window


@dataclass(frozen=True)
class Settings(Checked):
    """R3's settings (section 3.1 and its program), and what its training did not have."""

    seed: int  # of weights, order of the data and dropout
    epochs: int = 50  # at most
    batch_size: int = 64
    optimizer: Literal["adam", "adadelta", "sgd", "rmsprop", "adamw"] = "adam"
    learning_rate: float = 1e-3  # Adadelta's own default is 1
    patience: int = 5  # epochs without a lower validation loss before training stops
    precision: Precision = "float32"  # of hidden layers while they train
    schedule: Literal["constant", "one cycle"] = "constant"  # of the learning rate, whose highest value is given above
    # Samples of the random window of each record that an epoch trains on; 0 is the whole record. Whole records are what
    # the network is validated and tested on, and what teachers are asked about.
    window: int = 0
    mixup: float = field(
        default=0.0, metadata={"key": "mixed"}
    )  # alpha of its Beta distribution; 0: records stay apart
    # How much of a moving average of the weights is kept at each step, which then is validated and tested; 0: there is
    # none, and the weights themselves are.
    ema_decay: float = field(default=0.0, metadata={"key": "averaged"})

    LIMITS: ClassVar = {
        "epochs": (1, math.inf),
        "batch_size": (2, math.inf),  # BatchNorm needs two
        "learning_rate": (0, math.inf),
        "patience": (1, math.inf),
        "window": (0, SAMPLES),
        "mixup": (0, 100),
        "ema_decay": (0, 0.9999),
    }

    def __post_init__(self) -> None:
        super().__post_init__()
        if 0 < self.window < SHORTEST:
            raise EcglibError(f"window={self.window}: 0, or at least {SHORTEST} samples, which hold a whole beat.")


def new_optimizer(settings: Settings, model: nn.Module) -> torch.optim.Optimizer:
    """The optimizer of the settings for all weights of a model."""
    return OPTIMIZERS[settings.optimizer](model.parameters(), lr=settings.learning_rate)


def new_schedule(settings: Settings, optimizer: torch.optim.Optimizer, records: int) -> OneCycleLR | None:
    """What moves the learning rate after every step of a training on `records` records; None: it stays.

    Raises:
        EcglibError: the training has too few steps to rise and to fall.
    """
    if settings.schedule == "constant":
        return None
    whole, rest = divmod(records, settings.batch_size)
    steps = settings.epochs * (whole + (rest > 1))  # `train_epoch` leaves out a batch of one record
    if steps * RISING <= 1:
        raise EcglibError(f"One cycle needs more than {steps} steps: train for more epochs or with smaller batches.")
    return OneCycleLR(optimizer, settings.learning_rate, total_steps=steps, pct_start=RISING, cycle_momentum=False)


def new_average(settings: Settings, model: nn.Module) -> AveragedModel | None:
    """The moving average of a model's weights and statistics; None: there is none."""
    if not settings.ema_decay:
        return None
    return AveragedModel(model, multi_avg_fn=get_ema_multi_avg_fn(settings.ema_decay), use_buffers=True)


def binary_cross_entropy(batch: Tensor, logits: Tensor, targets: Tensor) -> Tensor:
    """Each class is a yes or no of its own (report R3, section 3.1)."""
    return F.binary_cross_entropy_with_logits(logits, targets)


def train_epoch(
    model: nn.Module,
    optimizer: torch.optim.Optimizer,
    x: Tensor,
    y: Tensor,
    settings: Settings,
    loss: Loss = binary_cross_entropy,
    after_step: Callable[[], object] = lambda: None,
) -> float:
    """The mean loss of one pass over records x (N, L, T) with targets y (N, 5) in a random order."""
    model.train()
    losses: list[Tensor] = []  # read once an epoch, so that a GPU need not wait
    count = 0
    for batch in torch.randperm(len(x)).to(x.device).split(settings.batch_size):
        if len(batch) < 2:
            continue  # BatchNorm cannot normalise over one record
        seen = windows(x[batch], settings.window) if settings.window else x[batch]
        if settings.mixup:
            # The losses are linear in the targets (a divergence up to a constant), so mixing them is mixing targets.
            share, other = _mixing(settings.mixup, len(batch))
            logits = model(share * seen + (1 - share) * seen[other])
            mixed_in = batch[other]
            value = share * loss(batch, logits, y[batch]) + (1 - share) * loss(mixed_in, logits, y[mixed_in])
        else:
            value = loss(batch, model(seen), y[batch])
        optimizer.zero_grad()
        value.backward()
        optimizer.step()
        after_step()
        losses.append(value.detach() * len(batch))
        count += len(batch)
    return torch.stack(losses).double().sum().item() / count


def windows(x: Tensor, samples: int) -> Tensor:
    """A random window (B, L, samples) of each record x (B, L, T), all leads at once."""
    starts = torch.randint(0, x.shape[2] - samples + 1, (len(x), 1)).to(x.device)
    places = starts + torch.arange(samples, device=x.device)
    return x.gather(2, places[:, None].expand(-1, x.shape[1], -1))


def _mixing(alpha: float, size: int) -> tuple[float, Tensor]:
    """The share of each record that is kept, one for the batch, and with which other one (B,) it is mixed."""
    share = torch.distributions.Beta(alpha, alpha).sample().item()
    return share, torch.randperm(size)


@torch.no_grad()
def predict(model: nn.Module, x: Tensor, batch_size: int = 256) -> Tensor:
    """Logits (N, 5) of records x (N, L, T) in evaluation mode."""
    model.eval()
    return torch.cat([model(part) for part in x.split(batch_size)])


def probabilities(logits: np.ndarray) -> np.ndarray:
    """The sigmoid of logits (N, 5)."""
    return expit(logits.astype(np.float64))
