"""Figures of notebook 03: the arms' AUC, ROC with bands (R1 figure 12), the log (figure 9), each term's pull."""

from collections.abc import Mapping, Sequence

import matplotlib.pyplot as plt
import numpy as np
import pandas as pd
from matplotlib.figure import Figure
from sklearn.metrics import roc_curve

from ecglib.metrics import Interval, mean_interval
from ecglib.plots.style import ERROR, OUTPUT, REPORT

GRID = np.linspace(0, 1, 201)  # the axis on which curves of several seeds are averaged
TEACHER_COLOUR, STUDENT_COLOUR, PLAIN_COLOUR, OTHER_COLOUR = "#0072B2", "#D55E00", "#009E73", "#555555"


def soft_targets(student: np.ndarray, teacher: np.ndarray, temperature: float) -> Figure:
    """Equation 2 on one batch: the scores, and what a softmax at temperature T leaves of their differences.

    Args:
        student: (B,) anomaly scores.
        teacher: (B,) anomaly scores.
        temperature: the T of equation 2.
    """
    figure, axes = plt.subplots(1, 2, figsize=(11, 3))
    order = np.argsort(teacher)
    for scores, colour, name in ((teacher, TEACHER_COLOUR, "teacher"), (student, STUDENT_COLOUR, "student")):
        soft = np.exp(scores / temperature)
        axes[0].plot(scores[order], ".", color=colour, label=name)
        axes[1].plot((soft / soft.sum())[order], ".", color=colour, label=name)
    axes[0].set(title="anomaly scores", ylabel="mean squared error", yscale="log")
    axes[1].axhline(1 / len(teacher), color=REPORT, linestyle=":", label=f"all alike: 1/{len(teacher)}")
    axes[1].set(title=f"softmax(scores / {temperature:g})", ylabel="share", ylim=(0, 1.6 / len(teacher)))
    for axis in axes:
        axis.set_xlabel("beat of the batch, in the teacher's order")
        axis.legend(fontsize=8)
    return figure


def pulls(ratios: Mapping[str, np.ndarray], joined: str = "equation 1") -> Figure:
    """How hard an added term pulls at the weights, as a multiple of the pull of the loss that it joins.

    Args:
        ratios: arm -> (seeds x epochs,) gradient length over that of the other loss; all 0 where no gradient flows.
        joined: the name of that loss.
    """
    figure, axis = plt.subplots(figsize=(9, 0.42 * len(ratios) + 1.4))
    positive = np.concatenate([values[values > 0] for values in ratios.values()])
    floor = positive.min() / 10
    for position, values in enumerate(ratios.values()):
        axis.plot(np.maximum(values, floor), [position] * len(values), "o", color=OUTPUT, alpha=0.5, markersize=5)
        if not values.any():
            axis.text(floor * 1.4, position, "no gradient at all", va="center", fontsize=8.5, color=ERROR)
    axis.axvline(1, color=REPORT, linestyle=":", label=f"as hard as {joined}")
    axis.set_yticks(range(len(ratios)), list(ratios))
    axis.set(xscale="log", xlabel=f"length of the term's gradient / length of that of {joined} (log scale)")
    axis.invert_yaxis()
    figure.legend(fontsize=8, loc="outside lower center")
    return figure


def figure9(log: Sequence[tuple[int, float, float, float]], history: pd.DataFrame) -> Figure:
    """R1 figure 9: the losses of its last epoch, batch by batch, beside the course of ours.

    Args:
        log: (batch, D on real, D on reconstructed, G) as printed in the report.
        history: one row an epoch of one of our runs.
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


def arm_forest(arms: Mapping[str, np.ndarray], published: Mapping[str, float], plain: np.ndarray, band: str) -> Figure:
    """All arms' AUC: a point a seed, the mean with its interval; the report's numbers as lines, re-runs as a band.

    Args:
        arms: name -> (seeds,) AUC.
        published: label -> AUC, drawn as a vertical line.
        plain: AUCs of all runs without distillation at full width: their range is the band.
        band: label of the band.
    """
    figure, axis = plt.subplots(figsize=(10, 0.42 * len(arms) + 1.6))
    axis.axvspan(plain.min(), plain.max(), color="#009E73", alpha=0.13, label=band, linewidth=0)
    for position, aucs in enumerate(arms.values()):
        interval = mean_interval(aucs)
        axis.plot(aucs, [position] * len(aucs), "o", color=OTHER_COLOUR, alpha=0.45, markersize=5)
        if np.isfinite(interval.low):
            axis.hlines(position, interval.low, interval.high, color=OUTPUT, linewidth=2)
        axis.plot(interval.value, position, "D", color=OUTPUT, markersize=6)
    for (label, value), style in zip(published.items(), ("-", "--"), strict=False):
        axis.axvline(value, color=REPORT, linestyle=style, linewidth=1.2, label=f"{label}: {value:.4f}")
    axis.plot([], [], "o", color=OTHER_COLOUR, alpha=0.45, label="one seed")
    axis.plot([], [], "D-", color=OUTPUT, label="mean, 95 % over seeds")
    axis.set_yticks(range(len(arms)), list(arms))
    axis.invert_yaxis()
    # Points, not intervals, set the scale: that of two seeds may be wider than the figure.
    ends = np.concatenate([*arms.values(), list(published.values())])
    margin = 0.2 * (ends.max() - ends.min())
    axis.set(xlabel="test AUC (epoch chosen without labels)", xlim=(ends.min() - margin, min(ends.max() + margin, 1)))
    figure.legend(fontsize=8, loc="outside lower center", ncols=3)
    return figure


def difference_forest(differences: Mapping[str, tuple[Interval, Interval, Interval]], tested: str = "beats") -> Figure:
    """Every arm minus its control: one line an interval (seeds, what was tested, patients).

    Args:
        differences: arm -> intervals over seeds, over what was tested and over patients, around one mean.
        tested: "beats" or "records".
    """
    figure, axis = plt.subplots(figsize=(10, 0.5 * len(differences) + 1.4))
    kinds = (("over seeds", OUTPUT), (f"over {tested}", "#56B4E9"), ("over patients", "#E69F00"))
    for position, intervals in enumerate(differences.values()):
        for shift, interval, (_, colour) in zip((-0.2, 0, 0.2), intervals, kinds, strict=True):
            if np.isfinite(interval.low):
                axis.hlines(position + shift, interval.low, interval.high, color=colour, linewidth=2)
            axis.plot(interval.value, position + shift, "|", color=colour, markersize=8)
    axis.axvline(0, color=REPORT, linewidth=1)
    for name, colour in kinds:
        axis.plot([], [], "-", color=colour, linewidth=2, label=f"95 % {name}")
    axis.set_yticks(range(len(differences)), list(differences))
    axis.invert_yaxis()
    ends = np.abs([end for _, *narrow in differences.values() for i in narrow for end in (i.low, i.high)])
    axis.set(xlabel="AUC minus that of the control with the same seed", xlim=(-1.6 * ends.max(), 1.6 * ends.max()))
    figure.legend(fontsize=8, loc="outside lower center", ncols=3)
    return figure


def roc_bands(curves: Mapping[str, Sequence[tuple[np.ndarray, np.ndarray]]], published: Mapping[str, float]) -> Figure:
    """R1 figure 12: ROC of teacher and students, the mean over seeds and the range as a band; right, the corner.

    Args:
        curves: name -> (abnormal (N,), scores (N,)) of each seed.
        published: name -> the report's AUC; empty for simulated records.
    """
    figure, axes = plt.subplots(1, 2, figsize=(11, 4.6))
    colours = (TEACHER_COLOUR, PLAIN_COLOUR, STUDENT_COLOUR, "#CC79A7")
    for (name, members), colour in zip(curves.items(), colours, strict=False):
        rows = []
        for abnormal, scores in members:
            false_alarms, hits, _ = roc_curve(abnormal, scores)
            rows.append(np.interp(GRID, false_alarms, hits))
        rates = np.array(rows)
        rates[:, 0] = 0
        area = np.trapezoid(rates.mean(axis=0), GRID)
        label = f"{name}: {area:.4f}" + (f" (report {published[name]:.4f})" if name in published else "")
        for axis in axes:
            axis.plot(GRID, rates.mean(axis=0), color=colour, label=label)
            axis.fill_between(GRID, rates.min(axis=0), rates.max(axis=0), color=colour, alpha=0.15, linewidth=0)
            axis.set(xlabel="false alarm rate", ylabel="share of abnormal beats found")
    axes[0].plot([0, 1], [0, 1], color=REPORT, linestyle=":", linewidth=1)
    axes[0].set(title="ROC, mean and range over seeds")
    axes[0].legend(fontsize=8, loc="lower right", title="AUC of the mean curve")
    axes[1].set(title="the corner that an alarm works in", xlim=(0, 0.2))
    return figure


def width_curve(points: Mapping[str, Sequence[tuple[int, np.ndarray]]]) -> Figure:
    """AUC against the size of the generator, with and without distillation.

    Args:
        points: name -> (weights of G, (seeds,) AUC) of each width.
    """
    figure, axis = plt.subplots(figsize=(8, 3.6))
    for shift, (name, series), colour in zip((0.96, 1.04), points.items(), (PLAIN_COLOUR, STUDENT_COLOUR), strict=True):
        weights = np.array([count for count, _ in series]) * shift
        axis.plot(weights, [aucs.mean() for _, aucs in series], "-", color=colour, label=name)
        for count, (_, aucs) in zip(weights, series, strict=True):
            axis.plot([count] * len(aucs), aucs, "o", color=colour, alpha=0.5)
    axis.set(xscale="log", xlabel="weights of the generator (log scale)", ylabel="test AUC")
    axis.set_xticks([count for count, _ in next(iter(points.values()))])
    axis.set_xticklabels([f"{count:,}" for count, _ in next(iter(points.values()))])
    axis.minorticks_off()
    axis.legend(fontsize=8)
    return figure
