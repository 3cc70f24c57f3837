"""The door to the compiled loops: they run only on arrays that fit, and everything else goes to `ops`.

A compiled loop does not check an index, so a wrong shape there would read or write another array's memory.
Where `fits` says no, a public kernel calls the function of the same name in `ops`, which computes in NumPy or
raises an error in one sentence. Both backends thus give the same answer to the same call, right or wrong.
"""

from functools import lru_cache

from numba import config
from numpy import ndarray

from ..arguments import REAL, first_misfit


def fits(axes, *arrays):
    """Whether a compiled loop may run on these arrays.

    They must be plain NumPy arrays of one type, float32 or float64, not empty, and their axes must agree:
    `axes` has the words of `arguments.shapes`, one per array: "BI IO O" for a dense layer's x, W and b.
    """
    kinds = [axes]
    for array in arrays:
        if type(array) is not ndarray:
            return False
        kinds += array.dtype, array.shape
    return _agree(*kinds)


@lru_cache(maxsize=4096)
def _agree(axes, *kinds):
    """The part of `fits` that depends on `kinds`, type and shape in turn: a training step repeats it."""
    dtypes, shapes = kinds[::2], kinds[1::2]
    # without its compiler numba runs kernels as Python code, which cannot call the vector instructions
    if config.DISABLE_JIT or dtypes[0] not in REAL or len({*dtypes}) > 1 or any(0 in s for s in shapes):
        return False
    return first_misfit(*zip(axes.split(), axes.split(), shapes, strict=True))[0] is None
