"""The files around the code agree with each other: versions, citation, licence, and no path of anyone's machine."""

import re
import subprocess
import sys
import tomllib
from pathlib import Path

import pytest
import yaml
from packaging.requirements import Requirement
from packaging.specifiers import SpecifierSet
from packaging.utils import canonicalize_name

import ecglib

ROOT = Path(__file__).parents[1]
# Not preceded by a letter or a dot, so that the path of a URL or ../other/ is none.
MACHINE_PATH = re.compile(r"(?<![\w.-])/(?:work|root|home|Users)/[a-z]")


@pytest.fixture(scope="module")
def project():
    return tomllib.loads((ROOT / "pyproject.toml").read_text())["project"]


@pytest.fixture(scope="module")
def requirements(project):
    """Name -> requirement, of the core and of every extra."""
    groups = [project["dependencies"], *project["optional-dependencies"].values()]
    everything = [Requirement(line) for group in groups for line in group]
    return {canonicalize_name(requirement.name): requirement for requirement in everything}


def test_the_version_is_one(project):
    citation = yaml.safe_load((ROOT / "CITATION.cff").read_text())
    assert project["version"] == ecglib.__version__ == citation["version"]


def test_training_runs_where_notebook_and_wfdb_packages_are_absent():
    absent = ("wfdb", "pooch", "biosppy", "matplotlib", "seaborn", "papermill", "nbformat", "IPython", "ipywidgets")
    tasks = "ecglib.beatgan.task, ecglib.simclr.scenarios, ecglib.classifier.task, ecglib.runs.grid"
    code = f"import sys; sys.modules.update(dict.fromkeys({absent})); import {tasks}"
    subprocess.run([sys.executable, "-W", "ignore", "-c", code], check=True, cwd=ROOT)


def test_environment_yml_has_the_bounds_of_pyproject(project, requirements):
    environment = yaml.safe_load((ROOT / "environment.yml").read_text())
    *conda, pip = environment["dependencies"]
    assert environment["name"] == project["name"]
    assert environment["channels"] == ["conda-forge"]
    assert pip == {"pip": ["-e .[data,notebooks,compress,dev]"]}
    assert conda.pop() == "pip"
    bounds = {requirement.name: requirement.specifier for requirement in map(Requirement, conda)}
    assert bounds.pop("python") == SpecifierSet(project["requires-python"])
    assert len(bounds) == 6
    for name, bound in bounds.items():
        assert bound == requirements[canonicalize_name(name)].specifier, name


@pytest.fixture(scope="module")
def pins():
    """Versions of constraints.txt, by name."""
    lines = [line for line in (ROOT / "constraints.txt").read_text().splitlines() if not line.startswith("#")]
    return {canonicalize_name(name): version for name, version in (line.split("==") for line in lines)}


def test_constraints_pin_every_dependency_within_its_bounds(requirements, pins):
    for name, requirement in requirements.items():
        assert name in pins, f"constraints.txt does not pin {name}"
        assert requirement.specifier.contains(pins[name]), f"{name}=={pins[name]} is outside {requirement}"
    assert pins["torch"] == "2.13.0"
    assert pins["nbval"] == "0.11.0"


def test_the_constraints_with_hashes_have_the_same_versions_and_a_hash_for_each(pins):
    text = (ROOT / "constraints.hashes.txt").read_text().replace("\\\n", " ")
    hashed = {}
    for line in (line for line in text.splitlines() if not line.startswith("#")):
        requirement, *hashes = line.split("--hash=sha256:")
        requirement = Requirement(requirement)
        assert hashes and all(re.fullmatch(r"[0-9a-f]{64}\s*", value) for value in hashes), requirement
        hashed[canonicalize_name(requirement.name)] = str(requirement.specifier).removeprefix("==")
        assert canonicalize_name(requirement.name) in pins or requirement.marker, "needed on some systems only"
    assert pins.items() <= hashed.items()


def test_every_package_has_its_licence_in_the_table(requirements):
    lines = (ROOT / "docs" / "licences.md").read_text(encoding="utf-8").split("## Packages")[1].splitlines()
    rows = [line.strip("| ").split(" | ") for line in lines if line.startswith("| ")][1:]
    assert {canonicalize_name(name) for name, *_ in rows if set(name) != {"-"}} == set(requirements)


def test_the_citation_is_complete():
    citation = yaml.safe_load((ROOT / "CITATION.cff").read_text())
    assert citation["cff-version"] == "1.2.0"
    assert citation["title"] == "ECG paper companion"
    assert citation["license"] == "MIT"
    assert citation["message"]
    assert len(citation["references"]) == 12
    for entry in (citation, *citation["references"]):
        assert isinstance(entry["title"], str) and entry["type"] and entry["authors"]
        for author in entry["authors"]:
            assert author.keys() in ({"name"}, {"given-names", "family-names"}), entry["title"]
        assert re.fullmatch(r"10\.\d{4,9}/[\w:/;.()\[\]-]+", entry.get("doi", "10.1000/none"))
    reports = [reference for reference in citation["references"] if reference["type"] == "report"]
    assert [report["year"] for report in reports] == [2021, 2022, 2023]


def test_the_licence_is_mit(project):
    text = (ROOT / "LICENSE").read_text()
    assert project["license"] == "MIT"
    assert project["license-files"] == ["LICENSE"]
    assert text.startswith("MIT License\n\nCopyright (c) 2026 the ECG paper companion authors\n")
    assert "Permission is hereby granted, free of charge" in text


def test_no_tracked_file_has_a_path_of_a_machine():
    # safe.directory: the checkout may belong to another user than the one who tests
    command = ["git", "-c", "safe.directory=*", "-C", str(ROOT), "ls-files", "-z"]
    try:
        names = subprocess.run(command, capture_output=True, text=True, check=True).stdout.split("\0")
    except (FileNotFoundError, subprocess.CalledProcessError) as error:
        pytest.skip(f"not a git checkout: {error}")
    contents = {name: (ROOT / name).read_bytes() for name in names if name and (ROOT / name).is_file()}
    assert "pyproject.toml" in contents
    found = {
        name: match.group()
        for name, content in contents.items()
        if b"\0" not in content and (match := MACHINE_PATH.search(content.decode(errors="replace")))
    }
    assert found == {}


def test_the_path_pattern_finds_paths_and_leaves_urls_alone():
    assert MACHINE_PATH.search(f'open("/{"home"}/me/x")')
    assert MACHINE_PATH.search(f"/{'work'}/main")
    assert not MACHINE_PATH.search("https://example.org/home/x, ../other/x and mitdb/1.0.0/100.dat")
