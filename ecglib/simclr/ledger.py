"""The counterparts of the numbers that R2 quotes."""

from collections.abc import Sequence

import numpy as np

from ecglib.beatgan.task import BeatGANRun
from ecglib.data.mitbih import Beats
from ecglib.show.ledger import mean
from ecglib.simclr.encoder import EncoderConfig


def measured_r2(
    config: EncoderConfig, beats: Beats, plain: Sequence[BeatGANRun], milliseconds: float
) -> tuple[dict[str, float | str], dict[str, str]]:
    """Our values of the numbers that R2 quotes (key -> value), and the reasons where there is none (key -> reason).

    `plain` are the BeatGANs beside the detectors; `milliseconds` is the time that BeatGAN needs to score a beat.
    """
    batch = config.training.batch_size
    found: dict[str, float | str] = {
        "r2.quoted_auc": f"{mean([run.metrics['corrected']['auc'] for run in plain]):.4f} (mean of {len(plain)} runs)",
        "r2.ms_per_beat": milliseconds,
        "r2.beats": len(beats),
        "r2.records": len(np.unique(beats.records)),
        "r2.subjects": len(np.unique(beats.patients)),
        "r2.leads": beats.signals.shape[1],
        "r2.batch_size": batch,
        "r2.views": 2 * batch,
    }
    reasons = {
        "r2.ticks": "R1's number, counted in notebook 01, section 2",
        "r2.minutes": "R1's number: a record is read in notebook 01, section 1",
        "r2.cores": "SimCLR's own training; no TPU is used here",
    }
    return found, reasons
