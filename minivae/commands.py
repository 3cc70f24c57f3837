"""The function behind each command of `python -m minivae`; `cli` parses its options and reports errors."""

import copy
import io
import os
import shlex
import sys
import time
from csv import writer as csv_writer
from functools import partial
from pathlib import Path

import numpy as np
from tqdm import tqdm

from . import arguments, checkpoints, data, evaluation, explorer, files, fits, runs, training
from .config import Config
from .estimators import named
from .inputs import corrupt, one_hot
from .runs import Run

# the settings of `gradcheck` and their defaults: a small model, since every entry is checked
CHECKED = {"seed": 0, "batch_size": 5, "hidden": (8, 6), "latent": 3, "activation": "tanh"}
CHECKED |= {"likelihood": "bernoulli", "posterior": "gaussian", "prior": None, "beta": 0.7, "samples": None}


def train(out, overwrite, resume, checkpoint, threads, **settings):
    """Train a VAE or an autoencoder and write a run folder, or continue a run."""
    if settings.get("data"):
        settings["data"] = os.path.abspath(settings["data"])  # so that a run can be resumed from anywhere
    if resume is None and checkpoint is not None:
        raise ValueError("--checkpoint chooses where --resume continues; a new run has none")
    if resume is not None and (out or overwrite):
        raise ValueError("--resume continues in the run's own folder; leave out --out and --overwrite")
    run = Run(Config(**settings)) if resume is None else Run.load(resume, checkpoint or "last", **settings)
    _set_threads(threads, run.model)
    folder = run.folder or training.new_folder(run, out, overwrite)
    print(run.data.found, training.headline(run, folder), sep="\n", flush=True)
    if run.changed:
        names = " and ".join(f"--{name}" for name in run.changed)
        print(f"note: with a different {names} the result differs from that of a run that was never stopped")
    started = time.perf_counter()
    training.train(run, folder, say=partial(print, flush=True))
    print(f"done in {time.perf_counter() - started:.0f} s; look at {folder}/reconstructions.png, then try:")
    for command in ("sample" if hasattr(run.model, "sample") else "interpolate", "reconstruct", "evaluate"):
        print(f"  python -m minivae {command} {shlex.quote(str(folder))}")


def sample(run, n, draws, label, out, seed, checkpoint, threads):
    """Decode draws from the prior; for a conditional model, one row per label."""
    if fits.is_fit(run):
        return fits.sample(run, n, out, seed)
    stored = _stored(run, checkpoint, threads)
    model, rng, columns = stored.model, arguments.seeded("seed", seed), None
    if not hasattr(model, "sample"):
        raise ValueError(
            f"{run} is an autoencoder: it has no prior to draw from; try interpolate or reconstruct"
        )
    if label is not None and not len(stored.classes):
        raise ValueError(f"--label {label} needs a conditional model, and {run} is not one")
    n = arguments.integer("n", (10 if len(stored.classes) and label is None else 100) if n is None else n)
    given, title = {}, "decoded draws from the prior"
    if len(stored.classes):
        known = {str(name): name for name in stored.classes.tolist()}
        if label is not None and label not in known:
            raise ValueError(f"label {label} is none of the classes {', '.join(known)}")
        labels = np.repeat([known[label]] if label else stored.classes, n)
        given, n, columns = {"condition": one_hot(labels, stored.classes)}, len(labels), None if label else n
        title += f", given {label}" if label else ", a row for each label"
    images = model.sample(n, rng, **given)
    if draws:
        outputs = model.decode(model.prior.sample(rng, n, model.latent_dim, model.params), **given)
        images, title = model.likelihood.sample(outputs, model.params, rng), "x ~ p(x|z), z from the prior"
    from . import plots

    like = None if stored.shift is None else stored.shift + np.stack([-stored.scale, stored.scale])
    figure = plots.image_grid(stored.unscale(images), stored.image_shape, columns, title, like)
    _write_picture(figure, out or f"{run}/sample.png", _which(run, checkpoint, stored.epoch))


def reconstruct(run, n, out, seed, checkpoint, threads, **moved):
    """Encode test images and decode the means of q(z|x)."""
    loaded = _loaded(run, checkpoint, threads, moved)
    rng, available = arguments.seeded("seed", seed), len(loaded.data.x_test)
    rows = _choose(rng, min(12, available) if n is None else n, available)
    (x, *seen), given = _test_rows(loaded, rows, rng)
    from . import plots

    shown = loaded.unscale(seen[0] if seen else x)
    means, title = loaded.unscale(loaded.model.reconstruct((seen or [x])[0], **given)), {}
    if seen:
        title = {"title": "above: corrupted, below: restored"}
    figure = plots.reconstructions(shown, means, loaded.data.image_shape, **title)
    _write_picture(figure, out or f"{run}/reconstruct.png", _which(run, checkpoint, loaded.epoch))


def interpolate(run, n, steps, out, seed, checkpoint, threads, **moved):
    """Decode points on the line between the codes of two test images."""
    loaded = _loaded(run, checkpoint, threads, moved)
    rng, available = arguments.seeded("seed", seed), len(loaded.data.x_test)
    arguments.integer("steps", steps, at_least=2)
    n = min(6, available // 2) if n is None else arguments.integer("n", n)
    if not 0 < 2 * n <= available:
        raise ValueError(f"n must be at most {available // 2}, got {n or 1}: a line needs two test images")
    (x, *_), given = _test_rows(loaded, _choose(rng, 2 * n, available), rng)
    z, t = loaded.model.code(x, **given), np.linspace(0, 1, steps)[:, None]  # (2 n, L), (steps, 1)
    lines = np.concatenate([(1 - t) * a + t * b for a, b in zip(z[:n], z[n:], strict=True)])  # (n steps, L)
    # a line keeps its first label
    given = {name: np.repeat(c[:n], steps, axis=0) for name, c in given.items()}
    from . import plots

    images = loaded.unscale(loaded.model.mean(lines, **given))
    title = "from the code of one test image to another's"
    figure = plots.image_grid(images, loaded.data.image_shape, columns=steps, title=title)
    _write_picture(figure, out or f"{run}/interpolate.png", _which(run, checkpoint, loaded.epoch))


def encode(run, split, out, seed, checkpoint, threads, **moved):
    """Write an .npz with q(z|x) of every image (mu and logvar, for the Gaussian) and the labels."""
    out = out or f"{run}/codes.npz"
    files.require_ours(out)  # before the work, not after it
    loaded = _loaded(run, checkpoint, threads, moved)
    model, pixels, rng = loaded.model, loaded.config.pixels, arguments.seeded("seed", seed)
    images, labels = getattr(loaded.data, f"x_{split}"), getattr(loaded.data, f"y_{split}")
    names, parts = getattr(getattr(model, "posterior", None), "heads", ("code",)), []
    for rows in evaluation.chunks(images):
        x, c = data.minibatch(images[rows], pixels, rng), loaded.condition(split, rows)
        found = model.encode(x) if c is None else model.encode(x, c)
        parts.append(found if isinstance(found, tuple) else (found,))
    codes = dict(zip(names, map(np.concatenate, zip(*parts, strict=True)), strict=True))
    files.save_arrays(out, codes | ({} if labels is None else {"labels": np.asarray(labels)}))
    print(f"wrote {out}: {', '.join(names)} of {len(images):,} {split} images")


def explore(run, other, n, out, seed, checkpoint, **moved):
    """Write a page for the browser to play with a run, or with two side by side; it needs no network."""
    out, names = out or f"{run}/explorer.html", [run] if other is None else [run, other]
    files.require_ours(out)  # before the work, not after it
    for name in filter(fits.is_fit, names):
        raise ValueError(f"{name} holds a fitted model without an encoder; explore is for `train`")
    loaded = [_loaded(name, checkpoint, None, moved) for name in names]
    available = len(loaded[0].data.x_test)
    rows = _choose(arguments.seeded("seed", seed), min(500, available) if n is None else n, available)
    text = explorer.page(loaded, names, rows).encode()
    files.write(out, text)
    print(f"wrote {out} ({len(text) / 1e6:.1f} MB); open it in a browser")


def evaluate(run, seed, samples, csv, checkpoint, threads, **moved):
    """Measure the ELBO, log p(x) and active latents on the test set; compare an autoencoder with PCA."""
    if csv:
        files.require_ours(csv)
    if fits.is_fit(run):
        return fits.evaluate(run, moved.get("data"), csv)
    loaded = _loaded(run, checkpoint, threads, moved)
    autoencoder = loaded.config.model == "autoencoder"
    if autoencoder and samples is not None:
        raise ValueError(f"samples are for log p(x), which {run} does not have: it is an autoencoder")
    samples = 100 if samples is None else arguments.integer("samples", samples, at_least=0)
    rng = loaded.stream(runs.TEST) if seed is None else arguments.seeded("seed", seed)
    which, pixels = _which(run, checkpoint, loaded.epoch), loaded.config.pixels
    count = len(loaded.data.x_test)
    if loaded.config.corruption != "none" and not autoencoder:
        pixels += " and uncorrupted"
    print(f"{run}, {which}: {count:,} test images, {pixels} pixels, nats per image")
    each = (_evaluate_autoencoder if autoencoder else _evaluate_vae)(loaded, rng, samples)
    if csv:
        labels = loaded.data.y_test
        columns = {"image": np.arange(count)} | ({} if labels is None else {"label": labels}) | each
        rows = zip(*(column.tolist() for column in columns.values()), strict=True)
        text = io.StringIO()
        csv_writer(text, lineterminator="\n").writerows([columns, *rows])
        files.write(csv, text.getvalue().encode())
        print(f"wrote {csv}")


def _evaluate_vae(loaded, rng, samples):
    """Print the evaluation of a VAE -> column name -> numbers of every image."""
    model, images, c = loaded.model, loaded.data.x_test, loaded.condition("test")
    walks = [*evaluation.draws(model, images, loaded.config.pixels, copy.deepcopy(rng), condition=c)]
    each = evaluation.per_image(model, images, loaded.config.pixels, rng, c)
    x = np.concatenate([x for x, *_ in walks])  # the same draws, so that every line is about the same pixels
    nll, kl = each["nll"].mean(), each["kl"].mean()
    print(f"  -ELBO       {nll + kl:8.2f}   = nll {nll:.2f} + kl {kl:.2f}, one z from q(z|x) for each image")
    if samples and loaded.config.likelihood == "gaussian-optimal":
        print("  no log p(x): gaussian-optimal has a variance for each batch")
    elif samples:
        bar = partial(tqdm, desc="log p(x)", leave=False, disable=None)
        estimate = evaluation.importance_nll_each(model, x, "grey", rng, samples, bar, c)
        mean, error = evaluation.mean_and_error(estimate)
        spread, each["nll_importance"] = f"+- {error:.2f} over images; " * (len(x) > 1), estimate
        print(f"  -log p(x)   {mean:8.2f}   {spread}an upper bound by {samples} importance samples")
    active = evaluation.active_units(model, x, "grey", rng, condition=c)
    print(f"  latents     {active.sum():5d}      of {active.size} are active: Var over x of E[z|x] > 0.01")
    return each


def _evaluate_autoencoder(loaded, rng, samples):
    """The same for an autoencoder: its error, and that of PCA with as many components, from what both see."""
    model, config = loaded.model, loaded.config
    sets = loaded.data.x_test, loaded.data.x_train
    x, train = (data.minibatch(images, config.pixels, rng) for images in sets)
    seen = corrupt(x, config.corruption, config.corruption_amount, rng)
    blocks = evaluation.chunks(x)
    nll = np.concatenate([model.forward(seen[rows], x[rows])[1].nll for rows in blocks]).astype(float)
    means = np.concatenate([model.reconstruct(seen[rows]) for rows in blocks])
    pca = evaluation.pca_reconstruct(train, seen, min(model.latent_dim, *train.shape))
    code = "its own code" if seen is x else f"the code of it after {config.corruption} corruption"
    print(f"  nll         {nll.mean():8.2f}   of each image given {code}")
    for name, mean in (("this model", means), (f"PCA, L = {model.latent_dim}", pca)):
        error = ((mean - x) ** 2).sum(axis=1).mean()
        print(f"  error       {error:8.2f}   squared, summed over pixels: {name}")
    return {"nll": nll}


def gradcheck(plot, backend, data_dim, dtype, estimator, **settings):
    """Check every derivative of a small model; the exit code is 1 if one is wrong."""
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
        known = named(estimator, rng, config.beta, model.posterior) if estimator else None
        if estimator in ("pathwise", "sticking-the-landing"):  # which the model knows by name
            known = estimator
        reports.append(check_model(model, x, eps, config.beta, known))
    print("\n\n".join(map(str, reports)), flush=True)
    wrong = [report for report in reports if not report.ok]
    if plot:
        _write_picture((wrong or reports)[0].plot(), plot)
    return 1 if wrong else 0


# ------------------------------------------------------------------------------ helpers of the commands


def _stored(folder, checkpoint, threads):
    """A trained model without its data."""
    stored = checkpoints.load_stored(folder, checkpoint)
    _set_threads(threads, stored.model)
    return stored


def _loaded(folder, checkpoint, threads, moved):
    """A run with its model and its data, whose file may have moved."""
    moved = {name: os.path.abspath(path) for name, path in moved.items() if path}
    loaded = Run.load(folder, checkpoint, **moved)
    _set_threads(threads, loaded.model)
    return loaded


def _which(folder, checkpoint, epoch):
    """The epoch of the checkpoint that was used, in words."""
    best = checkpoint == "best" and Path(folder, checkpoints.BEST).exists()
    return f"epoch {epoch}, {'the best by its test loss' if best else 'the last'}"


def _choose(rng, n, available):
    """n different row numbers below `available`, sorted."""
    if arguments.integer("n", n) > available:
        raise ValueError(f"n must be at most {available}, the number of test images, got {n}")
    return np.sort(rng.choice(available, n, replace=False))


def _test_rows(loaded, rows, rng):
    """[x] of test images, or [x, corrupted x] if the run corrupts its input; the condition as a setting."""
    config = loaded.config
    x, c = data.minibatch(loaded.data.x_test[rows], config.pixels, rng), loaded.condition("test", rows)
    seen = corrupt(x, config.corruption, config.corruption_amount, rng)
    return [x] if seen is x else [x, seen], {} if c is None else {"condition": c}


def _write_picture(figure, path, which=""):
    from . import plots

    files.write(path, plots.to_png(figure))
    print(f"wrote {path}" + f" ({which})" * bool(which))


def _set_threads(threads, model):
    if threads is not None and model.ops.__name__ != "minivae.kernels":
        print("note: --threads is for the numba backend; this run computes with numpy", file=sys.stderr)
    elif threads is not None:
        model.ops.set_threads(threads)
