"""Figures of notebook 01: records, filter, window, classes, splits, PTB-XL (R3 figures 2 to 5)."""

import matplotlib.pyplot as plt
import numpy as np
import pandas as pd
import seaborn as sns
from matplotlib.colors import LogNorm
from matplotlib.figure import Figure

from ecglib.data.mitbih import BEFORE, CLASS_NAMES, CLASSES, FS, Record
from ecglib.data.ptbxl import FS as PTBXL_FS
from ecglib.data.ptbxl import LEADS
from ecglib.show.style import BEAT_MS, CLASS_COLOURS, INPUT, OUTPUT, REPORT

GALLERY = 40  # beats drawn thinly behind each class's median


def filter_strip(record: Record, filtered: np.ndarray, peaks: np.ndarray, start: float, seconds: float) -> Figure:
    """A strip of the first lead before and after the filter (2, T) in mV, with annotations and detected R peaks.

    `peaks` are zero-based samples; `start` of the strip is in seconds.
    """
    figure, axes = plt.subplots(2, 1, figsize=(10, 5), sharex=True, sharey=True)
    low, high = int(start * FS), int((start + seconds) * FS)
    time = np.arange(low, high) / FS
    for axis, signal, colour, title in (
        (axes[0], record.signals[0], INPUT, f"record {record.name}, {record.leads[0]}: as recorded"),
        (axes[1], filtered[0], OUTPUT, "after the 3-45 Hz filter, forward and backward: no wave has moved"),
    ):
        axis.plot(time, signal[low:high], color=colour, linewidth=0.9)
        axis.set(ylabel="mV", title=title)
    inside = (record.samples >= low) & (record.samples < high)
    top = filtered[0, low:high].max()
    for sample, symbol in zip(record.samples[inside], record.symbols[inside], strict=True):
        axes[1].text(sample / FS, top * 1.08, symbol, ha="center", va="bottom", fontsize=9)
    shown = peaks[(peaks >= low) & (peaks < high)]
    axes[1].plot(shown / FS, filtered[0, shown], "v", color="#D55E00", markersize=5, label="detected R peak")
    axes[1].set_xlabel("time (s)")
    axes[1].legend(loc="lower right", bbox_to_anchor=(1, 0.98), fontsize=8, frameon=False)
    return figure


def beat_steps(raw: np.ndarray, filtered: np.ndarray, scaled: np.ndarray, name: str) -> Figure:
    """One beat as recorded, filtered and scaled; each (320,)."""
    figure, axes = plt.subplots(1, 3, figsize=(11, 2.9))
    for axis, values, title, unit in (
        (axes[0], raw, "as recorded", "mV"),
        (axes[1], filtered, "filtered 3-45 Hz", "mV"),
        (axes[2], scaled, "scaled per beat and lead", "no unit"),
    ):
        axis.plot(BEAT_MS, values, color=INPUT, linewidth=1.2)
        axis.axvline(0, color="#999999", linewidth=0.8, linestyle=":")
        axis.set(title=title, xlabel="time from the annotation (ms)", ylabel=unit)
    figure.suptitle(f"{name}: 320 samples, {BEFORE - 1} of them before the annotation", fontsize=11)
    return figure


def class_gallery(galleries: dict[str, dict[str, np.ndarray]]) -> Figure:
    """Median beat of each class over some of its beats (n, 320), scaled first leads; a row a source.

    A source without beats of a class has an empty panel.
    """
    rows = len(galleries)
    figure, axes = plt.subplots(rows, len(CLASSES), figsize=(12, 2.5 * rows), sharex=True, sharey=True, squeeze=False)
    for position, (row, (source, beats)) in enumerate(zip(axes, galleries.items(), strict=True)):
        for axis, name in zip(row, CLASSES, strict=True):
            for beat in beats[name][:GALLERY]:
                axis.plot(BEAT_MS, beat, color=CLASS_COLOURS[name], linewidth=0.5, alpha=0.15)
            if len(beats[name]):
                axis.plot(BEAT_MS, np.median(beats[name], axis=0), color=REPORT, linewidth=1.4)
            if position == 0:
                axis.set_title(f"{name}: {CLASS_NAMES[name]}", fontsize=8.5)
            if position == rows - 1:
                axis.set_xlabel("ms from annotation")
        row[0].set_ylabel(f"{source}\n(scaled)")
    return figure


def record_map(counts: pd.DataFrame) -> Figure:
    """Beats of each class in each record on a logarithmic colour scale; `counts` records x classes."""
    figure, axis = plt.subplots(figsize=(12, 2.7))
    sns.heatmap(
        counts.T.where(counts.T > 0),
        ax=axis,
        cmap="viridis",
        norm=LogNorm(),
        linewidths=0.4,
        cbar_kws={"label": "beats", "format": "{x:,.0f}"},
    )
    axis.set(xlabel="record", ylabel="class", title="Beats of each class in each record")
    axis.set_xticks(np.arange(len(counts)) + 0.5, counts.index, rotation=90, fontsize=7)
    axis.tick_params(axis="y", rotation=0)
    axis.grid(False)
    return figure


def shared_patients(parts: dict[str, pd.DataFrame]) -> Figure:
    """Which patients each part of a split holds, a panel a split; a table has patients x (train, validation, test)."""
    figure, axes = plt.subplots(len(parts), 1, figsize=(12, 1.9 * len(parts)))
    for axis, (title, table) in zip(np.atleast_1d(axes), parts.items(), strict=True):
        sns.heatmap(
            (table.T > 0).astype(int), ax=axis, cmap=["#eeeeee", "#0072B2"], cbar=False, linewidths=0.5, vmin=0, vmax=1
        )
        axis.set(title=title, xlabel="patient (named after the first record)", ylabel="")
        axis.set_xticks(np.arange(len(table)) + 0.5, table.index, rotation=90, fontsize=7)
        axis.tick_params(axis="y", rotation=0)
    return figure


def twelve_leads(signals: dict[str, np.ndarray]) -> Figure:
    """R3 figures 2 and 3: 12 leads of 10 s, (12, 1000) mV at 100 Hz; a column a record."""
    figure, axes = plt.subplots(
        len(LEADS), len(signals), figsize=(5.6 * len(signals), 10), sharex=True, sharey=True, squeeze=False
    )
    for column, (title, signal) in zip(axes.T, signals.items(), strict=True):
        for axis, lead, values in zip(column, LEADS, signal, strict=True):
            axis.plot(np.arange(len(values)) / PTBXL_FS, values, color=INPUT, linewidth=0.7)
            axis.set_ylabel(lead, rotation=0, ha="right", va="center")
        column[0].set_title(title)
        column[-1].set_xlabel("time (s)")
    figure.supylabel("mV", fontsize=9)
    return figure


def label_counts(counts: pd.Series, combinations: pd.Series) -> Figure:
    """R3 figures 4 and 5: records of each superclass (left) and of each combination of superclasses (right)."""
    figure, axes = plt.subplots(1, 2, figsize=(11, 4.2), width_ratios=[1, 1.6])
    for axis, values, title in (
        (axes[0], counts, "records with each superclass (figure 4)"),
        (axes[1], combinations, f"the {len(combinations)} commonest combinations (figure 5)"),
    ):
        axis.barh(values.index, values.to_numpy(), color="#0072B2")
        axis.bar_label(axis.containers[0], fmt="{:,.0f}", padding=3, fontsize=8)
        axis.invert_yaxis()
        axis.set(xlabel="records", title=title)
        axis.margins(x=0.15)
    return figure


def ages(age: pd.Series, median_of_report: float) -> Figure:
    """Ages of those records that state one, beside the report's median."""
    figure, axis = plt.subplots(figsize=(6, 2.8))
    axis.hist(age.dropna().clip(upper=100), bins=range(0, 101, 5), color="#0072B2", edgecolor="white")
    axis.axvline(age.median(), color="#D55E00", label=f"median here: {age.median():.0f}")
    axis.axvline(median_of_report, color=REPORT, linestyle="--", label=f"R3: {median_of_report:.0f}")
    axis.set(xlabel="age (years)", ylabel="records")
    axis.legend()
    return figure
