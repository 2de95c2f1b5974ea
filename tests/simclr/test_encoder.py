"""SimCLR alone: it learns, is loaded again, and takes LARS and synchronised BatchNorm for large batches only."""

import sys
from dataclasses import replace
from pathlib import Path

import pytest
import torch
from torch import distributed, multiprocessing, nn

from ecglib.beatgan.experiments import BeatGANConfig
from ecglib.beatgan.training import Hyperparameters
from ecglib.core.errors import EcglibError
from ecglib.core.files import sole_process
from ecglib.data import mitbih
from ecglib.data.augment import random_view
from ecglib.simclr import encoder
from ecglib.simclr.encoder import SimCLRConfig, embed, new_optimizer, synchronised, train_encoder
from ecglib.simclr.networks import BaseEncoder
from ecglib.simclr.similarity import own_view_found


@pytest.fixture(scope="module")
def beats(simulated_root):
    return mitbih.load_beats(simulated_root, records=("100", "106", "118", "200"))


@pytest.fixture(scope="module")
def config(beats):
    settings = Hyperparameters(seed=1, epochs=12, batch_size=32)
    base = BeatGANConfig(beats.fingerprint, settings, leads=(0, 1), width=0.125, train_beats=128)
    return SimCLRConfig(base, hidden=32, outputs=16)


def test_training_brings_views_of_one_beat_together(beats, config, tmp_path):
    losses = []
    encoder = train_encoder(config, beats, tmp_path, "cpu", lambda _, loss: losses.append(loss))
    assert losses[-1] < 0.9 * losses[0]
    x = config.beats.x(beats, config.beats.choose(beats).train[:40])
    torch.manual_seed(0)
    found = [
        own_view_found(*(embed(model, random_view(x)) for _ in range(2)))
        for model in (BaseEncoder(2, 0.125).eval(), encoder)
    ]
    assert found[1] > found[0]


def test_an_encoder_is_loaded_not_trained_again(beats, config, tmp_path, monkeypatch):
    first = train_encoder(config, beats, tmp_path, "cpu")
    monkeypatch.setattr(encoder, "_train", lambda *_: pytest.fail("trained again"))
    again = train_encoder(config, beats, tmp_path, "cpu")
    assert not again.training
    for name, tensor in first.state_dict().items():
        assert torch.equal(tensor, again.state_dict()[name])
    folder = tmp_path / config.run_id
    left = {"config.json", "history.csv", "env.json", "encoder.safetensors"}
    assert {path.name for path in folder.iterdir()} == left, "no checkpoint is left behind"


def test_an_interrupted_training_goes_on_to_the_same_end(beats, config, tmp_path):
    short = replace(config, beats=replace(config.beats, training=replace(config.beats.training, epochs=3)))
    whole = train_encoder(short, beats, tmp_path / "whole", "cpu")

    def interrupt(epoch, _):
        if epoch == 1:
            raise KeyboardInterrupt

    with pytest.raises(KeyboardInterrupt):
        train_encoder(short, beats, tmp_path / "broken", "cpu", interrupt)
    epochs = []
    resumed = train_encoder(short, beats, tmp_path / "broken", "cpu", lambda epoch, _: epochs.append(epoch))
    assert epochs == [2], "two epochs were kept"
    for name, tensor in whole.state_dict().items():
        assert torch.equal(tensor, resumed.state_dict()[name]), name
    (tmp_path / "bad" / short.run_id).mkdir(parents=True)
    (tmp_path / "bad" / short.run_id / "checkpoint.safetensors").write_bytes(b"not a checkpoint")
    with pytest.raises(EcglibError, match=r"checkpoint\.safetensors is damaged .*delete it"):
        train_encoder(short, beats, tmp_path / "bad", "cpu")


def test_two_processes_do_not_train_one_encoder(beats, config, tmp_path):
    with sole_process(tmp_path, config.run_id), pytest.raises(EcglibError, match="Another process is training"):
        train_encoder(config, beats, tmp_path, "cpu")


def test_every_field_makes_another_encoder(config):
    others = [replace(config, temperature=0.5), replace(config, beats=replace(config.beats, leads=(0,)))]
    assert len({config.run_id, *(other.run_id for other in others)}) == 3


def large(config):
    settings = replace(config.beats.training, batch_size=config.large_batch)
    return replace(config, beats=replace(config.beats, training=settings))


def test_lars_from_the_named_batch_size_on(config, monkeypatch):
    model = nn.Linear(2, 2)
    assert isinstance(new_optimizer(config, model), torch.optim.Adam)
    optimizer = new_optimizer(large(config), model)
    assert type(optimizer).__name__ == "LARS"
    assert optimizer.param_groups[0]["lr"] == pytest.approx(0.3 * 1024 / 256)
    monkeypatch.setitem(sys.modules, "pytorch_optimizer", None)
    with pytest.raises(EcglibError, match=r"large-batch"):
        new_optimizer(large(config), model)


def test_batchnorm_is_synchronised_between_processes_and_for_large_batches_alone(config, monkeypatch):
    def kinds(chosen, device="cuda"):
        return {type(module) for module in synchronised(chosen, BaseEncoder(1, 0.125), torch.device(device)).modules()}

    assert nn.SyncBatchNorm not in kinds(large(config)), "one process"
    monkeypatch.setattr(encoder, "processes", lambda: (0, 2))
    assert nn.SyncBatchNorm in kinds(large(config))
    assert nn.SyncBatchNorm not in kinds(config)
    assert nn.SyncBatchNorm not in kinds(config, "cpu")
    with pytest.raises(EcglibError, match="needs a GPU each"):
        kinds(large(config), "cpu")


def test_lars_trains(beats, config, tmp_path):
    """The large-batch optimizer, from a batch size that this machine has."""
    losses = []
    train_encoder(replace(config, large_batch=32), beats, tmp_path, "cpu", lambda _, loss: losses.append(loss))
    assert losses[-1] < 0.9 * losses[0]


def test_too_few_beats_are_refused(beats, config, tmp_path):
    with pytest.raises(EcglibError, match="do not fill one batch"):
        train_encoder(large(config), beats, tmp_path, "cpu")


def worker(rank, folder, config, beats):
    distributed.init_process_group("gloo", init_method=f"file://{folder}/meet", rank=rank, world_size=2)
    seen = []
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(encoder, "random_view", lambda x: seen.append(x) or random_view(x))
        encoder = train_encoder(config, beats, Path(folder) / "store", "cpu")
    torch.save(encoder.state_dict(), Path(folder) / f"encoder{rank}.pt")
    torch.save(torch.stack(seen[::2]), Path(folder) / f"seen{rank}.pt")
    distributed.destroy_process_group()


def test_two_processes_share_each_batch_and_end_with_one_encoder(beats, config, tmp_path):
    short = replace(config, beats=replace(config.beats, training=replace(config.beats.training, epochs=1)))
    multiprocessing.spawn(worker, (str(tmp_path), short, beats), nprocs=2)
    encoders = [torch.load(tmp_path / f"encoder{rank}.pt", weights_only=True) for rank in range(2)]
    for name, tensor in encoders[0].items():
        assert torch.equal(tensor, encoders[1][name]), name
    seen = [torch.load(tmp_path / f"seen{rank}.pt", weights_only=True) for rank in range(2)]
    assert seen[0].shape == (4, 16, 2, 320), "half of each batch of 32"
    together = torch.cat([part.flatten(0, 1) for part in seen]).flatten(1)
    expected = short.beats.x(beats, short.beats.choose(beats).train).flatten(1)
    assert torch.equal(together[together.sum(1).argsort()], expected[expected.sum(1).argsort()]), "every beat once"


def test_gradients_are_averaged_over_processes(monkeypatch):
    model = nn.Linear(2, 1, bias=False)
    model(torch.tensor([[2.0, 6.0]])).sum().backward()
    monkeypatch.setattr(encoder.distributed, "all_reduce", lambda tensor: tensor.add_(2.0))
    encoder.average_gradients(model, 2)
    assert model.weight.grad.tolist() == [[2.0, 4.0]]
    encoder.average_gradients(model, 1)
    assert model.weight.grad.tolist() == [[2.0, 4.0]], "one process has nothing to share"
