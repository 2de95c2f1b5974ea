"""What only a GPU can show; skipped where there is none."""

import warnings
from dataclasses import replace

import pytest
import torch

from ecglib.beatgan import task, training
from ecglib.beatgan.arms import as_coded_twins
from ecglib.beatgan.networks import anomaly_scores
from ecglib.beatgan.task import BeatGANConfig
from ecglib.classifier.task import SELF, ClassifierConfig, Distillation
from ecglib.classifier.training import Settings
from ecglib.core import cuda_graph
from ecglib.data import ptbxl
from ecglib.runs.obtain import obtain

pytestmark = pytest.mark.skipif(not torch.cuda.is_available(), reason="no GPU here")


@pytest.fixture(scope="module")
def base(beats):
    return BeatGANConfig(
        beats.fingerprint, training.Settings(0, epochs=2), width=0.25, train_beats=512, validation_beats=200
    )


@pytest.fixture(autouse=True)
def repeatable(monkeypatch):
    monkeypatch.setenv("ECGLIB_DETERMINISTIC", "1")


def test_a_training_step_is_a_cuda_graph_and_the_training_the_same_without(base, beats, tmp_path, monkeypatch):
    with warnings.catch_warnings():
        warnings.simplefilter("error")  # the fall-back warns
        graph = obtain(base, beats, tmp_path / "graph", "cuda")
    monkeypatch.setattr(cuda_graph, "graphed", lambda step, parts, x: step)
    plain = obtain(base, beats, tmp_path / "plain", "cuda")
    assert graph.history["loss_g"].to_numpy() == pytest.approx(plain.history["loss_g"].to_numpy(), rel=1e-3)
    assert graph.metrics["averaged"]["auc"] == pytest.approx(plain.metrics["averaged"]["auc"], abs=0.01)


def test_a_student_as_coded_is_its_control_to_the_last_bit(base, beats, tmp_path):
    teacher = obtain(base, beats, tmp_path, "cuda", weights=True)
    with pytest.MonkeyPatch.context() as patch:  # ten steps teach nothing yet
        patch.setattr(task, "check_teacher", lambda *_: None)
        coded, plain = (obtain(twin, beats, tmp_path, "cuda") for twin in as_coded_twins(base, teacher.folder.name))
    assert coded.metrics == plain.metrics


def test_scores_of_the_gpu_are_those_of_the_cpu(base, beats, tmp_path):
    run = obtain(base, beats, tmp_path, "cuda", weights=True)
    found = anomaly_scores(run.generator(), base.x(beats, base.choose(beats).test)).numpy()
    assert found == pytest.approx(run.predictions["scores_corrected"], rel=2e-3)
    again = obtain(base, beats, tmp_path / "again", "cuda")
    assert again.metrics == run.metrics, "repeatable"


@pytest.mark.parametrize("taught", [None, Distillation(SELF, temperature=4.0, alpha=2.0, beta=100.0)])
def test_classifiers_are_repeatable(taught, simulated_root, tmp_path):
    records = ptbxl.load_records(simulated_root)
    settings = Settings(0, epochs=2, batch_size=32)
    config = ClassifierConfig(records.fingerprint, settings, network="57K", distillation=taught)
    first, second = (obtain(config, records, tmp_path / name, "cuda") for name in ("one", "two"))
    assert first.metrics == second.metrics
    half = replace(config, training=replace(config.training, epochs=1))
    assert obtain(half, records, tmp_path, "cuda").history["loss"][0] == first.history["loss"][0]
