"""What each command of `python -m minivae` does; `cli` reads the words and reports the errors."""

import copy
import os
import shlex
import sys
import time
from functools import partial
from pathlib import Path

import numpy as np
from tqdm import tqdm

from . import arguments, data, evaluation, files, runs, training
from .config import Config
from .estimators import named
from .runs import Run

# the settings of a run that `gradcheck` takes; small, since every entry is checked
CHECKED = {"seed": 0, "batch_size": 5, "hidden": (8, 6), "latent": 3, "activation": "tanh"}
CHECKED |= {"likelihood": "bernoulli", "beta": 0.7, "samples": 1}


def train(out, overwrite, resume, checkpoint, threads, **settings):
    """Train a VAE and leave a run folder, or continue a run."""
    if settings.get("data"):
        settings["data"] = os.path.abspath(settings["data"])  # so that a run can be resumed from anywhere
    if resume is None and checkpoint is not None:
        raise ValueError("--checkpoint chooses where --resume continues; a new run has none")
    if resume is not None and (out or overwrite):
        raise ValueError("--resume continues in the run's own folder; leave out --out and --overwrite")
    run = Run(Config(**settings)) if resume is None else Run.load(resume, checkpoint or "last", **settings)
    _set_threads(threads, run.model)
    folder = run.folder or training.new_folder(run, out, overwrite)
    print(run.data.found, _headline(run, folder), sep="\n", flush=True)
    if run.changed:
        names = " and ".join(f"--{name}" for name in run.changed)
        print(f"note: with another {names} it ends with other bits than a run that was never stopped")
    started = time.perf_counter()
    training.train(run, folder, say=partial(print, flush=True))
    print(f"done in {time.perf_counter() - started:.0f} s; look at {folder}/reconstructions.png, then try:")
    for command in ("sample", "reconstruct", "evaluate"):
        print(f"  python -m minivae {command} {shlex.quote(str(folder))}")


def sample(run, n, draws, out, seed, checkpoint, threads):
    """Decode draws from the prior."""
    stored = _stored(run, checkpoint, threads)
    model, rng = stored.model, arguments.seeded("seed", seed)
    from . import plots

    images, title = model.sample(n, rng), "decoded draws from the prior"
    if draws:
        images = model.likelihood.sample(
            model.decode(model.prior.sample(rng, n, model.latent_dim)), model.params, rng
        )
        title = "x ~ p(x|z), z from the prior"
    figure = plots.image_grid(stored.unscale(images), stored.image_shape, title=title)
    _write_picture(figure, out or f"{run}/sample.png", _which(run, checkpoint, stored.epoch))


def reconstruct(run, n, out, seed, checkpoint, threads, **moved):
    """Encode test images and decode z = mu."""
    loaded = _loaded(run, checkpoint, threads, moved)
    rng, available = arguments.seeded("seed", seed), len(loaded.data.x_test)
    rows = _choose(rng, min(12, available) if n is None else n, available)
    x = data.minibatch(loaded.data.x_test[rows], loaded.config.pixels, rng)
    from . import plots

    means = loaded.model.reconstruct(x)
    figure = plots.reconstructions(loaded.unscale(x), loaded.unscale(means), loaded.data.image_shape)
    _write_picture(figure, out or f"{run}/reconstruct.png", _which(run, checkpoint, loaded.epoch))


def interpolate(run, n, steps, out, seed, checkpoint, threads, **moved):
    """Decode the line between the codes of two test images, n times."""
    loaded = _loaded(run, checkpoint, threads, moved)
    rng, available = arguments.seeded("seed", seed), len(loaded.data.x_test)
    arguments.integer("steps", steps, at_least=2)
    rows = _choose(rng, 2 * arguments.integer("n", n), available)
    mu = loaded.model.encode(data.minibatch(loaded.data.x_test[rows], loaded.config.pixels, rng))[
        0
    ]  # (2 n, L)
    t = np.linspace(0, 1, steps)[:, None]
    lines = np.concatenate([(1 - t) * a + t * b for a, b in zip(mu[:n], mu[n:], strict=True)])  # (n steps, L)
    from . import plots

    images, title = loaded.unscale(loaded.model.mean(lines)), "from the code of one test image to another's"
    figure = plots.image_grid(images, loaded.data.image_shape, columns=steps, title=title)
    _write_picture(figure, out or f"{run}/interpolate.png", _which(run, checkpoint, loaded.epoch))


def encode(run, split, out, seed, checkpoint, threads, **moved):
    """Write q(z|x) of every image: an .npz with mu, logvar and labels."""
    out = out or f"{run}/codes.npz"
    files.require_ours(out)  # before the work, not after it
    loaded = _loaded(run, checkpoint, threads, moved)
    images, labels = getattr(loaded.data, f"x_{split}"), getattr(loaded.data, f"y_{split}")
    rng = arguments.seeded("seed", seed)
    chunks = [
        loaded.model.encode(x) for x, _ in evaluation.draws(loaded.model, images, loaded.config.pixels, rng)
    ]
    heads = zip(loaded.model.posterior.heads, map(np.concatenate, zip(*chunks, strict=True)), strict=True)
    files.save_arrays(out, dict(heads) | ({} if labels is None else {"labels": np.asarray(labels)}))
    print(f"wrote {out}: {', '.join(loaded.model.posterior.heads)} of {len(images):,} {split} images")


def evaluate(run, seed, samples, csv, checkpoint, threads, **moved):
    """Measure the ELBO, log p(x) and the active latents on the test set."""
    if csv:
        files.require_ours(csv)
    loaded = _loaded(run, checkpoint, threads, moved)
    model, pixels, images = loaded.model, loaded.config.pixels, loaded.data.x_test
    arguments.integer("samples", samples, at_least=0)
    rng = loaded.stream(runs.TEST) if seed is None else arguments.seeded("seed", seed)
    each = evaluation.per_image(model, images, pixels, copy.deepcopy(rng))
    # the same draws again, so that every line is about the same pixels
    x = np.concatenate([x for x, _ in evaluation.draws(model, images, pixels, rng)])
    which = _which(run, checkpoint, loaded.epoch)
    print(f"{run}, {which}: {len(x):,} test images, {pixels} pixels, nats per image")
    nll, kl = each["nll"].mean(), each["kl"].mean()
    print(f"  -ELBO       {nll + kl:8.2f}   = nll {nll:.2f} + kl {kl:.2f}, one z from q(z|x) for each image")
    if samples:
        bar = partial(tqdm, desc="log p(x)", leave=False, disable=None)
        each["nll_importance"] = evaluation.importance_nll_each(model, x, "grey", rng, samples, bar)
        mean, error = evaluation.mean_and_error(each["nll_importance"])
        spread = f"+- {error:.2f} over images; " * (len(x) > 1)
        print(f"  -log p(x)   {mean:8.2f}   {spread}an upper bound by {samples} importance samples")
    active = evaluation.active_units(model, x, "grey", rng)
    print(f"  latents     {active.sum():5d}      of {active.size} are active: Var over x of mu(x) > 0.01")
    if csv:
        labels = loaded.data.y_test
        columns = {"image": np.arange(len(x))} | ({} if labels is None else {"label": labels}) | each
        rows = zip(*(column.tolist() for column in columns.values()), strict=True)
        lines = [",".join(columns), *(",".join(map(str, row)) for row in rows)]
        files.write(csv, ("\n".join(lines) + "\n").encode())
        print(f"wrote {csv}")


def gradcheck(plot, backend, data_dim, dtype, estimator, **settings):
    """Check every derivative of a model; the exit code is 1 if one is wrong."""
    from .gradcheck import check_model

    if plot:
        files.require_ours(plot)  # before the work, not after it
    reports = []
    for name in ("numba", "numpy") if backend == "both" else (backend,):
        config = Config(backend=name, **CHECKED | settings)
        model = config.build_model(data_dim, config.seed).astype(dtype)
        rng, away = np.random.default_rng(config.seed), np.random.default_rng(config.seed)
        x = rng.standard_normal((config.batch_size, data_dim))
        x = (x > 0).astype(float) if model.likelihood.support == (0, 1) else x
        eps = evaluation.noise(model, rng, len(x), config.samples)
        for param in model.params.values():  # zero biases and equal variances would hide a bug
            param += (0.3 * away.standard_normal(param.shape)).astype(param.dtype)
        known = None if estimator == "pathwise" else named(estimator, rng, config.beta)
        reports.append(check_model(model, x, eps, config.beta, known))
    print("\n\n".join(map(str, reports)), flush=True)
    wrong = [report for report in reports if not report.ok]
    if plot:
        _write_picture((wrong or reports)[0].plot(), plot)
    return 1 if wrong else 0


# ------------------------------------------------------------------------------ what they share


def _stored(folder, checkpoint, threads):
    """A trained model without its data."""
    stored = runs.load_stored(folder, checkpoint)
    _set_threads(threads, stored.model)
    return stored


def _loaded(folder, checkpoint, threads, moved):
    """The same with its data, which may have moved."""
    moved = {name: os.path.abspath(path) for name, path in moved.items() if path}
    loaded = Run.load(folder, checkpoint, **moved)
    _set_threads(threads, loaded.model)
    return loaded


def _which(folder, checkpoint, epoch):
    """Which state of the run was used, in words."""
    best = checkpoint == "best" and Path(folder, runs.BEST).exists()
    return f"epoch {epoch}, {'the best by its test loss' if best else 'the last'}"


def _choose(rng, n, available):
    """n different rows of `available`, in order."""
    if arguments.integer("n", n) > available:
        raise ValueError(f"n must be at most {available}, the number of test images, got {n}")
    return np.sort(rng.choice(available, n, replace=False))


def _write_picture(figure, path, which=""):
    from . import plots

    files.write(path, plots.to_png(figure))
    print(f"wrote {path}" + f" ({which})" * bool(which))


def _set_threads(threads, model):
    if threads is not None and model.ops.__name__ != "minivae.kernels":
        print("note: --threads is for the numba backend; this run computes with numpy", file=sys.stderr)
    elif threads is not None:
        model.ops.set_threads(threads)


def _headline(run, folder):
    model, config = run.model, run.config
    widths = "-".join(str(n) for n in (model.data_dim, *model.hidden, model.latent_dim))
    count = sum(param.size for param in model.params.values())
    estimator = f", {config.estimator}" * (config.estimator != "pathwise")
    estimator += f" with baseline {config.baseline}" * (config.baseline != "none")
    resumed = f", after epoch {run.epoch}" * (run.epoch > 0) + f", step {run.step}" * (run.step > 0)
    return (
        f"{widths} {config.activation}, {config.likelihood}, {count:,} parameters, {config.optimizer} "
        f"{config.lr:g}{estimator}, {config.pixels} pixels -> {folder}{resumed}"
    )
