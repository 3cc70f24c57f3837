"""Exercise: the score function whose baseline is the mean cost of the other samples."""

import numpy as np

from minivae import estimators

from .. import judging
from ..judging import Exercise, Failed, Wrong

S, B, L = 5, 3, 2
SIZES = {"S": S, "B": B, "L": L}
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


def reference(f, mu, logvar, eps):
    """One sample at a time, the baseline by its definition."""
    costs, parts = scores(mu, logvar, eps)
    return tuple(
        np.array(
            [
                (costs[s] - np.mean([costs[t] for t in range(S) if t != s], axis=0))[:, None] * part[s]
                for s in range(S)
            ]
        )
        for part in parts
    )


def check_samples(its):
    """What every sample says."""
    mu, logvar, eps = example()
    names = ("dmu", "dlogvar")
    results = judging.values("leave_one_out", its.leave_one_out(cost, mu, logvar, eps), names)
    wrong = judging.mistaken(WRONG, "leave_one_out", cost, mu, logvar, eps)
    judging.expect_all(names, results, reference(cost, mu, logvar, eps), SIZES, wrong=wrong)


def check_constant(its):
    """A cost that is the same everywhere has no gradient, and here no sample says otherwise."""
    mu, logvar, eps = example()
    results = its.leave_one_out(lambda z: np.full(z.shape[:-1], 7.0), mu, logvar, eps)
    for name, got in zip(("dmu", "dlogvar"), results, strict=True):
        judging.expect(f"{name} of a constant cost", got, np.zeros((S, B, L)), SIZES)


def check_mean(its):
    """The mean over many data against the exact gradient, with the exact variance of leave-one-out.

    f = z^2 at mu = 2, std = 1, S = 5, 40,000 data: 5 standard errors, a false alarm once in 1.7 million; a
    bias of 4 % by mu or 14 % by logvar is found with 99.9 %.
    """
    rng = np.random.default_rng(15)
    mu, logvar, eps = np.full((MANY, 1), 2.0), np.zeros((MANY, 1)), rng.standard_normal((S, MANY, 1))
    names = ("dmu", "dlogvar")
    results = its.leave_one_out(lambda z: (z**2).sum(axis=-1), mu, logvar, eps)
    results = judging.values("leave_one_out", results, names)
    exact = estimators.quadratic_moments(1, 0, 0, 2, 1, "leave-one-out", samples=S)
    for name, got, moments in zip(names, results, exact, strict=True):
        got = judging.array(name, got, (S, MANY, 1), {"S": S, "B": MANY})
        error = np.sqrt(moments.variance / MANY)
        judging.biased(name, got.mean(), moments.mean, error, [((S - 1) / S, OWN), (1 / S, MEAN), (S, SUM)])


CHECKS = {
    "the mean is the gradient": check_mean,
    "every sample": check_samples,
    "a constant cost": check_constant,
}
MEAN_CHECK, SAMPLES, CONSTANT = CHECKS

OWN = "your estimator is biased by a factor 4/5 with S = 5: a sample stands in its own baseline"
MEAN = "the mean over the samples is taken already: return what each sample says, the caller averages"
SUM = "the samples are added up already: return what each sample says, the caller averages"
NONE = "no baseline is taken away: this is the plain score function, unbiased, and it scatters more"


# ------------------------------------------------------------------------------ wrong answers


def _with(baseline):
    """The estimator with another baseline: costs (S, B) -> (S, B) or (B,)."""

    def leave_one_out(f, mu, logvar, eps):
        std = np.exp(logvar / 2)
        costs = f(mu + std * eps)
        left = (costs - baseline(costs))[..., None]
        return left * eps / std, left * (eps**2 - 1) / 2

    return {"leave_one_out": leave_one_out}


def _others(costs):
    return (costs.sum(axis=0) - costs) / (len(costs) - 1)


def _changed(change):
    """The right estimator, and something done to its result."""
    right = _with(_others)["leave_one_out"]
    return {"leave_one_out": lambda f, mu, logvar, eps: change(*right(f, mu, logvar, eps), logvar)}


WRONG = (
    Wrong(_with(lambda costs: costs.mean(axis=0)), MEAN_CHECK, OWN),
    Wrong(_with(lambda costs: 0.0), SAMPLES, NONE),
    Wrong(
        _with(lambda costs: costs.mean(axis=1, keepdims=True)),
        SAMPLES,
        "the baseline is a mean over the data of the batch: it is one over the other samples of its datum",
    ),
    Wrong(
        _with(lambda costs: np.roll(costs, 1, axis=0)),
        SAMPLES,
        "the baseline is one other sample's cost: unbiased, but the mean of all the others scatters less",
    ),
    Wrong(
        _changed(lambda dmu, dlogvar, _: (dmu / S, dlogvar / S)),
        MEAN_CHECK,
        MEAN,
    ),
    Wrong(
        _changed(lambda dmu, dlogvar, _: (dmu.mean(axis=0), dlogvar.mean(axis=0))),
        MEAN_CHECK,
        "the axis S (5) is gone",
    ),
    Wrong(
        _changed(lambda dmu, dlogvar, _: (dmu, 2 * dlogvar)),
        MEAN_CHECK,
        "dlogvar is biased: its mean is",
    ),
)


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
