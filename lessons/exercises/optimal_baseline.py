"""Exercise: the constant baseline with which a score function scatters least."""

import numpy as np

from minivae import estimators

from .. import judging
from ..judging import Exercise, Failed, Wrong
from .score_function import SIZES, B, L, cost, example

NAMES = ("the baseline for mu", "the baseline for logvar")
MANY = 20_000  # samples in the test of the limit


def scores(mu, logvar, eps):
    """z, and the score's two parts at it, all (S, B, L), from the density's formula."""
    std = np.sqrt(np.exp(logvar))
    return mu + std * eps, (eps / std, (eps**2 - 1) / 2)


def reference(f, mu, logvar, eps):
    """Sums over the samples, one sample after the other."""
    z, parts = scores(mu, logvar, eps)
    found = []
    for part in parts:
        over, under = np.zeros(mu.shape), np.zeros(mu.shape)
        for s in range(len(eps)):
            weight = part[s] ** 2
            over, under = over + f(z[s])[:, None] * weight, under + weight
        found.append(over / under)
    return tuple(found)


def check_values(its):
    """The ratio of two sums over the samples, for each latent of each datum."""
    mu, logvar, eps = example()
    args = cost, mu, logvar, eps
    results = judging.values("optimal_baseline", its.optimal_baseline(*args), NAMES)
    try:
        judging.expect_all(
            NAMES,
            results,
            reference(*args),
            SIZES,
            wrong=judging.mistaken(WRONG, "optimal_baseline", *args),
            inputs={"logvar": logvar, "mu": mu},
        )
    except Failed as failed:
        if failed.known and "wrong only where" not in failed.sentence:
            raise
        other = judging.values(
            "optimal_baseline", its.optimal_baseline(cost, mu, logvar, np.cos(3 * eps)), NAMES
        )
        if np.array_equal(results[0], other[0]):
            raise Failed(NOT_THIS_NOISE, failed.details) from None
        raise Failed(cause(its, results, mu, logvar, eps), failed.details) from None


def cause(its, results, mu, logvar, eps):
    """What is wrong with each sample's weight, found by giving one sample at a time a cost of 1."""
    z, parts = scores(mu, logvar, eps)
    wants = reference(cost, mu, logvar, eps)
    right = [judging.close(got, want) for got, want in zip(results, wants, strict=True)]
    k = right.index(False)
    name, score = NAMES[k], parts[k]
    asked, weights = [], []

    def alone(one):
        def f(at):  # 1 where z (S, B, L) or (B, L) is that of one sample (B, L), else 0
            same = np.isclose(at, one, rtol=1e-9, atol=0).all(axis=-1)
            asked.append(same.any())
            return same.astype(float)

        return f

    for one in z:
        weights.append(its.optimal_baseline(alone(one), mu, logvar, eps)[k])
    weights = np.array(weights, float)  # (S, B, L)
    if not any(asked):
        return "f is never asked at z = mu + exp(0.5 logvar) eps: is z drawn otherwise, or changed before?"
    made = (weights * cost(z)[..., None]).sum(axis=0)
    if not np.allclose(made, results[k], rtol=1e-6):
        return (
            f"{name} is no sum of weights times costs: something is subtracted, squared, compared or "
            "rounded, where a weighted mean of the costs is asked"
        )
    for s, weight in enumerate(weights):
        if not weight.any():
            return (
                f"{name} leaves out the cost of sample {s} of {len(z)}: does a loop end early, or start late?"
            )
    total, (b, i) = (
        weights.sum(axis=0),
        np.unravel_index(int(np.argmax(np.abs(weights.sum(axis=0) - 1))), (B, L)),
    )
    if np.max(np.abs(total)) < 1e-9:
        return (
            f"{name} is 0 for a cost that is the same everywhere, where it should be that cost: is the mean "
            "cost subtracted first, as in a covariance?"
        )
    if abs(total[b, i] - 1) > 1e-6:
        return (
            f"{name} is no mean of the costs: for latent {i} of datum {b} their weights sum to "
            f"{total[b, i]:.4g}, not 1. Are they divided by their own sum?"
        )
    share = score**2 / (score**2).sum(axis=0)
    s, b, i = np.unravel_index(int(np.argmax(np.abs(weights - share))), share.shape)
    return (
        f"{name} weighs the costs otherwise: sample {s} of datum {b} has the weight {weights[s, b, i]:.3g} "
        f"for latent {i}, where its squared score's share of the sum is {share[s, b, i]:.3g}"
        + f"; {NAMES[1 - k]} is right"
        * right[1 - k]
    )


def check_limit(its):
    """With many samples the baselines are C + 3A for mu and C + 5A for logvar, per latent of f = z^2.

    f = z_1^2 + z_2^2, 20,000 samples of 3 data: A = std^2 and C = mu^2 of one latent, and the other adds its
    own mean A + C. 5 standard errors (of a ratio of means) of 12 numbers: a false alarm once in 140,000
    seeds, and the seed is fixed. A baseline that is wrong by 12 % for mu or 31 % for logvar is found with
    99.9 %.
    """
    rng = np.random.default_rng(70)
    mu, std = np.tile([2.0, -1.0], (3, 1)), np.tile([1.0, 0.5], (3, 1))
    eps = rng.standard_normal((MANY, 3, 2))
    results = its.optimal_baseline(lambda z: (z**2).sum(axis=-1), mu, 2 * np.log(std), eps)
    results = judging.values("optimal_baseline", results, NAMES)
    A, C = std**2, mu**2
    others = (A + C).sum(axis=1, keepdims=True) - (A + C)
    z, parts = scores(mu, 2 * np.log(std), eps)
    costs = (z**2).sum(axis=-1)[..., None]
    for name, got, want, part in zip(NAMES, results, (C + 3 * A, C + 5 * A), parts, strict=True):
        got = judging.array(name, got, (3, 2), {"S": MANY, "B": 3, "L": 2}).astype(float)
        want = want + others
        error = np.sqrt((part**4 * (costs - want) ** 2).mean(axis=0) / MANY) / (part**2).mean(axis=0)
        off = np.abs(got - want) / error
        if off.max() > 5:
            at = tuple(int(n) for n in np.unravel_index(int(np.argmax(off)), off.shape))
            numbers = f"{got[at]:.4g} +- {error[at]:.2g}, exact {want[at]:.6g}"
            sentence = (
                f"{name} does not become the best constant with many samples: for f = z_1^2 + z_2^2 it is "
                f"{got[at]:.4g} where {want[at]:.4g} is the best"
            )
            judging.rather(
                check_values, its, Failed(sentence, [f"latent {at[1]} with {MANY} samples: {numbers}"])
            )


def check_constant(its):
    """A cost that is the same everywhere is its own baseline: nothing is left that could scatter."""
    mu, logvar, eps = example()
    results = its.optimal_baseline(lambda z: np.full(z.shape[:-1], 7.0), mu, logvar, eps)
    for name, got in zip(NAMES, judging.values("optimal_baseline", results, NAMES), strict=True):
        judging.expect(
            f"{name}, of a constant cost",
            got,
            np.full((B, L), 7.0),
            SIZES,
            wrong=[(FISHER, _fisher(eps, name))],
        )


CHECKS = {
    "the limit of many samples": check_limit,
    "the ratio of two sums": check_values,
    "a constant cost": check_constant,
}
LIMIT, VALUES, CONSTANT = CHECKS

NOT_THIS_NOISE = (
    "the baselines do not change when eps changes: z is made of other noise than the one passed in, drawn "
    "with a fixed seed or kept from another call"
)
FISHER = (
    "E[s^2] is put in as it is known, e^-logvar and 1/2: divide by the samples' own sum of s^2, and the "
    "baseline is a weighted mean of the costs, which a constant cost leaves exact"
)


def _fisher(eps, name):
    square = eps**2 if name == NAMES[0] else (eps**2 - 1) ** 2 / 2
    return 7 * square.mean(axis=0)


# ------------------------------------------------------------------------------ wrong answers


def _made(baseline, then=lambda found: found):
    """(costs (S, B, 1), a score (S, B, L)) -> (B, L), for both scores."""

    def optimal_baseline(f, mu, logvar, eps):
        z, parts = scores(mu, logvar, eps)
        costs = f(z)[..., None]
        return then(tuple(baseline(costs, part) for part in parts))

    return {"optimal_baseline": optimal_baseline}


def _right(costs, s):
    return (costs * s**2).sum(axis=0) / (s**2).sum(axis=0)


def _with_scores(change):
    """The right ratio of other scores: (mu, std, eps) -> both."""

    def optimal_baseline(f, mu, logvar, eps):
        std = np.exp(logvar / 2)
        costs = f(mu + std * eps)[..., None]
        return tuple(_right(costs, part) for part in change(mu, std, eps))

    return {"optimal_baseline": optimal_baseline}


def _pooled(f, mu, logvar, eps):
    z, parts = scores(mu, logvar, eps)
    square = [part**2 for part in parts]
    costs = f(z)[..., None]
    return tuple(
        np.broadcast_to((costs * w).sum(axis=(0, 1)) / w.sum(axis=(0, 1)), mu.shape).copy() for w in square
    )


def _joint(f, mu, logvar, eps):
    z, parts = scores(mu, logvar, eps)
    w = sum(part**2 for part in parts)
    one = (f(z)[..., None] * w).sum(axis=0) / w.sum(axis=0)
    return one, one.copy()


def _exact_information(f, mu, logvar, eps):
    z, parts = scores(mu, logvar, eps)
    costs = f(z)[..., None]
    return (costs * parts[0] ** 2).mean(axis=0) / np.exp(-logvar), (costs * parts[1] ** 2).mean(axis=0) / 0.5


def _at_mu(f, mu, logvar, eps):
    z, parts = scores(mu, logvar, eps)
    costs = (f(mu) + 0 * f(z))[..., None]
    return tuple(_right(costs, part) for part in parts)


WRONG = (
    Wrong(
        _made(lambda costs, s: costs.mean(axis=0) + 0 * s[0]),
        LIMIT,
        "this is the mean cost: it takes the constant out of f, but the least variance weighs each cost by "
        "its squared score",
    ),
    Wrong(
        _made(lambda costs, s: (costs * s).mean(axis=0) / (s**2).mean(axis=0)),
        LIMIT,
        "this is E[f s] / E[s^2], the gradient over E[s^2]: the variance is E[(f - t)^2 s^2], and both "
        "sums have s^2",
    ),
    Wrong(
        _made(
            lambda costs, s: (
                ((costs - costs.mean(axis=0)) * (s - s.mean(axis=0))).mean(axis=0) / s.var(axis=0)
            )
        ),
        LIMIT,
        "this is Cov(f, s) / Var(s), the coefficient of s as a control variate for f: here f s is to "
        "scatter less, and t s is what is taken from it, so t = E[f s^2] / E[s^2]",
    ),
    Wrong(
        _made(
            lambda costs, s: (
                ((costs * s - (costs * s).mean(axis=0)) * (s - s.mean(axis=0))).mean(axis=0) / s.var(axis=0)
            )
        ),
        VALUES,
        "this is Cov(f s, s) / Var(s) with the samples' mean of s taken away: the score's mean is known to "
        "be 0, and the ratio of sums E[f s^2] / E[s^2] is asked",
    ),
    Wrong(
        _made(lambda costs, s: (costs * s).sum(axis=0) / s.sum(axis=0)),
        LIMIT,
        "the scores are not squared: their sum is near 0 and has no sign, and the quotient is no mean of "
        "the costs",
    ),
    Wrong(
        _made(lambda costs, s: (costs * np.abs(s)).sum(axis=0) / np.abs(s).sum(axis=0)),
        LIMIT,
        "the weights are |s|, not s^2: the variance is that of f s, and so quadratic in s",
    ),
    Wrong(
        _made(lambda costs, s: (costs * s**4).sum(axis=0) / (s**4).sum(axis=0)),
        LIMIT,
        "the weights are s^4: the square is taken twice",
    ),
    Wrong(
        _made(lambda costs, s: (costs * s**2).mean(axis=0)),
        LIMIT,
        "this is E[f s^2] alone: it is not divided by E[s^2]",
    ),
    Wrong(
        _made(lambda costs, s: (costs * s**2).sum(axis=0) / s.sum(axis=0) ** 2),
        LIMIT,
        "the sum of s is squared, not s: E[s^2] is the mean of the squares",
    ),
    Wrong(
        _made(lambda costs, s: (costs * s).mean(axis=0)),
        LIMIT,
        "this is E[f s], the gradient itself: the baseline is what is subtracted from f",
    ),
    Wrong(
        _made(lambda costs, s: (costs**2 * s**2).sum(axis=0) / (s**2).sum(axis=0)),
        LIMIT,
        "the cost is squared as well: only the score is",
    ),
    Wrong(
        _made(lambda costs, s: (costs**2 * s**2).sum(axis=0) / (costs * s**2).sum(axis=0)),
        LIMIT,
        "f^2 s^2 is divided by f s^2: one f too many in both sums",
    ),
    Wrong(
        _made(_right, lambda found: (found[0], found[0].copy())),
        LIMIT,
        "one baseline stands for both parameters, that of mu: each score has its own weights",
    ),
    Wrong(
        _made(_right, lambda found: (found[1], found[1].copy())),
        LIMIT,
        "one baseline stands for both parameters, that of logvar: each score has its own weights",
    ),
    Wrong(
        {"optimal_baseline": _joint},
        LIMIT,
        "the squared scores of mu and logvar are added: each parameter has a baseline of its own",
    ),
    Wrong(
        _made(
            lambda costs, s: np.repeat(
                (costs * (s**2).sum(axis=-1, keepdims=True)).sum(axis=0) / (s**2).sum(axis=(0, 2))[:, None],
                s.shape[-1],
                axis=1,
            )
        ),
        LIMIT,
        "the squared scores are added over the latents: each latent has a baseline of its own",
    ),
    Wrong(
        {"optimal_baseline": _pooled},
        VALUES,
        "the sums run over the batch as well: each datum has costs, and a baseline, of its own",
    ),
    Wrong(
        {"optimal_baseline": _exact_information},
        VALUES,
        "E[s^2] is put in as it is known, e^-logvar and 1/2",
    ),
    Wrong(
        _made(_right, lambda found: found[::-1]),
        LIMIT,
        "the baseline for mu and the baseline for logvar are exchanged",
    ),
    Wrong(
        _with_scores(lambda mu, std, eps: (eps / std, eps**2 / 2)),
        VALUES,
        "the baseline for logvar is made with a score that lacks its -1: it is 1/2 (eps^2 - 1)",
    ),
    Wrong(
        _with_scores(lambda mu, std, eps: (eps / std, ((std * eps) ** 2 - 1) / 2)),
        LIMIT,
        "the score by logvar lacks e^-logvar at (z - mu)^2",
    ),
    Wrong(
        _with_scores(lambda mu, std, eps: ((mu + std * eps) / std**2, ((mu / std + eps) ** 2 - 1) / 2)),
        LIMIT,
        "the score has z where z - mu belongs",
    ),
    Wrong(
        {"optimal_baseline": _at_mu},
        LIMIT,
        "f is asked at mu, not at z: the costs of all samples are then the same, and so is the baseline",
    ),
    Wrong(
        _made(lambda costs, s: costs * s**2 / (s**2).mean(axis=0)),
        LIMIT,
        "is still there, the sum over it is",
    ),
    Wrong(_made(_right, lambda found: found[0]), LIMIT, "returns one value, expected 2"),
)


EXERCISE = Exercise(
    lesson=6,
    title="Find the baseline that leaves the least variance",
    task="""
    A baseline t changes the variance of (f(z) - t) * score, and not its mean. Minimize the variance by t, for
    each latent and for each of the two parameters, and estimate what comes out from the samples alone, as a
    ratio of sums over S. mu and logvar are (B, L), eps is (S, B, L), f(z) takes (S, B, L) and returns costs
    (S, B). Return a pair of (B, L), the first for mu, the second for logvar.
    """,
    functions=(estimators.optimal_baseline,),
    hints=(
        "Where to look: lesson 6, baselines. The variance is E[(f - t)^2 s^2] less the square of a mean "
        "that does not depend on t. Differentiate it by t and set that to 0. Each parameter of each latent "
        "has a score s of its own, and so a t of its own.",
        "The formula: t = E[f s^2] / E[s^2], a mean of the costs with weights s^2. With samples, both "
        "means are sums over S, and the S cancels. The scores are (z - mu) e^-logvar and 1/2 ((z - mu)^2 "
        "e^-logvar - 1).",
        "All but the last line:\n"
        "    z = mu + np.exp(0.5 * logvar) * eps                     # (S, B, L)\n"
        "    cost = f(z)[..., None]                                  # (S, B, 1)\n"
        "    by_mu = (z - mu) * np.exp(-logvar)                      # (S, B, L)\n"
        "    by_logvar = 0.5 * ((z - mu) * by_mu - 1)                # (S, B, L)\n"
        "    weights = by_mu**2, by_logvar**2\n"
        "and the ratio of (cost * w).sum(axis=0) and w.sum(axis=0), for each of the two.",
    ),
    checks=CHECKS,
    wrong=WRONG,
    borrowed=("cost_times_score",),
)
