"""check(f, grads, params) and check_pair(forward, backward, *inputs): every entry against its slope.

Of a large array a random subset is compared, and projections along random directions, which every entry
enters; where a projection is wrong and the subset is right, halving the direction finds the entry.
"""

import copy
import inspect
from functools import partial

import numpy as np

from .. import arguments
from .report import Report, Row, raised
from .slopes import EPS, choose_slope, number, units
from .verdict import may_be_rounding, verdict

LIMIT, SUBSET, PROJECTIONS = 2000, 24, 3  # entries that are all compared; of larger arrays, a subset
TOLERANCE = {True: 2.0**-12, False: 1e-11}  # of the largest entry, in float32 and in float64
ROUNDINGS = 64  # of the terms of a derivative
TINY = 1e-305  # below it float64 loses digits
DATA = ("eps", "noise", "x", "target", "labels", "condition")  # trailing inputs that need no derivative
RANDOM = "is random: called twice it gives other bits. Draw the noise once and pass it in"


def compare(name, term, got, slope, shape, rng, *, low=False, limit=LIMIT, floor=0.0, natural=None, **named):
    """One derivative against slope(v): all entries, or projections and a subset -> Row.

    low              whether it was computed in float32
    floor, natural   absolute error of rounding that is allowed; natural() is allowed as well to an error
                     whose cause is open, and called only if something differs
    named            of `verdict`: known, terms, sizes, others
    """
    size, value, whole = int(np.prod(shape)), np.asarray(got), int(np.prod(shape)) <= limit
    flat = np.arange(size) if whole else np.sort(rng.choice(size, SUBSET, replace=False))
    want, error, left, right = np.array([slope(v) for v in units(shape, flat)]).reshape(-1, 4).T.copy()
    if value.shape != tuple(shape) or value.dtype.kind not in "fiub":
        expected = want.reshape(shape) if whole else np.zeros(shape)
        words = "is missing" if got is None else verdict(got, expected)
        return Row(name, term, value.shape, (), np.nan, np.nan, np.inf, words, np.ones(shape))
    value = value.astype(float)
    given, scale = value.ravel()[flat], np.abs(want).max(initial=0)
    error = np.maximum(error, 3 * np.median(error))  # one estimate may be too small by chance
    inexact = error.max(initial=0) > 1e-14 * scale  # as differences are
    tolerance = max(TOLERANCE[low], 1e-8 * inexact)
    for k in np.flatnonzero(~(np.abs(given - want) <= tolerance * scale)):
        # at a corner the slope of either side will do
        sides = np.array([left[k], right[k], -slope(-next(units(shape, flat[k : k + 1])))[0]])
        room = 1e-3 * np.abs(sides).max()
        if np.ptp(sides) > room and sides.min() - room <= given[k] <= sides.max() + room:
            want[k] = given[k]
    missed = []
    for v in (rng.standard_normal(shape) for _ in range(PROJECTIONS * (not whole))):
        exact, noise, *sides = slope(v)
        room = 0.03 * tolerance * max(abs(exact), np.sqrt(np.sum((v * value) ** 2))) + 10 * noise
        if sides[0] == sides[1] and not abs(exact - np.sum(v * value)) <= room + floor * np.sqrt(size):
            missed.append(v)
    if missed and not verdict(given, want, tolerance=tolerance, floor=floor + 10 * error):
        flat = np.append(flat, _halve(value, slope, missed[0]))
        last = slope(next(units(shape, flat[-1:])))
        want, error, given = np.append(want, last[0]), np.append(error, last[1]), value.ravel()[flat]
    form, named = (shape, named) if whole else ((len(flat),), {"sizes": named.get("sizes")})
    say = partial(verdict, given.reshape(form), want.reshape(form), tolerance=tolerance, **named)
    floor = (floor + 10 * error + TINY).reshape(form)
    words = say(floor=floor)
    gap, scale = np.nan_to_num(np.abs(given - want), nan=np.inf), scale or np.abs(given).max(initial=0) or 1.0
    if natural is not None and may_be_rounding(words):
        rounding = float(np.finfo(np.float32).eps) if low else EPS
        words = say(floor=floor + ROUNDINGS * rounding * (terms := natural()))
        scale = scale if words else max(scale, terms)
    words = words or "wrong along random directions, in entries that were not compared" * bool(missed)
    k, chart = int(np.argmax(gap)), np.zeros(size)
    chart[flat] = gap / scale
    index = tuple(int(i) for i in np.unravel_index(flat[k], shape))
    numbers = (float(n) for n in (given[k], want[k], gap[k] / scale))
    return Row(name, term, value.shape, index, *numbers, words, chart.reshape(shape))


def check(f, grads, params, method="auto", sizes=None, known=None, rng=None):
    """Your `grads` against the derivatives of f at `params` -> Report.

    f(params) -> number; params and grads: dicts of arrays under the same names, or one array each.
    method  "complex" is exact to rounding; "central" takes differences; "auto" takes the complex step for
            each array where it can be believed, and says where it cannot
    sizes   name -> number, what a ratio may be called: {"B": 8, "D": 784}
    known   name -> array: factors that may be missing
    rng     Generator of directions and subsets (default: always the same)
    """
    if not isinstance(params, dict):
        return against(lambda p: f(p["x"]), {"x": grads}, {"x": params}, method, rng, sizes, known)
    if not isinstance(grads, dict) or set(params) != set(grads):
        names = ", ".join(grads) if isinstance(grads, dict) else type(grads).__name__
        raise ValueError(f"grads must have the names of params, {', '.join(params)}; got {names}")
    return against(f, grads, params, method, rng, sizes, known)


def against(f, grads, params, method="auto", rng=None, sizes=None, known=None, guess=None):
    """`check` of dicts; guess(name) -> what else `verdict` may know of this derivative."""
    arguments.one_of("method", method, ("auto", "complex", "central"))
    rng = np.random.default_rng(0) if rng is None else arguments.generator("rng", rng)
    point = {name: arguments.cast(name, arguments.numeric(name, p), np.float64) for name, p in params.items()}
    report = Report(f"gradient check of {len(point)} arrays")

    def whole(point):
        return number(f({name: p.copy() for name, p in point.items()}))

    with np.errstate(all="ignore"):
        try:
            first, again = whole(point), whole(point)
        except Exception as error:  # an error of the code that is checked belongs in the report
            report.problems = [raised("f", error)]
            return report
        if not np.isfinite(first) or first != again:
            text = f"is not finite: {first}" if not np.isfinite(first) else RANDOM
            report.problems = [f"the loss {text}"]
            return report
        for name, x in point.items():
            of = lambda v, name=name: whole({**point, name: v})  # noqa: E731
            low = np.float32 in (np.asarray(params[name]).dtype, np.asarray(grads[name]).dtype)
            slope, note = choose_slope(of, x, rng, method)
            report.notes += [f"{name}: f {note}"] * bool(note)
            loose = f"{name}: float32, so {TOLERANCE[True]:.0e} of the largest entry is allowed"
            report.notes += [loose] * low
            dead = f"dead input: {name} is zero everywhere, which hides errors in what it multiplies"
            report.notes += [dead] * (x.ndim > 1 and not x.any())
            named = {"known": known, "sizes": sizes or {f"n = {n}": n for n in x.shape if n > 4}}
            named |= guess(name) if guess else {}
            others = {f"d{n}": g for n, g in grads.items() if n != name}
            named |= {"others": named.get("others", {}) | others, "low": low}
            named["natural"] = partial(_natural, whole, point, name, slope, rng)
            row = compare(name, "loss", grads[name], partial(slope, of, x), x.shape, rng, **named)
            report.rows.append(row)
    return report


def _natural(f, point, name, slope, rng):
    """The size of a derivative whose terms saturate or cancel: measured nearer to zero, and beside x."""
    v, slopes = rng.standard_normal(point[name].shape), []
    for t in (1.0, 0.3, 0.03, 1e-6):
        sizes = {n: np.sqrt(np.mean(p * p)) or 1.0 for n, p in point.items()}
        near = {n: t * (p + 0.1 * sizes[n] * rng.standard_normal(p.shape)) for n, p in point.items()}
        for place, shrunk in ((near, t if t > 0.01 else 1.0), ({**point, name: near[name]}, 1.0)):
            of = lambda y, place=place: f({**place, name: y})  # noqa: E731
            slopes.append(slope(of, place[name], v)[0] / shrunk)
    return np.abs(slopes).max(initial=0, where=np.isfinite(slopes))


def check_pair(forward, backward, *inputs, rng=None, names=None, method="auto", sizes=None, guess=None):
    """An operation against its backward -> Report, under a random upstream gradient.

    forward(*inputs) -> y, or (y, cache); backward(dy, cache), or backward(dy, *inputs) where there is no
    cache -> the derivative with respect to every input that is an array of floats, in order; a single array
    for one input. Trailing data, such as eps or x, needs none.
    sizes, guess    what a ratio may be called; guess(name, dy) -> what else `verdict` may know
    """
    rng = np.random.default_rng(0) if rng is None else arguments.generator("rng", rng)
    inputs = [np.asarray(v) if isinstance(v, (list, np.ndarray)) else v for v in inputs]
    names = names or [*inspect.signature(forward).parameters, *(f"input{i}" for i in range(len(inputs)))]
    report = Report(f"{getattr(forward, '__name__', 'forward')} and its backward, random upstream gradient")
    floats = [getattr(v, "dtype", np.dtype(int)).kind in "fc" for v in inputs]
    at = {name: v for name, v, is_float in zip(names, inputs, floats, strict=False) if is_float}
    copies, out, problems = copy.deepcopy(inputs), None, report.problems
    try:
        out = forward(*copies)
        y, *cache = out if isinstance(out, tuple) else (out,)
        dy = rng.standard_normal(np.shape(y)).astype(np.result_type(np.float32, np.asarray(y).dtype))
        upstream, parameters = dy.copy(), list(inspect.signature(backward).parameters)
        together = len(cache) > 1 and len(parameters) == 2
        given = [tuple(cache)] if together else cache or copies
        returned = backward(upstream, *given)
        if cache and parameters[1:] == names[: len(inputs)] and not _same(cache, inputs):
            problems.append(
                f"forward returns {len(out)} values and backward takes the inputs: return y alone"
            )
    except Exception as error:  # an error of the code that is checked belongs in the report
        text = " (forward returned a tuple, which is read as y and the cache of backward)"
        report.problems = [raised("the pair", error) + text * isinstance(out, tuple)]
        return report
    listed = returned if isinstance(returned, (tuple, list)) else (returned,)
    grads = dict(zip(at, listed, strict=False))
    if isinstance(returned, dict):
        grads = {name.removeprefix("d"): grad for name, grad in returned.items()}
    elif len(listed) > len(at):
        problems.append(f"backward returns {len(listed)} derivatives for {len(at)} inputs of floats")
    pairs = zip(names, inputs, copies, strict=False)
    changed = [name for name, a, b in pairs if isinstance(a, np.ndarray) and not np.array_equal(a, b)]
    changed += ["its upstream gradient"] * (not np.array_equal(upstream, dy))
    params = {n: v for n, v in at.items() if grads.get(n) is not None or n not in DATA or n == next(iter(at))}
    if not params:
        problems.append("there is nothing to check: no input is an array of floats")

    def f(values):
        y = forward(*(values.get(name, v) for name, v in zip(names, inputs, strict=False)))
        return np.sum(dy * (y[0] if isinstance(y, tuple) else y))

    sizes = sizes or (dict(zip(("B", "n"), np.shape(y), strict=False)) if np.ndim(y) <= 2 else {})
    guess, known = guess and partial(guess, dy=dy), {"dy": dy} | at
    found = against(f, {n: grads.get(n) for n in params}, params, method, rng, sizes, known, guess)
    report.rows, report.notes = found.rows, found.notes
    if changed:
        first = f"; {report.first.sentence}" if report.first else ""
        problems.append(f"the pair changes {' and '.join(changed)} in place{first}")
    report.problems = problems + found.problems
    return report


def _same(cache, inputs):
    """Whether a cache holds nothing but inputs, or has another form than arrays."""
    arrays = [v for v in inputs if isinstance(v, np.ndarray)]
    return all(not isinstance(c, np.ndarray) or any(np.array_equal(c, v) for v in arrays) for c in cache)


def _halve(value, slope, v):
    """Flat index at which got and the slope differ: the half that differs more is halved again."""

    def gap(start, stop):
        part = np.zeros(value.size)
        part[start:stop] = v.ravel()[start:stop]
        return abs(slope(part.reshape(v.shape))[0] - np.sum(part * value.ravel()))

    low, high = 0, value.size
    while high - low > 1:
        middle = (low + high) // 2
        low, high = (low, middle) if gap(low, middle) >= gap(middle, high) else (middle, high)
    return low
