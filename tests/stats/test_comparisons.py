"""Verdicts and their power, against SciPy's own tests and against simulated trainings."""

import numpy as np
import pytest
from scipy import stats

from ecglib.stats import comparisons, metrics
from ecglib.stats.comparisons import Comparison
from ecglib.stats.metrics import Interval


def compared(differences, patients=(0.001, 0.02)):
    differences = np.asarray(differences, dtype=float)
    mean = float(differences.mean())
    others = Interval(mean, *patients)
    p = comparisons.p_value(differences)
    return Comparison(differences, metrics.mean_interval(differences), others, others, p)


@pytest.mark.parametrize(("seeds", "questions"), [(3, 1), (5, 1), (5, 9)])
def test_the_detectable_difference_is_found_in_four_of_five_simulated_studies(seeds, questions):
    rng = np.random.default_rng(0)
    centred = rng.normal(0, 0.01, seeds)
    centred -= centred.mean()
    found = compared(centred).detectable(questions)
    truth = rng.normal(found, centred.std(ddof=1), (100_000, seeds))
    power = (stats.ttest_1samp(truth, 0, axis=1).pvalue < 0.05 / questions).mean()
    assert power == pytest.approx(0.8, abs=0.01)


def test_two_seeds_can_show_nothing():
    assert compared([0.01, 0.02]).detectable() == float("inf")
    assert comparisons.shown_detectable(compared([0.01, 0.02])) == "-"
    assert np.isnan(compared([0.01, 0.02]).p)


def test_a_difference_that_no_two_aucs_have_is_not_shown_as_one_that_could_have_been():
    wide = compared([-0.4, 0.1, 0.4])
    assert 1 < wide.detectable() < float("inf")
    assert comparisons.shown_detectable(wide) == "-"


def test_unpaired_is_welchs_test():
    rng = np.random.default_rng(1)
    one, other = rng.normal(0.94, 0.002, 5), rng.normal(0.87, 0.03, 10)
    expected = stats.ttest_ind(one, other, equal_var=False)
    found = comparisons.unpaired(one, other)
    interval = expected.confidence_interval(0.95)
    assert found.p == pytest.approx(expected.pvalue)
    assert (found.over_seeds.low, found.over_seeds.high) == pytest.approx((interval.low, interval.high))
    assert found.counts == (5, 10)


def test_something_without_a_seed_is_compared_with_the_mean_of_the_others():
    others = np.array([0.85, 0.88, 0.90, 0.87])
    found, expected = comparisons.unpaired(0.95, others), stats.ttest_1samp(others, 0.95)
    interval = expected.confidence_interval(0.95)
    assert found.p == pytest.approx(expected.pvalue)
    assert (found.over_seeds.low, found.over_seeds.high) == pytest.approx((0.95 - interval.high, 0.95 - interval.low))


@pytest.mark.parametrize(
    ("one", "other"), [([0.9], [0.8]), ([0.9, 0.91], [0.8, 0.81, 0.82]), ([0.9], [0.8, 0.81, 0.82]), (0.9, 0.8)]
)
def test_too_few_runs_have_no_welch_interval(one, other):
    found = comparisons.unpaired(one, other)
    assert np.isnan(found.p) and np.isinf(found.over_seeds.low) and found.detectable() == float("inf")


def test_a_verdict_tells_whether_the_reports_difference_is_excluded():
    small = compared([-0.001, 0.001, 0.002, -0.002, 0.0005])
    wide = compared([-0.02, 0.03, 0.01, -0.02, 0.005])
    assert comparisons.verdict(small, 0.9, claimed=0.0092) == "no difference shown: excludes the report's +0.0092"
    assert comparisons.verdict(wide, 0.9, claimed=0.0092).startswith(
        "cannot tell: the report's +0.0092 is not excluded"
    )
    assert comparisons.verdict(wide, 0.9) == "no difference shown"
    assert comparisons.verdict(small, float("nan")) == "fewer than 3 seeds: no verdict"
    # Where the interval, which is not corrected, excludes 0, the words say so.
    clear = compared([0.0060, 0.0050, 0.0055, 0.0045, 0.0050])
    assert clear.over_seeds.excludes_zero
    assert comparisons.verdict(clear, 0.06, claimed=0.005) == (
        "cannot tell: the report's +0.0050 is not excluded, nor is 0 after Holm's correction"
    )
    assert comparisons.verdict(clear, 0.06) == "no difference shown after Holm's correction"


def test_a_family_is_what_can_be_tested():
    """Holm's factor, the heading and the power are those of one number of questions."""
    seeds = {"a": [0.01, 0.011, 0.0105], "b": [0.01, -0.02, 0.01], "too few": [0.01, 0.02]}
    three = {name: compared(differences) for name, differences in seeds.items()}
    judged = comparisons.family(three)
    assert judged["a"].p == pytest.approx(2 * three["a"].p)
    assert {one.header for one in judged.values()} == {"p (Holm, 2 questions)"}
    assert judged["a"].detectable() == comparisons.shown_detectable(three["a"], 2)
    assert comparisons.family({"x": three["too few"], "y": three["too few"]})["x"].header == "p (Holm, 2 questions)"


def test_rounding_is_no_difference():
    found = metrics.without_rounding(np.array([1e-16, -1e-16, 0.0, 0.001]))
    assert found.tolist() == [0, 0, 0, 0.001]


def test_an_unpaired_verdict_asks_other_patients_too():
    found = comparisons.unpaired([0.95, 0.951, 0.952], [0.85, 0.86, 0.87])
    assert comparisons.verdict(found, found.p, over_patients=Interval(0.09, 0.01, 0.2)) == "better"
    assert "others not shown" in comparisons.verdict(found, found.p, over_patients=Interval(0.09, -0.01, 0.2))
