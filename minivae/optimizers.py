"""Gradient descent: SGD, RMSProp and Adam, each by its published recurrence.

Each recurrence is a function of arrays, written here in NumPy and again, with the same name, in `kernels`. An
optimizer holds its settings, its step count `t`, and in `state` the arrays that it keeps between steps under
"name/parameter"; a checkpoint needs only `t` and `state`.
"""

import numpy as np

from . import arguments, backends


def sgd_update(param, grad, velocity, lr, momentum):
    """v = momentum v + g;  p = p - lr v.  Heavy ball of Polyak 1964; plain SGD for momentum 0."""
    velocity[...] = momentum * velocity + grad
    param -= lr * velocity


def rmsprop_update(param, grad, square, lr, rho, eps):
    """s = rho s + (1 - rho) g^2;  p = p - lr g / (sqrt(s) + eps).  Tieleman and Hinton 2012, lecture 6.5."""
    square[...] = rho * square + (1 - rho) * grad * grad
    param -= lr * grad / (np.sqrt(square) + eps)


def adam_update(param, grad, m, v, t, lr, beta1, beta2, eps):
    """m = b1 m + (1 - b1) g;  v = b2 v + (1 - b2) g^2;  p = p - lr m^ / (sqrt(v^) + eps).

    m^ = m / (1 - b1^t) and v^ = v / (1 - b2^t) correct the bias of the zero start. t counts from 1.
    Kingma and Ba 2015, algorithm 1.
    """
    m[...] = beta1 * m + (1 - beta1) * grad
    v[...] = beta2 * v + (1 - beta2) * grad * grad
    param -= lr * (m / (1 - beta1**t)) / (np.sqrt(v / (1 - beta2**t)) + eps)


class Optimizer:
    """Base of the optimizers: check, make the state on the first step, update in place.

    Each names its recurrence, what `state` holds of each parameter, and the settings that follow the arrays.
    """

    def __init__(self, lr, backend):
        self.lr = arguments.number("lr", lr, above=0)
        self.backend = arguments.one_of("backend", backend, backends.BACKENDS)
        self.t = 0
        self.state = {}
        self._held, self._table = [], None  # the arrays of the last step, and where the kernels find them

    def __getstate__(self):
        """A copy's arrays are other arrays."""
        return self.__dict__ | {"_held": [], "_table": None}

    def step(self, params, grads):
        """Update every array of `params` in place by the same key of `grads`.

        All is checked before anything is written. ValueError (TypeError for a wrong type) if a gradient is
        missing or unlike its parameter, a parameter is read-only, or `state` belongs to other parameters.
        """
        given = {}  # read once: what is checked is what is used
        for name in params:
            if name not in grads:
                raise ValueError(f"grads has no entry for the parameter {name!r}")
            given[name] = grads[name]
        if not self._known(params, given):
            self._check(params, given)
        self.t += 1
        rows = [(param, given[name], *own.values()) for name, param, own in self._held]
        recurrence, settings = type(self).recurrence, [getattr(self, name) for name in self.settings]
        if self.backend == "numba":  # all parameters in one launch
            self._table = self._table or backends.namespace("numba").Table(rows)
            self._table.update(recurrence, rows, *settings)
        else:
            for row in rows:
                recurrence(*row, *settings)

    def _check(self, params, grads):
        """Refuse what an update cannot use, make what `state` lacks, and hold the arrays."""
        held, state = [], dict(self.state)
        for name, param in params.items():
            own = {f"{kind}/{name}": None for kind in self.remembers}
            for key in own:
                if key not in state:
                    state[key] = np.zeros(np.shape(param), getattr(param, "dtype", None))
                own[key] = state[key]
                if np.shape(own[key]) != np.shape(param):
                    raise ValueError(
                        f"the optimizer's state belongs to other parameters: params[{name!r}] is "
                        f"{arguments.describe(param)}, its state is {arguments.describe(own[key])}; "
                        "make a new optimizer"
                    )
            arguments.updatable(param, grads[name], *own.values(), name=name)
            held.append((name, param, own))
        self.state, self._held, self._table = state, held, None

    def _known(self, params, grads):
        """Whether these are the arrays of the last step, contiguous and writable, with gradients that fit."""
        if len(params) != len(self._held):
            return False
        for (name, param), (held_name, held, own) in zip(params.items(), self._held, strict=True):
            if name != held_name or param is not held or type(grads[name]) is not np.ndarray:
                return False
            grad, like = grads[name], (param.shape, param.dtype)
            if (grad.shape, grad.dtype) != like or not param.flags.carray:
                return False
            for key, array in own.items():
                if self.state.get(key) is not array or not array.flags.carray:
                    return False
                if (array.shape, array.dtype) != like:
                    return False
        return True


class SGD(Optimizer):
    """Stochastic gradient descent with optional momentum: v = momentum v + g, p = p - lr v."""

    recurrence, remembers, settings = sgd_update, ("velocity",), ("lr", "momentum")

    def __init__(self, lr=1e-3, momentum=0.0, backend="numba"):
        super().__init__(lr, backend)
        self.momentum = arguments.number("momentum", momentum, at_least=0, below=1)


class RMSProp(Optimizer):
    """Divide the gradient by its running root mean square."""

    recurrence, remembers, settings = rmsprop_update, ("square",), ("lr", "rho", "eps")

    def __init__(self, lr=1e-3, rho=0.9, eps=1e-8, backend="numba"):
        super().__init__(lr, backend)
        self.rho = arguments.number("rho", rho, at_least=0, below=1)
        self.eps = arguments.number("eps", eps, at_least=0)


class Adam(Optimizer):
    """Running means of the gradient and of its square, each corrected for its start at zero."""

    recurrence, remembers, settings = adam_update, ("m", "v"), ("t", "lr", "beta1", "beta2", "eps")

    def __init__(self, lr=1e-3, beta1=0.9, beta2=0.999, eps=1e-8, backend="numba"):
        super().__init__(lr, backend)
        self.beta1 = arguments.number("beta1", beta1, at_least=0, below=1)
        self.beta2 = arguments.number("beta2", beta2, at_least=0, below=1)
        self.eps = arguments.number("eps", eps, at_least=0)
