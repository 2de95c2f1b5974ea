"""Detectors against slow loops and closed forms."""

import numpy as np
import pytest

from ecglib.simclr.distances import Blocks, Mahalanobis, Nearest, fisher, surprise


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


def test_surprise_is_minus_log_of_the_tail():
    normal = np.arange(99.0)
    assert surprise(normal, np.array([-1.0, 98.0, 1e9])) == pytest.approx([0, -np.log(2 / 100), np.log(100)])
    assert surprise(normal, 7 * normal)[3] == surprise(normal / 7, normal)[3], "units do not matter"


def test_fisher_adds_and_finds_what_either_term_finds():
    rng = np.random.default_rng(3)
    normal = {name: rng.normal(size=500) for name in "ab"}
    odd = {"a": np.array([5.0, 0.0, 5.0]), "b": np.array([0.0, 5.0, 5.0])}
    scores = fisher({name: (normal[name], odd[name]) for name in "ab"})
    assert scores == pytest.approx(sum(surprise(normal[name], odd[name]) for name in "ab"))
    assert scores[2] > scores[:2].max()
    assert scores[:2].min() > np.quantile(fisher({name: (normal[name], normal[name]) for name in "ab"}), 0.98)
