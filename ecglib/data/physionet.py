"""The two databases on disk: where they are, how to get them from PhysioNet, whether they are whole.

MIT-BIH Arrhythmia Database v1.0.0 (Moody and Mark 2001; ODC-By 1.0) and PTB-XL v1.0.3 (Wagner et al. 2020; CC BY 4.0),
in the layout of PhysioNet's own folders, so that a copy made by any other means works as well.
"""

import csv
import hashlib
import os
import re
import tempfile
from collections.abc import Iterable, Mapping
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass
from importlib import resources
from pathlib import Path

from ecglib.core.errors import EcglibError
from ecglib.core.files import project_root, write_text

SERVER = "https://physionet.org/files"
CHECKSUMS = "SHA256SUMS.txt"
ATTEMPTS = 4  # of each file; the waits between them grow from 1 s to 3 s
CONNECTIONS = 4  # files at once: polite to the server, and enough to hide its answering time
TIMEOUT = 30  # seconds without an answer
PTBXL_METADATA = ("ptbxl_database.csv", "scp_statements.csv", "LICENSE.txt")
PTBXL_BYTES = 12 * 1000 * 2  # a 100 Hz data file: 12 leads, 10 s, 16 bits


@dataclass(frozen=True)
class Database:
    """What is known of one database.

    Attributes:
        name: of its folder on PhysioNet.
        title: what a reader knows it as.
        version: of its folder on PhysioNet.
        checksums: file name -> SHA-256, pinned in this package; None: the server's own list is taken on trust.
    """

    name: str
    title: str
    version: str
    checksums: Mapping[str, str] | None

    def folder(self, root: str | Path) -> Path:
        """Where the files lie below a data root."""
        return Path(root) / self.name / self.version


ANEW = "'ecglib data download ptb-xl' fetches the list anew, if need be from another --mirror."  # also said by verify
CHECKSUM_LINE = re.compile(r"([0-9a-fA-F]{64})\s+\*?(\S.*)")


def parse_checksums(text: str, source: str) -> dict[str, str]:
    """File name -> SHA-256 from lines of `hash  name`.

    A list comes from a server, which may be anybody's: names that would lead out of the data root are refused here,
    before anything is fetched or looked at.

    Args:
        text: of the list.
        source: where it comes from, for the message.

    Raises:
        EcglibError: it is no list of checksums, such as the page of a proxy, or names a file outside the data root.
    """
    found = {}
    for number, line in enumerate(text.splitlines(), 1):
        if not line.strip():
            continue
        match = CHECKSUM_LINE.fullmatch(line.rstrip())
        if match is None:
            raise EcglibError(
                f"Line {number} of {source} is no SHA-256 with a file name ({line[:40]!r}): is it a web page, or cut? "
                f"{ANEW}"
            )
        if not _inside(match[2]):
            raise EcglibError(
                f"Line {number} of {source} names {match[2]!r}, a file outside the data root. Do not use the "
                "mirror that it comes from."
            )
        found[match[2]] = match[1].lower()
    return found


def _inside(name: str) -> bool:
    """Whether a relative name stays below the folder that it is joined to, on any system."""
    parts = name.split("/")
    return name.isprintable() and not set(parts) & {"", ".", ".."} and not set(name) & {"\\", ":"}


def _pinned(name: str) -> dict[str, str]:
    return parse_checksums((resources.files("ecglib.data") / name).read_text(encoding="utf-8"), name)


DATABASES = {
    "mitdb": Database("mitdb", "MIT-BIH", "1.0.0", _pinned("mitdb-1.0.0.sha256")),
    "ptb-xl": Database("ptb-xl", "PTB-XL", "1.0.3", None),
}


def choose_root(data_root: str | Path | None = None) -> tuple[Path, str]:
    """The data root and what named it: `data_root`, else the variable `ECGLIB_DATA`, else `data` in the checkout.

    A notebook's working directory is not the checkout's top, so `./data` would be another folder there.
    """
    if data_root:
        return Path(data_root), "--data-root"
    if os.environ.get("ECGLIB_DATA"):
        return Path(os.environ["ECGLIB_DATA"]), "the variable ECGLIB_DATA"
    try:
        return project_root() / "data", "the default"
    except EcglibError:
        return Path("data"), "the default"


def find_root(data_root: str | Path | None = None) -> Path:
    """The data root as `choose_root` has it, if there are data.

    Raises:
        EcglibError: the folder is not there or holds neither database. Simulated data never stand in for real ones.
    """
    chosen, source = choose_root(data_root)
    if not any(database.folder(chosen).is_dir() for database in DATABASES.values()):
        raise EcglibError(
            f"No database in {chosen} ({source}), where mitdb/1.0.0 or ptb-xl/1.0.3 should be: "
            f"'ecglib data download mitdb --data-root {chosen}' fetches MIT-BIH."
        )
    return chosen


def listing(root: str | Path) -> str:
    """A digest of the names and sizes of all files of the databases below a data root."""
    digest = hashlib.sha256()
    for database in DATABASES.values():
        folder = database.folder(Path(root))
        for path in sorted(path for path in folder.rglob("*") if path.is_file()):
            digest.update(f"{path.relative_to(root).as_posix()} {path.stat().st_size}\n".encode())
    return digest.hexdigest()[:16]


def database_dir(root: str | Path, database: str) -> Path:
    """The folder of one database below a data root.

    Raises:
        EcglibError: it is not there.
    """
    folder = DATABASES[database].folder(root)
    if not folder.is_dir():
        raise EcglibError(f"{folder} is not there: 'ecglib data download {database} --data-root {root}' fetches it.")
    return folder


def download(database: str, root: str | Path, mirror: str | None = None, progress: bool = True) -> None:
    """Fetch a database; files that are there with the right checksum are kept, so a second call goes on.

    Each file goes to a temporary name and is renamed when its checksum is right. MIT-BIH's checksums are part of this
    package. PTB-XL's are the server's own list, which guards against damage on the way but not against the server;
    of PTB-XL only the index and the 100 Hz waveforms are fetched.

    Args:
        database: "mitdb" or "ptb-xl".
        root: the data root; made if it is not there.
        mirror: a server laid out like `SERVER`, instead of it.
        progress: show a bar over the files.

    Raises:
        EcglibError: the server cannot be reached, its list of checksums is none or names a file outside the data root,
            a file keeps arriving damaged, or the disk refuses it.
    """
    import pooch  # here: only the download needs it
    import requests
    from tqdm.auto import tqdm

    known = DATABASES[database]
    folder, base = known.folder(root), f"{(mirror or SERVER).rstrip('/')}/{known.name}/{known.version}/"
    pooch.get_logger().setLevel("WARNING")  # its line for every file would tear the bar apart
    again = f"'ecglib data download {database} --data-root {root}' goes on where this stopped"

    umask = os.umask(0)  # can only be read by setting it, and not while other threads make files
    os.umask(umask)

    def receive(url: str, path: str, keeper: pooch.Pooch) -> None:
        pooch.HTTPDownloader(timeout=TIMEOUT)(url, path, keeper)
        Path(path).chmod(0o666 & ~umask)  # pooch's temporary file is private; data are for whoever shares the folder

    def fetch(name: str, digest: str | None, place: Path = folder) -> None:
        registry = {name: digest and f"sha256:{digest}"}
        keeper = pooch.create(place, base_url=base, registry=registry, retry_if_failed=ATTEMPTS - 1)
        try:
            keeper.fetch(name, downloader=receive)
        except requests.RequestException as error:  # before OSError, which it is a kind of
            raise EcglibError(f"{base}{name} cannot be fetched ({error}); {again}.") from error
        except ValueError as error:
            raise EcglibError(f"{base}{name} arrived damaged {ATTEMPTS} times; try another --mirror.") from error
        except OSError as error:
            raise EcglibError(f"Cannot write {place / name} ({error.strerror or error}); then {again}.") from error

    checksums = known.checksums
    if checksums is None:
        # Anew each time, and kept only when it is a list: one that was kept before may be a proxy's page.
        with tempfile.TemporaryDirectory() as temporary:
            fetch(CHECKSUMS, None, Path(temporary))
            text = (Path(temporary) / CHECKSUMS).read_text(encoding="utf-8", errors="replace")
        checksums = _wanted(text, f"{base}{CHECKSUMS}")
        _make_folders(folder, checksums, again)
        for name in PTBXL_METADATA:
            fetch(name, checksums[name])
        _check_complete(checksums, folder / PTBXL_METADATA[0], f"{base}{CHECKSUMS}")
        write_text(folder / CHECKSUMS, text)
    _make_folders(folder, checksums, again)
    bar = tqdm(total=len(checksums), desc=database, unit="file", disable=not progress)
    pool = ThreadPoolExecutor(CONNECTIONS)
    try:
        for _ in pool.map(lambda name: fetch(name, checksums[name]), checksums):
            bar.update()
    finally:
        # After an error or Ctrl-C: files not begun are left, those on their way are finished or removed.
        pool.shutdown(cancel_futures=True)
        bar.close()


def _make_folders(folder: Path, names: Iterable[str], again: str) -> None:
    """All folders before any file: pooch makes a missing one, and fails where another thread has just made it."""
    try:
        for parent in {(folder / name).parent for name in names}:
            parent.mkdir(parents=True, exist_ok=True)
    except OSError as error:
        raise EcglibError(f"Cannot make {error.filename} ({error.strerror}); then {again}.") from error


def _wanted(text: str, source: str) -> dict[str, str]:
    """Of PTB-XL's list what the companion reads.

    Raises:
        EcglibError: it is no list, or lacks a table or every waveform.
    """
    names = parse_checksums(text, source)
    wanted = {name: names[name] for name in names if name in PTBXL_METADATA or name.startswith("records100/")}
    missing = [name for name in PTBXL_METADATA if name not in wanted]
    if len(wanted) == len(PTBXL_METADATA) - len(missing):
        missing.append("every file of records100/")
    if missing:
        raise EcglibError(f"{source} lacks {', '.join(missing)}: it is empty, cut or another database's. {ANEW}")
    return wanted


def _check_complete(checksums: Mapping[str, str], index: Path, source: str) -> None:
    """Whether the list has both files of every record of the index: a cut one would pass for a small database.

    Raises:
        EcglibError: it has not, or the index cannot be read.
    """
    lacking = [
        f"{name}.{suffix}"
        for name in _names_in(index)
        for suffix in ("hea", "dat")
        if f"{name}.{suffix}" not in checksums
    ]
    if lacking:
        raise EcglibError(
            f"{source} lacks {len(lacking):,} files that {index.name} names ({_first(tuple(lacking))}): the list is "
            "cut. Try again, or another --mirror."
        )


def _names_in(index: Path) -> list[str]:
    """The 100 Hz records of PTB-XL's index.

    Raises:
        EcglibError: it is no such index.
    """
    try:
        with index.open(newline="", encoding="utf-8") as file:
            return [row["filename_lr"] for row in csv.DictReader(file)]
    except (KeyError, UnicodeDecodeError, csv.Error) as error:
        raise EcglibError(f"{index} has no column filename_lr that can be read ({error}): fetch it again.") from error


@dataclass(frozen=True)
class Verification:
    """The result of `verify`.

    Attributes:
        database: its name.
        root: the data root.
        checked: how many files were looked at.
        missing: names of files that should be there.
        corrupt: names of files whose content is not PhysioNet's.
        note: what the check could not tell, or says beside.
    """

    database: str
    root: Path
    checked: int
    missing: tuple[str, ...]
    corrupt: tuple[str, ...]
    note: str = ""

    @property
    def ok(self) -> bool:
        """Whether nothing is missing or corrupt."""
        return not (self.missing or self.corrupt)

    def summary(self) -> str:
        """One sentence with the first few names and the command that mends them."""
        if self.ok:
            return f"{self.database}: {self.checked:,} files checked, all as they should be{self.note}."
        parts = [f"{len(names)} {what} ({_first(names)})" for what, names in self._problems() if names]
        return (
            f"{self.database}: of {self.checked:,} files {' and '.join(parts)}{self.note}: "
            f"'ecglib data download {self.database} --data-root {self.root}' fetches these again."
        )

    def _problems(self) -> tuple[tuple[str, tuple[str, ...]], ...]:
        return (("missing", self.missing), ("corrupt", self.corrupt))


def _first(names: tuple[str, ...]) -> str:
    return ", ".join(names[:5]) + (", ..." if len(names) > 5 else "")


def verify(database: str, root: str | Path) -> Verification:
    """Compare every file with its checksum.

    Of a PTB-XL without `SHA256SUMS.txt` (a mirror may lack it) only the structure can be checked: both tables, and the
    size of each waveform that is there.

    Raises:
        EcglibError: the database is not there, or its index cannot be read.
    """
    folder, known = database_dir(root, database), DATABASES[database]
    checksums = known.checksums
    if checksums is None:
        if not (folder / CHECKSUMS).exists():
            return _verify_structure(Path(root), folder)
        text = (folder / CHECKSUMS).read_text(encoding="utf-8", errors="replace")
        checksums = _wanted(text, str(folder / CHECKSUMS))
    missing, corrupt = _compare(folder, checksums)
    return Verification(database, Path(root), len(checksums), missing, corrupt)


def _compare(folder: Path, checksums: Mapping[str, str]) -> tuple[tuple[str, ...], tuple[str, ...]]:
    def state(name: str) -> str:
        try:
            with (folder / name).open("rb") as file:
                return "" if hashlib.file_digest(file, "sha256").hexdigest() == checksums[name] else "corrupt"
        except FileNotFoundError:
            return "missing"
        except OSError:  # a disk that cannot read a file back has damaged it
            return "corrupt"

    with ThreadPoolExecutor() as pool:
        states = dict(zip(checksums, pool.map(state, checksums), strict=True))
    return _in_state(states.items(), "missing"), _in_state(states.items(), "corrupt")


def _in_state(states: Iterable[tuple[str, str]], wanted: str) -> tuple[str, ...]:
    return tuple(name for name, state in states if state == wanted)


def _verify_structure(root: Path, folder: Path) -> Verification:
    missing = [name for name in PTBXL_METADATA[:2] if not (folder / name).exists()]
    corrupt: list[str] = []
    records: list[str] = []
    if PTBXL_METADATA[0] not in missing:
        try:
            records = _names_in(folder / PTBXL_METADATA[0])
        except EcglibError:
            corrupt.append(PTBXL_METADATA[0])
    sizes = {path.relative_to(folder).as_posix(): path.stat().st_size for path in folder.glob("records100/*/*")}
    there = [name for name in records if f"{name}.hea" in sizes or f"{name}.dat" in sizes]
    for name in there:
        missing += [f"{name}.{suffix}" for suffix in ("hea", "dat") if f"{name}.{suffix}" not in sizes]
        if sizes.get(f"{name}.dat", PTBXL_BYTES) != PTBXL_BYTES:
            corrupt.append(f"{name}.dat")
    note = f" ({len(there):,} of {len(records):,} records have waveforms; no {CHECKSUMS}, so only sizes were compared)"
    return Verification("ptb-xl", root, len(sizes) + 2, tuple(missing), tuple(corrupt), note)
