"""The picture of `encoders`: how many samples buy one pathwise sample, and how well each latent is heard."""

import numpy as np
from matplotlib.figure import Figure

from .encoder_report import short

TRAINED, UNTRAINED = "#0077bb", "#ee7733"  # they differ in lightness too, and in their marks
COLOURS, MARKS = (TRAINED, UNTRAINED), ("o", "D")
HEARD = {  # estimators of the panels on the right
    "pathwise": ("#000000", "o"),
    "sticking-the-landing": ("#009988", "v"),
    "leave-one-out": ("#ee3377", "s"),
    "score-function": ("#888888", "D"),
}
BOX = {"facecolor": "white", "edgecolor": "none", "pad": 0.5}
TEXT = {"va": "center", "fontsize": "small", "bbox": BOX}


def encoder_chart(report):
    """The report of `encoders.measure` -> Figure."""
    figure = Figure(figsize=(13.0, 6.4), layout="constrained")
    grid = figure.add_gridspec(2, 2, width_ratios=(1.35, 1))
    _prices(figure.add_subplot(grid[:, 0]), report.sides)
    panels = [figure.add_subplot(grid[i, 1]) for i in range(len(report.sides))]
    spans = [_loudness(axes, *what) for axes, *what in zip(panels, report.sides, COLOURS, strict=True)]
    lows, highs = zip(*spans, strict=True)
    for axes in panels:
        axes.set_ylim(0.5 * min(lows), 2 * max(highs))
    panels[-1].set_xlabel("KL of the latent in nats, the largest first", loc="left")
    return figure


def _prices(axes, sides):
    """A line for each estimator, the cheapest on top; both models on it."""
    first = sides[0]
    names = [row.name for row in sorted(first.rows, key=first.weights_ratio)]
    for side, colour, mark, shift in zip(sides, COLOURS, MARKS, (-0.17, 0.17), strict=True):
        for y, name in enumerate(names):
            row = side.row(name)
            ratio = side.weights_ratio(row)
            if not _drawable(np.array([ratio])).size:
                continue  # nothing scatters: there is no ratio
            low, high = np.quantile(_drawable(side.ratios(row)), (0.25, 0.75))
            axes.plot(
                [low, high], [y + shift] * 2, color=colour, linewidth=5, alpha=0.35, solid_capstyle="butt"
            )
            axes.plot(ratio, y + shift, mark, color=colour, markersize=6.5, markeredgecolor="white")
            if name != "pathwise":
                axes.annotate(
                    short(ratio), (max(high, ratio), y + shift), (6, 0), textcoords="offset points",
                    color=colour, **TEXT,
                )  # fmt: skip
    axes.axvline(1, color="black", linewidth=1, zorder=0)
    axes.set_xscale("log")
    low, high = axes.get_xlim()
    axes.set_xlim(low, high * (high / low) ** 0.12)  # room for the numbers
    axes.set_yticks(range(len(names)), [_label(name, first) for name in names])
    axes.set_ylim(len(names) - 0.4, -0.9)
    axes.grid(axis="x", alpha=0.25)
    axes.spines[["top", "right", "left"]].set_visible(False)
    axes.tick_params(axis="y", length=0)
    axes.set_title("How many samples buy one pathwise sample?", fontsize="large", weight="bold", loc="left")
    axes.set_xlabel(
        "variance of one sample / pathwise's.  mark and number: at all weights of the encoder;\n"
        "bar: the middle half of images and latents, at the encoder's outputs mu and logvar"
    )
    for side, colour, mark, at in zip(sides, COLOURS, MARKS, (0.93, 0.88), strict=True):
        axes.plot([0.74], [at], mark, color=colour, transform=axes.transAxes, markersize=7)
        axes.text(
            0.76, at, f"{side.name} VAE", color=colour, weight="bold", va="center", transform=axes.transAxes
        )


def _label(name, side):
    """The name, and what a sample of it takes where that is not one evaluation."""
    return f"{name}\n(4 L = {4 * len(side.kl)} evaluations a sample)" if name == "measure-valued" else name


def _loudness(axes, side, colour):
    """The SNR of mu for one sample, the most informative latent first -> the least and greatest height."""
    order = np.argsort(-side.kl)
    at = np.arange(1, len(order) + 1)
    axes.set_yscale("log")
    ends, heights = {}, [1.0]
    for name, (tone, mark) in HEARD.items():
        snr = side.latent_snr(side.row(name))[order]
        seen = _drawable(snr)  # the others are lost in the reference's own noise
        axes.plot(at, np.where(np.isin(snr, seen), snr, np.nan), color=tone, marker=mark, markersize=4)
        if seen.size:
            ends[name] = seen[-1]
            heights += [seen.min(), seen.max()]
    height = 0.0
    for name in sorted(ends, key=ends.get):
        height = max(ends[name], 2.2 * height)  # names above each other, never over each other
        axes.text(1.04 * len(at) + 0.1, height, name, **TEXT, color=HEARD[name][0])
    axes.axhline(1, color="black", linewidth=0.8, zorder=0)
    axes.set_xlim(1 - 0.03 * len(at), len(at) + 0.45 * len(at))
    shown = np.unique(np.linspace(0, len(at) - 1, 5).astype(int))
    axes.set_xticks(at[shown], [f"{side.kl[order[i]]:.2g}" for i in shown])
    axes.set_ylabel("|gradient by mu| / its scatter")
    text = f"{side.name} VAE, one sample: signal to noise"
    axes.set_title(text, color=colour, fontsize="medium", loc="left")
    axes.grid(axis="y", alpha=0.25)
    axes.spines[["top", "right"]].set_visible(False)
    return min(heights), max(*heights, height)


def _drawable(values):
    """Those that have a place on a logarithmic axis."""
    return values[np.isfinite(values) & (values > 0)]
