"""The driver runs tiny notebooks through real papermill kernels; what is only checked starts none."""

import json
import os
import signal
import subprocess
import sys
import time
from pathlib import Path

import nbformat
import pytest
from nbformat.v4 import new_code_cell, new_markdown_cell, new_notebook

from ecglib.book import driver, parameters
from ecglib.core.errors import EcglibError
from ecglib.core.profiles import PROFILES
from ecglib.data import physionet

PARAMETERS = """\
profile = "smoke"  # smoke | quick | desk | paper
seeds = 1
epochs = 2  # (report: 100)
rate = 1.0
augment = True
device = "auto"
"""
REPORT = """\
import json, os, sys
from pathlib import Path
print(json.dumps({
    "values": [profile, seeds, epochs, rate, augment, device],
    "environment": [os.environ.get(name) for name in ("TQDM_DISABLE", "ECGLIB_OUTPUT", "ECGLIB_DATA")],
    "prefix": sys.prefix,
    "folder": Path.cwd().name,
}))"""


def write_notebook(path: Path, *cells: str, parameters: str = PARAMETERS) -> Path:
    parameter_cell = new_code_cell(parameters, metadata={"tags": ["parameters"]})
    notebook = new_notebook(
        cells=[new_markdown_cell("# A notebook"), parameter_cell, *(new_code_cell(cell) for cell in cells)]
    )
    path.parent.mkdir(parents=True, exist_ok=True)
    nbformat.write(notebook, path)
    return path


def printed(path: Path) -> dict:
    """What the last cell of a finished notebook printed."""
    return json.loads(nbformat.read(path, as_version=4).cells[-1].outputs[0].text)


@pytest.fixture
def checkout(tmp_path, monkeypatch):
    """An empty checkout (its name holds a brace and a space, as a folder may) as the working directory."""
    root = tmp_path / "a {checkout}"
    (root / "notebooks").mkdir(parents=True)
    (root / "pyproject.toml").touch()
    monkeypatch.chdir(root)
    for name in ("ECGLIB_OUTPUT", "ECGLIB_DATA", "TQDM_DISABLE"):
        monkeypatch.delenv(name, raising=False)
    return root


def test_a_run_finishes_is_skipped_and_is_forced(checkout, capsys):
    write_notebook(checkout / "notebooks/01_data.ipynb", REPORT)
    environment = dict(os.environ)
    overrides = {"epochs": "3", "rate": "1e-3", "augment": "false"}

    (path,) = driver.run_notebooks(overrides=overrides, seeds=4, device="cpu")

    assert path == checkout / "papermill_runs/smoke/01_data.ipynb"
    assert sorted(file.name for file in path.parent.iterdir()) == ["01_data.ipynb"]
    result = printed(path)
    assert result["values"] == ["smoke", 4, 3, 0.001, False, "cpu"]
    assert result["environment"] == ["1", str(checkout), None]
    assert result["prefix"] == sys.prefix
    assert result["folder"] == "notebooks"
    assert os.environ == environment
    metadata = nbformat.read(path, as_version=4).metadata
    assert metadata.ecglib.parameters == {"seeds": 4, "device": "cpu", "epochs": 3, "rate": 0.001, "augment": False}
    assert str(checkout.parent) not in json.dumps(metadata)
    lines = capsys.readouterr().out.splitlines()
    assert lines == ["running (smoke): 01_data", lines[1]]
    assert lines[1].startswith("01_data: finished in ")

    first = path.read_bytes()
    driver.run_notebooks(overrides=overrides, seeds=4, device="cpu")
    assert "already finished" in capsys.readouterr().out
    assert path.read_bytes() == first

    driver.run_notebooks(overrides=overrides, seeds=4, device="cpu", force=True)
    assert "finished in" in capsys.readouterr().out
    assert path.read_bytes() != first  # the times of the cells


def test_a_finished_notebook_says_when_the_library_or_the_data_changed_since(
    checkout, capsys, monkeypatch, simulated_root
):
    write_notebook(checkout / "notebooks/01_data.ipynb", REPORT)
    driver.run_notebooks(seeds=2)
    monkeypatch.setattr(driver, "_library", lambda: "another version")
    driver.run_notebooks(seeds=2)
    assert "already finished, but ecglib changed since (--force repeats it)" in capsys.readouterr().out
    monkeypatch.setitem(parameters.PROFILES, "quick", {"01_data": {"profile": "quick"}})
    driver.run_notebooks(profile="quick", data_root=simulated_root)
    monkeypatch.setattr(physionet, "listing", lambda root: "other files")
    driver.run_notebooks(profile="quick", data_root=simulated_root)
    assert "already finished, but the data changed since" in capsys.readouterr().out


def test_the_listing_of_the_data_changes_with_a_file(tmp_path):
    folder = tmp_path / "mitdb" / "1.0.0"
    folder.mkdir(parents=True)
    found = [physionet.listing(tmp_path)]
    for content in (b"a", b"ab"):
        (folder / "100.dat").write_bytes(content)
        found.append(physionet.listing(tmp_path))
    assert len(set(found)) == 3


def test_other_parameters_or_edited_code_are_another_run(checkout, capsys):
    path = write_notebook(checkout / "notebooks/01_data.ipynb", REPORT)
    driver.run_notebooks(seeds=1)
    nbformat.write(nbformat.read(path, as_version=4), path)
    driver.run_notebooks(seeds=1)
    assert "already finished with these parameters" in capsys.readouterr().out
    driver.run_notebooks(seeds=2)
    assert "finished in" in capsys.readouterr().out
    write_notebook(path, REPORT + "\n# a remark")
    driver.run_notebooks(seeds=2)
    assert "finished in" in capsys.readouterr().out


def test_edited_text_is_taken_over_without_running_anything(checkout, capsys):
    path = write_notebook(checkout / "notebooks/01_data.ipynb", "1 + 1", REPORT)
    (page,) = driver.run_notebooks(seeds=2)
    before = nbformat.read(page, as_version=4)
    notebook = nbformat.read(path, as_version=4)
    notebook.cells[0].source = "# A better title"
    notebook.cells.insert(2, new_markdown_cell("Why."))
    notebook.cells.append(new_markdown_cell("What we learned."))
    nbformat.write(notebook, path)

    driver.run_notebooks(seeds=2)

    assert (
        "already finished with these parameters; its new text is taken over (--force repeats it)"
        in capsys.readouterr().out
    )
    after = nbformat.read(page, as_version=4)
    nbformat.validate(after)
    assert [cell.source for cell in after.cells if cell.cell_type == "markdown"] == [
        "# A better title",
        "Why.",
        "What we learned.",
    ]
    assert [cell.cell_type for cell in after.cells] == [
        "markdown",
        "code",
        "code",
        "markdown",
        "code",
        "code",
        "markdown",
    ]
    assert [cell for cell in after.cells if cell.cell_type == "code"] == [
        cell for cell in before.cells if cell.cell_type == "code"
    ]
    assert after.metadata == before.metadata


def test_a_failing_cell_is_named_and_earlier_results_stay(checkout):
    write_notebook(checkout / "notebooks/01_data.ipynb", "1 + 1")
    write_notebook(checkout / "notebooks/02_teacher.ipynb", "1 + 1", "# divide\n1 / 0", "print('not reached')")
    write_notebook(checkout / "notebooks/03_student.ipynb", "1 + 1")
    with pytest.raises(EcglibError) as failure:
        driver.run_notebooks(seeds=2)
    message = str(failure.value)
    runs = checkout / "papermill_runs/smoke"
    assert "02_teacher failed in code cell 3 (# divide): ZeroDivisionError: division by zero." in message
    assert str(runs / "02_teacher.failed.ipynb") in message
    assert sorted(file.name for file in runs.iterdir()) == ["01_data.ipynb", "02_teacher.failed.ipynb"]


def test_a_dead_kernel_is_an_error_and_a_later_success_clears_the_failed_notebook(checkout):
    path = write_notebook(checkout / "notebooks/01_data.ipynb", "import os\nos._exit(1)", "print('not reached')")
    with pytest.raises(
        EcglibError, match=r"01_data failed in code cell 2 \(import os\): DeadKernelError: .*died .*lack of memory"
    ):
        driver.run_notebooks()
    runs = checkout / "papermill_runs/smoke"
    assert [file.name for file in runs.iterdir()] == ["01_data.failed.ipynb"]
    write_notebook(path, "1 + 1")
    driver.run_notebooks()
    assert [file.name for file in runs.iterdir()] == ["01_data.ipynb"]


def test_the_command_runs_by_path_alone_and_an_interruption_keeps_what_is_finished(checkout, tmp_path):
    """As a user has it: no activated environment, and another kernel spec called python3 in the home folder."""
    write_notebook(checkout / "notebooks/01_data.ipynb", REPORT)
    write_notebook(checkout / "notebooks/02_teacher.ipynb", "import time\ntime.sleep(600)")
    spec = tmp_path / "home/jupyter/kernels/python3/kernel.json"
    spec.parent.mkdir(parents=True)
    spec.write_text(json.dumps({"argv": ["/usr/bin/false"], "display_name": "other", "language": "python"}))
    environment = {**os.environ, "PATH": os.defpath, "JUPYTER_PATH": str(tmp_path / "home/jupyter")}
    process = subprocess.Popen(
        [Path(sys.executable).with_name("ecglib"), "run", "--output", "results"],
        env=environment,
        stdout=subprocess.PIPE,
        stderr=subprocess.PIPE,
        text=True,
        # Tests that run in the background inherit that interruptions are ignored.
        preexec_fn=lambda: signal.signal(signal.SIGINT, signal.SIG_DFL),
    )
    runs = checkout / "results/papermill_runs/smoke"
    deadline = time.monotonic() + 240  # on a busy machine kernels start slowly
    while not (
        (runs / "01_data.ipynb").exists()
        and any('"status": "running"' in path.read_text() for path in runs.glob("02_teacher.*.partial.ipynb"))
    ):
        if process.poll() is not None or time.monotonic() > deadline:
            process.kill()
            pytest.fail(f"02_teacher did not start: {process.communicate()}")
        time.sleep(0.1)
    process.send_signal(signal.SIGINT)
    output, errors = process.communicate(timeout=120)
    assert process.returncode == 130, errors
    assert errors.splitlines()[-1].startswith("ecglib: interrupted")
    assert "Traceback" not in errors
    assert "01_data: finished in" in output
    assert printed(runs / "01_data.ipynb")["prefix"] == sys.prefix
    assert not (runs / "02_teacher.ipynb").exists()


@pytest.mark.parametrize(
    ("overrides", "message"),
    [
        ({"epoch": "3"}, r"02_teacher.ipynb has no parameter 'epoch': did you mean 'epochs'\?"),
        ({"zzz": "3"}, "02_teacher.ipynb has no parameter 'zzz': it has profile, seeds, epochs"),
        ({"epochs": "three"}, r"parameter 'epochs' is of type int \(default 2\), but was given 'three'"),
        ({"epochs": "2.5"}, "parameter 'epochs' is of type int"),
        ({"augment": "1"}, "parameter 'augment' is of type bool"),
        ({"rate": "fast"}, "parameter 'rate' is of type float"),
        ({"profile": "paper"}, "use --profile"),
    ],
)
def test_a_wrong_parameter_is_refused_before_anything_runs(checkout, overrides, message):
    everything = PARAMETERS + "epoch = 1\nzzz = 1\n"
    write_notebook(checkout / "notebooks/01_data.ipynb", "1 + 1", parameters=everything)
    write_notebook(checkout / "notebooks/02_teacher.ipynb", "1 + 1")
    with pytest.raises(EcglibError, match=message):
        driver.run_notebooks(overrides=overrides)
    assert not (checkout / "papermill_runs").exists()


def test_an_option_that_no_chosen_notebook_takes_is_refused(checkout):
    write_notebook(checkout / "notebooks/01_data.ipynb", parameters="epochs = 1")
    with pytest.raises(EcglibError, match="None of the chosen notebooks has a parameter 'seeds'"):
        driver.run_notebooks(seeds=2)


def test_a_profile_is_checked_as_the_command_line_is(checkout, monkeypatch):
    path = write_notebook(checkout / "notebooks/01_data.ipynb")
    monkeypatch.setitem(PROFILES["quick"], "01_data", {"profile": "quick", "epochs": "3"})
    with pytest.raises(EcglibError, match="parameter 'epochs' is of type int"):
        parameters.plan([path], "quick", {}, {})
    monkeypatch.delitem(PROFILES["quick"], "01_data")
    with pytest.raises(EcglibError, match="'quick' has no settings for 01_data"):
        parameters.plan([path], "quick", {}, {})
    with pytest.raises(EcglibError, match="no profile 'fast': choose smoke, quick, desk, paper"):
        parameters.plan([path], "fast", {}, {})


def test_the_order_of_precedence_is_profile_then_option_then_override(checkout, monkeypatch):
    path = write_notebook(checkout / "notebooks/01_data.ipynb")
    monkeypatch.setitem(PROFILES["quick"], "01_data", {"profile": "quick", "seeds": 3, "epochs": 6, "rate": 2})
    options = {"seeds": 4, "device": None}
    (job,) = parameters.plan([path], "quick", {"epochs": "7"}, options)
    assert job.parameters == {"profile": "quick", "seeds": 4, "epochs": 7, "rate": 2.0}
    assert type(job.parameters["rate"]) is float


def test_other_arms_never_have_more_seeds_than_their_controls(checkout):
    path = write_notebook(
        checkout / "notebooks/03_student.ipynb", parameters="seeds = 3\nother_seeds = 3\nsweep_seeds = 2"
    )
    cases: dict[int | None, dict[str, int]] = {
        1: {"seeds": 1, "other_seeds": 1, "sweep_seeds": 1},
        2: {"seeds": 2, "other_seeds": 2},
        4: {"seeds": 4},
        None: {},
    }
    for seeds, expected in cases.items():
        (job,) = parameters.plan([path], "smoke", {}, {"seeds": seeds})
        assert job.parameters == expected
    with pytest.raises(EcglibError, match="other_seeds=3 arms would have no control with seeds=2"):
        parameters.plan([path], "smoke", {"other_seeds": "3"}, {"seeds": 2})


def test_a_device_is_checked_before_anything_runs(checkout, monkeypatch):
    write_notebook(checkout / "notebooks/01_data.ipynb", "1 + 1", parameters='device = "auto"\nprofile = "smoke"')
    with pytest.raises(EcglibError, match=r"Device 'gpu' cannot be used here \(.*\): choose cpu, cuda or auto"):
        driver.run_notebooks(device="gpu")
    monkeypatch.setitem(PROFILES["paper"], "01_data", {"profile": "paper"})
    monkeypatch.setattr("torch.cuda.is_available", lambda: False)
    with pytest.raises(EcglibError, match="no GPU here, and paper takes weeks on a CPU: give --device cpu"):
        driver.run_notebooks(profile="paper")
    assert not (checkout / "papermill_runs").exists()


def test_the_real_profiles_need_the_databases_before_anything_runs(checkout, monkeypatch):
    write_notebook(checkout / "notebooks/01_data.ipynb", "1 + 1")
    with pytest.raises(EcglibError, match="ecglib data download"):
        driver.run_notebooks(profile="quick", data_root=checkout / "nothing")
    with pytest.raises(EcglibError, match="simulated"):
        driver.run_notebooks(profile="smoke", data_root=checkout)
    assert not (checkout / "papermill_runs").exists()


def test_the_data_root_reaches_the_kernel_but_not_the_notebook(checkout, monkeypatch):
    write_notebook(checkout / "notebooks/01_data.ipynb", "import os\nassert os.environ['ECGLIB_DATA'] == '/databases'")
    monkeypatch.setattr(physionet, "find_root", lambda data_root: Path(data_root))
    (path,) = driver.run_notebooks(profile="quick", data_root="/databases")
    recorded = nbformat.read(path, as_version=4).metadata
    assert recorded.ecglib.parameters == {"profile": "quick"}
    assert "/databases" not in json.dumps(recorded)
    assert "ECGLIB_DATA" not in os.environ


@pytest.mark.parametrize(
    ("source", "message"),
    [
        ("epochs = 3\nbeats = epochs * 64", r"line 2 has 'epochs \* 64'"),
        ("import os", "line 1 has 'import os'"),
        ("a = b = 1", "a = b = 1"),
        ("sizes = [1, 2]", r"\[1, 2\]"),
        ("nothing = None", "None"),
        ("epochs: int = 3", "epochs: int = 3"),
        ("epochs = ", "not Python, line 1"),
    ],
)
def test_a_parameters_cell_holds_plain_assignments_only(tmp_path, source, message):
    path = write_notebook(tmp_path / "x.ipynb", parameters=source)
    with pytest.raises(EcglibError, match=message):
        parameters.read_parameters(path)


def test_read_parameters_gives_names_and_defaults(tmp_path):
    path = write_notebook(tmp_path / "x.ipynb", parameters=PARAMETERS + "margin = -0.5\n# the end\n")
    assert parameters.read_parameters(path) == {
        "profile": "smoke",
        "seeds": 1,
        "epochs": 2,
        "rate": 1.0,
        "augment": True,
        "device": "auto",
        "margin": -0.5,
    }


def test_read_parameters_refuses_what_is_no_notebook_or_has_no_single_cell(tmp_path):
    path = write_notebook(tmp_path / "x.ipynb")
    notebook = nbformat.read(path, as_version=4)
    notebook.cells.append(new_code_cell("a = 1", metadata={"tags": ["parameters"]}))
    nbformat.write(notebook, path)
    with pytest.raises(EcglibError, match="2 code cells tagged 'parameters'"):
        parameters.read_parameters(path)
    path.write_text("{")
    with pytest.raises(EcglibError, match="is not a notebook"):
        parameters.read_parameters(path)
    with pytest.raises(EcglibError, match="Cannot read the notebook"):
        parameters.read_parameters(tmp_path / "absent.ipynb")


def test_notebooks_are_found_by_number_stem_prefix_or_file(checkout):
    for stem in ("01_data", "02_beatgan_teacher", "03_kd_student", "04_kd_more"):
        write_notebook(checkout / f"notebooks/{stem}.ipynb")

    def found(*names):
        return [path.stem for path in parameters.find_notebooks(names)]

    assert found() == ["01_data", "02_beatgan_teacher", "03_kd_student", "04_kd_more"]
    assert found("03", "1", "01_data") == ["01_data", "03_kd_student"]
    assert found("02_b", "notebooks/04_kd_more.ipynb") == ["02_beatgan_teacher", "04_kd_more"]
    for name in ("05", "x", "0", ""):
        with pytest.raises(EcglibError, match="The notebooks are: 01_data, 02_beatgan_teacher, 03_kd_student"):
            found(name)


def test_a_finished_notebook_that_is_cut_short_counts_as_missing(tmp_path):
    path = tmp_path / "01_data.ipynb"
    assert driver._page(path) is None
    for text in ('{"cells": [', "[]", ""):
        path.write_text(text)
        assert driver._page(path) is None
    write_notebook(path)
    assert driver._page(path).cells[0].source == "# A notebook"
