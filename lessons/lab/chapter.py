"""A chapter of the benchmark: how the training step became fast, change by change.

naive     three loops: every number of b is loaded M times, down a column, each from another cache line
blocked   the same sums in blocks of b that fit the cache; the inner loop runs along rows
matmul    register tiles over packed panels, on all cores: `minivae.kernels.tiles`

Each version computes out = a @ b for a (M, K), b (K, N), and each is the reference of the next one.
"""

from minivae.kernels.compiled import compiled

from .show import table


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


# what was changed, what it should bring, what was measured
PRODUCT = (
    ("three loops", "2: each addition waits 4 cycles", "2.3"),
    ("blocks that fit the cache", "15: eight numbers at once", "3.6"),
    ("tiles that stay in registers", "105 of 117, the rest to copy b", "106"),
    ("two threads, each its columns", "211", "205; BLAS 176"),
)
STEP = (
    ("bias and activation along rows", "100 x 200 tanh: 50 us", "313 -> 65 us"),
    ("copy the rows of x.T first", "B = 512: from 67 to 90", "67 -> 91"),
    ("up to 64 rows, do not copy b", "B = 20: from 56 to 80", "56 -> 67"),
    ("read out only to add to it", "B = 20: from 54 to 80", "54 -> 60"),
    ("one launch for dx, dW and db", "Python: 60 us less", "431 -> 300 us"),
    ("compare an optimizer's arrays", "Python: 40 us less", "107 -> 68 us"),
)


def lines():
    """The chapter as tables."""
    yield from table(("(128, 784) @ (784, 400), GFLOP/s", "predicted", "measured"), PRODUCT)
    yield "float32, on a core with AVX-512; the last row on two of them"
    yield ""
    yield from table(("a step, GFLOP/s or us", "predicted", "measured"), STEP)
    yield "float32, on one core with AVX2; no product there is faster than 92 GFLOP/s"
