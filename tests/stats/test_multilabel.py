"""Calibration of a multi-label classifier against slow loops and cases whose answer is known."""

import warnings

import numpy as np
import pytest

from ecglib.classifier import tables, training
from ecglib.core.errors import EcglibError
from ecglib.stats import metrics, multilabel


def slow_calibration_error(targets, probabilities):
    total = 0.0
    for column in range(targets.shape[1]):
        for number in range(multilabel.BINS):
            low, high = number / multilabel.BINS, (number + 1) / multilabel.BINS
            last = number == multilabel.BINS - 1
            members = [
                row
                for row in range(len(targets))
                if low <= probabilities[row, column] < high or (last and probabilities[row, column] == 1)
            ]
            if members:
                said = sum(probabilities[row, column] for row in members) / len(members)
                true = sum(targets[row, column] for row in members) / len(members)
                total += len(members) / len(targets) * abs(said - true)
    return total / targets.shape[1]


def test_calibration_error_is_its_definition():
    rng = np.random.default_rng(0)
    probabilities = rng.random((200, 5))
    probabilities[0] = 1.0
    targets = (rng.random((200, 5)) < 0.5).astype(int)
    found = multilabel.calibration_error(targets, probabilities)
    assert found == pytest.approx(slow_calibration_error(targets, probabilities))


def test_known_cases():
    targets = np.tile([[1, 0, 1, 0, 1]], (10, 1))
    assert multilabel.brier(targets, targets.astype(float)) == multilabel.calibration_error(targets, 1.0 * targets) == 0
    assert multilabel.brier(targets, np.full((10, 5), 0.5)) == 0.25
    assert multilabel.calibration_error(targets, np.full((10, 5), 0.5)) == pytest.approx(0.5)
    half = np.zeros((10, 5), dtype=int)
    half[:5] = 1
    assert multilabel.calibration_error(half, np.full((10, 5), 0.5)) == 0, "right half of the time, as it says"
    assert multilabel.calibration_error(half, np.full((10, 5), 0.8)) == pytest.approx(0.3)


def test_resamples_of_the_brier_score_draw_whole_patients():
    """As slow loops over the patients that `metrics.resampled` draws."""
    rng = np.random.default_rng(0)
    targets, probabilities = rng.integers(2, size=(12, 5)), rng.random((12, 5))
    patients = np.array([3, 3, 3, 1, 1, 7, 7, 7, 7, 2, 2, 5])
    found = multilabel.resampled_brier(targets, probabilities, patients)
    draws = metrics._draws(5, metrics.RESAMPLES, 0)
    names = np.unique(patients)
    for number in (0, 1, 999):
        squares = []
        for name, count in zip(names, draws[number], strict=True):
            for row in np.flatnonzero(patients == name):
                squares += [(probabilities[row, n] - targets[row, n]) ** 2 for n in range(5)] * int(count)
        assert found[number] == pytest.approx(np.mean(squares))
    same = multilabel.resampled_brier(targets, np.full((12, 5), 0.5), patients)
    assert same == pytest.approx(np.full(metrics.RESAMPLES, 0.25)), "nothing to draw: every record errs alike"


def test_a_resample_without_a_class_has_the_mean_of_the_others():
    rng = np.random.default_rng(2)
    targets = np.column_stack([rng.random(60) < 0.5, np.arange(60) < 2]).astype(int)
    scores = rng.normal(size=(60, 2))
    patients = np.arange(60)
    found = multilabel.resampled_auc(targets, scores, patients)
    each = [metrics.resampled_auc(targets[:, n] == 1, scores[:, n], patients) for n in range(2)]
    lacking = np.isnan(each[1])
    assert 0 < lacking.sum() < len(found)
    np.testing.assert_allclose(found, np.nanmean(each, axis=0))
    nothing = multilabel.resampled_auc(np.zeros((60, 2), int), scores, patients)
    assert nothing.shape == found.shape
    assert np.isnan(nothing).all()


def test_the_calibration_table_is_made_of_every_seed():
    rng = np.random.default_rng(1)
    targets = (rng.random((60, 5)) < 0.4).astype(int)
    logits = [rng.normal(size=(60, 5)) + 2 * targets for _ in range(3)]
    table = tables.calibration({"net": logits, "net, INT8": logits[:1]}, targets, np.arange(60))
    said = [training.probabilities(one) for one in logits]
    scores = metrics.mean_interval([multilabel.brier(targets, one) for one in said])
    assert table.loc["net", "Brier score, over seeds"] == f"{scores.value:.4f} [{scores.low:.4f}, {scores.high:.4f}]"
    errors = metrics.mean_interval([multilabel.calibration_error(targets, one) for one in said])
    column = "expected calibration error (10 bins of equal width), over seeds"
    assert table.loc["net", column] == f"{errors.value:.4f} [{errors.low:.4f}, {errors.high:.4f}]"
    low, high = (float(one) for one in table.loc["net", "Brier score, over patients"].strip("[]").split(", "))
    assert low < scores.value < high
    assert table["seeds"].tolist() == ["3", "1", "no seed"]
    assert "fewer than 3 seeds" in table.loc["net, INT8", "macro-AUC"]


def test_who_always_says_each_classs_share_is_calibrated_and_knows_nothing():
    targets = np.zeros((20, 5), dtype=int)
    targets[:5] = 1
    row = tables.calibration({}, targets, np.arange(20)).loc[tables.CONSTANT]
    assert row["macro-AUC"] == "0.500"
    assert row["Brier score, over seeds"] == "0.1875", "p (1 - p)"
    assert row[tables.CALIBRATION] == "0.0000"


def test_without_any_class_the_means_are_nan_and_nothing_warns():
    targets, scores = np.zeros((4, 2), np.uint8), np.random.default_rng(0).random((4, 2))
    with warnings.catch_warnings():
        warnings.simplefilter("error")
        found = multilabel.class_metrics(targets, scores, ("a", "b"))
        assert np.isnan(multilabel.macro_auc(targets, scores))
    assert set(found) == {"auc", "ap"}
    assert np.isnan(list(found.values())).all()


@pytest.mark.parametrize(
    ("targets", "scores", "message"),
    [
        (np.zeros((4, 2)), np.zeros((4, 1)), "do not fit"),
        (np.zeros(4), np.zeros(4), r"both must be \(N, C\)"),
        (np.full((4, 2), 2), np.zeros((4, 2)), "Labels are"),
        (np.full((4, 2), np.nan), np.zeros((4, 2)), "Labels are"),
        (np.zeros((4, 2)), np.full((4, 2), np.nan), "8 of 8 scores are not finite"),
        (np.zeros((4, 2)), np.ma.masked_less(np.eye(4)[:, :2], 1), "6 of 8 values are masked"),
    ],
)
def test_what_does_not_fit_is_refused_at_the_door(targets, scores, message):
    for measure in (multilabel.macro_auc, multilabel.brier, multilabel.calibration_error):
        with pytest.raises(EcglibError, match=message):
            measure(targets, scores)
    with pytest.raises(EcglibError, match=message):
        multilabel.class_metrics(targets, scores, ["a", "b"])


def test_names_fit_columns_and_logits_are_no_probabilities():
    targets, scores = np.eye(3), np.eye(3)
    for names in (["a", "b"], ["a", "b", "a"]):
        with pytest.raises(EcglibError, match="names of classes, all different, must fit"):
            multilabel.class_metrics(targets, scores, names)
    for measure in (multilabel.brier, multilabel.calibration_error):
        with pytest.raises(EcglibError, match="are these logits"):
            measure(targets, 5 * scores)
