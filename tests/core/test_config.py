"""Configs are checked, and their ids stand for what differs from the defaults."""

from dataclasses import dataclass, field, replace
from typing import Literal

import pytest
import torch

from ecglib.beatgan.distillation import Distillation
from ecglib.beatgan.training import Settings as BeatGANSettings
from ecglib.classifier import task as classifier
from ecglib.classifier.task import ClassifierConfig
from ecglib.classifier.training import Settings
from ecglib.core.config import Checked, differences, digest
from ecglib.core.errors import EcglibError
from ecglib.data.augment import Views
from ecglib.simclr.scenarios import Contrast


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


@pytest.mark.parametrize(
    ("kind", "change"),
    [
        (Settings, {"patience": 0}),
        (Settings, {"learning_rate": float("nan")}),
        (BeatGANSettings, {"learning_rate": -1.0}),
        (BeatGANSettings, {"epochs": 0}),
        (Contrast, {"places": ("generator",), "temperature": 0.0}),
        (Views, {"warped": 71}),
        (Views, {"masked": 1}),
        (Views, {"masked": 320}),
        (Views, {"shift": -1}),
    ],
)
def test_a_value_that_makes_no_sense_is_refused(kind, change):
    seed = {"seed": 0} if kind in (Settings, BeatGANSettings) else {}
    with pytest.raises(EcglibError, match=f"{kind.__name__}.{list(change)[-1]} is .*: it must be at least"):
        kind(**seed, **change)


def test_every_allowed_view_can_be_drawn():
    for change in ({"warped": 70}, {"masked": 319}, {"masked": 2}, {"shift": 319}):
        for augment in Views(**change).augmentations.values():
            assert augment(torch.rand(50, 2, 320)).shape == (50, 2, 320)


def test_a_lead_that_does_not_exist_is_refused():
    for leads in ((12,), (), (-1,)):
        with pytest.raises(EcglibError, match="positions of leads, from 0 to 11"):
            ClassifierConfig("data", Settings(seed=0), leads=leads)
