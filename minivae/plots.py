"""Pictures: functions that take arrays and return a matplotlib Figure, with no global state.

They need no display, and neither a backend nor a matplotlibrc changes them; `to_png` gives a file's bytes.
`image_shape` is (h, w), (h, w, 3) for colour, or (D,) for the rows of a table, which become a heat map.
"""

import colorsys
import io
import math
from statistics import NormalDist

import matplotlib.style
import numpy as np
from matplotlib.backends.backend_agg import FigureCanvasAgg
from matplotlib.figure import Figure
from matplotlib.patches import Circle

from . import arguments, evaluation
from .data import minibatch, most_square, unscale
from .distributions.priors import StandardNormal

# ten colours that differ in print and for colour-blind readers, after Paul Tol's schemes, none of them pale
DIGITS = ["#332288", "#117733", "#2bb5a0", "#1e90ff", "#bb9900", "#dd4455", "#aa4499", "#882255"]
DIGITS += ["#777777", "#000000"]
MANY = 64  # more different numbers than this are a colour scale; more different texts share one colour

plain = matplotlib.style.context("default")  # a decorator: draw with matplotlib's own settings


def of_run(run, rng):
    """Yield (file name, Figure) for every picture of a run folder, in the units of its data."""
    model, pixels, (_, y_train, x_test, y_test, shape, *scaling, _) = run.model, run.config.pixels, run.data
    yield "curves.png", curves(run.history)
    x, condition = minibatch(x_test[:12], pixels, rng), run.condition("test")
    given = {} if condition is None else {"condition": condition[:12]}
    originals, means = unscale(x, *scaling), unscale(model.reconstruct(x, **given), *scaling)
    yield "reconstructions.png", reconstructions(originals, means, shape)
    if hasattr(model, "sample"):
        given, title = {}, "decoded draws from the prior"
        if condition is not None:
            given = {"condition": np.repeat(np.eye(len(run.classes), dtype=np.float32), 10, axis=0)}
            title += ", a row for each label"
        number = 100 if condition is None else len(given["condition"])
        samples, like = model.sample(number, rng, **given), minibatch(x_test[:1000], "grey", rng)
        samples, like = unscale(samples, *scaling), unscale(like, *scaling)
        yield "samples.png", image_grid(samples, shape, 10, title, like=like)
    if model.latent_dim == 2:
        mu = evaluation.latent_means(model, x_test, pixels, rng, condition)
        known = y_test if y_train is None or y_test is None else np.concatenate([y_train, y_test])
        circles = (1, 2) if isinstance(getattr(model, "prior", None), StandardNormal) else ()
        yield "latent_map.png", latent_map(mu, y_test, known, circles)
    if model.latent_dim == 2 and condition is None:
        yield "manifold.png", manifold(unscale(model.mean(prior_grid(20)), *scaling), shape)


def prior_grid(side):
    """A grid z (side * side, 2) from the 5 % to the 95 % quantile of N(0, 1) along each latent."""
    quantiles = [NormalDist().inv_cdf(p) for p in np.linspace(0.05, 0.95, side)]
    z1, z2 = np.meshgrid(quantiles, quantiles[::-1])  # the first row of pictures is the top one
    return np.stack([z1.ravel(), z2.ravel()], axis=1)


@plain
def to_png(figure, dpi=120):
    """The bytes of a PNG, with the mark by which `files` recognizes it."""
    buffer = io.BytesIO()
    FigureCanvasAgg(figure)  # its own canvas, whatever the user's backend is
    figure.savefig(buffer, format="png", dpi=dpi, metadata={"Software": "minivae"})
    return buffer.getvalue()


def image_grid(images, image_shape=None, columns=None, title="", like=None):
    """Pixel means (n, D) as one sheet of pictures; 1 is black and 0 is white, colours are unchanged.

    Rows of a table become a heat map, in which each column has the scale of the rows `like`, or its own.
    """
    images = _images("images", images, image_shape)
    if _is_table(image_shape):
        return _heat_maps({title: images}, images if like is None else _images("like", like, image_shape))
    return _sheet(tile(images, image_shape, columns or math.ceil(math.sqrt(len(images)))), title)


def reconstructions(originals, means, image_shape=None, title="above: originals, below: reconstructions"):
    """Originals (n, D) in one row and their means (n, D) below them; a table becomes two heat maps."""
    originals, means = _images("originals", originals, image_shape), _images("means", means, image_shape)
    arguments.shape("means", means, originals.shape)
    if _is_table(image_shape):
        return _heat_maps({"originals": originals, "reconstructions, in the same order": means}, originals)
    return _sheet(tile(np.concatenate([originals, means]), image_shape, len(originals)), title)


@plain
def manifold(means, image_shape=None, title="the decoder's mean over the latent plane"):
    """Means (k * k, D) at k x k quantiles of the prior, z1 growing to the right and z2 upwards.

    For a table it draws one plane for each of the first 100 columns, from white to black on its own scale.
    """
    means = _images("means", means, image_shape)
    side = math.isqrt(len(means))
    if side * side != len(means):
        raise ValueError(f"means must be k * k images, got {len(means)}")
    if _is_table(image_shape):
        low, span = means.min(axis=0), np.ptp(means, axis=0)
        planes = ((means - low) / np.where(span > 0, span, 1)).T[:100]
        return image_grid(planes, (side, side), title="each column's mean over the latent plane")
    sheet = tile(means, image_shape, side, gap=0)
    axes = _sheet(sheet, title).axes[0]
    (height, width), quantiles = sheet.shape[:2], ["5 %", "50 %", "95 %"]
    axes.set_axis_on()
    axes.set_xticks([0, width / 2, width], quantiles)
    axes.set_yticks([height, height / 2, 0], quantiles)
    axes.set(xlabel="$z_1$, quantile of the prior", ylabel="$z_2$, quantile of the prior")
    return axes.figure


@plain
def latent_map(mu, labels=None, known=None, circles=(), title="mu of the test images"):
    """mu (N, 2) of every image in the latent plane, coloured by its label, grey if that is NaN.

    Labels are classes, each with its name, or numbers on a colour scale: fractions, more than 64 numbers, or
    more than 10 that rarely occur twice. Class k has the k-th colour; a class that is not a number has the
    colour of its place among `known`, the sorted labels of the whole data set (default: `labels`).
    circles: their radii; 1 and 2 show 1 and 2 standard deviations of the prior N(0, I).
    """
    mu = arguments.cast("mu", mu, np.float64)
    arguments.shape("mu", mu, (*mu.shape[:1], 2))
    labels = _text_or_numbers(np.zeros(len(mu), int) if labels is None else labels)
    arguments.shape("labels", labels, (len(mu),))
    known = labels if known is None else _text_or_numbers(known)
    kinds, drawn = np.unique(known[known == known]), labels == labels  # without NaN
    numbers = labels.dtype.kind == known.dtype.kind == "f"
    axes = Figure(figsize=(7.0, 6.0), layout="constrained").subplots()
    size = min(max(2.5, 40 / math.sqrt(len(mu))), 6)  # of a point
    if numbers and (np.any(kinds % 1) or len(kinds) > min(MANY, max(10, len(known) // 2))):
        look = {"vmin": kinds[0], "vmax": kinds[-1], "linewidths": 0}
        points = axes.scatter(*mu[drawn].T, size**2, labels[drawn], **look)
        axes.figure.colorbar(points, label="label")
    elif len(kinds) <= MANY:
        _draw_classes(axes, mu, labels, kinds, size)
    else:
        drawn[:] = False
    if not drawn.all():
        axes.plot(*mu[~drawn].T, ".", markersize=size, color="#bbbbbb")
    draw_circles(axes, circles)
    axes.set(xlabel="$\\mu_1$", ylabel="$\\mu_2$", title=title)
    axes.set_aspect("equal", adjustable="datalim")
    axes.grid(alpha=0.2)
    return axes.figure


def draw_circles(axes, radii):
    """Circles around 0 with their radii, standard deviations of N(0, I), written far from other texts."""
    turns = np.linspace(0, 2 * np.pi, 24, endpoint=False)
    taken = np.reshape([text.get_position() for text in axes.texts], (-1, 2))
    for radius in radii:
        axes.add_patch(Circle((0, 0), radius, fill=False, color="black", linestyle="--"))
        places = radius * np.stack([np.cos(turns), np.sin(turns)], axis=1)  # (24, 2)
        free = np.linalg.norm(places[:, None] - taken, axis=-1).min(axis=1, initial=np.inf)  # (24,)
        box = {"facecolor": "white", "edgecolor": "none", "pad": 1}
        axes.text(*places[free.argmax()], f"{radius:g} std", ha="center", va="center", bbox=box)


def apart(places, distance):
    """Points (n, 2), moved until no two are closer than `distance`, so that labels there hide no other."""
    turns = np.arange(len(places))
    places = places + 1e-3 * distance * np.stack([np.cos(turns), np.sin(turns)], axis=1)  # none are equal
    for _ in range(200):
        away = places[:, None] - places  # (n, n, 2)
        gaps = np.linalg.norm(away, axis=-1)  # (n, n)
        np.fill_diagonal(gaps, np.inf)
        if gaps.min(initial=np.inf) >= distance:
            break
        push = 0.5 * (1.05 * distance - gaps).clip(0) / gaps  # (n, n)
        places = places + (push[..., None] * away).sum(axis=1)
    return places


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


@plain
def ellipses(x, means, covariances, title="2 standard deviations of each component"):
    """Rows x (N, 2), and the ellipse of N(mean_k, covariance_k) that means (K, 2), (K, 2, 2) give."""
    axes = Figure(figsize=(6.0, 5.5), layout="constrained").subplots()
    axes.plot(*x.T, ".", markersize=3, color="#bbbbbb")
    circle = np.stack([f(np.linspace(0, 2 * np.pi, 100)) for f in (np.cos, np.sin)])  # (2, 100)
    for k, (mean, covariance) in enumerate(zip(means, covariances, strict=True)):
        edge = mean[:, None] + 2 * np.linalg.cholesky(covariance) @ circle
        axes.plot(*edge, color=DIGITS[k % len(DIGITS)])
        axes.plot(*mean, "+", color=DIGITS[k % len(DIGITS)])
    axes.set(title=title, xlabel="column 0", ylabel="column 1")
    return axes.figure


def tile(images, image_shape=None, columns=1, gap=2):
    """Lay images (n, D) out in rows of `columns` -> one picture (height, width) or, in colour, (..., 3).

    NaN lies between the images.
    """
    images = np.asarray(images, float)
    h, w, *colours = image_shape or most_square(images.shape[1])
    sheet = np.full((math.ceil(len(images) / columns), h + gap, columns, w + gap, *colours), np.nan)
    for i, image in enumerate(images):
        sheet[i // columns, :h, i % columns, :w] = image.reshape(h, w, *colours)
    return sheet.reshape(sheet.shape[0] * (h + gap), -1, *colours)[: -gap or None, : -gap or None]


def _images(name, images, image_shape):
    images = arguments.cast(name, images, np.float64)
    size = math.prod(image_shape) if image_shape else "D"
    if images.ndim != 2 or size not in ("D", images.shape[1]):
        raise ValueError(f"{name} must have shape (n, {size}), got {arguments.describe(images)}")
    return images


def _is_table(image_shape):
    return image_shape is not None and len(image_shape) == 1


@plain
def _sheet(sheet, title):
    height, width = sheet.shape[:2]
    scale = min(9.0 / width, 7.5 / height, max(0.03, 0.5 / height))
    size = max(width * scale, 3.0) + 0.3, height * scale + 0.5  # inches
    axes = Figure(figsize=size, layout="constrained").subplots()
    low, high = min(np.nanmin(sheet), 0), max(np.nanmax(sheet), 1)
    if sheet.ndim == 3:
        low, high = (0, 1) if -0.5 < low < high < 1.5 else (low, high)  # means leave [0, 1] a little
        sheet = np.nan_to_num((sheet - low) / (high - low), nan=1).clip(0, 1)
    axes.imshow(sheet, cmap="gray_r", vmin=low, vmax=high, interpolation="nearest")
    axes.set_axis_off()
    axes.set_title(title, fontsize="medium")
    return axes.figure


@plain
def _heat_maps(panels, like):
    """Rows (n, D) under each title, every column in standard deviations from its mean over `like`."""
    mean, std = like.mean(axis=0), np.where(np.ptp(like, axis=0) > 0, like.std(axis=0), 1)
    rows = sum(map(len, panels.values()))
    figure = Figure(figsize=(9.0, min(1.2 + 0.5 * len(panels) + 0.15 * rows, 9.0)), layout="constrained")
    grid = figure.subplots(len(panels), 1, sharex=True, squeeze=False)[:, 0]
    for axes, (title, panel) in zip(grid, panels.items(), strict=True):
        values = (panel - mean) / std
        drawn = axes.imshow(values, cmap="RdBu_r", vmin=-2.5, vmax=2.5, aspect="auto")
        axes.set_yticks([])
        axes.set_title(title, fontsize="medium")
    axes.set_xlabel("column")
    axes.xaxis.get_major_locator().set_params(integer=True)
    figure.colorbar(drawn, ax=grid, extend="both", label="standard deviations from the column's mean")
    return figure


def _text_or_numbers(labels):
    """Labels as floats, NaN if not finite, or as text."""
    labels = np.asarray(labels)
    if labels.dtype.kind in "iuf":
        return np.where(np.isfinite(labels), labels, np.nan).astype(np.float64)
    return np.char.decode(labels, "utf-8", "replace") if labels.dtype.kind == "S" else labels.astype(str)


def _draw_classes(axes, mu, labels, kinds, size):
    classes = []  # name, colour, middle of its points
    for i, kind in enumerate(kinds):
        name = kind if kind.dtype.kind == "U" else f"{kind:.16g}"
        k = int(name) if name.isdecimal() else i
        hue = colorsys.hls_to_rgb(0.618 * k % 1, (0.3, 0.4, 0.5)[k % 3], 0.8)  # the golden ratio spreads them
        points, colour = mu[labels == kind], DIGITS[k] if k < len(DIGITS) else hue
        if len(points):
            axes.plot(*points.T, ".", markersize=size, alpha=0.5, color=colour, label=name)
            classes.append((name, colour, np.median(points, axis=0)))
    if len(kinds) < 2 or not classes:
        return
    middles = apart(np.array([middle for *_, middle in classes]), 0.05 * np.ptp(mu, axis=0).max())
    for (name, colour, _), middle in zip(classes, middles, strict=True):
        style = "circle,pad=0.15" if len(name) < 3 else "round,pad=0.15"
        box = {"boxstyle": style, "facecolor": "white", "edgecolor": colour}
        place = {"ha": "center", "va": "center", "color": colour, "weight": "bold", "parse_math": False}
        axes.text(*middle, name[:20], bbox=box, **place)
