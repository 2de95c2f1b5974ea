"""Does bfloat16 change what a BeatGAN learns? `python -m benchmarks.precision` (needs ECGLIB_DATA).

Three seeds are trained in both precisions on real beats; everything else is equal. A processor without bfloat16
rounds as one that has it, only slowly, hence the quarter of the report's width. The number to look at was fixed before
the first run: the AUC of the test beats by the mean of the weights of the last quarter (`averaged`).

A GAN blows up any difference of rounding. How far, is shown by the same trainings in float32 on two threads, which add
up in another order.
"""

from dataclasses import replace
from pathlib import Path

import numpy as np
import pandas as pd
import torch

from ecglib.beatgan.task import BeatGANConfig, BeatGANRun
from ecglib.beatgan.training import Settings
from ecglib.core.files import output_root, write_text
from ecglib.core.precision import Precision
from ecglib.data import mitbih, physionet
from ecglib.runs.obtain import obtain
from ecglib.stats.metrics import Interval, mean_interval

SEEDS, EPOCHS = 3, 8
WAYS: dict[str, tuple[Precision, int]] = {  # precision and threads
    "float32": ("float32", 1),
    "bfloat16": ("bfloat16", 1),
    "float32, two threads": ("float32", 2),
}
TABLE = Path(__file__).parent / "precision.csv"


def runs() -> dict[str, list[BeatGANRun]]:
    """Way -> a run for each seed, trained or from the store."""
    beats = mitbih.load_beats(physionet.find_root())
    settings = Settings(seed=0, epochs=EPOCHS)
    base = BeatGANConfig(
        beats.fingerprint, training=settings, width=0.25, train_beats=3840, validation_beats=2000, test_beats=5000
    )
    store, found = output_root() / "papermill_runs" / "precision", {}
    for way, (precision, threads) in WAYS.items():
        torch.set_num_threads(threads)
        configs = [replace(base, training=replace(settings, seed=seed, precision=precision)) for seed in range(SEEDS)]
        found[way] = [obtain(config, beats, store / f"{threads} threads") for config in configs]
    return found


def table(found: dict[str, list[BeatGANRun]]) -> pd.DataFrame:
    """For every seed and epoch: the validation AUC of every way; then the test AUC."""
    rows = []
    for seed, pair in enumerate(zip(*found.values(), strict=True)):
        epochs = zip(*(run.history["auc_eval_mode"] for run in pair), strict=True)
        named = [(f"epoch {number}, validation", values) for number, values in enumerate(epochs, 1)]
        named.append(("averaged, test", tuple(run.metrics["averaged"]["auc"] for run in pair)))
        rows += [{"seed": seed, "AUC": name, **dict(zip(found, values, strict=True))} for name, values in named]
    return pd.DataFrame(rows)


def summary(rows: pd.DataFrame) -> dict[tuple[str, str], Interval]:
    """For every way but the first, the difference from it, paired by seed: of the test AUC, and over all epochs."""
    tested, found = rows["AUC"] == "averaged, test", {}
    for way in list(WAYS)[1:]:
        differences = (rows[way] - rows["float32"]).rename("difference")
        validated = differences[~tested].groupby(rows["seed"]).mean()
        found[way, "test AUC, averaged weights"] = mean_interval(np.array(differences[tested]))
        found[way, "validation AUC, mean over the epochs"] = mean_interval(np.array(validated))
    return found


def main() -> None:
    """Train what is missing, write the table, print the differences."""
    rows = table(runs())
    write_text(TABLE, rows.to_csv(index=False, float_format="%.4f", lineterminator="\n"))
    print(rows.to_string(index=False, float_format="{:.4f}".format))
    for (way, what), interval in summary(rows).items():
        print(f"{way} minus float32, {what}: {interval}")


if __name__ == "__main__":
    main()
