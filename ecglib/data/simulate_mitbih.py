"""A small MIT-BIH: 48 two-lead records of 85 s, whose classes differ as in reality.

Each record has its own heart rate, beat shapes and noise. S beats come early with a changed P wave. V beats come early,
are wide, have no P wave and are followed by a pause. F beats are between N and V. Which records have many abnormal
beats (208 of V and F, 232 of S) follows the directory of the real database (Moody and Mark 2001).
"""

import warnings
from pathlib import Path

import numpy as np

from ecglib.data.mitbih import FS, PACED, RECORDS

SECONDS = 85
GAIN, BASELINE = 200, 1024  # ADC units per mV and ADC value of 0 mV, as in the real records
LEADS = {"102": ("V5", "V2"), "104": ("V5", "V2"), "114": ("V5", "MLII")}
LEFT_BLOCK, RIGHT_BLOCK = ("109", "111", "207", "214"), ("118", "124", "212", "231")
# The chance of each abnormal class at a beat, in general and in single records.
BACKGROUND = {"S": 0.02, "V": 0.035, "F": 0.005}
CHANCES = {
    "100": {"S": 0.04}, "105": {"V": 0.05}, "106": {"V": 0.25}, "114": {"V": 0.05, "S": 0.02, "F": 0.01},
    "116": {"V": 0.06}, "118": {"S": 0.07, "V": 0.04}, "119": {"V": 0.22}, "200": {"V": 0.28, "S": 0.03},
    "201": {"S": 0.08, "V": 0.10}, "202": {"S": 0.05}, "203": {"V": 0.15}, "205": {"V": 0.05, "S": 0.03, "F": 0.02},
    "207": {"S": 0.06, "V": 0.06}, "208": {"V": 0.28, "S": 0.02, "F": 0.14}, "209": {"S": 0.14},
    "210": {"V": 0.08, "S": 0.03}, "213": {"V": 0.07, "F": 0.11}, "214": {"V": 0.11}, "215": {"V": 0.05},
    "220": {"S": 0.06}, "221": {"V": 0.16}, "222": {"S": 0.12}, "223": {"V": 0.17, "S": 0.05, "F": 0.03},
    "228": {"V": 0.17}, "232": {"S": 0.35}, "233": {"V": 0.25, "F": 0.02, "S": 0.01},
}  # fmt: skip
UNCLASSIFIABLE = ("101", "105", "108", "203", "222")  # two Q beats in each

Waves = dict[str, tuple[float, float, float]]  # name -> height (mV), centre (s from R), standard deviation (s)
SINUS: tuple[Waves, Waves] = (
    {
        "P": (0.13, -0.17, 0.024), "Q": (-0.10, -0.028, 0.009), "R": (1.15, 0.0, 0.011),
        "S": (-0.22, 0.028, 0.011), "T": (0.26, 0.27, 0.055),
    },
    {
        "P": (0.06, -0.17, 0.020), "Q": (0.0, -0.028, 0.009), "R": (0.22, -0.012, 0.010),
        "S": (-0.85, 0.014, 0.014), "T": (0.14, 0.26, 0.055),
    },
)  # fmt: skip
VENTRICULAR: tuple[Waves, Waves] = (
    {"R": (1.5, 0.0, 0.034), "S": (-0.55, 0.085, 0.035), "T": (-0.42, 0.29, 0.070)},
    {"R": (-1.1, 0.005, 0.036), "S": (0.40, 0.090, 0.035), "T": (0.36, 0.29, 0.070)},
)


def write(folder: Path, seed: int) -> None:
    """Write all records with their annotations into `folder`."""
    folder.mkdir(parents=True)
    for name in RECORDS:
        _write_record(folder, name, np.random.default_rng([seed, int(name)]))


def _write_record(folder: Path, name: str, rng: np.random.Generator) -> None:
    import wfdb

    person = _person(name, rng)
    times, symbols = _rhythm(name, rng)
    signals = _noise(rng)
    for time, symbol in zip(times, symbols, strict=True):
        _add_beat(signals, time, symbol, person, rng)
    leads = LEADS.get(name, ("MLII", "V1"))
    if leads[1] == "MLII":
        signals = signals[::-1]
    samples = np.round(times * FS).astype(int)
    # Two annotations that are not beats: the rhythm's name at the start, and a note on noise.
    noted = int(rng.integers(20 * FS, 60 * FS))
    samples = np.concatenate([[18], samples, [noted]])
    order = np.argsort(samples, kind="stable")
    every_symbol = np.array(["+", *symbols, "~"])[order]
    notes = np.array(["(N", *[""] * len(symbols), ""])[order]
    with warnings.catch_warnings():
        warnings.simplefilter("ignore", DeprecationWarning)  # wfdb under pandas 3
        wfdb.wrsamp(
            name, fs=FS, units=["mV", "mV"], sig_name=list(leads), p_signal=signals.clip(-4.9, 4.9).T,
            fmt=["212", "212"], adc_gain=[GAIN, GAIN], baseline=[BASELINE, BASELINE], write_dir=str(folder),
        )  # fmt: skip
        wfdb.wrann(name, "atr", samples[order], every_symbol.tolist(), aux_note=notes.tolist(), write_dir=str(folder))


def _person(name: str, rng: np.random.Generator) -> dict[str, tuple[Waves, Waves]]:
    """The shapes of a record's N and V beats, each for two leads."""
    sinus = tuple(_vary(waves, rng, height=0.22, shift=0.004, width=0.10) for waves in SINUS)
    ventricular = tuple(_vary(waves, rng, height=0.25, shift=0.006, width=0.14) for waves in VENTRICULAR)
    if rng.random() < 0.35:  # the QRS complex of another ectopic focus points the other way
        ventricular = tuple({key: (-h, c, w) for key, (h, c, w) in waves.items()} for waves in ventricular)
    if name in LEFT_BLOCK:
        for waves, sign in zip(sinus, (1, -1), strict=True):
            waves.update(Q=(0.0, -0.03, 0.01), R=(sign * 0.75, 0.0, 0.026), S=(sign * 0.45, 0.055, 0.024))
            waves["T"] = (-sign * 0.22, 0.29, 0.06)
    elif name in RIGHT_BLOCK:
        sinus[0].update(S=(-0.38, 0.055, 0.024))
        sinus[1].update(S=(-0.25, 0.018, 0.011), T=(-0.16, 0.27, 0.055))
        sinus[1]["R2"] = (0.55, 0.058, 0.020)
    return {"N": (sinus[0], sinus[1]), "V": (ventricular[0], ventricular[1])}


def _vary(waves: Waves, rng: np.random.Generator, height: float, shift: float, width: float) -> Waves:
    """Random waves around the given ones; `height` and `width` are relative, `shift` is in seconds."""
    draw = rng.normal(size=(len(waves), 3))
    return {
        key: (h * (1 + height * a), c + shift * b, w * np.exp(width * d))
        for (key, (h, c, w)), (a, b, d) in zip(waves.items(), draw, strict=True)
    }


def _rhythm(name: str, rng: np.random.Generator) -> tuple[np.ndarray, list[str]]:
    """Times (s) and symbols of a record's beats; respiration and chance vary the intervals."""
    interval, breathing = rng.uniform(0.66, 0.98), rng.uniform(0.2, 0.33)
    normal = "/" if name in PACED else "L" if name in LEFT_BLOCK else "R" if name in RIGHT_BLOCK else "N"
    chances = {} if name in PACED else BACKGROUND | CHANCES.get(name, {})
    kinds, weights = ["N", *chances], [1 - sum(chances.values()), *chances.values()]
    times: list[float] = []
    symbols: list[str] = []
    due = rng.uniform(0.5, 0.9)  # when the sinus node fires next
    while due < SECONDS - 0.6:
        here = interval * (1 + 0.03 * np.sin(2 * np.pi * breathing * due) + 0.015 * rng.normal())
        # A sinus beat follows every ectopic beat, so that the pause is visible.
        kind = "N" if not symbols or symbols[-1] in "AV" else str(rng.choice(kinds, p=weights))
        early = (1 - rng.uniform(0.58, 0.80)) * here if kind in "SV" else 0.0
        times.append(due - early)
        symbols.append({"N": normal, "S": "A"}.get(kind, kind))
        # S resets the sinus node. V does not reach it, so a fully compensatory pause follows.
        due += here - (early if kind == "S" else 0.0)
    if name in UNCLASSIFIABLE:
        for position in rng.choice(len(symbols), size=2, replace=False):
            symbols[position] = "Q"
    return np.array(times), symbols


def _add_beat(
    signals: np.ndarray, time: float, symbol: str, person: dict[str, tuple[Waves, Waves]], rng: np.random.Generator
) -> None:
    """Add one beat at `time` (s), slightly different from the person's others, to signals (2, T) in mV."""
    start, stop = max(0, int((time - 0.4) * FS)), min(signals.shape[1], int((time + 0.6) * FS))
    clock = np.arange(start, stop) / FS - time
    blend = {"V": 1.0, "/": 1.0, "F": rng.uniform(0.3, 0.65), "Q": rng.uniform(0.3, 0.7)}.get(symbol, 0.0)
    strength = np.exp(0.07 * rng.normal())
    atrial = rng.uniform(-0.9, 0.7) if symbol == "A" else 1.0  # an ectopic P wave has another origin
    for lead in range(2):
        sinus, ventricular = (_vary(person[kind][lead], rng, 0.06, 0.002, 0.05) for kind in "NV")
        height, centre, width = sinus["P"]
        sinus["P"] = (height * atrial, centre + (0.03 if symbol == "A" else 0.0), width)
        beat = (1 - blend) * _draw(sinus, clock) + blend * _draw(ventricular, clock)
        if symbol == "/":
            beat += 1.2 * (np.abs(clock + 0.06) < 0.004)  # the pacemaker's spike
        signals[lead, start:stop] += strength * beat


def _draw(waves: Waves, clock: np.ndarray) -> np.ndarray:
    """The sum of Gaussian waves at the times `clock` (T,), in s from the R peak."""
    height, centre, width = np.array(list(waves.values())).T[:, :, None]
    return (height * np.exp(-0.5 * ((clock - centre) / width) ** 2)).sum(axis=0)


def _noise(rng: np.random.Generator) -> np.ndarray:
    """Baseline wander, mains hum and muscle noise with a noisier stretch: (2, T) mV."""
    clock = np.arange(SECONDS * FS) / FS
    noise = np.empty((2, len(clock)))
    for lead in range(2):
        breathing = rng.uniform(0.05, 0.18) * np.sin(2 * np.pi * rng.uniform(0.2, 0.33) * clock + rng.uniform(0, 6))
        drift = rng.uniform(0.1, 0.3) * np.sin(2 * np.pi * rng.uniform(0.02, 0.06) * clock + rng.uniform(0, 6))
        hum = 0.008 * np.sin(2 * np.pi * 60 * clock)
        muscle = np.convolve(rng.normal(size=len(clock)), np.ones(3) / 3, mode="same") * rng.uniform(0.02, 0.05)
        stretch = int(rng.integers(0, (SECONDS - 8) * FS))
        muscle[stretch : stretch + 6 * FS] *= 6
        noise[lead] = breathing + drift + hum + muscle
    return noise
