"""SimCLR's loss."""

from typing import Any

import torch
from torch import Tensor, distributed
from torch.nn import functional as F


class NTXent:
    """SimCLR's loss (Chen et al. 2020, equation 1; report R2, section 3.3.2): which of 2N views belong together?

    l(i, j) = -log exp(sim(z_i, z_j) / tau) / sum over k != i of exp(sim(z_i, z_k) / tau), sim the cosine, averaged over
    all 2N views. Where torch.distributed runs, the views of every process are compared with each other: averaging the
    processes' gradients, as DistributedDataParallel does, gives those of the whole batch in one process. All processes
    need equally many beats.

    Args:
        temperature: tau; the smaller, the more the hardest negatives count.
    """

    def __init__(self, temperature: float) -> None:
        self.temperature = temperature

    def __call__(self, first: Tensor, second: Tensor) -> Tensor:
        """The loss of N beats from two views each, (N, d) and (N, d); row n of both is beat n. A scalar comes back."""
        local = F.normalize(torch.cat([first, second]), dim=1)  # (2N, d)
        everything, rank = (local, 0) if not _in_parallel() else (_Gather.apply(local), distributed.get_rank())
        similarity = local @ everything.T / self.temperature  # (2N, 2N x processes)
        rows = torch.arange(len(local), device=local.device)
        offset = rank * len(local)
        similarity = similarity.scatter(1, (offset + rows)[:, None], float("-inf"))  # a view is not its own negative
        partner = offset + (rows + len(first)) % len(local)
        return F.cross_entropy(similarity, partner)


def _in_parallel() -> bool:
    return distributed.is_available() and distributed.is_initialized() and distributed.get_world_size() > 1


class _Gather(torch.autograd.Function):
    """The rows of all processes, in the order of their ranks; the gradient comes back from all of them."""

    @staticmethod
    def forward(ctx: Any, local: Tensor) -> Tensor:
        parts = [torch.empty_like(local) for _ in range(distributed.get_world_size())]
        distributed.all_gather(parts, local.contiguous())
        return torch.cat(parts)

    @staticmethod
    def backward(ctx: Any, gradient: Tensor) -> Tensor:
        gradient = gradient.clone(memory_format=torch.contiguous_format)  # autograd's own must not change
        distributed.all_reduce(gradient)
        return gradient.chunk(distributed.get_world_size())[distributed.get_rank()]
