"""Reparameterize the Laplace distribution

Write the reparameterization of q = Laplace(mu, b), b = exp(logb), whose density is e^(-|z - mu| / b) / (2 b):
z from mu, logb and noise eps. eps is uniform on (-1/2, 1/2) and passed in; z must grow with eps. And write
its backward pass: dz arrives and goes on to mu and logb. mu and logb are (B, L); eps and dz are (B, L), or
(S, B, L) for S samples; dmu and dlogb are (B, L) in both cases.

Where to look: lesson 18, section 3. The inverse of the distribution function turns a uniform number into a
draw: set P(|z - mu| > t) = e^(-t/b) equal to 1 - 2|eps| and solve for t = |z - mu|. z is above mu if eps > 0,
and below mu if eps < 0.

The formula: z = mu - b sign(eps) log(1 - 2|eps|). dz/dmu = 1 and dz/dlogb = z - mu, times dz, summed over the
samples where there are several.
"""

import numpy as np

from minivae import ops
from minivae.distributions import LaplacePosterior

from ..cases import normal, spread
from . import Exercise, Part

LAPLACE = LaplacePosterior(ops)


def laplace_sample(mu, logb, eps):
    """z = mu - b sign(eps) log(1 - 2 |eps|), b = exp(logb): a draw from Laplace(mu, b), like eps.

    mu, logb (B, L); eps uniform on (-1/2, 1/2), (B, L) or (S, B, L).
    """
    return LAPLACE.sample(mu, logb, eps)


def laplace_sample_backward(dz, mu, logb, eps):
    """dz like eps -> dmu, dlogb (B, L), summed over the samples."""
    return LAPLACE.sample_backward(dz, mu, logb, eps)


def draws(eps, backward=False):
    """mu, logb and eps, after dz in the backward pass; eps is uniform."""
    shapes = {"mu": "BL", "logb": "BL", "eps": eps}

    def draw(rng, n):
        args = normal(**({"dz": eps} if backward else {}), **shapes)(rng, n)
        return args | {"logb": 0.6 * args["logb"], "eps": rng.uniform(-0.5, 0.5, args["eps"].shape)}

    return draw


def far(backward=False):
    """mu = 0; eps near 0 and very near +-1/2; scales from e^-30 to e^29."""
    logb, _ = spread(30)
    near = np.array([1e-4, 1e-3, 1e-2, 0.1, 0.3, 0.49, 0.4999999, 0.5 - 1e-12])
    eps = np.resize(np.concatenate([near, -near]), logb.shape)
    args = {"mu": 0 * logb, "logb": logb, "eps": eps}
    yield "mu = 0, eps from 1e-4 to 1/2 - 1e-12", ({"dz": 1.0 + 0 * logb} if backward else {}) | args


SCALE_SLIPS = """
    b = exp(0.5 * logb)  # logb is read as a log-variance: b = exp(logb), without 1/2
    b = logb  # logb is taken for the scale itself: b = exp(logb)
    b = sqrt(0.5) * exp(logb)  # b is divided by sqrt(2), as if e^logb was the standard deviation
    away = -b * sign(eps) * log(1 - abs(eps))  # the 2 is missing: 1 - 2|eps| reaches 0 at eps = +-1/2
    away = -b * log1p(-2 * abs(eps))  # the sign of eps is missing: z is never below mu, an exponential draw
    away = b * sign(eps) * log1p(-2 * abs(eps))
        # z falls as eps grows: the logarithm is negative, so a minus sign belongs before it
    away = -b * sign(eps) * log(1 - 2 * eps)  # |eps| is needed in the logarithm: for eps < 0 it is wrong
    away = -b * sign(eps) * log(2 * abs(eps))
        # the logarithm is that of 2|eps|: z would be infinite at eps = 0 and mu at +-1/2; use 1 - 2|eps|
    away = b * eps  # the noise is used as it is: z would be uniform, not Laplace
    away = -log1p(-2 * abs(eps)) * sign(eps) / b  # the noise is divided by b: b is a scale, not a rate
    away = -sign(eps) * log1p(-2 * abs(eps))  # b is missing
    away = -b * sign(eps) * log1p(-2 * abs(eps) + SMALL)
    away = -b * sign(eps) * log(maximum(1 - 2 * abs(eps), SMALL))
        # SMALL is added in the logarithm, or cuts it off: inside (-1/2, 1/2) it is finite as it is
"""
FORWARD = Part(
    laplace_sample,
    returns="z",
    walk="""
    b = exp(logb)  # (B, L)
    away = -b * sign(eps) * log1p(-2 * abs(eps))  # like eps: z - mu
    z = mu + away  # like eps
    """,
    slips=SCALE_SLIPS
    + """
    z = mu - away  # z falls as eps grows: z - mu has the sign of eps
    z = b * (mu + away / b)  # mu is multiplied by b as well
    z = mu * away  # z is a product: the noise is added to mu
    """,
    cases={
        "every z": draws("BL"),
        "every z of several samples": draws("SBL"),
    },
    far={"z for eps near 0 and near +-1/2": far},
    single=False,
)

BACKWARD = Part(
    laplace_sample_backward,
    returns="dmu dlogb",
    walk="""
    b = exp(logb)  # (B, L)
    away = -b * sign(eps) * log1p(-2 * abs(eps))  # like eps: z - mu
    by_mu = dz  # like eps
    by_logb = dz * away  # like eps: the derivative of b = e^logb with respect to logb is b itself
    dmu = by_mu.sum(axis=0) if eps.ndim == 3 else by_mu  # (B, L)
    dlogb = by_logb.sum(axis=0) if eps.ndim == 3 else by_logb  # (B, L)
    """,
    slips="""
    by_logb = dz * away / b
        # this is the derivative with respect to b: with respect to logb it is b times that
    by_logb = dz * 0.5 * away  # 1/2 is that of a log-variance: logb is the logarithm of the scale itself
    by_logb = dz * (mu + away)  # dlogb has z where z - mu belongs
    by_logb = dz * (away - mu)  # mu is subtracted twice: z - mu is the noise times b
    by_logb = dz * abs(away)  # dlogb has |z - mu|: below mu a larger b moves z down, so the sign counts
    by_logb = dz * (abs(away) / b - 1)
        # this is the score, d log q / dlogb at fixed z: what belongs here is dz/dlogb
    by_mu = dz * sign(away) / b
        # this is the score, d log q / dmu at fixed z: what belongs here is dz/dmu = 1
    by_logb = dz * eps * b  # dlogb is that of uniform noise: z - mu is not b eps
    dmu = by_mu.sum(axis=0); dlogb = by_logb.sum(axis=0)
        # the sum over axis 0 is taken for eps of shape (B, L) too: there axis 0 is the batch
    dmu = by_mu; dlogb = by_logb
        # the samples are not summed: one mu and one logb serve all S of them
    dmu = by_mu.mean(axis=0) if eps.ndim == 3 else by_mu; \
dlogb = by_logb.mean(axis=0) if eps.ndim == 3 else by_logb
        # the derivatives are averaged over the samples: dz has the 1/S already, so they are summed
    """
    + SCALE_SLIPS,
    cases={
        "the derivatives": draws("BL", backward=True),
        "the derivatives, several samples": draws("SBL", backward=True),
    },
    far={"the derivatives for eps near 0 and near +-1/2": lambda: far(backward=True)},
    single=False,
)

EXERCISE = Exercise(
    __doc__, lesson=18, parts=(FORWARD, BACKWARD), borrowed=("LaplacePosterior", "sample_backward")
)
