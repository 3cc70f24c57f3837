"""Say how likely a z is under q, as a logarithm

Write the log-density of N(mu, exp(logvar)) at z: one number for each row of the batch, summed over the
latents. z may have a leading axis with S samples for every row. The result keeps this axis: (S, B, L) ->
(S, B). mu and logvar have no such axis: all samples of a row share its mu and logvar. Note that logvar is the
logarithm of the variance.

Where to look: write down the density of one normal variable and take its logarithm on paper. The product of
three factors becomes a sum of three terms. The latents are independent, so their log-densities add. If you
sum over the last axis, -1, the same line works for (B, L) and (S, B, L).

The formula: N(z; mu, s^2) = exp(-(z - mu)^2 / (2 s^2)) / sqrt(2 pi s^2), with s^2 = e^logvar. So the
logarithm is -1/2 log 2 pi - 1/2 logvar - 1/2 (z - mu)^2 e^-logvar, for each latent.
"""

import numpy as np

from minivae import ops

from ..cases import normal
from . import Exercise, Part


def far():
    """Small and large variances; then z so far from mu that the density is 0 in double precision.

    At logvar = -40 the variance is 4e-18: a small number added to it changes it, and a clipped logvar shows.
    """
    logvar = np.outer([-40.0, -25.0, -12.0, -6.0, 6.0, 12.0, 25.0, 40.0], [1.0, 0.98])
    std, distance = np.exp(logvar / 2), np.linspace(-1.1, 2.6, 16).reshape(8, 2)
    yield "with logvar from -40 to 40", {"z": std * distance, "mu": 0.5 * std, "logvar": logvar}
    mu, logvar = np.array([[1.0, -0.5], [0.3, 0.2]]), np.array([[0.4, -1], [-0.7, 0.5]])
    z = mu + np.exp(logvar / 2) * np.array([[60.0, 0.5], [-1.5, -20.0]])
    yield "z up to 60 standard deviations from mu", {"z": z, "mu": mu, "logvar": logvar}


# what may be wrong in the lines `squared` and `each` of a Gaussian log-density at {z} with the mean {mu}
DENSITY = """
    each = log(2 * pi) + logvar + 2 * squared  # the 1/2 of the exponent is missing
    each = log(2 * pi) + 2 * logvar + 2 * squared  # the 1/2 is applied to log 2 pi alone
    each = 2 * log(2 * pi) + 2 * logvar + squared  # the 1/2 is applied to the square alone
    each = 2 * log(2 * pi) + logvar + squared  # log 2 pi counts twice: the density has 1 / sqrt(2 pi)
    each = log(2 * pi) + 2 * logvar + squared  # logvar counts twice: log std is logvar / 2
    squared = ({z} - {mu})**2 / logvar  # the square is divided by logvar: the variance is e^logvar
    squared = abs({z} - {mu}) * exp(-0.5 * logvar)  # |{z} - {mu}| is not squared: this is Laplace's density
    each = log(2 * pi) + log(logvar) + squared
    each = log(2 * pi) + log(abs(logvar)) + squared  # the log of logvar is taken: it is a logarithm already
    each = (log(2 * pi) + logvar + squared) / log(2)  # this is a logarithm to base 2: np.log is natural
"""
HIDDEN = "is added to the density, or is its lower limit, which hides the underflow: add logarithms instead"

LOG_PROB = Part(
    ops.gaussian_log_prob,
    returns="log_prob",
    walk="""
        squared = (z - mu)**2 * exp(-logvar)  # (..., B, L)
        each = log(2 * pi) + logvar + squared  # (..., B, L)
        log_prob = -0.5 * each.sum(axis=-1)
    """,
    slips=DENSITY.format(z="z", mu="mu")
    + f"""
    log_prob = -0.5 * (log(2 * pi) + (logvar + squared).sum(axis=-1))
        # log 2 pi is outside the sum: it must count once for each latent
    log_prob = exp(-0.5 * each.sum(axis=-1))  # this is the density itself: return its logarithm
    log_prob = exp(-0.5 * each).sum(axis=-1)
    log_prob = log(exp(-0.5 * each).sum(axis=-1))  # the densities are added: they must be multiplied
    log_prob = log(maximum(exp(-0.5 * each).prod(axis=-1), SMALL))
    log_prob = log(exp(-0.5 * each).prod(axis=-1) + SMALL)  # SMALL {HIDDEN}
    log_prob = -0.5 * ((each - squared).sum(axis=-1) + ((z - mu) * exp(-0.5 * logvar)).sum(axis=-1)**2)
        # the latents are added before they are squared: square first, then add
    """,
    cases={
        "one z for each row": normal(z="BL", mu="BL", logvar="BL"),
        "S samples of z": normal(z="SBL", mu="BL", logvar="BL"),
    },
    far={"far from the mean, small and large variances": far},
)

EXERCISE = Exercise(__doc__, lesson=1, parts=(LOG_PROB,), borrowed=("log_prob",))
