"""Calibration of a multi-label classifier against slow loops and cases whose answer is known."""

import numpy as np
import pytest

from ecglib import multilabel


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
