"""Exercise: the learner writes the test that sees what no gradient check sees, and spares what is right."""

from typing import NamedTuple

import numpy as np

from minivae import gradcheck
from minivae.bugs import GALLERY
from minivae.gradcheck import statistics

from .. import judging
from ..judging import Exercise, Failed, Wrong

N = 20_000  # draws: the standard error of a variance is 1 % of it
SEEDS = range(100, 120)
LUCK = 3.5  # standard errors that a right sampler may be off: 1 noise in 2000 is, by chance


class Planted(NamedTuple):
    """A sampler with a bug, and how it is seen.

    title   of the bug, as a part of a sentence
    sample  mu, logvar, eps -> z
    why     what the test lacks that lets it pass
    blind   says of the arguments that were tried whether they hide the bug, None where all would show it
    """

    title: str
    sample: object
    why: str
    blind: object = None


# ------------------------------------------------------------------------------ samplers


def right(mu, logvar, eps):
    """z = mu + std eps."""
    return mu + np.exp(0.5 * logvar) * eps


def by_precision(mu, logvar, eps):
    """The standard deviation as variance over standard deviation: other in the last digit."""
    return eps * (np.exp(logvar) / np.exp(0.5 * logvar)) + mu


def by_columns(mu, logvar, eps):
    """One latent after the other."""
    columns = [np.exp(logvar[:, i] / 2) * eps[..., i] + mu[:, i] for i in range(mu.shape[1])]
    return np.stack(columns, axis=-1)


def _with_std(std):
    """A sampler with another standard deviation, as a function of logvar."""

    def sample(mu, logvar, eps):
        with np.errstate(all="ignore"):
            return mu + std(logvar) * eps

    return sample


def _at(latent, change):
    """A sampler that is wrong in one latent."""

    def sample(mu, logvar, eps):
        z = right(mu, logvar, eps)
        z[..., latent] = change(mu, logvar, eps)[..., latent]
        return z

    return sample


def _off_by_latent(mu, logvar, eps):
    """The last latent's mean 0.1 std too small, and the first's, if it is another, too large."""
    off = np.zeros(mu.shape[1])
    off[0], off[-1] = 0.1, -0.1
    return right(mu, logvar, eps + off)


def _from_gallery(name):
    return GALLERY[name].patch["gaussian_sample"]


_own = np.random.default_rng(90)


def _own_noise(mu, logvar, eps):
    return right(mu, logvar, _own.standard_normal(np.shape(eps)))


# ------------------------------------------------------------------------------ what hides a bug


def _no_spread(mu, logvar):
    if not logvar.any():
        return (
            "it tries logvar = 0 alone, where std, variance and e^logvar are all 1: try other logvars as well"
        )
    return None


def _no_mean(mu, logvar):
    return None if mu.any() else "it tries mu = 0 alone: try other means as well"


def _no_negative(mu, logvar):
    if (logvar >= 0).all():
        return f"it tries logvar from {logvar.min():.3g} to {logvar.max():.3g}: try negative ones as well"
    return None


def _no_positive(mu, logvar):
    if (logvar <= 0).all():
        return f"it tries logvar from {logvar.min():.3g} to {logvar.max():.3g}: try positive ones as well"
    return None


def _no_negative_mean(mu, logvar):
    return "it tries no negative mu" if (mu >= 0).all() else None


def _small(mu, logvar):
    if np.max(np.abs(logvar)) < 0.5:
        return f"it tries logvar up to +-{np.max(np.abs(logvar)):.2g}, so near to 0 that much looks alike"
    return None


def _alike(mu, logvar):
    if logvar.shape[1] == 1:
        return "it tries a single latent: try several at once, with different logvar"
    if (logvar == logvar[:, :1]).all():
        return "all its latents have the same logvar: try several at once, with different ones"
    if np.array_equal(logvar, logvar[:, ::-1]):
        return "its logvars read the same from both ends: try other ones"
    return None


def _plain_last(mu, logvar):
    return "in its last latent logvar is 0, where that is right" if not logvar[:, -1].any() else None


SPREAD = "look at the variance of z, which must be e^logvar in each latent: one that is wrong is enough"
LEVEL = "look at the mean of z, which must be mu in each latent: one that is wrong is enough"
EACH = "compare each latent by itself: what is averaged or pooled over latents hides one of them"
SIZE = (
    f"with n = {N} draws the standard error of a variance is variance * sqrt(2 / n), 1 % of it: compare "
    "with that, not with a tolerance from the air"
)

KNOWN = (
    Planted("a sampler that returns zeros", lambda mu, logvar, eps: 0 * right(mu, logvar, eps), SPREAD),
    Planted("std = exp(logvar)", _from_gallery("std-is-exp-logvar"), SPREAD, _no_spread),
    Planted("std = logvar", _from_gallery("logvar-is-std"), SPREAD),
    Planted("z = mu, without the noise,", _from_gallery("decoder-sees-mu"), SPREAD),
    Planted("z = mu + eps, where logvar is not used", _with_std(np.ones_like), SPREAD, _no_spread),
    Planted("a forgotten mu", lambda mu, logvar, eps: right(0 * mu, logvar, eps), LEVEL, _no_mean),
    Planted("z = (mu + eps) std", lambda mu, logvar, eps: (mu + eps) * np.exp(logvar / 2), LEVEL, _no_spread),
    Planted("std = exp(-logvar / 2)", _with_std(lambda lv: np.exp(-lv / 2)), SPREAD, _no_spread),
    Planted("std = exp(logvar / 4)", _with_std(lambda lv: np.exp(lv / 4)), SPREAD, _no_spread),
)
SUBTLE = (
    Planted("a variance that is 10 % too large", _with_std(lambda lv: np.exp(lv / 2) * np.sqrt(1.1)), SIZE),
    Planted("a variance that is 10 % too small", _with_std(lambda lv: np.exp(lv / 2) * np.sqrt(0.9)), SIZE),
    Planted(
        "a mean that is off by a tenth of the standard deviation",
        lambda mu, logvar, eps: right(mu, logvar, eps + 0.1),
        f"with n = {N} draws the standard error of a mean is std / sqrt(n), 0.7 % of std: compare with that",
    ),
    Planted("std = 1 + logvar / 2, right for small logvar,", _with_std(lambda lv: 1 + lv / 2), SIZE, _small),
    Planted("std = softplus(logvar)", _with_std(lambda lv: np.log1p(np.exp(lv))), SIZE, _no_spread),
    Planted(
        "a logvar that is cut off below 0",
        _with_std(lambda lv: np.exp(np.maximum(lv, 0) / 2)),
        EACH,
        _no_negative,
    ),
    Planted(
        "a logvar that is cut off above 0",
        _with_std(lambda lv: np.exp(np.minimum(lv, 0) / 2)),
        EACH,
        _no_positive,
    ),
    Planted("|mu| for mu", lambda mu, logvar, eps: right(np.abs(mu), logvar, eps), LEVEL, _no_negative_mean),
    Planted(
        "the first latent's logvar for all of them",
        lambda mu, logvar, eps: right(mu, logvar[:, :1], eps),
        EACH,
        _alike,
    ),
    Planted(
        "the latents' logvars in reverse order",
        lambda mu, logvar, eps: right(mu, logvar[:, ::-1], eps),
        EACH,
        _alike,
    ),
    Planted(
        "the mean of the first latent 0.1 std too large, that of the last too small,",
        _off_by_latent,
        EACH,
    ),
    Planted(
        "std = exp(logvar) in the last latent only",
        _at(-1, lambda mu, logvar, eps: mu + np.exp(logvar) * eps),
        EACH,
        _plain_last,
    ),
    Planted(
        "a sampler that returns NaN where logvar is negative",
        _with_std(lambda lv: np.where(lv < 0, np.nan, np.exp(lv / 2))),
        "every comparison with NaN is False, so ask whether all is near, and not whether something is far",
        _no_negative,
    ),
)


# ------------------------------------------------------------------------------ asking a test


class Adjusted(np.random.Generator):
    """A generator whose normal noise has a mean and a variance that are off by so many standard errors.

    In its last column, or in every one.
    """

    def __init__(self, seed, mean, variance, every=False):
        super().__init__(np.random.PCG64(seed))
        self.mean, self.variance, self.every = mean, variance, every

    def standard_normal(self, size=None, dtype=np.float64, out=None):
        """Noise with exactly that mean and variance along its first axis."""
        e = np.array(super().standard_normal(size, dtype))
        n = e.shape[0] if e.ndim else 0
        if n < 100 or out is not None:
            return e
        part = e if e.ndim == 1 or self.every else e[..., -1]
        part[...] = (part - part.mean(axis=0)) / part.std(axis=0)
        part *= np.sqrt(1 + self.variance * np.sqrt(2 / n))
        part += self.mean / np.sqrt(n)
        return e

    def normal(self, loc=0.0, scale=1.0, size=None):
        """By the standard one."""
        return loc + scale * self.standard_normal(size)


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

    @property
    def mu(self):
        """Every mu that was tried in the latents of the first call: (rows, latents)."""
        return self._rows(0)

    @property
    def logvar(self):
        """Every logvar that was tried there."""
        return self._rows(1)

    def _rows(self, k):
        latents = self.seen[0][0].shape[1]
        return np.concatenate([np.unique(a[k], axis=0) for a in self.seen if a[k].shape[1] == latents])

    @property
    def draws(self):
        """How many different draws each latent had."""
        different = {eps.tobytes(): eps.size // eps.shape[-1] for _, _, eps in self.seen}
        return sum(different.values())


def ask(its, sample, rng, n=N):
    """What the test says of a sampler -> ok, and the Asked."""
    function, asked = its.raw("check_sampler"), Asked(sample)

    def face(mu, logvar, eps):
        return asked(mu, logvar, eps)

    face.__name__ = face.__qualname__ = "sample"
    try:
        with np.errstate(all="ignore"):
            result = function(face, rng, n)
    except Failed:
        raise
    except AssertionError as error:
        raise Failed(
            "check_sampler raises AssertionError where it should answer: return True or False, or a Verdict"
        ) from error
    except (Exception, SystemExit) as error:
        raise judging.stopped("check_sampler", error, function) from error
    return verdict(result), asked


def verdict(result):
    """True or False from what a test returns."""
    if result is None:
        raise Failed("check_sampler returns None: is the return missing?")
    ok = getattr(result, "ok", result)
    if isinstance(ok, np.ndarray) and ok.ndim == 0:
        ok = ok[()]
    if isinstance(ok, np.ndarray | list):
        raise Failed(f"check_sampler returns {np.size(ok)} verdicts: all of them together make one, .all()")
    if not isinstance(ok, bool | np.bool_):
        raise Failed(
            f"check_sampler returns {type(result).__name__}: return True or False, or an object with .ok, "
            "such as a Verdict"
        )
    return bool(ok)


def rng(seed):
    """A fresh generator."""
    return np.random.default_rng(seed)


# ------------------------------------------------------------------------------ checks


def check_asks(its):
    """It calls the sampler with standard normal noise from rng, as many draws as are asked for."""
    _, first = ask(its, right, rng(1))
    if not first.seen:
        raise Failed("it never calls sample: a test must look at what the sampler returns")
    _, again = ask(its, right, rng(1))
    _, other = ask(its, right, rng(2))
    noise, same, another = (asked.seen[0][2] for asked in (first, again, other))
    if not np.array_equal(noise, same):
        raise Failed(
            "it uses noise from somewhere else than rng: with the same seed the noise is another, and "
            "nobody can repeat what the test said"
        )
    if np.array_equal(noise, another):
        if not np.array_equal(first.seen[0][0], other.seen[0][0]):
            raise Failed("the noise is handed to sample as mu: the order is sample(mu, logvar, eps)")
        raise Failed(
            "its noise does not come from rng: with another rng it is the same. Draw eps with "
            "rng.standard_normal"
        )
    if first.draws < N:
        raise Failed(f"n = {N} draws are asked for, and it hands {first.draws} to sample: fewer see less")
    mean, variance, size = noise.mean(), noise.var(), noise.size
    if abs(mean) > 6 / np.sqrt(size) or abs(variance - 1) > 6 * np.sqrt(2 / size) + 1 / size:
        raise Failed(
            f"the noise that it hands to sample is not N(0, 1), its mean is {mean:.2g} and its variance "
            f"{variance:.2g}: take rng.standard_normal"
        )


def check_right(its):
    """No false alarm: the formula with 20 seeds, and the same written in two other ways.

    The seeds are fixed. A test that rejects 1 right sampler in 10 is found with 88 %, and bad luck that is
    made on purpose, in the next check, finds those that reject fewer.
    """
    bad = [seed for seed in SEEDS if not ask(its, right, rng(seed))[0]]
    if len(bad) == len(SEEDS):
        for bug in (*KNOWN, *SUBTLE):
            if ask(its, bug.sample, rng(SEEDS[0]))[0]:
                raise Failed(
                    f"it rejects a right sampler with every seed, and accepts {bug.title.rstrip(',')}"
                )
        words = "does it accept anything?"
        if ask(its, right, Adjusted(5, 0, 0, every=True))[0]:
            words = (
                "it accepts one only when the noise has the mean 0 and the variance 1 to the last digit. "
                "Allow for 4 to 5 standard errors, std / sqrt(n) of a mean and variance * sqrt(2 / n) of a "
                "variance"
            )
        raise Failed(f"it rejects a right sampler with every seed: {words}")
    if bad:
        raise Failed(
            f"it rejects a right sampler with {len(bad)} of {len(SEEDS)} seeds: allow for 4 to 5 standard "
            "errors, std / sqrt(n) of a mean and variance * sqrt(2 / n) of a variance",
            [f"np.random.default_rng({bad[0]}) is one of them, with n = {N}"],
        )
    for sample, words in (
        (by_precision, "std = exp(logvar) / exp(logvar / 2), the same but for rounding"),
        (by_columns, "one latent after the other, the same but for rounding"),
    ):
        for seed in SEEDS[:3]:
            if not ask(its, sample, rng(seed))[0]:
                raise Failed(f"it rejects a right sampler that is written in another way: {words}")


def check_luck(its):
    """No alarm where the noise is 3.5 standard errors off, in its mean or in its variance, of one latent.

    One of eight comparisons is, once in 270 seeds: a test that allows for less cries wolf as often.
    """
    for mean, variance, words in (
        (0, LUCK, "variance is 3.5 standard errors above 1"),
        (0, -LUCK, "variance is 3.5 standard errors below 1"),
        (LUCK, 0, "mean is 3.5 standard errors above 0"),
        (-LUCK, 0, "mean is 3.5 standard errors below 0"),
    ):
        if not ask(its, right, Adjusted(5, mean, variance))[0]:
            raise Failed(
                f"it rejects a right sampler when the noise of one latent has bad luck and its {words}, as "
                "happens in one of 270 runs with 8 comparisons: allow for 4 to 5 standard errors"
            )


def check_known(its):
    """The bugs that stand in public code."""
    _planted(its, KNOWN)


def check_subtle(its):
    """Bugs that are small, or show only for some arguments or in one latent."""
    _planted(its, SUBTLE)
    latents = ask(its, right, rng(1))[1].mu.shape[1]
    for latent in range(min(latents, 8)):
        _planted(its, in_one(latent), seeds=(202,))


def in_one(latent):
    """What is wrong by a tenth in one latent alone."""
    alone = f"in latent {latent} alone"
    wide = _at(latent, lambda mu, logvar, eps: right(mu, logvar, eps * np.sqrt(1.1)))
    high = _at(latent, lambda mu, logvar, eps: right(mu, logvar, eps + 0.1))
    return (
        Planted(
            f"a variance that is 10 % too large {alone}", wide, f"{EACH}, and so does a tolerance of one size"
        ),
        Planted(
            f"a mean that is 0.1 std too large {alone}", high, f"{EACH}, and so does a tolerance of one size"
        ),
    )


def _planted(its, bugs, seeds=(200, 201)):
    for bug in bugs:
        for seed in seeds:
            ok, asked = ask(its, bug.sample, rng(seed))
            if ok:
                why = bug.blind(asked.mu, asked.logvar) if bug.blind else None
                raise Failed(
                    f"your test lets {bug.title} pass: {why or bug.why}",
                    [f"it tries mu = {_few(asked.mu)} and logvar = {_few(asked.logvar)}, with n = {N}"],
                )


def _few(values):
    found = np.unique(values)
    return ", ".join(f"{v:.3g}" for v in found[:6]) + ", ..." * (len(found) > 6)


def check_noise(its):
    """A sampler that draws noise of its own has the right mean and variance, and no derivative."""
    if ask(its, _own_noise, rng(300))[0]:
        raise Failed(
            "your test lets a sampler pass that draws noise of its own and does not use eps: mean and "
            "variance are right then, but no derivative is. Call it twice with the same eps, and z must be "
            "the same"
        )


CHECKS = {
    "it asks the sampler": check_asks,
    "right samplers pass": check_right,
    "right samplers pass with bad luck": check_luck,
    "known bugs are found": check_known,
    "small and local bugs are found": check_subtle,
    "noise of its own is found": check_noise,
}
ASKS, RIGHT, UNLUCKY, BUGS, SMALL, NOISE = CHECKS


# ------------------------------------------------------------------------------ wrong answers


MU = np.array([0.0, 1.0, -2.0, 0.5])
LOGVAR = np.array([0.0, -2.0, 1.0, 1.5])


def _test(
    mu=MU, logvar=LOGVAR, allowed=5.0, far=None, draw=None, means=True, variances=True, twice=True, answer=all
):
    """A test with its choices: the right one, where nothing is changed.

    allowed  standard errors
    far      (measured, wanted, standard error) -> which are too far
    draw     (rng, n, latents) -> eps
    """
    far = far or (lambda got, want, error: ~(np.abs(got - want) <= allowed * error))
    draw = draw or (lambda rng, n, latents: rng.standard_normal((n, latents)))

    def check_sampler(sample, rng, n=100_000):
        eps = draw(rng, n, len(mu))
        shape = eps.shape
        given = np.broadcast_to(mu, shape).copy(), np.broadcast_to(logvar, shape).copy(), eps
        z = sample(*given)
        variance, count = np.exp(logvar), len(eps)
        good = []
        if means:
            good.append(~far(z.mean(axis=0), mu, np.sqrt(variance / count)))
        if variances:
            good.append(~far(z.var(axis=0), variance, variance * np.sqrt(2 / count)))
        if twice and not np.array_equal(z, sample(*given), equal_nan=True):
            return False
        return answer(np.concatenate(good))

    return {"check_sampler": check_sampler}


def _all(good):
    return bool(np.all(good))


def _pooled(sample, rng, n=100_000):
    mu, logvar, eps = np.tile(MU, (n, 1)), np.tile(LOGVAR, (n, 1)), rng.standard_normal((n, 4))
    z = sample(mu, logvar, eps)
    want = np.exp(LOGVAR)
    mean, variance = (z - mu).mean(), z.var(axis=0).mean()
    right_mean = abs(mean) <= 5 * np.sqrt(want.mean() / (4 * n))
    right_variance = abs(variance - want.mean()) <= 5 * np.sqrt(2 * (want**2).sum() / n) / 4
    return bool(right_mean and right_variance and np.array_equal(z, sample(mu, logvar, eps)))


def _against_std(sample, rng, n=100_000):
    mu, logvar, eps = np.tile(MU, (n, 1)), np.tile(LOGVAR, (n, 1)), rng.standard_normal((n, 4))
    z, std = sample(mu, logvar, eps), np.exp(LOGVAR)
    return bool(np.all(np.abs(z.std(axis=0) - std) <= 5 * std / np.sqrt(2 * n)))


def _to_the_digit(sample, rng, n=100_000):
    mu, logvar, eps = np.tile(MU, (n, 1)), np.tile(LOGVAR, (n, 1)), rng.standard_normal((n, 4))
    return bool(np.array_equal(sample(mu, logvar, eps), mu + np.exp(0.5 * logvar) * eps))


def _asserts(sample, rng, n=100_000):
    assert not _test(answer=_all)["check_sampler"](sample, rng, n), "the sampler is wrong"


def _nan_slips(got, want, error):
    return np.abs(got - want) > 5 * error


_global = np.random.default_rng(91)

WRONG = (
    Wrong({"check_sampler": lambda sample, rng, n=100_000: True}, ASKS, "it never calls sample"),
    Wrong({"check_sampler": _asserts}, ASKS, "raises AssertionError where it should answer"),
    Wrong(_test(answer=lambda good: None), ASKS, "check_sampler returns None: is the return missing?"),
    Wrong(
        _test(answer=lambda good: good),
        ASKS,
        "check_sampler returns 8 verdicts: all of them together make one",
    ),
    Wrong(
        _test(answer=_all, draw=lambda rng, n, latents: _global.standard_normal((n, latents))),
        ASKS,
        "it uses noise from somewhere else than rng: with the same seed the noise is another",
    ),
    Wrong(
        _test(
            answer=_all, draw=lambda rng, n, latents: np.random.default_rng(0).standard_normal((n, latents))
        ),
        ASKS,
        "its noise does not come from rng: with another rng it is the same",
    ),
    Wrong(
        _test(answer=_all, draw=lambda rng, n, latents: rng.random((n, latents))),
        ASKS,
        "the noise that it hands to sample is not N(0, 1)",
    ),
    Wrong(
        _test(answer=_all, draw=lambda rng, n, latents: rng.standard_normal((500, latents))),
        ASKS,
        "n = 20000 draws are asked for, and it hands 500 to sample",
    ),
    Wrong(
        _test(answer=lambda good: False),
        RIGHT,
        "it rejects a right sampler with every seed: does it accept anything?",
    ),
    Wrong(
        {"check_sampler": _against_std},
        RIGHT,
        "it rejects a right sampler with every seed, and accepts std = exp(logvar)",
    ),
    Wrong(_test(answer=_all, allowed=2.0), RIGHT, "of 20 seeds: allow for 4 to 5 standard errors"),
    Wrong(
        {"check_sampler": _to_the_digit}, RIGHT, "it rejects a right sampler that is written in another way"
    ),
    Wrong(
        _test(answer=_all, allowed=3.4),
        UNLUCKY,
        "it rejects a right sampler when the noise of one latent has bad luck and its variance is 3.5 "
        "standard",
    ),
    Wrong(
        _test(answer=lambda good: True),
        BUGS,
        "your test lets a sampler that returns zeros pass: look at the variance",
    ),
    Wrong(
        _test(answer=_all, logvar=np.zeros(4)),
        BUGS,
        "your test lets std = exp(logvar) pass: it tries logvar = 0 alone, where std, variance and "
        "e^logvar are all 1",
    ),
    Wrong(
        _test(answer=_all, variances=False),
        BUGS,
        "your test lets std = exp(logvar) pass: look at the variance of z, which must be e^logvar",
    ),
    Wrong(_test(answer=_all, means=False), BUGS, "your test lets a forgotten mu pass: look at the mean of z"),
    Wrong(
        _test(answer=_all, mu=np.zeros(4)), BUGS, "your test lets a forgotten mu pass: it tries mu = 0 alone"
    ),
    Wrong(
        _test(answer=_all, far=_nan_slips),
        SMALL,
        "your test lets a sampler that returns NaN where logvar is negative pass: every comparison",
    ),
    Wrong(
        _test(
            answer=_all,
            far=lambda got, want, error: ~(np.abs(got - want) <= 0.3 * np.maximum(np.abs(want), 0.5)),
        ),
        SMALL,
        "your test lets a variance that is 10 % too large pass: with n = 20000 draws",
    ),
    Wrong(
        _test(answer=_all, logvar=np.array([0.0, 2.0, 1.0, 1.5])),
        SMALL,
        "your test lets a logvar that is cut off below 0 pass: it tries logvar from 0 to 2: try negative "
        "ones as well",
    ),
    Wrong(
        _test(answer=_all, mu=np.array([1.5]), logvar=np.array([-1.0])),
        SMALL,
        "your test lets a logvar that is cut off above 0 pass: it tries logvar from -1 to -1: try positive "
        "ones",
    ),
    Wrong(
        {"check_sampler": _pooled},
        SMALL,
        "your test lets the latents' logvars in reverse order pass: compare each latent by itself",
    ),
    Wrong(
        _test(answer=_all, twice=False),
        NOISE,
        "your test lets a sampler pass that draws noise of its own and does not use eps",
    ),
)


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
