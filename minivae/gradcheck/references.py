"""Two references for a derivative: the complex step, exact to rounding, and central differences.

Both are asked for the slope of f along a direction v, f'(x) . v. A coordinate is the direction that is 1
there and 0 elsewhere; a Gaussian direction sees every coordinate at once.

    complex step         f(x + ihv) = f(x) + ih f'(x).v - O(h^2), so f'.v = Im f(x + ihv) / h. Nothing is
                         subtracted, so h may be 1e-30 and the error is f's own rounding. (Squire and Trapp
                         1998). It needs f built from analytic functions: np.abs, norm and vdot drop Im.
    central difference   (f(x + hv) - f(x - hv)) / 2h = f'.v + c2 h^2 + c4 h^4 + ...; steps h, h/2.5, ... and
                         Richardson's extrapolation cancel c2, c4, ...; the entry of the table that changes
                         least is taken, and its change is the error. (Ridders 1982)
"""

from typing import NamedTuple

import numpy as np

STEP = 1e-30  # of the complex step
ROWS, SHRINK = 10, 2.5  # central steps from 1e-1 down to 3e-5 of the size of x
ROUNDING = np.finfo(np.float64).eps


class Slope(NamedTuple):
    """A slope along one direction. left and right differ where a corner lies within the smallest step."""

    value: float
    error: float
    left: float
    right: float
    kink: bool = False


def complex_slope(f, x, v):
    """f'(x) . v by one complex step, x and v of one shape."""
    value = np.imag(_scalar(f(x + 1j * (STEP * v)))) / STEP
    return Slope(value, ROUNDING * abs(value), value, value)


def central_slope(f, x, v, start=0.1):
    """f'(x) . v by central differences, extrapolated to step 0."""
    steps = start * _first_step(x, v) * SHRINK ** -np.arange(ROWS)  # (ROWS,)
    middle = np.real(_scalar(f(x)))
    above, below = (np.array([np.real(_scalar(f(x + s * h * v))) for h in steps]) for s in (1, -1))
    noise = ROUNDING * np.max(np.abs([middle, above[-1], below[-1]]))
    value, error = _richardson((above - below) / (2 * steps), noise / steps)
    right, left = (above - middle) / steps, (middle - below) / steps
    # a smooth f bends by h f'': the gap between the two sides shrinks with h. A corner's gap stays.
    gap = np.abs(right - left)
    kink = gap[-1] > max(0.5 * gap[-5], 64 * noise / steps[-1], 1e-6 * abs(value))
    return Slope(value, error, left[-1], right[-1], bool(kink))


def complex_step(f, x):
    """The gradient of f at x, exact to rounding: Im f(x + ih e_i) / h at every coordinate.

    f(x) -> number, analytic in x: exp, log, tanh, sqrt, powers, @, np.maximum and np.where on .real are;
    np.abs, np.linalg.norm, np.vdot and conjugates are not, and give 0 without a word (`check` finds that
    out). x any shape -> gradient of that shape.
    """
    x = np.asarray(x, np.float64)
    return np.array([complex_slope(f, x, v).value for v in coordinates(x.shape)]).reshape(x.shape)


def central_difference(f, x):
    """The gradient of f at x by differences -> gradient, error, both like x.

    error is an estimate of the reference's own noise floor, coordinate by coordinate.
    """
    x = np.asarray(x, np.float64)
    slopes = [central_slope(f, x, v) for v in coordinates(x.shape)]
    value, error = np.array([(s.value, s.error) for s in slopes]).reshape(-1, 2).T
    return value.reshape(x.shape), error.reshape(x.shape)


def coordinates(shape, flat=None):
    """The unit directions of an array of this shape: all, or those of the flat indices given."""
    for i in range(int(np.prod(shape))) if flat is None else flat:
        v = np.zeros(shape)
        v.flat[i] = 1
        yield v


def agrees_with_differences(f, x, rng, scale=1e-3, points=3):
    """Whether the complex step of f can be believed at x: it equals the central difference along a line.

    At x itself and beside it, since a corner close by spoils the difference and not the complex step: only
    where they disagree at two points of three has f lost an imaginary part.
    """
    size = np.sqrt(np.mean(x * x)) or 1.0
    disagreements = 0
    for k in range(points):
        y = x + (scale * size) * rng.standard_normal(x.shape) * (k > 0)
        try:
            agrees = _agree(f, y, rng.standard_normal(x.shape))
        except ValueError:  # a step too far, where f is not finite
            continue
        if k == 0 and agrees:
            return True
        disagreements += agrees is False
    return disagreements < 2


def _agree(f, x, v):
    """Whether the complex step along v is the central difference; None where the differences cannot tell."""
    exact, measured = complex_slope(f, x, v).value, central_slope(f, x, v)
    if not np.isfinite([exact, measured.value]).all():
        return None
    size = max(abs(exact), abs(measured.value))
    allowed = 20 * measured.error + 1e-6 * size
    if abs(exact - measured.value) <= allowed:
        return True
    # the differences must agree with themselves, also at steps that x's size would make too long
    for start in (1e-2, 1e-5, 1e-8):
        other = central_slope(f, x, v, start)
        if abs(other.value - measured.value) > max(allowed, 20 * other.error):
            return None
    return False


def _first_step(x, v):
    """The size of x, for a direction of unit size."""
    size = np.sqrt(np.mean(x * x))
    moved = np.max(np.abs(x[v != 0]), initial=0) if np.count_nonzero(v) == 1 else size
    return (max(size, moved) or 1.0) / np.sqrt(np.sum(v * v))


def _richardson(row, noise):
    """Slopes at steps h, h/2.5, h/6.25, ... -> the extrapolated slope and its error."""
    best, error = row[-1], np.inf
    table = [row[0]]
    for slope, floor in zip(row[1:], noise[1:], strict=True):
        fresh, power = [slope], 1.0
        for j, old in enumerate(table):
            power *= SHRINK**2
            fresh.append((power * fresh[j] - old) / (power - 1))
            change = max(abs(fresh[-1] - fresh[j]), abs(fresh[-1] - old)) + floor
            if change < error:
                best, error = fresh[-1], change
        table = fresh
    return best, error


def _scalar(value):
    value = np.asarray(value)
    if value.size != 1:
        raise ValueError(f"f must return one number, got an array of shape {value.shape}")
    return value.reshape(())[()]
