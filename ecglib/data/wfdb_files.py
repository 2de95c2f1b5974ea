"""What every database of WFDB records needs: reading a record, and a cache of what was made of all of them."""

import hashlib
import inspect
import json
import warnings
from collections.abc import Callable, Iterable, Mapping, Sequence
from pathlib import Path
from typing import Any

import numpy as np

from ecglib.core.errors import EcglibError
from ecglib.core.files import atomic_path, cache_dir
from ecglib.data import physionet


def read(root: str | Path, database: str, name: str, annotator: str = "") -> tuple[Any, Any]:
    """A record as WFDB reads it, and its annotations where an annotator is named.

    Args:
        root: the data root.
        database: a key of `physionet.DATABASES`.
        name: of the record, below the database's folder.
        annotator: suffix of the annotation file; empty for none.

    Raises:
        EcglibError: the record is missing, truncated or corrupt.
    """
    import wfdb  # here: the training grid runs where wfdb is absent

    path = str(physionet.database_dir(root, database) / name)
    record = f"Record {name} of {physionet.DATABASES[database].title}"
    try:
        with warnings.catch_warnings():
            warnings.simplefilter("ignore", DeprecationWarning)  # wfdb under pandas 3
            return wfdb.rdrecord(path), wfdb.rdann(path, annotator) if annotator else None
    except FileNotFoundError as error:
        raise EcglibError(f"{record} lacks {error.filename}: {mend(root, database)}.") from error
    except Exception as error:  # wfdb raises whatever its parsing runs into
        raise EcglibError(f"{record} cannot be read ({error}): {mend(root, database)}.") from error


def mend(root: str | Path, database: str) -> str:
    """What to do about a damaged database, as a part of a message."""
    return f"run 'ecglib data verify {database} --data-root {root}' to see what is wrong with it"


def cached(
    kind: str,
    root: str | Path,
    database: str,
    files: Iterable[str],
    version: Sequence[Callable[..., Any] | str | float | Sequence[Any] | Mapping[str, Any]],
    make: Callable[[], Mapping[str, np.ndarray]],
) -> dict[str, np.ndarray]:
    """Arrays made of a database's files: from the cache, or made and kept there.

    Sizes and times of the files, the source of the functions that `version` has, and its constants decide whether what
    is in the cache still holds.

    Args:
        kind: of what is made; a folder in the cache.
        root: the data root.
        database: a key of `physionet.DATABASES`.
        files: names below the database's folder.
        version: functions and constants that decide the result.
        make: gives the arrays.

    Returns:
        The arrays, memory-mapped and read-only.

    Raises:
        EcglibError: a file is missing, or the cache is damaged or cannot be written; or as `make`.
    """
    digest = hashlib.blake2b(digest_size=12)
    for part in (read, *version):
        digest.update((inspect.getsource(part) if callable(part) else json.dumps(part)).encode())
    folder = physionet.database_dir(root, database)
    for name in files:
        try:
            found = (folder / name).stat()
        except OSError as error:
            title = physionet.DATABASES[database].title
            raise EcglibError(f"{title} has no readable {name} in {folder}: {mend(root, database)}.") from error
        digest.update(f"{name} {found.st_size} {found.st_mtime_ns}\n".encode())
    place = cache_dir() / kind / digest.hexdigest()
    if not place.is_dir():
        arrays = make()
        with atomic_path(place, folder=True) as temporary:
            for name, values in arrays.items():
                np.save(temporary / f"{name}.npy", values, allow_pickle=False)
    try:
        return {path.stem: np.load(path, mmap_mode="r", allow_pickle=False) for path in sorted(place.glob("*.npy"))}
    except (OSError, ValueError) as error:
        raise EcglibError(f"The cache {place} is damaged ({error}): delete that folder and run again.") from error
