"""The optimizers' recurrences, each in one pass over its arrays."""

import math

from numba import prange

from .compiled import flat, parallel


def sgd_update(param, grad, velocity, lr, momentum):
    """The recurrence of `optimizers.sgd_update`, in one pass over memory."""
    lr, momentum = (param.dtype.type(v) for v in (lr, momentum))
    _sgd_update(*flat(param=param, grad=grad, velocity=velocity), lr, momentum)


@parallel
def _sgd_update(param, grad, velocity, lr, momentum):
    for i in prange(param.size):
        velocity[i] = momentum * velocity[i] + grad[i]
        param[i] -= lr * velocity[i]


def rmsprop_update(param, grad, square, lr, rho, eps):
    """The recurrence of `optimizers.rmsprop_update`, in one pass over memory."""
    lr, rho, rest, eps = (param.dtype.type(v) for v in (lr, rho, 1 - rho, eps))
    _rmsprop_update(*flat(param=param, grad=grad, square=square), lr, rho, rest, eps)


@parallel
def _rmsprop_update(param, grad, square, lr, rho, rest, eps):
    for i in prange(param.size):
        square[i] = rho * square[i] + rest * grad[i] * grad[i]
        param[i] -= lr * grad[i] / (math.sqrt(square[i]) + eps)


def adam_update(param, grad, m, v, t, lr, beta1, beta2, eps):
    """The recurrence of `optimizers.adam_update`, in one pass over memory."""
    corrections = 1 / (1 - beta1**t), 1 / (1 - beta2**t)
    scalars = (lr, beta1, 1 - beta1, beta2, 1 - beta2, *corrections, eps)
    _adam_update(*flat(param=param, grad=grad, m=m, v=v), *(param.dtype.type(s) for s in scalars))


@parallel
def _adam_update(param, grad, m, v, lr, beta1, rest1, beta2, rest2, unbias1, unbias2, eps):
    for i in prange(param.size):
        m[i] = beta1 * m[i] + rest1 * grad[i]
        v[i] = beta2 * v[i] + rest2 * grad[i] * grad[i]
        param[i] -= lr * (m[i] * unbias1) / (math.sqrt(v[i] * unbias2) + eps)
