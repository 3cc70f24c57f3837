"""Before a check: where something is not finite, and step aside from a ReLU's corner.

At a corner a derivative has two values, and in float32 rounding decides which. The unit is named, its layer's
bias is moved a little, and the check goes on beside it.
"""

import copy

import numpy as np

from .tape import Probe

NEAR = {"float32": 1e-5, "float64": 1e-6}  # of the layer's largest input to its ReLU
ASIDE = 1e-3
ATTEMPTS = 8


def beside_corners(model, setting):
    """A model to check (the one given, or a copy beside its corners), and what forbids a check."""
    for attempt in range(ATTEMPTS):
        probe = Probe(model, np.float64)
        problem = _walk(Probe(model, model.dtype), setting) or _walk(probe, setting)
        if problem:
            return model, problem
        setting.walked(model, probe.values)
        corners = _corners(probe, model)
        if not corners or attempt == ATTEMPTS - 1:
            break
        model = _moved(model, corners, setting, first=attempt == 0)
    return model, ""


def _walk(probe, setting):
    """Walk forward once; the first node that is not finite is named."""
    error = ""
    for name, param in probe.model.params.items():
        if not np.isfinite(param).all():
            index = np.argwhere(~np.isfinite(param))[0].tolist()
            return f"not finite: the parameter {name} is {param[tuple(index)]} at {index}"
    try:
        probe.loss(setting.x, setting.eps, setting.beta)
    except ValueError as refused:
        error = " ".join(str(refused).split())
    for node, value in probe.values.items():
        value = np.asarray(value)
        if not np.isfinite(value).all():
            index = np.argwhere(~np.isfinite(value))[0].tolist()
            return f"not finite: it begins at {node}, which is {value[tuple(index)]} at {index}"
    return error and f"the forward pass stops: {error}"


def _corners(probe, model):
    """Layer -> (row, unit, a) of those inputs to a ReLU that lie within a hair of 0."""
    near, found = NEAR[str(np.dtype(model.dtype))] if model.dtype in (np.float32, np.float64) else 1e-6, {}
    for layer, (x, W, b, *rest) in probe.inputs.items():
        if rest[:1] == ["relu"]:
            a = x @ W + b
            close = np.argwhere(np.abs(a) <= near * (np.max(np.abs(a)) or 1.0))
            if len(close):
                found[layer] = [(*map(int, index), float(a[tuple(index)])) for index in close]
    return found


def _moved(model, corners, setting, first):
    """A copy of the model with a bias moved, at every unit that stands at a corner."""
    moved = copy.copy(model)
    moved.params, moved._planned = dict(model.params), None
    Probe.rebind(moved, model)
    for layer, places in corners.items():
        if first:
            row, unit, a = places[0]
            more = f" (and {len(places) - 1} more)" * (len(places) > 1)
            setting.note(
                f"kink: unit {unit} of {layer} lies {abs(a):.0e} from its ReLU's corner at row {row}{more}; "
                "its bias is moved a little, and the check goes on beside it"
            )
        bias = moved.params[f"{layer}.b"].copy()
        units = sorted({unit for _, unit, _ in places})
        size = float(np.max(np.abs(setting.values[layer]), initial=0)) or 1.0
        bias[units] += ASIDE * size * setting.rng.uniform(0.5, 1.5, len(units)).astype(bias.dtype)
        moved.params[f"{layer}.b"] = bias
    return moved
