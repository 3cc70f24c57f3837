"""Dense layers: the product together with bias, activation and their derivatives."""

import numpy as np

from .. import memory, ops
from .compiled import compiled, fits, inner
from .threads import in_parallel
from .tiles import ACTIVATIONS, IDENTITY, RELU, multiply, part_of, run, share


def dense_forward(x, W, b, activation="identity"):
    """y = act(x @ W + b) -> y, cache; see `ops.dense_forward`."""
    if not fits("BI IO O", x, W, b):
        return ops.dense_forward(x, W, b, activation)
    if activation in ACTIVATIONS:
        y = multiply(x, W, memory.laid_out(b), ACTIVATIONS.index(activation))  # (B, O)
    else:
        y = ops.activation_forward(multiply(x, W, memory.laid_out(b)), activation)
    return y, (x, W, y, activation)


def dense_backward(dy, cache, input_gradient=True):
    """dy -> dx, dW, db; see `ops.dense_backward`."""
    x, W, y, activation = cache
    if not fits("BO BI IO BO", dy, x, W, y):
        return ops.dense_backward(dy, cache, input_gradient)
    if activation not in ACTIVATIONS:
        dy, activation = ops.activation_backward(dy, y, activation), "identity"
    dtype, (B, I), O = y.dtype, x.shape, y.shape[1]
    dy, db = memory.laid_out(dy), memory.empty((1, O), dtype)
    da = dy if activation == "identity" else memory.empty(y.shape, dtype)
    dx, dW = memory.empty(x.shape if input_gradient else (0, I), dtype), memory.empty(W.shape, dtype)
    arrays = dy, memory.laid_out(y), da, db, da, x.T, W.T, dx, dW
    run(_backward, "CCCCAAACC", B * I * O, *arrays, code=ACTIVATIONS.index(activation))
    return dx if input_gradient else None, dW, db[0]


@compiled
def _backward(parts, dy, y, da, db, da_, x_T, W_T, dx, dW, scratch, lists, code):
    """da = dy * act'(a); then, once all of it is there, dx, dW and db, which do not need each other.

    `da_` is da once more, in the type of a matrix with any strides, which is what `share` takes.
    """
    if code != IDENTITY:
        in_parallel(_activation, parts, (dy, y, da, code))
    in_parallel(_gradients, parts, (db, da_, x_T, W_T, dx, dW, scratch, lists))


@inner
def _activation(index, parts, dy, y, da, code):
    """A thread's share of da: the part of which it computed y, which its core's cache may still hold."""
    one, zero = y.dtype.type(1), y.dtype.type(0)
    i_from, i_to, j_from, j_to = part_of(y.shape, index, parts)
    for i in range(i_from, i_to):
        # slices, so that the loops below start at 0: only then does the compiler vectorise them
        d, out, a = dy[i, j_from:j_to], y[i, j_from:j_to], da[i, j_from:j_to]
        if code == RELU:
            for j in range(a.size):
                a[j] = d[j] if out[j] > zero else zero
        else:
            for j in range(a.size):
                a[j] = d[j] * (one - out[j] * out[j])


@inner
def _gradients(index, parts, db, da, x_T, W_T, dx, dW, scratch, lists):
    """A thread's share of dx = da @ W.T, of dW = x.T @ da, and of db, which `share` sums beside dW."""
    no_bias, identity = db[0, :0], np.intp(IDENTITY)  # typed like those of a product: one version of `share`
    share(index, parts, da, W_T, dx, scratch, lists, no_bias, identity, db[:0])
    share(index, parts, x_T, da, dW, scratch, lists, no_bias, identity, db)
