"""The typed papermill driver: runs the notebooks headless under a profile.

All parameters are checked before the first notebook runs (`parameters`), a finished notebook is not run again, and what
is kept names no machine, where papermill alone would leave absolute paths.
"""

import hashlib
import json
import logging
import os
import time
from collections.abc import Iterator, Mapping, Sequence
from contextlib import contextmanager
from pathlib import Path
from typing import Any

import nbformat
import papermill
from ipykernel.kernelspec import get_kernel_dict
from jupyter_client.kernelspec import KernelSpec
from jupyter_client.manager import AsyncKernelManager
from nbclient.exceptions import DeadKernelError
from papermill.exceptions import PapermillException, PapermillExecutionError

import ecglib
from ecglib.book import parameters
from ecglib.book.parameters import Planned, find_notebooks, plan, read_notebook
from ecglib.core.errors import EcglibError
from ecglib.core.files import output_root, write_text
from ecglib.core.profiles import SMOKE
from ecglib.data import physionet


def run_notebooks(
    names: Sequence[str] = (),
    profile: str = SMOKE,
    overrides: Mapping[str, str] | None = None,
    force: bool = False,
    *,
    seeds: int | None = None,
    device: str | None = None,
    data_root: str | Path | None = None,
    output: str | Path | None = None,
) -> list[Path]:
    """Run notebooks under a profile; those that are finished with the same parameters and source are skipped.

    Args:
        names: numbers ("02"), stems or unique prefixes; empty means every notebook of the checkout.
        profile: a key of `PROFILES`.
        overrides: parameter -> text as typed on the command line; every chosen notebook must have the parameter.
        force: run finished notebooks again.
        seeds: for the chosen notebooks that have a parameter `seeds`.
        device: "auto", "cpu" or "cuda", for the chosen notebooks that have a parameter `device`.
        data_root: folder of the real databases (else `ECGLIB_DATA`, else `data/` in the checkout); not for smoke.
        output: the folder that gets `papermill_runs/` (else `ECGLIB_OUTPUT`, else the checkout).

    Returned are the finished notebooks, `<output>/papermill_runs/<profile>/<stem>.ipynb`, in order.

    Raises:
        EcglibError: a name, parameter or data root is wrong (nothing has run), or a notebook failed: the first failure
            ends the run, the notebooks finished before it stay.
    """
    planned = plan(find_notebooks(names), profile, overrides or {}, {"seeds": seeds, "device": device})
    # The kernel works in the notebook's folder, so it needs absolute paths; as variables they are not recorded in the
    # notebook. Nobody watches the progress bars of a headless run.
    root = Path(output or output_root()).absolute()
    variables = {"TQDM_DISABLE": "1", "ECGLIB_DRIVER": "1", "ECGLIB_OUTPUT": str(root)}
    beside = {"ecglib": _library()}
    databases = parameters.data_root(profile, data_root)
    if profile != SMOKE:
        variables["ECGLIB_DATA"], beside["the data"] = str(databases), physionet.listing(databases)
    folder = root / "papermill_runs" / profile
    finished = []
    with _environment(variables):
        for job in planned:
            target = folder / job.path.name
            found = _finished_entry(target) or {}
            if not force and {name: found.get(name) for name in job.entry} == job.entry:
                changed = [name for name, now in beside.items() if found.get("beside", {}).get(name, now) != now]
                since = f", but {' and '.join(changed)} changed since" if changed else " with these parameters"
                print(f"{job.path.stem}: already finished{since} (--force repeats it)", flush=True)
            else:
                print(f"{job.path.stem}: running ({profile})", flush=True)
                start = time.monotonic()
                _execute(job, target, beside)
                print(f"{job.path.stem}: finished in {time.monotonic() - start:.0f} s: {target}", flush=True)
            finished.append(target)
    return finished


def _library() -> str:
    """A digest of the library's code: a finished notebook may have been made by another version of it."""
    digest = hashlib.sha256()
    for path in sorted(Path(ecglib.__file__).parent.rglob("*.py")):
        digest.update(path.read_bytes())
    return digest.hexdigest()[:16]


def _finished_entry(path: Path) -> Any:
    """The `ecglib` entry of a finished notebook; None if there is none and the notebook has to be run."""
    try:
        return json.loads(path.read_text(encoding="utf-8"))["metadata"].get("ecglib")
    except (FileNotFoundError, ValueError, KeyError):
        return None


class _ThisInterpreter(AsyncKernelManager):
    """Starts kernels with the running interpreter.

    A kernel spec called python3 in the user's home (`ipykernel install --user` makes one) may name another Python, and
    PATH names another where the environment is not activated.
    """

    @property
    def kernel_spec(self) -> KernelSpec:
        # The kernel's own log (unencrypted loopback, a socket closed by an interruption) helps no reader. What a cell
        # logs or raises is in the notebook.
        return KernelSpec(**get_kernel_dict(["--log-level=CRITICAL"]))


def _execute(job: Planned, target: Path, beside: Mapping[str, str]) -> None:
    # Two commands may run the same notebook at the same time, so the partial file is named after the process.
    partial = target.with_name(f"{job.path.stem}.{os.getpid()}.partial.ipynb")
    failed = target.with_name(f"{job.path.stem}.failed.ipynb")
    # If an interruption reaches the kernel's messages first, tornado logs a traceback besides raising it.
    logging.getLogger("tornado").setLevel(logging.CRITICAL)
    try:
        target.parent.mkdir(parents=True, exist_ok=True)
        notebook = papermill.execute_notebook(
            # papermill formats its paths, so a brace in a folder's name has to be doubled
            *(str(path).replace("{", "{{").replace("}", "}}") for path in (job.path, partial)),
            parameters=job.parameters,
            kernel_name="python3",
            language="python",
            kernel_manager_class=_ThisInterpreter,
            cwd=job.path.parent,
            progress_bar=False,
            iopub_timeout=60,  # 4 s is too short for a figure on a busy machine, and ends the run
        )
    except (PapermillException, RuntimeError, TimeoutError) as error:  # a dead kernel is a RuntimeError
        partial.replace(failed)
        raise EcglibError(_failure(job.path.stem, failed, error)) from error
    except OSError as error:
        raise EcglibError(
            f"Cannot write {partial}: {error.strerror or error}. Free disk space or choose another --output."
        ) from error
    for key in ("input_path", "output_path"):
        notebook.metadata.papermill.pop(key, None)
    notebook.metadata["ecglib"] = {**job.entry, "beside": dict(beside)}
    write_text(target, nbformat.writes(notebook))
    partial.unlink()
    failed.unlink(missing_ok=True)


def _failure(stem: str, failed: Path, error: Exception) -> str:
    """Which cell of which notebook failed and how. Code cell n is In [n] of the source notebook."""
    cells = [
        cell
        for cell in read_notebook(failed).cells
        if cell.cell_type == "code" and "injected-parameters" not in cell.metadata.tags
    ]
    started = [(number, cell) for number, cell in enumerate(cells, 1) if cell.metadata.papermill.start_time]
    where = "before its first code cell"
    if started:
        raised = [(number, cell) for number, cell in started if any(o.output_type == "error" for o in cell.outputs)]
        number, cell = (raised or started[-1:])[0]
        where = f"in code cell {number} ({(cell.source.strip() or '(empty)').splitlines()[0]})"
    if isinstance(error, PapermillExecutionError):
        what = f"{error.ename}: {error.evalue}"
    else:
        what = f"{type(error).__name__}: {error}"
    if isinstance(error, DeadKernelError):
        what += " (usually for lack of memory: try a smaller profile)"
    return (
        f"{stem} failed {where}: {what.rstrip('.')}. "
        f"What ran is in {failed}; after mending it, the same command goes on from here."
    )


@contextmanager
def _environment(variables: Mapping[str, str]) -> Iterator[None]:
    """Set environment variables (the kernels inherit them), and put back what was there."""
    before = {name: os.environ.get(name) for name in variables}
    os.environ.update(variables)
    try:
        yield
    finally:
        for name, value in before.items():
            if value is None:
                del os.environ[name]
            else:
                os.environ[name] = value
