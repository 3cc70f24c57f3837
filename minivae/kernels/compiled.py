"""How a loop is compiled, how many threads share it, and what it may be fed."""

import numba
import numpy as np

from .. import arguments

# reassoc and contract let a sum be vectorised and fused; NaN and infinity keep their meaning
serial = numba.njit(cache=True, fastmath={"reassoc", "contract"}, error_model="numpy")
parallel = numba.njit(cache=True, parallel=True, fastmath={"reassoc", "contract"}, error_model="numpy")


def set_threads(n):
    """Use n threads, from 1 to what the machine (or NUMBA_NUM_THREADS) gives; results do not change."""
    n = arguments.integer("threads", n)
    if n > numba.config.NUMBA_NUM_THREADS:
        raise ValueError(f"threads must be at most {numba.config.NUMBA_NUM_THREADS} here, got {n}")
    numba.set_num_threads(n)


def operands(**arrays):
    """The arrays, aligned and contiguous, once they are known to share one of the two real types."""
    first, dtype = next((name, array.dtype) for name, array in arrays.items())
    for name, array in arrays.items():
        if array.dtype not in (np.float32, np.float64) or array.dtype != dtype:
            raise TypeError(
                f"the kernels take arrays of one type, float32 or float64: "
                f"got {first} {dtype} and {name} {array.dtype}"
            )
    return [np.require(array, requirements="CA") for array in arrays.values()]


def flat(**arrays):
    """Views of the arrays as one long axis, for updates in place."""
    for name, array in arrays.items():
        if not array.flags.c_contiguous:
            raise ValueError(f"{name} must be C-contiguous to be updated in place")
    operands(**arrays)
    return [array.reshape(-1) for array in arrays.values()]
