"""Estimators of the gradient of E_q[f(z)], sample by sample: pathwise, score function, measure-valued.

The latent family provides a sample, its score, and the derivative of z with respect to the heads, so one
implementation works for every family; the default `family` is the Gaussian. `*q` are the family's heads and
its noise: `mu, logvar, eps` for the Gaussian.
"""

import math

import numpy as np

from .. import arguments, ops
from ..distributions import GaussianPosterior

GAUSSIAN = GaussianPosterior(ops)


# ------------------------------------------------------------------------------ helpers of the estimators


def sample(q, family=GAUSSIAN):
    """The heads and the noise q -> heads; eps and z, both (S, B, L). eps (B, L) counts as one sample."""
    *heads, eps = q
    if len(heads) != len(family.heads):
        raise TypeError(f"expected {', '.join(family.heads)} and eps, got {len(q)} arrays")
    z = family.sample(*heads, eps)
    if not eps.size:
        raise ValueError(f"eps must hold at least one sample, got shape {eps.shape}")
    return heads, eps.reshape(-1, *heads[0].shape), z.reshape(-1, *z.shape[-2:])


def cost_of(f, z, name="f(z)"):
    """f(z): one finite cost (S, B) for each sample and datum. (S, B, 1) would broadcast silently."""
    cost = arguments.finite(name, f(_read_only(z)), z.shape[:-1], ("sample", "datum"))
    return cost.astype(np.float64) if cost.dtype.kind in "bui" else cost  # 1 - 2 is 255 in uint8


def slope_of(df, z, name="df(z)"):
    """df(z): finite, like z (S, B, L)."""
    return arguments.finite(name, df(_read_only(z)), z.shape, ("sample", "datum", "latent"))


def _read_only(z):
    """A read-only view of z; writing to it raises, because the score needs the same z."""
    z = z.view()
    z.flags.writeable = False
    return z


def plus(grads, others):
    """The sum, head by head."""
    return tuple(grad + other for grad, other in zip(grads, others, strict=True))


def pair_mean(grads, others):
    """The mean of an antithetic pair, head by head."""
    return tuple(0.5 * total for total in plus(grads, others))


# ------------------------------------------------------------------------------ pathwise


# z depends on the heads at fixed noise, and f on z. For the Gaussian, z = mu + exp(logvar / 2) * eps:
#   df/dmu     = df/dz
#   df/dlogvar = df/dz 1/2 std eps
def pathwise(df, *q, family=GAUSSIAN):
    """The reparameterization gradient, df/dz * dz/d(mu, logvar) -> dmu, dlogvar (S, B, L).

    df: z (S, B, L) -> (S, B, L), the derivative of a differentiable f; q: mu, logvar (B, L), eps (S, B, L) or
    (B, L). (Kingma and Welling 2014, section 2.4; Rezende et al. 2014)
    """
    heads, eps, z = sample(q, family)
    dz = slope_of(df, z)  # (S, B, L)
    # every sample is a separate row, since `sample_backward` would sum over samples
    rows = [np.tile(head, (len(z), 1)) for head in heads]  # (S * B, L)
    grads = family.sample_backward(dz.reshape(-1, dz.shape[-1]), *rows, eps.reshape(-1, eps.shape[-1]))
    return tuple(grad.reshape(-1, *head.shape) for grad, head in zip(grads, heads, strict=True))


def pathwise_antithetic(df, *q, family=GAUSSIAN):
    """The mean of `pathwise` at eps and at -eps: S noise samples give S pairs, with 2 evaluations each.

    For mu the odd part of df cancels: the variance is zero if f is quadratic.
    """
    return pair_mean(pathwise(df, *q, family=family), pathwise(df, *q[:-1], -q[-1], family=family))


# ------------------------------------------------------------------------------ score function


# Only q depends on theta: d/dtheta int q f dz = int f dq/dtheta dz = E_q[f dlogq/dtheta], without df.
# The score has mean zero, so a baseline that does not depend on z changes the variance and not the mean:
#   d = (f(z) - baseline) * score(z)
def score_function(f, *q, baseline=0.0, family=GAUSSIAN):
    """REINFORCE, the log-derivative trick: (f(z) - baseline) * score(z) -> dmu, dlogvar (S, B, L).

    f: z (S, B, L) -> (S, B); q: mu, logvar (B, L), eps (S, B, L) or (B, L). baseline: a number, an array
    (B,), or one array (B, L) for each head, also accepted as the last positional argument. It must not depend
    on this eps. (Williams 1992; Glynn 1990)
    """
    if len(q) == len(family.heads) + 2:
        *q, baseline = q
    heads, _, z = sample(q, family)
    return cost_times_score(cost_of(f, z), z, heads, baseline, family)


def score_function_antithetic(f, *q, family=GAUSSIAN):
    """The mean of `score_function` at eps and at -eps: S noise samples give S pairs, with 2 evaluations each.

    A constant in f cancels for mu (its score is odd), but not for logvar (its score is even).
    """
    return pair_mean(score_function(f, *q, family=family), score_function(f, *q[:-1], -q[-1], family=family))


# With the mean of the other S - 1 costs as the baseline of sample s:
#   f_s - 1/(S-1) sum_{t != s} f_t  =  S/(S-1) (f_s - 1/S sum_t f_t)
# Without the factor, f_s would be part of its own baseline, and the mean would be (1 - 1/S) of the gradient.
def leave_one_out(f, *q, family=GAUSSIAN):
    """The score function with the mean cost of the other samples as baseline -> dmu, dlogvar (S, B, L).

    f: z (S, B, L) -> (S, B); q: mu, logvar (B, L), eps (S, B, L), S at least 2. Unbiased. The S entries
    depend on each other: to measure the variance, repeat all S. (Mnih and Rezende 2016; Kool et al. 2019:
    "RLOO")
    """
    heads, _, z = sample(q, family)
    S = len(z)
    if S < 2:
        raise ValueError(
            "leave_one_out needs at least 2 samples, got S = 1: no other sample gives a baseline"
        )
    cost = cost_of(f, z)  # (S, B)
    centred = (cost - cost.mean(axis=0)) * (S / (S - 1))  # (S, B)
    return cost_times_score(centred, z, heads, 0.0, family)


def cost_times_score(cost, z, heads, baseline, family=GAUSSIAN):
    """(cost - baseline) * score: cost (S, B), z (S, B, L) -> one derivative (S, B, L) per head."""
    scores = family.score(z, *heads)  # (S, B, L) each
    baselines = _baselines(baseline, heads)
    return tuple((cost[..., None] - b) * score for b, score in zip(baselines, scores, strict=True))


def _baselines(baseline, heads):
    """One baseline per head, each of a shape that broadcasts against (S, B, L)."""
    if isinstance(baseline, tuple | list):
        if len(baseline) != len(heads):
            raise ValueError(
                f"a tuple of baselines needs one per head, {len(heads)} here, got {len(baseline)}"
            )
        return [arguments.finite("baseline", b, heads[0].shape, ("datum", "latent")) for b in baseline]
    if np.ndim(baseline) == 0:
        return [arguments.number("baseline", baseline)] * len(heads)
    return [arguments.finite("baseline", baseline, heads[0].shape[:1], ("datum",))[:, None]] * len(heads)


# ------------------------------------------------------------------------------ baselines


def mean_baseline(f, *q, family=GAUSSIAN):
    """The mean cost (B,), from samples that are not used for the gradient: it removes a constant from f."""
    return cost_of(f, sample(q, family)[2]).mean(axis=0)


# Var((f - t) s) = E[(f - t)^2 s^2] - g^2 for a score s; the gradient g does not depend on t. Least where
#   0 = d/dt E[(f - t)^2 s^2] = -2 E[f s^2] + 2 t E[s^2]        t = E[f s^2] / E[s^2], another for each s
def optimal_baseline(f, *q, family=GAUSSIAN):
    """The constant baseline with the least variance, E[f s^2] / E[s^2] -> one array (B, L) per head.

    s is the score, and both means are over the samples. f: z (S, B, L) -> (S, B); q: mu, logvar, eps.
    It is estimated from `eps`; use it in `score_function` with *other* noise, or the gradient is biased.
    (Weaver and Tao 2001; Greensmith et al. 2004)
    """
    heads, _, z = sample(q, family)
    cost = cost_of(f, z)[..., None]  # (S, B, 1)
    weights = [score * score for score in family.score(z, *heads)]  # (S, B, L) each
    tiny = np.finfo(weights[0].dtype).tiny  # where every score is 0 any baseline will do, and 0 is one
    return tuple((cost * w).sum(axis=0) / np.maximum(w.sum(axis=0), tiny) for w in weights)


class moving_average_baseline:
    """The score function with a running mean of the costs of earlier calls as its baseline, for training.

    baseline = sum_age decay^age cost / sum_age decay^age over the earlier calls, 0 at the first call; one
    number for all data. It is the only estimator with a state, which is `total` and `weight`.
    (Mnih and Gregor 2014, section 2.3)
    """

    def __init__(self, decay=0.99, family=GAUSSIAN):
        self.decay = arguments.number("decay", decay, at_least=0, below=1)
        self.family = family
        self.total = self.weight = 0.0

    @property
    def value(self):
        """The baseline of the next call."""
        return self.total / self.weight if self.weight else 0.0

    def update(self, cost):
        """Add the costs (S, B) of a call to the average, after its gradient is computed."""
        self.total = self.decay * self.total + float(np.mean(cost))
        self.weight = self.decay * self.weight + 1

    def __call__(self, f, df, *q):
        """`score_function` with this baseline -> dmu, dlogvar; then add the costs to the average."""
        heads, _, z = sample(q, self.family)
        cost = cost_of(f, z)
        grads = cost_times_score(cost, z, heads, self.value, self.family)
        self.update(cost)
        return grads


# ------------------------------------------------------------------------------ measure-valued


# The derivative of a density is a difference of two densities, times a constant. With phi the normal density:
#   d/dmu    N(z; mu, std)  =  (p+ - p-) / (std sqrt(2 pi))    z = mu +- std w,   w ~ w e^(-w^2/2), w > 0
#   d/dstd   N(z; mu, std)  =  (p+ - p-) / std                 z+ = mu + std m,   m ~ m^2 phi(m)
#                                                              z- = mu + std n,   n ~ phi(n)
#   d/dlogvar = 1/2 std d/dstd, so its constant is 1/2
# w has a Weibull(2, sqrt 2) distribution, also called Rayleigh; m a double-sided Maxwell distribution. Both
# sides can share one draw: the same w, and n = m u with u uniform on (0, 1), which is normal.
def measure_valued(f, mu, logvar, rng, coupled=True, samples=1):
    """Mean of f under one density minus that under another, per coordinate -> dmu, dlogvar (samples, B, L).

    It needs no derivative of f, but 4 L evaluations per sample: 2 for each coordinate of mu and 2 for each of
    logvar, with the other coordinates drawn from q. coupled=True uses the same random numbers for both sides,
    False independent ones. Gaussian only. (Pflug 1996; Mohamed et al. 2020, section 6)
    """
    arguments.shapes(mu=(mu, "BL"), logvar=(logvar, "BL"))
    arguments.generator("rng", rng)
    shape = (arguments.integer("samples", samples), *mu.shape)  # (S, B, L)
    std = ops.gaussian_std(logvar)  # (B, L)
    z_plus = _normal(mu, std, rng, shape)
    z_minus = z_plus if coupled else _normal(mu, std, rng, shape)
    dmu, dlogvar = np.empty((2, *shape), std.dtype)
    for l in range(mu.shape[1]):

        def difference(up, down, l=l):
            return _cost_with(f, z_plus, l, mu[:, l] + std[:, l] * up) - _cost_with(
                f, z_minus, l, mu[:, l] + std[:, l] * down
            )

        w = rng.rayleigh(size=shape[:2])  # (S, B), like all that follow
        w_minus = w if coupled else rng.rayleigh(size=shape[:2])
        dmu[..., l] = difference(w, -w_minus) / (math.sqrt(2 * math.pi) * std[:, l])
        m = np.copysign(np.sqrt(rng.chisquare(3, shape[:2])), rng.random(shape[:2]) - 0.5)
        n = m * rng.random(shape[:2]) if coupled else rng.standard_normal(shape[:2])
        dlogvar[..., l] = difference(m, n) / 2
    return dmu, dlogvar


def _normal(mu, std, rng, shape):
    return (mu + std * rng.standard_normal(shape)).astype(std.dtype, copy=False)


def _cost_with(f, z, l, moved):
    """f at z with coordinate l moved to `moved` (S, B); z itself is unchanged afterwards."""
    kept = z[..., l].copy()
    z[..., l] = moved
    cost = cost_of(f, z).copy()  # f may have returned a view of z
    z[..., l] = kept
    return cost
