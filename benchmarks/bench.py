"""Speed against the reference way in the same run: `python -m benchmarks.bench [update beats score ...]`.

Ratios carry over to another machine, times do not. Nothing else should run meanwhile. Each benchmark replaces its part
of `results.json`; the table `README.md` and the charts are drawn from it.
"""

import argparse
import json
import os
import platform
import statistics
import tempfile
import time
from collections.abc import Callable, Iterator
from concurrent.futures import ProcessPoolExecutor
from contextlib import contextmanager
from functools import partial
from importlib.metadata import version
from multiprocessing import get_context
from pathlib import Path
from typing import Any

import numpy as np
import torch
from biosppy.signals.ecg import correct_rpeaks, hamilton_segmenter

from benchmarks import gpu, report, scaling
from ecglib.beatgan.networks import Generator, anomaly_scores
from ecglib.beatgan.scoring import scorer
from ecglib.beatgan.training import Settings, new_state, update
from ecglib.classifier import export, measure
from ecglib.classifier.task import ClassifierConfig
from ecglib.classifier.training import Settings as ClassifierSettings
from ecglib.core import cost
from ecglib.core.files import write_text
from ecglib.core.precision import reduced
from ecglib.data import mitbih, physionet, ptbxl, simulate
from ecglib.runs.obtain import obtain
from tests.beatgan.literal import literal_update

HERE = Path(__file__).parent
ROUNDS = 15
TEST_BEATS = 27_107  # of R1
CPU = torch.device("cpu")
Row = dict[str, Any]


def row(what: str, reference: str, here: str, seconds: dict[str, float], goal: float | None = None) -> Row:
    """A line of the table; `seconds` has those of the reference way and of the way here."""
    before, after = seconds.values()
    found = {"what": what, "reference": reference, "here": here, "reference_ms": 1000 * before, "ms": 1000 * after}
    return found | {"ratio": before / after, "goal": goal}


def bench_update() -> list[Row]:
    """One training step of BeatGAN, batch 64, one thread: the report's update written out, and the one here."""
    settings = Settings(seed=0)
    x = 2 * torch.rand(settings.batch_size, 1, 320, generator=torch.Generator().manual_seed(0)) - 1
    steps: dict[str, Callable[[], object]] = {}
    for name, way in {"literal": literal_update, "float32": update}.items():
        steps[name] = partial(way, new_state(settings, 1, CPU), x, settings)
    half = new_state(settings, 1, CPU)

    def in_half() -> None:
        with reduced("bfloat16"):
            update(half, x, settings)

    steps["bfloat16"] = in_half
    median = cost.alternating_medians(steps, ROUNDS)
    what = "a training step of BeatGAN, batch 64"
    return [
        row(what, "R1's update, literally", f"`update`, {kind}", {"": median["literal"], kind: median[kind]})
        for kind in ("float32", "bfloat16")
    ]


def bench_jobs() -> list[Row]:
    """Forty steps: in one process of two threads, and in two processes of one thread."""
    with ProcessPoolExecutor(2, get_context("spawn")) as pool:
        list(pool.map(_steps, (1, 1), (2, 2)))  # the processes start and import
        whole, shared = [], []
        for _ in range(3):
            started = time.perf_counter()
            pool.submit(_steps, 2, 40).result()
            whole.append(time.perf_counter() - started)
            started = time.perf_counter()
            list(pool.map(_steps, (1, 1), (20, 20)))
            shared.append(time.perf_counter() - started)
    seconds = {"whole": statistics.median(whole), "shared": statistics.median(shared)}
    return [row("40 training steps on two cores", "one process, two threads", "two processes, one thread", seconds)]


def _steps(threads: int, count: int) -> None:
    torch.set_num_threads(threads)
    settings = Settings(seed=0)
    state, x = new_state(settings, 1, CPU), 2 * torch.rand(settings.batch_size, 1, 320) - 1
    for _ in range(count):
        update(state, x, settings)


def bench_beats() -> list[Row]:
    """The beats of MIT-BIH (needs ECGLIB_DATA): with biosppy's segmenter record by record, cold here, and cached."""
    root, seconds = physionet.find_root(), {}
    started = time.perf_counter()
    for name in mitbih.PATIENTS:
        record = mitbih.read_record(root, name)
        filtered = mitbih.bandpass(record.signals)
        (peaks,) = hamilton_segmenter(filtered[0], float(mitbih.FS))
        peaks = correct_rpeaks(filtered[0], peaks, float(mitbih.FS), tol=0.05)["rpeaks"]
        mitbih.cut_beats(filtered, record.samples[mitbih.select_beats(record, peaks)])
    seconds["literal"] = time.perf_counter() - started
    with empty_cache():
        for way in ("cold", "cached"):
            started = time.perf_counter()
            count = len(mitbih.load_beats(root))
            seconds[way] = time.perf_counter() - started
    what, literal = f"{count:,} beats of MIT-BIH", "biosppy's segmenter, record by record"
    return [
        row(what, literal, f"`load_beats`, {way}", {"literal": seconds["literal"], way: seconds[way]}, goal)
        for way, goal in (("cold", 4.0), ("cached", None))
    ]


@contextmanager
def empty_cache() -> Iterator[None]:
    """A cache of its own for the block."""
    before = os.environ.get("ECGLIB_CACHE")
    with tempfile.TemporaryDirectory() as folder:
        os.environ["ECGLIB_CACHE"] = folder
        try:
            yield
        finally:
            os.environ.pop("ECGLIB_CACHE")
            if before:
                os.environ["ECGLIB_CACHE"] = before


def bench_score() -> list[Row]:
    """The anomaly score of one beat on one thread, and of R1's test beats on all: torch, and one graph."""
    generator = Generator().eval()
    one = 2 * torch.rand(1, 1, 320, generator=torch.Generator().manual_seed(0)) - 1
    ways = {"torch": partial(anomaly_scores, generator, one), "graph": partial(scorer(generator), one.numpy())}
    single = row(
        "the score of one beat, one thread",
        "torch, layer by layer",
        "`scoring.scorer`",
        cost.alternating_medians(ways, 20 * ROUNDS),
        5.0,
    )
    cores = os.cpu_count() or 1
    torch.set_num_threads(cores)
    x = (2 * torch.rand(TEST_BEATS, 1, 320, generator=torch.Generator().manual_seed(1)) - 1).numpy()
    score, tensor = scorer(generator, cores), torch.from_numpy(x)
    found: dict[str, np.ndarray] = {}

    def keep(name: str, way: Callable[[], np.ndarray]) -> None:
        found[name] = way()

    many_ways = {
        "loop": lambda: reports_loop(generator, tensor),
        "torch": lambda: anomaly_scores(generator, tensor).numpy(),
        "graph": lambda: np.concatenate([score(x[start : start + 64]) for start in range(0, len(x), 64)]),
    }
    seconds = cost.alternating_medians({name: partial(keep, name, way) for name, way in many_ways.items()}, 3)
    torch.set_num_threads(1)
    what = f"the scores of {TEST_BEATS:,} beats, {cores} threads"
    many = [
        row(what, "R1's test loop", here, {"loop": seconds["loop"], name: seconds[name]}, goal)
        | {"largest_difference": float(abs(found["loop"] - found[name]).max())}
        for name, here, goal in (("torch", "`anomaly_scores`", 3.0), ("graph", "`scoring.scorer`", None))
    ]
    return [single, *many]


@torch.no_grad()
def reports_loop(generator: Generator, x: torch.Tensor) -> np.ndarray:
    """R1's test as its program has it: batches of 64, the error of each beat into a tensor of all."""
    scores, size = torch.zeros(len(x)), 64
    for number, batch in enumerate(x.split(size)):
        redrawn, _ = generator(batch)
        errors = torch.mean(torch.pow((batch.view(len(batch), -1) - redrawn.view(len(batch), -1)), 2), dim=1)
        scores[number * size : number * size + len(errors)] = errors.reshape(len(errors))
    return scores.numpy()


def bench_int8() -> list[Row]:
    """R3's student on one record, one thread: torch, ONNX Runtime, and the same in INT8."""
    records = ptbxl.load_records(simulate.simulated_root())
    config = ClassifierConfig(records.fingerprint, ClassifierSettings(0, epochs=1), train_records=64)
    with tempfile.TemporaryDirectory() as folder:
        run = obtain(config, records, Path(folder), weights=True, bar=False)
        files = {form: Path(folder) / f"{form}.onnx" for form in ("float", "int8")}
        export.export(run, "benchmark", files["float"])
        export.quantise(run, records, "benchmark", files["float"], files["int8"])
        x = np.zeros((1, 12, ptbxl.SAMPLES), dtype=np.float32)
        ways = measure.ways({"torch": run.model()}, files, x)
        median = {name: float(np.median(values)) for name, values in measure.timed(ways, 20 * ROUNDS).items()}
    what = "R3's student on one record, one thread"
    return [
        row(what, "torch, layer by layer", name, {"torch": median["torch"], name: median[form]}, goal)
        for form, name, goal in (("float", "ONNX Runtime", None), ("int8", "ONNX Runtime, INT8", 5.0))
    ]


def bench_gpu() -> list[Row]:
    """BeatGAN's training step on a GPU: see `gpu`."""
    (reference, first), *others = gpu.measured().items()
    what = "a training step of BeatGAN, batch 64, on a GPU"
    return [row(what, reference, name, {"": first, name: one}) for name, one in others]


BENCHMARKS: dict[str, Callable[[], list[Row]]] = {
    "update": bench_update,
    "jobs": bench_jobs,
    "beats": bench_beats,
    "score": bench_score,
    "int8": bench_int8,
    "gpu": bench_gpu,
}


def machine() -> dict[str, str]:
    """What the figures depend on: processor, its extensions, versions."""
    text = Path("/proc/cpuinfo").read_text(encoding="utf-8") if Path("/proc/cpuinfo").exists() else ""
    lines = dict(line.split(":", 1) for line in text.splitlines() if ":" in line)
    facts = {name.strip(): value.strip() for name, value in lines.items()}
    flags = [flag for flag in ("avx2", "avx512f", "avx512_bf16", "amx_bf16") if flag in facts.get("flags", "").split()]
    versions = ", ".join(f"{name} {version(name)}" for name in ("torch", "onnxruntime", "numpy", "scipy"))
    processor = facts.get("model name", platform.processor() or platform.machine())
    place = f"{os.cpu_count()} cores of {processor} ({', '.join(flags)})"
    if torch.cuda.is_available():
        place = f"one {torch.cuda.get_device_name()}, {place}"
    return {"machine": place, "versions": versions}


def main() -> None:
    """Run the benchmarks that are named, or all."""
    parser = argparse.ArgumentParser(description=__doc__)
    choices = [*BENCHMARKS, *scaling.SERIES]
    parser.add_argument("benchmarks", nargs="*", choices=[*choices, []], metavar="NAME", help=", ".join(choices))
    here = [name for name in choices if name != "gpu" or torch.cuda.is_available()]
    chosen = parser.parse_args().benchmarks or here
    torch.set_num_threads(1)
    path = HERE / "results.json"
    kept = json.loads(path.read_text(encoding="utf-8")) if path.exists() else {}
    for name in chosen:
        found = BENCHMARKS[name]() if name in BENCHMARKS else scaling.measured(name)
        kept[name] = {**machine(), "rows": found}
        write_text(path, json.dumps({key: kept[key] for key in choices if key in kept}, indent=1) + "\n")
        print(f"{name}: done", flush=True)
    report.write(kept, HERE)
    print((HERE / "README.md").read_text(encoding="utf-8"))


if __name__ == "__main__":
    main()
