"""What the decoder said against what was there: B x D numbers, a row to a thread."""

import math

import numpy as np
from numba import prange

from .. import arguments
from ..ops import LOG_2PI, sum_to_shape
from .compiled import operands, parallel


def bernoulli_nll(logits, x):
    """nll (B,) or (S, B) from logits; see `ops.bernoulli_nll`."""
    arguments.likelihood("logits", logits, x)
    logits, x = operands(logits=logits, x=x)
    return _bernoulli_nll(logits.reshape(-1, x.shape[1]), x).reshape(logits.shape[:-1])


@parallel
def _bernoulli_nll(logits, x):
    zero = x.dtype.type(0)
    nll = np.empty(logits.shape[0], x.dtype)
    for i in prange(logits.shape[0]):
        total = 0.0  # in double precision: a row is hundreds of terms of like size
        b = i % x.shape[0]
        for j in range(x.shape[1]):
            logit = logits[i, j]
            total += (max(logit, zero) - x[b, j] * logit) + math.log1p(math.exp(-abs(logit)))
        nll[i] = total
    return nll


def bernoulli_nll_backward(dnll, logits, x):
    """dnll -> dlogits; see `ops.bernoulli_nll_backward`."""
    arguments.likelihood("logits", logits, x)
    arguments.shape("dnll", dnll, logits.shape[:-1])
    dnll, logits, x = operands(dnll=dnll, logits=logits, x=x)
    dlogits = _bernoulli_nll_backward(dnll.reshape(-1), logits.reshape(-1, x.shape[1]), x)
    return dlogits.reshape(logits.shape)


@parallel
def _bernoulli_nll_backward(dnll, logits, x):
    one, zero = x.dtype.type(1), x.dtype.type(0)
    dlogits = np.empty_like(logits)
    for i in prange(logits.shape[0]):
        b = i % x.shape[0]
        for j in range(x.shape[1]):
            t = math.exp(-abs(logits[i, j]))
            probability = (one if logits[i, j] >= zero else t) / (one + t)
            dlogits[i, j] = dnll[i] * (probability - x[b, j])
    return dlogits


def gaussian_nll(mean, logvar, x):
    """nll (B,) or (S, B), a true density; see `ops.gaussian_nll`."""
    arguments.likelihood("mean", mean, x)
    arguments.variance(logvar, mean)
    mean, logvar, x = operands(mean=mean, logvar=np.broadcast_to(logvar, mean.shape), x=x)
    rows = (-1, x.shape[1])
    # symmetric in mean and x: x, with its B rows, is the one that repeats
    return negative_log_density(x, logvar.reshape(rows), mean.reshape(rows)).reshape(mean.shape[:-1])


@parallel
def negative_log_density(mean, logvar, x):
    """One row of x after the other against row i % B of mean, and of logvar if it has as few."""
    half, constant = x.dtype.type(0.5), x.dtype.type(LOG_2PI)
    nll = np.empty(x.shape[0], x.dtype)
    for i in prange(x.shape[0]):
        total = 0.0
        for j in range(x.shape[1]):
            spread = logvar[i % logvar.shape[0], j]
            away = x[i, j] - mean[i % mean.shape[0], j]
            total += half * (constant + spread + away * away * math.exp(-spread))
        nll[i] = total
    return nll


def gaussian_nll_backward(dnll, mean, logvar, x):
    """dnll -> dmean, dlogvar; see `ops.gaussian_nll_backward`."""
    arguments.likelihood("mean", mean, x)
    arguments.variance(logvar, mean)
    arguments.shape("dnll", dnll, mean.shape[:-1])
    shape = np.shape(logvar)
    dnll, mean, logvar, x = operands(dnll=dnll, mean=mean, logvar=np.broadcast_to(logvar, mean.shape), x=x)
    rows = (-1, x.shape[1])
    dmean, dlogvar = _gaussian_nll_backward(dnll.reshape(-1), mean.reshape(rows), logvar.reshape(rows), x)
    return dmean.reshape(mean.shape), sum_to_shape(dlogvar.reshape(mean.shape), shape)


@parallel
def _gaussian_nll_backward(dnll, mean, logvar, x):
    one, half = x.dtype.type(1), x.dtype.type(0.5)
    dmean, dlogvar = np.empty_like(mean), np.empty_like(mean)
    for i in prange(mean.shape[0]):
        for j in range(x.shape[1]):
            away = mean[i, j] - x[i % x.shape[0], j]
            scaled = away * math.exp(-logvar[i, j])
            dmean[i, j] = dnll[i] * scaled
            dlogvar[i, j] = dnll[i] * half * (one - away * scaled)
    return dmean, dlogvar
