"""Call the functions under judgement, a learner's or the library's, with care.

Arguments are handed out as copies, so that writing into one is seen; every call is made twice, so that noise
drawn inside is seen; an exception becomes a sentence with the line where it left the learner's code.
"""

import copy
import inspect
import linecache
import re
import traceback

import numpy as np

from .exercise import Failed


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
            given = {key: copied(value) for key, value in arguments.items()}
            self._told(name, function, tuple(given.values()), {})
            for key, value in given.items():
                if key not in written:
                    _unchanged(name, key, arguments[key], value)
            runs.append({key: given[key] for key in written})
        if not same(*runs):
            raise Failed(
                f"{name} changes {', '.join(written)} in another way when it is called again with the same "
                "arguments: it keeps something from the call before"
            )
        return runs[0]

    def _call(self, name, function, args, options):
        twins = [copied(a) for a in args]
        result = self._once(name, function, args, options)
        if not same(result, self._once(name, function, twins, options)):
            again = f"{name} gives another answer when it is called again with the same arguments"
            if name.endswith("_backward"):
                raise Failed(f"the noise was drawn again in the backward pass: {again}")
            raise Failed(f"{again}: it draws noise, or keeps something from the call before")
        return result

    def _once(self, name, function, args, options):
        given = [copied(a) for a in args]
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
            raise stopped(name, error, file_of(function)) from error


def _unchanged(name, parameter, before, after):
    """Refuse that an argument was written to: an array, or a model's parameters."""
    if isinstance(before, np.ndarray) and not same(before, after):
        raise Failed(
            f"{name} changes its argument {parameter}: the caller still needs it. Make a new array, "
            f"instead of writing into {parameter} with += or {parameter}[...] ="
        )
    if hasattr(before, "params") and not same(before.params, after.params):
        if before.params.keys() != after.params.keys():
            raise Failed(f"{name} adds to {parameter}.params or takes from it: leave the model as it is")
        key = next(k for k in before.params if not same(before.params[k], after.params[k]))
        raise Failed(
            f"{name} changes {parameter}.params[{key!r}]: the parameters are the optimizer's to change. Make "
            "a new array, instead of writing into one with += or -="
        )


def stopped(name, error, file):
    """The Failed of an exception that code of this file raised, with the line where it left that code."""
    if isinstance(error, NotImplementedError) and "not written yet" in str(error):
        return Failed(str(error))
    frames = traceback.extract_tb(error.__traceback__)
    mine = [frame for frame in frames if frame.filename == file]
    line = mine[-1].lineno if mine else None
    text = [f"line {line}: {linecache.getline(file, line).strip()}"] if mine else []
    if isinstance(error, SystemExit):
        return Failed(f"{name} calls exit: a function returns", text, line)
    if isinstance(error, ModuleNotFoundError):
        return Failed(f"there is no module named {error.name!r}: NumPy is all that is needed", text, line)
    if isinstance(error, MemoryError):
        return Failed(
            f"{name} asks for more memory than there is: is an array made much too large?", text, line
        )
    try:
        words = " ".join(str(error).split()) + _about_shapes(str(error))
    except Exception:  # an exception of the learner's own, which cannot say what it is
        words = ""
    return Failed(f"{name} stops with {type(error).__name__}" + f": {words}" * bool(words), text, line)


def file_of(function):
    """Where a function was written, None where that is not known."""
    return getattr(getattr(function, "__code__", None), "co_filename", None)


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
    if "complex" in message:
        return ". An array of floats has no place for an imaginary part: take x.astype(complex)"
    if "Python scalar" in message:
        return ". The functions of `math` take one number; those of NumPy take arrays"
    return ""


def signature(exercise, functions):
    """Every function is there and takes the arguments that the stub names."""
    for function in exercise.functions:
        name = function.__name__
        mine = functions[name]
        if not callable(mine):
            raise Failed(f"{name} is {type(mine).__name__}, expected a function")
        want, got = _parameters(function), _parameters(mine)
        if got is not None and got[: len(want)] != want and not any(part.startswith("*") for part in got):
            raise Failed(f"{name} takes ({', '.join(got)}), expected ({', '.join(want)})")


def _parameters(function):
    try:
        parameters = inspect.signature(function).parameters.values()
    except (TypeError, ValueError):
        return None
    names = [str(p) if p.kind in (p.VAR_POSITIONAL, p.VAR_KEYWORD) else p.name for p in parameters]
    return ["model" if name == "self" else name for name in names]


def copied(value):
    """A copy of what a function could write into: arrays, arrays in a cache, a model's parameters."""
    if isinstance(value, np.ndarray):
        return value.copy()
    if type(value) in (tuple, list):
        return type(value)(copied(v) for v in value)
    if type(value) is dict:
        return {k: copied(v) for k, v in value.items()}
    if hasattr(value, "params"):
        twin = copy.copy(value)
        twin.params = copied(value.params)
        return twin
    return value


def same(a, b):
    if isinstance(a, tuple | list) and isinstance(b, tuple | list):
        return len(a) == len(b) and all(same(x, y) for x, y in zip(a, b, strict=True))
    if isinstance(a, np.ndarray) or isinstance(b, np.ndarray):
        a, b = np.asarray(a), np.asarray(b)
        return a.shape == b.shape and (a.dtype.kind == "O" or a.tobytes() == b.tobytes())
    if isinstance(a, dict) and isinstance(b, dict):
        return a.keys() == b.keys() and all(same(a[k], b[k]) for k in a)
    if isinstance(a, float) and isinstance(b, float):
        return a == b or (a != a and b != b)
    return True
