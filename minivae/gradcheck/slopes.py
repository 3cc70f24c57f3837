"""Two references for a derivative: the complex step, exact to rounding, and central differences.

Both give the slope of f along a direction v, f'(x) . v, and an estimate of their own error:

    complex step         Im f(x + ihv) / h. Nothing is subtracted, so h may be 1e-30 and the error is f's own
                         rounding (Squire and Trapp 1998). f must be analytic: np.abs, norm and vdot drop Im.
    central difference   (f(x + hv) - f(x - hv)) / 2h at h, h/2.5, ..., extrapolated to h = 0; the entry of
                         the table that changes least is taken, and its change is the error (Ridders 1982).
"""

import warnings

import numpy as np

EPS, STEP, ROWS, SHRINK = float(np.finfo(float).eps), 1e-30, 10, 2.5
LOST = "loses an imaginary part (np.abs, .real, a cast?): central differences are used"


def complex_step(f, x):
    """The gradient of f at x, exact to rounding: Im f(x + ih e_i) / h at every coordinate.

    f(x) -> number, analytic in x; np.abs, np.linalg.norm and conjugates are not, and give 0 without a word
    (`check` finds that out). x any shape -> gradient of that shape.
    """
    x = np.asarray(x, np.float64)
    return np.array([complex_slope(f, x, v)[0] for v in units(x.shape)]).reshape(x.shape)


def central_difference(f, x):
    """The gradient of f at x by differences -> gradient, error, both like x."""
    x = np.asarray(x, np.float64)
    values = np.array([central_slope(f, x, v)[:2] for v in units(x.shape)]).reshape(-1, 2)
    return values[:, 0].reshape(x.shape), values[:, 1].reshape(x.shape)


def complex_slope(f, x, v):
    """Slope and error along v; the slopes on the left and on the right, which differ at a corner."""
    value = np.imag(number(f(x + 1j * (STEP * v)))) / STEP
    return value, EPS * abs(value), value, value


def central_slope(f, x, v, start=0.1):
    """As `complex_slope`, from real values of f alone."""
    size = max(np.sqrt(np.mean(x * x)), np.abs(x[v != 0]).max() if np.count_nonzero(v) == 1 else 0.0) or 1.0
    size /= np.sqrt(np.sum(v * v))
    h, near = start * size * SHRINK ** -np.arange(ROWS), np.arange(-6, 7)

    def along(steps):
        return np.array([np.real(number(f(x + k * v))) for k in steps], float)

    middle, above, below = np.real(number(f(x))), along(h), along(-h)
    for step in (1e-5, 1e-4, 1e-3, 1e-2):
        line = along(step * size * near)
        if (np.diff(line) != 0).any() or not np.ptp(above):
            break  # otherwise f has steps, as those of a cast to float16: look at several of them
    smooth = np.polynomial.Polynomial.fit(near, line - middle, 6)(near)  # what it leaves of the line is noise
    noise = 2 * np.abs(line - middle - smooth).max()
    noise += _rounding(np.array([*above, *below, *line])) * np.abs([middle, *line]).max()
    slopes = (above - below) / (2 * h)
    best, error, table = np.nan, np.inf, slopes[:1]
    for slope, step in zip(slopes[1:], h[1:], strict=True):
        fresh, power = [slope], 1.0
        for old in table:
            power *= SHRINK**2
            fresh.append((power * fresh[-1] - old) / (power - 1))
            change = max(abs(fresh[-1] - fresh[-2]), abs(fresh[-1] - old)) + noise / step
            best, error = (fresh[-1], change) if change < error else (best, error)
        table = fresh
    rough = noise / h[-1] + abs(slopes[-1] - slopes[-2])
    if not abs(best - slopes[-1]) <= 8 * rough:  # a corner between the steps misleads the extrapolation
        best, error = slopes[-1], rough
    # a smooth f bends by h f'': the gap between its two sides shrinks with h. A corner's gap stays
    left, right = (middle - below) / h, (above - middle) / h
    gap = np.abs(right - left)
    corner = gap[-1] > max(0.5 * gap[-5], 64 * EPS * np.abs(line).max() / h[-1], 1e-6 * abs(best))
    return (best, error, left[-1], right[-1]) if corner else (best, error, best, best)


def _rounding(values):
    """The relative rounding of f: of float32 where all its values, which differ, are float32 numbers."""
    with np.errstate(over="ignore"):
        low = next((t for t in (np.float16, np.float32) if (values == values.astype(t)).all()), float)
    return float(np.finfo(low if np.ptp(values) > 0 else float).eps)


def choose_slope(f, x, rng, method="auto", scale=1e-3):
    """complex_slope where it can be believed, otherwise central_slope -> slope, a note that says why."""
    if method == "central":
        return central_slope, ""
    size, doubts = np.sqrt(np.mean(x * x)) or 1.0, 0
    try:
        with np.errstate(all="ignore"), warnings.catch_warnings():
            warnings.simplefilter("error", np.exceptions.ComplexWarning)
            exact = number(f(x + 1j * STEP))
            if not np.iscomplexobj(exact):
                return central_slope, LOST
            if not np.isfinite(exact):
                return central_slope, "overflows in complex numbers: central differences are used"
            for k in range(3 * (method == "auto")):  # beside x too: a corner spoils the differences there
                y, v = x + scale * size * rng.standard_normal(x.shape) * (k > 0), rng.standard_normal(x.shape)
                exact, tries = complex_slope(f, y, v)[0], []
                for start in (0.1, 1e-2, 1e-5):  # smaller steps only where larger ones are not precise
                    tries.append(central_slope(f, y, v, start)[:2])
                    if tries[-1][1] <= 1e-8 * abs(tries[-1][0]):
                        break
                measured, error = min(tries, key=lambda t: t[1] if np.isfinite(t[1]) else np.inf)
                if abs(exact - measured) <= 20 * error + 1e-6 * max(abs(exact), abs(measured)):
                    break
                doubts += 1
    except np.exceptions.ComplexWarning:
        return central_slope, LOST
    except (TypeError, ValueError, AttributeError) as error:
        return central_slope, f"refuses complex numbers ({error!s:.60}): central differences are used"
    return (complex_slope, "") if doubts < 2 else (central_slope, LOST)


def units(shape, flat=None):
    """Unit directions of an array of this shape: all, or those of the flat indices given."""
    for i in range(int(np.prod(shape))) if flat is None else flat:
        v = np.zeros(shape)
        v.flat[i] = 1
        yield v


def number(value):
    """The one number that f returned."""
    given, value = value, np.asarray(value)
    if value.size != 1 or value.dtype.kind not in "biufc":
        what = f"an array of shape {value.shape}" if value.size != 1 else repr(given)[:60]
        raise ValueError(f"f must return one number, got {what}")
    return value.reshape(())[()]
