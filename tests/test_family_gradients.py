"""Whole gradients of every latent family, bound and condition; and log p(x) beside its bounds."""

import itertools
from functools import partial

import numpy as np
import pytest

import minivae as mv
from minivae import distributions as dist
from minivae import evaluation, gradcheck, ops
from minivae.distributions import BernoulliPosterior

THREE = partial(dist.CategoricalPosterior, categories=3)
DISCRETE = {"bernoulli": BernoulliPosterior, "categorical": THREE}


def nudged(rng, *args, **settings):
    """A small float64 model on NumPy whose parameters are all away from zero."""
    model = mv.VAE(*args, backend="numpy", dtype=np.float64, **settings)
    for param in model.params.values():
        param += 0.3 * rng.standard_normal(param.shape)
    return model


KINDS = [("gaussian", "laplace", None), ("laplace", None, None), ("gaussian", "mixture", None)]
KINDS += [("gaussian", "standard", "sampled"), ("laplace", "standard", None)]
WALKS = [(None, "elbo", 0, 1.0), (3, "elbo", 2, 0.3), (3, "iwae", 2, 0.6)]
OUTPUTS = ["bernoulli", "gaussian-pixel", "gaussian-optimal", "laplace"]
CASES = list(itertools.product(KINDS, OUTPUTS, WALKS))


@pytest.mark.parametrize(("kinds", "likelihood", "walk"), CASES, ids=str)
def test_the_whole_gradient(kinds, likelihood, walk):
    """Every parameter of every path family, prior, likelihood and bound against the complex step."""
    (posterior, prior, kl), (S, bound, C, reconstruction), rng = kinds, walk, np.random.default_rng(5)
    settings = {"posterior": posterior, "prior": prior, "kl": kl, "condition_dim": C}
    model = nudged(rng, 6, 3, (5,), "tanh", likelihood, **settings)
    x, target = (rng.random((2, 4, 6)) < 0.5).astype(float)
    eps = model.posterior.noise(rng, (4, 3) if S is None else (S, 4, 3))
    given = {"condition": rng.standard_normal((4, C)) if C else None, "target": target, "bound": bound}
    given["reconstruction"] = reconstruction
    grads, twin = model.loss_and_grads(x, eps, 0.7, **given)[1], model.astype(np.complex128)
    for name, param in model.params.items():
        along = rng.standard_normal(param.shape)
        twin.params[name] = param + 1e-30j * along
        want = twin.loss(x, eps, 0.7, **given).loss.imag / 1e-30
        twin.params[name] = param.astype(complex)
        assert np.sum(along * grads[name]) == pytest.approx(want, rel=1e-10, abs=1e-11), name


# ------------------------------------------------------------------------------ latents without a path


def enumerated(model, x, codes, beta):
    """The exact loss: the mean over x of E_q[nll] + beta KL, summed over all codes."""
    heads, (f, _) = model.encode(x), model.cost(x)
    z = np.broadcast_to(codes[:, None], (len(codes), len(x), codes.shape[1]))
    q = np.exp(model.posterior.log_prob(z, *heads))
    return ((q * f(z)).sum(axis=0) + beta * model.posterior.kl(*heads)).mean()


@pytest.mark.parametrize("kl", ["closed", "sampled"])
@pytest.mark.parametrize("name", ["bernoulli", "categorical"])
def test_the_score_function_has_the_exact_gradient_as_its_mean(name, kl):
    """400 gradients of S = 40: |z| below 5 at 60 numbers, a false alarm in 30,000 runs."""
    rng = np.random.default_rng(6)
    model = nudged(rng, 5, 2 if name == "categorical" else 4, (3,), "tanh", posterior=DISCRETE[name], kl=kl)
    L = model.latent_dim
    codes = np.array(list(itertools.product([0.0, 1.0], repeat=L)))
    if name == "categorical":
        codes = np.eye(3)[list(itertools.product(range(3), repeat=2))].reshape(9, 6)
    x = (rng.random((2, 5)) < 0.5).astype(float)
    draws = []
    for _ in range(400):
        draws.append(model.loss_and_grads(x, model.posterior.noise(rng, (40, 2, L)), 0.7)[1])
    for key in ("encoder1.b", "a.W", "output.b"):
        param, exact = model.params[key], np.zeros(model.params[key].shape)
        for index in np.ndindex(param.shape):
            value, ends = param[index], []
            for step in (1e-5, -1e-5):
                param[index] = value + step
                ends.append(enumerated(model, x, codes, 0.7))
            param[index], exact[index] = value, (ends[0] - ends[1]) / 2e-5
        found = np.array([d[key] for d in draws])
        error = found.std(axis=0) / 20
        assert (np.abs(found.mean(axis=0) - exact) < 5 * error + 1e-8).all(), key


@pytest.mark.parametrize(
    ("estimator", "message"),
    [
        ("pathwise", "estimator pathwise needs a path from a to z"),
        ("pathwise-antithetic", "needs a path"),
        ("score-function-antithetic", "needs a path"),
        ("sticking-the-landing", "needs a path"),
        ("measure-valued", "needs the heads mu and logvar, got a"),
        (None, "at least 2 samples, got S = 1"),
    ],
)
def test_estimators_that_binary_latents_refuse(estimator, message):
    model = mv.VAE(5, 4, (3,), backend="numpy", posterior="bernoulli")
    with pytest.raises(ValueError, match=message):
        model.loss_and_grads(np.ones((2, 5)), np.full((1, 2, 4), 0.3), estimator=estimator)


# ------------------------------------------------------------------------------ bounds, conditions, weights


@pytest.mark.parametrize(
    ("posterior", "L"), [("gaussian", 1), ("gaussian", 2), ("laplace", 1), ("bernoulli", 5)]
)
def test_the_bound_rises_to_the_exact_log_likelihood(posterior, L):
    """ELBO <= importance-weighted bound <= log p(x), and close to it at 2,000 samples."""
    rng = np.random.default_rng(7)
    model = nudged(rng, 6, L, (4,), "tanh", posterior=posterior)
    x = (rng.random((5, 6)) < 0.5).astype(float)
    span, nodes = (30, 6001) if posterior == "laplace" else (8, 201)
    exact = evaluation.exact_nll(model, x, nodes, span).mean()
    losses = [evaluation.importance_nll(model, np.tile(x, (400, 1)), "grey", rng, K).mean for K in (1, 5, 50)]
    assert losses[0] > losses[1] > losses[2] > exact - 0.01
    many = evaluation.importance_nll(model, np.tile(x, (20, 1)), "grey", rng, 2000).mean
    assert many == pytest.approx(exact, abs=0.02)
    if posterior != "bernoulli":
        assert evaluation.exact_nll(model, x, 2 * nodes - 1, span).mean() == pytest.approx(exact, abs=1e-5)


def test_exact_nll_of_a_linear_gaussian_model():
    """x = W z + b + noise: log p(x) is that of N(b, W W' + I)."""
    rng = np.random.default_rng(8)
    model = nudged(rng, 4, 2, (), likelihood="gaussian")
    x, W, b = rng.standard_normal((3, 4)), model.params["output.W"], model.params["output.b"]
    covariance = W.T @ W + np.eye(4)
    squared = np.einsum("bi,ij,bj->b", x - b, np.linalg.inv(covariance), x - b)
    want = 0.5 * (squared + np.linalg.slogdet(covariance)[1] + 4 * np.log(2 * np.pi))
    np.testing.assert_allclose(evaluation.exact_nll(model, x), want, atol=1e-9)
    with pytest.raises(ValueError, match="at most 2 real or 12 binary latents, got 3 real ones"):
        evaluation.exact_nll(mv.VAE(4, 3, ()), x)


def test_a_useless_condition_changes_nothing():
    """With zero weights for c, a conditional VAE is the VAE; and both networks receive c."""
    rng = np.random.default_rng(9)
    plain, model = (nudged(rng, 6, 3, (5,), "tanh", condition_dim=C) for C in (0, 2))
    for name, param in plain.params.items():
        model.params[name][...] = 0
        model.params[name][: len(param)] = param
    x, eps = (rng.random((4, 6)) < 0.5).astype(float), rng.standard_normal((4, 3))
    c = np.eye(2)[[0, 1, 1, 0]]
    assert model.loss(x, eps, condition=c) == pytest.approx(plain.loss(x, eps))
    grads = model.loss_and_grads(x, eps, condition=c)[1]
    assert np.any(grads["encoder1.W"][6:])
    assert np.any(grads["decoder1.W"][3:])
    for z in (plain.sample(2, np.random.default_rng(0)), plain.reconstruct(x[:2])):
        assert z.shape == (2, 6)
    got = model.sample(4, np.random.default_rng(0), condition=c)
    np.testing.assert_allclose(got, plain.sample(4, np.random.default_rng(0)), atol=1e-12)


def test_weights_of_zero_isolate_a_term():
    rng = np.random.default_rng(10)
    model = nudged(rng, 6, 3, (5,))
    x, eps = (rng.random((4, 6)) < 0.5).astype(float), rng.standard_normal((4, 3))
    both = model.loss_and_grads(x, eps, 0.7)[1]
    terms, nll = model.loss_and_grads(x, eps, 0.0)
    assert terms.loss == terms.nll
    terms, kl = model.loss_and_grads(x, eps, 0.7, reconstruction=0.0)
    assert terms.loss == pytest.approx(0.7 * terms.kl)
    for name in both:
        np.testing.assert_allclose(nll[name] + kl[name], both[name], atol=1e-14)
    assert not np.any(kl["output.W"])


@pytest.mark.parametrize("prior", ["laplace", "mixture", "bernoulli"])
def test_samples_come_from_the_prior(prior):
    model = mv.VAE(6, 4, (), backend="numpy", posterior="bernoulli" if prior == "bernoulli" else "gaussian",
                   prior=prior)  # fmt: skip
    z = model.prior.sample(np.random.default_rng(3), 9, 4, model.params)
    np.testing.assert_array_equal(model.mean(z), model.sample(9, np.random.default_rng(3)))
    assert set(np.unique(z)) == {0, 1} if prior == "bernoulli" else len(np.unique(z)) == 36


@pytest.mark.parametrize(
    ("settings", "message"),
    [
        ({"prior": "flat"}, "prior must be one of standard, laplace"),
        ({"posterior": "cauchy"}, "posterior must be one of gaussian, laplace"),
        ({"posterior": "bernoulli", "prior": "standard"}, "for real latents, and this posterior has binary"),
        ({"prior": "bernoulli"}, "for binary latents, and this posterior has real"),
        ({"prior": "mixture", "kl": "closed"}, "has no closed form: choose kl sampled"),
        ({"kl": "exact"}, "kl must be one of closed, sampled"),
    ],
)
def test_families_that_do_not_fit(settings, message):
    with pytest.raises(ValueError, match=message):
        mv.VAE(6, 3, (), **settings)


BUGS = {  # a method -> what it returns instead, and the words that must name it
    "laplace.sample_backward": (lambda right: (right[0], 2 * right[1]), "dlogb of the reconstruction"),
    "laplace.kl_backward": (lambda right: (right[0], right[1] + 0.1), "dlogb of the kl"),
    "bernoulli.kl_backward": (lambda right: (-right[0],), "da of the kl: sign flipped"),
    "categorical.kl_backward": (lambda right: (0.5 * right[0],), "da of the kl: half"),
    "mixture.log_prob_backward": (lambda right: (0 * right[0], right[1]), "dz of the kl"),
}


@pytest.mark.parametrize("bug", [None, *BUGS])
def test_check_model_names_the_first_wrong_node(bug, monkeypatch):
    """Log p left out of z, a sampler's derivative doubled: named; and the right models pass."""
    rng, names = (
        np.random.default_rng(12),
        [bug.partition(".")[0]] if bug else ["laplace", "mixture", *DISCRETE],
    )
    for name in names:
        posterior = DISCRETE.get(name, "gaussian" if name == "mixture" else name)
        prior = "mixture" if name == "mixture" else None
        model = nudged(rng, 6, 2, (4,), "tanh", posterior=posterior, prior=prior)
        x, eps = (
            (rng.random((3, 6)) < 0.5).astype(float),
            model.posterior.noise(rng, (2, 3, model.latent_dim)),
        )
        if bug:
            change, words = BUGS[bug]
            kind, method = type(model.prior if prior else model.posterior), bug.partition(".")[2]
            right = getattr(kind, method)
            monkeypatch.setattr(kind, method, lambda *args, right=right, change=change: change(right(*args)))
        report = gradcheck.check_model(model, x, eps, 0.7)
        assert report.ok == (bug is None), report
        assert bug is None or words in report.headline, report.headline


class Logistic:
    """q(z|x) = a logistic distribution, another family in one class: location mu, scale exp(logs)."""

    heads = ("mu", "logs")

    def __init__(self, ops):
        self.ops, self.prior = ops, dist.StandardNormal(ops)

    def noise(self, rng, shape, dtype=np.float64):
        return rng.uniform(0.001, 0.999, shape).astype(dtype)

    def sample(self, mu, logs, eps):
        return mu + np.exp(logs) * np.log(eps / (1 - eps))

    def sample_backward(self, dz, mu, logs, eps):
        dlogs = dz * np.exp(logs) * np.log(eps / (1 - eps))
        return (dz.sum(axis=0), dlogs.sum(axis=0)) if dz.ndim == 3 else (dz, dlogs)

    def mean(self, mu, logs):
        return mu

    def log_prob(self, z, mu, logs):
        u = (z - mu) * np.exp(-logs)
        return -(u + logs + 2 * ops.activation_forward(-u, "softplus")).sum(axis=-1)

    def slope(self, z, mu, logs):
        return -np.tanh((z - mu) * np.exp(-logs) / 2) * np.exp(-logs)

    def score(self, z, mu, logs):
        u = (z - mu) * np.exp(-logs)
        return np.tanh(u / 2) * np.exp(-logs), u * np.tanh(u / 2) - 1


@pytest.mark.parametrize("estimator", [None, "score-function"])
def test_another_family_is_one_class(estimator):
    """It has no closed-form KL, so the KL is sampled; the pathwise gradient is exact."""
    rng = np.random.default_rng(11)
    model = nudged(rng, 6, 3, (5,), "tanh", posterior=Logistic)
    assert model.kl == "sampled"
    x, eps = (rng.random((4, 6)) < 0.5).astype(float), model.posterior.noise(rng, (2, 4, 3))
    grads, twin = model.loss_and_grads(x, eps, 0.7, estimator=estimator)[1], model.astype(np.complex128)
    names = (
        model.params if estimator is None else [n for n in model.params if n[:7] in ("decoder", "output.")]
    )
    for name in names:
        along = rng.standard_normal(model.params[name].shape)
        twin.params[name] = model.params[name] + 1e-30j * along
        want = twin.loss(x, eps, 0.7).loss.imag / 1e-30
        twin.params[name] = model.params[name].astype(complex)
        assert np.sum(along * grads[name]) == pytest.approx(want, rel=1e-10, abs=1e-11), name
