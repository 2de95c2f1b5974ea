"""SimCLR alone (Chen et al. 2020; report R2, section 3.3.2.1): a base encoder trained by contrast and by nothing else.

It shows whether the contrastive part detects anything by itself. The large-batch setting that R2 describes (LARS) is
used from `large_batch` beats on; a laptop stays below and uses Adam.
"""

import math
from dataclasses import KW_ONLY, dataclass
from pathlib import Path
from typing import ClassVar

import torch
from torch import Tensor, nn
from torch.optim.swa_utils import update_bn

from ecglib.beatgan.task import BeatsConfig
from ecglib.core.config import Checked, digest
from ecglib.core.errors import EcglibError
from ecglib.core.seeds import seed_everything
from ecglib.data.augment import Views, random_view
from ecglib.data.mitbih import Beats
from ecglib.runs.loop import Loop, copied
from ecglib.runs.obtain import Result
from ecglib.runs.store import StoredRun, read_tensors
from ecglib.simclr.losses import nt_xent
from ecglib.simclr.networks import BaseEncoder, ProjectionHead


@dataclass(frozen=True)
class Settings(Checked):
    """How an encoder is trained.

    Attributes:
        seed: of weights, order of data and views.
        epochs: how many.
        batch_size: beats.
        learning_rate: of Adam.
        large_batch: from this batch size on LARS is used, with SimCLR's learning rate of 0.3 x batch / 256.
    """

    seed: int
    epochs: int = 100
    batch_size: int = 64
    learning_rate: float = 1e-3
    large_batch: int = 1024


@dataclass(frozen=True)
class EncoderConfig(BeatsConfig):
    """Everything that decides an encoder.

    Attributes:
        training: the settings, the seed among them.
        temperature: tau of NT-Xent.
        hidden: units of the projection head's hidden layer.
        outputs: numbers in which views are compared.
        views: the ranges of the augmentations.
    """

    training: Settings
    _: KW_ONLY
    temperature: float = 0.1
    hidden: int = 256
    outputs: int = 64
    views: Views = Views()

    @property
    def run_id(self) -> str:
        """The run's folder name: readable, and different for every other config."""
        return f"simclr-{self.split}-seed{self.training.seed}-{digest(self)}"

    parents: ClassVar[tuple[str, ...]] = ()

    def run(self, store: Path) -> "EncoderRun":
        """The run in a store, finished or not."""
        return EncoderRun(store / self.run_id)

    def untrained(self) -> BaseEncoder:
        """The encoder that training starts from, in evaluation mode, on the CPU."""
        seed_everything(self.training.seed)
        return BaseEncoder(len(self.leads), self.width).eval()

    def normalising(self, beats: Beats) -> BaseEncoder:
        """The control of a trained encoder: weights that never learned, BatchNorm that has seen views of its beats."""
        encoder = self.untrained()
        x = self.x(beats, self.choose(beats).train)
        views = (random_view(part, self.views) for part in x.split(self.training.batch_size))
        update_bn(views, encoder.train())
        return encoder.eval()

    def train(self, beats: Beats, loop: Loop) -> Result:
        """Train until all epochs are done.

        Raises:
            EcglibError: there is no full batch to train on, or the loss is no longer finite; or as `choose`.
        """
        settings = self.training
        x = self.x(beats, self.choose(beats).train).to(loop.device)
        steps = len(x) // settings.batch_size
        if steps == 0:
            raise EcglibError(
                f"{len(x)} training beats do not fill one batch of {settings.batch_size}: use more beats."
            )
        encoder = self.untrained()
        head = ProjectionHead(encoder.size, self.hidden, self.outputs)
        model = nn.Sequential(encoder, head).to(loop.device).train()
        optimizer = new_optimizer(settings, model)
        loop.restore(model=model, optimizer=optimizer)
        for epoch in loop.epochs():
            order = torch.randperm(len(x))[: steps * settings.batch_size].to(loop.device)
            total = sum(step(self, model, x[batch], optimizer) for batch in order.split(settings.batch_size))
            if not math.isfinite(total):
                raise EcglibError(f"Contrastive training diverged in epoch {epoch}: lower the learning rate.")
            loop.record(loss=total / steps)
        last = {"train": {"loss": loop.history[-1]["loss"]}}
        return Result({"encoder": (copied(encoder), None)}, {}, lambda _: last)


def new_optimizer(settings: Settings, model: nn.Module) -> torch.optim.Optimizer:
    """Adam, or LARS for a large batch.

    Raises:
        EcglibError: the batch is large and pytorch_optimizer, which has LARS, is not installed.
    """
    batch = settings.batch_size
    if batch < settings.large_batch:
        return torch.optim.Adam(model.parameters(), settings.learning_rate, fused=True)
    try:
        from pytorch_optimizer import LARS  # here: an extra that large batches alone need
    except ImportError as error:
        raise EcglibError(
            f"A batch of {batch} beats is trained with LARS: pip install -c constraints.txt -e '.[large-batch]'."
        ) from error
    return LARS(model.parameters(), lr=0.3 * batch / 256, weight_decay=1e-6)


def step(config: EncoderConfig, model: nn.Module, x: Tensor, optimizer: torch.optim.Optimizer) -> float:
    """One step of training on a batch x (B, C, 320) in [-1, 1], and its loss.

    Args:
        config: has tau and the ranges of the views.
        model: encoder and projection head; two views of each beat go through it.
        x: on the model's device.
        optimizer: of the model's weights.
    """
    value = nt_xent(model(random_view(x, config.views)), model(random_view(x, config.views)), config.temperature)
    optimizer.zero_grad()
    value.backward()
    optimizer.step()
    return value.item()


class EncoderRun(StoredRun):
    """A finished encoder; its metric is the loss of the last epoch."""

    WEIGHTS = ("encoder",)

    def encoder(self) -> BaseEncoder:
        """The trained encoder in evaluation mode, on the CPU.

        Raises:
            EcglibError: the store came without weights, or they are damaged.
        """
        encoder = BaseEncoder(len(self.config.get("leads", (0,))), self.config.get("width", 1.0))
        encoder.load_state_dict(read_tensors(self.folder / "encoder.safetensors"))
        return encoder.eval()


@torch.no_grad()
def embed(encoder: nn.Module, x: Tensor, batch_size: int = 256) -> Tensor:
    """Embeddings h (N, d) of beats x (N, C, 320), in whatever mode and on whatever device the encoder is."""
    return torch.cat([encoder(part) for part in x.split(batch_size)])
