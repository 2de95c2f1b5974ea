"""Training in bfloat16: hidden layers alone, and nothing but float32 outside."""

import pytest
import torch
from torch import nn

from ecglib.beatgan import training
from ecglib.beatgan.networks import Discriminator, Generator
from ecglib.classifier import networks
from ecglib.core import precision
from ecglib.core.precision import hidden, reduced, resolved

CPU = torch.device("cpu")


def kinds_of_outputs(model, x):
    """Name of each layer -> dtype of its output in one pass."""
    found = {}
    for name, module in model.named_modules():
        if not list(module.children()):
            module.register_forward_hook(lambda module, inputs, output, name=name: found.update({name: output.dtype}))
    model(x)
    return found


def test_hidden_layers_change_their_precision_only_while_it_is_reduced():
    layer, x = nn.Linear(4, 4), torch.randn(3, 4)
    exact = hidden(layer, x)
    assert torch.equal(exact, layer(x))
    with reduced("bfloat16"):
        rough = hidden(layer, x)
    assert rough.dtype == torch.float32
    assert 0 < float((rough - exact).detach().abs().max()) < 0.05
    with reduced("float32"):
        assert torch.equal(hidden(layer, x), exact)
    assert torch.equal(hidden(layer, x), exact)


def test_an_error_gives_the_precision_back():
    with pytest.raises(ZeroDivisionError), reduced("bfloat16"):
        raise ZeroDivisionError
    assert hidden(nn.Linear(2, 2), torch.ones(1, 2)).dtype == torch.float32
    assert not precision._reduced


def test_the_last_layers_of_beatgan_stay_in_float32():
    x = 2 * torch.rand(4, 1, 320) - 1
    with reduced("bfloat16"):
        of_d = kinds_of_outputs(Discriminator(width=0.125), x)
        of_g = kinds_of_outputs(Generator(width=0.125), x)
        p, features = Discriminator(width=0.125)(x)
    assert p.dtype == features.dtype == torch.float32
    in_full = {name for name, kind in (of_d | of_g).items() if kind == torch.float32}
    assert in_full == {"classifier.0", "classifier.1", "encoder.head", "decoder.layers.15", "decoder.layers.16"}


@pytest.mark.parametrize("name", ["student", "614K", "plain", "resnet", "inception"])
def test_the_classifier_of_every_network_stays_in_float32(name):
    model = networks.build(name, 12).train()
    with reduced("bfloat16"):
        kinds = kinds_of_outputs(model, torch.randn(2, 12, 1000))
    assert torch.bfloat16 in kinds.values()
    assert list(kinds.values())[-1] == torch.float32


def test_a_step_in_bfloat16_is_nearly_the_step_in_float32():
    x = 2 * torch.rand(16, 1, 320, generator=torch.Generator().manual_seed(0)) - 1
    rows = []
    for kind in ("float32", "bfloat16"):
        settings = training.Settings(seed=0, precision=kind)
        state = training.new_state(settings, 1, CPU, width=0.25)
        with reduced(kind):
            rows.append([training.update(state, x, settings) for _ in range(3)])
        assert all(value.dtype == torch.float32 for value in state.generator.parameters())
    for exact, rough in zip(*rows, strict=True):
        for name, value in exact.items():
            assert rough[name].item() == pytest.approx(value.item(), rel=0.05, abs=0.01), name


def test_a_certain_discriminator_keeps_its_gradient():
    """In bfloat16 a sigmoid is exactly 1 from a logit of about 6 on, and the loss of a reconstruction is cut off."""
    model, x = Discriminator(width=0.125), 2 * torch.rand(1, 1, 320) - 1
    with reduced("bfloat16"):
        with torch.no_grad():
            model.classifier[0].weight.mul_(8 / model.classifier[0](model.features(x)))
        p, _ = model(x)
        assert torch.sigmoid(torch.logit(p).bfloat16()) == 1  # the trap
        loss = -torch.log1p(-p).mean()
    loss.backward()
    assert loss.item() == pytest.approx(8, abs=0.1)
    assert float(model.classifier[0].weight.grad.abs().max()) > 0


def test_auto_measures_and_the_others_are_taken_as_they_are():
    assert resolved("float32", CPU) == "float32" and resolved("bfloat16", CPU) == "bfloat16"
    assert resolved("auto", CPU) in ("float32", "bfloat16")
