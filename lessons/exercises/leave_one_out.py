"""Exercise: the score function whose baseline is the mean cost of the other samples."""

import numpy as np

from minivae import estimators

from .. import judging
from ..judging import Exercise, Failed
from ..slips.leave_one_out import WRONG, centred
from ..slips.score_function import cause, guesses, terms

S, B, L = 5, 3, 2
SIZES = {"S": S, "B": B, "L": L}
NAMES = ("dmu", "dlogvar")
MANY = 40_000  # data in the test of the mean: a bias of 1/S is 15 standard errors or more


def example():
    """mu, logvar (B, L), eps (S, B, L)."""
    rng = np.random.default_rng(14)
    return rng.normal(0.5, 1.0, (B, L)), rng.normal(-0.3, 0.7, (B, L)), rng.standard_normal((S, B, L))


def cost(z):
    """f(z) = sum_l (z_l - 1)^2 + 3: (S, B, L) -> (S, B), or one sample (B, L) -> (B,)."""
    if np.shape(z)[-2:] != (B, L) or np.ndim(z) > 3:
        raise Failed(f"f is called with an array of shape {np.shape(z)}: it takes z of shape (S, B, L)")
    return ((np.asarray(z) - 1) ** 2).sum(axis=-1) + 3


def scores(mu, logvar, eps):
    """Cost (S, B) and the score's two parts (S, B, L), from the density's formula."""
    std = np.exp(logvar / 2)
    z = mu + std * eps
    return cost(z), (eps / std, (eps**2 - 1) / 2)


def others(costs):
    """The mean of the other costs, by its definition: (S, B) -> (S, B)."""
    return np.array([np.mean([costs[t] for t in range(S) if t != s], axis=0) for s in range(S)])


def check_samples(its):
    """What every sample says."""
    mu, logvar, eps = example()
    std = np.exp(logvar / 2)
    costs, parts = scores(mu, logvar, eps)
    left, baseline = (costs - others(costs))[..., None], others(costs)[..., None]

    def answer(eps):
        return judging.values("leave_one_out", its.leave_one_out(cost, mu, logvar, eps), NAMES)

    results = answer(eps)
    with judging.or_else(
        lambda: judging.deaf("dmu", lambda eps: answer(eps)[0], eps),
        lambda: cause(results, costs, std, eps, (baseline, baseline)),
    ):
        judging.expect_all(
            NAMES,
            results,
            [left * part for part in parts],
            SIZES,
            wrong=[
                *judging.mistaken(WRONG, "leave_one_out", cost, mu, logvar, eps),
                *centred(costs, parts),
                *guesses(cost, mu, logvar, eps, left=lambda costs: costs - others(costs)),
            ],
            terms=terms(costs, std, eps, (baseline, baseline)),
            formulas=[{"f score": 1.0, "baseline score": -1.0}] * 2,
        )


def check_constant(its):
    """A cost that is the same everywhere has no gradient, and here no sample says otherwise."""
    results = its.leave_one_out(lambda z: np.full(z.shape[:-1], 7.0), *example())
    for name, got in zip(NAMES, judging.values("leave_one_out", results, NAMES), strict=True):
        judging.expect(f"{name} of a constant cost", got, np.zeros((S, B, L)), SIZES)


def check_mean(its):
    """The mean over many data against the exact gradient, with the exact variance of leave-one-out.

    f = z^2 at mu = 2, std = 1, S = 5, 40,000 data: 5 standard errors, a false alarm once in 1.7 million; a
    bias of 4 % by mu or 14 % by logvar is found with 99.9 %.
    """
    rng = np.random.default_rng(15)
    mu, logvar, eps = np.full((MANY, 1), 2.0), np.zeros((MANY, 1)), rng.standard_normal((S, MANY, 1))
    results = its.leave_one_out(lambda z: (z**2).sum(axis=-1), mu, logvar, eps)
    results = judging.values("leave_one_out", results, NAMES)
    exact = estimators.quadratic_moments(1, 0, 0, 2, 1, "leave-one-out", samples=S)
    for name, got, moments in zip(NAMES, results, exact, strict=True):
        got = judging.array(name, got, (S, MANY, 1), {"S": S, "B": MANY})
        try:
            judging.biased(name, got.mean(), moments.mean, np.sqrt(moments.variance / MANY))
        except Failed as failed:
            judging.rather(check_samples, its, failed)


CHECKS = {
    "the mean is the gradient": check_mean,
    "every sample": check_samples,
    "a constant cost": check_constant,
}

EXERCISE = Exercise(
    lesson=6,
    title="Give each sample the others' mean as its baseline",
    task="""
    Write the score-function gradient with the leave-one-out baseline. f(z) takes all samples at once,
    (S, B, L), and returns costs (S, B); return what every sample says, and let the caller take the mean.
    """,
    functions=(estimators.leave_one_out,),
    hints=(
        "Where to look: lesson 6, baselines. Three steps: z from eps; the S costs of each datum; cost less "
        "baseline, times the score. The baseline of sample s is made of the other S - 1 costs of the same "
        "datum, so that it knows nothing of sample s.",
        "The formula: d_s = (f_s - 1/(S-1) sum over t != s of f_t) * score_s. The difference equals "
        "S/(S-1) (f_s - mean of all S costs). The score is (z - mu) e^-logvar by mu, and "
        "((z - mu)^2 e^-logvar - 1) / 2 by logvar.",
        "All but the last line:\n"
        "    std = np.exp(0.5 * logvar)\n"
        "    cost = f(mu + std * eps)                                # (S, B)\n"
        "    S = len(cost)\n"
        "    others = (cost.sum(axis=0) - cost) / (S - 1)            # (S, B)\n"
        "    left = (cost - others)[..., None]                       # (S, B, 1)",
    ),
    checks=CHECKS,
    wrong=WRONG,
)
