"""Slow and obvious answers to hold the fast ones against; nothing here uses minivae's mathematics."""

import math

import numpy as np

STEP = 1e-30  # of the complex step: no difference is taken, so it may be as small as it likes


def complex_gradient(f, x):
    """Im f(x + ih) / h at every coordinate of x: the derivative to rounding, for analytic f."""
    gradient = np.empty(x.shape)
    x = x.astype(np.complex128)
    for i in np.ndindex(x.shape):
        x[i] += 1j * STEP
        gradient[i] = np.imag(f(x)) / STEP
        x[i] -= 1j * STEP
    return gradient


def central_gradient(f, x, step=1e-5):
    """(f(x + h) - f(x - h)) / 2h at every coordinate of x, in float64; good to about 1e-9."""
    gradient = np.empty(x.shape)
    x = x.astype(np.float64)
    for i in np.ndindex(x.shape):
        middle = x[i]
        x[i] = middle + step
        above = f(x)
        x[i] = middle - step
        gradient[i] = (above - f(x)) / (2 * step)
        x[i] = middle
    return gradient


def gauss_hermite(nodes=64):
    """Nodes and weights with sum w f(e) = E f(e) for e ~ N(0, 1)."""
    nodes, weights = np.polynomial.hermite_e.hermegauss(nodes)
    return nodes, weights / math.sqrt(2 * math.pi)


def normal_rule(points=2001):
    """The same by the trapezoidal rule on [-13, 13]: for smooth f, exact to rounding."""
    e = np.linspace(-13, 13, points)
    return e, (e[1] - e[0]) * np.exp(-e * e / 2) / math.sqrt(2 * math.pi)


def log_mean_exp(values, weights, axis=-1):
    """log sum w e^v without overflow."""
    largest = values.max(axis=axis, keepdims=True)
    total = (weights * np.exp(values - largest)).sum(axis=axis)
    return np.log(total) + largest.squeeze(axis)


ACTIVATION = {
    "identity": lambda a: a,
    "relu": lambda a: max(a, 0.0),
    "tanh": math.tanh,
    "softplus": lambda a: math.log1p(math.exp(a)) if a < 30 else a,
    "sigmoid": lambda a: 1 / (1 + math.exp(-a)) if a > -700 else 0.0,
}


def dense(x, W, b, activation):
    """y[i, j] = act(sum_k x[i, k] W[k, j] + b[j]), one number at a time."""
    y = np.empty((len(x), len(b)))
    for i, j in np.ndindex(y.shape):
        total = math.fsum(float(x[i, k]) * float(W[k, j]) for k in range(x.shape[1]))
        y[i, j] = ACTIVATION[activation](total + float(b[j]))
    return y


def normal_log_density(x, mean, std):
    """log N(x; mean, std^2) from the textbook density."""
    return -0.5 * ((x - mean) / std) ** 2 - np.log(std) - 0.5 * math.log(2 * math.pi)
