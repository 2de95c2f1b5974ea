"""The pages show what the committed runs say, their links lead to what shows it, and the Korean page keeps up."""

import csv
import html
import importlib
import json
import re
from pathlib import Path

import nbformat
import pytest

from ecglib.book import readme
from ecglib.core.errors import EcglibError
from ecglib.core.files import project_root
from ecglib.core.profiles import PROFILES
from ecglib.show.study import EVIDENCE

ROOT = Path(__file__).parents[2]
RUNS = ROOT / "papermill_runs"
PAGES = [RUNS / profile / f"{stem}.ipynb" for profile in PROFILES for stem in PROFILES[profile]]
PAGES = [path for path in PAGES if path.exists()]  # of the committed profiles: `make reproduce` may have made others
TEXTS = [
    *sorted(path.name for path in ROOT.glob("*.md")),
    *sorted(f"docs/{path.name}" for path in ROOT.glob("docs/*.md")),
]


def links(text):
    """The targets of Markdown's links and pictures that are files of this repository."""
    targets = re.findall(r"\]\(([^)\s]+)\)", text)
    return [target.partition("#")[0] for target in targets if not re.match(r"https?:|#", target)]


def texts_of(notebook):
    """The Markdown of a notebook, and the Markdown that its cells displayed."""
    shown = [output for cell in notebook["cells"] for output in cell.get("outputs", [])]
    cells = ["".join(cell["source"]) for cell in notebook["cells"] if cell["cell_type"] == "markdown"]
    return cells + ["".join(output.get("data", {}).get("text/markdown", "")) for output in shown]


def tables_of(notebook):
    """Name -> cells, row by row, of the tables that a notebook displays (`Study.table` names each)."""
    shown = [output for cell in notebook["cells"] for output in cell.get("outputs", [])]
    text = "\n".join("".join(output.get("data", {}).get("text/html", "")) for output in shown)
    rows = {name: {} for name in re.findall(r'<table id="T_(\w+)">', text)}
    for name, row, value in re.findall(r'<td id="T_(\w+)_row(\d+)_col\d+"[^>]*>(.*?)</td>', text, re.DOTALL):
        rows[name].setdefault(int(row), []).append(html.unescape(value))
    return {name: list(found.values()) for name, found in rows.items()}


def written_by(notebook):
    """Patterns of the names of the tables that a notebook's code writes; a name made in a loop has gaps."""
    code = "\n".join("".join(cell["source"]) for cell in notebook["cells"] if cell["cell_type"] == "code")
    names = re.findall(r'"(\d\d_[\w{}]+)"', code)
    return [".+".join(re.escape(part) for part in re.split(r"\{\w+\}", name)) for name in names]


def read(path):
    return json.loads(path.read_text(encoding="utf-8"))


def same(shown, stored):
    """Whether a displayed cell is the stored one, as far as its decimals go."""
    if shown == stored or (shown, stored) == ("nan", ""):
        return True
    try:
        decimals = len(shown.partition(".")[2])
        return abs(float(shown.replace(",", "")) - float(stored)) <= 0.501 * 10**-decimals
    except ValueError:
        return False


def headings(text):
    """Heading, profile and link of every generated table."""
    return re.findall(r"^\*\*(.+)\*\* \(`(\w+)`, \[\w+\]\((.+)\)\)$", text, re.MULTILINE)


def not_evidence(text):
    """Links to notebooks that do not show the evidence: `notebooks/` has simulated records, `quick` fewer epochs."""
    pages = [target for target in links(text) if target.endswith(".ipynb")]
    return [target for target in pages if not target.startswith("papermill_runs/desk/")]


@pytest.mark.parametrize("page", [*readme.HOME, readme.RESULTS, readme.MAP])
def test_the_results_are_those_of_the_committed_runs(page):
    root = project_root()
    assert (root / page).read_text(encoding="utf-8") == readme.pages(root)[page], "stale: run 'ecglib readme'"


@pytest.mark.parametrize("item", readme.items(), ids=lambda item: f"{item.report}-{item.item}-{item.what}")
def test_every_item_of_the_reports_is_where_the_map_says(item):
    module, name = item.function.rsplit(".", 1)
    assert getattr(importlib.import_module(module), name).__doc__
    (path,) = (ROOT / "notebooks").glob(f"{item.notebook}_*.ipynb")
    headed = [cell.source for cell in nbformat.read(path, as_version=4).cells if cell.cell_type == "markdown"]
    assert any(re.search(rf"^## {item.section} · ", text, re.MULTILINE) for text in headed)


def test_every_equation_and_numbered_figure_of_r1_is_among_the_items():
    found = " ".join(item.item for item in readme.items() if item.report == "R1")
    for name in (
        *(f"equation {n}" for n in (1, 2, 3)),
        *(f"figure {n}" for n in (1, 2, 3, 4, 5, 9, 10, 11, 12)),
        "table 1",
    ):
        assert re.search(rf"\b{name}\b", found), name


@pytest.mark.parametrize("name", TEXTS)
def test_links_and_pictures_are_there(name):
    path = ROOT / name
    assert [target for target in links(path.read_text("utf-8")) if not (path.parent / target).exists()] == []


@pytest.mark.parametrize(
    "path", [*sorted((ROOT / "notebooks").glob("*.ipynb")), *PAGES], ids=lambda path: f"{path.parent.name}-{path.stem}"
)
def test_links_and_pictures_of_notebooks_are_there(path):
    targets = [target for text in texts_of(read(path)) for target in links(text)]
    assert [target for target in targets if not (path.parent / target).exists()] == []


@pytest.mark.parametrize("name", list(readme.TABLES))
def test_a_tables_link_leads_to_the_executed_notebook_that_writes_and_shows_it(name):
    found = headings((ROOT / readme.RESULTS).read_text(encoding="utf-8"))
    (target,) = {link for heading, _, link in found if heading == readme.TABLES[name].heading}
    page = ROOT / target
    assert page.parent == RUNS / EVIDENCE
    assert any(re.fullmatch(pattern, name) for pattern in written_by(read(ROOT / "notebooks" / page.name)))
    assert name in tables_of(read(page)), f"stale: run 'ecglib run {page.stem[:2]} --profile {EVIDENCE} --force'"


def test_every_generated_table_has_a_link():
    assert len(headings((ROOT / readme.RESULTS).read_text(encoding="utf-8"))) == len(readme.TABLES)


def differences(page):
    """The tables of an executed notebook that are not those stored beside it."""
    stale = []
    for name, shown in tables_of(read(page)).items():
        path = page.parent / "results" / f"{name}.csv"
        rows = list(csv.reader(path.read_text(encoding="utf-8").splitlines()))[1:] if path.exists() else []
        alike = len(rows) == len(shown) and all(
            all(same(*pair) for pair in zip(cells, row[-len(cells) :], strict=True))
            for cells, row in zip(shown, rows, strict=True)
        )
        stale += [] if alike else [name]
    return stale


@pytest.mark.parametrize("page", PAGES, ids=lambda page: f"{page.parent.name}-{page.stem}")
def test_an_executed_notebook_shows_the_committed_tables(page):
    command = f"ecglib run {page.stem[:2]} --profile {page.parent.name} --force"
    assert tables_of(read(page))
    assert differences(page) == [], f"stale: run '{command}'"


def test_a_changed_table_makes_its_page_stale(tmp_path):
    page = tmp_path / "03_kd_student.ipynb"
    shown = '<table id="T_03_x"><td id="T_03_x_row0_col0" class="data" >1,234.57</td></table>'
    page.write_text(json.dumps({"cells": [{"outputs": [{"data": {"text/html": [shown]}}]}]}))
    assert differences(page) == ["03_x"], "no table is stored"
    (tmp_path / "results").mkdir()
    (tmp_path / "results" / "03_x.csv").write_text("row,value\na,1234.5678\n")
    assert differences(page) == []
    (tmp_path / "results" / "03_x.csv").write_text("row,value\na,1234.58\n")
    assert differences(page) == ["03_x"]


@pytest.mark.parametrize("page", [*readme.HOME, readme.RESULTS])
def test_links_beside_numbers_open_the_page_of_these_numbers(page):
    text = (ROOT / page).read_text(encoding="utf-8")
    assert [target for target in links(text) if target.endswith(".ipynb")]
    assert not_evidence(text) == []


def test_a_link_to_another_page_than_the_evidence_is_found():
    wrong = ["notebooks/03_kd_student.ipynb", "papermill_runs/quick/04_simclr.ipynb"]
    text = (
        f"+0.002 ([03]({wrong[0]}), [04]({wrong[1]}), [05](papermill_runs/desk/05_ptbxl_compression.ipynb), [x](a.md))"
    )
    assert not_evidence(text) == wrong


def test_a_changed_number_makes_the_results_stale(tmp_path):
    paths = {name: tmp_path / EVIDENCE / "results" / f"{name}.csv" for name in readme.TABLES}
    for path in paths.values():
        path.parent.mkdir(parents=True, exist_ok=True)
        path.write_text("what,measured\nbeats,97568\nAUC,0.9\n")
    before = readme.results(tmp_path)
    assert "| beats | 97,568 |" in before
    paths["02_teacher"].write_text("what,measured\nbeats,97568\nAUC,0.8\n")
    assert readme.results(tmp_path) != before
    with pytest.raises(EcglibError, match=r"lacks the lines"):
        readme.updated("no markers", before)
    paths["02_teacher"].unlink()
    with pytest.raises(EcglibError, match=r"02_teacher\.csv is missing"):
        readme.results(tmp_path)


def sections(text):
    """Of each section of a page: the level of its heading, the commands, the links and the numbers in it."""
    found = []
    for level, body in re.findall(r"^(#+) [^\n]*\n(.*?)(?=^#+ |\Z)", text, re.MULTILINE | re.DOTALL):
        blocks = "\n".join(re.findall(r"^```\w*\n(.*?)^```", body, re.MULTILINE | re.DOTALL))
        commands = [line.partition(" #")[0].split("  ")[0].strip() for line in blocks.splitlines()]
        words = re.sub(r"^```\w*\n.*?^```|\]\([^)]*\)", "", body, flags=re.MULTILINE | re.DOTALL)
        numbers = re.findall(r"[+-]?\d+(?:\.\d+)?", words)
        found.append((level, commands, sorted(links(body)), sorted(numbers)))
    return found


def test_the_korean_page_has_the_sections_commands_links_and_numbers_of_the_english_one():
    english, korean = (sections((ROOT / page).read_text("utf-8")) for page in readme.HOME)
    assert len(english) == len(korean)
    for one, other in zip(english, korean, strict=True):
        assert one[:2] == other[:2]
        assert set(one[2]) ^ set(other[2]) <= set(readme.HOME), "each page names the other"
        assert one[3] == other[3]


def test_a_changed_number_or_command_is_seen_by_the_comparison_of_the_languages():
    text = "# A\n\n0.5 and [x](y.md)\n\n## B\n\n```sh\nmake test   # 14 minutes\n```\n"
    assert sections(text) == [("#", [], ["y.md"], ["0.5"]), ("##", ["make test"], [], [])]
    assert sections(text.replace("14", "15")) == sections(text)
    for old, new in (("0.5", "0.6"), ("make test", "make"), ("y.md", "z.md"), ("## B", "### B")):
        assert sections(text.replace(old, new)) != sections(text)
