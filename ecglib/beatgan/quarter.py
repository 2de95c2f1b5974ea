"""Two numbers that need no choice of an epoch, from the last quarter of a training.

A GAN's AUC swings from epoch to epoch by more than any gain that is claimed. Quieter are the mean of a metric over the
last quarter of the epochs (`comparisons.LATE`), and the metric of the mean of the weights over it
(`comparisons.AVERAGED`; Izmailov et al. 2018).
"""

from collections.abc import Mapping
from typing import Any

import numpy as np
from torch import Tensor
from torch.optim.swa_utils import AveragedModel, update_bn

from ecglib.beatgan.networks import Generator, anomaly_scores
from ecglib.stats import metrics

UNITS = {"beats": False, "patients": True}  # of the bootstrap


def first_epoch(epochs: int) -> int:
    """The first of the last quarter's epochs, which are at least one; counted from 0."""
    return epochs - max(1, epochs // 4)


class LastQuarter:
    """Follows a generator through the last quarter of its `epochs`, at least one; a part of the checkpoint."""

    def __init__(self, generator: Generator, epochs: int) -> None:
        self.first = first_epoch(epochs)
        self.averaged = AveragedModel(generator)
        self.scores: list[Tensor] = []  # of the test beats (N,), one an epoch

    def after_step(self, epoch: int, generator: Generator) -> None:
        """Take the weights after a step into the mean."""
        if epoch >= self.first:
            self.averaged.update_parameters(generator)

    def after_epoch(self, epoch: int, generator: Generator, x: Tensor) -> None:
        """Keep the scores of the test beats x (N, C, 320); nothing is chosen by them."""
        if epoch >= self.first:
            self.scores.append(anomaly_scores(generator.eval(), x).cpu())
            generator.train()

    def generator(self, x: Tensor, batch_size: int) -> Generator:
        """The generator with the mean of the weights; its BatchNorm statistics come from the training beats x."""
        update_bn(x.split(batch_size), self.averaged)
        generator: Any = self.averaged.module.eval()
        return generator

    def arrays(self, labels: np.ndarray, patients: np.ndarray) -> dict[str, np.ndarray]:
        """What the store keeps for `late_metrics` and `late_resampled`; `labels` and `patients` (N,) of the test beats.

        The scores of all these epochs would take fifty times the space.
        """
        abnormal, found = labels != "N", [scores.numpy() for scores in self.scores]
        classes = [metrics.per_class_auc(labels, scores) for scores in found]
        arrays = {
            "late_auc": np.array([metrics.auc(abnormal, scores) for scores in found]),
            "late_ap": np.array([metrics.average_precision(abnormal, scores) for scores in found]),
        }
        arrays |= {f"late_auc_{name}": np.array([one[name] for one in classes]) for name in classes[0]}
        for unit, whole in UNITS.items():
            drawn = [metrics.resampled(abnormal, scores, patients if whole else None) for scores in found]
            for metric in ("auc", "ap"):
                arrays[f"late_resampled_{metric}_{unit}"] = np.mean([one[metric] for one in drawn], axis=0, dtype="f4")
        return arrays

    def state_dict(self) -> dict[str, Any]:
        """See `runs.loop.Part`."""
        return {"averaged": self.averaged.state_dict(), "scores": self.scores}

    def load_state_dict(self, state_dict: dict[str, Any]) -> None:
        """See `runs.loop.Part`."""
        self.averaged.load_state_dict(state_dict["averaged"])
        self.scores = [scores.cpu() for scores in state_dict["scores"]]


def late_metrics(stored: Mapping[str, np.ndarray]) -> dict[str, float]:
    """A run's metrics by the rule `comparisons.LATE`, from what it stored: AUC, AP, AUC of classes, intervals."""
    names = [name for name in stored if name.startswith("late_a")]
    found = {name.removeprefix("late_"): float(stored[name].mean()) for name in names}
    for unit, whole in UNITS.items():
        for metric, values in late_resampled(stored, whole).items():
            interval = metrics.percentiles(found[metric], values)
            found[f"{metric}_low_{unit}"], found[f"{metric}_high_{unit}"] = interval.low, interval.high
    return found


def late_resampled(stored: Mapping[str, np.ndarray], patients: bool) -> dict[str, np.ndarray]:
    """AUC and AP in each bootstrap resample of test beats, or of whole patients: the mean over the epochs, (R,)."""
    unit = next(name for name, whole in UNITS.items() if whole == patients)
    return {metric: stored[f"late_resampled_{metric}_{unit}"] for metric in ("auc", "ap")}
