"""Changes to a beat that leave it the same kind of beat.

Each takes scaled beats (B, C, 320) and draws from torch's global generator, for every beat anew; the leads of a beat
are changed alike, except by jitter and lead dropout. Their ranges keep a beat plausible: a normal one must not become
one that a cardiologist would call abnormal.
"""

from collections.abc import Callable
from dataclasses import dataclass
from functools import partial

import torch
from torch import Tensor

from ecglib.core.config import Checked
from ecglib.data.mitbih import BEFORE, FS, WINDOW

WARPED = 2 / 3


@dataclass(frozen=True)
class Views(Checked):
    """The ranges of the augmentations that make SimCLR's views.

    Attributes:
        warped: ticks of each half that are stretched, and as many that are dropped (BeatGAN's program).
        amplitude: by how much at most a beat is larger or smaller.
        noise: standard deviation of white noise; a beat's range is 2.
        wander: largest amplitude of the slow wave.
        shift: ticks.
        masked: ticks, at most.
        silent: probability that one of two leads is silent.
    """

    warped: int = 7
    amplitude: float = 0.15
    noise: float = 0.02
    wander: float = 0.1
    shift: int = 6
    masked: int = 24
    silent: float = 0.2

    @property
    def augmentations(self) -> dict[str, Callable[[Tensor], Tensor]]:
        """Name -> augmentation with these ranges, in the order in which a view has them."""
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
    """BeatGAN's "time warping" (Zhou et al. 2019, section 3.4; not DTW): parts run slower, parts run faster.

    In each of the ticks [0, 140) and [140, 319), seven ticks are followed by one more, half-way to the next tick, and
    seven others are dropped, so that the beat keeps its length and its R peak its place within a few ticks.

    Args:
        x: (B, C, 320); all leads of a beat are warped alike. Ticks are drawn from torch's global generator.
        ticks: of each half that are stretched, and as many that are dropped.

    Returns:
        (B, C, 320).
    """
    halves = []
    for start, stop in ((0, BEFORE), (BEFORE, WINDOW - 1)):
        drawn = torch.rand(len(x), stop - start).argsort(dim=1)
        # A tick's weight is how often it appears: 2 stretched, 0 dropped, 1 left alone.
        repeats = torch.ones(len(x), stop - start, dtype=torch.long)
        repeats.scatter_(1, drawn[:, :ticks], 2).scatter_(1, drawn[:, ticks : 2 * ticks], 0)
        places = torch.arange(start, stop).expand(len(x), -1)
        flat = places.reshape(-1).repeat_interleave(repeats.reshape(-1)).view(len(x), -1)
        # The second appearance of a tick is the point half-way to the next one.
        again = torch.zeros_like(flat, dtype=torch.float32)
        again[:, 1:] = 0.5 * (flat[:, 1:] == flat[:, :-1])
        halves.append(flat + again)
    position = torch.cat([*halves, torch.full((len(x), 1), float(WINDOW - 1))], dim=1).to(x.device)
    left = position.floor().long()[:, None].expand_as(x)
    fraction = (position - position.floor())[:, None]
    return x.gather(2, left) * (1 - fraction) + x.gather(2, (left + 1).clamp(max=WINDOW - 1)) * fraction


def warp_most(x: Tensor) -> Tensor:
    """Two of three beats warped, as in BeatGAN's training set of each beat and two warped copies. (B, C, 320)."""
    chosen = (torch.rand(len(x)) < WARPED).to(x.device)
    return torch.where(chosen[:, None, None], time_warp(x), x)


def amplitude_scale(x: Tensor, spread: float = Views.amplitude) -> Tensor:
    """The whole beat larger or smaller by up to `spread`: electrodes and breathing change amplitude. (B, C, 320)."""
    return x * _uniform(x, 1 - spread, 1 + spread)


def jitter(x: Tensor, deviation: float = Views.noise) -> Tensor:
    """White noise with a standard deviation of 1 % of the beat's range: muscle and amplifier. (B, C, 320)."""
    return x + deviation * torch.randn(x.shape).to(x.device)


def baseline_wander(x: Tensor, amplitude: float = Views.wander) -> Tensor:
    """A slow wave of at most `amplitude`, 0.15 to 0.5 Hz, of any phase: breathing. (B, C, 320)."""
    seconds = torch.arange(WINDOW, device=x.device) / FS
    phase = 2 * torch.pi * (_uniform(x, 0.15, 0.5) * seconds + _uniform(x, 0, 1))
    return x + _uniform(x, 0, amplitude) * torch.sin(phase)


def time_shift(x: Tensor, ticks: int = Views.shift) -> Tensor:
    """The window up to `ticks` (17 ms) earlier or later, edges repeated: annotations are not exact. (B, C, 320)."""
    shift = torch.randint(-ticks, ticks + 1, (len(x), 1)).to(x.device)
    index = (torch.arange(WINDOW, device=x.device) + shift).clamp(0, WINDOW - 1)
    return x.gather(2, index[:, None].expand_as(x))


def segment_mask(x: Tensor, ticks: int = Views.masked) -> Tensor:
    """A stretch of up to `ticks` (67 ms) replaced by a straight line between its ends: lost samples. (B, C, 320)."""
    length = torch.randint(2, ticks + 1, (len(x), 1, 1)).to(x.device)
    start = (torch.rand(len(x), 1, 1).to(x.device) * (WINDOW - length)).long()
    place = (torch.arange(WINDOW, device=x.device) - start) / length  # 0 at the stretch's start, 1 at its end
    first, last = (x.gather(2, end.expand(-1, x.shape[1], 1)) for end in (start, start + length))
    return torch.where((place > 0) & (place < 1), first + place * (last - first), x)


def lead_dropout(x: Tensor, probability: float = Views.silent) -> Tensor:
    """One of two leads silent in `probability` of the beats; a single lead is left alone. (B, C, 320)."""
    if x.shape[1] == 1:
        return x
    lead = torch.randint(x.shape[1], (len(x), 1, 1)).to(x.device)
    silent = (torch.rand(len(x), 1, 1) < probability).to(x.device)
    return x.masked_fill(silent & (torch.arange(x.shape[1], device=x.device)[:, None] == lead), 0)


def random_view(x: Tensor, views: Views = Views()) -> Tensor:
    """One view for SimCLR: all augmentations, one after another, each drawn anew for every beat. (B, C, 320)."""
    for augmentation in views.augmentations.values():
        x = augmentation(x)
    return x


def _uniform(x: Tensor, low: float, high: float) -> Tensor:
    """A number a beat, (B, 1, 1), the same for all its leads and ticks."""
    return (low + (high - low) * torch.rand(len(x), 1, 1)).to(x.device)
