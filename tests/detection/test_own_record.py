"""The three questions against slow loops, and where most beats are premature."""

from dataclasses import replace

import numpy as np
import pytest
from scipy.stats import pearsonr
from sklearn.metrics import roc_auc_score

from ecglib.core.errors import EcglibError
from ecglib.data import mitbih
from ecglib.detection import own_record, tables
from ecglib.detection.own_record import Usual
from ecglib.stats.metrics import auc, resampled


def record(rng, premature):
    """Beats (M, 2, 320) with a P wave, a QRS complex and noise, and their intervals. Premature ones have P inverted."""
    t = np.arange(320) - 139
    wave = np.exp(-(((t + 50) / 12) ** 2)) * 0.15
    complexes = np.exp(-((t / 6) ** 2)) - 0.3 * np.exp(-(((t - 12) / 6) ** 2))
    beats = complexes + np.where(premature[:, None], -1, 1) * wave + rng.normal(0, 0.02, (len(premature), 320))
    intervals = np.where(premature, 0.6, 0.9) + rng.normal(0, 0.02, len(premature))
    return np.stack([beats, -beats], axis=1).astype(np.float32), intervals


def test_answers_against_loops():
    rng = np.random.default_rng(0)
    signals, intervals = record(rng, rng.random(60) < 0.2)
    found = own_record.answers(signals, intervals, Usual(around=1000))
    long = np.percentile(intervals, 80)
    latest = [m for m in range(60) if intervals[m] >= long]
    usual = np.array([[np.median([signals[m, n, s] for m in latest]) for s in range(320)] for n in range(2)])

    def p_wave(m):
        # 222 to 42 ms before the annotation, which is sample 139. Each lead about its own mean.
        one, other = (np.concatenate([x[n, 59:124] - x[n, 59:124].mean() for n in (0, 1)]) for x in (signals[m], usual))
        return 1 - pearsonr(one, other)[0]

    def qrs_complex(m):  # 111 ms before to 167 ms after
        squares = [(signals[m, n, s] - usual[n, s]) ** 2 for n in range(2) for s in range(99, 199)]
        return np.sqrt(sum(squares) / sum(usual[n, s] ** 2 for n in range(2) for s in range(99, 199)))

    changes = [abs(np.log(intervals[m + 1] / intervals[m])) for m in range(59)]
    for m in range(60):
        for n, unlike in enumerate((p_wave, qrs_complex)):
            spread = np.median([unlike(other) for other in latest])
            assert found[m, n] == pytest.approx(unlike(m) / (spread + 0.1), abs=1e-4)
        assert found[m, 2] == pytest.approx(np.log(long / intervals[m]) / (np.median(changes) + 0.1), abs=1e-4)


def test_noise_of_the_record_is_not_taken_for_abnormal_beats():
    rng = np.random.default_rng(4)
    signals, intervals = record(rng, np.zeros(300, bool))
    noisy = signals + rng.normal(0, 0.2, signals.shape).astype(np.float32)
    clean, disturbed = (own_record.answers(x, intervals) for x in (signals, noisy))
    assert (np.median(disturbed[:, :2], axis=0) < 1.2).all()
    assert (np.median(disturbed[:, :2], axis=0) < 10 * np.median(clean[:, :2], axis=0)).all(), "with 10 times the noise"


@pytest.mark.parametrize("causal", [False, True])
def test_premature_beats_stand_out_where_they_are_most(causal):
    rng = np.random.default_rng(1)
    premature = rng.random(900) < 0.7
    signals, intervals = record(rng, premature)
    found = own_record.answers(signals, intervals, Usual(causal=causal))
    assert auc(premature, found[:, 0]) > 0.99
    assert auc(premature, found[:, 2]) > 0.99
    compared_with_all = own_record.answers(signals, intervals, Usual(latest=1.0, causal=causal))
    assert auc(premature, compared_with_all[:, 0]) < 0.5, "the median of all beats is that of the premature ones"


def test_a_causal_answer_does_not_know_what_comes():
    rng = np.random.default_rng(2)
    signals, intervals = record(rng, rng.random(400) < 0.2)
    before = own_record.answers(signals, intervals, Usual(100, causal=True))
    later = signals.copy()
    later[250:] = rng.normal(size=later[250:].shape)
    after = own_record.answers(later, intervals, Usual(100, causal=True))
    assert np.array_equal(before[:250], after[:250])
    assert not np.allclose(before[250:, 1], after[250:, 1])


def test_a_missing_interval_is_usual_and_a_flat_beat_unlike():
    rng = np.random.default_rng(3)
    signals, intervals = record(rng, np.zeros(50, bool))
    intervals[0] = np.nan
    signals[7] = 0
    found = own_record.answers(signals, intervals)
    assert np.isfinite(found).all()
    assert abs(found[0, 2]) < 0.2
    assert (found[7, :2] > 3 * np.delete(found[:, :2], 7, axis=0).max(axis=0)).all()
    assert np.isfinite(own_record.answers(signals[:1], np.array([np.nan]))).all(), "a record of one beat"


def test_the_trial_of_records_that_lost_their_normal_beats(simulated_root):
    beats = mitbih.load_beats(simulated_root)
    members = np.flatnonzero(np.isin(beats.records, mitbih.DS1))
    found = own_record.all_answers(beats)
    # Record 209, the only one with ten S beats: by hand.
    own = members[beats.records[members] == "209"]
    premature, others = own[beats.labels[own] == "S"], own[beats.labels[own] == "N"]
    kept = np.sort(np.concatenate([premature, np.random.default_rng(0).permutation(others)[:3]]))
    asked = own_record.answers(beats.signals[kept], beats.intervals[kept, 0])[np.isin(kept, premature)]
    strangers = members[(beats.labels[members] == "N") & (beats.records[members] != "209")]
    normal = own_record.leave_one_patient_out_scores(found, beats, members)[beats.labels[members] == "N"]
    higher = [(normal < one).mean() + (normal == one).mean() / 2 for one in own_record.score(found[strangers], asked)]
    assert own_record.s_auc_in_s_dominated_records(found, beats, members) == pytest.approx(np.mean(higher))
    with pytest.raises(EcglibError, match="S beats"):
        own_record.s_auc_in_s_dominated_records(
            own_record.all_answers(beats), beats, members[beats.labels[members] == "N"]
        )


def test_a_table_of_new_patients_has_the_mean_of_the_seeds_and_counts_no_seed_where_nothing_is_random(simulated_root):
    beats = mitbih.load_beats(simulated_root)
    members = np.flatnonzero(np.isin(beats.records, mitbih.DS2))
    labels, rest = beats.labels[members], beats.records[members] != "232"
    rng = np.random.default_rng(6)
    fixed, *seeds = ((labels != "N") + rng.normal(0, 1, len(labels)) for _ in range(4))
    rows = tables.new_patients({"fixed": fixed, "seeded": seeds}, beats, members, "232", "fixed")
    assert rows["seeds"].tolist() == [0, 3]
    of_each = [roc_auc_score(labels != "N", one) for one in seeds]
    assert rows.loc["seeded", "AUC"] == f"{np.mean(of_each):.3f}"
    only = np.isin(labels, ("N", "S"))
    assert rows.loc["seeded", "S"] == f"{np.mean([roc_auc_score(labels[only] == 'S', one[only]) for one in seeds]):.3f}"
    assert rows.loc["fixed", "without 232"] == f"{roc_auc_score(labels[rest] != 'N', fixed[rest]):.3f}"
    assert rows.loc["fixed", "minus fixed"] == "-"
    difference = np.mean(of_each) - roc_auc_score(labels != "N", fixed)
    assert rows.loc["seeded", "minus fixed"].startswith(f"{difference:+.3f} [")
    patients = beats.patients[members]
    drawn, alone = (
        np.mean([resampled(labels != "N", one, patients)["auc"] for one in of], axis=0) for of in (seeds, [fixed])
    )
    low, high = np.quantile(drawn, [0.025, 0.975])
    assert rows.loc["seeded", "over patients"] == f"[{low:.3f}, {high:.3f}]"
    low, high = np.quantile(drawn - alone, [0.025, 0.975])
    assert rows.loc["seeded", "minus fixed"].endswith(f"[{low:+.3f}, {high:+.3f}]")


def test_embeddings_against_loops():
    rng = np.random.default_rng(5)
    embeddings, intervals = rng.normal(1, 0.3, (40, 6)), rng.normal(0.8, 0.05, 40)
    found = own_record.embedding_answers(embeddings, intervals)
    unit = [row / np.sqrt((row**2).sum()) for row in embeddings]
    latest = [m for m in range(40) if intervals[m] >= np.percentile(intervals, 80)]
    usual = np.mean([unit[m] for m in latest], axis=0)
    distance = [1 - unit[m] @ usual / np.sqrt((usual**2).sum()) for m in range(40)]
    assert found == pytest.approx(np.array(distance) / (np.median([distance[m] for m in latest]) + 0.1), abs=1e-5)
    assert own_record.embedding_answers(1000 * embeddings, intervals) == pytest.approx(found), "directions count"


def test_a_record_s_own_labels_do_not_matter(simulated_root):
    beats = mitbih.load_beats(simulated_root)
    members = np.flatnonzero(np.isin(beats.records, mitbih.DS1))
    found = own_record.all_answers(beats)
    before = own_record.leave_one_patient_out_scores(found, beats, members)
    own = beats.records == "208"
    other = replace(beats, labels=np.where(own, "V", beats.labels))
    after = own_record.leave_one_patient_out_scores(found, other, members)
    assert np.array_equal(before[own[members]], after[own[members]])
    assert not np.array_equal(before, after), "the N beats of 208 no longer judge the others"


def test_beats_of_one_record_are_judged_by_themselves(simulated_root):
    beats, alone = mitbih.load_beats(simulated_root), mitbih.load_beats(simulated_root, records=("208",))
    found = own_record.all_answers(beats)[beats.records == "208"]
    assert np.array_equal(found, own_record.answers(alone.signals, alone.intervals[:, 0]))


def test_what_does_not_fit_is_an_error():
    signals, intervals = np.zeros((4, 2, 320), np.float32), np.ones(4)
    for wrong in ((signals[:, :, 1:], intervals), (signals, intervals[1:])):
        with pytest.raises(EcglibError, match="do not fit"):
            own_record.answers(*wrong)
    with pytest.raises(EcglibError, match="no beat"):
        own_record.answers(signals[:0], intervals[:0])
    with pytest.raises(EcglibError, match=r"latest=0"):
        Usual(latest=0)


@pytest.mark.real_data
def test_real_patients_nobody_has_labelled(real_root):
    """EVIDENCE.md, "New patients": the second look at DS2."""
    beats = mitbih.load_beats(real_root)
    ds1 = np.flatnonzero(np.isin(beats.records, mitbih.DS1) & (beats.records != "201"))
    ds2 = np.flatnonzero(np.isin(beats.records, mitbih.DS2))
    found = own_record.all_answers(beats)
    abnormal = beats.labels != "N"
    assert auc(abnormal[ds1], own_record.leave_one_patient_out_scores(found, beats, ds1)) == pytest.approx(
        0.9928, abs=0.001
    )
    scores = own_record.score(found[ds1[~abnormal[ds1]]], found[ds2])
    assert auc(abnormal[ds2], scores) == pytest.approx(0.9584, abs=0.001)
    of_s = np.isin(beats.labels[ds2], ["N", "S"])
    assert auc(abnormal[ds2][of_s], scores[of_s]) == pytest.approx(0.906, abs=0.002)


def test_each_way_that_was_tried_is_judged_by_the_other_patients(simulated_root, monkeypatch):
    beats = mitbih.load_beats(simulated_root)
    members = np.flatnonzero(np.isin(beats.records, mitbih.DS1))
    monkeypatch.setattr(tables, "TRIED", {"used": Usual(), "all beats are": Usual(latest=1.0)})
    rows, abnormal = tables.tried(beats, members), beats.labels[members] != "N"
    assert list(rows.index) == ["P wave alone", "QRS complex alone", "timing alone", "used", "all beats are"]
    used, others = (own_record.all_answers(beats, usual) for usual in (Usual(), Usual(latest=1.0)))
    expected = {"QRS complex alone": used[:, [1]], "timing alone": used[:, [2]], "used": used, "all beats are": others}
    for name, answers in expected.items():
        scores = own_record.leave_one_patient_out_scores(answers, beats, members)
        assert rows.loc[name, "AUC"] == f"{roc_auc_score(abnormal, scores):.3f}", name
    trial = own_record.s_auc_in_s_dominated_records(others, beats, members, Usual(latest=1.0))
    assert rows.loc["all beats are", "S, where most beats are S"] == f"{trial:.3f}"


def test_a_record_has_an_auc_of_its_own_if_it_has_enough_of_both(simulated_root):
    beats = mitbih.load_beats(simulated_root)
    members = np.flatnonzero(np.isin(beats.records, mitbih.DS2))
    scores = np.random.default_rng(7).normal(size=len(members)) + (beats.labels[members] == "V")
    found, expected = tables.of_records(scores, beats, members), {}
    for record in sorted(set(beats.records[members])):
        own = beats.records[members] == record
        abnormal = beats.labels[members][own] != "N"
        if 5 <= abnormal.sum() <= len(abnormal) - 5:
            expected[record] = roc_auc_score(abnormal, scores[own])
    assert 0 < len(expected) < len(set(beats.records[members]))
    assert found == pytest.approx(expected)
