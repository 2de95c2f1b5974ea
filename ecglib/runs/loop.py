"""The epoch loop that all trainings share: seeds, history, checkpoint, best weights, what is shown meanwhile."""

import io
import math
import pickle
import time
import warnings
from collections.abc import Callable, Iterator, Sequence
from contextlib import AbstractContextManager, contextmanager
from pathlib import Path
from typing import Any, Protocol

import torch
from torch import Tensor, nn

from ecglib.core.errors import EcglibError, EcglibWarning
from ecglib.core.files import atomic_path
from ecglib.core.precision import Precision, reduced
from ecglib.core.seeds import seed_everything

CHECKPOINT = "checkpoint.pt"
# What `torch.load` raises for a damaged file, depending on which bytes are damaged.
UNREADABLE = (pickle.UnpicklingError, EOFError, ValueError, LookupError, RuntimeError, TypeError, AttributeError)


class Part(Protocol):
    """What a checkpoint keeps: a network, an optimizer, a `Best`."""

    def state_dict(self) -> dict[str, Any]: ...

    def load_state_dict(self, state_dict: dict[str, Any], /) -> Any: ...


class Best:
    """The weights (on the CPU) of the epoch with the lowest criterion so far; the epoch is -1 before the first."""

    def __init__(self) -> None:
        self.epoch, self.criterion = -1, math.inf
        self.weights: dict[str, Tensor] = {}

    def offer(self, epoch: int, criterion: float, model: nn.Module) -> None:
        """Keep a copy of the model's weights if the criterion is lower than all before."""
        if criterion < self.criterion:
            self.epoch, self.criterion, self.weights = epoch, criterion, copied(model)

    def state_dict(self) -> dict[str, Any]:
        """See `Part`."""
        return vars(self)

    def load_state_dict(self, state_dict: dict[str, Any]) -> None:
        """See `Part`."""
        vars(self).update(state_dict)
        self.weights = {name: tensor.cpu() for name, tensor in self.weights.items()}  # a GPU may have loaded them


def copied(model: nn.Module) -> dict[str, Tensor]:
    """A copy of a model's weights and statistics on the CPU."""
    return {name: tensor.detach().cpu().clone() for name, tensor in model.state_dict().items()}


@contextmanager
def _reading(checkpoint: Path) -> Iterator[None]:
    try:
        yield
    except torch.OutOfMemoryError:
        raise
    except OSError as error:
        raise EcglibError(f"Checkpoint {checkpoint} cannot be read ({error.strerror or error}): try again.") from error
    except UNREADABLE as error:
        if "allocate memory" in str(error) or "CUDA error" in str(error):
            raise  # the machine's trouble, not the checkpoint's
        # For bytes that are no checkpoint, torch advises over many lines to load them unsafely.
        reason = "it is none" if isinstance(error, pickle.UnpicklingError) else error
        raise EcglibError(f"Checkpoint {checkpoint} is damaged ({reason}): delete it and train again.") from error


def epochs_done(folder: Path) -> int:
    """The number of epochs in the checkpoint of an unfinished run.

    Raises:
        EcglibError: the checkpoint cannot be read, or is damaged.
    """
    if not (checkpoint := folder / CHECKPOINT).exists():
        return 0
    with _reading(checkpoint):
        return len(torch.load(checkpoint, map_location="cpu", weights_only=True, mmap=True)["history"])


class Loop:
    """An epoch loop that may be killed at any moment and then goes on after the last finished epoch.

    A training restores its parts and trains the epochs that are left::

        loop.restore(model=model, optimizer=optimizer)
        for epoch in loop.epochs():
            ...
            loop.record(loss=loss, auc=auc)

    The checkpoint is in the run's `folder`. Epoch e draws from the random stream (seed, e + 1), so that a resumed epoch
    repeats what was lost. `history` has a row an epoch. `watchers` are called with the loop after every epoch.
    """

    def __init__(
        self,
        folder: Path,
        seed: int,
        total: int,
        device: torch.device,
        watchers: "Sequence[Callable[[Loop], object]]" = (),
        precision: Precision = "float32",
    ) -> None:
        self.folder, self.seed, self.total, self.device, self.watchers = folder, seed, total, device, watchers
        self.precision = precision
        # What epochs were trained in and on: a resumed training may be on another machine.
        self.precisions: list[str] = []
        self.places: list[str] = []
        self.history: list[dict[str, Any]] = []
        self.parts: dict[str, Part] = {}
        self._started = 0.0

    @property
    def store(self) -> Path:
        """The folder of all runs: a run may learn from another, or start from its weights."""
        return self.folder.parent

    @property
    def checkpoint(self) -> Path:
        """The file that the training goes on from."""
        return self.folder / CHECKPOINT

    @property
    def place(self) -> str:
        """What decides in which order sums are added up, and so the last digits: the device, and its threads."""
        return f"{self.device.type} with {torch.get_num_threads()} threads"

    def restore(self, **parts: Part) -> None:
        """Keep `parts` in the checkpoint from now on; if there is a checkpoint, load them from it.

        Raises:
            EcglibError: the checkpoint cannot be read, is damaged, or has other parts.
        """
        self.parts = parts
        if not self.checkpoint.exists():
            return
        with _reading(self.checkpoint):
            kept = torch.load(self.checkpoint, map_location=self.device, weights_only=True)
            for name, part in parts.items():
                part.load_state_dict(kept[name])
            self.history, self.precisions = kept["history"], kept["precisions"]
            self.places = kept.get("places", [])
        if self.places and self.place not in self.places:
            warnings.warn(
                f"{self.folder.name} began on {' and '.join(self.places)} and goes on with {self.place}: sums are "
                "added up in another order, so its numbers will not be those of either.",
                EcglibWarning,
                stacklevel=2,
            )

    def reduced(self) -> AbstractContextManager[None]:
        """The precision of the training, for its steps; see `core.precision`."""
        return reduced(self.precision)

    def epochs(self) -> Iterator[int]:
        """The numbers of the epochs that are left; everything is seeded before each."""
        for epoch in range(len(self.history), self.total):
            self._started = time.perf_counter()
            seed_everything(self.seed, epoch + 1)
            yield epoch

    def record(self, **row: float) -> None:
        """End an epoch: add its row to the history and write the checkpoint."""
        seconds = time.perf_counter() - self._started
        self.history.append({"epoch": len(self.history), **row, "seconds": seconds})
        if self.precision not in self.precisions:
            self.precisions.append(self.precision)
        if self.place not in self.places:
            self.places.append(self.place)
        kept = {name: part.state_dict() for name, part in self.parts.items()}
        buffer = io.BytesIO()  # torch.save to a file would hide the disk's own error
        done = {"history": self.history, "precisions": self.precisions, "places": self.places}
        torch.save(done | kept, buffer)
        with atomic_path(self.checkpoint) as temporary:
            temporary.write_bytes(buffer.getbuffer())
        for watcher in self.watchers:
            watcher(self)
