"""The table and the charts of what `bench` measured."""

from collections.abc import Mapping
from pathlib import Path
from typing import Any

import matplotlib.pyplot as plt

from benchmarks import scaling
from ecglib.core.files import write_text
from ecglib.show.style import ERROR, OUTPUT, save, use_style

HEAD = """# Speed

Written by `python -m benchmarks.bench`, which measures each way and its reference in one run, in turns; medians, but
the records of MIT-BIH are read once.

| what | reference | time | here | time | times faster | goal |
| --- | --- | --- | --- | --- | --- | --- |
"""
GROWTH = """
![times faster](speed.png)

## Growth

The exponent k of time or memory ~ size^k: over all sizes, and between the two largest. 1 is linear; fixed costs make it
less.

| what grows | sizes | time | memory |
| --- | --- | --- | --- |
"""


def write(kept: Mapping[str, Any], folder: Path) -> None:
    """`README.md`, `speed.png` and `scaling.png` in `folder`."""
    use_style()
    rows = [row for name, part in kept.items() if name not in scaling.SERIES for row in part["rows"]]
    asked = [row["ratio"] >= row["goal"] for row in rows if row["goal"] is not None]
    text = HEAD + "".join(map(_line, rows)) + f"\n{sum(asked)} of {len(asked)} goals are met.\n" + GROWTH
    for name, (what, _, sizes) in scaling.SERIES.items():
        if name in kept:
            found = [scaling.slopes(kept[name]["rows"], key) for key in ("seconds", "megabytes")]
            text += f"| {what} | {sizes[0]:,} to {sizes[-1]:,} | "
            text += " | ".join(f"{whole:.2f}, at last {last:.2f}" for whole, last in found) + " |\n"
    text += "\n![How time and memory grow with the number of records](scaling.png)\n\n## Machines\n\n"
    machines: dict[tuple[str, str], list[str]] = {}
    for name, part in kept.items():
        machines.setdefault((part["machine"], part["versions"]), []).append(name)
    for (machine, versions), names in machines.items():
        text += f"- {', '.join(names)}: {machine}; {versions}\n"
    write_text(folder / "README.md", text)
    save(_ratios(rows), folder / "speed.png")
    save(_growth(kept), folder / "scaling.png")


def _line(row: Mapping[str, Any]) -> str:
    goal = "" if row["goal"] is None else f"{row['goal']:g}{'' if row['ratio'] >= row['goal'] else ', missed'}"
    times = [_time(row[key]) for key in ("reference_ms", "ms")]
    cells = [row["what"], row["reference"], times[0], row["here"], times[1], _ratio(row), goal]
    return f"| {' | '.join(cells)} |\n"


def _ratio(row: Mapping[str, Any]) -> str:
    return f"{row['ratio']:,.0f}" if row["ratio"] >= 10 else f"{row['ratio']:.2g}"


def _time(milliseconds: float) -> str:
    return f"{milliseconds / 1000:.1f} s" if milliseconds >= 10_000 else f"{milliseconds:.3g} ms"


def _ratios(rows: list[Mapping[str, Any]]) -> plt.Figure:
    figure, axis = plt.subplots(figsize=(8, 0.55 * len(rows) + 1))
    labels = [f"{row['what']}\n{row['here'].replace('`', '')}" for row in rows]
    axis.barh(labels, [row["ratio"] for row in rows], color=OUTPUT, height=0.55)
    for place, row in enumerate(rows):
        clear = {"facecolor": "white", "edgecolor": "none", "pad": 0.8}  # the goal's line may pass behind
        axis.text(row["ratio"] * 1.08, place, _ratio(row), va="center", fontsize=8, bbox=clear, zorder=4)
        if row["goal"]:
            axis.plot([row["goal"]] * 2, [place - 0.4, place + 0.4], color=ERROR)
    axis.plot([], [], color=ERROR, label="goal")
    axis.axvline(1, color="black", linewidth=0.8)
    axis.set(
        xscale="log",
        xlim=(0.5 * min(row["ratio"] for row in rows), 4 * max(row["ratio"] for row in rows)),
        xlabel="times faster than the reference way",
    )
    axis.tick_params(axis="y", labelsize=7)
    axis.legend(loc="lower right")
    axis.invert_yaxis()
    return figure


def _growth(kept: Mapping[str, Any]) -> plt.Figure:
    names = [name for name in scaling.SERIES if name in kept]
    figure, axes = plt.subplots(1, max(1, len(names)), figsize=(10, 3.4), squeeze=False)
    for axis, name in zip(axes[0], names, strict=False):
        rows = kept[name]["rows"]
        sizes = [row["size"] for row in rows]
        for key, label, colour in (("seconds", "time, s", OUTPUT), ("megabytes", "memory, MB", ERROR)):
            values = [row[key] for row in rows]
            slope = scaling.slopes(rows, key)[0]
            axis.loglog(sizes, values, "o-", color=colour, label=f"{label} (slope {slope:.2f})")
            axis.loglog(sizes, [values[-1] * size / sizes[-1] for size in sizes], ":", color=colour, linewidth=0.9)
        axis.set(xlabel=scaling.SERIES[name][0])
        axis.legend(fontsize=7)
    axes[0][0].set_ylabel("dotted: linear")
    return figure
