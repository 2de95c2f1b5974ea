"""R3's claims and its ledger: every number on the part of the data that R3's is of; verdicts in the right words.

Runs are made up and stored, so that what a table should say is known.
"""

import json
from types import SimpleNamespace

import matplotlib.pyplot as plt
import numpy as np
import pytest
import torch
from onnx import load, numpy_helper
from sklearn.metrics import roc_auc_score

from ecglib import reports
from ecglib.classifier import attempts, figures, networks, onnx, slips, tables, task
from ecglib.classifier.arms import R3_GAIN, student_arms
from ecglib.classifier.claims import (
    Claimed,
    change,
    change_of_answers,
    claims,
    equal,
    of_differences,
    p_value,
    published,
)
from ecglib.classifier.ledger import measured_r3
from ecglib.classifier.run import ClassifierRun
from ecglib.classifier.task import UNTRAINED, ClassifierConfig
from ecglib.classifier.training import Settings
from ecglib.core.config import digest_of
from ecglib.core.errors import EcglibError
from ecglib.data import ptbxl
from ecglib.data.ptbxl import SUPERCLASSES, Scaler
from ecglib.runs.formats import write_arrays
from ecglib.runs.grid import Arm
from ecglib.show import ledger
from ecglib.stats import metrics, multilabel

RECORDS = 120
# How well runs separate the classes on each part; no two alike, so that a number of a wrong part is found out.
VALIDATION, TEST, LAST = 2.0, 1.2, 0.7


def stored(folder, network="57K", seed=0, skill=0.0, **config):
    """A finished run whose logits are right by as much as the constants and `skill` say."""
    facts = {"network": network, "training": {"seed": seed, "epochs": 2, "batch_size": 32}, **config}
    folder = folder.with_name(f"{folder.name}-{digest_of(facts)}")
    folder.mkdir(parents=True)
    rng = np.random.default_rng(0)
    predictions = {}
    for part in ("validation", "test"):
        predictions[f"{part}_targets"] = (rng.random((RECORDS, 5)) < 0.3).astype(np.uint8)
        predictions[f"{part}_patients"] = np.arange(RECORDS, dtype=np.int32) // 2
    noise = np.random.default_rng(1000 + seed)
    for name, part, strength in (
        ("validation", "validation", VALIDATION),
        ("test", "test", TEST),
        ("test_last", "test", LAST),
    ):
        signal = (strength + skill) * predictions[f"{part}_targets"]
        predictions[f"{name}_logits"] = (signal + noise.normal(size=(RECORDS, 5))).astype(np.float16)
    write_arrays(folder / "predictions.npz", predictions)
    (folder / "config.json").write_text(json.dumps(facts))
    (folder / "env.json").write_text("{}")
    (folder / "metrics.json").write_text(json.dumps(task.evaluate(predictions, 0, 1)))
    (folder / "history.csv").write_text("epoch,auc\n0,0.49\n1,0.82\n")
    return ClassifierRun(folder)


def arm(folder, name, count=3, first=0, **config):
    return [stored(folder / f"{name}{seed}", seed=first + seed, **config) for seed in range(count)]


def auc(runs, part, rounded=False):
    way = multilabel.rounded_auc if rounded else (lambda found: found["auc"])
    return float(np.mean([way(run.metrics[part]) for run in runs]))


def test_a_claim_refuses_what_is_of_another_part_of_the_data(tmp_path):
    before, after = arm(tmp_path, "before"), arm(tmp_path, "after", skill=0.2)
    on_test, on_validation = change(before, after), change(before, after, "validation")
    Claimed(("r3.alone.auc", "r3.kd.auc"), None, on_test)
    Claimed(("r3.alone.validation", "r3.kd.validation"), None, on_validation)
    with pytest.raises(EcglibError, match=r"r3.kd.validation is a validation number, a change one of test"):
        Claimed(("r3.alone.validation", "r3.kd.validation"), None, on_test)
    with pytest.raises(EcglibError, match="not one change"):
        _ = Claimed(("r3.alone.auc", "r3.kd.validation"), None, on_test).report
    with pytest.raises(EcglibError, match="Nothing was measured"):
        Claimed(("r3.alone.auc", "r3.kd.auc"), None, None)


def test_a_change_has_the_numbers_of_its_part_and_says_how_many_trainings(tmp_path):
    teachers = arm(tmp_path, "teacher")
    before = arm(tmp_path, "before", 5, first=100)
    taught = [
        stored(tmp_path / f"taught{n}", seed=100 + n, skill=0.2, lesson={"teacher": teachers[n % 3].folder.name})
        for n in range(5)
    ]
    for part in ("validation", "test", "test_last"):
        found = change(before, taught, part)
        assert (found.before, found.after) == pytest.approx((auc(before, part), auc(taught, part)))
        assert found.over_seeds.value == pytest.approx(found.after - found.before)
        assert found.over_patients.low < found.over_seeds.value < found.over_patients.high
        assert (found.part, found.trained) == (part.removesuffix("_last"), "seeds: 5 (3 teachers)")
    # A teacher and whom it taught belong together; the other students of the same teachers find no partner.
    assert change(teachers, taught).trained == "seeds: 3"
    # Trainings with nothing in common are compared unpaired, all of them.
    apart = change(teachers, before)
    assert apart.trained == "unpaired, seeds: 3 and 5"
    assert apart.test.counts == (5, 3)
    # So are two networks whose seeds are alike: they share no weights.
    wider = [stored(tmp_path / f"wider{n}", seed=100 + n, network="1.5M") for n in range(5)]
    assert change(before, wider).trained == "unpaired, seeds: 5 and 5"
    other = [stored(tmp_path / "other", seed=50)]
    other[0].predictions["test_targets"] = 1 - other[0].predictions["test_targets"]
    with pytest.raises(EcglibError, match="saw other test records: compare one split"):
        change(teachers, other)
    assert apart.over_seeds.value == pytest.approx(auc(before, "test") - auc(teachers, "test"))
    assert apart.over_patients.low < apart.over_seeds.value < apart.over_patients.high


def measured(differences, patients=None, part="test", before=0.9):
    differences = np.asarray(differences)
    over_seeds = metrics.mean_interval(differences)
    others = metrics.Interval(over_seeds.value, *(patients or (over_seeds.value - 0.004, over_seeds.value + 0.004)))
    found = metrics.Change(before, before + over_seeds.value, over_seeds, others, differences)
    return of_differences(found, part)


def test_a_change_of_answers_is_after_minus_before_seed_by_seed_and_over_patients():
    rng = np.random.default_rng(0)
    targets, patients = (rng.random((120, 5)) < 0.3).astype(int), np.arange(120) // 2
    good, poor = ([clear * targets + rng.normal(size=targets.shape) for _ in range(3)] for clear in (3, 1))
    found = change_of_answers(targets, patients, good, poor)
    of_each = [
        roc_auc_score(targets, two, average="macro") - roc_auc_score(targets, one, average="macro")
        for one, two in zip(good, poor, strict=True)
    ]
    assert found.test.differences == pytest.approx(of_each)
    assert found.before > found.after
    drawn = [
        np.mean([multilabel.resampled_auc(targets, one, patients) for one in side], axis=0) for side in (good, poor)
    ]
    assert (found.over_patients.low, found.over_patients.high) == pytest.approx(
        tuple(np.quantile(drawn[1] - drawn[0], [0.025, 0.975]))
    )


def test_a_published_change_has_no_differences_to_be_judged():
    with pytest.raises(EcglibError, match="no paired differences"):
        of_differences(published("r3.alone.auc", "r3.kd.auc"))


def test_verdicts_are_of_one_family_and_say_what_these_runs_could_have_shown():
    """R3 claims +0.010 of KD on test records, no change on validation records."""
    gain, none = ("r3.alone.auc", "r3.kd.auc"), ("r3.alone.validation", "r3.kd.validation")
    clear, wide = [0.010, 0.011, 0.012, 0.010], [0.02, -0.02, 0.03, -0.01]
    near = [0.001, -0.001, 0.0005, 0.0]
    rows = {
        "gain": Claimed(gain, None, measured(clear)),
        "here": Claimed(gain, None, measured(clear, (-0.01, 0.03))),
        "excluded": Claimed(gain, None, measured(near)),
        "unclear": Claimed(gain, None, measured(wide)),
        "none": Claimed(none, None, measured(near, part="validation")),
        "coded": Claimed(gain, measured(clear), None),
        "two": Claimed(gain, None, measured([0.01, 0.02])),
    }
    table = claims(rows, limit="")
    assert table["verdict"].tolist() == [
        "report: gain; here: gain",
        "report: gain; here: gain on these patients; for others not shown",
        "report: gain; here: no difference shown: excludes the report's +0.0100",
        "report: gain; here: cannot tell: the report's +0.0100 is not excluded, nor is 0",
        "report: no change; here: no difference shown",
        "report: gain; here: gain, as coded",
        "report: gain; here: fewer than 3 seeds: no verdict",
    ]
    assert table["records"].tolist() == ["test"] * 4 + ["validation"] + ["test"] * 2
    p = [float(value) for value in table["p (Holm, 6 questions)"] if value != "-"]
    raw = [p_value(np.array(values)) for values in (clear, clear, near, wide, near, clear)]
    assert p == pytest.approx(metrics_holm(raw), rel=0.05)
    assert float(table.loc["excluded", "could have shown"]) < float(table.loc["unclear", "could have shown"])
    assert "inf" not in table.loc["two", "corrected"]
    assert all(text.endswith(" (at this budget)") for text in claims(rows, limit="at this budget")["verdict"])


def metrics_holm(p_values):
    """Holm's adjustment, from its definition."""
    order = np.argsort(p_values, kind="stable")
    adjusted, highest = np.empty(len(p_values)), 0.0
    for rank, position in enumerate(order):
        highest = max(highest, min(1.0, (len(p_values) - rank) * p_values[position]))
        adjusted[position] = highest
    return adjusted


def test_equality_is_asked_with_a_margin_of_pairs_alone(tmp_path):
    near = [0.0002, -0.0001, 0.0001, 0.0]
    found = {
        "claim": Claimed(
            ("r3.alone.validation", "r3.kd.validation"), None, measured(near, (-0.002, 0.002), "validation")
        ),
        "INT8 = float": measured(near, (-0.002, 0.002)),
        "pruned = whole": measured([-0.01, -0.012, -0.011, -0.01]),
    }
    table = equal(found, limit="at this budget")
    assert table["within 0.005"].tolist() == ["equal (at this budget)"] * 2 + ["not shown (at this budget)"]
    assert "within 0.0025: p (Holm, 3 questions)" in table.columns
    assert table["records"].tolist() == ["validation", "test", "test"]
    assert table["seeds"].tolist() == ["4"] * 3
    apart = change(arm(tmp_path, "one"), arm(tmp_path, "other", first=50))
    with pytest.raises(EcglibError, match="not paired"):
        equal({"apart": apart})


def test_differences_are_one_family_and_know_what_r3_claims(tmp_path):
    runs = {
        "alone": arm(tmp_path, "alone"),
        "kd": [stored(tmp_path / f"kd{seed}", seed=seed, skill=(0.3, -0.3, 0.05)[seed]) for seed in range(3)],
        "raw": arm(tmp_path, "raw", skill=-1),
    }
    config = ClassifierConfig("data", Settings(seed=0))
    arms = {
        "alone": Arm("student alone", "", [config] * 3),
        "kd": Arm("KD", "", [config] * 3, "alone", R3_GAIN),
        "raw": Arm("raw", "", [config] * 3, "alone"),
    }
    table = tables.differences(arms, runs, limit="at this budget")
    compared = tables.comparisons(arms, runs)
    expected = metrics_holm([compared[name].p for name in ("kd", "raw")])
    assert table["p (Holm, 2 questions)"].astype(float).tolist() == pytest.approx(expected, rel=0.05)
    assert "the report's +0.0100" in table.loc["KD", "verdict"]
    assert "the report's" not in table.loc["raw", "verdict"]
    assert table["verdict"].str.endswith("(at this budget)").all()
    assert float(table.loc["KD", "could have shown"]) == pytest.approx(compared["kd"].detectable(2), abs=1e-4)


def test_every_arm_that_teaches_by_softmax_or_corrected_knows_r3s_claim():
    base = ClassifierConfig("data", Settings(seed=0))
    arms = student_arms(base, "teacher", 5, 3)
    claimed = {name for name, one in arms.items() if one.claim == R3_GAIN}
    assert claimed == {"R3 kd", "untrained", "written", "kd"}
    assert tables.claimed_difference(R3_GAIN) == pytest.approx(0.01)
    assert not [one.name for one in arms.values() if "written" in one.name], "R3's text gives no formula for KD"


def test_networks_are_judged_on_r3s_validation_records(tmp_path):
    runs = {
        "R3 plain": arm(tmp_path, "plain"),
        "R3 inception": arm(tmp_path, "inception", first=10, skill=-1),
        "R3 teacher": arm(tmp_path, "teacher", first=20),
        "R3 57K": arm(tmp_path, "57K", first=30, skill=-1),
        "57K": arm(tmp_path, "own", first=40),
    }
    table = tables.network_claims(runs, limit="at this budget")
    assert list(table.index) == [("plain", "inception"), ("57K", "teacher")]
    difference = auc(runs["R3 57K"], "validation") - auc(runs["R3 teacher"], "validation")
    found = table.loc[("57K", "teacher")]
    assert found["as coded, validation"].startswith(f"{difference:+.3f}")
    assert found["report, validation"] == "-0.024"
    assert found["verdict"] == "worse (at this budget)"
    ladder = tables.ladder(runs)
    assert ladder.loc["57K", "as coded, validation, rounded"].startswith(
        f"{auc(runs['R3 57K'], 'validation', True):.3f}"
    )
    assert ladder.loc["57K", "own folds, validation"].startswith(f"{auc(runs['57K'], 'validation'):.3f}")
    assert ladder.loc["57K", "own folds, test"].startswith(f"{auc(runs['57K'], 'test'):.3f}")


def test_r3s_curve_stands_beside_numbers_of_the_same_part_alone(tmp_path):
    runs = {"57K": arm(tmp_path, "57K"), "124K": arm(tmp_path, "124K", network="124K")}
    figure = figures.parameter_curve({"validation": runs, "test": runs}, published=True)
    for axis, part in zip(figure.axes, ("validation", "test"), strict=True):
        assert axis.get_title() == f"{part} records"
        lines = {line.get_label(): line for line in axis.lines}
        joined = lines["here, table 2: mean, a point a seed"].get_ydata()
        assert list(joined) == pytest.approx([auc(runs["57K"], part), auc(runs["124K"], part)])
        assert any(label.startswith("R3") for label in lines) == (part == reports.CLAIMS["r3.ladder.57K"].part)
    plt.close(figure)


@pytest.fixture
def everything(tmp_path):
    """What a page of R3's own networks has."""
    lesson = {"teacher": UNTRAINED, "temperature": 1.0}
    runs = {name: arm(tmp_path, name, first=n) for n, name in enumerate(("R3 614K", "R3 57K", "57K", "alone", "kd"))}
    return runs | {
        "R3 alone": arm(tmp_path, "R3 alone", first=20),
        "R3 kd": arm(tmp_path, "R3 kd", first=20, lesson=lesson),
    }


def test_every_number_of_r3_is_in_the_ledger_on_its_own_part(everything, simulated_root):
    index, attempts = ptbxl.load_index(simulated_root), {"r3.pruned.auc": metrics.OverSeeds(85.0, 84.0, 86.0, 3)}
    attempts |= {"r3.quantised.auc": attempts["r3.pruned.auc"], "r3.pruned.amount": 0.2}
    found, corrected, reasons = measured_r3(index, everything, "student", attempts)
    keys = {key for key, claim in reports.CLAIMS.items() if claim.report == "R3"}
    assert set(found) | set(reasons) == keys
    for key, arm_name in (
        ("r3.kd.auc", "kd"),
        ("r3.kd.validation", "kd"),
        ("r3.student.auc", "kd"),
        ("r3.ladder.57K", "57K"),
    ):
        part = reports.CLAIMS[key].part
        coded = auc(everything[f"R3 {arm_name}"], "test_last" if part == "test" else part, rounded=True)
        assert found[key].value == pytest.approx(100 * coded), key
        assert corrected[key].value == pytest.approx(auc(everything[arm_name], part)), key
    assert found["r3.repository.auc"].value == pytest.approx(
        100 * auc(everything["R3 614K"], "test_last", rounded=True)
    )
    assert found["r3.float.auc"].value == pytest.approx(100 * auc(everything["R3 614K"], "validation", rounded=True))
    for name in ("teacher", "student", "plain", "inception", "repository"):
        assert found[f"r3.{name}.parameters"] == reports.value(f"r3.{name}.parameters")
    for name in (
        "plain.mb",
        *(f"{who}.{what}" for who in ("teacher", "student") for what in ("mb", "passes", "total")),
    ):
        assert found[f"r3.{name}"] == pytest.approx(reports.value(f"r3.{name}"), abs=0.01), name
    assert (found["r3.alpha"], found["r3.temperature"], found["r3.epochs"]) == (0.7, 1.0, 2)
    table = ledger.judged_ledger("R3", found, corrected, reasons, limit="at this budget")
    assert table.loc["macro-AUC of the student with KD, test", "records"] == "test"
    assert table.loc["macro-AUC of the student with KD, validation", "records"] == "validation"
    assert table.loc["macro-AUC of the student with KD, test", "verdict"] == "not comparable: at this budget"
    assert table.loc["training at most", "verdict"] == "differs"
    assert ((table["measured"] == "-") == (table["why not"] != "")).all()
    high = dict(found, **{"r3.kd.auc": metrics.OverSeeds(50.0, 49.0, 51.0, 3)})
    table = ledger.judged_ledger("R3", high, corrected, reasons, limit="")
    assert table.loc["macro-AUC of the student with KD, test", "verdict"] == "lower than reported", "as coded is judged"


def test_another_student_or_an_index_without_ages_leaves_a_reason(everything, simulated_root):
    index = ptbxl.load_index(simulated_root)
    ages = {"r3.age.median", "r3.age.max", "r3.age.iqr"}
    found, _, reasons = measured_r3(index.assign(age=50.0), everything, "57K", {})
    assert ages <= set(found)
    assert {"r3.student.auc", "r3.alone.auc", "r3.kd.auc", "r3.kd.validation", "r3.teacher.auc"} <= set(reasons)
    partly = index.assign(age=np.where(np.arange(len(index)) % 2, 50.0, np.nan))
    assert ages <= set(measured_r3(partly, everything, "57K", {})[2])


def test_contradictions_of_r3_name_where_each_side_stands():
    table = ledger.contradictions("R3")
    assert len(table) == 11
    text = " ".join(table["one"] + " " + table["other"])
    for stated in ("48.99", "48.933", "570K", "530K", "0.5 to 1.0 million", "label counts", "figure 19-3"):
        assert stated in text, stated


@pytest.fixture(scope="module")
def tried(simulated_root):
    """Every attempt at quantisation of a small untrained network that tells records apart, on simulated records."""
    records = ptbxl.load_records(simulated_root)
    config = ClassifierConfig(
        records.fingerprint, Settings(seed=0), network="57K", split="report", fold=4, standardised=False
    )
    torch.manual_seed(3)
    network = networks.build("57K", 12).eval()
    validation = config.choose(records).validation
    run = SimpleNamespace(
        model=lambda: network,
        leads=list(range(12)),
        scaler=Scaler.none(12),
        network="57K",
        folder=SimpleNamespace(name="x"),
    )
    trained = SimpleNamespace(predictions={"validation_logits": np.zeros((len(validation), 5), np.float32)})
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(attempts, "CALIBRATION", 8)
        return attempts.attempts(config, run, trained, records, 0.2), records.targets[validation]


def test_what_r3_did_leaves_the_logits_and_ranges_of_other_records_do_not(tried):
    """The more a calibration record differs from what is classified, the less of the logits' spread is left."""
    answers, _ = tried
    spread = {name: float(logits.std(axis=0).mean()) for name, logits in answers.items()}
    for name in (attempts.DYNAMIC, attempts.SOUND, attempts.MASKED):
        assert spread[name] == pytest.approx(spread[attempts.FLOAT], rel=0.3), name
    error = {name: float(np.abs(logits - answers[attempts.FLOAT]).mean()) for name, logits in answers.items()}
    sound, bad, worse = (error[getattr(attempts, name)] for name in ("SOUND", "BAD", "WORSE"))
    assert sound < bad < worse
    assert spread[attempts.UNIT] < 0.5 * spread[attempts.FLOAT]
    assert not np.array_equal(answers[attempts.FRESH], answers[attempts.FLOAT])


def test_the_table_of_attempts_has_every_one_with_its_range(tried):
    answers, targets = tried
    table = attempts.results([answers] * 3, targets)
    assert list(table.index) == list(attempts.TEXTS)
    expected = multilabel.class_metrics(targets, answers[attempts.FLOAT], SUPERCLASSES)["auc"]
    assert table.loc[attempts.FLOAT, "lowest seed"] == f"{expected:.3f}"
    low, high = (getattr(answers[attempts.FLOAT], end)() for end in ("min", "max"))
    assert table.loc[attempts.FLOAT, "logits"] == f"{low:.1f} to {high:.1f}"


def test_epochs_of_a_training_are_shown_one_by_one(tmp_path):
    table = attempts.epochs(arm(tmp_path, "plain", 2), arm(tmp_path, "trained", 2, fake_quantised=True))
    assert table["epoch 1"].tolist() == ["0.490"] * 4
    assert table["epoch 2"].tolist() == ["0.820"] * 4


def test_an_artefact_is_in_the_middle_of_one_record_alone():
    records = np.zeros((3, 12, 1000), np.float32)
    found = attempts.with_artefact(records[:1], 300.0)
    assert (found != 0).sum() == 12 * 50
    assert found.max() == 300
    assert not records.any(), "the original is left alone"


def test_wrong_pairs_and_wrong_columns_together_leave_less_than_either():
    rng = np.random.default_rng(0)
    targets = (rng.random((400, 5)) < [0.5, 0.3, 0.3, 0.3, 0.1]).astype(int)
    scores = targets + rng.normal(scale=0.5, size=targets.shape)
    both = slips.auc_of_both(targets, scores, 0.6, draws=3)
    assert len(both) == 3 * 119
    assert abs(both.mean() - 0.5) < abs(slips.auc_in_other_orders(targets, scores).mean() - 0.5)
    assert both.mean() < slips.auc_mispaired(targets, scores, 0.6, draws=3).mean()


def test_int8_of_everything_is_cruder_than_the_sound_recipe(tmp_path):
    """One scale a layer: a channel with weights a hundred times as large leaves the others no steps."""
    torch.manual_seed(0)
    network = networks.build("57K", 12).eval()
    with torch.no_grad():
        network.blocks[0][0].weight[0] *= 200
    onnx.export(network, Scaler.none(12), onnx.Contract(ptbxl.LEADS), tmp_path / "float.onnx")
    x = np.random.default_rng(0).normal(size=(8, 12, 1000)).astype(np.float32)
    exact = onnx.run(onnx.open_model(tmp_path / "float.onnx"), x)
    lost, steps = {}, {}
    for whole in (False, True):
        onnx.quantise(tmp_path / "float.onnx", tmp_path / "int8.onnx", x, whole)
        lost[whole] = float(np.abs(onnx.run(onnx.open_model(tmp_path / "int8.onnx"), x) - exact).mean())
        stored = [numpy_helper.to_array(one) for one in load(tmp_path / "int8.onnx").graph.initializer]
        (first,) = (one for one in stored if one.dtype == np.int8 and one.shape[1:2] == (12,))
        steps[whole] = int(np.abs(first[1:].astype(int)).max())  # of the channels that are not large
    assert steps[False] >= 60 and steps[True] <= 1
    assert lost[True] > lost[False]  # by how much depends on the processor's products of 8 bits
