"""Exercise: the activations, and their derivatives told from the output alone."""

import math

import numpy as np

from minivae import gradcheck, ops

from .. import judging
from ..judging import Exercise, Failed, Wrong
from ..slips.activation_forward import TEXTBOOK, slope_from_output, slopes

B, N = 11, 3
SIZES = {"B": B, "n": N}

# where they are not: a -> y
TINY = math.exp(-40)
FAR = {
    "identity": {-800.0: -800.0, 1e-300: 1e-300, 800.0: 800.0},
    "relu": {-800.0: 0.0, -1e-300: 0.0, 0.0: 0.0, 1e-300: 1e-300, 800.0: 800.0},
    "tanh": {-800.0: -1.0, -40.0: -1.0, 0.0: 0.0, 40.0: 1.0, 800.0: 1.0},
    "softplus": {800.0: 800.0, -800.0: 0.0, -40.0: TINY, 0.0: math.log(2), 40.0: 40.0},
    "sigmoid": {-800.0: 0.0, -40.0: TINY, 0.0: 0.5, 40.0: 1.0, 800.0: 1.0},
}
# and the slope there: y -> dy/da
SLOPES_FAR = {
    "identity": {-800.0: 1.0, 0.0: 1.0, 800.0: 1.0},
    "relu": {0.0: 0.0, 1e-300: 1.0, 800.0: 1.0},
    "tanh": {-1.0: 0.0, 0.0: 1.0, 1.0: 0.0},
    "softplus": {0.0: 0.0, TINY: TINY, math.log(2): 0.5, 40.0: 1.0, 800.0: 1.0},
    "sigmoid": {0.0: 0.0, TINY: TINY, 0.5: 0.25, 1.0: 0.0},
}


def example():
    """a and an upstream gradient dy, (B, n) each."""
    rng = np.random.default_rng(41)
    return rng.normal(0.2, 1.6, (B, N)), rng.normal(0.3, 1.0, (B, N))


# ------------------------------------------------------------------------------ what it may have been


def mistaken_outputs(activation, a):
    """Pairs (words, array): what else may have been computed from a."""
    name, e, size = f"y of {activation}", np.exp(np.minimum(a, 300)), np.exp(-np.abs(a))
    found = [
        (f"{name} is what {other} gives: is it the right branch?", np.asarray(act(a)))
        for other, act in TEXTBOOK.items()
        if other not in (activation, "identity")
    ]
    if activation != "identity":
        found.append((f"{name} is a itself: nothing was applied", a))
    words = {
        "relu": {
            "y of relu is |a|: the negative ones become 0, not positive": np.abs(a),
            "y of relu is min(a, 0): it keeps the negative ones, and max(a, 0) the positive": np.minimum(
                a, 0
            ),
            "y of relu is 1 where a > 0: that is its derivative; a itself passes there": (a > 0).astype(
                float
            ),
            "y of relu is max(-a, 0): it keeps the negative ones, and max(a, 0) the positive": (
                np.maximum(-a, 0)
            ),
            "y of relu is e^a - 1 where a is negative: that is the ELU, a relu is 0 there": (
                np.where(a > 0, a, e - 1)
            ),
        },
        "tanh": {
            "y of tanh is tanh(a / 2) = 2 sigmoid(a) - 1: tanh(a) is 2 sigmoid(2a) - 1": np.tanh(a / 2),
            "y of tanh is tanh(2a): (1 - e^-2a) / (1 + e^-2a) has tanh's argument already": np.tanh(2 * a),
            "y of tanh is tan(a), the trigonometric one": np.tan(a),
            "y of tanh is sinh(a): it is not divided by cosh(a)": np.sinh(a),
            "y of tanh is 1 / tanh(a): numerator and denominator are exchanged": 1 / np.tanh(a),
            "y of tanh is arctan(a), another function that saturates": np.arctan(a),
        },
        "softplus": {
            "y of softplus is log(1 + e^-a): the sign in the exponent is wrong": np.log1p(1 / e),
            "y of softplus is log(1 + e^-|a|): max(a, 0), the large part, is not added": np.log1p(size),
            "y of softplus is log(1 + e^|a|): the exponent must know the sign of a": np.log1p(1 / size),
            "y of softplus counts a twice where a > 0: max(a, 0) + log(1 + e^-|a|), with -|a|": (
                np.maximum(a, 0) + np.log1p(e)
            ),
            "y of softplus is a + log(1 + e^-|a|): the large part is max(a, 0), not a": a + np.log1p(size),
            "y of softplus is |a| + log(1 + e^-|a|): the large part is max(a, 0), not |a|": (
                np.abs(a) + np.log1p(size)
            ),
            "y of softplus is max(a, 0) - log(1 + e^-|a|): the small part is added": (
                np.maximum(a, 0) - np.log1p(size)
            ),
            "y of softplus is log(e^a - 1): that is the way back, from y to a": np.log(np.abs(e - 1)),
            "y of softplus is 1 + e^a: the log is missing": 1 + e,
            "y of softplus is log1p(1 + e^a): log1p adds a 1 of its own": np.log1p(1 + e),
            "y of softplus is log2(1 + e^a): the natural log is asked": np.log2(1 + e),
            "y of softplus is log10(1 + e^a): the natural log is asked": np.log10(1 + e),
        },
        "sigmoid": {
            "y of sigmoid is 1 / (1 + e^a) = 1 - sigmoid(a): the sign in the exponent is wrong": 1 / (1 + e),
            "y of sigmoid is 1 / (1 + e^-|a|), never below 1/2: where a < 0 it is e^-|a| / (1 + e^-|a|)": (
                1 / (1 + size)
            ),
            "y of sigmoid is e^-|a| / (1 + e^-|a|), never above 1/2: where a > 0 it is 1 / (1 + e^-|a|)": (
                size / (1 + size)
            ),
            "y of sigmoid is (1 + tanh(a)) / 2 = sigmoid(2a): tanh(a / 2) is asked": 1 / (1 + 1 / e**2),
            "y of sigmoid has 1 - e^-a below, where 1 + e^-a belongs": 1 / (1 - 1 / e),
            "y of sigmoid is softmax: it must not depend on the other units of its row": (
                e / e.sum(axis=-1, keepdims=True)
            ),
            "y of sigmoid is softmax over the batch: it must not depend on other entries": e / e.sum(axis=0),
            "y of sigmoid is softmax over all entries: each stands for itself": e / e.sum(),
            "y of sigmoid is 1 + e^-a: the reciprocal is missing": 1 + 1 / e,
            "y of sigmoid is e^-a / (1 + e^-a) everywhere: that is 1 - sigmoid(a)": (1 / e) / (1 + 1 / e),
        },
    }
    found += list(words.get(activation, {}).items())
    slope = gradcheck.complex_step(lambda v: np.sum(TEXTBOOK[activation](v)), a)
    return [*found, (f"{name} is the derivative of {activation}, not its value", slope)]


def mistaken_derivatives(activation, dy, y, slope):
    """Pairs (words, array): what else may have been made of dy and y."""
    name = f"da of {activation}"
    found = [
        (f"{name}: the derivative is {words}", dy * other) for words, other in slopes(activation, y).items()
    ]
    found += [
        (
            f"{name} is not multiplied by dy: what comes back from above is a factor of every derivative",
            slope,
        ),
        (f"{name} is dy + act'(a): the chain rule multiplies", dy + slope),
        (f"{name} has dy squared", dy * dy * slope),
        (f"{name} has the derivative squared: it is multiplied in twice", dy * slope**2),
        (f"{name} is dy / act'(a): the chain rule multiplies", dy / np.where(slope == 0, np.inf, slope)),
        (f"{name} is positive or 0 everywhere: the sign of dy is lost", np.abs(dy) * slope),
        (f"{name} asks for the sign of dy, where that of y decides", np.where(dy > 0, dy, 0)),
        (f"{name} is 0 where dy is negative: only y decides", np.where(dy > 0, dy, 0) * slope),
        (f"{name} has y where dy belongs: the derivative is multiplied by dy", y * slope),
        (f"{name}: dy and y are exchanged", y * slope_from_output(activation, dy)),
        (f"{name} is y - dy or dy - y: a derivative is multiplied by dy", dy - y),
    ]
    return found


# ------------------------------------------------------------------------------ checks


def check_values(its):
    """Each activation by the textbook's formula, where that is safe."""
    a, _ = example()
    for activation, act in TEXTBOOK.items():
        got = its.activation_forward(a, activation)
        _expect_output(activation, got, a, act(a), "")


def check_shapes(its):
    """One axis, from -30 to 30; three axes."""
    samples = example()[0].reshape(1, N, B) * np.array([[[1.0]], [[-0.7]]])  # (2, n, B)
    for a in (np.linspace(-30.3, 30.4, 38), samples):
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
        wrong=judging.mistaken(WRONG, "activation_forward", a, activation) + mistaken_outputs(activation, a),
        terms=terms if a.ndim == 2 else None,
        formula={activation: 1.0},
        inputs={"a": a},
        note=note,
    )


def check_far(its):
    """At +-800 and 0, entry by entry: finite, and with all digits."""
    for activation, table in FAR.items():
        a, want = np.array(list(table)), np.array(list(table.values()))
        got = entries(f"y of {activation}", its.activation_forward(a, activation), a.shape)
        for at, y, right in zip(a, got, want, strict=True):
            if not _near(y, right):
                cause = _cause_far(activation, at, y, right)
                raise Failed(f"{activation}({at:g}) is {y:.6g}, and should be {right:.6g}: {cause}")


def entries(name, got, shape):
    """`got` as an array of this shape, of any numbers: what is not finite is told with its place."""
    got = np.asarray(got)
    judging.array(name, np.nan_to_num(got) if got.dtype.kind == "f" else got, shape, {})
    return got


def _near(got, want):
    """Equal to nine digits of its own, or to five where the result is in single precision."""
    return bool(abs(got - want) <= (2e-5 if np.float32(got) == got else 1e-9) * abs(want))


def _cause_far(activation, a, y, right):
    large = f"e^{abs(a):g}"
    if np.isinf(y):
        if activation == "softplus":
            return f"{large} overflows. Take the large part out: max(a, 0) + log(1 + e^-|a|)"
        return f"{large} overflows"
    if np.isnan(y):
        safe = "np.tanh is safe" if activation == "tanh" else "only e^-|a| is safe for every a"
        return f"{large} overflows, and inf / inf or inf - inf is nan; {safe}"
    if right and y == 0 and activation == "softplus":
        return "1 + e^-40 rounds to 1, and the log of 1 is 0. np.log1p(t) is log(1 + t) with all digits"
    if right and y == 0 and activation == "sigmoid":
        return "digits are lost where numbers near 1 are subtracted; t / (1 + t) with t = e^-|a| keeps them"
    if activation == "relu" and a == 0:
        return "a itself passes where it is positive, and 0 stands everywhere else"
    return "is something clipped, rounded, or a small number added for safety?"


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
            wrong=judging.mistaken(WRONG, "activation_backward", dy, y, activation)
            + mistaken_derivatives(activation, dy, y, slope),
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
                    raise Failed(_words_far(activation, at, value, up, right))


def _words_far(activation, y, got, dy, right):
    head = f"da of {activation} at y = {y:.6g}, dy = {dy:.6g} is {got:.6g}, and should be {right:.6g}"
    if activation == "relu" and y == 0:
        return f"{head}: y is 0 for every a <= 0, so the slope there is 0; ask y > 0, not y >= 0"
    if right and got == 0 and activation == "softplus":
        return f"{head}: e^-y rounds to 1, and 1 - e^-y to 0. -np.expm1(-y) is 1 - e^-y with all digits"
    return f"{head}: is something clipped, divided by 0 or overflowing?"


CHECKS = {
    "each activation's value": check_values,
    "other shapes": check_shapes,
    "far from 0, and at it": check_far,
    "each activation's derivative": check_backward,
    "the derivative where a unit is saturated": check_backward_far,
}
VALUES, SHAPES, DISTANT, SLOPE, SATURATED = CHECKS


# ------------------------------------------------------------------------------ wrong answers


def _forward(changed, value):
    """The right values, but for one activation."""

    def activation_forward(a, activation):
        if activation == changed:
            return value(a)
        if activation == "softplus":
            return np.maximum(a, 0) + np.log1p(np.exp(-np.abs(a)))
        if activation == "sigmoid":
            return np.where(a >= 0, 1, np.exp(-np.abs(a))) / (1 + np.exp(-np.abs(a)))
        return np.tanh(a) if activation == "tanh" else TEXTBOOK[activation](a)

    return {"activation_forward": activation_forward}


def _backward(changed, derivative):
    """The right derivatives, but for one activation; derivative(dy, y) -> da."""

    def activation_backward(dy, y, activation):
        if activation == changed:
            return derivative(dy, y)
        if activation == "softplus":
            return dy * -np.expm1(-y)
        return dy * slope_from_output(activation, y)

    return {"activation_backward": activation_backward}


WRONG = (
    Wrong(
        _forward("sigmoid", lambda a: 1 / (1 + np.exp(a))),
        VALUES,
        "y of sigmoid is 1 / (1 + e^a) = 1 - sigmoid(a): the sign in the exponent is wrong",
    ),
    Wrong(
        _forward("softplus", lambda a: np.log1p(np.exp(-np.abs(a)))),
        VALUES,
        "y of softplus is log(1 + e^-|a|): max(a, 0), the large part, is not added",
    ),
    Wrong(
        _forward("relu", lambda a: np.maximum(a, 0.01 * a)),
        VALUES,
        "y of relu is 0.01 a where a is negative: that is the leaky relu, a relu is 0 there",
    ),
    Wrong(
        _forward("softplus", lambda a: np.log(1 + np.exp(a))),
        DISTANT,
        "softplus(800) is inf, and should be 800: e^800 overflows. Take the large part out",
    ),
    Wrong(
        _forward("softplus", lambda a: np.maximum(a, 0) + np.log(1 + np.exp(-np.abs(a)))),
        DISTANT,
        "softplus(-40) is 0, and should be 4.24835e-18: 1 + e^-40 rounds to 1, and the log of 1 is 0",
    ),
    Wrong(
        _forward("sigmoid", lambda a: np.exp(a) / (1 + np.exp(a))),
        DISTANT,
        "sigmoid(800) is nan, and should be 1: e^800 overflows, and inf / inf or inf - inf is nan",
    ),
    Wrong(
        _forward("sigmoid", lambda a: 1 - 1 / (1 + np.exp(a))),
        DISTANT,
        "sigmoid(-40) is 0, and should be 4.24835e-18: digits are lost where numbers near 1 are subtracted",
    ),
    Wrong(
        _forward("tanh", TEXTBOOK["tanh"]),
        DISTANT,
        "tanh(-800) is nan, and should be -1: e^800 overflows",
    ),
    Wrong(
        _forward("softplus", lambda a: np.where(a > 10, a, np.log1p(np.exp(np.minimum(a, 10))))),
        SHAPES,
        "y of softplus is wrong only where a is above about 9.9: is a clipped, or a case left out?",
    ),
    Wrong(
        _backward("tanh", lambda dy, y: dy * (1 - np.tanh(y) ** 2)),
        SLOPE,
        "da of tanh: the derivative is taken as 1 - tanh(y)^2: y is tanh(a) already",
    ),
    Wrong(
        _backward("sigmoid", lambda dy, y: y * (1 - y)),
        SLOPE,
        "da of sigmoid is not multiplied by dy: what comes back from above is a factor of every derivative",
    ),
    Wrong(
        _backward("softplus", lambda dy, y: dy / (1 + np.exp(-y))),
        SLOPE,
        "da of softplus: the derivative is taken as sigmoid(y): it is sigmoid(a), and told from y 1 - e^-y",
    ),
    Wrong(
        _backward("relu", lambda dy, y: dy * (y >= 0)),
        SLOPE,
        "da of relu: the derivative is 1 everywhere, missing or asked with y >= 0: after a relu y is never "
        "negative; ask y > 0",
    ),
    Wrong(
        _backward("relu", lambda dy, y: np.where(dy > 0, dy, 0)),
        SLOPE,
        "da of relu asks for the sign of dy, where that of y decides",
    ),
    Wrong(
        _backward("softplus", lambda dy, y: dy * (1 - np.exp(-y))),
        SATURATED,
        "e^-y rounds to 1, and 1 - e^-y to 0. -np.expm1(-y) is 1 - e^-y with all digits",
    ),
)


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
