"""The VAE's two walks, each in one launch: from x to the decoder's outputs, and back to every gradient.

`models` writes the walk operation by operation, and that is the text to read. Between two operations Python
spends some 10 microseconds, on a small network more than inside them. So here the same kernels are called in
the same order from compiled code: the same bits come out, sooner. Layers are handed over as a table, a row
for each, since a compiled function takes no dictionary:

    W, b, y, dW, db   addresses        n_in, n_out   sizes        code   of its activation
"""

from operator import is_
from typing import NamedTuple

import numpy as np
from numba import carray

from ..ops import ACTIVATIONS
from . import dense, memory, threads
from .compiled import compiled
from .gaussian import _kl, _kl_backward, _sample, _sample_backward
from .operands import REAL, operands
from .tiles import SMALL, panels_for, product, signature
from .vectors import pointer

W, B, Y, DW, DB, N_IN, N_OUT, CODE = range(8)
_product = product.parallel
_activate_backward = dense._activate_backward.parallel


@compiled
def _matrix(table, layer, column, rows, columns, like):
    """The array that one entry of the table is the address of."""
    return carray(pointer(table[layer, column], like), (rows, columns))


@compiled
def _worth(parts, outputs, n_in):
    """The threads that a product of this layer is worth."""
    return parts if outputs.size * n_in > SMALL else 1


@compiled
def _layer(parts, x, table, layer, panels):
    """y = act(x @ W + b)."""
    n_in, n_out = table[layer, N_IN], table[layer, N_OUT]
    weights = _matrix(table, layer, W, n_in, n_out, x)
    bias = carray(pointer(table[layer, B], x), (n_out,))
    y = _matrix(table, layer, Y, x.shape[0], n_out, x)
    _product(_worth(parts, y, n_in), x, weights, y, panels, bias, table[layer, CODE])
    return y


@compiled
def _layer_backward(parts, dy, x, table, layer, panels, room, into):
    """dy -> dW, db, and dx unless there is no room for it; `room` is for da."""
    n_in, n_out, code = table[layer, N_IN], table[layer, N_OUT], table[layer, CODE]
    rows = x.shape[0]
    weights = _matrix(table, layer, W, n_in, n_out, x)
    y = _matrix(table, layer, Y, rows, n_out, x)
    dW = _matrix(table, layer, DW, n_in, n_out, x)
    db = carray(pointer(table[layer, DB], x), (n_out,))
    da = room[: rows * n_out].reshape((rows, n_out)) if code else dy
    _activate_backward(parts, dy, y, da, db, code)
    dx = into[: rows * n_in].reshape((into.size and rows, n_in))
    if dx.size:
        _product(_worth(parts, da, n_in), da, weights.T, dx, panels, panels[:0], 0)
    _product(_worth(parts, da, n_in), x.T, da, dW, panels, panels[:0], 0)
    return dx


@compiled
def _forward(parts, panels, x, eps, table, depth, z, kl):
    h = x
    for layer in range(depth):
        h = _layer(parts, h, table, layer, panels)
    mu = _layer(parts, h, table, depth, panels)
    logvar = _layer(parts, h, table, depth + 1, panels)
    _kl(mu, logvar, kl)
    _sample(mu, logvar, eps, z)
    h = z
    last = table.shape[0] - 1
    for layer in range(depth + 2, last):
        h = _layer(parts, h, table, layer, panels)
    _layer(parts, h, table, last, panels)


@compiled
def _backward(parts, panels, doutputs, dkl, x, eps, table, depth, z, rooms, dheads):
    rows, last, batch, nowhere = eps.shape[0], table.shape[0] - 1, x.shape[0], panels[:0]
    dy = doutputs
    for layer in range(last, depth + 1, -1):
        h = _matrix(table, layer - 1, Y, rows, table[layer, N_IN], x) if layer > depth + 2 else z
        dy = _layer_backward(parts, dy, h, table, layer, panels, rooms[2], rooms[layer % 2])
    mu = _matrix(table, depth, Y, batch, eps.shape[1], x)
    logvar = _matrix(table, depth + 1, Y, batch, eps.shape[1], x)
    _sample_backward(dy, logvar, eps, dheads[0], dheads[1])
    _kl_backward(dkl, mu, logvar, dheads[2], dheads[3])
    _add(dheads[0], dheads[2])
    _add(dheads[1], dheads[3])
    h = _matrix(table, depth - 1, Y, batch, table[depth, N_IN], x) if depth else x
    into, beside = (rooms[depth % 2], rooms[2]) if depth else (nowhere, nowhere)
    dy = _layer_backward(parts, dheads[0], h, table, depth, panels, nowhere, into)
    part = _layer_backward(parts, dheads[1], h, table, depth + 1, panels, nowhere, beside)
    _add(dy, part)
    for layer in range(depth - 1, -1, -1):
        h = _matrix(table, layer - 1, Y, batch, table[layer, N_IN], x) if layer else x
        into = rooms[layer % 2] if layer else nowhere
        dy = _layer_backward(parts, dy, h, table, layer, panels, rooms[2], into)


@compiled
def _add(total, part):
    for i in range(total.shape[0]):
        row, more = total[i], part[i]
        for j in range(row.size):
            row[j] += more[j]


class Plan:
    """What the walks of one network need to know, looked up once: where its parameters stand, and sizes."""

    def __init__(self, network, params):
        self.names = [f"{layer}.{kind}" for layer in network.sizes for kind in "Wb"]
        self.held = [params[name] for name in self.names]
        self.depth = len(network.encoder)
        sizes = tuple(network.sizes.values())
        self.widths = tuple(n_out for _, n_out in sizes)
        self.widest = max(n_in for n_in, _ in sizes[1:])
        self.shapes = tuple(shape for size in sizes for shape in (size, size[1:]))
        self.dtype = self.held[0].dtype
        # of what the compiled loops may assume: they look at addresses and not at shapes
        self.serves = self.dtype in REAL and all(
            array.shape == shape and array.dtype == self.dtype and array.flags.carray
            for array, shape in zip(self.held, self.shapes, strict=True)
        )
        self.table = np.zeros((len(sizes), 8), np.int64)
        self.table[:, [W, B]] = np.reshape([array.ctypes.data for array in self.held], (-1, 2))
        self.table[:, [N_IN, N_OUT]] = sizes
        hidden = [name not in (*network.heads, network.decoder[-1]) for name in network.sizes]
        self.table[hidden, CODE] = ACTIVATIONS.index(network.activation)

    def fits(self, params):
        """Whether the parameters are still the same arrays."""
        return all(map(is_, map(params.get, self.names), self.held))


class Walk(NamedTuple):
    """What a forward walk leaves for the way back."""

    plan: Plan
    table: np.ndarray
    z: np.ndarray  # (N, L)
    outputs: list  # of every layer; the addresses in the table are theirs

    def by_layer(self, network, x):
        """What `dense_forward` would have left of each layer, for a way back that goes one by one."""
        encoder = self.outputs[: self.plan.depth]
        inputs = [x, *encoder, (x, *encoder)[-1], self.z, *self.outputs[self.plan.depth + 2 : -1]]
        plain = (*network.heads, network.decoder[-1])
        activations = ["identity" if name in plain else network.activation for name in network.sizes]
        rows = zip(inputs, self.plan.held[::2], self.outputs, activations, strict=True)
        return dict(zip(network.sizes, rows, strict=True))


def walk_forward(plan, x, eps):
    """x (B, D), eps (B, L) or (S, B, L) -> heads (B, L), outputs (B, D) or (S, B, D), kl (B,), a Walk."""
    depth = plan.depth
    x, rows = operands(x=x, eps=eps.reshape(-1, eps.shape[-1]))
    batch, samples = len(x), len(rows)
    shapes = tuple((batch if i < depth + 2 else samples, width) for i, width in enumerate(plan.widths))
    (*ys, z, kl), (*places, _, _) = memory.arrays((*shapes, rows.shape, (batch,)), plan.dtype)
    table = plan.table.copy()
    table[:, Y] = places
    _launch(_forward, x, rows, table, depth, z, kl)
    outputs = ys[-1].reshape(*eps.shape[:-1], plan.widths[-1])
    return tuple(ys[depth : depth + 2]), outputs, kl, Walk(plan, table, z, ys)


def walk_backward(walk, doutputs, dkl, x, eps):
    """doutputs like outputs, dkl (B,) -> the derivatives by every W and b, by name."""
    plan, table, z, _ = walk
    doutputs, dkl, x, rows = operands(
        doutputs=doutputs.reshape(-1, plan.widths[-1]), dkl=dkl, x=x, eps=eps.reshape(-1, eps.shape[-1])
    )
    grads, places = memory.arrays(plan.shapes, plan.dtype)
    table = table.copy()
    table[:, DW], table[:, DB] = places[::2], places[1::2]
    rooms = memory.empty((3, len(rows) * plan.widest), plan.dtype)
    dheads = memory.empty((4, len(x), rows.shape[1]), plan.dtype)
    _launch(_backward, doutputs, dkl, x, rows, table, plan.depth, z, rooms, dheads)
    return dict(zip(plan.names, grads, strict=True))


def _launch(kernel, x, *args):
    parts = threads.get_threads()
    product.compile(2, signature(x.dtype))
    threads.together(kernel, parts, (parts, panels_for(parts, x.dtype), x, *args))
