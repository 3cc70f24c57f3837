"""From exact models to the VAE and back.

A linear VAE is probabilistic PCA. A VAE's gap, log p(x) - ELBO, has two parts. The parameters that maximize
the ELBO are not those of maximum likelihood, and a single best parameter predicts less well than the average
over its posterior: both can be seen in models small enough for exact answers.
"""

import math
from typing import NamedTuple

import numpy as np

from . import arguments, evaluation
from .distributions import StandardNormal, kl_forward
from .distributions.priors import log_sum_exp
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
    heads = {name: head.copy() for name, head in zip(names, model.encode(x), strict=True)}
    adam = Adam(lr, backend="numpy")
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


# ------------------------------------------------------------------------------ one latent, one weight

GRID = np.linspace(-8, 8, 801)  # of z: the trapezoid rule is exact to rounding if p(z|x) is wider than 0.02
STEP = GRID[1] - GRID[0]
NODES, HERMITE = np.polynomial.hermite_e.hermegauss(20)
HERMITE = HERMITE / HERMITE.sum()  # E g(eps) = g(NODES) @ HERMITE, eps ~ N(0, 1), exact for polynomials
MOVES = 1.0 * np.array([(a, b) for a in (0, -1, 1) for b in (0, -1, 1)]).T  # of mu and of log std


class OneLatent:
    """z ~ N(0, 1), x|z ~ N(w f(z), variance) for numbers x (N,), a model for `em.fit`.

    q   "posterior": exact, on a grid of z, so that EM ends at the maximum-likelihood w;
        "gaussian": the best Gaussian for each x, so that EM ends at the w that maximizes the ELBO
    The E-step returns nodes z (N or 1, S), their probabilities (N, S) or (S,), and the entropy of q (N,).
    """

    def __init__(self, f, variance, w=1.0, q="posterior"):
        self.f, self.variance = f, arguments.number("variance", variance, above=0)
        self.w, self.q = arguments.number("w", w), arguments.one_of("q", q, ("posterior", "gaussian"))
        self.heads = None  # mu and log std of the last Gaussian q

    def log_joint(self, x, z):
        """log p(x, z): x (N,), z (N or 1, S) -> (N, S)."""
        squares = (x[:, None] - self.w * self.f(z)) ** 2 / self.variance + z**2
        return -0.5 * (squares + math.log(self.variance)) - math.log(2 * math.pi)

    def log_prob(self, x):
        """log p(x) by quadrature: x (N,) -> (N,), nats."""
        return log_sum_exp(self.log_joint(x, GRID[None])) + math.log(STEP)

    def e_step(self, x):
        """The posterior on the grid, or the best Gaussian at the nodes of Gauss and Hermite."""
        if self.q == "posterior":
            joint, log_p = self.log_joint(x, GRID[None]), self.log_prob(x)
            p = np.exp(joint - log_p[:, None])  # densities (N, S)
            return GRID[None], p * STEP, log_p - (p * joint).sum(axis=1) * STEP
        mu, log_std = self.heads = self._best_gaussian(x)
        z = mu[:, None] + np.exp(log_std)[:, None] * NODES
        return z, HERMITE, log_std + 0.5 * (math.log(2 * math.pi) + 1)

    def m_step(self, x, q):
        """w = sum_n x_n E_q f(z) / sum_n E_q f(z)^2."""
        f, p = self.f(q[0]), q[1]
        self.w = float((x * (p * f).sum(axis=1)).sum() / (p * f**2 + 0 * x[:, None]).sum())

    def bound(self, x, q):
        """E_q log p(x, z) + entropy of q, nats per x: the ELBO."""
        z, p, entropy = q
        return ((p * self.log_joint(x, z)).sum(axis=1) + entropy).mean()

    def _best_gaussian(self, x):
        """mu, log std (N,) of the largest ELBO: the best on a coarse grid or the last one, then refined."""

        def gain(mu, log_std):  # (N or 1, C) -> (N, C): the ELBO up to a constant
            f = self.f(mu[..., None] + np.exp(log_std)[..., None] * NODES)
            first, second = f @ HERMITE, f**2 @ HERMITE  # E_q f, E_q f^2
            nll = (0.5 * self.w**2 * second - self.w * first * x[:, None]) / self.variance
            return log_std - 0.5 * (mu**2 + np.exp(2 * log_std)) - nll

        coarse = np.stack(np.meshgrid(np.linspace(-5, 5, 51), np.linspace(-4, 1, 21))).reshape(2, 1, -1)
        heads = coarse[:, 0, gain(*coarse).argmax(axis=1)]  # (2, N)
        if self.heads is not None and self.heads.shape == heads.shape:
            both = np.stack([self.heads, heads], axis=2)
            heads = np.take_along_axis(both, gain(*both).argmax(axis=1)[None, :, None], axis=2)[..., 0]
        for width in 0.2 * 0.6 ** np.arange(25):  # the first move is none, so that no round loses anything
            near = heads[:, :, None] + width * MOVES[:, None]  # (2, N, 9)
            heads = np.take_along_axis(near, gain(*near).argmax(axis=1)[None, :, None], axis=2)[..., 0]
        return heads


def maximizers(f, variance, x, start=1.0):
    """The w that maximizes the mean ELBO with the best Gaussian for each x (N,), and the one of log p(x).

    Both by EM from w = `start`, in x|z ~ N(w f(z), variance): the first is the maximum-likelihood estimate
    only if p(z|x) is Gaussian, since the gap depends on w too.
    """
    models = [OneLatent(f, variance, start, q) for q in ("gaussian", "posterior")]
    for model in models:
        em.fit(model, x, steps=10_000, tolerance=1e-10)
    return tuple(model.w for model in models)


# ------------------------------------------------------------------------------ a parameter and its posterior


class GridPosterior(NamedTuple):
    """What data tell about a parameter, from its values at equally spaced points (G,)."""

    points: np.ndarray
    log_likelihood: np.ndarray  # (G,): sum_n log p(x_n|point)
    log_prior: np.ndarray  # (G,), up to a constant

    @property
    def weights(self):
        """p(point|data), (G,), which sum to 1."""
        total = self.log_likelihood + self.log_prior
        return np.exp(total - log_sum_exp(total))

    @property
    def mle(self):
        """The maximum-likelihood estimate: the point of the largest likelihood."""
        return self.points[self.log_likelihood.argmax()]

    @property
    def map(self):
        """The maximum a posteriori estimate: the point of the largest posterior density."""
        return self.points[self.weights.argmax()]

    @property
    def mean(self):
        """The posterior mean."""
        return self.weights @ self.points

    def predictive(self, log_prob):
        """log p(x'|data) = log sum_g p(point_g|data) p(x'|point_g), from log p(x'|point) (G, M) -> (M,)."""
        with np.errstate(divide="ignore"):
            return log_sum_exp(log_prob.T + np.log(self.weights))


class Estimates(NamedTuple):
    """The two point estimates of a parameter, and the posterior predictive."""

    mle: object
    map: object
    predictive: object


def gaussian_mean(x, variance, prior_mean, prior_variance):
    """The mean m of x (N,) ~ N(m, variance) with m ~ N(prior_mean, prior_variance) -> Estimates.

    Precisions add: m|x ~ N(map, v), 1 / v = 1 / prior_variance + N / variance, so that the MAP is an average
    of prior_mean and the MLE. predictive: mean and variance of the next x, N(map, v + variance).
    """
    variance = arguments.number("variance", variance, above=0)
    prior, data = 1 / arguments.number("prior_variance", prior_variance, above=0), len(x) / variance
    best = (prior * prior_mean + data * x.mean()) / (prior + data)
    return Estimates(x.mean(), best, (best, 1 / (prior + data) + variance))


def category_weights(counts, alpha):
    """The weights pi (K,) of categories seen counts (K,) times, with pi ~ Dirichlet(alpha, ..., alpha).

    MLE N_k / N, MAP (N_k + alpha - 1) / (N + K (alpha - 1)), predictive (N_k + alpha) / (N + K alpha): with
    maximum likelihood a category never seen has weight 0. alpha >= 1, or the density has no maximum inside.
    -> Estimates
    """
    alpha = arguments.number("alpha", alpha, at_least=1)
    return Estimates(*((counts + a) / (counts + a).sum() for a in (0, alpha - 1, alpha)))
