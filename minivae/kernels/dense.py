"""Dense layers: the product with its neighbours, bias, activation and their derivatives."""

import math

import numpy as np
from numba import prange

from .. import arguments
from ..ops import ACTIVATIONS
from .compiled import operands, parallel
from .matmul import matmul

LINE = 64  # columns whose sums one thread owns: whole cache lines, so that no two threads share one


def activation_forward(a, activation):
    """y = act(a), elementwise; see `ops.activation_forward`."""
    arguments.one_of("activation", activation, ACTIVATIONS)
    (a,) = operands(a=a)
    y = a.reshape(-1, a.shape[-1] if a.ndim else 1).copy()
    _bias_activate(y, np.zeros(y.shape[1], a.dtype), ACTIVATIONS.index(activation))
    return y.reshape(a.shape)


def activation_backward(dy, y, activation):
    """da = dy * act'(a), from the output y; see `ops.activation_backward`."""
    arguments.one_of("activation", activation, ACTIVATIONS)
    arguments.shape("dy", dy, y.shape)
    dy, y = operands(dy=dy, y=y)
    rows = (-1, y.shape[-1] if y.ndim else 1)
    return _activate_backward(dy.reshape(rows), y.reshape(rows), ACTIVATIONS.index(activation))[0].reshape(
        y.shape
    )


def dense_forward(x, W, b, activation="identity"):
    """y = act(x @ W + b) -> y, cache; see `ops.dense_forward`."""
    arguments.one_of("activation", activation, ACTIVATIONS)
    arguments.dense(x, W, b)
    operands(x=x, W=W, b=b)
    y = matmul(x, W)  # (B, n_out)
    _bias_activate(y, np.ascontiguousarray(b), ACTIVATIONS.index(activation))
    return y, (x, W, y, activation)


def dense_backward(dy, cache, input_gradient=True):
    """dy -> dx, dW, db; see `ops.dense_backward`."""
    x, W, y, activation = cache
    arguments.shape("dy", dy, y.shape)
    dy, y = operands(dy=dy, y=y)
    da, db = _activate_backward(dy, y, ACTIVATIONS.index(activation))
    dx = matmul(da, W.T) if input_gradient else None
    dW = matmul(x.T, da)
    return dx, dW, db


@parallel
def _bias_activate(y, b, code):
    """y = act(y + b) in place, a row at a time, while the product is still in the cache."""
    one = y.dtype.type(1)
    zero = y.dtype.type(0)
    for i in prange(y.shape[0]):
        for j in range(y.shape[1]):
            a = y[i, j] + b[j]
            if code == 1:
                a = zero if a < zero else a  # a NaN is not below zero, and stays
            elif code == 2:
                a = math.tanh(a)
            elif code == 3:
                a = max(a, zero) + math.log1p(math.exp(-abs(a)))
            elif code == 4:
                t = math.exp(-abs(a))
                a = (one if a >= zero else t) / (one + t)
            y[i, j] = a


@parallel
def _activate_backward(dy, y, code):
    """da = dy * act'(a) and db = its sum over rows; a thread owns whole columns and adds in row order."""
    B, n = y.shape
    one = y.dtype.type(1)
    zero = y.dtype.type(0)
    da = np.empty_like(y)
    db = np.zeros(n, y.dtype)
    for block in prange((n + LINE - 1) // LINE):
        for i in range(B):
            for j in range(LINE * block, min(n, LINE * (block + 1))):
                d, out = dy[i, j], y[i, j]
                if code == 1:
                    d = d if out > zero else zero
                elif code == 2:
                    d *= one - out * out
                elif code == 3:
                    d *= -math.expm1(-out)
                elif code == 4:
                    d *= out * (one - out)
                da[i, j] = d
                db[j] += d
    return da, db
