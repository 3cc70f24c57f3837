"""exp, expm1, log1p, tanh, sigmoid, softplus as arithmetic without branches: loops over them vectorise.

A call into the C library handles one number at a time. These handle a vector: every branch below is a
choice between two numbers that are both computed, and the exponent is set by integer arithmetic on the
bits. float32 only; float64 goes to the C library, since it serves the checks and not the training. No
fastmath, so NaN and infinity behave, and an element's bits do not depend on its place in the array.
"""

import math

import numpy as np
from numba import types
from numba.extending import overload, register_jitable

from .vectors import fma

_f, _i = np.float32, np.int32

# 1.5 * 2^23: a float32 of that size has no fraction bits, so adding it rounds to the nearest integer
# and leaves this integer in the low bits
_ROUND = _f(12582912.0)
_ROUND_BITS = _ROUND.view(np.int32)
_LOG2_E = _f(1.44269504)
# log 2 in two pieces; the first has few bits, so that n * _LN2_HIGH is exact for every n that occurs
_LN2_HIGH, _LN2_LOW = _f(0.693359375), _f(-2.12194440e-4)
_P = tuple(
    _f(c)
    for c in (
        1.9875691500e-4,
        1.3981999507e-3,
        8.3334519073e-3,
        4.1665795894e-2,
        1.6666665459e-1,
        5.0000001201e-1,
    )
)


@register_jitable
def _bits(x):
    return np.float32(x).view(np.int32)


@register_jitable
def _number(bits):
    # numba widens integer sums to int64; LLVM narrows them again when it sees the result cut back
    return np.int32(bits).view(np.float32)


@register_jitable
def _reduced(x):
    """x -> n, r, e^r - 1 with x = n log 2 + r and |r| <= log(2) / 2, by a polynomial (Cephes expf).

    n comes as an integer.
    """
    shifted = fma(x, _LOG2_E, _ROUND)
    n = shifted - _ROUND
    r = fma(-n, _LN2_LOW, fma(-n, _LN2_HIGH, x))
    p = _P[0]
    p = fma(p, r, _P[1])
    p = fma(p, r, _P[2])
    p = fma(p, r, _P[3])
    p = fma(p, r, _P[4])
    p = fma(p, r, _P[5])
    return _bits(shifted) - _ROUND_BITS, fma(p, r * r, r)


@register_jitable
def _exp32(x):
    """e^x = 2^n e^r.

    Beyond 89 the result overflows to inf, below -104 it is 0, in between denormals come out right.
    """
    # a NaN fails both comparisons and goes through
    x = _f(-104.0) if x < _f(-104.0) else x
    x = _f(89.0) if x > _f(89.0) else x
    n, above_one = _reduced(x)
    # 2^n in two factors: 2^128 and 2^-149 are not normal float32 numbers, their square roots are
    half = n >> 1
    first = _number((half + 127) << 23)
    second = _number((n - half + 127) << 23)
    return (above_one + _f(1.0)) * first * second


@register_jitable
def _expm1_32(x):
    """e^x - 1 = 2^n (e^r - 1) + (2^n - 1), which keeps the digits near 0; far from it, e^x less 1."""
    near = abs(x) < _f(5.0)
    n, above_one = _reduced(x if near else _f(0.0))
    scale = _number((n + 127) << 23)
    return fma(scale, above_one, scale - _f(1.0)) if near else _exp32(x) - _f(1.0)


_A = tuple(_f(c) for c in (0.116194386, 0.108516792, 0.142962899, 0.199998507, 0.333333337))


@register_jitable
def _log1p32(x):
    """For 0 <= x <= 1: log(1 + x) = 2 artanh(s) with s = x / (2 + x) <= 1/3, by its odd series.

    The coefficients of s^3, s^5, ... are fitted at Chebyshev nodes, within 4e-10.
    """
    double = (x + x) / (_f(2.0) + x)  # 2 s: half of a denormal would lose a bit
    z = _f(0.25) * double * double
    p = _A[0]
    p = fma(p, z, _A[1])
    p = fma(p, z, _A[2])
    p = fma(p, z, _A[3])
    p = fma(p, z, _A[4])
    return fma(double * z, p, double)


_T = tuple(
    _f(c)
    for c in (
        -5.70498872745e-3,
        2.06390887954e-2,
        -5.37397155531e-2,
        1.33314422036e-1,
        -3.33332819422e-1,
    )
)


@register_jitable
def _tanh32(x):
    """tanh x = 1 - 2 / (e^2x + 1), with its odd series where that would cancel (Cephes tanhf)."""
    a = abs(x)
    z = x * x
    p = _T[0]
    p = fma(p, z, _T[1])
    p = fma(p, z, _T[2])
    p = fma(p, z, _T[3])
    p = fma(p, z, _T[4])
    near = fma(p * z, x, x)
    far = _f(1.0) - _f(2.0) / (_exp32(a + a) + _f(1.0))
    far = -far if x < _f(0.0) else far
    return near if a < _f(0.625) else far


def exp(x):
    """e^x in compiled code; float32 within 2 ulp, vectorisable. Outside it, NumPy's."""
    return np.exp(x)


def expm1(x):
    """e^x - 1 in compiled code; float32 within 2 ulp, vectorisable. Outside it, NumPy's."""
    return np.expm1(x)


def log1p(x):
    """log(1 + x) for x in [0, 1] in compiled code; float32 within 2 ulp, vectorisable. Outside, NumPy's."""
    return np.log1p(x)


def tanh(x):
    """tanh x in compiled code; float32 within 3 ulp, vectorisable. Outside it, NumPy's."""
    return np.tanh(x)


def _by_type(function, single, double):
    """numba picks the version when it compiles the caller, by the type of x."""

    @overload(function, inline="never")
    def choose(x):
        if x == types.float32:
            return lambda x: single(x)
        return lambda x: double(x)


_by_type(exp, _exp32, math.exp)
_by_type(expm1, _expm1_32, math.expm1)
_by_type(log1p, _log1p32, math.log1p)
_by_type(tanh, _tanh32, math.tanh)


def _one(x):
    """1 in the type of x."""
    return type(x)(1)


@overload(_one)
def _one_typed(x):
    one = np.float32(1) if x == types.float32 else 1.0
    return lambda x: one


@register_jitable
def sigmoid(x):
    """1 / (1 + e^-x), from t = e^-|x| in (0, 1], which never overflows."""
    t = exp(-abs(x))
    one = _one(x)
    return (one if x >= 0 else t) / (one + t)


@register_jitable
def softplus(x):
    """log(1 + e^x) = max(x, 0) + log1p(e^-|x|)."""
    zero = _one(x) - _one(x)
    return (zero if x < zero else x) + log1p(exp(-abs(x)))


@register_jitable
def softplus_slope(y):
    """The slope of softplus from its output: 1 - e^-y = 2 t / (1 + t), t = tanh(y / 2); exact near 0 too."""
    one = _one(y)
    t = tanh(y / (one + one))
    return (t + t) / (one + t)
