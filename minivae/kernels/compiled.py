"""How a kernel is compiled: lazily, by type, and once on this machine.

`compiled` makes a serial kernel. `Shared` makes one whose `prange` loops are divided among threads: it
keeps two versions of the same function, the parallel one and a serial one for a single thread, and compiles
each when it is first needed. No version may reorder a sum (there is no fastmath), so their bits are equal.
"""

import hashlib
import os
import sys
import tempfile
from pathlib import Path

import numba
from numba import config
from numba.core import event

from . import threads

HERE = Path(__file__).parent


def _cache_folder():
    """The first writable place for compiled code, or None.

    numba stamps cached code with the age of one file, that of the outermost function, and does not see an
    edit in a file that this one calls. So the folder's name holds a digest of every kernel's source: after
    an edit it is another folder, and nothing stale can be found.
    """
    sources = sorted(HERE.glob("*.py"))
    digest = hashlib.sha256(b"".join(path.name.encode() + path.read_bytes() for path in sources)).hexdigest()
    home = os.environ.get("XDG_CACHE_HOME") or os.path.expanduser("~/.cache")
    for parent in (os.environ.get("NUMBA_CACHE_DIR"), HERE / "__pycache__", Path(home, "minivae")):
        if parent:
            folder = Path(parent, f"kernels-{digest[:16]}")
            try:
                folder.mkdir(parents=True, exist_ok=True)
                tempfile.TemporaryFile(dir=folder).close()
            except OSError:
                continue  # read-only: try the next
            return str(folder)
    return None


FOLDER = _cache_folder()


def compiled(function, **options):
    """`numba.njit` with this package's settings and its cache folder."""
    before = config.CACHE_DIR
    if FOLDER:
        # numba reads it here and now, so other people's kernels keep theirs; and it tells the parallel and
        # the serial version of one function apart by nothing else
        config.CACHE_DIR = os.path.join(FOLDER, "parallel" if options.get("parallel") else "serial")
    try:
        return numba.njit(nogil=True, error_model="numpy", cache=FOLDER is not None, **options)(function)
    finally:
        config.CACHE_DIR = before


class Shared:
    """A kernel that threads share, one launch at a time; on one thread its `prange` is a plain `range`."""

    def __init__(self, function):
        self.serial = compiled(function)
        self.parallel = compiled(function, parallel=True)
        self.__doc__ = function.__doc__

    def __call__(self, count, *args):
        """Run it on `count` threads."""
        threads.launch(self.serial, self.parallel, args, count)


class Fixed(Shared):
    """A shared kernel that is compiled for stated signatures alone, whatever layout its arguments have."""

    def __init__(self, function):
        super().__init__(function)
        self._ready = set()

    def compile(self, count, signature):
        """Make the version that `count` threads need, unless it is there."""
        version = self.serial if count == 1 else self.parallel
        if (version, id(signature)) in self._ready:
            return
        with threads.lock():
            version.disable_compile(False)
            version.compile(signature)
            version.disable_compile()
            self._ready.add((version, id(signature)))


class _Notice(event.Listener):
    """Says once why the first run takes longer."""

    said = False

    def on_start(self, event):
        module = getattr(event.data.get("dispatcher"), "__module__", None) or ""
        if not self.said and module.startswith(__package__):
            _Notice.said = True
            kept = "kept on disk, so only this once" if FOLDER else "no folder to keep them in is writable"
            print(f"compiling the kernels for this machine ({kept}) ...", file=sys.stderr, flush=True)

    def on_end(self, event):
        pass


event.register("numba:compile", _Notice())
