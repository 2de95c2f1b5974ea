"""The classifiers of report R3 (figures 7-1, 8-1, 16-1, 17-1, table 2), and the field's strongest small reference.

All map x (B, leads, T) to logits (B, 5); the sigmoid that ends R3's networks is in the loss. T may differ from
1,000 samples except for the Inception network, whose dense layer needs it.
"""

from collections.abc import Callable, Sequence
from functools import partial

import torch
from torch import Tensor, nn
from torch.nn import functional as F

from ecglib.core.convolution import Conv1d
from ecglib.core.errors import EcglibError
from ecglib.core.precision import Hidden, hidden
from ecglib.data.ptbxl import LEADS, SAMPLES, SUPERCLASSES

CLASSES = len(SUPERCLASSES)
DROPOUT = 0.5  # R3's programs
KERNEL = 10  # samples of every convolution of a `ConvNet`
# R3 table 2 names no widths, only how many parameters its CNNs of two to four convolutions have. These come nearest
# with the teacher's block and `KERNEL`.
LADDER: dict[str, tuple[int, ...]] = {
    "6.5M": (100, 250, 500, 1000),
    "1.5M": (100, 250, 500),
    "1.2M": (90, 200, 500),
    "915K": (100, 250, 260),
    "260K": (70, 100, 180),
    "124K": (30, 70, 140),
    "57K": (50, 100),
}


class ConvNet(nn.Module):
    """R3's block, once a width: convolution without padding, BatchNorm if `normalised`, ReLU, pooling by 2, dropout."""

    def __init__(
        self,
        widths: Sequence[int],
        leads: int = len(LEADS),
        normalised: bool = True,
        dropout: float = DROPOUT,
    ) -> None:
        super().__init__()
        self.blocks = nn.ModuleList()
        for inputs, width in zip((leads, *widths), widths, strict=False):
            normalise = [nn.BatchNorm1d(width)] if normalised else []
            self.blocks.append(Hidden(Conv1d(inputs, width, KERNEL), *normalise, nn.ReLU(), nn.MaxPool1d(2)))
        self.pool = nn.AdaptiveAvgPool1d(1)
        self.dropout = nn.Dropout(dropout)
        self.classifier = nn.Linear(widths[-1], CLASSES)

    def features(self, x: Tensor) -> list[Tensor]:
        """The output of every block."""
        found = []
        for number, block in enumerate(self.blocks):
            # Dropout stands between blocks; the last block's is the one behind the pooling (figure 16-1, rows 19-21).
            x = block(self.dropout(x) if number else x)
            found.append(x)
        return found

    def head(self, features: Tensor) -> Tensor:
        """Logits (B, 5) from the last block's output."""
        return self.classifier(self.dropout(self.pool(features).flatten(1)))

    def forward(self, x: Tensor) -> Tensor:
        return self.head(self.features(x)[-1])


def network_of(size: str) -> str:
    """The key in `MODELS` of a row of table 2; the largest is the teacher."""
    return "teacher" if size == "6.5M" else size


def convnet(size: str, leads: int = len(LEADS), dropout: float = DROPOUT) -> ConvNet:
    """A network of table 2, by a key of `LADDER`."""
    return ConvNet(LADDER[size], leads=leads, dropout=dropout)


def teacher(leads: int = len(LEADS), dropout: float = DROPOUT) -> ConvNet:
    """Figure 16-1: 6,522,555 parameters with 12 leads."""
    return convnet("6.5M", leads, dropout)


def student(leads: int = len(LEADS), dropout: float = DROPOUT) -> ConvNet:
    """Figure 17-1: 534,005 parameters with 12 leads."""
    return ConvNet((50, 150, 300), leads=leads, dropout=dropout)


def unnormalised(leads: int = len(LEADS), dropout: float = DROPOUT) -> ConvNet:
    """The network of figures 13 and 14, "about 610K parameters": 614,055 with 12 leads, without BatchNorm.

    R3's text gives no layers. A CNN in its repository has this layout; its FLOPs, counted as R3 does
    (`measure.flops_as_r3`), are exactly those of figure 14-4.
    """
    return ConvNet((100, 150, 300), leads=leads, normalised=False, dropout=dropout)


class Plain(nn.Module):
    """Figure 8-1, R3's plain CNN without BatchNorm: 429,505 parameters."""

    def __init__(self, leads: int = len(LEADS), dropout: float = DROPOUT) -> None:
        super().__init__()
        self.convolutions = nn.ModuleList(
            [Conv1d(leads, 50, 5), Conv1d(50, 100, 10), Conv1d(100, 150, 5), Conv1d(150, 200, 10)]
        )
        self.halve = nn.MaxPool1d(2)
        self.pool = nn.AdaptiveAvgPool1d(1)
        self.dropout = nn.Dropout(dropout)
        self.classifier = nn.Linear(200, CLASSES)

    def forward(self, x: Tensor) -> Tensor:
        for number, convolution in enumerate(self.convolutions):
            x = self.halve(F.relu(hidden(convolution, x)))
            if number == 1:
                x = self.dropout(x)
        return self.classifier(self.dropout(self.pool(x).flatten(1)))


class Inception(nn.Module):
    """Figure 7-1: 4,265,189 trained parameters and 1,088 running statistics; x is (B, leads, 1000)."""

    def __init__(self, leads: int = len(LEADS)) -> None:
        super().__init__()

        def convolution(inputs: int, outputs: int, kernel: int) -> nn.Sequential:
            return Hidden(Conv1d(inputs, outputs, kernel, padding="same"), nn.ReLU())

        def dense(inputs: int, outputs: int) -> nn.Sequential:
            return nn.Sequential(nn.Linear(inputs, outputs), nn.ReLU(), nn.BatchNorm1d(outputs))

        self.stem = Hidden(
            *(convolution(leads, 32, 7), nn.BatchNorm1d(32)),
            *(convolution(32, 128, 5), nn.MaxPool1d(2), nn.BatchNorm1d(128)),
            *(convolution(128, 64, 7), nn.MaxPool1d(2), nn.BatchNorm1d(64)),
            *(convolution(64, 64, 5), nn.MaxPool1d(2), nn.BatchNorm1d(64)),
        )
        self.branches = nn.ModuleList(
            [
                convolution(64, 64, 1),
                Hidden(convolution(64, 64, 1), convolution(64, 64, 3)),
                Hidden(convolution(64, 64, 1), convolution(64, 64, 5)),
                Hidden(nn.MaxPool1d(3, stride=1, padding=1), convolution(64, 64, 1)),
            ]
        )
        self.head = nn.Sequential(dense(4 * 64 * SAMPLES // 8, 128), dense(128, 128), nn.Linear(128, CLASSES))

    def forward(self, x: Tensor) -> Tensor:
        x = self.stem(x)
        return self.head(torch.cat([branch(x) for branch in self.branches], dim=1).flatten(1))


class _ResidualBlock(nn.Module):
    def __init__(self, width: int, stride: int) -> None:
        super().__init__()
        self.path = nn.Sequential(
            Conv1d(width, width, 5, stride, padding=2, bias=False),
            nn.BatchNorm1d(width),
            nn.ReLU(),
            Conv1d(width, width, 3, padding=1, bias=False),
            nn.BatchNorm1d(width),
        )
        self.carried: nn.Module = nn.Identity()
        if stride > 1:
            self.carried = nn.Sequential(Conv1d(width, width, 1, stride, bias=False), nn.BatchNorm1d(width))

    def forward(self, x: Tensor) -> Tensor:
        return F.relu(self.path(x) + self.carried(x))


class ResNet(nn.Module):
    """The published benchmark's "resnet1d_wang" (Strodthoff et al. 2021, after Wang et al. 2017): 473,349 parameters.

    Built from its description: a stem of kernel 7, three residual blocks of 128 channels, mean and maximum over time,
    one hidden layer of 128 units.
    """

    def __init__(self, leads: int = len(LEADS)) -> None:
        super().__init__()
        width = 128
        self.stem = Hidden(Conv1d(leads, width, 7, padding=3, bias=False), nn.BatchNorm1d(width), nn.ReLU())
        self.blocks = Hidden(_ResidualBlock(width, 1), _ResidualBlock(width, 2), _ResidualBlock(width, 2))
        self.head = nn.Sequential(
            *(nn.BatchNorm1d(2 * width), nn.Dropout(0.25), nn.Linear(2 * width, width), nn.ReLU()),
            *(nn.BatchNorm1d(width), nn.Dropout(0.5), nn.Linear(width, CLASSES)),
        )

    def forward(self, x: Tensor) -> Tensor:
        x = self.blocks(self.stem(x))
        return self.head(torch.cat([x.amax(dim=2), x.mean(dim=2)], dim=1))


MODELS: dict[str, Callable[[int, float], nn.Module]] = {
    "teacher": teacher,
    "student": student,
    "614K": unnormalised,
    "plain": Plain,
    "inception": lambda leads, _: Inception(leads),
    "resnet": lambda leads, _: ResNet(leads),
    **{size: partial(convnet, size) for size in LADDER},
}


def build(name: str, leads: int, dropout: float = DROPOUT) -> nn.Module:
    """A new network, by a key of `MODELS`; Inception has no dropout, and the benchmark's network its own.

    Raises:
        EcglibError: there is no such network.
    """
    if name not in MODELS:
        raise EcglibError(f"There is no network {name!r}: choose one of {', '.join(MODELS)}.")
    return MODELS[name](leads, dropout)
