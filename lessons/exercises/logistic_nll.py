"""Predict each pixel from those before it

Write -log p(x) of an autoregressive model for black-and-white pixels, one number for each row of the batch:
p(x) = product over d of p(x_d given x_1 ... x_(d-1)), where pixel d is 1 with probability sigmoid(logit_d),
logit_d = b_d + sum over e < d of x_e W_ed. And write its derivatives with respect to W and b. x is (B, D) and
b is (D,). W is (D, D): its rows belong to the pixels that are seen, its columns to those that are predicted,
as in x @ W. No entry of W is 0 in advance. Those that let a pixel see itself or a later one must have no
effect, and their derivative is 0. The result must be finite for every logit, even for +-800.

Where to look: lesson 19, sections 1 and 2. np.triu(W, 1) keeps what is above the diagonal. The nll of a pixel
is that of lesson 4: softplus(logit) - x logit.

The formula: logits = x @ triu(W, 1) + b, nll = sum over d of softplus(logits) - x logits. Backward: dlogits =
dnll (sigmoid(logits) - x); dW = triu(x' dlogits, 1); db = the sum of dlogits over the batch. Safe for any l:
softplus(l) = max(l, 0) + log(1 + e^-|l|).
"""

import itertools

import numpy as np

from minivae import ops

from ..calls import Failed
from ..cases import normal
from . import Exercise, Part


def logistic_nll(x, W, b):
    """-log p(x) -> (B,), nats, of pixels that are predicted one by one: logits = x @ triu(W, 1) + b.

    x (B, D) of zeros and ones; W (D, D), of which only what is above the diagonal counts; b (D,).
    """
    return ops.bernoulli_nll(x @ np.triu(W, 1) + b, x)


def logistic_nll_backward(dnll, x, W, b):
    """dnll (B,) -> dW (D, D), zero on the diagonal and below, and db (D,)."""
    dlogits = ops.bernoulli_nll_backward(dnll, x @ np.triu(W, 1) + b, x)
    return np.triu(x.T @ dlogits, 1), dlogits.sum(axis=0)


def draws(**shapes):
    """x of zeros and ones, W and b; dnll first in the backward pass."""

    def draw(rng, n):
        args = normal(**shapes, x="BD", W="DD", b="D")(rng, n)
        args["x"] = (rng.random(args["x"].shape) < 0.6).astype(float)
        return args | {"W": np.clip(args["W"], -2, 2), "b": np.clip(args["b"], -2, 2)}

    return draw


def far(**upstream):
    """Three pixels; the logits of the second are +-400, those of the third go up to 780."""
    x = np.array(list(itertools.product([0.0, 1.0], repeat=3)))  # (8, 3)
    W = np.array([[900.0, 800.0, -40.0], [300.0, -900.0, 760.0], [-500.0, 700.0, 900.0]])
    args = {name: np.linspace(-1.0, 1.3, 8) for name in upstream}
    yield "logits up to +-800", args | {"x": x, "W": W, "b": np.array([0.3, -400.0, 20.0])}


def sums_to_one(its):
    """p(x) of all images of six pixels, summed."""
    rng = np.random.default_rng(6)
    x = np.array(list(itertools.product([0.0, 1.0], repeat=6)))  # (64, 6)
    total = np.exp(-its.logistic_nll(x, rng.normal(0, 1, (6, 6)), rng.normal(0, 1, 6))).sum()
    if not abs(total - 1) < 1e-9:
        raise Failed(f"the probabilities of all 64 images of six pixels add up to {total:.6g}, expected 1")


SELF = "a trained nll is then too low, and the sum of p(x) over all images is not 1"
MASK_SLIPS = f"""
    masked = np.triu(W)  # the diagonal is left in: each pixel sees itself, and {SELF}
    masked = W  # the mask is missing: each pixel sees itself and all later ones, and {SELF}
    masked = W - np.diag(np.diag(W))  # only the diagonal is masked: a pixel sees the later ones as well
    masked = np.tril(W, -1)  # the mask is the lower half: with x @ W, W[e, d] goes from e to d, and e < d
    masked = np.tril(W)  # the mask is the lower half with the diagonal: e < d is above the diagonal
    masked = np.triu(W, 2)  # the pixel just before is masked too: np.triu(W, 1) keeps it
    masked = np.triu(W.T, 1)  # W is transposed: its rows are what is seen, its columns what is predicted
    masked = np.tril(W, -1).T  # the lower half of W is used, transposed: the weight from e to d is W[e, d]
    masked = np.triu(W, -1)  # the mask keeps a diagonal below: np.triu(W, 1) starts above the diagonal
    masked = 0 * W  # nothing is seen: all pixels would be independent
    logits = x @ masked  # the bias is missing
    logits = (2 * x - 1) @ masked + b  # x is turned into +-1: it is 0 or 1 here
"""
FORWARD = Part(
    logistic_nll,
    returns="nll",
    walk="""
    masked = np.triu(W, 1)  # (D, D): the weight from e to d counts for e < d alone
    logits = x @ masked + b  # (B, D)
    softplus = maximum(logits, 0) + log1p(exp(-abs(logits)))  # log(1 + e^logits)
    each = softplus - x * logits  # (B, D)
    nll = each.sum(axis=-1)
    """,
    slips=MASK_SLIPS
    + """
    nll = exp(-each.sum(axis=-1))  # this is p(x) itself: return minus its logarithm
    nll = full(len(x), each.sum(axis=-1).mean())  # the nll is averaged over the batch: each row has its own
    p = 1 / (1 + exp(-logits)); each = (x - p)**2  # this is the squared error, not the log-likelihood
    each = x * (softplus - logits)  # only -x log p is counted: a dark pixel, x = 0, costs -log(1 - p)
    each = (1 - x) * softplus  # only dark pixels are counted: a bright pixel, x = 1, costs -log p
    p = clip(1 / (1 + exp(-logits)), SMALL, 1 - SMALL); each = -x * log(p) - (1 - x) * log(1 - p)
        # p is clipped at SMALL: the cost no longer grows with a logit that is surely wrong
    p = 1 / (1 + exp(-logits)); each = -log(x * p + (1 - x) * (1 - p) + SMALL)
        # SMALL is added in the logarithm: the cost no longer grows with a logit that is surely wrong
    """,
    cases={"the nll of each row": draws()},
    far={"logits up to +-800": far},
    checks={"the sum over all images": sums_to_one},
    single=False,
)

BACKWARD = Part(
    logistic_nll_backward,
    returns="dW db",
    walk="""
    masked = np.triu(W, 1)  # (D, D): the weight from e to d counts for e < d alone
    logits = x @ masked + b  # (B, D)
    t = exp(-abs(logits))  # in (0, 1], so it never overflows
    p = where(logits > 0, 1, t) / (1 + t)  # sigmoid(logits)
    dlogits = dnll[:, None] * (p - x)  # (B, D)
    dW = np.triu(x.T @ dlogits, 1)  # (D, D)
    db = dlogits.sum(axis=0)  # (D,)
    """,
    slips="""
    dW = x.T @ dlogits  # dW is not masked: weights that do not count have the derivative 0
    dW = np.triu(x.T @ dlogits)  # the diagonal of dW is left in: those weights do not count, so it is 0
    dW = np.tril(x.T @ dlogits, -1)  # dW keeps the lower half: those weights do not count
    dW = np.triu(dlogits.T @ x, 1)  # dW is transposed: it is x' dlogits
    dW = np.triu(x.T @ dlogits, 1) * W  # dW is multiplied by W: the mask is 0 or 1
    dW = np.triu(x.T @ dlogits, 1) / len(x); db = dlogits.mean(axis=0)
        # the derivatives are averaged over the batch: dnll has the 1/B already, so they are summed
    dlogits = dnll[:, None] * (p - x) * p * (1 - p)  # p (1 - p), the sigmoid's slope, cancels here
    dlogits = dnll[:, None] * (x - p)  # dlogits has the wrong sign: the derivative of the nll is p - x
    dlogits = p - x  # dnll is missing
    p = 1 / (1 + t)  # p is 1 / (1 + e^-|l|): that is right for l > 0 alone
    """
    + MASK_SLIPS,
    cases={"the derivatives": draws(dnll="B")},
    far={"the derivatives at logits of +-800": lambda: far(dnll="B")},
    single=False,
)

EXERCISE = Exercise(__doc__, lesson=19, parts=(FORWARD, BACKWARD))
