"""The one function that seeds everything."""

import os
import random

import numpy as np
import torch

STUDENT_SEED = 100  # added to a teacher's seed: all its students share initial weights and the order of the data


def seed_everything(*seeds: int) -> None:
    """Seed Python, NumPy and torch (every device) from one or more integers.

    A GPU keeps all bits of float32, as a CPU does; by default cuDNN would drop 13 of them (TF32). A GPU adds up in any
    order and so repeats a training only nearly. `ECGLIB_DETERMINISTIC=1` asks for kernels that repeat it exactly.

    `seed_everything(seed, epoch)` gives each epoch its own stream, so a resumed epoch draws what it would have drawn.
    """
    state = _state(seeds)
    random.seed(state)
    np.random.seed(state)  # noqa: NPY002 - libraries still draw from the global state
    torch.manual_seed(state)
    if deterministic() and torch.cuda.is_available():
        os.environ.setdefault("CUBLAS_WORKSPACE_CONFIG", ":4096:8")  # what cuBLAS needs for it
        torch.use_deterministic_algorithms(True, warn_only=True)
    torch.backends.cudnn.benchmark = False
    torch.backends.cudnn.allow_tf32 = False  # of all kinds of layers; torch.export refuses a mixture
    torch.backends.cuda.matmul.allow_tf32 = False


def deterministic() -> bool:
    """Whether a GPU has to repeat a training exactly: the variable `ECGLIB_DETERMINISTIC` is 1."""
    return os.environ.get("ECGLIB_DETERMINISTIC") == "1"


def random_stream(*seeds: int) -> torch.Generator:
    """Random numbers of their own, on the CPU, from one or more integers."""
    return torch.Generator().manual_seed(_state(seeds))


def _state(seeds: tuple[int, ...]) -> int:
    return int(np.random.SeedSequence(seeds).generate_state(1)[0])
