"""Weigh each sample's gradient

Write the gradient of the importance-weighted loss with respect to mu and logvar, for the Gaussian q and the
prior N(0, I). The decoder has already been run: nll is -log p(x|z) of every sample, and dnll is its
derivative with respect to z. Compute one gradient for each x; the caller averages over the batch.

Where to look: lesson 11, section 5, and lesson 6. There are three steps: log q - log p of every sample at z =
mu + std eps; the weights, a softmax of -cost over the samples; then the path through z, with the weight of
each sample.

The formula: cost_s = nll_s + log q(z_s) - log p(z_s). With eps fixed, log q(z) - log p(z) = 1/2 sum_l (z^2 -
eps^2 - logvar): its derivative is z with respect to z, and -1/2 directly with respect to logvar. weight_s =
exp(-cost_s) / sum_t exp(-cost_t). Then dmu = sum_s weight_s (dnll_s + z_s), and dlogvar = sum_s weight_s
((dnll_s + z_s) 1/2 std eps_s - 1/2).
"""

import numpy as np

from ..cases import normal, spread
from . import Exercise, Part
from .gaussian_sample import STD_SLIPS


def iwae_gradient(nll, dnll, mu, logvar, eps):
    """Gradient of the importance-weighted loss of each x -> dmu, dlogvar (B, L).

    loss = -log mean_s p(x|z_s) p(z_s) / q(z_s|x), z_s = mu + std eps_s

    nll (S, B): -log p(x|z); dnll (S, B, L): its derivative w.r.t. z; mu, logvar (B, L); eps (S, B, L).
    p(z) = N(0, I), q(z|x) = N(mu, exp(logvar)). With S = 1 the loss is a sampled -ELBO. (Burda et al. 2016)
    """
    std = np.exp(0.5 * logvar)
    z = mu + std * eps
    cost = nll + 0.5 * (z**2 - eps**2 - logvar).sum(axis=-1)
    weight = np.exp(cost.min(axis=0) - cost)
    dz = (weight / weight.sum(axis=0))[..., None] * (dnll + z)
    return dz.sum(axis=0), (0.5 * dz * std * eps).sum(axis=0) - 0.5


def draw(rng, n):
    """Costs of a few nats, so that several samples have some weight."""
    given = normal(dnll="SBL", mu="BL", logvar="BL", eps="SBL")(rng, n)
    return {"nll": rng.uniform(1.0, 4.0, (n.S, n.B))} | given


def far():
    """Costs of hundreds of nats, and variances from e^-20 to e^3."""
    logvar, eps = spread(10, 4, rows=5)
    rng = np.random.default_rng(3)
    nll = 900 + rng.uniform(0, 3, eps.shape[:2])
    yield (
        "nll near 900",
        {"nll": nll, "dnll": 0.3 * eps + 1, "mu": 0.1 * eps[0], "logvar": logvar - 7, "eps": eps},
    )


GRADIENT = Part(
    iwae_gradient,
    returns="dmu dlogvar",
    walk="""
        std = exp(0.5 * logvar)  # (B, L): e^logvar is the variance
        z = mu + std * eps  # (S, B, L)
        kl = 0.5 * (z**2 - eps**2 - logvar).sum(axis=-1)  # (S, B): log q - log p
        cost = nll + kl  # (S, B)
        ratio = exp(cost.min(axis=0) - cost)  # (S, B)
        weight = ratio / ratio.sum(axis=0)  # (S, B): they sum to 1 for each row
        slope = dnll + z  # (S, B, L)
        dz = weight[..., None] * slope  # (S, B, L)
        dmu = dz.sum(axis=0)  # (B, L)
        dlogvar = (dz * 0.5 * std * eps).sum(axis=0) - 0.5  # (B, L)
    """,
    slips="""
    weight = 0 * ratio + 1 / len(ratio)  # every sample has the weight 1/S: this is the gradient of -ELBO
    weight = ratio / ratio.sum(axis=1, keepdims=True)
        # the softmax runs over the batch: take it over the samples of each x
    weight = ratio / ratio.sum()  # the weights are normalized over the batch too: those of each x sum to 1
    weight = ratio  # the weights are not normalized: those of each x sum to 1
    weight = ratio / ratio.mean(axis=0)  # the weights sum to S: they must sum to 1
    weight = 1.0 * (cost == cost.min(axis=0))
        # the best sample has all the weight: use a softmax over the samples
    ratio = exp(cost - cost.max(axis=0))
        # the softmax has the wrong sign: a small cost must have a large weight
    ratio = exp(-cost)  # the smallest cost is not subtracted: exp(-cost) underflows, and the weights are 0/0
    cost = nll  # log q - log p is missing in the weights
    cost = kl  # the nll is missing in the weights
    kl = 0.5 * (mu**2 + exp(logvar) - logvar - 1).sum(axis=-1) + 0 * nll
        # this is the closed-form KL, the same for every sample: use log q - log p at each z
    kl = 0.5 * (z**2).sum(axis=-1)  # log q is missing in the weights: kl is log q - log p
    slope = dnll  # the derivative of -log p(z) is missing: it is z
    slope = dnll - z  # the derivative of -log p(z) has the wrong sign: it is +z
    slope = dnll + mu  # the slope has mu, as with the closed-form KL: use the z of each sample
    slope = z  # dnll is missing
    slope = dnll + z - eps / std
        # the slope includes d log q / dz: with eps fixed, log q depends on logvar alone
    dz = slope / len(slope)  # the slopes are averaged: multiply each by its weight
    dmu = dz.mean(axis=0)  # the weighted slopes are averaged again: the weights already sum to 1
    dlogvar = (dz * 0.5 * std * eps).sum(axis=0)  # -1/2, the direct derivative of log q, is missing
    dlogvar = (dz * 0.5 * std * eps - 0.5).sum(axis=0)
        # -1/2 is added S times without the weights, which sum to 1: add it once
    dlogvar = (dz * 0.5 * std * eps).sum(axis=0) + 0.5  # the direct derivative of log q is -1/2, not +1/2
    dlogvar = (dz * 0.5 * std * eps).sum(axis=0) + 0.5 * (exp(logvar) - 1)
        # the derivative of the closed-form KL is added: here only -1/2 is, and the rest goes through z
    dlogvar = (dz * std * eps).sum(axis=0) - 0.5  # the 1/2 of std = exp(logvar / 2) is missing
    dlogvar = (dz * 0.5 * eps).sum(axis=0) - 0.5  # the factor std is missing in dz/dlogvar
    """
    + STD_SLIPS,
    cases={"the gradient": draw},
    far={"where exp(-cost) underflows": far},
)

EXERCISE = Exercise(__doc__, lesson=11, parts=(GRADIENT,), borrowed=("bound_backward", "loss_and_grads"))
