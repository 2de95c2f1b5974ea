"""From a WFDB record to probabilities: leads by name, any unit and rate; one clear error for all that does not fit."""

import io
import json
from pathlib import Path

import numpy as np
import pandas as pd
import pytest
import torch
import wfdb
from scipy import signal

from ecglib.book.cli import main
from ecglib.classifier import classify, export, networks, onnx, task
from ecglib.classifier.onnx import Contract
from ecglib.classifier.task import ClassifierConfig
from ecglib.classifier.training import Settings, probabilities
from ecglib.core.errors import EcglibError, EcglibWarning
from ecglib.data import ptbxl
from ecglib.data.ptbxl import LEADS, SUPERCLASSES, Scaler
from ecglib.runs.obtain import obtain
from ecglib.stats import multilabel

CONTRACT = Contract(LEADS)


@pytest.fixture(scope="module")
def ecg(simulated_root):
    """(12, 1000) mV of one record, twenty seconds of it at 500 Hz are made where a test needs them."""
    return np.asarray(ptbxl.load_records(simulated_root).signals[0], dtype=float)


@pytest.fixture(scope="module")
def model_file(tmp_path_factory):
    torch.manual_seed(0)
    path = tmp_path_factory.mktemp("model") / "model.onnx"
    onnx.export(networks.ConvNet((8, 16)).eval(), Scaler.none(12), CONTRACT, path)
    return path


def write(folder, x, rate=100, names=LEADS, unit="mV", name="rec", gain=1000.0):
    units = [unit] * len(names)
    fmt, adc_gain, baseline = (["16"] * len(names), [gain] * len(names), [0] * len(names))
    wfdb.wrsamp(
        name, fs=rate, units=units, sig_name=list(names), p_signal=x.T, fmt=fmt, adc_gain=adc_gain, baseline=baseline,
        write_dir=str(folder),
    )  # fmt: skip
    return folder / name


def test_leads_are_found_by_name_whatever_their_order_and_case(tmp_path, ecg):
    expected = classify.read_record(write(tmp_path, ecg), CONTRACT)
    assert expected.shape == (1, 12, 1000)
    assert expected.dtype == np.float32
    assert expected[0] == pytest.approx(ecg, abs=0.002)
    order = np.random.default_rng(0).permutation(12)
    names = [LEADS[n].upper() for n in order]
    shuffled = np.vstack([ecg[order], ecg[:1]])  # and one lead more than the model needs
    found = classify.read_record(write(tmp_path, shuffled, names=[*names, "X"], name="other"), CONTRACT)
    assert found == pytest.approx(expected, abs=0.002)
    single = classify.read_record(tmp_path / "other.hea", Contract(("I",)))
    assert single[0, 0] == pytest.approx(ecg[0], abs=0.002), "a lead-I model takes lead I"


@pytest.mark.parametrize("rate", [500, 360, 250, 128.3, 499.8])
def test_any_rate_gives_as_many_samples_as_the_model_needs(tmp_path, ecg, rate):
    times = np.arange(int(11 * rate)) / rate
    x = np.array([np.interp(times, np.arange(1100) / 100, np.tile(lead, 2)[:1100]) for lead in ecg])
    found = classify.read_record(write(tmp_path, x, rate=rate), CONTRACT, start=0)
    assert found.shape == (1, 12, 1000)
    assert np.corrcoef(found[0].ravel(), ecg.ravel())[0, 1] > 0.98


def test_a_longer_record_needs_a_start(tmp_path, ecg):
    path = write(tmp_path, np.hstack([ecg, 2 * ecg]))
    with pytest.raises(EcglibError, match=r"lasts 20 s, the model takes 10 s: choose them with --start"):
        classify.read_record(path, CONTRACT)
    assert classify.read_record(path, CONTRACT, start=10)[0] == pytest.approx(2 * ecg, abs=0.003)
    with pytest.raises(EcglibError, match=r"needs 10 s from second 12 on"):
        classify.read_record(path, CONTRACT, start=12)
    with pytest.raises(EcglibError, match=r"needs 10 s from second -1 on"):
        classify.read_record(path, CONTRACT, start=-1)
    for start in (np.nan, np.inf):
        with pytest.raises(EcglibError, match=r"--start (nan|inf) is no time"):
            classify.read_record(path, CONTRACT, start=start)


def changed(ecg, lead, part, value):
    x = ecg.copy()
    x[lead, part] = value
    return x


REFUSED = {
    "short": (lambda x: x[:, :990], {}, r"lasts 9\.9 s: the model needs 10 s"),
    "another lead": (lambda x: x, {"names": ["MLII", *LEADS[1:]]}, r"lacks lead I: it has MLII, II"),
    "pressure": (lambda x: x, {"unit": "mmHg"}, "is in 'mmHg', not in a unit of voltage"),
    "microvolts called millivolts": (lambda x: 1000 * x, {"gain": 10}, r"varies by [\d,.e+]+ mV in I"),
    "millivolts called microvolts": (lambda x: x / 1000, {"gain": 1e6}, r"varies by 0\.0\d+ mV in I"),
    "a flat lead": (lambda x: changed(x, 7, slice(None), 0.25), {}, r"varies by 0 mV in V2 .*is the lead on"),
    "an electrode off": (lambda x: changed(x, 7, slice(300, None), 0.25), {}, "does not change .* in lead V2"),
    "missing samples": (lambda x: changed(x, 6, slice(100, 110), np.nan), {}, "missing samples in lead V1"),
    "copies": (lambda x: np.tile(x[:1], (12, 1)), {}, "the same signal in leads I, II"),
}


@pytest.mark.parametrize("kind", REFUSED)
def test_what_cannot_be_an_ecg_is_refused_with_the_reason(tmp_path, ecg, kind, model_file, capsys):
    change, how, message = REFUSED[kind]
    path = write(tmp_path, change(ecg), **how)
    with pytest.raises(EcglibError, match=message):
        classify.read_record(path, CONTRACT)
    assert main(["classify", str(path), "--model", str(model_file)]) == 1
    assert len(capsys.readouterr().err.splitlines()) == 1


def test_noise_is_answered_and_said_not_to_look_like_an_ecg(tmp_path, model_file, capsys):
    path = write(tmp_path, np.random.default_rng(0).standard_normal((12, 1000)))
    with pytest.warns(EcglibWarning, match="does not look like an ECG"):
        classify.read_record(path, CONTRACT)
    assert main(["classify", str(path), "--model", str(model_file)]) == 0
    assert "does not look like an ECG" in capsys.readouterr().err


def test_the_command_prints_five_probabilities(tmp_path, ecg, model_file, capsys):
    path = write(tmp_path, signal.resample_poly(ecg, 5, 1, axis=1), rate=500)
    assert main(["classify", str(path), "--model", str(model_file)]) == 0
    rows = [line.split() for line in capsys.readouterr().out.splitlines()]
    assert [row[0] for row in rows] == ["NORM", "MI", "STTC", "CD", "HYP"]
    expected = probabilities(onnx.run(onnx.open_model(model_file), classify.read_record(path, CONTRACT)))[0]
    assert [float(row[1]) for row in rows] == pytest.approx(expected, abs=6e-4)
    assert [len(row) == 3 for row in rows] == (expected >= 0.5).tolist()
    assert main(["classify", str(tmp_path / "none"), "--model", str(model_file)]) == 1
    assert "There is no record" in capsys.readouterr().err
    assert main(["classify", str(path), "--model", str(tmp_path / "none.onnx")]) == 1
    assert "There is no model" in capsys.readouterr().err


def test_each_window_of_a_long_record_gets_a_row_and_a_bad_one_its_reason(tmp_path, ecg, model_file, capsys):
    long = np.tile(ecg, 5)[:, :4700]  # four whole windows, and what is left over
    long[3, 1000:2000] = 0.1
    path = write(tmp_path, long)
    assert main(["classify", str(path), "--model", str(model_file), "--format", "csv"]) == 0
    table = pd.read_csv(io.StringIO(capsys.readouterr().out))
    assert table["start"].tolist() == [0, 10, 20, 30]
    assert table["NORM"].notna().tolist() == [True, False, True, True]
    assert "0 mV in aVR" in table["remark"][1]
    alone = classify.read_record(path, CONTRACT, start=20)
    expected = probabilities(onnx.run(onnx.open_model(model_file), alone))[0]
    assert table.loc[2, list(SUPERCLASSES)].astype(float).tolist() == pytest.approx(expected, abs=1e-4)
    assert main(["classify", str(path), "--model", str(model_file)]) == 0
    lines = capsys.readouterr().out.splitlines()
    assert [line.split(":")[0] for line in lines] == ["from 0 s", "from 10 s", "from 20 s", "from 30 s"]
    assert "no answer" in lines[1]
    assert main(["classify", str(path), "--model", str(model_file), "--start", "20", "--format", "json"]) == 0
    (row,) = json.loads(capsys.readouterr().out)
    assert (row["start"], row["NORM"]) == (20, pytest.approx(expected[0], abs=1e-4))


def test_a_folder_is_worked_through_and_what_cannot_be_read_is_said(tmp_path, ecg, model_file, capsys):
    folder = tmp_path / "기록 모음"
    folder.mkdir()
    write(folder, ecg, name="a")
    write(folder, ecg[:, :500], name="b")
    pd.DataFrame({"time": np.arange(1000) / 100, **dict(zip(LEADS, ecg, strict=True))}).to_csv(
        folder / "c.csv", index=False
    )
    assert main(["classify", str(folder), "--model", str(model_file), "--format", "csv"]) == 1
    shown = capsys.readouterr()
    table = pd.read_csv(io.StringIO(shown.out))
    assert [Path(name).name for name in table["recording"]] == ["a.hea", "c.csv"]
    assert np.ptp(table["NORM"]) < 0.001, "the same ECG"
    assert "b lasts 5 s" in shown.err
    (tmp_path / "empty").mkdir()
    assert main(["classify", str(tmp_path / "empty"), "--model", str(model_file)]) == 1
    assert "holds no recording" in capsys.readouterr().err


def test_models_of_other_leads_are_compared_where_both_answer(tmp_path, ecg, model_file, capsys):
    """The second record has lead I alone, which the first model cannot judge."""
    torch.manual_seed(1)
    onnx.export(networks.ConvNet((8,), leads=1).eval(), Scaler.none(1), Contract(("I",)), tmp_path / "one.onnx")
    (tmp_path / "records").mkdir()
    write(tmp_path / "records", np.tile(ecg, 2), name="all")
    write(tmp_path / "records", ecg[:1], names=("I",), name="one")
    command = ["compare", str(model_file), str(tmp_path / "one.onnx"), str(tmp_path / "records"), "--format", "csv"]
    assert main(command) == 1
    shown = capsys.readouterr()
    assert pd.read_csv(io.StringIO(shown.out))["windows"].tolist() == [2] * 5
    assert "lacks lead II" in shown.err


def test_two_models_are_compared_on_recordings(tmp_path, ecg, model_file, capsys):
    torch.manual_seed(1)
    onnx.export(networks.ConvNet((8, 16)).eval(), Scaler.none(12), CONTRACT, tmp_path / "other.onnx")
    path = write(tmp_path, np.tile(ecg, 3))
    assert main(["compare", str(model_file), str(tmp_path / "other.onnx"), str(path), "--format", "csv"]) == 0
    table = pd.read_csv(io.StringIO(capsys.readouterr().out), index_col="label")
    x = np.stack([classify.read_record(path, CONTRACT, start)[0] for start in (0, 10, 20)])
    first, second = (
        probabilities(onnx.run(onnx.open_model(model), x)) for model in (model_file, tmp_path / "other.onnx")
    )
    assert table["windows"].tolist() == [3] * 5
    assert table["mean change"].tolist() == pytest.approx((second - first).mean(axis=0).tolist(), abs=1e-4)
    assert (table[["threshold of A", "threshold of B"]] == 0.5).all(axis=None)
    assert table["given by one alone"].tolist() == ((first >= 0.5) != (second >= 0.5)).sum(axis=0).tolist()


def test_the_exported_student_can_be_used(tmp_path, simulated_root, monkeypatch, capsys):
    """Train, export in INT8, read the contract, classify: as a user does, and the numbers are those of the run."""
    records = ptbxl.load_records(simulated_root)
    store = tmp_path / "papermill_runs" / "smoke" / "runs"
    monkeypatch.setenv("ECGLIB_OUTPUT", str(tmp_path))
    configs = [
        ClassifierConfig(records.fingerprint, Settings(seed=seed, epochs=epochs, batch_size=32), network="57K")
        for seed, epochs in ((0, 1), (1, 6))
    ]
    runs = [obtain(config, records, store, "cpu") for config in configs]
    assert main(["export", "57K", "--int8", str(tmp_path / "out.onnx"), "--profile", "smoke"]) == 0
    assert runs[1].folder.name in capsys.readouterr().out, "the one with the lower validation loss"
    assert sorted(path.name for path in tmp_path.iterdir()) == ["out.onnx", "papermill_runs"], "nothing is left behind"
    contract = onnx.read_contract(tmp_path / "out.onnx")
    assert contract.source == runs[1].folder.name
    assert contract.data == f"simulated, {len(configs[1].choose(records).train)} training records"
    assert contract.mean == runs[1].scaler.mean
    assert contract.deviation == runs[1].scaler.deviation
    assert contract.leads == LEADS
    test = configs[1].choose(records).test
    logits = onnx.run(onnx.open_model(tmp_path / "out.onnx"), np.asarray(records.signals[test]))
    auc = multilabel.class_metrics(records.targets[test], logits, SUPERCLASSES)["auc"]
    assert contract.metrics["auc"] == pytest.approx(auc, abs=1e-4), "what INT8 gives, not what float gave"
    assert auc == pytest.approx(runs[1].metrics["test"]["auc"], abs=0.006)
    # What notebook 05 shows is what the command writes: the run with the lowest validation loss, not the first seed.
    assert export.contract_of_best("57K", "smoke", int8=True) == contract
    assert contract.source == task.best_run(store, "57K").folder.name != runs[0].folder.name
    with monkeypatch.context() as patch:
        patch.setattr(task.ClassifierRun, "config", property(lambda run: {"data": run.folder.name}))
        with pytest.raises(EcglibError, match="trained on different records"):
            task.best_run(store, "57K")
    shown = export.contract_table({"57K": contract})["57K"]
    assert (shown["the run"], shown["precision"], shown["rate, Hz"]) == (runs[1].folder.name, "int8", "100")
    assert shown["metrics"].startswith(f"macro-AUC {contract.metrics['auc']:.3f}")
    assert main(["export", "teacher", str(tmp_path / "x.onnx"), "--profile", "smoke"]) == 1
    assert "no finished 'teacher' with weights" in capsys.readouterr().err


@pytest.mark.real_data
def test_int8_changes_the_committed_student_little_on_real_records(real_root, tmp_path, monkeypatch, capsys):
    monkeypatch.setenv("ECGLIB_DATA", str(real_root))
    models = [str(tmp_path / name) for name in ("float.onnx", "int8.onnx")]
    for model, how in zip(models, ([], ["--int8"]), strict=True):
        assert main(["export", "student", model, *how]) == 0
    first, second = (onnx.read_contract(Path(model)) for model in models)
    assert second.metrics["auc"] == pytest.approx(first.metrics["auc"], abs=0.002)
    folder = next((real_root / "ptb-xl" / "1.0.3" / "records100").iterdir())
    records = [str(path.with_suffix("")) for path in sorted(folder.glob("*.hea"))[:20]]
    capsys.readouterr()
    assert main(["compare", *models, *records, "--format", "csv"]) == 0
    table = pd.read_csv(io.StringIO(capsys.readouterr().out), index_col="label")
    assert table["windows"].tolist() == [len(records)] * 5
    assert (table["largest change"].abs() < 0.1).all()
    assert table["threshold of B"].tolist() == pytest.approx(second.thresholds)


def test_notebook_05_shows_what_the_command_writes():
    """It calls the function that is tested above, and reads no other file's contract."""
    path = Path(__file__).parents[2] / "notebooks" / "05_ptbxl_compression.ipynb"
    code = "".join(
        "".join(cell["source"]) for cell in json.loads(path.read_text())["cells"] if cell["cell_type"] == "code"
    )
    assert "export.contract_of_best(kind, profile, int8=True)" in code
    assert "read_contract" not in code


def test_published_weights_serve_where_the_full_ones_are_absent(tmp_path, simulated_root):
    records = ptbxl.load_records(simulated_root)
    config = ClassifierConfig(records.fingerprint, Settings(seed=2, epochs=1, batch_size=32), network="57K")
    run = obtain(config, records, tmp_path, "cpu")
    x = torch.from_numpy(run.scaler(np.asarray(records.signals[:4])))
    before, scaler = run.model()(x).detach(), run.scaler
    run.publish()
    (run.folder / "weights.safetensors").unlink()
    again = obtain(config, records, tmp_path, "cpu", weights=True)
    assert again.scaler == scaler
    assert again.model()(x).detach() == pytest.approx(before, abs=0.02)
    assert json.loads((run.folder / "metrics.json").read_text()) == run.metrics
