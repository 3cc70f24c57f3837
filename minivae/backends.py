"""Choose the functions that compute: `ops` (NumPy, the text to read) or `kernels` (compiled by numba).

Both are namespaces with the same functions. `kernels` is imported here, and only when it is chosen, so
that `import minivae` loads no numba.
"""

from importlib import import_module

from . import arguments

BACKENDS = ("numba", "numpy")


def namespace(backend):
    """The module for "numba" or "numpy"; any other namespace with the functions of `ops` as it is."""
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
