"""Making a classifier smaller (report R3, sections 3.2 and 4), and what it then costs.

R3 pruned by masks: weights become zero but stay where they are, so neither file nor time shrinks. Structured pruning
takes whole channels away. Its quantisation is in `ecglib.deploy`.
"""

import copy
import warnings
from collections.abc import Callable, Mapping
from functools import partial
from pathlib import Path

import numpy as np
import torch
from torch import Tensor, nn
from torch.nn.utils import prune
from torch.utils.flop_counter import FlopCounterMode

from ecglib.classifier import onnx
from ecglib.core import cost
from ecglib.core.errors import EcglibError
from ecglib.data.ptbxl import SAMPLES


def masked(model: nn.Module, amount: float) -> nn.Module:
    """A copy whose smallest weights are masked, as R3 pruned (section 4.1): `amount` of every convolution and layer.

    Args:
        model: is left as it is.
        amount: share of the weights that become zero.
    """
    result = copy.deepcopy(model)
    for module in result.modules():
        if isinstance(module, nn.Conv1d | nn.Linear):
            prune.l1_unstructured(module, "weight", amount)
    return result


def without_channels(model: nn.Module, leads: int, share: float) -> nn.Module:
    """A copy with fewer channels: the least important ones of every convolution are cut out, and what hangs on them.

    Importance is the L2 norm of a channel's weights over all layers that it belongs to (torch-pruning's groups). The
    result needs fine-tuning.

    Args:
        model: is left as it is.
        leads: channels of its input.
        share: of the channels.

    Raises:
        EcglibError: torch-pruning is not installed.
    """
    pruning = onnx.need("torch_pruning")
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
    return result


def quantised_dynamically(model: nn.Module) -> nn.Module:
    """What R3's program did (section 4.2): a copy after `quantize_dynamic`, which knows linear layers but no Conv1d.

    Raises:
        EcglibError: this torch no longer has it.
    """
    try:
        from torch.ao.quantization import quantize_dynamic
    except ImportError as error:
        raise EcglibError("This torch no longer has quantize_dynamic: use torch 2.13.") from error
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")  # what torch will remove some day
        return quantize_dynamic(copy.deepcopy(model).cpu().eval(), {nn.Conv1d, nn.Linear}, dtype=torch.qint8)


def fake_quantised(model: nn.Module) -> nn.Module:
    """A copy prepared for quantisation-aware training, as R3's program tried: it rounds while it trains.

    torch's `prepare_qat` rounds what comes out of each convolution, and weights and output of linear layers; it has no
    version of Conv1d by itself that would round the weights, too. R3 never converted the result to integers.

    As torch has it, the ranges follow what was seen by 1 % a step, so that they lag in a short training, and go on
    following in evaluation mode.

    Raises:
        EcglibError: this torch no longer has it.
    """
    try:
        from torch.ao.quantization import get_default_qat_qconfig, prepare_qat
    except ImportError as error:
        raise EcglibError("This torch no longer has prepare_qat: use torch 2.13.") from error
    result = copy.deepcopy(model).train()
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")  # what torch will remove some day
        result.qconfig = get_default_qat_qconfig("fbgemm")
        return prepare_qat(result)


def flops_as_r3(model: nn.Module, x: Tensor) -> int:
    """FLOPs as figure 14-4 has them: every convolution counted at as many positions as the first one's output has.

    One for each multiply-accumulate; later convolutions see shorter signals, so that this is more than is computed.

    Args:
        model: convolutions and linear layers.
        x: (1, L, T) a record.
    """
    convolutions = [module for module in model.modules() if isinstance(module, nn.Conv1d)]
    positions = x.shape[-1] - convolutions[0].kernel_size[0] + 1
    linear = sum(module.weight.numel() for module in model.modules() if isinstance(module, nn.Linear))
    return positions * sum(convolution.weight.numel() for convolution in convolutions) + linear


@torch.no_grad()
def flops(model: nn.Module, x: Tensor) -> int:
    """Floating-point operations of one record x (1, L, T): 2 for every multiply-accumulate."""
    with FlopCounterMode(display=False) as counter:
        model.eval()(x)
    return counter.get_total_flops()


def zeros(model: nn.Module) -> int:
    """How many weights are exactly zero, masked ones among them."""
    found = 0
    for module in model.modules():
        weight = getattr(module, "weight", None)
        found += int((weight == 0).sum()) if isinstance(weight, Tensor) else 0
    return found


def weight_bytes(model: nn.Module) -> int:
    """Bytes of weights, masks and running statistics."""
    found = 0
    for value in model.state_dict().values():
        parts = value if isinstance(value, tuple) else (value,)  # a quantised layer keeps weight and bias in a pair
        found += sum(part.numel() * part.element_size() for part in parts if isinstance(part, Tensor))
    return found


def ways(models: Mapping[str, nn.Module], files: Mapping[str, Path], x: np.ndarray) -> dict[str, Callable[[], object]]:
    """Ways to run one record x (1, L, T), ready to be called.

    Args:
        models: name -> network, run by torch as it is.
        files: name -> ONNX file, run by ONNX Runtime on one thread.
        x: a record in the unit that all of them expect.
    """
    record = torch.from_numpy(x)
    found: dict[str, Callable[[], object]] = {
        name: partial(_forward, model.eval(), record) for name, model in models.items()
    }
    return found | {name: partial(onnx.run, onnx.open_model(path, threads=1), x) for name, path in files.items()}


def timed(actions: Mapping[str, Callable[[], object]], repeats: int) -> dict[str, np.ndarray]:
    """`cost.alternating` with torch on one thread: seconds, (repeats,) of each action."""
    threads = torch.get_num_threads()
    torch.set_num_threads(1)
    try:
        return cost.alternating(actions, repeats)
    finally:
        torch.set_num_threads(threads)


@torch.no_grad()
def _forward(model: nn.Module, x: Tensor) -> Tensor:
    return model(x)
