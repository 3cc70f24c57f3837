"""The estimates of what a model is worth, against exact answers."""

import checks
import numpy as np
import oracles
import pytest

import minivae as mv
from minivae import data, evaluation


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
    log_p = -0.5 * (
        np.einsum("bi,ij,bj->b", away, np.linalg.inv(cov), away) + np.log(np.linalg.det(2 * np.pi * cov))
    )
    estimates = [evaluation.importance_nll(model, x, "grey", rng, 3000).mean for _ in range(40)]
    error = np.std(estimates) / np.sqrt(len(estimates))
    assert abs(np.mean(estimates) + log_p.mean()) < checks.FALSE_ALARM * error
    assert error < 1e-3


def test_the_bounds_stand_in_their_order(backend):
    """E[-ELBO] >= E[IW bound at 5] >= E[at 50] >= -log p(x), the last by quadrature."""
    model = mv.VAE(6, 1, (5,), "tanh", backend=backend, dtype=np.float64, seed=2)
    model.params["mu.b"] += 0.7  # a posterior beside the right one, and wider than it
    model.params["logvar.b"] += 0.5
    x = (np.random.default_rng(0).random((200, 6)) < 0.5).astype(float)
    nodes, weights = oracles.gauss_hermite(128)
    p = model.mean(nodes[:, None])  # (n, D)
    log_likelihood = x @ np.log(p).T + (1 - x) @ np.log(1 - p).T
    exact = -oracles.log_mean_exp(log_likelihood, weights).mean()
    rng = np.random.default_rng(1)
    elbo = np.mean([evaluation.average_terms(model, x, "grey", rng).loss for _ in range(50)])
    bounds = [
        np.mean([evaluation.importance_nll(model, x, "grey", rng, k).mean for _ in range(20)])
        for k in (5, 50)
    ]
    assert elbo > bounds[0] > bounds[1] > exact
    assert bounds[1] - exact < 0.05
    many = evaluation.importance_nll(model, x, "grey", rng, 5000).mean
    assert abs(many - exact) < 2e-3


def test_one_importance_sample_is_the_elbo_by_monte_carlo(rng):
    """K = 1 averages to -ELBO: 5 standard errors over 300 repetitions."""
    model, x = linear_model("numpy"), rng.standard_normal((50, 3))
    singles = np.array([evaluation.importance_nll(model, x, "grey", rng, 1).mean for _ in range(300)])
    elbos = np.array([evaluation.average_terms(model, x, "grey", rng).loss for _ in range(300)])
    error = np.hypot(singles.std(), elbos.std()) / np.sqrt(300)
    assert abs(singles.mean() - elbos.mean()) < checks.FALSE_ALARM * error


def test_standard_error_over_images(rng):
    model, x = linear_model("numpy"), rng.standard_normal((200, 3))
    estimate = evaluation.importance_nll(model, x, "grey", np.random.default_rng(1), 500)
    ones = [evaluation.importance_nll(model, x[i : i + 1], "grey", rng, 500).mean for i in range(200)]
    assert estimate.error == pytest.approx(np.std(ones, ddof=1) / np.sqrt(200), rel=0.02)
    assert np.isnan(evaluation.importance_nll(model, x[:1], "grey", rng, 5).error)


def test_terms_are_weighted_by_images(backend, monkeypatch):
    """Chunks of unequal size count by their images; z is drawn, not taken at mu."""
    model = mv.VAE(6, 2, (5,), backend=backend, dtype=np.float64)
    x = np.random.default_rng(0).random((23, 6))
    monkeypatch.setattr(evaluation, "ROWS", 10)
    terms = evaluation.average_terms(model, x, "grey", np.random.default_rng(5), beta=0.5)
    rng = np.random.default_rng(5)
    eps = np.concatenate([rng.standard_normal((n, 2)) for n in (10, 10, 3)])
    checks.agree("terms", terms, model.loss(x, eps, 0.5), 1e-12)
    assert terms.nll != model.loss(x, 0 * eps).nll
    assert evaluation.average_terms(model, x, "grey", rng, samples=4).nll == pytest.approx(terms.nll, rel=0.1)


def test_importance_samples_in_chunks(monkeypatch):
    """The same estimate whether the samples pass at once or in turns."""
    model, x = linear_model("numpy"), np.random.default_rng(0).standard_normal((3, 3))
    whole = evaluation.importance_nll(model, x, "grey", np.random.default_rng(1), 4000).mean
    monkeypatch.setattr(evaluation, "ROWS", 12)
    parts = evaluation.importance_nll(model, x, "grey", np.random.default_rng(2), 4000).mean
    assert parts == pytest.approx(whole, abs=0.05)


def test_active_units():
    """Two latents that move with x, one that does not."""
    model = mv.VAE(4, 3, (), backend="numpy", dtype=np.float64)
    model.params["mu.W"][...] = 0
    model.params["mu.W"][0, 0] = model.params["mu.W"][1, 2] = 1.0
    x = np.random.default_rng(0).random((500, 4))
    rng = np.random.default_rng(1)
    assert evaluation.active_units(model, x, "grey", rng).tolist() == [True, False, True]
    mu = evaluation.latent_means(model, x, "grey", rng)
    np.testing.assert_allclose(mu[:, 0], x[:, 0])


def test_noise_shapes():
    model = mv.VAE(4, 3, backend="numpy")
    rng = np.random.default_rng(0)
    assert evaluation.noise(model, rng, 5, 1).shape == (5, 3)
    assert evaluation.noise(model, rng, 5, 2).shape == (2, 5, 3)
    assert evaluation.noise(model, rng, 5, 2).dtype == np.float32


def test_bad_sample_counts():
    with pytest.raises(ValueError, match="samples must be an integer of at least 1"):
        evaluation.importance_nll(linear_model("numpy"), np.ones((2, 3)), "grey", None, 0)
    with pytest.raises(ValueError, match="samples must be an integer of at least 1"):
        evaluation.average_terms(linear_model("numpy"), np.ones((2, 3)), "grey", None, samples=0)


@pytest.mark.parametrize("images", [np.ones((0, 3)), np.ones(3), [[1.0]]])
def test_images_that_are_none(images):
    model = linear_model("numpy")
    for estimate in (evaluation.average_terms, evaluation.latent_means, evaluation.active_units):
        with pytest.raises(ValueError, match="images must be a non-empty array"):
            estimate(model, images, "grey", None)
    with pytest.raises(ValueError, match="images must be a non-empty array"):
        evaluation.importance_nll(model, images, "grey", None, 2)


def test_minibatch_names_its_choices():
    with pytest.raises(ValueError, match="pixels must be one of dynamic, static, threshold, grey"):
        data.minibatch(np.ones((1, 1)), "sepia", None)


def test_pixels_and_samples_are_honoured():
    """Every estimate makes its images as it is told, and draws as many z as it is told."""
    model = mv.VAE(6, 2, (5,), backend="numpy", dtype=np.float64)
    x = np.random.default_rng(0).random((9, 6))
    hard = (x > 0.5).astype(float)

    def same(estimate):
        for got, want in zip(
            np.ravel(estimate(x, "threshold", np.random.default_rng(1))),
            np.ravel(estimate(hard, "grey", np.random.default_rng(1))),
            strict=True,
        ):
            assert got == want

    same(lambda *a: evaluation.average_terms(model, *a))
    same(lambda *a: evaluation.importance_nll(model, *a, samples=3))
    same(lambda *a: evaluation.latent_means(model, *a))
    rng = np.random.default_rng(2)
    terms = evaluation.average_terms(model, x, "grey", rng, samples=4)
    eps = np.random.default_rng(2).standard_normal((4, 9, 2))
    checks.agree("terms", terms, model.loss(x, eps), 1e-12)


def test_a_unit_is_active_by_its_variance():
    """Var 0.0064 is not active though its standard deviation 0.08 is above 0.01; Var 0.0144 is."""
    model = mv.VAE(2, 2, (), backend="numpy", dtype=np.float64)
    model.params["mu.W"][...] = np.diag([0.16, 0.24])
    x = np.tile([[0.0, 0.0], [1.0, 1.0]], (50, 1))
    assert evaluation.active_units(model, x, "grey", None).tolist() == [False, True]
    assert evaluation.active_units(model, x, "grey", None, threshold=0.005).tolist() == [True, True]


def test_the_error_of_few_images(rng):
    """With three images a division by three instead of two is 18 % too small."""
    model, x = linear_model("numpy"), rng.standard_normal((3, 3))
    ones = [evaluation.importance_nll(model, x[i : i + 1], "grey", rng, 3000).mean for i in range(3)]
    got = evaluation.importance_nll(model, x, "grey", rng, 3000).error
    assert got == pytest.approx(np.std(ones, ddof=1) / np.sqrt(3), rel=0.05)
