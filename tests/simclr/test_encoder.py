"""SimCLR alone: it learns, is loaded again, and takes LARS for large batches only."""

import copy
import sys
from dataclasses import fields, replace

import pytest
import torch
from torch import nn

from ecglib.core.errors import EcglibError
from ecglib.core.files import sole_process
from ecglib.data import mitbih
from ecglib.data.augment import Views, random_view
from ecglib.runs import obtain as obtaining
from ecglib.runs.obtain import obtain
from ecglib.runs.store import PUBLISHED
from ecglib.simclr import encoder
from ecglib.simclr.encoder import EncoderConfig, Settings, embed, new_optimizer
from ecglib.simclr.losses import nt_xent
from ecglib.simclr.networks import BaseEncoder, ProjectionHead
from ecglib.simclr.similarity import own_view_found


@pytest.fixture(scope="module")
def beats(simulated_root):
    return mitbih.load_beats(simulated_root, records=("100", "106", "118", "200"))


@pytest.fixture(scope="module")
def config(beats):
    settings = Settings(seed=1, epochs=12, batch_size=32)
    return EncoderConfig(beats.fingerprint, settings, leads=(0, 1), width=0.125, train_beats=128, hidden=32, outputs=16)


def following(column, found):
    """A watcher that keeps one column of the history, an epoch at a time."""
    return lambda loop: found.append(loop.history[-1][column])


def test_training_brings_views_of_one_beat_together(beats, config, tmp_path):
    losses = []
    trained = obtain(config, beats, tmp_path, "cpu", watchers=[following("loss", losses)]).encoder()
    assert losses[-1] < 0.9 * losses[0]
    x = config.x(beats, config.choose(beats).train[:40])
    torch.manual_seed(0)
    found = [
        own_view_found(*(embed(model, random_view(x)) for _ in range(2)))
        for model in (BaseEncoder(2, 0.125).eval(), trained)
    ]
    assert found[1] > found[0]


def test_a_step_contrasts_two_views_with_the_views_and_the_temperature_of_its_config(beats, config):
    other = replace(config, views=Views(noise=0.9), temperature=0.5)
    x = other.x(beats, other.choose(beats).train[:16])
    model = nn.Sequential(other.untrained(), ProjectionHead(64, 32, 16)).train()
    twin = copy.deepcopy(model)
    torch.manual_seed(0)
    row = encoder.step(other, model, x, new_optimizer(other.training, model))
    torch.manual_seed(0)
    first, second = (random_view(x, Views(noise=0.9)) for _ in range(2))
    assert row["loss"].item() == pytest.approx(nt_xent(twin(first), twin(second), 0.5).item(), rel=1e-5)
    assert not torch.equal(model[0].features[0].weight, twin[0].features[0].weight), "it moved"


def test_an_encoder_is_loaded_not_trained_again(beats, config, tmp_path, monkeypatch):
    first = obtain(config, beats, tmp_path, "cpu").encoder()
    monkeypatch.setattr(obtaining, "_train", lambda *_: pytest.fail("trained again"))
    again = obtain(config, beats, tmp_path, "cpu").encoder()
    assert not again.training
    for name, tensor in first.state_dict().items():
        assert torch.equal(tensor, again.state_dict()[name])
    folder = tmp_path / config.run_id
    left = {"config.json", "history.csv", "env.json", "encoder.safetensors", "metrics.json", "predictions.npz"}
    assert {path.name for path in folder.iterdir()} == left, "no checkpoint is left behind"


def test_published_weights_suffice_and_are_half_precision(beats, config, tmp_path, monkeypatch):
    run = obtain(config, beats, tmp_path, "cpu")
    expected, own = run.encoder().state_dict(), run.folder / "encoder.safetensors"
    run.publish()
    assert (run.folder / PUBLISHED).stat().st_size < 0.6 * own.stat().st_size
    own.unlink()
    monkeypatch.setattr(obtaining, "_train", lambda *_: pytest.fail("trained again"))
    found = obtain(config, beats, tmp_path, "cpu", weights=True).encoder().state_dict()
    for name, tensor in expected.items():
        assert torch.allclose(tensor.float(), found[name].float(), rtol=1e-3, atol=1e-6), name
    (run.folder / PUBLISHED).unlink()
    with pytest.raises(EcglibError, match=r"encoder\.safetensors is not in .*train the run again"):
        run.encoder()


def test_an_interrupted_training_goes_on_to_the_same_end(beats, config, tmp_path):
    short = replace(config, training=replace(config.training, epochs=3))
    whole = obtain(short, beats, tmp_path / "whole", "cpu").encoder()

    def interrupt(loop):
        if loop.history[-1]["epoch"] == 1:
            raise KeyboardInterrupt

    with pytest.raises(KeyboardInterrupt):
        obtain(short, beats, tmp_path / "broken", "cpu", watchers=[interrupt])
    epochs = []
    resumed = obtain(short, beats, tmp_path / "broken", "cpu", watchers=[following("epoch", epochs)]).encoder()
    assert epochs == [2], "two epochs were kept"
    for name, tensor in whole.state_dict().items():
        assert torch.equal(tensor, resumed.state_dict()[name]), name
    (tmp_path / "bad" / short.run_id).mkdir(parents=True)
    (tmp_path / "bad" / short.run_id / "checkpoint.pt").write_bytes(b"not a checkpoint")
    with pytest.raises(EcglibError, match=r"checkpoint\.pt is damaged .*delete it"):
        obtain(short, beats, tmp_path / "bad", "cpu")


def test_two_processes_do_not_train_one_encoder(beats, config, tmp_path):
    busy = "Another process is training it"
    with sole_process(tmp_path, config.run_id, busy), pytest.raises(EcglibError, match="Another process is training"):
        obtain(config, beats, tmp_path, "cpu")


def test_every_field_makes_another_encoder(config):
    changes = {
        "data": "other", "split": "patients", "fold": 1, "split_seed": 43, "leads": (0,), "width": 0.75,
        "train_beats": 7, "temperature": 0.5, "hidden": 7, "outputs": 7, "views": Views(noise=0.9),
        "training": replace(config.training, seed=99),
    }  # fmt: skip
    assert changes.keys() == {field.name for field in fields(config)}
    others = [replace(config, **{name: value}) for name, value in changes.items()]
    settings = {
        "seed": 98, "epochs": 97, "batch_size": 5, "learning_rate": 0.5, "large_batch": 7, "precision": "bfloat16"
    }  # fmt: skip
    assert settings.keys() == {field.name for field in fields(config.training)}
    for name, value in settings.items():
        others.append(replace(config, training=replace(config.training, **{name: value})))
    assert len({config.run_id, *(other.run_id for other in others)}) == 1 + len(others)


def large(config):
    return replace(config, training=replace(config.training, batch_size=config.training.large_batch))


def test_lars_from_the_named_batch_size_on(config, monkeypatch):
    model = nn.Linear(2, 2)
    assert isinstance(new_optimizer(config.training, model), torch.optim.Adam)
    optimizer = new_optimizer(large(config).training, model)
    assert type(optimizer).__name__ == "LARS"
    assert optimizer.param_groups[0]["lr"] == pytest.approx(0.3 * 1024 / 256)
    monkeypatch.setitem(sys.modules, "pytorch_optimizer", None)
    with pytest.raises(EcglibError, match=r"large-batch"):
        new_optimizer(large(config).training, model)


def test_lars_trains(beats, config, tmp_path):
    """The large-batch optimizer, from a batch size that this machine has."""
    losses = []
    from_32 = replace(config, training=replace(config.training, large_batch=32))
    obtain(from_32, beats, tmp_path, "cpu", watchers=[following("loss", losses)])
    assert losses[-1] < 0.9 * losses[0]


def test_too_few_beats_are_refused(beats, config, tmp_path):
    with pytest.raises(EcglibError, match="do not fill one batch"):
        obtain(large(config), beats, tmp_path, "cpu")


def test_every_beat_is_seen_once_an_epoch_in_two_views(beats, config, tmp_path, monkeypatch):
    short, seen = replace(config, training=replace(config.training, epochs=1)), []
    monkeypatch.setattr(encoder, "random_view", lambda x, views: seen.append(x) or random_view(x, views))
    obtain(short, beats, tmp_path, "cpu")
    first, second = torch.stack(seen[::2]), torch.stack(seen[1::2])
    assert torch.equal(first, second)
    assert first.shape == (4, 32, 2, 320)
    together = first.flatten(0, 1).flatten(1)
    expected = short.x(beats, short.choose(beats).train).flatten(1)
    assert torch.equal(together[together.sum(1).argsort()], expected[expected.sum(1).argsort()]), "every beat once"
