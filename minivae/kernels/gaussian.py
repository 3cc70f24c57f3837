"""The Gaussian posterior: B x L numbers, too few to share among threads."""

from .. import arguments
from . import elementary as el
from . import memory
from .compiled import compiled
from .likelihoods import negative_log_density
from .operands import operands


def gaussian_sample(mu, logvar, eps):
    """z = mu + std * eps; see `ops.gaussian_sample`."""
    arguments.gaussian(mu, logvar, eps=eps)
    mu, logvar, eps = operands(mu=mu, logvar=logvar, eps=eps)
    z = memory.empty(eps.shape, eps.dtype)
    _sample(mu, logvar, _rows(eps), _rows(z))
    return z


@compiled
def _sample(mu, logvar, eps, z):
    half = mu.dtype.type(0.5)
    for i in range(eps.shape[0]):
        b = i % mu.shape[0]  # row i is sample i // B of datum i % B
        for j in range(mu.shape[1]):
            z[i, j] = mu[b, j] + el.exp(half * logvar[b, j]) * eps[i, j]


def gaussian_sample_backward(dz, mu, logvar, eps):
    """dz -> dmu, dlogvar; see `ops.gaussian_sample_backward`."""
    arguments.gaussian(mu, logvar, eps=eps)
    arguments.shape("dz", dz, eps.shape)
    dz, mu, logvar, eps = operands(dz=dz, mu=mu, logvar=logvar, eps=eps)
    dmu, dlogvar = _two(mu)
    _sample_backward(_rows(dz), logvar, _rows(eps), dmu, dlogvar)
    return dmu, dlogvar


@compiled
def _sample_backward(dz, logvar, eps, dmu, dlogvar):
    half = logvar.dtype.type(0.5)
    dmu[:] = 0
    dlogvar[:] = 0
    for i in range(eps.shape[0]):
        b = i % logvar.shape[0]
        for j in range(logvar.shape[1]):
            dmu[b, j] += dz[i, j]
            dlogvar[b, j] += dz[i, j] * (half * el.exp(half * logvar[b, j]) * eps[i, j])


def gaussian_kl(mu, logvar):
    """kl (B,); see `ops.gaussian_kl`."""
    arguments.gaussian(mu, logvar)
    mu, logvar = operands(mu=mu, logvar=logvar)
    kl = memory.empty(mu.shape[:1], mu.dtype)
    _kl(mu, logvar, kl)
    return kl


@compiled
def _kl(mu, logvar, kl):
    half = mu.dtype.type(0.5)
    for b in range(mu.shape[0]):
        total = 0.0  # in double precision
        for j in range(mu.shape[1]):
            total += half * (mu[b, j] * mu[b, j] + (el.expm1(logvar[b, j]) - logvar[b, j]))
        kl[b] = total


def gaussian_kl_backward(dkl, mu, logvar):
    """dkl (B,) -> dmu, dlogvar; see `ops.gaussian_kl_backward`."""
    arguments.gaussian(mu, logvar)
    arguments.shape("dkl", dkl, mu.shape[:1])
    dkl, mu, logvar = operands(dkl=dkl, mu=mu, logvar=logvar)
    dmu, dlogvar = _two(mu)
    _kl_backward(dkl, mu, logvar, dmu, dlogvar)
    return dmu, dlogvar


@compiled
def _kl_backward(dkl, mu, logvar, dmu, dlogvar):
    half = mu.dtype.type(0.5)
    for b in range(mu.shape[0]):
        for j in range(mu.shape[1]):
            dmu[b, j] = dkl[b] * mu[b, j]
            dlogvar[b, j] = dkl[b] * (half * el.expm1(logvar[b, j]))


def gaussian_log_prob(z, mu, logvar):
    """log N(z; mu, exp(logvar)); see `ops.gaussian_log_prob`."""
    arguments.gaussian(mu, logvar, z=z)
    z, mu, logvar = operands(z=z, mu=mu, logvar=logvar)
    # the same formula as a Gaussian likelihood's, up to its sign
    return -negative_log_density(mu, logvar, _rows(z)).reshape(z.shape[:-1])


def gaussian_score(z, mu, logvar):
    """Score of q at z -> dmu, dlogvar like z; see `ops.gaussian_score`."""
    arguments.gaussian(mu, logvar, z=z)
    z, mu, logvar = operands(z=z, mu=mu, logvar=logvar)
    dmu, dlogvar = _two(z)
    _score(_rows(z), mu, logvar, _rows(dmu), _rows(dlogvar))
    return dmu, dlogvar


@compiled
def _score(z, mu, logvar, dmu, dlogvar):
    one, half = mu.dtype.type(1), mu.dtype.type(0.5)
    for i in range(z.shape[0]):
        b = i % mu.shape[0]
        for j in range(mu.shape[1]):
            away = z[i, j] - mu[b, j]
            dmu[i, j] = away * el.exp(-logvar[b, j])
            dlogvar[i, j] = half * (away * dmu[i, j] - one)


def _rows(a):
    """(S, B, L) or (B, L) as rows of L."""
    return a.reshape(-1, a.shape[-1])


def _two(like):
    return memory.empty(like.shape, like.dtype), memory.empty(like.shape, like.dtype)
