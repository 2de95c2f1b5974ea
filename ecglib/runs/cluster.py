"""Trainings on a dask cluster: the scheduler gets them as a graph, parents before their children.

Workers that see the store (a shared folder) train in it. Others keep a run in a folder of their own and send its files
back, and get those of its parents. Either way a run whose worker dies is trained again from what is left of it.
"""

import io
import json
import shutil
import time
import uuid
from collections.abc import Iterator, Sequence
from contextlib import contextmanager, suppress
from graphlib import TopologicalSorter
from pathlib import Path
from typing import Any

import numpy as np

from ecglib.core.errors import Busy, EcglibError
from ecglib.core.extras import need
from ecglib.core.files import atomic_path, cache_dir, write_text
from ecglib.runs.loop import CHECKPOINT
from ecglib.runs.pool import EPOCH, Job, Outcome, OutOfTime, Report, work
from ecglib.runs.store import OF_PREDICTIONS, PUBLISHED, StoredRun, bundle

SHARED = ".shared-"  # with a token: a file of the store by which a worker recognises it
WAIT = 30  # seconds for the scheduler's answer
BUSY = "busy: "  # begins the answer that another process is training the run
Files = dict[str, bytes]  # name -> content
Answer = tuple[str, str, Files]  # run id; "finished", "left", or the reason why neither; files


def train_on(
    address: str, jobs: Sequence[Job], root: Path, store: Path, device: str, deadline: float, report: Report
) -> Outcome:
    """As `pool.train`, by the workers of the dask scheduler at `address`, such as tcp://node1:8786.

    If this process ends, the workers stop after the epoch under way. A run whose worker dies is trained again, as often
    as dask allows it (`distributed.scheduler.allowed-failures`).

    Raises:
        EcglibError: dask is not installed, or no scheduler answers.
    """
    distributed = need("distributed", "cluster")
    try:
        client = distributed.Client(address, timeout=WAIT)
    except (OSError, ValueError) as error:
        raise EcglibError(
            f"No dask scheduler answers at {address} ({error}): start 'dask scheduler' and workers first."
        ) from error
    token, outcome = uuid.uuid4().hex, Outcome()
    mark = store / f"{SHARED}{token}"
    write_text(mark, "Workers that see this file train in this store.\n")
    with client, _tidied(client, mark, token):
        client.subscribe_topic(token, lambda event: report(event[1], EPOCH))
        futures: dict[str, Any] = {}
        by_run = {job.config.run_id: job for job in jobs}
        graph = {run: [one for one in job.config.parents if one in by_run] for run, job in by_run.items()}
        urgency = {run: -place for place, run in enumerate(by_run)}
        for run in TopologicalSorter(graph).static_order():
            job, parents = by_run[run], by_run[run].config.parents
            before = [(one, "finished", _files(store / one)) for one in parents if one not in futures]
            futures[run] = client.submit(
                remote,
                *(job, root, store, token, device, deadline, _files(store / run), before),
                [futures[one] for one in parents if one in futures],
                key=f"{run}-{token}",
                priority=urgency[run],
            )
        run_of = {future.key: run for run, future in futures.items()}
        completed = distributed.as_completed(futures.values())
        for future in completed:
            run = run_of[future.key]
            if future.status in ("lost", "pending"):  # its worker died with the answer: dask does it again
                completed.add(future)
                continue
            if future.status == "finished":
                _, event, files = future.result()
                if "metrics.json" in files:  # a run that was trained again is unfinished while its files are replaced
                    for replaced in ("metrics.json", PUBLISHED):
                        (store / run / replaced).unlink(missing_ok=True)
                _write(store / run, files)
            elif any(futures[one].status == "error" for one in graph[run]):
                event = "left"  # dask gives it the error of its parent
            else:
                event = f"its workers died: give them more memory or time ({future.exception()})"
            if event == "finished":
                outcome.finished.append(run)
            elif event == "left":
                outcome.left.append(run)
            elif event.startswith(BUSY):
                outcome.busy[run], event = event.removeprefix(BUSY), "left"
            else:
                outcome.failed[run] = event
                event = "failed"
            report(run, event)
    return outcome


@contextmanager
def _tidied(client: Any, mark: Path, token: str) -> Iterator[None]:
    """Leave nothing behind, in the store and with the workers."""
    try:
        yield
    finally:
        mark.unlink(missing_ok=True)
        with suppress(OSError, TimeoutError):
            client.run(_forget, token, on_error="ignore")


def _forget(token: str) -> None:
    shutil.rmtree(_own_store(token), ignore_errors=True)


def _own_store(token: str) -> Path:
    """Where the workers of a machine that do not see the store keep its runs meanwhile."""
    return cache_dir() / "cluster" / token


def remote(
    job: Job,
    root: Path,
    store: Path,
    token: str,
    device: str,
    deadline: float,
    files: Files,
    before: Sequence[Answer],
    parents: Sequence[Answer],
) -> Answer:
    """Train one job on a worker.

    Args:
        job: the training.
        root: the data root on the worker.
        store: that of the client, which the worker may see or not.
        token: ends the name of the store's file `SHARED`.
        device: "auto", "cpu" or "cuda".
        deadline: see `pool.train`.
        files: of the run so far.
        before: the parents that were finished before.
        parents: the answers of the parents that are among the jobs.
    """
    worker, run = need("distributed", "cluster").get_worker(), job.config.run_id
    if worker.state.nthreads != 1:
        return run, "start dask workers with --nthreads 1: two trainings in one process would share random numbers", {}
    if any(event != "finished" for _, event, _ in parents) or time.time() > deadline:
        return run, "left", {}
    shared = (store / f"{SHARED}{token}").exists()
    if not shared:
        store = _own_store(token)
        for name, _, sent in (*before, *parents):
            if not (store / name / "metrics.json").exists():  # a sibling may be reading it
                _write(store / name, sent)
        if not (store / run).exists():
            _write(store / run, files)
    task = worker.get_current_task()

    def epoch(name: str) -> None:
        worker.log_event(token, name)
        if worker.state.tasks[task].state == "cancelled":  # nobody waits for it any more
            raise OutOfTime

    try:
        work(job, root, store, device, deadline, epoch)
        event = "finished"
    except OutOfTime:
        event = "left"
    except Busy as error:
        return run, f"{BUSY}{error}", {}
    except EcglibError as error:
        return run, str(error), {}
    except Exception as error:  # a defect: dask would try it again
        return run, f"{type(error).__name__}: {error}", {}
    return run, event, {} if shared else _files(store / run)


def _files(folder: Path) -> Files:
    """The files of a run, those included that only the bundle of its profile has."""
    files = {path.name: path.read_bytes() for path in sorted(folder.glob("[!.]*"))} if folder.is_dir() else {}
    if "config.json" in files or folder.name not in bundle(folder.parent).facts:
        return files
    run, predictions = StoredRun(folder), io.BytesIO()
    arrays: dict[str, Any] = run.arrays()
    np.savez_compressed(predictions, **arrays)
    # The arrays are the same, the file is another: the digest of the first one would refuse it.
    environment = {name: fact for name, fact in run.environment.items() if name != OF_PREDICTIONS}
    written = {"config.json": run.config, "env.json": environment, "metrics.json": run.metrics}
    facts = {name: json.dumps(content).encode() for name, content in written.items()}
    history = run.history.to_csv(index=False).encode()
    return files | facts | {"history.csv": history, "predictions.npz": predictions.getvalue()}


def _write(folder: Path, files: Files) -> None:
    """Write the files of a run, `metrics.json`, which marks it as finished, last."""
    for name in sorted(files, key=lambda name: name == "metrics.json"):
        with atomic_path(folder / name) as temporary:
            temporary.write_bytes(files[name])
    if "metrics.json" in files:
        (folder / CHECKPOINT).unlink(missing_ok=True)
