"""Speed against the reference way in the same run: `python -m benchmarks.bench update` (or `beats`, `score`).

Ratios carry over to another machine, times do not. Nothing else should run meanwhile.
"""

import argparse
import os
import tempfile
import time
from collections.abc import Callable
from functools import partial

import torch

from ecglib.beatgan.networks import Generator, anomaly_scores
from ecglib.beatgan.scoring import scorer
from ecglib.beatgan.training import Settings, new_state, update
from ecglib.core import cost
from ecglib.data import mitbih, physionet
from tests.beatgan.literal import literal_update

ROUNDS = 15


def bench_update() -> None:
    """One training step against the report's update, written out literally."""
    torch.set_num_threads(2)
    settings = Settings(seed=0)
    x = torch.rand(settings.batch_size, 1, 320, generator=torch.Generator().manual_seed(0)) * 2 - 1
    ways = {"literal": literal_update, "shared": update}
    states = {name: new_state(settings, 1, torch.device("cpu")) for name in ways}
    steps = {name: partial(way, states[name], x, settings) for name, way in ways.items()}
    median = cost.alternating_medians(steps, ROUNDS)
    for name, value in median.items():
        print(f"{name:8s} {1000 * value:7.1f} ms a step (median of {ROUNDS}, batch {settings.batch_size}, 2 threads)")
    print(f"ratio    {median['literal'] / median['shared']:7.2f}")


def bench_beats() -> None:
    """Preparing the beats of MIT-BIH: one record after another, in parallel, and from the cache (needs ECGLIB_DATA)."""
    root = physionet.find_root()
    seconds = {}
    started = time.perf_counter()
    for name in mitbih.PATIENTS:
        mitbih.prepare_record(root, name)
    seconds["one after another"] = time.perf_counter() - started
    with tempfile.TemporaryDirectory() as cache:
        os.environ["ECGLIB_CACHE"] = cache
        for way in ("in parallel, cold", "from the cache"):
            started = time.perf_counter()
            mitbih.load_beats(root)
            seconds[way] = time.perf_counter() - started
    for way, value in seconds.items():
        print(f"{way:18s} {value:7.2f} s   {seconds['one after another'] / value:6.1f} times")


def bench_score() -> None:
    """The anomaly score of one beat, and of many, on one thread: torch layer by layer, and one graph."""
    torch.set_num_threads(1)
    generator = Generator().eval()
    score = scorer(generator)
    for count in (1, 64):
        x = 2 * torch.rand(count, 1, 320, generator=torch.Generator().manual_seed(0)) - 1
        values = x.numpy()
        ways = {"torch": partial(anomaly_scores, generator, x), "graph": partial(score, values)}
        median = cost.alternating_medians(ways, 20 * ROUNDS if count == 1 else ROUNDS)
        for name, value in median.items():
            print(f"{name:6s} {1000 * value / count:7.3f} ms a beat, {count} at once")
        print(f"ratio  {median['torch'] / median['graph']:7.2f}")
        print(f"largest difference {abs(ways['torch']().numpy() - ways['graph']()).max():.1e}")


BENCHMARKS: dict[str, Callable[[], None]] = {"update": bench_update, "beats": bench_beats, "score": bench_score}

if __name__ == "__main__":
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("benchmark", choices=BENCHMARKS)
    BENCHMARKS[parser.parse_args().benchmark]()
