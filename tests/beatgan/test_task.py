"""A BeatGAN as a run: what decides it, what it leaves, which epochs it keeps, what it refuses."""

import copy
import dataclasses
import math
import shutil

import numpy as np
import pytest
import torch
from sklearn.metrics import roc_auc_score

from ecglib.beatgan import task
from ecglib.beatgan.distillation import SELF, Distillation
from ecglib.beatgan.networks import anomaly_scores
from ecglib.beatgan.quarter import LastQuarter
from ecglib.beatgan.task import BeatGANConfig, BeatGANRun
from ecglib.beatgan.training import Settings
from ecglib.core.errors import EcglibError
from ecglib.data import mitbih
from ecglib.runs.formats import digest_of_file, read_tensors
from ecglib.runs.obtain import obtain


def config(beats, **changes):
    settings = Settings(seed=changes.pop("seed", 0), epochs=changes.pop("epochs", 2), batch_size=16)
    return BeatGANConfig(beats.fingerprint, settings, train_beats=64, validation_beats=60, **changes)


@pytest.fixture(scope="module")
def finished(beats, tmp_path_factory):
    return obtain(config(beats), beats, tmp_path_factory.mktemp("store"), "cpu")


def test_every_field_makes_another_run(beats):
    base, lesson = config(beats), Distillation(("scores",), "teacher")
    changes = {
        "data": "other", "split": "patients", "fold": 1, "split_seed": 43, "leads": (1,), "width": 0.5,
        "train_beats": 0, "validation_beats": 50, "test_beats": 10, "distillation": lesson,
        "training": dataclasses.replace(base.training, seed=1),
    }  # fmt: skip
    assert changes.keys() == {field.name for field in dataclasses.fields(base)}
    others = [dataclasses.replace(base, **{name: value}) for name, value in changes.items()]
    settings = {
        "seed": 1, "epochs": 3, "batch_size": 32, "learning_rate": 1e-3, "beta1": 0.9, "beta2": 0.9,
        "adversarial_weight": 0.0, "reset_discriminator_below": 0.5, "time_warp": True, "precision": "bfloat16",
    }  # fmt: skip
    assert settings.keys() == {field.name for field in dataclasses.fields(base.training)}
    for name, value in settings.items():
        others.append(dataclasses.replace(base, training=dataclasses.replace(base.training, **{name: value})))
    assert len({base.run_id, *(other.run_id for other in others)}) == len(others), "seed is among them twice"
    assert base.run_id == config(beats).run_id


def test_every_epoch_warps_each_training_beat_once_in_an_order_of_its_own(beats, tmp_path, monkeypatch):
    seen = []
    monkeypatch.setattr(task, "warp_most", lambda x: seen.append(x) or x)
    settings = dataclasses.replace(config(beats).training, time_warp=True)
    warped = dataclasses.replace(config(beats), training=settings)
    obtain(warped, beats, tmp_path, "cpu")
    assert [len(x) for x in seen] == [16] * 8, "64 beats, two epochs"
    x = warped.x(beats, warped.choose(beats).train)
    orders = []
    for epoch in (torch.cat(seen[:4]), torch.cat(seen[4:])):
        orders.append([(x == beat).all(dim=(1, 2)).nonzero()[0].item() for beat in epoch])
        assert torch.equal(epoch, x[orders[-1]])
    assert sorted(orders[0]) == sorted(orders[1]) == list(range(64))
    assert orders[0] != orders[1] and orders[0] != sorted(orders[0])


def test_the_averaged_weights_are_those_of_every_step_of_the_last_quarter(tiny, beats, tmp_path, monkeypatch):
    steps, normalised = [], []

    class Watched(LastQuarter):
        def after_step(self, epoch, generator):
            steps.append((epoch, copy.deepcopy(generator.state_dict())))
            super().after_step(epoch, generator)

        def generator(self, x, batch_size):
            normalised.append(x)
            return super().generator(x, batch_size)

    monkeypatch.setattr(task, "LastQuarter", Watched)
    longer = dataclasses.replace(tiny, training=dataclasses.replace(tiny.training, epochs=8))
    run = obtain(longer, beats, tmp_path, "cpu")
    assert [epoch for epoch, _ in steps] == [epoch for epoch in range(8) for _ in range(4)], "four steps an epoch"
    averaged = run.generator("averaged")
    for name, found in averaged.named_parameters():
        mean = torch.stack([weights[name] for epoch, weights in steps if epoch >= 6]).mean(dim=0)
        torch.testing.assert_close(found, mean)
    (x,) = normalised
    assert torch.equal(x, longer.x(beats, longer.choose(beats).train)), "no test beat sets its statistics"


def test_a_run_leaves_all_its_files_and_no_working_ones(finished):
    names = {path.name for path in finished.folder.iterdir()}
    assert names == {
        "config.json", "env.json", "history.csv", "metrics.json", "predictions.npz",
        "weights_as_coded.safetensors", "weights_averaged.safetensors", "weights_corrected.safetensors",
    }  # fmt: skip
    assert finished.config["training"]["seed"] == 0
    assert len(finished.history) == 2
    assert finished.environment["torch"]


def test_metrics_and_scores_follow_from_the_stored_files(finished, beats):
    split = config(beats).choose(beats)
    stored = finished.predictions
    assert np.array_equal(stored["labels"], beats.labels[split.test])
    assert np.array_equal(stored["patients"], beats.patients[split.test])
    x = torch.from_numpy(mitbih.scale(beats.signals[split.test, 0])[:, None])
    epochs = {rule: int(found["epoch"]) for rule, found in finished.metrics.items()}
    for rule, found in task.evaluate(stored, epochs).items():
        assert found == pytest.approx(finished.metrics[rule])
    for rule in ("as_coded", "labelled", "corrected", "averaged"):
        judged = finished.metrics[rule]
        assert judged["auc"] == pytest.approx(roc_auc_score(stored["labels"] != "N", stored[f"scores_{rule}"]))
    for rule in ("as_coded", "corrected", "averaged"):
        again = anomaly_scores(finished.generator(rule), x).numpy()
        np.testing.assert_allclose(stored[f"scores_{rule}"], again, rtol=1e-3)


def test_published_weights_are_half_the_size_and_score_alike(finished, beats, tmp_path):
    folder = tmp_path / finished.folder.name
    folder.mkdir()
    for path in finished.folder.iterdir():
        (folder / path.name).write_bytes(path.read_bytes())
    run = BeatGANRun(folder)
    full = (folder / "weights_corrected.safetensors").stat().st_size
    run.publish()
    assert (folder / "weights_float16.safetensors").stat().st_size < 0.51 * full
    x = config(beats).x(beats, config(beats).choose(beats).test[:50])
    before = anomaly_scores(run.generator(), x)
    for rule in ("as_coded", "corrected"):
        (folder / f"weights_{rule}.safetensors").unlink()
    torch.testing.assert_close(anomaly_scores(run.generator(), x), before, rtol=0.01, atol=1e-4)
    again = obtain(config(beats), beats, tmp_path, "cpu", weights=True)  # nothing is trained again
    assert again.environment == finished.environment


def test_each_rule_keeps_its_best_epoch(beats, tmp_path):
    longer = config(beats, epochs=3, width=0.25)
    run, split = obtain(longer, beats, tmp_path, "cpu"), longer.choose(beats)
    history = run.history
    assert len(history) == 3
    assert run.metrics["as_coded"]["epoch"] == int(history["auc_as_coded"].to_numpy().argmax())
    assert run.metrics["labelled"]["epoch"] == int(history["auc_eval_mode"].to_numpy().argmax())
    assert run.metrics["corrected"]["epoch"] == int(history["error_normal"].to_numpy().argmin())
    # The corrected weights give back the criterion; the as-coded ones carry the validation set's own statistics.
    normal = split.validation[beats.labels[split.validation] == "N"]
    scores = anomaly_scores(run.generator(), longer.x(beats, normal))
    assert scores.mean().item() == pytest.approx(history["error_normal"].min(), rel=1e-5)


def test_a_students_history_has_the_term_and_its_pull(beats, tmp_path):
    taught = config(beats, seed=100, distillation=Distillation(("reconstruction",), SELF))
    history = obtain(taught, beats, tmp_path, "cpu").history
    assert (history["loss_distillation"] > 0).all()
    assert (history["gradient_ratio"] > 0).all()


def test_a_taught_student_keeps_which_weights_taught_it_and_resumes_to_the_same_end(beats, tmp_path, monkeypatch):
    monkeypatch.setattr(task, "check_teacher", lambda *_: None)  # so short a training does not beat chance
    teacher = obtain(config(beats), beats, tmp_path, "cpu")
    taught = config(beats, seed=100, distillation=Distillation(("reconstruction",), teacher.folder.name))
    taught = dataclasses.replace(taught, training=dataclasses.replace(taught.training, epochs=3), train_beats=75)
    whole = obtain(taught, beats, tmp_path, "cpu")
    wanted = {teacher.folder.name: digest_of_file(teacher.weights_file())}
    assert whole.environment["teacher_weights"] == wanted
    teaches = read_tensors(teacher.folder / "weights_corrected.safetensors")
    assert all(torch.equal(found, teaches[name]) for name, found in taught.teacher(tmp_path).state_dict().items())
    weights = whole.generator().state_dict()
    shutil.rmtree(whole.folder)

    def stop(loop):
        raise InterruptedError

    with pytest.raises(InterruptedError):
        obtain(taught, beats, tmp_path, "cpu", watchers=[stop])
    resumed = obtain(taught, beats, tmp_path, "cpu").generator().state_dict()
    assert all(torch.equal(one, resumed[name]) for name, one in weights.items())


def test_too_few_beats_and_one_class_alone_are_errors(beats, tmp_path):
    few = dataclasses.replace(config(beats), train_beats=15)
    with pytest.raises(EcglibError, match="do not fill one batch"):
        obtain(few, beats, tmp_path, "cpu")
    one = dataclasses.replace(config(beats), validation_beats=1)
    with pytest.raises(EcglibError, match="one class alone"):
        obtain(one, beats, tmp_path, "cpu")


def test_a_training_that_diverges_names_the_epoch(tiny, beats, tmp_path):
    def spoil(loop):
        with torch.no_grad():
            next(loop.parts["generator"].parameters()).fill_(math.nan)

    longer = dataclasses.replace(tiny, training=dataclasses.replace(tiny.training, epochs=2))
    with pytest.raises(EcglibError, match="diverged in epoch 1"):
        obtain(longer, beats, tmp_path, "cpu", watchers=[spoil])


@pytest.mark.parametrize("width", [0, -1.0])
def test_a_network_without_channels_is_refused(beats, width):
    with pytest.raises(EcglibError, match="above 0"):
        config(beats, width=width)


def test_the_wrong_beats_are_refused(beats, simulated_root, tmp_path):
    other = mitbih.load_beats(simulated_root, records=("100", "200"))
    with pytest.raises(EcglibError, match="not those this config was made for"):
        obtain(config(beats), other, tmp_path, "cpu")
