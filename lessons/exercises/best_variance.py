"""Choose the variance that fits best

A Gaussian likelihood has one variance v for all pixels of all images. Write best_variance(mean, x): the v
that minimizes the mean nll over the batch. Then write optimal_nll(mean, x): the nll of each image at this v,
in nats, constants included. x is (B, D); mean is (B, D), or (S, B, D) with S samples for each image. In that
case all samples share the one v.

Where to look: lesson 17, section 2. The mean nll as a function of v is D/2 log(2 pi v) + (mean of |x - m|^2)
/ (2 v). Where is its derivative 0? optimal_nll may call best_variance.

The formula: v is the mean of (x - m)^2 over everything: pixels, images and samples. The nll of one image is
D/2 log(2 pi v) + |x - m|^2 / (2 v), with its own squared error |x - m|^2, a sum over its D pixels.
"""

import numpy as np

from minivae import ops

from ..cases import normal
from . import Exercise, Part


def draws(title):
    """Draws with S samples and without."""
    return {title: normal(mean="BD", x="BD"), f"{title}, S samples": normal(mean="SBD", x="BD")}


def far():
    """Errors of very different sizes: tiny and huge ones, and one image that is predicted well."""
    x = np.array([[0.0, 1.0, 0.5], [1.0, 1.0, 0.0], [0.2, 0.1, 0.9], [0.0, 0.0, 1.0]])
    off = np.array([[1.0, -2.0, 0.5], [0.3, 0.1, -0.4], [1e-3, 2e-3, -1e-3], [-1.5, 0.7, 2.0]])
    for size in (1e-6, 1e6):
        yield f"errors of the size {size:g}", {"mean": size * (x + off), "x": size * x}


def best_variance(mean, x):
    """The variance v that minimizes the mean nll of all images, one number.

    mean (B, D) or (S, B, D), x (B, D); v is shared by all pixels, images and samples.
    """
    return np.mean((x - mean) ** 2)


def optimal_nll(mean, x):
    """-log N(x; mean, v I) at the v that minimizes the mean nll, constants included, in nats.

    mean (B, D) or (S, B, D), x (B, D) -> (B,) or (S, B).
    """
    return ops.gaussian_nll(mean, np.log(best_variance(mean, x)), x)


VARIANCE = Part(
    best_variance,
    returns="v",
    walk="""
        v = ((x - mean)**2).mean()  # a number
    """,
    slips="""
    v = ((x - mean)**2).sum(axis=-1).mean()  # D is forgotten: v is the mean over the pixels as well
    v = ((x - mean)**2).sum()  # v is the sum of all squares: divide by their number
    v = ((x - mean)**2).sum() / x.size  # the samples are summed: v is the mean over them as well
    v = ((x - mean)**2).sum() / len(mean)  # the sum is divided by the length of the first axis only
    v = sqrt(((x - mean)**2).mean())  # this is the standard deviation: v is its square
    v = log(((x - mean)**2).mean())  # this is log v
    v = (x - mean).std()  # this is the standard deviation around the mean error: v is the mean of (x - m)^2
    v = exp(log((x - mean)**2).mean())
        # the logarithms are averaged: the mean is inside the logarithm, log of the mean of the squares
    v = ((x - mean).mean())**2  # the mean error is squared: average the squares
    v = (x - mean).var()  # the mean error is subtracted before squaring: v is the mean of (x - m)^2
    v = x.var()  # this is the variance of x, without the prediction: v is the mean of (x - m)^2
    v = mean.var()  # this is the variance of the means: v is the mean of (x - m)^2
    v = abs(x - mean).mean()  # this is the mean absolute error, the best b of a Laplace likelihood
    v = abs(x - mean).mean()**2  # the mean absolute error is squared: average the squares
    v = ((x - mean)**2).mean() / 2  # v is halved: the factors 1/2 of the nll cancel
    v = ((x - mean)**2).sum() / maximum(mean.size - 1, 1)
        # it is divided by n - 1: the minimum of the nll has n
    v = ((x - mean)**2).mean(axis=-1)  # there is one v for each image: it is shared by all
    v = ((x - mean)**2).mean(axis=0)  # the mean runs over the first axis only: v is one number
    v = ((x - mean)**2).mean(axis=tuple(range(mean.ndim - 1)))  # there is one v for each pixel: it is shared
    v = np.median((x - mean)**2)  # this is the median of the squares
    v = ((x - mean)**2).mean() + SMALL  # SMALL is added to v: that changes small variances
    v = maximum(((x - mean)**2).mean(), SMALL)  # v is cut off at SMALL: it may be smaller
    v = minimum(((x - mean)**2).mean(), 1)  # v is cut off at 1: it may be larger
    v = 1 / ((x - mean)**2).mean()  # this is 1 / v, the precision
    """,
    cases=draws("the variance"),
    far={"the variance of small and large errors": far},
)

NLL = Part(
    optimal_nll,
    returns="nll",
    walk="""
        squares = ((x - mean)**2).sum(axis=-1)  # (B,) or (S, B)
        D = x.shape[-1]
        v = ((x - mean)**2).mean()  # a number
        constant = 0.5 * D * log(2 * pi * v)  # of D pixels
        nll = constant + squares / (2 * v)
    """,
    slips="""
    constant = 0.5 * log(2 * pi * v)  # log(2 pi v) counts once: it counts for each of the D pixels
    constant = 0.5 * D * log(v)  # the constant D/2 log 2 pi is missing
    constant = 0.5 * (log(2 * pi) + D * log(v))  # log 2 pi counts once: it counts for each of the D pixels
    constant = 0.5 * (D * log(2 * pi) + log(v))  # log v counts once: it counts for each of the D pixels
    constant = D * log(2 * pi * v)  # the factor 1/2 of the logarithm is missing
    constant = -0.5 * D * log(2 * pi * v)  # the logarithm has the wrong sign
    constant = 0.5 * D * log(2 * pi * sqrt(v))  # the logarithm has the standard deviation: it has v
    constant = 0.5 * D * log(2 * pi) + D * log(v)  # D log v lacks the 1/2: log std is 1/2 log v
    nll = constant + 0.5 * D + 0 * squares
    nll = constant + 0.5 * D
        # this is the mean nll of the batch, D/2 (log(2 pi v) + 1): each image has its own squared error
    nll = constant + squares / v  # the factor 1/2 of the squared error is missing
    nll = constant + squares / 2  # the squared error is not divided by v
    nll = constant + squares / (2 * v**2)  # the squared error is divided by v^2
    nll = constant + squares / (2 * sqrt(v))  # the squared error is divided by the standard deviation
    nll = constant + squares / (2 * D * v)  # the squared error is averaged over the pixels: it is their sum
    nll = squares / (2 * v)  # the term D/2 log(2 pi v) is missing
    nll = constant - squares / (2 * v)  # the squared error has the wrong sign
    nll = -constant - squares / (2 * v)  # this is log p(x): the nll is minus that
    nll = squares  # this is the squared error: the variance and its logarithm are missing
    nll = 0.5 * (log(2 * pi * (x - mean)**2).sum(axis=-1) + D)
        # every pixel has a variance of its own, its squared error: v is the mean of all squares
    nll = 0.5 * squares  # this is half the squared error: the variance and its logarithm are missing
    nll = 0.5 * D * log(2 * pi) + 0.5 * squares  # this is the nll at v = 1
    nll = (constant + squares / (2 * v)) / D  # it is divided by D: the nll is a sum over the pixels
    v = (((x - mean)**2).mean(axis=-1)); nll = 0.5 * D * log(2 * pi * v) + 0.5 * D
        # each image has a v of its own: it is shared by all
    v = exp(log((x - mean)**2).mean())
        # the logarithms are averaged: v is the mean of the squares, and then its logarithm is taken
    v = ((x - mean)**2).sum(axis=-1).mean()  # D is forgotten in v: it is the mean over the pixels as well
    v = ((x - mean)**2).sum() / x.size  # in v the samples are summed: v is the mean over them as well
    v = sqrt(((x - mean)**2).mean())  # the standard deviation is used where v belongs
    v = (x - mean).var()  # the mean error is subtracted in v: v is the mean of (x - m)^2
    v = x.var()  # v is the variance of x, without the prediction
    v = ((x - mean)**2).mean() + SMALL  # SMALL is added to v: that changes small variances
    v = maximum(((x - mean)**2).mean(), SMALL)  # v is cut off at SMALL: it may be smaller
    """,
    cases=draws("the nll at that variance"),
    far={"the nll of small and large errors": far},
)

EXERCISE = Exercise(__doc__, lesson=17, parts=(VARIANCE, NLL), borrowed=("nll",))
