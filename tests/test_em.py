"""EM, models whose posterior is exact (mixtures, probabilistic PCA), and their bridges to the VAE."""

import numpy as np
import pytest

import minivae as mv
from minivae import bridges, cli, fits, models
from minivae.models import em, mixture

KINDS = ("full", "diagonal", "spherical", "bernoulli")


def make(kind, K):
    return models.BernoulliMixture(K) if kind == "bernoulli" else models.GaussianMixture(K, kind)


def blobs(rng, N=60, D=2, K=3):
    """Clusters with covariances of their own."""
    parts = [
        rng.standard_normal((N, D)) @ rng.standard_normal((D, D)) + 4 * rng.standard_normal(D)
        for _ in range(K)
    ]
    return np.concatenate(parts)


@pytest.mark.parametrize("kind", [*KINDS, "ppca"])
def test_the_bound_never_falls(kind):
    """150 small problems: offsets, duplicates, constant columns, N < D, a row per component."""
    for seed in range(150):
        rng = np.random.default_rng(seed)
        N, D = rng.integers(1, 12), rng.integers(2, 5)
        x = rng.standard_normal((N, D)) * 10.0 ** rng.integers(-6, 6)
        x += 10.0 ** rng.integers(-3, 5) * rng.standard_normal(D)
        x = x[rng.integers(0, N, N)] if seed % 3 == 0 else x
        x[:, 0] = 1.5 if seed % 5 == 0 else x[:, 0]
        if kind == "ppca":
            model = models.PPCA(int(rng.integers(1, D)))
            found = model.fit_em(x, rng, 20)
        else:
            x = (x > x.mean()).astype(float) if kind == "bernoulli" else x
            model = make(kind, int(rng.integers(1, min(N, 4) + 1)))
            found = model.fit(x, rng, 20)
        assert len(found.bounds) == 2 * found.steps + 1
        assert model.log_prob(x).mean() == pytest.approx(found.bounds[-1], rel=1e-9, abs=1e-9)
        gains = np.diff(found.bounds) / np.maximum(1, np.abs(found.bounds[:-1]))
        assert gains.min() > -em.ROUNDING


def test_a_wrong_m_step_is_found(rng):
    model, x = models.GaussianMixture(2), blobs(rng)
    model.start(x, rng)
    right = model.m_step
    model.m_step = lambda x, q: right(x, q[:, ::-1])
    with pytest.raises(ValueError, match=r"the bound fell from .* in M-step 1"):
        em.fit(model, x)
    model.bound = lambda x, q: np.nan
    with pytest.raises(ValueError, match="the bound is nan after E-step 0"):
        em.fit(model, x)


def test_a_single_gaussian_takes_one_step(rng):
    x, model = blobs(rng), models.GaussianMixture(1)
    found = model.fit(x, rng)
    assert (found.steps, found.converged) == (1, True)
    np.testing.assert_allclose(model.means[0], x.mean(axis=0))
    np.testing.assert_allclose(model.covariances[0], np.cov(x.T, bias=True))


@pytest.mark.parametrize("kind", KINDS)
def test_a_mixture_by_its_definition(kind, rng):
    """log p(x), responsibilities, M-step and BIC against loops over rows and components."""
    x = (blobs(rng) > 0).astype(float) if kind == "bernoulli" else blobs(rng)
    model = make(kind, 3)
    model.fit(x, rng, 3)
    joint = np.zeros((len(x), 3))
    for n, row in enumerate(x):
        for k in range(3):
            y, density = row - model.means[k], 1.0
            if kind == "bernoulli":
                density = np.prod(np.where(row == 1, model.means[k], 1 - model.means[k]))
            else:
                c = model.covariances[k] * (1 if kind == "full" else np.eye(2))
                density = np.exp(-0.5 * y @ np.linalg.inv(c) @ y) / (2 * np.pi * np.sqrt(np.linalg.det(c)))
            joint[n, k] = model.weights[k] * density
    np.testing.assert_allclose(model.log_prob(x), np.log(joint.sum(axis=1)), rtol=1e-10)
    r = joint / joint.sum(axis=1, keepdims=True)
    np.testing.assert_allclose(model.posterior(x), r, atol=1e-10)
    model.m_step(x, r)
    for k in range(3):
        mean = np.average(x, axis=0, weights=r[:, k])
        np.testing.assert_allclose(
            model.means[k], np.clip(mean, 1e-3, 1 - 1e-3) if kind == "bernoulli" else mean
        )
        full = np.cov(x.T, aweights=r[:, k], bias=True)
        want = {"full": full, "diagonal": np.diag(full), "spherical": np.diag(full).mean()}.get(kind)
        assert want is None or np.allclose(model.covariances[k], want, rtol=1e-8)
    free = {"full": 2 + 6 + 9, "diagonal": 2 + 6 + 6, "spherical": 2 + 6 + 3, "bernoulli": 2 + 6}[kind]
    assert model.bic(x) == pytest.approx(-2 * model.log_prob(x).sum() + free * np.log(len(x)))


@pytest.mark.parametrize("kind", KINDS)
def test_draws_of_a_mixture(kind, rng):
    """Means and second moments of 100,000 draws within 5 standard errors: a false alarm in 200,000."""
    x = (blobs(rng) > 0).astype(float) if kind == "bernoulli" else blobs(rng)
    model = make(kind, 3)
    model.fit(x, rng, 5)
    draws, moments = model.sample(100_000, rng), np.zeros((2, 2))
    for k in range(3):
        spread = np.diag(model.means[k] * (1 - model.means[k]))
        if kind != "bernoulli":
            spread = model.covariances[k] * (1 if kind == "full" else np.eye(2))
        moments += model.weights[k] * (spread + np.outer(model.means[k], model.means[k]))
    products = draws[:, :, None] * draws[:, None]
    for found, want in ((draws, model.weights @ model.means), (products, moments)):
        assert (np.abs(found.mean(axis=0) - want) < 5 * found.std(axis=0) / 100_000**0.5 + 1e-12).all()


def test_the_floor_and_the_limit(rng):
    """A component on one row has the least variance; a mixture of small variance chooses as k-means does."""
    x = np.array([[0.0, 0.0], [0.1, 0.0], [0.0, 0.1], [50.0, 50.0]])
    model = models.GaussianMixture(2)
    model.fit(x, rng, restarts=5)
    lone = np.argmax(model.means[:, 0])
    np.testing.assert_allclose(model.covariances[lone], 1e-6 * x.var(axis=0).mean() * np.eye(2))
    x = blobs(rng)
    centers, labels, total = mixture.kmeans(x, 3, rng)
    distances = ((x[:, None] - centers) ** 2).sum(axis=2)
    np.testing.assert_array_equal(labels, distances.argmin(axis=1))
    assert total == pytest.approx(distances.min(axis=1).sum())
    limit = models.GaussianMixture(3, "spherical")
    limit.start(x, rng)
    limit.weights, limit.means, limit.covariances = np.full(3, 1 / 3), centers, np.full(3, 1e-6)
    np.testing.assert_array_equal(limit.posterior(x).argmax(axis=1), labels)
    with pytest.raises(ValueError, match="K must be at most 180, the number of rows, got 200"):
        models.GaussianMixture(200).fit(x, rng)


# ------------------------------------------------------------------------------ probabilistic PCA


def spectrum(rng, values, N=400):
    """Rows whose covariance has exactly these eigenvalues, turned at random."""
    x = rng.standard_normal((N, len(values)))
    x = np.linalg.qr(x - x.mean(axis=0))[0] * np.sqrt(N * np.array(values))
    return x @ np.linalg.qr(rng.standard_normal((len(values),) * 2))[0] + 3.0


def test_ppca_by_its_definition(rng):
    x = spectrum(rng, [9.0, 4.0, 1.0, 0.5, 0.3])
    model = models.PPCA(2).fit(x)
    assert model.variance == pytest.approx((1.0 + 0.5 + 0.3) / 3)
    np.testing.assert_allclose(model.eigenvalues, [9.0, 4.0, 1.0, 0.5, 0.3])
    np.testing.assert_allclose(model.explained_variance(), np.array([9.0, 4.0]) / 14.8)
    C = model.W @ model.W.T + model.variance * np.eye(5)
    y = x - x.mean(axis=0)
    squared = np.einsum("ni,ij,nj->n", y, np.linalg.inv(C), y)
    want = -0.5 * (squared + np.linalg.slogdet(C)[1] + 5 * np.log(2 * np.pi))
    np.testing.assert_allclose(model.log_prob(x), want)
    means, covariance = model.posterior(x)  # by conditioning the joint Gaussian of z and x
    np.testing.assert_allclose(means, y @ np.linalg.inv(C) @ model.W, atol=1e-12)
    np.testing.assert_allclose(covariance, np.eye(2) - model.W.T @ np.linalg.inv(C) @ model.W, atol=1e-12)
    assert ((model.reconstruct(x) - x) ** 2).sum(axis=1).mean() == pytest.approx(1.8)
    draws = model.sample(100_000, rng) - model.mean
    np.testing.assert_allclose(draws.T @ draws / len(draws), C, atol=0.25)  # 5 standard errors of the largest
    with pytest.raises(ValueError, match=r"x must have shape \(N, D\) with D above L = 2"):
        models.PPCA(2).fit(x[:, :2])


def test_em_of_ppca_ends_at_the_closed_form(rng):
    x = spectrum(rng, [9.0, 4.0, 1.0, 0.5])
    exact, model = models.PPCA(2).fit(x), models.PPCA(2)
    found = model.fit_em(x, rng, tolerance=1e-13)
    assert found.converged
    assert found.bounds[-1] == pytest.approx(exact.log_prob(x).mean(), abs=1e-10)
    np.testing.assert_allclose(model.W @ model.W.T, exact.W @ exact.W.T, atol=1e-4)


def test_the_linear_vae_is_ppca(rng):
    """With the exact encoder the ELBO is log p(x), and the KL is 1/2 log(eigenvalue / v) for each latent."""
    x = spectrum(rng, [9.0, 4.0, 1.0, 0.5])
    ppca = models.PPCA(2).fit(x)
    vae = bridges.linear_vae(ppca)
    eps = np.concatenate([e := rng.standard_normal((4000, len(x), 2)), -e])
    np.testing.assert_allclose(em.elbo(vae, x, vae.encode(x), eps).mean(), ppca.log_prob(x).mean(), atol=2e-3)
    kl = vae.posterior.kl(*vae.encode(x)).mean()
    assert kl == pytest.approx(sum(0.5 * np.log(value / ppca.variance) for value in ppca.live()))
    assert ppca.live(5.0).tolist() == pytest.approx([9.0])
    assert ppca.live(10.0).size == 0


@pytest.mark.slow
def test_a_trained_linear_vae_reaches_ppca(rng):
    """Within 0.01 nats, after 6,000 steps of falling rate; the noise of the ELBO at 16,000 draws is 0.003."""
    x = spectrum(rng, [9.0, 4.0, 1.0, 0.5, 0.3], N=100) - 3
    vae = mv.VAE(5, 2, (), likelihood="gaussian-shared", backend="numpy", dtype=np.float64)
    vae.start_output_at(x.mean(axis=0), x.var(axis=0))
    adam, ppca = mv.Adam(lr=0.05, backend="numpy"), models.PPCA(2).fit(x)
    for step in range(6000):
        adam.lr = 0.05 * (1 - step / 6000)
        adam.step(vae.params, vae.loss_and_grads(x, rng.standard_normal((8, 100, 2)))[1])
    eps = np.concatenate([e := rng.standard_normal((8000, 100, 2)), -e])
    gap = ppca.log_prob(x).mean() - em.elbo(vae, x, vae.encode(x), eps).mean()
    assert -0.01 < gap < 0.01


# ------------------------------------------------------------------------------ variational EM and the gap


def small_vae(rng):
    vae = mv.VAE(6, 2, (5,), "tanh", backend="numpy", dtype=np.float64)
    for param in vae.params.values():
        param += 0.5 * rng.standard_normal(param.shape)
    return vae, (rng.random((20, 6)) < 0.5).astype(float)


def test_variational_em_never_falls_and_gains(rng):
    vae, x = small_vae(rng)
    model = em.Variational(vae, x, rng)
    found = em.fit(model, x, steps=15, tolerance=0.0)
    assert np.diff(found.bounds).min() >= -1e-12
    assert found.bounds[-1] > found.bounds[0] + 0.5
    halves = np.diff(found.bounds)
    assert halves[::2].sum() > 0.1
    assert halves[1::2].sum() > 0.1


def test_refine_splits_the_gap(rng):
    """ELBO <= refined <= log p(x) on average; nothing to gain where the encoder is exact."""
    vae, x = small_vae(rng)
    kept = {name: param.copy() for name, param in vae.params.items()}
    gap = bridges.refine(vae, x, rng, steps=300)
    assert gap.amortization.mean() > 0.3
    assert 0 < gap.approximation.mean() < gap.amortization.mean()
    np.testing.assert_allclose(gap.elbo + gap.amortization + gap.approximation, gap.log_prob)
    for name, param in vae.params.items():
        np.testing.assert_array_equal(param, kept[name])
    x = spectrum(rng, [9.0, 4.0, 1.0], N=30)
    exact = bridges.refine(bridges.linear_vae(models.PPCA(1).fit(x)), x, rng)
    assert np.abs(exact.amortization.mean()) < 0.01
    assert np.abs(exact.approximation.mean()) < 0.02
    many = mv.VAE(6, 3, (5,), "tanh", backend="numpy", dtype=np.float64)
    found = bridges.refine(many, (rng.random((10, 6)) < 0.5).astype(float), rng, steps=50)
    assert (found.log_prob >= found.refined - 0.05).all()


# ------------------------------------------------------------------------------ the command line


@pytest.mark.parametrize(
    "words",
    [
        ["mixture", "--family", "full", "--components", "3", "--restarts", "2"],
        ["mixture", "--family", "spherical", "--components", "2", "--standardize"],
        ["ppca", "--latent", "1"],
        ["mixture", "--family", "bernoulli", "--components", "2", "--scale"],
    ],
)
def test_fit_sample_evaluate(words, rng, tmp_path, capsys, monkeypatch):
    monkeypatch.chdir(tmp_path)
    np.save("x.npy", blobs(rng))
    assert cli.main(["fit", *words, "--data", "x.npy", "--out", "run"]) == 0
    assert cli.main(["sample", "run", "-n", "9"]) == 0
    assert cli.main(["evaluate", "run", "--csv", "each.csv"]) == 0
    printed = capsys.readouterr().out
    for name in ("components", "sample"):
        assert (tmp_path / "run" / f"{name}.png").read_bytes().startswith(b"\x89PNG")
    each = np.loadtxt("each.csv", delimiter=",", skiprows=1)[:, 1]
    assert f"-log p(x)   {each.mean():8.2f}   +- " in printed
    fitted = fits.load("run")
    _, test, _ = fits.read_data(fitted.settings)
    np.testing.assert_allclose(-fitted.model.log_prob(test), each)
    np.save("x.npy", np.load("x.npy")[:5])  # one of five rows is for testing
    assert cli.main(["evaluate", "run", "--data", "x.npy"]) == 0
    assert "+-" not in capsys.readouterr().out
    assert cli.main(["reconstruct", "run"]) == 2
    assert cli.main(["fit", *words, "--data", "x.npy", "--out", "run"]) == 2
    assert cli.main(["fit", *words, "--data", "x.npy", "--components", "0"]) == 2
    assert "already exists" in capsys.readouterr().err


def test_the_advice_is_an_option_of_fit(rng, tmp_path, capsys, monkeypatch):
    monkeypatch.chdir(tmp_path)
    np.save("x.npy", blobs(rng))
    assert cli.main(["fit", "mixture", "--family", "bernoulli", "--data", "x.npy"]) == 2
    said = capsys.readouterr().err
    assert "--standardize --family diagonal" in said
    assert "--likelihood" not in said
