"""Estimators inside a model, a latent family of one's own, and what they refuse."""

import math
from functools import partial
from types import SimpleNamespace

import numpy as np
import oracles
import pytest
from cases import SINGLE, B, L, S, agree_both, costs
from oracles import agree, check_mean, refused

import minivae as mv
from minivae import estimators as es
from minivae import ops

WITHOUT_RNG = (*SINGLE, "leave-one-out")


def model(rng, backend="numpy", samples=S, **settings):
    """A VAE without zero weights, binary pixels and noise."""
    vae = mv.VAE(6, 2, (5,), "softplus", backend=backend, dtype=np.float64, seed=2, **settings)
    for param in vae.params.values():
        param += 0.3 * rng.standard_normal(param.shape)
    return vae, (rng.random((B, 6)) < 0.5).astype(float), rng.standard_normal((samples, B, 2))


@pytest.mark.parametrize("name", es.ESTIMATORS)
def test_only_the_sampling_is_estimated_otherwise(backend, name, rng):
    """mu.b and logvar.b have the mean of the estimate plus the KL's derivative; the decoder is as it was."""
    (vae, x, eps), beta, noise = model(rng, backend), 0.7, partial(np.random.default_rng, 8)
    walk = partial(vae.loss_and_grads, x, eps, beta, target=1 - x)
    (terms, want), heads = walk(), vae.encode(x)
    got_terms, got = walk(estimator=es.named(name, noise(), beta))
    assert got_terms == terms
    for key in want if name == "pathwise" else ("decoder1.W", "output.b"):
        agree(f"d{key}", got[key], want[key], 1e-12)
    estimates = es.named(name, noise(), beta)(*vae.cost(x, target=1 - x), *heads, eps)
    kl = beta * heads[0], beta * 0.5 * np.expm1(heads[1])
    both = [(d.mean(axis=0) + more).sum(axis=0) / B for d, more in zip(estimates, kl, strict=True)]
    agree_both((got["mu.b"], got["logvar.b"]), both, 1e-12)
    if name == "sticking-the-landing":
        landing = es.sticking_the_landing(vae.cost(x, target=1 - x)[1], *heads, eps, beta)
        agree_both(both, [d.mean(axis=0).sum(axis=0) / B for d in landing], 1e-12)
    same = {"sticking-the-landing": [name]} | {n: [n, getattr(es, n.replace("-", "_"))] for n in WITHOUT_RNG}
    for estimator in same.get(name, ()):
        agree("mu.b", walk(estimator=estimator)[1]["mu.b"], got["mu.b"], 1e-12)


@pytest.mark.parametrize("name", es.ESTIMATORS)
def test_every_estimator_finds_the_models_gradient(name, rng):
    """20,000 samples of each datum within 5 of their standard errors of the quadrature: 120 z-values."""
    vae, x, eps = model(rng, samples=20_000)
    heads = vae.encode(x)
    exact = es.exact_gradient(vae.cost(x)[0], *heads, nodes=32)
    assert exact.error.max() < 1e-4
    for grads, want in zip(es.ESTIMATORS[name](*vae.cost(x), *heads, eps, rng), exact[:2], strict=True):
        check_mean(name, grads, want)


@pytest.mark.parametrize("name", es.ESTIMATORS)
def test_what_an_estimator_does_with_its_arguments(name, rng):
    """float32 stays float32, nothing is changed, f may not write into z; no sample is no answer."""
    f, df, *q = (a if callable(a) else a.astype(np.float32) for a in costs(rng))
    before, estimate = [a.copy() for a in q], partial(es.ESTIMATORS[name], rng=rng)
    assert {d.dtype for d in estimate(f, df, *q)} == {np.dtype(np.float32)}
    for got, want in zip(q, before, strict=True):
        agree("argument", got, want, 0)

    def writes(z):
        z *= 2

    with pytest.raises(ValueError, match="read-only"):
        estimate(writes, writes, *q)
    with pytest.raises(ValueError, match=r"at least one sample|at least 2 samples"):
        estimate(f, df, *q[:2], q[2][:0])
    with pytest.raises((ValueError, TypeError), match="eps must"):
        estimate(f, df, *q[:2], q[2].tolist())
    if "mean" in name or "optimal" in name:  # the baseline is made from fresh noise
        find = es.mean_baseline if "mean" in name else es.optimal_baseline
        fresh = np.random.default_rng(8).standard_normal(q[2].shape).astype(np.float32)
        want = es.score_function(f, *q, find(f, *q[:2], fresh))
        agree_both(es.named(name, np.random.default_rng(8))(f, df, *q), want, 0)


def test_whole_numbers_do_not_wrap_around():
    """A cost counted in uint8: 1 - 2 is 255 there."""
    f = lambda z: (200 - 20 * np.minimum(abs(z[..., 0]), 9)).astype(np.uint8)  # noqa: E731
    counted, real = (
        es.measure_valued(g, *np.zeros((2, 1, 1)), np.random.default_rng(2), samples=1000)
        for g in (f, lambda z: f(z).astype(float))
    )
    agree_both(counted, real, 0)


# ------------------------------------------------------------------------------ a family of one's own


class Bits:
    """q(z|x) of independent bits with one head and no path; prior: fair coins. eps is uniform on (0, 1)."""

    heads = ("logits",)

    def __init__(self, ops):
        self.ops, self.prior = ops, SimpleNamespace()

    def mean(self, logits):
        return self.ops.activation_forward(logits, "sigmoid")

    def sample(self, logits, eps):
        return (eps < self.mean(logits)).astype(eps.dtype)

    def score(self, z, logits):
        return (z - self.mean(logits),)

    def kl(self, logits):
        softplus = self.ops.activation_forward(logits, "softplus")
        return (self.mean(logits) * logits - softplus + math.log(2)).sum(axis=-1)

    def kl_backward(self, dkl, logits):
        p = self.mean(logits)
        return (dkl[:, None] * p * (1 - p) * logits,)


def enumerated(vae, x):
    """The negative ELBO of bits as a sum over all four codes."""
    logits, loss = vae.encode(x)[0], 0
    p = 1 / (1 + np.exp(-logits))
    for code in np.array([[0.0, 0], [0, 1], [1, 0], [1, 1]]):
        q = np.prod(np.where(code > 0, p, 1 - p), axis=-1)
        nll = vae.likelihood.nll(vae.decode(np.tile(code, (len(x), 1))), x, vae.params)
        loss = loss + q * (nll + np.log(q) + 2 * math.log(2))
    return loss.mean()


@pytest.mark.parametrize("estimator", ["score-function", "leave-one-out"])
def test_a_family_without_a_path(backend, estimator, rng):
    """Noise on a grid on which every bit is 1 exactly as often as it should: no luck is involved."""
    vae, x, _ = model(rng, backend, posterior=Bits)
    vae.params["logits.W"][...], vae.params["logits.b"][...] = 0, np.log([1 / 3, 1])  # p = 1/4 and 1/2
    grid = np.reshape(np.meshgrid(*[(np.arange(4) + 0.5) / 4] * 4, indexing="ij"), (2, 2, -1))  # two samples
    rows, eps = np.repeat(x, 256, axis=0), np.tile(grid.swapaxes(1, 2), (1, B, 1))
    terms, grads = vae.loss_and_grads(rows, eps, 1.0, estimator)
    probe = vae.astype(np.complex128, "numpy")
    agree("loss", terms.loss, enumerated(vae, x), 1e-12)
    oracles.check_parameters(grads, probe, lambda: enumerated(probe, x), tolerance=1e-11)
    before, adam = enumerated(vae, x), mv.Adam(0.03, backend=backend)
    for _ in range(100):
        adam.step(vae.params, vae.loss_and_grads(x, rng.random((4, B, 2)), 1.0, estimator)[1])
    assert enumerated(vae, x) < before - 0.5


# ------------------------------------------------------------------------------ bad input


def spoiled(value, *where):
    def f(z):
        cost = z.sum(axis=-1)
        cost[where] = value
        return cost

    return f


def test_bad_costs(rng):
    good = {"f": lambda z: z.sum(axis=-1), "df": np.copy, "mu": np.ones((B, L)), "logvar": np.ones((B, L))}
    good |= {"eps": np.ones((S, B, L)), "rng": rng}
    for name, change, message in (
        ("score-function", {"f": lambda z: z}, r"f\(z\) must have shape \(5, 3\), got .*\(5, 3, 2\)"),
        ("score-function", {"f": lambda z: z[..., :1]}, r"f\(z\) must have shape \(5, 3\)"),
        ("score-function", {"f": spoiled(np.nan, 3, 1)}, "f.z. must be finite, got nan at sample 3, datum 1"),
        ("score-function", {"f": lambda z: 1.0}, "must be a NumPy array"),
        ("leave-one-out", {"f": spoiled(np.inf, 4, 0)}, "f.z. must be finite, got inf at sample 4, datum 0"),
        ("leave-one-out", {"eps": np.ones((1, B, L))}, "needs at least 2 samples, got S = 1: no other"),
        ("leave-one-out", {"eps": np.ones((B, L))}, "needs at least 2 samples, got S = 1"),
        ("measure-valued", {"f": spoiled(np.nan, 2, 2)}, "at sample 2, datum 2"),
        ("measure-valued", {"rng": None}, r"rng must be a numpy.random.Generator, got None"),
        ("score-function-mean-baseline", {"rng": None}, r"rng must be a numpy.random.Generator, got None"),
        ("pathwise", {"df": lambda z: z.sum(axis=-1)}, r"df\(z\) must have shape \(5, 3, 2\)"),
        ("pathwise", {"df": lambda z: z[:, :1]}, r"df\(z\) must have shape \(5, 3, 2\)"),
        ("pathwise", {"df": lambda z: z * np.nan}, "got nan at sample 0, datum 0, latent 0"),
        ("pathwise", {"logvar": np.ones((B, 1))}, r"logvar must have shape \(3, 2\)"),
        ("pathwise", {"eps": np.ones((S, 1, L))}, r"eps must have shape \(3, 2\) or \(S, 3, 2\)"),
        ("sticking-the-landing", {"df": lambda z: z[0]}, r"\(z\) must have shape \(5, 3, 2\)"),
    ):
        refused(message, es.ESTIMATORS[name], **good | change)


def test_what_else_is_refused(rng):
    f, _, *q, eps = costs(rng)
    (vae, x, noise), wide = model(rng), np.ones((B, 3))
    own = partial(vae.loss_and_grads, x, noise, 1.0)
    score = partial(es.score_function, f, *q, eps)
    refused(r"baseline must have shape \(3,\), got .*\(3, 2\)", score, np.ones((B, L)))
    refused("one per head, 2 here, got 1", score, (np.ones((B, L)),))
    refused(r"baseline must have shape \(3, 2\)", score, (np.ones(B), np.ones(B)))
    refused("baseline must be finite, got nan at datum 1", score, np.array([1.0, np.nan, 1.0]))
    refused("baseline must be a finite number", score, math.inf)
    refused("baseline must be a number", score, "mean")
    refused("at most 2 latents, got L = 3: .* pathwise_antithetic", es.exact_gradient, f, wide, wide)
    refused("nodes must be an integer of at least 2", es.exact_gradient, f, *q, nodes=1)
    refused("nodes must be at most 256", es.exact_gradient, f, *q, nodes=257)
    refused("samples must be an integer of at least 1", es.measure_valued, f, *q, rng, samples=0)
    refused("decay must be .* below 1", es.moving_average_baseline, decay=1)
    refused("needs the heads mu and logvar, got logits", es.named, "measure-valued", family=Bits(ops))
    refused("estimator must be one of pathwise, ", own, "reinforce")
    refused("needs at least 2 samples", vae.loss_and_grads, x, noise[0], 1.0, "leave-one-out")
    refused('bound "iwae" has a pathwise gradient only', own, "score-function", bound="iwae")
    refused("dmu must have shape", own, lambda f, df, *q: [q[2][0]] * 2)
    refused("dlogvar must have shape", own, lambda f, df, *q: [q[2], q[2][..., :1]])
    refused("dlogvar must be finite, got nan at sample 0", own, lambda f, df, *q: [q[2], q[2] * np.nan])
    refused("must return dmu and dlogvar, got 3", own, lambda f, df, *q: [q[2]] * 3)
