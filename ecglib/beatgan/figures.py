"""Figures of notebooks 02 and 03: training (R1 figure 9), pairs (figure 11), ROC (figure 12), scores, the explanation.

Everywhere: `history` has a row an epoch, as in a run's `history.csv`; x and x_hat are beats and reconstructions.
"""

from collections.abc import Callable, Mapping, Sequence
from itertools import cycle
from pathlib import Path

import matplotlib.pyplot as plt
import numpy as np
import pandas as pd
import torch
from matplotlib.axes import Axes
from matplotlib.figure import Figure
from sklearn.metrics import precision_recall_curve, roc_curve
from torch import Tensor

from ecglib.beatgan.networks import Generator
from ecglib.beatgan.quarter import first_epoch
from ecglib.data.mitbih import CLASSES
from ecglib.runs.loop import Loop
from ecglib.show.marks import dot_plot, fence
from ecglib.show.style import (
    BEAT_MS,
    CLASS_COLOURS,
    ERROR,
    INPUT,
    OUTPUT,
    REPORT,
    RULE_COLOURS,
    RULE_NAMES,
    plain_log,
    save,
)
from ecglib.stats import metrics
from ecglib.stats.comparisons import pairwise_distances

GRID = np.linspace(0, 1, 201)  # the axis on which curves of several seeds are averaged


def training_curves(histories: dict[int, pd.DataFrame], report_best: float | None = None) -> Figure:
    """R1 figure 9 as curves: losses of D and G, and both criteria that choose the epoch, from the history of each seed.

    A ring is the epoch that a criterion chooses. `report_best`, R1's best validation AUC, is drawn as a line.
    """
    figure, axes = plt.subplots(1, 3, figsize=(12, 3.9))
    for position, (seed, history) in enumerate(histories.items()):
        epochs, alpha = history["epoch"] + 1, 1.0 if position == 0 else 0.45
        for axis, column, colour, label in (
            (axes[0], "loss_d", ERROR, "D: real + fake"),
            (axes[0], "loss_g", OUTPUT, "G: equation 1"),
            (axes[1], "auc_as_coded", RULE_COLOURS["as_coded"], "BatchNorm in training mode (as coded)"),
            (axes[1], "auc_eval_mode", RULE_COLOURS["corrected"], "evaluation mode"),
        ):
            axis.plot(epochs, history[column], color=colour, alpha=alpha, label=None if position else label)
        named = {0: f"seed {seed}", 1: "others"}.get(position)
        axes[2].plot(epochs, history["error_normal"], ".-", alpha=alpha, color=RULE_COLOURS["corrected"], label=named)
        for axis, column, chosen in ((axes[1], "auc_as_coded", np.argmax), (axes[2], "error_normal", np.argmin)):
            values = history[column].to_numpy()
            epoch, words = int(chosen(values)), None if position else "chosen epoch, one a seed"
            axis.plot(epoch + 1, values[epoch], "o", color="black", markersize=9, fillstyle="none", label=words)
    axes[0].set(title="losses", yscale="log", ylabel="loss (log scale)")
    plain_log(axes[0].yaxis)
    axes[1].set(title="validation AUC (needs labels)", ylabel="AUC")
    if report_best is not None:
        axes[1].axhline(report_best, color=REPORT, linestyle="--", label=f"R1's best: {report_best:.3f}")
    axes[2].set(title="error of normal validation beats", yscale="log", ylabel="mean squared error (log scale)")
    plain_log(axes[2].yaxis)
    for axis in axes:
        axis.set_xlabel("epoch")
        axis.xaxis.get_major_locator().set_params(integer=True)
        # Below the axis the legend covers no curve, wherever the curves go.
        axis.legend(fontsize=7.5, loc="upper center", bbox_to_anchor=(0.5, -0.2), ncols=1 if axis is axes[1] else 2)
    return figure


def adversary(histories: Mapping[str, Sequence[pd.DataFrame]], averaged: Mapping[str, Sequence[float]]) -> Figure:
    """Trainings with and without an adversary: the AUC after every epoch, and of the averaged weights of each seed.

    Both map a name to one history, or one AUC, a seed. The last quarter, over which weights are averaged, is shaded.
    """
    figure, (curves, dots) = plt.subplots(1, 2, figsize=(10, 3.9), width_ratios=(2, 1))
    for place, (name, colour) in enumerate(zip(histories, (OUTPUT, ERROR), strict=True)):
        for position, history in enumerate(histories[name]):
            label = None if position else name
            curves.plot(history["epoch"] + 1, history["auc_eval_mode"], color=colour, alpha=0.7, label=label)
        dots.plot([place] * len(averaged[name]), averaged[name], "o", color=colour, zorder=3)
    for seed, pair in enumerate(zip(*averaged.values(), strict=True)):
        dots.plot([0, 1], pair, color="#BBBBBB", linewidth=1)
        dots.annotate(
            f"seed {seed}", (0, pair[0]), (-7, 0), textcoords="offset points", ha="right", va="center", size=7
        )
    epochs = len(next(iter(histories.values()))[0])
    curves.axvspan(first_epoch(epochs) + 0.5, epochs + 0.5, color="#EEEEEE", zorder=0)
    curves.set(title="after each epoch, validation beats", xlabel="epoch", ylabel="validation AUC")
    curves.xaxis.get_major_locator().set_params(integer=True)
    curves.legend(fontsize=8, loc="lower right")
    dots.set(title="averaged weights, test beats", xlim=(-0.5, 1.5), ylabel="test AUC (another scale)")
    dots.set_xticks([0, 1], list(averaged))
    return figure


def reconstructions(x: np.ndarray, x_hat: np.ndarray, labels: list[str]) -> Figure:
    """R1 figure 11: beats (n, 320) with their reconstructions and scores."""
    figure, axes = plt.subplots(1, len(x), figsize=(2.5 * len(x), 2.7), sharey=True, squeeze=False)
    for axis, beat, output, label in zip(axes[0], x, x_hat, labels, strict=True):
        axis.plot(BEAT_MS, beat, color=INPUT, linewidth=1.1, label="input x")
        axis.plot(BEAT_MS, output, color=OUTPUT, linewidth=1.1, label="output x'")
        axis.fill_between(BEAT_MS, beat, output, color=ERROR, alpha=0.25, linewidth=0)
        axis.set(title=f"{label}: score {np.mean((beat - output) ** 2):.4f}", xlabel="ms from annotation")
        axis.title.set_fontsize(9)
    axes[0, 0].set_ylabel("scaled, no unit")
    axes[0, 0].legend(fontsize=7, loc="lower right")
    return figure


def pair_figures(folder: Path, x: Tensor, labels: list[str]) -> Callable[[Loop], None]:
    """A watcher that draws R1 figure 11 after every epoch, as `epoch_000.png` and so on in `folder`.

    The beats x (n, C, 320) are in [-1, 1] and on the device of the networks.
    """

    @torch.no_grad()
    def watch(loop: Loop) -> None:
        generator = loop.parts["generator"]
        assert isinstance(generator, Generator)
        x_hat, _ = generator.eval()(x)
        generator.train()
        figure = reconstructions(x[:, 0].cpu().numpy(), x_hat[:, 0].cpu().numpy(), labels)
        save(figure, folder / f"epoch_{len(loop.history) - 1:03d}.png")

    return watch


def heat_strips(x: np.ndarray, x_hat: np.ndarray, labels: list[str]) -> Figure:
    """Which ticks carry the error: each beat (n, 320) above a strip of its squared error per tick."""
    figure, axes = plt.subplots(
        2, len(x), figsize=(2.6 * len(x), 3.4), height_ratios=[5, 1], sharex=True, sharey="row", squeeze=False
    )
    errors = (x - x_hat) ** 2
    top, extent = np.quantile(errors, 0.99), (BEAT_MS[0], BEAT_MS[-1], 0, 1)
    for column, beat, output, error, label in zip(axes.T, x, x_hat, errors, labels, strict=True):
        column[0].plot(BEAT_MS, beat, color=INPUT, linewidth=1.1, label="input x")
        column[0].plot(BEAT_MS, output, color=OUTPUT, linewidth=1.0, linestyle="--", label="output x'")
        column[0].set_title(f"{label}: score {error.mean():.4f}", fontsize=9)
        image = column[1].imshow(error[None], aspect="auto", cmap="Reds", vmin=0, vmax=top, extent=extent)
        column[1].set(yticks=[], xlabel="ms from annotation")
        column[1].grid(False)
    axes[0, 0].set_ylabel("scaled, no unit")
    axes[0, 0].legend(fontsize=7, loc="lower right")
    axes[1, 0].set_ylabel("error", rotation=0, ha="right", va="center")
    figure.colorbar(image, ax=axes[1, :].tolist(), label="(x - x')²", pad=0.01, aspect=6)
    return figure


def error_profiles(profiles: dict[str, np.ndarray], window_ms: tuple[float, float]) -> Figure:
    """Where along the beat the error lies: mean share of each tick (320,) per class, with the QRS window shaded."""
    figure, axis = plt.subplots(figsize=(8, 3))
    axis.axvspan(*window_ms, color="#eeeeee", label="QRS window")
    for name, profile in profiles.items():
        axis.plot(BEAT_MS, 100 * profile, color=CLASS_COLOURS[name], label=name)
    axis.axhline(100 / len(BEAT_MS), color=REPORT, linestyle=":", linewidth=1, label="even spread")
    axis.set(xlabel="ms from annotation", ylabel="share of the beat's error (% a tick)")
    axis.legend(fontsize=8, ncols=2)
    return figure


def score_histograms(labels: np.ndarray, scores: np.ndarray, thresholds: Mapping[str, float]) -> Figure:
    """Anomaly scores (N,) of each class on a logarithmic axis, with one or two thresholds as lines.

    Of each threshold the legend says which share of the abnormal beats lies above it (sensitivity) and which of the
    normal ones below it (specificity).
    """
    figure, axis = plt.subplots(figsize=(9, 3.4))
    bins = np.geomspace(max(scores.min(), 1e-5), scores.max(), 70).tolist()
    for name, colour in CLASS_COLOURS.items():
        chosen = np.maximum(scores[labels == name], bins[0])
        if len(chosen) >= 30:  # the outline of fewer beats says nothing
            weights = np.full(len(chosen), 100 / len(chosen))
            label = f"{name} ({len(chosen):,} beats)"
            axis.hist(chosen, bins, weights=weights, histtype="step", linewidth=1.5, color=colour, label=label)
    for (name, threshold), style in zip(thresholds.items(), cycle(("-", "--")), strict=False):
        found, left_alone = (scores[labels != "N"] >= threshold).mean(), (scores[labels == "N"] < threshold).mean()
        label = f"{name}, {threshold:.4f}:\nsensitivity {found:.0%}, specificity {left_alone:.0%}"
        axis.axvline(threshold, color=REPORT, linestyle=style, linewidth=1, label=label)
    axis.set(xscale="log", xlabel="anomaly score: mean squared error (log scale)", ylabel="% of the class's beats")
    plain_log(axis.xaxis)
    axis.legend(fontsize=8, loc="center left", bbox_to_anchor=(1, 0.5), frameon=False)
    return figure


def roc_and_pr(
    runs: dict[str, list[tuple[np.ndarray, np.ndarray]]], report: tuple[float, float] | None = None
) -> Figure:
    """ROC and precision-recall curves: the mean over seeds, and the range between seeds as a band.

    Args:
        runs: rule -> (abnormal (N,), scores (N,)) of each seed.
        report: R1's AUC and AP, for the titles.
    """
    figure, axes = plt.subplots(1, 2, figsize=(10, 4.2))
    for rule, seeds in runs.items():
        pr = []
        for abnormal, scores in seeds:
            precision, recall, _ = precision_recall_curve(abnormal, scores)
            pr.append(np.interp(GRID, recall[::-1], precision[::-1]))
        for axis, curves in zip(axes, (_roc_curves(seeds), np.array(pr)), strict=True):
            _band(axis, curves, RULE_COLOURS[rule], f"{RULE_NAMES[rule]}, {len(seeds)} seeds", alpha=0.2)
    chance = next(iter(runs.values()))[0][0].mean()
    axes[0].plot([0, 1], [0, 1], color=REPORT, linestyle=":", linewidth=1, label="chance")
    axes[1].axhline(chance, color=REPORT, linestyle=":", linewidth=1, label=f"chance: {chance:.2f}")
    titles = ("ROC", "precision and recall")
    if report:
        titles = (f"ROC (R1's area: {report[0]:.3f})", f"precision and recall (R1's AP: {report[1]:.3f})")
    axes[0].set(xlabel="normal beats called abnormal", ylabel="abnormal beats found", title=titles[0])
    axes[1].set(xlabel="recall: abnormal beats found", ylabel="precision", title=titles[1], ylim=(0, 1.03))
    for axis in axes:
        axis.legend(fontsize=8, loc="lower right" if axis is axes[0] else "lower left")
    return figure


def _roc_curves(seeds: Sequence[tuple[np.ndarray, np.ndarray]]) -> np.ndarray:
    """The hit rates over `GRID` (seeds, 201) from (abnormal (N,), scores (N,)) of each seed; all begin at 0."""
    rates = []
    for abnormal, scores in seeds:
        false_alarms, hits, _ = roc_curve(abnormal, scores)
        rates.append(np.interp(GRID, false_alarms, hits))
    curves = np.array(rates)
    curves[:, 0] = 0
    return curves


def _band(axis: Axes, curves: np.ndarray, colour: str, label: str, alpha: float) -> None:
    """The mean of curves (seeds, 201) over `GRID`, and their range."""
    axis.plot(GRID, curves.mean(axis=0), color=colour, label=label)
    axis.fill_between(GRID, curves.min(axis=0), curves.max(axis=0), color=colour, alpha=alpha, linewidth=0)


def class_auc(values: dict[str, dict[str, list[float]]], counts: dict[str, int]) -> Figure:
    """AUC of each abnormal class against N, a point a seed and a bar at the mean: rule -> class -> AUCs of the seeds.

    `counts` are the test beats of each class.
    """
    names = [name for name in CLASSES[1:] if name in next(iter(values.values()))]
    figure, axis = plt.subplots(figsize=(7, 3.2))
    for shift, (rule, classes) in zip((-0.12, 0.12), values.items(), strict=True):
        for position, name in enumerate(names):
            points = classes[name]
            axis.plot([position + shift] * len(points), points, "o", color=RULE_COLOURS[rule], markersize=5, alpha=0.7)
            axis.hlines(np.mean(points), position + shift - 0.09, position + shift + 0.09, color=RULE_COLOURS[rule])
        axis.plot([], [], "o-", color=RULE_COLOURS[rule], label=RULE_NAMES[rule])
    axis.axhline(0.5, color=REPORT, linestyle=":", linewidth=1, label="chance")
    axis.set_xticks(range(len(names)), [f"{name}\n{counts[name]:,} beats" for name in names])
    axis.set(ylabel="AUC against N", ylim=(min(0.45, axis.get_ylim()[0]), 1.02))
    axis.legend(fontsize=8, loc="lower right")
    return figure


TEACHER_COLOUR, STUDENT_COLOUR, PLAIN_COLOUR = "#0072B2", "#D55E00", "#009E73"


def soft_targets(student: np.ndarray, teacher: np.ndarray, temperature: float) -> Figure:
    """Equation 2 on one batch: scores (B,), and what a softmax at temperature T leaves of their differences."""
    figure, axes = plt.subplots(1, 2, figsize=(11, 3))
    order, top = np.argsort(teacher), 1.6 / len(teacher)
    for scores, colour, name in ((teacher, TEACHER_COLOUR, "teacher"), (student, STUDENT_COLOUR, "student")):
        soft = np.exp(scores / temperature)
        axes[0].plot(scores[order], ".", color=colour, label=name)
        axes[1].plot((soft / soft.sum())[order], ".", color=colour, label=name)
        top = max(top, 1.1 * (soft / soft.sum()).max())
    axes[0].set(title="anomaly scores", ylabel="mean squared error", yscale="log")
    axes[1].axhline(1 / len(teacher), color=REPORT, linestyle=":", label=f"all alike: 1/{len(teacher)}")
    axes[1].set(title=f"softmax(scores / {temperature:g})", ylabel="share", ylim=(0, top))
    for axis in axes:
        axis.set_xlabel("beat of the batch, in the teacher's order")
        axis.legend(fontsize=8)
    return figure


def two_runs(aucs: np.ndarray, first: int, second: int, claimed: float) -> Figure:
    """Two of the runs (n,) of one program, and where their difference lies among those of all pairs.

    `claimed` is the difference of two runs that a report calls a gain.
    """
    figure, (left, right) = plt.subplots(1, 2, figsize=(11, 3))
    left.plot(aucs, np.zeros(len(aucs)), "o", color=PLAIN_COLOUR, alpha=0.5)
    for place, name, shift in ((first, "first", 12), (second, "second", -20)):
        left.plot(aucs[place], 0, "o", color=STUDENT_COLOUR, markersize=9)
        text = f"{name} draw\n{aucs[place]:.4f}"
        left.annotate(text, (aucs[place], 0), (0, 2 * shift), textcoords="offset points", ha="center", fontsize=8)
    left.set(title=f"{len(aucs)} runs of one program", xlabel="test AUC", yticks=[], ylim=(-1, 1))
    distances, difference = pairwise_distances(aucs), abs(aucs[second] - aucs[first])
    dot_plot(right, distances, PLAIN_COLOUR, edge=claimed)
    right.axvline(difference, color=STUDENT_COLOUR, label=f"these two: {difference:.4f}")
    right.axvline(claimed, color=REPORT, linestyle=":", label=f"the report's gain: {claimed:.4f}")
    right.set(title=f"all {len(distances)} pairs", xlabel="how far apart their AUCs lie", yticks=[])
    right.legend(fontsize=8)
    return figure


def figure9(log: Sequence[tuple[int, float, float, float]], history: pd.DataFrame) -> Figure:
    """R1 figure 9: the losses of its last epoch, batch by batch, beside the epochs of one of our runs.

    `log` holds (batch, D on real, D on reconstructed, G) as printed in the report.
    """
    figure, axes = plt.subplots(1, 2, figsize=(11, 3.2), sharey=True)
    batches, real, fake, generator = (np.array(column) for column in zip(*log, strict=True))
    axes[0].plot(batches, real + fake, ".-", color=ERROR, label="D: real + reconstructed")
    axes[0].plot(batches, generator, ".-", color=OUTPUT, label="G")
    axes[0].set(title="R1's log of epoch 99", xlabel="batch", ylabel="loss (log scale)", yscale="log")
    epochs = history["epoch"] + 1
    axes[1].plot(epochs, history["loss_d"], ".-", color=ERROR, label="D: real + reconstructed")
    axes[1].plot(epochs, history["loss_g"], ".-", color=OUTPUT, label="G")
    axes[1].plot(epochs, history["loss_reconstruction"], ".--", color=OUTPUT, label="of it: reconstruction")
    axes[1].set(title="here: mean of each epoch, first seed", xlabel="epoch")
    axes[1].xaxis.get_major_locator().set_params(integer=True)
    for axis in axes:
        axis.legend(fontsize=8)
    return figure


def width_curve(points: Mapping[str, Sequence[tuple[int, np.ndarray]]]) -> Figure:
    """AUC against the size of the generator: name -> (weights of G, AUC of each seed) for each width.

    The first has all widths. Where another lacks one, its line is broken. A run that lies far out (`marks.fence`) is
    written at the edge; the means include it.
    """
    drawn = [aucs for series in points.values() for _, aucs in series]
    lowest = min(aucs.mean() for aucs in drawn)
    least = min(fence(np.concatenate(drawn)), lowest - 0.1 * (max(aucs.max() for aucs in drawn) - lowest))
    widths = [count for count, _ in next(iter(points.values()))]
    figure, axis = plt.subplots(figsize=(8, 3.6))
    colours = (PLAIN_COLOUR, STUDENT_COLOUR, "#CC79A7")
    lost: list[tuple[float, float, str]] = []  # place, AUC and colour of what lies far out
    for shift, (name, series), colour in zip((0.93, 1, 1.07), points.items(), colours, strict=False):
        means = {count: aucs.mean() for count, aucs in series}
        line = [means.get(count, np.nan) for count in widths]
        axis.plot(np.array(widths) * shift, line, "-", color=colour, label=name)
        for count, aucs in series:
            axis.plot([count * shift] * len(aucs), np.where(aucs < least, np.nan, aucs), "o", color=colour, alpha=0.5)
            axis.plot(count * shift, aucs.mean(), "_", color=colour, markersize=14, markeredgewidth=2)
            lost += [(count * shift, auc, colour) for auc in aucs[aucs < least]]
    for row, (place, auc, colour) in enumerate(lost):
        height, edge = 0.02 + 0.06 * row, axis.get_xaxis_transform()
        axis.text(place, height, f"▾ {auc:.3f}", transform=edge, color=colour, fontsize=8)
    axis.set(xscale="log", xlabel="weights of the generator (log scale)", ylabel="test AUC")
    axis.set_xticks(widths, [f"{count:,}" for count in widths])
    axis.minorticks_off()
    axis.legend(fontsize=8)
    return figure


def waterfall(steps: Mapping[str, np.ndarray], report: float | None = None) -> Figure:
    """What becomes of an AUC when its protocol is mended step by step: name -> AUC of each seed, each step on the last.

    A bar goes from one mean to the next; dots are seeds. `report` is drawn as a line.
    """
    names, means = list(steps), [float(aucs.mean()) for aucs in steps.values()]
    figure, axis = plt.subplots(figsize=(9, 0.55 * len(steps) + 1.3), layout="constrained")
    for place, aucs in enumerate(steps.values()):
        before = means[place - 1] if place else means[0]
        change = means[place] - before
        axis.barh(place, change, left=before, height=0.5, color=ERROR if change < 0 else OUTPUT, alpha=0.6)
        if place:
            axis.plot([before] * 2, [place - 1, place], color=REPORT, linewidth=1)
        named = None if place else "seeds"
        axis.plot(aucs, [place] * len(aucs), "o", color=INPUT, markersize=4, alpha=0.6, label=named)
        axis.plot([means[place]] * 2, [place - 0.3, place + 0.3], color=INPUT, linewidth=2)
        words = f"{means[place]:.3f}" + (f"  ({change:+.3f})" if place else "")
        axis.annotate(words, (1.01, place), xycoords=("axes fraction", "data"), va="center", fontsize=9)
    if report is not None:
        axis.axvline(report, color=REPORT, linestyle=":", label=f"R1: {report:.3f}")
    axis.set(yticks=range(len(names)), yticklabels=names, xlabel="AUC")
    axis.invert_yaxis()
    axis.legend(fontsize=8, loc="upper left")
    return figure


def roc_bands(curves: Mapping[str, Sequence[tuple[np.ndarray, np.ndarray]]], published: Mapping[str, float]) -> Figure:
    """R1 figure 12: ROC of teacher and students, the mean over seeds; right, the corner.

    Args:
        curves: name -> (abnormal (N,), scores (N,)) of each seed. The range of the first two is a band.
        published: name -> the report's AUC; empty for simulated records.
    """
    figure, axes = plt.subplots(1, 2, figsize=(11, 4.6))
    colours = (TEACHER_COLOUR, PLAIN_COLOUR, STUDENT_COLOUR, "#CC79A7")
    for place, ((name, members), colour) in enumerate(zip(curves.items(), cycle(colours), strict=False)):
        rates = _roc_curves(members)
        area = np.mean([metrics.auc(abnormal, scores) for abnormal, scores in members])
        label = f"{name}: {area:.4f}" + (f" (report {published[name]:.4f})" if name in published else "")
        for axis in axes:
            _band(axis, rates, colour, label, alpha=0.15 if place < 2 else 0)
            axis.set(xlabel="false alarm rate", ylabel="share of abnormal beats found")
    axes[0].plot([0, 1], [0, 1], color=REPORT, linestyle=":", linewidth=1)
    axes[0].set(title="ROC, mean over seeds; bands: range of the first two")
    axes[0].legend(fontsize=8, loc="lower right", title="AUC, mean over seeds")
    axes[1].set(title="the corner that an alarm works in", xlim=(0, 0.2))
    return figure
