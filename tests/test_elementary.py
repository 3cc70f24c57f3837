"""The vectorised functions against NumPy in double precision, over every kind of float32."""

import numpy as np
import pytest

from minivae import kernels, ops
from minivae.kernels import elementary as el
from minivae.kernels.compiled import compiled

BOUND = 4  # ulp: the promise; the functions themselves are measured to be within 2.5


@compiled
def apply(code, x, y):
    for i in range(x.size):
        if code == 0:
            y[i] = el.exp(x[i])
        elif code == 1:
            y[i] = el.log1p(x[i])
        elif code == 2:
            y[i] = el.tanh(x[i])
        elif code == 3:
            y[i] = el.sigmoid(x[i])
        elif code == 4:
            y[i] = el.softplus(x[i])
        elif code == 5:
            y[i] = el.softplus_slope(x[i])
        else:
            y[i] = el.expm1(x[i])


def exact_sigmoid(x):
    t = np.exp(-np.abs(x))
    return np.where(x >= 0, 1, t) / (1 + t)


EXACT = {
    "exp": np.exp,
    "log1p": np.log1p,
    "tanh": np.tanh,
    "sigmoid": exact_sigmoid,
    "softplus": lambda x: np.maximum(x, 0) + np.log1p(np.exp(-np.abs(x))),
    "softplus_slope": lambda x: -np.expm1(-x),
    "expm1": np.expm1,
}
DOMAIN = {"log1p": (0, 1), "softplus_slope": (0, np.inf)}  # what they are asked for, if not everything


def patterns(name):
    """Float32 numbers of every sign and size: one bit pattern in 509, and the neighbourhoods of the edges."""
    every = np.arange(0, 2**32, 509, dtype=np.uint64).astype(np.uint32).view(np.float32)
    edges = np.float32([0, 1e-45, 1e-38, 2**-24, 0.625, 1, 2, 87.3, 88.7, 89, 103.9, 104, 1000, 3e38])
    near = [np.nextafter(edges, np.float32(to)) for to in (-np.inf, np.inf)]
    x = np.concatenate([every, edges, -edges, *near, np.linspace(-110, 110, 200_001, dtype=np.float32)])
    x = x[np.isfinite(x)]
    lowest, highest = DOMAIN.get(name, (-np.inf, np.inf))
    return x[(x >= lowest) & (x <= highest)]


@pytest.mark.parametrize("name", list(EXACT))
def test_float32_within_4_ulp(name):
    """Error in units in the last place of the right answer, denormal answers included."""
    x = patterns(name)
    y = np.empty_like(x)
    apply(list(EXACT).index(name), x, y)
    with np.errstate(over="ignore", under="ignore"):
        want = EXACT[name](x.astype(np.float64))
        rounded = want.astype(np.float32)
        ulp = np.spacing(np.maximum(np.abs(rounded), np.float32(1e-45))).astype(np.float64)
    finite = np.isfinite(rounded)
    error = np.abs(y[finite] - want[finite]) / ulp[finite]
    worst = np.argmax(error)
    assert error[worst] <= BOUND, f"{name}({x[finite][worst]!r}): {error[worst]:.2f} ulp"
    np.testing.assert_array_equal(y[~finite], rounded[~finite])


@pytest.mark.parametrize("dtype", [np.float32, np.float64])
@pytest.mark.parametrize("name", list(EXACT))
def test_nan_and_infinity(name, dtype):
    lowest, highest = DOMAIN.get(name, (-np.inf, np.inf))
    x = np.array([np.nan, *(end for end in (-np.inf, np.inf) if lowest <= end <= highest)], dtype)
    y = np.empty_like(x)
    apply(list(EXACT).index(name), x, y)
    np.testing.assert_array_equal(y, EXACT[name](x))


@pytest.mark.parametrize("name", list(EXACT))
def test_float64(name):
    lowest, highest = DOMAIN.get(name, (-np.inf, np.inf))
    x = np.linspace(max(lowest, -800), min(highest, 700), 100_001)
    y = np.empty_like(x)
    apply(list(EXACT).index(name), x, y)
    np.testing.assert_allclose(y, EXACT[name](x), rtol=1e-15, atol=0)


def test_the_loss_over_all_logits():
    """nll and its gradient at every logit from -110 to 110 and beyond, against double precision."""
    logits = np.concatenate([np.linspace(-110, 110, 50_001), [-1e4, -1000, 1000, 1e4]]).astype(np.float32)[
        :, None
    ]
    exact = logits.astype(np.float64)
    for x in (np.zeros_like(logits), np.ones_like(logits)):
        want = ops.bernoulli_nll(exact, x.astype(np.float64))
        np.testing.assert_allclose(kernels.bernoulli_nll(logits, x), want, rtol=4 * 2**-23, atol=1e-45)
        gradient = kernels.bernoulli_nll_backward(np.ones(len(x), np.float32), logits, x)
        np.testing.assert_allclose(gradient, exact_sigmoid(exact) - x, atol=4 * 2**-24)
