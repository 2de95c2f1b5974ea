"""What the store keeps comes back; what is damaged says so."""

from dataclasses import replace

import numpy as np
import pytest
import torch
from safetensors import SafetensorError

from ecglib.core.errors import EcglibError
from ecglib.runs import store
from ecglib.runs.obtain import obtain


def test_arrays_come_back_whole(tmp_path):
    path = tmp_path / "predictions.npz"
    kept = {"scores": np.array([0.5, 1.5], dtype=np.float16), "codes": np.array([1, 2], dtype=np.uint8)}
    store.write_arrays(path, kept)
    found = store.read_arrays(path)
    assert {name: values.dtype for name, values in found.items()} == {"scores": np.float32, "codes": np.uint8}
    assert all(np.array_equal(found[name], values) for name, values in kept.items())


@pytest.mark.parametrize("damage", ["missing", "cut off", "bytes changed", "objects"])
def test_a_damaged_file_says_what_to_do(tmp_path, damage):
    path = tmp_path / "predictions.npz"
    store.write_arrays(path, {"scores": np.arange(1000.0)})
    if damage == "missing":
        path.unlink()
    elif damage == "cut off":
        path.write_bytes(path.read_bytes()[:-200])
    elif damage == "bytes changed":
        whole = bytearray(path.read_bytes())
        whole[200:260] = bytes(60)
        path.write_bytes(whole)
    else:  # loading them would run code
        np.savez(path, scores=np.array([{}], dtype=object))
    with pytest.raises(EcglibError, match=r"predictions\.npz cannot be read .*delete it and run again"):
        store.read_arrays(path)


def test_what_cannot_be_written_leaves_the_old_file(tmp_path):
    path = tmp_path / "predictions.npz"
    store.write_arrays(path, {"scores": np.ones(3)})
    with pytest.raises(ValueError, match="allow_pickle=False"):
        store.write_arrays(path, {"scores": np.array([{}], dtype=object)})
    assert np.array_equal(store.read_arrays(path)["scores"], np.ones(3))
    assert list(tmp_path.iterdir()) == [path]


def test_tensors_come_back_in_single_precision(tmp_path):
    path = tmp_path / "weights.safetensors"
    kept = {"weight": torch.tensor([0.5, 1.25]), "steps": torch.tensor(3)}
    store.write_tensors(path, store.half(kept), {"source": "a run"})
    found = store.read_tensors(path)
    assert all(torch.equal(found[name], tensor) and found[name].dtype == tensor.dtype for name, tensor in kept.items())
    assert path.stat().st_mode & 0o777 == 0o644, "for whoever shares the folder"
    path.write_bytes(path.read_bytes()[:-2])
    with pytest.raises(EcglibError, match=r"weights\.safetensors cannot be read .*delete it and run again"):
        store.read_tensors(path)


def test_a_full_disk_is_one_clear_error(tmp_path, monkeypatch):
    path = tmp_path / "weights.safetensors"
    store.write_tensors(path, {"weight": torch.ones(3)})

    def full(tensors, file, facts):
        raise SafetensorError("I/O error: No space left on device (os error 28)")

    monkeypatch.setattr(store, "save_file", full)
    with pytest.raises(EcglibError, match=r"Cannot write .*No space left .*Free disk space"):
        store.write_tensors(path, {"weight": torch.zeros(3)})
    assert torch.equal(store.read_tensors(path)["weight"], torch.ones(3))
    assert list(tmp_path.iterdir()) == [path]


@pytest.fixture
def run(tiny, beats, tmp_path):
    """A finished run, copied for each test."""
    return obtain(tiny, beats, tmp_path, "cpu")


FAULTS = {
    "an edited config": ("config.json", lambda text: text.replace(b'"seed": 0', b'"seed": 1'), "config", "was changed"),
    "no metrics in it": ("metrics.json", lambda text: b"{}", "metrics", "is empty: delete it and run again"),
    "emptied metrics": ("metrics.json", lambda text: b"", "metrics", "cannot be read .*delete it and run again"),
    "emptied history": ("history.csv", lambda text: b"", "history", "cannot be read .*delete it and run again"),
    "no history": ("history.csv", None, "history", "cannot be read .*delete it and run again"),
    "other predictions": ("predictions.npz", lambda text: text[:-1] + b"!", "predictions", "is not what this run has"),
    "no environment": ("env.json", None, "environment", "cannot be read .*delete it and run again"),
}


@pytest.mark.parametrize("kind", FAULTS)
def test_a_run_that_was_tampered_with_is_one_clear_error(run, kind):
    file, change, asked, message = FAULTS[kind]
    path = run.folder / file
    if change is None:
        path.unlink()
    else:
        path.write_bytes(change(path.read_bytes()))
    with pytest.raises(EcglibError, match=message) as found:
        getattr(type(run)(run.folder), asked)
    assert "\n" not in str(found.value)


def test_an_array_that_is_not_there_is_named(run):
    with pytest.raises(EcglibError, match="have no 'logits': delete the folder"):
        run.predictions["logits"]


def test_predictions_of_another_run_are_not_taken(run, tiny, beats, tmp_path):
    other = obtain(replace(tiny, training=replace(tiny.training, seed=7)), beats, tmp_path, "cpu")
    (run.folder / "predictions.npz").write_bytes((other.folder / "predictions.npz").read_bytes())
    with pytest.raises(EcglibError, match="is not what this run has written"):
        type(run)(run.folder).predictions  # noqa: B018
