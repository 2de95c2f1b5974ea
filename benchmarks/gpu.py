"""BeatGAN's training step on a GPU, for the part "gpu" of the table: `python -m benchmarks.bench gpu`.

First `update` with cuDNN's convolutions, each kernel launched from Python. From there, one change after the other: a
CUDA graph, convolutions as products, torch.compile, and eight trainings at once.
"""

import time
from collections.abc import Callable, Iterator
from contextlib import ExitStack, contextmanager
from functools import partial
from typing import Any
from unittest import mock

import torch
from torch import Tensor, nn

from ecglib.beatgan import training
from ecglib.beatgan.training import Settings, new_state
from ecglib.core.convolution import Conv1d, ConvTranspose1d
from ecglib.core.cuda_graph import Repeated

STEPS, AT_ONCE = 150, 8
GPU = torch.device("cuda")


@contextmanager
def _cudnn() -> Iterator[None]:
    """Torch's own convolutions instead of products."""
    with ExitStack() as stack:
        for kind, torchs in ((Conv1d, nn.Conv1d), (ConvTranspose1d, nn.ConvTranspose1d)):
            stack.enter_context(mock.patch.object(kind, "forward", torchs.forward))
        yield


def _one(seed: int, how: str) -> Callable[[], object]:
    """A training's step on its own stream, warmed up."""
    settings = Settings(seed)
    state = new_state(settings, 1, GPU)
    x = (2 * torch.rand(settings.batch_size, 1, 320, generator=torch.Generator().manual_seed(seed)) - 1).to(GPU)
    plain: Callable[[Tensor], Any] = partial(training.update, state, settings=settings)
    if how == "compiled":
        step: Callable[[Tensor], Any] = training.repeated(state, settings)
    else:
        step = plain if how == "eager" else Repeated(plain, list(state.learned.values()))
    plain(x)
    step(x)
    stream = torch.cuda.Stream()

    def call() -> None:
        with torch.cuda.stream(stream):
            step(x)

    call()
    return call


def _seconds(how: str, count: int) -> float:
    """Seconds a step of one training, of `count` that run at once."""
    steps = [_one(seed, how) for seed in range(count)]
    spent = 0.0
    for repeats in (20, STEPS):  # the first ones warm up
        torch.cuda.synchronize()
        start = time.perf_counter()
        for _ in range(repeats):
            for step in steps:
                step()
        torch.cuda.synchronize()
        spent = (time.perf_counter() - start) / repeats / count
    return spent


def measured() -> dict[str, float]:
    """Seconds a step of each way, the plain one first; of eight trainings at once, those of one.

    Eight graphs in one process share cuBLAS's workspace, so that their numbers are wrong; trainings at once are
    processes, see `--jobs`. Their speed is that of these streams.
    """
    with _cudnn():
        found = {"`update`, kernel by kernel": _seconds("eager", 1)}
        found |= _alone_and_at_once("graph", "as a CUDA graph")
    found |= _alone_and_at_once("graph", "and convolutions as products")
    return found | _alone_and_at_once("compiled", "and compiled: `training.repeated`")


def _alone_and_at_once(how: str, name: str) -> dict[str, float]:
    return {name: _seconds(how, 1), f"{name}, {AT_ONCE} trainings at once": _seconds(how, AT_ONCE)}
