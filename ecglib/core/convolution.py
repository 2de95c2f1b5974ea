"""Convolutions over time that a GPU computes as one matrix product.

cuDNN's float32 kernels for short signals leave most of a GPU idle. As a product of the weights with the signal's
windows, the same layer is many times faster there (`benchmarks/README.md`). On a CPU both layers are torch's own.
"""

import torch
from torch import Tensor, nn
from torch.nn import functional as F


class Conv1d(nn.Conv1d):
    """`nn.Conv1d` without groups and dilation."""

    def __init__(
        self, inputs: int, outputs: int, kernel_size: int, stride: int = 1, padding: int | str = 0, bias: bool = True
    ) -> None:
        super().__init__(inputs, outputs, kernel_size, stride, padding, bias=bias)

    def forward(self, x: Tensor) -> Tensor:
        if not x.is_cuda:
            return super().forward(x)
        padded = F.pad(x, self._reversed_padding_repeated_twice)
        return convolution(padded, self.weight, self.bias, int(self.stride[0]))


class ConvTranspose1d(nn.ConvTranspose1d):
    """`nn.ConvTranspose1d` without groups, dilation, output padding and bias."""

    def __init__(self, inputs: int, outputs: int, kernel_size: int, stride: int = 1, padding: int = 0) -> None:
        super().__init__(inputs, outputs, kernel_size, stride, padding, bias=False)

    def forward(self, x: Tensor, output_size: list[int] | None = None) -> Tensor:
        if not x.is_cuda or output_size is not None:
            return super().forward(x, output_size)
        cut = int(self.padding[0])
        y = transposed_convolution(x, self.weight, int(self.stride[0]))
        return y[..., cut : y.shape[2] - cut]


def convolution(x: Tensor, weight: Tensor, bias: Tensor | None, stride: int) -> Tensor:
    """y (B, O, T') from x (B, C, T) and weight (O, C, K), without padding, as one product."""
    outputs, channels, kernel = weight.shape
    windows = x.unfold(2, kernel, stride)  # (B, C, T', K)
    columns = windows.permute(1, 3, 0, 2).reshape(channels * kernel, -1)  # (C K, B T')
    rows = weight.flatten(1)  # (O, C K)
    y = rows @ columns if bias is None else torch.addmm(bias[:, None], rows, columns)
    return y.reshape(outputs, len(x), -1).transpose(0, 1)


def transposed_convolution(x: Tensor, weight: Tensor, stride: int) -> Tensor:
    """y (B, O, stride (T - 1) + K) from x (B, C, T) and weight (C, O, K), without padding, as one product."""
    _, outputs, kernel = weight.shape
    batch, _, length = x.shape
    columns = weight.flatten(1).T @ x.transpose(0, 1).flatten(1)  # (O K, B T)
    windows = columns.reshape(outputs, kernel, batch, length).permute(0, 2, 3, 1)  # (O, B, T, K)
    # Windows that overlap are added up: what the gradient of `unfold` does.
    shape = [outputs, batch, stride * (length - 1) + kernel]
    y: Tensor = torch.ops.aten.unfold_backward(windows, shape, 2, kernel, stride)
    return y.transpose(0, 1)
