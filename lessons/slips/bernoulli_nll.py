"""What goes wrong with the likelihood of pixels."""

import math

import numpy as np

from ..judging import Failed, Wrong, mistaken, reductions, small_numbers

VALUE, FORTY, HUGE = "the nll of each datum", "logits of +-40", "logits of +-800"
SLOPE, SLOPE_HUGE = "the derivative", "the derivative at +-40 and +-800"

BY_CASE = "x is taken for 0 or 1, by a case or by rounding: a grey x weighs both parts, with x and 1 - x"
NO_X = "dlogits is dnll p: x is missing, or a case like x == 1, which no grey x fulfils, stands for it"
LOG_OF_ZERO = (
    "nll is not finite at a logit of 40: sigmoid(40) rounds to 1, and log(1 - p) becomes log(0). "
    "Compute from the logits: log(1 - p) = -softplus(l) needs no p"
)
OVERFLOW = (
    "nll is not finite at a logit of 800: e^800 overflows. Take the large part out first: "
    "log(1 + e^l) = max(l, 0) + log(1 + e^-|l|)"
)
SLOPE_OF_ZERO = (
    "dlogits is not finite at a logit of 40, where p rounds to 1: is it divided by 1 - p? "
    "That cancels, p - x is left"
)
SLOPE_OVERFLOW = (
    "dlogits is not finite at a logit of 800: e^800 overflows. 1 / (1 + e^-|l|) is safe: "
    "it is p where l > 0, and 1 - p elsewhere"
)
CLIPPED = (
    "dlogits is 0 where the decoder is surely wrong: a clipped p or logit has no slope, "
    "and nothing is learned there. It is -dnll or dnll"
)


def sigmoid(logits):
    """The textbook's, for moderate logits."""
    return 1 / (1 + np.exp(-logits))


def entropy(p, x):
    """The textbook's nll of each pixel, from probabilities."""
    return -(x * np.log(p) + (1 - x) * np.log(1 - p))


def stable(logits, x):
    """The nll of each pixel, safe."""
    return np.maximum(logits, 0) - x * logits + np.log1p(np.exp(-np.abs(logits)))


# ------------------------------------------------------------------------------ nll


def terms(logits, x):
    """What nll may be the sum of, pixel by pixel."""
    p, soft = sigmoid(logits), np.logaddexp(0, logits)
    return {
        "softplus(l)": soft,
        "x l": x * logits,
        "l": logits,
        "max(l, 0)": np.maximum(logits, 0),
        "x softplus(l)": x * soft,
        "(x - p)^2": (x - p) ** 2,
        "(x - l)^2": (x - logits) ** 2,
        "|x - p|": np.abs(x - p),
        "p": p,
        "x p": x * p,
        "p log p": p * np.log(p),
        "e^l": np.exp(logits),
        "e^-|l|": np.exp(-np.abs(logits)),
        "1": np.ones_like(logits),
    }


def of_nll(logits, x):
    """Pairs (sentence, nll): the listed mistakes, other exponents, weights of the logarithms, p and sums."""
    x, p, each = np.broadcast_to(x, logits.shape), sigmoid(logits), stable(logits, x)
    pairs = mistaken(WRONG, "bernoulli_nll", logits, x)
    with np.errstate(all="ignore"):
        for words, value in (*_exponents(logits, x), *_weighted(p, x), *_of_other_p(logits, x)):
            pairs.append((words, value.sum(axis=-1)))
    pairs += small_numbers(
        "about {} is added in the logarithms, or p clipped there: no probability is needed",
        lambda small: -(x * np.log(p + small) + (1 - x) * np.log(1 - p + small)).sum(axis=-1),
    )
    base = "nll is a logarithm to base {}: nats ask for the natural one"
    pairs += [(base.format(n), each.sum(axis=-1) / math.log(n)) for n in (2, 10)]
    pairs.append(("this is p(x) itself: the negative of its logarithm is asked", np.exp(-each.sum(axis=-1))))
    return pairs + reductions("nll", each, "pixels")


def _weighted(p, x):
    """One or two logarithms with wrong weights or signs."""
    weights = {"x ": x, "(1 - x) ": 1 - x, "": 1.0, "p ": p, "(1 - p) ": 1 - p}
    logs = {"log p": np.log(p), "log(1 - p)": np.log(1 - p)}
    parts = {w + log: weights[w] * logs[log] for w in weights for log in logs}
    asked = "where -sum x log p + (1 - x) log(1 - p) is asked"
    for first, a in parts.items():
        yield f"nll is -sum {first}, {asked}", -a
        yield f"nll is sum {first}, {asked}", a
    for first, a in parts.items():
        for second, b in parts.items():
            yield f"nll is -sum {first} + {second}, {asked}", -(a + b)
            yield f"nll is -sum {first} - {second}, {asked}", -(a - b)


def other_p(logits):
    """Pairs (sentence, p) of what may be taken for sigmoid(logits)."""
    with np.errstate(all="ignore"):
        p, e = sigmoid(logits), np.exp(logits - logits.max(axis=-1, keepdims=True))
        softmax = "p is a softmax over the pixels: every pixel has a sigmoid of its own"
        return (
            ("the logits are taken for probabilities: p = sigmoid(logits)", logits),
            ("p is sigmoid(-logits): the sign of the logits is turned", 1 - p),
            ("sigmoid is applied twice: logits are what stands before it", sigmoid(p)),
            (softmax, e / e.sum(axis=-1, keepdims=True)),
            ("p is made with tanh: sigmoid(l) = (1 + tanh(l/2)) / 2", (1 + np.tanh(logits)) / 2),
            ("p is made with tanh: sigmoid(l) = (1 + tanh(l/2)) / 2", np.tanh(logits)),
            ("p is e^l: it is e^l / (1 + e^l)", np.exp(logits)),
            ("p is 0 or 1, by the sign of the logit: it is sigmoid(logits)", 1.0 * (logits > 0)),
            ("p is 1 / (1 + e^-|l|): that is p where l > 0 alone", sigmoid(np.abs(logits))),
        )


def _of_other_p(logits, x):
    """The textbook's formula with another p, clipped or not."""
    for words, p in other_p(logits):
        for small in (0, 1e-3, 1e-4, 1e-5, 1e-6, 1e-7, 1e-8, 1e-9, 1e-10, 1e-12):
            yield words, entropy(np.clip(p, small, 1 - small) if small else p, x)


def _exponents(l, x):
    """Ways to miss max(l, 0) - x l + log(1 + e^-|l|), and other likelihoods."""
    p, t = sigmoid(l), np.exp(-np.abs(l))
    large = np.maximum(l, 0) - x * l
    yield BY_CASE, entropy(p, x > 0.5)
    yield BY_CASE, entropy(p, x == 1)
    yield BY_CASE, np.logaddexp(0, -(2 * x - 1) * l)
    yield "x and logits are exchanged: logits come first", stable(x, l)
    yield "log(1 + e^|l|) stands where log(1 + e^-|l|) belongs", large + np.log1p(1 / t)
    yield "log(1 + e^-l) stands where log(1 + e^-|l|) belongs", large + np.log1p(np.exp(-l))
    yield "log(1 + e^l) is added to max(l, 0), which it holds already", large + np.log1p(np.exp(l))
    yield "the 1 in log(1 + e^-|l|) is counted twice: log1p adds it", large + np.log1p(1 + t)
    yield "max(l, 0) is missing: it is taken out of log(1 + e^l) and must be added again", np.log1p(t) - x * l
    yield "|l| stands where max(l, 0) belongs", np.abs(l) - x * l + np.log1p(t)
    lost = "this is the KL from x to p: the entropy of x is taken away, and is no part of the nll"
    yield lost, entropy(p, x) - entropy(x, x)
    softmax = "this is the cross-entropy of a softmax over the pixels: each is a Bernoulli of its own"
    yield softmax, x * (np.log(np.exp(l).sum(axis=-1, keepdims=True)) - l)


def no_longer_grows(costs, logits, x):
    """Raise Failed if the cost of a pixel no longer grows with a logit that is surely wrong.

    costs, logits, x  of that pixel alone, from the largest logit on
    """
    for side in (1, -1):
        rows = (np.sign(logits) == side) & (x == (side < 0))
        paid, l = costs[rows][0], abs(logits[rows][0])
        here = f"where the logit is {side * l:g} and x is {side < 0:d}"
        if paid > l + 0.1:
            raise Failed(f"nll jumps to {paid:.4g} {here}: is log(0) cut off at -{paid:.4g}? It is -{l:g}")
        if 0.1 < paid < l - 0.1:
            clip = f"p is clipped at {math.exp(-paid):.2g}, or that is added in the log: use the logits"
            if abs(paid - round(paid)) < 1e-3:
                clip = f"the logits are clipped at {paid:.4g}. What is surely wrong costs |logit| nats"
            raise Failed(f"nll stops growing at {paid:.4g} {here}: {clip}")


# ------------------------------------------------------------------------------ its derivative


def slope_terms(up, logits, x):
    """What dlogits may be the sum of; up: dnll[..., None]."""
    p, x = sigmoid(logits), np.broadcast_to(x, logits.shape)
    parts = {
        "p": p,
        "x": x,
        "": np.ones_like(p),
        "x p": x * p,
        "softplus(l)": np.logaddexp(0, logits),
        "sigmoid(x)": sigmoid(x),
        "p (1 - p)": p * (1 - p),
        "(p - x) p (1 - p)": (p - x) * p * (1 - p),
        "(p - x) / (p (1 - p))": (p - x) / (p * (1 - p)),
    }
    bare = {"p": p, "x": x, "1": np.ones_like(p)}
    return {f"dnll {name}".strip(): up * part for name, part in parts.items()} | bare


def of_slope(dnll, logits, x):
    """Pairs (sentence, dlogits): the listed mistakes, other p."""
    up, p = dnll[..., None], sigmoid(logits)
    by_p = "this is the derivative by p: by the logits it is p (1 - p) times that"
    return [
        *mistaken(WRONG, "bernoulli_nll_backward", dnll, logits, x),
        *((words, up * (other - x)) for words, other in other_p(logits)),
        (NO_X, up * p),
        (BY_CASE, up * (p - (x > 0.5))),
        (by_p, up * (p - x) / (p * (1 - p))),
    ]


# ------------------------------------------------------------------------------ wrong answers


def _nll(check, each, says):
    """The sum over pixels of each(logits, x)."""
    return Wrong({"bernoulli_nll": lambda logits, x: each(logits, x).sum(axis=-1)}, check, says)


def _back(check, slope, says):
    """dlogits = slope(dnll[..., None], logits, x, p)."""

    def bernoulli_nll_backward(dnll, logits, x):
        return slope(dnll[..., None], logits, x, sigmoid(logits))

    return Wrong({"bernoulli_nll_backward": bernoulli_nll_backward}, check, says)


AVERAGED = "nll is averaged over the D pixels: it is a sum, or the KL weighs D times too much beside it"
LOST = "log(1 + e^-|l|) is missing: max(l, 0) alone is right only where the decoder is sure"
EXCHANGED = "x and p are exchanged: the data weigh, and the logarithms are of the decoder's p"
ONLY_BRIGHT = "only -x log p is counted: a dark pixel, x = 0, must cost -log(1 - p)"
X_MINUS_P = "dlogits has x - p, the wrong sign: nll grows with the logit where p is above x, so it is p - x"
NO_DNLL = "dnll is left out: what comes back from above is a factor of every derivative"
SIGMOIDS = "p (1 - p), the sigmoid's slope, is a factor too many: 1/p and 1/(1 - p) have cancelled it"

WRONG = (
    _nll(VALUE, lambda l, x: stable(l, x) / l.shape[-1], AVERAGED),
    _nll(VALUE, lambda l, x: -stable(l, x), "nll has the opposite sign: this is log p(x)"),
    _nll(VALUE, lambda l, x: x * np.logaddexp(0, -l), ONLY_BRIGHT),
    _nll(VALUE, entropy, "the logits are taken for probabilities: p = sigmoid(logits)"),
    _nll(VALUE, lambda l, x: entropy(x, sigmoid(l)), EXCHANGED),
    _nll(VALUE, lambda l, x: np.maximum(l, 0) - x * l, LOST),
    _nll(FORTY, lambda l, x: entropy(sigmoid(l), x), LOG_OF_ZERO),
    _nll(FORTY, lambda l, x: entropy(np.clip(sigmoid(l), 1e-7, 1 - 1e-7), x), "p is clipped at 1e-07"),
    _nll(HUGE, lambda l, x: np.log(1 + np.exp(l)) - x * l, OVERFLOW),
    _back(SLOPE, lambda up, l, x, p: up * (x - p), X_MINUS_P),
    _back(SLOPE, lambda up, l, x, p: p - x, NO_DNLL),
    _back(SLOPE, lambda up, l, x, p: up * (p - x) * p * (1 - p), SIGMOIDS),
    _back(SLOPE_HUGE, lambda up, l, x, p: up * (np.exp(l) / (1 + np.exp(l)) - x), SLOPE_OVERFLOW),
    _back(SLOPE_HUGE, lambda up, l, x, p: up * (p - x) * (np.abs(l) < 16), CLIPPED),
)
