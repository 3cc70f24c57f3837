"""How a loop is compiled: when it is first needed, for the types it is needed for, and once per machine.

No loop may reorder a sum: there is no fastmath. No loop makes an array, so numba need not count references
to arrays (`_nrt=False`): all threads would write to the same counts, and wait for each other's cache line.
"""

import pickle
from contextlib import suppress
from functools import partial

import llvmlite
import numba
import numpy as np
from numba.core.caching import CompileResultCacheImpl
from numba.core.registry import CPUDispatcher
from numba.core.serialize import dumps

from .. import arguments, kept

FOLDER = kept.Folder("kernels", numba.__version__, llvmlite.__version__, np.__version__)
# told not to compile, numba runs kernels as Python code, which cannot call our intrinsics: no array fits
fits = (lambda *_: False) if numba.config.DISABLE_JIT else arguments.fits


class Cache(CompileResultCacheImpl):
    """Where numba looks for a version of a function. Its own cache would end the run over a damaged file."""

    cache_path = str(FOLDER.path)

    def __init__(self, name):
        self.name = name

    def _key(self, signature, codegen):
        return self.name, f"{signature} {codegen.magic_tuple()} {numba.threading_layer()}"

    def load_overload(self, signature, target_context):
        """The compiled version for this signature, or None."""
        numba.get_num_threads()  # loads the threading layer, whose functions `in_parallel` calls by name
        content = FOLDER.load(*self._key(signature, target_context.codegen()))
        if content:
            with suppress(Exception):  # whatever is wrong with the content: it is compiled again
                return self.rebuild(target_context, pickle.loads(content))
        FOLDER.announce()
        return None

    def save_overload(self, signature, result):
        """Keep what was compiled."""
        FOLDER.save(dumps(self.reduce(result)), *self._key(signature, result.codegen))


class _Inner(CPUDispatcher):
    def __call__(self, *args):
        raise TypeError(f"{self.__name__} can be called from compiled code only, not from Python")


def compiled(function, entry=True):
    """`numba.njit` with this package's settings and its cache, and without an entry for C code."""
    wrappers = {"no_cfunc_wrapper": True, "no_cpython_wrapper": not entry}
    kernel = numba.njit(nogil=True, error_model="numpy", _nrt=False, **wrappers)(function)
    if kernel is not function:  # it is where numba is told not to compile
        # numba has no public way to bring a cache along
        vars(kernel)["_cache"] = Cache(f"{function.__module__}.{function.__qualname__}")
        if not entry:
            kernel.__class__ = _Inner  # a call without an entry would end Python
    return kernel


inner = partial(compiled, entry=False)  # for what only kernels call: a tenth less to compile
