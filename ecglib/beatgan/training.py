"""BeatGAN's update and its validation (report R1, sections 3.3.2 and 3.3.4).

Compared with R1's program, the D and the G step share the generator's forward pass (its weights do not change in
between), and the G step keeps no gradients for D. A test holds this against the literal program.

R1 chose the epoch by the AUC of labelled validation beats with BatchNorm in training mode (`as_coded`). A sound choice
needs no labels (`corrected`). In between lies R1's choice with BatchNorm in evaluation mode (`labelled`). Every
training follows all three rules.
"""

import copy
import math
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, replace
from functools import partial
from typing import ClassVar, Literal

import torch
from torch import Tensor, nn

from ecglib.beatgan import losses
from ecglib.beatgan.networks import Discriminator, Generator, anomaly_scores, initialise
from ecglib.core.compiled import compiled
from ecglib.core.config import Checked
from ecglib.core.cuda_graph import Repeated, Row
from ecglib.core.errors import EcglibError
from ecglib.core.precision import Precision
from ecglib.core.seeds import random_stream, seed_everything
from ecglib.stats import metrics

RULES = ("as_coded", "corrected")  # whose weights are kept
ALL_RULES = ("as_coded", "labelled", "corrected")
SPARE_STREAM = 2  # sets the weights of `State.spare` apart from other random numbers of the epoch
BATCHNORM_MOMENTUM = 0.1  # torch's default, which R1 used
# R1's program ran G twice on each batch and so moved its running statistics twice; this momentum does it at once.
SHARED_MOMENTUM = 1 - (1 - BATCHNORM_MOMENTUM) ** 2


@dataclass(frozen=True)
class Settings(Checked):
    """R1's settings (section 3.3.4.3 and its program)."""

    seed: int
    epochs: int = 100  # R1 section 3.3.4.3
    batch_size: int = 64
    learning_rate: float = 1e-4
    beta1: float = 0.5
    beta2: float = 0.999
    adversarial_weight: float = 1.0  # the lambda of equation 1
    reset_discriminator_below: float = 5e-6  # D is drawn anew when its loss falls below this
    time_warp: bool = False  # the BeatGAN paper's augmentation, off in R1
    precision: Precision = "float32"  # of hidden layers while they train

    LIMITS: ClassVar = {
        "epochs": (1, math.inf),
        "batch_size": (2, math.inf),  # BatchNorm needs two
        "learning_rate": (0, math.inf),
        "beta1": (0, 1),
        "beta2": (0, 1),
        "adversarial_weight": (0, math.inf),
        "reset_discriminator_below": (0, math.inf),
    }


@dataclass
class State:
    """The networks in training with their optimizers."""

    generator: Generator
    discriminator: Discriminator
    generator_optimizer: torch.optim.Adam
    discriminator_optimizer: torch.optim.Adam
    spare: Discriminator  # what D becomes when it is drawn anew; an epoch has its own, see `draw_spare`

    @property
    def learned(self) -> dict[str, nn.Module | torch.optim.Optimizer]:
        """What training changes."""
        return {name: part for name, part in vars(self).items() if name != "spare"}


@dataclass(frozen=True)
class Step:
    """One step under way: a batch x (B, C, 320) and its reconstruction x_hat (B, C, 320) through z (B, 50, 1)."""

    state: State
    x: Tensor
    x_hat: Tensor
    z: Tensor


class Term:
    """A term that distillation or contrast adds to the loss of D or of G."""

    place: Literal["discriminator", "generator"] = "generator"  # whose loss it joins
    watches: bool = False  # single layers of the generator, which then cannot be compiled
    weight: float = 1.0  # its factor there
    # Columns of the history: the term's mean over an epoch, and its `_pull` in the epoch's first step.
    columns: tuple[str, str]
    parts: Mapping[str, nn.Module] = {}  # networks of its own, which the checkpoint keeps

    def __call__(self, step: Step) -> Tensor:
        """The term without its weight, a scalar."""
        raise NotImplementedError

    def after_step(self, state: State) -> None:
        """Called after both networks have moved."""


@dataclass(frozen=True)
class Validation:
    """Validation beats in an order that mixes the classes: as coded, BatchNorm normalises over each batch."""

    x: Tensor  # (M, C, 320) in [-1, 1]
    abnormal: Tensor  # (M,) bool, on the CPU


def new_state(settings: Settings, channels: int, device: torch.device, width: float = 1) -> State:
    """Networks and optimizers at the start of training, drawn from the seed."""
    seed_everything(settings.seed)
    generator, discriminator = Generator(channels, width).to(device), Discriminator(channels, width).to(device)
    set_momentum(generator, SHARED_MOMENTUM)

    def adam(model: nn.Module) -> torch.optim.Adam:
        betas = (settings.beta1, settings.beta2)
        on_gpu = device.type == "cuda"
        return torch.optim.Adam(model.parameters(), settings.learning_rate, betas, fused=True, capturable=on_gpu)

    return State(generator, discriminator, adam(generator), adam(discriminator), copy.deepcopy(discriminator))


def draw_spare(state: State, seed: int, epoch: int) -> None:
    """Draw the weights that D gets if it is drawn anew in an epoch, without moving the other random numbers."""
    source = random_stream(seed, epoch, SPARE_STREAM)
    drawn = copy.deepcopy(state.spare).cpu().apply(partial(initialise, source=source))
    state.spare.load_state_dict(drawn.state_dict())


def set_momentum(model: nn.Module, momentum: float) -> None:
    """Set how far one batch moves the running statistics of every BatchNorm of `model`."""
    for module in model.modules():
        if isinstance(module, nn.BatchNorm1d):
            module.momentum = momentum


def update(state: State, x: Tensor, settings: Settings, terms: Sequence[Term] = (), compare: bool = False) -> Row:
    """One step on x (B, C, 320) in [-1, 1]: D learns real from reconstructed, then G learns equation 1 plus its terms.

    Returns the step's losses, each term's value, whether D was drawn anew and, if `compare`, each term's `_pull`:
    scalars on the device of x, which `epoch_row` reads once an epoch, so that a GPU need not wait.
    """
    x_hat, z = state.generator(x)
    step = Step(state, x, x_hat, z)
    # Without an adversary nothing looks at D. Terms may look at its features.
    row = _learn_to_judge(step, settings, terms, compare) if settings.adversarial_weight or terms else {}

    # D only judges here. Fake before real: the order in which the report's program moved D's running statistics.
    discriminator = state.discriminator.requires_grad_(False)
    error = equation_1 = losses.reconstruction(x_hat, x)
    if settings.adversarial_weight:
        _, features_fake = discriminator(x_hat)
        with torch.no_grad():
            _, features_real = discriminator(x)
        adversarial = losses.feature_matching(features_fake, features_real)
        equation_1 = losses.equation_1(error, adversarial, settings.adversarial_weight)
        row["loss_adversarial"] = adversarial
    added, pulls = _added("generator", terms, step, equation_1, compare)
    loss_g = losses.equation_3(equation_1, added)
    state.generator_optimizer.zero_grad()
    loss_g.backward()
    state.generator_optimizer.step()
    discriminator.requires_grad_(True)
    for term in terms:
        term.after_step(state)

    row |= {"loss_g": loss_g, "loss_reconstruction": error, **pulls}
    if "loss_d" in row:
        beaten = row["loss_d"] < settings.reset_discriminator_below
        with torch.no_grad():
            for weight, new in zip(discriminator.parameters(), state.spare.parameters(), strict=True):
                weight.copy_(torch.where(beaten, new, weight))
        row["d_resets"] = beaten.float()
    return {name: value.detach() for name, value in row.items()}


def repeated(state: State, settings: Settings, terms: Sequence[Term] = ()) -> Repeated:
    """`update` for many batches x (B, C, 320): on a GPU compiled, and as a CUDA graph, where that is possible."""
    own = [part for term in terms for part in term.parts.values()]
    watched = any(term.watches for term in terms)
    generator = state.generator if watched else compiled(state.generator)
    fast = replace(state, generator=generator, discriminator=compiled(state.discriminator))
    return Repeated(partial(update, fast, settings=settings, terms=terms), [*state.learned.values(), *own])


def epoch_row(rows: Sequence[Row], epoch: int) -> dict[str, float]:
    """An epoch's row of the history from those of its steps: means, the sum of D's resets, and the first step's pulls.

    Raises:
        EcglibError: training diverged: a loss is no longer finite.
    """
    totals = {name: torch.stack([row[name] for row in rows]).double().sum().item() for name in rows[-1]}
    if not all(math.isfinite(total) for name, total in totals.items() if name.startswith("loss")):
        raise EcglibError(f"Training diverged in epoch {epoch}: lower the learning rate or change the seed.")
    means = {name: total if name == "d_resets" else total / len(rows) for name, total in totals.items()}
    return means | {name: value.item() for name, value in rows[0].items() if name not in means}


def _learn_to_judge(step: Step, settings: Settings, terms: Sequence[Term], compare: bool) -> Row:
    """D's part of `update`."""
    discriminator, optimizer = step.state.discriminator, step.state.discriminator_optimizer
    p_real, _ = discriminator(step.x)
    p_fake, _ = discriminator(step.x_hat.detach())
    loss = losses.discriminator(p_real, p_fake)
    added, row = _added("discriminator", terms, step, loss, compare)
    optimizer.zero_grad()
    sum(added, start=loss).backward()
    optimizer.step()
    return {"loss_d": loss, **row}


def _added(place: str, terms: Sequence[Term], step: Step, loss: Tensor, compare: bool) -> tuple[list[Tensor], Row]:
    """The weighted terms that join `loss`, and their columns of the history."""
    added: list[Tensor] = []
    row: Row = {}
    for term in terms:
        if term.place == place:
            value = term(step)
            name, ratio = term.columns
            row[name] = value
            if compare:
                row[ratio] = term.weight * _pull(value, loss, getattr(step.state, place))
            added.append(term.weight * value)
    return added, row


def _pull(term: Tensor, loss: Tensor, model: nn.Module) -> Tensor:
    """The length of the term's gradient over that of the loss that it joins."""
    weights = list(model.parameters())
    own, pull = gradient_norm(loss, weights), gradient_norm(term, weights)
    return torch.where(own > 0, pull / own, math.inf)  # 0 if D is certain of every beat of the batch


def gradient_norm(loss: Tensor, parameters: Sequence[nn.Parameter]) -> Tensor:
    """Length of the gradient of `loss`, whose graph is kept; 0 if no gradient flows."""
    if not loss.requires_grad:
        return loss.new_zeros(())
    gradients = torch.autograd.grad(loss, parameters, retain_graph=True, allow_unused=True)
    squares = [gradient.square().sum() for gradient in gradients if gradient is not None]
    return torch.stack(squares).sum().sqrt()


def validate(
    generator: Generator, validation: Validation, batch_size: int
) -> tuple[dict[str, float], dict[str, tuple[float, Generator]]]:
    """Judge an epoch by all rules: a row for the history, and rule -> (criterion, network), lower is better.

    The F1 and its threshold are on scores min-max scaled over the set, as R1 logs them.
    """
    abnormal = validation.abnormal.numpy()
    # A copy: as coded, these batches, anomalies included, overwrite the running statistics that are saved. Training
    # itself normalises over its own batches and is not affected.
    coded = copy.deepcopy(generator).train()
    set_momentum(coded, BATCHNORM_MOMENTUM)
    scores_coded = metrics.min_max(anomaly_scores(coded, validation.x, batch_size).cpu().numpy())
    auc_coded, (f1_coded, threshold) = metrics.auc(abnormal, scores_coded), metrics.best_f1(abnormal, scores_coded)

    generator.eval()
    scores = anomaly_scores(generator, validation.x).cpu().numpy()
    generator.train()
    auc_eval, error_normal = metrics.auc(abnormal, scores), float(scores[~abnormal].mean())
    row = {
        "auc_as_coded": auc_coded,
        "f1_as_coded": f1_coded,
        "threshold_as_coded": threshold,
        "auc_eval_mode": auc_eval,
        "error_normal": error_normal,
    }
    judged = {
        "as_coded": (-auc_coded, coded),
        "labelled": (-auc_eval, generator),
        "corrected": (error_normal, generator),
    }
    return row, judged
