"""Exercise: the score-function gradient, which never differentiates the cost, and its baselines."""

import numpy as np

from minivae import estimators
from minivae.estimators import scores

from .. import judging
from ..judging import Exercise, Failed, Wrong

S, B, L = 4, 7, 3
SIZES = {"S": S, "B": B, "L": L}
NAMES = ("dmu", "dlogvar")
MANY, DRAWS = 40_000, 3  # data and samples of each in the test of the mean
TARGET = np.random.default_rng(60).normal(1.0, 0.8, (B, L))
WEIGHT = np.array([1.0, 0.4, 1.7])
NUMBER = 1.3


def example():
    """mu, logvar (B, L), eps (S, B, L)."""
    rng = np.random.default_rng(61)
    return rng.normal(0.5, 1.0, (B, L)), rng.normal(-0.3, 0.7, (B, L)), rng.standard_normal((S, B, L))


def per_datum():
    """A baseline (B,)."""
    return np.random.default_rng(62).normal(2.0, 1.0, B)


def pair():
    """Baselines (B, L) for mu and for logvar."""
    rng = np.random.default_rng(63)
    return rng.normal(2.0, 1.0, (B, L)), rng.normal(-1.0, 1.0, (B, L))


def cost(z):
    """sum_l w_l (z_l - t_l)^2 + 2, another t for each datum: (S, B, L) -> (S, B), or (B, L) -> (B,)."""
    if np.shape(z)[-2:] != (B, L) or np.ndim(z) > 3:
        raise Failed(f"f is called with an array of shape {np.shape(z)}: it takes z of shape (S, B, L)")
    return (WEIGHT * (np.asarray(z) - TARGET) ** 2).sum(axis=-1) + 2


def slope(z):
    """df/dz, like z."""
    return 2 * WEIGHT * (z - TARGET)


def reference(mu, logvar, eps, baselines):
    """Sample by sample and latent by latent, from the derivatives of the log-density's exponent."""
    found = np.empty((2, S, B, L))
    variance = np.exp(logvar)
    for s in range(S):
        z = mu + np.sqrt(variance) * eps[s]
        parts = (z - mu) / variance, (z - mu) ** 2 / (2 * variance) - 0.5
        for k, (part, baseline) in enumerate(zip(parts, baselines, strict=True)):
            for i in range(L):
                found[k, s, :, i] = (cost(z) - baseline[:, i]) * part[:, i]
    return tuple(found)


def terms(mu, logvar, eps, baselines):
    """What dmu, and what dlogvar, may be the sum of."""
    std = np.exp(logvar / 2)
    z = mu + std * eps
    f, at_mu = cost(z)[..., None], cost(mu)[:, None]
    own = eps / std, (eps**2 - 1) / 2
    found = []
    for score, other, baseline in zip(own, own[::-1], baselines, strict=True):
        some = {
            "f score": f * score,
            "score": score,
            "f(mu) score": at_mu * score,
            "mean(f) score": f.mean(axis=0) * score,
            "f^2 score": f**2 * score,
            "f": f,
            "f eps": f * eps,
            "f eps^2": f * eps**2,
            "f eps^2 e^-logvar": f * eps**2 / std**2,
            "f (z - mu)": f * std * eps,
            "f (z - mu)^2": f * (std * eps) ** 2,
            "f z": f * z,
            "f / std": f / std,
            "f the other score": f * other,
        }
        if baseline.any():
            some = {key: value for key, value in some.items() if key not in ("f z", "f / std", "f^2 score")}
            one = np.ptp(baseline) == 0
            some |= {"baseline score": baseline * score} | ({} if one else {"baseline": baseline})
            some |= {"baseline f score": baseline * f * score} if not one else {}
            if one:
                del some["score"]
        found.append({key: value + 0 * eps for key, value in some.items()})
    return found


def check_samples(its):
    """What every sample says, without a baseline."""
    _values(its, (), (np.zeros((B, L)),) * 2)


def check_number(its):
    """The same number is taken from every cost."""
    _values(its, (NUMBER,), (np.full((B, L), NUMBER),) * 2, "baseline = 1.3")


def check_per_datum(its):
    """A number for each datum, the same for all its samples and latents."""
    baseline = per_datum()
    _values(its, (baseline,), (np.tile(baseline[:, None], L),) * 2, "baseline of shape (B,)")


def check_pair(its):
    """One for mu and one for logvar, for each latent."""
    _values(its, (pair(),), pair(), "baseline a pair of (B, L)")


def _values(its, baseline, baselines, note=""):
    mu, logvar, eps = example()
    args = cost, mu, logvar, eps, *baseline
    try:
        results = its.score_function(*args)
    except Failed as failed:
        hint = next((words for kind, words in HINTS if baseline and isinstance(baseline[0], kind)), "")
        raise Failed(
            failed.sentence + hint * ("stops with" in failed.sentence), failed.details, failed.line
        ) from (failed.__cause__)
    results = judging.values("score_function", results, NAMES)
    z = mu + np.exp(logvar / 2) * eps
    pathwise = slope(z), slope(z) * np.exp(logvar / 2) * eps / 2
    try:
        judging.expect_all(
            NAMES,
            results,
            reference(mu, logvar, eps, baselines),
            SIZES,
            wrong=[*judging.mistaken(WRONG, "score_function", *args), (PATHWISE, pathwise)],
            terms=terms(mu, logvar, eps, baselines),
            formulas=[{"f score": 1.0} | ({"baseline score": -1.0} if baseline else {})] * 2,
            inputs={"logvar": logvar + 0 * eps, "mu": mu + 0 * eps, "eps": eps},
            note=note,
        )
    except Failed as failed:
        if failed.known and "wrong only where" not in failed.sentence:
            raise
        other = judging.values(
            "score_function", its.score_function(cost, mu, logvar, np.cos(3 * eps), *baseline), NAMES
        )
        if np.array_equal(results[0], other[0]):
            raise Failed(NOT_THIS_NOISE, failed.details) from None
        if sentence := cause(results, mu, logvar, eps, baselines):
            raise Failed(sentence + (f" ({note})" if note else ""), failed.details) from None
        raise


def cause(results, mu, logvar, eps, baselines):
    """Which of the two factors is wrong, the cost or the score; None if that cannot be told."""
    std = np.exp(logvar / 2)
    costs = cost(mu + std * eps)[..., None]
    found, wrong = [], []
    for got, score, baseline in zip(results, (eps / std, (eps**2 - 1) / 2), baselines, strict=True):
        left = np.asarray(got, float) / score  # (S, B, L): what the score was multiplied by
        found.append(left)
        wrong.append(not np.allclose(left, costs - baseline, rtol=1e-6))
    k = wrong.index(True)
    left, want, name = found[k], costs - baselines[k], NAMES[k]
    s, b, i = np.unravel_index(int(np.argmax(np.abs(left - want))), want.shape)
    taken = costs - left
    if np.allclose(taken, taken[:1], rtol=1e-6, atol=1e-8):
        mine, theirs = taken[0, b, i], baselines[k][b, i]
        return (
            f"in {name} the score is right, but {mine:.4g} is subtracted from the costs of datum {b}"
            + (f" for latent {i}" if np.ptp(baselines[k][b]) else "")
            + f", where its baseline is {theirs:.4g}"
        )
    both = np.allclose(found[0] + baselines[0], found[1] + baselines[1], rtol=1e-6)
    if both or np.allclose(left, left[..., :1], rtol=1e-6):
        mine, theirs = left[s, b, i], want[s, b, i]
        what = f"{mine:.4g} for sample {s} of datum {b}, where f(z) - baseline is {theirs:.4g}"
        if np.allclose(left, np.round(left), atol=1e-9):
            what = "a whole number everywhere, so the costs are rounded"
        return f"in {name} the score is right, and what it is multiplied by is wrong: it is {what}"
    if not wrong[1 - k]:
        other = "what is done with the baseline" if any(b.any() for b in baselines) else "the score"
        return f"{NAMES[1 - k]} is right, so the costs are: it is {other} in {name} that is wrong"
    return None


def check_mean(its):
    """Mean and variance of each sample against the exact ones of a score function.

    f = z_1^2 + z_2^2 at mu = 1.5, std = 1.4, 40,000 data with 3 samples each: 5 standard errors of 8 numbers,
    a false alarm once in 200,000 seeds, and the seed is fixed. With 99.9 % it finds a bias of 9 % by mu or
    18 % by logvar, and a variance that is wrong by 11 % or 31 %.
    """
    rng, mean, std, n = np.random.default_rng(64), 1.5, 1.4, MANY * DRAWS
    mu, logvar = np.full((MANY, 2), mean), np.full((MANY, 2), 2 * np.log(std))
    results = its.score_function(
        lambda z: (z**2).sum(axis=-1), mu, logvar, rng.standard_normal((DRAWS, MANY, 2))
    )
    results = judging.values("score_function", results, NAMES)
    sizes = {"S": DRAWS, "B": MANY, "L": 2}
    exact = estimators.quadratic_moments(1, 0, 0, mean, std, "score-function", dim=2)
    others = {name: {} for name in NAMES}
    for words, key in OTHERS.items():
        for name, moments in zip(
            NAMES, estimators.quadratic_moments(1, 0, 0, mean, std, key, dim=2), strict=True
        ):
            others[name][words] = moments
    for name, got, moments in zip(NAMES, results, exact, strict=True):
        got = judging.array(name, got, (DRAWS, MANY, 2), sizes).astype(float)
        for i in range(2):
            try:
                reasons = [(1 / DRAWS, TAKEN), (DRAWS, ADDED), (-1, SIGN)]
                error = np.sqrt(moments.variance / n)
                judging.biased(name, got[..., i].mean(), moments.mean, error, reasons)
                _scatter(name, got[..., i].var(), moments, n, others[name])
            except Failed as failed:
                if any(words in failed.sentence for words in OTHERS):
                    raise
                judging.rather(check_samples, its, failed)


def _scatter(name, variance, exact, n, others):
    """Raise Failed if the variance is not that of a score function; others: name -> its moments instead."""
    if abs(variance - exact.variance) > 5 * exact.variance_error(n):
        like = [
            key
            for key, other in others.items()
            if abs(variance - other.variance) < 5 * other.variance_error(n)
        ]
        is_that = f"it is that of {like[0]}" if like else "it is another estimator"
        raise Failed(
            f"{name} has the right mean, but {variance / exact.variance:.3g} times the variance of a score "
            f"function: {is_that}",
            [f"its variance is {variance:.4g} +- {exact.variance_error(n):.2g}, exact {exact.variance:.6g}"],
        )


CHECKS = {
    "the mean is the gradient": check_mean,
    "every sample": check_samples,
    "a baseline that is a number": check_number,
    "a baseline for each datum": check_per_datum,
    "a pair of baselines": check_pair,
}
MEAN, SAMPLES, ONE, DATUM, PAIR = CHECKS

HINTS = (
    (
        tuple,
        ". Here the baseline is a pair of arrays (B, L): take it apart first, isinstance(baseline, tuple)",
    ),
    (
        np.ndarray,
        ". Here the baseline is (B,): against costs (S, B, 1) it wants to be (B, 1), baseline[:, None]",
    ),
)
NOT_THIS_NOISE = (
    "dmu does not change when eps changes: z is made of other noise than the one passed in, drawn with a "
    "fixed seed or kept from another call"
)
TAKEN = "the mean over the samples is taken already: return what each sample says, the caller averages"
ADDED = "the samples are added up already: return what each sample says, the caller averages"
OTHERS = {
    "the pathwise gradient, made of f's derivative": "pathwise",
    "antithetic pairs, eps and -eps": "score-function-antithetic",
    "a score function with the mean cost as its baseline": "score-function-mean-baseline",
}
SIGN = "the gradient has the wrong sign: f is multiplied by the score, the derivative of +log q"
PATHWISE = (
    "this is the pathwise gradient, made of f's derivative: the score function multiplies f's value by the "
    "score and never differentiates f"
)


# ------------------------------------------------------------------------------ wrong answers


def _estimator(cost=None, by_mu=None, by_logvar=None, times=None, then=None):
    """The score function with parts of it changed.

    cost       (f, z, mu, eps) -> costs (S, B)
    by_mu, by_logvar  (d, std) -> score, with d = z - mu
    times      (costs (S, B, 1), baseline as given, score, which part) -> product
    then       what is done to each result
    """
    cost = cost or (lambda f, z, mu, eps: f(z))
    by_mu = by_mu or (lambda d, std: d / std**2)
    by_logvar = by_logvar or (lambda d, std: (d**2 / std**2 - 1) / 2)
    times = times or (lambda costs, baseline, score, part: (costs - _spread(baseline, part)) * score)
    then = then or (lambda d: d)

    def score_function(f, mu, logvar, eps, baseline=0.0):
        std = np.exp(logvar / 2)
        z = mu + std * eps
        costs = cost(f, z, mu, eps)[..., None]
        scores = by_mu(z - mu, std), by_logvar(z - mu, std)
        return tuple(then(times(costs, baseline, score, part)) for part, score in enumerate(scores))

    return {"score_function": score_function}


def _spread(baseline, part):
    """The baseline of one part, as it stands against (S, B, 1)."""
    if isinstance(baseline, tuple):
        return baseline[part]
    return baseline[:, None] if np.ndim(baseline) else baseline


def _with_spread(of_z, of_score):
    """The score function with other standard deviations, as functions of logvar."""

    def score_function(f, mu, logvar, eps, baseline=0.0):
        d, std = of_z(logvar) * eps, of_score(logvar)
        costs = f(mu + d)[..., None]
        scores = d / std**2, (d**2 / std**2 - 1) / 2
        return tuple((costs - _spread(baseline, part)) * score for part, score in enumerate(scores))

    return {"score_function": score_function}


_again = np.random.default_rng(65)

WRONG = (
    Wrong(
        _estimator(then=lambda d: d.mean(axis=0)),
        MEAN,
        "the axis S (3) is gone, it was summed or averaged over",
    ),
    Wrong(_estimator(then=lambda d: d / len(d)), MEAN, TAKEN),
    Wrong(_estimator(then=lambda d: d * len(d)), MEAN, ADDED),
    Wrong(_estimator(then=lambda d: -d), MEAN, SIGN),
    Wrong(
        _estimator(cost=lambda f, z, mu, eps: f(mu) + 0 * f(z)),
        MEAN,
        "f is asked at mu, not at z: a cost that is the same for every sample tells nothing about which "
        "way to go",
    ),
    Wrong(
        _estimator(cost=lambda f, z, mu, eps: f(eps)),
        MEAN,
        "f is asked at eps, not at z: the noise must become a draw of q first",
    ),
    Wrong(
        _estimator(cost=lambda f, z, mu, eps: f(z) - f(z).mean(axis=0)),
        MEAN,
        "the mean of the samples' own costs is subtracted: each stands in its own baseline, and the mean "
        "of the gradient shrinks by (S-1)/S",
    ),
    Wrong(
        _estimator(by_mu=lambda d, std: d, by_logvar=lambda d, std: (d**2 - 1) / 2),
        MEAN,
        "dmu has f (z - mu), without e^-logvar: the score divides by the variance",
    ),
    Wrong(
        _estimator(by_mu=lambda d, std: d / std),
        MEAN,
        "dmu has f eps: the score by mu is eps / std",
    ),
    Wrong(
        _estimator(by_logvar=lambda d, std: d**2 / std**2 / 2),
        MEAN,
        "dlogvar lacks the score's -1: a score has mean zero, and eps^2 has mean 1",
    ),
    Wrong(
        _estimator(by_logvar=lambda d, std: d**2 / std**2 - 1),
        MEAN,
        "dlogvar is exactly twice what it should be everywhere: the score by logvar is 1/2 (eps^2 - 1)",
    ),
    Wrong(
        _estimator(by_logvar=lambda d, std: (d**2 / std**2 - 1) / std),
        MEAN,
        "dlogvar is the derivative by std: by logvar it is std / 2 times that",
    ),
    Wrong(
        _with_spread(np.exp, lambda logvar: np.exp(logvar / 2)),
        MEAN,
        "z is drawn with exp(logvar) as its standard deviation: that is the variance, std = exp(0.5 * "
        "logvar)",
    ),
    Wrong(
        _with_spread(np.exp, np.exp),
        MEAN,
        "std is taken to be exp(logvar), in z and in the score: that is the variance, std = exp(0.5 * "
        "logvar)",
    ),
    Wrong(
        _estimator(cost=lambda f, z, mu, eps: f(z).mean(axis=1, keepdims=True) + 0 * f(z)),
        MEAN,
        "the costs are averaged over the batch: every datum's score is multiplied by its own cost",
    ),
    Wrong(
        _estimator(cost=lambda f, z, mu, eps: (f(z) - f(z).mean(axis=0)) / f(z).std(axis=0)),
        MEAN,
        "the costs are standardized: dividing by their spread changes the gradient, and only the given "
        "baseline is subtracted",
    ),
    Wrong(
        _estimator(times=lambda costs, baseline, score, part: score),
        MEAN,
        "dmu is the score alone: it is not multiplied by the cost f(z)",
    ),
    Wrong(
        _estimator(cost=lambda f, z, mu, eps: np.log(f(z))),
        MEAN,
        "the score is multiplied by log f: the log belongs to the density, and the cost stays as it is",
    ),
    Wrong(
        _estimator(cost=lambda f, z, mu, eps: f(mu + (z - mu) / eps * _again.standard_normal(eps.shape))),
        MEAN,
        "score_function gives another answer when it is called again with the same arguments: it draws noise",
    ),
    Wrong(
        _estimator(times=lambda costs, baseline, score, part: costs * score),
        ONE,
        "the baseline is not used in dmu",
    ),
    Wrong(
        _estimator(times=lambda costs, baseline, score, part: (costs + _spread(baseline, part)) * score),
        ONE,
        "the baseline is added to the cost: it is taken away, so that what is left is small",
    ),
    Wrong(
        _estimator(times=lambda costs, baseline, score, part: costs * score - _spread(baseline, part)),
        ONE,
        "the baseline is subtracted from the product, which shifts the gradient: subtract it from f, "
        "before the score is multiplied",
    ),
    Wrong(
        _estimator(
            times=lambda costs, baseline, score, part: (
                (costs - (_spread(baseline, part) if part == 0 else 0)) * score
            )
        ),
        ONE,
        "the baseline is not used in dlogvar",
    ),
    Wrong(
        _estimator(
            times=lambda costs, baseline, score, part: (
                (costs - (_spread(baseline, part) if part == 1 else 0)) * score
            )
        ),
        ONE,
        "the baseline is not used in dmu",
    ),
    Wrong(
        _estimator(
            times=lambda costs, baseline, score, part: (
                (costs - (np.mean(baseline) if np.ndim(baseline) == 1 else _spread(baseline, part))) * score
            )
        ),
        DATUM,
        "the baselines of the data are averaged to one number: each datum has its own",
    ),
    Wrong(
        _estimator(
            times=lambda costs, baseline, score, part: (
                (costs - _spread(baseline, 1 - part if isinstance(baseline, tuple) else part)) * score
            )
        ),
        PAIR,
        "the baselines of the pair are exchanged: the first is for mu, the second for logvar",
    ),
    Wrong(
        _estimator(times=lambda costs, baseline, score, part: (costs - _spread(baseline, 0)) * score),
        PAIR,
        "dlogvar is made with the pair's first baseline, which is the one for mu",
    ),
    Wrong(
        _estimator(
            times=lambda costs, baseline, score, part: (
                (costs - _spread(baseline, 1 if isinstance(baseline, tuple) else part)) * score
            )
        ),
        PAIR,
        "dmu is made with the pair's second baseline, which is the one for logvar",
    ),
    Wrong(
        _estimator(
            times=lambda costs, baseline, score, part: (
                (costs - _spread(baseline, part).mean(axis=1, keepdims=True)) * score
                if isinstance(baseline, tuple)
                else (costs - _spread(baseline, part)) * score
            )
        ),
        PAIR,
        "the pair's baselines are averaged over the latents: each latent has its own",
    ),
)


EXERCISE = Exercise(
    lesson=6,
    title="Estimate a gradient without differentiating the cost",
    task="""
    Write the score-function gradient of E[f(z)], z ~ N(mu, exp(logvar)). mu and logvar are (B, L), eps is
    (S, B, L); f takes all samples at once, (S, B, L), and returns their costs (S, B). Return what every
    sample says, dmu and dlogvar of shape (S, B, L); the caller takes the mean. The baseline is subtracted
    from the cost: it comes as one number, as (B,), or as a pair of (B, L), and is checked in this order.
    """,
    functions=(estimators.score_function,),
    hints=(
        "Where to look: lesson 6, the score function. Three steps: z from eps; the costs f(z), less the "
        "baseline; times the two parts of the score at z, which the exercise on the score writes. Give the "
        "costs a last axis, [..., None], so that they meet (S, B, L).",
        "The formula: d = (f(z) - baseline) * score. The score is (z - mu) e^-logvar by mu, and 1/2 ((z - "
        "mu)^2 e^-logvar - 1) by logvar. Against (S, B, 1), a baseline (B,) wants to be (B, 1), and a pair "
        "of (B, L) fits as it is: its first part for mu, its second for logvar.",
        "All but the last line:\n"
        "    z = mu + np.exp(0.5 * logvar) * eps                     # (S, B, L)\n"
        "    cost = f(z)[..., None]                                  # (S, B, 1)\n"
        "    by_mu = (z - mu) * np.exp(-logvar)                      # (S, B, L)\n"
        "    by_logvar = 0.5 * ((z - mu) * by_mu - 1)                # (S, B, L)\n"
        "    if not isinstance(baseline, tuple):\n"
        "        one = baseline[:, None] if np.ndim(baseline) else baseline\n"
        "        baseline = one, one",
    ),
    checks=CHECKS,
    wrong=WRONG,
    borrowed=("cost_times_score",),
    shows=(scores.cost_times_score, scores._baselines),
)
