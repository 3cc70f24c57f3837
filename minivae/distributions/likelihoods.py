"""Likelihoods p(x|z): -log p(x|z) as a function of the decoder's outputs, its mean and its samples.

Every nll includes its constants, so that the numbers are in nats and comparable.
"""

import math

import numpy as np

from .. import arguments
from .priors import absolute, sign

VARIANCES = ("fixed", "shared", "pixel", "optimal")


class Likelihood:
    """Base class: x is any real number, its mean is the decoder's output, and there are no parameters."""

    support = (-math.inf, math.inf)

    def __init__(self, ops):
        self.ops = ops

    def parameters(self, data_dim, dtype):
        """Its own learned arrays by name: none."""
        return {}

    def mean(self, mean):
        """E[x|z]: the decoder's output."""
        return mean

    def bias_for_mean(self, mean):
        """The output bias at which the decoder predicts `mean`."""
        return mean


class Bernoulli(Likelihood):
    """p(x|z) = prod_d p_d^x_d (1 - p_d)^(1 - x_d), with p = sigmoid(logits).

    It is a probability only for x in {0, 1}. For grey pixels in (0, 1) the same formula is a cross-entropy: a
    usable loss but not a likelihood, and not comparable with other losses.
    """

    support = (0.0, 1.0)

    def nll(self, logits, x, params):
        """-log p(x|z) -> (B,) or (S, B), nats."""
        return self.ops.bernoulli_nll(logits, x)

    def nll_backward(self, dnll, logits, x, params):
        """dnll (B,) or (S, B) -> dlogits, and no derivatives of its own parameters."""
        return self.ops.bernoulli_nll_backward(dnll, logits, x), {}

    def mean(self, logits):
        """E[x|z] = sigmoid(logits)."""
        return self.ops.activation_forward(logits, "sigmoid")

    def sample(self, logits, params, rng):
        """x ~ p(x|z): zeros and ones like logits."""
        mean = self.mean(logits)
        return (rng.random(mean.shape) < mean).astype(mean.dtype)

    def bias_for_mean(self, mean):
        """The output bias at which the decoder predicts `mean`: its logit, clipped to stay finite."""
        p = np.clip(mean, 1e-3, 1 - 1e-3)
        return np.log(p / (1 - p))


class Gaussian(Likelihood):
    """p(x|z) = N(mean, exp(logvar)), with the variance outside the decoder network.

    variance  "fixed": exp(logvar); "shared": one learned log-variance for all pixels, initially `logvar`;
              "pixel": one learned log-variance per pixel; "optimal": the mean squared error of the batch,
              which is the maximum-likelihood variance. It is not learned, so x cannot be drawn.
              (Rybkin et al. 2021)
    """

    def __init__(self, ops, variance="fixed", logvar=0.0):
        super().__init__(ops)
        self.variance = arguments.one_of("variance", variance, VARIANCES)
        self.logvar = arguments.number("logvar", logvar)

    def parameters(self, data_dim, dtype):
        """The learned log-variance, if there is one."""
        sizes = {"shared": 1, "pixel": data_dim}
        if self.variance not in sizes:
            return {}
        return {"output.logvar": np.full(sizes[self.variance], self.logvar, dtype)}

    def nll(self, mean, x, params):
        """-log p(x|z) -> (B,) or (S, B), nats."""
        return self.ops.gaussian_nll(mean, self._logvar(mean, params, x), x)

    # at the optimal variance v = mean((x - mean)^2), shared by all entries, logvar also depends on the mean:
    #   dlogvar/dmean = 2 (mean - x) / (n v), with n entries
    def nll_backward(self, dnll, mean, x, params):
        """dnll (B,) or (S, B) -> dmean, and the derivative of the log-variance if it is learned."""
        logvar = self._logvar(mean, params, x)
        dmean, dlogvar = self.ops.gaussian_nll_backward(dnll, mean, logvar, x)
        if self.variance == "optimal":
            dmean = dmean + dlogvar * 2 * (mean - x) / (mean.size * np.exp(logvar))
        return dmean, {"output.logvar": dlogvar} if "output.logvar" in params else {}

    def sample(self, mean, params, rng):
        """x ~ p(x|z), like mean."""
        if self.variance == "optimal":
            raise ValueError("gaussian-optimal has a variance for each batch of x, and none to draw x with")
        std = self.ops.gaussian_std(self._logvar(mean, params))
        return (mean + std * rng.standard_normal(mean.shape)).astype(mean.dtype)

    def logvar_for(self, variance):
        """The initial log-variance, given the variance (D,) of the data; never close to variance 0."""
        mean = variance.mean() or 1.0
        return np.log(mean if self.variance == "shared" else np.maximum(variance, 0.1 * mean))

    def _logvar(self, mean, params, x=None):
        if self.variance == "optimal":
            return np.log(np.maximum(np.mean((x - mean) ** 2), np.finfo(mean.real.dtype).tiny)).reshape(1)
        return params.get("output.logvar", np.full(1, self.logvar, mean.dtype))


class Laplace(Likelihood):
    """p(x|z) = Laplace(mean, b) with b = exp(logb): the absolute error, with its constant.

    Its best prediction is the median of x given z, while that of the Gaussian is the mean: pictures whose
    pixels are mostly 0 or 1 are less blurred.
    """

    def __init__(self, ops, logb=0.0):
        super().__init__(ops)
        self.logb = arguments.number("logb", logb)

    def nll(self, mean, x, params):
        """-log p(x|z) = sum_d |x_d - mean_d| / b + logb + log 2 -> (B,) or (S, B), nats."""
        arguments.shapes(x=(x, "BD"), mean=(mean, "*BD"))
        return (absolute(x - mean) * math.exp(-self.logb) + (self.logb + math.log(2))).sum(axis=-1)

    def nll_backward(self, dnll, mean, x, params):
        """dnll -> dmean = dnll * sign(mean - x) / b, and no derivatives of its own parameters."""
        arguments.shapes(x=(x, "BD"), mean=(mean, "*BD"), dnll=(dnll, "*B"))
        return dnll[..., None] * sign(mean - x) * math.exp(-self.logb), {}

    def sample(self, mean, params, rng):
        """x ~ p(x|z), like mean."""
        return (mean + math.exp(self.logb) * rng.laplace(size=mean.shape)).astype(mean.dtype)
