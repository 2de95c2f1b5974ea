"""What a BeatGAN may learn from another one (report R1, sections 3.3.2 to 3.3.4).

R1 adds one term to the loss, equation 2 on anomaly scores. Its program computes the scores once, without gradients, so
the term is a constant ("as coded"). Here the term has a gradient, and other knowledge can be distilled as well.
"""

import copy
import hashlib
import math
import weakref
from collections.abc import Callable
from dataclasses import dataclass
from typing import ClassVar, Literal

import numpy as np
import torch
from torch import Tensor, nn

from ecglib.beatgan import losses
from ecglib.beatgan.networks import Generator, anomaly_scores
from ecglib.beatgan.training import State, Step, Term
from ecglib.core.compiled import compiled
from ecglib.core.config import Checked
from ecglib.core.errors import EcglibError
from ecglib.stats import metrics

Knowledge = Literal[
    "scores", "scaled_scores", "reconstruction", "latent", "features", "attention", "attention_mean", "attention_norm"
]
KNOWLEDGE: dict[Knowledge, str] = {
    "scores": "equation 2: KL of the softmax over a batch's anomaly scores",
    "scaled_scores": "the same, each network's scores stretched to [0, 1] over the batch; R1's program: over the set",
    "reconstruction": "mean square of x' of the student minus x' of the teacher",
    "latent": "mean square of z of the student minus z of the teacher",
    "features": "mean square of D's features of x' of the student minus those of x' of the teacher",
    "attention": "attention transfer (DistillFT) over all hidden layers, squares summed over time",
    "attention_mean": "the same as R1's program has it: squares averaged over beats and time",
    "attention_norm": "the same as R1 writes it: the norm",
}
TRANSFER: dict[str, losses.Transfer] = {"attention": "squared", "attention_mean": "mean", "attention_norm": "norm"}
SELF = "self"  # the teacher is a moving average of the student
AVERAGE_MOMENTUM = 0.99  # the average reaches back about 100 steps
ASKED_AT_ONCE = 256  # beats that a teacher on the CPU is asked about (`Remembered`)


@dataclass(frozen=True)
class Distillation(Checked):
    """What is distilled, and from which teacher."""

    knowledge: tuple[Knowledge, ...]  # names in `KNOWLEDGE`; their terms are added
    teacher: str  # run id, or `SELF`
    program: Literal["as coded", "corrected"] = "corrected"  # "as coded" is `constant_term`
    direction: losses.Direction = "student_teacher"  # of equation 2; R1's program used the other one
    temperature: float = 4.0  # T of equation 2
    alpha: float = 1.0  # weight of every term

    LIMITS: ClassVar = {"temperature": (1e-3, math.inf), "alpha": (0, math.inf)}

    def __post_init__(self) -> None:
        super().__post_init__()
        if not self.knowledge:
            raise EcglibError(f"Nothing cannot be distilled: choose among {', '.join(KNOWLEDGE)}.")
        if self.program == "as coded" and self.knowledge != ("scores",):
            raise EcglibError("R1's program distilled scores alone: 'as coded' goes with knowledge=('scores',).")

    def equation_2(self, student: Tensor, teacher: Tensor) -> Tensor:
        """Equation 2 with these settings."""
        return losses.equation_2(student, teacher, self.temperature, self.alpha, self.direction)


class Taps:
    """Records the outputs of all hidden layers' activations in every forward pass of a model, as long as it exists."""

    def __init__(self, model: nn.Module) -> None:
        self.names = [name for name, module in model.named_modules() if isinstance(module, nn.LeakyReLU | nn.ReLU)]
        self._outputs: dict[str, Tensor] = {}
        for name in self.names:
            handle = model.get_submodule(name).register_forward_hook(_recording(self._outputs, name))
            weakref.finalize(self, handle.remove)

    @property
    def outputs(self) -> list[Tensor]:
        """The outputs of the last forward pass, in the order of `names`."""
        return [self._outputs[name] for name in self.names]

    def clear(self) -> None:
        """Forget them. They hold the whole forward pass, which a CUDA graph of the next step must not meet."""
        self._outputs.clear()


def _recording(outputs: dict[str, Tensor], name: str) -> Callable[[nn.Module, tuple[Tensor, ...], Tensor], None]:
    def hook(module: nn.Module, inputs: tuple[Tensor, ...], output: Tensor) -> None:
        outputs[name] = output

    return hook


class Remembered(nn.Module):
    """A frozen network on the CPU that is asked about all training beats (N, C, 320) at once, and then looked up.

    The last bits of an answer depend on the batch that it is computed in, so the batches are always the same: a
    training that goes on from a checkpoint meets the same answers. Other beats, such as warped ones, are computed.
    """

    def __init__(self, network: nn.Module, beats: Tensor) -> None:
        super().__init__()
        self.network = network
        self._answers: dict[bytes, tuple[Tensor, ...]] = {}
        with torch.no_grad():
            for part in beats.split(ASKED_AT_ONCE):
                answers = zip(*self.network(part), strict=True)
                self._answers |= dict(zip(_keys(part), answers, strict=True))

    @torch.no_grad()
    def forward(self, x: Tensor) -> tuple[Tensor, ...]:
        """The network's outputs for beats x (B, C, 320), each (B, ...)."""
        keys = _keys(x)
        if not all(key in self._answers for key in keys):
            return self.network(x)
        return tuple(torch.stack(parts) for parts in zip(*(self._answers[key] for key in keys), strict=True))


def _keys(x: Tensor) -> list[bytes]:
    """A digest of each beat of x (B, C, 320)."""
    return [hashlib.blake2b(beat.tobytes(), digest_size=16).digest() for beat in x.numpy()]


class Distiller(Term):
    """The distillation term of one student.

    Args:
        settings: what is distilled.
        student: the network in training.
        teacher: frozen in place and put into evaluation mode; None lets the student's moving average teach.
        x: (N, C, 320) all training beats; the as-coded term and `Remembered` need them.
    """

    columns = ("loss_distillation", "gradient_ratio")

    def __init__(self, settings: Distillation, student: Generator, teacher: Generator | None, x: Tensor) -> None:
        self.settings = settings
        self.teacher = (teacher or copy.deepcopy(student)).eval().requires_grad_(False)
        self.parts = {"average": self.teacher} if teacher is None else {}
        self.watches = not TRANSFER.keys().isdisjoint(settings.knowledge)
        self.taps = [Taps(student), Taps(self.teacher)] if self.watches else []
        if self.watches or teacher is None:
            self._taught: nn.Module = self.teacher
        else:
            self._taught = compiled(self.teacher) if x.is_cuda else Remembered(self.teacher, x)
        self.constant = constant_term(settings, student, self.teacher, x) if settings.program == "as coded" else None

    def __call__(self, step: Step) -> Tensor:
        if self.constant is not None:
            return self.constant
        with torch.no_grad():
            x_teacher, z_teacher = self._taught(step.x)
        discriminator, alpha = step.state.discriminator, self.settings.alpha
        terms = []
        for name in self.settings.knowledge:
            if name in ("scores", "scaled_scores"):
                scores = [(redrawn - step.x).square().mean(dim=(1, 2))[None] for redrawn in (step.x_hat, x_teacher)]
                if name == "scaled_scores":
                    scores = [stretched(row) for row in scores]
                terms.append(self.settings.equation_2(*scores))
            elif name == "reconstruction":
                terms.append(alpha * losses.reconstruction(step.x_hat, x_teacher))
            elif name == "latent":
                terms.append(alpha * (step.z - z_teacher).square().mean())
            elif name == "features":
                with torch.no_grad():
                    _, wanted = discriminator(x_teacher)
                _, found = discriminator(step.x_hat)
                terms.append(alpha * losses.feature_matching(found, wanted))
            else:
                student, taught = (taps.outputs for taps in self.taps)
                terms.append(alpha * losses.attention_transfer(student, taught, TRANSFER[name]))
        return torch.stack([term.float() for term in terms]).sum()

    def after_step(self, state: State) -> None:
        """Forget the step's layers; a teacher that is the student's moving average follows it."""
        for taps in self.taps:
            taps.clear()
        if self.parts:
            follow(self.teacher, state.generator)


def stretched(scores: Tensor) -> Tensor:
    """Scores (rows, beats), each row min-max scaled to [0, 1]; gradients flow through the extremes, too."""
    low, high = scores.amin(dim=1, keepdim=True), scores.amax(dim=1, keepdim=True)
    return (scores - low) / (high - low)


def constant_term(settings: Distillation, student: Generator, teacher: Generator, x: Tensor) -> Tensor:
    """The distillation term of R1's published program, a number without gradient.

    It compares the untrained student with the teacher: scores of the whole training set, each network's in an order of
    its own and min-max scaled over the set, under one softmax over all of them.
    """
    was_training = student.training
    orders = [torch.randperm(len(x), generator=torch.Generator().manual_seed(pass_)) for pass_ in (0, 1)]
    scores = [
        metrics.min_max(anomaly_scores(model.eval(), x[order.to(x.device)]).cpu().numpy())
        for model, order in zip((student, teacher), orders, strict=True)
    ]
    student.train(was_training)
    return settings.equation_2(*(torch.from_numpy(values)[None] for values in scores)).float().to(x.device)


@torch.no_grad()
def follow(average: Generator, student: Generator) -> None:
    """Move the average a step towards the student, running statistics included, counters excluded."""
    for kept, new in zip(average.state_dict().values(), student.state_dict().values(), strict=True):
        if kept.is_floating_point():
            kept.lerp_(new, 1 - AVERAGE_MOMENTUM)


def check_teacher(abnormal: np.ndarray, scores: np.ndarray, name: str) -> metrics.Interval:
    """The validation AUC of a teacher with its interval, from (M,) bool labels and (M,) scores.

    Raises:
        EcglibError: the interval reaches down to 0.5, so the teacher does not beat chance.
    """
    interval = metrics.percentiles(metrics.auc(abnormal, scores), metrics.resampled_auc(abnormal, scores))
    if not interval.low > 0.5:
        raise EcglibError(
            f"The teacher {name} does not beat chance on validation (AUC {interval}): train it before it teaches."
        )
    return interval
