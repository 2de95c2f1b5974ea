"""Figures of notebook 04: views, similarities within a batch and within patients, embeddings, detectors.

Everywhere: the keys of a mapping are titles of panels, unless a function says otherwise.
"""

from collections.abc import Mapping, Sequence

import matplotlib.pyplot as plt
import numpy as np
from matplotlib.figure import Figure

from ecglib.data.mitbih import CLASSES
from ecglib.show.style import BEAT_MS, CLASS_COLOURS, ERROR, INPUT, OUTPUT, REPORT
from ecglib.stats.metrics import mean_interval

LEAD_GAP = 2.4  # scaled leads span 2, so leads drawn one below the other do not touch
PAIRS = {"two views of one beat": "#009E73", "beats of one patient": ERROR, "beats of different patients": OUTPUT}


def views(x: np.ndarray, changed: Mapping[str, np.ndarray]) -> Figure:
    """A scaled beat x (C, 320) over some draws (draws, C, 320) of each augmentation."""
    columns = -(-len(changed) // 2)
    figure, axes = plt.subplots(2, columns, figsize=(2.4 * columns, 2.1 * len(x) + 1.2), sharex=True, sharey=True)
    for axis, (name, draws) in zip(axes.flat, changed.items(), strict=False):
        for lead, beat in enumerate(x):
            shift = -LEAD_GAP * lead
            for draw in draws:
                axis.plot(BEAT_MS, draw[lead] + shift, color=OUTPUT, linewidth=1, alpha=0.6)
            axis.plot(BEAT_MS, beat + shift, color=INPUT, linewidth=0.8)
        axis.set_title(name, fontsize=9.5)
        axis.set_yticks([-LEAD_GAP * lead for lead in range(len(x))], [f"lead {lead + 1}" for lead in range(len(x))])
    for axis in axes[-1]:
        axis.set_xlabel("ms from annotation")
    for axis in axes.flat[len(changed) :]:
        axis.axis("off")
    axes.flat[0].plot([], [], color=INPUT, linewidth=0.8, label="beat")
    axes.flat[0].plot([], [], color=OUTPUT, linewidth=1, label=f"{len(draws)} draws")
    axes.flat[0].legend(fontsize=7, loc="upper right")
    return figure


def similarity_matrices(matrices: Mapping[str, np.ndarray]) -> Figure:
    """Cosine of every pair of 2N views, (2N, 2N): first all views i, then all views j.

    The positive pairs form two diagonals.
    """
    figure, axes = plt.subplots(1, len(matrices), figsize=(5 * len(matrices), 4), squeeze=False)
    for axis, (title, matrix) in zip(axes[0], matrices.items(), strict=True):
        n = len(matrix) // 2
        image = axis.imshow(matrix, cmap="viridis", vmax=1)  # the scale starts at the matrix's own minimum
        middles = [(n - 1) / 2, (3 * n - 1) / 2]
        axis.set_xticks(middles, [f"views i of {n} beats", f"views j of {n} beats"])
        axis.set_yticks(middles, ["views i", "views j"], rotation=90, va="center")
        axis.set_title(title)
        axis.grid(False)
        axis.axhline(n - 0.5, color="white", linewidth=1)
        axis.axvline(n - 0.5, color="white", linewidth=1)
        figure.colorbar(image, ax=axis, label="cosine similarity", shrink=0.85)
    return figure


def pair_similarities(spaces: Mapping[str, Mapping[str, np.ndarray]]) -> Figure:
    """Histograms of the cosines of pairs of normal beats, for each kind of pair (a key of `PAIRS`).

    "beats of one patient" are the false negatives of contrast.
    """
    figure, axes = plt.subplots(1, len(spaces), figsize=(4 * len(spaces), 3.2), squeeze=False)
    for axis, (title, kinds) in zip(axes[0], spaces.items(), strict=True):
        low = min(np.quantile(values, 0.002) for values in kinds.values())
        bins = np.linspace(low, 1, 50).tolist()
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


def detector_ladder(
    found: Mapping[str, Mapping[str, Sequence[float]]], published: Mapping[str, float], title: str
) -> Figure:
    """Test AUC of each detector for all abnormal beats and for each class against N: runs as points, means as diamonds.

    `found` maps a detector to "all" or a class, and that to the AUC of each run (`tables.seed_aucs`). The number of
    runs is written beside the detector's name unless it is 1. `published` AUCs are lines in the first panel.
    """
    groups = ["all", *[name for name in CLASSES[1:] if all(name in classes for classes in found.values())]]
    figure, axes = plt.subplots(
        1, len(groups), figsize=(11, 0.36 * len(found) + 1.7), sharey=True, width_ratios=[1.7] + [1] * (len(groups) - 1)
    )
    for axis, group in zip(axes, groups, strict=True):
        for position, classes in enumerate(found.values()):
            colour = CLASS_COLOURS.get(group, INPUT)
            values = np.asarray(classes[group])
            axis.plot(values, [position] * len(values), "o", color=colour, alpha=0.4, markersize=4)
            axis.plot(mean_interval(values).value, position, "D", color=colour, markersize=6)
        axis.locator_params(axis="x", nbins=6 if axis is axes[0] else 3)  # the first panel is wider
        axis.set(title="all abnormal beats" if group == "all" else f"{group} against N", xlabel="test AUC")
    for (label, value), style in zip(published.items(), ("-", "--"), strict=False):
        axes[0].axvline(value, color=REPORT, linestyle=style, linewidth=1, label=f"{label}: {value:.4f}")
    runs = {name: len(classes["all"]) for name, classes in found.items()}
    axes[0].set_yticks(range(len(found)), [f"{name} ({n} runs)" if n > 1 else name for name, n in runs.items()])
    axes[0].invert_yaxis()
    figure.suptitle(title, fontsize=11)
    if published:
        figure.legend(fontsize=8, loc="outside lower center", ncols=2)
    return figure
