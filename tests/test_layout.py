"""The rooms of `ecglib`: imports go down only, and every notebook uses its own room and those below."""

import ast
import re
from pathlib import Path

import nbformat
import pytest

ROOT = Path(__file__).parents[1]
# From the top. A room may import from those after it.
ROOMS = [
    "book",
    "classifier",
    "simclr",
    "detection",
    "beatgan",
    "databases",
    "show",
    "runs",
    "data",
    "stats",
    "reports",
    "core",
]
NOTEBOOKS = {"01": "databases", "02": "beatgan", "03": "beatgan", "04": "simclr", "05": "classifier"}


def rooms_of(source):
    """The rooms that a text imports from."""
    for node in ast.walk(ast.parse(source)):
        if isinstance(node, ast.ImportFrom) and (node.module or "").split(".")[0] == "ecglib":
            _, *path = node.module.split(".")
            yield from [path[0]] if path else [alias.name for alias in node.names]
        elif isinstance(node, ast.Import):
            yield from [alias.name.split(".")[1] for alias in node.names if alias.name.startswith("ecglib.")]


@pytest.mark.parametrize("room", ROOMS)
def test_a_room_imports_from_itself_and_from_rooms_below(room):
    allowed = ROOMS[ROOMS.index(room) :]
    for path in (ROOT / "ecglib" / room).rglob("*.py"):
        found = set(rooms_of(path.read_text(encoding="utf-8")))
        assert found <= set(allowed), f"{path.name} imports from {found - set(allowed)}"


def test_there_are_no_other_rooms():
    text = (ROOT / "CONTRIBUTING.md").read_text(encoding="utf-8").split("from the top:")[1].split(".")[0]
    assert re.findall(r"`(\w+)`", text) == ROOMS
    tree = (ROOT / "docs/map.md").read_text(encoding="utf-8").split("```")[1]
    assert re.findall(r"^  (\w+)/", tree, re.MULTILINE) == ROOMS
    assert {path.name for path in (ROOT / "ecglib").iterdir() if (path / "__init__.py").exists()} == set(ROOMS)
    assert [path.name for path in (ROOT / "ecglib").glob("*.py")] == ["__init__.py"]


@pytest.mark.parametrize("room", ROOMS)
def test_a_room_says_what_each_of_its_modules_is_for(room):
    folder = ROOT / "ecglib" / room
    said = ast.get_docstring(ast.parse((folder / "__init__.py").read_text(encoding="utf-8")))
    assert {path.stem for path in folder.glob("*.py")} - {"__init__"} <= set(re.findall(r"`(\w+)`", said))


@pytest.mark.parametrize("path", sorted((ROOT / "notebooks").glob("*.ipynb")), ids=lambda path: path.stem)
def test_a_notebook_imports_from_its_room_and_from_rooms_below(path):
    code = [cell.source for cell in nbformat.read(path, as_version=4).cells if cell.cell_type == "code"]
    found = {room for source in code for room in rooms_of(source)}
    assert found <= set(ROOMS[ROOMS.index(NOTEBOOKS[path.stem[:2]]) :])
