"""The store's side of a run, shown on BeatGANs: load, train again, resume, refuse a second writer."""

import dataclasses
import shutil

import filelock
import numpy as np
import pytest

from ecglib.beatgan.distillation import SELF, Distillation
from ecglib.beatgan.task import BeatGANConfig
from ecglib.beatgan.training import Settings
from ecglib.core.errors import EcglibError
from ecglib.runs import store as stores
from ecglib.runs.formats import read_tensors, write_arrays, write_tensors
from ecglib.runs.obtain import obtain
from ecglib.runs.store import PUBLISHED, pack


class Stop(Exception):
    pass


def config(beats):
    settings = Settings(seed=0, epochs=2, batch_size=16)
    return BeatGANConfig(beats.fingerprint, settings, train_beats=64, validation_beats=60, width=0.125)


@pytest.fixture(scope="module")
def finished(beats, tmp_path_factory):
    return obtain(config(beats), beats, tmp_path_factory.mktemp("store"), "cpu")


def test_a_finished_run_is_loaded_not_trained(finished, beats, monkeypatch):
    monkeypatch.setattr(BeatGANConfig, "train", lambda *_: pytest.fail("trained again"))
    again = obtain(config(beats), beats, finished.folder.parent, "cpu", weights=True)
    assert again.metrics == finished.metrics


def test_missing_weights_are_an_error_or_trained_again(finished, beats, tmp_path):
    folder = tmp_path / finished.folder.name
    folder.mkdir()
    for path in finished.folder.iterdir():
        if path.suffix != ".safetensors":
            (folder / path.name).write_bytes(path.read_bytes())
    loaded = obtain(config(beats), beats, tmp_path, "cpu")
    with pytest.raises(EcglibError, match="weights=True"):
        loaded.generator()
    again = obtain(config(beats), beats, tmp_path, "cpu", weights=True)
    assert again.generator().training is False


def assert_same_run(first, second):
    """The same history, metrics, scores and, where both have them, weights, to the last bit."""
    columns = [name for name in first.history.columns if name != "seconds"]
    assert first.history[columns].equals(second.history[columns])
    assert first.metrics == second.metrics
    assert first.predictions.keys() == second.predictions.keys()
    for name, values in first.predictions.items():
        assert np.array_equal(values, second.predictions[name]), name
    for rule in ("as_coded", "corrected"):
        weights, others = (run.generator(rule).state_dict() for run in (first, second))
        for name, tensor in weights.items():
            assert np.array_equal(tensor, others[name]), f"{rule} {name}"


@pytest.mark.parametrize("taught", [None, Distillation(("reconstruction",), SELF)], ids=["alone", "by its average"])
@pytest.mark.parametrize(("epochs", "stop_after"), [(3, 1), (3, 2), (8, 7)])  # 7 of 8: in the last quarter
def test_a_run_stopped_after_any_epoch_resumes_to_the_same_end(tiny, beats, tmp_path, taught, epochs, stop_after):
    training = dataclasses.replace(tiny.training, seed=5, epochs=epochs)
    longer = dataclasses.replace(tiny, training=training, distillation=taught)
    whole, rows = obtain(longer, beats, tmp_path / "whole", "cpu"), []

    def stop(loop):
        if len(loop.history) == stop_after:
            raise Stop

    with pytest.raises(Stop):
        obtain(longer, beats, tmp_path / "broken", "cpu", watchers=[stop])
    assert not longer.run(tmp_path / "broken").finished()
    resumed = obtain(longer, beats, tmp_path / "broken", "cpu", watchers=[lambda loop: rows.append(loop.history[-1])])
    assert [row["epoch"] for row in rows] == list(range(stop_after, epochs)), "the epochs before are not trained again"
    assert_same_run(whole, resumed)
    assert not (resumed.folder / "checkpoint.pt").exists()


def test_a_run_of_the_bundle_stays_finished_while_it_is_trained_again_for_its_weights(tiny, beats, tmp_path):
    store = tmp_path / "runs"
    first = obtain(tiny, beats, store, "cpu")
    pack(store, lambda *_: "all")
    shutil.rmtree(first.folder)
    assert tiny.run(store).finished()

    def stop(_):
        raise Stop

    with pytest.raises(Stop):
        obtain(tiny, beats, store, "cpu", weights=True, watchers=[stop])
    assert (tiny.run(store).folder / "config.json").exists(), "the training had begun"
    assert tiny.run(store).finished()
    assert not tiny.run(store).finished(weights=True)
    assert obtain(tiny, beats, store, "cpu", weights=True).metrics == first.metrics


def test_published_weights_are_those_of_the_last_training(tiny, beats, tmp_path):
    run = obtain(tiny, beats, tmp_path, "cpu")
    run.publish()
    write_tensors(run.folder / PUBLISHED, {name: 0 * one for name, one in read_tensors(run.folder / PUBLISHED).items()})
    (run.folder / "predictions.npz").unlink()
    again = obtain(tiny, beats, tmp_path, "cpu")
    assert not (run.folder / PUBLISHED).exists()
    again.publish()
    assert any(one.any() for one in read_tensors(run.folder / PUBLISHED).values())


def test_hidden_files_of_others_stay(tiny, beats, tmp_path):
    folder = tmp_path / tiny.run_id
    (folder / ".ipynb_checkpoints").mkdir(parents=True)
    (folder / ".notes").touch()
    (folder / ".predictions.npz.x.partial").touch()
    obtain(tiny, beats, tmp_path, "cpu")
    assert sorted(path.name for path in folder.glob(".*")) == [".ipynb_checkpoints", ".notes"]


def test_a_damaged_checkpoint_of_a_run_says_what_to_do(tiny, beats, tmp_path):
    folder = tmp_path / tiny.run_id
    folder.mkdir()
    (folder / "checkpoint.pt").write_bytes(b"not a checkpoint")
    with pytest.raises(EcglibError, match=r"checkpoint\.pt is damaged .*delete it"):
        obtain(tiny, beats, tmp_path, "cpu")


def test_two_processes_never_write_one_run(beats, tmp_path):
    with (
        filelock.FileLock(tmp_path / f"{config(beats).run_id}.lock"),
        pytest.raises(EcglibError, match="Another process is training"),
    ):
        obtain(config(beats), beats, tmp_path, "cpu")


def test_packing_goes_on_where_it_was_killed(tiny, beats, tmp_path, monkeypatch):
    """The histories are written before the facts, which say what is finished."""
    store = tmp_path / "runs"
    first = obtain(tiny, beats, store, "cpu")
    pack(store, lambda *_: "all")
    obtain(dataclasses.replace(tiny, training=dataclasses.replace(tiny.training, seed=7)), beats, store, "cpu")

    def killed(path, text, write=stores.write_text):
        if path.name == "runs.jsonl":
            raise KeyboardInterrupt
        write(path, text)

    with monkeypatch.context() as patch, pytest.raises(KeyboardInterrupt):
        patch.setattr(stores, "write_text", killed)
        pack(store, lambda *_: "all")
    stores.bundle.cache_clear()
    assert list(stores.bundle(store).histories) == [first.folder.name]
    pack(store, lambda *_: "all")
    assert len(stores.bundle(store).histories) == len(stores.bundle(store).facts) == 2


def test_a_bundle_takes_only_what_a_run_has_written_and_drops_files_that_it_left(tiny, beats, tmp_path):
    store = tmp_path / "runs"
    run = obtain(tiny, beats, store, "cpu")
    pack(store, lambda *_: "all")
    pack(store, lambda *_: "others")
    assert [path.name for path in tmp_path.glob("predictions_*")] == ["predictions_others.npz"]
    before = (tmp_path / "runs.jsonl").read_bytes()
    write_arrays(run.folder / "predictions.npz", {"scores": np.arange(3)})
    with pytest.raises(EcglibError, match="is not what this run has written"):
        pack(store, lambda *_: "all")
    assert (tmp_path / "runs.jsonl").read_bytes() == before
