"""What a bug is: a change to right code, its story, and the checks that catch it."""

import importlib.util
from dataclasses import dataclass, field

import numpy as np

from minivae import VAE, Adam
from minivae import ops as right

STEP = 1e-30  # of the complex step


@dataclass(frozen=True)
class Bug:
    """One bug, planted in an operation, in the model or in the optimizer.

    name, title   a word for the command line; what is wrong, in one line
    caught_by     names of `CHECKS`: exactly those that catch it
    story         where it was found, or that it has no public source
    patch         functions of `ops` by name, replaced in a copy
    settings      of the model, for a bug that shows only with them: activation="relu"
    family        a VAE with the bug in its own lines
    optimizer     an Adam with the bug in its own lines
    """

    name: str
    title: str
    caught_by: tuple
    story: str
    patch: dict = field(default_factory=dict)
    settings: dict = field(default_factory=dict)
    family: type = VAE
    optimizer: type = Adam

    def ops(self):
        """A namespace like `ops`, with the bug: any `backend` accepts it."""
        return patched(**self.patch)

    def model(self, **settings):
        """A small float64 VAE with the bug, computing with `ops()`; any setting of VAE but `backend`."""
        small = {"data_dim": 6, "latent_dim": 2, "hidden": (5,), "activation": "tanh", "dtype": np.float64}
        return self.family(**{**small, **self.settings, **settings, "backend": self.ops()})


def patched(**functions):
    """A copy of the module `ops` with some functions replaced; the others call the replacements too."""
    for name in functions:
        if not hasattr(right, name):
            raise ValueError(f"ops has no function {name!r} to replace")
    copy = importlib.util.module_from_spec(right.__spec__)
    right.__spec__.loader.exec_module(copy)
    vars(copy).update(functions)
    return copy


def pair(**forward):
    """The patch for a wrong forward function and its exact derivative: pair(gaussian_kl=f).

    The backward function takes complex steps through f, so it is right for the wrong f: no gradient check can
    find such a bug.
    """
    ((name, f),) = forward.items()
    count = 1 if name == "bernoulli_nll" else 2  # how many of the inputs have a derivative

    def backward(dy, *inputs):
        grads = []
        for i in range(count):
            grad = np.zeros_like(inputs[i])
            for l in range(grad.shape[-1]):
                moved = [*inputs[:i], inputs[i].astype(complex), *inputs[i + 1 :]]
                moved[i][..., l] += 1j * STEP
                slope = dy * np.imag(f(*moved)) / STEP
                slope = slope.sum(axis=-1) if name == "gaussian_sample" else slope
                grad[..., l] = right.sum_to_shape(slope, grad.shape[:-1])
            grads.append(grad)
        return grads[0] if count == 1 else tuple(grads)

    return {name: f, f"{name}_backward": backward}


def scaled(function, first=1.0, second=1.0):
    """A backward function that returns a pair, with its two derivatives multiplied."""
    return lambda *inputs: tuple(c * d for c, d in zip((first, second), function(*inputs), strict=True))


def slope(name, derivative):
    """`activation_backward` with another derivative for one activation."""
    return lambda dy, y, activation: (
        derivative(dy, y) if activation == name else right.activation_backward(dy, y, activation)
    )


def away_from_zero(model, rng):
    """Move every weight of a model by about 0.3: zero biases and equal variances hide bugs from a check."""
    for param in model.params.values():
        param += (0.3 * rng.standard_normal(param.shape)).astype(param.dtype)
    return model
