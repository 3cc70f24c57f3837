"""Estimators of the gradient of an expectation: pathwise, score function, measure-valued.

Every estimator returns the gradient of E_q[f(z)] with respect to the parameters of q, which are mu and logvar
for the Gaussian. It receives the cost f as two functions:

    f(z)    (S, B, L) -> (S, B)      one cost for each sample and datum
    df(z)   (S, B, L) -> (S, B, L)   its derivative with respect to z, for the estimators that need it

and returns one value per sample, `dmu, dlogvar` of shape (S, B, L): the mean over S estimates the gradient of
each datum. mu and logvar are (B, L); eps is standard normal noise, (S, B, L) or, for one sample, (B, L).
Antithetic estimators return one entry for each pair (eps, -eps), which costs two evaluations. The S entries
are independent, except those of `leave_one_out`.

    gradients  pathwise, score function, baselines, measure-valued
    elbo       the KL in closed form or sampled, sticking the landing, the exact gradient, estimators by name

(Mohamed, Rosca, Figurnov and Mnih 2020, "Monte Carlo Gradient Estimation in Machine Learning")
"""

from .elbo import (
    ESTIMATORS,
    WITH_PATH,
    ExactGradient,
    beside_closed_form_kl,
    closed_form_kl,
    elbo_cost,
    elbo_slope,
    exact_gradient,
    monte_carlo_kl,
    named,
    sticking_the_landing,
)
from .gradients import (
    leave_one_out,
    mean_baseline,
    measure_valued,
    moving_average_baseline,
    optimal_baseline,
    pathwise,
    pathwise_antithetic,
    score_function,
    score_function_antithetic,
)

__all__ = [
    "ESTIMATORS",
    "WITH_PATH",
    "ExactGradient",
    "beside_closed_form_kl",
    "closed_form_kl",
    "elbo_cost",
    "elbo_slope",
    "exact_gradient",
    "leave_one_out",
    "mean_baseline",
    "measure_valued",
    "monte_carlo_kl",
    "moving_average_baseline",
    "named",
    "optimal_baseline",
    "pathwise",
    "pathwise_antithetic",
    "score_function",
    "score_function_antithetic",
    "sticking_the_landing",
]
