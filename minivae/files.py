"""Write files, checkpoints and folders completely or not at all, and replace only what minivae has written.

Everything is written under a temporary name beside its place and then moved there in one step: a crash or a
full disk leaves the old file as it was. Everything that minivae writes carries its mark near the beginning.
"""

import errno
import io
import os
import re
import secrets
import shutil
import stat
from contextlib import contextmanager, suppress
from itertools import count
from pathlib import Path

import numpy as np

FORMAT = 1  # of a checkpoint
HEAD = 1024  # the mark is in this many bytes from the start
MARKS = (  # config.json, the lab's JSON; evaluate's CSV, metrics.csv, the lab's; checkpoint, picture, page
    rb'\{\n  "minivae":|\{\n "written by": "minivae',
    rb"image,(label,)?nll|epoch,train_loss,train_nll,train_kl,test_loss,test_nll,test_kl,seconds\n|minivae,",
    rb"PK.*minivae\.npy|\x89PNG.*Software\0minivae|<!doctype html>\n<!-- minivae",
)


def is_ours(path):
    """Whether `path` is a regular file, not a link to one, that carries the mark."""
    if not os.path.isfile(path) or os.path.islink(path):
        return False
    with open(path, "rb") as file:
        return re.match(b"|".join(MARKS), file.read(HEAD), re.DOTALL) is not None


def require_ours(path):
    """Refuse to replace anything that minivae did not write."""
    if os.path.lexists(path) and not is_ours(path):
        raise ValueError(f"{path} exists and was not written by minivae; move it away or choose another name")


def temporary(folder):
    """A name in `folder` that cannot be guessed."""
    return Path(folder, f".minivae-{secrets.token_hex(8)}")


def write(path, data):
    """Put bytes at `path` in one step, with the permissions of the file they replace.

    Raises ValueError, and leaves the old file as it was, if they cannot all be written.
    """
    require_ours(path)
    with replacing(Path(path)) as file:
        file.write(data)


@contextmanager
def replacing(path):
    """A binary file to write, which takes the place of `path` at the end, or is gone after an exception."""
    partial = temporary(path.parent)
    try:
        with open(partial, "xb") as file:  # exclusive: follows no link and replaces nothing
            if path.exists():
                os.chmod(partial, stat.S_IMODE(path.stat().st_mode))
            yield file
            file.flush()
            os.fsync(file.fileno())
        os.replace(partial, path)
    except OSError as error:
        raise ValueError(f"{path} cannot be written: {error.strerror}") from None
    finally:
        with suppress(OSError):  # gone if it has replaced the old file
            os.unlink(partial)


# ------------------------------------------------------------------------------ checkpoints


def save_arrays(path, arrays):
    """Write named arrays as one .npz, which holds a checksum of each."""
    buffer = io.BytesIO()
    np.savez(buffer, **{"minivae": np.array(FORMAT), **arrays})  # the mark comes first
    write(path, buffer.getvalue())


def load_arrays(path):
    """Named arrays from such an .npz -> dictionary. ValueError if it is missing, damaged, or not ours."""
    try:
        with np.load(io.BytesIO(Path(path).read_bytes()), allow_pickle=False) as archive:
            arrays = {name: np.asarray(archive[name]) for name in archive.files}
        version = arrays.pop("minivae").tolist()
    except OSError as error:
        raise ValueError(f"checkpoint {path} cannot be read: {error.strerror}") from None
    except Exception as error:  # a damaged zip fails in many ways
        reason = "is damaged" if is_ours(path) else "is not a minivae checkpoint"
        raise ValueError(f"checkpoint {path} {reason}: {error}") from None
    if version != FORMAT:
        raise ValueError(f"checkpoint {path} has format {version}, this minivae reads format {FORMAT}")
    return arrays


def entry(arrays, name, like):
    """One of these arrays. ValueError unless finite, of the dtype and, if not empty, shape of `like`."""
    saved = arrays.get(name, np.array(None))
    grown = like.shape[:1] == (0,) and saved.ndim == like.ndim
    fits = saved.shape[grown:] == like.shape[grown:]
    fits = fits and (saved.dtype == like.dtype or saved.dtype.kind == like.dtype.kind == "U")
    if not fits or (like.dtype.kind != "U" and not np.isfinite(saved).all()):
        wanted = f"{name}, finite, of shape {like.shape} and type {like.dtype}"
        raise ValueError(f"the checkpoint must hold {wanted}; it holds {saved.dtype} {saved.shape}")
    return saved


# ------------------------------------------------------------------------------ folders


def new_folder(save, out, overwrite, names):
    """Make a folder that `save(folder)` fills: `out`, or by default the next number under runs/ -> Path.

    The folder appears complete or not at all. An existing one is replaced if `overwrite` is given and it
    holds only files that minivae wrote, with these `names`.
    """
    folder = Path("runs/1" if out is None else out)
    exists = out is not None and os.path.lexists(folder)
    if exists and (folder.is_symlink() or not folder.is_dir()):
        raise ValueError(f"--out {folder} is a file or a link, expected a folder")
    if exists and not overwrite:
        raise ValueError(f"--out {folder} already exists; add --overwrite to replace the run that it holds")
    new, old = temporary(folder.parent), temporary(folder.parent)
    try:
        new.mkdir(parents=True)
        save(new)
        if exists:
            _require_only(folder, names)
            shutil.copymode(folder, new)
            folder.rename(old)
        folder = _next_number(new) if out is None else new.rename(folder)
    except OSError as error:
        raise ValueError(f"--out {folder} cannot be made: {error.strerror}") from None
    except ValueError as error:  # of a file in it, which has not got its name yet
        raise ValueError(str(error).replace(str(new), str(folder))) from None
    finally:
        shutil.rmtree(new, ignore_errors=True)  # gone if it has become the folder
        if old.exists() and not os.path.lexists(folder):
            old.rename(folder)
    if exists:
        shutil.rmtree(old)
    return folder


def _require_only(folder, names):
    for path in sorted(folder.iterdir()):
        left_by_a_kill = re.fullmatch(r"\.minivae-[0-9a-f]{16}", path.name)
        if not left_by_a_kill and not (path.name in names and is_ours(path)):
            raise ValueError(f"--out {folder} holds {path.name}, which is not a run's; choose another folder")


def _next_number(new):
    """Rename a folder to the next free number -> Path. A rename never replaces a folder that holds files."""
    taken = [int(path.name) for path in new.parent.iterdir() if path.name.isdecimal()]
    for number in count(max(taken, default=0) + 1):
        try:
            return new.rename(new.with_name(str(number)))
        except OSError as error:
            if error.errno not in (errno.ENOTEMPTY, errno.EEXIST):
                raise
