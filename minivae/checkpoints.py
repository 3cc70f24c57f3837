"""The files of a run folder, and how to load its model without its data."""

import dataclasses
import math
import os
from pathlib import Path
from typing import NamedTuple

import numpy as np

from . import arguments, data, files
from .config import Config
from .models.model import Model

CHECKPOINT, BEST, CONFIG, METRICS = "checkpoint.npz", "best.npz", "config.json", "metrics.csv"
PICTURES = ("curves.png", "reconstructions.png", "samples.png", "latent_map.png", "manifold.png")
WRITTEN = (
    "sample.png",
    "reconstruct.png",
    "interpolate.png",
    "codes.npz",
    "components.png",
    "explorer.html",
)  # by later commands
RUN_FILES = {CHECKPOINT, BEST, CONFIG, METRICS, *PICTURES, *WRITTEN}
STATES = ("best", "last")  # the epoch with the lowest test loss, or the last step
CHANGEABLE = {"epochs", "data", "lr", "beta"}  # settings that a continued run may change


class Stored(NamedTuple):
    """A trained model without its data, which is enough to draw samples."""

    model: Model
    epoch: int
    image_shape: tuple
    shift: np.ndarray | None  # of the data, see `data.unscale`
    scale: np.ndarray | None
    classes: np.ndarray  # the labels of a conditional model, otherwise empty

    def unscale(self, x):
        """x in the units of the data file."""
        return data.unscale(x, self.shift, self.scale)


def differences(config, other):
    """The names of settings that differ although they must not."""
    names = sorted({field.name for field in dataclasses.fields(Config)} - CHANGEABLE)
    return [name for name in names if getattr(config, name) != getattr(other, name)]


def read(folder, state="last"):
    """A run folder's checkpoint and its settings, which must match config.json -> arrays, Config."""
    arguments.one_of("checkpoint", state, STATES)
    if not Path(folder).is_dir():
        wrong = "is not a folder" if os.path.lexists(folder) else "does not exist"
        raise ValueError(f"run folder {folder} {wrong}")
    best, path = Path(folder, BEST), Path(folder, CONFIG)
    checkpoint = best if state == "best" and best.exists() else Path(folder, CHECKPOINT)
    arrays = files.load_arrays(checkpoint)
    config = Config.from_json(files.entry(arrays, "config", np.array("")).item(), checkpoint)
    given = Config.from_json(path.read_bytes(), path) if path.exists() else config  # killed too early
    if wrong := differences(config, given):
        raise ValueError(f"{path} does not match the checkpoint in {', '.join(wrong)}")
    return arrays, config


def image_shape_of(arrays):
    """The shape of the images in a checkpoint. ValueError if it does not fit the parameters."""
    shape = arrays.get("image_shape", np.zeros(0, int))
    shape = tuple(shape.tolist()) if shape.ndim == 1 and shape.dtype.kind == "i" else ()
    outputs = arrays.get("params/output.b", np.zeros(0)).shape
    if not shape or min(shape) < 1 or outputs != (math.prod(shape),):
        raise ValueError("the checkpoint's image_shape does not fit its parameters")
    return shape


def load_stored(folder, state="best"):
    """The model of a run folder, without its data -> Stored."""
    arrays, config = read(folder, state)
    shape = image_shape_of(arrays)
    data_dim = math.prod(shape)
    classes = arrays.get("classes", np.empty(0))
    model = config.build_model(data_dim, classes=len(classes))
    for name, param in model.params.items():
        param[...] = files.entry(arrays, f"params/{name}", param)
    names, like = ("shift", "scale") if config.scaling != "none" else (), np.zeros(data_dim, np.float32)
    scaling = [files.entry(arrays, name, like) for name in names] or [None, None]
    epoch = files.entry(arrays, "epoch", np.array(0)).item()
    return Stored(model, epoch, shape, *scaling, classes)


def load_model(folder, state="best"):
    """The model of a run folder at its "best" epoch or "last" step -> model, the shape of its images."""
    stored = load_stored(folder, state)
    return stored.model, stored.image_shape
