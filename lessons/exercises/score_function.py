"""Estimate a gradient without a derivative of f

Write the score-function gradient of E[f(z)], z ~ N(mu, exp(logvar)). mu and logvar are (B, L), eps is (S, B,
L); f takes all samples at once, (S, B, L), and returns their costs (S, B): call it once. Return the gradient
of every sample, dmu and dlogvar of shape (S, B, L); the caller takes the mean. Subtract the baseline from the
cost. It may be one number, an array (B,), or a tuple of two arrays (B, L); the checks come in this order.

Where to look: lesson 6, the score function. There are three steps: compute z from eps; compute the costs f(z)
and subtract the baseline; multiply by the two parts of the score at z (the previous exercise). Give the costs
a last axis, [..., None], so that they broadcast with (S, B, L).

The formula: d = (f(z) - baseline) * score. The score is (z - mu) e^-logvar for mu, and 1/2 ((z - mu)^2
e^-logvar - 1) for logvar. To broadcast with (S, B, 1), a baseline (B,) must become (B, 1). The arrays (B, L)
of a tuple fit as they are: the first is for mu, the second for logvar.
"""

import numpy as np

from minivae import estimators

from ..calls import Cost
from ..cases import spread
from . import Exercise, Part
from .gaussian_sample import STD_SLIPS
from .gaussian_score import SLIPS, WALK, renamed

SAMPLE_WALK = """
    std = exp(0.5 * logvar)  # (B, L): e^logvar is the variance
    z = mu + std * eps  # (S, B, L)
"""
SCORE_WALK = renamed(WALK)  # by_mu and by_logvar, (S, B, L)
SCORE_SLIPS = """
    std = exp(logvar); by_mu = eps / std; by_logvar = 0.5 * (eps**2 - 1)
        # std is exp(logvar), in z and in the score: that is the variance, and std = exp(0.5 * logvar)
    by_logvar = 0.5 * (eps - 1)**2  # (eps - 1)^2 is used where eps^2 - 1 belongs
    by_mu = eps  # the score with respect to mu is eps / std, not eps
    by_logvar = 0.5 * (eps**2 - 1) / std  # the score with respect to logvar is 1/2 (eps^2 - 1), without std
""" + renamed(SLIPS)


def draw(rng, n):
    """f, mu, logvar (B, L), eps (S, B, L); f(z) = sum_l w_l (z_l - t_l)^2 + 2, and each row has its own t."""
    target, weight = rng.normal(1.0, 0.8, (n.B, n.L)), rng.uniform(0.3, 2.0, n.L)

    def f(z):
        return (weight * (z - target) ** 2).sum(axis=-1) + 2

    return {
        "f": Cost(f, (n.S, n.B, n.L)),
        "mu": rng.normal(0.5, 1.0, (n.B, n.L)),
        "logvar": rng.normal(-0.3, 0.7, (n.B, n.L)),
        "eps": rng.standard_normal((n.S, n.B, n.L)),
    }


def far():
    """mu = 0, logvar from -30 to 29, a cost with bounds."""
    logvar, eps = spread(30, 4, rows=5)
    f = Cost(lambda z: 2 + np.tanh(z).sum(axis=-1) ** 2, eps.shape)
    yield "mu = 0, logvar from -30 to 29", {"f": f, "mu": 0 * logvar, "logvar": logvar, "eps": eps}


def far_without():
    """The same, without a baseline."""
    for note, args in far():
        yield note, args | {"baseline": 0.0}


def score_function(f, mu, logvar, eps, baseline=0.0):
    """REINFORCE, the log-derivative trick: (f(z) - baseline) * score(z) -> dmu, dlogvar (S, B, L).

    f: z (S, B, L) -> (S, B); mu, logvar (B, L); eps (S, B, L). baseline: a number, an array (B,), or a tuple
    of two arrays (B, L), one for mu and one for logvar. (Williams 1992; Glynn 1990)
    """


score_function.__module__ = estimators.__name__  # there is the library's own, for every latent family

SCORE_FUNCTION = Part(
    score_function,
    returns="dmu dlogvar",
    walk=SAMPLE_WALK
    + """
    cost = f(z)[..., None]  # (S, B, 1)
    """
    + SCORE_WALK
    + """
    one = baseline[:, None] if ndim(baseline) == 1 else baseline  # a number, or (B, 1)
    first = baseline[0] if isinstance(baseline, tuple) else one
    second = baseline[1] if isinstance(baseline, tuple) else one
    dmu = (cost - first) * by_mu
    dlogvar = (cost - second) * by_logvar
    """,
    slips="""
    cost = (f(z) - f(z).mean(axis=0))[..., None]
        # the samples' mean cost is subtracted, which contains the own cost: a bias by the factor (S-1)/S
    cost = (f(z) - (f(z).sum(axis=0) - f(z)) / (len(eps) - 1))[..., None]
        # the mean cost of the other samples is subtracted: a good baseline, but not the argument baseline
    cost = f(z).mean(axis=1, keepdims=True)[..., None]  # the costs are averaged over the batch
    cost = ((f(z) - f(z).mean(axis=0)) / f(z).std(axis=0))[..., None]
        # the costs are standardized: dividing by their standard deviation changes the gradient
    cost = log(f(z))[..., None]  # log f is used where f belongs: the logarithm is that of the density
    first = 0; second = 0  # the baseline is not used: it is subtracted from the cost
    dmu = (cost + first) * by_mu; dlogvar = (cost + second) * by_logvar
        # the baseline is added to the cost: subtract it
    dmu = cost * by_mu - first; dlogvar = cost * by_logvar - second
        # the baseline is subtracted from the product, which shifts the gradient: subtract it from f first
    one = 0  # a baseline that is not a tuple is not used
    one = baseline[:, None] if ndim(baseline) == 1 else trunc(baseline)  # the baseline is made an integer
    one = baseline  # a baseline (B,) must be (B, 1) against (S, B, 1): baseline[:, None]
    first = baseline[1] if isinstance(baseline, tuple) else one; \
second = baseline[0] if isinstance(baseline, tuple) else one
        # the baselines of the pair are swapped: the first is for mu, the second for logvar
    second = baseline[0] if isinstance(baseline, tuple) else one
        # dlogvar is computed with the pair's first baseline, which is for mu
    first = baseline[1] if isinstance(baseline, tuple) else one
        # dmu is computed with the pair's second baseline, which is for logvar
    off = eps  # the score is taken at eps, not at z
    """
    + SCORE_SLIPS
    + STD_SLIPS,
    cases={
        "every sample": lambda rng, n: draw(rng, n) | {"baseline": 0.0},
        "a baseline that is a number": lambda rng, n: draw(rng, n) | {"baseline": 2 if n.B == 1 else 1.3},
        "a baseline for each row": lambda rng, n: draw(rng, n) | {"baseline": rng.normal(2.0, 1.0, n.B)},
        "a pair of baselines": lambda rng, n: (
            draw(rng, n) | {"baseline": (rng.normal(2.0, 1.0, (n.B, n.L)), rng.normal(-1.0, 1.0, (n.B, n.L)))}
        ),
    },
    far={"very small and very large variances": far_without},
    # without a baseline it is not passed, so that its default is used
    call=lambda its, baseline, **q: its.score_function(
        *q.values(), *([] if isinstance(baseline, float) and baseline == 0 else [baseline])
    ),
)

EXERCISE = Exercise(__doc__, lesson=6, parts=(SCORE_FUNCTION,), borrowed=("cost_times_score",))
