"""The part that all models share: backend, precision, checked arguments, and copying.

A model holds parameters and settings. Its distributions refer to the namespace of operations, which cannot
be copied or pickled, so a copy drops this reference and sets it again.
"""

import copy

import numpy as np

from .. import arguments, ops
from ..backends import namespace

DTYPES = ("float32", "float64", "complex128")


class Model:
    """Base of the models: params, dtype, backend, and `families`, the attributes that hold distributions."""

    families = ()

    def use(self, backend, dtype):
        """Compute with this backend, a name or a namespace with the functions of `ops`, in this precision."""
        self.dtype = _dtype(dtype)
        if self.dtype.kind == "c" and backend == "numba":
            raise ValueError('dtype complex128 needs backend="numpy": the kernels compute in real numbers')
        self.backend, self.ops = "numpy" if backend is ops else backend, namespace(backend)
        for name in self.families:
            if name in vars(self):
                setattr(self, name, _bound(getattr(self, name), self.ops))

    def astype(self, dtype, backend=None):
        """A copy of the model in another precision, and with another backend if one is given."""
        twin = copy.copy(self)
        twin.use(self.backend if backend is None else backend, dtype)
        twin.params = {name: param.astype(twin.dtype) for name, param in self.params.items()}
        return twin

    def __deepcopy__(self, memo):
        return self.astype(self.dtype)

    def __getstate__(self):
        unbound = {name: _bound(getattr(self, name), None) for name in self.families}
        return {name: value for name, value in vars(self).items() if name != "ops"} | unbound

    def __setstate__(self, state):
        vars(self).update(state)
        self.use(self.backend, self.dtype)

    # -------------------------------------------------------------------------- checked arguments

    def matrix(self, name, array, columns, rows=None, support=()):
        """Check an array: finite, (rows, columns), within the support -> the array in the model's dtype."""
        if not isinstance(array, np.ndarray):
            array = arguments.numeric(name, array)
        if array.ndim != 2 or array.shape[1] != columns or rows not in (None, array.shape[0]):
            wanted = f"({'B' if rows is None else rows}, {columns})"
            raise ValueError(f"{name} must have shape {wanted}, got {arguments.describe(array)}")
        return arguments.cast(name, array, self.dtype, *support)

    def samples(self, name, array, rows, columns):
        """The same for an array (rows, columns) or (S, rows, columns)."""
        if not isinstance(array, np.ndarray):
            array = arguments.numeric(name, array)
        if array.shape[-2:] != (rows, columns) or array.ndim > 3:
            wanted = f"({rows}, {columns}) or (S, {rows}, {columns})"
            raise ValueError(f"{name} must have shape {wanted}, got {arguments.describe(array)}")
        return arguments.cast(name, array, self.dtype)

    def data(self, name, x, rows=None):
        """The same for data (B, D) within the likelihood's support."""
        return self.matrix(name, x, self.data_dim, rows, self.likelihood.support)

    def start_output_at(self, pixel_mean, pixel_variance=None):
        """Set the output bias so that an untrained decoder predicts about `pixel_mean` (D,).

        This saves the first training steps, which would only learn these means. (Burda et al. 2015,
        appendix) A learned variance of the likelihood starts at `pixel_variance` (D,), if that is given.
        """
        pixel_mean = arguments.cast("pixel_mean", pixel_mean, np.float64, *self.likelihood.support)
        arguments.shape("pixel_mean", pixel_mean, (self.data_dim,))
        self.params["output.b"][...] = self.likelihood.bias_for_mean(pixel_mean)
        if pixel_variance is not None and "output.logvar" in self.params:
            pixel_variance = arguments.cast("pixel_variance", pixel_variance, np.float64, 0)
            arguments.shape("pixel_variance", pixel_variance, (self.data_dim,))
            self.params["output.logvar"][...] = self.likelihood.logvar_for(pixel_variance)


def check_shapes(**results):
    """Check the shapes of what a distribution returns, which may be the caller's own class."""
    for name, (array, expected) in results.items():
        if np.shape(array) != expected:
            raise ValueError(
                f"the model's {name} must have shape {expected}, got {arguments.describe(array)}"
            )


def check_heads(names, heads, derivatives):
    """The same for derivatives of the heads, which would broadcast silently."""
    for place, given in derivatives.items():
        for name, head, dhead in zip(names, heads, given, strict=True):
            if np.shape(dhead) != head.shape:
                got = arguments.describe(dhead)
                raise ValueError(f"the posterior's d{name} {place} must have shape {head.shape}, got {got}")


def check_methods(name, distribution, *methods):
    """Refuse a class that is another kind of distribution."""
    for method in methods:
        if not hasattr(distribution, method):
            raise TypeError(f"{name} {type(distribution).__name__} has no {method}, which a {name} must have")


def family(name, given, known):
    """A class of distributions by its name in `known`; a class is returned unchanged."""
    return given if callable(given) else known[arguments.one_of(name, given, known)]


def _bound(distribution, ops):
    """A copy of a distribution and of its prior that calls the functions of `ops`."""
    twin = copy.copy(distribution)
    twin.ops = ops
    if getattr(twin, "prior", distribution) is not distribution:
        twin.prior = _bound(twin.prior, ops)
    return twin


def _dtype(dtype):
    for name in DTYPES:
        if dtype is not None and dtype in (name, np.dtype(name), np.dtype(name).type):
            return np.dtype(name)
    raise ValueError(f"dtype must be one of {', '.join(DTYPES)}; got {arguments.describe(dtype)}")
