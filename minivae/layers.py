"""Dense layers by their names: what a network is, and how it starts.

A network is a sequence of layer names; layer `n` has its weights at `params["n.W"]` and `params["n.b"]`.
`backward` walks the same names in reverse and leaves the derivatives under the same keys.
"""

from itertools import pairwise
from typing import NamedTuple

import numpy as np

from . import arguments


class Network(NamedTuple):
    """The layers of a VAE, in the order of the walk, with what an optimized walk needs to know of them."""

    encoder: tuple  # names
    heads: tuple
    decoder: tuple  # the last one is the output
    sizes: dict  # name -> (n_in, n_out)
    activation: str  # of all but the heads and the output


def widths(name, hidden):
    """Return the widths of hidden layers as a tuple; () for none."""
    if isinstance(hidden, str) or not np.iterable(hidden):
        raise TypeError(
            f"{name} must be a sequence of widths such as (400,), got {arguments.describe(hidden)}"
        )
    return tuple(arguments.integer(f"every width of {name}", width) for width in hidden)


def shapes(layers, sizes):
    """Pair each layer's name with its (n_in, n_out): layer i maps sizes[i] to sizes[i + 1]."""
    return dict(zip(layers, pairwise(sizes), strict=True))


def glorot_uniform(layer_shapes, rng, dtype):
    """Parameters of every layer: W uniform within +-sqrt(6 / (n_in + n_out)), b zero.

    The variance 2 / (n_in + n_out) keeps the size of activations and of gradients about the same from
    layer to layer. (Glorot and Bengio 2010, equation 16)
    """
    params = {}
    for layer, (n_in, n_out) in layer_shapes.items():
        limit = np.sqrt(6 / (n_in + n_out))
        params[f"{layer}.W"] = rng.uniform(-limit, limit, (n_in, n_out)).astype(dtype)
        params[f"{layer}.b"] = np.zeros(n_out, dtype)
    return params


def forward(ops, params, layers, x, activation, caches):
    """x (B, n_in) through every layer in turn -> (B, n_out); each layer's cache is left in `caches`."""
    for layer in layers:
        W, b = params[f"{layer}.W"], params[f"{layer}.b"]
        x, caches[layer] = ops.dense_forward(x, W, b, activation)
    return x


def backward(ops, layers, dy, caches, grads, input_gradient=True):
    """dy (B, n_out) back through every layer -> dx (B, n_in); dW and db are left in `grads`.

    `input_gradient=False` spares the first layer's dx where x is data, and returns None.
    """
    for layer in reversed(layers):
        asked = input_gradient or layer != layers[0]
        dy, grads[f"{layer}.W"], grads[f"{layer}.b"] = ops.dense_backward(dy, caches[layer], asked)
    return dy
