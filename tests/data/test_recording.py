"""Recordings of one's own: WFDB, EDF and tables give the same millivolts; what would have to be guessed is refused."""

import os
import re
import tracemalloc
import warnings

import numpy as np
import pandas as pd
import pytest
import wfdb

from ecglib.core.errors import EcglibError, EcglibWarning
from ecglib.data import ptbxl, quality
from ecglib.data.ptbxl import LEADS
from ecglib.data.recording import millivolts
from ecglib.data.recordings import open_recording


@pytest.fixture(scope="module")
def ecg(simulated_root):
    """(12, 1000) mV of one record at 100 Hz."""
    return np.asarray(ptbxl.load_records(simulated_root).signals[0], dtype=float)


def write(folder, x, rate=100, gain=1000, names=LEADS, unit="/mV", name="rec", change=lambda lines: lines, frame=0):
    """A WFDB record in format 16 with a header of our own; `frame` samples of each lead stand together."""
    digital = np.round(x * gain).clip(-32768, 32767).astype("<i2")
    stored = digital.reshape(len(x), -1, frame).transpose(1, 0, 2) if frame else digital.T
    (folder / f"{name}.dat").write_bytes(stored.tobytes())
    lines = [f"{name} {len(x)} {rate / (frame or 1):g} {x.shape[1] // (frame or 1)}"]
    for lead, values in zip(names, digital, strict=True):
        form = f"16x{frame}" if frame else "16"
        check = int(values.sum(dtype=np.int64)) & 0xFFFF
        lines.append(f"{name}.dat {form} {gain}(0){unit} 16 0 {values[0]} {check} 0 {lead}")
    (folder / f"{name}.hea").write_text("\n".join(change(lines)) + "\n", encoding="utf-8")
    return folder / name


def edited(old, new):
    """A change of every line but the first."""
    return lambda lines: [lines[0], *(line.replace(old, new) for line in lines[1:])]


def whole(path, **how):
    found = open_recording(path, **how).choose()
    return found.read(0, found.samples)


@pytest.mark.parametrize(
    ("unit", "factor"),
    [("mV", 1), ("mv", 1), ("uV", 1e-3), ("UV", 1e-3), ("µV", 1e-3), ("μV", 1e-3), ("nV", 1e-6), ("V", 1e3), ("v", 1e3)]
    + [(unit, None) for unit in ("MV", "Mv", "kV", "adu", "", "mmHg", "m", "pV", "mVolt")],
)  # fmt: skip
def test_units_of_voltage_and_what_is_none(unit, factor):
    assert millivolts(unit) == factor


@pytest.mark.parametrize(("unit", "gain"), [("/mV", 1000), ("", 1000), ("/uV", 1), ("/µV", 1), ("/nV", "1e-3")])
def test_a_record_is_read_in_millivolts_whatever_its_unit(tmp_path, ecg, unit, gain):
    path = write(tmp_path, ecg, change=edited("1000(0)/mV", f"{gain}(0){unit}"))
    assert whole(path) == pytest.approx(ecg, abs=0.0006)


def test_latin_1_headers_are_read_too(tmp_path, ecg):
    path = write(tmp_path, ecg, change=edited("1000(0)/mV", "1(0)/µV"))
    header = path.with_suffix(".hea")
    header.write_bytes(header.read_text(encoding="utf-8").encode("latin-1") + "# Müller\n".encode("latin-1"))
    assert whole(path) == pytest.approx(ecg, abs=0.0006)


def test_several_samples_a_frame_are_read_at_their_own_rate(tmp_path, ecg):
    """wfdb averages the samples of a frame: 10 Hz instead of 100."""
    path = write(tmp_path, ecg, frame=10)
    found = open_recording(path).choose()
    assert (found.rate, found.samples) == (100, 1000)
    assert found.read(0, 1000) == pytest.approx(ecg, abs=0.0006)
    assert found.read(123, 457) == pytest.approx(ecg[:, 123:457], abs=0.0006)


def test_parts_and_leads_in_any_order_are_those_of_the_whole(tmp_path, ecg):
    found = open_recording(write(tmp_path, ecg)).choose(["v5", "I", "AVF"])
    assert found.leads == ("V5", "I", "aVF")
    assert found.read(100, 300) == pytest.approx(ecg[[10, 0, 5], 100:300], abs=0.0006)
    with pytest.raises(EcglibError, match=r"has 1,000 samples: 900 to 1,001 are not among them"):
        found.read(900, 1001)


REFUSED = {
    "gain 0": (edited("1000(0)/mV", "0(0)/mV"), "Lead I of record .* has a gain of 0, so its millivolts are unknown"),
    "no gain": (lambda lines: [lines[0], *["rec.dat 16"] * 12], "has no gain, so its millivolts are unknown"),
    "gain 0 alone": (edited("1000(0)/mV", "0"), "has a gain of 0"),
    "negative gain": (edited("1000(0)/mV", "-1000(0)/mV"), "would turn it upside down"),
    "infinite gain": (edited("1000(0)/mV", "1e999(0)/mV"), "gain of 1e999"),
    "no voltage": (edited("/mV", "/mmHg"), "is in 'mmHg', not in a unit of voltage"),
    "megavolts": (edited("/mV", "/MV"), "is in 'MV'"),
    "too slow": (lambda lines: [lines[0].replace(" 100 ", " 49 "), *lines[1:]], "gives 49 samples a second"),
    "rate 0": (lambda lines: [lines[0].replace(" 100 ", " 0 "), *lines[1:]], "a rate of 0 Hz"),
    "rate below 0": (lambda lines: [lines[0].replace(" 100 ", " -100 "), *lines[1:]], "a rate of -100 Hz"),
    "rate nan": (lambda lines: [lines[0].replace(" 100 ", " nan "), *lines[1:]], "a rate of nan Hz"),
    "rate 1e-9": (lambda lines: [lines[0].replace(" 100 ", " 1e-9 "), *lines[1:]], "gives a rate of 1e-9 Hz"),
    "rate 1e300": (lambda lines: [lines[0].replace(" 100 ", " 1e300 "), *lines[1:]], "gives a rate of 1e300 Hz"),
    "too fast": (lambda lines: [lines[0].replace(" 100 ", " 1000000 "), *lines[1:]], "an ECG has 50 to 100,000"),
    "half a sample": (lambda lines: ["rec 12 100 1000.5", *lines[1:]], "a length of 1000.5 samples"),
    "a name in Hangul": (lambda lines: ["심전도 12 100 1000", *lines[1:]], "calls it '심전도': give it a plain ASCII"),
    "differences": (edited(" 16 1000", " 8 1000"), "in format 8, which is not read: convert it"),
    "no such format": (edited(" 16 1000", " 77 1000"), "in format 77, which is not read"),
    "half a zero": (edited("1000(0)/mV", "1000(0.5)/mV"), r"has the gain '1000\(0.5\)/mV', which cannot be read"),
    "a signal that was forgotten": (lambda lines: ["rec 6 100 1000", *lines[1:7]], "does that lack a signal"),
    "half the length": (lambda lines: ["rec 12 100 500", *lines[1:]], "or say too short a length"),
    "a lead twice": (edited(" V6", " I"), "has lead I more than once"),
    "a line more": (lambda lines: [*lines, "foo"], "announces 12 signals and describes 13"),
    "two formats in a file": (
        lambda lines: [lines[0], lines[1].replace(" 16 ", " 212 ", 1), *lines[2:]],
        "one file several formats",
    ),
    "no recorder's gain": (edited("1000(0)/mV", "1e-300(0)/mV"), "which no recorder has"),
    "a file elsewhere": (edited("rec.dat", "/dev/null"), "names /dev/null, which is not there, or is no plain file"),
    "a line short": (lambda lines: lines[:-1], "announces 12 signals and describes 11"),
    "no length": (lambda lines: ["rec 12 100", *lines[1:]], "does not say how many samples"),
    "no header": (lambda lines: ["what"], "no line that names it"),
    "no signal": (lambda lines: ["rec 0 100 1000"], "describes no signal"),
    "a cut line": (edited("rec.dat 16 1000(0)/mV", "rec.dat"), "gain of 0"),
}


@pytest.mark.parametrize("kind", REFUSED)
def test_a_header_that_would_need_a_guess_is_refused_in_one_line(tmp_path, ecg, kind):
    change, message = REFUSED[kind]
    path = write(tmp_path, ecg, change=change)
    with pytest.raises(EcglibError, match=message) as found:
        whole(path)
    assert "\n" not in str(found.value)


def test_a_pipe_is_not_waited_for(tmp_path, ecg):
    path = write(tmp_path, ecg)
    path.with_suffix(".dat").unlink()
    os.mkfifo(path.with_suffix(".dat"))
    with pytest.raises(EcglibError, match="is no plain file"):
        open_recording(path)


def test_a_skewed_record_has_the_checksum_of_its_file(tmp_path, ecg):
    path = write(tmp_path, ecg, change=lambda lines: [lines[0], lines[1].replace(" 16 ", " 16:7 ", 1), *lines[2:]])
    with warnings.catch_warnings():
        warnings.simplefilter("error")
        open_recording(path).choose().compare_checksums()


def test_a_damaged_file_of_the_right_size_is_said(tmp_path, ecg):
    path = write(tmp_path, ecg)
    with warnings.catch_warnings():
        warnings.simplefilter("error")
        open_recording(path).choose().compare_checksums()
    data = bytearray(path.with_suffix(".dat").read_bytes())
    data[6000:12000] = data[:6000]
    path.with_suffix(".dat").write_bytes(data)
    with pytest.warns(EcglibWarning, match="Lead I, II, .* does not have the checksum"):
        open_recording(path).choose().compare_checksums()


def test_a_short_or_missing_file_is_one_error(tmp_path, ecg):
    path = write(tmp_path, ecg)
    path.with_suffix(".dat").write_bytes(path.with_suffix(".dat").read_bytes()[:777])
    with pytest.raises(EcglibError, match=r"cannot be read .*complete WFDB record"):
        whole(path)
    path.with_suffix(".dat").unlink()
    with pytest.raises(EcglibError, match=r"names rec\.dat, which is not there"):
        whole(path)
    for wrong in (tmp_path / "nobody", tmp_path / "nul\0", tmp_path / "x.edf", tmp_path / "x.csv"):
        with pytest.raises(EcglibError, match=r"There is no|cannot be read"):
            open_recording(wrong)


def test_a_gap_is_missing_where_it_is_and_nowhere_else(tmp_path, ecg):
    x = np.tile(ecg, 3)
    gap = x.copy()
    digital = np.round(gap * 1000).astype("<i2")
    digital[:, 1200:1300] = -32768
    path = write(tmp_path, x)
    path.with_suffix(".dat").write_bytes(digital.T.tobytes())
    found = open_recording(path).choose()
    assert np.isnan(found.read(0, 3000)).any(axis=0).nonzero()[0].tolist() == list(range(1200, 1300))
    missing = np.isnan(found.resampled(250, 0, 7500)).all(axis=0).nonzero()[0]
    assert (missing[0], missing[-1]) == pytest.approx((3000, 3249), abs=2)
    assert np.isfinite(found.resampled(250, 5000, 7500)).all()


def test_segments_and_gaps_between_them(tmp_path, ecg):
    for number in (1, 2):
        write(tmp_path, number * ecg[:2], names=LEADS[:2], name=f"s{number}")
    (tmp_path / "multi.hea").write_text("multi/3 2 100 2500\ns1 1000\n~ 500\ns2 1000\n")
    found = open_recording(tmp_path / "multi").choose(["II", "I"])
    assert (found.samples, found.rate) == (2500, 100)
    x = found.read(0, 2500)
    assert x[:, :1000] == pytest.approx(ecg[[1, 0]], abs=0.0006)
    assert np.isnan(x[:, 1000:1500]).all()
    assert found.read(1500, 2500) == pytest.approx(2 * ecg[[1, 0]], abs=0.0006)
    write(tmp_path, ecg[:2], names=LEADS[:2], name="s2", change=edited("/mV", "/uV"))
    found = open_recording(tmp_path / "multi").choose(["I", "II"])
    assert found.read(1500, 2500) == pytest.approx(ecg[:2] / 1000, abs=1e-6), "each segment has a unit of its own"
    write(tmp_path, ecg[:1, :500], names=LEADS[:1], name="s2")
    with pytest.raises(EcglibError, match="has another rate or length"):
        open_recording(tmp_path / "multi")
    write(tmp_path, ecg[:2], names=LEADS[:2], name="s2")
    for header, message in (
        ("multi/3 2 100 2500\ns1 1000\n~ 500\n", "announces 3 segments of 2,500 frames and lists 2 of 1,500"),
        ("multi/2 2 100 20000\ns1 1000\ns2 1000\n", "announces 2 segments of 20,000 frames and lists 2 of 2,000"),
        ("multi/2 5 100 2000\ns1 1000\ns2 1000\n", "has 2 signals, and by its header 5"),
        ("multi/2 2 100\ns1 1000\n~ 99999999999\n", "last longer than a year"),
    ):
        (tmp_path / "multi.hea").write_text(header)
        with pytest.raises(EcglibError, match=message):
            open_recording(tmp_path / "multi")
    (tmp_path / "multi.hea").write_text("multi/1 2 100 1000\n../s1 1000\n")
    with pytest.raises(EcglibError, match="names no segment"):
        open_recording(tmp_path / "multi")


@pytest.mark.parametrize("rate", [500, 360, 250, 128.3, 62.5])
def test_another_rate_keeps_slow_waves_and_pieces_fit_each_other(tmp_path, rate):
    times = np.arange(int(40 * rate)) / rate
    x = np.array([np.sin(2 * np.pi * (1 + lead) * times / 2) for lead in range(2)])
    found = open_recording(write(tmp_path, x, rate=rate, names=("I", "II"))).choose()
    length = found.length_at(100)
    assert length == pytest.approx(4000, abs=2)
    y = found.resampled(100, 0, length)
    assert y.shape == (2, length)
    at = np.arange(length) / 100
    expected = np.array([np.sin(2 * np.pi * (1 + lead) * at / 2) for lead in range(2)])
    assert y[:, 50:-50] == pytest.approx(expected[:, 50:-50], abs=0.03)
    for first in (0, 777, 2000):
        assert found.resampled(100, first, first + 1000) == pytest.approx(y[:, first : first + 1000], abs=0.005)


def csv(folder, x, names, name="ecg.csv", **how):
    pd.DataFrame(x.T, columns=list(names)).to_csv(folder / name, index=False, **how)
    return folder / name


def test_a_table_with_times_or_with_a_rate(tmp_path, ecg):
    path = csv(tmp_path, ecg, LEADS)
    assert whole(path, rate=100) == pytest.approx(ecg, abs=1e-5)
    assert whole(csv(tmp_path, 1000 * ecg, LEADS), rate=100, unit="uV") == pytest.approx(ecg, abs=1e-5)
    timed = np.vstack([np.round(np.arange(1000) / 360, 3), ecg])  # in whole milliseconds, as often
    found = open_recording(csv(tmp_path, timed, ["Time", *LEADS])).choose()
    assert found.rate == pytest.approx(360, abs=0.1)
    assert found.leads == LEADS
    german = csv(tmp_path, 1000 * ecg, [f"{lead} (uV)" for lead in LEADS], sep=";", decimal=",")
    assert whole(german, rate=100) == pytest.approx(ecg, abs=1e-5)
    holes = ecg.copy()
    holes[2, 5:9] = np.nan
    assert np.isnan(whole(csv(tmp_path, holes, LEADS), rate=100)[2, 5:9]).all()
    holes[2, 5:9] = np.inf, -np.inf, 1e300, -1e7  # what no body can have
    assert np.isnan(whole(csv(tmp_path, holes, LEADS), rate=100)[2, 5:9]).all()
    path = csv(tmp_path, ecg[:2], LEADS[:2])
    lines = path.read_text().splitlines()
    path.write_text("\n".join([*lines[:11], "", "", *lines[13:]]) + "\n")  # two blank lines are two missing samples
    x = whole(path, rate=100)
    assert np.isnan(x[:, 10:12]).all()
    assert x[:, 12:] == pytest.approx(ecg[:2, 12:], abs=1e-5)
    path.write_text("I;II\n0;0\n" + "0,5;-0,145\n" * 100)  # whole numbers first
    assert whole(path, rate=100)[:, 1] == pytest.approx([0.5, -0.145])


def test_a_table_that_would_need_a_guess_is_refused(tmp_path, ecg):
    path = csv(tmp_path, ecg[:2], ("I", "II"))
    with pytest.raises(EcglibError, match="say its rate with --rate"):
        open_recording(path)
    for rate in (10, float("nan"), -100):
        with pytest.raises(EcglibError, match="samples a second"):
            open_recording(path, rate=rate)
    path.write_text("0.1,0.2\n0.1,0.3\n")
    with pytest.raises(EcglibError, match="must name the leads"):
        open_recording(path, rate=100)
    path.write_text("I,II\n0.1,0.2\n0.1,what\n")
    with pytest.raises(EcglibError, match="line 3, column II: 'what' is no number"):
        open_recording(path, rate=100)
    path.write_text("I,I\n0.1,0.2\n")
    with pytest.raises(EcglibError, match="two columns of one name"):
        open_recording(path, rate=100)
    path.write_text("I,II\n")
    with pytest.raises(EcglibError, match="no sample"):
        open_recording(path, rate=100)
    path.write_text("I (uV);II (uV)\n" + "5,000;1,000\n" * 9)
    with pytest.raises(EcglibError, match="numbers like 5,000: a decimal comma, or thousands"):
        open_recording(path, rate=100)
    path.write_text("I (uV),II\n1,2\n")
    with pytest.raises(EcglibError, match="says units in its first line: leave --unit out"):
        open_recording(path, rate=100, unit="mV")
    record = write(path.parent, ecg)
    for how in ({"rate": 100}, {"unit": "uV"}):
        with pytest.raises(EcglibError, match="leave --rate and --unit out"):
            open_recording(record, **how)
    with pytest.raises(EcglibError, match="Lead I was named twice"):
        open_recording(record).choose(["I", "i"])
    path.write_text("I (mmHg),II\n1,2\n")
    with pytest.raises(EcglibError, match=r"Lead I .* is in 'mmHg'"):
        open_recording(path, rate=100)
    path.write_text("time,I\n0,1\n0.01,2\n5,3\n5.01,2\n")
    with pytest.raises(EcglibError, match="do not rise by even steps"):
        open_recording(path)
    for rate in (500, 1000):  # where a missing row is no longer than the rounding of times
        times = [n / rate for n in range(2000) if n % 7]
        path.write_text("time,I\n" + "".join(f"{time:.3f},1\n" for time in times))
        with pytest.raises(EcglibError, match="do not rise by even steps"):
            open_recording(path)
    path.write_text("time,I\n0,1\n")
    with pytest.raises(EcglibError, match="has one sample"):
        open_recording(path)
    path.write_text("time (ms),I\n" + "".join(f"{n / 360:.4f},1\n" for n in range(400)))  # in seconds
    with pytest.raises(EcglibError, match=r"has 3.* samples a second"):
        open_recording(path)
    path.write_text(",I\n0,1\n1,2\n")
    with pytest.raises(EcglibError, match="is it an index"):
        open_recording(path, rate=100)
    path.write_bytes(b"I,II\n0.1,\xff\n")
    with pytest.raises(EcglibError, match=r"no text in UTF-8|cannot be read"):
        open_recording(path, rate=100)


def edf(path, x, rate=100, unit="mV", labels=LEADS):
    edfio = pytest.importorskip("edfio")
    signals = [
        edfio.EdfSignal(values, rate, label=label, physical_dimension=unit, physical_range=(-8, 8))
        for label, values in zip(labels, x, strict=True)
    ]
    edfio.Edf(signals).write(path)
    return path


def test_an_edf_file_gives_the_same(tmp_path, ecg):
    path = edf(tmp_path / "x.edf", ecg, labels=[f"ECG {lead}" for lead in LEADS])
    found = open_recording(path).choose(["v2", "I"])
    assert (found.leads, found.rate, found.samples) == (("V2", "I"), 100, 1000)
    assert found.read(150, 250) == pytest.approx(ecg[[7, 0], 150:250], abs=0.0006)
    path = edf(tmp_path / "y.edf", ecg, unit="mmHg")
    with pytest.raises(EcglibError, match="is in 'mmHg'"):
        whole(path)
    path.write_bytes(path.read_bytes()[:-500])
    with pytest.raises(EcglibError, match=r"damaged|complete EDF"):
        whole(path)
    whole_file = edf(tmp_path / "z.edf", ecg).read_bytes()
    for place, message in ((slice(244, 252), "cannot be read|is damaged"), (slice(1504, 1512), "range|cannot be read")):
        broken = bytearray(whole_file)
        broken[place] = b"nan     "
        path.write_bytes(broken)
        with pytest.raises(EcglibError, match=message):
            whole(path)
    for content, message in ((b"", "is empty"), (b"\xffBIOSEMI", "is BDF, which is not read")):
        path.write_bytes(content)
        with pytest.raises(EcglibError, match=message):
            open_recording(path)
    whole_file = bytearray(edf(tmp_path / "z.edf", ecg).read_bytes())
    whole_file[192:197] = b"EDF+D"
    path.write_bytes(whole_file)
    with pytest.raises(EcglibError, match="has gaps"):
        open_recording(path)
    path.write_bytes(b"not an EDF file")
    with pytest.raises(EcglibError, match="complete EDF"):
        open_recording(path)


def test_a_part_of_a_day_needs_the_memory_of_the_part(tmp_path):
    """24 hours at 360 Hz, two leads, 124 MB on disk."""
    length = 24 * 3600 * 360
    with (tmp_path / "day.dat").open("wb") as file:
        for _ in range(24):
            file.write(np.zeros((length // 24, 2), dtype="<i2").tobytes())
    (tmp_path / "day.hea").write_text(
        f"day 2 360 {length}\nday.dat 16 200(0)/mV 16 0 0 0 0 I\nday.dat 16 200(0)/mV 16 0 0 0 0 II\n"
    )
    found = open_recording(tmp_path / "day").choose()
    found.read(0, 3600)
    tracemalloc.start()
    assert found.resampled(100, 2_000_000, 2_001_000).shape == (2, 1000)
    found.compare_checksums()
    _, most = tracemalloc.get_traced_memory()
    tracemalloc.stop()
    assert most < 30e6


def test_the_faults_of_a_window_are_named(ecg):
    def said(x):
        return "; ".join(quality.faults(x, LEADS) + quality.oddities(x, 100))

    assert said(ecg) == ""
    stops = ecg.copy()
    stops[3, 300:] = stops[3, 300]
    assert "does not change for a quarter of its time or more in lead aVR" in said(stops)
    assert "same signal in leads I, II" in said(np.tile(ecg[:1], (12, 1)))
    double = ecg.copy()
    double[7] = -3 * double[6]
    assert "same signal in leads V1, V2" in said(double)
    clipped = ecg.clip(-0.05, None)
    assert "did the recorder clip it" in said(clipped)
    noise = np.random.default_rng(0).standard_normal((12, 1000))
    assert said(noise) == "does not look like an ECG: no QRS complexes stand out"
    sines = np.array([np.sin(2 * np.pi * (1 + n) * np.arange(1000) / 100) for n in range(12)])
    assert "does not look like an ECG" in said(sines)
    assert re.search(r"varies by 0 mV in I .*lead on", said(0 * ecg))
    assert "varies by" in said(ecg * 1000)
    assert "missing samples in lead II" in said(np.where(np.arange(12)[:, None] == 1, np.nan, ecg))


@pytest.mark.real_data
def test_no_real_record_has_a_fault(real_root):
    index = ptbxl.load_index(real_root, with_waveforms=True)
    signals = ptbxl.load_signals(real_root, index)
    for name, x in zip(index["filename_lr"], signals.astype(float), strict=True):
        assert not quality.faults(x, LEADS), name
        assert not quality.oddities(x, 100), name


@pytest.mark.real_data
def test_a_real_record_is_what_wfdb_reads(real_root):
    path = real_root / "mitdb" / "1.0.0" / "100"
    found = open_recording(path).choose()
    expected = wfdb.rdrecord(str(path), sampfrom=1000, sampto=5000).p_signal.T
    assert np.array_equal(found.read(1000, 5000), expected)
    with warnings.catch_warnings():
        warnings.simplefilter("error", EcglibWarning)
        found.compare_checksums()
