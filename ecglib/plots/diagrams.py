"""The reports' diagrams drawn by code, with shapes taken from the networks.

R1 figures 1 to 5, R2 figures 1 to 3, R3 figures 10 and 20.
"""

from collections.abc import Mapping
from typing import Any

import matplotlib.pyplot as plt
import numpy as np
from matplotlib.axes import Axes
from matplotlib.figure import Figure
from matplotlib.patches import FancyBboxPatch

from ecglib.data.ptbxl import SUPERCLASSES
from ecglib.plots.style import ERROR, INPUT, OUTPUT

_NOTE: dict[str, Any] = {"ha": "center", "va": "center", "fontsize": 8}
DATA, LEARNED, FROZEN, LOSS = "#eef3f8", "#cfe2f3", "#e4e4e4", "#fbe3d6"


def _canvas(width: float, height: float) -> tuple[Figure, Axes]:
    figure, axis = plt.subplots(figsize=(width, height))
    _blank(axis, width, height)
    return figure, axis


def _blank(axis: Axes, width: float, height: float) -> None:
    axis.set(xlim=(-0.05, width + 0.05), ylim=(-0.3, height))
    axis.axis("off")


def _box(axis: Axes, x: float, y: float, text: str, colour: str, width: float = 1.5, height: float = 0.8) -> None:
    patch = FancyBboxPatch(
        (x - width / 2, y - height / 2), width, height, boxstyle="round,pad=0.03", facecolor=colour, edgecolor="#555555"
    )
    axis.add_patch(patch)
    axis.text(x, y, text, ha="center", va="center", fontsize=8.5)


def _arrow(axis: Axes, start: tuple[float, float], end: tuple[float, float], text: str = "", bend: float = 0) -> None:
    style = {"arrowstyle": "-|>", "color": "#333333", "shrinkA": 0, "shrinkB": 0, "connectionstyle": f"arc3,rad={bend}"}
    axis.annotate("", xy=end, xytext=start, arrowprops=style)
    if text:
        axis.text((start[0] + end[0]) / 2, (start[1] + end[1]) / 2 + 0.12, text, ha="center", va="bottom", fontsize=8)


def beatgan_diagram(parameters: dict[str, int]) -> Figure:
    """Figure 1: the autoencoder G, the discriminator D and the two terms of equation 1.

    Args:
        parameters: of "generator" and "discriminator".
    """
    figure, axis = _canvas(11, 3.6)
    _box(axis, 0.9, 2.6, "beat x\n(1, 320)", DATA, 1.2)
    _box(axis, 2.9, 2.6, "encoder $G_E$\n6 convolutions", LEARNED)
    _box(axis, 4.7, 2.6, "z\n(50, 1)", DATA, 0.9)
    _box(axis, 6.5, 2.6, "decoder $G_D$\n6 transposed convs", LEARNED, 1.7)
    _box(axis, 8.5, 2.6, "x'\n(1, 320)", DATA, 1.1)
    _box(axis, 4.7, 0.8, "discriminator D\nfeatures $f_D$ (512, 10)", LEARNED, 2.2)
    _box(axis, 7.7, 0.8, "real or reconstructed?\nBCE", LOSS, 1.9)
    _box(axis, 10.1, 1.7, "$L_G$: MSE(x', x)\n+ λ MSE($f_D$(x'), $f_D$(x))", LOSS, 1.75, 0.9)
    for start, end in (
        ((1.5, 2.6), (2.12, 2.6)),
        ((3.68, 2.6), (4.22, 2.6)),
        ((5.18, 2.6), (5.62, 2.6)),
        ((7.38, 2.6), (7.92, 2.6)),
    ):
        _arrow(axis, start, end)
    _arrow(axis, (0.9, 2.17), (3.57, 0.9), bend=0.2)
    _arrow(axis, (8.5, 2.17), (5.83, 1.05), bend=-0.1)
    _arrow(axis, (5.83, 0.8), (6.72, 0.8))
    _arrow(axis, (9.08, 2.6), (10.1, 2.18), bend=-0.2)
    _arrow(axis, (5.4, 0.37), (10.1, 1.22), bend=0.34)
    axis.set_title(
        f"BeatGAN: generator {parameters['generator']:,} parameters, discriminator {parameters['discriminator']:,}",
        fontsize=11,
    )
    return figure


def layer_diagram(decoder: list[tuple[str, str]], encoder: list[tuple[str, str]]) -> Figure:
    """Figures 2 and 3: decoder and encoder layer by layer.

    Args:
        decoder: (layer, shape of what comes out) of each step, as `layer_shapes` reads them off the network.
        encoder: likewise.
    """
    steps = max(len(decoder), len(encoder))
    figure, axis = _canvas(1.62 * steps + 0.2, 3.4)
    for y, title, chain in ((2.35, "encoder $G_E$ (figure 3)", encoder), (0.75, "decoder $G_D$ (figure 2)", decoder)):
        axis.text(0.1, y + 0.72, title, fontsize=10, va="center", weight="bold")
        for position, (layer, shape) in enumerate(chain):
            x = 0.85 + 1.62 * position
            _box(axis, x, y, f"{layer}\n{shape}", DATA if position == 0 else LEARNED, 1.32, 1.0)
            if position:
                _arrow(axis, (x - 0.93, y), (x - 0.7, y))
    return figure


def loss_diagram() -> Figure:
    """Figure 4: the three terms of the student's loss, and what each compares (equations 1 to 3)."""
    figure, axis = _canvas(11, 3.7)
    _box(axis, 1.1, 2.9, "beat x", DATA, 1.5)
    _box(axis, 1.1, 1.7, "x' of the student", DATA, 1.5)
    _box(axis, 1.1, 0.5, "x' of the teacher", FROZEN, 1.5)
    _box(axis, 4.6, 3.0, "reconstruction\nMSE(x', x)", LOSS, 2.4, 0.75)
    _box(axis, 4.6, 1.75, "feature matching by D\nMSE($f_D$(x'), $f_D$(x))", LOSS, 2.4, 0.75)
    _box(axis, 4.6, 0.5, "distillation $L_{KD}$ (equation 2)\nKL of softmax(scores / T)", LOSS, 2.4, 0.75)
    _box(axis, 7.9, 2.4, "$L_G$ (equation 1)", LOSS, 1.6, 0.7)
    _box(axis, 10.1, 1.6, "L = $L_G$ + $L_{KD}$\n(equation 3)", LOSS, 1.45, 0.9)
    for start, end in (
        ((1.88, 2.95), (3.37, 3.05)),
        ((1.88, 2.8), (3.37, 1.95)),
        ((1.88, 1.85), (3.37, 2.85)),
        ((1.88, 1.7), (3.37, 1.75)),
        ((1.88, 1.5), (3.37, 0.65)),
        ((1.88, 0.45), (3.37, 0.45)),
        ((5.83, 2.95), (7.07, 2.5)),
        ((5.83, 1.8), (7.07, 2.3)),
        ((8.73, 2.3), (9.34, 1.85)),
    ):
        _arrow(axis, start, end)
    _arrow(axis, (5.83, 0.5), (9.34, 1.3), "in R1's program a constant: no gradient", bend=0.12)
    return figure


def distillation_diagram() -> Figure:
    """Figure 5: a trained and frozen BeatGAN teaches a second one, which has a discriminator of its own."""
    figure, axis = _canvas(11, 4)
    _box(axis, 0.9, 2.0, "beat x", DATA, 1.1)
    _box(axis, 3, 3.2, "teacher G\n(trained, frozen)", FROZEN, 1.8)
    _box(axis, 3, 1.6, "student G", LEARNED, 1.8)
    _box(axis, 5.2, 3.2, "x' of the teacher", FROZEN)
    _box(axis, 5.2, 1.6, "x' of the student", DATA)
    _box(axis, 5.2, 0.3, "student's D", LEARNED)
    _box(axis, 7.6, 3.2, "$L_{KD}$: KL of softmax(scores / T)", LOSS, 2.5, 0.6)
    _box(axis, 7.6, 1.6, "MSE(x', x)", LOSS, 2.5, 0.6)
    _box(axis, 7.6, 0.3, "feature matching", LOSS, 2.5, 0.6)
    _box(axis, 10.2, 1.9, "L = $L_G$ + $L_{KD}$\nmoves the\nstudent G only", LOSS, 1.35, 1.1)
    for start, end in (
        ((1.48, 2.2), (2.07, 3.0)),
        ((1.48, 1.85), (2.07, 1.65)),
        ((3.93, 3.2), (4.42, 3.2)),
        ((3.93, 1.6), (4.42, 1.6)),
        ((5.98, 3.2), (6.32, 3.2)),
        ((5.98, 1.85), (6.32, 2.85)),
        ((5.98, 1.6), (6.32, 1.6)),
        ((5.2, 1.17), (5.2, 0.73)),
        ((5.98, 0.3), (6.32, 0.3)),
        ((8.88, 3.1), (9.5, 2.3)),
        ((8.88, 1.65), (9.49, 1.85)),
        ((8.88, 0.45), (9.5, 1.4)),
    ):
        _arrow(axis, start, end)
    _arrow(axis, (0.9, 1.57), (4.42, 0.25), bend=0.2)
    return figure


def simclr_diagram(sizes: dict[str, tuple[int, ...]]) -> Figure:
    """R2 figure 3: two views of one beat, base encoder f, projection head g, and the contrast of what comes out.

    Args:
        sizes: shapes of "x", "h" and "z" without the batch, as the networks give them.
    """
    figure, axis = _canvas(11, 3.2)
    shape = {name: f"({', '.join(str(side) for side in size)})" for name, size in sizes.items()}
    _box(axis, 0.8, 1.45, f"beat x\n{shape['x']}", DATA, 1.1)
    for y, view in ((2.35, "i"), (0.55, "j")):
        _box(axis, 3.1, y, f"view $x_{view}$\n{shape['x']}", DATA, 1.3)
        _box(axis, 5.0, y, f"$h_{view}$ {shape['h']}", DATA, 1.25, 0.6)
        _box(axis, 7.0, y, f"$z_{view}$ {shape['z']}", DATA, 1.25, 0.6)
        side = 1 if y > 1.45 else -1
        _arrow(axis, (1.38, 1.45 + 0.2 * side), (2.42, y - 0.1 * side))
        _arrow(axis, (3.78, y), (4.35, y), "f")
        _arrow(axis, (5.66, y), (6.35, y), "g")
        _arrow(axis, (7.66, y - 0.1 * side), (8.33, 1.45 + 0.25 * side))
    axis.text(2.05, 1.45, "random\naugmentations", **_NOTE)
    axis.text(5.0, 1.45, "the same base encoder f\nand projection head g\nfor both views", **_NOTE)
    _box(axis, 9.4, 1.45, "NT-Xent: $z_i$ and $z_j$ alike,\nboth unlike the views\nof all other beats", LOSS, 2.05, 1.1)
    return figure


def scenario_diagram() -> Figure:
    """Where R2 puts contrast into figure 2's network: into D (scenario 1), into the loss of G (scenario 2)."""
    figure, axis = _canvas(11, 4.3)
    _box(axis, 0.9, 2.1, "beat x", DATA, 1.1)
    _box(axis, 0.9, 3.6, "two views\nof x", DATA, 1.1)
    _box(axis, 0.9, 0.6, "two views\nof x", DATA, 1.1)
    _box(axis, 3.1, 2.8, "student $G_E$", LEARNED, 1.3, 0.7)
    _box(axis, 4.7, 2.8, "z", DATA, 0.6, 0.6)
    _box(axis, 6.1, 2.8, "student $G_D$", LEARNED, 1.3, 0.7)
    _box(axis, 4.4, 1.4, "student's D: features $f_D$", LEARNED, 2.2, 0.7)
    _box(axis, 8.6, 2.75, "L = $L_G$ + $L_{KD}$", LOSS, 2.1, 0.6)
    _box(axis, 8.6, 1.45, "BCE: real or reconstructed?", LOSS, 2.1, 0.6)
    _box(axis, 8.6, 3.9, "scenario 2:  + γ NT-Xent(g(z))", "#d9ead3", 2.6, 0.6)
    _box(axis, 8.6, 0.3, "scenario 1:  + γ NT-Xent(g($f_D$))", "#d9ead3", 2.6, 0.6)
    for start, end in (
        ((1.48, 2.25), (2.42, 2.65)),
        ((3.78, 2.8), (4.37, 2.8)),
        ((5.03, 2.8), (5.42, 2.8)),
        ((6.78, 2.8), (7.52, 2.77)),
        ((1.48, 1.95), (3.27, 1.5)),
        ((5.53, 1.4), (7.52, 1.45)),
    ):
        _arrow(axis, start, end)
    _arrow(axis, (1.48, 3.6), (2.6, 3.18), bend=-0.15)
    _arrow(axis, (4.75, 3.13), (7.27, 3.9), bend=-0.15)
    _arrow(axis, (1.48, 0.6), (3.6, 1.02), bend=0.15)
    _arrow(axis, (5.0, 1.02), (7.27, 0.3), bend=0.15)
    _arrow(axis, (6.1, 2.42), (5.4, 1.78), bend=0.1)
    axis.text(6.1, 2.02, "x'", fontsize=8.5, ha="center")
    return figure


COARSE = 3  # bits of the drawing: eight would show 255 levels as one line


def quantisation_diagram() -> Figure:
    """R3 figure 10 in our own way: what becomes of a weight when it is an integer, and what that costs.

    Left: weights and the few integers that stand for them. Right: what comes back, with three bits and with eight, and
    with a range that was measured on the wrong records.
    """
    figure, axes = plt.subplots(1, 2, figsize=(11, 3.9), width_ratios=(1.25, 1))
    weights = np.array([-0.98, -0.71, -0.56, -0.37, -0.21, -0.08, 0.04, 0.17, 0.29, 0.45, 0.62, 0.83])
    top = 2 ** (COARSE - 1) - 1
    scale = float(np.abs(weights).max()) / top
    _blank(axes[0], 2.3, 3)
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
    """Values (N,) through signed integers of `bits` bits and back; what is larger than `reach` is cut off."""
    top = 2 ** (bits - 1) - 1
    return np.clip(np.round(values * top / reach), -top, top) * reach / top


def quantisation_error(bits: int) -> float:
    """The largest error of a number within the range, as a part of the largest number: half a step."""
    return 0.5 / (2 ** (bits - 1) - 1)


def mkd_diagram(found: Mapping[str, np.ndarray]) -> Figure:
    """R3 figure 20 in our own way: a 12-lead teacher, a student with lead I (MVKT-ECG), and what the student knows.

    R3 prints the AUC that the authors of MVKT-ECG published; here it is what was measured in this notebook.

    Args:
        found: name -> (seeds, 5) test AUC of each class, columns in the order of `SUPERCLASSES`.
    """
    figure, axes = plt.subplots(1, 2, figsize=(13, 4.0), width_ratios=(2.1, 1))
    axis = axes[0]
    _blank(axis, 9.4, 4.0)
    for y, lead, network, colour, z in (
        (3.1, "12 leads\n(12, 1000)", "teacher\n(trained, frozen)", FROZEN, "T"),
        (0.9, "lead I of it\n(1, 1000)", "student", LEARNED, "S"),
    ):
        _box(axis, 0.8, y, lead, DATA, 1.25)
        _box(axis, 2.85, y, network, colour, 1.6)
        _box(axis, 4.6, y, f"5 logits\n$z_{z}$", DATA, 1.0)
        _arrow(axis, (1.46, y), (2.02, y))
        _arrow(axis, (3.68, y), (4.07, y))
    _arrow(axis, (0.8, 2.67), (0.8, 1.33))
    axis.text(0.92, 2.0, "the same record", ha="left", va="center", fontsize=8)
    kl = "MKD, each class a yes or no:\n$T^2$ KL(σ($z_T$ / T) || σ($z_S$ / T))"
    _box(axis, 6.75, 2.6, kl, LOSS, 2.35, 0.85)
    _box(axis, 6.75, 0.9, "labels:\nbinary cross-entropy", LOSS, 2.35, 0.7)
    _box(axis, 8.75, 1.75, "α MKD +\n(1 - α) labels\nmoves the\nstudent only", LOSS, 1.15, 1.15)
    axis.text(6.75, 3.45, "as published σ(z) / T\nin place of σ(z / T)", **_NOTE)
    for start, end in (
        ((5.13, 3.05), (5.54, 2.75)),
        ((5.13, 1.1), (5.54, 2.4)),
        ((5.13, 0.9), (5.54, 0.9)),
        ((7.96, 2.5), (8.27, 2.37)),
        ((7.96, 0.98), (8.27, 1.13)),
    ):
        _arrow(axis, start, end)
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
