"""Configs are checked, and their ids stand for what differs from the defaults."""

from dataclasses import dataclass, field, replace
from typing import Literal

import pytest

from ecglib.beatgan.distillation import Distillation
from ecglib.classifier import task as classifier
from ecglib.classifier.task import ClassifierConfig
from ecglib.classifier.training import Settings
from ecglib.core.config import Checked, differences, digest
from ecglib.core.errors import EcglibError


@dataclass(frozen=True)
class Inner(Checked):
    steps: int = 2


@dataclass(frozen=True)
class Outer(Checked):
    name: str
    rate: float = 1.0
    kind: Literal["a", "b"] = "a"
    leads: tuple[int, ...] = (0,)
    flag: bool = False
    inner: Inner | None = field(default=None, metadata={"key": "within"})


@pytest.mark.parametrize(
    "change",
    [
        {"kind": "c"},
        {"rate": "1"},
        {"leads": 1},
        {"leads": (0.5,)},
        {"flag": 1},
        {"name": 3},
        {"inner": 3},
        {"rate": True},
    ],
)
def test_a_wrong_value_names_its_field(change):
    (name,) = change
    with pytest.raises(EcglibError, match=f"Outer.{name} is"):
        Outer(**{"name": "x", **change})


def test_a_whole_number_and_the_same_float_are_one_config():
    assert digest(Outer("x", rate=4)) == digest(Outer("x", rate=4.0))
    assert digest(Distillation(("scores",), "t", temperature=2)) == digest(
        Distillation(("scores",), "t", temperature=2.0)
    )
    base = ClassifierConfig("data", Settings(seed=0))
    whole, same = (replace(base, distillation=classifier.Distillation("teacher", temperature=t)) for t in (4, 4.0))
    assert whole.run_id == same.run_id
    assert Outer("x", leads=[0, 1]) == Outer("x", leads=(0, 1))


def test_only_what_differs_from_the_defaults_counts():
    assert differences(Outer("x")) == {"name": "x"}
    assert digest(Outer("x")) == digest(Outer("x", rate=1.0, inner=None))
    assert differences(Outer("x", inner=Inner(3))) == {"name": "x", "within": {"steps": 3}}
    assert len({digest(one) for one in (Outer("x"), Outer("y"), Outer("x", inner=Inner()), Outer("x", flag=True))}) == 4


def test_a_misspelt_split_does_not_train_on_another_one():
    base = ClassifierConfig("data", Settings(seed=0))
    with pytest.raises(EcglibError, match=r"ClassifierConfig\.split is 'benchmrk': choose one of benchmark, report"):
        replace(base, split="benchmrk")
    with pytest.raises(EcglibError, match=r"Distillation\.program is 'as_coded': choose one of as coded, corrected"):
        Distillation(("scores",), "teacher", program="as_coded")
