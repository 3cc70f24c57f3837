"""The exact answer, where there are few enough latents to ask for it."""

from typing import NamedTuple

import numpy as np

from .. import arguments
from .scores import score_function


class ExactGradient(NamedTuple):
    """dmu and dlogvar (B, L) by quadrature, and how far each entry may be off (B, L)."""

    dmu: np.ndarray
    dlogvar: np.ndarray
    error: np.ndarray


def exact_gradient(f, mu, logvar, nodes=64):
    """E[f(z) score(z)] by Gauss-Hermite quadrature over eps, for L of at most 2 -> ExactGradient.

    `nodes` for each latent: exact for polynomials up to degree 2 nodes - 3. `error` is the larger change that
    half as many nodes make to dmu or dlogvar: more than the truth for a smooth f, a fair estimate for a
    jagged one. f sees all nodes^L points at once as its samples.
    """
    arguments.gaussian(mu, logvar)
    if arguments.integer("nodes", nodes, at_least=2) > 256:
        raise ValueError(f"nodes must be at most 256, got {nodes}: beyond, the nodes' weights underflow")
    if mu.shape[1] > 2:
        raise ValueError(
            f"exact_gradient takes at most 2 latents, got L = {mu.shape[1]}: nodes^L points are too many. "
            "Use the mean of a long run of pathwise_antithetic, with its standard error"
        )
    fine, coarse = _quadrature(f, mu, logvar, nodes), _quadrature(f, mu, logvar, nodes // 2)
    return ExactGradient(*fine, np.maximum(*(abs(a - b) for a, b in zip(fine, coarse, strict=True))))


def _quadrature(f, mu, logvar, nodes):
    B, L = mu.shape
    points, weights = np.polynomial.hermite_e.hermegauss(nodes)
    grid = np.stack(np.meshgrid(*[points] * L, indexing="ij"), axis=-1).reshape(-1, 1, L)  # (nodes^L, 1, L)
    weights = np.prod(np.meshgrid(*[weights] * L, indexing="ij"), axis=0).ravel()  # (nodes^L,)
    grads = score_function(f, mu, logvar, np.repeat(grid, B, axis=1))  # (nodes^L, B, L) each
    return [np.tensordot(weights / weights.sum(), grad, axes=1) for grad in grads]  # (B, L) each
