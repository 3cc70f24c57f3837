"""Images in, minibatches out: MNIST as it ships with the package, or an array of your own.

Images stay in memory as they are stored, MNIST as uint8; `minibatch` makes floats of the rows it is asked
for. What it makes of a grey pixel is a choice, and numbers from different choices do not compare:

    dynamic    1 with probability pixel / 255, drawn afresh each time: a likelihood, the setting of most
               published numbers; the test set is drawn anew too, from a seed of its own
    static     one such draw, seeded and kept: a likelihood, but about 2 nats worse on the test set than
               dynamic, because a model can learn the one draw by heart
    threshold  1 where the pixel is 128 or more: a likelihood of an easier set of images; compares with
               thresholded results alone
    grey       pixel / 255, left as it is: with the Gaussian likelihood a density; with Bernoulli a
               cross-entropy but no likelihood, and it compares with nothing but itself
"""

import hashlib
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
    """What training takes: two sets of images, their labels if there are any, and how to draw one."""

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
    as they are. Raises ValueError or TypeError that name the file and what is wrong in it.
    """
    if path is None:
        return Dataset(*load_mnist(), (28, 28))
    arrays = _read(path)
    if "x_train" in arrays and "x_test" in arrays:
        train, test = arrays["x_train"], arrays["x_test"]
        labels = [arrays.get("y_train"), arrays.get("y_test")]
    elif len(arrays) == 1:
        (images,) = arrays.values()
        _check_images(images, path)
        train, test = _split(images, path)
        labels = [None, None]
    else:
        names = ", ".join(arrays) or "nothing"
        raise ValueError(f"data file {path} must hold one array, or x_train and x_test; it holds {names}")
    for images in (train, test):
        _check_images(images, path)
    if train.shape[1:] != test.shape[1:]:
        raise ValueError(f"data file {path}: x_train and x_test must hold images of one size")
    image_shape = train.shape[1:] if train.ndim == 3 else most_square(train.shape[1])
    x_train, x_test = _as_stored(train, test, path)
    labels = [_labels(y, x, path) for y, x in zip(labels, (x_train, x_test), strict=True)]
    return Dataset(x_train, labels[0], x_test, labels[1], image_shape)


def digest(dataset):
    """SHA-256 of the images, by which a resumed run knows its own data again."""
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
    """Images (B, D) as stored -> x (B, D) floats, by the rule that `pixels` names."""
    arguments.one_of("pixels", pixels, PIXELS)
    if pixels == "dynamic":
        return binarize(images, rng).astype(dtype)
    images = _stored(images)
    grey = images / np.float32(255) if images.dtype == np.uint8 else images
    if pixels == "threshold":
        return (grey > 0.5).astype(dtype)  # 128 and more, since 127 / 255 < 1/2
    return grey.astype(dtype, copy=False)  # "static" images were binarized when they were prepared


def pixel_mean(images, pixels):
    """Mean over images (N, D) of what `minibatch` makes of them -> (D,)."""
    if pixels == "threshold":
        return minibatch(images, pixels, None, bool).mean(axis=0)
    return images.mean(axis=0, dtype=np.float64) / (255 if images.dtype == np.uint8 else 1)


def prepare(dataset, pixels, support):
    """Check images against the likelihood's support; make the one draw if pixels are static."""
    arguments.one_of("pixels", pixels, PIXELS)
    low, high = support if pixels == "grey" else (0, 1)
    for name, images in (("train", dataset.x_train), ("test", dataset.x_test)):
        if images.dtype != np.uint8 and not (images.min() >= low and images.max() <= high):
            raise ValueError(
                f"{name} images must lie in [{low:g}, {high:g}] for {pixels} pixels and this likelihood, "
                f"got values in [{images.min():g}, {images.max():g}]; "
                "rescale them, or use --likelihood gaussian --pixels grey"
            )
    if pixels != "static":
        return dataset
    train, test = (np.random.default_rng(s) for s in np.random.SeedSequence(STATIC_SEED).spawn(2))
    return dataset._replace(
        x_train=binarize(dataset.x_train, train) * np.uint8(255),
        x_test=binarize(dataset.x_test, test) * np.uint8(255),
    )


def _stored(images):
    """Images as uint8 or floats, whose numbers say what they mean; True and False become 255 and 0."""
    images = arguments.numeric("images", images)
    if images.dtype.kind == "b":
        return images * np.uint8(255)
    if images.dtype != np.uint8 and images.dtype.kind != "f":
        raise TypeError(f"images must be uint8 from 0 to 255, or floats, got {arguments.describe(images)}")
    return images


def _read(path):
    """Every array in a .npy or .npz file, by name."""
    path = Path(path)
    if not path.is_file():
        raise ValueError(f"data file {path} does not exist" + " (it is a folder)" * path.is_dir())
    try:
        with open(path, "rb") as file:
            loaded = np.load(file, allow_pickle=False)
            if isinstance(loaded, np.ndarray):
                return {"images": loaded}
            return {name: loaded[name] for name in loaded.files}
    except OSError as error:
        raise ValueError(f"data file {path} cannot be read: {error}") from None
    except Exception as error:  # a damaged zip fails in many ways, every one of them the file's fault
        objects = "Object arrays" in str(error)
        text = "it holds Python objects" if objects else "it is damaged, or something else"
        raise ValueError(f"data file {path} is no .npy or .npz array file: {text}") from None


def _split(images, path):
    if len(images) < 2:
        raise ValueError(
            f"data file {path} must hold at least two images, one to train on and one to test on, "
            f"got {arguments.describe(images)}"
        )
    held_out = min(max(1, len(images) // 10), 10_000)
    order = np.random.default_rng(SPLIT_SEED).permutation(len(images))
    return images[order[held_out:]], images[order[:held_out]]


def _check_images(images, path):
    if images.dtype.kind not in "buif":
        raise TypeError(f"data file {path} must hold real numbers, got {arguments.describe(images)}")
    if images.ndim not in (2, 3) or images.size == 0:
        raise ValueError(
            f"data file {path} must hold images (N, D) or (N, h, w), got {arguments.describe(images)}"
        )
    if images.dtype.kind == "f":
        arguments.cast(f"data file {path}", images, np.float32)


def _as_stored(train, test, path):
    """Both sets as rows of uint8 from 0 to 255, or of float32 if either has floats."""
    train, test = train.reshape(len(train), -1), test.reshape(len(test), -1)
    if "f" in (train.dtype.kind, test.dtype.kind):
        return [images.astype(np.float32) for images in (train, test)]
    low, high = min(train.min(), test.min()), max(train.max(), test.max())
    if low < 0 or high > 255:
        raise ValueError(f"data file {path}: integers must lie in 0 to 255, got {low} to {high}")
    scale = np.uint8(255 if high <= 1 else 1)
    return [images.astype(np.uint8) * scale for images in (train, test)]


def _labels(labels, images, path):
    if labels is not None and labels.shape != images.shape[:1]:
        raise ValueError(f"data file {path}: labels must have shape {images.shape[:1]}, got {labels.shape}")
    return labels


def most_square(size):
    """(h, w) with h * w = size and h as near to w as can be: how a row of pixels is drawn."""
    height = next(h for h in range(int(size**0.5), 0, -1) if size % h == 0)
    return height, size // height
