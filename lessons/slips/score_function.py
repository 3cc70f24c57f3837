"""What goes wrong with the score function: the cost, the score, the product of the two, and the baseline."""

import numpy as np

from ..judging import Wrong

MEAN, ONE = "the mean is the gradient", "a baseline that is a number"
DATUM, PAIR = "a baseline for each datum", "a pair of baselines"

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


def other_costs(f, z, eps):
    """Sentence -> costs (S, B), or an array that broadcasts, by which the score may have been multiplied."""
    costs = f(z)
    return {
        "f is asked at eps, not at z: the noise must become a draw of q first": f(eps),
        "the costs are averaged over the batch: every datum has its own": costs.mean(axis=1, keepdims=True),
        "the costs are standardized: dividing by their spread changes the gradient": (
            (costs - costs.mean(axis=0)) / costs.std(axis=0)
        ),
        "the score is multiplied by log f: the log belongs to the density, not to the cost": np.log(costs),
    }


def cause(results, costs, std, eps, baselines):
    """Which of the two factors is wrong, the cost or the score; None if that cannot be told."""
    scores = eps / std, (eps**2 - 1) / 2
    lefts = [np.asarray(got, float) / score for got, score in zip(results, scores, strict=True)]
    wants = [costs[..., None] - baseline for baseline in baselines]
    right = [np.allclose(left, want, rtol=1e-6) for left, want in zip(lefts, wants, strict=True)]
    k = right.index(False)
    name, left, want = ("dmu", "dlogvar")[k], lefts[k], wants[k]
    s, b, i = np.unravel_index(int(np.argmax(np.abs(left - want))), want.shape)
    taken = costs[..., None] - left
    if np.allclose(taken, taken[:1], rtol=1e-6, atol=1e-8):
        whose = f"datum {b}" + f" for latent {i}" * bool(np.ptp(baselines[k][b]))
        return (
            f"in {name} the score is right, but {taken[0, b, i]:.4g} is subtracted from the costs of "
            f"{whose}, where its baseline is {baselines[k][b, i]:.4g}"
        )
    both = np.allclose(lefts[0] + baselines[0], lefts[1] + baselines[1], rtol=1e-6)
    if both or np.allclose(left, left[..., :1], rtol=1e-6):
        return (
            f"in {name} the score is right, and what it is multiplied by is wrong: it is {left[s, b, i]:.4g} "
            f"for sample {s} of datum {b}, where f(z) - baseline is {want[s, b, i]:.4g}"
        )
    if np.any(baselines):
        return f"without a baseline {name} is right: it is what is done with the baseline that is wrong"
    if right[1 - k]:
        return f"{('dmu', 'dlogvar')[1 - k]} is right, so the costs are: the score in {name} is wrong"
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
    spread=lambda logvar: np.exp(logvar / 2),
    cost=lambda f, z, mu: f(z),
    by_mu=lambda d, std: d / std**2,
    by_logvar=lambda d, std: (d**2 / std**2 - 1) / 2,
    less=_spread,
    then=lambda d, baseline: d,
):
    """The score function with parts of it changed.

    spread     logvar -> the standard deviation of z
    cost       (f, z, mu) -> costs (S, B)
    by_mu, by_logvar  (z - mu, std) -> the score
    less       (baseline, which part) -> what is subtracted from the costs
    then       (result, its baseline) -> the result
    """

    def score_function(f, mu, logvar, eps, baseline=0.0):
        d, std = spread(logvar) * eps, np.exp(logvar / 2)
        costs = cost(f, mu + d, mu)[..., None]
        scores = by_mu(d, std), by_logvar(d, std)
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
    _wrong("dmu has f eps: the score by mu is eps / std", by_mu=lambda d, std: d / std),
    _wrong(
        "dlogvar lacks the score's -1: a score has mean zero, and eps^2 has mean 1",
        by_logvar=lambda d, std: d**2 / std**2 / 2,
    ),
    _wrong(
        "dlogvar is exactly twice what it should be everywhere: the score by logvar is 1/2 (eps^2 - 1)",
        by_logvar=lambda d, std: d**2 / std**2 - 1,
    ),
    _wrong(
        "dlogvar is the derivative by std: by logvar it is std / 2 times that",
        by_logvar=lambda d, std: (d**2 / std**2 - 1) / std,
    ),
    _wrong(
        "z is drawn with exp(logvar) as its standard deviation: that is the variance, std = exp(logvar / 2)",
        spread=np.exp,
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
