"""What goes wrong with the negative ELBO of one sample."""

import numpy as np

from ..judging import Wrong, mistaken, over_samples, reductions, small_numbers
from .gaussian_log_prob import LOG_2PI, UNDERFLOW, log_normal

VALUES, WEIGHT, AGAIN, FAR = "f at any z", "beta", "the same f again", "where a density underflows"

AGAIN_THE_SAME = (
    "f uses again what its first call computed: all that depends on z is computed inside f, at every call"
)
FITTED = "q's mean and variance are taken from the samples z: they are held at mu and e^logvar"
AXES = {0: "the samples", 1: "the batch", None: "all"}
OWN = "f gives every sample and datum its own, the caller averages"
ZERO = "beta = 0 counts as 1: does an `or` or an `if beta` take 0 for none? f(z) is nll(z) there"
BETA_FOR = "beta multiplies log q(z) - log p(z), both of them, and nothing else"


def log_ratio(z, mu, logvar):
    """log q(z) - log p(z)."""
    return log_normal(z, mu, logvar) - log_normal(z, 0 * mu, 0 * mu)


def closed(mu, logvar):
    """The KL in closed form."""
    return 0.5 * (mu**2 + np.exp(logvar) - logvar - 1).sum(axis=-1)


def coarse_terms(nll, z, mu, logvar):
    """What f(z) may be the sum of, and the right factors."""
    terms = {
        "nll(z)": nll(z),
        "log q(z)": log_normal(z, mu, logvar),
        "log N(z; 0, I)": log_normal(z, 0 * mu, 0 * mu),
        "KL(q || p) in closed form": closed(mu, logvar),
        "nll(mu)": nll(mu),
    }
    return _whole(terms, z.shape[:-1]), {"nll(z)": 1.0, "log q(z)": 1.0, "log N(z; 0, I)": -1.0}


def fine_terms(nll, z, mu, logvar):
    """The same with the log-densities written out."""
    d = z - mu
    each = {
        "(z-mu)^2 e^-logvar": d**2 * np.exp(-logvar),
        "z^2": z**2,
        "logvar": logvar,
        "log 2 pi": np.full(mu.shape, LOG_2PI),
        "(z-mu)^2": d**2,
        "(z-mu)^2 e^logvar": d**2 * np.exp(logvar),
        "(z-mu)^2 e^(-logvar/2)": d**2 * np.exp(-logvar / 2),
        "(z-mu)^2 e^(-2 logvar)": d**2 * np.exp(-2 * logvar),
        "(z-mu) e^-logvar": d * np.exp(-logvar),
        "z^2 e^-logvar": z**2 * np.exp(-logvar),
        "mu^2": mu**2,
        "e^logvar": np.exp(logvar),
        "z": z,
    }
    terms = {"nll(z)": nll(z)} | {name: a.sum(axis=-1) for name, a in each.items()}
    right = {"nll(z)": 1.0, "z^2": 0.5, "logvar": -0.5, "(z-mu)^2 e^-logvar": -0.5}
    return _whole(terms, z.shape[:-1]), right


def _whole(terms, shape):
    return {name: np.broadcast_to(a, shape) for name, a in terms.items()}


def listed(z, *args):
    """Pairs (sentence, f(z)) of the listed wrong answers."""
    found = []
    for sentence, f in mistaken(WRONG, "elbo_cost", *args):
        try:
            found.append((sentence, f(z.copy())))
        except Exception:  # a wrong answer may fail in any way, and then explains nothing
            continue
    return found


def of_values(z, nll, mu, logvar):
    """Pairs (sentence, f(z)): the listed mistakes, another nll(z) or log q - log p, mixed up samples."""
    cost, kl = nll(z), log_ratio(z, mu, logvar)
    again = mu + np.exp(logvar / 2) * z
    pairs = listed(z, nll, mu, logvar)
    pairs += [(words, other + kl) for words, other in _other_costs(nll, z, mu, logvar)]
    pairs += [(words, cost + other) for words, other in _other_ratios(z, mu, logvar)]
    pairs += [
        ("f makes mu + std z of z: z is the sample itself", nll(again) + log_ratio(again, mu, logvar)),
        ("nll(z) is multiplied with log q - log p: add them", cost * kl),
    ]
    pairs += over_samples("f(z)", lambda z, *q: nll(z) + log_ratio(z, *q), (z,), (mu, logvar))
    return [(words, np.broadcast_to(value, cost.shape)) for words, value in pairs if np.ndim(value) <= 2]


def _other_costs(nll, z, mu, logvar):
    """What may stand for nll(z)."""
    cost = nll(z)
    yield "nll is taken at the mean of the samples: it wants z itself", nll(z.mean(axis=0))
    yield "nll is taken at the first sample: it wants z itself", nll(z[0])
    yield "nll is taken at (z - mu) / std: it wants z itself", nll((z - mu) / np.exp(logvar / 2))
    yield "nll is taken at z - mu: it wants z itself", nll(z - mu)
    yield "the logarithm of nll(z) is taken: nll is minus a log-likelihood already", np.log(cost)
    yield "nll(z) is put into an exponential: it is added as it is", np.exp(-cost)
    yield "nll(z) is weighted with p/q: z is drawn from q already", cost * np.exp(-log_ratio(z, mu, logvar))
    yield f"nll(z) is summed over all: {OWN}", cost.sum()
    for axis, over in AXES.items():
        yield f"nll(z) is averaged over {over}: {OWN}", cost.mean(axis=axis, keepdims=True)


def _other_ratios(z, mu, logvar):
    """What may stand for log q(z) - log p(z)."""
    (log_q, log_p), std = _logs(z, mu, logvar), np.exp(logvar / 2)
    kl, standard = log_q - log_p, (z - mu) / std
    for words, value in {"its standard deviation": std, "its variance": std**2}.items():
        cause = f"log q is given {words} where logvar belongs: it takes the logarithm of the variance"
        yield cause, log_normal(z, mu, value) - log_p
        yield cause, log_normal(z, mu, value) - log_normal(z, 0 * mu, 1.0)
    yield "log p is given 1 where its logvar belongs: log 1 is 0", log_q - log_normal(z, 0 * mu, 1.0)
    yield "mu and logvar are exchanged", log_normal(z, logvar, mu) - log_p
    yield "q is taken at (z - mu) / std: it wants z itself", log_normal(standard, mu, logvar) - log_p
    yield FITTED, log_normal(z, z.mean(axis=0), logvar) - log_p
    yield FITTED, log_normal(z, mu, np.log(z.var(axis=0))) - log_p
    yield "densities are subtracted, not their logarithms", np.exp(log_q) - np.exp(log_p)
    yield "the logarithms are divided: log(q/p) = log q - log p", log_q / log_p
    yield "q/p is added without its logarithm", np.exp(kl)
    yield "log q - log p is weighted with q(z): z is drawn from q already", np.exp(log_q) * kl
    yield "log q - log p is made positive (abs): it may be negative", np.abs(kl)
    yield "log q - log p is made positive (maximum): it may be negative", np.maximum(kl, 0)
    yield "log q - log p is squared: it counts as it is", kl**2
    yield f"log q - log p is summed over all: {OWN}", kl.sum()
    for axis, over in AXES.items():
        yield f"log q - log p is averaged over {over}: {OWN}", kl.mean(axis=axis, keepdims=True)
    yield from reductions("log q - log p", 0.5 * (z**2 - logvar - standard**2), "latents")
    yield from small_numbers(
        "about {} is added inside the logarithms: log q and log p need none, they are sums",
        lambda small: np.log(np.exp(log_q) + small) - np.log(np.exp(log_p) + small),
    )


def _logs(z, mu, logvar):
    return log_normal(z, mu, logvar), log_normal(z, 0 * mu, 0 * mu)


def with_beta(got, nll, z, mu, logvar, beta):
    """What f is a sum of, with the factors by their names: a sentence."""
    named = {"": 1.0, "beta ": beta, "(1 - beta) ": 1 - beta, "(1 + beta) ": 1 + beta, "beta^2 ": beta**2}
    named |= {"1/beta ": 1 / beta, "beta/2 ": beta / 2, "2 beta ": 2 * beta}
    parts = {"nll(z)": nll(z)} | dict(zip(("log q(z)", "log p(z)"), _logs(z, mu, logvar), strict=True))
    matrix = np.stack([*(a.ravel() for a in parts.values()), np.ones(got.size)], axis=1)
    factors = np.linalg.lstsq(matrix, got.ravel(), rcond=None)[0]
    if not np.allclose(matrix @ factors, got.ravel(), rtol=1e-8, atol=1e-8):
        return f"f(z) is right at beta = 1 alone: {BETA_FOR}"
    words = ""
    for factor, part in zip(factors, (*parts, "1"), strict=True):
        if abs(factor) > 1e-6:
            size = next((w for w, v in named.items() if abs(abs(factor) - v) < 1e-6), f"{abs(factor):.4g} ")
            words += (" - " if factor < 0 else " + " if words else "") + size + part
    return f"f(z) is {words}: {BETA_FOR}"


# ------------------------------------------------------------------------------ wrong answers


def _cost(combine, says, check=VALUES):
    """f(z) = combine(nll, log q, log p, beta, z, mu, logvar), where nll is the function."""

    def elbo_cost(nll, mu, logvar, beta=1.0):
        return lambda z: combine(nll, *_logs(z, mu, logvar), beta, z, mu, logvar)

    return Wrong({"elbo_cost": elbo_cost}, check, says)


def _fitted(nll, log_q, log_p, beta, z, mu, logvar):
    """q taken from the samples themselves."""
    return nll(z) + beta * (log_normal(z, z.mean(axis=0), np.log(z.var(axis=0))) - log_p)


def _first_z(nll, mu, logvar, beta=1.0):
    """An f that keeps its first answer."""
    kept = []

    def f(z):
        if not kept:
            kept.append(nll(z) + beta * log_ratio(z, mu, logvar))
        return kept[0].copy()

    return f


def _number(nll, mu, logvar, beta=1.0):
    return nll(mu) + beta * closed(mu, logvar)


NO_KL = "f(z) is nll(z) alone: log q(z) - log p(z), whose mean is the KL, is missing"
NO_NLL = "f(z) lacks nll(z): it is a sum of the misfit and of the KL's sample"
P_MINUS_Q = "log p - log q has the wrong sign: its mean under q is minus the KL, and f is to be minimized"
ELBO = "f(z) has the opposite sign: this is the ELBO, a gain, and its negative is the cost that is asked"
NO_Q = "log q(z) is missing: without it, minimizing f shrinks q to a point, its entropy counts for nothing"
CLOSED = "the KL stands in closed form, the same at every z: its mean is right, but f has log q(z) - log p(z)"
AT_MU = "nll is taken at mu and not at z: f(mu) is no mean of f, and no sample of it"
NO_BETA = "f(z) does not change with beta: it multiplies log q - log p"
BETA_NLL = "beta multiplies nll(z): it is the weight of the KL's two terms, log q - log p"
BETA_Q = "beta multiplies log q alone: put log q - log p into brackets"

WRONG = (
    Wrong({"elbo_cost": _number}, VALUES, "elbo_cost returns ndarray, expected a function"),
    _cost(lambda nll, q, p, beta, z, *_: nll(z), NO_KL),
    _cost(lambda nll, q, p, beta, z, *_: beta * (q - p), NO_NLL),
    _cost(lambda nll, q, p, beta, z, *_: nll(z) + beta * (p - q), P_MINUS_Q),
    _cost(lambda nll, q, p, beta, z, *_: -nll(z) - beta * (q - p), ELBO),
    _cost(lambda nll, q, p, beta, z, *_: nll(z) - beta * p, NO_Q),
    _cost(lambda nll, q, p, beta, z, mu, logvar: nll(z) + beta * closed(mu, logvar), CLOSED),
    _cost(lambda nll, q, p, beta, z, mu, logvar: nll(mu) + beta * (q - p), AT_MU),
    _cost(_fitted, FITTED),
    _cost(lambda nll, q, p, beta, z, *_: nll(z) + (q - p), NO_BETA, WEIGHT),
    _cost(lambda nll, q, p, beta, z, *_: beta * nll(z) + (q - p), BETA_NLL, WEIGHT),
    _cost(lambda nll, q, p, beta, z, *_: nll(z) + beta * q - p, BETA_Q, WEIGHT),
    Wrong({"elbo_cost": _first_z}, AGAIN, AGAIN_THE_SAME),
    _cost(
        lambda nll, q, p, beta, z, *_: nll(z) + beta * np.log(np.exp(q) / np.exp(p)),
        UNDERFLOW.format("f(z)", "z", "mu"),
        FAR,
    ),
)
