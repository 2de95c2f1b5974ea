"""A disk that is really full or read-only: one clear error, nothing half written; afterwards the command goes on."""

import subprocess
import sys
from pathlib import Path

import pytest

from ecglib.book.cli import main

TRAIN = ["train", "03", "--only", "B", "--seeds", "1", "--jobs", "1", "-p", "width=0.125", "-p", "epochs=2"]


@pytest.fixture
def disk(tmp_path):
    """A folder with its own small disk, and a function that gives it another size."""
    folder = tmp_path / "disk"
    folder.mkdir()
    try:
        subprocess.run(["mount", "-t", "tmpfs", "-o", "size=200k", "tmpfs", folder], check=True, capture_output=True)
    except (OSError, subprocess.CalledProcessError):
        pytest.skip("a disk can only be mounted by root, and not in every container")
    yield folder, lambda size: subprocess.run(["mount", "-o", f"remount,size={size}", folder], check=True)
    subprocess.run(["umount", folder], check=True)


def test_a_training_on_a_full_disk_is_one_error_and_goes_on_with_more_space(disk, simulated_root, capsys):
    folder, resize = disk
    command = [*TRAIN, "--output", str(folder)]
    assert main(command) == 1
    assert "No space left on device" in capsys.readouterr().err
    store = folder / "papermill_runs" / "smoke" / "runs"
    assert not [path for path in store.rglob(".*") if path.is_file()], "no temporary file stays"
    resize("60m")
    assert main(command) == 0
    (run,) = store.glob("*/metrics.json")
    assert not (run.parent / "checkpoint.pt").exists()


def test_a_page_on_a_full_disk_is_one_error(disk, simulated_root, capsys):
    folder, _ = disk
    record = simulated_root / "mitdb" / "1.0.0" / "208"
    (folder / "filler").write_bytes(bytes(190_000))
    assert main(["detect", str(record), "--out", str(folder / "out")]) == 1
    (line,) = [line for line in capsys.readouterr().err.splitlines() if line.startswith("ecglib: ")]
    assert "No space left on device. Free disk space" in line
    assert not [path.name for path in (folder / "out").iterdir() if path.name.startswith(".")]


def test_output_for_which_there_is_no_room_is_one_error(simulated_root):
    command = [sys.executable, "-m", "ecglib.book.cli", "data", "verify", "mitdb", "--data-root", str(simulated_root)]
    with Path("/dev/full").open("w") as full:
        found = subprocess.run(command, stdout=full, stderr=subprocess.PIPE, text=True)
    assert found.returncode == 1
    (line,) = found.stderr.splitlines()
    assert line.startswith("ecglib: The output, or a temporary file in") and "No space left on device" in line


def test_a_disk_that_is_read_only_is_one_error(disk, simulated_root, capsys):
    folder, _ = disk
    subprocess.run(["mount", "-o", "remount,ro", folder], check=True)
    record = str(simulated_root / "mitdb" / "1.0.0" / "208")
    commands = [
        [*TRAIN, "--output", str(folder / "out")],
        ["run", "01", "--output", str(folder)],
        ["detect", record, "--out", str(folder / "out")],
        ["data", "pack", "mitdb", str(folder / "out"), "--data-root", str(simulated_root)],
        ["data", "download", "mitdb", "--data-root", str(folder / "out"), "--mirror", "http://127.0.0.1:1"],
    ]
    for command in commands:
        assert main(command) == 1
        (line,) = [line for line in capsys.readouterr().err.splitlines() if "ecglib: " in line]
        assert "Read-only file system" in line
    assert not list(folder.iterdir())
