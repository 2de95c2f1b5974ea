"""A network as an ONNX graph."""

import logging
import tempfile
import warnings
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any

import torch
from torch import Tensor, nn

from ecglib.core.extras import need


def exported(model: nn.Module, example: Tensor, takes: str, gives: str) -> Any:
    """The ONNX graph of a model in evaluation mode, for any number of inputs like `example` (at least 2, ...).

    `takes` and `gives` name input and output.

    Raises:
        EcglibError: ONNX is not installed.
    """
    onnx = need("onnx")
    with tempfile.TemporaryDirectory() as folder, quiet():
        path = Path(folder) / "model.onnx"
        torch.onnx.export(
            model.eval().cpu(),
            (example,),
            path,
            dynamo=True,
            external_data=False,
            input_names=[takes],
            output_names=[gives],
            dynamic_shapes=({0: torch.export.Dim("batch")},),
            verbose=False,
        )
        return onnx.load(path)


@contextmanager
def quiet() -> Iterator[None]:
    """Silence deprecations of the exporter, and logs of exporter and quantiser: they say nothing about a model."""
    before = logging.root.manager.disable
    logging.disable(logging.WARNING)
    try:
        with warnings.catch_warnings():
            warnings.simplefilter("ignore")
            yield
    finally:
        logging.disable(before)
