"""Time of one training step against the report's literal update: `python -m benchmarks.bench_update`."""

import statistics
import time

import torch

from benchmarks.literal_beatgan import literal_update
from ecglib.training import Hyperparameters, new_state, update

ROUNDS = 15


def main() -> None:
    torch.set_num_threads(2)
    settings = Hyperparameters(seed=0)
    x = torch.rand(settings.batch_size, 1, 320, generator=torch.Generator().manual_seed(0)) * 2 - 1
    seconds: dict[str, list[float]] = {"literal": [], "shared": []}
    ways = {"literal": literal_update, "shared": update}
    states = {name: new_state(settings, 1, torch.device("cpu")) for name in ways}
    for name, way in ways.items():  # the first call allocates
        way(states[name], x, settings)
    for _ in range(ROUNDS):  # alternating, so that a noisy machine disturbs both alike
        for name, way in ways.items():
            started = time.perf_counter()
            way(states[name], x, settings)
            seconds[name].append(time.perf_counter() - started)
    median = {name: statistics.median(values) for name, values in seconds.items()}
    for name, value in median.items():
        print(f"{name:8s} {1000 * value:7.1f} ms a step (median of {ROUNDS}, batch {settings.batch_size}, 2 threads)")
    print(f"ratio    {median['literal'] / median['shared']:7.2f}")


if __name__ == "__main__":
    main()
