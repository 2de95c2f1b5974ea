"""R2's tables: what is subtracted from what, the verdicts, the selection effect, the detectors."""

from dataclasses import replace

import numpy as np
import pandas as pd
import pytest
from scipy import stats

from ecglib import reports
from ecglib.beatgan import task
from ecglib.core.errors import EcglibError
from ecglib.runs.grid import obtain_arms
from ecglib.show import ledger
from ecglib.simclr import detectors, figures, tables
from ecglib.simclr.arms import SWEEP, contrast_arms, sweep_arms
from ecglib.simclr.encoder import Settings
from ecglib.simclr.ledger import measured_r2
from ecglib.stats import metrics
from ecglib.stats.comparisons import holm


def values(runs):
    """The AUC of the epoch that was chosen without labels, of each run."""
    return np.array([run.metrics["corrected"]["auc"] for run in runs])


@pytest.fixture(scope="module")
def grid(tiny):
    return contrast_arms(tiny, seeds=2)


@pytest.fixture(scope="module")
def trained(tiny, grid, beats, tmp_path_factory):
    store = tmp_path_factory.mktemp("runs")
    with pytest.MonkeyPatch.context() as patch:  # after four steps no teacher beats chance yet
        patch.setattr(task, "check_teacher", lambda *_: None)
        runs = obtain_arms(grid, beats, store, "cpu")
        swept = obtain_arms(sweep_arms(tiny, 1), beats, store, "cpu")
    return runs, swept


def test_scenarios_are_compared_with_the_student_and_with_beatgan(grid, trained):
    runs, _ = trained
    table = tables.scenarios(grid, runs, limit="at this budget")
    assert "p (Holm, 4 questions)" in table
    assert list(table.index) == [grid[name].name for name in ("1", "1p", "2", "12")]
    first = {name: trained[0][name][0].history["loss_contrast_d"][0] for name in ("1", "1p")}
    assert first["1"] != first["1p"], "a discriminator that was pretrained begins elsewhere"
    for name in ("1", "1p", "2", "12"):
        row = table.loc[grid[name].name]
        for column, control in (
            ("minus student (D), paired, over seeds", "D"),
            ("minus BeatGAN (B), paired, over seeds", "B"),
        ):
            difference = (values(runs[name]) - values(runs[control])).mean()
            assert float(row[column].split(" ")[0]) == pytest.approx(difference, abs=6e-5)
        same = np.allclose(values(runs[name]), values(runs["D"]), rtol=0, atol=1e-12)  # so short is the training
        expected = "the same number in every seed" if same else "fewer than 3 seeds: no verdict"
        assert row["verdict"] == f"{expected} (at this budget)"
        assert (row["seeds"], row["could have shown"]) == (2, "-")
    assert "section 4.3.2" in table.loc["scenario 2", "R2 expects"]
    assert not tables.scenarios(grid, runs, limit="")["verdict"].str.contains("budget").any()


def test_every_class_of_every_arm(grid, trained):
    table = tables.per_class(grid, trained[0])
    assert list(table.index) == [arm.name for arm in grid.values()]
    mean = np.mean([run.metrics["corrected"]["auc_V"] for run in trained[0]["12"]])
    assert float(table.loc["scenarios 1 and 2", "V"].split(" ")[0]) == pytest.approx(mean, abs=6e-4)
    assert (table["seeds"] == 2).all()


def test_the_sweep_and_what_choosing_would_do(tiny, trained):
    _, swept = trained
    table = tables.sweep(sweep_arms(tiny, 1), swept)
    assert len(table) == 1 + len(SWEEP)
    assert table.loc["no contrast", "minus no contrast"] == "-"
    aucs = [members[0].metrics["corrected"]["auc"] for name, members in swept.items() if name != "D"]
    effect = tables.selection_effect(sweep_arms(tiny, 1), swept)
    assert effect == pytest.approx(max(aucs) - sum(aucs) / len(aucs))


def test_cost_is_a_multiple_of_beatgans():
    table = tables.costs({"BeatGAN": 0.8, "both": 2.0, "search": 0.004}, "ms a step")
    assert table.loc["both"].tolist() == ["2,000", "2.50"]
    assert table.loc["search", "ms a step"] == "4.00"


def test_detectors_and_their_differences(tiny, grid, beats, trained, tmp_path):
    runs, _ = trained
    split = tiny.choose(beats)
    labels, patients = beats.labels[split.test], beats.patients[split.test]
    configs = [*grid["A"].configs, *grid["B"].configs]
    scores = detectors.beatgan_scores([*runs["A"], *runs["B"]], configs, beats)
    scores |= detectors.ladder_scores(tiny, 1, 2, beats, tmp_path, "cpu")
    assert {one for pair in detectors.COMPARED for one in pair} <= set(scores)
    near = beats.near_peak[split.test] | (np.arange(len(labels)) % 3 > 0)
    table = tables.detectors(scores, labels, patients, near)
    kept = np.mean([metrics.auc(labels[near] != "N", one[near]) for one in scores["contrast"]])
    assert float(table.loc["contrast", "R-peak rule on all"]) == pytest.approx(kept, abs=6e-5)
    assert table.loc["rhythm", "AUC, 95 % over seeds"].endswith("(no seed)")
    assert table.loc[["rhythm", "contrast", "BeatGAN"], "seeds"].tolist() == [0, 2, 4]
    assert list(table.index) == ["BeatGAN", "BeatGAN + rhythm", *detectors.LADDER]
    expected = np.mean([metrics.auc(labels != "N", one) for one in scores["all four"]])
    assert float(table.loc["all four"].iloc[0].split(" ")[0]) == pytest.approx(expected, abs=6e-5)
    found = tables.seed_aucs(scores, labels)
    assert np.mean(found["all four"]["all"]) == pytest.approx(expected)
    assert [len(found[name]["all"]) for name in ("BeatGAN", "contrast", "rhythm")] == [4, 2, 1]
    drawn = figures.detector_ladder(found, {}, "title").axes[0].get_yticklabels()
    assert {"BeatGAN (4 runs)", "contrast (2 runs)", "rhythm"} <= {label.get_text() for label in drawn}
    differences = tables.detector_differences(scores, labels, patients, limit="")
    s_or_n = np.isin(labels, ("S", "N"))

    def s_auc(name):
        return np.mean([metrics.auc(labels[s_or_n] == "S", one[s_or_n]) for one in scores[name]])

    row = differences.loc[("all four", "BeatGAN", "S against N")]
    difference = s_auc("all four") - s_auc("BeatGAN")
    assert float(row["difference, 95 % over seeds"].split(" ")[0]) == pytest.approx(difference, abs=6e-5)
    assert row["test"] == "unpaired, 2 and 4 runs"
    assert row["verdict"] == "fewer than 3 seeds: no verdict"


@pytest.fixture(scope="module")
def strangers():
    """Scores of encoders of five seeds and of ten BeatGANs on 400 beats of 20 patients; and what was tested."""
    labels = np.array(["N", "S", "N", "V"] * 100)
    noise = np.random.default_rng(0).normal(size=len(labels))
    shifts = {name: (2.0, 2.1, 2.3, 2.2, 2.4) for pair in detectors.COMPARED for name in pair}
    shifts |= dict.fromkeys(("BeatGAN", "BeatGAN + rhythm"), (0.0, 0.3, 0.2, 1.1, 0.0, 0.3, 0.2, 0.1, 0.9, 0.1))
    shifts |= dict.fromkeys(("shape, lead 1", "all without contrast"), (2.2,))  # no seed
    shifts |= {name: (1.9, 2.1, 2.1, 2.1, 2.2) for name in shifts if name.startswith("encoder that never")}
    scores = {name: [noise + shift * (labels != "N") for shift in given] for name, given in shifts.items()}
    return scores, labels, np.repeat([f"patient {number}" for number in range(20)], 20)


def test_detectors_are_compared_as_their_seeds_belong_together(strangers):
    scores, labels, patients = strangers
    table = tables.detector_differences(scores, labels, patients, limit="at this budget")
    beats_of, p = {"all abnormal": labels != "", "S against N": labels != "V"}, []
    for outcome, chosen in beats_of.items():
        for one, other in detectors.COMPARED:
            mine, theirs = (
                np.array([metrics.auc(labels[chosen] != "N", run[chosen]) for run in scores[name]])
                for name in (one, other)
            )
            if one == "shape, lead 1":
                expected, test = stats.ttest_1samp(mine[0] - theirs, 0), "one sample, 10 runs"
            elif other.startswith("BeatGAN"):
                expected, test = stats.ttest_ind(mine, theirs, equal_var=False), "unpaired, 5 and 10 runs"
            elif other in ("shape, lead 1", "all without contrast"):
                expected, test = stats.ttest_1samp(mine - theirs[0], 0), "one sample, 5 runs"
            else:
                expected, test = stats.ttest_rel(mine, theirs), "paired by seed, 5"
            row, interval = table.loc[(one, other, outcome)], expected.confidence_interval()
            assert row["test"] == test, (one, other)
            assert row["difference, 95 % over seeds"].endswith(f"[{interval.low:+.4f}, {interval.high:+.4f}]"), one
            p.append(float(expected.pvalue))
            drawn = [
                np.mean(
                    [metrics.resampled(labels[chosen] != "N", run[chosen], patients[chosen])["auc"] for run in of], 0
                )
                for of in (scores[one], scores[other])
            ]
            low, high = np.quantile(drawn[0] - drawn[1], [0.025, 0.975])
            assert row["over patients"] == f"[{low:+.4f}, {high:+.4f}]", (one, other)
    assert len(table) == 18
    assert [float(text) for text in table["p (Holm, 18 questions)"]] == pytest.approx(holm(p), rel=0.06)


def test_a_difference_between_detectors_is_judged(strangers):
    scores, labels, patients = strangers
    table = tables.detector_differences(scores, labels, patients, limit="at this budget")
    verdicts = table["verdict"].xs("all abnormal", level="beats")
    assert verdicts[("contrast", "BeatGAN")] == "higher (at this budget)"
    assert verdicts[("contrast", "shape, lead 1")] == "no difference shown (at this budget)"
    assert 0 < float(table["could have shown"][("contrast", "shape, lead 1", "all abnormal")]) < 0.1
    swapped = scores | {"contrast": scores["BeatGAN"][:5], "BeatGAN": scores["contrast"] * 2}
    table = tables.detector_differences(swapped, labels, patients, limit="")
    assert table["verdict"][("contrast", "BeatGAN", "all abnormal")] == "lower"


def test_the_order_of_beatgans_runs_says_nothing(strangers):
    """An encoder's third seed has nothing to do with BeatGAN's third run."""
    scores, labels, patients = strangers
    turned = scores | {name: scores[name][::-1] for name in ("BeatGAN", "BeatGAN + rhythm")}
    found = [tables.detector_differences(given, labels, patients, "") for given in (scores, turned)]
    pd.testing.assert_frame_equal(*found)


def test_one_training_is_no_constant(strangers):
    scores, labels, patients = strangers
    alone = scores | {"contrast": scores["contrast"][:1], "encoder that never learned": scores["contrast"][:1]}
    table = tables.detector_differences(alone, labels, patients, limit="")
    for other in ("BeatGAN", "shape, lead 1", "encoder that never learned"):
        assert table["verdict"][("contrast", other, "all abnormal")] == "fewer than 3 seeds: no verdict"


def test_no_difference_of_aucs_beyond_one_is_named(strangers):
    scores, labels, patients = strangers
    noise = scores["BeatGAN"][0]
    wild = scores | {"BeatGAN": [noise + shift * (labels != "N") for shift in (-3, 0, 3)]}
    table = tables.detector_differences(wild, labels, patients, limit="")
    assert table["could have shown"][("contrast", "BeatGAN", "all abnormal")] == "-"
    assert table["verdict"][("contrast", "BeatGAN", "all abnormal")] == "no difference shown"


def test_only_one_program_is_pooled(grid, beats, trained):
    runs, _ = trained
    with pytest.raises(EcglibError, match="more than their seeds"):
        detectors.beatgan_scores([*runs["A"], *runs["D"]], [*grid["A"].configs, *grid["D"].configs], beats)


def test_rhythm_helps_beatgan_as_fisher_says(tiny, beats, trained):
    run = trained[0]["B"][0]
    config = replace(tiny, training=replace(tiny.training, seed=100))
    split = config.choose(beats)
    found = detectors.with_rhythm(run, config, beats)
    normal = split.validation[beats.labels[split.validation] == "N"]
    errors = run.predictions["validation_scores_corrected"][beats.labels[split.validation] == "N"]
    irregular = np.abs(detectors.log_rhythm(beats, np.concatenate([normal, split.test[:1]]))).sum(axis=1)
    tails = [
        ((errors >= run.predictions["scores_corrected"][0]).sum() + 1) / (len(errors) + 1),
        ((irregular[:-1] >= irregular[-1]).sum() + 1) / (len(normal) + 1),
    ]
    assert found[0] == pytest.approx(-np.log(tails).sum())


def test_every_number_of_r2_is_in_the_ledger(tiny, beats, trained):
    plain = [*trained[0]["A"], *trained[0]["B"]]
    encoder = detectors.encoder_of(tiny, Settings(seed=0, batch_size=tiny.training.batch_size))
    measured, reasons = measured_r2(encoder, beats, plain, 2.5)
    assert measured["r2.quoted_auc"] == f"{values(plain).mean():.4f} (mean of 4 runs)"
    assert measured["r2.ms_per_beat"] == 2.5
    assert set(measured) <= set(reports.CLAIMS)
    claims = [claim for claim in reports.CLAIMS.values() if claim.report == "R2"]
    assert len(claims) >= 11
    table = ledger.ledger("R2", measured, reasons)
    assert list(table.index) == [claim.text for claim in claims]
    assert ((table["measured"] == "-") == (table["why not"] != "")).all()
    assert set(tables.SCENARIOS.values()) == set(reports.PROPOSALS)
