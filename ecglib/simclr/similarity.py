"""The similarity of two views of a beat, and of two beats of a patient."""

from collections.abc import Mapping

import numpy as np
import torch
from torch import Tensor

from ecglib.stats import metrics


def similarities(embeddings: Tensor) -> Tensor:
    """Cosines (N, N) of all pairs of rows (N, d)."""
    unit = torch.nn.functional.normalize(embeddings, dim=1)
    return unit @ unit.T


def own_view_found(first: Tensor, second: Tensor) -> float:
    """The share of beats whose view in `first` (N, d) is most similar to the same beat's view in `second` (N, d)."""
    nearest = similarities(torch.cat([first, second]))[: len(first), len(first) :].argmax(dim=1)
    return float((nearest.cpu() == torch.arange(len(first))).float().mean())


def pair_similarities(first: Tensor, second: Tensor, patients: np.ndarray) -> dict[str, np.ndarray]:
    """Cosines of pairs of beats by kind, from two views (N, d) of each beat and its patient (N,).

    NT-Xent pulls the "two views of one beat" together and pushes all other pairs of a batch apart. Among those, here
    the pairs within `first`, are "beats of one patient", which are nearly copies, and "beats of different patients".
    """
    matrix = similarities(first).cpu().numpy()
    above = np.triu(np.ones(matrix.shape, dtype=bool), 1)
    same = patients[:, None] == patients[None]
    return {
        "two views of one beat": torch.nn.functional.cosine_similarity(first, second).cpu().numpy(),
        "beats of one patient": matrix[above & same],
        "beats of different patients": matrix[above & ~same],
    }


def patients_told_apart(kinds: Mapping[str, np.ndarray]) -> float:
    """The AUC with which the cosine tells pairs of beats of one patient from pairs of two patients; 0.5 is chance.

    `kinds` comes from `pair_similarities`.
    """
    same, other = kinds["beats of one patient"], kinds["beats of different patients"]
    return metrics.auc(np.repeat([True, False], [len(same), len(other)]), np.concatenate([same, other]))


def same_patient_share(patients: np.ndarray) -> float:
    """The expected share of a batch's negatives that are of the same patient, for beats of `patients` (N,)."""
    _, counts = np.unique(patients, return_counts=True)
    return float((counts * (counts - 1)).sum() / (len(patients) * (len(patients) - 1)))
