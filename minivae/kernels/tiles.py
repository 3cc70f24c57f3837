"""The fast matrix product: packed panels, tiles that stay in registers, and all cores.

A tile of out, 8 rows by 3 vectors, stays in registers for the whole sum: each step of k takes 3 vectors of b
and 8 numbers of a, and makes 24 multiply-adds from these 11 loads. b is packed beforehand into panels, so
that the innermost loop walks straight through memory; a needs no packing, since one number is fetched at a
time and any stride serves. So a, a.T, b and b.T share one path.
"""

from functools import cache

import numpy as np
from numba import from_dtype, prange, types

from . import elementary as el
from . import memory, threads
from .compiled import Fixed, compiled
from .vectors import (
    BLOCK,
    ROWS,
    VECTOR_BYTES,
    VECTORS,
    copy_block,
    prefetch,
    tile_product_1,
    tile_product_2,
    tile_product_3,
    transpose_block,
)

DEPTH = 1024  # longest stretch of a sum over packed panels: a panel stays below 200 KB
CHUNK_BYTES = 400 * 1024  # packed panels that stay in one core's second-level cache
ROWS_PER_THREAD = 100  # with fewer rows than this, threads share the columns instead
FEW = 4  # row panels that packing would not serve
SMALL = 500_000  # multiply-adds of a product for which one thread is enough
# codes of what is done with a finished tile, in the order of ops.ACTIVATIONS
RELU, TANH, SOFTPLUS, SIGMOID = range(1, 5)


@compiled
def pack(panels, start, b, k_low, depth, j_low, j_high, width):
    """Panels of `width` columns: panels[start + p depth width + k w + c] = b[k_low + k, j_low + p width + c].

    The last panel may be narrower (w < width): as many whole vectors as its columns need, filled up with 0.
    """
    item, (row_bytes, column_bytes) = b.itemsize, b.strides
    lanes = width // VECTORS
    by_row, by_column = column_bytes == item, row_bytes == item
    whole = (j_high - j_low) // width if by_row else 0
    for k in range(depth if whole else 0):
        # all panels side by side: long stretches of a row of b are read in one go
        for p in range(whole):
            for c in range(0, width, BLOCK):
                byte = (k_low + k) * row_bytes + (j_low + p * width + c) * item
                copy_block(panels, start + p * depth * width + k * width + c, b, byte)
    for j in range(j_low + whole * width, j_high, width):
        columns = min(width, j_high - j)
        w = -(-columns // lanes) * lanes
        base = start + (j - j_low) * depth
        squares = columns // BLOCK * BLOCK if by_row or by_column else 0
        quick = depth if by_row else depth // BLOCK * BLOCK if by_column else 0
        for k in range(0, quick, 1 if by_row else BLOCK):
            for c in range(0, squares, BLOCK):
                byte = (k_low + k) * row_bytes + (j + c) * column_bytes
                if by_row:
                    copy_block(panels, base + k * w + c, b, byte)
                else:
                    transpose_block(panels, base + k * w + c, w, b, byte, column_bytes)
        for k in range(depth):
            for c in range(squares if k < quick else 0, columns):
                panels[base + k * w + c] = b[k_low + k, j + c]
            for c in range(columns, w):
                panels[base + k * w + c] = 0


@compiled
def fetch(b, k_low, k_high, j_low, j_high):
    """Call b[k_low:k_high, j_low:j_high] from afar, before it is packed."""
    item, (row_bytes, column_bytes) = b.itemsize, b.strides
    if column_bytes == item:
        for k in range(k_low, k_high):
            for byte in range(j_low * item, j_high * item, 64):
                prefetch(b, k * row_bytes + byte)
    elif row_bytes == item:
        for j in range(j_low, j_high):
            for byte in range(k_low * item, k_high * item, 64):
                prefetch(b, j * column_bytes + byte)


@compiled
def finish(out, i_low, i_high, j_low, j_high, bias, code):
    """out = act(out + bias) on one tile, while it is still in the cache."""
    for i in range(i_low, i_high):
        row, shift = out[i, j_low:j_high], bias[j_low:j_high]
        for j in range(row.size):
            row[j] += shift[j]
        if code == RELU:
            for j in range(row.size):
                row[j] = 0 if row[j] < 0 else row[j]  # a NaN is not below 0, and stays
        elif code == TANH:
            for j in range(row.size):
                row[j] = el.tanh(row[j])
        elif code == SOFTPLUS:
            for j in range(row.size):
                row[j] = el.softplus(row[j])
        elif code == SIGMOID:
            for j in range(row.size):
                row[j] = el.sigmoid(row[j])


@compiled
def tile(vectors, like, a, a_row, a_step, last, b, b_step, depth, out, out_row, add):
    """The register tile of the width that is needed."""
    if vectors == 3:
        tile_product_3(like, a, a_row, a_step, last, b, b_step, depth, out, out_row, add)
    elif vectors == 2:
        tile_product_2(like, a, a_row, a_step, last, b, b_step, depth, out, out_row, add)
    else:
        tile_product_1(like, a, a_row, a_step, last, b, b_step, depth, out, out_row, add)


@compiled
def share(index, parts, a, b, out, panels, bias, code):
    """One thread's share of out = epilogue(a @ b): a range of rows, or of columns if rows are few."""
    (M, K), N, item = a.shape, b.shape[1], out.itemsize
    lanes = VECTOR_BYTES // item
    width = VECTORS * lanes
    row_panels, column_panels = -(-M // ROWS), -(-N // width)
    edge = np.empty((ROWS, width), out.dtype)  # where a tile lands that reaches beyond out
    start = index * (panels.size // parts)
    by_rows = ROWS_PER_THREAD * parts <= M
    # rows of b that are used by a few row panels only are read where they stand
    straight = not by_rows and row_panels <= FEW and b.strides[1] == item
    # by rows a share is counted in row panels; by columns in vectors, column panel after column panel,
    # so that two threads which meet in one panel write different rows
    total = row_panels if by_rows else row_panels * -(-N // lanes)
    low, high = total * index // parts, total * (index + 1) // parts
    per_panel = VECTORS * row_panels
    i_from, i_to = (low, high) if by_rows else (0, row_panels)
    j_from = 0 if by_rows else low // per_panel
    j_to = column_panels if by_rows else min(column_panels, -(-high // per_panel))
    for k_low in range(0, max(K, 1), DEPTH):
        depth = min(DEPTH, K - k_low)
        add, done = k_low > 0, k_low + depth == K
        group = max(1, CHUNK_BYTES // max(1, depth * width * item)) if by_rows else 1
        for j_group in range(j_from, j_to, group):
            j_end = min(j_to, j_group + group)
            j_next = min(N, min(j_to, j_end + group) * width)
            whole = min(N, j_end * width) % lanes == 0
            if not (straight and whole):
                pack(panels, start, b, k_low, depth, j_group * width, min(N, j_end * width), width)
            for i in range(i_from, i_to):
                i_low, i_high = i * ROWS, min(M, (i + 1) * ROWS)
                rows = i_high - i_low
                a_at = a.ctypes.data + i_low * a.strides[0] + k_low * a.strides[1]
                # the next panels come nearer, some rows of them with each row panel
                soon = k_low + depth * (i - i_from) // (i_to - i_from)
                later = k_low + depth * (i + 1 - i_from) // (i_to - i_from)
                fetch(b, soon, later, j_end * width, j_next)
                for j in range(j_group, j_end):
                    j_low, j_high = j * width, min(N, (j + 1) * width)
                    columns = j_high - j_low
                    vectors = -(-columns // lanes)
                    place = i if by_rows else j * per_panel + i * vectors
                    if place < low or place >= high:
                        continue
                    w = vectors * lanes
                    ragged = rows < ROWS or columns < w
                    target, i_at, j_at = (edge, 0, 0) if ragged else (out, i_low, j_low)
                    if ragged and add:
                        for r in range(rows):
                            for c in range(columns):
                                edge[r, c] = out[i_low + r, j_low + c]
                    if straight and whole:
                        b_at, b_step = b.ctypes.data + k_low * b.strides[0] + j_low * item, b.strides[0]
                    else:
                        b_at, b_step = (
                            panels.ctypes.data + (start + (j - j_group) * width * depth) * item,
                            w * item,
                        )
                    tile(
                        vectors,
                        out,
                        a_at,
                        a.strides[0],
                        a.strides[1],
                        rows - 1,
                        b_at,
                        b_step,
                        depth,
                        target.ctypes.data + i_at * target.strides[0] + j_at * item,
                        target.strides[0],
                        add,
                    )
                    if ragged:
                        for r in range(rows):
                            for c in range(columns):
                                out[i_low + r, j_low + c] = edge[r, c]
                    if done and bias.size:
                        finish(out, i_low, i_high, j_low, j_high, bias, code)


@Fixed
def product(parts, a, b, out, panels, bias, code):
    """All shares of the product at once."""
    for index in prange(parts):
        share(np.intp(index), parts, a, b, out, panels, bias, code)


@cache
def signature(dtype):
    """One compiled product serves operands of any strides, aligned or not, writable or not."""
    number = from_dtype(dtype)
    strided = types.Array(number, 2, "A", readonly=True, aligned=False)
    matrix, buffer = types.Array(number, 2, "C"), types.Array(number, 1, "C")
    bias = types.Array(number, 1, "C", readonly=True)
    return types.intp, strided, strided, matrix, buffer, bias, types.intp


def panels_for(parts, dtype):
    """Room for the packed panels of `parts` threads."""
    least = DEPTH * VECTORS * VECTOR_BYTES // dtype.itemsize
    return memory.empty((max(CHUNK_BYTES // dtype.itemsize, least) * parts,), dtype)


def multiply(a, b, bias=None, activation=0, out=None):
    """act(a @ b + bias) for operands of one type that fit; a given out is contiguous and shares nothing."""
    dtype = a.dtype
    parts = threads.get_threads() if a.size * b.shape[1] > SMALL else 1
    out = memory.empty((a.shape[0], b.shape[1]), dtype) if out is None else out
    panels = panels_for(parts, dtype)
    bias = panels[:0] if bias is None else bias
    product.compile(parts, signature(dtype))
    product(parts, parts, a, b, out, panels, bias, activation)
    return out
