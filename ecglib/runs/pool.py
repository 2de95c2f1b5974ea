"""Many trainings side by side on this machine: processes of one thread each, parents before their children.

Two trainings of one thread finish sooner than one training of two threads: a convolution this small waits for its
slowest thread at every layer.
"""

import time
from collections.abc import Callable, Iterator, Mapping, Sequence
from concurrent.futures import FIRST_COMPLETED, Future, wait
from concurrent.futures.process import BrokenProcessPool
from dataclasses import dataclass, field
from functools import lru_cache
from pathlib import Path
from typing import Any

import torch

from ecglib.core.errors import Busy, EcglibError
from ecglib.runs.loop import Loop
from ecglib.runs.obtain import Config, obtain
from ecglib.runs.workers import tell, workers

ATTEMPTS = 3  # at a run whose process is killed while nothing else runs
KILLED = f"its process was killed {ATTEMPTS} times, usually for lack of memory: free some, and run the same command"
EPOCH = "epoch"  # the event of a run after each of its epochs; any other one ends it
Report = Callable[[str, str], object]  # (run id, event)
Load = Callable[[Path], Any]  # data root -> beats or records; a function of a module, which can travel to a process


@dataclass(frozen=True)
class Job:
    """A training to be done."""

    config: Config
    load: Load
    weights: bool = False  # a finished run without weights is trained again


@dataclass
class Outcome:
    """What became of the jobs, by run id."""

    finished: list[str] = field(default_factory=list)
    failed: dict[str, str] = field(default_factory=dict)  # and why
    busy: dict[str, str] = field(default_factory=dict)  # another process is doing them, in words
    left: list[str] = field(default_factory=list)  # no time, or a parent failed or is busy


class OutOfTime(Exception):
    """The deadline has passed; the checkpoint of the last epoch is kept."""


def train(
    jobs: Sequence[Job],
    root: Path,
    store: Path,
    count: int,
    device: str = "auto",
    deadline: float = float("inf"),
    report: Report = lambda run, event: None,
) -> Outcome:
    """Train jobs in their order, each after its parents, in `count` processes.

    A failed run does not stop the others. After `deadline` (in `time.time()`) every process stops at the end of its
    epoch. `report` is called after every epoch and when a run ends. If this process is interrupted or killed, its
    workers stop at once; the same call goes on from their checkpoints.
    """
    pending = {job.config.run_id: job for job in jobs}
    outcome, kills = Outcome(), dict.fromkeys(pending, 0)
    suspects: set[str] = set()  # ran when a process was killed: one of them may be to blame, so each gets tried alone
    while pending and time.time() < deadline:
        running: dict[Future[None], str] = {}
        chosen, side_by_side = (suspects, 1) if suspects else (pending.keys(), count)
        try:
            with workers(side_by_side, lambda run: report(run, EPOCH)) as pool:
                while True:
                    for run in _ready(pending, outcome, set(running.values())):
                        if run in chosen and len(running) < side_by_side and time.time() < deadline:
                            arguments = (pending[run], root, store, device, deadline)
                            running[pool.submit(work, *arguments)] = run
                    if not running:
                        break
                    for future in wait(running, return_when=FIRST_COMPLETED).done:
                        _settle(future, running[future], outcome, report)
                        suspects.discard(running[future])
                        del pending[running.pop(future)]
        except BrokenProcessPool:
            for run in running.values():
                kills[run] += bool(suspects)
                if kills[run] == ATTEMPTS:
                    del pending[run]
                    outcome.failed[run] = KILLED
                    report(run, "failed")
            suspects = (suspects | set(running.values())) & pending.keys()
            continue
        if chosen is not suspects:
            break
        suspects = set()
    outcome.left += pending
    return outcome


def _ready(pending: Mapping[str, Job], outcome: Outcome, running: set[str]) -> Iterator[str]:
    """Jobs that can start now: their parents are finished, or were before."""
    missing = {*pending, *outcome.failed, *outcome.busy, *outcome.left}
    for run, job in pending.items():
        if run not in running and missing.isdisjoint(job.config.parents):
            yield run


def _settle(future: "Future[None]", run: str, outcome: Outcome, report: Report) -> None:
    try:
        future.result()
        outcome.finished.append(run)
    except BrokenProcessPool:
        raise
    except OutOfTime:
        outcome.left.append(run)
    except Busy as error:
        outcome.busy[run] = str(error)
    except EcglibError as error:
        outcome.failed[run] = str(error)
    except Exception as error:  # a defect: the other runs still finish
        outcome.failed[run] = f"{type(error).__name__}: {error}"
    report(run, "finished" if run in outcome.finished else "failed" if run in outcome.failed else "left")


@lru_cache(maxsize=2)
def _loaded(load: Load, root: Path) -> Any:
    return load(root)


def work(
    job: Job,
    root: Path,
    store: Path,
    device: str,
    deadline: float,
    epoch: Callable[[str], object] = tell,
) -> None:
    """Train one job in a worker process; `epoch` is called with the run's id after each epoch.

    Raises:
        OutOfTime: the deadline passed before the last epoch.
        EcglibError: as `obtain`.
    """

    def watch(loop: Loop) -> None:
        epoch(loop.folder.name)
        if time.time() > deadline and len(loop.history) < loop.total:
            raise OutOfTime

    torch.set_num_threads(1)
    obtain(job.config, _loaded(job.load, root), store, device, job.weights, [watch], bar=False)
