"""The look of every figure: one palette, units on every axis, PNG at a size that a notebook and a README can show."""

from pathlib import Path

import matplotlib as mpl
import matplotlib.pyplot as plt
import seaborn as sns
from matplotlib.axis import Axis
from matplotlib.figure import Figure
from matplotlib.ticker import FormatStrFormatter, LogLocator, NullFormatter

from ecglib.core.files import atomic_path
from ecglib.data.mitbih import BEFORE, FS, WINDOW

DPI = 110
# Okabe and Ito's palette: readable with every kind of colour vision.
CLASS_COLOURS = {"N": "#0072B2", "S": "#E69F00", "V": "#D55E00", "F": "#CC79A7", "Q": "#555555"}
RULE_COLOURS = {"as_coded": "#D55E00", "corrected": "#0072B2"}
RULE_NAMES = {"as_coded": "as coded", "corrected": "corrected"}
INPUT, OUTPUT, ERROR, REPORT = "#333333", "#0072B2", "#D55E00", "#000000"

# The annotation is at tick 139 of the window (one-based in R1's program), 0 ms here.
BEAT_MS = [1000 * (tick - (BEFORE - 1)) / FS for tick in range(WINDOW)]


def use_style() -> None:
    """Set the style for all figures of a notebook."""
    sns.set_theme(context="notebook", style="whitegrid", font_scale=0.85)
    mpl.rcParams.update(
        {"figure.dpi": DPI, "savefig.dpi": DPI, "axes.titlesize": 11, "figure.constrained_layout.use": True}
    )


def save(figure: Figure, path: Path) -> Figure:
    """Write a figure as PNG, without metadata that differ on every run, and return it, for a notebook cell to show."""
    with atomic_path(path) as temporary:
        figure.savefig(temporary, format="png", dpi=DPI, bbox_inches="tight", metadata={"Software": None})
    plt.close(figure)  # else a notebook shows it twice: as the cell's value and as an open figure
    return figure


def plain_log(axis: Axis) -> None:
    """Label a logarithmic axis 0.01, 0.02, 0.05, ... instead of crowded powers."""
    axis.set_major_locator(LogLocator(subs=(1, 2, 5)))
    axis.set_major_formatter(FormatStrFormatter("%g"))
    axis.set_minor_formatter(NullFormatter())
