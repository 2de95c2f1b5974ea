"""Detectors against slow loops and closed forms."""

import numpy as np
import pytest

from ecglib.simclr.distances import Blocks, Mahalanobis, Nearest


def test_nearest_against_loops():
    rng = np.random.default_rng(0)
    normal, features = rng.normal(size=(30, 4)), rng.normal(size=(6, 4))
    slow = [np.sort([np.sqrt(((row - other) ** 2).sum()) for other in normal])[:3].mean() for row in features]
    assert Nearest(normal, neighbours=3)(features) == pytest.approx(slow)
    assert Nearest(normal[:2], neighbours=5)(normal[:2]).shape == (2,), "fewer normal beats than neighbours"


def test_mahalanobis_is_squared_distance_in_standard_deviations():
    rng = np.random.default_rng(1)
    normal = rng.normal(size=(50_000, 2)) * [1.0, 10.0] + [5.0, -3.0]
    scores = Mahalanobis(normal)(np.array([[5.0, -3.0], [7.0, -3.0], [5.0, 27.0]]))
    assert scores == pytest.approx([0, 4, 9], rel=0.05, abs=0.01)


def test_blocks_give_every_kind_the_same_say():
    """Measuring one block in other units changes nothing, and each adds the same spread."""
    rng = np.random.default_rng(2)
    shape, rhythm = rng.normal(size=(400, 5)), rng.normal(size=(400, 2))
    found = []
    for unit in (1.0, 1000.0):
        blocks = Blocks.fit([shape, unit * rhythm])
        features = blocks([shape, unit * rhythm])
        assert features.shape == (400, 7)
        assert features[:, :5].var(axis=0).sum() == pytest.approx(1)
        assert features[:, 5:].var(axis=0).sum() == pytest.approx(1)
        found.append(Nearest(features[:200])(features[200:]))
    assert found[0] == pytest.approx(found[1])
