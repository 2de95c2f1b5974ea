"""Equality within a margin, and goals, against intervals that SciPy computes."""

import numpy as np
from scipy import stats

from ecglib.stats import margins, metrics
from ecglib.stats.metrics import Interval


def test_equivalence_is_a_90_percent_interval_within_the_margin():
    rng = np.random.default_rng(2)
    for _ in range(50):
        differences = rng.normal(0.001, 0.003, 5)
        low, high = stats.t.interval(0.90, 4, differences.mean(), stats.sem(differences))
        within = max(-low, high) < 0.005
        assert (margins.equivalence(differences, 0.005) < 0.05) == within


def test_half_and_double_the_margin_move_the_verdict():
    near = Interval(0.0, -0.001, 0.001)
    questions = {
        "tight": (np.array([0.0001, -0.0001, 0.0002]), near),
        "loose": (np.array([0.006, -0.006, 0.002, 0.0]), near),
        "tight, other patients": (np.array([0.0001, -0.0001, 0.0002]), Interval(0.0, -0.02, 0.01)),
        "two seeds": (np.array([0.0, 0.0001]), near),
    }
    table = margins.equivalence_table(questions)
    assert list(table.loc["tight", ["within 0.0025", "within 0.005", "within 0.01"]]) == ["equal"] * 3
    assert list(table.loc["loose", ["within 0.0025", "within 0.005", "within 0.01"]]) == ["not shown"] * 2 + ["equal"]
    assert "others not shown" in table.loc["tight, other patients", "within 0.005"]
    assert "no verdict" in table.loc["two seeds", "within 0.01"]
    assert "within 0.005: p (Holm, 3 questions)" in table.columns, "two seeds have no p"


def test_what_lies_above_a_bound_has_a_one_sided_interval_above_it():
    rng = np.random.default_rng(3)
    answers = set()
    for _ in range(50):
        differences = rng.normal(-0.005, 0.004, 5)
        low, _ = stats.t.interval(0.90, 4, differences.mean(), stats.sem(differences))
        answers.add(low > -0.01)
        assert (margins.above(differences, -0.01) < 0.05) == (low > -0.01)
    assert answers == {True, False}
    assert np.isnan(margins.above(np.array([0.1, 0.2]), 0)), "two seeds show nothing"
    assert [margins.above(np.full(3, value), -0.01) for value in (-0.009, -0.01, -0.011)] == [0, 1, 1]


def test_a_goal_is_reached_or_missed_by_both_intervals_and_else_open():
    above, below, around = Interval(0.92, 0.91, 0.93), Interval(0.87, 0.86, 0.88), Interval(0.90, 0.88, 0.92)
    assert margins.reached(0.9, above, above) == "reached"
    assert margins.reached(0.9, below, below) == "missed"
    for pair in ((above, around), (below, around), (around, above), (below, above)):
        assert margins.reached(0.9, *pair) == "open"
    assert margins.reached(0.91, above, above) == "open", "on the goal is not above it"
    assert margins.reached(0.9, Interval(0.95, -np.inf, np.inf), above) == metrics.FEW, "one seed has no interval"
