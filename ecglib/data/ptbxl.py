"""PTB-XL under R3's protocol (report R3, section 2): five superclasses, 12 leads, 10 s at 100 Hz.

Records without a superclass are left out, as R3 did. The index and its superclasses follow the data set's own
description (Wagner et al., Sci. Data 7:154, 2020): a record carries a superclass if any of its diagnostic statements
belongs to it, whatever the likelihood. R3 did not denoise or scale; `Scaler` offers the scaling.
"""

import ast
import hashlib
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path

import numpy as np
import pandas as pd

from ecglib.core.errors import EcglibError
from ecglib.data import physionet, wfdb_files
from ecglib.data.split import Split

LEADS = ("I", "II", "III", "aVR", "aVL", "aVF", "V1", "V2", "V3", "V4", "V5", "V6")
SUPERCLASSES = ("NORM", "MI", "STTC", "CD", "HYP")
DATABASE = "ptb-xl"  # in `physionet.DATABASES`
FS = 100  # Hz
SOURCE = f"PTB-XL {physionet.DATABASES[DATABASE].version}"
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
    folder = physionet.database_dir(root, DATABASE)
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
        EcglibError: a record is missing, truncated, not 12 leads of 10 s at 100 Hz in mV, or has missing samples.
    """
    signals = np.empty((len(index), len(LEADS), SAMPLES), dtype=np.float32)
    for position, name in enumerate(index["filename_lr"]):
        record, _ = wfdb_files.read(root, DATABASE, name)
        mend = wfdb_files.mend(root, DATABASE)
        if record.fs != FS or record.p_signal.shape != (SAMPLES, len(LEADS)) or not _same_leads(record.sig_name):
            raise EcglibError(f"PTB-XL record {name} is not 12 leads of 10 s at 100 Hz in the usual order: {mend}.")
        if set(record.units) != {"mV"} or not np.isfinite(record.p_signal).all():
            raise EcglibError(f"PTB-XL record {name} is not in mV throughout, or has missing samples: {mend}.")
        signals[position] = record.p_signal.T
    return signals


def _same_leads(names: Sequence[str]) -> bool:
    """PhysioNet's headers write AVR for aVR."""
    return [name.lower() for name in names] == [name.lower() for name in LEADS]


@dataclass(frozen=True)
class Records:
    """Records with at least one superclass.

    Attributes:
        signals: (N, 12, 1000) float32 millivolts (memory-mapped, read-only), leads in the order of `LEADS`.
        targets: (N, 5) uint8, columns in the order of `SUPERCLASSES`.
        ecg_ids: (N,) the data set's own numbers.
        patients: (N,) numbers of the patients.
        folds: (N,) the data set's own folds, 1 to 10; no patient is in two.
    """

    signals: np.ndarray
    targets: np.ndarray
    ecg_ids: np.ndarray
    patients: np.ndarray
    folds: np.ndarray

    def __len__(self) -> int:
        return len(self.targets)

    @property
    def fingerprint(self) -> str:
        """Which records these are, with which labels."""
        digest = hashlib.blake2b(digest_size=6)
        for field in (self.ecg_ids, self.targets, self.folds):
            digest.update(np.ascontiguousarray(field).tobytes())
        return digest.hexdigest()


def load_records(root: str | Path) -> Records:
    """All records whose waveforms are there and that have a superclass, from the cache where they were read before.

    Raises:
        EcglibError: no waveform is there, a record is damaged, or the cache folder cannot be written.
    """
    index = load_index(root, with_waveforms=True)
    index = index[index[list(SUPERCLASSES)].any(axis=1)]
    if index.empty:
        raise EcglibError(
            f"No waveform of PTB-XL is in {root}: run 'ecglib data download ptb-xl --data-root {root}' first."
        )
    files = [f"{name}{suffix}" for name in index["filename_lr"] for suffix in (".hea", ".dat")]

    def make() -> dict[str, np.ndarray]:
        return {"signals": load_signals(root, index)}

    signals = wfdb_files.cached("records", root, DATABASE, files, (load_signals,), make)["signals"]
    patients, folds = (index[column].to_numpy(dtype=np.int64) for column in ("patient_id", "strat_fold"))
    return Records(signals, label_matrix(index), index.index.to_numpy(dtype=np.int64), patients, folds)


def benchmark_split(records: Records) -> Split:
    """The data set's own split: folds 1-8 train, 9 validates, 10 tests; patients are apart (Strodthoff et al. 2021)."""
    train, validation, test = (
        np.flatnonzero(chosen) for chosen in (records.folds <= 8, records.folds == 9, records.folds == 10)
    )
    return Split(train, validation, test)


def report_split(records: Records, fold: int = 0, seed: int = 42) -> Split:
    """R3's split: a random fifth of the records tests; the rest is cut into five multi-label stratified folds.

    Patients are shared by the parts (audit, R3). Fold `fold` validates, the other four train.

    Raises:
        EcglibError: `fold` is not in 0..4.
    """
    from iterstrat.ml_stratifiers import MultilabelStratifiedKFold  # here: R3's split alone needs it
    from sklearn.model_selection import train_test_split

    if fold not in range(5):
        raise EcglibError(f"Fold {fold} does not exist: R3 cuts its training records into five, 0 to 4.")
    rest, test = train_test_split(np.arange(len(records)), test_size=0.2, random_state=seed)
    cutter = MultilabelStratifiedKFold(n_splits=5, shuffle=True, random_state=seed)
    train, validation = list(cutter.split(rest, records.targets[rest]))[fold]
    return Split(rest[train], rest[validation], test)


@dataclass(frozen=True)
class Scaler:
    """Per-lead standardisation: mean 0 and standard deviation 1 over the training records.

    Attributes:
        mean: (L,) millivolts.
        deviation: (L,) millivolts.
    """

    mean: tuple[float, ...]
    deviation: tuple[float, ...]

    @classmethod
    def fit(cls, signals: np.ndarray) -> "Scaler":
        """From training signals (N, L, T)."""
        mean, deviation = signals.mean(axis=(0, 2), dtype=np.float64), signals.std(axis=(0, 2), dtype=np.float64)
        return cls(tuple(mean.tolist()), tuple(deviation.tolist()))

    @classmethod
    def none(cls, leads: int) -> "Scaler":
        """Millivolts as they are, as R3 trained."""
        return cls((0.0,) * leads, (1.0,) * leads)

    def __call__(self, signals: np.ndarray) -> np.ndarray:
        """Signals (N, L, T) float32."""
        mean, deviation = (np.array(values, dtype=np.float32)[:, None] for values in (self.mean, self.deviation))
        return ((signals - mean) / deviation).astype(np.float32)
