"""The matrix product in three steps: the naive loop, the blocked loop, and the fast one of `tiles`.

Each version computes out = a @ b for a (M, K), b (K, N), and each is the reference of the next one:

  naive     three loops: every number of b is loaded M times, down a column, each from another cache line
  blocked   the same sums in blocks of b that fit the cache; the inner loop runs along rows
  matmul    register tiles over packed panels, on all cores

What was predicted for (128, 784) @ (784, 400) in float32, and what was measured, on two cores whose fused
multiply-adds reach 117 GFLOP/s each:

  naive            one multiply-add every 4 cycles, the time of an addition: 1.8 GFLOP/s        2.3
  blocked          eight numbers at once: 15            3.6, since each step loads and stores out
  register tile    24 multiply-adds from 11 loads, out stored once; the peak less packing: 105  106
  two threads      each with rows or columns of its own, twice that: 211                        205
                   (NumPy's BLAS in the same minutes: 176)

With 20 rows, packing a panel takes longer than the tiles under it: there the tiles read b where it is, which
shortened the training step of 784-200-200-50 at a minibatch of 20 from 1.0 to 0.89 ms.
"""

import numpy as np
from numba import config

from ..arguments import describe, shapes
from .compiled import compiled
from .door import REAL
from .tiles import multiply


@compiled
def naive(a, b, out):
    """out_ij = sum_k a_ik b_kj: the definition."""
    for i in range(out.shape[0]):
        for j in range(out.shape[1]):
            total = out.dtype.type(0)
            for k in range(a.shape[1]):
                total += a[i, k] * b[k, j]
            out[i, j] = total


@compiled
def blocked(a, b, out, size=64):
    """The same in blocks of b that stay in the cache; the innermost loop runs along rows of b and out."""
    out[:] = 0
    for k_low in range(0, a.shape[1], size):
        for j_low in range(0, out.shape[1], size):
            for i in range(out.shape[0]):
                for k in range(k_low, min(k_low + size, a.shape[1])):
                    for j in range(j_low, min(j_low + size, out.shape[1])):
                        out[i, j] += a[i, k] * b[k, j]


def matmul(a, b, out=None):
    """out = a @ b for 2-D float32 or float64 arrays of any strides: a (m, k), b (k, n) -> (m, n).

    Transposes are views and cost no copy. `out` may be any writable (m, n) array of the same type, and may
    share memory with a or b: the product is copied into it. Error: each entry is one chain of k fused
    multiply-adds, so within k eps sum |a| |b|. Raises ValueError for sizes, TypeError for types.
    """
    given = {"a": (a, "MK"), "b": (b, "KN")} | ({} if out is None else {"out": (out, "MN")})
    shapes(**given)
    for name, (array, _) in given.items():
        if array.dtype not in REAL or array.dtype != a.dtype:
            raise TypeError(
                f"a, b and out must all be float32 or all float64, got {name} as {describe(array)}"
            )
    if out is not None and not out.flags.writeable:
        raise ValueError("out is read-only: give a writable array")
    product = np.matmul(a, b) if config.DISABLE_JIT else multiply(np.asarray(a), np.asarray(b))
    if out is None:
        return product
    out[...] = product
    return out
