"""A BeatGAN as a run: its config, its training from the first epoch to the last, and what the store keeps of it."""

from collections.abc import Callable, Mapping, Sequence
from dataclasses import KW_ONLY, dataclass
from functools import cached_property, partial
from pathlib import Path
from typing import ClassVar, Literal

import numpy as np
import torch
from torch import Tensor

from ecglib.beatgan import training
from ecglib.beatgan.distillation import SELF, Distillation, Distiller, check_teacher
from ecglib.beatgan.networks import Generator, anomaly_scores
from ecglib.beatgan.quarter import LastQuarter, late_metrics, late_resampled
from ecglib.beatgan.training import Settings, State, Term, Validation
from ecglib.core.config import Checked, digest
from ecglib.core.cuda_graph import Row
from ecglib.core.errors import EcglibError
from ecglib.data import mitbih
from ecglib.data.augment import warp_most
from ecglib.data.mitbih import CLASSES, RECORDS, Beats
from ecglib.data.split import Split
from ecglib.runs.formats import digest_of_file, read_tensors
from ecglib.runs.loop import Best, Loop, copied
from ecglib.runs.obtain import Clock, Result
from ecglib.runs.store import StoredRun
from ecglib.stats import metrics
from ecglib.stats.comparisons import AVERAGED, LATE


@dataclass(frozen=True)
class BeatsConfig(Checked):
    """Which beats a network learns from, and how wide it is; BeatGAN and SimCLR share it."""

    data: str  # `Beats.fingerprint` of the beats
    _: KW_ONLY
    split: Literal["report", "patients"] = "report"  # R1's pooled split, or one that no patient crosses
    fold: int = 0  # the fifth of N that the report split tests on
    split_seed: int = 42  # of the report split, R1 section 3.3.4.1
    leads: tuple[int, ...] = (0,)  # R1 used the first lead alone
    width: float = 1.0  # channels of the hidden layers as a multiple of the report's
    train_beats: int = 0  # how many of the split's training beats; 0 is all (R1: 62,436)

    def __post_init__(self) -> None:
        super().__post_init__()
        if self.leads not in ((0,), (1,), (0, 1)):
            raise EcglibError(f"leads={self.leads}: choose (0,), (1,) or (0, 1).")
        if not self.width > 0:
            raise EcglibError(f"width={self.width}: a multiple of the report's channels, above 0.")
        if self.train_beats < 0:
            raise EcglibError("A number of beats is 0, which means all, or more.")

    def choose(self, beats: Beats) -> Split:
        """The split's indices, the training part reduced to `train_beats`.

        Raises:
            EcglibError: the beats are not those of this config.
        """
        whole, shuffled = self.parts(beats)
        return Split(shuffled.train[: self.train_beats or None], whole.validation, whole.test)

    def parts(self, beats: Beats) -> tuple[Split, Split]:
        """The whole split, and the same with every part shuffled, so that the first beats of a part represent it.

        Raises:
            EcglibError: the beats are not those of this config.
        """
        if beats.fingerprint != self.data:
            raise EcglibError("The beats are not those this config was made for: make it with data=beats.fingerprint.")
        if self.split == "report":
            whole = mitbih.report_split(beats, self.fold, self.split_seed)
        else:
            whole = mitbih.patient_split(beats)
        rng = np.random.default_rng(self.split_seed)
        return whole, Split(*(rng.permutation(members) for _, members in whole))

    def x(self, beats: Beats, indices: np.ndarray) -> Tensor:
        """The chosen beats with this config's leads: (N, C, 320) in [-1, 1]."""
        return torch.from_numpy(mitbih.scale(beats.signals[np.asarray(indices)][:, list(self.leads)]))


@dataclass(frozen=True)
class BeatGANConfig(BeatsConfig):
    """Everything that decides a BeatGAN run's result; equal configs are one run."""

    training: Settings
    _: KW_ONLY
    validation_beats: int = 0  # how many of the split's; 0 is all (R1: 8,025)
    test_beats: int = 0  # likewise (R1: 27,107)
    distillation: Distillation | None = None  # None for a BeatGAN alone

    def __post_init__(self) -> None:
        super().__post_init__()
        if min(self.validation_beats, self.test_beats) < 0:
            raise EcglibError("A number of beats is 0, which means all, or more.")

    @property
    def run_id(self) -> str:
        """The run's folder name."""
        kind = "student" if self.distillation else "beatgan"
        return f"{kind}-{self.split}-seed{self.training.seed}-{digest(self)}"

    @property
    def parents(self) -> tuple[str, ...]:
        """The teacher, if it is another run."""
        return (self.distillation.teacher,) if self.distillation and self.distillation.teacher != SELF else ()

    def run(self, store: Path) -> "BeatGANRun":
        """The run in a store, finished or not."""
        return BeatGANRun(store / self.run_id)

    def choose(self, beats: Beats) -> Split:
        """See `BeatsConfig.choose`; validation beats are shuffled to mix the classes, and a whole test set is not."""
        whole, shuffled = self.parts(beats)
        train, validation = (
            shuffled.train[: self.train_beats or None],
            shuffled.validation[: self.validation_beats or None],
        )
        return Split(train, validation, shuffled.test[: self.test_beats] if self.test_beats else whole.test)

    def terms(self, state: State, x: Tensor, teacher: Callable[[], Generator]) -> list[Term]:
        """The distillation term, if any, of a new `state` that learns from x (N, C, 320)."""
        if self.distillation is None:
            return []
        return [Distiller(self.distillation, state.generator, teacher() if self.parents else None, x)]

    def teacher(self, store: Path) -> Generator:
        """The generator that teaches.

        Raises:
            EcglibError: the teacher is not in the store, has no weights, or is no better than chance.
        """
        (name,) = self.parents
        run = BeatGANRun(store / name)
        if not run.finished(weights=True):
            raise EcglibError(f"The teacher {name} is not in {store}: train it first, with weights.")
        check_teacher(run.predictions["validation_labels"] != "N", run.predictions["validation_scores_corrected"], name)
        return run.generator()

    def seconds_per_epoch(self, beats: Beats, device: torch.device, clock: Clock) -> float:
        """An estimate: steps and validation, timed on one batch of noise."""
        settings, split = self.training, self.choose(beats)
        state = training.new_state(settings, len(self.leads), device, self.width)
        x = 2 * torch.rand(settings.batch_size, len(self.leads), mitbih.WINDOW, device=device) - 1
        terms = self.terms(state, x, lambda: Generator(len(self.leads)).to(device))
        step = clock(partial(training.repeated(state, settings, terms), x))
        scored = clock(lambda: anomaly_scores(state.generator, x))
        return (len(split.train) * step + 2 * len(split.validation) * scored) / settings.batch_size

    def before(self, state: State, terms: Sequence[Term], x: Tensor) -> None:
        """Called before the first epoch: the place for pretraining."""

    def train(self, beats: Beats, loop: Loop) -> Result:
        """Train until all epochs are done (report R1, section 3.3.4.3).

        Raises:
            EcglibError: there is no full training batch, a class is absent from validation, or training diverged.
        """
        settings, split = self.training, self.choose(beats)
        x, x_validation, x_test = (self.x(beats, members).to(loop.device) for _, members in split)
        validation = Validation(x_validation, torch.from_numpy(beats.labels[split.validation] != "N"))
        if validation.abnormal.all() or not validation.abnormal.any():
            count = len(x_validation)
            raise EcglibError(f"{count} validation beats hold one class alone: no epoch can be chosen; use more.")
        steps = len(x) // settings.batch_size  # R1 drops the last partial batch
        if steps == 0:
            raise EcglibError(
                f"{len(x)} training beats do not fill one batch of {settings.batch_size}: use more beats."
            )
        state = training.new_state(settings, len(self.leads), loop.device, self.width)
        terms = self.terms(state, x, lambda: self.teacher(loop.store).to(loop.device))
        # A teacher whose weights were kept in half precision alone teaches a little otherwise: which ones did is kept.
        taught = [BeatGANRun(loop.store / name).weights_file() for name in self.parents]
        facts = {"teacher_weights": {path.parent.name: digest_of_file(path) for path in taught}} if taught else None
        best = {rule: Best() for rule in training.ALL_RULES}
        quarter = LastQuarter(state.generator, settings.epochs)
        own = {name: part for term in terms for name, part in term.parts.items()}
        loop.restore(**state.learned, **{f"best_{rule}": one for rule, one in best.items()}, quarter=quarter, **own)
        state.generator.train()
        state.discriminator.train()
        if not loop.history:
            with loop.reduced():
                self.before(state, terms, x)
        step = training.repeated(state, settings, terms)
        for epoch in loop.epochs():
            training.draw_spare(state, settings.seed, epoch)
            order = torch.randperm(len(x))[: steps * settings.batch_size].to(loop.device)
            rows: list[Row] = []
            with loop.reduced():
                for batch in order.split(settings.batch_size):
                    part = warp_most(x[batch]) if settings.time_warp else x[batch]
                    first = not rows
                    rows.append(training.update(state, part, settings, terms, compare=True) if first else step(part))
                    quarter.after_step(epoch, state.generator)
            row = training.epoch_row(rows, epoch)
            measured, judged = training.validate(state.generator, validation, settings.batch_size)
            for rule, (criterion, model) in judged.items():
                best[rule].offer(epoch, criterion, model)
            quarter.after_epoch(epoch, state.generator, x_test)
            loop.record(**row, **measured)
        predictions = {
            "class_codes": _codes(beats.labels[split.test], CLASSES),
            "patient_codes": _codes(beats.patients[split.test], RECORDS),
            "validation_class_codes": _codes(beats.labels[split.validation], CLASSES),
        }
        averaged = copied(quarter.generator(x, settings.batch_size))
        generator = Generator(len(self.leads), self.width).to(loop.device)
        for rule, chosen in {**{rule: one.weights for rule, one in best.items()}, AVERAGED.key: averaged}.items():
            generator.load_state_dict(chosen)
            generator.eval()
            for prefix, seen in (("", x_test), ("validation_", x_validation)):
                # Half precision halves the size, and its three digits are enough for an AUC.
                scores = anomaly_scores(generator, seen).cpu().numpy().astype(np.float16)
                predictions[f"{prefix}scores_{rule}"] = scores
        predictions |= quarter.arrays(beats.labels[split.test], beats.patients[split.test])
        weights = {f"weights_{rule}": (best[rule].weights, None) for rule in training.RULES}
        weights[f"weights_{AVERAGED.key}"] = (averaged, None)
        epochs = {rule: kept.epoch for rule, kept in best.items()} | dict.fromkeys(
            (AVERAGED.key, LATE.key), settings.epochs - 1
        )
        return Result(weights, predictions, lambda stored: evaluate(stored, epochs), facts)


def evaluate(predictions: Mapping[str, np.ndarray], epochs: Mapping[str, int]) -> dict[str, dict[str, float]]:
    """Every metric of a run from `BeatGANRun.predictions`: for the epoch that each rule chose, and of `quarter`."""

    def measured(rule: str) -> dict[str, float]:
        if rule == LATE.key:
            return late_metrics(predictions)
        return metrics.anomaly_metrics(
            predictions["labels"],
            predictions[f"scores_{rule}"],
            predictions["patients"],
            predictions["validation_labels"],
            predictions[f"validation_scores_{rule}"],
        )

    return {rule: {"epoch": epoch, **measured(rule)} for rule, epoch in epochs.items()}


def _codes(values: np.ndarray, names: Sequence[str]) -> np.ndarray:
    return np.array([names.index(value) for value in values], dtype=np.uint8)


@dataclass(frozen=True)
class BeatGANRun(StoredRun):
    """A finished BeatGAN run; its metrics are those of the epoch that each rule chose."""

    WEIGHTS: ClassVar[tuple[str, ...]] = ("weights_corrected",)  # those that teach

    @cached_property
    def predictions(self) -> dict[str, np.ndarray]:
        """`labels`, `patients` and `scores_<rule>` (N,) of the test beats, and `validation_*` (M,)."""
        stored = self.arrays()
        for part in ("", "validation_"):
            stored[f"{part}labels"] = np.array(CLASSES)[stored.pop(f"{part}class_codes")]
        stored["patients"] = np.array(RECORDS)[stored.pop("patient_codes")]
        return stored

    @property
    def tested(self) -> np.ndarray:
        """(N,) classes of the test beats."""
        return self.predictions["labels"]

    def resampled(self, key: str, patients: bool) -> np.ndarray:
        """AUC of each bootstrap resample of test beats, or of whole patients: (R,)."""
        asked, stored = (key, patients), self.predictions
        if asked not in self._resampled:
            if key == LATE.key:
                drawn = late_resampled(stored, patients)["auc"]
            else:
                whose = stored["patients"] if patients else None
                drawn = metrics.resampled_auc(stored["labels"] != "N", stored[f"scores_{key}"], whose)
            self._resampled[asked] = drawn
        return self._resampled[asked]

    @cached_property
    def _resampled(self) -> dict[tuple[str, bool], np.ndarray]:
        return {}

    def generator(self, rule: str = "corrected") -> Generator:
        """The trained generator of the epoch that `rule` chose, in evaluation mode, on the CPU.

        Raises:
            EcglibError: the store has no such weights, or they are damaged.
        """
        generator = Generator(len(self.config.get("leads", (0,))), self.config.get("width", 1.0))
        generator.load_state_dict(read_tensors(self.weights_file(f"weights_{rule}")))
        return generator.eval()
