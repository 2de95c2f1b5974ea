"""Opening a recording of one's own, whatever kind of file it is."""

from pathlib import Path

from ecglib.core.errors import EcglibError
from ecglib.data.recording import Recording
from ecglib.data.recording_edf import open_edf
from ecglib.data.recording_table import open_table
from ecglib.data.recording_wfdb import open_wfdb

TABLES = (".csv", ".tsv", ".txt")


def open_recording(path: str | Path, rate: float | None = None, unit: str | None = None) -> Recording:
    """A recording on disk: a WFDB record (named with or without `.hea`, `.dat`), an EDF file, or a table.

    A table (`.csv`, `.tsv`, `.txt`) has a line of lead names and then a line a sample, NaN or nothing where a sample is
    missing. `rate` in Hz is that of a table without a column of times, and `unit` (mV by default) that of a table
    without units in its names, as in "II (uV)".

    Raises:
        EcglibError: there is no such file, or it is no recording that can be read without guessing.
    """
    path = Path(path)
    kind = path.suffix.casefold()
    if kind in TABLES:
        return open_table(path, rate, unit)
    if rate is not None or unit is not None:
        raise EcglibError(f"{path} says its rate and units itself: leave --rate and --unit out.")
    if kind == ".bdf":
        raise EcglibError(f"{path} is BDF, which is not read: export it as EDF.")
    return open_edf(path) if kind == ".edf" else open_wfdb(path)
