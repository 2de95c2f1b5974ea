"""A day fits into memory as well as an hour does: what a command holds does not grow with the recording."""

import subprocess
import sys

import numpy as np
import pytest
import torch
import wfdb

from ecglib.classifier import networks, onnx
from ecglib.classifier.contract import Contract
from ecglib.data import ptbxl
from ecglib.data.ptbxl import LEADS, Scaler

pytestmark = pytest.mark.skipif(not sys.platform.startswith("linux"), reason="memory is read from /proc")
MOST = 300  # MB, for a day
GROWTH = 25  # MB, between these
MINUTES = (("short", 40), ("long", 160))  # a file is read in blocks of up to half an hour
# The command, and then the most memory that its process held: `getrusage` would count that of the tests as well.
MEASURED = """
import re, sys
from pathlib import Path
from ecglib.book.cli import main
code = main(sys.argv[1:])
print(re.search(r"VmHWM:\\s+(\\d+) kB", Path("/proc/self/status").read_text())[1], file=sys.stderr)
sys.exit(code)
"""


def memory(*arguments):
    """MB"""
    done = subprocess.run([sys.executable, "-c", MEASURED, *arguments], capture_output=True, text=True)
    assert done.returncode == 0, done.stderr
    return int(done.stderr.splitlines()[-1]) / 1024


def write(folder, name, x, rate, leads, minutes):
    """x (L, T) again and again, as a record of 16-bit samples, written without holding it."""
    wfdb.wrsamp(
        name, fs=rate, units=["mV"] * len(leads), sig_name=list(leads), p_signal=x.T, write_dir=str(folder),
        fmt=["16"] * len(leads), adc_gain=[1000.0] * len(leads), baseline=[0] * len(leads),
    )  # fmt: skip
    header, data = folder / f"{name}.hea", folder / f"{name}.dat"
    once, times = data.read_bytes(), minutes * 60 * rate // x.shape[1]
    with data.open("wb") as file:
        for _ in range(times):
            file.write(once)
    first, *lines = header.read_text().splitlines()
    first = " ".join([*first.split()[:3], str(times * x.shape[1])])
    # Checksums are those of one part; without the last three fields a header states none.
    header.write_text("\n".join([first, *(line if line.startswith("#") else _short(line) for line in lines)]) + "\n")
    return folder / name


def _short(line):
    name, form, gain, bits, zero, *_, lead = line.split()
    return f"{name} {form} {gain} {bits} {zero} 0 0 0 {lead}"


@pytest.fixture
def model(tmp_path):
    torch.manual_seed(0)
    onnx.export(networks.ConvNet((8, 16)).eval(), Scaler.none(12), Contract(LEADS), tmp_path / "model.onnx")
    return str(tmp_path / "model.onnx")


def test_classify_holds_no_more_of_a_long_recording(tmp_path, simulated_root, model):
    x = np.asarray(ptbxl.load_records(simulated_root).signals[0], dtype=float)
    short, long = (
        memory("classify", str(write(tmp_path, name, x, 100, LEADS, minutes)), "--model", model)
        for name, minutes in MINUTES
    )
    assert long < MOST
    assert long - short < GROWTH


def test_detect_holds_no_more_of_a_long_recording(tmp_path, simulated_root):
    record = wfdb.rdrecord(str(simulated_root / "mitdb" / "1.0.0" / "208"))
    x = record.p_signal[: 60 * record.fs].T
    short, long = (
        memory(
            "detect", str(write(tmp_path, name, x, record.fs, record.sig_name, minutes)), "--out", str(tmp_path / name)
        )
        for name, minutes in MINUTES
    )
    assert long < MOST
    assert long - short < GROWTH
