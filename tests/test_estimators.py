"""Estimators of a gradient against exact answers, in three layers, and their bugs.

1. Frozen noise: a per-sample gradient is deterministic, so it has an exact answer. No statistics.
2. The mean against the exact gradient, at the nodes of a quadrature and by a z-test with the exact variance.
3. The variance against the exact one, likewise; its z-test uses the exact fourth moment.

N is chosen so that a relative bias of 3 % of either mean is 8 standard errors: the threshold of 5 then
catches it with 99.87 % power. Of 250 z-values one exceeds 5 by chance in 1 of 7000 sets of seeds.
"""

import math
from functools import partial

import numpy as np
import oracles
import pytest
from cases import ALL, BOTH, CASES, SINGLE, B, K, L, S, agree_both, costs, draw, enough, on_nodes, quadratic
from oracles import agree, check_mean, complex_gradient

from lessons.lab import moments
from minivae import estimators as es
from minivae import ops


def check_draws(draws, want):
    """n independent draws dmu (n,), dlogvar (n,): mean and variance within 5 standard errors of the exact.

    The standard errors are exact too: sqrt(v / n), and sqrt((m4 - v^2) / n) for the variance.
    """
    for part, values, exact in zip(BOTH, draws, want, strict=True):
        if exact.variance < 1e-18 * exact.mean**2:
            agree(f"{part} without variance", values, np.full(values.shape, exact.mean), 1e-12)
            continue
        off, n = values - exact.mean, len(values)
        z_mean = off.mean() / math.sqrt(exact.variance / n)
        z_variance = ((off**2).mean() - exact.variance) / exact.variance_error(n)
        assert abs(z_mean) < oracles.FALSE_ALARM, f"mean of {part} is off by {z_mean:.1f} standard errors"
        assert abs(z_variance) < oracles.FALSE_ALARM, f"variance of {part} is off by {z_variance:.1f} errors"


def check_nodes(dmu, dlogvar, weights, want):
    """No luck involved: at the nodes of a quadrature the moments of the draws are the exact ones."""
    for part, values, exact in zip(BOTH, (dmu, dlogvar), want, strict=True):
        mean = (weights * values).sum()
        variance, fourth = ((weights * (values - mean) ** n).sum() for n in (2, 4))
        agree(f"mean of {part}", mean, exact.mean, 1e-9)
        agree(f"variance of {part}", 1 + variance, 1 + exact.variance, 1e-8)
        agree(f"fourth moment of {part}", 1 + fourth, 1 + exact.fourth, 1e-8)


# ------------------------------------------------------------------------------ layer 1: frozen noise


def check_surrogate(estimate, surrogate, mu, logvar, rng):
    """Every sample's gradient, under random weights, and the complex step of what it is the derivative of."""
    w = rng.standard_normal((S, B))
    got = [(w[..., None] * d).sum(axis=0) for d in estimate]
    by_mu = complex_gradient(lambda v: (w * surrogate(v, logvar)).sum(), mu)
    agree_both(got, (by_mu, complex_gradient(lambda v: (w * surrogate(mu, v)).sum(), logvar)), 1e-12)


def test_pathwise_is_the_derivative_of_the_cost(rng):
    f, df, mu, logvar, eps = costs(rng)
    path = lambda mu, logvar: f(mu + np.exp(logvar / 2) * eps)  # noqa: E731
    check_surrogate(es.pathwise(df, mu, logvar, eps), path, mu, logvar, rng)


@pytest.mark.parametrize("baseline", [0.0, 1.7, np.array([0.3, -1.2, 0.8]), "pair"])
def test_score_function_is_the_derivative_of_cost_times_log_density(rng, baseline):
    f, _, mu, logvar, eps = costs(rng)
    z = mu + np.exp(logvar / 2) * eps
    if isinstance(baseline, str):  # latent by latent, derivative by derivative
        baseline, scores = rng.standard_normal((2, B, L)), ((z - mu) / np.exp(logvar), 0.5 * (eps**2 - 1))
        want = [(f(z)[..., None] - b) * score for b, score in zip(baseline, scores, strict=True)]
        agree_both(es.score_function(f, mu, logvar, eps, baseline=tuple(baseline)), want, 1e-12)
        return

    def surrogate(mu, logvar):
        return (f(z) - baseline) * -0.5 * ((z - mu) ** 2 / np.exp(logvar) + logvar).sum(axis=-1)

    check_surrogate(es.score_function(f, mu, logvar, eps, baseline), surrogate, mu, logvar, rng)


def test_what_samples_are_made_of(rng):
    """Pairs are means of two; leave-one-out sample by sample; baselines by their formula; (B, L) is S = 1."""
    f, df, *q, eps = costs(rng)
    cost, std = f(q[0] + np.exp(q[1] / 2) * eps), np.exp(q[1] / 2)
    for pair, single in (
        (es.pathwise_antithetic(df, *q, eps), partial(es.pathwise, df)),
        (es.score_function_antithetic(f, *q, eps), partial(es.score_function, f)),
    ):
        agree_both(pair, [(a + b) / 2 for a, b in zip(single(*q, eps), single(*q, -eps), strict=True)], 1e-15)
    for s, pair in enumerate(zip(*es.leave_one_out(f, *q, eps), strict=True)):
        others = np.delete(cost, s, axis=0).mean(axis=0)  # (B,)
        agree_both(pair, [d[0] for d in es.score_function(f, *q, eps[s], others)], 1e-13)
    squares = [s**2 for s in (eps / std, 0.5 * (eps**2 - 1))]
    best = [(cost[..., None] * s).mean(axis=0) / s.mean(axis=0) for s in squares]
    agree_both(es.optimal_baseline(f, *q, eps), best, 1e-13)
    agree("mean", es.mean_baseline(f, *q, eps), cost.mean(axis=0), 1e-14)
    zero = np.zeros((1, B, L))  # a score of zero everywhere: no 0 / 0
    agree("at no score", es.optimal_baseline(f, *q, zero)[0], zero[0], 0)
    for name in SINGLE:
        one, many = (es.ESTIMATORS[name](f, df, *q, noise) for noise in (eps[2], eps))
        agree_both(one, [d[2:3] for d in many], 1e-15)


def test_coupled_measures_cancel_exactly(rng):
    """(z - k)^2 at mu = k is the same on both sides; a cost of one coordinate says nothing of the others."""
    mu, logvar = rng.standard_normal((2, B, L))
    dmu, _ = es.measure_valued(lambda z: ((z - mu) ** 2).sum(axis=-1), mu, logvar, rng, samples=S)
    agree("dmu + 1", dmu + 1, np.ones((S, B, L)), 1e-12)
    dmu, dlogvar = es.measure_valued(lambda z: z[..., 0], mu, logvar, rng, samples=S)
    assert np.all(dmu[..., 0] > 0)
    assert np.all(dlogvar[..., 0] != 0)
    assert not np.any(dmu[..., 1]) | np.any(dlogvar[..., 1])


# ------------------------------------------------------------------------------ layers 2 and 3


def draw_named(case, name, n, rng):
    return draw(es.named(name, rng), case, n, rng, K if name == "leave-one-out" else 1)


@pytest.mark.parametrize("name", ALL)
@pytest.mark.parametrize("cost", CASES)
def test_mean_and_variance(cost, name, rng):
    """A bias of 3 % is caught with 99.87 % power; the family's false alarms are stated at the top."""
    case, want = CASES[cost], CASES[cost].moments(name)
    check_draws(draw_named(case, name, enough(want), rng), want)
    if name in SINGLE or (name == "leave-one-out" and case.dim == 1):
        check_nodes(*on_nodes(es.named(name), case, 1 if name in SINGLE else K), want)


@pytest.mark.parametrize("find", [es.mean_baseline, es.optimal_baseline])
def test_an_estimated_baseline_leaves_the_mean(find, rng):
    """From samples of its own it is a constant t: the exact moments are those of f - t."""
    case = CASES["square"]
    baseline = find(case.f, *case.q, rng.standard_normal((100, 1, 1)))
    t = np.ravel(baseline) if isinstance(baseline, tuple) else np.repeat(baseline, 2)
    less = [quadratic(1, 0, -one, 2, 1).moments("score-function") for one in t]
    want = less[0].dmu, less[1].dlogvar
    estimate = lambda f, df, *q: es.score_function(f, *q, baseline=baseline)  # noqa: E731
    check_draws(draw(estimate, case, enough(want), rng), want)


# ------------------------------------------------------------------------------ planted bugs


def scored(cost, *scores):
    return [cost[..., None] * score for score in scores]


SCORE_BUGS = {  # f, z, mu, std, e -> dmu, dlogvar
    "the score of logvar is not squared": lambda f, z, mu, std, e: scored(f(z), e / std, (e - 1) / 2),
    "the score has the other sign": lambda f, z, mu, std, e: scored(-f(z), e / std, (e**2 - 1) / 2),
    "the score sees eps": lambda f, z, mu, std, e: scored(f(z), *ops.gaussian_score(e, mu, 2 * np.log(std))),
    "f sees eps in place of z": lambda f, z, mu, std, e: scored(f(e), e / std, (e**2 - 1) / 2),
    "the score divides by std": lambda f, z, mu, std, e: scored(f(z), e, (e**2 * std - 1) / 2),
}
PATHWISE_BUGS = {
    "df sees eps in place of z": lambda df, z, mu, std, e: (df(e), df(e) * std * e / 2),
    "std is exp(logvar)": lambda df, z, mu, std, e: (
        df(mu + std**2 * e),
        df(mu + std**2 * e) * std**2 * e / 2,
    ),
    "dlogvar lacks its half": lambda df, z, mu, std, e: (df(z), df(z) * std * e),
    "dlogvar has the other sign": lambda df, z, mu, std, e: (df(z), -df(z) * std * e / 2),
}


@pytest.mark.parametrize("bug", SCORE_BUGS | PATHWISE_BUGS)
def test_a_bug_in_one_sample(bug, rng):
    """Caught twice: by the nodes, without statistics, and by the z-test of mean and variance."""
    case = CASES["quadratic"]

    def estimate(f, df, mu, logvar, eps):
        std = np.exp(logvar / 2)
        return (SCORE_BUGS | PATHWISE_BUGS)[bug](f if bug in SCORE_BUGS else df, mu + std * eps, mu, std, eps)

    want = case.moments("score-function" if bug in SCORE_BUGS else "pathwise")
    with pytest.raises(AssertionError, match=r"(mean|variance) of d(mu|logvar): worst"):
        check_nodes(*on_nodes(estimate, case), want)
    with pytest.raises(AssertionError, match=r"(mean|variance) of d(mu|logvar) is off"):
        check_draws(draw(estimate, case, enough(want), rng), want)


def test_a_baseline_from_its_own_samples(rng):
    """The mean of all samples as baseline gives exactly (1 - 1/K) of the gradient; the best is biased too."""
    case = CASES["quadratic"]
    want, n = case.moments("leave-one-out"), enough(case.moments("leave-one-out"))

    def own(find):
        return lambda f, df, *q: es.score_function(f, *q, baseline=find(f, *q))

    def fresh(f, df, *q):
        other = es.optimal_baseline(f, *q[:2], rng.standard_normal(q[2].shape))
        return es.score_function(f, *q, baseline=other)

    mean = draw(own(es.mean_baseline), case, n, rng, K)
    check_draws(mean, [m.scaled(1 - 1 / K) for m in want])
    best, other = (draw(estimate, case, n, rng, K)[0] for estimate in (own(es.optimal_baseline), fresh))
    for draws in (mean[0], best):
        with pytest.raises(AssertionError, match="mean of dmu is off"):
            check_mean("dmu", draws, want.dmu.mean)
    check_mean("dmu", other, want.dmu.mean)


def test_sticking_the_landing_with_its_score_kept():
    """The mean is right, so that only the variance can tell."""
    landing, total = (moments.kl_moments(0.6, 1.4, name) for name in ("sticking-the-landing", "pathwise"))

    def estimate(keep):
        nothing = lambda z: 0 * z[..., 0]  # noqa: E731
        kept = partial(es.monte_carlo_kl, es.named("pathwise"), nothing, lambda z: 0 * z, zero_mean_term=keep)
        return on_nodes(lambda f, df, *q: kept(*q), CASES["kl"])

    check_nodes(*estimate(False), landing)
    check_nodes(*estimate(True), total)
    with pytest.raises(AssertionError, match="variance of dmu: worst"):
        check_nodes(*estimate(True), landing)


# ------------------------------------------------------------------------------ quadrature and the ELBO


def test_exact_gradient(rng):
    """Exact for polynomials; d/dmu E|z| = erf(mu / std sqrt 2) has a kink, and the error is stated."""
    mu, logvar = rng.standard_normal((2, B, L))
    w = np.array([1.0, -2.0])
    f = lambda z: (w * z**2 + z).sum(axis=-1) + z[..., 0] * z[..., 1]  # noqa: E731
    exact = es.exact_gradient(f, mu, logvar, nodes=8)
    agree_both(exact[:2], (2 * w * mu + 1 + mu[:, ::-1], w * np.exp(logvar)), 1e-12)
    assert exact.error.shape == (B, L)
    assert exact.error.max() < 1e-11
    mu, logvar = np.array([[0.3], [1.0], [-2.0]]), np.array([[0.0], [0.5], [1.0]])
    exact, half = (es.exact_gradient(lambda z: abs(z[..., 0]), mu, logvar, *nodes) for nodes in ((), (32,)))
    agree(
        "error", exact.error, np.maximum(*(abs(a - b) for a, b in zip(exact[:2], half[:2], strict=True))), 0
    )
    want = [[math.erf(m / math.sqrt(2 * math.exp(v)))] for m, v in zip(mu[:, 0], logvar[:, 0], strict=True)]
    off = np.abs(exact.dmu - want)
    assert off.max() > 1e-4
    assert np.all(off < 3 * exact.error)


def test_elbo_gradients_differ_by_what_they_should(rng):
    """With and without the zero-mean term; the score function with it has the baseline -beta."""
    f, df, mu, logvar, eps = costs(rng)
    q, beta, pathwise = (mu, logvar, eps), 0.7, es.named("pathwise")
    z = mu + np.exp(logvar / 2) * eps
    kl = beta * mu, beta * 0.5 * np.expm1(logvar)
    score = (z - mu) / np.exp(logvar), 0.5 * (eps**2 - 1)
    slope = df(z) + beta * (z - score[0])  # d/dz of nll + beta (log q - log p)
    ratio = oracles.normal_log_density(z, mu, np.exp(logvar / 2)) - oracles.normal_log_density(z, 0.0, 1.0)
    cost = f(z) + beta * ratio.sum(axis=-1)
    agree("cost", es.elbo_cost(f, mu, logvar, beta)(z), cost, 1e-13)
    agree("slope", es.elbo_slope(df, mu, logvar, beta)(z), slope, 1e-13)
    landing = slope, slope * 0.5 * (z - mu)
    agree_both(es.sticking_the_landing(df, *q, beta), landing, 1e-13)
    agree_both(es.monte_carlo_kl(pathwise, f, df, *q, beta), landing, 1e-13)
    total = [a + beta * b for a, b in zip(landing, score, strict=True)]
    agree_both(es.monte_carlo_kl(pathwise, f, df, *q, beta, zero_mean_term=True), total, 1e-13)
    closed = [a + b for a, b in zip(es.pathwise(df, *q), kl, strict=True)]
    agree_both(es.closed_form_kl(pathwise, f, df, *q, beta), closed, 1e-13)
    beside = es.beside_closed_form_kl(pathwise, beta)(f, df, *q)
    agree_both([a + b for a, b in zip(beside, kl, strict=True)], landing, 1e-13)
    without = es.monte_carlo_kl(es.named("score-function"), f, df, *q, beta)
    agree_both(without, [cost[..., None] * s for s in score], 1e-12)
    kept = es.monte_carlo_kl(es.named("score-function"), f, df, *q, beta, zero_mean_term=True)
    agree_both(kept, [(cost[..., None] + beta) * s for s in score], 1e-12)


def test_sticking_the_landing_has_no_variance_at_the_posterior(rng):
    """x = z + noise of variance 1: the posterior is N(x / 2, 1/2), and every sample gives the gradient 0."""
    x, eps = rng.standard_normal((B, 1)), rng.standard_normal((S, B, 1))
    for d in es.sticking_the_landing(lambda z: z - x, x / 2, np.full((B, 1), math.log(0.5)), eps):
        agree("gradient + 1", d + 1, np.ones((S, B, 1)), 1e-14)


def test_moving_average_baseline(rng):
    f, df, *q, eps = costs(rng)
    baseline = es.moving_average_baseline(decay=0.8)
    agree_both(baseline(f, df, *q, eps), es.score_function(f, *q, eps), 0)
    means = [f(ops.gaussian_sample(*q, e)).mean() for e in (eps, 2 * eps)]
    assert baseline.value == pytest.approx(means[0])  # and the second call uses what the first left
    agree_both(baseline(f, df, *q, 2 * eps), es.score_function(f, *q, 2 * eps, means[0]), 1e-14)
    assert baseline.value == pytest.approx((0.8 * means[0] + means[1]) / 1.8)
