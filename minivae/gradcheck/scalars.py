"""Check a gradient of a number: f(params) -> float against grads of your own; and one operation's pair."""

import numpy as np

from .. import arguments
from .comparison import LIMIT, SLACK, compare
from .guesses import fits
from .references import agrees_with_differences, central_slope, complex_slope, coordinates
from .report import Report, row
from .verdicts import UNRELATED, verdict

METHODS = ("auto", "complex", "central")
RANDOM = "the loss is random: f called twice gives other bits. Pass eps in; draw it once"


def check(f, grads, params, method="auto", sizes=None, known=None, rng=None):
    """Your `grads` against the derivatives of f at `params` -> Report.

    f(params) -> number; params and grads: dicts of arrays under the same names, or one array each.
    method  "complex" is exact to rounding; "central" takes differences and needs nothing of f; "auto" takes
            the complex step for each tensor where it can be believed, and says where it cannot
    sizes   name -> number, what a ratio may be called: {"B": 8, "D": 784}
    known   name -> array: factors that may be missing, where they fit a tensor
    rng     Generator of directions and subsets (default: always the same)

    Up to 2000 entries of a tensor are all looked at; of a larger one a random subset, and Gaussian
    projections that every entry enters. The reference is computed in float64 whatever params are in; what
    rounding is allowed follows from the lower of the types of params and grads, and the report says it.
    """
    arguments.one_of("method", method, METHODS)
    rng = np.random.default_rng(0) if rng is None else arguments.generator("rng", rng)
    single = not isinstance(params, dict)
    params, grads = ({"x": params}, {"x": grads}) if single else (params, grads)
    dtype = _lowest_type([*params.values(), *grads.values()])
    point = {name: _real(name, value) for name, value in params.items()}
    if set(point) != set(grads):
        raise ValueError(f"grads must have the names of params, {', '.join(point)}; got {', '.join(grads)}")

    def of(name):
        """f as a function of one tensor."""
        return lambda value: f(value if single else {**point, name: value})

    report = Report(f"gradient check of {len(point)} tensors, {dtype}", [], notes=_dtype_note(dtype))
    first = f(point["x"] if single else dict(point))
    again = f(point["x"] if single else dict(point))
    if not _finite(first):
        report.problems.append(f"the loss is not finite: {first}")
    elif not _same_bits(first, again):
        report.problems.append(RANDOM)
    if report.problems:
        return report
    sizes = dict(sizes or {}) or _lengths(point)
    arrays = {name: np.asarray(grad) for name, grad in grads.items()}
    found = []
    for name, value in point.items():
        others = {f"d{other}": grad for other, grad in arrays.items() if other != name}
        found.append(
            _row(report, name, of(name), value, arrays[name], method, rng, dtype, sizes, known, others)
        )
    _forgive_rounding(report, found, dtype)
    _dead(report, point)
    return report


def check_pair(forward, backward, *inputs, rng=None, names=None, method="auto"):
    """An operation against its backward -> Report, under a random upstream gradient.

    forward(*inputs) -> y, or (y, cache); backward(dy, cache), or backward(dy, *inputs) where there is no
    cache -> the derivative by every input in order; one array, if there is one input. None leaves one out.
    Inputs that are not arrays of floats (a name, a number) are handed on as they are, without a derivative.
    """
    rng = np.random.default_rng(0) if rng is None else arguments.generator("rng", rng)
    inputs = [np.asarray(v) if isinstance(v, (list, np.ndarray)) else v for v in inputs]
    out = forward(*inputs)
    y, cache = out if isinstance(out, tuple) else (out, None)
    dy = rng.standard_normal(np.shape(y)).astype(np.result_type(np.float32, np.asarray(y).dtype))
    grads = backward(dy, cache) if isinstance(out, tuple) else backward(dy, *inputs)
    grads = grads if isinstance(grads, (tuple, list)) else (grads,)
    at = [i for i, v in enumerate(inputs) if isinstance(v, np.ndarray) and v.dtype.kind in "fc"]
    names = list(names or _argument_names(forward, len(inputs)))
    asked = {names[i]: g for i, g in zip(at, grads, strict=False) if g is not None}
    where = {names[i]: i for i in at}

    def f(values):
        full = [values.get(names[i], v) for i, v in enumerate(inputs)]
        y = forward(*full)
        return np.sum(dy * (y[0] if isinstance(y, tuple) else y))

    params = {name: inputs[where[name]] for name in asked}
    report = check(
        f, asked, params, method, _axes_of(y), {"dy": dy} | {n: inputs[i] for n, i in where.items()}, rng
    )
    report.title = f"{getattr(forward, '__name__', 'forward')} against its backward, random upstream gradient"
    return report


def believable(f, x, method, rng):
    """The slope to use for f at x, and a note if it is not the complex step."""
    if method == "central":
        return central_slope, ""
    try:
        with np.errstate(all="ignore"):
            good = method == "complex" or agrees_with_differences(f, x, rng)
            complex_slope(f, x, np.ones(x.shape))
    except (TypeError, ValueError, AttributeError, np.exceptions.ComplexWarning) as error:
        return central_slope, f"refuses complex numbers ({_brief(error)}): central differences are used"
    if good:
        return complex_slope, ""
    text = "is not analytic: an imaginary part is lost (np.abs, norm, vdot, .real or a conjugate?)"
    return central_slope, f"{text}; central differences are used"


def _row(report, name, f, value, grad, method, rng, dtype, sizes, known, others):
    if grad.shape != value.shape:
        return _wrong_shape(report, name, f, value, grad, rng)
    take, note = believable(f, value, method, rng)
    if note:
        report.notes.append(f"{name}: f {note}")
    rounding = np.finfo(dtype).eps
    base = value.copy()

    def spread(v):
        moved = [base * (1 + rounding * rng.standard_normal(base.shape)) for _ in range(4)]
        values = [take(f, m, v).value for m in (base, *moved)]
        return max(values) - min(values)

    found = compare(grad, lambda v: take(f, value, v), rng, dtype, LIMIT, spread)
    for i in found.kinks[:1]:
        where = tuple(int(k) for k in np.unravel_index(i, value.shape))
        report.notes.append(
            f"kink: {name}{list(where)} lies within the step of a corner, as of a ReLU; there the slope of "
            "either side is accepted, and the check goes on beside it"
        )
    fitting = {n: k for n, k in (known or {}).items() if fits(k, value.shape)}
    words = verdict(found, sizes, fitting, others)
    if not found.ok and take is complex_slope and _at_corner(f, value, found):
        report.notes.append(
            f"kink: {name} stands exactly on a corner, as of a ReLU; either side's slope is accepted"
        )
        words = "ok (at a corner)"
    report.rows.append(row(name, "loss", found, words))
    return found


def _forgive_rounding(report, found, dtype):
    """A tensor so small beside the others that the rounding of their numbers is all that is wrong with it.

    As of saturated units: where 1 - tanh^2 is 1e-12 it is rounding, and below it is 0. What is wrong in a
    way that has a name, as a flipped sign, is still wrong, however small.
    """
    sizes = [float(np.max(np.abs(c.want), initial=0)) if c.ok else 0.0 for c in found]
    largest, eps = max(sizes, default=0.0), float(np.finfo(dtype).eps)
    floor, lower = 16 * eps * largest, max(eps, 16 * np.finfo(np.float64).eps) * largest
    for made, case in zip(report.rows, found, strict=True):
        gap, size = np.abs(case.given - case.want), np.max(np.abs(case.want), initial=0)
        nameless = (np.abs(case.given) <= 1e-2 * size) | made.verdict.startswith(UNRELATED)
        lost = (gap <= np.minimum(floor, size / 32)) | nameless & (gap <= lower)
        if not made.ok and case.missed <= lower and lost.all():
            made.verdict = "ok (lost in the rounding of the largest derivative)"


def _at_corner(f, value, found):
    """Whether every wrong entry lies between the slopes of the two sides, which differ."""
    for k in np.flatnonzero(found.wrong):
        v = next(coordinates(value.shape, [found.flat[k]]))
        sides = sorted((found.want[k], -complex_slope(f, value, -v).value))
        if sides[1] - sides[0] <= found.allowed or not sides[0] <= found.given[k] <= sides[1]:
            return False
    return bool(found.wrong.any())


def _wrong_shape(report, name, f, value, grad, rng):
    """A row for a derivative of another shape: is it the transposed one?"""
    words = f"shape {grad.shape} where {value.shape} is wanted"
    if grad.ndim == value.ndim == 2 and grad.T.shape == value.shape:
        take, _ = believable(f, value, "auto", rng)
        found = compare(grad.T, lambda v: take(f, value, v), rng)
        words = "transposed" if found.ok else f"{words}, and not its transpose"
    else:
        found = compare(np.zeros(value.shape), lambda v: central_slope(f, value, v), rng, limit=16)
    report.rows.append(row(name, "loss", found, words))
    found.seen, found.missed = False, np.inf
    return found


def _dead(report, point):
    """Zero tensors hide mistakes in whatever they multiply."""
    for name, value in point.items():
        if value.ndim > 1 and not value.any():
            report.notes.append(
                f"dead input: {name} is zero everywhere, which blinds the check to what it multiplies; "
                "use random ones"
            )


def _dtype_note(dtype):
    if dtype != "float32":
        return []
    slack = SLACK[dtype]
    return [
        f"float32: the reference is computed in float64; float32 rounds to {np.finfo(np.float32).eps:.0e}, "
        f"and {slack:.0e} of a tensor's largest entry is allowed"
    ]


def _lowest_type(arrays):
    return "float32" if any(np.asarray(a).dtype in (np.float32, np.float16) for a in arrays) else "float64"


def _real(name, value):
    value = arguments.numeric(name, value)
    if value.dtype.kind == "c":
        raise TypeError(f"{name} must be real, got {arguments.describe(value)}")
    return value.astype(np.float64)


def _finite(value):
    return bool(np.isfinite(value).all())


def _same_bits(a, b):
    return np.asarray(a).tobytes() == np.asarray(b).tobytes()


def _lengths(point):
    lengths = {n for value in point.values() for n in value.shape if n > 2}
    return {f"n={n}": n for n in sorted(lengths)}


def _axes_of(y):
    return dict(zip(("B", "n"), np.shape(y), strict=False)) if np.ndim(y) <= 2 else {}


def _argument_names(function, count):
    code = getattr(function, "__code__", None)
    names = code.co_varnames[: code.co_argcount] if code else ()
    return names if len(names) >= count else tuple(f"input{i}" for i in range(count))


def _brief(error):
    text = " ".join(str(error).split())
    return text[:60] + "..." * (len(text) > 60)
