"""A small PTB-XL: 320 twelve-lead records of 10 s at 100 Hz, with index, statements, patients and folds.

The heart is a moving dipole: each wave has a direction (left, down, front) and all leads see its projection, so that
Einthoven's and Goldberger's equations hold. A superclass changes the same waves as in reality. Its effects overlap with
the differences between healthy people, so a network can learn it, but not perfectly.
"""

import csv
import datetime
import warnings
from pathlib import Path

import numpy as np

from ecglib.data.ptbxl import FS, LEADS, SAMPLES

RECORDS, PATIENTS = 320, 270
GAIN = 1000  # ADC units per mV, as in the real records
# statement: description, superclass (empty if not diagnostic), subclass, share of its superclass
STATEMENTS = {
    "NORM": ("normal ECG", "NORM", "NORM", 1.0),
    "IMI": ("inferior myocardial infarction", "MI", "IMI", 0.5),
    "AMI": ("anterior myocardial infarction", "MI", "AMI", 0.5),
    "NDT": ("non-diagnostic T abnormalities", "STTC", "STTC", 0.4),
    "ISC_": ("non-specific ischemic", "STTC", "ISC_", 0.6),
    "CRBBB": ("complete right bundle branch block", "CD", "CRBBB", 0.5),
    "CLBBB": ("complete left bundle branch block", "CD", "CLBBB", 0.5),
    "LVH": ("left ventricular hypertrophy", "HYP", "LVH", 1.0),
    "SR": ("sinus rhythm", "", "", 0.0),
    "SBRAD": ("sinus bradycardia", "", "", 0.0),
    "LVOLT": ("low QRS voltages in the frontal and horizontal leads", "", "", 0.0),
}
# Combinations of superclasses and their shares, after R3's figure 5.
COMBINATIONS = {
    ("NORM",): 0.42, ("MI",): 0.13, ("STTC",): 0.11, ("CD",): 0.09, ("HYP",): 0.03, ("MI", "CD"): 0.06,
    ("STTC", "HYP"): 0.05, ("MI", "STTC"): 0.04, ("STTC", "CD"): 0.02, ("CD", "HYP"): 0.01,
    ("MI", "STTC", "HYP"): 0.01, ("NORM", "CD"): 0.015, (): 0.015,
}  # fmt: skip
# The weights (left, down, front) of I, II and V1 to V6; the other limb leads follow from I and II.
SEES = np.array([
    [1.00, 0.00, 0.00], [0.50, 0.87, 0.00], [-0.45, 0.15, 0.75], [-0.15, 0.15, 1.10],
    [0.40, 0.15, 0.90], [0.85, 0.20, 0.55], [1.00, 0.20, 0.10], [0.90, 0.20, -0.20],
])  # fmt: skip

Wave = tuple[np.ndarray, float, float]  # direction (left, down, front) in mV, centre (s from R), standard deviation (s)


def write(folder: Path, seed: int) -> None:
    """Write index, statements and waveforms into `folder`."""
    rng = np.random.default_rng([seed, 12])
    people = rng.permutation(np.concatenate([np.arange(PATIENTS), rng.integers(PATIENTS, size=RECORDS - PATIENTS)]))
    age = rng.normal(61, 16, PATIENTS).clip(18, 95).round()
    sex = rng.integers(2, size=PATIENTS)
    fold = rng.permutation(PATIENTS) % 10 + 1
    rows = []
    for ecg_id, person in enumerate(people, start=1):
        classes = list(COMBINATIONS)[rng.choice(len(COMBINATIONS), p=list(COMBINATIONS.values()))]
        codes = _statements(classes, rng)
        name = f"records100/00000/{ecg_id:05d}_lr"
        _write_record(folder / name, _signals(codes, rng))
        known = rng.random(2) < (0.95, 0.35)
        day = datetime.datetime(1990, 1, 1) + datetime.timedelta(minutes=int(rng.integers(5_000_000)))
        rows.append({
            "ecg_id": ecg_id, "patient_id": float(person + 1), "age": age[person] if known[0] else "",
            "sex": sex[person], "height": round(rng.normal(170, 9)) if known[1] else "",
            "weight": round(rng.normal(75, 14)) if known[1] else "", "recording_date": day.isoformat(" "),
            "scp_codes": str(codes), "strat_fold": fold[person], "filename_lr": name,
            "filename_hr": name.replace("100", "500", 1).replace("_lr", "_hr"),
        })  # fmt: skip
    _write_csv(folder / "ptbxl_database.csv", rows)
    header = ("", "description", "diagnostic", "form", "rhythm", "diagnostic_class", "diagnostic_subclass")
    rows = [
        dict(zip(header, (code, text, 1.0 if group else "", "", "" if group else 1.0, group, subclass), strict=True))
        for code, (text, group, subclass, _) in STATEMENTS.items()
    ]
    _write_csv(folder / "scp_statements.csv", rows)


def _write_csv(path: Path, rows: list[dict]) -> None:
    with path.open("w", newline="", encoding="utf-8") as file:
        writer = csv.DictWriter(file, fieldnames=list(rows[0]), lineterminator="\n")
        writer.writeheader()
        writer.writerows(rows)


def _statements(classes: tuple[str, ...], rng: np.random.Generator) -> dict[str, float]:
    """A statement of each superclass and of a rhythm, with their likelihoods."""
    codes = {}
    for name in classes:
        choices = [code for code, (_, group, _, _) in STATEMENTS.items() if group == name]
        shares = [STATEMENTS[code][3] for code in choices]
        codes[str(rng.choice(choices, p=shares))] = float(rng.choice([50, 80, 100]))
    codes[str(rng.choice(["SR", "SBRAD"], p=[0.9, 0.1]))] = 0.0
    return codes


def _signals(codes: dict[str, float], rng: np.random.Generator) -> np.ndarray:
    """Twelve leads (12, 1000) in mV."""
    waves = _heart(codes, rng)
    interval = rng.uniform(1.0, 1.25) if "SBRAD" in codes else rng.uniform(0.62, 1.0)
    clock = np.arange(SAMPLES) / FS
    dipole = np.zeros((3, SAMPLES))
    moment = rng.uniform(-0.5, 0.4)
    while moment < SAMPLES / FS + 0.4:
        strength = np.exp(0.05 * rng.normal())
        for direction, centre, width in waves.values():
            dipole += strength * direction[:, None] * np.exp(-0.5 * ((clock - moment - centre) / width) ** 2)
        moment += interval * (1 + 0.03 * rng.normal())
    one, two, *chest = SEES @ dipole + _noise(clock, rng)
    limb = (one, two, two - one, -(one + two) / 2, one - two / 2, two - one / 2)
    return np.stack([*limb, *chest])


def _heart(codes: dict[str, float], rng: np.random.Generator) -> dict[str, Wave]:
    """The waves of one heart: random ones of a healthy heart, changed by the diagnoses."""

    def vector(left: float, down: float, front: float) -> np.ndarray:
        return np.array([left, down, front]) * np.exp(0.22 * rng.normal()) + 0.06 * rng.normal(size=3)

    waves: dict[str, Wave] = {
        "P": (vector(0.07, 0.10, 0.02), -0.16, 0.025),
        "septum": (vector(-0.12, -0.05, 0.22), -0.025, 0.011),
        "R": (vector(0.95, 0.75, -0.45), 0.0, 0.017),
        "base": (vector(-0.12, -0.25, -0.35), 0.032, 0.013),
        "ST": (0.02 * rng.normal(size=3), 0.13, 0.045),
        "T": (vector(0.24, 0.20, 0.12), 0.27, 0.055),
    }

    def change(name: str, direction: np.ndarray | None = None, scale: float = 1.0, stretch: float = 1.0) -> None:
        before, centre, width = waves[name]
        waves[name] = (before * scale + (0 if direction is None else direction), centre, width * stretch)

    def strength() -> float:
        return float(np.exp(0.6 * rng.normal()))  # from barely visible to obvious

    if {"IMI", "AMI"} & codes.keys():
        dead = np.array([0.0, 1.0, 0.1]) if "IMI" in codes else np.array([0.25, 0.0, 1.0])
        s = strength()
        change("septum", -0.28 * s * dead, stretch=1.3)  # a Q wave: the dead wall no longer pulls
        change("R", -0.20 * s * dead)
        change("ST", 0.05 * s * dead)
        change("T", -0.14 * s * dead)
    if {"NDT", "ISC_"} & codes.keys():
        s = strength()
        change("T", scale=1 - min(0.75 * s, 1.7))
        if "ISC_" in codes:
            change("ST", -0.07 * s * np.array([0.8, 0.5, 0.4]))
    if "CRBBB" in codes:
        waves["R'"] = (0.42 * strength() * np.array([-0.7, -0.1, 0.9]), 0.060, 0.020)
    if "CLBBB" in codes:
        s = strength()
        change("R", stretch=1 + 0.5 * s)
        change("septum", scale=0.1)
        change("T", scale=1 - 0.7 * s)
    if "LVH" in codes:
        s = strength()
        change("R", scale=1 + 0.40 * s)
        change("T", -0.10 * s * np.array([1.0, 0.6, 0.2]))
    return waves


def _noise(clock: np.ndarray, rng: np.random.Generator) -> np.ndarray:
    """Baseline wander and muscle noise of the eight independent leads: (8, T) mV."""
    phase, slow = rng.uniform(0, 6, (8, 1)), rng.uniform(0.15, 0.4, (8, 1))
    wander = rng.uniform(0.01, 0.08, (8, 1)) * np.sin(2 * np.pi * slow * clock + phase)
    return wander + rng.uniform(0.010, 0.035) * rng.normal(size=(8, len(clock)))


def _write_record(path: Path, signals: np.ndarray) -> None:
    import wfdb

    path.parent.mkdir(parents=True, exist_ok=True)
    with warnings.catch_warnings():
        warnings.simplefilter("ignore", DeprecationWarning)  # wfdb under pandas 3
        wfdb.wrsamp(
            path.name, fs=FS, units=["mV"] * 12, sig_name=[lead.upper() for lead in LEADS], p_signal=signals.T,
            fmt=["16"] * 12, adc_gain=[GAIN] * 12, baseline=[0] * 12, write_dir=str(path.parent),
        )  # fmt: skip
