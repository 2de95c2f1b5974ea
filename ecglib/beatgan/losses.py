"""The losses of BeatGAN and of its distillation, under the numbers that R1 gives them (sections 3.3.2 and 3.3.4.4)."""

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


def equation_1(error: Tensor, adversarial: Tensor, weight: float) -> Tensor:
    """L_G, the loss of BeatGAN's generator (Zhou et al. 2019, equation 5).

    Args:
        error: `reconstruction`.
        adversarial: `feature_matching`.
        weight: lambda.
    """
    return error + weight * adversarial


def equation_2(
    student: Tensor,
    teacher: Tensor,
    temperature: float = 4.0,
    alpha: float = 1.0,
    direction: Direction = "student_teacher",
) -> Tensor:
    """L_KD, `DistillKL` in R1's program: alpha T^2 times the KL divergence of two softmaxes, averaged over rows.

    Computed in float64: anomaly scores differ by thousandths, and divided by T their softmax is uniform to single
    precision. Gradients flow into whichever input asks for them.

    Args:
        student: (rows, classes) logits; R1 takes the anomaly scores of a batch for one row.
        teacher: likewise.
        temperature: T (R1: 4).
        alpha: the weight (R1: 1).
        direction: "student_teacher" is KL(student || teacher), as the report writes; "teacher_student" is
            KL(teacher || student), as its program computes and Hinton et al. (2015) define.
    """
    log_s = F.log_softmax(student.double() / temperature, dim=1)
    log_t = F.log_softmax(teacher.double() / temperature, dim=1)
    first, second = (log_s, log_t) if direction == "student_teacher" else (log_t, log_s)
    return alpha * temperature**2 * F.kl_div(second, first, reduction="batchmean", log_target=True)


def equation_3(loss_g: Tensor, terms: Sequence[Tensor]) -> Tensor:
    """L, what a student minimises: equation 1 plus the terms that teach it (equation 2, `attention_transfer`, ...)."""
    return sum(terms, start=loss_g)


def discriminator(p_real: Tensor, p_fake: Tensor) -> Tensor:
    """L_D: binary cross-entropy of D's probabilities (B,), label 1 for real beats and label 0 for reconstructions."""
    return F.binary_cross_entropy(p_real, p_real.new_ones(p_real.shape)) + F.binary_cross_entropy(
        p_fake, p_fake.new_zeros(p_fake.shape)
    )


def attention(features: Tensor) -> Tensor:
    """phi of attention transfer: (B, C, T) -> (B, T), the mean of squares over channels, every row of length 1."""
    return F.normalize(features.square().mean(dim=1), dim=1)


def attention_transfer(student: Sequence[Tensor], teacher: Sequence[Tensor], form: Transfer = "squared") -> Tensor:
    """L_F (section 3.3.4.4), `DistillFT` in R1's program: attention transfer (Zagoruyko and Komodakis 2017).

    The distances of phi(F_student) from phi(F_teacher), summed over layers. Because phi has no channels, the layers of
    a narrower student fit.

    Args:
        student: layers (B, C_i, T_i).
        teacher: likewise; the C_i may differ.
        form: of a layer's distance. "norm" is what the report writes: the L2 norm, averaged over beats. "mean" is what
            its program computes: the square, averaged over beats and time. "squared" is the square summed over time and
            averaged over beats, T times as strong as "mean".
    """

    def distance(difference: Tensor) -> Tensor:
        if form == "mean":
            return difference.square().mean()
        if form == "norm":
            return torch.linalg.vector_norm(difference, dim=1).mean()
        return difference.square().sum(dim=1).mean()

    pairs = zip(student, teacher, strict=True)
    return torch.stack([distance(attention(f_s) - attention(f_t)) for f_s, f_t in pairs]).sum()
