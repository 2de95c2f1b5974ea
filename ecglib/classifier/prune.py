"""Pruning a classifier: R3's masks, which shrink nothing (report R3, section 4.1), and channels that are cut out."""

import copy

import torch
from torch import Tensor, nn
from torch.nn.utils import prune

from ecglib.core.errors import EcglibError
from ecglib.core.extras import need
from ecglib.data.ptbxl import SAMPLES


def masked(model: nn.Module, amount: float) -> nn.Module:
    """A copy in which the smallest share `amount` of every layer's weights is masked with zeros (R3, section 4.1)."""
    result = copy.deepcopy(model)
    for module in result.modules():
        if isinstance(module, nn.Conv1d | nn.Linear):
            prune.l1_unstructured(module, "weight", amount)
    return result


def without_channels(model: nn.Module, leads: int, share: float) -> nn.Module:
    """A copy without the least important `share` of each convolution's channels, and without what depends on them.

    Importance is the L2 norm of a channel's weights over all layers that it belongs to (torch-pruning's groups). The
    result needs fine-tuning. `leads` are the channels of the input.

    Raises:
        EcglibError: torch-pruning is not installed, or the share is not one in (0, 1) that leaves each layer a channel.
    """
    if not 0 < share < 1:
        raise EcglibError(f"A share of {share} of the channels cannot be cut: give a number between 0 and 1.")
    pruning = need("torch_pruning")
    result = copy.deepcopy(model).cpu().eval()
    last = [module for module in result.modules() if isinstance(module, nn.Linear)][-1]
    pruner = pruning.pruner.BasePruner(
        result,
        torch.zeros(1, leads, SAMPLES),
        importance=pruning.importance.GroupMagnitudeImportance(p=2),
        pruning_ratio=share,
        ignored_layers=[last],  # the classes
    )
    pruner.step()
    kept = zip(_channels(result), _channels(model), strict=True)
    if any(after >= before for after, before in kept):
        raise EcglibError(f"Without a share of {share} of its channels nothing would be left of a layer: cut less.")
    return result


def _channels(model: nn.Module) -> list[int]:
    """How many channels each convolution makes."""
    return [module.out_channels for module in model.modules() if isinstance(module, nn.Conv1d)]


def zeros(model: nn.Module) -> int:
    """How many weights are exactly zero, masked ones included."""
    found = 0
    for module in model.modules():
        weight = getattr(module, "weight", None)
        found += int((weight == 0).sum()) if isinstance(weight, Tensor) else 0
    return found
