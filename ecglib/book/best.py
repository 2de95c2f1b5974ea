"""The best that was reached on each task, beside the best published and with what it cost: a table of `RESULTS.md`.

Every result is read from a committed table, every published one from `ecglib.reports`, budgets from the profile. The
words are in `best.csv`.
"""

import csv
from importlib import resources
from pathlib import Path

from ecglib import reports
from ecglib.book.story import as_table, rounded, row_of
from ecglib.core.profiles import PROFILES
from ecglib.show.study import EVIDENCE


def leaderboard(results: Path) -> str:
    """The table as Markdown, from the folder of a profile's tables.

    Raises:
        EcglibError: a table or a row is missing.
    """
    words = (resources.files(__package__) / "best.csv").read_text(encoding="utf-8").splitlines()
    return as_table(*csv.reader(words)).format_map(_facts(results))


def _facts(results: Path) -> dict[str, str]:
    budgets = PROFILES[EVIDENCE]
    teacher = row_of(results, "02_teacher", metric="AUC", **{"epoch chosen": "corrected"})
    all_four = row_of(results, "04_detectors", detector="all four")
    questions = row_of(results, "04_own_record", detector="three questions")
    trees = row_of(results, "05_baseline", method="boosted trees, all leads")
    resnet = row_of(results, "05_steps", arm="resnet1d_wang, four steps")
    together = row_of(results, "05_steps_together", **{"who answers": "trees + resnet1d_wang, four steps"})
    pruned, lead = (
        row_of(results, "05_steps_compressed", model=f"{name}, pruned, INT8")
        for name in ("12 leads, six steps", "lead I, five steps")
    )
    facts = {
        "all_four": rounded(all_four["AUC, 95 % over seeds"]),
        "all_four_patients": rounded(all_four["over patients"]),
        "teacher": rounded(f"{teacher['measured']} {teacher['95 % over seeds']}"),
        "teacher_patients": rounded(teacher["95 % over patients, seed 0"]),
        "questions": questions["AUC"],
        "questions_s": questions["S"],
        "questions_patients": questions["over patients"],
        "trees": trees["macro-AUC, over patients"],
        "trees_seconds": trees["seconds"],
        "resnet": rounded(resnet["macro-AUC, fold 10, 95 % over seeds"]),
        "resnet_patients": rounded(resnet["fold 10, over patients"]),
        "resnet_epochs": resnet["epochs, mean"],
        "together": rounded(together["macro-AUC, 95 % over seeds"]),
        "together_patients": rounded(together["over patients"]),
        "warp": f"{reports.value('beatgan.warp.auc'):.3f}",
        "r1_teacher": f"{reports.value('r1.teacher.auc'):.3f}",
        "anobeat": f"{reports.value('anobeat.auc'):.3f}",
        "ensemble": f"{reports.value('ptbxl.ensemble'):.3f}",
        "resnet_published": f"{reports.value('ptbxl.resnet1d_wang'):.3f}",
        "r3_student": f"{reports.value('r3.kd.auc') / 100:.3f}",
        "r1_epochs": f"{reports.value('r1.epochs')}",
        "resnet_weights": f"{reports.value('ptbxl.resnet1d_wang.parameters'):,}",
        "r3_weights": f"{reports.value('r3.student.parameters'):,}",
        "epochs": f"{budgets['02_beatgan_teacher']['epochs']}",
        "encoder_epochs": f"{budgets['04_simclr']['encoder_epochs']}",
        "encoder_beats": f"{budgets['04_simclr']['train_beats'] or reports.value('r1.train_beats'):,}",
    }
    for name, row in (("pruned", pruned), ("lead", lead)):
        facts |= {
            name: rounded(row["macro-AUC, 95 % over seeds"]),
            f"{name}_patients": rounded(row["over patients"]),
            f"{name}_kb": row["file (kB)"],
            f"{name}_ms": row["ms a record (quartiles)"].split()[0],
        }
    return facts
