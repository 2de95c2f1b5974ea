"""NT-Xent against the reports' formula as loops, and against pytorch-metric-learning."""

import math

import pytest
import torch

from ecglib.core.errors import EcglibError
from ecglib.simclr.losses import nt_xent


def views(count, seed=0, size=5):
    generator = torch.Generator().manual_seed(seed)
    return torch.randn(2, count, size, generator=generator, dtype=torch.float64).unbind()


def slow(first, second, temperature):
    """R2 section 3.3.2.1: l(i, j) of every view, three loops."""
    z = [*first.tolist(), *second.tolist()]
    count = len(first)

    def sim(u, v):
        dot = sum(a * b for a, b in zip(u, v, strict=True))
        return dot / math.sqrt(sum(a * a for a in u)) / math.sqrt(sum(b * b for b in v))

    total = 0.0
    for i in range(2 * count):
        j = (i + count) % (2 * count)
        denominator = sum(math.exp(sim(z[i], z[k]) / temperature) for k in range(2 * count) if k != i)
        total -= math.log(math.exp(sim(z[i], z[j]) / temperature) / denominator)
    return total / (2 * count)


@pytest.mark.parametrize("temperature", [0.1, 0.5])
def test_formula(temperature):
    first, second = views(7)
    assert nt_xent(first, second, temperature).item() == pytest.approx(slow(first, second, temperature), rel=1e-12)


def test_pytorch_metric_learning():
    oracle = pytest.importorskip("pytorch_metric_learning.losses")
    first, second = views(16)
    labels = torch.arange(16).repeat(2)
    theirs = oracle.NTXentLoss(temperature=0.2)(torch.cat([first, second]), labels)
    assert nt_xent(first, second, 0.2).item() == pytest.approx(theirs.item(), abs=1e-10)


def test_symmetric_and_independent_of_length():
    first, second = views(9)
    loss = nt_xent(first, second, 0.3).item()
    assert loss == pytest.approx(nt_xent(second, first, 0.3).item(), rel=1e-12)
    assert nt_xent(3 * first, second / 7, 0.3).item() == pytest.approx(loss, rel=1e-12)


def test_closed_forms():
    """All views alike: the partner is one of 2N - 1 equals. Orthogonal beats, equal views: e^(1/tau) against 2N - 2."""
    same = torch.ones(4, 3, dtype=torch.float64)
    assert nt_xent(same, same, 0.7).item() == pytest.approx(math.log(7), rel=1e-12)
    apart = torch.eye(4, dtype=torch.float64)
    expected = math.log(1 + 6 * math.exp(-1 / 0.7))
    assert nt_xent(apart, apart, 0.7).item() == pytest.approx(expected, rel=1e-12)


@pytest.mark.parametrize("temperature", [0.0, -0.1, float("nan"), float("inf")])
def test_a_temperature_that_is_not_above_0_is_refused(temperature):
    with pytest.raises(EcglibError, match=f"temperature={temperature}"):
        nt_xent(torch.ones(2, 3), torch.ones(2, 3), temperature)


@pytest.mark.parametrize("shapes", [((2, 3), (3, 3)), ((2, 3), (2, 4)), ((0, 3), (0, 3)), ((3,), (3,))])
def test_views_that_are_no_pairs_are_refused(shapes):
    with pytest.raises(EcglibError, match="give two of one shape"):
        nt_xent(*map(torch.ones, shapes), 0.1)
