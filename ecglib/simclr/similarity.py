"""How alike two views are, and two beats of one patient."""

from collections.abc import Mapping

import numpy as np
import torch
from torch import Tensor

from ecglib.stats import metrics


def similarities(embeddings: Tensor) -> Tensor:
    """Cosine of every pair of rows (N, d): (N, N)."""
    unit = torch.nn.functional.normalize(embeddings, dim=1)
    return unit @ unit.T


def own_view_found(first: Tensor, second: Tensor) -> float:
    """The share of beats whose view in `first` (N, d) is more like their own view in `second` than like any other's."""
    nearest = similarities(torch.cat([first, second]))[: len(first), len(first) :].argmax(dim=1)
    return float((nearest.cpu() == torch.arange(len(first))).float().mean())


def pair_similarities(first: Tensor, second: Tensor, patients: np.ndarray) -> dict[str, np.ndarray]:
    """How alike pairs of beats are: what NT-Xent pulls together, and what it pushes apart.

    Beats of one patient are near-copies of each other, yet NT-Xent takes every other beat of a batch for a negative.

    Args:
        first: (N, d) one view of each beat, in whatever space.
        second: (N, d) another view.
        patients: (N,).

    Returns:
        Cosines: of the N "two views of one beat", and of `first`'s pairs of "beats of one patient" and "beats of
        different patients".
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
    """How well a space knows who somebody is: the chance that two beats of one patient are more alike than two of two.

    Args:
        kinds: `pair_similarities`.

    Returns:
        An AUC: 0.5 where beats of one patient are no more alike than any others.
    """
    same, other = kinds["beats of one patient"], kinds["beats of different patients"]
    return metrics.auc(np.repeat([True, False], [len(same), len(other)]), np.concatenate([same, other]))


def same_patient_share(patients: np.ndarray) -> float:
    """The share of a batch's negatives that are expected to be beats of the same patient, drawn from patients (N,)."""
    _, counts = np.unique(patients, return_counts=True)
    return float((counts * (counts - 1)).sum() / (len(patients) * (len(patients) - 1)))
