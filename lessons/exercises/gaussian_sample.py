"""Exercise: the reparameterization, a draw of z that can be differentiated, and its derivatives."""

import numpy as np

from minivae import ops

from . import Exercise, Part

STD_SLIPS = """
    std = exp(logvar)  # std is exp(logvar): that is the variance, and std = exp(0.5 * logvar)
    std = sqrt(logvar)  # std is the root of logvar, NaN where that is negative: std = exp(0.5 * logvar)
    std = logvar  # logvar is taken for the standard deviation: std = exp(0.5 * logvar)
    std = exp(0.25 * logvar)  # std is exp(logvar / 4): the 1/2, or the root, is applied twice
    std = exp(logvar // 2)  # logvar // 2 is rounded down to a whole number: write 0.5 * logvar
    std = log1p(exp(logvar))
        # std is softplus(logvar), as in some networks: from a log-variance it is exp(0.5 * logvar)
    std = exp(0.5 * logvar) + SMALL  # a small number is added to std: std is never 0, so add nothing
    std = sqrt(exp(logvar) + SMALL)  # a small number is added to the variance: it is never 0, so add nothing
    std = maximum(exp(0.5 * logvar), SMALL)
        # small standard deviations are cut off: any positive one is right
    std = 1  # std does not depend on logvar: std = exp(0.5 * logvar)
"""


def draw(rng, n, *samples):
    """mu, logvar (B, L); eps (*samples, B, L)."""
    mu, logvar = rng.normal(0.4, 1.0, (n.B, n.L)), rng.normal(-0.5, 0.9, (n.B, n.L))
    return {"mu": mu, "logvar": logvar, "eps": rng.standard_normal((*samples, n.B, n.L))}


def draw_backward(rng, n, *samples):
    """dz like eps as well."""
    return {"dz": rng.normal(0.2, 1.0, (*samples, n.B, n.L))} | draw(rng, n, *samples)


def far():
    """mu = 0, logvar from -60 to 59: then every entry of z shows its own std."""
    rng = np.random.default_rng(7)
    logvar = rng.permutation(np.linspace(-60, 59, 33)).reshape(11, 3)
    eps = rng.uniform(0.5, 2.0, (11, 3)) * rng.choice([-1, 1], (11, 3))
    yield "mu = 0, logvar from -60 to 59", {"mu": 0 * logvar, "logvar": logvar, "eps": eps}


def far_backward():
    """The same."""
    for note, args in far():
        yield note, {"dz": np.random.default_rng(8).uniform(0.5, 2.0, (11, 3))} | args


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
        z = mu - std * eps
            # z is mu - std * eps: that has the right mean and variance, but z must grow with eps
        z = logvar + exp(0.5 * mu) * eps
            # mu and logvar are swapped: z has the mean logvar and the variance e^mu
        z = mu + std * eps[0]  # only the first noise is used: z has the shape of eps
    """,
    cases={
        "every z": draw,
        "every z of several samples": lambda rng, n: draw(rng, n, n.S),
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
        by_logvar = dz * 0.25 * std * eps
            # dlogvar has the 1/2 twice: the 0.5 of exp(0.5 * logvar) comes down once
        by_logvar = dz * 0.5 * std  # dlogvar lacks eps: z has std * eps, and so does its derivative
        by_logvar = dz * 0.5 * eps
            # dlogvar lacks std: the derivative of exp(0.5 * logvar) is 0.5 * exp(0.5 * logvar)
        by_logvar = dz * eps
            # dlogvar is the derivative with respect to std: with respect to logvar it is std / 2 times that
        by_logvar = dz * 0.5 * (mu + std * eps)
            # dlogvar has z where std * eps belongs: mu does not depend on logvar
        by_mu = 0 * dz + 1; by_logvar = 0.5 * std * eps  # dz is missing: it is a factor of every derivative
        dmu = by_mu.mean(axis=0) if eps.ndim == 3 else by_mu; \
dlogvar = by_logvar.mean(axis=0) if eps.ndim == 3 else by_logvar
            # dmu and dlogvar are averaged over the S samples: add them, the mean of the loss is in dz
        dmu = by_mu; dlogvar = by_logvar
            # the sum over the samples is missing: all S of them share one mu and logvar
        dmu = by_mu.sum(axis=0); dlogvar = by_logvar.sum(axis=0)
            # the sum over axis 0 is taken for eps of shape (B, L) too: there axis 0 is the batch
        dmu = np.squeeze(by_mu); dlogvar = np.squeeze(by_logvar)
            # axes of size 1 are squeezed away: dmu is (B, L)
        dlogvar = 0.5 * std * dz.sum(axis=0) * eps.sum(axis=0) if eps.ndim == 3 else by_logvar
            # dlogvar is a product of two sums over the samples: multiply dz and eps first, then add
    """
    + STD_SLIPS,
    cases={
        "the derivatives": draw_backward,
        "the derivatives, several samples": lambda rng, n: draw_backward(rng, n, n.S),
    },
    far={"the derivatives for very small and very large variances": far_backward},
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
        "All but the last line:\n"
        "    std = np.exp(0.5 * logvar)                 # (B, L)\n"
        "and backward:\n"
        "    dmu = dz                                   # like eps\n"
        "    dlogvar = dz * 0.5 * std * eps             # like eps\n"
        "    if eps.ndim == 3:                          # S samples share one mu and logvar\n"
        "        dmu, dlogvar = dmu.sum(axis=0), dlogvar.sum(axis=0)",
    ),
)
