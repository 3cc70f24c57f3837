"""The VAE: parameters in one dictionary, one forward walk, one backward walk that mirrors it.

    x -> encoder -> mu, logvar -> z = mu + std * eps -> decoder -> logits -> nll;   loss = nll + beta kl

The walk is written once, in `forward` and `backward`. The model holds parameters and settings only; what
the forward pass computed travels in a `Trace` that its caller holds, and the noise is always passed in.
"""

from typing import NamedTuple

import numpy as np

from . import arguments, backends, estimators, layers
from .distributions import LIKELIHOODS, POSTERIORS, GaussianPosterior, StandardNormal
from .ops import ACTIVATIONS

DTYPES = ("float32", "float64", "complex128")


class Terms(NamedTuple):
    """The loss and its two terms, nats per example: loss = nll + beta * kl."""

    loss: float
    nll: float
    kl: float


class Trace(NamedTuple):
    """What a forward pass computed and a backward pass needs. S stands only where eps had it."""

    x: np.ndarray  # (B, D)
    eps: np.ndarray  # (B, L) or (S, B, L)
    heads: tuple  # mu, logvar: (B, L) each
    outputs: np.ndarray  # logits or means: (B, D) or (S, B, D)
    nll: np.ndarray  # (B,) or (S, B)
    kl: np.ndarray  # (B,)
    caches: dict  # layer name -> cache of its dense_forward


class VAE:
    """Variational autoencoder (Kingma and Welling 2014) with any number of hidden layers.

    data_dim, latent_dim   D and L
    hidden                 widths of the encoder's hidden layers; the decoder has them in reverse
    activation             of the hidden layers: identity, relu, tanh, softplus or sigmoid
    likelihood             "bernoulli", "gaussian" (unit variance), "gaussian-shared" or "gaussian-pixel"
                           (one learned log-variance for all pixels, or for each); or a class of your own
                           with the methods that `distributions` lists
    backend                "numba", "numpy", or any namespace with the functions of `ops`
    dtype                  float32 to train, float64 to check; complex128 for complex steps ("numpy" only)
    seed                   int or Generator, for the weights: Glorot uniform; biases start at zero
    posterior              "gaussian", or a class of your own
    """

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
    ):
        self.data_dim = arguments.integer("data_dim", data_dim)
        self.latent_dim = arguments.integer("latent_dim", latent_dim)
        self.hidden = layers.widths("hidden", hidden)
        self.activation = arguments.one_of("activation", activation, ACTIVATIONS)
        self.dtype = _dtype(dtype)
        if self.dtype.kind == "c" and backend == "numba":
            raise ValueError('dtype complex128 needs backend="numpy": the kernels compute in real numbers')
        self.ops = backends.namespace(backend)
        self.posterior = _family("posterior", posterior, POSTERIORS)(self.ops)
        self.likelihood = _family("likelihood", likelihood, LIKELIHOODS)(self.ops)
        self.prior = StandardNormal(self.ops)
        self.network = self._layers()
        self._swift = backend == "numba" and type(self.posterior) is GaussianPosterior
        self._planned = None
        self.params = self._initial_parameters(seed)

    def _layers(self):
        down = (self.data_dim, *self.hidden)
        up = (self.latent_dim, *self.hidden[::-1], self.data_dim)
        encoder = tuple(f"encoder{i + 1}" for i in range(len(self.hidden)))
        decoder = (*(f"decoder{i + 1}" for i in range(len(self.hidden))), "output")
        heads = dict.fromkeys(self.posterior.heads, (down[-1], self.latent_dim))
        sizes = layers.shapes(encoder, down) | heads | layers.shapes(decoder, up)
        return layers.Network(encoder, self.posterior.heads, decoder, sizes, self.activation)

    def _initial_parameters(self, seed):
        params = layers.glorot_uniform(self.network.sizes, arguments.seeded("seed", seed), self.dtype)
        return params | self.likelihood.parameters(self.data_dim, self.dtype)

    def start_output_at(self, pixel_mean):
        """Set the output bias so that an untrained decoder says `pixel_mean` (D,), about.

        It saves the first steps, which would learn just that (Burda et al. 2015, appendix).
        """
        pixel_mean = arguments.cast("pixel_mean", pixel_mean, np.float64, *self.likelihood.support)
        arguments.shape("pixel_mean", pixel_mean, (self.data_dim,))
        self.params["output.b"][...] = self.likelihood.bias_for_mean(pixel_mean)

    # -------------------------------------------------------------------------- the two walks

    def forward(self, x, eps, beta=1.0):
        """x (B, D), eps (B, L) or (S, B, L) -> Terms, Trace.

        loss = mean over b of ( mean over s of nll_sb + beta * kl_b ), the negative ELBO at beta = 1.
        """
        beta = arguments.number("beta", beta, at_least=0)
        x, eps = self._data(x), self._noise(eps, len(x))
        with np.errstate(over="ignore", invalid="ignore"):  # told below, by name
            heads, outputs, kl, caches = self._walk(x, eps)
            nll = self.likelihood.nll(outputs, x, self.params)  # (B,) or (S, B)
            nll_mean, kl_mean = _mean(nll), _mean(kl)
        terms = Terms(nll_mean + beta * kl_mean, nll_mean, kl_mean)
        if not np.isfinite(terms).all():
            name = next(name for name in ("nll", "kl", "loss") if not np.isfinite(getattr(terms, name)))
            raise ValueError(f"the loss is not finite: {name} is {getattr(terms, name)}")
        return terms, Trace(x, eps, heads, outputs, nll, kl, caches)

    def backward(self, trace, beta=1.0, estimator=None):
        """The derivatives of the loss by every parameter, in the order of `params`."""
        dnll = np.full(trace.nll.shape, 1 / trace.nll.size, self.dtype)
        dkl = np.full(trace.kl.shape, beta / trace.kl.size, self.dtype)
        doutputs, dlikelihood = self.likelihood.nll_backward(dnll, trace.outputs, trace.x, self.params)
        crossing = None if estimator in (None, "pathwise") else estimators.named(estimator, beta=beta)
        grads = self._walk_backward(doutputs, dkl, trace, crossing) | dlikelihood
        return {name: grads[name] for name in self.params}

    def _walk(self, x, eps):
        """x (B, D), eps (B, L) or (S, B, L) -> mu and logvar (B, L), outputs (..., B, D), kl (B,), caches."""
        if plan := self._plan():
            return self.ops.walk_forward(plan, x, eps)  # the same lines, called from compiled code
        caches = {}
        heads = self._encode(x, caches)  # mu, logvar: (B, L) each
        z = self.posterior.sample(*heads, eps)  # like eps
        return heads, self._outputs(z, caches), self.posterior.kl(*heads), caches

    def _walk_backward(self, doutputs, dkl, trace, crossing=None):
        """The same way back: doutputs like outputs, dkl (B,) -> the derivatives by every weight and bias."""
        x, eps, heads, *_, caches = trace
        if not isinstance(caches, dict):
            if crossing is None:
                return self.ops.walk_backward(caches, doutputs, dkl, x, eps)
            caches = caches.by_layer(self.network, x)
        grads = {}
        dz = self._outputs_backward(doutputs, caches, grads)  # like eps
        # each head is reached on two ways: through z into the nll, and straight into the kl
        if crossing is None:
            through_z = self.posterior.sample_backward(dz, *heads, eps)
        else:
            through_z = self._estimate(crossing, x, heads, eps)
        through_kl = self.posterior.kl_backward(dkl, *heads)
        dheads = [from_z + from_kl for from_z, from_kl in zip(through_z, through_kl, strict=True)]
        dh = None  # (B, H): every head adds its part
        for head, dhead in zip(self.posterior.heads, dheads, strict=True):
            part = layers.backward(self.ops, (head,), dhead, caches, grads)
            dh = part if dh is None else np.add(dh, part, out=dh)
        layers.backward(self.ops, self.network.encoder, dh, caches, grads, input_gradient=False)
        return grads

    def _plan(self):
        """What the kernels need to take a whole walk in one launch; None where they cannot."""
        if not self._swift or self.ops.forked():
            return None
        if self._planned is None or not self._planned.fits(self.params):
            self._planned = self.ops.Plan(self.network, self.params)
        return self._planned if self._planned.serves else None

    def loss(self, x, eps, beta=1.0):
        """The forward pass alone -> Terms."""
        return self.forward(x, eps, beta)[0]

    def loss_and_grads(self, x, eps, beta=1.0, estimator=None):
        """x (B, D), eps (B, L) or (S, B, L) -> Terms (floats, nats per example), grads like params.

        estimator: how the gradient crosses the sampling of z. None is "pathwise"; a name, `named(name, rng)`
        or any estimate(f, df, mu, logvar, eps) as in `estimators`. All else is the same for all.
        Raises ValueError for a wrong shape, an entry that is not finite or that the likelihood does not
        support, or a loss that is not finite; TypeError for anything that is not an array of real numbers.
        """
        terms, trace = self.forward(x, eps, beta)
        with np.errstate(over="ignore", invalid="ignore"):
            return terms, self.backward(trace, beta, estimator)

    def cost(self, x):
        """The nll of x (B, D) as `estimators` see it: f(z) -> (S, B), df(z) -> (S, B, L), z (S, B, L)."""
        x = self._data(x)

        def f(z):
            outputs = self._outputs(z.astype(self.dtype, copy=False), {})
            return self.likelihood.nll(outputs, x, self.params)

        def df(z):
            caches = {}
            outputs = self._outputs(z.astype(self.dtype, copy=False), caches)
            dnll = np.ones(z.shape[:-1], self.dtype)
            doutputs, _ = self.likelihood.nll_backward(dnll, outputs, x, self.params)
            return self._outputs_backward(doutputs, caches, {})

        return f, df

    def _estimate(self, crossing, x, heads, eps):
        """Gradient of mean(nll) by mu and logvar, (B, L) each."""
        if not isinstance(self.posterior, GaussianPosterior):
            raise ValueError(
                f"an estimator needs the gaussian posterior, got {type(self.posterior).__name__}"
            )
        samples = eps.reshape(-1, *heads[0].shape)  # (S, B, L)
        grads = crossing(*self.cost(x), *heads, samples)
        if len(grads) != 2:
            raise ValueError(f"an estimator must return dmu and dlogvar, got {len(grads)} values")
        for name, grad in zip(("dmu", "dlogvar"), grads, strict=True):
            arguments.finite(f"the estimator's {name}", grad, samples.shape, ("sample", "datum", "latent"))
        return [grad.mean(axis=0).astype(self.dtype, copy=False) / len(x) for grad in grads]

    # -------------------------------------------------------------------------- what a trained model does

    def encode(self, x):
        """x (B, D) -> mu, logvar (B, L) of q(z|x)."""
        return self._encode(self._data(x), {})

    def decode(self, z):
        """z (N, L) -> what the likelihood takes, (N, D): logits for Bernoulli, means for Gaussian."""
        return self._decode(self._matrix("z", z, self.latent_dim), {})

    def mean(self, z):
        """E[x|z]: z (N, L) -> pixel means (N, D)."""
        return self.likelihood.mean(self.decode(z))

    def sample(self, n, rng):
        """Draw z from the prior and decode it -> pixel means (n, D)."""
        n = arguments.integer("n", n)
        return self.mean(self.prior.sample(arguments.generator("rng", rng), n, self.latent_dim))

    def reconstruct(self, x):
        """E[x|z] at z = mu(x): x (B, D) -> pixel means (B, D)."""
        return self.mean(self.encode(x)[0])

    def _encode(self, x, caches):
        h = layers.forward(self.ops, self.params, self.network.encoder, x, self.activation, caches)  # (B, H)
        heads = self.posterior.heads
        return tuple(layers.forward(self.ops, self.params, (n,), h, "identity", caches) for n in heads)

    def _decode(self, z, caches):
        *hidden, output = self.network.decoder
        h = layers.forward(self.ops, self.params, hidden, z, self.activation, caches)  # (N, H)
        return layers.forward(self.ops, self.params, (output,), h, "identity", caches)  # (N, D)

    def _outputs(self, z, caches):
        """z (..., B, L) -> outputs (..., B, D): samples are more rows to the decoder."""
        rows = z.reshape(-1, self.latent_dim)  # (S * B, L)
        return self._decode(rows, caches).reshape(*z.shape[:-1], self.data_dim)

    def _outputs_backward(self, doutputs, caches, grads):
        """doutputs (..., B, D) -> dz (..., B, L); the decoder's derivatives are left in `grads`."""
        rows = doutputs.reshape(-1, self.data_dim)  # (S * B, D)
        drows = layers.backward(self.ops, self.network.decoder, rows, caches, grads)
        return drows.reshape(*doutputs.shape[:-1], self.latent_dim)

    def _matrix(self, name, array, columns, support=()):
        array = arguments.numeric(name, array)
        arguments.columns(name, array, columns, f"(B, {columns})")
        return arguments.cast(name, array, self.dtype, *support)

    def _data(self, x):
        return self._matrix("x", x, self.data_dim, self.likelihood.support)

    def _noise(self, eps, batch):
        eps = arguments.numeric("eps", eps)
        arguments.samples_of("eps", eps, (batch, self.latent_dim))
        return arguments.cast("eps", eps, self.dtype)


def _mean(per_example):
    """The mean as a Python number, summed in double precision."""
    return per_example.astype(np.promote_types(per_example.dtype, np.float64)).mean().item()


def _dtype(dtype):
    for name in DTYPES:
        if dtype is not None and dtype in (name, np.dtype(name), np.dtype(name).type):
            return np.dtype(name)
    raise ValueError(f"dtype must be one of {', '.join(DTYPES)}; got {arguments.describe(dtype)}")


def _family(name, family, known):
    if callable(family):
        return family
    return known[arguments.one_of(name, family, known)]
