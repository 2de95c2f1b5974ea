"""PTB-XL under R3's protocol (report R3, section 2): five superclasses, 12 leads, 10 s at 100 Hz.

The index and its superclasses follow the data set's own description (Wagner et al., Sci. Data 7:154, 2020): a record
carries a superclass if any of its diagnostic statements belongs to it, whatever the likelihood. R3 did not denoise or
scale, and neither does this module.
"""

import ast
import warnings
from collections.abc import Sequence
from pathlib import Path

import numpy as np
import pandas as pd

from ecglib.data import physionet
from ecglib.errors import EcglibError

LEADS = ("I", "II", "III", "aVR", "aVL", "aVF", "V1", "V2", "V3", "V4", "V5", "V6")
SUPERCLASSES = ("NORM", "MI", "STTC", "CD", "HYP")
FS = 100  # Hz
SAMPLES = 1000


def load_index(root: str | Path, with_waveforms: bool = False) -> pd.DataFrame:
    """The records' metadata with one boolean column for each superclass.

    Args:
        root: the data root (the folder that holds `ptb-xl/1.0.3`).
        with_waveforms: keep the records whose 100 Hz header and data files are there.

    Returns:
        A row a record, indexed by `ecg_id`: PhysioNet's columns, `scp_codes` as a dictionary of statement ->
        likelihood, and the columns of `SUPERCLASSES`. Unknown ages, heights and weights stay NaN.

    Raises:
        EcglibError: a CSV file is missing or is not PTB-XL's.
    """
    folder = physionet.database_dir(root, "ptb-xl")
    try:
        index = pd.read_csv(folder / "ptbxl_database.csv", index_col="ecg_id")
        statements = pd.read_csv(folder / "scp_statements.csv", index_col=0)
        index["scp_codes"] = index["scp_codes"].map(ast.literal_eval)
        superclass = statements.loc[statements["diagnostic"] == 1, "diagnostic_class"]
    except (OSError, ValueError, KeyError, SyntaxError) as error:
        raise EcglibError(
            f"The index of PTB-XL cannot be read ({error}): run 'ecglib data verify ptb-xl --data-root {root}'."
        ) from error
    found = [{superclass[code] for code in codes if code in superclass.index} for codes in index["scp_codes"]]
    for name in SUPERCLASSES:
        index[name] = [name in classes for classes in found]
    if with_waveforms:
        # One listing instead of two look-ups for each of 21,799 records.
        files = {path.relative_to(folder).as_posix() for path in (folder / "records100").glob("*/*")}
        there = [f"{name}.hea" in files and f"{name}.dat" in files for name in index["filename_lr"]]
        index = index[there]
    return index


def label_matrix(index: pd.DataFrame) -> np.ndarray:
    """The superclasses of `index` as (N, 5) uint8, columns in the order of `SUPERCLASSES`."""
    return index[list(SUPERCLASSES)].to_numpy(dtype=np.uint8)


def load_signals(root: str | Path, index: pd.DataFrame) -> np.ndarray:
    """The 100 Hz waveforms of the records in `index`.

    Args:
        root: the data root.
        index: rows of `load_index`.

    Returns:
        (N, 12, 1000) float32 millivolts, leads in the order of `LEADS`.

    Raises:
        EcglibError: a record is missing, truncated or not 12 leads of 10 s at 100 Hz.
    """
    folder = physionet.database_dir(root, "ptb-xl")
    signals = np.empty((len(index), len(LEADS), SAMPLES), dtype=np.float32)
    for position, name in enumerate(index["filename_lr"]):
        signals[position] = _read(root, folder, name)
    return signals


def _read(root: str | Path, folder: Path, name: str) -> np.ndarray:
    import wfdb  # here: the training grid runs where wfdb is absent

    mend = f"run 'ecglib data verify ptb-xl --data-root {root}'"
    try:
        with warnings.catch_warnings():
            warnings.simplefilter("ignore", DeprecationWarning)  # wfdb under pandas 3
            record = wfdb.rdrecord(str(folder / name))
    except FileNotFoundError as error:
        raise EcglibError(f"PTB-XL record {name} has no file {error.filename}: {mend}.") from error
    except Exception as error:  # wfdb raises whatever its parsing runs into
        raise EcglibError(f"PTB-XL record {name} cannot be read ({error}): {mend}.") from error
    if record.fs != FS or record.p_signal.shape != (SAMPLES, len(LEADS)) or not _same_leads(record.sig_name):
        raise EcglibError(f"PTB-XL record {name} is not 12 leads of 10 s at 100 Hz in the usual order: {mend}.")
    return record.p_signal.T


def _same_leads(names: Sequence[str]) -> bool:
    """PhysioNet's headers write AVR for aVR."""
    return [name.lower() for name in names] == [name.lower() for name in LEADS]
