"""The reports' diagrams drawn by code, with shapes taken from the networks.

R1 figures 1 to 5, R2 figures 1 to 3, R3 figures 10 and 20.
"""

from typing import Any

import matplotlib.pyplot as plt
from matplotlib.axes import Axes
from matplotlib.figure import Figure
from matplotlib.patches import FancyBboxPatch

NOTE: dict[str, Any] = {"ha": "center", "va": "center", "fontsize": 8}
DATA, LEARNED, FROZEN, LOSS = "#eef3f8", "#cfe2f3", "#e4e4e4", "#fbe3d6"


def canvas(width: float, height: float) -> tuple[Figure, Axes]:
    """A figure of a size in inches, with one blank axis."""
    figure, axis = plt.subplots(figsize=(width, height))
    blank(axis, width, height)
    return figure, axis


def blank(axis: Axes, width: float, height: float) -> None:
    """Hide an axis and let its coordinates run from 0 to width and height."""
    axis.set(xlim=(-0.05, width + 0.05), ylim=(-0.3, height))
    axis.axis("off")


def box(axis: Axes, x: float, y: float, text: str, colour: str, width: float = 1.5, height: float = 0.8) -> None:
    """A rounded box with text, centred on (x, y)."""
    patch = FancyBboxPatch(
        (x - width / 2, y - height / 2), width, height, boxstyle="round,pad=0.03", facecolor=colour, edgecolor="#555555"
    )
    axis.add_patch(patch)
    axis.text(x, y, text, ha="center", va="center", fontsize=8.5)


def arrow(axis: Axes, start: tuple[float, float], end: tuple[float, float], text: str = "", bend: float = 0) -> None:
    """An arrow with text above its middle."""
    style = {"arrowstyle": "-|>", "color": "#333333", "shrinkA": 0, "shrinkB": 0, "connectionstyle": f"arc3,rad={bend}"}
    axis.annotate("", xy=end, xytext=start, arrowprops=style)
    if text:
        axis.text((start[0] + end[0]) / 2, (start[1] + end[1]) / 2 + 0.12, text, ha="center", va="bottom", fontsize=8)
