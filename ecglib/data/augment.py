"""Augmentations: changes to a beat that do not change its class.

Each maps scaled beats (B, C, 320) to changed ones of the same shape. It draws from torch's global generator of their
device for each beat, and changes all leads of a beat alike, except for jitter and lead dropout. The ranges are so small
that a cardiologist would not call a changed normal beat abnormal.
"""

import math
from collections.abc import Callable
from dataclasses import dataclass
from functools import partial
from typing import ClassVar

import torch
from torch import Tensor

from ecglib.core.config import Checked
from ecglib.data.mitbih import BEFORE, FS, WINDOW

WARPED = 2 / 3  # share of the beats that `warp_most` warps


@dataclass(frozen=True)
class Views(Checked):
    """The ranges of the augmentations that make SimCLR's views; scaled beats have a range of 2."""

    warped: int = 7  # ticks of each half that are repeated, and as many that are dropped (BeatGAN's program)
    amplitude: float = 0.15  # largest relative change
    noise: float = 0.02  # standard deviation
    wander: float = 0.1  # largest amplitude
    shift: int = 6  # largest shift, ticks
    masked: int = 24  # longest mask, ticks
    silent: float = 0.2  # probability that one of two leads is zero

    LIMITS: ClassVar = {
        "warped": (0, 70),  # half of a half, so that what is repeated makes room for what is dropped
        "amplitude": (0, 1),
        "noise": (0, math.inf),
        "wander": (0, math.inf),
        "shift": (0, WINDOW - 1),
        "masked": (2, WINDOW - 1),
        "silent": (0, 1),
    }

    @property
    def augmentations(self) -> dict[str, Callable[[Tensor], Tensor]]:
        """Name -> augmentation with these ranges, in the order of their application."""
        return {
            "time warp": partial(time_warp, ticks=self.warped),
            "amplitude scale": partial(amplitude_scale, spread=self.amplitude),
            "jitter": partial(jitter, deviation=self.noise),
            "baseline wander": partial(baseline_wander, amplitude=self.wander),
            "time shift": partial(time_shift, ticks=self.shift),
            "segment mask": partial(segment_mask, ticks=self.masked),
            "lead dropout": partial(lead_dropout, probability=self.silent),
        }


def time_warp(x: Tensor, ticks: int = Views.warped) -> Tensor:
    """BeatGAN's "time warping" (Zhou et al. 2019, section 3.4; not DTW): parts become slower, others faster.

    In each half, [0, 140) and [140, 319), a point half-way to the next tick is inserted after `ticks` random ticks, and
    as many others are dropped. The beat keeps its length, and its R peak moves by a few ticks at most.
    """
    halves = []
    for start, stop in ((0, BEFORE), (BEFORE, WINDOW - 1)):
        drawn = torch.rand(len(x), stop - start, device=x.device).argsort(dim=1)
        repeats = torch.ones(len(x), stop - start, dtype=torch.long, device=x.device)
        repeats.scatter_(1, drawn[:, :ticks], 2).scatter_(1, drawn[:, ticks : 2 * ticks], 0)
        places = torch.arange(start, stop, device=x.device).expand(len(x), -1).reshape(-1)
        flat = places.repeat_interleave(repeats.reshape(-1), output_size=len(places)).view(len(x), -1)
        # The repetition of a tick becomes the point half-way to the next one.
        again = torch.zeros_like(flat, dtype=torch.float32)
        again[:, 1:] = 0.5 * (flat[:, 1:] == flat[:, :-1])
        halves.append(flat + again)
    position = torch.cat([*halves, torch.full((len(x), 1), float(WINDOW - 1), device=x.device)], dim=1)
    left = position.floor().long()[:, None].expand_as(x)
    fraction = (position - position.floor())[:, None]
    return x.gather(2, left) * (1 - fraction) + x.gather(2, (left + 1).clamp(max=WINDOW - 1)) * fraction


def warp_most(x: Tensor) -> Tensor:
    """Warp two of three beats: BeatGAN's training set has each beat and two warped copies."""
    chosen = torch.rand(len(x), device=x.device) < WARPED
    return torch.where(chosen[:, None, None], time_warp(x), x)


def amplitude_scale(x: Tensor, spread: float = Views.amplitude) -> Tensor:
    """Scale the beat by 1 - `spread` to 1 + `spread`, as electrodes and breathing do."""
    return x * _uniform(x, 1 - spread, 1 + spread)


def jitter(x: Tensor, deviation: float = Views.noise) -> Tensor:
    """Add white noise, as from muscles and the amplifier."""
    return x + deviation * torch.randn(x.shape, device=x.device)


def baseline_wander(x: Tensor, amplitude: float = Views.wander) -> Tensor:
    """Add a sine of 0.15 to 0.5 Hz with an amplitude of at most `amplitude`, as from breathing."""
    seconds = torch.arange(WINDOW, device=x.device) / FS
    phase = 2 * torch.pi * (_uniform(x, 0.15, 0.5) * seconds + _uniform(x, 0, 1))
    return x + _uniform(x, 0, amplitude) * torch.sin(phase)


def time_shift(x: Tensor, ticks: int = Views.shift) -> Tensor:
    """Shift the window by up to `ticks`, by default 17 ms, and repeat the edge: annotations are not exact."""
    shift = torch.randint(-ticks, ticks + 1, (len(x), 1), device=x.device)
    index = (torch.arange(WINDOW, device=x.device) + shift).clamp(0, WINDOW - 1)
    return x.gather(2, index[:, None].expand_as(x))


def segment_mask(x: Tensor, ticks: int = Views.masked) -> Tensor:
    """Replace up to `ticks`, by default 67 ms, by a straight line between their ends, as if samples were lost."""
    length = torch.randint(2, ticks + 1, (len(x), 1, 1), device=x.device)
    start = (torch.rand(len(x), 1, 1, device=x.device) * (WINDOW - length)).long()
    place = (torch.arange(WINDOW, device=x.device) - start) / length  # from 0 at the start of the mask to 1 at its end
    first, last = (x.gather(2, end.expand(-1, x.shape[1], 1)) for end in (start, start + length))
    return torch.where((place > 0) & (place < 1), first + place * (last - first), x)


def lead_dropout(x: Tensor, probability: float = Views.silent) -> Tensor:
    """Set one of two leads to zero with `probability`; a single lead is left as it is."""
    if x.shape[1] == 1:
        return x
    lead = torch.randint(x.shape[1], (len(x), 1, 1), device=x.device)
    silent = torch.rand(len(x), 1, 1, device=x.device) < probability
    return x.masked_fill(silent & (torch.arange(x.shape[1], device=x.device)[:, None] == lead), 0)


def random_view(x: Tensor, views: Views = Views()) -> Tensor:
    """One view for SimCLR: all augmentations, one after another."""
    for augmentation in views.augmentations.values():
        x = augmentation(x)
    return x


def _uniform(x: Tensor, low: float, high: float) -> Tensor:
    return low + (high - low) * torch.rand(len(x), 1, 1, device=x.device)
