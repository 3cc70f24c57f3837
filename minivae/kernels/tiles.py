"""The matrix product: packed panels, tiles that stay in registers, and all cores.

A tile of out, at most ROWS rows by VECTORS vectors, stays in registers for the whole sum: 8 x 3 of them take
11 loads for 24 multiply-adds at each k. A panel, the columns of b under one tile, is copied beforehand, so
that the innermost loop walks straight through memory. Rows of a are read where they are, unless their numbers
lie apart, as those of x.T do: then they are copied into strips of ROWS. So a, a.T, b and b.T share one path.

Four of five pixels of MNIST are 0. Two of three are, in HALF images or HALF neighbouring pixels at once. If a
first look finds many zeros, the other terms of a sum are listed, and only these are added.
"""

from functools import cache, lru_cache

import numpy as np
from numba import config, from_dtype, types

from .. import arguments, memory
from . import elementary as el
from . import threads
from .compiled import compiled, inner
from .threads import LINE, in_parallel, range_of
from .vectors import BLOCK, HALF, ROWS, VECTOR_BYTES, VECTORS, filled, move_block, tile_product

DEPTH = 1024 if VECTOR_BYTES == 64 else 400  # terms of a sum over one packed panel: 200 KB, or 40 KB at most
HEIGHT = 1024  # rows of a at a time, so that copies of them stay small
ONES = slice(HEIGHT * DEPTH, (HEIGHT + 1) * DEPTH)  # where the scratch memory has a row of ones
FEW = 64  # rows for which packing costs more than it brings
SAMPLE = 4  # one of so many numbers is looked at, to tell whether it pays to look for terms of zeros
SMALL = 150_000  # multiply-adds of a product for which one thread is enough: few, so that others stay awake
# what is done with a finished tile; other activations are applied by `ops`
ACTIVATIONS = ("identity", "relu", "tanh")
IDENTITY, RELU, TANH = range(3)


@inner
def part_of(shape, index, parts):
    """Where part `index` of a matrix begins and ends: a range of rows, or of columns if these are more."""
    M, N = shape
    low, high = range_of(M, ROWS, index, parts) if M >= N else range_of(N, LINE, index, parts)
    return (low, high, 0, N) if M >= N else (0, M, low, high)


@inner
def pack(panel, b, k_low, depth, j_low, columns):
    """panel[k, c] = b[k_low + k, j_low + c] for c < columns, and 0 from there to the panel's width."""
    item, (b_row, b_column), width = b.itemsize, b.strides, panel.shape[1]
    source, turned = b.ctypes.data + k_low * b_row + j_low * b_column, b_row == item
    if columns < width:
        panel.reshape(panel.size)[:] = 0  # not a denormal number of an earlier panel, which would be slow
    if (turned or b_column == item) and min(depth, columns) >= BLOCK:
        # through registers, in squares: the last of a row or a column may overlap the one before
        for k in range(0, depth, BLOCK):
            k = min(k, depth - BLOCK)
            for c in range(0, columns, BLOCK):
                c = min(c, columns - BLOCK)
                target, square = panel.ctypes.data + (k * width + c) * item, source + k * b_row + c * b_column
                move_block(panel, target, width * item, square, b_column if turned else b_row, turned)
    else:
        for k in range(depth):
            for c in range(columns):
                panel[k, c] = b[k_low + k, j_low + c]


@inner
def list_terms(terms, strips, skip):
    """terms[s] = the numbers k of the terms to add, in order; in the last place, how many they are.

    If `skip`, s counts half strips, and a k where all HALF numbers are 0 is left out: but not in the first
    strip, whose sums tell whether all of b is finite, since 0 times infinity is not 0.
    """
    for s in range(len(terms)):
        n = 0
        for k in range(strips.shape[1]):
            terms[s, n] = k
            n += not skip or s < 2 or filled(strips, strips[s // 2, k, s % 2 * HALF :].ctypes.data)
        terms[s, DEPTH] = n


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
def column(out, i_from, i_to, j, columns, a_at, a_row, b_at, b_step, depth, terms, edge, add):
    """The tiles of these rows of out, and of columns from j on: what one panel is for."""
    N, item, vectors = out.shape[1], out.itemsize, -(-columns * out.itemsize // VECTOR_BYTES)
    height = HALF if len(terms) > 1 else ROWS
    for i in range(i_from, i_to, height):
        rows, list_at, count = min(height, i_to - i), 0, depth
        if len(terms):
            of_strip = terms[min((i - i_from) // HALF, len(terms) - 1)]
            list_at, count = types.intp(of_strip.ctypes.data), of_strip[DEPTH]
        target, step = out.ctypes.data + (i * N + j) * item, N * item
        ragged = rows < height or columns * item < vectors * VECTOR_BYTES
        if ragged:
            target, step = types.intp(edge.ctypes.data), edge.strides[0]
        for r in range(rows if ragged and add else 0):
            for c in range(columns):
                edge[r, c] = out[i + r, j + c]
        a_tile = a_at + (i - i_from) // ROWS * ROWS * a_row + (i - i_from) % ROWS * item
        tile_product(out, vectors, a_tile, a_row, rows - 1, list_at, count, b_at, b_step, target, step, add)
        for r in range(rows if ragged else 0):
            for c in range(columns):
                out[i + r, j + c] = edge[r, c]


@inner
def share(index, parts, a, b, out, scratch, lists, bias, code, sums):
    """A share of out = act(a @ b + bias), see `part_of`; and, unless empty, of sums_0j = sum_k b_kj."""
    K, item, lanes = a.shape[1], out.itemsize, VECTOR_BYTES // out.itemsize
    i_from, i_to, j_from, j_to = part_of(out.shape, index, parts)
    few, more = i_to - i_from <= FEW and b.strides[1] == item, 0
    for k in range(0, K if i_to - i_from > FEW else 0, SAMPLE):
        more += 1 if a[i_from + k // SAMPLE % ROWS, k] == 0 else -2
    skip = more > 0  # two of three numbers in the sample are 0
    listed = skip or a.strides[1] != item or a.strides[0] % 4096 == 0
    edge = scratch[index, -ROWS * VECTORS * lanes :].reshape((ROWS, VECTORS * lanes))  # a tile where out ends
    ones_at = types.intp(scratch[index, ONES].ctypes.data)  # sums = this row @ b
    for k_low in range(0, max(K, 1), DEPTH):
        depth, add = min(DEPTH, K - k_low), k_low > 0
        for i_low in range(i_from, i_to, HEIGHT):
            i_high = min(i_low + HEIGHT, i_to)
            a_at, a_row = a.ctypes.data + i_low * a.strides[0] + k_low * a.strides[1], a.strides[0]
            count = -(-(i_high - i_low) // ROWS) if listed else 0  # of strips
            strips = scratch[index, : count * depth * ROWS].reshape((count, depth, ROWS))
            terms = lists[index, : 2 * count if skip else min(count, 1)]
            if listed:
                for i in range(i_low, i_high, ROWS):
                    pack(strips[(i - i_low) // ROWS], a.T, k_low, depth, i, min(ROWS, i_high - i))
                list_terms(terms, strips, skip)
                a_at, a_row = types.intp(strips.ctypes.data), depth * item
            j = j_from
            while j < j_to:
                left = -(-(j_to - j) // lanes)  # two tiles of 2 and 2 vectors are faster than 3 and 1
                width = (2 if left == 4 else min(VECTORS, left)) * lanes
                columns = min(width, j_to - j)
                # a few rows read b where it is, unless the last vector would reach beyond its rows
                b_at, b_step = b.ctypes.data + k_low * b.strides[0] + j * item, b.strides[0]
                if not few or columns % lanes:
                    panel = scratch[index, ONES.stop :][: depth * width].reshape((depth, width))
                    pack(panel, b, k_low, depth, j, columns)
                    b_at, b_step = types.intp(panel.ctypes.data), panel.strides[0]
                if sums.size and i_high == out.shape[0]:  # once for each column of b
                    column(sums, 0, 1, j, columns, ones_at, 0, b_at, b_step, depth, terms[:0], edge, add)
                first = min(i_low + ROWS, i_high) if skip else i_high
                for i, end in ((i_low, first), (first, i_high)):
                    a_i, of_i = a_at + (i - i_low) * a_row, terms[(i - i_low) // HALF :]
                    column(out, i, end, j, columns, a_i, a_row, b_at, b_step, depth, of_i, edge, add)
                    if skip and i == i_low:
                        skip = np.isfinite(out[i:end, j : j + columns].sum())
                        if not skip:
                            list_terms(terms, strips, skip)
                j += columns
    if bias.size:
        finish(out, bias, code, i_from, i_to, j_from, j_to)


@compiled
def product(parts, a, b, out, bias, scratch, lists, code):
    """All shares of the product at once."""
    in_parallel(share, parts, (a, b, out, scratch, lists, bias, code, out[:0]))


@cache
def compile_for(kernel, kinds, dtype):
    """Compile the kernel of products for one type, and for these kinds of arrays."""
    number, lists = from_dtype(dtype), types.Array(types.intp, 3, "C")
    array = {
        "A": types.Array(number, 2, "A", readonly=True, aligned=False),  # of any strides
        "C": types.Array(number, 2, "C"),
        "c": types.Array(number, 1, "C"),
    }
    with threads.lock:
        kernel.disable_compile(False)
        kernel.compile((types.intp, *[array[kind] for kind in kinds], array["C"], lists, types.intp))
        kernel.disable_compile()


@lru_cache(maxsize=2)  # one for each type, while the number of threads is the same
def scratch_of(dtype, count):
    """For each of so many threads strips of a, a row of ones, a panel of b, a tile; and lists of terms."""
    lanes = VECTOR_BYTES // dtype.itemsize
    scratch = memory.empty((count, ONES.stop + (DEPTH + ROWS) * VECTORS * lanes), dtype)
    scratch[:, ONES] = 1
    return scratch, memory.empty((count, HEIGHT // HALF, DEPTH + 1), np.dtype(np.intp))


def run(kernel, kinds, work, *arrays, code):
    """Run a kernel whose products have `work` multiply-adds; `kinds` has a letter for each of the arrays."""
    dtype, count = arrays[0].dtype, threads.get_threads()
    compile_for(kernel, kinds, dtype)
    threads.launch(kernel, count if work > SMALL else 1, *arrays, *scratch_of(dtype, count), code)


def multiply(a, b, bias=None, activation=0, out=None):
    """act(a @ b + bias) for operands that fit."""
    (M, K), N = a.shape, b.shape[1]
    out = memory.empty((M, N), a.dtype) if out is None else out
    bias = np.empty(0, a.dtype) if bias is None else bias
    run(product, "AACc", M * K * N, a, b, out, bias, code=activation)
    return out


def matmul(a, b, out=None):
    """out = a @ b for 2-D float32 or float64 arrays of any strides: a (m, k), b (k, n) -> (m, n).

    Transposes are views and cost no copy. `out` may be any writable (m, n) array of the same type, also one
    that shares memory with a or b. Error: each entry is one chain of k fused multiply-adds, so within
    k eps sum |a| |b|. Raises ValueError for sizes, TypeError for types.
    """
    arguments.multipliable(a, b, out)
    own = out if memory.direct(out, a, b) else None
    product = np.matmul(a, b) if config.DISABLE_JIT else multiply(np.asarray(a), np.asarray(b), out=own)
    if out is not None and out is not product:
        out[...] = product
    return product if out is None else out
