"""The baselines of BeatGAN's comparison table: PCA, one-class SVM, isolation forest, VAE.

They use BeatGAN's training and test beats and no labels. The VAE trains for as many steps as BeatGAN, and its last
weights are tested. Beside the autoencoder (AE) of that table stands BeatGAN's generator without an adversary, arm N
(`arms.teacher_arms`); the paper does not say that its AE is the same network.
"""

from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path

import numpy as np
import torch
from sklearn.decomposition import PCA
from sklearn.ensemble import IsolationForest
from sklearn.kernel_approximation import Nystroem
from sklearn.linear_model import SGDOneClassSVM
from sklearn.pipeline import make_pipeline
from torch import Tensor, nn
from torch.nn import functional as F

from ecglib.beatgan.networks import LATENT, Decoder, Encoder, anomaly_scores, initialise
from ecglib.beatgan.task import BeatGANConfig
from ecglib.core.device import choose_device
from ecglib.core.errors import EcglibError
from ecglib.core.seeds import seed_everything
from ecglib.data.mitbih import Beats
from ecglib.runs.formats import write_arrays
from ecglib.runs.store import is_stored, stored_arrays
from ecglib.stats import metrics

# (train (N, 320), test (M, 320), config, device) -> scores (M,)
Scorer = Callable[[np.ndarray, np.ndarray, BeatGANConfig, str], np.ndarray]

KERNEL_FEATURES = 300  # of the linear approximation of a Gaussian kernel
OUTLIERS = 0.1  # share of training beats that the one-class SVM may leave outside


class VAE(nn.Module):
    """A variational autoencoder, x (B, C, 320) -> x', code; the code (B, 100, 1) is mean and log-variance of z."""

    def __init__(self, channels: int = 1, width: float = 1) -> None:
        super().__init__()
        self.encoder = Encoder(channels, outputs=2 * LATENT, width=width)
        self.decoder = Decoder(channels, width)
        self.apply(initialise)

    def forward(self, x: Tensor) -> tuple[Tensor, Tensor]:
        """z is drawn in training mode and is its mean in evaluation mode (Kingma and Welling 2014)."""
        code = self.encoder(x)
        mean, log_variance = code.chunk(2, dim=1)
        z = mean + torch.randn_like(mean) * torch.exp(log_variance / 2) if self.training else mean
        return self.decoder(z), code

    @staticmethod
    def loss(x_hat: Tensor, x: Tensor, code: Tensor) -> Tensor:
        """The negative evidence lower bound per tick, for a Gaussian of variance 1/2 around x': MSE + KL / ticks."""
        mean, log_variance = code.chunk(2, dim=1)
        kl = 0.5 * (mean.square() + log_variance.exp() - 1 - log_variance).sum(dim=(1, 2)).mean()
        return F.mse_loss(x_hat, x) + kl / x[0].numel()


def pca(train: np.ndarray, test: np.ndarray, config: BeatGANConfig, device: str) -> np.ndarray:
    """Mean squared error of the projection onto 50 components, the size of BeatGAN's code."""
    model = PCA(n_components=min(LATENT, len(train)), svd_solver="covariance_eigh").fit(train)  # nothing random
    return np.square(test - model.inverse_transform(model.transform(test))).mean(axis=1)


def one_class_svm(train: np.ndarray, test: np.ndarray, config: BeatGANConfig, device: str) -> np.ndarray:
    """Distance outside a one-class SVM with a Gaussian kernel, made affordable by Nystroem's linear approximation."""
    features = Nystroem(
        gamma=1 / (train.shape[1] * train.var()),  # scikit-learn's gamma="scale"
        n_components=min(KERNEL_FEATURES, len(train)),
        random_state=config.training.seed,
    )
    svm = SGDOneClassSVM(nu=OUTLIERS, random_state=config.training.seed)
    return -make_pipeline(features, svm).fit(train).decision_function(test)


def isolation_forest(train: np.ndarray, test: np.ndarray, config: BeatGANConfig, device: str) -> np.ndarray:
    """How few random cuts isolate a beat (Liu et al. 2008)."""
    return -IsolationForest(random_state=config.training.seed).fit(train).score_samples(test)


def variational_autoencoder(train: np.ndarray, test: np.ndarray, config: BeatGANConfig, device: str) -> np.ndarray:
    """BeatGAN's encoder and decoder as a VAE, trained with BeatGAN's settings.

    Raises:
        EcglibError: the training beats do not fill one batch.
    """
    place, settings = choose_device(device), config.training
    if (count := len(train)) < settings.batch_size:
        raise EcglibError(f"{count} training beats do not fill one batch of {settings.batch_size}: use more beats.")
    seed_everything(settings.seed)
    model = VAE(1, config.width).to(place)
    betas = (settings.beta1, settings.beta2)
    optimizer = torch.optim.Adam(model.parameters(), settings.learning_rate, betas=betas, fused=True)
    x = torch.from_numpy(train)[:, None].to(place)
    for epoch in range(settings.epochs):
        seed_everything(settings.seed, epoch + 1)
        for batch in torch.randperm(len(x)).to(place).split(settings.batch_size):
            if len(batch) < settings.batch_size:
                break  # as in BeatGAN's training
            x_hat, code = model(x[batch])
            optimizer.zero_grad()
            VAE.loss(x_hat, x[batch], code).backward()
            optimizer.step()
    return anomaly_scores(model.eval(), torch.from_numpy(test)[:, None].to(place)).cpu().numpy()


@dataclass(frozen=True)
class Baseline:
    """A baseline and the key of its published AUC in `reports.CLAIMS`; None if BeatGAN's paper has no such row."""

    name: str
    scorer: Scorer
    published: str | None


BASELINES = {
    "PCA": Baseline("PCA", pca, "beatgan.pca.auc"),
    "SVM": Baseline("one-class SVM", one_class_svm, "beatgan.ocsvm.auc"),
    "forest": Baseline("isolation forest", isolation_forest, None),
    "VAE": Baseline("VAE", variational_autoencoder, "beatgan.vae.auc"),
}


def baseline_auc(key: str, config: BeatGANConfig, beats: Beats, store: Path, device: str = "auto") -> float:
    """Test AUC of one of `BASELINES`, with data, budget and seed of `config`; the scores are kept in the store.

    Raises:
        EcglibError: the config has both leads, where baselines see one; or too few beats train the VAE.
    """
    if len(config.leads) > 1:
        raise EcglibError(f"leads={config.leads}: baselines see one lead, so choose (0,) or (1,).")
    split, baseline = config.choose(beats), BASELINES[key]
    kept = f"baselines/{baseline.name.replace(' ', '_')}-{config.run_id}"
    if not is_stored(store, kept):
        train, test = (config.x(beats, members)[:, 0].numpy() for members in (split.train, split.test))
        scores = baseline.scorer(train, test, config, device).astype(np.float32)
        write_arrays(store / f"{kept}.npz", {"scores": scores})
    return metrics.auc(beats.labels[split.test] != "N", stored_arrays(store, kept)["scores"])
