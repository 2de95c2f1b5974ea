"""Where results go, and writing them so that an interruption or a full disk never leaves half a file."""

import glob
import json
import os
import shutil
import tempfile
import time
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any

import filelock

from ecglib.core.errors import Busy, EcglibError

HALF_WRITTEN = ".partial"  # the end of temporary names


def cache_dir() -> Path:
    """The folder for what can be made again: `ECGLIB_CACHE`, else `~/.cache/ecglib`."""
    return Path(os.environ.get("ECGLIB_CACHE") or Path.home() / ".cache" / "ecglib")


def project_root() -> Path:
    """The checkout that holds the working directory (a notebook's working directory differs by tool).

    Raises:
        EcglibError: the working directory is not inside a checkout.
    """
    here = Path.cwd()
    for folder in (here, *here.parents):
        if (folder / "pyproject.toml").is_file() and (folder / "notebooks").is_dir():
            return folder
    raise EcglibError(f"{here} is not inside a checkout of the companion: change into it and try again.")


def output_root(chosen: str | Path | None = None) -> Path:
    """The folder that gets `papermill_runs/` and `figures/`: `chosen`, `ECGLIB_OUTPUT`, else the checkout itself.

    Raises:
        EcglibError: it is no folder, and none can be made there.
    """
    override = chosen or os.environ.get("ECGLIB_OUTPUT")
    if not override:
        return project_root()
    try:
        Path(override).mkdir(parents=True, exist_ok=True)
    except (OSError, ValueError) as error:  # ValueError: a NUL in the name
        reason = getattr(error, "strerror", None) or error
        raise EcglibError(f"Results cannot go to {str(override)!r} ({reason}): choose another --output.") from error
    return Path(override)


@contextmanager
def atomic_path(path: Path, folder: bool = False) -> Iterator[Path]:
    """Yield a temporary sibling of `path`; rename it to `path` on success, remove it on any failure.

    The parent of `path` is made if needed. With `folder`, the temporary name is a new folder, and an existing `path` is
    kept: another process finished first. What a process left that was killed here is removed, see `sweep`.

    Raises:
        EcglibError: the disk refused the write (full, read-only), or something else than a plain file is there.
    """
    temporary: Path | None = None
    try:
        if path.exists() and not (path.is_dir() if folder else path.is_file()):
            raise EcglibError(
                f"{path} is no plain {'folder' if folder else 'file'}, so it is not replaced: choose another."
            )
        path.parent.mkdir(parents=True, exist_ok=True)
        sweep(path.parent, f".{glob.escape(path.name)}.*{HALF_WRITTEN}")
        if folder:
            temporary = Path(tempfile.mkdtemp(HALF_WRITTEN, f".{path.name}.", path.parent))
        else:
            handle, name = tempfile.mkstemp(HALF_WRITTEN, f".{path.name}.", path.parent)
            os.close(handle)
            temporary = Path(name)
        yield temporary
        # mkstemp makes files private, and so does safetensors; results are for whoever shares the folder.
        temporary.chmod(0o755 if folder else 0o644)
        if not folder:  # after a power failure the new name must not stand for an empty file
            with temporary.open("rb+") as written:
                os.fsync(written.fileno())
        try:
            temporary.replace(path)
        except OSError:
            if not (folder and path.is_dir()):
                raise
    except (OSError, ValueError) as error:  # ValueError: a NUL in the name
        if isinstance(error, ValueError) and "\0" not in str(path):
            raise
        if isinstance(error, OSError) and not _about(error, path):
            raise  # something else failed while the file was made, such as a read
        space = "" if isinstance(error, FileExistsError | NotADirectoryError) else "Free disk space or choose"
        raise EcglibError(
            f"Cannot write {path}: {getattr(error, 'strerror', None) or error}. "
            f"{space or 'Choose'} a writable folder, then run again; nothing was half written."
        ) from error
    finally:
        if temporary is not None and temporary.exists():
            if temporary.is_dir():
                shutil.rmtree(temporary, ignore_errors=True)
            else:
                temporary.unlink(missing_ok=True)


def _about(error: OSError, path: Path) -> bool:
    """Whether an error is about a file, its folder or one above, or names no file at all, as that of a full disk."""
    if error.filename is None:
        return True
    named, folder = Path(os.fsdecode(error.filename)).absolute(), path.parent.absolute()
    return named.is_relative_to(folder) or folder.is_relative_to(named)


@contextmanager
def sole_process(folder: Path, name: str, busy: str | None) -> Iterator[None]:
    """Make sure that no other process does what `name` stands for in a folder.

    `busy` says what another one does; None waits until that ends.

    Raises:
        Busy: another one does, and `busy` was given.
        EcglibError: the folder cannot be written.
    """
    try:
        folder.mkdir(parents=True, exist_ok=True)
        lock = filelock.FileLock(folder / f"{name}.lock", timeout=-1 if busy is None else 0)
        lock.acquire()
    except filelock.Timeout as error:
        raise Busy(f"{busy}: wait until it ends and run again to use its result.") from error
    except OSError as error:
        raise EcglibError(
            f"Cannot write into {folder}: {error.strerror or error}. Choose a writable folder."
        ) from error
    try:
        yield
    finally:
        lock.release()


def sweep(folder: Path, pattern: str, seconds: float = 3600.0) -> None:
    """Remove what killed processes left in a folder: entries like `pattern` that nothing has touched for so long."""
    for path in folder.glob(pattern):
        try:
            if time.time() - path.stat().st_mtime < seconds:
                continue
            if path.is_dir():
                shutil.rmtree(path, ignore_errors=True)
            else:
                path.unlink()
        except OSError:
            continue  # another process swept it, or it is not ours


def write_text(path: Path, text: str) -> None:
    """Write UTF-8 text atomically."""
    with atomic_path(path) as temporary:
        temporary.write_text(text, encoding="utf-8")


def write_json(path: Path, value: Any) -> None:
    """Write `value` as indented, key-sorted JSON, atomically."""
    write_text(path, json.dumps(value, indent=2, sort_keys=True, ensure_ascii=False) + "\n")
