"""The losses of R3's distillation."""

import warnings
from typing import Literal

import torch
from torch import Tensor
from torch.nn import functional as F


class BinaryKL:
    """Distillation of a multi-label classifier, each class a yes or no of its own (report R3, section 4.3, corrected).

    The mean over records and classes of KL(Bernoulli(teacher) || Bernoulli(student)), times T^2, so that its gradient
    keeps its size. Zero if student and teacher agree.

    T divides the logits, as in Hinton et al. (2015), or the probabilities, as MKD is published (MVKT-ECG, Qin et al.
    2023), which makes every class look absent.
    """

    def __init__(self, temperature: float, softened: Literal["logits", "probabilities"] = "logits") -> None:
        self.temperature, self.softened = temperature, softened

    def __call__(self, student: Tensor, teacher: Tensor) -> Tensor:
        p, q = self._soft(teacher.detach()), self._soft(student)
        cross_entropy, entropy = F.binary_cross_entropy(q, p), F.binary_cross_entropy(p, p)
        return (cross_entropy - entropy) * self.temperature**2

    def _soft(self, logits: Tensor) -> Tensor:
        if self.softened == "logits":
            return torch.sigmoid(logits / self.temperature)
        return torch.sigmoid(logits) / self.temperature


def distillation_as_coded(
    student: Tensor, teacher: Tensor, targets: Tensor, temperature: float, alpha: float
) -> Tensor:
    """What R3's program minimised, from logits (B, C): a softmax over sigmoids, as if exactly one label could be true.

    alpha T^2 KL(softmax(sigmoid(teacher) / T) || softmax(sigmoid(student) / T)), averaged over records and classes (a
    fifth of the divergence), plus (1 - alpha) times the cross-entropy of the student's sigmoids taken as logits.
    """
    student, teacher = torch.sigmoid(student), torch.sigmoid(teacher.detach())
    log_student = F.log_softmax(student / temperature, dim=1)
    # reduction="mean" is what the program had; torch warns that it is no divergence, which is the point.
    with warnings.catch_warnings():
        warnings.simplefilter("ignore", UserWarning)
        divergence = F.kl_div(log_student, F.softmax(teacher / temperature, dim=1), reduction="mean")
    return alpha * temperature**2 * divergence + (1 - alpha) * F.cross_entropy(student, targets)
