"""Numbers of the median beat on records whose beat is known; baselines on simulated records."""

import numpy as np
import pytest

from ecglib import median_beat
from ecglib.data import ptbxl


def known_record(leads=2, noise=0.0):
    """Ten seconds at 60 beats a minute: R of 1 mV (lead 0) or -0.5 mV (lead 1), T of 0.3 or -0.15 mV 300 ms later."""
    time = np.arange(1000)
    record = np.zeros((leads, 1000))
    for peak in range(50, 1000, 100):
        wave = np.exp(-(((time - peak) / 1.5) ** 2)) + 0.3 * np.exp(-(((time - peak - 30) / 5) ** 2))
        record += np.array([1.0, -0.5])[:leads, None] * wave
    return record + noise * np.random.default_rng(0).normal(size=record.shape)


@pytest.mark.parametrize("noise", [0.0, 0.02])
def test_numbers_of_a_known_beat(noise):
    record = known_record(noise=noise) + 3.0  # an offset of the whole lead says nothing
    peaks = median_beat.r_peaks(record)
    assert np.abs(peaks - np.arange(50, 1000, 100)).max() <= 2
    found = median_beat.describe(record)
    assert found.shape == (30 * 2 + 3,) == (median_beat.OF_LEAD * 2 + median_beat.OF_RECORD,)
    high, low, _, st, wave, qrs = found[:12].reshape(6, 2)
    assert high == pytest.approx([1.0, 0.0], abs=0.05)
    assert low == pytest.approx([0.0, -0.5], abs=0.05)
    assert st == pytest.approx([0.0, 0.0], abs=0.05)
    assert wave == pytest.approx([0.3, -0.15], abs=0.05)
    assert qrs == pytest.approx([1.0, 0.5], abs=0.08)
    assert found[-3:] == pytest.approx([1.0, 0.0, 10.0], abs=0.03)


def test_a_record_without_beats_has_numbers_too():
    found = median_beat.describe(np.full((12, 1000), 0.4))
    assert found.shape == (363,)
    assert (found == 0).all()


def test_baselines_are_repeatable_and_better_than_chance(simulated_root):
    records = ptbxl.load_records(simulated_root)
    first, again = (median_beat.baselines(records) for _ in range(2))
    for name, answered in first.items():
        assert (answered.scores == again[name].scores).all(), name
    table = median_beat.baseline_results(first, records)
    assert table.loc["boosted trees, all leads", "numbers a record"] == 363
    assert table.loc["boosted trees, lead I", "numbers a record"] == 33
    assert float(table["macro-AUC, over patients"].iloc[0][:5]) > 0.6
