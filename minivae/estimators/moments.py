"""How much an estimator scatters, exactly: for costs whose Gaussian integrals are known.

Each function gives the mean, the variance and the fourth central moment of an estimate of the gradient, by mu
and by **logvar** (for the derivative by std: mean * 2/std, variance * 4/std^2, fourth * 16/std^4). The fourth
moment is for the standard error of a *measured* variance, which is no Gaussian one: f = z^2 at mu = 2,
std = 1 has a kurtosis of 26.8 by mu and of 177 by logvar. An estimate is the mean of `samples` samples; one
antithetic pair counts as one sample, and leave-one-out needs two. A baseline is the true E f or the true best
one, not an estimate. All is in closed form but measure-valued: that one is quadrature, to about 12 digits.
"""

import math

import numpy as np

from .. import arguments
from . import algebra as al
from .variances import NAMES, Cost, GradientMoments, gradient_moments

KL_NAMES = (*NAMES, "sticking-the-landing", "score-function-zero-mean-term")


# f = A e^2 + B e + C with A = a std^2, B = std (2 a mu + b), C = a mu^2 + b mu + c
def quadratic_moments(a, b, c, mu, std, estimator, *, dim=1, samples=1):
    """f(z) = sum_i (a z_i^2 + b z_i + c), `dim` equal coordinates; by one of them -> GradientMoments."""
    return gradient_moments(quadratic_cost(a, b, c, mu, std, dim), mu, std, estimator, samples)


def quadratic_cost(a, b, c, mu, std, dim=1):
    """sum_i (a z_i^2 + b z_i + c) in terms of e -> Cost."""
    a, b, c = (arguments.number(name, v) for name, v in (("a", a), ("b", b), ("c", c)))
    mu, std = _gaussian(mu, std)
    A, B, C = a * std**2, std * (2 * a * mu + b), a * mu**2 + b * mu + c
    return _cost({al.E_SQUARED: A, al.E: B, al.ONE: C}, al.Law(), lambda z: (a * z + b) * z + c, dim)


# cos(kz) = 1/2 (e^(ik mu) e^(ik std e) + e^(-ik mu) e^(-ik std e))
def cos_moments(k, mu, std, estimator, *, dim=1, samples=1):
    """f(z) = sum_i cos(k z_i) -> GradientMoments."""
    return gradient_moments(cos_cost(k, mu, std, dim), mu, std, estimator, samples)


def cos_cost(k, mu, std, dim=1):
    """sum_i cos(k z_i) in terms of e -> Cost."""
    k = arguments.number("k", k)
    mu, std = _gaussian(mu, std)
    phase = complex(math.cos(k * mu), math.sin(k * mu))
    own = {(0, 1, 0, 0, 0): phase / 2, (0, -1, 0, 0, 0): phase.conjugate() / 2}
    return _cost(own, al.Law(beta=1j * k * std), lambda z: np.cos(k * z), dim)


# -k z^2 = -k std^2 e^2 - 2 k mu std e - k mu^2
def exp_moments(k, mu, std, estimator, *, dim=1, samples=1):
    """f(z) = sum_i exp(-k z_i^2), k at least 0 -> GradientMoments."""
    return gradient_moments(exp_cost(k, mu, std, dim), mu, std, estimator, samples)


def exp_cost(k, mu, std, dim=1):
    """sum_i exp(-k z_i^2) in terms of e -> Cost."""
    k = arguments.number("k", k, at_least=0)
    mu, std = _gaussian(mu, std)
    law = al.Law(-k * std**2, -2 * k * mu * std, -k * mu**2)
    return _cost({(1, 1, 0, 0, 0): 1.0}, law, lambda z: np.exp(-k * z * z), dim)


# With q's parameters held, log q(z) - log N(z; 0, 1) is quadratic in z:
#   -log std - (z - mu)^2 / (2 std^2) + z^2 / 2
# and its pathwise gradient is sticking the landing. The total derivative knows that log q(z(eps)) is -log std
# + const: pathwise for z^2 / 2, less 1/2 by logvar. The score function's zero-mean term adds 1 to the cost.
def kl_moments(mu, std, estimator, *, dim=1, samples=1):
    """f(z) = log q(z) - log N(z; 0, I), q's own KL in `dim` equal coordinates -> GradientMoments.

    "pathwise" is the total derivative, "sticking-the-landing" the one through z alone; every other estimator
    leaves the score of log q out, but "score-function-zero-mean-term", which keeps it.
    """
    mu, std = _gaussian(mu, std)
    arguments.one_of("estimator", estimator, KL_NAMES)
    if estimator in ("pathwise", "pathwise-antithetic"):
        dmu, dlogvar = quadratic_moments(0.5, 0, 0, mu, std, estimator, dim=dim, samples=samples)
        return GradientMoments(dmu, dlogvar._replace(mean=dlogvar.mean - 0.5))
    a, b, c = kl_coefficients(mu, std)
    if estimator == "score-function-zero-mean-term":
        c, estimator = c + 1 / arguments.integer("dim", dim), "score-function"
    elif estimator == "sticking-the-landing":
        estimator = "pathwise"
    return quadratic_moments(a, b, c, mu, std, estimator, dim=dim, samples=samples)


def kl_coefficients(mu, std):
    """a, b, c of log q(z) - log N(z; 0, 1) = a z^2 + b z + c in one coordinate, q's parameters held."""
    return 0.5 - 0.5 / std**2, mu / std**2, -math.log(std) - 0.5 * (mu / std) ** 2


# The other coordinates add (dim - 1) E[f] + u + v: u is the sum of dim - 1 copies of f's even part in e, less
# its mean, v that of its odd part. They are kept apart because an antithetic partner has u - v.
def _cost(own, law, f, dim):
    dim = arguments.integer("dim", dim)
    if dim == 1:
        return Cost(own, {}, law, f)
    mirrored = al.flipped(own)
    mean = al.mean(own, law)
    even = al.plus(al.scaled(al.plus(own, mirrored), 0.5), {al.ONE: -mean})
    odd = al.scaled(al.plus(own, al.scaled(mirrored, -1)), 0.5)
    one = {
        (p, q): al.mean(al.times(al.power(even, p), al.power(odd, q)), law)
        for p in range(5)
        for q in range(5 - p)
    }
    law = law._replace(rest=al.moments_of_sum(one, dim - 1))
    return Cost(own, {al.ONE: (dim - 1) * mean, al.U: 1.0, al.V: 1.0}, law, f, dim)


def _gaussian(mu, std):
    return arguments.number("mu", mu), arguments.number("std", std, above=0)
