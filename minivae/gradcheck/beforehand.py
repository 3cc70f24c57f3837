"""What a check of a model says beside its rows: its title, its types, whether the loss repeats itself."""

import numpy as np

from .comparison import SLACK


def not_repeatable(model, x, eps, beta, estimator):
    """A loss or a gradient that differs from call to call is no function of its parameters."""
    with np.errstate(all="ignore"):
        losses = [model.loss(x, eps, beta)[0] for _ in range(2)]
        if losses[0] != losses[1]:
            both = f"called twice it gives {losses[0]!r} and {losses[1]!r}"
            return f"the loss is random: {both}. Pass eps in; draw it once"
        if estimator not in (None, "pathwise"):
            return ""
        first, second = (model.loss_and_grads(x, eps, beta)[1] for _ in range(2))
    for name in first:
        if np.asarray(first[name]).tobytes() != np.asarray(second[name]).tobytes():
            return (
                f"the gradient is random: d{name} differs when called twice with the same x and eps. "
                "The way back draws noise of its own, or adds to what an earlier call left. "
                "Draw once, pass eps in"
            )
    return ""


def title_of(model, beta):
    """What is checked, in a line."""
    widths = "-".join(str(n) for n in (model.data_dim, *model.hidden, model.latent_dim))
    name = getattr(model.ops, "__name__", type(model.ops).__name__)
    backend = {"minivae.kernels": "numba", "minivae.ops": "numpy"}.get(name, "own operations")
    return f"{widths} {model.activation}, {backend}, {model.dtype}, beta {beta:g}"


def dtype_notes(model, estimator):
    """What the type and the estimator mean for the check."""
    notes = []
    if model.dtype == np.float32:
        notes.append(
            "float32: the reference and the walk that is blamed are computed in float64; float32 rounds "
            f"to 1e-07, and {SLACK['float32']:.0e} of a tensor's largest entry is allowed to its gradient"
        )
    if estimator not in (None, "pathwise"):
        name = estimator if isinstance(estimator, str) else "estimator"
        notes.append(
            f"{name}: dmu and dlogvar of the reconstruction are estimates and no derivatives of this draw; "
            "the decoder, the kl, and the encoder given those estimates are checked"
        )
    return notes
