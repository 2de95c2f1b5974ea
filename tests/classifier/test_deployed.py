"""Exported runs, their costs and R3's tables on simulated records; integrated gradients add up."""

import os
from dataclasses import replace

import numpy as np
import pandas as pd
import pytest
import torch
from sklearn.metrics import f1_score

from ecglib.classifier import attribution, deployed, export, onnx, tables, training
from ecglib.classifier.arms import CHOSEN, COMPARED, network_arms, pruned_arms, setting_arms, student_arms
from ecglib.classifier.task import SELF, UNTRAINED, ClassifierConfig
from ecglib.classifier.training import Settings
from ecglib.core import cost
from ecglib.core.errors import EcglibError
from ecglib.data import ptbxl
from ecglib.data.ptbxl import SUPERCLASSES
from ecglib.runs.grid import Arm, obtain_arms
from ecglib.runs.obtain import obtain
from ecglib.stats import metrics, multilabel


@pytest.fixture(scope="module")
def base(records):
    return ClassifierConfig(records.fingerprint, Settings(seed=0, epochs=2, batch_size=32))


@pytest.fixture(scope="module")
def small(base):
    """Two seeds of a small network, and the same with half of its channels."""
    configs = [replace(base, network="57K", training=replace(base.training, seed=seed, epochs=5)) for seed in range(2)]
    grid = {"alone": Arm("small", "labels alone", configs)}
    return (
        grid
        | {"57K": Arm("57K", "table 2", configs)}
        | {
            name: arm
            for name, arm in pruned_arms(dict.fromkeys(("alone", "kd", "lead I kd"), grid["alone"]), 2).items()
            if name.startswith("alone")
        }
    )


@pytest.fixture(scope="module")
def runs(small, records, store):
    return obtain_arms(small, records, store, "cpu")


def test_as_coded_the_last_epoch_is_tested(base):
    arms = student_arms(base, "teacher", 1, 1)
    assert [name for name, arm in arms.items() if tables.test_part(arm) == "test_last"] == ["R3 alone", "R3 kd"]


def test_arms_pair_by_seed_and_differ_in_the_lesson_alone(base):
    arms = student_arms(base, "teacher", 5, 3)
    alone = arms["alone"].configs
    assert [config.training.seed for config in alone] == [100, 101, 102, 103, 104]
    assert len(arms["kd"].configs) == 5
    for name in ("untrained", "written", "kd", "frskd"):
        assert arms[name].control == "alone"
        for config, control in zip(arms[name].configs, alone, strict=False):
            assert replace(config, distillation=None) == control, name
    teachers = network_arms(base, ["teacher", "resnet"], 3)["teacher"].configs
    taught = [config.distillation.teacher for config in arms["kd"].configs]
    assert taught == [teachers[n].run_id for n in (0, 1, 2, 0, 1)]
    assert arms["untrained"].configs[0].distillation.teacher == UNTRAINED
    for name in ("R3 alone", "R3 kd"):
        assert len(arms[name].configs) == 5
        for config in arms[name].configs:
            assert (config.split, config.fold, config.standardised) == ("report", 4, False), "R3's program"
    assert [replace(config, distillation=None) for config in arms["R3 kd"].configs] == arms["R3 alone"].configs
    assert {config.distillation for config in arms["R3 kd"].configs + arms["untrained"].configs} == {
        arms["untrained"].configs[0].distillation
    }
    assert arms["R3 kd"].control == "R3 alone"
    assert arms["frskd"].configs[0].distillation.teacher == SELF
    assert arms["lead I kd"].configs[0].leads == arms["lead I"].configs[0].leads == (0,)
    ids = [config.run_id for arm in arms.values() for config in arm.configs]
    assert len(ids) == len(set(ids))


def test_settings_as_coded_go_on_from_each_other_in_either_order(base):
    arms = setting_arms(base, 2)
    names = [name for group in COMPARED for name in group]
    for group, chosen in zip(COMPARED, CHOSEN, strict=True):
        assert {arms["fresh"][name].control for name in group} == {"", chosen}
        for way, order in (("carried over", list(group)), ("in reverse", list(reversed(group)))):
            for seed in range(2):
                configs, fresh = ([arms[found][name].configs[seed] for name in order] for found in (way, "fresh"))
                assert configs[0] == fresh[0], "each group starts with fresh weights"
                assert [config.continued for config in configs[1:]] == [config.run_id for config in configs[:-1]]
                assert [replace(config, continued="") for config in configs] == fresh
                assert {config.training.seed for config in fresh} == {seed}
    assert list(arms["fresh"]) == names
    assert arms["fresh"]["batch 64"].configs[0].training.batch_size == 64


def test_what_is_pruned_is_compared_with_what_was_tuned_for_as_long(base):
    students = student_arms(replace(base, training=replace(base.training, epochs=9)), "teacher", 5, 3)
    arms = pruned_arms(students, 3)
    for name in ("alone", "kd", "lead I kd"):
        tuned, pruned = arms[f"{name} tuned"], arms[f"{name} pruned"]
        assert (tuned.control, pruned.control) == (name, f"{name} tuned")
        for config, control, student in zip(pruned.configs, tuned.configs, students[name].configs, strict=False):
            assert replace(config, pruned=0.0) == control
            assert control == replace(student, tuned=student.run_id, training=replace(student.training, epochs=4))


def test_what_others_go_on_from_is_trained_again_where_its_weights_are_gone(base, records, tmp_path):
    """As after a clone: results are there, weights are not, and the last of a chain of three is missing."""
    tiny = replace(base, network="57K", training=replace(base.training, epochs=1), train_records=64)
    coded = setting_arms(tiny, 1)["carried over"]
    names = list(coded)[:3]
    obtain_arms({name: coded[name] for name in names[:2]}, records, tmp_path, "cpu")
    for name in names[:2]:
        for kept in ("weights", "last"):
            (tmp_path / coded[name].configs[0].run_id / f"{kept}.safetensors").unlink()
    with pytest.raises(EcglibError, match="train that run first"):
        obtain(coded[names[2]].configs[0], records, tmp_path, "cpu")
    runs = obtain_arms({name: coded[name] for name in names}, records, tmp_path, "cpu")
    assert runs[names[2]][0].metrics["test_last"]["epoch"] == 0
    cut = replace(tiny, tuned=runs[names[1]][0].folder.name, pruned=0.5)
    pruned = obtain(cut, records, tmp_path, "cpu")
    for wrong in (replace(cut, tuned=pruned.folder.name), replace(cut, network="124K")):
        with pytest.raises(EcglibError, match="is another network than"):
            obtain(wrong, records, tmp_path, "cpu")


def test_an_exported_run_keeps_its_answers(small, runs, records, store, monkeypatch):
    config = small["alone"].configs[0]
    model = deployed.exported(config, records, store, "smoke", "cpu")
    assert (
        onnx.read_contract(model.files["int8"]).data
        == f"simulated, {len(config.choose(records).train)} training records"
    )
    stored = runs["alone"][0].predictions
    assert model.logits["float"] == pytest.approx(stored["test_logits"], abs=0.02)
    assert model.auc("float") == pytest.approx(runs["alone"][0].metrics["test"]["auc"], abs=0.003)
    expected = multilabel.class_metrics(stored["test_targets"], model.logits["int8"], SUPERCLASSES)["auc"]
    lost = deployed.change([model]).over_patients
    assert lost.value == pytest.approx(expected - model.auc("float"))
    assert lost.low <= lost.value <= lost.high
    contract = onnx.read_contract(model.files["int8"])
    assert contract.precision == "int8"
    assert contract.metrics["auc"] == pytest.approx(expected, abs=2e-3)  # answers are kept in half precision
    assert onnx.read_contract(model.files["float"]).precision == "float32"
    for path in store.rglob("*"):  # a clock set back says nothing of what belongs together
        os.utime(path, (0, 0) if path.suffix == ".onnx" else None)
    with monkeypatch.context() as patch:
        patch.setattr(onnx, "export", lambda *_: pytest.fail("exported again"))
        again = deployed.exported(config, records, store, "smoke", "cpu")
    assert np.array_equal(again.logits["int8"], model.logits["int8"])
    without = deployed.exported(config, records, store, "smoke", "cpu", files=False)
    assert not without.files
    assert np.array_equal(without.logits["int8"], model.logits["int8"])
    with monkeypatch.context() as patch:  # the run was trained again since
        patch.setattr(deployed, "stored_arrays", lambda *_: {name: one + 0.1 for name, one in model.logits.items()})
        patch.setattr(deployed, "obtain_with_weights", lambda *_: pytest.fail("asked again"))
        with pytest.raises(pytest.fail.Exception, match="asked again"):
            deployed.exported(config, records, store, "smoke", "cpu", files=False)
    model.files["float"].unlink()  # answers that came from elsewhere say nothing of files made here
    answers = store / "onnx" / f"{config.run_id}.npz"
    answers.write_bytes(b"of another machine")
    again = deployed.exported(config, records, store, "smoke", "cpu")
    assert again.logits["int8"] == pytest.approx(model.logits["int8"], abs=0.01)
    model.files["int8"].write_bytes(model.files["float"].read_bytes())  # as a copy of another run's would be
    again = deployed.exported(config, records, store, "smoke", "cpu")
    assert onnx.read_contract(again.files["int8"]).precision == "int8"


def test_calibration_and_thresholds_have_seen_no_test_record(small, runs, records, tmp_path, monkeypatch):
    run, calibrating = runs["alone"][0], []
    quantise = onnx.quantise
    monkeypatch.setattr(
        onnx, "quantise", lambda source, path, seen: calibrating.append(seen) or quantise(source, path, seen)
    )
    source, path = tmp_path / "float.onnx", tmp_path / "int8.onnx"
    export.export(run, "smoke", source)
    export.quantise(run, records, "smoke", source, path)
    split = small["alone"].configs[0].choose(records)
    learned = {one.tobytes() for one in records.seen(split.train, run.leads)}
    (seen,) = calibrating
    assert len(seen) > 0 and {one.tobytes() for one in seen} <= learned
    probabilities = training.probabilities(onnx.run(onnx.open_model(path), records.seen(split.validation, run.leads)))
    for place, threshold in enumerate(onnx.read_contract(path).thresholds):
        labels, column = records.targets[split.validation][:, place], probabilities[:, place]
        best = max(f1_score(labels, column >= one) for one in np.unique(column))
        assert f1_score(labels, column >= threshold) == pytest.approx(best, abs=0.02), SUPERCLASSES[place]


def test_costs_and_their_table(small, runs, records, store):
    models = {
        name: [deployed.exported(config, records, store, "smoke") for config in small[name].configs]
        for name in ("alone", "alone pruned")
    }
    costs = deployed.costs(models, repeats=3)
    assert list(costs.index) == ["alone", "alone, INT8", "alone pruned", "alone pruned, INT8"]
    assert costs.loc["alone", "parameters"] == runs["alone"][0].parameters == 56_955
    assert runs["alone pruned"][0].parameters == cost.count_parameters(runs["alone pruned"][0].model()) < 20_000
    assert costs.loc["alone pruned", "macs"] < 0.4 * costs.loc["alone", "macs"]
    assert costs.loc["alone, INT8", "smaller"] == costs.loc["alone", "bytes"] / costs.loc["alone, INT8", "bytes"] > 2.5
    assert (costs["ms"] > 0).all()
    aucs = [model.auc("int8") for model in models["alone"]]
    assert costs.loc["alone, INT8", "auc"] == pytest.approx(np.mean(aucs))
    assert costs.loc["alone, INT8", "seeds_low"] == pytest.approx(metrics.mean_interval(aucs).low)
    losses = {name: deployed.change(seeds) for name, seeds in models.items()}
    assert losses["alone"].differences == pytest.approx([m.auc("int8") - m.auc("float") for m in models["alone"]])
    assert losses["alone"].after - losses["alone"].before == pytest.approx(losses["alone"].over_seeds.value)
    table = tables.compression(costs, losses)
    assert table.loc["alone", "INT8 - float, over seeds"] == "-"
    assert table.loc["alone, INT8", "INT8 - float, over seeds"].startswith(f"{losses['alone'].over_seeds.value:+.4f}")
    assert table.loc["alone, INT8", "times smaller"] == f"{costs.loc['alone, INT8', 'smaller']:.2f}"


def test_targets_of_int8_are_met_in_every_seed_or_not():
    costs = pd.DataFrame({"smaller": [1.0, 3.9, 1.0, 3.6]}, index=["student", "student, INT8", "cut", "cut, INT8"])
    table = tables.targets(costs, {"student": np.array([0.003, -0.003]), "cut": np.array([0.001, -0.0019])})
    assert table["at least 3.8"].tolist() == ["yes", "no"]
    assert table["within 0.002"].tolist() == ["no", "yes"], "seeds do not make up for each other"
    assert table["largest change of macro-AUC in a seed"].tolist() == ["0.0030", "0.0019"]


def test_int8_is_made_of_the_runs_own_records_alone(small, runs, records, tmp_path):
    fewer = ptbxl.Records(
        *(getattr(records, name)[1:] for name in ("signals", "targets", "ecg_ids", "patients", "folds"))
    )
    with pytest.raises(EcglibError, match="was made with other records than the 312 here"):
        export.quantise(runs["alone"][0], fewer, "smoke", tmp_path / "a.onnx", tmp_path / "b.onnx")


def test_a_run_on_r3s_split_is_not_exported(base, records, tmp_path):
    run = obtain(replace(base, split="report", train_records=64), records, tmp_path, "cpu")
    with pytest.raises(EcglibError, match="was trained on R3's split"):
        export.export(run, "smoke", tmp_path / "a.onnx")


def test_settings_are_judged_against_r3s_choice(base, records, store):
    tiny = replace(base, network="57K", training=replace(base.training, epochs=1), train_records=64)
    arms = setting_arms(tiny, 2)
    runs = {way: obtain_arms(found, records, store, "cpu") for way, found in arms.items()}
    table, started = tables.settings(arms["fresh"], runs, limit="at this budget"), runs["fresh"]
    assert table.loc["SGD", "verdict"] == "fewer than 3 seeds: no verdict (at this budget)"
    assert table["seeds"].tolist() == ["2"] * 7
    assert table.loc["Adadelta", "verdict"] == "-"
    assert table.loc["Adadelta", "minus R3's choice"] == table.loc["batch 64", "minus R3's choice"] == "R3's choice"
    pairs = zip(started["SGD"], started["Adadelta"], strict=True)
    expected = np.mean([one.metrics["validation"]["auc"] - other.metrics["validation"]["auc"] for one, other in pairs])
    assert float(table.loc["SGD", "minus R3's choice"].split(" ")[0]) == pytest.approx(expected, abs=6e-4)


def test_tables_follow_from_the_runs(small, runs):
    table = tables.results(small, runs)
    mean = np.mean([run.metrics["test"]["auc"] for run in runs["alone"]])
    assert float(table.loc["small", "macro-AUC, 95 % over seeds"].split(" ")[0]) == pytest.approx(mean, abs=6e-5)
    last = [multilabel.rounded_auc(run.metrics["test_last"]) for run in runs["alone"]]
    assert float(table.loc["small", "last epoch, rounded"]) == pytest.approx(np.mean(last), abs=6e-4)
    differences = tables.differences(small, runs, limit="")
    assert list(differences.index) == ["small, tuned", "small, pruned"]
    assert list(differences["minus"]) == ["small", "small, tuned"]
    pairs = zip(runs["alone pruned"], runs["alone tuned"], strict=True)
    expected = np.mean([one.metrics["test"]["auc"] - other.metrics["test"]["auc"] for one, other in pairs])
    found = float(differences.loc["small, pruned", "difference, 95 % over seeds"].split(" ")[0])
    assert found == pytest.approx(expected, abs=6e-5)
    pairs = zip(runs["alone tuned"], runs["alone"], strict=False)
    expected = np.mean([one.metrics["test_last"]["auc"] - other.metrics["test_last"]["auc"] for one, other in pairs])
    found = float(differences.loc["small, tuned", "at the last epoch, over seeds"].split(" ")[0])
    assert found == pytest.approx(expected, abs=6e-5)
    ladder = tables.ladder(runs)
    assert ladder["parameters here"].tolist() == [
        *("6,522,555", "1,517,055", "1,195,675", "915,135", "260,355", "124,025", "56,955")
    ]
    assert ladder.loc["57K", "report, validation"] == "0.910"
    assert ladder["seeds"].tolist() == ["-"] * 6 + ["2"]
    assert tables.ladder({"teacher": runs["57K"]})["seeds"].tolist() == ["2"] + ["-"] * 6
    classes = tables.per_class(small, runs)
    assert list(classes.columns[:1]) == ["NORM"]
    assert classes["seeds"].tolist() == ["2"] * len(small)
    first = [np.mean([run.metrics["test"][f"{metric}_NORM"] for run in runs["alone"]]) for metric in ("auc", "ap")]
    assert classes.loc["small", "NORM"] == f"{first[0]:.3f} ({first[1]:.3f})"


def test_integrated_gradients_add_up_to_the_logit(runs, records):
    run = runs["alone"][0]
    model, x = run.model(), torch.from_numpy(run.scaler(np.asarray(records.signals[:1])))
    found = attribution.integrated_gradients(model, x, label=2)
    assert found.shape == (12, 1000)
    with torch.no_grad():
        expected = (model(x) - model(torch.zeros_like(x)))[0, 2].item()
    assert found.sum().item() == pytest.approx(expected, abs=0.03 * max(1, abs(expected)))
    weight = attribution.relevance(found)
    assert weight.shape == (12, 1000)
    assert weight.min() >= 0
    assert weight.max() == 1


def test_the_clearest_record_carries_its_label_alone():
    targets = np.array([[1, 1, 0, 0, 0], [0, 1, 0, 0, 0], [0, 1, 0, 0, 0], [0, 0, 1, 0, 0]])
    found = np.array([[0, 0.9, 0, 0, 0], [0, 0.3, 0, 0, 0], [0, 0.6, 0, 0, 0], [0, 0.95, 0, 0, 0]])
    assert attribution.clearest_record(targets, found, 1) == 2
    assert attribution.clearest_record(targets, found, 0) == 0, "not alone, if none is"
    with pytest.raises(EcglibError, match="None of these 4 records carries label 4: take more records"):
        attribution.clearest_record(targets, found, 4)


def test_a_grid_of_every_arm_trains(base, records, store):
    """One seed of each student arm, in the order of the grid: teachers first."""
    tiny = replace(base, network="57K", training=replace(base.training, epochs=1), train_records=64)
    grid = network_arms(tiny, ["124K"], 1) | student_arms(tiny, "124K", 1, 1)
    with pytest.MonkeyPatch.context() as patch:  # one epoch on 64 records teaches nothing yet
        certain = metrics.Interval(0.9, 0.8, 1)
        patch.setattr("ecglib.classifier.task.multilabel.auc_interval", lambda *_: certain)
        found = obtain_arms(grid, records, store, "cpu")
    assert set(found) == set(grid)
    assert grid["R3 kd"].configs[0].distillation.network == "124K"
    assert obtain(grid["kd"].configs[0], records, store, "cpu").metrics == found["kd"][0].metrics
