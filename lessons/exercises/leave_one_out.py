"""Use the other samples' mean cost as the baseline

Write the score-function gradient with the leave-one-out baseline. f(z) takes all samples at once, (S, B, L),
and returns costs (S, B): call it once. S is 2 or more. Return the gradient of every sample; the caller takes
the mean.

Where to look: lesson 6, baselines. There are three steps: compute z from eps; compute the S costs of each
row; subtract the baseline from the cost and multiply by the score. The baseline of sample s is the mean of
the other S - 1 costs of the same row, so it does not depend on sample s.

The formula: d_s = (f_s - 1/(S-1) sum over t != s of f_t) * score_s. The difference equals S/(S-1) (f_s - mean
of all S costs). The score is (z - mu) e^-logvar for mu, and ((z - mu)^2 e^-logvar - 1) / 2 for logvar.
"""

from minivae import estimators

from . import Exercise, Part
from .gaussian_sample import STD_SLIPS
from .score_function import SAMPLE_WALK, SCORE_SLIPS, SCORE_WALK, draw, far


def draw_two(rng, n):
    """f, mu, logvar, eps, with two samples or more."""
    n.S = max(n.S, 2)
    return draw(rng, n)


def leave_one_out(f, mu, logvar, eps):
    """The score function with the mean cost of the other samples as baseline -> dmu, dlogvar (S, B, L).

    f: z (S, B, L) -> (S, B); mu, logvar (B, L); eps (S, B, L), S at least 2. Unbiased. The S entries depend
    on each other: to measure the variance, repeat all S. (Mnih and Rezende 2016; Kool et al. 2019: "RLOO")
    """


leave_one_out.__module__ = estimators.__name__  # there is the library's own, for every latent family

LEAVE_ONE_OUT = Part(
    leave_one_out,
    returns="dmu dlogvar",
    walk=SAMPLE_WALK
    + """
    cost = f(z)  # (S, B)
    """
    + SCORE_WALK
    + """
    others = (cost.sum(axis=0) - cost) / (len(cost) - 1)  # (S, B): the mean of the other S - 1 costs of a row
    left = (cost - others)[..., None]  # (S, B, 1)
    dmu = left * by_mu
    dlogvar = left * by_logvar
    """,
    slips="""
    others = cost.mean(axis=0)  # a bias by the factor (S-1)/S: each cost is part of its own baseline
    others = (cost.sum(axis=0) - np.roll(cost, -1, axis=0)) / (len(cost) - 1)
        # sample s leaves out the cost of sample s + 1, and keeps its own
    others = (cost.sum(axis=0) - cost[0]) / (len(cost) - 1)  # all samples leave out sample 0, not their own
    others = cost.min(axis=0)  # the baseline is the least cost, which depends on the sample's own cost
    others = 0 * cost  # no baseline is subtracted: this is the plain score function, with more variance
    others = cost.mean(axis=1, keepdims=True)
        # the baseline is a mean over the batch: use the mean over the other samples of the same row
    others = (cost.sum(axis=1, keepdims=True) - cost) / (cost.shape[1] - 1)
        # the baseline is the mean over the other rows of the batch: use the other samples of the same row
    others = (cost.sum() - cost) / (cost.size - 1)
        # the baseline is a mean over the other samples of all rows: each row has its own
    others = np.roll(cost, 1, axis=0)
        # the baseline is one other sample's cost: unbiased, but the mean of all others has less variance
    others = (cost.sum(axis=0) - cost) / (cost.shape[1] - 1)  # there are S - 1 others, not B - 1
    others = cost.mean(axis=0) - cost  # a cost is subtracted from the mean of all: subtract it from their sum
    others = (cost.sum(axis=0) - cost) // (len(cost) - 1)  # the baseline is rounded: is it divided with //?
    others = array([median(np.delete(cost, s, axis=0), axis=0) for s in range(len(cost))])
        # the baseline is the median of the others: expected their mean
    others = array([cost[:s].sum(axis=0) / (s or 1) for s in range(len(cost))])
        # the baseline is the mean cost of the earlier samples only: include the later ones
    others = array([cost[s + 1 :].sum(axis=0) / (len(cost) - s - 1 or 1) for s in range(len(cost))])
        # the baseline is the mean cost of the later samples only: include the earlier ones
    left = (cost - others)[..., None] * (len(cost) - 1) / len(cost)  # the factor S / (S - 1) is missing
    left = (cost - cost.mean(axis=0))[..., None] * (len(cost) - 1) / len(cost)
        # the factor is upside down: it is S / (S - 1)
    dlogvar = cost[..., None] * by_logvar  # dlogvar lacks the baseline
    left = (cost - others)[..., None] * len(cost) / (len(cost) - 1)
        # the factor S / (S - 1) is for the mean of all costs: the mean of the others needs none
    left = ((cost - cost.mean(axis=0)) / cost.std(axis=0))[..., None]
        # the costs are standardized: dividing by their standard deviation changes the gradient
    f_s = cost[..., None] * by_mu; g_s = cost[..., None] * by_logvar; \
dmu = f_s - (f_s.sum(axis=0) - f_s) / (len(cost) - 1); \
dlogvar = g_s - (g_s.sum(axis=0) - g_s) / (len(cost) - 1)
        # the mean of the other products is subtracted: subtract that of the other costs, then multiply
    dmu = cost[..., None] * (by_mu - (by_mu.sum(axis=0) - by_mu) / (len(cost) - 1)); \
dlogvar = cost[..., None] * (by_logvar - (by_logvar.sum(axis=0) - by_logvar) / (len(cost) - 1))
        # the others' mean is subtracted from the score: subtract it from the cost
    dmu = left * (by_mu - (by_mu.sum(axis=0) - by_mu) / (len(cost) - 1)); \
dlogvar = left * (by_logvar - (by_logvar.sum(axis=0) - by_logvar) / (len(cost) - 1))
        # the others' mean is subtracted from the score as well: subtract it from the cost alone
    off = eps  # the score is taken at eps, not at z
    """
    + SCORE_SLIPS
    + STD_SLIPS,
    cases={"every sample": draw_two},
    far={"very small and very large variances": far},
)

EXERCISE = Exercise(__doc__, lesson=6, parts=(LEAVE_ONE_OUT,), borrowed=("cost_times_score",))
