"""What goes wrong with the best constant baseline: other weights than squared scores, sums beyond S."""

import numpy as np

from ..judging import Wrong

LIMIT, VALUES = "the limit of many samples", "the ratio of two sums"


def cause(name, got, weights, asked, costs, share):
    """What is wrong with a baseline (B, L), by the weights (S, B, L) that it gives to the costs (S, B).

    asked  whether f was ever called at z; share: the right weights, each squared score's share of their sum
    """
    total, off = weights.sum(axis=0), np.abs(weights - share)
    b, i = np.unravel_index(int(np.argmax(np.abs(total - 1))), total.shape)
    s, datum, latent = np.unravel_index(int(np.argmax(off)), off.shape)
    unused = [k for k, weight in enumerate(weights) if not weight.any()]
    cases = (
        (not asked, "f is never asked at z = mu + exp(0.5 logvar) eps: is z drawn otherwise?"),
        (
            not np.allclose((weights * costs[..., None]).sum(axis=0), got, rtol=1e-6),
            f"{name} is no sum of weights times costs: is something subtracted, squared or rounded? A "
            "weighted mean of the costs is asked",
        ),
        (
            unused,
            f"{name} leaves out sample {(unused or [0])[0]} of {len(costs)}: is a loop too short?",
        ),
        (
            np.max(np.abs(total)) < 1e-9,
            f"{name} is 0 for a cost that is the same everywhere, where it should be that cost: is the mean "
            "cost subtracted first, as in a covariance?",
        ),
        (
            abs(total[b, i] - 1) > 1e-6,
            f"{name} is no mean of the costs: for latent {i} of datum {b} their weights sum to "
            f"{total[b, i]:.4g}, not 1. Are they divided by their own sum?",
        ),
        (
            True,
            f"{name} weighs the costs otherwise: sample {s} of datum {datum} has the weight "
            f"{weights[s, datum, latent]:.3g} for latent {latent}, where its squared score's share of the "
            f"sum is {share[s, datum, latent]:.3g}",
        ),
    )
    return next(sentence for holds, sentence in cases if holds)


# ------------------------------------------------------------------------------ wrong answers


def _mean(a):
    return a.mean(axis=0)


def _ratio(costs, weights):
    return _mean(costs * weights) / _mean(weights)


# sentence -> the baseline (B, L) that is made of the costs (S, B, 1) and one score s (S, B, L)
FORMULAS = {
    "this is the mean cost: the least variance weighs each cost by its squared score": (
        lambda f, s: _mean(f + 0 * s)
    ),
    "this is E[f s] / E[s^2]: the variance is E[(f - t)^2 s^2], and both sums have s^2": (
        lambda f, s: _mean(f * s) / _mean(s**2)
    ),
    "this is Cov(f, s) / Var(s), the coefficient of a control variate for f: here f s is to scatter less": (
        lambda f, s: _mean((f - _mean(f)) * (s - _mean(s))) / s.var(axis=0)
    ),
    "the scores are not squared: their sum is near 0, and the quotient is no mean of the costs": _ratio,
    "the weights are |s|, not s^2: the variance is that of f s, and so quadratic in s": (
        lambda f, s: _ratio(f, np.abs(s))
    ),
    "the weights are s^4: the square is taken twice": lambda f, s: _ratio(f, s**4),
    "this is E[f s^2] alone: it is not divided by E[s^2]": lambda f, s: _mean(f * s**2),
    "the sum of s is squared, not s: E[s^2] is the mean of the squares": (
        lambda f, s: (f * s**2).sum(axis=0) / s.sum(axis=0) ** 2
    ),
    "this is E[f s], the gradient itself: the baseline is what is subtracted from f": (
        lambda f, s: _mean(f * s)
    ),
    "the cost is squared as well: only the score is": lambda f, s: _ratio(f**2, s**2),
    "the costs are averaged over the batch: each datum has its own": (
        lambda f, s: _ratio(f.mean(axis=1, keepdims=True), s**2)
    ),
    "is still there, the sum over it is missing": lambda f, s: f * s**2 / _mean(s**2),
}
COVARIANCE = (
    "this is Cov(f s, s) / Var(s) with the samples' mean of s taken away: the score's mean is known to be 0, "
    "and E[f s^2] / E[s^2] is asked"
)


def _made(says, formula=lambda f, s: _ratio(f, s**2), check=LIMIT, scores=None, then=lambda found: found):
    """A wrong baseline.

    formula  (costs (S, B, 1), s (S, B, L)) -> (B, L), for each of the two scores
    scores   eps, std -> the two scores; then: what is done to the two baselines
    """

    def optimal_baseline(f, mu, logvar, eps):
        std = np.exp(logvar / 2)
        parts = scores(eps, std) if scores else (eps / std, (eps**2 - 1) / 2)
        costs = f(mu + std * eps)[..., None]
        return then(tuple(formula(costs, s) for s in parts))

    return Wrong({"optimal_baseline": optimal_baseline}, check, says)


def _root_of_sum(eps, std):
    """One score for both, its square being the sum of the two squares."""
    return (np.sqrt((eps / std) ** 2 + (eps**2 - 1) ** 2 / 4),) * 2


def _over_latents(f, s):
    return _ratio(f, (s**2).sum(axis=-1, keepdims=True)) + np.zeros(s.shape[1:])


def _over_data(f, s):
    over, under = (f * s**2).sum(axis=(0, 1)), (s**2).sum(axis=(0, 1))
    return over / under + np.zeros(s.shape[1:])


WRONG = (
    *(_made(says, formula) for says, formula in FORMULAS.items()),
    _made(COVARIANCE, lambda f, s: _mean((f * s - _mean(f * s)) * (s - _mean(s))) / s.var(axis=0), VALUES),
    _made(
        "one baseline stands for both parameters, that of mu: each score has its own weights",
        then=lambda found: (found[0], found[0].copy()),
    ),
    _made(
        "the squared scores of mu and logvar are added: each parameter has a baseline of its own",
        scores=_root_of_sum,
    ),
    _made(
        "the squared scores are added over the latents: each latent has a baseline of its own", _over_latents
    ),
    _made("the sums run over the batch as well: each datum has a baseline of its own", _over_data, VALUES),
    _made(
        "the baseline for logvar is made with a score that lacks its -1: it is 1/2 (eps^2 - 1)",
        check=VALUES,
        scores=lambda eps, std: (eps / std, eps**2 / 2),
    ),
    _made(
        "E[s^2] is put in as it is known, e^-logvar and 1/2: divide by the samples' own sum of s^2, and a "
        "constant cost stays exact",
        lambda f, s: _mean(f * s**2),
        VALUES,
        scores=lambda eps, std: (eps, (eps**2 - 1) / np.sqrt(2)),  # both have the variance 1
    ),
    _made("returns one value, expected 2", then=lambda found: found[0]),
)
