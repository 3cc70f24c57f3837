"""exp, log1p, tanh, sigmoid as arithmetic without branches, so that loops over them vectorise.

A call into the C library handles one number at a time. These handle a vector: every branch below is a
choice between two numbers that are both computed, and the exponent is set by integer arithmetic on the
bits. float32 only; float64 calls the C library, since it serves checks and not training. There is no
fastmath, so NaN and infinity behave, and the bits of an element do not depend on its place in the array.
"""

import math
from functools import partial

import numpy as np
from numba import types
from numba.extending import overload, register_jitable

from .vectors import fma

_f = np.float32


def _by_type(double, single):
    """Compiled code, and no other, calls `single` for a float32 and `double` for a float64."""

    @overload(single)
    def choose(x):
        return single if x == types.float32 else lambda x: double(x)

    return single


@register_jitable
def _horner(c, x):
    """c0 x^4 + c1 x^3 + ... for five coefficients, the highest power first."""
    return fma(fma(fma(fma(_f(c[0]), x, _f(c[1])), x, _f(c[2])), x, _f(c[3])), x, _f(c[4]))


# 1.5 * 2^23: a float32 of that size has no fraction bits, so adding it rounds to the nearest integer
# and leaves this integer in the low bits
_ROUND = _f(12582912.0)
_ROUND_BITS = _ROUND.view(np.int32)
# log 2 in two pieces; the first has few bits, so that n * _LN2_HIGH is exact for every n that occurs
_LN2_HIGH, _LN2_LOW = _f(0.693359375), _f(-2.12194440e-4)
_EXP = (1.9875691500e-4, 1.3981999507e-3, 8.3334519073e-3, 4.1665795894e-2, 1.6666665459e-1)


@partial(_by_type, math.exp)
def exp(x):
    """e^x = 2^n e^r with x = n log 2 + r, |r| <= log(2) / 2, and a polynomial for e^r (Cephes expf).

    Within 1.5 ulp; above 88.7 the result is inf, below -104 it is 0, in between denormals come out right.
    """
    # a NaN fails both comparisons and goes through
    x = _f(-104.0) if x < _f(-104.0) else x
    x = _f(89.0) if x > _f(89.0) else x
    shifted = fma(x, _f(1.44269504), _ROUND)  # n = x / log 2, rounded
    n = shifted - _ROUND
    r = fma(-n, _LN2_LOW, fma(-n, _LN2_HIGH, x))
    p = fma(_horner(_EXP, r), r, _f(5.0000001201e-1))
    e_r = fma(p, r * r, r) + _f(1.0)
    # 2^n in two factors: 2^128 and 2^-149 are not normal float32 numbers, their square roots are
    exponent = np.float32(shifted).view(np.int32) - _ROUND_BITS
    half = exponent >> 1
    # numba widens integer sums to int64; LLVM narrows them again when the result is cut back here
    low, high = np.int32((half + 127) << 23), np.int32((exponent - half + 127) << 23)
    return e_r * low.view(np.float32) * high.view(np.float32)


_ARTANH = (0.116194386, 0.108516792, 0.142962899, 0.199998507, 0.333333337)


@partial(_by_type, math.log1p)
def log1p(x):
    """For 0 <= x <= 1: log(1 + x) = 2 artanh(s) with s = x / (2 + x) <= 1/3, by its odd series.

    The coefficients of s^3, s^5, ... are fitted at Chebyshev nodes, within 4e-10; the result is within 2 ulp.
    """
    double = (x + x) / (_f(2.0) + x)  # 2 s: half of a denormal would lose a bit
    z = _f(0.25) * double * double
    return fma(double * z, _horner(_ARTANH, z), double)


_TANH = (-5.70498872745e-3, 2.06390887954e-2, -5.37397155531e-2, 1.33314422036e-1, -3.33332819422e-1)


@partial(_by_type, math.tanh)
def tanh(x):
    """1 - 2 / (e^2x + 1), or a series below 0.625, where that cancels (Cephes tanhf); within 1.5 ulp."""
    a = abs(x)
    z = x * x
    near = fma(_horner(_TANH, z) * z, x, x)
    far = _f(1.0) - _f(2.0) / (exp(a + a) + _f(1.0))
    far = -far if x < _f(0.0) else far
    return near if a < _f(0.625) else far


@register_jitable
def sigmoid(x):
    """1 / (1 + e^-x), which never overflows; within 2.5 ulp."""
    t = exp(-abs(x))
    return (_f(1.0) if x >= _f(0.0) else t) / (_f(1.0) + t)
