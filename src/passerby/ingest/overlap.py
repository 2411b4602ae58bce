"""Run an iterator in a thread of its own, a bounded number of items ahead of its reader."""

import contextlib
from collections.abc import Generator
from queue import Full, Queue
from threading import Event, Thread
from typing import TypeVar

Item = TypeVar("Item")
Stream = Generator[Item, None, None]
"""An iterator that can be closed."""
LOOK = 0.1  # seconds after which a thread that waits for room looks whether it must stop


class _End:
    """The last thing in a queue: the error that ended the iterator, or None."""

    def __init__(self, error: BaseException | None) -> None:
        self.error = error


def ahead(source: Stream[Item], depth: int, name: str) -> Stream[Item]:
    """Yield the items of ``source``, which runs in a thread, at most ``depth`` items ahead.

    The order stays. An error of ``source`` is raised here, after the items before it. When the
    reader stops early, ``source`` is closed in its thread, and the thread has ended when the
    generator is closed. So iterators that are each ``ahead`` of the next end from the last to the
    first.

    Args:
        source: A generator that is not used elsewhere.
        depth: Items that may wait.
        name: Of the thread.
    """
    items: Queue[Item | _End] = Queue(depth)
    stopped = Event()
    thread = Thread(target=_run, args=(source, items, stopped), name=name, daemon=True)
    thread.start()
    try:
        while not isinstance(item := items.get(), _End):
            yield item
        if item.error is not None:
            raise item.error
    finally:
        stopped.set()
        thread.join()


def _run(source: Stream[Item], items: "Queue[Item | _End]", stopped: Event) -> None:
    error: BaseException | None = None
    try:
        for item in source:
            if not _put(items, item, stopped):
                break
    except BaseException as caught:  # whatever it is, the reader must not wait for ever
        error = caught
    finally:
        source.close()
        _put(items, _End(error), stopped)


def _put(items: "Queue[Item | _End]", item: "Item | _End", stopped: Event) -> bool:
    """Wait for room; False when the reader has stopped."""
    while not stopped.is_set():
        with contextlib.suppress(Full):
            items.put(item, timeout=LOOK)
            return True
    return False
