"""What can be computed again, kept on disk: each content in a file of its own, behind a checksum.

It never ends a run. Where a file is damaged, a folder is read-only or a disk is full, there is nothing kept.
"""

import hashlib
import os
import shutil
import sys
import time
from contextlib import suppress
from functools import cache
from pathlib import Path

from . import files

KEPT = 7 * 24 * 3600  # seconds without use after which a folder is removed


class Folder:
    """A folder outside the package for what is compiled from one of the package's folders, named `name`.

    Its own name has a digest of the modules there, of those that keep and hand out memory, and of all
    versions. So after an edit of these or an update it is another folder, and nothing stale is found.
    """

    def __init__(self, name, *versions):
        here = Path(__file__).parent
        modules = here / "memory.py", here / "kept.py", *sorted((here / name).glob("*.py"))
        made_from = repr((sys.version, *versions)).encode(), *(path.read_bytes() for path in modules)
        digest = hashlib.sha256(b"".join(made_from)).hexdigest()
        home = os.environ.get("XDG_CACHE_HOME") or os.path.expanduser("~/.cache")
        self.path = Path(os.environ.get("NUMBA_CACHE_DIR") or home, "minivae", f"{name}-{digest[:16]}")
        self.name = name
        self.tidy, self.announce = cache(self._tidy), cache(self._announce)  # once in a process

    def _place(self, name, version):
        return self.path / f"{name}-{hashlib.sha256(version.encode()).hexdigest()[:24]}"

    def load(self, name, version):
        """The content kept under this name for this version, or None."""
        self.tidy()
        with suppress(OSError):
            found = self._place(name, version).read_bytes()
            if found == _behind_checksum(found[32:], name, version):
                return found[32:]
        return None

    def save(self, content, name, version):
        """Keep a content, if it can be written."""
        with suppress(ValueError), files.replacing(self._place(name, version)) as file:
            file.write(_behind_checksum(content, name, version))

    def _announce(self):
        """Say why the first run takes longer."""
        writable = os.access(self.path, os.W_OK)
        place = "kept on disk, so only this once" if writable else "no folder to keep them in is writable"
        print(f"compiling the {self.name} for this machine ({place}) ...", file=sys.stderr, flush=True)

    def _tidy(self):
        """Mark the folder as used, and remove those of its name that no process has used for a week.

        Removing one is always safe: a process that needs it after all computes again.
        """
        with suppress(OSError):
            self.path.mkdir(parents=True, exist_ok=True)
            os.utime(self.path)
            for other in self.path.parent.glob(f"{self.name}-{'[0-9a-f]' * 16}"):
                if not other.is_symlink() and time.time() - other.stat().st_mtime > KEPT:
                    shutil.rmtree(other, ignore_errors=True)


def _behind_checksum(content, name, version):
    return hashlib.sha256((name + version).encode() + content).digest() + content
