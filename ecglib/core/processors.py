"""How many trainings go side by side on this machine. Nothing here imports torch before it is asked."""

import os

ON_GPU = 8  # trainings share a GPU; more than eight make nothing faster on an H200
A_TRAINING = 2e9  # bytes that one needs there


def cores() -> int:
    """The processors that this process may use."""
    return len(os.sched_getaffinity(0)) if hasattr(os, "sched_getaffinity") else os.cpu_count() or 1


def on_gpu(device: str) -> bool:
    """Whether a device, "auto", "cpu" or "cuda", is a GPU.

    Raises:
        EcglibError: as `device.choose_device`.
    """
    from ecglib.core.device import choose_device

    return choose_device(device).type == "cuda"


def side_by_side(device: str) -> int:
    """How many trainings to run at once: one a core, or as many as the GPU's free memory holds, up to `ON_GPU`.

    Raises:
        EcglibError: as `device.choose_device`.
    """
    if not on_gpu(device):
        return cores()
    import torch

    free, _ = torch.cuda.mem_get_info()
    return max(1, min(ON_GPU, int(free / A_TRAINING)))
