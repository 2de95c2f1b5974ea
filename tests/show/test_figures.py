"""What figures show is what they are given: pairs of runs, differences, thresholds, riddles, steps of compression."""

from itertools import combinations

import matplotlib.pyplot as plt
import numpy as np
import pandas as pd
import pytest
from sklearn.metrics import roc_auc_score

from ecglib.beatgan import figures as beatgan_figures
from ecglib.classifier import figures as classifier_figures
from ecglib.data import mitbih
from ecglib.databases import primer
from ecglib.show import marks
from ecglib.simclr import figures as simclr_figures
from ecglib.stats.metrics import Interval


@pytest.fixture(autouse=True)
def closed():
    yield
    plt.close("all")


def labels_of(axis):
    return [text.get_text() for text in axis.get_legend().get_texts()]


def test_a_dot_plot_stacks_the_values_of_a_bin_and_loses_none():
    values = np.array([0.0, 0.01, 0.02, 1.05, 1.57, 3.0])  # bins of 0.1
    _, axis = plt.subplots()
    marks.dot_plot(axis, values, "k", edge=1.0)
    places = axis.collections[0].get_offsets()
    np.testing.assert_allclose(places[:, 0], [0.05, 0.05, 0.05, 1.05, 1.55, 3.05])
    assert places[:, 1].tolist() == [0, 1, 2, 0, 0, 0]


@pytest.mark.parametrize("edge", [0.0092, 0.0301, 0.5])
def test_as_many_dots_lie_right_of_the_edge_as_values_reach_it(edge):
    values = np.append(np.random.default_rng(0).exponential(0.02, 200), edge)
    _, axis = plt.subplots()
    marks.dot_plot(axis, values, "k", edge=edge)
    places = axis.collections[0].get_offsets()[:, 0]
    assert (places > edge).sum() == (values >= edge).sum()


def test_a_width_that_a_line_lacks_breaks_it():
    aucs = np.array([0.8, 0.9])
    figure = beatgan_figures.width_curve({"alone": [(1, aucs), (2, aucs), (3, aucs)], "taught": [(1, aucs), (3, aucs)]})
    (taught,) = (line for line in figure.axes[0].lines if line.get_label() == "taught")
    np.testing.assert_allclose(taught.get_ydata(), [0.85, np.nan, 0.85])


def test_the_legend_of_figure_12_has_the_means_of_the_aucs():
    abnormal = np.array([0, 0, 1, 1, 0, 1], bool)
    seeds = [(abnormal, np.array(scores)) for scores in ([1, 2, 3, 4, 3.5, 5.0], [1, 5, 2, 3, 4, 6.0])]
    figure = beatgan_figures.roc_bands({"teacher": seeds}, {"teacher": 0.9})
    mean = np.mean([roc_auc_score(*one) for one in seeds])
    assert f"teacher: {mean:.4f} (report 0.9000)" in labels_of(figure.axes[0])


def test_an_interval_that_lies_too_far_out_ends_in_an_arrow():
    near, far = np.array([0.90, 0.91, 0.92]), np.array([0.6, 0.9, 0.75])
    for arms, arrows in (({"near": near}, 0), ({"near": near, "far": far}, 1)):
        figure = marks.arm_forest(arms, {"report": 0.94}, near, "plain")
        assert [line.get_marker() for line in figure.axes[0].lines].count("<") == arrows
    figure = marks.arm_forest({"near": 0.1 + near / 10, "far": np.array([0.1, 0.4, 0.25])}, {}, near / 10, "plain")
    assert [line.get_marker() for line in figure.axes[0].lines].count(">") == 1


def test_two_runs_are_shown_with_their_difference_among_those_of_all_pairs():
    aucs = np.array([0.90, 0.93, 0.91, 0.92])
    left, right = beatgan_figures.two_runs(aucs, 1, 2, 0.0092).axes
    assert [text.get_text() for text in left.texts] == ["first draw\n0.9300", "second draw\n0.9100"]
    assert len(right.collections[0].get_offsets()) == len(list(combinations(aucs, 2)))
    assert labels_of(right) == ["these two: 0.0200", "the report's gain: 0.0092"]


def test_the_steps_of_a_waterfall_begin_where_the_last_one_ended():
    steps = {"coded": np.array([0.93, 0.91]), "+ rule": np.array([0.87, 0.89]), "+ people": np.array([0.90, 0.90])}
    axis = beatgan_figures.waterfall(steps, 0.937).axes[0]
    bars = [(bar.get_x(), bar.get_x() + bar.get_width()) for bar in axis.patches]
    np.testing.assert_allclose(bars, [(0.92, 0.92), (0.92, 0.88), (0.88, 0.90)])
    assert [text.get_text() for text in axis.texts] == ["0.920", "0.880  (-0.040)", "0.900  (+0.020)"]


def test_a_threshold_says_what_it_finds_and_what_it_leaves_alone():
    labels = np.array(["N"] * 40 + ["V"] * 40)
    scores = np.concatenate([np.linspace(0.01, 0.4, 40), np.linspace(0.11, 0.5, 40)])
    axis = beatgan_figures.score_histograms(labels, scores, {"line": 0.2}).axes[0]
    found, left_alone = (scores[40:] >= 0.2).mean(), (scores[:40] < 0.2).mean()
    assert labels_of(axis)[-1] == f"line, 0.2000:\nsensitivity {found:.0%}, specificity {left_alone:.0%}"


@pytest.mark.parametrize("temperature", [0.001, 4])
def test_no_soft_label_leaves_the_picture(temperature):
    scores = np.array([0.01, 0.02, 0.4])
    axis = beatgan_figures.soft_targets(scores, scores, temperature).axes[1]
    assert max(line.get_ydata()[0] if np.ndim(line.get_ydata()) else 0 for line in axis.lines) < axis.get_ylim()[1]
    assert np.max(axis.lines[0].get_ydata()) <= axis.get_ylim()[1]


def test_riddles_are_beats_of_three_classes_with_whole_strips_and_always_the_same(simulated_root):
    records = [mitbih.read_record(simulated_root, name) for name in ("103", "208", "209")]
    found = primer.riddles(records, 9)
    kinds = [mitbih.CLASS_OF_SYMBOL[record.symbols[position]] for record, position in found]
    assert sorted(kinds) == sorted("NNNSSSVVV")
    assert kinds != sorted(kinds), "their order gives nothing away"
    again = primer.riddles(records, 9)
    assert [(one.name, place) for one, place in found] == [(one.name, place) for one, place in again]
    asked = primer.riddle(*found[0]).axes[0]
    assert asked.get_title() == "N, S or V?" and not asked.texts, "no letter gives it away"
    told = primer.riddle(*found[0], guess="S").axes[0]
    assert told.get_title() == f"You say S. The cardiologists say {kinds[0]}."
    assert told.texts


def test_a_difference_forest_has_a_panel_a_group_and_the_exact_zero_first():
    wide = {"D": (Interval(0.001, -0.01, 0.02),) * 3, "E": (Interval(0.002, -0.01, 0.02),) * 3}
    narrow = {"H": (Interval(0.1, -0.2, 0.3),) * 3}
    above, below = marks.difference_forest(wide, narrow, zero="as coded").axes
    rows = [[label.get_text() for label in axis.get_yticklabels()] for axis in (above, below)]
    assert rows == [["as coded", "D", "E"], ["H"]]
    assert above.lines[0].get_xdata().tolist() == [0]
    assert above.get_xlim()[1] < below.get_xlim()[1], "each has its own scale"


def test_a_difference_forest_shows_intervals_over_seeds_in_full_up_to_three_times_the_others():
    def panel(wide):
        figure = marks.difference_forest({"D": (Interval(0, -wide, wide), *(Interval(0, -0.01, 0.01),) * 2)})
        return figure.axes[0].get_xlim()[1], [line.get_marker() for line in figure.axes[0].lines]

    edge, markers = panel(0.04)
    assert edge > 0.04
    assert "<" not in markers
    edge, markers = panel(0.2)
    assert 0.01 < edge < 0.02
    assert "<" in markers


def test_both_matrices_have_one_scale():
    figure = simclr_figures.similarity_matrices({"before": np.eye(4) * 0.5 + 0.4, "after": np.eye(4) - 0.2})
    limits = {image.get_clim() for axis in figure.axes for image in axis.images}
    assert limits == {(-0.2, 1.0)}


def test_compression_is_followed_step_by_step():
    names = ["teacher", "student", "student, INT8", "lead I", "lead I, INT8", "other"]
    size = np.array([9, 3, 1, 3, 1, 5])
    costs = pd.DataFrame({"bytes": size * 1e3, "macs": size * 1e6, "ms": size * 1.0}, index=names)
    costs["auc"], costs["auc_low"], costs["auc_high"] = 0.8, 0.7, 0.9
    costs["int8"] = ["INT8" in name for name in names]
    paths = {"12 leads": names[:3], "lead I": names[3:5]}
    first, second, _ = classifier_figures.pareto(costs, paths).axes
    assert [text.get_text() for text in first.texts if text.get_text()] == names[:5]
    arrows = [text for text in second.texts if not text.get_text()]
    assert len(arrows) == 3, "two steps and one"


@pytest.mark.parametrize(("height", "gain"), [(1.0, "10"), (3.0, "5"), (9.0, "2.5")])
def test_tall_leads_are_drawn_at_a_smaller_gain(height, gain):
    signals = np.zeros((12, 1000))
    signals[:, ::100] = height
    assert f"{gain} mm/mV" in classifier_figures.paper(signals, title="CD").axes[0].get_title()


def test_a_failed_run_is_written_at_the_edge_of_both_pictures():
    good, failed = np.array([0.90, 0.91, 0.92, 0.93]), np.array([0.88, 0.90, 0.91, 0.35])
    figure = marks.arm_forest({"good": good, "failed": failed}, {}, good, "plain")
    assert [text.get_text() for text in figure.axes[0].texts] == ["one seed: 0.350"]
    assert figure.axes[0].get_xlim()[0] > 0.35
    figure = beatgan_figures.width_curve({"alone": [(1, failed), (2, good)]})
    assert [text.get_text() for text in figure.axes[0].texts] == ["▾ 0.350"]
    assert figure.axes[0].get_ylim()[0] > 0.35
    two = marks.arm_forest({"good": good, "two seeds": good[:2]}, {}, good, "plain")
    assert not {"<", ">"} & {line.get_marker() for line in two.axes[0].lines}, "an infinite interval has no end"
