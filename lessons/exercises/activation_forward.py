"""Exercise: the activations, and their derivatives told from the output alone."""

import math

import numpy as np

from minivae import gradcheck, ops

from .. import judging
from ..judging import Exercise, Failed
from ..slips.activation_forward import (
    TEXTBOOK,
    WRONG,
    cause_far,
    mistaken_derivatives,
    mistaken_outputs,
    slope_far,
)

B, N = 11, 3
SIZES = {"B": B, "n": N}

# far from 0, and at it: a -> y
TINY = math.exp(-40)
FAR = {
    "identity": {-800.0: -800.0, 1e-30: 1e-30, 800.0: 800.0},
    "relu": {-800.0: 0.0, -1e-30: 0.0, 0.0: 0.0, 1e-30: 1e-30, 800.0: 800.0},
    "tanh": {-800.0: -1.0, -40.0: -1.0, 0.0: 0.0, 1e-12: 1e-12, 40.0: 1.0, 800.0: 1.0},
    "softplus": {800.0: 800.0, -800.0: 0.0, -40.0: TINY, 0.0: math.log(2), 40.0: 40.0},
    "sigmoid": {-800.0: 0.0, -40.0: TINY, 0.0: 0.5, 40.0: 1.0, 800.0: 1.0},
}
# and the slope there: y -> dy/da
SLOPES_FAR = {
    "identity": {-800.0: 1.0, 0.0: 1.0, 800.0: 1.0},
    "relu": {0.0: 0.0, 1e-30: 1.0, 800.0: 1.0},
    "tanh": {-1.0: 0.0, 0.0: 1.0, 1.0: 0.0},
    "softplus": {0.0: 0.0, TINY: TINY, math.log(2): 0.5, 40.0: 1.0, 800.0: 1.0},
    "sigmoid": {0.0: 0.0, TINY: TINY, 0.5: 0.25, 1.0: 0.0},
}


def example():
    """a and an upstream gradient dy, (B, n) each."""
    rng = np.random.default_rng(41)
    return rng.normal(0.2, 1.6, (B, N)), rng.normal(0.3, 1.0, (B, N))


# ------------------------------------------------------------------------------ checks


def check_values(its):
    """Each activation by the textbook's formula, where that is safe."""
    a, _ = example()
    for activation, act in TEXTBOOK.items():
        got = its.activation_forward(a, activation)
        _expect_output(activation, got, a, act(a), "")


def check_shapes(its):
    """One axis, from -30 to 30; three axes, some of size 1."""
    samples = example()[0].reshape(1, N, B) * np.array([[[1.0]], [[-0.7]]])  # (2, n, B)
    for a in (np.linspace(-30.3, 30.4, 38), samples, samples[:1, :, :1]):
        for activation, act in TEXTBOOK.items():
            try:
                got = its.activation_forward(a, activation)
            except Failed as failed:
                words = f"with a of shape {a.shape}, though a (B, n) is taken: {failed.sentence}"
                raise Failed(words, failed.details, failed.line) from failed.__cause__
            note = "a runs from -30 to 30" if a.ndim == 1 else f"a has shape {a.shape}"
            _expect_output(activation, got, a, act(a), note)


def _expect_output(activation, got, a, want, note):
    terms = {activation: want, "a": a, "|a|": np.abs(a), "1": np.ones_like(a), "e^-|a|": np.exp(-np.abs(a))}
    if activation in ("identity", "relu"):  # |a| is made of the others
        terms = {activation: want, "min(a, 0)": np.minimum(a, 0), "a^2": a * a, "1": np.ones_like(a)}
    judging.expect(
        f"y of {activation}",
        got,
        want,
        SIZES,
        wrong=mistaken_outputs(activation, a),
        terms=terms if a.ndim == 2 else None,
        formula={activation: 1.0},
        inputs={"a": a},
        note=note,
    )


def check_far(its):
    """At +-800 and 0, entry by entry: finite, and with all digits."""
    for activation, table in FAR.items():
        a, want = np.array([list(table)]), np.array(list(table.values()))
        got = entries(f"y of {activation}", its.activation_forward(a, activation), a.shape)
        for at, y, right in zip(a[0], got[0], want, strict=True):
            if not _near(y, right):
                cause = cause_far(activation, at, y, right)
                raise Failed(f"{activation}({at:g}) is {y:.6g}, and should be {right:.6g}: {cause}")


def entries(name, got, shape):
    """`got` as an array of this shape, of any numbers: what is not finite is told with its place."""
    got = np.asarray(got)
    judging.array(name, np.nan_to_num(got) if got.dtype.kind == "f" else got, shape, {})
    return got


def _near(got, want):
    """Equal to nine digits of its own, or to five where the result is in single precision."""
    return bool(abs(got - want) <= (2e-5 if np.float32(got) == got else 1e-9) * abs(want))


def check_backward(its):
    """da from dy and the output, against the complex step of the textbook's formula."""
    a, dy = example()
    for activation, act in TEXTBOOK.items():
        slope = gradcheck.complex_step(lambda v, act=act: np.sum(act(v)), a)
        y = act(a)
        terms = {
            "dy": dy,
            "dy y": dy * y,
            "dy y^2": dy * y * y,
            "dy y^3": dy * y**3,
            "dy e^-y": dy * np.exp(-y),
            "dy e^y": dy * np.exp(y),
            "y": y,
            "y^2": y * y,
            "1": np.ones_like(y),
            "dy^2": dy * dy,
        }
        formula = {
            "tanh": {"dy": 1.0, "dy y^2": -1.0},
            "softplus": {"dy": 1.0, "dy e^-y": -1.0},
            "sigmoid": {"dy y": 1.0, "dy y^2": -1.0},
            "identity": {"dy": 1.0},
        }.get(activation)
        if activation == "relu":
            formula = {"dy [y > 0]": 1.0}
            terms = {"dy [y > 0]": dy * (y > 0), "dy [y = 0]": dy * (y == 0), "dy y": dy * y, "y": y}
        judging.expect(
            f"da of {activation}",
            its.activation_backward(dy, y, activation),
            dy * slope,
            SIZES,
            wrong=mistaken_derivatives(activation, dy, y, slope),
            terms=terms,
            formula=formula,
            inputs=None if activation == "relu" else {"y": y},
        )


def check_backward_far(its):
    """At saturated outputs and at y = 0, entry by entry; y (S, B, n) too."""
    for activation, table in SLOPES_FAR.items():
        y, slope = np.array(list(table)), np.array(list(table.values()))
        for shape in ((-1,), (1, 1, -1)):
            dy = np.linspace(-1.3, 1.7, len(y)).reshape(shape)
            y, slope = y.reshape(shape), slope.reshape(shape)
            got = its.activation_backward(dy, y, activation)
            got = entries(f"da of {activation}", got, y.shape)
            for at, value, up, right in zip(y.flat, got.flat, dy.flat, (dy * slope).flat, strict=True):
                if not _near(value, right):
                    raise Failed(slope_far(activation, at, value, up, right))


CHECKS = {
    "each activation's value": check_values,
    "far from 0, and at it": check_far,
    "other shapes": check_shapes,
    "each activation's derivative": check_backward,
    "the derivative where a unit is saturated": check_backward_far,
}


EXERCISE = Exercise(
    lesson=4,
    title="Bend the line: five activations and their derivatives",
    task="""
    Write the five activations, elementwise: "identity", "relu", "tanh", "softplus" and "sigmoid". a may have
    any shape, and entries from -800 to 800: nothing may become inf or nan, and small results keep their
    digits (softplus(-40) and sigmoid(-40) are e^-40 = 4e-18, not 0).

    Backward is given dy and the OUTPUT y, not a: each derivative can be told from y alone. Find out how, and
    return da = dy * act'(a). ReLU's slope at 0 is 0.
    """,
    functions=(ops.activation_forward, ops.activation_backward),
    hints=(
        "Where to look: lesson 4. One `if` for each name; np.maximum, np.where, np.tanh, np.exp and np.log1p "
        "work on every entry. e^800 is inf and e^-800 is 0, so let every exponent be -|a|. For backward "
        "differentiate first, then write the derivative with y in place of a.",
        "The formula: softplus(a) = log(1 + e^a) = max(a, 0) + log(1 + e^-|a|). With t = e^-|a|, sigmoid(a) "
        "is 1 / (1 + t) where a >= 0 and t / (1 + t) where a < 0. Derivatives: relu 1 where y > 0, tanh "
        "1 - y^2, sigmoid y (1 - y), softplus 1 - e^-y, since e^y = 1 + e^a.",
        "All but the last line:\n"
        "    t = np.exp(-np.abs(a))                       # in (0, 1]\n"
        "    softplus: np.maximum(a, 0) + np.log1p(t)     # log1p(t) = log(1 + t), with all digits\n"
        "    sigmoid:  np.where(a >= 0, 1, t) / (1 + t)\n"
        "and backward, each to be multiplied by dy:\n"
        "    relu: y > 0     tanh: 1 - y * y     sigmoid: y * (1 - y)\n"
        "    softplus: -np.expm1(-y)                      # 1 - e^-y, with all digits",
    ),
    checks=CHECKS,
    wrong=WRONG,
)
