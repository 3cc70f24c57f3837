"""Watch a model's two walks from outside, and push at any node of the forward one.

A `Probe` is a copy of the model whose operations go through here; the model itself is left as it is. It does

    record     what every operation of the way back was handed and returned
    inject     add ih v to a node on the way forward, so that Im loss / h is the loss's slope by that node
    separate   let one term of the loss go: on the way forward its derivative, on the way back what it returns

The way forward that is stepped through is the model's own, whatever was edited in it.
"""

import copy
from types import MethodType
from typing import NamedTuple

import numpy as np

from .. import ops

TERMS = {"reconstruction": "kl", "kl": "reconstruction"}  # a term, and the one that is let go
# operations by their role, and the functions of `ops` that play it where a model calls them itself
ROLES = {
    "gaussian_sample": "sample",
    "gaussian_kl": "kl",
    "bernoulli_nll": "nll",
    "gaussian_nll": "nll",
    "gaussian_sample_backward": "sample_backward",
    "gaussian_kl_backward": "kl_backward",
    "bernoulli_nll_backward": "nll_backward",
    "gaussian_nll_backward": "nll_backward",
}


class Call(NamedTuple):
    """One operation of a walk: its role, its layer if it has one, what it took, what it gave."""

    role: str
    layer: str
    args: tuple
    result: object


class Namespace:
    """The operations of another namespace, some of them replaced."""

    def __init__(self, base, replaced):
        self._base = base
        self.__dict__.update(replaced)

    def __getattr__(self, name):
        return getattr(self._base, name)


class Probe:
    """A copy of a model, computing in `dtype` with the operations given, that tells all."""

    def __init__(self, model, dtype, namespace=None):
        self.model = twin = copy.copy(model)
        self.base = namespace or model.ops
        twin.dtype = np.dtype(dtype)
        twin.params = {name: np.array(param, twin.dtype) for name, param in model.params.items()}
        twin._swift, twin._planned = False, None  # one operation after the other
        self.rebind(twin, model)
        twin.ops = Namespace(self.base, self._operations())
        twin.posterior = self._wrapped(model.posterior, ("sample", "kl", "sample_backward", "kl_backward"))
        twin.likelihood = self._wrapped(model.likelihood, ("nll", "nll_backward"))
        if hasattr(model, "_estimate"):
            twin._estimate = self._silent(twin._estimate)
        self.layers = {id(twin.params[f"{n}.W"]): n for n in model.network.sizes if f"{n}.W" in twin.params}
        self.caches, self.inside, self.dropped, self.push = {}, False, None, None
        self.calls, self.values, self.inputs = [], {}, {}
        self.memory, self.remembers = {}, False  # what comes before a push need not be computed again

    @staticmethod
    def rebind(twin, model):
        """Methods that were hung on the object itself belong to its copy."""
        for name, value in vars(model).items():
            if isinstance(value, MethodType) and value.__self__ is model:
                setattr(twin, name, MethodType(value.__func__, twin))
        return twin

    def _operations(self):
        functions = {"dense_forward": self._dense_forward, "dense_backward": self._dense_backward}
        for name, role in ROLES.items():
            functions[name] = self._hook(role, getattr(self.base, name, None))
        return {name: function for name, function in functions.items() if function}

    def _wrapped(self, family, methods):
        family = copy.copy(family)
        if hasattr(family, "ops"):
            family.ops = self.model.ops
        for name in methods:
            setattr(family, name, self._hook(name, getattr(family, name)))
        return family

    def _silent(self, function):
        """An estimator walks on its own ways: they are not recorded."""

        def estimate(*args, **keywords):
            self.inside = True
            try:
                result = function(*args, **keywords)
            finally:
                self.inside = False
            return _nothing_of(result) if self.dropped == "reconstruction" else result

        return estimate

    def _hook(self, role, function):
        def operation(*args, **keywords):
            if self.inside:
                return function(*args, **keywords)
            if role == "sample" and self._same(role, args):
                return self._saw(role, args, self.memory[role][1])
            self.inside = True
            try:
                result = function(*args, **keywords)
            finally:
                self.inside = False
            if self.remembers and role == "sample":
                self.memory[role] = args, result
            return self._saw(role, args, result)

        return function and operation

    def _saw(self, role, args, result):
        if not role.endswith("_backward"):
            return self._touch({"sample": "z"}.get(role, role), result)
        self.calls.append(Call(role, "", args, result))
        if self.dropped and role == {"kl": "kl_backward", "reconstruction": "nll_backward"}[self.dropped]:
            return _nothing_of(result)
        return result

    def _dense_forward(self, x, W, b, *rest, **keywords):
        layer = self.layers.get(id(W), "")
        if not self.inside and self._same(layer, (x, W, b)):
            y, cache = self.memory[layer][1]
        else:
            y, cache = self.base.dense_forward(x, W, b, *rest, **keywords)
        if not self.inside:
            if self.remembers:
                self.memory[layer] = (x, W, b), (y, cache)
            self.caches[id(cache)] = (layer, cache)
            self.inputs[layer] = (x, W, b, *rest)
            y = self._touch(layer, y)
        return y, cache

    def _dense_backward(self, dy, cache, *rest, **keywords):
        result = self.base.dense_backward(dy, cache, *rest, **keywords)
        if not self.inside:
            layer = self.caches.get(id(cache), ("",))[0] or self._layer_of(cache)
            self.calls.append(Call("dense_backward", layer, (np.array(dy), cache), result))
        return result

    def _same(self, key, args):
        """Whether an operation of the way forward stands where nothing has been pushed yet."""
        return key in self.memory and not self.remembers and all(map(_one, args, self.memory[key][0]))

    def _layer_of(self, cache):
        entries = cache if isinstance(cache, tuple) else ()
        return next((self.layers[id(entry)] for entry in entries if id(entry) in self.layers), "")

    def _touch(self, node, value):
        """Push at a node, or let a term's derivative go."""
        self.values.setdefault(node, value)
        if self.push and self.push[0] == node:
            value = value + np.reshape(self.push[1], np.shape(value))
        if node == {"kl": "kl", "reconstruction": "nll"}.get(self.dropped):
            value = self._constant(node, value)
        return value

    def _constant(self, node, value):
        """A term whose derivative is let go: its imaginary part, or for differences its change."""
        return value.real.astype(value.dtype) if np.iscomplexobj(value) else self.resting[node]

    # -------------------------------------------------------------------------- what it is for

    def back(self, x, eps, beta, term=None, estimator=None):
        """Walk there and back -> grads, calls. `term` is the one that is left; None leaves both."""
        self.calls, self.values, self.caches = [], {}, {}
        self.dropped = self.push = None
        extra = {} if estimator is None else {"estimator": estimator}
        try:
            if term:  # only the way back: forward everything is as it was
                _, trace = self.model.forward(x, eps, beta)
                self.dropped = TERMS[term]
                grads = self.model.backward(trace, beta, **extra)
            else:
                _, grads = self.model.loss_and_grads(x, eps, beta, **extra)
        finally:
            self.dropped = None
        return grads, self.calls

    def loss(self, x, eps, beta, term=None, node=None, push=None, params=None, walk="forward"):
        """The loss, pushed at a node, or with other parameters."""
        self.values, self.caches, self.calls = {}, {}, []
        self.dropped = TERMS.get(term)
        self.push = (node, push) if node else None
        before = self.model.params
        if params:
            self.model.params = before | params
            self.layers |= {id(v): name[:-2] for name, v in params.items() if name.endswith(".W")}
        try:
            with np.errstate(all="ignore"):
                out = getattr(self.model, walk)(x, eps, beta)
            return (out[0] if walk == "forward" else out)[0]
        finally:
            self.model.params, self.dropped, self.push = before, None, None

    def rest(self, x, eps, beta):
        """Remember every node where nothing is pushed; x and eps must be of the probe's type."""
        self.resting, self.remembers = {}, True
        first = self.loss(x, eps, beta)
        self.remembers = False
        if self.loss(x, eps, beta) != first:  # something is changed in place
            self.memory = {}
            self.loss(x, eps, beta)
        self.resting = {name: np.array(value) for name, value in self.values.items()}
        return self.resting


def analytic(namespace):
    """The same operations for complex numbers: those of `kernels` are replaced by their twins in `ops`."""
    if getattr(namespace, "__name__", "") == "minivae.ops":
        return namespace
    twins = {}
    for name in dir(namespace):
        function = getattr(namespace, name)
        home = getattr(function, "__module__", None) or ""
        if home.startswith("minivae.kernels") and callable(getattr(ops, name, None)):
            twins[name] = getattr(ops, name)
    return Namespace(namespace, twins) if twins else namespace


def _one(a, b):
    """Whether two arrays are one, reshaped at most."""
    return a is b or (
        isinstance(a, np.ndarray)
        and isinstance(b, np.ndarray)
        and a.shape == b.shape
        and a.__array_interface__["data"] == b.__array_interface__["data"]
    )


def _nothing_of(result):
    if isinstance(result, dict):
        return {name: np.zeros_like(value) for name, value in result.items()}
    if isinstance(result, (tuple, list)):
        return tuple(_nothing_of(part) for part in result)
    return result if result is None else np.zeros_like(result)
