"""Does bfloat16 change what a BeatGAN learns? `python -m benchmarks.precision` (needs ECGLIB_DATA).

Three seeds are trained in both precisions on real beats; everything else is equal. A processor without bfloat16
rounds as one that has it, only slowly, hence the quarter of the report's width. The number to look at was fixed before
the first run: the AUC of the test beats by the mean of the weights of the last quarter (`averaged`).
"""

from dataclasses import replace
from pathlib import Path

import numpy as np
import pandas as pd
import torch

from ecglib.beatgan.task import BeatGANConfig, BeatGANRun
from ecglib.beatgan.training import Settings
from ecglib.core.files import output_root, write_text
from ecglib.data import mitbih, physionet
from ecglib.runs.obtain import obtain
from ecglib.stats.metrics import Interval, mean_interval

SEEDS, EPOCHS = 3, 8
TABLE = Path(__file__).parent / "precision.csv"


def runs() -> dict[str, list[BeatGANRun]]:
    """Precision -> a run for each seed, trained or from the store."""
    beats = mitbih.load_beats(physionet.find_root())
    settings = Settings(seed=0, epochs=EPOCHS)
    base = BeatGANConfig(
        beats.fingerprint, training=settings, width=0.25, train_beats=3840, validation_beats=2000, test_beats=5000
    )
    store, found = output_root() / "papermill_runs" / "precision" / "runs", {}
    for precision in ("float32", "bfloat16"):
        configs = [replace(base, training=replace(settings, seed=seed, precision=precision)) for seed in range(SEEDS)]
        found[precision] = [obtain(config, beats, store) for config in configs]
    return found


def table(found: dict[str, list[BeatGANRun]]) -> pd.DataFrame:
    """For every seed and epoch: validation AUC in both precisions, and their difference; then the test AUC."""
    rows = []
    for seed, pair in enumerate(zip(*found.values(), strict=True)):
        epochs = zip(*(run.history["auc_eval_mode"] for run in pair), strict=True)
        named = [(f"epoch {number}, validation", values) for number, values in enumerate(epochs, 1)]
        named.append(("averaged, test", tuple(run.metrics["averaged"]["auc"] for run in pair)))
        rows += [{"seed": seed, "AUC": name, **dict(zip(found, values, strict=True))} for name, values in named]
    return pd.DataFrame(rows).assign(difference=lambda rows: rows["bfloat16"] - rows["float32"])


def summary(rows: pd.DataFrame) -> dict[str, Interval]:
    """The paired difference over the seeds: of the test AUC, and of the mean validation AUC over all epochs."""
    tested = rows["AUC"] == "averaged, test"
    validated = rows[~tested].groupby("seed")["difference"].mean()
    return {
        "test AUC, averaged weights": mean_interval(np.array(rows.loc[tested, "difference"])),
        "validation AUC, mean over the epochs": mean_interval(np.array(validated)),
    }


def main() -> None:
    """Train what is missing, write the table, print the differences."""
    torch.set_num_threads(1)
    rows = table(runs())
    write_text(TABLE, rows.to_csv(index=False, float_format="%.4f", lineterminator="\n"))
    print(rows.pivot(index="AUC", columns="seed", values="difference").to_string(float_format="{:+.4f}".format))
    for name, interval in summary(rows).items():
        print(f"bfloat16 - float32, {name}: {interval}")


if __name__ == "__main__":
    main()
