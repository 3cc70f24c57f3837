"""Write a likelihood for real numbers

Write -log p(x|z) of a Gaussian likelihood, one number for each row of the batch, constants included. Then
write its derivatives with respect to mean and logvar, given dnll, the derivative of the loss with respect to
each nll.

logvar has one of four shapes: that of mean; (D,), one variance for each pixel; (1,) or (), one variance for
all pixels. A shared logvar counts for every pixel. Its derivative has the shape of logvar and is a sum over
all entries that share it. mean and dnll may have a leading axis of S samples; the results keep it.

Where to look: it is minus the log-density of lesson 1, with x and mean in place of z and mu. Let NumPy
broadcast logvar: first compute an array with the shape of mean, then sum over its last axis. For the backward
pass, differentiate one pixel's term with respect to mean and to logvar, and multiply by dnll[..., None].

The formula: nll = 1/2 sum_d (log 2 pi + logvar + (x - mean)^2 e^-logvar). Its derivatives: with respect to
mean, (mean - x) e^-logvar; with respect to logvar, 1/2 (1 - (x - mean)^2 e^-logvar).

What the forward pass repeats, the backward pass sums: compute dlogvar in the shape of mean, and sum it over
every axis along which logvar was repeated. For (D,) sum over all axes but the last. For () and (1,) sum over
all axes; the result for (1,) has one axis of size 1.
"""

from minivae import ops

from ..cases import normal, upstream
from . import Exercise, Part
from .gaussian_log_prob import DENSITY, HIDDEN
from .gaussian_log_prob import far as far_from_mu


def draws(title, backward=False):
    """A draw for each shape that logvar may have, with S samples and without; backward: dnll first."""
    shapes = {
        "": ("BD", "BD"),
        ", S samples": ("SBD", "SBD"),
        ", logvar (D,), one for each pixel": ("BD", "D"),
        ", logvar (1,), shared by all pixels": ("BD", "1"),
        ", logvar (), a number": ("BD", ""),
        ", a shared logvar, S samples": ("SBD", "D"),
    }
    return {
        title + words: normal(**{"dnll": mean[:-1]} if backward else {}, mean=mean, logvar=logvar, x="BD")
        for words, (mean, logvar) in shapes.items()
    }


def far():
    """Small and large variances; then x so far from mean that the density is 0 in double precision."""
    for note, args in far_from_mu():
        yield note, {"mean": args["mu"], "logvar": args["logvar"], "x": args["z"]}


FORWARD = Part(
    ops.gaussian_nll,
    returns="nll",
    walk="""
        squared = (x - mean)**2 * exp(-logvar)  # like mean
        each = log(2 * pi) + logvar + squared  # like mean
        nll = 0.5 * each.sum(axis=-1)
    """,
    slips=DENSITY.format(z="x", mu="mean")
    + f"""
    nll = 0.5 * (log(2 * pi) + (logvar + squared).sum(axis=-1))  # log 2 pi counts once, not for each pixel
    nll = 0.5 * ((log(2 * pi) + logvar).sum(axis=-1) + squared.sum(axis=-1))
    nll = 0.5 * (D * log(2 * pi) + logvar.sum(axis=-1) + squared.sum(axis=-1))
        # logvar, or log 2 pi, counts once, but it must count for each of the D pixels
    nll = ((x - mean)**2).sum(axis=-1)
    nll = 0.5 * ((x - mean)**2).sum(axis=-1)  # this is the squared error: variance and logarithms are missing
    each = 2 * (log(1 + exp(mean)) - x * mean)  # this is the Bernoulli likelihood with mean as its logits
    nll = exp(-0.5 * each.sum(axis=-1))  # this is the density itself: return minus its logarithm
    nll = -log(exp(-0.5 * each).sum(axis=-1))  # the densities are added: those of independent pixels multiply
    nll = -log(exp(-0.5 * each).prod(axis=-1) + SMALL)
    nll = -log(exp(-0.5 * each) + SMALL).sum(axis=-1)  # SMALL {HIDDEN}
    """,
    cases=draws("the nll of each row"),
    far={"far from the mean, small and large variances": far},
)

BACKWARD = Part(
    ops.gaussian_nll_backward,
    returns="dmean dlogvar",
    walk="""
        up = dnll[..., None]  # (..., B, 1)
        dmean = up * (mean - x) * exp(-logvar)  # like mean
        squared = (x - mean)**2 * exp(-logvar)  # like mean
        full = up * 0.5 * (1 - squared)  # like mean: the 1 comes from the term logvar
        shared = tuple(range(full.ndim - logvar.ndim))  # the axes along which logvar is repeated
        dlogvar = full.sum().reshape(logvar.shape) if logvar.size == 1 else full.sum(axis=shared)
    """,
    slips="""
    dmean = (mean - x) * exp(-logvar); full = 0.5 * (1 - squared)
    part = 0.5 * (1 - squared); \
    dlogvar = part.sum().reshape(logvar.shape) if logvar.size == 1 else part.sum(axis=shared)
        # dnll is missing: it is a factor of every derivative
    full = up * 0.5 * (exp(-logvar) - (x - mean)**2 * exp(-2 * logvar))
        # this is the derivative with respect to the variance, not logvar
    full = up * (1 - squared) * exp(-0.5 * logvar)  # this is the derivative with respect to std, not logvar
    dmean = up * (mean - x) * exp(-2 * logvar); full = up * (1 - (x - mean)**2 * exp(-2 * logvar))
        # logvar is read as log std: e^logvar is the variance itself
    dlogvar = full  # dlogvar has the shape of mean: sum over all entries that share one logvar
    dlogvar = full.mean().reshape(logvar.shape) if logvar.size == 1 else full.mean(axis=shared)
        # dlogvar is averaged over entries that share one logvar: their parts add
    dlogvar = full.sum(axis=0) if full.ndim > logvar.ndim else full
        # dlogvar is summed over the first axis only: sum over every axis along which logvar is repeated
    dlogvar = full[-1:].sum().reshape(logvar.shape) if logvar.size == 1 else full[-1:].sum(axis=shared)
        # dlogvar counts only the last sample or row: is there = instead of += in a loop?
    part = dnll.sum() * 0.5 * (1 - squared); \
    dlogvar = part.sum().reshape(logvar.shape) if logvar.size == 1 else part.sum(axis=shared)
    part = dnll.mean() * 0.5 * (1 - squared); \
    dlogvar = part.sum().reshape(logvar.shape) if logvar.size == 1 else part.sum(axis=shared)
        # dnll is multiplied after the sum over the batch: each row has its own dnll, so multiply first
    part = (up * squared).sum() if logvar.size == 1 else (up * squared).sum(axis=shared); \
    dlogvar = 0.5 * (dnll.sum() - part).reshape(logvar.shape)
        # the 1 in dlogvar counts once for each row: it must count for every pixel
    """,
    cases=draws("the derivatives", backward=True),
    far={"the derivatives at small and large variances": upstream("dnll", far, -1)},
)

EXERCISE = Exercise(
    __doc__, lesson=3, parts=(FORWARD, BACKWARD), borrowed=("nll", "nll_backward", "gaussian_log_prob")
)
