"""The simulated databases: real WFDB files, classes that differ as real ones do, repeatable bytes."""

import filecmp
import warnings
from pathlib import Path

import numpy as np
import pytest
import wfdb
from sklearn.decomposition import PCA

from ecglib.data import mitbih, simulate, simulate_mitbih, simulate_ptbxl
from ecglib.stats import metrics


@pytest.fixture(scope="module")
def beats(simulated_root):
    return mitbih.load_beats(simulated_root)


def test_size_and_layout(simulated_root):
    files = [path for path in Path(simulated_root).rglob("*") if path.is_file()]
    assert sum(path.stat().st_size for path in files) < 20e6
    folder = Path(simulated_root) / "mitdb" / "1.0.0"
    assert {path.name for path in folder.iterdir()} == {
        f"{name}.{suffix}" for name in mitbih.RECORDS for suffix in ("hea", "dat", "atr")
    }


def test_wfdb_reads_the_files_back(simulated_root):
    path = str(Path(simulated_root) / "mitdb" / "1.0.0" / "208")
    with warnings.catch_warnings():
        warnings.simplefilter("ignore", DeprecationWarning)
        record, annotation = wfdb.rdrecord(path), wfdb.rdann(path, "atr")
    assert (record.fs, record.n_sig, record.sig_name) == (360, 2, ["MLII", "V1"])
    assert record.fmt == ["212", "212"]
    assert annotation.symbol[0] == "+"
    assert annotation.aux_note[0] == "(N"
    assert (np.diff(annotation.sample) > 0).all()


def test_every_class_is_there_in_about_its_real_share(beats):
    counts = mitbih.count_classes(beats.labels)
    shares = {name: count / len(beats) for name, count in counts.items()}
    assert 0.84 < shares["N"] < 0.92
    assert 0.02 < shares["S"] < 0.06
    assert 0.05 < shares["V"] < 0.11
    assert counts["F"] >= 20
    assert counts["Q"] >= 5


def test_both_halves_and_the_validation_records_hold_anomalies(beats):
    split = mitbih.patient_split(beats)
    for part in (split.validation, split.test):
        counts = mitbih.count_classes(beats.labels[part])
        assert min(counts["S"], counts["V"]) >= 10
        assert counts["F"] >= 3


def test_paced_records_hold_paced_beats(simulated_root):
    record = mitbih.read_record(simulated_root, "102")
    assert (record.symbols == "/").sum() > 50
    assert record.leads == ("V5", "V2")


def test_s_and_v_beats_come_early_and_v_is_followed_by_a_pause(simulated_root):
    record = mitbih.read_record(simulated_root, "200")
    is_beat = np.isin(record.symbols, list(mitbih.CLASS_OF_SYMBOL))
    symbols, intervals = record.symbols[is_beat], np.diff(record.samples[is_beat]) / mitbih.FS
    usual = np.median(intervals)
    before, after = intervals[:-1], intervals[1:]
    middle = symbols[1:-1]
    for symbol in "AV":
        assert (before[middle == symbol] < 0.9 * usual).all()
    assert np.median(after[middle == "V"]) > 1.15 * usual


def test_v_beats_are_wider_than_n_beats(beats):
    """Half-width of the main wave around the annotation, on the filtered signal."""
    x = np.abs(beats.signals[:, 0, 109:170])
    width = (x > 0.5 * x.max(axis=1, keepdims=True)).sum(axis=1)
    chosen = np.isin(beats.symbols, ["N"])
    assert np.median(width[beats.labels == "V"]) > 1.5 * np.median(width[chosen])


def test_anomalies_are_found_neither_trivially_nor_not_at_all(beats):
    split = mitbih.report_split(beats)
    x = mitbih.scale(beats.signals[:, 0])
    pca = PCA(20, random_state=0).fit(x[split.train])
    error = ((pca.inverse_transform(pca.transform(x[split.test])) - x[split.test]) ** 2).mean(axis=1)
    assert 0.75 < metrics.auc(beats.labels[split.test] != "N", error) < 0.99


def test_the_r_peak_rule_has_something_to_drop(beats, simulated_root):
    annotated = sum(
        np.isin(mitbih.read_record(simulated_root, name).symbols, list("NLR")).sum() for name in mitbih.PATIENTS
    )
    assert 0 < annotated - (beats.labels == "N").sum() < 0.05 * annotated


def test_same_seed_same_bytes_other_seed_other_bytes(tmp_path, monkeypatch):
    monkeypatch.setattr(simulate_mitbih, "RECORDS", ("100", "208"))
    monkeypatch.setattr(simulate_ptbxl, "RECORDS", 12)
    monkeypatch.setattr(simulate_ptbxl, "PATIENTS", 10)
    for name, seed in (("first", 1), ("again", 1), ("other", 2)):
        simulate.write_simulated(tmp_path / name, seed)
    files = [path.relative_to(tmp_path / "first") for path in (tmp_path / "first").rglob("*") if path.is_file()]
    equal, _, _ = filecmp.cmpfiles(tmp_path / "first", tmp_path / "again", files, shallow=False)
    assert len(equal) == len(files)
    _, different, _ = filecmp.cmpfiles(tmp_path / "first", tmp_path / "other", files, shallow=False)
    assert {path.suffix for path in map(Path, different)} >= {".dat", ".atr", ".csv"}
