"""Reading WFDB records, and a cache of arrays that were prepared from them.

Everywhere: `database` is a key of `physionet.DATABASES`.
"""

import hashlib
import inspect
import json
import os
import shutil
import tempfile
import warnings
from collections.abc import Callable, Iterable, Mapping, Sequence
from contextlib import suppress
from dataclasses import dataclass, fields
from pathlib import Path
from types import ModuleType
from typing import Any

import numpy as np

from ecglib.core.errors import EcglibError, EcglibWarning
from ecglib.core.files import HALF_WRITTEN, atomic_path, cache_dir, sole_process, sweep, write_json
from ecglib.data import physionet, wfdb_header
from ecglib.data.wfdb_header import read_header, wrong_checksums

DIGESTS = "digests.json"
CACHED = 8  # of a kind; those used longest ago are removed, as each change of the code makes another
END_OF_ANNOTATIONS = b"\0\0"
MISSING = {"16": -(2**15), "212": -(2**11)}  # of a format: the digital value of a missing sample


@dataclass(frozen=True)
class Raw:
    """A record as it is stored: integers, and how they become physical values."""

    digital: np.ndarray  # (T, leads) int16
    fs: float  # Hz
    leads: tuple[str, ...]
    units: tuple[str, ...]
    gains: tuple[float, ...]  # digital steps a unit
    baselines: tuple[int, ...]  # the digital value of 0
    missing: tuple[int, ...]  # the digital value of a missing sample
    samples: np.ndarray  # (A,) indices of the annotations
    symbols: np.ndarray  # (A,)

    @property
    def physical(self) -> np.ndarray:
        """(T, leads) float64 in `units`, NaN for missing samples."""
        values = (self.digital.astype(np.float64) - self.baselines) / self.gains
        return np.where(self.digital == self.missing, np.nan, values)

    def header(self) -> dict[str, Any]:
        """All but the digital values, JSON-ready."""
        found = {field.name: getattr(self, field.name) for field in fields(self) if field.name != "digital"}
        return {name: value.tolist() if isinstance(value, np.ndarray) else value for name, value in found.items()}

    @classmethod
    def of(cls, digital: np.ndarray, header: Mapping[str, Any]) -> "Raw":
        """A record from digital values and a `header`."""
        facts: dict[str, Any] = {
            name: tuple(value) if isinstance(value, list) else value for name, value in header.items()
        }
        facts |= {"samples": np.array(header["samples"], dtype=np.int64), "symbols": np.array(header["symbols"])}
        return cls(digital, **facts)


def read_wfdb(root: str | Path, database: str, name: str, annotator: str = "") -> Raw:
    """The record `name` (relative to the database's folder), with the annotations of the suffix `annotator`.

    Raises:
        EcglibError: the record is missing, truncated or corrupt, or its header is (see `wfdb_header`).
    """
    import wfdb  # here: the training grid runs on machines without it

    path = physionet.database_dir(root, database) / name
    record = f"record {name} of {physionet.DATABASES[database].title}"
    try:
        header = read_header(path, record)
        if header.name != path.name:
            raise EcglibError(f"The header of {record} is that of {header.name}.")
        with warnings.catch_warnings():
            warnings.simplefilter("ignore", DeprecationWarning)  # wfdb under pandas 3
            found = wfdb.rdrecord(str(path), physical=False)
            marks = wfdb.rdann(str(path), annotator) if annotator else None
        if annotator and path.with_name(f"{path.name}.{annotator}").read_bytes()[-2:] != END_OF_ANNOTATIONS:
            raise EcglibError(f"The annotations of {record} break off: their file has no end mark.")
        if wrong := wrong_checksums(header, found.calc_checksum()):
            leads = ", ".join(wrong)
            raise EcglibError(
                f"The samples of {record} do not have the checksums that its header gives (lead {leads})."
            )
        return Raw(
            found.d_signal.astype(np.int16),
            found.fs,
            tuple(found.sig_name),
            tuple(lead.unit for lead in header.leads),
            tuple(found.adc_gain),
            tuple(found.baseline),
            tuple(MISSING[kind] for kind in found.fmt),
            np.asarray(marks.sample if marks else [], dtype=np.int64),
            np.asarray(marks.symbol if marks else [], dtype=str),
        )
    except EcglibError as error:
        raise EcglibError(f"{str(error).rstrip('.')}; {mend(root, database)}.") from error
    except FileNotFoundError as error:
        raise EcglibError(f"There is no {error.filename} of {record}; {mend(root, database)}.") from error
    except Exception as error:  # wfdb lets all errors of its parsing through
        raise EcglibError(f"R{record[1:]} cannot be read ({error}); {mend(root, database)}.") from error


def read(root: str | Path, database: str, name: str, annotator: str = "") -> Raw:
    """As `read_wfdb`, or from the database's parts (`pack`) if only these are below the data root."""
    if physionet.packed(root, database):
        from ecglib.data import pack  # here: it reads WFDB, too, to write the parts

        return pack.read(root, database, name)
    return read_wfdb(root, database, name, annotator)


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
    `version` does: the functions and modules that decide the result, compared by their source, and constants. So they
    are where the cache no longer holds what was written.

    Raises:
        EcglibError: a file is missing, or the cache cannot be written; or as `make`.
    """
    digest = hashlib.blake2b(digest_size=12)
    for part in (read_wfdb, wfdb_header, Raw, *version):
        code = inspect.getsource(part) if callable(part) or isinstance(part, ModuleType) else json.dumps(part)
        digest.update(code.encode())
    parts = physionet.packed(root, database)
    paths = {part.name: part for part in parts}
    if not parts:
        folder = physionet.database_dir(root, database)
        paths = {name: folder / name for name in files}
    for name, path in paths.items():
        try:
            found = path.stat()
        except OSError as error:
            title = physionet.DATABASES[database].title
            raise EcglibError(f"{title} has no readable {name} in {path.parent}: {mend(root, database)}.") from error
        digest.update(f"{name} {found.st_size} {found.st_mtime_ns}\n".encode())
    place = cache_dir() / kind / digest.hexdigest()
    sweep(place.parent, ".*")  # what was half made or half removed when its process was killed
    with suppress(OSError):  # not made yet, or a cache that may only be read
        os.utime(place)  # before it is read, so that no other process takes it for the one used longest ago
    if not place.is_dir() or not _intact(place):
        with sole_process(place.parent, f".{place.name}", None):
            if place.is_dir() and not _intact(place):
                warnings.warn(f"The cache {place} is damaged and is made again.", EcglibWarning, stacklevel=3)
                shutil.rmtree(place, ignore_errors=True)  # or another process has just removed it
            if not place.is_dir():
                arrays = make()
                with atomic_path(place, folder=True) as temporary:
                    for name, values in arrays.items():
                        np.save(temporary / f"{name}.npy", values, allow_pickle=False)
                    write_json(temporary / DIGESTS, _digests(temporary))
                _evict(place.parent)
    return {path.stem: np.load(path, mmap_mode="r", allow_pickle=False) for path in sorted(place.glob("*.npy"))}


def _evict(folder: Path) -> None:
    """Remove all caches of a kind but the latest ones; each loses its name first, so that nobody finds half of one."""
    found = {}
    for path in folder.glob("[!.]*"):
        with suppress(OSError):  # another process has removed it
            found[path] = path.stat().st_mtime
    for old in sorted(found, key=lambda path: found[path])[:-CACHED]:
        with suppress(OSError):  # another process has removed it
            if old.stat().st_mtime == found[old]:  # else it is being used again
                with tempfile.TemporaryDirectory(HALF_WRITTEN, f".{old.name}.", folder) as gone:
                    old.rename(Path(gone) / old.name)


def _digests(place: Path) -> dict[str, str]:
    """File name -> digest of each array of a cache."""
    found = {}
    for path in sorted(place.glob("*.npy")):
        with path.open("rb") as file:
            found[path.name] = hashlib.file_digest(file, "blake2b").hexdigest()[:32]
    return found


def _intact(place: Path) -> bool:
    """Whether a cache holds what was written: a disk that lost its power may have kept less."""
    try:
        return bool(json.loads((place / DIGESTS).read_text(encoding="utf-8")) == _digests(place))
    except (OSError, ValueError):
        return False
