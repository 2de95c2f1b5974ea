"""FRSKD in one dimension: shapes, who learns from what, and the loss as its parts."""

import pytest
import torch
from torch import nn
from torch.nn import functional as F

from ecglib.classifier import frskd
from ecglib.classifier.frskd import Fusion, SelfTaught, SelfTeacher
from ecglib.classifier.losses import BinaryKL
from ecglib.classifier.networks import ConvNet

X = torch.randn(4, 12, 200, generator=torch.Generator().manual_seed(0))
Y = (torch.rand(4, 5, generator=torch.Generator().manual_seed(1)) < 0.5).float()


@pytest.fixture
def taught():
    torch.manual_seed(2)
    return SelfTaught(ConvNet((6, 8, 10)), temperature=4.0, alpha=2.0, beta=3.0)


@pytest.mark.parametrize("channels", [(6, 10), (6, 8, 10), (4, 6, 8, 10)])
def test_refined_maps_have_the_sizes_of_the_blocks(channels):
    features = [torch.randn(2, count, 80 // 2**level) for level, count in enumerate(channels)]
    refined, logits = SelfTeacher(channels, width=16)(features)
    assert [part.shape for part in refined] == [(2, 16, part.shape[2]) for part in features]
    assert logits.shape == (2, 5)


def test_every_block_reaches_every_refined_map_and_the_answer(taught):
    """Top-down and bottom-up: a change of the last block moves the first refined map, and the other way round."""
    teacher = taught.teacher.eval()
    features = [torch.randn(2, count, size) for count, size in ((6, 40), (8, 20), (10, 10))]
    before, answer = teacher(features)
    for changed in range(3):
        other = [part + (number == changed) for number, part in enumerate(features)]
        after, moved = teacher(other)
        assert not torch.equal(answer, moved), changed
        assert not torch.equal(before[2], after[2]), changed
        assert not torch.equal(before[0], after[0]), changed


def test_pooled_maps_lie_over_what_the_next_block_made_of_them():
    """A convolution of kernel 10 sees 4.5 samples to either side, so a pulse comes out in the middle of its window."""
    x = torch.zeros(1, 1, 495)
    x[0, 0, 240] = 1
    block = nn.Sequential(nn.Conv1d(1, 1, 10, bias=False), nn.MaxPool1d(2))
    nn.init.ones_(block[0].weight)
    answered = block(x)[0, 0].detach().nonzero().flatten().double().mean().item()
    pooled = frskd._halved(x, block(x).shape[2])
    assert pooled.shape == block(x).shape
    assert pooled[0, 0].nonzero().item() == pytest.approx(answered, abs=1)


def test_fusion_weighs_without_a_sign(taught):
    fusion = Fusion(2, 3).eval()
    with torch.no_grad():
        fusion.weights[:] = torch.tensor([2.0, -1.0])
    one, other = torch.randn(1, 3, 8), torch.randn(1, 3, 8)
    assert torch.allclose(fusion(one, other), fusion(one, -other)), "a negative weight counts as none"


def test_the_loss_is_the_sum_of_its_parts(taught):
    torch.manual_seed(3)
    logits = taught.train()(X)
    features = taught.features
    refined, answer = taught.teacher(features)
    parts = [F.binary_cross_entropy_with_logits(logits, Y), F.binary_cross_entropy_with_logits(answer, Y)]
    parts.append(2.0 * BinaryKL(4.0)(logits, answer))
    for own, better in zip(features, refined, strict=True):  # FRSKD's program: (at(f_s) - at(f_t)).pow(2).mean()
        maps = [part.pow(2).mean(1) / part.pow(2).mean(1).pow(2).sum(1, keepdim=True).sqrt() for part in (own, better)]
        parts.append(3.0 * (maps[0] - maps[1]).pow(2).mean())
    # BatchNorm's running statistics moved, but in training mode they are not used.
    assert taught.loss(torch.arange(4), logits, Y).item() == pytest.approx(sum(p.item() for p in parts), rel=1e-5)


def test_the_self_teacher_learns_from_labels_alone(taught):
    """Its gradient is the same with and without the terms that teach the classifier."""
    found = []
    for alpha, beta in ((2.0, 3.0), (0.0, 0.0)):
        taught.alpha, taught.beta = alpha, beta
        taught.zero_grad()
        torch.manual_seed(4)
        taught.loss(torch.arange(4), taught.train()(X), Y).backward()
        found.append({name: parameter.grad.clone() for name, parameter in taught.teacher.named_parameters()})
        classifier = [parameter.grad.clone() for parameter in taught.classifier.parameters()]
        found[-1]["classifier"] = torch.cat([gradient.flatten() for gradient in classifier])
    for name in found[0]:
        same = torch.allclose(found[0][name], found[1][name], atol=1e-6)
        assert same == (name != "classifier"), name


def test_to_the_outside_it_is_its_classifier(taught):
    assert torch.equal(taught.eval()(X), taught.classifier(X))
