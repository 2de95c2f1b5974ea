"""Training BeatGAN and its students (report R1, sections 3.3.2 and 3.3.4): one flat loop, the report's update.

What differs from the report's program is how much is computed, not what: the generator's forward pass is shared by the
D and the G step (its weights do not change in between), and the G step keeps no gradients for D. A test holds this
against the literal program. R1 picked the epoch by AUC on labelled validation beats with BatchNorm in training mode
(`as_coded`); a sound choice needs no labels (`corrected`). Between them lies R1's choice with BatchNorm in evaluation
mode (`labelled`). All are followed in every training.
"""

import copy
import math
import time
from collections.abc import Sequence
from dataclasses import dataclass, field
from typing import Any, Protocol

import torch
from torch import Tensor, nn

from ecglib.beatgan import distillation, losses
from ecglib.beatgan.distillation import Distiller
from ecglib.beatgan.networks import Discriminator, Generator, anomaly_scores, initialise
from ecglib.core.errors import EcglibError
from ecglib.core.seeds import seed_everything
from ecglib.data.augment import warp_most
from ecglib.simclr import scenarios
from ecglib.simclr.networks import ProjectionHead
from ecglib.simclr.scenarios import Contrast
from ecglib.stats import metrics

RULES = ("as_coded", "corrected")
# The step between them: still R1's labels, but BatchNorm in evaluation mode and its statistics left alone.
ALL_RULES = ("as_coded", "labelled", "corrected")
BATCHNORM_MOMENTUM = 0.1  # torch's default, which R1 used
# R1's program ran G twice on each batch and so moved its running statistics twice; this momentum does it at once.
SHARED_MOMENTUM = 1 - (1 - BATCHNORM_MOMENTUM) ** 2
PRETRAINING = 1  # sets the random stream of D's pretraining apart from that of the epochs proper


@dataclass(frozen=True)
class Hyperparameters:
    """R1's settings (audit, 'Model and training')."""

    seed: int
    epochs: int = 100  # R1 section 3.3.4.3
    batch_size: int = 64
    learning_rate: float = 1e-4
    beta1: float = 0.5
    beta2: float = 0.999
    adversarial_weight: float = 1.0  # the lambda of equation 1
    reset_discriminator_below: float = 5e-6  # D is drawn anew when its loss falls below this
    time_warp: bool = False  # the BeatGAN paper's augmentation, off in R1

    def __post_init__(self) -> None:
        if self.epochs < 1 or self.batch_size < 2:
            raise EcglibError(
                f"epochs={self.epochs}, batch_size={self.batch_size}: at least 1 epoch, and 2 beats for BatchNorm."
            )


@dataclass
class Best:
    """The epoch a rule prefers so far: its number, the rule's criterion and the generator's weights."""

    epoch: int
    criterion: float
    weights: dict[str, Tensor]


@dataclass
class State:
    """All that training needs to go on; `epoch` is the number of finished ones.

    `average` is a self-teacher if there is one, `heads` the projection heads of R2's contrast.
    """

    generator: Generator
    discriminator: Discriminator
    generator_optimizer: torch.optim.Adam
    discriminator_optimizer: torch.optim.Adam
    average: Generator | None = None
    heads: dict[str, ProjectionHead] = field(default_factory=dict)
    epoch: int = 0
    history: list[dict[str, Any]] = field(default_factory=list)
    best: dict[str, Best] = field(default_factory=dict)


@dataclass(frozen=True)
class Validation:
    """Validation beats in an order that mixes the classes, because as coded BatchNorm normalises over each batch.

    Attributes:
        x: (M, C, 320) in [-1, 1].
        abnormal: (M,) bool, on the CPU.
    """

    x: Tensor
    abnormal: Tensor


class Callback(Protocol):
    """Called with the state and the hyperparameters after every epoch."""

    def __call__(self, state: State, settings: Hyperparameters) -> None: ...


def new_state(settings: Hyperparameters, channels: int, device: torch.device, width: float = 1) -> State:
    """Networks and optimizers at the start of training, drawn from the seed."""
    seed_everything(settings.seed)
    generator, discriminator = Generator(channels, width).to(device), Discriminator(channels, width).to(device)
    set_momentum(generator, SHARED_MOMENTUM)

    def adam(model: nn.Module) -> torch.optim.Adam:
        betas = (settings.beta1, settings.beta2)
        return torch.optim.Adam(model.parameters(), settings.learning_rate, betas=betas, fused=True)

    return State(generator, discriminator, adam(generator), adam(discriminator))


def add_heads(state: State, settings: Contrast) -> None:
    """Give a new state the projection heads of R2's contrast; each is trained with the network that it sits on."""
    state.heads = scenarios.new_heads(settings, state.discriminator)
    optimizers = {"discriminator": state.discriminator_optimizer, "generator": state.generator_optimizer}
    for place, head in state.heads.items():
        optimizers[place].add_param_group({"params": list(head.parameters())})


def set_momentum(model: nn.Module, momentum: float) -> None:
    """Set how far one batch moves the running statistics of every BatchNorm of `model`."""
    for module in model.modules():
        if isinstance(module, nn.BatchNorm1d):
            module.momentum = momentum


def update(
    state: State,
    x: Tensor,
    settings: Hyperparameters,
    distiller: Distiller | None = None,
    contrasted: Contrast | None = None,
    compare: bool = False,
) -> dict[str, float]:
    """One step on a batch x (B, C, 320): D learns real from reconstructed, then G learns equation 1, or 3.

    Args:
        state: is changed.
        x: in [-1, 1].
        settings: the hyperparameters.
        distiller: gives the term that equation 3 adds; None is BeatGAN alone.
        contrasted: adds R2's NT-Xent to the loss of D, of G or of both.
        compare: also measure how strongly the added terms pull at the weights.

    Returns:
        The step's losses, and whether D was drawn anew. With `compare` also the length of an added term's gradient over
        that of D's own loss (`gradient_ratio_contrast_d`), or of equation 1 on G (`gradient_ratio`, the distillation,
        and `gradient_ratio_contrast_g`).

    Raises:
        EcglibError: the discriminator's output is no longer finite.
    """
    generator, discriminator = state.generator, state.discriminator
    x_hat, z = generator(x)

    p_real, _ = discriminator(x)
    p_fake, _ = discriminator(x_hat.detach())
    if not torch.isfinite(p_real + p_fake).all():
        raise EcglibError(f"Training diverged in epoch {state.epoch}: lower the learning rate or change the seed.")
    loss_d = losses.discriminator(p_real, p_fake)
    value_d, extra = loss_d.item(), {}
    if contrasted is not None and "discriminator" in contrasted.places:
        contrast_d = scenarios.discriminator_term(contrasted, state.heads["discriminator"], discriminator, x)
        extra["loss_contrast_d"] = contrast_d.item()
        if compare:
            extra["gradient_ratio_contrast_d"] = contrasted.gamma * _pull(contrast_d, loss_d, discriminator)
        loss_d = loss_d + contrasted.gamma * contrast_d
    state.discriminator_optimizer.zero_grad()
    loss_d.backward()
    state.discriminator_optimizer.step()

    # D only judges here. Fake before real: the order in which the report's program moved D's running statistics.
    discriminator.requires_grad_(False)
    features_fake = discriminator.features(x_hat)
    with torch.no_grad():
        features_real = discriminator.features(x)
    error = losses.reconstruction(x_hat, x)
    adversarial = losses.feature_matching(features_fake, features_real)
    equation_1 = error + settings.adversarial_weight * adversarial
    loss_g = equation_1
    if distiller is not None:
        term = distiller(x, x_hat, z, discriminator)
        extra["loss_distillation"] = term.item()
        if compare:
            extra["gradient_ratio"] = _pull(term, equation_1, generator)
        loss_g = loss_g + term
    if contrasted is not None and "generator" in contrasted.places:
        contrast_g = scenarios.generator_term(contrasted, state.heads["generator"], generator, x)
        extra["loss_contrast_g"] = contrast_g.item()
        if compare:
            extra["gradient_ratio_contrast_g"] = contrasted.gamma * _pull(contrast_g, equation_1, generator)
        loss_g = loss_g + contrasted.gamma * contrast_g
    state.generator_optimizer.zero_grad()
    loss_g.backward()
    state.generator_optimizer.step()
    discriminator.requires_grad_(True)
    if state.average is not None:
        distillation.follow(state.average, generator)

    reset = value_d < settings.reset_discriminator_below
    if reset:
        discriminator.apply(initialise)
    return {
        "loss_d": value_d,
        "loss_g": loss_g.item(),
        "loss_reconstruction": error.item(),
        "loss_adversarial": adversarial.item(),
        "d_resets": float(reset),
        **extra,
    }


def _pull(term: Tensor, loss: Tensor, model: nn.Module) -> float:
    """The length of `term`'s gradient on the weights over that of `loss`."""
    weights = list(model.parameters())
    own = distillation.gradient_norm(loss, weights)
    # A D that is certain of every beat of the batch has no gradient of its own left.
    return distillation.gradient_norm(term, weights) / own if own else math.inf


def validate(state: State, validation: Validation, batch_size: int) -> dict[str, float]:
    """Follow all rules at the end of an epoch; `state.best` keeps the weights that each prefers.

    Returns:
        The validation AUC as coded (BatchNorm in training mode), with the best F1 and its threshold on scores that are
        min-max scaled over the set, as R1 logs them; the AUC in evaluation mode; and the mean reconstruction error of
        the normal beats in evaluation mode.
    """
    abnormal = validation.abnormal.numpy()
    # A copy, because as coded these very batches, anomalies included, overwrite the running statistics that are saved.
    # Training itself is untouched by that: it normalises over its own batches.
    coded = copy.deepcopy(state.generator).train()
    set_momentum(coded, BATCHNORM_MOMENTUM)
    scores_coded = metrics.min_max(anomaly_scores(coded, validation.x, batch_size).cpu().numpy())
    auc_coded, (f1_coded, threshold) = metrics.auc(abnormal, scores_coded), metrics.best_f1(abnormal, scores_coded)

    state.generator.eval()
    scores = anomaly_scores(state.generator, validation.x).cpu().numpy()
    state.generator.train()
    auc_eval, error_normal = metrics.auc(abnormal, scores), float(scores[~abnormal].mean())

    _keep_better(state, "as_coded", -auc_coded, coded)
    _keep_better(state, "labelled", -auc_eval, state.generator)
    _keep_better(state, "corrected", error_normal, state.generator)
    return {
        "auc_as_coded": auc_coded,
        "f1_as_coded": f1_coded,
        "threshold_as_coded": threshold,
        "auc_eval_mode": auc_eval,
        "error_normal": error_normal,
    }


def _keep_better(state: State, rule: str, criterion: float, model: nn.Module) -> None:
    """Keep a copy of the weights if the criterion, the lower the better, has improved."""
    if rule not in state.best or criterion < state.best[rule].criterion:
        weights = {name: tensor.detach().cpu().clone() for name, tensor in model.state_dict().items()}
        state.best[rule] = Best(state.epoch, criterion, weights)


def train(
    state: State,
    x: Tensor,
    validation: Validation,
    settings: Hyperparameters,
    callbacks: Sequence[Callback] = (),
    distiller: Distiller | None = None,
    contrasted: Contrast | None = None,
) -> State:
    """Train until `settings.epochs` epochs are finished, from wherever `state` is.

    Args:
        state: a new one, or one restored from a checkpoint.
        x: (N, C, 320) normal beats in [-1, 1], on the device of the networks.
        validation: labelled beats for the rules.
        settings: the hyperparameters; the batch order depends on the seed and the epoch alone.
        callbacks: called after each epoch.
        distiller: makes this a student.
        contrasted: adds R2's NT-Xent; `state` has its heads.

    Raises:
        EcglibError: there is no full batch to train on, or training diverged.
    """
    steps = len(x) // settings.batch_size  # R1 drops the last partial batch
    if steps == 0:
        raise EcglibError(f"{len(x)} training beats do not fill one batch of {settings.batch_size}: use more beats.")
    state.generator.train()
    state.discriminator.train()
    if contrasted is not None and state.epoch == 0:
        pretrain(state, x, settings, contrasted)
    for epoch in range(state.epoch, settings.epochs):
        started = time.perf_counter()
        seed_everything(settings.seed, epoch + 1)
        order = torch.randperm(len(x))[: steps * settings.batch_size].to(x.device)
        rows = []
        for step, batch in enumerate(order.split(settings.batch_size)):
            part = warp_most(x[batch]) if settings.time_warp else x[batch]
            rows.append(update(state, part, settings, distiller, contrasted, compare=step == 0))
        totals = {name: sum(row[name] for row in rows) for name in rows[-1]}
        means = {name: total if name == "d_resets" else total / steps for name, total in totals.items()}
        means |= {name: value for name, value in rows[0].items() if name.startswith("gradient_ratio")}
        measured = validate(state, validation, settings.batch_size)
        state.epoch = epoch + 1
        state.history.append({"epoch": epoch, **means, **measured, "seconds": time.perf_counter() - started})
        for callback in callbacks:
            callback(state, settings)
    return state


def pretrain(state: State, x: Tensor, settings: Hyperparameters, contrasted: Contrast) -> None:
    """Let D and its head learn contrast alone for `contrasted.pretraining` epochs (scenario 1, pretrained)."""
    for epoch in range(contrasted.pretraining):
        seed_everything(settings.seed, epoch + 1, PRETRAINING)
        order = torch.randperm(len(x))[: len(x) // settings.batch_size * settings.batch_size].to(x.device)
        for batch in order.split(settings.batch_size):
            term = scenarios.discriminator_term(contrasted, state.heads["discriminator"], state.discriminator, x[batch])
            state.discriminator_optimizer.zero_grad()
            term.backward()
            state.discriminator_optimizer.step()
