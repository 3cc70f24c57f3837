"""The VAE as a whole: its gradient, its scaling, its parameters, what it refuses."""

import checks
import numpy as np
import oracles
import pytest
from checks import agree

import minivae as mv
from minivae import distributions, layers, ops
from minivae.models import DTYPES

D, L, B = 7, 3, 4
LIKELIHOODS = tuple(distributions.LIKELIHOODS)


def small(backend="numpy", hidden=(6, 5), activation="tanh", likelihood="bernoulli", dtype=np.float64):
    """A model with no zero weight in it: zeros blind a gradient check."""
    model = mv.VAE(D, L, hidden, activation, likelihood, backend, dtype, seed=3)
    rng = np.random.default_rng(5)
    for param in model.params.values():
        param += 0.3 * rng.standard_normal(param.shape)
    return model


def draw(rng, S=None):
    return rng.random((B, D)), rng.standard_normal((B, L) if S is None else (S, B, L))


# ------------------------------------------------------------------------------ the whole gradient


@pytest.mark.parametrize("S", [None, 1, 3])
@pytest.mark.parametrize("hidden", [(), (6,), (6, 5), (6, 5, 4)])
@pytest.mark.parametrize("activation", ops.ACTIVATIONS)
@pytest.mark.parametrize("likelihood", LIKELIHOODS)
def test_gradient_by_complex_step(rng, likelihood, activation, hidden, S):
    """Every entry of every parameter's gradient, to 1e-12 of the largest in its tensor."""
    model = small("numpy", hidden, activation, likelihood)
    probe = small("numpy", hidden, activation, likelihood, np.complex128)
    x, eps = draw(rng, S)
    grads = model.loss_and_grads(x, eps, beta=0.7)[1]
    for name, param in model.params.items():

        def loss(value, name=name):
            return probe_loss(probe, name, value, x, eps)

        agree(f"d{name}", grads[name], oracles.complex_gradient(loss, param), 1e-12)


def probe_loss(probe, name, value, x, eps):
    before, probe.params[name] = probe.params[name], value
    loss = probe.loss(x, eps, 0.7).loss
    probe.params[name] = before
    return loss


@pytest.mark.parametrize("S", [None, 3])
@pytest.mark.parametrize("hidden", [(), (6,), (6, 5), (6, 5, 4)])
@pytest.mark.parametrize("activation", ["relu", "softplus"])
@pytest.mark.parametrize("likelihood", LIKELIHOODS)
def test_gradient_of_the_kernels(rng, likelihood, activation, hidden, S):
    checks.check_gradient(small("numba", hidden, activation, likelihood), *draw(rng, S))


@pytest.mark.parametrize("likelihood", LIKELIHOODS)
@pytest.mark.parametrize("activation", ops.ACTIVATIONS)
def test_backends_agree(rng, likelihood, activation):
    x, eps = draw(rng, 3)
    results = [
        small(b, (6, 5), activation, likelihood).loss_and_grads(x, eps, 2.0) for b in ("numpy", "numba")
    ]
    (terms, grads), (terms2, grads2) = results
    agree("terms", terms2, terms, 1e-13)
    for name in grads:
        agree(name, grads2[name], grads[name], 1e-12)


# ------------------------------------------------------------------------------ what the loss is


def test_terms_by_hand(backend, rng):
    """loss, nll and kl of a model without hidden layers, from the definitions alone."""
    model = mv.VAE(D, L, (), backend=backend, dtype=np.float64, seed=1)
    x, eps = draw(rng, 3)
    p = model.params
    mu, logvar = x @ p["mu.W"] + p["mu.b"], x @ p["logvar.W"] + p["logvar.b"]
    z = mu + np.sqrt(np.exp(logvar)) * eps
    probability = 1 / (1 + np.exp(-(z @ p["output.W"] + p["output.b"])))
    nll = -(x * np.log(probability) + (1 - x) * np.log(1 - probability)).sum(axis=-1).mean()
    kl = (0.5 * (mu**2 + np.exp(logvar) - logvar - 1)).sum(axis=-1).mean()
    for beta in (0.0, 1.0, 2.5):
        terms = model.loss_and_grads(x, eps, beta)[0]
        assert all(isinstance(term, float) for term in terms)
        agree("terms", terms, (nll + beta * kl, nll, kl), 1e-13)
        agree("terms without gradient", model.loss(x, eps, beta), terms, 0)
    assert model.loss(x, eps) == model.loss(x, eps, 1.0)


@pytest.mark.parametrize("likelihood", LIKELIHOODS)
def test_a_doubled_batch(backend, rng, likelihood):
    checks.check_batch_scaling(small(backend, likelihood=likelihood), *draw(rng))


def test_samples_are_averaged(backend, rng):
    """S samples give the mean of S single-sample losses and gradients; S = 1 is (B, L) with an axis more."""
    model, (x, eps) = small(backend), draw(rng, 3)
    terms, grads = model.loss_and_grads(x, eps, 0.5)
    singles = [model.loss_and_grads(x, e, 0.5) for e in eps]
    agree("terms", terms, np.mean([t for t, _ in singles], axis=0), 1e-13)
    for name in grads:
        agree(name, grads[name], np.mean([g[name] for _, g in singles], axis=0), 1e-12)
    agree("S = 1", model.loss(x, eps[:1]), model.loss(x, eps[0]), 0)


def test_elbo_identity(backend, rng):
    model = mv.VAE(6, 1, (5,), "tanh", backend=backend, dtype=np.float64, seed=2)
    checks.check_elbo_identity(model, (rng.random((3, 6)) < 0.5).astype(float))


# ------------------------------------------------------------------------------ parameters


def test_parameters_in_the_order_of_the_data():
    model = mv.VAE(8, 3, (6, 5), likelihood="gaussian-pixel", backend="numpy")
    assert {name: param.shape for name, param in model.params.items()} == {
        **{"encoder1.W": (8, 6), "encoder1.b": (6,), "encoder2.W": (6, 5), "encoder2.b": (5,)},
        **{"mu.W": (5, 3), "mu.b": (3,), "logvar.W": (5, 3), "logvar.b": (3,)},
        **{"decoder1.W": (3, 5), "decoder1.b": (5,), "decoder2.W": (5, 6), "decoder2.b": (6,)},
        **{"output.W": (6, 8), "output.b": (8,), "output.logvar": (8,)},
    }
    assert next(iter(model.params)) == "encoder1.W"
    assert list(model.params)[-1] == "output.logvar"
    assert mv.VAE(8, 3, likelihood="gaussian-shared", backend="numpy").params["output.logvar"].shape == (1,)
    assert "output.logvar" not in mv.VAE(8, 3, likelihood="gaussian", backend="numpy").params


def test_glorot_uniform():
    """Weights fill +-sqrt(6 / (n_in + n_out)) evenly: variance limit^2 / 3 within 5 standard errors."""
    params = mv.VAE(backend="numpy", seed=4).params
    for name in ("encoder1", "mu", "logvar", "decoder1", "output"):
        W = params[f"{name}.W"].astype(np.float64)
        limit = np.sqrt(6 / sum(W.shape))
        assert np.abs(W).max() <= limit * (1 + 1e-6)
        assert np.abs(W).max() > 0.99 * limit
        z = (W.var() - limit**2 / 3) / (limit**2 * np.sqrt(4 / 45 / W.size))
        assert abs(z) < checks.FALSE_ALARM, name
        assert abs(W.mean()) < checks.FALSE_ALARM * limit / np.sqrt(3 * W.size), name
        assert not params[f"{name}.b"].any()


def test_the_seed_decides():
    first, again, other = (mv.VAE(backend="numpy", seed=s).params for s in (1, 1, 2))
    for name in first:
        np.testing.assert_array_equal(first[name], again[name])
    assert np.any(first["mu.W"] != other["mu.W"])
    assert np.any(first["mu.W"] != first["logvar.W"])


@pytest.mark.parametrize("likelihood", ["bernoulli", "gaussian"])
def test_output_may_start_at_the_pixel_mean(rng, likelihood):
    model = mv.VAE(D, L, likelihood=likelihood, backend="numpy", dtype=np.float64)
    want = rng.uniform(0.01, 0.99, D)
    model.start_output_at(want)
    agree("mean at z = 0", model.mean(np.zeros((1, L))), want[None], 1e-12)
    model.start_output_at(np.r_[np.zeros(D - 1), 1])  # pixels that never change
    assert np.isfinite(model.params["output.b"]).all()


# ------------------------------------------------------------------------------ what a model does


def test_encode_decode_reconstruct(backend, rng):
    model, (x, _) = small(backend), draw(rng)
    p = model.params
    h = oracles.dense(
        oracles.dense(x, p["encoder1.W"], p["encoder1.b"], "tanh"), p["encoder2.W"], p["encoder2.b"], "tanh"
    )
    mu, logvar = model.encode(x)
    agree("mu", mu, oracles.dense(h, p["mu.W"], p["mu.b"], "identity"), 1e-13)
    agree("logvar", logvar, oracles.dense(h, p["logvar.W"], p["logvar.b"], "identity"), 1e-13)
    h = oracles.dense(
        oracles.dense(mu, p["decoder1.W"], p["decoder1.b"], "tanh"), p["decoder2.W"], p["decoder2.b"], "tanh"
    )
    agree("logits", model.decode(mu), oracles.dense(h, p["output.W"], p["output.b"], "identity"), 1e-13)
    means = oracles.dense(h, p["output.W"], p["output.b"], "sigmoid")
    agree("mean", model.mean(mu), means, 1e-13)
    agree("reconstruction", model.reconstruct(x), means, 1e-13)


def test_a_gaussian_decoder_says_the_mean_itself(backend, rng):
    model, z = small(backend, likelihood="gaussian"), rng.standard_normal((2, L))
    agree("mean", model.mean(z), model.decode(z), 0)


def test_sample_decodes_the_prior(backend):
    """The z that sample draws are N(0, I): 5 standard errors on mean and variance, false alarm 2e-6."""
    model = mv.VAE(L, L, (), likelihood="gaussian", backend=backend, dtype=np.float64)
    model.params["output.W"][...] = np.eye(L)  # the decoder hands z through
    n = 100_000
    z = model.sample(n, np.random.default_rng(1))
    assert z.shape == (n, L)
    assert np.all(np.abs(z.mean(axis=0)) < 5 / np.sqrt(n))
    assert np.all(np.abs(z.var(axis=0) - 1) < 5 * np.sqrt(2 / n))
    np.testing.assert_array_equal(z, model.sample(n, np.random.default_rng(1)))


def test_results_belong_to_the_caller(backend, rng):
    """A second call leaves the first one's results as they were."""
    model = small(backend)
    (x, eps), (x2, eps2) = draw(rng), draw(rng)
    grads = model.loss_and_grads(x, eps)[1]
    kept = {name: grad.copy() for name, grad in grads.items()}
    mu = model.encode(x)[0]
    kept_mu = mu.copy()
    model.loss_and_grads(x2, eps2)
    model.encode(x2)
    for name in grads:
        np.testing.assert_array_equal(grads[name], kept[name])
    np.testing.assert_array_equal(mu, kept_mu)


def test_integers_and_other_floats_are_converted(backend):
    model = mv.VAE(4, 2, (3,), backend=backend)
    eps = np.zeros((2, 2))
    bits = np.array([[0, 1, 1, 0], [1, 1, 0, 0]])
    want = model.loss(bits.astype(np.float32), eps)
    for x in (bits, bits.astype(np.uint8), bits.astype(bool), bits.astype(np.float64), bits.tolist()):
        assert model.loss(x, eps) == want


def test_a_family_of_ones_own():
    """A likelihood that stands elsewhere joins without a line of the model changed."""

    class Laplace:
        support = (-np.inf, np.inf)

        def __init__(self, ops):
            pass

        def parameters(self, data_dim, dtype):
            return {}

        def nll(self, mean, x, params):
            away = x - mean
            return (np.where(away.real > 0, away, -away) + np.log(2)).sum(axis=-1)

        def nll_backward(self, dnll, mean, x, params):
            return dnll[..., None] * np.sign(mean - x), {}

        def mean(self, mean):
            return mean

    rng = np.random.default_rng(2)
    checks.check_gradient(
        mv.VAE(D, L, (5,), likelihood=Laplace, backend="numpy", dtype=np.float64), *draw(rng)
    )


# ------------------------------------------------------------------------------ what it refuses


def test_bad_data(backend):
    model = mv.VAE(4, 2, (3,), backend=backend)
    x, eps = np.full((5, 4), 0.5), np.zeros((5, 2))
    nan, inf, big, low = (x.copy() for _ in range(4))
    nan[1, 2], inf[4, 0], big[0, 0], low[0, 0] = np.nan, np.inf, 1.5, -0.1
    for bad, message in (
        (x[0], r"x must have shape \(B, 4\), got an array of shape \(4,\)"),
        (x[:, :3], r"x must have shape \(B, 4\), got an array of shape \(5, 3\)"),
        (x[None], r"x must have shape \(B, 4\)"),
        (x[:0], "x must not be empty"),
        (nan, r"x must be finite, got nan at index \(1, 2\)"),
        (inf, r"x must be finite, got inf at index \(4, 0\)"),
        (np.full((5, 4), 1e300), r"x must fit float32, got 1e\+300"),
        (big, r"x must lie in \[0, 1\], got values in \[0.5, 1.5\]"),
        (low, r"x must lie in \[0, 1\]"),
        (255 * np.ones((5, 4), np.uint8), r"x must lie in \[0, 1\]"),
    ):
        with pytest.raises(ValueError, match=message):
            model.loss_and_grads(bad, eps)
        with pytest.raises(ValueError, match=message):
            model.encode(bad)
    for bad in (x.astype(str), x.astype(object), x + 1j):
        with pytest.raises(TypeError, match="x must"):
            model.loss_and_grads(bad, eps)


def test_a_gaussian_takes_any_finite_data(backend):
    model = mv.VAE(4, 2, (3,), likelihood="gaussian", backend=backend)
    assert np.isfinite(model.loss(np.full((2, 4), -3.0), np.zeros((2, 2))).loss)
    with pytest.raises(ValueError, match="x must be finite"):
        model.loss(np.full((2, 4), np.nan), np.zeros((2, 2)))


def test_bad_noise(backend):
    model, x = mv.VAE(4, 2, (3,), backend=backend), np.full((5, 4), 0.5)
    for shape in ((2,), (5, 1), (1, 2), (4, 2), (3, 5, 1), (3, 1, 2), (2, 3, 5, 2)):
        with pytest.raises(ValueError, match=r"eps must have shape \(5, 2\) or \(S, 5, 2\)"):
            model.loss_and_grads(x, np.zeros(shape))
    with pytest.raises(ValueError, match="eps must not be empty"):
        model.loss_and_grads(x, np.zeros((0, 5, 2)))
    with pytest.raises(ValueError, match=r"eps must be finite, got nan at index \(0, 0\)"):
        model.loss_and_grads(x, np.full((5, 2), np.nan))
    with pytest.raises(TypeError, match="eps must"):
        model.loss_and_grads(x, None)


def test_bad_beta_and_codes(backend):
    model = mv.VAE(4, 2, (3,), backend=backend)
    x, eps = np.full((5, 4), 0.5), np.zeros((5, 2))
    for beta in (-1, np.nan, np.inf):
        with pytest.raises(ValueError, match="beta must be a finite number and at least 0"):
            model.loss_and_grads(x, eps, beta)
    with pytest.raises(TypeError, match="beta must be a number"):
        model.loss_and_grads(x, eps, "1")
    for z in (np.zeros(2), np.zeros((3, 4))):
        with pytest.raises(ValueError, match=r"z must have shape"):
            model.decode(z)
    with pytest.raises(ValueError, match="n must be an integer of at least 1"):
        model.sample(0, np.random.default_rng(0))
    with pytest.raises(TypeError, match=r"rng must be a numpy.random.Generator"):
        model.sample(3, 0)
    with pytest.raises(ValueError, match="x must be an array: its rows have different lengths"):
        model.encode([[1.0, 0.0], [1.0]])


@pytest.mark.parametrize(
    ("settings", "error", "message"),
    [
        ({"data_dim": 0}, ValueError, "data_dim must be an integer of at least 1, got 0"),
        ({"latent_dim": -2}, ValueError, "latent_dim must be an integer of at least 1"),
        ({"latent_dim": 2.5}, TypeError, "latent_dim must be an integer"),
        ({"hidden": (4, 0)}, ValueError, "every width of hidden must be an integer of at least 1"),
        ({"hidden": 400}, TypeError, "hidden must be a sequence of widths"),
        ({"hidden": "400"}, TypeError, "hidden must be a sequence of widths"),
        ({"activation": "gelu"}, ValueError, "activation must be one of identity, relu"),
        ({"likelihood": "poisson"}, ValueError, "likelihood must be one of bernoulli, gaussian"),
        ({"posterior": "laplace"}, ValueError, "posterior must be one of gaussian"),
        ({"backend": "torch"}, ValueError, "backend must be one of numba, numpy"),
        ({"dtype": np.int32}, ValueError, f"dtype must be one of {', '.join(DTYPES)}"),
        ({"dtype": "nonsense"}, ValueError, "dtype must be one of .* got 'nonsense'"),
        ({"dtype": None}, ValueError, "dtype must be one of"),
        ({"backend": None}, TypeError, "backend must be one of numba, numpy, or have the functions of ops"),
        ({"dtype": np.complex128}, ValueError, 'needs backend="numpy"'),
        ({"seed": -1}, ValueError, "seed must be an integer of at least 0"),
    ],
)
def test_bad_settings(settings, error, message):
    with pytest.raises(error, match=message):
        mv.VAE(**settings)


@pytest.mark.parametrize("term", ["nll", "kl"])
def test_a_loss_that_is_not_finite_is_named(backend, term):
    model = mv.VAE(4, 2, (3,), likelihood="gaussian", backend=backend)
    name = {"nll": "output.b", "kl": "logvar.b"}[term]
    model.params[name][...] = 1e30 if term == "nll" else 100
    if term == "kl":
        model.params["output.W"][...] = 0  # so that the nll stays finite
    with pytest.raises(ValueError, match=f"the loss is not finite: {term} is inf"):
        model.loss_and_grads(np.zeros((2, 4)), np.zeros((2, 2)))


def test_distributions_sample_what_they_score():
    """p(x|z)'s own draws against its mean and variance: 5 standard errors, false alarm 2e-6."""
    rng, n = np.random.default_rng(8), 200_000
    logits = np.broadcast_to(np.array([-1.0, 0.0, 2.0]), (n, 3))
    draws = distributions.Bernoulli(ops).sample(logits, {}, rng)
    p = 1 / (1 + np.exp(-logits[0]))
    assert set(np.unique(draws)) == {0.0, 1.0}
    assert np.all(np.abs(draws.mean(axis=0) - p) < 5 * np.sqrt(p * (1 - p) / n))
    params = {"output.logvar": np.array([0.0, -1.0, 1.0])}
    draws = distributions.Gaussian(ops, "pixel").sample(logits, params, rng)
    variance = np.exp(params["output.logvar"])
    assert np.all(np.abs(draws.mean(axis=0) - logits[0]) < 5 * np.sqrt(variance / n))
    assert np.all(np.abs(draws.var(axis=0) / variance - 1) < 5 * np.sqrt(2 / n))
    eps = distributions.GaussianPosterior(ops).noise(rng, (n, 3), np.float32)
    assert eps.dtype == np.float32
    assert np.all(np.abs(eps.mean(axis=0)) < 5 / np.sqrt(n))
    assert np.all(np.abs(eps.var(axis=0) - 1) < 5 * np.sqrt(2 / n))


def test_the_fixed_variance_is_a_setting(rng):
    mean, x = rng.standard_normal((2, B, D))
    likelihood = distributions.Gaussian(ops, "fixed", logvar=-np.log(2))
    squared_error = ((x - mean) ** 2).sum(axis=1)
    agree("nll at variance 1/2", likelihood.nll(mean, x, {}), squared_error + 0.5 * D * np.log(np.pi), 1e-13)
    assert (
        distributions.Gaussian(ops, "pixel", logvar=-1.5).parameters(3, np.float32)["output.logvar"].tolist()
        == [-1.5] * 3
    )
    with pytest.raises(ValueError, match="variance must be one of fixed, shared, pixel"):
        distributions.Gaussian(ops, "full")


def test_posterior_and_prior_speak_through_ops(backend, rng):
    model = small(backend)
    z, mu, logvar = rng.standard_normal((2, B, L)), *rng.standard_normal((2, B, L))
    q = model.posterior
    agree("log_prob", q.log_prob(z, mu, logvar), ops.gaussian_log_prob(z, mu, logvar), 1e-13)
    for got, want in zip(q.score(z, mu, logvar), ops.gaussian_score(z, mu, logvar), strict=True):
        agree("score", got, want, 1e-13)
    want = oracles.normal_log_density(z, 0.0, 1.0).sum(axis=-1)
    agree("prior", model.prior.log_prob(z), want, 1e-13)


# ------------------------------------------------------------------------------ types and small print


@pytest.mark.parametrize("likelihood", LIKELIHOODS)
@pytest.mark.parametrize("dtype", [np.float32, np.float64])
def test_everything_stays_in_the_models_type(backend, dtype, likelihood):
    model = mv.VAE(D, L, (5,), likelihood=likelihood, backend=backend, dtype=dtype)
    model.start_output_at(np.full(D, 0.25))
    rng = np.random.default_rng(0)
    x, eps = draw(rng)
    grads = model.loss_and_grads(x, eps)[1]
    z = np.zeros((B, L), dtype)
    outputs = model.decode(z)
    results = [
        *(*model.params.values(), *grads.values(), *model.encode(x), outputs, model.mean(z)),
        *(model.sample(3, rng), model.reconstruct(x), model.prior.log_prob(z)),
        *(model.likelihood.sample(outputs, model.params, rng), model.posterior.noise(rng, (2, L), dtype)),
    ]
    assert {result.dtype for result in results} == {np.dtype(dtype)}
    assert model.hidden == (5,)


def test_terms_are_double_precision_means():
    model = mv.VAE(50, 3, (5,), backend="numpy")
    rng = np.random.default_rng(0)
    terms, trace = model.forward(rng.random((999, 50)), rng.standard_normal((999, 3)))
    assert terms.nll == trace.nll.astype(np.float64).mean()
    assert terms.kl == trace.kl.astype(np.float64).mean()


def test_start_output_at_sets_and_checks():
    model = mv.VAE(3, 2, (4,), backend="numpy")
    bias = model.params["output.b"]
    for _ in range(2):  # it sets, and does not add
        model.start_output_at([0.0, 0.5, 1.0])
        np.testing.assert_allclose(bias, [np.log(1e-3 / 0.999), 0, np.log(0.999 / 1e-3)], rtol=1e-6)
    assert model.params["output.b"] is bias
    with pytest.raises(ValueError, match=r"pixel_mean must have shape \(3,\)"):
        model.start_output_at(np.array([0.5]))
    with pytest.raises(ValueError, match=r"pixel_mean must lie in \[0, 1\]"):
        model.start_output_at([0.5, 0.5, 2.0])


def test_a_loss_that_overflows_by_its_weight(backend):
    model = mv.VAE(4, 2, (3,), backend=backend)
    with pytest.raises(ValueError, match="the loss is not finite: loss is inf"):
        model.loss(np.ones((2, 4)), np.ones((2, 2)), beta=1e308 * 1.7)


def test_codes_that_are_not_finite(backend):
    model = mv.VAE(4, 2, (3,), backend=backend)
    for call in (model.decode, model.mean):
        with pytest.raises(ValueError, match=r"z must be finite, got nan at index \(1, 0\)"):
            call(np.array([[0.0, 0.0], [np.nan, 0.0]]))


def test_sample_takes_n_draws_from_the_generator(backend):
    model = mv.VAE(4, 2, (3,), backend=backend)
    z = np.random.default_rng(3).standard_normal((6, 2))
    agree("sample", model.sample(6, np.random.default_rng(3)), model.mean(z), 0)


def test_a_gaussian_samples_with_its_own_variance():
    """The fixed variance of the setting, within 5 standard errors."""
    n = 100_000
    likelihood = distributions.Gaussian(ops, "fixed", logvar=2.0)
    draws = likelihood.sample(np.zeros((n, 1)), {}, np.random.default_rng(0))
    assert abs(draws.var() / np.exp(2.0) - 1) < checks.FALSE_ALARM * np.sqrt(2 / n)


def test_the_first_layer_asks_for_no_input_gradient(rng):
    """dx of the data would cost as much as the layer itself, for nobody."""
    from types import SimpleNamespace

    asked = []

    def dense_backward(dy, cache, input_gradient=True):
        asked.append(input_gradient)
        return ops.dense_backward(dy, cache, input_gradient)

    spy = SimpleNamespace(**{**vars(ops), "dense_backward": dense_backward})
    model = mv.VAE(D, L, (6, 5), backend=spy, dtype=np.float64)
    model.loss_and_grads(*draw(rng))
    assert asked == [True] * 6 + [False]  # output, decoder 2 and 1, two heads, encoder 2; then encoder 1


def test_no_derivative_of_the_data(rng):
    params = layers.glorot_uniform(layers.shapes(("a", "b"), (4, 3, 2)), rng, np.float64)
    caches, grads = {}, {}
    y = layers.forward(ops, params, ("a", "b"), rng.random((5, 4)), "tanh", caches)
    assert layers.backward(ops, ("a", "b"), y, caches, grads, input_gradient=False) is None
    assert mv.VAE(4, 2, [3], backend="numpy").hidden == (3,)


def test_a_gradient_may_overflow_without_a_warning():
    """Warnings are errors here; the next loss, which is not finite, is what says so."""
    model = mv.VAE(1, 1, (), likelihood="gaussian", backend="numpy")
    for param in model.params.values():
        param[...] = 0
    model.params["mu.b"][...], model.params["output.W"][...] = 1e-3, 1e21
    terms, grads = model.loss_and_grads(np.zeros((1, 1)), np.zeros((1, 1)))
    assert np.isfinite(terms.loss)
    assert not np.isfinite(grads["mu.b"]).all()
