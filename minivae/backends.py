"""Choose who computes: `ops` (NumPy, the text that is taught) or `kernels` (numba, the same made fast).

Both are namespaces with the same functions. `kernels` is imported here and only when it is asked for, so
that `import minivae` loads no numba.
"""

from . import arguments

BACKENDS = ("numba", "numpy")


def namespace(backend):
    """The module called "numba" or "numpy"; any other namespace with the functions of `ops` as it is."""
    if not isinstance(backend, str):
        if not hasattr(backend, "dense_forward"):
            names = ", ".join(BACKENDS)
            raise TypeError(f"backend must be one of {names}, or have the functions of ops; got {backend!r}")
        return backend
    if arguments.one_of("backend", backend, BACKENDS) == "numpy":
        from . import ops

        return ops
    from . import kernels

    return kernels
