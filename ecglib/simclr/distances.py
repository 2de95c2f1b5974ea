"""Anomaly scores from normal beats alone: how far is a beat from what was seen? None is fitted to abnormal beats.

BeatGAN asks how well a beat can be redrawn. These ask how far it lies from normal beats in some space: PCA's, a
contrastive encoder's, or that of shape and rhythm together.
"""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass

import numpy as np
from sklearn.covariance import LedoitWolf
from sklearn.neighbors import NearestNeighbors

NEIGHBOURS = 5


class Nearest:
    """Mean distance to the nearest normal beats.

    Args:
        normal: (N, d) training features of normal beats.
        neighbours: how many distances are averaged.
    """

    def __init__(self, normal: np.ndarray, neighbours: int = NEIGHBOURS) -> None:
        self.search = NearestNeighbors(n_neighbors=min(neighbours, len(normal))).fit(normal)

    def __call__(self, features: np.ndarray) -> np.ndarray:
        """Scores (M,) of features (M, d)."""
        return self.search.kneighbors(features)[0].mean(axis=1)


class Mahalanobis:
    """Squared distance from the mean of the normal beats in units of their covariance (shrunk, Ledoit and Wolf 2004).

    Args:
        normal: (N, d) training features of normal beats.
    """

    def __init__(self, normal: np.ndarray) -> None:
        self.model = LedoitWolf().fit(normal)

    def __call__(self, features: np.ndarray) -> np.ndarray:
        """Scores (M,) of features (M, d)."""
        return self.model.mahalanobis(features)


@dataclass(frozen=True)
class Blocks:
    """Puts features of different kinds, such as shape and rhythm, on one scale.

    Each block is divided by the spread of the normal beats in it, the root of its total variance, so that every block
    has the same weight. Nothing else weighs one against another.

    Attributes:
        scales: one a block.
    """

    scales: tuple[float, ...]

    @classmethod
    def fit(cls, normal: Sequence[np.ndarray]) -> "Blocks":
        """Scales from the blocks (N, d_i) of normal beats."""
        return cls(tuple(float(np.sqrt(block.var(axis=0).sum())) for block in normal))

    def __call__(self, blocks: Sequence[np.ndarray]) -> np.ndarray:
        """(M, sum of d_i) features of blocks (M, d_i)."""
        return np.hstack([block / scale for block, scale in zip(blocks, self.scales, strict=True)])


def surprise(normal: np.ndarray, scores: np.ndarray) -> np.ndarray:
    """-log of the share of normal beats that score at least as high: (M,) from (N,) and (M,) scores.

    Scores of any unit become comparable; a score above all normal ones gets the largest value, log(N + 1).
    """
    at_least = len(normal) - np.searchsorted(np.sort(normal), scores, side="left")
    return -np.log((at_least + 1) / (len(normal) + 1))


def fisher(terms: Mapping[str, tuple[np.ndarray, np.ndarray]]) -> np.ndarray:
    """Several scores as one: the sum of their surprises (Fisher's method without a weight to choose).

    Args:
        terms: name -> scores of normal validation beats (N,), scores of the beats in question (M,).

    Returns:
        (M,) scores.
    """
    return np.sum([surprise(normal, scores) for normal, scores in terms.values()], axis=0)
