"""Intervals for shares that were counted."""

import numpy as np
from numpy.typing import ArrayLike, NDArray

Z_95 = 1.959963984540054


def wilson(
    successes: ArrayLike, trials: ArrayLike, *, z: float = Z_95
) -> tuple[NDArray[np.float64], NDArray[np.float64]]:
    """The interval of a share by Wilson (Journal of the American Statistical Association, 1927).

    Unlike the plain normal interval it holds for shares near 0 and 1 and for few trials.

    Args:
        successes: (N,) or one number, 0..trials; need not be whole.
        trials: (N,) or one number; where it is 0 the interval is 0..1.
        z: quantile of the normal distribution; the default gives 95 %.

    Returns:
        Lower and upper ends, of the shape of the input.
    """
    k, n = np.asarray(successes, dtype=np.float64), np.asarray(trials, dtype=np.float64)
    some = np.where(n > 0, n, 1)
    share = np.clip(k / some, 0, 1)
    centre = (share + z**2 / (2 * some)) / (1 + z**2 / some)
    spread = np.sqrt(share * (1 - share) / some + z**2 / (4 * some**2)) / (1 + z**2 / some) * z
    low, high = np.clip(centre - spread, 0, 1), np.clip(centre + spread, 0, 1)
    # rounding must not move the ends off 0 and 1
    low, high = np.where(k <= 0, 0.0, low), np.where(k >= n, 1.0, high)
    return np.where(n > 0, low, 0.0), np.where(n > 0, high, 1.0)
