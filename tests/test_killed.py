"""Killed at any moment, each kind of training goes on with the same command and ends as if nothing had happened."""

import contextlib
import json
import os
import random
import signal
import subprocess
import sys
import time

import pytest

KILLS = int(os.environ.get("ECGLIB_KILLS", "2"))  # of each task; ten were tried before this was committed
BEATS = ["-p", "batch_size=16", "-p", "train_beats=320", "-p", "validation_beats=200", "-p", "epochs=3"]
TASKS = {
    "BeatGAN": ["train", "03", "--only", "B", "--seeds", "1", "-p", "width=0.125", *BEATS],
    "a student": ["train", "03", "--only", "D", "--seeds", "1"],
    "an encoder": ["train", "04", "--only", "encoder", "-p", "encoder_epochs=3", "-p", "width=0.125", *BEATS],
    "a classifier": ["train", "05", "--only", "alone", "--seeds", "1", "-p", "epochs=3"],
}


def command(task, output):
    return [sys.executable, "-m", "ecglib.book.cli", *TASKS[task], "--jobs", "1", "--output", str(output)]


def results(store):
    """Run -> what it measured, but for what every run has of its own: how long it took."""
    return {path.parent.name: json.loads(path.read_text()) for path in sorted(store.glob("*/metrics.json"))}


@pytest.mark.parametrize("task", TASKS)
def test_a_killed_training_goes_on_and_ends_as_if_nothing_had_happened(task, tmp_path, simulated_root):
    environment = os.environ | {"OMP_NUM_THREADS": "1"}
    start = time.monotonic()
    whole = subprocess.run(command(task, tmp_path / "whole"), env=environment, capture_output=True, text=True)
    assert whole.returncode == 0, whole.stderr
    lasts, moments = time.monotonic() - start, random.Random(0)
    for _ in range(KILLS):
        process = subprocess.Popen(
            command(task, tmp_path / "killed"),
            env=environment,
            start_new_session=True,
            stdout=subprocess.DEVNULL,
            stderr=subprocess.DEVNULL,
        )
        time.sleep(lasts * moments.uniform(0.3, 0.95))  # the first third is imports
        with contextlib.suppress(ProcessLookupError):  # it may have ended
            os.killpg(process.pid, signal.SIGKILL)
        process.wait()
    again = subprocess.run(command(task, tmp_path / "killed"), env=environment, capture_output=True, text=True)
    assert again.returncode == 0, again.stderr
    stores = [tmp_path / name / "papermill_runs" / "smoke" / "runs" for name in ("whole", "killed")]
    assert results(stores[0]) == results(stores[1]) != {}
    left = [path.name for path in stores[1].rglob("*") if path.name.startswith(".") or path.name == "checkpoint.pt"]
    assert not left, "nothing half written stays"
