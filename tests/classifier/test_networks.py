"""R3's networks against the layer tables it printed, cell by cell, and against their published sizes."""

import re

import pytest
import torch
from torch import nn

from ecglib import reports
from ecglib.classifier import layers, measure, networks, quantise
from ecglib.core import cost

KERAS = {
    "conv1d": "Conv1d",
    "batch_normalization": "BatchNorm1d",
    "max_pooling1d": "MaxPool1d",
    "global_average_pooling1d": "AdaptiveAvgPool1d",
    "dropout": "Dropout",
    "dense": "Linear",
}
X = torch.rand(2, 12, 1000, generator=torch.Generator().manual_seed(0))


@pytest.mark.parametrize(
    ("build", "figure"),
    [
        (networks.Inception, reports.LAYERS["7"]),
        (networks.Plain, reports.LAYERS["8"]),
        (networks.teacher, reports.LAYERS["16"]),
        (networks.student, reports.LAYERS["17"]),
    ],
)
def test_every_layer_is_the_one_that_the_report_prints(build, figure):
    table = layers.beside_report(build(), figure)
    assert len(table) == len([row for row in figure if row[0] not in layers.NOT_A_LAYER])
    for row in table.itertuples(index=False):
        printed, shape_printed, count_printed, here, shape, count, running = row
        plain = re.sub(r"[-_]\d+$", "", printed)
        assert here.startswith(KERAS.get(plain, plain))
        assert shape == shape_printed
        assert count + running == count_printed
    assert set(table["report"]) | set(layers.NOT_A_LAYER) >= {name for name, _, _ in figure}


def test_the_sigmoid_row_is_shown_and_the_batch_norms_of_keras_have_twice_as_many_parameters():
    assert layers.beside_report(networks.student(), reports.LAYERS["17"]).iloc[-1][["report", "here"]].tolist() == [
        "Sigmoid-18",
        layers.IN_LOSS,
    ]
    rows = layers.beside_report(networks.Inception(), reports.LAYERS["7"]).set_index("report")
    assert rows.loc["batch_normalization", ["report, parameters", "parameters"]].tolist() == [128, 64]
    assert rows.loc["batch_normalization_1", ["report, parameters", "parameters"]].tolist() == [512, 256]


def test_the_network_of_figures_13_and_14_has_its_parameters_and_flops():
    """991 positions x 612,000 weights, and 300 x 5 of the last layer, which quantize_dynamic takes out of the count."""
    network, record = networks.unnormalised(), torch.zeros(1, 12, 1000)
    assert cost.count_parameters(network) == reports.value("r3.repository.parameters") == 614_055
    assert measure.flops_as_r3(network, record) == reports.value("r3.float.flops") == 991 * 612_000 + 1_500
    dynamic = quantise.quantised_dynamically(network)
    assert measure.flops_as_r3(dynamic, record) == reports.value("r3.quantised.flops")
    assert not [module for module in network.modules() if isinstance(module, nn.BatchNorm1d)]


def test_every_macro_auc_says_on_which_records_it_was_measured():
    for key, claim in reports.CLAIMS.items():
        if claim.report == "R3":
            assert bool(claim.part) == claim.text.startswith("macro-AUC"), key
            assert ("test" in claim.text) == (claim.part == "test"), key


@pytest.mark.parametrize(
    ("build", "key"),
    [
        (networks.teacher, "r3.teacher.parameters"),
        (networks.student, "r3.student.parameters"),
        (networks.Plain, "r3.plain.parameters"),
        (networks.Inception, "r3.inception.trained"),
        (networks.ResNet, "ptbxl.resnet1d_wang.parameters"),
    ],
)
def test_parameters_are_exactly_the_published_ones(build, key):
    assert cost.count_parameters(build()) == reports.value(key)


def test_running_statistics_of_the_inception_network():
    model = networks.Inception()
    statistics = sum(buffer.numel() for buffer in model.buffers() if buffer.is_floating_point())
    assert statistics == reports.value("r3.inception.statistics")
    assert statistics + cost.count_parameters(model) == reports.value("r3.inception.parameters")


@pytest.mark.parametrize("size", networks.LADDER)
def test_the_ladder_has_the_sizes_of_table_2(size):
    number, unit = float(size[:-1]), {"M": 1e6, "K": 1e3}[size[-1]]
    assert cost.count_parameters(networks.convnet(size)) == pytest.approx(number * unit, rel=0.012)
    assert 2 <= len(networks.LADDER[size]) <= 4
    assert f"r3.ladder.{size}" in reports.CLAIMS


@pytest.mark.parametrize("build", [networks.teacher, networks.student, networks.Plain, networks.ResNet])
def test_one_lead_and_any_length(build):
    model = build(leads=1).eval()
    assert model(X[:, :1]).shape == (2, 5)
    assert model(X[:, :1, :600]).shape == (2, 5)
    *_, bias = model.parameters()
    bias.data.fill_(-9.0)  # of the last layer: a sigmoid behind it would keep what comes out above 0
    assert model(X[:, :1]).detach().max() < 0, "logits, not probabilities"


def test_dropout_stands_where_the_report_has_it():
    """Three times in the student: between blocks and behind the pooling, never before the first convolution."""
    model = networks.student()
    assert [row[0] for row in cost.layer_table(model, X)].count("Dropout") == 3
    assert [row[0] for row in cost.layer_table(model, X)][:2] == ["Conv1d", "BatchNorm1d"]
    assert all(layer.p == 0.5 for layer in model.modules() if isinstance(layer, nn.Dropout))


def test_the_residual_path_is_carried_around():
    block = networks.ResNet().eval().blocks[0]
    for layer in block.path:
        if isinstance(layer, nn.BatchNorm1d):
            nn.init.zeros_(layer.weight)
    x = torch.rand(1, 128, 50)
    assert torch.equal(block(x), x), "with a silent path the input comes through"


def test_a_layer_table_leaves_no_hooks_behind():
    model = networks.student()
    first = cost.layer_table(model, X)
    assert cost.layer_table(model, X) == first
    assert not any(module._forward_hooks for module in model.modules())
