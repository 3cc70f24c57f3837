"""Arrays for results, from memory that is used again.

A large new array costs more than the loop that fills it: the system hands it out page by page, and clears
each page. So `empty` keeps the blocks that it has handed out, and hands one out again when no array refers
to it any more. Python's reference count tells: a result that you keep, or any view of it, is never
overwritten.
"""

import math
from sys import getrefcount

import numpy as np
from numpy import ndarray

KEEP = 64 * 2**20  # bytes that are kept at most; the oldest shapes go first
SMALL = 32 * 2**10  # bytes; a new array of fewer costs less than the search for an old one
LINE = 64  # bytes of a cache line
_kept = {}  # (shape, dtype) -> its blocks of bytes, each with the offset of its first line
_probe = [np.empty(0)]
IDLE = getrefcount(_probe[0])  # of a block to which only its list refers


def empty(shape, dtype):
    """An array of this shape and type with arbitrary content; a large one begins at a cache line."""
    size = math.prod(shape) * dtype.itemsize
    if size < SMALL:
        return np.empty(shape, dtype)
    key = shape, dtype
    for entry in _kept.get(key, ()):
        if getrefcount(entry[0]) == IDLE:
            array = ndarray(shape, dtype, *entry)
            if getrefcount(entry[0]) == IDLE + 1:  # else another thread took it at the same moment
                return array
    block = np.empty(size + LINE, np.uint8)
    entry = block, -block.ctypes.data % LINE
    _kept.setdefault(key, []).append(entry)
    for oldest in list(_kept):
        if kept_bytes() <= KEEP:
            break
        _kept.pop(oldest, None)  # a block that is still in use lives as long as its arrays
    return ndarray(shape, dtype, *entry)


def converted(array, dtype):
    """The array's entries in another type, as `array.astype` gives them; C-contiguous."""
    if type(array) is not ndarray:
        return array.astype(dtype)  # an array with a mask keeps it
    result = empty(array.shape, np.dtype(dtype))
    np.copyto(result, array, casting="unsafe")
    return result


def laid_out(array):
    """The array, or a copy if it is not contiguous, aligned and writable, as the kernels want it."""
    return array if array.flags.carray else np.require(array, requirements="CAW")


def direct(out, *inputs):
    """Whether a kernel may write into `out` while it reads the inputs: contiguous, no memory in common."""
    contiguous = type(out) is ndarray and out.flags.carray
    return contiguous and not any(np.may_share_memory(out, array) for array in inputs)


def kept_bytes():
    """Bytes of all blocks that `empty` may hand out again."""
    return sum(block.nbytes for entries in list(_kept.values()) for block, _ in entries)
