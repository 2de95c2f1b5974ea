"""What a notebook may be given: its parameters, read and checked against a profile before anything runs.

papermill alone only warns about a misspelt parameter, and hands `-p x=false` on as a string.
"""

import ast
import difflib
import json
import re
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from ecglib.book.values import check_values
from ecglib.core.errors import EcglibError
from ecglib.core.files import project_root
from ecglib.core.profiles import PROFILES, SMOKE, Value
from ecglib.data import physionet, simulate

Cell = dict[str, Any]  # of a notebook's JSON, its source one text
FEWER = ("other_seeds", "sweep_seeds")  # numbers of seeds that a notebook's main one limits


@dataclass(frozen=True)
class Planned:
    """A notebook to be run."""

    path: Path
    defaults: dict[str, Value]
    parameters: dict[str, Value]  # that papermill injects
    entry: dict[str, Any]  # by which a finished output is recognised

    @property
    def values(self) -> dict[str, Value]:
        """All parameters as the notebook will see them."""
        return {**self.defaults, **self.parameters}


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
    return _parameters_of(read_notebook(Path(notebook)), Path(notebook).name)


def _parameters_of(cells: Sequence[Cell], where: str) -> dict[str, Value]:
    tagged = [
        cell["source"]
        for cell in cells
        if cell["cell_type"] == "code" and "parameters" in cell["metadata"].get("tags", [])
    ]
    if len(tagged) != 1:
        raise EcglibError(f"{where} has {len(tagged)} code cells tagged 'parameters': give it exactly one.")
    parameters: dict[str, Value] = {}
    try:
        statements = ast.parse(tagged[0]).body
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
    if isinstance(default, int) and not re.fullmatch(r"-?[0-9]+", text):  # int() reads 1_000 and other scripts' digits
        return text
    try:
        return type(default)(text)
    except ValueError:
        return text


def plan(
    notebooks: Sequence[Path],
    profile: str,
    overrides: Mapping[str, str],
    options: Mapping[str, int | str | None],
    here: bool = True,
) -> list[Planned]:
    """The parameters of notebooks under a profile, all of them checked before the first notebook runs.

    `overrides` are texts from the command line, for parameters that every notebook must have; `options` are for the
    notebooks that have such a parameter. Without `here` they run elsewhere, and this machine's devices do not count.

    Raises:
        EcglibError: a profile, name, type, value or device is wrong.
    """
    if profile not in PROFILES:
        raise EcglibError(f"There is no profile {profile!r}: choose {', '.join(PROFILES)}.")
    if "profile" in overrides:
        raise EcglibError("The parameter 'profile' follows the option: use --profile, not -p.")
    given = {name: value for name, value in options.items() if value is not None}
    planned = []
    used = set()
    for path in notebooks:
        notebook = read_notebook(path)
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
        check_values({**defaults, **parameters}, path.name)
        parameters = _fewer_others(parameters, defaults, overrides)
        entry = {"profile": profile, "parameters": parameters}
        planned.append(Planned(path, defaults, parameters, entry))
    if unused := given.keys() - used:
        raise EcglibError(f"None of the chosen notebooks has a parameter {min(unused)!r}: leave --{min(unused)} out.")
    if here:
        _check_device(planned, profile)
    return planned


def _check_device(planned: Sequence[Planned], profile: str) -> None:
    """Refuse a device that is absent, and the paper profile on a CPU unless the CPU was asked for."""
    names = {str(one.values["device"]) for one in planned if "device" in one.defaults}
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


def data_root(profile: str, given: str | Path | None = None) -> Path:
    """The absolute data root of a profile: simulated databases for smoke, else `physionet.find_root`.

    Raises:
        EcglibError: there are no data, or a data root was given for smoke.
    """
    if profile == SMOKE:
        if given is not None:
            raise EcglibError("The smoke profile runs on simulated records: choose --profile quick, desk or paper.")
        return simulate.simulated_root().absolute()
    return physionet.find_root(given).absolute()


def read_notebook(path: Path) -> list[Cell]:
    """The cells of a notebook, from its JSON: training on a bare machine needs no Jupyter.

    Raises:
        EcglibError: the file is missing, or is no notebook.
    """
    try:
        cells = json.loads(path.read_bytes())["cells"]
        return [{**cell, "source": "".join(cell["source"]), "metadata": cell["metadata"]} for cell in cells]
    except OSError as error:
        raise EcglibError(f"Cannot read the notebook {path}: {error.strerror}.") from error
    except (ValueError, LookupError, TypeError) as error:
        raise EcglibError(f"{path} is not a notebook: restore it with 'git checkout -- {path.name}'.") from error
