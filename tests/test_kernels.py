"""The kernels are their twins: any shape, stride and type, the same bits on one thread or many."""

import ctypes
import inspect
import itertools
import math
import mmap
import sys

import numba
import numpy as np
import oracles
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from oracles import agree

from minivae import kernels, ops, optimizers
from minivae.kernels import tiles
from minivae.kernels.threads import range_of
from minivae.kernels.vectors import HALF, ROWS

settings.register_profile("kernels", deadline=None, max_examples=60)  # the first example compiles
settings.load_profile("kernels")
SIZES = st.integers(0, 130)
FLOATS = st.sampled_from([np.float32, np.float64])


VIEWS = {  # (m, n) arrays made from r, which draws an array
    "plain": lambda r, m, n: r(m, n),
    "transposed": lambda r, m, n: r(n, m).T,
    "reversed": lambda r, m, n: r(m, n)[::-1, ::-1],
    "strided": lambda r, m, n: r(2 * m, 3 * n)[::2, ::3],
    "repeated, read-only": lambda r, m, n: np.broadcast_to(r(1, n), (m, n)),
    "constant": lambda r, m, n: np.broadcast_to(r(1, 1), (m, n)),
    "unaligned": lambda r, m, n: np.frombuffer(b"0" + r(m, n).tobytes() + b"0", r(0).dtype, m * n, 1).reshape(
        m, n
    ),
}


@st.composite
def matrices(draw, rows, columns, dtype):
    rng, view = np.random.default_rng(draw(st.integers(0, 2**32))), draw(st.sampled_from(list(VIEWS)))
    return VIEWS[view](lambda *shape: rng.standard_normal(shape).astype(dtype), rows, columns)


def check_product(got, a, b):
    """Within 2 k eps of the float64 product, by the entries' absolute sums (Higham 2002, equation 3.13)."""
    a64, b64 = a.astype(np.float64), b.astype(np.float64)
    assert (got.dtype, got.shape) == (a.dtype, (len(a), b.shape[1]))
    bound = 2 * len(b) * np.finfo(a.dtype).eps * (np.abs(a64) @ np.abs(b64))
    assert np.all(np.abs(got - a64 @ b64) <= bound)


@given(st.data(), SIZES, SIZES, SIZES, FLOATS)
def test_matmul(data, m, k, n, dtype):
    a, b = data.draw(matrices(m, k, dtype)), data.draw(matrices(k, n, dtype))
    check_product(kernels.matmul(a, b), a, b)


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


@st.composite
def mostly_zero(draw, rows, columns, dtype):
    """Numbers in some columns or rows only, or here and there; contiguous by rows or by columns."""
    rng = np.random.default_rng(draw(st.integers(0, 2**32)))
    shape = draw(st.sampled_from([(1, columns), (rows, 1), (rows, columns)]))
    share = draw(st.sampled_from([0, 0.02, 0.2, 0.5]))
    a = (rng.standard_normal((rows, columns)) * (rng.random(shape) < share)).astype(dtype)
    return np.asfortranarray(a) if draw(st.booleans()) else a


@given(st.data(), st.integers(1, 300), st.sampled_from([8, 16, 130, 1300]), st.integers(1, 100), FLOATS)
def test_terms_of_zeros_are_left_out_of_sums_only_where_that_changes_nothing(data, m, k, n, dtype):
    a, b = data.draw(mostly_zero(m, k, dtype)), data.draw(matrices(k, n, dtype))
    check_product(kernels.matmul(a, b), a, b)
    bad = b.copy()
    value, row, column = data.draw(st.sampled_from([np.nan, np.inf, -np.inf])), k - 1, n // 2
    bad[row, column] = value  # a[:, row] may be 0 in all rows: 0 times infinity is NaN
    with np.errstate(invalid="ignore"):
        want = value * a[:, row]
    got = kernels.matmul(a, bad)
    np.testing.assert_array_equal(got[:, column], want)
    agree("others", np.delete(got, column, 1), np.delete(kernels.matmul(a, b), column, 1), 0)


@pytest.mark.parametrize("skip", [False, True])
def test_the_list_of_terms_has_all_but_zeros(skip):
    """A mistake here that keeps too many terms would change no result, and only take longer."""
    a = np.zeros((3, 40, ROWS), np.float32)
    a[1, 7, 0], a[1, 9, ROWS - 1], a[2, 39, HALF], a[2, 0, HALF - 1] = 1, np.nan, -np.inf, 1e-45
    terms = np.full((6, tiles.DEPTH + 1), -1, np.intp)
    numba.njit(lambda terms, strips, skip: tiles.list_terms(terms, strips, skip))(terms, a, skip)
    found = [given[: given[-1]].tolist() for given in terms]
    every = list(range(40))
    assert found == ([every, every, [7], [9], [0], [39]] if skip else [every] * 6)


@pytest.mark.parametrize("dtype", [np.float32, np.float64])
def test_the_sign_of_a_zero_does_not_depend_on_the_terms_left_out(dtype):
    """A product too small for its type rounds to -0; so does its sum, if no term of 0 follows."""
    tiny = np.sqrt(np.finfo(dtype).tiny) / 2**30
    a, b = np.zeros((200, 64), dtype), np.ones((64, 64), dtype)
    a[:, 1], b[1] = tiny, -tiny
    for product in kernels.matmul(a, b), kernels.matmul(a[:, 1:2], b[1:2]):
        assert not product.any()
        assert not np.signbit(product).any()


F4, F8 = np.ones((2, 3), np.float32), np.ones((2, 3))
BAD = {  # operands of matmul, and what must be said
    r"b must have shape \(3, N\), got an array of shape \(2, 3\)": (F8, F8),
    r"a must have shape \(M, K\), got an array of shape \(3,\)": (F8[0], F8.T),
    "must all be float32 or all float64, got b": (F4, F8.T),
    "must all be float32 or all float64, got a": (F8.astype(int), F8.T.astype(int)),
    r"out must have shape \(2, 2\)": (F8, F8.T, F8),
    "out is read-only": (F8, F8.T, np.broadcast_to(1.0, (2, 2))),
    "got out as an array": (F4, F4.T, np.ones((2, 2))),
    "a must be a NumPy array of shape": ([[1.0, 2.0, 3.0]], F8.T),
}


@pytest.mark.parametrize("message", list(BAD))
def test_bad_operands(message):
    oracles.refused(message, kernels.matmul, *BAD[message])


@pytest.mark.parametrize(("n", "message"), [(0, "an integer of at least 1"), (10_000, "at most")])
def test_bad_number_of_threads(n, message):
    oracles.refused(f"threads must be {message}", kernels.set_threads, n)


def test_matmul_into_its_own_operand():
    a = np.arange(16.0).reshape(4, 4)
    want = a @ a
    assert kernels.matmul(a, a, out=a) is a
    agree("a", a, want, 1e-15)
    agree("a", kernels.matmul(a, a[::-1].T, out=a[::-1]), want @ want[::-1].T, 1e-15)


def test_matmul_into_an_array_of_several_tiles(rng):
    """Into its own operand or a part of it: written too early, it changes what is still to be read."""
    n = 50
    memory, b = rng.standard_normal(n * n + n), rng.standard_normal((n, n))
    a, later, out = memory[: n * n].reshape(n, n), memory[n:].reshape(n, n), np.full((n, n), np.nan)
    want = kernels.matmul(a, b)
    assert kernels.matmul(a, b, out) is out
    agree("out", out, want, 0)
    agree("later", kernels.matmul(a, b, out=later), want, 0)
    want = kernels.matmul(b, b.copy())
    agree("b", kernels.matmul(b, b, out=b), want, 0)


def guarded(shape, dtype):
    """An array of ones that ends where memory does: to read or write the next number ends the process."""
    size, page = math.prod(shape) * np.dtype(dtype).itemsize, mmap.PAGESIZE
    whole = -(-size // page) * page
    memory = mmap.mmap(-1, whole + page)
    end = ctypes.addressof(ctypes.c_char.from_buffer(memory)) + whole
    assert ctypes.CDLL(None).mprotect(ctypes.c_void_p(end), page, 0) == 0  # neither to read nor to write
    array = np.frombuffer(memory, dtype, math.prod(shape), whole - size).reshape(shape)
    array[...] = 1
    return array


@pytest.mark.skipif(sys.platform == "win32", reason="Windows has no mprotect")
@pytest.mark.parametrize("dtype", [np.float32, np.float64])
def test_no_product_reads_or_writes_beyond_its_arrays(dtype):
    """A square or a tile that reads or writes past the end of an array would end the process."""
    for m, k, n in itertools.product((5, 17, 70), (3, 8, 13, 100), (1, 9, 20, 50)):
        for a in (guarded((m, k), dtype), guarded((k, m), dtype).T):
            for b in (guarded((k, n), dtype), guarded((n, k), dtype).T):
                out = guarded((m, n), dtype)
                assert np.all(kernels.matmul(a, b, out) == k)
                dx, dW, db = kernels.dense_backward(out, (a, b, out, "identity"))
                assert np.all(dx == n * k)
                assert np.all(dW == m * k)
                assert np.all(db == m * k)
                a[...] = 0
                assert np.all(kernels.matmul(a, b, out) == 0)
                a[...] = 1


@pytest.mark.parametrize("columns", [3, 20, 47])
def test_a_panel_keeps_no_number_of_an_earlier_one(columns):
    """A denormal number in its last columns takes part in no result, but slows down every tile."""
    pack = numba.njit(lambda panel, b, columns: tiles.pack(panel, b, 0, b.shape[0], 0, columns))
    for b in (np.ones((40, columns)), np.ones((columns, 40)).T, np.ones((80, 2 * columns))[::2, ::2]):
        panel = np.full((40, 48), 1e-320)
        pack(panel, b, columns)
        assert np.all(panel[:, :columns] == 1)
        assert not panel[:, columns:].any()


@pytest.mark.parametrize("dtype", [np.float32, np.float64])
@pytest.mark.parametrize("sizes", [(1500, 1100, 61), (1025, 2050, 3), (1100, 30, 200), (60, 60, 60)])
def test_db_of_more_rows_than_a_panel_has_and_of_more_inputs_than_strips(rng, sizes, dtype):
    """Each column of da is summed once, over all panels: a pass too many would double a panel's part."""
    B, I, O = sizes
    x, W, dy = (rng.standard_normal(shape).astype(dtype) for shape in ((B, I), (I, O), (B, O)))
    got, want = kernels.dense_backward(dy, (x, W, dy, "identity"))[2], dy.sum(axis=0, dtype=float)
    assert np.all(np.abs(got - want) <= B * np.finfo(dtype).eps * np.abs(dy).sum(axis=0))


def test_every_operation_has_a_twin():
    """Same names, same parameters in the same order, same defaults."""
    for name, function in inspect.getmembers(ops, inspect.isfunction):
        if not name.startswith("_") and function.__module__ == ops.__name__:
            assert inspect.signature(getattr(kernels, name)) == inspect.signature(function), name
            assert name in kernels.__all__
    for name in ("sgd_update", "rmsprop_update", "adam_update"):
        assert inspect.signature(getattr(kernels, name)) == inspect.signature(getattr(optimizers, name)), name


@given(st.data(), st.integers(0, 40), st.integers(0, 40), st.sampled_from([None, 1, 3]), FLOATS)
def test_twins_agree(data, B, n, S, dtype):
    """Every compiled operation on both backends, over shapes, strides and types: equal to rounding."""
    rng = np.random.default_rng(data.draw(st.integers(0, 2**32)))

    def one(*shape):
        return rng.standard_normal(shape).astype(dtype)

    more = (B, n) if S is None else (S, B, n)
    x, logits, dnll = data.draw(matrices(B, n, dtype)), one(*more)[..., ::-1], one(*more[:-1])
    W, b = data.draw(matrices(n, 7, dtype)), one(14)[::2]
    tolerance = 200 * np.finfo(dtype).eps
    agree("nll", kernels.bernoulli_nll(logits, x), ops.bernoulli_nll(logits, x), tolerance)
    want = ops.bernoulli_nll_backward(dnll, logits, x)
    agree("dlogits", kernels.bernoulli_nll_backward(dnll, logits, x), want, tolerance)
    for activation in ops.ACTIVATIONS:
        (y, cache), (y2, cache2) = (o.dense_forward(x, W, b, activation) for o in (ops, kernels))
        assert y2.dtype == dtype
        agree(f"dense {activation}", y2, y, tolerance)
        dy = one(*y.shape)
        # from the same y: a relu whose a is within rounding of zero may fall on either side
        got, want = kernels.dense_backward(dy, (*cache2[:2], *cache[2:])), ops.dense_backward(dy, cache)
        sizes = ops.dense_backward(np.abs(dy), (np.abs(x), np.abs(W), *cache[2:]))
        for g, w, size in zip(got, want, sizes, strict=True):
            agree(f"dense_backward {activation}", g, w, tolerance, size)


@pytest.mark.parametrize("dtype", [np.float32, np.float64])
@pytest.mark.parametrize("sizes", [(13, 1100, 50), (13, 2500, 3), (70, 1025, 61)])
def test_a_long_sum_into_ragged_tiles(sizes, dtype):
    """A sum longer than a packed panel goes on from what is in out, also where a tile reaches beyond out."""
    m, k, n = sizes
    a, b = np.random.default_rng(5).standard_normal((2, 2500, 70)).astype(dtype)
    a, b = a[:k, :m].T, b[:k, :n]
    check_product(kernels.matmul(a, b), a, b)
    check_product(kernels.matmul(b.T, a.T), b.T, a.T)


@pytest.mark.parametrize("dtype", [np.float32, np.float64])
@pytest.mark.parametrize("sizes", [(1023, 5, 40), (1025, 1030, 26), (2050, 3, 30), (9, 1024, 50)])
def test_rows_that_are_copied_and_rows_that_are_too_many(sizes, dtype):
    """Rows of x.T, and rows a multiple of 4,096 bytes apart, are copied first, unless they are over 1,024."""
    m, k, n = sizes
    a, b = np.random.default_rng(6).standard_normal((2, 1100, 2050)).astype(dtype)
    apart = np.empty((m, 1024 * -(-k // 1024)), dtype)[:, :k]
    apart[...] = a[:k, :m].T
    got = kernels.matmul(a[:k, :m].T, b[:k, :n])
    check_product(got, apart, b[:k, :n])
    agree("apart", kernels.matmul(apart, b[:k, :n]), got, 0)  # the same sums in the same order


@pytest.mark.parametrize("sizes", [(6, 9, 5), (1, 1, 1), (70, 130, 65), (3, 0, 2)])
def test_every_version_of_the_product_is_the_same_product(sizes):
    """The naive and the blocked loop, which the chapter begins with, and the fast one."""
    from lessons.lab.chapter import blocked, naive

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


@given(st.integers(0, 300), st.sampled_from([1, 8, 16]), st.integers(1, 9))
def test_parts_are_all_of_it_in_whole_units(size, unit, parts):
    """Each begins where the one before ends; they differ by at most a unit, and the first is a largest."""
    count = getattr(range_of, "py_func", range_of)
    ranges = [count(size, unit, index, parts) for index in range(parts)]
    assert [low for low, _ in ranges] == [0, *(high for _, high in ranges[:-1])]
    assert ranges[-1][1] == size
    assert all(low % unit == 0 or low == size for low, _ in ranges)
    lengths = [-(-(high - low) // unit) for low, high in ranges]
    assert lengths[0] == max(lengths)
    assert lengths[-1] == min(lengths) >= lengths[0] - 1


def test_a_function_inside_a_kernel_has_no_entry_for_python():
    with pytest.raises(TypeError, match="range_of can be called from compiled code only"):
        range_of(1, 1, 0, 1)
