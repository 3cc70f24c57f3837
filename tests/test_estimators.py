"""Estimators of a gradient against exact answers, in three layers.

1. Frozen noise: a per-sample gradient is deterministic, so it has an exact answer. No statistics.
2. The mean against the exact gradient, by a z-test with the exact variance.
3. The measured variance against the exact one, by a z-test with the exact fourth moment.

N is chosen so that a relative bias of 2 % of either mean is 8 standard errors: the threshold of 5 then
catches it with 99.87 % power. The family has some 400 z-values, of which one exceeds 5 by chance in 1 of 4000
sets of seeds. `test_moments.py` holds the exact moments to account, `test_estimator_bugs.py` plants bugs.
"""

import math
from functools import partial

import checks
import numpy as np
import oracles
import pytest
from cases import ALL, CASES, SINGLE, draw, draw_named, enough, quadratic
from checks import agree

import minivae as mv
from minivae import estimators as es
from minivae import ops

S, B, L = 5, 3, 2  # never equal, so that no axis can stand in for another


def costs(rng):
    """A cost that is neither quadratic nor a sum over latents: f, df, mu, logvar, eps."""

    def f(z):
        return np.sin(z[..., 0]) * z[..., 1] + 0.3 * z[..., 0] ** 2 * np.exp(0.2 * z[..., 1])

    def df(z):
        x, y = z[..., 0], z[..., 1]
        grown = 0.3 * np.exp(0.2 * y)
        return np.stack([np.cos(x) * y + 2 * x * grown, np.sin(x) + 0.2 * x**2 * grown], axis=-1)

    return f, df, rng.standard_normal((B, L)), rng.standard_normal((B, L)), rng.standard_normal((S, B, L))


# ------------------------------------------------------------------------------ layer 1: frozen noise


@pytest.mark.parametrize("sign", [1, -1])
def test_pathwise_is_the_derivative_of_the_cost(rng, sign):
    f, df, mu, logvar, eps = costs(rng)
    surrogate = lambda mu, logvar: f(mu + np.exp(logvar / 2) * sign * eps)  # noqa: E731
    estimate = lambda f, df, mu, logvar, eps: es.pathwise(df, mu, logvar, sign * eps)  # noqa: E731
    checks.check_surrogate(estimate, surrogate, f, df, mu, logvar, eps, rng)


@pytest.mark.parametrize("kind", ["none", "number", "data", "pair"])
def test_score_function_is_the_derivative_of_cost_times_log_density(rng, kind):
    f, df, mu, logvar, eps = costs(rng)
    numbers = {"none": 0.0, "number": 1.7, "data": rng.standard_normal(B)}
    baseline = tuple(rng.standard_normal((2, B, L))) if kind == "pair" else numbers[kind]
    z = mu + np.exp(logvar / 2) * eps

    if kind == "pair":  # latent by latent, derivative by derivative
        scores = (z - mu) / np.exp(logvar), 0.5 * (eps**2 - 1)
        got = es.score_function(f, mu, logvar, eps, baseline)
        for name, d, b, score in zip(("dmu", "dlogvar"), got, baseline, scores, strict=True):
            agree(name, d, (f(z)[..., None] - b) * score, 1e-12)
        return

    def surrogate(mu, logvar):
        log_density = -0.5 * ((z - mu) ** 2 / np.exp(logvar) + logvar).sum(axis=-1)
        return (f(z) - baseline) * log_density

    checks.check_surrogate(
        lambda f, df, *q: es.score_function(f, *q, baseline), surrogate, f, df, mu, logvar, eps, rng
    )


def test_antithetic_pairs_are_means_of_two(rng):
    f, df, mu, logvar, eps = costs(rng)
    for both, single in (
        (es.pathwise_antithetic(df, mu, logvar, eps), partial(es.pathwise, df)),
        (es.score_function_antithetic(f, mu, logvar, eps), partial(es.score_function, f)),
    ):
        for got, up, down in zip(both, single(mu, logvar, eps), single(mu, logvar, -eps), strict=True):
            agree("pair", got, (up + down) / 2, 1e-15)


def test_leave_one_out_sample_by_sample(rng):
    f, _, mu, logvar, eps = costs(rng)
    dmu, dlogvar = es.leave_one_out(f, mu, logvar, eps)
    cost = f(mu + np.exp(logvar / 2) * eps)
    for s in range(S):
        others = np.mean([cost[t] for t in range(S) if t != s], axis=0)  # (B,)
        want = es.score_function(f, mu, logvar, eps[s], others)
        agree("dmu", dmu[s], want[0][0], 1e-13)
        agree("dlogvar", dlogvar[s], want[1][0], 1e-13)


def test_optimal_baseline_by_hand(rng):
    f, _, mu, logvar, eps = costs(rng)
    cost, std = f(mu + np.exp(logvar / 2) * eps), np.exp(logvar / 2)
    for got, s in zip(es.optimal_baseline(f, mu, logvar, eps), (eps / std, 0.5 * (eps**2 - 1)), strict=True):
        agree("baseline", got, (cost[..., None] * s**2).mean(axis=0) / (s**2).mean(axis=0), 1e-13)
    agree("mean", es.mean_baseline(f, mu, logvar, eps), cost.mean(axis=0), 1e-14)
    zero = np.zeros((1, B, L))  # a score of zero everywhere: no 0 / 0
    agree("at no score", es.optimal_baseline(f, mu, logvar, zero)[0], np.zeros((B, L)), 0)


def test_one_sample_may_stand_alone(rng):
    f, df, mu, logvar, eps = costs(rng)
    for estimate in SINGLE.values():
        one, many = estimate(f, df, mu, logvar, eps[2]), estimate(f, df, mu, logvar, eps)
        for a, b in zip(one, many, strict=True):
            agree("the only sample", a, b[2:3], 1e-15)


def test_coupled_measures_cancel_exactly(rng):
    """(z - k)^2 at mu = k is the same on both sides; a cost of one coordinate says nothing of the others."""
    mu, logvar = rng.standard_normal((2, B, L))
    dmu, _ = es.measure_valued(lambda z: ((z - mu) ** 2).sum(axis=-1), mu, logvar, rng, samples=S)
    agree("dmu + 1", dmu + 1, np.ones((S, B, L)), 1e-12)
    dmu, dlogvar = es.measure_valued(lambda z: z[..., 0], mu, logvar, rng, samples=S)
    assert (dmu[..., 0] > 0).all()
    assert dlogvar[..., 0].all()
    assert not dmu[..., 1].any()
    assert not dlogvar[..., 1].any()


# ------------------------------------------------------------------------------ layers 2 and 3: z-tests


@pytest.mark.parametrize("name", ALL)
@pytest.mark.parametrize("cost", CASES)
def test_mean_and_variance(cost, name, rng):
    """A bias of 5 % is caught with 99.87 % power; the family's false alarms are told at the top."""
    want = CASES[cost].moments(name)
    checks.check_draws(draw_named(CASES[cost], name, enough(want), rng), want)


@pytest.mark.parametrize("name", ALL)
def test_z_scores_of_200_seeds_spread_as_they_should(name):
    """Their standard deviation is 1 give or take 0.05: the standard errors are neither timid nor bold."""
    case = CASES["cos"]
    want = case.moments(name)
    z = []
    for seed in range(200):
        draws = draw_named(case, name, 1000, np.random.default_rng(seed))
        for values, exact in zip(draws, want, strict=True):
            z.append((values.mean() - exact.mean) / math.sqrt(exact.variance / len(values)))
            variance = ((values - exact.mean) ** 2).mean()
            z.append((variance - exact.variance) / exact.variance_error(len(values)))
    spread = np.reshape(z, (200, 4)).std(axis=0)
    assert np.all((spread > 0.85) & (spread < 1.15)), spread


@pytest.mark.parametrize("beta", [0.5, 1.0, 4.0])
def test_the_model_sticks_the_landing_at_its_own_beta(rng, beta):
    vae, x, eps = model(), pixels(rng), rng.standard_normal((S, B, 2))
    want = es.sticking_the_landing(vae.cost(x)[1], *vae.encode(x), eps, beta)
    for estimator in ("sticking-the-landing", es.named("sticking-the-landing", beta=beta)):
        grads = vae.loss_and_grads(x, eps, beta, estimator)[1]
        for key, d in zip(("mu.b", "logvar.b"), want, strict=True):
            agree(f"d{key}", grads[key], d.mean(axis=0).sum(axis=0) / B, 1e-12)


def test_sticking_the_landing_weighs_the_kl(rng):
    """Its gradient is linear in beta, and at beta = 0 it is pathwise."""
    _, df, mu, logvar, eps = costs(rng)
    at = {beta: es.sticking_the_landing(df, mu, logvar, eps, beta) for beta in (0.0, 1.0, 3.0)}
    for i in range(2):
        agree("beta 0", at[0.0][i], es.pathwise(df, mu, logvar, eps)[i], 1e-14)
        agree("beta 3", at[3.0][i] - at[0.0][i], 3 * (at[1.0][i] - at[0.0][i]), 1e-12)
        assert np.abs(at[1.0][i] - at[0.0][i]).max() > 0.1


@pytest.mark.parametrize(
    ("estimator", "words"),
    [
        (
            lambda f, df, mu, logvar, eps: [d.mean(0) for d in es.pathwise(df, mu, logvar, eps)],
            "dmu must have",
        ),
        (lambda f, df, mu, logvar, eps: [eps, eps[..., :1]], "dlogvar must have shape"),
        (lambda f, df, mu, logvar, eps: [eps, eps * np.nan], "dlogvar must be finite, got nan at sample 0"),
        (lambda f, df, mu, logvar, eps: [eps, eps, eps], "must return dmu and dlogvar, got 3"),
    ],
)
def test_an_estimator_of_ones_own_is_held_to_its_face(rng, estimator, words):
    vae, x, eps = model(), pixels(rng), rng.standard_normal((S, B, 2))
    with pytest.raises(ValueError, match=words):
        vae.loss_and_grads(x, eps, 1.0, estimator)


@pytest.mark.parametrize("name", es.ESTIMATORS)
def test_the_cost_sees_the_type_of_q_and_may_not_write(name, rng):
    """float32 stays float32 all the way; who writes into z would move the point of the score as well."""
    mu, logvar = rng.standard_normal((2, B, L)).astype(np.float32)
    eps = rng.standard_normal((8, B, L)).astype(np.float32)

    def f(z):
        assert z.dtype == np.float32
        return (z * z).sum(axis=-1)

    def df(z):
        assert z.dtype == np.float32
        return 2 * z

    assert {d.dtype for d in es.ESTIMATORS[name](f, df, mu, logvar, eps, rng)} == {np.dtype(np.float32)}

    def writes(z):
        z *= 2
        return z.sum(axis=-1) if name.startswith(("score", "leave", "measure")) else z

    with pytest.raises(ValueError, match="read-only"):
        es.ESTIMATORS[name](writes, writes, mu, logvar, eps, rng)


def test_whole_numbers_do_not_wrap_around(rng):
    """A cost counted in uint8: 1 - 2 is 255 there."""
    mu, logvar = np.zeros((2, 1, 1))

    def f(z):
        return (200 - 20 * np.minimum(abs(z[..., 0]), 9)).astype(np.uint8)

    counted, real = (
        es.measure_valued(g, mu, logvar, np.random.default_rng(2), samples=1000)
        for g in (f, lambda z: f(z).astype(float))
    )
    np.testing.assert_array_equal(counted, real)


def test_no_sample_is_no_answer(rng):
    f, df, mu, logvar, eps = costs(rng)
    for name in es.ESTIMATORS:
        with pytest.raises(ValueError, match=r"at least one sample|at least 2 samples"):
            es.ESTIMATORS[name](f, df, mu, logvar, eps[:0], rng)
        if name != "leave-one-out":  # (B, L) is one sample
            assert es.ESTIMATORS[name](f, df, mu, logvar, eps[0], rng)[0].shape == (1, *mu.shape)
        with pytest.raises((ValueError, TypeError), match="eps must"):
            es.ESTIMATORS[name](f, df, mu, logvar, eps.tolist(), rng)


@pytest.mark.parametrize("name", ["score-function", "leave-one-out", "pathwise-antithetic"])
def test_the_model_takes_a_function_as_well_as_its_name(backend, rng, name):
    vae, x, eps = model(backend), pixels(rng), rng.standard_normal((S, B, 2))
    want = vae.loss_and_grads(x, eps, 0.7, name)[1]
    got = vae.loss_and_grads(x, eps, 0.7, getattr(es, name.replace("-", "_")))[1]
    for key in want:
        agree(f"d{key}", got[key], want[key], 0)


@pytest.mark.parametrize("find", [es.mean_baseline, es.optimal_baseline])
def test_an_estimated_baseline_leaves_the_mean(find, rng):
    """From samples of its own it is a constant t, and the exact moments are those of f - t."""
    case = quadratic(1, 0, 0, 2, 1)
    baseline = find(case.f, case.mu, case.logvar, rng.standard_normal((100, 1, 1)))
    t_mu, t_logvar = np.ravel(baseline) if isinstance(baseline, tuple) else np.repeat(baseline, 2)
    want = [
        es.quadratic_moments(1, 0, -t_mu, 2, 1, "score-function").dmu,
        es.quadratic_moments(1, 0, -t_logvar, 2, 1, "score-function").dlogvar,
    ]
    estimate = lambda f, df, *q: es.score_function(f, *q, baseline)  # noqa: E731
    checks.check_draws(draw(estimate, case, enough(want), rng), want)


# ------------------------------------------------------------------------------ quadrature


def test_exact_gradient_of_polynomials(rng):
    mu, logvar = rng.standard_normal((2, B, L))
    w = np.array([1.0, -2.0])
    f = lambda z: (w * z**2 + z).sum(axis=-1) + z[..., 0] * z[..., 1]  # noqa: E731
    exact = es.exact_gradient(f, mu, logvar, nodes=8)
    agree("dmu", exact.dmu, 2 * w * mu + 1 + mu[:, ::-1], 1e-12)
    agree("dlogvar", exact.dlogvar, w * np.exp(logvar), 1e-12)
    assert exact.error.shape == (B, L)
    assert exact.error.max() < 1e-11


def test_exact_gradient_knows_its_error():
    """d/dmu E|z| = erf(mu / std sqrt 2) has a kink that no polynomial follows; smooth costs have no error."""
    mu, logvar = np.array([[0.3], [1.0], [-2.0]]), np.array([[0.0], [0.5], [1.0]])
    exact = es.exact_gradient(lambda z: abs(z[..., 0]), mu, logvar)
    want = [[math.erf(m / math.sqrt(2 * math.exp(v)))] for m, v in zip(mu[:, 0], logvar[:, 0], strict=True)]
    half = es.exact_gradient(lambda z: abs(z[..., 0]), mu, logvar, nodes=32)
    agree("error", exact.error, np.maximum(abs(exact.dmu - half.dmu), abs(exact.dlogvar - half.dlogvar)), 0)
    off = np.abs(exact.dmu - want)
    assert off.max() > 1e-4
    assert np.all(off < 3 * exact.error)
    case = CASES["cos"]
    smooth = es.exact_gradient(case.f, case.mu, case.logvar)
    agree("dmu", smooth.dmu, [[case.moments("pathwise").dmu.mean]], 1e-12)
    agree("dlogvar", smooth.dlogvar, [[case.moments("pathwise").dlogvar.mean]], 1e-12)
    assert smooth.error.max() < 1e-12


# ------------------------------------------------------------------------------ the ELBO's own cost


def test_sticking_the_landing_stands_still_at_the_posterior(rng):
    """x = z + noise of variance 1: the posterior is N(x / 2, 1/2), and no sample scatters there."""
    x = rng.standard_normal((B, 1))
    mu, logvar = x / 2, np.full((B, 1), math.log(0.5))
    eps = rng.standard_normal((S, B, 1))
    for d in es.sticking_the_landing(lambda z: z - x, mu, logvar, eps):
        agree("gradient + 1", d + 1, np.ones((S, B, 1)), 1e-14)


def test_elbo_gradients_differ_by_what_they_should(rng):
    """With and without the zero-mean term; the score function with it has the baseline -beta."""
    f, df, mu, logvar, eps = costs(rng)
    beta, pathwise = 0.7, es.named("pathwise")
    kl = ops.gaussian_kl_backward(np.full(B, beta), mu, logvar)
    score = ops.gaussian_score(ops.gaussian_sample(mu, logvar, eps), mu, logvar)
    closed = es.closed_form_kl(pathwise, f, df, mu, logvar, eps, beta)
    stl = es.sticking_the_landing(df, mu, logvar, eps, beta)
    total = es.monte_carlo_kl(pathwise, f, df, mu, logvar, eps, beta, zero_mean_term=True)
    without = es.monte_carlo_kl(es.named("score-function"), f, df, mu, logvar, eps, beta)
    kept = es.monte_carlo_kl(es.named("score-function"), f, df, mu, logvar, eps, beta, zero_mean_term=True)
    baseline = es.score_function(es.elbo_cost(f, mu, logvar, beta), mu, logvar, eps, -beta)
    beside = es.beside_closed_form_kl(pathwise, beta)(f, df, mu, logvar, eps)
    for i in range(2):
        agree("closed form", closed[i], es.pathwise(df, mu, logvar, eps)[i] + kl[i], 1e-14)
        agree("total derivative", total[i], stl[i] + beta * score[i], 1e-13)
        agree("zero-mean term", kept[i], without[i] + beta * score[i], 1e-13)
        agree("as a baseline", kept[i], baseline[i], 1e-12)
        agree("beside the closed form", beside[i] + kl[i], stl[i], 1e-13)
    # the total derivative: log q(z(eps)) = -1/2 logvar + const
    z = ops.gaussian_sample(mu, logvar, eps)
    agree("dmu", total[0], df(z) + beta * z, 1e-12)
    agree("dlogvar", total[1], (df(z) + beta * z) * 0.5 * (z - mu) - 0.5 * beta, 1e-12)


def test_elbo_slope_is_the_derivative_of_elbo_cost(rng):
    f, df, mu, logvar, eps = costs(rng)
    cost, slope = es.elbo_cost(f, mu, logvar, 0.7), es.elbo_slope(df, mu, logvar, 0.7)
    agree("df", slope(eps), oracles.complex_gradient(lambda z: cost_of(cost, z), eps), 1e-12)


def cost_of(cost, z):
    return cost(z).sum()


# ------------------------------------------------------------------------------ through a model


def model(backend="numpy", latent=2, dtype=np.float64, activation="tanh"):
    model = mv.VAE(6, latent, (5,), activation, backend=backend, dtype=dtype, seed=2)
    rng = np.random.default_rng(4)
    for param in model.params.values():
        param += (0.3 * rng.standard_normal(param.shape)).astype(dtype)
    return model


def pixels(rng):
    return (rng.random((B, 6)) < 0.5).astype(float)


@pytest.mark.parametrize("shape", [(B, 2), (S, B, 2)])
def test_the_model_crosses_by_pathwise(backend, rng, shape):
    """None and "pathwise" to the bit; the estimator of that name to rounding."""
    vae, x, eps = model(backend), pixels(rng), rng.standard_normal(shape)
    terms, want = vae.loss_and_grads(x, eps, 0.7)
    for estimator, tolerance in (("pathwise", 0), (es.ESTIMATORS["pathwise"], 1e-12)):
        got_terms, got = vae.loss_and_grads(x, eps, 0.7, estimator)
        assert got_terms == terms
        assert list(got) == list(want)
        for name in want:
            agree(f"d{name}", got[name], want[name], tolerance)


@pytest.mark.parametrize("name", es.ESTIMATORS)
def test_only_the_sampling_is_crossed_otherwise(backend, name):
    """The decoder's gradient is the same; mu's bias has the estimate's mean plus the KL's derivative."""
    rng = np.random.default_rng(3)
    vae, x, eps = model(backend), pixels(rng), rng.standard_normal((S, B, 2))
    _, want = vae.loss_and_grads(x, eps, 0.7)
    _, got = vae.loss_and_grads(x, eps, 0.7, es.named(name, np.random.default_rng(8)))
    for key in ("decoder1.W", "output.b"):
        agree(f"d{key}", got[key], want[key], 0)
    mu, logvar = vae.encode(x)
    dmu, dlogvar = es.ESTIMATORS[name](*vae.cost(x), mu, logvar, eps, np.random.default_rng(8))
    kl = ops.gaussian_kl_backward(np.full(B, 0.7 / B), mu, logvar)
    agree("dmu.b", got["mu.b"], (dmu.mean(axis=0) / B + kl[0]).sum(axis=0), 1e-12)
    agree("dlogvar.b", got["logvar.b"], (dlogvar.mean(axis=0) / B + kl[1]).sum(axis=0), 1e-12)


@pytest.mark.parametrize("name", es.ESTIMATORS)
def test_every_estimator_finds_the_models_gradient(name, rng):
    """20,000 samples of each datum within 5 of their standard errors of the quadrature: 120 z-values."""
    vae, x = model(activation="softplus"), pixels(rng)  # smooth enough for 32 nodes
    mu, logvar = vae.encode(x)
    f, df = vae.cost(x)
    exact = es.exact_gradient(f, mu, logvar, nodes=32)
    assert exact.error.max() < 1e-4
    eps = rng.standard_normal((20_000, B, L))
    for grads, want in zip(es.ESTIMATORS[name](f, df, mu, logvar, eps, rng), exact[:2], strict=True):
        z = (grads.mean(axis=0) - want) / (grads.std(axis=0) / math.sqrt(len(grads)))
        assert np.all(np.abs(z) < checks.FALSE_ALARM), z


def test_pathwise_and_score_quadratures_agree(rng):
    """Two integrands with one answer: the model's df is the derivative of its f."""
    vae, x = model(latent=1), pixels(rng)
    mu, logvar = vae.encode(x)
    f, df = vae.cost(x)
    exact = es.exact_gradient(f, mu, logvar)
    points, weights = oracles.gauss_hermite(64)
    grads = es.pathwise(df, mu, logvar, np.repeat(points[:, None, None], B, axis=1))
    for got, want in zip(grads, exact[:2], strict=True):
        agree("gradient", np.tensordot(weights, got, axes=1), want, 1e-6)


def test_single_precision_stays_single(backend, rng):
    vae = model(backend, dtype=np.float32)
    x, eps = pixels(rng), rng.standard_normal((S, B, 2))
    for name in es.ESTIMATORS:
        _, grads = vae.loss_and_grads(x, eps, 1.0, es.named(name, rng))
        assert {g.dtype for g in grads.values()} == {np.dtype(np.float32)}, name
    mu, logvar = vae.encode(x)
    assert np.isfinite(es.exact_gradient(vae.cost(x)[0], mu, logvar, nodes=8).dmu).all()


@pytest.mark.parametrize("find", [es.mean_baseline, es.optimal_baseline])
def test_baselines_by_name_are_made_from_fresh_noise(find, rng):
    f, df, mu, logvar, eps = costs(rng)
    name = f"score-function-{find.__name__.removesuffix('_baseline')}-baseline"
    fresh = np.random.default_rng(8).standard_normal(eps.shape)
    got = es.named(name, np.random.default_rng(8))(f, df, mu, logvar, eps)
    want = es.score_function(f, mu, logvar, eps, find(f, mu, logvar, fresh))
    agree("dmu", got[0], want[0], 0)
    agree("dlogvar", got[1], want[1], 0)


def test_moving_average_baseline(rng):
    f, df, mu, logvar, eps = costs(rng)
    baseline = es.moving_average_baseline(decay=0.8)
    first = baseline(f, df, mu, logvar, eps)
    agree("first", first[0], es.score_function(f, mu, logvar, eps)[0], 0)
    means = [f(ops.gaussian_sample(mu, logvar, e)).mean() for e in (eps, 2 * eps)]
    assert baseline.value == pytest.approx(means[0])
    second = baseline(f, df, mu, logvar, 2 * eps)  # with what the first call left
    agree("second", second[1], es.score_function(f, mu, logvar, 2 * eps, means[0])[1], 1e-14)
    assert baseline.value == pytest.approx((0.8 * means[0] + means[1]) / 1.8)


# ------------------------------------------------------------------------------ bad input


def bad(change):
    """Arguments f, df, mu, logvar, eps of ones, with one of them changed."""
    given = {
        "f": lambda z: z.sum(axis=-1),
        "df": lambda z: z,
        "mu": np.ones((B, L)),
        "logvar": np.ones((B, L)),
        "eps": np.ones((S, B, L)),
    }
    return {**given, **change}


def spoiled(value, *where):
    def f(z):
        cost = z.sum(axis=-1)
        cost[where] = value
        return cost

    return f


@pytest.mark.parametrize(
    ("name", "change", "message"),
    [
        ("score-function", {"f": lambda z: z}, r"f\(z\) must have shape \(5, 3\), got .*\(5, 3, 2\)"),
        ("score-function", {"f": lambda z: z[..., :1]}, r"f\(z\) must have shape \(5, 3\)"),
        ("score-function", {"f": lambda z: z.sum(axis=(0, 2))}, r"f\(z\) must have shape"),
        ("score-function", {"f": spoiled(np.nan, 3, 1)}, "f.z. must be finite, got nan at sample 3, datum 1"),
        ("leave-one-out", {"f": spoiled(np.inf, 4, 0)}, "f.z. must be finite, got inf at sample 4, datum 0"),
        ("leave-one-out", {"eps": np.ones((1, B, L))}, "needs at least 2 samples, got S = 1: no other"),
        ("leave-one-out", {"eps": np.ones((B, L))}, "needs at least 2 samples, got S = 1"),
        ("measure-valued", {"f": lambda z: z}, r"f\(z\) must have shape \(5, 3\)"),
        ("measure-valued", {"f": spoiled(np.nan, 2, 2)}, "at sample 2, datum 2"),
        ("pathwise", {"df": lambda z: z.sum(axis=-1)}, r"df\(z\) must have shape \(5, 3, 2\)"),
        ("pathwise", {"df": lambda z: z[:, :1]}, r"df\(z\) must have shape \(5, 3, 2\)"),
        ("pathwise", {"df": lambda z: z * np.nan}, "got nan at sample 0, datum 0, latent 0"),
        ("pathwise", {"logvar": np.ones((B, 1))}, r"logvar must have shape \(3, 2\)"),
        ("pathwise", {"eps": np.ones((S, 1, L))}, r"eps must have shape \(3, 2\) or \(S, 3, 2\)"),
        ("sticking-the-landing", {"df": lambda z: z[0]}, r"dnll\(z\) must have shape \(5, 3, 2\)"),
    ],
)
def test_bad_costs_are_refused(name, change, message, rng):
    with pytest.raises(ValueError, match=message):
        es.ESTIMATORS[name](**bad(change), rng=rng)


def test_results_that_are_no_arrays_are_refused():
    for f, message in ((lambda z: 1.0, "must be a NumPy array"), (lambda z: None, "must be a NumPy array")):
        with pytest.raises(TypeError, match=message):
            es.ESTIMATORS["score-function"](**bad({"f": f}))


@pytest.mark.parametrize(
    ("baseline", "error", "message"),
    [
        (np.ones((B, L)), ValueError, r"baseline must have shape \(3,\), got .*\(3, 2\)"),
        (np.ones(L), ValueError, r"baseline must have shape \(3,\)"),
        ((np.ones((B, L)),), ValueError, "a pair of baselines is one for mu and one for logvar, got 1"),
        ((np.ones(B), np.ones(B)), ValueError, r"baseline must have shape \(3, 2\)"),
        (np.array([1.0, np.nan, 1.0]), ValueError, "baseline must be finite, got nan at datum 1"),
        (math.inf, ValueError, "baseline must be a finite number"),
        ("mean", TypeError, "baseline must be a number"),
    ],
)
def test_bad_baselines_are_refused(baseline, error, message):
    given = bad({})
    with pytest.raises(error, match=message):
        es.score_function(given["f"], given["mu"], given["logvar"], given["eps"], baseline)


def test_what_else_is_refused(rng):
    one = np.ones((B, 3))
    with pytest.raises(ValueError, match=r"at most 2 latents, got L = 3: .* pathwise_antithetic"):
        es.exact_gradient(lambda z: z.sum(axis=-1), one, one)
    with pytest.raises(ValueError, match="nodes must be an integer of at least 2"):
        es.exact_gradient(lambda z: z.sum(axis=-1), one[:, :1], one[:, :1], nodes=1)
    with pytest.raises(TypeError, match=r"rng must be a numpy.random.Generator, got None"):
        es.ESTIMATORS["measure-valued"](**bad({}))
    with pytest.raises(ValueError, match="samples must be an integer of at least 1"):
        es.measure_valued(lambda z: z[..., 0], one, one, rng, samples=0)
    with pytest.raises(ValueError, match=r"decay must be .* below 1"):
        es.moving_average_baseline(decay=1)
    with pytest.raises(ValueError, match="samples must be an integer of at least 2"):
        es.quadratic_moments(1, 0, 0, 0, 1, "leave-one-out")
    with pytest.raises(ValueError, match="estimator must be one of pathwise, "):
        es.cos_moments(1, 0, 1, "sticking-the-landing")
    with pytest.raises(ValueError, match="std must be a finite number and above 0"):
        es.kl_moments(0, 0, "pathwise")
    with pytest.raises(ValueError, match="estimator must be one of pathwise, "):
        model().loss_and_grads(pixels(rng), np.ones((B, 2)), 1.0, "reinforce")
    with pytest.raises(ValueError, match="needs at least 2 samples"):
        model().loss_and_grads(pixels(rng), np.ones((B, 2)), 1.0, "leave-one-out")


def test_another_posterior_has_no_score_here(rng):
    class Own:
        heads = ("mu", "logvar")

        def __init__(self, ops):
            self.inner = mv.distributions.GaussianPosterior(ops)

        def __getattr__(self, name):
            return getattr(self.inner, name)

    vae = mv.VAE(6, 2, (5,), backend="numpy", posterior=Own)
    vae.loss_and_grads(pixels(rng), np.ones((B, 2)))
    with pytest.raises(ValueError, match="an estimator needs the gaussian posterior"):
        vae.loss_and_grads(pixels(rng), np.ones((B, 2)), 1.0, "score-function")


def test_arguments_are_left_alone(rng):
    f, df, mu, logvar, eps = costs(rng)
    before = [a.copy() for a in (mu, logvar, eps)]
    for name in es.ESTIMATORS:
        es.ESTIMATORS[name](f, df, mu, logvar, eps, rng)
    for got, want in zip((mu, logvar, eps), before, strict=True):
        agree("argument", got, want, 0)
