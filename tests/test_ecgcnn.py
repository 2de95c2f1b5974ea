"""R3's networks against the layer tables it printed, cell by cell, and against their published sizes."""

import re

import pytest
import torch
from torch import nn

from ecglib import cost, reports
from ecglib.models import ecgcnn
from ecglib.reports import r3

X = torch.rand(2, 12, 1000, generator=torch.Generator().manual_seed(0))
KERAS = {
    "conv1d": "Conv1d",
    "batch_normalization": "BatchNorm1d",
    "max_pooling1d": "MaxPool1d",
    "global_average_pooling1d": "AdaptiveAvgPool1d",
    "dropout": "Dropout",
    "dense": "Linear",
}
SHAPES_ALONE = ("input_1", "concatenate", "flatten")
# The Inception block, branch by branch, as it is called.
BRANCHES = ("conv1d_4", "conv1d_5", "conv1d_6", "conv1d_7", "conv1d_8", "max_pooling1d_3", "conv1d_9")


def as_keras(rows):
    """Keras puts samples before channels and activations into the layer before; a pooled vector has no time axis."""
    kept = [row for row in rows if row[0] not in ("ReLU", "Identity")]
    return [(kind, tuple(side for side in reversed(shape) if side > 1), count) for kind, shape, count in kept]


@pytest.mark.parametrize(("build", "figure"), [(ecgcnn.teacher, r3.FIGURE16), (ecgcnn.student, r3.FIGURE17)])
def test_teacher_and_student_layer_by_layer(build, figure):
    published = [(re.sub(r"-\d+$", "", name), shape, count) for name, shape, count in figure]
    assert published[-1] == ("Sigmoid", (5,), 0), "here in the loss"
    assert cost.layer_table(build(), X) == published[:-1]


@pytest.mark.parametrize(("build", "figure"), [(ecgcnn.Inception, r3.FIGURE7), (ecgcnn.Plain, r3.FIGURE8)])
def test_inception_and_plain_layer_by_layer(build, figure):
    rows = {name: (name, shape, count) for name, shape, count in figure if name not in SHAPES_ALONE}
    called = [row for name, row in rows.items() if name not in BRANCHES]
    if "conv1d_9" in rows:  # Keras prints an Inception block's layers by their distance from the input
        first = [name for name, _, _ in called].index("batch_normalization_3") + 1
        called[first:first] = [rows[name] for name in BRANCHES]
    published = [(KERAS[re.sub(r"_\d+$", "", name)], shape, count) for name, shape, count in called]
    assert as_keras(cost.layer_table(build(), X, statistics=True)) == published


@pytest.mark.parametrize(
    ("build", "key"),
    [
        (ecgcnn.teacher, "r3.teacher.parameters"),
        (ecgcnn.student, "r3.student.parameters"),
        (ecgcnn.Plain, "r3.plain.parameters"),
        (ecgcnn.Inception, "r3.inception.trained"),
        (ecgcnn.ResNet, "ptbxl.resnet1d_wang.parameters"),
    ],
)
def test_parameters_are_exactly_the_published_ones(build, key):
    assert cost.count_parameters(build()) == reports.value(key)


def test_running_statistics_of_the_inception_network():
    model = ecgcnn.Inception()
    statistics = sum(buffer.numel() for buffer in model.buffers() if buffer.is_floating_point())
    assert statistics == reports.value("r3.inception.statistics")
    assert statistics + cost.count_parameters(model) == reports.value("r3.inception.parameters")


@pytest.mark.parametrize("size", ecgcnn.LADDER)
def test_the_ladder_has_the_sizes_of_table_2(size):
    number, unit = float(size[:-1]), {"M": 1e6, "K": 1e3}[size[-1]]
    assert cost.count_parameters(ecgcnn.convnet(size)) == pytest.approx(number * unit, rel=0.012)
    assert 2 <= len(ecgcnn.LADDER[size]) <= 4
    assert f"r3.ladder.{size}" in reports.CLAIMS


@pytest.mark.parametrize("build", [ecgcnn.teacher, ecgcnn.student, ecgcnn.Plain, ecgcnn.ResNet])
def test_one_lead_and_any_length(build):
    model = build(leads=1).eval()
    assert model(X[:, :1]).shape == (2, 5)
    assert model(X[:, :1, :600]).shape == (2, 5)
    assert model(X[:, :1]).detach().min() < 0, "logits, not probabilities"


def test_dropout_stands_where_the_report_has_it():
    """Three times in the student: between blocks and behind the pooling, never before the first convolution."""
    model = ecgcnn.student()
    assert [row[0] for row in cost.layer_table(model, X)].count("Dropout") == 3
    assert [row[0] for row in cost.layer_table(model, X)][:2] == ["Conv1d", "BatchNorm1d"]
    assert all(layer.p == 0.5 for layer in model.modules() if isinstance(layer, nn.Dropout))


def test_the_residual_path_is_carried_around():
    block = ecgcnn.ResNet().eval().blocks[0]
    for layer in block.path:
        if isinstance(layer, nn.BatchNorm1d):
            nn.init.zeros_(layer.weight)
    x = torch.rand(1, 128, 50)
    assert torch.equal(block(x), x), "with a silent path the input comes through"


def test_a_layer_table_leaves_no_hooks_behind():
    model = ecgcnn.student()
    first = cost.layer_table(model, X)
    assert cost.layer_table(model, X) == first
    assert not any(module._forward_hooks for module in model.modules())
