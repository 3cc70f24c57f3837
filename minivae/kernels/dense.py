"""Dense layers: the product together with bias, activation and their derivatives."""

import numpy as np

from .. import memory, ops
from .compiled import compiled
from .door import fits, laid_out
from .parallel import LINE, in_parallel, part_of
from .tiles import ACTIVATIONS, RELU, TANH, multiply, run, share


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
    dtype, (B, I), O = y.dtype, x.shape, y.shape[1]
    dy, db = laid_out(dy), memory.empty((O,), dtype)
    da = dy if activation == "identity" else memory.empty(y.shape, dtype)
    dx, dW = memory.empty(x.shape if input_gradient else (0, I), dtype), memory.empty(W.shape, dtype)
    run(
        _backward, "CCCcAAACC", ((I, B, O), (B, O, I)), dy, laid_out(y), da, db, da, x.T, W.T, dx, dW,
        code=ACTIVATIONS.index(activation),
    )  # fmt: skip
    return dx if input_gradient else None, dW, db


@compiled
def _backward(parts, dy, y, da, db, da_, x_T, W_T, dx, dW, scratch, code):
    """da = dy * act'(a), db = its sum over rows, dW = x.T @ da, dx = da @ W.T unless it has no rows.

    `da_` is da once more, in the type of a matrix with any strides, which is what `share` takes.
    """
    no_bias, identity = db[:0], np.intp(0)  # typed like those of a product: one version of `share`
    in_parallel(_activation, parts, (dy, y, da, db, code))
    in_parallel(share, parts, (x_T, da_, dW, scratch, no_bias, identity))
    if len(dx):
        in_parallel(share, parts, (da_, W_T, dx, scratch, no_bias, identity))


@compiled
def _activation(index, parts, dy, y, da, db, code):
    """A thread's share of da, which is dy for the identity, and of db: whole columns, added in row order."""
    one, zero = y.dtype.type(1), y.dtype.type(0)
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
