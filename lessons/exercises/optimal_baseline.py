"""Find the baseline with the least variance

A baseline t changes the variance of (f(z) - t) * score, but not its mean. Find the t with the least variance,
for each latent and for each of the two parameters. Estimate it from the samples alone, as a ratio of two sums
over S. mu and logvar are (B, L), eps is (S, B, L), f(z) takes (S, B, L) and returns costs (S, B): call it
once. Return two arrays (B, L), the first for mu, the second for logvar.

Where to look: lesson 6, baselines. The variance is E[(f - t)^2 s^2] minus the square of a mean that does not
depend on t. Differentiate it with respect to t and set the derivative to 0. Each parameter of each latent has
its own score s, and so its own t.

The formula: t = E[f s^2] / E[s^2], a mean of the costs with weights s^2. With samples, each mean is a sum
over S divided by S, and the two S cancel. The scores are (z - mu) e^-logvar and 1/2 ((z - mu)^2 e^-logvar -
1).
"""

import re

from minivae import estimators

from . import Exercise, Part
from .gaussian_sample import STD_SLIPS
from .score_function import SAMPLE_WALK, SCORE_SLIPS, SCORE_WALK, draw, far


def optimal_baseline(f, mu, logvar, eps):
    """The constant with the least variance, E[f s^2] / E[s^2] -> t_mu, t_logvar (B, L), for each score s.

    f: z (S, B, L) -> (S, B); mu, logvar (B, L); eps (S, B, L). Both means are over the samples. Estimated
    from `eps`; for `score_function` on *other* noise, or the mean is no longer the gradient. (Weaver and Tao
    2001; Greensmith et al. 2004)
    """


optimal_baseline.__module__ = estimators.__name__  # there is the library's own, for every latent family


def both(table):
    """Rows of slips for both results, from rows of a formula for t in the score s."""
    for row in re.sub(r"\n\s*# ", "  # ", table.strip()).splitlines():
        code, *words = row.strip().split("  # ")
        lines = [re.sub(r"\bs\b", f"by_{name}", f"t_{name} = {code}") for name in ("mu", "logvar")]
        yield "  # ".join(["; ".join(lines), *words])


FORMULAS = """
    cost.mean(axis=0) + 0 * mu
        # this is the mean cost: for the least variance, weight each cost by its squared score
    (cost * s).mean(axis=0) / (s**2).mean(axis=0)
        # this is E[f s] / E[s^2]: the variance is E[(f - t)^2 s^2], and both sums have s^2
    ((cost - cost.mean(axis=0)) * (s - s.mean(axis=0))).mean(axis=0) / s.var(axis=0)
        # this is Cov(f, s) / Var(s), for the least variance of f - t s: that of (f - t) s is expected
    ((cost * s - (cost * s).mean(axis=0)) * (s - s.mean(axis=0))).mean(axis=0) / s.var(axis=0)
        # this is Cov(f s, s) / Var(s): the mean of s is known to be 0, and E[f s^2] / E[s^2] is expected
    (cost * s).sum(axis=0) / s.sum(axis=0)
        # the scores are not squared: their sum is near 0, and the ratio is not a mean of the costs
    (cost * abs(s)).sum(axis=0) / abs(s).sum(axis=0)
        # the weights are |s|, not s^2: the variance is that of f s, and so quadratic in s
    (cost * s**2).mean(axis=0)  # this is E[f s^2] alone: divide it by E[s^2]
    (cost * s**2).mean(axis=0) / s.var(axis=0)  # this divides by Var(s), expected E[s^2]
    (cost * s**2 / s**2).mean(axis=0)  # the ratio is taken sample by sample: sum first, then divide
    (cost * s**2).sum(axis=0) / s.sum(axis=0)**2
        # the sum of s is squared, not s: E[s^2] is the mean of the squares
    (cost * s).sum(axis=0)**2 / (s**2).sum(axis=0)  # the sum of f s is squared: square only s, in the sum
    (cost * s).mean(axis=0)  # this is E[f s], the gradient itself: the baseline is what is subtracted from f
    (cost.mean(axis=1, keepdims=True) * s**2).sum(axis=0) / (s**2).sum(axis=0)
        # the costs are averaged over the batch: each row has its own
    median(cost + 0 * s, axis=0)  # this is the median of the costs: a mean with the weights s^2 is expected
    cost * s**2 / (s**2).sum(axis=0)
    cost * s**2 / (s**2).mean(axis=0)  # the sum over the samples is missing above the fraction bar
    (cost * s**2).sum(axis=0) / (s**2).sum(axis=(0, 2))[:, None]
        # the squared scores are added over the latents below the fraction bar: each latent has its own sum
    (cost * s**2).sum(axis=(0, 2)) / (s**2).sum(axis=(0, 2))
    (cost * (s**2).sum(axis=2, keepdims=True)).sum(axis=0) / (s**2).sum(axis=(0, 2))[:, None] + 0 * mu
        # the squared scores are added over the latents: each latent has a baseline of its own
    (cost * s**2).sum(axis=(0, 1)) / (s**2).sum(axis=(0, 1)) + 0 * mu
    (cost * s**2).sum(axis=(0, 1)) / (s**2).sum(axis=(0, 1))
        # the sums run over the batch as well: each row has a baseline of its own
    (cost * (by_mu**2 + by_logvar**2)).sum(axis=0) / (by_mu**2 + by_logvar**2).sum(axis=0)
        # the squared scores of mu and logvar are added: each parameter has a baseline of its own
"""

OPTIMAL = Part(
    optimal_baseline,
    returns="t_mu t_logvar",
    walk=SAMPLE_WALK
    + """
    cost = f(z)[..., None]  # (S, B, 1)
    """
    + SCORE_WALK
    + """
    t_mu = (cost * by_mu**2).sum(axis=0) / (by_mu**2).sum(axis=0)  # (B, L)
    t_logvar = (cost * by_logvar**2).sum(axis=0) / (by_logvar**2).sum(axis=0)  # (B, L)
    """,
    slips="\n".join(both(FORMULAS))
    + """
    t_mu = (cost * eps**2).mean(axis=0); t_logvar = 2 * (cost * by_logvar**2).mean(axis=0)
        # E[s^2] is its known value, e^-logvar or 1/2: divide by the samples' own sum of s^2
    cost = (f(z) - f(z).mean(axis=0))[..., None]  # the mean cost is subtracted: t is a mean of f itself
    """
    + SCORE_SLIPS
    + STD_SLIPS,
    cases={"the ratio of two sums": draw},
    far={"very small and very large variances": far},
)

EXERCISE = Exercise(__doc__, lesson=6, parts=(OPTIMAL,), borrowed=("cost_times_score",))
