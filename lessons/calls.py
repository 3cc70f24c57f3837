"""Call the learner's functions with care.

Arguments are handed out as copies, so that a change of one is seen; an exception becomes a sentence with the
line where it left the learner's code; a function argument counts how it is called.
"""

import copy
import inspect
import linecache
import re
import time
import traceback
from collections import deque

import numpy as np

SLOW = 0.5  # seconds of a call that are worth a word


class Failed(Exception):
    """An answer that is not right: one sentence, then lines of evidence.

    line: where in the learner's file, if that is known; cause: how it was found, "" if nothing explains it
    """

    def __init__(self, sentence, details=(), line=None, cause="known"):
        super().__init__(sentence)
        self.sentence, self.details, self.line, self.cause = sentence, tuple(details), line, cause


class Cost:
    """A cost f(z) for the learner's function; shape: what z must have; most: how many calls are allowed."""

    def __init__(self, f, shape, most=1, name="f"):
        self.f, self.shape, self.most, self.name, self.calls = f, shape, most, name, 0

    def anew(self):
        """The same cost, not called yet."""
        return Cost(self.f, self.shape, self.most, self.name)

    def __call__(self, z):
        z = np.asarray(z)
        if z.shape != self.shape:
            words = f"{self.name} is called with an array of shape {z.shape}: it takes all of z, {self.shape}"
            raise Failed(words + "; is it called with mu?" * (z.shape == self.shape[1:]))
        self.calls += 1
        if self.calls > self.most:
            words = "call it once, with all samples together, and keep its costs"
            raise Failed(f"{self.name} is called again: {words}", cause="called")
        return self.f(z)


class Its:
    """The functions of one implementation by name, each called with care.

    load() gives them anew; slow(seconds) is told of each call that takes longer than SLOW and all before
    """

    def __init__(self, functions, load=None, slow=lambda seconds: None):
        self._functions, self._load, self._watched = functions, load, deque(maxlen=20)
        self.strided, self.written, self.alone, self.passed = False, (), False, {}
        self._slow, self._slowest = slow, SLOW

    def __getattr__(self, name):
        if name.startswith("_") or name not in self._functions:
            raise AttributeError(name)
        return lambda *args, **options: self._call(name, args, options)

    def fresh(self):
        """The functions loaded anew, without what earlier calls left behind."""
        return Its(self._load() if self._load else self._functions, self._load, self._slow)

    def between(self, name, *args, **options):
        """A call in between, with other arguments: whatever it leaves behind must not matter."""
        if not self.alone and name in self._functions:
            self._call(name, args, options)

    def _call(self, name, args, options):
        function = self._functions[name]
        names = _parameters(function) or [f"number {i}" for i in range(1, len(args) + 1)]
        # handed on as they are: what is written into a cache, or left in a model, must be seen
        whole = [n for n, name in enumerate(names) if name in ("cache", "model")]
        given = [a if n in whole else copied(a, self.strided) for n, a in enumerate(args)]
        before, kept, begin = copied(given), copied([*self._watched]), time.perf_counter()
        try:
            with np.errstate(all="ignore"):
                result = function(*given, **options)
        except Failed:
            raise
        except (Exception, SystemExit) as error:
            raise stopped(name, error, file_of(function)) from error
        if (seconds := time.perf_counter() - begin) > self._slowest:
            self._slowest = seconds
            self._slow(seconds)
        for (earlier, what, now), (_, _, then) in zip(self._watched, kept, strict=True):
            if not same(now, then):
                words = f"{name} overwrites {what} of an earlier call of {earlier}"
                raise Failed(f"{words}: make a new array in each call", cause="overwritten")
        values = result if isinstance(result, tuple | list) else [result]
        named = [*zip(names, given, strict=False), *((f"result {i}", a) for i, a in enumerate(values, 1))]
        self._watched.extend((name, n, a) for n, a in named if _arrays(a) and n not in self.written)
        for parameter, old, new in zip(names, before, given, strict=False):
            if parameter not in self.written:
                _unchanged(name, parameter, old, new)
        if not self.written:
            return result
        return tuple(dict(zip(names, given, strict=False))[parameter] for parameter in self.written)


def _arrays(value):
    """Whether it is an array, or a dict of arrays such as gradients."""
    return isinstance(value, np.ndarray) or (isinstance(value, dict) and all(map(_arrays, value.values())))


def one_or_several(name, result, names):
    """The results as a tuple in the order of their names."""
    if result is None:
        raise Failed(f"{name} returns None: is the return missing?")
    if len(names) == 1:
        if isinstance(result, tuple):
            words = "is there a comma too many?" if len(result) == 1 else f"expected {names[0]} alone"
            raise Failed(f"{name} returns a tuple of {len(result)}: {words}")
        return (result,)
    if not isinstance(result, tuple | list):
        raise Failed(f"{name} returns one value, expected {len(names)}: {', '.join(names)}")
    if len(result) != len(names):
        count = f"{len(result)} value{'s' * (len(result) != 1)}"
        raise Failed(f"{name} returns {count}, expected {len(names)}: {', '.join(names)}")
    return tuple(result)


def _unchanged(name, parameter, before, after):
    """Refuse that an argument was written to: an array, or a model's parameters."""
    if isinstance(before, np.ndarray | list | tuple) and parameter != "cache" and not same(before, after):
        raise Failed(
            f"{name} changes its argument {parameter}, which the caller still needs: make a new array "
            f"instead of writing into {parameter} with +=, *= or {parameter}[...] ="
        )
    if hasattr(before, "params") and not same(before.params, after.params):
        if before.params.keys() != after.params.keys():
            raise Failed(f"{name} adds to {parameter}.params or takes from it: leave the model as it is")
        key = next(k for k in before.params if not same(before.params[k], after.params[k]))
        raise Failed(
            f"{name} changes {parameter}.params[{key!r}]: only the optimizer changes parameters. Make a new "
            "array instead of writing into one with += or -="
        )


def stopped(name, error, file):
    """The Failed of an exception that code of this file raised, with the line where it left that code."""
    if isinstance(error, NotImplementedError) and "not written yet" in str(error):
        return Failed(str(error), cause="hole")
    if isinstance(error, MemoryError):
        traceback.clear_frames(error.__traceback__)  # frees what has grown: there may be no room for words
    mine = [frame for frame in traceback.extract_tb(error.__traceback__) if frame.filename == file]
    line = mine[-1].lineno if mine else None
    text = [f"line {line}: {linecache.getline(file, line).strip()}"] if mine else []
    if isinstance(error, SystemExit):
        return Failed(f"{name} calls exit: a function returns", text, line)
    if isinstance(error, ModuleNotFoundError):
        return Failed(f"there is no module named {error.name!r}: NumPy is all you need", text, line)
    if isinstance(error, MemoryError):
        return Failed(
            f"{name} needs more memory than there is: does an array or a list grow too large?", text, line
        )
    try:
        message = " ".join(str(error).split())
    except Exception:  # an exception of the learner's own, which cannot say what it is
        message = ""
    words = f"{name} stops with {type(error).__name__}" + f": {message}{about(message)}" * bool(message)
    return Failed(words, text, line, cause="stopped")


def about(message):
    """A hint where NumPy complains about shapes, or about an array where a number belongs."""
    shapes = [tuple(map(int, re.findall(r"\d+", s))) for s in re.findall(r"\(([\d, ]+)\)", message)]
    if "broadcast" in message and len(shapes) == 2:
        short, long = sorted(shapes, key=len)
        if len(short) < len(long) and short == long[: len(short)]:
            return ". The shorter one needs a new axis at its end: [..., None]"
        for a, b in (shapes, shapes[::-1]):
            kept = tuple(n for n in a if n != 1)
            if len(kept) < len(a) == len(b) and kept == b[: len(kept)]:
                return f". {a} has its new axis in the wrong place: it belongs at the end, [..., None]"
    hints = {
        "matmul": ". The inner sizes of a product must be equal: is a transpose missing, or the order wrong?",
        "truth value of an array": ". An `if` decides once for the whole array; use np.where",
        "complex": ". An array of floats has no room for an imaginary part: use x.astype(complex)",
        "Python scalar": ". The functions of `math` take one number; those of NumPy take arrays",
        "size-1": ". The functions of `math` take one number; those of NumPy take arrays",
    }
    return next((hint for part, hint in hints.items() if part in message), "")


def file_of(function):
    """The file that a function is written in, None if that is not known."""
    return getattr(getattr(function, "__code__", None), "co_filename", None)


def signature(parts, functions):
    """Every function is there and takes the arguments that the stub names."""
    for part in parts:
        mine = functions[part.name]
        if not callable(mine):
            raise Failed(f"{part.name} is {type(mine).__name__}, expected a function")
        want, got = _parameters(part.function), _parameters(mine)
        if got is not None and got[: len(want)] != want and not any(name.startswith("*") for name in got):
            raise Failed(f"{part.name} takes ({', '.join(got)}), expected ({', '.join(want)})")


def _parameters(function):
    try:
        parameters = inspect.signature(function).parameters.values()
    except (TypeError, ValueError):
        return None
    names = [str(p) if p.kind in (p.VAR_POSITIONAL, p.VAR_KEYWORD) else p.name for p in parameters]
    return ["model" if name == "self" else name for name in names]


def copied(value, strided=False):
    """A copy of what a function could write into; strided: of arrays, one that is not contiguous."""
    if isinstance(value, np.ndarray):
        return np.repeat(value.T, 2, axis=-1)[..., ::2].T if strided and value.ndim else value.copy()
    if type(value) in (tuple, list):
        return type(value)(copied(v, strided) for v in value)
    if type(value) is dict:
        return {k: copied(v, strided) for k, v in value.items()}
    if isinstance(value, Cost):
        return value.anew()
    return copy.deepcopy(value) if hasattr(value, "params") else value


def same(a, b):
    """Whether two values are the same, bit by bit."""
    if isinstance(a, tuple | list) and isinstance(b, tuple | list):
        return len(a) == len(b) and all(same(x, y) for x, y in zip(a, b, strict=True))
    if isinstance(a, np.ndarray) or isinstance(b, np.ndarray):
        a, b = np.asarray(a), np.asarray(b)
        equal = np.array_equal(a, b, equal_nan=a.dtype.kind in "fc" and b.dtype.kind in "fc")
        return a.shape == b.shape and (a.dtype.kind == "O" or equal)
    if isinstance(a, dict) and isinstance(b, dict):
        return a.keys() == b.keys() and all(same(a[k], b[k]) for k in a)
    if isinstance(a, float) and isinstance(b, float):
        return a == b or (a != a and b != b)
    return True
