"""The matrix product: packed panels, tiles that stay in registers, and all cores.

A tile of out, at most ROWS rows by VECTORS vectors, stays in registers for the whole sum: 8 x 3 of them take
11 loads for 24 multiply-adds at each k. A panel, the columns of b under one tile, is copied beforehand, so
that the innermost loop walks straight through memory. Rows of a are read where they are, unless their numbers
lie apart, as those of x.T do. So a, a.T, b and b.T share one path.
"""

from functools import cache, lru_cache

import numpy as np
from numba import carray, config, from_dtype, types

from .. import memory
from ..arguments import describe, shapes
from . import elementary as el
from . import threads
from .compiled import compiled, inner
from .door import REAL
from .threads import LINE, in_parallel, range_of
from .vectors import BLOCK, ROWS, VECTOR_BYTES, VECTORS, pointer, prefetch, tile_product, transpose_block

DEPTH = 1024 if VECTOR_BYTES == 64 else 400  # terms of a sum over one packed panel: 200 KB, or 40 KB at most
HEIGHT = 1024  # rows of a at a time, so that copies of them stay small
AHEAD = 12  # rows of b to load early: they may lie a page apart, where the processor does not look ahead
FEW = 64  # rows for which packing costs more than it brings
SMALL = 150_000  # multiply-adds of a product for which one thread is enough: few, so that others stay awake
# what is done with a finished tile; other activations are applied by `ops`
ACTIVATIONS = ("identity", "relu", "tanh")
IDENTITY, RELU, TANH = range(3)


@inner
def part_of(shape, index, parts):
    """Where part `index` of a matrix begins and ends: a range of rows or of columns, whichever are more."""
    M, N = shape
    low, high = range_of(M, ROWS, index, parts) if M > N else range_of(N, LINE, index, parts)
    return (low, high, 0, N) if M > N else (0, M, low, high)


@inner
def pack(panel, b, k_low, depth, j_low, columns):
    """panel[k, c] = b[k_low + k, j_low + c] for c < columns, and 0 from there to the panel's width."""
    item, (b_row, b_column), width = b.itemsize, b.strides, panel.shape[1]
    source = b.ctypes.data + k_low * b_row + j_low * b_column
    # if the columns of b are contiguous, squares are transposed in registers, and loops do the rest
    quick, squares = (depth // BLOCK * BLOCK, columns // BLOCK * BLOCK) if b_row == item else (0, 0)
    for k in range(0, quick, BLOCK):
        for c in range(0, squares, BLOCK):
            target = panel.ctypes.data + (k * width + c) * item
            transpose_block(panel, target, width * item, source + k * b_row + c * b_column, b_column)
    for k in range(depth):
        if b_column == item:
            for line in range(0, columns * item, memory.LINE):
                prefetch(source + (k + AHEAD) * b_row + line)
            row, packed = carray(pointer(source + k * b_row, panel), (columns,)), panel[k]
            for c in range(columns):
                packed[c] = row[c]
        else:
            for c in range(squares if k < quick else 0, columns):
                panel[k, c] = b[k_low + k, j_low + c]
        for c in range(columns, width):
            panel[k, c] = 0


@inner
def finish(out, bias, code, i_from, i_to, j_from, j_to):
    """act(out + bias) in these rows and columns: whole rows at a time, which vectorise better than tiles."""
    zero, b = out.dtype.type(0), bias[j_from:j_to]
    for i in range(i_from, i_to):
        row = out[i, j_from:j_to]
        for j in range(row.size):
            row[j] += b[j]
        if code == RELU:
            for j in range(row.size):
                row[j] = zero if row[j] < zero else row[j]  # a NaN is not below 0, and stays
        elif code == TANH:
            for j in range(row.size):
                row[j] = el.tanh(row[j])


@inner
def column(out, i_low, height, j, columns, a_at, a_row, b_at, b_step, depth, edge, add):
    """The tiles of so many rows of out from i_low on, and columns from j on: all that one panel is for."""
    N, item, vectors = out.shape[1], out.itemsize, -(-columns * out.itemsize // VECTOR_BYTES)
    for i in range(i_low, i_low + height, ROWS):
        rows = min(ROWS, i_low + height - i)
        target, step = out.ctypes.data + (i * N + j) * item, N * item
        ragged = rows < ROWS or columns * item < vectors * VECTOR_BYTES
        if ragged:
            target, step = edge.ctypes.data, edge.strides[0]
        for r in range(rows if ragged and add else 0):
            for c in range(columns):
                edge[r, c] = out[i + r, j + c]
        a_tile = a_at + (i - i_low) * a_row
        tile_product(out, vectors, a_tile, a_row, rows - 1, b_at, b_step, depth, target, step, add)
        for r in range(rows if ragged else 0):
            for c in range(columns):
                out[i + r, j + c] = edge[r, c]


@inner
def share(index, parts, a, b, out, scratch, bias, code):
    """One thread's share of out = act(a @ b + bias), see `part_of`."""
    K, item, lanes = a.shape[1], out.itemsize, VECTOR_BYTES // out.itemsize
    i_from, i_to, j_from, j_to = part_of(out.shape, index, parts)
    few = i_to - i_from <= FEW and b.strides[1] == item
    edge = scratch[index, -ROWS * VECTORS * lanes :].reshape((ROWS, VECTORS * lanes))  # a tile where out ends
    panels = DEPTH * VECTORS * lanes
    for k_low in range(0, max(K, 1), DEPTH):
        depth, add = min(DEPTH, K - k_low), k_low > 0
        for i_low in range(i_from, i_to, HEIGHT):
            height, width = min(HEIGHT, i_to - i_low), depth + lanes  # rows 2^n apart would share few lines
            a_at, a_row = a.ctypes.data + i_low * a.strides[0] + k_low * a.strides[1], a.strides[0]
            if a.strides[1] != item or a_row % 4096 == 0:
                strips = scratch[index, panels : panels + height * width].reshape((height, width))
                pack(strips, a, i_low, height, k_low, depth)
                a_at, a_row = strips.ctypes.data, width * item
            j = j_from
            while j < j_to:
                left = -(-(j_to - j) // lanes)  # two tiles of 2 and 2 vectors are faster than 3 and 1
                columns = min((2 if left == 4 else min(VECTORS, left)) * lanes, j_to - j)
                # a few rows read b where it is, unless the last vector would reach beyond its rows
                b_at, b_step = b.ctypes.data + k_low * b.strides[0] + j * item, b.strides[0]
                if not few or columns % lanes:
                    vectors = -(-columns // lanes)
                    panel = scratch[index, : depth * vectors * lanes].reshape((depth, vectors * lanes))
                    pack(panel, b, k_low, depth, j, columns)
                    b_at, b_step = panel.ctypes.data, panel.strides[0]
                column(out, i_low, height, j, columns, a_at, a_row, b_at, b_step, depth, edge, add)
                j += columns
    if bias.size:
        finish(out, bias, code, i_from, i_to, j_from, j_to)


@compiled
def product(parts, a, b, out, bias, scratch, code):
    """All shares of the product at once."""
    in_parallel(share, parts, (a, b, out, scratch, bias, code))


@cache
def compile_for(kernel, kinds, dtype):
    """Compile the kernel of products for one type, and for these kinds of arrays."""
    number = from_dtype(dtype)
    array = {
        "A": types.Array(number, 2, "A", readonly=True, aligned=False),  # of any strides
        "C": types.Array(number, 2, "C"),
        "c": types.Array(number, 1, "C"),
    }
    with threads.lock:
        kernel.disable_compile(False)
        kernel.compile((types.intp, *[array[kind] for kind in kinds], array["C"], types.intp))
        kernel.disable_compile()


@lru_cache(maxsize=2)  # one for each type, while the number of threads is the same
def scratch_of(dtype, count):
    """For each of so many threads a panel of b, copied rows of a, and a tile; for products of any size."""
    lanes = VECTOR_BYTES // dtype.itemsize
    width = (DEPTH + ROWS) * VECTORS * lanes + HEIGHT * (DEPTH + lanes)
    return memory.empty((count, width), dtype)


def run(kernel, kinds, work, *arrays, code):
    """Run a kernel whose products have `work` multiply-adds; `kinds` has a letter for each of the arrays."""
    dtype, count = arrays[0].dtype, threads.get_threads()
    compile_for(kernel, kinds, dtype)
    threads.launch(kernel, count if work > SMALL else 1, *arrays, scratch_of(dtype, count), code)


def multiply(a, b, bias=None, activation=0):
    """act(a @ b + bias) for operands that fit."""
    (M, K), N = a.shape, b.shape[1]
    out = memory.empty((M, N), a.dtype)
    bias = np.empty(0, a.dtype) if bias is None else bias
    run(product, "AACc", M * K * N, a, b, out, bias, code=activation)
    return out


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
