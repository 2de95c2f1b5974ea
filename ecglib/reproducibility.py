"""The one function that seeds everything, and the facts about a machine that a run records."""

import os
import platform
import random
import subprocess
from importlib.metadata import PackageNotFoundError, version
from pathlib import Path

import numpy as np
import torch

import ecglib
from ecglib.errors import EcglibError


def seed_everything(*seeds: int) -> None:
    """Seed Python, NumPy and torch (every device) from one or more integers, and ask cuDNN for repeatable kernels.

    A GPU's convolutions keep all bits of float32, as a CPU's do; by default they would drop 13 of them (TF32).

    `seed_everything(seed, epoch)` gives each epoch its own stream, so a resumed epoch draws what it would have drawn.
    """
    state = int(np.random.SeedSequence(seeds).generate_state(1)[0])
    random.seed(state)
    np.random.seed(state)  # noqa: NPY002 - libraries still draw from the global state
    torch.manual_seed(state)
    torch.backends.cudnn.deterministic = True
    torch.backends.cudnn.benchmark = False
    torch.backends.cudnn.allow_tf32 = False  # of all kinds of layers; torch.export refuses a mixture


def choose_device(name: str = "auto") -> torch.device:
    """The torch device called `name`; "auto" is the GPU where there is one, "cuda" the own one of each of torchrun's.

    Raises:
        EcglibError: the device is unknown or absent.
    """
    if name == "auto":
        name = "cuda" if torch.cuda.is_available() else "cpu"
    if name == "cuda":
        name = f"cuda:{os.environ.get('LOCAL_RANK', 0)}"
    try:
        device = torch.device(name)
        torch.zeros(1, device=device)
    except (RuntimeError, AssertionError) as error:
        raise EcglibError(f"Device {name!r} cannot be used here ({error}): choose cpu, cuda or auto.") from error
    return device


def environment(device: torch.device) -> dict[str, str]:
    """Versions, device and commit: what a reader needs to judge a number, without naming the machine."""
    packages = ("torch", "numpy", "scipy", "scikit-learn", "pandas", "wfdb", "biosppy")
    versions = {}
    for package in packages:
        try:
            versions[package] = version(package)
        except PackageNotFoundError:
            versions[package] = "absent"
    name = platform.machine()
    if device.type == "cuda":
        name = f"{torch.cuda.get_device_name(device)}, CUDA {torch.version.cuda}"
    return {
        "ecglib": ecglib.__version__,
        "python": platform.python_version(),
        **versions,
        "device": f"{device.type} ({name}, {torch.get_num_threads()} threads)",
        "commit": _commit(),
    }


def _commit() -> str:
    command = ["git", "-C", str(Path(__file__).parent), "rev-parse", "--short", "HEAD"]
    try:
        return subprocess.run(command, capture_output=True, text=True, check=True, timeout=10).stdout.strip()
    except (OSError, subprocess.SubprocessError):
        return "not a checkout"
