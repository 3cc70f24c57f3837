"""What goes wrong with the activations and their derivatives."""

import numpy as np

# the textbook's formulas: right where nothing overflows, and they take complex steps
TEXTBOOK = {
    "identity": lambda a: 1 * a,
    "relu": lambda a: np.where(a.real > 0, a, 0),
    "tanh": lambda a: (np.exp(a) - np.exp(-a)) / (np.exp(a) + np.exp(-a)),
    "softplus": lambda a: np.log(1 + np.exp(a)),
    "sigmoid": lambda a: 1 / (1 + np.exp(-a)),
}


def slope_from_output(activation, y):
    """The right slope, told from y."""
    return {
        "tanh": 1 - y * y,
        "softplus": 1 - np.exp(-y),
        "sigmoid": y * (1 - y),
        "relu": (y > 0) * 1.0,
        "identity": np.ones_like(y),
    }[activation]


def slopes(activation, y, a=None):
    """Words -> slope: what the derivative of an activation is taken for. `a` is what went in, if known."""
    s = 1 / (1 + np.exp(-y))
    named = {
        "1 - y^2, that of tanh": 1 - y * y,
        "1 - e^-y, that of softplus": -np.expm1(-y),
        "y (1 - y), that of sigmoid": y * (1 - y),
        "1 where y > 0, that of relu": (y > 0).astype(float),
        "1 - y": 1 - y,
        "1 + y": 1 + y,
        "y": y,
        "y^2": y * y,
        "1 + y^2": 1 + y * y,
        "(1 - y)^2": (1 - y) ** 2,
        "y (1 + y)": y * (1 + y),
        "y^2 (1 - y)": y * y * (1 - y),
        "e^y": np.exp(y),
        "e^-y": np.exp(-y),
        "1 - e^y": -np.expm1(y),
        "1 + e^-y": 1 + np.exp(-y),
        "1 / (1 + e^y)": 1 - s,
        "1 / y": 1 / np.where(y == 0, np.inf, y),
        "sqrt(1 - y^2)": np.sqrt(np.maximum(1 - y * y, 0)),
        "1 / (1 - y^2)": 1 / np.where(y * y == 1, np.inf, 1 - y * y),
    }
    found = {f"taken as {words}": slope for words, slope in named.items()}
    if activation != "relu":
        found = {"missing: dy is handed on as it is": np.ones_like(y)} | found
    again = {"tanh": 1 - np.tanh(y) ** 2, "sigmoid": s * (1 - s), "softplus": s}
    words = {
        "tanh": "1 - tanh(y)^2: y is tanh(a) already",
        "sigmoid": "sigmoid(y) (1 - sigmoid(y)): y is sigmoid(a) already",
        "softplus": "sigmoid(y): it is sigmoid(a), and told from y 1 - e^-y",
    }
    if activation in again:
        found[f"taken as {words[activation]}"] = again[activation]
    if activation == "relu":
        found["1 everywhere, missing or asked with y >= 0: after a relu y is never negative; ask y > 0"] = (
            np.ones_like(y)
        )
        found["1 where y is 0 and 0 where it is not: the mask is the wrong way round"] = (y <= 0) * 1.0
        for c in (0.01, 0.1, 0.2, 0.5):
            found[f"{c:g} where y is 0, a leaky relu's: it is 0 there"] = np.where(y > 0, 1, c)
    if a is not None:
        given = {"tanh": 1 - a * a, "sigmoid": a * (1 - a), "softplus": -np.expm1(-a)}
        if activation in given:
            found["the formula in y, but a stands in it"] = given[activation]
    return found
