"""Networks whose many small kernels torch.compile fuses, on a GPU."""

from typing import TypeVar, cast

import torch
from torch import nn

ModuleT = TypeVar("ModuleT", bound=nn.Module)
VARIANTS = 64  # a process trains networks of several widths one after another; torch would stop at 8


def compiled(network: ModuleT) -> ModuleT:
    """On a GPU, `network` behind torch.compile, for batches of one shape; elsewhere the network itself.

    Both share their weights. Where torch.compile does not work (it needs Triton and a C compiler), torch warns and runs
    the network as it is. Hooks of the network's layers are not called.
    """
    if not next(network.parameters()).is_cuda:
        return network
    torch._dynamo.config.suppress_errors = True
    torch._dynamo.config.recompile_limit = VARIANTS
    return cast(ModuleT, torch.compile(network, dynamic=False))
