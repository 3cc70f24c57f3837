"""Every setting of a training run, in one frozen dataclass.

The command line is made from these fields, a run folder's `config.json` holds them, and a checkpoint
carries them along, so that whoever finds a run can repeat it.
"""

import dataclasses
from dataclasses import dataclass

from . import arguments, backends, layers, optimizers
from .data import PIXELS
from .distributions import LIKELIHOODS
from .estimators import ESTIMATORS, moving_average_baseline, named
from .ops import ACTIVATIONS

EARLIER = {"estimator": "pathwise", "baseline": "none"}  # of runs from before there was a choice
OPTIMIZERS = {
    "sgd": optimizers.SGD,
    "momentum": lambda lr, backend: optimizers.SGD(lr, momentum=0.9, backend=backend),
    "rmsprop": optimizers.RMSProp,
    "adam": optimizers.Adam,
}


CROSSINGS = tuple(name for name in ESTIMATORS if "baseline" not in name and name != "leave-one-out")
# --baseline -> the estimator's name; the moving average has a state, and no name
BASELINES = {
    "none": "score-function",
    "mean": "score-function-mean-baseline",
    "optimal": "score-function-optimal-baseline",
    "leave-one-out": "leave-one-out",
    "moving-average": None,
}


def option(default, text, choices=None):
    """A field with the words that `--help` shows for it."""
    return dataclasses.field(default=default, metadata={"help": text, "choices": choices})


@dataclass(frozen=True)
class Config:
    """The defaults are the setting that the README's numbers belong to."""

    seed: int = option(0, "seed of the weights, the order, the pixels and the noise")
    epochs: int = option(10, "passes over the training images")
    batch_size: int = option(128, "images in a minibatch")
    hidden: tuple = option((400,), "widths of the encoder's hidden layers, such as 400 or 200,200 or none")
    latent: int = option(20, "latent dimensions L")
    activation: str = option("relu", "activation of the hidden layers", ACTIVATIONS)
    likelihood: str = option("bernoulli", "p(x|z)", tuple(LIKELIHOODS))
    beta: float = option(1.0, "weight of the KL term; 1 is the ELBO")
    samples: int = option(1, "samples S of z per image")
    estimator: str = option("pathwise", "how the gradient crosses the sampling of z", CROSSINGS)
    baseline: str = option("none", "what the score function's cost is compared with", tuple(BASELINES))
    optimizer: str = option("adam", "the update rule; momentum is sgd with momentum 0.9", tuple(OPTIMIZERS))
    lr: float = option(1e-3, "learning rate")
    pixels: str | None = option(
        None, "what becomes of a grey pixel; dynamic by default, grey for a gaussian likelihood", PIXELS
    )
    data: str | None = option(None, "images of your own: .npy or .npz, (N, D) or (N, h, w)")
    backend: str = option("numba", "who computes: compiled kernels or plain NumPy", backends.BACKENDS)

    def __post_init__(self):
        """Refuse what cannot be trained, by the name of the option."""
        settled = {
            "seed": arguments.integer("seed", self.seed, at_least=0),
            "hidden": layers.widths("hidden", self.hidden),
            "lr": arguments.number("lr", self.lr, above=0),
            "beta": arguments.number("beta", self.beta, at_least=0),
            "pixels": self.pixels or ("dynamic" if self.likelihood == "bernoulli" else "grey"),
        }
        for name in ("epochs", "batch_size", "latent", "samples"):
            settled[name] = arguments.integer(name, getattr(self, name))
        for name, value in settled.items():
            object.__setattr__(self, name, value)  # frozen for everyone else
        for field in dataclasses.fields(self):
            if field.metadata["choices"]:
                arguments.one_of(field.name, getattr(self, field.name), field.metadata["choices"])
        if self.baseline != "none" and self.estimator != "score-function":
            raise ValueError(
                f"baseline {self.baseline} is for estimator score-function, not {self.estimator}"
            )
        if self.baseline == "leave-one-out" and self.samples < 2:
            raise ValueError(
                "baseline leave-one-out needs samples of at least 2: the others are the baseline"
            )
        if self.data is not None and not isinstance(self.data, str):
            raise TypeError(f"data must be the path of a file, got {arguments.describe(self.data)}")

    def build_estimator(self, rng):
        """How `loss_and_grads` is to cross the sampling of z; `rng` serves those that draw for themselves."""
        if self.estimator == "pathwise":
            return None
        if self.baseline == "moving-average":
            return moving_average_baseline()
        name = BASELINES[self.baseline] if self.estimator == "score-function" else self.estimator
        return named(name, rng, self.beta)

    def as_dict(self):
        """Plain values, as JSON holds them."""
        return dataclasses.asdict(self) | {"hidden": list(self.hidden)}

    @classmethod
    def from_dict(cls, values):
        """The inverse of `as_dict`; refuses missing and unknown names."""
        values = EARLIER | values if isinstance(values, dict) else values
        expected = [field.name for field in dataclasses.fields(cls)]
        if not isinstance(values, dict) or sorted(values) != sorted(expected):
            raise ValueError(f"a config must have exactly the entries {', '.join(expected)}")
        return cls(**values)
