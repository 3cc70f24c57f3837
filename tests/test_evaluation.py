"""The estimates of how good a model is, compared with exact answers."""

import numpy as np
import oracles
import pytest

import minivae as mv
from minivae import evaluation


def linear_model(backend):
    """A linear-Gaussian VAE, which is probabilistic PCA: log p(x) is a Gaussian density in closed form.

    Its encoder is the exact posterior's mean with 1.5 times the variance, so that the weights are bounded.
    """
    model = mv.VAE(3, 2, (), likelihood="gaussian", backend=backend, dtype=np.float64, seed=1)
    params = model.params
    params["output.b"][...] = [0.5, -1.0, 0.0]
    W = params["output.W"]  # (L, D)
    covariance = np.linalg.inv(np.eye(2) + W @ W.T)  # of z given x
    params["mu.W"][...] = W.T @ covariance
    params["mu.b"][...] = -params["output.b"] @ params["mu.W"]
    params["logvar.W"][...] = 0
    params["logvar.b"][...] = np.log(1.5 * np.diag(covariance))
    return model


def test_importance_nll_is_exact_where_log_p_is_known(backend, rng):
    """Within 5 standard errors of the PPCA density; the error comes from 40 repetitions."""
    model, x = linear_model(backend), rng.standard_normal((4, 3))
    W, b = model.params["output.W"], model.params["output.b"]
    cov = W.T @ W + np.eye(3)
    away = x - b
    distances = np.einsum("bi,ij,bj->b", away, np.linalg.inv(cov), away)
    log_p = -0.5 * (distances + np.log(np.linalg.det(2 * np.pi * cov)))
    estimates = [evaluation.importance_nll(model, x, "grey", rng, 3000).mean for _ in range(40)]
    error = np.std(estimates) / np.sqrt(len(estimates))
    assert abs(np.mean(estimates) + log_p.mean()) < oracles.FALSE_ALARM * error
    assert error < 1e-3


def test_the_bounds_are_in_their_order(backend):
    """E[-ELBO] >= E[IW bound at 5] >= E[at 50] >= -log p(x), the last by quadrature."""
    model = mv.VAE(6, 1, (5,), "tanh", backend=backend, dtype=np.float64, seed=2)
    model.params["mu.b"] += 0.7  # a posterior beside the right one, and wider than it
    model.params["logvar.b"] += 0.5
    x = (np.random.default_rng(0).random((200, 6)) < 0.5).astype(float)
    z, h = np.linspace(-9, 9, 1801, retstep=True)  # the trapezoid rule over the prior
    p = model.mean(z[:, None])  # (n, D)
    likelihood = np.exp(x @ np.log(p).T + (1 - x) @ np.log(1 - p).T)
    exact = -np.log(likelihood @ np.exp(-z * z / 2) * h / np.sqrt(2 * np.pi)).mean()
    rng = np.random.default_rng(1)
    elbo = np.mean([evaluation.average_terms(model, x, "grey", rng).loss for _ in range(50)])
    runs = [[evaluation.importance_nll(model, x, "grey", rng, k).mean for _ in range(20)] for k in (5, 50)]
    five, fifty = np.mean(runs, axis=1)
    assert elbo > five > fifty > exact > fifty - 0.05
    many = evaluation.importance_nll(model, x, "grey", rng, 5000).mean
    assert abs(many - exact) < 2e-3


def test_one_importance_sample_is_the_elbo_by_monte_carlo(rng):
    """K = 1 averages to -ELBO: 5 standard errors over 300 repetitions."""
    model, x = linear_model("numpy"), rng.standard_normal((50, 3))
    singles = np.array([evaluation.importance_nll(model, x, "grey", rng, 1).mean for _ in range(300)])
    elbos = np.array([evaluation.average_terms(model, x, "grey", rng).loss for _ in range(300)])
    error = np.hypot(singles.std(), elbos.std()) / np.sqrt(300)
    assert abs(singles.mean() - elbos.mean()) < oracles.FALSE_ALARM * error


def test_terms_are_means_over_the_images_of_all_chunks(backend, monkeypatch):
    """Chunks of unequal size count by their images; z is drawn; `draws` gives the same pixels and z again."""
    monkeypatch.setattr(evaluation, "ROWS", 10)
    model = mv.VAE(6, 2, (5,), backend=backend, dtype=np.float64)
    images = np.random.default_rng(0).integers(0, 256, (23, 6), dtype=np.uint8)
    terms = evaluation.average_terms(model, images, "dynamic", np.random.default_rng(1), 0.5)
    chunks = list(evaluation.draws(model, images, "dynamic", np.random.default_rng(1)))
    assert [len(x) for x, _, _ in chunks] == [10, 10, 3]
    x, eps = (np.concatenate(parts) for parts in zip(*(chunk[:2] for chunk in chunks), strict=True))
    assert np.unique(x).tolist() == [0, 1]
    oracles.agree("terms", terms, model.loss(x, eps, 0.5), 1e-12)
    assert terms.nll != model.loss(x, 0 * eps).nll


def test_weights_of_any_size(backend):
    """Log-weights that differ by thousands neither overflow nor vanish: the largest decides."""
    model, x = linear_model(backend), np.zeros((2, 3))
    model.params["output.W"] *= 30
    rng = np.random.default_rng(0)
    costs = [model.loss(x, evaluation.noise(model, rng, 2, 1)).loss for _ in range(200)]
    assert max(costs) - min(costs) > 1000
    bound = evaluation.importance_nll(model, x, "grey", rng, 2000).mean
    assert 0 < bound < np.mean(costs)


def test_importance_samples_in_chunks(monkeypatch):
    """The same estimate whether the samples pass at once or in turns."""
    model, x = linear_model("numpy"), np.random.default_rng(0).standard_normal((3, 3))
    whole = evaluation.importance_nll(model, x, "grey", np.random.default_rng(1), 4000).mean
    monkeypatch.setattr(evaluation, "ROWS", 12)
    parts = evaluation.importance_nll(model, x, "grey", np.random.default_rng(2), 4000).mean
    assert parts == pytest.approx(whole, abs=0.05)


def test_noise_shapes():
    model, rng = mv.VAE(4, 3, backend="numpy"), np.random.default_rng(0)
    assert evaluation.noise(model, rng, 5, 1).shape == (5, 3)
    assert evaluation.noise(model, rng, 5, 2).shape == (2, 5, 3)
    assert evaluation.noise(model, rng, 5, 2).dtype == np.float32


@pytest.mark.parametrize("estimate", [evaluation.average_terms, evaluation.importance_nll])
def test_bad_sample_counts(estimate):
    with pytest.raises(ValueError, match="samples must be an integer of at least 1"):
        estimate(linear_model("numpy"), np.ones((2, 3)), "grey", None, samples=0)


ESTIMATES = [evaluation.average_terms, evaluation.latent_means, evaluation.active_units]
ESTIMATES += [lambda *given: evaluation.importance_nll(*given, samples=3)]


@pytest.mark.parametrize("estimate", ESTIMATES)
@pytest.mark.parametrize("images", [np.ones((0, 3)), np.ones(3), [[1.0]]])
def test_images_that_are_none(estimate, images):
    with pytest.raises(ValueError, match="images must be a non-empty array"):
        estimate(linear_model("numpy"), images, "grey", None)


@pytest.mark.parametrize("estimate", ESTIMATES)
def test_every_estimate_makes_its_images_by_the_rule(estimate):
    model = mv.VAE(6, 2, (5,), backend="numpy", dtype=np.float64)
    x = np.random.default_rng(0).random((9, 6))
    got = estimate(model, x, "threshold", np.random.default_rng(1))
    np.testing.assert_array_equal(got, estimate(model, (x > 0.5) * 1.0, "grey", np.random.default_rng(1)))


def test_terms_average_over_samples():
    model = mv.VAE(6, 2, (5,), backend="numpy", dtype=np.float64)
    x, eps = np.random.default_rng(0).random((9, 6)), np.random.default_rng(2).standard_normal((4, 9, 2))
    terms = evaluation.average_terms(model, x, "grey", np.random.default_rng(2), samples=4)
    oracles.agree("terms", terms, model.loss(x, eps), 1e-12)


def test_a_unit_is_active_by_its_variance():
    """Var 0.0064 is not active though its standard deviation 0.08 is above 0.01; Var 0.0144 is."""
    model = mv.VAE(2, 2, (), backend="numpy", dtype=np.float64)
    model.params["mu.W"][...] = np.diag([0.16, 0.24])
    x = np.tile([[0.0, 0.0], [1.0, 1.0]], (50, 1))
    np.testing.assert_allclose(evaluation.latent_means(model, x, "grey", None), x * [0.16, 0.24])
    assert evaluation.active_units(model, x, "grey", None).tolist() == [False, True]
    assert evaluation.active_units(model, x, "grey", None, threshold=0.005).tolist() == [True, True]


def test_the_error_of_few_images(rng):
    """With three images a division by three instead of two is 18 % too small."""
    model, x = linear_model("numpy"), rng.standard_normal((3, 3))
    ones = [evaluation.importance_nll(model, x[i : i + 1], "grey", rng, 3000).mean for i in range(3)]
    got = evaluation.importance_nll(model, x, "grey", rng, 3000).error
    assert got == pytest.approx(np.std(ones, ddof=1) / np.sqrt(3), rel=0.05)
    assert np.isnan(evaluation.importance_nll(model, x[:1], "grey", rng, 5).error)
