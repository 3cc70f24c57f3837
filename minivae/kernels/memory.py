"""Arrays for results, without asking the system for memory in every step.

`empty` hands out memory that nobody holds any more, if there is some of its kind, and makes new otherwise.
Whether somebody holds it is what Python's own reference count says: a result that you keep, or any view of
it, is never written again; the memory of one that you drop serves the next step's results.
"""

import math
import sys
from collections import OrderedDict
from functools import lru_cache
from itertools import accumulate

import numpy as np

from . import threads

KEEP = 64 * 2**20  # bytes that are kept at most; the kinds not asked for longest go first
LINE = 64  # bytes of a cache line, where every array begins
_kept = OrderedDict()  # (shape, dtype) -> [block of bytes, where its first line begins] handed out some time
_probe = [np.empty(0)]
IDLE = sys.getrefcount(_probe[0])  # of a block that only its list holds


def empty(shape, dtype):
    """An array of this shape and type with any content, aligned to a cache line."""
    with threads.lock():
        entries = _kept.get((shape, dtype))
        if entries is None:
            entries = _kept[shape, dtype] = []
        _kept.move_to_end((shape, dtype))
        for entry in entries:
            if sys.getrefcount(entry[0]) == IDLE:  # no array refers to it, and none can come to
                return np.ndarray(shape, dtype, *entry)
        block = np.empty(math.prod(shape) * dtype.itemsize + LINE, np.uint8)
        entries.append([block, -block.ctypes.data % LINE])
        _forget()
        return np.ndarray(shape, dtype, *entries[-1])


def arrays(shapes, dtype):
    """Arrays of these shapes in one block -> arrays, their addresses: one request where there would be many.

    The block is handed out again when the last of them is dropped.
    """
    offsets, size = _layout(shapes, dtype.itemsize)
    block = empty((size,), np.dtype(np.uint8))
    start = block.ctypes.data
    parts = [np.ndarray(shape, dtype, block, at) for shape, at in zip(shapes, offsets, strict=True)]
    return parts, [start + at for at in offsets]


@lru_cache(maxsize=256)
def _layout(shapes, itemsize):
    """Where each array begins in its block, on a line of its own, and the bytes of the block."""
    ends = accumulate((-(-math.prod(shape) * itemsize // LINE) * LINE for shape in shapes), initial=0)
    *offsets, size = ends
    return offsets, size


def _forget():
    """Drop the kinds not asked for longest; blocks that are still held live on with their holders."""
    total = kept_bytes()
    while total > KEEP and _kept:
        total -= sum(block.nbytes for block, _ in _kept.popitem(last=False)[1])


def kept_bytes():
    """Bytes of all blocks that `empty` may hand out again, idle or not."""
    return sum(block.nbytes for entries in _kept.values() for block, _ in entries)
