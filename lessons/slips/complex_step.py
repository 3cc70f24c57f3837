"""What goes wrong with the complex step: how f is called, and what is made of f(x + ih)."""

import numpy as np

from ..judging import Wrong, fits

ANY, INTEGERS = "x of any shape", "x of integers"

FLOATS = "An array of floats or integers has no place for the imaginary part: step on x.astype(complex)"


def cause_in_calls(spy, got, want, dropped):
    """What is wrong with the arguments that f was called with, None if nothing is.

    spy      f, and what it was asked; dropped: whether an imaginary part was lost on the way
    """
    moved, error = spy.moved, relative(got, want)
    none, most = not moved, max(moved, default=0)
    lost = f" (right to {digits(error)} digits here)" if error < 1e-2 else ""
    cases = (
        (none and dropped, f"the step is lost before f sees it. {FLOATS}"),
        (none and spy.shifted, "the step is real: h is added, where 1j * h moves x into the complex plane"),
        (none and spy.steps, "f is called with an imaginary part of 0: the step is 1j * h, and h is above 0"),
        (
            none and not np.any(got),
            f"f is called with x itself, and nothing is seen of a step: it is 1j * h. {FLOATS}",
        ),
        (
            none,
            "f is never called with a complex argument: differences of real values subtract nearly equal "
            f"numbers and lose digits{lost}. The complex step subtracts nothing",
        ),
        (spy.single, "f is called with complex64, two numbers of single precision: take x.astype(complex)"),
        (spy.shifted, "the real part of x is moved as well: only ih is added, and x stays where it is"),
        (
            dropped and not np.any(got),
            "the imaginary part is lost when the result is stored: f(x + ih) is complex, take np.imag of it",
        ),
        (
            most > 1 and moved[0] == 1,
            "a coordinate keeps its step while the next ones are taken, so that slopes add up: put it "
            "back, or copy x anew each time",
        ),
        (
            most == want.size > 1,
            "h is added to all coordinates at once, which gives the sum of all slopes: one coordinate at a "
            "time, one call of f for each",
        ),
        (
            most > 1,
            f"h is added to {most} coordinates at once, as to a row x[i]: one coordinate at a time, by "
            "x.flat[i] or np.ndindex(x.shape)",
        ),
        (
            np.isnan(error) and len(moved) < len(spy.steps),
            "the step is 0 where x is 0: h is not relative to x, but the same for every coordinate",
        ),
    )
    return next((sentence for holds, sentence in cases if holds), None)


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
        "the slope is multiplied by f(x): the imaginary part alone is asked": value * want,
        "the absolute value of f is taken: the slope is in the imaginary part": np.hypot(value, h * want) / h,
        "the angle of f is taken: the slope is in the imaginary part": np.angle(value + 1j * h * want) / h,
        "the gradient is cut to whole numbers: it is stored in an array of integers, as x is": np.trunc(want),
        "the coordinate is multiplied by 1 + ih, a step of h times x: add ih": want * spy.x,
    }
    for sentence, guess in known.items():
        if fits(got, guess + np.zeros(want.shape), want):
            return sentence
    filled, error = got != 0, relative(got, want)
    zeros = got.size - int(np.count_nonzero(filled))
    cases = (
        (
            got.size > 1 and got.any() and np.ptp(got) <= 1e-9 * np.max(np.abs(got)),
            f"the gradient is {got.flat[0]:.6g} everywhere: the real part of f(x + ih) is f(x) for every "
            "coordinate, the slope is in the imaginary part",
        ),
        (
            np.allclose(got, made, rtol=1e-9, atol=0) and h < 1e-290,
            f"h = {h:g} is too small: so close to 0 a number has fewer digits than elsewhere. Take 1e-30",
        ),
        (
            np.allclose(got, made, rtol=1e-9, atol=0),
            f"h = {h:g} is too large: the error of Im f(x + ih) / h grows as h^2, and leaves {digits(error)} "
            "digits here. Nothing is subtracted, so h may be 1e-30",
        ),
        (
            0 < zeros < got.size and np.allclose(got[filled], want[filled], rtol=1e-9, atol=0),
            f"{zeros} of {got.size} entries of the gradient {'is' if zeros == 1 else 'are'} 0, such as "
            f"number {int(np.argmin(filled))}: the loop leaves coordinates out. There are x.size of them",
        ),
    )
    return next((sentence for holds, sentence in cases if holds), None)


def relative(got, want):
    """The largest error, of the largest entry; infinite where no numbers of this shape were got."""
    if not isinstance(got, np.ndarray) or got.dtype.kind not in "fc" or got.shape != want.shape:
        return np.inf
    return float(np.max(np.abs(got - want)) / np.max(np.abs(want)))


def digits(error):
    """How many digits a relative error leaves."""
    return max(0, int(-np.log10(max(error, 1e-17))))


# ------------------------------------------------------------------------------ wrong answers


def _each(
    says,
    slope=lambda value, h: np.imag(value) / h,
    check=ANY,
    h=1e-30,
    prepare=lambda x: x.astype(complex),
    reset=True,
    end=0,
    into=lambda x: np.zeros(x.shape),
    done=lambda d: d,
):
    """A wrong loop over the coordinates.

    slope    f(x with one coordinate moved by ih) and h -> an entry
    prepare  x -> what is stepped on; reset: whether it is made anew for each coordinate
    end      how many coordinates the loop leaves out; into: x -> where the slopes are stored
    """

    def complex_step(f, x):
        found, moved = into(x), prepare(x)
        for i in range(x.size - end):
            moved = prepare(x) if reset else moved
            moved.flat[i] = moved.flat[i] + 1j * h
            found.flat[i] = slope(f(moved), h)
        return done(found)

    return Wrong({"complex_step": complex_step}, check, says)


def _differences(f, x):
    steps = 1e-5 * np.eye(x.size).reshape(-1, *x.shape)
    return np.array([(f(x + step) - f(x - step)) / 2e-5 for step in steps]).reshape(x.shape)


def _at_once(f, x):
    return np.imag(f(x + 1e-30j)) / 1e-30 + np.zeros(x.shape)


def _rows(f, x):
    found = np.zeros(x.shape)
    for i in range(len(x)):
        moved = x.astype(complex)
        moved[i] += 1e-30j
        found[i] = np.imag(f(moved)) / 1e-30
    return found


def _flat(f, x):
    steps = 1e-30j * np.eye(x.size)
    return np.array([np.imag(f(x.ravel() + step)) / 1e-30 for step in steps]).reshape(x.shape)


WRONG = (
    _each("the real part is taken, f(x) / h", lambda value, h: np.real(value) / h),
    _each("the imaginary part is not divided by h", lambda value, h: np.imag(value)),
    _each("the imaginary part is divided by 2h", lambda value, h: np.imag(value) / (2 * h)),
    _each("the absolute value of f is taken", lambda value, h: abs(value) / h),
    _each("h = 1e-06 is too large: the error of Im f(x + ih) / h grows as h^2", h=1e-6),
    _each("is too small: so close to 0 a number has fewer digits", h=1e-320),
    _each("a coordinate keeps its step while the next ones are taken", reset=False),
    _each("the step is lost before f sees it", prepare=lambda x: x.astype(float)),
    _each("the entries are arranged in another shape", done=np.ravel),
    _each("1 of 6 entries of the gradient is 0, such as number 5: the loop leaves coordinates out", end=1),
    _each("the gradient is cut to whole numbers", check=INTEGERS, into=np.zeros_like),
    Wrong({"complex_step": _differences}, ANY, "f is never called with a complex argument"),
    Wrong({"complex_step": _at_once}, ANY, "h is added to all coordinates at once"),
    Wrong({"complex_step": _rows}, ANY, "h is added to 4 coordinates at once, as to a row x[i]"),
    Wrong({"complex_step": _flat}, ANY, "f is called with an array of shape (12,), and x has the shape"),
)
