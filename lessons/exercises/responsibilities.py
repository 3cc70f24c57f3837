"""Share each point among the groups

Write the E-step of a mixture. The inputs are log p(x_n | k), with one column for each of K groups, and the
weights of the groups. Compute the responsibilities p(k | x_n) and log p(x_n). Log-densities may be near
-2,000, where exp underflows.

Where to look: lesson 10, section 2. Add the log weights to get log p(x, k), (B, K). The sum over k runs over
the last axis. Subtract the largest entry of each row before exp, and add it again after log.

The formula: with a_nk = log w_k + log p(x_n | k), log p(x_n) = log sum_k e^a_nk = max_k a_nk + log sum_k
e^(a_nk - max), and r_nk = e^(a_nk - log p(x_n)). Each row of r sums to 1. A weight of 0 gives a share of 0:
log 0 = -inf is right here, and the check silences NumPy's warning about it.
"""

import numpy as np

from minivae.distributions.priors import log_sum_exp

from . import Exercise, Part


def responsibilities(log_densities, weights):
    """The E-step of a mixture: p(k|x) and log p(x), nats -> r (B, K), log_p (B,).

    log_densities (B, K): log p(x|k) of K groups. weights (K,): p(k), which sum to 1.
    """
    with np.errstate(divide="ignore"):
        joint = log_densities + np.log(weights)
    log_p = log_sum_exp(joint)
    return np.exp(joint - log_p[:, None]), log_p


def draw(rng, n):
    """Log-densities of moderate size, and weights that differ."""
    weights = rng.uniform(0.2, 2.0, n.H)
    return {"log_densities": rng.normal(-2.0, 1.5, (n.B, n.H)), "weights": weights / weights.sum()}


def draw_empty(rng, n):
    """The same with a group of weight 0."""
    args = draw(rng, n)
    if n.H > 1:
        args["weights"] = np.where(np.arange(n.H) == 1, 0.0, args["weights"])
        args["weights"] /= args["weights"].sum()
    return args


def far():
    """Points so far from all groups that every density underflows, or so near that it overflows."""
    a = np.array(
        [[-2000.0, -2001.0, -2003.0], [-900.0, -950.0, -901.0], [800.0, 799.0, 802.0], [-1.0, 0.5, 0.0]]
    )
    yield "log-densities from -2,003 to 802", {"log_densities": a, "weights": np.array([0.2, 0.5, 0.3])}


RESPONSIBILITIES = Part(
    responsibilities,
    returns="r log_p",
    walk="""
        joint = log_densities + log(weights)  # (B, K): log p(x, k)
        most = joint.max(axis=1, keepdims=True)  # (B, 1)
        scaled = exp(joint - most)  # (B, K): at most 1
        total = scaled.sum(axis=1, keepdims=True)  # (B, 1)
        r = scaled / total  # (B, K): p(k|x), each row sums to 1
        log_p = (most + log(total))[:, 0]  # (B,)
    """,
    slips="""
    joint = log_densities  # the weights are forgotten: p(x, k) = w_k p(x|k)
    joint = log_densities + weights  # the weights are added to log-densities: add log w_k
    joint = log_densities * weights  # the weights multiply the logarithms: add log w_k
    joint = exp(log_densities) + log(weights)  # densities are added to logarithms: keep both in logarithms
    joint = exp(log_densities) * weights; scaled = joint; most = 0 * joint.max(axis=1, keepdims=True)
        # exp comes before the largest entry is subtracted: every density underflows to 0, and r is 0/0
    joint = log(exp(log_densities) * weights + SMALL)
        # SMALL is added to the densities: far from all groups it is larger than they are
    most = 0 * joint.max(axis=1, keepdims=True)
        # the largest entry is not subtracted before exp: all entries underflow or overflow
    most = joint.max(axis=1, keepdims=True) * 0 + joint.max()
        # one largest entry is subtracted from all rows: each row has its own
    most = joint.min(axis=1, keepdims=True)  # the smallest entry is subtracted: the others may overflow
    total = scaled.sum(axis=0, keepdims=True); log_p = (joint.max(axis=1, keepdims=True) \
+ log(scaled.sum(axis=1, keepdims=True)))[:, 0]
        # r is normalized over the points: each row sums to 1, over the groups
    r = scaled / scaled.sum()  # r is normalized over the whole batch: each row sums to 1
    r = scaled  # r is not normalized: divide each row by its sum
    r = np.eye(scaled.shape[1])[joint.argmax(axis=1)]
        # the group with the largest share gets the whole point, as in k-means: use the shares
    r = log(scaled / total)  # these are the logarithms of r: r is a probability
    log_p = log(total)[:, 0]  # the largest entry is not added again after the logarithm
    log_p = (most * total)[:, 0]  # the logarithm of the sum is missing
    log_p = most[:, 0]  # log p(x) is the largest term alone: it is the logarithm of the sum of all terms
    log_p = joint.mean(axis=1)  # this is a mean of logarithms: log p(x) is the logarithm of a sum
    log_p = joint.sum(axis=1)  # this is a sum of logarithms: log p(x) is the logarithm of a sum
    log_p = (r * joint).sum(axis=1)  # this is E_r log p(x, k): the entropy of r is missing
    log_p = full(len(joint), (most + log(total)).mean())
        # log p is averaged over the batch: each x has its own
    log_p = (most + log(total / scaled.shape[1]))[:, 0]
        # the terms are averaged over K: the weights already sum to 1, so sum the terms
    """,
    cases={"the shares": draw, "a group of weight 0": draw_empty},
    far={"where densities underflow": far},
)

EXERCISE = Exercise(
    __doc__, lesson=10, parts=(RESPONSIBILITIES,), borrowed=("log_sum_exp", "GaussianMixture", "e_step")
)
