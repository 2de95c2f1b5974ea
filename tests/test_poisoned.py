"""Files that would run code, or lead out of their folder: they are refused, nothing runs and nothing is written."""

import io
import json
import pickle
import zipfile
from pathlib import Path

import numpy as np
import pytest
import torch

from ecglib.book.cli import main
from ecglib.classifier import networks, onnx
from ecglib.classifier.contract import Contract, open_model
from ecglib.core.errors import EcglibError
from ecglib.data import pack, wfdb_files
from ecglib.data.ptbxl import LEADS, Scaler
from ecglib.runs import formats


class Poison:
    """Writes a file when it is unpickled."""

    def __init__(self, witness):
        self.witness = str(witness)

    def __reduce__(self):
        return Path.touch, (Path(self.witness),)


@pytest.fixture
def witness(tmp_path):
    """A file that only code from a poisoned file would write."""
    path = tmp_path / "code was run"
    with io.BytesIO(pickle.dumps(Poison(path))) as file:
        pickle.load(file)
    assert path.exists(), "the poison works"
    path.unlink()
    yield path
    assert not path.exists()


def object_array(witness):
    with io.BytesIO() as file:
        np.savez(file, scores=np.array([Poison(witness)], dtype=object))
        return file.getvalue()


def torch_file(witness):
    with io.BytesIO() as file:
        torch.save({"weight": Poison(witness)}, file)
        return file.getvalue()


@pytest.mark.parametrize("content", [lambda witness: pickle.dumps(Poison(witness)), object_array, torch_file])
def test_no_file_of_a_run_can_run_code(tmp_path, witness, content):
    path = tmp_path / "file"
    path.write_bytes(content(witness))
    for read in (formats.read_arrays, formats.read_tensors, formats.read_facts):
        with pytest.raises(EcglibError, match="cannot be read"):
            read(path)


def test_no_array_of_the_cache_can_run_code(tmp_path, witness, simulated_root, monkeypatch):
    monkeypatch.setenv("ECGLIB_CACHE", str(tmp_path / "cache"))

    def load():
        make = lambda: {"scores": np.ones(3)}  # noqa: E731
        return wfdb_files.cached("kind", simulated_root, "mitdb", ["100.hea"], (), make)["scores"]

    assert load().tolist() == [1, 1, 1]
    (kept,) = (tmp_path / "cache").rglob("scores.npy")
    with kept.open("wb") as file:
        np.save(file, np.array([Poison(witness)], dtype=object))
    with pytest.warns(UserWarning, match="is damaged and is made again"):
        assert load().tolist() == [1, 1, 1]


@pytest.mark.parametrize("name", ["../../outside", "/tmp/outside", "100"])
def test_an_archive_writes_nothing_and_says_what_it_is(tmp_path, witness, name):
    root = tmp_path / "root"
    root.mkdir()
    with zipfile.ZipFile(root / "mitdb-1.0.0.part00.zip", "w") as archive:
        archive.writestr(f"{name}.json", "[]")
        archive.writestr(f"{name}.bin", pickle.dumps(Poison(witness)))
    before = sorted(tmp_path.rglob("*"))
    with pytest.raises(EcglibError, match=r"pack the database again|copy all of them"):
        pack.read(root, "mitdb", "100")
    assert main(["run", "01", "--profile", "quick", "--data-root", str(root), "--output", str(tmp_path / "out")]) == 1
    assert [path for path in sorted(tmp_path.rglob("*")) if tmp_path / "out" not in (path, *path.parents)] == before


def test_a_model_reads_no_file_beside_it(tmp_path, witness):
    """An ONNX file may name other files for its weights, anywhere on the disk."""
    package = pytest.importorskip("onnx")
    torch.manual_seed(0)
    onnx.export(networks.ConvNet((8,)).eval(), Scaler.none(12), Contract(LEADS), tmp_path / "model.onnx")
    graph = package.load(tmp_path / "model.onnx")
    (tmp_path / "secret").write_bytes(bytes(100_000))
    (folder := tmp_path / "folder").mkdir()
    largest = max(graph.graph.initializer, key=lambda one: len(one.raw_data))
    largest.data_location = package.TensorProto.EXTERNAL
    for key, value in {"location": "../secret", "offset": "0", "length": str(len(largest.raw_data))}.items():
        largest.external_data.add(key=key, value=value)
    largest.ClearField("raw_data")
    (folder / "model.onnx").write_bytes(graph.SerializeToString())
    with pytest.raises(EcglibError, match="is no ONNX model that can be run"):
        open_model(folder / "model.onnx")


def test_parameters_are_values_and_no_code(tmp_path, witness, capsys):
    code = f"__import__('pathlib').Path({str(witness)!r}).touch()"
    assert main(["run", "02", "-p", f"epochs={code}", "--output", str(tmp_path / "out")]) == 1
    notebook = {"cells": [], "metadata": {}, "nbformat": 4, "nbformat_minor": 5}
    notebook["cells"] = [
        {"cell_type": "code", "metadata": {"tags": ["parameters"]}, "source": f"epochs = {code}", "outputs": []}
        | {"execution_count": None, "id": "a"}
    ]
    path = tmp_path / "06_poison.ipynb"
    path.write_text(json.dumps(notebook))
    assert main(["run", str(path), "--output", str(tmp_path / "out")]) == 1
    assert len([line for line in capsys.readouterr().err.splitlines() if line.startswith("ecglib: ")]) == 2
