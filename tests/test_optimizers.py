"""Each optimizer against its published recurrence, written out once more in Python numbers."""

import copy
import math
import pickle

import numpy as np
import pytest
from oracles import agree, refused

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


BAD = [
    *((mv.Adam, {"lr": lr}, "lr must be a finite number and above 0") for lr in (0, -1, math.nan, math.inf)),
    *((make, {"lr": "fast"}, "lr must be a number") for make in (mv.SGD, mv.RMSProp)),
    *((make, {"backend": "torch"}, "backend must be one of") for make in (mv.SGD, mv.RMSProp, mv.Adam)),
    (mv.SGD, {"momentum": 1}, "momentum must be .* below 1"),
    (mv.RMSProp, {"rho": -0.1}, "rho must be"),
    (mv.RMSProp, {"eps": -1e-8}, "eps must be"),
    (mv.Adam, {"beta1": 1.0}, "beta1 must be"),
    (mv.Adam, {"beta2": 1.5}, "beta2 must be"),
    (mv.Adam, {"eps": -1e-8}, "eps must be"),
]


@pytest.mark.parametrize(("make", "settings", "message"), BAD)
def test_bad_settings(make, settings, message):
    refused(message, make, **settings)


def frozen(array):
    array.flags.writeable = False
    return array


F4 = np.float32
MISFITS = {  # what is put into params, grads or state of W after a first step, and what must be said
    "no gradient": ("grads", None, "grads has no entry for the parameter 'W'"),
    "shape": ("grads", np.ones((1, 3), F4), r"grads\['W'\] must have its parameter's shape \(2, 3\)"),
    "transposed": ("grads", np.ones((3, 2), F4), r"shape \(2, 3\), got an array of shape \(3, 2\)"),
    "type": ("grads", np.ones((2, 3)), r"grads\['W'\] must be float32, got float64"),
    "list": ("grads", [[1.0]], r"grads\['W'\] must be a NumPy array"),
    "read-only": ("params", frozen(np.ones((2, 3), F4)), r"params\['W'\] is read-only"),
    "immutable": ("params", np.frombuffer(bytes(24), F4).reshape(2, 3), r"params\['W'\] is read-only"),
    "another model": ("params", np.ones((5, 4), F4), r"belongs to other parameters: .*\(5, 4\).*\(2, 3\)"),
    "smaller state": ("state", np.zeros((2, 2), F4), "belongs to other parameters.*make a new optimizer"),
    "transposed state": ("state", np.zeros((3, 2), F4), "belongs to other parameters"),
    "read-only state": ("state", frozen(np.zeros((2, 3), F4)), r"states\['W'\] is read-only"),
}


@pytest.mark.parametrize("make", [mv.SGD, mv.RMSProp, mv.Adam])
@pytest.mark.parametrize("what", list(MISFITS))
def test_a_misfit_is_refused_before_anything_is_written(backend, make, what):
    place, wrong, message = MISFITS[what]
    optimizer = make(backend=backend)
    params, grads = (
        {name: np.ones(shape, F4) for name, shape in (("b", 3), ("W", (2, 3)))} for _ in range(2)
    )
    optimizer.step(params, grads)
    holder = {"params": params, "grads": grads, "state": optimizer.state}[place]
    key = f"{optimizer.remembers[-1]}/W" if place == "state" else "W"
    holder[key] = wrong
    if wrong is None:
        del holder[key]
    if what == "another model":
        grads["W"] = np.ones((5, 4), F4)
    before = {name: np.copy(param) for name, param in params.items()}
    refused(message, optimizer.step, params, grads)
    assert optimizer.t == 1
    for name, param in params.items():
        np.testing.assert_array_equal(param, before[name])


def test_arrays_that_change_after_the_first_step(backend):
    """In place, while the kernels remember where they are: made read-only, resized, or replaced."""
    adam, params, grads = mv.Adam(backend=backend), {"W": np.ones((2, 3), F4)}, {"W": np.ones((2, 3), F4)}
    adam.step(params, grads)
    params["W"].flags.writeable = False
    with pytest.raises(ValueError, match="read-only"):
        adam.step(params, grads)
    params["W"].flags.writeable = True
    adam.step(params, grads)
    with pytest.raises(TypeError, match="must be a NumPy array"):
        adam.step({"W": params["W"].tolist()}, grads)
    try:
        params["W"].resize((40, 50), refcheck=False)
    except ValueError:
        assert backend == "numba"  # NumPy refuses, since the kernels have a weak reference to it
    else:
        with pytest.raises(ValueError, match="make a new optimizer"):
            adam.step(params, {"W": np.ones((40, 50), F4)})
    params["W"] = np.full((2, 3), 5, F4)
    adam.step(params, grads)
    assert np.all(params["W"] < 5)


@pytest.mark.parametrize("make", [mv.SGD, mv.RMSProp, mv.Adam])
def test_strides_copies_and_shared_memory(make):
    """Strided gradients from the second step on, views, tied parameters, many sizes: NumPy's answer."""
    more = {str(n): np.linspace(-1, 1, n, dtype=F4) for n in (1, 15, 16, 17, 1000, 40_001)}
    grads = np.random.default_rng(0).standard_normal((6, 6, 8)).astype(F4)
    results = []
    for backend in ("numpy", "numba"):
        optimizer, base = make(0.1, backend=backend), np.ones((6, 4), F4)
        params = {"W": base.T, "tied": base, "V": np.ones((4, 6), F4), "part": np.ones((8, 6), F4)[2:6]}
        params |= {name: np.ones_like(grad) for name, grad in more.items()}
        for step, grad in enumerate(grads):
            wide = grad[:, ::2].T  # (4, 6), strided
            plain = np.ascontiguousarray(wide)
            first = wide if step else plain
            optimizer.step(params, {"W": wide, "tied": plain.T, "V": first, "part": plain, **more})
            if step == 1:  # from here on the kernels compute
                del params["W"], params["tied"]
            if step == 4:
                optimizer, params = copy.deepcopy(pickle.loads(pickle.dumps((optimizer, params))))
        results.append([base, *params.values(), *optimizer.state.values()])
    for one, other in zip(*results, strict=True):
        agree("result", other, one, 1e-5)


@pytest.mark.parametrize("make", [mv.SGD, mv.RMSProp, mv.Adam])
def test_odd_arrays_get_the_answer_of_numpy(make):
    """A gradient that is a strided view of another parameter, and a negative moment, whose root is NaN.

    And an empty parameter, whose gradient has no address.
    """
    results = []
    for backend in ("numpy", "numba"):
        optimizer, none = make(0.1, backend=backend), np.ones((0, 4), F4)
        params = {"a": np.ones(5, F4), "b": np.ones(5, F4), "none": none}
        for _ in range(2):
            optimizer.step(params, {"a": np.full(5, 2, F4), "b": params["a"][::-1], "none": none.copy()})
        optimizer.state[f"{optimizer.remembers[-1]}/b"][0] = -1000
        with np.errstate(invalid="ignore"):
            optimizer.step(params, {"a": np.ones(5, F4), "b": np.ones(5, F4), "none": none.copy()})
        results.append([*params.values(), *optimizer.state.values()])
    for one, other in zip(*results, strict=True):
        np.testing.assert_allclose(other, one, 1e-5)


def test_defaults():
    assert (mv.SGD().lr, mv.RMSProp().lr, mv.Adam().lr) == (1e-3, 1e-3, 1e-3)
    assert (mv.SGD().momentum, mv.RMSProp().rho, mv.Adam().beta1, mv.Adam().beta2) == (0, 0.9, 0.9, 0.999)


def test_the_backend_that_is_named_computes(monkeypatch):
    from minivae import kernels

    monkeypatch.setattr(kernels.Table, "update", lambda *args: 1 / 0)
    mv.SGD(backend="numpy").step({"b": np.ones(2)}, {"b": np.ones(2)})
    with pytest.raises(ZeroDivisionError):
        mv.SGD(backend="numba").step({"b": np.ones(2)}, {"b": np.ones(2)})


class Changing(dict):
    """A mapping whose entries are made anew each time they are read."""

    def __getitem__(self, name):
        return super().__getitem__(name)[: self.pop("rows", 2)].copy()


@pytest.mark.parametrize("backend", ["numba", "numpy"])
def test_the_gradient_that_is_checked_is_the_one_that_is_used(backend):
    """The first step knows nothing, the second one knows its arrays: both read an entry once and check it."""
    optimizer, params = mv.SGD(lr=1.0, backend=backend), {"W": np.zeros((2, 3))}
    for _ in range(2):
        optimizer.step(params, Changing(W=np.ones((3, 3))))
    np.testing.assert_array_equal(params["W"], -2)
    with pytest.raises(ValueError, match="shape"):
        optimizer.step(params, Changing(W=np.ones((3, 3)), rows=1))
    assert optimizer.t == 2
