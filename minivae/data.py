"""Images in, minibatches out: MNIST, which comes with the package, or an array of your own.

Images stay in memory as they are stored, MNIST as uint8; `minibatch` turns the rows it receives into floats.
How it reads a grey pixel is a choice, and numbers from different choices do not compare:

    dynamic    1 with probability pixel / 255, drawn anew each time: a likelihood, used for most published
               numbers; the test set is drawn anew too, from a seed of its own
    static     one such draw, seeded and kept: a likelihood, but about 2 nats worse on the test set than
               dynamic, because a model can memorize the one draw
    threshold  1 where the pixel is 128 or more: a likelihood of an easier set of images, comparable with
               thresholded results only
    grey       pixel / 255, unchanged: with the Gaussian likelihood a density; with Bernoulli a
               cross-entropy but no likelihood, comparable only with itself
"""

import hashlib
import os
from pathlib import Path
from typing import NamedTuple

import numpy as np

from . import arguments

PIXELS = ("dynamic", "static", "threshold", "grey")
STATIC_SEED = 1  # the one draw is the same for every run, whatever the run's own seed
SPLIT_SEED = 2


class MNIST(NamedTuple):
    """LeCun, Cortes and Burges 1998: 60,000 and 10,000 grey digits of 28 x 28, one row each."""

    x_train: np.ndarray  # (60000, 784) uint8
    y_train: np.ndarray  # (60000,) uint8
    x_test: np.ndarray  # (10000, 784) uint8
    y_test: np.ndarray  # (10000,) uint8


class Dataset(NamedTuple):
    """What training needs: two sets of images, their labels if there are any, and the shape of an image."""

    x_train: np.ndarray  # (N, D) uint8, or floats
    y_train: np.ndarray | None  # (N,)
    x_test: np.ndarray
    y_test: np.ndarray | None
    image_shape: tuple  # (h, w), h * w = D


def load_mnist():
    """The MNIST digits from the file inside the package."""
    with np.load(Path(__file__).with_name("mnist.npz")) as arrays:
        x_train, x_test = arrays["x_train"], arrays["x_test"]
        return MNIST(x_train.reshape(-1, 784), arrays["y_train"], x_test.reshape(-1, 784), arrays["y_test"])


def load_dataset(path=None):
    """MNIST, or the images in a .npy or .npz file, as a Dataset.

    The file holds one array (N, D) or (N, h, w); a tenth of it, at most 10,000 images, is held out as the
    test set by a seeded shuffle. An .npz may instead name its own x_train and x_test, and y_train and
    y_test with labels. Integers run from 0 to 255, or from 0 to 1 if none is larger; floats are taken
    unchanged. Raises ValueError or TypeError with the file's name and what is wrong in it.
    """
    if path is None:
        return Dataset(*load_mnist(), (28, 28))
    try:
        return _dataset(_read(Path(path)))
    except (ValueError, TypeError) as error:
        raise type(error)(f"data file {path} {error}") from None


def digest(dataset):
    """SHA-256 of the images, by which a resumed run recognizes its data."""
    total = hashlib.sha256()
    for images in (dataset.x_train, dataset.x_test):
        total.update(f"{images.dtype} {images.shape}".encode())
        total.update(np.ascontiguousarray(images))
    return total.hexdigest()


def binarize(images, rng):
    """A Bernoulli draw of every pixel: P(1) = pixel / 255 for uint8, = pixel for floats in [0, 1]."""
    images = _stored(images)
    arguments.generator("rng", rng)
    if images.dtype == np.uint8:
        return rng.integers(0, 255, images.shape, dtype=np.uint8) < images  # 255 levels, so exact
    return rng.random(images.shape) < arguments.cast("images", images, images.dtype, 0, 1)


def minibatch(images, pixels, rng, dtype=np.float32):
    """Images (B, D) as stored -> x (B, D) floats; `pixels` is the rule, one of PIXELS."""
    arguments.one_of("pixels", pixels, PIXELS)
    if pixels == "dynamic":
        return binarize(images, rng).astype(dtype)
    images = _stored(images)
    grey = images / np.float32(255) if images.dtype == np.uint8 else images
    if pixels == "threshold":
        return (grey > 0.5).astype(dtype)  # 128 and more, since 127 / 255 < 1/2
    return grey.astype(dtype, copy=False)  # "static" images were binarized when they were prepared


def pixel_mean(images, pixels):
    """Mean over images (N, D) of the x that `minibatch` returns -> (D,)."""
    if pixels == "threshold":
        return minibatch(images, pixels, None, bool).mean(axis=0)
    return images.mean(axis=0, dtype=np.float64) / (255 if images.dtype == np.uint8 else 1)


def prepare(dataset, pixels, support):
    """Check that images lie in the likelihood's support; make the one draw if pixels are static."""
    arguments.one_of("pixels", pixels, PIXELS)
    low, high = support if pixels == "grey" else (0, 1)
    for name, images in (("train", dataset.x_train), ("test", dataset.x_test)):
        least, most = (0, 0) if images.dtype == np.uint8 else (images.min(), images.max())
        if not low <= least <= most <= high:
            wanted = f"lie in [{low:g}, {high:g}] for {pixels} pixels and this likelihood"
            advice = "rescale them, or use --likelihood gaussian --pixels grey"
            raise ValueError(f"{name} images must {wanted}, got values in [{least}, {most}]; {advice}")
    if pixels != "static":
        return dataset
    train, test = (np.random.default_rng(s) for s in np.random.SeedSequence(STATIC_SEED).spawn(2))
    return dataset._replace(
        x_train=binarize(dataset.x_train, train) * np.uint8(255),
        x_test=binarize(dataset.x_test, test) * np.uint8(255),
    )


def _stored(images):
    """Images as uint8 or floats; True and False become 255 and 0."""
    images = arguments.numeric("images", images)
    if images.dtype.kind == "b":
        return images * np.uint8(255)
    if images.dtype != np.uint8 and images.dtype.kind != "f":
        raise TypeError(f"images must be uint8 from 0 to 255, or floats, got {arguments.describe(images)}")
    return images


def _read(path):
    """Every array in a .npy or .npz file, by name."""
    if not path.is_file():
        reason = "is not a regular file" if os.path.lexists(path) else "does not exist"
        raise ValueError(reason + " (it is a folder)" * path.is_dir())
    try:
        with open(path, "rb") as file:
            loaded = np.load(file, allow_pickle=False)
            arrays = {"images": loaded} if isinstance(loaded, np.ndarray) else dict(loaded)
    except OSError as error:
        raise ValueError(f"cannot be read: {error}") from None
    except Exception as error:  # a damaged zip fails in many ways
        content = "Python objects" if "Object arrays" in str(error) else "damaged data, or other data"
        raise ValueError(f"is no .npy or .npz array file: it holds {content}") from None
    for name, array in arrays.items():
        if not isinstance(array, np.ndarray):
            raise ValueError(f"is no .npz array file: its entry {name} is not an array")
    return arrays


def _dataset(arrays):
    """The images of a file, checked, split and stored as rows, with their labels."""
    split = "x_train" in arrays and "x_test" in arrays
    if not split and len(arrays) != 1:
        names = ", ".join(arrays) or "nothing"
        raise ValueError(f"must hold one array, or x_train and x_test; it holds {names}")
    names = ("x_train", "x_test") if split else arrays
    sets = [_checked(arrays[name]) for name in names]
    if not split:
        (images,) = sets
        if len(images) < 2:
            raise ValueError("must hold at least two images, one for training and one for testing")
        held_out = min(max(1, len(images) // 10), 10_000)
        order = np.random.default_rng(SPLIT_SEED).permutation(len(images))
        sets = images[order[held_out:]], images[order[:held_out]]
    train, test = sets
    if train.shape[1:] != test.shape[1:]:
        raise ValueError("must hold images of one size in x_train and x_test")
    image_shape = train.shape[1:] if train.ndim == 3 else most_square(train.shape[1])
    labels = [arrays.get("y_train"), arrays.get("y_test")]
    for y, images in zip(labels, sets, strict=True):
        if y is not None and y.shape != images.shape[:1]:
            raise ValueError(f"has labels of shape {y.shape}; labels must have shape {images.shape[:1]}")
    train, test = (images.reshape(len(images), -1) for images in sets)
    if "f" in train.dtype.kind + test.dtype.kind:
        train, test = train.astype(np.float32), test.astype(np.float32)
    else:
        low, high = min(train.min(), test.min()), max(train.max(), test.max())
        if low < 0 or high > 255:
            raise ValueError(f"must hold integers in 0 to 255, got {low} to {high}")
        scale = np.uint8(255 if high <= 1 else 1)
        train, test = train.astype(np.uint8) * scale, test.astype(np.uint8) * scale
    return Dataset(train, labels[0], test, labels[1], image_shape)


def _checked(images):
    if images.dtype.kind not in "buif":
        raise TypeError(f"must hold real numbers, got {arguments.describe(images)}")
    if images.ndim not in (2, 3) or images.size == 0:
        raise ValueError(f"must hold images (N, D) or (N, h, w), got {arguments.describe(images)}")
    return arguments.cast("holds images that", images, np.float32) if images.dtype.kind == "f" else images


def most_square(size):
    """(h, w) with h * w = size and h as near to w as possible: how a row of pixels is drawn."""
    height = next(h for h in range(int(size**0.5), 0, -1) if size % h == 0)
    return height, size // height
