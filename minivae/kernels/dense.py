"""Dense layers: the product together with bias, activation and their derivatives.

With an importance-weighted bound, often half of the samples have weight 0, and their rows of dy are all 0.
`dense_backward` then copies the other rows, and multiplies only these.
"""

import numpy as np

from .. import memory, ops
from . import threads
from .compiled import compiled, fits, inner
from .threads import in_parallel, range_of
from .tiles import ACTIVATIONS, IDENTITY, RELU, multiply, part_of, run, share

MANY, WIDE = 512, 10_000  # rows of dy, and weights, from which it pays to look for rows of zeros


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
    dtype, (B, I), O, code = y.dtype, x.shape, y.shape[1], ACTIVATIONS.index(activation)
    dy, y, n = memory.laid_out(dy), memory.laid_out(y), B
    if B >= MANY and W.size >= WIDE and x.flags.carray and not dy[:, 0].all():
        arrays = (dy, x) if code == IDENTITY else (dy, x, y)
        copies, places = tuple(memory.empty(array.shape, dtype) for array in arrays), np.empty(B, np.intp)
        n = threads.launch(_leave_out, threads.get_threads(), arrays, copies, places)
        if n < B:
            dy, x, y = copies[0][:n], copies[1][:n], copies[-1][:n]  # the identity reads no y
    da, db = dy if code == IDENTITY else memory.empty((B, O), dtype)[:n], memory.empty((1, O), dtype)
    dx, dW = memory.empty((B if input_gradient else 0, I), dtype), memory.empty(W.shape, dtype)
    run(_backward, "CCCCAAACC", n * I * O, dy, y, da, db, da, x.T, W.T, dx[:n], dW, code=code)
    if n < B and input_gradient:
        dx = dx.take(places, 0, memory.empty((B, I), dtype), "clip")
    return dx if input_gradient else None, dW, db[0]


@compiled
def _leave_out(parts, arrays, copies, places):
    """Copy the rows of dy that are not all 0, and the same rows of x and y -> how many; all if most are not.

    Row i of dx is row places[i] of that of the copies. Their row 0 is all 0, and used for every row left out:
    its dx is NaN where W is not finite. A row of zeros is not left out if its x or y is not finite.
    """
    dy, n = arrays[0], 1
    for i in range(places.size):
        live = dy[i, 0] != 0
        for j in range(0 if live else dy.shape[1]):
            live |= dy[i, j] != 0
        for inputs in arrays[1:]:
            for j in range(0 if live else inputs.shape[1]):
                live |= not np.isfinite(inputs[i, j])
        places[i] = n if live else 0
        n += live
    if 3 * n > 2 * places.size:
        return places.size
    for array in range(len(arrays)):
        copies[array][0] = 0
        in_parallel(_copy, parts, (copies[array], arrays[array], places))
    return n


@inner
def _copy(index, parts, copies, rows, places):
    for i in range(*range_of(places.size, 1, index, parts)):
        row, copy = rows[i], copies[places[i]]
        for j in range(row.size if places[i] else 0):
            copy[j] = row[j]


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
