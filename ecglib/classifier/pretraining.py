"""Contrastive pretraining of a classifier's convolutions, without labels: SimCLR (Chen et al. 2020) for records.

R2 proposes contrast for beats (notebook 04); here it serves R3's student. The two views of a record are two random
windows of it, each lead a little louder or softer, with some noise, and some leads silent.
"""

import math
from dataclasses import dataclass
from functools import partial
from pathlib import Path
from typing import ClassVar

import numpy as np
import torch
from torch import Tensor, nn

from ecglib.classifier import training
from ecglib.classifier.networks import ConvNet, build
from ecglib.classifier.run import ALL_LEADS, PretrainingRun
from ecglib.classifier.task import ClassifierConfig
from ecglib.classifier.training import Settings, windows
from ecglib.core.config import Checked, digest
from ecglib.core.errors import EcglibError
from ecglib.core.seeds import seed_everything
from ecglib.data import ptbxl
from ecglib.data.ptbxl import Records, Scaler
from ecglib.runs.loop import Loop, copied
from ecglib.runs.obtain import Clock, Result
from ecglib.simclr.losses import nt_xent

LOUDER, NOISE, SILENT = 0.2, 0.05, 0.2  # largest change of a lead, deviation of its noise, share of silent leads
HIDDEN, OUTPUTS = 256, 64  # of the projection head
TEMPERATURE = 0.1  # tau of NT-Xent
BETWEEN_BLOCKS = 0.1  # dropout; R3's 0.5 would hide what the two views share


@dataclass(frozen=True)
class PretrainingConfig(Checked):
    """Everything that decides pretrained convolutions; equal configs are one run."""

    data: str  # `Records.fingerprint` of the records
    training: Settings  # with a window
    network: str = "student"  # a key of `networks.MODELS`
    leads: tuple[int, ...] = ALL_LEADS  # positions in `LEADS`
    train_records: int = 0  # how many of the training records, as for the classifier; 0 is all

    parents: ClassVar[tuple[str, ...]] = ()

    def __post_init__(self) -> None:
        super().__post_init__()
        self._supervised()  # which checks network, leads and records
        if not self.training.window:
            raise EcglibError("Contrast compares two windows of a record: give training.window in samples.")
        if self.training.mixup or self.training.ema_decay:
            raise EcglibError("Pretraining neither mixes records nor averages weights: use mixup=0 and ema_decay=0.")

    @property
    def run_id(self) -> str:
        """The run's folder name: readable, and different for every other config."""
        seen = "" if self.leads == ALL_LEADS else f"-{len(self.leads)}lead"
        return f"{self.network}{seen}-contrast-seed{self.training.seed}-{digest(self)}"

    def run(self, store: Path) -> "PretrainingRun":
        """The run in a store, finished or not."""
        return PretrainingRun(store / self.run_id)

    def train(self, records: Records, loop: Loop) -> Result:
        """Train all epochs on the training records of the data set's own folds.

        Raises:
            EcglibError: the records are not those of the config or do not fill one batch, training diverged, or the
                network has no blocks that could be pretrained.
        """
        settings = self.training
        signals = records.seen(self._members(records), self.leads)
        x = torch.from_numpy(Scaler.fit(signals)(signals)).to(loop.device)
        del signals  # as large as x
        steps = len(x) // settings.batch_size
        if steps == 0:
            raise EcglibError(f"{len(x)} records do not fill one batch of {settings.batch_size}: use more.")
        model, head = self._learner()
        learner = nn.ModuleList([model, head]).to(loop.device).train()
        optimizer = training.new_optimizer(settings, learner)
        schedule = training.new_schedule(settings, optimizer, steps * settings.batch_size)
        loop.restore(learner=learner, optimizer=optimizer, **({"schedule": schedule} if schedule else {}))
        for epoch in loop.epochs():
            losses = []
            with loop.reduced():
                order = torch.randperm(len(x))[: steps * settings.batch_size].to(loop.device)
                for batch in order.split(settings.batch_size):
                    losses.append(self._step(model, head, x[batch], optimizer))
                    if schedule:
                        schedule.step()
            mean = torch.stack(losses).double().mean().item()
            if not math.isfinite(mean):
                raise EcglibError(f"Contrastive training diverged in epoch {epoch}: lower the learning rate.")
            loop.record(loss=mean)
        last = {"train": {"loss": loop.history[-1]["loss"]}}
        return Result({"weights": (copied(model.blocks), None)}, {}, lambda _: last, {"train_records": len(x)})

    def seconds_per_epoch(self, records: Records, device: torch.device, clock: Clock) -> float:
        """An estimate, timed on one batch of noise."""
        model, head = self._learner()
        learner = nn.ModuleList([model, head]).to(device).train()
        optimizer = training.new_optimizer(self.training, learner)
        x = torch.randn(self.training.batch_size, len(self.leads), ptbxl.SAMPLES, device=device)
        return clock(partial(self._step, model, head, x, optimizer)) * len(self._members(records)) / len(x)

    def _members(self, records: Records) -> np.ndarray:
        return self._supervised().choose(records).train

    def _supervised(self) -> ClassifierConfig:
        """A classifier that could begin with these convolutions."""
        return ClassifierConfig(
            self.data, self.training, self.network, leads=self.leads, train_records=self.train_records
        )

    def _learner(self) -> tuple[ConvNet, nn.Module]:
        seed_everything(self.training.seed)
        model = build(self.network, len(self.leads), BETWEEN_BLOCKS)
        if not isinstance(model, ConvNet):
            raise EcglibError(f"{self.network} has no blocks that could be pretrained: choose a ConvNet.")
        size = model.classifier.in_features
        return model, nn.Sequential(nn.Linear(size, HIDDEN), nn.ReLU(), nn.Linear(HIDDEN, OUTPUTS))

    def _step(self, model: ConvNet, head: nn.Module, x: Tensor, optimizer: torch.optim.Optimizer) -> Tensor:
        """One training step on records x (B, L, T); its loss."""

        def embedded() -> Tensor:
            seen = view(windows(x, self.training.window))
            return head(model.pool(model.features(seen)[-1]).flatten(1))

        value = nt_xent(embedded(), embedded(), TEMPERATURE)
        optimizer.zero_grad()
        value.backward()
        optimizer.step()
        return value.detach()


def view(x: Tensor) -> Tensor:
    """Windows x (B, L, T): each lead scaled, with noise, and silent with probability `SILENT`.

    A lead that is the only one is never silent: two blank views would say nothing of their record.
    """
    louder, silent = (torch.rand(*x.shape[:2], 1, device=x.device) for _ in range(2))
    x = x * (1 + LOUDER * (2 * louder - 1)) + NOISE * torch.randn_like(x)
    return x.masked_fill(silent < SILENT, 0) if x.shape[1] > 1 else x
