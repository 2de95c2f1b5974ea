"""How good can R3's student become? The tables of `arms.recipe_arms`: steps, goals, and what compression takes.

The questions about single steps, their number and the goals were written before the runs; how goals and losses are
judged, and the totals, while they ran (EVIDENCE.md, "How far R3's student comes"). Everywhere `runs` and models are one
a seed, and `limit` says what of data and budget is not the report's, "" for nothing.
"""

from collections.abc import Mapping, Sequence
from dataclasses import replace

import numpy as np
import pandas as pd

from ecglib.classifier import deployed, tables
from ecglib.classifier.arms import FINAL
from ecglib.classifier.claims import of_differences
from ecglib.classifier.deployed import Exported
from ecglib.classifier.tables import VALIDATION, Runs, values
from ecglib.runs.grid import Arm
from ecglib.show.words import bounds, shown
from ecglib.stats import margins
from ecglib.stats.comparisons import counted, holm, limited, p_header, shown_p
from ecglib.stats.metrics import mean_interval

# Key of an arm that goes on (`arms.FINAL`) -> ...
NAMES = {"committee": "12 leads, six steps", "lead I steps": "lead I, five steps"}
CONTROLS = {"committee": "alone", "lead I steps": "lead I"}  # ... the key of the student that took no step
GOALS = {"committee": 0.90, "lead I steps": 0.83}  # ... the macro-AUC on fold 10 that it is to reach
AT_MOST = 0.01  # that cutting channels and INT8 may take of it


def beside_controls(arms: Mapping[str, Arm], students: Mapping[str, Arm]) -> dict[str, Arm]:
    """`arms` in their order; a control that is among `students` stands before the first arm compared with it."""
    rows: dict[str, Arm] = {}
    for name, arm in arms.items():
        if arm.control in students:
            rows[arm.control] = students[arm.control]
        rows[name] = arm
    return rows


def results(arms: Mapping[str, Arm], runs: Runs) -> pd.DataFrame:
    """Every arm: how long it was trained, which epoch is tested, and its macro-AUC on folds 9 and 10.

    Marked are the arms that go on: in profile `desk` they have the highest mean on fold 9.
    """
    rows = []
    for name, arm in arms.items():
        members = runs[name]
        rows.append(
            {
                "arm": arm.name + (" (goes on)" if name in FINAL else ""),
                "what is done": arm.text,
                "seeds": tables.trained(members),
                "epochs, mean": f"{np.mean([len(run.history) for run in members]):.0f}",
                "tested epoch, mean": f"{values(members, metric='epoch').mean() + 1:.0f}",
                "macro-AUC, fold 9 (chooses)": f"{values(members, VALIDATION).mean():.4f}",
                "macro-AUC, fold 10, 95 % over seeds": shown(mean_interval(values(members))),
                "fold 10, over patients": bounds(tables.over_patients(members)),
                "AP": f"{values(members, metric='ap').mean():.3f}",
            }
        )
    return pd.DataFrame(rows).set_index("arm")


def totals(arms: Mapping[str, Arm]) -> dict[str, Arm]:
    """The arms that go on, each with the student that took no step as its control."""
    return {name: replace(arms[name], name=NAMES[name], control=control) for name, control in CONTROLS.items()}


def goals(whole: Mapping[str, Sequence[Exported]], small: Mapping[str, Sequence[Exported]], limit: str) -> pd.DataFrame:
    """Whether the students that go on reach their goals on fold 10, and beside them the small files made of them.

    Both map keys of `GOALS` to models.
    """
    rows = []
    for name, goal in GOALS.items():
        for what, models, form in (("whole, float", whole[name], "float"), ("pruned, INT8", small[name], "int8")):
            over_seeds = mean_interval([one.auc(form) for one in models])
            over_patients = deployed.mean_over_patients(models, form)
            rows.append(
                {
                    "student": NAMES[name],
                    "model": what,
                    "goal": f"{goal:.2f}",
                    "macro-AUC, 95 % over seeds": shown(over_seeds),
                    "over patients": bounds(over_patients),
                    "seeds": str(len(models)),
                    "verdict": limited(margins.reached(goal, over_seeds, over_patients), limit),
                }
            )
    return pd.DataFrame(rows).set_index(["student", "model"])


def lost(whole: Mapping[str, Sequence[Exported]], small: Mapping[str, Sequence[Exported]], limit: str) -> pd.DataFrame:
    """Whether small files lose at most `AT_MOST` against the whole students in float; see `goals`.

    A one-sided t test over seeds, corrected by Holm, and the interval over patients must both say so.
    """
    found = {name: of_differences(deployed.shrunk(whole[name], small[name])) for name in GOALS}
    adjusted = holm([margins.above(one.test.differences, -AT_MOST) for one in found.values()])
    rows = []
    for (name, one), p in zip(found.items(), adjusted, strict=True):
        over_patients = one.test.over_patients
        words = margins.verdict(f"at most {AT_MOST} lost", float(p), over_patients.low > -AT_MOST)
        rows.append(
            {
                "student": NAMES[name],
                "whole, float": f"{one.before:.4f}",
                "pruned, INT8": f"{one.after:.4f}",
                "difference, 95 % over seeds": shown(one.test.over_seeds, signed=True),
                "over patients": bounds(over_patients, signed=True),
                "seeds": str(len(one.test.differences)),
                f"against {AT_MOST} or more, one-sided {p_header(counted(adjusted))}": shown_p(float(p)),
                "verdict": limited(words, limit),
            }
        )
    return pd.DataFrame(rows).set_index("student")
