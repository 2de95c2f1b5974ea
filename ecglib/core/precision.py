"""Training in half the bits: hidden layers in bfloat16, everything that decides a number in float32.

A network builds its hidden layers with `Hidden` or passes them through `hidden`. While a training has `reduced` them,
they run under torch's autocast; output layers, losses, optimizers and every evaluation stay in float32. BeatGAN's
discriminator shows why: in bfloat16 its sigmoid is exactly 1 from a logit of about 6 on, its loss is then cut off at
100, and D stops learning.
"""

import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from functools import lru_cache
from typing import Literal

import torch
from torch import Tensor, nn

from ecglib.core.convolution import Conv1d

Precision = Literal["float32", "bfloat16", "auto"]
GAIN = 1.15  # "auto" takes bfloat16 if a training step of the probe gets faster by this factor
PROBE = (64, 128, 80)  # the shape (B, C, T) in the middle of BeatGAN's encoder
_reduced = False  # a plain variable: torch.compile cannot look into others


@contextmanager
def reduced(precision: Precision) -> Iterator[None]:
    """Run hidden layers in bfloat16 meanwhile, if `precision` says so; "auto" has to be resolved before."""
    global _reduced
    before, _reduced = _reduced, precision == "bfloat16"
    try:
        yield
    finally:
        _reduced = before


def hidden(layers: Callable[[Tensor], Tensor], x: Tensor) -> Tensor:
    """The output of hidden layers for x, both float32, in the precision of the training."""
    if not _reduced:
        return layers(x)
    with torch.autocast(x.device.type, torch.bfloat16):
        return layers(x).float()


class Hidden(nn.Sequential):
    """A chain of hidden layers."""

    def forward(self, x: Tensor) -> Tensor:
        return hidden(super().forward, x)


def resolved(precision: Precision, device: torch.device) -> Precision:
    """The precision that `precision` means on a device: "auto" is the faster one, measured on a few steps."""
    return _faster(device) if precision == "auto" else precision


def _faster(device: torch.device) -> Precision:
    return "bfloat16" if speed_up(device) >= GAIN else "float32"


@lru_cache
def speed_up(device: torch.device) -> float:
    """How many times faster a training step is in bfloat16 than in float32, measured on a few steps."""
    # Measured instead of asked: processors without bfloat16 emulate it, many times slower than float32.
    layer = Conv1d(PROBE[1], 2 * PROBE[1], 4, 2, 1).to(device)
    x = torch.ones(PROBE, device=device)
    seconds: dict[Precision, list[float]] = {"float32": [], "bfloat16": []}
    for _ in range(12):
        for precision, spent in seconds.items():
            start = time.perf_counter()
            with reduced(precision):
                hidden(layer, x).square().mean().backward()
            if device.type == "cuda":
                torch.cuda.synchronize(device)
            spent.append(time.perf_counter() - start)
    fastest = {precision: min(spent[2:]) for precision, spent in seconds.items()}
    return fastest["float32"] / fastest["bfloat16"]
