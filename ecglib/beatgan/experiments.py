"""Frozen config -> run id -> run store: finished runs are loaded, interrupted ones resume, no two write one run.

A run's folder holds `config.json`, `history.csv`, `predictions.npz`, `env.json`, two files of weights and, written
last, `metrics.json`: where that is, the run is finished. Tables and figures are made from these files alone.
"""

from collections.abc import Sequence
from dataclasses import dataclass
from functools import cached_property
from pathlib import Path
from typing import Any, Literal

import numpy as np
import pandas as pd
import torch

from ecglib.beatgan import training
from ecglib.beatgan.callbacks import Checkpoint, Progress
from ecglib.beatgan.distillation import SELF, Distillation, Distiller, check_teacher, new_average
from ecglib.beatgan.networks import Generator, anomaly_scores
from ecglib.beatgan.training import Hyperparameters, Validation
from ecglib.core.device import choose_device, environment
from ecglib.core.errors import EcglibError
from ecglib.core.files import sole_process, write_json, write_text
from ecglib.data import mitbih
from ecglib.data.mitbih import CLASSES, RECORDS, Beats, Split
from ecglib.runs.store import (
    PUBLISHED,
    StoredRun,
    differences,
    digest,
    half,
    read_arrays,
    read_tensors,
    write_arrays,
    write_tensors,
)
from ecglib.simclr.scenarios import Contrast
from ecglib.stats import metrics


@dataclass(frozen=True)
class BeatGANConfig:
    """Everything that decides a BeatGAN run's result; equal configs are one run.

    Attributes:
        data: `Beats.fingerprint` of the beats.
        training: the hyperparameters, the seed among them.
        split: R1's pooled split, or one that no patient crosses.
        fold: which fifth of N the report split tests on.
        split_seed: of the report split.
        leads: R1 used the first lead alone, (0,).
        width: channels of the hidden layers as a multiple of the report's.
        train_beats: how many of the split's training beats; 0 is all (R1: 62,436).
        validation_beats: likewise (R1: 8,025).
        test_beats: likewise (R1: 27,107).
        distillation: what a student learns from whom; None for a BeatGAN alone.
        contrast: R2's NT-Xent in D, in G or in both; None for none.
    """

    data: str
    training: Hyperparameters
    split: Literal["report", "patients"] = "report"
    fold: int = 0
    split_seed: int = 42  # R1 section 3.3.4.1
    leads: tuple[int, ...] = (0,)
    width: float = 1.0
    train_beats: int = 0
    validation_beats: int = 0
    test_beats: int = 0
    distillation: Distillation | None = None
    contrast: Contrast | None = None

    def __post_init__(self) -> None:
        if min(self.train_beats, self.validation_beats, self.test_beats) < 0:
            raise EcglibError("A number of beats is 0, which means all, or more.")
        if self.split not in ("report", "patients") or self.leads not in ((0,), (1,), (0, 1)):
            raise EcglibError(
                f"split={self.split!r}, leads={self.leads}: choose report or patients, and leads (0,), (1,) or (0, 1)."
            )

    @property
    def facts(self) -> dict[str, Any]:
        """What differs from the defaults, JSON-ready: a setting added later leaves the runs made before it theirs."""
        return differences(self)

    @property
    def run_id(self) -> str:
        """The run's folder name: readable, and different for every other config."""
        kind = "contrast" if self.contrast else "student" if self.distillation else "beatgan"
        return f"{kind}-{self.split}-seed{self.training.seed}-{digest(self)}"

    def choose(self, beats: Beats) -> Split:
        """The split's indices, each part reduced to what is asked.

        All are shuffled first, so that a part holds what the whole holds and a validation batch mixes the classes;
        a whole test set keeps the split's order.

        Raises:
            EcglibError: the beats are not those of this config.
        """
        if beats.fingerprint != self.data:
            raise EcglibError("The beats are not those this config was made for: make it with data=beats.fingerprint.")
        whole = (
            mitbih.report_split(beats, self.fold, self.split_seed)
            if self.split == "report"
            else mitbih.patient_split(beats)
        )
        rng = np.random.default_rng(self.split_seed)
        train, validation = rng.permutation(whole.train), rng.permutation(whole.validation)
        test = rng.permutation(whole.test)[: self.test_beats] if self.test_beats else whole.test
        return Split(train[: self.train_beats or None], validation[: self.validation_beats or None], test)

    def x(self, beats: Beats, indices: np.ndarray) -> torch.Tensor:
        """Beats (N, C, 320) in [-1, 1], with the leads of this config."""
        return torch.from_numpy(mitbih.scale(beats.signals[np.asarray(indices)][:, list(self.leads)]))


@dataclass(frozen=True)
class Run(StoredRun):
    """A finished BeatGAN run, read from its folder."""

    @cached_property
    def predictions(self) -> dict[str, np.ndarray]:
        """`labels`, `patients` and `scores_<rule>` (N,) of the test beats, and `validation_*` (M,)."""
        stored = read_arrays(self.folder / "predictions.npz")
        for part in ("", "validation_"):
            stored[f"{part}labels"] = np.array(CLASSES)[stored.pop(f"{part}class_codes")]
        stored["patients"] = np.array(RECORDS)[stored.pop("patient_codes")]
        return stored

    @property
    def tested(self) -> np.ndarray:
        """(N,) classes of the test beats."""
        return self.predictions["labels"]

    def resampled(self, rule: str, patients: bool) -> dict[str, np.ndarray]:
        """AUC and AP of each bootstrap resample of the test beats, or of whole patients: see `metrics.resampled`."""
        if (rule, patients) not in self._resampled:
            stored = self.predictions
            self._resampled[rule, patients] = metrics.resampled(
                stored["labels"] != "N", stored[f"scores_{rule}"], stored["patients"] if patients else None
            )
        return self._resampled[rule, patients]

    @cached_property
    def _resampled(self) -> dict[tuple[str, bool], dict[str, np.ndarray]]:
        return {}

    def generator(self, rule: str = "corrected") -> Generator:
        """The trained generator of the epoch that `rule` chose, in evaluation mode, on the CPU.

        Raises:
            EcglibError: the store came without weights, or they are damaged.
        """
        path = self.folder / f"weights_{rule}.safetensors"
        if not path.exists() and rule == "corrected":
            path = self.folder / PUBLISHED
        if not path.exists():
            raise EcglibError(
                f"weights_{rule}.safetensors is not in {self.folder.name}: train the run again with weights=True."
            )
        generator = Generator(len(self.config.get("leads", (0,))), self.config.get("width", 1.0))
        generator.load_state_dict(read_tensors(path))
        return generator.eval()

    def publish(self) -> Path:
        """Keep the generator of the epoch chosen without labels in half precision, small enough to be committed."""
        path = self.folder / PUBLISHED
        if not path.exists():
            write_tensors(path, half(self.generator().state_dict()))
        return path


def train_beatgan(
    config: BeatGANConfig,
    beats: Beats,
    store: Path,
    device: str = "auto",
    weights: bool = False,
    callbacks: Sequence[training.Callback] = (),
    progress: training.Callback | None = None,
) -> Run:
    """The finished run of `config`: loaded where the store has it, resumed or trained where not.

    Args:
        config: what to run.
        beats: the beats it was made for.
        store: the folder of all runs.
        device: "auto", "cpu" or "cuda".
        weights: a run whose weights were not kept counts as unfinished.
        callbacks: more callbacks, behind the checkpoint and the progress bar.
        progress: instead of a progress bar of this run's own.

    Raises:
        EcglibError: another process is training this run; or what `training.train` raises.
    """
    folder = store / config.run_id
    if is_finished(folder, weights):
        return Run(folder)
    folder.mkdir(parents=True, exist_ok=True)
    with sole_process(store, config.run_id):
        if not is_finished(folder, weights):  # the other process may have finished in between
            kind = "student" if config.distillation else "BeatGAN"
            bar = progress or Progress(f"{kind}, seed {config.training.seed}")
            _train(config, beats, folder, choose_device(device), [bar, *callbacks])
    return Run(folder)


def is_finished(folder: Path, weights: bool = False) -> bool:
    """Whether a run's folder holds all that it should, with or without the weights (published ones will do)."""
    kept = [all((folder / f"weights_{rule}.safetensors").exists() for rule in training.RULES)]
    kept.append((folder / PUBLISHED).exists())
    results = all((folder / name).exists() for name in ("metrics.json", "predictions.npz"))
    return results and (any(kept) or not weights)


def _train(
    config: BeatGANConfig, beats: Beats, folder: Path, device: torch.device, callbacks: Sequence[training.Callback]
) -> None:
    write_json(folder / "config.json", config.facts)
    split, settings = config.choose(beats), config.training
    x_train, x_validation, x_test = (config.x(beats, members).to(device) for _, members in split)
    validation = Validation(x_validation, torch.from_numpy(beats.labels[split.validation] != "N"))
    if validation.abnormal.all() or not validation.abnormal.any():
        raise EcglibError(
            f"{len(x_validation)} validation beats hold one class alone: no epoch can be chosen; use more."
        )
    state = training.new_state(settings, len(config.leads), device, config.width)
    if config.contrast:
        training.add_heads(state, config.contrast)
    distiller = _distiller(config.distillation, state, x_train, folder.parent) if config.distillation else None
    checkpoint = Checkpoint(folder / "checkpoint.safetensors")
    state = checkpoint.restore(state)
    training.train(state, x_train, validation, settings, [checkpoint, *callbacks], distiller, config.contrast)

    # A run trained again, because its weights were not kept, is unfinished from here on.
    (folder / "metrics.json").unlink(missing_ok=True)
    predictions = {
        "class_codes": _codes(beats.labels[split.test], CLASSES),
        "patient_codes": _codes(beats.patients[split.test], RECORDS),
        "validation_class_codes": _codes(beats.labels[split.validation], CLASSES),
    }
    model = Generator(len(config.leads), config.width).to(device)
    for rule in training.ALL_RULES:
        best = state.best[rule]
        if rule == "labelled" and best.epoch == state.best["corrected"].epoch:
            continue  # the same weights as below
        model.load_state_dict(best.weights)
        model.eval()
        for part, x in (("", x_test), ("validation_", x_validation)):
            # Half precision: three digits of a score are more than its AUC can tell, at half the size.
            predictions[f"{part}scores_{rule}"] = anomaly_scores(model, x).cpu().numpy().astype(np.float16)
    for part in ("", "validation_"):
        predictions.setdefault(f"{part}scores_labelled", predictions[f"{part}scores_corrected"])
    for rule in training.RULES:
        write_tensors(folder / f"weights_{rule}.safetensors", state.best[rule].weights)
    write_arrays(folder / "predictions.npz", predictions)
    history = pd.DataFrame(state.history)
    write_text(folder / "history.csv", history.to_csv(index=False, float_format="%.6g", lineterminator="\n"))
    write_json(folder / "env.json", {**environment(device), "seconds": round(history["seconds"].sum(), 1)})
    stored = Run(folder).predictions
    write_json(
        folder / "metrics.json",
        {rule: {"epoch": state.best[rule].epoch, **evaluate(stored, rule)} for rule in training.ALL_RULES},
    )
    checkpoint.path.unlink(missing_ok=True)


def _distiller(settings: Distillation, state: training.State, x: torch.Tensor, store: Path) -> Distiller:
    """The distiller of a new student `state`, whose teacher must be in the store and beat chance.

    Raises:
        EcglibError: the teacher is not there, has no weights, or is no better than chance.
    """
    if settings.teacher == SELF:
        state.average = new_average(state.generator)
        return Distiller(settings, state.generator, state.average, x)
    folder = store / settings.teacher
    if not is_finished(folder, weights=True):
        raise EcglibError(f"The teacher {settings.teacher} is not in {store}: train it first, with weights=True.")
    teacher = Run(folder)
    check_teacher(
        teacher.predictions["validation_labels"] != "N",
        teacher.predictions["validation_scores_corrected"],
        settings.teacher,
    )
    return Distiller(settings, state.generator, teacher.generator().to(x.device), x)


def evaluate(predictions: dict[str, np.ndarray], rule: str) -> dict[str, float]:
    """Every metric of a run from its stored predictions."""
    return metrics.anomaly_metrics(
        predictions["labels"],
        predictions[f"scores_{rule}"],
        predictions["patients"],
        predictions["validation_labels"],
        predictions[f"validation_scores_{rule}"],
    )


def _codes(values: np.ndarray, names: Sequence[str]) -> np.ndarray:
    """Positions of `values` in `names` as uint8."""
    position = {name: code for code, name in enumerate(names)}
    return np.array([position[value] for value in values], dtype=np.uint8)
