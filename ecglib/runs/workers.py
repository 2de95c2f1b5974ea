"""Processes of one thread each that report what they do, and that end with the process that started them."""

import multiprocessing
import os
import signal
import threading
from collections.abc import Callable, Iterator
from concurrent.futures import ProcessPoolExecutor
from contextlib import contextmanager, suppress
from multiprocessing.connection import Connection

# How many threads the numerical libraries of a process use; they read it when they are loaded.
THREADS = ("OMP_NUM_THREADS", "MKL_NUM_THREADS", "OPENBLAS_NUM_THREADS")


@contextmanager
def workers(count: int, heard: Callable[[str], object]) -> Iterator[ProcessPoolExecutor]:
    """A pool of processes. `heard` is called in a thread of this process with what they `tell`.

    The processes end with this one, whatever ends it, and do so at once if it leaves the block with an error.
    """
    context = multiprocessing.get_context("spawn")
    alive, held = context.Pipe(duplex=False)
    inbox, told = context.Pipe(duplex=False)

    def read() -> None:
        with suppress(EOFError):
            while True:
                heard(inbox.recv_bytes().decode())

    pool = ProcessPoolExecutor(count, context, _start, (alive, told))
    reader = threading.Thread(target=read, daemon=True)
    reader.start()
    try:
        yield pool
    except BaseException:
        held.close()  # the workers see it, and exit
        raise
    finally:
        pool.shutdown(cancel_futures=True)
        held.close()
        told.close()
        reader.join()


# Of a worker process: where it reports. A short message is written at once, so the workers need no lock, which a killed
# one would never give back.
_told: Connection | None = None


def tell(message: str) -> None:
    """Report to the process that started this worker."""
    if _told is not None:
        _told.send_bytes(message.encode())


def _start(alive: Connection, told: Connection) -> None:
    global _told
    _told = told
    signal.signal(signal.SIGINT, signal.SIG_IGN)  # the parent decides
    os.environ.update(dict.fromkeys(THREADS, "1"))

    def exit_with_parent() -> None:
        try:
            alive.recv()
        except EOFError:
            os._exit(1)

    threading.Thread(target=exit_with_parent, daemon=True).start()
