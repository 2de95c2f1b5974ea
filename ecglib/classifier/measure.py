"""What a classifier costs: operations, bytes, and the time of a record on one thread."""

from collections.abc import Callable, Mapping
from functools import partial
from pathlib import Path

import numpy as np
import torch
from torch import Tensor, nn
from torch.utils.flop_counter import FlopCounterMode

from ecglib.classifier import onnx
from ecglib.core import cost


def flops_as_r3(model: nn.Module, x: Tensor) -> int:
    """FLOPs as in figure 14-4: every convolution is counted at as many positions as the first one's output has.

    Each multiply-accumulate counts as one. Later convolutions see shorter signals, so this is more than is computed.
    """
    convolutions = [module for module in model.modules() if isinstance(module, nn.Conv1d)]
    positions = x.shape[-1] - convolutions[0].kernel_size[0] + 1
    linear = sum(module.weight.numel() for module in model.modules() if isinstance(module, nn.Linear))
    return positions * sum(convolution.weight.numel() for convolution in convolutions) + linear


@torch.no_grad()
def flops(model: nn.Module, x: Tensor) -> int:
    """Floating-point operations of one record x (1, L, T): two for every multiply-accumulate."""
    with FlopCounterMode(display=False) as counter:
        model.eval()(x)
    return counter.get_total_flops()


def weight_bytes(model: nn.Module) -> int:
    """Bytes of weights, masks and running statistics."""
    found = 0
    for value in model.state_dict().values():
        parts = value if isinstance(value, tuple) else (value,)  # a quantised layer keeps weight and bias in a pair
        found += sum(part.numel() * part.element_size() for part in parts if isinstance(part, Tensor))
    return found


def ways(models: Mapping[str, nn.Module], files: Mapping[str, Path], x: np.ndarray) -> dict[str, Callable[[], object]]:
    """Ways to run one record x (1, L, T): networks by torch, ONNX files by ONNX Runtime on one thread."""
    record = torch.from_numpy(x)
    found: dict[str, Callable[[], object]] = {
        name: partial(_forward, model.eval(), record) for name, model in models.items()
    }
    return found | {name: partial(onnx.run, onnx.open_model(path, threads=1), x) for name, path in files.items()}


def timed(actions: Mapping[str, Callable[[], object]], repeats: int) -> dict[str, np.ndarray]:
    """`cost.alternating` with torch on one thread: (repeats,) seconds of each action."""
    threads = torch.get_num_threads()
    torch.set_num_threads(1)
    try:
        return cost.alternating(actions, repeats)
    finally:
        torch.set_num_threads(threads)


@torch.no_grad()
def _forward(model: nn.Module, x: Tensor) -> Tensor:
    return model(x)
