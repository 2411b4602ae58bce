"""Work in chunks on this process or on several, with results in order."""

import multiprocessing
import os
import signal
import threading
from collections.abc import Callable, Iterator
from concurrent.futures import ProcessPoolExecutor
from typing import Any, TypeVar

Result = TypeVar("Result")


def run_chunks(
    work: Callable[[range], Result], chunks: list[range], workers: int
) -> Iterator[Result]:
    """Results of ``work`` for every chunk, in order.

    Args:
        work: what to do; it is sent to each process once, so that it may hold large arrays.
        chunks: ranges of rows.
        workers: processes; with 1 everything stays in this one.
    """
    if workers == 1 or len(chunks) < 2:
        yield from map(work, chunks)
        return
    # fresh processes: a fork would copy locks held by threads of this one
    pool = ProcessPoolExecutor(
        min(workers, len(chunks)),
        mp_context=multiprocessing.get_context("spawn"),
        initializer=_start_worker,
        initargs=(work,),
    )
    try:
        yield from pool.map(_work, chunks)
    finally:
        pool.shutdown(wait=True, cancel_futures=True)


_task: Callable[[range], Any] | None = None  # of a worker process


def _start_worker(work: Callable[[range], Any]) -> None:
    """Keep the work, leave Ctrl-C to the parent, and end when the parent is gone."""
    global _task  # noqa: PLW0603 - a process pool has no other place for its state
    _task = work
    signal.signal(signal.SIGINT, signal.SIG_IGN)
    threading.Thread(target=_end_with_parent, daemon=True).start()


def _end_with_parent() -> None:
    parent = multiprocessing.parent_process()
    if parent is not None:
        parent.join()
        os._exit(1)


def _work(rows: range) -> Any:
    assert _task is not None
    return _task(rows)
