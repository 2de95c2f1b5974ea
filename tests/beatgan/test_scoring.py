"""Scores of the folded graph are those of the network, whatever the batch."""

import numpy as np
import pytest
import torch

from ecglib.beatgan import scoring, training
from ecglib.beatgan.networks import anomaly_scores

pytest.importorskip("onnxruntime")


@pytest.fixture(scope="module", params=[1, 2], ids=["one lead", "both leads"])
def trained(request):
    """A generator whose BatchNorm statistics and weights have moved, and beats."""
    generator = torch.Generator().manual_seed(0)
    x = 2 * torch.rand(40, request.param, 320, generator=generator) - 1
    settings = training.Settings(seed=0, batch_size=20)
    state = training.new_state(settings, request.param, torch.device("cpu"), width=0.25)
    for _ in range(3):
        training.update(state, x, settings)
    return state.generator.eval(), x


def test_the_folded_chain_reconstructs_as_the_network(trained):
    generator, x = trained
    chain = scoring.folded(generator)
    assert not any(isinstance(layer, torch.nn.BatchNorm1d) for layer in chain)
    torch.testing.assert_close(chain(x), generator(x)[0], rtol=1e-5, atol=1e-5)


def test_scores_are_equal_for_one_beat_and_for_many(trained):
    generator, x = trained
    literal, score = anomaly_scores(generator, x).numpy(), scoring.scorer(generator)
    np.testing.assert_allclose(score(x.numpy()), literal, atol=1e-5)
    np.testing.assert_allclose([score(one[None])[0] for one in x[:3].numpy()], literal[:3], atol=1e-5)
    assert np.ptp(literal) > 1e-3
