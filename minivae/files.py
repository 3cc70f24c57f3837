"""Write a file whole or not at all, and never over one that is somebody else's.

A file is written beside its place and renamed into it, so that a crash or a full disk leaves the old one as
it was. Everything that minivae writes carries its mark near the beginning (a PNG's metadata, the first entry
of a JSON or npz file, the header of the metrics), and a file without the mark is never replaced.
"""

import os
from pathlib import Path

MARKS = (b"minivae", b"epoch,train_loss,train_nll,train_kl,test_loss,test_nll,test_kl,seconds")
HEAD = 1024  # bytes from the start in which a mark must stand


def is_ours(path):
    """Whether a file at `path` carries the mark."""
    try:
        with open(path, "rb") as file:
            head = file.read(HEAD)
    except OSError:
        return False
    return any(mark in head for mark in MARKS)


def require_ours(path):
    """Refuse to write where something stands that minivae did not write."""
    if os.path.lexists(path) and not is_ours(path):
        raise ValueError(f"{path} exists and was not written by minivae; move it away or choose another name")


def write(path, data):
    """Put bytes at `path` in one step: all of them, or the old content stays."""
    path = Path(path)
    require_ours(path)
    partial = path.with_name(f".{path.name}.part")
    try:
        with open(partial, "wb") as file:
            file.write(data)
            file.flush()
            os.fsync(file.fileno())
        os.replace(partial, path)
    except BaseException:
        partial.unlink(missing_ok=True)
        raise
