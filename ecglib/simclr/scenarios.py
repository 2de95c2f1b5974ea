"""R2's two scenarios: contrast as a part of BeatGAN's training (report R2, sections 4.3.1 and 4.3.2).

R2 wants SimCLR's model in the discriminator (scenario 1) and all losses "suitably integrated" (scenario 2), but gives
no formula. Here scenario 1 makes D's loss BCE + gamma NT-Xent over D's features of two views of each real beat, and
scenario 2 makes G's loss L_G + L_KD + gamma NT-Xent over the codes z of two views.
"""

import math
from collections.abc import Callable, Iterator, Sequence
from contextlib import contextmanager
from dataclasses import KW_ONLY, dataclass, fields
from typing import ClassVar, Literal

import torch
from torch import Tensor, nn

from ecglib.beatgan.networks import LATENT, Generator
from ecglib.beatgan.task import BeatGANConfig
from ecglib.beatgan.training import State, Step, Term
from ecglib.core.config import Checked, digest
from ecglib.core.cuda_graph import Repeated, Row
from ecglib.core.errors import EcglibError
from ecglib.core.seeds import seed_everything
from ecglib.data.augment import Views, random_view
from ecglib.simclr.losses import nt_xent
from ecglib.simclr.networks import ProjectionHead

Place = Literal["discriminator", "generator"]
PRETRAINING = 1  # makes the random stream of D's pretraining differ from that of the training epochs


@dataclass(frozen=True)
class Contrast(Checked):
    """Where contrast is added, and how it is weighted and computed."""

    places: tuple[Place, ...]  # "discriminator" is scenario 1, "generator" scenario 2
    gamma: float = 0.1  # weight of NT-Xent
    temperature: float = 0.1  # tau of NT-Xent; the best one of SimCLR's paper
    hidden: int = 256  # units of the projection head's hidden layer
    outputs: int = 64  # of the projection head
    pretraining: int = 0  # epochs in which D learns only contrast, before BeatGAN's training
    views: Views = Views()

    LIMITS: ClassVar = {"gamma": (0, math.inf), "temperature": (1e-3, math.inf), "pretraining": (0, math.inf)}

    def __post_init__(self) -> None:
        super().__post_init__()
        if not self.places:
            raise EcglibError("places=(): contrast goes into the discriminator, the generator or both.")
        if self.pretraining and "discriminator" not in self.places:
            raise EcglibError("Only the discriminator can be pretrained: add it to places.")


@dataclass(frozen=True)
class ScenarioConfig(BeatGANConfig):
    """A student of R1 that also learns contrast."""

    _: KW_ONLY
    contrast: Contrast

    @classmethod
    def of(cls, config: BeatGANConfig, contrast: Contrast) -> "ScenarioConfig":
        """`config` with contrast added."""
        return cls(**{field.name: getattr(config, field.name) for field in fields(config)}, contrast=contrast)

    @property
    def run_id(self) -> str:
        """See `BeatGANConfig.run_id`."""
        return f"contrast-{self.split}-seed{self.training.seed}-{digest(self)}"

    def terms(self, state: State, x: Tensor, teacher: Callable[[], Generator]) -> list[Term]:
        """See `BeatGANConfig.terms`: its distillation and the contrast."""
        added = contrast_terms(self.contrast, state)  # first: building the teacher's network draws random numbers, too
        return [*super().terms(state, x, teacher), *added]

    def before(self, state: State, terms: Sequence[Term], x: Tensor) -> None:
        """Pretraining of scenario 1: D and its projection head learn only contrast."""
        size = self.training.batch_size
        for term in (one for one in terms if one.place == "discriminator"):

            def step(x: Tensor, term: Term = term) -> Row:
                value = term(Step(state, x, x, x))
                state.discriminator_optimizer.zero_grad()
                value.backward()
                state.discriminator_optimizer.step()
                return {"loss": value.detach()}

            repeated = Repeated(step, [state.discriminator, state.discriminator_optimizer, *term.parts.values()])
            for epoch in range(self.contrast.pretraining):
                seed_everything(self.training.seed, epoch + 1, PRETRAINING)
                for batch in torch.randperm(len(x))[: len(x) // size * size].to(x.device).split(size):
                    repeated(x[batch])


class _ContrastTerm(Term):
    """NT-Xent of two views of each beat, behind the features of D or G and a projection head."""

    def __init__(self, settings: Contrast, head: ProjectionHead) -> None:
        self.settings, self.head = settings, head
        self.weight, self.parts = settings.gamma, {f"head_{self.place}": head}

    def __call__(self, step: Step) -> Tensor:
        h = [self.features(step.state, random_view(step.x, self.settings.views)) for _ in range(2)]
        return nt_xent(self.head(h[0]), self.head(h[1]), self.settings.temperature)

    def features(self, state: State, view: Tensor) -> Tensor:
        """(B, d) from a view (B, C, 320)."""
        raise NotImplementedError


class DiscriminatorContrast(_ContrastTerm):
    """Scenario 1: the features are D's, averaged over time."""

    place = "discriminator"
    columns = ("loss_contrast_d", "gradient_ratio_contrast_d")

    def features(self, state: State, view: Tensor) -> Tensor:
        _, features = state.discriminator(view)
        return features.mean(dim=2)


class GeneratorContrast(_ContrastTerm):
    """Scenario 2: the features are the codes z.

    The encoder's running statistics are kept, because at test time it sees beats, not views.
    """

    columns = ("loss_contrast_g", "gradient_ratio_contrast_g")

    def features(self, state: State, view: Tensor) -> Tensor:
        with statistics_kept(state.generator):
            return state.generator.encoder(view)[:, :, 0]


KINDS: dict[Place, type[_ContrastTerm]] = {"discriminator": DiscriminatorContrast, "generator": GeneratorContrast}


def contrast_terms(settings: Contrast, state: State) -> list[Term]:
    """The terms of a scenario for a new `state`, whose optimizers also train the projection heads."""
    weight = next(state.discriminator.classifier.parameters())
    sizes = {"discriminator": weight.shape[1], "generator": LATENT}
    optimizers = {"discriminator": state.discriminator_optimizer, "generator": state.generator_optimizer}
    found: list[Term] = []
    for place in settings.places:
        head = ProjectionHead(sizes[place], settings.hidden, settings.outputs).to(weight.device)
        optimizers[place].add_param_group({"params": list(head.parameters())})
        found.append(KINDS[place](settings, head))
    return found


@contextmanager
def statistics_kept(model: nn.Module) -> Iterator[None]:
    """Keep BatchNorm's running statistics; it still normalises over each batch."""
    layers = [module for module in model.modules() if isinstance(module, nn.BatchNorm1d)]
    before = [layer.momentum for layer in layers]
    for layer in layers:
        layer.momentum = 0.0
    try:
        yield
    finally:
        for layer, momentum in zip(layers, before, strict=True):
            layer.momentum = momentum
