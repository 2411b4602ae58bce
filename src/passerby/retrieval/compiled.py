"""Functions compiled by numba, where it is installed: decorator, use and threads.

Everything with a compiled form has one in numpy or torch too, with the same result, so that numba
is optional. Compiled functions are imported inside the functions that call them.
"""

import importlib.util
from collections.abc import Callable
from concurrent.futures import ThreadPoolExecutor
from functools import cache, partial
from typing import TypeVar, cast

import torch

ROWS = 8192  # with fewer rows the import of compiled functions, half a second, is not worth it
# sums in any order, for vector instructions; no other option of fast maths
REORDERED = frozenset({"reassoc", "contract", "nsz"})

Function = TypeVar("Function", bound=Callable[..., object])
Result = TypeVar("Result")


@cache
def installed() -> bool:
    """Whether numba is installed."""
    return importlib.util.find_spec("numba") is not None


def pays(rows: int) -> bool:
    """Whether compiled functions should do the work on this many rows."""
    return rows >= ROWS and installed()


def kernel(*, reordered: bool = False) -> Callable[[Function], Function]:
    """Make a decorator that compiles a function to machine code, which runs without Python's lock.

    The code is stored beside the module, or in the user's cache folder where the module's folder is
    not writable. Where neither is, each process compiles it again. Numba's own threads are not
    used, as they do not survive a fork, and some of its thread layers allow one caller only.

    Args:
        reordered: Whether sums may be added in another order. On one machine it is always the same.
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
        except RuntimeError:  # no writable folder
            made = compile_()(function)
        return cast(Function, made)

    return compiled


def in_parts(work: Callable[[int, int], Result], count: int, *, each: int = 1) -> list[Result]:
    """Run ``work(start, stop)`` on consecutive parts of ``range(count)``; return results in order.

    The number of threads is that of torch.

    Args:
        work: A compiled function with all other arguments bound.
        count: Length of the range.
        each: Parts per thread; more where the parts need different times.
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
            serve()  # this thread works too
            for other in others:
                other.result()
    return [found[part] for part in range(parts)]
