"""How time and memory grow with beats, records and the batch: each point in a process of its own."""

import re
import tempfile
import time
from collections.abc import Callable
from concurrent.futures import ProcessPoolExecutor
from multiprocessing import get_context
from pathlib import Path
from unittest import mock

import numpy as np
import torch
from joblib.externals.loky import get_reusable_executor

from ecglib.beatgan.networks import Generator, anomaly_scores
from ecglib.beatgan.training import Settings, new_state, update
from ecglib.data import mitbih, simulate
from ecglib.stats import metrics

REPEATS = 3  # of which the fastest counts, where a point takes seconds


def beats(count: int) -> Callable[[], object]:
    """From filtered beats to AUC and AP with their intervals, by a BeatGAN of an eighth of the width."""
    rng = np.random.default_rng(0)
    signals = rng.standard_normal((count, 1, mitbih.WINDOW), dtype=np.float32)
    labels = np.where(rng.random(count) < 0.1, "V", "N")
    patients = rng.integers(44, size=count)
    generator = Generator(width=0.125).eval()

    def evaluate() -> None:
        scores = anomaly_scores(generator, torch.from_numpy(mitbih.scale(signals))).numpy()
        metrics.anomaly_metrics(labels, scores, patients, labels[:1000], scores[:1000])

    return evaluate


def records(count: int) -> Callable[[], object]:
    """From WFDB files to beats, without a cache: simulated records under other names."""
    known = simulate.simulated_root() / "mitdb" / "1.0.0"
    folder = tempfile.TemporaryDirectory()
    names = [f"{1000 + number}" for number in range(count)]
    target = Path(folder.name) / "mitdb" / "1.0.0"
    target.mkdir(parents=True)
    for number, name in enumerate(names):
        source = mitbih.PATIENTS[number % len(mitbih.PATIENTS)]
        for path in known.glob(f"{source}.*"):
            content = path.read_bytes()
            if path.suffix == ".hea":
                content = re.sub(rf"^{source}\b".encode(), name.encode(), content, flags=re.MULTILINE)
            (target / f"{name}{path.suffix}").write_bytes(content)

    def load() -> None:
        with mock.patch.object(mitbih, "RECORDS", names), mock.patch.dict("os.environ", ECGLIB_CACHE=folder.name):
            mitbih.load_beats(folder.name, names)

    return load


def batch(size: int) -> Callable[[], object]:
    """One training step of BeatGAN."""
    settings = Settings(seed=0, batch_size=size)
    state, x = new_state(settings, 1, torch.device("cpu")), 2 * torch.rand(size, 1, mitbih.WINDOW) - 1
    return lambda: update(state, x, settings)


# Name -> what grows, how a point is prepared, and its sizes.
SERIES: dict[str, tuple[str, Callable[[int], Callable[[], object]], tuple[int, ...]]] = {
    "by-beats": ("beats evaluated", beats, (1_000, 4_000, 16_000, 64_000, 400_000)),
    "by-records": ("records prepared", records, (44, 150, 400, 1_000)),
    "by-batch": ("beats in a training step", batch, (16, 64, 256, 1_024)),
}


def measured(name: str) -> list[dict[str, float]]:
    """Seconds and additional peak memory in MB at each size."""
    _, _, sizes = SERIES[name]
    found = []
    for size in sizes:
        with ProcessPoolExecutor(1, get_context("spawn")) as pool:
            seconds, megabytes = pool.submit(_point, name, size).result()
        found.append({"size": size, "seconds": seconds, "megabytes": megabytes})
    return found


def _point(name: str, size: int) -> tuple[float, float]:
    torch.set_num_threads(1)
    action = SERIES[name][1](size)
    Path("/proc/self/clear_refs").write_text("5", encoding="ascii")  # the peak starts anew
    before = _megabytes("VmRSS")
    seconds: list[float] = []
    while not seconds or (len(seconds) < REPEATS and name != "by-records" and seconds[0] < 20):
        started = time.perf_counter()
        action()
        seconds.append(time.perf_counter() - started)
    get_reusable_executor().shutdown()  # joblib's workers would keep this process for minutes
    return min(seconds), _megabytes("VmHWM") - before


def _megabytes(kind: str) -> float:
    """Memory of this process on Linux, now or at its peak; workers that read records hold one record each."""
    lines = dict(line.split(":", 1) for line in Path("/proc/self/status").read_text(encoding="ascii").splitlines())
    return int(lines[kind].split()[0]) / 1024


def slopes(rows: list[dict[str, float]], what: str) -> tuple[float, float]:
    """The slope in log-log axes over all sizes, and between the two largest; 1 is linear, fixed costs make it less."""
    sizes, values = (np.log([row[key] for row in rows]) for key in ("size", what))
    last = (values[-1] - values[-2]) / (sizes[-1] - sizes[-2])
    return float(np.polyfit(sizes, values, 1)[0]), float(last)
