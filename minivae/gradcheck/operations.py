"""Each operation of the way back against its own forward, at the numbers of the walk.

The upstream gradient is random, so nothing that went wrong before an operation is laid at its door: a row
here that is wrong names the line to change, and where all are right the wiring between them is at fault.
"""

from functools import partial

import numpy as np

from .comparison import LIMIT, compare
from .guesses import fits, guesses_of, size_of_terms, times_upstream, wrong_arrays
from .report import Row, row
from .scalars import believable
from .verdicts import UNRELATED, verdict


def check_operations(model, twin, recorded, setting):
    """Rows of every operation that the walk used.

    twin      a `Probe` that computes in complex numbers
    recorded  a `Probe` in float64 that has walked back
    setting   a `Setting` with x, eps and what arrays are known
    """
    rows = []
    for role, layer, *parts in _pairs(model, twin, recorded, setting):
        forward, backward, inputs, shape, known = parts
        rows += _check(role, layer, forward, backward, inputs, shape, known, setting)
    return rows


def _check(role, layer, forward, backward, inputs, shape, known, setting):
    dy = setting.rng.standard_normal(shape)
    name = f"{role}({layer})" if layer else role
    try:
        with np.errstate(all="ignore"):
            grads = backward(dy)
    except (ValueError, TypeError) as error:  # what the operation itself refuses
        return [_refused(name, error)]
    rows = []
    for key, grad in zip(inputs, grads, strict=False):
        if grad is None:
            continue
        value = np.asarray(inputs[key], float)

        def f(v, key=key):
            return np.sum(dy * forward(**{key: v}))

        rows.append(_row(name, key, f, value, np.asarray(grad), dy, known, setting, grads, inputs))
    return rows


def _row(name, key, f, value, grad, dy, known, setting, grads, inputs):
    if grad.shape != value.shape:
        found = compare(
            np.zeros(value.shape),
            lambda v: believable(f, value, "auto", setting.rng)[0](f, value, v),
            setting.rng,
            limit=8,
        )
        return row(f"{name} > {key}", "op", found, f"shape {grad.shape} where {value.shape} is wanted")
    # the model's own loss has been believed already; large operations are not asked again
    take, note = believable(f, value, "auto" if value.size <= LIMIT else "complex", setting.rng)
    if note:
        setting.note(f"{name}, d{key}: the forward function {note}")

    def spread(v):
        moved = [value * (1 + 2.0**-52 * setting.rng.standard_normal(value.shape)) for _ in range(4)]
        slopes = [take(f, m, v).value for m in (value, *moved)]
        return max(slopes) - min(slopes)

    kind = name.partition("(")[0], key
    closer = kind not in setting.known_wrong
    natural = size_of_terms(name, key, dy, inputs)
    slope = partial(take, f, value)
    found = compare(grad, slope, setting.rng, "float64", setting.limit, spread, closer, natural=natural)
    words = ""
    if not found.ok:
        setting.known_wrong.add(kind)
        fitting = {n: k for n, k in known.items() if fits(k, value.shape)}
        others = {f"d{k}": g for k, g in zip(inputs, grads, strict=False) if k != key and g is not None}
        guesses = guesses_of(name, key, dy, inputs, known, value.shape)
        terms = times_upstream(dy, fitting, value.shape)
        numbers = {n: float(k.item()) for n, k in known.items() if np.size(k) == 1 and value.size > 1}
        words = verdict(found, setting.sizes | numbers, fitting, others, terms, guesses)
        if words == UNRELATED:
            words = verdict(found, guesses=wrong_arrays(name, key, dy, known))
    if not np.isfinite(found.want).all():
        words = "ok (out of range: the reference is not finite)"
    return row(f"{name} > {key}", "op", found, words or "ok")


def _pairs(model, twin, recorded, setting):
    """(role, layer, forward(**one input), backward(dy), inputs, shape of y, known arrays), in walk order."""
    values, seen = recorded.values, {call.role for call in recorded.calls}
    heads = dict(zip(model.posterior.heads, (values.get(h) for h in model.posterior.heads), strict=True))
    eps = setting.eps
    if "nll_backward" in seen:
        yield _nll(model, twin, recorded, setting)
    for layer in [*reversed(model.network.decoder), *model.posterior.heads, *reversed(model.network.encoder)]:
        if layer in recorded.inputs:
            yield _dense(model, twin, recorded.inputs[layer], layer, setting)
    activations = {args[3] for args in recorded.inputs.values() if len(args) > 3} - {"identity"}
    for activation in sorted(activations):
        yield _activation(model, twin, recorded, activation, setting)
    if any(value is None for value in heads.values()):
        return
    known = setting.known
    if "sample_backward" in seen:
        yield (
            "sample_backward",
            "",
            lambda **one: quietly(twin, twin.model.posterior.sample, *{**heads, **one}.values(), eps),
            lambda dy: model.posterior.sample_backward(dy, *heads.values(), eps),
            heads,
            eps.shape,
            known("mu"),
        )
    if "kl_backward" in seen:
        yield (
            "kl_backward",
            "",
            lambda **one: quietly(twin, twin.model.posterior.kl, *{**heads, **one}.values()),
            lambda dy: model.posterior.kl_backward(dy, *heads.values()),
            heads,
            np.shape(values["kl"]),
            known("mu"),
        )
    if hasattr(model.posterior, "score") and hasattr(model.posterior, "log_prob"):
        yield _score(model, twin, heads, values["z"], known("mu"))


def _nll(model, twin, recorded, setting):
    outputs, params = setting.outputs, model.params
    learned = {name: params[name] for name in params if name not in setting.weights}
    inputs = {setting.outputs_name: outputs, **learned}

    def forward(**one):
        own = {name: one.get(name, value) for name, value in params.items()}
        return quietly(
            twin, twin.model.likelihood.nll, one.get(setting.outputs_name, outputs), setting.x, own
        )

    def backward(dy):
        doutputs, dlearned = model.likelihood.nll_backward(dy, outputs, setting.x, params)
        return [doutputs, *(dlearned.get(name) for name in learned)]

    return "nll_backward", "", forward, backward, inputs, outputs.shape[:-1], setting.known("outputs")


def _dense(model, twin, args, layer, setting):
    x, W, b, *rest = (np.array(a) if isinstance(a, np.ndarray) else a for a in args)
    inputs, known = {"x": x, "W": W, "b": b}, setting.known(layer, *rest or ("identity",))

    def forward(**one):
        return twin.base.dense_forward(*{**inputs, **one}.values(), *rest)[0]

    def backward(dy):
        return model.ops.dense_backward(dy, model.ops.dense_forward(x, W, b, *rest)[1])

    return "dense_backward", layer, forward, backward, inputs, (len(x), len(b)), known


def _activation(model, twin, recorded, activation, setting):
    layer, (x, W, b, *_) = next((n, a) for n, a in recorded.inputs.items() if a[3:] == (activation,))
    a = x @ W + b

    def backward(dy):
        return [model.ops.activation_backward(dy, model.ops.activation_forward(a, activation), activation)]

    forward = twin.base.activation_forward
    return (
        "activation_backward",
        activation,
        lambda a: forward(a, activation),
        backward,
        {"a": a},
        a.shape,
        setting.known(layer),
    )


def _score(model, twin, heads, z, known):
    z = np.asarray(z, float)

    def forward(**one):
        return quietly(twin, twin.model.posterior.log_prob, z, *{**heads, **one}.values())

    def backward(dy):
        parts = model.posterior.score(z, *heads.values())
        weighed = [dy[..., None] * part for part in parts]
        return [part.sum(axis=0) if part.ndim == 3 else part for part in weighed]

    return "score", "", forward, backward, heads, z.shape[:-1], known


def quietly(probe, function, *args):
    """Call a function of a probe without a trace of it."""
    before, probe.inside = probe.inside, True
    try:
        return function(*args)
    finally:
        probe.inside = before


def _refused(name, error):
    text = " ".join(str(error).split())
    return Row(name, "op", (), (), np.nan, np.nan, np.nan, np.nan, f"raises: {text}", map=np.full(1, np.nan))
