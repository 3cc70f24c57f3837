"""Fit each group to its share

Write the M-step of a mixture of Gaussians with diagonal covariances: from the points and their
responsibilities, compute the weight, the mean and the variances of each group. Raise every variance below
`least` to `least`.

Where to look: lesson 10, section 3. Group k is fitted to all points, each weighted by r_nk. Every sum over
points is divided by the total weight N_k = sum_n r_nk. r.T @ x is (K, D), and nk[:, None] (K, 1)
broadcasts with it.

The formula: weight_k = N_k / B; mean_k = 1/N_k sum_n r_nk x_n; variance_kd = 1/N_k sum_n r_nk (x_nd -
mean_kd)^2 with the new mean; then np.maximum(variance, least).
"""

import numpy as np

from minivae import GaussianMixture

from . import Exercise, Part


def mixture_step(x, r, least):
    """The M-step of a Gaussian mixture -> nk (K,), weights (K,), means (K, D), variances (K, D).

    x (B, D); r (B, K) responsibilities of K groups, each row sums to 1; least: the floor of the variances.
    """
    mixture = GaussianMixture(r.shape[1], "diagonal")
    mixture.prepare(x)
    mixture.least = least
    mixture.m_step(x, r)
    return r.sum(axis=0), mixture.weights, mixture.means, mixture.covariances


def draw(rng, n, least):
    """Points around 2, and shares that differ; some variances are below 1.7."""
    r = rng.dirichlet(np.full(n.H, 0.7), n.B)
    x = rng.normal(2.0, 1.5, (n.B, n.D))
    return {"x": x, "r": np.clip(r, 0.01, 1) / np.clip(r, 0.01, 1).sum(axis=1, keepdims=True), "least": least}


STEP = Part(
    mixture_step,
    returns="nk weights means variances",
    walk="""
        nk = r.sum(axis=0)  # (K,)
        weights = nk / len(x)  # (K,)
        means = r.T @ x / nk[:, None]  # (K, D)
        off = (x[:, None] - means)**2  # (B, K, D): from the new means
        second = (r[:, :, None] * off).sum(axis=0)  # (K, D)
        variances = maximum(second / nk[:, None], least)  # (K, D)
    """,
    slips="""
    nk = r.sum(axis=1)  # the sum runs over the groups and is 1 for each point: N_k sums over the points
    nk = r.mean(axis=0)  # N_k is a mean over the points: it is their sum, and the weight is N_k / B
    weights = nk / nk.max()  # the weights are divided by the largest: they must sum to 1
    weights = nk  # the weights are not divided by B: they must sum to 1
    weights = nk / r.shape[1]  # the weights are divided by K: divide by the number of points
    weights = full(len(nk), 1 / len(nk))  # the weights are all 1/K: they are N_k / B
    means = r.T @ x / len(x)  # the means are divided by B: divide by N_k
    means = r.T @ x  # the means are not divided by N_k
    means = np.eye(r.shape[1])[r.argmax(axis=1)].T @ x \
/ maximum(np.eye(r.shape[1])[r.argmax(axis=1)].sum(axis=0), 1)[:, None]
        # each point counts only for the group with its largest share, as in k-means: use every share
    means = tile(x.mean(axis=0), (r.shape[1], 1))
        # the mean of all points is used for each group: weight the points by r_nk
    variances = maximum(r.T @ x**2 / nk[:, None] + means**2, least)
        # the squared mean is added: subtract it from the mean of x^2
    variances = maximum(off.mean(axis=0), least)
        # the shares are missing in the variance: every point counts the same
    second = r.T @ x**2  # the variance is taken about 0: subtract the mean first
    off = (x[:, None] - x.mean(axis=0))**2 + 0 * means
        # the variance is taken about the mean of all points: use the mean of its group
    off = abs(x[:, None] - means)  # the distances are not squared
    second = (r[:, :, None]**2 * off).sum(axis=0)  # the shares are squared
    second = off.sum(axis=0)  # the shares are missing in the variance: weight the points by r_nk
    variances = maximum(second / len(x), least)  # the variance is divided by B: divide by N_k
    variances = maximum(second / (nk[:, None] - 1), least)  # it is divided by N_k - 1: divide by N_k
    variances = maximum(sqrt(second / nk[:, None]), least)  # these are standard deviations
    variances = sqrt(maximum(second / nk[:, None], least))  # these are standard deviations, not variances
    variances = maximum(second / nk[:, None], least).mean(axis=1, keepdims=True) + 0 * means
        # the variances are averaged over the columns: each column has its own
    variances = second / nk[:, None]  # the floor is missing: a group on one point has variance 0
    variances = second / nk[:, None] + least  # least is added: it is a lower limit
    variances = minimum(second / nk[:, None], least)  # least is used as an upper limit
    """,
    cases={
        "the parameters of the groups": lambda rng, n: draw(rng, n, 1.7),
        "a floor of 1e-6": lambda rng, n: draw(rng, n, 1e-6),
    },
)

EXERCISE = Exercise(__doc__, lesson=10, parts=(STEP,), borrowed=("GaussianMixture", "m_step", "update"))
