"""Exercise: the learner writes the test that sees what no gradient check sees, and spares what is right."""

import numpy as np

from minivae import gradcheck
from minivae.gradcheck import statistics

from .. import judging
from ..judging import Exercise, Failed
from ..judging.luck import Adjusted
from ..slips.check_sampler import KNOWN, OWN_NOISE, SUBTLE, WRONG, N, in_one, own_noise_at, right

SEEDS = range(100, 120)
LUCK = 3.5  # standard errors that a right sampler may be off: 1 noise in 2000 is, by chance
ALLOW = "allow for 4 to 5 standard errors, std / sqrt(n) of a mean and variance * sqrt(2 / n) of a variance"

# right samplers that are written in another way
ALSO_RIGHT = {
    "std = exp(logvar) / exp(logvar / 2)": lambda mu, lv, eps: eps * (np.exp(lv) / np.exp(0.5 * lv)) + mu,
    "one latent after the other": lambda mu, lv, eps: np.stack(
        [np.exp(lv[:, i] / 2) * eps[..., i] + mu[:, i] for i in range(mu.shape[1])], axis=-1
    ),
    "z = mu - std * eps has the same mean and variance": lambda mu, lv, eps: right(mu, lv, -eps),
}


# ------------------------------------------------------------------------------ asking a test


class Asked:
    """A sampler that remembers what it was asked."""

    def __init__(self, sample):
        self.sample, self.seen = sample, []

    def __call__(self, mu, logvar, eps):
        mu, logvar, eps = (np.asarray(a) for a in (mu, logvar, eps))
        if mu.ndim != 2 or logvar.shape != mu.shape or eps.shape[-2:] != mu.shape or eps.ndim > 3:
            raise Failed(
                f"sample is called with mu of shape {mu.shape}, logvar {logvar.shape} and eps {eps.shape}: "
                "all three have one shape (n, latents)"
            )
        self.seen.append((mu, logvar, eps))
        return self.sample(mu, logvar, eps)

    def tried(self, k):
        """Every mu (0) or logvar (1) in the latents of the first call: (rows, latents)."""
        latents = self.seen[0][0].shape[1]
        return np.concatenate([np.unique(a[k], axis=0) for a in self.seen if a[k].shape[1] == latents])

    @property
    def noises(self):
        """Every different eps."""
        return list({eps.tobytes(): eps for _, _, eps in self.seen}.values())


def ask(its, sample, rng):
    """What the test says of a sampler -> ok, and the Asked; rng: a generator or its seed."""
    function, asked = its.raw("check_sampler"), Asked(sample)
    try:
        with np.errstate(all="ignore"):
            result = function(lambda mu, logvar, eps: asked(mu, logvar, eps), np.random.default_rng(rng), N)
    except Failed:
        raise
    except (Exception, SystemExit) as error:
        if isinstance(error, AssertionError):
            raise Failed(
                "check_sampler raises AssertionError where it should answer True or False"
            ) from error
        raise judging.stopped("check_sampler", error, judging.file_of(function)) from error
    return verdict(result), asked


def verdict(result):
    """True or False from what a test returns."""
    if result is None:
        raise Failed("check_sampler returns None: is the return missing?")
    ok = getattr(result, "ok", result)
    if isinstance(ok, np.ndarray | list) and np.ndim(ok):
        raise Failed(f"check_sampler returns {np.size(ok)} verdicts: all of them together make one, .all()")
    if np.asarray(ok).dtype.kind not in "biu" or np.ndim(ok):
        kind = type(result).__name__
        raise Failed(
            f"check_sampler returns {kind}: return True or False, or an object with .ok, as a Verdict"
        )
    return bool(ok)


# ------------------------------------------------------------------------------ checks


def check_asks(its):
    """It calls the sampler with standard normal noise from rng, as many draws as are asked for."""
    first, again, other = (ask(its, right, seed)[1] for seed in (1, 1, 2))
    if not first.seen:
        raise Failed("it never calls sample: a test must look at what the sampler returns")
    noise, same, another = (asked.seen[0][2] for asked in (first, again, other))
    if not np.array_equal(noise, same):
        raise Failed(
            "it uses noise from somewhere else than rng: with the same seed it is another every time"
        )
    if np.array_equal(noise, another):
        if not np.array_equal(first.seen[0][0], other.seen[0][0]):
            raise Failed("the noise is handed to sample as mu: the order is sample(mu, logvar, eps)")
        raise Failed("its noise is the same with another rng: draw eps with rng.standard_normal")
    draws = sum(eps.size // eps.shape[-1] for eps in first.noises)
    if draws < N:
        raise Failed(f"n = {N} draws are asked for, and it hands {draws} to sample: fewer see less")
    for noise in first.noises:
        mean, variance, size = noise.mean(), noise.var(), noise.size
        if abs(mean) > 6 / np.sqrt(size) or abs(variance - 1) > 6 * np.sqrt(2 / size) + 1 / size:
            raise Failed(
                f"the noise that it hands to sample is not N(0, 1), its mean is {mean:.2g} and its variance "
                f"{variance:.2g}: take rng.standard_normal"
            )


def check_right(its):
    """No false alarm: the formula with 20 seeds, and other formulas of the same distribution.

    The seeds are fixed. A test that rejects 1 right sampler in 10 is found with 88 %, and bad luck that is
    made on purpose, in the next check, finds those that reject fewer.
    """
    bad = [seed for seed in SEEDS if not ask(its, right, seed)[0]]
    if len(bad) == len(SEEDS):
        raise Failed(f"it rejects a right sampler with every seed{_what_passes(its)}")
    if bad:
        raise Failed(
            f"it rejects a right sampler with {len(bad)} of {len(SEEDS)} seeds: {ALLOW}",
            [f"np.random.default_rng({bad[0]}) is one of them, with n = {N}"],
        )
    for words, sample in ALSO_RIGHT.items():
        for seed in SEEDS[:3]:
            if not ask(its, sample, seed)[0]:
                raise Failed(f"it rejects a right sampler that is written in another way: {words}")


def _what_passes(its):
    """Of a test that rejects what is right: what it accepts."""
    for bug in (*KNOWN, *SUBTLE):
        if ask(its, bug.sample, SEEDS[0])[0]:
            return f", and accepts {bug.title.rstrip(',')}"
    if ask(its, right, Adjusted(5, 0, 0, every=True))[0]:
        return f": its tolerance is smaller than what right noise scatters; {ALLOW}"
    asked = ask(its, right, SEEDS[0])[1]
    if len(asked.noises) == len(asked.seen) > 1:
        return ": it wants the same z of two calls with different eps; hand the same eps to both"
    return ": does it accept anything?"


def check_luck(its):
    """No alarm where the noise is 3.5 standard errors off, in its mean or in its variance, of one latent.

    One of eight comparisons is, once in 270 seeds: a test that allows for less cries wolf as often.
    """
    for off in (LUCK, -LUCK):
        for which, mean, variance in (("variance", 0, off), ("mean", off, 0)):
            if not ask(its, right, Adjusted(5, mean, variance))[0]:
                where = f"{LUCK} standard errors {'above' if off > 0 else 'below'} {1 if variance else 0}"
                raise Failed(
                    "it rejects a right sampler when one latent has bad luck and the "
                    f"{which} of its noise is {where}, as in one of 270 runs of 8 comparisons: {ALLOW}"
                )


def check_known(its):
    """The bugs that stand in public code."""
    _planted(its, KNOWN)


def check_subtle(its):
    """Bugs that are small, or show only for some arguments or in one latent."""
    _planted(its, SUBTLE)
    for latent in range(min(_latents(its), 8)):
        _planted(its, in_one(latent), seeds=(202,))


def _latents(its):
    return ask(its, right, 1)[1].tried(0).shape[1]


def _planted(its, bugs, seeds=(200, 201)):
    for bug in bugs:
        for seed in seeds:
            ok, asked = ask(its, bug.sample, seed)
            if ok:
                mu, logvar = asked.tried(0), asked.tried(1)
                hidden = bug.hidden and bug.hidden[0](mu, logvar)
                raise Failed(
                    f"your test lets {bug.title} pass: {bug.hidden[1] if hidden else bug.why}",
                    [f"it tries mu = {_few(mu)} and logvar = {_few(logvar)}, with n = {N}"],
                )


def _few(values):
    found = np.unique(values)
    return ", ".join(f"{v:.3g}" for v in found[:6]) + ", ..." * (len(found) > 6)


def check_noise(its):
    """A sampler that draws noise of its own has the right mean and variance, and no derivative."""
    _planted(its, OWN_NOISE, seeds=(300,))
    _planted(its, [own_noise_at(latent) for latent in range(min(_latents(its), 8))], seeds=(301,))


CHECKS = {
    "it asks the sampler": check_asks,
    "right samplers pass": check_right,
    "right samplers pass with bad luck": check_luck,
    "known bugs are found": check_known,
    "small and local bugs are found": check_subtle,
    "noise of its own is found": check_noise,
}


EXERCISE = Exercise(
    lesson=5,
    title="Find the silent bug",
    task="""
    A public program has a sampler with the wrong spread. Its gradient check passes to nine digits, because
    the wrong thing is differentiated rightly; its loss falls; its samples are wrong, and nothing says so.
    Write the test that does. check_sampler is given a sampler, right or wrong, and decides: return True if
    z = sample(mu, logvar, eps) has the mean mu and the variance e^logvar in every latent, for every mu and
    logvar, and False if not (or an object with .ok, as the library's Verdict is). All three arguments are
    (n, latents), with several latents in one call; you choose their mu and logvar, and draw eps from rng.
    Your test must spare every right sampler, whatever the seed, and let no wrong one pass: not one that is
    wrong in one latent only, or for some logvar only, or that draws noise of its own in place of eps.
    """,
    functions=(gradcheck.check_sampler,),
    hints=(
        "Where to look: lesson 5, what a gradient check cannot see. Choose a few latents with different mu "
        "and logvar, of both signs, so that no two formulas agree; repeat them in n rows, draw eps, and "
        "measure the mean and the variance of each column of z.",
        "The formula: the mean of n draws has the standard error std / sqrt(n), their variance variance * "
        "sqrt(2 / n). A right sampler is off by 5 of them once in 1.7 million times, by 2 of them once in "
        "22. So a latent is wrong if it is off by more than 5. Ask `<= 5`, which is False for NaN. And "
        "call sample twice: same eps, same z.",
        "All but the last line:\n"
        "    mu, logvar = np.array([0.0, 1.0, -2.0, 0.5]), np.array([0.0, -2.0, 1.0, 1.5])\n"
        "    inputs = np.tile(mu, (n, 1)), np.tile(logvar, (n, 1)), rng.standard_normal((n, 4))\n"
        "    z = sample(*inputs)                                     # (n, 4)\n"
        "    repeats = np.array_equal(z, sample(*inputs))\n"
        "    variance = np.exp(logvar)\n"
        "    mean_is_right = np.abs(z.mean(axis=0) - mu) <= 5 * np.sqrt(variance / n)\n"
        "    spread_is_right = np.abs(z.var(axis=0) - variance) <= 5 * variance * np.sqrt(2 / n)",
    ),
    checks=CHECKS,
    wrong=WRONG,
    shows=(statistics._sampler_verdict,),
)
