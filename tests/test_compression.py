"""Exported runs, their costs and R3's tables on simulated records; integrated gradients add up."""

from dataclasses import replace

import numpy as np
import pytest
import torch

from ecglib import (
    attribution,
    classifier_arms,
    classifier_tables,
    compression,
    cost,
    deploy,
    ledger,
    metrics,
    multilabel,
    reports,
)
from ecglib.classifier_arms import ClassifierArm, train_classifier_arms
from ecglib.classifier_experiments import train_classifier
from ecglib.classifier_runs import SELF, UNTRAINED, ClassifierConfig
from ecglib.classifiers import Settings
from ecglib.data import ptbxl
from ecglib.errors import EcglibError


@pytest.fixture(scope="module")
def records(simulated_root):
    return ptbxl.load_records(simulated_root)


@pytest.fixture(scope="module")
def base(records):
    return ClassifierConfig(records.fingerprint, Settings(seed=0, epochs=2, batch_size=32))


@pytest.fixture(scope="module")
def store(tmp_path_factory):
    return tmp_path_factory.mktemp("runs")


@pytest.fixture(scope="module")
def small(base):
    """Two seeds of a small network, and the same with half of its channels."""
    configs = [replace(base, network="57K", training=replace(base.training, seed=seed, epochs=5)) for seed in range(2)]
    grid = {"alone": ClassifierArm("small", "labels alone", configs)}
    return grid | {"57K": ClassifierArm("57K", "table 2", configs)} | {
        name: arm for name, arm in classifier_arms.pruned_arms(base, grid | {"kd": grid["alone"]}, 2).items()
        if name == "alone pruned"
    }  # fmt: skip


@pytest.fixture(scope="module")
def runs(small, records, store):
    return train_classifier_arms(small, records, store, "cpu")


def test_arms_pair_by_seed_and_differ_in_the_lesson_alone(base):
    arms = classifier_arms.student_arms(base, "teacher", 5, 3)
    alone = arms["alone"].configs
    assert [config.training.seed for config in alone] == [100, 101, 102, 103, 104]
    assert len(arms["kd"].configs) == 5
    for name in ("coded", "written", "kd", "frskd"):
        assert arms[name].control == "alone"
        for config, control in zip(arms[name].configs, alone, strict=False):
            assert replace(config, lesson=None) == control, name
    teachers = classifier_arms.network_arms(base, ["teacher", "resnet"], 3)["teacher"].configs
    taught = [config.lesson.teacher for config in arms["kd"].configs]
    assert taught == [teachers[n].run_id for n in (0, 1, 2, 0, 1)]
    assert arms["coded"].configs[0].lesson.teacher == UNTRAINED
    assert arms["frskd"].configs[0].lesson.teacher == SELF
    assert arms["lead I kd"].configs[0].leads == arms["lead I"].configs[0].leads == (0,)
    ids = [config.run_id for arm in arms.values() for config in arm.configs]
    assert len(ids) == len(set(ids))


def test_settings_as_coded_go_on_from_each_other(base):
    coded, corrected = classifier_arms.setting_arms(base)
    assert list(coded) == list(corrected) == list(classifier_arms.COMPARED)
    configs, fresh = ([arm.configs[0] for arm in found.values()] for found in (coded, corrected))
    assert configs[0] == fresh[0]
    assert [config.continued for config in configs[1:]] == [config.run_id for config in configs[:-1]]
    assert [replace(config, continued="") for config in configs] == fresh


def test_what_others_go_on_from_is_trained_again_where_its_weights_are_gone(base, records, tmp_path):
    """As after a clone: results are there, weights are not."""
    tiny = replace(base, network="57K", training=replace(base.training, epochs=1), train_records=64)
    coded, _ = classifier_arms.setting_arms(tiny)
    first, second = list(coded)[:2]
    train_classifier_arms({first: coded[first]}, records, tmp_path, "cpu")
    for name in ("weights", "last"):
        (tmp_path / coded[first].configs[0].run_id / f"{name}.safetensors").unlink()
    with pytest.raises(EcglibError, match="train that run first"):
        train_classifier(coded[second].configs[0], records, tmp_path, "cpu")
    runs = train_classifier_arms({first: coded[first], second: coded[second]}, records, tmp_path, "cpu")
    assert runs[second][0].metrics["test_last"]["epoch"] == 0
    cut = replace(tiny, continued=runs[second][0].folder.name, pruned=0.5)
    pruned = train_classifier(cut, records, tmp_path, "cpu")
    for wrong in (replace(cut, continued=pruned.folder.name), replace(cut, network="124K")):
        with pytest.raises(EcglibError, match="is another network than"):
            train_classifier(wrong, records, tmp_path, "cpu")


def test_an_exported_run_keeps_its_answers(small, runs, records, store, monkeypatch):
    config = small["alone"].configs[0]
    model = compression.exported(config, records, store, "smoke", "cpu")
    assert deploy.read_contract(model.files["int8"]).data == "simulated records"
    stored = runs["alone"][0].predictions
    assert model.logits["float"] == pytest.approx(stored["test_logits"], abs=0.02)
    assert model.auc("float").value == pytest.approx(runs["alone"][0].metrics["test"]["auc"], abs=0.003)
    expected = multilabel.class_metrics(stored["test_targets"], model.logits["int8"])["auc"]
    assert model.loss().value == pytest.approx(expected - model.auc("float").value)
    assert model.loss().low <= model.loss().value <= model.loss().high
    contract = deploy.read_contract(model.files["int8"])
    assert contract.precision == "int8"
    assert contract.metrics["auc"] == pytest.approx(expected, abs=2e-3)  # answers are kept in half precision
    assert deploy.read_contract(model.files["float"]).precision == "float32"
    with monkeypatch.context() as patch:
        patch.setattr(deploy, "export", lambda *_: pytest.fail("exported again"))
        again = compression.exported(config, records, store, "smoke", "cpu")
    assert np.array_equal(again.logits["int8"], model.logits["int8"])
    model.files["float"].unlink()  # answers that came from elsewhere say nothing of files made here
    answers = store / "onnx" / f"{config.run_id}.npz"
    answers.write_bytes(b"of another machine")
    again = compression.exported(config, records, store, "smoke", "cpu")
    assert again.logits["int8"] == pytest.approx(model.logits["int8"], abs=0.01)


def test_costs_and_their_table(small, runs, records, store):
    configs = {name: small[name].configs[0] for name in ("alone", "alone pruned")}
    models = {name: compression.exported(config, records, store, "smoke") for name, config in configs.items()}
    costs = compression.costs(models, repeats=3)
    assert list(costs.index) == ["alone", "alone, INT8", "alone pruned", "alone pruned, INT8"]
    assert costs.loc["alone", "parameters"] == runs["alone"][0].parameters == 56_955
    assert runs["alone pruned"][0].parameters == cost.count_parameters(runs["alone pruned"][0].model()) < 20_000
    assert costs.loc["alone pruned", "macs"] < 0.4 * costs.loc["alone", "macs"]
    assert costs.loc["alone, INT8", "bytes"] < 0.4 * costs.loc["alone", "bytes"]
    assert (costs["ms"] > 0).all()
    table = classifier_tables.compression(costs, {name: model.loss() for name, model in models.items()})
    assert table.loc["alone", "INT8 - float"] == "-"
    assert table.loc["alone, INT8", "INT8 - float"].startswith(f"{models['alone'].loss().value:+.4f}")


def test_tables_follow_from_the_runs(small, runs):
    table = classifier_tables.results(small, runs)
    mean = np.mean([run.metrics["test"]["auc"] for run in runs["alone"]])
    assert float(table.loc["small", "macro-AUC, 95 % over seeds"].split(" ")[0]) == pytest.approx(mean, abs=6e-5)
    last = [multilabel.rounded_auc(run.metrics["test_last"]) for run in runs["alone"]]
    assert float(table.loc["small", "as coded: last epoch, rounded"]) == pytest.approx(np.mean(last), abs=6e-4)
    differences = classifier_tables.differences(small, runs)
    assert list(differences.index) == ["small, pruned"]
    pairs = zip(runs["alone pruned"], runs["alone"], strict=True)
    expected = np.mean([one.metrics["test"]["auc"] - other.metrics["test"]["auc"] for one, other in pairs])
    found = float(differences["difference, 95 % over seeds"].iloc[0].split(" ")[0])
    assert found == pytest.approx(expected, abs=6e-5)
    ladder = classifier_tables.ladder(runs)
    assert ladder.loc["57K", "parameters here"] == "56,955"
    assert classifier_tables.ladder({"alone": runs["alone"]}).empty
    assert ladder.loc["57K", "report, macro-AUC"] == "0.910"
    classes = classifier_tables.per_class(small, runs)
    assert classes.columns[0] == "NORM"
    first = [np.mean([run.metrics["test"][f"{metric}_NORM"] for run in runs["alone"]]) for metric in ("auc", "ap")]
    assert classes.loc["small", "NORM"] == f"{first[0]:.3f} ({first[1]:.3f})"
    change = classifier_tables.change(runs["alone"], runs["alone pruned"][:1])
    first = [runs[name][0].metrics["test"]["auc"] for name in ("alone", "alone pruned")]
    assert (change.before, change.after) == pytest.approx(tuple(first)), "the seeds that both have"
    both = classifier_tables.change(runs["alone"], runs["alone pruned"], "test_last")
    ends = [np.mean([run.metrics["test_last"]["auc"] for run in runs[name]]) for name in ("alone", "alone pruned")]
    assert both.interval.value == pytest.approx(ends[1] - ends[0])
    assert both.interval.low < both.interval.value < both.interval.high
    claimed = classifier_tables.published("r3.alone.auc", "r3.kd.auc")
    assert (claimed.before, claimed.after, claimed.interval) == (pytest.approx(0.928), pytest.approx(0.938), None)


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


def test_a_grid_of_every_arm_trains(base, records, store):
    """One seed of each student arm, in the order of the grid: teachers first."""
    tiny = replace(base, network="57K", training=replace(base.training, epochs=1), train_records=64)
    grid = classifier_arms.network_arms(tiny, ["124K"], 1) | classifier_arms.student_arms(tiny, "124K", 1, 1)
    with pytest.MonkeyPatch.context() as patch:  # one epoch on 64 records teaches nothing yet
        certain = metrics.Interval(0.9, 0.8, 1)
        patch.setattr("ecglib.classifier_experiments.multilabel.auc_interval", lambda *_: certain)
        found = train_classifier_arms(grid, records, store, "cpu")
    assert set(found) == set(grid)
    assert grid["coded"].configs[0].lesson.network == "124K"
    assert train_classifier(grid["kd"].configs[0], records, store, "cpu").metrics == found["kd"][0].metrics


def test_what_is_measured_of_r3_stands_beside_its_own_numbers_alone(runs, simulated_root):
    index = ptbxl.load_index(simulated_root)
    measured = ledger.measured_r3(index, runs, teacher="124K", student="57K")
    assert set(measured) <= set(reports.CLAIMS)
    for name in ("teacher", "student", "plain", "inception"):
        assert measured[f"r3.{name}.parameters"] == reports.value(f"r3.{name}.parameters")
    for name in ("plain", "teacher", "student"):
        assert measured[f"r3.{name}.mb"] == pytest.approx(reports.value(f"r3.{name}.mb"), abs=0.01)
    assert not {"r3.teacher.auc", "r3.student.auc", "r3.alone.auc", "r3.kd.auc"} & set(measured), "other networks"
    last = [multilabel.rounded_auc(run.metrics["test_last"]) for run in runs["57K"]]
    assert measured["r3.ladder.57K"] == pytest.approx(100 * np.mean(last))
    assert len(ledger.contradictions("R3")) == 6


def test_verdicts_on_claims():
    def change(after, interval=None):
        return metrics.Change(0.9, after, interval)

    rows = {
        "gain": {"report": change(0.91), "corrected": change(0.905, metrics.Interval(0.005, 0.001, 0.009))},
        "unclear": {"report": change(0.91), "corrected": change(0.905, metrics.Interval(0.005, -0.001, 0.011))},
        "ruin": {
            "report": change(0.5),
            "as coded": change(0.9),
            "corrected": change(0.89, metrics.Interval(-0.01, -0.02, -0.001)),
        },
        "one": {"report": change(0.9), "corrected": change(0.91, metrics.Interval(0.01, -np.inf, np.inf))},
    }
    table = classifier_tables.claims(rows, comparable=True)
    assert table["verdict"].tolist() == [
        "report: gain; here: gain",
        "report: gain; here: no difference shown",
        "report: loss; here: loss",
        "report: no change; here: one seed, no verdict",
    ]
    assert table.loc["ruin", "as coded"] == "0.900 -> 0.900 (+0.000)"
    assert "inf" not in table.loc["one", "corrected"]
    assert classifier_tables.claims(rows, comparable=False)["verdict"].str.endswith("(at this budget)").all()
