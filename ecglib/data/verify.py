"""Are the databases on disk what PhysioNet publishes, and can they be read?"""

import hashlib
from collections.abc import Mapping
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass
from pathlib import Path

import pandas as pd
from tqdm.auto import tqdm

from ecglib.core.errors import EcglibError
from ecglib.core.extras import need
from ecglib.data import pack
from ecglib.data.physionet import CHECKSUMS, DATABASES, PTBXL_METADATA, database_dir, first_names, packed, wanted
from ecglib.data.ptbxl import load_signals
from ecglib.data.ptbxl_index import read_index


@dataclass(frozen=True)
class Verification:
    """The result of `verify`."""

    database: str
    root: Path
    checked: int  # number of files
    missing: tuple[str, ...]
    corrupt: tuple[str, ...]  # files that differ from PhysioNet's
    note: str = ""  # a limit of the check
    remedy: str = ""  # other than a download

    @property
    def ok(self) -> bool:
        """Whether nothing is missing or corrupt."""
        return not (self.missing or self.corrupt)

    def summary(self) -> str:
        """A sentence with the first few names and the command that repairs them."""
        if self.ok:
            return f"{self.database}: {self.checked:,} files checked, all as they should be{self.note}."
        problems = (("missing", self.missing), ("corrupt", self.corrupt))
        parts = [f"{len(names)} {what} ({first_names(names)})" for what, names in problems if names]
        download = f"'ecglib data download {self.database} --data-root {self.root}' fetches these again"
        found = f"{self.database}: of {self.checked:,} files {' and '.join(parts)}{self.note}"
        return f"{found}: {self.remedy or download}."


def verify(database: str, root: str | Path) -> Verification:
    """Compare every file of a database with its checksum, and read PTB-XL as the loaders do.

    PTB-XL's list of checksums comes from the server, so a mirror's damage may be in the list as well; each record is
    read and compared with the checksums of its own header. A mirror may also lack the list. Of a database in parts
    (`data.pack`) every record is read.

    Raises:
        EcglibError: the database is not there, or its list of checksums is unusable.
    """
    if parts := packed(root, database):
        return _verify_parts(Path(root), database, len(parts))
    folder, known = database_dir(root, database), DATABASES[database]
    checksums = known.checksums
    if checksums is not None:
        missing, corrupt = _compare(folder, checksums)
        return Verification(database, Path(root), len(checksums), missing, corrupt)
    listed: Mapping[str, str] = {}
    if (folder / CHECKSUMS).exists():
        try:
            text = (folder / CHECKSUMS).read_text(encoding="utf-8", errors="replace")
        except OSError as error:
            raise EcglibError(f"{folder / CHECKSUMS} cannot be read ({error.strerror}): remove it.") from error
        listed = wanted(text, str(folder / CHECKSUMS))
    return _verify_ptbxl(Path(root), folder, listed)


def _compare(folder: Path, checksums: Mapping[str, str]) -> tuple[tuple[str, ...], tuple[str, ...]]:
    def state(name: str) -> str:
        try:
            with (folder / name).open("rb") as file:
                return "" if hashlib.file_digest(file, "sha256").hexdigest() == checksums[name] else "corrupt"
        except FileNotFoundError:
            return "missing"
        except OSError:  # the disk cannot read the file
            return "corrupt"

    with ThreadPoolExecutor() as pool:
        states = dict(zip(checksums, pool.map(state, checksums), strict=True))
    missing, corrupt = (
        tuple(name for name, found in states.items() if found == what) for what in ("missing", "corrupt")
    )
    return missing, corrupt


def _verify_parts(root: Path, database: str, count: int) -> Verification:
    damaged = []
    names = sorted(pack.names(root, database))
    for name in tqdm(names, desc="reading records", unit="record", disable=None):
        try:
            pack.read(root, database, name)
        except EcglibError:
            damaged.append(f"record {name}")
    for name in pack.TABLES[database]:
        try:
            pack.table(root, database, name)
        except EcglibError:
            damaged.append(name)
    note = f" ({len(names):,} records; parts have no checksums of PhysioNet)"
    return Verification(database, root, count, (), tuple(damaged), note, "copy the parts again")


def _verify_ptbxl(root: Path, folder: Path, listed: Mapping[str, str]) -> Verification:
    need("wfdb", "data")
    missing, corrupt = _compare(folder, listed)
    missing += tuple(name for name in PTBXL_METADATA[:2] if not (folder / name).exists() and name not in missing)
    there, records, note = 0, 0, ""
    if not {*missing, *corrupt} & set(PTBXL_METADATA[:2]):
        try:
            index = read_index(*(folder / name for name in PTBXL_METADATA[:2]))
        except EcglibError as error:
            corrupt += (f"the index, for {error}",)
        else:
            records = len(index)
            there, lacking, damaged = _read_records(root, folder, index, {*missing, *corrupt})
            missing, corrupt = missing + lacking, corrupt + damaged
            if damaged and listed:
                note = "; what cannot be read is in the list of its mirror, so take another --mirror"
            if not there and not listed:
                missing += ("every file of records100/",)
    note += "" if listed else f"; there is no {CHECKSUMS}"
    note = f" ({there:,} of {records:,} records have waveforms{note})"
    return Verification("ptb-xl", root, len(listed) or 2 + 2 * there, missing, corrupt, note)


def _read_records(
    root: Path, folder: Path, index: pd.DataFrame, known: set[str]
) -> tuple[int, tuple[str, ...], tuple[str, ...]]:
    """How many records have a file; of these the files that are absent, and the records that cannot be read.

    Files in `known` are known to be missing or corrupt already.
    """
    there, lacking, damaged = 0, [], []
    for row, name in enumerate(tqdm(index["filename_lr"], desc="reading records", unit="record", disable=None)):
        files = {f"{name}.hea", f"{name}.dat"}
        absent = {file for file in files if not (folder / file).is_file()}
        if absent == files:
            continue
        there += 1
        lacking += sorted(absent - known)
        if not absent and not files & known:
            try:
                load_signals(root, index.iloc[[row]])
            except EcglibError:
                damaged.append(f"record {name}")
    return there, tuple(lacking), tuple(damaged)
