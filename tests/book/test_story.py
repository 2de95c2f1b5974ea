"""The first screen of the README and the table of the best: their numbers are those of the tables."""

import csv
import re
import shutil
from itertools import combinations
from pathlib import Path

import matplotlib.pyplot as plt
import numpy as np
import pytest

from ecglib import reports
from ecglib.book import best, readme, story
from ecglib.core.errors import EcglibError
from ecglib.core.profiles import PROFILES
from ecglib.show import style
from ecglib.show.study import EVIDENCE

ROOT = Path(__file__).parents[2]
RESULTS = ROOT / "papermill_runs" / "desk" / "results"


@pytest.fixture
def results(tmp_path):
    """A copy of the committed tables, to be changed."""
    return Path(shutil.copytree(RESULTS, tmp_path / "results"))


def change(results, table, key, column, value):
    """Set a cell of the row whose first column is `key`."""
    path = results / f"{table}.csv"
    rows = list(csv.reader(path.read_text("utf-8").splitlines()))
    for row in rows[1:]:
        if row[0] == key:
            row[rows[0].index(column)] = value
    with path.open("w", encoding="utf-8", newline="") as file:
        csv.writer(file).writerows(rows)


def test_both_languages_have_six_claims_of_three_columns_with_the_same_numbers():
    found = {}
    for language in story.LANGUAGES:
        lines = story.first_screen(RESULTS, language).splitlines()
        rows = [line for line in lines if line.startswith("|")]
        assert len(rows) == 2 + 6
        assert {row.count("|") for row in rows} == {4}
        found[language] = [sorted(re.findall(r"\d+\.\d+", row)) for row in rows]
    assert found["en"] == found["ko"]


@pytest.mark.parametrize(
    ("table", "key", "column", "value", "shown"),
    [
        (
            "03_gains",
            "student with KD",
            "corrected, averaged weights: student - control",
            "+0.1234 [+0.1000, +0.1500]",
            "+0.123 [+0.100",
        ),
        ("03_gains", "student with KD", "verdict on the corrected", "report: gain; here: a gain", "a gain"),
        (
            "03_protocol",
            "new patients: trained on DS1, tested on DS2",
            "value, 95 % over seeds",
            "0.7777 [0.7000, 0.8000]",
            "0.778 [0.700, 0.800]",
        ),
        (
            "05_claims",
            "float -> quantised",
            "corrected",
            "0.9 -> 0.8 (-0.100, [-0.200, -0.050] over seeds, seeds: 3)",
            "-0.100 [-0.200, -0.050]",
        ),
        ("05_equivalence", "teacher -> student with KD", "within 0.0025", "equal", "0.0025"),
    ],
)
def test_a_changed_table_changes_both_languages(results, table, key, column, value, shown):
    change(results, table, key, column, value)
    english, korean = (story.first_screen(results, language) for language in story.LANGUAGES)
    assert shown in english
    assert {"a gain": "이득"}.get(shown, shown) in korean


def test_a_verdict_without_words_a_missing_row_and_a_missing_table_are_named(results):
    change(results, "03_gains", "student with KD", "verdict on the corrected", "report: gain; here: who knows")
    with pytest.raises(EcglibError, match="no words for the verdict"):
        story.first_screen(results, "en")
    change(results, "03_gains", "student with KD", "AUC of", "another student")
    with pytest.raises(EcglibError, match="has 0 rows"):
        story.first_screen(results, "en")
    (results / "03_gains.csv").unlink()
    with pytest.raises(EcglibError, match="ecglib run --profile"):
        story.first_screen(results, "en")


def test_a_gain_is_said_with_what_limits_it(results):
    said = "report: gain; here: a gain on these patients; for others not shown (at this budget)"
    change(results, "03_gains", "student with KD", "verdict on the corrected", said)
    assert "a gain, not shown for other patients (at this budget)" in story.first_screen(results, "en")
    assert "이득, 다른 환자에서는 확인되지 않음" in story.first_screen(results, "ko")
    change(results, "03_gains", "student with KD", "verdict on the corrected", "here: a gain (at this budget)")
    assert "seeds: a gain (at this budget)" in story.first_screen(results, "en")


def test_nothing_that_limits_a_verdict_is_lost(results):
    said = "report: gain; here: cannot tell: the report's +0.0092 is not excluded, nor is 0 after Holm's correction"
    limits = "(at this budget, on a part of the records)"
    change(results, "03_gains", "student with KD", "verdict on the corrected", f"{said} {limits}")
    english, korean = (story.first_screen(results, language) for language in story.LANGUAGES)
    assert f"is excluded after Holm's correction {limits} |" in english
    assert "배제되지 않음 (Holm 보정 후) (이 학습량에서, 레코드 일부에서) |" in korean
    none = "report: gain; here: no difference shown after Holm's correction: excludes the report's +0.0092"
    change(results, "03_gains", "student with KD", "verdict on the corrected", f"{none} (at this budget)")
    english, korean = (story.first_screen(results, language) for language in story.LANGUAGES)
    assert "no difference shown after Holm's correction; the report's value is excluded (at this budget) |" in english
    assert "Holm 보정 후 차이가 확인되지 않고, 보고서의 값은 배제됨 (이 학습량에서) |" in korean
    change(results, "03_gains", "student with KD", "verdict on the corrected", f"{said} (on Mondays)")
    with pytest.raises(EcglibError, match="no words for the verdict"):
        story.first_screen(results, "en")


def test_the_caption_of_the_picture_counts_its_pairs():
    row = story.row_of(RESULTS, "03_reruns", **{"epoch chosen": "as coded"})
    aucs = [float(one) for one in row["AUC of each run"].split()]
    gain = reports.value("r1.student.auc") - reports.value("r1.teacher.auc")
    worst = int(np.argmax(np.abs(np.subtract(aucs, np.median(aucs)))))

    def counted(values):
        pairs = [abs(one - other) >= gain for one, other in combinations(values, 2)]
        return sum(pairs), len(pairs)

    all_pairs, without = counted(aucs), counted([auc for n, auc in enumerate(aucs) if n != worst])
    english, korean = (" ".join((ROOT / page).read_text("utf-8").split()) for page in readme.HOME)
    assert f"{all_pairs[0]} of {all_pairs[1]} pairs lie at least as far apart" in english
    assert f"of the other {without[1]} pairs {without[0]} do" in english
    assert f"{all_pairs[1]}쌍 가운데 {all_pairs[0]}쌍에서" in korean
    assert f"나머지 {without[1]}쌍 가운데서는 {without[0]}쌍이" in korean


def test_what_is_said_beyond_the_claims_is_shown(results):
    change(results, "05_steps", "+ committee (goes on)", "macro-AUC, fold 10, 95 % over seeds", "0.7771 [0.7, 0.8]")
    change(results, "05_steps_compressed", "12 leads, six steps, pruned, INT8", "file (kB)", "77")
    change(results, "05_steps_goals", "12 leads, six steps", "verdict", "missed (on a part of the records)")
    english, korean = (story.first_screen(results, language) for language in story.LANGUAGES)
    assert "to 0.777, +" in english and "0.90 is missed" in english and "77 kB" in english
    assert "0.777까지" in korean and "0.90은 미달" in korean and "77 kB" in korean
    change(
        results, "05_steps_total", "12 leads, six steps", "verdict", "better on these patients; for others not shown"
    )
    with pytest.raises(EcglibError, match="is not shown to be better"):
        story.first_screen(results, "en")


def test_verdicts_that_differ_do_not_share_a_line(results):
    change(results, "04_scenarios", "scenario 2", "verdict", "higher than reported")
    with pytest.raises(EcglibError, match="differ"):
        story.first_screen(results, "en")


def test_the_picture_has_a_dot_for_every_pair_of_runs():
    figure = story.picture(RESULTS)
    rows = csv.DictReader((RESULTS / "03_reruns.csv").read_text("utf-8").splitlines())
    (row,) = (row for row in rows if row["epoch chosen"] == "as coded")
    aucs = [float(one) for one in row["AUC of each run"].split()]
    assert len(aucs) == int(row["runs"])
    dots = figure.axes[0].collections[0].get_offsets()
    assert len(dots) == len(list(combinations(aucs, 2))) == int(row["pairs"])
    assert len({tuple(dot) for dot in dots.tolist()}) == len(dots), "no dot hides another"


def test_the_committed_picture_is_the_one_that_the_tables_give(tmp_path):
    style.use_style()
    style.save(story.picture(RESULTS), tmp_path / "story.png")
    drawn, committed = (plt.imread(path)[..., :3] for path in (tmp_path / "story.png", ROOT / story.PICTURE))
    assert drawn.shape == committed.shape, "stale: run 'ecglib readme'"
    # Fonts may differ by a shade between versions of Matplotlib; a dot that moved differs in whole pixels.
    assert (np.abs(drawn - committed) > 0.5).mean() < 0.001, "stale: run 'ecglib readme'"


@pytest.mark.parametrize(
    ("table", "key", "column", "value", "shown"),
    [
        ("04_detectors", "all four", "AUC, 95 % over seeds", "0.1234 [0.1000, 0.1500]", "0.123 [0.100, 0.150], over"),
        ("04_own_record", "three questions", "S", "0.777", "S 0.777"),
        (
            "05_steps",
            "resnet1d_wang, four steps",
            "macro-AUC, fold 10, 95 % over seeds",
            "0.1110 [0.1, 0.12]",
            "0.111 [0.100",
        ),
        ("05_steps_compressed", "12 leads, six steps, pruned, INT8", "file (kB)", "99", "| 99 kB"),
    ],
)
def test_the_best_on_each_task_is_read_from_the_tables(results, table, key, column, value, shown):
    assert shown not in best.leaderboard(results)
    change(results, table, key, column, value)
    rows = best.leaderboard(results).splitlines()
    assert shown in "\n".join(rows)
    assert {row.count("|") for row in rows} == {6}


def test_where_all_beats_are_used_the_best_says_how_many(results):
    assert PROFILES[EVIDENCE]["04_simclr"]["train_beats"] == 0
    assert f" epochs on {reports.value('r1.train_beats'):,} beats" in best.leaderboard(results)


def test_the_best_needs_its_rows(results):
    change(results, "05_steps", "resnet1d_wang, four steps", "arm", "another")
    with pytest.raises(EcglibError, match="0 rows with"):
        best.leaderboard(results)


def test_numbers_that_are_not_shown_to_be_equal_need_other_words(results):
    change(results, "05_equivalence", "teacher -> student with KD", "within 0.005", "equal (on a part of the records)")
    assert "equal within 0.005" in story.first_screen(results, "en")
    on_these = "equal on these patients; for others not shown (on a part of the records)"
    change(results, "05_equivalence", "teacher -> student with KD", "within 0.005", on_these)
    english, korean = (story.first_screen(results, language) for language in story.LANGUAGES)
    assert "equal within 0.01; within 0.005, the margin that was set, on these patients alone" in english
    assert "0.005 이내로 같다는 것은 이 환자들에서만 확인됨" in korean
    change(results, "05_equivalence", "teacher -> student with KD", "within 0.005", "not shown")
    assert "equal within 0.01; within 0.005, the margin that was set, not shown" in story.first_screen(results, "en")
    change(results, "05_equivalence", "teacher -> student with KD", "within 0.01", "not shown")
    with pytest.raises(EcglibError, match="is shown to be equal"):
        story.first_screen(results, "en")
