"""The score function and its baselines: the cost stays where it is, and the density moves."""

import numpy as np

from .. import arguments, ops
from .samples import cost_of, pair_mean, sample

# ------------------------------------------------------------------------------ score function


# f does not move, the density does: d/dmu int q f dz = int f dq/dmu dz = E_q[f dlogq/dmu], which needs no df.
# The score has mean zero, so a baseline that knows nothing of z changes the variance and not the mean:
#   d = (f(z) - baseline) * dlogq(z)
def score_function(f, mu, logvar, eps, baseline=0.0):
    """REINFORCE, the log-derivative trick: (f(z) - baseline) * score(z) -> dmu, dlogvar (S, B, L).

    f: z (S, B, L) -> (S, B); mu, logvar (B, L); eps (S, B, L), or (B, L) for one sample.
    baseline: a number, an array (B,), or a pair of arrays (B, L), one for mu and one for logvar. It must not
    have been made from this eps. (Williams 1992; Glynn 1990)
    """
    z, _ = sample(mu, logvar, eps)  # (S, B, L)
    return cost_times_score(cost_of(f, z), z, mu, logvar, baseline)


def score_function_antithetic(f, mu, logvar, eps):
    """The mean of `score_function` at eps and at -eps: S noises make S pairs, of 2 evaluations each.

    A constant in f cancels for mu (its score is odd), and stays for logvar (its score is even).
    """
    return pair_mean(score_function(f, mu, logvar, eps), score_function(f, mu, logvar, -eps))


# With the mean of the other S - 1 costs as the baseline of sample s:
#   f_s - 1/(S-1) sum_{t != s} f_t  =  S/(S-1) (f_s - 1/S sum_t f_t)
# Without the factor, f_s would stand in its own baseline and the mean come out at (1 - 1/S) of the gradient.
def leave_one_out(f, mu, logvar, eps):
    """The score function, each sample's baseline the mean cost of the others -> dmu, dlogvar (S, B, L).

    f: z (S, B, L) -> (S, B); mu, logvar (B, L); eps (S, B, L), S at least 2. Unbiased. The S samples depend
    on each other: to see its variance, repeat all S.
    (Mnih and Rezende 2016; Kool et al. 2019: "RLOO")
    """
    z, _ = sample(mu, logvar, eps)  # (S, B, L)
    S = len(z)
    if S < 2:
        raise ValueError("leave_one_out needs at least 2 samples, got S = 1: no other gives it a baseline")
    cost = cost_of(f, z)  # (S, B)
    centred = (cost - cost.mean(axis=0)) * (S / (S - 1))  # (S, B)
    return cost_times_score(centred, z, mu, logvar, 0.0)


def cost_times_score(cost, z, mu, logvar, baseline):
    """(cost - baseline) * score: cost (S, B), z (S, B, L) -> dmu, dlogvar (S, B, L)."""
    cost = cost[..., None]  # (S, B, 1)
    scores = ops.gaussian_score(z, mu, logvar)  # (S, B, L) each
    return tuple((cost - b) * score for b, score in zip(_baselines(baseline, mu), scores, strict=True))


def _baselines(baseline, mu):
    """One baseline for mu and one for logvar, as they stand against (S, B, 1)."""
    if isinstance(baseline, tuple | list):
        if len(baseline) != 2:
            raise ValueError(f"a pair of baselines is one for mu and one for logvar, got {len(baseline)}")
        return [arguments.finite("baseline", b, mu.shape, ("datum", "latent")) for b in baseline]
    if np.ndim(baseline) == 0:
        return [arguments.number("baseline", baseline)] * 2
    return [arguments.finite("baseline", baseline, mu.shape[:1], ("datum",))[:, None]] * 2


# ------------------------------------------------------------------------------ baselines


def mean_baseline(f, mu, logvar, eps):
    """The mean cost (B,), from samples that are not used again: it takes a constant out of f."""
    return cost_of(f, sample(mu, logvar, eps)[0]).mean(axis=0)


# Var((f - t) s) = E[(f - t)^2 s^2] - g^2 for a score s; the gradient g does not depend on t. Its least value:
#   0 = d/dt E[(f - t)^2 s^2] = -2 E[f s^2] + 2 t E[s^2]        t = E[f s^2] / E[s^2], for each s another
def optimal_baseline(f, mu, logvar, eps):
    """The constant that leaves the least variance, E[f s^2] / E[s^2] -> (B, L) for mu, (B, L) for logvar.

    s is the score, and both means are over the samples. f: z (S, B, L) -> (S, B); mu, logvar (B, L).
    Estimated from `eps`; for `score_function` on *other* noise, or the mean is no longer the gradient.
    (Weaver and Tao 2001; Greensmith et al. 2004)
    """
    z, _ = sample(mu, logvar, eps)  # (S, B, L)
    cost = cost_of(f, z)[..., None]  # (S, B, 1)
    weights = [score * score for score in ops.gaussian_score(z, mu, logvar)]  # (S, B, L) each
    tiny = np.finfo(weights[0].dtype).tiny  # where every score is 0 any baseline will do, and 0 is one
    return tuple((cost * w).sum(axis=0) / np.maximum(w.sum(axis=0), tiny) for w in weights)


class moving_average_baseline:
    """The score function whose baseline is a running mean of the costs of earlier calls: for training.

    An estimator with a state: baseline = sum_age decay^age cost / sum_age decay^age over the calls before
    this one, 0 at the first. One number for all data. `total` and `weight` are all its state.
    (Mnih and Gregor 2014, section 2.3)
    """

    def __init__(self, decay=0.99):
        self.decay = arguments.number("decay", decay, at_least=0, below=1)
        self.total = self.weight = 0.0

    @property
    def value(self):
        """The baseline of the next call."""
        return self.total / self.weight if self.weight else 0.0

    def update(self, cost):
        """Take in the costs (S, B) of a call, after its gradient is made."""
        self.total = self.decay * self.total + float(np.mean(cost))
        self.weight = self.decay * self.weight + 1

    def __call__(self, f, df, mu, logvar, eps):
        """`score_function` with this baseline -> dmu, dlogvar; then the costs join the average."""
        z, _ = sample(mu, logvar, eps)
        cost = cost_of(f, z)
        grads = cost_times_score(cost, z, mu, logvar, self.value)
        self.update(cost)
        return grads
