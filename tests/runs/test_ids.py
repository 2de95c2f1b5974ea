"""Every committed run's id is the digest of its config: a change of a default or of a field's name would show here."""

import dataclasses
import json
from types import UnionType
from typing import get_args, get_origin, get_type_hints

import pytest

from ecglib.beatgan.task import BeatGANConfig
from ecglib.book.evidence import chapter_of
from ecglib.classifier.pretraining import PretrainingConfig
from ecglib.classifier.task import ClassifierConfig
from ecglib.core.files import project_root
from ecglib.runs.store import Bundle
from ecglib.simclr.encoder import EncoderConfig
from ecglib.simclr.scenarios import ScenarioConfig

PROFILES = sorted(path.parent for path in project_root().glob("papermill_runs/*/runs.jsonl"))
KINDS = {"beatgan": BeatGANConfig, "students": BeatGANConfig, "classifier": ClassifierConfig}


def restored(kind, facts):
    """A config from what differs from its defaults."""
    hints, values = get_type_hints(kind), {}
    for field in dataclasses.fields(kind):
        key = field.metadata.get("key", field.name)
        if key in facts:
            hint = hints[field.name]
            hint = get_args(hint)[0] if get_origin(hint) is UnionType else hint
            values[field.name] = restored(hint, facts[key]) if dataclasses.is_dataclass(hint) else facts[key]
    assert len(values) == len(facts), f"{kind.__name__} does not know all of {facts}"
    return kind(**values)


@pytest.mark.parametrize("folder", PROFILES, ids=lambda path: path.name)
def test_every_committed_config_hashes_to_the_id_of_its_run(folder):
    bundle = Bundle(folder)
    assert bundle.facts
    for run, facts in bundle.facts.items():
        config = facts["config"]
        chapter = chapter_of(f"{run}/predictions", config, bundle.groups[f"{run}/predictions"])
        kind = KINDS.get(chapter) or (ScenarioConfig if "contrast" in config else EncoderConfig)
        kind = PretrainingConfig if "-contrast-" in run else kind
        assert restored(kind, config).run_id == run


def test_a_changed_default_would_show():
    facts = {"data": "d", "training": {"seed": 3}, "width": 0.5}
    config = restored(BeatGANConfig, json.loads(json.dumps(facts)))
    assert config.run_id != restored(BeatGANConfig, facts | {"width": 0.25}).run_id
    with pytest.raises(AssertionError, match="does not know"):
        restored(BeatGANConfig, facts | {"breadth": 1})
