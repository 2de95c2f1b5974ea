"""R3's two attempts at quantisation (section 4.2), rebuilt; quantisation that works is `ecglib.classifier.onnx`."""

import copy
import warnings

import torch
from torch import nn

from ecglib.core.errors import EcglibError


def quantised_dynamically(model: nn.Module) -> nn.Module:
    """A copy after `quantize_dynamic`, as in R3's program (section 4.2); it quantises linear layers but no Conv1d.

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

    torch's `prepare_qat` rounds the output of each convolution, and weights and output of linear layers. It cannot
    round the weights of a Conv1d without BatchNorm or ReLU. Its ranges follow new values by 1 % a step, so that they
    lag in a short training, and they keep following in evaluation mode. R3 never converted the result to integers.

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
