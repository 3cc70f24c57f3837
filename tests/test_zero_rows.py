"""`dense_backward` leaves out rows of zeros in dy; only the run time may change."""

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from oracles import agree

import minivae as mv
from minivae import kernels, ops
from minivae.kernels import dense
from minivae.models import bounds

B, I, O = dense.MANY + 40, 100, 104


def layer(rng, activation="tanh", dtype=np.float64, zeros=0.6, size=(B, I, O)):
    """dy, in which a row is all 0 with probability `zeros`, or its first entry is, and a layer's cache."""
    rows, inputs, outputs = size
    x, W, b = (rng.standard_normal(s).astype(dtype) for s in ((rows, inputs), (inputs, outputs), outputs))
    dy = rng.standard_normal((rows, outputs)) * (rng.random((rows, 1)) >= zeros)
    dy[rng.random(rows) < 0.3, 0] = 0
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
    st.tuples(st.integers(dense.MANY, 1100), st.integers(1, 60), st.integers(2, 60)),
    st.booleans(),
)
def test_every_bit_is_as_if_no_row_were_left_out(seed, activation, dtype, zeros, size, wanted):
    dy, cache = layer(np.random.default_rng(seed), activation, dtype, zeros, size)
    given, before = (dy, *cache[:3]), [array.copy() for array in (dy, *cache[:3])]
    want = kernels.dense_backward(dy, cache, wanted)  # a layer too small to look for such rows
    wide, dense.WIDE = dense.WIDE, 0
    try:
        got = kernels.dense_backward(dy, cache, wanted)
    finally:
        dense.WIDE = wide
    for name, a, b in zip(("dx", "dW", "db"), got, want, strict=True):
        assert (a is None and b is None) or a.tobytes() == b.tobytes(), name
    for array, copy in zip(given, before, strict=True):
        assert np.array_equal(array, copy)


@pytest.mark.parametrize("activation", ["identity", "relu", "tanh"])
def test_only_the_other_rows_are_multiplied(activation, rng, monkeypatch):
    """And one more, used for all rows of zeros. Without this test a mistake would only cost time."""
    dy, cache = layer(rng, activation)
    n, found = rows_used(dy, cache, monkeypatch)
    assert n == 1 + np.count_nonzero(dy.any(axis=1)) < 0.6 * B
    for got, want in zip(found, ops.dense_backward(dy, cache), strict=True):
        agree("derivative", got, want, 1e-13)
    for few, size in ((0.1, (B, I, O)), (0.6, (dense.MANY - 1, I, O)), (0.6, (B, 99, 101))):
        dy, cache = layer(rng, activation, zeros=few, size=size)
        assert rows_used(dy, cache, monkeypatch)[0] == len(dy)


def test_a_column_of_zeros_alone_leaves_no_row_out(rng, monkeypatch):
    """There are then as many rows to copy as there are, and one more: the copies have no place for it."""
    dy, cache = layer(rng, zeros=0)
    dy[:, 0] = 0
    n, found = rows_used(dy, cache, monkeypatch)
    assert n == B
    for got, want in zip(found, ops.dense_backward(dy, cache), strict=True):
        agree("derivative", got, want, 1e-13)


@pytest.mark.parametrize("value", [np.nan, np.inf, -np.inf])
@pytest.mark.parametrize("activation", ["identity", "relu", "tanh"])
@pytest.mark.parametrize("place", ["x", "W", "y", "dy"])
@pytest.mark.parametrize("zeros", [0.6, 1])
def test_zero_times_infinity_is_not_zero(place, activation, value, zeros, rng):
    """For a row of zeros, dx is NaN where W is not finite, and dW is NaN where x or y is not."""
    dy, cache = layer(rng, activation, zeros=zeros)
    row = np.flatnonzero(~dy.any(axis=1))[7]
    {"x": cache[0][row], "W": cache[1][4], "y": cache[2][row], "dy": dy[row]}[place][-1] = value
    with np.errstate(invalid="ignore"):
        want = ops.dense_backward(dy, cache)
    for name, got, right in zip(("dx", "dW", "db"), kernels.dense_backward(dy, cache), want, strict=True):
        np.testing.assert_array_equal(np.isnan(got), np.isnan(right), name)
    spoiled = not np.isfinite(want[0 if place == "W" else 1]).all()
    assert spoiled or (place == "y" and activation != "tanh") or (place == "dy" and activation == "relu")


@pytest.mark.parametrize("threads", [1, 2])
def test_arrays_that_are_not_contiguous_or_read_only(threads, rng):
    """Strided arrays, a read-only x, and no derivative of x."""
    dy, (x, W, y, activation) = layer(rng)
    want = ops.dense_backward(dy, (x, W, y, activation))
    apart, fixed, before = np.repeat(x, 2, axis=1)[:, ::2], x.copy(), kernels.get_threads()
    fixed.flags.writeable = False
    kernels.set_threads(min(threads, before))
    try:
        for given_x in (x, apart, fixed, np.asfortranarray(x)):
            cache = given_x, np.asfortranarray(W), np.asfortranarray(y), activation
            found = kernels.dense_backward(np.asfortranarray(dy), cache)
            for got, right in zip(found, want, strict=True):
                agree("derivative", got, right, 1e-13)
        assert kernels.dense_backward(dy, (x, W, y, activation), False)[0] is None
    finally:
        kernels.set_threads(before)


@pytest.mark.parametrize("dtype", [np.float32, np.float64])
def test_logits_of_samples_without_weight(dtype, rng):
    """Their derivative is 0, whatever is finite or infinite there; NaN stays."""
    x = (rng.random((6, 30)) < 0.5).astype(dtype)
    logits, dnll = rng.standard_normal((4, 6, 30)).astype(dtype), rng.standard_normal((4, 6)).astype(dtype)
    dnll[1:3, 1:5] = 0
    logits[:, 2, 3], logits[:, 2, 4], logits[:, 3, 5], logits[:, 4, 6] = np.nan, np.inf, -np.inf, 1e30
    got, want = (of.bernoulli_nll_backward(dnll, logits, x) for of in (kernels, ops))
    np.testing.assert_array_equal(np.isnan(got), np.isnan(logits))
    np.testing.assert_allclose(got, want, 10 * np.finfo(dtype).eps, 10 * np.finfo(dtype).eps)


def softmax(cost):
    """The importance weights (S, B) from costs, none of them set to 0."""
    weights = np.exp(cost.min(axis=0) - cost.astype(float))
    return weights / weights.sum(axis=0)


@pytest.mark.parametrize("dtype", [np.float32, np.float64])
def test_weights_that_vanish_in_the_rounding_of_their_sum_are_zero(dtype):
    """nll over 100 nats: the weights set to 0 add up to less than eps, and no larger weight is set to 0."""
    nll = np.linspace(0, 100, 200, dtype=dtype)[:, None] + np.array([0, 300, 70], dtype)  # (S, B)
    dnll, _ = bounds.bound_backward(nll, np.zeros_like(nll), 1.0, "iwae")
    exact, eps = softmax(nll), np.finfo(dtype).eps
    kept = exact / exact.max(axis=0) >= eps / 200
    assert 40 < np.count_nonzero(kept[:, 0]) < 90
    np.testing.assert_array_equal(dnll > 0, kept)
    assert np.where(kept, 0, exact).sum(axis=0).max() < eps
    np.testing.assert_allclose(dnll[kept], exact[kept] / 3, 1000 * eps)


@pytest.mark.parametrize("dtype", [np.float32, np.float64])
def test_the_gradient_does_not_need_samples_without_weight(dtype, rng, monkeypatch):
    """50 samples of 20 images, many without weight: beside the gradient with all of them in float64."""
    model = mv.VAE(150, 4, (100,), "tanh", dtype=np.float64)
    for param in model.params.values():
        param += 0.4 * rng.standard_normal(param.shape)
    x, eps = (rng.random((20, 150)) < 0.3).astype(float), rng.standard_normal((50, 20, 4))
    wide, model = model.astype(np.float64, "numpy"), model.astype(dtype)
    _, trace = wide.forward(x, eps, bound="iwae")
    weights = softmax(trace.nll + trace.kl) / 20
    want = wide.backward(trace, weights=(weights, weights))
    _, trace = model.forward(x.astype(dtype), eps.astype(dtype), bound="iwae")
    d, tolerance = model.backward(trace), 1e-13 if dtype == np.float64 else 1e-4
    assert 0.2 < np.mean(d["nll"] == 0) < 0.9
    for name in model.params:
        agree(name, d[name].astype(float), want[name], tolerance)
    dy, cache = d["output"].reshape(1000, 150), trace.caches["output"]
    assert rows_used(dy, cache, monkeypatch)[0] < 800
