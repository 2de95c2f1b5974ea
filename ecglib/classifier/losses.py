"""The losses of R3's distillation."""

import math
import warnings
from typing import Literal

import torch
from torch import Tensor
from torch.nn import functional as F

from ecglib.core.errors import EcglibError


class BinaryKL:
    """Distillation of a multi-label classifier, each class a yes or no of its own (report R3, section 4.3, corrected).

    The mean over records and classes of KL(Bernoulli(teacher) || Bernoulli(student)), times T^2, so that its gradient
    keeps its size. Zero if student and teacher agree.

    T divides the logits, as in Hinton et al. (2015), or the probabilities, as MKD is published (MVKT-ECG, Qin et al.
    2023), which makes every class look absent.

    It is computed from logits throughout, so that a student that is sure and wrong keeps its gradient.

    Raises:
        EcglibError: T is not above 0, or below 1 where it divides probabilities, which would exceed 1; or, when called,
            student and teacher are not of one shape.
    """

    def __init__(self, temperature: float, softened: Literal["logits", "probabilities"] = "logits") -> None:
        if softened not in ("logits", "probabilities"):
            raise EcglibError(f"softened={softened!r}: T divides 'logits' or 'probabilities'.")
        lowest = 1.0 if softened == "probabilities" else 0.0
        if not math.isfinite(temperature) or temperature < lowest or temperature == 0:
            raise EcglibError(
                f"temperature={temperature}: it divides {softened}, so it must be "
                f"{'at least 1' if softened == 'probabilities' else 'a number above 0'}."
            )
        self.temperature, self.softened = temperature, softened

    def __call__(self, student: Tensor, teacher: Tensor) -> Tensor:
        if student.shape != teacher.shape:
            raise EcglibError(f"Student {tuple(student.shape)} and teacher {tuple(teacher.shape)} do not fit: (B, C).")
        teacher = teacher.detach()
        p = torch.exp(self._logs(teacher)[0])
        return (self._cross_entropy(student, p) - self._cross_entropy(teacher, p)) * self.temperature**2

    def _cross_entropy(self, logits: Tensor, p: Tensor) -> Tensor:
        yes, no = self._logs(logits)
        return -(p * yes + (1 - p) * no).mean()

    def _logs(self, logits: Tensor) -> tuple[Tensor, Tensor]:
        """The logarithms of the softened probability of a class and of its absence."""
        if self.softened == "logits" or self.temperature == 1:
            logits = logits / self.temperature
            return F.logsigmoid(logits), F.logsigmoid(-logits)
        log = F.logsigmoid(logits) - math.log(self.temperature)
        return log, torch.log1p(-torch.exp(log))


def distillation_as_coded(
    student: Tensor, teacher: Tensor, targets: Tensor, temperature: float, alpha: float
) -> Tensor:
    """What R3's program minimised, from logits (B, C): a softmax over sigmoids, as if exactly one label could be true.

    alpha T^2 KL(softmax(sigmoid(teacher) / T) || softmax(sigmoid(student) / T)), averaged over records and classes (a
    fifth of the divergence), plus (1 - alpha) times the cross-entropy of the student's sigmoids taken as logits.

    Raises:
        EcglibError: shapes differ, the temperature is not above 0, or alpha is outside 0 to 1.
    """
    if not student.shape == teacher.shape == targets.shape:
        shapes = ", ".join(str(tuple(one.shape)) for one in (student, teacher, targets))
        raise EcglibError(f"Student, teacher and targets do not fit ({shapes}): all must be (B, C).")
    if not (0 < temperature < math.inf and 0 <= alpha <= 1):
        raise EcglibError(f"temperature={temperature}, alpha={alpha}: a number above 0, and one from 0 to 1.")
    student, teacher = torch.sigmoid(student), torch.sigmoid(teacher.detach())
    log_student = F.log_softmax(student / temperature, dim=1)
    # reduction="mean" is what the program had; torch warns that it is no divergence, which is the point.
    with warnings.catch_warnings():
        warnings.simplefilter("ignore", UserWarning)
        divergence = F.kl_div(log_student, F.softmax(teacher / temperature, dim=1), reduction="mean")
    return alpha * temperature**2 * divergence + (1 - alpha) * F.cross_entropy(student, targets)
