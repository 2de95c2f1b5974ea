"""The losses of BeatGAN and of its distillation, named after R1's equations (sections 3.3.2 and 3.3.4.4)."""

from collections.abc import Sequence
from typing import Literal

import torch
from torch import Tensor
from torch.nn import functional as F

from ecglib.core.errors import EcglibError

Direction = Literal["student_teacher", "teacher_student"]
Transfer = Literal["squared", "mean", "norm"]


def reconstruction(x_hat: Tensor, x: Tensor) -> Tensor:
    """Equation 1, left: the mean of (x' - x)^2 over all elements (B, C, T).

    Equation 1 writes a norm, ||x - x'||_2; section 3.3.4.3 and the program use the MSE, as here.
    """
    return F.mse_loss(x_hat, x)


def feature_matching(features_fake: Tensor, features_real: Tensor) -> Tensor:
    """Equation 1, right: the mean of (f_D(x') - f_D(x))^2 over all elements (B, 512, 10)."""
    return F.mse_loss(features_fake, features_real)


def equation_1(error: Tensor, adversarial: Tensor, weight: float) -> Tensor:
    """L_G, the generator's loss (Zhou et al. 2019, equation 5): `reconstruction` + lambda * `feature_matching`."""
    return error + weight * adversarial


def equation_2(
    student: Tensor,
    teacher: Tensor,
    temperature: float = 4.0,
    alpha: float = 1.0,
    direction: Direction = "student_teacher",
) -> Tensor:
    """L_KD, `DistillKL` in R1's program: alpha T^2 times the KL divergence of two softmaxes over (rows, classes).

    R1 takes the anomaly scores of a batch for one row; rows are averaged. The softmax is in float64, because scores
    differ by thousandths, which single precision loses after the division by T. Gradients flow into both inputs.

    `direction` "student_teacher" is KL(student || teacher), as the report writes; "teacher_student" is KL(teacher ||
    student), as its program computes and Hinton et al. (2015) define.

    Raises:
        EcglibError: the temperature is not above 0.
    """
    if not 0 < temperature < float("inf"):
        raise EcglibError(f"temperature={temperature}: scores are divided by it, so it must be above 0.")
    log_s = F.log_softmax(student.double() / temperature, dim=1)
    log_t = F.log_softmax(teacher.double() / temperature, dim=1)
    first, second = (log_s, log_t) if direction == "student_teacher" else (log_t, log_s)
    return alpha * temperature**2 * F.kl_div(second, first, reduction="batchmean", log_target=True)


def equation_3(loss_g: Tensor, terms: Sequence[Tensor]) -> Tensor:
    """L, the student's loss: equation 1 plus the terms that teach it (equation 2, `attention_transfer`, ...)."""
    return sum(terms, start=loss_g)


def discriminator(p_real: Tensor, p_fake: Tensor) -> Tensor:
    """L_D: binary cross-entropy of D's probabilities (B,), label 1 for real beats and 0 for reconstructions.

    It is NaN if a probability is, as after a divergence.
    """
    return _cross_entropy(p_real, 1.0) + _cross_entropy(p_fake, 0.0)


def _cross_entropy(p: Tensor, label: float) -> Tensor:
    # torch's own stops the program at a NaN, on a GPU for good; here it passes on.
    return F.binary_cross_entropy(p.nan_to_num(), torch.full_like(p, label)) + 0 * p.mean()


def attention(features: Tensor) -> Tensor:
    """phi of attention transfer: (B, C, T) -> (B, T), the mean of squares over channels, rows scaled to length 1."""
    return F.normalize(features.float().square().mean(dim=1), dim=1)


def attention_transfer(student: Sequence[Tensor], teacher: Sequence[Tensor], form: Transfer = "squared") -> Tensor:
    """L_F (section 3.3.4.4), `DistillFT` in R1's program: attention transfer (Zagoruyko and Komodakis 2017).

    The distances of phi(F_student) from phi(F_teacher) are summed over layers (B, C_i, T_i). phi has no channels, so a
    student may be narrower than its teacher. The distance of a layer depends on `form`:

    - "norm": the L2 norm, averaged over beats, as the report writes
    - "mean": the square, averaged over beats and time, as the program computes
    - "squared": the square, summed over time and averaged over beats, T times "mean"
    """

    def distance(difference: Tensor) -> Tensor:
        if form == "mean":
            return difference.square().mean()
        if form == "norm":
            return torch.linalg.vector_norm(difference, dim=1).mean()
        return difference.square().sum(dim=1).mean()

    pairs = zip(student, teacher, strict=True)
    return torch.stack([distance(attention(f_s) - attention(f_t)) for f_s, f_t in pairs]).sum()
