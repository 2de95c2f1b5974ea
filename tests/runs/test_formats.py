"""Files come back as they were written; what is damaged says so."""

import numpy as np
import pytest
import torch
from safetensors import SafetensorError

from ecglib.core.errors import EcglibError
from ecglib.runs import formats


def test_arrays_come_back_whole(tmp_path):
    path = tmp_path / "predictions.npz"
    kept = {"scores": np.array([0.5, 1.5], dtype=np.float16), "codes": np.array([1, 2], dtype=np.uint8)}
    formats.write_arrays(path, kept)
    found = formats.read_arrays(path)
    assert {name: values.dtype for name, values in found.items()} == {"scores": np.float32, "codes": np.uint8}
    assert all(np.array_equal(found[name], values) for name, values in kept.items())


@pytest.mark.parametrize("damage", ["missing", "cut off", "bytes changed", "objects"])
def test_a_damaged_file_says_what_to_do(tmp_path, damage):
    path = tmp_path / "predictions.npz"
    formats.write_arrays(path, {"scores": np.arange(1000.0)})
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
        formats.read_arrays(path)


def test_what_cannot_be_written_leaves_the_old_file(tmp_path):
    path = tmp_path / "predictions.npz"
    formats.write_arrays(path, {"scores": np.ones(3)})
    with pytest.raises(ValueError, match="allow_pickle=False"):
        formats.write_arrays(path, {"scores": np.array([{}], dtype=object)})
    assert np.array_equal(formats.read_arrays(path)["scores"], np.ones(3))
    assert list(tmp_path.iterdir()) == [path]


def test_tensors_come_back_in_single_precision(tmp_path):
    path = tmp_path / "weights.safetensors"
    kept = {"weight": torch.tensor([0.5, 1.25]), "steps": torch.tensor(3)}
    formats.write_tensors(path, formats.half(kept), {"source": "a run"})
    found = formats.read_tensors(path)
    assert all(torch.equal(found[name], tensor) and found[name].dtype == tensor.dtype for name, tensor in kept.items())
    assert path.stat().st_mode & 0o777 == 0o644, "for whoever shares the folder"
    path.write_bytes(path.read_bytes()[:-2])
    with pytest.raises(EcglibError, match=r"weights\.safetensors cannot be read .*delete it and run again"):
        formats.read_tensors(path)


def test_a_full_disk_is_one_clear_error(tmp_path, monkeypatch):
    path = tmp_path / "weights.safetensors"
    formats.write_tensors(path, {"weight": torch.ones(3)})

    def full(tensors, file, facts):
        raise SafetensorError("I/O error: No space left on device (os error 28)")

    monkeypatch.setattr(formats, "save_file", full)
    with pytest.raises(EcglibError, match=r"Cannot write .*No space left .*Free disk space"):
        formats.write_tensors(path, {"weight": torch.zeros(3)})
    assert torch.equal(formats.read_tensors(path)["weight"], torch.ones(3))
    assert list(tmp_path.iterdir()) == [path]
