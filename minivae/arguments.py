"""Refuse a bad argument in one sentence: its name, what was expected, and what came.

Every public function calls these on its first lines. A wrong shape that NumPy would broadcast, a NaN
that would travel through ten layers, a string where an array belongs: all end here, as a `ValueError`
or a `TypeError` that a student can act on.
"""

import math
import operator

import numpy as np


def describe(value):
    """Say in a few words what a value is, for the end of an error message."""
    if isinstance(value, np.ndarray):
        return f"an array of shape {value.shape} and type {value.dtype}"
    text = repr(value)
    return f"{text if len(text) <= 60 else text[:57] + '...'} ({type(value).__name__})"


def integer(name, value, at_least=1):
    """Return `value` as an int that is at least `at_least`."""
    try:
        number = operator.index(value)
    except TypeError:
        raise TypeError(f"{name} must be an integer, got {describe(value)}") from None
    if isinstance(value, bool) or number < at_least:
        raise ValueError(f"{name} must be an integer of at least {at_least}, got {value!r}")
    return number


def number(name, value, *, above=None, at_least=None, below=None):
    """Return `value` as a finite float within the stated bounds."""
    if isinstance(value, str | bool | np.bool_):
        raise TypeError(f"{name} must be a number, got {describe(value)}")
    try:
        result = float(value)
    except (TypeError, ValueError):
        raise TypeError(f"{name} must be a number, got {describe(value)}") from None
    bounds = [f"above {above}"] * (above is not None)
    bounds += [f"at least {at_least}"] * (at_least is not None)
    bounds += [f"below {below}"] * (below is not None)
    inside = (
        math.isfinite(result)
        and (above is None or result > above)
        and (at_least is None or result >= at_least)
        and (below is None or result < below)
    )
    if not inside:
        wanted = " and ".join(["a finite number", *bounds])
        raise ValueError(f"{name} must be {wanted}, got {value!r}")
    return result


def one_of(name, value, choices):
    """Return `value` if it is one of the names in `choices`."""
    if not isinstance(value, str) or value not in choices:
        raise ValueError(f"{name} must be one of {', '.join(choices)}; got {describe(value)}")
    return value


def generator(name, rng):
    """Refuse anything but a NumPy Generator: no draw may come from somewhere hidden."""
    if not isinstance(rng, np.random.Generator):
        raise TypeError(f"{name} must be a numpy.random.Generator, got {describe(rng)}")
    return rng


def seeded(name, seed):
    """A Generator made from a seed of at least 0; a Generator as it is."""
    if isinstance(seed, np.random.Generator):
        return seed
    return np.random.default_rng(integer(name, seed, at_least=0))


def numeric(name, array):
    """Refuse arrays of objects, strings or dates; return the argument as an array."""
    try:
        array = np.asarray(array)
    except ValueError:
        raise ValueError(f"{name} must be an array: its rows have different lengths") from None
    if array.dtype.kind not in "buifc":
        raise TypeError(f"{name} must hold numbers, got {describe(array)}")
    return array


def cast(name, array, dtype, lowest=-math.inf, highest=math.inf):
    """Return `array` in the type that a model computes in, finite and within [lowest, highest].

    The smallest and the largest entry tell it all: both are NaN where any entry is.
    """
    array = numeric(name, array)
    if array.dtype.kind == "c" and np.dtype(dtype).kind != "c":
        raise TypeError(f"{name} must be real, got {describe(array)}")
    if array.size == 0:
        raise ValueError(f"{name} must not be empty, got {describe(array)}")
    given = array
    with np.errstate(over="ignore"):  # 1e300 becomes inf in float32, and is refused below
        array = array.astype(dtype, copy=False)
    real = array.real
    smallest, largest = real.min(), real.max()
    if not (np.isfinite(smallest) and np.isfinite(largest)):
        where = tuple(int(i) for i in np.argwhere(~np.isfinite(real))[0])
        wanted = f"fit {array.dtype}" if np.isfinite(given[where]) else "be finite"
        raise ValueError(f"{name} must {wanted}, got {given[where]} at index {where}")
    if smallest < lowest or largest > highest:
        raise ValueError(
            f"{name} must lie in [{lowest:g}, {highest:g}], got values in [{smallest:g}, {largest:g}]"
        )
    return array


def rank(name, array, ndim, meaning):
    """Refuse anything but a NumPy array of `ndim` axes; return its shape."""
    if not isinstance(array, np.ndarray):
        raise TypeError(f"{name} must be a NumPy array of shape {meaning}, got {describe(array)}")
    if array.ndim != ndim:
        raise ValueError(f"{name} must have shape {meaning}, got {describe(array)}")
    return array.shape


def columns(name, array, count, meaning):
    """Refuse anything but a matrix of `count` columns."""
    if rank(name, array, 2, meaning)[1] != count:
        raise ValueError(f"{name} must have shape {meaning}, got {describe(array)}")


def shape(name, array, expected):
    """Refuse an array whose shape is not exactly `expected`: nothing may broadcast unseen."""
    if rank(name, array, len(expected), tuple(expected)) != tuple(expected):
        raise ValueError(f"{name} must have shape {tuple(expected)}, got {describe(array)}")


def samples_of(name, array, expected):
    """Refuse an array whose shape is neither `expected` nor (S, *expected)."""
    inner = ", ".join(str(n) for n in expected)
    wanted = f"({inner}) or (S, {inner})"
    if not isinstance(array, np.ndarray):
        raise TypeError(f"{name} must be a NumPy array of shape {wanted}, got {describe(array)}")
    if array.shape[-len(expected) :] != tuple(expected) or array.ndim > len(expected) + 1:
        raise ValueError(f"{name} must have shape {wanted}, got {describe(array)}")


# ------------------------------------------------------------------------------ contracts of ops


def dense(x, W, b):
    """x (B, n_in), W (n_in, n_out), b (n_out,)."""
    n_in, n_out = rank("W", W, 2, "(n_in, n_out)")
    columns("x", x, n_in, f"(B, {n_in}) to fit W")
    shape("b", b, (n_out,))


def gaussian(mu, logvar, **like_z):
    """mu and logvar (B, L); every array in `like_z` (B, L) or (S, B, L)."""
    rank("mu", mu, 2, "(B, L)")
    shape("logvar", logvar, mu.shape)
    for name, array in like_z.items():
        samples_of(name, array, mu.shape)


def likelihood(name, outputs, x):
    """x (B, D); the decoder's outputs (B, D) or (S, B, D)."""
    rank("x", x, 2, "(B, D)")
    samples_of(name, outputs, x.shape)


def variance(logvar, mean):
    """logvar like mean, or one per pixel (D,), or shared (1,) or ()."""
    if np.shape(logvar) not in (mean.shape, mean.shape[-1:], (1,), ()):
        wanted = f"{mean.shape}, {mean.shape[-1:]}, (1,) or ()"
        raise ValueError(f"logvar must have shape {wanted}, got {describe(logvar)}")


# ------------------------------------------------------------------------------ contracts of estimators


def finite(name, array, expected, axes):
    """Refuse an array that has another shape or an entry that is not finite; `axes` names its axes."""
    shape(name, array, expected)
    good = np.isfinite(numeric(name, array))
    if not good.all():
        index = np.argwhere(~good)[0]
        where = ", ".join(f"{axis} {i}" for axis, i in zip(axes, index, strict=True))
        raise ValueError(f"{name} must be finite, got {array[tuple(index)]} at {where}")
    return array
