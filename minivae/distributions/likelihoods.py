"""Likelihoods p(x|z): -log p(x|z) of the decoder's outputs, and what it means for pictures.

Each is a reconstruction loss with its constants, so that the numbers are nats and compare.
"""

import math

import numpy as np

from .. import arguments
from .priors import absolute, sign

VARIANCES = ("fixed", "shared", "pixel", "optimal")


class Bernoulli:
    """p(x|z) = prod_d p_d^x_d (1 - p_d)^(1 - x_d), with p = sigmoid(logits).

    A probability only for x in {0, 1}. On grey pixels in (0, 1) the same formula is a cross-entropy: a
    usable loss but not a likelihood, and its numbers compare with nothing else.
    """

    support = (0.0, 1.0)

    def __init__(self, ops):
        self.ops = ops

    def parameters(self, data_dim, dtype):
        """It learns nothing of its own."""
        return {}

    def nll(self, logits, x, params):
        """-log p(x|z) -> (B,) or (S, B), nats."""
        return self.ops.bernoulli_nll(logits, x)

    def nll_backward(self, dnll, logits, x, params):
        """dnll -> dlogits, and no derivatives of its own."""
        return self.ops.bernoulli_nll_backward(dnll, logits, x), {}

    def mean(self, logits):
        """E[x|z] = sigmoid(logits)."""
        return self.ops.activation_forward(logits, "sigmoid")

    def sample(self, logits, params, rng):
        """x ~ p(x|z): zeros and ones like logits."""
        mean = self.mean(logits)
        return (rng.random(mean.shape) < mean).astype(mean.dtype)

    def bias_for_mean(self, mean):
        """The output bias at which the decoder predicts `mean`: its logit, kept away from 0 and 1."""
        p = np.clip(mean, 1e-3, 1 - 1e-3)
        return np.log(p / (1 - p))


class Gaussian:
    """p(x|z) = N(mean, exp(logvar)), with the variance outside the decoder network.

    variance  "fixed" at exp(logvar); "shared": one learned log-variance for all pixels, started at
              `logvar`; "pixel": one learned log-variance for each; "optimal": the one variance that fits
              the present batch best, its mean squared error, so that there is none to learn, and none to
              draw x with. (Rybkin et al. 2021)
    """

    support = (-math.inf, math.inf)

    def __init__(self, ops, variance="fixed", logvar=0.0):
        self.ops = ops
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

    # at the optimal variance v = mean((x - mean)^2), which all entries share, logvar depends on the mean too:
    #   dlogvar/dmean = 2 (mean - x) / (n v), with n entries
    def nll_backward(self, dnll, mean, x, params):
        """dnll -> dmean, and the derivative of the log-variance if it is learned."""
        logvar = self._logvar(mean, params, x)
        dmean, dlogvar = self.ops.gaussian_nll_backward(dnll, mean, logvar, x)
        if self.variance == "optimal":
            dmean = dmean + dlogvar * 2 * (mean - x) / (mean.size * np.exp(logvar))
        return dmean, {"output.logvar": dlogvar} if "output.logvar" in params else {}

    def mean(self, mean):
        """E[x|z]: the decoder's output."""
        return mean

    def sample(self, mean, params, rng):
        """x ~ p(x|z), like mean."""
        if self.variance == "optimal":
            raise ValueError("gaussian-optimal has a variance for each batch of x, and none to draw x with")
        std = self.ops.gaussian_std(self._logvar(mean, params))
        return (mean + std * rng.standard_normal(mean.shape)).astype(mean.dtype)

    def bias_for_mean(self, mean):
        """The output bias at which the decoder predicts `mean`."""
        return mean

    def logvar_for(self, variance):
        """The log-variance to start at, given the variance (D,) of the data; no pixel starts near 0."""
        mean = variance.mean() or 1.0
        return np.log(mean if self.variance == "shared" else np.maximum(variance, 0.1 * mean))

    def _logvar(self, mean, params, x=None):
        if self.variance == "optimal":
            return np.log(np.maximum(np.mean((x - mean) ** 2), np.finfo(mean.real.dtype).tiny)).reshape(1)
        return params.get("output.logvar", np.full(1, self.logvar, mean.dtype))


class Laplace:
    """p(x|z) = Laplace(mean, b) with b = exp(logb): the absolute error, its constant included.

    Its best prediction is the median of all x with that z, where the Gaussian's is their mean:
    where pixels are mostly 0 or 1 it blurs less.
    """

    support = (-math.inf, math.inf)

    def __init__(self, ops, logb=0.0):
        self.ops = ops
        self.logb = arguments.number("logb", logb)

    def parameters(self, data_dim, dtype):
        """It learns nothing of its own."""
        return {}

    def nll(self, mean, x, params):
        """-log p(x|z) = sum_d |x_d - mean_d| / b + logb + log 2 -> (B,) or (S, B), nats."""
        arguments.shapes(x=(x, "BD"), mean=(mean, "*BD"))
        return (absolute(x - mean) * math.exp(-self.logb) + (self.logb + math.log(2))).sum(axis=-1)

    def nll_backward(self, dnll, mean, x, params):
        """dnll -> dmean = sign(mean - x) / b, and no derivatives of its own."""
        arguments.shapes(x=(x, "BD"), mean=(mean, "*BD"), dnll=(dnll, "*B"))
        return dnll[..., None] * sign(mean - x) * math.exp(-self.logb), {}

    def mean(self, mean):
        """E[x|z]: the decoder's output."""
        return mean

    def sample(self, mean, params, rng):
        """x ~ p(x|z), like mean."""
        return (mean + math.exp(self.logb) * rng.laplace(size=mean.shape)).astype(mean.dtype)

    def bias_for_mean(self, mean):
        """The output bias at which the decoder predicts `mean`."""
        return mean
