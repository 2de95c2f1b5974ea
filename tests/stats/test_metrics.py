"""Metrics against scikit-learn and slow loops; intervals against closed forms and simulation."""

import numpy as np
import pytest
from scipy import stats
from sklearn.metrics import average_precision_score, f1_score, roc_auc_score

from ecglib.core.errors import EcglibError
from ecglib.stats import metrics


def sample(count=300, seed=0, ties=True):
    rng = np.random.default_rng(seed)
    abnormal = rng.random(count) < 0.3
    scores = rng.normal(size=count) + abnormal
    return abnormal, np.round(scores, 1) if ties else scores


def bootstrap(abnormal, scores, groups=None, seed=0):
    values = metrics.resampled(abnormal, scores, groups, seed=seed)["auc"]
    return metrics.percentiles(metrics.auc(abnormal, scores), values)


@pytest.mark.parametrize("groups", [5, 300, None], ids=["five patients", "everybody alone", "beats"])
def test_the_quick_way_to_resampled_aucs_gives_the_same_bits(groups):
    abnormal, scores = sample()
    members = None if groups is None else np.random.default_rng(1).permutation(300) % groups
    found = metrics.resampled_auc(abnormal, scores, members)
    np.testing.assert_array_equal(found, metrics.resampled(abnormal, scores, members)["auc"])


def test_a_resample_without_a_class_has_no_auc():
    """The abnormal beats are one patient's, whom some resamples leave out."""
    abnormal, scores = np.arange(30) < 3, np.random.default_rng(0).normal(size=30)
    found = metrics.resampled_auc(abnormal, scores, np.arange(30) // 3)
    assert 0 < np.isnan(found).mean() < 0.5
    np.testing.assert_array_equal(found, metrics.resampled(abnormal, scores, np.arange(30) // 3)["auc"])


def test_auc_is_the_share_of_pairs_in_order():
    abnormal, scores = sample()
    pairs = [(a > n) + 0.5 * (a == n) for a in scores[abnormal] for n in scores[~abnormal]]
    assert metrics.auc(abnormal, scores) == pytest.approx(np.mean(pairs))
    assert np.isnan(metrics.auc(np.zeros(4, bool), np.arange(4.0)))


def weighted(abnormal, scores, weights):
    """AUC and average precision under each row of `weights`: what a bootstrap resample is computed with."""
    hits, false_alarms = metrics._cumulated(metrics._ranked(abnormal, scores), weights)
    return metrics._area(hits, false_alarms), metrics._precision(hits, false_alarms)


@pytest.mark.parametrize("ties", [True, False])
def test_weighted_statistics_equal_scikit_learn(ties):
    abnormal, scores = sample(ties=ties)
    weights = np.random.default_rng(1).integers(0, 4, size=(5, len(scores)))
    assert np.issubdtype(weights.dtype, np.integer)
    halves = weighted(abnormal, scores, weights / 2)
    np.testing.assert_allclose(halves, weighted(abnormal, scores, weights))
    for row, area, precision in zip(weights, *weighted(abnormal, scores, weights), strict=True):
        assert area == pytest.approx(roc_auc_score(abnormal, scores, sample_weight=row))
        assert precision == pytest.approx(average_precision_score(abnormal, scores, sample_weight=row))


def test_best_f1_against_all_thresholds():
    abnormal, scores = sample(120)
    slow = max(f1_score(abnormal, scores >= threshold) for threshold in scores)
    value, threshold = metrics.best_f1(abnormal, scores)
    assert value == pytest.approx(slow)
    assert metrics.f1_at(abnormal, scores, threshold) == pytest.approx(slow)
    assert metrics.f1_at(abnormal, scores, np.inf) == 0


def test_per_class_auc_compares_each_class_with_n_alone():
    labels = np.array(["N", "N", "N", "V", "V", "S"])
    scores = np.array([0.1, 0.2, 0.3, 0.9, 0.25, 0.0])
    assert metrics.per_class_auc(labels, scores) == pytest.approx({"V": 5 / 6, "S": 0.0})


def test_bootstrap_over_beats_matches_the_known_variance():
    abnormal, scores = sample(4000, ties=False)
    interval = bootstrap(abnormal, scores)
    # Hanley and McNeil (1982): standard error of an AUC.
    area, n_a, n_n = interval.value, abnormal.sum(), (~abnormal).sum()
    q1, q2 = area / (2 - area), 2 * area**2 / (1 + area)
    variance = (area * (1 - area) + (n_a - 1) * (q1 - area**2) + (n_n - 1) * (q2 - area**2)) / (n_a * n_n)
    assert (interval.high - interval.low) / (2 * 1.96) == pytest.approx(np.sqrt(variance), rel=0.15)


def test_bootstrap_over_patients_draws_whole_patients():
    """Ten copies of each beat in one patient: the interval must be as wide as without the copies."""
    abnormal, scores = sample(400)
    alone = bootstrap(abnormal, scores, np.arange(400), seed=3)
    copies = bootstrap(np.repeat(abnormal, 10), np.repeat(scores, 10), np.repeat(np.arange(400), 10), seed=3)
    naive = bootstrap(np.repeat(abnormal, 10), np.repeat(scores, 10), seed=3)
    assert copies.value == pytest.approx(alone.value)
    assert (copies.low, copies.high) == pytest.approx((alone.low, alone.high))
    assert naive.high - naive.low < 0.5 * (copies.high - copies.low)


def test_bootstrap_repeats_with_its_seed():
    abnormal, scores = sample()
    first, again, other = (bootstrap(abnormal, scores, seed=seed) for seed in (0, 0, 1))
    assert first == again != other


def test_mean_interval_is_students():
    values = [0.93, 0.94, 0.95, 0.96]
    interval = metrics.mean_interval(values)
    low, high = stats.t.interval(0.95, 3, loc=np.mean(values), scale=stats.sem(values))
    assert (interval.value, interval.low, interval.high) == pytest.approx((0.945, low, high))
    assert metrics.mean_interval([0.9]).high == np.inf


def test_a_mean_is_resampled_by_whole_groups():
    """Ten equal beats a patient say no more of other patients than one beat does."""
    patients = np.repeat(np.arange(200), 10)
    values = np.random.default_rng(0).normal(3, 2, size=200)[patients]
    drawn = metrics.resampled_mean(values, patients)
    assert drawn.mean() == pytest.approx(values.mean(), abs=0.02)
    assert drawn.std() == pytest.approx(values.std() / np.sqrt(200), rel=0.1)


def test_anomaly_metrics_takes_the_corrected_threshold_from_validation():
    abnormal, scores = sample(400)
    labels = np.where(abnormal, "V", "N")
    validation, test = slice(0, 150), slice(150, None)
    result = metrics.anomaly_metrics(labels[test], scores[test], np.arange(250), labels[validation], scores[validation])
    _, threshold = metrics.best_f1(abnormal[validation], scores[validation])
    assert result["f1_threshold"] == threshold
    assert result["f1"] == pytest.approx(f1_score(abnormal[test], scores[test] >= threshold))
    assert result["f1_threshold_on_test"] >= result["f1"]
    assert result["auc_low_beats"] < result["auc"] < result["auc_high_beats"]
    assert result["auc_V"] == pytest.approx(result["auc"])


def test_resamples_of_two_models_are_the_same_beats():
    """Two models that rank alike have equal AUCs in every resample, not only on average."""
    abnormal, scores = sample(ties=False)
    first, second = (metrics.resampled(abnormal, values) for values in (scores, 3 * scores + 1))
    np.testing.assert_array_equal(first["auc"], second["auc"])
    np.testing.assert_array_equal(first["ap"], second["ap"])
    assert first["auc"].std() > 0


def test_labels_may_be_bool_or_0_and_1_and_nothing_else():
    """`~` of an integer 1 is -2: false alarms were counted as negative numbers."""
    rng = np.random.default_rng(0)
    abnormal = rng.random(300) < 0.3
    scores = rng.normal(size=300) + abnormal
    numbers = abnormal.astype(np.uint8), abnormal.astype(np.int64), abnormal.astype(float)
    ways = [
        metrics.auc,
        metrics.average_precision,
        metrics.best_f1,
        lambda labels, found: metrics.f1_at(labels, found, 0.5),
        lambda labels, found: metrics.resampled(labels, found, resamples=5)["auc"].tolist(),
        lambda labels, found: metrics.resampled(labels, found, resamples=5)["ap"].tolist(),
        lambda labels, found: [value.tolist() for value in metrics.resampled(labels, found, resamples=3).values()],
    ]
    for way in ways:
        for labels in numbers:
            assert way(labels, scores) == way(abnormal, scores)
        with pytest.raises(EcglibError, match="True or 1 for abnormal"):
            way(np.where(abnormal, 1, -1), scores)


LABELS, SCORES = np.arange(10) >= 5, np.arange(10.0)
FAULTS = {
    "a missing score": (LABELS, np.where(SCORES == 3, np.nan, SCORES), None, "1 of 10 scores are not finite, .* 3"),
    "endless scores": (LABELS, np.where(LABELS, np.inf, -np.inf), None, "10 of 10 scores are not finite"),
    "a masked score": (LABELS, np.ma.masked_equal(SCORES, 3), None, "1 of 10 values are masked"),
    "masked labels": (np.ma.array(LABELS, mask=LABELS), SCORES, None, "5 of 10 values are masked"),
    "words": (LABELS, np.array(list("abcdefghij")), None, "Scores are no numbers"),
    "unequal lengths": (LABELS, SCORES[:4], None, r"Labels \(10,\) and scores \(4,\)"),
    "a table": (LABELS[None], SCORES[None], None, r"both must be \(N,\)"),
    "nothing": (LABELS[:0], SCORES[:0], None, "N being at least 1"),
    "other labels": (LABELS + 1, SCORES, None, "give True or 1 for abnormal"),
    "missing groups": (LABELS, SCORES, np.where(SCORES == 3, np.nan, 1.0), "1 of 10 groups are missing"),
    "too few groups": (LABELS, SCORES, np.zeros(9), "do not fit 10 scores"),
}
ALL = {
    "auc": lambda y, s, g: metrics.auc(y, s),
    "average_precision": lambda y, s, g: metrics.average_precision(y, s),
    "f1_at": lambda y, s, g: metrics.f1_at(y, s, 0.5),
    "best_f1": lambda y, s, g: metrics.best_f1(y, s),
    "resampled": metrics.resampled,
    "resampled_auc": metrics.resampled_auc,
}


GROUPED = ("resampled", "resampled_auc")  # the metrics that look at groups


@pytest.mark.parametrize(
    ("metric", "fault"),
    [(metric, fault) for fault, given in FAULTS.items() for metric in (ALL if given[2] is None else GROUPED)],
)
def test_every_metric_refuses_what_has_no_answer_in_one_line(metric, fault):
    labels, scores, groups, message = FAULTS[fault]
    with pytest.raises(EcglibError, match=message) as found:
        ALL[metric](labels, scores, groups)
    assert "\n" not in str(found.value)


def test_lists_and_whole_numbers_are_taken_for_what_they_are():
    groups = [0, 1] * 5
    for metric in ALL.values():
        expected, found = metric(LABELS, SCORES, np.array(groups)), metric([0] * 5 + [1] * 5, list(range(10)), groups)
        np.testing.assert_equal(found, expected)


def test_no_run_has_no_mean_and_equal_scores_cannot_be_stretched():
    with pytest.raises(EcglibError, match="no run is finished"):
        metrics.mean_interval([])
    with pytest.raises(EcglibError, match="cannot be stretched"):
        metrics.min_max(np.full(4, 2.0))
