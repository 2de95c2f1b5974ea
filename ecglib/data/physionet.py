"""The two databases on disk: where they are, and their download from PhysioNet.

MIT-BIH Arrhythmia Database v1.0.0 (Moody and Mark 2001; ODC-By 1.0) and PTB-XL v1.0.3 (Wagner et al. 2020; CC BY 4.0).
The folders are laid out as on PhysioNet, so a copy made by any other means works as well.
"""

import hashlib
import os
import re
import tempfile
from collections.abc import Iterable, Mapping
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass, field
from importlib import resources
from pathlib import Path
from urllib.parse import urlsplit

from ecglib.core.errors import EcglibError
from ecglib.core.files import project_root, sole_process, write_text

SERVER = "https://physionet.org/files"
CHECKSUMS = "SHA256SUMS.txt"
ATTEMPTS = 4  # for each file; the waits between them grow from 1 s to 3 s
CONNECTIONS = 4  # files at once: enough to hide the server's latency without loading it
TIMEOUT = 30  # seconds without an answer
INDEX, STATEMENTS = "ptbxl_database.csv", "scp_statements.csv"
PTBXL_METADATA = (INDEX, STATEMENTS, "LICENSE.txt")


@dataclass(frozen=True)
class Database:
    """A database; `name` and `version` are those of its folder on PhysioNet."""

    name: str
    title: str
    version: str  # that is downloaded, and whose numbers this companion gives
    checksums: Mapping[str, str] | None  # file name -> SHA-256; None: the server's own list is trusted
    older: Mapping[str, str] = field(default_factory=dict)  # versions that are read as well -> what differs

    def version_below(self, root: str | Path) -> str:
        """The newest version that a data root holds; without any, the one that is downloaded."""
        there = (known for known in (self.version, *self.older) if (Path(root) / self.name / known).is_dir())
        return next(there, self.version)

    def folder(self, root: str | Path) -> Path:
        """The database's folder below a data root."""
        return Path(root) / self.name / self.version_below(root)


ANEW = "'ecglib data download ptb-xl' fetches the list anew, if need be from another --mirror."  # also said by verify
UNFINISHED = re.compile(r"tmp[a-z0-9_]{8}")  # of pooch, while a file arrives
CHECKSUM_LINE = re.compile(r"([0-9a-fA-F]{64})\s+\*?(\S.*)")


def parse_checksums(text: str, source: str) -> dict[str, str]:
    """File name -> SHA-256 from lines of `hash  name`; `source` is named in errors.

    The list comes from a server that need not be trustworthy, so names that lead out of the data root are refused.

    Raises:
        EcglibError: the text is not a list of checksums (for example a proxy's page), or names a file outside the root.
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
    """Whether a name, joined to a folder, stays below it on any operating system."""
    parts = name.split("/")
    return name.isprintable() and not set(parts) & {"", ".", ".."} and not set(name) & {"\\", ":"}


def _pinned(name: str) -> dict[str, str]:
    return parse_checksums((resources.files("ecglib.data") / name).read_text(encoding="utf-8"), name)


DUPLICATES = "21,837 records, 38 of which 1.0.3 left out because they repeat others"
DATABASES = {
    "mitdb": Database("mitdb", "MIT-BIH", "1.0.0", _pinned("mitdb-1.0.0.sha256")),
    "ptb-xl": Database("ptb-xl", "PTB-XL", "1.0.3", None, dict.fromkeys(("1.0.2", "1.0.1"), DUPLICATES)),
}


def choose_root(data_root: str | Path | None = None) -> tuple[Path, str]:
    """The data root and its source: `data_root`, else the variable `ECGLIB_DATA`, else `data` in the checkout.

    The default is not `./data`, because notebooks run in another folder of the checkout.
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
    """The data root of `choose_root`, which must hold a database.

    Raises:
        EcglibError: it holds none. Simulated data never replace real ones unasked.
    """
    chosen, source = choose_root(data_root)
    if not any(database.folder(chosen).is_dir() or packed(chosen, name) for name, database in DATABASES.items()):
        raise EcglibError(
            f"No database in {chosen} ({source}), where mitdb/1.0.0 or ptb-xl/1.0.3 should be: "
            f"'ecglib data download mitdb --data-root {chosen}' fetches MIT-BIH; with ptb-xl instead of mitdb, PTB-XL."
        )
    return chosen


def listing(root: str | Path) -> str:
    """A digest of the names and sizes of all files of the databases below `root`."""
    digest = hashlib.sha256()
    for name, database in DATABASES.items():
        folder = database.folder(Path(root))
        for path in packed(root, name) or sorted(path for path in folder.rglob("*") if path.is_file()):
            digest.update(f"{path.relative_to(root).as_posix()} {path.stat().st_size}\n".encode())
    return digest.hexdigest()[:16]


def packed(root: str | Path, database: str) -> tuple[Path, ...]:
    """The parts of a database that `pack` wrote, if the root has these and not the database's own folder."""
    known = DATABASES[database]
    if known.folder(root).is_dir():
        return ()
    parts = (tuple(sorted(Path(root).glob(f"{known.name}-{one}.part*.zip"))) for one in (known.version, *known.older))
    return next(filter(None, parts), ())


def database_dir(root: str | Path, database: str) -> Path:
    """The folder of one database below `root`.

    Raises:
        EcglibError: there is no such folder.
    """
    folder = DATABASES[database].folder(root)
    if not folder.is_dir():
        raise EcglibError(f"{folder} is not there: 'ecglib data download {database} --data-root {root}' fetches it.")
    return folder


def download(database: str, root: str | Path, mirror: str | None = None, progress: bool = True) -> None:
    """Download a database below `root`, from a `mirror` laid out like `SERVER` if one is given.

    Files with the right checksum are kept, so a second call continues the first. Each file has a temporary name until
    its checksum is verified. MIT-BIH's checksums are part of this package. PTB-XL's are the server's own list, which
    detects damage but not a malicious server. Only the index and the 100 Hz waveforms of PTB-XL are downloaded.

    Raises:
        EcglibError: the server cannot be reached, its list of checksums is unusable or names a file outside the root, a
            file is damaged at every attempt, or the disk cannot be written.
    """
    known, server = DATABASES[database], (mirror or SERVER).rstrip("/")
    try:
        address = urlsplit(server)
        usable = address.scheme in ("http", "https") and bool(address.hostname) and address.port != 0
    except ValueError:  # a port or an IPv6 address that is none
        usable = False
    if not usable:
        raise EcglibError(f"--mirror {mirror} is no address such as {SERVER}: it must begin with https:// or http://.")
    folder = Path(root) / known.name / known.version
    with sole_process(Path(root), f".{known.name}", f"Another process is downloading {database} to {root}"):
        _sweep(folder)
        _download(known, folder, f"{server}/{known.name}/{known.version}/", Path(root), progress)


def _sweep(folder: Path) -> None:
    """Remove what a killed download left: pooch's temporary files."""
    for path in folder.rglob("tmp*"):
        if UNFINISHED.fullmatch(path.name) and path.is_file():
            path.unlink(missing_ok=True)


def _download(known: Database, folder: Path, base: str, root: Path, progress: bool) -> None:
    import pooch  # here: only the download needs it
    import requests
    from tqdm.auto import tqdm

    pooch.get_logger().setLevel("WARNING")  # a line for every file would disturb the bar
    again = f"'ecglib data download {known.name} --data-root {root}' goes on where this stopped"

    umask = os.umask(0)  # reading it means setting it, so it is done before any thread makes files
    os.umask(umask)

    def receive(url: str, path: str, keeper: pooch.Pooch) -> None:
        pooch.HTTPDownloader(timeout=TIMEOUT)(url, path, keeper)
        Path(path).chmod(0o666 & ~umask)  # pooch's temporary file is private, the data are not

    def fetch(name: str, digest: str | None, place: Path = folder) -> None:
        registry = {name: digest and f"sha256:{digest}"}
        keeper = pooch.create(place, base_url=base, registry=registry, retry_if_failed=ATTEMPTS - 1)
        try:
            keeper.fetch(name, downloader=receive)
        except requests.RequestException as error:  # a subclass of OSError
            raise EcglibError(f"{base}{name} cannot be fetched ({error}); {again}.") from error
        except ValueError as error:
            raise EcglibError(f"{base}{name} arrived damaged {ATTEMPTS} times; try another --mirror.") from error
        except OSError as error:
            raise EcglibError(f"Cannot write {place / name} ({error.strerror or error}); then {again}.") from error

    checksums = known.checksums
    if checksums is None:
        # The list is fetched every time and kept only when it is complete, so a proxy's page is never reused.
        with tempfile.TemporaryDirectory() as temporary:
            fetch(CHECKSUMS, None, Path(temporary))
            text = (Path(temporary) / CHECKSUMS).read_text(encoding="utf-8", errors="replace")
        checksums = wanted(text, f"{base}{CHECKSUMS}")
        _make_folders(folder, checksums, again)
        for name in PTBXL_METADATA:
            fetch(name, checksums[name])
        _check_complete(checksums, folder / PTBXL_METADATA[0], f"{base}{CHECKSUMS}")
        write_text(folder / CHECKSUMS, text)
    _make_folders(folder, checksums, again)
    bar = tqdm(total=len(checksums), desc=known.name, unit="file", disable=not progress)
    pool = ThreadPoolExecutor(CONNECTIONS)
    try:
        for _ in pool.map(lambda name: fetch(name, checksums[name]), checksums):
            bar.update()
    finally:
        # After an error or Ctrl-C no further file is begun; those in progress are finished or removed.
        pool.shutdown(cancel_futures=True)
        bar.close()


def _make_folders(folder: Path, names: Iterable[str], again: str) -> None:
    """Make all folders before any file: pooch fails if two threads make the same folder."""
    try:
        for parent in {(folder / name).parent for name in names}:
            parent.mkdir(parents=True, exist_ok=True)
    except OSError as error:
        raise EcglibError(f"Cannot make {error.filename} ({error.strerror}); then {again}.") from error


def wanted(text: str, source: str) -> dict[str, str]:
    """The entries of PTB-XL's list of checksums that are used here.

    Raises:
        EcglibError: the list lacks some.
    """
    names = parse_checksums(text, source)
    used = {name: names[name] for name in names if name in PTBXL_METADATA or name.startswith("records100/")}
    missing = [name for name in PTBXL_METADATA if name not in used]
    if len(used) == len(PTBXL_METADATA) - len(missing):
        missing.append("every file of records100/")
    if missing:
        raise EcglibError(f"{source} lacks {', '.join(missing)}: it is empty, cut or another database's. {ANEW}")
    return used


def first_names(names: tuple[str, ...]) -> str:
    """The first few of many names, as a part of a sentence."""
    return ", ".join(names[:5]) + (", ..." if len(names) > 5 else "")


def _check_complete(checksums: Mapping[str, str], index: Path, source: str) -> None:
    """Refuse a list without both files of every record of the index: it would pass for a small database."""
    from ecglib.data.ptbxl_index import read_index  # here: pandas takes its time

    names = read_index(index, index.with_name(STATEMENTS))["filename_lr"]
    needed = (f"{name}.{suffix}" for name in names for suffix in ("hea", "dat"))
    lacking = tuple(name for name in needed if name not in checksums)
    if lacking:
        raise EcglibError(
            f"{source} lacks {len(lacking):,} files that {index.name} names ({first_names(lacking)}): the list is "
            "cut. Try again, or another --mirror."
        )
