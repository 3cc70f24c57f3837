"""How good a trained model is, and what its codes are good for.

The negative ELBO, estimates of -log p(x) and its exact value for few latents; active latents and what they
hold; anomalies, and rate against distortion. `condition` (N, C) goes with the images of a conditional model.
Every estimate draws z from q(z|x). Decoding z = mu instead gives a smaller number that is no bound.
"""

import itertools
import math
from contextlib import suppress
from typing import NamedTuple

import numpy as np

from . import arguments
from .data import minibatch
from .distributions import has_closed_form, kl_forward
from .models.bounds import Terms, importance_weighted

ROWS = 2000  # rows that pass through the decoder at a time


class Estimate(NamedTuple):
    """A mean over images and the standard error of that mean, in nats."""

    mean: float
    error: float


def mean_and_error(values):
    """The mean of values (N,) and its standard error, NaN for a single one -> Estimate."""
    error = values.std(ddof=1) / math.sqrt(len(values)) if len(values) > 1 else math.nan
    return Estimate(float(values.mean()), float(error))


def noise(model, rng, batch, samples):
    """eps (B, L) for one sample of z per datum, (S, B, L) for more."""
    shape = (batch, model.latent_dim)
    return model.posterior.noise(rng, shape if samples == 1 else (samples, *shape), model.dtype)


def chunks(images, size=ROWS):
    """Slices that cut the rows of a non-empty matrix into pieces of at most `size`, at least 1."""
    if not isinstance(images, np.ndarray) or images.ndim != 2 or not images.size:
        raise ValueError(f"images must be a non-empty array (N, D), got {arguments.describe(images)}")
    size = max(1, size)
    return [slice(start, start + size) for start in range(0, len(images), size)]


def draws(model, images, pixels, rng, samples=1, condition=None):
    """Yield x (B, D), eps and the settings of `forward` for each chunk of the images (N, D)."""
    arguments.integer("samples", samples)
    for rows in chunks(images, ROWS // samples):
        x = minibatch(images[rows], pixels, rng, model.dtype)
        yield x, noise(model, rng, len(x), samples), _with(condition, rows)


def _with(condition, rows):
    return {} if condition is None else {"condition": condition[rows]}


# ------------------------------------------------------------------------------ the ELBO and log p(x)


def average_terms(model, images, pixels, rng, beta=1.0, samples=1, condition=None):
    """Terms averaged over all images (N, D), each with its own draw of pixels and of z."""
    sums = np.zeros(3)
    for x, eps, given in draws(model, images, pixels, rng, samples, condition):
        sums += len(x) * np.array(model.loss(x, eps, beta, **given))
    return Terms(*(sums / len(images)).tolist())


def per_image(model, images, pixels, rng, condition=None):
    """nll and kl of every image (N, D), each with its own draw of pixels and of z -> {name: (N,)}, nats."""
    walks = draws(model, images, pixels, rng, condition=condition)
    traces = [model.forward(x, eps, **given)[1] for x, eps, given in walks]
    return {name: np.concatenate([getattr(t, name) for t in traces]).astype(float) for name in ("nll", "kl")}


def importance_nll(model, images, pixels, rng, samples, progress=iter, condition=None):
    """-log p(x), averaged over images (N, D) -> Estimate; see `importance_nll_each`."""
    each = importance_nll_each(model, images, pixels, rng, samples, progress, condition)
    return mean_and_error(each)


def importance_nll_each(model, images, pixels, rng, samples, progress=iter, condition=None):
    """-log p(x) of every image (N, D) by importance sampling -> (N,), nats.

    log p(x) >= E log 1/K sum_k p(x|z_k) p(z_k) / q(z_k|x), z_k ~ q(z|x): the ELBO at K = 1, and log p(x) as K
    grows. `progress` wraps the iteration over chunks. (Burda et al. 2015, equation 8)
    """
    arguments.integer("samples", samples)
    nll = []
    for rows in progress(chunks(images, ROWS // samples)):
        x = minibatch(images[rows], pixels, rng, model.dtype)
        given = _with(condition, rows)
        heads, cost = model.encode(x, **given), np.empty((samples, len(x)))  # minus the log-weights
        for block in chunks(cost, ROWS // len(x)):  # many samples of one x pass in turns
            z = model.posterior.sample(*heads, noise(model, rng, len(x), len(cost[block])))
            kl = kl_forward(model.posterior, z, heads, model.params, sampled=True)
            cost[block] = model.cost(x, **given)[0](z.reshape(-1, *z.shape[-2:])) + kl
        nll.append(importance_weighted(cost))
    return np.concatenate(nll)


def exact_nll(model, x, nodes=161, span=8.0, condition=None):
    """-log p(x) of every x (B, D), exact -> (B,), nats: log p(x) = log sum_z p(x|z) p(z).

    The sum is over all 2^L codes of up to 12 binary latents; or over a grid of `nodes` points on
    [-span, span] for each of at most 2 real latents, by the trapezoid rule, which is exact to rounding where
    p(x|z) p(z) is smooth on the grid's scale and vanishes at its ends. A Laplace prior reaches further: take
    span=30 and nodes=801.
    """
    L, values = model.latent_dim, getattr(model.posterior, "values", "real")
    if values == "binary" and L <= 12:
        axes, weight = [np.array([0.0, 1.0])] * L, 0.0
    elif values == "real" and L <= 2:
        axes = [np.linspace(-span, span, arguments.integer("nodes", nodes, at_least=2))] * L
        weight = L * math.log(axes[0][1] - axes[0][0])
    else:
        raise ValueError(f"exact_nll takes at most 2 real or 12 binary latents, got {L} {values} ones")
    grid = np.array(list(itertools.product(*axes)), model.dtype)  # (M, L)
    f, _ = model.cost(x, **({} if condition is None else {"condition": condition}))
    cost = []
    for rows in chunks(grid, max(1, ROWS // len(x))):
        z = np.broadcast_to(grid[rows][:, None], (len(grid[rows]), len(x), L))  # (S, B, L)
        cost.append(f(z) - model.prior.log_prob(grid[rows][None], model.params)[0][:, None])
    cost = np.concatenate(cost).astype(float)  # (M, B)
    return importance_weighted(cost) - math.log(len(grid)) - weight


# ------------------------------------------------------------------------------ what the latents hold


def latent_means(model, images, pixels, rng, condition=None):
    """E[z|x] (N, L) of every image (N, D), mu for the Gaussian: the map of the latent space."""
    parts = ((minibatch(images[rows], pixels, rng, model.dtype), rows) for rows in chunks(images))
    return np.concatenate([model.code(x, **_with(condition, rows)) for x, rows in parts])


def active_units(model, images, pixels, rng, threshold=0.01, condition=None):
    """(L,) True where the variance over images of E[z|x] exceeds the threshold. (Burda et al. 2015)"""
    return latent_means(model, images, pixels, rng, condition).var(axis=0) > threshold


def kl_per_latent(model, x, condition=None):
    """Mean over x (N, D) of KL(q(z_l|x) || p(z_l)) -> (L,), nats; it needs a closed form."""
    if not has_closed_form(model.posterior):
        raise ValueError("the KL of this posterior and this prior has no closed form, latent by latent")
    heads, width = model.encode(x, **({} if condition is None else {"condition": condition})), 1
    width = getattr(model.posterior, "width", 1)
    parts = [[head[:, l : l + width] for head in heads] for l in range(0, model.latent_dim, width)]
    return np.array([model.posterior.kl(*part).mean() for part in parts], float)


class Aggregate(NamedTuple):
    """The mean KL to the prior in its two parts, nats: mean KL = information + distance."""

    information: float  # I(x, z) in n images, at most log n
    distance: float  # KL(q(z) || p(z)) of the aggregate posterior q(z) = mean over x of q(z|x)
    most: float  # log n: an information near it says that n is too small to measure it


def aggregate_posterior(model, x, rng, condition=None):
    """How far the codes of x (N, D) together are from the prior -> Aggregate; its cost grows with N^2.

    I = mean log q(z_i|x_i) - log 1/n sum_j q(z_i|x_j), one z_i from each q(z|x_i). (Hoffman and Johnson 2016)
    """
    heads = model.encode(x, **({} if condition is None else {"condition": condition}))
    z, posterior, n = model.posterior.sample(*heads, noise(model, rng, len(x), 1)), model.posterior, len(x)
    own, mixed = posterior.log_prob(z, *heads), np.empty(n)
    for rows in chunks(z, max(1, 10 * ROWS // n)):
        pairs = np.broadcast_to(z[rows][:, None], (len(z[rows]), n, z.shape[1]))
        log_q = posterior.log_prob(pairs, *heads)  # (rows, n): every z under every q
        mixed[rows] = -importance_weighted(-log_q.T.astype(float))
    log_p = model.prior.log_prob(z, model.params)
    return Aggregate(float((own - mixed).mean()), float((mixed - log_p).mean()), math.log(n))


def ranges(model, x, *rest):
    """The smallest and the largest number of every head or code and of the output, in words."""
    seen, heads = {}, getattr(getattr(model, "posterior", None), "heads", ("code",))

    def at(name, value):
        seen[name] = value
        return value

    with suppress(ValueError):  # the loss is not finite
        model.forward(x, *rest, at=at)
    found = [(name, seen[name]) for name in (*heads, "output") if name in seen]
    return ", ".join(f"{name} from {value.min():.4g} to {value.max():.4g}" for name, value in found)


# ------------------------------------------------------------------------------ what codes are good for


def anomaly_scores(model, x, rng=None, samples=10, condition=None):
    """How unlike its training data each x (B, D) is to a model -> (B,), nats; larger is stranger.

    The negative ELBO of a VAE, z drawn `samples` times from `rng`; the reconstruction loss of an autoencoder.
    """
    if not hasattr(model, "posterior"):
        return model.forward(x)[1].nll.astype(float)
    given = {} if condition is None else {"condition": condition}
    _, trace = model.forward(x, noise(model, arguments.generator("rng", rng), len(x), samples), **given)
    return (trace.nll.reshape(-1, len(x)).mean(axis=0) + trace.kl.reshape(-1, len(x)).mean(axis=0)).astype(
        float
    )


def auc(normal, strange):
    """P(score of an anomaly > score of a normal x) + 1/2 P(equal), from two arrays of scores.

    The rank-sum statistic: the area under the curve of detections against false alarms. 1/2 is chance.
    """
    ordered = np.sort(np.asarray(normal, float))
    below = np.searchsorted(ordered, strange, "left") + np.searchsorted(ordered, strange, "right")
    return float(below.mean() / 2 / len(ordered))


class Compressed(NamedTuple):
    """One point of a rate-distortion curve."""

    levels: int  # of each code
    rate: float  # bits per image: the entropy of the quantized codes, each latent by itself
    distortion: float  # mean squared error per image, summed over pixels


def rate_distortion(model, x, levels=(2, 4, 8, 16, 32, 64, 128, 256)):
    """Codes of x (N, D), each latent rounded to so many levels between its extremes -> [Compressed]."""
    z, curve = model.code(x), []
    low, span = z.min(axis=0), np.ptp(z, axis=0)
    for n in levels:
        step = np.where(span > 0, span, 1) / (arguments.integer("every level", n, at_least=2) - 1)
        index = np.round((z - low) / step)
        counts = [np.unique(column, return_counts=True)[1] / len(z) for column in index.T]
        rate = sum(float(-(p * np.log2(p)).sum()) for p in counts)
        error = ((model.mean((low + index * step).astype(z.dtype)) - x) ** 2).sum(axis=1).mean()
        curve.append(Compressed(n, rate, float(error)))
    return curve


def pca_reconstruct(x_train, x, latent_dim):
    """x (N, D) through the first principal components of x_train: the best linear autoencoder -> (N, D)."""
    x_train = np.asarray(x_train, float)
    mean = x_train.mean(axis=0)
    centred = x_train - mean
    _, vectors = np.linalg.eigh(centred.T @ centred)
    main = vectors[:, -arguments.integer("latent_dim", latent_dim) :]  # (D, L), the largest come last
    return mean + (x - mean) @ main @ main.T
