"""Exercise: the complex step, a derivative that is exact to rounding because it subtracts nothing."""

import re
import warnings

import numpy as np

from minivae import gradcheck
from minivae.gradcheck import references

from .. import judging
from ..judging import Exercise, Failed, Wrong, fits

EXACT = (
    1e-13  # of the largest entry: ten times what rounding leaves here, a thousandth of what differences leave
)
SHAPES = ((6,), (3, 4), (2, 3, 5))


class Spy:
    """f, and what it was asked: it takes arguments of x's shape, and keeps the steps that were made."""

    def __init__(self, f, x):
        self.f, self.x, self.steps, self.shifted, self.single = f, x.astype(float), [], False, False

    def __call__(self, x):
        x = np.asarray(x)
        if x.shape != self.x.shape:
            raise Failed(
                f"f is called with an array of shape {x.shape}, and x has the shape {self.x.shape}: f takes "
                "the whole x, with one coordinate moved"
            )
        if x.dtype.kind == "c":
            self.steps.append(np.imag(x).copy())
            self.single |= x.dtype.itemsize < 16
            self.shifted |= not np.array_equal(np.real(x), self.x)
        return self.f(x)

    @property
    def h(self):
        """The largest imaginary part, 0 if there was none."""
        return max((float(np.max(np.abs(step))) for step in self.steps), default=0.0)

    @property
    def moved(self):
        """How many coordinates were complex, call by call."""
        return [int(np.count_nonzero(step)) for step in self.steps if step.any()]

    def quotients(self):
        """Im f(x + ih) / h with the steps that were made, NaN where there was none."""
        found = np.full(self.x.shape, np.nan)
        for step in self.steps:
            if np.count_nonzero(step) == 1:
                i = int(np.flatnonzero(step)[0])
                found.flat[i] = np.imag(self.f(self.x + 1j * step)) / step.flat[i]
        return found


def waves(x):
    """sum_i sin(3 x_i) w_i + (sum_i x_i)^3 / 10, with w_i = 1, 1.3, 1.6 ..."""
    return (np.sin(3 * x) * _weights(x)).sum() + x.sum() ** 3 / 10


def waves_slope(x):
    """Its gradient."""
    return 3 * np.cos(3 * x) * _weights(x) + 0.3 * x.sum() ** 2


def steep(x):
    """sum_i e^(12 x_i) w_i / 12: what a step of 1e-6 misses is 2e-11 of its slope."""
    return (np.exp(12 * x) * _weights(x)).sum() / 12


def steep_slope(x):
    """Its gradient."""
    return np.exp(12 * x) * _weights(x)


def _weights(x):
    return 1 + 0.3 * np.arange(x.size).reshape(x.shape)


def check_shapes(its):
    """The gradient of sines, for x of one axis, of two and of three."""
    for shape in SHAPES:
        x = np.random.default_rng(50).normal(0.2, 0.7, shape)
        _gradient(its, waves, waves_slope, x, f"x of shape {shape}" if shape != SHAPES[0] else "")


def check_digits(its):
    """A function that bends so much that a step of 1e-6 would be seen."""
    x = np.random.default_rng(51).normal(0.0, 0.3, (3, 4))
    _gradient(its, steep, steep_slope, x, "f(x) is a sum of e^(12 x)")


def check_integers(its):
    """x of whole numbers: neither x nor the gradient may stay in that type."""
    x = np.array([[1, -2, 3], [0, 2, -1]])
    _gradient(its, waves, waves_slope, x, "x of integers")


def check_scales(its):
    """Coordinates of very different size, from 1e-6 to 1e6: the step is added to each, whatever its size."""
    x = np.array([1e-6, -0.02, 3.0, 500.0, -1e6])
    _gradient(its, lambda x: (x * x).sum() / 2 + x.sum(), lambda x: x + 1, x, "x from 1e-6 to 1e6", each=True)


def _gradient(its, f, slope, x, note="", each=False):
    """Hold the gradient of f at x to its formula; `each`: every entry by its own size."""
    spy = Spy(f, x)
    try:
        with warnings.catch_warnings(record=True) as said:
            warnings.simplefilter("always")
            try:
                got = its.complex_step(spy, x)
            except Failed as failed:
                lost = re.search("cast ufunc|not 'complex'|convert complex", failed.sentence) is not None
                raise Failed(failed.sentence + f". {FLOATS}" * lost, failed.details, failed.line) from (
                    failed.__cause__
                )
        dropped = any(issubclass(one.category, np.exceptions.ComplexWarning) for one in said)
        _judged(spy, got, np.asarray(slope(spy.x)), dropped, each)
    except Failed as failed:
        words = failed.sentence + f" ({note})" * bool(note)
        raise Failed(words, failed.details, failed.line) from failed.__cause__


def _judged(spy, got, want, dropped, each):
    if sentence := cause_in_calls(spy, got, want, dropped):
        raise Failed(sentence)
    if isinstance(got, complex) or getattr(got, "dtype", np.dtype(float)).kind == "c":
        raise Failed("the gradient is complex: of f(x + ih) / h the slope is the imaginary part alone")
    got = judging.array("the gradient", got, want.shape, {})
    allowed = 1e-6 if got.dtype.kind == "f" and got.dtype.itemsize == 4 else EXACT
    size = np.abs(want) if each else np.max(np.abs(want))
    off = np.abs(got - want)
    if (off <= allowed * size).all():
        return
    with np.errstate(all="ignore"):
        sentence = cause_in_values(spy, got.astype(float), want)
    error = float(np.max(off / size))
    if not sentence and error < 1e-3:
        sentence = (
            f"the gradient is right to {_digits(error)} digits only, where the complex step is exact to "
            "rounding: is the result rounded, or kept in single precision on the way?"
        )
    if sentence:
        raise Failed(sentence, judging.evidence(got, want))
    judging.expect("the gradient", got, want, {"n": want.size} if want.size > 1 else {})


def cause_in_calls(spy, got, want, dropped):
    """What is wrong with the arguments that f was called with, None if nothing is."""
    moved = spy.moved
    if not moved:
        if dropped:
            return f"the step is lost before f sees it. {FLOATS}"
        if spy.shifted:
            return "the step is real: h is added, where 1j * h moves x into the complex plane"
        if spy.steps:
            return "f is called with an imaginary part of 0: the step is 1j * h, and h is above 0"
        if not np.any(got):
            return f"f is called with x itself, and nothing is seen of a step: it is 1j * h. {FLOATS}"
        close = np.shape(got) == want.shape and float(np.max(np.abs(got - want)) / np.max(np.abs(want)))
        lost = f" (right to {_digits(close)} digits here)" if close and close < 1e-2 else ""
        return (
            "f is never called with a complex argument: differences of real values subtract nearly equal "
            f"numbers and lose digits{lost}. The complex step subtracts nothing: Im f(x + ih) / h"
        )
    if spy.single:
        return (
            "f is called with complex64, two numbers of single precision: x.astype(complex) keeps all digits"
        )
    if spy.shifted:
        return "the real part of x is moved as well: only ih is added, and x stays where it is"
    if dropped and not np.any(got):
        return (
            "the imaginary part is lost when the result is stored: f(x + ih) is complex, take np.imag of it"
        )
    if max(moved) > 1 and moved[0] == 1:
        return (
            "a coordinate keeps its step while the next ones are taken, so that slopes add up: put it back, "
            "or start from a new copy of x each time"
        )
    if max(moved) == want.size > 1:
        return (
            "h is added to all coordinates at once, and that gives the sum of all slopes: one coordinate at "
            "a time, and one call of f for each"
        )
    if max(moved) > 1:
        return (
            f"h is added to {max(moved)} coordinates at once, as to a row x[i]: one coordinate at a time, "
            "by x.flat[i] or np.ndindex(x.shape)"
        )
    return None


def cause_in_values(spy, got, want):
    """What was made of f(x + ih), None if that cannot be told."""
    h, value, made = spy.h, float(spy.f(spy.x)), spy.quotients()
    known = {
        "the real part is taken, f(x) / h: the slope is in the imaginary part": value / h,
        "the real part is taken and not divided by h: the slope is in the imaginary part": value,
        "the imaginary part is not divided by h: it is h times the slope": h * want,
        "the imaginary part is multiplied by h, where it must be divided": h * h * want,
        "the imaginary part is divided by h twice": want / h,
        "the imaginary part is divided by 2h: 2h belongs to a difference of two values": made / 2,
        "f(x + ih) - f(x - ih) is divided by h: it is twice what one step gives": 2 * made,
        "the sign is wrong: is f called at x - ih?": -made,
        "the absolute value of f is taken: the slope is in the imaginary part": np.hypot(value, h * want) / h,
        "the angle of f is taken: the slope is in the imaginary part": np.angle(value + 1j * h * want) / h,
        "the gradient is cut to whole numbers: it is stored in an array of integers, as x is": np.trunc(want),
        "the coordinate is multiplied by 1 + ih: then the step is h times the coordinate. Add ih": want
        * spy.x,
    }
    for sentence, guess in known.items():
        if fits(got, guess + np.zeros(want.shape), want):
            return sentence
    if got.size > 1 and got.any() and np.ptp(got) <= 1e-9 * np.max(np.abs(got)):
        return (
            f"the gradient is {got.flat[0]:.6g} everywhere: the real part of f(x + ih) is f(x) for every "
            "coordinate, the slope is in the imaginary part"
        )
    error = float(np.max(np.abs(got - want)) / np.max(np.abs(want)))
    if np.allclose(got, made, rtol=1e-9, atol=0):
        if h < 1e-290:
            return (
                f"h = {h:g} is too small: so close to 0 a number has fewer digits than elsewhere. Take 1e-30"
            )
        return (
            f"h = {h:g} is too large: the error of Im f(x + ih) / h grows as h^2, and leaves "
            f"{_digits(error)} digits here. Nothing is subtracted, so h may be 1e-30"
        )
    filled = got != 0
    if filled.any() and not filled.all() and np.allclose(got[filled], want[filled], rtol=1e-9, atol=0):
        where, zeros = int(np.flatnonzero(~filled)[0]), int(np.count_nonzero(~filled))
        return (
            f"{zeros} of {got.size} entries of the gradient {'is' if zeros == 1 else 'are'} 0, such as "
            f"number {where}: the loop leaves coordinates out. There are x.size of them"
        )
    return None


def _digits(error):
    return max(0, int(-np.log10(max(error, 1e-17))))


CHECKS = {
    "x of any shape": check_shapes,
    "every digit": check_digits,
    "coordinates of any size": check_scales,
    "x of integers": check_integers,
}
ANY, DIGITS, SCALES, INTEGERS = CHECKS

FLOATS = (
    "An array of floats or integers has no place for the imaginary part: step on a copy that is complex, "
    "x.astype(complex)"
)


# ------------------------------------------------------------------------------ wrong answers


def _each(slope, prepare=lambda x: x.astype(complex), reset=True, h=1e-30, end=0, done=lambda d, x: d):
    """A loop over coordinates.

    slope    f(x with one coordinate moved by ih) and h -> an entry
    prepare  x -> what is stepped on
    reset    whether it is made anew for each coordinate
    """

    def complex_step(f, x):
        x = np.asarray(x)
        found, moved = np.zeros(x.shape), prepare(x)
        for i in range(x.size - end):
            moved = prepare(x) if reset else moved
            moved.flat[i] = moved.flat[i] + 1j * h
            found.flat[i] = slope(f(moved), h)
        return done(found, x)

    return {"complex_step": complex_step}


def _imag(value, h):
    return np.imag(value) / h


def _differences(step, both):
    """Differences of real values: of both sides, or forward only."""

    def complex_step(f, x):
        x = np.asarray(x, float)
        found = np.zeros(x.shape)
        for i in range(x.size):
            v = np.zeros(x.shape)
            v.flat[i] = step
            found.flat[i] = (f(x + v) - f(x - v)) / (2 * step) if both else (f(x + v) - f(x)) / step
        return found

    return {"complex_step": complex_step}


def _in_place(f, x):
    found = np.zeros(x.shape)
    for i in range(x.size):
        v = np.zeros(x.shape)
        v.flat[i] = 1
        found.flat[i] = np.imag(f(x + 1e-30j * v)) / 1e-30
    x *= 0
    return found


def _rows(f, x):
    found = np.zeros(x.shape)
    for i in range(len(x)):
        moved = x.astype(complex)
        moved[i] += 1e-30j
        found[i] = np.imag(f(moved)) / 1e-30
    return found


def _flat_argument(f, x):
    flat = x.ravel().astype(complex)
    steps = 1e-30j * np.eye(x.size)
    return np.array([np.imag(f(flat + step)) / 1e-30 for step in steps]).reshape(x.shape)


def _as_x(f, x):
    found = np.zeros_like(x)
    for i in range(x.size):
        moved = x.astype(complex)
        moved.flat[i] += 1e-30j
        found.flat[i] = np.imag(f(moved)) / 1e-30
    return found


def _relative(f, x):
    found = np.zeros(x.shape)
    for i in range(x.size):
        moved = x.astype(complex)
        h = 1e-3 * abs(x.flat[i]) + 1e-12
        moved.flat[i] += 1j * h
        found.flat[i] = np.imag(f(moved)) / h
    return found


WRONG = (
    Wrong(_each(lambda value, h: np.real(value) / h), ANY, "the real part is taken, f(x) / h"),
    Wrong(_each(lambda value, h: np.imag(value)), ANY, "the imaginary part is not divided by h"),
    Wrong(_each(lambda value, h: np.imag(value) / (2 * h)), ANY, "the imaginary part is divided by 2h"),
    Wrong(_each(lambda value, h: np.imag(value) * h), ANY, "the imaginary part is multiplied by h"),
    Wrong(_each(lambda value, h: abs(value) / h), ANY, "the absolute value of f is taken"),
    Wrong(_each(lambda value, h: -np.imag(value) / h), ANY, "the sign is wrong: is f called at x - ih?"),
    Wrong(_each(_imag, h=1e-3), ANY, "h = 0.001 is too large: the error of Im f(x + ih) / h grows as h^2"),
    Wrong(_each(_imag, h=1e-6), ANY, "h = 1e-06 is too large: the error of Im f(x + ih) / h grows as h^2"),
    Wrong(_each(_imag, h=1e-320), ANY, "is too small: so close to 0 a number has fewer digits"),
    Wrong(
        _differences(1e-5, both=True),
        ANY,
        "f is never called with a complex argument: differences of real values subtract nearly equal "
        "numbers and lose digits",
    ),
    Wrong(
        _differences(1e-8, both=False), ANY, "f is never called with a complex argument: differences of real"
    ),
    Wrong({"complex_step": _in_place}, ANY, "complex_step changes its argument x"),
    Wrong(
        {"complex_step": lambda f, x: np.imag(f(x + 1e-30j)) / 1e-30 + np.zeros(x.shape)},
        ANY,
        "h is added to all coordinates at once, and that gives the sum of all slopes",
    ),
    Wrong({"complex_step": _rows}, ANY, "h is added to 4 coordinates at once, as to a row x[i]"),
    Wrong(_each(_imag, reset=False), ANY, "a coordinate keeps its step while the next ones are taken"),
    Wrong(_each(_imag, prepare=lambda x: x.astype(float)), ANY, "the step is lost before f sees it"),
    Wrong(_each(_imag, done=lambda d, x: d.ravel()), ANY, "the entries are arranged in another shape"),
    Wrong(
        {"complex_step": _flat_argument}, ANY, "f is called with an array of shape (12,), and x has the shape"
    ),
    Wrong(
        _each(_imag, end=1),
        ANY,
        "1 of 6 entries of the gradient is 0, such as number 5: the loop leaves coordinates out",
    ),
    Wrong({"complex_step": _relative}, ANY, "is too large: the error of Im f(x + ih) / h grows as h^2"),
    Wrong({"complex_step": _as_x}, INTEGERS, "the gradient is cut to whole numbers"),
)


EXERCISE = Exercise(
    lesson=5,
    title="Differentiate without subtracting",
    task="""
    Write the complex step: the gradient of any f at x, to compare a backward pass with. f takes the whole x
    and returns one number; it works for complex x as well. x is an array of any shape, (n,), (n, m) ..., of
    floats or of integers, and the gradient has its shape. Call f once for each coordinate, with that one
    moved by ih; h may be 1e-30. `ops`, below, is the library's module of operations: none is needed here.
    """,
    functions=(gradcheck.complex_step,),
    hints=(
        "Where to look: lesson 5, the complex step. f(x + ih) = f(x) + ih f'(x) - h^2 f''(x) / 2 - ...: "
        "which part of it holds f' alone? One coordinate at a time, so x.size calls of f.",
        "The formula: df/dx_i = Im f(x + ih e_i) / h, where e_i is 1 at coordinate i and 0 elsewhere. "
        "Nothing is subtracted, so no digits are lost and h may be 1e-30. A complex array is needed to "
        "step on: x.astype(complex).",
        "All but the last line:\n"
        "    gradient = np.zeros(x.shape)                # floats, also where x has integers\n"
        "    for i in range(x.size):\n"
        "        moved = x.astype(complex)               # a new copy each time\n"
        "        moved.flat[i] += 1e-30j\n"
        "        gradient.flat[i] = ...                  # from f(moved)",
    ),
    checks=CHECKS,
    wrong=WRONG,
    borrowed=("complex_slope",),
    shows=(references.complex_slope, references.coordinates),
)
