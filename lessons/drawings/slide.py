"""Empty figures for a slide: text of 14 points on a page 10 inches wide, labels beside the curves."""

import numpy as np

from minivae import plots

from ..story import canvas

TEXT = 14  # points


def slide(titles, height=4.2, width=None):
    """A figure with a panel for each title -> Figure, one axes or an array of them."""
    figure, axes = canvas(len(titles), height, width or (7 if len(titles) == 1 else 11))
    for panel, title in zip(figure.axes, titles, strict=True):
        panel.set_title(title, loc="left", fontsize=TEXT)
        panel.tick_params(labelsize=TEXT)
        panel.xaxis.label.set_fontsize(TEXT)
        panel.yaxis.label.set_fontsize(TEXT)
    return figure, axes


def label(panel, x, y, text, colour="black", **options):
    """Text at a point of the panel, in the colour of what it names."""
    panel.text(x, y, text, color=colour, fontsize=TEXT, **options)


def rows(pictures, side=28, title=""):
    """name -> (n, D): a row of square images for each name, with the name on the left."""
    n = len(next(iter(pictures.values())))
    height, width = 0.85 * len(pictures) + 0.5 * bool(title), 1 + 0.13 * max(map(len, pictures)) + 0.82 * n
    figure, axes = canvas(height=height, width=width)
    sheet = plots.tile(np.concatenate(list(pictures.values())), (side, side), columns=n, gap=side // 7)
    axes.imshow(sheet, cmap="gray_r", vmin=0, vmax=1, interpolation="nearest")
    axes.set_anchor("E")  # room for the names
    axes.set_yticks(side / 2 + (side + side // 7) * np.arange(len(pictures)), list(pictures), fontsize=TEXT)
    axes.set_xticks([])
    axes.tick_params(length=0)
    axes.spines[:].set_visible(False)
    axes.set_title(title, fontsize=TEXT)
    return figure
