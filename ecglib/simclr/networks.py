"""SimCLR's parts around a base encoder (Chen et al. 2020; report R2, section 3.3.2.1 and figure 3).

The base encoder f maps two views of each beat (`ecglib.data.augment.random_view`) to h, and the projection head g maps
h to z, where `nt_xent` compares them. After training the head is dropped, and h is the embedding.
"""

from torch import Tensor, nn

from ecglib.beatgan.networks import downsampling, initialise, scaled_widths


class ProjectionHead(nn.Module):
    """g of figure 3, h (B, inputs) -> z (B, outputs): a perceptron with one hidden layer."""

    def __init__(self, inputs: int, hidden: int, outputs: int) -> None:
        super().__init__()
        self.layers = nn.Sequential(nn.Linear(inputs, hidden), nn.ReLU(inplace=True), nn.Linear(hidden, outputs))

    def forward(self, h: Tensor) -> Tensor:
        return self.layers(h)


class BaseEncoder(nn.Module):
    """f of figure 3, x (B, C, 320) -> h (B, 512 x width): the discriminator's convolutions, averaged over time.

    R2 adds SimCLR to the discriminator; here the same layers show what contrast alone learns.
    """

    def __init__(self, channels: int = 1, width: float = 1) -> None:
        super().__init__()
        self.features = downsampling(channels, width)
        self.size = scaled_widths(width)[-1]
        self.apply(initialise)

    def forward(self, x: Tensor) -> Tensor:
        return self.features(x).mean(dim=2)  # (B, C, 320) -> (B, 512, 10) -> (B, 512)
