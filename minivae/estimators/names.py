"""One face for all: estimate(f, df, mu, logvar, eps) -> dmu, dlogvar, by its name."""

from functools import partial

from .. import arguments
from .elbo import beside_closed_form_kl
from .measures import measure_valued
from .reparameterization import pathwise, pathwise_antithetic
from .samples import samples_of
from .scores import (
    leave_one_out,
    mean_baseline,
    optimal_baseline,
    score_function,
    score_function_antithetic,
)


def _of_slope(estimate):
    return lambda f, df, mu, logvar, eps, rng=None: estimate(df, mu, logvar, eps)


def _of_cost(estimate):
    return lambda f, df, mu, logvar, eps, rng=None: estimate(f, mu, logvar, eps)


def _sticking_the_landing(f, df, mu, logvar, eps, rng=None, beta=1.0):
    return beside_closed_form_kl(_of_slope(pathwise), beta)(f, df, mu, logvar, eps)


def _of_baseline(baseline):
    def estimate(f, df, mu, logvar, eps, rng=None):
        eps = samples_of(mu, logvar, eps)
        fresh = arguments.generator("rng", rng).standard_normal(eps.shape).astype(eps.dtype, copy=False)
        return score_function(f, mu, logvar, eps, baseline(f, mu, logvar, fresh))

    return estimate


def _of_measures(coupled):
    def estimate(f, df, mu, logvar, eps, rng=None):
        return measure_valued(f, mu, logvar, rng, coupled, samples=len(samples_of(mu, logvar, eps)))

    return estimate


ESTIMATORS = {
    "pathwise": _of_slope(pathwise),
    "pathwise-antithetic": _of_slope(pathwise_antithetic),
    "score-function": _of_cost(score_function),
    "score-function-antithetic": _of_cost(score_function_antithetic),
    "score-function-mean-baseline": _of_baseline(mean_baseline),
    "score-function-optimal-baseline": _of_baseline(optimal_baseline),
    "leave-one-out": _of_cost(leave_one_out),
    "measure-valued": _of_measures(coupled=True),
    "measure-valued-uncoupled": _of_measures(coupled=False),
    "sticking-the-landing": _sticking_the_landing,
}


_OF_FUNCTIONS = {
    pathwise: "pathwise",
    pathwise_antithetic: "pathwise-antithetic",
    score_function: "score-function",
    score_function_antithetic: "score-function-antithetic",
    leave_one_out: "leave-one-out",
    measure_valued: "measure-valued",
}


def named(estimator, rng=None, beta=1.0):
    """An estimator, by name or by its function, as estimate(f, df, mu, logvar, eps) -> dmu, dlogvar.

    eps is (S, B, L). The measure-valued ones and those with an estimated baseline draw from `rng` besides.
    beta is the weight of the KL that the model adds, for sticking the landing. Any other callable has this
    face already and is returned as it is.
    """
    if callable(estimator):
        if estimator not in _OF_FUNCTIONS:
            return estimator
        estimator = _OF_FUNCTIONS[estimator]
    settings = {"rng": rng} | ({"beta": beta} if estimator == "sticking-the-landing" else {})
    return partial(ESTIMATORS[arguments.one_of("estimator", estimator, ESTIMATORS)], **settings)
