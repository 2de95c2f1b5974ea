"""Figures of notebook 01 for whoever sees an ECG for the first time: waves, leads, classes, and one lead swap."""

import itertools
from collections.abc import Mapping, Sequence

import matplotlib.pyplot as plt
import numpy as np
from matplotlib.axes import Axes
from matplotlib.figure import Figure
from matplotlib.ticker import MultipleLocator

from ecglib.core.errors import EcglibError
from ecglib.data.mitbih import BEAT_SYMBOLS, CLASS_OF_SYMBOL, FS, Record
from ecglib.show.style import CLASS_COLOURS, INPUT

# Where the waves of a normal beat lie, in s from its annotation at the R peak: for reading, not for measuring.
WAVES = {"P": (-0.22, -0.06), "QRS": (-0.06, 0.08), "T": (0.14, 0.44)}
WAVE_COLOURS = {"P": "#56B4E9", "QRS": "#F0E442", "T": "#009E73"}
STRIP = 1.7  # s to each side of a beat that is shown with its neighbours
BEAT = (0.25, 0.35)  # s before and after its annotation that are the beat itself
# Angles of the limb leads in the frontal plane, degrees clockwise from the patient's left.
LIMB_LEADS = {"I": 0, "II": 60, "III": 120, "aVR": -150, "aVL": -30, "aVF": 90}
# Chest leads around the heart, seen from below: degrees clockwise from the patient's left.
CHEST_LEADS = {"V1": 115, "V2": 94, "V3": 75, "V4": 60, "V5": 30, "V6": 0}


def first_of(record: Record, kind: str, before: str = "", after: str = "") -> int:
    """The position among the annotations of the first beat of class `kind` with a whole strip around it.

    `before` and `after` are the classes of its neighbours, empty for any.

    Raises:
        EcglibError: there is none.
    """
    classes = np.array([CLASS_OF_SYMBOL.get(symbol, "") for symbol in record.symbols])
    whole = (record.samples > STRIP * FS) & (record.samples < record.signals.shape[1] - STRIP * FS)
    for position in np.flatnonzero((classes == kind) & whole):
        around = classes[position - 1 : position + 2]
        if len(around) == 3 and (not before or around[0] == before) and (not after or around[2] == after):
            return int(position)
    raise EcglibError(f"Record {record.name} has no {kind} beat with such neighbours: choose another record.")


def waves(record: Record) -> Figure:
    """A normal beat and the next: P, QRS complex and T named, and the RR interval between them."""
    position = first_of(record, "N", before="N", after="N")
    here, following = record.samples[position], record.samples[position + 1]
    lead = record.signals[0] - np.median(record.signals[0])
    low, high = here - int(0.5 * FS), following + int(0.6 * FS)
    figure, axis = plt.subplots(figsize=(8, 3.2))
    axis.plot((np.arange(low, high) - here) / FS, lead[low:high], color=INPUT, linewidth=1.3)
    top, bottom = lead[low:high].max(), lead[low:high].min()
    for name, (start, stop) in WAVES.items():
        axis.axvspan(start, stop, color=WAVE_COLOURS[name], alpha=0.3)
        axis.text((start + stop) / 2, bottom - 0.18, name, ha="center", va="top", fontsize=10)
    interval = (following - here) / FS
    axis.annotate(
        "", (interval, top + 0.15), (0, top + 0.15), arrowprops={"arrowstyle": "<->", "color": INPUT, "linewidth": 1}
    )
    label = f"RR interval {interval:.2f} s: {60 / interval:.0f} beats a minute"
    axis.text(interval / 2, top + 0.2, label, ha="center", va="bottom", fontsize=9)
    axis.set(xlabel="s", ylabel=f"{record.leads[0]}, mV", ylim=(bottom - 0.5, top + 0.55))
    _paper(axis)
    return figure


def leads() -> Figure:
    """Where each of the twelve leads looks from: the limb leads from the front, the chest leads from below."""
    figure, axes = plt.subplots(1, 2, figsize=(8, 3.4), subplot_kw={"projection": "polar"})
    for axis, angles, title in (
        (axes[0], LIMB_LEADS, "limb leads, seen from the front"),
        (axes[1], CHEST_LEADS, "chest leads, a cut seen from below"),
    ):
        axis.set(theta_direction=-1, ylim=(0, 1.4), yticks=[], xticks=[])
        axis.set_title(title, fontsize=10)
        axis.plot(0, 0, "o", color="#D55E00", markersize=16)
        for name, degrees in angles.items():
            angle = np.deg2rad(degrees)
            axis.annotate("", (angle, 0.95), (angle, 0.12), arrowprops={"arrowstyle": "->", "color": INPUT})
            axis.text(angle, 1.12, name, ha="center", va="center", fontsize=9)
        axis.spines["polar"].set_color("#cccccc")
    axes[1].text(np.deg2rad(90), 1.6, "breastbone", ha="center", fontsize=8)
    for axis in axes:
        axis.text(0, 1.6, "patient's\nleft", ha="left", va="center", fontsize=8)
    return figure


def neighbours(shown: Mapping[str, tuple[Record, int]]) -> Figure:
    """Beats with their neighbours: a row each, the letter of every beat above it, and the intervals in between.

    `shown` maps the class of the beat in the middle to its record and its position among the annotations.
    """
    figure, axes = plt.subplots(len(shown), 1, figsize=(9, 1.75 * len(shown)), sharex=True)
    for axis, (record, position) in zip(np.atleast_1d(axes), shown.values(), strict=True):
        _strip(axis, record, position)
    axes[-1].set_xlabel("s from the beat in the middle")
    return figure


def _strip(axis: Axes, record: Record, position: int) -> None:
    kind = CLASS_OF_SYMBOL[record.symbols[position]]
    here = int(record.samples[position])
    low, high = here - int(STRIP * FS), here + int(STRIP * FS)
    lead = record.signals[0] - np.median(record.signals[0])
    axis.plot((np.arange(low, high) - here) / FS, lead[low:high], color=INPUT, linewidth=1)
    axis.axvspan(-BEAT[0], BEAT[1], color=CLASS_COLOURS[kind], alpha=0.2)
    top, span = lead[low:high].max(), np.ptp(lead[low:high])
    inside = (record.samples >= low) & (record.samples < high) & np.isin(record.symbols, BEAT_SYMBOLS)
    samples, symbols = record.samples[inside], record.symbols[inside]
    for sample, symbol in zip(samples, symbols, strict=True):
        name = CLASS_OF_SYMBOL.get(symbol, "Q")
        where = ((sample - here) / FS, top + 0.06 * span)
        axis.text(*where, name, ha="center", va="bottom", color=CLASS_COLOURS[name])
    for one, other in itertools.pairwise(samples):
        middle = ((one + other) / 2 - here) / FS
        text = f"{(other - one) / FS:.2f} s"
        axis.text(middle, top + 0.06 * span, text, ha="center", va="bottom", fontsize=7.5)
    axis.set(ylabel=f"{record.name}, mV", ylim=(None, top + 0.32 * span))
    _paper(axis)


def riddles(records: Sequence[Record], count: int) -> list[tuple[Record, int]]:
    """Beats of N, S and V, a third of each if there are so many, in mixed order: `count` pairs (record, position).

    Drawn from all records with a fixed seed; each has a whole strip around it.
    """
    generator = np.random.default_rng(0)
    found: list[tuple[Record, int]] = []
    for kind in "NSV":
        places = [
            (record, int(position))
            for record in records
            for position in np.flatnonzero([CLASS_OF_SYMBOL.get(symbol) == kind for symbol in record.symbols])
            if STRIP * FS < record.samples[position] < record.signals.shape[1] - STRIP * FS
        ]
        chosen = generator.choice(len(places), min(-(-count // 3), len(places)), replace=False)
        found += [places[place] for place in chosen]
    order = generator.permutation(len(found))[:count]
    return [found[place] for place in order]


def riddle(record: Record, position: int, guess: str = "?") -> Figure:
    """A beat by itself; after a guess (N, S or V) its neighbours, too, and what the cardiologists say."""
    figure, axis = plt.subplots(figsize=(9, 2.4))
    if guess == "?":
        here = int(record.samples[position])
        low, high = here - int(BEAT[0] * FS), here + int(BEAT[1] * FS)
        lead = record.signals[0] - np.median(record.signals[0])
        axis.plot((np.arange(low, high) - here) / FS, lead[low:high], color=INPUT, linewidth=1)
        axis.set(xlim=(-STRIP, STRIP), ylabel="mV", title="N, S or V?")
        _paper(axis)
    else:
        _strip(axis, record, position)
        axis.set_title(f"You say {guess}. The cardiologists say {CLASS_OF_SYMBOL[record.symbols[position]]}.")
    axis.set_xlabel("s from the beat")
    return figure


def swapped(name: str, first: str, second: str, signals: np.ndarray, start: float = 20, seconds: float = 3) -> Figure:
    """Two leads (2, T) in mV as a file orders them, named `first` and `second`, for `seconds` from `start`."""
    low, high = int(start * FS), int((start + seconds) * FS)
    figure, axes = plt.subplots(2, 1, figsize=(8, 3), sharex=True, sharey=True)
    for axis, lead, title in zip(axes, signals, (first, second), strict=True):
        axis.plot(np.arange(low, high) / FS, lead[low:high] - np.median(lead), color=INPUT, linewidth=1)
        axis.set(ylabel=f"{title}, mV")
        _paper(axis)
    axes[0].set_title(f"record {name}: the file's first channel above, its second below", fontsize=10)
    axes[1].set_xlabel("s")
    return figure


def _paper(axis: Axes) -> None:
    """The large squares of ECG paper: 0.2 s and 0.5 mV."""
    axis.xaxis.set_major_locator(MultipleLocator(0.4))
    axis.xaxis.set_minor_locator(MultipleLocator(0.2))
    axis.yaxis.set_minor_locator(MultipleLocator(0.5))
    axis.grid(which="minor", color="#f2c6c6", linewidth=0.6)
    axis.grid(which="major", color="#f2c6c6", linewidth=0.6)
