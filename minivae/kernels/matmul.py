"""The matrix product as a lesson: the naive loop, the blocked loop, and the fast one of `tiles`.

Each version computes out = a @ b for a (M, K), b (K, N), and each is the next one's oracle:

  naive     three loops: every number of b is fetched M times, column by column, from far away
  blocked   the same sums in blocks that fit the cache
  matmul    register tiles over packed panels, on all cores
"""

import numpy as np

from .. import arguments
from .compiled import compiled
from .tiles import multiply


@compiled
def naive(a, b, out):
    """out_ij = sum_k a_ik b_kj: the definition, written down."""
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
    share memory with a or b: then the product is made beside it and copied. Error: each entry is one chain
    of k fused multiply-adds, so within k eps sum |a| |b|. Raises ValueError for sizes, TypeError for types.
    """
    m, k = arguments.rank("a", a, 2, "(m, k)")
    n = arguments.rank("b", b, 2, "(k, n)")[1]
    if b.shape[0] != k:
        raise ValueError(f"a and b must share their inner size, got {a.shape} and {b.shape}")
    if a.dtype != b.dtype or a.dtype not in (np.float32, np.float64):
        raise TypeError(f"a and b must both be float32 or both float64, got {a.dtype} and {b.dtype}")
    if out is None:
        return multiply(a, b)
    arguments.shape("out", out, (m, n))
    if out.dtype != a.dtype:
        raise TypeError(f"out must be {a.dtype}, got {out.dtype}")
    direct = out.flags.c_contiguous and out.flags.aligned and out.flags.writeable
    if direct and not np.may_share_memory(out, a) and not np.may_share_memory(out, b):
        return multiply(a, b, out=out)
    out[...] = multiply(a, b)
    return out
