"""`ecglib run`: the notebooks headless under a profile, side by side, after their trainings.

All parameters are checked before anything runs (`parameters`), the trainings of all notebooks are done side by side
(`train`), and a finished notebook is not run again.
"""

import hashlib
import os
import sys
from collections.abc import Iterator, Mapping, Sequence
from concurrent.futures import FIRST_COMPLETED, Future, wait
from concurrent.futures.process import BrokenProcessPool
from contextlib import contextmanager
from pathlib import Path

import nbformat
from tqdm.auto import tqdm

import ecglib
from ecglib.book import parameters, train
from ecglib.book.execute import execute, injected, with_text_of
from ecglib.book.parameters import Planned, find_notebooks, plan, read_notebook
from ecglib.core.errors import EcglibError
from ecglib.core.files import output_root, write_text
from ecglib.core.profiles import SMOKE
from ecglib.data import physionet
from ecglib.runs.workers import workers


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
    jobs: int = 1,
) -> list[Path]:
    """Run notebooks under a profile; those that are finished with the same parameters and code are skipped.

    Where only the text of a finished notebook has changed, the new text is written beside its outputs.

    Args:
        names: numbers ("02"), stems or unique prefixes; empty means every notebook of the checkout.
        profile: a key of `PROFILES`.
        overrides: parameter -> text as typed on the command line; every chosen notebook must have the parameter.
        force: run finished notebooks again.
        seeds: for the chosen notebooks that have a parameter `seeds`.
        device: "auto", "cpu" or "cuda", for the chosen notebooks that have a parameter `device`.
        data_root: folder of the real databases (else `ECGLIB_DATA`, else `data/` in the checkout); not for smoke.
        output: the folder that gets `papermill_runs/` (else `ECGLIB_OUTPUT`, else the checkout).
        jobs: trainings, and then notebooks, at the same time; each has one thread.

    Returned are the finished notebooks, `<output>/papermill_runs/<profile>/<stem>.ipynb`, in order.

    Raises:
        EcglibError: a name, parameter or data root is wrong (nothing has run), or a training or a notebook failed: no
            further notebook starts, and what is finished stays.
    """
    planned = plan(find_notebooks(names), profile, overrides or {}, {"seeds": seeds, "device": device})
    # The kernel works in the notebook's folder, so it needs absolute paths; as variables they are not recorded in the
    # notebook. Nobody watches the progress bars of a headless run.
    root = output_root(output).absolute()
    variables = {"TQDM_DISABLE": "1", "ECGLIB_DRIVER": "1", "ECGLIB_OUTPUT": str(root)}
    beside = {"ecglib": _library()}
    databases = parameters.data_root(profile, data_root)
    if profile != SMOKE:
        variables["ECGLIB_DATA"], beside["the data"] = str(databases), physionet.listing(databases)
    folder = root / "papermill_runs" / profile
    _sweep(folder)
    todo = [job for job in planned if force or not _finished(job, folder / job.path.name, beside)]
    with _environment(variables):
        _train_all(todo, databases, folder / "runs", jobs)
        _execute_all(todo, folder, beside, jobs)
    return [folder / job.path.name for job in planned]


def _sweep(folder: Path) -> None:
    """Remove the half-run notebooks of processes that were killed; those of running ones stay."""
    for path in folder.glob("*.partial.ipynb"):
        number = path.name.split(".")[-3]
        if number.isdecimal() and not _runs(int(number)):
            path.unlink(missing_ok=True)


def _runs(process: int) -> bool:
    """Whether this machine has a process of this number."""
    try:
        os.kill(process, 0)
    except ProcessLookupError:
        return False
    except OSError:  # it is another user's
        return True
    return True


def _train_all(todo: Sequence[Planned], root: Path, store: Path, jobs: int) -> None:
    """Do the trainings that notebooks would otherwise do one after another."""
    if rest := train.unfinished(train.grid(todo, root), store):
        print(f"{len(rest)} trainings, {jobs} at a time", flush=True)
        device = next(str(job.values["device"]) for job in todo if "device" in job.values)
        train.train(rest, root, store, jobs, device=device)


def _execute_all(todo: Sequence[Planned], folder: Path, beside: Mapping[str, str], jobs: int) -> None:
    """Run notebooks in processes; the first failure lets no further one start."""
    if not todo:
        return
    print(f"running ({folder.name}): {', '.join(job.path.stem for job in todo)}", flush=True)
    cells = {job.path: _code_cells(job) for job in todo}
    if jobs > 1:  # the longest first, so that it does not run alone at the end
        todo = sorted(todo, key=lambda job: -cells[job.path])
    failed: EcglibError | None = None
    quiet = 1 if sys.stderr.isatty() else 60  # seconds; a log needs no animation
    with (
        tqdm(total=sum(cells.values()), desc="notebooks", unit="cell", mininterval=quiet) as bar,
        workers(jobs, lambda _: bar.update()) as pool,
    ):
        waiting = iter(todo)
        running: dict[Future[float], str] = {}
        while True:
            # One at a time, because a pool starts what is submitted although an earlier one failed.
            while not failed and len(running) < jobs and (job := next(waiting, None)):
                running[pool.submit(execute, job, folder / job.path.name, beside)] = job.path.stem
            if not running:
                break
            for future in wait(running, return_when=FIRST_COMPLETED).done:
                stem = running.pop(future)
                try:
                    bar.write(f"{stem}: finished in {future.result():.0f} s", file=sys.stdout)
                except EcglibError as error:
                    failed = failed or error
                except BrokenProcessPool as error:
                    raise EcglibError(
                        f"The process that ran {stem} was killed, usually for lack of memory: try --jobs 1. "
                        "What is finished is kept, and the same command goes on from there."
                    ) from error
    if failed:
        raise failed


def _code_cells(job: Planned) -> int:
    """How many cells of a notebook run, that of the injected parameters included."""
    kinds = [cell["cell_type"] for cell in read_notebook(job.path)]
    return kinds.count("code") + bool(job.parameters)


def _finished(job: Planned, target: Path, beside: Mapping[str, str]) -> bool:
    """Whether a notebook is finished with these parameters and this code, and say so; text alone is taken over."""
    page, notebook = _page(target), nbformat.read(job.path, as_version=4)
    found = page.metadata.get("ecglib", {}) if page else {}
    if page is None or {name: found.get(name) for name in job.entry} != job.entry or _code(page) != _code(notebook):
        return False
    text = ""
    if with_text_of(page, notebook):
        write_text(target, nbformat.writes(page))
        text = "; its new text is taken over"
    changed = [name for name, now in beside.items() if found.get("beside", {}).get(name, now) != now]
    since = f", but {' and '.join(changed)} changed since" if changed else " with these parameters"
    print(f"{job.path.stem}: already finished{since}{text} (--force repeats it)", flush=True)
    return True


def _code(notebook: nbformat.NotebookNode) -> list[str]:
    """The code of a notebook, without the parameters that papermill injected."""
    return [cell.source for cell in notebook.cells if cell.cell_type == "code" and not injected(cell)]


def _library() -> str:
    """A digest of the library, code and data: a finished notebook may have been made by another version of it."""
    digest = hashlib.sha256()
    for path in sorted(Path(ecglib.__file__).parent.rglob("*.*")):
        if path.suffix in (".py", ".csv", ".safetensors"):
            digest.update(path.read_bytes())
    return digest.hexdigest()[:16]


def _page(path: Path) -> nbformat.NotebookNode | None:
    """An executed notebook; None if there is none, or one that was cut short."""
    try:
        return nbformat.read(path, as_version=4)
    except (OSError, ValueError, AttributeError):
        return None


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
