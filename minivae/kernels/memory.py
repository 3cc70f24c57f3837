"""Arrays for results, without asking the system for memory in every step.

`empty` hands out memory that nobody holds any more, if there is some of its kind, and makes new otherwise.
Whether somebody holds it is what Python's own reference count says: a result that you keep, or any view of
it, is never written again; the memory of one that you drop serves the next step's results.
"""

import math
import sys
from collections import OrderedDict

import numpy as np

from . import threads

KEEP = 64 * 2**20  # bytes that are kept at most; the kinds not asked for longest go first
LINE = 64  # bytes of a cache line, where every array begins
_kept = OrderedDict()  # (shape, dtype) -> blocks of bytes handed out at some time
_probe = [np.empty(0)]
IDLE = sys.getrefcount(_probe[0])  # of a block that only its list holds


def empty(shape, dtype):
    """An array of this shape and type with any content, aligned to a cache line."""
    dtype = np.dtype(dtype)
    size = math.prod(shape) * dtype.itemsize
    with threads.lock():
        blocks = _kept.setdefault((shape, dtype), [])
        _kept.move_to_end((shape, dtype))
        for i in range(len(blocks)):
            if sys.getrefcount(blocks[i]) == IDLE:  # no array refers to it, and none can come to
                block = blocks[i]
                break
        else:
            block = np.empty(size + LINE, np.uint8)
            blocks.append(block)
            _forget()
    start = -block.ctypes.data % LINE
    return block[start : start + size].view(dtype).reshape(shape)


def _forget():
    """Drop the kinds not asked for longest; blocks that are still held live on with their holders."""
    total = sum(block.nbytes for blocks in _kept.values() for block in blocks)
    while total > KEEP and _kept:
        total -= sum(block.nbytes for block in _kept.popitem(last=False)[1])
