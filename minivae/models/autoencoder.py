"""The autoencoder: encode x to one point, decode it, and compare; no noise, no prior, no likelihood of x.

    x -> encoder -> code -> decoder -> outputs -> nll(target);   loss = nll + weight * penalty(code)

A denoising autoencoder has a `target` other than its input; a sparse one has a penalty on its code. Without
hidden layers and with identity activations the model is linear, and its least squared error is that of PCA.
"""

import math
from typing import NamedTuple

import numpy as np

from .. import arguments, network
from ..distributions import LIKELIHOODS
from ..distributions.priors import absolute, sign
from ..ops import ACTIVATIONS
from .bounds import Terms, mean
from .model import Model, check_shapes, family
from .vae import unchanged

PENALTIES = ("none", "l1", "kl")
ACTIVITY = 1e-6  # a mean activity is kept this far from 0 and 1, where its KL is infinite


class Kept(NamedTuple):
    """What a forward pass computed and a backward pass needs."""

    code: np.ndarray  # (B, L)
    outputs: np.ndarray  # (B, D)
    target: np.ndarray  # (B, D)
    nll: np.ndarray  # (B,)
    caches: dict  # layer name -> cache of its dense_forward


class Autoencoder(Model):
    """Autoencoder with any number of hidden layers. It has the arguments of `VAE` and these:

    code_activation   activation of the code layer; the penalty "kl" needs "sigmoid"
    penalty           "none"; "l1": sum_l |code_l|; "kl": sum_l KL(Bernoulli(activity) || Bernoulli(m_l)) with
                      m_l the mean of code_l over the batch (Ng 2011, "Sparse autoencoder")
    weight            weight of the penalty in the loss
    activity          target mean of every code_l for the penalty "kl"
    """

    families = ("likelihood",)

    def __init__(
        self,
        data_dim=784,
        latent_dim=20,
        hidden=(400,),
        activation="relu",
        likelihood="bernoulli",
        backend="numba",
        dtype=np.float32,
        seed=0,
        code_activation="identity",
        penalty="none",
        weight=1.0,
        activity=0.05,
    ):
        self.data_dim = D = arguments.integer("data_dim", data_dim)
        self.latent_dim = L = arguments.integer("latent_dim", latent_dim)
        self.hidden = hidden = network.widths("hidden", hidden)
        self.activation = arguments.one_of("activation", activation, ACTIVATIONS)
        code = arguments.one_of("code_activation", code_activation, ACTIVATIONS)
        self.penalty = arguments.one_of("penalty", penalty, PENALTIES)
        self.weight = arguments.number("weight", weight, at_least=0)
        self.activity = arguments.number("activity", activity, above=0, below=1)
        if penalty == "kl" and code != "sigmoid":
            raise ValueError(f"penalty kl needs codes in (0, 1): choose code_activation sigmoid, not {code}")
        self.use(backend, dtype)
        self.likelihood = family("likelihood", likelihood, LIKELIHOODS)(self.ops)

        down, up = (D, *hidden), (L, *hidden[::-1])
        self.encoder = network.stack([f"encoder{i + 1}" for i in range(len(hidden))], down, activation)
        self.encoder += (network.Layer("code", down[-1], L, code),)
        self.decoder = network.stack([f"decoder{i + 1}" for i in range(len(hidden))], up, activation)
        self.decoder += (network.Layer("output", up[-1], D),)
        rng = arguments.seeded("seed", seed)
        self.params = network.initialize((*self.encoder, *self.decoder), rng, self.dtype)
        self.params |= self.likelihood.parameters(D, self.dtype)

    # -------------------------------------------------------------------------- forward and backward

    def forward(self, x, target=None, at=unchanged):
        """x (B, D), target like x (default: x) -> Terms, whose kl is the penalty; Kept, for `backward`."""
        x = self.data("x", x)
        target = x if target is None else self.data("target", target, len(x))
        with np.errstate(over="ignore", invalid="ignore"):  # `Terms` reports a loss that is not finite
            caches = {}
            code = network.forward(self.ops, self.params, self.encoder, x, caches, at)  # (B, L)
            outputs = network.forward(self.ops, self.params, self.decoder, code, caches, at)  # (B, D)
            nll = at("nll", self.likelihood.nll(outputs, target, self.params))  # (B,)
            check_shapes(nll=(nll, (len(x),)))
            penalty = np.asarray(self._penalty(code))
            terms = Terms.checked(mean(nll) + self.weight * mean(penalty), mean(nll), mean(penalty))
        return terms, Kept(code, outputs, target, nll, caches)

    def backward(self, kept):
        """Every derivative of the loss by name: nodes ("code", "decoder1") and parameters ("code.W")."""
        dnll = np.full(len(kept.code), 1 / len(kept.code), self.dtype)
        with np.errstate(over="ignore", invalid="ignore"):
            d = {"nll": dnll}
            doutputs, dparams = self.likelihood.nll_backward(dnll, kept.outputs, kept.target, self.params)
            dcode = network.backward(self.ops, self.decoder, doutputs, kept.caches, d)  # (B, L)
            dcode = dcode + self.weight * self._penalty_backward(kept.code)
            network.backward(self.ops, self.encoder, dcode, kept.caches, d, input_gradient=False)
        return d | dparams

    # with h the code, m_l the mean of code_l over the batch, and t the activity:
    #   l1  1/B sum_bl |h_bl|                                       sign(h) / B
    #   kl  sum_l t log(t / m_l) + (1 - t) log((1 - t) / (1 - m_l))   (-t / m_l + (1 - t) / (1 - m_l)) / B
    def _penalty(self, code):
        if self.penalty == "none":
            return code.dtype.type(0)
        if self.penalty == "l1":
            return absolute(code).sum(axis=1).mean()
        t, m = self.activity, np.clip(code.mean(axis=0), ACTIVITY, 1 - ACTIVITY)
        return (t * (math.log(t) - np.log(m)) + (1 - t) * (math.log1p(-t) - np.log1p(-m))).sum()

    def _penalty_backward(self, code):
        if self.penalty == "none":
            return np.zeros_like(code)
        if self.penalty == "l1":
            return sign(code) / len(code)
        t, m = self.activity, np.clip(code.mean(axis=0), ACTIVITY, 1 - ACTIVITY)
        slope = ((1 - t) / (1 - m) - t / m) / len(code)  # (L,)
        return np.broadcast_to(slope.astype(self.dtype), code.shape)

    def loss(self, x, target=None):
        """The forward pass alone -> Terms."""
        return self.forward(x, target)[0]

    def loss_and_grads(self, x, target=None):
        """x (B, D), target like x (default: x) -> Terms (nats per example), grads like params.

        Raises ValueError for a wrong shape, an entry that is not finite or outside the likelihood's support,
        or a loss that is not finite.
        """
        terms, kept = self.forward(x, target)
        d = self.backward(kept)
        return terms, {name: d[name] for name in self.params}

    # -------------------------------------------------------------------------- use of a trained model

    def encode(self, x):
        """x (B, D) -> code (B, L)."""
        return network.forward(self.ops, self.params, self.encoder, self.data("x", x), {}, unchanged)

    code = encode  # one point for each x, as in `VAE.code`

    def decode(self, z):
        """z (N, L) -> the likelihood's parameter (N, D): logits for Bernoulli, means for Gaussian."""
        z = self.matrix("z", z, self.latent_dim)
        return network.forward(self.ops, self.params, self.decoder, z, {}, unchanged)

    def mean(self, z):
        """E[x|z]: z (N, L) -> pixel means (N, D)."""
        return self.likelihood.mean(self.decode(z))

    def reconstruct(self, x):
        """x (B, D) -> pixel means (B, D)."""
        return self.mean(self.encode(x))
