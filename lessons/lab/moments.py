"""Exact mean, variance and fourth central moment of every estimator of one gradient.

For z ~ N(mu, std^2) in `dim` equal coordinates and a cost sum_i f(z_i), each function here returns the
moments of an estimate of the gradient with respect to mu and to **logvar** of one coordinate (with respect to
std: mean * 2/std, variance * 4/std^2, fourth * 16/std^4). The fourth moment gives the standard error of a
*measured* variance, which is far from the Gaussian one: f = z^2 at mu = 2, std = 1 has a kurtosis of 26.8 for
mu and 177 for logvar. An estimate is the mean of `samples` samples; one antithetic pair counts as one sample,
and leave-one-out needs two. A baseline is the true E f or the true best one, not an estimate.

All integrals are sums by one trapezoid rule over e in [-13, 13], exact to rounding for smooth costs that do
not oscillate faster than its steps.
"""

import math
from functools import lru_cache, reduce
from typing import NamedTuple

import numpy as np

from minivae import arguments

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
KL_NAMES = (*NAMES, "sticking-the-landing", "score-function-zero-mean-term")

_half = np.linspace(0, 13, 2001)
e = np.concatenate([-_half[:0:-1], _half])  # (4001,), exactly symmetric: e[::-1] == -e
w = np.exp(-e * e / 2) / np.exp(-e * e / 2).sum()


def E(values, weights=w):
    """The mean of a function of e ~ N(0, 1), given at the nodes."""
    return float((weights * values).sum())


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
    """The moments of the derivative with respect to mu, and with respect to logvar."""

    dmu: Moments
    dlogvar: Moments


# ------------------------------------------------------------------------------ the costs: f and df of one z


def quadratic(a, b, c):
    """a z^2 + b z + c."""
    return lambda z: (a * z + b) * z + c, lambda z: 2 * a * z + b


def cosine(k):
    """cos(k z)."""
    return lambda z: np.cos(k * z), lambda z: -k * np.sin(k * z)


def bump(k):
    """exp(-k z^2)."""
    return lambda z: np.exp(-k * z * z), lambda z: -2 * k * z * np.exp(-k * z * z)


# With q's parameters held fixed, log q(z) - log N(z; 0, 1) is quadratic in z:
#   -log std - (z - mu)^2 / (2 std^2) + z^2 / 2
# and its pathwise gradient is sticking the landing. The total derivative knows that log q(z(eps)) is -log std
# + const: pathwise for z^2 / 2, less 1/2 for logvar. The score function's zero-mean term adds 1 to the cost.
def own_kl(mu, std, estimator, dim=1):
    """log q(z) - log N(z; 0, 1) for one estimator -> f, df, a plain estimator, what to add to dlogvar."""
    if estimator in ("pathwise", "pathwise-antithetic"):
        return *quadratic(0.5, 0, 0), estimator, -0.5
    a, b, c = 0.5 - 0.5 / std**2, mu / std**2, -math.log(std) - 0.5 * (mu / std) ** 2
    if estimator == "score-function-zero-mean-term":
        return *quadratic(a, b, c + 1 / dim), "score-function", 0.0
    return *quadratic(a, b, c), "pathwise" if estimator == "sticking-the-landing" else estimator, 0.0


def quadratic_moments(a, b, c, mu, std, estimator, *, dim=1, samples=1):
    """f(z) = sum_i (a z_i^2 + b z_i + c) -> GradientMoments."""
    coefficients = (arguments.number(name, v) for name, v in (("a", a), ("b", b), ("c", c)))
    return moments(*quadratic(*coefficients), mu, std, estimator, dim, samples)


def cos_moments(k, mu, std, estimator, *, dim=1, samples=1):
    """f(z) = sum_i cos(k z_i) -> GradientMoments."""
    return moments(*cosine(arguments.number("k", k)), mu, std, estimator, dim, samples)


def exp_moments(k, mu, std, estimator, *, dim=1, samples=1):
    """f(z) = sum_i exp(-k z_i^2), k at least 0 -> GradientMoments."""
    return moments(*bump(arguments.number("k", k, at_least=0)), mu, std, estimator, dim, samples)


def kl_moments(mu, std, estimator, *, dim=1, samples=1):
    """f(z) = log q(z) - log N(z; 0, I), q's own KL in `dim` equal coordinates -> GradientMoments.

    "pathwise" is the total derivative, "sticking-the-landing" the one through z alone. All other estimators
    leave out the score of log q, except "score-function-zero-mean-term", which keeps it.
    """
    mu, std = arguments.number("mu", mu), arguments.number("std", std, above=0)
    arguments.one_of("estimator", estimator, KL_NAMES)
    f, df, plain, constant = own_kl(mu, std, estimator, arguments.integer("dim", dim))
    dmu, dlogvar = moments(f, df, mu, std, plain, dim, samples)
    return GradientMoments(dmu, dlogvar._replace(mean=dlogvar.mean + constant))


# ------------------------------------------------------------------------------ the estimators


# One draw is A(e) + R t(e): A holds the own coordinate and the mean of the others, R what the others add to
# that mean, t the score. An antithetic partner has R(-e): for mu, whose score is odd, the odd part of the
# others' costs survives; for logvar, whose score is even, the even part.
def moments(f, df, mu, std, estimator, dim=1, samples=1):
    """sum_i f(z_i) for any elementwise f with derivative df, both of arrays z -> GradientMoments."""
    mu, std = arguments.number("mu", mu), arguments.number("std", std, above=0)
    arguments.one_of("estimator", estimator, NAMES)
    dim = arguments.integer("dim", dim)
    samples = arguments.integer("samples", samples, at_least=2 if estimator == "leave-one-out" else 1)
    z = mu + std * e
    y = f(z) + 0 * e
    if estimator.startswith("measure-valued"):
        both = _measure_valued(f, mu, std, dim, estimator == "measure-valued")
        return GradientMoments(*(one.summed(samples).scaled(1 / samples) for one in both))
    found = []
    for score, path, t in zip(
        _scores(std), (1, std * e / 2), baselines(f, mu, std, estimator, dim), strict=True
    ):
        A, R = (y + (dim - 1) * E(y) - t) * score, y - E(y)
        if estimator == "leave-one-out":
            found.append(_leave_one_out(R, score, dim, samples))
            continue
        if estimator.startswith("pathwise"):
            A, R = df(z) * path, 0 * e
        if estimator.endswith("antithetic"):
            sign = 1 if score[0] == score[-1] else -1
            A, R = (A + A[::-1]) / 2, (R + sign * R[::-1]) / 2
        found.append(_combined(A, score, _rest(R, dim)).summed(samples).scaled(1 / samples))
    return GradientMoments(*found)


def _scores(std):
    return e / std, (e * e - 1) / 2


def baselines(f, mu, std, estimator, dim=1):
    """The constants that an estimator's name means: one for mu, one for logvar, 0 without a baseline."""
    y = f(mu + std * e) + 0 * e
    others = (dim - 1) * E(y)
    if estimator.endswith("mean-baseline"):
        return (E(y) + others,) * 2
    if estimator.endswith("optimal-baseline"):
        return tuple(E(y * s * s) / E(s * s) + others for s in _scores(std))
    return 0.0, 0.0


def _rest(R, dim):
    """E R^j for j = 0 to 4, R the sum of dim - 1 independent copies of mean 0."""
    n, second = dim - 1, E(R * R)
    return 1.0, 0.0, n * second, n * E(R**3), n * E(R**4) + 3 * n * (n - 1) * second**2


def _combined(A, t, rest):
    """The moments of A + R t."""
    mean = E(A)
    centred = A - mean
    if E(centred * centred) <= 1e-24 * mean**2:  # rounding
        centred = 0 * centred

    def power(n):
        return sum(math.comb(n, j) * E(centred ** (n - j) * t**j) * rest[j] for j in range(n + 1))

    return Moments(mean, power(2), power(4))


# With F = f - E f, sums over K samples T = sum F s, P = sum F, Q = sum s:
#   1/K sum_k (F_k - 1/(K-1) sum_{j != k} F_j) s_k  =  (K T - P Q) / (K (K - 1))
# the sample covariance of cost and score. Its powers need E[T^i P^j Q^k], the moments of a sum of K copies.
def _leave_one_out(F, score, dim, K):
    rest = _rest(F, dim)
    joint = [  # E[F^m s^n], F the whole cost
        [sum(math.comb(m, j) * E(F ** (m - j) * score**n) * rest[j] for j in range(m + 1)) for n in range(5)]
        for m in range(5)
    ]
    one = np.zeros((5, 5, 5))
    for i, j, k in np.ndindex(one.shape):
        if i + max(j, k) < 5:
            one[i, j, k] = joint[i + j][i + k]
    sums = _moments_of_sum(one, K)
    raw = [
        sum(math.comb(n, h) * K ** (n - h) * (-1) ** h * sums[n - h, h, h] for h in range(n + 1))
        / (K * (K - 1)) ** n
        for n in range(5)
    ]
    _, mean, m2, m3, m4 = raw
    fourth = m4 - 4 * mean * m3 + 6 * mean**2 * m2 - 3 * mean**4
    return Moments(mean, max(m2 - mean**2, 0.0), max(fourth, 0.0))


# The series E exp(t.X) = sum_k E[X^k] t^k / k! of a sum of independent copies is a power of the one copy's.
def _moments_of_sum(one, copies):
    """E X^k of one copy at every multi-index k (5, 5, 5) -> the same of a sum of independent copies."""
    factorial = np.array([1.0, 1.0, 2.0, 6.0, 24.0])
    factorial = factorial[:, None, None] * factorial[:, None] * factorial
    return reduce(_product, [one / factorial] * copies) * factorial


def _product(left, right):
    """The product of two power series, up to the power 4 of each variable."""
    total = np.zeros((5, 5, 5))
    for i, j, k in np.argwhere(left):
        total[i:, j:, k:] += left[i, j, k] * right[: 5 - i, : 5 - j, : 5 - k]
    return total


def _measure_valued(f, mu, std, dim, coupled):
    (w_mu, rayleigh), (u, uniform), maxwell = _measures()
    by_mu, by_logvar = 1 / (math.sqrt(2 * math.pi) * std), 0.5
    plus, minus, y = f(mu + std * w_mu) + 0 * w_mu, f(mu - std * w_mu) + 0 * w_mu, f(mu + std * e) + 0 * e
    if coupled:  # the other coordinates cost the same on both sides
        rise = y[:, None] - f(mu + std * e[:, None] * u)
        rises = _weighted(plus - minus, rayleigh), _weighted(rise, np.outer(maxwell, uniform))
    else:
        others = _weighted(y, w).summed(dim - 1)
        noise = others.plus(others.scaled(-1))
        rises = (
            _weighted(plus, rayleigh).plus(_weighted(-minus, rayleigh)).plus(noise),
            _weighted(y, maxwell).plus(_weighted(-y, w)).plus(noise),
        )
    return rises[0].scaled(by_mu), rises[1].scaled(by_logvar)


@lru_cache(maxsize=1)
def _measures():
    """Nodes and weights of the Rayleigh and of the uniform on (0, 1), and weights of the Maxwell at e.

    The trapezoid rule is exact to rounding for smooth functions that vanish at both ends; a node of the
    Rayleigh is e^t.
    """
    t = np.linspace(-20, math.log(13), 4001)
    node = np.exp(t)
    rayleigh = (t[1] - t[0]) * node * node * np.exp(-node * node / 2)
    u, uniform = np.polynomial.legendre.leggauss(100)
    return (node, rayleigh), ((u + 1) / 2, uniform / 2), e * e * w


def _weighted(values, weights):
    mean = E(values, weights)
    square = (values - mean) ** 2
    return Moments(mean, E(square, weights), E(square**2, weights))
