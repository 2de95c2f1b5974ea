"""A classifier without a network, for networks to beat: boosted trees on 363 numbers of each record's median beat.

No label is used to describe a record. The trees have scikit-learn's own settings; fold 9 chooses only the strength of
the logistic regression.
"""

import time
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass

import numpy as np
import pandas as pd
from scipy import signal
from scipy.special import logit
from sklearn.base import ClassifierMixin
from sklearn.ensemble import HistGradientBoostingClassifier
from sklearn.linear_model import LogisticRegression
from sklearn.pipeline import make_pipeline
from sklearn.preprocessing import StandardScaler

from ecglib.classifier.run import ClassifierRun
from ecglib.core.errors import EcglibError
from ecglib.data.ptbxl import FS, SUPERCLASSES, Records, benchmark_split
from ecglib.show.words import bounds, shown
from ecglib.stats import metrics, multilabel

BEFORE, AFTER = 36, 60  # samples of the median beat before and after the R peak: 360 and 600 ms
STEP = 4  # every fourth sample of it is a number
QRS = slice(BEFORE - 6, BEFORE + 7)  # within 60 ms of the R peak
BASELINE = slice(BEFORE - 10, BEFORE - 6)  # before the QRS complex, behind the P wave
ST = slice(BEFORE + 8, BEFORE + 13)  # 80 to 120 ms after the R peak
T_WAVE = slice(BEFORE + 16, BEFORE + 45)  # 160 to 440 ms after it
SUREST = 0.999  # the largest probability that trees may teach
CERTAIN = 1 - 1e-9  # keeps logits finite
TOGETHER = "all of them together"
STRENGTHS = (0.001, 0.01, 0.1, 1.0)  # of logistic regression, chosen on the validation fold


def r_peaks(record: np.ndarray) -> np.ndarray:
    """Positions of R peaks in a record (L, T) in mV at 100 Hz: where all leads together change most.

    Peaks are at least 0.3 s apart and at least a third as high as the 99th percentile of that change. An artefact that
    is much steeper than every QRS complex hides them.
    """
    slope = np.gradient(record - np.median(record, axis=1, keepdims=True), axis=1)
    energy = np.convolve((slope**2).sum(axis=0), np.hanning(11), mode="same")
    return signal.find_peaks(energy, distance=round(0.3 * FS), height=np.quantile(energy, 0.99) / 3)[0]


def median_beat(record: np.ndarray, peaks: np.ndarray) -> np.ndarray:
    """The median of the beats around `peaks`, (L, 96) mV; each lead's median if no beat lies within the record."""
    whole = [peak for peak in peaks if BEFORE <= peak <= record.shape[1] - AFTER]
    if not whole:
        return np.repeat(np.median(record, axis=1, keepdims=True), BEFORE + AFTER, axis=1)
    return np.median([record[:, peak - BEFORE : peak + AFTER] for peak in whole], axis=0)


def describe(record: np.ndarray) -> np.ndarray:
    """The numbers that describe a record (L, T) in mV: (30 L + 3,).

    Of each lead, in mV against the level before the QRS complex: maximum, minimum and deviation of the median beat, ST
    level, largest deflection of the T wave, height of the QRS complex, every fourth sample. Of the record: median RR
    interval and its deviation in seconds (0 with fewer than two peaks), number of R peaks.
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
    """What a method says of the test records."""

    scores: np.ndarray  # (N, 5), higher for a class that is more likely
    numbers: int  # how many describe a record
    seconds: float  # for describing all records, training and testing


Answer = Callable[[np.ndarray], np.ndarray]  # numbers of records (N, F) -> probabilities (N, 5)


def boosted(train: np.ndarray, targets: np.ndarray) -> Answer:
    """Gradient boosting with scikit-learn's own settings, one model a class, from numbers (N, F) and targets (N, 5)."""
    return _each_class(lambda: HistGradientBoostingClassifier(random_state=0), train, targets)


def logistic(train: np.ndarray, targets: np.ndarray, strength: float) -> Answer:
    """Logistic regression on standardised numbers, one model a class; `strength` is scikit-learn's C."""
    return _each_class(
        lambda: make_pipeline(StandardScaler(), LogisticRegression(C=strength, max_iter=2000)), train, targets
    )


def _each_class(make: Callable[[], ClassifierMixin], train: np.ndarray, targets: np.ndarray) -> Answer:
    for name, column in zip(SUPERCLASSES, targets.T, strict=True):
        if column.min() == column.max():
            kind = "have" if column.min() else "lack"
            raise EcglibError(f"All {len(column)} training records {kind} {name}: fetch more of PTB-XL.")
    models = [make().fit(train, column) for column in targets.T]
    return lambda x: np.stack([model.predict_proba(x)[:, 1] for model in models], axis=1)


def cross_fitted(records: Records, members: np.ndarray) -> np.ndarray:
    """What boosted trees say of records that they have not seen: logits (N, 5) float32 of `members`.

    The trees that judge the members of a fold have learned from the members of all other folds, which are other
    patients. A probability of 0 or 1 would be an infinite logit, so they end at `SUREST`. On all of PTB-XL this takes
    minutes.

    Raises:
        EcglibError: the members are of one fold, or the others of a fold all have, or all lack, a class.
    """
    folds, targets = records.folds[members], records.targets[members]
    if len(np.unique(folds)) < 2:
        raise EcglibError("All records are of one fold, and trees judge only folds unseen: fetch more of PTB-XL.")
    numbers = describe_all(records.signals[members], range(records.signals.shape[1]))
    found = np.empty((len(members), len(SUPERCLASSES)))
    for fold in np.unique(folds):
        own = folds == fold
        found[own] = boosted(numbers[~own], targets[~own])(numbers[own])
    return logit(found.clip(1 - SUREST, SUREST)).astype(np.float32)


TREES, TREES_LEAD_I = "boosted trees, all leads", "boosted trees, lead I"


def baselines(records: Records) -> dict[str, Answered]:
    """Boosted trees (all leads; lead I) and logistic regression, trained on folds 1 to 8 and tested on fold 10.

    Raises:
        EcglibError: a part of the split is empty, or no training record has, or lacks, a class.
    """
    split = benchmark_split(records)
    targets, judge = records.targets[split.train], records.targets[split.validation]
    all_leads, found = range(records.signals.shape[1]), {}
    for name, leads, strengths in (
        (TREES, all_leads, ()),
        ("logistic regression, all leads", all_leads, STRENGTHS),
        (TREES_LEAD_I, (0,), ()),
    ):
        started = time.perf_counter()
        train, validation, test = (describe_all(records.signals[members], leads) for _, members in split)
        tried = [logistic(train, targets, strength) for strength in strengths] or [boosted(train, targets)]
        best = max(tried, key=lambda answer: multilabel.macro_auc(judge, answer(validation)))
        found[name] = Answered(best(test), train.shape[1], time.perf_counter() - started)
    return found


def baseline_results(
    found: Mapping[str, Answered], records: Records, networks: Mapping[str, Sequence[ClassifierRun]]
) -> pd.DataFrame:
    """Test macro-AUC with its interval over patients, AUC of each class, and the trees' lead over each method.

    The baselines have no seed; a network's numbers are means over its runs on the data set's own split. Differences are
    paired: same records, same resampled patients. Seconds are those of training on the machine that did it; those of
    the baselines include description, validation and test.

    Raises:
        EcglibError: a network was tested on other records.
    """
    test = benchmark_split(records).test
    targets, patients = records.targets[test], records.patients[test]
    _check_tested(networks, patients)
    answers = {name: [answered.scores] for name, answered in found.items()}
    answers |= {name: [run.predictions["test_logits"] for run in runs] for name, runs in networks.items()}
    facts = {name: (answered.numbers, "no seed", answered.seconds) for name, answered in found.items()}
    for name, runs in networks.items():
        spent = float(np.mean([run.history["seconds"].sum() for run in runs]))
        facts[name] = (len(runs[0].leads) * records.signals.shape[2], str(len(runs)), spent)
    measured = {
        name: pd.DataFrame([multilabel.class_metrics(targets, scores, SUPERCLASSES) for scores in members]).mean()
        for name, members in answers.items()
    }
    drawn = {
        name: np.mean([multilabel.resampled_auc(targets, scores, patients) for scores in members], axis=0)
        for name, members in answers.items()
    }
    rows = []
    for name, (numbers, seeds, seconds) in facts.items():
        ahead = metrics.percentiles(measured[TREES]["auc"] - measured[name]["auc"], drawn[TREES] - drawn[name])
        rows.append(
            {
                "method": name,
                "numbers a record": f"{numbers:,}",
                "macro-AUC, over patients": shown(metrics.percentiles(measured[name]["auc"], drawn[name]), 3),
                "seeds": seeds,
                "trees minus it, over patients": "-" if name == TREES else shown(ahead, 3, signed=True),
                **{label: f"{measured[name].get(f'auc_{label}', np.nan):.3f}" for label in SUPERCLASSES},
                "seconds": f"{seconds:,.0f}",
            }
        )
    return pd.DataFrame(rows).set_index("method")


def beside_trees(
    found: Mapping[str, Answered], records: Records, networks: Mapping[str, Sequence[ClassifierRun]]
) -> pd.DataFrame:
    """Trees, networks, and both together: test macro-AUC with both intervals, and minus that of the trees.

    Together they say the mean of the trees' log odds and of the networks' logits, seed by seed; with two or more
    networks a last row has all of them. Networks pair in the order of their seeds, as in `comparisons.compare`.

    Raises:
        EcglibError: a network was tested on other records, or there are not as many runs of each.
    """
    test = benchmark_split(records).test
    targets, patients = records.targets[test], records.patients[test]
    _check_tested(networks, patients)
    trees = logit(found[TREES].scores.clip(1 - CERTAIN, CERTAIN))  # finite, and in the same order
    logits = {name: [run.predictions["test_logits"] for run in runs] for name, runs in networks.items()}
    answers = {TREES: [trees]} | logits
    answers |= {f"trees + {name}": [(one + trees) / 2 for one in members] for name, members in logits.items()}
    if len({len(members) for members in logits.values()}) > 1:
        raise EcglibError("Networks answer together seed by seed: give as many runs of each.")
    if len(logits) > 1:
        answers[TOGETHER] = [np.mean([trees, *members], axis=0) for members in zip(*logits.values(), strict=True)]
    drawn = {
        name: np.mean([multilabel.resampled_auc(targets, one, patients) for one in members], axis=0)
        for name, members in answers.items()
    }
    rows = []
    for name, members in answers.items():
        aucs = [multilabel.macro_auc(targets, one) for one in members]
        ahead = np.mean(aucs) - multilabel.macro_auc(targets, trees)
        rows.append(
            {
                "who answers": name,
                "seeds": "no seed" if name == TREES else str(len(members)),
                "macro-AUC, 95 % over seeds": f"{aucs[0]:.4f}" if name == TREES else shown(metrics.mean_interval(aucs)),
                "over patients": bounds(metrics.percentiles(float(np.mean(aucs)), drawn[name])),
                "minus trees, over patients": "-"
                if name == TREES
                else shown(metrics.percentiles(float(ahead), drawn[name] - drawn[TREES]), signed=True),
            }
        )
    return pd.DataFrame(rows).set_index("who answers")


def _check_tested(networks: Mapping[str, Sequence[ClassifierRun]], patients: np.ndarray) -> None:
    for name, runs in networks.items():
        if any(not np.array_equal(run.predictions["test_patients"], patients) for run in runs):
            raise EcglibError(f"{name} was tested on other records than the {len(patients)} here: train it on these.")
