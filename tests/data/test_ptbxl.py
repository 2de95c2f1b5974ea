"""PTB-XL's index and waveforms: superclasses, order of leads, errors; on real files the published counts."""

import shutil
from dataclasses import replace

import numpy as np
import pandas as pd
import pytest
import wfdb
from sklearn.decomposition import PCA
from sklearn.linear_model import LogisticRegression
from sklearn.pipeline import make_pipeline
from sklearn.preprocessing import StandardScaler

from ecglib.core.errors import EcglibError, EcglibWarning
from ecglib.data import physionet, ptbxl
from ecglib.data.verify import verify
from ecglib.stats import metrics


@pytest.fixture(scope="module")
def index(simulated_root):
    return ptbxl.load_index(simulated_root, with_waveforms=True)


@pytest.fixture(scope="module")
def signals(simulated_root, index):
    return ptbxl.load_signals(simulated_root, index)


@pytest.fixture
def small_copy(tmp_path, simulated_root):
    """A PTB-XL with the waveforms of its first three records only."""
    source = simulated_root / "ptb-xl" / "1.0.3"
    folder = tmp_path / "ptb-xl" / "1.0.3"
    (folder / "records100" / "00000").mkdir(parents=True)
    for name in ("ptbxl_database.csv", "scp_statements.csv"):
        shutil.copy(source / name, folder / name)
    for number in (1, 2, 3):
        for suffix in ("hea", "dat"):
            name = f"records100/00000/{number:05d}_lr.{suffix}"
            shutil.copy(source / name, folder / name)
    return tmp_path


def test_superclasses_follow_the_statements(index):
    group = {"NORM": "NORM", "IMI": "MI", "AMI": "MI", "NDT": "STTC", "ISC_": "STTC", "LVH": "HYP"}
    group |= {"CRBBB": "CD", "CLBBB": "CD"}
    for _, row in index.iterrows():
        expected = {group[code] for code in row["scp_codes"] if code in group}
        assert {name for name in ptbxl.SUPERCLASSES if row[name]} == expected
    assert ptbxl.label_matrix(index).shape == (len(index), 5)
    assert ptbxl.label_matrix(index).sum() == index[list(ptbxl.SUPERCLASSES)].to_numpy().sum()


def test_unknown_metadata_stays_nan(index):
    assert index["height"].isna().any()
    assert index["age"].isna().any()


def test_folds_keep_patients_apart(index):
    assert (index.groupby("patient_id")["strat_fold"].nunique() == 1).all()
    assert index["patient_id"].duplicated().any()
    assert set(index["strat_fold"]) == set(range(1, 11))


def test_signals_are_millivolts_and_obey_einthoven_and_goldberger(signals, index):
    assert signals.shape == (len(index), 12, 1000)
    assert signals.dtype == np.float32
    one, two, three, avr, avl, avf = signals[:, :6].swapaxes(0, 1)
    rounding = 0.0021  # each lead is rounded to 1 microvolt
    assert np.abs(two - one - three).max() < rounding
    assert np.abs(avr + (one + two) / 2).max() < rounding
    assert np.abs(avl - one + two / 2).max() < rounding
    assert np.abs(avf - two + one / 2).max() < rounding
    assert 0.5 < np.abs(signals).max(axis=(1, 2)).mean() < 4


def test_with_waveforms_keeps_only_records_whose_files_are_there(small_copy, index):
    assert len(ptbxl.load_index(small_copy)) == len(index)
    assert ptbxl.load_index(small_copy, with_waveforms=True).index.tolist() == [1, 2, 3]


def test_missing_and_truncated_records_are_named(small_copy):
    index = ptbxl.load_index(small_copy)
    with pytest.raises(EcglibError, match=r"00004_lr.*ecglib data verify ptb-xl"):
        ptbxl.load_signals(small_copy, index.loc[[4]])
    path = small_copy / "ptb-xl" / "1.0.3" / "records100" / "00000" / "00002_lr.dat"
    path.write_bytes(path.read_bytes()[:1000])
    with pytest.raises(EcglibError, match=r"00002_lr.*ecglib data verify ptb-xl"):
        ptbxl.load_signals(small_copy, index.loc[[1, 2]])


def test_leads_in_another_order_are_refused(small_copy):
    path = small_copy / "ptb-xl" / "1.0.3" / "records100" / "00000" / "00001_lr.hea"
    lines = path.read_text().split("\n")
    lines[1], lines[2] = (
        f"{line.rsplit(' ', 1)[0]} {name}" for line, name in zip(lines[1:3], ("II", "I"), strict=True)
    )
    path.write_text("\n".join(lines))
    with pytest.raises(EcglibError, match="in the usual order"):
        ptbxl.load_signals(small_copy, ptbxl.load_index(small_copy).loc[[1]])


def correct_checksums(path):
    """Give the header of a 12-lead record in format 16 the checksums of its samples."""
    sums = np.frombuffer(path.read_bytes(), "<i2").reshape(-1, 12).sum(axis=0, dtype=np.int64)
    header = path.with_suffix(".hea")
    first, *lines = header.read_text().splitlines()
    fields = [line.split(" ") for line in lines[:12]]
    lines[:12] = [" ".join([*of[:6], str(total % 65536), *of[7:]]) for of, total in zip(fields, sums, strict=True)]
    header.write_text("\n".join([first, *lines]) + "\n")


@pytest.mark.parametrize(("old", "new"), [(b"/mV", b"/uV"), (None, b"\x00\x80")])
def test_another_unit_and_missing_samples_are_refused(small_copy, old, new):
    """-32768 is how format 16 writes a sample that is missing."""
    index = ptbxl.load_index(small_copy, with_waveforms=True)
    path = physionet.database_dir(small_copy, "ptb-xl") / f"{index['filename_lr'].iloc[0]}{'.hea' if old else '.dat'}"
    content = path.read_bytes()
    path.write_bytes(content.replace(old, new) if old else new + content[2:])
    correct_checksums(path.with_suffix(".dat"))
    with pytest.raises(EcglibError, match="not in mV throughout, or has missing samples: run 'ecglib data verify"):
        ptbxl.load_signals(small_copy, index[:1])


def test_a_broken_index_says_what_to_do(small_copy):
    (small_copy / "ptb-xl" / "1.0.3" / "ptbxl_database.csv").write_text("nothing,here\n1,2\n")
    with pytest.raises(EcglibError, match=r"lacks the column ecg_id.*ecglib data verify ptb-xl"):
        ptbxl.load_index(small_copy)


def table(root):
    """The index of a copy, and a function that writes it anew."""
    path = root / "ptb-xl" / "1.0.3" / "ptbxl_database.csv"
    return pd.read_csv(path), lambda changed: changed.to_csv(path, index=False)


def first(column, value):
    """Put a value into the first row."""
    return lambda t: t.assign(**{column: t[column].astype(object).where(t.index > 0, value)})


WRONG = {
    "no patient": (first("patient_id", np.nan), "line 2, column patient_id: nothing is no whole number"),
    "no fold": (first("strat_fold", np.nan), "line 2, column strat_fold: nothing is no whole number"),
    "half a fold": (first("strat_fold", 3.5), "line 2, column strat_fold: '3.5' is no whole number"),
    "a word for a fold": (first("strat_fold", "a"), "line 2, column strat_fold: 'a' is no whole number"),
    "fold 11": (first("strat_fold", 11), r"line 2 \(ecg_id 1\), column strat_fold: '11'; a fold is a number from 1"),
    "fold 0": (lambda t: t.assign(strat_fold=t.strat_fold - 1), "column strat_fold: '0'; a fold"),
    "a patient in two folds": (lambda t: t.assign(patient_id=1), "same patient is in another fold"),
    "a record twice": (lambda t: pd.concat([t, t[:1]]), r"line 322 \(ecg_id 1\), column ecg_id: '1'; another row"),
    "a number below 1": (first("ecg_id", -5), "column ecg_id: '-5'; a record's number is 1 or more"),
    "another record's file": (
        lambda t: t.assign(filename_lr=[t.filename_lr[1], t.filename_lr[0], *t.filename_lr[2:]]),
        "column filename_lr: 'records100/00000/00002_lr'; that is the file of another record",
    ),
    "no likelihood": (first("scp_codes", "{'NORM': 1e999}"), "it is no dictionary of statement -> likelihood"),
    "a truth for a likelihood": (first("scp_codes", "{'NORM': True}"), "it is no dictionary"),
    "a file twice": (
        lambda t: first("filename_lr", t.filename_lr[1])(t),
        "line 3 .* column filename_lr: .* another row",
    ),
    "no file": (first("filename_lr", np.nan), "line 2 .* column filename_lr: nothing; a record's name is like"),
    "a file elsewhere": (first("filename_lr", "records100/../../x"), r"'records100/\.\./\.\./x'; a record's name"),
    "an absolute file": (lambda t: t.assign(filename_lr="/" + t.filename_lr), "a record's name is like"),
    "no codes": (first("scp_codes", np.nan), "line 2 .* column scp_codes: nothing; it is no dictionary"),
    "a list of codes": (first("scp_codes", "['NORM']"), "it is no dictionary"),
    "a number for codes": (first("scp_codes", "5"), "it is no dictionary"),
    "codes in a list": (first("scp_codes", "[{'NORM': 100.0}]"), "it is no dictionary"),
    "codes without numbers": (first("scp_codes", "{'NORM': 'sure'}"), "it is no dictionary"),
    "code that runs": (first("scp_codes", "__import__('os').system('touch x')"), "it is no dictionary"),
    "deeply nested": (first("scp_codes", "[" * 900 + "]" * 900), "it is no dictionary"),
    "endless": (first("scp_codes", "{'NORM': " + "1" * 10**5 + "}"), "it is no dictionary"),
    "no column": (lambda t: t.drop(columns="patient_id"), "lacks the column patient_id"),
    "no row": (lambda t: t[:0], "a header and no row"),
}


@pytest.mark.parametrize("kind", WRONG)
def test_a_row_that_would_mislead_is_named_and_verify_says_so_too(small_copy, kind):
    change, message = WRONG[kind]
    before, write = table(small_copy)
    write(change(before))
    with pytest.raises(EcglibError, match=rf"ptbxl_database.csv.*{message}.*ecglib data verify ptb-xl"):
        ptbxl.load_index(small_copy)
    assert not verify("ptb-xl", small_copy).ok


def test_a_table_that_breaks_off_is_refused(small_copy):
    path = small_copy / "ptb-xl" / "1.0.3" / "ptbxl_database.csv"
    path.write_bytes(path.read_bytes()[:-7])
    with pytest.raises(EcglibError, match="breaks off in its last line"):
        ptbxl.load_index(small_copy)


@pytest.mark.parametrize("encoding", ["utf-8-sig", "latin-1"])
def test_a_byte_order_mark_is_read_over_and_another_encoding_is_said(small_copy, encoding):
    before, _ = table(small_copy)
    path = small_copy / "ptb-xl" / "1.0.3" / "ptbxl_database.csv"
    before.assign(report="M\u00fcller").to_csv(path, index=False, encoding=encoding)
    if encoding == "utf-8-sig":
        assert len(ptbxl.load_index(small_copy)) == len(before)
    else:
        with pytest.raises(EcglibError, match=r"ptbxl_database\.csv cannot be read .*utf-8"):
            ptbxl.load_index(small_copy)


def test_patients_as_floats_are_whole_numbers_and_unknown_codes_are_said(small_copy):
    before, write = table(small_copy)
    write(before.assign(patient_id=before.patient_id.astype(float)))  # as PhysioNet's own file has them
    assert ptbxl.load_index(small_copy)["patient_id"].dtype == np.int64
    write(first("scp_codes", "{'XYZ': 100.0}")(before))
    with pytest.warns(EcglibWarning, match=r"lacks 1 statements .*\(XYZ\)"):
        ptbxl.load_index(small_copy)


def test_an_older_version_is_read_and_said_to_be_one(small_copy):
    (small_copy / "ptb-xl" / "1.0.3").rename(small_copy / "ptb-xl" / "1.0.1")
    with pytest.warns(EcglibWarning, match=r"This is PTB-XL 1\.0\.1: 21,837 records, 38 of which"):
        assert ptbxl.load_records(small_copy).source == "PTB-XL 1.0.1"


def test_the_reports_split_needs_records(small_copy):
    records = ptbxl.load_records(small_copy)
    with pytest.raises(EcglibError, match=r"\d records are too few for R3's split"):
        ptbxl.report_split(records)


def test_simulated_superclasses_can_partly_be_told_apart(signals, index):
    """A logistic regression on spectra of the leads: better than chance, far from perfect."""
    spectra = np.log1p(np.abs(np.fft.rfft(signals, axis=-1))[..., 5:250].reshape(len(signals), 12, 49, 5).mean(-1))
    features, labels = spectra.reshape(len(signals), -1), ptbxl.label_matrix(index)
    train = (index["strat_fold"] <= 7).to_numpy()
    model = make_pipeline(StandardScaler(), PCA(40, random_state=0), LogisticRegression(C=0.01, max_iter=1000))
    areas = []
    for column in range(5):
        model.fit(features[train], labels[train, column])
        areas.append(metrics.auc(labels[~train, column] == 1, model.decision_function(features[~train])))
    assert 0.62 < np.mean(areas) < 0.97


@pytest.fixture(scope="module")
def records(simulated_root):
    return ptbxl.load_records(simulated_root)


def test_records_have_a_superclass_and_come_from_the_cache(records, simulated_root, index, signals, monkeypatch):
    assert records.targets.any(axis=1).all()
    assert len(records) == int(ptbxl.label_matrix(index).any(axis=1).sum()) < len(index)
    rows = index.index.get_indexer(records.ecg_ids)
    assert np.array_equal(records.signals, signals[rows])
    assert np.array_equal(records.targets, ptbxl.label_matrix(index)[rows])
    assert np.array_equal(records.folds, index["strat_fold"].to_numpy()[rows])
    monkeypatch.setattr(wfdb, "rdrecord", lambda *_: pytest.fail("read again"))
    again = ptbxl.load_records(simulated_root)
    assert again.fingerprint == records.fingerprint
    assert replace(again, targets=1 - again.targets).fingerprint != records.fingerprint


def test_no_waveform_at_all_says_what_to_fetch(small_copy):
    for path in (small_copy / "ptb-xl" / "1.0.3" / "records100").rglob("*.dat"):
        path.unlink()
    with pytest.raises(EcglibError, match="ecglib data download ptb-xl"):
        ptbxl.load_records(small_copy)


def test_the_benchmark_split_keeps_patients_apart_and_the_reports_does_not(records):
    ours, theirs = ptbxl.benchmark_split(records), ptbxl.report_split(records)
    for split in (ours, theirs):
        together = np.concatenate([members for _, members in split])
        assert sorted(together) == list(range(len(records))), "every record once"
    parts = [set(records.patients[members]) for _, members in ours]
    assert not (parts[0] & parts[1] or parts[0] & parts[2] or parts[1] & parts[2])
    assert set(records.patients[theirs.train]) & set(records.patients[theirs.test])
    assert len(theirs.test) == -(-len(records) // 5)


def test_the_reports_folds_are_stratified_and_share_one_test_part(records):
    splits = [ptbxl.report_split(records, fold) for fold in range(5)]
    assert len({tuple(split.test) for split in splits}) == 1
    assert len(set(np.concatenate([split.validation for split in splits]))) == len(records) - len(splits[0].test)
    shares = np.array([records.targets[split.validation].mean(axis=0) for split in splits])
    assert np.ptp(shares, axis=0).max() < 0.08, "every fold has its share of every class"
    with pytest.raises(EcglibError, match="Fold 5 does not exist"):
        ptbxl.report_split(records, 5)


def test_the_scaler_standardises_each_lead_by_the_training_records(records):
    train = np.asarray(records.signals[:50])
    scaler = ptbxl.Scaler.fit(train)
    scaled = scaler(train)
    assert scaled.dtype == np.float32
    assert scaled.mean(axis=(0, 2)) == pytest.approx(np.zeros(12), abs=1e-4)
    assert scaled.std(axis=(0, 2)) == pytest.approx(np.ones(12), rel=1e-4)
    other = np.asarray(records.signals[50:60])
    assert scaler(other)[3, 2, 7] == pytest.approx((other[3, 2, 7] - scaler.mean[2]) / scaler.deviation[2], abs=1e-5)
    assert np.array_equal(ptbxl.Scaler.none(12)(other), other)


@pytest.mark.real_data
def test_published_counts(real_root):
    index = ptbxl.load_index(real_root)
    counts = index[list(ptbxl.SUPERCLASSES)].sum().to_dict()
    assert counts == {"NORM": 9_514, "MI": 5_469, "STTC": 5_235, "CD": 4_898, "HYP": 2_649}
    assert len(index) == 21_799
    assert index["patient_id"].nunique() == 18_869
    assert int((ptbxl.label_matrix(index).sum(axis=1) == 0).sum()) == 411


@pytest.mark.real_data
def test_real_records(real_root):
    records = ptbxl.load_records(real_root)
    split = ptbxl.benchmark_split(records)
    if len(records) == 1_965:  # the mirror that holds the first 1,987 records: 22 of them carry no superclass
        assert [len(members) for _, members in split] == [1_481, 232, 252]
    parts = [set(records.patients[members]) for _, members in split]
    assert not (parts[0] & parts[1] or parts[0] & parts[2] or parts[1] & parts[2])


@pytest.mark.real_data
def test_real_waveforms(real_root):
    index = ptbxl.load_index(real_root, with_waveforms=True)
    assert len(index) >= 1_987
    signals = ptbxl.load_signals(real_root, index.head(50))
    assert isinstance(index, pd.DataFrame)
    assert np.isfinite(signals).all()
    one, two, three = signals[:, :3].swapaxes(0, 1)
    assert np.abs(two - one - three).max() < 0.01, "millivolts, in the order I, II, III"
