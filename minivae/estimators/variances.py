"""The estimators once more, as sums of terms: what a per-sample gradient is, and how much it scatters."""

import math
from collections.abc import Callable
from functools import lru_cache
from typing import NamedTuple

import numpy as np

from .. import arguments
from . import algebra as al

NAMES = (
    "pathwise",
    "pathwise-antithetic",
    "score-function",
    "score-function-antithetic",
    "score-function-mean-baseline",
    "score-function-optimal-baseline",
    "leave-one-out",
    "measure-valued",
    "measure-valued-uncoupled",
)


class Moments(NamedTuple):
    """Mean, variance and fourth central moment of one random number."""

    mean: float
    variance: float
    fourth: float

    def variance_error(self, n):
        """Standard error of the variance that is measured from n independent draws."""
        return math.sqrt(max(self.fourth - self.variance**2, 0) / n)

    def scaled(self, c):
        """Of c X."""
        return Moments(c * self.mean, c**2 * self.variance, c**4 * self.fourth)

    def plus(self, other):
        """Of X + Y, independent."""
        fourth = self.fourth + 6 * self.variance * other.variance + other.fourth
        return Moments(self.mean + other.mean, self.variance + other.variance, fourth)

    def summed(self, n):
        """Of X_1 + ... + X_n, independent copies."""
        return Moments(n * self.mean, n * self.variance, n * self.fourth + 3 * n * (n - 1) * self.variance**2)


class GradientMoments(NamedTuple):
    """The moments of the derivative by mu, and of the one by logvar."""

    dmu: Moments
    dlogvar: Moments


class Cost(NamedTuple):
    """A cost in terms of e, `dim` equal coordinates added up, and its own coordinate's as a function of z."""

    own: dict  # terms of the coordinate that is differentiated
    others: dict  # terms of the others, {} for none
    law: al.Law
    f: Callable  # the cost of one coordinate z, elementwise
    dim: int = 1


def gradient_moments(cost, mu, std, estimator, samples):
    """The moments of the mean of `samples` samples, for a cost in terms of e -> GradientMoments."""
    arguments.one_of("estimator", estimator, NAMES)
    arguments.integer("samples", samples, at_least=2 if estimator == "leave-one-out" else 1)
    if estimator == "leave-one-out":
        return GradientMoments(*(_leave_one_out(cost, score, samples) for score in _scores(std)))
    if estimator.startswith("measure-valued"):
        both = _measure_valued(cost, mu, std, coupled=estimator == "measure-valued")
    else:
        both = [_moments(terms, cost.law) for terms in _per_sample(cost, std, estimator)]
    return GradientMoments(*(one.summed(samples).scaled(1 / samples) for one in both))


def _scores(std):
    return {al.E: 1 / std}, {al.E_SQUARED: 0.5, al.ONE: -0.5}


def _per_sample(cost, std, estimator):
    """The gradient of one sample, or of one antithetic pair, as terms: by mu, by logvar."""
    if estimator.endswith("antithetic"):
        single = _per_sample(cost, std, estimator.removesuffix("-antithetic"))
        return [al.scaled(al.plus(terms, al.flipped(terms)), 0.5) for terms in single]
    if estimator == "pathwise":
        slope = al.scaled(al.derivative(cost.own, cost.law), 1 / std)
        return [slope, al.times(slope, {al.E: std / 2})]
    f = al.plus(cost.own, cost.others)
    return [
        al.times(al.plus(f, {al.ONE: -_baseline(estimator, f, score, cost.law)}), score)
        for score in _scores(std)
    ]


def true_baselines(cost, std, estimator):
    """The constants of a score function with that baseline's name: one for mu, one for logvar."""
    f = al.plus(cost.own, cost.others)
    return tuple(_baseline(estimator, f, score, cost.law) for score in _scores(std))


def _baseline(estimator, f, score, law):
    if estimator == "score-function":
        return 0.0
    if estimator == "score-function-mean-baseline":
        return al.mean(f, law)
    square = al.times(score, score)
    return al.mean(al.times(f, square), law) / al.mean(square, law)


def _moments(terms, law):
    mean = al.mean(terms, law)
    centred = al.plus(terms, {al.ONE: -mean})
    square = al.times(centred, centred)
    return Moments(mean, max(al.mean(square, law), 0.0), max(al.mean(al.times(square, square), law), 0.0))


# With F = f - E f, sums over K samples T = sum F s, P = sum F, Q = sum s:
#   1/K sum_k (F_k - 1/(K-1) sum_{j != k} F_j) s_k  =  (K T - P Q) / (K (K - 1))
# the sample covariance of cost and score. Its powers need E[T^i P^j Q^k], the moments of a sum of K copies.
def _leave_one_out(cost, score, K):
    f = al.plus(cost.own, cost.others)
    F = al.plus(f, {al.ONE: -al.mean(f, cost.law)})
    joint = [
        [al.mean(al.times(al.power(F, m), al.power(score, n)), cost.law) for n in range(5)] for m in range(5)
    ]
    indices = [(i, j, k) for i in range(5) for j in range(5 - i) for k in range(5 - i)]
    of_sums = al.moments_of_sum({(i, j, k): joint[i + j][i + k] for i, j, k in indices}, K)
    raw = [
        sum(math.comb(n, h) * K ** (n - h) * (-1) ** h * of_sums[n - h, h, h] for h in range(n + 1))
        / (K * (K - 1)) ** n
        for n in range(5)
    ]
    _, mean, m2, m3, m4 = raw
    fourth = m4 - 4 * mean * m3 + 6 * mean**2 * m2 - 3 * mean**4
    return Moments(mean, max(m2 - mean**2, 0.0), max(fourth, 0.0))


def _measure_valued(cost, mu, std, coupled):
    (e, normal, maxwell), (w, rayleigh), (u, uniform) = _measures()
    f, by_mu, by_logvar = cost.f, 1 / (math.sqrt(2 * math.pi) * std), 0.5
    if coupled:  # the other coordinates cost the same on both sides
        rise_mu = _weighted(f(mu + std * w) - f(mu - std * w), rayleigh)
        rise_logvar = _weighted(
            f(mu + std * e)[:, None] - f(mu + std * e[:, None] * u), np.outer(maxwell, uniform)
        )
        return rise_mu.scaled(by_mu), rise_logvar.scaled(by_logvar)
    others = _weighted(f(mu + std * e), normal).summed(cost.dim - 1)
    rise_mu = _weighted(f(mu + std * w), rayleigh).plus(_weighted(-f(mu - std * w), rayleigh))
    rise_logvar = _weighted(f(mu + std * e), maxwell).plus(_weighted(-f(mu + std * e), normal))
    noise = others.plus(others.scaled(-1))
    return rise_mu.plus(noise).scaled(by_mu), rise_logvar.plus(noise).scaled(by_logvar)


@lru_cache(maxsize=1)
def _measures():
    """Nodes and weights: e for the normal and the Maxwell, w for the Rayleigh, u for the uniform on (0, 1).

    The trapezoidal rule, which for smooth functions that vanish at both ends is exact to rounding; w = e^t.
    """
    e = np.linspace(-13, 13, 4001)
    normal = (e[1] - e[0]) * np.exp(-e * e / 2) / math.sqrt(2 * math.pi)
    t = np.linspace(-20, math.log(13), 4001)
    w = np.exp(t)
    rayleigh = (t[1] - t[0]) * w * w * np.exp(-w * w / 2)
    u, uniform = np.polynomial.legendre.leggauss(100)
    return (e, normal, e * e * normal), (w, rayleigh), ((u + 1) / 2, uniform / 2)


def _weighted(values, weights):
    mean = float((weights * values).sum())
    square = (values - mean) ** 2
    return Moments(mean, float((weights * square).sum()), float((weights * square**2).sum()))
