"""The label-free detector: its blocks against slow transcriptions, no label looked at, and kept scores."""

from dataclasses import replace

import numpy as np
import pytest
import torch

from ecglib.beatgan.task import BeatGANConfig
from ecglib.beatgan.training import Settings as BeatGANSettings
from ecglib.core.errors import EcglibError
from ecglib.data import mitbih
from ecglib.detection import own_record
from ecglib.runs.obtain import obtain
from ecglib.simclr import detectors
from ecglib.simclr.detectors import Described, Detector, encoder_of
from ecglib.simclr.encoder import Settings, embed
from ecglib.stats.metrics import auc

EVERYTHING = Detector(("contrast", "shape", "own", "rhythm"))


@pytest.fixture(scope="module")
def beats(simulated_root):
    return mitbih.load_beats(simulated_root, records=("100", "106", "118", "200"))


@pytest.fixture(scope="module")
def config(beats):
    settings = BeatGANSettings(seed=1, epochs=2, batch_size=32)
    return BeatGANConfig(beats.fingerprint, settings, width=0.125, train_beats=128, test_beats=150)


@pytest.fixture(scope="module")
def encoder(config):
    return replace(encoder_of(config, Settings(seed=1, epochs=2, batch_size=32)), hidden=32, outputs=16)


@pytest.fixture(scope="module")
def described(config, encoder, beats, tmp_path_factory):
    return Described(config, encoder, beats, tmp_path_factory.mktemp("store"), "cpu")


@pytest.fixture(scope="module")
def abnormal(beats, described):
    """(150,) which test beats are abnormal."""
    _, test = described.members
    return beats.labels[test] != "N"


def test_own_is_what_differs_from_the_records_median(beats):
    members = np.array([3, 400, 41, 5])
    found = detectors.minus_own_median(beats, members, (1,))
    for row, beat in zip(found, members, strict=True):
        mine = [n for n in range(len(beats)) if beats.records[n] == beats.records[beat]]
        expected = beats.signals[beat, 1] - np.median([beats.signals[n, 1] for n in mine], axis=0)
        assert row[0] == pytest.approx(expected, abs=1e-6)


def test_rhythm_is_as_far_for_twice_as_for_half(beats):
    beats = replace(beats, rhythm=np.array([[1.0, 1.0], [0.5, 2.0], [40.0, 0.0]], dtype=np.float32))
    found = detectors.log_rhythm(beats, np.arange(3))
    assert found[0] == pytest.approx([0, 0])
    assert found[1] == pytest.approx([-np.log(2), np.log(2)])
    assert np.isfinite(found[2]).all(), "pauses in the annotation have an end"


def test_no_label_of_a_test_beat_is_looked_at(config, beats, encoder, described, tmp_path):
    """Other labels, same scores: but for the split, which is drawn before."""
    run = obtain(encoder, beats, described.store, "cpu", weights=True)
    blind = Described(config, encoder, beats, tmp_path, "cpu")
    labels, (_, test) = beats.labels.copy(), blind.members
    labels[test] = np.random.default_rng(0).permutation(labels[test])
    blind.beats = replace(beats, labels=labels)
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(detectors, "obtain", lambda *_, **__: run)
        patched = detectors.scores(EVERYTHING, blind)
        plain = Described(config, encoder, beats, tmp_path / "plain", "cpu")
        assert np.array_equal(patched, detectors.scores(EVERYTHING, plain))


def test_nothing_is_fitted_to_test_beats(config, beats, encoder, described, tmp_path):
    """The first half of the test beats has the same scores without the second."""
    fewer = Described(replace(config, test_beats=75), encoder, beats, tmp_path, "cpu")
    by = Detector(("shape", "own", "rhythm"))
    whole, half = detectors.scores(by, described), detectors.scores(by, fewer)
    assert np.array_equal(fewer.members[1], described.members[1][:75])
    assert half == pytest.approx(whole[:75], rel=2e-3)


def test_an_encoder_that_learned_from_other_beats_is_refused(config, beats, encoder, tmp_path):
    with pytest.raises(EcglibError, match="learns from other beats"):
        Described(config, replace(encoder, split="patients"), beats, tmp_path)


def test_the_control_that_never_learned_has_seen_its_beats(beats, encoder):
    before, after = encoder.untrained(), encoder.normalising(beats)
    assert torch.equal(before.features[0].weight, after.features[0].weight)
    seen = [
        (one.running_mean, other.running_mean)
        for one, other in zip(before.modules(), after.modules(), strict=True)
        if isinstance(one, torch.nn.BatchNorm1d)
    ]
    assert seen and not any(torch.equal(one, other) for one, other in seen)


def test_own_contrast_asks_each_record_about_its_own_usual_beats(described, beats, encoder, monkeypatch):
    found = {trained: detectors.own_contrast(described, trained) for trained in (True, False)}
    run = obtain(encoder, beats, described.store, "cpu", weights=True)
    for trained, network in ((True, run.encoder()), (False, encoder.normalising(beats))):
        for record in ("100", "200"):
            own = np.flatnonzero(beats.records == record)
            h = embed(network, encoder.x(beats, own)).numpy()
            expected = own_record.embedding_answers(h, beats.intervals[own, 0])
            assert found[trained][own] == pytest.approx(expected, rel=2e-3, abs=1e-3), "half precision"
    assert not np.allclose(found[True], found[False])
    monkeypatch.setattr(detectors, "obtain", lambda *_, **__: pytest.fail("computed again"))
    assert np.array_equal(detectors.own_contrast(described), found[True])


def test_it_finds_abnormal_beats_and_every_block_counts(beats, described, abnormal):
    alone = {name: detectors.scores(Detector((name,)), described) for name in EVERYTHING.blocks}
    together = detectors.scores(EVERYTHING, described)
    assert auc(abnormal, together) > 0.9
    for name, found in alone.items():
        assert not np.array_equal(found, together), name
        rest = Detector(tuple(block for block in EVERYTHING.blocks if block != name))
        assert not np.array_equal(detectors.scores(rest, described), together), name
    values = detectors.aucs(beats.labels[described.members[1]], together)
    assert values["all"] == auc(abnormal, together)
    assert {"S", "V", "F"} < set(values)


def test_untrained_is_another_encoder(described):
    pair = [described.block(name, EVERYTHING)[0] for name in ("contrast", "untrained")]
    for embedding in pair:
        assert np.linalg.norm(embedding, axis=1) == pytest.approx(np.ones(128), rel=1e-5)
    assert np.abs(pair[0] - pair[1]).max() > 0.01


def test_scores_are_kept_and_depend_on_the_detector(described, monkeypatch):
    first = detectors.scores(EVERYTHING, described)
    one_lead, far = replace(EVERYTHING, leads=(0,)), replace(EVERYTHING, distance="mahalanobis")
    for other in (one_lead, far):
        assert not np.array_equal(detectors.scores(other, described), first)
    monkeypatch.setattr(detectors, "Blocks", None)  # nothing is measured again
    assert np.array_equal(detectors.scores(EVERYTHING, described), first)


@pytest.mark.parametrize(
    ("fields", "message"),
    [
        ({"blocks": ()}, "choose blocks among contrast, untrained, shape, own, rhythm"),
        ({"blocks": ("shapes",)}, "choose blocks among contrast, untrained, shape, own, rhythm"),
        ({"blocks": ("own",), "distance": "far"}, "distance is 'far': choose one of nearest, mahalanobis"),
    ],
)
def test_unknown_blocks_and_distances_are_refused(fields, message):
    with pytest.raises(EcglibError, match=message):
        Detector(**fields)
