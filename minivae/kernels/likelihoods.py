"""What the decoder said against what was there: B x D numbers, a row to a thread.

A row's sum is taken in four strands of double precision, always the same four, after a first loop has
written its terms: a sum must keep its order, and that would keep the loop over exp from vectorising.
"""

import numpy as np
from numba import prange

from .. import arguments
from ..ops import LOG_2PI, sum_to_shape
from . import elementary as el
from . import memory, threads
from .compiled import Shared, compiled
from .operands import operands


@compiled
def sum_row(terms):
    """The sum of one row, in four strands."""
    a = b = c = d = 0.0
    quarter = terms.size // 4
    first, second, third = terms[:quarter], terms[quarter : 2 * quarter], terms[2 * quarter : 3 * quarter]
    fourth, rest = terms[3 * quarter : 4 * quarter], terms[4 * quarter :]
    for j in range(quarter):
        a += first[j]
        b += second[j]
        c += third[j]
        d += fourth[j]
    for j in range(rest.size):
        a += rest[j]
    return (a + b) + (c + d)


def bernoulli_nll(logits, x):
    """nll (B,) or (S, B) from logits; see `ops.bernoulli_nll`."""
    arguments.likelihood("logits", logits, x)
    logits, x = operands(logits=logits, x=x)
    nll, terms = memory.empty(logits.shape[:-1], x.dtype), memory.empty(logits.shape, x.dtype)
    _bernoulli_nll(
        threads.worth(terms.size),
        logits.reshape(-1, x.shape[1]),
        x,
        terms.reshape(-1, x.shape[1]),
        nll.reshape(-1),
    )
    return nll


@Shared
def _bernoulli_nll(logits, x, terms, nll):
    zero = x.dtype.type(0)
    for i in prange(logits.shape[0]):
        given, target, term = logits[i], x[i % x.shape[0]], terms[i]
        for j in range(term.size):
            l = given[j]
            term[j] = ((zero if l < zero else l) - target[j] * l) + el.log1p(el.exp(-abs(l)))
        nll[i] = sum_row(term)


def bernoulli_nll_backward(dnll, logits, x):
    """dnll -> dlogits; see `ops.bernoulli_nll_backward`."""
    arguments.likelihood("logits", logits, x)
    arguments.shape("dnll", dnll, logits.shape[:-1])
    dnll, logits, x = operands(dnll=dnll, logits=logits, x=x)
    dlogits = memory.empty(logits.shape, x.dtype)
    rows = (-1, x.shape[1])
    _bernoulli_nll_backward(
        threads.worth(logits.size), dnll.reshape(-1), logits.reshape(rows), x, dlogits.reshape(rows)
    )
    return dlogits


@Shared
def _bernoulli_nll_backward(dnll, logits, x, dlogits):
    for i in prange(logits.shape[0]):
        given, target, d, scale = logits[i], x[i % x.shape[0]], dlogits[i], dnll[i]
        for j in range(d.size):
            d[j] = scale * (el.sigmoid(given[j]) - target[j])


def gaussian_nll(mean, logvar, x):
    """nll (B,) or (S, B), a true density; see `ops.gaussian_nll`."""
    arguments.likelihood("mean", mean, x)
    arguments.variance(logvar, mean)
    mean, logvar, x = operands(mean=mean, logvar=np.broadcast_to(logvar, mean.shape), x=x)
    rows = (-1, x.shape[1])
    # symmetric in mean and x: x, with its B rows, is the one that repeats
    return negative_log_density(x, logvar.reshape(rows), mean.reshape(rows)).reshape(mean.shape[:-1])


def negative_log_density(mean, logvar, x):
    """-log N(x; mean, exp(logvar)) of every row of x (N, D), against row i % B of mean and logvar."""
    nll, terms = memory.empty(x.shape[:1], x.dtype), memory.empty(x.shape, x.dtype)
    _gaussian_nll(threads.worth(x.size), mean, logvar, x, terms, nll)
    return nll


@Shared
def _gaussian_nll(mean, logvar, x, terms, nll):
    half, constant = x.dtype.type(0.5), x.dtype.type(LOG_2PI)
    for i in prange(x.shape[0]):
        given, centre, spread = x[i], mean[i % mean.shape[0]], logvar[i % logvar.shape[0]]
        term = terms[i]
        for j in range(term.size):
            away = given[j] - centre[j]
            term[j] = half * (constant + spread[j] + away * away * el.exp(-spread[j]))
        nll[i] = sum_row(term)


def gaussian_nll_backward(dnll, mean, logvar, x):
    """dnll -> dmean, dlogvar; see `ops.gaussian_nll_backward`."""
    arguments.likelihood("mean", mean, x)
    arguments.variance(logvar, mean)
    arguments.shape("dnll", dnll, mean.shape[:-1])
    shape = np.shape(logvar)
    dnll, mean, logvar, x = operands(dnll=dnll, mean=mean, logvar=np.broadcast_to(logvar, mean.shape), x=x)
    dmean, dlogvar = memory.empty(mean.shape, x.dtype), memory.empty(mean.shape, x.dtype)
    rows = (-1, x.shape[1])
    _gaussian_nll_backward(
        threads.worth(mean.size),
        dnll.reshape(-1),
        mean.reshape(rows),
        logvar.reshape(rows),
        x,
        dmean.reshape(rows),
        dlogvar.reshape(rows),
    )
    return dmean, sum_to_shape(dlogvar, shape)


@Shared
def _gaussian_nll_backward(dnll, mean, logvar, x, dmean, dlogvar):
    one, half = x.dtype.type(1), x.dtype.type(0.5)
    for i in prange(mean.shape[0]):
        centre, spread, given, scale = mean[i], logvar[i], x[i % x.shape[0]], dnll[i]
        d, ds = dmean[i], dlogvar[i]
        for j in range(d.size):
            away = centre[j] - given[j]
            scaled = away * el.exp(-spread[j])
            d[j] = scale * scaled
            ds[j] = scale * half * (one - away * scaled)
