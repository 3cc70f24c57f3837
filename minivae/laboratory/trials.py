"""Draws of an estimator in chunks of bounded memory -> mean and variance of every entry, and the time.

The variance of a mean of draws is summed by the pairwise update of Chan, Golub and LeVeque 1979, so that a
large mean does not swallow a small variance.
"""

import time
from functools import reduce
from typing import NamedTuple

import numpy as np

NUMBERS = 4_000_000  # of one array in a chunk: 32 MB in double precision


class Trial(NamedTuple):
    """What n draws said: mean and variance of each entry, and the seconds of one draw."""

    n: int
    mean: np.ndarray
    variance: np.ndarray  # unbiased
    seconds: float

    @property
    def mean_error(self):
        """Standard error of the mean, from the measured variance."""
        return np.sqrt(self.variance / self.n)


def chunks(total, numbers, at_once=NUMBERS):
    """Sizes of chunks that add up to `total`, each draw holding `numbers` numbers of the `at_once`."""
    size = max(1, min(total, at_once // numbers))
    return [size] * (total // size) + [total % size] * (total % size > 0)


def run(draw, sizes):
    """draw(n) -> (n, ...) for each size -> Trial. `sizes` may be wrapped in a progress bar."""
    return reduce(merge, (one(draw, size) for size in sizes))


def one(draw, size, clock=time.perf_counter):
    """One chunk: draw(size) -> (size, ...), timed -> Trial. `clock` counts seconds."""
    started = clock()
    values = draw(size)
    seconds = clock() - started
    mean = values.mean(axis=0, dtype=np.float64)
    squares = ((values - mean) ** 2).sum(axis=0, dtype=np.float64)
    return Trial(size, mean, squares / max(size - 1, 1), seconds / size)


# With d the difference of two means, the squares about the common mean are both sums of squares and
#   d^2 n m / (n + m)
def merge(left, right):
    """What two Trials say together -> Trial."""
    n = left.n + right.n
    shift = right.mean - left.mean
    squares = left.variance * (left.n - 1) + right.variance * (right.n - 1)
    squares = squares + shift**2 * (left.n * right.n / n)
    seconds = (left.seconds * left.n + right.seconds * right.n) / n
    return Trial(n, left.mean + shift * (right.n / n), squares / max(n - 1, 1), seconds)
