"""Pictures: functions that take arrays and return a matplotlib Figure, with no global state.

They need no display, and neither a backend nor a matplotlibrc changes them; `to_png` gives a file's bytes.
"""

import io
import math
from statistics import NormalDist

import matplotlib.style
import numpy as np
from matplotlib.backends.backend_agg import FigureCanvasAgg
from matplotlib.figure import Figure

from . import arguments, evaluation
from .data import minibatch, most_square

# ten colours that differ in print and for colour-blind readers, after Paul Tol's schemes
DIGITS = ["#332288", "#117733", "#44aa99", "#88ccee", "#ddcc77", "#cc6677", "#aa4499", "#882255"]
DIGITS += ["#888888", "#000000"]

plain = matplotlib.style.context("default")  # a decorator: draw with matplotlib's own settings


def of_run(run, rng):
    """Yield (file name, Figure) for every picture of a run folder."""
    model, pixels, shape, x_test = run.model, run.config.pixels, run.data.image_shape, run.data.x_test
    yield "curves.png", curves(run.history)
    x = minibatch(x_test[:12], pixels, rng)
    yield "reconstructions.png", reconstructions(x, model.reconstruct(x), shape)
    yield "samples.png", image_grid(model.sample(100, rng), shape, title="decoded draws from the prior")
    if model.latent_dim == 2:
        mu = evaluation.latent_means(model, x_test, pixels, rng)
        yield "latent_map.png", latent_map(mu, run.data.y_test)
        yield "manifold.png", manifold(model.mean(prior_grid(20)), shape)


def prior_grid(side):
    """z (side * side, 2): a grid from the 5 % to the 95 % quantile of N(0, 1) along each latent."""
    quantiles = [NormalDist().inv_cdf(p) for p in np.linspace(0.05, 0.95, side)]
    z1, z2 = np.meshgrid(quantiles, quantiles[::-1])  # the first row of pictures is the top one
    return np.stack([z1.ravel(), z2.ravel()], axis=1)


@plain
def to_png(figure, dpi=120):
    """The bytes of a PNG that carries the mark of `files`."""
    buffer = io.BytesIO()
    FigureCanvasAgg(figure)  # a canvas of its own, whatever the user's backend is
    figure.savefig(buffer, format="png", dpi=dpi, metadata={"Software": "minivae"})
    return buffer.getvalue()


def image_grid(images, image_shape=None, columns=None, title=""):
    """Pixel means (n, D) as one sheet of pictures: 1 is black, 0 is white."""
    images = _images("images", images, image_shape)
    return _sheet(tile(images, image_shape, columns or math.ceil(math.sqrt(len(images)))), title)


def reconstructions(originals, means, image_shape=None, title="above: originals, below: reconstructions"):
    """Originals (n, D) in one row, and under each the decoder's mean for it (n, D)."""
    originals, means = _images("originals", originals, image_shape), _images("means", means, image_shape)
    arguments.shape("means", means, originals.shape)
    return _sheet(tile(np.concatenate([originals, means]), image_shape, len(originals)), title)


@plain
def manifold(means, image_shape=None, title="the decoder's mean over the latent plane"):
    """Means (k * k, D) at k x k quantiles of the prior, z1 growing to the right and z2 upwards."""
    means = _images("means", means, image_shape)
    side = math.isqrt(len(means))
    if side * side != len(means):
        raise ValueError(f"means must be k * k images, got {len(means)}")
    sheet = tile(means, image_shape, side, gap=0)
    (axes,) = _sheet(sheet, title).axes
    (height, width), quantiles = sheet.shape, ["5 %", "50 %", "95 %"]
    axes.set_axis_on()
    axes.set_xticks([0, width / 2, width], quantiles)
    axes.set_yticks([height, height / 2, 0], quantiles)
    axes.set(xlabel="$z_1$, quantile of the prior", ylabel="$z_2$, quantile of the prior")
    return axes.figure


@plain
def latent_map(mu, labels=None, title="mu of the test images"):
    """mu (N, 2) of every image in the latent plane, coloured and named by its label."""
    mu = arguments.cast("mu", mu, np.float64)
    arguments.shape("mu", mu, (*mu.shape[:1], 2))
    labels = np.zeros(len(mu), int) if labels is None else np.asarray(labels)
    arguments.shape("labels", labels, (len(mu),))
    axes = Figure(figsize=(7.0, 6.0), layout="constrained").subplots()
    kinds = np.unique(labels)
    for i, kind in enumerate(kinds):
        points, colour = mu[labels == kind], DIGITS[i % len(DIGITS)]
        axes.plot(*points.T, ".", markersize=2.5, alpha=0.5, color=colour, label=str(kind))
        if len(kinds) > 1:
            box = {"boxstyle": "circle,pad=0.15", "facecolor": "white", "edgecolor": colour}
            axes.text(*np.median(points, axis=0), str(kind), color=colour, ha="center", va="center", bbox=box)
    axes.set(xlabel="$\\mu_1$", ylabel="$\\mu_2$", title=title, aspect="equal")
    axes.grid(alpha=0.2)
    return axes.figure


@plain
def curves(history, title="negative ELBO and its two terms, nats per image"):
    """history (epochs, 7): epoch, then loss, nll, kl of the training and of the test set."""
    history = np.asarray(history, float).reshape(-1, 7)
    figure = Figure(figsize=(9.0, 3.2), layout="constrained")
    for column, (axes, name) in enumerate(zip(figure.subplots(1, 3), ("loss", "nll", "kl"), strict=True)):
        train, test = history[:, 1 + column], history[:, 4 + column]
        axes.plot(history[:, 0], train, "o--", label="train", color="#0077bb", markersize=3)
        axes.plot(history[:, 0], test, "o-", label="test", color="#cc3311", markersize=3)
        if len(history):
            place = {"ha": "right", "color": "#cc3311", "transform": axes.transAxes}
            axes.text(0.97, 0.55, f"test {test[-1]:.1f}", **place)
        axes.set(xlabel="epoch", title=name)
        axes.xaxis.get_major_locator().set_params(integer=True)
        axes.grid(alpha=0.2)
    figure.axes[0].legend(frameon=False)
    figure.suptitle(title, fontsize="medium")
    return figure


def tile(images, image_shape=None, columns=1, gap=2):
    """Lay images (n, D) out in rows of `columns` -> one picture (height, width), NaN between them."""
    images = np.asarray(images, float)
    h, w = image_shape or most_square(images.shape[1])
    sheet = np.full((math.ceil(len(images) / columns), h + gap, columns, w + gap), np.nan)
    for i, image in enumerate(images):
        sheet[i // columns, :h, i % columns, :w] = image.reshape(h, w)
    return sheet.reshape(sheet.shape[0] * (h + gap), -1)[: -gap or None, : -gap or None]


def _images(name, images, image_shape):
    images = arguments.cast(name, images, np.float64)
    size = math.prod(image_shape) if image_shape else "D"
    if images.ndim != 2 or size not in ("D", images.shape[1]):
        raise ValueError(f"{name} must have shape (n, {size}), got {arguments.describe(images)}")
    return images


@plain
def _sheet(sheet, title):
    height, width = sheet.shape
    scale = min(9.0 / width, 7.5 / height, 0.03)
    size = max(width * scale, 3.0) + 0.3, height * scale + 0.5  # inches
    axes = Figure(figsize=size, layout="constrained").subplots()
    low, high = min(np.nanmin(sheet), 0), max(np.nanmax(sheet), 1)
    axes.imshow(sheet, cmap="gray_r", vmin=low, vmax=high, interpolation="nearest")
    axes.set_axis_off()
    axes.set_title(title, fontsize="medium")
    return axes.figure
