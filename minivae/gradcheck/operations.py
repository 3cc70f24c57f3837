"""Each operation of a model alone, under a random upstream gradient; and what its mistakes look like.

Nothing that went wrong before an operation is blamed on it: a wrong row here names the function to change.
"""

import copy
from functools import partial
from typing import NamedTuple

import numpy as np

from .. import distributions, ops
from .scalar import check_pair

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
    """One operation, by the name of its backward; `PAIRS` has its functions."""

    name: str
    role: str
    owner: object  # what computes it: a distribution or a namespace of operations
    book: object  # the library's own, None where there are several
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
    stock = distributions.GaussianPosterior(ops)
    normal = tuple(heads) == stock.heads and isinstance(model.prior, distributions.StandardNormal)
    book, name, near = stock if normal else None, partial(_named, posterior), {"eps": case.eps}
    if not trace.sampled:
        found.append(Operation(name("kl_backward"), "kl", posterior, book, "kl", same, heads, {}))
    if hasattr(posterior, "sample_backward"):
        found.append(Operation(name("sample_backward"), "sample", posterior, book, "z", same, heads, near))
    add(model.decoder, "z")
    books = {"logits": distributions.Bernoulli(ops), "mean": distributions.Gaussian(ops)}
    book = books.get(output)
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
    name = f"{kind.__name__.removesuffix('Posterior').lower()}_{method}"
    stock = kind.__module__.startswith(distributions.__name__) and hasattr(ops, name)
    return name if stock else f"{kind.__name__}.{method}"


def alone(case, op):
    """A row for every input of an operation, under a random upstream gradient."""
    owners = op.owner, op.book or op.owner
    (forward, backward), (_, textbook) = (PAIRS[op.role](owner, op.near) for owner in owners)
    kept, values = {}, list(op.inputs.values())

    def recorded(dy, *given):
        kept["right"] = textbook(dy.copy(), *values)
        kept["got"] = backward(dy, *given)
        return kept["got"]

    names = {"names": list(op.inputs), "guess": partial(mistakes, op), "sizes": case.sizes}
    found = check_pair(forward, recorded, *copy.deepcopy(values), rng=case.rng, **names)
    said = [text.replace("the pair", op.name) for text in found.problems]
    changes = [text.partition(";")[0] for text in said if "in place" in text]
    for text in said * (not changes):  # the model may be right
        case.note(text)
    for i, (key, row) in enumerate(zip(op.inputs, found.rows, strict=False)):
        if row.words and np.isfinite(row.error):
            got, right = (kept[which][i] for which in ("got", "right"))
            size = np.max(np.abs(right), initial=0)
            textbooks = op.book is not None and np.allclose(got, right, 1e-12, 1e-12 * size)
            row.words += f"; {TEXTBOOK}" * bool(textbooks)
        row.words = "; ".join([*changes, *[row.words] * bool(row.words)])
        row.name, row.term, row.node = f"{op.name}'s d{key}", "alone", (op.name, key)
        yield row


def mistakes(op, key, dy):
    """What a wrong derivative of an input may have in it, given `dy` -> `verdict`'s known, terms, others."""
    has, up, known, others = op.inputs | op.near, dy, {}, {}
    if op.role == "dense":
        x, W, y, act = has["x"], has["W"], has["y"], has["act"]
        products = {"x": ("{} @ W.T", lambda da: da @ W.T), "W": ("x.T @ {}", lambda da: x.T @ da)}
        text, product = products.get(key, ("{}.sum(0)", lambda da: da.sum(0)))
        da = ops.activation_backward(up, y, act)
        das = {f"(dy * {name})": up * slope(y) for name, slope in SLOPES.items()}
        once = ops.activation_backward(np.ones_like(y), y, act)
        das |= {"dy, without the slope": up, "(dy * slope^2)": up * once**2}
        das["(dy where dy > 0, not y > 0)"] = up * (up > 0)
        look = f": look at activation_backward({act})"
        wrong = {name: guess for name, guess in das.items() if not np.allclose(guess, da, 1e-9, 0)}
        wrong["(da rounded to float32)"] = da.astype(np.float32)
        others = {text.format(name) + look: product(guess) for name, guess in wrong.items()}
        if key == "b":
            others["da.sum(), one number"] = np.full(up.shape[-1], da.sum())
        if key == "x" and W.shape[0] == W.shape[1] > 1:
            others["da @ W, without the transpose of W"] = da @ W
        return {"others": others}
    if op.role == "nll":
        out, x = op.inputs[key], has["x"]
        p = 1 / (1 + np.exp(-out))
        precision = np.exp(-np.asarray(has["params"].get("output.logvar", 0.0)))
        known = {"x": x, "mean": out, "mean - x": out - x, "e^-logvar": precision}
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
    guilty = next((row.words for row in alone.values() if "in place" in row.words), "")
    if guilty:
        text += f". {guilty}"
    elif own[0]:
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
