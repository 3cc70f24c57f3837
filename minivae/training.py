"""A training run: its settings, its steps, its checkpoint and its folder.

A `Run` draws everything random from generators made of one seed, and its checkpoint holds their state, so
that a resumed run gives the same bits as one that was never interrupted. Nothing else influences a step: not
the clock, not the number of threads, not how often the run was stopped.
"""

import dataclasses
import io
import json
import shlex
import signal
import sys
import threading
import time
from contextlib import contextmanager
from pathlib import Path

import numpy as np
from tqdm import tqdm

from . import data, evaluation, files
from .config import OPTIMIZERS, Config
from .estimators import moving_average_baseline

CHECKPOINT, CONFIG, METRICS = "checkpoint.npz", "config.json", "metrics.csv"
PICTURES = ("curves.png", "reconstructions.png", "samples.png", "latent_map.png", "manifold.png")
RUN_FILES = {CHECKPOINT, CONFIG, METRICS, *PICTURES, "sample.png", "reconstruct.png"}
CHANGEABLE = {"epochs", "data"}  # a run may be prolonged, and its data file may move
COLUMNS = ("epoch", *(f"{split}_{term}" for split in ("train", "test") for term in ("loss", "nll", "kl")))
WEIGHTS, TRAIN, TEST, FIGURES = range(4)  # the four streams of randomness made of one seed
KEPT = "the last good checkpoint is kept"


class Run:
    """A model, its optimizer, its data and its progress."""

    PROGRESS = ("epoch", "step", "order", "sums", "elapsed_seconds", "history", "seconds")

    def __init__(self, config, dataset=None):
        self.config = config
        self.folder = None  # where it was saved or loaded
        stored = data.load_dataset(config.data) if dataset is None else dataset
        self.digest = data.digest(stored)
        self.model = config.build_model(stored.x_train.shape[1], self.stream(WEIGHTS))
        self.data = data.prepare(stored, config.pixels, self.model.likelihood.support)
        self.model.start_output_at(data.pixel_mean(self.data.x_train, config.pixels))
        self.optimizer = OPTIMIZERS[config.optimizer](lr=config.lr, backend=config.backend)
        self.rng = self.stream(TRAIN)
        self.estimator = config.build_estimator(self.rng)
        self.epoch = 0  # epochs finished
        self.step = 0  # steps done of the current epoch
        self.order = np.empty(0, np.uint32)  # of the images in the current epoch
        self.sums = np.zeros(3)  # loss, nll, kl of the current epoch, summed over images
        self.elapsed_seconds = 0.0  # of the current epoch
        self.history = np.empty((0, len(COLUMNS)))
        self.seconds = np.empty(0)  # of every finished epoch, its test included

    def stream(self, which):
        """A generator for one of the four purposes, the same at every call."""
        return np.random.default_rng(self.config.seed).spawn(4)[which]

    def train_epoch(self, stop=lambda: False, progress=lambda images, loss: None):
        """Train to the end of the epoch, or until `stop()`; return whether the epoch is complete."""
        config, images = self.config, self.data.x_train
        started = time.perf_counter() - self.elapsed_seconds
        if self.step == 0:
            self.order = self.rng.permutation(len(images)).astype(np.uint32)
        while self.step * config.batch_size < len(images):
            rows = self.order[self.step * config.batch_size :][: config.batch_size]
            x = data.minibatch(images[rows], config.pixels, self.rng)  # (B, D)
            eps = evaluation.noise(self.model, self.rng, len(x), config.samples)  # (B, L) or (S, B, L)
            try:
                terms, grads = self.model.loss_and_grads(x, eps, config.beta, self.estimator)
            except ValueError as error:
                advice = "try a smaller --lr" if self.optimizer.t else "check that the data are scaled"
                at = f"epoch {self.epoch + 1}, step {self.step + 1}"
                raise ValueError(f"{at}: {error}; {advice}; {KEPT}") from None
            self.optimizer.step(self.model.params, grads)
            self.sums += len(x) * np.array(terms)
            self.step += 1
            self.elapsed_seconds = time.perf_counter() - started
            progress(len(x), terms.loss)
            if stop():
                break
        return self.step * config.batch_size >= len(images)

    def close_epoch(self):
        """Measure the test set, with the same draws after every epoch, and add a row to the history."""
        started = time.perf_counter() - self.elapsed_seconds
        try:
            test = self.test_terms(self.config.samples)
        except ValueError as error:
            raise ValueError(f"test after epoch {self.epoch + 1}: {error}; {KEPT}") from None
        self.epoch += 1
        self.history = np.vstack([self.history, [self.epoch, *self.sums / len(self.data.x_train), *test]])
        self.seconds = np.append(self.seconds, time.perf_counter() - started)
        self.step, self.order, self.sums, self.elapsed_seconds = 0, self.order[:0], np.zeros(3), 0.0

    def test_terms(self, samples=1):
        """Terms on the test set, with z sampled from the run's own test stream."""
        settings = self.config.pixels, self.stream(TEST), self.config.beta, samples
        return evaluation.average_terms(self.model, self.data.x_test, *settings)

    # -------------------------------------------------------------------------- the checkpoint

    def arrays(self):
        """Everything that the next step depends on, by its name in a checkpoint."""
        params = self.model.params
        arrays = {f"params/{name}": param for name, param in params.items()}
        for kind in self.optimizer.remembers if self.optimizer.t else ():
            for name, param in params.items():
                memory = self.optimizer.state.setdefault(f"{kind}/{name}", np.zeros_like(param))
                arrays[f"optimizer/{kind}/{name}"] = memory
        if isinstance(self.estimator, moving_average_baseline):
            arrays["baseline"] = np.array([self.estimator.total, self.estimator.weight])
        return arrays | {
            "config": np.array(json.dumps(dataclasses.asdict(self.config))),
            "data": np.array(self.digest),
            "generator": np.array(json.dumps(self.rng.bit_generator.state)),
            "optimizer_steps": np.array(self.optimizer.t),
            "image_shape": np.array(self.data.image_shape),
            **{name: np.array(getattr(self, name)) for name in self.PROGRESS},
        }

    def save(self, folder):
        """Write the checkpoint, then config.json and metrics.csv, unless a parameter is not finite."""
        for name, param in self.model.params.items():
            if not np.isfinite(param).all():
                raise ValueError(f"the parameter {name} is no longer finite; {KEPT}")
        files.save_arrays(Path(folder, CHECKPOINT), self.arrays())
        config = {"minivae": files.FORMAT} | dataclasses.asdict(self.config)
        files.write(Path(folder, CONFIG), (json.dumps(config, indent=2) + "\n").encode())
        text, table = io.BytesIO(), np.column_stack([self.history, self.seconds])
        formats, header = ["%d", *["%.6f"] * 6, "%.3f"], ",".join([*COLUMNS, "seconds"])
        np.savetxt(text, table, formats, delimiter=",", header=header, comments="")
        files.write(Path(folder, METRICS), text.getvalue())

    @classmethod
    def load(cls, folder, **changes):
        """Read a run folder, to continue it; only `epochs` and `data`, the path of its images, may change."""
        arrays, config = read(folder)
        continued = dataclasses.replace(config, **changes)
        if changed := _differences(config, continued):
            raise ValueError(f"--resume keeps the run's settings; it cannot change {', '.join(changed)}")
        run = cls(continued)
        run.folder = Path(folder)
        if arrays.get("data") != run.digest:
            raise ValueError(f"the data in {run.config.data or 'MNIST'} are not those of the run in {folder}")
        run.restore(arrays)
        if run.epoch > run.config.epochs or (run.epoch == run.config.epochs and run.step):
            raise ValueError(f"epochs must be more than the {run.epoch} that {folder} has already run")
        return run

    def restore(self, saved):
        """Take over the state in a checkpoint, and refuse one that this run cannot reach."""
        self.optimizer.t = files.entry(saved, "optimizer_steps", np.array(0)).item()
        mine = self.arrays()
        given = {name: files.entry(saved, name, array) for name, array in mine.items()}
        for name, value in given.items():
            if name.startswith(("params/", "optimizer/")):
                mine[name][...] = value
            elif name == "baseline":
                self.estimator.total, self.estimator.weight = value.tolist()
            elif name in self.PROGRESS:
                setattr(self, name, value if value.ndim else value.item())
        try:
            self.rng.bit_generator.state = state = json.loads(given["generator"].item())
            same_state = self.rng.bit_generator.state == state
        except Exception:  # NumPy raises many kinds of error for what is not a state
            same_state = False
        images, epochs = np.arange(len(self.data.x_train)), np.arange(1, len(self.seconds) + 1)
        steps = -(-len(images) // self.config.batch_size)  # of an epoch
        squares = "optimizer/v/", "optimizer/square/", "seconds"
        possible = (
            same_state
            and 0 <= self.step <= steps
            and self.optimizer.t == self.epoch * steps + self.step
            and (self.step == 0 or np.array_equal(np.sort(self.order), images))
            and self.epoch == len(epochs)
            and np.array_equal(self.history[:, 0], epochs)
            and not any((value < 0).any() for name, value in given.items() if name.startswith(squares))
        )
        if not possible:
            raise ValueError("the checkpoint's counts, order or generator do not fit its data and settings")


# ------------------------------------------------------------------------------ the folder


def _differences(config, other):
    """The settings that differ and may not."""
    names = sorted({field.name for field in dataclasses.fields(Config)} - CHANGEABLE)
    return [name for name in names if getattr(config, name) != getattr(other, name)]


def read(folder):
    """A run folder's checkpoint and config, and whether its config.json belongs to them -> arrays, Config."""
    if not Path(folder).is_dir():
        raise ValueError(f"run folder {folder} does not exist")
    checkpoint, path = Path(folder, CHECKPOINT), Path(folder, CONFIG)
    arrays = files.load_arrays(checkpoint)
    config = Config.from_json(files.entry(arrays, "config", np.array("")).item(), checkpoint)
    given = Config.from_json(path.read_bytes(), path) if path.exists() else config  # killed too early
    if wrong := _differences(config, given):
        raise ValueError(f"{path} does not match the checkpoint in {', '.join(wrong)}")
    return arrays, config


def load_model(folder):
    """The model of a run folder, without its data -> VAE, (h, w) of its images."""
    arrays, config = read(folder)
    h, w = files.entry(arrays, "image_shape", np.zeros(2, int)).tolist()
    if min(h, w) < 1 or arrays.get("params/output.b", arrays["image_shape"]).shape != (h * w,):
        raise ValueError("the checkpoint's image_shape does not fit its parameters")
    model = config.build_model(h * w)
    for name, param in model.params.items():
        param[...] = files.entry(arrays, f"params/{name}", param)
    return model, (h, w)


def new_folder(run, out=None, overwrite=False):
    """Make the folder of a new run, by default the next number under runs/, with its checkpoint in it."""
    run.folder = files.new_folder(run.save, out, overwrite, RUN_FILES)
    return run.folder


# ------------------------------------------------------------------------------ the loop


class Interrupted(KeyboardInterrupt):
    """Ctrl-C was pressed and everything is saved; the message says how to continue."""


@contextmanager
def ctrl_c():
    """An event that the first Ctrl-C sets, so that a step can be finished; a second one stops at once."""
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


def train(run, folder, say=print):
    """Train `run` to its last epoch in its folder, which is made for a new run; then draw the pictures.

    `say` receives one line per epoch. Raises Interrupted after Ctrl-C, once the run is saved, and ValueError
    with the epoch and step if the loss is not finite, or if the folder exists and is not this run's.
    """
    folder = Path(folder)
    if run.folder != folder:
        new_folder(run, folder)
    resume = f"python -m minivae train --resume {shlex.quote(str(folder))}"
    with ctrl_c() as pressed:
        run.save(folder)
        while run.epoch < run.config.epochs:
            with progress_bar(run) as bar:

                def progress(images, loss, bar=bar):
                    bar.set_postfix(loss=f"{loss:.1f}", refresh=False)
                    bar.update(images)

                if run.train_epoch(pressed.is_set, progress):
                    run.close_epoch()
            run.save(folder)
            if not run.step:
                epoch, train, _, _, test, nll, kl = run.history[-1]
                means = f"train {train:8.3f}   test {test:8.3f} (nll {nll:.3f}, kl {kl:.3f})"
                say(f"epoch {int(epoch):3d}/{run.config.epochs}   {means}   {run.seconds[-1]:.1f} s")
            if pressed.is_set():
                where = f"epoch {run.epoch + 1}, step {run.step}" if run.step else f"epoch {run.epoch}"
                raise Interrupted(f"stopped after {where}, saved; continue with: {resume}")
    try:
        from . import plots  # here, so that training itself does not wait for matplotlib

        for name, figure in plots.of_run(run, run.stream(FIGURES)):
            files.write(Path(folder, name), plots.to_png(figure))
    except KeyboardInterrupt:
        raise Interrupted(f"trained and saved, but pictures are missing; draw them with: {resume}") from None
    except Exception as error:  # matplotlib fails in many ways, and the run itself is complete
        print(f"warning: not all pictures are drawn: {' '.join(str(error).split())}", file=sys.stderr)


def progress_bar(run):
    """A bar over the images of the current epoch, on a terminal only."""
    title, done = f"epoch {run.epoch + 1}/{run.config.epochs}", run.step * run.config.batch_size
    shown = {"unit": " images", "unit_scale": True, "leave": False, "disable": None if sys.stderr else True}
    return tqdm(desc=title, total=len(run.data.x_train), initial=done, **shown)
