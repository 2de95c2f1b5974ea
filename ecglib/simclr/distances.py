"""Anomaly scores that are distances from normal beats; none is fitted to abnormal beats.

BeatGAN scores how well it reconstructs a beat. These scores measure how far a beat lies from normal beats in a space of
features: principal components, a contrastive encoder's embedding, or shape and rhythm together.
"""

from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np
from sklearn.covariance import LedoitWolf
from sklearn.neighbors import NearestNeighbors

NEIGHBOURS = 5


class Nearest:
    """Mean distance to the nearest `neighbours` of the normal training features (N, d)."""

    def __init__(self, normal: np.ndarray, neighbours: int = NEIGHBOURS) -> None:
        self.search = NearestNeighbors(n_neighbors=min(neighbours, len(normal))).fit(normal)

    def __call__(self, features: np.ndarray) -> np.ndarray:
        """Scores (M,) of features (M, d)."""
        return self.search.kneighbors(features)[0].mean(axis=1)


class Mahalanobis:
    """Squared Mahalanobis distance from the mean of the normal training features (N, d).

    The covariance is shrunk as by Ledoit and Wolf (2004).
    """

    def __init__(self, normal: np.ndarray) -> None:
        self.model = LedoitWolf().fit(normal)

    def __call__(self, features: np.ndarray) -> np.ndarray:
        """Scores (M,) of features (M, d)."""
        return self.model.mahalanobis(features)


@dataclass(frozen=True)
class Blocks:
    """Joins blocks of features, such as shape and rhythm, with equal weights.

    Each block is divided by the square root of its total variance over the normal beats; there are no other weights.
    """

    scales: tuple[float, ...]  # one for each block

    @classmethod
    def fit(cls, normal: Sequence[np.ndarray]) -> "Blocks":
        """Scales from the blocks (N, d_i) of normal beats."""
        return cls(tuple(float(np.sqrt(block.var(axis=0).sum())) for block in normal))

    def __call__(self, blocks: Sequence[np.ndarray]) -> np.ndarray:
        """Features (M, sum of d_i) from blocks (M, d_i)."""
        return np.hstack([block / scale for block, scale in zip(blocks, self.scales, strict=True)])
