"""Processes of the builders: started fresh, and gone when the builder is gone."""

from __future__ import annotations

import concurrent.futures
import contextlib
import multiprocessing
import os
import threading
from collections.abc import Callable, Iterator


@contextlib.contextmanager
def pool(workers: int, start: Callable[[], None] | None = None) -> Iterator:
    """A pool of `workers` processes, or None for a single worker. `start` runs in each process.

    Processes are spawned: fork is unsafe beside the threads of native libraries.
    """
    if workers == 1:
        yield None
        return
    context = multiprocessing.get_context("spawn")
    with concurrent.futures.ProcessPoolExecutor(
        workers, mp_context=context, initializer=_begin, initargs=(start,)
    ) as executor:
        try:
            yield executor
        finally:
            executor.shutdown(wait=True, cancel_futures=True)


def _begin(start: Callable[[], None] | None) -> None:
    """A worker whose parent was killed would wait for work for ever."""

    def wait() -> None:
        multiprocessing.parent_process().join()
        os._exit(1)

    threading.Thread(target=wait, daemon=True).start()
    if start is not None:
        start()
