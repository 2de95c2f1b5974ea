"""What a report may say: a number, a proposal without one, or two things that cannot both hold."""

from dataclasses import dataclass
from typing import Literal


@dataclass(frozen=True)
class Claim:
    """One published number.

    Attributes:
        report: "R1", "R2", "R3", or the paper it comes from.
        where: section, table or figure.
        value: the number.
        unit: of the number; empty for a pure number.
        text: what it is.
        part: of the data that it was measured on, "validation" or "test"; empty where that means nothing. What is set
            beside the number is taken from the same part.
    """

    report: str
    where: str
    value: float
    unit: str
    text: str
    part: Literal["", "validation", "test"] = ""


@dataclass(frozen=True)
class Proposal:
    """What a report proposes and expects, without a number.

    Attributes:
        report: "R2".
        where: section.
        expected: what the proposal is said to bring.
    """

    report: str
    where: str
    expected: str


@dataclass(frozen=True)
class Contradiction:
    """Two statements that cannot both hold.

    Attributes:
        report: "R1", "R2" or "R3".
        topic: what it is about.
        one: a statement, with its place.
        other: the other statement, with its place.
        reading: which one the companion follows, and why.
    """

    report: str
    topic: str
    one: str
    other: str
    reading: str
