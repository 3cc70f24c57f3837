"""How a kernel is compiled: when it is first needed, for the types it is needed for, and once per machine.

No loop may reorder a sum: there is no fastmath.
"""

import hashlib
import os
import pickle
import shutil
import sys
import time
from contextlib import suppress
from functools import cache, partial
from pathlib import Path

import llvmlite
import numba
import numpy as np
from numba.core.caching import CompileResultCacheImpl
from numba.core.registry import CPUDispatcher
from numba.core.runtime import rtsys
from numba.core.serialize import dumps

from .. import files, memory


def _cache_folder():
    """Where compiled code is kept, outside the package.

    Compiled code depends on this file and on every file that it calls, so the folder is named after a digest
    of all sources and versions: after an edit or an update it is another folder, and nothing stale is found.
    """
    versions = (sys.version, numba.__version__, llvmlite.__version__, np.__version__)
    modules = Path(memory.__file__), *sorted(Path(__file__).parent.glob("*.py"))
    sources = [path.read_bytes() for path in modules]
    digest = hashlib.sha256(b"".join([repr(versions).encode(), *sources])).hexdigest()
    home = os.environ.get("XDG_CACHE_HOME") or os.path.expanduser("~/.cache")
    return Path(os.environ.get("NUMBA_CACHE_DIR") or home, "minivae", f"kernels-{digest[:16]}")


FOLDER = _cache_folder()
KEPT = 7 * 24 * 3600  # seconds without use after which the code of other sources or versions is removed


@cache
def _tidy():
    """Mark the folder as used, and remove those that no process has used for a week.

    Removing one is always safe: a process that needs it after all compiles again.
    """
    with suppress(OSError):
        FOLDER.mkdir(parents=True, exist_ok=True)
        os.utime(FOLDER)
        for other in FOLDER.parent.glob(f"kernels-{'[0-9a-f]' * 16}"):
            if not other.is_symlink() and time.time() - other.stat().st_mtime > KEPT:
                shutil.rmtree(other, ignore_errors=True)


class Cache(CompileResultCacheImpl):
    """Compiled code on disk, one file per version of a function, each behind a checksum of its content.

    numba's own cache ends the run if a file is damaged or the disk is full; here either costs a compilation.
    """

    cache_path = str(FOLDER)

    def __init__(self, name):
        self.name = name

    def _path(self, signature, codegen):
        key = hashlib.sha256(f"{self.name} {signature} {codegen.magic_tuple()}".encode()).hexdigest()
        return FOLDER / f"{self.name}-{key[:24]}"

    def load_overload(self, signature, target_context):
        """The compiled version for this signature, or None; numba calls it before it compiles."""
        _tidy()
        numba.get_num_threads()  # loads the threading layer, whose functions `in_parallel` calls by name
        try:
            rtsys.initialize(target_context)  # all that a loaded kernel needs; compiling loads the rest
            content = self._path(signature, target_context.codegen()).read_bytes()
            if hashlib.sha256(content[32:]).digest() == content[:32]:
                return self.rebuild(target_context, pickle.loads(content[32:]))
        except Exception:  # whatever is wrong with the file: it is compiled again
            pass
        _announce()
        return None

    def save_overload(self, signature, result):
        """Keep what was compiled; numba calls it after it has compiled."""
        content = dumps(self.reduce(result))
        # where the folder is read-only or the disk is full, the next run compiles again
        with suppress(ValueError), files.replacing(self._path(signature, result.codegen)) as file:
            file.write(hashlib.sha256(content).digest() + content)


@cache
def _announce():
    """Say once why the first run takes longer."""
    writable = os.access(FOLDER, os.W_OK)
    kept = "kept on disk, so only this once" if writable else "no folder to keep them in is writable"
    print(f"compiling the kernels for this machine ({kept}) ...", file=sys.stderr, flush=True)


class _Inner(CPUDispatcher):
    def __call__(self, *args):
        raise TypeError(f"{self.__name__} is for compiled code only, which cannot be called from Python")


def compiled(function, entry=True):
    """`numba.njit` with this package's settings and its cache, and without an entry for C code."""
    settings = {"nogil": True, "error_model": "numpy", "no_cfunc_wrapper": True}
    kernel = numba.njit(**settings, no_cpython_wrapper=not entry)(function)
    if kernel is not function:  # it is where numba is told not to compile
        # numba has no public way to bring a cache along; and a call without an entry would end Python
        vars(kernel)["_cache"] = Cache(f"{function.__module__}.{function.__qualname__}")
        kernel.__class__ = type(kernel) if entry else _Inner
    return kernel


inner = partial(compiled, entry=False)  # for what only kernels call: a tenth less to compile
