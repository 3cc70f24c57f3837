"""Each operation of a model's walk alone, under a random upstream gradient; and what its mistakes look like.

Nothing that went wrong before an operation is blamed on it: a wrong row here names the function to change.
"""

from functools import partial
from typing import NamedTuple

import numpy as np

from .. import distributions, ops
from .report import raised
from .scalar import ROUNDINGS, compare
from .slopes import EPS

TERMS = ("reconstruction", "kl")
TEXTBOOK = "the backward is the textbook's; has the forward changed?"
SLOPES = {  # of an activation, and what it is taken for, from its output y
    "y": lambda y: y,
    "(1 - y)": lambda y: 1 - y,
    "(1 - y^2)": lambda y: 1 - y * y,
    "(1 - y)^2": lambda y: (1 - y) ** 2,
    "y (1 - y)": lambda y: y * (1 - y),
    "y^2": lambda y: y * y,
    "(1 - e^-y)": lambda y: -np.expm1(-y),
    "e^-y": lambda y: np.exp(-y),
    "(y > 0)": lambda y: 1.0 * (y > 0),
    "tanh'(y)": lambda y: 1 - np.tanh(y) ** 2,
    "sigmoid(y)": lambda y: 1 / (1 + np.exp(-y)),
    "leaky relu's slope": lambda y: np.where(y > 0, 1, 0.01),
}
PAIRS = {  # role -> forward and backward as `of`, a distribution or a namespace of operations, computes them
    "nll": lambda of, near: (
        lambda out: of.nll(out, near["x"], near["params"]),
        lambda dy, out: of.nll_backward(dy, out, near["x"], near["params"])[:1],
    ),
    "sample": lambda of, near: (
        lambda *heads: of.sample(*heads, near["eps"]),
        lambda dz, *heads: of.sample_backward(dz, *heads, near["eps"]),
    ),
    "kl": lambda of, near: (of.kl, of.kl_backward),
    "dense": lambda of, near: (
        lambda *inputs: of.dense_forward(*inputs, near["act"])[0],
        lambda dy, *inputs: of.dense_backward(dy, of.dense_forward(*inputs, near["act"])[1]),
    ),
}


class Operation(NamedTuple):
    """One operation of a walk, by the name of its backward; `PAIRS` has its functions."""

    name: str
    role: str
    owner: object  # what computes it: a distribution or a namespace of operations
    book: object  # the library's own
    out: str  # the node that it computes
    nodes: dict  # an input's name in the formulas -> node or parameter
    inputs: dict  # the same names -> array
    near: dict  # what else is in the formulas


def operations(case):
    """Every operation of a `model._Case`, in the order of the backward pass."""
    model, values, trace, found = case.fine, case.values, case.trace, []
    posterior, likelihood, output = model.posterior, model.likelihood, title(case, "output")
    heads, out = {h: values[h] for h in posterior.heads}, values["output"]
    same = {h: h for h in heads}
    x = np.broadcast_to(trace.target, trace.outputs.shape).reshape(out.shape)

    def add(layers, below):
        for layer in layers:
            cache, name = trace.caches.get(layer.name), layer.name
            if isinstance(cache, tuple) and f"{name}.W" in model.params:
                nodes = {"x": below, "W": f"{name}.W", "b": f"{name}.b"}
                inputs = {k: model.params.get(n, cache[0]) for k, n in nodes.items()}
                near, title = {"y": values[name], "act": layer.activation}, f"dense_backward({name})"
                found.append(Operation(title, "dense", model.ops, ops, name, nodes, inputs, near))
            below = name if layers is not model.heads else below
        return below

    add(model.heads, add(model.encoder, "x"))
    stock = distributions.GaussianPosterior(ops) if tuple(heads) == ("mu", "logvar") else posterior
    name = partial(_named, posterior)
    found.append(Operation(name("kl_backward"), "kl", posterior, stock, "kl", same, heads, {}))
    near = {"eps": case.eps}
    found.append(Operation(name("sample_backward"), "sample", posterior, stock, "z", same, heads, near))
    add(model.decoder, "z")
    book = distributions.Bernoulli(ops) if output == "logits" else distributions.Gaussian(ops)
    name, near = _named(likelihood, "nll_backward"), {"x": x, "params": model.params}
    found.append(Operation(name, "nll", likelihood, book, "nll", {output: "output"}, {output: out}, near))
    return found[::-1]


def title(case, name):
    """A node by its name in the formulas: the output is logits or mean."""
    kinds = {distributions.Bernoulli: "logits", distributions.Gaussian: "mean"}
    titles = [title for kind, title in kinds.items() if isinstance(case.fine.likelihood, kind)]
    return titles[0] if titles and name == "output" else name


def _named(owner, method):
    """gaussian_kl_backward for the stock classes, MyPosterior.kl_backward for the caller's own."""
    kind = type(owner)
    stock = kind.__module__ == distributions.__name__
    name = f"{kind.__name__.removesuffix('Posterior').lower()}_" if stock else f"{kind.__name__}."
    return name + method


def alone(case, op):
    """A row for every input of an operation, under a random upstream gradient."""
    values, copies = list(op.inputs.values()), [a.copy() for a in op.inputs.values()]
    (forward, backward), (_, textbook) = (PAIRS[op.role](of, op.near) for of in (op.owner, op.book))
    try:
        dy = case.rng.standard_normal(np.shape(forward(*values)))
        got, right = backward(dy.copy(), *copies), textbook(dy, *values)
    except Exception as error:  # the walk itself may be right
        case.note(raised(f"{op.name} alone", error))
        return
    in_place = any((a != b).any() for a, b in zip(copies, values, strict=True))
    for i, (key, value) in enumerate(op.inputs.items()):

        def f(v, i=i):
            return np.sum(dy * forward(*values[:i], v, *values[i + 1 :]))

        named = mistakes(op, key, dy) | {"sizes": case.sizes, "limit": 200}
        named["others"] |= {f"d{k}": g for k, g in zip(op.inputs, got, strict=False) if k != key}
        size = np.prod([max(1.0, np.abs(a).max(initial=0)) for a in (dy, *values, got[i])]) * max(dy.shape)
        named["floor"], slope = ROUNDINGS * EPS * size, partial(case.slope, f, value)
        row = compare(f"{op.name}'s d{key}", "alone", got[i], slope, value.shape, case.rng, **named)
        row.node = op.name, key
        fits = right is not None and np.shape(got[i]) == value.shape
        if row.words and fits and np.allclose(got[i], right[i], rtol=1e-12, atol=0):
            row.words += f"; {TEXTBOOK}"
        if in_place:
            row.words = f"{op.name} changes its arguments in place" + f"; {row.words}" * bool(row.words)
        yield row


def mistakes(op, key, up):
    """What a wrong derivative of an input may have in it, given `up` -> `verdict`'s known, terms, others."""
    has, known, others = op.inputs | op.near, {}, {}
    if op.role == "dense":
        x, W, y, act = has["x"], has["W"], has["y"], has["act"]
        products = {"x": ("{} @ W.T", lambda da: da @ W.T), "W": ("x.T @ {}", lambda da: x.T @ da)}
        text, product = products.get(key, ("{}.sum(0)", lambda da: da.sum(0)))
        da = ops.activation_backward(up, y, act)
        das = {f"(dy * {name})": up * slope(y) for name, slope in SLOPES.items()}
        das |= {"dy, without the slope": up, "(dy where dy > 0, not y > 0)": up * (up > 0)}
        das["(da rounded to float32)"] = da.astype(np.float32)
        look = f": look at activation_backward({act})"
        wrong = {name: guess for name, guess in das.items() if not np.array_equal(guess, da)}
        others = {text.format(name) + look: product(guess) for name, guess in wrong.items()}
        if key == "b":
            others["da.sum(), one number"] = np.full(up.shape[-1], da.sum())
        if key == "x" and W.shape[0] == W.shape[1]:
            others["da @ W, without the transpose of W"] = da @ W
        return {"others": others}
    if op.role == "nll":
        out, x = op.inputs[key], has["x"]
        p = 1 / (1 + np.exp(-out))
        known = {"x": x, "mean": out, "mean - x": out - x}
        if key == "logits":
            known = {"x": x, "1 - x": 1 - x, "p": p, "1 - p": 1 - p, "p (1 - p)": p * (1 - p)}
            others = {"dnll * (p - x) with x rounded": up[..., None] * (p - np.round(x))}
    elif {"mu", "logvar"} <= has.keys():
        mu, logvar, eps = has["mu"], has["logvar"], has.get("eps", np.zeros(0))
        std = np.exp(0.5 * logvar)
        known = {"std": std, "exp(logvar)": std * std, "mu": mu, "logvar": logvar, "mu^2": mu * mu}
        if eps.ndim == 2:
            known |= {"eps": eps, "eps^2": eps**2, "z": mu + std * eps}
        if eps.ndim == 3:
            part = up if key == "mu" else up * (0.5 * std * eps)
            others = {"the first sample's alone": part[0], "the last sample's alone": part[-1]}
            others |= {"the mean over the samples, not the sum": part.mean(axis=0)}
    up, name = (up, "dz") if op.role == "sample" else (up[..., None], f"d{op.out}")
    terms = {name: up} | {f"{name} * {n}": up * k for n, k in known.items()}
    return {"known": known | {name: up}, "terms": terms, "others": others}


def without_saturation(case, got):
    """name -> the size of a derivative if no unit saturated and no terms cancelled: the walk back in |.|."""
    sizes = {name: np.abs(value) for name, value in got.items()}
    for op in case.operations:
        if op.role not in ("dense", "sample") or np.shape(got[op.out]) != np.shape(case.values[op.out]):
            continue
        near = {name: np.abs(a) if name == "eps" else a for name, a in op.near.items()} | {"act": "identity"}
        least = {"x": 1.0}  # a small output of a unit has the rounding of a large one
        inputs = {key: np.maximum(np.abs(a), least.get(key, 0.0)) for key, a in op.inputs.items()}
        inputs |= {"logvar": op.inputs["logvar"]} if "logvar" in inputs else {}
        found = PAIRS[op.role](op.book, near)[1](sizes[op.out], *inputs.values())
        for node, size in zip(op.nodes.values(), found, strict=True):
            if np.shape(sizes.get(node)) == np.shape(size):
                sizes[node] = np.maximum(sizes[node], size)
    return sizes


def sources(case, node, term):
    """(operation, input) for every operation through which a term reaches a node or parameter."""
    beside = {"reconstruction": "kl", "kl": "sample"}.get(term)
    return [(op, k) for op in case.operations for k, n in op.nodes.items() if n == node and op.role != beside]


def explain(case):
    """Mark the rows that follow from a wrong one -> the headline: the first wrong row and its operation."""
    rows, heads = case.report.rows, case.fine.posterior.heads
    alone = {row.node: row for row in case.report.operations if not row.ok}
    wrong, own, roles = [row for row in rows if not row.ok], [], []
    for row in wrong:
        behind = sources(case, row.node, row.term)
        before, terms = {op.out for op, _ in behind}, (row.term,)
        if row.term == "loss":  # a parameter's derivative is of both terms, and of their weights
            before, terms = before | {"nll", "kl"}, TERMS
        own.append([alone[op.name, key] for op, key in behind if (op.name, key) in alone])
        roles.append({op.role for op, _ in behind})
        ups = [up for up in wrong if up.node in before and up.term in terms]
        if ups and not own[-1] and np.isfinite(row.error):
            row.words = f"follows from {ups[0].label}"
    if not wrong:
        return ""
    first, nodes = wrong[0], [row for row in wrong if row.term != "loss"]
    words = {row.words for row in rows if row.term == "loss"}
    if len(words) == 1 and not nodes and len(case.fine.params) > 1:
        return f"every parameter: {words.pop()}; backward is right, look at what loss_and_grads returns"
    text = f"the first wrong {'parameter' if first.term == 'loss' else 'node'} is {first.sentence}"
    if own[0]:
        more = f": {own[0][0].words}" * (own[0][0].words != first.words)
        text += f". {own[0][0].name} is wrong by itself{more}"
    elif not nodes and not np.array_equal(case.got["loss"].get(first.node), case.grads.get(first.node)):
        text += ". backward itself returns another: look at what changes it in loss_and_grads"
    elif not alone:
        weighs, before = "how backward and the loss weigh the terms", "the lines of backward before it"
        look = weighs if first.node in ("nll", "kl") else before
        text += f". Every operation is right by itself: look at {look}"
    others = zip(wrong[1:], roles[1:], strict=True)
    also = [r for r, role in others if role != roles[0] or {r.node, first.node} <= set(heads)]
    also = [row for row in also if not row.words.startswith("follows")]
    return text + (f". Also: {also[0].sentence}" if also else "")
