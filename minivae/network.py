"""A stack of dense layers: its initialization, its forward pass, and the backward pass that mirrors it.

A network is a tuple of layers. The parameters of layer `n` are `params["n.W"]` and `params["n.b"]`, and their
derivatives have the same names. The arrays that the backward pass needs are in `caches`, a dictionary of the
caller: no object stores an activation.
"""

from itertools import pairwise
from typing import NamedTuple

import numpy as np

from . import arguments


class Layer(NamedTuple):
    """y = act(x @ W + b): the name of the layer, its widths and its activation."""

    name: str
    n_in: int
    n_out: int
    activation: str = "identity"


def stack(names, sizes, activation):
    """Layers that map sizes[0] to sizes[1] to ... to sizes[-1], all with one activation."""
    return tuple(Layer(name, *ends, activation) for name, ends in zip(names, pairwise(sizes), strict=True))


def widths(name, hidden):
    """The widths of hidden layers as a tuple; () for none."""
    if isinstance(hidden, str) or not np.iterable(hidden):
        raise TypeError(
            f"{name} must be a sequence of widths such as (400,), got {arguments.describe(hidden)}"
        )
    return tuple(arguments.integer(f"every width of {name}", width) for width in hidden)


def initialize(layers, rng, dtype):
    """Parameters of every layer: W uniform within +-sqrt(6 / (n_in + n_out)), b zero.

    The variance 2 / (n_in + n_out) keeps the size of activations and of gradients about the same from
    layer to layer. (Glorot and Bengio 2010, equation 16)
    """
    params = {}
    for layer in layers:
        limit = np.sqrt(6 / (layer.n_in + layer.n_out))
        params[f"{layer.name}.W"] = rng.uniform(-limit, limit, (layer.n_in, layer.n_out)).astype(dtype)
        params[f"{layer.name}.b"] = np.zeros(layer.n_out, dtype)
    return params


def forward(ops, params, layers, x, caches, at):
    """x (B, n_in) through every layer in turn -> (B, n_out); `at` is called with every layer's output."""
    for name, _, _, activation in layers:
        x, caches[name] = ops.dense_forward(x, params[f"{name}.W"], params[f"{name}.b"], activation)
        x = at(name, x)
    return x


def backward(ops, layers, dy, caches, d, input_gradient=True):
    """dy (B, n_out) back through every layer -> dx (B, n_in); every derivative is put into `d`.

    `input_gradient=False` skips the first layer's dx, which data do not need, and returns None.
    """
    for layer in reversed(layers):
        name, wanted = layer.name, input_gradient or layer is not layers[0]
        d[name] = dy
        dy, d[f"{name}.W"], d[f"{name}.b"] = ops.dense_backward(dy, caches[name], wanted)
    return dy
