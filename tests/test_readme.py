"""README.md and RESULTS.md show what the committed runs say, and their links lead somewhere."""

import re

import pytest

from ecglib import readme
from ecglib.errors import EcglibError
from ecglib.files import project_root


@pytest.mark.parametrize("page", [readme.SUMMARY, readme.ALL])
def test_the_results_are_those_of_the_committed_runs(page):
    root = project_root()
    text = (root / page).read_text(encoding="utf-8")
    tables = readme.results(root / "papermill_runs", page)
    assert text == readme.updated(text, tables), "stale: run 'ecglib readme'"


@pytest.mark.parametrize("name", ["README.md", "README.ko.md", "RESULTS.md"])
def test_links_and_pictures_are_there(name):
    root = project_root()
    text = (root / name).read_text(encoding="utf-8")
    targets = [target for target in re.findall(r"\]\(([^)#]+)\)", text) if not target.startswith("http")]
    assert targets
    assert [target for target in targets if not (root / target).exists()] == []


def test_a_changed_number_makes_the_readme_stale(tmp_path):
    paths = {name: tmp_path / table.profile / "results" / f"{name}.csv" for name, table in readme.TABLES.items()}
    for path in paths.values():
        path.parent.mkdir(parents=True, exist_ok=True)
        path.write_text("what,measured\nbeats,97568.0\nAUC,0.9\n")
    before = readme.results(tmp_path, readme.ALL)
    assert "| beats | 97,568 |" in before
    paths["02_teacher"].write_text("what,measured\nbeats,97568.0\nAUC,0.8\n")
    assert readme.results(tmp_path, readme.ALL) != before
    with pytest.raises(EcglibError, match=r"lacks the lines"):
        readme.updated("no markers", before)
    paths["02_teacher"].unlink()
    with pytest.raises(EcglibError, match=r"02_teacher\.csv is missing"):
        readme.results(tmp_path, readme.ALL)
