"""The objective: one loss from the nll and kl of every sample, and the derivative with respect to each.

elbo  the negative evidence lower bound, mean(nll + beta kl). (Kingma and Welling 2014)
iwae  the negative importance-weighted bound, which falls to -log p(x) as S grows. (Burda et al. 2015, eq. 8)
"""

from cmath import isfinite
from typing import NamedTuple

import numpy as np

BOUNDS = ("elbo", "iwae")


class Terms(NamedTuple):
    """The loss and its two terms in nats per example; for the ELBO, loss = nll + beta * kl."""

    loss: float
    nll: float
    kl: float

    @classmethod
    def checked(cls, *values):
        """Terms of these values. Raises ValueError that names the first one that is not finite."""
        terms = cls(*values)
        for name in ("nll", "kl", "loss"):
            if not isfinite(getattr(terms, name)):
                raise ValueError(f"the loss is not finite: {name} is {getattr(terms, name)}")
        return terms


def bound_forward(nll, kl, beta, bound, reconstruction=1.0):
    """nll (B,) or (S, B), kl (B,) or like nll -> Terms, in nats, summed in double precision.

    `reconstruction` is the weight of the nll. Raises ValueError that names the first term that is not finite.
    """
    nll_mean, kl_mean = mean(nll), mean(kl)
    if bound == "elbo":
        loss = reconstruction * nll_mean + beta * kl_mean
    else:
        loss = mean(importance_weighted((reconstruction * nll + beta * kl).reshape(-1, nll.shape[-1])))
    return Terms.checked(loss, nll_mean, kl_mean)


# with r the weight of the reconstruction:
# elbo: loss = r/(S B) sum_sb nll_sb + beta/B sum_b kl_b
# iwae: loss = -1/B sum_b log 1/S sum_s exp(-c_sb) with c = r nll + beta kl:
#   dloss/dc_sb = 1/B exp(-c_sb) / sum_t exp(-c_tb), a softmax over the samples
def bound_backward(nll, kl, beta, bound, reconstruction=1.0):
    """Derivative of the loss with respect to nll and kl -> dnll like nll, dkl like kl.

    iwae: weights below eps / S of the largest are set to 0. Their sum is less than the rounding of the other
    weights' sum, so the gradient changes by a few eps of its largest entries.
    """
    if bound == "elbo":
        dnll = np.full(nll.shape, reconstruction / nll.size, nll.dtype)
        return dnll, np.full(kl.shape, beta / kl.size, kl.dtype)
    cost = (reconstruction * nll + beta * kl).reshape(-1, nll.shape[-1])  # (S, B)
    weights = np.exp(cost.min(axis=0) - cost)
    # so that `dense_backward` leaves their rows out, and no product with a weight is denormal
    weights[weights.real < np.finfo(weights.dtype).eps / len(cost)] = 0
    dcost = (weights / weights.sum(axis=0) / nll.shape[-1]).reshape(nll.shape)
    return reconstruction * dcost, beta * dcost


def importance_weighted(cost):
    """-log mean_s exp(-cost_sb); cost (S, B) is the negative of the log-weights -> (B,), nats."""
    least = cost.min(axis=0)  # (B,), subtracted so that no weight overflows
    return least - np.log(np.exp(least - cost).mean(axis=0))


def mean(per_example):
    """The mean as a Python number, summed in double precision."""
    return per_example.sum(dtype=np.promote_types(per_example.dtype, np.float64)).item() / per_example.size
