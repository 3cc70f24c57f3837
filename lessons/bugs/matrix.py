"""Every bug against every check: which check catches which bug, and what "the loss falls" is worth."""

import numpy as np

from minivae.gradcheck import check

from ..lab.show import table as lines_of_table
from . import statistics
from .bug import Bug, away_from_zero
from .gallery import GALLERY

RIGHT = Bug("right", "right code", (), "What every check must pass.")


def _rng():
    return np.random.default_rng(20260801)


def _data(pixels, latents):
    rng = _rng()
    return (rng.random((3, pixels)) < 0.5).astype(float), rng.standard_normal((3, latents))


def _moved(bug, **settings):
    return away_from_zero(bug.model(**settings), _rng())


def _nll(model):
    return lambda outputs, x: model.likelihood.nll(outputs, x, model.params)


# ------------------------------------------------------------------------------ checks -> (caught, sentence)


def _gradient(bug):
    """Every parameter compared with the complex step of the model's own loss, once, as most checks do.

    Near logvar = 0, and at logvar = +-11 (with little noise there, or the decoder would saturate and have no
    gradient). `gradcheck.check_model` finds more: it calls twice.
    """
    for logvar, noise in ((0.0, 1.0), (11.0, 1e-5)):
        (x, eps), model = _data(6, 2), _moved(bug)
        model.params["logvar.b"] += logvar * np.array([1.0, -1.0])
        twin = model.astype(np.complex128)

        def loss(params, twin=twin, inputs=(x, noise * eps)):
            twin.params = params
            return twin.forward(*inputs, beta=0.7)[0].loss

        report = check(loss, model.loss_and_grads(x, noise * eps, beta=0.7)[1], model.params, "complex")
        if not report.ok:
            return True, report.headline.removeprefix("WRONG: ")
    return False, "every gradient agrees with the complex step"


def _loss_falls(bug, steps=150):
    """Training: the mean loss of the last 20 steps is below that of the first 20, as the model reports it."""
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
    """Adam's first step is -lr times the sign of the gradient, whatever its size."""
    grads = np.array([1e-3, -1.0, 1e3])
    params, optimizer = {"p": np.zeros(3)}, bug.optimizer(lr=0.1, eps=0.0, backend="numpy")
    optimizer.step(params, {"p": grads})
    ratio = params["p"] / (-0.1 * np.sign(grads))
    return not np.allclose(ratio, 1, atol=1e-9), f"the first step is {ratio[0]:.4g} times lr"


def _scaling(bug):
    model = _moved(bug)
    functions = _nll(model), model.posterior.kl, model.loss_and_grads
    return statistics.check_scaling(_rng(), *functions, *_data(6, 2))


def _bound(bug):
    likelihood = bug.settings.get("likelihood", "bernoulli")
    return statistics.check_bound(_moved(bug, latent_dim=1), _data(6, 1)[0], likelihood)


CHECKS = {
    "gradient": _gradient,
    "sampler": lambda bug: statistics.check_sampler(bug.model().posterior.sample, _rng()),
    "kl": lambda bug: statistics.check_kl(bug.model().posterior.kl, _rng()),
    "scaling": _scaling,
    "logits": lambda bug: statistics.check_extreme_logits(bug.ops().bernoulli_nll),
    "shapes": lambda bug: statistics.check_shapes(_rng(), nll=_nll(bug.model()), kl=bug.model().posterior.kl),
    "bound": _bound,
    "loss falls": _loss_falls,
    "first step": _first_step,
}


# ------------------------------------------------------------------------------ the table


def examine(bug):
    """Every check on one bug: name of the check -> (caught, sentence)."""
    findings = {}
    for name, function in CHECKS.items():
        try:
            found = function(bug)
        except (ValueError, TypeError) as error:  # the code stopped by itself and said why
            found = True, str(error)
        verdict = isinstance(found, statistics.Verdict)
        findings[name] = (not found.ok, found.sentence) if verdict else found
    return findings


def survey(progress=lambda items: items):
    """Every check on every bug of the gallery: name of the bug -> `examine(bug)`. About ten seconds."""
    return {name: examine(GALLERY[name]) for name in progress(GALLERY)}


def table(findings=None):
    """Lines of the table of bug against check, from `survey()`."""
    findings = survey() if findings is None else findings
    rows = [[name, *("x" if hit else "." for hit, _ in found.values())] for name, found in findings.items()]
    counts = [f"{sum(mark == 'x' for mark in column)}" for column in zip(*rows, strict=True)][1:]
    blank, last = [""] * (len(CHECKS) + 1), [f"caught, of {len(rows)}", *counts]
    return list(lines_of_table(["", *CHECKS], [blank, *rows, blank, last], "^"))
