"""What every run's folder holds, whatever was trained: config, history, metrics, environment.

A run id is the digest of what differs from a config's defaults, so that a setting added later leaves the runs made
before it theirs.
"""

import dataclasses
import hashlib
import json
import zipfile
import zlib
from collections.abc import Mapping
from dataclasses import dataclass
from functools import cached_property
from pathlib import Path
from typing import Any

import numpy as np
import pandas as pd
import torch
from safetensors import SafetensorError
from safetensors.torch import load_file, save_file
from torch import Tensor

from ecglib.core.errors import EcglibError
from ecglib.core.files import atomic_path


def differences(settings: Any) -> dict[str, Any]:
    """The fields of a dataclass that have no default or differ from it, dataclasses within it likewise."""
    result = {}
    for field in dataclasses.fields(settings):
        value = getattr(settings, field.name)
        if field.default is dataclasses.MISSING or value != field.default:
            result[field.name] = differences(value) if dataclasses.is_dataclass(value) else value
    return result


def digest(*settings: Any) -> str:
    """Ten hexadecimal digits that stand for dataclasses: equal ones have equal digests."""
    facts = [differences(one) for one in settings]
    text = json.dumps(facts[0] if len(facts) == 1 else facts, sort_keys=True)
    return hashlib.sha256(text.encode()).hexdigest()[:10]


# Weights in half precision, small enough to be committed.
PUBLISHED = "weights_float16.safetensors"


@dataclass(frozen=True)
class StoredRun:
    """A finished run, read from its folder."""

    folder: Path

    @cached_property
    def config(self) -> dict[str, Any]:
        """The config as JSON."""
        return read_json(self.folder / "config.json")

    @property
    def seed(self) -> int:
        """The seed of its training."""
        return self.config["training"]["seed"]

    @cached_property
    def metrics(self) -> dict[str, dict[str, float]]:
        """Metrics by what they belong to: a rule of choosing the epoch, or a part of the data."""
        return read_json(self.folder / "metrics.json")

    @cached_property
    def environment(self) -> dict[str, str]:
        """Versions, device, commit and seconds."""
        return read_json(self.folder / "env.json")

    @cached_property
    def history(self) -> pd.DataFrame:
        """One row an epoch."""
        return pd.read_csv(self.folder / "history.csv")


def write_arrays(path: Path, arrays: Mapping[str, np.ndarray]) -> None:
    """Keep a run's arrays, compressed; whole, or not at all."""
    with atomic_path(path) as temporary, temporary.open("wb") as file:
        np.savez_compressed(file, allow_pickle=False, **arrays)


def read_arrays(path: Path) -> dict[str, np.ndarray]:
    """A run's arrays; what the store keeps in half precision comes back as float32.

    Raises:
        EcglibError: the file is missing or damaged.
    """
    try:
        with zipfile.ZipFile(path) as archive:
            if archive.testzip():  # first, because numpy reads a header before its checksum
                raise ValueError("a checksum does not fit")
        with np.load(path, allow_pickle=False) as arrays:
            stored = dict(arrays)
    except (OSError, ValueError, zipfile.BadZipFile, zlib.error) as error:
        raise EcglibError(f"{path} cannot be read ({error}): delete it and run again.") from error
    return {
        name: values.astype(np.float32) if values.dtype == np.float16 else values for name, values in stored.items()
    }


def write_tensors(path: Path, tensors: Mapping[str, Tensor], facts: Mapping[str, str] | None = None) -> None:
    """Keep tensors as safetensors; whole, or not at all.

    Raises:
        EcglibError: the disk refused.
    """
    with atomic_path(path) as temporary:
        try:
            save_file(dict(tensors), temporary, None if facts is None else dict(facts))
        except SafetensorError as error:
            raise OSError(str(error)) from error  # what atomic_path knows how to explain


def read_tensors(path: Path) -> dict[str, Tensor]:
    """Tensors that the store keeps, on the CPU; what is in half precision comes back as float32.

    Raises:
        EcglibError: the file is missing or damaged.
    """
    try:
        return {name: t.float() if t.dtype == torch.float16 else t for name, t in load_file(path).items()}
    except (OSError, SafetensorError) as error:
        raise EcglibError(f"{path} cannot be read ({error}): delete it and run again.") from error


def half(tensors: Mapping[str, Tensor]) -> dict[str, Tensor]:
    """Floating-point tensors in half precision, all others as they are."""
    return {name: tensor.half() if tensor.is_floating_point() else tensor for name, tensor in tensors.items()}


def read_json(path: Path) -> dict[str, Any]:
    """A JSON file of the store.

    Raises:
        EcglibError: it is missing or damaged.
    """
    try:
        return json.loads(path.read_text(encoding="utf-8"))
    except (OSError, ValueError) as error:
        raise EcglibError(f"{path} cannot be read ({error}): delete the folder and run again.") from error
