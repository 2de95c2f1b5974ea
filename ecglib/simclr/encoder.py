"""SimCLR alone (Chen et al. 2020; report R2, section 3.3.2.1): a base encoder trained by contrast and by nothing else.

It shows whether the contrastive part detects anything by itself. The large-batch setting that R2 describes (LARS,
BatchNorm over all devices) is used from `large_batch` beats on; a laptop stays below and uses Adam.
"""

import math
import time
from collections.abc import Callable, Iterator
from contextlib import ExitStack, contextmanager
from dataclasses import dataclass
from pathlib import Path

import pandas as pd
import torch
from torch import Tensor, distributed, nn
from torch.optim.swa_utils import update_bn

from ecglib.beatgan.experiments import BeatGANConfig
from ecglib.core.device import choose_device, environment
from ecglib.core.errors import EcglibError
from ecglib.core.files import sole_process, write_json, write_text
from ecglib.core.seeds import seed_everything
from ecglib.data.augment import random_view
from ecglib.data.mitbih import Beats
from ecglib.runs import snapshot
from ecglib.runs.store import differences, digest, read_tensors, write_tensors
from ecglib.simclr.losses import NTXent
from ecglib.simclr.networks import BaseEncoder, ProjectionHead


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
        return f"simclr-{self.beats.split}-seed{self.beats.training.seed}-{digest(self)}"


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


def synchronised(config: SimCLRConfig, model: nn.Module, device: torch.device) -> nn.Module:
    """The model, with BatchNorm over all processes where they train one large batch together.

    Raises:
        EcglibError: they would, but not on GPUs, which is where torch can.
    """
    batch = config.beats.training.batch_size
    if processes()[1] == 1 or batch < config.large_batch:
        return model
    if device.type != "cuda":
        raise EcglibError(
            f"Processes that share a batch of {batch} beats synchronise BatchNorm, which needs a GPU each: run one "
            f"process, or batches below {config.large_batch}."
        )
    return nn.SyncBatchNorm.convert_sync_batchnorm(model)


def processes() -> tuple[int, int]:
    """This process's rank and how many there are: (0, 1) unless torch.distributed runs."""
    if not (distributed.is_available() and distributed.is_initialized()):
        return 0, 1
    return distributed.get_rank(), distributed.get_world_size()


def average_gradients(model: nn.Module, count: int) -> None:
    """Replace every gradient by its mean over the `count` processes."""
    for parameter in model.parameters():
        if count > 1 and parameter.grad is not None:
            distributed.all_reduce(parameter.grad)
            parameter.grad /= count


def train_encoder(
    config: SimCLRConfig,
    beats: Beats,
    store: Path,
    device: str = "auto",
    progress: Callable[[int, float], None] = lambda epoch, loss: None,
) -> BaseEncoder:
    """The encoder of `config` in evaluation mode, on the CPU: from the store, or trained on its normal beats.

    Where torch.distributed runs (torchrun), every process calls this; each takes its share of every batch, and the
    first one writes.

    Args:
        config: what to train.
        beats: the beats that it was made for.
        store: the folder of all runs.
        device: "auto", "cpu" or "cuda".
        progress: called with each epoch's number and mean loss.

    Raises:
        EcglibError: another process trains this encoder, there is no full batch to train on, processes cannot share a
            batch evenly, or the loss is no longer finite.
    """
    encoder, path = untrained_encoder(config), store / config.run_id / "encoder.safetensors"
    if not path.exists():
        with _first_holds_lock(store, config.run_id):
            if not path.exists():  # the other process may have finished in between
                _train(config, beats, path.parent, choose_device(device), progress)
        if processes()[1] > 1:
            distributed.barrier()  # until the first process has written
    encoder.load_state_dict(read_tensors(path))
    return encoder


@contextmanager
def _first_holds_lock(store: Path, run_id: str) -> Iterator[None]:
    """`sole_process` for a group of processes: the first one takes the lock, and if it cannot, none goes on."""
    rank, count = processes()
    with ExitStack() as stack:
        refused: list[str] = [""]
        if rank == 0:
            try:
                stack.enter_context(sole_process(store, run_id))
            except EcglibError as error:
                refused = [str(error)]
        if count > 1:
            distributed.broadcast_object_list(refused)
        if refused[0]:
            raise EcglibError(refused[0])
        yield


def untrained_encoder(config: SimCLRConfig) -> BaseEncoder:
    """The encoder that training starts from, in evaluation mode, on the CPU."""
    seed_everything(config.beats.training.seed)
    return BaseEncoder(len(config.beats.leads), config.beats.width).eval()


def normalising_encoder(config: SimCLRConfig, beats: Beats) -> BaseEncoder:
    """The control of a trained encoder: weights that never learned, BatchNorm that has seen views of the same beats."""
    encoder = untrained_encoder(config)
    x = config.beats.x(beats, config.beats.choose(beats).train)
    update_bn((random_view(part) for part in x.split(config.beats.training.batch_size)), encoder.train())
    return encoder.eval()


def _train(
    config: SimCLRConfig, beats: Beats, folder: Path, device: torch.device, progress: Callable[[int, float], None]
) -> None:
    settings, (rank, count) = config.beats.training, processes()
    x = config.beats.x(beats, config.beats.choose(beats).train).to(device)
    steps = len(x) // settings.batch_size
    if steps == 0:
        raise EcglibError(f"{len(x)} training beats do not fill one batch of {settings.batch_size}: use more beats.")
    if settings.batch_size % count:
        raise EcglibError(f"A batch of {settings.batch_size} beats cannot be shared evenly by {count} processes.")
    if rank == 0:
        write_json(folder / "config.json", differences(config))
    encoder = untrained_encoder(config)
    head = ProjectionHead(encoder.size, config.hidden, config.outputs)
    model = synchronised(config, nn.Sequential(encoder, head), device).to(device).train()
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
        order = torch.randperm(len(x))[: steps * settings.batch_size].to(device)
        if rank:
            seed_everything(settings.seed, epoch + 1, rank)  # the same batches, but views of its own
        total = 0.0
        for batch in order.split(settings.batch_size):
            total += step(model, x[batch[rank::count]], optimizer, loss)
        if not math.isfinite(total):
            raise EcglibError(f"Contrastive training diverged in epoch {epoch}: lower the learning rate.")
        history.append({"loss": total / steps, "seconds": round(time.perf_counter() - started, 2)})
        if rank:
            continue
        snapshot.write(checkpoint, snapshot.pack_parts(parts), {"history": history})
        progress(epoch, history[-1]["loss"])
    if rank:
        return
    write_text(folder / "history.csv", pd.DataFrame(history).to_csv(index_label="epoch", lineterminator="\n"))
    write_json(folder / "env.json", environment(device))
    weights = {name: tensor.detach().cpu() for name, tensor in encoder.state_dict().items()}
    write_tensors(folder / "encoder.safetensors", weights)
    checkpoint.unlink(missing_ok=True)


def step(model: nn.Module, x: Tensor, optimizer: torch.optim.Optimizer, loss: NTXent) -> float:
    """One step of training on this process's beats x (B, C, 320) of a batch, and its loss.

    Args:
        model: encoder and projection head; two views of each beat go through it.
        x: in [-1, 1], on the model's device.
        optimizer: of the model's weights.
        loss: says which views belong together.
    """
    value = loss(model(random_view(x)), model(random_view(x)))
    optimizer.zero_grad()
    value.backward()
    average_gradients(model, processes()[1])
    optimizer.step()
    return value.item()


@torch.no_grad()
def embed(encoder: nn.Module, x: Tensor, batch_size: int = 256) -> Tensor:
    """Embeddings h (N, d) of beats x (N, C, 320), in whatever mode and on whatever device the encoder is."""
    return torch.cat([encoder(part) for part in x.split(batch_size)])
