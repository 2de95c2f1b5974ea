"""One label-free detector beyond R2: how far is a beat from normal ones in contrast, shape, own shape and rhythm?

Each of these is a block of features; `detectors.Blocks` gives all the same weight and `detectors.Nearest` measures the
distance to the nearest normal training beats. Principal components, scales, distances and the encoder are fitted to N
beats alone, those of R1's training set. Two blocks look further, though at no label: own shape takes the median of all
beats of a beat's record, and rhythm the RR intervals around it, whatever those beats are, abnormal test beats included.
Which blocks, leads, distance and scaling there are was chosen while looking at labelled test beats (notebook 04, "What
limits these numbers"). Blocks may be taken alone, so that one sees what each of them adds.
"""

from collections.abc import Callable, Sequence
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Literal, get_args

import numpy as np
from sklearn.decomposition import PCA

from ecglib.beatgan.experiments import BeatGANConfig, Run
from ecglib.core.device import choose_device
from ecglib.core.errors import EcglibError
from ecglib.data import mitbih
from ecglib.data.mitbih import Beats
from ecglib.runs.store import digest, read_arrays, write_arrays
from ecglib.simclr.distances import Blocks, Mahalanobis, Nearest, fisher
from ecglib.simclr.encoder import SimCLRConfig, embed, normalising_encoder, train_encoder
from ecglib.stats import metrics

Block = Literal["contrast", "untrained", "shape", "own", "rhythm"]
DISTANCES: dict[str, Callable[[np.ndarray], Callable[[np.ndarray], np.ndarray]]] = {
    "nearest": Nearest,
    "mahalanobis": Mahalanobis,
}
COMPONENTS = 30  # principal components that "shape" and "own" keep
LONGEST, SHORTEST = 5.0, 0.2  # times the usual RR interval; what lies beyond is a gap in the annotation, not rhythm


@dataclass(frozen=True)
class Detector:
    """What a beat is described by, and how its distance from normal beats is measured.

    Attributes:
        blocks: of `contrast` (the encoder's embedding, of unit length, because NT-Xent compares directions),
            `untrained` (the same of an encoder that never learned but normalises as it does: the control), `shape`
            (principal components of the scaled beat), `own` (principal components of what differs, in mV, from the
            record's own median beat) and `rhythm` (logarithms of the RR intervals before and after, over the usual one
            around).
        leads: of `shape` and `own`.
        distance: "nearest" normal beats, or "mahalanobis" to their mean.
    """

    blocks: tuple[Block, ...]
    leads: tuple[int, ...] = (0, 1)
    distance: str = "nearest"

    def __post_init__(self) -> None:
        if not self.blocks or set(self.blocks) - set(get_args(Block)) or self.distance not in DISTANCES:
            raise EcglibError(
                f"blocks={self.blocks}, distance={self.distance!r}: choose blocks among {', '.join(get_args(Block))} "
                f"and a distance among {', '.join(DISTANCES)}."
            )


# What each part adds, from the control to all four together.
LADDER = {
    "encoder that never learned": Detector(("untrained",)),
    "encoder that never learned, Mahalanobis": Detector(("untrained",), distance="mahalanobis"),
    "contrast": Detector(("contrast",)),
    "contrast, Mahalanobis": Detector(("contrast",), distance="mahalanobis"),
    "shape, lead 1": Detector(("shape",), leads=(0,)),
    "shape, both leads": Detector(("shape",)),
    "own shape": Detector(("own",)),
    "rhythm": Detector(("rhythm",)),
    "contrast + shape": Detector(("contrast", "shape")),
    "all without rhythm": Detector(("contrast", "shape", "own")),
    "all without contrast": Detector(("shape", "own", "rhythm")),
    "all four": Detector(("contrast", "shape", "own", "rhythm")),
}


class Described:
    """Training and test beats as features: the examples of normal beats are the encoder's own training beats.

    Args:
        encoder: gives data, split, seed and budget, and the embedding.
        beats: the beats it was made for.
        store: the folder of all runs.
        device: "auto", "cpu" or "cuda", for the encoder.
    """

    def __init__(self, encoder: SimCLRConfig, beats: Beats, store: Path, device: str = "auto") -> None:
        self.encoder, self.beats, self.store, self.device = encoder, beats, store, device
        self.split = encoder.beats.choose(beats)
        self._blocks: dict[tuple[Block, tuple[int, ...]], tuple[np.ndarray, np.ndarray]] = {}

    def block(self, name: Block, leads: tuple[int, ...]) -> tuple[np.ndarray, np.ndarray]:
        """Features (N, d) of the training beats and (M, d) of the test beats."""
        key = (name, () if name in ("contrast", "untrained", "rhythm") else leads)
        if key not in self._blocks:
            self._blocks[key] = self._describe(name, leads)
        return self._blocks[key]

    def _describe(self, name: Block, leads: tuple[int, ...]) -> tuple[np.ndarray, np.ndarray]:
        train, test = self.split.train, self.split.test
        if name == "rhythm":
            return log_rhythm(self.beats, train), log_rhythm(self.beats, test)
        if name in ("shape", "own"):
            draw = scaled if name == "shape" else minus_own_median
            normal, tested = (draw(self.beats, members, leads).reshape(len(members), -1) for members in (train, test))
            components = PCA(min(COMPONENTS, *normal.shape), random_state=self.encoder.beats.training.seed).fit(normal)
            return components.transform(normal), components.transform(tested)
        return self._embedded(train, trained=name == "contrast"), self._embedded(test, trained=name == "contrast")

    def _embedded(self, members: np.ndarray, trained: bool) -> np.ndarray:
        place = choose_device(self.device)
        model = (
            train_encoder(self.encoder, self.beats, self.store, self.device)
            if trained
            else normalising_encoder(self.encoder, self.beats)
        )
        h = embed(model.to(place), self.encoder.beats.x(self.beats, members).to(place)).cpu().numpy()
        return h / np.linalg.norm(h, axis=1, keepdims=True)


def score_file(detector: Detector, encoder: SimCLRConfig, store: Path) -> Path:
    """Where the store keeps the scores of a detector."""
    beats = encoder.beats
    name = f"{'_'.join(detector.blocks)}-{beats.split}-seed{beats.training.seed}-{digest(detector, encoder)}"
    return store / "novelty" / f"{name}.npz"


def scores(detector: Detector, described: Described) -> np.ndarray:
    """Scores (M,) float32 of the test beats: from the store, or measured and kept there."""
    path = score_file(detector, described.encoder, described.store)
    if not path.exists():
        pairs = [described.block(block, detector.leads) for block in detector.blocks]
        normal, tested = ([pair[part] for pair in pairs] for part in (0, 1))
        together = Blocks.fit(normal)
        found = DISTANCES[detector.distance](together(normal))(together(tested))
        write_arrays(path, {"scores": found.astype(np.float16)})  # half precision, as the predictions of a run
    return read_scores(path)


def read_scores(path: Path) -> np.ndarray:
    """Scores (M,) float32 that the store has."""
    return read_arrays(path)["scores"]


def ladder_scores(
    config: BeatGANConfig, epochs: int, seeds: int, beats: Beats, store: Path, device: str = "auto"
) -> dict[str, list[np.ndarray]]:
    """Scores (M,) of every detector of `LADDER`, one a seed.

    Args:
        config: gives data, split and budget; its seed and epochs are ignored.
        epochs: of the encoder.
        seeds: of the encoder.
        beats: the beats it was made for.
        store: the folder of all runs.
        device: "auto", "cpu" or "cuda".
    """
    found: dict[str, list[np.ndarray]] = {step: [] for step in LADDER}
    for seed in range(seeds):
        settings = replace(config.training, seed=seed, epochs=epochs)
        described = Described(SimCLRConfig(replace(config, training=settings)), beats, store, device)
        for step, detector in LADDER.items():
            found[step].append(scores(detector, described))
    return found


def beatgan_scores(runs: Sequence[Run], configs: Sequence[BeatGANConfig], beats: Beats) -> dict[str, list[np.ndarray]]:
    """BeatGAN's own scores (M,), one a run, and with the rhythm: is it rhythm alone that makes a detector?

    Args:
        runs: of one program: its arms A and B differ in their seeds alone, and count together.
        configs: of each run.
        beats: the beats they were made for.

    Raises:
        EcglibError: the runs differ in more than their seeds.
    """
    programs = [replace(config, training=replace(config.training, seed=0)) for config in configs]
    if any(program != programs[0] for program in programs):
        raise EcglibError("These runs differ in more than their seeds: what counts together must be one program.")
    return {
        "BeatGAN": [run.predictions["scores_corrected"] for run in runs],
        "BeatGAN + rhythm": [with_rhythm(run, config, beats) for run, config in zip(runs, configs, strict=True)],
    }


def with_rhythm(run: Run, config: BeatGANConfig, beats: Beats) -> np.ndarray:
    """BeatGAN's score and the irregularity of the rhythm as one (M,): Fisher's method, by normal validation beats."""
    split, stored = config.choose(beats), run.predictions
    normal = stored["validation_labels"] == "N"
    irregular = {
        part: np.abs(log_rhythm(beats, members)).sum(axis=1)
        for part, members in (("validation", split.validation[normal]), ("test", split.test))
    }
    error = (stored["validation_scores_corrected"][normal], stored["scores_corrected"])
    return fisher({"error": error, "rhythm": (irregular["validation"], irregular["test"])})


def aucs(labels: np.ndarray, found: np.ndarray) -> dict[str, float]:
    """AUC ("all") and AP ("ap") of scores (M,) over all abnormal beats, and the AUC of each class against N."""
    overall = {"all": metrics.auc(labels != "N", found), "ap": metrics.average_precision(labels != "N", found)}
    return overall | metrics.per_class_auc(labels, found)


def scaled(beats: Beats, members: np.ndarray, leads: tuple[int, ...]) -> np.ndarray:
    """Beats (M, L, 320), each lead of each in [-1, 1]."""
    return mitbih.scale(beats.signals[members][:, list(leads)])


def minus_own_median(beats: Beats, members: np.ndarray, leads: tuple[int, ...]) -> np.ndarray:
    """Beats (M, L, 320) minus the median beat of their own record, in mV.

    The median is over all of the record's beats whatever they are: no label is used, but the record must have been
    seen, as in the evaluation of a Holter recording. Where most beats are abnormal, so is the median.
    """
    result = np.empty((len(members), len(leads), beats.signals.shape[2]), dtype=np.float32)
    records = beats.records[members]
    for name in np.unique(records):
        own = beats.signals[beats.records == name][:, list(leads)]
        result[records == name] = beats.signals[members[records == name]][:, list(leads)] - np.median(own, axis=0)
    return result


def log_rhythm(beats: Beats, members: np.ndarray) -> np.ndarray:
    """Logarithms (M, 2) of the RR intervals before and after over the usual one: twice as long as half as long."""
    return np.log(np.clip(beats.rhythm[members], SHORTEST, LONGEST))
