"""A database in a few files without WFDB: `ecglib data pack` writes them, and reading needs nothing but NumPy.

A part is a ZIP file below `PART` bytes. It holds each record's samples as differences of integers, its header and
annotations as JSON, and the database's tables. Nothing is lost: a record is the same to the last bit, so beats, records
and the ids of runs are. Parts stand in the data root, as `mitdb-1.0.0.part00.zip`.
"""

import io
import json
import zipfile
from collections.abc import Iterator
from contextlib import ExitStack
from functools import lru_cache
from pathlib import Path

import numpy as np
from tqdm.auto import tqdm

from ecglib.core.errors import EcglibError
from ecglib.core.files import atomic_path
from ecglib.data import physionet
from ecglib.data.wfdb_files import Raw, read_wfdb

PART = 45_000_000  # bytes
TABLES = {"mitdb": (), "ptb-xl": ("ptbxl_database.csv", "scp_statements.csv")}
COUNT = "parts"  # in the last part: how many there are
ANNOTATORS = {"mitdb": "atr", "ptb-xl": ""}


def write(root: str | Path, database: str, target: Path) -> list[Path]:
    """Pack the records of a database that are below `root` into parts in the folder `target`.

    Raises:
        EcglibError: there is no record or a table is missing, a record is damaged, or the disk refused.
    """
    folder, known = physionet.database_dir(root, database), physionet.DATABASES[database]
    # PTB-XL has every record twice; records500 is not read here.
    headers = (path.relative_to(folder).with_suffix("") for path in folder.rglob("*.hea"))
    names = sorted(path.as_posix() for path in headers if path.parts[0] != "records500")
    lacking = [name for name in TABLES[database] if not (folder / name).is_file()]
    if lacking:
        raise EcglibError(
            f"{folder} has no {lacking[0]}: 'ecglib data download {database} --data-root {root}' fetches it."
        )
    if not names:
        raise EcglibError(f"{folder} has no record: 'ecglib data download {database} --data-root {root}' fetches them.")
    tables = {name: (folder / name).read_bytes() for name in TABLES[database]}
    parts: list[Path] = []
    # Parts get their names together, when all are written: some of them would pass for a small database.
    with ExitStack() as stack, tqdm(_entries(root, database, names), total=len(names), desc="packing") as bar:
        entries = iter(bar)
        record = next(entries, None)
        while record is not None:
            path = target / f"{known.name}-{known.version_below(root)}.part{len(parts):02d}.zip"
            temporary = stack.enter_context(atomic_path(path))
            parts.append(path)
            with zipfile.ZipFile(temporary, "w", zipfile.ZIP_BZIP2) as archive:
                for name, content in tables.items():
                    _add(archive, name, content)
                tables = {}
                while record is not None and (not archive.filelist or _size(archive, record) < PART):
                    name, content, header = record
                    _add(archive, f"{name}.json", header)
                    _add(archive, f"{name}.bin", content)
                    record = next(entries, None)
                if record is None:
                    _add(archive, COUNT, json.dumps(len(parts)).encode())
    for path in physionet.packed(target, database):
        if path not in parts:  # of an earlier packing of more records, which would be mixed with this one
            path.unlink()
    return parts


def _size(archive: zipfile.ZipFile, record: tuple[str, bytes, bytes]) -> int:
    """At most how many bytes an archive has with one more record and its directory of names."""
    name, content, header = record
    entries = 2 * len(archive.filelist) + 4  # each name stands beside its content and in the directory
    return archive.start_dir + len(content) + len(header) + entries * (len(name) + 80)


def _add(archive: zipfile.ZipFile, name: str, content: bytes) -> None:
    entry = zipfile.ZipInfo(name)  # dated 1980, so that equal databases give equal parts
    entry.compress_type = zipfile.ZIP_BZIP2
    archive.writestr(entry, content)


def _entries(root: str | Path, database: str, names: list[str]) -> Iterator[tuple[str, bytes, bytes]]:
    """Name, samples and header of each record."""
    for name in names:
        raw = read_wfdb(root, database, name, ANNOTATORS[database])
        steps = np.ascontiguousarray(np.diff(raw.digital, axis=0, prepend=raw.digital.dtype.type(0)).T)
        # Low bytes before high ones: these are nearly all alike, which compresses best.
        content = np.ascontiguousarray(steps.view(np.uint8).reshape(-1, 2).T).tobytes()
        yield name, content, json.dumps(raw.header(), ensure_ascii=True).encode()


@lru_cache(maxsize=4)
def _where(parts: tuple[Path, ...]) -> dict[str, zipfile.ZipFile]:
    found: dict[str, zipfile.ZipFile] = {}
    for path in parts:
        try:
            archive = zipfile.ZipFile(path)
        except (OSError, zipfile.BadZipFile) as error:
            raise EcglibError(f"{path} cannot be read ({error}): copy it again.") from error
        found |= dict.fromkeys(archive.namelist(), archive)
    count = found[COUNT].read(COUNT) if COUNT in found else b"several"
    if count != str(len(parts)).encode():
        raise EcglibError(
            f"{parts[0].parent} has {len(parts)} parts of {count.decode(errors='replace')}, {parts[0].name} being the "
            "first: copy all of them into one folder."
        )
    return found


def names(root: str | Path, database: str) -> set[str]:
    """The names of the records in the parts."""
    entries = _where(physionet.packed(root, database))
    return {name.removesuffix(".json") for name in entries if name.endswith(".json")}


def table(root: str | Path, database: str, name: str) -> io.BytesIO:
    """A table of the database.

    Raises:
        EcglibError: the parts lack it.
    """
    return io.BytesIO(_content(root, database, name))


def read(root: str | Path, database: str, name: str) -> Raw:
    """A record from the parts.

    Raises:
        EcglibError: the parts lack it, or are damaged.
    """
    text, content = (_content(root, database, f"{name}.{suffix}") for suffix in ("json", "bin"))
    try:
        header = json.loads(text)
        bytes_of = np.frombuffer(content, dtype=np.uint8).reshape(2, -1)  # the low ones, and the high ones
        steps = np.ascontiguousarray(bytes_of.T).view(np.int16).reshape(len(header["leads"]), -1)
        return Raw.of(steps.cumsum(axis=1, dtype=np.int16).T, header)
    except (ValueError, KeyError, TypeError) as error:
        raise EcglibError(
            f"{name} in the parts of {physionet.DATABASES[database].title} in {root} is not what 'ecglib data pack' "
            f"writes ({error}): pack the database again."
        ) from error


def _content(root: str | Path, database: str, name: str) -> bytes:
    entries, title = _where(physionet.packed(root, database)), physionet.DATABASES[database].title
    if name not in entries:
        raise EcglibError(f"The parts of {title} in {root} lack {name}: copy all of them into one folder.")
    try:
        return entries[name].read(name)
    except (OSError, zipfile.BadZipFile, EOFError, RuntimeError) as error:  # RuntimeError: encrypted
        raise EcglibError(f"{entries[name].filename} is damaged at {name} ({error}): copy it again.") from error
