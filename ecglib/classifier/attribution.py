"""What did the network look at? Integrated gradients (Sundararajan et al. 2017) of one record, for one class."""

import numpy as np
import torch
from scipy.ndimage import uniform_filter1d
from torch import Tensor, nn

from ecglib.core.errors import EcglibError
from ecglib.core.extras import need

STEPS = 64
SMOOTH = 5  # samples, 50 ms: a wave, not a sample, is what a reader looks at


def integrated_gradients(model: nn.Module, x: Tensor, label: int) -> Tensor:
    """What each sample of each lead adds to one logit of a scaled record x (1, L, T): (L, T). Needs captum.

    All samples together add up to logit(x) - logit(silence). The model must be in evaluation mode.
    """
    captum = need("captum.attr")
    return captum.IntegratedGradients(model).attribute(x, torch.zeros_like(x), target=label, n_steps=STEPS)[0].detach()


def relevance(attributions: Tensor) -> np.ndarray:
    """What spoke for the class, smoothed over 50 ms and scaled to [0, 1]: (L, T) from attributions (L, T)."""
    positive = uniform_filter1d(attributions.clamp(min=0).numpy(), SMOOTH, axis=1)
    largest = np.quantile(positive, 0.995)
    return np.clip(positive / largest, 0, 1) if largest > 0 else positive


def clearest_record(targets: np.ndarray, probabilities: np.ndarray, label: int) -> int:
    """The record with no label but this one of which the network is surest; targets and probabilities are (N, 5).

    If every record with the label has others, too, one of those is taken.

    Raises:
        EcglibError: no record has the label.
    """
    if not targets[:, label].any():
        raise EcglibError(f"None of these {len(targets)} records carries label {label}: take more records.")
    alone = (targets[:, label] == 1) & (targets.sum(axis=1) == 1)
    candidates = np.flatnonzero(alone if alone.any() else targets[:, label] == 1)
    return int(candidates[probabilities[candidates, label].argmax()])
