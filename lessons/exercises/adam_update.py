"""Take a step of Adam, in place

Write one step of Adam for one parameter, of any shape. param, m and v are arrays that the optimizer keeps:
write their new values into them (m[...] = ..., param -= ...), and return nothing. Do not write the corrected
m^ and v^ into m and v: they are used in this step only. t is the number of the step, 1 in the first; do not
change grad.

Where to look: lesson 8; the docstring has every formula. Update m and v first, then param, which needs the
new values of both. `m = ...` would only give the name m to a new array; m[...] = ... writes into the array
that the optimizer keeps.

The formula: m <- beta1 m + (1 - beta1) g, v <- beta2 v + (1 - beta2) g^2, and param <- param - lr * m^ /
(sqrt(v^) + eps), where m^ = m / (1 - beta1^t) and v^ = v / (1 - beta2^t). eps is outside the root.
"""

import numpy as np

from minivae import optimizers

from . import Exercise, Part

SETTINGS = {
    "t": 5,
    "lr": 0.05,
    "beta1": 0.7,
    "beta2": 0.95,
    "eps": 0.3,
}  # eps is large enough to see where it is


def middle(rng, n, shape=None):
    """param, grad, m, v in the middle of a training: nothing is zero, v is positive."""
    shape = (n.H, n.L) if shape is None else shape
    param, grad, m = (np.asarray(rng.normal(0.2, 1.0, shape)) for _ in range(3))
    return {"param": param, "grad": grad, "m": m, "v": np.asarray(rng.uniform(0.2, 2.0, shape))} | SETTINGS


def first(rng, n):
    """The first step, from m = v = 0."""
    args = middle(rng, n)
    return args | {"m": 0 * args["m"], "v": 0 * args["v"], "t": 1}


def still(rng, n):
    """No gradient, and none before: param must stay."""
    args = first(rng, n)
    return args | {"grad": 0 * args["grad"], "eps": 1e-8}


def late(rng, n):
    """The usual settings after a thousand steps."""
    return middle(rng, n) | {"t": 1000, "lr": 1e-3, "beta1": 0.9, "beta2": 0.999, "eps": 1e-8}


ADAM = Part(
    optimizers.adam_update,
    returns="m v param",
    writes=("m", "v", "param"),
    walk="""
        m[...] = beta1 * old_m + (1 - beta1) * grad
        v[...] = beta2 * old_v + (1 - beta2) * grad**2
        m_hat = m / (1 - beta1**t); v_hat = v / (1 - beta2**t)
        root = sqrt(v_hat) + eps
        step = lr * m_hat / root
        param[...] = old_param - step
    """,
    slips="""
    m = (beta1 * old_m + (1 - beta1) * grad) / (1 - beta1**t); m_hat = m
    v = (beta2 * old_v + (1 - beta2) * grad**2) / (1 - beta2**t); v_hat = v
        # m or v is overwritten with its corrected value: m_hat and v_hat are used in this step only
    m = (1 - beta1) * old_m + beta1 * grad  # the two weights of m are swapped: beta1 is that of the old m
    v = (1 - beta2) * old_v + beta2 * grad**2  # the weights of v are swapped: beta2 is that of the old v
    m = beta1 * old_m + grad  # m is a sum, as in SGD with momentum: grad needs the weight 1 - beta1
    m = old_m * (beta1 + (1 - beta1) * grad)  # m *= beta1 + ... multiplies the whole sum
    m = old_m + beta1 * old_m + (1 - beta1) * grad
    v = old_v + beta2 * old_v + (1 - beta2) * grad**2  # the new value is added to the old: write =, not +=
    m = beta1**t * old_m + (1 - beta1**t) * grad  # m has beta1^t: only the correction has the power t
    m = beta1 * old_m + (1 - beta1) * grad / (1 - beta1**t); m_hat = m
        # only the new gradient is corrected: m_hat is all of m, divided by 1 - beta1^t
    m = beta2 * old_m + (1 - beta2) * grad  # m has beta2 where beta1 belongs
    v = beta1 * old_v + (1 - beta1) * grad**2  # v has beta1 where beta2 belongs
    m = 0.9 * old_m + (1 - 0.9) * grad  # m has 0.9 where the argument beta1 belongs
    v = 0.999 * old_v + (1 - 0.999) * grad**2  # v has 0.999 where the argument beta2 belongs
    v = beta2 * old_v + (1 - beta2) * (grad**2).mean()  # v has the mean of grad^2: each entry has its own
    v = beta2 * old_v + (1 - beta2) * grad**2 + eps  # v has eps in it: that belongs to the step
    v = old_v + grad**2  # v is the sum of all squares, as in Adagrad: Adam's is a running mean, with beta2
    v = sqrt(beta2 * old_v + (1 - beta2) * grad**2)
    v = sqrt(beta2 * old_v + (1 - beta2) * grad**2); v_hat = v**2 / (1 - beta2**t)
        # v is stored as a root: the root belongs to the step
    m = beta2 * old_m + (1 - beta2) * grad**2; v = beta1 * old_v + (1 - beta1) * grad; \
    m_hat = v / (1 - beta1**t); v_hat = m / (1 - beta2**t)  # m and v are swapped: v is the mean of grad^2
    m_hat = m; v_hat = v  # the bias correction is missing: divide m by 1 - beta1^t and v by 1 - beta2^t
    m_hat = m / (1 - beta1**(t - 1)); v_hat = v / (1 - beta2**(t - 1))
    m_hat = m / (1 - beta1**(t - 1))
    v_hat = v / (1 - beta2**(t - 1))  # t - 1 is used where t belongs: t starts at 1
    m_hat = m / (1 - beta1**(t + 1)); v_hat = v / (1 - beta2**(t + 1))  # t + 1 is used where t belongs
    m_hat = m / (1 - beta1); v_hat = v / (1 - beta2)  # the power t is missing in the corrections
    m_hat = m / (1 - beta1)**t; v_hat = v / (1 - beta2)**t  # (1 - beta)^t is used where 1 - beta^t belongs
    m_hat = m / (1 - beta2**t); v_hat = v / (1 - beta1**t)  # beta1 and beta2 are swapped in the corrections
    m_hat = old_m / (1 - beta1**t); v_hat = old_v / (1 - beta2**t)
    m_hat = old_m / (1 - beta1**t)
    v_hat = old_v / (1 - beta2**t)  # the step uses the old m or v: update them first
    m_hat = grad; v_hat = grad**2
    v_hat = grad**2  # the step is computed from the gradient: m or v is updated but not used
    root = sqrt(v_hat + eps)
    root = sqrt(v_hat + eps**2)  # eps is inside the root: it belongs outside, sqrt(v_hat) + eps
    root = sqrt(v_hat) + SMALL  # SMALL is added instead of the argument eps
    root = (sqrt(v) + eps) / sqrt(1 - beta2**t)
    step = lr * sqrt(1 - beta2**t) / (1 - beta1**t) * m / (sqrt(v) + eps)
        # eps is added to the uncorrected root: the root is sqrt(v_hat) + eps
    step = lr * (m_hat / sqrt(v_hat) + eps)
    step = lr * m_hat / sqrt(v_hat) + eps  # eps is outside the fraction: sqrt(v_hat) + eps divides
    param = old_param - step - lr * SMALL * old_param  # this has weight decay, which is not part of Adam
    """,
    cases={
        "a step in the middle of a training": middle,
        "the first step": first,
        "no gradient": still,
        "parameters of one axis": lambda rng, n: middle(rng, n, (n.H,)),
        "parameters of three axes, and of none": lambda rng, n: middle(
            rng, n, (n.B, 2, n.L) if n.B > 1 else ()
        ),
        "after a thousand steps": late,
    },
)

EXERCISE = Exercise(__doc__, lesson=8, parts=(ADAM,))
