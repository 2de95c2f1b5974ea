"""The header of a WFDB record, read strictly: what wfdb assumes or drops without a word is refused here, or said.

wfdb takes a missing gain for 200, drops every character that is not ASCII (µV becomes V), averages the samples of a
frame, and does not compare checksums. Sources: the WFDB specification, header(5) and signal(5).
"""

import re
from collections.abc import Sequence
from dataclasses import dataclass
from itertools import takewhile
from pathlib import Path

from ecglib.core.errors import EcglibError

LEAST_RATE = 50.0  # Hz: below it neither a P wave nor a QRS complex is left
GAINS = (1e-6, 1e12)  # steps a unit: of nanovolts and of volts
MOST_RATE = 100_000.0  # Hz: no recorder has more
UNCALIBRATED = "so its millivolts are unknown: write the gain of the recorder into the header."
RECORD_LINE = re.compile(
    r"\S+?(?:/(?P<segments>\d+))?\s+(?P<signals>\d+)(?:\s+(?P<rate>[^\s/(]+))?\S*\s*(?P<length>\d+)?"
)
FORMAT = re.compile(r"(?P<format>\d+)(?:x(?P<frame>\d+))?(?::\d+)?(?:\+\d+)?")
GAIN = re.compile(r"(?P<gain>[-+]?[\d.]+(?:[eE][-+]?\d+)?)?(?:\((?P<baseline>-?\d+)\))?(?:/(?P<unit>\S+))?")
SEGMENT = re.compile(r"(?P<name>~|[-\w]+)\s+(?P<length>\d+)")
WHOLE = re.compile(r"-?\d+")
# Whole numbers after the gain: bits of the converter, its zero, first sample, checksum, block size; then the name.
CHECKSUM, NUMBERS = 3, 5


@dataclass(frozen=True)
class Lead:
    """What a header says of one signal."""

    name: str
    unit: str  # as it is written; the specification's default is mV
    gain: float  # steps of the converter a unit, above 0
    frame: int  # samples a frame
    format: str
    checksum: int | None  # of all samples, modulo 2^16
    file: str  # that holds the samples


@dataclass(frozen=True)
class Header:
    """A header; a record of several segments has its leads in these."""

    leads: tuple[Lead, ...]
    frames: float  # a second
    length: int | None  # frames
    segments: tuple[tuple[str, int], ...]  # name and frames of each, "~" is a gap; () if the record is one piece


def read_header(path: Path, record: str) -> Header:
    """The header of a record whose name, without `.hea`, is `path`; errors name the `record`.

    Raises:
        EcglibError: it is missing or malformed, a gain is missing, 0 or negative, or the rate is below 50 Hz.
    """
    lines = _lines(path, record)
    found = RECORD_LINE.match(lines[0]) if lines else None
    if found is None:
        raise EcglibError(f"The header of {record} has no line that names it with its number of signals.")
    rate = found["rate"] or "250"  # the specification's default
    try:
        frames = float(rate)
    except ValueError:
        frames = float("nan")
    if not 0 < frames < float("inf"):
        raise EcglibError(f"The header of {record} gives a rate of {rate} Hz: write the true one there.")
    segments = _segments(record, lines[1:]) if found["segments"] else ()
    leads = () if segments else tuple(_lead(line, record) for line in lines[1 : 1 + int(found["signals"])])
    described = len(lines) - 1
    if not segments and described != int(found["signals"]):
        raise EcglibError(f"The header of {record} announces {found['signals']} signals and describes {described}.")
    if len({(lead.file, lead.format) for lead in leads}) > len({lead.file for lead in leads}):
        raise EcglibError(f"The header of {record} gives one file several formats.")
    slowest = min((lead.frame for lead in leads), default=1) * frames
    if not LEAST_RATE <= slowest <= MOST_RATE:
        raise EcglibError(
            f"The header of {record} gives {slowest:g} samples a second: an ECG has {LEAST_RATE:g} or more."
        )
    return Header(leads, frames, int(found["length"]) if found["length"] else None, segments)


def _lines(path: Path, record: str) -> list[str]:
    """The lines without comments; text is UTF-8, else Latin-1, which old programs wrote."""
    header = path.with_name(f"{path.name}.hea")
    try:
        content = header.read_bytes()
    except (OSError, ValueError) as error:  # ValueError: a NUL in the name
        raise EcglibError(f"There is no {record}: {header} cannot be read ({error}).") from error
    try:
        text = content.decode("utf-8-sig")
    except UnicodeDecodeError:
        text = content.decode("latin-1")
    stripped = (line.strip() for line in text.splitlines())
    return [line for line in stripped if line and not line.startswith("#")]


def _lead(line: str, record: str) -> Lead:
    file, *fields = line.split()
    shape = FORMAT.fullmatch(fields[0]) if fields else None
    if shape is None:
        raise EcglibError(f"The header of {record} has a line that describes no signal: {line[:60]!r}.")
    if not file.isascii():
        raise EcglibError(f"The header of {record} names the file {file!r}: give it a plain ASCII name.")
    numbers = [int(text) for text in takewhile(WHOLE.fullmatch, fields[2 : 2 + NUMBERS])]
    name = " ".join(fields[2 + len(numbers) :])
    called = f"Lead {name or 'without a name'} of {record}"
    scale = GAIN.fullmatch(fields[1]) if len(fields) > 1 else None
    if scale is None or scale["gain"] is None:
        raise EcglibError(f"{called} has no gain, {UNCALIBRATED}")
    try:
        gain = float(scale["gain"])
    except ValueError:
        gain = float("nan")
    if gain == 0:
        raise EcglibError(f"{called} has a gain of 0, {UNCALIBRATED}")
    if GAINS[1] < gain or 0 < gain < GAINS[0]:
        raise EcglibError(f"{called} has a gain of {scale['gain']}, which no recorder has: correct the header.")
    if not gain > 0:
        raise EcglibError(
            f"{called} has a gain of {scale['gain']}, which would turn it upside down: write a positive one into the "
            "header, and swap the signs of the samples if it was meant."
        )
    checksum = numbers[CHECKSUM] if len(numbers) > CHECKSUM else None
    return Lead(name, scale["unit"] or "mV", gain, int(shape["frame"] or 1), shape["format"], checksum, file)


def _segments(record: str, lines: Sequence[str]) -> tuple[tuple[str, int], ...]:
    """Name and number of frames of each segment, "~" being a gap."""
    found = []
    for line in lines:
        match = SEGMENT.fullmatch(line)
        if match is None:
            raise EcglibError(
                f"The header of {record} has a line that names no segment with its length: {line[:60]!r}."
            )
        if int(match["length"]):  # a layout, which describes the leads, has none
            found.append((match["name"], int(match["length"])))
    return tuple(found)


def wrong_checksums(header: Header, sums: Sequence[int]) -> list[str]:
    """Names of the leads whose samples have other `sums` than the header says, both modulo 2^16."""
    pairs = zip(header.leads, sums, strict=True)
    return [lead.name for lead, found in pairs if lead.checksum is not None and (found - lead.checksum) % 2**16]
