"""Differentiate a log-density

Write the score of q = N(mu, exp(logvar)): the derivatives of log q(z) with respect to mu and to logvar, where
z is a constant. Return one entry for each entry of z; do not sum. z may be (B, L), or (S, B, L): S samples of
each row. Each latent has log q = -1/2 (log 2 pi + logvar + (z - mu)^2 e^-logvar).

Where to look: lesson 6, the score function. Take one latent, write down log q(z), and differentiate it twice,
each time with z as a constant: only the square depends on mu, two terms depend on logvar.

The formula: with respect to mu it is (z - mu) e^-logvar; with respect to logvar, 1/2 ((z - mu)^2 e^-logvar -
1). Under q both have mean zero, as every score does: the mean of z - mu is 0, that of its square e^logvar.
"""

import numpy as np

from minivae import ops

from ..cases import normal, spread
from . import Exercise, Part

WALK = """
    off = z - mu  # like z
    squared = off**2 * exp(-logvar)  # like z: the square is divided by the variance once
    dmu = off * exp(-logvar)  # like z: in a narrow q, a step of mu changes log q by more
    dlogvar = 0.5 * (squared - 1)  # like z: log q has the term -1/2 logvar as well
"""
SLIPS = """
    dmu = off * exp(-0.5 * logvar)  # dmu is (z - mu) / std, which is eps: divide by the variance, e^logvar
    dmu = off * exp(-1.5 * logvar)  # dmu is eps e^-logvar: (z - mu) e^-logvar is eps / std
    dlogvar = (squared - 1) * exp(-0.5 * logvar)
        # dlogvar is the derivative with respect to std: with respect to logvar it is std / 2 times that
    dlogvar = 0.5 * (squared - 1) * exp(-logvar)
        # dlogvar is the derivative w.r.t. the variance: w.r.t. logvar it is e^logvar times that
    dmu = off / logvar; squared = off**2 / logvar  # logvar is taken for the variance: that is e^logvar
    dmu = off / logvar**2; squared = off**2 / logvar**2  # logvar is taken for std: e^logvar is the variance
    log_q = -0.5 * (log(2 * pi) + logvar + squared); dmu = off * exp(log_q - logvar); \
dlogvar = 0.5 * (squared - 1) * exp(log_q)
        # dmu is multiplied by the density: that is the derivative of q, and the score is that of log q
    log_q = -0.5 * (log(2 * pi) + logvar + squared); dmu = off * exp(-logvar) * log_q; \
dlogvar = 0.5 * (squared - 1) * log_q  # the score is multiplied by log q: the score is the derivative alone
    log_q = -0.5 * (log(2 * pi) + logvar + squared); dmu = log_q; dlogvar = log_q
        # dmu and dlogvar are log q itself: expected its derivatives
"""


def renamed(text):
    """The walk or its slips as part of another walk, where by_mu and by_logvar are the score."""
    text = text.replace("dmu = ", "by_mu = ").replace("dlogvar = ", "by_logvar = ")
    return text.replace("dmu", "the score of mu").replace("dlogvar", "the score of logvar")


def far():
    """Very small and very large variances, z some standard deviations from mu = 0."""
    logvar, e = spread(60)
    yield "mu = 0, logvar from -60 to 59", {"z": np.exp(logvar / 2) * e, "mu": 0 * logvar, "logvar": logvar}


SCORE = Part(
    ops.gaussian_score,
    returns="dmu dlogvar",
    walk=WALK,
    slips=SLIPS,
    cases={
        "one z for each row": normal(z="BL", mu="BL", logvar="BL"),
        "several samples": normal(z="SBL", mu="BL", logvar="BL"),
    },
    far={"very small and very large variances": far},
)

EXERCISE = Exercise(__doc__, lesson=6, parts=(SCORE,))
