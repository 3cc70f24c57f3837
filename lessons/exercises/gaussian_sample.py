"""Draw z so that it has a derivative

Write the reparameterization: compute z from mu, logvar and the noise eps, which is an argument. Then write
its backward pass: from dz, the derivative that the decoder passes back, compute dmu and dlogvar. eps and dz
may be (B, L), one z for each row, or (S, B, L), S of them; dmu and dlogvar are (B, L) in both cases. Compute
std from logvar yourself: std = exp(0.5 * logvar).

Where to look: lesson 6, the reparameterization. z is computed elementwise, and NumPy broadcasts (B, L) to (S,
B, L). Backward: eps is a constant; differentiate z with respect to mu, then with respect to logvar, by the
chain rule through std. All S samples use the same mu and logvar.

The formula: z = mu + std eps. dz/dmu = 1; dz/dlogvar = dstd/dlogvar eps = 1/2 std eps. Multiply both by dz,
and sum over the samples if there are several.
"""

from minivae import ops

from ..cases import normal, spread, upstream
from . import Exercise, Part

STD_SLIPS = """
    std = logvar  # logvar is taken for the standard deviation: std = exp(0.5 * logvar)
    std = exp(logvar // 2)  # logvar // 2 is rounded down to a whole number: write 0.5 * logvar
    std = log1p(exp(logvar))  # std is softplus(logvar): of a log-variance it is exp(0.5 * logvar)
"""


def far():
    """mu = 0, logvar from -60 to 59: then every entry of z shows its own std."""
    logvar, eps = spread(60)
    yield "mu = 0, logvar from -60 to 59", {"mu": 0 * logvar, "logvar": logvar, "eps": eps}


FORWARD = Part(
    ops.gaussian_sample,
    returns="z",
    walk="""
    std = exp(0.5 * logvar)  # (B, L): e^logvar is the variance
    z = mu + std * eps  # like eps
    """,
    slips=STD_SLIPS
    + """
    z = std * (mu + eps)  # mu is multiplied by the standard deviation as well
    z = mu - std * eps  # z is mu - std * eps: that has the right mean and variance, but z must grow with eps
    z = logvar + exp(0.5 * mu) * eps  # mu and logvar are swapped: z has the mean logvar and the variance e^mu
    """,
    cases={
        "every z": normal(mu="BL", logvar="BL", eps="BL"),
        "every z of several samples": normal(mu="BL", logvar="BL", eps="SBL"),
    },
    far={"z for very small and very large variances": far},
)

BACKWARD = Part(
    ops.gaussian_sample_backward,
    returns="dmu dlogvar",
    walk="""
    std = exp(0.5 * logvar)  # (B, L): e^logvar is the variance
    by_mu = dz  # like eps
    by_logvar = dz * 0.5 * std * eps  # like eps: the derivative of exp(a / 2) is 1/2 exp(a / 2)
    dmu = by_mu.sum(axis=0) if eps.ndim == 3 else by_mu  # (B, L)
    dlogvar = by_logvar.sum(axis=0) if eps.ndim == 3 else by_logvar  # (B, L)
    """,
    slips="""
    by_logvar = dz * eps  # dlogvar is the derivative with respect to std: it is std / 2 times that
    by_logvar = dz * 0.5 * (mu + std * eps)  # dlogvar has z where std * eps belongs
    dmu = by_mu.sum(axis=0); dlogvar = by_logvar.sum(axis=0)
        # the sum over axis 0 is taken for eps of shape (B, L) too: there axis 0 is the batch
    dlogvar = 0.5 * std * dz.sum(axis=0) * eps.sum(axis=0) if eps.ndim == 3 else by_logvar
        # dlogvar is a product of two sums over the samples: multiply dz and eps first, then add
    """
    + STD_SLIPS,
    cases={
        "the derivatives": normal(dz="BL", mu="BL", logvar="BL", eps="BL"),
        "the derivatives, several samples": normal(dz="SBL", mu="BL", logvar="BL", eps="SBL"),
    },
    far={"the derivatives for very small and very large variances": upstream("dz", far)},
)

EXERCISE = Exercise(__doc__, lesson=6, parts=(FORWARD, BACKWARD))
