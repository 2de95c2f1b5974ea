"""Killed at any moment, each command goes on when it is run again and ends as if nothing had happened."""

import contextlib
import functools
import hashlib
import http.server
import json
import os
import random
import shutil
import signal
import subprocess
import sys
import threading
import time

import pytest

from ecglib.data.physionet import CHECKSUMS
from ecglib.data.verify import verify

KILLS = int(os.environ.get("ECGLIB_KILLS", "2"))  # of each task; ten were tried before this was committed
BEATS = ["-p", "batch_size=16", "-p", "train_beats=320", "-p", "validation_beats=200", "-p", "epochs=3"]
TASKS = {
    "BeatGAN": ["train", "03", "--only", "B", "--seeds", "1", "-p", "width=0.125", *BEATS],
    "a student": ["train", "03", "--only", "D", "--seeds", "1"],
    "an encoder": ["train", "04", "--only", "encoder", "-p", "encoder_epochs=3", "-p", "width=0.125", *BEATS],
    "a classifier": ["train", "05", "--only", "alone", "--seeds", "1", "-p", "epochs=3"],
}


# Read by every Python that starts: for it, all files so far are of the next year.
CLOCK_SET_BACK = "import time; now = time.time; time.time = lambda: now() - 365 * 24 * 3600"


def results(store):
    """Run -> what it measured and answered, but for what every run has of its own: how long it took."""
    return {
        path.parent.name: (json.loads(path.read_text()), path.with_name("predictions.npz").read_bytes())
        for path in sorted(store.glob("*/metrics.json"))
    }


def ecglib(*arguments, **environment):
    """A command in a process group of its own, whose parts are killed together."""
    return subprocess.Popen(
        [sys.executable, "-m", "ecglib.book.cli", *arguments],
        env=os.environ | {"OMP_NUM_THREADS": "1"} | environment,
        start_new_session=True,
        stdout=subprocess.DEVNULL,
        stderr=subprocess.PIPE,
        text=True,
    )


def ended(*arguments, **environment):
    """Run a command to its end; how long that takes, in seconds."""
    start, process = time.monotonic(), ecglib(*arguments, **environment)
    _, errors = process.communicate()
    assert process.returncode == 0, errors
    return time.monotonic() - start


def killed(lasts, *arguments):
    """Kill a command that `lasts` so many seconds at moments drawn from a seed; after each kill, a step of the loop."""
    moments = random.Random(0)
    for _ in range(KILLS):
        process = ecglib(*arguments)
        time.sleep(lasts * moments.uniform(0.3, 0.95))  # the first third is imports
        with contextlib.suppress(ProcessLookupError):  # it may have ended
            os.killpg(process.pid, signal.SIGKILL)
        process.communicate()
        yield


def leftovers(folder):
    """Temporary files; the locks of finished processes are empty and stay."""
    return [path.name for path in folder.rglob(".*") if path.suffix != ".lock"]


@pytest.mark.parametrize("task", TASKS)
def test_a_killed_training_goes_on_and_ends_as_if_nothing_had_happened(task, tmp_path, simulated_root):
    def command(name):
        return *TASKS[task], "--jobs", "1", "--output", str(tmp_path / name)

    lasts = ended(*command("whole"))
    for _ in killed(lasts, *command("killed")):
        pass
    (tmp_path / "sitecustomize.py").write_text(CLOCK_SET_BACK)
    ended(*command("killed"), PYTHONPATH=str(tmp_path))
    stores = [tmp_path / name / "papermill_runs" / "smoke" / "runs" for name in ("whole", "killed")]
    assert results(stores[0]) == results(stores[1]) != {}
    assert not [*leftovers(stores[1]), *stores[1].rglob("checkpoint.pt")], "nothing half written stays"


def test_a_killed_export_leaves_no_half_model(tmp_path, simulated_root):
    training = *TASKS["a classifier"], "--jobs", "1", "--output", str(tmp_path)
    ended(*training)

    def command(name):
        return "export", "57K", str(tmp_path / name), "--int8", "--profile", "smoke", "--output", str(tmp_path)

    lasts, model = ended(*command("whole.onnx")), tmp_path / "killed.onnx"
    whole = (tmp_path / "whole.onnx").read_bytes()
    for _ in killed(lasts, *command(model.name)):
        assert not model.exists() or model.read_bytes() == whole
    for name in leftovers(tmp_path):
        os.utime(tmp_path / name, (0, 0))  # an hour later
    ended(*command(model.name))
    assert model.read_bytes() == whole
    assert not leftovers(tmp_path)


class Mirror(http.server.SimpleHTTPRequestHandler):
    def do_GET(self):
        time.sleep(0.005)  # so that a kill meets files under way
        super().do_GET()

    def log_message(self, *_):
        pass


def test_a_killed_download_goes_on_and_keeps_no_damaged_file(tmp_path, simulated_root):
    served = tmp_path / "server" / "ptb-xl" / "1.0.3"
    shutil.copytree(simulated_root / "ptb-xl" / "1.0.3", served)
    (served / "LICENSE.txt").write_text("CC BY 4.0\n")
    files = {path.relative_to(served).as_posix(): path.read_bytes() for path in served.rglob("*") if path.is_file()}
    files.pop(CHECKSUMS, None)
    lines = [f"{hashlib.sha256(content).hexdigest()} {name}\n" for name, content in files.items()]
    (served / CHECKSUMS).write_text("".join(lines))
    handler = functools.partial(Mirror, directory=str(tmp_path / "server"))
    with http.server.ThreadingHTTPServer(("127.0.0.1", 0), handler) as server:
        threading.Thread(target=server.serve_forever, daemon=True).start()
        mirror = f"http://127.0.0.1:{server.server_port}"

        def command(name):
            return "data", "download", "ptb-xl", "--data-root", str(tmp_path / name), "--mirror", mirror

        lasts = ended(*command("whole"))
        folder = tmp_path / "killed" / "ptb-xl" / "1.0.3"
        for _ in killed(lasts, *command("killed")):
            there = [path for path in folder.rglob("*") if path.is_file() and not path.name.startswith("tmp")]
            assert all(
                path.name == CHECKSUMS or path.read_bytes() == files[path.relative_to(folder).as_posix()]
                for path in there
            )
        ended(*command("killed"))
        server.shutdown()
    found = {path.relative_to(folder).as_posix(): path.read_bytes() for path in folder.rglob("*") if path.is_file()}
    found.pop(CHECKSUMS)
    assert found == files, "all of it, and nothing else"
    assert verify("ptb-xl", tmp_path / "killed").ok
