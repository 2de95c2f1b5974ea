"""R3's figures 10 and 20 drawn by code."""

from collections.abc import Mapping

import matplotlib.pyplot as plt
import numpy as np
from matplotlib.figure import Figure

from ecglib.data.ptbxl import SUPERCLASSES
from ecglib.show.diagrams import DATA, FROZEN, LEARNED, LOSS, NOTE, arrow, blank, box
from ecglib.show.style import ERROR, INPUT, OUTPUT

COARSE = 3  # bits of the drawing: eight would show 255 levels as one line


def quantisation_diagram() -> Figure:
    """R3 figure 10 in our own way: weights and the few integers that stand for them (left), what comes back (right).

    Right: three bits, eight bits, and eight bits with a range that was measured on the wrong records.
    """
    figure, axes = plt.subplots(1, 2, figsize=(11, 3.9), width_ratios=(1.25, 1))
    weights = np.array([-0.98, -0.71, -0.56, -0.37, -0.21, -0.08, 0.04, 0.17, 0.29, 0.45, 0.62, 0.83])
    top = 2 ** (COARSE - 1) - 1
    scale = float(np.abs(weights).max()) / top
    blank(axes[0], 2.3, 3)
    axes[0].set(xlim=(-1.35, 1.25), ylim=(-0.45, 3.1))
    for y, text in ((2.4, "float32"), (0.8, f"{COARSE} bits")):
        axes[0].plot([-1.05, 1.05], [y, y], color=INPUT, linewidth=1)
        axes[0].text(-1.12, y, text, ha="right", va="center", fontsize=9)
    for weight in weights:
        kept = scale * round(weight / scale)
        axes[0].plot(weight, 2.4, "o", color=OUTPUT, markersize=6)
        axes[0].annotate(
            "", (kept, 0.9), (weight, 2.3), arrowprops={"arrowstyle": "-|>", "color": "#888888", "linewidth": 0.9}
        )
    for level in range(-top, top + 1):
        axes[0].plot(level * scale, 0.8, "s", color=ERROR, markersize=7)
        axes[0].text(level * scale, 0.5, str(level), ha="center", va="top", fontsize=9, color=ERROR)
    axes[0].text(0, 2.8, f"weights w, the largest {np.abs(weights).max():.2f}", ha="center", fontsize=9, color=OUTPUT)
    text = f"integers round(w / s); the scale of this channel, s = {np.abs(weights).max():.2f} / {top} = {scale:.2f}"
    axes[0].text(0, -0.2, text, ha="center", fontsize=9, color=ERROR)
    x = np.linspace(-1, 1, 2001)
    axes[1].plot(x, x, color="#bbbbbb", linewidth=5, label="float32")
    lines = ((COARSE, 1.0, ERROR, "-"), (8, 1.0, OUTPUT, "-"), (8, 0.4, INPUT, "--"))
    for bits, reach, colour, style in lines:
        label = f"{bits} bits, off by at most {quantisation_error(bits):.1%} of the range"
        if reach < 1:
            label = f"{bits} bits, range measured too small: cut off"
        axes[1].plot(x, quantised(x, bits, reach), style, color=colour, linewidth=1.4, label=label)
    axes[1].set(xlabel="a number before, as a part of the range", ylabel="what comes back")
    axes[1].legend(fontsize=8, loc="upper left")
    axes[1].set_ylim(-1.1, 1.75)
    return figure


def quantised(values: np.ndarray, bits: int, reach: float) -> np.ndarray:
    """Values (N,) through signed integers of `bits` bits and back; values beyond `reach` are cut off."""
    top = 2 ** (bits - 1) - 1
    return np.clip(np.round(values * top / reach), -top, top) * reach / top


def quantisation_error(bits: int) -> float:
    """Half a step: the largest error of a number within the range, as a share of the largest number."""
    return 0.5 / (2 ** (bits - 1) - 1)


def mkd_diagram(found: Mapping[str, np.ndarray]) -> Figure:
    """R3 figure 20 in our own way: a 12-lead teacher, a student with lead I (MVKT-ECG), and what the student knows.

    R3 prints the AUC that the authors of MVKT-ECG published. Here it is measured: name -> (seeds, 5) test AUC, columns
    in the order of `SUPERCLASSES`.
    """
    figure, axes = plt.subplots(1, 2, figsize=(13, 4.0), width_ratios=(2.1, 1))
    axis = axes[0]
    blank(axis, 9.4, 4.0)
    for y, lead, network, colour, z in (
        (3.1, "12 leads\n(12, 1000)", "teacher\n(trained, frozen)", FROZEN, "T"),
        (0.9, "lead I of it\n(1, 1000)", "student", LEARNED, "S"),
    ):
        box(axis, 0.8, y, lead, DATA, 1.25)
        box(axis, 2.85, y, network, colour, 1.6)
        box(axis, 4.6, y, f"5 logits\n$z_{z}$", DATA, 1.0)
        arrow(axis, (1.46, y), (2.02, y))
        arrow(axis, (3.68, y), (4.07, y))
    arrow(axis, (0.8, 2.67), (0.8, 1.33))
    axis.text(0.92, 2.0, "the same record", ha="left", va="center", fontsize=8)
    kl = "MKD, each class a yes or no:\n$T^2$ KL(σ($z_T$ / T) || σ($z_S$ / T))"
    box(axis, 6.75, 2.6, kl, LOSS, 2.35, 0.85)
    box(axis, 6.75, 0.9, "labels:\nbinary cross-entropy", LOSS, 2.35, 0.7)
    box(axis, 8.75, 1.75, "α MKD +\n(1 - α) labels\nmoves the\nstudent only", LOSS, 1.15, 1.15)
    axis.text(6.75, 3.45, "as published σ(z) / T\nin place of σ(z / T)", **NOTE)
    for start, end in (
        ((5.13, 3.05), (5.54, 2.75)),
        ((5.13, 1.1), (5.54, 2.4)),
        ((5.13, 0.9), (5.54, 0.9)),
        ((7.96, 2.5), (8.27, 2.37)),
        ((7.96, 0.98), (8.27, 1.13)),
    ):
        arrow(axis, start, end)
    colours = (INPUT, ERROR, OUTPUT)
    for shift, colour, (name, values) in zip(np.linspace(-0.22, 0.22, len(found)), colours, found.items(), strict=True):
        places = np.arange(len(SUPERCLASSES)) + shift
        for row in values:
            axes[1].plot(places, row, "o", color=colour, alpha=0.4, markersize=4)
        axes[1].plot(places, values.mean(axis=0), "D", color=colour, markersize=6, label=name)
    axes[1].set_xticks(range(len(SUPERCLASSES)), SUPERCLASSES)
    axes[1].set_ylabel("test AUC (points: seeds, diamonds: means)")
    figure.legend(fontsize=8, loc="outside lower right", ncols=3)
    return figure
