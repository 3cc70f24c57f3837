"""How the training step was made faster: each change, what it was to bring, and what it brought.

naive     three loops: b is read M times, column by column, so each load is from another cache line
blocked   the same sums over blocks of b that fit in the cache; the inner loop runs along rows
matmul    register tiles over packed panels, on all cores: `minivae.kernels.tiles`

Each version computes out = a @ b for a (M, K), b (K, N), and is the reference for the next one.
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
    """The same sums over blocks of b that stay in cache; the innermost loop runs along rows of b and out."""
    out[:] = 0
    for k_low in range(0, a.shape[1], size):
        for j_low in range(0, out.shape[1], size):
            for i in range(out.shape[0]):
                for k in range(k_low, min(k_low + size, a.shape[1])):
                    for j in range(j_low, min(j_low + size, out.shape[1])):
                        out[i, j] += a[i, k] * b[k, j]


# change, predicted result, measured result
PRODUCT = (
    ("three loops", "2: an addition takes 4 cycles", "2.3"),
    ("blocks that fit in the cache", "15: eight numbers at a time", "3.6"),
    ("tiles that stay in registers", "105 of 117: b is copied first", "106"),
    ("two threads share the columns", "211", "205; BLAS 176"),
)
STEP = (
    ("bias and activation along rows", "100 x 200 tanh: 50 us", "313 -> 65 us"),
    ("copy the rows of x.T first", "B = 512: from 67 to 90", "67 -> 91"),
    ("do not copy b for 64 rows", "B = 20: from 56 to 80", "56 -> 67"),
    ("read `out` only to add to it", "B = 20: from 54 to 80", "54 -> 60"),
    ("one launch for dx, dW and db", "Python: 60 us less", "431 -> 300 us"),
    ("check only new optimizer arrays", "Python: 40 us less", "107 -> 68 us"),
    ("threads without prange", "compiling: half the time", "33.6 -> 12.0 s"),
    ("sums of 400 terms at a time", "B = 128: from 77 to 81", "77 -> 79"),
    ("load the next rows of b early", "b not in cache: from 58 to 75", "58 -> 69"),
    ("rows contiguous, 4 terms a turn", "fewer instructions: 5 %", "5 to 9 % less"),
    ("copies begin at a cache line", "fewer loads: 2 %", "2 % less"),
    ("Python: ask less, remember more", "B = 20: 60 us less", "473 -> 364 us"),
    ("k = 50: fewer passes over z", "NumPy: 200 us less", "1170 -> 880 us"),
    ("two threads for smaller kernels", "B = 20: they sleep less, 5 %", "3 to 17 % less"),
    ("load kernels, not all of numba", "a start: 0.2 s less", "1.14 -> 0.87 s"),
    ("a row's terms stay in the cache", "nll, B = 20: a quarter less", "30 -> 21 us"),
    ("nll: exp, then log1p", "constants in registers: 20 %", "13 to 18 % less"),
    ("keep the scratch memory", "B = 20: 25 us less", "3 to 9 % less"),
    ("fewer copies of random bytes", "a minibatch: 200 us less", "660 -> 420 us"),
    ("da by the thread that has y", "k = 50: 5 % less", "7 to 8 % less"),
    ("one parallel loop for all three", "B = 20: 5 % less", "1 to 6 % less"),
    ("half a tile for up to 4 rows", "B = 20: 5 % less", "4 % less"),
    ("inner loops only for kernels", "compiling: a tenth less", "a tenth less"),
    ("no worker on its caller's core", "B = 20, a busy core: half", "55 % less"),
    ("    while another training runs", "half", "70 % less"),
    ("leave out the terms that are 0", "B = 128: 14 % less", "11 to 14 % less"),
    ("    in sums for half a tile", "B = 128: 3 % less", "2 to 3 % less"),
    ("1 term a turn, not 4", "fewer lines", "0 to 2 % more"),
    ("k = 50: no denormal weights", "as fast as by AMD: 9 ms", "24.0 -> 8.4 ms"),
    ("nll: nothing that threads share", "k = 50: half", "750 -> 400 us"),
    ("a product straight into `out`", "784 x 128 x 400: 100 us less", "438 -> 348 us"),
    ("short pauses: kl before nll", "B = 128: awake, 100 us less", "2.5 % less"),
    ("k = 50: sums without arrays", "NumPy: 240 us less", "280 us less"),
    ("db is one more row of dW", "k = 50: 140 us less", "120 us less"),
    ("an idle thread spins for 100 us", "awake, 35 us less", "1 to 4 % less"),
    ("    while another program runs", "no change", "7 to 20 % less"),
    ("k = 50: leave out rows of zeros", "half of them: 1.6 ms less", "7.3 -> 5.9 ms"),
)
REJECTED = (
    ("128 to 512 rows of a at a time", "a in the second cache: 5 %", "-3 to 0 %"),
    ("copy b by whole vectors", "a panel: 5 -> 2 us", "4.6 -> 4.3 us"),
    ("transpose squares of 8 x 8", "a panel: 5 -> 3 us", "4.7 -> 4.4 us"),
    ("load early for b.T too", "a step: 3 % less time", "0 to 4 % more"),
    ("load early where b is not copied", "B = 20: 5 % less time", "0 to 1 % more"),
    ("add the heads' dx in place", "B = 512: 300 us less", "290 us, 0.7 %"),
    ("tiles of 6 x 2 in place of 4 x 3", "b: a third less to load", "3 to 11 % slower"),
    ("copy a in strips of four rows", "one stream, not four", "no faster"),
    ("load a copied panel early", "fewer waits for b", "1 to 5 % slower"),
    ("both heads in one product", "a step: 3 % less time", "2 to 4 % less"),
    ("update a gradient in the cache", "Adam: a seventh less", "0 to 6 % less"),
    ("one thread for a million terms", "B = 20: 5 % less time", "11 % more"),
    ("an idle thread spins for 250 us", "B = 20: 5 % less time", "2 to 7 % less"),
    ("    while another training runs", "no change", "2 to 3 times more"),
    ("the second thread keeps a core", "B = 20: 10 % less time", "2 to 4 % less"),
    ("    while another training runs", "no change", "a fifth more"),
    ("no rows of b loaded early", "products: 5 % more time", "7 % more"),
    ("tiles of 10 x 2, not 8 x 3", "B = 20: 5 % less time", "5 % less"),
    ("    at B = 128", "no change", "1 to 2 % more"),
    ("inline loops before compiling", "compiling: a tenth less", "no faster"),
    ("2 terms a turn, not 4", "compiling: a tenth less", "2 % less"),
    ("bias and activation after a panel", "B = 512: 150 us less", "no difference"),
    ("is b finite? read it beforehand", "B = 128: 5 us", "45 to 75 us"),
    ("all rows of a in strips", "one path, not two", "3 to 6 % slower"),
    ("zeros in two rows, not in four", "B = 128: 2 % less time", "no difference"),
    ("heads' weights joined by NumPy", "B = 128: 110 us less", "0 to 2 % more"),
    ("Adam and dW split by columns", "x @ W: 50 us less", "Adam: 2.4 times"),
    ("x @ W: b where it is, not copied", "B = 128: 33 us less", "5 % more"),
    ("sums of 512 terms at a time", "a panel in the first cache", "0 to 6 % more"),
    ("plain loops of 512 bits, not 256", "nll: half", "B = 128: no less"),
    ("arrays on large pages", "5 % less time", "0 to 2 % less"),
    ("rows copied by NumPy", "k = 50: 3 % more", "3 to 10 % more"),
    ("a plain loop lists the terms", "ten fewer lines", "x @ W: 12 % more"),
    ("Adam from the last layer on", "x @ W: W in the cache", "-3 to 4 % more"),
)


def lines():
    """Yield the tables."""
    yield from table(("(128, 784) @ (784, 400), GFLOP/s", "predicted", "measured"), PRODUCT)
    yield "float32, on one core with AVX-512; last row: two cores"
    yield ""
    yield from table(("training step, GFLOP/s or time", "predicted", "measured"), STEP)
    yield "float32, one core with AVX2, at most 92 GFLOP/s; compiling: of the whole step"
    yield "rows 10 and 11: while another program uses the core too; otherwise no change"
    yield "rows 20 to 28: two cores by AMD with AVX-512; terms of 0: on MNIST, see `tiles`"
    yield "the last nine rows: two cores by Intel, which handle denormal numbers slowly;"
    yield "before the pauses were short, 100 us cost 30 % while another program ran (AMD)"
    yield ""
    yield from table(("tried, and not kept", "predicted", "measured"), REJECTED)
