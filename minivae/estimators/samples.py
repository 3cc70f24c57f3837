"""What the estimators share: drawing z, asking the cost for f(z) and df(z), adding gradients up."""

from .. import arguments, ops


def sample(mu, logvar, eps):
    """z and eps, both (S, B, L); eps (B, L) is one sample."""
    arguments.gaussian(mu, logvar, eps=eps)
    eps = eps.reshape(-1, *mu.shape)
    return ops.gaussian_sample(mu, logvar, eps), eps


def cost_of(f, z, name="f(z)"):
    """f(z): one finite cost (S, B) for each sample and datum. (S, B, 1) would broadcast unseen."""
    return arguments.finite(name, f(z), z.shape[:-1], ("sample", "datum"))


def slope_of(df, z, name="df(z)"):
    """df(z): finite, like z (S, B, L)."""
    return arguments.finite(name, df(z), z.shape, ("sample", "datum", "latent"))


def plus(grads, others):
    """dmu + dmu, dlogvar + dlogvar."""
    return tuple(grad + other for grad, other in zip(grads, others, strict=True))


def pair_mean(grads, others):
    """The mean of an antithetic pair, for mu and for logvar."""
    return tuple(0.5 * total for total in plus(grads, others))
