"""Frozen config -> run id -> run store: finished runs are loaded, interrupted ones resume, no two write one run.

A run's folder holds `config.json`, `history.csv`, `predictions.npz`, `env.json`, two files of weights and, written
last, `metrics.json`: where that is, the run is finished. Tables and figures are made from these files alone.
"""

import hashlib
import json
from collections.abc import Sequence
from dataclasses import asdict, dataclass
from functools import cached_property
from pathlib import Path
from typing import Any, Literal

import filelock
import numpy as np
import pandas as pd
import torch
from safetensors.torch import load_file, save_file

from ecglib import metrics, training
from ecglib.callbacks import Checkpoint, Progress
from ecglib.data import mitbih
from ecglib.data.mitbih import CLASSES, RECORDS, Beats, Split
from ecglib.errors import EcglibError
from ecglib.files import atomic_path, write_json, write_text
from ecglib.models.beatgan import Generator, anomaly_scores
from ecglib.reproducibility import choose_device, environment
from ecglib.training import Hyperparameters, Validation


@dataclass(frozen=True)
class BeatGANConfig:
    """Everything that decides a BeatGAN run's result; equal configs are one run.

    Attributes:
        data: `Beats.fingerprint` of the beats.
        training: the hyperparameters, the seed among them.
        split: R1's pooled split, or one that no patient crosses.
        fold: which fifth of N the report split tests on.
        split_seed: of the report split.
        lead: R1 used the first lead alone.
        train_beats: how many of the split's training beats; 0 is all (R1: 62,436).
        validation_beats: likewise (R1: 8,025).
    """

    data: str
    training: Hyperparameters
    split: Literal["report", "patients"] = "report"
    fold: int = 0
    split_seed: int = 42  # R1 section 3.3.4.1
    lead: int = 0
    train_beats: int = 0
    validation_beats: int = 0

    @property
    def run_id(self) -> str:
        """The run's folder name: readable, and different for every other config."""
        digest = hashlib.sha256(json.dumps(asdict(self), sort_keys=True).encode()).hexdigest()
        return f"beatgan-{self.split}-seed{self.training.seed}-{digest[:10]}"

    def choose(self, beats: Beats) -> Split:
        """The split's indices, with training and validation reduced to what is asked.

        Both are shuffled first, so that a part holds what the whole holds and a validation batch mixes the classes.

        Raises:
            EcglibError: the beats are not those of this config, or an unknown split or lead is asked for.
        """
        if beats.fingerprint != self.data:
            raise EcglibError("The beats are not those this config was made for: make it with data=beats.fingerprint.")
        if self.split not in ("report", "patients") or self.lead not in (0, 1):
            raise EcglibError(f"split={self.split!r}, lead={self.lead}: choose report or patients, and lead 0 or 1.")
        whole = (
            mitbih.report_split(beats, self.fold, self.split_seed)
            if self.split == "report"
            else mitbih.patient_split(beats)
        )
        rng = np.random.default_rng(self.split_seed)
        train, validation = rng.permutation(whole.train), rng.permutation(whole.validation)
        return Split(train[: self.train_beats or None], validation[: self.validation_beats or None], whole.test)


@dataclass(frozen=True)
class Run:
    """A finished run, read from its folder."""

    folder: Path

    @cached_property
    def config(self) -> dict[str, Any]:
        """The config as JSON."""
        return _read_json(self.folder / "config.json")

    @cached_property
    def metrics(self) -> dict[str, dict[str, float]]:
        """`metrics.anomaly_metrics` under each rule of choosing the epoch, with the epoch."""
        return _read_json(self.folder / "metrics.json")

    @cached_property
    def environment(self) -> dict[str, str]:
        """Versions, device, commit and seconds."""
        return _read_json(self.folder / "env.json")

    @cached_property
    def history(self) -> pd.DataFrame:
        """One row an epoch: losses, validation AUCs, seconds."""
        return pd.read_csv(self.folder / "history.csv")

    @cached_property
    def predictions(self) -> dict[str, np.ndarray]:
        """`labels`, `patients`, `scores_as_coded`, `scores_corrected` (N,) of the test beats, and `validation_*`."""
        with np.load(self.folder / "predictions.npz", allow_pickle=False) as file:
            stored = {name: file[name] for name in file.files}
        for part in ("", "validation_"):
            stored[f"{part}labels"] = np.array(CLASSES)[stored.pop(f"{part}class_codes")]
        stored["patients"] = np.array(RECORDS)[stored.pop("patient_codes")]
        return stored

    def generator(self, rule: str = "corrected") -> Generator:
        """The trained generator of the epoch that `rule` chose, in evaluation mode, on the CPU.

        Raises:
            EcglibError: the store came without weights.
        """
        path = self.folder / f"weights_{rule}.safetensors"
        if not path.exists():
            raise EcglibError(f"{path.name} is not in {self.folder.name}: train the run again with weights=True.")
        generator = Generator()
        generator.load_state_dict(load_file(path))
        return generator.eval()


def train_beatgan(
    config: BeatGANConfig,
    beats: Beats,
    store: Path,
    device: str = "auto",
    weights: bool = False,
    callbacks: Sequence[training.Callback] = (),
) -> Run:
    """The finished run of `config`: loaded where the store has it, resumed or trained where not.

    Args:
        config: what to run.
        beats: the beats it was made for.
        store: the folder of all runs.
        device: "auto", "cpu" or "cuda".
        weights: a run whose weights were not kept counts as unfinished.
        callbacks: more callbacks, behind the progress bar and the checkpoint.

    Raises:
        EcglibError: another process is training this run; or what `training.train` raises.
    """
    folder = store / config.run_id
    if _is_finished(folder, weights):
        return Run(folder)
    folder.mkdir(parents=True, exist_ok=True)
    lock = filelock.FileLock(store / f"{config.run_id}.lock")
    try:
        lock.acquire(timeout=0)
    except filelock.Timeout as error:
        raise EcglibError(
            f"Another process is training {config.run_id}: wait until it ends and run again to load its result."
        ) from error
    with lock:
        if not _is_finished(folder, weights):  # the other process may have finished in between
            _train(config, beats, folder, choose_device(device), callbacks)
    return Run(folder)


def _is_finished(folder: Path, weights: bool) -> bool:
    needed = ["metrics.json"] + [f"weights_{rule}.safetensors" for rule in training.RULES if weights]
    return all((folder / name).exists() for name in needed)


def _train(
    config: BeatGANConfig, beats: Beats, folder: Path, device: torch.device, callbacks: Sequence[training.Callback]
) -> None:
    write_json(folder / "config.json", asdict(config))
    split, settings = config.choose(beats), config.training

    def tensor(indices: np.ndarray) -> torch.Tensor:
        return torch.from_numpy(mitbih.scale(beats.signals[np.asarray(indices), config.lead])[:, None]).to(device)

    validation = Validation(tensor(split.validation), torch.from_numpy(beats.labels[split.validation] != "N"))
    checkpoint = Checkpoint(folder / "checkpoint.safetensors")
    state = checkpoint.restore(training.new_state(settings, channels=1, device=device))
    progress = Progress(f"BeatGAN, seed {settings.seed}")
    training.train(state, tensor(split.train), validation, settings, [checkpoint, progress, *callbacks])

    predictions = {
        "class_codes": _codes(beats.labels[split.test], CLASSES),
        "patient_codes": _codes(beats.patients[split.test], RECORDS),
        "validation_class_codes": _codes(beats.labels[split.validation], CLASSES),
    }
    model, x_test = Generator().to(device), tensor(split.test)
    for rule in training.RULES:
        model.load_state_dict(state.best[rule].weights)
        model.eval()
        predictions[f"scores_{rule}"] = anomaly_scores(model, x_test).cpu().numpy()
        predictions[f"validation_scores_{rule}"] = anomaly_scores(model, validation.x).cpu().numpy()
        with atomic_path(folder / f"weights_{rule}.safetensors") as temporary:
            save_file(state.best[rule].weights, temporary)
    with atomic_path(folder / "predictions.npz") as temporary, temporary.open("wb") as file:
        np.savez_compressed(file, allow_pickle=False, **predictions)
    history = pd.DataFrame(state.history)
    write_text(folder / "history.csv", history.to_csv(index=False, float_format="%.6g", lineterminator="\n"))
    write_json(folder / "env.json", {**environment(device), "seconds": round(history["seconds"].sum(), 1)})
    stored = Run(folder).predictions
    write_json(
        folder / "metrics.json",
        {rule: {"epoch": state.best[rule].epoch, **evaluate(stored, rule)} for rule in training.RULES},
    )
    checkpoint.path.unlink(missing_ok=True)


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


def _read_json(path: Path) -> dict[str, Any]:
    try:
        return json.loads(path.read_text(encoding="utf-8"))
    except (OSError, ValueError) as error:
        raise EcglibError(f"{path} cannot be read ({error}): delete the folder and run again.") from error
