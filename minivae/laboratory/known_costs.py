"""Costs whose exact answers are known, and how each estimator draws a gradient of them.

z ~ N(mu, std^2) in `dim` equal coordinates, and f(z) is a sum over them. Exact moments are those of
`estimators.moments`; a draw is the derivative by the first coordinate's mu and logvar.
"""

import math
from functools import lru_cache, partial
from typing import NamedTuple

import numpy as np

from .. import arguments, ops
from .. import estimators as es
from ..estimators import moments, samples, variances

NAMES = ("quadratic", "cos", "exp", "kl")
K = 8  # samples of leave-one-out that make one estimate


class Cost(NamedTuple):
    """A cost, and the Gaussian it is averaged over.

    quadratic: a z^2 + b z + c; cos: cos(k z); exp: exp(-k z^2); kl: log q(z) - log N(z; 0, 1), which is
    quadratic too while q's parameters are held.
    """

    name: str
    a: float
    b: float
    c: float
    k: float
    mu: float
    std: float
    dim: int

    @property
    def parameters(self):
        """Those that this cost has, and those of the Gaussian -> {name: value}."""
        own = {"quadratic": ("a", "b", "c"), "kl": ()}.get(self.name, ("k",))
        return {name: getattr(self, name) for name in (*own, "mu", "std")}

    @property
    def estimators(self):
        """The names of the estimators that there are for this cost."""
        return moments.KL_NAMES if self.name == "kl" else variances.NAMES

    @property
    def coefficients(self):
        """a, b, c of a cost that is quadratic in z."""
        return moments.kl_coefficients(self.mu, self.std) if self.name == "kl" else (self.a, self.b, self.c)

    def f(self, z):
        """The cost itself: (S, B, dim) -> (S, B)."""
        if self.name == "cos":
            each = cosine(self.k * z)
        elif self.name == "exp":
            each = np.exp(-self.k * z * z)
        else:
            a, b, c = self.coefficients
            each = (a * z + b) * z + c
        return np.einsum("sbl->sb", each)

    def df(self, z):
        """df/dz, like z."""
        if self.name == "cos":
            return -self.k * cosine(self.k * z - np.pi / 2)
        if self.name == "exp":
            return -2 * self.k * z * np.exp(-self.k * z * z)
        a, b, _ = self.coefficients
        return 2 * a * z + b

    @lru_cache(maxsize=4096)  # noqa: B019, a cost is a few numbers
    def moments(self, estimator):
        """The exact moments of one draw -> GradientMoments. One of leave-one-out is a mean of K samples."""
        of = {"cos": moments.cos_moments, "exp": moments.exp_moments, "kl": moments.kl_moments}
        of = of.get(self.name, moments.quadratic_moments)
        count = K if estimator == "leave-one-out" else 1
        try:
            with np.errstate(over="ignore", invalid="ignore"):
                exact = of(*self.parameters.values(), estimator, dim=self.dim, samples=count)
        except (OverflowError, ZeroDivisionError):
            exact = None
        if exact is None or not np.isfinite(exact).all():
            given = ", ".join(f"{name} = {value:g}" for name, value in self.parameters.items())
            raise ValueError(f"the exact moments of the {self.name} cost overflow at {given}")
        return exact

    def baselines(self, estimator):
        """The true constants that an estimator's name means: one for mu, one for logvar."""
        at = self.mu, self.std, self.dim
        if self.name in ("cos", "exp"):
            terms = {"cos": moments.cos_cost, "exp": moments.exp_cost}[self.name](self.k, *at)
        else:
            terms = moments.quadratic_cost(*self.coefficients, *at)
        return variances.true_baselines(terms, self.std, estimator)

    def sampler(self, estimator):
        """draw(n, rng) -> (n, 2): n independent estimates by the first coordinate's mu and logvar."""
        mu, logvar = np.full((1, self.dim), self.mu), np.full((1, self.dim), 2 * math.log(self.std))
        if estimator.startswith("measure-valued"):

            def estimate(n, rng):
                return es.measure_valued(self.f, mu, logvar, rng, estimator == "measure-valued", n)

        elif estimator == "leave-one-out":

            def estimate(n, rng):  # n sets of K samples, side by side as n data
                sets = [np.broadcast_to(v, (n, self.dim)) for v in (mu, logvar)]
                grads = es.leave_one_out(self.f, *sets, rng.standard_normal((K, n, self.dim)))
                return [d.mean(axis=0)[:, None] for d in grads]

        else:
            of_noise = self._of_noise(estimator)

            def estimate(n, rng):
                return of_noise(mu, logvar, rng.standard_normal((n, 1, self.dim)))

        return lambda n, rng: np.stack([d[:, 0, 0] for d in estimate(n, rng)], axis=1)

    def _of_noise(self, estimator):
        """estimate(mu, logvar, eps) of one sample, or one antithetic pair, for each noise."""
        if estimator == "pathwise" and self.name == "kl":
            return self._total_derivative
        if estimator == "pathwise-antithetic" and self.name == "kl":
            total = self._total_derivative
            return lambda mu, logvar, eps: samples.pair_mean(total(mu, logvar, eps), total(mu, logvar, -eps))
        if estimator in ("pathwise", "sticking-the-landing"):
            return partial(es.pathwise, self.df)
        if estimator == "pathwise-antithetic":
            return partial(es.pathwise_antithetic, self.df)
        if estimator == "score-function-antithetic":
            return partial(es.score_function_antithetic, self.f)
        baseline = 0.0
        if estimator == "score-function-zero-mean-term":  # the score once more: a baseline of -1
            baseline = -1.0
        elif estimator != "score-function":
            baseline = tuple(np.full((1, self.dim), t) for t in self.baselines(estimator))
        return partial(es.score_function, self.f, baseline=baseline)

    def _total_derivative(self, mu, logvar, eps):
        """Of the KL: through z, and through q's parameters in log q, which is the score."""
        score = ops.gaussian_score(ops.gaussian_sample(mu, logvar, eps), mu, logvar)
        return samples.plus(es.pathwise(self.df, mu, logvar, eps), score)


def known_cost(name, *, a, b, c, k, mu, std, dim):
    """The cost of that name, its parameters checked: all finite, std above 0, k of exp at least 0 -> Cost."""
    arguments.one_of("cost", name, NAMES)
    a, b, c, mu = (arguments.number(n, v) for n, v in (("a", a), ("b", b), ("c", c), ("mu", mu)))
    k = arguments.number("k", k, at_least=0 if name == "exp" else None)
    return Cost(name, a, b, c, k, mu, arguments.number("std", std, above=0), arguments.integer("dim", dim))


# With x / 2 pi less its nearest integer, r in [-1/2, 1/2], the half angle's cosine is smooth in r^2:
#   cos(pi r) = a polynomial of degree 7 in r^2, to 1e-15;    cos x = 2 cos(pi r)^2 - 1
_COSINE = np.polynomial.Chebyshev.interpolate(lambda s: np.cos(np.pi * np.sqrt(s)), 7, [0, 0.25])
_COSINE = _COSINE.convert(kind=np.polynomial.Polynomial).coef


def cosine(x):
    """cos(x) elementwise, within 1e-12 for |x| below 1000: arithmetic that vectorises; np.cos does not."""
    r = x * (0.5 / np.pi)
    r -= np.rint(r)
    r *= r
    half = r * _COSINE[-1]
    for coefficient in _COSINE[-2:0:-1]:
        half += coefficient
        half *= r
    half += _COSINE[0]
    half *= half
    half *= 2
    half -= 1
    return half
