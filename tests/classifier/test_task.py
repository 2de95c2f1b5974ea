"""Training, storing and distilling R3's classifiers on simulated records."""

import shutil
from dataclasses import replace
from pathlib import Path

import numpy as np
import pytest
import torch
from sklearn.metrics import roc_auc_score
from torch.nn import functional as F

from ecglib.classifier import networks, task, training
from ecglib.classifier.task import SELF, UNTRAINED, ClassifierConfig, Distillation
from ecglib.classifier.training import OPTIMIZERS, Settings
from ecglib.core.errors import EcglibError
from ecglib.core.seeds import seed_everything
from ecglib.data import ptbxl
from ecglib.data.ptbxl import SUPERCLASSES
from ecglib.runs import obtain as obtaining
from ecglib.runs.formats import read_tensors, write_tensors
from ecglib.runs.loop import Loop
from ecglib.runs.obtain import obtain
from ecglib.stats import metrics, multilabel

CPU = torch.device("cpu")


@pytest.fixture(scope="module")
def config(records):
    return ClassifierConfig(records.fingerprint, Settings(seed=1, epochs=8, batch_size=32), network="57K")


@pytest.fixture(scope="module")
def run(config, records, store):
    return obtain(config, records, store, "cpu")


def test_it_learns_and_what_is_stored_follows_from_its_weights(run, config, records):
    assert run.metrics["test"]["auc"] > 0.6
    for part in ("validation", "test", "test_last"):
        targets = run.predictions[f"{part.removesuffix('_last')}_targets"]
        of_each = roc_auc_score(targets, run.predictions[f"{part}_logits"], average=None)
        assert run.metrics[part]["auc"] == pytest.approx(of_each.mean())
        assert [run.metrics[part][f"auc_{name}"] for name in SUPERCLASSES] == pytest.approx(list(of_each))
    assert run.metrics["test"] | {"epoch": 0} == task.evaluate(run.predictions, 0, 0)["test"]
    split = config.choose(records)
    x = config.x(records, split.test, run.scaler)
    again = training.predict(run.model(), x).numpy()
    assert run.predictions["test_logits"] == pytest.approx(again, abs=2e-2), "half precision"
    assert np.array_equal(run.predictions["test_targets"], records.targets[split.test])
    assert np.array_equal(run.predictions["test_patients"], records.patients[split.test])
    best = int(run.history["validation_loss"].argmin())
    assert run.metrics["test"]["epoch"] == best, "the best epoch is tested, not the last"


def test_a_finished_run_is_loaded(run, config, records, store, monkeypatch):
    monkeypatch.setattr(obtaining, "_train", lambda *_: pytest.fail("trained again"))
    assert obtain(config, records, store, "cpu").metrics == run.metrics
    names = {path.name for path in run.folder.iterdir()}
    assert "checkpoint.pt" not in names
    assert {"config.json", "history.csv", "metrics.json", "predictions.npz", "env.json"} < names


def test_an_interrupted_training_ends_as_an_uninterrupted_one(run, config, records, tmp_path):
    def interrupt(loop):
        if loop.history[-1]["epoch"] == 3:
            raise KeyboardInterrupt

    with pytest.raises(KeyboardInterrupt):
        obtain(config, records, tmp_path, "cpu", watchers=[interrupt])
    rows = []
    resumed = obtain(config, records, tmp_path, "cpu", watchers=[lambda loop: rows.append(loop.history[-1])])
    assert rows[0]["epoch"] == 4
    assert resumed.metrics == run.metrics
    for name in run.predictions:
        assert np.array_equal(resumed.predictions[name], run.predictions[name]), name


def made_up(x, y, validation):
    """Records that train with labels `y`, and validate the same signals with the labels `validation`."""
    numbers = np.arange(3 * len(x))
    labels = np.concatenate([y, validation, y]).astype(np.uint8)
    return ptbxl.Records(np.concatenate([x] * 3), labels, numbers, numbers, np.repeat([1, 9, 10], len(x)))


def test_early_stopping_waits_for_its_patience(tmp_path, monkeypatch):
    """A validation loss that only rises stops training after `patience` more epochs, and the first weights are kept."""
    torch.manual_seed(0)
    x, y = torch.randn(16, 12, 1000).numpy(), (torch.rand(16, 5) < 0.5).numpy()
    linear = torch.nn.Sequential(torch.nn.Flatten(), torch.nn.Linear(12_000, 5))
    monkeypatch.setitem(networks.MODELS, "linear", lambda *_: linear)
    settings = Settings(seed=0, epochs=30, batch_size=8, learning_rate=1.0, optimizer="sgd", patience=3)
    records = made_up(x, y, ~y)
    config = ClassifierConfig(records.fingerprint, settings, network="linear", standardised=False)
    after = []
    loop = Loop(tmp_path, 0, 30, CPU, [lambda _: after.append(linear[1].weight.detach().clone())])
    result = config.train(records, loop)
    best = loop.parts["best"]
    assert best.epoch == 0
    assert len(loop.history) == 4, "the first, and three without a lower loss"
    worse = [row["validation_loss"] for row in loop.history]
    assert min(worse) == worse[0] == best.criterion
    assert torch.equal(result.weights["weights"][0]["1.weight"], after[0])
    assert torch.equal(result.weights["last"][0]["1.weight"], after[3])
    assert not torch.equal(after[0], after[3])
    for answers, kept in (("test_last_logits", "last"), ("test_logits", "weights")):
        weights = result.weights[kept][0]
        expected = F.linear(torch.from_numpy(x).flatten(1), weights["1.weight"], weights["1.bias"]).numpy()
        assert result.predictions[answers] == pytest.approx(expected, rel=2e-3, abs=2e-2), "half precision"


def test_the_untrained_teacher_is_no_copy_of_the_student_and_answers_in_training_mode(config, records, monkeypatch):
    asked = []
    monkeypatch.setattr(task, "distilling", lambda lesson, ask: asked.append(ask))
    taught = replace(config, distillation=Distillation(UNTRAINED, network="57K"))
    x = torch.from_numpy(np.array(records.signals[:8]))
    taught.learner(networks.build("57K", 12), records, Path(), x)
    seed_everything(config.training.seed, 1)
    expected, batch = networks.build("57K", 12).train(), torch.arange(8)
    found = []
    for network in (asked[0], lambda members: expected(x[members])):
        torch.manual_seed(0)
        found.append(network(batch))
    assert torch.equal(*found)


@pytest.mark.parametrize("optimizer", OPTIMIZERS)
def test_every_optimizer_resumes(optimizer, tmp_path, monkeypatch):
    monkeypatch.setitem(networks.MODELS, "tiny", lambda *_: networks.ConvNet((4,)))
    x, y = torch.randn(16, 12, 1000, generator=torch.Generator().manual_seed(1)).numpy(), np.eye(5)[np.arange(16) % 5]
    records = made_up(x, y, y)
    config = ClassifierConfig(
        records.fingerprint, Settings(seed=3, epochs=3, batch_size=8, optimizer=optimizer), network="tiny"
    )

    def last(name, epochs=3):
        """The last weights of a training in the folder `name`, where it goes on from the checkpoint that is there."""
        (tmp_path / name).mkdir(exist_ok=True)
        loop = Loop(tmp_path / name, 3, epochs, CPU)
        result = config.train(records, loop)
        assert len(loop.history) == epochs
        return result.weights["last"][0]

    whole, first = last("whole"), last("resumed", epochs=2)
    resumed = last("resumed")
    assert whole.keys() == resumed.keys()
    for name, tensor in whole.items():
        assert torch.equal(tensor, resumed[name]), name
    assert any(not torch.equal(tensor, first[name]) for name, tensor in whole.items())
    (tmp_path / "resumed" / "checkpoint.pt").write_bytes(b"broken")
    with pytest.raises(EcglibError, match=r"is damaged .*delete it"):
        last("resumed")


@pytest.fixture(scope="module")
def students(run, config, records, store):
    """Of one seed: alone, and taught in every way by the trained run or by an untrained one."""
    short = replace(config, training=replace(config.training, seed=7, epochs=2))
    lessons = {
        "as coded": Distillation(UNTRAINED, "as coded", 1.0, network="57K"),
        "as written": Distillation(run.folder.name, "as coded", 1.0),
        "corrected": Distillation(run.folder.name),
        "published": Distillation(run.folder.name, "published"),
        "self": Distillation(SELF, temperature=4.0, alpha=1.0, beta=100.0),
    }
    configs = {"alone": short} | {name: replace(short, distillation=lesson) for name, lesson in lessons.items()}
    return {name: obtain(each, records, store, "cpu") for name, each in configs.items()}


def test_every_lesson_teaches_something_else(students):
    logits = [run.predictions["test_logits"] for run in students.values()]
    for number, one in enumerate(logits):
        for other in logits[:number]:
            assert not np.array_equal(one, other)
    assert len({run.folder.name for run in students.values()}) == 6


def test_the_corrected_student_comes_nearest_to_its_teacher(run, students):
    """After two epochs the student that was asked to agree agrees more than the one that was not."""

    def disagreement(student):
        return F.mse_loss(
            torch.from_numpy(student.predictions["validation_logits"]),
            torch.from_numpy(run.predictions["validation_logits"]),
        ).item()

    assert disagreement(students["corrected"]) < disagreement(students["as coded"])


def test_a_teacher_may_see_twelve_leads_where_the_student_sees_one(run, config, records, store):
    single = replace(
        config,
        leads=(0,),
        training=replace(config.training, seed=9, epochs=1),
        distillation=Distillation(run.folder.name),
    )
    student = obtain(single, records, store, "cpu")
    assert "1lead" in student.folder.name
    assert student.model()(torch.zeros(1, 1, 1000)).shape == (1, 5)
    answers = task._answers(store, run.folder.name, records, config.choose(records).train[:6], CPU)
    x = config.x(records, config.choose(records).train[:6], run.scaler)
    assert torch.equal(answers, training.predict(run.model(), x))


def test_a_self_taught_student_is_stored_without_its_self_teacher(students):
    model = students["self"].model()
    assert type(model) is networks.ConvNet
    assert sum(parameter.numel() for parameter in model.parameters()) == 56_955


def test_teachers_that_are_missing_or_know_nothing_are_refused(run, config, records, store, tmp_path, monkeypatch):
    missing = replace(config, distillation=Distillation("student-benchmark-seed0-0000000000"))
    with pytest.raises(EcglibError, match="train it first"):
        obtain(missing, records, tmp_path, "cpu")
    monkeypatch.setattr(multilabel, "auc_interval", lambda *_: metrics.Interval(0.5, 0.45, 0.55))
    taught = replace(config, distillation=Distillation(run.folder.name), training=replace(config.training, seed=33))
    with pytest.raises(EcglibError, match="no better than chance"):
        obtain(taught, records, store, "cpu")


@pytest.mark.parametrize("way", ["continued", "tuned", "teacher"])
def test_what_may_have_learned_from_the_test_records_is_refused(way, run, config, records, store):
    """A run on the data set's own folds has seen records that R3's split tests."""
    origin = {"distillation": Distillation(run.folder.name)} if way == "teacher" else {way: run.folder.name}
    with pytest.raises(EcglibError, match="may know what is validated or tested here"):
        obtain(replace(config, split="report", **origin), records, store, "cpu")


@pytest.mark.parametrize(("way", "file"), [("continued", "last"), ("tuned", "weights")])
def test_continued_starts_from_the_last_weights_and_tuned_from_the_best(way, file, run, config, records, tmp_path):
    """With a learning rate of nothing the weights tell where they came from."""
    parent = Path(shutil.copytree(run.folder, tmp_path / run.folder.name))
    last = read_tensors(parent / "last.safetensors")
    write_tensors(parent / "last.safetensors", last | {"classifier.bias": last["classifier.bias"] + 1})
    still = replace(config.training, seed=5, epochs=1, learning_rate=0.0)
    after = obtain(replace(config, training=still, **{way: parent.name}), records, tmp_path, "cpu")
    origin = read_tensors(parent / f"{file}.safetensors")
    for name, parameter in after.model().named_parameters():
        assert torch.equal(parameter, origin[name]), name
    with pytest.raises(EcglibError, match="train that run first"):
        obtain(replace(config, **{way: "nobody"}), records, tmp_path, "cpu")
    with pytest.raises(EcglibError, match="Training starts from one run"):
        replace(config, tuned=parent.name, continued=parent.name)


def test_a_pruned_network_is_trained_again_stored_and_loaded(run, config, records, store):
    smaller = replace(config, tuned=run.folder.name, pruned=0.5, training=replace(config.training, seed=6, epochs=2))
    pruned = obtain(smaller, records, store, "cpu")
    model = pruned.model()
    assert sum(p.numel() for p in model.parameters()) < 0.35 * sum(p.numel() for p in run.model().parameters())
    x = config.x(records, config.choose(records).test, pruned.scaler)
    assert pruned.predictions["test_logits"] == pytest.approx(training.predict(model, x).numpy(), abs=2e-2)
    taught = replace(smaller, distillation=Distillation(run.folder.name))
    assert "kd-pruned" in obtain(taught, records, store, "cpu").folder.name
    with pytest.raises(EcglibError, match="train that run first"):
        obtain(replace(smaller, tuned="nobody"), records, store, "cpu")
    with pytest.raises(EcglibError, match=r"pruned=0\.5: a share below 1, of the network"):
        replace(config, pruned=0.5)


def test_bad_settings_are_refused(config, records, tmp_path):
    with pytest.raises(EcglibError, match="optimizer is 'adamdelta': choose one of adam, adadelta"):
        Settings(seed=0, optimizer="adamdelta")
    with pytest.raises(EcglibError, match="no network 'big': choose one of teacher, student"):
        obtain(replace(config, network="big"), records, tmp_path, "cpu")
    with pytest.raises(EcglibError, match="choose a ConvNet"):
        obtain(replace(config, network="plain", distillation=Distillation(SELF)), records, tmp_path, "cpu")
    with pytest.raises(EcglibError, match=r"alpha=1\.5: the teacher's share"):
        Distillation("teacher", alpha=1.5)
    with pytest.raises(EcglibError, match="too few"):
        obtain(replace(config, train_records=1), records, tmp_path, "cpu")
    with pytest.raises(EcglibError, match="not those this config was made for"):
        obtain(replace(config, data="other"), records, tmp_path, "cpu")
    early = replace(records, folds=np.minimum(records.folds, 9))
    with pytest.raises(EcglibError, match=f"None of the {len(records)} records at hand is for test: fetch more"):
        obtain(replace(config, data=early.fingerprint), early, tmp_path, "cpu")


def test_macro_auc_is_the_mean_over_classes_that_occur():
    rng = np.random.default_rng(0)
    targets, scores = (rng.random((60, 5)) < 0.4).astype(np.uint8), rng.normal(size=(60, 5))
    found = multilabel.class_metrics(targets, scores, SUPERCLASSES)
    slow = []
    for column in range(5):
        pairs = [
            (scores[i, column] > scores[j, column]) + 0.5 * (scores[i, column] == scores[j, column])
            for i in np.flatnonzero(targets[:, column])
            for j in np.flatnonzero(1 - targets[:, column])
        ]
        slow.append(np.mean(pairs))
    assert found["auc"] == pytest.approx(np.mean(slow))
    assert multilabel.rounded_auc(found) == pytest.approx(np.mean([round(value, 2) for value in slow]))
    targets[:, 4] = 0
    assert multilabel.class_metrics(targets, scores, SUPERCLASSES)["auc"] == pytest.approx(np.mean(slow[:4]))
    interval = multilabel.auc_interval(targets, scores)
    assert interval.low < interval.value < interval.high
    drawn = multilabel.resampled_auc(targets, scores)
    assert drawn == pytest.approx(multilabel.resampled_auc(targets, 3 * scores + 1)), "equal draws for equal targets"
