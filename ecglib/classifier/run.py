"""What the store has of a finished classifier."""

import json
from dataclasses import dataclass
from functools import cached_property
from typing import ClassVar

import numpy as np
from torch import nn

from ecglib.classifier.networks import build
from ecglib.classifier.prune import without_channels
from ecglib.classifier.quantise import fake_quantised
from ecglib.core import cost
from ecglib.data.ptbxl import LEADS, Scaler
from ecglib.runs.formats import read_facts, read_tensors
from ecglib.runs.store import StoredRun
from ecglib.stats import multilabel

ALL_LEADS = tuple(range(len(LEADS)))


@dataclass(frozen=True)
class ClassifierRun(StoredRun):
    """A finished classifier; its metrics are those of "validation", "test" and "test_last"."""

    WEIGHTS: ClassVar[tuple[str, ...]] = ("weights",)  # "last" is for those that go on from it

    @cached_property
    def predictions(self) -> dict[str, np.ndarray]:
        """`<part>_logits` (N, 5) float32, `<part>_targets` (N, 5) and `<part>_patients` (N,) of each part."""
        return self.arrays()

    @property
    def tested(self) -> np.ndarray:
        """Targets (N, 5) of the test records."""
        return self.predictions["test_targets"]

    def resampled(self, key: str, patients: bool) -> np.ndarray:
        """Macro-AUC of each bootstrap resample of the records that `key` names, or of whole patients: (R,)."""
        if (key, patients) not in self._resampled:
            part = key.removesuffix("_last")
            members = self.predictions[f"{part}_patients"] if patients else None
            self._resampled[key, patients] = multilabel.resampled_auc(
                self.predictions[f"{part}_targets"], self.predictions[f"{key}_logits"], members
            )
        return self._resampled[key, patients]

    @cached_property
    def _resampled(self) -> dict[tuple[str, bool], np.ndarray]:
        return {}

    @cached_property
    def scaler(self) -> Scaler:
        """The scaling of the input.

        Raises:
            EcglibError: the store came without weights, or they are damaged.
        """
        facts = json.loads(read_facts(self.weights_file())["scaler"])
        return Scaler(tuple(facts["mean"]), tuple(facts["deviation"]))

    @property
    def teachers(self) -> tuple[str, ...]:
        """What `task.Distillation` names as teachers: run ids, or words for teachers that are no runs."""
        lesson = self.config.get("lesson") or {}
        return (lesson["teacher"], *lesson.get("others", ())) if lesson else ()

    @property
    def leads(self) -> list[int]:
        """Positions in `LEADS` of the network's input."""
        return list(self.config.get("leads", ALL_LEADS))

    @property
    def network(self) -> str:
        """A key of `networks.MODELS`."""
        return self.config.get("network", "student")

    @property
    def pruned(self) -> float:
        """The share of channels that was cut out of the network."""
        return self.config.get("pruned", 0)

    def model(self) -> nn.Module:
        """The network with its best weights, in evaluation mode, on the CPU.

        Raises:
            EcglibError: the store came without weights, or they are damaged.
        """
        model = self._network()
        model.load_state_dict(read_tensors(self.weights_file()))
        return model.eval()

    @cached_property
    def parameters(self) -> int:
        """The number of trainable weights."""
        return cost.count_parameters(self._network())

    def _network(self) -> nn.Module:
        """The network before its weights are read."""
        model = build(self.network, len(self.leads))
        if self.config.get("fake_quantised"):
            return fake_quantised(model)
        # Which channels went is in the weights; how many, and so all shapes, follow from the share alone.
        return without_channels(model, len(self.leads), self.pruned) if self.pruned else model


class PretrainingRun(StoredRun):
    """Finished convolutions (`pretraining`); the only metric is the loss of the last epoch."""

    WEIGHTS: ClassVar[tuple[str, ...]] = ("weights",)

    @property
    def leads(self) -> list[int]:
        """Positions in `LEADS` of what the convolutions see."""
        return list(self.config.get("leads", ALL_LEADS))
