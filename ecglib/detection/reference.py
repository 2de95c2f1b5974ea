"""What normal beats of other people answer to the three questions: the scale on which `detect` puts a beat.

The file beside this module was made by `write` from the N beats of MIT-BIH's DS1 (ODC-By 1.0), without record 201,
whose patient is also one of DS2. It holds answers and scores, no beats.
"""

from dataclasses import dataclass
from pathlib import Path

import numpy as np
from safetensors.numpy import load_file, save_file

from ecglib.core.files import atomic_path
from ecglib.data import mitbih
from ecglib.detection import own_record

FILE = Path(__file__).with_name("normal_beats.safetensors")
LEADS = (1, 2)  # judged by lead 1 alone, or by both


@dataclass(frozen=True)
class Reference:
    """N normal beats of other people."""

    answers: np.ndarray  # (N, 3), see `own_record.answers`
    scores: np.ndarray  # (N,) each person's judged by those of the others

    def score(self, answers: np.ndarray) -> np.ndarray:
        """Scores (M,) of answers (M, 3)."""
        return own_record.score(self.answers, answers)

    def share_above(self, answers: np.ndarray) -> np.ndarray:
        """Of answers (M, 3), see `own_record.share_above`."""
        return own_record.share_above(self.answers, answers)

    def percentile(self, scores: np.ndarray) -> np.ndarray:
        """For each score (M,) the share of normal beats with a lower one, in percent."""
        below = np.searchsorted(np.sort(self.scores), scores, side="left")
        found: np.ndarray = 100 * below / len(self.scores)
        return found


def load(leads: int) -> Reference:
    """The shipped reference of `leads` leads, 1 or 2."""
    found = load_file(FILE)
    return Reference(*(found[f"{name}_{leads}"].astype(np.float32) for name in ("answers", "scores")))


def make(beats: mitbih.Beats, leads: int) -> Reference:
    """The reference from MIT-BIH's beats, of which DS1 is used."""
    members = np.flatnonzero(np.isin(beats.records, mitbih.DS1) & (beats.records != "201"))
    found = own_record.all_answers(beats, records=beats.records[members], leads=leads)
    normal = beats.labels[members] == "N"
    # In half precision from the start, so that what is stored is what was judged by.
    found = found.astype(np.float16).astype(np.float32)
    scores = own_record.leave_one_patient_out_scores(found, beats, members)
    return Reference(found[members[normal]], scores[normal])


def write(root: str | Path) -> None:
    """Make the shipped file anew from the MIT-BIH below a data root."""
    beats = mitbih.load_beats(root)
    tensors: dict[str, np.ndarray] = {}
    for leads in LEADS:
        made = make(beats, leads)
        tensors |= {f"answers_{leads}": made.answers, f"scores_{leads}": made.scores}
    with atomic_path(FILE) as temporary:
        save_file({name: values.astype(np.float16) for name, values in tensors.items()}, temporary)
