"""Sample the KL to any prior, and differentiate it

For most priors the KL has no closed form. Write its sample, log q(z) - log p(z) at z = mu + std eps, one for
each sample and row, and its derivatives with respect to mu and logvar. q is N(mu, exp(logvar)), mu and logvar
(B, L); eps is (S, B, L). The prior is passed in as functions: log_p(z), with z (S, B, L), is (S, B), and
dlog_p(z) is its derivative with respect to z, (S, B, L). Call each once. dkl is the derivative of the loss
with respect to each kl, (S, B).

Where to look: lesson 18, section 2. Lesson 1 has the formula of ops.gaussian_log_prob. At this z, the term
(z - mu)^2 e^-logvar is eps^2. Backward: mu and logvar enter twice, directly in the density q, and through z.

The formula: dk/dz = -eps / std - dlog_p(z). Through z: that times dz/dmu = 1 and dz/dlogvar = 1/2 std eps.
Directly, at fixed z: the score, eps / std and 1/2 (eps^2 - 1). Add both, times dkl, and sum over the samples.
"""

import numpy as np

from minivae import ops
from minivae.distributions import GaussianPosterior, kl_backward, kl_forward

from ..calls import Cost
from ..cases import normal, spread
from . import Exercise, Part
from .gaussian_sample import STD_SLIPS


class Given:
    """A prior made of two functions of z, as the library's KL takes it."""

    def __init__(self, log_p=None, dlog_p=None):
        self.log_p, self.dlog_p = log_p, dlog_p

    def log_prob(self, z, params):
        """log p(z), from the function that was given."""
        return self.log_p(z)

    def log_prob_backward(self, dlog_prob, z, params):
        """Its derivative times dlog_prob, and no parameters."""
        return dlog_prob[..., None] * self.dlog_p(z), {}


def family(**prior):
    """The Gaussian q with this prior."""
    q = GaussianPosterior(ops)
    q.prior = Given(**prior)
    return q


def sampled_kl(log_p, mu, logvar, eps):
    """log q(z) - log p(z) at z = mu + std * eps -> kl (S, B), nats. Its mean over eps is KL(q || p).

    log_p: z (S, B, L) -> (S, B), the log-density of the prior. mu, logvar (B, L); eps (S, B, L).
    """
    z = ops.gaussian_sample(mu, logvar, eps)
    return kl_forward(family(log_p=log_p), z, (mu, logvar), {}, sampled=True)


def sampled_kl_backward(dkl, dlog_p, mu, logvar, eps):
    """dkl (S, B) -> dmu, dlogvar (B, L), summed over the samples, with eps fixed.

    dlog_p: z (S, B, L) -> d log p / dz (S, B, L).
    """
    q, z = family(dlog_p=dlog_p), ops.gaussian_sample(mu, logvar, eps)
    dz, (dmu, dlogvar), _ = kl_backward(q, dkl, z, (mu, logvar), {}, sampled=True)
    through_z = ops.gaussian_sample_backward(dz, mu, logvar, eps)
    return dmu + through_z[0], dlogvar + through_z[1]


def prior(kind, shape):
    """log_p or dlog_p of a prior with two modes and a slope, which no closed form covers."""
    functions = {
        "log_p": lambda z: (np.log(np.cosh(1.3 * z)) - 0.5 * z**2 - 0.2 * z).sum(axis=-1) - 1.0,
        "dlog_p": lambda z: 1.3 * np.tanh(1.3 * z) - z - 0.2,
    }
    return Cost(functions[kind], shape, 1, kind)


def draws(kind, **shapes):
    """A draw of the arguments, with the prior's function in its place."""

    def draw(rng, n):
        args = normal(**shapes)(rng, n)
        first = {"dkl": args.pop("dkl")} if "dkl" in args else {}
        return first | {kind: prior(kind, (n.S, n.B, n.L))} | args

    return draw


def far(kind):
    """mu = 0, logvar from -23 to 0, so that std is small, up to 1; noise that is never near 0."""
    logvar, eps = spread(12, 1)
    logvar = logvar - 11
    first = {"dkl": np.linspace(-1.3, 1.7, eps[..., 0].size).reshape(eps.shape[:-1])}
    slope = Cost(lambda z: -np.sign(z), eps.shape, 1, kind) if kind == "dlog_p" else None
    size = Cost(lambda z: -np.abs(z).sum(axis=-1), eps.shape, 1, kind)
    args = {kind: slope or size, "mu": 0 * logvar, "logvar": logvar, "eps": eps}
    yield "a Laplace prior, logvar from -23 to 0", (first if slope else {}) | args


FORWARD = Part(
    sampled_kl,
    returns="kl",
    walk="""
    std = exp(0.5 * logvar)  # (B, L)
    z = mu + std * eps  # (S, B, L)
    log_q = -0.5 * (log(2 * pi) + logvar + (z - mu)**2 * exp(-logvar)).sum(axis=-1)  # (S, B)
    kl = log_q - log_p(z)  # (S, B)
    """,
    slips="""
    kl = -log_p(z)  # log q is left out: this is the cross-entropy's part alone, and q would shrink to a point
    kl = log_q + log_p(z)  # log p is added: the KL is log q - log p
    kl = log_p(z) - log_q  # the KL has the wrong sign: it is log q - log p
    kl = (log_q - log_p(z)).mean(axis=0)  # the kl is averaged over the samples: each has its own
    kl = (log_q - log_p(z)).mean() + 0 * log_q  # the kl is averaged over everything: each has its own
    kl = exp(log_q) * (log_q - log_p(z))  # log q - log p is weighted by q: z is drawn from q already
    std = exp(logvar); log_q = -0.5 * (log(2 * pi) + logvar + eps**2).sum(axis=-1)
        # e^logvar is the variance: std = exp(0.5 * logvar)
    kl = exp(log_q) - exp(log_p(z))  # the densities are subtracted, not their logarithms
    kl = log_q.mean() - log_p(z)
    kl = log_q.mean(axis=0) - log_p(z)  # log q is averaged: each sample and row has its own
    kl = exp(log_q - log_p(z))  # this is q/p itself: take its logarithm
    kl = abs(log_q - log_p(z))  # log q - log p is made positive: for a single z it may be negative
    log_q = -0.5 * (logvar + eps**2).sum(axis=-1)  # the constant 1/2 log 2 pi is missing in log q
    log_q = -0.5 * log(2 * pi) - 0.5 * (logvar + eps**2).sum(axis=-1)
        # the constant 1/2 log 2 pi counts once, not for each latent
    log_q = -0.5 * (log(2 * pi) + logvar + (eps - mu)**2 * exp(-logvar)).sum(axis=-1)
        # log q is taken at eps, not at z
    log_q = -0.5 * (log(2 * pi) + logvar + z**2).sum(axis=-1)
        # log q has z^2 where ((z - mu) / std)^2 belongs
    log_q = -0.5 * (log(2 * pi) + eps**2).sum(axis=-1)  # log q lacks logvar, the logarithm of its variance
    log_q = -0.5 * (log(2 * pi) + 2 * logvar + eps**2).sum(axis=-1)
        # logvar counts twice in log q: 1/2 log std^2 is 1/2 logvar
    log_q = -0.5 * (log(2 * pi) + logvar + (z - mu)**2 * exp(-0.5 * logvar)).sum(axis=-1)
        # (z - mu)^2 is divided by std: divide it by the variance e^logvar
    log_q = -0.5 * (log(2 * pi) + logvar + 1).sum(axis=-1) + 0 * eps[..., 0]
        # log q is replaced by its mean, minus the entropy: the mean is right, but a sample has log q(z)
    """
    + STD_SLIPS,
    cases={"the kl of each sample": draws("log_p", mu="BL", logvar="BL", eps="SBL")},
    far={"the kl for small variances": lambda: far("log_p")},
    single=False,
)

BACKWARD = Part(
    sampled_kl_backward,
    returns="dmu dlogvar",
    walk="""
    std = exp(0.5 * logvar)  # (B, L)
    z = mu + std * eps  # (S, B, L)
    k = dkl[..., None]  # (S, B, 1)
    dz = k * (-eps / std - dlog_p(z))  # (S, B, L)
    score_mu = k * eps / std  # (S, B, L): directly, at fixed z
    score_logvar = k * 0.5 * (eps**2 - 1)  # (S, B, L): directly, at fixed z
    dmu = (score_mu + dz).sum(axis=0)  # (B, L)
    dlogvar = (score_logvar + dz * 0.5 * std * eps).sum(axis=0)  # (B, L)
    """,
    slips="""
    dz = 0 * eps  # z is not differentiated: mu and logvar move z as well, and what is left has the mean 0
    score_mu = 0 * eps; score_logvar = 0 * eps
        # mu and logvar of the density q are not differentiated: the mean is right, not the derivative
    dz = -k * dlog_p(z); score_mu = 0 * eps; score_logvar = 0 * eps
        # log q is left out: dmu is right, but dlogvar lacks its -1/2, and q would shrink to a point
    dz = -k * dlog_p(z)  # log q is not differentiated with respect to z: its slope is -eps / std
    dz = k * (-eps / std + dlog_p(z))  # log p has the wrong sign: the KL is log q - log p
    dz = k * (eps / std - dlog_p(z))  # the slope of log q has the wrong sign: it falls away from mu
    dz = k * (-eps - dlog_p(z))  # the slope of log q is -(z - mu) / variance = -eps / std: std is missing
    dz = k * (-eps / std**2 - dlog_p(z))  # the slope of log q is -(z - mu) / variance, and z - mu is std eps
    dz = -k * eps / std  # log p is not differentiated: the prior does not act at all
    dlogvar = (k * (-0.5 - std * eps * dlog_p(z))).sum(axis=0)
        # dz/dlogvar is 1/2 std eps: the 1/2 is missing
    dlogvar = (-k * 0.5 * std * eps * dlog_p(z) - 0.5).sum(axis=0)  # dkl multiplies the -1/2 as well
    dlogvar = (k * (-0.5 - 0.5 * z * dlog_p(z))).sum(axis=0)  # dz/dlogvar has z where std eps belongs
    score_logvar = k * 0.5 * eps**2  # the score of logvar lacks its -1/2
    dlogvar = (score_logvar + dz * eps).sum(axis=0)
        # through z this is the derivative w.r.t. std: with respect to logvar it is std / 2 times that
    dlogvar = (score_logvar + dz * std * eps).sum(axis=0)  # dz/dlogvar is 1/2 std eps: the 1/2 is missing
    dlogvar = (score_logvar + dz * 0.5 * z).sum(axis=0)  # dz/dlogvar has z where std eps belongs
    dmu = k.sum(axis=0) * mu + 0 * std; dlogvar = k.sum(axis=0) * 0.5 * (exp(logvar) - 1)
        # this is the closed form's derivative, for N(0, I): the prior is the one that is passed in
    dmu = (score_mu + dz).mean(axis=0); dlogvar = (score_logvar + dz * 0.5 * std * eps).mean(axis=0)
        # the derivatives are averaged over the samples: dkl has the 1/S already, so they are summed
    dmu = score_mu + dz; dlogvar = score_logvar + dz * 0.5 * std * eps
        # the derivatives are not summed over the samples: one mu serves all
    """
    + STD_SLIPS,
    cases={"the derivatives": draws("dlog_p", dkl="SB", mu="BL", logvar="BL", eps="SBL")},
    far={"the derivatives for small variances": lambda: far("dlog_p")},
    single=False,
)

EXERCISE = Exercise(
    __doc__,
    lesson=18,
    parts=(FORWARD, BACKWARD),
    borrowed=("kl_forward", "kl_backward", "monte_carlo_kl", "sticking_the_landing", "elbo_cost"),
)
