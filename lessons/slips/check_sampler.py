"""What goes wrong in tests of a sampler: bugs they must find, what hides these, and tests that miss them."""

from typing import NamedTuple

import numpy as np

from ..judging import Wrong

N = 20_000  # draws: the standard error of a variance is 1 % of it


class Planted(NamedTuple):
    """A sampler with a bug, and how it is seen.

    title   of the bug, as a part of a sentence
    sample  mu, logvar, eps -> z
    why     what a test lacks that lets it pass
    hidden  (mu, logvar -> whether these hide the bug, sentence), None where no arguments do
    """

    title: str
    sample: object
    why: str
    hidden: tuple | None = None


def right(mu, logvar, eps):
    """z = mu + std eps."""
    return mu + np.exp(0.5 * logvar) * eps


def with_std(std):
    """A sampler with another standard deviation, as a function of logvar."""
    return lambda mu, lv, eps: mu + std(lv) * eps


def only_at(latent, sample):
    """A sampler that is wrong in one latent."""

    def some(mu, logvar, eps):
        z = right(mu, logvar, eps)
        z[..., latent] = sample(mu, logvar, eps)[..., latent]
        return z

    return some


def uneven(mu, logvar, eps):
    """The last latent's mean 0.1 std too small, and the first's, if it is another, too large."""
    off = np.zeros(mu.shape[1])
    off[0], off[-1] = 0.1, -0.1
    return right(mu, logvar, eps + off)


_own = np.random.default_rng(90)


def own_noise(mu, logvar, eps):
    """The right distribution, of noise that was never handed in."""
    return right(mu, logvar, _own.standard_normal(np.shape(eps)))


def own_noise_below(mu, logvar, eps):
    """The same from the second row on."""
    z = own_noise(mu, logvar, eps)
    z[..., :1, :] = right(mu, logvar, eps)[..., :1, :]
    return z


# ------------------------------------------------------------------------------ planted bugs

SPREAD = "look at the variance of z, which must be e^logvar in each latent: one that is wrong is enough"
LEVEL = "look at the mean of z, which must be mu in each latent: one that is wrong is enough"
EACH = "compare each latent by itself: what is averaged or pooled over latents hides one of them"
SIZE = (
    f"with n = {N} draws the standard error of a variance is variance * sqrt(2 / n), 1 % of it: compare "
    "with that, not with a tolerance from the air"
)
MEAN_SIZE = (
    f"with n = {N} draws the standard error of a mean is std / sqrt(n), 0.7 % of std: compare with that"
)
NAN = "every comparison with NaN is False, so ask whether all is near, and not whether something is far"

FLAT = (
    lambda mu, lv: not lv.any(),
    "it tries logvar = 0 alone, where std, variance and e^logvar are all 1. Try other logvars as well",
)
CENTRED = (lambda mu, lv: not mu.any(), "it tries mu = 0 alone: try other means as well")
UPWARDS = (lambda mu, lv: (mu >= 0).all(), "it tries no negative mu")
WIDE = (lambda mu, lv: (lv >= 0).all(), "it tries no negative logvar: try some as well")
NARROW = (lambda mu, lv: (lv <= 0).all(), "it tries no positive logvar: try some as well")
NEAR = (lambda mu, lv: np.max(np.abs(lv)) < 0.5, "it tries logvar so near to 0 alone that much looks alike")
ALIKE = (
    lambda mu, lv: np.array_equal(lv, lv[:, ::-1]),
    "its logvars read the same from both ends: try several latents at once, with different ones",
)
PLAIN_LAST = (lambda mu, lv: not lv[:, -1].any(), "in its last latent logvar is 0, where that is right")

KNOWN = (
    Planted("a sampler that returns zeros", lambda mu, lv, eps: 0 * eps, SPREAD),
    Planted("std = exp(logvar)", with_std(np.exp), SPREAD, FLAT),
    Planted("std = logvar", with_std(lambda lv: lv), SPREAD),
    Planted("z = mu, without the noise,", lambda mu, lv, eps: mu + 0 * eps, SPREAD),
    Planted("z = mu + eps, where logvar is not used", with_std(np.ones_like), SPREAD, FLAT),
    Planted("a forgotten mu", lambda mu, lv, eps: right(0 * mu, lv, eps), LEVEL, CENTRED),
    Planted("z = (mu + eps) std", lambda mu, lv, eps: (mu + eps) * np.exp(lv / 2), LEVEL, FLAT),
    Planted("std = exp(-logvar / 2)", with_std(lambda lv: np.exp(-lv / 2)), SPREAD, FLAT),
    Planted("std = exp(logvar / 4)", with_std(lambda lv: np.exp(lv / 4)), SPREAD, FLAT),
)
SUBTLE = (
    Planted("a variance that is 10 % too large", with_std(lambda lv: np.exp(lv / 2) * np.sqrt(1.1)), SIZE),
    Planted("a variance that is 10 % too small", with_std(lambda lv: np.exp(lv / 2) * np.sqrt(0.9)), SIZE),
    Planted("a mean that is 0.1 std too large", lambda mu, lv, eps: right(mu, lv, eps + 0.1), MEAN_SIZE),
    Planted("std = 1 + logvar / 2, right for small logvar,", with_std(lambda lv: 1 + lv / 2), SIZE, NEAR),
    Planted("std = softplus(logvar)", with_std(lambda lv: np.log1p(np.exp(lv))), SIZE, FLAT),
    Planted("a logvar cut off below 0", with_std(lambda lv: np.exp(np.maximum(lv, 0) / 2)), EACH, WIDE),
    Planted("a logvar cut off above 0", with_std(lambda lv: np.exp(np.minimum(lv, 0) / 2)), EACH, NARROW),
    Planted("|mu| for mu", lambda mu, lv, eps: right(np.abs(mu), lv, eps), LEVEL, UPWARDS),
    Planted("the first latent's logvar for all", lambda mu, lv, eps: right(mu, lv[:, :1], eps), EACH, ALIKE),
    Planted("logvars in reverse order", lambda mu, lv, eps: right(mu, lv[:, ::-1], eps), EACH, ALIKE),
    Planted(
        "a first latent whose mean is 0.1 std too large and a last one whose mean is as much too small",
        uneven,
        EACH,
    ),
    Planted("std = exp(logvar) in the last latent only", only_at(-1, with_std(np.exp)), EACH, PLAIN_LAST),
    Planted(
        "a sampler that returns NaN where logvar is negative",
        with_std(lambda lv: np.where(lv < 0, np.nan, np.exp(lv / 2))),
        NAN,
        WIDE,
    ),
)


def in_one(latent):
    """What is wrong by a tenth in one latent alone."""
    wide = only_at(latent, lambda mu, lv, eps: right(mu, lv, eps * np.sqrt(1.1)))
    high = only_at(latent, lambda mu, lv, eps: right(mu, lv, eps + 0.1))
    why = f"{EACH}, and so does a tolerance of one size"
    return (
        Planted(f"a variance that is 10 % too large in latent {latent} alone", wide, why),
        Planted(f"a mean that is 0.1 std too large in latent {latent} alone", high, why),
    )


SAME = (
    "mean and variance are right then, but no derivative is. Call it twice with the same eps, and all of z "
    "must be the same"
)
OWN_NOISE = (
    Planted("a sampler that draws noise of its own and does not use eps", own_noise, SAME),
    Planted("a sampler that draws noise of its own in all rows but the first", own_noise_below, SAME),
)


def own_noise_at(latent):
    """A sampler that does so in one latent."""
    title = f"a sampler that draws noise of its own in latent {latent} alone"
    return Planted(title, only_at(latent, own_noise), SAME)


# ------------------------------------------------------------------------------ wrong answers

MU, LOGVAR = np.array([0.0, 1.0, -2.0, 0.5]), np.array([0.0, -2.0, 1.0, 1.5])
_global = np.random.default_rng(91)


def _near(got, want, error):
    return np.abs(got - want) <= 5 * error


def _noise(rng, n):
    return rng.standard_normal((n, 4))


def _test(logvar=LOGVAR, near=_near, noise=_noise, means=True, variances=True, twice=True, answer=np.all):
    """A test with its choices: the right one, where nothing is changed."""

    def check_sampler(sample, rng, n=100_000):
        eps = noise(rng, n)
        given = np.tile(MU, (len(eps), 1)), np.tile(logvar, (len(eps), 1)), eps
        z, variance = sample(*given), np.exp(logvar)
        good = [twice is False or np.array_equal(z, sample(*given), equal_nan=True)]
        if means:
            good.extend(near(z.mean(axis=0), MU, np.sqrt(variance / len(eps))))
        if variances:
            good.extend(near(z.var(axis=0), variance, variance * np.sqrt(2 / len(eps))))
        return answer(good)

    return {"check_sampler": check_sampler}


def _asserts(sample, rng, n=100_000):
    assert not _test()["check_sampler"](sample, rng, n), "the sampler is wrong"


def _to_the_digit(sample, rng, n=100_000):
    given = np.tile(MU, (n, 1)), np.tile(LOGVAR, (n, 1)), _noise(rng, n)
    return np.array_equal(sample(*given), right(*given))


def _pooled(sample, rng, n=100_000):
    given = np.tile(MU, (n, 1)), np.tile(LOGVAR, (n, 1)), _noise(rng, n)
    z, want = sample(*given), np.exp(LOGVAR)
    right_mean = abs((z - MU).mean()) <= 5 * np.sqrt(want.mean() / (4 * n))
    right_variance = abs(z.var(axis=0).mean() - want.mean()) <= 5 * np.sqrt(2 * (want**2).sum() / n) / 4
    return right_mean and right_variance and np.array_equal(z, sample(*given))


ASKS, RIGHT, UNLUCKY = "it asks the sampler", "right samplers pass", "right samplers pass with bad luck"
BUGS, SMALL = "known bugs are found", "small and local bugs are found"
WRONG = (
    Wrong({"check_sampler": lambda sample, rng, n=100_000: True}, ASKS, "it never calls sample"),
    Wrong({"check_sampler": _asserts}, ASKS, "raises AssertionError where it should answer"),
    Wrong(_test(answer=np.array), ASKS, "check_sampler returns 9 verdicts: all of them together make one"),
    Wrong(_test(noise=lambda rng, n: _noise(_global, n)), ASKS, "it uses noise from somewhere else than rng"),
    Wrong(
        _test(noise=lambda rng, n: rng.random((n, 4))),
        ASKS,
        "the noise that it hands to sample is not N(0, 1)",
    ),
    Wrong(
        _test(noise=lambda rng, n: _noise(rng, 500)), ASKS, "n = 20000 draws are asked for, and it hands 500"
    ),
    Wrong(_test(answer=lambda good: False), RIGHT, "with every seed: does it accept anything?"),
    Wrong(
        _test(near=lambda got, want, error: np.abs(got - want) <= 2 * error),
        RIGHT,
        "of 20 seeds: allow for 4 to 5 standard errors",
    ),
    Wrong(
        {"check_sampler": _to_the_digit}, RIGHT, "it rejects a right sampler that is written in another way"
    ),
    Wrong(
        _test(near=lambda got, want, error: np.abs(got - want) <= 3.4 * error),
        UNLUCKY,
        "when one latent has bad luck and the variance of its noise is 3.5 standard",
    ),
    Wrong(_test(logvar=np.zeros(4)), BUGS, "lets std = exp(logvar) pass: it tries logvar = 0 alone"),
    Wrong(_test(variances=False), BUGS, "lets std = exp(logvar) pass: look at the variance of z"),
    Wrong(_test(means=False), BUGS, "your test lets a forgotten mu pass: look at the mean of z"),
    Wrong(_test(near=lambda got, want, error: ~(np.abs(got - want) > 5 * error)), SMALL, f"pass: {NAN}"),
    Wrong(
        _test(near=lambda got, want, error: np.abs(got - want) <= 0.3 * np.maximum(np.abs(want), 0.5)),
        SMALL,
        "your test lets a variance that is 10 % too large pass: with n = 20000 draws",
    ),
    Wrong(
        {"check_sampler": _pooled}, SMALL, "lets logvars in reverse order pass: compare each latent by itself"
    ),
    Wrong(_test(twice=False), "noise of its own is found", "draws noise of its own and does not use eps"),
)
