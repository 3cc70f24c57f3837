"""Check an argument, or raise an error of one sentence: its name, what was expected, and what was given.

Public functions call these on their first lines; internal functions trust each other. A wrong shape that
NumPy would broadcast, a NaN that would spread through ten layers, a string instead of an array: each raises a
`ValueError` or a `TypeError` that tells a student what to change.
"""

import math
import operator
from functools import lru_cache

import numpy as np

from . import memory

REAL = frozenset((np.dtype(np.float32), np.dtype(np.float64)))  # what kernels are compiled for


def describe(value):
    """A short description of a value, for the end of an error message."""
    if isinstance(value, np.ndarray):
        return f"an array of shape {value.shape} and type {value.dtype}"
    text = repr(value)
    return f"{text if len(text) <= 60 else text[:57] + '...'} ({type(value).__name__})"


# ------------------------------------------------------------------------------ single values


def integer(name, value, at_least=1, below=2**31):
    """Return `value` as an int in [at_least, below), by default a size that can fit in memory."""
    try:
        number = operator.index(value)
    except TypeError:
        raise TypeError(f"{name} must be an integer, got {describe(value)}") from None
    if isinstance(value, bool) or number < at_least:
        raise ValueError(f"{name} must be an integer of at least {at_least}, got {value!r}")
    if number >= below:
        raise ValueError(f"{name} must be an integer below {below}, got {value!r}")
    return number


def number(name, value, *, above=None, at_least=None, below=None):
    """Return `value` as a finite float within the stated bounds."""
    try:
        if isinstance(value, str | bool | np.bool_):
            raise TypeError
        result = float(value)
    except (TypeError, ValueError):
        raise TypeError(f"{name} must be a number, got {describe(value)}") from None
    except OverflowError:
        result = math.inf
    inside = math.isfinite(result) and (above is None or result > above)
    if not inside or (at_least is not None and result < at_least) or (below is not None and result >= below):
        bounds = (("above", above), ("at least", at_least), ("below", below))
        wanted = ["a finite number", *(f"{word} {bound}" for word, bound in bounds if bound is not None)]
        raise ValueError(f"{name} must be {' and '.join(wanted)}, got {value!r}")
    return result


def one_of(name, value, choices):
    """Return `value` if it is one of the names in `choices`."""
    if not isinstance(value, str) or value not in choices:
        raise ValueError(f"{name} must be one of {', '.join(choices)}; got {describe(value)}")
    return value


def generator(name, rng):
    """Refuse anything but a NumPy Generator, so that every draw comes from a seed that the caller knows."""
    if not isinstance(rng, np.random.Generator):
        raise TypeError(f"{name} must be a numpy.random.Generator, got {describe(rng)}")
    return rng


def seeded(name, seed):
    """A Generator made from a seed of at least 0; a Generator is returned unchanged."""
    if isinstance(seed, np.random.Generator):
        return seed
    return np.random.default_rng(integer(name, seed, at_least=0, below=math.inf))


# ------------------------------------------------------------------------------ arrays


NUMBERS = "buifc"  # kinds of array types: bool, integers, floats, complex


def numeric(name, array):
    """Return the argument as an array; refuse arrays of objects, strings or dates."""
    try:
        array = np.asarray(array)
    except ValueError:
        raise ValueError(f"{name} must be an array: its rows have different lengths") from None
    if array.dtype.kind not in NUMBERS:
        raise TypeError(f"{name} must hold numbers, got {describe(array)}")
    return array


def cast(name, array, dtype, lowest=-math.inf, highest=math.inf):
    """Return `array` in this dtype; refuse entries that are not finite or not in [lowest, highest]."""
    if not isinstance(array, np.ndarray) or array.dtype.kind not in NUMBERS:
        array = numeric(name, array)
    if array.dtype.kind == "c" and np.dtype(dtype).kind != "c":
        raise TypeError(f"{name} must be real, got {describe(array)}")
    if array.size == 0:
        raise ValueError(f"{name} must not be empty, got {describe(array)}")
    given = array
    if array.dtype != dtype:
        with np.errstate(over="ignore"):  # 1e300 becomes inf in float32, and is refused below
            array = memory.converted(array, dtype)
    real = array.real
    smallest, largest = real.min(), real.max()  # both are NaN where any entry is
    if not (math.isfinite(smallest) and math.isfinite(largest)):
        where = tuple(int(i) for i in np.argwhere(~np.isfinite(real))[0])
        wanted = f"fit {array.dtype}" if np.isfinite(given[where]) else "be finite"
        raise ValueError(f"{name} must {wanted}, got {given[where]} at index {where}")
    if smallest < lowest or largest > highest:
        raise ValueError(
            f"{name} must lie in [{lowest:g}, {highest:g}], got values in [{smallest:.9g}, {largest:.9g}]"
        )
    return array


def shape(name, array, expected):
    """Refuse an array whose shape is not exactly `expected`, so that nothing broadcasts silently."""
    if not isinstance(array, np.ndarray):
        raise TypeError(f"{name} must be a NumPy array of shape {tuple(expected)}, got {describe(array)}")
    if array.shape != tuple(expected):
        raise ValueError(f"{name} must have shape {tuple(expected)}, got {describe(array)}")


def shapes(**arrays):
    """Refuse arrays whose axes do not fit together: name=(array, axes), one letter per axis.

    A letter means the same size wherever it occurs; a leading * is an axis of samples that may be absent.
    shapes(mu=(mu, "BL"), eps=(eps, "*BL")) accepts mu (5, 3) with eps (5, 3) or (S, 5, 3), and nothing else.
    """
    given = []  # a comprehension would cost one more call
    for name, (array, axes) in arrays.items():
        given.append((name, axes, array.shape if isinstance(array, np.ndarray) else None))
    wrong, sizes = first_misfit(*given)
    if wrong:
        raise _misfit(wrong, *arrays[wrong], sizes)


@lru_cache(maxsize=4096)
def first_misfit(*arrays):
    """Which of the arrays (name, axes, shape) does not fit -> the first's name or None, sizes by letter."""
    sizes = {}
    for name, axes, given in arrays:
        letters = axes.lstrip("*")
        extra = -1 if given is None else len(given) - len(letters)
        fits = extra == 0 or (extra == 1 and axes != letters)
        for letter, size in zip(letters, given[extra:] if fits else (), strict=False):
            fits = fits and sizes.setdefault(letter, size) == size
        if axes != letters and fits:
            fits = sizes.setdefault("*", given[:extra]) == given[:extra]
        if not fits:
            return name, sizes
    return None, sizes


def fits(axes, *arrays):
    """Whether a compiled loop may run on these arrays; if not, `ops` computes the result or raises the error.

    They must be plain NumPy arrays of one type, float32 or float64, not empty, and their axes must agree:
    `axes` describes each as in `shapes`, "BI IO O" for a dense layer's x, W and b. A compiled loop does not
    check an index: a wrong shape there would read or write another array's memory.
    """
    kinds = [axes]
    for array in arrays:
        if type(array) is not np.ndarray:
            return False
        kinds += array.dtype, array.shape
    return _agree(*kinds)


@lru_cache(maxsize=4096)
def _agree(axes, *kinds):
    """`fits` for `kinds`, type and shape of each array in turn: every training step asks the same."""
    dtypes, shapes = kinds[::2], kinds[1::2]
    if dtypes[0] not in REAL or len({*dtypes}) > 1 or any(0 in s for s in shapes):
        return False
    return first_misfit(*zip(axes.split(), axes.split(), shapes, strict=True))[0] is None


def _misfit(name, array, axes, sizes):
    """The error for an array that `shapes` refuses; sizes that are not known yet appear as letters."""
    inner = [str(sizes.get(letter, letter)) for letter in axes.lstrip("*")]
    samples = [()] if axes[0] != "*" else [sizes["*"]] if "*" in sizes else [(), ("S",)]
    wanted = " or ".join(f"({', '.join([*map(str, s), *inner])}{',' * (len(axes) == 1)})" for s in samples)
    if not isinstance(array, np.ndarray):
        return TypeError(f"{name} must be a NumPy array of shape {wanted}, got {describe(array)}")
    return ValueError(f"{name} must have shape {wanted}, got {describe(array)}")


def finite(name, array, expected, axes):
    """Refuse an array that has another shape or an entry that is not finite; `axes` names its axes."""
    shape(name, array, expected)
    good = np.isfinite(numeric(name, array))
    if not good.all():
        index = np.argwhere(~good)[0]
        where = ", ".join(f"{axis} {i}" for axis, i in zip(axes, index, strict=True))
        raise ValueError(f"{name} must be finite, got {array[tuple(index)]} at {where}")
    return array


def multipliable(a, b, out=None):
    """Refuse arrays other than a (m, k), b (k, n) and a writable out (m, n), all float32 or all float64."""
    given = {"a": (a, "MK"), "b": (b, "KN")} | ({} if out is None else {"out": (out, "MN")})
    shapes(**given)
    for name, (array, _) in given.items():
        if array.dtype not in REAL or array.dtype != a.dtype:
            found = describe(array)
            raise TypeError(f"a, b and out must all be float32 or all float64, got {name} as {found}")
    if out is not None and not out.flags.writeable:
        raise ValueError("out is read-only: give a writable array")


def updatable(param, grad, *state, name=""):
    """Refuse arrays that an optimizer's update in place cannot use.

    All must be real floating-point arrays of param's shape and type, all but grad writable, and no two may
    share memory. `name` is that of the parameter, for the message.
    """
    for i, array in enumerate((param, grad, *state)):
        what = ("param", "grad", "state")[min(i, 2)] + (f"s[{name!r}]" if name else "")
        if not isinstance(array, np.ndarray):
            raise TypeError(f"{what} must be a NumPy array, got {describe(array)}")
        if array.shape != param.shape:
            raise ValueError(f"{what} must have its parameter's shape {param.shape}, got {describe(array)}")
        if array.dtype != param.dtype:
            raise TypeError(f"{what} must be {param.dtype}, got {array.dtype}")
        if array.dtype.kind != "f":
            raise TypeError(f"{what} must hold floating-point numbers, got {describe(array)}")
        if not array.flags.writeable and array is not grad:
            raise ValueError(f"{what} is read-only and cannot be updated in place: copy it first")
        for other in (param, grad, *state)[:i]:
            if np.shares_memory(array, other):
                raise ValueError(f"{what} must not share memory with the other arrays of its update")
