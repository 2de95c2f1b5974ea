"""SimCLR alone (Chen et al. 2020; report R2, section 3.3.2.1): a base encoder that learns from contrast only.

It shows whether contrast detects anything by itself. Batches of at least `large_batch` beats are trained with LARS,
which R2 names (here without SimCLR's warm-up and decay of the learning rate), and smaller ones, such as those of all
profiles, with Adam.
"""

import math
from dataclasses import KW_ONLY, dataclass
from functools import partial
from pathlib import Path
from typing import ClassVar

import torch
from torch import Tensor, nn
from torch.optim.swa_utils import update_bn

from ecglib.beatgan.task import BeatsConfig
from ecglib.core.config import Checked, digest
from ecglib.core.cuda_graph import Repeated, Row
from ecglib.core.errors import EcglibError
from ecglib.core.extras import need
from ecglib.core.precision import Precision
from ecglib.core.seeds import seed_everything
from ecglib.data.augment import Views, random_view
from ecglib.data.mitbih import WINDOW, Beats
from ecglib.runs.formats import read_tensors
from ecglib.runs.loop import Loop, copied
from ecglib.runs.obtain import Clock, Result
from ecglib.runs.store import StoredRun
from ecglib.simclr.losses import nt_xent
from ecglib.simclr.networks import BaseEncoder, ProjectionHead


@dataclass(frozen=True)
class Settings(Checked):
    """How an encoder is trained."""

    seed: int  # of weights, order of data and views
    epochs: int = 100
    batch_size: int = 64
    learning_rate: float = 1e-3  # of Adam
    large_batch: int = 1024  # from this batch size on, LARS with SimCLR's learning rate 0.3 x batch / 256
    precision: Precision = "float32"  # of hidden layers while they train

    LIMITS: ClassVar = {
        "epochs": (1, math.inf),
        "batch_size": (2, math.inf),  # two beats to tell apart
        "learning_rate": (0, math.inf),
    }


@dataclass(frozen=True)
class EncoderConfig(BeatsConfig):
    """Everything that decides an encoder; equal configs are one run."""

    training: Settings
    _: KW_ONLY
    temperature: float = 0.1  # tau of NT-Xent
    hidden: int = 256  # units of the projection head's hidden layer
    outputs: int = 64  # of the projection head
    views: Views = Views()

    @property
    def run_id(self) -> str:
        """The name of the run's folder: readable, and unique to the config."""
        return f"simclr-{self.split}-seed{self.training.seed}-{digest(self)}"

    parents: ClassVar[tuple[str, ...]] = ()

    def run(self, store: Path) -> "EncoderRun":
        """The run in `store`, finished or not."""
        return EncoderRun(store / self.run_id)

    def untrained(self) -> BaseEncoder:
        """The encoder before training, in evaluation mode on the CPU. Random numbers start from the seed."""
        seed_everything(self.training.seed)
        return BaseEncoder(len(self.leads), self.width).eval()

    def normalising(self, beats: Beats) -> BaseEncoder:
        """The control of the trained encoder: initial weights, with BatchNorm statistics from views of its beats.

        Random numbers start from the seed.
        """
        encoder = self.untrained()
        x = self.x(beats, self.choose(beats).train)
        views = (random_view(part, self.views) for part in x.split(self.training.batch_size))
        update_bn(views, encoder.train())
        return encoder.eval()

    def train(self, beats: Beats, loop: Loop) -> Result:
        """Train until all epochs are done.

        Raises:
            EcglibError: the beats do not fill one batch or are not those of the config, or training diverged.
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
        repeated = Repeated(partial(step, self, model, optimizer=optimizer), [model, optimizer])
        for epoch in loop.epochs():
            order = torch.randperm(len(x))[: steps * settings.batch_size].to(loop.device)
            with loop.reduced():
                rows = [repeated(x[batch]) for batch in order.split(settings.batch_size)]
            total = torch.stack([row["loss"] for row in rows]).double().sum().item()
            if not math.isfinite(total):
                raise EcglibError(f"Contrastive training diverged in epoch {epoch}: lower the learning rate.")
            loop.record(loss=total / steps)
        last = {"train": {"loss": loop.history[-1]["loss"]}}
        return Result({"encoder": (copied(encoder), None)}, {}, lambda _: last)

    def seconds_per_epoch(self, beats: Beats, device: torch.device, clock: Clock) -> float:
        """An estimate, timed on one batch of noise."""
        encoder = self.untrained()
        model = nn.Sequential(encoder, ProjectionHead(encoder.size, self.hidden, self.outputs)).to(device).train()
        x = 2 * torch.rand(self.training.batch_size, len(self.leads), WINDOW, device=device) - 1
        optimizer = new_optimizer(self.training, model)
        return clock(lambda: step(self, model, x, optimizer)) * len(self.choose(beats).train) / len(x)


def new_optimizer(settings: Settings, model: nn.Module) -> torch.optim.Optimizer:
    """Adam, or LARS for a large batch.

    Raises:
        EcglibError: LARS is needed, but pytorch_optimizer is not installed.
    """
    batch = settings.batch_size
    if batch < settings.large_batch:
        weights = list(model.parameters())
        return torch.optim.Adam(weights, settings.learning_rate, fused=True, capturable=weights[0].is_cuda)
    return need("pytorch_optimizer", "large-batch").LARS(model.parameters(), lr=0.3 * batch / 256, weight_decay=1e-6)


def step(config: EncoderConfig, model: nn.Module, x: Tensor, optimizer: torch.optim.Optimizer) -> Row:
    """One training step of `model`, encoder and projection head, on a batch x (B, C, 320) in [-1, 1]; its loss."""
    value = nt_xent(model(random_view(x, config.views)), model(random_view(x, config.views)), config.temperature)
    optimizer.zero_grad()
    value.backward()
    optimizer.step()
    return {"loss": value.detach()}


class EncoderRun(StoredRun):
    """A finished encoder; its only metric is the loss of the last epoch."""

    WEIGHTS = ("encoder",)

    def encoder(self) -> BaseEncoder:
        """The trained encoder in evaluation mode on the CPU, from its weights or else from the published ones.

        Raises:
            EcglibError: the store has no weights of this run, or they are damaged.
        """
        encoder = BaseEncoder(len(self.config.get("leads", (0,))), self.config.get("width", 1.0))
        encoder.load_state_dict(read_tensors(self.weights_file()))
        return encoder.eval()


@torch.no_grad()
def embed(encoder: nn.Module, x: Tensor) -> Tensor:
    """Embeddings h (N, d) of beats x (N, C, 320) on the encoder's device; its mode is left as it is."""
    return torch.cat([encoder(part) for part in x.split(256)])
