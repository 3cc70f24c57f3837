"""Exercise: the Bernoulli likelihood straight from the logits, safe at any of them, and its derivative."""

import math

import numpy as np

from minivae import gradcheck, ops

from .. import judging
from ..judging import Exercise, Failed, Wrong, over_samples, reductions

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

    return np.array(
        [
            sum(v * softplus(-l) + (1 - v) * softplus(l) for l, v in zip(*row, strict=True))
            for row in zip(logits.tolist(), x.tolist(), strict=True)
        ]
    )


# ------------------------------------------------------------------------------ checks


def check_nll(its):
    """Grey pixels and moderate logits."""
    _values(its, *example()[1:])


def check_samples(its):
    """logits (S, B, D): one number for each sample and datum, all against the same x."""
    with judging.noted(f"logits have shape (S, B, D) = {(S, B, D)}, x {(B, D)}"):
        _values(its, *example(samples=True)[1:])


def _values(its, logits, x):
    p, soft, ones = 1 / (1 + np.exp(-logits)), np.logaddexp(0, logits), np.ones_like(logits)
    terms = {
        "softplus(l)": soft,
        "x l": x * logits,
        "l": logits,
        "max(l, 0)": np.maximum(logits, 0),
        "x softplus(l)": x * soft,
        "x max(l, 0)": x * np.maximum(logits, 0),
        "(x - p)^2": (x - p) ** 2,
        "p": p,
        "x": x * ones,
        "x p": x * p,
        "p log p": p * np.log(p),
        "e^l": np.exp(logits),
        "e^-|l|": np.exp(-np.abs(logits)),
        "1": ones,
    }
    mixed = over_samples("nll", reference, (logits,), (x,))
    judging.expect(
        "nll",
        its.bernoulli_nll(logits, x),
        reference(logits, x),
        SIZES,
        wrong=[*judging.mistaken(WRONG, "bernoulli_nll", logits, x), *slips(logits, x), *mixed],
        terms={name: term.sum(axis=-1) for name, term in terms.items()},
        formula={"softplus(l)": 1.0, "x l": -1.0},
        inputs={"the logit": logits},
    )


def slips(logits, x):
    """Pairs (sentence, nll): other weights of the two logarithms, other p, small numbers, other sums."""
    p = 1 / (1 + np.exp(-logits))
    x = np.broadcast_to(x, logits.shape)
    weights = {"x ": x, "(1 - x) ": 1 - x, "": np.ones_like(x), "p ": p, "(1 - p) ": 1 - p}
    logs = {"log p": np.log(p), "log(1 - p)": np.log(1 - p)}
    parts = {w + g: weights[w] * logs[g] for w in weights for g in logs}
    sums = {name: part.sum(axis=-1) for name, part in parts.items()}
    asked = "where -sum x log p + (1 - x) log(1 - p) is asked"
    pairs = []
    for name, a in sums.items():
        pairs += [(f"nll is {s}sum {name}, {asked}", k * a) for s, k in (("-", -1.0), ("", 1.0))]
    for first, a in sums.items():
        for second, b in sums.items():
            pairs.append((f"nll is -sum {first} + {second}, {asked}", -(a + b)))
            pairs.append((f"nll is -sum {first} - {second}, {asked}", -(a - b)))

    with np.errstate(all="ignore"):
        for words, q in other_p(logits):
            pairs.append((words, -(x * np.log(q) + (1 - x) * np.log(1 - q)).sum(axis=-1)))
            for small in (1e-3, 1e-4, 1e-5, 1e-6, 1e-7, 1e-8, 1e-10, 1e-12):
                r = np.clip(q, small, 1 - small)
                pairs.append((words, -(x * np.log(r) + (1 - x) * np.log(1 - r)).sum(axis=-1)))
        for small in (*(10.0**-k for k in range(1, 17)), np.finfo(np.float32).eps, np.finfo(float).eps):
            words = (
                f"about {small:.1g} is added in the logarithms, or p clipped there: no probability is needed"
            )
            for q, r in (
                (p + small, 1 - p + small),
                (p + small, 1 - p - small),
                (np.clip(p, small, 1 - small), 1 - np.clip(p, small, 1 - small)),
                (np.maximum(p, small), np.maximum(1 - p, small)),
            ):
                pairs.append((words, -(x * np.log(q) + (1 - x) * np.log(r)).sum(axis=-1)))
        l, t = logits, np.exp(-np.abs(logits))
        rest = np.maximum(l, 0) - x * l  # to which log(1 + t) is added
        no_log = "the logarithm in log(1 + e^-|l|) is missing"
        for words, other in (
            (BY_CASE, np.where(x > 0.5, -np.log(p), -np.log(1 - p))),
            (BY_CASE, np.where(x == 1, -np.log(p), -np.log(1 - p))),
            (BY_CASE, np.logaddexp(0, -(2 * x - 1) * l)),
            ("x and logits are exchanged: logits come first", _stable(x, l)),
            ("log(1 + e^|l|) stands where log(1 + e^-|l|) belongs", rest + np.log1p(1 / t)),
            ("log(1 + e^l) is added to max(l, 0), which it holds already", rest + np.log1p(np.exp(l))),
            ("log(1 + e^-l) stands where log(1 + e^-|l|) belongs", rest + np.log1p(np.exp(-l))),
            ("log(e^-|l|) stands where log(1 + e^-|l|) belongs", rest + np.log(t)),
            ("the 1 in log(1 + e^-|l|) is counted twice: log1p adds it", rest + np.log1p(1 + t)),
            ("the 1 in log(1 + e^l) is counted twice: log1p adds it", np.log1p(1 + np.exp(l)) - x * l),
            (no_log, rest + t),
            (no_log, rest + 1 + t),
            ("min(l, 0) stands where max(l, 0) belongs", np.minimum(l, 0) - x * l + np.log1p(t)),
            ("|l| stands where max(l, 0) belongs", np.abs(l) - x * l + np.log1p(t)),
            (
                "this is the KL from x to p: the entropy of x is taken away, and is no part of the nll",
                x * np.log(x / p) + (1 - x) * np.log((1 - x) / (1 - p)),
            ),
            (
                "this is the cross-entropy of a softmax over the pixels: each is a Bernoulli of its own",
                x * (np.log(np.exp(l).sum(axis=-1, keepdims=True)) - l),
            ),
            ("nll is the squared error of p: a Bernoulli likelihood is asked", (x - p) ** 2),
            ("nll is the squared error of p: a Bernoulli likelihood is asked", (x - p) ** 2 / 2),
            ("nll is the squared error of the logits: a Bernoulli likelihood is asked", (x - l) ** 2),
            ("nll is |x - p|: a Bernoulli likelihood is asked, whose cost is a logarithm", np.abs(x - p)),
        ):
            pairs.append((words, other.sum(axis=-1)))
    each = _stable(logits, x)
    for words, factor in (("2, in bits", math.log(2)), ("10", math.log(10))):
        pairs.append(
            (f"nll is a logarithm to base {words}: nats ask for the natural one", each.sum(axis=-1) / factor)
        )
    pairs.append(
        (
            "the pixels' probabilities are added before the logarithm: those of independent pixels multiply",
            -np.log(np.exp(-each).sum(axis=-1)),
        )
    )
    pairs.append(("this is p(x) itself: the negative of its logarithm is asked", np.exp(-each.sum(axis=-1))))
    return pairs + reductions("nll", each, "pixels")


def other_p(logits):
    """Pairs (sentence, p) of what may be taken for sigmoid(logits)."""
    with np.errstate(all="ignore"):
        p, e = 1 / (1 + np.exp(-logits)), np.exp(logits - logits.max(axis=-1, keepdims=True))
        return (
            ("the logits are taken for probabilities: p = sigmoid(logits)", logits),
            ("p is sigmoid(-logits): the sign of the logits is turned", 1 - p),
            ("sigmoid is applied twice: logits are what stands before it", 1 / (1 + np.exp(-p))),
            (
                "p is a softmax over the pixels: every pixel has a sigmoid of its own",
                e / e.sum(axis=-1, keepdims=True),
            ),
            ("p is made with tanh: sigmoid(l) = (1 + tanh(l/2)) / 2", (1 + np.tanh(logits)) / 2),
            ("p is made with tanh: sigmoid(l) = (1 + tanh(l/2)) / 2", np.tanh(logits)),
            ("p is e^l: it is e^l / (1 + e^l)", np.exp(logits)),
            ("p is 1 / (1 - e^-l): it is 1 / (1 + e^-l)", 1 / (1 - np.exp(-logits))),
            ("p is 0 or 1, by the sign of the logit: it is sigmoid(logits)", 1.0 * (logits > 0)),
            ("p is 1 / (1 + e^-|l|): that is p where l > 0 alone", 1 / (1 + np.exp(-np.abs(logits)))),
        )


def sure(size):
    """logits and x (rows, 2): a pixel of logit up to +-size that is right, wrong or grey, and another one."""
    edges = np.array(
        [l for l in (40.0, 30.0, 20.0, 15.0, 12.0, 9.0, 7.0, 6.0, 5.0, 3.0) if size == 40]
        or [800.0, 750.0, 300.0, 60.0]
    )
    first = np.concatenate([edges, -edges, edges, -edges, edges])
    x = np.repeat([0.0, 1.0, 1.0, 0.0, 0.6], len(edges))
    return np.stack([first, np.full_like(first, 0.5)], axis=1), np.stack([x, np.full_like(x, 0.3)], axis=1)


def check_forty(its):
    """Logits of +-40, with x 0, 1 and grey: sigmoid(40) is 1 in double precision."""
    _surely(its, 40, LOG_OF_ZERO)


def check_huge(its):
    """Logits of +-800: e^800 is infinite."""
    _surely(its, 800, OVERFLOW)


def _surely(its, size, cause):
    logits, x = sure(size)
    got = its.bernoulli_nll(logits, x)
    want = exact(logits, x)
    if np.shape(got) == want.shape:
        got = np.asarray(got, np.float64)
        bad = ~np.isfinite(got) | (np.abs(got) > 1e6)
        if bad.any():
            at = int(np.argmax(bad))
            where = f"logit {logits[at, 0]:g}, x = {x[at, 0]:g}: got {got[at]:.4g}, want {want[at]:.8g}"
            raise Failed(cause, [where])
        _flat(got, want, logits, x)
    judging.expect(
        "nll",
        got,
        want,
        {"B": len(want)},
        inputs={"the logit": logits[:, 0]},
        note=f"with logits up to +-{size}",
    )


def _flat(got, want, logits, x):
    """Raise Failed if nll no longer grows with a logit that is surely wrong, and say where it stops."""
    rest = float(exact(np.array([[0.5]]), np.array([[0.3]]))[0])
    for side, word in ((1, "0"), (-1, "1")):
        rows = (np.sign(logits[:, 0]) == side) & (x[:, 0] == (side < 0))
        costs = got[rows] - rest
        l = np.abs(logits[rows, 0])
        line = f"logit {side * l[0]:g}, x = {word}: got {got[rows][0]:.6g}, want {want[rows][0]:.6g}"
        here = f"where the logit is {side * l[0]:g} and x is {word}"
        paid, whole = f"{costs[0]:.4g}", abs(costs[0] - round(costs[0])) < 1e-3
        if costs[0] > l[0] + 0.1 and whole:
            raise Failed(
                f"nll jumps to {paid} {here}: is log(0) cut off at -{paid}? The logarithm is -{l[0]:g}, "
                "and p, rounded to 0 or 1, does not know it",
                [line],
            )
        stopped = np.isclose(costs[:2], costs[0], rtol=1e-9, atol=1e-9).all()
        if not stopped or not 0.1 < costs[0] < l[0] - 0.1:
            continue
        if whole:
            raise Failed(
                f"nll stops growing at {paid} {here}: are the logits clipped at {paid}? Who is surely wrong "
                "pays |logit| nats, however many",
                [line],
            )
        clip = f"{math.exp(-costs[0]):.2g}"
        raise Failed(
            f"nll stops growing at {paid} = -log({clip}) {here}: p is clipped at {clip}, or it is added in "
            "the log. No p is needed",
            [line],
        )


def check_backward(its):
    """dlogits (B, D) against the complex step of the textbook formula."""
    _slopes(its, *example())


def check_backward_samples(its):
    """dlogits (S, B, D) from dnll (S, B)."""
    with judging.noted(f"logits have shape (S, B, D) = {(S, B, D)}, dnll {(S, B)}, x {(B, D)}"):
        _slopes(its, *example(samples=True))


def _slopes(its, dnll, logits, x):
    up, p = dnll[..., None], 1 / (1 + np.exp(-logits))
    every = np.broadcast_to(x, logits.shape)
    parts = {
        "p": p,
        "x": every,
        "": np.ones_like(p),
        "l": logits,
        "x p": every * p,
        "p (1 - p)": p * (1 - p),
        "(p - x) p (1 - p)": (p - every) * p * (1 - p),
        "(p - x) / (p (1 - p))": (p - every) / (p * (1 - p)),
        "tanh(l)": np.tanh(logits),
        "max(l, 0)": np.maximum(logits, 0),
        "(l > 0)": 1.0 * (logits > 0),
        "sign(p - x)": np.sign(p - every),
        "(p - x) l": (p - every) * logits,
        "e^l": np.exp(logits),
    }
    factors = {f"dnll {name}".strip(): up * part for name, part in parts.items()}
    others = [(words, up * (q - x)) for words, q in other_p(logits)]
    others += [(BY_CASE, up * (p - (x > 0.5))), (BY_CASE, up * (p - (x == 1)))]
    others.append(
        (
            "this is the derivative by p: by the logits it is p (1 - p) times that",
            up * (p - x) / (p * (1 - p)),
        )
    )
    bare = {name or "1": parts[name] for name in ("p", "x", "")}
    judging.expect(
        "dlogits",
        its.bernoulli_nll_backward(dnll, logits, x),
        gradcheck.complex_step(lambda a: np.sum(dnll * reference(a, x)), logits),
        SIZES,
        wrong=[*judging.mistaken(WRONG, "bernoulli_nll_backward", dnll, logits, x), *others],
        terms=factors | bare,
        formula={"dnll p": 1.0, "dnll x": -1.0},
        inputs={"the logit": logits},
    )


def check_backward_huge(its):
    """The derivative at logits of +-40 and +-800: p is 0 or 1, and dlogits is -dnll, 0 or dnll."""
    for size in (40, 800):
        logits, x = sure(size)
        p = np.array([[math.exp(min(l, 0)) / (1 + math.exp(-abs(l))) for l in row] for row in logits])
        dnll = np.linspace(-1.2, 1.7, len(logits))
        got, want = its.bernoulli_nll_backward(dnll, logits, x), dnll[:, None] * (p - x)
        if np.shape(got) == want.shape:
            bad = ~np.isfinite(np.asarray(got, np.float64))
            if bad.any():
                at = tuple(np.argwhere(bad)[0])
                where = f"logit {logits[at]:g}: got {np.asarray(got)[at]}, want {want[at]:.6g}"
                raise Failed(SIGMOID if size == 800 else NOT_FINITE, [where])
            flat = (np.asarray(got) == 0) & (np.abs(want) > 0.01)
            if flat.any():
                at = tuple(np.argwhere(flat)[0])
                raise Failed(CLIPPED, [f"logit {logits[at]:g}, x = {x[at]:g}: got 0, want {want[at]:.6g}"])
        wrong = judging.mistaken(WRONG, "bernoulli_nll_backward", dnll, logits, x)
        note = f"with logits up to +-{size}"
        judging.expect(
            "dlogits", got, want, {"B": len(x)}, wrong=wrong, inputs={"the logit": logits}, note=note
        )


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
VALUE, SAMPLES, FORTY, HUGE, SLOPE, SLOPE_SAMPLES, SLOPE_HUGE, ONES = CHECKS

BY_CASE = "x is taken for 0 or 1, by a case or by rounding: a grey x weighs both parts, with x and 1 - x"
LOG_OF_ZERO = (
    "nll is not finite at a logit of 40: sigmoid(40) rounds to 1, and log(1 - p) becomes log(0). "
    "log(1 - p) = -softplus(l) needs no p: compute from the logits"
)
OVERFLOW = (
    "nll is not finite at a logit of 800: e^800 overflows. Take the large part out first: "
    "log(1 + e^l) = max(l, 0) + log(1 + e^-|l|), whose exponent is never positive"
)
SIGMOID = (
    "dlogits is not finite at a logit of 800: e^800 overflows, and inf/inf is NaN. 1 / (1 + e^-|l|) is safe: "
    "it is p where l > 0, and 1 - p elsewhere"
)
NOT_FINITE = (
    "dlogits is not finite at a logit of 40, where p rounds to 1: is it divided by 1 - p or p (1 - p)? These "
    "cancel, p - x is left"
)
CLIPPED = (
    "dlogits is 0 where the decoder is surely wrong: a clipped p or logit has no slope, and nothing is "
    "learned where it matters most. It is -dnll or dnll there"
)


# ------------------------------------------------------------------------------ wrong answers


def _sigmoid(logits):
    return 1 / (1 + np.exp(-logits))


def _stable(logits, x):
    """The nll of each pixel, safe."""
    return np.maximum(logits, 0) - x * logits + np.log1p(np.exp(-np.abs(logits)))


def _with(inner):
    """The sum over pixels of what `inner(logits, x)` gives for each."""
    return {"bernoulli_nll": lambda logits, x: inner(logits, x).sum(axis=-1)}


def _from_p(change):
    """The textbook formula, from change(p)."""
    return _with(lambda logits, x: _entropy(change(_sigmoid(logits)), x))


def _entropy(p, x):
    return -(x * np.log(p) + (1 - x) * np.log(1 - p))


def _back(inner):
    return {"bernoulli_nll_backward": lambda dnll, logits, x: inner(dnll[..., None], logits, x)}


WRONG = (
    Wrong(
        _with(lambda logits, x: _stable(logits, x) / logits.shape[-1]),
        VALUE,
        "nll is averaged over the D pixels: it is a sum, or the KL weighs D times too much beside it",
    ),
    Wrong(
        _with(lambda logits, x: -_stable(logits, x)),
        VALUE,
        "nll has the opposite sign: this is log p(x), and minus the log of a probability is never negative",
    ),
    Wrong(
        _with(lambda logits, x: x * np.logaddexp(0, -logits)),
        VALUE,
        "only -x log p is counted: a dark pixel, x = 0, must cost -log(1 - p)",
    ),
    Wrong(
        _with(lambda logits, x: _entropy(logits, x)),
        VALUE,
        "the logits are taken for probabilities: p = sigmoid(logits)",
    ),
    Wrong(
        _with(lambda logits, x: _entropy(x, _sigmoid(logits))),
        VALUE,
        "x and p are exchanged: the data weigh, and the logarithms are of the decoder's p",
    ),
    Wrong(
        _with(lambda logits, x: np.maximum(logits, 0) - x * logits),
        VALUE,
        "log(1 + e^-|l|) is missing: max(l, 0) alone is right only where the decoder is sure",
    ),
    Wrong(_from_p(lambda p: p), FORTY, LOG_OF_ZERO),
    Wrong(
        _from_p(lambda p: np.clip(p, 1e-7, 1 - 1e-7)),
        FORTY,
        "p is clipped at 1e-07",
    ),
    Wrong(
        _with(lambda logits, x: np.log(1 + np.exp(logits)) - x * logits),
        HUGE,
        OVERFLOW,
    ),
    Wrong(
        _back(lambda up, logits, x: up * (x - _sigmoid(logits))),
        SLOPE,
        "dlogits has x - p, the wrong sign: nll grows with the logit where p is above x, so it is p - x",
    ),
    Wrong(
        _back(lambda up, logits, x: _sigmoid(logits) - x),
        SLOPE,
        "dnll is left out: what comes back from above is a factor of every derivative",
    ),
    Wrong(
        _back(lambda up, logits, x: up * (_sigmoid(logits) - x) * _sigmoid(logits) * (1 - _sigmoid(logits))),
        SLOPE,
        "p (1 - p), the sigmoid's slope, is a factor too many: the log's 1/p and 1/(1 - p) have cancelled it",
    ),
    Wrong(
        _back(lambda up, logits, x: up * (np.exp(logits) / (1 + np.exp(logits)) - x)),
        SLOPE_HUGE,
        SIGMOID,
    ),
    Wrong(
        _back(lambda up, logits, x: up * (_sigmoid(logits) - x) * (np.abs(logits) < 16)),
        SLOPE_HUGE,
        CLIPPED,
    ),
)


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
