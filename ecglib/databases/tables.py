"""The tables of notebook 01: beats and patients of each part of a split."""

import numpy as np
import pandas as pd

from ecglib.data.mitbih import Beats, Split, count_classes


def class_counts(beats: Beats, split: Split) -> pd.DataFrame:
    """Beats of each class in each part of a split, with their sum."""
    counts = pd.DataFrame({part: count_classes(beats.labels[members]) for part, members in split}).T
    return counts.assign(all=counts.sum(axis=1))


def patient_counts(beats: Beats, split: Split) -> pd.DataFrame:
    """Beats of each patient (rows) in each part of a split (columns): whoever is in two parts leaks."""
    counts = {part: pd.Series(beats.patients[members]).value_counts() for part, members in split}
    return pd.DataFrame(counts).reindex(np.unique(beats.patients)).fillna(0).astype(int)


def shared_patients(beats: Beats, split: Split) -> int:
    """How many patients have beats both in training and in test."""
    counts = patient_counts(beats, split)
    return int(((counts["train"] > 0) & (counts["test"] > 0)).sum())
