"""Costs of equal latents with exact moments, and draws of every estimator: what the z-tests are made of."""

import math
from typing import NamedTuple

import numpy as np
import oracles

from minivae import estimators as es

BIAS = 0.02  # of a mean, that a z-test must see
K = 3  # samples of leave-one-out


class Case(NamedTuple):
    """A cost summed over equal latents, where it is looked at, and the exact moments of its gradient."""

    each: callable  # the cost of one latent, elementwise
    df: callable
    moments: callable  # name of an estimator -> GradientMoments
    mu: np.ndarray  # (1, dim)
    logvar: np.ndarray

    def f(self, z):
        return self.each(z).sum(axis=-1)

    def average(self, weight):
        """E[cost of one latent * weight(e)], by a rule that knows nothing of minivae."""
        e, weights = oracles.normal_rule()
        return (weights * weight(e) * self.each(self.mu[0, 0] + np.exp(self.logvar[0, 0] / 2) * e)).sum()


def case(each, df, moments, mu, std, dim=1):
    """`moments(name, **keywords)` as in `minivae.estimators`; leave-one-out has K samples."""

    def of(name, **keywords):
        return moments(name, **({"samples": K} if name == "leave-one-out" else {}) | keywords)

    return Case(each, df, of, np.full((1, dim), float(mu)), np.full((1, dim), 2 * math.log(std)))


def quadratic(a, b, c, mu, std, dim=1):
    def moments(name, **keywords):
        return es.quadratic_moments(a, b, c, mu, std, name, dim=dim, **keywords)

    return case(lambda z: a * z * z + b * z + c, lambda z: 2 * a * z + b, moments, mu, std, dim)


def cosine(k, mu, std):
    def moments(name, **keywords):
        return es.cos_moments(k, mu, std, name, **keywords)

    return case(lambda z: np.cos(k * z), lambda z: -k * np.sin(k * z), moments, mu, std)


def bump(k, mu, std):
    def moments(name, **keywords):
        return es.exp_moments(k, mu, std, name, **keywords)

    return case(lambda z: np.exp(-k * z * z), lambda z: -2 * k * z * np.exp(-k * z * z), moments, mu, std)


def kl_as_quadratic(mu, std):
    """a, b, c of log q - log p as a function of z, with q's parameters held."""
    return 0.5 - 0.5 / std**2, mu / std**2, -math.log(std) - 0.5 * (mu / std) ** 2


# where mu is 0 or std is 1, bugs hide: eps = z there, and logvar treated as std is nearly right
CASES = {
    "quadratic": quadratic(0.7, -0.4, 0.3, 0.9, 1.3),
    "two latents": quadratic(0.7, -0.4, 0.3, 0.9, 1.3, dim=2),
    "square": quadratic(1, 0, 0, 2, 1),
    "cos": cosine(1.2, 0.8, 0.9),
    "exp": bump(0.9, 0.7, 1.2),
    "kl": quadratic(*kl_as_quadratic(0.6, 1.4), 0.6, 1.4),
}

# the estimators that need nothing but eps, and one sample at a time
SINGLE = {
    "pathwise": lambda f, df, *q: es.pathwise(df, *q),
    "pathwise-antithetic": lambda f, df, *q: es.pathwise_antithetic(df, *q),
    "score-function": lambda f, df, *q: es.score_function(f, *q),
    "score-function-antithetic": lambda f, df, *q: es.score_function_antithetic(f, *q),
}
BASELINES = ("score-function-mean-baseline", "score-function-optimal-baseline")
ALL = (*SINGLE, *BASELINES, "leave-one-out", "measure-valued", "measure-valued-uncoupled")


def estimator(case, name):
    """One of SINGLE, or the score function with the true baseline of that name."""
    if name in SINGLE:
        return SINGLE[name]
    others = (case.mu.shape[1] - 1) * case.average(np.ones_like)
    if name == "score-function-mean-baseline":
        baseline = np.array([case.average(np.ones_like) + others])
    else:  # E[f s^2] / E[s^2], with E e^2 = 1 and E (e^2 - 1)^2 = 2
        best = case.average(lambda e: e**2), case.average(lambda e: (e * e - 1) ** 2 / 2)
        baseline = tuple(np.full(case.mu.shape, t + others) for t in best)
    return lambda f, df, *q: es.score_function(f, *q, baseline)


def on_nodes(estimate, case, samples=1):
    """One estimate at every node of a grid over all its noise -> draws as `draw` gives them, weights (n,)."""
    dim = case.mu.shape[1]
    e, weights = oracles.normal_rule({1: 2001, 2: 161, 3: 91}[samples * dim])
    eps = np.meshgrid(*[e] * samples * dim, indexing="ij")
    eps = np.reshape(eps, (samples, dim, -1)).transpose(0, 2, 1)  # (samples, n, dim)
    weights = np.prod(np.meshgrid(*[weights] * samples * dim, indexing="ij"), axis=0).ravel()
    return _first_latent(estimate, case, eps), weights


def draw(estimate, case, n, rng, samples=1):
    """n independent estimates by the first latent, each the mean of `samples` -> dmu (n,), dlogvar (n,)."""
    draws = np.empty((2, n))
    for start in range(0, n, 100_000):
        size = min(100_000, n - start)
        eps = rng.standard_normal((samples, size, case.mu.shape[1]))
        draws[:, start : start + size] = _first_latent(estimate, case, eps)
    return draws


def _first_latent(estimate, case, eps):
    """eps (samples, n, L) -> n estimates, each from its own set of samples, by the first latent."""
    if len(eps) == 1:  # every sample is an estimate
        grads = estimate(case.f, case.df, case.mu, case.logvar, eps.swapaxes(0, 1))
        return [d[:, 0, 0] for d in grads]
    mu, logvar = (np.repeat(v, eps.shape[1], axis=0) for v in (case.mu, case.logvar))  # sets side by side
    return [d.mean(axis=0)[:, 0] for d in estimate(case.f, case.df, mu, logvar, eps)]


def draw_named(case, name, n, rng):
    """n independent estimates by the estimator of that name."""
    if name.startswith("measure-valued"):
        return draw(es.named(name, rng), case, n, rng)
    if name == "leave-one-out":
        return draw(es.named(name), case, n, rng, K)
    return draw(estimator(case, name), case, n, rng)


def enough(moments):
    """N at which a relative bias of BIAS is 8 standard errors of either mean; at least 100 kurtoses."""
    wanted = [64 * m.variance / (BIAS * m.mean) ** 2 for m in moments]
    tails = [100 * m.fourth / m.variance**2 for m in moments if m.variance > 1e-18]
    return int(max(20_000, *wanted, *tails))
