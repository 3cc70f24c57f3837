"""Exercise: the Bernoulli likelihood straight from the logits, safe at any of them, and its derivative."""

import math

import numpy as np

from minivae import gradcheck, ops

from .. import judging
from ..judging import Exercise, Failed, over_samples
from ..slips import bernoulli_nll as slips
from ..slips.bernoulli_nll import WRONG

S, B, D = 3, 11, 4
SIZES = {"S": S, "B": B, "D": D}


def example(samples=False):
    """dnll, logits and grey x in (0, 1); samples=True puts S samples in front."""
    rng = np.random.default_rng(41)
    shape = (S, B, D) if samples else (B, D)
    logits = np.clip(rng.normal(0.4, 2.0, shape), -5, 5)
    return rng.normal(0.3, 1.0, shape[:-1]), logits, rng.uniform(0.05, 0.95, (B, D))


def reference(logits, x):
    """The textbook formula with probabilities, for moderate logits."""
    p = 1 / (1 + np.exp(-logits))
    return -(x * np.log(p) + (1 - x) * np.log(1 - p)).sum(axis=-1)


def exact(logits, x):
    """One pixel at a time, for any logits: the surprise at a 1 is -log p, at a 0 it is -log(1 - p)."""

    def softplus(a):
        return a + math.log1p(math.exp(-a)) if a > 0 else math.log1p(math.exp(a))

    pixels = [v * softplus(-l) + (1 - v) * softplus(l) for l, v in zip(logits.flat, x.flat, strict=True)]
    return np.reshape(pixels, logits.shape)


def sure(size):
    """logits and x (rows, 2): a pixel of logit up to +-size that is right, wrong or grey, and another one."""
    edges = {40: [40.0, 30, 20, 15, 12, 9, 7, 6, 5, 3], 800: [800.0, 750, 300, 60]}[size]
    first = np.outer([1, -1, 1, -1, 1], edges).ravel()
    x = np.repeat([0.0, 1.0, 1.0, 0.0, 0.6], len(edges))
    return np.stack([first, np.full_like(first, 0.5)], axis=1), np.stack([x, np.full_like(x, 0.3)], axis=1)


# ------------------------------------------------------------------------------ checks


def check_nll(its):
    """Grey pixels and moderate logits."""
    _values(its, *example()[1:])


def check_samples(its):
    """logits (S, B, D): one number for each sample and datum, all against the same x."""
    with judging.noted(f"logits have shape (S, B, D) = {(S, B, D)}, x {(B, D)}"):
        _values(its, *example(samples=True)[1:])


def _values(its, logits, x):
    judging.expect(
        "nll",
        its.bernoulli_nll(logits, x),
        reference(logits, x),
        SIZES,
        wrong=slips.of_nll(logits, x) + over_samples("nll", reference, (logits,), (x,)),
        terms={name: term.sum(axis=-1) for name, term in slips.terms(logits, x).items()},
        formula={"softplus(l)": 1.0, "x l": -1.0},
        inputs={"the logit": logits},
    )


def check_forty(its):
    """Logits of +-40, with x 0, 1 and grey: sigmoid(40) is 1 in double precision."""
    _surely(its, 40, slips.LOG_OF_ZERO)


def check_huge(its):
    """Logits of +-800: e^800 is infinite."""
    _surely(its, 800, slips.OVERFLOW)


def _surely(its, size, cause):
    logits, x = sure(size)
    got, each = its.bernoulli_nll(logits, x), exact(logits, x)
    want, l = each.sum(axis=1), logits[:, 0]
    judging.finite(got, want, cause)
    if np.shape(got) == want.shape:
        if np.max(np.abs(got)) > 1e6:  # what np.nan_to_num makes of an infinite one
            raise Failed(cause, judging.evidence(got, want))
        slips.no_longer_grows(got - each[:, 1], l, x[:, 0])
    note = f"with logits up to +-{size}"
    judging.expect("nll", got, want, {"B": len(want)}, inputs={"the logit": l}, note=note)


def check_backward(its):
    """dlogits (B, D) against the complex step of the textbook formula."""
    _slopes(its, *example())


def check_backward_samples(its):
    """dlogits (S, B, D) from dnll (S, B)."""
    with judging.noted(f"logits have shape (S, B, D) = {(S, B, D)}, dnll {(S, B)}, x {(B, D)}"):
        _slopes(its, *example(samples=True))


def _slopes(its, dnll, logits, x):
    judging.expect(
        "dlogits",
        its.bernoulli_nll_backward(dnll, logits, x),
        gradcheck.complex_step(lambda a: np.sum(dnll * reference(a, x)), logits),
        SIZES,
        wrong=slips.of_slope(dnll, logits, x),
        terms=slips.slope_terms(dnll[..., None], logits, x),
        formula={"dnll p": 1.0, "dnll x": -1.0},
        inputs={"the logit": logits},
    )


def check_backward_huge(its):
    """The derivative at logits of +-40 and +-800: p is 0 or 1, and dlogits is -dnll, 0 or dnll."""
    for size, cause in ((40, slips.SLOPE_OF_ZERO), (800, slips.SLOPE_OVERFLOW)):
        logits, x = sure(size)
        t = np.exp(-np.abs(logits))
        dnll = np.linspace(-1.2, 1.7, len(logits))
        got, want = (
            its.bernoulli_nll_backward(dnll, logits, x),
            dnll[:, None] * (np.where(logits > 0, 1, t) / (1 + t) - x),
        )
        judging.finite(got, want, cause)
        if np.shape(got) == want.shape and np.any((np.asarray(got) == 0) & (np.abs(want) > 0.01)):
            raise Failed(slips.CLIPPED, judging.evidence(got, want))
        wrong = judging.mistaken(WRONG, "bernoulli_nll_backward", dnll, logits, x)
        inputs, note = {"the logit": logits}, f"with logits up to +-{size}"
        judging.expect("dlogits", got, want, {"B": len(x)}, wrong=wrong, inputs=inputs, note=note)


def check_ones(its):
    """Axes of size 1 stay."""
    x = np.array([[0.3]])
    for shape in ((1, 1), (1, 1, 1)):
        logits, dnll = np.full(shape, 0.8), np.full(shape[:-1], 1.4)
        note = f"logits have shape {shape}"
        judging.ones("nll", nll := its.bernoulli_nll(logits, x), shape[:-1], note)
        judging.expect("nll", nll, reference(logits, x), note=note)
        judging.ones("dlogits", dlogits := its.bernoulli_nll_backward(dnll, logits, x), shape, note)
        judging.expect("dlogits", dlogits, dnll[..., None] * (1 / (1 + np.exp(-logits)) - x), note=note)


CHECKS = {
    "the nll of each datum": check_nll,
    "S samples": check_samples,
    "logits of +-40": check_forty,
    "logits of +-800": check_huge,
    "the derivative": check_backward,
    "the derivative, S samples": check_backward_samples,
    "the derivative at +-40 and +-800": check_backward_huge,
    "a single pixel": check_ones,
}

EXERCISE = Exercise(
    lesson=4,
    title="Write the likelihood of pixels, safe at any logit",
    task="""
    Write -log p(x) of a Bernoulli likelihood straight from the logits, one number for each datum, and its
    derivative by the logits. With p = sigmoid(logits) it is -sum_d x log p + (1 - x) log(1 - p), for grey x
    in [0, 1] as well; but write it so that no logit, +-800 neither, gives infinity, NaN or a wrong number.
    A leading axis of S samples, in logits and in dnll, stays.
    """,
    functions=(ops.bernoulli_nll, ops.bernoulli_nll_backward),
    hints=(
        "Where to look: put p = 1 / (1 + e^-l) into log p and log(1 - p) on paper. Both become softplus, "
        "log(1 + e^a), of l or of -l, and most of it cancels. What is left has no p in it.",
        "The formula: -log(1 - p) = softplus(l) and -log p = softplus(l) - l: nll = sum_d softplus(l) - x l. "
        "Its derivative: softplus' = sigmoid, so sigmoid(l) - x, times dnll of that datum.",
        "Safe for any l: softplus(l) = max(l, 0) + log(1 + e^-|l|), where e^-|l| lies in (0, 1]; np.log1p(t) "
        "is log(1 + t), exact for small t. And sigmoid(l): with t = e^-|l|, it is 1 / (1 + t) where l > 0, "
        "and t / (1 + t) elsewhere.",
        "All but the last line:\n"
        "    t = np.exp(-np.abs(logits))                                     # like logits, in (0, 1]\n"
        "    each = np.maximum(logits, 0) + np.log1p(t) - x * logits         # like logits\n"
        "and backward:\n"
        "    p = np.where(logits > 0, 1, t) / (1 + t)                        # like logits",
    ),
    checks=CHECKS,
    wrong=WRONG,
    borrowed=("nll", "nll_backward"),
)
