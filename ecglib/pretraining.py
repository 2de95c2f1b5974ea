"""SimCLR alone (Chen et al. 2020; report R2, section 3.3.2.1): a base encoder trained by contrast and by nothing else.

It shows whether the contrastive part detects anything by itself. The large-batch setting that R2 describes (LARS,
BatchNorm over all devices) is used from `large_batch` beats on; a laptop stays below and uses Adam.
"""

import json
import math
import time
from collections.abc import Callable
from dataclasses import dataclass
from hashlib import sha256
from pathlib import Path

import pandas as pd
import torch
from safetensors.torch import load_file, save_file
from torch import Tensor, distributed, nn

from ecglib import snapshot
from ecglib.data.augment import random_view
from ecglib.data.mitbih import Beats
from ecglib.errors import EcglibError
from ecglib.experiments import BeatGANConfig, differences
from ecglib.files import atomic_path, sole_process, write_json, write_text
from ecglib.losses import NTXent
from ecglib.models.simclr import BaseEncoder, ProjectionHead
from ecglib.reproducibility import choose_device, environment, seed_everything


@dataclass(frozen=True)
class SimCLRConfig:
    """Everything that decides an encoder.

    Attributes:
        beats: data, split, leads, width, batch size, epochs and seed, as of a BeatGAN; its losses play no part.
        temperature: tau of NT-Xent.
        hidden: units of the projection head's hidden layer.
        outputs: numbers in which views are compared.
        learning_rate: of Adam.
        large_batch: from this batch size on LARS and synchronised BatchNorm are used.
    """

    beats: BeatGANConfig
    temperature: float = 0.1
    hidden: int = 256
    outputs: int = 64
    learning_rate: float = 1e-3
    large_batch: int = 1024

    @property
    def run_id(self) -> str:
        """The folder's name."""
        digest = sha256(json.dumps(differences(self), sort_keys=True).encode()).hexdigest()
        return f"simclr-{self.beats.split}-seed{self.beats.training.seed}-{digest[:10]}"


def new_optimizer(config: SimCLRConfig, model: nn.Module) -> torch.optim.Optimizer:
    """Adam, or LARS with SimCLR's learning rate of 0.3 x batch / 256 for a large batch.

    Raises:
        EcglibError: the batch is large and pytorch_optimizer, which has LARS, is not installed.
    """
    batch = config.beats.training.batch_size
    if batch < config.large_batch:
        return torch.optim.Adam(model.parameters(), config.learning_rate, fused=True)
    try:
        from pytorch_optimizer import LARS  # here: an extra that large batches alone need
    except ImportError as error:
        raise EcglibError(
            f"A batch of {batch} beats is trained with LARS: pip install -c constraints.txt -e '.[large-batch]'."
        ) from error
    return LARS(model.parameters(), lr=0.3 * batch / 256, weight_decay=1e-6)


def synchronised(config: SimCLRConfig, model: nn.Module) -> nn.Module:
    """The model, with BatchNorm over all processes where they train one large batch together."""
    together = distributed.is_available() and distributed.is_initialized() and distributed.get_world_size() > 1
    large = config.beats.training.batch_size >= config.large_batch
    return nn.SyncBatchNorm.convert_sync_batchnorm(model) if together and large else model


def train_encoder(
    config: SimCLRConfig,
    beats: Beats,
    store: Path,
    device: str = "auto",
    progress: Callable[[int, float], None] = lambda epoch, loss: None,
) -> BaseEncoder:
    """The encoder of `config` in evaluation mode, on the CPU: from the store, or trained on its normal beats.

    Args:
        config: what to train.
        beats: the beats that it was made for.
        store: the folder of all runs.
        device: "auto", "cpu" or "cuda".
        progress: called with each epoch's number and mean loss.

    Raises:
        EcglibError: there is no full batch to train on, or the loss is no longer finite.
    """
    encoder, path = untrained_encoder(config), store / config.run_id / "encoder.safetensors"
    if not path.exists():
        with sole_process(store, config.run_id):
            if not path.exists():  # the other process may have finished in between
                _train(config, beats, path.parent, choose_device(device), progress)
    encoder.load_state_dict(load_file(path))
    return encoder


def untrained_encoder(config: SimCLRConfig) -> BaseEncoder:
    """The encoder that training starts from, in evaluation mode, on the CPU."""
    seed_everything(config.beats.training.seed)
    return BaseEncoder(len(config.beats.leads), config.beats.width).eval()


def _train(
    config: SimCLRConfig, beats: Beats, folder: Path, device: torch.device, progress: Callable[[int, float], None]
) -> None:
    settings = config.beats.training
    x = config.beats.x(beats, config.beats.choose(beats).train).to(device)
    steps = len(x) // settings.batch_size
    if steps == 0:
        raise EcglibError(f"{len(x)} training beats do not fill one batch of {settings.batch_size}: use more beats.")
    write_json(folder / "config.json", differences(config))
    encoder = untrained_encoder(config)
    head = ProjectionHead(encoder.size, config.hidden, config.outputs)
    model = synchronised(config, nn.Sequential(encoder, head)).to(device).train()
    optimizer, loss = new_optimizer(config, model), NTXent(config.temperature)
    checkpoint, parts = folder / "checkpoint.safetensors", [("model", model, optimizer)]
    history: list[dict[str, float]] = []
    if checkpoint.exists():
        with snapshot.reading(checkpoint):
            tensors, facts = snapshot.read(checkpoint)
            snapshot.unpack_parts(parts, tensors)
        history = facts["history"]
    for epoch in range(len(history), settings.epochs):
        started = time.perf_counter()
        seed_everything(settings.seed, epoch + 1)
        total = 0.0
        for batch in torch.randperm(len(x))[: steps * settings.batch_size].to(device).split(settings.batch_size):
            value = loss(model(random_view(x[batch])), model(random_view(x[batch])))
            optimizer.zero_grad()
            value.backward()
            optimizer.step()
            total += value.item()
        if not math.isfinite(total):
            raise EcglibError(f"Contrastive training diverged in epoch {epoch}: lower the learning rate.")
        history.append({"loss": total / steps, "seconds": round(time.perf_counter() - started, 2)})
        snapshot.write(checkpoint, snapshot.pack_parts(parts), {"history": history})
        progress(epoch, history[-1]["loss"])
    write_text(folder / "history.csv", pd.DataFrame(history).to_csv(index_label="epoch", lineterminator="\n"))
    write_json(folder / "env.json", environment(device))
    with atomic_path(folder / "encoder.safetensors") as temporary:
        save_file({name: tensor.detach().cpu() for name, tensor in encoder.state_dict().items()}, temporary)
    checkpoint.unlink(missing_ok=True)


@torch.no_grad()
def embed(encoder: nn.Module, x: Tensor, batch_size: int = 256) -> Tensor:
    """Embeddings h (N, d) of beats x (N, C, 320), in whatever mode and on whatever device the encoder is."""
    return torch.cat([encoder(part) for part in x.split(batch_size)])
