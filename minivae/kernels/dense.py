"""Dense layers: the product together with bias, activation and their derivatives."""

from numba import prange

from .. import ops
from . import memory, threads
from .compiled import Shared, part_of
from .door import fits, laid_out
from .tiles import ACTIVATIONS, RELU, TANH, multiply

LINE = 16  # columns in the cache lines that are never split between two threads


def dense_forward(x, W, b, activation="identity"):
    """y = act(x @ W + b) -> y, cache; see `ops.dense_forward`."""
    if not fits("BI IO O", x, W, b):
        return ops.dense_forward(x, W, b, activation)
    if activation in ACTIVATIONS:
        y = multiply(x, W, laid_out(b), ACTIVATIONS.index(activation))  # (B, O)
    else:
        y = ops.activation_forward(multiply(x, W, laid_out(b)), activation)
    return y, (x, W, y, activation)


def dense_backward(dy, cache, input_gradient=True):
    """dy -> dx, dW, db; see `ops.dense_backward`."""
    x, W, y, activation = cache
    if not fits("BO BI IO BO", dy, x, W, y):
        return ops.dense_backward(dy, cache, input_gradient)
    if activation not in ACTIVATIONS:
        dy, activation = ops.activation_backward(dy, y, activation), "identity"
    dy, y = laid_out(dy), laid_out(y)
    da = dy if activation == "identity" else memory.empty(y.shape, y.dtype)
    db = memory.empty(y.shape[1:], y.dtype)
    _backward(threads.worth(y.size), dy, y, da, db, ACTIVATIONS.index(activation))
    dx = multiply(da, W.T) if input_gradient else None
    dW = multiply(x.T, da)
    return dx, dW, db


@Shared
def _backward(parts, dy, y, da, db, code):
    """da = dy * act'(a) and db = its sum over rows; a thread owns whole columns and adds in row order."""
    one, zero = y.dtype.type(1), y.dtype.type(0)
    for index in prange(parts):
        low, high = part_of(y.shape[1], LINE, index, parts)
        total = db[low:high]
        for j in range(total.size):
            total[j] = 0
        for i in range(y.shape[0]):
            # slices, so that the loops below start at 0: only then does the compiler vectorise them
            d, out, a = dy[i, low:high], y[i, low:high], da[i, low:high]
            if code == RELU:
                for j in range(total.size):
                    a[j] = d[j] if out[j] > zero else zero
            elif code == TANH:
                for j in range(total.size):
                    a[j] = d[j] * (one - out[j] * out[j])
            for j in range(total.size):
                total[j] += a[j]
