"""Pictures: functions that take arrays and return a matplotlib Figure, with no global state.

They draw on a canvas of their own and need no display; `to_png` makes the bytes of a file.
"""

import io
import math

import numpy as np
from matplotlib.figure import Figure

from . import arguments
from .data import most_square

# ten colours that stay apart in print and for the colour-blind, after Paul Tol's schemes
DIGITS = [
    *("#332288", "#117733", "#44aa99", "#88ccee", "#ddcc77"),
    *("#cc6677", "#aa4499", "#882255", "#888888", "#000000"),
]
TRAIN, TEST = "#0077bb", "#cc3311"


def to_png(figure, dpi=120):
    """The bytes of a PNG that carries the mark of `files`."""
    buffer = io.BytesIO()
    figure.savefig(buffer, format="png", dpi=dpi, metadata={"Software": "minivae"})
    return buffer.getvalue()


def image_grid(images, image_shape=None, columns=None, title=""):
    """Pixel means (n, D) as one sheet of pictures, black ink on white paper."""
    images = _images("images", images, image_shape)
    return _sheet(tile(images, image_shape, columns or math.ceil(math.sqrt(len(images)))), title)


def reconstructions(originals, means, image_shape=None, title="above: what went in. below: what came back"):
    """Originals (n, D) in one row, and under each the decoder's mean for it (n, D)."""
    originals, means = _images("originals", originals, image_shape), _images("means", means, image_shape)
    arguments.shape("means", means, originals.shape)
    sheet = tile(np.concatenate([originals, means]), image_shape, len(originals))
    return _sheet(sheet, title)


def manifold(means, image_shape=None, title="the decoder's mean over the latent plane"):
    """Means (k * k, D) of a k x k grid over the plane, z1 growing to the right and z2 upwards.

    The grid's coordinates are quantiles of the prior, so that each picture stands for equally much of it.
    """
    means = _images("means", means, image_shape)
    side = math.isqrt(len(means))
    if side * side != len(means):
        raise ValueError(f"means must be k * k images, got {len(means)}")
    sheet = tile(means, image_shape, side, gap=0)
    figure = _sheet(sheet, title)
    axes = figure.axes[0]
    axes.set_axis_on()
    axes.set_xticks([0, sheet.shape[1] / 2, sheet.shape[1]], ["5 %", "50 %", "95 %"])
    axes.set_yticks([0, sheet.shape[0] / 2, sheet.shape[0]], ["95 %", "50 %", "5 %"])
    axes.set(xlabel="$z_1$, quantile of the prior", ylabel="$z_2$, quantile of the prior")
    return figure


def latent_map(mu, labels=None, title="where the encoder puts the test images"):
    """mu (N, 2) of every image in the latent plane, coloured and named by its label."""
    figure = Figure(figsize=(7.0, 6.0), layout="constrained")
    axes = figure.subplots()
    mu = arguments.cast("mu", mu, np.float64)
    arguments.columns("mu", mu, 2, "(N, 2)")
    labels = np.zeros(len(mu), int) if labels is None else np.asarray(labels)
    arguments.shape("labels", labels, (len(mu),))
    kinds = np.unique(labels)
    for i, kind in enumerate(kinds):
        points = mu[labels == kind]
        colour = DIGITS[i % len(DIGITS)]
        axes.plot(*points.T, ".", markersize=2.5, alpha=0.5, color=colour, label=str(kind))
        if len(kinds) > 1:
            middle = np.median(points, axis=0)
            box = {"boxstyle": "circle,pad=0.15", "facecolor": "white", "edgecolor": colour}
            axes.text(*middle, str(kind), color=colour, weight="bold", ha="center", va="center", bbox=box)
    if len(kinds) > 1:
        key = axes.legend(loc="center left", bbox_to_anchor=(1.0, 0.5), frameon=False, markerscale=5)
        for handle in key.legend_handles:
            handle.set_alpha(1)
    axes.set(xlabel="$\\mu_1$", ylabel="$\\mu_2$", title=title, aspect="equal")
    axes.grid(alpha=0.2)
    return figure


def curves(history, title="negative ELBO and its two terms, nats per image"):
    """history (epochs, 7): epoch, then loss, nll, kl of the training and of the test set."""
    history = np.asarray(history, float).reshape(-1, 7)
    figure = Figure(figsize=(9.0, 3.2), layout="constrained")
    for column, (axes, name) in enumerate(zip(figure.subplots(1, 3), ("loss", "nll", "kl"), strict=True)):
        for offset, colour, which, line in ((1, TRAIN, "train", "--"), (4, TEST, "test", "-")):
            values = history[:, offset + column]
            axes.plot(
                history[:, 0], values, label=which, color=colour, linestyle=line, marker="o", markersize=3
            )
        if len(history):
            last = f"test {history[-1, 4 + column]:.1f}"
            axes.text(0.97, 0.55, last, color=TEST, ha="right", transform=axes.transAxes)
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
    rows = math.ceil(len(images) / columns)
    sheet = np.full((rows * (h + gap) - gap, columns * (w + gap) - gap), np.nan)
    for i, image in enumerate(images):
        top, left = (i // columns) * (h + gap), (i % columns) * (w + gap)
        sheet[top : top + h, left : left + w] = image.reshape(h, w)
    return sheet


def _images(name, images, image_shape):
    images = arguments.cast(name, images, np.float64)
    size = math.prod(image_shape) if image_shape else images.shape[-1]
    if images.ndim != 2 or images.shape[1] != size:
        shape = f"(n, {size})" if image_shape else "(n, D)"
        raise ValueError(f"{name} must have shape {shape}, got {arguments.describe(images)}")
    return images


def _sheet(sheet, title):
    height, width = sheet.shape
    scale = min(9.0 / width, 7.5 / height, 0.03)
    figure = Figure(figsize=(max(width * scale, 3.0) + 0.3, height * scale + 0.5), layout="constrained")
    axes = figure.subplots()
    low, high = np.nanmin(sheet), np.nanmax(sheet)
    limits = (0, 1) if low >= 0 and high <= 1 else (low, high)
    axes.imshow(sheet, cmap="gray_r", vmin=limits[0], vmax=limits[1], interpolation="nearest")
    axes.set_axis_off()
    axes.set_title(title, fontsize="medium")
    return figure
