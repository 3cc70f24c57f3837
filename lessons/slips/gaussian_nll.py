"""What goes wrong with a likelihood for real numbers; its density is that of gaussian_log_prob."""

import numpy as np

from minivae import ops

from ..judging import Wrong, mistaken, over_samples, small_numbers
from .gaussian_log_prob import LOG_2PI, latents, log_normal, slips

VALUE, ONE_LOGVAR = "the nll of each datum", "a logvar that is shared"
SLOPE, SLOPE_SHARED = "the derivatives", "the derivative by a shared logvar"


def of_nll(mean, logvar, x):
    """Pairs (sentence, nll): the listed mistakes, those of a log-density, other likelihoods."""
    x = np.broadcast_to(x, mean.shape)
    sigmoid = "mean goes through a sigmoid: it is the Gaussian's mean as it stands"
    bernoulli = "this is the Bernoulli likelihood with mean as its logits: a Gaussian is asked"
    density = "this is the density p(x) itself: the negative of its logarithm is asked"
    return [
        *mistaken(WRONG, "gaussian_nll", mean, logvar, x),
        *slips(x, mean, logvar, "nll", ("x", "mean"), 0.5, "pixels"),
        (density, np.exp(log_normal(x, mean, logvar))),
        (sigmoid, -log_normal(x, 1 / (1 + np.exp(-mean)), logvar)),
        (bernoulli, (np.logaddexp(0, mean) - x * mean).sum(axis=-1)),
    ]


def mixed(mean, logvar, x):
    """Pairs (sentence, nll) of samples that are mixed up."""
    return over_samples("nll", lambda mean, logvar, x: -log_normal(x, mean, logvar), (mean, logvar), (x,))


def badly_shared(mean, logvar, x):
    """Pairs (sentence, nll) of a logvar (D,), (1,) or () that does not count once for each pixel."""
    want, every, D = -log_normal(x, mean, logvar), np.broadcast_to(logvar, mean.shape[-1:]), mean.shape[-1]
    alone, average = 0.5 * every.sum(), logvar.mean()
    pairs = [
        ("logvar is averaged over the pixels and counted once", want - alone + 0.5 * average),
        ("log 2 pi and logvar count once and not D times", want - 0.5 * (D - 1) * (LOG_2PI + average)),
        ("logvar is left out", want - alone),
        ("logvar counts D times too often", want + (D - 1) * alone),
        ("the mean of logvar stands for all pixels", -log_normal(x, mean, average)),
        ("the first logvar stands for all pixels", -log_normal(x, mean, logvar.flat[0])),
    ]
    if mean.ndim == 3 and logvar.size > 1:
        each = [-log_normal(x, sample, value) for sample, value in zip(mean, logvar, strict=False)]
        pairs.append(("sample s takes entry s of logvar: pixel d takes entry d", np.array(each)))
    return pairs


# ------------------------------------------------------------------------------ its derivatives


def slope_terms(dnll, mean, logvar, x):
    """What dmean and dlogvar may be the sum of."""
    up, d, std = dnll[..., None], mean - x, np.exp(logvar / 2)
    parts = {
        "(mean-x) e^-logvar": d / std**2,
        "(mean-x)^2 e^-logvar": d**2 / std**2,
        "": np.ones_like(mean),
        "(mean-x)": d,
        "(mean-x)^2": d**2,
        "(mean-x)^2 e^(-logvar/2)": d**2 / std,
        "(mean-x) e^(-logvar/2)": d / std,
        "(mean-x)^2 e^(-2 logvar)": d**2 / std**4,
        "(mean-x)^2 e^logvar": d**2 * std**2,
        "(mean-x) e^logvar": d * std**2,
        "x^2 e^-logvar": (x / std) ** 2,
        "mean^2 e^-logvar": (mean / std) ** 2,
        "e^-logvar": 1 / std**2,
        "logvar": logvar,
    }
    bare = {name or "1": parts[name] for name in ("(mean-x) e^-logvar", "(mean-x)^2 e^-logvar", "")}
    return {f"dnll {name}".strip(): up * part for name, part in parts.items()} | bare


def of_slopes(dnll, mean, logvar, x):
    """Pairs (sentence, (dmean, dlogvar)), None for one that the mistake leaves right."""
    dmean, dlogvar = right(dnll[..., None], mean, logvar, x)
    squared = "dnll is squared: it is a factor once"
    return [
        *mistaken(WRONG, "gaussian_nll_backward", dnll, mean, logvar, x),
        (BY_STD, (None, 2 * dlogvar * np.exp(-logvar / 2))),
        (squared, (dnll[..., None] * dmean, None)),
        (squared, (None, dnll[..., None] * dlogvar)),
        *((words, (value, None)) for words, value in safe(dmean, logvar)),
        *((words, (None, value)) for words, value in safe(dlogvar, logvar, 0.5 * dnll[..., None])),
    ]


def safe(slope, logvar, rest=0.0):
    """Pairs (sentence, slope) of a small number added to the variance, which divides all but `rest`."""
    words, variance = (
        "about {} is added to the variance, which is never 0: small ones are changed",
        np.exp(logvar),
    )
    return small_numbers(words, lambda small: (slope - rest) * variance / (variance + small) + rest)


def badly_added(dnll, mean, logvar, x):
    """Pairs (sentence, (dmean, dlogvar)): the sum over all that share a logvar, taken otherwise."""
    dmean, full = right(dnll[..., None], mean, logvar, x)
    one = right(1.0, mean, logvar, x)[1]
    axes = tuple(range(full.ndim if logvar.size == 1 else full.ndim - 1))

    def added(a):
        return a.sum(axis=axes).reshape(logvar.shape)

    late = "after the sum over the data: each has a dnll of its own, multiply first"
    averaged = "dlogvar is averaged over the {}: all of them share one logvar, so they add"
    lost_one = added(full - 0.5 * dnll[..., None])
    pairs = [
        (f"dnll is multiplied {late}", added(one) * dnll.sum()),
        (f"dnll is averaged, and multiplied {late}", added(one) * dnll.mean()),
        (NO_DNLL, added(one)),
        ("the 1 in dlogvar is counted once for each datum: every pixel has one", lost_one + 0.5 * dnll.sum()),
        (NO_ONE, lost_one),
        ("dlogvar has the wrong sign", -added(full)),
        ("dlogvar counts only the last: = where += adds up the samples?", added(full[-1:])),
    ]
    for axis in axes:
        what = ("samples", "batch", "pixels")[axis - full.ndim]
        pairs.append((averaged.format(what), added(full) / full.shape[axis]))
        first = np.take(full, [0], axis=axis)
        pairs.append((f"dlogvar counts only the first of the {what}: all that share it add", added(first)))
    return [(words, (dmean, np.asarray(dlogvar))) for words, dlogvar in pairs]


# ------------------------------------------------------------------------------ wrong answers


def right(up, mean, logvar, x):
    """dmean and dlogvar (..., B, D) of every pixel; up: dnll[..., None]."""
    variance = np.exp(logvar)
    return up * (mean - x) / variance, up * 0.5 * (1 - (x - mean) ** 2 / variance)


def _nll(each, says):
    """The sum over pixels of each(mean, logvar, x)."""
    return Wrong({"gaussian_nll": lambda *args: each(*args).sum(axis=-1)}, VALUE, says)


def _once(mean, logvar, x):
    """logvar summed by itself, before it meets the pixels."""
    square = ((x - mean) ** 2 * np.exp(-logvar)).sum(axis=-1)
    return 0.5 * (mean.shape[-1] * LOG_2PI + np.atleast_1d(logvar).sum(axis=-1) + square)


def _back(change, says, check=SLOPE, together=ops.sum_to_shape):
    """change(dmean, dlogvar, up, logvar) of every pixel; together(dlogvar, shape) undoes the broadcast."""

    def gaussian_nll_backward(dnll, mean, logvar, x):
        up = dnll[..., None]
        dmean, dlogvar = change(*right(up, mean, logvar, x), up, logvar)
        return dmean, together(dlogvar, np.shape(logvar))

    return Wrong({"gaussian_nll_backward": gaussian_nll_backward}, check, says)


def _mean_to_shape(full, shape):
    return ops.sum_to_shape(full, shape) * (np.prod(shape) / full.size)


AVERAGED = "nll is averaged over the D pixels: it is a sum, or the KL weighs D times too much beside it"
ERROR = "nll is the squared error and no density: the variance, the 1/2 and the logarithms are missing"
NO_CONSTANT = "the constant log 2 pi is missing: nll is D/2 log 2 pi too small, and no density belongs to it"
SIGN = "nll has the opposite sign: this is log p(x), and the negative log-likelihood is asked"
BY_ROOT = "the square is divided by the standard deviation: (x - mean)^2 belongs to the variance, e^logvar"
COUNTED_ONCE = "logvar is counted once for each datum, but D pixels share it, and each of them counts it"
X_MINUS_MEAN = "dmean has x - mean, the wrong sign: nll grows as mean moves away from x, so it is mean - x"
NO_VARIANCE = "dmean lacks e^-logvar: this is right for variance 1 alone, where a small variance is strict"
NO_DNLL = "dnll is left out: what comes back from above is a factor of every derivative"
NO_ONE = "dlogvar lacks the 1: it comes from the term logvar, and without it the variance grows for ever"
TWICE = "dlogvar is exactly twice what it should be: the 1/2 in front of the sum is lost on the way back"
BY_VARIANCE = "this is the derivative by the variance: by logvar it is e^logvar times that"
BY_STD = "this is the derivative by the standard deviation: by logvar it is std / 2 times that"
ADDED = "dlogvar is averaged over the entries that share one logvar: all of them move with it, so they add"

WRONG = (
    _nll(lambda mean, logvar, x: -latents(x, mean, logvar) / mean.shape[-1], AVERAGED),
    _nll(lambda mean, logvar, x: (x - mean) ** 2, ERROR),
    _nll(lambda mean, logvar, x: -latents(x, mean, logvar) - 0.5 * LOG_2PI, NO_CONSTANT),
    _nll(lambda mean, logvar, x: latents(x, mean, logvar), SIGN),
    _nll(lambda mean, logvar, x: 0.5 * (LOG_2PI + logvar + (x - mean) ** 2 * np.exp(-logvar / 2)), BY_ROOT),
    Wrong({"gaussian_nll": _once}, ONE_LOGVAR, COUNTED_ONCE),
    _back(lambda dmean, dlogvar, up, logvar: (-dmean, dlogvar), X_MINUS_MEAN),
    _back(lambda dmean, dlogvar, up, logvar: (dmean * np.exp(logvar), dlogvar), NO_VARIANCE),
    _back(lambda dmean, dlogvar, up, logvar: (dmean / up, dlogvar / up), NO_DNLL),
    _back(lambda dmean, dlogvar, up, logvar: (dmean, dlogvar - 0.5 * up), NO_ONE),
    _back(lambda dmean, dlogvar, up, logvar: (dmean, 2 * dlogvar), TWICE),
    _back(lambda dmean, dlogvar, up, logvar: (dmean, dlogvar * np.exp(-logvar)), BY_VARIANCE),
    _back(
        lambda *args: args[:2], "dlogvar has shape (11, 4), expected (4,)", SLOPE_SHARED, lambda full, _: full
    ),
    _back(lambda *args: args[:2], ADDED, SLOPE_SHARED, _mean_to_shape),
)
