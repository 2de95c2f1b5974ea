"""The command line's wiring: arguments, exit codes and messages. What the commands do is tested with their modules."""

import os
import subprocess
import sys
from pathlib import Path
from types import SimpleNamespace

import pytest

from ecglib.book import cli, driver
from ecglib.core.errors import EcglibError
from ecglib.data import physionet


@pytest.fixture
def calls(monkeypatch):
    """What the command line asked of the library, instead of doing it."""
    record = []

    def note(name):
        return lambda *args, **options: record.append((name, args, options))

    monkeypatch.setattr(driver, "run_notebooks", note("run"))
    monkeypatch.setattr(physionet, "download", note("download"))
    monkeypatch.delenv("ECGLIB_DATA", raising=False)
    return record


def test_run_hands_its_options_on(calls):
    line = "run 01 02 --profile desk --data-root R --seeds 2 --device cpu -p epochs=3 -p name=a=b --output O --force"
    assert cli.main([*line.split(), "--jobs", "3"]) == 0
    assert calls == [
        (
            "run",
            (["01", "02"], "desk", {"epochs": "3", "name": "a=b"}, True),
            {"seeds": 2, "device": "cpu", "data_root": "R", "output": "O", "jobs": 3},
        )
    ]


def test_run_defaults_to_the_smoke_profile_of_every_notebook(calls):
    assert cli.main(["run"]) == 0
    assert calls[0][1] == ([], "smoke", {}, False)
    assert calls[0][2].pop("jobs") == os.cpu_count()
    assert set(calls[0][2].values()) == {None}


@pytest.mark.parametrize(
    "line",
    [
        "",
        "run --profile fast",
        "run --seeds 0",
        "run --seeds x",
        "run --seeds ٣",
        f"run --seeds {'9' * 5000}",
        "run --output=",
        "run --data-root=",
        "run -p epochs",
        "run -p =3",
        "data",
        "data download x",
    ],
)
def test_wrong_usage_exits_with_2(calls, capsys, line):
    with pytest.raises(SystemExit) as stop:
        cli.main(line.split())
    assert stop.value.code == 2
    assert "usage: ecglib" in capsys.readouterr().err
    assert calls == []


@pytest.mark.parametrize(
    ("error", "code", "message"),
    [
        (EcglibError("The disk is full."), 1, "ecglib: The disk is full.\n"),
        (KeyboardInterrupt(), 130, "ecglib: interrupted; what is finished is kept, and the same command goes on"),
        (
            ModuleNotFoundError("No module named 'wfdb'", name="wfdb"),
            1,
            "ecglib: wfdb is not installed: pip install -e '.[data,notebooks,compress]'\n",
        ),
    ],
)
def test_what_a_user_can_mend_is_one_line_without_a_traceback(monkeypatch, capsys, error, code, message):
    def fail(*args, **options):
        raise error

    monkeypatch.setattr(driver, "run_notebooks", fail)
    assert cli.main(["run"]) == code
    assert capsys.readouterr().err.startswith(message)


def test_a_defect_keeps_its_traceback(monkeypatch):
    monkeypatch.delattr(driver, "run_notebooks")
    with pytest.raises(ImportError):
        cli.main(["run"])
    monkeypatch.setitem(sys.modules, "ecglib.book.driver", None)
    with pytest.raises(ModuleNotFoundError):
        cli.main(["run"])


def test_a_missing_papermill_names_the_extra(monkeypatch, capsys):
    monkeypatch.setitem(sys.modules, "papermill", None)
    for module in ("driver", "execute"):
        monkeypatch.delitem(sys.modules, f"ecglib.book.{module}")
    assert cli.main(["run"]) == 1
    assert (
        capsys.readouterr().err == "ecglib: papermill is not installed: pip install -e '.[data,notebooks,compress]'\n"
    )


def test_download_goes_to_the_option_then_the_variable_then_data(calls, tmp_path, monkeypatch):
    monkeypatch.chdir(tmp_path)
    assert cli.main(["data", "download", "mitdb"]) == 0
    monkeypatch.setenv("ECGLIB_DATA", str(tmp_path / "variable"))
    assert cli.main(["data", "download", "mitdb"]) == 0
    mirror = "https://example.org/files"
    assert cli.main(["data", "download", "ptb-xl", "--data-root", "option", "--mirror", mirror]) == 0
    assert calls == [
        ("download", ("mitdb", Path("data")), {"mirror": None}),
        ("download", ("mitdb", tmp_path / "variable"), {"mirror": None}),
        ("download", ("ptb-xl", Path("option")), {"mirror": mirror}),
    ]
    assert all((tmp_path / name).is_dir() for name in ("data", "variable", "option"))


def test_download_into_a_file_is_a_clear_error(calls, tmp_path, capsys):
    (tmp_path / "file").touch()
    assert cli.main(["data", "download", "mitdb", "--data-root", str(tmp_path / "file")]) == 1
    assert capsys.readouterr().err.startswith(f"ecglib: Cannot make the folder {tmp_path / 'file'}")
    assert calls == []


def test_verify_takes_every_database_there_and_fails_with_the_worst(tmp_path, monkeypatch, capsys):
    sound = {"mitdb": True, "ptb-xl": False}
    monkeypatch.setattr(physionet, "find_root", lambda data_root: Path(data_root))
    monkeypatch.setattr(
        "ecglib.data.verify.verify",
        lambda name, root: SimpleNamespace(ok=sound[name], summary=lambda: f"{name}: {sound[name]}"),
    )
    root = ["--data-root", str(tmp_path)]
    (tmp_path / "mitdb").mkdir()
    assert cli.main(["data", "verify", *root]) == 0
    assert capsys.readouterr().out == "mitdb: True\n"
    (tmp_path / "ptb-xl").mkdir()
    assert cli.main(["data", "verify", *root]) == 1
    assert capsys.readouterr().out == "mitdb: True\nptb-xl: False\n"
    assert cli.main(["data", "verify", "mitdb", *root]) == 0
    capsys.readouterr()

    def broken(name, root):
        if name == "mitdb":
            raise EcglibError("its list of checksums is damaged")
        return SimpleNamespace(ok=True, summary=lambda: f"{name}: True")

    monkeypatch.setattr("ecglib.data.verify.verify", broken)
    assert cli.main(["data", "verify", *root]) == 1
    said = capsys.readouterr()
    assert said.out == "ptb-xl: True\n" and "list of checksums" in said.err


def test_debug_shows_where_an_error_comes_from(tmp_path):
    with pytest.raises(EcglibError, match="There is no record"):
        cli.main(["--debug", "detect", str(tmp_path / "nobody")])


def test_the_doctor_says_of_each_problem_what_to_do(tmp_path, monkeypatch, capsys):
    monkeypatch.chdir(tmp_path)  # no checkout
    monkeypatch.delenv("ECGLIB_OUTPUT", raising=False)
    monkeypatch.setitem(sys.modules, "wfdb", None)
    assert cli.main(["doctor", "--data-root", str(tmp_path)]) == 1
    lines = capsys.readouterr().out.splitlines()
    marked = {line[2:].split()[0]: lines[n + 1].strip() for n, line in enumerate(lines) if line.startswith("! ")}
    assert set(marked) >= {"wfdb", "MIT-BIH", "PTB-XL"}
    assert marked["wfdb"].startswith("-> pip install -c constraints.txt -e '.[data,notebooks,compress]'")
    assert marked["MIT-BIH"].startswith("-> ecglib data download mitdb")
    assert all(
        name in "\n".join(lines) for name in ("Python", "torch", "device", "bfloat16", "memory", "disk", "cache")
    )


def test_completion_for_a_shell_knows_the_commands(capsys):
    with pytest.raises(SystemExit) as stop:
        cli.main(["--print-completion", "bash"])
    assert stop.value.code == 0
    assert "classify" in capsys.readouterr().out


def test_help_loads_nothing_heavy():
    heavy = {"torch", "numpy", "pandas", "wfdb", "papermill", "nbformat", "pooch"}
    code = (
        "import sys\nfrom ecglib.book.cli import main\n"
        "try:\n    main(['--help'])\nexcept SystemExit as stop:\n    assert stop.code == 0\n"
        f"assert not {heavy} & set(sys.modules)"
    )
    result = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True)
    assert result.returncode == 0, result.stderr
    assert "run notebooks headless" in result.stdout
