"""What a bug is: a patch of the right code, its story, and the checks that are known to catch it."""

import importlib.util
from dataclasses import dataclass, field

import numpy as np

from .. import ops as right
from ..models import VAE
from ..optimizers import Adam


def patched(**functions):
    """A copy of the module `ops` with some functions replaced: the others call the replacements too."""
    for name in functions:
        if not hasattr(right, name):
            raise ValueError(f"ops has no function {name!r} to replace")
    copy = importlib.util.module_from_spec(right.__spec__)
    right.__spec__.loader.exec_module(copy)
    vars(copy).update(functions)
    return copy


def away_from_zero(model, rng):
    """Move every weight of a model by some 0.3: zero biases and equal spreads hide a bug from a check."""
    for param in model.params.values():
        param += (0.3 * rng.standard_normal(param.shape)).astype(param.dtype)
    return model


@dataclass(frozen=True)
class Bug:
    """One bug, planted where it belongs: in an operation, in the model's walk, or in the optimizer.

    name, title   a word for the command line; what is wrong, in one line
    story         which public code, thread or lecture notes had it, or how one comes to write it
    caught_by     names of `CHECKS`, all that catch it; those left out do not
    patch         functions of `ops` by name, replaced in a copy
    settings      of the model, where the bug shows only with them: activation="relu"
    family        a VAE with the bug in its own lines
    optimizer     an Adam with the bug in its own lines
    """

    name: str
    title: str
    story: str
    caught_by: tuple
    patch: dict = field(default_factory=dict)
    settings: dict = field(default_factory=dict)
    family: type = VAE
    optimizer: type = Adam

    def ops(self):
        """A namespace like `ops`, with the bug: any `backend` will take it."""
        return patched(**self.patch)

    def model(self, **settings):
        """A small float64 VAE with the bug, computing with `ops()`; any setting of VAE but its backend."""
        small = {"data_dim": 6, "latent_dim": 2, "hidden": (5,), "activation": "tanh", "dtype": np.float64}
        return self.family(**{**small, **self.settings, **settings, "backend": self.ops()})
