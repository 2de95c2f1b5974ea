"""The committed evidence: tables follow from the stored runs, and the runs' metrics from their stored predictions."""

import pandas as pd
import pytest

from ecglib import arm_tables, arms, cost, experiments
from ecglib.experiments import BeatGANConfig, Run, is_finished
from ecglib.files import project_root
from ecglib.models.beatgan import Generator
from ecglib.profiles import PROFILES, SMOKE
from ecglib.training import Hyperparameters

COMMITTED = [
    profile
    for profile in PROFILES
    if profile != SMOKE and (project_root() / "papermill_runs" / profile / "results" / "03_arms.csv").exists()
]
REAL_BEATS = "ab8792e2028f"  # `Beats.fingerprint` of all 97,568 beats


def grid_of(profile):
    values = PROFILES[profile]["03_kd_student"]
    parts = {name: values[name] for name in ("train_beats", "validation_beats", "test_beats", "width")}
    base = BeatGANConfig(REAL_BEATS, Hyperparameters(0, epochs=values["epochs"]), **parts)
    grid = arms.distillation_arms(base, values["seeds"], values["other_seeds"])
    return grid, arms.protocol_arms(base, values["other_seeds"])


def runs_of(profile, grid):
    store = project_root() / "papermill_runs" / profile / "runs"
    for arm in grid.values():
        for config in arm.configs:
            assert is_finished(store / config.run_id), f"{arm.name}, seed {config.training.seed}: {config.run_id}"
    return {name: [Run(store / config.run_id) for config in arm.configs] for name, arm in grid.items()}


def stored_table(profile, name):
    return pd.read_csv(project_root() / "papermill_runs" / profile / "results" / f"{name}.csv", index_col=0, dtype=str)


@pytest.mark.parametrize("profile", COMMITTED)
def test_the_tables_of_03_follow_from_the_committed_runs(profile):
    grid, protocol = grid_of(profile)
    runs = runs_of(profile, grid)
    runs_of(profile, protocol)
    sizes = {name: cost.count_parameters(Generator(width=arm.configs[0].width)) for name, arm in grid.items()}
    for name, table in (
        ("03_arms", arm_tables.arm_results(grid, runs, sizes)),
        ("03_differences", arm_tables.arm_differences(grid, runs)),
    ):
        pd.testing.assert_frame_equal(table.astype(str), stored_table(profile, name))


@pytest.mark.parametrize("profile", COMMITTED)
def test_metrics_follow_from_the_committed_predictions(profile):
    grid, _ = grid_of(profile)
    for name, members in runs_of(profile, {name: grid[name] for name in ("A", "D", "F")}).items():
        run = members[0]
        for rule in ("as_coded", "corrected"):
            stored = {key: value for key, value in run.metrics[rule].items() if key != "epoch"}
            assert experiments.evaluate(run.predictions, rule) == pytest.approx(stored, abs=1e-9), name
