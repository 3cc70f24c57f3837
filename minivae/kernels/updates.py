"""The optimizers' recurrences, each in one pass over its arrays: they are bound by memory, not arithmetic.

Most parameters are short and a launch costs microseconds, so one launch updates them all: a `Table` holds the
arrays' addresses, and every thread updates its part of each array.

A pixel that is always black has gradients of zero, and its moments decay into denormal numbers, which many
processors handle slowly. A moment below `tiny`, far above these and far below any eps, becomes 0; NaN stays.
"""

import weakref
from ctypes import addressof, c_char

import numpy as np
from numba import config

from .. import memory, optimizers
from ..arguments import REAL, updatable
from . import threads
from .compiled import compiled, inner
from .threads import LINE, in_parallel, range_of
from .vectors import array_at

RECURRENCES = (optimizers.sgd_update, optimizers.rmsprop_update, optimizers.adam_update)


def sgd_update(param, grad, velocity, lr, momentum):
    """The recurrence of `optimizers.sgd_update`, in one pass over memory."""
    _update(optimizers.sgd_update, [param, grad, velocity], lr, momentum)


def rmsprop_update(param, grad, square, lr, rho, eps):
    """The recurrence of `optimizers.rmsprop_update`, in one pass over memory."""
    _update(optimizers.rmsprop_update, [param, grad, square], lr, rho, eps)


def adam_update(param, grad, m, v, t, lr, beta1, beta2, eps):
    """The recurrence of `optimizers.adam_update`, in one pass over memory."""
    _update(optimizers.adam_update, [param, grad, m, v], t, lr, beta1, beta2, eps)


def _update(recurrence, row, *settings):
    updatable(*row)
    Table([row]).update(recurrence, [row], *settings)


class Table:
    """Where the arrays of an update are: one row [param, grad, *state] for each parameter.

    The caller has checked that the arrays of a row are alike, and makes a new table for other arrays; the
    gradients may be others in each update.
    """

    def __init__(self, rows):
        written = [array for row in rows for array in (row[0], *row[2:])]
        kinds = {(type(array), array.dtype, array.flags.carray) for array in written}
        self.fits = not config.DISABLE_JIT and kinds in [{(np.ndarray, dtype, True)} for dtype in REAL]
        if self.fits:
            self.like = written[0].ravel()[:0]  # tells the kernels the type
            self.addresses = np.array([[array.ctypes.data for array in row] for row in rows])
            self.nbytes = np.array([row[0].nbytes for row in rows])
            self.total = sum(row[0].size for row in rows)
            # an array with a weak reference to it cannot be resized in place, which would move it
            self.pins = [weakref.ref(array) for array in written]

    def update(self, recurrence, rows, *settings):
        """Run a recurrence of `optimizers` on all rows; in NumPy if they do not fit or share memory."""
        if self.fits and all(type(row[1]) is np.ndarray for row in rows):
            grads = [memory.laid_out(row[1]) for row in rows]
            copied = [row[1] for row, grad in zip(rows, grads, strict=True) if row[1] is not grad]
            tied = any(np.may_share_memory(grad, pin()) for grad in copied for pin in self.pins)
            addresses, count = self.addresses.copy(), threads.worth(self.total)
            addresses[:, 1] = [addressof(c_char.from_buffer(grad)) if grad.size else 0 for grad in grads]
            code, given = RECURRENCES.index(recurrence), np.array(settings, float)
            if not tied and threads.launch(_run, count, addresses, self.nbytes, self.like, code, given):
                return
        for row in rows:
            recurrence(*row, *settings)


@compiled
def _run(parts, addresses, nbytes, like, code, settings):
    """Update all rows and return True; or, if two arrays share memory, change nothing and return False."""
    for row in range(len(addresses)):
        for start in addresses[row]:
            met = 0  # arrays from this row on that share memory with this one, itself included
            for other in range(row, len(addresses)):
                for place in addresses[other]:
                    met += place < start + nbytes[row] and start < place + nbytes[other]
            if met > 1:
                return False
    in_parallel(_share, parts, (addresses, nbytes, like, code, settings))
    return True


@inner
def _share(index, parts, addresses, nbytes, like, code, settings):
    # so large that no product with a moment is denormal
    tiny = like.dtype.type(np.finfo(like.dtype).tiny * 2.0**20)
    for row in range(len(addresses)):
        # like the rows of a product: such a gradient is in the cache of the core that made it
        low, high = range_of(nbytes[row] // like.itemsize, LINE, index, parts)
        p = array_at(addresses[row, 0], low, high, like)
        g = array_at(addresses[row, 1], low, high, like)
        first = array_at(addresses[row, 2], low, high, like)
        last = array_at(addresses[row, -1], low, high, like)
        if code == 0:
            _sgd(p, g, first, settings, tiny)
        elif code == 1:
            _rmsprop(p, g, first, settings, tiny)
        else:
            _adam(p, g, first, last, settings, tiny)


@inner
def _sgd(p, g, v, settings, tiny):
    kind = p.dtype.type
    lr, momentum = kind(settings[0]), kind(settings[1])
    for i in range(p.size):
        new = momentum * v[i] + g[i]
        v[i] = kind(0) if abs(new) < tiny else new
        p[i] -= lr * v[i]


@inner
def _rmsprop(p, g, s, settings, tiny):
    kind, (lr, rho, eps) = p.dtype.type, (settings[0], settings[1], settings[2])
    rate, keep, take, small = kind(lr), kind(rho), kind(1 - rho), kind(eps)
    for i in range(p.size):
        new = keep * s[i] + take * g[i] * g[i]
        s[i] = kind(0) if abs(new) < tiny else new
        p[i] -= rate * g[i] / (np.sqrt(s[i]) + small)


@inner
def _adam(p, g, m, v, settings, tiny):
    """With lr m^ / (sqrt(v^) + eps) = step m / (sqrt(v) + eps root) the corrections are outside the loop."""
    kind, t, lr = p.dtype.type, settings[0], settings[1]
    beta1, beta2, eps = settings[2], settings[3], settings[4]
    root = np.sqrt(1 - beta2**t)
    step, small = kind(lr * root / (1 - beta1**t)), kind(eps * root)
    keep1, take1, keep2, take2 = kind(beta1), kind(1 - beta1), kind(beta2), kind(1 - beta2)
    for i in range(p.size):
        new_m = keep1 * m[i] + take1 * g[i]
        m[i] = kind(0) if abs(new_m) < tiny else new_m
        new_v = keep2 * v[i] + take2 * (g[i] * g[i])
        v[i] = kind(0) if abs(new_v) < tiny else new_v
        p[i] -= step * m[i] / (np.sqrt(v[i]) + small)
