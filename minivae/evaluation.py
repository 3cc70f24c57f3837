"""Measure a trained model: its likelihood, its latents, and some uses of its codes.

The negative ELBO, estimates of -log p(x) and its exact value for a few latents; active latents and the
information in them; anomaly scores, and rate-distortion curves. A conditional model needs `condition` (N, C)
with its images. Every estimate draws z from q(z|x): decoding z = mu instead gives a smaller number, which
bounds nothing.
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

ROWS = 2000  # rows of z that are decoded at a time


class Estimate(NamedTuple):
    """A mean over images and the standard error of that mean, in nats."""

    mean: float
    error: float


def mean_and_error(values):
    """The mean of values (N,) and its standard error, which is NaN for a single value -> Estimate."""
    error = values.std(ddof=1) / math.sqrt(len(values)) if len(values) > 1 else math.nan
    return Estimate(float(values.mean()), float(error))


def noise(model, rng, batch, samples):
    """eps (B, L) for one sample of z per datum, (S, B, L) for more."""
    shape = (batch, model.latent_dim)
    shape = shape if samples == 1 else (samples, *shape)
    return _posterior(model).noise(arguments.generator("rng", rng), shape, model.dtype)


def chunks(images, size=ROWS):
    """Slices of at most `size` rows (at least 1) that together cover a non-empty matrix."""
    if not isinstance(images, np.ndarray) or images.ndim != 2 or not images.size:
        raise ValueError(f"images must be a non-empty array (N, D), got {arguments.describe(images)}")
    size = max(1, size)
    return [slice(start, start + size) for start in range(0, len(images), size)]


def draws(model, images, pixels, rng, samples=1, condition=None):
    """Yield x (B, D), eps and the condition as a setting of `forward` for each chunk of the images (N, D)."""
    arguments.integer("samples", samples)
    for rows in chunks(images, ROWS // samples):
        x = minibatch(images[rows], pixels, rng, model.dtype)
        yield x, noise(model, rng, len(x), samples), _with(condition, rows)


def _with(condition, rows=slice(None)):
    return {} if condition is None else {"condition": np.atleast_1d(condition)[rows]}


def _posterior(model):
    if not hasattr(model, "posterior"):
        raise TypeError(f"only a VAE has q(z|x) and p(z), got {arguments.describe(model)}")
    return model.posterior


def _check_variance(model):
    if getattr(model.likelihood, "variance", None) == "optimal":
        raise ValueError("gaussian-optimal has a variance for each batch of x, so x alone has no log p(x)")


# ------------------------------------------------------------------------------ the ELBO and log p(x)


def average_terms(model, images, pixels, rng, beta=1.0, samples=1, condition=None):
    """Terms averaged over all images (N, D), with new draws of pixels and of z for every image; nats."""
    sums = np.zeros(3)
    for x, eps, given in draws(model, images, pixels, rng, samples, condition):
        sums += len(x) * np.array(model.loss(x, eps, beta, **given))
    return Terms(*(sums / len(images)).tolist())


def per_image(model, images, pixels, rng, condition=None):
    """nll and kl of every image (N, D), with new draws of pixels and of z -> {name: (N,)}, nats."""
    batches = draws(model, images, pixels, rng, condition=condition)
    traces = [model.forward(x, eps, **given)[1] for x, eps, given in batches]
    return {name: np.concatenate([getattr(t, name) for t in traces]).astype(float) for name in ("nll", "kl")}


def importance_nll(model, images, pixels, rng, samples, progress=iter, condition=None):
    """-log p(x), averaged over images (N, D) -> Estimate; see `importance_nll_each`."""
    each = importance_nll_each(model, images, pixels, rng, samples, progress, condition)
    return mean_and_error(each)


def importance_nll_each(model, images, pixels, rng, samples, progress=iter, condition=None):
    """-log p(x) of every image (N, D) by importance sampling -> (N,), nats.

    log p(x) >= E log 1/K sum_k p(x|z_k) p(z_k) / q(z_k|x), z_k ~ q(z|x), K = `samples`: the ELBO for K = 1,
    and tight as K grows. `progress` wraps the iteration over chunks. (Burda et al. 2015, equation 8)
    """
    arguments.integer("samples", samples)
    posterior, nll = _posterior(model), []
    _check_variance(model)
    for rows in progress(chunks(images, ROWS // samples)):
        x = minibatch(images[rows], pixels, rng, model.dtype)
        given = _with(condition, rows)
        heads, cost = model.encode(x, **given), np.empty((samples, len(x)))  # minus the log-weights
        for block in chunks(cost, ROWS // len(x)):  # a bounded number of samples at a time
            z = posterior.sample(*heads, noise(model, rng, len(x), len(cost[block])))
            kl = kl_forward(posterior, z, heads, model.params, sampled=True)
            cost[block] = model.cost(x, **given)[0](z.reshape(-1, *z.shape[-2:])) + kl
        nll.append(importance_weighted(cost))
    return np.concatenate(nll)


def exact_nll(model, x, nodes=161, span=8.0, condition=None):
    """-log p(x) of every x (B, D), exact -> (B,), nats: log p(x) = log sum_z p(x|z) p(z).

    For up to 12 binary latents the sum is over all 2^L codes. For at most 2 real latents it is the integral
    by the trapezoid rule with `nodes` points on [-span, span] for each latent, which is exact to rounding if
    p(x|z) p(z) is smooth on the scale of the grid and vanishes at its ends. A Laplace prior has heavier
    tails: use span=30 and nodes=801. Raises ValueError for other latents.
    """
    L, values = model.latent_dim, getattr(_posterior(model), "values", "real")
    _check_variance(model)
    arguments.number("span", span, above=0)
    if values == "binary" and L <= 12:
        axes, weight = [np.array([0.0, 1.0])] * L, 0.0
    elif values == "real" and L <= 2:
        axes = [np.linspace(-span, span, arguments.integer("nodes", nodes, at_least=2))] * L
        weight = L * math.log(axes[0][1] - axes[0][0])
    else:
        raise ValueError(f"exact_nll takes at most 2 real or 12 binary latents, got {L} {values} ones")
    grid = np.array(list(itertools.product(*axes)), model.dtype)  # (M, L)
    f, _ = model.cost(x, **_with(condition))
    cost = []
    for rows in chunks(grid, max(1, ROWS // len(x))):
        z = np.broadcast_to(grid[rows][:, None], (len(grid[rows]), len(x), L))  # (S, B, L)
        cost.append(f(z) - model.prior.log_prob(grid[rows][None], model.params)[0][:, None])
    cost = np.concatenate(cost).astype(float)  # (M, B)
    return importance_weighted(cost) - math.log(len(grid)) - weight


# ------------------------------------------------------------------------------ the latents


def latent_means(model, images, pixels, rng, condition=None):
    """E[z|x] (N, L) of every image (N, D), which is mu for the Gaussian."""
    parts = ((minibatch(images[rows], pixels, rng, model.dtype), rows) for rows in chunks(images))
    return np.concatenate([model.code(x, **_with(condition, rows)) for x, rows in parts])


def active_units(model, images, pixels, rng, threshold=0.01, condition=None):
    """(L,) bool: whether the variance over images of E[z|x] exceeds the threshold. (Burda et al. 2015)"""
    return latent_means(model, images, pixels, rng, condition).var(axis=0) > threshold


def kl_per_latent(model, x, condition=None):
    """Mean over x (N, D) of KL(q(z_l|x) || p(z_l)) -> (L,), nats. ValueError if it has no closed form."""
    if not has_closed_form(_posterior(model)):
        raise ValueError("the KL of this posterior and this prior has no closed form, latent by latent")
    heads = model.encode(x, **_with(condition))
    width = getattr(model.posterior, "width", 1)
    parts = [[head[:, l : l + width] for head in heads] for l in range(0, model.latent_dim, width)]
    return np.array([model.posterior.kl(*part).mean() for part in parts], float)


class Aggregate(NamedTuple):
    """The two parts of the mean KL to the prior, nats: mean KL = information + distance."""

    information: float  # I(x, z) in n images, at most log n
    distance: float  # KL(q(z) || p(z)) of the aggregate posterior q(z) = mean over x of q(z|x)
    most: float  # log n: if the information is close to it, n is too small to measure it


def aggregate_posterior(model, x, rng, condition=None):
    """Split the mean KL of the codes of x (N, D) into its two parts -> Aggregate; the cost grows with N^2.

    I = mean over i of log q(z_i|x_i) - log 1/n sum_j q(z_i|x_j), with one z_i from each q(z|x_i).
    (Hoffman and Johnson 2016)
    """
    posterior, heads, n = _posterior(model), model.encode(x, **_with(condition)), len(x)
    z = posterior.sample(*heads, noise(model, rng, n, 1))
    own, mixed = posterior.log_prob(z, *heads), np.empty(n)
    for rows in chunks(z, max(1, 10 * ROWS // n)):
        pairs = np.broadcast_to(z[rows][:, None], (len(z[rows]), n, z.shape[1]))
        log_q = posterior.log_prob(pairs, *heads)  # (rows, n): every z under every q
        mixed[rows] = -importance_weighted(-log_q.T.astype(float))
    log_p = model.prior.log_prob(z, model.params)
    return Aggregate(float((own - mixed).mean()), float((mixed - log_p).mean()), math.log(n))


def ranges(model, x, *rest, **settings):
    """The smallest and the largest entry of every head (or the code) and of the output, in words."""
    seen, heads = {}, getattr(getattr(model, "posterior", None), "heads", ("code",))

    def at(name, value):
        seen[name] = value
        return value

    with suppress(ValueError):  # the loss is not finite
        model.forward(x, *rest, at=at, **settings)
    found = [(name, seen[name]) for name in (*heads, "output") if name in seen]
    return ", ".join(f"{name} from {value.min():.4g} to {value.max():.4g}" for name, value in found)


# ------------------------------------------------------------------------------ uses of the codes


def anomaly_scores(model, x, rng=None, samples=10, condition=None):
    """Anomaly score of every x (B, D) -> (B,), nats; larger is more unlike the training data.

    For a VAE the negative ELBO, with z drawn `samples` times from `rng`; for an autoencoder its nll.
    """
    if not hasattr(model, "posterior"):
        return model.forward(x)[1].nll.astype(float)
    scores = []
    for part, eps, given in draws(model, x, "grey", rng, samples, condition):
        _, trace = model.forward(part, eps, **given)
        nll, kl = (term.reshape(-1, len(part)).mean(axis=0) for term in (trace.nll, trace.kl))
        scores.append(nll + kl)
    return np.concatenate(scores).astype(float)


def auc(normal, strange):
    """P(score of an anomaly > score of a normal x) + 1/2 P(equal), from two arrays of scores.

    This is the area under the ROC curve, from the rank-sum statistic. 1/2 is chance.
    """
    normal, strange = (arguments.cast("scores", np.atleast_1d(s), float) for s in (normal, strange))
    ordered = np.sort(normal, axis=None)
    below = np.searchsorted(ordered, strange, "left") + np.searchsorted(ordered, strange, "right")
    return float(below.mean() / 2 / len(ordered))


class Compressed(NamedTuple):
    """One point of a rate-distortion curve."""

    levels: int  # of each code
    rate: float  # bits per image: the sum over latents of the entropy of the quantized code
    distortion: float  # mean squared error per image, summed over pixels


def rate_distortion(model, x, levels=(2, 4, 8, 16, 32, 64, 128, 256), condition=None):
    """Quantize every latent of the codes of x (N, D) to n levels between its extremes -> [Compressed].

    One point for each n in `levels`. condition (N, C) for a conditional model.
    """
    given = _with(condition)
    z, curve = model.code(x, **given), []
    low, span = z.min(axis=0), np.ptp(z, axis=0)
    for n in np.atleast_1d(levels):
        n = arguments.integer("every level", n, at_least=2)
        step = np.where(span > 0, span, 1) / (n - 1)
        index = np.round((z - low) / step)
        counts = [np.unique(column, return_counts=True)[1] / len(z) for column in index.T]
        rate = sum(float(-(p * np.log2(p)).sum()) for p in counts)
        error = ((model.mean((low + index * step).astype(z.dtype), **given) - x) ** 2).sum(axis=1).mean()
        curve.append(Compressed(n, rate, float(error)))
    return curve


def pca_reconstruct(x_train, x, latent_dim):
    """x (N, D) projected on the principal components of x_train, the best linear autoencoder -> (N, D)."""
    x_train, x = arguments.cast("x_train", x_train, float), arguments.cast("x", x, float)
    arguments.shapes(x_train=(x_train, "ND"), x=(x, "BD"))
    arguments.integer("latent_dim", latent_dim, below=x.shape[1] + 1)
    mean = x_train.mean(axis=0)
    centred = x_train - mean
    _, vectors = np.linalg.eigh(centred.T @ centred)
    main = vectors[:, -latent_dim:]  # (D, L), the largest come last
    return mean + (x - mean) @ main @ main.T
