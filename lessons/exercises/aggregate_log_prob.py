"""Compute the density of all codes together

The encoder has a q(z|x) for each x. Drawing an x at random, and then z from its q, gives the aggregate
posterior

    q(z) = 1/B sum over b of N(z; mu_b, exp(logvar_b))

Write its logarithm at each of the points z (S, L), with mu and logvar (B, L). The result is S numbers. You
need the density of every z under every q, and a density may be smaller than the smallest float.

Where to look: lesson 14, section 3. z[:, None] is (S, 1, L), so z[:, None] - mu is (S, B, L). The latents of
one q are independent, so their log-densities add. The B densities of a z are averaged, not multiplied.

The formula: with a_sb = -1/2 sum_l (log 2 pi + logvar_bl + (z_sl - mu_bl)^2 e^-logvar_bl) and m_s the largest
a_s, log q(z_s) = m_s + log( 1/B sum_b e^(a_sb - m_s) ).
"""

import numpy as np

from ..cases import normal
from . import Exercise, Part


def far():
    """Points where every density underflows, and narrow q's."""
    mu = np.array([[0.0, 1.0, -1.0], [2.0, 0.0, 0.5], [-3.0, 1.0, 0.0], [0.5, 0.5, 0.5]])
    logvar = np.array([[0.0, -1.0, 0.5], [-20.0, -25.0, -30.0], [-12.0, 1.0, 2.0], [0.1, 0.2, -0.3]])
    z = np.array([[60.0, -50.0, 40.0], [0.0, 1.0, -1.0], [2.0, 0.0, 0.5], [2e3, 1e3, -1e3], [-3.0, 1.0, 9.0]])
    yield "with points where every density underflows", {"z": z, "mu": mu, "logvar": logvar}


def aggregate_log_prob(z, mu, logvar):
    """log 1/B sum_b N(z_s; mu_b, exp(logvar_b)): z (S, L), mu and logvar (B, L) -> (S,), nats."""
    away = z[:, None] - mu  # (S, B, L)
    each = -0.5 * (np.log(2 * np.pi) + logvar + away**2 * np.exp(-logvar)).sum(axis=-1)  # (S, B)
    return np.logaddexp.reduce(each, axis=1) - np.log(len(mu))


AGGREGATE = Part(
    aggregate_log_prob,
    returns="log_q",
    walk="""
        away = z[:, None] - mu  # (S, B, L)
        each = -0.5 * (log(2 * pi) + logvar + away**2 * exp(-logvar)).sum(axis=-1)  # (S, B)
        most = each.max(axis=1, keepdims=True)  # (S, 1)
        density = exp(each - most)  # (S, B)
        log_q = most[:, 0] + log(density.mean(axis=1))
    """,
    slips="""
    log_q = each.mean(axis=1)  # this averages the logarithms: average the densities, then take the logarithm
    log_q = each.sum(axis=1)  # this multiplies the densities: average them
    log_q = most[:, 0] + log(density.sum(axis=1))  # log B is missing: the densities are averaged, not summed
    log_q = most[:, 0] + log(density.sum(axis=1)) + log(len(mu))
        # log B has the wrong sign: the average divides by B
    log_q = most[:, 0] + log(density.sum(axis=1)) - log(len(z))  # divide by B, the number of q, not by S
    log_q = most[:, 0] + log(density.sum(axis=1) / mu.shape[1])  # divide by B, the number of q, not by L
    log_q = log(exp(each).mean(axis=1))
        # the densities underflow to 0: subtract the largest logarithm before exp (log-sum-exp)
    log_q = log(exp(each).mean(axis=1) + SMALL)
        # SMALL is added to the densities: subtract the largest logarithm instead (log-sum-exp)
    log_q = each.max() + log(exp(each - each.max()).mean(axis=1))
        # one maximum is subtracted for all z: each z needs its own, or its densities underflow
    log_q = log(density.mean(axis=1))  # the largest logarithm is subtracted, but not added again
    log_q = most[:, 0]  # this uses only the q with the largest density: average over all q
    log_q = most[:, 0] - log(len(mu))  # this uses only the q with the largest density: add the others
    log_q = exp(most[:, 0]) * density.mean(axis=1)  # the logarithm is missing: this is the density
    log_q = -(most[:, 0] + log(density.mean(axis=1)))  # the sign is wrong: this is -log q(z)
    each = -0.5 * (logvar + away**2 * exp(-logvar)).sum(axis=-1)  # log 2 pi is missing: every latent has one
    each = -0.5 * (log(2 * pi) + (logvar + away**2 * exp(-logvar)).sum(axis=-1))
        # log 2 pi is added once: every latent has one, so put it inside the sum
    each = -0.5 * (log(2 * pi) + away**2 * exp(-logvar)).sum(axis=-1)  # the term logvar is missing
    each = -0.5 * (log(2 * pi) + logvar + away**2).sum(axis=-1)  # the square is not divided by the variance
    each = -0.5 * (log(2 * pi) + logvar + away**2 * exp(logvar)).sum(axis=-1)
        # the squared distance is multiplied by the variance: divide, with exp(-logvar)
    each = -0.5 * (log(2 * pi) + logvar + away**2 * exp(-logvar)).mean(axis=-1)
        # the log-densities of the latents are averaged: sum them
    m = mu.mean(axis=0); log_q = -0.5 * (log(2 * pi) + logvar.mean(axis=0) + (z - m)**2 * \
exp(-logvar.mean(axis=0))).sum(axis=-1)
        # the parameters are averaged into one Gaussian: average the densities
    m = mu.mean(axis=0); v = mu.var(axis=0) + exp(logvar).mean(axis=0); \
log_q = -0.5 * (log(2 * pi) + log(v) + (z - m)**2 / v).sum(axis=-1)
        # this is one Gaussian with the mean and the variance of the mixture: use the mixture itself
    log_q = -0.5 * (log(2 * pi) + z**2).sum(axis=-1)  # this is log p(z), the prior: use the mean of the q
    log_q = most.mean() + log(density.mean(axis=0))  # the average is over the points z: average over the q
    """,
    cases={"log q(z)": normal(z="SL", mu="BL", logvar="BL")},
    far={"where the densities underflow": far},
)

EXERCISE = Exercise(__doc__, lesson=14, parts=(AGGREGATE,))
