"""Write the likelihood of pixels, safe at any logit

Write -log p(x|z) of a Bernoulli likelihood directly from the logits, one number for each row of the batch,
and its derivative with respect to the logits. With p = sigmoid(logits) it is sum_d (-x log p - (1 - x) log(1
- p)), also for grey x in [0, 1]. But write it so that no logit, not even +-800, gives infinity, NaN or a
wrong number. logits and dnll may have a leading axis of S samples; the results keep it.

Where to look: put p = 1 / (1 + e^-l) into log p and log(1 - p) on paper. Both are minus a softplus,
softplus(a) = log(1 + e^a), at a = -l and at a = l. Then most of the terms cancel, and p is no longer needed.

The formula: -log(1 - p) = softplus(l) and -log p = softplus(l) - l, so nll = sum_d (softplus(l) - x l). The
derivative of softplus is the sigmoid, so dlogits = sigmoid(l) - x, times dnll of that row.

Safe for any l: softplus(l) = max(l, 0) + log(1 + e^-|l|), where e^-|l| is at most 1. np.log1p(t) is log(1 +
t) and keeps its digits for small t. With t = e^-|l|, sigmoid(l) is 1 / (1 + t) where l > 0, and t / (1 + t)
elsewhere.
"""

import numpy as np

from minivae import ops

from ..cases import normal, upstream
from . import Exercise, Part


def draws(title, backward=False):
    """Logits with samples (S, B, D) and without; pixels that are grey, or 0 and 1; backward: dnll first."""

    def drawn(logits, decimals):
        draw = normal(**{"dnll": logits[:-1]} if backward else {}, logits=logits, x="BD")

        def moved(rng, n):
            args = draw(rng, n)
            x = 0.5 + 0.45 * np.tanh(args["x"])
            return args | {"logits": np.clip(2 * args["logits"], -5, 5), "x": np.round(x, decimals)}

        return moved

    kinds = {"": ("BD", 9), ", S samples": ("SBD", 9), ", black and white pixels": ("BD", 0)}
    return {title + words: drawn(*kind) for words, kind in kinds.items()}


def far():
    """A pixel of logit up to +-40 or +-800 that is right, wrong or grey, and another one."""
    for edges in ([40.0, 30, 20, 15, 12, 9, 7, 6, 5, 3], [800.0, 750, 300, 60]):
        first = np.outer([1, -1, 1, -1, 1], edges).ravel()
        x = np.repeat([0.0, 1.0, 1.0, 0.0, 0.6], len(edges))
        args = {"logits": first, "x": x}, {"logits": 0 * x + 0.5, "x": 0 * x + 0.3}
        yield f"logits up to +-{edges[0]:g}", {k: np.stack([a[k] for a in args], axis=1) for k in args[0]}


def far_unsaturated():
    """The same, but x is never just sigmoid(logit): then no difference is rounded away."""
    for note, args in far():
        keep = (args["x"][:, 0] != (args["logits"][:, 0] > 0)) | (np.abs(args["logits"][:, 0]) < 10)
        yield note, {k: a[keep] for k, a in args.items()}


P, LOGS = "p = 1 / (1 + exp(-logits))", "each = -x * log(p) - (1 - x) * log(1 - p)"
CLIPPED = "hides the infinity, but a logit that is wrong and far from 0 then costs too little: use the logits"
CASE = "x is read as 0 or 1: a grey x weights both logarithms, with x and 1 - x"

FORWARD = Part(
    ops.bernoulli_nll,
    returns="nll",
    walk="""
        t = exp(-abs(logits))  # in (0, 1], so it never overflows
        softplus = maximum(logits, 0) + log1p(t)  # log(1 + e^logits)
        each = softplus - x * logits  # like logits
        nll = each.sum(axis=-1)
    """,
    slips=f"""
    nll = exp(-each.sum(axis=-1))  # this is p(x|z) itself: return minus its logarithm
    each = x * (softplus - logits)  # only -x log p is counted: a dark pixel, x = 0, costs -log(1 - p)
    each = (1 - x) * softplus  # only -(1 - x) log(1 - p) is counted: a bright pixel, x = 1, costs -log p
    softplus = maximum(logits, 0) + log1p(exp(logits))
    softplus = maximum(logits, 0) + log1p(exp(-logits))  # the exponent beside max(l, 0) is -|l|
    softplus = log1p(exp(-logits))  # softplus(-logits) is used where softplus(logits) belongs
    each = -x * log(logits) - (1 - x) * log(1 - logits)
    p = clip(logits, SMALL, 1 - SMALL); each = -x * log(p) - (1 - x) * log(1 - p)
        # the logits are used as probabilities: p = sigmoid(logits)
    p = exp(logits) / exp(logits).sum(axis=-1, keepdims=True); each = -x * log(p) - (1 - x) * log(1 - p)
    p = exp(logits) / exp(logits).sum(axis=-1, keepdims=True); each = -x * log(p)
        # p is a softmax over the pixels: every pixel has a sigmoid of its own
    {P}; each = -p * log(x) - (1 - p) * log(1 - x)  # x and p are swapped: the logarithms are those of p
    {P}; each = (x - p)**2  # this is the squared or absolute error, not the log-likelihood
    {P}; each = -x * log(p) + (1 - x) * log(1 - p)  # the second logarithm has the wrong sign
    {P}; each = where(x > 0.5, -log(p), -log(1 - p))
    {P}; each = where(x == 1, -log(p), -log(1 - p))
    each = softplus - where(x > 0.5, 1, 0) * logits
    each = log1p(exp(-(2 * x - 1) * logits))  # {CASE}
    p = clip(1 / (1 + exp(-logits)), SMALL, 1 - SMALL); {LOGS}
    p = clip(1 / (1 + exp(-logits)), SMALL, 1); q = clip(1 - 1 / (1 + exp(-logits)), SMALL, 1); \
    each = -x * log(p) - (1 - x) * log(q)  # p is clipped at SMALL: that {CLIPPED}
    {P}; each = -x * log(p + SMALL) - (1 - x) * log(1 - p + SMALL)
        # SMALL is added in the logarithms: that {CLIPPED}
    {P}; each = nan_to_num(-x * log(p) - (1 - x) * log(1 - p))
        # the infinity of log(0) is replaced by a number: that {CLIPPED}
    """,
    cases=draws("the nll of each row"),
    far={"logits of +-40 and +-800": far},
)

BACKWARD = Part(
    ops.bernoulli_nll_backward,
    returns="dlogits",
    walk="""
        t = exp(-abs(logits))  # in (0, 1], so it never overflows
        p = where(logits > 0, 1, t) / (1 + t)  # sigmoid(logits)
        dlogits = dnll[..., None] * (p - x)  # like logits
    """,
    slips=f"""
    dlogits = dnll[..., None] * (p - x) * p * (1 - p)  # p (1 - p), the sigmoid's slope, cancels here
    dlogits = dnll[..., None] * (p - x) / (p * (1 - p))
        # this is the derivative with respect to p: with respect to the logits it is p (1 - p) times that
    dlogits = dnll[..., None] * (p - (x > 0.5))
    dlogits = dnll[..., None] * (p - (x == 1))  # {CASE}
    p = exp(logits) / exp(logits).sum(axis=-1, keepdims=True)  # p is a softmax: each pixel has a sigmoid
    p = 1 / (1 + t)  # p is 1 / (1 + e^-|l|): that is right for l > 0 alone
    p = clip(1 / (1 + exp(-logits)), SMALL, 1 - SMALL)  # p is clipped at SMALL: p - x needs no clip
    dlogits = dnll[..., None] * (p - x) * (abs(logits) < LIMIT)
        # dlogits is 0 beyond a logit of LIMIT, as if it was clipped there
    """,
    cases=draws("the derivative", backward=True),
    far={"the derivative at +-40 and +-800": upstream("dnll", far_unsaturated, -1)},
)

EXERCISE = Exercise(__doc__, lesson=4, parts=(FORWARD, BACKWARD), borrowed=("nll", "nll_backward"))
