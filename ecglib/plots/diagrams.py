"""The reports' diagrams drawn by code, with shapes taken from the networks (R1 figures 1 to 5, R2 figures 1 to 3)."""

from typing import Any

import matplotlib.pyplot as plt
from matplotlib.axes import Axes
from matplotlib.figure import Figure
from matplotlib.patches import FancyBboxPatch

_NOTE: dict[str, Any] = {"ha": "center", "va": "center", "fontsize": 8}
DATA, LEARNED, FROZEN, LOSS = "#eef3f8", "#cfe2f3", "#e4e4e4", "#fbe3d6"


def _canvas(width: float, height: float) -> tuple[Figure, Axes]:
    figure, axis = plt.subplots(figsize=(width, height))
    axis.set(xlim=(-0.05, width + 0.05), ylim=(-0.3, height))
    axis.axis("off")
    return figure, axis


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
