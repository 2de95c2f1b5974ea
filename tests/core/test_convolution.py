"""A GPU's convolutions as matrix products: torch's own are the oracle, in double precision on the CPU."""

import pytest
import torch
from torch import nn
from torch.nn import functional as F

from ecglib.core import convolution
from ecglib.core.convolution import Conv1d, ConvTranspose1d


def outcome(call, *inputs):
    """The output of a call, and the gradients of its inputs for an uneven loss."""
    inputs = [tensor.clone().requires_grad_() for tensor in inputs]
    y = call(*inputs)
    (y * torch.linspace(-1, 1, y.numel(), dtype=y.dtype).view(y.shape)).sum().backward()
    return [y.detach(), *(tensor.grad for tensor in inputs)]


def drawn(*shape):
    return torch.randn(*shape, dtype=torch.float64, generator=torch.Generator().manual_seed(0))


@pytest.mark.parametrize(("kernel", "stride"), [(4, 2), (10, 1), (1, 2), (3, 3), (5, 1)])
def test_a_convolution_is_torchs_with_all_gradients(kernel, stride):
    x, weight, bias = drawn(7, 3, 21), drawn(5, 3, kernel), drawn(5)
    found = outcome(lambda *inputs: convolution.convolution(*inputs, stride), x, weight, bias)
    wanted = outcome(lambda *inputs: F.conv1d(*inputs, stride), x, weight, bias)
    for one, other in zip(found, wanted, strict=True):
        assert torch.allclose(one, other, rtol=0, atol=1e-12)


@pytest.mark.parametrize(("length", "kernel", "stride"), [(10, 4, 2), (1, 10, 1), (6, 2, 3)])
def test_a_transposed_convolution_is_torchs_with_all_gradients(length, kernel, stride):
    x, weight = drawn(7, 3, length), drawn(3, 5, kernel)
    found = outcome(lambda *inputs: convolution.transposed_convolution(*inputs, stride), x, weight)
    wanted = outcome(lambda x, weight: F.conv_transpose1d(x, weight, None, stride), x, weight)
    for one, other in zip(found, wanted, strict=True):
        assert torch.allclose(one, other, rtol=0, atol=1e-12)


@pytest.mark.parametrize(
    ("layer", "length"),
    [
        (Conv1d(3, 5, 4, 2, 1, bias=False), 20),
        (Conv1d(3, 5, 7, padding="same"), 20),
        (Conv1d(3, 5, 10), 20),
        (ConvTranspose1d(3, 5, 4, 2, 1), 20),
        (ConvTranspose1d(3, 5, 10), 1),
    ],
)
def test_layers_pad_and_cut_as_torchs_do(layer, length, monkeypatch):
    x = drawn(7, 3, length)
    wanted = outcome(layer.double(), x)
    monkeypatch.setattr(torch.Tensor, "is_cuda", True)  # the way of a GPU
    found = outcome(layer, x)
    for one, other in zip(found, wanted, strict=True):
        assert torch.allclose(one, other, rtol=0, atol=1e-12)


def test_they_take_the_place_of_torchs_everywhere():
    from ecglib.beatgan.networks import Discriminator, Generator
    from ecglib.classifier.networks import MODELS, build

    networks = [Generator(), Discriminator(), *(build(name, 12) for name in MODELS)]
    for module in (module for network in networks for module in network.modules()):
        if isinstance(module, nn.Conv1d | nn.ConvTranspose1d):
            assert isinstance(module, Conv1d | ConvTranspose1d)
