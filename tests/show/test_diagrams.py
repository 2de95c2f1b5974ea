"""R3's figures 10 and 20 redrawn, and the report's numbers in its ROC panels."""

import numpy as np
import pytest

from ecglib.classifier import diagrams as classifier_diagrams
from ecglib.classifier import figures
from ecglib.data.ptbxl import SUPERCLASSES
from ecglib.show import diagrams as show_diagrams
from ecglib.stats import multilabel


@pytest.fixture(autouse=True)
def closed():
    yield
    show_diagrams.plt.close("all")


def answers(seed=0):
    rng = np.random.default_rng(seed)
    targets = (rng.random((80, 5)) < 0.4).astype(int)
    return targets, rng.normal(size=(80, 5)) + targets


def texts(axis):
    return [text.get_text() for text in axis.texts]


@pytest.mark.parametrize("bits", [3, 7, 8])
def test_quantised_numbers_are_steps_at_most_half_a_step_off(bits):
    values = np.linspace(-1, 1, 5001)
    found, top = classifier_diagrams.quantised(values, bits, 1.0), 2 ** (bits - 1) - 1
    assert len(np.unique(found)) == 2 * top + 1
    assert np.allclose(found * top, np.round(found * top)), "whole numbers of steps"
    assert np.abs(found - values).max() == pytest.approx(classifier_diagrams.quantisation_error(bits), rel=0.02)
    assert np.abs(classifier_diagrams.quantised(values, bits, 0.4)).max() == pytest.approx(0.4), (
        "beyond the range it is cut off"
    )


def test_the_errors_that_figure_10_prints():
    assert classifier_diagrams.quantisation_error(3) == pytest.approx(1 / 6)
    assert classifier_diagrams.quantisation_error(8) == pytest.approx(1 / 254)
    left, right = classifier_diagrams.quantisation_diagram().axes
    assert [text for text in texts(left) if text.lstrip("-").isdigit()] == ["-3", "-2", "-1", "0", "1", "2", "3"]
    labels = [text.get_text() for text in right.get_legend().get_texts()]
    assert labels[1:3] == ["3 bits, off by at most 16.7% of the range", "8 bits, off by at most 0.4% of the range"]


def test_figure_20_has_the_mean_of_every_arm_and_class():
    rng = np.random.default_rng(0)
    found = {name: rng.random((3, 5)) for name in ("alone", "as published", "corrected")}
    figure = classifier_diagrams.mkd_diagram(found)
    drawn, panel = figure.axes
    assert any("KL(" in text for text in texts(drawn))
    assert [tick.get_text() for tick in panel.get_xticklabels()] == list(SUPERCLASSES)
    means = {line.get_label(): line.get_ydata() for line in panel.lines if not line.get_label().startswith("_")}
    assert list(means) == list(found)
    for name, values in found.items():
        assert means[name] == pytest.approx(values.mean(axis=0))
    assert len(panel.lines) == 3 * (3 + 1), "a line a seed and one for the mean"


def test_each_roc_panel_carries_the_number_of_the_report_where_there_is_one():
    panels = {"16-2": answers(0), "ours": answers(1)}
    figure = figures.roc_panels(panels, {"16-2": 0.934})
    auc = [multilabel.class_metrics(*panel, SUPERCLASSES)["auc"] for panel in panels.values()]
    titles = [axis.get_title() for axis in figure.axes]
    assert titles == [f"16-2\nmacro-AUC {auc[0]:.3f} (R3: 0.934)", f"ours\nmacro-AUC {auc[1]:.3f}"]


def test_figures_7_and_8_carry_the_number_of_the_report():
    targets, scores = answers()
    found = multilabel.class_metrics(targets, scores, SUPERCLASSES)
    title = figures.class_curves(targets, scores, found, "plain", 0.926).axes[0].get_title()
    assert title == f"ROC, macro-AUC {found['auc']:.3f} (R3: 0.926)"
    assert "R3" not in figures.class_curves(targets, scores, found, "plain").axes[0].get_title()
