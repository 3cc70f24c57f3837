"""Exercise: the complex step, a derivative that is exact to rounding because it subtracts nothing."""

import warnings

import numpy as np

from minivae import gradcheck
from minivae.gradcheck import references

from .. import judging
from ..judging import Exercise, Failed
from ..slips.complex_step import WRONG, cause_in_calls, cause_in_values, digits

EXACT = 1e-13  # of the largest entry: ten times what rounding leaves, a thousandth of what differences leave


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
    _gradient(its, waves, waves_slope, _draw(6))
    for shape in (3, 4), (2, 3, 5):
        with judging.noted(f"x of shape {shape}"):
            _gradient(its, waves, waves_slope, _draw(shape))


def _draw(shape):
    return np.random.default_rng(50).normal(0.2, 0.7, shape)


def check_digits(its):
    """A function that bends so much that a step of 1e-6 would be seen."""
    x = np.random.default_rng(51).normal(0.0, 0.3, (3, 4))
    with judging.noted("f(x) is a sum of e^(12 x)"):
        _gradient(its, steep, steep_slope, x)


def check_scales(its):
    """Coordinates of very different size, from 1e-6 to 1e6: the step is added to each, whatever its size."""
    x = np.array([1e-6, -0.02, 3.0, 500.0, -1e6])
    with judging.noted("x from 1e-6 to 1e6"):
        _gradient(its, lambda x: (x * x).sum() / 2 + x.sum(), lambda x: x + 1, x, each=True)


def check_integers(its):
    """x of whole numbers: neither x nor the gradient may stay in that type."""
    with judging.noted("x of integers"):
        _gradient(its, waves, waves_slope, np.array([[1, -2, 3], [0, 2, -1]]))


def _gradient(its, f, slope, x, each=False):
    """Hold the gradient of f at x to its formula; `each`: every entry by its own size."""
    spy = Spy(f, x)
    want = np.asarray(slope(spy.x))
    with warnings.catch_warnings(record=True) as said:
        warnings.simplefilter("always")
        got = its.complex_step(spy, x)
    dropped = any(issubclass(one.category, np.exceptions.ComplexWarning) for one in said)
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
            f"the gradient is right to {digits(error)} digits only, where the complex step is exact to "
            "rounding: is something rounded, or kept in single precision?"
        )
    if sentence:
        raise Failed(sentence, judging.evidence(got, want))
    judging.expect("the gradient", got, want, {"n": want.size} if want.size > 1 else {})


CHECKS = {
    "x of any shape": check_shapes,
    "every digit": check_digits,
    "coordinates of any size": check_scales,
    "x of integers": check_integers,
}

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
