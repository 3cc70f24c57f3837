"""python -m minivae: train a VAE, look at what it learned, check its gradients.

Every error that a user can make ends as one line on standard error and exit code 2; Ctrl-C ends with 130.
"""

import argparse
import copy
import dataclasses
import os
import runpy
import shlex
import sys
import time
from functools import partial
from pathlib import Path

import numpy as np
from tqdm import tqdm

from . import arguments, data, evaluation, files, training
from .config import Config
from .estimators import ESTIMATORS, named
from .training import Run, load_model


def main(argv=None):
    """Run one command; the exit code is returned."""
    words = list(sys.argv[1:] if argv is None else argv)
    try:
        if words and words[0] in ("variance", "bench"):
            raise ValueError(f"this command has moved: python -m lessons {shlex.join(words)}")
        args = vars(parser().parse_args(words))
        if args.keys() & {"plant", "list_bugs", "bug_table"}:
            sys.argv = ["lessons", "bugs", *words[1:]]
            runpy.run_module("lessons", run_name="__main__", alter_sys=True)  # it ends with sys.exit
        return args.pop("command")(**args) or 0
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


# ------------------------------------------------------------------------------ the commands, with their help


def train(out, overwrite, resume, threads, **settings):
    """Train a VAE and leave a run folder, or continue a run."""
    if settings.get("data"):
        settings["data"] = os.path.abspath(settings["data"])  # so that a run can be resumed from anywhere
    if resume is None:
        run = Run(Config(**settings))
    elif out or overwrite:
        raise ValueError("--resume continues in the run's own folder; leave out --out and --overwrite")
    else:
        run = Run.load(resume, **settings)
    _set_threads(threads, run.model)
    folder = run.folder or training.new_folder(run, out, overwrite)
    print(_headline(run, folder), flush=True)
    started = time.perf_counter()
    training.train(run, folder, say=partial(print, flush=True))
    print(f"done in {time.perf_counter() - started:.0f} s; look at {folder}/reconstructions.png, then try:")
    for command in ("sample", "reconstruct", "evaluate"):
        print(f"  python -m minivae {command} {shlex.quote(str(folder))}")


def sample(run, n, out, seed, threads):
    """Draw images from the prior."""
    model, shape = load_model(run)
    _set_threads(threads, model)
    from . import plots

    means = model.sample(n, arguments.seeded("seed", seed))
    figure = plots.image_grid(means, shape, title="decoded draws from the prior")
    _write_picture(figure, out or f"{run}/sample.png")


def reconstruct(run, n, out, seed, threads):
    """Encode test images and decode z = mu."""
    loaded = Run.load(run)
    _set_threads(threads, loaded.model)
    rng, available = arguments.seeded("seed", seed), len(loaded.data.x_test)
    n = min(12, available) if n is None else arguments.integer("n", n)
    if n > available:
        raise ValueError(f"n must be at most {available}, the number of test images, got {n}")
    rows = np.sort(rng.choice(available, n, replace=False))
    x = data.minibatch(loaded.data.x_test[rows], loaded.config.pixels, rng)
    from . import plots

    figure = plots.reconstructions(x, loaded.model.reconstruct(x), loaded.data.image_shape)
    _write_picture(figure, out or f"{run}/reconstruct.png")


def evaluate(run, seed, samples, threads):
    """Measure the ELBO, log p(x) and the active latents on the test set."""
    loaded = Run.load(run)
    model, pixels, images = loaded.model, loaded.config.pixels, loaded.data.x_test
    _set_threads(threads, model)
    arguments.integer("samples", samples, at_least=0)
    rng = loaded.stream(training.TEST) if seed is None else arguments.seeded("seed", seed)
    terms = evaluation.average_terms(model, images, pixels, copy.deepcopy(rng))
    # the same draws again, so that every line is about the same pixels
    x = np.concatenate([x for x, _ in evaluation.draws(model, images, pixels, rng)])
    print(f"{run}, epoch {loaded.epoch}: {len(x):,} test images, {pixels} pixels, nats per image")
    parts = f"nll {terms.nll:.2f} + kl {terms.kl:.2f}, one z from q(z|x) for each image"
    print(f"  -ELBO       {terms.loss:8.2f}   = {parts}")
    if samples:
        bar = partial(tqdm, desc="log p(x)", leave=False, disable=None)
        estimate = evaluation.importance_nll(model, x, "grey", rng, samples, bar)
        bound = f"+- {estimate.error:.2f} over images; an upper bound by {samples} importance samples"
        print(f"  -log p(x)   {estimate.mean:8.2f}   {bound}")
    active = evaluation.active_units(model, x, "grey", rng)
    print(f"  latents     {active.sum():5d}      of {active.size} are active: Var over x of mu(x) > 0.01")


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


def _write_picture(figure, path):
    from . import plots

    files.write(path, plots.to_png(figure))
    print(f"wrote {path}")


def _set_threads(threads, model):
    if threads is not None and model.ops.__name__ != "minivae.kernels":
        print("note: --threads is for the numba backend; this run computes with numpy", file=sys.stderr)
    elif threads is not None:
        model.ops.set_threads(threads)


def _headline(run, folder):
    model, config = run.model, run.config
    widths = "-".join(str(n) for n in (model.data_dim, *model.hidden, model.latent_dim))
    count = sum(param.size for param in model.params.values())
    images = f"{len(run.data.x_train):,} + {len(run.data.x_test):,} images"
    estimator = f", {config.estimator}" * (config.estimator != "pathwise")
    estimator += f" with baseline {config.baseline}" * (config.baseline != "none")
    resumed = f", after epoch {run.epoch}" * (run.epoch > 0) + f", step {run.step}" * (run.step > 0)
    return (
        f"{widths} {config.activation}, {config.likelihood}, {count:,} parameters, {config.optimizer} "
        f"{config.lr:g}{estimator}, {images}, {config.pixels} pixels -> {folder}{resumed}"
    )


class Parser(argparse.ArgumentParser):
    """An ArgumentParser whose errors are one line."""

    def error(self, message):
        self.exit(2, f"{self.prog}: error: {message}\n")


def path(text):
    """A path that is not empty: an unset shell variable must not mean the current folder."""
    if not text:
        raise argparse.ArgumentTypeError("expected a path, got an empty word")
    return text


def widths(text):
    """ "400" -> (400,), "200,200" -> (200, 200), "none" -> ()."""
    try:
        return () if text == "none" else tuple(int(width) for width in text.split(","))
    except ValueError:
        wanted = "expected widths such as 400 or 200,200, or none"
        raise argparse.ArgumentTypeError(f"{wanted}; got {text!r}") from None


def png(text):
    """The path of a picture."""
    if Path(text).suffix.lower() != ".png":
        raise argparse.ArgumentTypeError(f"expected the path of a .png file, got {text!r}")
    return text


# how an option is read, by the name of its value in `--help`
KINDS = {"N": int, "X": float, "WIDTHS": widths, "FILE": path, "DIR": path, "RUN": path, "PNG": png}
UNSET = {"default": argparse.SUPPRESS}  # the command must see whether the option is given
# the settings of a run that `gradcheck` takes; small, since every entry is checked
CHECKED = {"seed": 0, "batch_size": 5, "hidden": (8, 6), "latent": 3, "activation": "tanh"}
CHECKED |= {"likelihood": "bernoulli", "beta": 0.7, "samples": 1}


def add(group, flag, kind, text, default=None):
    """Add an option; `kind` is a key of KINDS, or a tuple of choices."""
    if isinstance(kind, tuple):
        reading, text = {"metavar": "NAME", "choices": kind}, f"{text} [{' | '.join(kind)}]"
    else:
        reading = {"metavar": kind, "type": KINDS[kind]}
    if default is not None:
        shown = ",".join(map(str, default)) if isinstance(default, tuple) else default
        text += f" (default: {shown})"
    return group.add_argument(flag, help=text, default=default, **reading)


def add_settings(group, defaults):
    """Add the fields of Config that `defaults` names."""
    kinds = {int: "N", float: "X", tuple: "WIDTHS"}
    for field in dataclasses.fields(Config):
        if field.name in defaults:
            flag, check = "--" + field.name.replace("_", "-"), field.metadata["check"]
            kind = check if isinstance(check, tuple) else kinds.get(field.type, "FILE")
            action = add(group, flag, kind, field.metadata["help"], defaults[field.name])
            action.default = argparse.SUPPRESS  # --resume must see what is given


def parser():
    """Every command and its options; the settings of a run among them are the fields of Config."""
    about = "Variational autoencoders, written by hand."
    root = Parser("python -m minivae", description=about, allow_abbrev=False)
    commands = root.add_subparsers(title="commands", metavar="COMMAND", required=True)
    subs = {}
    for function in (train, sample, reconstruct, evaluate, gradcheck):
        words = {"help": function.__doc__, "description": function.__doc__}
        subs[function] = commands.add_parser(function.__name__, allow_abbrev=False, **words)
        subs[function].set_defaults(command=function)
    defaults = {field.name: field.default for field in dataclasses.fields(Config)}
    add_settings(subs[train].add_argument_group("settings"), defaults)
    add_settings(subs[gradcheck].add_argument_group("settings"), CHECKED)
    backends, estimators = ("numba", "numpy", "both"), tuple(ESTIMATORS)
    for functions, *option in (
        ((train,), "--out", "DIR", "the run folder (default: the next number under runs/)"),
        ((train,), "--resume", "RUN", "continue a run that was stopped, to the same bits"),
        ((sample, reconstruct, evaluate), "run", "RUN", "a run folder, such as runs/1"),
        ((sample, reconstruct), "--seed", "N", "seed of the draws", 0),
        ((sample,), "-n", "N", "how many", 100),
        ((sample,), "--out", "PNG", "the picture to write (default: RUN/sample.png)"),
        ((reconstruct,), "-n", "N", "how many (default: 12, or all if there are fewer)"),
        ((reconstruct,), "--out", "PNG", "the picture to write (default: RUN/reconstruct.png)"),
        ((evaluate,), "--seed", "N", "seed of the draws (default: the run's own test draws)"),
        ((evaluate,), "--samples", "N", "importance samples for log p(x), 0 for none", 100),
        ((train, sample, reconstruct, evaluate), "--threads", "N", "threads for numba (default: all)"),
        ((gradcheck,), "--data-dim", "N", "pixels D", 12),
        ((gradcheck,), "--estimator", estimators, "gradient estimator for the sampling step", "pathwise"),
        ((gradcheck,), "--backend", backends, "compiled kernels, plain NumPy", "both"),
        ((gradcheck,), "--dtype", ("float64", "float32"), "precision", "float64"),
        ((gradcheck,), "--plot", "PNG", "the picture to write, with the error of every entry"),
    ):
        for function in functions:
            add(subs[function], *option)
    subs[train].add_argument("--overwrite", action="store_true", help="replace the run in --out")
    group = subs[gradcheck].add_argument_group("or a bug on purpose (python -m lessons bugs)")
    group.add_argument("--plant", metavar="BUG", help="plant a classical bug, and see it found", **UNSET)
    group.add_argument("--list-bugs", action="store_true", help="list them", **UNSET)
    group.add_argument("--bug-table", action="store_true", help="which check catches which bug", **UNSET)
    return root
