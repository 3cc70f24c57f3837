"""What goes wrong with the activations and their derivatives."""

import numpy as np

from minivae import gradcheck

from ..judging import Wrong
from ..judging.walks import table, value

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


# ------------------------------------------------------------------------------ what y may have been

OUTPUTS = {
    "identity": [],
    "relu": table("""
abs(a)  # |a|: the negative ones become 0, not positive
minimum(a, 0)  # min(a, 0): it keeps the negative ones, and max(a, 0) the positive
maximum(-a, 0)  # max(-a, 0): it keeps the negative ones, and max(a, 0) the positive
1.0 * (a > 0)  # 1 where a > 0: that is its derivative; a itself passes there
where(a > 0, a, 0.01 * a)  # 0.01 a where a is negative: that is the leaky relu, a relu is 0 there
where(a > 0, a, exp(a) - 1)  # e^a - 1 where a is negative: that is the ELU, a relu is 0 there
    """),
    "tanh": table("""
tanh(a / 2)  # tanh(a / 2) = 2 sigmoid(a) - 1: tanh(a) is 2 sigmoid(2a) - 1
tanh(2 * a)  # tanh(2a): (1 - e^-2a) / (1 + e^-2a) has tanh's argument already
tan(a)  # tan(a), the trigonometric one
sinh(a)  # sinh(a): it is not divided by cosh(a)
1 / tanh(a)  # 1 / tanh(a): numerator and denominator are exchanged
arctan(a)  # arctan(a), another function that saturates
a / (1 + abs(a))  # a / (1 + |a|), the softsign, another function that saturates
    """),
    "softplus": table("""
log1p(exp(-a))  # log(1 + e^-a): the sign in the exponent is wrong
log1p(exp(-abs(a)))  # log(1 + e^-|a|): max(a, 0), the large part, is not added
log1p(exp(abs(a)))  # log(1 + e^|a|): the exponent must know the sign of a
maximum(a, 0) + log1p(exp(a))  # max(a, 0) + log(1 + e^a), a twice where it is positive: it is -|a|
a + log1p(exp(-abs(a)))  # a + log(1 + e^-|a|): the large part is max(a, 0), not a
maximum(a, 0) - log1p(exp(-abs(a)))  # max(a, 0) - log(1 + e^-|a|): the small part is added
where(a > 5, a, softplus(a))  # a itself above 5: log(1 + e^-a), the small part, is not yet nothing there
where(a > 10, a, softplus(a))  # a itself above 10: log(1 + e^-a), the small part, is not yet nothing there
log(abs(exp(a) - 1))  # log(e^a - 1): that is the way back, from y to a
1 + exp(a)  # 1 + e^a: the log is missing
log1p(1 + exp(a))  # log1p(1 + e^a): log1p adds a 1 of its own
log2(1 + exp(a))  # log2(1 + e^a): the natural log is asked
log10(1 + exp(a))  # log10(1 + e^a): the natural log is asked
    """),
    "sigmoid": table("""
1 / (1 + exp(a))  # 1 / (1 + e^a) = 1 - sigmoid(a): the sign in the exponent is wrong
1 / (1 + exp(-abs(a)))  # 1 / (1 + e^-|a|), never below 1/2: where a < 0 it is e^-|a| / (1 + e^-|a|)
exp(-abs(a)) / (1 + exp(-abs(a)))  # e^-|a| / (1 + e^-|a|), never above 1/2: that is for a < 0 alone
sigmoid(2 * a)  # (1 + tanh(a)) / 2 = sigmoid(2a): tanh(a / 2) is asked
exp(a) / exp(a).sum(axis=-1, keepdims=True)  # softmax: it must not depend on the other units of its row
exp(a) / exp(a).sum(axis=0)  # softmax over the batch: it must not depend on other entries
1 + exp(-a)  # 1 + e^-a: the reciprocal is missing
clip(0.2 * a + 0.5, 0, 1)  # the hard sigmoid, of straight lines
    """),
}


def mistaken_outputs(activation, a):
    """Pairs (words, array): what else may have been computed from a."""
    name = f"y of {activation} is"
    others = [other for other in TEXTBOOK if other not in (activation, "identity")]
    found = [(f"{name} what {other} gives: is it the right branch?", TEXTBOOK[other](a)) for other in others]
    found += [(f"{name} {words}", value(code, a=a)) for code, words in OUTPUTS[activation]]
    if activation != "identity":
        found.append((f"{name} a itself: nothing was applied", a))
    slope = gradcheck.complex_step(lambda v: np.sum(TEXTBOOK[activation](v)), a)
    return [*found, (f"{name} the derivative of {activation}, not its value", slope)]


def cause_far(activation, a, y, right):
    """Why y of one a, far from 0 or at it, is not the right one."""
    large = f"e^{abs(a):g}"
    if np.isinf(y):
        if activation == "softplus":
            return f"{large} overflows. Take the large part out: max(a, 0) + log(1 + e^-|a|)"
        return f"{large} overflows"
    if np.isnan(y):
        safe = "np.tanh is safe" if activation == "tanh" else "only e^-|a| is safe for every a"
        return f"{large} overflows, and inf / inf or inf - inf is nan; {safe}"
    if activation == "tanh" and 0 < a < 1:
        return "digits are lost where numbers near 1 are subtracted; np.tanh keeps them"
    if right and y == 0 and activation == "softplus":
        return "1 + e^-40 rounds to 1, and the log of 1 is 0. np.log1p(t) is log(1 + t) with all digits"
    if right and y == 0 and activation == "sigmoid":
        return "digits are lost where numbers near 1 are subtracted; t / (1 + t) with t = e^-|a| keeps them"
    if activation == "relu" and a == 0:
        return "a itself passes where it is positive, and 0 stands everywhere else"
    return "is something clipped, rounded, or a small number added for safety?"


# ------------------------------------------------------------------------------ what the slope may have been

ANY = table("""
1 - y**2  # 1 - y^2, that of tanh
1 - exp(-y)  # 1 - e^-y, that of softplus
y * (1 - y)  # y (1 - y), that of sigmoid
1.0 * (y > 0)  # 1 where y > 0, that of relu
1 - y  # 1 - y
y  # y
y**2  # y^2
1 + y**2  # 1 + y^2
(1 - y)**2  # (1 - y)^2
y * (1 + y)  # y (1 + y)
exp(y)  # e^y
exp(-y)  # e^-y
1 / (1 + exp(y))  # 1 / (1 + e^y)
sqrt(abs(y * (1 - y)))  # sqrt(y (1 - y))
sqrt(abs(1 - y**2))  # sqrt(1 - y^2)
""")
OWN = {
    "identity": [],
    "tanh": table("""
1 - tanh(y)**2  # taken as 1 - tanh(y)^2, but y is tanh(a) already
1 - a**2  # the formula in y, but a stands in it
    """),
    "sigmoid": table("""
sigmoid(y) * (1 - sigmoid(y))  # taken as sigmoid(y) (1 - sigmoid(y)): y is sigmoid(a) already
a * (1 - a)  # the formula in y, but a stands in it
    """),
    "softplus": table("""
sigmoid(y)  # taken as sigmoid(y): it is sigmoid(a), and told from y 1 - e^-y
1 - exp(-a)  # the formula in y, but a stands in it
    """),
    "relu": table("""
1.0 + 0 * y  # 1 everywhere, missing or y >= 0 is the test, which always holds after a relu. Test y > 0
1.0 * (y <= 0)  # 1 where y is 0 and 0 where it is not: the mask is the wrong way round
where(y > 0, 1, 0.01)  # 0.01 where y is 0, a leaky relu's: it is 0 there
    """),
}


def slopes(activation, y, a=None):
    """Words -> slope: what the derivative of an activation is taken for. `a` is what went in, if known."""
    found = {} if activation == "relu" else {"missing, and dy is handed on as it is": np.ones_like(y)}
    found |= {f"taken as {words}": value(code, y=y) for code, words in ANY}
    own = [(code, words) for code, words in OWN[activation] if a is not None or "a stands" not in words]
    return found | {words: value(code, y=y, a=a) for code, words in own}


def mistaken_derivatives(activation, dy, y, slope):
    """Pairs (words, array): what else may have been made of dy and y."""
    name = f"da of {activation}"
    of_slope = {words: dy * other for words, other in slopes(activation, y).items()}
    return [(f"{name}: the derivative is {words}", array) for words, array in of_slope.items()] + [
        (f"{name} is not multiplied by dy: what comes from above is a factor of every derivative", slope),
        (f"{name} is dy + act'(a): the chain rule multiplies", dy + slope),
        (f"{name} has dy squared", dy * dy * slope),
        (f"{name} has the derivative squared: it is multiplied in twice", dy * slope**2),
        (f"{name} is dy / act'(a): the chain rule multiplies", dy / np.where(slope == 0, np.inf, slope)),
        (f"{name} is positive or 0 everywhere: the sign of dy is lost", np.abs(dy) * slope),
        (f"{name} asks for the sign of dy, where that of y decides", np.where(dy > 0, dy, 0)),
        (f"{name} has y where dy belongs: the derivative is multiplied by dy", y * slope),
        (f"{name}: dy and y are exchanged", y * slope_from_output(activation, dy)),
    ]


def slope_far(activation, y, got, dy, right):
    """A sentence about da where a unit is saturated."""
    head = f"da of {activation} at y = {y:.6g}, dy = {dy:.6g} is {got:.6g}, and should be {right:.6g}"
    if activation == "relu" and y == 0:
        return f"{head}: y is 0 for every a <= 0, so the slope there is 0; ask y > 0, not y >= 0"
    if right and got == 0 and activation == "softplus":
        return f"{head}: e^-y rounds to 1, and 1 - e^-y to 0. -np.expm1(-y) is 1 - e^-y with all digits"
    return f"{head}: is something clipped, divided by 0 or overflowing?"


# ------------------------------------------------------------------------------ wrong answers

VALUES, SHAPES, DISTANT = "each activation's value", "other shapes", "far from 0, and at it"
SLOPE, SATURATED = "each activation's derivative", "the derivative where a unit is saturated"


def _forward(check, changed, code, says):
    """The right values, but for one activation."""

    def activation_forward(a, activation):
        if activation == changed:
            return value(code, a=a)
        safe = {"softplus": np.logaddexp(0, a), "sigmoid": np.exp(-np.logaddexp(0, -a)), "tanh": np.tanh(a)}
        return safe[activation] if activation in safe else TEXTBOOK[activation](a)

    return Wrong({"activation_forward": activation_forward}, check, says)


def _backward(check, changed, code, says):
    """The right derivatives, but for one activation."""

    def activation_backward(dy, y, activation):
        if activation == changed:
            return value(code, dy=dy, y=y)
        return dy * -np.expm1(-y) if activation == "softplus" else dy * slope_from_output(activation, y)

    return Wrong({"activation_backward": activation_backward}, check, says)


WRONG = (
    _forward(VALUES, "sigmoid", "1 / (1 + exp(a))", "the sign in the exponent is wrong"),
    _forward(VALUES, "softplus", "log1p(exp(-abs(a)))", "max(a, 0), the large part, is not added"),
    _forward(VALUES, "relu", "maximum(a, 0.01 * a)", "that is the leaky relu, a relu is 0 there"),
    _forward(
        DISTANT, "softplus", "log(1 + exp(a))", "softplus(800) is inf, and should be 800: e^800 overflows"
    ),
    _forward(DISTANT, "softplus", "maximum(a, 0) + log(1 + exp(-abs(a)))", "and the log of 1 is 0"),
    _forward(
        DISTANT, "sigmoid", "exp(a) / (1 + exp(a))", "sigmoid(800) is nan, and should be 1: e^800 overflows"
    ),
    _forward(
        DISTANT, "sigmoid", "1 - 1 / (1 + exp(a))", "digits are lost where numbers near 1 are subtracted"
    ),
    _forward(DISTANT, "tanh", "sinh(a) / (exp(a) - sinh(a))", "tanh(-800) is nan, and should be -1"),
    _forward(DISTANT, "tanh", "2 * sigmoid(2 * a) - 1", "tanh(1e-12) is 1.00009e-12, and should be 1e-12"),
    _forward(SHAPES, "softplus", "where(a > 10, a, softplus(a))", "y of softplus is a itself above 10"),
    _backward(SLOPE, "tanh", "dy * (1 - tanh(y)**2)", "taken as 1 - tanh(y)^2, but y is tanh(a) already"),
    _backward(SLOPE, "sigmoid", "y * (1 - y)", "da of sigmoid is not multiplied by dy"),
    _backward(SLOPE, "softplus", "dy * sigmoid(y)", "taken as sigmoid(y): it is sigmoid(a)"),
    _backward(SLOPE, "relu", "dy * (y >= 0)", "1 everywhere, missing or y >= 0 is the test"),
    _backward(SLOPE, "relu", "where(dy > 0, dy, 0)", "da of relu asks for the sign of dy, where that of y"),
    _backward(SATURATED, "softplus", "dy * (1 - exp(-y))", "-np.expm1(-y) is 1 - e^-y with all digits"),
)
