"""What goes wrong with leave-one-out: whose costs stand in the baseline, and what it is taken from."""

import numpy as np

from ..judging import Wrong

MEAN, SAMPLES = "the mean is the gradient", "every sample"


def _rest(costs, axis=0):
    """The sum of the others."""
    return costs.sum(axis=axis, keepdims=True) - costs


def _others(costs, take):
    """Something taken of the other samples, sample by sample."""
    return np.array([take(np.delete(costs, s, axis=0), axis=0) for s in range(len(costs))])


# sentence -> the baselines (S, B) or (B,) that are made of the costs (S, B); first those that leave a bias
BIASED = {
    "your estimator is biased by a factor 4/5 with S = 5: a sample stands in its own baseline": (
        lambda costs: costs.mean(axis=0)
    ),
    "the sum of all S costs is divided by S - 1: the sample's own must be taken out first": (
        lambda costs: costs.sum(axis=0) / (len(costs) - 1)
    ),
    "sample s leaves out the cost of sample s + 1, and keeps its own": (
        lambda costs: (costs.sum(axis=0) - np.roll(costs, -1, axis=0)) / (len(costs) - 1)
    ),
    "the baseline is the least cost, and depends on the sample's own": lambda costs: costs.min(axis=0),
}
UNBIASED = {
    "no baseline is taken away: this is the plain score function, unbiased, and it scatters more": (
        lambda costs: 0 * costs
    ),
    "the baseline is a mean over the data of the batch: it is one over the other samples of its datum": (
        lambda costs: costs.mean(axis=1, keepdims=True) + 0 * costs
    ),
    "the baseline is made of the other data of the batch: it is made of the other samples of its datum": (
        lambda costs: _rest(costs, axis=1) / (costs.shape[1] - 1)
    ),
    "the baseline is a mean over the other samples of all data: each datum has its own": (
        lambda costs: (costs.sum() - costs) / (costs.size - 1)
    ),
    "the baseline is one other sample's cost: unbiased, but the mean of all the others scatters less": (
        lambda costs: np.roll(costs, 1, axis=0)
    ),
    "the baseline is the sum of the others: divide it by S - 1": _rest,
    "the sum of the others is divided by S: they are S - 1": lambda costs: _rest(costs) / len(costs),
    "the sum of the others is divided by S - 2: they are S - 1": lambda costs: (
        _rest(costs) / (len(costs) - 2)
    ),
    "the sum of the others is divided by B - 1: they are S - 1": (
        lambda costs: _rest(costs) / (costs.shape[1] - 1)
    ),
    "the baseline is added to the cost: it is taken away": lambda costs: -_rest(costs) / (len(costs) - 1),
    "the baseline is cut to whole numbers: is it divided with //?": (
        lambda costs: _rest(costs) // (len(costs) - 1)
    ),
    "the baseline is the median of the others: their mean is asked": lambda costs: _others(costs, np.median),
    "the baseline is the mean of the samples before: those after are to count as well": (
        lambda costs: np.array([costs[:s].sum(axis=0) / max(s, 1) for s in range(len(costs))])
    ),
    "the baseline is the mean of the samples after: those before are to count as well": (
        lambda costs: np.array(
            [costs[s + 1 :].sum(axis=0) / max(len(costs) - s - 1, 1) for s in range(len(costs))]
        )
    ),
}


def centred(costs, scores):
    """Pairs (sentence, (dmu, dlogvar)): the mean of the others is taken from something else than the cost."""
    f = costs[..., None]
    left = f - _others(f, np.mean)
    return [
        (
            "the other products' mean is subtracted: take the others' mean from the cost, then multiply",
            [f * s - _others(f * s, np.mean) for s in scores],
        ),
        (
            "the others' mean is taken from the score: it is taken from the cost",
            [f * (s - _others(s, np.mean)) for s in scores],
        ),
        (
            "the others' mean is taken from the score as well: it is taken from the cost alone",
            [left * (s - _others(s, np.mean)) for s in scores],
        ),
        (
            "the costs are standardized: dividing by their spread changes the gradient",
            [(f - f.mean(axis=0)) / f.std(axis=0) * s for s in scores],
        ),
    ]


# ------------------------------------------------------------------------------ wrong answers


def _wrong(says, check, baseline=lambda costs: _others(costs, np.mean), then=lambda d: d):
    """The estimator with another baseline, a function of the costs, or something done to its results."""

    def leave_one_out(f, mu, logvar, eps):
        std = np.exp(logvar / 2)
        costs = f(mu + std * eps)
        left = (costs - baseline(costs))[..., None]
        return then(left * eps / std), then(left * (eps**2 - 1) / 2)

    return Wrong({"leave_one_out": leave_one_out}, check, says)


WRONG = (
    *(_wrong(says, MEAN, baseline) for says, baseline in BIASED.items()),
    *(_wrong(says, SAMPLES, baseline) for says, baseline in UNBIASED.items()),
    _wrong("the axis S (5) is gone", MEAN, then=lambda d: d.mean(axis=0)),
    _wrong(
        "the mean over the samples is taken already: return what each sample says, the caller averages",
        MEAN,
        then=lambda d: d / len(d),
    ),
)
