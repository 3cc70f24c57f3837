"""The VAE: a forward pass, and a backward pass that mirrors it line by line.

    x -> encoder -> mu, logvar -> z = mu + std * eps -> decoder -> logits -> nll;   loss = nll + beta kl

Read `forward` and `backward` side by side: they are the whole model, for every latent family, likelihood,
condition and bound. The model holds parameters and settings only. The forward pass returns its intermediate
results in a `Trace`, which the caller hands to `backward`; the noise is always an argument.
"""

from typing import NamedTuple

import numpy as np

from .. import arguments, network
from ..distributions import LIKELIHOODS, POSTERIORS, has_closed_form, kl_backward, kl_forward, prior_of
from ..ops import ACTIVATIONS
from .bounds import BOUNDS, bound_backward, bound_forward
from .estimated import estimated
from .model import Model, check_heads, check_methods, check_shapes, family

KLS = ("closed", "sampled")
KL_OF = {"elbo": "", "iwae": "sampled"}  # the kind of KL that a bound needs; "" for either


class Trace(NamedTuple):
    """The results of a forward pass that the backward pass needs. Axis S exists only if eps has it."""

    x: np.ndarray  # (B, D)
    eps: np.ndarray  # (B, L) or (S, B, L)
    condition: np.ndarray | None  # (B, C)
    target: np.ndarray  # (B, D): x, unless the model denoises
    heads: tuple  # mu, logvar: (B, L) each
    z: np.ndarray  # like eps
    outputs: np.ndarray  # logits or means: (B, D) or (S, B, D)
    nll: np.ndarray  # (B,) or (S, B)
    kl: np.ndarray  # (B,), or like nll if it is sampled
    caches: dict  # layer name -> cache of its dense_forward
    beta: float
    bound: str
    reconstruction: float
    sampled: bool  # whether kl is log q(z|x) - log p(z)


def unchanged(name, value):
    """The default of the hook `at`: return every value unchanged."""
    return value


class VAE(Model):
    """Variational autoencoder (Kingma and Welling 2014) with any number of hidden layers.

    data_dim, latent_dim   D and L
    hidden                 widths of the encoder's hidden layers; the decoder has them in reverse
    activation             of the hidden layers: identity, relu, tanh, softplus or sigmoid
    likelihood             "bernoulli", "gaussian" (unit variance), "gaussian-shared" or "gaussian-pixel"
                           (one learned log-variance for all pixels, or one per pixel), "gaussian-optimal"
                           (the maximum-likelihood variance of each batch), "laplace" (absolute error); or a
                           class of your own with the methods that `distributions` lists
    backend                "numba", "numpy", or any namespace with the functions of `ops`
    dtype                  float32 to train, float64 to check gradients; complex128 for complex steps, with
                           the backend "numpy" only
    seed                   int or Generator for the weights (Glorot uniform); biases start at zero
    posterior              "gaussian", "laplace", "bernoulli" (binary latents), "categorical" (latent_dim
                           variables with 10 categories each, one-hot); or a class of your own
    prior                  "standard" (normal), "laplace", "mixture" (10 Gaussians, learned), "bernoulli" or
                           "categorical"; None is the default prior of the posterior
    condition_dim          C, the width of the condition that the encoder receives with x and the decoder
                           with z; 0 for none
    kl                     "closed" or "sampled"; None is the closed form if there is one, otherwise sampled
    """

    families = ("posterior", "likelihood")

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
        posterior="gaussian",
        prior=None,
        condition_dim=0,
        kl=None,
    ):
        self.data_dim = D = arguments.integer("data_dim", data_dim)
        self.condition_dim = C = arguments.integer("condition_dim", condition_dim, at_least=0)
        self.hidden = hidden = network.widths("hidden", hidden)
        self.activation = arguments.one_of("activation", activation, ACTIVATIONS)
        self.use(backend, dtype)
        self.posterior = family("posterior", posterior, POSTERIORS)(self.ops)
        check_methods("posterior", self.posterior, "heads", "sample")
        self.posterior.prior = prior_of(self.posterior, prior)
        width = getattr(self.posterior, "width", 1)
        self.latent_dim = L = width * arguments.integer("latent_dim", latent_dim)
        self.kl = arguments.one_of("kl", kl or ("sampled", "closed")[has_closed_form(self.posterior)], KLS)
        if self.kl == "closed" and not has_closed_form(self.posterior):
            raise ValueError("the KL of this posterior and this prior has no closed form: choose kl sampled")
        self.likelihood = family("likelihood", likelihood, LIKELIHOODS)(self.ops)
        check_methods("likelihood", self.likelihood, "nll", "nll_backward", "support")

        down, up = (D + C, *hidden), (L + C, *hidden[::-1])
        self.encoder = network.stack([f"encoder{i + 1}" for i in range(len(hidden))], down, activation)
        self.heads = tuple(network.Layer(name, down[-1], L) for name in self.posterior.heads)
        self.decoder = network.stack([f"decoder{i + 1}" for i in range(len(hidden))], up, activation)
        self.decoder += (network.Layer("output", up[-1], D),)
        rng = arguments.seeded("seed", seed)
        self.params = network.initialize((*self.encoder, *self.heads, *self.decoder), rng, self.dtype)
        self.params |= self.likelihood.parameters(D, self.dtype)
        if hasattr(self.prior, "parameters"):
            self.params |= self.prior.parameters(L, rng, self.dtype)

    # -------------------------------------------------------------------------- forward and backward

    def forward(
        self, x, eps, beta=1.0, condition=None, target=None, bound="elbo", at=unchanged, reconstruction=1.0
    ):
        """x (B, D), eps (B, L) or (S, B, L), condition (B, C), target like x (default: x) -> Terms, Trace.

        bound "elbo": loss = mean over b of (mean over s of nll_sb + beta kl_b), the negative ELBO.
        bound "iwae": loss = -mean over b of log mean over s of exp(-nll_sb - beta kl_sb), with the sampled
        kl_sb = log q(z_sb|x) - log p(z_sb). (Burda et al. 2015, equation 8)
        `reconstruction` is the weight of the nll: 0 leaves only the kl, and beta = 0 only the nll.
        `at(name, value)` is called at every node and returns the value to continue with: a gradient check
        perturbs it there.
        """
        x, eps = self.data("x", x), self.samples("eps", eps, len(x), self.latent_dim)
        c = self._condition(condition, len(x))
        target = x if target is None else self.data("target", target, len(x))
        beta = arguments.number("beta", beta, at_least=0)
        reconstruction = arguments.number("reconstruction", reconstruction, at_least=0)
        sampled = "sampled" in (self.kl, KL_OF[arguments.one_of("bound", bound, BOUNDS)])
        with np.errstate(over="ignore", invalid="ignore"):  # the bound reports a loss that is not finite
            caches = {}
            heads = self._encode(x, c, caches, at)  # mu, logvar: (B, L) each
            z = at("z", self.posterior.sample(*heads, eps))  # like eps
            outputs = self._decode(z, c, caches, at)  # (..., B, D)
            kl = at("kl", kl_forward(self.posterior, z, heads, self.params, sampled))  # (B,), or like nll
            nll = at("nll", self.likelihood.nll(outputs, target, self.params))  # (B,) or (S, B)
            check_shapes(nll=(nll, eps.shape[:-1]), kl=(kl, nll.shape if sampled else (len(x),)))
            terms = bound_forward(nll, kl, beta, bound, reconstruction)
        given = x, eps, c, target
        return terms, Trace(*given, heads, z, outputs, nll, kl, caches, beta, bound, reconstruction, sampled)

    def backward(self, trace, weights=None, estimator=None):
        """Every derivative of the loss by name: nodes ("z", "mu", "decoder1") and parameters ("mu.W").

        weights    (dnll, dkl) like nll and kl, instead of the bound's; zeros isolate one term of the loss
        estimator  gradient estimator for the sampling step; None is pathwise, or leave-one-out if z is not
                   differentiable with respect to the heads
        """
        q, heads, z, nll, kl, beta = self.posterior, trace.heads, trace.z, trace.nll, trace.kl, trace.beta
        with np.errstate(over="ignore", invalid="ignore"):
            dnll, dkl = weights or bound_backward(nll, kl, beta, trace.bound, trace.reconstruction)
            d = {"nll": dnll, "kl": dkl}
            doutputs, dparams = self.likelihood.nll_backward(dnll, trace.outputs, trace.target, self.params)
            own = {f"d({name})": (dparam, self.params[name].shape) for name, dparam in dparams.items()}
            check_shapes(doutputs=(doutputs, trace.outputs.shape), **own)
            # the kl between two long kernels, here and in `forward`: during long pauses their threads sleep
            if hasattr(q, "sample_backward") and estimator in (None, "pathwise"):
                dz_kl, through_kl, dprior = kl_backward(q, dkl, z, heads, self.params, trace.sampled)
                d["z"] = self._decode_backward(doutputs, z.shape, trace.caches, d) + dz_kl
                through_z = q.sample_backward(d["z"], *heads, trace.eps)
            else:
                d["z"] = self._decode_backward(doutputs, z.shape, trace.caches, d)
                through_z, through_kl, dprior = estimated(self, estimator, dnll, dkl, trace)
            check_heads(q.heads, heads, {"of the kl": through_kl, "through z": through_z})
            self._encode_backward(through_kl, through_z, trace.caches, d)
        return d | dparams | dprior

    def _encode(self, x, c, caches, at=unchanged):
        h = network.forward(self.ops, self.params, self.encoder, _join(x, c), caches, at)  # (B, H)
        return [network.forward(self.ops, self.params, (head,), h, caches, at) for head in self.heads]

    def _encode_backward(self, through_kl, through_z, caches, d):
        dh = None  # (B, H): each head adds its part; without hidden layers h is x and needs no derivative
        for head, dkl, dz in zip(self.heads, through_kl, through_z, strict=True):
            part = network.backward(self.ops, (head,), dkl + dz, caches, d, input_gradient=bool(self.encoder))
            dh = part if dh is None else dh + part
        network.backward(self.ops, self.encoder, dh, caches, d, input_gradient=False)

    def _decode(self, z, c, caches, at=unchanged):
        rows = _join(z, c).reshape(-1, self.latent_dim + self.condition_dim)  # samples are more rows
        outputs = network.forward(self.ops, self.params, self.decoder, rows, caches, at)  # (S * B, D)
        return outputs.reshape(*z.shape[:-1], self.data_dim)

    def _decode_backward(self, doutputs, z_shape, caches, d):
        rows = doutputs.reshape(-1, self.data_dim)  # (S * B, D)
        drows = network.backward(self.ops, self.decoder, rows, caches, d)  # (S * B, L + C)
        return drows[:, : self.latent_dim].reshape(z_shape)  # the condition is data

    def loss(self, x, eps, beta=1.0, **settings):
        """The forward pass only; `settings` are those of `forward` -> Terms."""
        return self.forward(x, eps, beta, **settings)[0]

    def loss_and_grads(self, x, eps, beta=1.0, estimator=None, **settings):
        """x (B, D), eps (B, L) or (S, B, L) -> Terms (floats, nats per example), grads like params.

        estimator: gradient estimator for the sampling step, as in `backward`: a name, `named(name, rng)` or
        any estimate(f, df, *heads, eps) as in `estimators`. settings: condition, target, bound and
        reconstruction, as in `forward`. Raises ValueError for a wrong shape, an entry that is not finite or
        outside the likelihood's support, or a loss that is not finite; TypeError for anything that is not an
        array of real numbers.
        """
        terms, trace = self.forward(x, eps, beta, **settings)
        d = self.backward(trace, estimator=estimator)
        return terms, {name: d[name] for name in self.params}

    # ------------------------------------------------------------------ the cost function for estimators

    def cost(self, x, condition=None, target=None):
        """The nll of x (B, D) as functions of z (S, B, L) for `estimators`: f -> (S, B), df -> (S, B, L)."""
        x, c = self.data("x", x), self._condition(condition, len(x))
        target = x if target is None else self.data("target", target, len(x))

        def f(z):
            outputs = self._decode(z.astype(self.dtype, copy=False), c, {})
            return self.likelihood.nll(outputs, target, self.params)

        def df(z):
            z, caches = z.astype(self.dtype, copy=False), {}
            outputs = self._decode(z, c, caches)
            dnll = np.ones(z.shape[:-1], self.dtype)
            doutputs, _ = self.likelihood.nll_backward(dnll, outputs, target, self.params)
            return self._decode_backward(doutputs, z.shape, caches, {})

        return f, df

    # -------------------------------------------------------------------------- use of a trained model

    def encode(self, x, condition=None):
        """x (B, D) -> the heads of q(z|x), each (B, L): mu and logvar for the Gaussian."""
        x = self.data("x", x)
        return tuple(self._encode(x, self._condition(condition, len(x)), {}))

    def decode(self, z, condition=None):
        """z (N, L) -> the likelihood's parameter (N, D): logits for Bernoulli, means for Gaussian."""
        z = self.matrix("z", z, self.latent_dim)
        return self._decode(z, self._condition(condition, len(z)), {})

    def mean(self, z, condition=None):
        """E[x|z]: z (N, L) -> pixel means (N, D)."""
        return self.likelihood.mean(self.decode(z, condition))

    def sample(self, n, rng, condition=None):
        """Draw z from the prior and decode it -> pixel means (n, D)."""
        n, rng = arguments.integer("n", n), arguments.generator("rng", rng)
        return self.mean(self.prior.sample(rng, n, self.latent_dim, self.params), condition)

    def reconstruct(self, x, condition=None):
        """E[x|z] at z = E[z|x], which is mu(x) for the Gaussian: x (B, D) -> pixel means (B, D)."""
        return self.mean(self.code(x, condition), condition)

    def code(self, x, condition=None):
        """E[z|x]: x (B, D) -> (B, L), one point for each x."""
        return self.posterior.mean(*self.encode(x, condition))

    @property
    def prior(self):
        """p(z): the posterior object holds it, because its KL needs it."""
        return self.posterior.prior

    def _condition(self, condition, rows):
        C = self.condition_dim
        if (condition is None) != (C == 0):
            wanted = f"have shape ({rows}, {C})" if C else "be None"
            given = arguments.describe(condition)
            raise ValueError(f"condition must {wanted} for a model of condition_dim {C}, got {given}")
        return None if condition is None else self.matrix("condition", condition, C, rows)


def _join(x, c):
    """x (..., B, n) with the condition c (B, C) appended to every row -> (..., B, n + C)."""
    return x if c is None else np.concatenate([x, np.broadcast_to(c, (*x.shape[:-1], c.shape[-1]))], axis=-1)
