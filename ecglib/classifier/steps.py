"""How far does R3's student come? The tables of `arms.recipe_arms`: steps, the goals, and what compression takes.

What is asked, and by which number it is judged, was written before the runs (EVIDENCE.md, "How far R3's student
comes"). Everywhere `runs` are one a seed, and `limit` says what of data and budget is not the report's, "" for nothing.
"""

from collections.abc import Mapping, Sequence
from dataclasses import replace

import numpy as np
import pandas as pd

from ecglib.classifier.arms import FINAL
from ecglib.classifier.claims import of_differences
from ecglib.classifier.deployed import Exported, change, over_patients
from ecglib.classifier.tables import VALIDATION, Runs, trained, values
from ecglib.classifier.tables import over_patients as of_runs
from ecglib.runs.grid import Arm
from ecglib.show.words import bounds, shown
from ecglib.stats.comparisons import counted, holm, limited, p_header, shown_p
from ecglib.stats.margins import FEW, above, reached
from ecglib.stats.metrics import LEVEL, Interval, mean_interval

NAMES = dict(zip(FINAL, ("student, six steps", "lead I, five steps"), strict=True))
BEFORE = dict(zip(FINAL, ("alone", "lead I"), strict=True))  # keys of the students that took no step
GOALS = dict(zip(FINAL, (0.90, 0.83), strict=True))  # macro-AUC on fold 10
AT_MOST = 0.01  # that cutting channels and INT8 may take of a macro-AUC


def beside_controls(arms: Mapping[str, Arm], students: Mapping[str, Arm]) -> dict[str, Arm]:
    """The arms in their order, and before the first one that has one of `students` as its control that control."""
    rows: dict[str, Arm] = {}
    for name, arm in arms.items():
        if arm.control in students:
            rows[arm.control] = students[arm.control]
        rows[name] = arm
    return rows


def results(arms: Mapping[str, Arm], runs: Runs) -> pd.DataFrame:
    """Every arm: how long it was trained, which epoch is tested, and its macro-AUC on folds 9 and 10.

    The mean on fold 9 is what chose the arm that goes on (`arms.FINAL`), which is marked.
    """
    rows = []
    for name, arm in arms.items():
        members = runs[name]
        rows.append(
            {
                "arm": arm.name + (" (goes on)" if name in FINAL else ""),
                "what is done": arm.text,
                "seeds": trained(members),
                "epochs": f"{np.mean([len(run.history) for run in members]):.0f}",
                "tested epoch": f"{values(members, metric='epoch').mean() + 1:.0f}",
                "fold 9, mean": f"{values(members, VALIDATION).mean():.4f}",
                "fold 10, 95 % over seeds": shown(mean_interval(values(members))),
                "over patients": bounds(of_runs(members)),
                "AP": f"{values(members, metric='ap').mean():.3f}",
            }
        )
    return pd.DataFrame(rows).set_index("arm")


def totals(arms: Mapping[str, Arm]) -> dict[str, Arm]:
    """The arms that go on, each with the student that took no step as its control."""
    return {name: replace(arms[name], name=NAMES[name], control=control) for name, control in BEFORE.items()}


def goals(whole: Mapping[str, Sequence[Exported]], small: Mapping[str, Sequence[Exported]], limit: str) -> pd.DataFrame:
    """Whether students reach their goals on fold 10, whole and in float, and cut and in INT8.

    Both map keys of `GOALS` to models, one a seed.
    """
    rows = []
    for name, goal in GOALS.items():
        for what, models, form in (("whole, float", whole[name], "float"), ("pruned, INT8", small[name], "int8")):
            over_seeds, others = mean_interval([one.auc(form) for one in models]), over_patients(models, form)
            rows.append(
                {
                    "student": NAMES[name],
                    "model": what,
                    "goal": f"{goal:.2f}",
                    "macro-AUC, 95 % over seeds": shown(over_seeds),
                    "over patients": bounds(others),
                    "seeds": str(len(models)),
                    "verdict": limited(reached(goal, over_seeds, others), limit),
                }
            )
    return pd.DataFrame(rows).set_index(["student", "model"])


def lost(whole: Mapping[str, Sequence[Exported]], small: Mapping[str, Sequence[Exported]], limit: str) -> pd.DataFrame:
    """Whether cut students in INT8 lose at most `AT_MOST` against the whole ones in float; see `goals`.

    A one-sided t test over seeds, corrected by Holm, and the interval over patients must both say so.
    """
    found = {name: of_differences(change(whole[name], small[name])) for name in GOALS}
    adjusted = holm([above(one.test.differences, -AT_MOST) for one in found.values()])
    rows = []
    for (name, one), p in zip(found.items(), adjusted, strict=True):
        rows.append(
            {
                "student": NAMES[name],
                "whole, float": f"{one.before:.4f}",
                "pruned, INT8": f"{one.after:.4f}",
                "difference, 95 % over seeds": shown(one.test.over_seeds, signed=True),
                "over patients": bounds(one.test.over_patients, signed=True),
                "seeds": one.trained.removeprefix("seeds: "),
                f"above -{AT_MOST}: {p_header(counted(adjusted))}": shown_p(float(p)),
                "verdict": limited(_at_most(float(p), one.test.over_patients), limit),
            }
        )
    return pd.DataFrame(rows).set_index("student")


def _at_most(adjusted_p: float, over_patients: Interval) -> str:
    if np.isnan(adjusted_p):
        return FEW
    if adjusted_p >= 1 - LEVEL:
        return "not shown"
    return f"at most {AT_MOST} lost" if over_patients.low > -AT_MOST else "on these patients; for others not shown"
