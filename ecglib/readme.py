"""The README's results, generated from the committed tables so that they cannot differ from what was run."""

import csv
from pathlib import Path

from ecglib.errors import EcglibError
from ecglib.files import project_root, write_text

BEGIN, END = "<!-- results: made by 'ecglib readme' -->", "<!-- end of results -->"
# table: heading, columns to leave out because the README is narrow
TABLES = {
    "01_beats": ("MIT-BIH, all beats", ()),
    "01_split": ("R1's split", ()),
    "01_ptbxl": ("PTB-XL", ()),
    "02_teacher": ("BeatGAN, the teacher", ("95 % over beats",)),
    "02_per_class": ("Which anomalies BeatGAN finds: AUC of each class against N, mean over seeds and interval", ()),
    "03_gains": ("R1's claim: what distillation adds to the AUC", ()),
    "03_differences": ("Every arm minus its control with the same seeds", ()),
    "03_protocol": ("What the protocol does to the teacher's number", ()),
    "03_baselines": ("Cheap baselines on the same beats", ()),
}


def results(folder: Path) -> str:
    """The tables of one profile as Markdown.

    Args:
        folder: `papermill_runs/<profile>/results`.

    Raises:
        EcglibError: a table is missing.
    """
    parts = []
    for name, (heading, left_out) in TABLES.items():
        try:
            rows = list(csv.DictReader((folder / f"{name}.csv").read_text(encoding="utf-8").splitlines()))
        except OSError as error:
            raise EcglibError(f"{folder / name}.csv is missing: run 'ecglib run --profile quick' first.") from error
        columns = [column for column in rows[0] if column not in left_out]
        lines = [f"**{heading}**", "", f"| {' | '.join(columns)} |", "|" + " --- |" * len(columns)]
        lines += [f"| {' | '.join(_number(row[column]) for column in columns)} |" for row in rows]
        parts.append("\n".join(lines))
    return "\n\n".join(parts)


def _number(text: str) -> str:
    """Whole numbers with thousands separators; anything else as it stands."""
    try:
        value = float(text)
    except ValueError:
        return text
    return f"{value:,.0f}" if value.is_integer() else text


def updated(text: str, tables: str) -> str:
    """A README's text with the part between the two markers replaced.

    Raises:
        EcglibError: the markers are not there.
    """
    before, begin, rest = text.partition(BEGIN)
    _, end, after = rest.partition(END)
    if not (begin and end):
        raise EcglibError(f"README.md lacks the lines {BEGIN} and {END}: put them back where the results belong.")
    return f"{before}{BEGIN}\n\n{tables}\n\n{END}{after}"


def update_readme() -> Path:
    """Write the results of the committed quick runs into README.md."""
    root = project_root()
    path = root / "README.md"
    tables = results(root / "papermill_runs" / "quick" / "results")
    write_text(path, updated(path.read_text(encoding="utf-8"), tables))
    return path
