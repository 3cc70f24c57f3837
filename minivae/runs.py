"""A run: its model, data and optimizer, its steps, its checkpoints and its folder.

A `Run` draws everything random from generators made of one seed, and its checkpoint holds their state, so
that a resumed run gives the same bits as one that was never interrupted. Nothing else influences a step: not
the clock, not the number of threads, not how often the run was stopped.
"""

import dataclasses
import io
import json
import math
import os
import time
from pathlib import Path
from typing import NamedTuple

import numpy as np

from . import arguments, data, evaluation, files
from .config import OPTIMIZERS, Config
from .estimators import moving_average_baseline
from .models import VAE

CHECKPOINT, BEST, CONFIG, METRICS = "checkpoint.npz", "best.npz", "config.json", "metrics.csv"
PICTURES = ("curves.png", "reconstructions.png", "samples.png", "latent_map.png", "manifold.png")
WRITTEN = ("sample.png", "reconstruct.png", "interpolate.png", "codes.npz")  # by later commands
RUN_FILES = {CHECKPOINT, BEST, CONFIG, METRICS, *PICTURES, *WRITTEN}
STATES = ("best", "last")  # after the epoch with the lowest test loss, or after the last step
CHANGEABLE = {"epochs", "data", "lr", "beta"}  # settings that a continued run may change
COLUMNS = ("epoch", *(f"{split}_{term}" for split in ("train", "test") for term in ("loss", "nll", "kl")))
WEIGHTS, TRAIN, TEST, FIGURES = range(4)  # the four streams of randomness made of one seed
SCALING = "scale the data, with --standardize (or --scale for pictures)"
KEPT = "the last good checkpoint is kept, and the best one beside it"


class Run:
    """A model, its optimizer, its data and its progress."""

    PROGRESS = ("epoch", "step", "order", "sums", "elapsed_seconds", "history", "seconds")

    def __init__(self, config, dataset=None):
        self.config = config
        self.folder = None  # where it was saved or loaded
        stored = (
            data.load_dataset(config.data, config.image_shape, config.scaling) if dataset is None else dataset
        )
        self.digest = data.digest(stored)
        self.model = config.build_model(stored.x_train.shape[1], self.stream(WEIGHTS))
        self.data = data.prepare(stored, config.pixels, self.model.likelihood.support)
        self.model.start_output_at(*data.moments(self.data.x_train, config.pixels))
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
        self.changed = []  # settings for which a continued run ends with other bits

    def stream(self, which):
        """A generator for one of the four purposes, the same at every call."""
        return np.random.default_rng(self.config.seed).spawn(4)[which]

    @property
    def steps(self):
        """Steps of an epoch; the last minibatch may be smaller."""
        return -(-len(self.data.x_train) // self.config.batch_size)

    def rates(self):
        """The learning rate and the weight of the KL at the next step."""
        config, done = self.config, self.optimizer.t
        progress = done / (config.epochs * self.steps)
        schedule = {"constant": 1.0, "linear": 1 - progress, "cosine": (1 + math.cos(math.pi * progress)) / 2}
        warm = min(1.0, (done + 1) / (config.beta_warmup * self.steps)) if config.beta_warmup else 1.0
        return config.lr * schedule[config.lr_schedule], config.beta * warm

    def train_epoch(self, stop=lambda: False, progress=lambda images, loss: None):
        """Train to the end of the epoch, or until `stop()`; return whether the epoch is complete."""
        config, images = self.config, self.data.x_train
        started = time.perf_counter() - self.elapsed_seconds
        if self.step == 0:
            self.order = self.rng.permutation(len(images)).astype(np.uint32)
        while self.step < self.steps:
            rows = self.order[self.step * config.batch_size :][: config.batch_size]
            x = data.minibatch(images[rows], config.pixels, self.rng)  # (B, D)
            eps = evaluation.noise(self.model, self.rng, len(x), config.samples)  # (B, L) or (S, B, L)
            self.optimizer.lr, beta = self.rates()
            try:
                terms, grads = self.model.loss_and_grads(x, eps, beta, self.estimator)
            except ValueError as error:
                ranges = evaluation.ranges(self.model, x, eps)
                advice = "try a smaller --lr" if self.optimizer.t else f"no step was taken yet: {SCALING}"
                at = f"epoch {self.epoch + 1}, step {self.step + 1}"
                kept = f"; {KEPT}" * (self.epoch > 0)
                raise ValueError(f"{at}: {error} ({ranges}); {advice}{kept}") from None
            self.optimizer.step(self.model.params, grads)
            self.sums += len(x) * np.array(terms)
            self.step += 1
            self.elapsed_seconds = time.perf_counter() - started
            progress(len(x), terms.loss)
            if stop():
                break
        return self.step == self.steps

    def close_epoch(self):
        """Measure the test set, with the same draws after every epoch, and add a row to the history."""
        started = time.perf_counter() - self.elapsed_seconds
        try:
            test = self.test_terms(self.config.samples)
        except ValueError as error:
            at = f"test after epoch {self.epoch + 1}"
            raise ValueError(f"{at}: {error}; try a smaller --lr; {KEPT}") from None
        self.epoch += 1
        self.history = np.vstack([self.history, [self.epoch, *self.sums / len(self.data.x_train), *test]])
        self.seconds = np.append(self.seconds, time.perf_counter() - started)
        self.step, self.order, self.sums, self.elapsed_seconds = 0, self.order[:0], np.zeros(3), 0.0

    def test_terms(self, samples=1):
        """Terms on the test set, with z sampled from the run's own test stream."""
        settings = self.config.pixels, self.stream(TEST), self.config.beta, samples
        return evaluation.average_terms(self.model, self.data.x_test, *settings)

    @property
    def best_epoch(self):
        """The epoch with the lowest test loss, by the present weight of the KL; 0 before the first."""
        loss = self.history[:, 5] + self.config.beta * self.history[:, 6]  # nll + beta kl
        return int(self.history[np.argmin(loss), 0]) if len(loss) else 0

    def unscale(self, x):
        """x in the units of the file that it came from."""
        return data.unscale(x, self.data.shift, self.data.scale)

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
            **{name: np.array(getattr(self, name)) for name in self.PROGRESS},
        }

    def save(self, folder):
        """Write the checkpoint, then config.json and metrics.csv, unless a parameter is not finite."""
        for name, param in self.model.params.items():
            if not np.isfinite(param).all():
                raise ValueError(f"the parameter {name} is no longer finite; {KEPT}")
        seen = {"image_shape": np.array(self.data.image_shape)}  # what pictures without the data need
        if self.data.shift is not None:
            seen |= {"shift": self.data.shift, "scale": self.data.scale}
        arrays = self.arrays() | seen
        files.save_arrays(Path(folder, CHECKPOINT), arrays)
        if self.epoch and self.epoch == self.best_epoch and not self.step:
            files.save_arrays(Path(folder, BEST), arrays)
        config = {"minivae": files.FORMAT} | dataclasses.asdict(self.config)
        files.write(Path(folder, CONFIG), (json.dumps(config, indent=2) + "\n").encode())
        text, table = io.BytesIO(), np.column_stack([self.history, self.seconds])
        formats, header = ["%d", *["%.6f"] * 6, "%.3f"], ",".join([*COLUMNS, "seconds"])
        np.savetxt(text, table, formats, delimiter=",", header=header, comments="")
        files.write(Path(folder, METRICS), text.getvalue())

    @classmethod
    def load(cls, folder, state="last", **changes):
        """Read a run folder, to continue it or to measure it; the settings in CHANGEABLE may change.

        `data` is the path of its data, in case they have moved. `changed` names what makes the continued run
        another one than the run that was never stopped.
        """
        arrays, config = read(folder, state)
        continued = dataclasses.replace(config, **changes)
        if changed := _differences(config, continued):
            raise ValueError(f"--resume keeps the run's settings; it cannot change {', '.join(changed)}")
        try:
            run = cls(continued)
        except (ValueError, TypeError) as error:
            moved = config.data and not os.path.lexists(continued.data)
            hint = "; if the file has moved, say where with --data" * bool(moved)
            raise ValueError(f"{error}{hint}") from None
        run.folder = Path(folder)
        if arrays.get("data") != run.digest:
            raise ValueError(f"the data in {run.config.data or 'MNIST'} are not those of the run in {folder}")
        _image_shape(arrays)
        run.restore(arrays)
        if run.epoch > run.config.epochs or (run.epoch == run.config.epochs and run.step):
            raise ValueError(f"epochs must be more than the {run.epoch} that {folder} has already run")
        names = {"lr", "beta"} | ({"epochs"} if config.lr_schedule != "constant" else set())
        run.changed = [name for name in sorted(names) if getattr(config, name) != getattr(continued, name)]
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
        squares = "optimizer/v/", "optimizer/square/", "seconds"
        possible = (
            same_state
            and 0 <= self.step <= self.steps
            and self.optimizer.t == self.epoch * self.steps + self.step
            and (self.step == 0 or np.array_equal(np.sort(self.order), images))
            and self.epoch == len(epochs)
            and np.array_equal(self.history[:, 0], epochs)
            and not any((value < 0).any() for name, value in given.items() if name.startswith(squares))
        )
        if not possible:
            raise ValueError("the checkpoint's counts, order or generator do not fit its data and settings")


# ------------------------------------------------------------------------------ the folder


class Stored(NamedTuple):
    """A trained model without its data: what a picture needs."""

    model: VAE
    epoch: int
    image_shape: tuple
    shift: np.ndarray | None  # of the data, see `data.unscale`
    scale: np.ndarray | None

    def unscale(self, x):
        """x in the units of the file that it came from."""
        return data.unscale(x, self.shift, self.scale)


def _differences(config, other):
    """The settings that differ and may not."""
    names = sorted({field.name for field in dataclasses.fields(Config)} - CHANGEABLE)
    return [name for name in names if getattr(config, name) != getattr(other, name)]


def read(folder, state="last"):
    """A run folder's checkpoint and config, and whether its config.json belongs to them -> arrays, Config."""
    arguments.one_of("checkpoint", state, STATES)
    if not Path(folder).is_dir():
        raise ValueError(f"run folder {folder} does not exist")
    best, path = Path(folder, BEST), Path(folder, CONFIG)
    checkpoint = best if state == "best" and best.exists() else Path(folder, CHECKPOINT)
    arrays = files.load_arrays(checkpoint)
    config = Config.from_json(files.entry(arrays, "config", np.array("")).item(), checkpoint)
    given = Config.from_json(path.read_bytes(), path) if path.exists() else config  # killed too early
    if wrong := _differences(config, given):
        raise ValueError(f"{path} does not match the checkpoint in {', '.join(wrong)}")
    return arrays, config


def _image_shape(arrays):
    shape = arrays.get("image_shape", np.zeros(0, int))
    shape = tuple(shape.tolist()) if shape.ndim == 1 and shape.dtype.kind == "i" else ()
    outputs = arrays.get("params/output.b", np.zeros(0)).shape
    if not shape or min(shape) < 1 or outputs != (math.prod(shape),):
        raise ValueError("the checkpoint's image_shape does not fit its parameters")
    return shape


def load_stored(folder, state="best"):
    """The model of a run folder, without its data -> Stored."""
    arrays, config = read(folder, state)
    shape = _image_shape(arrays)
    data_dim = math.prod(shape)
    model = config.build_model(data_dim)
    for name, param in model.params.items():
        param[...] = files.entry(arrays, f"params/{name}", param)
    names, like = ("shift", "scale") if config.scaling != "none" else (), np.zeros(data_dim, np.float32)
    scaling = [files.entry(arrays, name, like) for name in names] or [None, None]
    epoch = files.entry(arrays, "epoch", np.array(0)).item()
    return Stored(model, epoch, shape, *scaling)


def load_model(folder, state="best"):
    """The model of a run folder, after its best epoch or its "last" step -> VAE, the shape of its images."""
    stored = load_stored(folder, state)
    return stored.model, stored.image_shape
