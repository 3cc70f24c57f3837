"""Every operation of a VAE as two adjacent pure functions, forward and backward.

Read each pair together: the derivation is above the backward function, one formula per line, and the lines of
the backward function mirror the forward ones in reverse. `dy` is the derivative of the loss with respect to
y, and has the shape of y. All functions work in float32, float64 and complex128, so that the complex step
Im f(x + ih) / h can check them to rounding; for that reason they avoid `np.abs`, which silently drops the
imaginary part. "(..., B, L)" means that a leading axis of S samples is allowed. Every nll, kl and
log-probability is in nats, summed over its last axis. A wrong shape raises ValueError: nothing broadcasts
silently.
"""

import math

import numpy as np

from .arguments import describe, one_of, shapes

ACTIVATIONS = ("identity", "relu", "tanh", "softplus", "sigmoid")
LOG_2PI = math.log(2 * math.pi)


# ------------------------------------------------------------------------------ activations


def activation_forward(a, activation):
    """y = act(a), elementwise, for any shape; finite wherever the true result is.

    identity a | relu max(a, 0) | tanh | softplus log(1 + e^a) | sigmoid 1 / (1 + e^-a)
    """
    if activation == "identity":
        return a
    if activation == "relu":
        return np.maximum(a, 0)
    if activation == "tanh":
        return np.tanh(a)
    one_of("activation", activation, ACTIVATIONS)
    size = np.maximum(a, -a)  # |a|; at a = 0 + ih it keeps the imaginary part, which np.abs would drop
    t = np.exp(-size)  # in (0, 1]: never overflows
    if activation == "softplus":
        return np.maximum(a, 0) + np.log1p(t)
    return np.where(a == size, 1, t) / (1 + t)


# Every derivative follows from the output y alone, so a layer need not keep a:
#   relu      y' = 1 where y > 0
#   tanh      y' = 1 - y^2
#   softplus  y' = sigmoid(a) = 1 - e^-y           because e^y = 1 + e^a
#   sigmoid   y' = y (1 - y)
def activation_backward(dy, y, activation):
    """da = dy * act'(a), computed from the output y; all have one shape. The slope of relu at 0 is 0."""
    if getattr(dy, "shape", None) != y.shape:
        raise ValueError(f"dy must have shape {y.shape}, got {describe(dy)}")
    if activation == "identity":
        return dy
    if activation == "relu":
        return np.where(y.real > 0, dy, 0)
    if activation == "tanh":
        return dy * (1 - y * y)
    one_of("activation", activation, ACTIVATIONS)
    if activation == "softplus":
        return dy * -np.expm1(-y)
    return dy * y * (1 - y)


# ------------------------------------------------------------------------------ dense layer


def dense_forward(x, W, b, activation="identity"):
    """y = act(x @ W + b).

    x (B, n_in), W (n_in, n_out), b (n_out,) -> y (B, n_out) and the cache that `dense_backward` takes.
    The cache refers to x and W and does not copy them: call backward before W is updated.
    """
    shapes(W=(W, "IO"), x=(x, "BI"), b=(b, "O"))
    y = activation_forward(x @ W + b, activation)  # (B, n_out)
    return y, (x, W, y, activation)


# With a = x @ W + b, a_ij = sum_k x_ik W_kj + b_j, and da = d(loss)/da:
#   dx_ik = sum_j da_ij W_kj        dx = da @ W.T
#   dW_kj = sum_i x_ik da_ij        dW = x.T @ da
#   db_j  = sum_i da_ij             db = da summed over the batch: a sum, never a mean
def dense_backward(dy, cache, input_gradient=True):
    """Derivatives of a dense layer: dy (B, n_out) -> dx (B, n_in), dW (n_in, n_out), db (n_out,).

    `input_gradient=False` returns None for dx: the input of the first layer is data and needs no gradient.
    """
    x, W, y, activation = cache
    da = activation_backward(dy, y, activation)  # (B, n_out)
    dx = da @ W.T if input_gradient else None
    dW = x.T @ da
    db = da.sum(axis=0)
    return dx, dW, db


# ------------------------------------------------------------------------------ Gaussian posterior


def gaussian_std(logvar):
    """std = exp(logvar / 2): the only place where a log-variance becomes a standard deviation."""
    return np.exp(0.5 * logvar)


def gaussian_sample(mu, logvar, eps):
    """The reparameterization: z = mu + std * eps, so that z ~ N(mu, exp(logvar)) if eps ~ N(0, 1).

    mu, logvar (B, L); eps (B, L) or (S, B, L) -> z like eps. The noise is an argument, so z is a smooth,
    deterministic function of mu and logvar. (Kingma and Welling 2014, section 2.4)
    """
    shapes(mu=(mu, "BL"), logvar=(logvar, "BL"), eps=(eps, "*BL"))
    return mu + gaussian_std(logvar) * eps


# z = mu + exp(logvar / 2) eps, with eps fixed:
#   dz/dmu     = 1
#   dz/dlogvar = 1/2 exp(logvar / 2) eps = 1/2 std eps
# S samples share one mu and logvar, so their contributions add.
def gaussian_sample_backward(dz, mu, logvar, eps):
    """Derivative of the reparameterization: dz like eps -> dmu, dlogvar (B, L)."""
    shapes(mu=(mu, "BL"), logvar=(logvar, "BL"), eps=(eps, "*BL"), dz=(dz, "*BL"))
    half_std = 0.5 * gaussian_std(logvar)  # (B, L), the derivative of std with respect to logvar
    if eps.ndim == 3:
        return dz.sum(axis=0), half_std * np.einsum("sbl,sbl->bl", dz, eps)
    return dz, dz * (half_std * eps)


def gaussian_kl(mu, logvar):
    """KL( N(mu, exp(logvar)) || N(0, I) ) = 1/2 sum_l (mu^2 + e^logvar - logvar - 1), in nats.

    mu, logvar (B, L) -> kl (B,). Written with expm1, which keeps the digits that e^logvar - 1 loses near
    logvar = 0. (Kingma and Welling 2014, appendix B)
    """
    shapes(mu=(mu, "BL"), logvar=(logvar, "BL"))
    from_mean = mu * mu  # (B, L)
    from_variance = np.expm1(logvar) - logvar  # (B, L), zero at logvar = 0 and positive elsewhere
    return 0.5 * (from_mean + from_variance).sum(axis=-1)


#   dkl/dmu     = mu
#   dkl/dlogvar = 1/2 (e^logvar - 1)
def gaussian_kl_backward(dkl, mu, logvar):
    """dkl (B,) -> dmu, dlogvar (B, L)."""
    shapes(mu=(mu, "BL"), logvar=(logvar, "BL"), dkl=(dkl, "B"))
    dmu = dkl[:, None] * mu
    dlogvar = dkl[:, None] * (0.5 * np.expm1(logvar))
    return dmu, dlogvar


def gaussian_log_prob(z, mu, logvar):
    """log N(z; mu, exp(logvar)) = -1/2 sum_l (log 2 pi + logvar + (z - mu)^2 e^-logvar), in nats.

    z (B, L) or (S, B, L); mu, logvar (B, L) -> (B,) or (S, B).
    """
    shapes(mu=(mu, "BL"), logvar=(logvar, "BL"), z=(z, "*BL"))
    away = z - mu  # like z
    squared = np.einsum("...l,...l->...", away, away * np.exp(-logvar))  # (B,) or (S, B), summed over l
    return -0.5 * (squared + (LOG_2PI + logvar).sum(axis=-1))


# The score is the derivative of log q(z) with respect to q's parameters, with z fixed:
#   dlogq/dmu     = (z - mu) e^-logvar
#   dlogq/dlogvar = 1/2 ((z - mu)^2 e^-logvar - 1)
def gaussian_score(z, mu, logvar):
    """Score of q = N(mu, exp(logvar)) at z (B, L) or (S, B, L) -> dmu, dlogvar, both like z."""
    shapes(mu=(mu, "BL"), logvar=(logvar, "BL"), z=(z, "*BL"))
    away = z - mu  # like z
    dmu = away * np.exp(-logvar)
    dlogvar = 0.5 * (away * dmu - 1)
    return dmu, dlogvar


# ------------------------------------------------------------------------------ likelihoods


def bernoulli_nll(logits, x):
    """-log p(x | logits) = sum_d softplus(l_d) - x_d l_d, in nats, straight from the logits.

    logits (B, D) or (S, B, D), x (B, D) in [0, 1] -> nll (B,) or (S, B). With p = sigmoid(l) this is
    -sum x log p + (1 - x) log(1 - p); that form is log(0) where p rounds to 0 or 1, this one never is.
    """
    shapes(x=(x, "BD"), logits=(logits, "*BD"))
    # softplus(l) - x l = max(l, 0) - x l + log(1 + e^-|l|): the large parts cancel first
    large = np.maximum(logits, 0) - x * logits
    small = np.log1p(np.exp(-np.maximum(logits, -logits)))
    return (large + small).sum(axis=-1)


#   d softplus(l) / dl = sigmoid(l)
#   dnll/dl            = sigmoid(l) - x            the predicted probability minus the pixel
def bernoulli_nll_backward(dnll, logits, x):
    """dnll (B,) or (S, B) -> dlogits like logits."""
    shapes(x=(x, "BD"), logits=(logits, "*BD"), dnll=(dnll, "*B"))
    return dnll[..., None] * (activation_forward(logits, "sigmoid") - x)


def gaussian_nll(mean, logvar, x):
    """-log N(x; mean, exp(logvar)) = 1/2 sum_d (log 2 pi + logvar + (x - mean)^2 e^-logvar), in nats.

    mean (B, D) or (S, B, D), x (B, D); logvar like mean, or one per pixel (D,), or shared (1,) or ()
    -> nll (B,) or (S, B). Constants included: a true density. At unit variance it is *half* the squared
    error plus D/2 log 2 pi; the plain squared error belongs to variance 1/2.
    """
    shapes(x=(x, "BD"), mean=(mean, "*BD"))
    _check_variance(logvar, mean)
    squared = (x - mean) ** 2 * np.exp(-logvar)  # like mean
    return 0.5 * (LOG_2PI + logvar + squared).sum(axis=-1)


#   dnll/dmean   = (mean - x) e^-logvar
#   dnll/dlogvar = 1/2 (1 - (x - mean)^2 e^-logvar),  summed over all entries that share one logvar
def gaussian_nll_backward(dnll, mean, logvar, x):
    """dnll (B,) or (S, B) -> dmean like mean, dlogvar like logvar, summed over all entries that share one."""
    shapes(x=(x, "BD"), mean=(mean, "*BD"), dnll=(dnll, "*B"))
    _check_variance(logvar, mean)
    scaled = (mean - x) * np.exp(-logvar)  # like mean
    dmean = dnll[..., None] * scaled
    dlogvar = dnll[..., None] * 0.5 * (1 - (mean - x) * scaled)
    return dmean, sum_to_shape(dlogvar, np.shape(logvar))


def _check_variance(logvar, mean):
    if np.shape(logvar) not in (mean.shape, mean.shape[-1:], (1,), ()):
        wanted = f"{mean.shape}, {mean.shape[-1:]}, (1,) or ()"
        raise ValueError(f"logvar must have shape {wanted}, got {describe(logvar)}")


def sum_to_shape(dy, shape):
    """Undo a broadcast: sum dy over every axis along which an array of `shape` was repeated."""
    dy = dy.sum(axis=tuple(range(dy.ndim - len(shape))))
    repeated = tuple(i for i, n in enumerate(shape) if n == 1 and dy.shape[i] != 1)
    return dy.sum(axis=repeated, keepdims=True)
