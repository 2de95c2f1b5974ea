"""A training step as a CUDA graph: a GPU starts its hundreds of small kernels at once, without Python in between.

A graph repeats kernels on fixed memory. A step can be one if its numbers stay on the GPU, random numbers are drawn
there, and all batches have one shape. Whether the graph computes what the step computes is checked before it is used.
"""

import warnings
from collections.abc import Callable, Iterator, Sequence
from contextlib import AbstractContextManager

import torch
from torch import Tensor, nn

Row = dict[str, Tensor]  # scalars that a step gives, by name
Step = Callable[[Tensor], Row]
WARM_UP = 3  # steps in which the libraries choose their kernels, which must not happen inside a graph
TOLERANCE = 0.01  # of a tensor's change in one step: kernels that add up in any order differ by far less


class Repeated:
    """`step` for batches of one shape: from its second call on a GPU, a graph where that is possible.

    `parts` has everything that a step changes.
    """

    def __init__(self, step: Step, parts: Sequence[nn.Module | torch.optim.Optimizer]) -> None:
        self._step, self._parts, self._called = step, parts, False

    def __call__(self, x: Tensor) -> Row:
        """The step on a batch x (B, C, T)."""
        if self._called and x.is_cuda and self._parts:
            self._step, self._parts = graphed(self._step, self._parts, x), ()
        self._called = True
        return self._step(x)


def graphed(step: Step, parts: Sequence[nn.Module | torch.optim.Optimizer], x: Tensor) -> Step:
    """`step` as a CUDA graph for batches like x (B, C, T); or, after a warning, `step` itself, if that is impossible.

    `parts` has everything that a step changes, and is left as it was. The optimizers must have made a step before,
    because only then does their memory exist.
    """
    tensors = list(_tensors(parts))
    before = [tensor.clone() for tensor in tensors]

    def restore() -> None:
        for tensor, kept in zip(tensors, before, strict=True):
            tensor.copy_(kept)

    def changes(way: Step) -> list[Tensor]:
        with _random_numbers_kept(x):
            row = way(x)
        moved = [tensor.double() - kept.double() for tensor, kept in zip(tensors, before, strict=True)]
        restore()
        return [*(value.double() for value in row.values()), *moved]

    wanted = changes(step)
    try:
        with _random_numbers_kept(x):
            graph = captured(step, x)
        restore()
        found = changes(graph)
    except RuntimeError as error:
        restore()
        reason = str(error).partition("\n")[0]
    else:
        pairs = zip(found, wanted, strict=True)
        if all((one - other).norm() <= TOLERANCE * other.norm() for one, other in pairs):
            return graph
        reason = "it computes something else"
    warnings.warn(f"The training step does not work as a CUDA graph ({reason}); it runs without.", stacklevel=2)
    return step


def _random_numbers_kept(x: Tensor) -> AbstractContextManager[None]:
    return torch.random.fork_rng([x.device] if x.is_cuda else [])


def _tensors(parts: Sequence[nn.Module | torch.optim.Optimizer]) -> Iterator[Tensor]:
    for part in parts:
        if isinstance(part, nn.Module):
            yield from (tensor.detach() for tensor in part.state_dict().values())
        else:
            yield from (value for state in part.state.values() for value in state.values())


def captured(step: Step, x: Tensor) -> Step:
    """The graph, unchecked. Several steps are made on the way.

    Raises:
        RuntimeError: the step does something that a graph cannot repeat.
    """
    fixed, side = x.clone(), torch.cuda.Stream()
    side.wait_stream(torch.cuda.current_stream())
    with torch.cuda.stream(side):
        for _ in range(WARM_UP):
            step(fixed)
    torch.cuda.current_stream().wait_stream(side)
    graph = torch.cuda.CUDAGraph()
    with torch.cuda.graph(graph):
        row = step(fixed)

    def replay(x: Tensor) -> Row:
        fixed.copy_(x)
        graph.replay()
        return {name: value.clone() for name, value in row.items()}

    return replay
