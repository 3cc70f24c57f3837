"""Every bug against every check: who catches what, and what "the loss falls" is worth."""

import numpy as np

from ..gradcheck import complex_step, statistics
from .bug import Bug, away_from_zero
from .gallery import GALLERY

TOLERANCE = 1e-10  # of the largest entry of a gradient
AGREES = "every gradient agrees with the complex step"
RIGHT = Bug("right", "the right code", "What every check must pass.", ())


# ------------------------------------------------------------------------------ the gradient


def _gradient(bug):
    """Every parameter against the model's own loss, once, as gradient checks everywhere do it.

    By Im f(p + ih) / h, near logvar = 0 and where logvar is +-11 (with little noise there, or the decoder
    would saturate and have no gradient). `gradcheck.check_model` sees more: it calls twice, and holds the
    loss to nll + beta kl.
    """
    x, eps = _data(_rng(), 6, 2)
    return _gradient_at(bug, x, eps, 0.0) or _gradient_at(bug, x, 1e-5 * eps, 11.0) or (False, AGREES)


def _gradient_at(bug, x, eps, logvar):
    """(True, sentence) for the first array of `grads` that is wrong; None if there is none."""
    model, twin = away_from_zero(bug.model(), _rng()), bug.model(dtype=np.complex128)
    model.params["logvar.b"] += logvar * np.array([1.0, -1.0])
    for name, param in model.params.items():
        twin.params[name][...] = param
    grads = model.loss_and_grads(x, eps, beta=0.7)[1]
    for name, param in twin.params.items():

        def loss(value, param=param):
            param[...] = value
            return twin.forward(x, eps, beta=0.7)[0].loss

        want = complex_step(loss, model.params[name])
        param[...] = model.params[name]
        error = np.abs(grads[name] - want).max() / (np.abs(want).max() or 1.0)
        if not error <= TOLERANCE:
            return True, f"d{name} is wrong by {error:.1e} of its largest entry"
    return None


# ------------------------------------------------------------------------------ values


def _sampler(bug):
    return _told(statistics.check_sampler(bug.model().posterior.sample, _rng()))


def _kl(bug):
    return _told(statistics.check_kl(bug.model().posterior.kl, _rng()))


def _scaling(bug):
    model = away_from_zero(bug.model(), _rng())
    x, eps = _data(_rng(), 6, 2)
    return _told(
        statistics.check_scaling(_rng(), _nll(model), model.posterior.kl, model.loss_and_grads, x, eps)
    )


def _logits(bug):
    return _told(statistics.check_extreme_logits(bug.ops().bernoulli_nll))


def _shapes(bug):
    model = bug.model()
    return _told(statistics.check_shapes(_rng(), nll=_nll(model), kl=model.posterior.kl))


def _bound(bug):
    model = away_from_zero(bug.model(latent_dim=1), _rng())
    density = bug.settings.get("likelihood", "bernoulli")
    return _told(statistics.check_bound(model, _data(_rng(), 6, 1)[0], density))


def _nll(model):
    return lambda outputs, x: model.likelihood.nll(outputs, x, model.params)


# ------------------------------------------------------------------------------ training


def _loss_falls(bug, steps=150):
    """The mean loss of the last 20 steps below that of the first 20, by the model's own account."""
    rng = _rng()
    model, optimizer = bug.model(), bug.optimizer(lr=0.01, backend="numpy")
    prototypes = (rng.random((2, 6)) < 0.5)[rng.integers(2, size=64)]
    x = (prototypes ^ (rng.random((64, 6)) < 0.1)).astype(float)
    losses = []
    for _ in range(steps):
        terms, grads = model.loss_and_grads(x, rng.standard_normal((64, 2)))
        optimizer.step(model.params, grads)
        losses.append(terms.loss)
    first, last = np.mean(losses[:20]), np.mean(losses[-20:])
    return not last < first, f"the loss went from {first:.4g} to {last:.4g}"


def _first_step(bug):
    """Adam's first step is lr against the sign of the gradient, however large that is."""
    grads = np.array([1e-3, -1.0, 1e3])
    params, optimizer = {"p": np.zeros(3)}, bug.optimizer(lr=0.1, eps=0.0, backend="numpy")
    optimizer.step(params, {"p": grads})
    ratio = params["p"] / (-0.1 * np.sign(grads))
    return not np.allclose(ratio, 1, atol=1e-9), f"the first step is {ratio[0]:.4g} times lr"


# ------------------------------------------------------------------------------ the table

CHECKS = {
    "gradient": _gradient,
    "sampler": _sampler,
    "kl": _kl,
    "scaling": _scaling,
    "logits": _logits,
    "shapes": _shapes,
    "bound": _bound,
    "loss falls": _loss_falls,
    "first step": _first_step,
}


def examine(bug):
    """Every check on one bug: name of the check -> (caught, sentence)."""
    findings = {}
    for name, check in CHECKS.items():
        try:
            findings[name] = check(bug)
        except (ValueError, TypeError) as error:  # the code stopped by itself, and said why
            findings[name] = True, str(error)
    return findings


def survey():
    """Every check on every bug of the gallery: name of the bug -> `examine(bug)`. Some ten seconds."""
    return {name: examine(bug) for name, bug in GALLERY.items()}


def table(findings=None):
    """Lines of the table of bug against check, from `survey()`: measured, not remembered."""
    findings = survey() if findings is None else findings
    rows = {name: [caught for caught, _ in found.values()] for name, found in findings.items()}
    width = max(map(len, rows))
    lines = [f"{'':{width}}  " + "  ".join(CHECKS), ""]
    for name, marks in rows.items():
        cells = ("x" if mark else "." for mark in marks)
        row = "  ".join(f"{cell:^{len(check)}}" for cell, check in zip(cells, CHECKS, strict=True))
        lines.append(f"{name:{width}}  {row}".rstrip())
    counts = [sum(column) for column in zip(*rows.values(), strict=True)]
    row = "  ".join(f"{count:^{len(check)}}" for count, check in zip(counts, CHECKS, strict=True))
    return [*lines, "", f"{f'caught, of {len(rows)}':{width}}  {row}".rstrip()]


# ------------------------------------------------------------------------------ models and data


def _rng():
    return np.random.default_rng(20260801)


def _data(rng, pixels, latents):
    return (rng.random((3, pixels)) < 0.5).astype(float), rng.standard_normal((3, latents))


def _told(verdict):
    return not verdict.ok, str(verdict)
