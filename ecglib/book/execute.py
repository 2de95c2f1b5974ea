"""One notebook through papermill: what is kept names no machine, where papermill alone would leave absolute paths."""

import logging
import os
import time
from collections.abc import Mapping
from pathlib import Path

import nbformat
import papermill
from ipykernel.kernelspec import get_kernel_dict
from jupyter_client.kernelspec import KernelSpec
from jupyter_client.manager import AsyncKernelManager
from nbclient.exceptions import DeadKernelError
from papermill.exceptions import PapermillException, PapermillExecutionError

from ecglib.book.parameters import Planned
from ecglib.core.errors import EcglibError
from ecglib.core.files import write_text
from ecglib.runs.workers import tell


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


def execute(job: Planned, target: Path, beside: Mapping[str, str]) -> float:
    """Run a notebook, as `ecglib run` does in a worker process, and write it to `target`; the seconds that it took.

    Every cell is told to the process that started this one.

    Raises:
        EcglibError: a cell failed, the kernel died, or the file cannot be written.
    """
    # Two commands may run the same notebook at the same time, so the partial file is named after the process.
    partial = target.with_name(f"{job.path.stem}.{os.getpid()}.partial.ipynb")
    failed = target.with_name(f"{job.path.stem}.failed.ipynb")
    # If an interruption reaches the kernel's messages first, tornado logs a traceback besides raising it.
    logging.getLogger("tornado").setLevel(logging.CRITICAL)
    start = time.monotonic()
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
            on_cell_complete=lambda **_: tell(job.path.stem),
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
    return time.monotonic() - start


def injected(cell: nbformat.NotebookNode) -> bool:
    """Whether a cell holds the parameters that papermill wrote."""
    return "injected-parameters" in cell.metadata.get("tags", [])


def with_text_of(page: nbformat.NotebookNode, notebook: nbformat.NotebookNode) -> bool:
    """Put the text of `notebook` between the executed cells of `page`, which has the same code; whether it differed."""
    executed = [cell for cell in page.cells if cell.cell_type == "code"]
    cells = []
    for cell in notebook.cells:
        if cell.cell_type != "code":
            cells.append(cell)
            continue
        cells.append(executed.pop(0))
        if executed and injected(executed[0]):
            cells.append(executed.pop(0))
    before, page.cells = page.cells, cells
    return [cell.source for cell in before] != [cell.source for cell in cells]


def _failure(stem: str, failed: Path, error: Exception) -> str:
    """Which cell of which notebook failed and how. Code cell n is In [n] of the source notebook."""
    cells = [
        cell for cell in nbformat.read(failed, as_version=4).cells if cell.cell_type == "code" and not injected(cell)
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
