"""Follow the gradient downhill: SGD, RMSProp and Adam, each by its published recurrence.

Each recurrence is a function of arrays, written here in NumPy and once more, with the same name, in
`kernels`. An optimizer holds its settings, its step count `t`, and in `state` the arrays it remembers
between steps under "name/parameter"; `t` and `state` are all that a checkpoint needs.
"""

import numpy as np

from . import arguments, backends


def sgd_update(param, grad, velocity, lr, momentum):
    """v = momentum v + g;  p = p - lr v.  Heavy ball of Polyak 1964; plain descent at momentum 0."""
    velocity[...] = momentum * velocity + grad
    param -= lr * velocity


def rmsprop_update(param, grad, square, lr, rho, eps):
    """s = rho s + (1 - rho) g^2;  p = p - lr g / (sqrt(s) + eps).  Tieleman and Hinton 2012, lecture 6.5."""
    square[...] = rho * square + (1 - rho) * grad * grad
    param -= lr * grad / (np.sqrt(square) + eps)


def adam_update(param, grad, m, v, t, lr, beta1, beta2, eps):
    """m = b1 m + (1 - b1) g;  v = b2 v + (1 - b2) g^2;  p = p - lr m^ / (sqrt(v^) + eps).

    m^ = m / (1 - b1^t) and v^ = v / (1 - b2^t) undo the pull of the zero start. t counts from 1.
    Kingma and Ba 2015, algorithm 1.
    """
    m[...] = beta1 * m + (1 - beta1) * grad
    v[...] = beta2 * v + (1 - beta2) * grad * grad
    param -= lr * (m / (1 - beta1**t)) / (np.sqrt(v / (1 - beta2**t)) + eps)


class Optimizer:
    """What all three share: check, make the remembered arrays on the first step, update in place."""

    remembers = ()

    def __init__(self, lr, backend):
        self.lr = arguments.number("lr", lr, above=0)
        self.t = 0
        self.state = {}
        arguments.one_of("backend", backend, backends.BACKENDS)
        self.backend = backend
        self._table = None  # where the kernels find the arrays, from one step to the next

    def __getstate__(self):
        """A copy's arrays stand elsewhere."""
        return self.__dict__ | {"_table": None}

    def step(self, params, grads):
        """Update every array of `params` in place by the same key of `grads`."""
        rows = []
        for name, param in params.items():
            if not isinstance(param, np.ndarray):
                raise TypeError(f"params[{name!r}] must be a NumPy array, got {arguments.describe(param)}")
            if name not in grads:
                raise ValueError(f"grads has no entry for the parameter {name!r}")
            grad = grads[name]
            if not isinstance(grad, np.ndarray) or grad.shape != param.shape:
                arguments.shape(f"grads[{name!r}]", grad, param.shape)
            if grad.dtype != param.dtype:
                raise TypeError(f"grads[{name!r}] must be {param.dtype}, got {grad.dtype}")
            rows.append((param, grad, *self._memory(name, param)))
        self.t += 1
        self._update(rows)

    def _memory(self, name, param):
        """The arrays that are remembered of one parameter."""
        for kind in self.remembers:
            key = f"{kind}/{name}"
            if key not in self.state:
                self.state[key] = np.zeros_like(param)
            yield self.state[key]

    def _apply(self, recurrence, rows, *settings):
        """One recurrence for every parameter; the kernels take them all in one launch."""
        if self.backend == "numpy":
            for row in rows:
                globals()[recurrence](*row, *settings)
        elif rows:
            kernels = backends.namespace("numba")
            self._table = self._table.renewed(rows) if self._table else kernels.Table(rows)
            getattr(kernels, recurrence + "s")(self._table, *settings)


class SGD(Optimizer):
    """Stochastic gradient descent, with momentum if asked: p = p - lr v, v = momentum v + g."""

    remembers = ("velocity",)

    def __init__(self, lr=1e-3, momentum=0.0, backend="numba"):
        super().__init__(lr, backend)
        self.momentum = arguments.number("momentum", momentum, at_least=0, below=1)

    def _update(self, rows):
        self._apply("sgd_update", rows, self.lr, self.momentum)


class RMSProp(Optimizer):
    """Divide by a running root mean square of the gradient."""

    remembers = ("square",)

    def __init__(self, lr=1e-3, rho=0.9, eps=1e-8, backend="numba"):
        super().__init__(lr, backend)
        self.rho = arguments.number("rho", rho, at_least=0, below=1)
        self.eps = arguments.number("eps", eps, at_least=0)

    def _update(self, rows):
        self._apply("rmsprop_update", rows, self.lr, self.rho, self.eps)


class Adam(Optimizer):
    """Momentum and root mean square together, each corrected for its start at zero."""

    remembers = ("m", "v")

    def __init__(self, lr=1e-3, beta1=0.9, beta2=0.999, eps=1e-8, backend="numba"):
        super().__init__(lr, backend)
        self.beta1 = arguments.number("beta1", beta1, at_least=0, below=1)
        self.beta2 = arguments.number("beta2", beta2, at_least=0, below=1)
        self.eps = arguments.number("eps", eps, at_least=0)

    def _update(self, rows):
        self._apply("adam_update", rows, self.t, self.lr, self.beta1, self.beta2, self.eps)
