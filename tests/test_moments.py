"""The exact moments: with quadrature nodes for noise, and by the formulas that were derived by hand."""

import math
from functools import partial

import checks
import numpy as np
import oracles
import pytest
from cases import BASELINES, CASES, SINGLE, case, estimator, kl_as_quadratic, on_nodes, quadratic

from minivae import estimators as es

# ------------------------------------------------------------------------------ nodes for noise


@pytest.mark.parametrize("name", [*SINGLE, *BASELINES])
@pytest.mark.parametrize("cost", CASES)
def test_moments_on_nodes(cost, name):
    case = CASES[cost]
    checks.check_moments(*on_nodes(estimator(case, name), case), case.moments(name))


@pytest.mark.parametrize("K", [2, 3])
@pytest.mark.parametrize("cost", [cost for cost in CASES if cost != "two latents"])
def test_moments_of_leave_one_out_on_nodes(cost, K):
    case = CASES[cost]
    want = case.moments("leave-one-out", samples=K)
    checks.check_moments(*on_nodes(es.named("leave-one-out"), case, K), want)


@pytest.mark.parametrize("name", [*SINGLE, *BASELINES])
def test_moments_in_three_dimensions_on_nodes(name):
    case = quadratic(0.7, -0.4, 0.3, 0.9, 1.3, dim=3)
    checks.check_moments(*on_nodes(estimator(case, name), case), case.moments(name))


@pytest.mark.parametrize("name", ["pathwise", "score-function", "measure-valued"])
def test_moments_of_a_mean_of_samples(name):
    """Two samples: against all pairs on a grid; the measure-valued one by the fourth moment of a mean."""
    case = CASES["quadratic"]
    one, two = case.moments(name), case.moments(name, samples=2)
    if name in SINGLE:
        checks.check_moments(*on_nodes(SINGLE[name], case, 2), two)
    for single, pair in zip(one, two, strict=True):
        want = single.mean, single.variance / 2, single.fourth / 8 + 3 * single.variance**2 / 8
        assert pair == pytest.approx(want)


def cos_sum(dim):
    moments = partial(es.cos_moments, 1.2, 0.8, 0.9, dim=dim)
    return case(lambda z: np.cos(1.2 * z), lambda z: -1.2 * np.sin(1.2 * z), moments, 0.8, 0.9, dim)


def exp_sum(dim):
    def df(z):
        return -1.8 * z * np.exp(-0.9 * z * z)

    moments = partial(es.exp_moments, 0.9, 0.7, 1.2, dim=dim)
    return case(lambda z: np.exp(-0.9 * z * z), df, moments, 0.7, 1.2, dim)


@pytest.mark.parametrize("name", [*SINGLE, *BASELINES])
@pytest.mark.parametrize("summed", [cos_sum, exp_sum])
def test_moments_in_two_dimensions_on_nodes(summed, name):
    """A sum of two costs that are not quadratic, on a grid over both noises; and one is the plain case."""
    two, one = summed(2), summed(1)
    checks.check_moments(*on_nodes(estimator(two, name), two), two.moments(name))
    alone = CASES[{cos_sum: "cos", exp_sum: "exp"}[summed]]
    assert one.moments(name) == alone.moments(name)


@pytest.mark.parametrize("summed", [cos_sum, exp_sum])
def test_leave_one_out_in_two_dimensions(summed):
    """Var = (E[F^2 s^2] - g^2) / K + (Var f E s^2 + g^2) / (K (K - 1)), means from a grid; F = f - E f."""
    cost, K = summed(2), 5
    e, weights = oracles.normal_rule(161)
    weights = np.outer(weights, weights)
    each = cost.each(cost.mu[0, 0] + np.exp(cost.logvar[0, 0] / 2) * e)
    f = each[:, None] + each
    F = f - (weights * f).sum()
    scores = e / np.exp(cost.logvar[0, 0] / 2), (e * e - 1) / 2
    for got, score in zip(cost.moments("leave-one-out", samples=K), scores, strict=True):
        s = score[:, None]
        g, m22, information = ((weights * v).sum() for v in (F * s, F**2 * s**2, s**2 + 0 * f))
        want = (m22 - g**2) / K + ((weights * F**2).sum() * information + g**2) / (K * (K - 1))
        assert (got.mean, got.variance) == pytest.approx((g, want), rel=1e-9)


# ------------------------------------------------------------------------------ by hand


def by_std(moments, std):
    """By std instead of logvar: mean, variance, fourth."""
    return moments.mean * 2 / std, moments.variance * 4 / std**2, moments.fourth * 16 / std**4


def test_erdogans_example():
    """87 / N against 4 / N: z^2 at mu = 2, std = 1, by mu."""
    assert es.quadratic_moments(1, 0, 0, 2, 1, "score-function").dmu.variance == 87
    assert es.quadratic_moments(1, 0, 0, 2, 1, "pathwise").dmu.variance == 4


@pytest.mark.parametrize("seed", range(3))
def test_quadratic_variances_by_the_table(seed):
    """Every variance and fourth moment that was derived by hand, with A, B, C as there."""
    a, b, c, mu = np.random.default_rng(seed).standard_normal(4)
    s = 0.5 + seed
    A, B, C = a * s * s, s * (2 * a * mu + b), a * mu * mu + b * mu + c

    def shifted(t):
        return [15 * A**2 + 6 * A * (C - t) + 2 * B**2 + (C - t) ** 2,
                74 * A**2 + 20 * A * (C - t) + 10 * B**2 + 2 * (C - t) ** 2]  # fmt: skip

    table = {
        "score-function": shifted(0),
        "score-function-mean-baseline": [10 * A**2 + 2 * B**2, 56 * A**2 + 10 * B**2],
        "score-function-optimal-baseline": [6 * A**2 + 2 * B**2, 24 * A**2 + 10 * B**2],
        "score-function-antithetic": [2 * B**2, 74 * A**2 + 20 * A * C + 2 * C**2],
        "pathwise": [4 * A**2, 8 * A**2 + B**2],
        "pathwise-antithetic": [0, 8 * A**2],
    }
    f = partial(es.quadratic_moments, a, b, c, mu, s)
    for name, (by_mu, by_s) in table.items():
        got = f(name)
        assert got.dmu.mean == pytest.approx(2 * a * mu + b, rel=1e-10)
        assert by_std(got.dlogvar, s)[0] == pytest.approx(2 * a * s, rel=1e-10)
        assert got.dmu.variance * s**2 == pytest.approx(by_mu, rel=1e-10, abs=1e-12)
        assert by_std(got.dlogvar, s)[1] * s**2 == pytest.approx(by_s, rel=1e-10)
    fourth = {
        "score-function": (
            10395 * A**4 + 3780 * A**3 * C + 4500 * A**2 * B**2 + 630 * A**2 * C**2 + 936 * A * B**2 * C
            + 60 * A * C**3 + 60 * B**4 + 60 * B**2 * C**2 + 3 * C**4,
            1484124 * A**4 + 379632 * A**3 * C + 577032 * A**2 * B**2 + 41544 * A**2 * C**2
            + 84624 * A * B**2 * C + 2352 * A * C**3 + 7188 * B**4 + 3624 * B**2 * C**2 + 60 * C**4,
        ),
        "pathwise": (48 * A**4, 960 * A**4 + 240 * A**2 * B**2 + 3 * B**4),
    }  # fmt: skip
    for name, (by_mu, by_s) in fourth.items():
        assert f(name).dmu.fourth * s**4 == pytest.approx(by_mu, rel=1e-10)
        assert by_std(f(name).dlogvar, s)[2] * s**4 == pytest.approx(by_s, rel=1e-10)


@pytest.mark.parametrize("K", [2, 8, 100])
def test_leave_one_out_variance_by_the_formula(K):
    a, b, c, mu, s = 0.7, -0.4, 0.3, 0.9, 1.3
    A, B = a * s * s, s * (2 * a * mu + b)
    got = es.quadratic_moments(a, b, c, mu, s, "leave-one-out", samples=K)
    for part, g, m22, information in (
        ((got.dmu.mean, got.dmu.variance), 2 * a * mu + b, (10 * A**2 + 2 * B**2) / s**2, 1 / s**2),
        (by_std(got.dlogvar, s)[:2], 2 * a * s, (56 * A**2 + 10 * B**2) / s**2, 2 / s**2),
    ):
        want = m22 / K + ((2 * A**2 + B**2) * information + g**2) / (K * (K - 1))
        assert part == pytest.approx((g, want), rel=1e-9)


@pytest.mark.parametrize("D", [1, 10, 100])
@pytest.mark.parametrize("d", [0.0, 0.8])
def test_variance_in_D_dimensions(D, d):
    s = 1.3
    f = partial(es.quadratic_moments, 1, -2.0, 1.0, 1 + d, s, dim=D)  # sum (z_i - 1)^2
    plain = (D**2 * (d**4 / s**2 + 2 * d**2 + s**2) + D * (8 * d**2 + 6 * s**2) + 4 * d**2 + 8 * s**2,
             D**2 * (2 * d**4 / s**2 + 4 * d**2 + 2 * s**2) + D * (24 * d**2 + 20 * s**2)
             + 32 * d**2 + 52 * s**2)  # fmt: skip
    best = (
        D * (4 * d**2 + 2 * s**2) + 4 * d**2 + 4 * s**2,
        D * (8 * d**2 + 4 * s**2) + 32 * d**2 + 20 * s**2,
    )
    for name, (by_mu, by_s) in (
        ("score-function", plain),
        ("score-function-optimal-baseline", best),
        ("pathwise", (4 * s**2, 8 * s**2 + 4 * d**2)),
        ("measure-valued", (4 * d**2 * (4 / math.pi - 1), 4 * s**2 + 4 * d**2)),
    ):
        got = f(name)
        assert got.dmu.variance == pytest.approx(by_mu, rel=1e-10, abs=1e-12)
        assert by_std(got.dlogvar, s)[1] == pytest.approx(by_s, rel=1e-10)


def test_variance_at_the_anchors():
    for D, plain, best in ((1, 15, 6), (10, 168, 24), (100, 10608, 204)):
        f = partial(es.quadratic_moments, 1, 0, 0, 0, 1, dim=D)
        assert f("score-function").dmu.variance == pytest.approx(plain, rel=1e-12)
        assert f("score-function-optimal-baseline").dmu.variance == pytest.approx(best, rel=1e-12)
        assert f("pathwise").dmu.variance == pytest.approx(4, rel=1e-12)
    uncoupled = es.quadratic_moments(1, 0, 0, 0.8, 1.3, "measure-valued-uncoupled").dlogvar
    assert by_std(uncoupled, 1.3)[1] == pytest.approx(8 * 1.3**2 + 16 * 0.8**2, rel=1e-12)


def test_cos_variances_by_the_formula():
    k, mu, s = 1.3, 0.4, 0.8
    u, c2 = k * s, math.cos(2 * k * mu)
    E1, E2 = math.exp(-(u**2) / 2), math.exp(-2 * u**2)
    gm, gs = -k * math.sin(k * mu) * E1, -(k**2) * s * math.cos(k * mu) * E1
    pw, sf = (es.cos_moments(k, mu, s, name) for name in ("pathwise", "score-function"))
    for got, want in (
        (pw.dmu.mean, gm),
        (by_std(pw.dlogvar, s)[0], gs),
        (pw.dmu.variance, k**2 * (1 - c2 * E2) / 2 - gm**2),
        (by_std(pw.dlogvar, s)[1], k**2 / 2 * (1 - c2 * (1 - 4 * u**2) * E2) - gs**2),
        (sf.dmu.variance, (1 + c2 * (1 - 4 * u**2) * E2) / (2 * s**2) - gm**2),
        (by_std(sf.dlogvar, s)[1], (2 + c2 * E2 * (2 - 16 * u**2 + 16 * u**4)) / (2 * s**2) - gs**2),
    ):
        assert got == pytest.approx(want, rel=1e-12)
    assert es.cos_moments(3, 1, 1, "score-function").dmu.variance == pytest.approx(0.499978, abs=5e-7)
    assert es.cos_moments(3, 1, 1, "pathwise").dmu.variance == pytest.approx(4.499978, abs=5e-7)


@pytest.mark.parametrize(
    ("moments", "part", "k"),
    [
        (es.cos_moments, "dmu", 1.0638),
        (es.cos_moments, "dlogvar", 1.2973),
        (es.exp_moments, "dmu", 0.8700),
        (es.exp_moments, "dlogvar", 1.0028),
    ],
)
def test_pathwise_loses_beyond_the_crossover(moments, part, k):
    def lead(k):
        sf, pw = (getattr(moments(k, 1, 1, name), part).variance for name in ("score-function", "pathwise"))
        return sf - pw

    assert lead(k - 1e-4) > 0 > lead(k + 1e-4)


def test_exp_at_the_anchor():
    sf, pw = (es.exp_moments(10, 1, 1, name).dmu for name in ("score-function", "pathwise"))
    assert (sf.mean, sf.variance, pw.variance) == pytest.approx((-0.12909, 0.076940, 0.941629), rel=1e-4)


def test_kl_variances_by_the_table():
    mu, s = 0.6, 1.4
    pw, stl = (es.kl_moments(mu, s, name) for name in ("pathwise", "sticking-the-landing"))
    for moments in (pw, stl):
        assert moments.dmu.mean == pytest.approx(mu)
        assert by_std(moments.dlogvar, s)[0] == pytest.approx(s - 1 / s)
    assert pw.dmu.variance == pytest.approx(s**2)
    assert by_std(pw.dlogvar, s)[1] == pytest.approx(mu**2 + 2 * s**2)
    assert stl.dmu.variance == pytest.approx((s - 1 / s) ** 2)
    assert by_std(stl.dlogvar, s)[1] == pytest.approx(mu**2 + 2 * (s - 1 / s) ** 2)
    assert es.kl_moments(0.5, 1, "score-function").dmu.variance == pytest.approx(0.515625)
    assert es.kl_moments(0.5, 1, "pathwise").dmu.variance == pytest.approx(1)


def test_the_kls_zero_mean_term_is_a_baseline():
    a, b, c = kl_as_quadratic(0.6, 1.4)
    got = es.kl_moments(0.6, 1.4, "score-function-zero-mean-term", dim=2)
    assert got == es.quadratic_moments(a, b, c + 0.5, 0.6, 1.4, "score-function", dim=2)
    for name in ("score-function", "leave-one-out", "measure-valued"):
        keywords = {"samples": 4, "dim": 3}
        want = es.quadratic_moments(a, b, c, 0.6, 1.4, name, **keywords)
        assert es.kl_moments(0.6, 1.4, name, **keywords) == want


def test_standard_error_of_a_variance():
    assert es.Moments(1.0, 2.0, 13.0).variance_error(36) == pytest.approx(0.5)
