"""Differentiate without subtracting

Write the complex step: the gradient of a function f at x. A backward pass can be compared with it. f takes
the whole x and returns one number; it also works for complex x. x is an array of any shape, (n,), (n, m) ...,
of floats or of integers, and the gradient has the shape of x. Call f once for each coordinate, with only this
coordinate moved by ih; h may be 1e-30. You need nothing from the library.

Where to look: lesson 5, the complex step. f(x + ih) = f(x) + ih f'(x) - h^2 f''(x) / 2 - ...: in which part
of this number is f' the leading term? Move one coordinate at a time; this takes x.size calls of f.

The formula: df/dx_i = Im f(x + ih e_i) / h up to an error of order h^2, where e_i is 1 at coordinate i and 0
elsewhere. Nothing is subtracted, so no digits are lost and h may be 1e-30. The step needs a complex array:
x.astype(complex).
"""

import warnings

import numpy as np

from minivae import gradcheck

from ..calls import Failed, one_or_several
from ..walks import slips, walk
from . import Exercise, Part

# what may be wrong with the calls of f; the first row that holds counts. moved: for each step, how many
# coordinates it moves; steps: how many calls were complex; shifted: the real part of x was changed
CAUSES = """
    holds = not moved and dropped  # the step is lost before f sees it: step on x.astype(complex)
    holds = not moved and steps and shifted  # the step is real: h is added, where 1j * h belongs
    holds = not moved and steps  # f is called with an imaginary part of 0: is h 0, or 1j missing?
    holds = not moved and not shifted  # f sees no step: add 1j * h to one coordinate of x.astype(complex)
    holds = not moved  # f is never called with a complex argument: a difference of real values loses digits
    holds = single  # f is called with complex64, two numbers of single precision: use x.astype(complex)
    holds = shifted  # the real part of x is moved as well: only ih is added
    holds = dropped and zero  # the imaginary part is lost when the result is stored: take np.imag first
    holds = most > 1 and moved[0] == 1  # a coordinate keeps its step while others move: copy x each time
    holds = most == size > 1  # h is added to all coordinates at once, which gives the sum of all slopes
    holds = most > 1  # h is added to {most} coordinates at once, perhaps to a row x[i]: use x.flat[i]
    holds = calls > size  # f is called {calls} times for {size} coordinates: once for each is enough
    holds = 0 < len(moved) < steps and has_zeros  # the step is 0 where x is 0: h must be the same everywhere
"""


class Spy:
    """f, and how it is called: it takes arguments of the shape of x, and keeps the steps."""

    def __init__(self, f, x):
        self.f, self.x, self.steps, self.shifted, self.single = f, x.astype(float), [], False, False
        self.calls = 0

    def __call__(self, x):
        x = np.asarray(x)
        if x.shape != self.x.shape:
            raise Failed(
                f"f is called with an array of shape {x.shape}, and x has the shape {self.x.shape}: f takes "
                "the whole x, with one coordinate moved"
            )
        self.calls += 1
        if x.dtype.kind == "c":
            self.steps.append(np.imag(x).copy())
            self.single |= x.dtype.itemsize < 16
        self.shifted |= not np.array_equal(np.real(x), self.x)
        return self.f(x)

    def cause(self, got, dropped):
        """What is wrong with these calls, "" if nothing is; dropped: whether an imaginary part was lost."""
        moved = [int(np.count_nonzero(step)) for step in self.steps if step.any()]
        known = {"moved": moved, "most": max(moved, default=0), "dropped": dropped, "size": self.x.size}
        known |= {"calls": self.calls, "steps": len(self.steps), "shifted": self.shifted, "len": len}
        known |= {"single": self.single, "has_zeros": not np.all(self.x)}
        known |= {"zero": isinstance(got, np.ndarray) and not np.any(got)}
        rows = ((walk("", known, lines)["holds"], words) for lines, words in slips(CAUSES))
        return next((words.format(**known) for holds, words in rows if holds), "")


def waves(x):
    """sum_i sin(3 x_i) w_i + (sum_i x_i)^3 / 10, with w_i = 1, 1.3, 1.6 ..."""
    return (np.sin(3 * x) * _weights(x)).sum() + x.sum() ** 3 / 10


def steep(x):
    """sum_i e^(12 x_i) w_i / 12: a step of 1e-6 leaves an error of 2e-11 in its slope."""
    return (np.exp(12 * x) * _weights(x)).sum() / 12


def _weights(x):
    return 1 + 0.3 * np.arange(x.size).reshape(x.shape)


def draw(rng, n):
    """x of one axis, of two, of three and of none."""
    shapes = ((n.D,), (n.B, n.L), (2, n.L, n.S), ())
    return [(f"x of shape {s}", {"f": waves, "x": np.asarray(rng.normal(0.2, 0.7, s))}) for s in shapes]


def bent(rng, n):
    """A function that bends so much that a step of 1e-6 shows."""
    return {"f": steep, "x": rng.normal(0.0, 0.3, (n.S, n.L))}


def integers(rng, n):
    """x of whole numbers, some of them 0."""
    return {"f": waves, "x": rng.integers(-2, 3, (n.B, n.L))}


def scales():
    """Coordinates of very different size."""
    yield (
        "x from 1e-6 to 1e6",
        {"f": lambda x: (x * x).sum() / 2 + x.sum(), "x": np.array([1e-6, -0.02, 3, 500, -1e6])},
    )


def call(its, f, x):
    """The gradient, if f is called as it should be."""
    spy = Spy(f, x)
    with warnings.catch_warnings(record=True) as said:
        warnings.simplefilter("always")
        (got,) = one_or_several("complex_step", its.complex_step(spy, x), ["gradient"])
    if words := spy.cause(got, any(issubclass(one.category, np.exceptions.ComplexWarning) for one in said)):
        raise Failed(words)
    if np.asarray(got).dtype.kind == "c":
        raise Failed("the gradient is complex: the slope is the imaginary part of f(x + ih) / h alone")
    return got


STEP = Part(
    gradcheck.complex_step,
    returns="gradient",
    walk="""
        h = 1e-30
        units = eye(x.size).reshape(-1, *x.shape)  # 1 at one coordinate
        values = array([f(x + 1j * h * unit) for unit in units])
        slopes = imag(values) / h
        gradient = slopes.reshape(x.shape)
    """,
    slips="""
    slopes = real(values) / h  # the real part is taken, f(x) / h: the slope is in the imaginary part
    slopes = real(values)  # the real part is taken: the slope is in the imaginary part, divided by h
    slopes = imag(values)  # the division by h is missing
    slopes = abs(values) / h  # the absolute value of f is taken: the slope is in the imaginary part
    values = array([f(x + 1j * h * unit * x) for unit in units])  # the step is h times x: add ih
    h = 1e-320  # h = 1e-320 is too small: numbers so close to 0 have fewer digits. Take 1e-30
    h = SMALL  # h = SMALL is too large: the error grows as h^2. Nothing is subtracted, take 1e-30
    gradient = slopes  # the gradient is flat: it must have the shape of x
    gradient = (slopes * (arange(x.size) < x.size - 1)).reshape(x.shape)
        # the last coordinate is left out: the loop must run over all x.size coordinates
    gradient = (slopes * (arange(x.size) > 0)).reshape(x.shape)
        # the first coordinate is left out: the loop must run over all x.size coordinates
    gradient = (slopes * (arange(x.size) < len(x))).reshape(x.shape)
        # only len(x) coordinates are filled: the loop must run over all x.size coordinates
    """,
    shown="x = np.asarray(x, float)\n{walk}\nreturn gradient",
    cases={"x of any shape": draw, "every digit": bent, "x of integers": integers},
    far={"coordinates of any size": scales},
    call=call,
    single=False,
    tolerance=1e-13,
)

EXERCISE = Exercise(__doc__, lesson=5, parts=(STEP,), borrowed=("complex_slope",))
