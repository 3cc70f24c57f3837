"""Hold a result to its reference, in a teacher's order: type, shape, finite, values; then find the cause."""

import contextlib
from itertools import permutations

import numpy as np

from .exercise import Failed
from .explain import explain, fits
from .shapes import axes, shape_words

DOUBLE, SINGLE = 1e-9, 2e-5  # of the largest entry: what rounding may leave


def values(name, result, names):
    """The parts of a result that has several, by their names."""
    if result is None:
        raise Failed(f"{name} returns None: is the return missing?")
    if not isinstance(result, tuple | list):
        raise Failed(f"{name} returns one value, expected {len(names)}: {', '.join(names)}")
    if len(result) != len(names):
        count = f"{len(result)} value{'s' * (len(result) != 1)}"
        raise Failed(f"{name} returns {count}, expected {len(names)}: {', '.join(names)}")
    return result


@contextlib.contextmanager
def noted(note):
    """Say with whatever fails inside how the arguments were chosen."""
    try:
        yield
    except Failed as failed:
        if isinstance(failed.__cause__, NotImplementedError):
            raise
        raise Failed(
            f"{failed.sentence} ({note})", failed.details, failed.line, failed.known
        ) from failed.__cause__


def ones(name, got, shape, note):
    """Refuse a result that has lost an axis of size 1; note: which argument has which shape."""
    if got is not None and np.shape(got) != shape:
        raise Failed(
            f"{name} has shape {np.shape(got)}, expected {shape}, where {note}: an axis of size 1 "
            "stays an axis (does squeeze take it away, or is a size taken for granted?)"
        )


def array(name, got, shape, sizes):
    """`got` as an array of this shape, of finite numbers, or Failed."""
    if got is None:
        raise Failed(f"{name} is None: is the return missing?")
    if isinstance(got, tuple) and len(got) != (shape[0] if shape else -1):
        raise Failed(f"{name} is a tuple of {len(got)} values, expected one: {axes(shape, sizes)}")
    given = got
    try:
        got = np.asarray(given)
        numeric = got.dtype.kind in "fiub"
    except (ValueError, TypeError):
        numeric = False
    if not numeric:
        kind = (
            f"an array of {got.dtype}" if isinstance(given, np.ndarray) else f"of type {type(given).__name__}"
        )
        raise Failed(f"{name} is {kind}, expected an array of real numbers of shape {axes(shape, sizes)}")
    if got.shape != tuple(shape):
        raise Failed(shape_words(name, got.shape, tuple(shape), sizes))
    if not np.isfinite(got).all():
        at = tuple(int(i) for i in np.argwhere(~np.isfinite(got))[0])
        nan = "a log or a root of a negative number, inf - inf, 0 * inf"
        cause = nan if np.isnan(got[at]) else "an exp that overflows, the log of 0"
        raise Failed(f"{name} is not finite: {got[at]}{' ' * bool(at)}{_place(at)}; look for {cause}")
    return got


def expect(name, got, want, sizes=None, *, wrong=(), terms=None, formula=None, inputs=None, note=""):
    """Hold `got` to `want`, and where they differ raise Failed with the cause as far as it can be told.

    sizes    {"B": 7, "L": 3}: what the axes and ratios are called
    wrong    pairs (sentence, array): what known mistakes would give; the first that fits is what is said
    terms    name -> array: what a formula may be the sum of; formula: name -> its right factor
    inputs   name -> array, like `got` or with one axis more: beyond some value of which `got` may be wrong
    note     how the arguments were chosen, if that is special
    """
    sizes = sizes or {}
    want = np.asarray(want, np.float64)
    _known_not_finite(got, want, wrong, note)
    got = array(name, got, want.shape, sizes)
    if close(got, want):
        return
    sentence = explain(name, got.astype(np.float64), want, sizes, wrong, terms, formula, inputs)
    words = sentence or f"{name} is wrong, and like no mistake known here"
    raise Failed(words + (f" ({note})" if note else ""), evidence(got, want), known=bool(sentence))


def expect_all(
    names, results, wants, sizes=None, *, wrong=(), terms=None, formulas=None, inputs=None, note=""
):
    """`expect` for several results of one function; names it when two of them are exchanged.

    wrong    pairs (sentence, tuple of arrays), as the mistaken function returns them
    terms    one dict for all results, or one for each
    formulas one dict for each result
    """
    sizes = sizes or {}
    for k, (got, want) in enumerate(zip(results, wants, strict=True)):
        _known_not_finite(got, want, [(w, a[k]) for w, a in wrong if _has(a, k)], note)
    in_order(names, results, wants)
    results = [array(n, g, np.shape(w), sizes) for n, g, w in zip(names, results, wants, strict=True)]
    right = [close(g, w) for g, w in zip(results, wants, strict=True)]
    if not any(right):
        for i in range(len(names)):
            for j in range(i):
                if close(results[i], wants[j]) and close(results[j], wants[i]):
                    raise Failed(f"{names[j]} and {names[i]} are exchanged: {names[j]} comes first")
    for sentence, arrays in wrong:
        if not all(right) and _whole(arrays, results, wants, right):
            k = right.index(False)
            raise Failed(sentence + (f" ({note})" if note else ""), evidence(results[k], wants[k]))
    for k, name in enumerate(names):
        expect(
            name,
            results[k],
            wants[k],
            sizes,
            wrong=[(_of(sentence, names, k), arrays[k]) for sentence, arrays in wrong if _has(arrays, k)],
            terms=terms[k] if isinstance(terms, tuple | list) else terms,
            formula=formulas[k] if formulas else None,
            inputs=inputs,
            note=note,
        )


def in_order(names, results, wants):
    """Refuse three or more right results in another order."""
    results = [_numbers(r) for r in results]
    for order in permutations(range(len(names))):
        moved = len(names) > 2 and order != tuple(range(len(names)))
        if moved and all(close(results[i], wants[k]) for i, k in enumerate(order)):
            found = ", ".join(names[k] for k in order)
            raise Failed(f"the results are in the order {found}; asked is {', '.join(names)}")


def close(got, want):
    """Equal but for rounding: of double precision, or of single where the result looks like it."""
    got, want = np.asarray(got), np.asarray(want, np.float64)
    if got.shape != want.shape or got.dtype.kind not in "fiub":
        return False
    size = np.max(np.abs(want), initial=0) or 1.0
    error = np.max(np.abs(got.astype(np.float64) - want), initial=0) / size
    return bool(error <= (SINGLE if in_single(got) else DOUBLE))


def in_single(got):
    """Whether every entry is a number of single precision."""
    return got.dtype.kind == "f" and (got.dtype.itemsize <= 4 or np.array_equal(got, got.astype(np.float32)))


def finite(got, want, sentence):
    """Refuse a result of the right shape that is not finite somewhere; the sentence says why."""
    got = _numbers(got)
    if got is None or got.shape != np.shape(want) or np.isfinite(got).all():
        return
    at = tuple(np.argwhere(~np.isfinite(got))[0])
    raise Failed(sentence, [f"{_place(at)}: got {got[at]}, want {np.asarray(want)[at]:.8g}".lstrip(": ")])


def _known_not_finite(got, want, wrong, note):
    """Raise Failed if a listed mistake is NaN or infinite at the same places, and alike at the others."""
    numbers = _numbers(got)
    if numbers is None or np.isfinite(numbers).all():
        return
    good = np.isfinite(numbers)
    for sentence, guess in wrong:
        guess = np.asarray(guess)
        alike = guess.shape == numbers.shape and guess.dtype.kind == "f"
        alike = alike and np.array_equal(numbers[~good], guess[~good], equal_nan=True)
        if alike and np.isfinite(guess[good]).all() and close(numbers[good], guess[good]):
            finite(got, want, sentence + (f" ({note})" if note else ""))


def _numbers(got):
    try:
        return np.asarray(got, np.float64)
    except (ValueError, TypeError):
        return None


def evidence(got, want):
    """The worst entry in numbers, and how many are wrong."""
    got = np.asarray(got, np.float64)
    error = np.abs(got - want)
    at = np.unravel_index(int(np.argmax(error)), got.shape) if got.ndim else ()
    size = np.max(np.abs(want), initial=0) or 1.0
    wrong = int(np.sum(error > DOUBLE * size))
    lines = [f"{_place(at)}: got {got[at]:.8g}, want {want[at]:.8g}".lstrip(": ")]
    if got.size > 1:
        lines.append(f"{wrong} of {got.size} entries differ")
    return lines


def biased(name, mean, exact, error):
    """Raise Failed if a mean is more than 5 of its standard errors from the exact value."""
    z = (mean - exact) / error
    if abs(z) <= 5:
        return
    detail = f"its mean is {mean:.6g} +- {error:.2g}, exact {exact:.6g}: {abs(z):.0f} standard errors apart"
    raise Failed(f"{name} is biased: its mean is {mean / exact:.3g} times the exact gradient", [detail])


def rather(check, its, failed):
    """Raise what a check of the values says, if it knows the cause; else `failed`."""
    try:
        check(its)
    except Failed as known:
        if known.known:
            raise
    raise failed


def _has(arrays, k):
    return isinstance(arrays, tuple | list) and len(arrays) > k


def _of(sentence, names, k):
    """A sentence that begins with the name of one result, for another."""
    first, _, rest = sentence.partition(" ")
    return f"{names[k]} {rest}" if first in names else sentence


def _whole(arrays, results, wants, right):
    """Whether a mistaken function returns just these results, those that are right included."""
    if not isinstance(arrays, tuple | list) or len(arrays) != len(results):
        return False
    return all(
        close(a, want) if good else fits(got.astype(np.float64), a, want)
        for a, got, want, good in zip(arrays, results, wants, right, strict=True)
    )


def _place(at):
    return f"at [{', '.join(str(int(i)) for i in at)}]" if len(at) else ""
