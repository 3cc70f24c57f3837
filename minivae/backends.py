"""Choose the operations: `ops` (NumPy, made to be read) or `kernels` (compiled by numba).

Both are namespaces with the same functions. `kernels` is imported here, and only when it is chosen, so that
`import minivae` does not load numba.
"""

from importlib import import_module

from . import arguments

BACKENDS = ("numba", "numpy")


def namespace(backend):
    """The module for "numba" or "numpy"; a namespace with the functions of `ops` is returned unchanged."""
    if isinstance(backend, str):
        return import_module(
            {"numba": ".kernels", "numpy": ".ops"}[arguments.one_of("backend", backend, BACKENDS)],
            __package__,
        )
    if not hasattr(backend, "dense_forward"):
        raise TypeError(
            f"backend must be one of {', '.join(BACKENDS)}, or have the functions of ops; got {backend!r}"
        )
    return backend
