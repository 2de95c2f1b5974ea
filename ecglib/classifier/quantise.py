"""R3's two attempts at quantisation (section 4.2), rebuilt; quantisation that works is `ecglib.classifier.onnx`."""

import copy
import warnings

import torch
from torch import nn

from ecglib.core.errors import EcglibError


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
