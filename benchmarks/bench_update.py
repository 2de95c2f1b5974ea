"""Time of one training step against the report's literal update: `python -m benchmarks.bench_update`."""

from functools import partial

import torch

from benchmarks.literal_beatgan import literal_update
from ecglib.beatgan.training import Hyperparameters, new_state, update
from ecglib.core import cost

ROUNDS = 15


def main() -> None:
    torch.set_num_threads(2)
    settings = Hyperparameters(seed=0)
    x = torch.rand(settings.batch_size, 1, 320, generator=torch.Generator().manual_seed(0)) * 2 - 1
    ways = {"literal": literal_update, "shared": update}
    states = {name: new_state(settings, 1, torch.device("cpu")) for name in ways}
    median = cost.alternating_medians(
        {name: partial(way, states[name], x, settings) for name, way in ways.items()}, ROUNDS
    )
    for name, value in median.items():
        print(f"{name:8s} {1000 * value:7.1f} ms a step (median of {ROUNDS}, batch {settings.batch_size}, 2 threads)")
    print(f"ratio    {median['literal'] / median['shared']:7.2f}")


if __name__ == "__main__":
    main()
