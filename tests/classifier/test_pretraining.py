"""Contrastive pretraining on simulated records: its views, that it learns, and what a classifier takes from it."""

from dataclasses import replace

import numpy as np
import pytest
import torch

from ecglib.classifier import pretraining, training
from ecglib.classifier.pretraining import PretrainingConfig
from ecglib.classifier.task import ClassifierConfig
from ecglib.classifier.training import Settings
from ecglib.core.errors import EcglibError
from ecglib.runs.formats import read_tensors
from ecglib.runs.loop import Loop
from ecglib.runs.obtain import obtain
from ecglib.simclr.losses import nt_xent

CPU = torch.device("cpu")


@pytest.fixture(scope="module")
def config(records):
    settings = Settings(seed=3, epochs=3, batch_size=32, optimizer="adamw", schedule="one cycle", window=250)
    return PretrainingConfig(records.fingerprint, settings, network="57K")


@pytest.fixture(scope="module")
def run(config, records, store):
    return obtain(config, records, store, "cpu", weights=True)


def test_a_view_changes_each_lead_by_itself_and_silences_some():
    torch.manual_seed(0)
    x = torch.ones(300, 4, 200)
    seen = pretraining.view(x)
    means, spread = seen.mean(dim=2), seen.std(dim=2)
    silent = (seen == 0).all(dim=2)
    assert silent.float().mean().item() == pytest.approx(pretraining.SILENT, abs=0.04)
    heard = means[~silent]
    assert heard.min().item() > 1 - pretraining.LOUDER - 0.03
    assert heard.max().item() < 1 + pretraining.LOUDER + 0.03
    assert heard.std().item() == pytest.approx(2 * pretraining.LOUDER / 12**0.5, rel=0.1), "of a uniform distribution"
    assert spread[~silent].mean().item() == pytest.approx(pretraining.NOISE, rel=0.05)


def test_a_lead_that_is_the_only_one_is_never_silent():
    torch.manual_seed(0)
    assert not (pretraining.view(torch.ones(300, 1, 200)) == 0).all(dim=2).any()


def test_the_loss_is_that_of_two_windows_of_each_record_and_falls(run, config, records, monkeypatch):
    losses = run.history["loss"]
    assert losses.iloc[-1] < losses.iloc[0]
    model, head = config._learner()
    x, seen = torch.from_numpy(records.signals[:32].copy()), []

    def noting(windows):
        seen.append(windows)
        return windows

    monkeypatch.setattr(pretraining, "view", noting)
    torch.manual_seed(0)
    optimizer = training.new_optimizer(config.training, torch.nn.ModuleList([model, head]))
    found = config._step(model.eval(), head, x, optimizer).item()
    first, second = seen
    assert first.shape == second.shape == (32, 12, 250)
    assert not torch.equal(first, second)
    for windows in seen:
        assert all((x[n].unfold(1, 250, 1) == windows[n][:, None]).all(dim=(0, 2)).any() for n in range(32)), "its own"
    fresh, fresh_head = config._learner()
    z = [fresh_head(fresh.eval().pool(fresh.features(one)[-1]).flatten(1)) for one in seen]
    assert found == pytest.approx(nt_xent(*z, 0.1).item(), rel=1e-4)


def test_a_classifier_starts_with_the_convolutions(run, config, records, store):
    still = Settings(seed=5, epochs=1, batch_size=32, learning_rate=0.0)
    taught = ClassifierConfig(records.fingerprint, still, network="57K", pretrained=run.folder.name)
    assert taught.parents == (run.folder.name,)
    network = obtain(taught, records, store, "cpu").model()
    for name, tensor in read_tensors(run.folder / "weights.safetensors").items():
        if "weight" in name or "bias" in name:  # BatchNorm's statistics follow the classifier's own records
            assert torch.equal(network.blocks.state_dict()[name], tensor), name
    plain = replace(taught, pretrained="").model(Loop(store / "x", 5, 1, CPU))
    assert torch.equal(network.classifier.weight, plain.classifier.weight), "the head is that of the same seed"


def test_an_interrupted_pretraining_ends_as_an_uninterrupted_one(run, config, records, tmp_path):
    def interrupt(loop):
        if len(loop.history) == 2:
            raise KeyboardInterrupt

    with pytest.raises(KeyboardInterrupt):
        obtain(config, records, tmp_path, "cpu", watchers=[interrupt])
    again = obtain(config, records, tmp_path, "cpu", weights=True)
    whole = read_tensors(run.folder / "weights.safetensors")
    for name, tensor in read_tensors(again.folder / "weights.safetensors").items():
        assert torch.equal(tensor, whole[name]), name


def test_what_does_not_fit_is_refused(run, config, records, store, tmp_path):
    with pytest.raises(EcglibError, match=r"training\.window"):
        replace(config, training=replace(config.training, window=0))
    with pytest.raises(EcglibError, match="choose one of"):
        replace(config, network="58K")
    with pytest.raises(EcglibError, match="neither mixes"):
        replace(config, training=replace(config.training, mixup=0.4))
    with pytest.raises(EcglibError, match="no blocks"):
        obtain(replace(config, network="plain"), records, tmp_path, "cpu")
    with pytest.raises(EcglibError, match="one batch"):
        obtain(replace(config, train_records=20), records, tmp_path, "cpu")
    with pytest.raises(EcglibError, match="positions of leads"):
        replace(config, leads=(12,))
    start = ClassifierConfig(records.fingerprint, Settings(0, epochs=1), network="57K", pretrained=run.folder.name)
    with pytest.raises(EcglibError, match="train it first"):
        obtain(start, records, tmp_path, "cpu")
    changes = [{"network": "124K"}, {"network": "plain"}, {"leads": (0,)}, {"split": "report"}, {"standardised": False}]
    for other in (replace(start, **change) for change in changes):
        with pytest.raises(EcglibError, match="its own convolutions"):
            obtain(other, records, store, "cpu")
    with pytest.raises(EcglibError, match="starts from one run"):
        replace(start, tuned="run")


def test_labels_play_no_part(config, records, run, tmp_path):
    turned = replace(records, targets=(1 - records.targets).astype(np.uint8))
    assert turned.fingerprint != records.fingerprint
    other = obtain(replace(config, data=turned.fingerprint), turned, tmp_path, "cpu", weights=True)
    whole = read_tensors(run.folder / "weights.safetensors")
    for name, tensor in read_tensors(other.folder / "weights.safetensors").items():
        assert torch.equal(tensor, whole[name]), name
