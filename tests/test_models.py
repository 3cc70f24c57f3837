"""The VAE as a whole: its gradient, its bounds, its parameters, its copies, what it refuses."""

import copy
import itertools
import pickle
from types import SimpleNamespace

import numpy as np
import oracles
import pytest
from oracles import agree, check_mean

import minivae as mv
from minivae import distributions, ops
from minivae.models import bounds

D, L, B, S, C = 6, 2, 4, 3, 5  # never equal, so that no axis passes for another
LIKELIHOODS = tuple(distributions.LIKELIHOODS)


def small(backend="numpy", hidden=(5, 3), dtype=np.float64, **settings):
    """A model with no zero weight in it: zeros blind a gradient check."""
    settings = {"data_dim": D, "latent_dim": L, "activation": "tanh", "seed": 3} | settings
    model = mv.VAE(hidden=hidden, backend=backend, dtype=dtype, **settings)
    rng = np.random.default_rng(5)
    for param in model.params.values():
        param += (0.3 * rng.standard_normal(param.shape)).astype(dtype)
    return model


def draw(rng, samples=None, condition_dim=0, target=False):
    """x, eps, and what else the walk takes."""
    x, eps = rng.random((B, D)), rng.standard_normal((B, L) if samples is None else (samples, B, L))
    more = {"target": rng.random((B, D))} if target else {}
    return (x, eps), more | ({"condition": rng.standard_normal((B, condition_dim))} if condition_dim else {})


def agree_all(got, want, tolerance):
    assert list(got) == list(want)
    for name in want:
        agree(f"d{name}", got[name], want[name], tolerance)


# ------------------------------------------------------------------------------ the whole gradient


@pytest.mark.parametrize("samples", [None, S])
@pytest.mark.parametrize("hidden", [(), (5,), (5, 3)])
@pytest.mark.parametrize("bound", bounds.BOUNDS)
@pytest.mark.parametrize("likelihood", LIKELIHOODS)
def test_gradient_by_complex_step(rng, likelihood, bound, hidden, samples):
    """Every entry of every parameter's and node's derivative, to 1e-12 of the largest in its array."""
    activation = {(): "identity", (5,): "relu", (5, 3): "softplus"}[hidden]
    model = small(hidden=hidden, likelihood=likelihood, condition_dim=C, activation=activation)
    inputs, more = draw(rng, samples, C, target=True)
    more |= {"beta": 0.7, "bound": bound}
    terms, grads = model.loss_and_grads(*inputs, **more)
    assert terms == model.loss(*inputs, **more)
    probe = model.astype(np.complex128)
    oracles.check_parameters(grads, probe, lambda: probe.loss(*inputs, **more).loss)
    nodes = {}
    d = model.backward(model.forward(*inputs, **more, at=lambda name, v: nodes.setdefault(name, v))[1])
    layers = [layer.name for layer in (*model.encoder, *model.heads, *model.decoder)]
    assert sorted(nodes) == sorted([*layers, "z", "nll", "kl"])
    assert set(d) == set(nodes) | set(model.params)
    for node, value in nodes.items():

        def loss(pushed, node=node):
            return probe.forward(*inputs, **more, at=lambda name, v: pushed if name == node else v)[0].loss

        agree(f"d{node}", d[node], oracles.complex_gradient(loss, value), 1e-12)


@pytest.mark.parametrize("bound", bounds.BOUNDS)
def test_weights_isolate_one_term(rng, bound):
    """weights=(dnll, dkl) replace the bound's own: the gradient of sum dnll nll + sum dkl kl."""
    model, (inputs, _) = small(), draw(rng, S)
    probe, trace = model.astype(np.complex128), model.forward(*inputs, bound=bound)[1]
    w = [rng.standard_normal(part.shape) for part in (trace.nll, trace.kl)]
    for weights in ((w[0], 0 * w[1]), (0 * w[0], w[1]), w):

        def loss(weights=weights):
            walk = probe.forward(*inputs, bound=bound)[1]
            return (weights[0] * walk.nll).sum() + (weights[1] * walk.kl).sum()

        d = model.backward(trace, weights=weights)
        oracles.check_parameters({name: d[name] for name in model.params}, probe, loss)


@pytest.mark.parametrize("samples", [None, S])
@pytest.mark.parametrize("likelihood", LIKELIHOODS)
@pytest.mark.parametrize("activation", ops.ACTIVATIONS)
def test_backends_agree(rng, likelihood, activation, samples):
    inputs, more = draw(rng, samples, C)
    model = small(likelihood=likelihood, activation=activation, condition_dim=C)
    terms, grads = model.loss_and_grads(*inputs, 2.0, **more)
    terms2, grads2 = model.astype(np.float64, "numba").loss_and_grads(*inputs, 2.0, **more)
    agree("terms", terms2, terms, 1e-13)
    agree_all(grads2, grads, 1e-12)


def test_the_walk_by_hand(backend, rng):
    """Every output and every term of a conditional denoising model, from the definitions."""
    model = small(backend, condition_dim=C)
    (x, eps), more = draw(rng, S, C, target=True)
    c, target, p = more["condition"], more["target"], model.params

    def layer(y, name, act="identity"):
        return oracles.dense(y, p[f"{name}.W"], p[f"{name}.b"], act)

    def decoder(z, act="identity"):
        h = layer(layer(np.concatenate([z, c], axis=1), "decoder1", "tanh"), "decoder2", "tanh")
        return layer(h, "output", act)

    h = layer(layer(np.concatenate([x, c], axis=1), "encoder1", "tanh"), "encoder2", "tanh")
    mu, logvar = layer(h, "mu"), layer(h, "logvar")
    std = np.sqrt(np.exp(logvar))
    agree("heads", model.encode(x, c), (mu, logvar), 1e-13)
    agree("logits", model.decode(mu, c), decoder(mu), 1e-13)
    agree("reconstruction", model.reconstruct(x, c), decoder(mu, "sigmoid"), 1e-13)
    prior = np.random.default_rng(3).standard_normal((B, L))
    agree("sample", model.sample(B, np.random.default_rng(3), c), decoder(prior, "sigmoid"), 1e-13)
    z = mu + std * eps
    probability = np.array([decoder(one, "sigmoid") for one in z])
    nll = -(target * np.log(probability) + (1 - target) * np.log(1 - probability)).sum(axis=-1)  # (S, B)
    agree("nll of the cost", model.cost(x, **more)[0](z), nll, 1e-12)
    kl = (0.5 * (mu**2 + np.exp(logvar) - logvar - 1)).sum(axis=-1)  # (B,)
    ratio = oracles.normal_log_density(z, mu, std) - oracles.normal_log_density(z, 0.0, 1.0)
    ratio = ratio.sum(axis=-1)  # (S, B)
    for beta in (0.0, 1.0, 2.5):
        terms = model.loss(x, eps, beta, **more)
        assert all(isinstance(term, float) for term in terms)
        agree("terms", terms, (nll.mean() + beta * kl.mean(), nll.mean(), kl.mean()), 1e-12)
        loss = -np.log(np.exp(-nll - beta * ratio).mean(axis=0)).mean()
        terms = model.loss(x, eps, beta, **more, bound="iwae")
        agree("iwae terms", terms, (loss, nll.mean(), ratio.mean()), 1e-12)
        for noise in (eps[0], eps[:1]):  # one sample: the ELBO with a sampled KL
            terms = model.loss(x, noise, beta, **more, bound="iwae")
            agree("one sample", terms.loss, (nll[0] + beta * ratio[0]).mean(), 1e-12)
    assert model.loss(x, eps, **more) == model.loss(x, eps, 1.0, **more)


def test_the_iwae_bound_rises_to_log_p(rng):
    """The mean over all subsets of m samples rises with m, without luck; 100,000 samples end at log p(x).

    Their mean weight and p(x) by quadrature within 5 standard errors: false alarm 2e-6; it sees 2 % of p(x).
    """
    model = small(hidden=(4,), latent_dim=1)
    x, eps = rng.random((3, D)).round(), rng.standard_normal((5, 3, 1))
    subsets = [[list(one) for one in itertools.combinations(range(5), m)] for m in range(1, 6)]
    means = [np.mean([model.loss(x, eps[one], bound="iwae").loss for one in sets]) for sets in subsets]
    assert all(np.diff(means) < -1e-6), means
    e, weights = oracles.normal_rule()
    logits = model.decode(e[:, None])  # (n, D)
    log_p = np.where(x[:, None] > 0.5, -np.log1p(np.exp(-logits)), -np.log1p(np.exp(logits))).sum(axis=-1)
    trace = model.forward(x, rng.standard_normal((100_000, 3, 1)), bound="iwae")[1]
    check_mean("p(x)", np.exp(-trace.nll - trace.kl), np.exp(log_p) @ weights)


@pytest.mark.parametrize("bound", bounds.BOUNDS)
def test_a_doubled_batch_and_large_costs(backend, rng, bound):
    """Twice the batch, the same loss and gradient; a cost of 1e4 nats more moves the loss and no weight."""
    model, (inputs, _) = small(backend), draw(rng, S)
    terms, grads = model.loss_and_grads(*inputs, bound=bound)
    doubled = [np.concatenate([array, array], axis=-2) for array in inputs]
    terms2, grads2 = model.loss_and_grads(*doubled, bound=bound)
    agree("terms", terms2, terms, 1e-12)
    agree_all(grads2, grads, 1e-12)
    nll, kl = rng.standard_normal((2, S, B))
    once, far = (bounds.bound_forward(nll + shift, kl, 0.7, bound) for shift in (0, 1e4))
    agree("loss", far.loss, once.loss + 1e4, 1e-12)
    if bound == "iwae":  # one sample that is better by 1e4 nats decides alone
        near = np.concatenate([nll[:1], nll[1:] + 1e4])
        best = (nll[0] + 0.7 * kl[0]).mean() + np.log(S)
        agree("loss", bounds.bound_forward(near, kl, 0.7, bound).loss, best, 1e-12)
    dnll, dkl = bounds.bound_backward(nll + 1e4, kl, 0.7, bound)
    softmax = np.exp(-nll - 0.7 * kl) / np.exp(-nll - 0.7 * kl).sum(axis=0)
    agree("dnll", dnll, (softmax if bound == "iwae" else np.full((S, B), 1 / S)) / B, 1e-11)
    agree("dkl", dkl, 0.7 * dnll, 1e-15)


def test_parameters_in_the_order_of_the_data():
    model = mv.VAE(8, 3, (6, 5), likelihood="gaussian-pixel", backend="numpy", condition_dim=2)
    assert list({name: param.shape for name, param in model.params.items()}.items()) == [
        *(("encoder1.W", (10, 6)), ("encoder1.b", (6,)), ("encoder2.W", (6, 5)), ("encoder2.b", (5,))),
        *(("mu.W", (5, 3)), ("mu.b", (3,)), ("logvar.W", (5, 3)), ("logvar.b", (3,))),
        *(("decoder1.W", (5, 5)), ("decoder1.b", (5,)), ("decoder2.W", (5, 6)), ("decoder2.b", (6,))),
        *(("output.W", (6, 8)), ("output.b", (8,)), ("output.logvar", (8,))),
    ]
    assert mv.VAE(8, 3, likelihood="gaussian-shared", backend="numpy").params["output.logvar"].shape == (1,)
    assert "output.logvar" not in mv.VAE(8, 3, likelihood="gaussian", backend="numpy").params
    assert mv.VAE(8, 3, [6], backend="numpy").hidden == (6,)


def test_glorot_uniform_from_the_seed():
    """Weights fill +-sqrt(6 / (n_in + n_out)) evenly: variance limit^2 / 3 within 5 standard errors."""
    params, again, other = (mv.VAE(backend="numpy", seed=seed).params for seed in (1, 1, 2))
    for name in ("encoder1", "mu", "logvar", "decoder1", "output"):
        W = params[f"{name}.W"].astype(np.float64)
        limit = np.sqrt(6 / sum(W.shape))
        assert 0.99 * limit < np.abs(W).max() <= limit * (1 + 1e-6)
        check_mean(name, W.ravel(), 0)
        check_mean(f"{name} squared", W.ravel() ** 2, limit**2 / 3)
        assert not params[f"{name}.b"].any()
        assert np.array_equal(params[f"{name}.W"], again[f"{name}.W"])
        assert np.any(params[f"{name}.W"] != other[f"{name}.W"])
    assert np.any(params["mu.W"] != params["logvar.W"])


def test_output_may_start_at_the_pixel_mean(rng):
    want = np.r_[rng.random(D - 2), 0, 1]  # it sets and does not add; pixels that never change stay finite
    for likelihood, low in (("bernoulli", 1e-3), ("gaussian", 0)):
        model = small(likelihood=likelihood)
        bias = model.params["output.b"]
        model.start_output_at(want)
        assert model.params["output.b"] is bias
        agree("mean", model.likelihood.mean(bias), np.clip(want, low, 1 - low), 1e-12)


@pytest.mark.parametrize("likelihood", LIKELIHOODS)
def test_copies_compute_the_same(backend, rng, likelihood):
    """Copied, pickled or cast: the same numbers, its own parameters; no result is overwritten."""
    model, (inputs, more) = small(backend, likelihood=likelihood, condition_dim=C), draw(rng, S, C)
    terms, grads = model.loss_and_grads(*inputs, **more)
    kept = copy.deepcopy(grads)
    for twin in (copy.deepcopy(model), pickle.loads(pickle.dumps(model)), model.astype(np.float64)):
        assert twin.ops is model.ops is twin.likelihood.ops is twin.posterior.prior.ops
        twin_terms, twin_grads = twin.loss_and_grads(*inputs, **more)
        assert twin_terms == terms
        agree_all(twin_grads, kept, 0)
        twin.params["mu.b"] += 1
        assert twin.loss_and_grads(*inputs, **more)[0] != terms == model.loss(*inputs, **more)
    agree_all(grads, kept, 0)
    single = model.astype(np.float32, "numpy")
    assert (single.dtype, single.ops, model.dtype) == (np.dtype(np.float32), ops, np.dtype(np.float64))
    agree("terms", single.loss(*inputs, **more), terms, 1e-5)
    with pytest.raises(ValueError, match='needs backend="numpy"'):
        model.astype(np.complex128, "numba")


@pytest.mark.parametrize("likelihood", LIKELIHOODS)
@pytest.mark.parametrize("dtype", [np.float32, np.float64])
def test_everything_stays_in_the_models_type(backend, dtype, likelihood):
    model, rng = small(backend, dtype=dtype, likelihood=likelihood, condition_dim=C), np.random.default_rng(0)
    (x, eps), more = draw(rng, S, C)
    c, bits = more["condition"], x.round()
    want, trace = model.forward(bits, eps, **more)
    assert want.nll == trace.nll.astype(np.float64).mean()  # in double precision
    for same in (bits.astype(np.uint8), bits.astype(bool), bits.astype(np.float32), bits.tolist()):
        assert model.loss(same, eps, **more) == want
    model.start_output_at(np.full(D, 0.25))
    noise = model.posterior.noise(np.random.default_rng(1), (B, L), dtype)
    agree("noise", noise, np.random.default_rng(1).standard_normal((B, L), dtype), 0)
    outputs = model.decode(noise, c)
    results = [
        *(noise, outputs, *model.encode(x, c), model.reconstruct(x, c), model.sample(B, rng, c)),
        model.prior.log_prob(noise),
        *(*model.params.values(), *model.loss_and_grads(x, eps, bound="iwae", **more)[1].values()),
    ]
    if likelihood != "gaussian-optimal":
        results.append(model.likelihood.sample(outputs, model.params, rng))
    if likelihood == "gaussian":
        agree("mean", model.mean(noise, c), outputs, 0)
    assert {result.dtype for result in results} == {np.dtype(dtype)}


def test_distributions_sample_what_they_score(rng):
    """Draws of p(x|z) and of the noise by their mean and variance: 21 comparisons, false alarm 1e-5."""
    logits, pixel = np.broadcast_to(np.array([-1.0, 0.0, 2.0]), (200_000, 3)), np.array([0.0, -1.0, 1.0])
    draws = distributions.Bernoulli(ops).sample(logits, {}, rng)
    check_mean("bits", draws, 1 / (1 + np.exp(-logits[0])))
    for likelihood, logvar in (
        (distributions.Gaussian(ops, "pixel"), pixel),
        (distributions.Gaussian(ops, "shared", logvar=-1.5), np.full(1, -1.5)),
        (distributions.Gaussian(ops, "fixed", logvar=2.0), np.full(1, 2.0)),
    ):
        params = likelihood.parameters(3, np.float64)
        if likelihood.variance == "pixel":
            params["output.logvar"] += pixel
        draws = likelihood.sample(logits, params, rng)
        check_mean("x", draws, logits[0])
        check_mean("(x - mean)^2", (draws - logits) ** 2, np.exp(logvar))
        want = -oracles.normal_log_density(draws[:9], logits[:9], np.exp(logvar / 2)).sum(axis=-1)
        agree("nll", likelihood.nll(logits[:9], draws[:9], params), want, 1e-13)
    eps = distributions.GaussianPosterior(ops).noise(rng, (200_000, 3), np.float32).astype(float)
    check_mean("eps", eps, 0)
    check_mean("eps^2", eps**2, 1)


def test_the_first_layer_needs_no_input_gradient(rng):
    """dx of the data would cost as much as the layer itself, and nothing uses it."""

    def dense_backward(dy, cache, input_gradient=True):
        wanted.append(input_gradient)
        return ops.dense_backward(dy, cache, input_gradient)

    spy = SimpleNamespace(**vars(ops) | {"dense_backward": dense_backward})
    # output, decoders, two heads, encoder 2; then encoder 1
    for hidden, want in (((6, 5), [True] * 6 + [False]), ((), [True, False, False])):
        wanted = []
        mv.VAE(D, L, hidden, backend=spy, dtype=np.float64).loss_and_grads(*draw(rng)[0])
        assert wanted == want
