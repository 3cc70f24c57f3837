"""What may stand in a wrong operation: terms that are forgotten, slopes that are taken for another."""

import numpy as np

from ..ops import sum_to_shape


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


def guesses_of(name, key, dy, inputs, known, shape):
    """Words -> what an operation would give if it had made that mistake; empty where none is known."""
    role = name.partition("(")[0]
    if role == "dense_backward":
        return dense_guesses(key, dy, inputs, known)
    if role == "activation_backward":
        return activation_guesses(name.partition("(")[2].rstrip(")"), dy, inputs["a"], known)
    if role == "sample_backward" and "std" in known:
        return sample_guesses(key, dy, known)
    if role == "nll_backward" and "x" in known:
        return nll_guesses(key, dy, known, shape)
    return {}


def moved(name, array):
    """The array with its rows, columns or samples shifted by one, or reversed."""
    found = {}
    for axis, line in ((-2, "row"), (-1, "column"), (-3, "sample")):
        if array.ndim >= -axis and array.shape[axis] > 1:
            found |= {f"{name} is shifted by a {line} ({by:+d})": np.roll(array, by, axis) for by in (1, -1)}
            found[f"the {line}s of {name} are reversed"] = np.flip(array, axis)
    return found


def activation_guesses(activation, dy, a, known):
    """dy with the slope of another function, or with the right one at the wrong array."""
    if "y" not in known:
        return {}
    y = known["y"]
    s = 1 / (1 + np.exp(-y))
    at_y = {"tanh": 1 - np.tanh(y) ** 2, "sigmoid": s * (1 - s), "softplus": s}
    given_a = {"tanh": 1 - a * a, "sigmoid": a * (1 - a), "softplus": -np.expm1(-a)}
    slopes = _slopes(y)
    if activation in at_y:
        slopes[f"{activation}'(y), where {activation}'(a) is asked"] = at_y[activation]
        slopes["the derivative's formula in y is given a"] = given_a[activation]
    if activation == "relu":
        slopes |= {f"leaky relu's slope {c} where y is 0": np.where(y > 0, 1, c) for c in (0.01, 0.1, 0.2)}
    return {words: dy * slope for words, slope in slopes.items()}


def sample_guesses(key, dy, known):
    """Derivatives of z = mu + std * eps with samples left out, or with other noise."""
    std, eps = known["std"], known["eps"]

    def total(part):
        return part.sum(axis=0) if part.ndim == 3 else part

    part = dy if key == "mu" else dy * (0.5 * std * eps)
    guesses = {}
    if key != "mu":
        guesses = {words: total(dy * (0.5 * std * e)) for words, e in moved("eps", eps).items()}
    if part.ndim == 3:
        guesses |= {
            "only the first sample: the sum over S is missing": part[0],
            "only the last sample: the sum over S is missing": part[-1],
            "the first sample is left out": part[1:].sum(axis=0),
            "the last sample is left out": part[:-1].sum(axis=0),
            "a mean over S where a sum is asked": part.mean(axis=0),
        }
    return guesses


def nll_guesses(key, dy, known, shape):
    """Derivatives of the likelihood with other data, or without one of their terms."""
    x, dy = known["x"], dy[..., None]
    data = moved("x", x) | {"x is rounded": np.round(x), "1 - x stands for x": 1 - x}
    if "p" in known:
        return {words: dy * (known["p"] - other) for words, other in data.items()}
    mean, precision = known["mean"], known.get("exp(-logvar)", 1.0)
    if key == "mean":
        return {words: dy * (mean - other) * precision for words, other in data.items()}
    squares = {words: 1 - (mean - other) ** 2 * precision for words, other in data.items()}
    squared = (mean - x) ** 2
    squares |= {
        "the 1 of 1/2 (1 - (mean - x)^2 exp(-logvar)) is missing": -squared * precision,
        "exp(-logvar) is missing beside (mean - x)^2": 1 - squared,
        "exp(-logvar / 2) stands for exp(-logvar)": 1 - squared * np.sqrt(precision),
        "|mean - x| stands for (mean - x)^2": 1 - np.abs(mean - x) * precision,
    }
    return {words: sum_to_shape(0.5 * dy * value, shape) for words, value in squares.items()}


ASKED = {
    ("kl_backward", "mu"): "dy * mu",
    ("kl_backward", "logvar"): "1/2 * dy * expm1(logvar)",
    ("sample_backward", "mu"): "dy",
    ("sample_backward", "logvar"): "1/2 * dy * std * eps",
}


def wrong_arrays(name, key, dy, known):
    """dy times every array at hand: what may stand where another belongs. Asked last: there are many."""
    if (name, key) not in ASKED or "logvar" not in known:
        return {}
    dy, logvar, guesses = dy[..., None] if dy.ndim == 1 else dy, known["logvar"], {}
    known = known | {"expm1(2 logvar)": np.expm1(2 * logvar), "expm1(logvar / 2)": np.expm1(logvar / 2)}
    for array, k in known.items():
        product = dy * k
        product = product.sum(axis=0) if product.ndim == 3 else product
        for scale, times in ((1, ""), (0.5, "1/2 * "), (2, "2 * "), (-1, "-"), (-0.5, "-1/2 * ")):
            guesses[f"it is {times}dy * {array}, where {ASKED[name, key]} is asked"] = scale * product
    return guesses


def _slopes(y):
    """Slopes that an activation's derivative is taken for."""
    return {
        "the activation's derivative is missing": np.ones_like(y),
        "the activation's derivative is taken as 1 - y": 1 - y,
        "the activation's derivative is taken as 1 + y": 1 + y,
        "the activation's derivative is taken as y": y,
        "the activation's derivative is taken as y (1 - y)": y * (1 - y),
        "the activation's derivative is taken as y (1 + y)": y * (1 + y),
        "the activation's derivative is taken as 1 - y^2": 1 - y * y,
        "the activation's derivative is taken as y^2": y * y,
        "the activation's derivative is 1 where y is 0, and 0 where it is not": (y <= 0).astype(float),
    }


def dense_guesses(key, dy, inputs, known):
    """A dense layer's derivative with another slope, other rows of the batch, or with W for W.T."""
    x, W = inputs["x"], inputs["W"]
    if "y" not in known:
        return {}
    right, y = next(iter(known.values())), known["y"]
    da, slopes = dy * right, _slopes(y)
    slopes["the activation's derivative is taken twice"] = right * right
    make = {"x": lambda da: da @ W.T, "W": lambda da: x.T @ da, "b": lambda da: da.sum(axis=0)}[key]
    guesses = {words: make(dy * slope) for words, slope in slopes.items()}
    if key == "x" and W.shape[0] == W.shape[1]:
        guesses["da @ W, where da @ W.T is asked"] = da @ W
    if key == "x":
        return guesses
    parts = {"first": slice(1, None), "last": slice(None, -1)}
    if key == "W":
        guesses |= {words: other.T @ da for words, other in moved("x", x).items()}
        left_out = {end: x[rows].T @ da[rows] for end, rows in parts.items()}
        if x.shape == y.shape:
            guesses["it is made from y, where x is asked"] = y.T @ da
    else:
        left_out = {end: da[rows].sum(axis=0) for end, rows in parts.items()}
        guesses["only the first row: the sum over the batch is missing"] = da[0]
        guesses["only the last row: the sum over the batch is missing"] = da[-1]
        guesses["a mean over the batch where a sum is asked"] = da.mean(axis=0)
        if da.shape[0] == da.shape[1]:
            guesses["summed over the wrong axis"] = da.sum(axis=1)
    return guesses | {f"the {end} row of the batch is left out": part for end, part in left_out.items()}


def fits(array, shape):
    """Whether an array broadcasts to `shape`."""
    try:
        return np.broadcast_shapes(np.shape(array), shape) == tuple(shape)
    except ValueError:
        return False
