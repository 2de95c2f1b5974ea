"""Pruning and what it really saves, the quantisation that was none, and the costs against known numbers."""

import numpy as np
import pytest
import torch
from torch import nn

from ecglib.classifier import measure, networks, onnx, prune, quantise
from ecglib.core import cost
from ecglib.core.errors import EcglibError
from ecglib.data.ptbxl import LEADS, Scaler

X = torch.randn(1, 12, 1000, generator=torch.Generator().manual_seed(0))


@pytest.fixture(scope="module")
def model():
    torch.manual_seed(1)
    return networks.student().eval()


def test_masks_silence_weights_but_save_nothing(model):
    pruned = prune.masked(model, 0.2)
    share = prune.zeros(pruned) / sum(m.weight.numel() for m in model.modules() if isinstance(m, nn.Conv1d | nn.Linear))
    assert share == pytest.approx(0.2, abs=0.001)
    assert cost.count_parameters(pruned) == cost.count_parameters(model)
    assert measure.flops(pruned, X) == measure.flops(model, X)
    assert measure.weight_bytes(pruned) > 1.9 * measure.weight_bytes(model), "the masks are kept, too"
    first, before = pruned.blocks[0][0].weight, model.blocks[0][0].weight
    assert torch.equal(first == 0, before.abs() <= before.abs().flatten().kthvalue(int(0.2 * before.numel())).values)
    assert prune.zeros(model) == 0, "the original is left alone"


@pytest.mark.parametrize("build", [networks.student, networks.Plain, networks.ResNet])
def test_cutting_channels_shrinks_everything(build):
    torch.manual_seed(2)
    whole = build().eval()
    before = {name: tensor.clone() for name, tensor in whole.state_dict().items()}
    cut = prune.without_channels(whole, 12, 0.5)
    assert cut(X).shape == (1, 5)
    for size in (cost.count_parameters, measure.weight_bytes, lambda m: measure.flops(m, X)):
        assert size(cut) < 0.35 * size(whole)
    assert all(torch.equal(before[name], tensor) for name, tensor in whole.state_dict().items())


@pytest.mark.parametrize("share", [0.99, 0.0, 1.0, -0.5, float("nan")])
def test_a_share_that_cuts_nothing_is_an_error(model, share):
    with pytest.raises(EcglibError, match=f"share of {share} of"):
        prune.without_channels(model, 12, share)


def test_the_least_important_channels_go():
    """Channels that are a hundred times louder than the others stay."""
    torch.manual_seed(3)
    model = networks.ConvNet((8, 8)).eval()
    loud = [1, 4, 6, 7]
    with torch.no_grad():
        for parameter in model.blocks[0].parameters():
            parameter *= torch.tensor([100.0 if n in loud else 1.0 for n in range(8)]).view(
                -1, *[1] * (parameter.ndim - 1)
            )
        model.blocks[1][0].weight[:, loud] *= 100
    expected = model.blocks[0][0].weight[loud].clone()
    cut = prune.without_channels(model, 12, 0.5)
    assert torch.equal(cut.blocks[0][0].weight, expected)


def test_dynamic_quantisation_leaves_convolutions_alone(model):
    after = quantise.quantised_dynamically(model)
    modules = dict(after.named_modules())
    changed = [name for name, module in model.named_modules() if type(modules[name]) is not type(module)]
    assert changed == ["classifier"]
    with torch.no_grad():
        assert torch.equal(after.features(X)[-1], model.features(X)[-1]), "all before it is the same"
        assert after(X).numpy() == pytest.approx(model(X).numpy(), abs=0.02)
    assert measure.flops(model, X) - measure.flops(after, X) == 2 * 1500, "R3's figure 14-4 differs by 1,500"
    saved = measure.weight_bytes(model) - measure.weight_bytes(after)
    assert saved == pytest.approx(3 * 300 * 5, abs=16), "a byte for each weight of four, but for a scale"
    assert prune.zeros(prune.masked(after, 0.2)) > 0.19 * 530_000, "masks go over what is quantised, too"


def test_flops_are_two_for_each_multiply_accumulate(model):
    macs = 991 * 50 * 12 * 10 + 486 * 150 * 50 * 10 + 234 * 300 * 150 * 10 + 300 * 5
    assert measure.flops(model, X) == 2 * macs


def test_times_take_turns_and_restore_the_threads(model, tmp_path):
    path = tmp_path / "model.onnx"
    onnx.export(model, Scaler.none(12), onnx.Contract(LEADS), path)
    threads = torch.get_num_threads()
    found = measure.timed(measure.ways({"torch": model}, {"runtime": path}, X.numpy()), repeats=3)
    assert torch.get_num_threads() == threads
    assert {name: values.shape for name, values in found.items()} == {"torch": (3,), "runtime": (3,)}
    assert all((values > 0).all() for values in found.values())
    assert isinstance(found["torch"], np.ndarray)
