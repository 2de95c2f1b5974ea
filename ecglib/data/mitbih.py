"""MIT-BIH beats under R1's protocol (report R1, section 4.2; BeatGAN, Zhou et al. 2019, section 4.1).

44 records without the paced ones, two leads at 360 Hz, a zero-phase 3-45 Hz FIR band-pass, and a window of 320 samples
around each annotation give 97,568 beats. Only the computation differs from the report's: the filter uses SciPy, because
biosppy 2 filters differently; records are processed in parallel; and beats are cached.

Indices are zero-based. The centre of a beat is its annotation's index + 1, because R1 read the annotations with MATLAB.
"""

import hashlib
import json
import warnings
from collections.abc import Sequence
from dataclasses import dataclass
from importlib.metadata import version
from pathlib import Path

import joblib
import numpy as np
from scipy import signal as scipy_signal
from scipy.ndimage import median_filter
from tqdm.auto import tqdm

from ecglib.core.errors import EcglibError, EcglibWarning
from ecglib.data import quality, r_peaks, wfdb_files
from ecglib.data.split import Split

DATABASE = "mitdb"  # in `physionet.DATABASES`
FS = 360  # Hz
BEFORE, AFTER = 140, 180  # samples of the window before and after its centre
WINDOW = BEFORE + AFTER
FILTER_TAPS, PASS_BAND = 109, (3.0, 45.0)  # as biosppy 0.6.1: int(0.3 fs), made odd; Hz
R_PEAK_TOLERANCE = 10  # samples; R1 keeps an N beat only if a detected R peak is closer than this

CLASSES = ("N", "S", "V", "F", "Q")
CLASS_NAMES = {
    "N": "normal or bundle branch block",
    "S": "supraventricular ectopic",
    "V": "ventricular ectopic",
    "F": "fusion",
    "Q": "unclassifiable",
}
# R1's grouping; the AAMI standard puts j and e (escape beats) into N.
CLASS_OF_SYMBOL = {
    **dict.fromkeys("NLR", "N"),
    **dict.fromkeys("aJASje", "S"),
    **dict.fromkeys("VE", "V"),
    "F": "F",
    **dict.fromkeys("/fQ", "Q"),
}

NORMAL = tuple(symbol for symbol, name in CLASS_OF_SYMBOL.items() if name == "N")
BEAT_SYMBOLS = tuple("NLRBAaJSVrFejnE/fQ?")  # all of WFDB's beat annotations
UNANNOTATED = 10.0  # s without a beat at either end; the database's records have 1.8 at most
PLAUSIBLE = (0.02, 20.0)  # mV, standard deviation of the livelier lead; the database's are between 0.15 and 1.14
CONSTANT = 5.0  # s without a change of a lead; the database's records have 0.74 at most
EXTREME = 0.01  # share of a lead's samples at its largest or smallest value; the database's records have 0.001
FEW = 0.5  # share of a record's N beats with a detected R peak near, below which it is said
# In this intact record R peaks are found elsewhere in its broad QRS complexes, so that 5 % of its N beats are kept.
FAR_PEAKS = ("207",)
USUAL_RR = 33  # the usual interval is the median of so many: 16 to each side

# The training and the test records of de Chazal et al., IEEE Trans. Biomed. Eng. 51(7), 2004.
# fmt: off
DS1 = (
    "101", "106", "108", "109", "112", "114", "115", "116", "118", "119", "122",
    "124", "201", "203", "205", "207", "208", "209", "215", "220", "223", "230",
)
DS2 = (
    "100", "103", "105", "111", "113", "117", "121", "123", "200", "202", "210",
    "212", "213", "214", "219", "221", "222", "228", "231", "232", "233", "234",
)
# fmt: on
PACED = ("102", "104", "107", "217")
PATIENTS = tuple(sorted(DS1 + DS2))
RECORDS = tuple(sorted(PATIENTS + PACED))
# Validation records, taken from DS1; together they have every class but Q.
DS1_VALIDATION = ("118", "205", "208", "223")
# 201 and 202 are of one man (MIT-BIH directory), so DS1 and DS2 share a patient.
PATIENT_OF_RECORD = {record: "201" if record == "202" else record for record in RECORDS}


@dataclass(frozen=True)
class Record:
    """One record in physical units."""

    name: str  # for example "100"
    leads: tuple[str, ...]  # names in the order of `signals`; MLII, if there is one, comes first
    signals: np.ndarray  # (2, T) float64 mV at 360 Hz
    samples: np.ndarray  # (A,) indices of all annotations
    symbols: np.ndarray  # (A,) their symbols, beats and others


@dataclass(frozen=True)
class Beats:
    """Beats of several records, in record order."""

    signals: np.ndarray  # (N, 2, 320) float32 mV, filtered, not scaled (memory-mapped, read-only)
    labels: np.ndarray  # (N,) one of `CLASSES`
    symbols: np.ndarray  # (N,) of the annotations
    records: np.ndarray  # (N,) names
    samples: np.ndarray  # (N,) indices of the annotations in their records
    near_peak: np.ndarray  # (N,) bool, a detected R peak is near; R1 requires this of N beats only
    rhythm: np.ndarray  # (N, 2) float32, see `relative_rr`
    intervals: np.ndarray  # (N, 2) float32 s, see `rr_intervals`

    def __len__(self) -> int:
        return len(self.labels)

    @property
    def patients(self) -> np.ndarray:
        """The patient of each beat (N,), named after the patient's first record."""
        names, inverse = np.unique(self.records, return_inverse=True)
        return np.array([PATIENT_OF_RECORD[name] for name in names])[inverse]

    @property
    def fingerprint(self) -> str:
        """A digest of which beats these are and how they were cut.

        The signals are left out, because their last bits differ between computers.
        """
        digest = hashlib.blake2b(json.dumps([FILTER_TAPS, PASS_BAND, BEFORE, AFTER]).encode(), digest_size=6)
        for field in (self.records, self.samples, self.labels):
            digest.update(np.ascontiguousarray(field).tobytes())
        return digest.hexdigest()


def count_classes(labels: np.ndarray) -> dict[str, int]:
    """The number of beats of each class in `CLASSES`."""
    return {name: int((labels == name).sum()) for name in CLASSES}


def read_record(root: str | Path, name: str) -> Record:
    """Read one record with its annotations.

    Raises:
        EcglibError: the record is missing, truncated, corrupt, not two leads in mV at 360 Hz, or its annotations are
            missing, break off, or do not fit its samples.
    """
    raw = wfdb_files.read(root, DATABASE, name, "atr")
    problem = _problem(raw)
    if problem:
        raise EcglibError(f"Record {name} of MIT-BIH {problem}; {wfdb_files.mend(root, DATABASE)}.")
    signals = raw.physical.T
    leads = raw.leads
    if leads[1] == "MLII":  # as in record 114
        leads, signals = leads[::-1], signals[::-1]
    return Record(name, leads, signals, raw.samples, raw.symbols)


def _problem(raw: wfdb_files.Raw) -> str:
    """What is wrong with a record that can be read, or an empty text."""
    length, leads = raw.digital.shape
    if raw.fs != FS or leads != 2 or set(raw.units) != {"mV"}:
        return f"is not two leads in mV at {FS} Hz ({leads} in {', '.join(raw.units)} at {raw.fs:g} Hz)"
    if length <= 3 * FILTER_TAPS:
        return f"lasts {length} samples, too short for its filter"
    values = raw.physical.T
    if not np.isfinite(values).all():
        return "has missing samples"
    spread = float(values.std(axis=1).max())
    if not PLAUSIBLE[0] <= spread <= PLAUSIBLE[1]:
        return f"varies by {spread:.3g} mV, which no ECG does"
    constant, extreme = quality.longest_constant(values).max() / FS, quality.at_extreme(values).max()
    if constant > CONSTANT:
        return f"has a lead in which nothing changes for {constant:.0f} s"
    if extreme > EXTREME:
        return f"has a lead with {100 * extreme:.0f} % of its samples at one end of its range"
    beats = raw.samples[np.isin(raw.symbols, BEAT_SYMBOLS)]
    if len(beats) == 0:
        return "has no annotated beat"
    if (np.diff(raw.samples) <= 0).any() or raw.samples.min() < 0:
        return "has annotations out of order, or two of one sample"
    if raw.samples[-1] >= length:
        return f"lasts {length:,} samples and has annotations up to sample {raw.samples[-1]:,}"
    first, last = beats[0] / FS, (length - beats[-1]) / FS
    if max(first, last) > UNANNOTATED:
        return f"has no annotated beat in its first {first:.0f} s and its last {last:.0f} s: its annotations break off"
    return ""


def bandpass(signals: np.ndarray) -> np.ndarray:
    """The 3-45 Hz FIR filter, forward and backward so that no wave is delayed: (..., T > 327) to float64."""
    taps = scipy_signal.firwin(FILTER_TAPS, PASS_BAND, pass_zero=False, fs=FS)
    return scipy_signal.filtfilt(taps, [1.0], signals, axis=-1)


def find_r_peaks(lead: np.ndarray) -> np.ndarray:
    """Indices of the R peaks of a filtered lead (T,), see `r_peaks`."""
    return r_peaks.find_r_peaks(lead, FS)


def is_near_peak(record: Record, peaks: np.ndarray) -> np.ndarray:
    """R1's R-peak rule: whether each annotation (A,) has a peak closer to its centre than the tolerance."""
    centres = record.samples + 1
    bounded = np.concatenate([[-np.inf], np.sort(peaks), [np.inf]])
    right = np.searchsorted(bounded, centres)
    return np.minimum(bounded[right] - centres, centres - bounded[right - 1]) < R_PEAK_TOLERANCE


def select_beats(record: Record, peaks: np.ndarray) -> np.ndarray:
    """Positions in `record.samples` of the beats that R1 kept: their window is inside, and N beats are near a peak."""
    centres = record.samples + 1
    classes = np.array([CLASS_OF_SYMBOL.get(symbol, "") for symbol in record.symbols])
    inside = (centres >= BEFORE) & (centres + AFTER <= record.signals.shape[1])
    return np.flatnonzero(inside & (classes != "") & ((classes != "N") | is_near_peak(record, peaks)))


def relative_rr(record: Record) -> np.ndarray:
    """RR intervals before and after each annotation as multiples of the usual interval: (A, 2) float32.

    The usual interval is the median of the `USUAL_RR` around it. Only the times of beats count, not their classes. 1 is
    a regular rhythm; the interval before a premature beat is below 1. Missing intervals, at the ends of a record and at
    annotations that are not beats, are 1.
    """
    beats, intervals = _rr(record)
    result = np.ones((len(record.samples), 2), dtype=np.float32)
    if len(intervals):
        relative = intervals / median_filter(intervals, size=USUAL_RR, mode="nearest")
        result[beats[1:], 0] = relative
        result[beats[:-1], 1] = relative
    return result


def rr_intervals(record: Record) -> np.ndarray:
    """RR intervals before and after each annotation, (A, 2) float32 s; NaN where `relative_rr` has none."""
    beats, intervals = _rr(record)
    result = np.full((len(record.samples), 2), np.nan, dtype=np.float32)
    result[beats[1:], 0] = intervals / FS
    result[beats[:-1], 1] = intervals / FS
    return result


def _rr(record: Record) -> tuple[np.ndarray, np.ndarray]:
    """Positions of the beats among the annotations (B,), and the samples from each to the next (B - 1,)."""
    beats = np.flatnonzero(np.isin(record.symbols, BEAT_SYMBOLS))
    return beats, np.diff(record.samples[beats]).astype(float)


def cut_beats(filtered: np.ndarray, samples: np.ndarray) -> np.ndarray:
    """Windows (N, leads, 320) of `filtered` (leads, T) around the annotations `samples` (N,)."""
    ticks = samples[:, None] + 1 - BEFORE + np.arange(WINDOW)
    return filtered[:, ticks].swapaxes(0, 1)


def prepare_record(root: str | Path, name: str) -> dict[str, np.ndarray]:
    """The beats of one record as the arrays of `Beats`, and "annotated" (1,): its N beats without the R-peak rule."""
    record = read_record(root, name)
    filtered = bandpass(record.signals)
    peaks = find_r_peaks(filtered[0])
    kept, whole = select_beats(record, peaks), select_beats(record, record.samples)
    symbols = record.symbols[kept].astype("<U1")
    return {
        "signals": cut_beats(filtered, record.samples[kept]).astype(np.float32),
        "labels": np.array([CLASS_OF_SYMBOL[symbol] for symbol in symbols], dtype="<U1"),
        "symbols": symbols,
        "records": np.full(len(kept), name, dtype="<U3"),
        "samples": record.samples[kept].astype(np.int32),
        "near_peak": is_near_peak(record, peaks)[kept],
        "rhythm": relative_rr(record)[kept],
        "intervals": rr_intervals(record)[kept],
        "annotated": np.array([(np.isin(record.symbols[whole], NORMAL)).sum()], dtype=np.int32),
    }


STEPS = (
    read_record,
    _problem,
    quality.constant_stretches,
    quality.longest_constant,
    quality.at_extreme,
    bandpass,
    r_peaks,
    is_near_peak,
    select_beats,
    relative_rr,
    rr_intervals,
    _rr,
    cut_beats,
    prepare_record,
)
CONSTANTS = (
    UNANNOTATED,
    PLAUSIBLE,
    CONSTANT,
    EXTREME,
    FS,
    BEFORE,
    AFTER,
    FILTER_TAPS,
    PASS_BAND,
    R_PEAK_TOLERANCE,
    CLASS_OF_SYMBOL,
    BEAT_SYMBOLS,
    USUAL_RR,
)


def load_beats(root: str | Path, records: Sequence[str] = PATIENTS) -> Beats:
    """The filtered beats of `records`, from the cache or prepared and cached.

    The default is R1's 44 records: 97,568 beats, of which N 86,717, S 3,026, V 7,008, F 802 and Q 15.

    Raises:
        EcglibError: a record is unknown, missing or corrupt, or the cache cannot be written.
    """
    unknown = sorted(map(str, set(records) - set(RECORDS)))
    if len(set(records)) < len(records):
        raise EcglibError(f"A record of MIT-BIH was named twice among {', '.join(map(str, records))}: name it once.")
    if unknown or not records:
        raise EcglibError(f"MIT-BIH has no record {', '.join(unknown) or '(none asked for)'}: choose among {RECORDS}.")

    def make() -> dict[str, np.ndarray]:
        jobs = joblib.Parallel(n_jobs=-1, return_as="generator")(
            joblib.delayed(prepare_record)(root, name) for name in records
        )
        parts = list(tqdm(jobs, total=len(records), desc="preparing records", unit="record"))
        return {field: np.concatenate([part[field] for part in parts]) for field in parts[0]}

    files = [f"{name}{suffix}" for name in records for suffix in (".hea", ".dat", ".atr")]
    made_by = (*STEPS, CONSTANTS, version("scipy"))
    arrays = wfdb_files.cached("beats", root, DATABASE, files, made_by, make)
    _say_what_is_lost(records, arrays.pop("annotated"), arrays["records"], arrays["labels"])
    # The signals, 250 MB, stay on disk until they are used.
    return Beats(**{name: values if name == "signals" else np.array(values) for name, values in arrays.items()})


def _say_what_is_lost(records: Sequence[str], annotated: np.ndarray, of: np.ndarray, labels: np.ndarray) -> None:
    """Warn of each record most of whose N beats have no detected R peak near, as after a flat or noisy beginning."""
    for name, there in zip(records, annotated.tolist(), strict=True):
        kept = int(((of == name) & (labels == "N")).sum())
        if kept < FEW * there and name not in FAR_PEAKS:
            warnings.warn(
                f"Record {name} keeps {kept:,} of its {there:,} N beats ({kept / there:.0%}): no R peak was detected "
                "near the others. Is it flat or noisy, above all at its beginning?",
                EcglibWarning,
                stacklevel=3,
            )


def scale(signals: np.ndarray) -> np.ndarray:
    """R1 section 3.3.4.1: x' = 2 (x - min x) / (max x - min x) - 1 for each beat and lead, (..., 320) float32.

    A flat lead, where the formula is 0 / 0, becomes zeros.
    """
    low = signals.min(axis=-1, keepdims=True)
    span = signals.max(axis=-1, keepdims=True) - low
    flat = span == 0
    scaled = 2 * (signals - low) / np.where(flat, 1, span) - 1
    return np.where(flat, 0, scaled).astype(np.float32)


def report_split(beats: Beats, fold: int = 0, seed: int = 42) -> Split:
    """R1's split of pooled beats, in which all three parts share patients (section 3.3.4.1).

    N is shuffled and cut into fifths, of which number `fold` is for testing. 10 % of the other N beats and 10 % of each
    abnormal class are for validation. The other 90 % of the abnormal beats are for testing in every fold.

    Raises:
        EcglibError: `fold` is not in 0..4.
    """
    if fold not in range(5):
        raise EcglibError(f"Fold {fold} does not exist: R1 cuts N into five parts, 0 to 4.")
    rng = np.random.default_rng(seed)
    normal = rng.permutation(np.flatnonzero(beats.labels == "N"))
    start, stop = int(len(normal) * fold / 5), int(len(normal) * (fold + 1) / 5)
    rest = np.concatenate([normal[:start], normal[stop:]])
    validation, test = [rest[: _tenth(rest)]], [normal[start:stop]]
    for name in CLASSES[1:]:
        abnormal = rng.permutation(np.flatnonzero(beats.labels == name))
        validation.append(abnormal[: _tenth(abnormal)])
        test.append(abnormal[_tenth(abnormal) :])
    return Split(rest[_tenth(rest) :], np.concatenate(validation), np.concatenate(test))


def _tenth(indices: np.ndarray) -> int:
    """A tenth, rounded up as by scikit-learn's splitter, which gives exactly R1's counts."""
    return -(-len(indices) // 10)


def patient_split(beats: Beats) -> Split:
    """A split whose parts share no patient: N of DS1 for training, `DS1_VALIDATION` for validation, DS2 for testing.

    Record 201 of DS1 is left out, because its patient is also that of record 202 of DS2.
    """
    validation = np.isin(beats.records, DS1_VALIDATION)
    train = np.isin(beats.records, DS1) & ~validation & (beats.records != "201") & (beats.labels == "N")
    return Split(np.flatnonzero(train), np.flatnonzero(validation), np.flatnonzero(np.isin(beats.records, DS2)))
