"""How large the terms of a model's derivatives are: no check may blame their rounding."""

import numpy as np


def sizes(pieces, trace):
    """pieces(trace) -> term -> derivatives by name; size(name, term): EPS of it is a derivative's rounding.

    The model's own backward pass is applied to a trace without saturated units and without signs, so that
    nothing cancels.
    """
    large = pieces(_absolute(trace))
    most = {t: {name: _largest(d) for name, d in found.items()} for t, found in large.items()}
    rec, kl = most["reconstruction"], most["kl"]
    for name in kl:  # of a sampled kl, the score cancels what comes through z: as large as z's, taken back
        kl[name] = max(kl[name], rec[name] * kl["z"] / rec["z"] if rec["z"] else 0.0)
        most["loss"][name] = max(rec[name], kl[name], most["loss"][name])
    return lambda name, term: most[term].get(name, 0.0)


def each(kept, change):
    """A trace, or what is in it, with change(array) for every array of floats."""
    if isinstance(kept, dict):
        return {name: each(value, change) for name, value in kept.items()}
    if isinstance(kept, (tuple, list)):
        parts = [each(value, change) for value in kept]
        return type(kept)(*parts) if hasattr(kept, "_fields") else type(kept)(parts)
    return change(kept) if isinstance(kept, np.ndarray) and kept.dtype.kind == "f" else kept


def _absolute(trace):
    """Every factor is replaced by its size, the input of a unit by at least 1, the slope of a unit by 1."""
    caches = dict(trace.caches)
    for name, cache in caches.items():
        if isinstance(cache, tuple) and len(cache) == 4:
            x, W, y, _ = cache
            caches[name] = np.maximum(np.abs(x), 1), np.abs(W), y, "identity"
    mu, *rest = trace.heads
    far = 3 * (np.abs(trace.outputs) + np.abs(trace.target))  # not 1, where 1 - far^2 would cancel
    far = {"heads": (np.abs(mu), *rest), "z": np.abs(trace.z) + 2 * np.abs(mu), "outputs": far}
    return trace._replace(eps=np.abs(trace.eps), target=0 * trace.target, caches=caches, **far)


def _largest(derivative):
    size = np.abs(derivative)
    return float(np.max(size, initial=0, where=np.isfinite(size)))
