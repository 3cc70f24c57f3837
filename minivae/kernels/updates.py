"""The optimizers' recurrences, each in one pass over its arrays: they are bound by memory, not arithmetic.

A step updates all parameters in one launch, since most of them are short: the kernel takes a table of their
addresses, and every thread its stretch of each.

A pixel that never lights up has gradients of zero, and its moments decay into denormal numbers, which many
processors handle in slow microcode. Below `tiny`, far above the denormals and far below any eps, a moment is
therefore set to 0. A NaN is not below it, and stays.
"""

import math
from operator import is_

import numpy as np
from numba import carray, prange

from . import threads
from .compiled import Shared, compiled
from .operands import flat
from .vectors import pointer

LINE = 16  # numbers in the cache lines that are never split between two threads
NAMES = ("param", "grad", "first moment", "second moment")


def sgd_update(param, grad, velocity, lr, momentum):
    """The recurrence of `optimizers.sgd_update`, in one pass over memory."""
    sgd_updates([(param, grad, velocity)], lr, momentum)


def sgd_updates(rows, lr, momentum):
    """The same for every (param, grad, velocity) of `rows`, in one launch."""
    _run(_sgd_updates, rows, lr, momentum)


def rmsprop_update(param, grad, square, lr, rho, eps):
    """The recurrence of `optimizers.rmsprop_update`, in one pass over memory."""
    rmsprop_updates([(param, grad, square)], lr, rho, eps)


def rmsprop_updates(rows, lr, rho, eps):
    """The same for every (param, grad, square) of `rows`, in one launch."""
    _run(_rmsprop_updates, rows, lr, rho, 1 - rho, eps)


def adam_update(param, grad, m, v, t, lr, beta1, beta2, eps):
    """The recurrence of `optimizers.adam_update`, in one pass over memory."""
    adam_updates([(param, grad, m, v)], t, lr, beta1, beta2, eps)


def adam_updates(rows, t, lr, beta1, beta2, eps):
    """The same for every (param, grad, m, v) of `rows`, in one launch.

    lr m^ / (sqrt(v^) + eps) = step m / (sqrt(v) + eps root) with root = sqrt(1 - beta2^t) and
    step = lr root / (1 - beta1^t): the corrections stand outside the loop.
    """
    root = math.sqrt(1 - beta2**t)
    step = lr * root / (1 - beta1**t)
    _run(_adam_updates, rows, step, beta1, 1 - beta1, beta2, 1 - beta2, eps * root)


class Table:
    """Where the arrays of an update stand in memory: a row of addresses for each parameter."""

    def __init__(self, rows):
        self.rows = [flat(**dict(zip(NAMES, row, strict=False))) for row in rows]
        self.kept = [_kept(row) for row in rows]
        self.dtype = rows[0][0].dtype
        if any(row[0].dtype != self.dtype for row in rows):
            raise TypeError("all parameters must be of one type, float32 or float64")
        self.addresses = np.array([[array.ctypes.data for array in row] for row in self.rows])
        self.sizes = np.array([row[0].size for row in self.rows])
        self.count = threads.worth(sum(self.sizes.tolist()))
        self.like = np.empty(0, self.dtype)  # tells the kernels the type
        self.tiny = np.finfo(self.dtype).tiny * 2.0**20  # so that no product of a moment is denormal either

    def renewed(self, rows):
        """The table of `rows`: this one if only the gradients are new, which spares most looking up."""
        if len(rows) != len(self.kept):
            return Table(rows)
        for row, kept in zip(rows, self.kept, strict=True):
            grad = row[1]
            if not (all(map(is_, _kept(row), kept)) and grad.flags.carray and grad.dtype == self.dtype):
                return Table(rows)
        self.rows = rows  # the gradients live until the kernel is done with their addresses
        self.addresses[:, 1] = [row[1].__array_interface__["data"][0] for row in rows]
        return self


def _kept(row):
    """What stays from step to step: all but the gradient."""
    return row[0], *row[2:]


def _run(kernel, table, *scalars):
    """Launch with a table, or with the rows for one."""
    if not table:
        return
    table = table if isinstance(table, Table) else Table(table)
    settings = map(table.dtype.type, (*scalars, table.tiny))
    kernel(table.count, table.count, table.addresses, table.sizes, table.like, *settings)


@compiled
def stretch(addresses, sizes, row, column, index, parts, like):
    """The share `index` of `parts` of one array, in whole cache lines.

    Every array is divided alike, and as the products that made its gradient were: a thread then finds the
    gradient in the cache of its own core.
    """
    lines = -(-sizes[row] // LINE)
    whole = carray(pointer(addresses[row, column], like), (sizes[row],))
    return whole[LINE * (lines * index // parts) : LINE * (lines * (index + 1) // parts)]


@Shared
def _sgd_updates(parts, addresses, sizes, like, lr, momentum, tiny):
    zero = like.dtype.type(0)
    for index in prange(parts):
        for row in range(addresses.shape[0]):
            p = stretch(addresses, sizes, row, 0, index, parts, like)
            g = stretch(addresses, sizes, row, 1, index, parts, like)
            v = stretch(addresses, sizes, row, 2, index, parts, like)
            for i in range(p.size):
                new = momentum * v[i] + g[i]
                new = zero if abs(new) < tiny else new
                v[i] = new
                p[i] -= lr * new


@Shared
def _rmsprop_updates(parts, addresses, sizes, like, lr, rho, rest, eps, tiny):
    zero = like.dtype.type(0)
    for index in prange(parts):
        for row in range(addresses.shape[0]):
            p = stretch(addresses, sizes, row, 0, index, parts, like)
            g = stretch(addresses, sizes, row, 1, index, parts, like)
            s = stretch(addresses, sizes, row, 2, index, parts, like)
            for i in range(p.size):
                new = rho * s[i] + rest * g[i] * g[i]
                new = zero if new < tiny else new
                s[i] = new
                p[i] -= lr * g[i] / (np.sqrt(new) + eps)


@Shared
def _adam_updates(parts, addresses, sizes, like, step, beta1, rest1, beta2, rest2, eps, tiny):
    zero = like.dtype.type(0)
    for index in prange(parts):
        for row in range(addresses.shape[0]):
            p = stretch(addresses, sizes, row, 0, index, parts, like)
            g = stretch(addresses, sizes, row, 1, index, parts, like)
            m = stretch(addresses, sizes, row, 2, index, parts, like)
            v = stretch(addresses, sizes, row, 3, index, parts, like)
            for i in range(p.size):
                new_m = beta1 * m[i] + rest1 * g[i]
                new_m = zero if abs(new_m) < tiny else new_m
                new_v = beta2 * v[i] + rest2 * (g[i] * g[i])
                new_v = zero if new_v < tiny else new_v
                m[i] = new_m
                v[i] = new_v
                p[i] -= step * new_m / (np.sqrt(new_v) + eps)
