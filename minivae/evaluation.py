"""What a trained model is worth: the negative ELBO, an estimate of -log p(x), the latents in use.

Every estimate draws z from q(z|x). Decoding z = mu instead gives a smaller number that is no bound.
"""

import math
from typing import NamedTuple

import numpy as np

from . import arguments
from .data import minibatch
from .models import Terms

ROWS = 2000  # rows that go through the decoder at a time


def noise(model, rng, batch, samples):
    """eps (B, L) for one sample of z per datum, (S, B, L) for more."""
    shape = (batch, model.latent_dim)
    return model.posterior.noise(rng, shape if samples == 1 else (samples, *shape), model.dtype)


def average_terms(model, images, pixels, rng, beta=1.0, samples=1):
    """Terms averaged over all images (N, D), each with its own draw of pixels and of z."""
    arguments.integer("samples", samples)
    _require_images(images)
    sums = np.zeros(3)
    for rows in _chunks(len(images), ROWS // samples):
        x = minibatch(images[rows], pixels, rng, model.dtype)
        sums += len(x) * np.array(model.loss(x, noise(model, rng, len(x), samples), beta))
    return Terms(*(sums / len(images)).tolist())


class Estimate(NamedTuple):
    """A mean over images and the standard error of that mean, in nats."""

    mean: float
    error: float


def importance_nll(model, images, pixels, rng, samples, progress=iter):
    """-log p(x) by importance sampling, averaged over images (N, D) -> Estimate.

    log p(x) >= E log 1/K sum_k p(x|z_k) p(z_k) / q(z_k|x), z_k ~ q(z|x): the bound of Burda et al. 2015,
    equation 8, the ELBO at K = 1 and log p(x) as K grows. `progress` wraps the iteration over chunks.
    """
    arguments.integer("samples", samples)
    _require_images(images)
    nll = []
    for rows in progress(list(_chunks(len(images), max(1, ROWS // samples)))):
        x = minibatch(images[rows], pixels, rng, model.dtype)
        heads = model.encode(x)
        log_weights = np.empty((samples, len(x)))
        for block in _chunks(samples, max(1, ROWS // len(x))):  # many samples of one x pass in turns
            eps = noise(model, rng, len(x), len(range(samples)[block]))
            z = model.posterior.sample(*heads, eps)  # (s, B, L) or (B, L)
            outputs = model.decode(z.reshape(-1, model.latent_dim)).reshape(*z.shape[:-1], model.data_dim)
            log_p = model.prior.log_prob(z) - model.likelihood.nll(outputs, x, model.params)
            log_weights[block] = log_p - model.posterior.log_prob(z, *heads)
        largest = log_weights.max(axis=0)  # (B,), taken out so that no weight overflows
        nll.append(math.log(samples) - largest - np.log(np.exp(log_weights - largest).sum(axis=0)))
    nll = np.concatenate(nll)
    error = nll.std(ddof=1) / math.sqrt(len(nll)) if len(nll) > 1 else math.nan
    return Estimate(float(nll.mean()), float(error))


def active_units(model, images, pixels, rng, threshold=0.01):
    """(L,) True where the variance over images of q's mean exceeds the threshold (Burda et al. 2015)."""
    mu = latent_means(model, images, pixels, rng)
    return mu.var(axis=0) > threshold


def latent_means(model, images, pixels, rng):
    """mu (N, L) of every image: the map of the latent space."""
    _require_images(images)
    chunks = _chunks(len(images), ROWS)
    return np.concatenate([model.encode(minibatch(images[r], pixels, rng, model.dtype))[0] for r in chunks])


def _require_images(images):
    if not isinstance(images, np.ndarray) or images.ndim != 2 or not images.size:
        raise ValueError(f"images must be a non-empty array (N, D), got {arguments.describe(images)}")


def _chunks(n, size):
    """Slices that cut 0..n into pieces of at most `size`."""
    size = max(1, size)
    return [slice(start, min(start + size, n)) for start in range(0, n, size)]
