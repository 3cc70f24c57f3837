"""What goes wrong with the reparameterization: the spread of z, the chain rule by std, the sum over S."""

import numpy as np

from minivae.gradcheck.statistics import MEANS, VARIANCES

from ..judging import Wrong, reductions

SPREAD, VALUES, FAR = "the mean and the spread of z", "every z", "z for very small and very large spreads"
SLOPE, SAMPLES = "the derivatives", "the derivatives, several samples"


def forward_terms(mu, logvar, eps):
    """What z may be the sum of."""
    std = np.exp(logvar / 2)
    return {
        "mu": mu,
        "std eps": std * eps,
        "e^logvar eps": std**2 * eps,
        "eps / std": eps / std,
        "eps": eps,
        "logvar eps": logvar * eps,
        "logvar": logvar,
        "std": std,
        "mu eps": mu * eps,
        "mu std": mu * std,
        "mu std eps": mu * std * eps,
        "std eps^2": std * eps**2,
        "std |eps|": std * np.abs(eps),
    }


def spreads(mu, logvar, eps):
    """Pairs (sentence, z): another mean or another variance, as the test of a sampler names them."""
    std = np.exp(logvar / 2)
    means = {words: mean(mu, logvar) + std * eps for words, mean in MEANS.items()}
    variances = {words: mu + np.sqrt(variance(mu, logvar)) * eps for words, variance in VARIANCES.items()}
    return [
        *((f"the sampler's mean is {words}", z) for words, z in means.items()),
        *((f"the sampler's variance is {words}", z) for words, z in variances.items()),
    ]


def backward_terms(mu, logvar, eps, dz):
    """What dmu and dlogvar may be the sum of, each (B, L), added up over the samples of z."""
    std = np.exp(logvar / 2)
    parts = {
        "dz": dz,
        "dz std eps": dz * std * eps,
        "dz eps": dz * eps,
        "dz std": dz * std,
        "dz e^logvar eps": dz * std**2 * eps,
        "dz eps / std": dz * eps / std,
        "dz logvar eps": dz * logvar * eps,
        "dz logvar std eps": dz * logvar * std * eps,
        "dz std eps^2": dz * std * eps**2,
        "dz mu": dz * mu,
        "std eps": std * eps,
        "eps": eps,
        "mu": mu + 0 * dz,
    }
    return {name: part.reshape(-1, *mu.shape).sum(axis=0) for name, part in parts.items()}


def sums(logvar, eps, dz):
    """Pairs (sentence, (dmu, dlogvar)): what is wrongly done with the samples, where there are several."""
    if eps.ndim < 3:
        return []
    each = dz, dz * np.exp(logvar / 2) * eps / 2
    by_mu, by_logvar = (
        reductions(name, np.moveaxis(part, 0, -1), "samples")
        for name, part in zip(("dmu", "dlogvar"), each, strict=True)
    )
    return [(words, (a, b)) for (words, a), (_, b) in zip(by_mu, by_logvar, strict=True)]


# ------------------------------------------------------------------------------ wrong answers


def _z(says, formula, check=SPREAD):
    """A wrong z, a function of mu, logvar, eps."""
    return Wrong({"gaussian_sample": formula}, check, says)


def _right(dz, mu, std, eps):
    return 0.5 * dz * std * eps


def _slope(says, by_logvar=_right, check=SLOPE, by_mu=lambda dz: dz, over=lambda d: d.sum(axis=0)):
    """A wrong derivative: by_logvar of dz, mu, std, eps; by_mu of dz; samples are put together by `over`."""

    def backward(dz, mu, logvar, eps):
        parts = by_mu(dz), by_logvar(dz, mu, np.exp(logvar / 2), eps)
        return tuple(over(d) if eps.ndim == 3 else d for d in parts)

    return Wrong({"gaussian_sample_backward": backward}, check, says)


def _product_of_sums(dz, mu, logvar, eps):
    dz, eps = (a.reshape(-1, *mu.shape).sum(axis=0) for a in (dz, eps))
    return dz, _right(dz, mu, np.exp(logvar / 2), eps)


_again = np.random.default_rng(9)

WRONG = (
    _z(
        "the sampler's variance is e^(2 logvar), not e^logvar",
        lambda mu, logvar, eps: mu + np.exp(logvar) * eps,
    ),
    _z(
        "z is not finite: nan at [0, 0]; look for a log or a root of a negative number",
        lambda mu, logvar, eps: mu + np.sqrt(logvar) * eps,
    ),
    _z(
        "the standard deviation is softplus(logvar), as in some networks: from the log of the variance it is "
        "exp(0.5 * logvar)",
        lambda mu, logvar, eps: mu + np.log1p(np.exp(logvar)) * eps,
    ),
    _z(
        "mu and logvar are exchanged: z has the mean logvar and the variance e^mu",
        lambda mu, logvar, eps: logvar + np.exp(0.5 * mu) * eps,
    ),
    _z(
        "logvar // 2 is rounded down to a whole number: write 0.5 * logvar",
        lambda mu, logvar, eps: mu + np.exp(logvar // 2) * eps,
    ),
    _z(
        "is mu multiplied by the standard deviation as well?",
        lambda mu, logvar, eps: np.exp(0.5 * logvar) * (mu + eps),
    ),
    _z(
        "gives another answer when it is called again with the same arguments: it draws noise",
        lambda mu, logvar, eps: mu + np.exp(0.5 * logvar) * _again.standard_normal(eps.shape),
    ),
    _z(
        "z has -std eps: that has the right mean and spread, but z must grow with eps",
        lambda mu, logvar, eps: mu - np.exp(0.5 * logvar) * eps,
        VALUES,
    ),
    _z(
        "z / std is wrong only where logvar is beyond about +-",
        lambda mu, logvar, eps: mu + np.exp(0.5 * np.clip(logvar, -10, 10)) * eps,
        FAR,
    ),
    _slope(
        "dlogvar is exactly twice what it should be everywhere: std = exp(0.5 * logvar), and the 0.5 comes "
        "down",
        lambda dz, mu, std, eps: dz * std * eps,
    ),
    _slope(
        "dlogvar is exactly half of what it should be everywhere: std = exp(0.5 * logvar), and the 0.5 comes "
        "down once",
        lambda dz, mu, std, eps: 0.25 * dz * std * eps,
    ),
    _slope(
        "the noise was drawn again in the backward pass",
        lambda dz, mu, std, eps: 0.5 * dz * std * _again.standard_normal(eps.shape),
    ),
    _slope(
        "dlogvar lacks eps: std is multiplied by eps in z, and so is its derivative",
        lambda dz, mu, std, eps: 0.5 * dz * std,
    ),
    _slope(
        "dlogvar lacks std: the derivative of exp(0.5 * logvar) is 0.5 * exp(0.5 * logvar), the exp stays",
        lambda dz, mu, std, eps: 0.5 * dz * eps,
    ),
    _slope(
        "dlogvar is the derivative by std: by logvar it is std / 2 times that, as std = exp(0.5 * logvar)",
        lambda dz, mu, std, eps: dz * eps,
    ),
    _slope(
        "dlogvar has z where std eps belongs: mu does not depend on logvar",
        lambda dz, mu, std, eps: 0.5 * dz * (mu + std * eps),
    ),
    _slope(
        "dmu is not multiplied by dz: what comes back from above is a factor of every derivative",
        lambda dz, mu, std, eps: 0.5 * std * eps,
        by_mu=np.ones_like,
    ),
    _slope(
        "dlogvar does not change when eps changes: its noise is not the one passed in",
        lambda dz, mu, std, eps: _right(dz, mu, std, np.random.default_rng(0).standard_normal(eps.shape)),
    ),
    _slope(
        "dmu is averaged over the S samples, and they add: a mean that the loss takes is in dz already",
        check=SAMPLES,
        over=lambda d: d.mean(axis=0),
    ),
    _slope(
        "dmu counts only the first of the samples: does a return stand inside the loop?",
        check=SAMPLES,
        over=lambda d: d[0],
    ),
    Wrong(
        {"gaussian_sample_backward": _product_of_sums},
        SAMPLES,
        "dlogvar is the product of two sums over the samples: multiply dz and eps sample by sample, then add",
    ),
)
