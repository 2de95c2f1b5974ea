"""What a network costs: parameters, and the time it takes for a beat."""

import statistics
import time
from collections.abc import Callable, Mapping

import numpy as np
import torch
from torch import Tensor, nn


def count_parameters(model: nn.Module) -> int:
    """The number of trained values, without BatchNorm's running statistics."""
    return sum(parameter.numel() for parameter in model.parameters())


@torch.no_grad()
def layer_table(model: nn.Module, x: Tensor, statistics: bool = False) -> list[tuple[str, tuple[int, ...], int]]:
    """Each layer in the order of its calls on x (B, ...): kind, shape of its output without the batch, parameters.

    With `statistics`, BatchNorm's running mean and variance count as parameters, as Keras has it.
    """
    rows: list[tuple[str, tuple[int, ...], int]] = []

    def record(module: nn.Module, inputs: tuple[Tensor, ...], output: Tensor) -> None:
        count = count_parameters(module)
        if statistics:
            count += sum(buffer.numel() for buffer in module.buffers() if buffer.is_floating_point())
        rows.append((type(module).__name__, tuple(output.shape[1:]), count))

    leaves = {id(module): module for module in model.modules() if not list(module.children())}
    hooks = [module.register_forward_hook(record) for module in leaves.values()]
    try:
        model(x)
    finally:
        for hook in hooks:
            hook.remove()
    return rows


@torch.no_grad()
def milliseconds_per_beat(model: nn.Module, x: Tensor) -> float:
    """Median wall time of twenty forward passes of x (B, C, T), divided by B; three more warm up."""
    seconds = []
    for _ in range(3 + 20):
        _synchronise(x)
        started = time.perf_counter()
        model(x)
        _synchronise(x)
        seconds.append(time.perf_counter() - started)
    return 1000 * statistics.median(seconds[3:]) / len(x)


def _synchronise(x: Tensor) -> None:
    if x.is_cuda:
        torch.cuda.synchronize(x.device)


def alternating(actions: Mapping[str, Callable[[], object]], repeats: int) -> dict[str, np.ndarray]:
    """Wall time of each action in seconds, (repeats,) each.

    They take turns, so that a noisy machine disturbs all alike. The first round, which allocates, is not counted.
    """
    seconds: dict[str, list[float]] = {name: [] for name in actions}
    for _ in range(repeats + 1):
        for name, action in actions.items():
            started = time.perf_counter()
            action()
            seconds[name].append(time.perf_counter() - started)
    return {name: np.array(values[1:]) for name, values in seconds.items()}


def alternating_medians(actions: Mapping[str, Callable[[], object]], repeats: int) -> dict[str, float]:
    """The median of `alternating`."""
    return {name: float(np.median(values)) for name, values in alternating(actions, repeats).items()}
