"""Latent families with their priors, and likelihoods: the distributions that a VAE is made of.

A model knows them only through the methods below, so another family joins by being defined here and named
in `POSTERIORS` or `LIKELIHOODS`; no line of the model changes.

    posterior    heads: the names of the encoder's outputs (each (B, L)), passed on in that order
                 noise(rng, shape, dtype), sample(*heads, eps), sample_backward(dz, *heads, eps)
                 kl(*heads), kl_backward(dkl, *heads); prior: the prior of this KL
                 log_prob(z, *heads), score(z, *heads), slope(z, *heads) = d log q / dz;
                 sample_backward, kl_backward and score return one derivative per head
    prior        sample(rng, n, latent_dim), log_prob(z), slope(z) = d log p / dz
    likelihood   parameters(data_dim, dtype): its own learned arrays by name, often none
                 nll(outputs, x, params), nll_backward(dnll, outputs, x, params) -> doutputs, dparams
                 mean(outputs), sample(outputs, params, rng), bias_for_mean(mean)
                 support: the interval that x must lie in

Each receives the namespace of operations (`ops` or `kernels`) when it is made, and holds nothing else but
its settings: no activations, no noise, no parameters.
"""

import math
from functools import partial

import numpy as np

from . import arguments

VARIANCES = ("fixed", "shared", "pixel")


# ------------------------------------------------------------------------------ latent families and priors


class StandardNormal:
    """p(z) = N(0, I)."""

    def __init__(self, ops):
        self.ops = ops

    def sample(self, rng, n, latent_dim):
        """n draws of z -> (n, L)."""
        return rng.standard_normal((n, latent_dim))  # (n, L)

    def log_prob(self, z):
        """z (B, L) or (S, B, L) -> (B,) or (S, B), nats."""
        zero = np.zeros(z.shape[-2:], z.dtype)
        return self.ops.gaussian_log_prob(z, zero, zero)

    def slope(self, z):
        """d log p(z) / dz = -z, like z."""
        return -z


class GaussianPosterior:
    """q(z|x) = N(mu, exp(logvar)), independent latents, with the prior N(0, I)."""

    heads = ("mu", "logvar")

    def __init__(self, ops):
        self.ops = ops
        self.prior = StandardNormal(ops)

    def noise(self, rng, shape, dtype=np.float64):
        """eps ~ N(0, 1): what `sample` turns into z."""
        real = np.float32 if np.dtype(dtype) == np.float32 else np.float64
        return rng.standard_normal(shape, dtype=real).astype(dtype, copy=False)

    def sample(self, mu, logvar, eps):
        """z = mu + std * eps, like eps: (B, L) or (S, B, L)."""
        return self.ops.gaussian_sample(mu, logvar, eps)

    def sample_backward(self, dz, mu, logvar, eps):
        """dz like eps -> dmu, dlogvar (B, L)."""
        return self.ops.gaussian_sample_backward(dz, mu, logvar, eps)

    def kl(self, mu, logvar):
        """KL( q || N(0, I) ) -> (B,), nats."""
        return self.ops.gaussian_kl(mu, logvar)

    def kl_backward(self, dkl, mu, logvar):
        """dkl (B,) -> dmu, dlogvar (B, L)."""
        return self.ops.gaussian_kl_backward(dkl, mu, logvar)

    def log_prob(self, z, mu, logvar):
        """log q(z|x), z (B, L) or (S, B, L) -> (B,) or (S, B), nats."""
        return self.ops.gaussian_log_prob(z, mu, logvar)

    def score(self, z, mu, logvar):
        """d log q(z|x) with respect to mu and logvar, z fixed -> both like z."""
        return self.ops.gaussian_score(z, mu, logvar)

    def slope(self, z, mu, logvar):
        """d log q(z|x) / dz = -(z - mu) e^-logvar, like z: minus the score of mu."""
        return -self.ops.gaussian_score(z, mu, logvar)[0]


# A sampled KL needs one more path back. With k = log q(z; heads) - log p(z), where z depends on the heads:
#   dk/dz     = d log q / dz - d log p / dz       through z
#   dk/dhead  = score of that head, z fixed        directly, through the density q
def kl_forward(posterior, z, heads, sampled):
    """KL(q || p) in closed form -> (B,), or sampled: log q(z|x) - log p(z) -> (B,) or (S, B); nats."""
    if not sampled:
        return posterior.kl(*heads)
    return posterior.log_prob(z, *heads) - posterior.prior.log_prob(z)


def kl_backward(posterior, dkl, z, heads, sampled):
    """dkl like kl -> dz like z (0 for the closed form, which has no z), one derivative (B, L) per head."""
    if not sampled:
        return 0, posterior.kl_backward(dkl, *heads)
    dkl = dkl[..., None]
    dz = dkl * (posterior.slope(z, *heads) - posterior.prior.slope(z))
    scores = zip(posterior.score(z, *heads), heads, strict=True)
    dheads = [(dkl * score).reshape(-1, *head.shape) for score, head in scores]  # (S, B, L) each
    return dz, [dhead.sum(axis=0) for dhead in dheads]


# ------------------------------------------------------------------------------ likelihoods


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
              `logvar`; "pixel": one learned log-variance for each.
    """

    support = (-math.inf, math.inf)

    def __init__(self, ops, variance="fixed", logvar=0.0):
        self.ops = ops
        self.variance = arguments.one_of("variance", variance, VARIANCES)
        self.logvar = arguments.number("logvar", logvar)

    def parameters(self, data_dim, dtype):
        """The learned log-variance, if there is one."""
        sizes = {"shared": 1, "pixel": data_dim}
        if self.variance == "fixed":
            return {}
        return {"output.logvar": np.full(sizes[self.variance], self.logvar, dtype)}

    def nll(self, mean, x, params):
        """-log p(x|z) -> (B,) or (S, B), nats."""
        return self.ops.gaussian_nll(mean, self._logvar(mean, params), x)

    def nll_backward(self, dnll, mean, x, params):
        """dnll -> dmean, and the derivative of the log-variance if it is learned."""
        dmean, dlogvar = self.ops.gaussian_nll_backward(dnll, mean, self._logvar(mean, params), x)
        return dmean, {"output.logvar": dlogvar} if "output.logvar" in params else {}

    def mean(self, mean):
        """E[x|z]: the decoder's output."""
        return mean

    def sample(self, mean, params, rng):
        """x ~ p(x|z), like mean."""
        std = self.ops.gaussian_std(self._logvar(mean, params))
        return (mean + std * rng.standard_normal(mean.shape)).astype(mean.dtype)

    def bias_for_mean(self, mean):
        """The output bias at which the decoder predicts `mean`."""
        return mean

    def logvar_for(self, variance):
        """The log-variance to start at, given the variance (D,) of the data; no pixel starts near 0."""
        mean = variance.mean() or 1.0
        return np.log(mean if self.variance == "shared" else np.maximum(variance, 0.1 * mean))

    def _logvar(self, mean, params):
        if "output.logvar" in params:
            return params["output.logvar"]
        return np.full(1, self.logvar, mean.dtype)


POSTERIORS = {"gaussian": GaussianPosterior}
PRIORS = {"standard": StandardNormal}
LIKELIHOODS = {
    "bernoulli": Bernoulli,
    "gaussian": Gaussian,
    "gaussian-shared": partial(Gaussian, variance="shared"),
    "gaussian-pixel": partial(Gaussian, variance="pixel"),
}
