"""What a kernel may be fed: arrays of one real type, laid out as its loops read them."""

import numpy as np

REAL = frozenset((np.dtype(np.float32), np.dtype(np.float64)))


def operands(**arrays):
    """The arrays, contiguous and aligned, once they are known to share one of the two real types.

    And writable, though none is written: numba would compile a version of its own for those that are not.
    """
    kinds = {array.dtype for array in arrays.values()}
    if len(kinds) > 1 or not kinds <= REAL:
        given = ", ".join(f"{name} {array.dtype}" for name, array in arrays.items())
        raise TypeError(f"the kernels take arrays of one type, float32 or float64: got {given}")
    return [a if a.flags.carray else np.require(a, requirements="CAW") for a in arrays.values()]


def flat(**arrays):
    """Views of the arrays as one long axis, for updates in place."""
    for name, array in arrays.items():
        if not array.flags.c_contiguous:
            raise ValueError(f"{name} must be C-contiguous to be updated in place")
    operands(**arrays)
    return [array.reshape(-1) for array in arrays.values()]
