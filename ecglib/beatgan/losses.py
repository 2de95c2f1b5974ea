"""The losses of BeatGAN (report R1, section 3.3.2; Zhou et al. 2019, equations 3 to 5), distillation and SimCLR."""

from collections.abc import Sequence
from typing import Literal

import torch
from torch import Tensor
from torch.nn import functional as F

Direction = Literal["student_teacher", "teacher_student"]
Transfer = Literal["squared", "mean", "norm"]


def reconstruction(x_hat: Tensor, x: Tensor) -> Tensor:
    """Equation 1, left: the mean over all elements of (x' - x)^2; shapes (B, C, T), a scalar comes back.

    Equation 1 writes a norm, ||x - x'||_2; section 3.3.4.3 and the program say MSE, which is what is here.
    """
    return F.mse_loss(x_hat, x)


def feature_matching(features_fake: Tensor, features_real: Tensor) -> Tensor:
    """Equation 1, right: the mean over all elements of (f_D(x') - f_D(x))^2; shapes (B, 512, 10)."""
    return F.mse_loss(features_fake, features_real)


def discriminator(p_real: Tensor, p_fake: Tensor) -> Tensor:
    """Binary cross-entropy of D's probabilities (B,): label 1 for real beats plus label 0 for reconstructions."""
    return F.binary_cross_entropy(p_real, p_real.new_ones(p_real.shape)) + F.binary_cross_entropy(
        p_fake, p_fake.new_zeros(p_fake.shape)
    )


class DistillKL:
    """Equation 2: alpha T^2 times the Kullback-Leibler divergence of two softmaxes, averaged over rows.

    Args:
        temperature: the T of equation 2 (R1: 4).
        alpha: the weight (R1: 1).
        direction: "student_teacher" is KL(student || teacher), as the report writes; "teacher_student" is
            KL(teacher || student), as its program computes and Hinton et al. (2015) define.
    """

    def __init__(self, temperature: float = 4.0, alpha: float = 1.0, direction: Direction = "student_teacher") -> None:
        self.temperature, self.alpha, self.direction = temperature, alpha, direction

    def __call__(self, student: Tensor, teacher: Tensor) -> Tensor:
        """The loss of logits (rows, classes), a scalar in float64; gradients flow into whichever input asks for them.

        Float64 because anomaly scores differ by thousandths: divided by T their softmax is uniform to single precision.
        """
        log_s = F.log_softmax(student.double() / self.temperature, dim=1)
        log_t = F.log_softmax(teacher.double() / self.temperature, dim=1)
        first, second = (log_s, log_t) if self.direction == "student_teacher" else (log_t, log_s)
        return self.alpha * self.temperature**2 * F.kl_div(second, first, reduction="batchmean", log_target=True)


def attention(features: Tensor) -> Tensor:
    """phi of attention transfer: (B, C, T) -> (B, T), the mean of squares over channels, every row of length 1."""
    return F.normalize(features.square().mean(dim=1), dim=1)


class DistillFT:
    """R1 section 3.3.4.4: attention transfer between layers (Zagoruyko and Komodakis 2017), in three forms.

    phi(F) is the mean of squares over channels, L2-normalised over time. Layers are compared by how far phi(F_student)
    lies from phi(F_teacher), and the distances are summed over layers. Because phi has no channels, the layers of a
    narrower student fit.

    Args:
        form: of the distance of a layer whose phi has T samples. "norm" is what the report writes: the L2 norm,
            averaged over beats. "mean" is what its program computes: the square, averaged over beats and time.
            "squared" is the square summed over time and averaged over beats, T times as strong as "mean".
    """

    def __init__(self, form: Transfer = "squared") -> None:
        self.form = form

    def __call__(self, student: Sequence[Tensor], teacher: Sequence[Tensor]) -> Tensor:
        """The loss of two lists of layers (B, C_i, T_i); the C_i may differ between student and teacher."""
        differences = [attention(f_s) - attention(f_t) for f_s, f_t in zip(student, teacher, strict=True)]
        return torch.stack([self._distance(difference) for difference in differences]).sum()

    def _distance(self, difference: Tensor) -> Tensor:
        """Of one layer, whose phi differ by `difference` (B, T)."""
        if self.form == "mean":
            return difference.square().mean()
        if self.form == "norm":
            return torch.linalg.vector_norm(difference, dim=1).mean()
        return difference.square().sum(dim=1).mean()
