"""Trainings side by side: order, failures, deadline, and processes that are killed."""

import os
import signal
import subprocess
import sys
import textwrap
import time
from dataclasses import dataclass, replace
from pathlib import Path

import numpy as np
import torch

from ecglib.core.config import Checked, digest
from ecglib.core.errors import EcglibError
from ecglib.runs.loop import Best
from ecglib.runs.obtain import Result
from ecglib.runs.pool import Job, train
from ecglib.runs.store import StoredRun


@dataclass(frozen=True)
class Settings(Checked):
    seed: int
    epochs: int = 3
    precision: str = "float32"


@dataclass(frozen=True)
class Line(Checked):
    """Fits a line: a training of milliseconds that behaves like the others."""

    training: Settings
    teacher: str = ""
    seconds: float = 0.0  # of an epoch
    trouble: str = ""

    @property
    def run_id(self):
        return f"line-seed{self.training.seed}-{digest(self)}"

    @property
    def parents(self):
        return (self.teacher,) if self.teacher else ()

    def run(self, store):
        return LineRun(store / self.run_id)

    def train(self, data, loop):
        if self.teacher and not LineRun(loop.store / self.teacher).finished():
            raise EcglibError("the teacher is not finished")
        torch.manual_seed(self.training.seed)
        model, best = torch.nn.Linear(2, 1), Best()
        optimizer = torch.optim.SGD(model.parameters(), 0.1)
        loop.restore(model=model, optimizer=optimizer, best=best)
        for epoch in loop.epochs():
            if self.trouble == "error":
                raise EcglibError("this one fails")
            if self.trouble == "defect":
                raise ZeroDivisionError("a defect")
            if self.trouble == "killed" or (self.trouble == "killed once" and not (data / "killed").exists()):
                (data / "killed").touch()
                os.kill(os.getpid(), signal.SIGKILL)
            time.sleep(self.seconds)
            loss = model(torch.randn(8, 2)).square().mean()
            optimizer.zero_grad()
            loss.backward()
            optimizer.step()
            best.offer(epoch, loss.item(), model)
            loop.record(loss=loss.item())
        answers = np.array([best.criterion])
        return Result({"weights": (best.weights, None)}, {"best": answers}, lambda stored: {"all": {"auc": 0.5}})


class LineRun(StoredRun):
    WEIGHTS = ("weights",)


def load(root):
    return root


def lines(count, **change):
    return [Line(Settings(seed), **change) for seed in range(count)]


def jobs(configs):
    return [Job(config, load) for config in configs]


def snapshot(store):
    """What the runs of a store answered and how they got there, without times."""
    return {
        folder.name: (
            np.load(folder / "predictions.npz")["best"].tolist(),
            [line.rsplit(",", 1)[0] for line in (folder / "history.csv").read_text().splitlines()],
        )
        for folder in sorted(store.glob("line-*/"))
    }


def test_children_wait_for_their_parents_and_epochs_are_reported(tmp_path):
    parents = lines(2, seconds=0.1)
    children = [replace(one, teacher=one.run_id) for one in parents]
    seen = []
    outcome = train(
        jobs([*children, *parents]), tmp_path, tmp_path / "runs", 2, report=lambda *event: seen.append(event)
    )
    assert set(outcome.finished) == {one.run_id for one in (*parents, *children)}
    assert not outcome.failed and not outcome.left
    for one in (*parents, *children):
        assert sorted(event for run, event in seen if run == one.run_id) == ["epoch", "epoch", "epoch", "finished"]


def test_a_failure_stops_only_its_children(tmp_path):
    bad, defect = Line(Settings(7), trouble="error"), Line(Settings(8), trouble="defect")
    child, good = Line(Settings(9), teacher=bad.run_id), Line(Settings(10))
    outcome = train(jobs([bad, defect, child, good]), tmp_path, tmp_path / "runs", 2)
    assert outcome.failed == {bad.run_id: "this one fails", defect.run_id: "ZeroDivisionError: a defect"}
    assert outcome.finished == [good.run_id] and outcome.left == [child.run_id]


def test_a_killed_process_is_replaced_and_one_that_is_always_killed_is_given_up(tmp_path):
    once, always = Line(Settings(1), trouble="killed once"), Line(Settings(2), trouble="killed")
    others = lines(2)
    outcome = train(jobs([once, *others]), tmp_path, tmp_path / "runs", 2)
    assert set(outcome.finished) == {one.run_id for one in (once, *others)} and not outcome.failed
    outcome = train(jobs([always]), tmp_path, tmp_path / "runs", 1)
    assert list(outcome.failed) == [always.run_id] and "memory" in outcome.failed[always.run_id]


def test_neighbours_of_a_run_that_kills_its_process_are_not_given_up(tmp_path):
    bad, others = Line(Settings(5), trouble="killed"), lines(3, seconds=0.2)
    events = []
    outcome = train(
        jobs([bad, *others]), tmp_path, tmp_path / "runs", 3, report=lambda run, event: events.append((run, event))
    )
    assert sorted(outcome.finished) == sorted(one.run_id for one in others) and not outcome.left
    assert list(outcome.failed) == [bad.run_id] and (bad.run_id, "failed") in events


def test_the_deadline_leaves_a_checkpoint_that_the_next_call_goes_on_from(tmp_path):
    slow = Line(Settings(0, epochs=6), seconds=0.4)
    whole = replace(slow, seconds=0.0)
    first = train(jobs([slow, whole]), tmp_path, tmp_path / "runs", 1, deadline=time.time() + 4)
    if slow.run_id not in first.finished:  # on a fast machine all six epochs may fit
        assert first.left == [slow.run_id, whole.run_id]
    assert train(jobs([slow, whole]), tmp_path, tmp_path / "runs", 1).failed == {}
    one, other = (snapshot(tmp_path / "runs")[config.run_id] for config in (slow, whole))
    assert one == other


def test_killed_at_random_moments_the_store_ends_the_same(tmp_path):
    root = Path(__file__).parents[2]
    script = textwrap.dedent(
        f"""
        import sys
        from dataclasses import replace
        from pathlib import Path
        from tests.runs.test_pool import jobs, lines
        from ecglib.runs.pool import train

        if __name__ == "__main__":
            parents = lines(4, seconds=0.05)
            children = [replace(one, teacher=one.run_id) for one in parents]
            outcome = train(jobs(parents + children), Path({str(tmp_path)!r}), Path(sys.argv[1]), 2)
            assert not outcome.failed, outcome
        """
    )
    (tmp_path / "grid.py").write_text(script)
    command = [sys.executable, str(tmp_path / "grid.py")]
    environment = {**os.environ, "PYTHONPATH": str(root)}
    subprocess.run([*command, str(tmp_path / "whole")], check=True, env=environment)
    moments = np.random.default_rng(0).uniform(2, 6, 3)
    for moment in moments:
        process = subprocess.Popen([*command, str(tmp_path / "killed")], env=environment, stderr=subprocess.DEVNULL)
        time.sleep(moment)
        process.kill()
        process.wait()
    deadline = time.monotonic() + 60
    while True:  # the workers of the killed processes end by themselves, within moments
        done = subprocess.run([*command, str(tmp_path / "killed")], env=environment, capture_output=True, text=True)
        if done.returncode == 0 or time.monotonic() > deadline:
            break
    assert done.returncode == 0, done.stderr
    assert snapshot(tmp_path / "killed") == snapshot(tmp_path / "whole")
    assert not list((tmp_path / "killed").glob("*/.*"))
