"""Exercise: one step of Adam, in place."""

import math

import numpy as np

from minivae import optimizers

from .. import judging
from ..judging import Exercise, Failed, Wrong

SHAPE = (4, 3)
LR, BETA1, BETA2, EPS = 0.05, 0.7, 0.95, 0.3  # eps large enough to matter, and to tell where it stands
T = 5
WRITTEN = ("param", "m", "v")


def example(shape=SHAPE, seed=81):
    """param, grad, m, v in the middle of a training: nothing is zero, v is positive."""
    rng = np.random.default_rng(seed)
    param, grad, m = rng.normal(0.2, 1.0, (3, *shape))
    return param, grad, m, rng.uniform(0.2, 2.0, shape)


def reference(param, grad, m, v, t, lr, beta1, beta2, eps):
    """Algorithm 1 of the paper, one number at a time -> what becomes of param, m, v."""
    after = {name: np.empty(param.shape) for name in WRITTEN}
    for at in np.ndindex(param.shape):
        g = float(grad[at])
        after["m"][at] = first = beta1 * float(m[at]) + (1 - beta1) * g
        after["v"][at] = second = beta2 * float(v[at]) + (1 - beta2) * g**2
        first, second = first / (1 - beta1**t), second / (1 - beta2**t)
        after["param"][at] = float(param[at]) - lr * first / (math.sqrt(second) + eps)
    return after


def stepped(its, param, grad, m, v, *settings):
    """What becomes of param, m, v; Failed if one of them is not written to."""
    given = {"param": param, "grad": grad, "m": m, "v": v}
    given |= dict(zip(("t", "lr", "beta1", "beta2", "eps"), settings, strict=True))
    after = its.changed("adam_update", given, WRITTEN)
    same = [name for name in WRITTEN if np.array_equal(after[name], given[name]) and np.any(grad)]
    if same:
        names = " and ".join([", ".join(same[:-1]), same[-1]] if same[1:] else same)
        raise Failed(f"{names} {'are' if same[1:] else 'is'} as before: {NEW.replace('NAME', same[0])}")
    return after


NEW = (
    "`NAME = ...` gives the name NAME to a new array, and the caller's own stays as it was. Write into the "
    "one that is there: NAME[...] = ..., or NAME -= ..."
)


# ------------------------------------------------------------------------------ what it may have been


def mistaken_m(grad, m, t, beta1, beta2):
    """Pairs (words, array): what m may have become."""
    right = beta1 * m + (1 - beta1) * grad
    return [
        (IN_PLACE.format("m", "beta1"), right / (1 - beta1**t)),
        ("m has beta2, where beta1 belongs", beta2 * m + (1 - beta2) * grad),
        (
            "m has its weights exchanged: beta1 is that of the old m, 1 - beta1 that of g",
            (1 - beta1) * m + beta1 * grad,
        ),
        (
            "m = beta1 m + g is momentum as SGD has it: Adam's m is a mean, so g has 1 - beta1",
            beta1 * m + grad,
        ),
        ("m has 0.9 written in, where the argument beta1 belongs", 0.9 * m + (1 - 0.9) * grad),
        (
            "m *= beta1 + (1 - beta1) g multiplies all of it: m *= beta1 first",
            m * (beta1 + (1 - beta1) * grad),
        ),
        ("m lacks beta1: the old m is kept whole, and never forgotten", m + (1 - beta1) * grad),
        ("m is g: nothing is remembered", grad),
        ("m is (1 - beta1) g: the old m is lost", (1 - beta1) * grad),
        (
            "m goes down the gradient: it is a mean of gradients, and the step has the minus",
            beta1 * m - (1 - beta1) * grad,
        ),
        ("m has g squared: that is v's", beta1 * m + (1 - beta1) * grad**2),
        (
            "m has beta1^t for beta1: only the correction has the power t",
            beta1**t * m + (1 - beta1**t) * grad,
        ),
        ("m is multiplied by 1 - beta1^t", right * (1 - beta1**t)),
    ]


def mistaken_v(grad, m, v, t, beta1, beta2):
    """Pairs (words, array): what v may have become; m is the new one."""
    right = beta2 * v + (1 - beta2) * grad**2
    return [
        (IN_PLACE.format("v", "beta2"), right / (1 - beta2**t)),
        ("v has beta1, where beta2 belongs", beta1 * v + (1 - beta1) * grad**2),
        (
            "v has its weights exchanged: beta2 is that of the old v, 1 - beta2 that of g^2",
            (1 - beta2) * v + beta2 * grad**2,
        ),
        (
            "v has g where g^2 belongs: it is a mean of squares, and its root is taken",
            beta2 * v + (1 - beta2) * grad,
        ),
        ("v has |g| where g^2 belongs", beta2 * v + (1 - beta2) * np.abs(grad)),
        (
            "v has m^2 where g^2 belongs: it is the mean of the squares, not the square of the mean",
            beta2 * v + (1 - beta2) * m**2,
        ),
        ("v has (g - m)^2 where g^2 belongs: that is AdaBelief", beta2 * v + (1 - beta2) * (grad - m) ** 2),
        ("v has ((1 - beta2) g)^2: the square is g's alone", beta2 * v + ((1 - beta2) * grad) ** 2),
        ("v has m g where g^2 belongs", beta2 * v + (1 - beta2) * m * grad),
        ("v has g^3 where g^2 belongs", beta2 * v + (1 - beta2) * grad**3),
        ("v has 2 g where g^2 belongs: the square is g**2, not g*2", beta2 * v + (1 - beta2) * 2 * grad),
        ("v = beta2 v + g^2 is a sum: Adam's v is a mean, so g^2 has 1 - beta2", beta2 * v + grad**2),
        ("v = v + g^2 is Adagrad's: Adam forgets, with beta2", v + grad**2),
        ("v has 0.999 written in, where the argument beta2 belongs", 0.999 * v + (1 - 0.999) * grad**2),
        ("v is squared as a whole: the square is g's alone", (beta2 * v + (1 - beta2) * grad) ** 2),
        ("v lacks beta2: the old v is kept whole, and never forgotten", v + (1 - beta2) * grad**2),
        ("v is g^2: nothing is remembered", grad**2),
        ("v is (1 - beta2) g^2: the old v is lost", (1 - beta2) * grad**2),
        ("v never falls: that is AMSGrad's maximum", np.maximum(v, right)),
        (
            "v has beta2^t for beta2: only the correction has the power t",
            beta2**t * v + (1 - beta2**t) * grad**2,
        ),
        ("v has beta2 squared", beta2**2 * v + (1 - beta2**2) * grad**2),
        ("v holds the root: it is a mean of squares, the root belongs to the step", np.sqrt(right)),
    ]


IN_PLACE = "{0} holds the corrected {0}^: the division by 1 - {1}^t belongs to the step alone"


def numerators(grad, m, old, t, beta1, beta2):
    """Words -> array that stands for m^; the right one has no words. m is the new one."""
    with np.errstate(all="ignore"):
        found = {
            "": m / (1 - beta1**t),
            "m stands for m^: it is not corrected for its start at zero": m,
            "g stands for m^: m is made, and not used": grad,
            "the old m stands in m^: m is updated first, then the step is made": old / (1 - beta1**t),
            "m is corrected twice": m / (1 - beta1**t) ** 2,
            "m is multiplied by 1 - beta1^t, where it is divided": m * (1 - beta1**t),
            "m is corrected with beta2": m / (1 - beta2**t),
            "m^ has t - 1 for t: t counts from 1": m / (1 - beta1 ** (t - 1)),
            "m^ has t + 1 for t: the caller has counted this step already": m / (1 - beta1 ** (t + 1)),
            "m^ has 1 - beta1 for 1 - beta1^t: the power t is missing": m / (1 - beta1),
            "m^ has beta1 * t for beta1^t: it is a power, **": m / (1 - beta1 * t),
            "m^ has (1 - beta1)^t for 1 - beta1^t: the power is beta1's alone": m / (1 - beta1) ** t,
            "m^ has beta1^t for 1 - beta1^t": m / beta1**t,
            "m^ has 1 + beta1^t for 1 - beta1^t": m / (1 + beta1**t),
            "m^ has 1 - t^beta1 for 1 - beta1^t: base and power are exchanged": m / (1 - t**beta1),
            "m^ is Nesterov's, with g once more": (beta1 * m + (1 - beta1) * grad) / (1 - beta1**t),
            "m^ has |m|: its sign is lost": np.abs(m) / (1 - beta1**t),
            "the sign of m alone is taken": np.sign(m),
        }
    return found


def denominators(grad, v, old, t, beta2, beta1, eps):
    """Words, in a tuple -> array that stands for sqrt(v^) + eps; the right one has none. v is the new one."""
    with np.errstate(all="ignore"):
        c = 1 - beta2**t
        hats = {
            "": v / c,
            "v stands for v^: it is not corrected for its start at zero": v,
            "the old v stands in v^: v is updated first, then the step is made": old / c,
            "v is corrected twice, or outside the root: sqrt(v / (1 - beta2^t)) is asked": v / c**2,
            "v is multiplied by 1 - beta2^t, where it is divided": v * c,
            "v is corrected with beta1": v / (1 - beta1**t),
            "v^ has t - 1 for t: t counts from 1": v / (1 - beta2 ** (t - 1)),
            "v^ has t + 1 for t: the caller has counted this step already": v / (1 - beta2 ** (t + 1)),
            "v^ has 1 - beta2 for 1 - beta2^t: the power t is missing": v / (1 - beta2),
            "v^ has beta2 * t for beta2^t: it is a power, **": v / (1 - beta2 * t),
            "v^ has (1 - beta2)^t for 1 - beta2^t: the power is beta2's alone": v / (1 - beta2) ** t,
            "v^ has beta2^t for 1 - beta2^t": v / beta2**t,
            "v^ has 1 + beta2^t for 1 - beta2^t": v / (1 + beta2**t),
            "v^ has 1 - t^beta2 for 1 - beta2^t: base and power are exchanged": v / (1 - t**beta2),
            "v^ is averaged over all entries: every entry has its own": np.full_like(v, v.mean()) / c,
            "v^ is summed over all entries: every entry has its own": np.full_like(v, v.sum()) / c,
            "g^2 stands for v^: v is made, and not used": grad**2,
        }
        roots = {
            "": lambda hat: np.sqrt(hat) + eps,
            "eps is inside the root, sqrt(v^ + eps): it belongs outside, sqrt(v^) + eps": (
                lambda hat: np.sqrt(hat + eps)
            ),
            "eps is inside the root, squared: it belongs outside, sqrt(v^) + eps": (
                lambda hat: np.sqrt(hat + eps**2)
            ),
            NO_EPS: np.sqrt,
            "eps is subtracted: it is added to the root": lambda hat: np.sqrt(hat) - eps,
            "eps is multiplied in: it is added to the root": lambda hat: np.sqrt(hat) * eps,
            "eps is added twice: to v^ and to the root": lambda hat: np.sqrt(hat + eps) + eps,
            "the larger of sqrt(v^) and eps is taken: they are added": lambda hat: np.maximum(
                np.sqrt(hat), eps
            ),
            "the root is missing: sqrt(v^) + eps is asked": lambda hat: hat + eps,
            "the root and eps are missing: sqrt(v^) + eps is asked": lambda hat: hat,
            "v^ is squared, where its root is asked": lambda hat: hat**2 + eps,
            "sqrt(v^) + eps is multiplied, where it divides": lambda hat: 1 / (np.sqrt(hat) + eps),
        }
        found = {
            tuple(words for words in (hat, root) if words): made(value)
            for hat, value in hats.items()
            for root, made in roots.items()
        }
        found["nothing divides: sqrt(v^) + eps is missing",] = np.ones_like(v)
        early = (np.sqrt(v) + eps) / np.sqrt(c)
        found["eps is added before the correction: this is the paper's eps hat, another number",] = early
    return found


NO_EPS = "eps is missing, or too small to count: it is the argument eps, added to the root"


def mistaken_step(before, grad, m, v, old, t, lr, beta1, beta2, eps):
    """Pairs (words, array), those with fewer mistakes first: what param may have become."""
    tops = numerators(grad, m, old["m"], t, beta1, beta2)
    bottoms = denominators(grad, v, old["v"], t, beta2, beta1, eps)
    rates = {
        "": -lr,
        "the step goes up: param - lr ..., since the loss is to fall": lr,
        "lr is missing": -1.0,
        "lr and the minus are missing": 1.0,
        "0.001 is written in, where the argument lr belongs": -1e-3,
        "lr is multiplied in twice": -(lr**2),
        "lr is divided by t": -lr / t,
        "lr is divided by sqrt(t)": -lr / math.sqrt(t),
        "lr is multiplied by 1 - beta1": -lr * (1 - beta1),
        "lr is divided by the number of entries: every entry has its own step": -lr / before.size,
    }
    found = []
    with np.errstate(all="ignore"):
        for top, over in tops.items():
            for bottom, under in bottoms.items():
                for scale, rate in rates.items():
                    said = [words for words in (top, *bottom, scale) if words]
                    if 0 < len(said) <= 3:
                        words = _both(top, bottom, "param: " + "; and ".join(said))
                        found.append((len(said), bool(scale), words, before + rate * over / under))
        step, eps_less = lr * tops[""] / bottoms[()], tops[""] / bottoms[NO_EPS,]
        found += [
            (1, False, "param holds the step alone: it is what was there, less the step", -step),
            (1, False, "param holds lr m^ / (sqrt(v^) + eps): that is subtracted from what was there", step),
            (1, False, "param is multiplied by the step: the step is subtracted", before * step),
            (1, False, f"param: {OUTSIDE}", before - lr * (eps_less + eps)),
            (1, False, f"param: {OUTSIDE}", before - lr * eps_less + eps),
            (1, False, "param is the same as m: the step is subtracted from what was there", m),
        ]
    return [(words, array) for *_, words, array in sorted(found, key=lambda f: f[:2])]


OUTSIDE = "eps stands outside the fraction: m^ / sqrt(v^) + eps wants parentheses"


def _both(top, bottom, words):
    """One sentence where m^ and v^ have the same mistake."""
    told = {
        "not corrected for its start at zero": "there is no bias correction: m^ = m / (1 - beta1^t) and "
        "v^ = v / (1 - beta2^t) undo the pull of the zero start, most of all in the first steps",
        "t counts from 1": "t is taken from 0 on, t - 1 for t: it counts from 1, and 1 - beta^0 would be 0",
        "counted this step already": "t + 1 stands for t: the caller has counted this step already",
        "is corrected twice": "m and v are corrected twice",
        "the power t is missing": "the power t is missing in both corrections: 1 - beta^t",
        "is updated first, then": "the step is made with the old m and v: they are updated first",
        "and not used": "the step is made of g alone: m and v are made, and not used",
    }
    for part, sentence in told.items():
        if bottom and part in top and part in bottom[0]:
            rest = words.removeprefix(f"param: {top}; and {bottom[0]}")
            return f"param: {sentence}{rest}"
    return words


# ------------------------------------------------------------------------------ checks


def judged(after, param, grad, m, v, *settings, note=""):
    """Hold m, v and param to the reference, in this order: each follows from those before."""
    t, _, beta1, beta2, _ = settings
    want = reference(param, grad, m, v, *settings)
    flat = {"g": grad, "m": m, "g^2": grad**2, "|g|": np.abs(grad), "param": param, "1": np.ones_like(grad)}
    judging.expect(
        "m",
        after["m"],
        want["m"],
        wrong=mistaken_m(grad, m, t, beta1, beta2),
        terms=flat if m.any() else None,
        formula={"m": beta1, "g": 1 - beta1},
        inputs={"grad": grad},
        note=note,
    )
    flat = {"g^2": grad**2, "v": v, "g": grad, "|g|": np.abs(grad), "m^2": want["m"] ** 2, "m": want["m"]}
    judging.expect(
        "v",
        after["v"],
        want["v"],
        wrong=mistaken_v(grad, want["m"], v, t, beta1, beta2),
        terms=flat | {"1": np.ones_like(v)} if v.any() else None,
        formula={"v": beta2, "g^2": 1 - beta2},
        inputs={"grad": grad},
        note=note,
    )
    if not judging.close(after["param"], want["param"]):
        wrong = mistaken_step(param, grad, want["m"], want["v"], {"m": m, "v": v}, *settings)
        _decayed(after["param"] - want["param"], param, note)
        wrong = [(words, guess - param) for words, guess in wrong]
        judging.expect("param's step", after["param"] - param, want["param"] - param, wrong=wrong, note=note)


def _decayed(rest, param, note):
    """Refuse a part of param itself in its step."""
    ratio = float(np.sum(rest * param) / np.sum(param * param))
    if ratio > -0.99 and np.max(np.abs(rest - ratio * param)) < 1e-8 * np.max(np.abs(rest)):
        words = f"param shrinks or grows by {ratio:.4g} of itself besides: weight decay is no part of Adam"
        raise Failed(words + f" ({note})" * bool(note))


def check_step(its):
    """One step in the middle of a training, t = 5."""
    before = example()
    judged(stepped(its, *before, T, LR, BETA1, BETA2, EPS), *before, T, LR, BETA1, BETA2, EPS)


def check_first(its):
    """The first step, from m = v = 0."""
    param, grad, _, _ = example(seed=82)
    zero = np.zeros(SHAPE)
    before = param, grad, zero, zero
    judged(
        stepped(its, *before, 1, LR, BETA1, BETA2, EPS),
        *before,
        1,
        LR,
        BETA1,
        BETA2,
        EPS,
        note="the first step: t = 1, m and v are zero",
    )
    after = stepped(its, param, zero, zero, zero, 1, LR, BETA1, BETA2, 1e-8)
    judging.expect("param", after["param"], param, note="the gradient, m and v are zero, so it must stay")


def check_many(its):
    """Six steps of three parameters of different shapes in turn, with their own m and v."""
    shapes, rng = ((5,), (2, 3, 2), SHAPE), np.random.default_rng(83)
    mine = [[rng.normal(0, 1, shape), np.zeros(shape), np.zeros(shape)] for shape in shapes]
    right = [[array.copy() for array in arrays] for arrays in mine]
    settings = 0.1, 0.9, 0.99, 1e-3
    for t in range(1, 7):
        for k, shape in enumerate(shapes):
            grad = rng.normal(0.3, 1.0, shape)
            param, m, v = mine[k]
            try:
                after = stepped(its, param, grad, m, v, t, *settings)
            except Failed as failed:
                words = f"a parameter of shape {shape}, step {t}: {failed.sentence}"
                raise Failed(words, failed.details, failed.line) from failed.__cause__
            mine[k] = [after[name] for name in WRITTEN]
            param, m, v = right[k]
            want = reference(param, grad, m, v, t, *settings)
            right[k] = [want[name] for name in WRITTEN]
            for name in ("m", "v", "param"):
                note = f"step {t} of a parameter of shape {shape}"
                judging.expect(name, after[name], want[name], note=note)


def check_single(its):
    """Arrays in float32, after a thousand steps, with the usual settings."""
    before = tuple(array.astype(np.float32) for array in example(seed=84))
    settings = 1000, 1e-3, 0.9, 0.999, 1e-8
    after, want = stepped(its, *before, *settings), reference(*before, *settings)
    for name in ("m", "v"):
        judging.expect(name, after[name], want[name], note="in float32, t = 1000")
    moved, asked = (np.float64(a) - before[0] for a in (after["param"], want["param"]))
    if np.max(np.abs(moved - asked)) > 1e-3 * np.max(np.abs(asked)):
        raise Failed("param is wrong in float32, t = 1000", judging.evidence(moved, asked))


CHECKS = {
    "a step in the middle of a training": check_step,
    "the first step": check_first,
    "six steps, three shapes": check_many,
    "in single precision": check_single,
}
STEP, FIRST, MANY, SINGLE = CHECKS


# ------------------------------------------------------------------------------ wrong answers


def _changed(m_of=None, v_of=None, step_of=None):
    """Adam with one of its three lines changed."""

    def adam_update(param, grad, m, v, t, lr, beta1, beta2, eps):
        m[...] = m_of(m, grad, beta1, t) if m_of else beta1 * m + (1 - beta1) * grad
        v[...] = v_of(v, grad, beta2, m) if v_of else beta2 * v + (1 - beta2) * grad * grad
        if step_of:
            param[...] = step_of(param, m, v, t, lr, beta1, beta2, eps)
        else:
            param[...] -= lr * (m / (1 - beta1**t)) / (np.sqrt(v / (1 - beta2**t)) + eps)

    return {"adam_update": adam_update}


def _rebinds():
    """Makes a new param, and returns it."""

    def adam_update(param, grad, m, v, t, lr, beta1, beta2, eps):
        m[...] = beta1 * m + (1 - beta1) * grad
        v[...] = beta2 * v + (1 - beta2) * grad * grad
        return param - lr * (m / (1 - beta1**t)) / (np.sqrt(v / (1 - beta2**t)) + eps)

    return {"adam_update": adam_update}


def _by_rows():
    """A loop over two axes, which a bias does not have."""

    def adam_update(param, grad, m, v, t, lr, beta1, beta2, eps):
        for i in range(len(param)):
            for j in range(param.shape[1]):
                m[i, j] = beta1 * m[i, j] + (1 - beta1) * grad[i, j]
                v[i, j] = beta2 * v[i, j] + (1 - beta2) * grad[i, j] ** 2
                param[i, j] -= lr * (m[i, j] / (1 - beta1**t)) / (np.sqrt(v[i, j] / (1 - beta2**t)) + eps)

    return {"adam_update": adam_update}


def _hats(m, v, t, beta1, beta2):
    return m / (1 - beta1**t), v / (1 - beta2**t)


WRONG = (
    Wrong(_rebinds(), STEP, "param is as before: `param = ...` gives the name param to a new array"),
    Wrong(
        _changed(step_of=lambda p, m, v, t, lr, b1, b2, eps: p - lr * m / (np.sqrt(v) + eps)),
        STEP,
        "param: there is no bias correction: m^ = m / (1 - beta1^t) and v^ = v / (1 - beta2^t) undo",
    ),
    Wrong(
        _changed(
            step_of=lambda p, m, v, t, lr, b1, b2, eps: (
                p - lr * m / (1 - b1 ** (t - 1)) / (np.sqrt(v / (1 - b2 ** (t - 1))) + eps)
            )
        ),
        STEP,
        "param: t is taken from 0 on, t - 1 for t: it counts from 1, and 1 - beta^0 would be 0",
    ),
    Wrong(
        _changed(m_of=lambda m, g, b1, t: (b1 * m + (1 - b1) * g) / (1 - b1**t)),
        STEP,
        IN_PLACE.format("m", "beta1"),
    ),
    Wrong(
        _changed(
            step_of=lambda p, m, v, t, lr, b1, b2, eps: (
                p - lr * _hats(m, v, t, b1, b2)[0] / np.sqrt(_hats(m, v, t, b1, b2)[1] + eps)
            )
        ),
        STEP,
        "param: eps is inside the root, sqrt(v^ + eps): it belongs outside, sqrt(v^) + eps",
    ),
    Wrong(
        _changed(
            step_of=lambda p, m, v, t, lr, b1, b2, eps: (
                p - lr * _hats(m, v, t, b1, b2)[0] / np.sqrt(_hats(m, v, t, b1, b2)[1])
            )
        ),
        STEP,
        f"param: {NO_EPS}",
    ),
    Wrong(
        _changed(v_of=lambda v, g, b2, m: b2 * v + (1 - b2) * g),
        STEP,
        "v has g where g^2 belongs: it is a mean of squares, and its root is taken",
    ),
    Wrong(
        _changed(v_of=lambda v, g, b2, m: b2 * v + (1 - b2) * m**2),
        STEP,
        "v has m^2 where g^2 belongs: it is the mean of the squares, not the square of the mean",
    ),
    Wrong(
        _changed(m_of=lambda m, g, b1, t: (1 - b1) * m + b1 * g),
        STEP,
        "m has its weights exchanged: beta1 is that of the old m, 1 - beta1 that of g",
    ),
    Wrong(
        _changed(m_of=lambda m, g, b1, t: b1 * m + g),
        STEP,
        "m = beta1 m + g is momentum as SGD has it: Adam's m is a mean, so g has 1 - beta1",
    ),
    Wrong(
        _changed(
            step_of=lambda p, m, v, t, lr, b1, b2, eps: (
                p + lr * _hats(m, v, t, b1, b2)[0] / (np.sqrt(_hats(m, v, t, b1, b2)[1]) + eps)
            )
        ),
        STEP,
        "param: the step goes up: param - lr ..., since the loss is to fall",
    ),
    Wrong(
        _changed(
            step_of=lambda p, m, v, t, lr, b1, b2, eps: (
                p - _hats(m, v, t, b1, b2)[0] / (np.sqrt(_hats(m, v, t, b1, b2)[1]) + eps)
            )
        ),
        STEP,
        "param: lr is missing",
    ),
    Wrong(
        _changed(
            step_of=lambda p, m, v, t, lr, b1, b2, eps: (
                p - lr * m / (np.sqrt(_hats(m, v, t, b1, b2)[1]) + eps)
            )
        ),
        STEP,
        "param: m stands for m^: it is not corrected for its start at zero",
    ),
    Wrong(_by_rows(), MANY, "a parameter of shape (5,), step 1: adam_update stops with IndexError"),
)


EXERCISE = Exercise(
    lesson=8,
    title="Take a step of Adam, in place",
    task="""
    Write one step of Adam for one parameter, of any shape. param, m and v are arrays that the optimizer
    keeps: write what they become into them (m[...] = ..., param -= ...), and return nothing. m and v are
    remembered as they are; their corrected values m^ and v^ serve this step alone. t is a number, 1 in the
    first step; grad must stay as it is.
    """,
    functions=(optimizers.adam_update,),
    hints=(
        "Where to look: lesson 8; the docstring has every formula. In the order m, v, param: each needs "
        "the new values of those before. `m = ...` would only give the name m to another array: m[...] = ... "
        "writes into the one that is there.",
        "The formula: m <- beta1 m + (1 - beta1) g, v <- beta2 v + (1 - beta2) g^2, and param <- param - "
        "lr * m^ / (sqrt(v^) + eps), where m^ = m / (1 - beta1^t) and v^ = v / (1 - beta2^t). eps stands "
        "outside the root.",
        "All but the last line:\n"
        "    m[...] = beta1 * m + (1 - beta1) * grad\n"
        "    v[...] = beta2 * v + (1 - beta2) * grad * grad\n"
        "    m_hat = m / (1 - beta1**t)\n"
        "    v_hat = v / (1 - beta2**t)",
    ),
    checks=CHECKS,
    wrong=WRONG,
)
