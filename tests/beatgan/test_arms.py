"""The arms of R1's question: what each config says, training in order, paired comparisons, tables, the ledger."""

import html
import math
import re
import shutil
from dataclasses import replace
from itertools import combinations
from types import SimpleNamespace

import nbformat
import numpy as np
import pandas as pd
import pytest
import torch
from scipy import stats

from ecglib import reports
from ecglib.beatgan import arms as beatgan_arms
from ecglib.beatgan import baselines, tables, task
from ecglib.beatgan import ledger as beatgan_ledger
from ecglib.beatgan.distillation import SELF
from ecglib.beatgan.task import BeatGANConfig, BeatGANRun
from ecglib.beatgan.training import Settings
from ecglib.core.config import differences
from ecglib.core.errors import EcglibError
from ecglib.core.files import project_root
from ecglib.runs.grid import Arm, obtain_arms
from ecglib.runs.obtain import obtain
from ecglib.show import ledger as show_ledger
from ecglib.simclr import arms as simclr_arms
from ecglib.simclr.detectors import encoder_of
from ecglib.stats import comparisons, metrics


@pytest.fixture(scope="module")
def base(tiny):
    return replace(tiny, training=replace(tiny.training, epochs=2))


@pytest.fixture(scope="module")
def grid(base):
    return beatgan_arms.distillation_arms(base, main_seeds=2, other_seeds=1)


@pytest.fixture(scope="module")
def store(tmp_path_factory):
    return tmp_path_factory.mktemp("runs")


@pytest.fixture(scope="module")
def runs(grid, beats, store):
    # After eight steps no teacher beats chance yet; what is tested here is not who may teach.
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(task, "check_teacher", lambda *_: None)
        return obtain_arms(grid, beats, store, "cpu")


def test_arms_differ_in_what_they_are_taught_alone(grid):
    plain = differences(grid["B"].configs[0])
    for name in ("D", "Ds", "E1", "E2", "E3", "F", "Fc", "Fw", "G", "S"):
        facts = differences(grid[name].configs[0])
        assert facts.pop("distillation")
        assert facts == plain, name
    for name, width in {"H2": 0.5, "H4": 0.25, "H8": 0.125}.items():
        narrow = [grid[name + lesson].configs[0] for lesson in ("", "+", "f")]
        assert {one.width for one in narrow} == {width * grid["B"].configs[0].width}
        assert [one.distillation and one.distillation.knowledge for one in narrow] == [
            None,
            ("reconstruction",),
            ("features",),
        ]
    assert len({config.run_id for arm in grid.values() for config in arm.configs}) == 14 * 2 + 7


def test_without_an_adversary_nothing_else_changes(base):
    teachers = beatgan_arms.teacher_arms(base, 2)
    for one, other in zip(teachers["A"].configs, teachers["N"].configs, strict=True):
        facts = differences(other)
        assert facts["training"].pop("adversarial_weight") == 0
        assert facts == differences(one)


def test_the_sweep_varies_gamma_and_tau_alone(base):
    sweep = simclr_arms.sweep_arms(base, seeds=2)
    plain = differences(sweep["D"].configs[1])
    assert plain["width"] == base.width / 2
    settings = set()
    for name, arm in sweep.items():
        facts = differences(arm.configs[1])
        added = facts.pop("contrast", None)
        assert facts == plain, name
        if name != "D":
            settings.add((arm.configs[1].contrast.gamma, arm.configs[1].contrast.temperature))
            assert set(added["places"]) == {"discriminator", "generator"}
    assert settings == set(simclr_arms.SWEEP)
    # At these settings the scenarios themselves are trained.
    default = simclr_arms.contrast_arms(base, seeds=1)["12"].configs[0].contrast
    assert (default.gamma, default.temperature) in settings


def test_students_are_paired_with_the_teacher_of_their_seed(grid):
    for name, arm in grid.items():
        seeds = [config.training.seed for config in arm.configs]
        expected = [0, 1] if name == "A" else [100, 101]
        assert seeds == expected[: len(seeds)]
        for teacher, config in zip(grid["A"].configs, arm.configs, strict=False):
            if config.distillation:
                assert config.distillation.teacher == (SELF if name == "S" else teacher.run_id)


def test_scenarios_add_contrast_to_the_corrected_student_alone(base, grid):
    found = simclr_arms.contrast_arms(base, 2)
    for name in ("A", "B", "D"):
        assert [config.run_id for config in found[name].configs] == [config.run_id for config in grid[name].configs]
    for name, places in {"1": 1, "1p": 1, "2": 1, "12": 2}.items():
        for config, student in zip(found[name].configs, found["D"].configs, strict=True):
            assert len(config.contrast.places) == places
            assert differences(config) == {**differences(student), "contrast": differences(config.contrast)}
    assert len({config.run_id for arm in found.values() for config in arm.configs}) == 14


def test_detectors_are_beside_beatgans_of_their_own_beats(base, grid):
    found = simclr_arms.detector_arms(base, 7, 2, 1)
    plain = [config.run_id for name in "AB" for config in grid[name].configs]
    assert [config.run_id for config in found["BeatGAN"].configs] == plain
    for name, beatgan, split in (("encoder", "BeatGAN", "report"), ("encoder, patients", "patients", "patients")):
        assert [(config.split, config.training.seed) for config in found[name].configs] == [(split, 0), (split, 1)]
        assert {config.training.epochs for config in found[name].configs} == {7}
        for config in found[name].configs:
            for other in found[beatgan].configs:
                assert encoder_of(other, config.training) == config
                assert config.training.batch_size == other.training.batch_size
    assert len(found["patients"].configs) == 1


def test_as_coded_ends_where_no_distillation_ends_and_corrected_does_not(base, grid, runs, beats, store, monkeypatch):
    monkeypatch.setattr(task, "check_teacher", lambda *_: None)  # too short a training to beat chance
    twins = beatgan_arms.as_coded_twins(base, grid["A"].configs[0].run_id)
    assert twins[1].run_id == grid["B"].configs[0].run_id
    coded, plain = (obtain(twin, beats, store, "cpu", weights=True) for twin in twins)
    assert (coded.history["gradient_ratio"] == 0).all()
    assert (coded.history["loss_distillation"] > 0).all()
    for rule in ("as_coded", "corrected"):
        states = [run.generator(rule).state_dict() for run in (coded, plain)]
        for name, tensor in states[0].items():
            assert torch.equal(tensor, states[1][name]), name
    found = comparisons.compare([coded], [plain], "corrected")
    assert found.identical
    assert comparisons.verdict(found, float("nan")) == "the same number in every seed"
    assert not comparisons.compare(runs["D"], runs["B"], "corrected").identical


def test_finished_arms_are_loaded_even_without_the_teachers_weights(grid, runs, beats, store, monkeypatch):
    kept = {}
    for run in runs["A"]:
        for path in run.folder.glob("*.safetensors"):
            kept[path] = path.read_bytes()
            path.unlink()
    monkeypatch.setattr(BeatGANConfig, "train", lambda *_: pytest.fail("trained again"))
    try:
        again = obtain_arms(grid, beats, store, "cpu")
    finally:
        for path, content in kept.items():
            path.write_bytes(content)
    assert [run.folder for run in again["D"]] == [run.folder for run in runs["D"]]


def test_the_best_run_without_labels_redraws_normal_beats_best():
    def run(errors, labelled):
        return SimpleNamespace(history=pd.DataFrame({"error_normal": errors, "auc_as_coded": labelled}))

    best, other = run([0.3, 0.1], [0.5, 0.5]), run([0.2, 0.2], [0.9, 0.9])
    assert beatgan_arms.best_without_labels([other, best]) is best


def test_the_best_student_of_a_store_without_weights_is_trained_again_to_be_published(
    grid, runs, beats, store, tmp_path, monkeypatch
):
    monkeypatch.setattr(task, "check_teacher", lambda *_: None)
    expected = beatgan_arms.best_without_labels(runs["D"]).generator().state_dict()
    for run in (*runs["A"], *runs["D"]):
        shutil.copytree(run.folder, tmp_path / run.folder.name, ignore=shutil.ignore_patterns("*.safetensors"))
    found = beatgan_arms.publish_best(grid["D"].configs, grid["A"].configs, beats, tmp_path, "cpu")
    assert (found.folder / "weights_float16.safetensors").exists()
    for name, tensor in found.generator().state_dict().items():
        assert torch.equal(tensor, expected[name]), name
    other = next(run for run in runs["D"] if run.folder.name != found.folder.name)
    (found.folder / "weights_float16.safetensors").rename(tmp_path / other.folder.name / "weights_float16.safetensors")
    for path in found.folder.glob("weights_corrected.safetensors"):
        path.unlink()
    again = beatgan_arms.publish_best(grid["D"].configs, grid["A"].configs, beats, tmp_path, "cpu")
    assert again.folder.name == other.folder.name, "the best of those with weights, and nothing is trained"


def test_a_student_without_its_teacher_is_refused(grid, beats, tmp_path):
    with pytest.raises(EcglibError, match="train it first"):
        obtain(grid["D"].configs[0], beats, tmp_path, "cpu")


def test_a_teacher_no_better_than_chance_is_refused_before_training(grid, runs, beats, store, monkeypatch):
    monkeypatch.setattr(task.training, "update", lambda *_: pytest.fail("trained"))
    config = beatgan_arms.distillation_arms(grid["A"].configs[0], 1, 1)["D"].configs[0]
    noise = {"validation_labels": np.array(["N", "V"] * 30), "validation_scores_corrected": np.tile([0.1, 0.1], 30)}
    monkeypatch.setattr(BeatGANRun, "predictions", noise)
    folder = store / config.run_id
    finished = folder / "metrics.json"
    hidden = finished.rename(folder / "hidden.json")
    try:
        with pytest.raises(EcglibError, match="does not beat chance"):
            obtain(config, beats, store, "cpu")
    finally:
        hidden.rename(finished)


def test_comparison_is_paired(runs):
    found = comparisons.compare(runs["F"], runs["B"], "corrected")
    one, other = ([run.metrics["corrected"]["auc"] for run in runs[name]] for name in ("F", "B"))
    assert found.differences == pytest.approx(np.subtract(one, other))
    three = np.array([0.01, -0.02, 0.04])
    assert comparisons.p_value(three) == pytest.approx(stats.ttest_rel(three, np.zeros(3)).pvalue)
    assert found.over_seeds.value == pytest.approx(np.mean(one) - np.mean(other))
    # One resample by hand: the same draw for both arms and all seeds.
    stored = [runs[name][seed].predictions for name in ("F", "B") for seed in (0, 1)]
    draw = np.random.default_rng(0).integers(len(stored[0]["labels"]), size=len(stored[0]["labels"]))
    aucs = [metrics.auc(part["labels"][draw] != "N", part["scores_corrected"][draw]) for part in stored]
    ours = [np.mean([run.resampled("corrected", False)[0] for run in runs[name]]) for name in ("F", "B")]
    assert ours[0] - ours[1] == pytest.approx((aucs[0] + aucs[1] - aucs[2] - aucs[3]) / 2)
    assert found.over_patients.low <= found.over_seeds.value <= found.over_patients.high


def test_p_of_one_seed_of_nothing_and_of_certainty(runs):
    assert math.isnan(comparisons.compare(runs["E1"], runs["B"], "corrected").p)
    assert math.isnan(comparisons.compare(runs["B"], runs["B"], "corrected").p)
    assert comparisons.p_value(np.array([0.1, 0.1, 0.1])) == 0


def test_pairs_need_partners_and_the_same_beats(runs):
    with pytest.raises(EcglibError, match="cannot be paired"):
        comparisons.compare(runs["B"], runs["E1"], "corrected")


@pytest.mark.parametrize("fact", [*comparisons.TESTED_ON, "the labels"])
def test_runs_that_were_tested_on_different_data_are_no_pair(tmp_path, fact):
    one, other = (ruled_run(tmp_path / name, 0.9, 0.9) for name in "ab")
    assert comparisons.compare([one], [other], "as_coded").identical
    if fact == "the labels":
        other.tested = other.tested[::-1]
    else:
        other.config[fact] = "other"
    with pytest.raises(EcglibError, match="tested on different data"):
        comparisons.compare([one], [other], "as_coded")


def test_holm_against_its_definition():
    p = [0.01, 0.04, float("nan"), 0.03, 0.5]
    adjusted = comparisons.holm(p)
    assert adjusted[[0, 3, 1, 4]] == pytest.approx([0.04, 0.09, 0.09, 0.5])
    assert math.isnan(adjusted[2])


@pytest.mark.parametrize(
    ("difference", "p", "words"),
    [
        (0.01, 0.01, "better"),
        (-0.01, 0.01, "worse"),
        (0.01, 0.2, "no difference shown"),
        (0.01, np.nan, "fewer than 3 seeds"),
    ],
)
def test_verdicts(difference, p, words):
    interval = metrics.Interval(difference, -1, 1)
    found = comparisons.Comparison(np.array([difference]), interval, interval, interval, p)
    assert comparisons.verdict(found, p).startswith(words)


def test_tables_of_the_arms(grid, runs):
    table = tables.arm_results(grid, runs, dict.fromkeys(grid, 7))
    assert list(table.index) == [arm.name for arm in grid.values()]
    differences = tables.arm_differences(grid, runs)
    assert "p (Holm, 19 questions)" in differences.columns
    assert differences.loc["H 1/2 width + KD on x'", "minus"] == "H 1/2 width"
    assert differences.loc["H 1/2 width", "minus"] == "B second run"
    assert differences.loc["E KD on z", "verdict"] == "fewer than 3 seeds: no verdict"
    assert differences.loc["E KD on z", "could have shown"] == "-"
    claims = tables.experiments(runs)
    assert claims.loc[("student with KD", "AUC"), "report (1 run)"] == "0.9464"
    gains = tables.gains(runs, limit="at this budget")
    assert gains.loc["student with KD", "as coded: student - control"] == "0 (the term is a constant)"
    assert gains.loc["student with KD", "report: student - teacher (1 run)"] == "+0.0092"


def ruled_run(folder, coded, averaged):
    """A run whose rules give different AUCs."""
    levels = {"as_coded": coded, "corrected": 0.5, "late": 0.6, "averaged": averaged}
    rules = {rule: {"auc": level, "ap": level} for rule, level in levels.items()}
    return SimpleNamespace(
        folder=folder,
        config={"data": "x", "training": {"seed": 0}},
        tested=np.array(["N", "V"]),
        metrics=rules,
        resampled=lambda rule, patients: np.full(10, rules[rule]["auc"]),
    )


def test_runs_pair_in_the_order_of_their_seeds(tmp_path):
    def arm(seeds):
        runs = [ruled_run(tmp_path / str(seed), 0.9 + seed / 1000, 0.9) for seed in seeds]
        for run, seed in zip(runs, seeds, strict=True):
            run.config["training"] = {"seed": seed}
        return runs

    control = arm([0, 1, 2])
    assert comparisons.compare(arm([100, 101]), control, "as_coded").differences == pytest.approx([0.1, 0.1])
    for wrong in ([2, 1, 0], [0, 2], [101, 100], [1, 2], [101, 102]):
        with pytest.raises(EcglibError, match="do not pair in this order"):
            comparisons.compare(arm(wrong), control, "as_coded")


def test_a_column_has_the_numbers_of_the_rule_that_its_heading_names(tmp_path):
    """The column "as coded" of feature distillation once had the corrected epoch's numbers."""
    levels = {"A": (0.90, 0.80), "B": (0.91, 0.85), "D": (0.92, 0.88)}
    levels |= {"F": (0.93, 0.70), "Fc": (0.94, 0.71), "Fw": (0.95, 0.72), "G": (0.96, 0.73)}
    runs = {
        name: [ruled_run(tmp_path / name, coded + shift, averaged + shift) for shift in (0, 0.001, 0.002)]
        for name, (coded, averaged) in levels.items()
    }
    row = tables.gains(runs, limit="at this budget").loc["student with feature distillation"]
    assert row["as coded: student - teacher"].startswith("+0.0400 ")  # Fc - A
    assert row["as coded: student - control"].startswith("+0.0300 ")  # Fc - B
    assert row["as written: student - control"].startswith("+0.0400 ")  # Fw - B
    assert row["corrected, averaged weights: student - control"].startswith("-0.1500 ")  # F - B
    both = tables.gains(runs, limit="at this budget").loc["student with KD and feature distillation"]
    assert both["as coded: student - control"].startswith("+0.0300 ")
    assert both["as written: student - control"] == "-"
    assert (row["arms and seeds"], both["arms and seeds"]) == ("Fc 3, Fw 3, F 3", "Fc 3, G 3")
    table = tables.experiments(runs)
    feature = table.loc[("student with feature distillation", "AUC")]
    assert [feature[column][:6] for column in ("as coded", "as written", "corrected, averaged weights")] == [
        "0.9410",
        "0.9510",
        "0.7010",
    ]
    assert feature["arms and seeds"] == "Fc 3, Fw 3, F 3"
    assert table.loc[("student with KD", "AUC"), "as coded"].startswith("0.9110")  # B: the term is a constant

    cut = {name: members for name, members in runs.items() if name not in ("Fc", "G")}
    gains = tables.gains(cut, limit="")
    assert list(gains.index) == ["student with KD", "student with feature distillation"]
    row = gains.loc["student with feature distillation"]
    assert (row["as coded: student - teacher"], row["as coded: student - control"]) == ("-", "-")
    assert row["arms and seeds"] == "Fw 3, F 3, Fc not trained at this budget"
    row = tables.experiments(cut).loc[("student with KD and feature distillation", "AUC")]
    assert (row["as coded"], row["corrected, averaged weights"]) == ("-", "-")


def test_the_difference_by_each_of_the_three_numbers_stands_in_its_column(tmp_path):
    def member(name, **levels):
        run = ruled_run(tmp_path / name, 0.9, 0.9)
        run.metrics |= {rule: {"auc": level, "ap": level} for rule, level in levels.items()}
        return run

    control = [member(f"B{seed}", averaged=0.80, corrected=0.70, late=0.60) for seed in range(3)]
    taught = [member(f"D{seed}", averaged=0.81, corrected=0.72, late=0.63 + seed / 1000) for seed in range(3)]
    arms = {"B": Arm("control", "", []), "D": Arm("taught", "", [], "B")}
    row = tables.arm_differences(arms, {"B": control, "D": taught}).loc["taught"]
    assert row["difference, 95 % over seeds"].startswith("+0.0100 ")
    assert row["by the chosen epoch"].startswith("+0.0200 ")
    assert row["by the mean AUC of the last quarter"].startswith("+0.0310 ")


def test_arms_are_left_out_by_key_but_not_the_control_of_another(grid):
    for key in ("A", "B", "D"):
        with pytest.raises(EcglibError, match=f"cannot do without {key}"):
            beatgan_arms.kept(grid, f"G {key}")
    assert set(grid) - set(beatgan_arms.kept(grid, "E2 Fw")) == {"E2", "Fw"}
    for baseline in baselines.BASELINES:
        assert beatgan_arms.kept(grid, baseline) == beatgan_arms.kept(grid, "") == grid
    with pytest.raises(EcglibError, match="nothing is called E9"):
        beatgan_arms.kept(grid, "E9")
    with pytest.raises(EcglibError, match="H8 is the control of H 1/8 width"):
        beatgan_arms.kept(grid, "H8")


def test_re_runs_are_compared_pair_by_pair(tmp_path):
    aucs = {"A": (0.90, 0.92), "B": (0.91, 0.85)}
    runs = {name: [ruled_run(tmp_path, auc, auc) for auc in values] for name, values in aucs.items()}
    row = tables.reruns(runs).loc["as coded"]
    apart = sorted(abs(a - b) for a, b in combinations([0.90, 0.92, 0.91, 0.85], 2))
    assert (row["runs"], row["pairs"]) == ("4", "6")
    assert row["furthest apart"] == f"{apart[-1]:.4f}" == "0.0700"
    assert row["median apart"] == f"{np.median(apart):.4f}"
    assert row["pairs at least 0.0092 apart, R1's gain"] == "100%"


def test_each_baseline_scores_what_is_unlike_its_training_beats_higher(base):
    rng = np.random.default_rng(0)
    train, test = (rng.normal(size=(count, 320)).astype(np.float32) for count in (300, 40))
    test[20:] += 5
    for scorer in (baselines.pca, baselines.one_class_svm, baselines.isolation_forest):
        assert metrics.auc(np.arange(40) >= 20, scorer(train, test, base, "cpu")) > 0.95, scorer.__name__


def test_a_vae_draws_its_code_while_it_learns_and_takes_the_mean_when_it_judges():
    torch.manual_seed(0)
    model, x = baselines.VAE(width=0.125).eval(), torch.rand(4, 1, 320)
    x_hat, code = model(x)
    assert torch.equal(x_hat, model.decoder(code.chunk(2, dim=1)[0]))
    model.train()
    assert not torch.equal(model(x)[0], model(x)[0])


def test_a_protocols_row_has_its_own_runs_by_the_rule_that_it_names():
    def runs(auc):
        rules = ("as_coded", "labelled", "corrected", "averaged")
        found = {
            rule: {"auc": auc + place / 100, "f1": auc - 0.1, "f1_threshold_on_test": auc + 0.05}
            for place, rule in enumerate(rules)
        }
        told_apart = {"labels": np.array(["N", "V"]), "scores_corrected": np.array([0.0, 1.0])}
        return [SimpleNamespace(metrics=found, predictions=told_apart)] * 3

    others = {"leads": runs(0.5), "warp": runs(0.6), "patients": runs(0.7)}
    table = tables.protocol_results({"A": runs(0.8)}, others, np.ones(2, dtype=bool))
    shown = [float(text.split()[0]) for text in table["value, 95 % over seeds"]]
    assert shown == pytest.approx([0.80, 0.81, 0.82, 0.83, 1.0, 0.52, 0.62, 0.72, 0.85, 0.70])
    new = table.loc["new patients: trained on DS1, tested on DS2", "difference"]
    assert new.startswith("-0.1000")


def test_protocol_and_baselines(base, runs, beats, store):
    protocol = obtain_arms(beatgan_arms.protocol_arms(base, 1), beats, store, "cpu")
    test = base.choose(beats).test
    table = tables.protocol_results(runs, protocol, beats.near_peak[test])
    assert len(table) == 10
    reference = table.loc["epoch without labels, BatchNorm in evaluation mode"]
    assert reference["difference"] == "-"
    config = runs["A"][0].config
    assert "leads" not in config
    assert protocol["leads"][0].config["leads"] == [0, 1]
    assert protocol["leads"][0].generator().encoder.features[0].in_channels == 2
    strangers = replace(base, split="patients").choose(beats).test
    peaks = (beats.near_peak[test], beats.near_peak[strangers])
    steps = tables.protocol_steps(runs["A"], protocol["patients"], *peaks)
    assert [len(aucs) for aucs in steps.values()] == [1] * 5, "the seeds that all steps have"
    kept, scores = beats.labels[test][peaks[0]] != "N", runs["A"][0].predictions["scores_corrected"][peaks[0]]
    assert steps["+ R-peak rule on all classes"][0] == metrics.auc(kept, scores)
    found = {}
    for key, baseline in baselines.BASELINES.items():
        auc = baselines.baseline_auc(key, base, beats, store)
        assert baselines.baseline_auc(key, base, beats, store) == auc  # from the store
        assert 0 <= auc <= 1
        found[baseline.name] = (baseline.published, np.array([auc]))
    assert found["PCA"][1][0] > 0.7
    rows = tables.baseline_results(found, runs["B"], runs["A"])
    assert rows.loc["BeatGAN (A), averaged weights", "measured AUC, 95 % over seeds"].startswith(
        f"{tables.values(runs['A']).mean():.4f}"
    )
    autoencoder = rows.loc["autoencoder (N), averaged weights"]
    assert autoencoder["measured AUC, 95 % over seeds"].startswith(f"{tables.values(runs['B']).mean():.4f}")
    assert rows.loc["PCA", "BeatGAN paper"] == "0.8164"
    assert rows.loc["isolation forest", "BeatGAN paper"] == "-"


def test_pca_is_the_error_of_a_projection():
    rng = np.random.default_rng(0)
    plane = rng.normal(size=(2, 320))
    train, inside = rng.normal(size=(100, 2)) @ plane, rng.normal(size=(5, 2)) @ plane
    config = BeatGANConfig("x", Settings(0))
    scores = baselines.pca(train.astype(np.float32), np.vstack([inside, inside + 1]).astype(np.float32), config, "cpu")
    assert scores[:5].max() < 1e-6 < 0.1 < scores[5:].min()


def test_the_vae_bound_is_reconstruction_plus_divergence():
    import torch

    from ecglib.beatgan.baselines import VAE

    torch.manual_seed(0)
    x, x_hat, code = torch.rand(2, 1, 4), torch.rand(2, 1, 4), torch.randn(2, 6, 1)
    slow = ((x - x_hat) ** 2).mean().item()
    for row in code[:, :, 0].tolist():
        normal = [torch.distributions.Normal(m, math.exp(v / 2)) for m, v in zip(row[:3], row[3:], strict=True)]
        unit = torch.distributions.Normal(0.0, 1.0)
        slow += sum(torch.distributions.kl_divergence(each, unit).item() for each in normal) / 2 / 4
    assert VAE.loss(x_hat, x, code).item() == pytest.approx(slow, rel=1e-5)


def test_every_number_of_r1_is_in_the_ledger(runs, base, beats):
    measured, reasons = beatgan_ledger.measured_r1(runs, base, beats)
    assert set(measured) | set(reasons) == {key for key, claim in reports.CLAIMS.items() if claim.report == "R1"}
    table = show_ledger.ledger("R1", measured, reasons)
    assert ((table["measured"] == "-") == (table["why not"] != "")).all()
    # R1's thresholds are on scores scaled over the set; raw errors of so short a training are larger than 1.
    scores = runs["Fc"][0].predictions["scores_as_coded"]
    raw = runs["Fc"][0].metrics["as_coded"]["f1_threshold_on_test_threshold"]
    scaled = (raw - scores.min()) / (scores.max() - scores.min())
    assert measured["r1.feature.threshold"] == pytest.approx(float(scaled), rel=1e-5)
    assert measured["r1.figure9.last_f1"] == pytest.approx(runs["A"][0].history["f1_as_coded"].iloc[-1], abs=0.1)
    with pytest.raises(EcglibError, match="neither measured nor"):
        show_ledger.ledger("R1", {}, reasons)
    claims = [claim for claim in reports.CLAIMS.values() if claim.report == "R1"]
    assert len(claims) >= 55
    assert list(table.index) == [claim.text for claim in claims]
    assert measured["r1.figure10.g_size"] == pytest.approx(reports.value("r1.figure10.g_size"), rel=0.01)
    assert measured["r1.figure10.d_size"] == pytest.approx(reports.value("r1.figure10.d_size"), rel=0.01)


@pytest.mark.parametrize(
    ("name", "report"), [("03_kd_student", "R1"), ("04_simclr", "R2"), ("05_ptbxl_compression", "R3")]
)
def test_a_notebook_shows_every_number_of_its_report(name, report):
    """Walks the list: each published number stands in a table of the saved notebook, with its meaning and its place."""
    notebook = nbformat.read(project_root() / "notebooks" / f"{name}.ipynb", as_version=4)
    pages = [
        output.data["text/html"]
        for cell in notebook.cells
        if cell.cell_type == "code"
        for output in cell.outputs
        if "text/html" in output.get("data", {})
    ]
    rows = set()
    for row in re.findall(r"<tr>(.*?)</tr>", "".join(pages), re.DOTALL):
        cells = [html.unescape(cell).strip() for cell in re.findall(r"<t[hd][^>]*>(.*?)</t[hd]>", row, re.DOTALL)]
        rows.add(tuple(cells[:3]))
    for key, claim in reports.CLAIMS.items():
        if claim.report == report:
            assert (claim.text, claim.where, show_ledger.published(claim)) in rows, key
    if report == "R1":
        assert "FIGURE9_LOG" in "\n".join(cell.source for cell in notebook.cells)


def test_the_files_of_a_run_stand_beside_figure_10(runs):
    table = beatgan_ledger.run_files(runs["A"][0])
    assert table.loc["weights of G", "size there"] == "7,505 KiB"
    weights = runs["A"][0].folder / table.loc["weights of G", "here"]
    assert table.loc["weights of G", "size here"] == show_ledger.number(weights.stat().st_size / 1024, "KiB")
    assert table.loc["losses and validation numbers", "R1, figure 10"] == "beatgan_s_history.pkl"
    kept = {path.name for path in runs["A"][0].folder.iterdir()} - {
        "weights_as_coded.safetensors",
        "weights_averaged.safetensors",
    }
    assert set(table["here"]) - {"-"} == kept


def test_contradictions_name_both_sides():
    table = show_ledger.contradictions("R1")
    assert table.loc["AUC with feature distillation", "other"].startswith("0.934073")
    assert len(table) == 14
    assert table.loc["what the student learns from", "one"].endswith("(section 3.3.4.3)")
    assert table.loc["what equation 1 measures", "other"].startswith("both are MSE (section 3.3.4.3")


def test_numbers_of_r1_are_those_that_each_place_prints():
    """Table 1 prints 0.946423; 0.946424 is the log of section 4.3, rounded."""
    assert reports.value("r1.student.auc") == 0.946423
    assert reports.CLAIMS["r1.student.auc"].where == "table 1"
    assert reports.value("r1.student.log_auc") == 0.94642384
    assert show_ledger.published(reports.CLAIMS["r1.student.auc"]) == "0.946423"
    assert show_ledger.published(reports.CLAIMS["r1.student.log_auc"]) == "0.94642384"
    assert show_ledger.published(reports.CLAIMS["r1.quoted_auc"]) == "0.9500"
    assert "README" not in reports.CLAIMS["r1.teacher.seconds"].where
