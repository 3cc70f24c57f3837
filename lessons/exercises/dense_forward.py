"""Send a derivative back through a dense layer

Write the dense layer y = act(x @ W + b) and its backward pass. `activation` is one of "identity", "relu",
"tanh", "softplus", "sigmoid"; use `from minivae import ops` and ops.activation_forward(a, activation),
ops.activation_backward(dy, y, activation), or write the activations by hand.

dense_forward returns y and a cache. You decide what the cache holds: dense_backward gets this cache and must
not need anything else from the forward pass. dense_backward also gets dy, the derivative of the loss with
respect to y. It returns dx, dW and db, with the shapes of x, W and b; dx is None if input_gradient is False.
dy already contains the 1/B of the loss.

Where to look: lesson 4. Go back one step at a time: from dy to da, the derivative with respect to a = x @ W +
b, then from da to dx, dW and db. The shapes show which product is right: there is one way to make (n_in,
n_out) from x (B, n_in) and da (B, n_out), and one way to make (B, n_in) from da and W.

The formula: a_ij = sum_k x_ik W_kj + b_j, so dx_ik = sum_j da_ij W_kj, dW_kj = sum_i x_ik da_ij, db_j = sum_i
da_ij. These are sums, never means, over the index that is missing on the left side. da = dy * act'(a).
"""

from minivae import ops

from ..calls import Failed, one_or_several
from ..cases import normal
from . import Exercise, Part
from .activation_forward import OUTPUT


def draw(rng, n):
    """x (B, n_in), W (n_in, n_out), b (n_out,) for each activation; n_in = D, n_out = H."""
    args = normal(x="BD", W="DH", b="H")(rng, n)
    args["x"][1:2] *= 20  # a clip shows
    return [(f"activation {name!r}", args | {"activation": name}) for name in OUTPUT]


def draw_backward(rng, n):
    """The same with dy (B, n_out), the output y, and input_gradient."""
    dy, found = normal(dy="BH")(rng, n), draw(rng, n)
    for _, args in found:
        y = OUTPUT[args["activation"]](args["x"] @ args["W"] + args["b"])
        args |= dy | {"y": y, "input_gradient": True}
    return [*found, ("input_gradient=False", found[1][1] | {"input_gradient": False})]


def forward(its, x, W, b, activation):
    """y; "identity" is not passed, it is the default."""
    result = its.dense_forward(x, W, b, *([] if activation == "identity" else [activation]))
    return one_or_several("dense_forward", result, ("y", "cache"))[0]


def backward(its, dy, y, input_gradient, **layer):
    """dx, dW, db after another call of forward, as a network makes it."""
    x, W, b, activation = layer.values()
    cache = one_or_several("dense_forward", its.dense_forward(*layer.values()), ("y", "cache"))[1]
    its.between("dense_forward", x[::-1] * 0.5, -W, b + 1, activation)
    result = one_or_several("dense_backward", its.dense_backward(dy, cache), ("dx", "dW", "db"))
    if input_gradient:
        return result
    fewer = its.dense_backward(dy, cache, input_gradient=False)
    dx, *others = one_or_several("dense_backward", fewer, ("dx (None)", "dW", "db"))
    if dx is not None:
        raise Failed("dx is computed although input_gradient=False: return None for it")
    return result[0], *others


FORWARD = Part(
    ops.dense_forward,
    returns="y",
    walk="""
        a = x @ W + b  # (B, n_out)
        y = ops.activation_forward(a, activation)  # (B, n_out)
    """,
    shown="{walk}\nreturn y, (x, W, y, activation)",
    slips="""
    y = a  # the activation is missing: y is x @ W + b
    y = ops.activation_forward(x @ W, activation) + b
        # the bias is added after the activation: it belongs inside, act(x @ W + b)
    y = ops.activation_forward(x, activation) @ W + b  # the activation is applied to x, not to x @ W + b
    a = x @ W + b[:, None]  # b gets a new axis in the wrong place: b is (n_out,), like the last axis of x @ W
    """,
    cases={"the output": draw},
    call=forward,
)

BACKWARD = Part(
    ops.dense_backward,
    returns="dx dW db",
    walk="""
        da = ops.activation_backward(dy, y, activation)  # (B, n_out)
        dx = da @ W.T  # (B, n_in)
        dW = x.T @ da  # (n_in, n_out)
        db = da.sum(axis=0)  # (n_out,)
    """,
    shown="x, W, y, activation = cache\n{walk}\nreturn dx if input_gradient else None, dW, db",
    slips="""
    da = ops.activation_backward(dy, ops.activation_forward(y, activation), activation)
        # the activation is applied again: y is its output already
    da = ops.activation_backward(dy, x @ W + b, activation)
        # the derivative is computed from a = x @ W + b: the formulas need the output y
    da = ops.activation_backward(ops.activation_backward(dy, y, activation), y, activation)
        # the activation's derivative is applied twice
    dW = x[-1:].T @ da[-1:]  # dW is that of the last row alone: is there = instead of += in a loop?
    """,
    cases={"the derivatives": draw_backward},
    call=backward,
)

EXERCISE = Exercise(__doc__, lesson=4, parts=(FORWARD, BACKWARD))
