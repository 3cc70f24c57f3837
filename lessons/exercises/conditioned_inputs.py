"""Give both networks the label

Write conditioned_inputs(x, z, labels, C): it appends to every row of x and of z the one-hot row of its label,
and returns the inputs of the encoder and of the decoder. labels (B,) are whole numbers from 0 to C - 1; some
labels may not occur. z may have a leading axis of S samples.

Then its backward pass: given dinputs, the derivative of the loss with respect to the decoder's input, return
dz. The label is data and needs no derivative.

Where to look: lesson 15, section 1. First make c (B, C): a 1 in the column of the label, and 0 elsewhere.
Both networks get the same c. With S samples, every sample gets the same c.

The formula: c_bk = 1 if k = labels_b, else 0. Row k of an identity matrix is the one-hot row of label k, so
np.eye(C)[labels] is c. Append it to x and to z: the first D, or L, columns do not change. In the backward
pass, dz is the first L columns of dinputs.
"""

import numpy as np

from ..cases import normal
from . import Exercise, Part


def draw(z):
    """A draw with z of this shape, and labels of which some do not occur."""

    def drawn(rng, n):
        given, C = normal(x="BD", z=z)(rng, n), n.H + 1
        return given | {"labels": rng.integers(0, C, n.B), "C": C}

    return drawn


def draw_back(shape):
    """A draw of dinputs with L + C columns; L."""

    def drawn(rng, n):
        sizes = [getattr(n, letter) for letter in shape]
        return {"dinputs": rng.normal(0.3, 1.1, (*sizes, n.L + n.H + 1)), "L": n.L}

    return drawn


def conditioned_inputs(x, z, labels, C):
    """x (B, D), z (B, L) or (S, B, L), labels (B,) in 0 to C - 1 -> to_encoder (B, D + C), to_decoder.

    to_decoder is (B, L + C) or (S, B, L + C): z, and behind it the same one-hot rows as behind x.
    """
    c = np.eye(C)[labels]
    rows = np.broadcast_to(c, (*z.shape[:-1], C))
    return np.concatenate([x, c], axis=-1), np.concatenate([z, rows], axis=-1)


def conditioned_inputs_backward(dinputs, L):
    """dinputs (B, L + C) or (S, B, L + C), of the decoder's input -> dz (B, L) or (S, B, L)."""
    return dinputs[..., :L].copy()


FORWARD = Part(
    conditioned_inputs,
    returns="to_encoder to_decoder",
    walk="""
        c = eye(C)[labels]  # (B, C)
        rows = broadcast_to(c, (*z.shape[:-1], C))  # like z, but for the last axis: S samples share c
        to_encoder = concatenate([x, c], axis=-1)  # (B, D + C)
        to_decoder = concatenate([z, rows], axis=-1)  # (..., B, L + C)
    """,
    slips="""
    to_encoder = x  # the encoder does not get the label: append c to x as well
    to_decoder = z  # the decoder does not get the label: append c to z as well
    to_encoder = x; to_decoder = concatenate([x, c], axis=-1)  # the decoder gets z and c, not x
    c = labels[:, None] + 0.0; rows = broadcast_to(c, (*z.shape[:-1], 1))
        # the label is appended as a number: that is one column, and puts the labels in an order
    c = labels[:, None] / C; rows = broadcast_to(c, (*z.shape[:-1], 1))
    c = labels[:, None] / maximum(C - 1, 1); rows = broadcast_to(c, (*z.shape[:-1], 1))
        # the label is appended as a number from 0 to 1: that is one column, and puts the labels in an order
    c = repeat(labels[:, None] + 0.0, C, axis=1)
    c = repeat(labels[:, None] / C, C, axis=1)
        # the label is repeated as a number: one-hot is 1 in the column of the label and 0 elsewhere
    c = labels[:, None] * eye(C)[labels]  # the 1 of the one-hot row is the label itself: it must be 1
    c = eye(C)[labels - 1]  # the 1 is one column too far left: labels begin at 0
    c = eye(C)[(labels + 1) % C]  # the 1 is one column too far right: labels begin at 0
    c = 1.0 * (labels[:, None] == arange(1, C + 1))  # the columns are those of labels 1 to C: begin at 0
    c = eye(labels.max() + 1)[labels]; rows = broadcast_to(c, (*z.shape[:-1], labels.max() + 1))
        # the largest label of the batch decides how many columns there are: it is C, in every batch
    c = eye(C)[::-1][labels]  # the columns of the one-hot rows are in reverse order
    c = eye(C)[np.unique(labels, return_inverse=True)[1]]
        # the column is the place among the labels that occur: it must be the label, in every batch
    c = 1 - eye(C)[labels]  # zeros and ones are exchanged
    c = eye(C)[labels] / C  # the one-hot rows are divided by C
    c = 2 * eye(C)[labels] - 1  # the other columns are -1: they must be 0
    c = 1.0 * (labels[:, None] >= arange(C))  # all columns up to the label are 1: only its own must be
    c = eye(C)[labels[::-1]]  # the labels are in reverse order
    c = eye(C)[repeat(labels[:1], len(labels))]  # all rows get the label of the first
    c = 0 * eye(C)[labels]  # c is zero everywhere: is the 1 ever written?
    c = np.roll(eye(C)[labels], 1, axis=0)  # every row gets the label of the row before it
    to_encoder = concatenate([c, x], axis=-1)  # c is in front of x: append it behind
    to_decoder = concatenate([rows, z], axis=-1)  # c is in front of z: append it behind
    to_encoder = concatenate([c, x], axis=-1); to_decoder = concatenate([rows, z], axis=-1)
        # c is in front: append it behind
    to_encoder = x + c.sum(axis=1, keepdims=True)  # c is added to x: append it as further columns
    to_decoder = z + rows.sum(axis=-1, keepdims=True)  # c is added to z: append it as further columns
    """,
    cases={
        "the inputs of both networks": draw("BL"),
        "the inputs of both networks, S samples": draw("SBL"),
    },
)

BACKWARD = Part(
    conditioned_inputs_backward,
    returns="dz",
    walk="""
        dz = dinputs[..., :L]  # like z
    """,
    slips="""
    dz = dinputs  # dz has the columns of c as well: split, and keep the first L
    dz = dinputs[..., L:]  # these are the columns of c: dz is the first L
    dz = dinputs[..., -L:]  # these are the last L columns: dz is the first L, c is behind z
    dz = dinputs[..., :L] + dinputs[..., L:].sum(axis=-1, keepdims=True)
        # the derivative of c is added to dz: drop it, c is data
    dz = dinputs[..., :L] + dinputs[..., L:].mean(axis=-1, keepdims=True)
        # the derivative of c is added to dz: drop it, c is data
    dz = dinputs[..., :L].sum(axis=0) if dinputs.ndim == 3 else dinputs[..., :L]
        # dz is summed over the samples: each sample has its own z
    dz = dinputs[..., :L].mean(axis=0) if dinputs.ndim == 3 else dinputs[..., :L]
        # dz is averaged over the samples: each sample has its own z
    dz = dinputs[..., :L] / len(dinputs)  # dz is divided by the number of rows: dinputs has that already
    dz = dinputs[..., L - 1 :: -1]  # the columns of dz are in reverse order
    dz = dinputs[:, :L]  # the second axis is cut: L counts along the last axis
    dz = dinputs[:L]  # the first axis is cut: L counts along the last axis
    dz = dinputs[..., : L - 1]  # dz has a column too few: the first L
    dz = dinputs[..., : L + 1]  # dz has a column too many: the first L
    dz = dinputs[..., 1 : L + 1]  # the columns begin one too far right
    dz = resize(dinputs, (*dinputs.shape[:-1], L))
        # dinputs is cut across its rows: each row has L + C columns, keep the first L
    """,
    cases={"the derivative of z": draw_back("B"), "the derivative of z, S samples": draw_back("SB")},
)

EXERCISE = Exercise(__doc__, lesson=15, parts=(FORWARD, BACKWARD), borrowed=("one_hot",))
