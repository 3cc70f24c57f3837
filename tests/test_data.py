"""The shipped MNIST is the published one; pixels are what they are said to be; bad arrays say why."""

import hashlib
import math
import os
import struct
import zipfile

import numpy as np
import oracles
import pytest

import minivae as mv
from minivae import data

DIGESTS = {  # SHA-256 of the four uncompressed IDX files
    "x_train": "ba891046e6505d7aadcbbe25680a0738ad16aec93bde7f9b65e87a2fc25776db",
    "y_train": "65a50cbbf4e906d70832878ad85ccda5333a97f0f4c3dd2ef09a8a9eef7101c5",
    "x_test": "0fa7898d509279e482958e8ce81c8e77db3f2f8254e26661ceb7762c4d494ce7",
    "y_test": "ff7bcfd416de33731a308c3f266cc351222c34898ecbeaf847f06e48f7ec33f2",
}


@pytest.fixture(scope="module")
def mnist():
    return mv.load_mnist()


@pytest.mark.parametrize("name", list(DIGESTS))
def test_idx_files(mnist, name):
    """Magic number 0x08 (unsigned bytes) and the rank, the sizes big-endian, then the bytes."""
    array = getattr(mnist, name)
    assert array.dtype == np.uint8
    assert array.shape[1:] == ((784,) if name.startswith("x") else ())
    array = array.reshape(-1, 28, 28) if name.startswith("x") else array
    header = struct.pack(f">4B{array.ndim}I", 0, 0, 8, array.ndim, *array.shape)
    assert hashlib.sha256(header + array.tobytes()).hexdigest() == DIGESTS[name]


def test_grey_and_threshold():
    images = np.array([[0, 127, 128, 255]], np.uint8)
    grey = data.minibatch(images, "grey", None)
    assert grey.dtype == np.float32
    np.testing.assert_allclose(grey, images / 255, rtol=1e-7)
    assert data.minibatch(images, "threshold", None).tolist() == [[0, 0, 1, 1]]
    assert data.minibatch(images / 255, "threshold", None).tolist() == [[0, 0, 1, 1]]
    assert data.minibatch(images, "grey", None, np.float64).dtype == np.float64


@pytest.mark.parametrize("floats", [False, True])
def test_dynamic_pixels_are_bernoulli(floats):
    """P(1) = pixel / 255 within 5 standard errors at each of 256 levels: false alarm 1.5e-4 (seed fixed)."""
    n = 20_000
    levels = np.broadcast_to(np.arange(256, dtype=np.uint8), (n, 256))
    images = levels / 255 if floats else levels
    x = data.minibatch(images, "dynamic", np.random.default_rng(1))
    assert set(np.unique(x)) == {0.0, 1.0}
    p = np.arange(256) / 255
    off = (x.mean(axis=0) - p)[1:-1] / np.sqrt(p * (1 - p) / n)[1:-1]
    assert np.abs(off).max() < oracles.FALSE_ALARM
    assert not x[:, 0].any()
    assert x[:, 255].all()


def test_dynamic_draws_anew_and_by_the_seed():
    images = np.full((4, 50), 128, np.uint8)
    rng = np.random.default_rng(3)
    first, second = data.minibatch(images, "dynamic", rng), data.minibatch(images, "dynamic", rng)
    assert np.any(first != second)
    np.testing.assert_array_equal(first, data.minibatch(images, "dynamic", np.random.default_rng(3)))


def test_the_static_draw_is_pinned(mnist):
    """The same for every run, other for training and test: the pixels that are 1, by their numbers."""
    images = np.full((3, 50), 128, np.uint8)
    once = data.prepare(data.Dataset(images, None, images, None, (5, 10)), "static", (0, 1))
    assert set(np.unique(once.x_train)) == {0, 255}
    assert set(np.unique(data.minibatch(once.x_train, "static", None))) == {0.0, 1.0}
    ones = [np.flatnonzero(row)[[0, 9, -1]].tolist() for row in (*once.x_train, *once.x_test)]
    assert ones == [[0, 21, 48], [0, 17, 49], [0, 13, 48], [1, 18, 48], [0, 19, 49], [0, 22, 48]]
    digits = mnist.x_train[:50]
    drawn = data.prepare(data.Dataset(digits, None, digits, None, (28, 28)), "static", (0, 1)).x_train
    assert abs(drawn.mean() - digits.mean()) < 5 * 255 * 0.5 / np.sqrt(digits.size)


def test_the_split_is_pinned(tmp_path):
    """A tenth, at most 10,000 images, held out by one seeded shuffle."""
    images = np.arange(30 * 6, dtype=np.uint8).reshape(30, 2, 3)
    dataset = data.load_dataset(saved(tmp_path, images))
    assert dataset.image_shape == (2, 3)
    assert (dataset.x_test[:, 0] // 6).tolist() == [15, 24, 7]
    assert (dataset.x_train[:5, 0] // 6).tolist() == [26, 12, 16, 18, 14]
    assert dataset.y_train is None
    both = np.concatenate([dataset.x_train, dataset.x_test])
    assert sorted(both.tolist()) == sorted(images.reshape(30, 6).tolist())
    many = data.load_dataset(saved(tmp_path, np.zeros((110_000, 1), np.uint8)))
    assert many.x_test.shape == (10_000, 1)


def test_labels_stay_with_their_images(tmp_path):
    images = np.arange(30, dtype=np.uint8)[:, None] * 8
    np.savez(tmp_path / "own.npz", data=images, target=images[:, 0].astype(str))
    dataset = data.load_dataset(tmp_path / "own.npz")
    assert dataset.x_train.ravel().astype(str).tolist() == dataset.y_train.tolist()
    assert dataset.x_test.ravel().astype(str).tolist() == dataset.y_test.tolist()


def test_pixel_mean(mnist):
    images = mnist.x_train[:100]
    for pixels in ("grey", "threshold"):
        want = data.minibatch(images, pixels, None, np.float64).mean(axis=0)
        np.testing.assert_allclose(data.pixel_mean(images, pixels), want, atol=1e-7)
    np.testing.assert_allclose(data.pixel_mean(images, "dynamic"), data.pixel_mean(images, "grey"))
    np.testing.assert_allclose(data.pixel_mean(images / 255, "grey"), data.pixel_mean(images, "grey"))


# ------------------------------------------------------------------------------ files of one's own


def saved(tmp_path, array, name="images.npy"):
    np.save(tmp_path / name, array)
    return str(tmp_path / name)


SHAPES = [  # of the array, what is given, image_shape
    ((4, 784), None, (28, 28)),
    ((4, 16), None, (4, 4)),
    ((4, 560), None, (560,)),
    ((4, 768), None, (768,)),
    ((4, 560), (28, 20), (28, 20)),
    ((4, 560), [28, 20, 1], (28, 20)),
    ((4, 768), (16, 16, 3), (16, 16, 3)),
    ((4, 16), (16,), (16,)),
    ((4, 5, 3), None, (5, 3)),
    ((4, 5, 3, 1), None, (5, 3)),
    ((4, 1, 5, 4), None, (5, 4)),
    ((4, 5, 6, 3), None, (5, 6, 3)),
    ((4, 3, 5, 6), None, (5, 6, 3)),
]


@pytest.mark.parametrize(("array", "given", "shape"), SHAPES)
def test_the_shape_of_an_image(tmp_path, array, given, shape):
    """Every row holds its pixels in the order of image_shape, wherever the file has its channels."""
    images = np.arange(math.prod(array)).reshape(array) / math.prod(array)
    dataset = data.load_dataset(saved(tmp_path, images), given)
    assert dataset.image_shape == shape
    assert ("give --image-shape" in dataset.found) == (given is None and len(shape) == 1)
    rows = np.moveaxis(images, 1, 3) if array == (4, 3, 5, 6) else images
    rows = rows.reshape(4, -1).astype(np.float32)
    assert sorted([*dataset.x_train.tolist(), *dataset.x_test.tolist()]) == rows.tolist()


def test_a_table_of_few_columns_is_no_image(tmp_path):
    """Iris has 4 columns, in centimetres; 0 and 1 in 4 columns may be the bars of a toy problem."""
    for array, scaling, shape in (
        (np.array([[5.1, 3.5, 1.4, 0.2]] * 3), "none", (4,)),
        (np.array([[5.1, 3.5, 1.4, 0.2]] * 3), "scale", (4,)),
        (np.array([[0, 1, 0, 1]] * 3), "none", (2, 2)),
        (np.array([[0, 1, 0, 1]] * 3), "standardize", (4,)),
    ):
        assert data.load_dataset(saved(tmp_path, array), scaling=scaling).image_shape == shape


@pytest.mark.parametrize("given", [(5, 5), (28, 28, 3), (2, 2, 2, 3), (784, 1, 1, 1), (4, 7, 28)])
def test_a_shape_that_does_not_fit(given):
    with pytest.raises(ValueError, match=r"MNIST holds 784 numbers .* --image-shape .* does not fit"):
        data.load_dataset(None, given)


def test_bad_arguments():
    with pytest.raises(ValueError, match="scaling must be one of none, scale, standardize"):
        data.load_dataset(None, scaling="minmax")
    for given in ((28.0, 28), "28,28", (True, 784), (-28, -28)):
        with pytest.raises((ValueError, TypeError), match="image_shape must be an integer"):
            data.load_dataset(None, given)


@pytest.mark.parametrize(
    ("array", "stored"),
    [
        (np.array([[0, 255], [3, 4]]), [[0, 255], [3, 4]]),
        (np.array([[0, 1], [1, 0]]), [[0, 255], [255, 0]]),
        (np.array([[False, True], [True, True]]), [[0, 255], [255, 255]]),
        (np.array([[0.25, 1.0], [0.0, 0.5]]), [[0.25, 1.0], [0.0, 0.5]]),
        (np.array([[0.25, 1.0], [0.0, 0.5]], ">f8"), [[0.25, 1.0], [0.0, 0.5]]),
    ],
)
def test_what_integers_and_floats_mean(tmp_path, array, stored):
    dataset = data.load_dataset(saved(tmp_path, array))
    both = np.concatenate([dataset.x_train, dataset.x_test])
    assert both.dtype == (np.float32 if array.dtype.kind == "f" else np.uint8)
    assert sorted(both.tolist()) == sorted(stored)


def test_an_npz_may_bring_its_own_split_and_labels(tmp_path):
    path = tmp_path / "own.npz"
    labels = {"y_train": np.arange(5), "y_test": np.arange(2)}
    np.savez(path, x_train=np.ones((5, 4)), x_test=np.zeros((2, 4)), **labels)
    dataset = data.load_dataset(path)
    assert dataset.x_train.shape == (5, 4)
    assert dataset.y_test.tolist() == [0, 1]
    np.savez(path, pictures=np.ones((20, 4)))
    assert len(data.load_dataset(path).x_train) == 18


BAD_FILES = {
    "missing": (None, "does not exist"),
    "empty": (b"", "is empty"),
    "objects": (np.array([[1, "a"], [None, 2]], object), r"holds Python objects; .* \.astype\(float\)"),
    "strings": (np.array([["a", "b"], ["c", "d"]]), "must hold real numbers"),
    "complex": (np.ones((3, 4), complex), "must hold real numbers"),
    "vector": (np.ones(5), r"must hold images \(N, D\), \(N, h, w\) or \(N, h, w, 3\)"),
    "four channels": (np.ones((5, 2, 2, 4)), "must hold images"),
    "five axes": (np.ones((5, 2, 2, 2, 3)), "must hold images"),
    "scalar": (np.array(3.0), "must hold images"),
    "no images": (np.ones((0, 4)), "must hold images"),
    "huge": (np.full((4, 4), 1e300), r"must fit float32, got 1e\+300 at index"),
    "no pixels": (np.ones((4, 0)), "must hold images"),
    "one image": (np.ones((1, 4)), "at least two images"),
    "nan": (np.full((4, 4), np.nan), "must be finite, got nan at index"),
    "infinity": (np.full((4, 4), np.inf), "must be finite, got inf at index"),
    "too large": (np.full((4, 4), 256), "must hold integers in 0 to 255"),
    "negative": (np.full((4, 4), -1), "must hold integers in 0 to 255"),
    "large test": ({"x_train": np.eye(3, dtype=int), "x_test": np.full((4, 3), 256)}, "got 0 to 256"),
    "unlike": ({"x_train": np.ones((4, 3)), "x_test": np.ones((4, 2))}, "images of one size"),
    "a zip of pictures": ({"x.png": b"picture"}, "is a zip archive whose entry x.png is not an array"),
    "no array in it": ({"x.npy": b"picture"}, "is a damaged array file"),
    "labels": (dict.fromkeys(("x_train", "x_test", "y_train"), np.ones((4, 3))), "labels must have shape"),
    "several": ({"a": np.ones((4, 3)), "b": np.ones((4, 3))}, "must hold one array, x_train and x_test, or"),
}


@pytest.mark.parametrize("kind", list(BAD_FILES))
def test_bad_files(tmp_path, kind):
    content, message = BAD_FILES[kind]
    path = tmp_path / ("bad.npz" if isinstance(content, dict) else "bad.npy")
    if isinstance(content, bytes):
        path.write_bytes(content)
    elif isinstance(content, dict) and isinstance(next(iter(content.values())), bytes):
        with zipfile.ZipFile(path, "w") as archive:
            archive.writestr(*content.popitem())
    elif isinstance(content, dict):
        np.savez(path, **content)
    elif content is not None:
        np.save(path, content, allow_pickle=True)
    with pytest.raises((ValueError, TypeError), match=message) as error:
        data.load_dataset(path)
    assert str(path) in str(error.value)


def test_what_is_no_regular_file(tmp_path):
    os.mkfifo(tmp_path / "fifo")
    (tmp_path / "loop").symlink_to(tmp_path / "loop")
    for name, message in (("", "is a folder"), ("fifo", "is not a regular"), ("loop", "is not a regular")):
        with pytest.raises(ValueError, match=message):
            data.load_dataset(tmp_path / name)


@pytest.mark.parametrize("name", ["train", "test"])
@pytest.mark.parametrize("value", [-1.0, 2.0, np.nan])
def test_images_outside_the_support(name, value):
    good = data.Dataset(np.zeros((3, 4)), None, np.zeros((1, 4)), None, (2, 2))
    bad = good._replace(**{f"x_{name}": np.full((2, 4), value)})
    for pixels, support in (("grey", (0, 1)), ("dynamic", (-np.inf, np.inf))):
        said = rf"{name} images must lie in \[0, 1\] for {pixels} .* \[{value}.*add --scale, .* --standardize"
        with pytest.raises(ValueError, match=said):
            data.prepare(bad, pixels, support)
    if not np.isnan(value):
        assert data.prepare(bad, "grey", (-np.inf, np.inf)) is bad
    with pytest.raises(ValueError, match="pixels must be one of"):
        data.prepare(good, "sepia", (0, 1))


def test_digest_tells_data_apart():
    zeros, ones = np.zeros((3, 4)), np.ones((3, 4))
    first = data.Dataset(zeros, None, zeros, None, (2, 2))
    others = ("x_train", ones), ("x_train", zeros.T), ("x_train", zeros.astype(int)), ("x_test", ones)
    digests = {data.digest(first._replace(**{name: images})) for name, images in others}
    assert len(digests | {data.digest(first)}) == 5
    assert data.digest(first) == data.digest(first._replace(x_train=zeros.copy(), found="elsewhere"))
    pinned = "2e08bb659f6ce563215733179d4da70939c19715189182cb2161ad3b72b6c525"
    assert data.digest(first) == pinned  # or earlier runs could not be resumed


def test_pixels_are_drawn_as_before():
    """As rng.integers draws them, which leaves the generator in the same state: runs keep their bits."""
    rng, twin = np.random.default_rng(3), np.random.default_rng(3)
    for shape in ((128, 784), (5, 3), (1, 1), (7, 1), (2000, 784)):
        images = rng.integers(0, 256, shape, dtype=np.uint8)
        assert np.array_equal(twin.integers(0, 256, shape, dtype=np.uint8), images)
        want = twin.integers(0, 255, shape, dtype=np.uint8) < images
        np.testing.assert_array_equal(mv.binarize(images, rng), want)
        assert rng.bit_generator.state == twin.bit_generator.state


def test_images_of_ones_own_from_python():
    """Only uint8, True and False, and floats in [0, 1] are drawn from; a list will do."""
    rng = np.random.default_rng(0)
    assert mv.binarize([[0.0, 1.0]], rng).tolist() == [[False, True]]
    assert mv.binarize(np.array([[False, True]]), rng).tolist() == [[False, True]]
    for bad in (np.full((2, 2), np.nan), np.full((2, 2), -0.1), np.full((2, 2), 1.5)):
        with pytest.raises(ValueError, match="images must"):
            mv.binarize(bad, rng)
    for bad in (np.arange(4).reshape(2, 2), np.ones((2, 2), complex), np.array([["a"]])):
        with pytest.raises(TypeError, match="images must"):
            mv.binarize(bad, rng)
        with pytest.raises(TypeError, match="images must"):
            data.minibatch(bad, "grey", rng)
    with pytest.raises(TypeError, match=r"rng must be a numpy.random.Generator, got None"):
        mv.binarize(np.ones((2, 2)), None)


def test_both_sets_are_scaled_alike(tmp_path):
    path = tmp_path / "own.npz"
    np.savez(path, x_train=np.array([[0, 1]]), x_test=np.array([[0, 200]]))
    dataset = data.load_dataset(path)
    assert (dataset.x_train.tolist(), dataset.x_test.tolist()) == ([[0, 1]], [[0, 200]])
    np.savez(path, x_train=np.array([[0, 1]]), x_test=np.array([[0.0, 0.5]]))
    dataset = data.load_dataset(path)
    assert dataset.x_train.dtype == dataset.x_test.dtype == np.float32
    assert dataset.x_test.tolist() == [[0.0, 0.5]]
