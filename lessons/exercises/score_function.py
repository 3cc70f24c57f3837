"""Exercise: the score-function gradient, which never differentiates the cost, and its baselines."""

import numpy as np

from minivae import estimators
from minivae.estimators import scores

from .. import judging
from ..judging import Exercise, Failed
from ..slips.score_function import PATHWISE, WITHOUT, WRONG, cause, guesses, terms

S, B, L = 4, 7, 3
SIZES = {"S": S, "B": B, "L": L}
NAMES = ("dmu", "dlogvar")
MANY, DRAWS = 40_000, 3  # data and samples of each in the test of the mean
TARGET = np.random.default_rng(60).normal(1.0, 0.8, (B, L))
WEIGHT = np.array([1.0, 0.4, 1.7])


def example():
    """mu, logvar (B, L), eps (S, B, L)."""
    rng = np.random.default_rng(61)
    return rng.normal(0.5, 1.0, (B, L)), rng.normal(-0.3, 0.7, (B, L)), rng.standard_normal((S, B, L))


def per_datum():
    """A baseline (B,)."""
    return np.random.default_rng(62).normal(2.0, 1.0, B)


def pair():
    """Baselines (B, L) for mu and for logvar."""
    rng = np.random.default_rng(63)
    return rng.normal(2.0, 1.0, (B, L)), rng.normal(-1.0, 1.0, (B, L))


def cost(z):
    """sum_l w_l (z_l - t_l)^2 + 2, another t for each datum: (S, B, L) -> (S, B), or (B, L) -> (B,)."""
    if np.shape(z)[-2:] != (B, L) or np.ndim(z) > 3:
        raise Failed(f"f is called with an array of shape {np.shape(z)}: it takes z of shape (S, B, L)")
    return (WEIGHT * (np.asarray(z) - TARGET) ** 2).sum(axis=-1) + 2


def slope(z):
    """df/dz, like z."""
    return 2 * WEIGHT * (z - TARGET)


def reference(mu, logvar, eps, baselines):
    """Sample by sample and latent by latent, from the derivatives of the log-density's exponent."""
    found = np.empty((2, S, B, L))
    variance = np.exp(logvar)
    for s in range(S):
        z = mu + np.sqrt(variance) * eps[s]
        parts = (z - mu) / variance, (z - mu) ** 2 / (2 * variance) - 0.5
        for k, (part, baseline) in enumerate(zip(parts, baselines, strict=True)):
            for i in range(L):
                found[k, s, :, i] = (cost(z) - baseline[:, i]) * part[:, i]
    return tuple(found)


def check_mean(its):
    """Mean and variance of each sample against the exact ones of a score function.

    f = z_1^2 + z_2^2 at mu = 1.5, std = 1.4, 40,000 data with 3 samples each: 5 standard errors of 8 numbers,
    a false alarm once in 200,000 seeds, and the seed is fixed. With 99.9 % it finds a bias of 9 % by mu or
    18 % by logvar, and a variance that is wrong by 11 % or 31 %.
    """
    rng, mean, std, n = np.random.default_rng(64), 1.5, 1.4, MANY * DRAWS
    mu, logvar = np.full((MANY, 2), mean), np.full((MANY, 2), 2 * np.log(std))
    eps = rng.standard_normal((DRAWS, MANY, 2))
    results = its.score_function(lambda z: (z**2).sum(axis=-1), mu, logvar, eps)
    results = judging.values("score_function", results, NAMES)
    exact, pathwise = (
        estimators.quadratic_moments(1, 0, 0, mean, std, key, dim=2) for key in ("score-function", "pathwise")
    )
    for name, got, want, other in zip(NAMES, results, exact, pathwise, strict=True):
        got = judging.array(name, got, eps.shape, {"S": DRAWS, "B": MANY, "L": 2}).astype(float)
        for i in range(2):
            try:
                judging.biased(name, got[..., i].mean(), want.mean, np.sqrt(want.variance / n))
                _scatter(name, got[..., i].var(), want, other, n)
            except Failed as failed:
                judging.rather(check_samples, its, failed)


def _scatter(name, variance, exact, pathwise, n):
    """Raise Failed if the variance is not that of a score function, but perhaps that of another estimator."""
    if abs(variance - exact.variance) <= 5 * exact.variance_error(n):
        return
    found = f"its variance is {variance:.4g} +- {exact.variance_error(n):.2g}, exact {exact.variance:.6g}"
    if abs(variance - pathwise.variance) < 5 * pathwise.variance_error(n):
        raise Failed(PATHWISE, [f"{name}: {found}"])
    raise Failed(
        f"{name} has the right mean, but {variance / exact.variance:.3g} times the variance of a score "
        "function: it is another estimator",
        [found],
    )


def check_samples(its):
    """What every sample says, without a baseline."""
    _values(its, (), (np.zeros((B, L)),) * 2)


def check_number(its):
    """The same number is taken from every cost, be it a float or an int."""
    for number in 1.3, 2:
        with judging.noted(f"baseline = {number}"):
            _values(its, (number,), (np.full((B, L), number, float),) * 2)


def check_per_datum(its):
    """A number for each datum, the same for all its samples and latents."""
    baseline = per_datum()
    with judging.noted("baseline of shape (B,): against costs (S, B, 1) it is to be baseline[:, None]"):
        _values(its, (baseline,), (np.tile(baseline[:, None], L),) * 2)


def check_pair(its):
    """One for mu and one for logvar, for each latent."""
    with judging.noted("here baseline is a tuple of two arrays (B, L), one for mu and one for logvar"):
        _values(its, (pair(),), pair())


def _values(its, baseline, baselines):
    """Hold every sample to the reference; baseline: () or the one that is passed in."""
    mu, logvar, eps = example()
    std = np.exp(logvar / 2)
    z = mu + std * eps

    def answer(eps):
        got = its.score_function(cost, mu, logvar, eps, *baseline)
        return judging.values("score_function", got, NAMES)

    results = answer(eps)
    with judging.or_else(
        lambda: judging.deaf("dmu", lambda eps: answer(eps)[0], eps),
        lambda: cause(results, cost(z), std, eps, baselines),
        lambda: WITHOUT if baseline else None,
    ):
        judging.expect_all(
            NAMES,
            results,
            reference(mu, logvar, eps, baselines),
            SIZES,
            wrong=[
                *judging.mistaken(WRONG, "score_function", cost, mu, logvar, eps, *baseline),
                (PATHWISE, (slope(z), slope(z) * std * eps / 2)),
                *guesses(cost, mu, logvar, eps),
            ],
            terms=terms(cost(z), std, eps, baselines),
            formulas=[{"f score": 1.0} | ({"baseline score": -1.0} if baseline else {})] * 2,
            inputs={"logvar": logvar + 0 * eps, "mu": mu + 0 * eps, "eps": eps},
        )


CHECKS = {
    "the mean is the gradient": check_mean,
    "every sample": check_samples,
    "a baseline that is a number": check_number,
    "a baseline for each datum": check_per_datum,
    "a pair of baselines": check_pair,
}

EXERCISE = Exercise(
    lesson=6,
    title="Estimate a gradient without differentiating the cost",
    task="""
    Write the score-function gradient of E[f(z)], z ~ N(mu, exp(logvar)). mu and logvar are (B, L), eps is
    (S, B, L); f takes all samples at once, (S, B, L), and returns their costs (S, B). Return what every
    sample says, dmu and dlogvar of shape (S, B, L); the caller takes the mean. The baseline is subtracted
    from the cost: it comes as one number, as (B,), or as a pair of (B, L), and is checked in this order.
    """,
    functions=(estimators.score_function,),
    hints=(
        "Where to look: lesson 6, the score function. Three steps: z from eps; the costs f(z), less the "
        "baseline; times the two parts of the score at z, which the exercise on the score writes. Give the "
        "costs a last axis, [..., None], so that they meet (S, B, L).",
        "The formula: d = (f(z) - baseline) * score. The score is (z - mu) e^-logvar by mu, and 1/2 ((z - "
        "mu)^2 e^-logvar - 1) by logvar. Against (S, B, 1), a baseline (B,) wants to be (B, 1), and a pair "
        "of (B, L) fits as it is: its first part for mu, its second for logvar.",
        "All but the last line:\n"
        "    z = mu + np.exp(0.5 * logvar) * eps                     # (S, B, L)\n"
        "    cost = f(z)[..., None]                                  # (S, B, 1)\n"
        "    by_mu = (z - mu) * np.exp(-logvar)                      # (S, B, L)\n"
        "    by_logvar = 0.5 * ((z - mu) * by_mu - 1)                # (S, B, L)\n"
        "    if not isinstance(baseline, tuple):\n"
        "        one = baseline[:, None] if np.ndim(baseline) else baseline\n"
        "        baseline = one, one",
    ),
    checks=CHECKS,
    wrong=WRONG,
    borrowed=("cost_times_score",),
    shows=(scores.cost_times_score, scores._baselines),
)
