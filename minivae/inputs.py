"""What a model may receive beside or instead of x: one-hot labels as a condition, and corrupted pixels.

Both are made outside the model and passed in, as the noise is.
"""

import numpy as np

from . import arguments

CORRUPTIONS = ("none", "mask", "salt-and-pepper", "gaussian")


def one_hot(labels, classes):
    """Labels (N,) among the sorted `classes` (C,) -> c (N, C) float32, 1 at each label's place."""
    labels, classes = np.asarray(labels), np.asarray(classes)
    places = np.searchsorted(classes, labels).clip(0, len(classes) - 1)
    unknown = labels[classes[places] != labels]
    if unknown.size:
        known = ", ".join(map(str, classes[:20].tolist())) + ", ..." * (len(classes) > 20)
        raise ValueError(f"label {unknown[0]} is none of the classes {known}")
    return np.eye(len(classes), dtype=np.float32)[places]


def corrupt(x, kind, amount, rng):
    """A corrupted copy of x (B, D), for a model that learns to restore x (Vincent et al. 2008).

    mask             each entry is 0 with probability `amount`
    salt-and-pepper  each entry is 0 or 1 with probability `amount`, one as often as the other
    gaussian         plus N(0, amount^2), kept within [0, 1] if x is
    """
    arguments.one_of("corruption", kind, CORRUPTIONS)
    if kind == "none":
        return x
    if kind == "gaussian":
        noisy = x + (amount * rng.standard_normal(x.shape)).astype(x.dtype)
        return noisy.clip(0, 1) if x.min() >= 0 and x.max() <= 1 else noisy
    hit = rng.random(x.shape) < arguments.number("corruption amount", amount, at_least=0, below=1.0001)
    value = (rng.random(x.shape) < 0.5) if kind == "salt-and-pepper" else 0
    return np.where(hit, value, x).astype(x.dtype)
