"""What goes wrong in a step of Adam: its lines as a learner would write them, and slips in them."""

from ..judging import Wrong
from ..judging.walks import table, walk

WRITTEN = ("m", "v", "param")  # in the order in which one follows from the other

WALK = """
m = beta1 * old_m + (1 - beta1) * g
v = beta2 * old_v + (1 - beta2) * g**2
m_hat = m / (1 - beta1**t); v_hat = v / (1 - beta2**t)
root = sqrt(v_hat) + eps
step = lr * m_hat / root
param = before - step
"""

SLIPS = table("""
m = (beta1 * old_m + (1 - beta1) * g) / (1 - beta1**t); m_hat = m  # m was overwritten with m^
v = (beta2 * old_v + (1 - beta2) * g**2) / (1 - beta2**t); v_hat = v  # v was overwritten with v^
m = beta2 * old_m + (1 - beta2) * g  # m has beta2, where beta1 belongs
m = (1 - beta1) * old_m + beta1 * g  # m has its weights exchanged: beta1 is that of the old m
m = beta1 * old_m + g  # m = beta1 m + g is momentum as SGD has it: Adam's m is a mean, so g has 1 - beta1
m = 0.9 * old_m + (1 - 0.9) * g  # m has 0.9 written in, where the argument beta1 belongs
m = old_m * (beta1 + (1 - beta1) * g)  # m *= beta1 + (1 - beta1) g multiplies all of it: m *= beta1 first
m = old_m + beta1 * old_m + (1 - beta1) * g  # m gets its new value added: m[...] = ..., not m += ...
m = old_m + (1 - beta1) * g  # m lacks beta1: the old m is kept whole, and never forgotten
m = g  # m is g: nothing is remembered
m = (1 - beta1) * g  # m is (1 - beta1) g: the old m is lost
m = beta1 * old_m - (1 - beta1) * g  # m goes down the gradient: the minus is the step's
m = beta1 * old_m + (1 - beta1) * g**2  # m has g squared: that is v's
m = beta1 * old_m + (1 - beta1) * lr * g  # m has lr in it: that belongs to the step
m = beta1**t * old_m + (1 - beta1**t) * g  # m has beta1^t for beta1: only the correction has the power t
m = beta1 * old_m + (1 - beta1) * g / (1 - beta1**t); m_hat = m  # m has g alone corrected: m^ is m, corrected
v = beta1 * old_v + (1 - beta1) * g**2  # v has beta1, where beta2 belongs
v = (1 - beta2) * old_v + beta2 * g**2  # v has its weights exchanged: beta2 is that of the old v
v = beta2 * old_v + (1 - beta2) * g  # v has g where g^2 belongs: it is a mean of squares
v = beta2 * old_v + (1 - beta2) * abs(g)  # v has |g| where g^2 belongs
v = beta2 * old_v + (1 - beta2) * m**2  # v has m^2 where g^2 belongs: the squares are averaged
v = beta2 * old_v + (1 - beta2) * (m / (1 - beta1**t))**2  # v has m^ squared where g^2 belongs
v = beta2 * old_v + (1 - beta2) * (g - m)**2  # v has (g - m)^2 where g^2 belongs: that is AdaBelief
v = beta2 * old_v + ((1 - beta2) * g)**2  # v has ((1 - beta2) g)^2: the square is g's alone
v = beta2 * old_v + (1 - beta2) * 2 * g  # v has 2 g where g^2 belongs: the square is g**2, not g*2
v = beta2 * old_v + (1 - beta2) * (g**2).mean()  # v has the mean of all g^2: every entry has its own
v = beta2 * old_v + g**2  # v = beta2 v + g^2 is a sum: Adam's v is a mean, so g^2 has 1 - beta2
v = old_v + beta2 * old_v + (1 - beta2) * g**2  # v gets its new value added: v[...] = ..., not v += ...
v = beta2 * old_v + (1 - beta2) * g**2 + eps  # v has eps in it: that belongs to the step, outside the root
v = old_v + g**2  # v = v + g^2 is Adagrad's: Adam forgets, with beta2
v = maximum(beta2 * old_v, abs(g))  # v is a maximum: that is AdaMax
v = maximum(old_v, beta2 * old_v + (1 - beta2) * g**2)  # v never falls: that is AMSGrad's maximum
v = 0.999 * old_v + (1 - 0.999) * g**2  # v has 0.999 written in, where the argument beta2 belongs
v = old_v + (1 - beta2) * g**2  # v lacks beta2: the old v is kept whole, and never forgotten
v = g**2  # v is g^2: nothing is remembered
v = (1 - beta2) * g**2  # v is (1 - beta2) g^2: the old v is lost
v = sqrt(beta2 * old_v + (1 - beta2) * g**2)  # v holds the root: that belongs to the step
m_hat = m; v_hat = v  # there is no bias correction, so the zero start is felt: divide m and v by 1 - beta^t
m_hat = m / (1 - beta1**(t - 1)); v_hat = v / (1 - beta2**(t - 1))  # t - 1 stands for t: it counts from 1
m_hat = m / (1 - beta1**(t + 1)); v_hat = v / (1 - beta2**(t + 1))  # t + 1 stands for t: it counts from 1
m_hat = m / (1 - beta1); v_hat = v / (1 - beta2)  # the power t is missing in both corrections: 1 - beta^t
m_hat = m / (1 - beta1)**t; v_hat = v / (1 - beta2)**t  # (1 - beta)^t stands for 1 - beta^t
m_hat = m * (1 - beta1**t); v_hat = v * (1 - beta2**t)  # the corrections multiply, where they divide
m_hat = m / (1 - beta2**t); v_hat = v / (1 - beta1**t)  # the corrections have beta1 and beta2 exchanged
m_hat = old_m / (1 - beta1**t); v_hat = old_v / (1 - beta2**t)  # the step has the old m and v: update first
m_hat = g; v_hat = g**2  # the step is made of g alone: m and v are made, and not used
m_hat = m  # m stands for m^: it is not corrected for its start at zero
m_hat = g  # g stands for m^: m is made, and not used
m_hat = old_m / (1 - beta1**t)  # the old m stands in m^: m is updated first, then the step is made
m_hat = m / (1 - beta1**t)**2  # m is corrected twice
m_hat = m / sqrt(1 - beta1**t)  # m^ has the root of 1 - beta1^t: only v's correction comes under a root
m_hat = m / (1 - beta2**t)  # m is corrected with beta2
m_hat = m / (1 - beta1**(t - 1))  # m^ has t - 1 for t: t counts from 1
m_hat = m / (1 - beta1**(t + 1))  # m^ has t + 1 for t: the caller has counted this step already
m_hat = m / (1 - beta1)  # m^ has 1 - beta1 for 1 - beta1^t: the power t is missing
m_hat = m / (1 - beta1 * t)  # m^ has beta1 * t for beta1^t: it is a power, **
m_hat = (beta1 * m + (1 - beta1) * g) / (1 - beta1**t)  # m^ is Nesterov's, with g once more
v_hat = v  # v stands for v^: it is not corrected for its start at zero
v_hat = g**2  # g^2 stands for v^: v is made, and not used
v_hat = old_v / (1 - beta2**t)  # the old v stands in v^: v is updated first, then the step is made
v_hat = v / (1 - beta2**t)**2  # v is corrected twice, or outside the root: sqrt(v / (1 - beta2^t)) is asked
v_hat = (v + eps) / (1 - beta2**t)  # eps is added to v as well: it belongs outside the root, sqrt(v^) + eps
v_hat = v / (1 - beta1**t)  # v is corrected with beta1
v_hat = v / (1 - beta2**(t - 1))  # v^ has t - 1 for t: t counts from 1
v_hat = v / (1 - beta2**(t + 1))  # v^ has t + 1 for t: the caller has counted this step already
v_hat = v / (1 - beta2)  # v^ has 1 - beta2 for 1 - beta2^t: the power t is missing
v_hat = v / (1 - beta2 * t)  # v^ has beta2 * t for beta2^t: it is a power, **
root = sqrt(v_hat + eps)  # eps is inside the root, sqrt(v^ + eps): it belongs outside, sqrt(v^) + eps
root = sqrt(v_hat + eps**2)  # eps is inside the root, squared: it belongs outside, sqrt(v^) + eps
root = sqrt(v_hat)  # eps is missing, or too small to count: it is the argument eps, added to the root
root = sqrt(v_hat) - eps  # eps is subtracted: it is added to the root
root = sqrt(v_hat) * (1 + eps)  # eps is added to 1: it is added to the root, sqrt(v^) + eps
root = maximum(sqrt(v_hat), eps)  # the larger of sqrt(v^) and eps is taken: they are added
root = (sqrt(v) + eps) / sqrt(1 - beta2**t)  # eps is added before the correction: this is the paper's eps hat
root = v_hat + eps  # the root is missing: sqrt(v^) + eps is asked
root = v_hat  # the root and eps are missing: sqrt(v^) + eps is asked
root = v_hat**(1 / 3) + eps  # a cube root is taken: sqrt(v^) + eps is asked
root = 1  # nothing divides: sqrt(v^) + eps is missing
step = lr * m_hat * root  # sqrt(v^) + eps is multiplied, where it divides
step = lr * (m_hat / sqrt(v_hat) + eps)  # eps stands outside the fraction: sqrt(v^) + eps wants parentheses
step = lr * m_hat / sqrt(v_hat) + eps  # eps stands outside the fraction: sqrt(v^) + eps wants parentheses
step = lr * sign(m)  # the step is the sign of m alone: m^ / (sqrt(v^) + eps) is asked
step = m_hat / root  # lr is missing
step = 1e-3 * m_hat / root  # 0.001 is written in, where the argument lr belongs
step = lr**2 * m_hat / root  # lr is multiplied in twice
step = lr * m_hat / root / t  # lr is divided by t
step = lr * m_hat / root / sqrt(t)  # lr is divided by sqrt(t)
step = lr * (1 - beta1) * m_hat / root  # lr is multiplied by 1 - beta1
param = before + step  # the step goes up: param - lr ..., and 1 - beta1^t (not beta1^t - 1) in the correction
param = -step  # param holds the step alone: it is what was there, less the step
param = step  # param holds lr m^ / (sqrt(v^) + eps): that is subtracted from what was there
param = before * step  # param is multiplied by the step: the step is subtracted
param = before - step * before  # the step is multiplied by param: it is subtracted as it is
param = m  # param is the same as m: the step is subtracted from what was there
""")


SLIPS.append(
    (
        "m = beta2 * old_m + (1 - beta2) * g**2; v = beta1 * old_v + (1 - beta1) * g; "
        "m_hat = v / (1 - beta1**t); v_hat = m / (1 - beta2**t)",
        "m and v are exchanged: m is the mean of g, v that of g^2",
    )
)


def values_of(param, grad, m, v, t, lr, beta1, beta2, eps, *slips):
    """Every value of the step by its name, with slips or without."""
    given = {"before": param, "g": grad, "old_m": m, "old_v": v, "t": t}
    return walk(WALK, given | {"lr": lr, "beta1": beta1, "beta2": beta2, "eps": eps}, *slips)


# ------------------------------------------------------------------------------ wrong answers


def _wrong(code):
    """Adam with a slip."""

    def adam_update(param, grad, m, v, t, lr, beta1, beta2, eps):
        values = values_of(param, grad, m, v, t, lr, beta1, beta2, eps, code)
        param[...], m[...], v[...] = (values[name] for name in ("param", "m", "v"))

    return Wrong({"adam_update": adam_update}, "a step in the middle of a training", dict(SLIPS)[code])


def _rebinds(param, grad, m, v, *settings):
    """Makes a new param, and returns it."""
    values = values_of(param, grad, m, v, *settings)
    m[...], v[...] = values["m"], values["v"]
    return values["param"]


def _by_rows(param, grad, m, v, *settings):
    """A loop over two axes, which a bias does not have."""
    for i in range(len(param)):
        for j in range(param.shape[1]):
            values = values_of(param[i, j], grad[i, j], m[i, j], v[i, j], *settings)
            param[i, j], m[i, j], v[i, j] = (values[name] for name in ("param", "m", "v"))


WRONG = (
    Wrong(
        {"adam_update": _rebinds},
        "a step in the middle of a training",
        "param is as before: `param = ...` only names a new array",
    ),
    _wrong("m_hat = m; v_hat = v"),
    _wrong("m_hat = m / (1 - beta1**(t - 1)); v_hat = v / (1 - beta2**(t - 1))"),
    _wrong("m = (beta1 * old_m + (1 - beta1) * g) / (1 - beta1**t); m_hat = m"),
    _wrong("root = sqrt(v_hat + eps)"),
    _wrong("root = sqrt(v_hat)"),
    _wrong("v = beta2 * old_v + (1 - beta2) * g"),
    _wrong("v = beta2 * old_v + (1 - beta2) * m**2"),
    _wrong("m = (1 - beta1) * old_m + beta1 * g"),
    _wrong("m = beta1 * old_m + g"),
    _wrong("param = before + step"),
    _wrong("step = m_hat / root"),
    _wrong("m_hat = m"),
    Wrong(
        {"adam_update": _by_rows},
        "six steps, three shapes",
        "a parameter of shape (5,), step 1: adam_update stops with IndexError",
    ),
)
