"""The one function that seeds everything."""

import random

import numpy as np
import torch


def seed_everything(*seeds: int) -> None:
    """Seed Python, NumPy and torch (every device) from one or more integers, and ask cuDNN for repeatable kernels.

    A GPU's convolutions keep all bits of float32, as a CPU's do; by default they would drop 13 of them (TF32).

    `seed_everything(seed, epoch)` gives each epoch its own stream, so a resumed epoch draws what it would have drawn.
    """
    state = int(np.random.SeedSequence(seeds).generate_state(1)[0])
    random.seed(state)
    np.random.seed(state)  # noqa: NPY002 - libraries still draw from the global state
    torch.manual_seed(state)
    torch.backends.cudnn.deterministic = True
    torch.backends.cudnn.benchmark = False
    torch.backends.cudnn.allow_tf32 = False  # of all kinds of layers; torch.export refuses a mixture
