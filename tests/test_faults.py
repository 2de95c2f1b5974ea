"""The fault matrix: whatever is wrong, one line on stderr says so, the exit code is 1, and nothing is written."""

import ast
import re
import shutil
from pathlib import Path

import numpy as np
import pytest
import torch

from ecglib.book.cli import main
from ecglib.classifier import networks, onnx
from ecglib.classifier.contract import Contract
from ecglib.data.ptbxl import LEADS, Scaler

ROOT = Path(__file__).parents[1]
# A command, in which words in capitals stand for paths of `place`, and a part of what is said.
FAULTS = {
    "results into a file": ("run 01 --output FILE", "Results cannot go to"),
    "trainings into a file": ("train 02 --only A --output FILE", "Results cannot go to"),
    "a NUL in a path": ("train 02 --only A --output NUL", "Results cannot go to"),
    "no such notebook": ("run 99", "fits no notebook"),
    "no such parameter": ("run 02 -p epocs=3", "did you mean 'epochs'?"),
    "an address that is none": ("data download mitdb --data-root EMPTY --mirror http://[::1", "is no address such as"),
    "a port that is none": ("data download mitdb --data-root EMPTY --mirror http://host:99999", "is no address such"),
    "a unit for who says it": ("classify EMPTY/rec --model MODEL.onnx --unit furlong", "leave --rate and --unit out"),
    "no training": ("run 02 -p epochs=0", "epochs=0 must be between"),
    "no seed": ("run 02 -p seeds=0", "seeds=0 must be between"),
    "more seeds than there are": ("run 02 --seeds 1000000000000000000000000000000", "must be between 1 and 100"),
    "a device that computes nothing": ("run 02 --device meta", "choose cpu, cuda or auto"),
    "a slip in notebook 05": ("run 05 -p networks=resnett", "names no network 'resnett'"),
    "data for simulated records": ("run 01 --data-root EMPTY", "choose --profile quick, desk or paper"),
    "no data": ("run 01 --profile quick --data-root EMPTY", "'ecglib data download mitdb"),
    "data in a file": ("data verify mitdb --data-root FILE", "No database in"),
    "a database into a file": ("data download mitdb --data-root FILE/x", "Choose another --data-root"),
    "a mirror that is none": ("data download mitdb --data-root EMPTY --mirror ftp://x", "is no address such as"),
    "nothing to pack": ("data pack mitdb EMPTY --data-root EMPTY", "No database in"),
    "no record": ("detect EMPTY/nobody", "There is no record"),
    "a record without a name": ("detect ''", "There is no record without a name"),
    "a folder for a record": ("detect EMPTY", "is a folder: give one recording in it"),
    "a text for EDF": ("detect TEXT.edf", "complete EDF file"),
    "a text for a table": ("detect TEXT.csv --rate 100", "must name the leads"),
    "a table without a rate": ("detect TABLE.csv", "say its rate with --rate"),
    "a table that lasts no beat": ("detect TABLE.csv --rate 100", "beats that can be judged"),
    "a lead that is not there": ("detect TABLE.csv --rate 100 --lead V9", "lacks lead V9: it has I, II"),
    "a part that is not there": ("detect TABLE.csv --rate 100 --from 5", "is no part of it"),
    "no model": ("classify TABLE.csv --model EMPTY/no.onnx", "There is no model"),
    "a text for a model": ("classify TABLE.csv --model TEXT.edf", "is no ONNX model"),
    "a damaged model": ("classify TABLE.csv --model CUT.onnx", "is no ONNX model"),
    "no recording in a folder": ("classify EMPTY --model MODEL.onnx", "holds no recording"),
    "two models, one missing": ("compare MODEL.onnx EMPTY/no.onnx TABLE.csv", "There is no model"),
    "no run to export": ("export student EMPTY/x.onnx --output EMPTY", "no finished 'student' with weights"),
    "a pattern for a kind": ("export stu* EMPTY/x.onnx --output EMPTY", "is no kind of run"),
    "no run in a folder": ("export --from EMPTY EMPTY/x.onnx", "no finished run with weights"),
}


@pytest.fixture(scope="module")
def model(tmp_path_factory):
    torch.manual_seed(0)
    path = tmp_path_factory.mktemp("model") / "MODEL.onnx"
    onnx.export(networks.ConvNet((8, 16)).eval(), Scaler.none(12), Contract(LEADS), path)
    return path


@pytest.fixture
def place(tmp_path, model):
    """A folder with what the commands name."""
    root = tmp_path / "한글 이름"
    (root / "EMPTY").mkdir(parents=True)
    (root / "FILE").write_text("a file")
    (root / "TEXT.edf").write_text("this is no EDF file")
    (root / "TEXT.csv").write_text("0.1,0.2\n0.3,0.4\n")
    rows = np.round(np.random.default_rng(0).standard_normal((300, 2)), 3)
    (root / "TABLE.csv").write_text("I,II\n" + "".join(f"{a},{b}\n" for a, b in rows))
    shutil.copy(model, root / "MODEL.onnx")
    (root / "CUT.onnx").write_bytes(model.read_bytes()[:2000])
    return root


def tree(root):
    return {path: path.read_bytes() if path.is_file() else None for path in sorted(root.rglob("*"))}


@pytest.mark.parametrize("fault", FAULTS)
def test_a_fault_is_one_line_and_changes_nothing(fault, place, capsys, monkeypatch):
    command, message = FAULTS[fault]
    monkeypatch.delenv("ECGLIB_DATA", raising=False)
    names = sorted((path.name for path in place.iterdir()), key=len, reverse=True)
    words = []
    for word in command.split():
        path = next((name for name in names if word == name or word.startswith(f"{name}/")), None)
        words.append({"''": "", "NUL": f"{place}/a\0b"}.get(word, word) if path is None else f"{place}/{word}")
    before = tree(place)
    assert main(words) == 1
    (line,) = [line for line in capsys.readouterr().err.splitlines() if line.startswith("ecglib: ")]
    assert re.search(message, line), line
    assert tree(place) == before


def messages():
    """All texts of the package, what is filled in being "…", and no message cut where a line of code ends."""
    found = []
    for path in sorted((ROOT / "ecglib").rglob("*.py")):
        for node in ast.walk(ast.parse(path.read_text(encoding="utf-8"))):
            if isinstance(node, ast.JoinedStr):
                parts = (part.value if isinstance(part, ast.Constant) else "…" for part in node.values)
                found.append("".join(map(str, parts)))
            elif isinstance(node, ast.Constant) and isinstance(node.value, str):
                found.append(node.value)
    return "\n".join(found)


def test_every_message_that_the_documentation_explains_is_one():
    rows = [
        line for line in (ROOT / "docs" / "faults.md").read_text(encoding="utf-8").splitlines() if "| `" in line[:3]
    ]
    said = messages()
    unknown = []
    for row in rows:
        for message in re.findall(r"`([^`]+)`", row.split(" | ")[0]):
            # Words of a message, between what an example has filled in: numbers, names in quotes, names of files.
            pieces = re.split(r"\.\.\.|'[^']*'|\S*[\d=.]\S*|\b(?:I|V9|MIT-BIH|data)\b", message)
            words = [piece.strip(" ,;:(") for piece in pieces]
            unknown += [(message, piece) for piece in words if piece and piece not in said]
    assert len(rows) > 60
    assert unknown == []
