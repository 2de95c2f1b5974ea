"""What notebooks show: tables with verdicts and captions, figures that are saved once, published numbers."""

from types import SimpleNamespace

import matplotlib.pyplot as plt
import numpy as np
import pandas as pd
import pytest
import torch
from scipy import stats

from ecglib import reports
from ecglib.beatgan import figures
from ecglib.beatgan import tables as beatgan_tables
from ecglib.beatgan.training import Settings, new_state
from ecglib.core.errors import EcglibError
from ecglib.data import mitbih
from ecglib.data.split import Split
from ecglib.databases import tables as databases_tables
from ecglib.show import ledger, style
from ecglib.show.study import Study


def run(seed, auc, classes=("S", "V")):
    """A finished run as `tables` sees one."""
    one = {"auc": auc, "ap": auc - 0.05, "f1": 0.7, "f1_threshold_on_test": 0.75, "epoch": 3}
    one |= {
        f"{metric}_{end}_{unit}": auc
        for metric in ("auc", "ap")
        for end in ("low", "high")
        for unit in ("beats", "patients")
    }
    one |= {f"auc_{name}": auc for name in classes}
    rules = ("as_coded", "corrected", "late", "averaged")
    return SimpleNamespace(metrics=dict.fromkeys(rules, one), config={"training": {"seed": seed}})


def test_a_table_states_report_measured_difference_seeds_interval_and_verdict():
    row = beatgan_tables.teacher_results([run(0, 0.93), run(1, 0.94), run(2, 0.935)], limit="").loc[
        ("AUC", "corrected")
    ]
    assert row["report (1 run)"] == "0.9372"
    assert row["measured"] == "0.9350"
    assert row["difference"] == "-0.0022"
    assert row["seeds"] == 3
    assert row["verdict"].startswith("reproduced")
    assert row["95 % over seeds"] == "[0.9226, 0.9474]"  # 0.935 +- 4.303 * 0.005 / sqrt(3)


def test_one_training_strays_further_than_the_mean_of_several():
    """The report has 0.9372; a further training reaches t * s * sqrt(1 + 1 / n) from the mean."""
    aucs = (0.9440, 0.9460, 0.9480, 0.9500, 0.9520)
    reach = stats.t.ppf(0.975, 4) * np.std(aucs, ddof=1) * np.sqrt(1 + 1 / 5)
    assert 0.9480 - reach == pytest.approx(0.9384, abs=1e-4)
    for shift, expected in ((0, "higher"), (-0.0016, "reproduced")):
        runs = [run(seed, auc + shift) for seed, auc in enumerate(aucs)]
        assert beatgan_tables.teacher_results(runs, "").loc[("AUC", "corrected"), "verdict"].startswith(expected)


@pytest.mark.parametrize(("aucs", "verdict"), [((0.960, 0.961, 0.962), "higher"), ((0.90, 0.901, 0.902), "lower")])
def test_verdicts_outside_the_interval(aucs, verdict):
    runs = [run(seed, auc) for seed, auc in enumerate(aucs)]
    assert beatgan_tables.teacher_results(runs, limit="").loc[("AUC", "corrected"), "verdict"].startswith(verdict)
    assert (
        "not comparable"
        in beatgan_tables.teacher_results(runs, limit="at this budget").loc[("AUC", "corrected"), "verdict"]
    )


def test_one_seed_has_no_interval_and_no_interval_leaves_0_to_1():
    assert beatgan_tables.teacher_results([run(0, 0.9)], "")["95 % over seeds"].iloc[0] == "needs 3 seeds"
    wide = beatgan_tables.teacher_results([run(0, 0.2), run(1, 0.9), run(2, 0.5)], "")["95 % over seeds"].iloc[0]
    assert wide == "[0.0000, 1.0000]"


def test_one_seed_gives_no_verdict():
    assert (
        beatgan_tables.teacher_results([run(0, 0.5)], "").loc[("AUC", "corrected"), "verdict"]
        == "fewer than 3 seeds: no verdict"
    )


def test_classes_stand_in_their_usual_order():
    frame = beatgan_tables.per_class([run(0, 0.9, ("V", "Q", "S"))], {"S": 5, "V": 6, "Q": 7}.get)
    assert frame.index.tolist() == ["S", "V", "Q"]
    assert frame["test beats"].tolist() == [5, 6, 7]


def test_every_table_of_trainings_says_on_how_many_seeds():
    runs = [run(seed, 0.9 + seed / 100) for seed in range(4)]
    for table in (
        beatgan_tables.teacher_results(runs, ""),
        beatgan_tables.f1_results(runs),
        beatgan_tables.per_class(runs, {}.get),
    ):
        assert (table["seeds"] == 4).all()


def test_the_leak_is_counted_by_patient():
    records = np.array(["100", "100", "201", "202"])
    labels = np.array(["N", "V", "N", "V"])
    beats = mitbih.Beats(
        np.zeros((4, 2, 320)), labels, labels, records, np.arange(4), np.ones(4, bool), np.ones((4, 2)), np.ones((4, 2))
    )
    split = Split(np.array([0, 2]), np.array([], dtype=int), np.array([1, 3]))
    assert databases_tables.shared_patients(beats, split) == 2, "100 with itself, 201 with 202: the same man"
    assert databases_tables.class_counts(beats, split).loc["test"].to_dict() == {
        "N": 0,
        "S": 0,
        "V": 2,
        "F": 0,
        "Q": 0,
        "all": 2,
    }


def test_published_numbers():
    assert reports.value("r1.beats") == 97_568
    assert reports.value("r1.student.auc") - reports.value("r1.teacher.auc") == pytest.approx(0.009181)
    assert all(claim.report and claim.where and claim.text for claim in reports.CLAIMS.values())
    with pytest.raises(EcglibError, match=r"r1\.nothing"):
        reports.value("r1.nothing")
    frame = ledger.against_report({"r1.beats": 97_000})
    assert frame["difference"].tolist() == [-568]


def test_a_table_is_saved_and_says_when_it_is_simulated(tmp_path, monkeypatch):
    monkeypatch.setenv("ECGLIB_OUTPUT", str(tmp_path))
    study = Study("smoke")
    html = study.table(pd.DataFrame({"beats": [97568], "auc": [0.93724]}, index=["R1"]), "some").to_html()
    assert "simulated records: not comparable with the reports" in html
    assert "97,568" in html
    assert "0.94" in html
    saved = tmp_path / "papermill_runs" / "smoke" / "results" / "some.csv"
    assert saved.read_text() == ",beats,auc\nR1,97568,0.93724\n"
    assert "simulated" not in Study("quick").banner


def test_an_unknown_profile_is_refused():
    with pytest.raises(EcglibError, match="no profile 'quik': choose one of smoke, quick, desk, paper"):
        Study("quik")


def test_the_real_profiles_never_fall_back_to_simulated_records(tmp_path, monkeypatch):
    monkeypatch.setenv("ECGLIB_DATA", str(tmp_path))
    with pytest.raises(EcglibError, match="No database in"):
        _ = Study("quick").root


def test_pair_figures_are_drawn_after_each_epoch_and_closed(tmp_path):
    state = new_state(Settings(seed=0), 1, torch.device("cpu"))
    loop = SimpleNamespace(parts=vars(state), history=[{}, {}, {}])
    before = plt.get_fignums()
    figures.pair_figures(tmp_path, torch.zeros(2, 1, 320), ["N", "V"])(loop)
    assert [path.name for path in tmp_path.iterdir()] == ["epoch_002.png"]
    assert state.generator.training
    assert plt.get_fignums() == before


def test_the_same_figure_gives_the_same_bytes(tmp_path):
    x = np.random.default_rng(0).uniform(-1, 1, (2, 320))
    for name in ("a.png", "b.png"):
        style.save(figures.heat_strips(x, x * 0.9, ["N", "V"]), tmp_path / name)
    assert (tmp_path / "a.png").read_bytes() == (tmp_path / "b.png").read_bytes()


def test_a_conclusion_says_whose_numbers_it_speaks_of(monkeypatch):
    smoke, quick, desk = (Study(profile).conclusion("03_kd_student").data for profile in ("smoke", "quick", "desk"))
    assert "simulated records" in smoke and "(../papermill_runs/desk/03_kd_student.ipynb)" in smoke
    monkeypatch.setenv("ECGLIB_DRIVER", "1")  # the same notebook, run by the driver into papermill_runs/smoke
    assert "(../desk/03_kd_student.ipynb)" in Study("smoke").conclusion("03_kd_student").data
    assert "profile `quick`" in quick and "(../desk/03_kd_student.ipynb)" in quick
    assert "this page's numbers" in desk and "](" not in desk
