"""What R3's training did not have, each against a calculation of its own: windows, mixing, schedule, averaged weights,
and a committee of teachers."""

from dataclasses import replace
from types import SimpleNamespace

import numpy as np
import pytest
import torch
from torch import nn
from torch.nn import functional as F

from ecglib.classifier import baselines, task, training
from ecglib.classifier.arms import pretraining_arms, pruned_arms, recipe_arms, student_arms
from ecglib.classifier.task import BOOSTED_TREES, SELF, UNTRAINED, ClassifierConfig, Distillation
from ecglib.classifier.training import Settings
from ecglib.core.errors import EcglibError
from ecglib.data import ptbxl
from ecglib.runs.loop import Loop
from ecglib.runs.obtain import obtain

CPU = torch.device("cpu")
EVERYTHING = {"optimizer": "adamw", "schedule": "one cycle", "window": 250, "mixup": 0.4, "ema_decay": 0.9}


@pytest.fixture(scope="module")
def config(records):
    settings = Settings(seed=1, epochs=4, batch_size=32, patience=4, **EVERYTHING)
    return ClassifierConfig(records.fingerprint, settings, network="57K", train_records=70)


def test_a_window_is_an_unbroken_piece_of_its_own_record():
    x = torch.arange(6 * 2 * 50).reshape(6, 2, 50).float()
    torch.manual_seed(0)
    starts = set()
    for _ in range(200):
        for record, piece in zip(x, training.windows(x, 47), strict=True):
            (start,) = [n for n in range(4) if torch.equal(piece, record[:, n : n + 47])]
            starts.add(start)
    assert starts == {0, 1, 2, 3}, "every place occurs, the first and the last, too"
    assert torch.equal(training.windows(x, 50), x)


def test_mixed_records_have_mixed_targets_and_each_its_own_teacher(monkeypatch):
    """Two batches in a random order, and a teacher who is asked by position, against the definition of mixup."""
    torch.manual_seed(0)
    x, y, t = torch.randn(8, 3, 8), (torch.rand(8, 5) < 0.5).float(), torch.rand(8, 5)
    model = nn.Sequential(nn.Flatten(), nn.Linear(24, 5))
    other, order = torch.tensor([2, 0, 3, 1]), torch.tensor([5, 0, 7, 2, 6, 1, 4, 3])
    monkeypatch.setattr(training, "_mixing", lambda *_: (0.3, other))
    monkeypatch.setattr(torch, "randperm", lambda _: order)

    def loss(batch, logits, targets):
        return F.binary_cross_entropy_with_logits(logits, (targets + t[batch]) / 2)

    expected = []
    for batch in order.split(4):
        partner = batch[other]
        mixed, target = 0.3 * x[batch] + 0.7 * x[partner], 0.3 * (y + t)[batch] / 2 + 0.7 * (y + t)[partner] / 2
        expected.append(F.binary_cross_entropy_with_logits(model(mixed), target).item())
    still = SimpleNamespace(zero_grad=lambda: None, step=lambda: None)
    found = training.train_epoch(model, still, x, y, Settings(0, batch_size=4, mixup=1.0), loss)
    assert found == pytest.approx(np.mean(expected), rel=1e-6)


def test_shares_come_from_a_beta_distribution():
    torch.manual_seed(0)
    shares = np.array([training._mixing(0.4, 3)[0] for _ in range(4000)])
    assert shares.mean() == pytest.approx(0.5, abs=0.03)
    assert shares.var() == pytest.approx(1 / (4 * (2 * 0.4 + 1)), rel=0.06), "the variance of Beta(0.4, 0.4)"
    assert sorted(training._mixing(0.4, 5)[1].tolist()) == [0, 1, 2, 3, 4]


def test_the_learning_rate_rises_and_falls_once():
    settings = Settings(0, epochs=10, batch_size=8, learning_rate=0.01, schedule="one cycle")
    optimizer = training.new_optimizer(settings, nn.Linear(2, 2))
    # Ten steps an epoch: nine of eight records and one of two, while a last batch of one would be left out.
    schedule = training.new_schedule(settings, optimizer, records=74)
    assert schedule.total_steps == 100 == training.new_schedule(settings, optimizer, records=81).total_steps
    rates = []
    for _ in range(100):
        rates.append(optimizer.param_groups[0]["lr"])
        optimizer.step()
        schedule.step()
    highest = int(np.argmax(rates))
    assert rates[highest] == pytest.approx(0.01)
    assert 18 <= highest <= 20, "a fifth of the training"
    assert (np.diff(rates[: highest + 1]) > 0).all()
    assert (np.diff(rates[highest:]) < 0).all()
    assert rates[-1] < 1e-4
    assert training.new_schedule(Settings(0), optimizer, 75) is None
    with pytest.raises(EcglibError, match="more than 5 steps"):
        training.new_schedule(replace(settings, epochs=1), optimizer, records=40)


def test_what_is_judged_is_the_moving_average(config, records, tmp_path):
    """The average by hand, over the weights after every step."""
    settings, steps = config.training, []
    step = torch.optim.AdamW.step

    def noting(self, *arguments):
        step(self, *arguments)
        steps.append([weight.detach().clone() for weight in self.param_groups[0]["params"]])

    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(torch.optim.AdamW, "step", noting)
        loop = Loop(tmp_path, settings.seed, settings.epochs, CPU)
        result = config.train(records, loop)
    average = steps[0]
    for weights in steps[1:]:
        average = [0.9 * old + 0.1 * new for old, new in zip(average, weights, strict=True)]
    last = result.weights["last"][0]
    model = config.model(Loop(tmp_path, settings.seed, settings.epochs, CPU))
    for (name, _), expected, own in zip(model.named_parameters(), average, steps[-1], strict=True):
        assert torch.allclose(last[name], expected, atol=1e-6), name
        assert not torch.allclose(last[name], own, atol=1e-6), name
    # The validation loss that chooses the epoch is that of the average, statistics of BatchNorm included.
    model.load_state_dict(last)
    split = config.choose(records)
    signals = records.signals[split.train]
    x = config.x(records, split.validation, ptbxl.Scaler.fit(signals))
    y = torch.from_numpy(records.targets[split.validation].astype(np.float32))
    judged = F.binary_cross_entropy_with_logits(training.predict(model, x), y).item()
    assert loop.history[-1]["validation_loss"] == pytest.approx(judged, rel=1e-5)


def test_a_training_with_everything_resumes(config, records, tmp_path):
    def last(name, epochs=4):
        (tmp_path / name).mkdir(exist_ok=True)
        loop = Loop(tmp_path / name, config.training.seed, epochs, CPU)
        return config.train(records, loop).weights["last"][0]

    whole, first = last("whole"), last("resumed", epochs=2)
    resumed = last("resumed")
    for name, tensor in whole.items():
        assert torch.equal(tensor, resumed[name]), name
    assert any(not torch.equal(tensor, first[name]) for name, tensor in whole.items())


@pytest.mark.parametrize(
    "change", [{"window": 1001}, {"window": 50}, {"mixup": -0.1}, {"mixup": float("inf")}, {"ema_decay": 1.0}]
)
def test_impossible_settings_are_refused(change):
    with pytest.raises(EcglibError, match=next(iter(change))):
        Settings(0, **change)


@pytest.mark.parametrize(
    ("change", "message"),
    [
        ({"network": "inception"}, "whole record"),
        ({"fake_quantised": True}, "cannot be averaged"),
        ({"distillation": Distillation(SELF)}, "mixup=0"),
        ({"distillation": Distillation(UNTRAINED, "as coded", 1.0)}, "mixup=0"),
    ],
)
def test_what_does_not_go_together_is_refused(change, message, config):
    with pytest.raises(EcglibError, match=message):
        replace(config, **change)


def test_a_committee_has_trained_members(config):
    for lesson in ({"teacher": SELF, "others": ("a",)}, {"teacher": "a", "others": (BOOSTED_TREES,)}):
        with pytest.raises(EcglibError, match="A committee is"):
            Distillation(**lesson)


@pytest.fixture(scope="module")
def crossed(records):
    train = ptbxl.benchmark_split(records).train
    return train, baselines.cross_fitted(records, train)


def test_trees_judge_records_whose_labels_they_have_not_seen(records, crossed):
    train, found = crossed
    fold = records.folds[train] == records.folds[train][0]
    targets = records.targets.copy()
    targets[train[fold]] = 1 - targets[train[fold]]
    again = baselines.cross_fitted(replace(records, targets=targets), train)
    assert np.array_equal(again[fold], found[fold])
    assert not np.array_equal(again[~fold], found[~fold])
    numbers = baselines.describe_all(records.signals[train], range(12))
    others = baselines.boosted(numbers[~fold], records.targets[train][~fold])(numbers[fold])
    expected = np.log(others / (1 - others)).clip(-np.log(999), np.log(999))
    assert found[fold] == pytest.approx(expected, abs=1e-4)


def test_trees_need_records_of_two_folds(records):
    one = np.flatnonzero(records.folds == records.folds[0])
    with pytest.raises(EcglibError, match="of one fold"):
        baselines.cross_fitted(records, one)


def test_a_committee_teaches_the_mean_of_its_logits(config, records, crossed, tmp_path):
    short = replace(config, train_records=0, training=replace(config.training, epochs=1, seed=3))
    first = obtain(short, records, tmp_path, "cpu", weights=True)
    train = short.choose(records).train
    trees, network = torch.from_numpy(crossed[1]), task._answers(tmp_path, first.folder.name, records, train, CPU)
    taught = replace(short, distillation=Distillation(BOOSTED_TREES, temperature=1.0, others=(first.folder.name,)))
    assert taught.parents == (first.folder.name,)
    x, y = torch.zeros(len(train), 12, 1000), torch.zeros(len(train), 5)
    _, loss = taught.learner(nn.Identity(), records, tmp_path, x)
    batch, logits = torch.arange(7), torch.randn(7, 5, generator=torch.Generator().manual_seed(0))
    p = torch.sigmoid((trees[:7] + network[:7]) / 2)
    divergence = (p * (p / torch.sigmoid(logits)).log() + (1 - p) * ((1 - p) / torch.sigmoid(-logits)).log()).mean()
    labels = F.binary_cross_entropy_with_logits(logits, y[:7])
    assert loss(batch, logits, y[:7]).item() == pytest.approx((0.7 * divergence + 0.3 * labels).item(), rel=1e-4)
    assert obtain(taught, records, tmp_path, "cpu").metrics["test"]["auc"] > 0.4


def differing(one, other):
    """Fields, settings among them, in which two configs differ."""
    found = {name for name, value in vars(one).items() if value != getattr(other, name)} - {"training"}
    return found | {name for name, value in vars(one.training).items() if value != getattr(other.training, name)}


def test_each_arm_adds_one_step_to_its_control(config):
    base = replace(config, training=Settings(seed=0, epochs=50), network="student", train_records=0)
    recipe, contrast = recipe_arms(base, 5, 3), pretraining_arms(base, 5, 3)
    grid = student_arms(base, "teacher", 5, 3) | recipe
    added = {
        "windows": {"window"},
        "through": {"optimizer", "schedule", "epochs", "patience"},
        "mixed": {"mixup"},
        "averaged": {"ema_decay"},
        "pretrained": {"pretrained"},
        "committee": {"distillation"},
        "lead I committee": {"distillation"},
    }
    for name, fields in added.items():
        arm, control = grid[name], grid[grid[name].control]
        for one, other in zip(arm.configs, control.configs, strict=True):
            assert differing(one, other) == fields, name
    for number, one in enumerate(grid["committee"].configs):
        resnet = grid["resnet steps"].configs[number]
        assert one.parents == (resnet.run_id, contrast["contrast"].configs[number].run_id)
        assert differing(resnet, grid["averaged"].configs[number]) == {"network", "seed"}
    assert len(grid["lead I steps"].configs) == 3
    for number, one in enumerate(grid["lead I steps"].configs):
        assert one.leads == contrast["contrast, I"].configs[number].leads == (0,)
        assert differing(one, grid["pretrained"].configs[number]) == {"leads", "pretrained"}
    runs = {one.run_id for arm in (recipe | contrast).values() for one in arm.configs}
    assert len(runs) == 5 * 8 + 3 * 3, "no two are one"
    for name in recipe:
        pruned = pruned_arms(recipe, 2, [name])[f"{name} pruned"].configs
        assert [one.parents[-1] for one in pruned] == [one.run_id for one in recipe[name].configs[:2]], name
