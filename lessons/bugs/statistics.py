"""What no gradient check can find: a right derivative of the wrong function.

A sampler with the wrong variance, a KL without its 1/2, a loss averaged where it should be summed: each has
an exact derivative and passes every gradient check. The checks here test what the mathematics says about the
values. Each takes your implementation as an argument, compares it with textbook densities (never with
minivae's own code), and returns a `Verdict` that says what is wrong and what it looks like. Those that need
no random draws are in `identities`; here are the sampler and the KL.
"""

import math

import numpy as np

from minivae import arguments

from .identities import (
    Verdict,
    check_bound,
    check_extreme_logits,
    check_scaling,
    check_shapes,
    likeness,
    normal_log_density,
    shape_sentence,
    wrong,
)

__all__ = ["Verdict", "check_bound", "check_extreme_logits", "check_kl", "check_sampler", "check_scaling"]
__all__ += ["check_shapes"]

THRESHOLD = 5.0  # standard errors: an unbiased z-value exceeds it once in 1.7 million


def _worst(z):
    """The largest |z|, NaN counted as infinite."""
    z = np.abs(z)
    return float(np.where(np.isnan(z), np.inf, z).max())


def _like(forms, got, near, *inputs):
    """The first of {words: function of inputs} that `got` agrees with; None if it is like none of them."""
    with np.errstate(all="ignore"):
        return likeness({words: form(*inputs) for words, form in forms.items()}, got, near)


def _far(got, want, name):
    """The worst entry in numbers, where no wrong form is recognized."""
    worst = np.argmax(np.abs(got - want))
    return f"{got[worst]:.4g} where {name} is {want[worst]:.4g}"


# ------------------------------------------------------------------------------ the sampler

# what a variance or a mean may be instead, as functions of mu and logvar
VARIANCES = {
    "e^(2 logvar), not e^logvar: is exp(logvar) used as the standard deviation?": lambda mu, v: np.exp(2 * v),
    "logvar^2, not e^logvar: is logvar itself used as the standard deviation?": lambda mu, v: v * v,
    "|logvar|, not e^logvar: is logvar used as the variance?": lambda mu, v: np.abs(v),
    "e^(logvar / 2), not e^logvar: is the 1/2 of exp(logvar / 2) applied twice?": lambda mu, v: np.exp(v / 2),
    "e^-logvar, not e^logvar: has the exponent lost its sign?": lambda mu, v: np.exp(-v),
    "1, not e^logvar: is logvar not used at all?": lambda mu, v: np.ones_like(v),
    "0, not e^logvar: is z = mu, without the noise?": lambda mu, v: np.zeros_like(v),
}
MEANS = {
    "0, not mu: is mu not added?": lambda mu, v: np.zeros_like(mu),
    "-mu, not mu": lambda mu, v: -mu,
    "mu std, not mu: is mu multiplied by the standard deviation as well?": lambda mu, v: mu * np.exp(v / 2),
}


def check_sampler(sample, rng, n=100_000):
    """z = sample(mu, logvar, eps) is N(mu, e^logvar), each entry a function of its own eps -> Verdict.

    sample takes arrays (n, 4) and returns z (n, 4); eps ~ N(0, 1) is drawn here. For 4 latents with different
    mu and logvar, the mean and the variance, the third and the fourth Hermite moment of (z - mu) / std must
    lie within 5 standard errors: std / sqrt(n), variance sqrt(2 / n), sqrt(6 / n), sqrt(24 / n).

    False alarm: 16 comparisons at about 1e-6, at most 2e-5. Power at n = 100,000: an error of 4 % in one
    variance, of 3 % of a standard deviation in a mean, a skewness of 0.07 or an excess kurtosis of 0.14 is
    rejected with at least 99.99 %.
    """
    arguments.generator("rng", rng)
    n = arguments.integer("n", n, at_least=100)
    mu = np.array([0.0, 1.0, -2.0, 0.5])
    logvar = np.array([0.0, -2.0, 1.0, 1.5])
    heads, eps = (np.tile(mu, (n, 1)), np.tile(logvar, (n, 1))), rng.standard_normal((n, 4))
    z = np.array(sample(*heads, eps.copy()))
    if z.shape != (n, 4):
        return wrong(f"the sampler returns shape {z.shape} for noise of shape {(n, 4)}: z must be like eps")
    if not np.isfinite(z).all():
        return wrong("the sampler returns entries that are not finite: is a root or a log taken of logvar?")
    if not np.array_equal(z, sample(*heads, eps.copy())):
        return wrong("the sampler returns another z for the same eps: it draws noise of its own")
    want, mean, variance = np.exp(logvar), z.mean(axis=0), z.var(axis=0)
    z_variance = _worst((variance - want) / (want * math.sqrt(2 / n)))
    if z_variance > THRESHOLD:
        known = _like(VARIANCES, variance, 6 * math.sqrt(2 / n), mu, logvar)
        return wrong(f"the sampler's variance is {known or _far(variance, want, 'e^logvar')}", z_variance)
    z_mean = _worst((mean - mu) / np.sqrt(want / n))
    if z_mean > THRESHOLD:
        known = _like(MEANS, mean, 6 * math.sqrt(want.max() / n), mu, logvar)
        return wrong(f"the sampler's mean is {known or _far(mean, mu, 'mu')}", z_mean)
    if dependent := _dependence(lambda eps: np.asarray(sample(*heads, eps)), z, eps, rng):
        return wrong(f"z of {dependent}: z must depend on every eps, and on it alone")
    r, worst = (z - mu) / np.sqrt(want), max(z_mean, z_variance)
    for words, hermite, size in (
        ("skewed", r**3 - 3 * r, 6),
        ("more or less peaked than a Gaussian", r**4 - 6 * r**2 + 3, 24),
    ):
        off = _worst(hermite.mean(axis=0) / math.sqrt(size / n))
        if off > THRESHOLD:
            return wrong(f"z has the right mean and variance but is {words}: z must be Gaussian", off)
        worst = max(worst, off)
    return Verdict(True, f"the sampler's mean is mu and its variance e^logvar, in {n} draws", worst)


def _dependence(draw, z, eps, rng):
    """New noise in one latent must change that latent's z and no other; reordered rows reorder z."""
    for l in range(eps.shape[1]):
        other = eps.copy()
        other[:, l] = rng.standard_normal(len(eps))
        changed = (np.abs(draw(other) - z) > 1e-6).mean(axis=0)  # (L,), share of the rows
        if changed[l] < 0.9:
            share = "does not change" if changed[l] == 0 else f"changes in {changed[l]:.0%} of the rows only"
            return f"latent {l} {share} when its eps is drawn anew"
        changed[l] = 0
        if changed.any():
            return f"latent {changed.argmax()} changes with the eps of latent {l}"
    moved = np.abs(draw(eps[::-1].copy()) - z[::-1]).max() > 1e-6
    return "one example changes with the eps of others" if moved else None


# ------------------------------------------------------------------------------ the KL

MU = np.array([[0.0, 2.0, 1.0], [1.0, -0.5, 0.2], [0.3, 0.0, -1.0], [2.0, -2.0, 2.0]])  # (4, 3)
LOGVAR = np.array([[1.0, 0.0, -0.5], [-2.0, 0.7, 0.4], [0.1, -1.0, 1.2], [0.0, 0.0, 0.0]])
ANCHORS = ((2, 0), (-2, 0), (0, 2), (2, 6), (0, -30), (0, 12), (1, -60), (1, 60))  # beyond any clamp


def _half(mu, v):
    return 0.5 * (mu**2 + np.exp(v) - v - 1)  # (B, L)


DIVERGENCES = {  # what a kl may be instead: mu, logvar (B, L) -> its terms (B, L)
    "kl is twice its Monte Carlo estimate everywhere: a lost 1/2?": lambda mu, v: 2 * _half(mu, v),
    "kl is half its Monte Carlo estimate everywhere: a 1/2 too many?": lambda mu, v: 0.5 * _half(mu, v),
    "kl has the opposite sign: -KL belongs to the ELBO, +KL to the loss": lambda mu, v: -_half(mu, v),
    "kl has mu where mu^2 belongs": lambda mu, v: _half(0, v) + 0.5 * mu,
    "kl has its arguments reversed: it is KL(p || q), expected KL(q || p)": lambda mu, v: (
        0.5 * (v + (1 + mu**2) * np.exp(-v) - 1)
    ),
    "kl is too large by 1/2 for each latent: a missing -1?": lambda mu, v: _half(mu, v) + 0.5,
    "kl lacks mu^2": lambda mu, v: _half(0, v) + 0 * mu,
    "kl takes logvar for log std: it has e^(2 logvar) where e^logvar belongs": lambda mu, v: _half(mu, 2 * v),
    "kl takes logvar for the standard deviation": lambda mu, v: _half(mu, np.log(np.maximum(v * v, 1e-300))),
    "kl is averaged over the L latents where it must be summed": lambda mu, v: _half(mu, v) / mu.shape[1],
}


def check_kl(kl, rng, n=50_000):
    """kl(mu, logvar) -> (B,) is KL( N(mu, e^logvar) || N(0, I) ), in nats -> Verdict.

    Compared with the average of log q(z) - log p(z) over n draws z ~ q for 4 pairs (mu, logvar) with 3
    latents, within 5 standard errors; then with the formula at 8 points for 1 latent, to 6 digits.

    False alarm: 4 comparisons at 5.7e-7, at most 3e-6. Power at n = 50,000: an error of 2.5 % everywhere is
    rejected with at least 99.99 % by the draws alone (and always by the formula, as is a clamp of logvar at
    +-10, or at +-50).
    """
    arguments.generator("rng", rng)
    n = arguments.integer("n", n, at_least=100)
    got = np.asarray(kl(MU.copy(), LOGVAR.copy()))
    if got.shape != (4,):
        return wrong(shape_sentence("kl", got.shape, (4,)))
    std = np.sqrt(np.exp(LOGVAR))
    z = MU + std * rng.standard_normal((n, 4, 3))
    draws = (normal_log_density(z, MU, std) - normal_log_density(z, 0.0, 1.0)).sum(axis=-1)  # (n, 4)
    want = draws.mean(axis=0)
    worst = _worst((got - want) / (draws.std(axis=0) / math.sqrt(n)))
    if worst > THRESHOLD:
        with np.errstate(all="ignore"):
            sums = {words: f(MU, LOGVAR).sum(axis=1) for words, f in DIVERGENCES.items()}
        return wrong(likeness(sums, got) or f"kl is {_far(got, want, 'its Monte Carlo estimate')}", worst)
    for mu, logvar in ANCHORS:
        value, known = (
            np.asarray(kl(np.array([[mu]], float), np.array([[logvar]], float))).item(),
            _half(mu, logvar),
        )
        if not abs(value - known) <= 1e-6 * known:
            clamp = ": is logvar clamped?" if abs(logvar) > 10 else ""
            where = f"mu = {mu:g}, logvar = {logvar:g}"
            return wrong(f"kl is {value:.7g} at {where}, where it should be {known:.7g}{clamp}")
    return Verdict(True, f"kl agrees with {n} draws of log q - log p and with the known values", worst)
