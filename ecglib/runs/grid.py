"""Many runs: arms with several seeds, trained parents first."""

from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any, Generic, TypeVar

from tqdm.auto import tqdm

from ecglib.runs.obtain import Config, RunT, obtain, shown_on

ConfigT = TypeVar("ConfigT", bound=Config)


@dataclass(frozen=True)
class Arm(Generic[ConfigT]):
    """One row of a table: one thing that is tried, with several seeds."""

    name: str  # what a reader sees
    text: str  # what is done
    configs: list[ConfigT]  # one a seed
    control: str = ""  # key of the arm that it is compared with; empty for none
    # Keys of `reports.CLAIMS` for control and arm, if a report claims a difference between the two.
    claim: tuple[str, str] | None = None


def obtain_arms(arms: Mapping[str, Arm], data: Any, store: Path, device: str = "auto") -> dict[str, list[Any]]:
    """The runs of all arms, in the order of their seeds. Arms whose weights others need come first in `arms`."""
    configs = [config for arm in arms.values() for config in arm.configs]
    needed = needed_weights(configs, store)
    runs: dict[str, list[Any]] = {}
    total = sum(config.training.epochs for config in configs)
    stored = all(config.run(store).finished(weights=config.run_id in needed) for config in configs)
    with tqdm(total=total, desc="training", unit="epoch", disable=stored) as bar:
        for name, arm in arms.items():
            runs[name] = []
            for config in arm.configs:
                end = bar.n + config.training.epochs
                watchers = [shown_on(bar, f"{arm.name}, seed {config.training.seed}")]
                runs[name].append(obtain(config, data, store, device, config.run_id in needed, watchers, bar=False))
                bar.update(end - bar.n)  # epochs of a stored run, or after an early stop
    return runs


def needed_weights(configs: Iterable[Config], store: Path) -> set[str]:
    """Ids of the runs among `configs` whose weights a training that is still to be done needs.

    A run whose children are all finished need not have kept its weights. A run that has to be trained again for its
    weights needs the weights of its own parents.
    """
    known = {config.run_id: config for config in configs}
    needed: set[str] = set()
    to_train = [config for config in known.values() if not config.run(store).finished()]
    while to_train:
        parents = set(to_train.pop().parents) & known.keys()
        to_train += [known[run] for run in parents - needed if not known[run].run(store).finished(weights=True)]
        needed |= parents
    return needed


def obtain_with_weights(config: Config[RunT], others: Sequence[Config], data: Any, store: Path, device: str) -> RunT:
    """The run of `config` with its weights. If it must be trained, its parents among `others` are trained first."""
    if not config.run(store).finished(weights=True):
        for parent in others:
            if parent.run_id in config.parents:
                obtain_with_weights(parent, others, data, store, device)
    return obtain(config, data, store, device, weights=True)
