"""Checks before the derivatives of a model: state and randomness, corners, what its inputs cannot show."""

import inspect
from functools import partial

import numpy as np

from .scalar import RANDOM


def repeats(case):
    """Whether equal calls give equal results, whatever was called between, and change no argument."""
    held = {**case.fine.params, "x": case.x, "eps": case.eps}
    before = {name: value.copy() for name, value in held.items()}
    try:
        case.at_other(case.gradients)
    except ValueError:  # it overflows there: stay near
        case.other = case.x.copy(), 0.9 * case.eps
    fresh, call = case.gradients(case.own.astype(np.float64)), case.gradients
    other = partial(case.at_other, call)
    _, first, again, _, later = (f() for f in (other, call, call, other, call))
    changed = [name for name, value in held.items() if not np.array_equal(value, before[name])]
    case.loss, case.grads = first
    case.random, stale = _difference(first, again), _difference(first, later) or _difference(first, fresh)
    text = ""
    if changed:
        text = f"loss_and_grads changes {', '.join(changed)} in place"
    elif case.random == "the loss" and not case.estimator:
        text = f"the loss {RANDOM}"
    elif case.random and not case.estimator:
        text = f"the gradient is random: {case.random} differs when called twice. The backward pass draws"
        text += " noise of its own, or adds to what an earlier call left. Draw once, pass eps in"
    elif stale and not case.estimator:
        text = f"{stale} depends on an earlier call with another x and eps: the model keeps state"
    case.report.problems += [text] * bool(text)
    return not text


def leave_corners(case):
    """Move the bias of every unit that is at the corner of its ReLU; whether there was one."""
    caches, notes = case.walk(case.fine)[1].caches, len(case.report.notes)
    for name in (layer.name for layer in (*case.fine.encoder, *case.fine.decoder[:-1])):
        W, bias = (case.fine.params.get(f"{name}.{kind}") for kind in "Wb")
        if W is None or not isinstance(caches.get(name), tuple):
            continue
        x = caches[name][0]
        near = np.abs(x @ W + bias) <= 1e-12 * (np.abs(x) @ np.abs(W) + np.abs(bias))
        for unit in np.flatnonzero(near.any(axis=0)):
            step = 1e-3 * (np.abs(case.values[name]).max() or 1.0) * (1 + unit % 7)
            for model in (case.own, case.fine, case.twin):
                model.params[f"{name}.b"][unit] += step
            case.note(f"kink: unit {unit} of {name} is at its ReLU's corner; its bias is moved a little")
    return len(case.report.notes) > notes


def blind_spots(case):
    """What these inputs cannot show: (text, whether it applies)."""
    layers = [layer.name for layer in (*case.fine.encoder, *case.fine.decoder)]
    dead = {"eps": case.eps, "x": case.x} | {n: case.values[n] for n in layers}
    dead |= {n: p for n, p in case.fine.params.items() if n.endswith(".W")}
    for name, value in dead.items():
        text = f"dead input: {name} is zero everywhere, which hides errors in what it multiplies"
        yield text, not value.any()
    flat = np.ptp(case.values.get("logvar", np.arange(2.0))) == 0
    yield "dead input: logvar is the same everywhere, so that std and its powers look alike", flat
    yield "beta is 0: the derivatives of the kl are 0 and cannot be checked", case.beta == 0
    yield "beta is 1: beta forgotten or applied twice does not show; try beta=0.7", case.beta == 1
    yield "B is 1: a wrong factor of B does not show; use more rows of x", len(case.x) == 1
    yield "eps is (B, L): a lost sum over S does not show; try eps of shape (S, B, L)", case.eps.ndim == 2


def takes(function, name):
    """Whether a function takes an argument of this name."""
    parameters = inspect.signature(function).parameters.values()
    return any(p.name == name or p.kind == p.VAR_KEYWORD for p in parameters)


def _difference(one, other):
    """The first thing in which two results of loss_and_grads differ: "the loss", d(mu.W) or ""."""
    if _bits(one[0]) != _bits(other[0]):
        return "the loss"
    return next((f"d({n})" for n, g in one[1].items() if _bits(g) != _bits(other[1].get(n))), "")


def _bits(value):
    return np.shape(value), np.asarray(value).tobytes()
