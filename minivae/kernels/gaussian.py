"""The Gaussian posterior: B x L numbers, too few to share among threads."""

import math

import numpy as np

from .. import arguments
from .compiled import operands, serial
from .likelihoods import negative_log_density


def gaussian_sample(mu, logvar, eps):
    """z = mu + std * eps; see `ops.gaussian_sample`."""
    arguments.gaussian(mu, logvar, eps=eps)
    mu, logvar, eps = operands(mu=mu, logvar=logvar, eps=eps)
    return _gaussian_sample(mu, logvar, eps.reshape(-1, mu.shape[1])).reshape(eps.shape)


@serial
def _gaussian_sample(mu, logvar, eps):
    half = mu.dtype.type(0.5)
    z = np.empty_like(eps)
    for i in range(eps.shape[0]):
        b = i % mu.shape[0]  # row i is sample i // B of datum i % B
        for j in range(mu.shape[1]):
            z[i, j] = mu[b, j] + math.exp(half * logvar[b, j]) * eps[i, j]
    return z


def gaussian_sample_backward(dz, mu, logvar, eps):
    """dz -> dmu, dlogvar; see `ops.gaussian_sample_backward`."""
    arguments.gaussian(mu, logvar, eps=eps)
    arguments.shape("dz", dz, eps.shape)
    dz, mu, logvar, eps = operands(dz=dz, mu=mu, logvar=logvar, eps=eps)
    rows = (-1, mu.shape[1])
    return _gaussian_sample_backward(dz.reshape(rows), mu, logvar, eps.reshape(rows))


@serial
def _gaussian_sample_backward(dz, mu, logvar, eps):
    half = mu.dtype.type(0.5)
    dmu, dlogvar = np.zeros_like(mu), np.zeros_like(mu)
    for i in range(eps.shape[0]):
        b = i % mu.shape[0]
        for j in range(mu.shape[1]):
            dmu[b, j] += dz[i, j]
            dlogvar[b, j] += dz[i, j] * (half * math.exp(half * logvar[b, j]) * eps[i, j])
    return dmu, dlogvar


def gaussian_kl(mu, logvar):
    """kl (B,); see `ops.gaussian_kl`."""
    arguments.gaussian(mu, logvar)
    return _gaussian_kl(*operands(mu=mu, logvar=logvar))


@serial
def _gaussian_kl(mu, logvar):
    half = mu.dtype.type(0.5)
    kl = np.zeros(mu.shape[0], mu.dtype)
    for b in range(mu.shape[0]):
        for j in range(mu.shape[1]):
            kl[b] += half * (mu[b, j] * mu[b, j] + (math.expm1(logvar[b, j]) - logvar[b, j]))
    return kl


def gaussian_kl_backward(dkl, mu, logvar):
    """dkl (B,) -> dmu, dlogvar; see `ops.gaussian_kl_backward`."""
    arguments.gaussian(mu, logvar)
    arguments.shape("dkl", dkl, mu.shape[:1])
    return _gaussian_kl_backward(*operands(dkl=dkl, mu=mu, logvar=logvar))


@serial
def _gaussian_kl_backward(dkl, mu, logvar):
    half = mu.dtype.type(0.5)
    dmu, dlogvar = np.empty_like(mu), np.empty_like(mu)
    for b in range(mu.shape[0]):
        for j in range(mu.shape[1]):
            dmu[b, j] = dkl[b] * mu[b, j]
            dlogvar[b, j] = dkl[b] * (half * math.expm1(logvar[b, j]))
    return dmu, dlogvar


def gaussian_log_prob(z, mu, logvar):
    """log N(z; mu, exp(logvar)); see `ops.gaussian_log_prob`."""
    arguments.gaussian(mu, logvar, z=z)
    z, mu, logvar = operands(z=z, mu=mu, logvar=logvar)
    # -log N(z; mu, exp(logvar)) is the same formula as a Gaussian likelihood's
    return -negative_log_density(mu, logvar, z.reshape(-1, mu.shape[1])).reshape(z.shape[:-1])


def gaussian_score(z, mu, logvar):
    """Score of q at z -> dmu, dlogvar like z; see `ops.gaussian_score`."""
    arguments.gaussian(mu, logvar, z=z)
    z, mu, logvar = operands(z=z, mu=mu, logvar=logvar)
    dmu, dlogvar = _gaussian_score(z.reshape(-1, mu.shape[1]), mu, logvar)
    return dmu.reshape(z.shape), dlogvar.reshape(z.shape)


@serial
def _gaussian_score(z, mu, logvar):
    one, half = mu.dtype.type(1), mu.dtype.type(0.5)
    dmu, dlogvar = np.empty_like(z), np.empty_like(z)
    for i in range(z.shape[0]):
        b = i % mu.shape[0]
        for j in range(mu.shape[1]):
            away = z[i, j] - mu[b, j]
            dmu[i, j] = away * math.exp(-logvar[b, j])
            dlogvar[i, j] = half * (away * dmu[i, j] - one)
    return dmu, dlogvar
