"""What can be said of CUDA graphs without a GPU: the check before their use, and the step that remains without them.

`tests/beatgan/test_cuda.py` trains with a graph where there is a GPU.
"""

import pytest
import torch
from torch import nn

from ecglib.core import cuda_graph
from ecglib.core.cuda_graph import graphed


@pytest.fixture
def training():
    """A small network that has made a step, its optimizer, a batch, and the step."""
    torch.manual_seed(0)
    model = nn.Sequential(nn.Linear(4, 8), nn.BatchNorm1d(8), nn.Linear(8, 1))
    optimizer = torch.optim.Adam(model.parameters(), fused=True)

    def step(x):
        loss = model(x).square().mean()
        optimizer.zero_grad()
        loss.backward()
        optimizer.step()
        return {"loss": loss.detach()}

    x = torch.randn(16, 4)
    step(x)
    return model, optimizer, x, step


def state(model, optimizer):
    moments = [value.clone() for kept in optimizer.state.values() for value in kept.values()]
    return [*(tensor.clone() for tensor in model.state_dict().values()), *moments]


def same(one, other):
    return all(torch.equal(a, b) for a, b in zip(one, other, strict=True))


def test_a_graph_that_computes_the_same_is_used_and_the_check_leaves_no_trace(training, monkeypatch):
    model, optimizer, x, step = training
    before = state(model, optimizer)

    def captured(step, x):
        for _ in range(cuda_graph.WARM_UP):
            step(x)  # capturing makes steps
        return lambda batch: step(batch)

    monkeypatch.setattr(cuda_graph, "captured", captured)
    found = graphed(step, [model, optimizer], x)
    assert found is not step
    assert same(state(model, optimizer), before)


def forgets_batchnorm(model, optimizer, step, x):
    kept = {name: tensor.clone() for name, tensor in model.state_dict().items() if "running" in name}
    row = step(x)
    model.load_state_dict(kept, strict=False)
    return row


def steps_twice(model, optimizer, step, x):
    row = step(x)
    step(x)
    return row


def stands_still(model, optimizer, step, x):
    return {"loss": model(x).square().mean().detach()}


def another_loss(model, optimizer, step, x):
    return {"loss": 1.1 * step(x)["loss"]}


@pytest.mark.parametrize("wrong", [forgets_batchnorm, steps_twice, stands_still, another_loss])
def test_a_graph_that_computes_something_else_is_not_used(training, monkeypatch, wrong):
    model, optimizer, x, step = training
    before = state(model, optimizer)
    monkeypatch.setattr(cuda_graph, "captured", lambda step, _: lambda x: wrong(model, optimizer, step, x))
    with pytest.warns(UserWarning, match="something else"):
        assert graphed(step, [model, optimizer], x) is step
    assert same(state(model, optimizer), before)


def test_a_step_that_cannot_be_captured_runs_as_it_is(training, monkeypatch):
    model, optimizer, x, step = training
    before = state(model, optimizer)

    def captured(step, x):
        step(x)
        raise RuntimeError("operation not permitted when stream is capturing\nand more")

    monkeypatch.setattr(cuda_graph, "captured", captured)
    with pytest.warns(UserWarning, match="not permitted when stream is capturing\\)"):
        assert graphed(step, [model, optimizer], x) is step
    assert same(state(model, optimizer), before)
