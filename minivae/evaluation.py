"""How good a trained model is: the negative ELBO, an estimate of -log p(x), the active latents.

Every estimate draws z from q(z|x). Decoding z = mu instead gives a smaller number that is no bound.
"""

import math
from contextlib import suppress
from typing import NamedTuple

import numpy as np

from . import arguments
from .data import minibatch
from .distributions import kl_forward
from .models.bounds import Terms, importance_weighted

ROWS = 2000  # rows that pass through the decoder at a time


class Estimate(NamedTuple):
    """A mean over images and the standard error of that mean, in nats."""

    mean: float
    error: float


def noise(model, rng, batch, samples):
    """eps (B, L) for one sample of z per datum, (S, B, L) for more."""
    shape = (batch, model.latent_dim)
    return model.posterior.noise(rng, shape if samples == 1 else (samples, *shape), model.dtype)


def draws(model, images, pixels, rng, samples=1):
    """Yield x (B, D) and eps for one chunk of the images (N, D) after the other."""
    arguments.integer("samples", samples)
    for rows in _chunks(images, ROWS // samples):
        x = minibatch(images[rows], pixels, rng, model.dtype)
        yield x, noise(model, rng, len(x), samples)


def average_terms(model, images, pixels, rng, beta=1.0, samples=1):
    """Terms averaged over all images (N, D), each with its own draw of pixels and of z."""
    sums = np.zeros(3)
    for x, eps in draws(model, images, pixels, rng, samples):
        sums += len(x) * np.array(model.loss(x, eps, beta))
    return Terms(*(sums / len(images)).tolist())


def per_image(model, images, pixels, rng):
    """nll and kl of every image (N, D), each with its own draw of pixels and of z -> {name: (N,)}, nats."""
    traces = [model.forward(x, eps)[1] for x, eps in draws(model, images, pixels, rng)]
    return {name: np.concatenate([getattr(t, name) for t in traces]).astype(float) for name in ("nll", "kl")}


def importance_nll(model, images, pixels, rng, samples, progress=iter):
    """-log p(x), averaged over images (N, D) -> Estimate; see `importance_nll_each`."""
    return mean_and_error(importance_nll_each(model, images, pixels, rng, samples, progress))


def importance_nll_each(model, images, pixels, rng, samples, progress=iter):
    """-log p(x) of every image (N, D) by importance sampling -> (N,), nats.

    log p(x) >= E log 1/K sum_k p(x|z_k) p(z_k) / q(z_k|x), z_k ~ q(z|x): the ELBO at K = 1, and log p(x) as K
    grows. `progress` wraps the iteration over chunks. (Burda et al. 2015, equation 8)
    """
    arguments.integer("samples", samples)
    nll = []
    for rows in progress(_chunks(images, ROWS // samples)):
        x = minibatch(images[rows], pixels, rng, model.dtype)
        heads = model.encode(x)
        cost = np.empty((samples, len(x)))  # minus the log-weights
        for block in _chunks(cost, ROWS // len(x)):  # many samples of one x pass in turns
            z = model.posterior.sample(*heads, noise(model, rng, len(x), len(cost[block])))
            outputs = model.decode(z.reshape(-1, model.latent_dim)).reshape(*z.shape[:-1], model.data_dim)
            kl = kl_forward(model.posterior, z, heads, sampled=True)
            cost[block] = model.likelihood.nll(outputs, x, model.params) + kl
        nll.append(importance_weighted(cost))
    return np.concatenate(nll)


def mean_and_error(values):
    """The mean of values (N,) and its standard error, NaN for a single one -> Estimate."""
    error = values.std(ddof=1) / math.sqrt(len(values)) if len(values) > 1 else math.nan
    return Estimate(float(values.mean()), float(error))


def ranges(model, x, eps):
    """The smallest and the largest number of every head and of the output, in words: what overflowed?"""
    seen = {}

    def at(name, value):
        seen[name] = value
        return value

    with suppress(ValueError):  # the loss is not finite
        model.forward(x, eps, at=at)
    names = [name for name in (*model.posterior.heads, "output") if name in seen]
    return ", ".join(f"{name} from {seen[name].min():.4g} to {seen[name].max():.4g}" for name in names)


def latent_means(model, images, pixels, rng):
    """mu (N, L) of every image (N, D): the map of the latent space."""
    chunks = _chunks(images, ROWS)
    return np.concatenate([model.encode(minibatch(images[r], pixels, rng, model.dtype))[0] for r in chunks])


def active_units(model, images, pixels, rng, threshold=0.01):
    """(L,) True where the variance over images of mu exceeds the threshold. (Burda et al. 2015)"""
    return latent_means(model, images, pixels, rng).var(axis=0) > threshold


def _chunks(images, size):
    """Slices that cut the rows of a non-empty matrix into pieces of at most `size`, at least 1."""
    if not isinstance(images, np.ndarray) or images.ndim != 2 or not images.size:
        raise ValueError(f"images must be a non-empty array (N, D), got {arguments.describe(images)}")
    size = max(1, size)
    return [slice(start, start + size) for start in range(0, len(images), size)]
