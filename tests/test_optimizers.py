"""Each optimizer against its published recurrence, written out once more in Python numbers."""

import math

import numpy as np
import pytest
from checks import agree

import minivae as mv

GRADS = [0.5, -1.25, 2.0, 0.0, 1e-4]


def sgd(p, momentum, lr):
    v = 0.0
    for g in GRADS:
        v = momentum * v + g
        p -= lr * v
    return p


def rmsprop(p, lr, rho=0.9, eps=1e-8):
    s = 0.0
    for g in GRADS:
        s = rho * s + (1 - rho) * g**2
        p -= lr * g / (math.sqrt(s) + eps)
    return p


def adam(p, lr, beta1=0.9, beta2=0.999, eps=1e-8):
    m = v = 0.0
    for t, g in enumerate(GRADS, 1):
        m = beta1 * m + (1 - beta1) * g
        v = beta2 * v + (1 - beta2) * g**2
        p -= lr * (m / (1 - beta1**t)) / (math.sqrt(v / (1 - beta2**t)) + eps)
    return p


@pytest.mark.parametrize(
    ("optimizer", "recurrence"),
    [
        (lambda b: mv.SGD(lr=0.1, backend=b), lambda p: sgd(p, 0.0, 0.1)),
        (lambda b: mv.SGD(lr=0.1, momentum=0.9, backend=b), lambda p: sgd(p, 0.9, 0.1)),
        (lambda b: mv.RMSProp(lr=0.01, backend=b), lambda p: rmsprop(p, 0.01)),
        (lambda b: mv.RMSProp(lr=0.02, rho=0.5, eps=1e-2, backend=b), lambda p: rmsprop(p, 0.02, 0.5, 1e-2)),
        (lambda b: mv.Adam(backend=b), lambda p: adam(p, 1e-3)),
        (lambda b: mv.Adam(0.1, 0.5, 0.6, 1e-2, backend=b), lambda p: adam(p, 0.1, 0.5, 0.6, 1e-2)),
    ],
)
@pytest.mark.parametrize("dtype", [np.float32, np.float64])
def test_recurrence(backend, dtype, optimizer, recurrence):
    optimizer = optimizer(backend)
    params = {"W": np.full((3, 2), 1.5, dtype), "b": np.full(5, -0.5, dtype)}
    W = params["W"]
    for g in GRADS:
        optimizer.step(params, {"W": np.full((3, 2), g, dtype), "b": np.full(5, -g, dtype)})
    assert params["W"] is W, "the update must happen in place"
    eps = 20 * np.finfo(dtype).eps
    agree("W", W, np.full((3, 2), recurrence(1.5)), eps)
    agree("b", params["b"], np.full(5, -recurrence(0.5)), eps)  # every rule is odd in the gradient
    assert optimizer.t == len(GRADS)


@pytest.mark.parametrize("make", [mv.SGD, mv.RMSProp, mv.Adam])
def test_a_restored_state_goes_on_alike(backend, make):
    """t and state are all there is to save."""
    rng = np.random.default_rng(0)
    grads = [{"W": rng.standard_normal((2, 3))} for _ in range(6)]
    whole, params = make(backend=backend), {"W": np.ones((2, 3))}
    for g in grads:
        whole.step(params, g)
    first, second, halves = make(backend=backend), make(backend=backend), {"W": np.ones((2, 3))}
    for g in grads[:3]:
        first.step(halves, g)
    second.t, second.state = first.t, {name: array.copy() for name, array in first.state.items()}
    for g in grads[3:]:
        second.step(halves, g)
    np.testing.assert_array_equal(halves["W"], params["W"])


@pytest.mark.parametrize("make", [mv.SGD, mv.RMSProp, mv.Adam])
def test_bad_settings(make):
    for lr in (0, -1, math.nan, math.inf):
        with pytest.raises(ValueError, match="lr must be a finite number and above 0"):
            make(lr=lr)
    with pytest.raises(TypeError, match="lr must be a number"):
        make(lr="fast")
    with pytest.raises(ValueError, match="backend must be one of"):
        make(backend="torch")


def test_bad_coefficients():
    with pytest.raises(ValueError, match=r"momentum must be .* below 1"):
        mv.SGD(momentum=1)
    with pytest.raises(ValueError, match="rho must be"):
        mv.RMSProp(rho=-0.1)
    with pytest.raises(ValueError, match="beta1 must be"):
        mv.Adam(beta1=1.0)
    with pytest.raises(ValueError, match="beta2 must be"):
        mv.Adam(beta2=1.5)
    with pytest.raises(ValueError, match="eps must be"):
        mv.Adam(eps=-1e-8)


def test_grads_that_do_not_fit():
    params = {"W": np.ones((2, 3)), "b": np.ones(3)}
    before = {name: param.copy() for name, param in params.items()}
    adam = mv.Adam(backend="numpy")
    with pytest.raises(ValueError, match="grads has no entry for the parameter 'b'"):
        adam.step(params, {"W": np.ones((2, 3))})
    with pytest.raises(ValueError, match=r"grads\['b'\] must have shape \(3,\)"):
        adam.step(params, {"W": np.ones((2, 3)), "b": np.ones((1, 3))})
    with pytest.raises(TypeError, match=r"grads\['b'\] must be float64, got float32"):
        adam.step(params, {"W": np.ones((2, 3)), "b": np.ones(3, np.float32)})
    with pytest.raises(TypeError, match=r"params\['w'\] must be a NumPy array"):
        adam.step({"w": 1.0}, {"w": 1.0})
    assert adam.t == 0
    for name in params:
        np.testing.assert_array_equal(params[name], before[name])


def test_the_backend_asked_for_is_the_one_that_computes(monkeypatch):
    from minivae import kernels

    monkeypatch.setattr(kernels, "sgd_updates", lambda *args: 1 / 0)
    mv.SGD(backend="numpy").step({"b": np.ones(2)}, {"b": np.ones(2)})
    with pytest.raises(ZeroDivisionError):
        mv.SGD(backend="numba").step({"b": np.ones(2)}, {"b": np.ones(2)})


def test_one_step_for_parameters_of_many_sizes():
    """The kernels deal out stretches of every array; NumPy's plain recurrence says what must come out."""
    rng = np.random.default_rng(0)
    sizes = (1, 15, 16, 17, 1000, 40_001)
    grads = {str(n): rng.standard_normal(n).astype(np.float32) for n in sizes}
    results = []
    for backend in ("numpy", "numba"):
        adam, params = mv.Adam(0.1, backend=backend), {str(n): np.ones(n, np.float32) for n in sizes}
        for _ in range(3):
            adam.step(params, grads)
        results.append(params)
    for name in grads:
        agree(name, results[1][name], results[0][name], 1e-6)
