"""What did the network look at? Integrated gradients (Sundararajan et al. 2017) of one record, for one class."""

import numpy as np
import torch
from scipy.ndimage import uniform_filter1d
from torch import Tensor, nn

from ecglib.classifier import onnx
from ecglib.core.errors import EcglibError

STEPS = 64
SMOOTH = 5  # samples, 50 ms: a wave, not a sample, is what a reader looks at


def integrated_gradients(model: nn.Module, x: Tensor, label: int) -> Tensor:
    """How much each sample of each lead added to a logit: (L, T); all together they are logit(x) - logit(silence).

    Args:
        model: logits of scaled records, in evaluation mode.
        x: (1, L, T) a scaled record.
        label: which logit.

    Raises:
        EcglibError: captum is not installed.
    """
    captum = onnx.need("captum.attr")
    return captum.IntegratedGradients(model).attribute(x, torch.zeros_like(x), target=label, n_steps=STEPS)[0].detach()


def relevance(attributions: Tensor) -> np.ndarray:
    """What spoke for the class, smoothed over 50 ms and scaled to [0, 1]: (L, T) from attributions (L, T)."""
    positive = uniform_filter1d(attributions.clamp(min=0).numpy(), SMOOTH, axis=1)
    largest = np.quantile(positive, 0.995)
    return np.clip(positive / largest, 0, 1) if largest > 0 else positive


def clearest_record(targets: np.ndarray, probabilities: np.ndarray, label: int) -> int:
    """The record that carries this label alone and for which the network is surest of it.

    Args:
        targets: (N, 5).
        probabilities: (N, 5).
        label: which column.

    Raises:
        EcglibError: no record carries it.
    """
    if not targets[:, label].any():
        raise EcglibError(f"None of these {len(targets)} records carries label {label}: take more records.")
    alone = (targets[:, label] == 1) & (targets.sum(axis=1) == 1)
    candidates = np.flatnonzero(alone if alone.any() else targets[:, label] == 1)
    return int(candidates[probabilities[candidates, label].argmax()])
