"""The kernels are their twins: any shape, stride and type, the same bits on one thread or many."""

import inspect

import numpy as np
import oracles
import pytest
from checks import agree
from hypothesis import given, settings
from hypothesis import strategies as st

from minivae import kernels, ops, optimizers

settings.register_profile("kernels", deadline=None, max_examples=60)  # the first example compiles
settings.load_profile("kernels")
SIZES = st.integers(0, 130)
FLOATS = st.sampled_from([np.float32, np.float64])


KINDS = ["plain", "transposed", "reversed", "strided", "repeated", "constant", "unaligned", "readonly"]


@st.composite
def matrices(draw, rows, columns, dtype):
    """A (rows, columns) array that is a view: transposed, reversed, strided, repeated, or off alignment."""
    rng = np.random.default_rng(draw(st.integers(0, 2**32)))
    kind = draw(st.sampled_from(KINDS))
    if kind == "transposed":
        return rng.standard_normal((columns, rows)).astype(dtype).T
    if kind == "reversed":
        return rng.standard_normal((rows, columns)).astype(dtype)[::-1, ::-1]
    if kind == "strided":
        return rng.standard_normal((2 * rows, 3 * columns)).astype(dtype)[::2, ::3]
    if kind == "repeated":
        return np.broadcast_to(rng.standard_normal((1, columns)).astype(dtype), (rows, columns))
    if kind == "constant":
        return np.broadcast_to(dtype(rng.standard_normal()), (rows, columns))
    a = rng.standard_normal((rows, columns)).astype(dtype)
    if kind == "unaligned":
        shifted = np.empty(a.nbytes + 1, np.uint8)[1:].view(dtype).reshape(a.shape)
        shifted[...] = a
        return shifted
    a.flags.writeable = kind != "readonly"
    return a


@given(st.data(), SIZES, SIZES, SIZES, FLOATS)
def test_matmul(data, m, k, n, dtype):
    """Within 2 k eps of the float64 product, by the entries' absolute sums (Higham 2002, equation 3.13)."""
    a, b = data.draw(matrices(m, k, dtype)), data.draw(matrices(k, n, dtype))
    exact = a.astype(np.float64) @ b.astype(np.float64)
    bound = 2 * k * np.finfo(dtype).eps * (np.abs(a.astype(np.float64)) @ np.abs(b.astype(np.float64)))
    got = kernels.matmul(a, b)
    assert got.dtype == dtype
    assert got.shape == (m, n)
    assert np.all(np.abs(got - exact) <= bound)


@given(st.data(), st.integers(1, 20), SIZES, st.integers(1, 20), FLOATS)
def test_matmul_into_a_view(data, m, k, n, dtype):
    a, b = data.draw(matrices(m, k, dtype)), data.draw(matrices(k, n, dtype))
    frame = np.full((2 * m + 1, n + 2), 7, dtype)
    out = frame[1::2, 1:-1]
    assert kernels.matmul(a, b, out=out) is out
    agree("out", out, kernels.matmul(a, b), 0)
    assert np.all(frame[::2] == 7)
    assert np.all(frame[:, [0, -1]] == 7)


@pytest.mark.parametrize("value", [np.nan, np.inf, -np.inf])
def test_matmul_keeps_nan_and_infinity(value):
    a, b = np.ones((9, 11)), np.ones((11, 6))
    a[3, 5] = value
    b[5, 2] = 0.0  # inf * 0 is NaN
    with np.errstate(invalid="ignore"):
        want = np.array([[sum(a[i] * b[:, j]) for j in range(6)] for i in range(9)])
    np.testing.assert_array_equal(kernels.matmul(a, b), want)


@pytest.mark.parametrize(
    ("call", "error", "message"),
    [
        (lambda f: kernels.matmul(f(2, 3), f(2, 3)), ValueError, "share their inner size"),
        (lambda f: kernels.matmul(f(3), f(3, 2)), ValueError, r"a must have shape \(m, k\)"),
        (
            lambda f: kernels.matmul(f(2, 3), f(3, 2).astype(np.float32)),
            TypeError,
            "both be float32 or both float64",
        ),
        (lambda f: kernels.matmul(f(2, 3).astype(int), f(3, 2).astype(int)), TypeError, "float32"),
        (lambda f: kernels.matmul(f(2, 3), f(3, 2), out=f(2, 3)), ValueError, "out must have shape"),
        (
            lambda f: kernels.matmul(f(2, 2), f(2, 2), out=f(2, 2).astype(np.float32)),
            TypeError,
            "out must be float64",
        ),
        (lambda f: kernels.matmul([[1.0]], f(1, 1)), TypeError, "a must be a NumPy array"),
        (lambda f: kernels.set_threads(0), ValueError, "threads must be an integer of at least 1"),
        (lambda f: kernels.set_threads(10_000), ValueError, "threads must be at most"),
        (
            lambda f: kernels.adam_update(f(3, 2).T, f(2, 3), f(2, 3), f(2, 3), 1, 1, 0, 0, 0),
            ValueError,
            "contiguous",
        ),
        (lambda f: kernels.gaussian_kl(f(2, 3), f(2, 3).astype(np.float32)), TypeError, "one type"),
    ],
)
def test_bad_operands(call, error, message):
    with pytest.raises(error, match=message):
        call(lambda *shape: np.ones(shape))


def test_matmul_into_its_own_operand():
    a = np.arange(16.0).reshape(4, 4)
    want = a @ a
    assert kernels.matmul(a, a, out=a) is a
    agree("a", a, want, 1e-15)
    agree("a", kernels.matmul(a, a[::-1].T, out=a[::-1]), want @ want[::-1].T, 1e-15)


def test_every_operation_has_a_twin():
    """Same names, same parameters in the same order, same defaults."""
    for name, function in inspect.getmembers(ops, inspect.isfunction):
        twin = getattr(kernels, name)
        assert inspect.signature(twin) == inspect.signature(function), name
    for name in ("sgd_update", "rmsprop_update", "adam_update"):
        assert inspect.signature(getattr(kernels, name)) == inspect.signature(getattr(optimizers, name)), name


@given(st.data(), st.integers(1, 40), st.integers(1, 40), st.sampled_from([None, 1, 3]), FLOATS)
def test_twins_agree(data, B, n, S, dtype):
    """Every operation on both backends, over shapes, strides and types: equal to rounding."""
    rng = np.random.default_rng(data.draw(st.integers(0, 2**32)))

    def one(*shape):
        return rng.standard_normal(shape).astype(dtype)

    more = (B, n) if S is None else (S, B, n)
    a, c = data.draw(matrices(B, n, dtype)), data.draw(matrices(B, n, dtype))
    z, dz, per_z, per_x = one(*more), one(*more)[..., ::-1], one(*more[:-1]), one(B)
    W, b = data.draw(matrices(n, 7, dtype)), one(14)[::2]
    calls = [
        ("gaussian_sample", a, c, z),
        ("gaussian_sample_backward", dz, a, c, z),
        ("gaussian_kl", a, c),
        ("gaussian_kl_backward", per_x, a, c),
        ("gaussian_log_prob", z, a, c),
        ("gaussian_score", z, a, c),
        ("bernoulli_nll", z, a),
        ("bernoulli_nll_backward", per_z, z, a),
        ("gaussian_nll", z, b[:1], a),
        # every entry its own logvar: a sum over all of them may cancel, and then rounding is all that is left
        ("gaussian_nll_backward", per_z, z, np.broadcast_to(b[:1], z.shape), a),
        *(("activation_forward", a, activation) for activation in ops.ACTIVATIONS),
        *(("activation_backward", a, c, activation) for activation in ops.ACTIVATIONS),
    ]
    tolerance = 200 * np.finfo(dtype).eps
    for name, *args in calls:
        want, got = getattr(ops, name)(*args), getattr(kernels, name)(*args)
        for i, (g, w) in enumerate(
            zip(*((r if isinstance(r, tuple) else (r,)) for r in (got, want)), strict=True)
        ):
            assert g.dtype == dtype, name
            agree(f"{name}[{i}]", g, w, tolerance)
    for activation in ops.ACTIVATIONS:
        (y, cache), (y2, cache2) = (o.dense_forward(a, W, b, activation) for o in (ops, kernels))
        agree(f"dense {activation}", y2, y, tolerance)
        dy = one(*y.shape)
        # from the same y: a relu whose a is within rounding of zero may fall on either side
        for g, w in zip(
            kernels.dense_backward(dy, (*cache2[:2], *cache[2:])), ops.dense_backward(dy, cache), strict=True
        ):
            agree(f"dense_backward {activation}", g, w, tolerance)


@pytest.mark.parametrize("dtype", [np.float32, np.float64])
def test_the_same_bits_on_any_number_of_threads(dtype):
    """A step at MNIST's size on one thread and on all: every array equal to the last bit."""
    from minivae import VAE, Adam

    rng = np.random.default_rng(3)
    x, eps = rng.random((128, 784)).astype(dtype), rng.standard_normal((128, 20)).astype(dtype)

    def three_steps(threads):
        kernels.set_threads(threads)
        model, adam = VAE(dtype=dtype), Adam()
        for _ in range(3):
            terms, grads = model.loss_and_grads(x, eps)
            adam.step(model.params, grads)
        return [*terms, *model.params.values()]

    most = kernels.get_threads()
    try:
        for one, many in zip(three_steps(1), three_steps(most), strict=True):
            np.testing.assert_array_equal(one, many)
    finally:
        kernels.set_threads(most)


@pytest.mark.parametrize("sizes", [(6, 9, 5), (1, 1, 1), (70, 130, 65), (3, 0, 2)])
def test_every_version_of_the_product_is_the_same_product(sizes):
    """The naive and the blocked loop, which the lesson begins with, and the fast one."""
    from minivae.kernels.matmul import blocked, naive

    m, k, n = sizes
    rng = np.random.default_rng(1)
    a, b = rng.standard_normal((m, k)), rng.standard_normal((k, n))
    want = oracles.dense(a, b, np.zeros(n), "identity")
    for product in (naive, blocked):
        out = np.full((m, n), np.nan)
        product(a, b, out)
        agree(product.__name__, out, want, 1e-13)
    agree("matmul", kernels.matmul(a, b), want, 1e-13)


def test_long_rows_are_summed_in_double_precision():
    """A million equal terms: in single precision the sum would be off by parts in ten thousand."""
    zero = np.zeros((1, 1_000_000), np.float32)
    agree("bernoulli", kernels.bernoulli_nll(zero, zero), [1e6 * np.log(2)], 5e-7)
    agree(
        "gaussian",
        kernels.gaussian_nll(zero, np.zeros(1, np.float32), zero),
        [0.5e6 * np.log(2 * np.pi)],
        5e-7,
    )
