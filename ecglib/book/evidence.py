"""The evidence of a profile in few files: `ecglib store pack`."""

from collections.abc import Mapping
from pathlib import Path
from typing import Any

import numpy as np

from ecglib.core.errors import EcglibError
from ecglib.runs import store

# Folders of arrays that do not belong to a run -> their room.
KEPT = {"baselines": "beatgan", "detectors": "simclr", "onnx": "classifier"}


def chapter_of(name: str, config: Mapping[str, Any], arrays: Mapping[str, np.ndarray]) -> str:
    """The room whose run a group of arrays belongs to: its predictions go into one file a room, BeatGAN's into two."""
    folder = name.split("/")[0]
    if folder in KEPT:
        return KEPT[folder]
    if "test_targets" in arrays or "window" in config.get("training", ()):  # of records, as only their settings have
        return "classifier"
    if "class_codes" not in arrays or "contrast" in config:
        return "simclr"
    return "students" if "distillation" in config else "beatgan"


def pack_profile(folder: Path) -> str:
    """Write the bundle of a profile, whose folder has `runs/`; returned is what was written, for a reader.

    Raises:
        EcglibError: there is nothing to pack.
    """
    if not (folder / "runs").is_dir():
        raise EcglibError(f"{folder} has no runs to pack: 'ecglib run --profile {folder.name}' makes them.")
    place = store.pack(folder / "runs", chapter_of)
    files = [place / "runs.jsonl", place / "history.csv", *sorted(place.glob("predictions_*.npz"))]
    sizes = ", ".join(f"{path.name} {path.stat().st_size / 1e6:.1f} MB" for path in files)
    return f"{place}: {len(store.bundle(folder / 'runs').facts)} runs in {sizes}"
