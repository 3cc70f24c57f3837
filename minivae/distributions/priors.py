"""Priors p(z): sampling, log p(z), and its derivative.

values  the values of a latent: "real", "binary" or "one-hot"; a family and its prior must agree
"""

import math

import numpy as np

from .. import arguments
from ..ops import LOG_2PI


def absolute(x):
    """|x|, which keeps the imaginary part of a complex step; np.abs would drop it."""
    return np.where(x.real < 0, -x, x)


def sign(x):
    """-1, 0 or 1: the sign of the real part, in the dtype of x."""
    return np.sign(x.real).astype(x.dtype)


class Prior:
    """Base of the priors: no learned parameters."""

    values = "real"

    def __init__(self, ops):
        self.ops = ops

    def parameters(self, latent_dim, rng, dtype):
        """Its own learned arrays by name: none."""
        return {}

    def log_prob_backward(self, dlog_prob, z, params=None):
        """dlog_prob (B,) or (S, B) -> dz like z, zero for discrete z; derivatives of its parameters, none."""
        return np.zeros_like(z), {}


class StandardNormal(Prior):
    """p(z) = N(0, I)."""

    def sample(self, rng, n, latent_dim, params=None):
        """n draws of z -> (n, L)."""
        return rng.standard_normal((n, latent_dim))  # (n, L)

    def log_prob(self, z, params=None):
        """-1/2 sum(log 2 pi + z^2): z (B, L) or (S, B, L) -> (B,) or (S, B), nats."""
        arguments.shapes(z=(z, "*BL"))
        return -0.5 * (np.einsum("...l,...l->...", z, z) + LOG_2PI * z.shape[-1])

    def log_prob_backward(self, dlog_prob, z, params=None):
        """d log p / dz = -z: dlog_prob (B,) or (S, B) -> dz like z; it has no parameters."""
        return -dlog_prob[..., None] * z, {}


class LaplacePrior(Prior):
    """p(z) = prod_l e^-|z_l| / 2: a sharp peak at 0 with heavier tails than the normal distribution."""

    def sample(self, rng, n, latent_dim, params=None):
        """n draws of z -> (n, L)."""
        return rng.laplace(size=(n, latent_dim))

    def log_prob(self, z, params=None):
        """-sum(|z| + log 2): z (B, L) or (S, B, L) -> (B,) or (S, B), nats."""
        return -(absolute(z) + math.log(2)).sum(axis=-1)

    def log_prob_backward(self, dlog_prob, z, params=None):
        """d log p / dz = -sign(z)."""
        return dlog_prob[..., None] * -sign(z), {}


class MixturePrior(Prior):
    """p(z) = sum_k pi_k N(z; mean_k, exp(logvar_k)), pi = softmax(weight); every parameter is learned."""

    def __init__(self, ops, components=10):
        super().__init__(ops)
        self.components = arguments.integer("components", components)

    def parameters(self, latent_dim, rng, dtype):
        """prior.weight (K,), prior.mean and prior.logvar (K, L); the initial means are draws from N(0, I)."""
        mean = rng.standard_normal((self.components, latent_dim)).astype(dtype)
        weight = np.zeros(self.components, dtype)
        return {"prior.weight": weight, "prior.mean": mean, "prior.logvar": np.zeros_like(mean)}

    def sample(self, rng, n, latent_dim, params):
        """Draw a component k with probability pi_k, then z from it -> (n, L)."""
        pi = np.exp(params["prior.weight"] - params["prior.weight"].max()).astype(float)
        k = rng.choice(len(pi), n, p=pi / pi.sum())
        std = np.exp(0.5 * params["prior.logvar"][k])
        return params["prior.mean"][k] + std * rng.standard_normal((n, latent_dim))

    def log_prob(self, z, params):
        """log sum_k pi_k N_k(z): z (B, L) or (S, B, L) -> (B,) or (S, B), nats."""
        return log_sum_exp(self._log_joint(z, params))

    # with the responsibilities r_k = pi_k N_k(z) / p(z):
    #   dlog p/dz        = sum_k r_k (mean_k - z) e^-logvar_k
    #   dlog p/dmean_k   = r_k (z - mean_k) e^-logvar_k
    #   dlog p/dlogvar_k = 1/2 r_k ((z - mean_k)^2 e^-logvar_k - 1)
    #   dlog p/dweight_k = r_k - pi_k
    def log_prob_backward(self, dlog_prob, z, params):
        """dlog_prob (B,) or (S, B) -> dz like z, and the derivatives of weight, mean and logvar."""
        joint, weight = self._log_joint(z, params), params["prior.weight"]
        r = dlog_prob[..., None] * np.exp(joint - log_sum_exp(joint)[..., None])  # (..., K)
        away = z[..., None, :] - params["prior.mean"]  # (..., K, L)
        pull = r[..., None] * away * np.exp(-params["prior.logvar"])
        rest = tuple(range(z.ndim - 1))
        dlogvar = 0.5 * (pull * away - r[..., None]).sum(axis=rest)
        dweight = r.sum(axis=rest) - dlog_prob.sum() * np.exp(weight - log_sum_exp(weight))
        own = {"prior.weight": dweight, "prior.mean": pull.sum(axis=rest), "prior.logvar": dlogvar}
        return -pull.sum(axis=-2), own

    def _log_joint(self, z, params):
        """log pi_k N_k(z) -> (..., K)."""
        weight, mean, logvar = (params[f"prior.{name}"] for name in ("weight", "mean", "logvar"))
        squared = (z[..., None, :] - mean) ** 2 * np.exp(-logvar)  # (..., K, L)
        return weight - log_sum_exp(weight) - 0.5 * (LOG_2PI + logvar + squared).sum(axis=-1)


def log_sum_exp(a):
    """log sum_k e^a_k over the last axis, (..., K) -> (...); the largest is subtracted to avoid overflow."""
    most = a.max(axis=-1, keepdims=True)
    most = np.where(np.isfinite(most), most, 0)
    with np.errstate(divide="ignore"):  # log 0 where every a_k is -inf
        return np.log(np.exp(a - most).sum(axis=-1)) + most[..., 0]


class BernoulliPrior(Prior):
    """p(z): independent binary latents, each 1 with probability r."""

    values = "binary"

    def __init__(self, ops, r=0.5):
        super().__init__(ops)
        self.r = arguments.number("r", r, above=0, below=1)

    def sample(self, rng, n, latent_dim, params=None):
        """n draws of z -> (n, L)."""
        return (rng.random((n, latent_dim)) < self.r).astype(float)

    def log_prob(self, z, params=None):
        """z (B, L) or (S, B, L) of zeros and ones -> (B,) or (S, B), nats."""
        return (z * math.log(self.r) + (1 - z) * math.log1p(-self.r)).sum(axis=-1)


class CategoricalPrior(Prior):
    """p(z): independent variables with K equally likely categories; z is one-hot."""

    values = "one-hot"

    def __init__(self, ops, categories=10):
        super().__init__(ops)
        self.categories = arguments.integer("categories", categories, at_least=2)

    def sample(self, rng, n, latent_dim, params=None):
        """n draws of z -> (n, L)."""
        K = self.categories
        return np.eye(K)[rng.integers(K, size=(n, latent_dim // K))].reshape(n, -1)

    def log_prob(self, z, params=None):
        """z (B, L) or (S, B, L), one-hot -> (B,) or (S, B), nats: -log K for each variable."""
        return -z.sum(axis=-1) * math.log(self.categories)
