"""Trainings on a dask cluster of two worker processes, one of which is killed in the middle."""

import os
import signal
import time
from dataclasses import replace
from pathlib import Path

import pytest

from ecglib.core.errors import EcglibError
from ecglib.core.files import cache_dir
from ecglib.runs import cluster, pool
from ecglib.runs.loop import epochs_done
from ecglib.runs.store import StoredRun, pack
from tests.runs.test_pool import Line, Settings, jobs, lines, snapshot

distributed = pytest.importorskip("distributed", exc_type=ImportError)


@pytest.fixture(scope="module")
def scheduler():
    before = os.environ.get("PYTHONPATH")
    os.environ["PYTHONPATH"] = str(Path(__file__).parents[2])
    with distributed.LocalCluster(n_workers=2, threads_per_worker=1, dashboard_address=None) as workers:
        yield workers.scheduler_address
    os.environ.pop("PYTHONPATH") if before is None else os.environ.update(PYTHONPATH=before)


@pytest.fixture
def family():
    parents = lines(3, seconds=0.2)
    return [*(replace(one, teacher=one.run_id) for one in parents), *parents]


@pytest.fixture(params=["a shared store", "a store of its own"])
def sharing(request, monkeypatch):
    if request.param != "a shared store":
        monkeypatch.setattr(cluster, "SHARED", ".another-")  # workers look for `.shared-` and do not find it
    return request.param


@pytest.fixture
def alone(tmp_path, family):
    assert not pool.train(jobs(family), tmp_path, tmp_path / "alone", 1).failed
    return snapshot(tmp_path / "alone")


def test_one_worker_is_killed_and_every_run_ends_once(tmp_path, scheduler, family, sharing, alone):
    events, killed, own_stores = [], [], cache_dir() / "cluster"
    before = set(own_stores.glob("*"))

    def report(run, event):
        events.append((run, event))
        if not killed:
            with distributed.Client(scheduler) as client:
                killed.append(next(iter(client.run(os.getpid).values())))
            os.kill(killed[0], signal.SIGKILL)

    store = tmp_path / "runs"
    outcome = cluster.train_on(scheduler, jobs(family), tmp_path, store, "cpu", float("inf"), report)
    assert killed and not outcome.failed and not outcome.left
    assert sorted(outcome.finished) == sorted(one.run_id for one in family)
    assert sorted(run for run, event in events if event == "finished") == sorted(outcome.finished)
    assert snapshot(store) == alone
    assert not list(store.glob(f"{cluster.SHARED}*")) and set(own_stores.glob("*")) == before


def test_parents_that_were_finished_before_are_handed_over(tmp_path, scheduler, family, sharing, alone):
    store = tmp_path / "runs"
    assert not pool.train(jobs(family[3:]), tmp_path, store, 1).failed
    outcome = cluster.train_on(scheduler, jobs(family[:3]), tmp_path, store, "cpu", float("inf"), lambda *_: None)
    assert len(outcome.finished) == 3 and not outcome.failed
    assert snapshot(store) == alone


def test_a_failure_stops_only_its_children(tmp_path, scheduler):
    bad, defect = Line(Settings(7), trouble="error"), Line(Settings(8), trouble="defect")
    child, good = Line(Settings(9), teacher=bad.run_id), Line(Settings(10))
    found = cluster.train_on(
        scheduler, jobs([bad, defect, child, good]), tmp_path, tmp_path / "runs", "cpu", float("inf"), lambda *_: None
    )
    assert found.failed == {bad.run_id: "this one fails", defect.run_id: "ZeroDivisionError: a defect"}
    assert (found.finished, found.left) == ([good.run_id], [child.run_id])


def test_a_parent_whose_workers_died_leaves_its_children(tmp_path, scheduler):
    parent = Line(Settings(12), trouble="killed")
    child = Line(Settings(13), teacher=parent.run_id)
    family = jobs([parent, child])
    with distributed.Client(scheduler) as client:
        patience = client.run_on_scheduler(allow_failures, count=0)
        found = cluster.train_on(scheduler, family, tmp_path, tmp_path / "runs", "cpu", float("inf"), lambda *_: None)
        client.run_on_scheduler(allow_failures, count=patience)
    assert set(found.failed) == {parent.run_id} and "its workers died" in found.failed[parent.run_id]
    assert found.left == [child.run_id]


def allow_failures(dask_scheduler, count):
    """Set how many workers may die of a task before it is given up; returned is what it was."""
    before, dask_scheduler.allowed_failures = dask_scheduler.allowed_failures, count
    return before


def test_workers_stop_when_nobody_waits_any_more(tmp_path, scheduler, monkeypatch):
    """The client is interrupted after the first epoch of a long run; its worker stops and the run can be resumed."""
    slow = Line(Settings(11, epochs=40), seconds=0.3)
    store = tmp_path / "runs"

    def interrupt(*_):
        while not epochs_done(store / slow.run_id):
            time.sleep(0.1)
        raise KeyboardInterrupt

    monkeypatch.setattr(distributed, "as_completed", interrupt)
    with pytest.raises(KeyboardInterrupt):
        cluster.train_on(scheduler, jobs([slow]), tmp_path, store, "cpu", float("inf"), lambda *_: None)
    done = []
    for _ in range(10):
        time.sleep(0.5)
        done.append(epochs_done(store / slow.run_id))
    assert done[-1] == done[-3] < 40, "it went on"
    assert not pool.train(jobs([replace(slow, seconds=0.0)]), tmp_path, store, 1).failed


def test_a_parent_that_only_the_bundle_has_is_sent_whole(tmp_path, scheduler, family, monkeypatch):
    """As in a fresh clone, where the weights of a committed teacher lie beside the profile's bundle."""
    store, parent, child = tmp_path / "runs", family[3], family[0]
    assert not pool.train(jobs([parent]), tmp_path, store, 1).failed
    whole = cluster._files(store / parent.run_id)
    pack(store, lambda *_: "all")
    for name in ("config.json", "env.json", "metrics.json", "history.csv", "predictions.npz"):
        (store / parent.run_id / name).unlink()
    found = cluster._files(store / parent.run_id)
    assert found.keys() == whole.keys()
    cluster._write(tmp_path / "worker" / parent.run_id, found)  # a teacher's predictions are read where they arrive
    sent, kept = (StoredRun(folder / parent.run_id).arrays() for folder in (tmp_path / "worker", store))
    assert sent.keys() == kept.keys() and all((sent[name] == kept[name]).all() for name in kept)
    monkeypatch.setattr(cluster, "SHARED", ".another-")
    outcome = cluster.train_on(scheduler, jobs([child]), tmp_path, store, "cpu", float("inf"), lambda *_: None)
    assert outcome.finished == [child.run_id]


def test_no_scheduler_is_one_clear_error(tmp_path, monkeypatch):
    monkeypatch.setattr(cluster, "WAIT", 1)
    with pytest.raises(EcglibError, match="No dask scheduler answers"):
        cluster.train_on("tcp://127.0.0.1:1", [], tmp_path, tmp_path, "cpu", float("inf"), lambda *_: None)
