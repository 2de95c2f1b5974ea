"""The last quarter of a training: the mean of the weights and of the metrics, against literal ones."""

import copy

import numpy as np
import pytest
import torch
from sklearn.metrics import roc_auc_score

from ecglib.beatgan import training
from ecglib.beatgan.networks import Generator, anomaly_scores
from ecglib.beatgan.quarter import LastQuarter, late_metrics, late_resampled
from ecglib.stats import metrics

EPOCHS, STEPS = 8, 3


@pytest.fixture(scope="module")
def trained():
    """A training that `LastQuarter` followed, the weights after its steps and the scores after its epochs."""
    generator = torch.Generator().manual_seed(0)
    x = 2 * torch.rand(24, 1, 320, generator=generator) - 1
    test = 2 * torch.rand(30, 1, 320, generator=generator) - 1
    settings = training.Settings(seed=0, epochs=EPOCHS, batch_size=8)
    state = training.new_state(settings, 1, torch.device("cpu"), width=0.125)
    quarter, weights, scores = LastQuarter(state.generator, EPOCHS), [], []
    for epoch in range(EPOCHS):
        for batch in x.split(8):
            training.update(state, batch, settings)
            quarter.after_step(epoch, state.generator)
            weights.append(copy.deepcopy(state.generator))
        quarter.after_epoch(epoch, state.generator, test)
        scores.append(anomaly_scores(copy.deepcopy(state.generator).eval(), test).numpy())
        assert state.generator.training
    return quarter, weights[-2 * STEPS :], scores[-2:], x


def test_the_weights_are_the_mean_over_the_steps_and_statistics_are_those_of_the_training_beats(trained):
    quarter, weights, _, x = trained
    averaged = quarter.generator(x, 8)
    for name, found in averaged.named_parameters():
        mean = torch.stack([dict(one.named_parameters())[name].detach() for one in weights]).double().mean(dim=0)
        torch.testing.assert_close(found.detach().double(), mean, rtol=1e-5, atol=1e-6)
    literal = Generator(width=0.125)
    literal.load_state_dict(averaged.state_dict())
    first = literal.encoder.features
    with torch.no_grad():  # the input of the first BatchNorm, batch by batch
        inputs = [first[2](first[1](first[0](batch))) for batch in x.split(8)]
    means = torch.stack([one.mean(dim=(0, 2)) for one in inputs]).mean(dim=0)
    assert isinstance(first[3], torch.nn.BatchNorm1d)
    torch.testing.assert_close(first[3].running_mean, means, rtol=1e-4, atol=1e-6)


def test_metrics_are_means_over_the_epochs(trained):
    quarter, _, scores, _ = trained
    labels, patients = np.array(["N", "V", "S"] * 10), np.repeat(["1", "2", "3", "4", "5", "6"], 5)
    stored = quarter.arrays(labels, patients)
    found = late_metrics(stored)
    assert found["auc"] == pytest.approx(np.mean([roc_auc_score(labels != "N", one) for one in scores]))
    some = labels != "S"
    assert found["auc_V"] == pytest.approx(np.mean([roc_auc_score(labels[some] == "V", one[some]) for one in scores]))
    for whole, groups in ((False, None), (True, patients)):
        literal = [metrics.resampled(labels != "N", one, groups)["auc"] for one in scores]
        np.testing.assert_allclose(late_resampled(stored, whole)["auc"], np.mean(literal, axis=0), rtol=1e-6)
    assert found["auc_low_patients"] < found["auc"] < found["auc_high_patients"]


def test_at_least_the_last_epoch_counts():
    assert [LastQuarter(Generator(width=0.125), epochs).first for epochs in (1, 2, 4, 20, 100)] == [0, 1, 3, 15, 75]
