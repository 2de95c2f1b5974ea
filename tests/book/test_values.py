"""Values of the right type and no sense are refused before anything runs; those of every profile are accepted."""

from typing import get_args

import pytest

from ecglib.book import parameters, values
from ecglib.core.errors import EcglibError
from ecglib.core.precision import Precision
from ecglib.core.profiles import PROFILES
from ecglib.core.seeds import STUDENT_SEED

WRONG = [
    ("02", "seeds", "0"), ("02", "seeds", "-1"), ("02", "seeds", "1" + 30 * "0"), ("02", "epochs", "0"),
    ("02", "epochs", "1_000"), ("02", "epochs", "\uff11\uff10"), ("02", "epochs", " 3 "), ("02", "epochs", "1e1"),
    ("02", "train_beats", "-5"), ("02", "train_beats", "10"), ("02", "validation_beats", "1"),
    ("02", "precision", "float16"), ("03", "width", "nan"), ("03", "width", "inf"), ("03", "width", "0"),
    ("03", "width", "-1"), ("03", "test_beats", "1"), ("03", "other_seeds", "0"), ("03", "left_out", "Z"),
    ("03", "left_out", "H8"), ("04", "sweep_seeds", "0"), ("04", "encoder_epochs", "0"),
    ("04", "scenario_epochs", "0"), ("04", "scenario_train_beats", "10"), ("04", "scenario_validation_beats", "1"),
    ("05", "batch_size", "1"),
    ("05", "networks", ""), ("05", "networks", "resnet resnett"), ("05", "networks", "plain plain"),
    ("05", "teacher_network", "teecher"), ("05", "student_network", ""), ("05", "train_records", "3"),
]  # fmt: skip


@pytest.mark.parametrize(("notebook", "name", "text"), WRONG)
def test_a_value_without_sense_is_one_line_that_names_it(notebook, name, text):
    with pytest.raises(EcglibError, match=rf"^{notebook}_\w+\.ipynb: .*{name}[^\n]*$"):
        parameters.plan(parameters.find_notebooks([notebook]), "smoke", {name: text}, {})


@pytest.mark.parametrize("profile", PROFILES)
def test_the_profiles_own_values_pass(profile):
    planned = parameters.plan(parameters.find_notebooks(), profile, {}, {}, here=False)
    assert len(planned) == 5


def test_what_is_written_down_twice_is_equal():
    assert get_args(Precision) == values.PRECISIONS
    assert values.SEEDS == STUDENT_SEED
