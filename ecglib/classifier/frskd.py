"""FRSKD in one dimension: a self-teacher that refines its own classifier's features (Ji et al. 2021; reports R1, R2).

R1 and R2 describe it (section 2.2.3) but built something else. The classifier's blocks feed a top-down path, which
brings the knowledge of late blocks to early ones, and a bottom-up path, which carries it back. The self-teacher
classifies the refined features; its answer and its attention teach the classifier. It is not used at test time.

Two things are simpler than in the paper: all levels have one width, and the convolutions are not depthwise.
"""

from collections.abc import Sequence

import torch
from torch import Tensor, nn
from torch.nn import functional as F

from ecglib.beatgan.losses import attention
from ecglib.classifier.losses import BinaryKL
from ecglib.classifier.networks import CLASSES, ConvNet
from ecglib.core.convolution import Conv1d
from ecglib.core.precision import Hidden

WIDTH = 64  # channels of every level of the self-teacher


class Fusion(nn.Module):
    """A weighted mean of maps of one size, with learned weights that are never negative, then a convolution."""

    def __init__(self, inputs: int, width: int) -> None:
        super().__init__()
        self.weights = nn.Parameter(torch.ones(inputs))
        self.convolution = Hidden(Conv1d(width, width, 3, padding=1), nn.BatchNorm1d(width), nn.ReLU())

    def forward(self, *maps: Tensor) -> Tensor:
        weights = F.relu(self.weights)
        mixed = sum(weight * part for weight, part in zip(weights, maps, strict=True)) / (weights.sum() + 1e-4)
        return self.convolution(mixed)


class SelfTeacher(nn.Module):
    """Refined features and logits from a classifier's features; `channels` are those of its blocks, first to last."""

    def __init__(self, channels: Sequence[int], width: int = WIDTH) -> None:
        super().__init__()
        self.lateral = nn.ModuleList([Conv1d(inputs, width, 1) for inputs in channels])
        self.down = nn.ModuleList([Fusion(2, width) for _ in channels[:-1]])
        self.up = nn.ModuleList([Fusion(3, width) for _ in channels[1:-1]] + [Fusion(2, width)])
        self.classifier = nn.Linear(width, CLASSES)

    def forward(self, features: Sequence[Tensor]) -> tuple[list[Tensor], Tensor]:
        """Features (B, C_i, T_i) -> refined maps (B, width, T_i), and logits (B, 5)."""
        level = [lateral(part) for lateral, part in zip(self.lateral, features, strict=True)]
        path = [level[-1]]
        for own, fuse in zip(reversed(level[:-1]), reversed(self.down), strict=True):
            path.insert(0, fuse(own, F.interpolate(path[0], own.shape[2])))
        refined = [path[0]]
        for number, fuse in enumerate(self.up, start=1):
            below = _halved(refined[-1], level[number].shape[2])
            maps = (level[number], path[number], below) if number < len(level) - 1 else (level[number], below)
            refined.append(fuse(*maps))
        return refined, self.classifier(refined[-1].mean(dim=2))


def _halved(x: Tensor, length: int) -> Tensor:
    """Maps (B, C, T) pooled by 2 as between blocks, then cut at both ends to the length after an unpadded convolution.

    `F.adaptive_max_pool1d`, which would need no cutting, has no repeatable gradient on a GPU.
    """
    pooled = F.max_pool1d(x, 2)
    start = (pooled.shape[2] - length) // 2
    return pooled[:, :, start : start + length]


class SelfTaught(nn.Module):
    """A classifier with its self-teacher; from outside it behaves like the classifier.

    `temperature` is T of the divergence, `alpha` the weight of the self-teacher's answer, `beta` that of its attention.
    """

    def __init__(self, classifier: ConvNet, temperature: float, alpha: float, beta: float) -> None:
        super().__init__()
        self.classifier = classifier
        channels = [block[0].out_channels for block in classifier.blocks]  # type: ignore[index]
        self.teacher = SelfTeacher(channels)
        self.divergence = BinaryKL(temperature)
        self.alpha, self.beta = alpha, beta
        self.features: list[Tensor] = []

    def forward(self, x: Tensor) -> Tensor:
        self.features = self.classifier.features(x)
        return self.classifier.head(self.features[-1])

    def loss(self, batch: Tensor, logits: Tensor, targets: Tensor) -> Tensor:
        """BCE of classifier and self-teacher + alpha KL + beta attention transfer, of the last forward pass.

        The transfer is averaged over records and time, as in FRSKD's program, to which its beta belongs. The
        self-teacher learns from the labels alone: KL and transfer send it no gradient.
        """
        refined, taught = self.teacher(self.features)
        labels = F.binary_cross_entropy_with_logits(logits, targets) + F.binary_cross_entropy_with_logits(
            taught, targets
        )
        pairs = zip(self.features, refined, strict=True)
        transfer = torch.stack([F.mse_loss(attention(own), attention(better.detach())) for own, better in pairs]).sum()
        return labels + self.alpha * self.divergence(logits, taught.detach()) + self.beta * transfer
