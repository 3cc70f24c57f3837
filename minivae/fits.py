"""python -m minivae fit: a mixture or pPCA, in a run folder that `sample` and `evaluate` accept."""

import json
import math
import os
import shlex
import time
from functools import partial
from pathlib import Path
from typing import NamedTuple

import numpy as np
from tqdm import tqdm

from . import arguments, data, files
from .checkpoints import CHECKPOINT, CONFIG, RUN_FILES
from .models import PPCA, BernoulliMixture, GaussianMixture
from .models.mixture import COVARIANCES

KINDS = ("mixture", "ppca")
FAMILIES = (*COVARIANCES, "bernoulli")
# nats per column: EM stops at a step that gains less
GAIN = dict.fromkeys(COVARIANCES, 1e-4) | {"bernoulli": 1e-5}
PIXEL_FLOOR = 1e-3  # of variances: pixels that are nearly constant would otherwise make up all of log p(x)
SETTINGS = ("kind", "family", "components", "latent", "pixels", "data", "image_shape", "scaling", "seed")


def command(kind, scale, standardize, out, overwrite, steps, restarts, **settings):
    """Fit a mixture by EM, or probabilistic PCA in closed form, and leave a run folder."""
    if scale and standardize:
        raise ValueError("scale and standardize exclude each other: choose one")
    scaling = "scale" if scale else "standardize" if standardize else "none"
    settings["data"] = settings["data"] and os.path.abspath(settings["data"])
    settings = settings_of(kind, scaling=scaling, **settings)
    started = time.perf_counter()
    folder = fit(settings, out, overwrite, steps, restarts, partial(print, flush=True))
    print(f"done in {time.perf_counter() - started:.0f} s; look at {folder}/components.png, then try:")
    for name in ("sample", "evaluate"):
        print(f"  python -m minivae {name} {shlex.quote(str(folder))}")


class Fitted(NamedTuple):
    """A fitted model, its settings, and what a picture of x needs."""

    model: object
    settings: dict
    image_shape: tuple
    shift: np.ndarray | None
    scale: np.ndarray | None

    def unscale(self, x):
        """x in the units of the file that it came from."""
        return data.unscale(x, self.shift, self.scale)


def make(settings):
    """The model of these settings, not fitted."""
    if settings["kind"] == "ppca":
        return PPCA(settings["latent"])
    if settings["family"] == "bernoulli":
        return BernoulliMixture(settings["components"])
    return GaussianMixture(settings["components"], settings["family"])


def read_data(settings, path=None):
    """The training and the test rows of a fit as floats (N, D); the Dataset they come from."""
    shape, rng = settings["image_shape"], np.random.default_rng(settings["seed"])
    support = (0, 1) if settings["family"] == "bernoulli" else (-math.inf, math.inf)
    real = "--standardize --family diagonal" if settings["kind"] == "mixture" else "--standardize"
    stored = data.load_dataset(path or settings["data"], shape and tuple(shape), settings["scaling"], real)
    stored = data.prepare(stored, settings["pixels"], support, real)
    rows = [data.minibatch(x, settings["pixels"], rng, np.float64) for x in (stored.x_train, stored.x_test)]
    return *rows, stored


def fit(settings, out=None, overwrite=False, steps=200, restarts=1, say=print):
    """Fit a model by EM, or pPCA in closed form, and leave a run folder with a picture -> Path."""
    model, rng = make(settings), np.random.default_rng(settings["seed"])
    x, test, stored = read_data(settings)
    say(stored.found)
    if isinstance(model, GaussianMixture) and len(stored.image_shape) > 1:
        model.floor = PIXEL_FLOOR
    if settings["kind"] == "ppca":
        model.fit(x)
        shares = ", ".join(f"{share:.3f}" for share in model.explained_variance()[:5])
        say(f"  v = {model.variance:.4g}; the first components explain {shares} of the variance")
    else:
        gain = GAIN[settings["family"]]
        with tqdm(total=steps * restarts, desc="EM", leave=False, disable=None) as bar:

            def progress(step, bound):
                bar.update()
                bar.set_postfix(bound=f"{bound:.3f}", refresh=False)

            found = model.fit(x, rng, steps, gain * x.shape[1], restarts, progress)
        ended = "converged" if found.converged else "still rising: give more --steps"
        say(f"  {found.steps} steps of EM, {ended}; BIC {model.bic(x):,.0f}")
    in_training, in_test = (model.log_prob(rows).mean() for rows in (x, test))
    say(f"log p(x): train {in_training:.3f}, test {in_test:.3f} nats per row")

    def save(folder):
        arrays = {f"fit/{name}": np.asarray(value) for name, value in model.parameters().items()}
        arrays |= {"config": np.array(json.dumps(settings)), "data": np.array(data.digest(stored))}
        arrays |= {"image_shape": np.array(stored.image_shape)}
        if stored.shift is not None:
            arrays |= {"shift": stored.shift, "scale": stored.scale}
        files.save_arrays(Path(folder, CHECKPOINT), arrays)
        text = json.dumps({"minivae": files.FORMAT, "model": settings["kind"]} | settings, indent=2)
        files.write(Path(folder, CONFIG), (text + "\n").encode())

    folder = files.new_folder(save, out, overwrite, RUN_FILES)
    from . import plots

    fitted = Fitted(model, settings, stored.image_shape, stored.shift, stored.scale)
    files.write(folder / "components.png", plots.to_png(picture(fitted, x)))
    return folder


def is_fit(folder):
    """Whether a run folder holds a fit, and not a trained network."""
    try:
        return json.loads(Path(folder, CONFIG).read_bytes()).get("model") in KINDS
    except (OSError, ValueError, AttributeError):
        return False


def load(folder):
    """What `fit` left in a run folder -> Fitted."""
    arrays = files.load_arrays(Path(folder, CHECKPOINT))
    try:
        settings = json.loads(files.entry(arrays, "config", np.array("")).item())
        if sorted(settings) != sorted(SETTINGS):
            raise ValueError("its settings are not those of a fit")
        model = make(settings)
        kept = {name.removeprefix("fit/"): a for name, a in arrays.items() if name.startswith("fit/")}
        if any(a.dtype.kind != "f" or not np.isfinite(a).all() for a in kept.values()):
            raise ValueError("its parameters are not finite numbers")
        vars(model).update({name: float(a) if a.ndim == 0 else a for name, a in kept.items()})
        shape = tuple(arrays["image_shape"].tolist())
        if model.log_prob(np.zeros((1, math.prod(shape)))).shape != (1,):
            raise ValueError("its parameters do not fit its images")
    except (KeyError, TypeError, AttributeError, ValueError, np.linalg.LinAlgError) as error:
        raise ValueError(f"checkpoint in {folder} holds no fit that can be used: {error}") from None
    return Fitted(model, settings, shape, arrays.get("shift"), arrays.get("scale"))


def sample(folder, n=None, out=None, seed=0):
    """Write a picture of n draws of x, by default 100."""
    from . import plots

    fitted, out = load(folder), out or f"{folder}/sample.png"
    x = fitted.unscale(fitted.model.sample(100 if n is None else n, arguments.seeded("seed", seed)))
    files.write(out, plots.to_png(plots.image_grid(x, fitted.image_shape, title="draws of x")))
    print(f"wrote {out}")


def evaluate(folder, path=None, csv=None):
    """Print -log p(x) of the test rows of a fit, which is exact; write that of every row to `csv`."""
    fitted = load(folder)
    nll = -fitted.model.log_prob(read_data(fitted.settings, path)[1])
    spread = ""
    if len(nll) > 1:
        spread = f"+- {nll.std(ddof=1) / math.sqrt(len(nll)):.2f} over rows; "
    print(f"{folder}: {len(nll):,} test rows, {fitted.settings['pixels']} pixels, nats per row")
    print(f"  -log p(x)   {nll.mean():8.2f}   {spread}exact")
    if csv:
        rows = "".join(f"{i},{value}\n" for i, value in enumerate(nll.tolist()))
        files.write(csv, f"image,nll\n{rows}".encode())
        print(f"wrote {csv}")


def picture(fitted, x):
    """The components: as images, as ellipses over data of two columns, or as rows of a heat map."""
    from . import plots

    model, shape = fitted.model, fitted.image_shape
    if len(x[0]) == 2 and isinstance(model, GaussianMixture):
        covariances = model.covariances
        if model.covariance != "full":
            covariances = covariances.reshape(model.K, -1, 1) * np.eye(2)
        return plots.ellipses(x[:2000], model.means, covariances)
    if isinstance(model, PPCA):
        images, title = np.concatenate([model.mean[None], model.components]), "the mean and the components"
        span = np.ptp(images[1:], axis=1, keepdims=True)
        images[1:] = (images[1:] - images[1:].min(axis=1, keepdims=True)) / np.where(span > 0, span, 1)
        return plots.image_grid(images, shape, title=title)
    means, like = fitted.unscale(model.means[np.argsort(-model.weights)]), fitted.unscale(x[:1000])
    return plots.image_grid(means, shape, title="means of the components, the heaviest first", like=like)


def settings_of(kind, family, components, latent, pixels, data, image_shape, scaling, seed):
    """The settings of a fit, checked -> dict."""
    arguments.one_of("kind", kind, KINDS)
    arguments.one_of("family", family, FAMILIES)
    pixels = pixels or ("dynamic" if family == "bernoulli" else "grey")
    values = (kind, family, arguments.integer("components", components), arguments.integer("latent", latent))
    values += (pixels, data, image_shape, scaling, arguments.integer("seed", seed, at_least=0))
    return dict(zip(SETTINGS, values, strict=True))
