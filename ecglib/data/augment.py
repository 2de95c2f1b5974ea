"""Changes to a beat that leave it the same kind of beat."""

import torch
from torch import Tensor

from ecglib.data.mitbih import BEFORE, WINDOW

TICKS = 7  # of each half that are stretched, and as many that are dropped (BeatGAN's program)


def time_warp(x: Tensor) -> Tensor:
    """BeatGAN's "time warping" (Zhou et al. 2019, section 3.4; not DTW): parts run slower, parts run faster.

    In each of the ticks [0, 140) and [140, 319), seven ticks are followed by one more, half-way to the next tick, and
    seven others are dropped, so that the beat keeps its length and its R peak its place within a few ticks.

    Args:
        x: (B, C, 320); all leads of a beat are warped alike. Ticks are drawn from torch's global generator.

    Returns:
        (B, C, 320).
    """
    halves = []
    for start, stop in ((0, BEFORE), (BEFORE, WINDOW - 1)):
        drawn = torch.rand(len(x), stop - start).argsort(dim=1)
        # A tick's weight is how often it appears: 2 stretched, 0 dropped, 1 left alone.
        repeats = torch.ones(len(x), stop - start, dtype=torch.long)
        repeats.scatter_(1, drawn[:, :TICKS], 2).scatter_(1, drawn[:, TICKS : 2 * TICKS], 0)
        ticks = torch.arange(start, stop).expand(len(x), -1)
        flat = ticks.reshape(-1).repeat_interleave(repeats.reshape(-1)).view(len(x), -1)
        # The second appearance of a tick is the point half-way to the next one.
        again = torch.zeros_like(flat, dtype=torch.float32)
        again[:, 1:] = 0.5 * (flat[:, 1:] == flat[:, :-1])
        halves.append(flat + again)
    position = torch.cat([*halves, torch.full((len(x), 1), float(WINDOW - 1))], dim=1).to(x.device)
    left = position.floor().long()[:, None].expand_as(x)
    fraction = (position - position.floor())[:, None]
    return x.gather(2, left) * (1 - fraction) + x.gather(2, (left + 1).clamp(max=WINDOW - 1)) * fraction
