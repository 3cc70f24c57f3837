"""The shipped MNIST is the published one; pixels are what they are said to be; bad files say why."""

import hashlib
import struct

import checks
import numpy as np
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
    array = array.reshape(-1, 28, 28) if name.startswith("x") else array
    header = struct.pack(f">4B{array.ndim}I", 0, 0, 8, array.ndim, *array.shape)
    assert hashlib.sha256(header + array.tobytes()).hexdigest() == DIGESTS[name]


def test_mnist_is_uint8_rows(mnist):
    assert [(a.shape, a.dtype) for a in mnist] == [
        *(((60000, 784), np.uint8), ((60000,), np.uint8)),
        *(((10000, 784), np.uint8), ((10000,), np.uint8)),
    ]


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
    assert np.abs(off).max() < checks.FALSE_ALARM
    assert not x[:, 0].any()
    assert x[:, 255].all()


def test_dynamic_draws_anew_and_by_the_seed():
    images = np.full((4, 50), 128, np.uint8)
    rng = np.random.default_rng(3)
    first, second = data.minibatch(images, "dynamic", rng), data.minibatch(images, "dynamic", rng)
    assert np.any(first != second)
    np.testing.assert_array_equal(first, data.minibatch(images, "dynamic", np.random.default_rng(3)))


def test_static_is_one_draw_for_every_run(mnist):
    raw = data.Dataset(mnist.x_train[:50], None, mnist.x_test[:50], None, (28, 28))
    once, again = (data.prepare(raw, "static", (0, 1)) for _ in range(2))
    np.testing.assert_array_equal(once.x_train, again.x_train)
    assert set(np.unique(once.x_train)) == {0, 255}
    x = data.minibatch(once.x_train, "static", None)
    assert set(np.unique(x)) == {0.0, 1.0}
    assert np.any(once.x_train[:50] != once.x_test[:50])
    assert abs(x.mean() - mnist.x_train[:50].mean() / 255) < 5 * 0.5 / np.sqrt(x.size)


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


def test_one_array_is_split(tmp_path):
    images = np.arange(30 * 6, dtype=np.uint8).reshape(30, 2, 3)
    dataset = data.load_dataset(saved(tmp_path, images))
    assert dataset.image_shape == (2, 3)
    assert dataset.x_train.shape == (27, 6)
    assert dataset.x_test.shape == (3, 6)
    assert dataset.y_train is None
    both = np.concatenate([dataset.x_train, dataset.x_test])
    assert sorted(both.tolist()) == sorted(images.reshape(30, 6).tolist())
    again = data.load_dataset(saved(tmp_path, images))
    np.testing.assert_array_equal(again.x_test, dataset.x_test)


def test_rows_are_drawn_as_square_as_can_be(tmp_path):
    for size, shape in ((784, (28, 28)), (12, (3, 4)), (7, (1, 7))):
        assert data.load_dataset(saved(tmp_path, np.ones((4, size)))).image_shape == shape


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
    np.savez(
        path, x_train=np.ones((5, 4)), x_test=np.zeros((2, 4)), y_train=np.arange(5), y_test=np.arange(2)
    )
    dataset = data.load_dataset(path)
    assert dataset.x_train.shape == (5, 4)
    assert dataset.y_test.tolist() == [0, 1]
    np.savez(path, pictures=np.ones((20, 4)))
    assert len(data.load_dataset(path).x_train) == 18


BAD_FILES = {
    "missing": (None, "does not exist"),
    "empty": (b"", "is no .npy or .npz array file"),
    "text": (b"1,2,3\n4,5,6\n", "is no .npy or .npz array file"),
    "objects": (np.array([[1, "a"], [None, 2]], object), "it holds Python objects"),
    "strings": (np.array([["a", "b"], ["c", "d"]]), "must hold real numbers"),
    "complex": (np.ones((3, 4), complex), "must hold real numbers"),
    "vector": (np.ones(5), r"must hold images \(N, D\) or \(N, h, w\)"),
    "colour": (np.ones((5, 2, 2, 3)), "must hold images"),
    "scalar": (np.array(3.0), "must hold images"),
    "no images": (np.ones((0, 4)), "must hold images"),
    "huge": (np.full((4, 4), 1e300), r"must fit float32, got 1e\+300 at index"),
    "no pixels": (np.ones((4, 0)), "must hold images"),
    "one image": (np.ones((1, 4)), "at least two images"),
    "nan": (np.full((4, 4), np.nan), "must be finite, got nan at index"),
    "infinity": (np.full((4, 4), np.inf), "must be finite, got inf at index"),
    "too large": (np.full((4, 4), 256), "integers must lie in 0 to 255"),
    "negative": (np.full((4, 4), -1), "integers must lie in 0 to 255"),
    "large test": (
        {"x_train": np.ones((4, 3), int), "x_test": np.full((4, 3), 256)},
        "integers must lie in 0 to 255",
    ),
    "unlike": ({"x_train": np.ones((4, 3)), "x_test": np.ones((4, 2))}, "images of one size"),
    "labels": (
        {"x_train": np.ones((4, 3)), "x_test": np.ones((4, 3)), "y_train": np.ones(3)},
        "labels must have shape",
    ),
    "several": ({"a": np.ones((4, 3)), "b": np.ones((4, 3))}, "must hold one array, or x_train and x_test"),
}


def bad_file(tmp_path, kind):
    """A data file of one of the bad kinds, and what must be said of it."""
    content, message = BAD_FILES[kind]
    path = tmp_path / ("bad.npz" if isinstance(content, dict) else "bad.npy")
    if isinstance(content, bytes):
        path.write_bytes(content)
    elif isinstance(content, dict):
        np.savez(path, **content)
    elif content is not None:
        np.save(path, content, allow_pickle=True)
    return str(path), message


@pytest.mark.parametrize("kind", list(BAD_FILES))
def test_bad_files(tmp_path, kind):
    path, message = bad_file(tmp_path, kind)
    with pytest.raises((ValueError, TypeError), match=message) as error:
        data.load_dataset(path)
    assert path in str(error.value)


def test_a_truncated_npz_is_said_to_be_no_array_file(tmp_path):
    path = tmp_path / "cut.npz"
    np.savez(path, images=np.ones((50, 50)))
    path.write_bytes(path.read_bytes()[:3000])
    with pytest.raises(ValueError, match=r"is no .npy or .npz array file"):
        data.load_dataset(path)


def test_a_folder_is_no_data_file(tmp_path):
    with pytest.raises(ValueError, match="it is a folder"):
        data.load_dataset(tmp_path)


def test_images_outside_the_support():
    dataset = data.Dataset(np.full((3, 4), 2.0), None, np.zeros((1, 4)), None, (2, 2))
    with pytest.raises(ValueError, match=r"train images must lie in \[0, 1\] for grey pixels .* \[2, 2\]"):
        data.prepare(dataset, "grey", (0, 1))
    assert data.prepare(dataset, "grey", (-np.inf, np.inf)) is dataset
    with pytest.raises(ValueError, match="for dynamic pixels"):
        data.prepare(dataset, "dynamic", (-np.inf, np.inf))
    with pytest.raises(ValueError, match="pixels must be one of"):
        data.prepare(dataset, "sepia", (0, 1))


def test_digest_tells_data_apart():
    first = data.Dataset(np.zeros((3, 4)), None, np.zeros((1, 4)), None, (2, 2))
    assert data.digest(first) == data.digest(first._replace(x_train=np.zeros((3, 4))))
    assert data.digest(first) != data.digest(first._replace(x_train=np.ones((3, 4))))
    assert data.digest(first) != data.digest(first._replace(x_train=np.zeros((4, 3))))
    assert data.digest(first) != data.digest(first._replace(x_test=np.ones((1, 4))))
    assert data.digest(first) != data.digest(first._replace(x_train=np.zeros((3, 4), np.int64)))


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


def test_static_train_and_test_are_separate_draws(mnist):
    images = mnist.x_train[:50]
    once = data.prepare(data.Dataset(images, None, images, None, (28, 28)), "static", (0, 1))
    assert np.any(once.x_train != once.x_test)


@pytest.mark.parametrize("name", ["train", "test"])
@pytest.mark.parametrize("value", [-1.0, 2.0])
def test_either_set_may_be_outside_the_support(name, value):
    good = data.Dataset(np.zeros((3, 4)), None, np.zeros((1, 4)), None, (2, 2))
    bad = good._replace(**{f"x_{name}": np.full((2, 4), value)})
    with pytest.raises(ValueError, match=f"{name} images must lie in"):
        data.prepare(bad, "grey", (0, 1))


def test_the_held_out_tenth_is_shuffled_and_bounded(tmp_path):
    dataset = data.load_dataset(saved(tmp_path, np.arange(200, dtype=np.uint8).reshape(200, 1)))
    assert dataset.x_test.ravel().tolist() != list(range(20))
    many = data.load_dataset(saved(tmp_path, np.zeros((110_000, 1), np.uint8)))
    assert many.x_test.shape == (10_000, 1)


def test_both_sets_are_scaled_alike(tmp_path):
    path = tmp_path / "own.npz"
    np.savez(path, x_train=np.array([[0, 1]]), x_test=np.array([[0, 200]]))
    dataset = data.load_dataset(path)
    assert (dataset.x_train.tolist(), dataset.x_test.tolist()) == ([[0, 1]], [[0, 200]])
    np.savez(path, x_train=np.array([[0, 1]]), x_test=np.array([[0.0, 0.5]]))
    dataset = data.load_dataset(path)
    assert dataset.x_train.dtype == dataset.x_test.dtype == np.float32
    assert dataset.x_test.tolist() == [[0.0, 0.5]]
