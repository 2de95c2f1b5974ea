"""The losses of BeatGAN (report R1, section 3.3.2; Zhou et al. 2019, equations 3 to 5)."""

from torch import Tensor
from torch.nn import functional as F


def reconstruction(x_hat: Tensor, x: Tensor) -> Tensor:
    """Equation 1, left: the mean over all elements of (x' - x)^2; shapes (B, C, T), a scalar comes back.

    The report writes a norm, ||x - x'||_2; its code computes the mean square, which is what is here.
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
