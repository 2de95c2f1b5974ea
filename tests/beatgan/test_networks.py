"""BeatGAN's networks: published sizes, shapes, initialisation, the score, the losses."""

import numpy as np
import pytest
import torch

from ecglib.beatgan import losses, networks
from ecglib.beatgan.explanation import error_shares, even_share, qrs_share, qrs_ticks, tick_errors
from ecglib.core import cost


def test_published_parameter_counts():
    assert cost.count_parameters(networks.Generator()) == 1_908_800
    assert cost.count_parameters(networks.Discriminator()) == 703_488


@pytest.mark.parametrize("channels", [1, 2])
def test_shapes(channels):
    x = torch.rand(3, channels, 320) * 2 - 1
    x_hat, z = networks.Generator(channels)(x)
    probability, features = networks.Discriminator(channels)(x)
    assert x_hat.shape == x.shape
    assert z.shape == (3, 50, 1)
    assert features.shape == (3, 512, 10)
    assert probability.shape == (3,)
    assert x_hat.abs().max() <= 1
    assert ((probability > 0) & (probability < 1)).all()


def test_layer_shapes_end_in_the_code_and_the_beat():
    generator, x = networks.Generator(), torch.zeros(2, 1, 320)
    encoder = networks.layer_shapes([*generator.encoder.features, generator.encoder.head], x)
    assert [shape for _, shape in encoder] == [
        "1 x 320", "32 x 160", "64 x 80", "128 x 40", "256 x 20", "512 x 10", "50 x 1",
    ]  # fmt: skip
    decoder = networks.layer_shapes(list(generator.decoder.layers), torch.zeros(2, 50, 1))
    assert decoder[-1][1] == "1 x 320"


def test_initialisation():
    torch.manual_seed(0)
    generator = networks.Generator()
    norms = [module for module in generator.modules() if isinstance(module, torch.nn.BatchNorm1d)]
    weights = torch.cat([module.weight for module in norms])
    assert weights.mean().item() == pytest.approx(1, abs=0.005)
    assert weights.std().item() == pytest.approx(0.02, rel=0.1)
    convolution = generator.encoder.features[-3]  # 256 -> 512, kernel 4
    assert convolution.weight.std().item() == pytest.approx((2 / ((256 + 512) * 4)) ** 0.5, rel=0.02)


def test_score_is_the_mean_square_and_does_not_depend_on_batching_in_eval_mode():
    generator, x = networks.Generator().eval(), torch.rand(7, 1, 320) * 2 - 1
    with torch.no_grad():
        slow = [((generator(beat[None])[0] - beat) ** 2).sum().item() / 320 for beat in x]
    for batch_size in (2, 512):
        np.testing.assert_allclose(networks.anomaly_scores(generator, x, batch_size), slow, rtol=1e-4)


def test_losses_against_slow_formulas():
    torch.manual_seed(0)
    x, x_hat = torch.rand(2, 1, 5), torch.rand(2, 1, 5)
    slow = sum((a - b) ** 2 for a, b in zip(x.flatten().tolist(), x_hat.flatten().tolist(), strict=True)) / 10
    assert losses.reconstruction(x_hat, x).item() == pytest.approx(slow)
    assert losses.feature_matching(x_hat, x).item() == pytest.approx(slow)
    real, fake = torch.tensor([0.9, 0.6]), torch.tensor([0.2, 0.3])
    slow = -(np.log(0.9) + np.log(0.6)) / 2 - (np.log(0.8) + np.log(0.7)) / 2
    assert losses.discriminator(real, fake).item() == pytest.approx(slow)


def test_explanation_finds_the_ticks_that_were_changed():
    beat = np.zeros((1, 320))
    changed = beat.copy()
    changed[0, 130:140] = 1  # just before the annotation at tick 139
    errors = tick_errors(changed, beat)
    assert error_shares(errors).sum() == pytest.approx(1)
    assert qrs_share(errors)[0] == pytest.approx(1)
    assert qrs_share(np.ones((1, 320)))[0] == pytest.approx(even_share())
    ticks = qrs_ticks()
    assert ticks.start < 139 < ticks.stop
    assert even_share() == pytest.approx((ticks.stop - ticks.start) / 320)
