"""The typed papermill driver: runs the notebooks headless under a profile.

papermill alone only warns about a misspelt parameter, hands `-p x=false` on as a string, and leaves absolute paths in
what it writes. Here every name and type is checked against the notebooks' `parameters` cells before anything runs, a
finished notebook is not run again, and what is kept names no machine.
"""

import ast
import difflib
import hashlib
import json
import logging
import os
import time
from collections.abc import Iterator, Mapping, Sequence
from contextlib import contextmanager
from dataclasses import dataclass
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
from ecglib.core.errors import EcglibError
from ecglib.core.files import output_root, project_root, write_text
from ecglib.core.profiles import PROFILES, SMOKE, Value

FEWER = ("other_seeds", "sweep_seeds")  # numbers of seeds that a notebook's main one limits


@dataclass(frozen=True)
class Job:
    """A notebook to run: its own parameters, those to inject, and the entry that recognises a finished output."""

    notebook: Path
    defaults: dict[str, Value]
    parameters: dict[str, Value]
    entry: dict[str, Any]


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
    jobs = _plan(find_notebooks(names), profile, overrides or {}, {"seeds": seeds, "device": device})
    _check_device(jobs, profile)
    # The kernel works in the notebook's folder, so it needs absolute paths; as variables they are not recorded in the
    # notebook. Nobody watches the progress bars of a headless run.
    root = Path(output or output_root()).absolute()
    variables = {"TQDM_DISABLE": "1", "ECGLIB_DRIVER": "1", "ECGLIB_OUTPUT": str(root)}
    beside = {"ecglib": _library()}
    if profile != SMOKE:
        from ecglib.data.physionet import find_root, listing  # a smoke run needs no databases

        databases = find_root(data_root).absolute()
        variables["ECGLIB_DATA"], beside["the data"] = str(databases), listing(databases)
    elif data_root is not None:
        raise EcglibError("The smoke profile runs on simulated records: choose --profile quick, desk or paper.")

    folder = root / "papermill_runs" / profile
    finished = []
    with _environment(variables):
        for job in jobs:
            target = folder / job.notebook.name
            found = _finished_entry(target) or {}
            if not force and {name: found.get(name) for name in job.entry} == job.entry:
                changed = [name for name, now in beside.items() if found.get("beside", {}).get(name, now) != now]
                since = f", but {' and '.join(changed)} changed since" if changed else " with these parameters"
                print(f"{job.notebook.stem}: already finished{since} (--force repeats it)", flush=True)
            else:
                print(f"{job.notebook.stem}: running ({profile})", flush=True)
                start = time.monotonic()
                _execute(job, target, beside)
                print(f"{job.notebook.stem}: finished in {time.monotonic() - start:.0f} s: {target}", flush=True)
            finished.append(target)
    return finished


def find_notebooks(names: Sequence[str] = ()) -> list[Path]:
    """The checkout's notebooks called by number ("2", "02"), stem, unique prefix or file name, in order; all if empty.

    Raises:
        EcglibError: a name fits no notebook or several; the message lists what exists.
    """
    folder = project_root() / "notebooks"
    available = {path.stem: path for path in sorted(folder.glob("*.ipynb"))}
    if not available:
        raise EcglibError(f"There is no notebook in {folder}: run from a complete checkout.")
    chosen = set()
    for name in names:
        stem = Path(name).stem if name.endswith(".ipynb") else name
        prefix = f"{int(stem):02d}_" if stem.isdecimal() else stem
        matches = [stem] if stem in available else [known for known in available if known.startswith(prefix)]
        if len(matches) != 1:
            problem = "fits several notebooks" if matches else "fits no notebook"
            raise EcglibError(f"{name!r} {problem}. The notebooks are: {', '.join(available)}.")
        chosen.update(matches)
    return [path for stem, path in available.items() if not names or stem in chosen]


def read_parameters(notebook: str | Path) -> dict[str, Value]:
    """The names and defaults in a notebook's one cell tagged `parameters`, read without running it.

    Raises:
        EcglibError: the file is no notebook, has no such cell or several, or the cell holds more than assignments of
            one bool, int, float or str to one name (what papermill can replace).
    """
    return _parameters_of(_read(Path(notebook)), Path(notebook).name)


def _parameters_of(notebook: Any, where: str) -> dict[str, Value]:
    cells = [
        cell.source
        for cell in notebook.cells
        if cell.cell_type == "code" and "parameters" in cell.metadata.get("tags", [])
    ]
    if len(cells) != 1:
        raise EcglibError(f"{where} has {len(cells)} code cells tagged 'parameters': give it exactly one.")
    parameters: dict[str, Value] = {}
    try:
        statements = ast.parse(cells[0]).body
    except SyntaxError as error:
        raise EcglibError(f"{where}: the parameters cell is not Python, line {error.lineno}: {error.msg}.") from error
    for statement in statements:
        match statement:
            case ast.Assign(targets=[ast.Name(id=name)], value=expression):
                parameters[name] = _literal(expression, where)
            case _:
                raise EcglibError(_not_plain(statement, where))
    return parameters


def _literal(expression: ast.expr, where: str) -> Value:
    try:
        value = ast.literal_eval(expression)
    except ValueError as error:
        raise EcglibError(_not_plain(expression, where)) from error
    if not isinstance(value, bool | int | float | str):
        raise EcglibError(_not_plain(expression, where))
    return value


def _not_plain(node: ast.stmt | ast.expr, where: str) -> str:
    return (
        f"{where}: the parameters cell may hold only assignments such as 'epochs = 3', "
        f"of a bool, int, float or str; line {node.lineno} has {ast.unparse(node)!r}."
    )


def check_parameters(values: Mapping[str, Value], defaults: Mapping[str, Value], where: str) -> dict[str, Value]:
    """`values` with the types of the notebook's defaults; an int may stand for a float.

    Raises:
        EcglibError: the notebook lacks a name, or a value has another type.
    """
    checked = {}
    for name, value in values.items():
        if name not in defaults:
            near = difflib.get_close_matches(name, defaults, n=1)
            hint = f"did you mean {near[0]!r}?" if near else f"it has {', '.join(defaults) or 'none'}."
            raise EcglibError(f"{where} has no parameter {name!r}: {hint}")
        wanted = type(defaults[name])
        # Types are compared exactly, because bool is a subclass of int and True is no number of epochs.
        if wanted is float and type(value) is int:
            value = float(value)
        if type(value) is not wanted:
            raise EcglibError(
                f"{where}: parameter {name!r} is of type {wanted.__name__} (default {defaults[name]!r}), "
                f"but was given {value!r}."
            )
        checked[name] = value
    return checked


def parse_value(text: str, default: Value) -> Value:
    """Text from the command line in the default's type; text that does not fit is returned for the check to refuse."""
    if isinstance(default, bool):
        return {"true": True, "false": False}.get(text.lower(), text)
    try:
        return type(default)(text)
    except ValueError:
        return text


def _plan(
    notebooks: Sequence[Path], profile: str, overrides: Mapping[str, str], options: Mapping[str, int | str | None]
) -> list[Job]:
    """Check the parameters of all notebooks before the first one runs."""
    if profile not in PROFILES:
        raise EcglibError(f"There is no profile {profile!r}: choose {', '.join(PROFILES)}.")
    if "profile" in overrides:
        raise EcglibError("The parameter 'profile' follows the option: use --profile, not -p.")
    given = {name: value for name, value in options.items() if value is not None}
    jobs = []
    used = set()
    for path in notebooks:
        notebook = _read(path)
        defaults = _parameters_of(notebook, path.name)
        if profile != SMOKE and path.stem not in PROFILES[profile]:
            raise EcglibError(
                f"Profile {profile!r} has no settings for {path.stem}: add them to ecglib/core/profiles.py."
            )
        used.update(given.keys() & defaults.keys())
        parameters = check_parameters(
            {
                **PROFILES[profile].get(path.stem, {}),
                **{name: value for name, value in given.items() if name in defaults},
                **{name: parse_value(text, defaults.get(name, text)) for name, text in overrides.items()},
            },
            defaults,
            path.name,
        )
        parameters = _fewer_others(parameters, defaults, overrides)
        jobs.append(
            Job(path, defaults, parameters, {"profile": profile, "parameters": parameters, "source": _hash(notebook)})
        )
    if unused := given.keys() - used:
        raise EcglibError(f"None of the chosen notebooks has a parameter {min(unused)!r}: leave --{min(unused)} out.")
    return jobs


def _check_device(jobs: Sequence[Job], profile: str) -> None:
    """Refuse a device that is absent, and the paper profile on a CPU unless the CPU was asked for."""
    names = {str(job.parameters.get("device", job.defaults["device"])) for job in jobs if "device" in job.defaults}
    if names and (profile == "paper" or names != {"auto"}):
        from ecglib.core.device import choose_device  # importing torch takes seconds

        devices = {name: choose_device(name).type for name in names}
        if profile == "paper" and devices.get("auto") == "cpu":
            raise EcglibError(
                "There is no GPU here, and paper takes weeks on a CPU: give --device cpu if that is meant."
            )


def _fewer_others(
    parameters: dict[str, Value], defaults: Mapping[str, Value], overrides: Mapping[str, str]
) -> dict[str, Value]:
    """Limit the seeds of the other arms to those of the main arms, which are their controls."""
    both = {**defaults, **parameters}
    more = [name for name in FEWER if name in both and int(both[name]) > int(both["seeds"])]
    for name in more:
        if name in overrides:
            raise EcglibError(
                f"{name}={both[name]} arms would have no control with seeds={both['seeds']}: ask for as many."
            )
        parameters = {**parameters, name: both["seeds"]}
    return parameters


def _read(path: Path) -> Any:
    try:
        return nbformat.read(path, as_version=4)
    except OSError as error:
        raise EcglibError(f"Cannot read the notebook {path}: {error.strerror}.") from error
    except (nbformat.reader.NotJSONError, nbformat.ValidationError, UnicodeDecodeError) as error:
        raise EcglibError(f"{path} is not a notebook: restore it with 'git checkout -- {path.name}'.") from error


def _hash(notebook: Any) -> str:
    """A digest of a notebook's code and text, without outputs and metadata, which change with every run."""
    cells = [[cell.cell_type, cell.source] for cell in notebook.cells if cell.cell_type in ("code", "markdown")]
    return hashlib.sha256(json.dumps(cells).encode()).hexdigest()[:16]


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


def _execute(job: Job, target: Path, beside: Mapping[str, str]) -> None:
    # Two commands may run the same notebook at the same time, so the partial file is named after the process.
    partial = target.with_name(f"{job.notebook.stem}.{os.getpid()}.partial.ipynb")
    failed = target.with_name(f"{job.notebook.stem}.failed.ipynb")
    # If an interruption reaches the kernel's messages first, tornado logs a traceback besides raising it.
    logging.getLogger("tornado").setLevel(logging.CRITICAL)
    try:
        target.parent.mkdir(parents=True, exist_ok=True)
        notebook = papermill.execute_notebook(
            # papermill formats its paths, so a brace in a folder's name has to be doubled
            *(str(path).replace("{", "{{").replace("}", "}}") for path in (job.notebook, partial)),
            parameters=job.parameters,
            kernel_name="python3",
            language="python",
            kernel_manager_class=_ThisInterpreter,
            cwd=job.notebook.parent,
            progress_bar=False,
            iopub_timeout=60,  # 4 s is too short for a figure on a busy machine, and ends the run
        )
    except (PapermillException, RuntimeError, TimeoutError) as error:  # a dead kernel is a RuntimeError
        partial.replace(failed)
        raise EcglibError(_failure(job.notebook.stem, failed, error)) from error
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
        for cell in _read(failed).cells
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
