"""NT-Xent against the reports' formula as loops, against pytorch-metric-learning, and across processes."""

import math
from pathlib import Path

import pytest
import torch
from torch import distributed, multiprocessing

from ecglib.simclr.losses import NTXent


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
    assert NTXent(temperature)(first, second).item() == pytest.approx(slow(first, second, temperature), rel=1e-12)


def test_pytorch_metric_learning():
    oracle = pytest.importorskip("pytorch_metric_learning.losses")
    first, second = views(16)
    labels = torch.arange(16).repeat(2)
    theirs = oracle.NTXentLoss(temperature=0.2)(torch.cat([first, second]), labels)
    assert NTXent(0.2)(first, second).item() == pytest.approx(theirs.item(), abs=1e-10)


def test_symmetric_and_independent_of_length():
    first, second = views(9)
    loss = NTXent(0.3)
    assert loss(first, second).item() == pytest.approx(loss(second, first).item(), rel=1e-12)
    assert loss(3 * first, second / 7).item() == pytest.approx(loss(first, second).item(), rel=1e-12)


def test_closed_forms():
    """All views alike: the partner is one of 2N - 1 equals. Orthogonal beats, equal views: e^(1/tau) against 2N - 2."""
    same = torch.ones(4, 3, dtype=torch.float64)
    assert NTXent(0.7)(same, same).item() == pytest.approx(math.log(7), rel=1e-12)
    apart = torch.eye(4, dtype=torch.float64)
    expected = math.log(1 + 6 * math.exp(-1 / 0.7))
    assert NTXent(0.7)(apart, apart).item() == pytest.approx(expected, rel=1e-12)


def worker(rank, folder, first, second, weight):
    distributed.init_process_group("gloo", init_method=f"file://{folder}/meet", rank=rank, world_size=2)
    weight = weight.clone().requires_grad_()
    part = slice(4 * rank, 4 * rank + 4)
    loss = NTXent(0.2)(first[part] @ weight, second[part] @ weight)
    loss.backward()
    values = torch.cat([loss.detach()[None], weight.grad.flatten()])
    distributed.all_reduce(values)
    if rank == 0:
        torch.save(values / 2, Path(folder) / "mean.pt")
    distributed.destroy_process_group()


def test_two_processes_equal_one(tmp_path):
    first, second = views(8)
    weight = torch.randn(5, 3, generator=torch.Generator().manual_seed(1), dtype=torch.float64)
    multiprocessing.spawn(worker, (str(tmp_path), first, second, weight), nprocs=2)
    together = torch.load(tmp_path / "mean.pt", weights_only=True)
    alone = weight.clone().requires_grad_()
    loss = NTXent(0.2)(first @ alone, second @ alone)
    loss.backward()
    torch.testing.assert_close(together[0], loss.detach(), rtol=0, atol=1e-12)
    torch.testing.assert_close(together[1:], alone.grad.flatten(), rtol=0, atol=1e-12)
