"""From a WFDB record to probabilities: leads by name, any unit and rate; one clear error for all that does not fit."""

import json
from pathlib import Path

import numpy as np
import pytest
import torch
import wfdb
from scipy import signal

from ecglib.book.cli import main
from ecglib.classifier import classify, export, networks, onnx, task
from ecglib.classifier.onnx import Contract
from ecglib.classifier.task import ClassifierConfig
from ecglib.classifier.training import Settings, probabilities
from ecglib.core.errors import EcglibError
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


def write(folder, x, rate=100, names=LEADS, unit="mV", name="rec"):
    gain = {"mV": 1000.0, "uV": 1.0, "V": 1e6, "mmHg": 1000.0}[unit]
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


@pytest.mark.parametrize(("unit", "factor"), [("uV", 1000.0), ("V", 0.001)])
def test_units_of_voltage_become_millivolts(tmp_path, ecg, unit, factor):
    found = classify.read_record(write(tmp_path, factor * ecg, unit=unit), CONTRACT)
    assert found[0] == pytest.approx(ecg, abs=0.002)


@pytest.mark.parametrize("rate", [500, 360, 250])
def test_other_rates_are_resampled(tmp_path, rate):
    """Slow sines come through as they are."""
    seconds = {each: np.arange(10 * each) / each for each in (rate, 100)}
    waves = {
        each: np.array([np.sin(2 * np.pi * (1 + lead) * time / 2) for lead in range(12)])
        for each, time in seconds.items()
    }
    found = classify.read_record(write(tmp_path, waves[rate], rate=rate), CONTRACT)
    assert found.shape == (1, 12, 1000)
    assert found[0, :, 50:-50] == pytest.approx(waves[100][:, 50:-50], abs=0.03)


@pytest.mark.parametrize("rate", [30.04, 128.3, 499.8])
def test_odd_rates_give_as_many_samples_as_the_model_needs(tmp_path, rate):
    times = np.arange(int(11 * rate)) / rate
    x = np.tile(np.sin(2 * np.pi * 1.2 * times), (12, 1))
    found = classify.read_record(write(tmp_path, x, rate=rate), CONTRACT, start=0)
    assert found.shape == (1, 12, 1000)
    middle = slice(100, 900)  # away from the filter's edges
    expected = np.sin(2 * np.pi * 1.2 * np.arange(1000) / 100)
    assert found[0, 0, middle] == pytest.approx(expected[middle], abs=0.01)


def test_a_longer_record_needs_a_start(tmp_path, ecg):
    path = write(tmp_path, np.hstack([ecg, 2 * ecg]))
    with pytest.raises(EcglibError, match=r"lasts 20 s, the model takes 10 s: choose them with --start"):
        classify.read_record(path, CONTRACT)
    assert classify.read_record(path, CONTRACT, start=10)[0] == pytest.approx(2 * ecg, abs=0.003)
    with pytest.raises(EcglibError, match=r"needs 10 s from second 12 on"):
        classify.read_record(path, CONTRACT, start=12)
    with pytest.raises(EcglibError, match=r"needs 10 s from second -1 on"):
        classify.read_record(path, CONTRACT, start=-1)


def test_records_that_do_not_fit_are_refused(tmp_path, ecg):
    with pytest.raises(EcglibError, match=r"There is no record .*nobody"):
        classify.read_record(tmp_path / "nobody", CONTRACT)
    with pytest.raises(EcglibError, match=r"lasts 9\.9 s: the model needs 10 s"):
        classify.read_record(write(tmp_path, ecg[:, :990], name="short"), CONTRACT)
    names = ["MLII" if lead == "II" else lead for lead in LEADS]
    with pytest.raises(EcglibError, match=r"lacks lead II \(it has I, MLII"):
        classify.read_record(write(tmp_path, ecg, names=names, name="lead"), CONTRACT)
    with pytest.raises(EcglibError, match="is in 'mmHg', not in a unit of voltage"):
        classify.read_record(write(tmp_path, ecg, unit="mmHg", name="unit"), CONTRACT)
    header = write(tmp_path, 1000 * ecg, unit="uV", name="micro").with_suffix(".hea")
    header.write_bytes(header.read_bytes().replace(b"/uV", b"/mV"))
    with pytest.raises(EcglibError, match=r"Lead I of .* varies by [\d,]+ mV: is the header's unit right"):
        classify.read_record(tmp_path / "micro", CONTRACT)
    header = write(tmp_path, ecg, name="milli").with_suffix(".hea")
    header.write_bytes(header.read_bytes().replace(b"/mV", b"/uV"))
    with pytest.raises(EcglibError, match=r"Lead I of .* varies by 0\.0\d+ mV: is the header's unit right"):
        classify.read_record(tmp_path / "milli", CONTRACT)
    flat = ecg.copy()
    flat[7] = 0.25
    with pytest.raises(EcglibError, match=r"Lead V2 of .* varies by 0 mV: .* is the lead on"):
        classify.read_record(write(tmp_path, flat, name="flat"), CONTRACT)
    header = write(tmp_path, 1000 * ecg, unit="uV", name="micro").with_suffix(".hea")
    header.write_bytes(header.read_bytes().replace(b"/uV", "/µV".encode()))
    with pytest.raises(EcglibError, match="not plain ASCII: write uV for µV"):
        classify.read_record(tmp_path / "micro", CONTRACT)
    header.write_bytes(header.read_bytes().replace("/µV".encode(), b"/uV") + "# a comment of Müller\n".encode())
    classify.read_record(tmp_path / "micro", CONTRACT)
    (tmp_path / "empty.hea").write_text("empty 0 100 1000\n")
    with pytest.raises(EcglibError, match=r"empty"):
        classify.read_record(tmp_path / "empty", CONTRACT)
    header = write(tmp_path, ecg, name="rate").with_suffix(".hea")
    header.write_text(header.read_text().replace("rate 12 100 1000", "rate 12 0 1000"))
    with pytest.raises(EcglibError, match=r"rate gives a rate of 0 Hz"):
        classify.read_record(tmp_path / "rate", CONTRACT)
    for start in (np.nan, np.inf):
        with pytest.raises(EcglibError, match=r"--start (nan|inf) is no time"):
            classify.read_record(tmp_path / "micro", CONTRACT, start=start)
    broken = ecg.copy()
    broken[6, 100:110] = np.nan
    with pytest.raises(EcglibError, match=r"Lead V1 of .*nan has missing samples"):
        classify.read_record(write(tmp_path, broken, name="nan"), CONTRACT)
    path = write(tmp_path, ecg, name="corrupt")
    path.with_suffix(".dat").write_bytes(path.with_suffix(".dat").read_bytes()[:777])
    with pytest.raises(EcglibError, match=r"corrupt cannot be read .*complete WFDB record"):
        classify.read_record(path, CONTRACT)
    path.with_suffix(".hea").write_text("not a header\n")
    with pytest.raises(EcglibError, match="corrupt cannot be read"):
        classify.read_record(path, CONTRACT)


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
    shown = export.contract_table({"57K": contract})["57K"]
    assert (shown["the run"], shown["precision"], shown["rate, Hz"]) == (runs[1].folder.name, "int8", "100")
    assert shown["metrics"].startswith(f"macro-AUC {contract.metrics['auc']:.3f}")
    assert main(["export", "teacher", str(tmp_path / "x.onnx"), "--profile", "smoke"]) == 1
    assert "no finished 'teacher' with weights" in capsys.readouterr().err


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
