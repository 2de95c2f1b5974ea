"""`ecglib train`: the trainings of the notebooks apart from these, side by side, on a cluster, within a budget.

The notebooks then find every run in the store. `GRIDS` says which trainings each of them needs.
"""

import fnmatch
import sys
import time
from collections.abc import Callable, Iterable, Iterator, Mapping, Sequence
from contextlib import contextmanager
from dataclasses import dataclass, replace
from functools import partial
from pathlib import Path
from typing import Any

import pandas as pd
import torch
from tqdm.auto import tqdm

from ecglib.beatgan.arms import distillation_arms, kept, protocol_arms, teacher_arms
from ecglib.beatgan.task import BeatGANConfig
from ecglib.beatgan.training import Settings as BeatGANSettings
from ecglib.book.parameters import Planned
from ecglib.classifier.arms import every_arm
from ecglib.classifier.task import ClassifierConfig
from ecglib.classifier.training import Settings as ClassifierSettings
from ecglib.core.device import choose_device
from ecglib.core.errors import EcglibError
from ecglib.core.precision import reduced, resolved
from ecglib.core.profiles import Value
from ecglib.data import mitbih, ptbxl
from ecglib.runs import pool
from ecglib.runs.grid import Arm, needed_weights
from ecglib.runs.loop import epochs_done
from ecglib.runs.obtain import Config
from ecglib.simclr.arms import contrast_arms, detector_arms, sweep_arms

Values = Mapping[str, Value]  # the parameters of a notebook


def _beatgan(values: Values, data: str) -> BeatGANConfig:
    """The budget of notebooks 02 and 03, and of 04's detectors; 02 has the report's width and tests on all beats."""
    settings = BeatGANSettings(
        seed=0,
        epochs=values["epochs"],  # type: ignore[arg-type]
        batch_size=values["batch_size"],  # type: ignore[arg-type]
        precision=values["precision"],  # type: ignore[arg-type]
    )
    shared = ("train_beats", "validation_beats", "test_beats", "width")
    return BeatGANConfig(data, training=settings, **{name: values[name] for name in shared if name in values})  # type: ignore[arg-type]


def _numbers(values: Values, *names: str) -> list[int]:
    return [int(values[name]) for name in names]


def _teachers(values: Values, data: str) -> dict[str, Arm]:
    return teacher_arms(_beatgan(values, data), int(values["seeds"]))


def _students(values: Values, data: str) -> dict[str, Arm]:
    base, (seeds, others) = _beatgan(values, data), _numbers(values, "seeds", "other_seeds")
    arms = kept(distillation_arms(base, seeds, others), str(values.get("left_out", "")))
    return arms | {"N": teacher_arms(base, others)["N"]} | protocol_arms(base, others)


def _contrast(values: Values, data: str) -> dict[str, Arm]:
    seeds, others, swept, epochs = _numbers(values, "seeds", "other_seeds", "sweep_seeds", "encoder_epochs")
    of_scenarios = {name: values[f"scenario_{name}"] for name in ("epochs", "train_beats", "validation_beats")}
    scenarios = _beatgan({**values, **of_scenarios}, data)
    sweep = {f"sweep: {name}": arm for name, arm in sweep_arms(scenarios, swept).items()}
    return contrast_arms(scenarios, seeds) | detector_arms(_beatgan(values, data), epochs, seeds, others) | sweep


def _classifiers(values: Values, data: str) -> dict[str, Arm]:
    epochs, size, records, seeds, others = _numbers(
        values, "epochs", "batch_size", "train_records", "seeds", "other_seeds"
    )
    settings = ClassifierSettings(0, epochs, size, precision=values["precision"])  # type: ignore[arg-type]
    base = ClassifierConfig(data, settings, network=str(values["student_network"]), train_records=records)
    names, coded = str(values["networks"]).split(), str(values["coded_networks"]).split()
    return every_arm(base, str(values["teacher_network"]), names, coded, seeds, others)


# Notebook -> how its data are loaded, and its arms from its parameters and the fingerprint of the data.
GRIDS: dict[str, tuple[pool.Load, Callable[[Values, str], dict[str, Arm]]]] = {
    "02_beatgan_teacher": (mitbih.load_beats, _teachers),
    "03_kd_student": (mitbih.load_beats, _students),
    "04_simclr": (mitbih.load_beats, _contrast),
    "05_ptbxl_compression": (ptbxl.load_records, _classifiers),
}


@dataclass(frozen=True)
class Training:
    """One training of the grid."""

    notebook: str  # its number, such as 03
    arm: str  # its key; of several arms that share it, the first one's
    name: str  # the arm's name
    seed: int  # its position in the arm
    config: Config
    load: pool.Load


def grid(planned: Iterable[Planned], root: Path, only: Sequence[str] = ()) -> list[Training]:
    """The trainings of notebooks in the order in which they are worth most: first seeds first, parents before.

    `only` are patterns such as "H*" of arms' keys, arms' names or run ids: those are taken, in this order, with the
    runs whose weights they need.

    Raises:
        EcglibError: a pattern fits nothing, or the data are missing.
    """
    found: dict[str, Training] = {}
    names: dict[str, set[str]] = {}  # run id -> what it may be asked for by; arms may share it
    for notebook in planned:
        if notebook.path.stem in GRIDS:
            load, arms = GRIDS[notebook.path.stem]
            for key, arm in arms(notebook.values, load(root).fingerprint).items():
                for seed, config in enumerate(arm.configs):
                    found.setdefault(config.run_id, Training(notebook.path.stem[:2], key, arm.name, seed, config, load))
                    names.setdefault(config.run_id, {config.run_id}).update((key, arm.name))
    ordered: dict[str, Training] = {}

    def add(training: Training) -> None:
        for parent in training.config.parents:
            if parent in found:
                add(found[parent])
        ordered.setdefault(training.config.run_id, training)

    for pattern in only or ("*",):
        fitting = [one for run, one in found.items() if any(fnmatch.fnmatchcase(name, pattern) for name in names[run])]
        if only and not fitting:
            raise EcglibError(f"No training fits {pattern!r}: --list shows the arms and their names.")
        for one in sorted(fitting, key=lambda training: training.seed):
            add(one)
    return list(ordered.values())


@dataclass(frozen=True)
class Rest:
    """What is left of a training."""

    training: Training
    weights: bool  # they are needed; a finished run without them is trained again
    epochs: int  # at most
    seconds: float = 1.0  # of an epoch, see `estimated`


def unfinished(trainings: Sequence[Training], store: Path) -> list[Rest]:
    """What is left of trainings."""
    needed, found = needed_weights([one.config for one in trainings], store), []
    for one in trainings:
        run, weights = one.config.run(store), one.config.run_id in needed
        if not run.finished(weights):
            found.append(Rest(one, weights, one.config.training.epochs - epochs_done(run.folder)))
    return found


def estimated(rest: Sequence[Rest], root: Path, device: str) -> list[Rest]:
    """The same with the seconds of an epoch on one thread of this machine, by a few steps of each arm's first seed."""
    place, per_epoch = choose_device(device), {}
    with _one_thread():
        for one in rest:
            training, kind = one.training, (one.training.notebook, one.training.arm)
            if kind not in per_epoch:
                config, clock = training.config, partial(_seconds, device=place)
                with reduced(resolved(config.training.precision, place)):
                    per_epoch[kind] = config.seconds_per_epoch(training.load(root), place, clock)
    return [replace(one, seconds=per_epoch[one.training.notebook, one.training.arm]) for one in rest]


def listing(trainings: Sequence[Training], rest: Sequence[Rest]) -> pd.DataFrame:
    """For every arm its runs, how many are finished, and the epochs and hours on one thread that are left."""
    rows: dict[tuple[str, str], dict[str, Any]] = {}
    for one in trainings:
        new = {"name": one.name, "runs": 0, "finished": 0, "epochs left": 0, "hours left": 0.0}
        row = rows.setdefault((one.notebook, one.arm), new)
        row["runs"] += 1
        row["finished"] += 1
    for left in rest:
        row = rows[left.training.notebook, left.training.arm]
        row["finished"] -= 1
        row["epochs left"] += left.epochs
        row["hours left"] += left.epochs * left.seconds / 3600
    return pd.DataFrame.from_dict(rows, orient="index").rename_axis(["notebook", "arm"])


def train(
    rest: Sequence[Rest],
    root: Path,
    store: Path,
    jobs: int,
    *,
    device: str = "auto",
    minutes: float | None = None,
    scheduler: str | None = None,
) -> bool:
    """Do what is left and show how it goes; True if everything is finished at the end.

    Args:
        rest: from `unfinished`; the bar needs what `estimated` adds, to weigh the trainings.
        root: the data root.
        store: the folder of all runs.
        jobs: processes of one thread each on this machine.
        device: "auto", "cpu" or "cuda".
        minutes: after these every process stops at the end of its epoch.
        scheduler: the address of a dask scheduler, whose workers then train instead of `jobs` processes.

    Raises:
        EcglibError: some trainings failed, or another process is doing them; the message names them. The others have
            been done.
    """
    deadline = float("inf") if minutes is None else time.time() + 60 * minutes
    todo = [pool.Job(one.training.config, one.training.load, one.weights) for one in rest]
    with _Progress(rest) as progress:
        if scheduler:
            from ecglib.runs.cluster import train_on  # an optional extra

            outcome = train_on(scheduler, todo, root, store, device, deadline, progress)
        else:
            outcome = pool.train(todo, root, store, jobs, device, deadline, progress)
    if outcome.failed:
        reasons = "\n".join(f"  {run}: {reason}" for run, reason in outcome.failed.items())
        raise EcglibError(f"{len(outcome.failed)} of {len(todo)} trainings failed:\n{reasons}")
    if outcome.busy:
        raise EcglibError("\n".join(outcome.busy.values()))
    return not outcome.left


class _Progress:
    """One bar over all trainings, weighted by their estimated time, and a line for each that ends."""

    def __init__(self, rest: Sequence[Rest]) -> None:
        self.rest = {one.training.config.run_id: one for one in rest}
        self.epochs = {run: one.epochs for run, one in self.rest.items()}  # that are left
        self.ended = 0
        self.bar = tqdm(
            total=sum(one.epochs * one.seconds for one in rest),
            bar_format="{percentage:3.0f}%|{bar:30}| {elapsed} gone, about {remaining} left{postfix}",
            mininterval=1 if sys.stderr.isatty() else 60,  # a log needs no animation
        )

    def __enter__(self) -> "_Progress":
        return self

    def __exit__(self, *error: object) -> None:
        self.bar.close()

    def __call__(self, run: str, event: str) -> None:
        one = self.rest[run].training
        if event == pool.EPOCH:
            self.epochs[run] -= 1
            self.bar.update(self.rest[run].seconds)
        else:
            if event == "finished":
                self.bar.update(self.epochs[run] * self.rest[run].seconds)  # what an early stop saved
            self.ended += 1
            self.bar.write(f"{event}: {one.name}, seed {one.seed} ({run})", file=sys.stdout)
        self.bar.set_postfix_str(f"{self.ended} of {len(self.rest)} trainings ended; {one.name}", refresh=False)


def _seconds(call: Callable[[], object], device: torch.device) -> float:
    """The faster one of two calls, after one that warms up."""
    seconds = []
    for _ in range(3):
        start = time.perf_counter()
        call()
        if device.type == "cuda":
            torch.cuda.synchronize(device)  # a GPU works on after the call
        seconds.append(time.perf_counter() - start)
    return min(seconds[1:])


@contextmanager
def _one_thread() -> Iterator[None]:
    before = torch.get_num_threads()
    torch.set_num_threads(1)
    try:
        yield
    finally:
        torch.set_num_threads(before)
