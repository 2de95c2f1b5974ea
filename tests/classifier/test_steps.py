"""How far R3's student comes: tables of steps, goals and losses, from runs and answers whose numbers are known."""

from dataclasses import replace

import numpy as np
import pytest
from scipy import stats

from ecglib.classifier import arms, baselines, deployed, steps, tables
from ecglib.classifier.deployed import Exported
from ecglib.classifier.task import ClassifierConfig
from ecglib.classifier.training import Settings
from ecglib.core.errors import EcglibError
from ecglib.stats import metrics, multilabel
from tests.classifier.test_claims import stored


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
    assert order[:3] == ["resnet steps", "alone", "windows"] and order.index("lead I") + 1 == order.index(
        "lead I steps"
    )
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
    assert float(row["macro-AUC, fold 9 (chooses)"]) == pytest.approx(folds["validation"], abs=6e-5)
    assert float(row["macro-AUC, fold 10, 95 % over seeds"].split()[0]) == pytest.approx(folds["test"], abs=6e-5)
    drawn = np.mean([run.resampled("test", patients=True) for run in runs["mixed"]], axis=0)
    assert row["fold 10, over patients"] == quantiles(drawn)
    assert row["AP"] == f"{np.mean([run.metrics['test']['ap'] for run in runs['mixed']]):.3f}"
    assert (row["epochs, mean"], row["tested epoch, mean"], row["seeds"]) == ("2", "1", "5")


def test_all_steps_together_are_compared_with_none(grid, runs):
    students, added = grid
    table = tables.differences(steps.totals(added), runs, "", students)
    assert list(table.index) == list(steps.NAMES.values())
    assert list(table["minus"]) == ["student alone", "lead I alone"]
    aucs = [np.mean([run.metrics["test"]["auc"] for run in runs[name]]) for name in ("committee", "alone")]
    found = float(table.iloc[0]["difference, 95 % over seeds"].split()[0])
    assert found == pytest.approx(aucs[0] - aucs[1], abs=6e-5)
    assert "p (Holm, 2 questions)" in table.columns


def answered(folder, seed, strengths, draws=None, **config):
    """A model whose logits are right by as much as `strengths` says in float and in INT8.

    `draws` seeds the noise of each form, which all seeds then share nearly.
    """
    run = stored(folder / f"s{seed}", seed=seed, **config)
    own, logits = np.random.default_rng(seed), {}
    for form, strength, draw in zip(deployed.FORMS, strengths, draws or (None, None), strict=True):
        noise = (own if draw is None else np.random.default_rng(draw)).normal(size=run.tested.shape)
        logits[form] = strength * run.tested + noise + 0.01 * own.normal(size=run.tested.shape)
    return Exported(run, {}, logits)


def models(folder, strengths, seeds=5, draws=None):
    return [answered(folder, seed, strengths, draws) for seed in range(seeds)]


def cut_from(whole, folder, strengths, draws=None):
    return [
        answered(folder, seed, strengths, draws, tuned=one.run.folder.name, pruned=0.5)
        for seed, one in enumerate(whole)
    ]


def resampled(members, form):
    return np.mean(
        [
            multilabel.resampled_auc(one.run.tested, one.logits[form], one.run.predictions["test_patients"])
            for one in members
        ],
        axis=0,
    )


def aucs(members, form):
    return np.array([multilabel.macro_auc(one.run.tested, one.logits[form]) for one in members])


def quantiles(drawn, signed=False):
    low, high = np.quantile(drawn, [0.025, 0.975])
    return f"[{low:+.4f}, {high:+.4f}]" if signed else f"[{low:.4f}, {high:.4f}]"


@pytest.fixture(scope="module")
def wide(tmp_path_factory):
    """A loss that seeds agree on and patients do not: INT8 answers all seeds alike, by noise of its own."""
    folder = tmp_path_factory.mktemp("wide")
    whole = models(folder / "whole", (2.0, 2.0), draws=(1, 1))
    for draw in range(2, 100):
        small = cut_from(whole, folder / f"{draw}", (2.0, 2.0), draws=(1, draw))
        drawn = resampled(small, "int8") - resampled(whole, "float")
        if (aucs(small, "int8") - aucs(whole, "float")).mean() > -0.005 and np.quantile(drawn, 0.025) < -0.012:
            return whole, small
    raise AssertionError("no such draw")


def test_losses_are_judged_by_both_seeds_and_patients(tmp_path, wide):
    good = models(tmp_path / "good", (3.0, 1.0))
    little, much = (cut_from(good, tmp_path / name, (1.0, by)) for name, by in (("little", 3.01), ("much", 2.0)))
    fewer = models(tmp_path / "fewer", (3.0, 3.0), seeds=2)
    table = steps.lost({"committee": good, "lead I steps": good}, {"committee": much, "lead I steps": little}, "here")
    differences = [aucs(small, "int8") - aucs(good, "float") for small in (much, little)]
    p = [stats.ttest_1samp(one, -0.01, alternative="greater").pvalue for one in differences]
    assert p[1] < 0.025 < 0.5 < p[0] and np.ptp(differences[1]) > 1e-4
    column = "against 0.01 or more, one-sided p (Holm, 2 questions)"
    assert table[column].tolist() == [f"{p[0]:.2g}", f"{2 * p[1]:.2g}"]
    assert table["verdict"].tolist() == ["not shown (here)", "at most 0.01 lost (here)"]
    for small, (_, row) in zip((much, little), table.iterrows(), strict=True):
        ends = aucs(good, "float").mean(), aucs(small, "int8").mean()
        assert (row["whole, float"], row["pruned, INT8"]) == tuple(f"{end:.4f}" for end in ends)
        assert row["over patients"] == quantiles(resampled(small, "int8") - resampled(good, "float"), signed=True)
        assert float(row["difference, 95 % over seeds"].split()[0]) == pytest.approx(ends[1] - ends[0], abs=6e-5)
    whole, small = wide
    cut = cut_from(fewer, tmp_path / "cut", (3.0, 3.0))
    table = steps.lost({"committee": whole, "lead I steps": fewer}, {"committee": small, "lead I steps": cut}, "")
    assert table["verdict"].tolist() == ["at most 0.01 lost on these patients; for others not shown", metrics.FEW]
    assert "against 0.01 or more, one-sided p (1 question)" in table.columns, "two seeds have no p"
    assert table["seeds"].tolist() == ["5", "2"]


def test_what_was_not_cut_from_a_network_is_not_compared_with_it(tmp_path):
    whole = models(tmp_path / "a", (3.0, 2.0), seeds=3)
    small = cut_from(whole, tmp_path / "b", (3.0, 2.0))
    found = deployed.shrunk(whole, small)
    assert found.differences == pytest.approx(aucs(small, "int8") - aucs(whole, "float"))
    assert deployed.change(whole).differences == pytest.approx(aucs(whole, "int8") - aucs(whole, "float"))
    for before, after in ((small, whole), (whole, small[::-1])):
        with pytest.raises(EcglibError, match="was not cut from"):
            deployed.shrunk(before, after)


def test_goals_are_asked_of_whole_students_and_small_files_stand_beside_them(tmp_path, wide):
    strong = models(tmp_path / "a", (4.0, 0.5))
    around, two = wide[0], models(tmp_path / "b", (4.0, 4.0), seeds=2)
    assert 0.9 < aucs(around, "float").mean() < 0.95
    whole, small = {"committee": strong, "lead I steps": two}, {"committee": around, "lead I steps": strong}
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(steps, "GOALS", {"committee": aucs(around, "int8").mean() - 0.005, "lead I steps": 0.83})
        table = steps.goals(whole, small, "here")
    assert [words.removesuffix(" (here)") for words in table["verdict"]] == ["reached", "open", metrics.FEW, "missed"]
    assert table["goal"].tolist()[2:] == ["0.83", "0.83"] and table["seeds"].tolist() == ["5", "5", "2", "5"]
    shown = ((strong, "float"), (around, "int8"), (two, "float"), (strong, "int8"))
    for (members, form), (_, row) in zip(shown, table.iterrows(), strict=True):
        assert row["macro-AUC, 95 % over seeds"].startswith(f"{aucs(members, form).mean():.4f} ")
        assert row["over patients"] == quantiles(resampled(members, form))


def test_trees_and_networks_together_say_the_mean_of_their_logits(records):
    test = baselines.benchmark_split(records).test
    targets, patients, rng = records.targets[test], records.patients[test], np.random.default_rng(0)

    class Run:
        def __init__(self, of=patients):
            self.predictions = {"test_patients": of, "test_logits": rng.normal(size=targets.shape) + targets}

    scores = rng.random(targets.shape)
    scores[0] = 0.0, 1.0, 0.5, 0.5, 0.5
    trees = {baselines.TREES: baselines.Answered(scores, 363, 1.0)}
    networks = {"student": [Run(), Run(), Run()], "resnet": [Run(), Run(), Run()]}
    table = baselines.beside_trees(trees, records, networks)
    assert list(table["seeds"]) == ["no seed"] + ["3"] * 5
    held = scores.clip(1e-9, 1 - 1e-9)
    odds = np.log(held / (1 - held))
    for name, of in (("trees + student", ["student"]), (baselines.TOGETHER, ["student", "resnet"])):
        answers = [odds + sum(networks[one][seed].predictions["test_logits"] for one in of) for seed in range(3)]
        found = np.mean([multilabel.macro_auc(targets, one) for one in answers])
        row, trees_alone = table.loc[name], multilabel.macro_auc(targets, odds)
        assert float(row["macro-AUC, 95 % over seeds"].split()[0]) == pytest.approx(found, abs=6e-5)
        drawn = np.mean([multilabel.resampled_auc(targets, one, patients) for one in answers], axis=0)
        assert row["over patients"] == quantiles(drawn)
        ahead, interval = row["minus trees, over patients"].split(" ", 1)
        assert float(ahead) == pytest.approx(found - trees_alone, abs=6e-5)
        assert interval == quantiles(drawn - multilabel.resampled_auc(targets, odds, patients), signed=True)
    assert list(baselines.beside_trees(trees, records, {"student": networks["student"]}).index)[2:] == [
        "trees + student"
    ]
    with pytest.raises(EcglibError, match="as many runs of each"):
        baselines.beside_trees(trees, records, {"student": networks["student"], "resnet": networks["resnet"][:2]})
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
