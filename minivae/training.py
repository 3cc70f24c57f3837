"""The training loop: epochs, Ctrl-C, checkpoints and pictures, and a summary with warnings at the end."""

import shlex
import signal
import sys
import threading
from contextlib import contextmanager
from pathlib import Path

import numpy as np
from tqdm import tqdm

from . import data, evaluation, files
from .checkpoints import BEST, RUN_FILES
from .runs import FIGURES, TEST


class Interrupted(KeyboardInterrupt):
    """Ctrl-C was pressed and everything is saved; the message says how to continue."""


@contextmanager
def ctrl_c():
    """An event that the first Ctrl-C sets, so that the current step ends; a second Ctrl-C stops at once."""
    pressed = threading.Event()

    def press(*_):
        signal.signal(signal.SIGINT, signal.default_int_handler)
        pressed.set()

    main = threading.current_thread() is threading.main_thread()  # only there can signals be caught
    before = signal.signal(signal.SIGINT, press) if main else None
    try:
        yield pressed
    finally:
        if main:
            signal.signal(signal.SIGINT, before)


def new_folder(run, out=None, overwrite=False):
    """Make the folder of a new run, by default the next number under runs/, with its checkpoint in it."""
    run.folder = files.new_folder(run.save, out, overwrite, RUN_FILES)
    return run.folder


def train(run, folder, say=print):
    """Train `run` to its last epoch and draw its pictures; the folder of a new run is created.

    `say` receives one line per epoch, then the lines of `summary`. Raises Interrupted after Ctrl-C, once the
    run is saved; ValueError, with the epoch and step, if the loss is not finite; ValueError if the folder
    exists and is not this run's.
    """
    folder = Path(folder)
    if run.folder != folder:
        new_folder(run, folder)
    resume = f"python -m minivae train --resume {shlex.quote(str(folder))}"
    with ctrl_c() as pressed:
        run.save(folder)
        while run.epoch < run.config.epochs:
            try:
                _train_epoch(run, pressed)
                run.save(folder)
            except ValueError as error:
                again = f"; continue with: {resume} --checkpoint best --lr {run.config.lr / 10:g}"
                raise ValueError(f"{error}{again * (run.epoch > 0)}") from None
            if not run.step:
                epoch, train, _, _, test, nll, kl = run.history[-1]
                means = f"train {train:8.3f}   test {test:8.3f} (nll {nll:.3f}, kl {kl:.3f})"
                say(f"epoch {int(epoch):3d}/{run.config.epochs}   {means}   {run.seconds[-1]:.1f} s")
            if pressed.is_set():
                where = f"epoch {run.epoch + 1}, step {run.step}" if run.step else f"epoch {run.epoch}"
                raise Interrupted(f"stopped after {where}, saved; continue with: {resume}")
    for line in summary(run):
        say(line)
    try:
        from . import plots  # here, so that training itself does not wait for matplotlib

        for name, figure in plots.of_run(run, run.stream(FIGURES)):
            files.write(Path(folder, name), plots.to_png(figure))
    except KeyboardInterrupt:
        raise Interrupted(f"trained and saved, but pictures are missing; draw them with: {resume}") from None
    except Exception as error:  # matplotlib fails in many ways, and the run itself is complete
        print(f"warning: not all pictures are drawn: {' '.join(str(error).split())}", file=sys.stderr)


def _train_epoch(run, pressed):
    """One epoch with its test, unless Ctrl-C is pressed; with a progress bar on a terminal."""
    title, done = f"epoch {run.epoch + 1}/{run.config.epochs}", run.step * run.config.batch_size
    shown = {"unit": " images", "unit_scale": True, "leave": False, "disable": None if sys.stderr else True}
    with tqdm(desc=title, total=len(run.data.x_train), initial=done, **shown) as bar:

        def progress(images, loss):
            bar.set_postfix(loss=f"{loss:.1f}", refresh=False)
            bar.update(images)

        if run.train_epoch(pressed.is_set, progress):
            run.close_epoch()


def headline(run, folder):
    """One line on the model, the step and the data of a run, and where it is kept."""
    model, config = run.model, run.config
    widths = "-".join(str(n) for n in (model.data_dim, *model.hidden, model.latent_dim))
    count = sum(param.size for param in model.params.values())
    words = [widths + f" {config.activation}", config.likelihood, f"{count:,} parameters"]
    if config.model != "vae":
        words[0] = f"{config.model} {words[0]}"
    family = " ".join(filter(None, (config.posterior, config.prior)))
    words += [f"{family} latents"] * (family != "gaussian")
    words += [f"{config.optimizer} {config.lr:g}"]
    if config.model != "autoencoder" and config.estimator != "pathwise":
        baseline = f" with baseline {config.baseline}" * (config.baseline != "none")
        words += [f"{config.estimator}{baseline}, S = {config.samples}"]
    words += [f"bound {config.bound}, S = {config.samples}"] * (config.bound != "elbo")
    words += [f"{config.corruption} corruption"] * (config.corruption != "none")
    words += [f"{config.pixels} pixels"]
    resumed = f", after epoch {run.epoch}" * (run.epoch > 0) + f", step {run.step}" * (run.step > 0)
    return f"{', '.join(words)} -> {folder}{resumed}"


def summary(run):
    """Yield three lines on a finished run, and one more for each likely problem.

    The three are the test loss, its two terms, and the number of active latents.
    """
    epoch, (loss, nll, kl), best, config = run.epoch, run.history[-1, 4:], run.best_epoch, run.config
    text = f"test loss {loss:.2f} nats per image"
    text += f", the best of {epoch} epochs" * (best == epoch > 1)
    if best != epoch:
        text += f"; the best, {run.losses('test')[best - 1]:.2f}, was after epoch {best}"
        text += f" and is kept as {BEST}" * Path(run.folder, BEST).exists()
    yield text
    weight, name = f"{config.beta:g} * {kl:.2f}", "KL to the prior"
    if config.model == "autoencoder":
        weight, name = f"{config.penalty_weight:g} * {kl:.2f}", f"penalty ({config.penalty})"
    parts = f"; their mean, which the bound of {config.samples} samples is below" * (config.bound != "elbo")
    yield f"  {nll:.2f} for the reconstruction (nll), {weight} for the {name}{parts}"
    condition, stream = run.condition("test"), run.stream(TEST)
    active = evaluation.active_units(run.model, run.data.x_test, config.pixels, stream, condition=condition)
    yield f"  {active.sum()} of {active.size} latents are active: Var over x of E[z|x] > 0.01"
    for text in concerns(run, int(active.sum())):
        yield f"note: {text}"


def concerns(run, active):
    """Yield the likely problems of a finished run, each with a remedy."""
    config, latents, train, test = run.config, run.model.latent_dim, run.losses("train"), run.losses("test")
    variance = data.moments(run.data.x_train, config.pixels)[1]
    remedy = "a smaller --beta" if config.beta > 1 else "--beta-warmup 5 or more epochs"
    if config.likelihood == "gaussian" and variance.mean() < 0.5:
        remedy = f"--likelihood gaussian-shared: the data have variance {variance.mean():.2g}, gaussian has 1"
    if len(run.data.x_test) < 2:
        pass  # one image has no variance
    elif config.model == "autoencoder":
        option = "--lr" if config.penalty == "none" else "--penalty-weight"
        if not active:
            yield f"every x has nearly the same code and reconstruction; try a smaller {option}"
    elif not active:
        yield f"q(z|x) has collapsed to the prior, so every x gets the same reconstruction; try {remedy}"
    elif active < latents / 4 and config.posterior != "categorical":
        yield f"q(z|x) of the other {latents - active} latents has collapsed to the prior; try {remedy}"
    rise, gain = test[-1] - test.min(), abs(test[0] - test.min())
    enough = len(run.data.x_test) >= 20  # a handful of images may differ from the others by chance
    jumped = enough and np.any(train > test + np.maximum(np.abs(test), 1))
    if jumped or any(loss[-1] > loss[0] + 0.1 * abs(loss[0]) for loss in (train, test)):
        yield f"training is unstable, the largest training loss is {train.max():.4g}; try a smaller --lr"
    elif rise > max(0.1 * gain, 0.01 * abs(test.min())) and train[-1] < train[run.best_epoch - 1]:
        yield f"the test loss has risen since epoch {run.best_epoch} while training went on: overfitting"
    if config.likelihood == "gaussian-pixel" and (variance == 0).any():
        unbounded = "their learned variance goes to 0, and the loss has no lower bound"
        still = f"{(variance == 0).sum()} of {len(variance)} pixels never change"
        yield f"{still}: {unbounded}; try gaussian-shared"
