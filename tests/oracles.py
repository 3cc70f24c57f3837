"""Slow and obvious answers, and the comparisons with them; nothing here uses minivae's mathematics."""

import math

import numpy as np
import pytest

STEP = 1e-30  # of the complex step: no difference is taken, so it may be as small as it likes
FALSE_ALARM = 5.0  # standard errors: one honest comparison in 1.7 million exceeds this


def agree(name, got, want, tolerance, sizes=None):
    """Shapes equal, and the worst entry within `tolerance` of the largest one wanted, or of the largest size.

    `sizes` are sums of absolute values: they bound the rounding of sums whose terms cancel.
    """
    got, want = np.asarray(got), np.asarray(want)
    assert got.shape == want.shape, f"{name}: shape {got.shape}, expected {want.shape}"
    if not want.size:
        return
    scale = np.max(np.abs(want) if sizes is None else sizes) or 1.0
    error = np.abs(got - want)
    worst = np.unravel_index(np.argmax(np.where(np.isnan(error), np.inf, error)), want.shape)
    assert error[worst] <= tolerance * scale, (
        f"{name}: worst at {tuple(int(i) for i in worst)}: got {got[worst]!r}, want {want[worst]!r}, "
        f"{error[worst] / scale:.1e} of the largest, allowed {tolerance:.0e}"
    )


def refused(message, call, *args, **keywords):
    """The call ends in one sentence that the expression `message` finds."""
    with pytest.raises((ValueError, TypeError), match=message):
        call(*args, **keywords)


# ------------------------------------------------------------------------------ derivatives


def complex_gradient(f, x):
    """Im f(x + ih) / h at every coordinate of x: the derivative to rounding, for analytic f."""
    return _coordinatewise(lambda unit: np.imag(f(x + 1j * STEP * unit)) / STEP, x.shape)


def central_gradient(f, x, step=1e-5):
    """(f(x + h) - f(x - h)) / 2h at every coordinate of x, in float64; good to about 1e-9."""
    return _coordinatewise(lambda unit: (f(x + step * unit) - f(x - step * unit)) / (2 * step), x.shape)


def _coordinatewise(slope, shape):
    gradient = np.empty(shape)
    for i in np.ndindex(shape):
        unit = np.zeros(shape)
        unit[i] = 1
        gradient[i] = slope(unit)
    return gradient


def check_pair(forward, backward, inputs, rng, reference=complex_gradient, tolerance=1e-13):
    """An operation and its backward function: every input, under a random upstream gradient.

    `inputs` maps names to float64 arrays; `forward(**inputs)` returns y, and `backward(dy, **inputs)` the
    derivatives in order, None for an input that has none.
    """
    y = forward(**inputs)
    dy = rng.standard_normal(np.shape(y))
    for name, grad in zip(inputs, backward(dy, **inputs), strict=True):

        def loss(value, name=name):
            return (dy * forward(**{**inputs, name: value})).sum()

        if grad is not None:
            agree(f"d{name}", grad, reference(loss, inputs[name]), tolerance)


def check_parameters(grads, probe, loss, reference=complex_gradient, tolerance=1e-12):
    """Every parameter's gradient, and `loss()` of a model `probe` that is complex for the complex step."""
    assert list(grads) == list(probe.params)
    for name, param in probe.params.items():

        def at(value, name=name):
            probe.params[name] = value
            return loss()

        agree(f"d{name}", grads[name], reference(at, param.real), tolerance)
        probe.params[name] = param


# ------------------------------------------------------------------------------ expectations


def normal_rule(points=2001):
    """Nodes and weights with sum w f(e) = E f(e), e ~ N(0, 1), by the trapezoidal rule on [-13, 13]."""
    e = np.linspace(-13, 13, points)  # for smooth f, exact to rounding
    return e, (e[1] - e[0]) * np.exp(-e * e / 2) / math.sqrt(2 * math.pi)


def check_mean(name, draws, want):
    """The mean of the draws (n, ...) within 5 of its standard errors."""
    error = draws.std(axis=0) / math.sqrt(len(draws))
    off = np.abs(draws.mean(axis=0) - want)
    assert np.all(off <= FALSE_ALARM * error), f"mean of {name} is off by {off / error} standard errors"


ACTIVATION = {
    "identity": lambda a: a,
    "relu": lambda a: max(a, 0.0),
    "tanh": math.tanh,
    "softplus": lambda a: math.log1p(math.exp(a)) if a < 30 else a,
    "sigmoid": lambda a: 1 / (1 + math.exp(-a)) if a > -700 else 0.0,
}


def dense(x, W, b, activation):
    """y[i, j] = act(sum_k x[i, k] W[k, j] + b[j]), one number at a time."""
    sums = [[math.fsum(row * column) + shift for column, shift in zip(W.T, b, strict=True)] for row in x]
    return np.vectorize(ACTIVATION[activation])(sums)


def normal_log_density(x, mean, std):
    """log N(x; mean, std^2) from the textbook density."""
    return -0.5 * ((x - mean) / std) ** 2 - np.log(std) - 0.5 * math.log(2 * math.pi)
