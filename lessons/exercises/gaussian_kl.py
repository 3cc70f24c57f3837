"""Measure how far the posterior is from the prior

Write KL( N(mu, exp(logvar)) || N(0, I) ) in closed form, one number for each row of the batch. Then write the
derivatives with respect to mu and logvar, given dkl, the derivative of the loss with respect to each kl.
Lesson 2 derives the KL; differentiate it for the backward pass.

Where to look: lesson 2, the closed form. The latents are independent, so their divergences add: compute an
array (B, L) first and sum it over its last axis. The backward pass is elementwise. dkl is (B,); dkl[:, None]
is (B, 1), which multiplies (B, L) row by row.

The formula: with s^2 = e^logvar, each latent adds 1/2 (mu^2 + s^2 - log s^2 - 1). Its derivatives: mu with
respect to mu; 1/2 (e^logvar - 1) with respect to logvar.
"""

import numpy as np

from minivae import ops

from ..cases import normal, upstream
from . import Exercise, Part


def far():
    """Large and small variances, and the prior itself, where the KL is 0."""
    mu = np.array([[0.0, 2.0], [0.0, 0.0], [1.0, -3.0], [60.0, 0.0]])
    logvar = np.array([[0.0, 6.0], [0.0, 0.0], [-40.0, 20.0], [25.0, -25.0]])
    yield "with logvar from -40 to 25", {"mu": mu, "logvar": logvar}


FORWARD = Part(
    ops.gaussian_kl,
    returns="kl",
    walk="""
        from_mean = mu**2  # (B, L)
        from_spread = exp(logvar) - logvar - 1  # (B, L)
        kl = 0.5 * (from_mean + from_spread).sum(axis=-1)
    """,
    slips="""
    kl = 0.5 * (mu**2 + exp(logvar) - logvar).sum(axis=-1) - 0.5  # the -1 counts once, not for each latent
    kl = 0.5 * (from_mean.sum(axis=-1) + exp(logvar.sum(axis=-1)) - logvar.sum(axis=-1) - L)
        # exp belongs before the sum
    kl = full(B, 0.5 * (from_mean + from_spread).sum(axis=-1).mean())  # kl is averaged over the batch
    from_mean = mu**2 * exp(-logvar); from_spread = exp(-logvar) + logvar - 1  # this is KL(p || q)
    from_mean = mu**2 * exp(-logvar)  # mu^2 is divided by the variance of q: the prior's variance is 1
    """,
    cases={"the KL of each row": normal(mu="BL", logvar="BL")},
    far={"far from the prior": far},
)

BACKWARD = Part(
    ops.gaussian_kl_backward,
    returns="dmu dlogvar",
    walk="""
        dmu = dkl[:, None] * mu  # (B, L)
        dlogvar = dkl[:, None] * 0.5 * (exp(logvar) - 1)  # (B, L)
    """,
    slips="""
    kl = 0.5 * (mu**2 + exp(logvar) - logvar - 1).sum(axis=1)[:, None]; dmu = kl * mu; \
    dlogvar = kl * 0.5 * (exp(logvar) - 1)  # kl is used where dkl belongs
    dlogvar = dkl[:, None] * (exp(0.5 * logvar) - exp(-0.5 * logvar))
        # this is the derivative with respect to std, not logvar
    dlogvar = dkl[:, None] * 0.5 * (1 - exp(-logvar))
        # this is the derivative w.r.t. the variance, not logvar
    dlogvar = dkl[:, None] * (exp(2 * logvar) - 1)  # logvar is read as log std: e^logvar is the variance
    dmu = dkl[:, None] * mu * exp(-logvar)  # dmu is divided by the variance of q: the prior's variance is 1
    dmu = dkl * mu; dlogvar = dkl * 0.5 * (exp(logvar) - 1)  # dkl is on the wrong axis: use dkl[:, None]
    """,
    cases={"the derivatives": normal(dkl="B", mu="BL", logvar="BL")},
    far={"the derivatives far from the prior": upstream("dkl", far, -1)},
)

EXERCISE = Exercise(__doc__, lesson=2, parts=(FORWARD, BACKWARD))
