"""Trainings on a dask cluster: the scheduler gets them as a graph, parents before their children.

Workers that see the store (a shared folder) train in it. Others keep a run in a folder of their own and send its files
back, and get those of its parents. Either way a run whose worker dies is trained again from what is left of it.
"""

import time
import uuid
from collections.abc import Sequence
from graphlib import TopologicalSorter
from pathlib import Path
from typing import Any

from ecglib.core.errors import EcglibError
from ecglib.core.extras import need
from ecglib.core.files import atomic_path, cache_dir, write_text
from ecglib.runs.pool import EPOCH, Job, Outcome, OutOfTime, Report, work

TOPIC = "ecglib epochs"
SHARED = ".shared"  # a file of the store by which a worker recognises it
WAIT = 30  # seconds for the scheduler's answer
RETRIES = 2  # of a run whose worker died
Files = dict[str, bytes]  # name -> content
Answer = tuple[str, str, Files]  # run id; "finished", "out of time", "left" or the reason of a failure; files


def train_on(
    address: str, jobs: Sequence[Job], root: Path, store: Path, device: str, deadline: float, report: Report
) -> Outcome:
    """As `pool.train`, by the workers of the dask scheduler at `address`, such as tcp://node1:8786.

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
    write_text(store / SHARED, token)
    with client:
        client.subscribe_topic(TOPIC, lambda event: report(event[1], EPOCH))
        futures: dict[str, Any] = {}
        by_run = {job.config.run_id: job for job in jobs}
        graph = {run: [one for one in job.config.parents if one in by_run] for run, job in by_run.items()}
        for run in TopologicalSorter(graph).static_order():
            job, parents = by_run[run], by_run[run].config.parents
            before = [(one, "finished", _files(store / one)) for one in parents if one not in futures]
            futures[run] = client.submit(
                remote,
                *(job, root, store, token, device, deadline, _files(store / run), before),
                [futures[one] for one in parents if one in futures],
                key=f"{run}-{token}",
                retries=RETRIES,
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
                _write(store / run, files)
            else:
                event = f"its worker died {RETRIES + 1} times ({future.exception()})"
            if event == "finished":
                outcome.finished.append(run)
            elif event in ("out of time", "left"):
                outcome.left.append(run)
            else:
                outcome.failed[run] = event
                event = "failed"
            report(run, event)
    (store / SHARED).unlink(missing_ok=True)
    return outcome


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
        token: the content of the store's file `SHARED`.
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
    mark = store / SHARED
    shared = mark.exists() and mark.read_text(encoding="utf-8") == token
    if not shared:
        store = cache_dir() / "cluster" / token
        for name, _, sent in (*before, *parents):
            _write(store / name, sent)
        if not (store / run).exists():
            _write(store / run, files)
    try:
        work(job, root, store, device, deadline, lambda name: worker.log_event(TOPIC, name))
        event = "finished"
    except OutOfTime:
        event = "out of time"
    except EcglibError as error:
        return run, str(error), {}
    return run, event, {} if shared else _files(store / run)


def _files(folder: Path) -> Files:
    return {path.name: path.read_bytes() for path in sorted(folder.glob("[!.]*"))} if folder.is_dir() else {}


def _write(folder: Path, files: Files) -> None:
    """Write the files of a run, `metrics.json`, which marks it as finished, last."""
    for name in sorted(files, key=lambda name: name == "metrics.json"):
        with atomic_path(folder / name) as temporary:
            temporary.write_bytes(files[name])
    if "metrics.json" in files:
        (folder / "checkpoint.pt").unlink(missing_ok=True)
