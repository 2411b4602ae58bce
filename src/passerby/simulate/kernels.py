"""The one place that brings numba in, so that a missing extra is one clear line."""

from collections.abc import Callable
from typing import TypeVar, cast

from passerby.errors import MissingExtraError

try:
    import numba
except ImportError as error:  # pragma: no cover - the extra is installed where tests run
    raise MissingExtraError("numba", "simulate") from error

Function = TypeVar("Function", bound=Callable[..., object])


def kernel(function: Function) -> Function:
    """Compile ``function`` to machine code: one thread, no fast maths, cached beside the module.

    Without fast maths and threads the order of every sum is fixed, so the same input gives the
    same bytes in every process.
    """
    compiled = numba.njit(cache=True, nogil=True, error_model="numpy")(function)
    return cast(Function, compiled)
