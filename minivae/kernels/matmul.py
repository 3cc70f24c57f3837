"""The matrix product, which is nine tenths of a training step's arithmetic."""

import numpy as np
from numba import prange

from .. import arguments
from .compiled import parallel, serial

TILE = 4  # rows and columns of one register tile: 16 sums in flight hide the latency of an addition


def matmul(a, b, out=None):
    """out = a @ b for 2-D float32 or float64 arrays of any strides: a (m, k), b (k, n) -> (m, n).

    Transposes are views and cost no copy of their own. `out` may be any writable (m, n) array of the same
    type that shares no memory with a or b.
    """
    m, k = arguments.rank("a", a, 2, "(m, k)")
    n = arguments.rank("b", b, 2, "(k, n)")[1]
    if b.shape[0] != k:
        raise ValueError(f"a and b must share their inner size, got {a.shape} and {b.shape}")
    if a.dtype != b.dtype or a.dtype.name not in ("float32", "float64"):
        raise TypeError(f"a and b must both be float32 or both float64, got {a.dtype} and {b.dtype}")
    if out is None:
        out = np.empty((m, n), a.dtype)
    arguments.shape("out", out, (m, n))
    if out.dtype != a.dtype:
        raise TypeError(f"out must be {a.dtype}, got {out.dtype}")
    if np.may_share_memory(out, a) or np.may_share_memory(out, b):
        raise ValueError("out must not share memory with a or b: they are read while it is written")
    target = out if out.flags.c_contiguous and out.flags.aligned else np.empty((m, n), a.dtype)
    # both operands run along k in memory, so that every inner loop reads in order
    _matmul(np.require(a, requirements="CA"), np.require(b.T, requirements="CA"), target)
    if target is not out:
        out[...] = target
    return out


@parallel
def _matmul(a, bt, out):
    m = a.shape[0]
    n = bt.shape[0]
    for block in prange((m + TILE - 1) // TILE):
        i = TILE * block
        if i + TILE <= m:
            for j in range(0, n - TILE + 1, TILE):
                _tile(a, bt, out, i, j)
            for j in range(n - n % TILE, n):
                for row in range(i, i + TILE):
                    out[row, j] = _dot(a, bt, row, j)
        else:
            for row in range(i, m):
                for j in range(n):
                    out[row, j] = _dot(a, bt, row, j)


@serial
def _dot(a, bt, i, j):
    """The whole product in one line; the tile below does sixteen of these at a time."""
    total = a.dtype.type(0)
    for p in range(a.shape[1]):
        total += a[i, p] * bt[j, p]
    return total


@serial
def _tile(a, bt, out, i, j):
    """A 4 x 4 tile of out: 8 loads feed 16 products, where 16 dots would take 32 loads."""
    a0, a1, a2, a3 = a[i], a[i + 1], a[i + 2], a[i + 3]
    b0, b1, b2, b3 = bt[j], bt[j + 1], bt[j + 2], bt[j + 3]
    c00 = c01 = c02 = c03 = c10 = c11 = c12 = c13 = a.dtype.type(0)
    c20 = c21 = c22 = c23 = c30 = c31 = c32 = c33 = a.dtype.type(0)
    for p in range(a.shape[1]):
        x0, x1, x2, x3 = a0[p], a1[p], a2[p], a3[p]
        y0, y1, y2, y3 = b0[p], b1[p], b2[p], b3[p]
        c00 += x0 * y0
        c01 += x0 * y1
        c02 += x0 * y2
        c03 += x0 * y3
        c10 += x1 * y0
        c11 += x1 * y1
        c12 += x1 * y2
        c13 += x1 * y3
        c20 += x2 * y0
        c21 += x2 * y1
        c22 += x2 * y2
        c23 += x2 * y3
        c30 += x3 * y0
        c31 += x3 * y1
        c32 += x3 * y2
        c33 += x3 * y3
    out[i, j], out[i, j + 1], out[i, j + 2], out[i, j + 3] = c00, c01, c02, c03
    out[i + 1, j], out[i + 1, j + 1], out[i + 1, j + 2], out[i + 1, j + 3] = c10, c11, c12, c13
    out[i + 2, j], out[i + 2, j + 1], out[i + 2, j + 2], out[i + 2, j + 3] = c20, c21, c22, c23
    out[i + 3, j], out[i + 3, j + 1], out[i + 3, j + 2], out[i + 3, j + 3] = c30, c31, c32, c33
