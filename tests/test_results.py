"""The committed evidence: tables follow from the stored runs, and the runs' metrics from their stored predictions."""

from dataclasses import replace
from functools import partial

import numpy as np
import pandas as pd
import pytest

from ecglib import reports
from ecglib.beatgan import arms as beatgan_arms
from ecglib.beatgan import tables as beatgan_tables
from ecglib.beatgan import task
from ecglib.beatgan.networks import Generator
from ecglib.beatgan.task import BeatGANConfig
from ecglib.beatgan.training import Settings
from ecglib.classifier import arms as classifier_arms
from ecglib.classifier import deployed, steps
from ecglib.classifier import tables as classifier_tables
from ecglib.classifier import training as classifier_training
from ecglib.classifier.task import ClassifierConfig
from ecglib.core import cost
from ecglib.core.files import project_root
from ecglib.core.profiles import PROFILES, SMOKE
from ecglib.data import mitbih
from ecglib.runs.store import stored_arrays
from ecglib.show.study import EVIDENCE
from ecglib.simclr import arms as simclr_arms
from ecglib.simclr import detectors
from ecglib.simclr import tables as simclr_tables
from ecglib.simclr.detectors import Scored
from ecglib.stats import metrics

COMMITTED = [
    profile
    for profile in PROFILES
    if profile != SMOKE and (project_root() / "papermill_runs" / profile / "results" / "03_arms.csv").exists()
]
REAL_BEATS = "ab8792e2028f"  # `Beats.fingerprint` of all 97,568 beats


def grid_of(profile):
    values = PROFILES[profile]["03_kd_student"]
    parts = {name: values[name] for name in ("train_beats", "validation_beats", "test_beats", "width")}
    base = BeatGANConfig(REAL_BEATS, Settings(0, epochs=values["epochs"]), **parts)
    grid = beatgan_arms.distillation_arms(base, values["seeds"], values["other_seeds"])
    grid = beatgan_arms.kept(grid, values.get("left_out", ""))
    return grid, beatgan_arms.protocol_arms(base, values["other_seeds"])


def runs_of(profile, grid):
    store = project_root() / "papermill_runs" / profile / "runs"
    for arm in grid.values():
        for config in arm.configs:
            assert config.run(store).finished(), f"{arm.name}, seed {config.training.seed}: {config.run_id}"
    return {name: [config.run(store) for config in arm.configs] for name, arm in grid.items()}


def stored_table(profile, name, levels=1):
    path = project_root() / "papermill_runs" / profile / "results" / f"{name}.csv"
    return pd.read_csv(path, dtype=str, keep_default_na=False).set_index(
        list(pd.read_csv(path, nrows=0).columns[:levels])
    )


@pytest.mark.parametrize("profile", COMMITTED)
def test_the_tables_of_03_follow_from_the_committed_runs(profile):
    grid, protocol = grid_of(profile)
    runs = runs_of(profile, grid)
    runs_of(profile, protocol)
    sizes = {name: cost.count_parameters(Generator(width=arm.configs[0].width)) for name, arm in grid.items()}
    limit = "" if PROFILES[profile]["03_kd_student"]["epochs"] == reports.value("r1.epochs") else "at this budget"
    for name, table in (
        ("03_arms", beatgan_tables.arm_results(grid, runs, sizes)),
        ("03_differences", beatgan_tables.arm_differences(grid, runs)),
        ("03_experiments", beatgan_tables.experiments(runs)),
        ("03_gains", beatgan_tables.gains(runs, limit)),
        ("03_reruns", beatgan_tables.reruns(runs)),
    ):
        pd.testing.assert_frame_equal(table.astype(str), stored_table(profile, name, table.index.nlevels))


@pytest.mark.parametrize("profile", COMMITTED)
def test_the_tables_of_02_follow_from_the_committed_runs(profile):
    values = PROFILES[profile]["02_beatgan_teacher"]
    parts = {name: values[name] for name in ("train_beats", "validation_beats")}
    base = BeatGANConfig(REAL_BEATS, Settings(0, epochs=values["epochs"]), **parts)
    arms = runs_of(profile, beatgan_arms.teacher_arms(base, values["seeds"]))
    runs = arms["A"]
    sizes = mitbih.count_classes(runs[0].predictions["labels"])
    for name, table in (
        ("02_teacher", beatgan_tables.teacher_results(runs, limit="at this budget")),
        ("02_adversary", beatgan_tables.adversary_results(arms)),
        ("02_f1", beatgan_tables.f1_results(runs)),
        ("02_per_class", beatgan_tables.per_class(runs, sizes.get)),
    ):
        pd.testing.assert_frame_equal(table.astype(str), stored_table(profile, name, table.index.nlevels))


@pytest.mark.parametrize("profile", COMMITTED)
def test_metrics_follow_from_the_committed_predictions(profile):
    grid, _ = grid_of(profile)
    for name, members in runs_of(profile, {name: grid[name] for name in ("A", "D", "F")}).items():
        run = members[0]
        epochs = {rule: int(run.metrics[rule]["epoch"]) for rule in ("as_coded", "corrected")}
        for rule, found in task.evaluate(run.predictions, epochs).items():
            assert found == pytest.approx(run.metrics[rule], abs=1e-9), name


COMMITTED_04 = [
    profile
    for profile in COMMITTED
    if (project_root() / "papermill_runs" / profile / "results" / "04_scenarios.csv").exists()
]


@pytest.mark.parametrize("profile", COMMITTED_04)
def test_the_tables_of_04_follow_from_the_committed_runs_and_scores(profile, monkeypatch):
    values = PROFILES[profile]["04_simclr"]
    parts = {name: values[name] for name in ("train_beats", "validation_beats", "test_beats", "width")}
    base = BeatGANConfig(REAL_BEATS, Settings(0, epochs=values["epochs"]), **parts)
    of_scenarios = {name: values[f"scenario_{name}"] for name in ("train_beats", "validation_beats")}
    scenario_base = replace(base, training=Settings(0, epochs=values["scenario_epochs"]), **of_scenarios)
    grid = simclr_arms.contrast_arms(scenario_base, values["seeds"])
    runs = runs_of(profile, grid)
    for name, table in (
        ("04_scenarios", simclr_tables.scenarios(grid, runs, limit="at this budget")),
        ("04_per_class", simclr_tables.per_class(grid, runs)),
    ):
        pd.testing.assert_frame_equal(table.astype(str), stored_table(profile, name))
    store = project_root() / "papermill_runs" / profile / "runs"
    needed = simclr_arms.detector_arms(base, values["encoder_epochs"], values["seeds"], values["other_seeds"])
    for of_encoders, of_beatgans, suffix in (
        ("encoder", "BeatGAN", ""),
        ("encoder, patients", "patients", "_new_patients"),
    ):
        encoders = needed[of_encoders].configs
        plain = runs_of(profile, {of_beatgans: needed[of_beatgans]})[of_beatgans]
        scores = {"BeatGAN": [run.predictions["scores_corrected"] for run in plain]}
        scores |= {
            step: [
                stored_arrays(store, Scored(detector, one, base.test_beats).name)["scores"]
                for one in (encoders if detector.seeded else encoders[:1])
            ]
            for step, detector in detectors.LADDER.items()
        }
        stored = plain[0].predictions
        every = np.ones(len(stored["labels"]), dtype=bool)  # where R peaks were found is with the beats, not here
        table = simclr_tables.detectors(scores, stored["labels"], stored["patients"], every).astype(str)
        expected = stored_table(profile, f"04_detectors{suffix}").loc[list(scores)]
        rule = "R-peak rule on all"
        pd.testing.assert_frame_equal(table.drop(columns=rule), expected.drop(columns=rule))
        # The rhythm is with the beats, too: another stands for it, and its rows and what depends on them are left out.
        scores["BeatGAN + rhythm"] = scores["BeatGAN"]
        # Two resamples take a moment, a thousand minutes: their column is left out.
        with monkeypatch.context() as patch:
            patch.setattr(metrics, "_draws", partial(metrics._draws, resamples=2))
            table = simclr_tables.detector_differences(
                scores, stored["labels"], stored["patients"], limit="at this budget"
            )
        rows = [row for row in table.index if "BeatGAN + rhythm" not in row]
        columns = ["test", "difference, 95 % over seeds", "could have shown"]
        expected = stored_table(profile, f"04_detector_differences{suffix}", table.index.nlevels)
        assert expected.columns.tolist() == table.columns.tolist()
        pd.testing.assert_frame_equal(table.loc[rows, columns].astype(str), expected.loc[rows, columns])


COMMITTED_05 = [
    profile
    for profile in COMMITTED
    if (project_root() / "papermill_runs" / profile / "results" / "05_students.csv").exists()
]
REAL_RECORDS = "42a0410ce7b8"  # `Records.fingerprint` of the first 1,987 records of PTB-XL


@pytest.mark.parametrize("profile", COMMITTED_05)
def test_the_tables_of_05_follow_from_the_committed_runs(profile):
    parts = "on a part of the records"
    limit = parts if PROFILES[profile]["05_ptbxl_compression"]["epochs"] == 50 else f"at this budget, {parts}"
    values = PROFILES[profile]["05_ptbxl_compression"]
    settings = classifier_training.Settings(0, epochs=values["epochs"], batch_size=values["batch_size"])
    base = ClassifierConfig(REAL_RECORDS, settings, network=values["student_network"])
    teacher, few = values["teacher_network"], values["other_seeds"]
    others = classifier_arms.network_arms(base, [teacher, *values["networks"].split()], few)
    coded = classifier_arms.report_arms(base, [teacher, "614K", *values["coded_networks"].split()], few)
    pupils = classifier_arms.student_arms(base, teacher, values["seeds"], few)
    added = classifier_arms.recipe_arms(base, values["seeds"], few)
    shorter = classifier_arms.pruned_arms(added, values["seeds"], classifier_arms.FINAL)
    store, runs = project_root() / "papermill_runs" / profile / "runs", {}
    for name, arm in (others | coded | pupils | added | shorter).items():
        for config in arm.configs:
            assert config.run(store).finished(), f"{arm.name}: {config.run_id}"
        runs[name] = [config.run(store) for config in arm.configs]
    alone = {name: runs[name] for name in others | coded} | {values["student_network"]: runs["alone"]}
    ways = classifier_arms.setting_arms(
        replace(base, network="57K", training=replace(settings, epochs=max(1, values["epochs"] // 2))), few
    )
    tried = {
        way: {name: [config.run(store) for config in arm.configs] for name, arm in arms.items()}
        for way, arms in ways.items()
    }
    # Answers of the exported files are committed, too, so that no weights are needed.
    whole, small = (
        {
            name: [deployed.exported(config, None, store, profile, files=False) for config in found[name + end].configs]
            for name in classifier_arms.FINAL
        }
        for found, end in ((added, ""), (shorter, " pruned"))
    )
    expected = {
        "05_networks": (classifier_tables.results(others | coded, runs), 1),
        "05_students": (classifier_tables.results(pupils, runs), 1),
        "05_table2": (classifier_tables.ladder(alone), 1),
        "05_settings": (classifier_tables.settings(ways["fresh"], tried, limit), 1),
        "05_per_class": (classifier_tables.per_class(others | coded | pupils, runs), 1),
        "05_differences": (classifier_tables.differences(pupils, runs, limit), 1),
        "05_network_claims": (classifier_tables.network_claims(runs, limit), 2),
        "05_steps": (steps.results(steps.beside_controls(added, pupils), runs), 1),
        "05_steps_differences": (classifier_tables.differences(added, runs, limit, pupils), 1),
        "05_steps_total": (classifier_tables.differences(steps.totals(added), runs, limit, pupils), 1),
        "05_steps_pruned": (classifier_tables.differences(shorter, runs, limit, added), 1),
        "05_steps_goals": (steps.goals(whole, small, limit), 2),
        "05_steps_lost": (steps.lost(whole, small, limit), 1),
    }
    for name, (table, levels) in expected.items():
        pd.testing.assert_frame_equal(table.astype(str), stored_table(profile, name, levels))
    if profile == EVIDENCE:  # what goes on was chosen by fold 9
        for final in classifier_arms.FINAL:
            leads = added[final].configs[0].leads
            students = [name for name, arm in added.items() if arm.configs[0].leads == leads and name != "resnet steps"]
            judged = {name: classifier_tables.values(runs[name], "validation").mean() for name in students}
            assert max(judged, key=judged.get) == final
