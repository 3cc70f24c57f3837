"""Costs of equal latents with exact moments, and draws of every estimator: what the z-tests are made of."""

import math
from functools import partial
from typing import NamedTuple

import numpy as np
import oracles

from lessons.lab import moments

BIAS = 0.03  # of a mean, that a z-test must see
K = 3  # samples of leave-one-out
S, B, L = 5, 3, 2  # never equal, so that no axis passes for another
BOTH = ("dmu", "dlogvar")


class Case(NamedTuple):
    """A cost summed over equal latents, where it is evaluated, and the exact moments of its gradient."""

    each: callable  # the cost of one latent, elementwise
    df: callable
    exact: callable  # mu, std, name of an estimator -> GradientMoments
    mu: float
    std: float
    dim: int = 1

    @property
    def q(self):
        return np.full((1, self.dim), float(self.mu)), np.full((1, self.dim), 2 * math.log(self.std))

    def f(self, z):
        return self.each(z).sum(axis=-1)

    def moments(self, name):
        samples = K if name == "leave-one-out" else 1
        return self.exact(self.mu, self.std, name, dim=self.dim, samples=samples)


def quadratic(a, b, c, *where):
    exact = partial(moments.quadratic_moments, a, b, c)
    return Case(lambda z: a * z * z + b * z + c, lambda z: 2 * a * z + b, exact, *where)


def bell(z):
    return np.exp(-z * z)


# where mu is 0 or std is 1, bugs hide: eps = z there, and logvar treated as std is nearly right
CASES = {
    "quadratic": quadratic(0.7, -0.4, 0.3, 0.9, 1.3),
    "two latents": quadratic(0.7, -0.4, 0.3, 0.9, 1.3, 2),
    "square": quadratic(1, 0, 0, 2, 1),
    "cos": Case(np.cos, lambda z: -np.sin(z), partial(moments.cos_moments, 1), 0.8, 0.9),
    "exp": Case(bell, lambda z: -2 * z * bell(z), partial(moments.exp_moments, 1), 0.7, 1.2),
    "kl": quadratic(0.5 - 0.5 / 1.4**2, 0.6 / 1.4**2, -math.log(1.4), 0.6, 1.4),  # log q - log p + const
}
SINGLE = ("pathwise", "pathwise-antithetic", "score-function", "score-function-antithetic")
ALL = (*SINGLE, "leave-one-out", "measure-valued", "measure-valued-uncoupled")


def on_nodes(estimate, case, samples=1):
    """One estimate at every node of a grid over all its noise -> dmu (n,), dlogvar (n,), weights (n,)."""
    n = samples * case.dim
    e, weights = oracles.normal_rule({1: 2001, 2: 161, 3: 91}[n])
    eps = np.reshape(np.meshgrid(*[e] * n, indexing="ij"), (samples, case.dim, -1)).transpose(0, 2, 1)
    weights = np.prod(np.meshgrid(*[weights] * n, indexing="ij"), axis=0).ravel()
    return *_first_latent(estimate, case, eps), weights


def draw(estimate, case, n, rng, samples=1):
    """n independent estimates for the first latent, each the mean of `samples` -> dmu (n,), dlogvar (n,)."""
    draws = np.empty((2, n))
    for start in range(0, n, 100_000):
        part = draws[:, start : start + 100_000]
        part[...] = _first_latent(estimate, case, rng.standard_normal((samples, part.shape[1], case.dim)))
    return draws


def _first_latent(estimate, case, eps):
    """eps (samples, n, L) -> n estimates, each from its own set of samples, for the first latent."""
    if len(eps) == 1:  # every sample is an estimate
        return [d[:, 0, 0] for d in estimate(case.f, case.df, *case.q, eps.swapaxes(0, 1))]
    q = [np.repeat(v, eps.shape[1], axis=0) for v in case.q]  # sets side by side
    return [d.mean(axis=0)[:, 0] for d in estimate(case.f, case.df, *q, eps)]


def enough(want):
    """N at which a relative bias of BIAS is 8 standard errors of either mean; at least 100 kurtoses."""
    wanted = [64 * m.variance / (BIAS * m.mean) ** 2 for m in want]
    tails = [100 * m.fourth / m.variance**2 for m in want if m.variance > 1e-18]
    return int(max(20_000, *wanted, *tails))


def costs(rng):
    """A cost that is neither quadratic nor a sum over latents: f, df, mu, logvar, eps."""

    def f(z):
        return np.sin(z[..., 0]) * z[..., 1] + 0.3 * z[..., 0] ** 2 * np.exp(0.2 * z[..., 1])

    def df(z):
        x, y = z[..., 0], z[..., 1]
        grown = 0.3 * np.exp(0.2 * y)
        return np.stack([np.cos(x) * y + 2 * x * grown, np.sin(x) + 0.2 * x**2 * grown], axis=-1)

    return f, df, rng.standard_normal((B, L)), rng.standard_normal((B, L)), rng.standard_normal((S, B, L))


def agree_both(got, want, tolerance):
    for name, one, other in zip(BOTH, got, want, strict=True):
        oracles.agree(name, one, other, tolerance)
