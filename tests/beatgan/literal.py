"""The report's update written out step by step, as the reference for correctness and for speed.

Every pass is made as often as R1's published program made it: G twice, D four times a batch, and
D's gradients are computed in the G step although nothing uses them.
"""

from torch import Tensor
from torch.nn import functional as F

from ecglib.beatgan.training import BATCHNORM_MOMENTUM, Settings, State, set_momentum


def literal_update(state: State, x: Tensor, settings: Settings) -> dict[str, float]:
    """One step on x (B, C, 320); the same contract as `ecglib.beatgan.training.update`."""
    generator, discriminator = state.generator, state.discriminator
    set_momentum(generator, BATCHNORM_MOMENTUM)

    discriminator.zero_grad()
    p_real, _ = discriminator(x)
    x_hat, _ = generator(x)
    p_fake, _ = discriminator(x_hat)
    loss_real = -p_real.log().clamp(min=-100).mean()
    loss_fake = -(1 - p_fake).log().clamp(min=-100).mean()
    loss_d = loss_real + loss_fake
    loss_d.backward()
    state.discriminator_optimizer.step()

    generator.zero_grad()
    x_hat, _ = generator(x)
    _, features_fake = discriminator(x_hat)
    _, features_real = discriminator(x)
    adversarial = F.mse_loss(features_fake, features_real)
    error = F.mse_loss(x_hat, x)
    loss_g = error + settings.adversarial_weight * adversarial
    loss_g.backward()
    state.generator_optimizer.step()

    reset = loss_d.item() < settings.reset_discriminator_below
    if reset:
        # The program draws new weights here; both ways get the same ones, so that they can be compared.
        for weight, new in zip(discriminator.parameters(), state.spare.parameters(), strict=True):
            weight.data.copy_(new)
    return {
        "loss_d": loss_d.item(),
        "loss_g": loss_g.item(),
        "loss_reconstruction": error.item(),
        "loss_adversarial": adversarial.item(),
        "d_resets": float(reset),
    }
