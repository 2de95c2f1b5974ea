"""R2's two scenarios: SimCLR's contrast inside BeatGAN's training (report R2, sections 4.3.1 and 4.3.2).

R2 wants SimCLR's model in the discriminator (scenario 1) and all losses "suitably integrated" (scenario 2); it gives no
formula for either. Read here as: D's loss becomes BCE + gamma NT-Xent over two views of each real beat, seen through
D's features; G's becomes L = L_G + L_KD + gamma NT-Xent over the codes z of two views.
"""

from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from typing import Literal

import numpy as np
from torch import Tensor, nn

from ecglib.beatgan.networks import LATENT, Discriminator, Generator
from ecglib.core.errors import EcglibError
from ecglib.data.augment import random_view
from ecglib.simclr.losses import NTXent
from ecglib.simclr.networks import ProjectionHead

Place = Literal["discriminator", "generator"]


@dataclass(frozen=True)
class Contrast:
    """Where beats are contrasted and how much that weighs.

    Attributes:
        places: "discriminator" is scenario 1, "generator" scenario 2.
        gamma: weight of NT-Xent.
        temperature: tau of NT-Xent.
        hidden: units of the projection head's hidden layer.
        outputs: numbers in which views are compared.
        pretraining: epochs in which D learns contrast alone, before BeatGAN's training begins.
    """

    places: tuple[Place, ...]
    gamma: float = 0.1
    temperature: float = 0.1  # SimCLR's best
    hidden: int = 256
    outputs: int = 64
    pretraining: int = 0

    def __post_init__(self) -> None:
        if not self.places or set(self.places) - {"discriminator", "generator"}:
            raise EcglibError(f"places={self.places}: contrast goes into the discriminator, the generator or both.")
        if self.pretraining and "discriminator" not in self.places:
            raise EcglibError("Only the discriminator can be pretrained: add it to places.")


def new_heads(settings: Contrast, discriminator: Discriminator) -> dict[str, ProjectionHead]:
    """A projection head for each place, on the device of the discriminator."""
    weight = next(discriminator.classifier.parameters())
    sizes = {"discriminator": weight.shape[1], "generator": LATENT}
    return {
        place: ProjectionHead(sizes[place], settings.hidden, settings.outputs).to(weight.device)
        for place in settings.places
    }


def discriminator_term(settings: Contrast, head: ProjectionHead, discriminator: Discriminator, x: Tensor) -> Tensor:
    """NT-Xent of D's features, averaged over time, of two views of each beat x (B, C, 320); without gamma."""
    h = [discriminator.features(random_view(x)).mean(dim=2) for _ in range(2)]
    return NTXent(settings.temperature)(head(h[0]), head(h[1]))


def generator_term(settings: Contrast, head: ProjectionHead, generator: Generator, x: Tensor) -> Tensor:
    """NT-Xent of the codes z of two views of each beat x (B, C, 320); without gamma.

    The running statistics of the encoder stay as they are: at test time it sees beats, not views.
    """
    with statistics_kept(generator):
        z = [generator.encoder(random_view(x))[:, :, 0] for _ in range(2)]
    return NTXent(settings.temperature)(head(z[0]), head(z[1]))


@contextmanager
def statistics_kept(model: nn.Module) -> Iterator[None]:
    """BatchNorm normalises over each batch as usual, but its running statistics do not move."""
    layers = [module for module in model.modules() if isinstance(module, nn.BatchNorm1d)]
    before = [layer.momentum for layer in layers]
    for layer in layers:
        layer.momentum = 0.0
    try:
        yield
    finally:
        for layer, momentum in zip(layers, before, strict=True):
            layer.momentum = momentum


def same_patient_share(patients: np.ndarray) -> float:
    """The share of a batch's negatives that are expected to be beats of the same patient, drawn from patients (N,)."""
    _, counts = np.unique(patients, return_counts=True)
    return float((counts * (counts - 1)).sum() / (len(patients) * (len(patients) - 1)))
