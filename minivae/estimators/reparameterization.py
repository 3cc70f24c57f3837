"""Pathwise: z moves with its parameters, and the cost with z."""

from .. import ops
from .samples import pair_mean, sample, slope_of


# z = mu + std * eps moves with its parameters, and f with z (std = exp(logvar / 2)):
#   df/dmu     = df/dz
#   df/dlogvar = df/dz 1/2 std eps
def pathwise(df, mu, logvar, eps):
    """The reparameterization gradient, sample by sample: df/dz * dz/d(mu, logvar) -> dmu, dlogvar.

    For a differentiable f. (Kingma and Welling 2014, section 2.4; Rezende et al. 2014)
    """
    z, eps = sample(mu, logvar, eps)  # (S, B, L)
    dz = slope_of(df, z)  # (S, B, L)
    return dz, dz * (0.5 * ops.gaussian_std(logvar) * eps)


def pathwise_antithetic(df, mu, logvar, eps):
    """The mean of `pathwise` at eps and at -eps: S noises make S pairs, of 2 evaluations each.

    For mu the odd part of df cancels: nothing scatters where f is quadratic.
    """
    return pair_mean(pathwise(df, mu, logvar, eps), pathwise(df, mu, logvar, -eps))
