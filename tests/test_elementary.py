"""The vectorised functions against NumPy in double precision, over every kind of float32."""

import numba
import numpy as np
import pytest

from minivae import kernels, ops
from minivae.kernels import elementary as el


def exact_sigmoid(x):
    t = np.exp(-np.abs(x))
    return np.where(x >= 0, 1, t) / (1 + t)


INF = np.inf
FUNCTIONS = {  # name: exact, domain, and the promised error in units in the last place
    "exp": (np.exp, -INF, INF, 1.5),
    "log1p": (np.log1p, 0, 1, 2),
    "tanh": (np.tanh, -INF, INF, 1.5),
    "sigmoid": (exact_sigmoid, -INF, INF, 2.5),
}


@pytest.fixture(params=list(FUNCTIONS))
def case(request):
    """The compiled function, and the rest of its row."""
    function = getattr(el, request.param)
    return numba.vectorize(lambda x: function(x)), *FUNCTIONS[request.param]


def patterns(lowest, highest):
    """Float32 numbers of every sign and size: one bit pattern in 509, and the neighbourhoods of the edges."""
    every = np.arange(0, 2**32, 509, dtype=np.uint64).astype(np.uint32).view(np.float32)
    edges = np.float32([0, 1e-45, 1e-38, 2**-24, 0.625, 1, 2, 87.3, 88.7, 89, 103.9, 104, 1000, 3e38])
    near = [np.nextafter(edges, np.float32(to)) for to in (-INF, INF)]
    x = np.concatenate([every, edges, -edges, *near, np.linspace(-110, 110, 200_001, dtype=np.float32)])
    return x[np.isfinite(x) & (x >= lowest) & (x <= highest)]


def test_float32_within_its_bound(case):
    """Error in units in the last place of the right answer, denormal answers included."""
    function, exact, lowest, highest, bound = case
    x = patterns(lowest, highest)
    with np.errstate(over="ignore", under="ignore"):
        y, want = function(x), exact(x.astype(np.float64))
        rounded = want.astype(np.float32)
        ulp = np.spacing(np.maximum(np.abs(rounded), np.float32(1e-45))).astype(np.float64)
    assert y.dtype == np.float32
    finite = np.isfinite(rounded)
    error = np.abs(y[finite] - want[finite]) / ulp[finite]
    worst = np.argmax(error)
    assert error[worst] <= bound, f"at {x[finite][worst]!r}: {error[worst]:.2f} ulp"
    np.testing.assert_array_equal(y[~finite], rounded[~finite])


@pytest.mark.parametrize("dtype", [np.float32, np.float64])
def test_nan_and_infinity(case, dtype):
    function, exact, lowest, highest, _ = case
    x = np.array([np.nan, *(end for end in (-INF, INF) if lowest <= end <= highest)], dtype)
    with np.errstate(invalid="ignore", over="ignore"):
        np.testing.assert_array_equal(function(x), exact(x))


def test_float64(case):
    function, exact, lowest, highest, _ = case
    x = np.linspace(max(lowest, -800), min(highest, 700), 100_001)
    np.testing.assert_allclose(function(x), exact(x), rtol=1e-15, atol=0)


def test_the_loss_over_all_logits():
    """nll and its gradient at every logit from -110 to 110 and beyond, against double precision."""
    logits = np.concatenate([np.linspace(-110, 110, 50_001), [-1e4, -1000, 1000, 1e4]]).astype(np.float32)
    logits = logits[:, None]
    exact = logits.astype(np.float64)
    for x in (np.zeros_like(logits), np.ones_like(logits)):
        want = ops.bernoulli_nll(exact, x.astype(np.float64))
        np.testing.assert_allclose(kernels.bernoulli_nll(logits, x), want, rtol=4 * 2**-23, atol=1e-45)
        gradient = kernels.bernoulli_nll_backward(np.ones(len(x), np.float32), logits, x)
        np.testing.assert_allclose(gradient, exact_sigmoid(exact) - x, atol=4 * 2**-24)
