"""Find the silent bug

A public program has a sampler with the wrong variance. Its gradient check passes to nine digits, because the
derivative of the wrong function is right. The loss falls, but the samples are wrong, and no message says so.
Write the test that finds such a bug. check_sampler gets a sampler, right or wrong. Return True if z =
sample(mu, logvar, eps) has the mean mu and the variance e^logvar in every latent, for every mu and logvar,
and False if not. (You may also return an object with .ok, such as the library's Verdict.) All three arguments
are (n, latents), with several latents in one call. You choose mu and logvar, and you draw eps from rng. Your
test must accept right samplers with any seed (false alarms must be very rare). It must reject every wrong
sampler, also one that is wrong in one latent only, or for some logvar only, or that draws its own noise
instead of using eps.

Where to look: lesson 5, the bugs that pass every gradient check. Choose a few latents with different mu and
logvar, of both signs, so that a wrong formula gives other numbers than the right one. Repeat them in n rows,
draw eps, and measure the mean and the variance of each column of z.

The formula: the mean of n draws has the standard error std / sqrt(n), and their variance has the standard
error variance * sqrt(2 / n). By chance a right sampler is off by more than 5 standard errors once in 1.7
million times, and by more than 2 once in 22. So reject a latent that is off by more than 5 standard errors.
Compare with `<= 5`, which is False for NaN. And call sample twice: the same eps must give the same z.
"""

from itertools import product

import numpy as np

from ..bugs import statistics
from ..calls import Failed
from ..walks import slips, walk
from . import Exercise, Part

N = 20_000  # draws: the standard error of a variance is 1 % of it
LUCK = 3.5  # standard errors that a right sampler may be off: by chance 1 in 2000 is off by more
ALLOW = "allow for 4 to 5 standard errors, std / sqrt(n) of a mean and variance * sqrt(2 / n) of a variance"

WALK = """
    std = exp(0.5 * logvar)
    z = mu + std * eps
"""
ALSO_RIGHT = """
    std = exp(logvar) / exp(logvar / 2)  # std = exp(logvar) / exp(logvar / 2)
    z = stack([exp(logvar[:, i] / 2) * eps[..., i] + mu[:, i] for i in range(mu.shape[1])], -1)
        # one latent at a time
    z = mu - std * eps  # z = mu - std * eps has the same mean and variance
"""
WHY = {  # what a test lacks that accepts a wrong sampler
    "SPREAD": "compare the variance of z with e^logvar in each latent: one wrong latent is enough",
    "LEVEL": "compare the mean of z with mu in each latent: one wrong latent is enough",
    "EACH": "compare each latent by itself, with its own tolerance: an average over them hides one",
    "SIZE": f"with n = {N} the standard error of a variance is variance * sqrt(2 / n), 1 % of it: use that",
    "MEAN SIZE": f"with n = {N} the standard error of a mean is std / sqrt(n), 0.7 % of std: use that",
    "NAN": "every comparison with NaN is False: test that all errors are small, not that one is large",
    "SAME": "its derivatives are wrong, not its variance. Call it twice with one eps: z must be the same",
}
KNOWN = """
    z = 0 * eps  # a sampler that returns zeros | SPREAD
    std = exp(logvar)  # std = exp(logvar) | SPREAD
    z = mu + 0 * eps  # z = mu, without the noise | SPREAD
    std = 1  # z = mu + eps, where logvar is not used | SPREAD
    std = exp(-0.5 * logvar)  # std = exp(-logvar / 2) | SPREAD
    std = exp(0.25 * logvar)  # std = exp(logvar / 4) | SPREAD
    z = std * eps  # a forgotten mu | LEVEL
    z = (mu + eps) * std  # z = (mu + eps) std | LEVEL
"""
SUBTLE = """
    std = exp(0.5 * logvar) * sqrt(1.1)  # a variance that is 10 % too large | SIZE
    std = exp(0.5 * logvar) * sqrt(0.9)  # a variance that is 10 % too small | SIZE
    z = mu + std * (eps + 0.1)  # a mean that is 0.1 std too large | MEAN SIZE
    std = 1 + logvar / 2  # std = 1 + logvar / 2, right for small logvar | SIZE
    std = exp(maximum(logvar, 0) / 2)  # a logvar cut off below 0 | EACH
    std = exp(minimum(logvar, 0) / 2)  # a logvar cut off above 0 | EACH
    z = abs(mu) + std * eps  # |mu| in place of mu | LEVEL
    std = exp(0.5 * logvar[:, :1])  # the first latent's logvar for all | EACH
    std = exp(0.5 * logvar[:, ::-1])  # logvars in reverse order | EACH
    z = mu + std * (eps + 0.1 * ((arange(L) == 0) * 1.0 - (arange(L) == L - 1)))
        # a first latent whose mean is 0.1 std too large and a last one whose mean is as much too small | EACH
    std = exp(where(arange(L) == L - 1, 1, 0.5) * logvar)  # std = exp(logvar) in the last latent only | EACH
    std = where(logvar < 0, nan, exp(0.5 * logvar))  # a sampler that is NaN where logvar is negative | NAN
    z = mu + std * eps * where(one, sqrt(1.1), 1)  # a variance 10 % too large in latent {} alone | EACH
    z = mu + std * (eps + 0.1 * one)  # a mean that is 0.1 std too large in latent {} alone | EACH
"""
OWN_NOISE = """
    z = mu + std * noise  # a sampler that draws noise of its own and does not use eps | SAME
    z = mu + std * where(arange(eps.shape[-2])[:, None] > 0, noise, eps)
        # a sampler that draws noise of its own in all rows but the first | SAME
    z = mu + std * where(one, noise, eps)  # a sampler that draws noise of its own in latent {} alone | SAME
"""


def sampler(*changed, latent=0):
    """A function of mu, logvar, eps -> z; changed: lines of the walk that are written differently."""
    own = np.random.default_rng(90)

    def sample(mu, logvar, eps):
        L = eps.shape[-1]
        more = {"L": L, "one": np.arange(L) == latent, "noise": own.standard_normal(eps.shape)}
        return walk(WALK, {"mu": mu, "logvar": logvar, "eps": eps} | more, *changed)["z"]

    return sample


RIGHT = sampler()


class Unlucky(np.random.Generator):
    """A generator whose normal noise is off by some standard errors, in its last column."""

    def __init__(self, mean=0.0, variance=0.0):
        super().__init__(np.random.PCG64(5))
        self.mean, self.variance = mean, variance

    def standard_normal(self, size=None, dtype=np.float64, out=None):
        """Noise with exactly that mean and variance along its first axis."""
        e = np.array(super().standard_normal(size, dtype))
        if out is not None or e.ndim == 0 or len(e) < 100:
            return e
        part = e if e.ndim == 1 else e[..., -1]
        std = np.sqrt(1 + self.variance * np.sqrt(2 / len(e)))
        part[...] = (part - part.mean(axis=0)) / part.std(axis=0) * std + self.mean / np.sqrt(len(e))
        return e

    def normal(self, loc=0.0, scale=1.0, size=None):  # the same, moved and scaled
        return loc + scale * self.standard_normal(size)


def verdict(its, sample, rng):
    """What the learner's test says of a sampler -> bool, and every (mu, logvar, eps) that it tried."""
    seen = []

    def remembered(mu, logvar, eps):
        mu, logvar, eps = (np.array(a) for a in (mu, logvar, eps))
        if mu.ndim != 2 or logvar.shape != mu.shape or eps.shape[-2:] != mu.shape or eps.ndim > 3:
            shapes = f"mu of shape {mu.shape}, logvar {logvar.shape} and eps {eps.shape}"
            raise Failed(f"sample is called with {shapes}: all three have one shape (n, latents)")
        seen.append((mu, logvar, eps))
        return sample(mu, logvar, eps)

    try:
        result = its.check_sampler(remembered, np.random.default_rng(rng), N)
    except Failed as failed:
        if isinstance(failed.__cause__, AssertionError):
            failed.sentence = "check_sampler raises AssertionError where it should return True or False"
        raise
    ok = getattr(result, "ok", result)
    if isinstance(ok, np.ndarray | list | tuple) and np.ndim(ok):
        raise Failed(f"check_sampler returns {np.size(ok)} verdicts: combine them into one, with .all()")
    if np.asarray(ok).dtype.kind not in "biu" or np.ndim(ok):
        kind = type(result).__name__
        raise Failed(f"check_sampler returns {kind}, expected True or False: is a return missing?")
    return bool(ok), seen


def check_calls(its):
    """It calls the sampler with standard normal noise from rng, with as many draws as it is given."""
    first, again, other = (verdict(its, RIGHT, seed)[1] for seed in (1, 1, 2))
    if not first:
        raise Failed("it never calls sample: a test must look at what the sampler returns")
    noise, same, another = (seen[0][2] for seen in (first, again, other))
    if not np.array_equal(noise, same):
        raise Failed("its noise does not come from rng: with the same seed it differs from call to call")
    if np.array_equal(noise, another):
        if not np.array_equal(first[0][0], other[0][0]):
            raise Failed("the noise is passed to sample as mu: the order is sample(mu, logvar, eps)")
        raise Failed("its noise is the same with another rng: draw eps with rng.standard_normal")
    noises = {eps.tobytes(): eps for *_, eps in first}.values()
    draws = sum(eps.size // eps.shape[-1] for eps in noises)
    if draws < N:
        raise Failed(f"the argument n is {N}, and it passes {draws} draws to sample: fewer draws find less")
    for noise in noises:
        mean, variance, size = noise.mean(), noise.var(), noise.size
        if abs(mean) > 6 / np.sqrt(size) or abs(variance - 1) > 6 * np.sqrt(2 / size) + 1 / size:
            found = f"its mean is {mean:.2g} and its variance {variance:.2g}"
            raise Failed(f"the noise passed to sample is not N(0, 1), {found}: take rng.standard_normal")


def check_right(its):
    """No false alarm: the formula with 20 seeds, and other formulas of the same distribution.

    The seeds are fixed. A test that rejects 1 right sampler in 10 is found with a probability of 88 %; the
    next check finds tests that reject fewer.
    """
    seeds = range(100, 120)
    bad = [seed for seed in seeds if not verdict(its, RIGHT, seed)[0]]
    if len(bad) == len(seeds):
        wrong = [words for changed, words in slips(KNOWN + SUBTLE) if verdict(its, sampler(changed), 100)[0]]
        seen = verdict(its, RIGHT, 100)[1]
        if wrong:
            why = f", and accepts {wrong[0].split(' | ')[0]}"
        elif len({eps.tobytes() for *_, eps in seen}) == len(seen) > 1:
            why = ": it expects the same z from two calls with different eps: pass the same eps to both"
        else:
            why = f": does it accept anything? {ALLOW.capitalize()}"
        raise Failed(f"it rejects a right sampler with every seed{why}")
    if bad:
        details = [f"np.random.default_rng({bad[0]}) is one of them, with n = {N}"]
        raise Failed(f"it rejects a right sampler with {len(bad)} of {len(seeds)} seeds: {ALLOW}", details)
    for changed, words in slips(ALSO_RIGHT):
        if not all(verdict(its, sampler(changed), seed)[0] for seed in seeds[:3]):
            raise Failed(f"it rejects a right sampler that is written in another way: {words}")


def check_luck(its):
    """No alarm where the noise is 3.5 standard errors off, in its mean or in its variance, in one latent.

    At least one of eight comparisons is so far off once in 270 seeds: a test that allows for less raises at
    least as many false alarms.
    """
    for which, off in (("variance", LUCK), ("mean", LUCK), ("variance", -LUCK), ("mean", -LUCK)):
        if not verdict(its, RIGHT, Unlucky(**{which: off}))[0]:
            raise Failed(
                f"it rejects a right sampler when one latent has bad luck and the {which} of its noise is "
                f"{off} standard errors off, as in one of 270 runs of 8 comparisons: {ALLOW}"
            )


def planted(its, bugs):
    """The test must reject each of these samplers, with two seeds, and those of one latent in each latent."""
    width = verdict(its, RIGHT, 1)[1][0][0].shape[1]
    for (changed, words), seed in product(slips(bugs), (200, 201)):
        for latent in range(min(width, 8) if "{}" in words else 1):
            ok, seen = verdict(its, sampler(changed, latent=latent), seed)
            if ok:
                title, why = words.format(latent).split(" | ")
                tried = [np.hstack(call[:2]) for call in seen if call[0].shape[1] == width]
                mu, logvar = np.split(np.unique(np.concatenate(tried), axis=0), 2, axis=1)
                hidden = _hidden(sampler(changed), mu, logvar)
                mu, logvar = (np.unique(a)[:6].round(3).tolist() for a in (mu, logvar))
                details = [f"it tries mu = {mu} and logvar = {logvar}, with n = {N}"]
                raise Failed(f"your test accepts {title}: {hidden or WHY[why]}", details)


def _hidden(sample, mu, logvar):
    """Why the bug cannot be seen with these mu and logvar, "" if it can."""
    eps = np.random.default_rng(0).standard_normal(mu.shape)

    def visible(mu, logvar):
        return not np.allclose(sample(mu, logvar, eps), RIGHT(mu, logvar, eps))

    if visible(mu, logvar):
        return ""
    name, a = ("mu", mu) if visible(np.resize([-1.0, 0.7, 2.0], mu.shape), logvar) else ("logvar", logvar)
    reasons = {
        f"it tries {name} = 0 alone, where many formulas agree: try other values as well": not a.any(),
        f"it tries no negative {name}: try some as well": (a >= 0).all(),
        f"it tries no positive {name}: try some as well": (a <= 0).all(),
        f"its {name} reads the same from both ends: try several latents at once, with different values": True,
    }
    return next(words for words, holds in reasons.items() if holds)


def check_sampler(sample, rng, n=100_000):
    """Whether z = sample(mu, logvar, eps) has the mean mu and the variance e^logvar -> True or False.

    sample takes three arrays (n, latents) and returns z like them; rng is a Generator, n the number of draws.
    """


check_sampler.__module__ = statistics.__name__  # there is the library's own, which tests more
SOLUTION = """
mu, logvar = np.array([0.0, 1.0, -2.0, 0.5]), np.array([0.0, -2.0, 1.0, 1.5])
inputs = np.tile(mu, (n, 1)), np.tile(logvar, (n, 1)), rng.standard_normal((n, 4))
z = sample(*inputs)                                     # (n, 4)
repeats = np.array_equal(z, sample(*inputs))
variance = np.exp(logvar)
mean_is_right = np.abs(z.mean(axis=0) - mu) <= 5 * np.sqrt(variance / n)
variance_is_right = np.abs(z.var(axis=0) - variance) <= 5 * variance * np.sqrt(2 / n)
"""
TEST = Part(
    check_sampler,
    shown=f"{SOLUTION.strip()}\nreturn bool(repeats and mean_is_right.all() and variance_is_right.all())",
    checks={
        "it calls the sampler": check_calls,
        "right samplers pass": check_right,
        "right samplers pass with bad luck": check_luck,
        "known bugs are found": lambda its: planted(its, KNOWN),
        "small bugs are found": lambda its: planted(its, SUBTLE),
        "noise of its own is found": lambda its: planted(its, OWN_NOISE),
    },
)

EXERCISE = Exercise(__doc__, lesson=5, parts=(TEST,))
