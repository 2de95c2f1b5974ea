"""The generated parts of the pages: results from the committed tables, and where everything is.

The claims of README.md and README.ko.md are made by `ecglib.book.story`.
"""

import csv
import re
from dataclasses import dataclass
from importlib import resources
from pathlib import Path

from ecglib.book import best, story
from ecglib.core.errors import EcglibError
from ecglib.core.files import project_root, write_text
from ecglib.core.profiles import PROFILES
from ecglib.show import style
from ecglib.show.study import EVIDENCE

HOME = {"README.md": "en", "README.ko.md": "ko"}  # the first page in each language
RESULTS, MAP = "RESULTS.md", "docs/map.md"


@dataclass(frozen=True)
class Shown:
    """A committed table as a page shows it."""

    heading: str
    left_out: tuple[str, ...] = ()  # columns that the page is too narrow for


TABLES = {
    "01_beats": Shown("MIT-BIH, all beats"),
    "01_split": Shown("R1's split"),
    "01_ptbxl": Shown("PTB-XL"),
    "02_teacher": Shown("BeatGAN, the teacher", left_out=("95 % over beats, seed 0",)),
    "02_adversary": Shown("Does the adversary help? BeatGAN's autoencoder with and without it, AUC"),
    "02_per_class": Shown("Which anomalies BeatGAN finds: AUC of each class against N, mean over seeds and interval"),
    "03_arms": Shown("Every arm of R1's question: AUC and AP"),
    "03_reruns": Shown("How far two runs of one program lie apart"),
    "03_gains": Shown("R1's claim: what distillation adds to the AUC"),
    "03_differences": Shown("Every arm minus its control with the same seeds"),
    "03_protocol": Shown("What the protocol does to the teacher's number"),
    "03_baselines": Shown("Cheap baselines on the same beats"),
    "04_scenarios": Shown("R2's scenarios: proposed and measured", left_out=("minus BeatGAN (B), paired, over seeds",)),
    "04_detector_differences": Shown("Beyond R2: label-free detectors, AUC minus AUC on R1's split"),
    "04_detector_differences_new_patients": Shown("The same for new patients, DS1 to DS2"),
    "04_own_record": Shown("New patients: DS1's normal beats are known, DS2 is judged"),
    "04_own_record_tried": Shown("What was tried on DS1, one patient left out at a time"),
    "04_own_record_contrast": Shown("Whether contrast belongs to it: the four validation records of DS1"),
    "04_detectors": Shown("Label-free detectors on R1's split, where patients are known: AUC, and AUC of each class"),
    "04_detectors_new_patients": Shown("The same for new patients, DS1 to DS2"),
    "05_claims": Shown("R3's claims: macro-AUC before -> after"),
    "05_students": Shown("R3's student alone, and taught in every way"),
    "05_differences": Shown("Each minus its control with the same seeds"),
    "05_pruned_differences": Shown("Without half of the channels, minus the whole student tuned for as long"),
    "05_compression": Shown("What each model costs and knows; times of one record on one thread"),
    "05_targets": Shown("What INT8 has to reach"),
    "05_table2": Shown("R3's table 2: how many parameters does it take?"),
    "05_network_claims": Shown("R3's claims about networks, on its own split and validation records"),
    "05_equivalence": Shown("Which of R3's pairs, INT8 and pruned networks are equal: two one-sided tests"),
    "05_calibration": Shown("Whether probabilities mean what they say"),
    "05_baseline": Shown("What it takes without a network"),
    "05_steps": Shown("R3's student, one step of training more each"),
    "05_steps_differences": Shown("Each step minus its control with the same seeds"),
    "05_steps_total": Shown("The student that goes on minus the student that took no step"),
    "05_steps_together": Shown("Trees and networks, alone and together; not announced, so without a verdict"),
    "05_steps_pruned": Shown("The students that go on, without half of their channels"),
    "05_steps_compressed": Shown("What they cost and know; times of one record on one thread"),
    "05_steps_goals": Shown("Whether they reach their goals"),
    "05_steps_lost": Shown("Whether compression takes at most 0.01"),
    "05_quantisation_attempts": Shown("What makes R3's network of 614,055 parameters fall, validation records"),
    "05_quantisation_epochs": Shown(
        "The same network, trained while it rounds: validation macro-AUC after some epochs",
        left_out=tuple(f"epoch {n}" for n in range(1, 33) if n not in (1, 2, 3, 5, 11, 20)),
    ),
    "05_slips": Shown("Where R3's 51.4 % can come from: the masked network with labels that slipped"),
    "05_settings": Shown("R3's figure 6: optimizer and batch size, validation macro-AUC"),
}


def results(runs: Path) -> str:
    """The tables as Markdown, each with a link to the notebook that made it; `runs` is `papermill_runs/`.

    Raises:
        EcglibError: a table is missing.
    """
    parts = []
    for name, table in TABLES.items():
        path = runs / EVIDENCE / "results" / f"{name}.csv"
        try:
            rows = list(csv.DictReader(path.read_text(encoding="utf-8").splitlines()))
        except OSError as error:
            raise EcglibError(f"{path} is missing: run 'ecglib run --profile {EVIDENCE}' first.") from error
        columns = [column for column in rows[0] if column not in table.left_out]
        shown = story.as_table(columns, *([_number(row[column]) for column in columns] for row in rows))
        parts.append(f"**{table.heading}** (`{EVIDENCE}`, {_link(name)})\n\n{shown}")
    return "\n\n".join(parts)


def _link(name: str) -> str:
    """A link to the executed notebook of a table: a table is named after its notebook, `03_gains` after 03."""
    (stem,) = (stem for stem in PROFILES[EVIDENCE] if stem.startswith(name[:3]))
    return f"[{stem}](papermill_runs/{EVIDENCE}/{stem}.ipynb)"


def _number(text: str) -> str:
    """Whole numbers with thousands separators; anything else as it stands, with all of its decimals."""
    if re.fullmatch(r"-?\d+(\.\d+)?e\+\d+", text):
        return f"{float(text):,.0f}"
    return f"{int(text):,}" if text.lstrip("-").isdecimal() else text


@dataclass(frozen=True)
class Item:
    """One thing of a report, and where it is here."""

    report: str  # "R1", "R2" or "R3"
    item: str  # equation, figure, table or section
    what: str
    function: str  # dotted path of what computes or draws it
    notebook: str  # its number, such as 03
    section: str  # its number in the notebook


def items() -> list[Item]:
    """Where everything of the reports is, from `items.csv`."""
    rows = (resources.files(__package__) / "items.csv").read_text(encoding="utf-8").splitlines()
    return [Item(**row) for row in csv.DictReader(rows)]


def layout() -> str:
    """`items` as Markdown for `MAP`, with links to the code and to the executed notebooks."""
    lines = ["| report | item | what | function | notebook, section |", "| --- | --- | --- | --- | --- |"]
    for one in items():
        module, name = one.function.rsplit(".", 1)
        (stem,) = (stem for stem in PROFILES[EVIDENCE] if stem.startswith(one.notebook))
        code = f"[`{module.removeprefix('ecglib.')}.{name}`](../{module.replace('.', '/')}.py)"
        page = f"[{one.notebook}, {one.section}](../papermill_runs/{EVIDENCE}/{stem}.ipynb)"
        lines.append(f"| {one.report} | {one.item} | {one.what} | {code} | {page} |")
    return "\n".join(lines)


def updated(text: str, made: str, marker: str = "results") -> str:
    """A page's text with `made` between the two lines of a marker.

    Raises:
        EcglibError: the markers are not there.
    """
    first, last = f"<!-- {marker}: made by 'ecglib readme' -->", f"<!-- end of {marker} -->"
    before, begin, rest = text.partition(first)
    _, end, after = rest.partition(last)
    if not (begin and end):
        raise EcglibError(f"The page lacks the lines {first} and {last}: put them back where the {marker} belong.")
    return f"{before}{first}\n\n{made}\n\n{last}{after}"


def pages(root: Path) -> dict[str, str]:
    """Path of a page -> its text, made anew from the committed runs.

    Raises:
        EcglibError: a table, a row of it or a page's markers are missing.
    """
    runs = root / "papermill_runs"
    tables = runs / EVIDENCE / "results"
    made = [(page, story.first_screen(tables, language), "claims") for page, language in HOME.items()]
    made += [
        (RESULTS, best.leaderboard(tables), "best"),
        (RESULTS, results(runs), "results"),
        (MAP, layout(), "layout"),
    ]
    texts = {page: (root / page).read_text("utf-8") for page, *_ in made}
    for page, *part in made:
        texts[page] = updated(texts[page], *part)
    return texts


def update_readme() -> tuple[str, ...]:
    """Write the generated parts into the pages, and draw the picture of the first one; returned are their paths."""
    root = project_root()
    found = pages(root)
    for page, text in found.items():
        write_text(root / page, text)
    style.use_style()
    style.save(story.picture(root / "papermill_runs" / EVIDENCE / "results"), root / story.PICTURE)
    return (*found, story.PICTURE)
