"""What R3's program left beside each label, against the program's own steps on a small table."""

from itertools import permutations

import numpy as np
import pytest
from sklearn.metrics import roc_auc_score
from torch import nn

from ecglib.classifier import slips
from ecglib.data import ptbxl
from ecglib.data.ptbxl import SUPERCLASSES, Scaler
from ecglib.stats.multilabel import class_metrics


def program(labelled, one_by_one):
    """The two deletions, spelt out: signals by one-based number, labels by position."""
    signals, labels = [f"record {n}" for n in range(len(labelled))], [f"record {n}" for n in range(len(labelled))]
    numbers = [n + 1 for n in range(len(labelled)) if not labelled[n]]
    if one_by_one:
        for number in numbers:
            del signals[number]
    else:
        signals = [signal for n, signal in enumerate(signals) if n not in numbers]
    labels = [label for n, label in enumerate(labels) if labelled[n]]
    return signals, labels


@pytest.mark.parametrize("one_by_one", [False, True])
def test_the_slip_is_the_programs(one_by_one):
    labelled = np.array([True, False, True, True, False, False, True, True, True, False, *[True] * 5])
    signals, labels = program(labelled, one_by_one)
    found = slips.signals_beside(labelled, one_by_one)
    assert [f"record {n}" for n in found] == signals
    assert len(signals) == len(labels)


def test_how_far_the_slip_goes():
    """At once, one label stands beside a wrong signal for each record without one; one by one, the error adds up."""
    labelled = np.ones(1000, dtype=bool)
    labelled[np.arange(10, 1000, 20)] = False
    own = np.flatnonzero(labelled)
    wrong = [(slips.signals_beside(labelled, way) != own).mean() for way in (False, True)]
    assert wrong[0] == pytest.approx(50 / 950)
    assert wrong[1] > 0.7


def test_a_last_record_without_label_is_passed_over():
    for way in (False, True):
        assert slips.signals_beside(np.array([True, True, False]), way).tolist() == [0, 1]


def test_no_record_without_a_label_is_no_slip():
    for way in (False, True):
        assert slips.signals_beside(np.ones(4, dtype=bool), way).tolist() == [0, 1, 2, 3]


def test_a_share_of_the_pairs_is_wrong_and_nothing_is_lost():
    scores = np.arange(200.0).reshape(100, 2)
    found = slips.mispaired(scores, 0.75)
    assert (found[:, 0] != scores[:, 0]).sum() == 75
    assert sorted(found[:, 1]) == sorted(scores[:, 1])
    assert (found[:, 1] - found[:, 0] == 1).all(), "rows stay whole"


def test_the_auc_of_wrong_pairs_is_drawn_again_and_again():
    rng = np.random.default_rng(0)
    targets = (rng.random((80, 5)) < 0.4).astype(np.uint8)
    scores = targets + rng.normal(size=(80, 5))
    found = slips.auc_mispaired(targets, scores, 0.75, draws=3)
    expected = [class_metrics(targets, slips.mispaired(scores, 0.75, seed), SUPERCLASSES)["auc"] for seed in range(3)]
    assert found == pytest.approx(np.array(expected))
    assert len(set(found)) == 3
    whole = class_metrics(targets, scores, SUPERCLASSES)["auc"]
    assert slips.auc_mispaired(targets, scores, 0, draws=2) == pytest.approx(np.array([whole, whole]))


def test_every_other_order_of_the_labels():
    rng = np.random.default_rng(0)
    targets = (rng.random((60, 5)) < 0.4).astype(np.uint8)
    scores = targets + rng.normal(size=(60, 5))
    orders = [order for order in permutations(range(5)) if order != (0, 1, 2, 3, 4)]
    expected = [class_metrics(targets, scores[:, list(order)], SUPERCLASSES)["auc"] for order in orders]
    assert slips.auc_in_other_orders(targets, scores) == pytest.approx(np.array(expected))
    assert np.mean(expected) == pytest.approx(0.5, abs=0.05)


class FirstSamples(nn.Module):
    """Answers with the first sample of five leads, which tells whose signal it was asked about."""

    def forward(self, x):
        return x[:, :5, 0]


def test_each_mistake_asks_about_the_signals_that_it_leaves_beside_the_labels(simulated_root):
    records, index = ptbxl.load_records(simulated_root), ptbxl.load_index(simulated_root)
    labelled, signals = index[list(SUPERCLASSES)].any(axis=1).to_numpy(), ptbxl.load_signals(simulated_root, index)
    members = np.random.default_rng(0).permutation(len(records))[:150]
    found = slips.mistakes([FirstSamples()], Scaler.none(12), records, members, simulated_root)

    def auc(positions):
        return roc_auc_score(records.targets[members], signals[positions][members][:, :5, 0], average="macro")

    own = np.flatnonzero(labelled)
    assert found[slips.IN_PLACE] == (0, pytest.approx([auc(own)]))
    for name, one_by_one in (("deleted at once", False), ("deleted one by one", True)):
        kept, _ = program(labelled, one_by_one)
        beside = np.array([int(one.split()[1]) for one in kept][: len(own)])
        share, aucs = found[f"signals slipped, {name}"]
        assert (share, aucs) == (pytest.approx((beside != own).mean()), pytest.approx([auc(beside)]))
    assert share > 0 and auc(beside) != pytest.approx(auc(own), abs=1e-4)
    assert found["as many wrong pairs as in the whole index, at random"][0] == pytest.approx(share)
    assert [len(aucs) for _, aucs in found.values()] == [1, 1, 1, 100, 119, 1190]
