"""R2's tables: what is subtracted from what, the verdicts, the selection effect, the detectors."""

from dataclasses import replace

import numpy as np
import pytest
from scipy import stats

from ecglib import arms, contrast_tables, experiments, ledger, metrics, novelty, reports
from ecglib.arm_tables import values
from ecglib.pretraining import SimCLRConfig


@pytest.fixture(scope="module")
def grid(tiny):
    return arms.contrast_arms(tiny, seeds=2)


@pytest.fixture(scope="module")
def trained(tiny, grid, beats, tmp_path_factory):
    store = tmp_path_factory.mktemp("runs")
    with pytest.MonkeyPatch.context() as patch:  # after four steps no teacher beats chance yet
        patch.setattr(experiments, "check_teacher", lambda *_: None)
        runs = arms.train_arms(grid, beats, store, "cpu")
        swept = arms.train_arms(arms.sweep_arms(tiny, 1), beats, store, "cpu")
    return runs, swept


def test_scenarios_are_compared_with_the_student_and_with_beatgan(grid, trained):
    runs, _ = trained
    table = contrast_tables.scenarios(grid, runs, comparable=False)
    assert list(table.index) == [grid[name].name for name in ("1", "1p", "2", "12")]
    for name in ("1", "1p", "2", "12"):
        row = table.loc[grid[name].name]
        for column, control in (("minus student (D), over seeds", "D"), ("minus BeatGAN (B), over seeds", "B")):
            difference = (values(runs[name]) - values(runs[control])).mean()
            assert float(row[column].split(" ")[0]) == pytest.approx(difference, abs=6e-5)
        assert row["verdict"].endswith("(at this budget)")
        assert row["seeds"] == 2
        assert row["p (Holm, 4 questions)"] == "-"
    assert "section 4.3.2" in table.loc["scenario 2", "R2 expects"]
    assert not contrast_tables.scenarios(grid, runs, comparable=True)["verdict"].str.contains("budget").any()


def test_every_class_of_every_arm(grid, trained):
    table = contrast_tables.per_class(grid, trained[0])
    assert list(table.index) == [arm.name for arm in grid.values()]
    mean = np.mean([run.metrics["corrected"]["auc_V"] for run in trained[0]["12"]])
    assert float(table.loc["scenarios 1 and 2", "V"].split(" ")[0]) == pytest.approx(mean, abs=6e-4)


def test_the_sweep_and_what_choosing_would_do(tiny, trained):
    _, swept = trained
    table = contrast_tables.sweep(arms.sweep_arms(tiny, 1), swept)
    assert len(table) == 1 + len(arms.SWEEP)
    assert table.loc["no contrast", "minus no contrast"] == "-"
    aucs = [members[0].metrics["corrected"]["auc"] for name, members in swept.items() if name != "D"]
    effect = contrast_tables.selection_effect(arms.sweep_arms(tiny, 1), swept)
    assert effect == pytest.approx(max(aucs) - sum(aucs) / len(aucs))


def test_cost_is_a_multiple_of_beatgans():
    table = contrast_tables.costs({"BeatGAN": 0.8, "both": 2.0, "search": 0.004}, "ms a step")
    assert table.loc["both"].tolist() == ["2,000", "2.50"]
    assert table.loc["search", "ms a step"] == "4.00"


def test_detectors_and_their_differences(tiny, beats, trained, tmp_path):
    runs, _ = trained
    split = tiny.choose(beats)
    labels, patients = beats.labels[split.test], beats.patients[split.test]
    configs = [replace(tiny, training=replace(tiny.training, seed=100 + seed)) for seed in range(2)]
    firsts = [replace(tiny, training=replace(tiny.training, seed=seed)) for seed in range(2)]
    scores = novelty.beatgan_scores(runs["A"] + runs["B"], firsts + configs, beats)
    scores |= novelty.ladder_scores(tiny, 1, 2, beats, tmp_path, "cpu")
    assert {one for pair in contrast_tables.COMPARED for one in pair} <= set(scores)
    near = beats.near_peak[split.test] | (np.arange(len(labels)) % 3 > 0)
    table = contrast_tables.detectors(scores, labels, patients, near)
    kept = np.mean([metrics.auc(labels[near] != "N", one[near]) for one in scores["contrast"]])
    assert float(table.loc["contrast", "R-peak rule on all"]) == pytest.approx(kept, abs=6e-5)
    assert table.loc["rhythm", "AUC, 95 % over seeds"].endswith("(no seed)")
    assert (table.loc["rhythm", "seeds"], table.loc["contrast", "seeds"]) == (0, 2)
    assert list(table.index) == ["BeatGAN", "BeatGAN + rhythm", *novelty.LADDER]
    expected = np.mean([metrics.auc(labels != "N", one) for one in scores["all four"]])
    assert float(table.loc["all four"].iloc[0].split(" ")[0]) == pytest.approx(expected, abs=6e-5)
    found = contrast_tables.seed_aucs(scores, labels)
    assert np.mean(found["all four"]["all"]) == pytest.approx(expected)
    differences = contrast_tables.detector_differences(scores, labels, patients)
    s_or_n = np.isin(labels, ("S", "N"))

    def s_auc(name, seed):
        return metrics.auc(labels[s_or_n] == "S", scores[name][seed][s_or_n])

    mean = np.mean([s_auc("all four", seed) for seed in range(2)]) - np.mean([s_auc("BeatGAN", n) for n in range(4)])
    row = differences.loc[("all four", "BeatGAN")]
    assert float(row["S against N"].split(" ")[0]) == pytest.approx(mean, abs=6e-5)
    assert row["runs"] == "unpaired: 2 runs, 4 runs"
    assert differences.loc[("contrast", "encoder that never learned"), "runs"] == "paired, 2 seeds"
    assert differences.loc[("shape, lead 1", "BeatGAN"), "runs"] == "unpaired: no seed, 4 runs"
    assert list(table.loc[["BeatGAN", "contrast"], "seeds"]) == [4, 2]


def test_detectors_are_unpaired_with_beatgan_and_one_family():
    """Known scores: Welch's test for what shares no seed, the paired test for encoders, Holm over all 18 questions."""
    rng = np.random.default_rng(0)
    labels = np.array(["N"] * 60 + ["S"] * 30 + ["V"] * 30)
    patients = np.arange(120) % 12
    abnormal = labels != "N"
    names = {one for pair in contrast_tables.COMPARED for one in pair}
    scores = {
        name: [
            rng.normal(size=120) + shift * abnormal for shift in np.linspace(0.5, 1.5, 4 if "BeatGAN" in name else 3)
        ]
        for name in names
    }
    table = contrast_tables.detector_differences(scores, labels, patients)
    aucs = {name: [metrics.auc(abnormal, one) for one in members] for name, members in scores.items()}
    p = {}
    for one, other in contrast_tables.COMPARED:
        sides = [aucs[name] if contrast_tables._has_seed(name) else aucs[name][:1] for name in (one, other)]
        if "BeatGAN" in other or len(sides[0]) != len(sides[1]):
            fixed = [side for side in sides if len(side) == 1]
            many = max(sides, key=len)
            p[one, other] = (
                stats.ttest_1samp(many, fixed[0][0]).pvalue
                if fixed
                else stats.ttest_ind(*sides, equal_var=False).pvalue
            )
        else:
            p[one, other] = stats.ttest_rel(*sides).pvalue
    s_or_n = np.isin(labels, ("N", "S"))
    of_s = {name: [metrics.auc(abnormal[s_or_n], one[s_or_n]) for one in members] for name, members in scores.items()}
    assert table.loc[("contrast", "BeatGAN"), "S against N"].startswith(
        f"{np.mean(of_s['contrast']) - np.mean(of_s['BeatGAN']):+.4f}"
    )
    shown = table["all abnormal, p (Holm, 18 questions)"].astype(float)
    for pair, raw in p.items():
        assert shown[pair] >= min(raw * 0.99, 1), pair
        assert shown[pair] <= min(18 * raw * 1.05, 1) + 0.01, pair
    smallest = min(p, key=p.get)
    assert shown[smallest] > p[smallest], "raised"


def test_rhythm_helps_beatgan_as_fisher_says(tiny, beats, trained):
    run = trained[0]["B"][0]
    config = replace(tiny, training=replace(tiny.training, seed=100))
    split = config.choose(beats)
    found = novelty.with_rhythm(run, config, beats)
    normal = split.validation[beats.labels[split.validation] == "N"]
    errors = run.predictions["validation_scores_corrected"][beats.labels[split.validation] == "N"]
    irregular = np.abs(novelty.log_rhythm(beats, np.concatenate([normal, split.test[:1]]))).sum(axis=1)
    tails = [
        ((errors >= run.predictions["scores_corrected"][0]).sum() + 1) / (len(errors) + 1),
        ((irregular[:-1] >= irregular[-1]).sum() + 1) / (len(normal) + 1),
    ]
    assert found[0] == pytest.approx(-np.log(tails).sum())


def test_every_number_of_r2_is_in_the_ledger(tiny, beats, trained):
    plain = trained[0]["B"]
    measured, reasons = ledger.measured_r2(SimCLRConfig(tiny), beats, plain, 2.5)
    assert measured["r2.quoted_auc"] == pytest.approx(values(plain).mean())
    assert measured["r2.ms_per_beat"] == 2.5
    assert set(measured) <= set(reports.CLAIMS)
    claims = [claim for claim in reports.CLAIMS.values() if claim.report == "R2"]
    assert len(claims) >= 11
    assert list(ledger.ledger("R2", measured, reasons).index) == [claim.text for claim in claims]
    assert set(contrast_tables.SCENARIOS.values()) == set(reports.PROPOSALS)
