"""One HTML file in which a browser runs a trained model: `python -m minivae explore RUN`.

The page holds the weights, some test images, and the forward pass in JavaScript, so it needs no network.

    page.html, page.css   the panels and their looks
    ops.js, model.js      the operations and the models, by the names that they have in minivae
    state.js, page.js     what a run answers to an image, and how each panel shows it
    plot.js, gestures.js  drawing on canvases; what a pointer or a key does
"""

import base64
import dataclasses
import inspect
import json
import re
import textwrap
from pathlib import Path

import numpy as np

from .. import evaluation, ops
from ..distributions import PRIORS, GaussianPosterior, kl_forward
from ..runs import TEST

SCRIPTS = ("ops.js", "model.js", "state.js", "plot.js", "page.js", "gestures.js")
SETTINGS = ("model", "pixels", "corruption", "corruption_amount", "beta", "penalty", "penalty_weight")
PRIOR_NAMES = {kind: name for name, kind in PRIORS.items()}
MOST_LABELS = 20  # more different labels than these are not classes


def page(runs, names, rows):
    """The text of the page: one or two runs (`Run`) with their names, and the test images of these rows.

    The weights are int16 with one scale for each column of a matrix: about 1e-5 of its largest entry.
    Raises ValueError for a table, and for two runs whose images or labels do not fit each other.
    """
    for run, name in zip(runs, names, strict=True):
        if len(run.data.image_shape) == 1:
            raise ValueError(f"{name} was trained on a table, and explore shows images")
    sizes = [
        f"{len(run.data.x_test)} test images of {' x '.join(map(str, run.data.image_shape))}" for run in runs
    ]
    if sizes[0] != sizes[-1]:
        raise ValueError(f"{names[0]} has {sizes[0]} and {names[1]} has {sizes[1]}: they must agree")
    classes = [run.classes.tolist() for run in runs if len(run.classes)]
    if classes and classes[0] != classes[-1]:
        raise ValueError(f"{names[0]} and {names[1]} have different labels: they must agree")
    first = runs[0].data
    images, span = _grey(runs[0], first.x_test[rows])
    labels = None if first.y_test is None else _names(first.y_test[rows])
    payload = {
        "shape": first.image_shape,
        "images": _packed(images),
        "labels": labels if classes or (labels and len(set(labels)) <= MOST_LABELS) else None,
        "runs": [_run(run, name, rows, span) for run, name in zip(runs, names, strict=True)],
        "lines": _lines(runs),
    }
    text = json.dumps(payload).replace("<", "\\u003c")
    # no "http" in the file, not even by chance in base64: a search for addresses finds none
    text = re.sub("h(?=ttp)", lambda h: f"\\u{ord(h[0]):04x}", text, flags=re.IGNORECASE)
    html = _text("page.html").replace("{{style}}", _text("page.css"))
    return html.replace("{{script}}", "".join(map(_text, SCRIPTS))).replace("{{data}}", text)


def _names(labels):
    """Labels (N,) as text; 7.0 is "7", as in the classes of a conditional model."""
    whole = labels.dtype.kind == "f" and np.isfinite(labels).all() and not (labels % 1).any()
    return [str(label) for label in (labels.astype(np.int64) if whole else labels).tolist()]


def _text(name):
    return Path(__file__).with_name(name).read_text("utf-8")


def _run(run, name, rows, span):
    """What the page must know of a run."""
    model, config = run.model, dataclasses.asdict(run.config)
    packed = {key: _packed(array, key.endswith(".W")) for key, array in model.params.items()}
    found = {key: config[key] for key in SETTINGS} | {"name": name, "epoch": run.epoch, "params": packed}
    found["posterior"] = config["posterior"] if hasattr(model, "posterior") else "code"
    found["likelihood"], found["classes"] = config["likelihood"], [str(c) for c in run.classes.tolist()]
    layers = {"encoder": model.encoder, "decoder": model.decoder}
    if hasattr(model, "posterior"):
        found |= {"prior": PRIOR_NAMES[type(model.prior)], "sampled_kl": model.kl == "sampled"}
        layers["heads"] = model.heads
    else:
        layers |= {"encoder": model.encoder[:-1], "heads": model.encoder[-1:]}
    found |= {key: [(layer.name, layer.activation) for layer in stack] for key, stack in layers.items()}
    found["categories"] = getattr(getattr(model, "posterior", None), "width", 1)
    found["sizes"] = [model.data_dim, *model.hidden, model.latent_dim]
    low, high = span
    if run.data.shift is not None or span != (0, 1):  # x = gain * grey + offset
        shift, scale = (0, 1) if run.data.shift is None else (run.data.shift, run.data.scale)
        pair = (high - low) / scale, (low - shift) / scale
        gain, offset = (np.broadcast_to(value, model.data_dim) for value in pair)
        found |= {"gain": _packed(gain), "offset": _packed(offset)}
    c, images, rng = run.condition("test"), run.data.x_test, run.stream(TEST)
    codes = evaluation.latent_means(model, images, config["pixels"], run.stream(TEST), c)
    found["planes"], found["order"] = _planes(model, codes)
    if hasattr(model, "posterior"):
        each = evaluation.per_image(model, images, config["pixels"], rng, c)
    else:
        args, _ = run.given("test", slice(None), rng, 1, 1.0)
        each = {"nll": model.forward(*args)[1].nll}
    for key, part in (("all", slice(None)), ("here", rows)):
        found[key] = {"images": len(images[part])} | {term: float(v[part].mean()) for term, v in each.items()}
    return found


def _planes(model, codes):
    """Planes to look at the codes (N, L), each with the prior in it; the latents by their variance."""
    L, order = codes.shape[1], np.argsort(-codes.var(axis=0), kind="stable")
    planes = {"latents": np.zeros((2, L))}
    planes["latents"][range(min(L, 2)), np.sort(order[:2])] = 1
    if L > 2:
        planes["principal"] = np.linalg.eigh(np.cov(codes.T.astype(float)))[1][:, :-3:-1].T
    seen = {}
    for name, axes in planes.items():
        prior = [((axes @ mean).tolist(), (axes @ C @ axes.T).tolist()) for mean, C in _moments(model, L)]
        seen[name] = {"axes": axes.tolist(), "prior": prior}
    return seen, order.tolist()


def _moments(model, L):
    """Mean (L,) and covariance (L, L) of the prior, or of each component of a mixture."""
    if not hasattr(model, "prior"):
        return []
    name = PRIOR_NAMES[type(model.prior)]
    if name == "mixture":
        pairs = zip(model.params["prior.mean"], model.params["prior.logvar"], strict=True)
        return [(mean.astype(float), np.diag(np.exp(logvar.astype(float)))) for mean, logvar in pairs]
    one, K = np.eye(L), model.posterior.width
    known = {"standard": (0, one), "laplace": (0, 2 * one), "bernoulli": (0.5, one / 4)}
    known["categorical"] = (1 / K, one / K - np.kron(np.eye(L // K), np.full((K, K), 1 / K**2)))
    mean, covariance = known[name]
    return [(np.full(L, mean), covariance)]


def _grey(run, x):
    """x (N, D) in the units of the file as uint8, and the values that 0 and 255 have there."""
    if x.dtype == np.uint8:
        return x, (0, 1)
    stored, everything = run.unscale(x), run.unscale(run.data.x_test)
    low, high = float(everything.min()), float(everything.max())
    low, high = (0, 1) if low >= 0 and high <= 1 else (low, max(high, low + 1e-6))
    return np.rint(255 * (stored - low) / (high - low)).astype(np.uint8), (low, high)


def _packed(array, columns=False):
    """An array as base64: uint8, or float32, or int16 with a scale for each column."""
    if array.dtype == np.uint8:
        return {"type": "uint8", "data": _base64(array, np.uint8)}
    if not columns:
        return {"type": "float32", "data": _base64(array, "<f4")}
    scale = np.maximum(np.abs(array).max(axis=0) / 32767, np.finfo(np.float32).tiny).astype("<f4")
    return {"type": "int16", "data": _base64(np.rint(array / scale), "<i2"), "scale": _base64(scale, "<f4")}


def _base64(array, dtype):
    return base64.b64encode(np.ascontiguousarray(array, dtype)).decode()


def _lines(runs):
    """For each panel the library functions that it computes with -> {panel: {name: [formula, source]}}."""
    panels = {"encode": [ops.dense_forward], "map": [], "sample": [], "loss": [], "interpolate": []}
    for run in runs:
        model = run.model.astype(run.model.dtype, "numpy")  # whose operations are the text to read
        posterior, kind, likelihood = getattr(model, "posterior", None), type(model), type(model.likelihood)
        panels["encode"] += [kind.encode]
        panels["map"] += [kind.decode, kind.mean]
        nll = {"Bernoulli": ops.bernoulli_nll, "Gaussian": ops.gaussian_nll}
        panels["loss"] += [nll.get(likelihood.__name__, likelihood.nll)]
        panels["interpolate"] += [kind.code, kind.mean]
        if posterior is not None:
            gaussian = isinstance(posterior, GaussianPosterior)
            panels["sample"] += [ops.gaussian_sample if gaussian else type(posterior).sample]
            panels["sample"] += [type(model.prior).sample]
            closed = model.kl == "closed" and (
                posterior.closed_form()[0] if gaussian else type(posterior).closed_form
            )
            panels["loss"] += [closed or kl_forward]
    return {panel: dict(map(_explained, functions)) for panel, functions in panels.items()}


def _explained(function):
    """Name, then formula (the first paragraph of the docstring, or the comment above) and source."""
    home, name = function.__module__, function.__qualname__
    name = name if "." in name else f"{home.rpartition('.')[2]}.{name}"
    formula = inspect.getdoc(function).split("\n\n")[0]
    if function.__name__ == "closed_form":
        formula = re.sub("(?m)^ *# ?", "", inspect.getcomments(function).strip())
    source = textwrap.dedent(inspect.getsource(function))
    return name, [formula, f"# {home.replace('.', '/')}.py\n\n{source}"]
