"""Inputs of a model other than plain x: one-hot labels as a condition, and corrupted pixels.

Like the noise, both are arguments of the model.
"""

import numpy as np

from . import arguments

CORRUPTIONS = ("none", "mask", "salt-and-pepper", "gaussian")


def one_hot(labels, classes):
    """Labels (N,) -> c (N, C) float32, 1 in the column of the label in the sorted `classes` (C,)."""
    labels, classes = np.asarray(labels), np.asarray(classes)
    if classes.ndim != 1 or not classes.size or np.any(classes[:-1] >= classes[1:]):
        raise ValueError(
            f"classes must be sorted and different labels (C,), got {arguments.describe(classes)}"
        )
    if labels.ndim != 1 or not labels.size:
        raise ValueError(f"labels must be an array (N,), got {arguments.describe(labels)}")
    places = np.searchsorted(classes, labels).clip(0, len(classes) - 1)
    unknown = labels[classes[places] != labels]
    if unknown.size:
        known = ", ".join(map(str, classes[:20].tolist())) + ", ..." * (len(classes) > 20)
        raise ValueError(f"label {unknown[0]} is none of the classes {known}")
    return np.eye(len(classes), dtype=np.float32)[places]


def corrupt(x, kind, amount, rng):
    """A corrupted copy of x (B, D), for a model that learns to restore x (Vincent et al. 2008).

    mask             each entry is 0 with probability `amount`
    salt-and-pepper  each entry is replaced with probability `amount`, by 0 or 1 with equal probability
    gaussian         N(0, amount^2) is added; the sum is clipped to [0, 1] if x lies in it
    """
    arguments.one_of("corruption", kind, CORRUPTIONS)
    if kind == "none":
        return x
    x = arguments.cast("x", x, np.float64 if getattr(x, "dtype", None) == np.float64 else np.float32)
    arguments.generator("rng", rng)
    amount = arguments.number("corruption amount", amount, at_least=0)
    if kind == "gaussian":
        noisy = x + (amount * rng.standard_normal(x.shape)).astype(x.dtype)
        return noisy.clip(0, 1) if x.min() >= 0 and x.max() <= 1 else noisy
    if amount > 1:
        raise ValueError(f"corruption amount must be a probability for {kind}, got {amount}")
    hit = rng.random(x.shape) < amount
    value = (rng.random(x.shape) < 0.5) if kind == "salt-and-pepper" else 0
    return np.where(hit, value, x).astype(x.dtype)
