"""How far R3's student comes: tables of steps, goals and losses, from runs and answers whose numbers are known."""

from dataclasses import replace

import numpy as np
import pytest

from ecglib.classifier import arms, baselines, deployed, steps, tables
from ecglib.classifier.deployed import Exported
from ecglib.classifier.task import ClassifierConfig
from ecglib.classifier.training import Settings
from ecglib.core.errors import EcglibError
from ecglib.stats import margins, metrics, multilabel
from tests.classifier.test_claims import stored

EDGE = 0.0002  # answers are rounded


@pytest.fixture(scope="module")
def grid():
    base = ClassifierConfig("0123456789ab", Settings(seed=0), network="57K")
    return arms.student_arms(base, "124K", 5, 3), arms.recipe_arms(base, 5, 3)


@pytest.fixture(scope="module")
def runs(grid, tmp_path_factory):
    """Runs of every arm, each step by a little better than the one before."""
    folder, (students, added) = tmp_path_factory.mktemp("steps"), grid
    found = {}
    for better, (name, arm) in enumerate(steps.beside_controls(added, students).items()):
        found[name] = [
            stored(folder / f"{name}{seed}", seed=config.training.seed, skill=0.03 * better, leads=list(config.leads))
            for seed, config in enumerate(arm.configs)
        ]
    return found


def test_each_control_stands_before_what_it_is_compared_with(grid):
    students, added = grid
    order = list(steps.beside_controls(added, students))
    assert order[:2] == ["alone", "windows"] and order.index("lead I") + 1 == order.index("lead I steps")
    assert len(order) == len(added) + 2
    for name, arm in added.items():
        assert not arm.control or order.index(arm.control) < order.index(name)


def test_the_table_of_steps_shows_what_chose_and_what_was_tested(grid, runs):
    rows = steps.beside_controls(grid[1], grid[0])
    table = steps.results(rows, runs)
    assert [name for name in table.index if "goes on" in name] == [
        "+ committee (goes on)",
        "lead I, five steps (goes on)",
    ]
    row = table.loc["+ mixed records"]
    folds = {part: np.mean([run.metrics[part]["auc"] for run in runs["mixed"]]) for part in ("validation", "test")}
    assert float(row["fold 9, mean"]) == pytest.approx(folds["validation"], abs=6e-5)
    assert float(row["fold 10, 95 % over seeds"].split()[0]) == pytest.approx(folds["test"], abs=6e-5)
    assert (row["epochs"], row["tested epoch"], row["seeds"]) == ("2", "1", "5")


def test_all_steps_together_are_compared_with_none(grid, runs):
    students, added = grid
    table = tables.differences(steps.totals(added), runs, "", students)
    assert list(table.index) == list(steps.NAMES.values())
    assert list(table["minus"]) == ["student alone", "lead I alone"]
    aucs = [np.mean([run.metrics["test"]["auc"] for run in runs[name]]) for name in ("committee", "alone")]
    found = float(table.iloc[0]["difference, 95 % over seeds"].split()[0])
    assert found == pytest.approx(aucs[0] - aucs[1], abs=6e-5)
    assert "p (Holm, 2 questions)" in table.columns


def answered(folder, seed, whole, small):
    """A model whose logits are right by as much as `whole` says in float, and `small` in INT8."""
    run = stored(folder / f"s{seed}{whole}{small}", seed=seed)
    noise = np.random.default_rng(seed).normal(size=run.tested.shape)
    return Exported(run, {}, {"float": whole * run.tested + noise, "int8": small * run.tested + noise})


def models(folder, whole, small, seeds=5):
    return [answered(folder, seed, whole, small) for seed in range(seeds)]


def test_losses_are_those_of_the_same_seeds_and_need_seeds_and_patients(tmp_path):
    good, worse = models(tmp_path / "a", 3.0, 3.0), models(tmp_path / "b", 3.0, 1.5)
    lead = models(tmp_path / "c", 2.0, 2.0, seeds=2)
    found = deployed.change(good, worse)
    expected = [small.auc("int8") - whole.auc("float") for whole, small in zip(good, worse, strict=True)]
    assert found.differences == pytest.approx(expected)
    assert found.after - found.before == pytest.approx(np.mean(expected)) == pytest.approx(found.over_seeds.value)
    drawn = np.mean(
        [
            multilabel.resampled_auc(whole.run.tested, small.logits["int8"], whole.run.predictions["test_patients"])
            - multilabel.resampled_auc(whole.run.tested, whole.logits["float"], whole.run.predictions["test_patients"])
            for whole, small in zip(good, worse, strict=True)
        ],
        axis=0,
    )
    assert (found.over_patients.low, found.over_patients.high) == pytest.approx(
        tuple(np.quantile(drawn, [0.025, 0.975]))
    )
    table = steps.lost({"committee": good, "lead I steps": lead}, {"committee": good, "lead I steps": lead}, "")
    assert list(table["verdict"]) == ["at most 0.01 lost", margins.FEW]
    assert "above -0.01: p (1 question)" in table.columns, "two seeds have no p"
    table = steps.lost({"committee": good, "lead I steps": lead}, {"committee": worse, "lead I steps": lead}, "here")
    assert table.loc["student, six steps", "verdict"] == "not shown (here)"
    assert steps._at_most(0.01, metrics.Interval(0, -0.02, 0.01)) == "on these patients; for others not shown"
    with pytest.raises(EcglibError, match=r"Seeds \[0, 1, 2, 3, 4\] and \[0, 1\]"):
        deployed.change(good, lead)


def test_goals_are_asked_of_whole_and_of_small_students(tmp_path):
    strong, weak = models(tmp_path / "a", 4.0, 4.0), models(tmp_path / "b", 1.0, 0.2)
    table = steps.goals({"committee": strong, "lead I steps": weak}, {"committee": weak, "lead I steps": strong}, "")
    assert table["verdict"].tolist() == ["reached", "missed", "missed", "reached"]
    assert table["goal"].tolist() == ["0.90", "0.90", "0.83", "0.83"]
    small = table.loc[("student, six steps", "pruned, INT8")]
    assert float(small["macro-AUC, 95 % over seeds"].split()[0]) == pytest.approx(
        np.mean([one.auc("int8") for one in weak]), abs=6e-5
    )


def test_trees_and_networks_together_say_the_mean_of_their_logits(records, tmp_path):
    test = baselines.benchmark_split(records).test
    targets, rng = records.targets[test], np.random.default_rng(0)

    class Run:
        def __init__(self, patients=records.patients[test]):
            self.predictions = {"test_patients": patients, "test_logits": rng.normal(size=targets.shape) + targets}

    scores = rng.random(targets.shape)
    scores[0] = 0.0, 1.0, 0.5, 0.5, 0.5
    trees = {baselines.TREES: baselines.Answered(scores, 363, 1.0)}
    networks = {"student": [Run(), Run(), Run()], "resnet": [Run(), Run(), Run()]}
    table = baselines.beside_trees(trees, records, networks)
    assert list(table["seeds"]) == ["no seed"] + ["3"] * 5
    held = scores.clip(1e-9, 1 - 1e-9)
    odds = np.log(held / (1 - held))
    for name, of in (("student and trees", ["student"]), (baselines.ALL, ["student", "resnet"])):
        aucs = [
            multilabel.macro_auc(targets, odds + sum(networks[one][seed].predictions["test_logits"] for one in of))
            for seed in range(3)
        ]
        assert float(table.loc[name, "macro-AUC, 95 % over seeds"].split()[0]) == pytest.approx(np.mean(aucs), abs=EDGE)
        ahead = np.mean(aucs) - multilabel.macro_auc(targets, odds)
        assert float(table.loc[name, "minus trees, over patients"].split()[0]) == pytest.approx(ahead, abs=EDGE)
    with pytest.raises(EcglibError, match="student was tested on other records"):
        baselines.beside_trees(trees, records, {"student": [Run(np.arange(3))]})


def test_what_goes_on_is_pruned_with_all_its_seeds(grid):
    _, added = grid
    base = replace(added["windows"].configs[0], training=Settings(seed=0))
    every = arms.all_steps(base, 5, 3)
    assert [len(every[f"{name} pruned"].configs) for name in arms.FINAL] == [5, 3]
    assert {name: every[f"{name} pruned"].control for name in arms.FINAL} == {
        name: f"{name} tuned" for name in arms.FINAL
    }
