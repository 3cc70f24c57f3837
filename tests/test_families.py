"""Latent families, priors and likelihoods: densities, samplers, KLs, scores and whole gradients."""

import itertools
from functools import partial

import numpy as np
import pytest

from minivae import distributions as dist
from minivae import estimators, ops

PAIRS = [
    ("gaussian", "standard"),
    ("gaussian", "laplace"),
    ("laplace", "laplace"),
    ("bernoulli", "bernoulli"),
    ("categorical", "categorical"),
]
THREE = partial(dist.CategoricalPosterior, categories=3)
FAMILIES = {"gaussian": dist.GaussianPosterior, "laplace": dist.LaplacePosterior}
FAMILIES |= {"bernoulli": dist.BernoulliPosterior, "categorical": THREE}


def family(name, prior=None):
    posterior = FAMILIES[name](ops)
    posterior.prior = dist.prior_of(posterior, prior)
    return posterior


def heads_of(posterior, rng, B=4, L=6):
    return [0.8 * rng.standard_normal((B, L)) for _ in posterior.heads]


def slope(f, value):
    """The complex step of f(value).sum() in every entry."""
    found = np.zeros(value.shape)
    for index in np.ndindex(value.shape):
        step = value.astype(complex)
        step[index] += 1e-30j
        found[index] = f(step).sum().imag / 1e-30
    return found


@pytest.mark.parametrize("name", FAMILIES)
def test_a_sampler_follows_its_density(name):
    """E[score] = 0 and E[(z - E z) score] = dE[z]/dhead, 200,000 draws: all |z| below 5.

    30 numbers: a right sampler fails once in 60,000 runs; a scale 2 % off gives |z| of about 9.
    """
    rng, posterior = np.random.default_rng(1), family(name)
    heads = heads_of(posterior, rng, B=1)
    z = posterior.sample(*heads, posterior.noise(rng, (200_000, *heads[0].shape)))
    mean = posterior.mean(*heads)
    values = [z - mean, *posterior.score(z, *heads)]
    for i, head in enumerate(heads):
        right = slope(lambda h, i=i: posterior.mean(*heads[:i], h, *heads[i + 1 :]), head)
        if name == "categorical":  # z_j also moves with the other categories of its variable
            right = mean * (1 - mean)
        values.append((z - mean) * posterior.score(z, *heads)[i] - right)
    for value in values:
        assert np.abs(value.mean(axis=0) / value.std(axis=0) * len(z) ** 0.5).max() < 5


def assert_mean_is_zero(values):
    """|z| below 5 at every number: a false alarm in 1.7 million for each."""
    error = values.std(axis=0) / len(values) ** 0.5
    assert (np.abs(values.mean(axis=0)) < 5 * error + 1e-12).all()


@pytest.mark.parametrize("name", dist.PRIORS)
def test_a_prior_is_drawn_from_its_density(name):
    """E[z dlog p/dz] = -1 and, of the mixture, E[score] = 0; 100,000 draws, so 2 % off gives |z| above 5."""
    rng, prior = np.random.default_rng(8), dist.PRIORS[name](ops)
    params = {key: p + rng.standard_normal(p.shape) for key, p in prior.parameters(2, rng, float).items()}
    z = prior.sample(rng, 100_000, 20 if name == "categorical" else 2, params)
    if prior.values != "real":
        return assert_mean_is_zero(z - (0.1 if name == "categorical" else prior.r))
    ones, own = np.ones(len(z)), {}
    assert_mean_is_zero(z * prior.log_prob_backward(ones, z, params)[0] + 1)
    if name == "mixture":  # 1,000 means of 100 draws
        for part in np.split(z, 1000):
            for key, value in prior.log_prob_backward(ones[:100], part, params)[1].items():
                own.setdefault(key, []).append(value)
    for values in own.values():
        assert_mean_is_zero(np.array(values))


@pytest.mark.parametrize("name", [name for name in dist.LIKELIHOODS if name != "gaussian-optimal"])
def test_a_likelihood_is_drawn_from_its_density(name):
    """E[(x - mean) dlog p/doutput] = dmean/doutput, 1 or p (1 - p); 2 % off in scale gives |z| above 5."""
    rng, likelihood = np.random.default_rng(9), dist.LIKELIHOODS[name](ops)
    outputs = np.broadcast_to(rng.standard_normal(3), (100_000, 3))
    params = {key: value + 0.4 for key, value in likelihood.parameters(3, float).items()}
    x, mean = likelihood.sample(outputs, params, rng), likelihood.mean(outputs)
    score = -likelihood.nll_backward(np.ones(len(x)), outputs, x, params)[0]
    assert_mean_is_zero(x - mean)
    assert_mean_is_zero((x - mean) * score - (mean * (1 - mean) if name == "bernoulli" else 1))


def test_noise_at_its_lower_end_gives_a_finite_z():
    """A uniform draw may be exactly 0, once in 2^24 in float32."""
    zero = type("Zero", (), {"random": lambda self, shape, dtype: np.zeros(shape, dtype)})()
    for dtype in (np.float32, np.float64):
        eps = family("laplace").noise(zero, (1, 1), dtype)
        assert np.isfinite(family("laplace").sample(*np.zeros((2, 1, 1), dtype), eps)).all()


@pytest.mark.parametrize(("name", "eps"), [("laplace", 0.5), ("laplace", -0.7), ("bernoulli", -0.1)])
def test_noise_of_another_family_is_refused(name, eps):
    posterior = family(name)
    with pytest.raises(ValueError, match="draw it by its noise method"):
        posterior.sample(*np.zeros((len(posterior.heads), 1, 1)), np.full((1, 1), eps))


@pytest.mark.parametrize("name", ["gaussian", "laplace"])
@pytest.mark.parametrize("prior", ["standard", "laplace", "mixture"])
def test_densities_integrate_to_one(name, prior):
    rng, grid = np.random.default_rng(2), np.linspace(-40, 40, 400_001)[:, None, None]
    posterior = family(name, prior)
    heads = heads_of(posterior, rng, 1, 1)
    params = posterior.prior.parameters(1, rng, float)
    for log_density in (posterior.log_prob(grid, *heads), posterior.prior.log_prob(grid, params)):
        assert np.exp(log_density).sum() * 2e-4 == pytest.approx(1, abs=1e-7)


@pytest.mark.parametrize(("name", "prior"), PAIRS)
def test_the_closed_form_is_the_kl(name, prior):
    """Against a sum over all codes, or the trapezoid rule."""
    rng, posterior = np.random.default_rng(3), family(name, prior)
    L = 6 if posterior.values != "real" else 1
    heads = heads_of(posterior, rng, 3, L)
    if posterior.values == "real":
        z, weight = np.linspace(-60, 60, 1_200_001)[:, None, None], 1e-4
        z = np.broadcast_to(z, (len(z), 3, 1))
    else:
        codes = np.eye(3)[list(itertools.product(range(3), repeat=2))].reshape(9, 6)
        codes = np.array(list(itertools.product([0.0, 1.0], repeat=6))) if name == "bernoulli" else codes
        z, weight = np.broadcast_to(codes[:, None], (len(codes), 3, 6)), 1.0
    log_q = posterior.log_prob(z, *heads)
    kl = (np.exp(log_q) * (log_q - posterior.prior.log_prob(z, {}))).sum(axis=0) * weight
    np.testing.assert_allclose(posterior.kl(*heads), kl, rtol=1e-6, atol=1e-7)


def test_anchors():
    """KL(N(0.7, 0.5^2) || Laplace(0, 1)) and KL(Laplace(0.7, 0.5) || Laplace(0, 1)), by quadrature."""
    mu, half = np.array([[0.7]]), np.log([[0.5]])
    assert family("gaussian", "laplace").kl(mu, 2 * half)[0] == pytest.approx(0.704024, abs=5e-7)
    assert family("laplace").kl(mu, half)[0] == pytest.approx(0.516446, abs=5e-7)


@pytest.mark.parametrize(("name", "prior"), [*PAIRS, ("gaussian", "mixture")])
def test_scores_slopes_and_derivatives(name, prior):
    rng, posterior = np.random.default_rng(4), family(name, prior)
    heads, params = heads_of(posterior, rng), posterior.prior.parameters(6, rng, float)
    params = {key: value + 0.3 * rng.standard_normal(value.shape) for key, value in params.items()}
    z = posterior.sample(*heads, posterior.noise(rng, heads[0].shape))
    for i, score in enumerate(posterior.score(z, *heads)):
        of = lambda h, i=i: posterior.log_prob(z, *heads[:i], h, *heads[i + 1 :])  # noqa: E731
        np.testing.assert_allclose(score, slope(of, heads[i]), atol=1e-13)
        if dist.has_closed_form(posterior):
            of = lambda h, i=i: posterior.kl(*heads[:i], h, *heads[i + 1 :])  # noqa: E731
            got = posterior.kl_backward(np.ones(4), *heads)[i]
            np.testing.assert_allclose(got, slope(of, heads[i]), atol=1e-13)
    if posterior.values != "real":
        return
    np.testing.assert_allclose(
        posterior.slope(z, *heads), slope(lambda z: posterior.log_prob(z, *heads), z), atol=1e-13
    )
    dz, own = posterior.prior.log_prob_backward(np.ones(4), z, params)
    np.testing.assert_allclose(dz, slope(lambda z: posterior.prior.log_prob(z, params), z), atol=1e-13)
    for key, got in own.items():
        of = lambda value, key=key: posterior.prior.log_prob(z, params | {key: value})  # noqa: E731
        np.testing.assert_allclose(got, slope(of, params[key]), atol=1e-13)


def test_a_single_binary_latent_has_the_published_variance():
    """f(1) = 2.3, f(0) = -0.4, a = 0.8: gradient 0.577556, variance 0.040863; 0 with the best baseline."""
    posterior, a, p = family("bernoulli"), np.array([[0.8]]), 1 / (1 + np.exp(-0.8))
    eps = (np.arange(200_000).reshape(-1, 1, 1) + 0.5) / 200_000  # every quantile once
    f = lambda z: -0.4 + 2.7 * z[..., 0]  # noqa: E731
    (grads,) = estimators.score_function(f, a, eps, family=posterior)
    assert grads.mean() == pytest.approx(0.577556, abs=1e-5)
    assert grads.var() == pytest.approx(0.040863, abs=1e-5)
    best = (1 - p) * 2.3 + p * -0.4
    (grads,) = estimators.score_function(f, a, eps, baseline=best, family=posterior)
    assert grads.std() < 1e-12
