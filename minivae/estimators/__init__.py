"""The gradient of an expectation: pathwise, score function and its relatives, measure-valued.

The question is the gradient of E_q[f(z)] by mu and logvar, for q = N(mu, exp(logvar)) with independent
latents, and every estimator is one answer to it. It sees the cost only as two functions:

    f(z)    (S, B, L) -> (S, B)      one cost for each sample and datum
    df(z)   (S, B, L) -> (S, B, L)   its derivative by z, for the estimators that want it

and returns what each sample says, `dmu, dlogvar` of shape (S, B, L): the mean over S is the estimate of each
datum's own gradient. mu, logvar are (B, L); eps is (S, B, L) standard normal noise, and (B, L) is one sample.
Antithetic estimators return one entry for each pair (eps, -eps), which costs two evaluations. The entries of
`leave_one_out` depend on each other, those of all others are independent. Read them in this order:

    samples             what they share: drawing z, asking for f(z) and df(z)
    reparameterization  pathwise, and its antithetic pairs
    scores              the score function, leave-one-out, baselines
    measures            measure-valued: one distribution minus another
    quadrature          the exact gradient, for one or two latents
    elbo                the KL in closed form or inside the cost; sticking the landing
    names               one face for all, to plug into a model
    algebra             sums of terms whose expectation is known
    variances           the estimators written in such terms
    moments             how much each scatters, exactly: quadratic, cos, exp, the KL

(Mohamed, Rosca, Figurnov and Mnih 2020, "Monte Carlo Gradient Estimation in Machine Learning")
"""

from .elbo import (
    beside_closed_form_kl,
    closed_form_kl,
    elbo_cost,
    elbo_slope,
    monte_carlo_kl,
    sticking_the_landing,
)
from .measures import measure_valued
from .moments import cos_moments, exp_moments, kl_moments, quadratic_moments
from .names import ESTIMATORS, named
from .quadrature import ExactGradient, exact_gradient
from .reparameterization import pathwise, pathwise_antithetic
from .scores import (
    leave_one_out,
    mean_baseline,
    moving_average_baseline,
    optimal_baseline,
    score_function,
    score_function_antithetic,
)
from .variances import GradientMoments, Moments

__all__ = [
    "ESTIMATORS",
    "ExactGradient",
    "GradientMoments",
    "Moments",
    "beside_closed_form_kl",
    "closed_form_kl",
    "cos_moments",
    "elbo_cost",
    "elbo_slope",
    "exact_gradient",
    "exp_moments",
    "kl_moments",
    "leave_one_out",
    "mean_baseline",
    "measure_valued",
    "monte_carlo_kl",
    "moving_average_baseline",
    "named",
    "optimal_baseline",
    "pathwise",
    "pathwise_antithetic",
    "quadratic_moments",
    "score_function",
    "score_function_antithetic",
    "sticking_the_landing",
]
