"""Find the cause: why a result has a wrong shape, and why its values are wrong.

In this order: what a listed mistake would give; a sum of terms with one missing, doubled or exchanged; a
constant ratio or offset; the right numbers in the wrong place; wrong only beyond some value of an input, as a
clipped one is; rows that a loop left out.
"""

from itertools import combinations

import numpy as np

from minivae.gradcheck.ratios import ratio_names, ratio_words

FIT = 1e-8  # of the largest entry: how well a guess must explain what was got
MOST = 5  # terms in a formula


def explain(name, got, want, sizes, wrong=(), terms=None, formula=None, inputs=None):
    """One sentence on why `got` is not `want`; both are arrays of one shape."""
    for sentence, guess in wrong:
        if fits(got, guess, want):
            return sentence
    finders = (
        lambda: _special(name, got, want),
        lambda: _almost(name, got, want, 1e-6, 0),
        lambda: _as_terms(name, got, want, terms, formula) if terms else None,
        lambda: _ratio(name, got, want, sizes),
        lambda: _almost(name, got, want, 0, 2e-3),
        lambda: _cut(name, got, want),
        lambda: _times(name, got, want, inputs or {}),
        lambda: _moved(name, got, want),
        lambda: _clipped(name, got, want),
        lambda: _beyond(name, got, want, inputs or {}),
        lambda: _rows(name, got, want),
        lambda: _nearly(name, got, want),
        lambda: _function_of(name, got, want),
    )
    return next(
        (words for find in finders if (words := find())), f"{name} is wrong, and like no mistake known here"
    )


def fits(got, guess, want):
    """Whether a guess is what was got, and is not what was wanted."""
    try:
        guess = np.asarray(guess, np.float64)
    except (ValueError, TypeError):
        return False
    if guess.shape != got.shape or not np.isfinite(guess).all():
        return False
    size = max(np.max(np.abs(got), initial=0), np.max(np.abs(guess), initial=0), 1e-300)
    loose = 2e-5 if np.array_equal(got, got.astype(np.float32)) else FIT
    return bool(
        np.max(np.abs(got - guess), initial=0) <= loose * size
        and np.max(np.abs(want - guess), initial=0) > loose * size
    )


def reductions(name, each, what):
    """Pairs (sentence, value) of what is wrongly done with entries (..., n) that are to be added up.

    what: the entries, in the plural: "latents"
    """
    total = each.sum(axis=-1)
    left = f"{name} leaves out the {{}} of the {what}: does a loop {{}}?"
    only = f"{name} counts only the {{}} of the {what}: {{}}"
    pairs = [
        (left.format("last", "end one too early"), each[..., :-1].sum(axis=-1)),
        (left.format("first", "start at 1"), each[..., 1:].sum(axis=-1)),
        (only.format("first", "does a return stand inside the loop?"), each[..., 0]),
        (only.format("last", "does the loop overwrite instead of adding (= for +=)?"), each[..., -1]),
        (f"the {what} are multiplied: {name} is their sum", each.prod(axis=-1)),
        (f"{name} is the largest of the {what}: it is their sum", each.max(axis=-1)),
        (f"{name} is cut off after the decimal point: is it made an integer?", np.trunc(total)),
        (f"{name} is rounded to whole numbers", np.round(total)),
    ]
    running = f"{name} is a running sum over the data: it must begin at 0 for each of them"
    pairs += [(running, np.cumsum(total, axis=axis)) for axis in range(-1, -1 - total.ndim, -1)]
    shared = f"{name} is the sum over the whole batch, repeated: it is one number for each datum"
    return [*pairs, (shared, np.broadcast_to(total.sum(), total.shape))]


def over_samples(name, value, many, shared):
    """Pairs (sentence, value) of samples that are mixed up; none if there is no axis of samples.

    value(*many, *shared) -> (S, B), from arrays (S, B, n), one for each sample, and (B, n), which all share
    """
    if many[0].ndim < 3:
        return []
    S, B, n = many[0].shape
    own = f"{name} is the same for every sample: it is that of {{}}, and every sample has its own"
    pairs = [
        (own.format("the first sample"), value(*(a[:1] for a in many), *shared)),
        (own.format("the last sample"), value(*(a[-1:] for a in many), *shared)),
        (
            own.format("the mean of the samples"),
            value(*(a.mean(axis=0, keepdims=True) for a in many), *shared),
        ),
        (own.format("all samples, averaged"), value(*many, *shared).mean(axis=0, keepdims=True)),
        (
            "samples and data are mixed up by a reshape: (S, B, n) becomes (B, S, n) with swapaxes",
            value(*(a.reshape(B, S, n).swapaxes(0, 1) for a in many), *shared),
        ),
        (
            "sample s is held against row s of what all samples share: it is row b for datum b",
            value(*many, *(a[np.arange(S) % len(a)][:, None] for a in shared)),
        ),
        (
            "what the samples share is repeated in another order than they stand: np.tile, not np.repeat",
            value(*many, *(np.repeat(a, S, axis=0).reshape(S, *a.shape) for a in shared)),
        ),
    ]
    return [(words, np.broadcast_to(guess, (S, B))) for words, guess in pairs]


# ------------------------------------------------------------------------------ shapes


def axes(shape, sizes):
    """(7, 3) as "(B, L) = (7, 3)", where each size has one name."""
    names = {v: k for k, v in sizes.items()}
    shape = tuple(int(n) for n in shape)
    if shape and all(n in names for n in shape):
        inner = ", ".join(names[n] for n in shape) + ("," if len(shape) == 1 else "")
        return f"({inner}) = {shape}"
    return str(shape)


def shape_words(name, got, want, sizes):
    """What a wrong shape looks like."""
    head = f"{name} has shape {got}, expected {want}"
    names = {v: k for k, v in sizes.items()}
    kept = tuple(n for n in got if n != 1)
    if got == want[::-1]:
        return f"{head}: it is transposed"
    if kept == tuple(n for n in want if n != 1) and len(got) > len(want):
        return f"{head}: a kept axis will broadcast (keepdims, or [:, None])"
    if got == tuple(n for n in want if n != 1):
        return f"{head}: the axis of size 1 is gone (keepdims=True or a reshape brings it back)"
    ones = tuple(w for g, w in zip(got, want, strict=False) if g == 1 != w)
    if len(got) == len(want) and ones and all(g in (1, w) for g, w in zip(got, want, strict=True)):
        return (
            f"{head}: the axis {_named(ones, names)} was summed, averaged or picked over, and will broadcast"
        )
    if got == ():
        return f"{head}: it is one number, summed or averaged over the axis {_named(want[:1], names)} as well"
    missing = _taken_out(want, got)
    if missing:
        return f"{head}: the axis {_named(missing, names)} is gone, it was summed or averaged over"
    extra = _taken_out(got, want)
    if extra:
        return f"{head}: the axis {_named(extra, names)} is still there, the sum over it is missing"
    if len(got) == len(want) and sorted(got) == sorted(want):
        return f"{head}: the axes are in another order"
    swapped = [(a, b) for a, b in zip(got, want, strict=True) if a != b] if len(got) == len(want) else []
    if len(swapped) == 1 and swapped[0][0] in names and swapped[0][1] in names:
        kept_axis, lost_axis = (_named(swapped[0][i : i + 1], names) for i in (0, 1))
        return f"{head}: it was summed or averaged over the wrong axis, {lost_axis} and not {kept_axis}"
    if len(got) == len(want) and sum(abs(a - b) for a, b in zip(got, want, strict=True)) == 1:
        return f"{head}: one too few or too many, does a loop end early?"
    other = [(g, w) for g, w in zip(got, want, strict=False) if g != w]
    if len(got) == len(want) and len(other) == 1 and other[0][0] in names and other[0][1] in names:
        there, gone = (_named((n,), names) for n in other[0])
        return f"{head}: {there} stands where {gone} belongs, the wrong axis was summed over"
    if len(got) == 1 and len(want) == 1:
        return f"{head}: it was summed over the wrong axis" if got[0] in names else head
    if np.prod(got) == np.prod(want):
        return f"{head}: the entries are arranged in another shape"
    return f"{head}, which is {axes(want, sizes)}" if axes(want, sizes) != str(want) else head


def _taken_out(larger, smaller):
    """The sizes of the axes that must go to get from one shape to the other; None if none do."""
    if len(larger) <= len(smaller):
        return None
    for drop in combinations(range(len(larger)), len(larger) - len(smaller)):
        if tuple(n for i, n in enumerate(larger) if i not in drop) == tuple(smaller):
            return tuple(larger[i] for i in drop)
    return None


def _named(shape, names):
    return ", ".join(f"{names[n]} ({n})" if n in names else str(n) for n in shape)


# ------------------------------------------------------------------------------ values


def _special(name, got, want):
    if not got.any():
        return f"{name} is zero everywhere"
    if np.array_equal(got, np.broadcast_to(got.flat[0], got.shape)) and got.size > 1:
        return f"{name} is {got.flat[0]:.6g} everywhere: it does not depend on what it should"
    if fits(got, -want, want):
        return f"{name} has the wrong sign everywhere"
    if fits(got, np.abs(want), want):
        return f"{name} is the absolute value of what is asked: its sign is lost"
    return None


def _as_terms(name, got, want, terms, formula):
    """The smallest sum of named terms that explains what was got, compared with the right one."""
    flat = {term: np.broadcast_to(np.asarray(a, np.float64), got.shape).ravel() for term, a in terms.items()}
    found = sum_of_terms(got.ravel(), flat, formula)
    if found is None or min(abs(factor) for factor in found.values()) < 1e-6:
        return None  # what is that small is no term but a slight error
    ratios = {found.get(term, 0) / factor for term, factor in formula.items()}
    if set(found) == set(formula) and max(ratios) - min(ratios) < 1e-6:
        return None  # a constant ratio of everything
    asked = f"{_written(found)}, where {_written(formula)} is asked"
    if len(formula) > 1 and not set(found) & set(formula):
        return f"{name} is {asked}"
    return f"{name} {_difference(found, formula)}: it is {asked}"


def sum_of_terms(got, terms, formula):
    """term -> factor, the fewest terms that make up `got` (n,) exactly, those of `formula` first."""
    size = np.max(np.abs(got))
    names = sorted(terms, key=lambda term: term not in formula)
    for count in range(1, min(MOST, len(got) // 2) + 1):
        best = None
        for chosen in combinations(names, count):
            matrix = np.stack([terms[term] for term in chosen], axis=1)
            factors = np.linalg.lstsq(matrix, got, rcond=None)[0]
            if np.max(np.abs(matrix @ factors - got)) <= FIT * size:
                alike = sum(abs(formula.get(t, 0) - f) < 1e-6 for t, f in zip(chosen, factors, strict=True))
                plain = all(abs(f * 12 - round(f * 12)) < 1e-5 for f in factors)
                if best is None or (plain, alike) > best[0]:
                    best = ((plain, alike), dict(zip(chosen, factors.tolist(), strict=True)))
        if best:
            return best[1]
    return None


def _difference(found, formula):
    missing = [t for t in formula if t not in found]
    extra = [t for t in found if t not in formula]
    other = [t for t in found if t in formula and abs(found[t] - formula[t]) > 1e-6]
    if len(missing) == 1 and len(extra) == 1 and not other:
        return f"has {extra[0]} where {missing[0]} belongs"
    words = [f"lacks the {_term(t, formula[t])}" for t in missing]
    words += [f"has the {_term(t, found[t])} too many" for t in extra]
    for term in other:
        if term == "1":
            words.append(f"has the constant {_factor(found[term])}, not {_factor(formula[term])}")
            continue
        ratio = found[term] / formula[term]
        if abs(ratio + 1) < 1e-6:
            words.append(f"has the wrong sign at the term {term}")
        else:
            words.append(f"has {_factor(found[term])} times {term}, not {_factor(formula[term])} times")
    return " and ".join(words)


def _term(term, factor):
    return f"constant {_factor(factor)}" if term == "1" else f"term {term}"


def _written(formula):
    """{"mu^2": 0.5, "1": -0.5} as "1/2 mu^2 - 1/2"."""
    parts = []
    for term, factor in formula.items():
        size = _factor(abs(factor))
        body = size if term == "1" else term if size == "1" else f"{size} {term}"
        sign = ("- " if factor < 0 else "+ ") if parts else ("-" if factor < 0 else "")
        parts.append(sign + body)
    return " ".join(parts) or "0"


def _factor(value):
    for bottom in (1, 2, 3, 4, 6, 8):
        top = value * bottom
        if abs(top - round(top)) < 1e-6 and round(top):
            return f"{round(top)}" if bottom == 1 else f"{round(top)}/{bottom}"
    return f"{value:.4g}"


def _ratio(name, got, want, sizes):
    large = np.abs(want) > 1e-6 * np.max(np.abs(want), initial=0)
    if not large.any():
        return None
    ratio = float(np.median(got[large] / want[large]))
    if got.size == 1 and not ratio_names(ratio, {k: float(v) for k, v in sizes.items() if v > 1}, 1e-6):
        return None  # of one number any ratio is constant
    if ratio and abs(abs(ratio) - 1) > 1e-6 and fits(got, ratio * want, want):
        if abs(ratio - 0.5) < FIT:
            return f"{name} is exactly half of what it should be everywhere"
        if abs(ratio - 2) < FIT:
            return f"{name} is exactly twice what it should be everywhere"
        names = ratio_names(ratio, {k: float(v) for k, v in sizes.items() if v not in (0, 1)}, 1e-6)
        words = (
            ratio_words(names[0], {k: float(v) for k, v in sizes.items()})
            if names
            else f"a constant ratio {ratio:.6g}"
        )
        return f"{name} has the {words} to what it should be, everywhere".replace("the a ", "a ")
    offset = float(np.median(got - want))
    if got.size > 1 and fits(got, want + offset, want):
        return f"{name} is off by the constant {offset:+.6g} everywhere"
    return None


def _almost(name, got, want, of_largest, of_each):
    size = np.max(np.abs(want), initial=0) or 1.0
    error = np.abs(got - want)
    if (error <= np.maximum(of_largest * size, of_each * np.abs(want))).all():
        return (
            f"{name} is right but for {np.max(error) / size:.0e} of its largest entry: is a small constant "
            "added, or something rounded on the way (float16, float32)?"
        )
    return None


def _cut(name, got, want):
    """Whole numbers where there are none, or cut off at a limit."""
    whole = np.array_equal(got, np.round(got)) and np.max(np.abs(got)) < 2**52
    if got.size > 1 and whole and not np.array_equal(want, np.round(want)):
        return f"{name} has whole numbers only: is it rounded, or stored in an array of integers?"
    low, high = np.min(got), np.max(got)
    limits = [f"{end:.4g}" for end in (low, high) if 1 < np.sum(got == end) < got.size]
    if limits and fits(got, np.clip(want, low, high), want):
        return f"{name} is cut off at {' and '.join(limits)}: is it clipped?"
    return None


def _times(name, got, want, inputs):
    """A factor of an input that is one too many."""
    for key, value in inputs.items():
        if (
            value.ndim > got.ndim
            or not value.all()
            or np.broadcast_shapes(value.shape, got.shape) != got.shape
        ):
            continue
        with np.errstate(all="ignore"):
            factors = {
                key: value,
                f"1 / {key}": 1 / value,
                f"{key}^2": value**2,
                f"e^{key}": np.exp(value),
                f"e^-{key}": np.exp(-value),
                f"e^({key}/2)": np.exp(value / 2),
                f"e^-({key}/2)": np.exp(-value / 2),
            }
            for factor, k in factors.items():
                for c, words in (
                    (1, ""),
                    (-1, ", and the wrong sign"),
                    (2, ", and a 2"),
                    (0.5, ", and a 1/2"),
                ):
                    if fits(got, c * k * want, want):
                        return f"{name} has a factor {factor} too many{words}"
    return None


def _moved(name, got, want):
    if np.max(np.abs(got - want), initial=0) <= 1e-6 * np.max(np.abs(want), initial=0):
        return None
    if got.ndim == 2 and got.shape[0] == got.shape[1] and fits(got, want.T, want):
        return f"{name} is transposed"
    for axis, line in zip(range(got.ndim), ("first axis", "second axis", "third axis"), strict=False):
        if fits(got, np.flip(want, axis), want):
            return f"{name} has the right numbers in reverse order along the {line}"
        for by in (1, -1):
            if fits(got, np.roll(want, by, axis), want):
                return f"{name} has the right numbers, shifted by {by:+d} along the {line}"
    apart = np.max(np.abs(got - want), initial=0) > 1e-6 * np.max(np.abs(want), initial=0)
    if apart and fits(np.sort(got, axis=None), np.sort(want, axis=None), np.sort(want, axis=None) + 1):
        return f"{name} has the right numbers in the wrong places"
    return None


def _clipped(name, got, want):
    """The right result, cut off below or above."""
    low, high = (got.min() > want.min(), got.max() < want.max()) if got.size > 3 else (False, False)
    if (
        not (low or high)
        or got.min() == got.max()
        or not fits(got, np.clip(want, got.min(), got.max()), want)
    ):
        return None
    ends = " and ".join(
        [f"below at {got.min():.6g}"] * bool(low) + [f"above at {got.max():.6g}"] * bool(high)
    )
    return f"{name} is clipped {ends}: beyond that it is the same whatever the input"


def _beyond(name, got, want, inputs):
    """Wrong only where an input lies beyond some value, as where it is clipped or a case is forgotten."""
    size = np.max(np.abs(want), initial=0) or 1.0
    wrong = np.abs(got - want) > 1e-6 * size
    if not wrong.any() or wrong.all():
        return None
    for key, value in inputs.items():
        for words, least, v in (
            ("above", np.max, value),
            ("below", np.max, -value),
            ("beyond", np.max, np.abs(value)),
        ):
            v = _reduced(v, wrong.shape, least)
            if v is not None and v[wrong].min() > v[~wrong].max():
                edge = 0.5 * (v[wrong].min() + v[~wrong].max()) * (-1 if words == "below" else 1)
                if v[~wrong].max() <= 0 <= v[wrong].min():
                    edge = 0
                about = "0" if edge == 0 else f"about {'+-' * (words == 'beyond')}{edge:.2g}"
                zero = " (it is zero there)" if not got[wrong].any() else ""
                where = f"{key} is {words} {about}{zero}"
                return f"{name} is wrong only where {where}: is {key} clipped, or a case left out?"
    return None


def _reduced(v, shape, least):
    """`v` repeated to `shape`, or where it has one axis more, the `least` of that; None if neither fits."""
    inner = shape[len(shape) - v.ndim :]
    if v.shape != inner and v.shape[:-1] == shape[len(shape) - v.ndim + 1 :]:
        v = least(v, axis=-1)
    return np.broadcast_to(v, shape) if v.shape == shape[len(shape) - v.ndim :] else None


def _rows(name, got, want):
    size = np.max(np.abs(want), initial=0) or 1.0
    wrong = np.abs(got - want) > 1e-6 * size
    for axis, line in zip(range(got.ndim), ("row", "column", "third axis"), strict=False):
        if got.shape[axis] < 3:
            continue
        lines = wrong.any(axis=tuple(i for i in range(got.ndim) if i != axis))
        if lines.sum() == 1:
            at = int(np.argmax(lines))
            which = {0: f"first {line}", got.shape[axis] - 1: f"last {line}"}.get(at, f"{line} {at}")
            part = np.take(got, at, axis)
            loop = ": does a loop leave it out?" if not part.any() else ""
            return f"{name} is wrong in its {which} alone{loop}"
    return None


def _nearly(name, got, want):
    """Right to a few digits: something is rounded, or a small number was added for safety."""
    size = np.max(np.abs(want), initial=0)
    error = np.max(np.abs(got - want), initial=0)
    if not size or error > 1e-3 * size:
        return None
    return (
        f"{name} is right to about {int(-np.log10(error / size))} digits and not to 9: is a small number "
        "added for safety (1e-8 in a log or a divisor), or something rounded (float32, 3.14 for pi)?"
    )


def _function_of(name, got, want):
    candidates = {
        "its square": want * want,
        "its exponential": np.exp(np.minimum(want, 300)),
        "its reciprocal": 1 / np.where(want == 0, 1, want),
        "its integer part": np.trunc(want),
        "its rounded value": np.round(want),
    }
    for words, guess in candidates.items():
        if fits(got, guess, want):
            return f"{name} is not what is asked but {words}"
    for axis in range(got.ndim):
        if got.shape[axis] > 1:
            spread = np.broadcast_to(want.sum(axis=axis, keepdims=True), got.shape)
            if fits(got, spread, want) or fits(got, spread / got.shape[axis], want):
                return f"{name} is summed or averaged over axis {axis} and repeated: a kept axis broadcast"
    return None
