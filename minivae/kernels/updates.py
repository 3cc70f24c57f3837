"""The optimizers' recurrences, each in one pass over its arrays: they are bound by memory, not arithmetic.

A pixel that never lights up has gradients of zero, and its moments decay into denormal numbers, which many
processors handle in slow microcode. Below `tiny`, far above the denormals and far below any eps, a moment is
therefore set to 0. A NaN is not below it, and stays.
"""

import math
from functools import lru_cache

import numpy as np
from numba import prange

from . import threads
from .compiled import Shared, compiled
from .operands import flat

LINE = 16  # numbers in the cache lines that are never split between two threads


@lru_cache(8)
def _scalars(dtype, *numbers):
    """The numbers in the arrays' type, and `tiny` behind them; the same for every parameter of a step."""
    tiny = np.finfo(dtype).tiny * 2.0**20  # so that no product of a moment is denormal either
    return tuple(dtype.type(number) for number in (*numbers, tiny))


def _parts(param):
    """The number of threads, once to launch and once for the loop to divide by."""
    return 2 * (threads.worth(param.size),)


@compiled
def share(lines, index, parts):
    """The stretch of an array that share `index` of `parts` owns: whole cache lines."""
    return slice(LINE * (lines * index // parts), LINE * (lines * (index + 1) // parts))


def sgd_update(param, grad, velocity, lr, momentum):
    """The recurrence of `optimizers.sgd_update`, in one pass over memory."""
    arrays = flat(param=param, grad=grad, velocity=velocity)
    _sgd_update(*_parts(param), *arrays, *_scalars(param.dtype, lr, momentum))


@Shared
def _sgd_update(parts, param, grad, velocity, lr, momentum, tiny):
    lines = -(-param.size // LINE)
    zero = param.dtype.type(0)
    for index in prange(parts):
        mine = share(lines, index, parts)
        p, g, v = param[mine], grad[mine], velocity[mine]
        for i in range(p.size):
            new = momentum * v[i] + g[i]
            new = zero if abs(new) < tiny else new
            v[i] = new
            p[i] -= lr * new


def rmsprop_update(param, grad, square, lr, rho, eps):
    """The recurrence of `optimizers.rmsprop_update`, in one pass over memory."""
    arrays = flat(param=param, grad=grad, square=square)
    _rmsprop_update(*_parts(param), *arrays, *_scalars(param.dtype, lr, rho, 1 - rho, eps))


@Shared
def _rmsprop_update(parts, param, grad, square, lr, rho, rest, eps, tiny):
    lines = -(-param.size // LINE)
    zero = param.dtype.type(0)
    for index in prange(parts):
        mine = share(lines, index, parts)
        p, g, s = param[mine], grad[mine], square[mine]
        for i in range(p.size):
            new = rho * s[i] + rest * g[i] * g[i]
            new = zero if new < tiny else new
            s[i] = new
            p[i] -= lr * g[i] / (np.sqrt(new) + eps)


def adam_update(param, grad, m, v, t, lr, beta1, beta2, eps):
    """The recurrence of `optimizers.adam_update`, in one pass over memory.

    lr m^ / (sqrt(v^) + eps) = step m / (sqrt(v) + eps root) with root = sqrt(1 - beta2^t) and
    step = lr root / (1 - beta1^t): the corrections stand outside the loop.
    """
    root = math.sqrt(1 - beta2**t)
    numbers = (lr * root / (1 - beta1**t), beta1, 1 - beta1, beta2, 1 - beta2, eps * root)
    _adam_update(*_parts(param), *flat(param=param, grad=grad, m=m, v=v), *_scalars(param.dtype, *numbers))


@Shared
def _adam_update(parts, param, grad, m, v, step, beta1, rest1, beta2, rest2, eps, tiny):
    lines = -(-param.size // LINE)
    zero = param.dtype.type(0)
    for index in prange(parts):
        mine = share(lines, index, parts)
        p, g, first, second = param[mine], grad[mine], m[mine], v[mine]
        for i in range(p.size):
            new_m = beta1 * first[i] + rest1 * g[i]
            new_m = zero if abs(new_m) < tiny else new_m
            new_v = beta2 * second[i] + rest2 * (g[i] * g[i])
            new_v = zero if new_v < tiny else new_v
            first[i] = new_m
            second[i] = new_v
            p[i] -= step * new_m / (np.sqrt(new_v) + eps)
