"""What goes wrong with the score of a Gaussian: the power of std, the 1/2, the -1, the sign."""

import numpy as np

from ..judging import Wrong

MEAN, VALUES = "the mean under q is zero", "one z of each datum"
SAMPLES, FAR = "several samples", "very small and very large spreads"


def terms(z, mu, logvar):
    """What the score's two parts may be the sum of."""
    d, std, flat = z - mu, np.exp(logvar / 2), np.zeros_like(z)
    return {
        "(z - mu) e^-logvar": d / std**2,
        "(z - mu)^2 e^-logvar": d**2 / std**2,
        "1": flat + 1,
        "(z - mu)": d,
        "(z - mu)^2": d**2,
        "(z - mu) / std": d / std,
        "(z - mu)^2 / std": d**2 / std,
        "(z - mu)^2 e^(-2 logvar)": (d / std**2) ** 2,
        "(z - mu)^2 / std^3": d**2 / std**3,
        "e^-logvar": flat + 1 / std**2,
        "1 / std": flat + 1 / std,
        "(z - mu)^2 e^logvar": d**2 * std**2,
        "z e^-logvar": z / std**2,
        "z": z,
        "mu": flat + mu,
        "logvar": flat + logvar,
    }


def padded(dmu, z, mu, logvar):
    """A sentence, if a small number is added to the variance; else None."""
    with np.errstate(all="ignore"):
        added = (z - mu) / dmu - np.exp(logvar)
    if not np.ptp(added) <= 1e-6 * np.max(np.abs(added)):
        return None
    return f"dmu divides by e^logvar + {added.flat[0]:.2g}: the variance is never 0, so add nothing to it"


# ------------------------------------------------------------------------------ wrong answers

# sentence -> the derivative by mu, of d = z - mu and std
BY_MU = {
    "dmu lacks e^-logvar: in a narrow q a step of mu changes log q by more, so divide by the variance": (
        lambda d, std: d
    ),
    "dmu is (z - mu) / std, which is eps: divide by the variance e^logvar, as the exponent of q does": (
        lambda d, std: d / std
    ),
    "dmu is eps e^-logvar, where (z - mu) e^-logvar belongs: that is eps / std": lambda d, std: d / std**3,
    "dmu has the wrong sign: that is the derivative by z. When mu moves towards z, log q grows": (
        lambda d, std: -d / std**2
    ),
    "dmu is multiplied by the variance, where it must be divided: has e^-logvar lost its sign?": (
        lambda d, std: d * std**2
    ),
}
# the same by logvar, first those that have mean zero under q
BY_LOGVAR = {
    "dlogvar is exactly twice what it should be everywhere: the 1/2 of the Gaussian's exponent is missing": (
        lambda d, std: d**2 / std**2 - 1
    ),
    "dlogvar has the wrong sign: a z that is further than one std from mu asks for a wider q": (
        lambda d, std: (1 - d**2 / std**2) / 2
    ),
    "dlogvar is the derivative by std, ((z - mu)^2 / std^2 - 1) / std: by logvar it is std / 2 times that": (
        lambda d, std: (d**2 / std**2 - 1) / std
    ),
    "dlogvar is the derivative by the variance: by logvar it is e^logvar times that": (
        lambda d, std: (d**2 / std**2 - 1) / (2 * std**2)
    ),
}
BY_LOGVAR_WITH_A_MEAN = {
    "dlogvar lacks the -1/2, and its mean under q is 1/2, not 0: the -1/2 logvar of log q has a derivative": (
        lambda d, std: d**2 / std**2 / 2
    ),
    "dlogvar has the 1/2 at one of its two terms only: log q is -1/2 (logvar + (z - mu)^2 e^-logvar)": (
        lambda d, std: d**2 / std**2 / 2 - 1
    ),
    "dlogvar lacks e^-logvar at (z - mu)^2: it is (z - mu) / std that has the variance 1": (
        lambda d, std: (d**2 - 1) / 2
    ),
    "dlogvar divides (z - mu)^2 by std, not by the variance e^logvar": lambda d, std: (d**2 / std - 1) / 2,
    "dlogvar has z - mu where (z - mu)^2 belongs: it must be the same on both sides of mu": (
        lambda d, std: (d / std**2 - 1) / 2
    ),
    "dlogvar has dmu^2, where (z - mu) dmu belongs: (z - mu)^2 is divided by the variance once": (
        lambda d, std: ((d / std**2) ** 2 - 1) / 2
    ),
}


def other_scores(d, std):
    """Pairs (sentence, (by mu, by logvar)): another derivative, for what is a multiple of the score."""
    by_mu, by_logvar = _score(d, std)
    return [
        *((says, (part(d, std), by_logvar)) for says, part in BY_MU.items()),
        *((says, (by_mu, part(d, std))) for says, part in (BY_LOGVAR | BY_LOGVAR_WITH_A_MEAN).items()),
        (
            "the gradient has the wrong sign: f is multiplied by the score, the derivative of +log q",
            (-by_mu, -by_logvar),
        ),
    ]


def _score(d, std):
    return d / std**2, (d**2 / std**2 - 1) / 2


def _log_density(d, std):
    return -0.5 * (np.log(2 * np.pi * std**2) + d**2 / std**2)


def _wrong(says, check, both):
    """A wrong score: both parts of d = z - mu and std."""
    return Wrong({"gaussian_score": lambda z, mu, logvar: both(z - mu, np.exp(logvar / 2))}, check, says)


def _scaled(says, factor):
    """The score with a factor of d and std too many."""
    return _wrong(says, MEAN, lambda d, std: tuple(factor(d, std) * part for part in _score(d, std)))


def _with_spread(says, std, check=MEAN):
    """The score with another standard deviation, a function of logvar."""
    return Wrong({"gaussian_score": lambda z, mu, logvar: _score(z - mu, std(logvar))}, check, says)


def _variance_is_logvar(z, mu, logvar):
    return (z - mu) / logvar, 0.5 * ((z - mu) ** 2 / logvar - 1)


def _one_part(says, check, k, part):
    """The score with one of its two parts, 0 or 1, exchanged."""

    def both(d, std):
        parts = list(_score(d, std))
        parts[k] = part(d, std)
        return tuple(parts)

    return _wrong(says, check, both)


WRONG = (
    *(_one_part(says, VALUES, 0, part) for says, part in BY_MU.items()),
    *(_one_part(says, VALUES, 1, part) for says, part in BY_LOGVAR.items()),
    *(_one_part(says, MEAN, 1, part) for says, part in BY_LOGVAR_WITH_A_MEAN.items()),
    Wrong(
        {"gaussian_score": lambda z, mu, logvar: _score(z, np.exp(logvar / 2))},
        MEAN,
        "dmu has z where z - mu belongs",
    ),
    Wrong(
        {"gaussian_score": _variance_is_logvar},
        MEAN,
        "logvar is taken for the variance: e^logvar is the variance",
    ),
    _with_spread("logvar is taken for the standard deviation: e^logvar is the variance", lambda v: v),
    _with_spread("logvar is taken for log std: e^logvar is the variance itself", np.exp),
    _scaled(
        "dmu is multiplied by the density: that is the derivative of q, and the score is that of log q",
        lambda d, std: np.exp(_log_density(d, std)),
    ),
    _scaled("dmu is multiplied by log q: the score is the derivative of log q alone", _log_density),
    _wrong(
        "dlogvar is log q itself: its derivative is asked", MEAN, lambda d, std: (_log_density(d, std),) * 2
    ),
    _wrong(
        "the axis L (3) is gone", MEAN, lambda d, std: tuple(part.sum(axis=-1) for part in _score(d, std))
    ),
    _wrong(
        "dmu has shape (11, 3), expected (4, 11, 3): the axis S (4) is gone",
        SAMPLES,
        lambda d, std: tuple(part.sum(axis=0) if d.ndim == 3 else part for part in _score(d, std)),
    ),
    _with_spread(
        "dmu std is wrong only where logvar is beyond about +-",
        lambda logvar: np.exp(np.clip(logvar, -10, 10) / 2),
        FAR,
    ),
)
