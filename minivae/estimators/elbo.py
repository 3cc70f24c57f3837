"""The gradient of the ELBO, with the KL in closed form or sampled; its exact value; estimators by name."""

from typing import NamedTuple

import numpy as np

from .. import arguments
from ..distributions import has_closed_form
from . import gradients as by
from .gradients import GAUSSIAN, cost_of, plus, sample, slope_of


# The negative ELBO is E_q[nll(z)] + beta KL(q || p). KL = E_q[log q(z) - log p(z)] may be part of the cost:
#   f(z)     = nll(z) + beta (log q(z) - log p(z)),  whose mean has the gradient
#   d E_q[f] = (d E_q[f] with the parameters inside log q fixed) + beta E_q[d log q]
# The last term is the mean of the score: zero. An estimator without it has the same mean.
def elbo_cost(nll, mu, logvar, beta=1.0, family=GAUSSIAN):
    """Return f(z) = nll(z) + beta (log q(z) - log p(z)), in nats, with the parameters of q inside it fixed.

    nll and f: z (S, B, L) -> (S, B). mu, logvar (B, L).
    """

    def f(z):
        kl = family.log_prob(z, mu, logvar) - family.prior.log_prob(z)  # (S, B)
        return cost_of(nll, z, "nll(z)") + beta * kl

    return f


def elbo_slope(dnll, mu, logvar, beta=1.0, family=GAUSSIAN):
    """The derivative df/dz of `elbo_cost`, given dnll = dnll/dz. Both: z (S, B, L) -> (S, B, L)."""

    def df(z):
        dlog_p = family.prior.log_prob_backward(np.ones(z.shape[:-1], z.dtype), z)[0]
        return slope_of(dnll, z, "dnll(z)") + beta * (family.slope(z, mu, logvar) - dlog_p)

    return df


def closed_form_kl(estimate, nll, dnll, mu, logvar, eps, beta=1.0):
    """Gradient of the negative ELBO: `estimate` for the nll, the exact derivative for the KL.

    `estimate` has the form that `named` returns: estimate(f, df, mu, logvar, eps) -> dmu, dlogvar (S, B, L).
    """
    return plus(estimate(nll, dnll, mu, logvar, eps), _kl_gradient(mu, logvar, beta))


def monte_carlo_kl(estimate, nll, dnll, mu, logvar, eps, beta=1.0, zero_mean_term=False):
    """Gradient of the negative ELBO: `estimate` for all of nll + beta (log q - log p) -> dmu, dlogvar.

    zero_mean_term=True adds beta * score at z(eps), whose mean is zero. With it `pathwise` is the total
    derivative, and `score_function` has the baseline -beta; without it `pathwise` is sticking the landing.
    """
    cost, slope = elbo_cost(nll, mu, logvar, beta), elbo_slope(dnll, mu, logvar, beta)
    grads = estimate(cost, slope, mu, logvar, eps)
    if not zero_mean_term:
        return grads
    z = sample((mu, logvar, eps))[2]
    return plus(grads, [beta * score for score in GAUSSIAN.score(z, mu, logvar)])


def sticking_the_landing(dnll, mu, logvar, eps, beta=1.0, family=GAUSSIAN):
    """The path derivative of the negative ELBO: only through z, without the score of log q -> dmu, dlogvar.

    If q is the exact posterior, log q(z) - log p(x, z) is constant in z, and the variance is zero.
    (Roeder, Wu and Duvenaud 2017)
    """
    return by.pathwise(elbo_slope(dnll, mu, logvar, beta, family), mu, logvar, eps, family=family)


def beside_closed_form_kl(estimate, beta=1.0, zero_mean_term=False):
    """`monte_carlo_kl` for a model that adds the closed-form KL itself: an estimator of the nll's gradient.

    It subtracts the closed-form gradient, so that the sampled KL remains. The difference has mean zero: it is
    a control variate, and the estimator is unbiased even if beta is not that of the model.
    """

    def estimator(f, df, mu, logvar, eps):
        grads = monte_carlo_kl(estimate, f, df, mu, logvar, eps, beta, zero_mean_term)
        return plus(grads, _kl_gradient(mu, logvar, -beta))

    return estimator


def _kl_gradient(mu, logvar, beta, family=GAUSSIAN):
    return family.kl_backward(np.full(len(mu), beta, mu.dtype), mu, logvar)


# ------------------------------------------------------------------------------ the exact gradient


class ExactGradient(NamedTuple):
    """dmu and dlogvar (B, L) by quadrature, and an estimate of their error (B, L)."""

    dmu: np.ndarray
    dlogvar: np.ndarray
    error: np.ndarray


def exact_gradient(f, mu, logvar, nodes=64):
    """E[f(z) score(z)] by Gauss-Hermite quadrature over eps, for L of at most 2 -> ExactGradient.

    With `nodes` per latent it is exact for polynomials up to degree 2 nodes - 3. `error` is the larger change
    of dmu or dlogvar when the number of nodes is halved: larger than the true error for a smooth f, and about
    as large for a jagged one. f receives all nodes^L points at once, as its samples.
    """
    arguments.shapes(mu=(mu, "BL"), logvar=(logvar, "BL"))
    if arguments.integer("nodes", nodes, at_least=2) > 256:
        raise ValueError(f"nodes must be at most 256, got {nodes}: beyond, the nodes' weights underflow")
    if mu.shape[1] > 2:
        raise ValueError(
            f"exact_gradient takes at most 2 latents, got L = {mu.shape[1]}: nodes^L points are too many. "
            "Use the mean of a long run of pathwise_antithetic, with its standard error"
        )
    fine, coarse = _quadrature(f, mu, logvar, nodes), _quadrature(f, mu, logvar, nodes // 2)
    return ExactGradient(*fine, np.maximum(*(abs(a - b) for a, b in zip(fine, coarse, strict=True))))


def _quadrature(f, mu, logvar, nodes):
    B, L = mu.shape
    points, weights = np.polynomial.hermite_e.hermegauss(nodes)
    grid = np.stack(np.meshgrid(*[points] * L, indexing="ij"), axis=-1).reshape(-1, 1, L)  # (nodes^L, 1, L)
    weights = np.prod(np.meshgrid(*[weights] * L, indexing="ij"), axis=0).ravel()  # (nodes^L,)
    grads = by.score_function(f, mu, logvar, np.repeat(grid, B, axis=1))  # (nodes^L, B, L) each
    return [np.tensordot(weights / weights.sum(), grad, axes=1) for grad in grads]  # (B, L) each


# ------------------------------------------------------------------------------ by name


SLOPE = {"pathwise": by.pathwise, "pathwise-antithetic": by.pathwise_antithetic}
COST = {
    "score-function": by.score_function,
    "score-function-antithetic": by.score_function_antithetic,
    "leave-one-out": by.leave_one_out,
}
BASELINE = {
    "score-function-mean-baseline": by.mean_baseline,
    "score-function-optimal-baseline": by.optimal_baseline,
}
COUPLED = {"measure-valued": True, "measure-valued-uncoupled": False}
WITH_PATH = (*SLOPE, "score-function-antithetic", "sticking-the-landing")  # or with noise symmetric about 0
NAMES = (*SLOPE, *COST, *BASELINE, *COUPLED, "sticking-the-landing")


def named(estimator, rng=None, beta=1.0, family=GAUSSIAN):
    """An estimator, by name or by its function, as estimate(f, df, mu, logvar, eps) -> dmu, dlogvar.

    eps is (S, B, L). The measure-valued ones and those with an estimated baseline also draw from `rng`.
    Sticking the landing needs beta, the weight of the KL that the model adds. Any other callable must have
    this form and is returned unchanged. ValueError for an unknown name, or if the family lacks what it needs.
    """
    if callable(estimator):
        functions = {function: name for name, function in (SLOPE | COST).items()}
        functions[by.measure_valued] = "measure-valued"
        if estimator not in functions:
            return estimator
        estimator = functions[estimator]
    name = arguments.one_of("estimator", estimator, NAMES)
    if name in WITH_PATH and not hasattr(family, "sample_backward"):
        heads = " and ".join(family.heads)
        raise ValueError(
            f"estimator {name} needs a path from {heads} to z, and there is none: try leave-one-out"
        )
    if name in COUPLED and family.heads != GAUSSIAN.heads:
        raise ValueError(f"estimator {name} needs the heads mu and logvar, got {', '.join(family.heads)}")

    def estimate(f, df, *q):
        if name in SLOPE:
            return SLOPE[name](df, *q, family=family)
        if name in COST:
            return COST[name](f, *q, family=family)
        *heads, eps = q
        if name == "sticking-the-landing":
            if not has_closed_form(family):
                raise ValueError(f'a sampled KL needs the name "{name}" as estimator, not named("{name}")')
            landing = sticking_the_landing(df, *q, beta, family)
            return plus(landing, _kl_gradient(*heads, -beta, family))  # the model adds the closed form
        if name in COUPLED:
            return by.measure_valued(f, *heads, rng, COUPLED[name], samples=len(sample(q, family)[1]))
        eps = sample(q, family)[1]
        fresh = family.noise(arguments.generator("rng", rng), eps.shape).astype(eps.dtype, copy=False)
        baseline = BASELINE[name](f, *heads, fresh, family=family)
        return by.score_function(f, *q, baseline=baseline, family=family)

    estimate.family = family
    return estimate


def _with_rng(name):
    def estimate(f, df, mu, logvar, eps, rng=None):
        return named(name, rng)(f, df, mu, logvar, eps)

    return estimate


# name -> estimate(f, df, mu, logvar, eps, rng) for the Gaussian
ESTIMATORS = {name: _with_rng(name) for name in NAMES}
