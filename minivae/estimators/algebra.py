"""Sums of terms whose expectation is known: what the exact variances are reckoned with.

With z = mu + std e and e ~ N(0, 1), a cost and every per-sample gradient made of it are sums of terms

    c e^n exp(i (alpha e^2 + gamma) + j beta e) u^p v^q        stored as {(i, j, n, p, q): c}

A polynomial has i = j = 0; exp(-k z^2) is one term; cos(kz) is two, with an imaginary beta. u and v stand for
what the cost's other coordinates add: u stays and v changes its sign when all noise changes its sign. A
product adds exponents, so any power of such a sum is one again, and its mean is a sum of Gaussian integrals.
"""

import cmath
import math
from functools import lru_cache
from operator import add
from typing import NamedTuple

ONE = (0, 0, 0, 0, 0)
E = (0, 0, 1, 0, 0)
E_SQUARED = (0, 0, 2, 0, 0)
U = (0, 0, 0, 1, 0)
V = (0, 0, 0, 0, 1)


class Law(NamedTuple):
    """What the symbols mean: alpha, beta, gamma, and E[u^p v^q] as {(p, q): mean}."""

    alpha: float = 0.0
    beta: complex = 0.0
    gamma: float = 0.0
    rest: dict = {(0, 0): 1.0}  # noqa: RUF012, nobody writes into it


def plus(*sums):
    """The sum of sums."""
    total = {}
    for terms in sums:
        for key, c in terms.items():
            total[key] = total.get(key, 0) + c
    return total


def times(left, right, within=None):
    """The product: exponents add, coefficients multiply. `within`: the keys that are kept."""
    total = {}
    for key, c in left.items():
        for other, d in right.items():
            both = tuple(map(add, key, other))
            if within is None or both in within:
                total[both] = total.get(both, 0) + c * d
    return total


def power(terms, n):
    """terms^n."""
    return times(power(terms, n - 1), terms) if n else {ONE: 1.0}


def scaled(terms, factor):
    """factor * terms."""
    return {key: factor * c for key, c in terms.items()}


def flipped(terms):
    """The same with all noise of the other sign: e -> -e, v -> -v."""
    return {(i, -j, n, p, q): c * (-1) ** (n + q) for (i, j, n, p, q), c in terms.items()}


# d/de e^n exp(i alpha e^2 + j beta e) = (n e^(n-1) + 2 i alpha e^(n+1) + j beta e^n) exp(...)
def derivative(terms, law):
    """d/de of every term, u and v held."""
    return plus(
        {(i, j, n - 1, p, q): c * n for (i, j, n, p, q), c in terms.items() if n},
        {(i, j, n + 1, p, q): c * 2 * i * law.alpha for (i, j, n, p, q), c in terms.items() if i},
        {(i, j, n, p, q): c * j * law.beta for (i, j, n, p, q), c in terms.items() if j},
    )


def mean(terms, law):
    """E of the sum: e ~ N(0, 1), u and v by their moments, independent of e."""
    return sum(
        (c * _gaussian(i * law.alpha, j * law.beta, i * law.gamma, n) * law.rest.get((p, q), 0)).real
        for (i, j, n, p, q), c in terms.items()
    )


# Completing the square, with w = 1 / (1 - 2a):
#   E[e^n exp(a e^2 + b e)] = sqrt(w) exp(b^2 w / 2) E[(sqrt(w) e + b w)^n],    E e^m = (m - 1)!! for even m
@lru_cache(maxsize=4096)
def _gaussian(a, b, constant, n):
    w = 1 / (1 - 2 * a)
    powers = sum(
        math.comb(n, m) * w ** (m // 2) * math.prod(range(1, m, 2)) * (b * w) ** (n - m)
        for m in range(0, n + 1, 2)
    )
    return math.sqrt(w) * cmath.exp(constant + b * b * w / 2) * powers


# The series E exp(t.X) = sum_k E[X^k] t^k / k! of a sum of independent copies is a power of the one copy's.
def moments_of_sum(one, copies):
    """{k: E X^k} of one copy -> {k: E (X_1 + ... + X_copies)^k}, for the same multi-indices k.

    X may be a vector, X^k = prod_i X_i^k_i. With an index, all below it must be there.
    """
    factorial = {k: math.prod(map(math.factorial, k)) for k in one}
    series = {k: moment / factorial[k] for k, moment in one.items()}
    total = {tuple(0 for _ in next(iter(one))): 1.0}
    for bit in f"{copies:b}":
        total = times(total, total, within=one)
        if bit == "1":
            total = times(total, series, within=one)
    return {k: c * factorial[k] for k, c in total.items()}
