"""The epoch loop: interrupted anywhere it ends as if it had not been; its checkpoint is read without running code."""

import pickle

import pytest
import torch
from torch import nn

from ecglib.core.errors import EcglibError
from ecglib.runs.loop import Best, Loop, copied

CPU, EPOCHS = torch.device("cpu"), 4


class Stop(Exception):
    pass


def train(folder, stop_after=None):
    """A small regression; what it learns depends on every random number that an epoch draws."""

    def watch(loop):
        if len(loop.history) == stop_after:
            raise Stop

    loop = Loop(folder, seed=3, total=EPOCHS, device=CPU, watchers=[watch])
    torch.manual_seed(0)
    model, best = nn.Sequential(nn.Linear(4, 8), nn.BatchNorm1d(8), nn.Linear(8, 1)), Best()
    optimizer = torch.optim.Adam(model.parameters(), 0.05)
    loop.restore(model=model, optimizer=optimizer, best=best)
    for epoch in loop.epochs():
        x = torch.randn(32, 4)
        loss = (model(x) - x.sum(dim=1, keepdim=True)).square().mean()
        optimizer.zero_grad()
        loss.backward()
        optimizer.step()
        best.offer(epoch, loss.item(), model)
        loop.record(loss=loss.item())
    return loop, model, optimizer, best


def without_seconds(history):
    return [{name: value for name, value in row.items() if name != "seconds"} for row in history]


def same(one, other):
    return one.keys() == other.keys() and all(torch.equal(one[name], other[name]) for name in one)


@pytest.mark.parametrize("stop_after", range(1, EPOCHS))
def test_a_resumed_training_ends_like_one_that_was_not_interrupted(tmp_path, stop_after):
    loop, model, optimizer, best = train(tmp_path / "whole")
    with pytest.raises(Stop):
        train(tmp_path / "broken", stop_after)
    again, *others = train(tmp_path / "broken")
    assert without_seconds(again.history) == without_seconds(loop.history)
    assert [row["epoch"] for row in again.history] == list(range(EPOCHS))
    assert same(others[0].state_dict(), model.state_dict())
    moments = [found.state_dict()["state"] for found in (others[1], optimizer)]
    assert all(same(moments[0][key], moments[1][key]) for key in moments[1])
    assert (others[2].epoch, others[2].criterion) == (best.epoch, best.criterion)
    assert same(others[2].weights, best.weights)


def test_the_lowest_criterion_wins_and_a_later_equal_one_does_not():
    model, best = nn.Linear(1, 1), Best()
    for epoch, criterion in enumerate((3.0, 1.0, 1.0, 2.0)):
        nn.init.constant_(model.weight, epoch)
        best.offer(epoch, criterion, model)
    assert (best.epoch, best.criterion) == (1, 1.0)
    assert (best.weights["weight"] == 1).all(), "a copy, which later epochs leave alone"
    assert not any(tensor.requires_grad for tensor in copied(model).values())


@pytest.mark.parametrize("content", [b"not a checkpoint", pickle.dumps({"history": []}, protocol=2), b""])
def test_a_damaged_checkpoint_says_what_to_do(tmp_path, content):
    (tmp_path / "checkpoint.pt").write_bytes(content)
    with pytest.raises(EcglibError, match=r"checkpoint\.pt is damaged .*delete it"):
        train(tmp_path)


def test_a_checkpoint_of_other_networks_says_what_to_do(tmp_path):
    with pytest.raises(Stop):
        train(tmp_path, stop_after=1)
    with pytest.raises(EcglibError, match="is damaged"):
        Loop(tmp_path, 3, EPOCHS, CPU).restore(model=nn.Linear(2, 2))


class Malicious:
    def __reduce__(self):
        return (pytest.fail, ("code was run",))


def test_reading_a_checkpoint_runs_no_code(tmp_path):
    torch.save({"history": [], "model": Malicious()}, tmp_path / "checkpoint.pt")
    with pytest.raises(EcglibError, match="is damaged"):
        train(tmp_path)


@pytest.mark.parametrize(
    ("error", "message"),
    [
        (torch.OutOfMemoryError("of memory"), "of memory"),
        (OSError(5, "I/O error"), r"cannot be read \(I/O error\): try"),
    ],
)
def test_a_machines_troubles_do_not_cost_a_checkpoint(tmp_path, monkeypatch, error, message):
    with pytest.raises(Stop):
        train(tmp_path, stop_after=1)

    def fail(*_, **__):
        raise error

    monkeypatch.setattr(torch, "load", fail)
    with pytest.raises((EcglibError, torch.OutOfMemoryError), match=message) as caught:
        train(tmp_path)
    assert "delete" not in str(caught.value)
    assert (tmp_path / "checkpoint.pt").exists()


def test_too_little_memory_does_not_cost_a_checkpoint(tmp_path, monkeypatch):
    with pytest.raises(Stop):
        train(tmp_path, stop_after=1)
    monkeypatch.setattr(torch, "load", lambda *_, **__: torch.empty(2**60, dtype=torch.uint8))
    with pytest.raises(RuntimeError, match="allocate memory") as caught:
        train(tmp_path)
    assert "delete" not in str(caught.value)
    assert (tmp_path / "checkpoint.pt").exists()


def test_a_full_disk_is_one_clear_error_and_the_last_checkpoint_stays(tmp_path, monkeypatch):
    with pytest.raises(Stop):
        train(tmp_path, stop_after=1)
    before = (tmp_path / "checkpoint.pt").read_bytes()

    def full(self, data):
        raise OSError(28, "No space left on device")

    monkeypatch.setattr(type(tmp_path), "write_bytes", full)
    with pytest.raises(EcglibError, match=r"Cannot write .*No space left .*Free disk space"):
        train(tmp_path)
    assert (tmp_path / "checkpoint.pt").read_bytes() == before


def test_every_epoch_of_every_seed_draws_its_own_random_numbers(tmp_path):
    def drawn(seed):
        folder = tmp_path / str(seed)
        folder.mkdir()
        loop, found = Loop(folder, seed, EPOCHS, CPU), []
        loop.restore()
        for _ in loop.epochs():
            found.append(torch.rand(()).item())
            loop.record(loss=0.0)
        return found

    assert len({*drawn(3), *drawn(4)}) == 2 * EPOCHS
