"""python -m minivae: train a VAE, and look at what it learned.

Every error that a user can make ends as one line on standard error and exit code 2; Ctrl-C ends with 130.
"""

import os
import shlex
import sys
import time
from functools import partial
from pathlib import Path

import numpy as np

from . import arguments, data, evaluation, files, training
from .config import Config
from .options import parser
from .runs import TEST, Run, load_model


def main(argv=None):
    """Run one command; the exit code is returned."""
    args = vars(parser().parse_args(argv))
    commands = (train, sample, reconstruct, evaluate, variance, gradcheck, bench)
    try:
        code = {command.__name__: command for command in commands}[args.pop("command")](**args)
    except training.Interrupted as interrupted:
        print(f"\n{interrupted}", file=sys.stderr)
        return 130
    except KeyboardInterrupt:
        print("\nstopped by Ctrl-C", file=sys.stderr)
        return 130
    except BrokenPipeError:
        os.dup2(os.open(os.devnull, os.O_WRONLY), sys.stdout.fileno())  # the reader of our output has gone
        return 1
    except (ValueError, TypeError, OSError, MemoryError) as error:
        text = " ".join(str(error).split()) or type(error).__name__
        text = f"not enough memory: {text}" if isinstance(error, MemoryError) else text
        print(f"python -m minivae: error: {text}", file=sys.stderr)
        return 2
    return code or 0


# ------------------------------------------------------------------------------ the commands


def train(out, overwrite, resume, threads, **settings):
    """Train from the beginning, or go on with a run."""
    if settings.get("data"):
        settings["data"] = os.path.abspath(settings["data"])  # so that a run can be resumed from anywhere
    if resume is None:
        run = Run(Config(**settings))
        _set_threads(threads, run.model)
        folder = training.new_folder(run, out, overwrite)
    else:
        if out or overwrite:
            raise ValueError("--resume goes on in its own folder; leave out --out and --overwrite")
        folder = Path(resume)
        run = Run.load(folder, settings.pop("epochs", None), settings.pop("data", None))
        changed = [k for k, v in settings.items() if getattr(run.config, k) != v]
        if changed:
            raise ValueError(f"--resume keeps the run's settings; it cannot change {', '.join(changed)}")
        _set_threads(threads, run.model)
    print(_headline(run, folder), flush=True)
    started = time.perf_counter()
    training.train(run, folder, say=lambda line: print(line, flush=True))
    print(f"done in {time.perf_counter() - started:.0f} s; look at {folder}/reconstructions.png, then try:")
    for command in ("sample", "reconstruct", "evaluate"):
        print(f"  python -m minivae {command} {shlex.quote(str(folder))}")


def sample(run, n, out, seed, threads):
    """Decode draws from the prior."""
    model, shape = load_model(run)
    _set_threads(threads, model)
    rng = arguments.seeded("seed", seed)
    means = model.sample(n, rng)
    from . import plots

    _write_picture(
        plots.image_grid(means, shape, title="decoded draws from the prior"), out or f"{run}/sample.png"
    )


def reconstruct(run, n, out, seed, threads):
    """Send test images through the encoder and, at z = mu, back through the decoder."""
    loaded = Run.load(run)
    _set_threads(threads, loaded.model)
    rng = arguments.seeded("seed", seed)
    available = len(loaded.data.x_test)
    if arguments.integer("n", n) > available:
        raise ValueError(f"n must be at most {available}, the number of test images, got {n}")
    rows = np.sort(rng.choice(available, n, replace=False))
    x = data.minibatch(loaded.data.x_test[rows], loaded.config.pixels, rng)
    from . import plots

    figure = plots.reconstructions(x, loaded.model.reconstruct(x), loaded.data.image_shape)
    _write_picture(figure, out or f"{run}/reconstruct.png")


def evaluate(run, seed, samples, threads):
    """Print the test set's terms, an estimate of -log p(x), and the latents in use."""
    loaded = Run.load(run)
    config, model = loaded.config, loaded.model
    _set_threads(threads, model)
    rng = loaded.stream(TEST) if seed is None else arguments.seeded("seed", seed)
    arguments.integer("samples", samples, at_least=0)
    images = loaded.data.x_test
    print(f"{run}, epoch {loaded.epoch}: {len(images):,} test images, {config.pixels} pixels, nats per image")
    terms = evaluation.average_terms(model, images, config.pixels, rng)
    parts = f"= nll {terms.nll:.2f} + kl {terms.kl:.2f}, one z from q(z|x) for each image"
    print(f"  -ELBO       {terms.loss:8.2f}   {parts}")
    if samples:
        estimate = evaluation.importance_nll(
            model, images, config.pixels, rng, samples, partial(_bar, what="log p(x)")
        )
        print(
            f"  -log p(x)   {estimate.mean:8.2f}   +- {estimate.error:.2f} over images; "
            f"an upper bound by {samples} importance samples"
        )
    active = evaluation.active_units(model, images, config.pixels, rng)
    print(f"  latents     {active.sum():5d}      of {active.size} are active: Var over x of mu(x) > 0.01")


def variance(cost, model, train, out, csv, seed, seeds, samples, epochs, threads, **parameters):
    """Compare estimators of a gradient: on a cost with exact answers, on a trained VAE, or in training."""
    from . import kernels

    _require_png(out)
    _require_writable(*filter(None, (out, csv)))
    if threads is not None:
        kernels.set_threads(threads)
    if model:
        from .laboratory import encoders

        report = encoders.measure(model, samples, seed, _bar)
    elif train:
        from .laboratory import courses

        report = courses.measure(epochs, seeds, seed, _bar)
    else:
        from .laboratory import costs

        report = costs.measure(cost, samples=samples, seed=seed, progress=_bar, **parameters)
    for line in report.lines():
        print(line, flush=True)
    if csv:
        files.write(csv, files.to_csv(report.records()))
        print(f"wrote {csv}")
    _write_picture(report.figure(), out)


def gradcheck(plot, list_bugs, bug_table, **settings):
    """Check every derivative of a model; the exit code is 1 if one is wrong."""
    from .bugs import command, table

    if list_bugs or bug_table:
        print("\n".join(command.bugs_by_name() if list_bugs else table()))
        return 0
    if plot:
        _require_png(plot, "--plot")
        _require_writable(plot)
    reports = command.reports(**settings)
    print("\n\n".join(map(str, reports)), flush=True)
    right = all(report.ok for report in reports)
    if settings["plant"]:
        lines, caught = command.about(settings["plant"])
        right = right and not caught
        print("\n".join(lines), flush=True)
    if plot:
        worst = next((report for report in reports if not report.ok), reports[-1])
        _write_picture(worst.plot(), plot)
    return 0 if right else 1


def bench(numbers, out, threads, rounds, quick, only):
    """Race the training step and its products against other libraries, in one interleaved run."""
    from .bench import chart, race, table

    _require_png(out)
    _require_writable(*filter(None, (out, numbers)))
    results = race.measure(
        only or race.KINDS, threads, rounds, quick, lambda line: print(line, file=sys.stderr)
    )
    for line in table.lines(results):
        print(line, flush=True)
    if numbers:
        files.write(numbers, race.to_json(results))
        print(f"wrote {numbers}")
    figure = chart.bench_chart(results)
    if figure:
        _write_picture(figure, out)


# ------------------------------------------------------------------------------ what they share


def _bar(items, what, **settings):
    """The items with a progress bar on a terminal."""
    from tqdm import tqdm

    return tqdm(items, desc=what, leave=False, disable=None, **settings)


def _require_writable(*paths):
    """Before minutes of measuring, not after."""
    for path in paths:
        files.require_ours(path)
        if not Path(path).parent.is_dir():
            raise ValueError(f"{path} cannot be written: there is no folder {Path(path).parent}")


def _write_picture(figure, path):
    from . import plots

    _require_png(path)
    files.write(path, plots.to_png(figure))
    print(f"wrote {path}")


def _require_png(path, option="--out"):
    if Path(path).suffix.lower() != ".png":
        raise ValueError(f"{option} must name a .png file, got {path}")


def _set_threads(threads, model):
    if threads is None:
        return
    if model.ops.__name__ != "minivae.kernels":
        print("note: --threads is for the numba backend; this run computes with numpy", file=sys.stderr)
        return
    model.ops.set_threads(threads)


def _headline(run, folder):
    model, config = run.model, run.config
    widths = "-".join(str(n) for n in (model.data_dim, *model.hidden, model.latent_dim))
    count = sum(param.size for param in model.params.values())
    images = f"{len(run.data.x_train):,} + {len(run.data.x_test):,} images"
    crossing = f", {config.estimator}" * (config.estimator != "pathwise")
    crossing += f" with baseline {config.baseline}" * (config.baseline != "none")
    resumed = f", after epoch {run.epoch}" * (run.epoch > 0) + f", step {run.step}" * (run.step > 0)
    return (
        f"{widths} {config.activation}, {config.likelihood}, {count:,} parameters, {config.optimizer} "
        f"{config.lr:g}{crossing}, {images}, {config.pixels} pixels -> {folder}{resumed}"
    )
