"""Exercise: one step of Adam, in place."""

import math

import numpy as np

from minivae import optimizers

from .. import judging
from ..judging import Exercise, Failed
from ..judging.walks import cause
from ..slips.adam_update import SLIPS, WRITTEN, WRONG, values_of

SHAPE = (4, 3)
LR, BETA1, BETA2, EPS = 0.05, 0.7, 0.95, 0.3  # eps large enough to matter, and to tell where it stands
T = 5


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
    after = its.changed("adam_update", given, ("param", "m", "v"))
    same = [name for name in after if np.array_equal(after[name], given[name]) and np.any(grad)]
    if same:
        names = " and ".join([", ".join(same[:-1]), same[-1]] if same[1:] else same)
        raise Failed(
            f"{names} {'are' if same[1:] else 'is'} as before: `{same[0]} = ...` only names a new "
            f"array. Write into the caller's, {same[0]}[...] = ..."
        )
    return after


# ------------------------------------------------------------------------------ checks


def judged(its, param, grad, m, v, *settings, note=""):
    """One step, held to the reference: m, v and param, each of which follows from those before."""
    given = param, grad, m, v, *settings
    after, want = stepped(its, *given), reference(*given)
    wrong = [name for name in WRITTEN if not judging.close(after[name], want[name])]
    if not wrong:
        return after
    if words := cause(SLIPS, WRITTEN, after, want, lambda *slips: values_of(*given, *slips)):
        raise Failed(words + f" ({note})" * bool(note), judging.evidence(after[wrong[0]], want[wrong[0]]))
    beta1, beta2 = settings[2:4]
    others = {"g": grad, "g^2": grad**2, "|g|": np.abs(grad), "1": np.ones_like(grad)}
    for name, old, formula in (
        ("m", m, {"m": beta1, "g": 1 - beta1}),
        ("v", v, {"v": beta2, "g^2": 1 - beta2}),
    ):
        terms = {name: old, "param": param} | others if old.any() else None
        inputs = {"grad": grad}
        judging.expect(name, after[name], want[name], terms=terms, formula=formula, inputs=inputs, note=note)
    rest = after["param"] - want["param"]
    for base in (param, want["param"]):
        ratio = float(np.sum(rest * base) / np.sum(base * base))
        if ratio > -0.99 and np.max(np.abs(rest - ratio * base)) < 1e-8 * np.max(np.abs(rest)):
            words = (
                f"param shrinks or grows by {ratio:.4g} of itself besides: weight decay is no part of Adam"
            )
            raise Failed(words + f" ({note})" * bool(note))
    judging.expect("param's step", after["param"] - param, want["param"] - param, note=note)
    return after


def check_step(its):
    """One step in the middle of a training, t = 5."""
    judged(its, *example(), T, LR, BETA1, BETA2, EPS)


def check_first(its):
    """The first step, from m = v = 0."""
    param, grad, _, _ = example(seed=82)
    zero = np.zeros(SHAPE)
    note = "the first step: t = 1, m and v are zero"
    judged(its, param, grad, zero, zero, 1, LR, BETA1, BETA2, EPS, note=note)
    after = stepped(its, param, zero, zero, zero, 1, LR, BETA1, BETA2, 1e-8)
    judging.expect("param", after["param"], param, note="the gradient, m and v are zero, so it must stay")


def check_many(its):
    """Six steps of three parameters of different shapes in turn, with their own m and v."""
    shapes, rng = ((5,), (2, 3, 2), SHAPE), np.random.default_rng(83)
    mine = [[rng.normal(0, 1, shape), np.zeros(shape), np.zeros(shape)] for shape in shapes]
    for t in range(1, 7):
        for k, shape in enumerate(shapes):
            grad = rng.normal(0.3, 1.0, shape)
            param, m, v = mine[k]
            try:
                after = judged(its, param, grad, m, v, t, 0.1, 0.9, 0.99, 1e-3)
            except Failed as failed:
                words = f"a parameter of shape {shape}, step {t}: {failed.sentence}"
                raise Failed(words, failed.details, failed.line) from failed.__cause__
            mine[k] = [after[name] for name in ("param", "m", "v")]


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
