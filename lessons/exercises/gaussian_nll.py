"""Exercise: a Gaussian likelihood, constants and all, and its derivatives by mean and log-variance."""

import numpy as np

from minivae import gradcheck, ops

from .. import judging
from ..judging import Exercise, Failed, Wrong, over_samples
from .gaussian_log_prob import LOG_2PI, slips, terms

S, B, D = 3, 11, 4
SIZES = {"S": S, "B": B, "D": D}
SHARED = {"(D,), one for each pixel": (D,), "(1,), shared by all pixels": (1,), "(), a number": ()}


def example(samples=False):
    """dnll, mean, logvar like mean and x; samples=True puts S samples in front."""
    rng = np.random.default_rng(21)
    shape = (S, B, D) if samples else (B, D)
    mean, logvar = rng.normal(0.3, 1.0, shape), rng.normal(-0.5, 0.8, shape)
    return rng.normal(0.3, 1.0, shape[:-1]), mean, logvar, rng.normal(-0.2, 1.2, (B, D))


def shared_logvar(shape):
    """A log-variance that several entries share, always an array."""
    return np.asarray(np.random.default_rng(22).normal(-0.6, 0.5, shape))


def reference(mean, logvar, x):
    """Minus the logarithm of the textbook density of each pixel, added up."""
    variance = np.exp(logvar)
    density = np.exp(-((x - mean) ** 2) / (2 * variance)) / np.sqrt(2 * np.pi * variance)
    return -np.log(density).sum(axis=-1)


def slopes(dnll, mean, logvar, x):
    """dmean and dlogvar by the complex step of the reference."""
    return (
        gradcheck.complex_step(lambda a: np.sum(dnll * reference(a, logvar, x)), mean),
        gradcheck.complex_step(lambda a: np.sum(dnll * reference(mean, a, x)), logvar),
    )


# ------------------------------------------------------------------------------ checks


def check_nll(its):
    """A logvar for every pixel of every datum."""
    _values(its, *example()[1:])


def check_samples(its):
    """mean (S, B, D): one number for each sample and datum, all against the same x."""
    with judging.noted(f"mean has shape (S, B, D) = {(S, B, D)}, x {(B, D)}"):
        _values(its, *example(samples=True)[1:])


def _values(its, mean, logvar, x):
    every = np.broadcast_to(x, mean.shape)
    sums = {name: term.sum(axis=-1) for name, term in terms(every - mean, logvar, "(x-mean)").items()}
    sums |= {"x^2 e^-logvar": (every**2 * np.exp(-logvar)).sum(axis=-1), "x^2": (every**2).sum(axis=-1)}
    judging.expect(
        "nll",
        its.gaussian_nll(mean, logvar, x),
        reference(mean, logvar, x),
        SIZES,
        wrong=[*_guesses(mean, logvar, x), *over_samples("nll", reference, (mean, logvar), (x,))],
        terms=sums,
        formula={"log 2 pi": 0.5, "logvar": 0.5, "(x-mean)^2 e^-logvar": 0.5},
        inputs={"logvar": logvar, "mean": mean, "x": every},
    )


def _guesses(mean, logvar, x):
    """Pairs (sentence, nll): the listed mistakes, and other things that may stand in the formula."""
    every = np.broadcast_to(x, mean.shape)
    return [
        *judging.mistaken(WRONG, "gaussian_nll", mean, logvar, x),
        *slips(every, mean, logvar, "nll", ("x", "mean"), 0.5, "pixels"),
        (
            "this is the density p(x) itself: the negative of its logarithm is asked",
            np.exp(-_right(mean, logvar, x).sum(axis=-1)),
        ),
        (
            "mean goes through a sigmoid: it is the Gaussian's mean as it stands",
            _right(1 / (1 + np.exp(-mean)), logvar, x).sum(axis=-1),
        ),
        (
            "this is the Bernoulli likelihood with mean as its logits: a Gaussian is asked",
            (np.log1p(np.exp(mean)) - x * mean).sum(axis=-1),
        ),
    ]


def check_shared(its):
    """logvar (D,), (1,) and (): what several pixels share counts for each of them."""
    for samples in (False, True):
        _, mean, _, x = example(samples)
        for words, shape in SHARED.items():
            logvar = shared_logvar(shape)
            want = reference(mean, logvar, x)
            others = [
                ("logvar is averaged over the pixels and counted once", want - 0.5 * (D - 1) * logvar.mean()),
                ("logvar is averaged over the pixels", want - 0.5 * (logvar.sum() - logvar.mean())),
                (
                    "log 2 pi and logvar are added after the sum: they count once and not D times",
                    want - 0.5 * (D - 1) * (LOG_2PI + logvar.mean()),
                ),
                ("logvar is left out", want - 0.5 * np.broadcast_to(logvar, (D,)).sum()),
                ("logvar counts D times too often", want + 0.5 * (D - 1) * D * logvar.mean()),
                ("the mean of logvar stands for all pixels", reference(mean, logvar.mean(), x)),
                ("the first logvar stands for all pixels", reference(mean, logvar.flat[0], x)),
            ]
            if samples and shape == (D,):
                each = [reference(mean[s], logvar[s], x) for s in range(S)]
                others.append(("sample s takes entry s of logvar: pixel d takes entry d", np.array(each)))
            with judging.noted(f"logvar has shape {words}; mean {mean.shape}"):
                got = its.gaussian_nll(mean, logvar, x)
                judging.expect("nll", got, want, SIZES, wrong=[*_guesses(mean, logvar, x), *others])


def check_extremes(its):
    """Small and large variances; then x 60 standard deviations from mean."""
    logvar = np.array([-40.0, -25.0, -12.0, -6.0, 6.0, 12.0, 25.0, 40.0])[:, None] * np.array([1.0, 0.98])
    scaled = np.linspace(-1.6, 2.1, 16).reshape(8, 2)
    x = np.exp(logvar / 2) * scaled
    want = 0.5 * (LOG_2PI + logvar + scaled**2).sum(axis=-1)
    fixed = (f"log 2 pi is counted {D} times, and D is 2 here: take D from a shape", want + LOG_2PI)
    judging.expect(
        "nll",
        its.gaussian_nll(np.zeros((8, 2)), logvar, x),
        want,
        {"B": 8},
        wrong=[*_guesses(np.zeros((8, 2)), logvar, x), fixed],
        inputs={"logvar": logvar},
        note="with logvar from -40 to 40",
    )
    mean, distance = np.array([[0.5, -1.0], [1.5, 0.3], [0.2, -2.0]]), np.array([[60.0, 1], [-20, 2], [1, 2]])
    logvar = np.array([[0.3, -0.6], [1.0, -0.2], [-1.0, 0.7]])
    x = mean + np.exp(logvar / 2) * distance
    got = its.gaussian_nll(mean, logvar, x)
    want = 0.5 * (LOG_2PI + logvar + distance**2).sum(axis=-1)
    if np.shape(got) == want.shape and not np.isfinite(np.asarray(got, np.float64)).all():
        raise Failed(UNDERFLOW, [f"got {np.asarray(got).tolist()}, want {want.tolist()}"])
    judging.expect("nll", got, want, inputs={"the distance (x - mean) / std": distance})


def check_backward(its):
    """dmean and dlogvar, each (B, D)."""
    _slopes(its, *example())


def check_backward_samples(its):
    """dmean and dlogvar, each (S, B, D), from dnll (S, B)."""
    with judging.noted(f"mean and logvar have shape (S, B, D) = {(S, B, D)}, dnll {(S, B)}"):
        _slopes(its, *example(samples=True))


def _slopes(its, dnll, mean, logvar, x):
    names = ("dmean", "dlogvar")
    results = judging.values("gaussian_nll_backward", its.gaussian_nll_backward(dnll, mean, logvar, x), names)
    up, d, ones = dnll[..., None], mean - x, np.ones_like(mean)
    parts = {
        "(mean-x) e^-logvar": d * np.exp(-logvar),
        "(mean-x)^2 e^-logvar": d**2 * np.exp(-logvar),
        "": ones,
        "(mean-x)": d,
        "(mean-x)^2": d**2,
        "(mean-x)^2 e^(-logvar/2)": d**2 * np.exp(-logvar / 2),
        "(mean-x) e^(-logvar/2)": d * np.exp(-logvar / 2),
        "(mean-x)^2 e^(-2 logvar)": d**2 * np.exp(-2 * logvar),
        "(mean-x)^2 e^logvar": d**2 * np.exp(logvar),
        "(mean-x) e^logvar": d * np.exp(logvar),
        "(mean-x) e^(-2 logvar)": d * np.exp(-2 * logvar),
        "e^-logvar": np.exp(-logvar),
        "e^logvar": np.exp(logvar),
        "logvar": logvar,
    }
    factors = {f"dnll {name}".strip(): up * part for name, part in parts.items()}
    std, square = np.exp(logvar / 2), d**2 * np.exp(-logvar)
    others = [
        (BY_STD, (None, up * (1 - square) / std)),
        ("dnll is squared: it is a factor once", (up * up * d * np.exp(-logvar), None)),
        ("dnll is squared: it is a factor once", (None, 0.5 * up * up * (1 - square))),
        ("dlogvar has x^2 where (x-mean)^2 belongs", (None, 0.5 * up * (1 - x**2 * np.exp(-logvar)))),
        ("dlogvar has mean^2 where (x-mean)^2 belongs", (None, 0.5 * up * (1 - mean**2 * np.exp(-logvar)))),
        *((words, (a, None)) for words, a in _safe(up * d * np.exp(-logvar), logvar)),
        *((words, (None, a)) for words, a in _safe(-0.5 * up * square, logvar, 0.5 * up)),
    ]
    bare = {name or "1": parts[name] for name in ("(mean-x) e^-logvar", "(mean-x)^2 e^-logvar", "")}
    judging.expect_all(
        names,
        results,
        slopes(dnll, mean, logvar, x),
        SIZES,
        wrong=[*judging.mistaken(WRONG, "gaussian_nll_backward", dnll, mean, logvar, x), *others],
        terms=factors | bare,
        formulas=[{"dnll (mean-x) e^-logvar": 1.0}, {"dnll": 0.5, "dnll (mean-x)^2 e^-logvar": -0.5}],
        inputs={"logvar": logvar, "mean": mean},
    )


def check_backward_shared(its):
    """The derivative by a logvar that is shared is the sum over all entries that share it."""
    names = ("dmean", "dlogvar")
    for samples in (False, True):
        dnll, mean, _, x = example(samples)
        for words, shape in SHARED.items():
            logvar = shared_logvar(shape)
            with judging.noted(f"logvar has shape {words}; mean {mean.shape}"):
                results = its.gaussian_nll_backward(dnll, mean, logvar, x)
                judging.expect_all(
                    names,
                    judging.values("gaussian_nll_backward", results, names),
                    slopes(dnll, mean, logvar, x),
                    SIZES,
                    wrong=[
                        *judging.mistaken(WRONG, "gaussian_nll_backward", dnll, mean, logvar, x),
                        *_badly_shared(dnll, mean, logvar, x),
                    ],
                )


def _badly_shared(dnll, mean, logvar, x):
    """Pairs (sentence, (dmean, dlogvar)) of sums over the wrong entries."""
    square = (x - mean) ** 2 * np.exp(-logvar)
    each = 0.5 * (1 - square)  # (..., B, D)
    full = dnll[..., None] * each
    dmean = dnll[..., None] * (mean - x) * np.exp(-logvar)
    axes = tuple(range(full.ndim if logvar.size == 1 else full.ndim - 1))

    def sums(a):
        return a.sum(axis=axes).reshape(logvar.shape)

    def several():
        yield "dlogvar is averaged over the samples: S samples share one logvar, so they add", sums(full) / S
        yield (
            "dlogvar is averaged over the batch: all data use the same logvar, so they add",
            sums(full) / B,
        )
        yield (
            "dlogvar is averaged over the pixels: every pixel uses the same logvar, so they add",
            sums(full) / D,
        )
        yield (
            "dnll is multiplied after the sum over the data: each has a dnll of its own, multiply first",
            sums(each) * dnll.sum(),
        )
        yield (
            "dnll is averaged, and multiplied after the sum over the data: multiply first, then add",
            sums(each) * dnll.mean(),
        )
        yield "dnll is left out: what comes back from above is a factor of every derivative", sums(each)
        once = sums(-0.5 * dnll[..., None] * square)
        yield (
            "the 1 in dlogvar is counted once for each datum: every pixel has one",
            once + 0.5 * dnll.sum(),
        )
        yield "dlogvar lacks the 1", once
        yield "dlogvar has the wrong sign", -sums(full)
        yield "dlogvar counts only the first sample", sums(full[:1])
        yield "dlogvar counts only the last sample", sums(full[-1:])
        for axis in range(full.ndim - 1):
            first = np.take(full, [0], axis=axis)
            yield (
                "dlogvar counts only the first entry of an axis: all that share it add",
                sums(first),
            )

    return [(words, (dmean, np.asarray(dlogvar))) for words, dlogvar in several()]


def check_backward_extremes(its):
    """Derivatives at small and large variances, dnll chosen so that every entry counts."""
    logvar = np.array([-40.0, -25.0, -12.0, -6.0, 6.0, 12.0, 25.0, 40.0])[:, None] * np.ones(2)
    std, scaled = np.exp(logvar / 2), np.linspace(-1.6, 2.1, 16).reshape(8, 2)
    mean, x = np.zeros((8, 2)), std * scaled
    dnll = np.linspace(0.5, 1.7, 8)
    names, note = ("dmean", "dlogvar"), "with logvar from -40 to 40"
    results = its.gaussian_nll_backward(dnll * std[:, 0], mean, logvar, x)
    dmean, _ = judging.values("gaussian_nll_backward", results, names)
    want = -dnll[:, None] * scaled
    judging.expect(
        "dmean", dmean, want, {"B": 8}, inputs={"logvar": logvar}, wrong=_safe(want, logvar), note=note
    )
    results = its.gaussian_nll_backward(dnll, mean, logvar, x)
    want = 0.5 * dnll[:, None] * (1 - scaled**2)
    wrong = _safe(-0.5 * dnll[:, None] * scaled**2, logvar, 0.5 * dnll[:, None])
    judging.expect("dlogvar", results[1], want, {"B": 8}, inputs={"logvar": logvar}, wrong=wrong, note=note)


def _safe(part, logvar, rest=0.0):
    """Pairs (sentence, derivative) where a small number is added to the variance that divides `part`."""
    return [
        (
            f"about 1e-{power} is added to the variance, which is never 0: small ones are changed",
            part * np.exp(logvar) / (np.exp(logvar) + 10.0**-power) + rest,
        )
        for power in range(2, 17)
    ]


def check_ones(its):
    """Axes of size 1 stay."""
    mean, x = np.array([[0.7]]), np.array([[-0.4]])
    for shape in ((1, 1), (1,), ()):
        logvar = np.full(shape, -0.6)
        note = f"mean and x have shape (1, 1) and logvar {shape}"
        judging.ones("nll", nll := its.gaussian_nll(mean, logvar, x), (1,), note)
        judging.expect("nll", nll, reference(mean, logvar, x), note=note)
        dnll = np.array([1.3])
        names = ("dmean", "dlogvar")
        results = its.gaussian_nll_backward(dnll, mean, logvar, x)
        results = judging.values("gaussian_nll_backward", results, names)
        for name, got, want in zip(names, results, slopes(dnll, mean, logvar, x), strict=True):
            judging.ones(name, got, want.shape, note)
            judging.expect(name, got, want, note=note)


CHECKS = {
    "the nll of each datum": check_nll,
    "S samples": check_samples,
    "a logvar that is shared": check_shared,
    "small and large variances": check_extremes,
    "the derivatives": check_backward,
    "the derivatives, S samples": check_backward_samples,
    "the derivative by a shared logvar": check_backward_shared,
    "the derivatives at small and large variances": check_backward_extremes,
    "a single pixel": check_ones,
}
VALUE, SAMPLES, ONE_LOGVAR, EXTREMES, SLOPE, SLOPE_SAMPLES, SLOPE_SHARED, SLOPE_EXTREMES, ONES = CHECKS

BY_STD = "this is the derivative by the standard deviation: by logvar it is std / 2 times that"
UNDERFLOW = (
    "nll is not finite where x is 60 standard deviations from mean: the density is computed first, and it "
    "underflows to 0. Its logarithm, about -1800, is harmless: add logarithms, never take that of a density"
)


# ------------------------------------------------------------------------------ wrong answers


def _with(inner):
    """The sum over pixels of what `inner(mean, logvar, x)` gives for each."""
    return {"gaussian_nll": lambda mean, logvar, x: inner(mean, logvar, x).sum(axis=-1)}


def _right(mean, logvar, x):
    return 0.5 * (LOG_2PI + logvar + (x - mean) ** 2 * np.exp(-logvar))


def _once(mean, logvar, x):
    """logvar summed by itself, before it meets the pixels."""
    square = ((x - mean) ** 2 * np.exp(-logvar)).sum(axis=-1)
    return 0.5 * (mean.shape[-1] * LOG_2PI + np.atleast_1d(logvar).sum(axis=-1) + square)


def _back(dmean=None, dlogvar=None, together=ops.sum_to_shape):
    """The backward pass with another dmean or dlogvar (..., B, D), and another way to undo the broadcast."""

    def right_mean(up, mean, logvar, x):
        return up * (mean - x) * np.exp(-logvar)

    def right_logvar(up, mean, logvar, x):
        return up * 0.5 * (1 - (x - mean) ** 2 * np.exp(-logvar))

    def gaussian_nll_backward(dnll, mean, logvar, x):
        args = dnll[..., None], mean, logvar, x
        return (dmean or right_mean)(*args), together((dlogvar or right_logvar)(*args), np.shape(logvar))

    return {"gaussian_nll_backward": gaussian_nll_backward}


WRONG = (
    Wrong(
        _with(lambda mean, logvar, x: _right(mean, logvar, x) / mean.shape[-1]),
        VALUE,
        "nll is averaged over the D pixels: it is a sum, or the KL weighs D times too much beside it",
    ),
    Wrong(
        _with(lambda mean, logvar, x: (x - mean) ** 2),
        VALUE,
        "nll is the squared error and no density: the variance, the 1/2 and the logarithms are missing",
    ),
    Wrong(
        _with(lambda mean, logvar, x: _right(mean, logvar, x) - 0.5 * LOG_2PI),
        VALUE,
        "the constant log 2 pi is missing: nll is D/2 log 2 pi too small, and no density belongs to it",
    ),
    Wrong(
        _with(lambda mean, logvar, x: -_right(mean, logvar, x)),
        VALUE,
        "nll has the opposite sign: this is log p(x), and the negative log-likelihood is asked",
    ),
    Wrong(
        _with(lambda mean, logvar, x: 0.5 * (LOG_2PI + logvar + (x - mean) ** 2 * np.exp(-logvar / 2))),
        VALUE,
        "the square is divided by the standard deviation: (x - mean)^2 belongs to the variance, e^logvar",
    ),
    Wrong(
        {"gaussian_nll": _once},
        ONE_LOGVAR,
        "logvar is counted once for each datum: each of the D pixels that share it counts it",
    ),
    Wrong(
        _back(dmean=lambda up, mean, logvar, x: up * (x - mean) * np.exp(-logvar)),
        SLOPE,
        "dmean has x - mean, the wrong sign: nll grows as mean moves away from x, so it is mean - x",
    ),
    Wrong(
        _back(dmean=lambda up, mean, logvar, x: up * (mean - x)),
        SLOPE,
        "dmean lacks e^-logvar: this is right for variance 1 alone, where a small variance is strict",
    ),
    Wrong(
        _back(
            lambda up, mean, logvar, x: (mean - x) * np.exp(-logvar),
            lambda up, mean, logvar, x: 0.5 * (1 - (x - mean) ** 2 * np.exp(-logvar)),
        ),
        SLOPE,
        "dnll is left out: what comes back from above is a factor of every derivative",
    ),
    Wrong(
        _back(dlogvar=lambda up, mean, logvar, x: up * -0.5 * (x - mean) ** 2 * np.exp(-logvar)),
        SLOPE,
        "dlogvar lacks the 1: it comes from the term logvar, and without it the variance grows for ever",
    ),
    Wrong(
        _back(dlogvar=lambda up, mean, logvar, x: up * (1 - (x - mean) ** 2 * np.exp(-logvar))),
        SLOPE,
        "dlogvar is exactly twice what it should be: the 1/2 in front of the sum is lost on the way back",
    ),
    Wrong(
        _back(
            dlogvar=lambda up, mean, logvar, x: (
                up * 0.5 * (np.exp(-logvar) - (x - mean) ** 2 * np.exp(-2 * logvar))
            )
        ),
        SLOPE,
        "this is the derivative by the variance: by logvar it is e^logvar times that",
    ),
    Wrong(
        _back(together=lambda full, shape: full),
        SLOPE_SHARED,
        "dlogvar has shape (11, 4), expected (4,)",
    ),
    Wrong(
        _back(
            together=lambda full, shape: ops.sum_to_shape(full, shape) * (np.prod(shape) / full.size),
        ),
        SLOPE_SHARED,
        "dlogvar is averaged over the entries that share one logvar: all of them move with it, so they add",
    ),
)


EXERCISE = Exercise(
    lesson=3,
    title="Write a likelihood for real numbers, and its derivatives",
    task="""
    Write -log p(x) of a Gaussian likelihood, one number for each datum, constants included, and how a
    derivative dnll goes on to mean and logvar.

    logvar comes in four shapes: like mean; (D,), one variance per pixel; (1,) or (), one that all share. A
    shared one counts for every pixel; its derivative has its own shape and is a sum over all that share it.
    A leading axis of S samples, in mean and in dnll, stays.
    """,
    functions=(ops.gaussian_nll, ops.gaussian_nll_backward),
    hints=(
        "Where to look: it is minus the log-density of lesson 1, with x and mean for z and mu. Let NumPy "
        "repeat logvar: add everything up to an array like mean first, and sum over its last axis then. "
        "Backward: differentiate one pixel's term by mean and by logvar, times dnll[..., None].",
        "The formula: nll = 1/2 sum_d (log 2 pi + logvar + (x - mean)^2 e^-logvar). Its derivatives: by "
        "mean, (mean - x) e^-logvar; by logvar, 1/2 (1 - (x - mean)^2 e^-logvar).",
        "What was repeated forward is added up backward: compute dlogvar like mean, and sum it over every "
        "axis along which logvar was repeated. (D,): over all axes but the last. (), (1,): over all axes, "
        "and the latter keeps an axis of size 1.",
        "All but the last line:\n"
        "    squared = (x - mean) ** 2 * np.exp(-logvar)                 # like mean\n"
        "    each = 0.5 * (np.log(2 * np.pi) + logvar + squared)         # like mean\n"
        "and backward:\n"
        "    dmean = dnll[..., None] * (mean - x) * np.exp(-logvar)      # like mean\n"
        "    dlogvar = dnll[..., None] * 0.5 * (1 - squared)             # like mean still\n"
        "    if np.shape(logvar) == mean.shape[-1:]:\n"
        "        dlogvar = dlogvar.reshape(-1, mean.shape[-1]).sum(axis=0)\n"
        "    elif np.shape(logvar) != mean.shape:\n"
        "        dlogvar = dlogvar.sum().reshape(np.shape(logvar))",
    ),
    checks=CHECKS,
    wrong=WRONG,
    borrowed=("nll", "nll_backward", "sum_to_shape"),
    shows=(ops.sum_to_shape,),
)
