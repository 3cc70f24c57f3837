"""A run: its model, data and optimizer, its steps, its checkpoints and its folder.

All random numbers of a `Run` come from generators that are derived from one seed, and the checkpoint holds
their state. So a resumed run gives the same bits as one that was never interrupted: a step does not depend on
the clock, on the number of threads, or on how often the run was stopped.
"""

import dataclasses
import io
import json
import math
import os
import time
from pathlib import Path

import numpy as np

from . import data, evaluation, files
from .checkpoints import BEST, CHECKPOINT, CONFIG, METRICS, differences, image_shape_of, read
from .config import OPTIMIZERS
from .estimators import moving_average_baseline
from .inputs import corrupt, one_hot

COLUMNS = ("epoch", *(f"{split}_{term}" for split in ("train", "test") for term in ("loss", "nll", "kl")))
WEIGHTS, TRAIN, TEST, FIGURES = range(4)  # the four random streams of one seed
SCALING = "scale the data, with --standardize (or --scale for pictures)"
KEPT = "the last good checkpoint is kept, and the best one beside it"


class Run:
    """A model, its optimizer, its data and its progress."""

    PROGRESS = ("epoch", "step", "order", "sums", "elapsed_seconds", "history", "seconds")

    def __init__(self, config, dataset=None):
        self.config = config
        self.folder = None  # set when the run is saved or loaded
        if dataset is None:
            dataset = data.load_dataset(config.data, config.image_shape, config.scaling)
        self.classes = classes_of(dataset) if config.condition else np.empty(0)  # one column of c each
        self.digest = data.digest(dataset, labels=bool(config.condition))
        self.model = config.build_model(dataset.x_train.shape[1], self.stream(WEIGHTS), len(self.classes))
        self.data = data.prepare(dataset, config.pixels, self.model.likelihood.support)
        self.model.start_output_at(*data.moments(self.data.x_train, config.pixels))
        self.optimizer = OPTIMIZERS[config.optimizer](lr=config.lr, backend=config.backend)
        self.rng = self.stream(TRAIN)
        self.estimator = config.build_estimator(self.rng, getattr(self.model, "posterior", None))
        self.epoch = 0  # epochs finished
        self.step = 0  # steps done of the current epoch
        self.order = np.empty(0, np.uint32)  # of the images in the current epoch
        self.sums = np.zeros(3)  # loss, nll, kl of the current epoch, summed over images
        self.elapsed_seconds = 0.0  # of the current epoch
        self.history = np.empty((0, len(COLUMNS)))
        self.seconds = np.empty(0)  # of every finished epoch, with its test
        self.changed = []  # settings whose change makes a continued run differ from an uninterrupted one

    def stream(self, which):
        """A new generator at the start of one of the four streams."""
        return np.random.default_rng(self.config.seed).spawn(4)[which]

    @property
    def steps(self):
        """Steps per epoch; the last minibatch may be smaller."""
        return -(-len(self.data.x_train) // self.config.batch_size)

    def rates(self):
        """The learning rate and the weight of the KL at the next step."""
        config, done = self.config, self.optimizer.t
        progress = done / (config.epochs * self.steps)
        schedule = {"constant": 1.0, "linear": 1 - progress, "cosine": (1 + math.cos(math.pi * progress)) / 2}
        warm = min(1.0, (done + 1) / (config.beta_warmup * self.steps)) if config.beta_warmup else 1.0
        return config.lr * schedule[config.lr_schedule], config.beta * warm

    def given(self, split, rows, rng, samples, beta):
        """The arguments and the settings of the model's `loss` for these rows of a split."""
        config = self.config
        x = data.minibatch(getattr(self.data, f"x_{split}")[rows], config.pixels, rng)  # (B, D)
        seen = corrupt(x, config.corruption, config.corruption_amount, rng)
        if config.model == "autoencoder":
            return (seen, x), {}
        eps = evaluation.noise(self.model, rng, len(x), samples)  # (B, L) or (S, B, L)
        settings = {"condition": self.condition(split, rows), "bound": config.bound}
        return (seen, eps, beta), settings | ({} if seen is x else {"target": x})

    def condition(self, split, rows=slice(None)):
        """The labels of these rows as c (B, C), or None for a model without a condition."""
        if not self.config.condition:
            return None
        return one_hot(getattr(self.data, f"y_{split}")[rows], self.classes)

    def train_epoch(self, stop=lambda: False, progress=lambda images, loss: None):
        """Train to the end of the epoch, or until `stop()` is true -> whether the epoch is complete."""
        config, images = self.config, self.data.x_train
        started = time.perf_counter() - self.elapsed_seconds
        if self.step == 0:
            self.order = self.rng.permutation(len(images)).astype(np.uint32)
        while self.step < self.steps:
            rows = self.order[self.step * config.batch_size :][: config.batch_size]
            self.optimizer.lr, beta = self.rates()
            args, settings = self.given("train", rows, self.rng, config.samples, beta)
            if self.estimator is not None:
                settings["estimator"] = self.estimator
            try:
                terms, grads = self.model.loss_and_grads(*args, **settings)
            except ValueError as error:
                settings.pop("estimator", None)
                ranges = evaluation.ranges(self.model, *args, **settings)
                advice = "try a smaller --lr" if self.optimizer.t else f"no step was taken yet: {SCALING}"
                at, kept = f"epoch {self.epoch + 1}, step {self.step + 1}", f"; {KEPT}" * (self.epoch > 0)
                raise ValueError(f"{at}: {error} ({ranges}); {advice}{kept}") from None
            self.optimizer.step(self.model.params, grads)
            self.sums += len(rows) * np.array(terms)
            self.step += 1
            self.elapsed_seconds = time.perf_counter() - started
            progress(len(rows), terms.loss)
            if stop():
                break
        return self.step == self.steps

    def close_epoch(self):
        """Measure the test loss, with the same draws after every epoch, and add a row to the history."""
        started = time.perf_counter() - self.elapsed_seconds
        try:
            test = self.test_terms(self.config.samples)
        except ValueError as error:
            at = f"test after epoch {self.epoch + 1}"
            raise ValueError(f"{at}: {error}; try a smaller --lr{f'; {KEPT}' * (self.epoch > 0)}") from None
        self.epoch += 1
        self.history = np.vstack([self.history, [self.epoch, *self.sums / len(self.data.x_train), *test]])
        self.seconds = np.append(self.seconds, time.perf_counter() - started)
        self.step, self.order, self.sums, self.elapsed_seconds = 0, self.order[:0], np.zeros(3), 0.0

    def test_terms(self, samples=1):
        """Terms on the test set, with z sampled from the run's own test stream."""
        rng, sums = self.stream(TEST), np.zeros(3)
        for rows in evaluation.chunks(self.data.x_test, evaluation.ROWS // (samples or 1)):
            args, settings = self.given("test", rows, rng, samples, self.config.beta)
            sums += len(args[0]) * np.array(self.model.loss(*args, **settings))
        return evaluation.Terms(*(sums / len(self.data.x_test)).tolist())

    def losses(self, split):
        """The loss after every epoch; the ELBO with the current beta, which may have changed."""
        nll = {"train": 2, "test": 5}[split]
        if self.config.model == "autoencoder" or self.config.bound != "elbo":
            return self.history[:, nll - 1]
        return self.history[:, nll] + self.config.beta * self.history[:, nll + 1]

    @property
    def best_epoch(self):
        """The epoch with the lowest test loss; 0 before the first."""
        return int(self.history[np.argmin(self.losses("test")), 0]) if len(self.history) else 0

    def unscale(self, x):
        """x in the units of the data file."""
        return data.unscale(x, self.data.shift, self.data.scale)

    # -------------------------------------------------------------------------- the checkpoint

    def arrays(self):
        """Everything that the next step depends on: name in the checkpoint -> array."""
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
        seen = {"image_shape": np.array(self.data.image_shape)}  # for commands that do not load the data
        if self.config.condition:
            seen["classes"] = self.classes
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
        """Read a run folder, to continue or to measure the run; `changes` are settings in CHANGEABLE.

        `data` is the path of its data, in case the file has moved. The run's attribute `changed` lists the
        settings that make the continued run differ from one that was never stopped.
        """
        arrays, config = read(folder, state)
        continued = dataclasses.replace(config, **changes)
        if changed := differences(config, continued):
            raise ValueError(f"--resume keeps the run's settings; it cannot change {', '.join(changed)}")
        try:
            run = cls(continued)
        except (ValueError, TypeError) as error:
            moved = config.data and not os.path.lexists(continued.data)
            hint = "; if the file has moved, give its new path with --data" * bool(moved)
            raise ValueError(f"{error}{hint}") from None
        run.folder = Path(folder)
        if arrays.get("data") != run.digest:
            raise ValueError(f"the data in {run.config.data or 'MNIST'} are not those of the run in {folder}")
        image_shape_of(arrays)
        run.restore(arrays)
        if run.epoch > run.config.epochs or (run.epoch == run.config.epochs and run.step):
            raise ValueError(f"epochs must be more than the {run.epoch} that {folder} has already run")
        names = {"lr", "beta"} | ({"epochs"} if config.lr_schedule != "constant" else set())
        run.changed = [name for name in sorted(names) if getattr(config, name) != getattr(continued, name)]
        return run

    def restore(self, saved):
        """Restore the state in a checkpoint; ValueError if it is not a possible state of this run."""
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
        except Exception:  # NumPy raises many kinds of error for an invalid state
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


def classes_of(dataset):
    """The sorted labels of the training set. ValueError if the test set has another label."""
    if dataset.y_train is None or dataset.y_test is None:
        raise ValueError("--condition labels needs labels, and the data have none")
    classes = np.unique(dataset.y_train)
    if classes.dtype.kind == "f":
        if not np.all(classes % 1 == 0):
            raise ValueError("--condition labels needs classes, and the labels are fractions or not finite")
        classes = classes.astype(np.int64)
    try:
        one_hot(dataset.y_test, classes)
    except ValueError as error:
        raise ValueError(f"a test image's {error} of the training set") from None
    return classes
