"""Numbers of the median beat on records whose beat is known; baselines on simulated records."""

from dataclasses import replace
from types import SimpleNamespace

import numpy as np
import pandas as pd
import pytest

from ecglib.classifier import baselines
from ecglib.core.errors import EcglibError
from ecglib.data import ptbxl
from ecglib.data.ptbxl import SUPERCLASSES
from ecglib.stats import multilabel


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
    peaks = baselines.r_peaks(record)
    assert np.abs(peaks - np.arange(50, 1000, 100)).max() <= 2
    found = baselines.describe(record)
    assert found.shape == (30 * 2 + 3,) == ((6 + (baselines.BEFORE + baselines.AFTER) // baselines.STEP) * 2 + 3,)
    high, low, _, st, wave, qrs = found[:12].reshape(6, 2)
    assert high == pytest.approx([1.0, 0.0], abs=0.05)
    assert low == pytest.approx([0.0, -0.5], abs=0.05)
    assert st == pytest.approx([0.0, 0.0], abs=0.05)
    assert wave == pytest.approx([0.3, -0.15], abs=0.05)
    assert qrs == pytest.approx([1.0, 0.5], abs=0.08)
    assert found[-3:] == pytest.approx([1.0, 0.0, 10.0], abs=0.03)


def test_a_record_without_beats_has_numbers_too():
    found = baselines.describe(np.full((12, 1000), 0.4))
    assert found.shape == (363,)
    assert (found == 0).all()


def test_few_peaks_have_numbers_too():
    """One whole beat has no RR interval; beats that the record's ends cut off leave a flat line at the lead's level."""
    record = known_record()
    one = record.copy()
    one[:, 200:] = 0
    one[:, :100] = 0
    found = baselines.describe(one)
    assert found[:2] == pytest.approx([1.0, 0.0], abs=0.05)
    assert found[-3:].tolist() == [0, 0, 1]
    cut = np.zeros_like(record)
    cut[:, :36] = record[:, 30:66]  # a peak 20 samples after the beginning
    assert len(baselines.r_peaks(cut)) == 1
    beat = baselines.median_beat(cut, baselines.r_peaks(cut))
    assert beat.shape == (2, 96)
    assert (beat == 0).all()
    assert baselines.describe(cut)[-1] == 1


@pytest.fixture(scope="module")
def found(records):
    return baselines.baselines(records)


def test_answers_are_repeatable_and_owe_nothing_to_the_labels_of_test_records(found, records):
    targets, test = records.targets.copy(), ptbxl.benchmark_split(records).test
    targets[test] = 1 - targets[test]
    again = baselines.baselines(replace(records, targets=targets))
    assert list(again) == list(found)
    for name, answered in found.items():
        assert (answered.scores == again[name].scores).all(), name


def test_the_table_has_the_networks_beside_the_trees(found, records):
    test = ptbxl.benchmark_split(records).test
    targets, patients = records.targets[test], records.patients[test]
    logits = np.random.default_rng(0).normal(size=(2, *targets.shape)) + targets

    def run(scores):
        predictions = {"test_logits": scores, "test_patients": patients}
        history = pd.DataFrame({"seconds": [20.0, 30.0]})
        return SimpleNamespace(predictions=predictions, history=history, leads=list(range(12)))

    table = baselines.baseline_results(found, records, {"network": [run(scores) for scores in logits]})
    assert list(table.index) == [*found, "network"]
    trees, network = table.loc[baselines.TREES], table.loc["network"]
    expected = multilabel.auc_interval(targets, found[baselines.TREES].scores, patients)
    assert trees["macro-AUC, over patients"] == f"{expected.value:.3f} [{expected.low:.3f}, {expected.high:.3f}]"
    assert expected.value > 0.6
    assert table["numbers a record"].tolist() == ["363", "363", "33", "12,000"]
    assert table["seeds"].tolist() == ["no seed"] * 3 + ["2"]
    assert (network["seconds"], trees["trees minus it, over patients"]) == ("50", "-")
    mean = np.mean([multilabel.class_metrics(targets, scores, SUPERCLASSES)["auc"] for scores in logits])
    assert float(network["trees minus it, over patients"].split(" ")[0]) == pytest.approx(
        expected.value - mean, abs=6e-4
    )
    norm = np.mean([multilabel.class_metrics(targets, scores, SUPERCLASSES)["auc_NORM"] for scores in logits])
    assert float(network["NORM"]) == pytest.approx(norm, abs=6e-4)
    other = run(logits[0])
    other.predictions["test_patients"] = patients[::-1]
    with pytest.raises(EcglibError, match="network was tested on other records than the"):
        baselines.baseline_results(found, records, {"network": [other]})


def test_records_that_cannot_be_learned_from_are_named(records):
    without = records.targets.copy()
    without[:, 4] = 0
    with pytest.raises(EcglibError, match="training records lack HYP: fetch more"):
        baselines.baselines(replace(records, targets=without))
    with pytest.raises(EcglibError, match="records at hand is for test"):
        baselines.baselines(replace(records, folds=np.ones_like(records.folds) * 9 - (np.arange(len(records)) % 2)))
