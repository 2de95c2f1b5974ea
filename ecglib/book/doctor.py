"""`ecglib doctor`: what this machine has, and for each problem what to do."""

import importlib
import os
import platform
import shutil
import sys
import time
from collections.abc import Callable, Iterator
from dataclasses import dataclass
from importlib.metadata import PackageNotFoundError, requires, version
from pathlib import Path

from packaging.requirements import Requirement

from ecglib.core.errors import EcglibError
from ecglib.core.files import cache_dir, output_root
from ecglib.core.processors import cores
from ecglib.data import physionet

OLDEST_PYTHON = (3, 11)
OURSELVES = "ecg-paper-companion"  # as pyproject.toml calls it
EXTRAS = ("data", "notebooks", "compress")  # that a run of all notebooks needs
MODULES = {"scikit-learn": "sklearn", "iterative-stratification": "iterstrat", "ipython": "IPython"}  # others: by name
DISK = 5e9  # bytes for a run of all notebooks with the databases
MEMORY = 4e9  # bytes for one training beside the system


@dataclass(frozen=True)
class Finding:
    """One line of the report; `advice` says what to do, and is empty where all is well."""

    what: str
    found: str
    advice: str = ""


def examine(data_root: str | None = None) -> Iterator[Finding]:
    """Everything that a run depends on, one finding after another."""
    yield _python()
    yield from _packages()
    for part in (_device, _bfloat16, _memory, _disk):
        yield _careful(part)
    yield from _data(data_root)
    yield _careful(_cache)
    yield _careful(_checkout)


def _careful(part: Callable[[], Finding]) -> Finding:
    """A finding; a machine on which it cannot be made is a finding, too."""
    try:
        return part()
    except Exception as error:  # whatever is wrong is what the reader wants to know
        return Finding(part.__name__.strip("_"), f"cannot be found out ({type(error).__name__}: {error})", "see above")


def _python() -> Finding:
    found = f"{platform.python_version()} ({sys.executable})"
    old = sys.version_info[:2] < OLDEST_PYTHON
    return Finding("Python", found, f"use Python {'.'.join(map(str, OLDEST_PYTHON))} or newer" if old else "")


def _packages() -> Iterator[Finding]:
    advice = f"pip install -c constraints.txt -e '.[{','.join(EXTRAS)}]'"
    try:
        needed = [Requirement(line) for line in requires(OURSELVES) or ()]
    except PackageNotFoundError:
        yield Finding(OURSELVES, "not installed", advice)
        return
    for one in needed:
        if one.marker and not any(one.marker.evaluate({"extra": extra}) for extra in EXTRAS):
            continue
        try:
            found = version(one.name)
            importlib.import_module(MODULES.get(one.name, one.name.replace("-", "_")))
        except PackageNotFoundError:
            yield Finding(one.name, "not installed", advice)
        except Exception as error:  # a broken installation may raise anything
            yield Finding(
                one.name, f"cannot be imported ({type(error).__name__}: {error})", f"{advice} --force-reinstall"
            )
        else:
            yield Finding(
                one.name,
                found,
                "" if one.specifier.contains(found, prereleases=True) else f"{one.specifier} is needed: {advice}",
            )


def _device() -> Finding:
    import torch

    if torch.cuda.is_available():
        return Finding("device", f"{torch.cuda.get_device_name()}, CUDA {torch.version.cuda}")
    return Finding(
        "device", f"CPU, {cores()} cores, {torch.get_num_threads()} threads (paper takes weeks without a GPU)"
    )


def _bfloat16() -> Finding:
    import torch

    from ecglib.core.precision import speed_up

    factor = speed_up(torch.device("cuda" if torch.cuda.is_available() else "cpu"))
    return Finding("bfloat16", f"a training step is {factor:.2f} times as fast as in float32")


def _memory() -> Finding:
    try:
        pages = os.sysconf("SC_AVPHYS_PAGES") * os.sysconf("SC_PAGE_SIZE")
    except ValueError:  # macOS does not say
        return Finding("memory", "how much is free, this system does not say")
    advice = "close other programs, and use --jobs 1" if pages < MEMORY else ""
    return Finding("memory", f"{pages / 1e9:.1f} GB are free", advice)


def _disk() -> Finding:
    place = cache_dir()
    while not place.exists():
        place = place.parent
    free = shutil.disk_usage(place).free
    return Finding(
        "disk", f"{free / 1e9:.1f} GB are free at {place}", "set ECGLIB_CACHE to a larger disk" if free < DISK else ""
    )


def _data(data_root: str | None) -> Iterator[Finding]:
    root, source = physionet.choose_root(data_root)
    for name, database in physionet.DATABASES.items():
        if physionet.packed(root, name):
            yield Finding(database.title, f"parts in {root} ({source})")
        elif not database.folder(root).is_dir():
            advice = f"ecglib data download {name} (the smoke profile needs none)"
            yield Finding(database.title, f"not in {root} ({source})", advice)
        else:
            from ecglib.data.verify import verify  # here: packages that it needs may be absent, which is said above

            start = time.monotonic()
            try:
                found = verify(name, root)
            except EcglibError as error:  # its message says what to do
                yield Finding(database.title, str(error), "see there")
                continue
            spent = time.monotonic() - start
            advice = "" if found.ok else f"ecglib data download {name} --data-root {root}"
            yield Finding(database.title, f"{database.version_below(root)}: {found.summary()} ({spent:.0f} s)", advice)


def _cache() -> Finding:
    place = cache_dir()
    if not place.exists():
        return Finding("cache", f"{place} is not there yet")
    size = sum(path.stat().st_size for path in place.rglob("*") if path.is_file())
    advice = "" if os.access(place, os.W_OK) else "set ECGLIB_CACHE to a folder that can be written"
    return Finding("cache", f"{size / 1e6:.0f} MB in {place}, which may be deleted", advice)


def _checkout() -> Finding:
    try:
        root = Path(output_root())
    except EcglibError:
        return Finding("checkout", "none here: detect, classify, compare, data and export --from need none")
    return Finding(
        "results", f"go to {root / 'papermill_runs'}", "" if os.access(root, os.W_OK) else "choose another --output"
    )
