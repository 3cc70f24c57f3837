"""Make the negative ELBO a cost of one sample

Write elbo_cost(nll, mu, logvar, beta). It returns a function f of z: the cost
f(z) = nll(z) + beta (log q(z) - log N(z; 0, I)). With beta = 1 its mean under q is the negative ELBO.

nll is a function as well: for z (S, B, L), nll(z) is (S, B). q is N(mu, exp(logvar)), with mu and logvar (B,
L). They are the same for every z that f is called with. You may write out the two log-densities, or import
ops with `from minivae import ops` and use ops.gaussian_log_prob(z, mu, logvar), known from lesson 1.

Where to look: a function defined inside another function can use the arguments of the outer one. So elbo_cost
begins with `def f(z):`, computes inside f everything that depends on z, and ends with `return f`. It does not
call f. Average nothing: return one cost for each sample and row, (S, B).

The formula: the KL is the mean under q of log q(z) - log p(z). So this difference at a single z, drawn from
q, estimates the KL. The prior p is N(0, I): the same density with mu = 0 and logvar = 0. The constants
cancel: log q - log p = 1/2 sum_l (z^2 - logvar - (z - mu)^2 e^-logvar).
"""

import numpy as np

from minivae import estimators

from ..calls import Cost, Failed, Its
from ..cases import normal
from . import Exercise, Part


def draw(rng, n, beta=1.0):
    """nll, mu, logvar, beta; then two z (S, B, L) for f, anywhere."""
    c = rng.normal(0.0, 1.0, (n.B, n.L))

    def nll(z):
        return np.logaddexp(0, 2 * z - c).sum(axis=-1) + 2

    given = normal(mu="BL", logvar="BL", z="SBL", other="SBL")(rng, n)
    return {
        "nll": Cost(nll, (n.S, n.B, n.L), 2, "nll"),
        "mu": given.pop("mu"),
        "logvar": given.pop("logvar"),
        "beta": beta,
    } | given


def far():
    """Small variances, and z 60 standard deviations from mu: q underflows, its logarithm does not."""
    logvar = np.array([[-40.0, -40.0], [-25.0, -12.0], [2.0, -1.0], [0.5, 1.0]])
    z = np.exp(logvar / 2) * np.array([[1.5, -0.5], [-2.0, 1.0], [60.0, 0.3], [1.0, 2.0]])
    nll = Cost(lambda z: np.full(z.shape[:-1], 2.0), (1, *z.shape), 2, "nll")
    args = {"nll": nll, "mu": 0 * logvar, "logvar": logvar, "beta": 1.0, "z": z[None], "other": z[None] + 1}
    yield "logvar from -40 on, and z up to 60 standard deviations from mu", args


def call(its, z, other, beta, **given):
    """f(z) of the f that elbo_cost makes, after f of another z; beta = 1 is not passed."""
    f = its.elbo_cost(*given.values(), *([] if beta == 1 else [beta]))
    if not callable(f):
        kind = "None" if f is None else type(f).__name__
        raise Failed(
            f"elbo_cost returns {kind}, expected a function: define f(z) inside, and return f itself"
        )
    made = Its({"f": f})
    if not its.alone:
        made.f(other)
    return made.f(z)


def elbo_cost(nll, mu, logvar, beta=1.0):
    """f(z) = nll(z) + beta (log q(z) - log N(z; 0, I)), q's parameters fixed: the function f, in nats.

    nll, and f like it: z (S, B, L) -> (S, B). mu, logvar (B, L).
    """
    return estimators.elbo_cost(nll, mu, logvar, beta=beta)


COST = Part(
    elbo_cost,
    returns="f",
    walk="""
        log_q = -0.5 * (log(2 * pi) + logvar + (z - mu)**2 * exp(-logvar)).sum(axis=-1)  # (S, B)
        log_p = -0.5 * (log(2 * pi) + z**2).sum(axis=-1)  # (S, B)
        cost = nll(z)  # (S, B)
        f = cost + beta * (log_q - log_p)
    """,
    shown="def f(z):\n{inner}\n    return f\n\nreturn f",
    slips="""
    kl = 0.5 * (mu**2 + exp(logvar) - logvar - 1).sum(axis=-1); f = cost + beta * kl
        # the KL is in closed form, the same for every z: its mean is right, but f needs log q(z) - log p(z)
    f = beta * cost + (log_q - log_p)  # beta multiplies nll(z): it is the weight of log q - log p
    f = beta * (cost + log_q - log_p)  # beta multiplies everything: it is the weight of log q - log p alone
    f = cost + beta * log_q - log_p  # beta multiplies log q alone: log q - log p needs parentheses
    cost = nll(z).mean(axis=0)  # nll(z) is averaged over the samples: each has its own, the caller averages
    cost = nll(z).mean()  # nll(z) is averaged over everything: each sample and row has its own
    f = cost + beta * (log_q - log_p).mean(axis=0)  # log q - log p is averaged over samples: each has its own
    f = cost + beta * (log_q - log_p) / L  # log q - log p is averaged over the L latents: logarithms add
    m = z.mean(axis=0); log_var = log(z.var(axis=0)); log_q = -0.5 * (log(2 * pi) + log_var \
    + (z - m)**2 * exp(-log_var)).sum(axis=-1)
        # q's mean and variance are taken from the samples z: they are mu and e^logvar
    log_p = -0.5 * (log(2 * pi) + 1 + z**2 * exp(-1)).sum(axis=-1)
        # log p is given 1 where its logvar belongs: the logarithm of the variance 1 is 0
    log_p = -0.5 * (log(2 * pi) + logvar + z**2 * exp(-logvar)).sum(axis=-1)
        # the prior is given the variance of q: the prior is N(0, I)
    f = cost + beta * abs(log_q - log_p)  # log q - log p is made positive: for a single z it may be negative
    f = cost + beta * exp(log_q - log_p)  # q/p is added without its logarithm
    """,
    cases={
        "f at any z": draw,
        "beta": lambda rng, n: draw(rng, n, 0.7),
        "beta = 0": lambda rng, n: draw(rng, n, 0.0),
    },
    far={"where a density underflows": far},
    call=call,
)

EXERCISE = Exercise(__doc__, lesson=3, parts=(COST,), borrowed=("elbo_slope", "monte_carlo_kl"))
