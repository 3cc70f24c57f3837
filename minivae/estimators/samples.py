"""What the estimators share: drawing z, asking the cost for f(z) and df(z), adding gradients up."""

import numpy as np

from .. import arguments, ops


def samples_of(mu, logvar, eps):
    """eps as (S, B, L), S at least 1; eps (B, L) is one sample."""
    arguments.gaussian(mu, logvar, eps=eps)
    if not eps.size:
        raise ValueError(f"eps must hold at least one sample, got shape {eps.shape}")
    return eps.reshape(-1, *mu.shape)


def sample(mu, logvar, eps):
    """z and eps, both (S, B, L); eps (B, L) is one sample."""
    eps = samples_of(mu, logvar, eps)
    return ops.gaussian_sample(mu, logvar, eps), eps


def cost_of(f, z, name="f(z)"):
    """f(z): one finite cost (S, B) for each sample and datum. (S, B, 1) would broadcast unseen."""
    cost = arguments.finite(name, f(_to_read(z)), z.shape[:-1], ("sample", "datum"))
    return cost.astype(np.float64) if cost.dtype.kind in "bui" else cost  # 1 - 2 is 255 in uint8


def slope_of(df, z, name="df(z)"):
    """df(z): finite, like z (S, B, L)."""
    return arguments.finite(name, df(_to_read(z)), z.shape, ("sample", "datum", "latent"))


def _to_read(z):
    """z to be looked at: who writes into it is told so, for the score is taken at the same z."""
    z = z.view()
    z.flags.writeable = False
    return z


def plus(grads, others):
    """dmu + dmu, dlogvar + dlogvar."""
    return tuple(grad + other for grad, other in zip(grads, others, strict=True))


def pair_mean(grads, others):
    """The mean of an antithetic pair, for mu and for logvar."""
    return tuple(0.5 * total for total in plus(grads, others))
