"""Reading WFDB records, and a cache of arrays that were prepared from them.

Everywhere: `database` is a key of `physionet.DATABASES`.
"""

import hashlib
import inspect
import json
import warnings
from collections.abc import Callable, Iterable, Mapping, Sequence
from pathlib import Path
from types import ModuleType
from typing import Any

import numpy as np

from ecglib.core.errors import EcglibError
from ecglib.core.files import atomic_path, cache_dir
from ecglib.data import physionet


def read(root: str | Path, database: str, name: str, annotator: str = "") -> tuple[Any, Any]:
    """WFDB's record `name`, and its annotations or None.

    `name` is relative to the database's folder; `annotator` is the suffix of the annotation file.

    Raises:
        EcglibError: the record is missing, truncated or corrupt.
    """
    import wfdb  # here: the training grid runs on machines without it

    path = str(physionet.database_dir(root, database) / name)
    record = f"Record {name} of {physionet.DATABASES[database].title}"
    try:
        with warnings.catch_warnings():
            warnings.simplefilter("ignore", DeprecationWarning)  # wfdb under pandas 3
            return wfdb.rdrecord(path), wfdb.rdann(path, annotator) if annotator else None
    except FileNotFoundError as error:
        raise EcglibError(f"{record} lacks {error.filename}: {mend(root, database)}.") from error
    except Exception as error:  # wfdb lets all errors of its parsing through
        raise EcglibError(f"{record} cannot be read ({error}): {mend(root, database)}.") from error


def mend(root: str | Path, database: str) -> str:
    """The advice for a damaged database, as a part of a message."""
    return f"run 'ecglib data verify {database} --data-root {root}' to see what is wrong with it"


def cached(
    kind: str,
    root: str | Path,
    database: str,
    files: Iterable[str],
    version: Sequence[Callable[..., Any] | ModuleType | str | float | Sequence[Any] | Mapping[str, Any]],
    make: Callable[[], Mapping[str, np.ndarray]],
) -> dict[str, np.ndarray]:
    """The arrays of `make()`, memory-mapped and read-only, from the folder `kind` of the cache or made and cached.

    They are made anew when the size or time of one of `files` changes (names in the database's folder), or when
    `version` does: the functions and modules that decide the result, compared by their source, and constants.

    Raises:
        EcglibError: a file is missing, or the cache is damaged or cannot be written; or as `make`.
    """
    digest = hashlib.blake2b(digest_size=12)
    for part in (read, *version):
        code = inspect.getsource(part) if callable(part) or isinstance(part, ModuleType) else json.dumps(part)
        digest.update(code.encode())
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
