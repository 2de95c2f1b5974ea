"""Time to prepare the beats of MIT-BIH: one record after another, in parallel, and from the cache.

`ECGLIB_DATA=... python -m benchmarks.bench_beats`
"""

import os
import tempfile
import time

from ecglib.data import mitbih, physionet


def main() -> None:
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


if __name__ == "__main__":
    main()
