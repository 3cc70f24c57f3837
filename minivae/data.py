"""Load data and make minibatches: MNIST, which comes with the package, or your own file.

Images stay in memory as they are stored, MNIST as uint8; `minibatch` turns the rows it receives into floats.
There are four treatments of grey pixels, and their losses are not comparable:

    dynamic    1 with probability pixel / 255, drawn anew each time: a likelihood, used for most published
               numbers; the test set is also drawn anew, from its own seed
    static     one such draw with a fixed seed: a likelihood, but about 2 nats worse on the test set than
               dynamic, because a model can memorize the one draw
    threshold  1 where the pixel is 128 or more: a likelihood of an easier set of images, comparable with
               thresholded results only
    grey       pixel / 255: a density with the Gaussian likelihood; with Bernoulli a cross-entropy, which is
               not a likelihood and comparable only with itself
"""

import hashlib
import math
from pathlib import Path
from typing import NamedTuple

import numpy as np

from . import arguments, memory, readers

PIXELS = ("dynamic", "static", "threshold", "grey")
REAL = "--standardize --likelihood gaussian"  # the options of `train` for a table of real numbers
SCALINGS = ("none", "scale", "standardize")
STATIC_SEED = 1  # the static draw is the same for every run, whatever its seed
SPLIT_SEED = 2


class MNIST(NamedTuple):
    """LeCun, Cortes and Burges 1998: 60,000 and 10,000 grey digits of 28 x 28, one row each."""

    x_train: np.ndarray  # (60000, 784) uint8
    y_train: np.ndarray  # (60000,) uint8
    x_test: np.ndarray  # (10000, 784) uint8
    y_test: np.ndarray  # (10000,) uint8


class Dataset(NamedTuple):
    """The data of a run: training and test images, their labels if any, and the shape of an image."""

    x_train: np.ndarray  # (N, D) uint8, or floats
    y_train: np.ndarray | None  # (N,)
    x_test: np.ndarray
    y_test: np.ndarray | None
    image_shape: tuple  # (h, w), or (h, w, 3) for colour, or (D,) for a row of a table
    shift: np.ndarray | None = None  # (D,) float32: x = (stored - shift) / scale
    scale: np.ndarray | None = None
    found: str = ""  # one line that describes the data and their scaling


def load_mnist():
    """The MNIST digits from the file inside the package."""
    with np.load(Path(__file__).with_name("mnist.npz")) as arrays:
        x_train, x_test = arrays["x_train"], arrays["x_test"]
        return MNIST(x_train.reshape(-1, 784), arrays["y_train"], x_test.reshape(-1, 784), arrays["y_test"])


def load_dataset(path=None, image_shape=None, scaling="none", real=REAL):
    """MNIST, or the images or the table in a file that `readers` can read, as a Dataset.

    The file holds rows (N, D) or images (N, h, w), (N, h, w, 1) or, in colour, (N, h, w, 3). If it has no
    test set, a tenth of it, at most 10,000, is held out by a seeded shuffle. `image_shape` is (h, w),
    (h, w, 3), or (D,) for a table. Without it, rows are square images if D is a square number, and otherwise
    a table. For D below 64 they are also a table if they are floats outside [0, 1] or are to be standardized.

    `scaling` "none" takes floats unchanged, and integers as pixel / 255 if the largest is in 128 to 255,
    unchanged if it is at most 1; it refuses other integers. "scale" maps the range of the training set to
    [0, 1], one shift and scale for all columns. "standardize" gives each column of the training set mean 0
    and variance 1; a constant column becomes 0.

    Raises ValueError or TypeError with the name of the file, the problem in it and, for a table of real
    numbers, the options `real` that read it.
    """
    arguments.one_of("scaling", scaling, SCALINGS)
    mnist = load_mnist() if path is None else None
    source = "MNIST" if mnist else f"data file {path}"
    try:
        sets = [mnist[:2], mnist[2:]] if mnist else readers.read(Path(path))
        with np.errstate(all="ignore"):  # what overflows is refused
            dataset = _dataset(sets, image_shape, scaling, real)
    except (ValueError, TypeError) as error:
        raise type(error)(f"{source} {error}") from None
    return dataset._replace(found=f"{source}: {dataset.found}")


def digest(dataset, labels=False):
    """SHA-256 of the images, and of the labels if asked: a resumed run checks that its data are the same."""
    total = hashlib.sha256()
    arrays = dataset.x_train, dataset.x_test, *((dataset.y_train, dataset.y_test) if labels else ())
    for array in arrays:
        total.update(f"{array.dtype} {array.shape}".encode())
        total.update(np.ascontiguousarray(array))
    return total.hexdigest()


def binarize(images, rng):
    """A Bernoulli draw of every pixel: P(1) = pixel / 255 for uint8, P(1) = pixel for floats in [0, 1]."""
    images = _stored(images)
    arguments.generator("rng", rng)
    if images.dtype == np.uint8:
        return _levels(images.size, rng).reshape(images.shape) <= images  # 255 levels, so exact
    return rng.random(images.shape) < arguments.cast("images", images, images.dtype, 0, 1)


def _levels(size, rng):
    """rng.integers(1, 256, size, np.uint8), the same draws in a third of the time: bytes without zeros."""
    levels = b""
    while missing := size - len(levels):
        more = rng.integers(2**32, size=-(-missing // 4), dtype=np.uint32)  # four levels in each
        levels += more.astype("<u4", copy=False).tobytes().replace(b"\0", b"")[:missing]
    return np.frombuffer(levels, np.uint8)


def minibatch(images, pixels, rng, dtype=np.float32):
    """Stored images (B, D) -> x (B, D) floats; `pixels` is one of PIXELS."""
    arguments.one_of("pixels", pixels, PIXELS)
    if pixels == "dynamic":
        return memory.converted(binarize(images, rng), dtype)
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


def moments(images, pixels):
    """Mean and variance over images (N, D) of the x that `minibatch` returns -> (D,), (D,)."""
    mean = pixel_mean(images, pixels)
    if pixels != "grey":
        return mean, mean * (1 - mean)  # of zeros and ones
    unit = 255.0 if images.dtype == np.uint8 else 1.0
    squares = np.einsum("nd,nd->d", images, images, dtype=np.float64) / len(images) / unit**2
    return mean, np.maximum(squares - mean * mean, 0)


def unscale(x, shift, scale):
    """x (..., D) in the units of the file: x * scale + shift, with shift and scale from a Dataset."""
    return x if shift is None else x * scale + shift


def prepare(dataset, pixels, support, real=REAL):
    """Check that images lie in the likelihood's support; make the static draw if pixels are static.

    Test images outside it are clipped if the scale came from the training set, and `found` says so.
    """
    arguments.one_of("pixels", pixels, PIXELS)
    low, high = support if pixels == "grey" else (0, 1)
    for name, images in (("train", dataset.x_train), ("test", dataset.x_test)):
        least, most = (0, 0) if images.dtype == np.uint8 else (images.min(), images.max())
        if low <= least <= most <= high:
            continue
        if name == "test" and dataset.shift is not None:
            outside = np.count_nonzero((images < low) | (images > high))
            found = f"{dataset.found}; {outside:,} test values outside the training set's range are clipped"
            dataset = dataset._replace(x_test=images.clip(low, high), found=found)
            continue
        wanted = f"lie in [{low:g}, {high:g}] for {pixels} pixels and this likelihood"
        table = f"{real} --pixels grey"
        advice = f"add --scale, or for a table {table}" if dataset.shift is None else f"use {table}"
        raise ValueError(f"{name} images must {wanted}, got values in [{least!s}, {most!s}]; {advice}")
    if pixels != "static":
        return dataset
    train, test = (np.random.default_rng(s) for s in np.random.SeedSequence(STATIC_SEED).spawn(2))
    return dataset._replace(
        x_train=binarize(dataset.x_train, train) * np.uint8(255),
        x_test=binarize(dataset.x_test, test) * np.uint8(255),
    )


def most_square(size):
    """(h, w) with h * w = size and h as near to w as possible, to draw a row of pixels as a picture."""
    height = next(h for h in range(int(size**0.5), 0, -1) if size % h == 0)
    return height, size // height


def _stored(images):
    """Images as uint8 or floats; True and False become 255 and 0."""
    images = arguments.numeric("images", images)
    if images.dtype.kind == "b":
        return images * np.uint8(255)
    if images.dtype != np.uint8 and images.dtype.kind != "f":
        raise TypeError(f"images must be uint8 from 0 to 255, or floats, got {arguments.describe(images)}")
    return images


# ------------------------------------------------------------------------------ from arrays to a Dataset


def _dataset(sets, image_shape, scaling, real):
    """One or two sets (images, labels), checked, split, scaled and described, as a Dataset."""
    sets = [(_images(x), y if y is None else _labels(y, len(x))) for x, y in sets]
    if len(sets) == 1:
        ((x, y),) = sets
        if len(x) < 2:
            raise ValueError("must hold at least two images, one for training and one for testing")
        held_out = min(max(1, len(x) // 10), 10_000)
        order = np.random.default_rng(SPLIT_SEED).permutation(len(x))
        sets = [(x[rows], y if y is None else y[rows]) for rows in (order[held_out:], order[:held_out])]
    (train, y_train), (test, y_test) = sets
    inner = train.shape[1:]
    if test.shape[1:] != inner:
        raise ValueError(f"must hold images of one size, got {inner} to train and {test.shape[1:]} to test")
    train, test = train.reshape(len(train), -1), test.reshape(len(test), -1)
    floats = "f" in train.dtype.kind + test.dtype.kind
    low, high = min(train.min(), test.min()), max(train.max(), test.max())
    low, high = (np.float32(low), np.float32(high)) if floats else (int(low), int(high))
    pixels = scaling != "standardize" and (not floats or 0 <= low <= high <= 1)
    shape = _shape(inner, train.shape[1], image_shape, pixels)
    shift = scale = None
    advice = "; if the rows are images, give --image-shape H,W" * (len(shape) == 1 and image_shape is None)
    if scaling != "none":
        train, test, shift, scale = _scaled(train, test, scaling)
        read = "scaled to [0, 1]" if scaling == "scale" else "each column standardized"
    elif floats:
        train, test, read = train.astype(np.float32), test.astype(np.float32), "read as they are"
        advice += "; values so large train badly without --standardize" * bool(max(-low, high) > 20)
    elif low < 0 or 1 < high < 128 or high > 255:
        wanted = f"must hold integers in 0 to 255 or 0 to 1, got {low} to {high}, which is another range"
        raise ValueError(f"{wanted}: add --scale, or for a table {real}")
    else:
        read = "read as they are" if high <= 1 else "read as pixel / 255"
        train, test = (x.astype(np.uint8, copy=False) for x in (train, test))
        train, test = (x * np.uint8(255) if high <= 1 else x for x in (train, test))
    size = " x ".join(map(str, shape))
    things = f"rows of {size} columns" if len(shape) == 1 else f"images of {size}"
    numbers = f"{'floats' if floats else 'integers'} {low!s} to {high!s}"
    labels = "without labels" if y_train is None else "with labels"
    found = f"{len(train):,} + {len(test):,} {things}, {numbers}, {read}, {labels}{advice}"
    return Dataset(train, y_train, test, y_test, shape, shift, scale, found)


def _images(x):
    """Real, finite images (N, D), (N, h, w) or (N, h, w, 3), from channels first, last or absent."""
    if x.dtype.kind not in "buif":
        raise TypeError(f"must hold real numbers, got {arguments.describe(x)}")
    if x.ndim == 4 and x.shape[3] not in (1, 3) and x.shape[1] in (1, 3):
        x = np.moveaxis(x, 1, 3)  # channels first, as PyTorch has them
    x = x[..., 0] if x.ndim == 4 and x.shape[3] == 1 else x
    if x.size == 0 or (x.ndim not in (2, 3) and x.shape[3:] != (3,)):
        wanted = "images (N, D), (N, h, w) or (N, h, w, 3)"
        raise ValueError(f"must hold {wanted}, got {arguments.describe(x)}")
    if x.dtype.kind == "f":
        arguments.cast("holds values that", x, np.float32)
    return x


def _labels(y, number):
    """Labels (N,), numbers or text."""
    if y.dtype.kind not in "buifSU":
        raise TypeError(f"has labels that are neither numbers nor text: {arguments.describe(y)}")
    if y.shape not in ((number,), (number, 1)):
        raise ValueError(f"has labels of shape {y.shape}; labels must have shape {(number,)}")
    y = np.char.decode(y, "utf-8", "replace") if y.dtype.kind == "S" else y
    return y.reshape(number)


def _shape(inner, size, given, pixels):
    """The image_shape of arrays (N, *inner) with `size` numbers per row; `pixels`: may they be pixels?"""
    if given is None:
        side = math.isqrt(size)
        square = side * side == size and (pixels or size >= 64)
        return inner if len(inner) > 1 else (side, side) if square else (size,)
    given = given if isinstance(given, tuple | list) else [given]
    given = tuple(arguments.integer("image_shape", n) for n in given)
    given = given[:2] if given[2:] == (1,) else given
    if math.prod(given) != size or given[2:] not in ((), (3,)):
        text = ",".join(map(str, given))
        raise ValueError(f"holds {size} numbers for each image; --image-shape {text} does not fit them")
    return given


def _scaled(train, test, scaling):
    """-> train, test (N, D) as x = (stored - shift) / scale, with shift, scale (D,) from the training set."""
    wide = np.result_type(train, test, np.float32)
    axis = None if scaling == "scale" else 0
    low, high = (np.broadcast_to(f(axis=axis), train.shape[1:]).astype(wide) for f in (train.min, train.max))
    shift, scale = low, high - low
    if scaling == "standardize":
        shift, scale = train.mean(axis=0, dtype=np.float64), train.std(axis=0, dtype=np.float64)
    shift, scale = (np.where(low == high, a, b).astype(wide) for a, b in ((low, shift), (1, scale)))
    train, test = (np.subtract(x, shift, dtype=wide) / scale for x in (train, test))
    return [arguments.cast("holds values that, scaled,", x, np.float32) for x in (train, test, shift, scale)]
