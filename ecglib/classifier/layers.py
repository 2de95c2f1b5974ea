"""R3's layer tables (figures 7-1, 8-1, 16-1, 17-1) beside the layers of the networks here, row by row."""

from collections.abc import Sequence

import pandas as pd
import torch
from torch import nn

from ecglib.core import cost
from ecglib.data.ptbxl import LEADS, SAMPLES
from ecglib.reports import Row

NOT_A_LAYER = ("input_1", "concatenate", "flatten")  # Keras lists them, torch does not
# The Inception block, branch by branch, as it is called; Keras prints its layers by their distance from the input.
BRANCHES = ("conv1d_4", "conv1d_5", "conv1d_6", "conv1d_7", "conv1d_8", "max_pooling1d_3", "conv1d_9")
IN_LOSS = "Sigmoid (in the loss here)"


def beside_report(network: nn.Module, published: Sequence[Row]) -> pd.DataFrame:
    """A row a layer: what the report prints (a figure in `reports.LAYERS`), and what it is here with its parameters.

    Keras counts a BatchNorm's two running statistics a channel as parameters, torch only the two trained ones. So a
    BatchNorm of figure 7-1 has twice as many parameters as here; the last column has the running ones. The sigmoid that
    ends figures 16-1 and 17-1 is part of the loss here; its row says so.
    """
    keras = published[0][0] == "input_1" or published[0][0].startswith("conv1d")
    x = torch.zeros(2, len(LEADS), SAMPLES)
    here = cost.layer_table(network, x)
    extra = [after[2] - before[2] for before, after in zip(here, cost.layer_table(network, x, True), strict=True)]
    layers = [(*row, running) for row, running in zip(here, extra, strict=True)]
    if keras:
        layers = [
            (kind, tuple(side for side in reversed(shape) if side > 1), count, running)
            for kind, shape, count, running in layers
            if kind not in ("ReLU", "Identity")  # Keras has activations in the layer before
        ]
    else:
        layers.append((IN_LOSS, published[-1][1], 0, 0))
    rows = []
    for (name, printed_shape, printed), (kind, shape, count, running) in zip(
        in_order(published) if keras else published, layers, strict=True
    ):
        rows.append(
            {
                "report": name,
                "report, shape": str(printed_shape),
                "report, parameters": printed,
                "here": kind,
                "shape": str(shape),
                "parameters": count,
                "running statistics": running if keras else 0,
            }
        )
    return pd.DataFrame(rows)


def in_order(published: Sequence[Row]) -> list[Row]:
    """The layers of a Keras table in the order of their calls."""
    rows = {name: (name, shape, count) for name, shape, count in published if name not in NOT_A_LAYER}
    called = [row for name, row in rows.items() if name not in BRANCHES]
    if "conv1d_9" in rows:
        first = [name for name, _, _ in called].index("batch_normalization_3") + 1
        called[first:first] = [rows[name] for name in BRANCHES]
    return called
