"""From exact models to the VAE and back: a linear VAE is probabilistic PCA, and a VAE's gap has two parts."""

from typing import NamedTuple

import numpy as np

from . import arguments, evaluation
from .distributions import StandardNormal, kl_forward
from .models import VAE, em
from .models.bounds import importance_weighted
from .optimizers import Adam


class Gap(NamedTuple):
    """log p(x) - ELBO of each x (N,) in its two parts, nats. (Cremer, Li and Duvenaud 2018)"""

    elbo: np.ndarray  # with the encoder's q
    refined: np.ndarray  # with the best q of the same family for each x
    log_prob: np.ndarray  # exact for few latents, otherwise estimated with samples from the best q

    @property
    def amortization(self):
        """What the encoder loses: refined - elbo."""
        return self.refined - self.elbo

    @property
    def approximation(self):
        """What the family of q cannot reach: log p(x) - refined."""
        return self.log_prob - self.refined


def refine(model, x, rng, steps=500, lr=0.05, samples=16, measured=1000):
    """Improve q(z|x) for each x (N, D) by itself, from the encoder's on -> Gap.

    Adam on the heads of every x, with fresh noise in each of `steps` steps and a learning rate that falls to
    0; both ELBOs are then measured with the same `measured` samples. The model does not change.
    """
    rng, names = arguments.generator("rng", rng), model.posterior.heads
    if not hasattr(model.posterior, "sample_backward"):
        raise ValueError("refine needs a path from q to z, and this posterior has none")
    shape = (arguments.integer("samples", samples), len(x), model.latent_dim)
    heads, adam = (
        {n: h.copy() for n, h in zip(names, model.encode(x), strict=True)},
        Adam(lr, backend="numpy"),
    )
    for step in range(arguments.integer("steps", steps)):
        adam.lr = lr * (1 - step / steps)
        eps = model.posterior.noise(rng, shape, model.dtype)
        slopes = em.slopes_of(model, x, heads.values(), eps)
        adam.step(heads, dict(zip(names, slopes, strict=True)))
    eps = model.posterior.noise(rng, (arguments.integer("measured", measured), *shape[1:]), model.dtype)
    elbo, refined = (em.elbo(model, x, q, eps) for q in (model.encode(x), heads.values()))
    if model.latent_dim <= 2 and isinstance(model.prior, StandardNormal):
        return Gap(elbo, refined, -evaluation.exact_nll(model, x))
    z, (f, _) = model.posterior.sample(*heads.values(), eps), model.cost(x)
    cost = f(z) + kl_forward(model.posterior, z, list(heads.values()), model.params, sampled=True)
    return Gap(elbo, refined, -importance_weighted(cost.astype(float)))


def linear_vae(ppca, dtype=np.float64):
    """The VAE that is this probabilistic PCA, encoder and all: its ELBO is log p(x), for every x.

    mu(x) = M^-1 W'(x - mean) with M = W'W + v I; the columns of W are orthogonal, so that M is diagonal and
    the posterior's variances are v / M_ll.
    """
    W, v = ppca.W, ppca.variance
    M = (W * W).sum(axis=0) + v  # (L,)
    model = VAE(len(W), ppca.L, (), likelihood="gaussian-shared", dtype=dtype, backend="numpy")
    values = {"mu.W": W / M, "mu.b": -ppca.mean @ (W / M), "logvar.W": 0, "logvar.b": np.log(v / M)}
    values |= {"output.W": W.T, "output.b": ppca.mean, "output.logvar": np.log(v)}
    for name, value in values.items():
        model.params[name][...] = value
    return model
