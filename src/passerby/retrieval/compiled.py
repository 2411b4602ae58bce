"""Functions compiled by numba, where it is installed: the decorator, the rule, the threads.

Everything that has a compiled form has one in numpy or torch too, with the same result; numba is
no requirement of this room. Compiled functions are imported inside the functions that call them.
"""

import importlib.util
from collections.abc import Callable
from concurrent.futures import ThreadPoolExecutor
from functools import cache, partial
from typing import TypeVar, cast

import torch

ROWS = 8192  # rows from which compiled functions are worth their import, half a second
# sums in any order, so that they fill vectors; nothing else of fast maths
REORDERED = frozenset({"reassoc", "contract", "nsz"})

Function = TypeVar("Function", bound=Callable[..., object])
Result = TypeVar("Result")


@cache
def installed() -> bool:
    """Whether numba is there."""
    return importlib.util.find_spec("numba") is not None


def pays(rows: int) -> bool:
    """Whether work on so many rows should be done by compiled functions."""
    return rows >= ROWS and installed()


def kernel(*, reordered: bool = False) -> Callable[[Function], Function]:
    """Compile a function to machine code that runs without Python's lock.

    The code is kept beside the module, or in the user's cache folder where that may not be written,
    or else compiled again by each process. No threads of numba's own: they survive no fork, and
    some of its thread layers no second caller.

    Args:
        reordered: Whether sums may be added up in another order; on one machine it is always the
            same.
    """
    import numba

    def compiled(function: Function) -> Function:
        compile_ = partial(
            numba.njit,
            nogil=True,
            error_model="numpy",
            fastmath=set(REORDERED) if reordered else False,
        )
        try:
            made = compile_(cache=True)(function)
        except RuntimeError:  # no folder to keep it in
            made = compile_()(function)
        return cast(Function, made)

    return compiled


def in_parts(work: Callable[[int, int], Result], count: int, *, each: int = 1) -> list[Result]:
    """``work(start, stop)`` of consecutive parts of ``range(count)``, in order.

    As many run at once as torch uses threads.

    Args:
        work: A compiled function with everything but its part.
        count: Numbers to share out.
        each: Parts per thread; more where parts differ in work.
    """
    threads = max(1, min(torch.get_num_threads(), count))
    parts = threads * each if threads > 1 else 1
    edges = [count * part // parts for part in range(parts + 1)]
    found: dict[int, Result] = {}
    waiting = iter(range(parts))

    def serve() -> None:
        for part in waiting:
            found[part] = work(edges[part], edges[part + 1])

    if threads == 1:
        serve()
    else:
        with ThreadPoolExecutor(threads - 1) as pool:
            others = [pool.submit(serve) for _ in range(threads - 1)]
            serve()  # this thread is awake
            for other in others:
                other.result()
    return [found[part] for part in range(parts)]
