"""The figures of notebook 04 about new patients."""

from collections.abc import Mapping

import matplotlib.pyplot as plt
import numpy as np
from matplotlib.figure import Figure

from ecglib.data.mitbih import Beats
from ecglib.detection.own_record import P_WAVE, QRS_COMPLEX, QUESTIONS, template_of
from ecglib.show.style import BEAT_MS, CLASS_COLOURS, INPUT, OUTPUT


def three_questions(beats: Beats, shown: Mapping[str, int], higher: np.ndarray) -> Figure:
    """Beats beside the usual beat of their record, and what the three questions say of each.

    The windows of P wave and QRS complex, which overlap, are strips at the bottom.

    `shown` maps a title to a position among the beats. `higher` (N, 3) is the share of other people's normal beats that
    are at least as far from usual.
    """
    figure, axes = plt.subplots(1, len(shown), figsize=(3.4 * len(shown), 3.6), sharey=True, squeeze=False)
    for axis, (title, position) in zip(axes[0], shown.items(), strict=True):
        usual = template_of(beats, position)
        for window, colour, name, low in (
            (P_WAVE, "#56B4E9", "P wave", 0.01),
            (QRS_COMPLEX, "#009E73", "QRS complex", 0.05),
        ):
            ends = BEAT_MS[window.start], BEAT_MS[window.stop - 1]
            axis.axvspan(*ends, ymin=low, ymax=low + 0.03, color=colour, label=f"window of the {name}")
        colour = CLASS_COLOURS[str(beats.labels[position])]
        axis.plot(BEAT_MS, usual[0], color=INPUT, linewidth=1, label="usual beat of the record")
        axis.plot(
            BEAT_MS, beats.signals[position, 0], color=colour, linewidth=1.6, label="this beat, in its class's colour"
        )
        lines = [
            f"{name}: {'less than 0.1 %' if share < 0.001 else f'{100 * share:.1f} %'}"
            for name, share in zip(QUESTIONS, higher[position], strict=True)
        ]
        axis.set_title(f"{title}\n" + "\n".join(lines), fontsize=8.5, loc="left")
        axis.set_xlabel("ms from annotation")
    axes[0, 0].set_ylabel("lead 1, mV")
    figure.suptitle("How many of other people's normal beats are as far from their usual beat?", fontsize=10)
    handles, names = axes[0, 0].get_legend_handles_labels()
    figure.legend(handles, names, loc="outside lower center", ncols=4, fontsize=8)
    return figure


def records(found: Mapping[str, Mapping[str, float]], counts: Mapping[str, str]) -> Figure:
    """The AUC within each record: detector -> record -> AUC; `counts` says what a record has.

    The records stand in the order of the first detector's AUC. There are at most three detectors.
    """
    first = next(iter(found.values()))
    order = sorted(first, key=lambda name: first[name])
    figure, axis = plt.subplots(figsize=(7.5, 0.28 * len(order) + 1.2))
    looks = (("o", OUTPUT), ("s", "#999999"), ("^", "#E69F00"))
    for n, (detector, (marker, colour)) in enumerate(zip(found, looks[: len(found)], strict=True)):
        values = [found[detector][name] for name in order]
        axis.scatter(values, range(len(order)), s=34 if n == 0 else 20, marker=marker, color=colour, label=detector)
    axis.axvline(0.5, color=INPUT, linewidth=0.8, linestyle=":")
    axis.set_yticks(range(len(order)), [f"{name}: {counts[name]}" for name in order])
    axis.set_xlabel("AUC within the record")
    figure.legend(fontsize=8, loc="outside upper center", ncols=len(found))
    return figure
