"""The walk in one launch against the walk operation by operation: the same bits, no stale address."""

import copy
import os
import types

import numpy as np
import pytest

import minivae as mv
from minivae import kernels

B, D, L = 5, 23, 3


def case(seed=0, samples=None, dtype=np.float32, **settings):
    rng = np.random.default_rng(seed)
    model = mv.VAE(D, L, dtype=dtype, seed=seed, **settings)
    for param in model.params.values():
        param += rng.normal(0, 0.1, param.shape).astype(dtype)
    shape = (B, L) if samples is None else (samples, B, L)
    return model, rng.random((B, D)).astype(dtype), rng.standard_normal(shape).astype(dtype)


def both(model, x, eps, beta=0.7):
    """loss and gradients by the compiled walk and by the plain one."""
    answers = []
    for swift in (True, False):
        model._swift = swift
        terms, trace = model.forward(x, eps, beta)
        assert isinstance(trace.caches, dict) != swift
        answers.append((terms, trace, model.backward(trace, beta)))
    return answers


@pytest.mark.parametrize("samples", [None, 1, 4])
@pytest.mark.parametrize("hidden", [(), (7,), (9, 6), (6, 40, 5)])
@pytest.mark.parametrize("activation", ["identity", "relu", "tanh", "softplus", "sigmoid"])
def test_same_bits(activation, hidden, samples):
    swift, plain = both(*case(samples=samples, activation=activation, hidden=hidden))
    assert swift[0] == plain[0]
    for name in ("outputs", "nll", "kl"):
        np.testing.assert_array_equal(getattr(swift[1], name), getattr(plain[1], name))
    np.testing.assert_array_equal(swift[1].heads, plain[1].heads)
    assert list(swift[2]) == list(plain[2])
    for name, grad in plain[2].items():
        np.testing.assert_array_equal(swift[2][name], grad, err_msg=name)


@pytest.mark.parametrize("likelihood", ["gaussian", "gaussian-shared", "gaussian-pixel"])
@pytest.mark.parametrize("dtype", [np.float32, np.float64])
def test_same_bits_of_every_likelihood(likelihood, dtype):
    swift, plain = both(*case(samples=2, dtype=dtype, likelihood=likelihood, hidden=(6,)))
    for name, grad in plain[2].items():
        np.testing.assert_array_equal(swift[2][name], grad, err_msg=name)


@pytest.mark.parametrize("threads", [1, 2])
def test_same_bits_at_real_size(threads):
    if threads > kernels.get_threads():
        pytest.skip("one core")
    rng = np.random.default_rng(0)
    model = mv.VAE()
    x, eps = rng.random((128, 784), dtype=np.float32), rng.standard_normal((128, 20), dtype=np.float32)
    before = kernels.get_threads()
    kernels.set_threads(threads)
    try:
        swift, plain = both(model, x, eps)
    finally:
        kernels.set_threads(before)
    for name, grad in plain[2].items():
        np.testing.assert_array_equal(swift[2][name], grad, err_msg=name)


def test_a_new_array_is_seen():
    """A parameter that is replaced, not overwritten: the walk must not go to where the old one stood."""
    model, x, eps = case()
    first = model.loss(x, eps)
    model.params["mu.W"] = model.params["mu.W"] * 2
    swift, plain = both(model, x, eps)
    assert swift[0] == plain[0] != first


@pytest.mark.parametrize(
    ("array", "words"),
    [(np.zeros((8, L), np.float32), "x"), (np.zeros((7, L)), "one type")],
    ids=["shape", "type"],
)
def test_an_array_that_does_not_fit_is_refused(array, words):
    model, x, eps = case(hidden=(7,))
    model.params["mu.W"] = array
    with pytest.raises((ValueError, TypeError), match=words):
        model.loss_and_grads(x, eps)


def test_a_strided_array_is_served():
    model, x, eps = case(hidden=(7,))
    want = model.loss(x, eps)
    model.params["mu.W"] = np.asfortranarray(model.params["mu.W"])
    assert model.loss(x, eps) == want


def test_copies_train_apart():
    """Parameters and optimizer, copied together: each goes on with its own arrays, and equally."""
    model, x, eps = case()
    adam, (_, grads) = mv.Adam(), model.loss_and_grads(x, eps)
    adam.step(model.params, grads)
    params, other = copy.deepcopy((model.params, adam))
    before = copy.deepcopy(params)
    other.step(params, grads)
    for name, param in model.params.items():
        np.testing.assert_array_equal(param, before[name], err_msg=name)
    adam.step(model.params, grads)
    for name, param in model.params.items():
        np.testing.assert_array_equal(param, params[name], err_msg=name)


def test_a_namespace_of_ones_own_is_called():
    """Only the kernels' own functions are skipped: an exercise's replacement must be reached."""
    calls = []

    def gaussian_kl(mu, logvar):
        calls.append(mu.shape)
        return kernels.gaussian_kl(mu, logvar)

    mine = types.SimpleNamespace(**vars(kernels) | {"gaussian_kl": gaussian_kl})
    model, x, eps = case(backend=mine)
    model.loss(x, eps)
    assert calls == [(B, L)]


def test_a_trace_that_is_kept_stays():
    """Forward twice, then backward of the first: nothing of it may have been written over."""
    model, x, eps = case()
    first, second = model.forward(x, eps)[1], model.forward(x[::-1].copy(), eps)[1]
    want = model.loss_and_grads(x, eps)[1]
    got = model.backward(first)
    for name, grad in want.items():
        np.testing.assert_array_equal(got[name], grad, err_msg=name)
    assert not np.array_equal(first.outputs, second.outputs)


@pytest.mark.skipif(not hasattr(os, "fork"), reason="no fork here")
@pytest.mark.filterwarnings("ignore:.*fork:DeprecationWarning")
def test_a_forked_child_walks_alone():
    """It can go forward and back by itself; to go on with its parent's walk is an error, not an abort."""
    model, x, eps = case()
    want, trace = model.forward(x, eps)
    child = os.fork()
    if not child:
        try:
            assert model.loss_and_grads(x, eps)[0] == want
            with pytest.raises(RuntimeError, match="forked child"):
                model.backward(trace)
            os._exit(0)
        except BaseException:
            os._exit(1)
    assert os.waitpid(child, 0)[1] == 0
