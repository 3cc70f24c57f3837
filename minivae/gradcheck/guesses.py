"""What may stand in a wrong operation: terms that are forgotten, slopes that are taken for another."""

import numpy as np


def size_of_terms(name, key, dy, inputs):
    """The size of the terms of this derivative, if no unit saturated and nothing cancelled."""
    size = np.abs(dy)
    if name.startswith("dense"):
        x, W = np.abs(inputs["x"]), np.abs(inputs["W"])
        return float(np.max({"x": size @ W.T, "W": x.T @ size, "b": size.sum(axis=0)}[key]))
    if name.startswith("kl") and key != next(iter(inputs)):
        return float(np.max(size)) * float(np.max(1 + np.exp(inputs[key])))
    return float(np.max(size))


def times_upstream(dy, known, shape):
    """Terms that one may forget: the upstream gradient alone, and times each known array."""
    if dy.ndim + 1 == len(shape):
        dy = dy[..., None]
    if not fits(dy, shape):
        return {}
    return {"dy": dy} | {f"dy * {name}": dy * k for name, k in known.items()}


def dense_guesses(key, dy, inputs, known):
    """What a dense layer's derivative would be with some other slope of the activation, or with W for W.T."""
    x, W = inputs["x"], inputs["W"]
    if "y" not in known:
        return {}
    right, y = next(iter(known.values())), known["y"]
    slopes = {
        "the activation's derivative is missing": np.ones_like(y),
        "the activation's derivative is taken twice": right * right,
        "the activation's derivative is taken as 1 - y": 1 - y,
        "the activation's derivative is taken as 1 + y": 1 + y,
        "the activation's derivative is taken as y": y,
        "the activation's derivative is taken as y (1 - y)": y * (1 - y),
        "the activation's derivative is taken as 1 - y^2": 1 - y * y,
        "the activation's derivative is taken as y^2": y * y,
        "the activation's derivative is 1 where y is 0, and 0 where it is not": (y <= 0).astype(float),
    }
    make = {"x": lambda da: da @ W.T, "W": lambda da: x.T @ da, "b": lambda da: da.sum(axis=0)}[key]
    guesses = {words: make(dy * slope) for words, slope in slopes.items()}
    if key == "x" and W.shape[0] == W.shape[1]:
        guesses["da @ W, where da @ W.T is asked"] = (dy * right) @ W
    return guesses


def fits(array, shape):
    """Whether an array broadcasts to `shape`."""
    try:
        return np.broadcast_shapes(np.shape(array), shape) == tuple(shape)
    except ValueError:
        return False
