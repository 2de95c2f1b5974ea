"""The controls of notebooks: they redraw a figure in Jupyter Lab, and are not there where nobody looks on."""

import json
import os
import shutil
import socket
import subprocess
import sys
import time
from pathlib import Path
from urllib.error import URLError
from urllib.request import urlopen

import ipywidgets
import matplotlib.pyplot as plt
import pytest

from ecglib.show.touch import touch

ROOT = Path(__file__).parents[1]
TOUCHED = {"01_data": 1, "02_beatgan_teacher": 2, "03_kd_student": 2}  # how many figures one can touch


def drawing(calls):
    def draw(**values):
        calls.append(values)
        return plt.figure()

    return draw


def test_nothing_is_there_where_nobody_looks_on(monkeypatch):
    monkeypatch.delenv("JPY_SESSION_NAME", raising=False)
    assert touch(drawing([]), T=[1, 2]) is None


def test_a_moved_slider_and_a_pressed_button_draw_anew(monkeypatch):
    monkeypatch.setenv("JPY_SESSION_NAME", "somebody.ipynb")
    calls = []
    shown = touch(drawing(calls), T=[0.1, 1, 4], kind="NSV")
    slider, buttons, _ = shown.children
    assert isinstance(slider, ipywidgets.SelectionSlider) and slider.value == 1
    assert isinstance(buttons, ipywidgets.ToggleButtons) and buttons.value == "N"
    slider.value = 4
    assert calls[-1] == {"T": 4, "kind": "N"}
    buttons.value = "V"
    assert calls[-1] == {"T": 4, "kind": "V"}


@pytest.fixture(scope="module")
def lab(tmp_path_factory):
    """The address of a Jupyter Lab with copies of the notebooks, which shows all cells at once."""
    folder = tmp_path_factory.mktemp("lab")
    for stem in TOUCHED:
        shutil.copy(ROOT / "notebooks" / f"{stem}.ipynb", folder)
    settings = folder / "settings" / "@jupyterlab" / "notebook-extension" / "tracker.jupyterlab-settings"
    settings.parent.mkdir(parents=True)
    settings.write_text(json.dumps({"windowingMode": "none"}))
    with socket.socket() as probe:
        probe.bind(("127.0.0.1", 0))
        port = probe.getsockname()[1]
    options = {
        "ServerApp.token": "",
        "ServerApp.root_dir": folder,
        "ServerApp.allow_root": True,
        "LabApp.expose_app_in_browser": True,
        "LabApp.user_settings_dir": folder / "settings",
        "LabApp.workspaces_dir": folder / "workspaces",
    }
    command = [sys.executable, "-m", "jupyterlab", "--no-browser", f"--port={port}"]
    command += [f"--{name}={value}" for name, value in options.items()]
    environment = os.environ | {"ECGLIB_OUTPUT": str(folder / "output"), "OMP_NUM_THREADS": "1"}
    del environment["MPLBACKEND"]  # kernels draw into the page
    with (
        (folder / "log").open("w") as log,
        subprocess.Popen(command, env=environment, stdout=log, stderr=log) as server,
    ):
        try:
            yield _when_up(f"http://127.0.0.1:{port}")
        finally:
            server.terminate()


def _when_up(address):
    for _ in range(60):
        try:
            with urlopen(f"{address}/api/status"):
                return address
        except URLError:
            time.sleep(1)
    raise TimeoutError(f"Jupyter Lab does not answer at {address}")


@pytest.mark.parametrize("stem", TOUCHED)
def test_in_jupyter_lab_a_notebook_runs_and_its_controls_redraw_their_figures(lab, browser, stem):
    from playwright.sync_api import expect

    page = browser.new_page(viewport={"width": 1400, "height": 1000})
    page.goto(f"{lab}/lab/tree/{stem}.ipynb?reset")
    page.wait_for_function("window.jupyterapp?.shell.currentWidget?.context?.sessionContext.isReady", timeout=120_000)
    page.set_default_timeout(900_000)
    assert page.evaluate("window.jupyterapp.commands.execute('notebook:run-all-cells')")
    assert page.locator("[data-mime-type='application/vnd.jupyter.error']").count() == 0
    shown = page.locator(".widget-interact")
    assert shown.count() == TOUCHED[stem]
    for one in shown.all():
        picture, handle = one.locator("img"), one.locator(".noUi-handle").first
        before = picture.get_attribute("src")
        handle.focus()
        handle.press("ArrowRight")
        expect(picture).not_to_have_attribute("src", before, timeout=20_000)
    page.close()
