"""Two ways to judge the beats of a recording: the three questions of `own_record`, and BeatGAN's reconstruction.

A judge gives each beat a score, puts scores on the scale of normal beats of other people, and shows what a beat was
compared with. It is made for a number of leads, `MOST` at most. Signals are all beats of a piece of the recording,
(M, L, 320) mV, filtered, and intervals (M,) in s those before them.
"""

import json
from pathlib import Path
from typing import Protocol

import numpy as np
import pandas as pd

from ecglib.data import mitbih
from ecglib.detection import own_record, reference
from ecglib.detection.own_record import QUESTIONS, Usual

BEATGAN = Path(__file__).with_name("beatgan.safetensors")
RARE = 0.1  # percent of normal beats that are as far from usual
WIDTH = 0.125  # of the shipped BeatGAN: an eighth of R1's channels


class Judge(Protocol):
    """See this module."""

    compared_with: str  # what a beat is compared with, for a reader
    unit: str  # of both
    score: str  # what it is, likewise
    around: int  # beats that decide together what is usual

    def judge(self, signals: np.ndarray, intervals: np.ndarray) -> pd.DataFrame:
        """A row a beat: `score`, higher is more unusual, `why`, and what else there is to say."""

    def percentile(self, scores: np.ndarray) -> np.ndarray:
        """For each score (M,) the share of normal beats of other people with a lower one, in percent."""

    def against(self, signals: np.ndarray, intervals: np.ndarray, number: int) -> tuple[np.ndarray, np.ndarray]:
        """A beat and what it was compared with, both (L, 320), in the same unit."""


class ThreeQuestions:
    """`own_record`: is the P wave, the QRS complex, the time like those of the latest beats around?"""

    MOST = max(reference.LEADS)
    compared_with, unit = "the usual beat of this recording", "mV"
    score = "minus the sum of the logarithms of these three shares"

    def __init__(self, leads: int) -> None:
        self.usual = Usual()
        self.reference, self.around = reference.load(leads), self.usual.around

    def judge(self, signals: np.ndarray, intervals: np.ndarray) -> pd.DataFrame:
        """See `Judge`; for each question the percentage of normal beats that are at least as far from usual."""
        answers = own_record.answers(signals, intervals, self.usual)
        above = 100 * self.reference.share_above(answers)
        # All that are rare: of a wide beat neither P wave nor QRS complex is usual, and which is rarer says little.
        telling = (above <= RARE) | (above == above.min(axis=1, keepdims=True))
        why = [", ".join(name for name, one in zip(QUESTIONS, row, strict=True) if one) for row in telling]
        found = {"score": self.reference.score(answers), "why": why}
        return pd.DataFrame(found | {f"{name}, %": above[:, n] for n, name in enumerate(QUESTIONS)})

    def percentile(self, scores: np.ndarray) -> np.ndarray:
        """See `Judge`."""
        return self.reference.percentile(scores)

    def against(self, signals: np.ndarray, intervals: np.ndarray, number: int) -> tuple[np.ndarray, np.ndarray]:
        """See `Judge`; in mV."""
        return signals[number], own_record.usual_beat(signals, intervals, number, self.usual)


class BeatGAN:
    """The shipped BeatGAN, which has learned N beats of DS1: how badly does it redraw the beat?

    Its scale are the N beats of `mitbih.DS1_VALIDATION`. It has not learned them, but its epoch and seed were chosen by
    them, so that other people's normal beats lie a little higher.
    """

    MOST = 1
    compared_with, unit = "what BeatGAN drew", "scaled"
    score = "the mean square of what BeatGAN drew wrongly, the beat being scaled to -1 to 1"
    around = 1

    def __init__(self, leads: int = MOST) -> None:
        import torch  # here: the other judge needs none

        from ecglib.beatgan.networks import Generator
        from ecglib.runs.formats import read_tensors

        tensors = read_tensors(BEATGAN)
        self.normal = np.sort(tensors.pop("normal_scores").numpy())
        self.generator = Generator(width=WIDTH)
        self.generator.load_state_dict(tensors)
        self.generator.eval()
        self.torch = torch

    def _redrawn(self, signals: np.ndarray) -> tuple[np.ndarray, np.ndarray]:
        x = mitbih.scale(signals[:, :1])
        with self.torch.no_grad():
            parts = [self.generator(part)[0] for part in self.torch.from_numpy(x).split(256)]
        return x, self.torch.cat(parts).numpy()

    def judge(self, signals: np.ndarray, intervals: np.ndarray) -> pd.DataFrame:
        """See `Judge`; `why` says where the reconstruction is worst."""
        from ecglib.show.style import BEAT_MS  # here: the other judge needs no figures

        x, redrawn = self._redrawn(signals)
        errors = (redrawn - x)[:, 0] ** 2
        worst = np.array(BEAT_MS)[errors.argmax(axis=1)]
        why = [f"{abs(at):.0f} ms {'before' if at < 0 else 'after'} the R peak" for at in worst]
        return pd.DataFrame({"score": errors.mean(axis=1), "why": why})

    def percentile(self, scores: np.ndarray) -> np.ndarray:
        """See `Judge`."""
        found: np.ndarray = 100 * np.searchsorted(self.normal, scores, side="left") / len(self.normal)
        return found

    def against(self, signals: np.ndarray, intervals: np.ndarray, number: int) -> tuple[np.ndarray, np.ndarray]:
        """See `Judge`; scaled to -1 to 1."""
        x, redrawn = self._redrawn(signals[number : number + 1])
        return x[0], redrawn[0]


def write_beatgan(root: str | Path, store: Path, seeds: int = 3, epochs: int = 20) -> None:
    """Train the shipped BeatGAN anew from the MIT-BIH below a data root, its runs being kept in `store`.

    Of the seeds the one that redraws N beats of `mitbih.DS1_VALIDATION` best is taken, without a look at DS2.
    """
    import torch

    from ecglib.beatgan.arms import best_without_labels
    from ecglib.beatgan.networks import anomaly_scores
    from ecglib.beatgan.task import BeatGANConfig
    from ecglib.beatgan.training import Settings
    from ecglib.runs.formats import half, write_tensors
    from ecglib.runs.obtain import obtain

    beats = mitbih.load_beats(root)
    configs = [
        BeatGANConfig(beats.fingerprint, Settings(seed, epochs), split="patients", width=WIDTH) for seed in range(seeds)
    ]
    best = best_without_labels(obtain(config, beats, store, weights=True) for config in configs)
    generator = best.generator()
    kept = np.isin(beats.records, mitbih.DS1_VALIDATION) & (beats.labels == "N")
    tensors = half(generator.state_dict())
    generator.half().float()  # as it will be read
    x = torch.from_numpy(mitbih.scale(np.asarray(beats.signals[kept][:, :1])))
    tensors["normal_scores"] = anomaly_scores(generator, x)
    claims = {"AUC on DS2": round(best.metrics["corrected"]["auc"], 4), "run": best.folder.name}
    write_tensors(BEATGAN, tensors, {"claims": json.dumps(claims)})


JUDGES: dict[str, type[ThreeQuestions] | type[BeatGAN]] = {"questions": ThreeQuestions, "beatgan": BeatGAN}
