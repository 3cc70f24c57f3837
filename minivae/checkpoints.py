"""A checkpoint: named arrays in one .npz that is written whole, checked whole, and loads no pickles.

The archive's comment holds the SHA-256 of everything before it. A flipped bit, a missing tail or a file of
some other program is therefore told apart from a checkpoint before any of its arrays is looked at.
"""

import hashlib
import io
import zipfile
from pathlib import Path

import numpy as np

from . import files

FORMAT = 1
DIGEST = 64  # hexadecimal digits at the end of the file


def save(path, arrays):
    """Write a dictionary of arrays; the file at `path` is the old or the new one at every moment."""
    buffer = io.BytesIO()
    np.savez(buffer, **{"minivae": np.array(FORMAT), **arrays})  # the mark of `files` comes first
    with zipfile.ZipFile(buffer, "a") as archive:
        archive.comment = b"0" * DIGEST
    body = buffer.getvalue()[:-DIGEST]
    files.write(path, body + hashlib.sha256(body).hexdigest().encode())


def load(path):
    """Read the dictionary back. Raises ValueError for a file that is missing, damaged, or not ours."""
    path = Path(path)
    try:
        data = path.read_bytes()
    except OSError as error:
        raise ValueError(f"checkpoint {path} cannot be read: {error.strerror}") from None
    if hashlib.sha256(data[:-DIGEST]).hexdigest().encode() != data[-DIGEST:]:
        reason = "is damaged" if files.is_ours(path) else "is not a minivae checkpoint"
        raise ValueError(f"checkpoint {path} {reason}: its checksum does not fit its content")
    with np.load(io.BytesIO(data), allow_pickle=False) as archive:
        arrays = {name: archive[name] for name in archive.files}
    version = arrays.pop("minivae")
    if version != FORMAT:
        raise ValueError(f"checkpoint {path} has format {version}, this minivae reads format {FORMAT}")
    return arrays
