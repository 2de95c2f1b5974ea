"""What the three reports published, as tables: every number with report, place and meaning.

Code takes published numbers from here; elsewhere they stand in words alone.

R1 is "Self-Improving BeatGAN via Knowledge Distillation" (Lim, Hwang; Kyung Hee University, 2021), R2 the same with
SimCLR (Hwang, 2022), R3 a PTB-XL classifier and its compression (신다윗, 안주현, 이재현, 2023).

| file | holds |
| --- | --- |
| `claims.csv` | every published number (`CLAIMS`) |
| `contradictions.csv` | statements of a report that cannot both hold, and which one is followed (`CONTRADICTIONS`) |
| `proposals.csv` | what R2 proposes and expects (`PROPOSALS`) |
| `layers.csv` | R3's figures 7-1 and 8-1 as Keras prints them, 16-1 and 17-1 as torchsummary does (`LAYERS`) |
| `figure9.csv` | R1's console log of epoch 99, a line every 100 batches (`FIGURE9_LOG`) |
"""

import csv
from collections.abc import Iterator
from dataclasses import dataclass
from importlib import resources
from typing import Literal

from ecglib.core.errors import EcglibError


@dataclass(frozen=True)
class Claim:
    """One published number."""

    report: str  # "R1", "R2", "R3", or the paper it comes from
    where: str  # section, table or figure
    value: float
    unit: str  # empty for a pure number
    text: str  # what it is
    # The part of the data that it was measured on; empty if that means nothing. Only numbers of the same part are set
    # beside it.
    part: Literal["", "validation", "test"] = ""


@dataclass(frozen=True)
class Proposal:
    """What a report proposes and expects, without a number."""

    report: str
    where: str  # section
    expected: str  # what the proposal is said to bring


@dataclass(frozen=True)
class Contradiction:
    """Two statements that cannot both hold."""

    report: str  # "R1", "R2" or "R3"
    topic: str  # what it is about
    one: str  # a statement with its place
    other: str  # the other statement with its place
    reading: str  # which one the companion follows, and why


Row = tuple[str, tuple[int, ...], int]  # a layer, the shape of its output for one record, its parameters
# R2 takes these over from R1, sections and words included.
REPEATED_BY_R2 = ("beats", "ticks", "subjects", "records", "leads", "minutes", "quoted_auc", "ms_per_beat")


def _rows(name: str) -> Iterator[dict[str, str]]:
    yield from csv.DictReader((resources.files(__package__) / name).read_text(encoding="utf-8").splitlines())


def _number(text: str) -> float:
    """An int if the text is a whole number, which is then shown without decimals."""
    return int(text) if text.lstrip("-").isdecimal() else float(text)


def _claims() -> dict[str, Claim]:
    found = {row.pop("key"): Claim(**{**row, "value": _number(row["value"])}) for row in _rows("claims.csv")}  # type: ignore[arg-type]
    repeated = {f"r2.{name}": found[f"r1.{name}"] for name in REPEATED_BY_R2}
    of_r2 = {key: Claim("R2", *list(vars(claim).values())[1:]) for key, claim in repeated.items()}
    return {**of_r2, **found}


def _layers() -> dict[str, list[Row]]:
    found: dict[str, list[Row]] = {}
    for row in _rows("layers.csv"):
        shape = tuple(int(side) for side in row["shape"].split(" x "))
        found.setdefault(row["figure"], []).append((row["layer"], shape, int(row["parameters"])))
    return found


CLAIMS: dict[str, Claim] = _claims()
CONTRADICTIONS = tuple(Contradiction(**row) for row in _rows("contradictions.csv"))
PROPOSALS = {row.pop("key"): Proposal(**row) for row in _rows("proposals.csv")}
LAYERS: dict[str, list[Row]] = _layers()  # number of R3's figure -> its rows
# Batch, D's loss on real beats, on reconstructed ones, G's loss.
FIGURE9_LOG = [
    (int(row["batch"]), float(row["d_real"]), float(row["d_fake"]), float(row["g"])) for row in _rows("figure9.csv")
]


def value(key: str) -> float:
    """The published number under `key`.

    Raises:
        EcglibError: there is no such number.
    """
    if key not in CLAIMS:
        raise EcglibError(f"No published number is called {key!r}: see ecglib.reports.CLAIMS.")
    return CLAIMS[key].value
