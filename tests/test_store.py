"""What the store keeps comes back; what is damaged says so."""

import numpy as np
import pytest

from ecglib import store
from ecglib.errors import EcglibError


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
