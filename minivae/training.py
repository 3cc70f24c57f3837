"""Train a run to its end: progress, Ctrl-C, the run folder and its pictures.

The folder is complete from the first moment: a checkpoint is written before the first step, after every
epoch, and where Ctrl-C stopped an epoch half way. A run that was killed goes on from the last of them.
"""

import shlex
import shutil
import signal
import sys
import threading
from pathlib import Path
from statistics import NormalDist

import numpy as np
from tqdm import tqdm

from . import data, evaluation, files
from .folders import CHECKPOINT, CONFIG, METRICS
from .runs import FIGURES

PICTURES = ("curves.png", "reconstructions.png", "samples.png", "latent_map.png", "manifold.png")
LATER = ("sample.png", "reconstruct.png")  # what the commands of these names leave


class Interrupted(KeyboardInterrupt):
    """Ctrl-C was pressed and everything is saved; the message says how to go on."""


class CtrlC:
    """While this is entered, the first Ctrl-C only asks to stop; a second one stops at once."""

    asked = False

    def __enter__(self):
        if threading.current_thread() is threading.main_thread():
            self.before = signal.signal(signal.SIGINT, self._ask)
        return self

    def _ask(self, *_):
        if self.asked:
            raise KeyboardInterrupt
        self.asked = True

    def __exit__(self, *_):
        if threading.current_thread() is threading.main_thread():
            signal.signal(signal.SIGINT, self.before)


def new_folder(run, out=None, overwrite=False):
    """Make the folder of a new run, by default the next free number under runs/, with its checkpoint in it.

    Raises ValueError where a run already stands (unless `overwrite`) or a foreign file is in the way.
    """
    folder = Path("runs", str(_next_number())) if out is None else Path(out)
    if folder.exists() and not folder.is_dir():
        raise ValueError(f"--out {folder} is a file, expected a folder")
    written = [folder / name for name in (CHECKPOINT, CONFIG, METRICS, *PICTURES, *LATER)]
    for path in written:
        files.require_ours(path)
    if any(path.exists() for path in written) and not overwrite:
        raise ValueError(f"--out {folder} already holds a run; add --overwrite to replace it")
    if not folder.exists():  # it appears complete or not at all
        partial = folder.with_name(f".{folder.name}.part")
        try:
            partial.mkdir(parents=True, exist_ok=True)
        except OSError as error:
            raise ValueError(f"--out {folder} cannot be made: {error.strerror}") from None
        try:
            run.save(partial)
        except BaseException:
            shutil.rmtree(partial, ignore_errors=True)
            raise
        partial.rename(folder)
        return folder
    # the old config goes before the new checkpoint comes: a crash between the two leaves one run or the other
    config, aside = folder / CONFIG, folder / f".{CONFIG}.old"
    before = _inode(folder / CHECKPOINT)
    if config.exists():
        config.rename(aside)
    try:
        run.save(folder)
    except BaseException:
        if aside.exists() and _inode(folder / CHECKPOINT) == before:
            aside.rename(config)  # the checkpoint is still the old one, so its config stays too
        raise
    for path in (aside, *(folder / name for name in (*PICTURES, *LATER))):
        path.unlink(missing_ok=True)
    return folder


def _inode(path):
    """Which file stands at a path, or None: a replaced one has another number."""
    return path.stat().st_ino if path.exists() else None


def _next_number():
    taken = [int(path.name) for path in Path("runs").glob("*") if path.name.isdecimal()]
    return max(taken, default=0) + 1


def train(run, folder, say=print):
    """Train `run` to its last epoch, and leave its folder complete.

    `say` gets one line per epoch. Raises Interrupted once Ctrl-C has been obeyed and the run saved, and
    ValueError with the epoch and step where the loss stops being finite, or where another run's folder, or a
    later state of this one, would be replaced.
    """
    folder = Path(folder)
    if not folder.exists():
        new_folder(run, folder)
    run.require_own(folder)
    resume = f"python -m minivae train --resume {shlex.quote(str(folder))}"
    with CtrlC() as ctrl_c:
        run.save(folder)
        while run.epoch < run.config.epochs:
            if _train_epoch(run, ctrl_c):
                run.close_epoch()
            run.save(folder)
            if not run.step:
                say(epoch_line(run))
            if ctrl_c.asked:
                where = f"epoch {run.epoch + 1}, step {run.step}" if run.step else f"epoch {run.epoch}"
                raise Interrupted(f"stopped after {where}, saved; go on with: {resume}")
    try:
        for name, figure in pictures(run):
            files.write(folder / name, figure)
    except KeyboardInterrupt:
        raise Interrupted(
            f"trained and saved, but not all pictures are drawn; draw them with: {resume}"
        ) from None


def _train_epoch(run, ctrl_c):
    """One epoch under a progress bar, which shows on a terminal only; whether it is complete."""
    with tqdm(
        desc=f"epoch {run.epoch + 1}/{run.config.epochs}", total=len(run.data.x_train), unit=" images",
        initial=run.step * run.config.batch_size, unit_scale=True, leave=False,
        disable=None if sys.stderr else True, file=sys.stderr,
    ) as bar:  # fmt: skip

        def progress(images, loss):
            bar.set_postfix(loss=f"{loss:.1f}", refresh=False)
            bar.update(images)

        return run.train_epoch(lambda: ctrl_c.asked, progress)


def epoch_line(run):
    """One line on the epoch that was closed last."""
    epoch, train, _, _, test, test_nll, test_kl = run.history[-1]
    return (
        f"epoch {int(epoch):3d}/{run.config.epochs}   train {train:8.3f}   "
        f"test {test:8.3f} (nll {test_nll:.3f}, kl {test_kl:.3f})   {run.seconds[-1]:.1f} s"
    )


def pictures(run):
    """(name, bytes of a PNG) for every picture of a run folder, drawn with the run's own stream."""
    from . import plots  # here, so that training itself does not wait for matplotlib

    model, shape, rng = run.model, run.data.image_shape, run.stream(FIGURES)
    yield "curves.png", plots.to_png(plots.curves(run.history))
    originals = data.minibatch(run.data.x_test[:12], run.config.pixels, rng)
    yield (
        "reconstructions.png",
        plots.to_png(plots.reconstructions(originals, model.reconstruct(originals), shape)),
    )
    yield (
        "samples.png",
        plots.to_png(plots.image_grid(model.sample(100, rng), shape, title="decoded draws from the prior")),
    )
    if run.config.latent == 2:
        mu = evaluation.latent_means(model, run.data.x_test, run.config.pixels, rng)
        yield "latent_map.png", plots.to_png(plots.latent_map(mu, run.data.y_test))
        yield "manifold.png", plots.to_png(plots.manifold(model.mean(prior_grid(20)), shape))


def prior_grid(side):
    """z (side * side, 2): a grid from the 5 % to the 95 % quantile of N(0, 1) along each latent."""
    quantiles = [NormalDist().inv_cdf(p) for p in np.linspace(0.05, 0.95, side)]
    z1, z2 = np.meshgrid(quantiles, quantiles[::-1])  # the first row of pictures is the top one
    return np.stack([z1.ravel(), z2.ravel()], axis=1)
