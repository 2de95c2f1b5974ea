"""The one way to a finished run: loaded where the store has it, resumed or trained where not."""

from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any, Protocol, TypeVar

import numpy as np
import pandas as pd
import torch
from torch import Tensor
from tqdm.auto import tqdm

from ecglib.core.config import differences
from ecglib.core.device import choose_device, environment
from ecglib.core.files import HALF_WRITTEN, sole_process, write_json, write_text
from ecglib.core.precision import Precision, resolved
from ecglib.runs.formats import digest_of_file, write_arrays, write_tensors
from ecglib.runs.loop import Loop
from ecglib.runs.store import OF_PREDICTIONS, PUBLISHED, StoredRun

SHOWN = ("auc", "auc_eval_mode", "loss")  # on a progress bar: the first of these that an epoch has
Watcher = Callable[[Loop], object]
Clock = Callable[[Callable[[], object]], float]  # seconds that a call takes


@dataclass(frozen=True)
class Result:
    """What a training gives."""

    # File name without suffix -> tensors, and facts in the file's header.
    weights: Mapping[str, tuple[Mapping[str, Tensor], Mapping[str, str] | None]]
    predictions: Mapping[str, np.ndarray]
    measure: Callable[[Any], Mapping[str, Mapping[str, float]]]  # predictions as they are stored -> metrics
    facts: Mapping[str, Any] | None = None  # about the training, for `env.json`


class Trained(Protocol):
    """The part of a config that says how long and from which seed."""

    @property
    def seed(self) -> int: ...

    @property
    def epochs(self) -> int:
        """The largest number of epochs."""

    @property
    def precision(self) -> Precision: ...


RunT = TypeVar("RunT", bound=StoredRun, covariant=True)


class Config(Protocol[RunT]):
    """What decides a run: a frozen dataclass (`core.config.Checked`) that can be trained."""

    @property
    def training(self) -> Trained: ...

    @property
    def run_id(self) -> str:
        """The name of the run's folder, unique to this config."""

    @property
    def parents(self) -> tuple[str, ...]:
        """Ids of the runs whose weights it needs."""

    def run(self, store: Path) -> RunT:
        """The run in a store, finished or not."""

    def train(self, data: Any, loop: Loop) -> Result:
        """Train the epochs that the loop has left."""

    def seconds_per_epoch(self, data: Any, device: torch.device, clock: Clock) -> float:
        """An estimate, from a few steps."""


def obtain(
    config: Config[RunT],
    data: Any,
    store: Path,
    device: str = "auto",
    weights: bool = False,
    watchers: Sequence[Watcher] = (),
    bar: bool = True,
) -> RunT:
    """The finished run of `config`, which was made for `data`. With `weights`, a run without them is unfinished.

    Raises:
        EcglibError: another process is training this run, or what the training raises.
    """
    run = config.run(store)
    if run.finished(weights):
        return run
    with sole_process(store, config.run_id, f"Another process is training {config.run_id}"):
        for leftover in run.folder.glob(f".*{HALF_WRITTEN}"):
            leftover.unlink()  # half-written files of a process that was killed
        if not run.finished(weights):  # another process may have finished it in between
            with tqdm(total=config.training.epochs, desc=config.run_id, unit="epoch", disable=not bar) as own:
                _train(config, data, run.folder, device, [shown_on(own), *watchers])
    return config.run(store)  # a new object: a run caches what it has read


def _train(config: Config, data: Any, folder: Path, device: str, watchers: Sequence[Watcher]) -> None:
    place, settings = choose_device(device), config.training
    machine = environment(place)  # before the training: meanwhile the checkout may be changed
    write_json(folder / "config.json", differences(config))
    loop = Loop(folder, settings.seed, settings.epochs, place, watchers, resolved(settings.precision, place))
    result = config.train(data, loop)
    # A run that is trained again for its weights is unfinished while its files are replaced: see `StoredRun.finished`.
    for replaced in ("metrics.json", PUBLISHED):
        (folder / replaced).unlink(missing_ok=True)
    write_arrays(folder / "predictions.npz", result.predictions)
    for name, (tensors, facts) in result.weights.items():
        write_tensors(folder / f"{name}.safetensors", tensors, facts)
    history = pd.DataFrame(loop.history)
    write_text(folder / "history.csv", history.to_csv(index=False, float_format="%.6g", lineterminator="\n"))
    spent = {"seconds": round(float(history["seconds"].sum()), 1), **(result.facts or {})}
    kept = {OF_PREDICTIONS: digest_of_file(folder / "predictions.npz")}
    trained = {"precision": ", ".join(loop.precisions), "trained_on": ", ".join(loop.places)}
    write_json(folder / "env.json", {**machine, **trained, **kept, **spent})
    write_json(folder / "metrics.json", result.measure(config.run(folder.parent).predictions))
    loop.checkpoint.unlink(missing_ok=True)


def shown_on(bar: tqdm, label: str = "") -> Watcher:
    """A watcher that moves a bar on by an epoch and shows its numbers."""

    def watch(loop: Loop) -> None:
        name = next(name for name in SHOWN if name in loop.history[-1])
        bar.set_postfix_str(f"{label} {name}={loop.history[-1][name]:.3f}", refresh=False)
        bar.update()

    return watch
