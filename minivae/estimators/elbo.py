"""The ELBO's own cost: the KL in closed form or inside the expectation, with or without its score."""

import numpy as np

from .. import ops
from .reparameterization import pathwise
from .samples import cost_of, plus, sample, slope_of


# The negative ELBO is E_q[nll(z)] + beta KL(q || p), and KL = E_q[log q(z) - log p(z)] may stand inside:
#   f(z)     = nll(z) + beta (log q(z) - log p(z)),  whose mean has the gradient
#   d E_q[f] = (d E_q[f] with the parameters in log q held) + beta E_q[d log q]
# The last term is the mean of the score: zero. What is left of an estimator without it has the same mean.
def elbo_cost(nll, mu, logvar, beta=1.0):
    """f(z) = nll(z) + beta (log q(z) - log N(z; 0, I)), q's parameters held: the function f, in nats.

    nll, and f like it: z (S, B, L) -> (S, B). mu, logvar (B, L).
    """
    zero = np.zeros_like(mu)

    def f(z):
        kl = ops.gaussian_log_prob(z, mu, logvar) - ops.gaussian_log_prob(z, zero, zero)  # (S, B)
        return cost_of(nll, z, "nll(z)") + beta * kl

    return f


def elbo_slope(dnll, mu, logvar, beta=1.0):
    """df/dz of `elbo_cost` from dnll/dz: (S, B, L) -> (S, B, L). d log q/dz is minus the score by mu."""

    def df(z):
        score, _ = ops.gaussian_score(z, mu, logvar)  # (S, B, L)
        return slope_of(dnll, z, "dnll(z)") + beta * (z - score)

    return df


def closed_form_kl(estimate, nll, dnll, mu, logvar, eps, beta=1.0):
    """Gradient of the negative ELBO: `estimate` for the nll, the KL's own derivative for the KL.

    estimate(f, df, mu, logvar, eps), as `named` gives it -> dmu, dlogvar (S, B, L).
    """
    return plus(estimate(nll, dnll, mu, logvar, eps), _kl_gradient(mu, logvar, beta))


def monte_carlo_kl(estimate, nll, dnll, mu, logvar, eps, beta=1.0, zero_mean_term=False):
    """Gradient of the negative ELBO: `estimate` for nll + beta (log q - log p), all of it -> dmu, dlogvar.

    zero_mean_term=True keeps beta d log q. Then `pathwise` is the total derivative, and `score_function` the
    one with the baseline -beta; without it `pathwise` is sticking the landing. The term is taken at z(eps).
    """
    cost, slope = elbo_cost(nll, mu, logvar, beta), elbo_slope(dnll, mu, logvar, beta)
    grads = estimate(cost, slope, mu, logvar, eps)
    if not zero_mean_term:
        return grads
    z, _ = sample(mu, logvar, eps)
    return plus(grads, [beta * score for score in ops.gaussian_score(z, mu, logvar)])


def sticking_the_landing(dnll, mu, logvar, eps, beta=1.0):
    """The path derivative of the negative ELBO: only through z, the score of log q left out.

    Where q is the exact posterior, log q(z) - log p(x, z) is constant in z: no sample scatters any more.
    (Roeder, Wu and Duvenaud 2017)
    """
    return pathwise(elbo_slope(dnll, mu, logvar, beta), mu, logvar, eps)


def beside_closed_form_kl(estimate, beta=1.0, zero_mean_term=False):
    """`monte_carlo_kl` for a model that adds the closed form itself: an estimator of the nll's gradient.

    It takes away what the model adds, so that a Monte Carlo KL is left. A Monte Carlo KL less its mean is
    noise of mean zero, a control variate: with another beta than the model's it is still unbiased.
    """

    def estimator(f, df, mu, logvar, eps):
        grads = monte_carlo_kl(estimate, f, df, mu, logvar, eps, beta, zero_mean_term)
        return plus(grads, _kl_gradient(mu, logvar, -beta))

    return estimator


def _kl_gradient(mu, logvar, beta):
    return ops.gaussian_kl_backward(np.full(len(mu), beta, mu.dtype), mu, logvar)
