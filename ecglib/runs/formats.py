"""The files of the store: arrays, tensors and JSON. Reading them runs no code; a damaged one says what mends it."""

import csv
import hashlib
import io
import json
import zipfile
import zlib
from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from pathlib import Path
from typing import Any

import numpy as np
import torch
from safetensors import SafetensorError, safe_open
from safetensors.torch import load_file, save_file
from torch import Tensor

from ecglib.core.errors import EcglibError
from ecglib.core.files import atomic_path

UNREADABLE = (OSError, ValueError, KeyError, EOFError, csv.Error, zipfile.BadZipFile, zlib.error, SafetensorError)


def write_arrays(path: Path, arrays: Mapping[str, np.ndarray]) -> None:
    """Write arrays atomically and compressed. Equal arrays give equal bytes."""
    with atomic_path(path) as temporary, zipfile.ZipFile(temporary, "w") as archive:
        for name, values in arrays.items():
            write_entry(archive, name, np.asanyarray(values))


def write_entry(archive: zipfile.ZipFile, name: str, values: np.ndarray) -> None:
    """Write an array into an open archive, as the entry `<name>.npy`."""
    entry = zipfile.ZipInfo(f"{name}.npy")  # dated 1980; numpy's own writer would store the time
    entry.compress_type = zipfile.ZIP_DEFLATED
    with archive.open(entry, "w", force_zip64=True) as file:
        np.lib.format.write_array(file, values, allow_pickle=False)


def read_entry(archive: zipfile.ZipFile, entry: str) -> np.ndarray:
    """The array of an entry `<name>.npy` of an open archive."""
    data = io.BytesIO(archive.read(entry))  # read as a whole: only then is the checksum compared
    return np.lib.format.read_array(data, allow_pickle=False)


def read_arrays(path: Path) -> dict[str, np.ndarray]:
    """The arrays of a file; half precision becomes float32.

    Raises:
        EcglibError: the file is missing or damaged.
    """
    return in_float32(arrays_as_stored(path))


def arrays_as_stored(path: Path) -> dict[str, np.ndarray]:
    """The arrays of a file in the precision that they were stored in.

    Raises:
        EcglibError: the file is missing or damaged.
    """
    with reading(path), zipfile.ZipFile(path) as archive:
        return {entry.removesuffix(".npy"): read_entry(archive, entry) for entry in archive.namelist()}


def in_float32(arrays: Mapping[str, np.ndarray]) -> dict[str, np.ndarray]:
    """Arrays of half precision as float32, all others as they are."""
    return {name: v.astype(np.float32) if v.dtype == np.float16 else v for name, v in arrays.items()}


@contextmanager
def reading(path: Path, remedy: str = "delete it and run again") -> Iterator[None]:
    """What goes wrong in this context is told as a fault of the file `path`, with what mends it.

    Raises:
        EcglibError: the file is missing or damaged.
    """
    try:
        yield
    except UNREADABLE as error:
        raise EcglibError(f"{path} cannot be read ({error}): {remedy.format(path)}.") from error


def write_tensors(path: Path, tensors: Mapping[str, Tensor], facts: Mapping[str, str] | None = None) -> None:
    """Write tensors, and facts in the header, as safetensors.

    Raises:
        EcglibError: the disk refused.
    """
    with atomic_path(path) as temporary:
        try:
            save_file(dict(tensors), temporary, None if facts is None else dict(facts))
        except SafetensorError as error:
            raise OSError(str(error)) from error  # which `atomic_path` explains


def read_tensors(path: Path) -> dict[str, Tensor]:
    """The tensors of a file, on the CPU; half precision becomes float32.

    Raises:
        EcglibError: the file is missing or damaged.
    """
    with reading(path):
        return {name: t.float() if t.dtype == torch.float16 else t for name, t in load_file(path).items()}


def read_facts(path: Path) -> dict[str, str]:
    """The facts in the header of a file of tensors.

    Raises:
        EcglibError: the file is missing or damaged.
    """
    with reading(path), safe_open(path, framework="pt") as file:
        return file.metadata() or {}


def half(tensors: Mapping[str, Tensor]) -> dict[str, Tensor]:
    """Floating-point tensors in half precision, all others as they are."""
    return {name: tensor.half() if tensor.is_floating_point() else tensor for name, tensor in tensors.items()}


def read_json(path: Path) -> dict[str, Any]:
    """A JSON file of the store.

    Raises:
        EcglibError: it is missing or damaged.
    """
    with reading(path):
        return json.loads(path.read_text(encoding="utf-8"))


def digest_of_file(path: Path) -> str:
    """Sixteen hexadecimal digits of a file's content.

    Raises:
        EcglibError: it cannot be read.
    """
    with reading(path), path.open("rb") as file:
        return hashlib.file_digest(file, "blake2b").hexdigest()[:16]
