"""Surprise against its closed form, and its sum."""

import numpy as np
import pytest

from ecglib.core.errors import EcglibError
from ecglib.stats.surprise import fisher, surprise


def test_surprise_is_minus_log_of_the_tail():
    normal = np.arange(99.0)
    assert surprise(normal, np.array([-1.0, 98.0, 1e9])) == pytest.approx([0, -np.log(2 / 100), np.log(100)])
    assert surprise(normal, 7 * normal)[3] == surprise(normal / 7, normal)[3], "units do not matter"


@pytest.mark.parametrize(
    ("normal", "scores", "message"),
    [
        ([], [1.0], "no normal score"),
        ([1.0, np.nan], [1.0], "1 scores are not finite"),
        ([1.0, 2.0], [np.inf, np.nan], "2 scores are not finite"),
    ],
)
def test_a_score_that_is_no_number_is_not_the_most_surprising(normal, scores, message):
    with pytest.raises(EcglibError, match=message):
        surprise(np.array(normal), np.array(scores))


def test_fisher_adds_and_finds_what_either_term_finds():
    rng = np.random.default_rng(3)
    normal = {name: rng.normal(size=500) for name in "ab"}
    odd = {"a": np.array([5.0, 0.0, 5.0]), "b": np.array([0.0, 5.0, 5.0])}
    scores = fisher({name: (normal[name], odd[name]) for name in "ab"})
    assert scores == pytest.approx(sum(surprise(normal[name], odd[name]) for name in "ab"))
    assert scores[2] > scores[:2].max()
    assert scores[:2].min() > np.quantile(fisher({name: (normal[name], normal[name]) for name in "ab"}), 0.98)
