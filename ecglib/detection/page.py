"""What `ecglib detect` writes: a table, a strip with flagged beats, and one page that needs no other file."""

import base64
import html
import io
from collections.abc import Sequence
from pathlib import Path

import matplotlib.pyplot as plt
import numpy as np
from matplotlib.figure import Figure

from ecglib.core.files import write_text
from ecglib.data.mitbih import FS
from ecglib.data.recording import Recording
from ecglib.detection.detect import Detection, Shown
from ecglib.detection.judges import Judge, ThreeQuestions
from ecglib.detection.own_record import P_WAVE, QRS_COMPLEX, QUESTIONS
from ecglib.show.style import BEAT_MS, ERROR, INPUT, OUTPUT, save

ROW = 10.0  # s of a strip
ROWS = 6
NO_DEVICE = "This is a companion to papers and no medical device: do not use it to decide about anybody's health."


def write(found: Detection, recording: Recording, judge: Judge, folder: Path) -> list[Path]:
    """Write `beats.csv`, `strip.png` and `page.html` into a folder, and return their paths.

    Raises:
        EcglibError: the disk refused.
    """
    paths = [folder / name for name in ("beats.csv", "strip.png", "page.html")]
    rounded = found.beats.assign(time=found.beats["time"].map("{:.3f}".format))  # 4 digits of a day are 10 s
    write_text(paths[0], rounded.to_csv(index=False, float_format="%.4g", lineterminator="\n"))
    save(strip(found, recording), paths[1])
    write_text(paths[2], _page(found, recording, judge, paths[1].read_bytes()))
    return paths


def strip(found: Detection, recording: Recording) -> Figure:
    """All scores over time, and below the stretches around the most unusual beats, flagged beats marked.

    Each beat that was judged has its class above it, or a dot.
    """
    starts, leads = _starts(found), len(recording.leads)
    sizes = [1.3, *[1.0 if leads == 1 else 0.75] * leads * len(starts)]
    figure, (top, *axes) = plt.subplots(
        len(sizes), 1, figsize=(9, 0.3 + 1.15 * sum(sizes)), height_ratios=sizes, layout="constrained"
    )
    beats = found.beats
    normal, flagged = beats[~beats["flagged"]], beats[beats["flagged"]]
    unit, step = ("min", 60) if found.part[1] - found.part[0] > 180 else ("s", 1)
    top.plot(normal["time"] / step, normal["score"], ".", color=OUTPUT, markersize=2, label="as usual")
    top.plot(flagged["time"] / step, flagged["score"], ".", color=ERROR, markersize=4, label="flagged")
    top.set(xlabel=unit, ylabel="score")
    top.legend(loc="lower right", bbox_to_anchor=(1, 1), fontsize=7, ncols=2, frameon=False, borderpad=0)
    for row, start in enumerate(starts):
        first, stop = round(start * FS), min(round((start + ROW) * FS), recording.length_at(FS))
        x = recording.resampled(FS, first, stop)
        inside = beats[(beats["time"] >= start) & (beats["time"] < start + ROW)]
        for lead, (name, values) in enumerate(zip(recording.leads, x, strict=True)):
            axis = axes[row * leads + lead]
            axis.plot(np.arange(first, first + len(values)) / FS, values, color=INPUT, linewidth=0.7)
            low, high = np.nanmin(values, initial=0), np.nanmax(values, initial=0)
            for time in inside["time"][inside["flagged"]]:
                axis.axvspan(time - 0.2, time + 0.25, color=ERROR, alpha=0.18, linewidth=0)
            if lead == 0:
                for time, letter in zip(inside["time"], inside["class"], strict=True):
                    axis.text(time, high + 0.05 * (high - low), letter or "•", ha="center", fontsize=7)
            axis.set(
                xlim=(start, start + ROW),
                ylim=(low - 0.1 * (high - low), high + (0.2 + 0.1 * (leads - 1)) * (high - low)),
            )
            axis.set_ylabel(f"{name}, mV", fontsize=7)
            axis.tick_params(labelsize=7, labelbottom=lead == leads - 1)
    axes[-1].set_xlabel("s")
    return figure


def _starts(found: Detection) -> list[float]:
    """Where the rows of a strip begin: all of a short part, or around the most unusual beats, in time's order."""
    begin, end = found.part
    last = max(begin, end - ROW)
    if end - begin <= ROW * ROWS:
        return [min(start, last) for start in np.arange(begin, end, ROW).tolist()]
    starts: list[float] = []
    for one in found.shown:
        start = min(max(begin, one.time - ROW / 2), last)
        if len(starts) < ROWS and all(abs(start - other) >= ROW for other in starts):
            starts.append(start)
    return sorted(starts) or [begin]


def beat(one: Shown, leads: Sequence[str], judge: Judge) -> Figure:
    """A flagged beat over what it was compared with, a panel a lead."""
    width = 2.9 * len(leads) if len(leads) > 1 else 4.2
    figure, axes = plt.subplots(1, len(leads), figsize=(width, 2.0), squeeze=False, layout="constrained")
    axes[0, 0].set_ylabel(judge.unit, fontsize=7)
    for axis, lead, values, other in zip(axes[0], leads, one.beat, one.other, strict=True):
        if isinstance(judge, ThreeQuestions):
            for window, colour in ((P_WAVE, "#56B4E9"), (QRS_COMPLEX, "#F0E442")):
                axis.axvspan(BEAT_MS[window.start], BEAT_MS[window.stop - 1], color=colour, alpha=0.25, linewidth=0)
        else:
            size = np.ptp(values)
            heat = (values - other)[None] ** 2
            box = (BEAT_MS[0], BEAT_MS[-1], values.min() - 0.3 * size, values.min() - 0.1 * size)
            axis.imshow(heat, aspect="auto", cmap="Reds", extent=box)
        axis.plot(BEAT_MS, other, color=INPUT, linewidth=0.9)
        axis.plot(BEAT_MS, values, color=ERROR, linewidth=1.3)
        axis.set_xlim(BEAT_MS[0], BEAT_MS[-1])
        axis.set_ylim(min(values.min(), other.min()) - 0.35 * np.ptp(values), None)
        axis.set_title(lead, fontsize=8)
        axis.set_xlabel("ms from the R peak", fontsize=7)
        axis.tick_params(labelsize=6)
    return figure


def _page(found: Detection, recording: Recording, judge: Judge, picture: bytes) -> str:
    beats = found.beats
    flagged = int(beats["flagged"].sum())
    cards = "\n".join(_card(one, found, judge) for one in found.shown)
    notes = "".join(f"<li>{html.escape(note)}</li>" for note in found.notes)
    name = Path(recording.name.removeprefix("record ")).name
    title = html.escape(f"{name}: {flagged} of {len(beats)} beats are flagged")
    source = "the annotations" if found.annotated else "detected R peaks"
    shares = (
        "The windows of the P wave (blue) and of the QRS complex (yellow) are shaded. The percentages say how many "
        "normal beats of other people are at least as far from usual."
        if isinstance(judge, ThreeQuestions)
        else "The strip below each beat is the redder the worse the drawing is there."
    )
    return f"""<!DOCTYPE html>
<html lang="en">
<head>
<meta charset="utf-8">
<meta name="viewport" content="width=device-width, initial-scale=1">
<title>{title}</title>
<style>
body {{ font: 15px/1.5 system-ui, sans-serif; max-width: 62rem; margin: 2rem auto; padding: 0 1rem; color: #222; }}
img {{ max-width: 100%; }}
.cards {{ display: grid; grid-template-columns: repeat(auto-fill, minmax(27rem, 1fr)); gap: 1rem; }}
.card {{ border: 1px solid #ddd; border-radius: 6px; padding: .6rem .8rem; }}
.card p {{ margin: 0; }}
.note {{ background: #fff4e5; padding: .6rem .9rem; border-radius: 6px; }}
</style>
</head>
<body>
<h1>{title}</h1>
<p class="note">{NO_DEVICE}</p>
<p>From {found.part[0]:.0f} to {found.part[1]:.0f} of {recording.seconds:.0f} s, leads
{html.escape(", ".join(found.leads))}; the beats are those of {source}. A beat is flagged if its score is above those of
{found.threshold:g} % of normal beats of other people.</p>
<ul>{notes}</ul>
<h2>Where they are</h2>
<img alt="Scores over time, and strips with flagged beats" src="data:image/png;base64,{_base64(picture)}">
<h2>The most unusual beats</h2>
<p>Orange is the beat, black is {judge.compared_with}. {shares} The score is {judge.score}.</p>
<div class="cards">
{cards or "<p>No beat is flagged.</p>"}
</div>
</body>
</html>
"""


def _card(one: Shown, found: Detection, judge: Judge) -> str:
    row = found.beats.iloc[int((found.beats["time"] - one.time).abs().argmin())]
    buffer = io.BytesIO()
    figure = beat(one, found.leads[: len(one.beat)], judge)
    figure.savefig(buffer, format="png", dpi=100, metadata={"Software": None})
    plt.close(figure)
    known = f", annotated {row['class']}" if row["class"] else ""
    shares = ", ".join(f"{name} {_percent(row[f'{name}, %'])}" for name in QUESTIONS if f"{name}, %" in row)
    return (
        f'<div class="card"><p><b>{_clock(one.time)}</b>{html.escape(known)}: score {one.score:.4g}, above '
        f"{_normal(row['percentile'])}</p><p>most unlike: {html.escape(row['why'])}"
        f"{f' ({shares})' if shares else ''}</p>"
        f'<img alt="the beat at {one.time:.2f} s" src="data:image/png;base64,{_base64(buffer.getvalue())}"></div>'
    )


def _normal(percentile: float) -> str:
    return "all normal beats" if percentile == 100 else f"{min(percentile, 99.99):.2f} % of normal beats"


def _percent(share: float) -> str:
    return "below 0.01 %" if share < 0.01 else f"{share:.2g} %"


def _clock(seconds: float) -> str:
    """A time as h:mm:ss.s."""
    minutes, rest = divmod(seconds, 60)
    return f"{int(minutes // 60)}:{int(minutes % 60):02d}:{rest:04.1f}"


def _base64(content: bytes) -> str:
    return base64.b64encode(content).decode()
