"""Dense layers: the product with its neighbours, bias, activation and their derivatives."""

from numba import prange

from .. import arguments
from ..ops import ACTIVATIONS
from . import elementary as el
from . import memory, threads
from .compiled import Shared
from .operands import operands
from .tiles import RELU, SIGMOID, SOFTPLUS, TANH, multiply

LINE = 16  # columns in the cache lines that are never split between two threads


def activation_forward(a, activation):
    """y = act(a), elementwise; see `ops.activation_forward`."""
    arguments.one_of("activation", activation, ACTIVATIONS)
    (a,) = operands(a=a)
    y = memory.empty(a.shape, a.dtype)
    _activate(
        threads.worth(a.size), a.reshape(-1, _last(a)), y.reshape(-1, _last(a)), ACTIVATIONS.index(activation)
    )
    return y


def activation_backward(dy, y, activation):
    """da = dy * act'(a), from the output y; see `ops.activation_backward`."""
    arguments.one_of("activation", activation, ACTIVATIONS)
    arguments.shape("dy", dy, y.shape)
    dy, y = operands(dy=dy, y=y)
    rows = (-1, _last(y))
    return _backward(dy.reshape(rows), y.reshape(rows), activation)[0].reshape(y.shape)


def dense_forward(x, W, b, activation="identity"):
    """y = act(x @ W + b) -> y, cache; see `ops.dense_forward`."""
    arguments.one_of("activation", activation, ACTIVATIONS)
    arguments.dense(x, W, b)
    (b,) = operands(b=b, x=x, W=W)[:1]
    y = multiply(x, W, b, ACTIVATIONS.index(activation))  # (B, n_out)
    return y, (x, W, y, activation)


def dense_backward(dy, cache, input_gradient=True):
    """dy -> dx, dW, db; see `ops.dense_backward`."""
    x, W, y, activation = cache
    arguments.shape("dy", dy, y.shape)
    dy, y = operands(dy=dy, y=y)
    da, db = _backward(dy, y, activation)
    dx = multiply(da, W.T) if input_gradient else None
    dW = multiply(x.T, da)
    return dx, dW, db


def _last(a):
    return a.shape[-1] if a.ndim else 1


def _backward(dy, y, activation):
    """da and db for dy, y (B, n); nothing is computed twice, and nothing copied for the identity."""
    da = dy if activation == "identity" else memory.empty(y.shape, y.dtype)
    db = memory.empty(y.shape[1:], y.dtype)
    parts = threads.worth(y.size)
    _activate_backward(parts, parts, dy, y, da, db, ACTIVATIONS.index(activation))
    return da, db


@Shared
def _activate(a, y, code):
    """y = act(a), a row to a thread."""
    for i in prange(a.shape[0]):
        given, row = a[i], y[i]
        for j in range(row.size):
            row[j] = given[j]
        if code == RELU:
            for j in range(row.size):
                row[j] = 0 if given[j] < 0 else given[j]  # a NaN is not below 0, and stays
        elif code == TANH:
            for j in range(row.size):
                row[j] = el.tanh(given[j])
        elif code == SOFTPLUS:
            for j in range(row.size):
                row[j] = el.softplus(given[j])
        elif code == SIGMOID:
            for j in range(row.size):
                row[j] = el.sigmoid(given[j])


@Shared
def _activate_backward(parts, dy, y, da, db, code):
    """da = dy * act'(a) and db = its sum over rows; a thread owns whole columns and adds in row order."""
    one, zero = y.dtype.type(1), y.dtype.type(0)
    lines = -(-y.shape[1] // LINE)
    for index in prange(parts):
        columns = slice(LINE * (lines * index // parts), LINE * (lines * (index + 1) // parts))
        total = db[columns]
        for j in range(total.size):
            total[j] = 0
        for i in range(y.shape[0]):
            # slices, so that the loops below start at 0: only then does the compiler vectorise them
            d, out, a = dy[i, columns], y[i, columns], da[i, columns]
            if code == RELU:
                for j in range(total.size):
                    a[j] = d[j] if out[j] > zero else zero
            elif code == TANH:
                for j in range(total.size):
                    a[j] = d[j] * (one - out[j] * out[j])
            elif code == SOFTPLUS:
                for j in range(total.size):
                    a[j] = d[j] * el.softplus_slope(out[j])
            elif code == SIGMOID:
                for j in range(total.size):
                    a[j] = d[j] * (out[j] * (one - out[j]))
            for j in range(total.size):
                total[j] += a[j]
