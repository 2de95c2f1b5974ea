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
    r"(?P<name>[^\s/]+)(?:/(?P<segments>\d+))?\s+(?P<signals>\d+)"
    r"(?:\s+(?P<rate>[^\s/(]+)\S*(?:\s+(?P<length>\S+))?)?(?:\s|$)"
)
RATE = re.compile(r"\d+(?:\.\d*)?|\.\d+")  # what wfdb reads
FORMAT = re.compile(r"(?P<format>\d+)(?:x(?P<frame>\d+))?(?::\d+)?(?:\+(?P<offset>\d+))?")
# Bytes a sample; None if the file is compressed. Format 8 stores differences, of which a part cannot be read alone.
FORMATS: dict[str, float | None] = {
    "16": 2, "24": 3, "32": 4, "61": 2, "80": 1, "160": 2, "212": 1.5, "310": 4 / 3, "311": 4 / 3,
    "508": None, "516": None, "524": None,
}  # fmt: skip
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
    offset: int  # bytes before the first sample


@dataclass(frozen=True)
class Header:
    """A header; a record of several segments has its leads in these."""

    name: str  # of the record
    leads: tuple[Lead, ...]
    signals: int  # of each segment, if there are several
    frames: float  # a second
    length: int | None  # frames
    # Name and frames of each, "~" is a gap, and a first one of no frames describes the leads; () if it is one piece.
    segments: tuple[tuple[str, int], ...]


def read_header(path: Path, record: str) -> Header:
    """The header of a record whose name, without `.hea`, is `path`; errors name the `record`.

    Raises:
        EcglibError: it is missing or malformed, a gain is missing, 0 or negative, or the rate is below 50 Hz.
    """
    lines = _lines(path, record)
    found = RECORD_LINE.match(lines[0]) if lines else None
    if found is None:
        raise EcglibError(f"The header of {record} has no line that names it with its number of signals.")
    if not found["name"].isascii():
        raise EcglibError(f"The header of {record} calls it {found['name']!r}: give it a plain ASCII name there.")
    rate = found["rate"] or "250"  # the specification's default
    frames = float(rate) if RATE.fullmatch(rate) else float("nan")
    if not 0 < frames < float("inf"):
        raise EcglibError(f"The header of {record} gives a rate of {rate} Hz: write the true one there, as in 360.")
    if found["length"] and not found["length"].isdecimal():
        raise EcglibError(f"The header of {record} gives a length of {found['length']} samples: write a whole number.")
    length = int(found["length"]) if found["length"] else None
    segments = _segments(record, lines[1:], int(found["segments"]), length) if found["segments"] else ()
    leads = () if segments else tuple(_lead(line, record) for line in lines[1 : 1 + int(found["signals"])])
    described = len(lines) - 1
    if not segments and described != int(found["signals"]):
        raise EcglibError(f"The header of {record} announces {found['signals']} signals and describes {described}.")
    if len({(lead.file, lead.format) for lead in leads}) > len({lead.file for lead in leads}):
        raise EcglibError(f"The header of {record} gives one file several formats.")
    slowest = min((lead.frame for lead in leads), default=1) * frames
    if not LEAST_RATE <= slowest <= MOST_RATE:
        raise EcglibError(
            f"The header of {record} gives {slowest:g} samples a second: an ECG has {LEAST_RATE:g} to {MOST_RATE:,.0f}."
        )
    return Header(found["name"], leads, int(found["signals"]), frames, length, segments)


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
    if shape["format"] not in FORMATS:
        raise EcglibError(
            f"{called} is in format {shape['format']}, which is not read: convert it to format 16, as with xform."
        )
    scale = GAIN.fullmatch(fields[1]) if len(fields) > 1 else None
    if len(fields) > 1 and scale is None:
        raise EcglibError(f"{called} has the gain {fields[1]!r}, which cannot be read: write it as in 200(1024)/mV.")
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
    frame, offset = int(shape["frame"] or 1), int(shape["offset"] or 0)
    return Lead(name, scale["unit"] or "mV", gain, frame, shape["format"], checksum, file, offset)


def _segments(record: str, lines: Sequence[str], count: int, length: int | None) -> tuple[tuple[str, int], ...]:
    """Name and number of frames of each segment, "~" being a gap."""
    found = []
    for line in lines:
        match = SEGMENT.fullmatch(line)
        if match is None:
            raise EcglibError(
                f"The header of {record} has a line that names no segment with its length: {line[:60]!r}."
            )
        found.append((match["name"], int(match["length"])))
    total = sum(frames for _, frames in found)
    if len(found) != count or (length is not None and total != length):
        announced = f"{count} segments" + ("" if length is None else f" of {length:,} frames")
        raise EcglibError(
            f"The header of {record} announces {announced} and lists {len(found)} of {total:,}: is it cut?"
        )
    return tuple(found)


def wrong_checksums(header: Header, sums: Sequence[int]) -> list[str]:
    """Names of the leads whose samples have other `sums` than the header says, both modulo 2^16."""
    pairs = zip(header.leads, sums, strict=True)
    return [lead.name for lead, found in pairs if lead.checksum is not None and (found - lead.checksum) % 2**16]
