"""What `python -m minivae gradcheck` does: a model away from zero weights, data, noise, and reports."""

import textwrap

import numpy as np

from .. import arguments
from ..estimators import named
from ..gradcheck import check_model
from ..models import VAE
from .bug import away_from_zero
from .gallery import GALLERY
from .matrix import examine


def reports(
    data_dim,
    latent,
    hidden,
    activation,
    likelihood,
    backend,
    dtype,
    batch_size,
    samples,
    beta,
    estimator,
    seed,
    plant,
):
    """A `Report` for each backend asked; with a bug planted, one for its own operations."""
    rng = arguments.seeded("seed", seed)
    batch, samples = arguments.integer("batch_size", batch_size), arguments.integer("samples", samples)
    settings = {"data_dim": data_dim, "latent_dim": latent, "hidden": hidden, "activation": activation}
    settings |= {"likelihood": likelihood, "dtype": np.dtype(dtype), "seed": seed}
    if plant and backend == "numba":
        raise ValueError("--plant puts its bug into the NumPy operations; leave out --backend numba")
    models = _planted(plant, settings) if plant else _shipped(backend, settings)
    x = rng.standard_normal((batch, models[0].data_dim))
    if models[0].likelihood.support == (0.0, 1.0):
        x = (x > 0).astype(float)
    shape = (batch, models[0].latent_dim)
    eps = rng.standard_normal(shape if samples == 1 else (samples, *shape))
    crossing = None if estimator == "pathwise" else named(estimator, np.random.default_rng(seed))
    found = []
    for model in models:
        away_from_zero(model, np.random.default_rng(seed))
        found.append(check_model(model, x, eps, beta, crossing))
    return found


def _shipped(backend, settings):
    return [
        VAE(backend=name, **settings) for name in (("numba", "numpy") if backend == "both" else (backend,))
    ]


def _planted(name, settings):
    bug = GALLERY[arguments.one_of("--plant", name, GALLERY)]
    return [bug.model(**settings | bug.settings)]


def bugs_by_name():
    """Every bug of the gallery with what it is, for the terminal."""
    lines = []
    for name, bug in GALLERY.items():
        lines += textwrap.wrap(f"{name:<28} {bug.title}", 100, subsequent_indent=" " * 29)
    return lines


def about(name):
    """The story of a planted bug, and what every check says of it -> lines, whether any catches it."""
    bug = GALLERY[name]
    found = examine(bug)
    lines = ["", *textwrap.wrap(f"{name}: {bug.title}. {bug.story}", 100), "", "what each check says of it:"]
    for check, (caught, sentence) in found.items():
        mark = "CAUGHT" if caught else "passes"
        lines += textwrap.wrap(f"{check:<12} {mark}  {sentence}", 100, subsequent_indent=" " * 21)
    return lines, any(caught for caught, _ in found.values())
