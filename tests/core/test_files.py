"""Writing: all or nothing, and one clear error."""

import json
import os
from pathlib import Path

import pytest

from ecglib.core import files
from ecglib.core.errors import EcglibError


def test_a_failure_in_the_middle_leaves_the_old_file_and_no_other(tmp_path):
    path = tmp_path / "result.txt"
    files.write_text(path, "old")
    with pytest.raises(ZeroDivisionError), files.atomic_path(path) as temporary:
        temporary.write_text("half")
        _ = 1 / 0
    assert path.read_text() == "old"
    assert list(tmp_path.iterdir()) == [path]


@pytest.mark.parametrize("folder", [False, True])
def test_a_full_disk_is_one_clear_error_and_leaves_nothing(tmp_path, folder):
    with (
        pytest.raises(EcglibError, match=r"Cannot write .*result: No space left on device\. Free disk space"),
        files.atomic_path(tmp_path / "result", folder=folder) as temporary,
    ):
        (temporary / "part" if folder else temporary).write_text("half")
        raise OSError(28, "No space left on device")
    assert list(tmp_path.iterdir()) == []


def test_a_folder_that_another_process_finished_first_wins(tmp_path):
    path = tmp_path / "cache"
    with files.atomic_path(path, folder=True) as temporary:
        (temporary / "a").write_text("second")
        path.mkdir()
        (path / "a").write_text("first")
    assert (path / "a").read_text() == "first"
    assert list(tmp_path.iterdir()) == [path]


def test_json_is_sorted_and_readable_by_others(tmp_path):
    path = tmp_path / "deep" / "value.json"
    files.write_json(path, {"b": 1, "a": "심전도"})
    assert path.read_text(encoding="utf-8") == '{\n  "a": "심전도",\n  "b": 1\n}\n'
    assert json.loads(path.read_text(encoding="utf-8"))["b"] == 1
    assert path.stat().st_mode & 0o444 == 0o444


def test_output_goes_to_the_variable_or_the_checkout(tmp_path, monkeypatch):
    monkeypatch.setenv("ECGLIB_OUTPUT", str(tmp_path))
    assert files.output_root() == tmp_path
    monkeypatch.delenv("ECGLIB_OUTPUT")
    assert (files.output_root() / "pyproject.toml").is_file()
    monkeypatch.chdir(tmp_path)
    with pytest.raises(EcglibError, match="not inside a checkout"):
        files.project_root()


def test_what_is_no_plain_file_is_not_replaced(tmp_path):
    os.mkfifo(tmp_path / "pipe")
    for place in (tmp_path / "pipe", tmp_path, Path("/dev/null")):
        with pytest.raises(EcglibError, match="is no plain file, so it is not replaced"):
            files.write_text(place, "text")
    assert (tmp_path / "pipe").is_fifo() and Path("/dev/null").is_char_device()


def test_a_name_that_no_disk_takes_is_one_error(tmp_path):
    with pytest.raises(EcglibError, match="Cannot write"):
        files.write_text(tmp_path / "a\0b", "text")


def test_old_leftovers_are_swept_and_new_ones_stay(tmp_path):
    for name in (".old.1", ".new.2", "kept"):
        (tmp_path / name).mkdir()
        (tmp_path / name / "file").write_text("half")
    os.utime(tmp_path / ".old.1", (0, 0))
    files.sweep(tmp_path, ".*")
    assert sorted(path.name for path in tmp_path.iterdir()) == [".new.2", "kept"]


def test_a_killed_write_leaves_nothing_for_good(tmp_path):
    killed = tmp_path / ".a[1].json.k2x_7fq1.partial"
    others = [tmp_path / name for name in (".a[1].json.original", ".b.json.k2x_7fq1.partial", "a.json")]
    for path in (killed, *others):
        path.write_text("half")
        os.utime(path, (0, 0))
    files.write_json(tmp_path / "a[1].json", {})
    assert sorted(tmp_path.iterdir()) == sorted([*others, tmp_path / "a[1].json"])


def test_a_failed_read_is_no_failed_write(tmp_path):
    source = tmp_path / "source"
    with pytest.raises(FileNotFoundError), files.atomic_path(tmp_path / "results" / "one"):
        source.read_text()
    assert not list((tmp_path / "results").iterdir())
    (tmp_path / "file").touch()
    with pytest.raises(EcglibError, match="Cannot write"), files.atomic_path(tmp_path / "file" / "below" / "one"):
        pass
