"""Read the arrays in a file of images or of a table: .npy, .npz, IDX or CSV, each gzipped or not.

The first bytes of a file determine its kind, not its name. An .npz may hold a training and a test set:
x_train and x_test, train_images and test_images, and so on. Its labels are y, labels or target, or y_train
and y_test; in a CSV they are a column of such a name. A CSV column without a name holds row numbers and is
skipped.
"""

import csv
import gzip
import io
import math
import os
import re
import warnings
from contextlib import contextmanager

import numpy as np

# names of arrays and columns in any case, in an .npz also joined with train or test
IMAGES = ("x", "images", "image", "data", "features", "inputs", "pixels", "")
LABELS = ("y", "labels", "label", "targets", "target", "classes", "class")
STORE = "in Python, store its data as one array, (N, h, w) or (N, D), with numpy.save"
FOREIGN = {  # the first bytes of files that cannot be read
    rb"\x89PNG|GIF8|\xff\xd8\xff|II\*\0|MM\0\*": "is one picture",
    rb"\x80[\2-\5]": "is a pickle",
    rb"\x89HDF": "is an HDF5 file",
    rb"MATLAB": "is a MATLAB file",
    rb"\xff\xfe|\xfe\xff": "is text in UTF-16, not in UTF-8",
    rb"[^\0-\x08\x0e-\x1f]*[\0-\x08\x0e-\x1f]": "is not .npy, .npz, IDX or CSV, nor one of them gzipped",
}
IDX_TYPES = {8: "u1", 9: "i1", 11: ">i2", 12: ">i4", 13: ">f4", 14: ">f8"}


def read(path):
    """The sets of images in a file -> [(images, labels or None)]: one set, or a training and a test set.

    Raises ValueError that says what the file is instead, and how to convert it.
    """
    try:
        if not path.is_file():
            other = "is not a regular file but a pipe, a device or a link that leads nowhere"
            reason = f"is a folder; {STORE}" if path.is_dir() else other
            raise ValueError(reason if os.path.lexists(path) else "does not exist")
        content = path.read_bytes()
    except OSError as error:
        raise ValueError(f"cannot be read: {error.strerror}") from None
    if content.startswith(b"\x1f\x8b"):
        with _damage("gzip file"):
            content = gzip.decompress(content)
    if content.startswith((b"\x93NUMPY", b"PK")):
        return _numpy(content)
    if content[:2] == b"\0\0" and content[2:3] and content[2] in IDX_TYPES:
        return [(_idx(content), None)]
    for start, kind in FOREIGN.items():
        if re.match(start, content[:1024]):
            raise ValueError(f"{kind}; {STORE}")
    return [_csv(content)]


@contextmanager
def _damage(kind):
    """Turn any error of a library about a damaged file into a ValueError of one sentence."""
    try:
        yield
    except Exception as error:
        if "Object arrays" in str(error):
            advice = "convert them with .astype(float), labels with .astype(str)"
            raise ValueError(f"holds Python objects; {advice}") from None
        raise ValueError(f"is a damaged {kind}: {' '.join(str(error).split())[:100]}") from None


def _numpy(content):
    """The array in an .npy, or the arrays in an .npz that have a known name."""
    with _damage("array file"):
        loaded = np.load(io.BytesIO(content), allow_pickle=False)
    if isinstance(loaded, np.ndarray):
        return [(loaded, None)]
    if other := [name for name in loaded.zip.namelist() if not name.endswith(".npy")]:
        raise ValueError(f"is a zip archive whose entry {other[0]} is not an array; {STORE}")
    sets = _sets(loaded.files)

    def array(name):
        return None if name is None else np.lib.format.read_array(loaded.zip.open(f"{name}.npy"))

    with _damage("array file"):
        return [(array(images), array(labels)) for images, labels in sets]


def _sets(names):
    """The names of each set's images and labels in an .npz -> [(name, name or None)]."""

    def named(words, split):
        plain = {re.sub("[^a-z0-9]", "", name.lower()): name for name in names}
        keys = [key for word in words for key in (word + split, split + word) if key]
        return next((plain[key] for key in keys if key in plain), None)

    for splits in (("train", "test"), ("",), ("train",), ("test",)):
        sets = [(named(IMAGES, split), named(LABELS, split)) for split in splits]
        if all(images is not None for images, _ in sets):
            return sets
    labels = named(LABELS, "") if len(names) > 1 else None
    images = [name for name in names if name != labels]
    if len(images) != 1:
        held = ", ".join(names[:10]) or "nothing"
        raise ValueError(f"must hold one array, x_train and x_test, or images and labels; it holds {held}")
    return [(images[0], labels)]


def _idx(content):
    """The array in an IDX file: 0, 0, type, rank, the sizes as big-endian integers, then the numbers."""
    dtype, rank = np.dtype(IDX_TYPES[content[2]]), content[3] if len(content) > 3 else 0
    sizes = [int.from_bytes(content[i : i + 4], "big") for i in range(4, 4 + 4 * rank, 4)]
    size = 4 + 4 * rank + math.prod(sizes) * dtype.itemsize
    if not 1 <= rank <= 4 or len(content) != size:
        shape = tuple(sizes[:4])
        raise ValueError(f"is a damaged IDX file: {len(content):,} bytes, but its header says {shape}")
    if rank == 1:
        raise ValueError("is an IDX file of labels, one number for each image; give the file of the images")
    return np.frombuffer(content, dtype, offset=4 + 4 * rank).reshape(sizes)


def _csv(content):
    """The numbers in a text table, and the labels if its header names them."""
    lines = [line for line in content.decode("utf-8-sig", "replace").splitlines() if line.strip()]
    if not lines:
        raise ValueError("is empty")
    lines[0] = lines[0].lstrip("# ")  # numpy.savetxt begins a header with it
    delimiter = next((mark for mark in ";\t," if mark in lines[0]), None)
    with _damage("CSV file"):
        row = next(csv.reader(lines[:1], delimiter=delimiter)) if delimiter else lines[0].split()
    names = [name.strip(' "') for name in row]
    numbers = [name for name in names if _is_number(name)]
    counted = len(numbers) > 3 and numbers == [str(i + int(numbers[0] == "1")) for i in range(len(numbers))]
    header = counted if numbers else any(names)  # with other numbers it is a row of data
    names = names if header else [str(i + 1) for i in range(len(names))]
    label = next((i for i, name in enumerate(names) if name.lower() in LABELS), None)
    unnamed = [i for i, name in enumerate(names) if name in ("", "Unnamed: 0")]
    kinds = {}  # the text of a label: its number in the table
    converters = dict.fromkeys(unnamed, lambda text: 0)
    if label is not None:
        converters[label] = lambda text: kinds.setdefault(text.strip(), len(kinds))
    settings = {"delimiter": delimiter, "quotechar": '"', "comments": None, "ndmin": 2}
    try:
        with warnings.catch_warnings(action="ignore"):  # of no rows, which is refused later
            table = np.loadtxt(lines[header:], converters=converters, **settings)
    except ValueError as error:
        found = re.match(r"could not convert string (.*) to float64 at row (\d+), column (\d+)", str(error))
        if not found or int(found[3]) > len(names):
            raise ValueError("is text, but its rows have different numbers of columns") from None
        place = f"column {names[int(found[3]) - 1]}, row {int(found[2]) + 1}"
        advice = "give numbers, leave the column out, or name it label in a header"
        raise ValueError(f"holds {found[1]} in {place}, which is not a number; {advice}") from None
    if not table.size:
        raise ValueError("is text, but holds no row of numbers")
    if table.shape[1] != len(names):
        raise ValueError(f"must have a name for each of its {table.shape[1]} columns, got {len(names)}")
    images = _whole(np.delete(table, [*converters], axis=1))
    if label is None:
        return images, None
    values = _whole(np.array([*kinds], float)) if all(map(_is_number, kinds)) else np.array([*kinds])
    return images, values[table[:, label].astype(int)]


def _whole(values):
    """Floats as integers if all of them are whole numbers."""
    small = np.all(np.abs(values) < 2**31)
    return values.astype(np.int64) if small and np.array_equal(values, np.rint(values)) else values


def _is_number(text):
    try:
        float(text)
    except ValueError:
        return False
    return True
