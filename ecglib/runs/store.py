"""What the store keeps of a run, whatever was trained: in the run's own folder, or in the bundle of its profile.

A folder holds `config.json`, `history.csv`, `predictions.npz`, `env.json`, weights and, written last, `metrics.json`,
which marks the run as finished. A bundle holds many runs without their weights in a few files that can be committed:
`runs.jsonl`, `history.csv` and `predictions_<chapter>.npz`. Tables and figures are made from either.
"""

import csv
import hashlib
import io
import json
import zipfile
from collections.abc import Callable, Mapping
from dataclasses import dataclass
from functools import cached_property, lru_cache
from pathlib import Path
from typing import Any, ClassVar

import numpy as np
import pandas as pd

from ecglib.core.config import digest_of
from ecglib.core.errors import EcglibError
from ecglib.core.files import atomic_path, write_text
from ecglib.runs.formats import (
    arrays_as_stored,
    digest_of_file,
    half,
    in_float32,
    read_arrays,
    read_entry,
    read_facts,
    read_json,
    read_tensors,
    reading,
    write_entry,
    write_tensors,
)

PUBLISHED = "weights_float16.safetensors"  # in half precision, small enough to be committed
CONTENTS = "contents.json"  # in a file of predictions: group -> array -> entry
GIT = "restore it with 'git checkout -- {}'"  # what mends a file of the bundle
OF_PREDICTIONS = "predictions"  # in env.json: the digest of the file that the training wrote
JSON = {"config": "config.json", "env": "env.json", "metrics": "metrics.json"}


@dataclass(frozen=True)
class StoredRun:
    """A run, read from its folder below the store or else from the bundle of its profile."""

    folder: Path
    # Files without suffix that a finished training leaves. The first can be published.
    WEIGHTS: ClassVar[tuple[str, ...]] = ()

    def finished(self, weights: bool = False) -> bool:
        """Whether all files of a finished training exist; `weights` asks for weights, too, published ones suffice."""
        kept = all((self.folder / f"{name}.safetensors").exists() for name in self.WEIGHTS)
        if weights and not (kept or (self.folder / PUBLISHED).exists()):
            return False
        if (self.folder / "predictions.npz").exists():  # without metrics, which come last, a training was stopped
            return (self.folder / "metrics.json").exists()
        return self.folder.name in bundle(self.folder.parent).facts

    def weights_file(self, name: str | None = None) -> Path:
        """The file of the weights `name`, or of the first of `WEIGHTS`: the training's own, or else the published one.

        Raises:
            EcglibError: the store came without them.
        """
        first = self.WEIGHTS[0]
        own = self.folder / f"{name or first}.safetensors"
        for path in (own, *([self.folder / PUBLISHED] if own.stem == first else [])):
            if path.exists():
                return path
        raise EcglibError(f"{own.name} is not in {self.folder.name}: train the run again with weights=True.")

    def publish(self) -> None:
        """Keep the first of `WEIGHTS` in half precision, small enough to be committed."""
        if not (self.folder / PUBLISHED).exists():  # a training that replaces the weights removes it
            path = self.weights_file()
            write_tensors(self.folder / PUBLISHED, half(read_tensors(path)), read_facts(path) or None)

    def _json(self, name: str) -> dict[str, Any]:
        path = self.folder / JSON[name]
        if not path.exists() and self.folder.name in (facts := bundle(self.folder.parent).facts):
            return facts[self.folder.name][name]
        return read_json(path)

    @cached_property
    def config(self) -> dict[str, Any]:
        """The config as JSON: the fields that differ from their defaults.

        Raises:
            EcglibError: it is missing, damaged, or not the one that the run's id was made of.
        """
        found = self._json("config")
        if digest_of(found) != self.folder.name.rsplit("-", 1)[-1]:
            raise EcglibError(f"The config of {self.folder} was changed after its training: delete the folder.")
        return found

    @cached_property
    def metrics(self) -> dict[str, dict[str, float]]:
        """Metrics by what they belong to: a rule of choosing the epoch, or a part of the data.

        Raises:
            EcglibError: they are missing, damaged or empty.
        """
        found = self._json("metrics")
        if not found:
            raise EcglibError(f"{self.folder / 'metrics.json'} is empty: delete it and run again.")
        return found

    @cached_property
    def environment(self) -> dict[str, Any]:
        """Versions, device, commit and seconds."""
        return self._json("env")

    @cached_property
    def history(self) -> pd.DataFrame:
        """One row an epoch."""
        path = self.folder / "history.csv"
        if not path.exists() and self.folder.name in (histories := bundle(self.folder.parent).histories):
            return pd.read_csv(io.StringIO(histories[self.folder.name]))
        with reading(path):
            return pd.read_csv(path)

    @cached_property
    def predictions(self) -> dict[str, np.ndarray]:
        """The run's outputs."""
        return self.arrays()

    def size(self, name: str) -> int | None:
        """Bytes of one of the run's files, or of its content in the bundle; None if it was not kept."""
        path, packed = self.folder / name, bundle(self.folder.parent)
        if path.exists():
            return path.stat().st_size
        if name == "history.csv" and self.folder.name in packed.histories:
            return len(packed.histories[self.folder.name].encode())
        if name in JSON.values() and self.folder.name in packed.facts:
            return len(json.dumps(self._json(Path(name).stem)).encode())
        group = f"{self.folder.name}/{Path(name).stem}"
        return packed.size(group) if group in packed.groups else None

    def arrays(self) -> dict[str, np.ndarray]:
        """The run's outputs as they are stored.

        Raises:
            EcglibError: they are missing, damaged, or another run's; or an array is asked for that is not there.
        """
        kept, path = self.environment.get(OF_PREDICTIONS), self.folder / "predictions.npz"
        if kept is not None and path.exists() and digest_of_file(path) != kept:
            raise EcglibError(f"{path} is not what this run has written: delete it and run again.")
        return _Arrays(self.folder, stored_arrays(self.folder.parent, f"{self.folder.name}/predictions"))


class _Arrays(dict[str, np.ndarray]):
    """Arrays by name; one that is missing says so in one line."""

    def __init__(self, folder: Path, arrays: Mapping[str, np.ndarray]) -> None:
        super().__init__(arrays)
        self.folder = folder

    def pop(self, name: str) -> np.ndarray:  # type: ignore[override]
        """An array, which is taken out."""
        found = self[name]
        del self[name]
        return found

    def __missing__(self, name: str) -> np.ndarray:
        raise EcglibError(f"The predictions of {self.folder} have no {name!r}: delete the folder and run again.")


class Bundle:
    """The runs of a profile in few files; it is empty if the folder has none of them."""

    def __init__(self, folder: Path) -> None:
        self.folder = folder

    @cached_property
    def facts(self) -> dict[str, dict[str, Any]]:
        """Run id -> its `config`, `env` and `metrics`.

        Raises:
            EcglibError: the file is damaged.
        """
        path = self.folder / "runs.jsonl"
        if not path.exists():
            return {}
        try:
            rows = [json.loads(line) for line in path.read_text(encoding="utf-8").splitlines()]
            return {row["run"]: row for row in rows}
        except (OSError, ValueError, KeyError, TypeError) as error:
            raise EcglibError(f"{path} cannot be read ({error}): restore it with 'git checkout -- {path}'.") from error

    @cached_property
    def histories(self) -> dict[str, str]:
        """Run id -> its `history.csv`."""
        path = self.folder / "history.csv"
        if not path.exists():
            return {}
        rows: dict[str, list[dict[str, str]]] = {}
        with reading(path, GIT), path.open(newline="", encoding="utf-8") as file:
            for row in csv.DictReader(file):
                rows.setdefault(row.pop("run"), []).append(row)
            # The file has the columns of all runs; each run's own are listed in its facts. A run without facts was
            # being packed when `pack` was killed.
            return {
                run: _csv([{name: row[name] for name in self.facts[run]["history"]} for row in of])
                for run, of in rows.items()
                if run in self.facts
            }

    @cached_property
    def groups(self) -> dict[str, dict[str, tuple[Path, str]]]:
        """Name of a group of arrays -> name of an array -> the file and the entry that have it."""
        found: dict[str, dict[str, tuple[Path, str]]] = {}
        for path in sorted(self.folder.glob("predictions_*.npz")):
            with reading(path, GIT), zipfile.ZipFile(path) as archive:
                for name, members in json.loads(archive.read(CONTENTS)).items():
                    found[name] = {key: (path, entry) for key, entry in members.items()}
        return found

    def size(self, name: str) -> int:
        """Bytes of a group of arrays, compressed; other groups may share them."""
        found = 0
        for path in {path for path, _ in self.groups[name].values()}:
            entries = {entry for of, entry in self.groups[name].values() if of == path}
            with reading(path, GIT), zipfile.ZipFile(path) as archive:
                found += sum(archive.getinfo(entry).compress_size for entry in entries)
        return found

    def arrays(self, name: str) -> dict[str, np.ndarray]:
        """The arrays of a group, as they are stored."""
        found = {}
        for key, (path, entry) in self.groups[name].items():
            with reading(path, GIT), zipfile.ZipFile(path) as archive:
                found[key] = read_entry(archive, entry)
        return found


@lru_cache(maxsize=4)
def bundle(store: Path) -> Bundle:
    """The bundle in the folder `<profile>` of a store `<profile>/runs`."""
    return Bundle(store.parent)


def stored_arrays(store: Path, name: str) -> dict[str, np.ndarray]:
    """The arrays of `<store>/<name>.npz`, or of the bundle if there is no such file; half precision becomes float32.

    Raises:
        EcglibError: the file is missing or damaged.
    """
    path = store / f"{name}.npz"
    packed = bundle(store)
    return read_arrays(path) if path.exists() or name not in packed.groups else in_float32(packed.arrays(name))


def is_stored(store: Path, name: str) -> bool:
    """Whether `stored_arrays` finds these arrays."""
    return (store / f"{name}.npz").exists() or name in bundle(store).groups


def pack(store: Path, chapter_of: Callable[[str, Mapping[str, Any], Mapping[str, np.ndarray]], str]) -> Path:
    """Write the bundle of a store: all finished runs without their weights. Returned is its folder.

    Runs that only the former bundle has stay in it. `chapter_of` (name of a group of arrays, the run's config or {},
    the arrays) says which file a group goes into.

    Raises:
        EcglibError: a run's files are damaged, or not those that it has written.
    """
    before = Bundle(store.parent)
    facts, histories = dict(before.facts), dict(before.histories)
    for path in sorted(store.glob("*/metrics.json")):
        run = path.parent
        StoredRun(run).arrays()  # the digest is that of the file, which the bundle does not have: it is checked here
        with reading(run / "history.csv"):
            histories[run.name] = (run / "history.csv").read_text(encoding="utf-8")
        columns = histories[run.name].splitlines()[0].split(",")
        facts[run.name] = {"run": run.name, "history": columns}
        facts[run.name] |= {name: read_json(run / file) for name, file in JSON.items()}
    groups = {name: before.arrays(name) for name in before.groups}
    groups |= {
        path.relative_to(store).with_suffix("").as_posix(): arrays_as_stored(path)
        for path in sorted(store.glob("*/*.npz"))
        if path.name != "predictions.npz" or (path.parent / "metrics.json").exists()
    }
    chapters: dict[str, dict[str, dict[str, np.ndarray]]] = {}
    for name in sorted(groups):
        config = facts.get(name.split("/")[0], {}).get("config", {})
        chapters.setdefault(chapter_of(name, config, groups[name]), {})[name] = groups[name]
    # `runs.jsonl` comes last: it says that a run is finished, so everything else of it must be there.
    for chapter, members in chapters.items():
        _write_groups(store.parent / f"predictions_{chapter}.npz", members)
    rows = [{"run": run, **row} for run in sorted(histories) for row in csv.DictReader(io.StringIO(histories[run]))]
    write_text(store.parent / "history.csv", _csv(rows))
    lines = [json.dumps(facts[run], sort_keys=True, ensure_ascii=False) for run in sorted(facts)]
    write_text(store.parent / "runs.jsonl", "".join(f"{line}\n" for line in lines))
    for path in store.parent.glob("predictions_*.npz"):
        if path.stem.removeprefix("predictions_") not in chapters:
            path.unlink()  # its groups went into other files
    bundle.cache_clear()
    return store.parent


def _write_groups(path: Path, groups: Mapping[str, Mapping[str, np.ndarray]]) -> None:
    """Many groups of arrays in one file, equal arrays once: all runs of a chapter have the same labels."""
    contents: dict[str, dict[str, str]] = {}
    with atomic_path(path) as temporary, zipfile.ZipFile(temporary, "w") as archive:
        written: set[str] = set()
        for name, arrays in groups.items():
            contents[name] = {}
            for key, values in arrays.items():
                facts = f"{values.dtype}{values.shape}".encode()
                entry = hashlib.blake2b(facts + values.tobytes(), digest_size=8).hexdigest()
                if entry not in written:
                    write_entry(archive, entry, values)
                    written.add(entry)
                contents[name][key] = f"{entry}.npy"
        archive.writestr(zipfile.ZipInfo(CONTENTS), json.dumps(contents, indent=0), zipfile.ZIP_DEFLATED)


def _csv(rows: list[dict[str, str]]) -> str:
    """Rows as CSV with the columns of all of them, in the order of their first appearance."""
    columns = list(dict.fromkeys(name for row in rows for name in row))
    text = io.StringIO()
    writer = csv.DictWriter(text, columns, lineterminator="\n")
    writer.writeheader()
    writer.writerows(rows)
    return text.getvalue()
