"""ONNX files: what comes out is what torch gives, INT8 is smaller and close, and the contract travels inside."""

import copy
import sys
from dataclasses import replace

import numpy as np
import pytest
import torch

from ecglib.classifier import networks, onnx
from ecglib.classifier.onnx import Contract
from ecglib.core.errors import EcglibError, EcglibWarning
from ecglib.data.ptbxl import LEADS, Scaler


@pytest.fixture(scope="module")
def signals():
    noise = np.random.default_rng(0).normal(size=(48, 12, 1000))
    # As loud as real records at their loudest, where full-range INT8 weights overflow on processors without VNNI.
    return (0.3 * noise + 0.1 + 3 * (noise > 3)).astype(np.float32)


@pytest.fixture(scope="module")
def scaler(signals):
    return Scaler.fit(signals)


@pytest.fixture(scope="module")
def contract():
    return Contract(LEADS, thresholds=(0.1, 0.2, 0.3, 0.4, 0.5), metrics={"auc": 0.9}, source="a run")


@pytest.fixture(scope="module")
def model(signals, scaler):
    torch.manual_seed(0)
    model = networks.student()
    model.train()
    model(torch.from_numpy(scaler(signals)))  # running statistics that BatchNorm can be folded with
    return model.eval()


@pytest.fixture(scope="module")
def files(model, scaler, contract, signals, tmp_path_factory):
    folder = tmp_path_factory.mktemp("onnx")
    onnx.export(model, scaler, contract, folder / "float.onnx")
    onnx.quantise(folder / "float.onnx", folder / "int8.onnx", signals)
    return {name: folder / f"{name}.onnx" for name in ("float", "int8")}


def test_millivolts_in_logits_out_for_any_batch(files, model, scaler, signals):
    session = onnx.open_model(files["float"], threads=1)
    with torch.no_grad():
        expected = model(torch.from_numpy(scaler(signals))).numpy()
    assert onnx.run(session, signals) == pytest.approx(expected, abs=1e-5)
    assert onnx.run(session, signals[:1]) == pytest.approx(expected[:1], abs=1e-5)


def test_int8_is_a_quarter_of_the_size_and_nearly_says_the_same(files, signals):
    sizes = {name: path.stat().st_size for name, path in files.items()}
    assert sizes["float"] / sizes["int8"] > 3.8
    logits = {name: onnx.run(onnx.open_model(path, 1), signals) for name, path in files.items()}
    assert not np.array_equal(logits["float"], logits["int8"])
    spread = logits["float"].std()
    assert np.abs(logits["float"] - logits["int8"]).max() < 0.35 * spread
    assert np.corrcoef(logits["float"].ravel(), logits["int8"].ravel())[0, 1] > 0.99


def test_every_weight_keeps_a_bit_free(files):
    onnx = pytest.importorskip("onnx")
    weights = [tensor for tensor in onnx.load(files["int8"]).graph.initializer if len(tensor.dims) == 3]
    for tensor in weights:
        values = onnx.numpy_helper.to_array(tensor)
        assert np.abs(values.astype(int)).max() in (63, 64), tensor.name


def test_the_weights_are_inside_and_really_int8(files):
    onnx = pytest.importorskip("onnx")
    for name, path in files.items():
        graph = onnx.load(path, load_external_data=False)
        assert not any(tensor.external_data for tensor in graph.graph.initializer)
        kinds = [tensor.data_type for tensor in graph.graph.initializer if len(tensor.dims) == 3]
        assert kinds == [onnx.TensorProto.INT8 if name == "int8" else onnx.TensorProto.FLOAT] * 3
    assert sorted(path.name for path in files["int8"].parent.iterdir()) == ["float.onnx", "int8.onnx"]


def test_the_contract_travels_inside(files, contract, scaler):
    whole = replace(contract, mean=scaler.mean, deviation=scaler.deviation)
    assert onnx.read_contract(files["float"]) == whole
    assert onnx.read_contract(files["int8"]) == replace(whole, precision="int8")


def test_files_that_are_no_models_are_refused(tmp_path, files):
    package = pytest.importorskip("onnx")
    with pytest.raises(EcglibError, match=r"There is no model .*missing\.onnx: 'ecglib export' writes one"):
        onnx.open_model(tmp_path / "missing.onnx")
    (tmp_path / "broken.onnx").write_bytes(files["float"].read_bytes()[:5000])
    with pytest.raises(EcglibError, match=r"broken\.onnx is no ONNX model"):
        onnx.open_model(tmp_path / "broken.onnx")
    graph = package.load(files["float"])
    del graph.metadata_props[:]
    package.save(graph, tmp_path / "stranger.onnx")
    with pytest.raises(EcglibError, match="does not say which leads and labels"):
        onnx.read_contract(tmp_path / "stranger.onnx")


@pytest.mark.parametrize(
    ("spoil", "message"),
    [
        (lambda x: x[:0], "None of 0 calibration records can be an ECG"),
        (lambda x: 0 * x, "None of 48 calibration records can be an ECG"),
        (lambda x: np.where(np.arange(48)[:, None, None] == 3, np.nan, x), "Calibration record 3 has missing samples"),
    ],
    ids=["none", "flat", "missing samples"],
)
def test_int8_needs_records_that_can_be_ecgs(files, signals, tmp_path, spoil, message):
    with pytest.raises(EcglibError, match=message):
        onnx.quantise(files["float"], tmp_path / "int8.onnx", spoil(signals))
    assert list(tmp_path.iterdir()) == []


def test_a_record_in_another_unit_is_left_out_of_the_calibration(files, signals, tmp_path):
    loud = np.where(np.arange(48)[:, None, None] == 3, 1000 * signals, signals)
    with pytest.warns(EcglibWarning, match="1 of 48 calibration records cannot be ECGs and are left out"):
        onnx.quantise(files["float"], tmp_path / "int8.onnx", loud)
    expected = onnx.run(onnx.open_model(files["int8"], 1), signals)
    found = onnx.run(onnx.open_model(tmp_path / "int8.onnx", 1), signals)
    assert np.corrcoef(found.ravel(), expected.ravel())[0, 1] > 0.99


def test_a_flat_lead_is_not_divided_by_zero(model, contract, signals, tmp_path):
    flat = signals.copy()
    flat[:, 3] = 0
    scaler = Scaler.fit(flat)
    assert scaler.deviation[3] == 1
    onnx.export(model, scaler, contract, tmp_path / "model.onnx")
    assert np.isfinite(onnx.run(onnx.open_model(tmp_path / "model.onnx", 1), flat)).all()


def test_records_that_a_model_cannot_answer_are_refused(files, signals):
    session = onnx.open_model(files["float"], threads=1)
    for x, message in ((signals[:, :, :500], r"takes \(N, 12, 1000\)"), (signals * np.nan, "missing samples")):
        with pytest.raises(EcglibError, match=message):
            onnx.run(session, x)


def test_damaged_weights_are_said_to_be_damaged(model, contract, signals, tmp_path):
    broken = copy.deepcopy(model)
    with torch.no_grad():
        next(broken.parameters())[0] = torch.nan
    onnx.export(broken, Scaler.none(12), contract, tmp_path / "model.onnx")
    with pytest.raises(EcglibError, match="its weights are damaged"):
        onnx.run(onnx.open_model(tmp_path / "model.onnx", 1), signals)


@pytest.mark.parametrize(
    "changed",
    [
        {"leads": LEADS[:3]}, {"leads": ("I",) * 12}, {"labels": ("A", "B")}, {"thresholds": (0.5,)}, {"rate": 0},
        {"samples": 500}, {"unit": "uV"}, {"thresholds": (float("nan"),) * 5}, {"thresholds": (7.0,) * 5},
        {"thresholds": ("0.5",) * 5}, {"leads": tuple(range(12))}, {"labels": tuple(range(5))}, {"labels": ("A",) * 5},
        {"labels": ("start", *"BCDE")}, {"rate": "100"}, {"rate": float("inf")}, {"rate": 10**9}, {"samples": 1000.0},
    ],
    ids=str,
)  # fmt: skip
def test_a_contract_that_does_not_fit_its_network_is_refused(files, contract, tmp_path, changed):
    path = tmp_path / "model.onnx"
    path.write_bytes(files["float"].read_bytes())
    onnx.relabel(path, replace(contract, **changed))
    with pytest.raises(EcglibError, match="does not fit its network"):
        onnx.read_contract(path)


def test_a_missing_package_is_named(monkeypatch, model, scaler, contract, tmp_path):
    monkeypatch.setitem(sys.modules, "onnx", None)
    with pytest.raises(EcglibError, match=r"onnx is missing: pip install .*\[compress\]"):
        onnx.export(model, scaler, contract, tmp_path / "model.onnx")
    assert list(tmp_path.iterdir()) == []
