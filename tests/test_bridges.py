"""The ELBO's maximizer beside maximum likelihood, point estimates beside predictives, and live latents."""

import math

import numpy as np
import pytest

import minivae as mv
from minivae import bridges, evaluation, models


def parabola(z):
    return (z + z * z) / 2


def data(rng, w=1.0, N=100):
    return w * parabola(rng.standard_normal(N)) + 0.5 * rng.standard_normal(N)


def mean_elbo(w, x, variance=0.25):
    """The mean over x of the best Gaussian's ELBO, in closed form for `parabola`, on a fine grid of q."""
    mu, std = np.linspace(-4, 4, 321)[:, None], np.exp(np.linspace(-3.5, 0.5, 161))
    a, b, c = 0.5 * (mu + mu**2), (0.5 + mu) * std, 0.5 * std**2  # m(z) = a + b eps + c eps^2
    first, second = a + c, (a + c) ** 2 + b**2 + 2 * c**2
    kl = 0.5 * (mu**2 + std**2 - 1) - np.log(std)
    nll = [(row**2 - 2 * row * w * first + w**2 * second) / (2 * variance) + kl for row in x]
    return -0.5 * math.log(2 * math.pi * variance) - np.mean([each.min() for each in nll])


def test_the_elbo_has_another_maximizer():
    """Beside a search over w: quadrature by another rule for log p(x), a grid of Gaussians for the ELBO."""
    x = data(np.random.default_rng(0))
    by_elbo, by_likelihood = bridges.maximizers(parabola, 0.25, x)
    assert (by_elbo, by_likelihood) == pytest.approx((0.863, 1.045), abs=5e-4)
    nodes, weights = np.polynomial.legendre.leggauss(300)
    z, density = 10 * nodes, 10 * weights * np.exp(-50 * nodes**2) / math.sqrt(2 * math.pi)

    def log_likelihood(w):
        p = np.exp(-2 * (x[:, None] - w * parabola(z)) ** 2) * math.sqrt(2 / math.pi)
        return np.log(p @ density)

    np.testing.assert_allclose(
        bridges.OneLatent(parabola, 0.25, 0.9).log_prob(x), log_likelihood(0.9), atol=1e-10
    )
    for objective, best in (
        (lambda w: mean_elbo(w, x), by_elbo),
        (lambda w: log_likelihood(w).mean(), by_likelihood),
    ):
        assert objective(best) > max(objective(best - 0.01), objective(best + 0.01))
    gaussian = bridges.OneLatent(parabola, 0.25, by_elbo, "gaussian")
    assert 0 < gaussian.bound(x, gaussian.e_step(x)) - mean_elbo(by_elbo, x) < 5e-4  # what the grid misses
    exact = bridges.OneLatent(parabola, 0.25, by_elbo)
    assert exact.bound(x, exact.e_step(x)) == pytest.approx(exact.log_prob(x).mean(), abs=1e-12)


def test_without_a_gap_the_maximizers_agree(rng):
    """m(z) = w z: the posterior is Gaussian, and w^2 + variance is the mean of x^2."""
    x = 1.5 * rng.standard_normal(200) + 0.5 * rng.standard_normal(200)
    want = math.sqrt((x**2).mean() - 0.25)
    assert bridges.maximizers(lambda z: z, 0.25, x) == pytest.approx((want, want), abs=5e-3)
    with pytest.raises(ValueError, match="q must be one of posterior, gaussian"):
        bridges.OneLatent(parabola, 0.25, q="laplace")


def test_estimates_by_quadrature(rng):
    """The conjugate formulas beside the same posterior on a grid."""
    x, m = 2 + rng.standard_normal(8), np.linspace(-6, 8, 7001)
    next_x = np.array([-1.0, 0.5, 4.0])

    def log_normal(x, mean, variance):
        return -0.5 * ((x - mean) ** 2 / variance + np.log(2 * np.pi * variance))

    grid = bridges.GridPosterior(m, log_normal(x, m[:, None], 3.0).sum(axis=1), log_normal(m, -1.0, 0.5))
    found = bridges.gaussian_mean(x, 3.0, -1.0, 0.5)
    assert grid.weights.sum() == pytest.approx(1)
    assert (grid.mle, grid.map) == pytest.approx((found.mle, found.map), abs=0.0011)
    assert grid.mean == pytest.approx(found.map, abs=1e-10)
    predicted = grid.predictive(log_normal(next_x, m[:, None], 3.0))
    np.testing.assert_allclose(predicted, log_normal(next_x, *found.predictive), atol=1e-10)

    counts, p = np.array([0, 7]), np.linspace(0.0005, 0.9995, 1000)  # Dirichlet of two weights: Beta(3, 3)
    heads, tails = np.log(p), np.log1p(-p)
    grid = bridges.GridPosterior(p, counts @ [heads, tails], 2 * (heads + tails))
    found = bridges.category_weights(counts, 3)
    assert (grid.mle, grid.map) == pytest.approx((found.mle[0], found.map[0]), abs=0.0011)
    predicted = grid.predictive(np.stack([heads, tails], axis=1))
    np.testing.assert_allclose(np.exp(predicted), found.predictive, atol=1e-5)
    with pytest.raises(ValueError, match="alpha must be a finite number and at least 1"):
        bridges.category_weights(counts, 0.5)


@pytest.mark.slow
def test_the_live_latents_of_ten_spectra():
    """A linear VAE with unit variance, trained, uses the eigenvalues above 1: KL 1/2 log(eigenvalue) each.

    No eigenvalue is within a factor of 1.5 of 1; a live latent then has at least 0.2 nats. More latents than
    live ones, so that the others must collapse.
    """
    axis = 2 * np.eye(4)  # the nll is quadratic in eps: these 8 points have its mean under N(0, I) exactly
    eps = np.repeat(np.concatenate([axis, -axis])[:, None], 100, axis=1)  # (8, 100, 4)
    for seed in range(10):
        rng = np.random.default_rng(seed)
        values = np.exp(rng.uniform(0.4, 2.3, 5) * rng.choice([-1, 1], 5))
        x = rng.standard_normal((100, 5))
        x = np.linalg.qr(x - x.mean(axis=0))[0] * np.sqrt(100 * values)
        x = x @ np.linalg.qr(rng.standard_normal((5, 5)))[0]
        ppca = models.PPCA(4).fit(x)
        vae = mv.VAE(5, 4, (), likelihood="gaussian", backend="numpy", dtype=np.float64, seed=seed)
        adam = mv.Adam(beta2=0.99, backend="numpy")
        for step in range(1000):
            adam.lr = 0.1 * min(1, 2 - step / 500)
            terms, grads = vae.loss_and_grads(x, eps)
            adam.step(vae.params, grads)
        live = ppca.live(1.0)
        assert (evaluation.kl_per_latent(vae, x) > 0.05).sum() == len(live), (seed, values)
        assert terms.kl == pytest.approx(0.5 * np.log(live).sum(), abs=5e-3)
        best = ppca.eigenvalues.copy()  # the model's covariance is that of the data where it is above 1
        covered = np.isin(best, live)
        best = -0.5 * (np.where(covered, np.log(best) + 1, best) + math.log(2 * math.pi)).sum()
        assert -terms.loss == pytest.approx(best, abs=5e-3)
