"""Judge an implementation: call it carefully, and say in one sentence what is wrong with what it returns.

`Judged` wraps the functions under judgement, a learner's or the library's: it hands out copies, sees whether
an argument was written to, and calls twice to see whether noise is drawn inside. `expect` holds a result to
its reference, in a teacher's order: type, shape, finite, values; `explain` finds the cause.
"""

import contextlib
import copy
import inspect
import linecache
import re
import traceback
from itertools import permutations

import numpy as np

from .exercise import Failed
from .explain import axes, explain, fits, shape_words

DOUBLE, SINGLE = 1e-9, 2e-5  # of the largest entry: what rounding may leave


class Judged:
    """The functions of one implementation by name, each called with care."""

    def __init__(self, functions):
        self._functions = functions

    def __getattr__(self, name):
        function = self._functions[name]
        return lambda *args, **options: self._call(name, function, args, options)

    def raw(self, name):
        """The function itself, to be handed to another."""
        return self._functions[name]

    def changed(self, name, arguments, written):
        """Call a function whose task is to write into the arguments named in `written`.

        arguments  parameter -> value, in the function's order; all but those written must stay as they are
        Returns what became of those written, by name.
        """
        function, runs = self._functions[name], []
        for _ in range(2):
            given = {key: _copy(value) for key, value in arguments.items()}
            self._told(name, function, tuple(given.values()), {})
            for key, value in given.items():
                if key not in written:
                    _unchanged(name, key, arguments[key], value)
            runs.append({key: given[key] for key in written})
        if not _same(*runs):
            raise Failed(
                f"{name} changes {', '.join(written)} in another way when it is called again with the same "
                "arguments: it keeps something from the call before"
            )
        return runs[0]

    def _call(self, name, function, args, options):
        again = [_copy(a) for a in args]
        result = self._once(name, function, args, options)
        if not _same(result, self._once(name, function, again, options)):
            raise Failed(
                f"{name} gives another answer when it is called again with the same arguments: it draws "
                "noise, or keeps something from the call before"
            )
        return result

    def _once(self, name, function, args, options):
        given = [_copy(a) for a in args]
        result = self._told(name, function, given, options)
        for parameter, before, after in zip(_parameters(function) or [], args, given, strict=False):
            _unchanged(name, parameter, before, after)
        return result

    def _told(self, name, function, args, options):
        """The result, and what it raises as a Failed."""
        try:
            with np.errstate(all="ignore"):
                return function(*args, **options)
        except Failed:
            raise
        except (Exception, SystemExit) as error:
            raise stopped(name, error, function) from error


def _unchanged(name, parameter, before, after):
    """Refuse that an argument was written to: an array, or a model's parameters."""
    if isinstance(before, np.ndarray) and not _same(before, after):
        raise Failed(
            f"{name} changes its argument {parameter}: the caller still needs it. Make a new array, "
            f"instead of writing into {parameter} with += or {parameter}[...] ="
        )
    if hasattr(before, "params") and not _same(before.params, after.params):
        if before.params.keys() != after.params.keys():
            raise Failed(f"{name} adds to {parameter}.params or takes from it: leave the model as it is")
        key = next(k for k in before.params if not _same(before.params[k], after.params[k]))
        raise Failed(
            f"{name} changes {parameter}.params[{key!r}]: the parameters are the optimizer's to change. Make "
            "a new array, instead of writing into one with += or -="
        )


def stopped(name, error, function=None):
    """The Failed of an exception that the learner's code raised, with the line where it left that code."""
    if isinstance(error, NotImplementedError) and "not written yet" in str(error):
        return Failed(str(error))
    own = getattr(getattr(function, "__code__", None), "co_filename", None)
    frames = traceback.extract_tb(error.__traceback__)
    mine = [frame for frame in frames if frame.filename == own]
    line = mine[-1].lineno if mine else None
    text = [f"line {line}: {linecache.getline(own, line).strip()}"] if mine else []
    if isinstance(error, SystemExit):
        return Failed(f"{name} calls exit: a function returns", text, line)
    if isinstance(error, MemoryError):
        return Failed(
            f"{name} asks for more memory than there is: is an array made much too large?", text, line
        )
    try:
        words = " ".join(str(error).split()) + _about_shapes(str(error))
    except Exception:  # an exception of the learner's own, which cannot say what it is
        words = ""
    return Failed(f"{name} stops with {type(error).__name__}" + f": {words}" * bool(words), text, line)


def _about_shapes(message):
    """A hint where NumPy complains about shapes, or about an array where a number belongs."""
    shapes = [tuple(map(int, re.findall(r"\d+", s))) for s in re.findall(r"\(([\d, ]+)\)", message)]
    if "broadcast" in message and len(shapes) == 2:
        short, long = sorted(shapes, key=len)
        if len(short) < len(long) and short == long[: len(short)]:
            return ". The shorter one wants a new axis at its end: [..., None]"
        for a, b in (shapes, shapes[::-1]):
            kept = tuple(n for n in a if n != 1)
            if len(kept) < len(a) == len(b) and kept == b[: len(kept)]:
                return f". {a} has its new axis in the wrong place: at the end, [..., None]"
    if "matmul" in message or "not aligned" in message:
        return ". The inner sizes of a product must be equal: is a transpose missing, or the order wrong?"
    if "truth value of an array" in message:
        return ". An `if` decides once for the whole array; np.where decides for every entry"
    if "Python scalar" in message:
        return ". The functions of `math` take one number; those of NumPy take arrays"
    return ""


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
        raise Failed(f"{failed.sentence} ({note})", failed.details, failed.line) from failed.__cause__


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
        nan, inf = (
            "a log or a root of a negative number, inf - inf, 0 * inf",
            "an exp that overflows, the log of 0",
        )
        cause = nan if np.isnan(got[at]) else inf
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
    raise Failed(sentence + (f" ({note})" if note else ""), evidence(got, want))


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
                if (
                    np.shape(wants[i]) == np.shape(wants[j])
                    and close(results[i], wants[j])
                    and close(results[j], wants[i])
                ):
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
    try:
        results = [np.asarray(r, np.float64) for r in results]
    except (ValueError, TypeError):
        return
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


def _known_not_finite(got, want, wrong, note):
    """Raise Failed if a listed mistake is NaN or infinite at the same places, and alike at the others."""
    try:
        got = np.asarray(got, np.float64)
    except (ValueError, TypeError):
        return
    finite = np.isfinite(got)
    if finite.all() or got.shape != np.shape(want):
        return
    for sentence, guess in wrong:
        guess = np.asarray(guess)
        alike = guess.shape == got.shape and guess.dtype.kind == "f"
        alike = alike and np.array_equal(got[~finite], guess[~finite], equal_nan=True)
        if alike and np.isfinite(guess[finite]).all() and close(got[finite], guess[finite]):
            at = tuple(np.argwhere(~finite)[0])
            line = f"{_place(at)}: got {got[at]}, want {np.asarray(want)[at]:.8g}".lstrip(": ")
            raise Failed(sentence + (f" ({note})" if note else ""), [line])


def mixes(function, args, results):
    """Whether what a function says of the first data changes when the others are left out.

    args     arrays (B,) or (..., B, L), and whatever else it takes
    results  what it returned, one array (..., B, L) or several
    """

    def first(a):
        if not isinstance(a, np.ndarray) or not a.ndim:
            return a
        return a[: len(a) // 2] if a.ndim == 1 else a[..., : a.shape[-2] // 2, :]

    several = isinstance(results, tuple | list)
    fewer = function(*(first(a) for a in args))
    pairs = zip(results, fewer, strict=True) if several else [(results, fewer)]
    return not all(np.allclose(first(np.asarray(a)), b, rtol=1e-6, atol=1e-12) for a, b in pairs)


MIXED = (
    "what {} says of one datum changes when the others are left out: is something summed or averaged over "
    "the "
    "batch inside, or the wrong axis taken?"
)


def mistaken(wrong, name, *args):
    """Pairs (sentence, value) of the listed wrong answers, for `expect`: what each gives here."""
    found = []
    for answer in wrong:
        if name in answer.functions and answer.says:
            try:
                with np.errstate(all="ignore"):
                    found.append((answer.says, answer.functions[name](*[_copy(a) for a in args])))
            except Exception:  # a wrong answer may fail in any way, and then explains nothing
                continue
    return found


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


def biased(name, mean, exact, error, reasons=()):
    """Raise Failed if a mean is more than 5 of its standard errors from the exact value.

    reasons: pairs (ratio, sentence), the mean over the exact value and what it would mean
    """
    z = (mean - exact) / error
    if abs(z) <= 5:
        return
    detail = f"its mean is {mean:.6g} +- {error:.2g}, exact {exact:.6g}: {abs(z):.0f} standard errors apart"
    for ratio, sentence in reasons:
        if abs(mean - ratio * exact) <= 5 * error:
            raise Failed(sentence, [f"{name}: {detail}"])
    raise Failed(f"{name} is biased: its mean is {mean / exact:.3g} times the exact gradient", [detail])


def rather(check, its, failed):
    """Raise what a check of the values says, if it knows the cause; else `failed`."""
    try:
        check(its)
    except Failed as known:
        if "no mistake known" not in known.sentence:
            raise
    raise failed


def report(found):
    """Raise Failed with the headline of a gradient check's report, if it is not ok."""
    if not found.ok:
        raise Failed(found.headline.removeprefix("WRONG: "), str(found).splitlines()[-len(found.rows) - 1 :])


def signature(exercise, functions):
    """Every function is there and takes the arguments that the stub names."""
    for function in exercise.functions:
        name = function.__name__
        mine = functions[name]
        if not callable(mine):
            raise Failed(f"{name} is {type(mine).__name__}, expected a function")
        want, got = exercise.parameters(function), _parameters(mine)
        if got is not None and got[: len(want)] != want and not any(part.startswith("*") for part in got):
            raise Failed(f"{name} takes ({', '.join(got)}), expected ({', '.join(want)})")


def _parameters(function):
    try:
        parameters = inspect.signature(function).parameters.values()
    except (TypeError, ValueError):
        return None
    names = [str(p) if p.kind in (p.VAR_POSITIONAL, p.VAR_KEYWORD) else p.name for p in parameters]
    return ["model" if name == "self" else name for name in names]


def _copy(value):
    """A copy of what a function could write into: arrays, arrays in a cache, a model's parameters."""
    if isinstance(value, np.ndarray):
        return value.copy()
    if type(value) in (tuple, list):
        return type(value)(_copy(v) for v in value)
    if type(value) is dict:
        return {k: _copy(v) for k, v in value.items()}
    if hasattr(value, "params"):
        twin = copy.copy(value)
        twin.params = _copy(value.params)
        return twin
    return value


def _same(a, b):
    if isinstance(a, tuple | list) and isinstance(b, tuple | list):
        return len(a) == len(b) and all(_same(x, y) for x, y in zip(a, b, strict=True))
    if isinstance(a, np.ndarray) or isinstance(b, np.ndarray):
        a, b = np.asarray(a), np.asarray(b)
        return a.shape == b.shape and (a.dtype.kind == "O" or a.tobytes() == b.tobytes())
    if isinstance(a, dict) and isinstance(b, dict):
        return a.keys() == b.keys() and all(_same(a[k], b[k]) for k in a)
    if isinstance(a, float) and isinstance(b, float):
        return a == b or (a != a and b != b)
    return True


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
