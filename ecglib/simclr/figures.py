"""Figures of notebook 04: views, similarities within a batch and within patients, embeddings, detectors.

Everywhere: the keys of a mapping are titles of panels, unless a function says otherwise.
"""

from collections.abc import Mapping, Sequence
from itertools import cycle

import matplotlib.pyplot as plt
import numpy as np
from matplotlib.figure import Figure

from ecglib.data.mitbih import CLASSES
from ecglib.show.style import BEAT_MS, CLASS_COLOURS, ERROR, INPUT, OUTPUT, REPORT

LEAD_GAP = 2.4  # scaled leads span 2, so leads drawn one below the other do not touch
PAIRS = {"two views of one beat": "#009E73", "beats of one patient": ERROR, "beats of different patients": OUTPUT}


def views(x: np.ndarray, changed: Mapping[str, np.ndarray]) -> Figure:
    """A scaled beat x (320,) and below it two views (2, 320) of each augmentation, which belong together.

    The beat stands behind each view, so that one sees what the augmentation changed.
    """
    columns = -(-len(changed) // 2)
    figure, axes = plt.subplots(2, columns, figsize=(2.4 * columns, 5.4), sharex=True, sharey=True)
    for axis, (name, pair) in zip(axes.flat, changed.items(), strict=False):
        for row, (beat, colour) in enumerate(((x, INPUT), (pair[0], OUTPUT), (pair[1], OUTPUT))):
            if row:
                axis.plot(BEAT_MS, x - LEAD_GAP * row, color="#BBBBBB", linewidth=2.5)
            axis.plot(BEAT_MS, beat - LEAD_GAP * row, color=colour, linewidth=1.0)
        axis.set_title(name, fontsize=9.5)
        axis.set_yticks([0, -LEAD_GAP, -2 * LEAD_GAP], ["the beat", "a view", "another"])
    for axis in axes.flat[len(changed) - columns : len(changed)]:
        axis.set_xlabel("ms from annotation")
        axis.tick_params(labelbottom=True)
    for axis in axes.flat[len(changed) :]:
        axis.axis("off")
    return figure


def similarity_matrices(matrices: Mapping[str, np.ndarray]) -> Figure:
    """Cosine of every pair of 2N views, (2N, 2N): first all views i, then all views j. One scale for all matrices.

    The positive pairs form two diagonals.
    """
    figure, axes = plt.subplots(1, len(matrices), figsize=(4.6 * len(matrices) + 0.8, 4), squeeze=False)
    lowest = min(float(matrix.min()) for matrix in matrices.values())
    for axis, (title, matrix) in zip(axes[0], matrices.items(), strict=True):
        n = len(matrix) // 2
        image = axis.imshow(matrix, cmap="viridis", vmin=lowest, vmax=1)
        middles = [(n - 1) / 2, (3 * n - 1) / 2]
        axis.set_xticks(middles, [f"views i of {n} beats", f"views j of {n} beats"])
        axis.set_yticks(middles, ["views i", "views j"], rotation=90, va="center")
        axis.set_title(title)
        axis.grid(False)
        axis.axhline(n - 0.5, color="white", linewidth=1)
        axis.axvline(n - 0.5, color="white", linewidth=1)
    figure.colorbar(image, ax=axes, label="cosine similarity", shrink=0.85)
    return figure


def pair_similarities(spaces: Mapping[str, Mapping[str, np.ndarray]]) -> Figure:
    """Histograms of the cosines of pairs of normal beats, for each kind of pair (a key of `PAIRS`).

    "beats of one patient" are the false negatives of contrast.
    """
    figure, axes = plt.subplots(1, len(spaces), figsize=(4 * len(spaces), 3.2), squeeze=False, sharex=True)
    low = min(np.quantile(values, 0.01) for kinds in spaces.values() for values in kinds.values())
    bins = np.linspace(low, 1, 50).tolist()
    for axis, (title, kinds) in zip(axes[0], spaces.items(), strict=True):
        for kind, values in kinds.items():
            weights = np.full(len(values), 100 / len(values))
            axis.hist(values, bins=bins, weights=weights, histtype="step", linewidth=1.6, color=PAIRS[kind], label=kind)
        axis.set(title=title, xlabel="cosine similarity")
    axes[0, 0].set_ylabel("share of pairs (%)")
    figure.legend(*axes[0, 0].get_legend_handles_labels(), fontsize=8, loc="outside lower center", ncols=3)
    return figure


def embeddings(maps: Mapping[str, np.ndarray], labels: np.ndarray) -> Figure:
    """Beats in two dimensions (N, 2), coloured by class; two panels in a row. Labels decide only the colour."""
    rows = -(-len(maps) // 2)
    figure, axes = plt.subplots(rows, 2, figsize=(10, 4 * rows + 0.3), squeeze=False)
    for axis, (title, points) in zip(axes.flat, maps.items(), strict=True):
        for name in CLASSES:  # N first, so that the few abnormal beats are drawn above it
            chosen = points[labels == name]
            axis.scatter(*chosen.T, s=8, color=CLASS_COLOURS[name], alpha=0.35 if name == "N" else 0.7, linewidths=0)
        axis.set(title=title, xticks=[], yticks=[])
    for name in CLASSES:
        count = int((labels == name).sum())
        if count:
            axes[0, 0].scatter([], [], s=25, color=CLASS_COLOURS[name], label=f"{name} ({count:,})")
    figure.legend(fontsize=8, loc="outside lower center", ncols=len(CLASSES))
    return figure


MARKERS = {"S": "o", "V": "^", "F": "s", "Q": "v"}  # as well as colours, because points lie on each other


def detector_ladder(
    found: Mapping[str, Mapping[str, Sequence[float]]], published: Mapping[str, float], title: str
) -> Figure:
    """Mean test AUC of each detector: for all abnormal beats (diamonds, a bar a run) and for each class against N.

    `found` maps a detector to "all" or a class, and that to the AUC of each run (`tables.seed_aucs`). The number of
    runs is written beside the detector's name unless it is 1. `published` AUCs, for all abnormal beats, are lines. The
    scale begins at 0.25 or below, so that two of these figures compare.
    """
    figure, axis = plt.subplots(figsize=(10, 0.36 * len(found) + 1.7))
    groups = [name for name in CLASSES[1:] if all(name in classes for classes in found.values())]
    for position, classes in enumerate(found.values()):
        for group in groups:
            axis.plot(np.mean(classes[group]), position, MARKERS[group], color=CLASS_COLOURS[group], markersize=6)
        axis.plot(classes["all"], [position] * len(classes["all"]), "|", color=INPUT, markersize=9)
        axis.plot(np.mean(classes["all"]), position, "D", color=INPUT, markersize=7)
    for group in groups:
        axis.plot([], [], MARKERS[group], color=CLASS_COLOURS[group], label=f"{group} against N")
    axis.plot([], [], "D", color=INPUT, label="all abnormal beats (bars: runs)")
    for (label, value), style in zip(published.items(), cycle(("-", "--")), strict=False):
        axis.axvline(value, color=REPORT, linestyle=style, linewidth=1, label=f"{label}: {value:.4f}")
    runs = {name: len(classes["all"]) for name, classes in found.items()}
    axis.set_yticks(range(len(found)), [f"{name} ({n} runs)" if n > 1 else name for name, n in runs.items()])
    axis.invert_yaxis()
    axis.axvline(0.5, color=INPUT, linewidth=0.8, linestyle=":", label="guessing")
    axis.set(title=title, xlabel="test AUC", xlim=(min(0.25, axis.get_xlim()[0]), 1.02))
    figure.legend(fontsize=8, loc="outside lower center", ncols=4)
    return figure
