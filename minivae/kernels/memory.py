"""Arrays for results, from memory that is used again.

A large new array costs more than the loop that fills it: the system hands it out page by page, and clears
each page. So `empty` keeps the blocks that it has handed out, and hands one out again when no array refers
to it any more. Python's reference count tells: a result that you keep, or any view of it, is never
overwritten.
"""

import math
import sys
from collections import OrderedDict

import numpy as np

from . import threads

KEEP = 64 * 2**20  # bytes that are kept at most; the shapes not used for longest go first
LINE = 64  # bytes of a cache line; every array begins at one
_kept = OrderedDict()  # (shape, dtype) -> its blocks of bytes, each with the offset of its first line
_probe = [np.empty(0)]
IDLE = sys.getrefcount(_probe[0])  # of a block to which only its list refers


def empty(shape, dtype):
    """An array of this shape and type with arbitrary content, aligned to a cache line."""
    with threads.lock():
        entries = _kept.setdefault((shape, dtype), [])
        _kept.move_to_end((shape, dtype))
        for entry in entries:
            if sys.getrefcount(entry[0]) == IDLE:
                return np.ndarray(shape, dtype, *entry)
        block = np.empty(math.prod(shape) * dtype.itemsize + LINE, np.uint8)
        entries.append([block, -block.ctypes.data % LINE])
        while kept_bytes() > KEEP:  # a block that is still in use lives as long as its arrays
            _kept.popitem(last=False)
        return np.ndarray(shape, dtype, *entries[-1])


def kept_bytes():
    """Bytes of all blocks that `empty` may hand out again."""
    return sum(block.nbytes for entries in _kept.values() for block, _ in entries)
