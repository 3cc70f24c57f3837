"""Exercise: the dense layer, forward and backward."""

import numpy as np

from minivae import gradcheck, ops

from .. import judging
from ..judging import Exercise, Failed, Wrong
from .activation_forward import TEXTBOOK, slope_from_output, slopes

B, N_IN, N_OUT = 11, 4, 3
SIZES = {"B": B, "n_in": N_IN, "n_out": N_OUT}
SQUARE = 5  # all sizes: no wrong product is refused there, so that each can be told by its values
NAMES = ("dx", "dW", "db")
ACTIVATIONS = ("identity", "tanh", "relu", "sigmoid", "softplus")


def example(sizes=(B, N_IN, N_OUT), seed=42):
    """x (B, n_in), W (n_in, n_out), b (n_out,), dy (B, n_out); every preactivation well away from 0."""
    rng = np.random.default_rng(seed)
    batch, n_in, n_out = sizes
    x, W = rng.normal(0.3, 1.0, (batch, n_in)), rng.normal(0.1, 0.6, (n_in, n_out))
    return x, W, rng.normal(0.4, 0.5, n_out), rng.normal(0.2, 1.0, (batch, n_out))


def preactivation(x, W, b):
    """a_ij = sum_k x_ik W_kj + b_j, one entry at a time."""
    rows = [
        [sum(x[i, k] * W[k, j] for k in range(len(W))) + b[j] for j in range(len(b))] for i in range(len(x))
    ]
    return np.array(rows)


def reference(x, W, b, activation):
    """The layer's output, by loops and the textbook's activation."""
    return TEXTBOOK[activation](preactivation(x, W, b))


def derivatives(x, W, b, dy, activation):
    """dx, dW, db: the complex step of sum dy * y."""
    arguments = [x, W, b]

    def along(k):
        def total(value):
            return np.sum(dy * reference(*arguments[:k], value, *arguments[k + 1 :], activation))

        return total

    return [gradcheck.complex_step(along(k), arguments[k]) for k in range(3)]


# ------------------------------------------------------------------------------ what it may have been


def mistaken_outputs(x, W, b, activation):
    """Pairs (words, array): what else may have been computed."""
    act, a, y = TEXTBOOK[activation], x @ W + b, f"y with {activation}"
    others = [
        (f"{y}: it is {other} that was applied; is the name `activation` asked?", TEXTBOOK[other](a))
        for other in TEXTBOOK
        if other not in (activation, "identity")
    ]
    return [
        (f"{y}: the activation is missing, this is x @ W + b", a),
        (f"{y}: the bias b is missing", act(x @ W)),
        (f"{y}: the bias is added after the activation: it belongs inside, act(x @ W + b)", act(x @ W) + b),
        (f"{y}: neither bias nor activation is there, this is x @ W", x @ W),
        (f"{y}: the bias is subtracted", act(x @ W - b)),
        (f"{y}: the bias is added twice", act(a + b)),
        (f"{y}: x @ W is multiplied by b, where b is added", act((x @ W) * b)),
        (f"{y}: every unit gets the same bias", act(x @ W + b.mean())),
        (f"{y}: every unit gets the sum of all biases", act(x @ W + b.sum())),
        (f"{y}: every unit gets the first bias, b[0]", act(x @ W + b[0])),
        (f"{y}: the activation is applied to x, not to x @ W + b", act(x) @ W + b),
        (f"{y}: the activation is applied twice", act(act(a))),
        (f"{y}: x @ W is averaged over the n_in inputs: it is a sum", act(x @ W / len(W) + b)),
        (f"{y}: x @ W is divided by the size of the batch", act(x @ W / len(x) + b)),
        (f"{y}: all is divided by the size of the batch", act(a / len(x))),
        (f"{y}: x @ W is divided by sqrt(n_in)", act(x @ W / np.sqrt(len(W)) + b)),
        (f"{y}: the last input is left out of the sum: does a loop end early?", act(x[:, :-1] @ W[:-1] + b)),
        (f"{y}: the first input is left out of the sum: does a loop begin at 1?", act(x[:, 1:] @ W[1:] + b)),
        *others,
    ]


def mistaken_derivatives(x, W, b, dy, activation):
    """One list for each of dx, dW, db: pairs (words, array), what else may have been computed."""
    a = x @ W + b
    y = TEXTBOOK[activation](a)
    slope = gradcheck.complex_step(lambda v: np.sum(TEXTBOOK[activation](v)), a)
    da, rows = dy * slope, {"first": slice(1, None), "last": slice(None, -1)}
    made = {"dx": lambda da: da @ W.T, "dW": lambda da: x.T @ da, "db": lambda da: da.sum(axis=0)}
    left_out = {end: (x[s].T @ da[s], da[s].sum(axis=0)) for end, s in rows.items()}
    mean = "is averaged over the batch: it is a sum, and the 1/B of the loss is in dy already"
    own = {
        "dx": [
            ("dx is averaged over the n_out units: every unit adds its part", da @ W.T / len(b)),
            (
                "dx is divided by the size of the batch: the 1/B of the loss is in dy already",
                da @ W.T / len(x),
            ),
            ("dx has x multiplied in: the derivative of x @ W by x is W alone", (da @ W.T) * x),
            ("dx has the bias in it: da @ W.T alone is asked", da @ W.T + (da * b).sum(axis=1)[:, None]),
        ],
        "dW": [
            (f"dW {mean}", x.T @ da / len(x)),
            ("dW is divided by n_in: it is a sum over the batch", x.T @ da / len(W)),
            ("dW is the first datum's alone: the sum over the batch is missing", np.outer(x[0], da[0])),
            ("dW is the last datum's alone: = where += adds up the batch?", np.outer(x[-1], da[-1])),
            *((f"dW: the {end} row of the batch is left out", parts[0]) for end, parts in left_out.items()),
        ],
        "db": [
            (f"db {mean}", da.mean(axis=0)),
            ("db is the first row of da: the sum over the batch is missing", da[0]),
            ("db is the last row of da: the sum over the batch is missing", da[-1]),
            ("db is 1 for each datum: it is da, summed over the batch", np.full(len(b), float(len(x)))),
            ("db is multiplied by b: a sum's derivative is 1", da.sum(axis=0) * b),
            ("db is y, summed: da is what comes back", y.sum(axis=0)),
            *((f"db: the {end} row of the batch is left out", parts[1]) for end, parts in left_out.items()),
        ],
    }
    tells = {
        words: other
        for words, other in slopes(activation, y, a).items()
        if activation != "identity" or np.ptp(other)
    }
    through = {f"the activation's derivative is {words}": dy * other for words, other in tells.items()}
    through |= {
        "dy is missing: what comes back from above is a factor of every derivative": slope,
        "dy and the derivative are added: the chain rule multiplies": dy + slope,
        "dy and y are exchanged": y * slope_from_output(activation, dy),
        "the derivative is made of dy > 0, where y > 0 decides": np.where(dy > 0, dy, 0),
        "the activation itself is applied to dy, where its derivative is multiplied by dy": (
            TEXTBOOK[activation](dy)
        ),
        "the activation's derivative is multiplied in twice": da * slope,
        "y is multiplied in": da * y,
        "a is multiplied in": da * a,
        "x @ W is given to the derivative's formula, without b": dy * _at(activation, x @ W),
    }
    averaged = {f"{words}; and it is averaged over the batch": da / len(x) for words, da in through.items()}
    return [
        own[name]
        + [
            (f"{name} with {activation}: {words}", made[name](da))
            for words, da in (through | averaged).items()
        ]
        for name in NAMES
    ]


def _at(activation, a):
    """The slope at a."""
    return gradcheck.complex_step(lambda v: np.sum(TEXTBOOK[activation](v)), a)


def products(x, W, da, y):
    """name -> (right, {product: array}): the products of square matrices that may stand for the right one."""
    factors = {"x": x, "W": W, "da": da, "x.T": x.T, "W.T": W.T, "da.T": da.T, "y": y, "y.T": y.T}

    def pairs(first, second):
        return {
            f"{p} {sign} {q}": factors[p] @ factors[q] if sign == "@" else factors[p] * factors[q]
            for one, other in ((first, second), (second, first))
            for p in (one, f"{one}.T")
            for q in (other, f"{other}.T")
            for sign in "@*"
        }

    return {
        "y": ("x @ W", pairs("x", "W")),
        "dx": ("da @ W.T", pairs("da", "W") | pairs("da", "x")),
        "dW": ("x.T @ da", pairs("x", "da") | pairs("W", "da") | pairs("y", "da")),
    }


# ------------------------------------------------------------------------------ checks


def check_output(its):
    """y by a slow loop, with each activation; the cache is not looked at."""
    for activation in ACTIVATIONS:
        x, W, b, _ = example()
        with _square(its, activation):
            y, _ = _forward(its, x, W, b, activation)
            judging.array(f"y with {activation}", y, (B, N_OUT), SIZES)
        want = reference(x, W, b, activation)
        judging.expect(
            f"y with {activation}",
            y,
            want,
            SIZES,
            wrong=mistaken_outputs(x, W, b, activation) + _firsts("dense_forward", x, W, b, activation),
            terms={"y": want, "x @ W": x @ W, "b": 0 * want + b, "act(x @ W)": TEXTBOOK[activation](x @ W)},
            formula={"y": 1.0},
        )
    y, _ = _forward(its, x, W, b)
    judging.expect("y", y, x @ W + b, SIZES, note="activation is not given, so it is identity")


def _forward(its, *args):
    return judging.values("dense_forward", its.dense_forward(*args), ("y", "cache"))


def _firsts(name, *args):
    return [(words, result[0]) for words, result in judging.mistaken(WRONG, name, *args)]


def check_derivatives(its):
    """dx, dW, db against the complex step of the slow loop, one activation after the other."""
    for activation in ACTIVATIONS:
        x, W, b, dy = example()
        with _square(its, activation):
            _, cache = _forward(its, x, W, b, activation)
            results = judging.values("dense_backward", its.dense_backward(dy, cache), NAMES)
            wants = derivatives(x, W, b, dy, activation)
            _all_or_none(results, wants)
        listed = judging.mistaken(
            WRONG, "dense_backward", dy, (x, W, reference(x, W, b, activation), activation)
        )
        guesses = mistaken_derivatives(x, W, b, dy, activation)
        terms = {
            "dx": {"da @ W.T": wants[0], "x": x, "1": np.ones_like(x)},
            "dW": {"x.T @ da": wants[1], "W": W, "1": np.ones_like(W)},
            "db": {"da.sum(axis=0)": wants[2], "b": b, "1": np.ones_like(b)},
        }
        for k, name in enumerate(NAMES):
            judging.expect(
                f"{name} with {activation}",
                results[k],
                wants[k],
                SIZES,
                terms=terms[name],
                formula={next(iter(terms[name])): 1.0},
                wrong=guesses[k] + [(words, made[k]) for words, made in listed if made[k] is not None],
            )


def _all_or_none(results, wants):
    """Types and shapes of all three, before any value: and whether they are in another order."""
    judging.in_order(NAMES, results, wants)
    for name, got, want in zip(NAMES, results, wants, strict=True):
        judging.array(name, got, want.shape, SIZES)


class _square:
    """Where shapes do not fit, ask the same of square matrices, and say which product was taken."""

    def __init__(self, its, activation):
        self.its, self.activation = its, activation

    def __enter__(self):
        return self

    def __exit__(self, kind, failed, trace):
        if kind is Failed and (" stops with " in failed.sentence or " has shape " in failed.sentence):
            words = self.words()
            if words:
                raise Failed(words, [failed.sentence, *failed.details], failed.line) from failed

    def words(self):
        """Which product stands for the right one, or None."""
        x, W, b, dy = example((SQUARE,) * 3)
        activation, act = self.activation, TEXTBOOK[self.activation]
        da = dy * _at(activation, x @ W + b)
        try:
            results = {"y": self.its.dense_forward(x, W, b, activation)[0]}
            if judging.close(results["y"], act(x @ W + b)):
                cache = self.its.dense_forward(x, W, b, activation)[1]
                results = dict(zip(NAMES, self.its.dense_backward(dy, cache), strict=True))
        except (Failed, TypeError, ValueError, IndexError):
            return None
        y = act(x @ W + b)
        found, bare = products(x, W, da, y), products(x, W, dy, y)
        for name, got in results.items():
            right, guesses = found.get(name, ("", {}))
            if right and judging.close(got, guesses[right]):
                continue
            for product, value in guesses.items():
                if name == "y":
                    tries = {
                        f"{product} + b": act(value + b),
                        f"{product} + b[:, None]": act(value + b[:, None]),
                    }
                else:
                    tries = {product: value, product.replace("da", "dy"): bare[name][1][product]}
                for what, guess in tries.items():
                    if judging.close(got, guess):
                        return _products_words(name, what, right)
            sums = {"summed over the units": da.sum(axis=1), "not da but x, summed": x.sum(axis=0)}
            for what, guess in sums.items():
                if name == "db" and judging.close(got, guess):
                    return f"db is {what}: it is da, summed over the batch, axis 0"
        return None


def _products_words(name, what, right):
    if name == "y":
        return f"y is made of {what}, where x @ W + b is asked: x is (B, n_in), W (n_in, n_out), b (n_out,)"
    shapes = {"dx": "(B, n_out) times (n_out, n_in)", "dW": "(n_in, B) times (B, n_out)"}
    return f"{name} is {what}, where {right} is asked: {shapes[name]}, as its shape tells"


def check_no_input_gradient(its):
    """With input_gradient=False dx may be anything, dW and db are the same."""
    x, W, b, dy = example()
    _, cache = _forward(its, x, W, b, "tanh")
    result = its.dense_backward(dy, cache, input_gradient=False)
    _, dW, db = judging.values("dense_backward with input_gradient=False", result, ("dx (None)", "dW", "db"))
    wants = derivatives(x, W, b, dy, "tanh")
    judging.expect("dW", dW, wants[1], SIZES, note="input_gradient=False: only dx is left out")
    judging.expect("db", db, wants[2], SIZES, note="input_gradient=False: only dx is left out")


def check_two_layers(its):
    """Both layers forward, then both backward; and what was given to them stays as it was."""
    (x, W1, b1, _), (_, W2, b2, dy) = example((B, N_IN, 6), 43), example((B, 6, N_OUT), 44)
    given = {"x": x, "W": W1, "b": b1, "dy": dy}
    kept = {name: array.copy() for name, array in given.items()}
    with np.errstate(all="ignore"):
        forward, backward = its.raw("dense_forward"), its.raw("dense_backward")
        try:
            h, first = forward(x, W1, b1, "tanh")
            kept["y"], given["y"] = h.copy(), h
            _, second = forward(h, W2, b2, "sigmoid")
            dh, *_ = backward(dy, second)
            dh = np.array(dh)
            got = backward(dh, first)
        except Exception as error:
            found = judging.stopped("dense_backward", error, its.raw("dense_backward"))
            raise Failed(OUTSIDE, [found.sentence, *found.details], found.line) from error
    for name, array in kept.items():
        if not np.array_equal(array, given[name]):
            raise Failed(
                f"{name} is not what it was after backward: the cache refers to the caller's own {name}, and "
                "writing into it (+=, *=, [...] =) changes it there",
                judging.evidence(given[name], array),
            )
    wants = [derivatives(h, W2, b2, dy, "sigmoid")[0], *derivatives(x, W1, b1, dh, "tanh")]
    for name, value, want in zip(("dx", *NAMES), (dh, *got), wants, strict=True):
        if not judging.close(value, want):
            raise Failed(OUTSIDE, [f"{name} of one layer is right, and of the first of two it is not"])


OUTSIDE = (
    "after a second layer's forward the first one's backward is wrong: something that backward needs is kept "
    "in a global variable or an attribute, and was written over. It must travel in the cache"
)

CHECKS = {
    "the output": check_output,
    "the derivatives": check_derivatives,
    "without the input's derivative": check_no_input_gradient,
    "two layers, one after the other": check_two_layers,
}
OUTPUT, SLOPE, WITHOUT, TWO = CHECKS


# ------------------------------------------------------------------------------ wrong answers


def _output(value):
    """A forward pass with another output; value(x, W, b, act)."""

    def dense_forward(x, W, b, activation="identity"):
        y = value(x, W, b, TEXTBOOK[activation])
        return y, (x, W, y, activation)

    return {"dense_forward": dense_forward}


def _backward(change):
    """A backward pass with another dx, dW or db; change(dy, da, x, W) -> what is different."""

    def dense_backward(dy, cache, input_gradient=True):
        x, W, y, activation = cache
        act = {"identity": np.ones_like(y), "relu": y > 0, "tanh": 1 - y * y}
        act |= {"sigmoid": y * (1 - y), "softplus": -np.expm1(-y)}
        da = dy * act[activation]
        right = {"dx": da @ W.T, "dW": x.T @ da, "db": da.sum(axis=0)}
        return tuple((right | change(dy, da, x, W)).values())

    return {"dense_backward": dense_backward}


_memory = {}


def _remembering():
    """A layer that keeps what backward needs in a global variable."""

    def dense_forward(x, W, b, activation="identity"):
        _memory["layer"] = ops.dense_forward(x, W, b, activation)
        return _memory["layer"][0], None

    def dense_backward(dy, cache, input_gradient=True):
        return ops.dense_backward(dy, _memory["layer"][1], input_gradient)

    return {"dense_forward": dense_forward, "dense_backward": dense_backward}


def _writes():
    """A backward pass that writes its da where y stood."""

    def dense_backward(dy, cache, input_gradient=True):
        x, W, y, activation = cache
        da = ops.activation_backward(dy, y, activation)
        y[...] = da
        return da @ W.T, x.T @ da, da.sum(axis=0)

    return {"dense_backward": dense_backward}


WRONG = (
    Wrong(
        _output(lambda x, W, b, act: act(x @ W) + b),
        OUTPUT,
        "y with tanh: the bias is added after the activation: it belongs inside, act(x @ W + b)",
    ),
    Wrong(
        _output(lambda x, W, b, act: x @ W + b),
        OUTPUT,
        "y with tanh: the activation is missing, this is x @ W + b",
    ),
    Wrong(
        _output(lambda x, W, b, act: act(x @ W.T + b)),
        OUTPUT,
        "y is made of x @ W.T + b, where x @ W + b is asked: x is (B, n_in), W (n_in, n_out), b (n_out,)",
    ),
    Wrong(
        _backward(lambda dy, da, x, W: {"dx": da @ W}),
        SLOPE,
        "dx is da @ W, where da @ W.T is asked: (B, n_out) times (n_out, n_in), as its shape tells",
    ),
    Wrong(
        _backward(lambda dy, da, x, W: {"dx": W @ da}),
        SLOPE,
        "dx is W @ da, where da @ W.T is asked: (B, n_out) times (n_out, n_in), as its shape tells",
    ),
    Wrong(
        _backward(lambda dy, da, x, W: {"dW": x @ da}),
        SLOPE,
        "dW is x @ da, where x.T @ da is asked: (n_in, B) times (B, n_out), as its shape tells",
    ),
    Wrong(
        _backward(lambda dy, da, x, W: {"dx": dy @ W.T, "dW": x.T @ dy, "db": dy.sum(axis=0)}),
        SLOPE,
        "dx with tanh: the activation's derivative is missing: dy is handed on as it is",
    ),
    Wrong(
        _backward(lambda dy, da, x, W: {"db": dy.sum(axis=0)}),
        SLOPE,
        "db with tanh: the activation's derivative is missing: dy is handed on as it is",
    ),
    Wrong(
        _backward(lambda dy, da, x, W: {"db": da.mean(axis=0)}),
        SLOPE,
        "db is averaged over the batch: it is a sum, and the 1/B of the loss is in dy already",
    ),
    Wrong(
        _backward(lambda dy, da, x, W: {"dW": x.T @ da / len(x)}),
        SLOPE,
        "dW is averaged over the batch: it is a sum, and the 1/B of the loss is in dy already",
    ),
    Wrong(
        _backward(lambda dy, da, x, W: {"dW": x[:-1].T @ da[:-1]}),
        SLOPE,
        "dW: the last row of the batch is left out",
    ),
    Wrong(
        _backward(lambda dy, da, x, W: {"db": da.sum(axis=0, keepdims=True)}),
        SLOPE,
        "db has shape (1, 3), expected (3,): a kept axis will broadcast",
    ),
    Wrong(_remembering(), TWO, OUTSIDE),
    Wrong(_writes(), TWO, "y is not what it was after backward: the cache refers to the caller's own y"),
)


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
