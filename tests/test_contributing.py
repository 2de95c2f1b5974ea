"""The examples of CONTRIBUTING.md run, and are as short as it promises."""

import re
from dataclasses import replace
from pathlib import Path

import pytest

from ecglib.data import physionet, ptbxl
from ecglib.simclr import detectors

TEXT = (Path(__file__).parents[1] / "CONTRIBUTING.md").read_text(encoding="utf-8")
EXAMPLES = dict(re.findall(r"^## (.+?)\n.*?^```python\n(.*?)^```", TEXT, re.MULTILINE | re.DOTALL))


@pytest.mark.parametrize("name", EXAMPLES)
def test_an_example_of_at_most_20_lines_runs(name, tiny, beats, simulated_root, tmp_path, monkeypatch, capsys):
    source = EXAMPLES[name]
    assert len([line for line in source.splitlines() if line.strip()]) <= 20
    monkeypatch.setenv("ECGLIB_CACHE", str(tmp_path / "cache"))
    registries = (detectors.BLOCKS, detectors.LADDER, physionet.DATABASES)
    before = [set(registry) for registry in registries]
    file = tmp_path / "example.py"
    file.write_text(source, encoding="utf-8")  # a function's source is part of a cache's key, so it needs a file
    given = {"base": replace(tiny, width=0.125), "beats": beats, "root": simulated_root, "store": tmp_path / "runs"}
    if "records" in source:
        given["records"] = ptbxl.load_records(simulated_root)
    try:
        exec(compile(source, str(file), "exec"), given)
    finally:
        for registry, known in zip(registries, before, strict=True):
            for key in set(registry) - known:
                del registry[key]
    assert capsys.readouterr().out.strip()


def test_there_is_an_example_of_everything_that_can_be_added():
    assert list(EXAMPLES) == ["An arm", "A detector", "A compressed model", "A database", "A figure that one can touch"]
