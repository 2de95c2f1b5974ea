"""Figures that several chapters have: rows of dots with their intervals, dot plots, and how hard a term pulls."""

from collections.abc import Mapping
from itertools import cycle

import matplotlib.pyplot as plt
import numpy as np
from matplotlib.axes import Axes
from matplotlib.figure import Figure

from ecglib.show.style import ERROR, INPUT, OUTPUT, REPORT
from ecglib.stats.metrics import Interval, mean_interval

ONE_SEED = "#555555"


def pulls(ratios: Mapping[str, np.ndarray], joined: str = "equation 1") -> Figure:
    """How hard an added term pulls at the weights, as a multiple of the pull of the loss that it joins.

    `ratios` maps an arm to (seeds x epochs,) lengths of the term's gradient over that of the loss, which is named by
    `joined`; they are all 0 if no gradient flows. A bar is their median.
    """
    figure, axis = plt.subplots(figsize=(9, 0.42 * len(ratios) + 1.4))
    positive = np.concatenate([values[values > 0] for values in ratios.values()])
    floor = positive.min() / 10 if len(positive) else 0.01
    for position, values in enumerate(ratios.values()):
        axis.plot(np.maximum(values, floor), [position] * len(values), "o", color=OUTPUT, alpha=0.35, markersize=5)
        if values.any():
            axis.plot(
                max(float(np.median(values)), floor), position, "|", color=INPUT, markersize=16, markeredgewidth=2
            )
        else:
            axis.text(floor * 1.4, position, "no gradient at all", va="center", fontsize=8.5, color=ERROR)
    axis.plot([], [], "|", color=INPUT, markersize=10, markeredgewidth=2, label="median")
    axis.axvline(1, color=REPORT, linestyle=":", label=f"as hard as {joined}")
    axis.set_yticks(range(len(ratios)), list(ratios))
    axis.set_ylim(len(ratios) - 0.5, -0.5)  # the first arm on top, and no bar on the frame
    axis.set(xscale="log", xlabel=f"length of the term's gradient / length of that of {joined} (log scale)")
    figure.legend(fontsize=8, loc="outside lower center", ncols=2)
    return figure


def fence(values: np.ndarray) -> float:
    """What lies below this lies far out: three times the middle half's width below that half (Tukey 1977).

    A failed training would otherwise press all others of a picture together.
    """
    low, high = np.quantile(values, (0.25, 0.75))
    return float(low - 3 * (high - low))


def arm_forest(
    arms: Mapping[str, np.ndarray],
    published: Mapping[str, float],
    plain: np.ndarray,
    band: str,
    number: str = "epoch chosen without labels",
) -> Figure:
    """All arms' AUC (seeds,): a point a seed, the mean with its interval; `published` numbers, or goals, as lines.

    The range of `plain`, the AUCs of runs without distillation at full width, is a band with the label `band`. `number`
    says which AUC of a run it is. A run that lies far out (`fence`) is written at the edge.
    """
    figure, axis = plt.subplots(figsize=(10, 0.42 * len(arms) + 1.6))
    axis.axvspan(plain.min(), plain.max(), color="#009E73", alpha=0.13, label=band, linewidth=0)
    for position, aucs in enumerate(arms.values()):
        interval = mean_interval(aucs)
        axis.plot(aucs, [position] * len(aucs), "o", color=ONE_SEED, alpha=0.45, markersize=5)
        if np.isfinite(interval.low):
            axis.hlines(position, interval.low, interval.high, color=OUTPUT, linewidth=2)
        axis.plot(interval.value, position, "D", color=OUTPUT, markersize=6)
    for (label, value), style in zip(published.items(), cycle(("-", "--")), strict=False):
        axis.axvline(value, color=REPORT, linestyle=style, linewidth=1.2, label=f"{label}: {value:.4f}")
    axis.plot([], [], "o", color=ONE_SEED, alpha=0.45, label="one seed")
    axis.plot([], [], "D-", color=OUTPUT, label="mean, 95 % over seeds")
    axis.set_yticks(range(len(arms)), list(arms))
    axis.invert_yaxis()
    points = np.concatenate([*arms.values(), list(published.values())])
    least = fence(np.concatenate(list(arms.values())))
    near = points[points >= least]
    # The interval of two seeds may be ten times as wide as the points: what lies too far out ends in an arrow.
    span = near.max() - near.min()
    intervals = [mean_interval(aucs) for aucs in arms.values()]
    lowest = min([near.min(), *(one.low for one in intervals if np.isfinite(one.low))])
    highest = max([near.max(), *(one.high for one in intervals if np.isfinite(one.high))])
    low = min(max(near.min() - span / 2, lowest), *(one.value for one in intervals)) - 0.05 * span
    high = min(near.max() + span / 2, highest, 1) + 0.05 * span
    for position, (aucs, one) in enumerate(zip(arms.values(), intervals, strict=True)):
        if np.isfinite(one.low) and one.low < low:
            axis.plot(low + 0.01 * span, position, "<", color=OUTPUT, markersize=7)
        if np.isfinite(one.high) and one.high > high:
            axis.plot(high - 0.01 * span, position, ">", color=OUTPUT, markersize=7)
        if lost := [f"{auc:.3f}" for auc in sorted(aucs) if auc < low]:
            axis.text(low + 0.02 * span, position + 0.3, f"one seed: {', '.join(lost)}", fontsize=7.5, color=ONE_SEED)
    axis.set(xlabel=f"test AUC ({number})", xlim=(low, high))
    figure.legend(fontsize=8, loc="outside lower center", ncols=3)
    return figure


Intervals = tuple[Interval, Interval, Interval]  # over seeds, over what was tested, over patients; around one mean


def difference_forest(*groups: Mapping[str, Intervals], tested: str = "beats", zero: str = "") -> Figure:
    """Every arm minus its control: one line an interval. Each group has a scale of its own, so that small ones show.

    A panel is as wide as its widest interval. Where intervals over seeds are more than three times as wide as that of
    all others, the panel shows the others, and an interval over seeds ends in an arrow.

    Args:
        groups: arm -> its intervals.
        tested: "beats" or "records".
        zero: an arm that is its control to the last bit, drawn first as a point at 0; none if empty.
    """
    figure, axes = plt.subplots(
        len(groups),
        1,
        figsize=(10, 0.36 * sum(map(len, groups)) + 1.1 + 0.7 * len(groups)),
        height_ratios=[len(group) + (bool(zero) and not place) for place, group in enumerate(groups)],
        squeeze=False,
    )
    kinds = (("over seeds", OUTPUT), (f"over {tested}", "#56B4E9"), ("over patients", "#E69F00"))
    for place, (axis, differences) in enumerate(zip(axes[:, 0], groups, strict=True)):
        first = int(bool(zero) and place == 0)
        if first:
            axis.plot(0, 0, "D", color=REPORT, markersize=6, zorder=3)
            axis.annotate("exactly 0", (0, 0), (8, 0), textcoords="offset points", va="center", fontsize=8)
        for position, intervals in enumerate(differences.values(), first):
            for shift, interval, (_, colour) in zip((-0.2, 0, 0.2), intervals, kinds, strict=True):
                if np.isfinite(interval.low):
                    axis.hlines(position + shift, interval.low, interval.high, color=colour, linewidth=2)
                axis.plot(interval.value, position + shift, "|", color=colour, markersize=8)
        axis.axvline(0, color=REPORT, linewidth=1)
        axis.set_yticks(range(first + len(differences)), [zero] * first + list(differences))
        axis.set_ylim(first + len(differences) - 0.5, -0.5)  # the first on top
        ends = np.abs([end for _, *narrow in differences.values() for i in narrow for end in (i.low, i.high)])
        edge = 1.6 * ends.max()
        seeds = [abs(end) for i, *_ in differences.values() for end in (i.low, i.high) if np.isfinite(end)]
        widest = max(seeds, default=0.0)
        edge = 1.04 * widest if edge < widest < 3 * edge else edge
        axis.set(xlim=(-edge, edge))
        for position, (over_seeds, *_) in enumerate(differences.values(), first):  # wider than the panel: an arrow
            for end, marker in ((-over_seeds.low, "<"), (over_seeds.high, ">")):
                if np.isfinite(end) and end > edge:
                    at_the_edge = 0.985 * edge * (1 if marker == ">" else -1)
                    axis.plot(at_the_edge, position - 0.2, marker, color=OUTPUT, markersize=7)
    for name, colour in kinds:
        axes[0, 0].plot([], [], "-", color=colour, linewidth=2, label=f"95 % {name}")
    axes[-1, 0].set_xlabel("AUC minus that of the control with the same seed")
    figure.legend(fontsize=8, loc="outside lower center", ncols=3)
    return figure


def dot_plot(axis: Axes, values: np.ndarray, colour: str, edge: float, size: float = 30) -> None:
    """A dot for each of the values (N,), which are not negative: those of one of some thirty bins lie above each other.

    A bin begins at `edge`, so that as many dots lie right of it as there are values that reach it.
    """
    width = edge / max(1, round(30 * edge / values.max())) if values.any() else edge
    bins = np.floor(values / width + 1e-9)
    heights = [np.count_nonzero(bins[:index] == bins[index]) for index in range(len(values))]
    axis.scatter((bins + 0.5) * width, heights, s=size, color=colour, linewidths=0)
