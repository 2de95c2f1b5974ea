"""`ecglib train`: the grid is that of the notebooks, in a useful order; what is left, within a budget, resumed."""

import json
import os
import signal
import subprocess
import sys
import time

import pytest
import torch

from ecglib.book import cli, parameters, train
from ecglib.core.errors import EcglibError
from ecglib.core.files import project_root, sole_process
from ecglib.core.profiles import PROFILES
from ecglib.data import mitbih, ptbxl
from ecglib.runs import cluster, pool

TINY = ["-p", "epochs=2", "-p", "train_beats=128", "-p", "validation_beats=200", "-p", "width=0.125"]
TINY += ["-p", "batch_size=64"]


def planned(profile, *names, **overrides):
    return parameters.plan(parameters.find_notebooks(names), profile, overrides, {})


class Named:
    """Data of which only the fingerprint counts."""

    def __init__(self, fingerprint):
        self.fingerprint = fingerprint


@pytest.mark.parametrize("profile", ["quick", "desk"])
def test_the_grid_has_every_committed_run_and_no_other(profile, monkeypatch):
    lines = (project_root() / "papermill_runs" / profile / "runs.jsonl").read_text("utf-8").splitlines()
    stored = {row["run"]: row["config"] for row in map(json.loads, lines)}
    beats = {config["data"] for config in stored.values() if "network" not in config and "lesson" not in config}
    (of_beats,) = {one for one in beats if any(stored[run]["data"] == one for run in stored if "beatgan" in run)}
    (of_records,) = {config["data"] for config in stored.values()} - {of_beats}
    loads = {mitbih.load_beats: of_beats, ptbxl.load_records: of_records}
    grids = {name: (lambda root, load=load: Named(loads[load]), arms) for name, (load, arms) in train.GRIDS.items()}
    monkeypatch.setattr(train, "GRIDS", grids)
    grid = train.grid(planned(profile), None)
    found = {one.config.run_id for one in grid}
    # A demonstration in 03 on few beats, which starts from the teacher that turned out best.
    twins = {run for run, config in stored.items() if config.get("train_beats") == 640}
    # Of arms that 03 leaves out until all of their seeds are trained.
    ahead = {run for run, config in stored.items() if config["training"].get("epochs") == 20} - found
    assert {stored[run]["training"]["seed"] for run in ahead} <= {100, 101, 102, 103, 104}
    assert found == stored.keys() - twins - ahead
    assert len(twins) == 2


def test_scenarios_and_detectors_have_budgets_of_their_own(simulated_root):
    changes = {"epochs": "3", "train_beats": "320", "scenario_epochs": "4", "scenario_train_beats": "400"}
    found = {}
    for one in train.grid(planned("smoke", "04", **changes), simulated_root):
        found.setdefault(one.arm, set()).add((one.config.training.epochs, one.config.train_beats))
    of_encoders = {name: found.pop(name) for name in ("encoder", "encoder, patients")}
    assert set.union(*of_encoders.values()) == {(6, 320)}
    of_detectors = {name: found.pop(name) for name in ("BeatGAN", "patients")}
    assert set.union(*of_detectors.values()) == {(3, 320)}
    assert {"A", "B", "D", "1", "1p", "2", "12"} < set(found)
    assert set.union(*found.values()) == {(4, 400)}


def test_first_seeds_come_first_and_parents_before_their_children(simulated_root):
    grid = train.grid(planned("smoke", "03", seeds="2", other_seeds="2"), simulated_root)
    position = {one.config.run_id: number for number, one in enumerate(grid)}
    for one in grid:
        assert all(position[parent] < position[one.config.run_id] for parent in one.config.parents)
    seeds = [one.seed for one in grid]
    assert seeds == sorted(seeds) and set(seeds) == {0, 1}


def test_patterns_choose_arms_in_their_order_with_what_they_need(simulated_root):
    everything = planned("smoke", "03", seeds="2", other_seeds="2")
    grid = train.grid(everything, simulated_root, ["H4+", "B"])
    assert [one.arm for one in grid] == ["A", "H4+", "A", "H4+", "B", "B"]
    assert [one.arm for one in train.grid(everything, simulated_root, ["time warp"])] == ["warp", "warp"]
    with pytest.raises(EcglibError, match="No training fits 'Z'"):
        train.grid(everything, simulated_root, ["Z"])


def test_a_run_of_several_arms_is_found_by_the_name_of_each(simulated_root):
    """The first setting of each chain of optimizers and batch sizes begins with fresh weights."""
    everything = planned("smoke", "05", other_seeds="1")
    fresh = train.grid(everything, simulated_root, ["fresh: *"])
    assert len(fresh) == len({one.config.run_id for one in fresh}) == 6, "batch 64 is Adam"
    for name in ("fresh: Adam", "carried over: Adam", "fresh: batch 64", "in reverse: SGD"):
        assert len(train.grid(everything, simulated_root, [name])) == 1, name


def test_the_bar_ends_where_a_training_stops_early(simulated_root):
    (first, *_) = train.grid(planned("smoke", "05", other_seeds="1"), simulated_root)
    run = first.config.run_id
    with train._Progress([train.Rest(first, False, 50, 2.0)]) as progress:
        for _ in range(12):
            progress(run, pool.EPOCH)
        assert progress.bar.n == 24
        progress(run, "finished")
        assert progress.bar.n == progress.bar.total == 100


def test_the_list_says_what_is_left_and_trains_nothing(tmp_path, simulated_root, capsys):
    command = ["train", "03", "--only", "H4+", "--output", str(tmp_path), "--jobs", "2"]
    assert cli.main([*command, "--list"]) == 0
    said = capsys.readouterr().out
    assert "H 1/4 width + KD on x'" in said and "of 4 trainings are left" in said and "--jobs 2" in said
    assert not list(tmp_path.rglob("runs/*/"))
    assert cli.main(command) == 0
    assert cli.main([*command, "--list"]) == 0
    assert "0 of 4 trainings are left: about 0.0 hours" in capsys.readouterr().out


def test_a_training_of_another_process_is_named_and_is_no_lack_of_time(tmp_path, simulated_root, capsys):
    command = ["train", "03", *TINY, "--only", "B", "--output", str(tmp_path), "--jobs", "1"]
    store = tmp_path / "papermill_runs" / "smoke" / "runs"
    values = {"epochs": "2", "train_beats": "128", "validation_beats": "200", "width": "0.125", "batch_size": "64"}
    first = train.grid(planned("smoke", "03", **values), simulated_root, ["B"])[0].config.run_id
    with sole_process(store, first, "as another process would"):
        assert cli.main(command) == 1
    said = capsys.readouterr()
    assert f"Another process is training {first}: wait" in said.err and "out of time" not in said.out
    assert cli.main(command) == 0


def test_a_device_among_the_parameters_is_used(tmp_path, monkeypatch):
    asked = []
    monkeypatch.setattr(train, "train", lambda *_, device, **__: asked.append(device) or True)
    command = ["train", "03", *TINY, "--only", "B", "--output", str(tmp_path)]
    for options in (["-p", "device=cpu"], ["--device", "cpu"], []):
        assert cli.main([*command, *options]) == 0
    assert asked == ["cpu", "cpu", "auto"]


def test_a_failed_training_is_named_and_the_exit_code_is_1(tmp_path, simulated_root, capsys):
    command = [
        "train",
        "03",
        *TINY,
        "-p",
        "train_beats=0",
        "-p",
        "batch_size=65000",
        "--only",
        "B",
        "--output",
        str(tmp_path),
    ]
    assert cli.main(command) == 1
    assert "trainings failed" in (said := capsys.readouterr().err)
    assert "do not fill one batch" in said


def test_a_budget_that_ends_says_so_by_its_exit_code(tmp_path, simulated_root, capsys):
    command = ["train", "03", *TINY, "--only", "B", "--output", str(tmp_path), "--jobs", "1"]
    assert cli.main([*command, "--budget", "0.0001"]) == cli.OUT_OF_TIME
    assert "the same command goes on" in capsys.readouterr().out
    assert cli.main(command) == 0


def test_an_interrupted_command_stops_its_workers_and_goes_on(tmp_path, simulated_root):
    command = [sys.executable, "-m", "ecglib.book.cli", "train", "03", *TINY, "-p", "epochs=30", "--only", "B"]
    command += ["--output", str(tmp_path), "--jobs", "2"]
    store = tmp_path / "papermill_runs" / "smoke" / "runs"
    process = subprocess.Popen(
        command,
        stdout=subprocess.PIPE,
        stderr=subprocess.STDOUT,
        text=True,
        preexec_fn=lambda: signal.signal(signal.SIGINT, signal.SIG_DFL),
    )
    deadline = time.monotonic() + 240
    while not list(store.glob("*/checkpoint.pt")) and time.monotonic() < deadline:
        time.sleep(0.2)
    os.kill(process.pid, signal.SIGINT)
    said, _ = process.communicate(timeout=60)
    assert process.returncode == 130 and "goes on from there" in said and "Traceback" not in said
    before = {path: path.stat().st_mtime for path in store.glob("*/checkpoint.pt")}
    assert before
    time.sleep(2)
    assert {path: path.stat().st_mtime for path in store.glob("*/checkpoint.pt")} == before  # nobody trains on


def test_every_profile_plans_its_grid(simulated_root):
    for profile in PROFILES:
        if profile != "paper":  # which refuses a machine without a GPU
            notebooks = planned(profile)
            assert train.grid(notebooks, simulated_root)


def test_a_clusters_devices_are_not_looked_for_here(tmp_path, simulated_root, monkeypatch, capsys):
    monkeypatch.setattr(cluster, "WAIT", 1)
    command = ["train", "03", "--only", "B", "--output", str(tmp_path), "--device", "cuda"]
    assert cli.main([*command, "--scheduler", "tcp://127.0.0.1:1"]) == 1
    assert "No dask scheduler answers" in capsys.readouterr().err
    with monkeypatch.context() as patch:
        asked = []
        patch.setattr(cluster, "train_on", lambda *given: asked.append(given[4]) or pool.Outcome())
        assert cli.main([*command, "--scheduler", "tcp://127.0.0.1:1"]) == 0
        assert asked == ["cuda"]
    if not torch.cuda.is_available():
        assert cli.main(command) == 1
        assert "Device 'cuda' cannot be used here" in capsys.readouterr().err
