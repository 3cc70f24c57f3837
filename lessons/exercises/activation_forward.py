"""Apply five activations, and differentiate them

Write the five activations, elementwise: "identity", "relu", "tanh", "softplus" and "sigmoid". a may have any
shape, and entries from -800 to 800. No result may be inf or nan, and small results must keep their digits:
softplus(-40) and sigmoid(-40) are e^-40 = 4e-18, not 0.

The backward function gets dy and the OUTPUT y, not a: each derivative follows from y alone. Find out how, and
return da = dy * act'(a). The slope of relu at 0 is 0.

Where to look: lesson 4. Write one `if` for each name. np.maximum, np.where, np.tanh, np.exp and np.log1p work
on every entry. In float64, e^800 is inf and e^-800 is 0, so let every exponent be -|a|. For the backward
function differentiate first, and then express the derivative by y instead of a.

The formula: softplus(a) = log(1 + e^a) = max(a, 0) + log(1 + e^-|a|). With t = e^-|a|, sigmoid(a) is 1 /
(1 + t) where a >= 0 and t / (1 + t) where a < 0. Derivatives: relu 1 where y > 0, else 0; tanh 1 - y^2;
sigmoid y (1 - y); softplus 1 - e^-y, since e^y = 1 + e^a.
"""

import math

import numpy as np

from minivae import ops

from . import Exercise, Part

OUTPUT = {
    "identity": lambda a: a,
    "relu": lambda a: np.maximum(a, 0),
    "tanh": np.tanh,
    "softplus": lambda a: np.logaddexp(0, a),
    "sigmoid": lambda a: 0.5 * (1 + np.tanh(0.5 * a)),
}
TINY = math.exp(-40)
SATURATED = {
    "identity": [-800.0, 0.0, 800.0],
    "relu": [0.0, 1e-30, 800.0],
    "tanh": [-1.0, 0.0, 1.0],
    "softplus": [0.0, TINY, math.log(2), 40.0, 800.0],
    "sigmoid": [0.0, TINY, 0.5, 1.0],
}


def draw(rng, n, shape=None):
    """a (B, n_out) for each activation."""
    a = np.asarray(rng.normal(0.2, 1.6, (n.B, n.H) if shape is None else shape))
    return [(f"activation {name!r}", {"a": a, "activation": name}) for name in OUTPUT]


def shapes(rng, n):
    """Three axes, one, and none."""
    return [
        (f"{note}, shape {shape}", args)
        for shape in ((n.S, n.B, n.H), (40,), ())
        for note, args in draw(rng, n, shape)
    ]


def far():
    """Far from 0, and at it."""
    a = np.array([-800.0, -40.0, -30.5, -1e-12, 0.0, 1e-30, 1e-12, 12.5, 15.5, 17.5, 25.5, 40.0, 800.0])
    for name in OUTPUT:
        yield f"activation {name!r}, a from -800 to 800", {"a": a, "activation": name}


def backward(forward):
    """dy and the output y of these cases."""

    def drawn(rng, n):
        pairs = [
            (note, args["activation"], OUTPUT[args["activation"]](args["a"]))
            for note, args in forward(rng, n)
        ]
        ups = [np.asarray(rng.normal(0.3, 1.0, np.shape(y))) for _, _, y in pairs]
        return [
            (note, {"dy": dy, "y": np.asarray(y), "activation": name})
            for dy, (note, name, y) in zip(ups, pairs, strict=True)
        ]

    return drawn


def far_backward():
    """Saturated units."""
    for name, y in SATURATED.items():
        args = {"dy": np.linspace(-1.3, 1.7, len(y)), "y": np.array(y), "activation": name}
        yield f"activation {name!r}, where it is saturated", args


FORWARD = Part(
    ops.activation_forward,
    returns="y",
    walk="""
        t = exp(-abs(a))  # in (0, 1], so it never overflows
        relu = maximum(a, 0)
        tanh = tanh(a)
        softplus = maximum(a, 0) + log1p(t)
        sigmoid = where(a >= 0, 1, t) / (1 + t)
        y = {"identity": a, "relu": relu, "tanh": tanh, "softplus": softplus, "sigmoid": sigmoid}[activation]
    """,
    slips="""
    relu = 1.0 * (a > 0)  # relu is 1 where a > 0: that is its derivative, relu is a there
    relu = where(a > 0, a, 0.01 * a)  # this is the leaky relu: relu is 0 where a is negative
    tanh = 2 / (1 + exp(-2 * a)) - 1  # tanh loses digits at small a, where 1 is subtracted: use np.tanh
    softplus = maximum(a, 0) + log1p(exp(a))  # a > 0 counts twice in softplus: the exponent is -|a|
    softplus = maximum(a, 0) + log(1 + t)  # softplus(-40) is 0: 1 + e^-40 rounds to 1; use np.log1p(t)
    softplus = where(a > LIMIT, a, log1p(exp(minimum(a, LIMIT))))
    softplus = where(a > LIMIT, a, log(1 + exp(minimum(a, LIMIT))))
        # softplus is a itself above LIMIT: log(1 + e^-a) still counts there, or log1p is missing below
    sigmoid = 1 / (1 + exp(a))  # sigmoid has the wrong sign in the exponent: this is 1 - sigmoid(a)
    sigmoid = 1 / (1 + t)  # sigmoid is never below 1/2: where a < 0 it is e^-|a| / (1 + e^-|a|)
    sigmoid = t / (1 + t)  # sigmoid is never above 1/2: that is for a < 0 alone
    sigmoid = 1 / (1 + exp(-2 * a))  # this is sigmoid(2a): sigmoid(a) is (1 + tanh(a / 2)) / 2
    sigmoid = exp(a) / exp(a).sum(axis=-1, keepdims=True)  # this is a softmax: a sigmoid is of one entry
    sigmoid = 1 - 1 / (1 + exp(a))
    sigmoid = 0.5 * (1 + np.tanh(0.5 * a))
    sigmoid = where(a >= 0, 1 / (1 + t), 1 - 1 / (1 + t))
        # sigmoid loses its digits at -40, where 1 is subtracted from nearly 1: it is t / (1 + t) there
    y = a  # nothing is applied: y is a itself
    y = {"identity": a, "relu": relu, "tanh": sigmoid, "softplus": softplus, "sigmoid": tanh}[activation]
        # tanh and sigmoid are swapped: is it the right branch?
    """,
    cases={"each activation's value": draw, "other shapes": shapes},
    far={"far from 0, and at it": far},
)

BACKWARD = Part(
    ops.activation_backward,
    returns="da",
    walk="""
        relu = 1.0 * (y > 0)
        tanh = 1 - y**2
        softplus = -expm1(-y)  # 1 - e^-y, with all digits
        sigmoid = y * (1 - y)
        slopes = {"identity": 1.0, "relu": relu, "tanh": tanh, "softplus": softplus, "sigmoid": sigmoid}
        slope = slopes[activation]
        da = dy * slope
    """,
    slips="""
    relu = 1.0 * (y >= 0)  # relu's slope is 1 everywhere: y is never below 0, so test y > 0
    relu = where(y > 0, 1, 0.01)  # this is the leaky relu's slope: relu's is 0 where y is 0
    tanh = 1 - np.tanh(y)**2  # tanh is applied again: y is tanh(a) already, so the slope is 1 - y^2
    sigmoid = 1 / (1 + exp(-y)) * (1 - 1 / (1 + exp(-y)))
        # sigmoid is applied again: y is sigmoid(a) already, so the slope is y (1 - y)
    softplus = 1 / (1 + exp(-y))  # softplus has the slope sigmoid(a), not sigmoid(y): it is 1 - e^-y
    softplus = 1 - exp(-y)  # softplus loses digits at small y, where e^-y rounds to 1: use -np.expm1(-y)
    slope = 1.0  # the derivative of the activation is missing: da is dy
    da = dy / slope  # dy is divided by the slope: the chain rule multiplies
    """,
    cases={"each activation's derivative": backward(draw), "the derivatives, other shapes": backward(shapes)},
    far={"the derivative of a saturated unit": far_backward},
)

EXERCISE = Exercise(__doc__, lesson=4, parts=(FORWARD, BACKWARD))
