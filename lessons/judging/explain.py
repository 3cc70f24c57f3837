"""Find the cause: why the values of a result are wrong, although its shape is right.

In this order: what a listed mistake would give; a sum of terms with one missing, doubled or exchanged; a
constant ratio or offset; a factor of an input too many; rounded or clipped; the right numbers in the wrong
place; wrong only beyond some value of an input; rows that a loop left out.
"""

import numpy as np

from minivae.gradcheck.ratios import ratio_names, ratio_words

from .terms import FIT, as_terms

APART = 1e-6  # of the largest entry: from where on an entry counts as wrong
LINES = ("row", "column", "entry of the third axis")


def explain(name, got, want, sizes, wrong=(), terms=None, formula=None, inputs=None):
    """Why `got` is not `want`, two arrays of one shape: a sentence, or None where no cause is found."""
    for sentence, guess in wrong:
        if fits(got, guess, want):
            return sentence
    inputs = inputs or {}
    finders = (
        lambda: _constant(got, want),
        lambda: _nearly(got, want, 1e-6),
        lambda: as_terms(got, want, terms, formula) if terms else None,
        lambda: _ratio(got, want, sizes),
        lambda: _offset(got, want),
        lambda: _cut(got, want),
        lambda: _times(got, want, inputs),
        lambda: _moved(got, want),
        lambda: _beyond(got, want, inputs),
        lambda: _one_line(got, want),
        lambda: _nearly(got, want, 2e-3),
        lambda: _function_of(got, want),
    )
    words = next((words for find in finders if (words := find())), None)
    return words and f"{name} {words}"


def fits(got, guess, want):
    """Whether a guess is what was got, and is not what was wanted."""
    try:
        guess = np.asarray(guess, np.float64)
    except (ValueError, TypeError):
        return False
    if guess.shape != got.shape or not np.isfinite(guess).all():
        return False
    size = max(_largest(got), _largest(guess), 1e-300)
    loose = 2e-5 if np.array_equal(got, got.astype(np.float32)) else FIT
    return _largest(got - guess) <= loose * size < _largest(want - guess)


def _largest(values):
    return float(np.max(np.abs(values), initial=0))


def _wrong(got, want):
    """Which entries are wrong."""
    return np.abs(got - want) > APART * (_largest(want) or 1.0)


def _constant(got, want):
    if not got.any():
        return "is zero everywhere"
    if got.size > 1 and np.ptp(got) == 0:
        return f"is {got.flat[0]:.6g} everywhere: it does not depend on what it should"
    if fits(got, -want, want):
        return "has the wrong sign everywhere"
    if fits(got, np.abs(want), want):
        return "is the absolute value of what is asked: its sign is lost"
    return None


def _nearly(got, want, within):
    """Right to a few digits: something is rounded, or a small number was added for safety."""
    size, error = _largest(want), _largest(got - want)
    if not size or error > within * size:
        return None
    return (
        f"is right to about {int(-np.log10(error / size))} digits and not to 9: is a small number added for "
        "safety (1e-8 in a log or a divisor), or something rounded (float16, float32, 3.14 for pi)?"
    )


def _ratio(got, want, sizes):
    large = np.abs(want) > 1e-6 * _largest(want)
    ratio = float(np.median(got[large] / want[large])) if large.any() else 0
    if not ratio or abs(abs(ratio) - 1) <= 1e-6 or not fits(got, ratio * want, want):
        return None
    if abs(ratio - 0.5) < FIT:
        return "is exactly half of what it should be everywhere"
    if abs(ratio - 2) < FIT:
        return "is exactly twice what it should be everywhere"
    numbers = {k: float(v) for k, v in sizes.items() if v not in (0, 1)}
    names = ratio_names(ratio, numbers, 1e-6)
    if not names and got.size == 1:
        return None  # of one number any ratio is constant
    words = ratio_words(names[0], numbers) if names else f"constant ratio {abs(ratio):.6g}"
    article = "a" if words.startswith("constant") else "the"
    sign = "the wrong sign and " if ratio < 0 else ""
    return f"has {sign}{article} {words} to what it should be, everywhere"


def _offset(got, want):
    offset = float(np.median(got - want))
    if got.size > 1 and fits(got, want + offset, want):
        return f"is off by the constant {offset:+.6g} everywhere"
    return None


def _cut(got, want):
    """Whole numbers where there are none, or cut off at a limit."""
    whole = np.array_equal(got, np.round(got)) and _largest(got) < 2**52
    if got.size > 1 and whole and not np.array_equal(want, np.round(want)):
        return "has whole numbers only: is it rounded, or stored in an array of integers?"
    low, high = np.min(got), np.max(got)
    ends = [f"at {end:.4g}" for end in (low, high) if 1 < np.sum(got == end) < got.size]
    if ends and fits(got, np.clip(want, low, high), want):
        return f"is clipped {' and '.join(ends)}: beyond that it is the same whatever the input"
    return None


def _times(got, want, inputs):
    """A factor of an input that is one too many."""
    for key, value in inputs.items():
        ends = zip(value.shape[::-1], got.shape[::-1], strict=False)
        fit = value.ndim <= got.ndim and all(v in (1, g) for v, g in ends)
        if not fit or not value.all():
            continue
        with np.errstate(all="ignore"):
            factors = {key: value, f"1 / {key}": 1 / value, f"{key}^2": value**2}
            factors |= {f"e^{key}": np.exp(value), f"e^-{key}": np.exp(-value)}
            factors |= {f"e^({key}/2)": np.exp(value / 2), f"e^-({key}/2)": np.exp(-value / 2)}
            for factor, k in factors.items():
                for c, words in (
                    (1, ""),
                    (-1, ", and the wrong sign"),
                    (2, ", and a 2"),
                    (0.5, ", and a 1/2"),
                ):
                    if fits(got, c * k * want, want):
                        return f"has a factor {factor} too many{words}"
    return None


def _moved(got, want):
    """The right numbers in other places."""
    if got.ndim == 2 and got.shape[0] == got.shape[1] and fits(got, want.T, want):
        return "is transposed"
    for axis, line in zip(range(got.ndim), ("first", "second", "third"), strict=False):
        if fits(got, np.flip(want, axis), want):
            return f"has the right numbers in reverse order along the {line} axis"
        for by in (1, -1):
            if fits(got, np.roll(want, by, axis), want):
                return f"has the right numbers, shifted by {by:+d} along the {line} axis"
    ordered = np.sort(want, axis=None)
    if _wrong(got, want).any() and fits(np.sort(got, axis=None), ordered, ordered + 1):
        return "has the right numbers in the wrong places"
    return None


def _beyond(got, want, inputs):
    """Wrong only where an input lies beyond some value, as where it is clipped or a case is forgotten."""
    wrong = _wrong(got, want)
    if not wrong.any() or wrong.all():
        return None
    for key, value in inputs.items():
        for words, v in (("above", value), ("below", -value), ("beyond", np.abs(value))):
            v = _reduced(v, wrong.shape)
            if v is None or v[wrong].min() <= v[~wrong].max():
                continue
            last, first = v[~wrong].max(), v[wrong].min()
            edge = 0 if last <= 0 <= first else 0.5 * (first + last) * (-1 if words == "below" else 1)
            about = "0" if edge == 0 else f"about {'+-' * (words == 'beyond')}{edge:.2g}"
            zero = " (it is zero there)" if not got[wrong].any() else ""
            return (
                f"is wrong only where {key} is {words} {about}{zero}: is {key} clipped, or a case left out?"
            )
    return None


def _reduced(v, shape):
    """`v` repeated to `shape`, or where it has one axis more, the largest of that; None if neither fits."""
    inner = shape[len(shape) - v.ndim :]
    if v.shape != inner and v.shape[:-1] == shape[len(shape) - v.ndim + 1 :]:
        v = v.max(axis=-1)
    return np.broadcast_to(v, shape) if v.shape == shape[len(shape) - v.ndim :] else None


def _one_line(got, want):
    """One row or column that is wrong by itself."""
    wrong = _wrong(got, want)
    for axis, line in zip(range(got.ndim), LINES, strict=False):
        lines = wrong.any(axis=tuple(i for i in range(got.ndim) if i != axis))
        if len(lines) >= 3 and lines.sum() == 1:
            at = int(np.argmax(lines))
            which = {0: f"first {line}", len(lines) - 1: f"last {line}"}.get(at, f"{line} {at}")
            loop = "" if np.take(got, at, axis).any() else ": does a loop leave it out?"
            return f"is wrong in its {which} alone{loop}"
    return None


def _function_of(got, want):
    """Something made of the right result."""
    made = {
        "its square": want * want,
        "its exponential": np.exp(np.minimum(want, 300)),
        "its reciprocal": 1 / np.where(want == 0, 1, want),
    }
    for words, guess in made.items():
        if fits(got, guess, want):
            return f"is not what is asked but {words}"
    for axis in range(got.ndim):
        spread = np.broadcast_to(want.sum(axis=axis, keepdims=True), got.shape)
        if got.shape[axis] > 1 and (fits(got, spread, want) or fits(got, spread / got.shape[axis], want)):
            return f"is summed or averaged over axis {axis} and repeated: a kept axis broadcast"
    return None
