"""Every setting of a training run, in one frozen dataclass.

The options of `train` are made from its fields; `config.json` and the checkpoint hold their values.
"""

import dataclasses
import json
from functools import partial

import numpy as np

from . import arguments, backends, network, optimizers
from .data import PIXELS
from .distributions import LIKELIHOODS, POSTERIORS, PRIORS, CategoricalPosterior
from .estimators import ESTIMATORS, WITH_PATH, moving_average_baseline, named
from .inputs import CORRUPTIONS
from .models import VAE, Autoencoder
from .models.autoencoder import PENALTIES
from .models.bounds import BOUNDS
from .models.vae import KLS
from .ops import ACTIVATIONS

OPTIMIZERS = {
    "sgd": optimizers.SGD,
    "momentum": lambda lr, backend: optimizers.SGD(lr, momentum=0.9, backend=backend),
    "rmsprop": optimizers.RMSProp,
    "adam": optimizers.Adam,
}
SCHEDULES = ("constant", "linear", "cosine")
MODELS = ("vae", "cvae", "autoencoder")
VAE_ONLY = ("posterior", "prior", "kl", "categories", "condition", "bound", "beta", "beta_warmup", "samples")
VAE_ONLY += ("estimator", "baseline")
AUTOENCODER_ONLY = ("penalty", "penalty_weight")
# settings that older runs lack; they have the default there
LATER = (
    "estimator",
    "baseline",
    "beta_warmup",
    "lr_schedule",
    "image_shape",
    "scale",
    "standardize",
    "model",
)
LATER += ("posterior", "prior", "kl", "categories", "condition", "bound", "corruption", "corruption_amount")
LATER += AUTOENCODER_ONLY
BASELINES = ("none", "mean", "optimal", "leave-one-out", "moving-average")
WITHOUT_BASELINE = tuple(n for n in ESTIMATORS if n != "leave-one-out" and not n.endswith("-baseline"))


def option(default, text, check):
    """A field of Config: its text for `--help`, and its choices or a function that checks it."""
    return dataclasses.field(default=default, metadata={"help": text, "check": check})


def _shape(name, value):
    """None, or (h, w) or (h, w, 3)."""
    if value is None:
        return None
    if (
        isinstance(value, str)
        or not np.iterable(value)
        or tuple(value)[2:] not in ((), (3,))
        or len(value) < 2
    ):
        raise ValueError(f"{name} must be h,w or h,w,3, got {arguments.describe(value)}")
    return tuple(arguments.integer(f"every number of {name}", n) for n in value)


def _switch(name, value):
    if not isinstance(value, bool):
        raise TypeError(f"{name} must be True or False, got {arguments.describe(value)}")
    return value


def _path(name, value):
    if not isinstance(value, str | None):
        raise TypeError(f"{name} must be the path of a file, got {arguments.describe(value)}")
    return value


COUNT, RATE = arguments.integer, partial(arguments.number, above=0)
SEED, WEIGHT = partial(arguments.integer, at_least=0, below=np.inf), partial(arguments.number, at_least=0)


@dataclasses.dataclass(frozen=True)
class Config:
    """Every setting of a run. A bad one raises ValueError or TypeError with the name of its option."""

    model: str = option("vae", "cvae: conditional, the same as vae with --condition labels", MODELS)
    seed: int = option(0, "seed of everything random", SEED)
    epochs: int = option(10, "passes over the training images", COUNT)
    batch_size: int = option(128, "images in a minibatch", COUNT)
    hidden: tuple = option((400,), "widths of the hidden layers: 400 or 200,200 or none", network.widths)
    latent: int = option(20, "latent dimensions L", COUNT)
    activation: str = option("relu", "activation of the hidden layers", ACTIVATIONS)
    likelihood: str = option("bernoulli", "p(x|z)", tuple(LIKELIHOODS))
    posterior: str = option("gaussian", "q(z|x)", tuple(POSTERIORS))
    prior: str | None = option(None, "p(z); default: the family of q(z|x)", tuple(PRIORS))
    categories: int = option(10, "categories of a categorical latent", partial(arguments.integer, at_least=2))
    kl: str | None = option(None, "KL(q, p); default: closed form if there is one, else sampled", KLS)
    condition: str | None = option(None, "extra input of encoder and decoder", ("labels",))
    bound: str = option("elbo", "objective; iwae: importance-weighted over --samples", BOUNDS)
    beta: float = option(1.0, "weight of the KL term; 1 is the ELBO", WEIGHT)
    beta_warmup: int = option(0, "epochs over which beta rises linearly from 0", SEED)
    samples: int | None = option(None, "samples of z per image; default: 1, or 8 for leave-one-out", COUNT)
    estimator: str | None = option(
        None,
        "gradient estimator for the sampling step; default: pathwise, or score-function for discrete z",
        WITHOUT_BASELINE,
    )
    baseline: str | None = option(
        None, "baseline of score-function; default: none, or leave-one-out for discrete z", BASELINES
    )
    corruption: str = option("none", "corruption of the input, for denoising", CORRUPTIONS)
    corruption_amount: float = option(0.3, "probability per pixel, or std of gaussian", WEIGHT)
    penalty: str = option("none", "sparsity penalty on the autoencoder's code", PENALTIES)
    penalty_weight: float = option(1.0, "weight of the penalty in the loss", WEIGHT)
    optimizer: str = option("adam", "update rule; momentum is sgd with momentum 0.9", tuple(OPTIMIZERS))
    lr: float = option(1e-3, "learning rate", RATE)
    lr_schedule: str = option("constant", "learning rate schedule; linear and cosine end at 0", SCHEDULES)
    pixels: str | None = option(None, "grey pixels; default: dynamic, or grey if not bernoulli", PIXELS)
    data: str | None = option(None, "your own data: .npy, .npz, IDX or CSV", _path)
    image_shape: tuple | None = option(None, "shape of a row of --data: 28,20 or 32,32,3 (colour)", _shape)
    scale: bool = option(False, "map the range of the training data to [0, 1]", _switch)
    standardize: bool = option(False, "give every column of the data mean 0 and variance 1", _switch)
    backend: str = option("numba", "compiled kernels or plain NumPy", backends.BACKENDS)

    def __post_init__(self):
        for name, value in self._defaults().items():
            if getattr(self, name) is None:
                object.__setattr__(self, name, value)
        for field in dataclasses.fields(self):
            check, value = field.metadata["check"], getattr(self, field.name)
            check = check if callable(check) else partial(arguments.one_of, choices=check)
            if value is not None or field.default is not None:
                object.__setattr__(self, field.name, check(field.name, value))
        for name in VAE_ONLY if self.model == "autoencoder" else AUTOENCODER_ONLY:
            if getattr(self, name) != getattr(type(self), name):
                raise ValueError(f"{name} is not a setting of --model {self.model}")
        used = {"categories": ("posterior", self.posterior == "categorical")}
        used |= {"corruption_amount": ("corruption", self.corruption != "none")}
        used |= {"penalty_weight": ("penalty", self.penalty != "none")}
        for name, (other, is_used) in used.items():
            if not is_used and getattr(self, name) != getattr(type(self), name):
                raise ValueError(f"{name} has no effect on {other} {getattr(self, other)}")
        if self.scale and self.standardize:
            raise ValueError("scale and standardize cannot be combined: choose one")
        if self.baseline not in (None, "none") and self.estimator != "score-function":
            raise ValueError(f"baseline {self.baseline} needs estimator score-function, not {self.estimator}")
        if self.baseline == "leave-one-out" and self.samples < 2:
            raise ValueError("baseline leave-one-out needs samples of at least 2")
        if self.estimator in WITH_PATH and not self.has_path:
            missing = f"and posterior {self.posterior} has none: leave it out for the score function"
            raise ValueError(f"estimator {self.estimator} needs a path from q(z|x) to z, {missing}")
        if self.bound == "iwae" and self.estimator != "pathwise":
            raise ValueError(f"bound iwae has a pathwise gradient only, got estimator {self.estimator}")
        if self.bound == "iwae" and self.kl == "closed":
            raise ValueError("bound iwae needs the sampled kl: leave out kl closed")
        if self.condition and self.model == "vae":
            object.__setattr__(self, "model", "cvae")
        if self.corruption != "gaussian" and self.corruption_amount > 1:
            raise ValueError(f"corruption_amount is a probability, got {self.corruption_amount}")

    def _defaults(self):
        """The defaults that depend on other settings."""
        defaults = {"pixels": "dynamic" if self.likelihood == "bernoulli" else "grey"}
        if self.model == "cvae":
            defaults["condition"] = "labels"
        if self.model != "autoencoder":
            has_path = self.has_path or self.estimator is not None
            defaults["estimator"] = "pathwise" if has_path else "score-function"
            defaults["baseline"] = "none" if has_path else "leave-one-out"
            defaults["samples"] = 8 if (self.baseline or defaults["baseline"]) == "leave-one-out" else 1
        return defaults

    @property
    def has_path(self):
        """Whether z is differentiable with respect to the heads; discrete latents are not."""
        return hasattr(POSTERIORS.get(self.posterior), "sample_backward")

    @property
    def scaling(self):
        """The argument `scaling` of `data.load_dataset`."""
        return "scale" if self.scale else "standardize" if self.standardize else "none"

    def build_model(self, data_dim, seed=0, classes=0):
        """The model of these settings, for images of `data_dim` pixels with `classes` labels."""
        given = self.latent, self.hidden, self.activation, self.likelihood, self.backend
        if self.model == "autoencoder":
            code = "sigmoid" if self.penalty == "kl" else "identity"
            sparse = {"code_activation": code, "penalty": self.penalty, "weight": self.penalty_weight}
            return Autoencoder(data_dim, *given, seed=seed, **sparse)
        categorical = partial(CategoricalPosterior, categories=self.categories)
        posterior = categorical if self.posterior == "categorical" else self.posterior
        family = {"posterior": posterior, "prior": self.prior, "kl": self.kl}
        return VAE(data_dim, *given, seed=seed, **family, condition_dim=classes if self.condition else 0)

    def build_estimator(self, rng, family):
        """The estimator for `loss_and_grads`, None for pathwise; some estimators also draw from `rng`."""
        if self.model == "autoencoder":
            return None
        if self.baseline == "moving-average":
            return moving_average_baseline(family=family)
        names = {"none": self.estimator, "leave-one-out": "leave-one-out"}
        name = names.get(self.baseline, f"score-function-{self.baseline}-baseline")
        if name == "sticking-the-landing":
            return name  # the model knows whether its KL is sampled, and the beta of a step
        return None if name == "pathwise" else named(name, rng, self.beta, family)

    @classmethod
    def from_json(cls, text, path):
        """The settings in JSON text from a checkpoint or config.json; errors name its `path`."""
        names = [field.name for field in dataclasses.fields(cls)]
        try:
            values = json.loads(text)
            values = {name: getattr(cls, name) for name in LATER} | values if isinstance(values, dict) else {}
            values.pop("minivae", None)  # the mark of config.json
            if sorted(values) != sorted(names):
                raise ValueError(f"a config must have exactly the entries {', '.join(names)}")
            return cls(**values)
        except (ValueError, TypeError, RecursionError) as error:
            raise ValueError(f"{path} holds no config that can be used: {error}") from None
