"""Measure-valued: the derivative of a density is a difference of two densities."""

import math

import numpy as np

from .. import arguments, ops
from .samples import cost_of


# The derivative of a density is a difference of two densities, times a constant. With phi the normal density:
#   d/dmu    N(z; mu, std)  =  (p+ - p-) / (std sqrt(2 pi))    z = mu +- std w,   w ~ w e^(-w^2/2), w > 0
#   d/dstd   N(z; mu, std)  =  (p+ - p-) / std                 z+ = mu + std m,   m ~ m^2 phi(m)
#                                                              z- = mu + std n,   n ~ phi(n)
#   d/dlogvar = 1/2 std d/dstd, so its constant is 1/2
# w is a Weibull(2, sqrt 2), also called Rayleigh; m a double-sided Maxwell. One draw may serve both sides:
# the same w, and n = m u with u uniform on (0, 1), which is normal.
def measure_valued(f, mu, logvar, rng, coupled=True, samples=1):
    """f at one measure minus f at another, coordinate by coordinate -> dmu, dlogvar (samples, B, L).

    No derivative of f is asked for, but 4 L evaluations a sample: 2 for each coordinate of mu, 2 for each of
    logvar, the others staying where q drew them. coupled=True shares the randomness of the two sides; False
    draws each side on its own. (Pflug 1996; Mohamed et al. 2020, section 6)
    """
    arguments.gaussian(mu, logvar)
    arguments.generator("rng", rng)
    shape = (arguments.integer("samples", samples), *mu.shape)  # (S, B, L)
    std = ops.gaussian_std(logvar)  # (B, L)
    z_plus = _normal(mu, std, rng, shape)
    z_minus = z_plus if coupled else _normal(mu, std, rng, shape)
    dmu, dlogvar = np.empty((2, *shape), std.dtype)
    for l in range(mu.shape[1]):
        centre, spread = mu[:, l], std[:, l]  # (B,)
        w = rng.rayleigh(size=shape[:2])  # (S, B), as all that follow
        w_minus = w if coupled else rng.rayleigh(size=shape[:2])
        rise = _rise(f, l, z_plus, centre + spread * w, z_minus, centre - spread * w_minus)
        dmu[..., l] = rise / (math.sqrt(2 * math.pi) * spread)
        m = np.copysign(np.sqrt(rng.chisquare(3, shape[:2])), rng.random(shape[:2]) - 0.5)
        n = m * rng.random(shape[:2]) if coupled else rng.standard_normal(shape[:2])
        dlogvar[..., l] = _rise(f, l, z_plus, centre + spread * m, z_minus, centre + spread * n) / 2
    return dmu, dlogvar


def _normal(mu, std, rng, shape):
    return (mu + std * rng.standard_normal(shape)).astype(std.dtype, copy=False)


def _rise(f, l, z_plus, plus, z_minus, minus):
    return _cost_with(f, z_plus, l, plus) - _cost_with(f, z_minus, l, minus)


def _cost_with(f, z, l, moved):
    """f at z with coordinate l moved to `moved` (S, B); z itself is as before afterwards."""
    kept = z[..., l].copy()
    z[..., l] = moved
    cost = cost_of(f, z).copy()  # f may have returned a view of z
    z[..., l] = kept
    return cost
