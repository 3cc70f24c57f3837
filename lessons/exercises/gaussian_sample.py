"""Exercise: the reparameterization, a draw of z that can be differentiated, and its derivatives."""

import numpy as np

from minivae import ops

from ..cases import normal, upstream
from . import Exercise, Part

STD_SLIPS = """
    std = exp(logvar)  # std is exp(logvar): that is the variance, and std = exp(0.5 * logvar)
    std = sqrt(logvar)  # std is the root of logvar, NaN where that is negative: std = exp(0.5 * logvar)
    std = logvar  # logvar is taken for the standard deviation: std = exp(0.5 * logvar)
    std = exp(logvar // 2)  # logvar // 2 is rounded down to a whole number: write 0.5 * logvar
    std = log1p(exp(logvar))  # std is softplus(logvar): of a log-variance it is exp(0.5 * logvar)
    std = 1  # std does not depend on logvar: std = exp(0.5 * logvar)
"""


def far():
    """mu = 0, logvar from -60 to 59: then every entry of z shows its own std."""
    rng = np.random.default_rng(7)
    logvar = rng.permutation(np.linspace(-60, 59, 33)).reshape(11, 3)
    eps = rng.uniform(0.5, 2.0, (11, 3)) * rng.choice([-1, 1], (11, 3))
    yield "mu = 0, logvar from -60 to 59", {"mu": 0 * logvar, "logvar": logvar, "eps": eps}


FORWARD = Part(
    ops.gaussian_sample,
    returns="z",
    walk="""
    std = exp(0.5 * logvar)  # (B, L)
    z = mu + std * eps  # like eps
    """,
    slips=STD_SLIPS
    + """
    z = std * (mu + eps)  # mu is multiplied by the standard deviation as well
    z = mu - std * eps  # z is mu - std * eps: that has the right mean and variance, but z must grow with eps
    z = logvar + exp(0.5 * mu) * eps  # mu and logvar are swapped: z has the mean logvar and the variance e^mu
    """,
    cases={
        "every z": normal(mu="BL", logvar="BL", eps="BL"),
        "every z of several samples": normal(mu="BL", logvar="BL", eps="SBL"),
    },
    far={"z for very small and very large variances": far},
)

BACKWARD = Part(
    ops.gaussian_sample_backward,
    returns="dmu dlogvar",
    walk="""
    std = exp(0.5 * logvar)  # (B, L)
    by_mu = dz  # like eps
    by_logvar = dz * 0.5 * std * eps  # like eps
    dmu = by_mu.sum(axis=0) if eps.ndim == 3 else by_mu  # (B, L)
    dlogvar = by_logvar.sum(axis=0) if eps.ndim == 3 else by_logvar  # (B, L)
    """,
    slips="""
    by_logvar = dz * std * eps  # dlogvar lacks the 1/2: std = exp(0.5 * logvar), and the 0.5 comes down
    by_logvar = dz * 0.5 * std  # dlogvar lacks eps: z has std * eps, and so does its derivative
    by_logvar = dz * 0.5 * eps  # dlogvar lacks std: the derivative of exp(a / 2) is 1/2 exp(a / 2)
    by_logvar = dz * eps  # dlogvar is the derivative with respect to std: it is std / 2 times that
    by_logvar = dz * 0.5 * (mu + std * eps)  # dlogvar has z where std * eps belongs
    dmu = by_mu.mean(axis=0) if eps.ndim == 3 else by_mu; \
dlogvar = by_logvar.mean(axis=0) if eps.ndim == 3 else by_logvar
        # dmu and dlogvar are averaged over the S samples: add them, the mean of the loss is in dz
    dmu = by_mu; dlogvar = by_logvar  # the sum over the samples is missing: all share one mu and logvar
    dmu = by_mu.sum(axis=0); dlogvar = by_logvar.sum(axis=0)
        # the sum over axis 0 is taken for eps of shape (B, L) too: there axis 0 is the batch
    dlogvar = 0.5 * std * dz.sum(axis=0) * eps.sum(axis=0) if eps.ndim == 3 else by_logvar
        # dlogvar is a product of two sums over the samples: multiply dz and eps first, then add
    """
    + STD_SLIPS,
    cases={
        "the derivatives": normal(dz="BL", mu="BL", logvar="BL", eps="BL"),
        "the derivatives, several samples": normal(dz="SBL", mu="BL", logvar="BL", eps="SBL"),
    },
    far={"the derivatives for very small and very large variances": upstream("dz", far)},
)

EXERCISE = Exercise(
    lesson=6,
    title="Draw z so that it has a derivative",
    task="""
    Write the reparameterization: z from mu, logvar and noise that is passed in; and its backward pass: a
    derivative dz arrives from the decoder and goes on to mu and logvar. eps and dz may be (B, L), one z for
    each row, or (S, B, L), S of them; dmu and dlogvar are (B, L) in both cases. std = exp(0.5 * logvar) is
    yours to write.
    """,
    parts=(FORWARD, BACKWARD),
    hints=(
        "Where to look: lesson 6, the reparameterization. z is elementwise, and (S, B, L) broadcasts "
        "against (B, L) by itself. Backward: eps is a constant; differentiate z with respect to mu, then "
        "with respect to logvar, by the chain rule through std. One mu serves all S samples.",
        "The formula: z = mu + std eps. dz/dmu = 1; dz/dlogvar = dstd/dlogvar eps = 1/2 std eps. Both "
        "times dz, and summed over the samples where there are several.",
    ),
)
