"""From a recording to the probabilities of an exported model: leads by name, any unit, rate and length."""

import math
import warnings
from collections.abc import Iterator, Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np
import pandas as pd
from scipy.special import expit

from ecglib.classifier import contract as contracts
from ecglib.classifier.contract import Contract
from ecglib.core.errors import EcglibError, EcglibWarning
from ecglib.data import quality
from ecglib.data.recording import Recording
from ecglib.data.recordings import open_recording

AT_ONCE = 8  # windows: 4 MB of twelve leads at 500 Hz
FILES = (".hea", ".edf", ".csv", ".tsv")  # what a folder is searched for


@dataclass(frozen=True)
class Answer:
    """What a model says of one window."""

    start: float  # s from the beginning of the recording
    probabilities: Mapping[str, float]  # of each label; empty if there is a fault
    given: tuple[str, ...] = ()  # labels whose probability reaches its threshold
    fault: str = ""  # why there is no answer, as the rest of a sentence about the window
    oddity: str = ""  # what may make it worthless, likewise


def read_record(path: Path, contract: Contract, start: float | None = None) -> np.ndarray:
    """One window of a recording as a model expects it: (1, L, T) float32 millivolts.

    `start` is the second at which the window begins; a recording that is longer than the window needs it.

    Raises:
        EcglibError: it cannot be read (see `open_recording`), is too short, too long without `start`, lacks a lead, or
            the window cannot be an ECG (see `quality.faults`).
    """
    recording = open_recording(path).choose(contract.leads)
    window = _window(recording, contract, start)
    if recording.length_at(contract.rate) <= contract.samples:
        recording.compare_checksums()
    x = recording.resampled(contract.rate, window.start, window.stop)
    faults = quality.faults(x, contract.leads)
    if faults:
        raise EcglibError(f"{recording.title} {'; '.join(faults)}: choose another part of it.")
    for oddity in quality.oddities(x, contract.rate):
        warnings.warn(f"{recording.title} {oddity}.", EcglibWarning, stacklevel=2)
    return x[None].astype(np.float32)


def answers(
    path: Path, model: Path, start: float | None = None, rate: float | None = None, unit: str | None = None
) -> Iterator[Answer]:
    """What a model says of each window of a recording, one after another, or of the one that begins at `start`.

    `rate` and `unit` are those of a table that does not say them, see `open_recording`. A window that cannot be an ECG
    has a fault instead of probabilities. What is left over at the end is not judged.

    Raises:
        EcglibError: see `read_record`, and `contract.read_contract`.
    """
    contract, session = contracts.read_contract(model), contracts.open_model(model)
    recording = open_recording(path, rate, unit).choose(contract.leads)
    if start is None:
        recording.compare_checksums()
        _window(recording, contract, 0.0)  # long enough for one
        firsts = range(0, recording.length_at(contract.rate) - contract.samples + 1, contract.samples)
    else:
        firsts = range(*_window(recording, contract, start).indices(recording.length_at(contract.rate)))[:1]
    for number in range(0, len(firsts), AT_ONCE):
        yield from _judged(recording, contract, session, firsts[number : number + AT_ONCE])


def _judged(recording: Recording, contract: Contract, session: Any, firsts: range) -> Iterator[Answer]:
    x = recording.resampled(contract.rate, firsts[0], firsts[-1] + contract.samples)
    windows = x.reshape(len(contract.leads), len(firsts), contract.samples).swapaxes(0, 1)
    faults = ["; ".join(quality.faults(window, contract.leads)) for window in windows]
    sound = [number for number, fault in enumerate(faults) if not fault]
    logits = contracts.run(session, windows[sound].astype(np.float32)) if sound else np.empty((0, len(contract.labels)))
    found = dict(zip(sound, expit(logits), strict=True))
    for number, (first, fault) in enumerate(zip(firsts, faults, strict=True)):
        if fault:
            yield Answer(first / contract.rate, {}, fault=fault)
            continue
        values = dict(zip(contract.labels, map(float, found[number]), strict=True))
        given = (
            label for label, least in zip(contract.labels, contract.thresholds, strict=True) if values[label] >= least
        )
        odd = quality.oddities(windows[number], contract.rate)
        yield Answer(first / contract.rate, values, tuple(given), oddity="; ".join(odd))


def _window(recording: Recording, contract: Contract, start: float | None) -> slice:
    """The samples, at the model's rate, of the window that begins at `start` seconds, or of all."""
    if start is not None and not math.isfinite(start):
        raise EcglibError(f"--start {start} is no time: give seconds from the beginning of the recording.")
    needed, lasts = contract.samples, recording.length_at(contract.rate)
    seconds, first = needed / contract.rate, round((start or 0) * contract.rate)
    if first < 0 or first + needed > lasts:
        where = f" from second {start:g} on" if start else ""
        raise EcglibError(f"{recording.title} lasts {recording.seconds:g} s: the model needs {seconds:g} s{where}.")
    if start is None and lasts > needed:
        raise EcglibError(
            f"{recording.title} lasts {recording.seconds:g} s, the model takes {seconds:g} s: choose them with "
            "--start SECONDS."
        )
    return slice(first, first + needed)


def recordings_in(paths: list[Path]) -> list[Path]:
    """The recordings that are named, and those in folders that are named.

    Raises:
        EcglibError: a folder holds none.
    """
    found: list[Path] = []
    for path in paths:
        inside = sorted(one for one in path.iterdir() if one.suffix.casefold() in FILES) if path.is_dir() else [path]
        if not inside:
            raise EcglibError(f"{path} holds no recording ({', '.join(FILES)}).")
        found += inside
    return found


def table(found: Mapping[str, list[Answer]]) -> pd.DataFrame:
    """The answers of recordings, a row a window."""
    rows = [
        # `contract.COLUMNS`: no label has one of these names.
        {"recording": name, "start": one.start, **one.probabilities, "given": " ".join(one.given)}
        | {"remark": one.fault or one.oddity}
        for name, of in found.items()
        for one in of
    ]
    frame = pd.DataFrame(rows)
    last = ["given", "remark"]
    return frame[[name for name in frame if name not in last] + last]


def compare(
    models: tuple[Path, Path], found: tuple[Mapping[str, list[Answer]], Mapping[str, list[Answer]]]
) -> pd.DataFrame:
    """How the answers of two models differ on the windows that both judged, a row a label.

    Raises:
        EcglibError: the models have other labels, or no window was judged by both.
    """
    first, second = (
        {(name, one.start): one for name, of in answered.items() for one in of if one.probabilities}
        for answered in found
    )
    pairs = [(answer, second[window]) for window, answer in first.items() if window in second]
    if not pairs:
        raise EcglibError("No window was judged by both models.")
    first_contract, second_contract = map(contracts.read_contract, models)
    if first_contract.labels != second_contract.labels:
        raise EcglibError(f"{models[0]} and {models[1]} answer different questions.")
    thresholds = zip(first_contract.thresholds, second_contract.thresholds, strict=True)
    rows = {}
    for label, (least, other) in zip(first_contract.labels, thresholds, strict=True):
        apart = np.array([b.probabilities[label] - a.probabilities[label] for a, b in pairs])
        changed = sum((label in a.given) != (label in b.given) for a, b in pairs)
        rows[label] = {
            "windows": len(pairs),
            "mean change": float(apart.mean()),
            "mean size of change": float(np.abs(apart).mean()),
            "largest change": float(apart[np.abs(apart).argmax()]),
            "given by one alone": changed,
            "threshold of A": least,
            "threshold of B": other,
        }
    return pd.DataFrame.from_dict(rows, orient="index").rename_axis("label")
