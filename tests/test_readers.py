"""Every kind of file gives the arrays that are in it, whatever its name; every other file says what it is."""

import codecs
import gzip
import io
import os
import pickle
import struct

import numpy as np
import pytest

from minivae import data, readers

IMAGES = np.arange(24, dtype=np.uint8).reshape(4, 2, 3) * 10
SIGNED = IMAGES.astype(int) // 2 - 60
LABELS = np.array([3, 1, 1, 0])


def npy(array):
    np.save(buffer := io.BytesIO(), array)
    return buffer.getvalue()


def npz(**arrays):
    np.savez(buffer := io.BytesIO(), **arrays)
    return buffer.getvalue()


def idx(array, code):
    return struct.pack(f">4B{array.ndim}I", 0, 0, code, array.ndim, *array.shape) + array.tobytes()


def table(array, delimiter=",", header="", end="\n"):
    rows = [delimiter.join(map(str, row)) for row in array.tolist()]
    return end.join([header, *rows] if header else rows).encode()


@pytest.fixture
def read(tmp_path):
    def read(content):
        path = tmp_path / "file"
        path.write_bytes(content)
        return readers.read(path)

    return read


ROWS = IMAGES.reshape(4, 6)
TABLES = {
    "commas": table(ROWS),
    "semicolons": table(ROWS, ";", end="\r\n"),
    "tabs": table(ROWS, "\t", "a\tb\tc\td\te\tf"),
    "spaces": table(ROWS, "  "),
    "a header": table(ROWS, header='"a, b",c,d,e,f,g'),
    "a header of numbers": table(ROWS, header="0,1,2,3,4,5"),
    "a header with numbers": table(np.c_[ROWS[:, 0], ROWS], header=",1,2,3,4,5,6"),
    "a header of savetxt": table(ROWS, header="# a,b,c,d,e,f"),
    "a byte order mark": codecs.BOM_UTF8 + table(ROWS, header="a,b,c,d,e,f"),
    "Latin-1": b"Gr\xf6\xdfe,b,c,d,e,f\n" + table(ROWS),
    "quotes and blanks": table(ROWS).replace(b",10,", b',"10", ') + b"\n\n",
}


@pytest.mark.parametrize("pack", [bytes, gzip.compress])
def test_the_content_tells_the_kind(read, pack):
    for content, want in (
        (npy(IMAGES), IMAGES),
        (npz(pictures=IMAGES), IMAGES),
        *((content, ROWS) for content in TABLES.values()),
        (idx(IMAGES, 0x08), IMAGES),
        (idx(SIGNED.astype("i1"), 0x09), SIGNED),
        (idx(SIGNED.astype(">i2"), 0x0B), SIGNED),
        (idx(SIGNED.astype(">i4"), 0x0C), SIGNED),
        (idx(SIGNED.astype(">f4"), 0x0D), SIGNED),
        (idx(SIGNED.astype(">f8"), 0x0E), SIGNED),
    ):
        ((images, labels),) = read(pack(content))
        np.testing.assert_array_equal(images, want)
        assert (images.dtype.kind == "f") == (content[:4] in (b"\0\0\x0d\3", b"\0\0\x0e\3"))
        assert labels is None


def test_a_table_of_fractions(read):
    fractions = np.array([[0.5, -1e-3], [2, 3]])
    ((images, _),) = read(table(fractions))
    np.testing.assert_array_equal(images, fractions)


@pytest.mark.parametrize(
    ("names", "want"),
    [
        ("x y", ["x y"]),
        ("X y", ["X y"]),
        ("data target", ["data target"]),
        ("images labels", ["images labels"]),
        ("faces labels", ["faces labels"]),
        ("labels", ["labels -"]),
        ("data images target extra", ["images target"]),
        ("x_train x_test", ["x_train -", "x_test -"]),
        ("y_test x_test x_train y_train", ["x_train y_train", "x_test y_test"]),
        ("train test", ["train -", "test -"]),
        ("train_images train_labels val_images test_images", ["train_images train_labels", "test_images -"]),
        ("X_train y_train", ["X_train y_train"]),
        ("arr_0", ["arr_0 -"]),
        ("arr_0 arr_1", None),
        ("x_train extra", ["x_train -"]),
        ("y_train y_test", None),
        ("", None),
    ],
)
def test_the_names_in_an_npz(read, names, want):
    """Each array holds a number of its own, by which it is recognized."""
    arrays = {name: np.full(3, number) for number, name in enumerate(names.split())}
    if want is None:
        with pytest.raises(ValueError, match=f"it holds {', '.join(arrays) or 'nothing'}$"):
            read(npz(**arrays))
    else:
        found = dict(enumerate(arrays))
        sets = [["-" if a is None else found[int(a[0])] for a in pair] for pair in read(npz(**arrays))]
        assert list(map(" ".join, sets)) == want


@pytest.mark.parametrize(
    ("column", "labels"),
    [
        ("3 1 1 0", LABELS),
        ("3.5 1 1 0", [3.5, 1, 1, 0]),
        ("a b b c", list("abbc")),
        ("3 b b 0", list("3bb0")),
    ],
)
@pytest.mark.parametrize("name", ["label", "Target", "class", "y"])
def test_a_column_of_labels(read, column, labels, name):
    """It may be anywhere; the column of row numbers that pandas writes is no data."""
    lines = [f",a,{name},b", *(f"{i},{10 * i},{label},200" for i, label in enumerate(column.split()))]
    ((images, found),) = read("\n".join(lines).encode())
    np.testing.assert_array_equal(images, [[0, 200], [10, 200], [20, 200], [30, 200]])
    np.testing.assert_array_equal(found, labels)
    assert found.dtype.kind == np.asarray(labels).dtype.kind


REFUSED = {
    "is empty": b"",
    "is empty ": b"\n \n",
    "is one picture; .* numpy.save": b"\x89PNG\r\n\x1a\n\0\0",
    "is one picture": b"\xff\xd8\xff\xe0",
    "is a pickle; in Python": pickle.dumps([1, 2]),
    "is an HDF5 file": b"\x89HDF\r\n",
    "is a MATLAB file": b"MATLAB 5.0 MAT-file",
    "is text in UTF-16": "a,b\n1,2".encode("utf-16"),
    "is not .npy, .npz, IDX or CSV": b"abc\0",
    "is a damaged gzip file": gzip.compress(table(ROWS))[:-9],
    "is a damaged array file": npy(IMAGES)[:-1],
    "is a damaged array file: Bad CRC": npz(x=IMAGES).replace(IMAGES.tobytes(), bytes(24)),
    r"is a damaged IDX file: 39 bytes, but its header says \(4, 2, 3\)": idx(IMAGES, 8)[:-1],
    "is a damaged IDX file: 1,024 bytes": b"\0\0\x08\xff" * 256,
    "is a damaged IDX file": b"\0\0\x08",
    "is an IDX file of labels": idx(LABELS.astype("u1"), 8),
    "holds 'setosa' in column species, row 1, which is not a number": b"a,species\n1,setosa\n",
    "holds '' in column b, row 2": b"a,b\n1,2\n3,\n",
    "holds '' in column 1, row 1": b",2,5\n1,2,3",
    "holds '[?]' in column 1, row 1": b"?,0\n1,2",
    "holds '0,5' in column a, row 1": b"a;b\n0,5;1",
    "rows have different numbers of columns": b"1,2\n3\n",
    "rows have different numbers of columns ": b"label,a\n1,2\n3,4,5\n",
    "must have a name for each of its 3 columns, got 2": b"a,b\n1,2,3\n",
    "holds no row of numbers": b"Hello world",
}


@pytest.mark.parametrize("said", list(REFUSED))
def test_what_is_refused(read, said):
    with pytest.raises(ValueError, match=said.strip()):
        read(REFUSED[said])


def test_only_the_arrays_that_are_needed_are_read(read):
    """scikit-learn's digits hold a frame, which is None."""
    objects = np.array([None])
    ((images, labels),) = read(npz(data=IMAGES, target=LABELS, frame=objects))
    np.testing.assert_array_equal(images, IMAGES)
    np.testing.assert_array_equal(labels, LABELS)
    with pytest.raises(ValueError, match=r"holds Python objects; .* labels with \.astype\(str\)"):
        read(npz(data=IMAGES, target=objects))


def test_a_damaged_file_ends_in_one_sentence(tmp_path):
    """300 files with bytes changed, cut out, added: each is data, or refused by name in one line."""
    rng, path, outcomes = np.random.default_rng(0), tmp_path / "file", set()
    whole = [
        npy(IMAGES),
        npz(x_train=IMAGES, x_test=IMAGES),
        idx(IMAGES, 8),
        npy(ROWS / 255),
        *TABLES.values(),
    ]
    whole += [gzip.compress(content) for content in whole]
    for number in range(300):
        content = bytearray(whole[number % len(whole)])
        for _ in range(rng.integers(1, 4)):
            start, size = rng.integers(len(content)), rng.integers(4)
            content[start : start + size] = rng.bytes(rng.integers(4))
        path.write_bytes(content)
        try:
            dataset, said = data.load_dataset(path, scaling=data.SCALINGS[number % 3]), ""
        except (ValueError, TypeError) as error:
            dataset, said = None, str(error)
        assert np.isfinite(dataset.x_train).all() if dataset else str(path) in said
        assert "\n" not in said
        outcomes.add(dataset is None)
    assert outcomes == {True, False}


@pytest.mark.skipif(os.geteuid() == 0, reason="root reads everything")
def test_an_unreadable_file(tmp_path):
    (path := tmp_path / "file").write_bytes(npy(IMAGES))
    path.chmod(0)
    with pytest.raises(ValueError, match="cannot be read: Permission denied"):
        readers.read(path)
