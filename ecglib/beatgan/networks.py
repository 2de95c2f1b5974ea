"""BeatGAN's networks (report R1, section 3.3.1 and figures 1-3; Zhou et al., IJCAI 2019).

The generator is a convolutional autoencoder, the discriminator an encoder with one output. Beats are (B, C, 320) in
[-1, 1] and the latent code is (B, 50, 1). `channels` is the number of leads, `width` a multiple of the report's
hidden channels; the code has 50 numbers at any width.
"""

import itertools
from collections.abc import Sequence

import torch
from torch import Tensor, nn

from ecglib.core.convolution import Conv1d, ConvTranspose1d
from ecglib.core.precision import Hidden, hidden

SAMPLES = 320
LATENT = 50  # nz
WIDTHS = (32, 64, 128, 256, 512)  # 320 -> 160 -> 80 -> 40 -> 20 -> 10 samples
BOTTLENECK = SAMPLES // 2 ** len(WIDTHS)


def initialise(module: nn.Module, source: torch.Generator | None = None) -> None:
    """Xavier-normal convolutions, BatchNorm weights from N(1, 0.02) and zero biases; for `model.apply`."""
    if isinstance(module, nn.Conv1d | nn.ConvTranspose1d):
        nn.init.xavier_normal_(module.weight, generator=source)
    elif isinstance(module, nn.BatchNorm1d):
        nn.init.normal_(module.weight, 1.0, 0.02, generator=source)
        nn.init.zeros_(module.bias)


def scaled_widths(width: float) -> tuple[int, ...]:
    """The hidden channels at a width, at least 1: 0.5 gives 16 to 256."""
    return tuple(max(1, round(width * channels)) for channels in WIDTHS)


def downsampling(channels: int, width: float = 1) -> Hidden:
    """(B, C, 320) -> (B, 512 x width, 10): five strided convolutions, BatchNorm on all but the first."""
    layers: list[nn.Module] = []
    for position, (before, after) in enumerate(itertools.pairwise((channels, *scaled_widths(width)))):
        layers.append(Conv1d(before, after, kernel_size=4, stride=2, padding=1, bias=False))
        if position > 0:
            layers.append(nn.BatchNorm1d(after))
        layers.append(nn.LeakyReLU(0.2, inplace=True))
    return Hidden(*layers)


class Encoder(nn.Module):
    """Figure 3: x (B, C, 320) -> z (B, `outputs`, 1)."""

    def __init__(self, channels: int = 1, outputs: int = LATENT, width: float = 1) -> None:
        super().__init__()
        self.features = downsampling(channels, width)
        self.head = Conv1d(scaled_widths(width)[-1], outputs, kernel_size=BOTTLENECK, bias=False)

    def forward(self, x: Tensor) -> Tensor:
        return self.head(self.features(x))  # (B, C, 320) -> (B, 512, 10) -> (B, outputs, 1)


class Decoder(nn.Module):
    """Figure 2: z (B, 50, 1) -> x' (B, C, 320) in [-1, 1]."""

    def __init__(self, channels: int = 1, width: float = 1) -> None:
        super().__init__()
        widths = scaled_widths(width)[::-1]
        layers: list[nn.Module] = [ConvTranspose1d(LATENT, widths[0], kernel_size=BOTTLENECK)]
        for before, after in itertools.pairwise(widths):
            layers += [nn.BatchNorm1d(before), nn.ReLU(inplace=True)]
            layers.append(ConvTranspose1d(before, after, kernel_size=4, stride=2, padding=1))
        layers += [nn.BatchNorm1d(widths[-1]), nn.ReLU(inplace=True)]
        layers.append(ConvTranspose1d(widths[-1], channels, kernel_size=4, stride=2, padding=1))
        self.layers = nn.Sequential(*layers, nn.Tanh())

    def forward(self, z: Tensor) -> Tensor:
        return self.layers[-2:](hidden(self.layers[:-2], z))  # (B, 50, 1) -> (B, 512, 10) -> ... -> (B, C, 320)


class Generator(nn.Module):
    """Figure 1's autoencoder, 1,908,800 parameters for one lead: x (B, C, 320) -> x', z."""

    def __init__(self, channels: int = 1, width: float = 1) -> None:
        super().__init__()
        self.encoder = Encoder(channels, width=width)
        self.decoder = Decoder(channels, width)
        self.apply(initialise)

    def forward(self, x: Tensor) -> tuple[Tensor, Tensor]:
        z = self.encoder(x)
        return self.decoder(z), z


class Discriminator(nn.Module):
    """Figure 1's D, 703,488 parameters for one lead: x (B, C, 320) -> probability that x is real (B,), features.

    The features (B, 512, 10) before the last convolution are the f_D of equation 1.
    """

    def __init__(self, channels: int = 1, width: float = 1) -> None:
        super().__init__()
        encoder = Encoder(channels, outputs=1, width=width)
        self.features = encoder.features
        self.classifier = nn.Sequential(encoder.head, nn.Sigmoid())
        self.apply(initialise)

    def forward(self, x: Tensor) -> tuple[Tensor, Tensor]:
        features = self.features(x)
        return self.classifier(features).flatten(), features


@torch.no_grad()
def layer_shapes(chain: Sequence[nn.Module], x: Tensor) -> list[tuple[str, str]]:
    """Name and output shape of each convolution of a chain of modules, the input first: ("Conv k4, /2", "64 x 80")."""
    steps = [("input", f"{x.shape[1]} x {x.shape[2]}")]
    for module in chain:
        x = module(x)
        if isinstance(module, nn.Conv1d | nn.ConvTranspose1d):
            name = "Conv" if isinstance(module, nn.Conv1d) else "ConvT"
            stride = {"Conv": "/", "ConvT": "x"}[name] + str(module.stride[0])
            steps.append((f"{name} k{module.kernel_size[0]}, {stride}", f"{x.shape[1]} x {x.shape[2]}"))
    return steps


@torch.no_grad()
def anomaly_scores(generator: nn.Module, x: Tensor, batch_size: int = 128) -> Tensor:
    """R1's anomaly score (N,): the mean squared reconstruction error of each beat of x (N, C, 320).

    `generator` keeps its mode: evaluation, or training as in R1, where BatchNorm normalises over `batch_size` beats.
    """
    return torch.cat([(generator(part)[0] - part).square().mean(dim=(1, 2)) for part in x.split(batch_size)])
