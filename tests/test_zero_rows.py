"""Rows of zeros in a derivative: `dense_backward` leaves them out, and nothing but the time may tell."""

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from oracles import agree

import minivae as mv
from minivae import kernels, ops
from minivae.kernels import dense
from minivae.models import bounds

B, I, O = dense.MANY + 40, 21, 50


def layer(rng, activation="tanh", dtype=np.float64, zeros=0.6, size=(B, I, O)):
    """dy, in which a row is all 0 with probability `zeros`, and the cache of a layer."""
    rows, inputs, outputs = size
    x, W, b = (rng.standard_normal(s).astype(dtype) for s in ((rows, inputs), (inputs, outputs), outputs))
    dy = rng.standard_normal((rows, outputs)) * (rng.random((rows, 1)) >= zeros)
    return dy.astype(dtype), kernels.dense_forward(x, W, b, activation)[1]


def rows_used(dy, cache, monkeypatch):
    """How many rows the products of `dense_backward` have, and its results."""
    used, run = [], dense.run

    def watched(kernel, kinds, work, *arrays, code):
        used.append(len(arrays[0]))
        run(kernel, kinds, work, *arrays, code=code)

    with monkeypatch.context() as patch:
        patch.setattr(dense, "run", watched)
        found = kernels.dense_backward(dy, cache)
    return used[0], found


@settings(deadline=None, max_examples=60)  # the first example compiles
@given(
    st.integers(0, 2**32),
    st.sampled_from(["identity", "relu", "tanh", "softplus"]),
    st.sampled_from([np.float32, np.float64]),
    st.sampled_from([0, 0.1, 0.5, 0.97, 1]),
    st.tuples(st.integers(256, 700), st.integers(1, 60), st.integers(1, 60)),
    st.booleans(),
)
def test_every_bit_is_as_if_no_row_were_left_out(seed, activation, dtype, zeros, size, wanted):
    dy, cache = layer(np.random.default_rng(seed), activation, dtype, zeros, size)
    before = dy.copy(), cache[0].copy()
    got = kernels.dense_backward(dy, cache, wanted)
    many, dense.MANY = dense.MANY, 10**9
    try:
        want = kernels.dense_backward(dy, cache, wanted)
    finally:
        dense.MANY = many
    for name, a, b in zip(("dx", "dW", "db"), got, want, strict=True):
        assert (a is None and b is None) or a.tobytes() == b.tobytes(), name
    assert np.array_equal(dy, before[0])
    assert np.array_equal(cache[0], before[1])


@pytest.mark.parametrize("activation", ["identity", "relu", "tanh"])
def test_the_products_have_the_other_rows_alone(activation, rng, monkeypatch):
    """One row more, which stands for all rows of zeros. A mistake here would only take longer."""
    dy, cache = layer(rng, activation)
    n, found = rows_used(dy, cache, monkeypatch)
    assert n == 1 + np.count_nonzero(dy.any(axis=1)) < 0.6 * B
    for got, want in zip(found, ops.dense_backward(dy, cache), strict=True):
        agree("derivative", got, want, 1e-13)
    for few, size in ((0.05, (B, I, O)), (0.6, (dense.MANY - 1, I, O))):
        dy, cache = layer(rng, activation, zeros=few, size=size)
        assert rows_used(dy, cache, monkeypatch)[0] == len(dy)


@pytest.mark.parametrize("value", [np.nan, np.inf, -np.inf])
@pytest.mark.parametrize("place", ["x", "W", "dy"])
def test_zero_times_infinity_is_not_zero(place, value, rng):
    """A row of zeros has a dx of NaN if W is not finite, and spoils dW if its x is not."""
    dy, cache = layer(rng, "identity")
    row = np.flatnonzero(~dy.any(axis=1))[7]
    {"x": cache[0][row], "W": cache[1][4], "dy": dy[row]}[place][3] = value
    with np.errstate(invalid="ignore"):
        want = ops.dense_backward(dy, cache)
    for name, got, right in zip(("dx", "dW", "db"), kernels.dense_backward(dy, cache), want, strict=True):
        np.testing.assert_array_equal(np.isnan(got), np.isnan(right), name)
    assert not np.isfinite(want[0 if place == "W" else 1]).all()


@pytest.mark.parametrize("threads", [1, 2])
def test_memory_that_is_not_in_one_piece(threads, rng):
    """Strides, a read-only x, and no derivative of x."""
    dy, (x, W, y, activation) = layer(rng)
    want = ops.dense_backward(dy, (x, W, y, activation))
    apart = np.repeat(x, 2, axis=1)[:, ::2]
    fixed = x.copy()
    fixed.flags.writeable = False
    kernels.set_threads(min(threads, kernels.get_threads()))
    try:
        for given_x in (x, apart, fixed, np.asfortranarray(x)):
            cache = given_x, np.asfortranarray(W), np.asfortranarray(y), activation
            found = kernels.dense_backward(np.asfortranarray(dy), cache)
            for got, right in zip(found, want, strict=True):
                agree("derivative", got, right, 1e-13)
        assert kernels.dense_backward(dy, (x, W, y, activation), False)[0] is None
    finally:
        kernels.set_threads(dense.threads.config.NUMBA_NUM_THREADS)


@pytest.mark.parametrize("dtype", [np.float32, np.float64])
def test_weights_that_vanish_in_the_rounding_of_their_sum_are_zero(dtype):
    """nll from 0 to 100 nats: what is left out changes no sum, and no weight is left that could."""
    nll = np.linspace(0, 100, 200, dtype=dtype)[:, None]  # (S, 1)
    dnll, _ = bounds.bound_backward(nll, np.zeros_like(nll), 1.0, "iwae")
    exact = np.exp(-nll.astype(float)) / np.exp(-nll.astype(float)).sum()
    least = np.finfo(dtype).eps / len(nll)
    kept = dnll > 0
    assert 40 < np.count_nonzero(kept) < 90
    assert np.all(dnll[kept] > 0.3 * least)
    assert exact[~kept].sum() < np.finfo(dtype).eps
    np.testing.assert_allclose(dnll[kept], exact[kept], 1000 * np.finfo(dtype).eps)


def test_a_model_with_many_samples_has_the_gradient_of_its_twin_in_numpy(rng):
    """50 samples of 20 images: about half of them have no weight, and the gradient does not need them."""
    model = mv.VAE(60, 4, (30,), "tanh", dtype=np.float64)
    for param in model.params.values():
        param += 0.4 * rng.standard_normal(param.shape)
    x, eps = (rng.random((20, 60)) < 0.3).astype(float), rng.standard_normal((50, 20, 4))
    _, trace = model.forward(x, eps, bound="iwae")
    dnll, _ = bounds.bound_backward(trace.nll, trace.kl, 1.0, "iwae")
    assert 0.05 < np.mean(dnll == 0) < 0.95
    _, grads = model.loss_and_grads(x, eps, bound="iwae")
    _, want = model.astype(np.float64, "numpy").loss_and_grads(x, eps, bound="iwae")
    for name, grad in grads.items():
        agree(name, grad, want[name], 1e-12)
