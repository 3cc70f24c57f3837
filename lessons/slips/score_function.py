"""What goes wrong with the score function: the cost, the score, the product of the two, and the baseline."""

import numpy as np

from ..judging import Wrong
from .gaussian_score import other_scores

MEAN, ONE = "the mean is the gradient", "a baseline that is a number"
DATUM, PAIR = "a baseline for each datum", "a pair of baselines"

WITHOUT = "without a baseline both parts are right: it is what is done with the baseline that is wrong"
PATHWISE = "this is the pathwise gradient, made of f's derivative: the score function never differentiates f"


def terms(costs, std, eps, baselines):
    """What dmu, and what dlogvar, may be the sum of; costs (S, B), baselines two arrays (B, L)."""
    f, found = costs[..., None], []
    scores = eps / std, (eps**2 - 1) / 2
    for score, other, baseline in zip(scores, scores[::-1], baselines, strict=True):
        some = {
            "f score": f * score,
            "score": score,
            "mean(f) score": f.mean(axis=0) * score,
            "f": f,
            "f eps": f * eps,
            "f eps^2": f * eps**2,
            "f eps^2 e^-logvar": f * eps**2 / std**2,
            "f (z - mu)": f * std * eps,
            "f (z - mu)^2": f * (std * eps) ** 2,
            "f the other score": f * other,
            "f log q": f * -0.5 * (np.log(2 * np.pi * std**2) + eps**2),
        }
        if not baseline.any():
            some |= {"f^2 score": f**2 * score, "f / std": f / std}
        else:
            some |= {"baseline score": baseline * score, "baseline": baseline}
        if np.ptp(baseline) == 0 and baseline.any():
            del some["score"]  # the baseline times the score is as good
        found.append({key: value + 0 * eps for key, value in some.items()})
    return found


def guesses(f, mu, logvar, eps, left=lambda costs: costs):
    """Pairs (sentence, (dmu, dlogvar)): other costs, other scores, another spread of z.

    left: costs (S, B) -> what is left of them when a baseline is subtracted
    """
    std, wide = np.exp(logvar / 2), np.exp(logvar)
    costs, scores, drawn = f(mu + std * eps), (eps / std, (eps**2 - 1) / 2), wide * eps
    other_costs = {
        "f is asked at eps, not at z: the noise must become a draw of q first": f(eps),
        "the costs are averaged over the batch: every datum has its own": (
            costs.mean(axis=1, keepdims=True) + 0 * costs
        ),
        "the costs are standardized: dividing by their spread changes the gradient": (
            (costs - costs.mean(axis=0)) / costs.std(axis=0)
        ),
        "the score is multiplied by log f: the log belongs to the density, not to the cost": np.log(costs),
    }
    factors = [
        *((says, other, scores) for says, other in other_costs.items()),
        *((says, costs, other) for says, other in other_scores(std * eps, std)),
        (
            "z is drawn with std = exp(logvar): that is the variance, std = exp(logvar / 2)",
            f(mu + drawn),
            (drawn / std**2, (drawn**2 / std**2 - 1) / 2),
        ),
        (
            "std is exp(logvar), in z and in the score: that is the variance, std = exp(logvar / 2)",
            f(mu + drawn),
            (eps / wide, (eps**2 - 1) / 2),
        ),
    ]
    return [(says, [left(c)[..., None] * s for s in parts]) for says, c, parts in factors]


def cause(results, costs, std, eps, baselines):
    """What is wrong with what the score is multiplied by, or the score; None if that cannot be told.

    costs      (S, B), baselines two arrays that broadcast to (S, B, L)
    """
    scores, names = (eps / std, (eps**2 - 1) / 2), ("dmu", "dlogvar")
    taken = [costs[..., None] - np.asarray(got, float) / s for got, s in zip(results, scores, strict=True)]
    baselines = [np.broadcast_to(baseline, eps.shape) for baseline in baselines]
    off = [np.abs(a - b) for a, b in zip(taken, baselines, strict=True)]
    wrong = [not np.allclose(a, b, rtol=1e-6, atol=1e-8) for a, b in zip(taken, baselines, strict=True)]
    if not any(wrong):
        return None
    k = wrong.index(True)
    s, b, i = np.unravel_index(int(np.argmax(off[k])), eps.shape)
    both = np.allclose(taken[0] - baselines[0], taken[1] - baselines[1], rtol=1e-6)
    by_sample = np.allclose(taken[k], taken[k][:1], rtol=1e-6, atol=1e-8)
    by_latent = np.allclose(taken[k], taken[k][..., :1], rtol=1e-6, atol=1e-8)
    if both or by_sample or by_latent:
        got, want, f = taken[k][s, b, i], baselines[k][s, b, i], costs[s, b]
        which = f"for sample {s} of datum {b}" + f", latent {i}" * (not by_latent)
        if np.any(baselines):
            return f"in {names[k]} the score is right, but the baseline is {got:.4g}, not {want:.4g}, {which}"
        return (
            f"in {names[k]} the score is right, and what it is multiplied by is wrong: it is {f - got:.4g} "
            f"{which}, where f(z) is {f:.4g}"
        )
    if not wrong[1 - k] and not np.any(baselines):
        return f"{names[1 - k]} is right, so the costs are: the score in {names[k]} is wrong"
    return None


# ------------------------------------------------------------------------------ wrong answers


def _spread(baseline, part):
    """The baseline of one part, as it stands against (S, B, 1)."""
    if isinstance(baseline, tuple):
        return baseline[part]
    return baseline[:, None] if np.ndim(baseline) else baseline


def _wrong(
    says,
    check=MEAN,
    cost=lambda f, z, mu: f(z),
    by_logvar=lambda d, std: (d**2 / std**2 - 1) / 2,
    less=_spread,
    then=lambda d, baseline: d,
):
    """The score function with parts of it changed.

    cost       (f, z, mu) -> costs (S, B)
    by_logvar  (z - mu, std) -> the score
    less       (baseline, which part) -> what is subtracted from the costs
    then       (result, its baseline) -> the result
    """

    def score_function(f, mu, logvar, eps, baseline=0.0):
        std = np.exp(logvar / 2)
        d = std * eps
        costs = cost(f, mu + d, mu)[..., None]
        scores = d / std**2, by_logvar(d, std)
        return tuple(
            then((costs - less(baseline, part)) * score, _spread(baseline, part))
            for part, score in enumerate(scores)
        )

    return Wrong({"score_function": score_function}, check, says)


def _others(costs):
    return (costs.sum(axis=0) - costs) / (len(costs) - 1)


WRONG = (
    _wrong("the axis S (3) is gone, it was summed or averaged over", then=lambda d, _: d.mean(axis=0)),
    _wrong(
        "the mean over the samples is taken already: return what each sample says, the caller averages",
        then=lambda d, _: d / len(d),
    ),
    _wrong(
        "the gradient has the wrong sign: f is multiplied by the score, the derivative of +log q",
        then=lambda d, _: -d,
    ),
    _wrong(
        "f is asked at mu, not at z: a cost that is the same for every sample does not tell which way to go",
        cost=lambda f, z, mu: f(mu) + 0 * f(z),
    ),
    _wrong(
        "the mean of the samples' own costs is subtracted: each stands in its own baseline, and the gradient "
        "shrinks by (S-1)/S",
        cost=lambda f, z, mu: f(z) - f(z).mean(axis=0),
    ),
    _wrong(
        "the mean cost of the other samples is subtracted: a good baseline, but only the one given is asked",
        cost=lambda f, z, mu: f(z) - _others(f(z)),
    ),
    _wrong(
        "dlogvar lacks the -1/2, and its mean under q is 1/2, not 0: log q has the term -1/2 logvar",
        by_logvar=lambda d, std: d**2 / std**2 / 2,
    ),
    _wrong("dmu is made without the baseline", ONE, less=lambda baseline, part: 0),
    _wrong(
        "the baseline is added to the cost: it is taken away, so that what is left is small",
        ONE,
        less=lambda baseline, part: -_spread(baseline, part),
    ),
    _wrong(
        "the baseline is subtracted from the product, which shifts the gradient: subtract it from f, before "
        "the score is multiplied",
        ONE,
        less=lambda baseline, part: 0,
        then=lambda d, baseline: d - baseline,
    ),
    _wrong(
        "the baselines of the data are averaged to one number: each datum has its own",
        DATUM,
        less=lambda baseline, part: np.mean(baseline) if np.ndim(baseline) == 1 else _spread(baseline, part),
    ),
    _wrong(
        "the baselines of the pair are exchanged: the first is for mu, the second for logvar",
        PAIR,
        less=lambda baseline, part: _spread(baseline, 1 - part),
    ),
    _wrong(
        "dlogvar is made with the pair's first baseline, which is the one for mu",
        PAIR,
        less=lambda baseline, part: _spread(baseline, 0),
    ),
)
