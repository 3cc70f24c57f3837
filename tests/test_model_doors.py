"""What a model refuses, each in one sentence, and families of one's own."""

import numpy as np
import oracles
import pytest
from oracles import refused

import minivae as mv
from minivae import distributions as dist


def spoiled(value, shape=(5, 4), where=(1, 2)):
    x = np.full(shape, 0.5)
    x[where] = value
    return x


def test_bad_arguments(backend):
    model = mv.VAE(4, 2, (3,), backend=backend, condition_dim=3)
    good = {"x": spoiled(0.5), "eps": np.ones((5, 2)), "condition": np.ones((5, 3))}
    model.loss_and_grads(**good)
    for bad, message in (
        (np.ones(4), r"x must have shape \(B, 4\), got an array of shape \(4,\)"),
        (np.ones((5, 3)), r"x must have shape \(B, 4\), got an array of shape \(5, 3\)"),
        (np.ones((1, 5, 4)), r"x must have shape \(B, 4\)"),
        (spoiled(np.nan), r"x must be finite, got nan at index \(1, 2\)"),
        (spoiled(1e300), r"x must fit float32, got 1e\+300 at index \(1, 2\)"),
        (spoiled(1.5), r"x must lie in \[0, 1\], got values in \[0.5, 1.5\]"),
        (spoiled(-0.1), r"x must lie in \[0, 1\]"),
        (np.full((5, 4), "a"), "x must hold numbers"),
        (np.ones((5, 4), object), "x must hold numbers"),
        (np.ones((5, 4), complex), "x must be real"),
        ([[1.0, 0.0], [1.0]], "x must be an array: its rows have different lengths"),
    ):
        refused(message, model.loss_and_grads, **good | {"x": bad})
        refused(message, model.encode, bad, np.ones((len(bad), 3)))
    for shape in ((2,), (5, 1), (1, 2), (4, 2), (3, 5, 1), (3, 1, 2), (2, 3, 5, 2)):
        bad = {"eps": np.ones(shape)}
        refused(r"eps must have shape \(5, 2\) or \(S, 5, 2\)", model.loss, **good | bad)
    for bad, message in (
        ({"x": np.ones((0, 4)), "eps": np.ones((0, 2))}, "x must not be empty"),
        ({"eps": np.zeros((0, 5, 2))}, "eps must not be empty"),
        ({"eps": np.full((5, 2), np.nan)}, r"eps must be finite, got nan at index \(0, 0\)"),
        ({"eps": None}, "eps must"),
        ({"beta": -1}, "beta must be a finite number and at least 0"),
        ({"beta": np.nan}, "beta must be a finite number and at least 0"),
        ({"beta": "1"}, "beta must be a number"),
        ({"condition": None}, r"condition must have shape \(5, 3\) .* condition_dim 3, got None"),
        ({"condition": np.ones((5, 2))}, r"condition must have shape \(5, 3\)"),
        ({"condition": np.ones((1, 3))}, r"condition must have shape \(5, 3\)"),
        ({"condition": spoiled(np.inf, (5, 3))}, "condition must be finite"),
        ({"target": np.ones((1, 4))}, r"target must have shape \(5, 4\)"),
        ({"target": spoiled(1.5)}, r"target must lie in \[0, 1\]"),
        ({"bound": "tight"}, "bound must be one of elbo, iwae"),
    ):
        refused(message, model.loss_and_grads, **good | bad)


def test_what_else_is_refused(backend):
    model = mv.VAE(4, 2, (3,), likelihood="gaussian", backend=backend)
    x, eps = np.full((5, 4), -3.0), np.ones((5, 2))
    trace = model.forward(x, eps)[1]  # a Gaussian takes any finite data
    refused("condition must be None for a model of condition_dim 0", model.loss, x, eps, condition=x)
    refused("the loss is not finite: loss is inf", model.loss, x, eps, 1.7e308)
    refused(r"z must have shape \(B, 2\)", model.decode, np.zeros(2))
    refused(r"z must have shape \(B, 2\)", model.mean, np.zeros((3, 4)))
    refused(r"z must be finite, got nan at index \(1, 0\)", model.decode, spoiled(np.nan, (2, 2), 1))
    refused("n must be an integer of at least 1", model.sample, 0, np.random.default_rng(0))
    refused(r"rng must be a numpy.random.Generator", model.sample, 3, 0)
    refused(r"pixel_mean must have shape \(4,\)", model.start_output_at, np.zeros(1))
    refused(r"pixel_mean must be finite", model.start_output_at, np.full(4, np.nan))
    for part, value in (("eps", eps[:4]), ("outputs", x[:4]), ("z", eps[:4]), ("target", x[:1])):
        refused("must have shape|cannot reshape", model.backward, trace._replace(**{part: value}))
    for name, value, term in (("output.b", 1e30, "nll"), ("logvar.b", 100, "kl")):
        twin = model.astype(np.float32)
        twin.params["output.W"][...], twin.params[name][...] = 0, value
        refused(f"the loss is not finite: {term} is inf", twin.loss_and_grads, x, eps)
    twin = mv.VAE(4, 2, (3,), likelihood="gaussian", prior="mixture", backend=backend)
    twin.params["mu.b"][...] = 1e25  # far from all components: log p(z) is -inf, and warns of nothing
    refused("the loss is not finite: nll is inf", twin.loss_and_grads, x, eps)


def test_bad_settings():
    for settings, message in (
        ({"data_dim": 0}, "data_dim must be an integer of at least 1, got 0"),
        ({"data_dim": True}, "data_dim must be an integer of at least 1, got True"),
        ({"latent_dim": 2.5}, "latent_dim must be an integer"),
        ({"condition_dim": -1}, "condition_dim must be an integer of at least 0"),
        ({"hidden": (4, 0)}, "every width of hidden must be an integer of at least 1"),
        ({"hidden": 400}, "hidden must be a sequence of widths"),
        ({"hidden": "400"}, "hidden must be a sequence of widths"),
        ({"activation": "gelu"}, "activation must be one of identity, relu"),
        ({"likelihood": "poisson"}, "likelihood must be one of bernoulli, gaussian"),
        ({"posterior": "cauchy"}, "posterior must be one of gaussian"),
        ({"prior": "cauchy"}, "prior must be one of standard"),
        ({"backend": "torch"}, "backend must be one of numba, numpy"),
        ({"backend": None}, "backend must be one of numba, numpy, or have the functions of ops"),
        *(({"dtype": d}, "dtype must be one of float32, float64, complex128") for d in (np.int32, "x", None)),
        ({"dtype": np.complex128}, 'needs backend="numpy"'),
        ({"seed": -1}, "seed must be an integer of at least 0"),
    ):
        refused(message, mv.VAE, **{"backend": "numpy" if "dtype" not in settings else "numba"} | settings)
    refused("variance must be one of fixed, shared", mv.distributions.Gaussian, mv.ops, "full")


def test_distributions_of_another_kind():
    for kind, other in (("posterior", dist.MixturePrior), ("likelihood", dist.StandardNormal)):
        with pytest.raises(TypeError, match=f"{kind} {other.__name__} has no .*, which a {kind} must have"):
            mv.VAE(4, 2, (3,), **{kind: other})
    for other in (dict, lambda ops: 3):
        with pytest.raises(TypeError, match=r"prior must be one of .* or a class like Standard"):
            mv.VAE(4, 2, (3,), prior=other)


def test_a_gradient_may_overflow_without_a_warning():
    """Warnings are errors here; the next loss, which is not finite, reports it."""
    model = mv.VAE(1, 1, (), likelihood="gaussian", backend="numpy")
    for name, param in model.params.items():
        param[...] = {"mu.b": 1e-3, "output.W": 1e21}.get(name, 0)
    terms, grads = model.loss_and_grads(np.zeros((1, 1)), np.zeros((1, 1)))
    assert np.isfinite(terms.loss)
    assert not np.isfinite(grads["mu.b"]).all()


# ------------------------------------------------------------------------------ families of one's own


class Laplace:
    """p(x|z) of scale 1; `spoil` may change the shape of its derivative."""

    support, spoil = (-np.inf, np.inf), staticmethod(lambda d: d)

    def __init__(self, ops):
        pass

    def parameters(self, data_dim, dtype):
        return {}

    def nll(self, mean, x, params):
        away = x - mean
        return (np.where(away.real > 0, away, -away) + np.log(2)).sum(axis=-1)

    def nll_backward(self, dnll, mean, x, params):
        return self.spoil(dnll[..., None] * np.sign(mean - x)), {}


@pytest.mark.parametrize("samples", [(), (3,)])
def test_a_likelihood_of_ones_own(backend, rng, samples):
    """It joins without a line of the model changed; a wrong shape ends in one sentence."""
    x, eps = rng.random((5, 4)), rng.standard_normal((*samples, 5, 2))
    model = mv.VAE(4, 2, (3,), "tanh", likelihood=Laplace, backend=backend, dtype=np.float64)
    probe = model.astype(np.complex128, "numpy")
    oracles.check_parameters(model.loss_and_grads(x, eps)[1], probe, lambda: probe.loss(x, eps).loss)
    for spoil in (lambda d: np.stack([d] * 5), lambda d: d[..., :1, :], lambda d: d[..., 0, :], np.transpose):
        model.likelihood.spoil = spoil
        refused(r"the model's doutputs must have shape \((3, )?5, 4\), got", model.loss_and_grads, x, eps)
    model.likelihood.nll = lambda mean, x, params: mean[..., :1]
    refused(r"the model's nll must have shape \((3, )?5,?\), got", model.loss, x, eps)
