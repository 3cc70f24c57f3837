"""Exercise: a Gaussian likelihood, constants and all, and its derivatives by mean and log-variance."""

import numpy as np

from minivae import gradcheck, ops

from .. import judging
from ..judging import Exercise
from ..slips import gaussian_nll as slips
from ..slips.gaussian_log_prob import LOG_2PI, UNDERFLOW, terms
from ..slips.gaussian_nll import WRONG
from .gaussian_log_prob import far, spreads

S, B, D = 3, 11, 4
SIZES = {"S": S, "B": B, "D": D}
NAMES = ("dmean", "dlogvar")
SHARED = {"(D,), one for each pixel": (D,), "(1,), shared by all pixels": (1,), "(), a number": ()}


def example(samples=False):
    """dnll, mean, logvar like mean and x; samples=True puts S samples in front."""
    rng = np.random.default_rng(21)
    shape = (S, B, D) if samples else (B, D)
    mean, logvar = rng.normal(0.3, 1.0, shape), rng.normal(-0.5, 0.8, shape)
    return rng.normal(0.3, 1.0, shape[:-1]), mean, logvar, rng.normal(-0.2, 1.2, (B, D))


def shared_logvars():
    """Log-variances that several entries share, always arrays, and how that is said."""
    for words, shape in SHARED.items():
        yield f"logvar has shape {words}", np.asarray(np.random.default_rng(22).normal(-0.6, 0.5, shape))


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
    judging.expect(
        "nll",
        its.gaussian_nll(mean, logvar, x),
        reference(mean, logvar, x),
        SIZES,
        wrong=slips.of_nll(mean, logvar, x) + slips.mixed(mean, logvar, x),
        terms=terms(every, mean, logvar, ("x", "mean")),
        formula={"log 2 pi": 0.5, "logvar": 0.5, "(x-mean)^2 e^-logvar": 0.5},
        inputs={"logvar": logvar, "mean": mean, "x": every},
    )


def check_shared(its):
    """logvar (D,), (1,) and (): what several pixels share counts for each of them."""
    for samples in (False, True):
        for note, logvar in shared_logvars():
            _, mean, _, x = example(samples)
            with judging.noted(f"{note}; mean {mean.shape}"):
                got, want = its.gaussian_nll(mean, logvar, x), reference(mean, logvar, x)
                wrong = slips.of_nll(mean, logvar, x) + slips.badly_shared(mean, logvar, x)
                judging.expect("nll", got, want, SIZES, wrong=wrong)


def check_extremes(its):
    """Small and large variances; then x 60 standard deviations from mean."""
    logvar, distance, total = spreads()
    mean, x = np.zeros_like(logvar), np.exp(logvar / 2) * distance
    fixed = (f"log 2 pi is counted {D} times, and D is 2 here: take D from a shape", 0.5 * total + LOG_2PI)
    judging.expect(
        "nll",
        its.gaussian_nll(mean, logvar, x),
        0.5 * total,
        {"B": 8},
        wrong=[fixed, *slips.of_nll(mean, logvar, x)],
        inputs={"logvar": logvar},
        note="with logvar from -40 to 40",
    )
    mean, logvar, distance = far()
    got = its.gaussian_nll(mean, logvar, mean + np.exp(logvar / 2) * distance)
    want = 0.5 * (LOG_2PI + logvar + distance**2).sum(axis=-1)
    judging.finite(got, want, UNDERFLOW.format("nll", "x", "mean"))
    judging.expect("nll", got, want, inputs={"the distance (x - mean) / std": distance})


def check_backward(its):
    """dmean and dlogvar, each (B, D)."""
    _slopes(its, *example())


def check_backward_samples(its):
    """dmean and dlogvar, each (S, B, D), from dnll (S, B)."""
    with judging.noted(f"mean and logvar have shape (S, B, D) = {(S, B, D)}, dnll {(S, B)}"):
        _slopes(its, *example(samples=True))


def _slopes(its, *args):
    judging.expect_all(
        NAMES,
        _backward(its, *args),
        slopes(*args),
        SIZES,
        wrong=slips.of_slopes(*args),
        terms=slips.slope_terms(*args),
        formulas=[{"dnll (mean-x) e^-logvar": 1.0}, {"dnll": 0.5, "dnll (mean-x)^2 e^-logvar": -0.5}],
        inputs={"mean": args[1], "logvar": args[2]},
    )


def _backward(its, *args):
    return judging.values("gaussian_nll_backward", its.gaussian_nll_backward(*args), NAMES)


def check_backward_shared(its):
    """The derivative by a logvar that is shared is the sum over all entries that share it."""
    for samples in (False, True):
        for note, logvar in shared_logvars():
            dnll, mean, _, x = example(samples)
            args = dnll, mean, logvar, x
            with judging.noted(f"{note}; mean {mean.shape}"):
                wrong = judging.mistaken(WRONG, "gaussian_nll_backward", *args) + slips.badly_added(*args)
                judging.expect_all(NAMES, _backward(its, *args), slopes(*args), SIZES, wrong=wrong)


def check_backward_extremes(its):
    """Derivatives at small and large variances, dnll chosen so that every entry of dmean counts."""
    logvar = np.outer([-40.0, -25.0, -12.0, -6.0, 6.0, 12.0, 25.0, 40.0], [1.0, 1.0])
    std, distance, dnll = np.exp(logvar / 2), spreads()[1], np.linspace(0.5, 1.7, 8)
    mean, x, up = np.zeros_like(std), std * distance, dnll[:, None]
    dmean, dlogvar = -up * distance, 0.5 * up * (1 - distance**2)
    for k, factor, want, rest in ((0, std[:, 0], dmean, 0.0), (1, 1.0, dlogvar, 0.5 * up)):
        got = _backward(its, dnll * factor, mean, logvar, x)[k]
        wrong, inputs = slips.safe(want, logvar, rest), {"logvar": logvar}
        note = "with logvar from -40 to 40"
        judging.expect(NAMES[k], got, want, {"B": 8}, inputs=inputs, wrong=wrong, note=note)


def check_ones(its):
    """Axes of size 1 stay."""
    mean, x, dnll = np.array([[0.7]]), np.array([[-0.4]]), np.array([1.3])
    for shape in ((1, 1), (1,), ()):
        logvar = np.full(shape, -0.6)
        results = its.gaussian_nll(mean, logvar, x), *_backward(its, dnll, mean, logvar, x)
        wants = reference(mean, logvar, x), *slopes(dnll, mean, logvar, x)
        note = f"mean and x have shape (1, 1) and logvar {shape}"
        for name, got, want in zip(("nll", *NAMES), results, wants, strict=True):
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
