"""Exercise: the log-density of a Gaussian with its own mean and variance for every latent."""

import math
from statistics import NormalDist

import numpy as np

from minivae import ops

from .. import judging
from ..judging import Exercise
from ..slips import gaussian_log_prob as slips
from ..slips.gaussian_log_prob import LOG_2PI, WRONG

S, B, L = 5, 11, 3
SIZES = {"S": S, "B": B, "L": L}


def example():
    """z (S, B, L), mu and logvar (B, L)."""
    rng = np.random.default_rng(11)
    mu, logvar = rng.normal(0.4, 1.0, (B, L)), rng.normal(-0.3, 0.8, (B, L))
    return rng.normal(0.2, 1.5, (S, B, L)), mu, logvar


def reference(z, mu, logvar):
    """One number at a time, from the normal density of the standard library: like z without its last axis."""
    total = np.zeros(z.shape[:-1])
    for index in np.ndindex(z.shape):
        at = index[-2:]
        density = NormalDist(mu[at], math.sqrt(math.exp(logvar[at]))).pdf(z[index])
        total[index[:-1]] += math.log(density)
    return total


def spreads():
    """logvar (8, 2) from -40 to 40, distances from the mean in standard deviations, and sum(log 2 pi + ...).

    Where logvar = -40 the variance is 4e-18: whatever is added to it for safety changes it, and a clipped
    logvar shows.
    """
    logvar = np.outer([-40.0, -25.0, -12.0, -6.0, 6.0, 12.0, 25.0, 40.0], [1.0, 0.98])
    distance = np.linspace(-1.6, 2.1, 16).reshape(8, 2)
    return logvar, distance, (LOG_2PI + logvar + distance**2).sum(axis=-1)


def far():
    """mean, logvar and distance (3, 2): up to 60 standard deviations, where the density is 0 in doubles."""
    mean, logvar = [[1.0, -0.5], [0.3, 0.2], [-1.0, 2.0]], [[0.4, -1], [-0.7, 0.5], [0.2, -0.3]]
    return np.array(mean), np.array(logvar), np.array([[60.0, 0.5], [-1.5, -20.0], [1.0, 2.0]])


# ------------------------------------------------------------------------------ checks


def check_one(its):
    """z (B, L): one number for each datum."""
    samples, mu, logvar = example()
    _values(its, samples[1], mu, logvar)


def check_samples(its):
    """z (S, B, L): one number for each sample and datum."""
    z, mu, logvar = example()
    for several in (z, np.resize(z, (B, B, L))):
        with judging.noted(f"z has shape (S, B, L) = {several.shape}, mu and logvar {(B, L)}"):
            _values(its, several, mu, logvar)


def _values(its, z, mu, logvar):
    judging.expect(
        "log_prob",
        its.gaussian_log_prob(z, mu, logvar),
        reference(z, mu, logvar),
        SIZES,
        wrong=slips.of_log_prob(z, mu, logvar),
        terms=slips.terms(z, mu, logvar),
        formula={"log 2 pi": -0.5, "logvar": -0.5, "(z-mu)^2 e^-logvar": -0.5},
        inputs={"logvar": logvar, "mu": mu, "z": z},
    )


def check_spreads(its):
    """Small and large variances, with z a few standard deviations away."""
    logvar, distance, total = spreads()
    std = np.exp(logvar / 2)
    mu, z = 0.5 * std, std * (0.5 + distance)
    fixed = (f"log 2 pi is counted {L} times, and L is 2 here: take L from a shape", -0.5 * (total + LOG_2PI))
    judging.expect(
        "log_prob",
        its.gaussian_log_prob(z, mu, logvar),
        -0.5 * total,
        {"B": 8, "L": 2},
        wrong=[fixed, *slips.of_log_prob(z, mu, logvar)],
        inputs={"logvar": logvar},
        note="with logvar from -40 to 40",
    )


def check_far(its):
    """z 60 standard deviations from mu: the density is 0 in double precision, its logarithm is -1800."""
    mu, logvar, distance = far()
    z = mu + np.exp(logvar / 2) * distance
    got, want = its.gaussian_log_prob(z, mu, logvar), -0.5 * (LOG_2PI + logvar + distance**2).sum(axis=1)
    judging.finite(got, want, slips.UNDERFLOW.format("log_prob", "z", "mu"))
    wrong = judging.mistaken(WRONG, "gaussian_log_prob", z, mu, logvar)
    judging.expect("log_prob", got, want, wrong=wrong, inputs={"the distance (z - mu) / std": distance})


def check_ones(its):
    """Axes of size 1 stay."""
    mu, logvar = np.array([[0.7]]), np.array([[-0.6]])
    for z in (np.array([[1.3]]), np.array([[[1.3]]])):
        got = its.gaussian_log_prob(z, mu, logvar)
        judging.ones("log_prob", got, z.shape[:-1], f"z has shape {z.shape}")
        judging.expect("log_prob", got, reference(z, mu, logvar), note=f"z has shape {z.shape}")


CHECKS = {
    "one z for each datum": check_one,
    "S samples of z": check_samples,
    "small and large variances": check_spreads,
    "far from the mean": check_far,
    "a single latent": check_ones,
}

EXERCISE = Exercise(
    lesson=1,
    title="Say how likely a z is under q, as a logarithm",
    task="""
    Write the log-density of N(mu, exp(logvar)) at z: one number for each datum, the latents added up. z may
    hold S samples of every datum in a leading axis, which stays: (S, B, L) -> (S, B). mu and logvar have
    none, all samples of a datum share its row. Mind what logvar is: the logarithm of the variance.
    """,
    functions=(ops.gaussian_log_prob,),
    hints=(
        "Where to look: write down the density of one normal number and take its logarithm on paper, where "
        "the product of three factors becomes a sum of three terms. Latents are independent: their log-"
        "densities add. Written with the last axis, -1, the same line serves (B, L) and (S, B, L).",
        "The formula: N(z; mu, s^2) = exp(-(z - mu)^2 / (2 s^2)) / sqrt(2 pi s^2), with s^2 = e^logvar. So "
        "the logarithm is -1/2 log 2 pi - 1/2 logvar - 1/2 (z - mu)^2 e^-logvar, for each latent.",
        "All but the last line:\n"
        "    squared = (z - mu) ** 2 * np.exp(-logvar)                   # like z\n"
        "    each = -0.5 * (np.log(2 * np.pi) + logvar + squared)        # like z",
    ),
    checks=CHECKS,
    wrong=WRONG,
    borrowed=("log_prob",),
)
