"""The tables of notebook 04 about new patients.

Everywhere `members` are positions of beats, and scores (M,) are higher for what is more likely abnormal.
"""

from collections.abc import Mapping, Sequence

import numpy as np
import pandas as pd

from ecglib.data.mitbih import CLASSES, Beats
from ecglib.detection.own_record import (
    QUESTIONS,
    Usual,
    all_answers,
    leave_one_patient_out_scores,
    s_auc_in_s_dominated_records,
)
from ecglib.show.words import bounds
from ecglib.stats import metrics

LEAST_BEATS = 5  # of a kind within a record, to have an AUC of its own

# What was tried on the training patients for the usual beat; the first is what is used.
TRIED = {
    "the three questions": Usual(),
    "compared with 101 beats around": Usual(around=101),
    "with 1,001 around": Usual(around=1001),
    "with all of the record": Usual(around=1_000_000),
    "the latest two fifths are usual": Usual(latest=0.4),
    "the latest tenth": Usual(latest=0.1),
    "all beats are": Usual(latest=1.0),
    "causal: with the 301 beats before": Usual(causal=True),
}


def tried(beats: Beats, members: np.ndarray) -> pd.DataFrame:
    """Each question alone and every way of `TRIED`: AUC of the beats of each patient, judged by those of the others.

    The last column is the trial of `own_record.s_auc_in_s_dominated_records`.
    """
    labels, rows = beats.labels[members], []
    found = {name: all_answers(beats, usual, beats.records[members]) for name, usual in TRIED.items()}
    for n, question in enumerate(QUESTIONS):
        scores = leave_one_patient_out_scores(found[next(iter(TRIED))][:, [n]], beats, members)
        rows.append(
            {"judged by": f"{question} alone", **_shown(_aucs(labels, scores)), "S, where most beats are S": "-"}
        )
    for name, usual in TRIED.items():
        scores = leave_one_patient_out_scores(found[name], beats, members)
        trial = s_auc_in_s_dominated_records(found[name], beats, members, usual)
        aucs = _shown(_aucs(labels, scores))
        rows.append({"judged by": name, **aucs, "S, where most beats are S": f"{trial:.3f}"})
    return pd.DataFrame(rows).set_index("judged by")


def new_patients(
    scores: Mapping[str, np.ndarray | Sequence[np.ndarray]],
    beats: Beats,
    members: np.ndarray,
    without: str,
    control: str,
) -> pd.DataFrame:
    """Each detector on new patients: AUC with its interval over patients, classes, and the AUC without one record.

    A detector's scores are one array a seed, and its AUC is their mean; where nothing is random they are an array. The
    last column is the difference from the detector `control`, with its interval over patients.
    """
    labels, patients, rest = beats.labels[members], beats.patients[members], beats.records[members] != without
    abnormal = labels != "N"
    runs = {name: [given] if isinstance(given, np.ndarray) else given for name, given in scores.items()}
    drawn = {
        name: np.mean([metrics.resampled_auc(abnormal, one, patients) for one in given], axis=0)
        for name, given in runs.items()
    }
    values = {name: float(np.mean([metrics.auc(abnormal, one) for one in given])) for name, given in runs.items()}
    rows = []
    for name, given in runs.items():
        difference = metrics.percentiles(values[name] - values[control], drawn[name] - drawn[control])
        others = _mean([_aucs(labels[rest], one[rest]) for one in given])
        rows.append(
            {
                "detector": name,
                **_shown(_mean([_aucs(labels, one) for one in given])),
                "over patients": bounds(metrics.percentiles(values[name], drawn[name]), 3),
                f"without {without}": f"{others['AUC']:.3f}",
                f"S, without {without}": f"{others['S']:.3f}" if "S" in others else "-",
                f"minus {control}": "-"
                if name == control
                else f"{difference.value:+.3f} {bounds(difference, 3, signed=True)}",
                "seeds": 0 if isinstance(scores[name], np.ndarray) else len(given),
            }
        )
    return pd.DataFrame(rows).set_index("detector")


def of_records(scores: np.ndarray, beats: Beats, members: np.ndarray) -> dict[str, float]:
    """The AUC within each record that has at least `LEAST_BEATS` abnormal and as many N beats."""
    found = {}
    for name in np.unique(beats.records[members]):
        own = beats.records[members] == name
        abnormal = beats.labels[members][own] != "N"
        if min(abnormal.sum(), (~abnormal).sum()) >= LEAST_BEATS:
            found[str(name)] = metrics.auc(abnormal, scores[own])
    return found


def _aucs(labels: np.ndarray, scores: np.ndarray) -> dict[str, float]:
    """AUC of all abnormal beats and of each class against N."""
    found = {"AUC": metrics.auc(labels != "N", scores)} | metrics.per_class_auc(labels, scores)
    return {name: found[name] for name in ("AUC", *CLASSES) if name in found}


def _mean(rows: Sequence[Mapping[str, float]]) -> dict[str, float]:
    return {name: float(np.mean([row[name] for row in rows])) for name in rows[0]}


def _shown(aucs: Mapping[str, float]) -> dict[str, str]:
    return {name: f"{value:.3f}" for name, value in aucs.items()}
