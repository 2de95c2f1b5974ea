"""The losses of BeatGAN (report R1, section 3.3.2; Zhou et al. 2019, equations 3 to 5), distillation and SimCLR."""

import warnings
from collections.abc import Sequence
from typing import Any, Literal

import torch
from torch import Tensor, distributed
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


class BinaryKL:
    """Distillation of a multi-label classifier, each class a yes or no of its own (report R3, section 4.3, corrected).

    The mean over records and classes of KL(Bernoulli(teacher) || Bernoulli(student)), times T^2, so that its gradient
    keeps its size. Zero where student and teacher agree.

    Args:
        temperature: T.
        softened: what T divides. "logits", as Hinton et al. (2015) do; or "probabilities", as MKD is published
            (MVKT-ECG, Qin et al. 2023), which makes every class look absent.
    """

    def __init__(self, temperature: float, softened: Literal["logits", "probabilities"] = "logits") -> None:
        self.temperature, self.softened = temperature, softened

    def __call__(self, student: Tensor, teacher: Tensor) -> Tensor:
        """The loss of two batches of logits (B, C)."""
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
    """What R3's program minimised: a softmax over sigmoids, as if exactly one of several true labels could hold.

    alpha T^2 KL(softmax(sigmoid(teacher) / T) || softmax(sigmoid(student) / T)), averaged over records and classes (a
    fifth of the divergence), plus (1 - alpha) times the cross-entropy of the student's sigmoids taken as logits.

    Args:
        student: (B, C) logits.
        teacher: (B, C) logits.
        targets: (B, C) of 0 and 1.
        temperature: T.
        alpha: weight of the divergence.
    """
    student, teacher = torch.sigmoid(student), torch.sigmoid(teacher.detach())
    log_student = F.log_softmax(student / temperature, dim=1)
    # reduction="mean" is what the program had; torch warns that it is no divergence, which is the point.
    with warnings.catch_warnings():
        warnings.simplefilter("ignore", UserWarning)
        divergence = F.kl_div(log_student, F.softmax(teacher / temperature, dim=1), reduction="mean")
    return alpha * temperature**2 * divergence + (1 - alpha) * F.cross_entropy(student, targets)


class NTXent:
    """SimCLR's loss (Chen et al. 2020, equation 1; report R2, section 3.3.2): which of 2N views belong together?

    l(i, j) = -log exp(sim(z_i, z_j) / tau) / sum over k != i of exp(sim(z_i, z_k) / tau), sim the cosine, averaged over
    all 2N views. Where torch.distributed runs, the views of every process are compared with each other: averaging the
    processes' gradients, as DistributedDataParallel does, gives those of the whole batch in one process. All processes
    need equally many beats.

    Args:
        temperature: tau; the smaller, the more the hardest negatives count.
    """

    def __init__(self, temperature: float) -> None:
        self.temperature = temperature

    def __call__(self, first: Tensor, second: Tensor) -> Tensor:
        """The loss of N beats from two views each, (N, d) and (N, d); row n of both is beat n. A scalar comes back."""
        local = F.normalize(torch.cat([first, second]), dim=1)  # (2N, d)
        everything, rank = (local, 0) if not _in_parallel() else (_Gather.apply(local), distributed.get_rank())
        similarity = local @ everything.T / self.temperature  # (2N, 2N x processes)
        rows = torch.arange(len(local), device=local.device)
        offset = rank * len(local)
        similarity = similarity.scatter(1, (offset + rows)[:, None], float("-inf"))  # a view is not its own negative
        partner = offset + (rows + len(first)) % len(local)
        return F.cross_entropy(similarity, partner)


def _in_parallel() -> bool:
    return distributed.is_available() and distributed.is_initialized() and distributed.get_world_size() > 1


class _Gather(torch.autograd.Function):
    """The rows of all processes, in the order of their ranks; the gradient comes back from all of them."""

    @staticmethod
    def forward(ctx: Any, local: Tensor) -> Tensor:
        parts = [torch.empty_like(local) for _ in range(distributed.get_world_size())]
        distributed.all_gather(parts, local.contiguous())
        return torch.cat(parts)

    @staticmethod
    def backward(ctx: Any, gradient: Tensor) -> Tensor:
        gradient = gradient.clone(memory_format=torch.contiguous_format)  # autograd's own must not change
        distributed.all_reduce(gradient)
        return gradient.chunk(distributed.get_world_size())[distributed.get_rank()]
