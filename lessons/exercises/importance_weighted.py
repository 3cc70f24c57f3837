"""Bound log p(x) with K samples

Write the importance-weighted bound as a loss: from the cost of every sample, nll + log q(z|x) - log p(z),
compute -log of the mean over samples of exp(-cost). With one sample its expectation is the negative ELBO.
Costs are hundreds of nats, so exp(-cost) underflows: subtract the smallest cost of each x first.

Where to look: lesson 11, section 5. The first axis has the S samples, the second the B x's. -cost is the
logarithm of the ratio p(x|z) p(z) / q(z|x). Take the mean of the ratios, not of their logarithms.

The formula: with least = min over s of cost_sb, the loss is least - log(1/S sum_s exp(least - cost_sb)).
"""

import numpy as np

from minivae.models import bounds

from ..cases import normal
from . import Exercise, Part


def importance_weighted(cost):
    """-log mean_s exp(-cost_sb): cost (S, B) -> (B,), nats.

    cost = nll + log q(z|x) - log p(z) of every sample. (Burda et al. 2016, equation 8)
    """


importance_weighted.__module__ = bounds.__name__  # there is the library's own


def far():
    """Costs whose exponential underflows, and negative ones, of densities."""
    cost = np.array([[543, 540, 560], [900, 1000, 905], [-800, -802, 1700], [2000, 2004, 2001], [0, 800, 10]])
    yield "costs from -802 to 2,004", {"cost": 1.0 * cost.T}


BOUND = Part(
    importance_weighted,
    returns="loss",
    walk="""
        least = cost.min(axis=0)  # (B,)
        ratios = exp(least - cost)  # (S, B): at most 1
        mean_ratio = ratios.mean(axis=0)  # (B,)
        loss = least - log(mean_ratio)
    """,
    slips="""
    loss = cost.mean(axis=0)  # this is a mean of logarithms, the negative ELBO: take the mean of the ratios
    loss = least  # the loss is the smallest cost alone: the other samples count too
    loss = least - log(ratios.sum(axis=0))  # log S is missing: the ratios are averaged, not summed
    loss = least - log(mean_ratio) + log(len(cost))  # log S is added: the mean already divides by S
    loss = least - log(mean_ratio) / len(cost)  # the logarithm is divided by S: only the sum of the ratios is
    loss = log(mean_ratio) - least  # this is the bound itself: the loss is minus the bound
    loss = least - mean_ratio  # the logarithm of the mean ratio is missing
    loss = -log(mean_ratio)  # the smallest cost is not added again
    loss = least + log(mean_ratio)  # the logarithm has the wrong sign
    loss = full(cost.shape[1], (least - log(mean_ratio)).mean())
        # the loss is averaged over the batch: each x has its own
    loss = full(cost.shape[1], cost.min() - log(exp(cost.min() - cost).mean()))
        # the mean runs over the batch too: each x has its own samples
    least = 0 * cost.min(axis=0)  # the smallest cost is not subtracted: exp(-cost) underflows to 0
    least = 0 * cost[0] + cost.min()  # one smallest cost is subtracted from all: each x has its own
    least = cost.max(axis=0)  # the largest cost is subtracted: the other ratios may overflow
    least = cost.mean(axis=0)  # the mean cost is subtracted: ratios may overflow, so subtract the smallest
    ratios = exp(cost - least); loss = log(mean_ratio) + least
        # the ratios are exp(cost): use exp(-cost), so that a small cost has a large ratio
    mean_ratio = maximum(exp(-cost).mean(axis=0), SMALL); loss = -log(mean_ratio)
        # the mean ratio is raised to SMALL: it may be as small as exp(-2000)
    mean_ratio = exp(-cost).mean(axis=0) + SMALL; loss = -log(mean_ratio)
        # SMALL is added to the mean ratio, which may be as small as exp(-2000)
    mean_ratio = np.median(ratios, axis=0)  # the median of the ratios is taken: it is their mean
    mean_ratio = 1 / (1 / ratios).mean(axis=0)
        # this is the harmonic mean of the ratios: take their arithmetic mean
    """,
    cases={"the bound": normal(cost="SB")},
    far={"where exp(-cost) underflows": far},
)

EXERCISE = Exercise(
    __doc__, lesson=11, parts=(BOUND,), borrowed=("bound_forward", "logaddexp", "log_sum_exp")
)
