"""The device that a run uses, and what it records about it."""

import platform
import subprocess
from functools import cache
from importlib.metadata import PackageNotFoundError, version
from pathlib import Path

import torch

import ecglib
from ecglib.core.errors import EcglibError
from ecglib.core.seeds import deterministic


def choose_device(name: str = "auto") -> torch.device:
    """The torch device called `name`; "auto" is the GPU where there is one.

    Raises:
        EcglibError: the device is unknown or absent.
    """
    if name == "auto":
        name = "cuda" if torch.cuda.is_available() else "cpu"
    try:
        device = torch.device(name)
        torch.zeros(1, device=device)
    except (RuntimeError, AssertionError) as error:
        reason = str(error).splitlines()[0][:120]
        raise EcglibError(f"Device {name!r} cannot be used here ({reason}): choose cpu, cuda or auto.") from error
    if device.type not in ("cpu", "cuda"):
        raise EcglibError(f"Device {name!r} computes nothing, or was never tried: choose cpu, cuda or auto.")
    return device


def environment(device: torch.device) -> dict[str, str]:
    """Versions, device and commit, which a reader needs to judge a number; the machine is not named."""
    packages = ("torch", "numpy", "scipy", "scikit-learn", "pandas", "wfdb")
    versions = {}
    for package in packages:
        try:
            versions[package] = version(package)
        except PackageNotFoundError:
            versions[package] = "absent"
    name = platform.machine()
    if device.type == "cuda":
        repeatable = ", deterministic" if deterministic() else ""
        name = f"{torch.cuda.get_device_name(device)}, CUDA {torch.version.cuda}{repeatable}"
    return {
        "ecglib": ecglib.__version__,
        "python": platform.python_version(),
        **versions,
        "device": f"{device.type} ({name}, {torch.get_num_threads()} threads)",
        "commit": _commit(),
    }


@cache
def _commit() -> str:
    """The commit of this checkout, with `-dirty` if the library has changes that are in none."""
    library = Path(__file__).parents[1]

    def git(*command: str) -> str:
        # Without optional locks: the reader may be committing at this moment.
        whole = ["git", "--no-optional-locks", "-C", str(library), *command]
        return subprocess.run(whole, capture_output=True, text=True, check=True, timeout=10).stdout.strip()

    try:
        commit = git("rev-parse", "--short", "HEAD")
        return commit + ("-dirty" if git("status", "--porcelain", "--untracked-files=no", "--", ".") else "")
    except (OSError, subprocess.SubprocessError):
        return "not a checkout"
