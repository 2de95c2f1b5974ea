"""Figures of notebook 05: curves of each class, size against AUC, claims as arrows, what a network saw on ECG paper.

Everywhere targets are (N, 5) of 0 and 1, scores (N, 5), and `published` is R3's macro-AUC on the same part of the data.
"""

import itertools
from collections.abc import Mapping, Sequence
from typing import Any

import matplotlib.pyplot as plt
import numpy as np
import pandas as pd
from matplotlib.axes import Axes
from matplotlib.collections import LineCollection
from matplotlib.figure import Figure
from matplotlib.patheffects import withStroke
from matplotlib.ticker import NullLocator
from sklearn.metrics import precision_recall_curve, roc_curve

from ecglib import reports
from ecglib.classifier import networks
from ecglib.classifier.run import ClassifierRun
from ecglib.core.cost import count_parameters
from ecglib.data.ptbxl import FS, LEADS, SUPERCLASSES
from ecglib.show.style import ERROR, INPUT, OUTPUT, REPORT, plain_log
from ecglib.stats.metrics import Change
from ecglib.stats.multilabel import class_metrics

COLOURS = dict(zip(SUPERCLASSES, ("#0072B2", "#D55E00", "#009E73", "#CC79A7", "#E69F00"), strict=True))


def class_curves(
    targets: np.ndarray, scores: np.ndarray, found: Mapping[str, float], title: str, published: float | None = None
) -> Figure:
    """R3 figures 7-2, 7-3, 8-2 and 8-3: ROC and precision-recall of each class; `found` are their `class_metrics`."""
    figure, axes = plt.subplots(1, 2, figsize=(10, 4.2))
    for column, name in enumerate(SUPERCLASSES):
        if f"auc_{name}" not in found:
            continue
        false_alarms, hits, _ = roc_curve(targets[:, column], scores[:, column])
        precision, recall, _ = precision_recall_curve(targets[:, column], scores[:, column])
        axes[0].plot(false_alarms, hits, color=COLOURS[name], label=f"{name}: {found[f'auc_{name}']:.3f}")
        axes[1].plot(recall, precision, color=COLOURS[name], label=f"{name}: {found[f'ap_{name}']:.3f}")
    axes[0].plot([0, 1], [0, 1], color=REPORT, linestyle=":", linewidth=1)
    axes[0].set(
        xlabel="false alarm rate",
        ylabel="sensitivity",
        title=_with_report(f"ROC, macro-AUC {found['auc']:.3f}", published),
    )
    axes[1].set(xlabel="recall", ylabel="precision", title=f"precision-recall, mean AP {found['ap']:.3f}")
    axes[0].legend(fontsize=8, title="AUC", loc="lower right")
    axes[1].legend(fontsize=8, title="AP", loc="lower left")
    figure.suptitle(title, fontsize=11)
    return figure


def _with_report(text: str, published: float | None) -> str:
    return text if published is None else f"{text} (R3: {published:.3f})"


def roc_panels(
    panels: Mapping[str, tuple[np.ndarray, np.ndarray]], published: Mapping[str, float] | None = None
) -> Figure:
    """R3 figures 13-1, 14-1, 14-2, 16-2, 17-2 and 19: ROC of each class; `panels` is title -> targets and scores."""
    columns = min(len(panels), 2)
    rows = -(-len(panels) // columns)
    figure, axes = plt.subplots(
        rows, columns, figsize=(4.4 * columns, 4.2 * rows), sharex=True, sharey=True, squeeze=False
    )
    for axis, (title, (targets, scores)) in zip(axes.flat, panels.items(), strict=False):
        found = class_metrics(targets, scores, SUPERCLASSES)
        for column, name in enumerate(SUPERCLASSES):
            if f"auc_{name}" in found:
                false_alarms, hits, _ = roc_curve(targets[:, column], scores[:, column])
                axis.plot(false_alarms, hits, color=COLOURS[name], label=f"{name}: {found[f'auc_{name}']:.3f}")
        axis.plot([0, 1], [0, 1], color=REPORT, linestyle=":", linewidth=1)
        axis.set(aspect="equal")
        text = _with_report(f"macro-AUC {found['auc']:.3f}", (published or {}).get(title))
        axis.set_title(f"{title}\n{text}", fontsize=9)
        axis.legend(fontsize=8, title="AUC", title_fontsize=8, loc="lower right")
    for axis in axes[-1]:
        axis.set_xlabel("false alarm rate")
    for axis in axes[:, 0]:
        axis.set_ylabel("sensitivity")
    return figure


# Where the name of a network that is not of table 2 stands beside its point: neighbours take turns.
PLACES: tuple[dict[str, Any], ...] = (
    {"xytext": (-8, -3), "ha": "right"},
    {"xytext": (0, 12), "ha": "center"},
    {"xytext": (8, -10)},
)


def parameter_curve(found: Mapping[str, Mapping[str, Sequence[ClassifierRun]]], published: bool) -> Figure:
    """R3 figures 12 and 15: macro-AUC against the number of parameters, a panel for each part of the data.

    `found` is part, "validation" or "test" -> network -> runs; networks of table 2 are joined by a line and named by
    the ticks. R3's curve shows validation numbers (`Claim.part`), so that it is drawn in that panel alone, if
    `published`.
    """
    figure, axes = plt.subplots(1, len(found), figsize=(5.2 * len(found), 4.0), sharey=True, squeeze=False)
    sizes = {size: count_parameters(networks.convnet(size)) for size in networks.LADDER}
    rungs = {networks.network_of(size) for size in sizes}
    part_of_claims = reports.CLAIMS["r3.ladder.6.5M"].part
    for axis, (part, members) in zip(axes[0], found.items(), strict=True):
        drawn = {
            name: (runs[0].parameters, np.array([run.metrics[part]["auc"] for run in runs]))
            for name, runs in members.items()
        }
        places = itertools.cycle(PLACES)
        for name, (count, values) in sorted(drawn.items(), key=lambda one: one[1][0]):
            colour = OUTPUT if name in rungs else INPUT
            axis.plot([count] * len(values), values, "o", color=colour, alpha=0.45, markersize=5)
            axis.plot(count, values.mean(), "D", color=colour)
            if name not in rungs:
                place = {"textcoords": "offset points", "fontsize": 8, "color": colour, **next(places)}
                place["path_effects"] = [withStroke(linewidth=3, foreground="white")]  # it may lie on a line
                axis.annotate(name, (count, values.mean()), **place)
        joined = sorted((count, values.mean()) for name, (count, values) in drawn.items() if name in rungs)
        axis.plot(*zip(*joined, strict=True), "-", color=OUTPUT, label="here, table 2: mean, a point a seed")
        if published and part == part_of_claims:
            claimed = [reports.value(f"r3.ladder.{size}") / 100 for size in sizes]
            axis.plot(
                list(sizes.values()), claimed, "s--", color=REPORT, markersize=5, label="R3, all records, one run"
            )
        axis.set(xscale="log", xlabel="parameters (log scale)", title=f"{part} records")
        axis.set_xticks(list(sizes.values()), list(sizes), rotation=60)
        axis.xaxis.set_minor_locator(NullLocator())
        axis.margins(0.12)
    axes[0, 0].set_ylabel("macro-AUC")
    figure.legend(*axes[0, 0].get_legend_handles_labels(), fontsize=8, loc="outside lower center", ncols=2)
    return figure


def changes(claims: Mapping[str, Mapping[str, Change]]) -> Figure:
    """R3 figures 14-3, 18 and 19-3: claim -> source -> change of macro-AUC.

    Left arrows from before to after, right the changes with their intervals over seeds. The right scale is that of the
    changes that were measured; what the report says beyond it stands at the edge.
    """
    colours = {"report": REPORT, "as coded": ERROR, "corrected": OUTPUT}
    rows = [(claim, source, change) for claim, sources in claims.items() for source, change in sources.items()]
    figure, (ends, difference) = plt.subplots(
        1, 2, figsize=(10, 0.28 * (len(rows) + len(claims)) + 1.2), sharey=True, width_ratios=(1.1, 1)
    )
    intervals = [change.over_seeds for _, source, change in rows if source != "report"]
    measured = [change.after - change.before for _, source, change in rows if source != "report"]
    measured += [end for one in intervals if one is not None for end in (one.low, one.high) if np.isfinite(end)]
    limit = 1.25 * max((abs(value) for value in measured), default=0.01)
    ticks: list[tuple[float, str, str]] = []
    position = 0.0
    for claim, sources in claims.items():
        ends.text(0, position, claim, va="center", weight="bold", transform=ends.get_yaxis_transform())
        position += 0.8
        for source, change in sources.items():
            colour = colours.get(source, INPUT)
            ends.plot(change.before, position, "o", color=colour, fillstyle="none", markersize=6)
            how = {"arrowstyle": "-|>", "color": colour, "shrinkA": 3, "shrinkB": 0}
            ends.annotate("", (change.after, position), (change.before, position), arrowprops=how)
            _draw_difference(difference, change, position, limit, colour)
            ticks.append((position, source, colour))
            position += 1
        position += 0.4
    ends.set_yticks([place for place, *_ in ticks], [source for _, source, _ in ticks])
    for label, (*_, colour) in zip(ends.get_yticklabels(), ticks, strict=True):
        label.set_color(colour)
    reached = [value for *_, change in rows for value in (change.before, change.after)]
    margin = 0.08 * (max(reached) - min(reached))
    ends.set(xlim=(min(reached) - margin, max(reached) + margin), ylim=(position - 0.8, -0.8))
    ends.set_xlabel("macro-AUC, from before (ring) to after (arrow)")
    difference.axvline(0, color=REPORT, linewidth=0.8)
    difference.set(xlabel="after minus before, 95 % over seeds", xlim=(-limit, limit))
    return figure


def _draw_difference(axis: Axes, change: Change, position: float, limit: float, colour: str) -> None:
    """One change with its interval and its number; outside of -`limit` to `limit` an arrow at the edge."""
    value = change.after - change.before
    text = f"{value:+.3f}"
    if change.over_seeds is not None and np.isfinite(change.over_seeds.low):
        low, high = change.over_seeds.low, change.over_seeds.high
        axis.hlines(position, low, high, color=colour, linewidth=2)
        text += f" [{low:+.3f}, {high:+.3f}]"
    marker = "D" if abs(value) <= limit else "<" if value < 0 else ">"
    axis.plot(np.clip(value, -0.97 * limit, 0.97 * limit), position, marker, color=colour, markersize=5)
    axis.text(1.02, position, text, va="center", fontsize=8, color=colour, transform=axis.get_yaxis_transform())


def pareto(costs: pd.DataFrame, paths: Mapping[str, Sequence[str]]) -> Figure:
    """Macro-AUC against size, operations and time of `deployed.costs`, with what compression does step by step.

    Args:
        costs: a row a model.
        paths: two names -> models from the first to the most compressed; arrows lead from each to the next. All other
            models are grey.
    """
    figure, axes = plt.subplots(1, 3, figsize=(12, 4.4), sharey=True, width_ratios=(1.5, 1, 1))
    measures = {
        "file (kB, log scale)": costs["bytes"] / 1000,
        "operations a record (million MACs, log)": costs["macs"] / 1e6,
        "one record, one thread (ms, log)": costs["ms"],
    }
    for axis, (label, measure) in zip(axes, measures.items(), strict=True):
        axis.plot(measure, costs["auc"], "o", color="#BBBBBB", markersize=5)
        for (name, steps), colour, below in zip(paths.items(), (OUTPUT, ERROR), (False, True), strict=True):
            places = [(measure[step], costs["auc"][step]) for step in steps]
            for start, stop in itertools.pairwise(places):
                axis.annotate("", stop, start, arrowprops={"arrowstyle": "->", "color": colour, "linewidth": 1.3})
            for step, (x, y) in zip(steps, places, strict=True):
                axis.vlines(x, costs["auc_low"][step], costs["auc_high"][step], color=colour, linewidth=1, alpha=0.4)
                axis.plot(x, y, "s" if costs["int8"][step] else "o", color=colour, markersize=8)
                if axis is axes[0]:
                    shift = (4, -8 if below else 6)
                    how = {"rotation": -30 if below else 30, "va": "top" if below else "bottom", "fontsize": 8}
                    axis.annotate(step, (x, y), shift, textcoords="offset points", color=colour, **how)
            axis.plot([], [], "-", color=colour, label=name)
        axis.set(xscale="log", xlabel=label)
        plain_log(axis.xaxis)
    axes[0].set_ylabel("macro-AUC, 95 % over patients")
    axes[0].margins(x=0.2)
    axes[0].plot([], [], "o", color="#BBBBBB", label="all other models")
    axes[0].legend(fontsize=8, loc="lower right")
    return figure


# An ECG on paper: 25 mm a second, 10 mm a millivolt, four columns of 2.5 s and a strip of lead II below.
MM_PER_S, COLUMN_S, ROW_MM, TOP_MM = 25, 2.5, 30, 10
GAINS = (10, 5, 2.5)  # mm a millivolt
GRID = (("I", "aVR", "V1", "V4"), ("II", "aVL", "V2", "V5"), ("III", "aVF", "V3", "V6"))


def paper(signals: np.ndarray, weight: np.ndarray | None = None, title: str = "") -> Figure:
    """A 12-lead record (12, 1000) in mV at 100 Hz on ECG paper at true scale, coloured by what a network looked at.

    As on paper, all leads are drawn at half or a quarter of the height where they would run into each other.

    `weight`, (12, 1000) or (1000,) in [0, 1], says how much each sample mattered; None leaves the trace black.
    """
    width, height = 4 * COLUMN_S * MM_PER_S, 4 * ROW_MM + TOP_MM
    page = (width + 10, height + 14)  # mm
    figure = plt.figure(figsize=(page[0] / 25.4, page[1] / 25.4))
    figure.set_layout_engine("none")  # it would stretch the millimetres
    axis = figure.add_axes((5 / page[0], 4 / page[1], width / page[0], height / page[1]))
    _rule(axis, width, height)
    lines = signals - np.median(signals, axis=1, keepdims=True)
    gain = next((one for one in GAINS if one * np.abs(lines).max() <= 0.8 * ROW_MM), GAINS[-1])
    if weight is not None:
        weight = np.broadcast_to(weight, signals.shape)
    for row, names in enumerate((*GRID, ("II",))):
        for column, name in enumerate(names):
            lead = LEADS.index(name)
            start = round(column * COLUMN_S * FS)
            stop = start + round(COLUMN_S * FS) if len(names) > 1 else signals.shape[1]
            baseline = height - TOP_MM - ROW_MM * (row + 0.5)
            x = np.arange(start, stop) / FS * MM_PER_S
            y = baseline + gain * lines[lead, start:stop]
            _trace(axis, x, y, None if weight is None else weight[lead, start:stop])
            behind = {"facecolor": "white", "alpha": 0.7, "edgecolor": "none", "pad": 0.8}  # a tall R wave passes there
            axis.text(x[0] + 1, baseline + 9, name, fontsize=8, weight="bold", bbox=behind)
    axis.set_title(f"{title}   {MM_PER_S} mm/s, {gain:g} mm/mV", fontsize=10)
    return figure


def _rule(axis: Axes, width: float, height: float) -> None:
    """Lines every millimetre, stronger every five."""
    axis.set(xlim=(0, width), ylim=(0, height), aspect="equal", xticks=[], yticks=[])
    axis.grid(False)
    for step, alpha, thickness in ((1, 0.25, 0.3), (5, 0.6, 0.5)):
        style: dict[str, Any] = {"color": "#e08080", "alpha": alpha, "linewidth": thickness, "zorder": 0}
        axis.vlines(np.arange(0, width + 1, step), 0, height, **style)
        axis.hlines(np.arange(0, height + 1, step), 0, width, **style)


def _trace(axis: Axes, x: np.ndarray, y: np.ndarray, weight: np.ndarray | None) -> None:
    if weight is None:
        axis.plot(x, y, color="black", linewidth=0.8)
        return
    points = np.column_stack([x, y])
    lines = LineCollection(
        np.stack([points[:-1], points[1:]], axis=1).tolist(), cmap="inferno_r", norm=plt.Normalize(-0.25, 1)
    )
    lines.set_array(weight[:-1])
    lines.set_linewidth((0.7 + 1.3 * weight[:-1]).tolist())
    axis.add_collection(lines)


def slips(found: Mapping[str, np.ndarray], published: float, in_place: float) -> Figure:
    """What mistakes leave of a macro-AUC, a histogram each: mistake -> (draws,).

    Lines mark the AUC that a report `published`, and the one with the labels `in_place`.
    """
    figure, axes = plt.subplots(len(found), 1, figsize=(9, 1.5 * len(found) + 0.8), sharex=True, squeeze=False)
    for axis, (name, aucs) in zip(axes[:, 0], found.items(), strict=True):
        axis.hist(aucs, bins=np.arange(0.4, 0.951, 0.01).tolist(), color=OUTPUT, alpha=0.8)
        axis.axvline(published, color=ERROR, linewidth=1.5, label=f"R3: {published:.3f}")
        axis.axvline(in_place, color=REPORT, linestyle=":", linewidth=1.5, label=f"labels in place: {in_place:.3f}")
        axis.set_title(f"{name}: {len(aucs):,} results", fontsize=9.5)
        axis.set_ylabel("how many")
    axes[-1, 0].set_xlabel("macro-AUC on R3's validation records")
    axes[0, 0].legend(fontsize=8, loc="upper center")
    return figure


def comparison_points(rows: Mapping[str, tuple[np.ndarray, ...]], label: str) -> Figure:
    """R3 figure 6: setting -> (seeds,) with weights carried over, the same in reverse, and from fresh weights."""
    figure, axis = plt.subplots(figsize=(8, 0.45 * len(rows) + 1.2))
    ways = (
        ("as coded: weights carried over, downwards", ERROR, -0.2),
        ("upwards", COLOURS["HYP"], 0),
        ("corrected: fresh weights", OUTPUT, 0.2),
    )
    for position, row in enumerate(rows.values()):
        for values, (name, colour, shift) in zip(row, ways, strict=True):
            axis.plot(values, [position + shift] * len(values), "o", color=colour, alpha=0.45, markersize=5)
            axis.plot(values.mean(), position + shift, "D", color=colour, label=None if position else name)
    axis.set_yticks(range(len(rows)), list(rows))
    axis.invert_yaxis()
    axis.set(xlabel=label)
    figure.legend(fontsize=8, loc="outside lower center", ncols=3)
    return figure
