"""What every test module may use; nothing here needs the network or a screen."""

import os
import shutil
from pathlib import Path

import pytest

os.environ["MPLBACKEND"] = "Agg"  # before anything imports matplotlib

try:
    import torch
except ImportError:  # the tests of the driver and of the notebooks' structure need no torch
    pass
else:
    # The tests' networks are small: more threads cost more than they give.
    torch.set_num_threads(int(os.environ.get("OMP_NUM_THREADS", 2)))


@pytest.fixture(scope="session")
def real_root() -> Path:
    """The folder of the real databases, read-only."""
    root = os.environ.get("ECGLIB_DATA")
    if not (root and Path(root).is_dir()):
        pytest.skip("the real databases are absent: set ECGLIB_DATA to a folder that holds mitdb/1.0.0")
    return Path(root)


@pytest.fixture(scope="session")
def simulated_root() -> Path:
    """The folder of the simulated databases, made once and kept in the cache."""
    from ecglib.data import simulate

    return simulate.simulated_root()


@pytest.fixture(scope="session")
def beats(simulated_root):
    """Simulated beats of six records, every class among them."""
    from ecglib.data import mitbih

    return mitbih.load_beats(simulated_root, records=("100", "106", "118", "200", "208", "223"))


@pytest.fixture(scope="session")
def tiny(beats):
    """A BeatGAN an eighth as wide, for one epoch of four steps on `beats`."""
    from ecglib.beatgan.task import BeatGANConfig
    from ecglib.beatgan.training import Settings

    settings = Settings(seed=0, epochs=1, batch_size=16)
    return BeatGANConfig(beats.fingerprint, settings, width=0.125, train_beats=64, validation_beats=60, test_beats=150)


CHROMIUM = shutil.which("chromium") or shutil.which("chromium-browser") or shutil.which("google-chrome")
FLAGS = ["--no-sandbox", "--disable-gpu", "--disable-background-networking", "--disable-component-update"]


@pytest.fixture(scope="module")
def browser():
    """A headless Chromium, if this machine has one."""
    if CHROMIUM is None:
        pytest.skip("no Chromium on this machine")
    from playwright.sync_api import sync_playwright

    with sync_playwright() as playwright:
        opened = playwright.chromium.launch(executable_path=CHROMIUM, args=FLAGS)
        yield opened
        opened.close()
