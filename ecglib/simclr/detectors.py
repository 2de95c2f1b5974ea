"""A label-free detector beyond R2: how far is a beat from normal ones in contrast, shape, own shape and rhythm?

Each of these four is a block of features, which can also be used alone. `distances.Blocks` gives all blocks the same
weight, and `distances.Nearest` measures the distance to the nearest normal training beats.

The encoder, principal components, scales and distances are fitted only to the N beats of the split's training set. Two
blocks use other beats too, abnormal test beats included, but no labels: own shape subtracts the median beat of the
record, and rhythm takes the RR intervals around the beat. The blocks, leads, distance and scaling were chosen with a
view of labelled test beats (notebook 04, "What limits these numbers").
"""

from collections.abc import Callable, Sequence
from dataclasses import dataclass, fields, replace
from pathlib import Path
from typing import Literal

import numpy as np
from sklearn.decomposition import PCA

from ecglib.beatgan.task import BeatGANConfig, BeatGANRun, BeatsConfig
from ecglib.core.config import Checked, digest
from ecglib.core.device import choose_device
from ecglib.core.errors import EcglibError
from ecglib.data import mitbih
from ecglib.data.mitbih import Beats
from ecglib.detection import own_record
from ecglib.runs.formats import write_arrays
from ecglib.runs.obtain import obtain
from ecglib.runs.store import is_stored, stored_arrays
from ecglib.simclr.distances import Blocks, Mahalanobis, Nearest
from ecglib.simclr.encoder import EncoderConfig, Settings, embed
from ecglib.simclr.networks import BaseEncoder
from ecglib.stats import metrics
from ecglib.stats.surprise import fisher

COMPONENTS = 30  # principal components that "shape" and "own" keep
LONGEST, SHORTEST = 5.0, 0.2  # times the usual RR interval; values beyond are gaps in the annotation, not rhythm


@dataclass(frozen=True)
class Detector(Checked):
    """The features that describe a beat, and the distance that scores it."""

    blocks: tuple[str, ...]  # keys of `BLOCKS`
    leads: tuple[int, ...] = (0, 1)  # of "shape" and "own"
    distance: Literal["nearest", "mahalanobis"] = "nearest"  # to the nearest normal beats, or to their mean

    def __post_init__(self) -> None:
        super().__post_init__()
        if not self.blocks or set(self.blocks) - set(BLOCKS):
            raise EcglibError(f"blocks={self.blocks}: choose blocks among {', '.join(BLOCKS)}.")

    @property
    def seeded(self) -> bool:
        """Whether the scores depend on the encoder's seed; those of principal components and RR intervals do not."""
        return any(BLOCKS[name].seeded for name in self.blocks)

    def fitted(self, normal: np.ndarray) -> Callable[[np.ndarray], np.ndarray]:
        """A function from features (M, d) to scores (M,), fitted to the features (N, d) of normal beats."""
        return Nearest(normal) if self.distance == "nearest" else Mahalanobis(normal)


Features = tuple[np.ndarray, np.ndarray]  # of the training beats (N, d) and of the test beats (M, d)


@dataclass(frozen=True)
class Block:
    """One kind of features."""

    text: str
    features: "Callable[[Described, Detector], Features]"
    seeded: bool = False  # whether it uses weights that are drawn or trained


class Described:
    """The features of the training beats of `encoder`, which are all normal, and of the test beats of `config`.

    Raises:
        EcglibError: `config` and `encoder` differ in a field of `BeatsConfig`.
    """

    def __init__(
        self, config: BeatGANConfig, encoder: EncoderConfig, beats: Beats, store: Path, device: str = "auto"
    ) -> None:
        if encoder_of(config, encoder.training) != encoder_of(encoder, encoder.training):
            raise EcglibError("The encoder learns from other beats than the config names: make it with `encoder_of`.")
        self.config, self.encoder, self.beats, self.store, self.device = config, encoder, beats, store, device
        self.members = encoder.choose(beats).train, config.choose(beats).test
        self._blocks: dict[tuple[object, ...], Features] = {}

    def block(self, name: str, detector: Detector) -> Features:
        """The features of a block, computed once for all detectors that share them."""
        key = (name,) if BLOCKS[name].seeded else (name, detector.leads)
        if key not in self._blocks:
            self._blocks[key] = BLOCKS[name].features(self, detector)
        return self._blocks[key]

    def embedded(self, encoder: BaseEncoder) -> Features:
        """Embeddings scaled to length 1, because NT-Xent compares directions."""
        place = choose_device(self.device)
        embeddings = (
            embed(encoder.to(place), self.encoder.x(self.beats, members).to(place)).cpu().numpy()
            for members in self.members
        )
        train, test = (h / np.linalg.norm(h, axis=1, keepdims=True) for h in embeddings)
        return train, test

    def components(self, draw: "Callable[[Beats, np.ndarray, tuple[int, ...]], np.ndarray]", by: Detector) -> Features:
        """Principal components of `draw(beats, members, leads)`."""
        normal, tested = (draw(self.beats, members, by.leads).reshape(len(members), -1) for members in self.members)
        model = PCA(min(COMPONENTS, *normal.shape), svd_solver="covariance_eigh").fit(normal)  # nothing random
        return model.transform(normal), model.transform(tested)


def _contrast(described: Described, _: Detector) -> Features:
    run = obtain(described.encoder, described.beats, described.store, described.device, weights=True)
    return described.embedded(run.encoder())


def _rhythm(described: Described, _: Detector) -> Features:
    train, test = (log_rhythm(described.beats, members) for members in described.members)
    return train, test


def scaled(beats: Beats, members: np.ndarray, leads: tuple[int, ...]) -> np.ndarray:
    """Beats (M, L, 320), each lead of each beat scaled to [-1, 1]."""
    return mitbih.scale(beats.signals[members][:, list(leads)])


def minus_own_median(beats: Beats, members: np.ndarray, leads: tuple[int, ...]) -> np.ndarray:
    """Beats (M, L, 320) minus the median beat of their record, in mV.

    The median is over all beats of the record, so no label is used, but the whole record must be known, as in the
    evaluation of a Holter recording. If most beats of a record are abnormal, so is the median.
    """
    result = np.empty((len(members), len(leads), beats.signals.shape[2]), dtype=np.float32)
    records = beats.records[members]
    for name in np.unique(records):
        own = beats.signals[beats.records == name][:, list(leads)]
        result[records == name] = beats.signals[members[records == name]][:, list(leads)] - np.median(own, axis=0)
    return result


def log_rhythm(beats: Beats, members: np.ndarray) -> np.ndarray:
    """Logarithms (M, 2) of the RR intervals before and after the beat, relative to the usual interval.

    Twice and half the usual interval are equally far from it on a logarithmic scale.
    """
    return np.log(np.clip(beats.rhythm[members], SHORTEST, LONGEST))


BLOCKS = {
    "contrast": Block("the encoder's embedding", _contrast, seeded=True),
    "untrained": Block(
        "that of an encoder which never learned but normalises as the trained one does: the control",
        lambda described, _: described.embedded(described.encoder.normalising(described.beats)),
        seeded=True,
    ),
    "shape": Block("principal components of the scaled beat", lambda described, by: described.components(scaled, by)),
    "own": Block(
        "principal components of what differs, in mV, from the record's own median beat",
        lambda described, by: described.components(minus_own_median, by),
    ),
    "rhythm": Block("logarithms of the RR intervals before and after, over the usual one around", _rhythm),
}
# From the controls through single blocks to all four blocks together.
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
# Each detector is compared with the second of its pair: BeatGAN with or without rhythm for whole detectors, single
# blocks and PCA of BeatGAN's lead; a detector without contrast, or with an untrained encoder, for what contrast adds.
COMPARED = (
    ("all four", "BeatGAN"),
    ("all four", "BeatGAN + rhythm"),
    ("all without rhythm", "BeatGAN"),
    ("contrast", "BeatGAN"),
    ("shape, lead 1", "BeatGAN"),
    ("contrast", "shape, lead 1"),
    ("contrast", "encoder that never learned"),
    ("contrast, Mahalanobis", "encoder that never learned, Mahalanobis"),
    ("all four", "all without contrast"),
)


@dataclass(frozen=True)
class Scored(Checked):
    """Everything that decides the scores of a detector."""

    detector: Detector
    encoder: EncoderConfig  # also names the data, the seed and the training beats
    test_beats: int = 0  # how many of the split's test beats; 0 is all

    @property
    def name(self) -> str:
        """The name of the scores in the store."""
        blocks, encoder = "_".join(self.detector.blocks), self.encoder
        return f"detectors/{blocks}-{encoder.split}-seed{encoder.training.seed}-{digest(self)}"


def scores(detector: Detector, described: Described) -> np.ndarray:
    """Scores (M,) float32 of the test beats, from the store or computed and stored."""
    name = Scored(detector, described.encoder, described.config.test_beats).name
    if not is_stored(described.store, name):
        pairs = [described.block(block, detector) for block in detector.blocks]
        normal, tested = ([pair[part] for pair in pairs] for part in (0, 1))
        together = Blocks.fit(normal)
        found = detector.fitted(together(normal))(together(tested))
        # Half precision, as for the predictions of a run.
        write_arrays(described.store / f"{name}.npz", {"scores": found.astype(np.float16)})
    return stored_arrays(described.store, name)["scores"]


def own_contrast(described: Described, trained: bool = True) -> np.ndarray:
    """`own_record.embedding_answers` of all beats (N,) float32, from the store or computed and stored.

    Without training, the encoder is the control: it never learned, but its BatchNorm has seen the training beats.
    """
    encoder, beats = described.encoder, described.beats
    kind = "own_contrast" if trained else "own_untrained"
    name = f"detectors/{kind}-{encoder.split}-seed{encoder.training.seed}-{digest(encoder)}"
    if not is_stored(described.store, name):
        place, found = choose_device(described.device), np.empty(len(beats), dtype=np.float16)
        run = obtain(encoder, beats, described.store, described.device, weights=True) if trained else None
        network = (run.encoder() if run else encoder.normalising(beats)).to(place)
        for record in np.unique(beats.records):
            own = np.flatnonzero(beats.records == record)
            embeddings = embed(network, encoder.x(beats, own).to(place)).cpu().numpy()
            found[own] = own_record.embedding_answers(embeddings, beats.intervals[own, 0])
        write_arrays(described.store / f"{name}.npz", {"answers": found})
    return stored_arrays(described.store, name)["answers"]


def encoder_of(config: BeatsConfig, settings: Settings) -> EncoderConfig:
    """The config of an encoder that learns from the training beats of `config`."""
    shared = {field.name: getattr(config, field.name) for field in fields(BeatsConfig)}
    return EncoderConfig(**shared, training=settings)


def encoders(config: BeatGANConfig, epochs: int, seeds: int) -> list[EncoderConfig]:
    """One encoder a seed, with the beats, batch size and precision of `config`."""
    size, precision = config.training.batch_size, config.training.precision
    return [encoder_of(config, Settings(seed, epochs, batch_size=size, precision=precision)) for seed in range(seeds)]


def ladder_scores(
    config: BeatGANConfig, epochs: int, seeds: int, beats: Beats, store: Path, device: str = "auto"
) -> dict[str, list[np.ndarray]]:
    """Scores (M,) of every detector of `LADDER`, one for each encoder seed; of a detector without a seed, one.

    `epochs` and `seeds` are the encoder's; see `encoders`.
    """
    found: dict[str, list[np.ndarray]] = {step: [] for step in LADDER}
    for encoder in encoders(config, epochs, seeds):
        described = Described(config, encoder, beats, store, device)
        for step, detector in LADDER.items():
            if detector.seeded or not found[step]:
                found[step].append(scores(detector, described))
    return found


def beatgan_scores(
    runs: Sequence[BeatGANRun], configs: Sequence[BeatGANConfig], beats: Beats
) -> dict[str, list[np.ndarray]]:
    """Scores (M,) of each BeatGAN run, alone and with rhythm: how much of a detector's gain is rhythm?

    `configs` are those of `runs`. Arms A and B, which differ only in their seeds, may be given together.

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


def with_rhythm(run: BeatGANRun, config: BeatGANConfig, beats: Beats) -> np.ndarray:
    """Scores (M,) that combine BeatGAN's score with the irregularity of the rhythm, by `surprise.fisher`."""
    split, stored = config.choose(beats), run.predictions
    normal = stored["validation_labels"] == "N"
    irregular = {
        part: np.abs(log_rhythm(beats, members)).sum(axis=1)
        for part, members in (("validation", split.validation[normal]), ("test", split.test))
    }
    error = (stored["validation_scores_corrected"][normal], stored["scores_corrected"])
    return fisher({"error": error, "rhythm": (irregular["validation"], irregular["test"])})


def aucs(labels: np.ndarray, found: np.ndarray) -> dict[str, float]:
    """AUC ("all") and AP ("ap") of scores (M,) for all abnormal beats, and the AUC of each class against N."""
    overall = {"all": metrics.auc(labels != "N", found), "ap": metrics.average_precision(labels != "N", found)}
    return overall | metrics.per_class_auc(labels, found)
