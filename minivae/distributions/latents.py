"""Latent families q(z|x): noise, sampling and its derivative where it has one, log-density and score."""

import math

import numpy as np

from .. import arguments
from ..ops import activation_forward, gaussian_std
from .priors import BernoulliPrior, CategoricalPrior, LaplacePrior, StandardNormal, absolute, sign


class Posterior:
    """Base of the families: the KL to the prior, if `closed_form` has it.

    values  the values of a latent: "real", "binary" or "one-hot", as in the priors
    width   entries of z for each latent
    """

    values, width = "real", 1

    def __init__(self, ops):
        self.ops = ops
        self.prior = self.own_prior()

    def closed_form(self):
        """(kl, kl_backward) of this family and its prior, or None."""
        return None

    def kl(self, *heads):
        """KL(q || p) -> (B,), nats."""
        return self.closed_form()[0](*heads)

    def kl_backward(self, dkl, *heads):
        """dkl (B,) -> one derivative (B, L) for each head."""
        return self.closed_form()[1](dkl, *heads)

    def mean(self, mu, *_):
        """E[z|x] (B, L)."""
        return mu


class GaussianPosterior(Posterior):
    """q(z|x) = N(mu, exp(logvar)), independent latents."""

    heads = ("mu", "logvar")

    def own_prior(self):
        """N(0, I), unless another is chosen."""
        return StandardNormal(self.ops)

    def closed_form(self):
        """For the priors N(0, I) and Laplace(0, 1)."""
        if type(self.prior) is StandardNormal:
            return self.ops.gaussian_kl, self.ops.gaussian_kl_backward
        laplace = gaussian_laplace_kl, gaussian_laplace_kl_backward
        return laplace if type(self.prior) is LaplacePrior else None

    def noise(self, rng, shape, dtype=np.float64):
        """eps ~ N(0, 1), the noise for `sample`."""
        real = np.float32 if np.dtype(dtype) == np.float32 else np.float64
        return rng.standard_normal(shape, dtype=real).astype(dtype, copy=False)

    def sample(self, mu, logvar, eps):
        """z = mu + std * eps, like eps: (B, L) or (S, B, L)."""
        return self.ops.gaussian_sample(mu, logvar, eps)

    def sample_backward(self, dz, mu, logvar, eps):
        """dz like eps -> dmu, dlogvar (B, L)."""
        return self.ops.gaussian_sample_backward(dz, mu, logvar, eps)

    def log_prob(self, z, mu, logvar):
        """log q(z|x), z (B, L) or (S, B, L) -> (B,) or (S, B), nats."""
        return self.ops.gaussian_log_prob(z, mu, logvar)

    def score(self, z, mu, logvar):
        """d log q(z|x) with respect to mu and logvar, z fixed -> both like z."""
        return self.ops.gaussian_score(z, mu, logvar)

    def slope(self, z, mu, logvar):
        """d log q(z|x) / dz = -(z - mu) e^-logvar, like z: minus the score of mu."""
        arguments.shapes(mu=(mu, "BL"), logvar=(logvar, "BL"), z=(z, "*BL"))
        return (mu - z) * np.exp(-logvar)


# With s = std and E|z| = s sqrt(2/pi) e^(-mu^2 / (2 s^2)) + mu erf(mu / (s sqrt 2)):
#   KL         = E|z| + log 2 - 1/2 (log(2 pi e) + logvar)
#   dE|z|/dmu  = erf(mu / (s sqrt 2))                 dE|z|/ds = sqrt(2/pi) e^(-mu^2 / (2 s^2))
#   dKL/dlogvar = 1/2 s dE|z|/ds - 1/2
def gaussian_laplace_kl(mu, logvar):
    """KL( N(mu, exp(logvar)) || Laplace(0, 1) ): mu, logvar (B, L) -> (B,), nats."""
    std = gaussian_std(logvar)
    size = std * math.sqrt(2 / math.pi) * np.exp(-((mu / std) ** 2) / 2) + mu * erf(mu / std / math.sqrt(2))
    return (size + math.log(2) - 0.5 * (math.log(2 * math.pi) + 1 + logvar)).sum(axis=-1)


def gaussian_laplace_kl_backward(dkl, mu, logvar):
    """dkl (B,) -> dmu, dlogvar (B, L)."""
    std = gaussian_std(logvar)
    dmu = erf(mu / std / math.sqrt(2))
    dlogvar = std * np.exp(-((mu / std) ** 2) / 2) / math.sqrt(2 * math.pi) - 0.5
    return dkl[:, None] * dmu, dkl[:, None] * dlogvar


def erf(x):
    """The error function; for a complex step it is exact to first order: erf' = 2 / sqrt(pi) e^(-x^2)."""
    real = np.vectorize(math.erf, otypes=[float])(x.real)
    if x.dtype.kind == "c":
        real = real + 1j * x.imag * (2 / math.sqrt(math.pi)) * np.exp(-(x.real**2))
    return real.astype(x.dtype)


class LaplacePosterior(Posterior):
    """q(z|x) = Laplace(mu, b), b = exp(logb), density e^(-|z - mu| / b) / (2 b), independent latents."""

    heads = ("mu", "logb")

    def own_prior(self):
        """Laplace(0, 1), unless another is chosen."""
        return LaplacePrior(self.ops)

    # KL to Laplace(0, 1), with e = exp(-|mu| / b):
    #   kl         = |mu| + b e - logb - 1
    #   dkl/dmu    = sign(mu) (1 - e)
    #   dkl/dlogb  = b e + |mu| e - 1
    def closed_form(self):
        """For the prior Laplace(0, 1)."""

        def kl(mu, logb):
            size, b = absolute(mu), np.exp(logb)
            return (size + b * np.exp(-size / b) - logb - 1).sum(axis=-1)

        def kl_backward(dkl, mu, logb):
            size, b = absolute(mu), np.exp(logb)
            e = np.exp(-size / b)
            return dkl[:, None] * sign(mu) * (1 - e), dkl[:, None] * ((b + size) * e - 1)

        return (kl, kl_backward) if type(self.prior) is LaplacePrior else None

    def noise(self, rng, shape, dtype=np.float64):
        """eps uniform on (-1/2, 1/2), the noise for `sample`."""
        real = np.float32 if np.dtype(dtype) == np.float32 else np.float64
        least = np.nextafter(real(-0.5), real(0))  # at -1/2 itself z is infinite
        return np.maximum(rng.random(shape, dtype=real) - real(0.5), least).astype(dtype, copy=False)

    def sample(self, mu, logb, eps):
        """z = mu - b sign(eps) log(1 - 2 |eps|), like eps: the quantile function of q."""
        arguments.shapes(mu=(mu, "BL"), logb=(logb, "BL"), eps=(eps, "*BL"))
        if not (absolute(eps).real < 0.5).all():
            raise ValueError(
                "eps of a Laplace q(z|x) must lie inside (-1/2, 1/2): draw it by its noise method"
            )
        return mu - np.exp(logb) * sign(eps) * np.log1p(-2 * absolute(eps))

    # z - mu = b times the noise:   dz/dmu = 1,   dz/dlogb = z - mu
    def sample_backward(self, dz, mu, logb, eps):
        """dz like eps -> dmu, dlogb (B, L), summed over the samples."""
        dlogb = dz * (self.sample(mu, logb, eps) - mu)
        return (dz.sum(axis=0), dlogb.sum(axis=0)) if eps.ndim == 3 else (dz, dlogb)

    def log_prob(self, z, mu, logb):
        """log q(z|x) = -sum(|z - mu| / b + logb + log 2) -> (B,) or (S, B), nats."""
        return -(absolute(z - mu) * np.exp(-logb) + logb + math.log(2)).sum(axis=-1)

    def score(self, z, mu, logb):
        """d log q / dmu = sign(z - mu) / b, d log q / dlogb = |z - mu| / b - 1, both like z."""
        return sign(z - mu) * np.exp(-logb), absolute(z - mu) * np.exp(-logb) - 1

    def slope(self, z, mu, logb):
        """d log q / dz = -sign(z - mu) / b, like z."""
        return -sign(z - mu) * np.exp(-logb)


class BernoulliPosterior(Posterior):
    """q(z|x): independent binary latents, 1 with probability p = sigmoid(a).

    z is not a differentiable function of a, so the gradient with respect to a is estimated by the score
    function, with a leave-one-out baseline unless another estimator is chosen.
    """

    heads, values = ("a",), "binary"

    def own_prior(self):
        """Bernoulli(1/2), unless another is chosen."""
        return BernoulliPrior(self.ops)

    # KL to Bernoulli(r), with log p = a - softplus(a) and log(1 - p) = -softplus(a):
    #   kl     = p log(p / r) + (1 - p) log((1 - p) / (1 - r)) = p (a - logit r) - softplus(a) - log(1 - r)
    #   dkl/da = p (1 - p) (a - logit r)
    def closed_form(self):
        """For the prior Bernoulli(r)."""
        if type(self.prior) is not BernoulliPrior:
            return None
        r = self.prior.r
        logit, rest = math.log(r) - math.log1p(-r), math.log1p(-r)

        def kl(a):
            p, softplus = activation_forward(a, "sigmoid"), activation_forward(a, "softplus")
            return (p * (a - logit) - softplus - rest).sum(axis=-1)

        def kl_backward(dkl, a):
            p = activation_forward(a, "sigmoid")
            return (dkl[:, None] * p * (1 - p) * (a - logit),)

        return kl, kl_backward

    def noise(self, rng, shape, dtype=np.float64):
        """eps uniform on [0, 1)."""
        return rng.random(shape).astype(dtype)

    def sample(self, a, eps):
        """z = 1 where eps < p, like eps."""
        arguments.shapes(a=(a, "BL"), eps=(eps, "*BL"))
        if not ((eps.real >= 0) & (eps.real <= 1)).all():
            raise ValueError("eps of a Bernoulli q(z|x) must lie in [0, 1]: draw it by its noise method")
        return (eps.real < self.mean(a).real).astype(eps.dtype)

    def mean(self, a):
        """p = sigmoid(a) (B, L)."""
        return activation_forward(a, "sigmoid")

    def log_prob(self, z, a):
        """log q(z|x) = sum(z a - softplus(a)) -> (B,) or (S, B), nats."""
        return (z * a - activation_forward(a, "softplus")).sum(axis=-1)

    def score(self, z, a):
        """d log q / da = z - p, like z."""
        return (z - self.mean(a),)


class CategoricalPosterior(Posterior):
    """q(z|x): independent variables with K categories each, p = softmax(a); z is one-hot, L a multiple of K.

    As with binary latents, z is not a differentiable function of a.
    """

    heads, values = ("a",), "one-hot"

    def __init__(self, ops, categories=10):
        self.width = arguments.integer("categories", categories, at_least=2)  # K entries of z per variable
        super().__init__(ops)

    def own_prior(self):
        """Uniform over the categories."""
        return CategoricalPrior(self.ops, self.width)

    # KL to the uniform distribution over K categories, for each variable:
    #   kl       = sum_j p_j log p_j + log K
    #   dkl/da_j = p_j (log p_j - sum_k p_k log p_k)
    def closed_form(self):
        """For the uniform prior."""

        def kl(a):
            log_p = self._log_p(a)
            return (np.exp(log_p) * log_p).sum(axis=(-2, -1)) + log_p.shape[-2] * math.log(self.width)

        def kl_backward(dkl, a):
            log_p = self._log_p(a)
            p = np.exp(log_p)
            da = p * (log_p - (p * log_p).sum(axis=-1, keepdims=True))
            return (dkl[:, None] * da.reshape(a.shape),)

        return (kl, kl_backward) if type(self.prior) is CategoricalPrior else None

    def noise(self, rng, shape, dtype=np.float64):
        """eps ~ Gumbel(0, 1): category j has the largest a + eps of a variable with probability p_j."""
        return rng.gumbel(size=shape).astype(dtype)

    def sample(self, a, eps):
        """z one-hot at the largest a + eps of each variable, like eps."""
        arguments.shapes(a=(a, "BL"), eps=(eps, "*BL"))
        scores = (a + eps).real.reshape(*eps.shape[:-1], -1, self.width)
        return one_hot(scores).reshape(eps.shape).astype(eps.dtype)

    def mean(self, a):
        """p = softmax(a) (B, L)."""
        return np.exp(self._log_p(a)).reshape(a.shape)

    def log_prob(self, z, a):
        """log q(z|x) = sum z log p -> (B,) or (S, B), nats."""
        return (z * self._log_p(a).reshape(a.shape)).sum(axis=-1)

    def score(self, z, a):
        """d log q / da = z - p, like z."""
        return (z - self.mean(a),)

    def _log_p(self, a):
        a = a.reshape(*a.shape[:-1], -1, self.width)  # (B, variables, K)
        a = a - a.max(axis=-1, keepdims=True)
        return a - np.log(np.exp(a).sum(axis=-1, keepdims=True))


def one_hot(scores):
    """1 at the largest of the last axis, 0 elsewhere."""
    return np.arange(scores.shape[-1]) == scores.argmax(axis=-1)[..., None]
