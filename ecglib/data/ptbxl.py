"""PTB-XL under R3's protocol (report R3, section 2): five superclasses, 12 leads, 10 s at 100 Hz.

Records without a superclass are left out, as in R3. A record has a superclass if any of its diagnostic statements
belongs to it, whatever the likelihood, as in the data set's description (Wagner et al., Sci. Data 7:154, 2020). R3 did
not denoise or scale; `Scaler` can scale.
"""

import hashlib
import warnings
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path

import numpy as np
import pandas as pd

from ecglib.core.errors import EcglibError, EcglibWarning
from ecglib.data import pack, physionet, wfdb_files
from ecglib.data.physionet import INDEX, STATEMENTS
from ecglib.data.ptbxl_index import SUPERCLASSES, read_index
from ecglib.data.split import Split

LEADS = ("I", "II", "III", "aVR", "aVL", "aVF", "V1", "V2", "V3", "V4", "V5", "V6")
DATABASE = "ptb-xl"  # in `physionet.DATABASES`
FS = 100  # Hz
SOURCE = f"PTB-XL {physionet.DATABASES[DATABASE].version}"
SAMPLES = 1000
CONSTANTS = (LEADS, FS, SAMPLES)  # that decide what is cached, beside code
FEWEST = 50  # records for R3's split: a fifth of four fifths is then 8


def load_index(root: str | Path, with_waveforms: bool = False) -> pd.DataFrame:
    """PhysioNet's metadata of each record, indexed by `ecg_id`, with a boolean column for each superclass.

    `scp_codes` become dictionaries of statement -> likelihood; unknown ages, heights and weights are NaN.
    `with_waveforms` keeps only the records whose 100 Hz header and data files exist.

    Raises:
        EcglibError: a table is missing or is not PTB-XL's, see `ptbxl_index.read_index`.
    """
    known, parts = physionet.DATABASES[DATABASE], physionet.packed(root, DATABASE)
    folder = None if parts else physionet.database_dir(root, DATABASE)
    tables = [folder / name if folder else pack.table(root, DATABASE, name) for name in (INDEX, STATEMENTS)]
    try:
        index = read_index(*tables)
    except EcglibError as error:
        raise EcglibError(
            f"The index of PTB-XL: {str(error).rstrip('.')}; {wfdb_files.mend(root, DATABASE)}."
        ) from error
    if (version := version_below(root)) != known.version:
        warnings.warn(
            f"This is PTB-XL {version}: {known.older[version]}. The companion's numbers are those of {known.version}.",
            EcglibWarning,
            stacklevel=2,
        )
    if with_waveforms and folder is None:
        index = index[index["filename_lr"].isin(pack.names(root, DATABASE))]
    elif with_waveforms and folder:
        # One listing is faster than two look-ups for each of 21,799 records.
        files = {path.relative_to(folder).as_posix() for path in (folder / "records100").glob("*/*")}
        there = [f"{name}.hea" in files and f"{name}.dat" in files for name in index["filename_lr"]]
        index = index[there]
    return index


def version_below(root: str | Path) -> str:
    """The version of PTB-XL that a data root holds, as a folder or in parts."""
    parts, known = physionet.packed(root, DATABASE), physionet.DATABASES[DATABASE]
    return parts[0].name.split(".part")[0].removeprefix(f"{DATABASE}-") if parts else known.version_below(root)


def label_matrix(index: pd.DataFrame) -> np.ndarray:
    """The superclasses of `index` as (N, 5) uint8, columns in the order of `SUPERCLASSES`."""
    return index[list(SUPERCLASSES)].to_numpy(dtype=np.uint8)


def load_signals(root: str | Path, index: pd.DataFrame) -> np.ndarray:
    """The 100 Hz waveforms (N, 12, 1000) of the records in `index`: float32 mV, leads in the order of `LEADS`.

    Raises:
        EcglibError: a record is missing, truncated, not 12 leads of 10 s at 100 Hz in mV, or has missing samples.
    """
    leads = [lead.lower() for lead in LEADS]  # PhysioNet's headers write AVR for aVR
    signals = np.empty((len(index), len(LEADS), SAMPLES), dtype=np.float32)
    for position, name in enumerate(index["filename_lr"]):
        record = wfdb_files.read(root, DATABASE, name)
        mend = wfdb_files.mend(root, DATABASE)
        values, found = record.physical, [lead.lower() for lead in record.leads]
        if record.fs != FS or values.shape != (SAMPLES, len(LEADS)) or found != leads:
            raise EcglibError(f"PTB-XL record {name} is not 12 leads of 10 s at 100 Hz in the usual order: {mend}.")
        if set(record.units) != {"mV"} or not np.isfinite(values).all():
            raise EcglibError(f"PTB-XL record {name} is not in mV throughout, or has missing samples: {mend}.")
        signals[position] = values.T
    return signals


@dataclass(frozen=True)
class Records:
    """Records with at least one superclass; ids, patients and folds are the data set's own."""

    signals: np.ndarray  # (N, 12, 1000) float32 mV (memory-mapped, read-only), leads in the order of `LEADS`
    targets: np.ndarray  # (N, 5) uint8, columns in the order of `SUPERCLASSES`
    ecg_ids: np.ndarray  # (N,)
    patients: np.ndarray  # (N,)
    folds: np.ndarray  # (N,) 1 to 10; no patient is in two
    source: str = SOURCE  # data set and version

    def __len__(self) -> int:
        return len(self.targets)

    def seen(self, members: np.ndarray, leads: Sequence[int]) -> np.ndarray:
        """Signals (N, L, 1000) in mV of the records at positions `members` (N,), through leads at positions `leads`."""
        return np.asarray(self.signals[members])[:, list(leads)]

    @property
    def fingerprint(self) -> str:
        """A digest of which records these are, with their labels and folds."""
        digest = hashlib.blake2b(digest_size=6)
        for field in (self.ecg_ids, self.targets, self.folds):
            digest.update(np.ascontiguousarray(field).tobytes())
        return digest.hexdigest()


def load_records(root: str | Path) -> Records:
    """All records that have a superclass and a waveform, from the cache or read and cached.

    Raises:
        EcglibError: there is no waveform, a record is damaged, or the cache cannot be written.
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

    made_by = (load_signals, pack.read, *CONSTANTS)
    signals = wfdb_files.cached("records", root, DATABASE, files, made_by, make)["signals"]
    patients, folds = (index[column].to_numpy(dtype=np.int64) for column in ("patient_id", "strat_fold"))
    ids, source = index.index.to_numpy(dtype=np.int64), f"PTB-XL {version_below(root)}"
    return Records(signals, label_matrix(index), ids, patients, folds, source)


def benchmark_split(records: Records) -> Split:
    """The data set's own split, whose parts share no patient (Strodthoff et al. 2021).

    Folds 1 to 8 are for training, 9 for validation and 10 for testing.

    Raises:
        EcglibError: a part would be empty.
    """
    folds = records.folds
    split = Split(*(np.flatnonzero(chosen) for chosen in (folds <= 8, folds == 9, folds == 10)))
    for part, members in split:
        if not len(members):
            raise EcglibError(f"None of the {len(records)} records at hand is for {part}: fetch more of PTB-XL.")
    return split


def report_split(records: Records, fold: int = 0, seed: int = 42) -> Split:
    """The split of R3's published program, whose parts share patients.

    A random fifth of the records is for testing. The rest is cut into five multi-label stratified folds: fold `fold` is
    for validation, the others for training.

    Raises:
        EcglibError: `fold` is not in 0..4, or there are too few records.
    """
    from iterstrat.ml_stratifiers import MultilabelStratifiedKFold  # here: only R3's split needs it
    from sklearn.model_selection import train_test_split

    if fold not in range(5):
        raise EcglibError(f"Fold {fold} does not exist: R3 cuts its training records into five, 0 to 4.")
    if len(records) < FEWEST:
        raise EcglibError(f"{len(records)} records are too few for R3's split: it takes {FEWEST} at least.")
    rest, test = train_test_split(np.arange(len(records)), test_size=0.2, random_state=seed)
    cutter = MultilabelStratifiedKFold(n_splits=5, shuffle=True, random_state=seed)
    train, validation = list(cutter.split(rest, records.targets[rest]))[fold]
    return Split(rest[train], rest[validation], test)


@dataclass(frozen=True)
class Scaler:
    """Standardisation of each lead: mean 0 and standard deviation 1 over the training records."""

    mean: tuple[float, ...]  # mV, one for each lead
    deviation: tuple[float, ...]  # likewise

    @classmethod
    def fit(cls, signals: np.ndarray) -> "Scaler":
        """The scaler of training signals (N, L, T); a lead that is flat in all of them is not divided.

        Raises:
            EcglibError: there is no record, or a sample is missing.
        """
        if len(signals) == 0:
            raise EcglibError("There is no training record to scale by.")
        mean, deviation = signals.mean(axis=(0, 2), dtype=np.float64), signals.std(axis=(0, 2), dtype=np.float64)
        if not np.isfinite(deviation).all():
            raise EcglibError("Training records have missing samples: no mean can be taken.")
        deviation = np.where(deviation > 0, deviation, 1.0)
        return cls(tuple(mean.tolist()), tuple(deviation.tolist()))

    @classmethod
    def none(cls, leads: int) -> "Scaler":
        """A scaler that changes nothing, as in R3's training."""
        return cls((0.0,) * leads, (1.0,) * leads)

    def __call__(self, signals: np.ndarray) -> np.ndarray:
        """Scaled signals (N, L, T) float32."""
        mean, deviation = (np.array(values, dtype=np.float32)[:, None] for values in (self.mean, self.deviation))
        return ((signals - mean) / deviation).astype(np.float32)
