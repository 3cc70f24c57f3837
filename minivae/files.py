"""Write a file whole or not at all, and never over one that is somebody else's.

A file is written beside its place and renamed into it, so that a crash or a full disk leaves the old one as
it was. Everything that minivae writes carries its mark near the beginning (a PNG's metadata, the first entry
of a JSON or npz file, the header of the metrics), and a file without the mark is never replaced.
"""

import csv
import io
import os
from contextlib import suppress
from pathlib import Path

HEAD = 1024  # bytes from the start in which a mark must stand
# (how the file begins, what stands in its head): JSON, JSON of a benchmark, metrics, records, npz, PNG
MARKS = (
    (b'{\n  "minivae":', b""),
    (b'{\n "written by": "minivae', b""),
    (b"epoch,train_loss,train_nll,train_kl,test_loss,test_nll,test_kl,seconds\n", b""),
    (b"minivae,", b""),
    (b"PK", b"minivae.npy"),
    (b"\x89PNG", b"Software\0minivae"),
)


def is_ours(path):
    """Whether a file at `path` carries the mark."""
    if not os.path.isfile(path) or os.path.islink(path):
        return False
    with open(path, "rb") as file:
        head = file.read(HEAD)
    return any(head.startswith(start) and mark in head for start, mark in MARKS)


def require_ours(path):
    """Refuse to write where something stands that minivae did not write."""
    if os.path.lexists(path) and not is_ours(path):
        raise ValueError(f"{path} exists and was not written by minivae; move it away or choose another name")


def write(path, data):
    """Put bytes at `path` in one step: all of them, or the old content stays and ValueError says why."""
    path = Path(path)
    require_ours(path)
    partial = path.with_name(f".{path.name}.part")
    try:
        with open(partial, "wb") as file:
            file.write(data)
            file.flush()
            os.fsync(file.fileno())
        os.replace(partial, path)
    except OSError as error:
        _remove(partial)
        raise ValueError(f"{path} cannot be written: {error.strerror}; what stood there stands") from None
    except BaseException:
        _remove(partial)
        raise


def to_csv(records):
    """The bytes of a CSV with a line for each dictionary; its first column, `minivae`, is the mark."""
    records = list(records)
    columns = ["minivae", *dict.fromkeys(key for record in records for key in record)]
    text = io.StringIO(newline="")
    writer = csv.DictWriter(text, columns, lineterminator="\n")
    writer.writeheader()
    writer.writerows({"minivae": "variance", **record} for record in records)
    return text.getvalue().encode()


def _remove(partial):
    with suppress(OSError):
        partial.unlink(missing_ok=True)
