"""Bugs of gradient estimators, each planted and caught by the check that the right code passes.

Every one of them has stood in public code or in somebody's question. A check that does not fail here is a
check that checks nothing.
"""

import math

import checks
import numpy as np
import pytest
from cases import CASES, SINGLE, K, draw, enough, on_nodes

from minivae import estimators as es
from minivae import ops

# ------------------------------------------------------------------------------ planted bugs


def score_function_of(score, f_at=None):
    """The score function with another score, or with f evaluated elsewhere."""

    def estimate(f, df, mu, logvar, eps):
        z = mu + np.exp(logvar / 2) * eps
        return tuple(f(z if f_at is None else f_at(z, eps))[..., None] * s for s in score(z, mu, logvar, eps))

    return estimate


def right_score(z, mu, logvar, eps):
    return ops.gaussian_score(z, mu, logvar)


FROZEN_BUGS = {
    "the score by logvar is not squared": (
        "score-function",
        score_function_of(lambda z, mu, lv, eps: (eps / np.exp(lv / 2), 0.5 * (eps - 1))),
    ),
    "f sees eps in place of z": ("score-function", score_function_of(right_score, lambda z, eps: eps)),
    "the score sees eps in place of z": (
        "score-function",
        score_function_of(lambda z, mu, lv, eps: ops.gaussian_score(eps, mu, lv)),
    ),
    "the score has the other sign": (
        "score-function",
        score_function_of(lambda z, mu, lv, eps: [-s for s in ops.gaussian_score(z, mu, lv)]),
    ),
    "the score takes logvar for std": (
        "score-function",
        score_function_of(lambda z, mu, lv, eps: ((z - mu) / lv**2, 0.5 * ((z - mu) ** 2 / lv**2 - 1))),
    ),
    "dlogvar lacks its half": (
        "pathwise",
        lambda f, df, mu, lv, eps: (
            df(mu + np.exp(lv / 2) * eps),
            df(mu + np.exp(lv / 2) * eps) * np.exp(lv / 2) * eps,
        ),
    ),
    "std is exp(logvar)": (
        "pathwise",
        lambda f, df, mu, lv, eps: es.pathwise(df, mu, 2 * lv, eps),
    ),
    "pathwise has the other sign": (
        "pathwise",
        lambda f, df, mu, lv, eps: [-d for d in es.pathwise(df, mu, lv, eps)],
    ),
    "df sees eps in place of z": (
        "pathwise",
        lambda f, df, mu, lv, eps: (df(eps), df(eps) * 0.5 * np.exp(lv / 2) * eps),
    ),
}


@pytest.mark.parametrize("bug", FROZEN_BUGS)
def test_a_bug_in_one_sample(bug, rng):
    """Caught twice: by the nodes, without statistics, and by the z-test of mean and variance."""
    name, estimate = FROZEN_BUGS[bug]
    case = CASES["quadratic"]
    n = enough(case.moments(name))
    with pytest.raises(AssertionError, match=r"(mean|variance) of d(mu|logvar): worst"):
        checks.check_moments(*on_nodes(estimate, case), case.moments(name))
    with pytest.raises(AssertionError, match=r"(mean|variance) of d(mu|logvar) is off"):
        checks.check_draws(draw(estimate, case, n, rng), case.moments(name))
    checks.check_moments(*on_nodes(SINGLE[name], case), case.moments(name))
    checks.check_draws(draw(SINGLE[name], case, n, rng), case.moments(name))


def test_a_baseline_that_holds_its_own_sample(rng):
    """The mean over all samples as baseline: the mean comes out at exactly (1 - 1/K) of the gradient."""

    def bug(f, df, mu, logvar, eps):
        baseline = f(mu + np.exp(logvar / 2) * eps).mean(axis=0)
        return es.score_function(f, mu, logvar, eps, baseline)

    case = CASES["quadratic"]
    want = case.moments("leave-one-out")
    n = enough(want)
    draws = draw(bug, case, n, rng, K)
    with pytest.raises(AssertionError, match="mean of dmu is off"):
        checks.check_draws(draws, want)
    exactly = [m.scaled(1 - 1 / K) for m in want]  # it is leave-one-out times (1 - 1/K), sample by sample
    checks.check_draws(draws, exactly)
    checks.check_draws(draw(es.ESTIMATORS["leave-one-out"], case, n, rng, K), want)


def same_samples(f, df, mu, logvar, eps):
    return es.score_function(f, mu, logvar, eps, es.optimal_baseline(f, mu, logvar, eps))


def other_samples(fresh):
    """The right way, with the baseline from K samples of its own."""
    return lambda f, df, mu, logvar, eps: es.score_function(
        f, mu, logvar, eps, es.optimal_baseline(f, mu, logvar, fresh.standard_normal(eps.shape))
    )


def check_unbiased(estimate, case, n, rng):
    """The mean of n estimates from K samples each within 5 of their own standard errors."""
    for part, values, want in zip(
        ("dmu", "dlogvar"), draw(estimate, case, n, rng, K), case.moments("pathwise"), strict=True
    ):
        z = (values.mean() - want.mean) / (values.std() / math.sqrt(n))
        assert abs(z) < checks.FALSE_ALARM, f"mean of {part} is off by {z:.1f} standard errors"


def test_a_baseline_from_the_same_samples(rng):
    case = CASES["quadratic"]
    with pytest.raises(AssertionError, match="mean of dmu is off"):
        check_unbiased(same_samples, case, 200_000, rng)
    check_unbiased(other_samples(rng), case, 200_000, rng)


def landing(f, df, mu, logvar, eps):
    return es.sticking_the_landing(lambda z: 0 * z, mu, logvar, eps)


def landing_with_score(f, df, mu, logvar, eps):
    nothing = lambda z: 0 * z[..., 0]  # noqa: E731
    return es.monte_carlo_kl(
        es.ESTIMATORS["pathwise"], nothing, lambda z: 0 * z, mu, logvar, eps, zero_mean_term=True
    )


def test_sticking_the_landing_with_its_score_kept(rng):
    """The mean is right, so that only the variance can tell."""
    case = CASES["kl"]
    want, total = (es.kl_moments(0.6, 1.4, name) for name in ("sticking-the-landing", "pathwise"))
    n = enough(want)
    with pytest.raises(AssertionError, match="variance of dmu is off"):
        checks.check_draws(draw(landing_with_score, case, n, rng), want)
    with pytest.raises(AssertionError, match="variance of dmu: worst"):
        checks.check_moments(*on_nodes(landing_with_score, case), want)
    checks.check_draws(draw(landing_with_score, case, n, rng), total)
    checks.check_draws(draw(landing, case, n, rng), want)
    checks.check_moments(*on_nodes(landing, case), want)
