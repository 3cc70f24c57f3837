"""A training run: everything that stands between two steps, in memory and in its folder.

A `Run` draws all that is random from generators made of one seed, and its checkpoint holds their state, so
that a resumed run makes the same bits as one never interrupted. Nothing else may influence a step: not the
clock, not the number of threads, not how often the run was cut off.
"""

import csv
import io
import json
import time
from dataclasses import replace
from pathlib import Path

import numpy as np

from . import checkpoints, data, evaluation, files, folders
from .config import OPTIMIZERS
from .estimators import moving_average_baseline
from .folders import CHECKPOINT, CONFIG, METRICS
from .models import VAE

COLUMNS = ("epoch", *(f"{split}_{term}" for split in ("train", "test") for term in ("loss", "nll", "kl")))
WEIGHTS, TRAIN, TEST, FIGURES = range(4)  # the four streams of randomness that one seed gives
ADVICE = "try a smaller --lr, or check that the data are scaled; the last good checkpoint is kept"


def build_model(config, data_dim, seed=0):
    """The VAE that a config describes, for images of `data_dim` pixels."""
    return VAE(
        data_dim, config.latent, config.hidden, config.activation, config.likelihood, config.backend,
        seed=seed,
    )  # fmt: skip


class Run:
    """A model, its optimizer, its data and how far they have come."""

    def __init__(self, config, dataset=None):
        self.config = config
        stored = dataset if dataset is not None else data.load_dataset(config.data)
        self.digest = data.digest(stored)
        self.model = build_model(config, stored.x_train.shape[1], self.stream(WEIGHTS))
        self.data = data.prepare(stored, config.pixels, self.model.likelihood.support)
        self.model.start_output_at(data.pixel_mean(self.data.x_train, config.pixels))
        self.optimizer = OPTIMIZERS[config.optimizer](lr=config.lr, backend=config.backend)
        self.rng = self.stream(TRAIN)
        self.estimator = config.build_estimator(self.rng)
        self.epoch = 0  # epochs finished
        self.step = 0  # steps done of the epoch under way
        self.order = np.empty(0, np.uint32)  # of the images in the epoch under way
        self.sums = np.zeros(3)  # loss, nll, kl so far in this epoch, summed over images
        self.elapsed = 0.0  # seconds so far in this epoch
        self.history = np.empty((0, len(COLUMNS)))
        self.seconds = np.empty(0)

    def stream(self, which):
        """A generator of its own for each purpose, the same every time it is asked for."""
        return np.random.default_rng(self.config.seed).spawn(4)[which]

    # -------------------------------------------------------------------------- one epoch

    def train_epoch(self, stop=lambda: False, progress=None):
        """Train to the end of the epoch, or until `stop()`; whether the epoch is complete.

        `progress(images, loss)` is called after every step.
        """
        config, images = self.config, self.data.x_train
        started = time.perf_counter() - self.elapsed
        if self.step == 0:
            self.order = self.rng.permutation(len(images)).astype(np.uint32)
        while self.step * config.batch_size < len(images):
            begin = self.step * config.batch_size
            rows = self.order[begin : begin + config.batch_size]
            x = data.minibatch(images[rows], config.pixels, self.rng)  # (B, D)
            eps = evaluation.noise(self.model, self.rng, len(x), config.samples)  # (B, L) or (S, B, L)
            try:
                terms, grads = self.model.loss_and_grads(x, eps, config.beta, self.estimator)
            except ValueError as error:
                raise ValueError(f"epoch {self.epoch + 1}, step {self.step + 1}: {error}; {ADVICE}") from None
            self.optimizer.step(self.model.params, grads)
            self.sums += len(x) * np.array(terms)
            self.step += 1
            self.elapsed = time.perf_counter() - started
            if progress:
                progress(len(x), terms.loss)
            if stop():
                break
        return self.step * config.batch_size >= len(images)

    def close_epoch(self):
        """Measure the test set, with the same draws after every epoch, and add a row to the history."""
        config, started = self.config, time.perf_counter()
        try:
            test = self.test_terms(config.samples)
        except ValueError as error:
            raise ValueError(f"test after epoch {self.epoch + 1}: {error}; {ADVICE}") from None
        self.epoch += 1
        train = self.sums / len(self.data.x_train)
        self.history = np.vstack([self.history, [self.epoch, *train, *test]])
        self.seconds = np.append(self.seconds, self.elapsed + time.perf_counter() - started)
        self.step, self.order, self.sums, self.elapsed = 0, self.order[:0], np.zeros(3), 0.0

    def test_terms(self, samples=1):
        """Terms on the test set, from z sampled with the run's own test stream."""
        config = self.config
        return evaluation.average_terms(
            self.model, self.data.x_test, config.pixels, self.stream(TEST), config.beta, samples
        )

    # -------------------------------------------------------------------------- checkpoints

    def save(self, folder):
        """Write checkpoint, config and metrics, in this order: the checkpoint is the one that counts.

        Raises ValueError, and leaves what was there, where a parameter is not finite or a disk is full.
        """
        for name, param in self.model.params.items():
            if not np.isfinite(param).all():
                raise ValueError(f"the parameter {name} is no longer finite; {ADVICE}")
        named = {f"params/{k}": v for k, v in self.model.params.items()}
        if isinstance(self.estimator, moving_average_baseline):
            named["baseline"] = np.array([self.estimator.total, self.estimator.weight])
        named |= {f"optimizer/{k}": v for k, v in self.optimizer.state.items()}
        checkpoints.save(
            Path(folder, CHECKPOINT),
            named
            | {
                "config": np.array(json.dumps(self.config.as_dict())),
                "data": np.array(self.digest),
                "generator": np.array(json.dumps(self.rng.bit_generator.state)),
                "optimizer_steps": np.array(self.optimizer.t),
                "epoch": np.array(self.epoch),
                "step": np.array(self.step),
                "image_shape": np.array(self.data.image_shape),
                "order": self.order,
                "sums": self.sums,
                "history": self.history,
                "seconds": self.seconds,
                "elapsed_seconds": np.array(self.elapsed),
            },
        )
        config = json.dumps({"minivae": checkpoints.FORMAT} | self.config.as_dict(), indent=2) + "\n"
        files.write(Path(folder, CONFIG), config.encode())
        files.write(Path(folder, METRICS), self.metrics().encode())

    def require_own(self, folder):
        """Refuse a folder that holds another run, or a later state of this one."""
        if Path(folder, CHECKPOINT).exists():
            arrays, config = folders.read(folder)
            same = replace(config, epochs=self.config.epochs, data=self.config.data) == self.config
            if not same or int(arrays["optimizer_steps"]) > self.optimizer.t:
                what = "is further along" if same else "is another run"
                raise ValueError(f"the run in {folder} {what}; go on with Run.load, or choose another folder")

    def metrics(self):
        """The history as CSV text; `seconds` are those of one epoch, its test included."""
        text = io.StringIO()
        writer = csv.writer(text, lineterminator="\n")
        writer.writerow([*COLUMNS, "seconds"])
        for row, seconds in zip(self.history.tolist(), self.seconds, strict=True):
            writer.writerow([int(row[0]), *(f"{value:.6f}" for value in row[1:]), f"{seconds:.3f}"])
        return text.getvalue()

    @classmethod
    def load(cls, folder, epochs=None, path=None):
        """Read a run folder back, to go on with it; `epochs` may prolong it, `path` find its data."""
        arrays, config = folders.read(folder)
        changes = {name: v for name, v in (("epochs", epochs), ("data", path)) if v is not None}
        run = cls(replace(config, **changes))
        if arrays["data"].item() != run.digest:
            name = run.config.data or "MNIST"
            raise ValueError(f"the data in {name} are not those that {folder} began with")
        _restore(run.model, arrays)
        run.optimizer.t = int(arrays["optimizer_steps"])
        for kind in run.optimizer.remembers if run.optimizer.t else ():
            for name, param in run.model.params.items():
                key = f"{kind}/{name}"
                run.optimizer.state[key] = _entry(arrays, f"optimizer/{key}", param)
        if isinstance(run.estimator, moving_average_baseline):
            average = _entry(arrays, "baseline", np.zeros(2)).tolist()
            run.estimator.total, run.estimator.weight = average
        run.rng.bit_generator.state = json.loads(arrays["generator"].item())
        run.epoch, run.step = int(arrays["epoch"]), int(arrays["step"])
        run.order, run.sums = arrays["order"], arrays["sums"]
        run.history, run.seconds = arrays["history"], arrays["seconds"]
        run.elapsed = float(arrays["elapsed_seconds"])
        if run.epoch > run.config.epochs or (run.epoch == run.config.epochs and run.step):
            raise ValueError(f"epochs must be more than the {run.epoch} that {folder} has already run")
        return run


def load_model(folder):
    """The model of a run folder alone, without the data it was trained on -> VAE, (h, w) of its images."""
    arrays, config = folders.read(folder)
    h, w = (int(n) for n in arrays["image_shape"])
    model = build_model(config, h * w)
    _restore(model, arrays)
    return model, (h, w)


def _restore(model, arrays):
    """Copy saved parameters into the model, each of its own shape and finite."""
    for name, param in model.params.items():
        saved = _entry(arrays, f"params/{name}", param)
        if not np.isfinite(saved).all():
            raise ValueError(f"the checkpoint's params/{name} is not finite")
        param[...] = saved


def _entry(arrays, name, like):
    if name not in arrays or arrays[name].shape != like.shape or arrays[name].dtype != like.dtype:
        raise ValueError(f"the checkpoint must hold {name} of shape {like.shape} and type {like.dtype}")
    return arrays[name]
