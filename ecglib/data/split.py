"""A split of a database into training, validation and test."""

from collections.abc import Iterator
from dataclasses import dataclass

import numpy as np


@dataclass(frozen=True)
class Split:
    """Positions of the beats or records of each part."""

    train: np.ndarray
    validation: np.ndarray
    test: np.ndarray

    def __iter__(self) -> Iterator[tuple[str, np.ndarray]]:
        return iter((("train", self.train), ("validation", self.validation), ("test", self.test)))
