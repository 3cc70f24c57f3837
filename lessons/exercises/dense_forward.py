"""Exercise: the dense layer, forward and backward."""

import numpy as np

from minivae import gradcheck, ops

from .. import judging
from ..judging import Exercise, Failed
from ..slips import dense_forward as slips
from ..slips.activation_forward import TEXTBOOK
from ..slips.dense_forward import NAMES, WRONG

B, N_IN, N_OUT = 11, 4, 3
SIZES = {"B": B, "n_in": N_IN, "n_out": N_OUT}
ACTIVATIONS = ("identity", "tanh", "relu", "sigmoid", "softplus")


def example(sizes=(B, N_IN, N_OUT), seed=42):
    """x (B, n_in), W (n_in, n_out), b (n_out,), dy (B, n_out)."""
    rng = np.random.default_rng(seed)
    batch, n_in, n_out = sizes
    x, W = rng.normal(0.3, 1.0, (batch, n_in)), rng.normal(0.1, 0.6, (n_in, n_out))
    return x, W, rng.normal(0.4, 0.5, n_out), rng.normal(0.2, 1.0, (batch, n_out))


def reference(x, W, b, activation):
    """The layer's output, by the loops of a_ij = sum_k x_ik W_kj + b_j and the textbook's activation."""
    entries = [sum(row[k] * W[k, j] for k in range(len(W))) + b[j] for row in x for j in range(len(b))]
    return TEXTBOOK[activation](np.reshape(entries, (len(x), len(b))))


def derivatives(x, W, b, dy, activation):
    """dx, dW, db: the complex step of sum dy * y."""
    return [
        gradcheck.complex_step(lambda v: np.sum(dy * reference(v, W, b, activation)), x),
        gradcheck.complex_step(lambda v: np.sum(dy * reference(x, v, b, activation)), W),
        gradcheck.complex_step(lambda v: np.sum(dy * reference(x, W, v, activation)), b),
    ]


# ------------------------------------------------------------------------------ checks


def check_output(its):
    """y with each activation; the cache is not looked at."""
    x, W, b, _ = example()
    terms = {"x @ W": x @ W, "b": np.broadcast_to(b, (B, N_OUT)), "1": np.ones((B, N_OUT))}  # of identity
    for activation in ACTIVATIONS:
        with slips.told_by_squares(its, activation):
            y, _ = _forward(its, x, W, b, activation)
            judging.array(f"y with {activation}", y, (B, N_OUT), SIZES)
        want, wrong = reference(x, W, b, activation), slips.outputs(x, W, b, activation)
        judging.expect(
            f"y with {activation}", y, want, SIZES, wrong=wrong, terms=terms, formula={"x @ W": 1.0, "b": 1.0}
        )
        terms = None  # of the others y is no sum
    y, _ = _forward(its, x, W, b)
    judging.expect("y", y, x @ W + b, SIZES, note="activation is not given, so it is identity")


def _forward(its, *args):
    return judging.values("dense_forward", its.dense_forward(*args), ("y", "cache"))


def check_derivatives(its):
    """dx, dW, db against the complex step of the slow loop, one activation after the other."""
    x, W, b, dy = example()
    for activation in ACTIVATIONS:
        wants = derivatives(x, W, b, dy, activation)
        with slips.told_by_squares(its, activation):
            _, cache = _forward(its, x, W, b, activation)
            results = judging.values("dense_backward", its.dense_backward(dy, cache), NAMES)
            if results[0] is None:
                raise Failed("dx is None without input_gradient=False: is the condition the wrong way round?")
            judging.in_order(NAMES, results, wants)
            for name, got, want in zip(NAMES, results, wants, strict=True):
                judging.array(name, got, want.shape, SIZES)
        wrong = slips.derivatives(x, W, b, dy, activation)
        for name, of, got, want in zip(NAMES, (x, W, b), results, wants, strict=True):
            terms = {f"the right {name}": want, name[1:]: of, "1": np.ones_like(of)}
            formula = {f"the right {name}": 1.0}
            judging.expect(
                f"{name} with {activation}", got, want, SIZES, wrong=wrong[name], terms=terms, formula=formula
            )


def check_no_input_gradient(its):
    """With input_gradient=False dx may be anything, dW and db are the same."""
    x, W, b, dy = example()
    _, cache = _forward(its, x, W, b, "tanh")
    result = its.dense_backward(dy, cache, input_gradient=False)
    result = judging.values("dense_backward with input_gradient=False", result, ("dx (None)", "dW", "db"))
    wants = derivatives(x, W, b, dy, "tanh")
    with judging.noted("input_gradient=False: only dx is left out"):
        for k in (1, 2):
            judging.expect(NAMES[k], result[k], wants[k], SIZES)


def check_two_layers(its):
    """Both layers forward, then both backward; and what was given to them stays as it was."""
    (x, W1, b1, _), (_, W2, b2, dy) = example((B, N_IN, 6), 43), example((B, 6, N_OUT), 44)
    forward, backward = its.raw("dense_forward"), its.raw("dense_backward")
    try:
        with np.errstate(all="ignore"):
            h, first = forward(x, W1, b1, "tanh")
            y, second = forward(h, W2, b2, "sigmoid")
            given = [("x", x), ("W", W1), ("b", b1), ("dy", dy), ("y", h), ("y", y)]
            kept = [array.copy() for _, array in given]
            dh = np.array(backward(dy, second)[0])
            got = backward(dh, first)
    except Exception as error:
        found = judging.stopped("dense_backward", error, judging.file_of(backward))
        raise Failed(slips.OUTSIDE, [found.sentence, *found.details], found.line) from error
    for (name, array), before in zip(given, kept, strict=True):
        if not np.array_equal(array, before):
            raise Failed(
                f"{name} is not what it was after backward: the cache refers to the caller's own {name}, and "
                "writing into it (+=, *=, [...] =) changes it there",
                judging.evidence(array, before),
            )
    wants = [derivatives(h, W2, b2, dy, "sigmoid")[0], *derivatives(x, W1, b1, dh, "tanh")]
    for name, value, want in zip(("dx", *NAMES), (dh, *got), wants, strict=True):
        if not judging.close(value, want):
            raise Failed(slips.OUTSIDE, [f"{name} of one layer is right, and of the first of two it is not"])


def check_ones(its):
    """Axes of size 1 stay."""
    x, W, b, dy = example((1, 1, 1))
    y, cache = _forward(its, x, W, b, "tanh")
    results = judging.values("dense_backward", its.dense_backward(dy, cache), NAMES)
    wants = [reference(x, W, b, "tanh"), *derivatives(x, W, b, dy, "tanh")]
    for name, got, want in zip(("y", *NAMES), (y, *results), wants, strict=True):
        judging.ones(name, got, want.shape, "x and W have shape (1, 1)")
        judging.expect(name, got, want, note="x and W have shape (1, 1)")


CHECKS = {
    "the output": check_output,
    "the derivatives": check_derivatives,
    "without the input's derivative": check_no_input_gradient,
    "two layers, one after the other": check_two_layers,
    "a single unit": check_ones,
}

EXERCISE = Exercise(
    lesson=4,
    title="Send a derivative back through a dense layer",
    task="""
    Write the dense layer y = act(x @ W + b) and its way back. `activation` is one of "identity", "relu",
    "tanh", "softplus", "sigmoid"; take `from minivae import ops` and ops.activation_forward(a, activation),
    ops.activation_backward(dy, y, activation), or write the activations by hand.

    Forward returns two things, y and a cache. What the cache is, is your own affair: whatever forward returns
    is handed to backward, which must not need anything else. Backward is given dy, the derivative of the loss
    by y, and returns three, dx, dW and db, each of the shape of what it is the derivative of. dy has the
    loss's 1/B in it already.
    """,
    functions=(ops.dense_forward, ops.dense_backward),
    hints=(
        "Where to look: lesson 4. Go back a step at a time: from dy to da, the derivative by a = x @ W + b, "
        "then from da to x, W and b. Shapes tell most of it: there is one way to make (n_in, n_out) out of x "
        "(B, n_in) and da (B, n_out) by a product, and one to make (B, n_in) out of da and W.",
        "The formula: a_ij = sum_k x_ik W_kj + b_j, so dx_ik = sum_j da_ij W_kj, dW_kj = sum_i x_ik da_ij, "
        "db_j = sum_i da_ij: sums over whatever index is left, never means. da = dy * act'(a).",
        "All but the last line:\n"
        "    y = ops.activation_forward(x @ W + b, activation)    # (B, n_out)\n"
        "    cache = (x, W, y, activation)\n"
        "and backward:\n"
        "    x, W, y, activation = cache\n"
        "    da = ops.activation_backward(dy, y, activation)      # (B, n_out)\n"
        "    dx = da @ W.T                                        # (B, n_in)\n"
        "    dW = x.T @ da                                        # (n_in, n_out)\n"
        "    db = da.sum(axis=0)                                  # (n_out,)",
    ),
    checks=CHECKS,
    wrong=WRONG,
)
