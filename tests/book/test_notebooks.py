"""The structure of the committed notebooks: what nbval cannot see, or lets pass (a stripped notebook, a huge cell).

Every check is a function from a notebook to its problems, and is seen to fail on a small bad notebook.
"""

import difflib
import re
import statistics
from collections.abc import Callable
from pathlib import Path

import nbformat
import pytest
from nbformat.v4 import new_code_cell, new_markdown_cell, new_notebook, new_output

from ecglib.book.parameters import check_parameters, read_parameters
from ecglib.core.errors import EcglibError
from ecglib.core.profiles import PROFILES, SMOKE

FOLDER = Path(__file__).parents[2] / "notebooks"
NOTEBOOKS = sorted(FOLDER.glob("*.ipynb"))
# Executed notebooks of the committed profiles; those of `smoke` are whoever's ran `make reproduce`.
PAGES = [
    FOLDER.parent / "papermill_runs" / profile / f"{stem}.ipynb" for profile in PROFILES for stem in PROFILES[profile]
]
PAGES = [path for path in PAGES if path.exists()]
MAX_BYTES = 3_000_000
# Not preceded by a letter or a dot, so that the path of a URL or ../other/ is none.
MACHINE_PATH = re.compile(r"(?<![\w.-])/(?:home|root|Users|work|tmp)/[\w.]|\bC:\\")


def code_cells(notebook):
    return [cell for cell in notebook.cells if cell.cell_type == "code"]


def outputs(notebook):
    return [(number, output) for number, cell in enumerate(code_cells(notebook), 1) for output in cell.outputs]


def tagged(notebook, tag):
    return [cell for cell in code_cells(notebook) if tag in cell.metadata.get("tags", [])]


def valid_format(notebook):
    try:
        nbformat.validate(notebook)
    except nbformat.ValidationError as error:
        return [f"not valid nbformat: {error.message}"]
    return []


def run_top_to_bottom(notebook):
    counts = [cell.execution_count for cell in code_cells(notebook) if cell.source.strip()]
    wanted = list(range(1, len(counts) + 1))
    return [] if counts == wanted else [f"execution counts are {counts}: restart the kernel and run all cells"]


def one_parameters_cell(notebook):
    count = len(tagged(notebook, "parameters"))
    return [] if count == 1 else [f"{count} cells are tagged 'parameters'"]


def no_error_output(notebook):
    return [f"code cell {n} holds an error: {o.ename}" for n, o in outputs(notebook) if o.output_type == "error"]


def no_stderr(notebook):
    found = [(n, o) for n, o in outputs(notebook) if o.output_type == "stream" and o.name == "stderr"]
    return [f"code cell {n} wrote to stderr: {output.text[:80]!r}" for n, output in found]


def no_machine_path(notebook):
    texts = [("a source", cell.source) for cell in notebook.cells]
    for number, output in outputs(notebook):
        # base64 of an image holds any short string sooner or later; what is not text is a widget's JSON
        data = [str(value) for kind, value in output.get("data", {}).items() if kind != "image/png"]
        texts += [(f"the output of code cell {number}", text) for text in (output.get("text", ""), *data)]
    found = [(where, match) for where, text in texts if (match := MACHINE_PATH.search(text))]
    return [f"{where} has a path of this machine: {match.string[match.start() :][:40]}" for where, match in found]


def short_cells(notebook):
    lengths = [len(cell.source.splitlines()) for cell in code_cells(notebook)]
    problems = []
    if len(lengths) > 50:
        problems.append(f"{len(lengths)} code cells (at most 50)")
    if statistics.median(lengths or [0]) > 8:
        problems.append(f"the median code cell has {statistics.median(lengths)} lines (at most 8)")
    return problems + [
        f"code cell {n} has {length} lines (at most 25)" for n, length in enumerate(lengths, 1) if length > 25
    ]


def no_library_code(notebook):
    pattern = re.compile(r"^\s*class\s+\w+", re.MULTILINE)
    return [
        f"code cell {number} holds library code: {match.group().strip()}"
        for number, cell in enumerate(code_cells(notebook), 1)
        if (match := pattern.search(cell.source))
    ]


def enough_text(notebook):
    code = len(code_cells(notebook))
    text = sum(cell.cell_type == "markdown" for cell in notebook.cells)
    return [] if text > code / 2 else [f"{text} text cells for {code} code cells"]


def small_file(notebook):
    size = len(nbformat.writes(notebook).encode())
    return [] if size <= MAX_BYTES else [f"{size} bytes (at most {MAX_BYTES}): draw smaller figures"]


def enough_compared(notebook):
    count = len(tagged(notebook, "nbval-check-output"))
    return [] if count >= 3 else [f"{count} cells are tagged nbval-check-output (at least 3)"]


def sections_in_order(notebook):
    texts = [cell.source for cell in notebook.cells if cell.cell_type == "markdown"]
    numbers = [int(number) for text in texts for number in re.findall(r"^## (\d+) ·", text, re.MULTILINE)]
    expected = list(range(1, len(numbers) + 1))
    return [] if numbers == expected else [f"sections are numbered {numbers}: a heading is missing, or there twice"]


def korean_line_under_each_heading(notebook):
    """Many readers read Korean: the line after a heading says in Korean what the section is about."""
    texts = [cell.source for cell in notebook.cells if cell.cell_type == "markdown"]
    followed = [pair for text in texts for pair in re.findall(r"^(##+ .*)\n+(.*)", text, re.MULTILINE)]
    return [f"no Korean line under {heading!r}" for heading, line in followed if not re.match(r"\*[^*]*[가-힣]", line)]


def exercises_with_time_and_a_cell_to_go_on_from(notebook):
    cells = notebook.cells
    pattern = re.compile(r"^\*\*\d+\. .+\*\* \(\d+ minutes\)\. .+\n\n\*[^*]*[가-힣]", re.DOTALL)
    starts = [n for n, cell in enumerate(cells) if cell.cell_type == "markdown" and pattern.match(cell.source)]
    if len(starts) < 3:
        return [f"{len(starts)} exercises with time and Korean (at least 3)"]
    followed = (cells[n + 1 : n + 2] for n in starts)
    return [
        f"exercise {n}: no cell" for n, after in enumerate(followed, 1) if not after or after[0].cell_type != "code"
    ]


CHECKS: list[Callable[[nbformat.NotebookNode], list[str]]] = [
    valid_format,
    run_top_to_bottom,
    one_parameters_cell,
    no_error_output,
    no_stderr,
    no_machine_path,
    short_cells,
    no_library_code,
    enough_text,
    small_file,
    enough_compared,
    sections_in_order,
    korean_line_under_each_heading,
    exercises_with_time_and_a_cell_to_go_on_from,
]


@pytest.mark.parametrize("path", NOTEBOOKS, ids=lambda path: path.stem)
@pytest.mark.parametrize("check", CHECKS, ids=lambda check: check.__name__)
def test_notebook(check, path):
    assert check(nbformat.read(path, as_version=4)) == []


@pytest.mark.parametrize(
    ("profile", "stem"), [(profile, stem) for profile in PROFILES for stem in PROFILES[profile]], ids=str
)
def test_what_a_profile_injects_exists_with_its_type(profile, stem):
    values = PROFILES[profile][stem]
    assert values["profile"] == profile
    check_parameters(values, read_parameters(FOLDER / f"{stem}.ipynb"), stem)


@pytest.mark.parametrize("path", NOTEBOOKS, ids=lambda path: path.stem)
def test_a_notebook_has_every_profile_and_is_smoke_itself(path):
    assert [profile for profile in PROFILES if profile != SMOKE and path.stem not in PROFILES[profile]] == []
    assert read_parameters(path)["profile"] == SMOKE


def good_notebook():
    """A small notebook that passes every check."""
    tags = [["parameters"], ["nbval-check-output"], ["nbval-check-output"], ["nbval-check-output"]]
    cells = []
    for number, names in enumerate(tags, 1):
        stream = new_output(
            "stream", name="stdout", text="see ../other/x, https://example.org/home/x and mitdb/1.0.0\n"
        )
        code = new_code_cell("profile = 'smoke'", execution_count=number, outputs=[stream], metadata={"tags": names})
        text = "Text." if number == 1 else f"**{number}. Title** (5 minutes). What?\n\n*무엇?*"
        cells += [new_markdown_cell(text), code]
    return new_notebook(cells=cells)


def set_source(source):
    return lambda notebook: notebook.cells[1].update(source=source)


def add_output(*args, **fields):
    return lambda notebook: notebook.cells[1].outputs.append(new_output(*args, **fields))


def remove_text(notebook):
    notebook.cells = [*notebook.cells[1::2], *notebook.cells[:4:2]]


@pytest.mark.parametrize("check", CHECKS, ids=lambda check: check.__name__)
def test_the_good_notebook_passes(check):
    assert check(good_notebook()) == []


@pytest.mark.parametrize(
    ("check", "spoil", "problem"),
    [
        (valid_format, lambda nb: nb.cells[1].update(cell_type="kode"), "kode"),
        (run_top_to_bottom, lambda nb: nb.cells[3].update(execution_count=7), r"\[1, 7, 3, 4\]"),
        (run_top_to_bottom, lambda nb: nb.cells[7].update(execution_count=None), "None"),
        (one_parameters_cell, lambda nb: nb.cells[3].metadata.tags.append("parameters"), "^2 cells"),
        (one_parameters_cell, lambda nb: nb.cells[1].metadata.tags.clear(), "^0 cells"),
        (no_error_output, add_output("error", ename="ValueError", evalue="x", traceback=[]), "1 holds an error: Val"),
        (no_stderr, add_output("stream", name="stderr", text="UserWarning"), "cell 1 wrote to stderr: 'UserW"),
        (no_machine_path, set_source(f"read('/{'home'}/me/data')"), "a source has a path of this machine: /[h]ome/me"),
        (no_machine_path, add_output("stream", name="stdout", text=f"in\n/{'tmp'}/x"), "output of code cell 1"),
        (no_machine_path, add_output("display_data", data={"text/html": f"<p>/{'Users'}/me</p>"}), "/[U]sers/me"),
        (no_machine_path, add_output("stream", name="stdout", text="in C:\\data"), "data"),
        (short_cells, set_source("x\n" * 26), "code cell 1 has 26 lines"),
        (short_cells, lambda nb: [cell.update(source="x\n" * 9) for cell in nb.cells], "median code cell has 9"),
        (short_cells, lambda nb: nb.cells.extend([new_code_cell()] * 47), "51 code cells"),
        (no_library_code, set_source("x = 1\nclass Net:\n    pass"), "class Net"),
        (no_library_code, set_source("class Encoder(nn.Module):\n    pass"), "class Encoder"),
        (enough_text, remove_text, "2 text cells for 4 code cells"),
        (small_file, add_output("display_data", data={"image/png": "x" * MAX_BYTES}), "draw smaller"),
        (enough_compared, lambda nb: nb.cells[3].metadata.tags.clear(), "^2 cells"),
        (sections_in_order, lambda nb: nb.cells[0].update(source="## 2 · Networks"), r"numbered \[2\]: a heading"),
        (korean_line_under_each_heading, lambda nb: nb.cells[0].update(source="## A\n\nText."), "under '## A'"),
        (
            exercises_with_time_and_a_cell_to_go_on_from,
            lambda nb: nb.cells[2].update(source="**2. A**"),
            "^2 exercises",
        ),
        (exercises_with_time_and_a_cell_to_go_on_from, lambda nb: nb.cells.pop(), "exercise 3: no cell"),
    ],
)
def test_each_check_can_fail(check, spoil, problem):
    notebook = good_notebook()
    spoil(notebook)
    (found,) = check(notebook)
    assert re.search(problem, found)


def text_and_code(notebook):
    """The lines of every cell, the first with the cell's kind, without the parameters, which a profile changes."""
    parameters = {"parameters", "injected-parameters"}
    cells = [cell for cell in notebook.cells if not parameters & set(cell.metadata.get("tags", []))]
    return [line for cell in cells for line in f"{cell.cell_type}: {cell.source}".splitlines()]


def lag(page, notebook):
    """The lines in which an executed page says something else (-) than its notebook (+)."""
    lines = difflib.unified_diff(text_and_code(page), text_and_code(notebook), lineterm="", n=0)
    return [line for line in list(lines)[2:] if not line.startswith("@@")]


@pytest.mark.parametrize("path", PAGES, ids=lambda path: f"{path.parent.name}-{path.stem}")
def test_an_executed_page_has_the_text_and_code_of_its_notebook(path):
    found = lag(nbformat.read(path, as_version=4), nbformat.read(FOLDER / path.name, as_version=4))
    command = f"ecglib run {path.stem[:2]} --profile {path.parent.name}"
    assert found == [], f"stale: run '{command}' (- is the page's line, + the notebook's)"


def test_every_kind_of_lag_is_found():
    assert lag(good_notebook(), good_notebook()) == []
    page, notebook = good_notebook(), good_notebook()
    page.cells.insert(2, new_code_cell("profile = 'desk'", metadata={"tags": ["injected-parameters"]}))
    page.cells[1].source = "profile = 'quick'"
    assert lag(page, notebook) == [], "parameters are the profile's"
    notebook.cells[0].source = "All cosines lie near 1."
    assert lag(page, notebook) == ["-markdown: Text.", "+markdown: All cosines lie near 1."]
    notebook = good_notebook()
    notebook.cells[7].source = "epochs = 4"
    assert lag(page, notebook) == ["-code: profile = 'smoke'", "+code: epochs = 4"]
    notebook = good_notebook()
    notebook.cells.append(new_markdown_cell("One more."))
    assert lag(page, notebook) == ["+markdown: One more."]


SOLVED = (valid_format, run_top_to_bottom, no_error_output, no_stderr, no_machine_path, no_library_code, small_file)


@pytest.mark.parametrize("path", NOTEBOOKS, ids=lambda path: path.stem)
def test_every_exercise_has_a_solution_of_its_name_that_ran(path):
    solution = nbformat.read(FOLDER / "solutions" / path.name, as_version=4)
    assert [problem for check in SOLVED for problem in check(solution)] == []
    asked, solved = (
        [title for cell in notebook.cells for title in re.findall(pattern, cell.source, re.MULTILINE)]
        for notebook, pattern in (
            (nbformat.read(path, as_version=4), r"^\*\*(\d+\. [^*]+)\*\* \(\d+ minutes\)"),
            (solution, r"^## (\d+ · .+)$"),
        )
    )
    assert asked == [title.replace(" ·", ".") for title in solved]


def test_the_profile_check_can_fail(tmp_path):
    nbformat.write(good_notebook(), tmp_path / "x.ipynb")
    with pytest.raises(EcglibError, match="no parameter 'epochs'"):
        check_parameters({"epochs": 3}, read_parameters(tmp_path / "x.ipynb"), "x")
