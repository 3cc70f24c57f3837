"""What goes wrong with a dense layer."""

import contextlib

import numpy as np

from minivae import ops

from ..judging import Failed, Wrong, close
from .activation_forward import TEXTBOOK, slope_from_output, slopes

OUTPUT, SLOPE, TWO = "the output", "the derivatives", "two layers, one after the other"
NAMES = ("dx", "dW", "db")

OUTSIDE = (
    "after a second layer's forward the first one's backward is wrong: something that backward needs is kept "
    "in a global variable or an attribute, and was written over. It must travel in the cache"
)
NO_SUM = "it is a sum, and the 1/B of the loss is in dy already"
NO_SLOPE = "the activation's derivative is missing, and dy is handed on as it is"


def outputs(x, W, b, activation):
    """Pairs (sentence, y): what else may have been computed."""
    act, a, y = TEXTBOOK[activation], x @ W + b, f"y with {activation}"
    others = {name: other for name, other in TEXTBOOK.items() if name not in (activation, "identity")}
    asked = "that was applied; is the name `activation` asked?"
    return [
        (f"{y}: the activation is missing, this is x @ W + b", a),
        (f"{y}: the bias b is missing", act(x @ W)),
        (f"{y}: the bias is added after the activation: it belongs inside, act(x @ W + b)", act(x @ W) + b),
        (f"{y}: every unit gets the sum of all biases", act(x @ W + b.sum())),
        (f"{y}: every unit gets the first bias, b[0]", act(x @ W + b[0])),
        (f"{y}: the activation is applied to x, not to x @ W + b", act(x) @ W + b),
        (f"{y}: the activation is applied twice", act(act(a))),
        (f"{y}: x @ W is averaged over the n_in inputs: it is a sum", act(x @ W / len(W) + b)),
        (f"{y}: the last input is left out of the sum: does a loop end early?", act(x[:, :-1] @ W[:-1] + b)),
        (f"{y}: the first input is left out of the sum: does a loop begin at 1?", act(x[:, 1:] @ W[1:] + b)),
        *((f"{y}: it is {name} {asked}", other(a)) for name, other in others.items()),
    ]


def derivatives(x, W, b, dy, activation):
    """name -> pairs (sentence, array): what else dx, dW or db may be."""
    act, a = TEXTBOOK[activation], x @ W + b
    slope = slope_from_output(activation, act(a))
    da = dy * slope
    named = slopes(activation, act(a), a)
    if activation == "identity":
        named = {words: other for words, other in named.items() if np.ptp(other)}
    through = {f"the activation's derivative is {words}": dy * other for words, other in named.items()} | {
        "dy is missing: what comes back from above is a factor of every derivative": slope,
        "y is handed on: it is dy that comes back": act(a),
        "dy and the derivative are added: the chain rule multiplies": dy + slope,
        "the derivative is made of dy > 0, where y > 0 decides": np.where(dy > 0, dy, 0),
        "the activation itself is applied to dy: its derivative is multiplied by dy": act(dy),
        "the activation's derivative is multiplied in twice": da * slope,
        "x @ W, without b, is where the derivative is taken": dy * slope_from_output(activation, act(a - b)),
    }
    made = {"dx": lambda x, da: da @ W.T, "dW": lambda x, da: x.T @ da, "db": lambda x, da: da.sum(axis=0)}
    rows = {
        "{}: the first row of the batch is left out": slice(1, None),
        "{}: the last row of the batch is left out": slice(None, -1),
        "{} is the first datum's alone: the sum over the batch is missing": slice(1),
        "{} is the last datum's alone: = where += adds up the batch?": slice(-1, None),
    }
    pairs = {}
    for name, right in made.items():
        pairs[name] = [(f"{name} with {activation}: {words}", right(x, da)) for words, da in through.items()]
        pairs[name] += [(words.format(name), right(x[some], da[some])) for words, some in rows.items()]
        pairs[name].append((f"{name} is averaged over the batch: {NO_SUM}", right(x, da) / len(x)))
    averaged = "dx is divided by the size of the batch: the 1/B of the loss is in dy already"
    pairs["dx"] = [(averaged, da @ W.T / len(x)), *pairs["dx"]]
    pairs["dx"].append(("dx has x multiplied in: the derivative of x @ W by x is W alone", da @ W.T * x))
    return pairs


# ------------------------------------------------------------------------------ products


@contextlib.contextmanager
def told_by_squares(its, activation):
    """Where shapes do not fit, ask the same of square matrices, and say which product was taken."""
    try:
        yield
    except Failed as failed:
        misfit = " stops with " in failed.sentence or " has shape " in failed.sentence
        words = _product(its, activation) if misfit else None
        if not words:
            raise
        raise Failed(words, [failed.sentence, *failed.details], failed.line) from failed


def _product(its, activation):
    """What is wrong with a product, told by the values; None if it cannot be told."""
    x, W, dy, b = np.random.default_rng(45).normal(0.2, 0.8, (4, 5, 5))
    b, act = b[0], TEXTBOOK[activation]
    y = act(x @ W + b)
    da = dy * slope_from_output(activation, y)
    try:
        results = {"y": its.dense_forward(x, W, b, activation)[0]}
        if close(results["y"], y):
            cache = its.dense_forward(x, W, b, activation)[1]
            results = dict(zip(NAMES, its.dense_backward(dy, cache), strict=True))
    except (Failed, TypeError, ValueError, IndexError):
        return None
    outer = {
        f"{xW} + b{new}": act(a + bias)
        for xW, a in _products(x=x, W=W).items()
        for new, bias in (("", b), ("[:, None]", b[:, None]))
    }
    inner = _products(da=da, dy=dy, x=x, W=W, y=y)
    sums = {"da.sum(axis=0)": da.sum(axis=0), "summed over the units": da.sum(axis=1)}
    asked = {
        "y": (outer, "x @ W + b", "x is (B, n_in), W (n_in, n_out), b (n_out,)"),
        "dx": (inner, "da @ W.T", "(B, n_out) times (n_out, n_in), as its shape tells"),
        "dW": (inner, "x.T @ da", "(n_in, B) times (B, n_out), as its shape tells"),
        "db": (sums, "da.sum(axis=0)", "it is summed over the batch"),
    }
    for name, got in results.items():
        guesses, right, shapes = asked[name]
        if close(got, guesses[right]):
            continue
        for product, guess in guesses.items():
            if close(got, guess):
                return f"{name} is {product}, where {right} is asked: {shapes}"
    return None


def _products(**factors):
    """Words -> product of two of the square matrices, transposed or not."""
    both = {name + t: a.T if t else a for name, a in factors.items() for t in ("", ".T")}
    pairs = [(p, q) for p in both for q in both if p[:2] != q[:2]]
    made = {f"{p} @ {q}": both[p] @ both[q] for p, q in pairs}
    return made | {f"{p} * {q}": both[p] * both[q] for p, q in pairs}


# ------------------------------------------------------------------------------ wrong answers


def _output(value, says):
    """A forward pass with another output; value(x, W, b, act)."""

    def dense_forward(x, W, b, activation="identity"):
        y = value(x, W, b, TEXTBOOK[activation])
        return y, (x, W, y, activation)

    return Wrong({"dense_forward": dense_forward}, OUTPUT, says)


def _backward(change, says):
    """A backward pass with another dx, dW or db; change(dy, da, x, W) -> what is different."""

    def dense_backward(dy, cache, input_gradient=True):
        x, W, y, activation = cache
        da = dy * slope_from_output(activation, y)
        right = {"dx": da @ W.T, "dW": x.T @ da, "db": da.sum(axis=0)}
        return tuple((right | change(dy, da, x, W)).values())

    return Wrong({"dense_backward": dense_backward}, SLOPE, says)


_memory = {}


def _remembering():
    """A layer that keeps what backward needs in a global variable."""

    def dense_forward(x, W, b, activation="identity"):
        _memory["layer"] = ops.dense_forward(x, W, b, activation)
        return _memory["layer"][0], None

    def dense_backward(dy, cache, input_gradient=True):
        return ops.dense_backward(dy, _memory["layer"][1], input_gradient)

    return {"dense_forward": dense_forward, "dense_backward": dense_backward}


def _writes(dy, cache, input_gradient=True):
    """A backward pass that writes its da where y stood."""
    x, W, y, activation = cache
    y[...] = ops.activation_backward(dy, y, activation)
    return y @ W.T, x.T @ y, y.sum(axis=0)


INSIDE = "y with tanh: the bias is added after the activation: it belongs inside, act(x @ W + b)"
NO_ACT = "y with tanh: the activation is missing, this is x @ W + b"
XWT = "y is x @ W.T + b, where x @ W + b is asked: x is (B, n_in), W (n_in, n_out), b (n_out,)"
WITH_W = "dx is da @ W, where da @ W.T is asked: (B, n_out) times (n_out, n_in), as its shape tells"
W_DA = "dx is W @ da, where da @ W.T is asked: (B, n_out) times (n_out, n_in), as its shape tells"
X_DA = "dW is x @ da, where x.T @ da is asked: (n_in, B) times (B, n_out), as its shape tells"
KEPT = "db has shape (1, 3), expected (3,): a kept axis will broadcast"
OWN_Y = "y is not what it was after backward: the cache refers to the caller's own y"

WRONG = (
    _output(lambda x, W, b, act: act(x @ W) + b, INSIDE),
    _output(lambda x, W, b, act: x @ W + b, NO_ACT),
    _output(lambda x, W, b, act: act(x @ W.T + b), XWT),
    _backward(lambda dy, da, x, W: {"dx": da @ W}, WITH_W),
    _backward(lambda dy, da, x, W: {"dx": W @ da}, W_DA),
    _backward(lambda dy, da, x, W: {"dW": x @ da}, X_DA),
    _backward(lambda dy, da, x, W: {"dx": dy @ W.T, "dW": x.T @ dy}, f"dx with tanh: {NO_SLOPE}"),
    _backward(lambda dy, da, x, W: {"db": dy.sum(axis=0)}, f"db with tanh: {NO_SLOPE}"),
    _backward(lambda dy, da, x, W: {"db": da.mean(axis=0)}, f"db is averaged over the batch: {NO_SUM}"),
    _backward(lambda dy, da, x, W: {"dW": x.T @ da / len(x)}, f"dW is averaged over the batch: {NO_SUM}"),
    _backward(lambda dy, da, x, W: {"dW": x[1:].T @ da[1:]}, "dW: the first row of the batch is left out"),
    _backward(lambda dy, da, x, W: {"db": da.sum(axis=0, keepdims=True)}, KEPT),
    Wrong(_remembering(), TWO, OUTSIDE),
    Wrong({"dense_backward": _writes}, TWO, OWN_Y),
)
