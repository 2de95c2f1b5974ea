"""What the store keeps comes back; what is damaged says so."""

import shutil
from dataclasses import replace
from pathlib import Path

import pytest

from ecglib.core.errors import EcglibError
from ecglib.runs.obtain import obtain


@pytest.fixture(scope="module")
def finished(tiny, beats, tmp_path_factory):
    return obtain(tiny, beats, tmp_path_factory.mktemp("store"), "cpu")


@pytest.fixture
def run(finished, tmp_path):
    """A finished run, copied for each test."""
    return type(finished)(Path(shutil.copytree(finished.folder, tmp_path / finished.folder.name)))


FAULTS = {
    "an edited config": ("config.json", lambda text: text.replace(b'"seed": 0', b'"seed": 1'), "config", "was changed"),
    "no metrics in it": ("metrics.json", lambda text: b"{}", "metrics", "is empty: delete it and run again"),
    "emptied metrics": ("metrics.json", lambda text: b"", "metrics", "cannot be read .*delete it and run again"),
    "emptied history": ("history.csv", lambda text: b"", "history", "cannot be read .*delete it and run again"),
    "no history": ("history.csv", None, "history", "cannot be read .*delete it and run again"),
    "other predictions": ("predictions.npz", lambda text: text[:-1] + b"!", "predictions", "is not what this run has"),
    "no environment": ("env.json", None, "environment", "cannot be read .*delete it and run again"),
}


@pytest.mark.parametrize("kind", FAULTS)
def test_a_run_that_was_tampered_with_is_one_clear_error(run, kind):
    file, change, asked, message = FAULTS[kind]
    path = run.folder / file
    if change is None:
        path.unlink()
    else:
        path.write_bytes(change(path.read_bytes()))
    with pytest.raises(EcglibError, match=message) as found:
        getattr(type(run)(run.folder), asked)
    assert "\n" not in str(found.value)


def test_an_array_that_is_not_there_is_named(run):
    with pytest.raises(EcglibError, match="have no 'logits': delete the folder"):
        run.predictions["logits"]


def test_predictions_of_another_run_are_not_taken(run, tiny, beats, tmp_path):
    other = obtain(replace(tiny, training=replace(tiny.training, seed=7)), beats, tmp_path, "cpu")
    (run.folder / "predictions.npz").write_bytes((other.folder / "predictions.npz").read_bytes())
    with pytest.raises(EcglibError, match="is not what this run has written"):
        type(run)(run.folder).predictions  # noqa: B018
