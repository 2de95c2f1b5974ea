"""The variational autoencoder of BeatGAN's comparison table, built from BeatGAN's own encoder and decoder."""

import torch
from torch import Tensor, nn
from torch.nn import functional as F

from ecglib.beatgan.networks import LATENT, Decoder, Encoder, initialise


class VAE(nn.Module):
    """x (B, C, 320) -> x', z; the encoder gives mean and log-variance of z (Kingma and Welling 2014)."""

    def __init__(self, channels: int = 1, width: float = 1) -> None:
        super().__init__()
        self.encoder = Encoder(channels, outputs=2 * LATENT, width=width)
        self.decoder = Decoder(channels, width)
        self.apply(initialise)

    def forward(self, x: Tensor) -> tuple[Tensor, Tensor]:
        """In training mode z is drawn, in evaluation mode it is the mean; z comes back as (B, 100, 1): both halves."""
        code = self.encoder(x)
        mean, log_variance = code.chunk(2, dim=1)
        z = mean + torch.randn_like(mean) * torch.exp(log_variance / 2) if self.training else mean
        return self.decoder(z), code

    @staticmethod
    def loss(x_hat: Tensor, x: Tensor, code: Tensor) -> Tensor:
        """The negative evidence bound a tick, for a Gaussian of variance 1/2 around x': MSE + KL / ticks."""
        mean, log_variance = code.chunk(2, dim=1)
        kl = 0.5 * (mean.square() + log_variance.exp() - 1 - log_variance).sum(dim=(1, 2)).mean()
        return F.mse_loss(x_hat, x) + kl / x[0].numel()
