"""R1's beats: the window, the R-peak rule, the scale, the splits, the cache; on real records the published counts."""

import os
import shutil
import time
from pathlib import Path

import numpy as np
import pytest
import wfdb

from ecglib.core.errors import EcglibError, EcglibWarning
from ecglib.data import mitbih, wfdb_files
from ecglib.data.mitbih import Beats, Record


def record(samples, symbols, length=2000):
    ramp = np.arange(length, dtype=float)
    return Record("100", ("MLII", "V1"), np.stack([ramp, -ramp]), np.array(samples), np.array(symbols))


def made_up_beats(counts, records=("100",)):
    """Beats of given class counts, dealt out to `records` in turn."""
    labels = np.concatenate([np.full(count, name) for name, count in counts.items()])
    names = np.array([records[position % len(records)] for position in range(len(labels))])
    near = np.ones(len(labels), dtype=bool)
    return Beats(
        np.zeros((len(labels), 2, 320), np.float32), labels, labels, names, np.arange(len(labels)), near, near, near
    )


def test_record_lists():
    assert len(mitbih.RECORDS) == 48
    assert len(mitbih.PATIENTS) == 44
    assert not set(mitbih.DS1) & set(mitbih.DS2)
    assert set(mitbih.PATIENTS) == set(mitbih.RECORDS) - {"102", "104", "107", "217"}


def test_window_starts_at_annotation_plus_one_minus_140():
    windows = mitbih.cut_beats(record([500], ["N"]).signals, np.array([500]))
    assert windows.shape == (1, 2, 320)
    assert windows[0, 0, 0] == 500 + 1 - 140
    assert windows[0, 0, -1] == 500 + 1 + 180 - 1
    assert np.array_equal(windows[0, 1], -windows[0, 0])


@pytest.mark.parametrize(("sample", "kept"), [(138, False), (139, True), (1819, True), (1820, False)])
def test_windows_that_leave_the_record_are_dropped(sample, kept):
    assert (len(mitbih.select_beats(record([sample], ["V"]), np.array([]))) == 1) == kept


@pytest.mark.parametrize(("peak", "kept"), [(511, False), (510, True), (492, True), (491, False)])
def test_a_normal_beat_needs_an_r_peak_less_than_10_samples_from_the_one_based_annotation(peak, kept):
    assert (len(mitbih.select_beats(record([500], ["N"]), np.array([peak]))) == 1) == kept


def test_r_peak_rule_against_a_slow_loop():
    rng = np.random.default_rng(0)
    samples, peaks = np.sort(rng.integers(200, 1700, 60)), np.sort(rng.integers(200, 1700, 40))
    kept = mitbih.select_beats(record(samples, ["N"] * 60), peaks)
    slow = [i for i, sample in enumerate(samples) if min(abs(int(peak) - (int(sample) + 1)) for peak in peaks) < 10]
    assert kept.tolist() == slow


def test_abnormal_beats_need_no_r_peak_and_other_annotations_are_no_beats():
    kept = mitbih.select_beats(record([400, 500, 600, 700, 800], ["V", "+", "N", "~", "j"]), np.array([]))
    assert kept.tolist() == [0, 4]


def test_the_filter_passes_10_hz_and_stops_wander_and_mains():
    time = np.arange(20 * mitbih.FS) / mitbih.FS
    middle = slice(5 * mitbih.FS, 15 * mitbih.FS)
    for frequency, low, high in ((10, 0.97, 1.03), (0.3, 0, 0.3), (60, 0, 0.02)):
        wave = np.sin(2 * np.pi * frequency * time)
        gain = np.abs(mitbih.bandpass(wave))[middle].max()
        assert low <= gain <= high, frequency
    wave = np.sin(2 * np.pi * 10 * time)
    assert np.corrcoef(wave[middle], mitbih.bandpass(wave)[middle])[0, 1] > 0.9999, "zero phase"


def test_scale_is_per_beat_and_lead_and_survives_a_flat_beat():
    signals = np.random.default_rng(0).normal(size=(3, 2, 320)).astype(np.float32)
    signals[1, 0] = 0.7
    scaled = mitbih.scale(signals)
    assert scaled.dtype == np.float32
    assert np.isfinite(scaled).all()
    assert (scaled[1, 0] == 0).all()
    low, high = signals[2, 1].min(), signals[2, 1].max()
    np.testing.assert_allclose(scaled[2, 1], 2 * (signals[2, 1] - low) / (high - low) - 1, atol=1e-6)


def test_report_split_gives_the_published_sizes():
    beats = made_up_beats({"N": 86_717, "S": 3_026, "V": 7_008, "F": 802, "Q": 15})
    split = mitbih.report_split(beats)
    assert mitbih.count_classes(beats.labels[split.train]) == {"N": 62_436, "S": 0, "V": 0, "F": 0, "Q": 0}
    assert len(split.validation) == 8_025
    assert mitbih.count_classes(beats.labels[split.test]) == {"N": 17_343, "S": 2_723, "V": 6_307, "F": 721, "Q": 13}
    everything = np.concatenate([part for _, part in split])
    assert len(np.unique(everything)) == len(beats), "no beat is lost or used twice"


def test_report_split_folds_and_seeds():
    beats = made_up_beats({"N": 1003, "S": 50, "V": 50, "F": 20, "Q": 5})
    normal = [part[beats.labels[part] == "N"] for part in (mitbih.report_split(beats, fold).test for fold in range(5))]
    assert len(np.unique(np.concatenate(normal))) == 1003, "the five test folds cover N once"
    again, other = mitbih.report_split(beats, 0, seed=42), mitbih.report_split(beats, 0, seed=43)
    assert np.array_equal(again.train, mitbih.report_split(beats).train)
    assert not np.array_equal(again.train, other.train)
    with pytest.raises(EcglibError, match="Fold 5 does not exist"):
        mitbih.report_split(beats, fold=5)


def test_patient_split_shares_no_patient():
    beats = made_up_beats({"N": 4400, "V": 880}, mitbih.PATIENTS)
    split = mitbih.patient_split(beats)
    patients = [set(beats.patients[part].tolist()) for _, part in split]
    assert not patients[0] & patients[1]
    assert not patients[0] & patients[2]
    assert not patients[1] & patients[2]
    assert set(beats.records[split.test]) == set(mitbih.DS2)
    assert "201" not in beats.records[split.train], "201's patient is tested on as 202"
    assert (beats.labels[split.train] == "N").all()


def test_simulated_beats_load_from_the_cache_again(simulated_root):
    beats = mitbih.load_beats(simulated_root)
    assert beats.signals.shape == (len(beats), 2, 320)
    assert beats.signals.dtype == np.float32
    assert beats.rhythm.shape == (len(beats), 2)
    assert isinstance(beats.signals, np.memmap)
    counts = mitbih.count_classes(beats.labels)
    assert all(counts.values())
    again = mitbih.load_beats(simulated_root)
    assert again.fingerprint == beats.fingerprint
    assert again.signals.filename == beats.signals.filename


def test_one_record_equals_its_part_of_all(simulated_root):
    beats, alone = mitbih.load_beats(simulated_root), mitbih.load_beats(simulated_root, records=("208",))
    of_208 = beats.records == "208"
    assert np.array_equal(beats.signals[of_208], alone.signals)
    assert np.array_equal(beats.samples[of_208], alone.samples)
    assert alone.fingerprint != beats.fingerprint


def test_rr_intervals_are_relative_to_the_usual_one_and_skip_what_is_no_beat():
    # A beat every 300 samples, one 90 early with its pause, and a rhythm annotation in between.
    samples = np.delete(np.arange(60) * 300 + 500, 30)
    samples = np.sort(np.append(samples, [500 + 30 * 300 - 90, 7777]))
    symbols = ["+" if sample == 7777 else "N" for sample in samples]
    ratios = mitbih.relative_rr(record(samples, symbols))
    early = int(np.flatnonzero(samples == 9410)[0])
    seconds = mitbih.rr_intervals(record(samples, symbols))
    assert seconds[early] == pytest.approx([210 / 360, 390 / 360])
    assert np.isnan(seconds[0, 0])
    assert np.isnan(seconds[-1, 1])
    assert np.isnan(seconds[int(np.flatnonzero(samples == 7777)[0])]).all()
    assert ratios[early] == pytest.approx([0.7, 1.3])
    assert ratios[early + 1] == pytest.approx([1.3, 1.0])
    assert ratios[0, 0] == ratios[-1, 1] == 1
    assert ratios[int(np.flatnonzero(samples == 7777)[0])].tolist() == [1, 1]
    assert np.delete(ratios, [early - 1, early, early + 1], axis=0) == pytest.approx(1)


def test_leads_of_record_114_are_swapped_back(simulated_root):
    assert mitbih.read_record(simulated_root, "114").leads == ("MLII", "V5")


def test_a_missing_or_damaged_record_says_what_to_do(tmp_path, simulated_root):
    folder = tmp_path / "mitdb" / "1.0.0"
    folder.mkdir(parents=True)
    with pytest.raises(EcglibError, match=r"100\.hea .*ecglib data verify mitdb"):
        mitbih.load_beats(tmp_path, records=("100",))
    for suffix in ("hea", "dat", "atr"):
        content = (simulated_root / "mitdb" / "1.0.0" / f"100.{suffix}").read_bytes()
        (folder / f"100.{suffix}").write_bytes(content if suffix != "dat" else content[:1000])
    with pytest.raises(EcglibError, match=r"Record 100 of MIT-BIH cannot be read .*ecglib data verify mitdb"):
        mitbih.load_beats(tmp_path, records=("100",))
    with pytest.raises(EcglibError, match="no record 99"):
        mitbih.load_beats(tmp_path, records=("99",))


@pytest.fixture
def copy_of_208(tmp_path, simulated_root):
    """A data root with one record, and the path of its files without suffix."""
    folder = tmp_path / "mitdb" / "1.0.0"
    folder.mkdir(parents=True)
    for suffix in ("hea", "dat", "atr"):
        (folder / f"208.{suffix}").write_bytes((simulated_root / "mitdb" / "1.0.0" / f"208.{suffix}").read_bytes())
    return tmp_path, folder / "208"


def test_a_changed_file_is_another_cache_entry_and_the_one_used_longest_ago_goes(copy_of_208, tmp_path, monkeypatch):
    root, path = copy_of_208
    monkeypatch.setenv("ECGLIB_CACHE", str(tmp_path / "cache"))
    monkeypatch.setattr(wfdb_files, "CACHED", 2)
    whole, files = path.with_suffix(".hea").read_text(), []
    for comments in (0, 1, 0, 2):  # the first is used again before the third is made
        path.with_suffix(".hea").write_text(whole + "# a comment\n" * comments)
        os.utime(path.with_suffix(".hea"), (comments, comments))
        files.append(Path(mitbih.load_beats(root, records=("208",)).signals.filename))
        time.sleep(0.01)
    assert len(set(files)) == 3
    assert [file.exists() for file in files] == [True, False, True, True]


def test_a_cache_that_is_removed_is_never_found_by_half(copy_of_208, tmp_path, monkeypatch):
    """Another process may look for it while its files go one by one; it would call it damaged."""
    root, path = copy_of_208
    monkeypatch.setenv("ECGLIB_CACHE", str(tmp_path / "cache"))
    monkeypatch.setattr(wfdb_files, "CACHED", 1)
    removed, remove = [], shutil.rmtree
    monkeypatch.setattr(shutil, "rmtree", lambda place, **how: (removed.append(Path(place)), remove(place, **how)))
    before = Path(mitbih.load_beats(root, records=("208",)).signals.filename).parent
    path.with_suffix(".hea").write_text(path.with_suffix(".hea").read_text() + "# a comment\n")
    mitbih.load_beats(root, records=("208",))
    beside = [place for place in removed if place.parent == before.parent]
    assert [place.name.startswith(f".{before.name}.") for place in beside] == [True]
    assert not before.exists()
    assert not beside[0].exists()


def test_a_changed_sample_does_not_fit_the_checksum_of_the_header(copy_of_208):
    root, path = copy_of_208
    content = bytearray(path.with_suffix(".dat").read_bytes())
    content[30_000] ^= 1
    path.with_suffix(".dat").write_bytes(content)
    with pytest.raises(EcglibError, match=r"record 208 .*checksums.*ecglib data verify mitdb"):
        mitbih.load_beats(root, records=("208",))


@pytest.mark.parametrize("damage", ["a byte", "emptied", "shorter", "gone", "digests"])
def test_a_damaged_cache_is_made_again(copy_of_208, damage):
    root, _ = copy_of_208
    before = mitbih.load_beats(root, records=("208",))
    file = Path(before.signals.filename)
    whole, expected = file.read_bytes(), np.array(before.signals)
    match damage:
        case "a byte":
            file.write_bytes(whole[:-5] + bytes([whole[-5] ^ 1]) + whole[-4:])
        case "shorter":
            np.save(file, expected[:-1])
        case "gone":
            file.unlink()
        case "emptied":
            file.write_bytes(b"")
        case "digests":
            (file.parent / "digests.json").write_bytes(b"")
    with pytest.warns(EcglibWarning, match="damaged and is made again"):
        again = mitbih.load_beats(root, records=("208",))
    assert np.array_equal(again.signals, expected)
    assert file.read_bytes() == whole


def rewritten(path, signals=None, annotations=None, units="mV", rate=360):
    """Write the copied record anew: `signals` (T, 2) mV in 16 bits, `annotations` as (samples, symbols)."""
    found, marks = wfdb.rdrecord(str(path)), wfdb.rdann(str(path), "atr")
    wfdb.wrsamp(
        path.name, fs=rate, units=[units] * 2, sig_name=found.sig_name, fmt=["16"] * 2, adc_gain=[1000] * 2,
        baseline=[0] * 2, p_signal=found.p_signal if signals is None else signals, write_dir=str(path.parent),
    )  # fmt: skip
    samples, symbols = annotations or (marks.sample, marks.symbol)
    wfdb.wrann(path.name, "atr", np.asarray(samples), list(symbols), write_dir=str(path.parent))


def beyond(x, marks):
    return None, (np.append(marks.sample, len(x) + 5), [*marks.symbol, "N"])


def clipped(x, marks):
    return x.clip(None, 0.2), None


# What is wrong with a record -> how (signals, annotations) is changed, and what the error says.
DAMAGED = {
    "no beat": (lambda x, marks: (None, ([5], ["+"])), "has no annotated beat"),
    "half of the annotations": (lambda x, marks: (None, (marks.sample[:60], marks.symbol[:60])), "break off"),
    "beyond the end": (beyond, "has annotations up to sample"),
    "twice": (lambda x, marks: (None, (np.repeat(marks.sample, 2), np.repeat(marks.symbol, 2))), "two of one sample"),
    "short": (lambda x, marks: (x[:300], (marks.sample[:1], marks.symbol[:1])), "lasts 300 samples"),
    "a flat lead": (lambda x, marks: (x * [0, 1], None), "a lead in which nothing changes for"),
    "clipped": (clipped, "at one end of its range"),
    "gain": (lambda x, marks: (x / 1000, None), "which no ECG does"),
}


@pytest.mark.parametrize("damage", DAMAGED)
def test_a_record_that_cannot_be_right_is_refused(copy_of_208, damage):
    root, path = copy_of_208
    change, message = DAMAGED[damage]
    found, marks = wfdb.rdrecord(str(path)), wfdb.rdann(str(path), "atr")
    rewritten(path, *change(found.p_signal, marks))
    with pytest.raises(EcglibError, match=rf"Record 208 of MIT-BIH .*{message}.*ecglib data verify mitdb"):
        mitbih.load_beats(root, records=("208",))


@pytest.mark.parametrize(("changed", "message"), [({"units": "uV"}, "in mV at 360 Hz"), ({"rate": 250}, "at 250 Hz")])
def test_another_unit_or_rate_is_refused(copy_of_208, changed, message):
    root, path = copy_of_208
    rewritten(path, **changed)
    with pytest.raises(EcglibError, match=message):
        mitbih.load_beats(root, records=("208",))


@pytest.mark.parametrize("content", [b"", b"\x00", "half"])
def test_annotations_that_break_off_are_refused(copy_of_208, content):
    root, path = copy_of_208
    whole = path.with_suffix(".atr").read_bytes()
    path.with_suffix(".atr").write_bytes(whole[: len(whole) // 2] if content == "half" else content)
    with pytest.raises(EcglibError, match=r"[Rr]ecord 208 .*(break off|cannot be read).*ecglib data verify mitdb"):
        mitbih.load_beats(root, records=("208",))


def test_a_record_that_loses_its_normal_beats_says_so(copy_of_208):
    """Hamilton's thresholds come from the first seconds, so that noise there hides all later R peaks."""
    root, path = copy_of_208
    signals = wfdb.rdrecord(str(path)).p_signal.copy()
    signals[: 10 * 360] = 5 * np.random.default_rng(0).standard_normal((3600, 2))
    rewritten(path, signals)
    for _ in range(2):  # from the cache, too
        with pytest.warns(EcglibWarning, match=r"Record 208 keeps \d+ of its \d+ N beats"):
            mitbih.load_beats(root, records=("208",))


@pytest.mark.real_data
def test_the_published_counts_come_out_exactly(real_root):
    beats = mitbih.load_beats(real_root)
    assert mitbih.count_classes(beats.labels) == {"N": 86_717, "S": 3_026, "V": 7_008, "F": 802, "Q": 15}
    assert len(beats) == 97_568
    far = mitbih.count_classes(beats.labels[~beats.near_peak])
    assert far["N"] == 0, "R1's rule"
    assert 0.45 < far["V"] / 7_008 < 0.6, "asked of V, the rule would drop about half of them"
    ticks, annotated = 0, 0
    for name in mitbih.PATIENTS:
        record = mitbih.read_record(real_root, name)
        ticks += record.signals.shape[1]
        kept = mitbih.select_beats(record, record.samples + 1)  # as if every annotation had its R peak
        annotated += int(np.isin(record.symbols[kept], list("NLR")).sum())
    assert ticks == 28_600_000
    assert annotated == 89_836, "N before the R-peak rule"
    assert mitbih.read_record(real_root, "114").leads == ("MLII", "V5")
    assert np.isfinite(mitbih.scale(beats.signals[::50])).all()


@pytest.mark.real_data
def test_real_splits(real_root):
    beats = mitbih.load_beats(real_root)
    split = mitbih.report_split(beats)
    assert [len(part) for _, part in split] == [62_436, 8_025, 27_107]
    assert mitbih.count_classes(beats.labels[split.test]) == {"N": 17_343, "S": 2_723, "V": 6_307, "F": 721, "Q": 13}
    by_patient = mitbih.patient_split(beats)
    assert not np.intersect1d(beats.patients[by_patient.train], beats.patients[by_patient.test]).size
    assert len(np.intersect1d(beats.patients[split.train], beats.patients[split.test])) == 43
