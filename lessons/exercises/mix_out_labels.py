"""Sum over the labels

A conditional model gives a cost for every label k, -log p(x | k) or an upper bound on it such as the negative
ELBO. Write mix_out_labels(cost, prior): the same for x alone, -log sum_k prior_k exp(-cost_k), one number for
each x. And classify(cost, prior): the probability of each label given x, by Bayes' rule.

cost is (K, B), in nats: a row for each label, a column for each x. prior (K,) is positive and sums to 1.
Costs are hundreds or thousands of nats, so exp(-cost) underflows to 0: first subtract the lowest cost of each
x.

Where to look: lesson 15, sections 3 and 4. Both functions begin with cost_k - log prior_k = -log p(x, k), the
cost of x and k together. Its shape is (K, B), so log prior needs a new axis at its end.

The formula: with joint = cost - log(prior)[:, None] and low its minimum over the labels, -log sum_k
e^-joint_k = low - log sum_k e^-(joint_k - low). The probability of label k is e^(mixed - joint_k), if mixed
is that result.
"""

import numpy as np

from ..cases import normal
from . import Exercise, Part


def draw(rng, n):
    """Costs that differ by a few nats, so that every label counts, and an unequal prior."""
    cost = 3 + 1.5 * normal(cost="HB")(rng, n)["cost"]
    weight = rng.uniform(0.3, 2.0, n.H)
    return {"cost": cost, "prior": weight / weight.sum()}


def far():
    """Costs of thousands of nats, whose exp is 0, and of minus thousands, whose exp is infinite."""
    base = np.array([[0.0, 1.5, 3.0, 900.0], [2.0, 0.0, 3.0, 0.0], [1.0, 0.5, 3.0, 40.0]])
    for level in (2000.0, -6000.0):
        cost = base + level + 1000 * np.arange(4)
        yield f"costs of thousands, from {level:g} on", {"cost": cost, "prior": np.array([0.2, 0.5, 0.3])}


def mix_out_labels(cost, prior):
    """mixed (B,) = -log sum_k prior_k exp(-cost_k), in nats: cost (K, B), prior (K,).

    If the costs are upper bounds on -log p(x | k), mixed is an upper bound on -log p(x).
    """
    return -np.logaddexp.reduce(np.log(prior)[:, None] - cost, axis=0)


def classify(cost, prior):
    """p(k | x) (K, B), by Bayes' rule: cost (K, B) = -log p(x | k) in nats, prior (K,). Columns sum to 1."""
    return np.exp(mix_out_labels(cost, prior) - cost + np.log(prior)[:, None])


JOINT = """
        joint = cost - log(prior)[:, None]  # (K, B): -log p(x, k)
        least = joint.min(axis=0)  # (B,)
        total = exp(least - joint).sum(axis=0)  # (B,), from 1 to K
        mixed = least - log(total)  # (B,)
"""
COSTS = """
    joint = cost + log(prior)[:, None]  # the log of the prior has the wrong sign: joint = cost - log prior
    joint = cost  # the prior is missing: p(x) is the sum of prior_k p(x | k)
    joint = cost + log(len(cost))  # the prior is taken as 1 / K: it is an argument
    joint = cost - prior[:, None]  # the prior is subtracted from the cost: its logarithm is
    joint = cost * prior[:, None]  # the cost is multiplied by the prior: the density is
    joint = cost - 2 * log(prior)[:, None]  # the prior counts twice
    joint = cost - log(prior[::-1])[:, None]  # the prior is in reverse order
"""

MIXED = Part(
    mix_out_labels,
    returns="mixed",
    walk=JOINT,
    slips=COSTS
    + """
    mixed = cost.mean(axis=0)  # this is the mean of the costs, E -log p(x | k): the mean is of densities
    mixed = (prior[:, None] * cost).sum(axis=0)
        # the costs are averaged: average the densities exp(-cost), then take the logarithm (Jensen)
    mixed = cost.min(axis=0)  # this is the least cost: every label adds its probability
    mixed = joint.min(axis=0)  # only the most probable label counts: every label adds its probability
    mixed = cost.min(axis=0) + log(len(cost))  # this is the upper bound low + log K: compute the sum itself
    mixed = cost.sum(axis=0)  # the costs are added: that multiplies the densities
    mixed = joint.sum(axis=0)  # the costs are added: that multiplies the densities
    mixed = -log(exp(-joint).sum(axis=0))
        # exp(-cost) underflows to 0 or overflows: subtract the least cost first, and add it at the end
    mixed = -log(exp(-joint).sum(axis=0) + SMALL)
    mixed = -log(maximum(exp(-joint).sum(axis=0), SMALL))
    mixed = -log(exp(-joint).sum(axis=0) + 1e-300)
        # a small number hides that exp(-cost) underflows: subtract the least cost first
    mixed = -log(total)
    mixed = -log((prior[:, None] * exp(cost.min(axis=0) - cost)).sum(axis=0))
        # the least cost is subtracted and not added again
    mixed = least - np.log2(total)
    mixed = cost.min(axis=0) - np.log2((prior[:, None] * exp(cost.min(axis=0) - cost)).sum(axis=0))
        # log2 gives bits: the cost is in nats, use log
    mixed = -least - log(total)  # the least cost is added with the wrong sign
    mixed = log(total) - least  # this is +log p(x): the cost is minus that
    mixed = exp(log(total) - least)  # this is p(x) itself: return minus its logarithm
    mixed = least - log(total / len(cost))  # it is divided by K: the prior does that already
    mixed = joint.min() - log(exp(joint.min() - joint).sum(axis=0))
        # the least cost of all x is subtracted: each x needs its own, or exp underflows for the others
    mixed = joint.max(axis=0) - log(exp(joint.max(axis=0) - joint).sum(axis=0))
        # the greatest cost is subtracted, so the exp of the others overflows: subtract the least
    mixed = log(exp(joint - joint.max(axis=0)).sum(axis=0)) + joint.max(axis=0)
    mixed = log((prior[:, None] * exp(cost - cost.max(axis=0))).sum(axis=0)) + cost.max(axis=0)
        # the sum is of exp(+cost): a density is exp(-cost)
    mixed = -log((prior[:, None] / exp(cost)).sum(axis=0))
        # exp(-cost) underflows to 0 or overflows: subtract the least cost first, and add it at the end
    mixed = full(cost.shape[1], (least - log(total)).mean())  # it is averaged over x: each x has its own
    """,
    cases={"the cost of each x": draw},
    far={"costs of thousands of nats": far},
)

CLASSIFY = Part(
    classify,
    returns="posterior",
    walk=JOINT
    + """
        posterior = exp(mixed - joint)  # (K, B)
    """,
    slips=COSTS
    + """
    posterior = exp(cost.min(axis=0) - cost) / exp(cost.min(axis=0) - cost).sum(axis=0)
        # the prior is missing: p(k | x) is in proportion to prior_k p(x | k)
    posterior = exp(-joint)  # this is p(x, k): divide by its sum over the labels
    posterior = exp(-cost)  # this is p(x | k): Bayes' rule multiplies by the prior and divides by the sum
    posterior = prior[:, None] * exp(cost.min(axis=0) - cost)
    posterior = exp(least - joint)  # it is not normalized: divide by the sum over the labels
    posterior = exp(-joint) / exp(-joint).sum(axis=0)
        # exp(-cost) underflows and 0 / 0 is nan: subtract the least cost first
    posterior = exp(-joint) / (exp(-joint).sum(axis=0) + SMALL)
    posterior = exp(-joint) / (exp(-joint).sum(axis=0) + 1e-300)
        # a small number in the sum hides that exp(-cost) underflows: subtract the least cost first
    p = prior[:, None] * exp(cost - cost.max(axis=0)); posterior = p / p.sum(axis=0)
    posterior = exp(joint - joint.max(axis=0)) / exp(joint - joint.max(axis=0)).sum(axis=0)
        # the most expensive label is the most probable here: the density is exp(-cost)
    posterior = exp(least - joint) / exp(least - joint).sum(axis=1, keepdims=True)
    p = exp(cost.min(axis=0) - cost); posterior = p / p.sum(axis=1, keepdims=True)
        # each row sums to 1, expected each column: the sum is over the labels of one x
    posterior = exp(least - joint) / exp(least - joint).sum()  # the sum runs over all x: each has its own
    posterior = mixed - joint  # this is the logarithm of the probability
    posterior = joint / joint.sum(axis=0)  # the costs are normalized: normalize the densities exp(-cost)
    posterior = (joint == least) * 1.0  # the most probable label gets 1: return every label's probability
    posterior = exp(mixed - cost)  # the prior is missing in p(k | x) = prior_k p(x | k) / p(x)
    """,
    cases={"the probability of each label": draw},
    far={"probabilities from costs of thousands of nats": far},
)

EXERCISE = Exercise(__doc__, lesson=15, parts=(MIXED, CLASSIFY))
