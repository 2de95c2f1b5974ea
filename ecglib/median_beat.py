"""A classifier without a network: each PTB-XL record as 363 numbers of its median beat, and boosted trees on them.

What a network has to beat. No label is used to describe a record.
"""

from collections.abc import Callable, Sequence
from dataclasses import dataclass

import numpy as np
import pandas as pd
from scipy import signal
from sklearn.ensemble import HistGradientBoostingClassifier
from sklearn.linear_model import LogisticRegression
from sklearn.pipeline import make_pipeline
from sklearn.preprocessing import StandardScaler

from ecglib import multilabel
from ecglib.data.ptbxl import FS, SUPERCLASSES, Records, benchmark_split
from ecglib.metrics import auc
from ecglib.tables import shown

BEFORE, AFTER = 36, 60  # samples of the median beat before and after the R peak: 360 and 600 ms
STEP = 4  # every fourth sample of it is a number
QRS = slice(BEFORE - 6, BEFORE + 7)  # within 60 ms of the R peak
BASELINE = slice(BEFORE - 10, BEFORE - 6)  # before the QRS complex, behind the P wave
ST = slice(BEFORE + 8, BEFORE + 13)  # 80 to 120 ms after the R peak
T_WAVE = slice(BEFORE + 16, BEFORE + 45)  # 160 to 440 ms after it
OF_LEAD = 6 + (BEFORE + AFTER) // STEP
OF_RECORD = 3
STRENGTHS = (0.001, 0.01, 0.1, 1.0)  # of logistic regression, chosen on the validation fold


def r_peaks(record: np.ndarray) -> np.ndarray:
    """Positions of R peaks in a record (L, T) in mV at 100 Hz: where all leads together change most.

    At least 0.3 s apart and a third as high as the highest of the usual ones.
    """
    slope = np.gradient(record - np.median(record, axis=1, keepdims=True), axis=1)
    energy = np.convolve((slope**2).sum(axis=0), np.hanning(11), mode="same")
    return signal.find_peaks(energy, distance=round(0.3 * FS), height=np.quantile(energy, 0.99) / 3)[0]


def median_beat(record: np.ndarray, peaks: np.ndarray) -> np.ndarray:
    """The median of the beats around `peaks`, (L, 96) mV; that of the whole record's level where none is complete."""
    whole = [peak for peak in peaks if BEFORE <= peak <= record.shape[1] - AFTER]
    if not whole:
        return np.repeat(np.median(record, axis=1, keepdims=True), BEFORE + AFTER, axis=1)
    return np.median([record[:, peak - BEFORE : peak + AFTER] for peak in whole], axis=0)


def describe(record: np.ndarray) -> np.ndarray:
    """The numbers of a record (L, T) in mV: (30 L + 3,).

    For each lead maximum, minimum and deviation of the median beat, its ST level, the T wave's largest deflection and
    the QRS complex's height, all in mV against the level before the QRS complex, and every fourth sample. For the
    record the median RR interval and its deviation in seconds, and the number of R peaks.
    """
    peaks = r_peaks(record)
    beat = median_beat(record, peaks)
    beat = beat - beat[:, BASELINE].mean(axis=1, keepdims=True)
    wave = beat[:, T_WAVE]
    largest = np.take_along_axis(wave, np.abs(wave).argmax(axis=1)[:, None], axis=1)[:, 0]
    of_leads = [
        beat.max(axis=1),
        beat.min(axis=1),
        beat.std(axis=1),
        beat[:, ST].mean(axis=1),
        largest,
        np.ptp(beat[:, QRS], axis=1),
        *beat[:, ::STEP].T,
    ]
    intervals = np.diff(peaks) / FS
    rhythm = [np.median(intervals), intervals.std(), len(peaks)] if len(intervals) else [0, 0, len(peaks)]
    return np.concatenate([*of_leads, rhythm]).astype(np.float32)


def describe_all(signals: np.ndarray, leads: Sequence[int]) -> np.ndarray:
    """`describe` of records (N, 12, T), seen through some leads: (N, 30 leads + 3)."""
    return np.array([describe(np.asarray(record)[list(leads)]) for record in signals])


@dataclass(frozen=True)
class Answered:
    """What a method says of the test records.

    Attributes:
        scores: (N, 5), higher where a class is more likely.
        numbers: how many describe a record.
    """

    scores: np.ndarray
    numbers: int


def boosted(train: np.ndarray, targets: np.ndarray) -> Callable[[np.ndarray], np.ndarray]:
    """Gradient boosting with scikit-learn's own settings, a model a class; the function gives probabilities (N, 5)."""
    models = [HistGradientBoostingClassifier(random_state=0).fit(train, column) for column in targets.T]
    return lambda x: np.stack([model.predict_proba(x)[:, 1] for model in models], axis=1)


def logistic(train: np.ndarray, targets: np.ndarray, strength: float) -> Callable[[np.ndarray], np.ndarray]:
    """Logistic regression on standardised numbers, a model a class; `strength` is scikit-learn's C."""
    models = [
        make_pipeline(StandardScaler(), LogisticRegression(C=strength, max_iter=2000)).fit(train, column)
        for column in targets.T
    ]
    return lambda x: np.stack([model.predict_proba(x)[:, 1] for model in models], axis=1)


def baselines(records: Records) -> dict[str, Answered]:
    """Boosted trees with all leads and with lead I, and logistic regression: trained on folds 1-8, tested on fold 10.

    Fold 9 chooses the strength of the regression and nothing else.
    """
    split, found = benchmark_split(records), {}
    for name, leads in (("all leads", range(records.signals.shape[1])), ("lead I", (0,))):
        train, validation, test = (describe_all(records.signals[members], leads) for _, members in split)
        targets = records.targets[split.train]
        found[f"boosted trees, {name}"] = Answered(boosted(train, targets)(test), train.shape[1])
        if name == "all leads":
            fitted = [logistic(train, targets, strength) for strength in STRENGTHS]
            judged = [multilabel.class_metrics(records.targets[split.validation], one(validation)) for one in fitted]
            best = int(np.argmax([metrics["auc"] for metrics in judged]))
            found[f"logistic regression, {name}"] = Answered(fitted[best](test), train.shape[1])
    return found


def baseline_results(found: dict[str, Answered], records: Records) -> pd.DataFrame:
    """Macro-AUC on the test fold with its interval over patients, and the AUC of each class; nothing has a seed."""
    test = benchmark_split(records).test
    targets, patients = records.targets[test], records.patients[test]
    rows = []
    for name, answered in found.items():
        row = {
            "method": name,
            "numbers a record": answered.numbers,
            "macro-AUC, over patients": shown(multilabel.auc_interval(targets, answered.scores, patients), 3),
            "seeds": "no seed",
        }
        for column, label in enumerate(SUPERCLASSES):
            row[label] = f"{auc(targets[:, column], answered.scores[:, column]):.3f}"
        rows.append(row)
    return pd.DataFrame(rows).set_index("method")
