"""The fast matrix product: packed panels, tiles that stay in registers, and all cores.

A tile of out, 8 rows by 3 vectors, stays in registers for the whole sum: each step of k loads 3 vectors of b
and 8 numbers of a, and makes 24 multiply-adds from these 11 loads. A panel, the columns of b under one tile,
is packed beforehand, so that the innermost loop walks straight through memory; a needs no packing, since one
number is loaded at a time and any stride will do. So a, a.T, b and b.T share one path.
"""

from functools import cache

import numpy as np
from numba import carray, from_dtype, prange, types

from . import elementary as el
from . import memory, threads
from .compiled import Shared, compiled, part_of
from .vectors import BLOCK, ROWS, VECTOR_BYTES, VECTORS, pointer, tile_product, transpose_block

DEPTH = 1024  # longest stretch of a sum over one packed panel, which then stays below 200 KB
FEW = 4 * ROWS  # rows for which packing costs more than it brings
SMALL = 500_000  # multiply-adds of a product for which one thread is enough
# what is done with a finished tile; other activations are applied by `ops`
ACTIVATIONS = ("identity", "relu", "tanh")
RELU, TANH = 1, 2


@compiled
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
            row, packed = carray(pointer(source + k * b_row, panel), (columns,)), panel[k]
            for c in range(columns):
                packed[c] = row[c]
        else:
            for c in range(squares if k < quick else 0, columns):
                panel[k, c] = b[k_low + k, j_low + c]
        for c in range(columns, width):
            panel[k, c] = 0


@compiled
def finish(tile, bias, code):
    """tile = act(tile + bias), while it is still in the cache."""
    for i in range(len(tile)):
        row = tile[i]
        for j in range(row.size):
            row[j] += bias[j]
        if code == RELU:
            for j in range(row.size):
                row[j] = 0 if row[j] < 0 else row[j]  # a NaN is not below 0, and stays
        elif code == TANH:
            for j in range(row.size):
                row[j] = el.tanh(row[j])


@compiled
def share(index, parts, a, b, out, panels, bias, code):
    """One thread's share of out = act(a @ b + bias): a range of its rows or columns, whichever are more."""
    (M, N), K, item = out.shape, a.shape[1], out.itemsize
    lanes = VECTOR_BYTES // item
    low, high = part_of(M, ROWS, index, parts) if M > N else part_of(N, lanes, index, parts)
    i_from, i_to, j_from, j_to = (low, high, 0, N) if M > N else (0, M, low, high)
    edge = np.empty((ROWS, VECTORS * lanes), out.dtype)  # for a tile that reaches beyond out
    few = i_to - i_from <= FEW and b.strides[1] == item
    for k_low in range(0, max(K, 1), DEPTH):
        depth, add = min(DEPTH, K - k_low), k_low > 0
        for j in range(j_from, j_to, VECTORS * lanes):
            columns = min(VECTORS * lanes, j_to - j)
            vectors = -(-columns // lanes)
            # a few rows read b where it is, unless the last vector would reach beyond its rows
            b_at, b_step = b.ctypes.data + k_low * b.strides[0] + j * item, b.strides[0]
            if not (few and columns == vectors * lanes):
                panel = panels[index, : depth * vectors * lanes].reshape((depth, vectors * lanes))
                pack(panel, b, k_low, depth, j, columns)
                b_at, b_step = panel.ctypes.data, vectors * VECTOR_BYTES
            for i in range(i_from, i_to, ROWS):
                rows = min(ROWS, i_to - i)
                a_at = a.ctypes.data + i * a.strides[0] + k_low * a.strides[1]
                part = out[i : i + rows, j : j + columns]
                ragged = rows < ROWS or columns < vectors * lanes
                if ragged and add:
                    edge[:rows, :columns] = part
                target, step = (edge.ctypes.data, edge.strides[0]) if ragged else (part.ctypes.data, N * item)
                tile_product(
                    out, vectors, a_at, a.strides[0], a.strides[1], rows - 1, b_at, b_step, depth,
                    target, step, add,
                )  # fmt: skip
                if ragged:
                    part[:] = edge[:rows, :columns]
                if bias.size and k_low + depth == K:
                    finish(part, bias[j : j + columns], code)


@Shared
def product(parts, a, b, out, panels, bias, code):
    """All shares of the product at once."""
    for index in prange(parts):
        share(np.intp(index), parts, a, b, out, panels, bias, code)


@cache
def prepare(parallel, dtype):
    """Compile the version for one thread or many and for one type; it serves operands of any strides."""
    number, version = from_dtype(dtype), product.parallel if parallel else product.serial
    strided = types.Array(number, 2, "A", readonly=True, aligned=False)
    matrix, bias = types.Array(number, 2, "C"), types.Array(number, 1, "C")
    with threads.lock():
        version.disable_compile(False)
        version.compile((types.intp, strided, strided, matrix, matrix, bias, types.intp))
        version.disable_compile()


def multiply(a, b, bias=None, activation=0):
    """act(a @ b + bias) for operands that fit."""
    dtype = a.dtype
    parts = threads.get_threads() if a.size * b.shape[1] > SMALL else 1
    out = memory.empty((a.shape[0], b.shape[1]), dtype)
    panels = memory.empty((parts, DEPTH * VECTORS * VECTOR_BYTES // dtype.itemsize), dtype)
    bias = panels[0, :0] if bias is None else bias
    prepare(parts > 1, dtype)
    product(parts, a, b, out, panels, bias, activation)
    return out
