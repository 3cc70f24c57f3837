"""The figures of lesson 19."""

import numpy as np

from minivae import plots

from ..story import BLUE, GREY, RED
from .slide import TEXT, label, slide


def pictures(rows):
    """Rows of images by their names, (n, 196) each, as one sheet."""
    figure, axes = slide(
        ["A given upper half is continued; free draws are seldom digits"], height=4.6, width=10
    )
    images = np.vstack(list(rows.values()))
    axes.imshow(plots.tile(images, (14, 14), columns=10), cmap="gray_r", interpolation="nearest")
    axes.set_yticks(6.5 + 16 * np.arange(len(rows)), rows, fontsize=TEXT)
    axes.set_xticks([])
    axes.tick_params(length=0)
    axes.spines[:].set_visible(False)
    return figure


def ladder(scores):
    """A point for each exact -log p(x), and an interval for the VAE: from its tighter bound to its -ELBO."""
    figure, axes = slide(["The gap of the bound hides which model is better"], height=3.4, width=10)
    *exact, (_, elbo), (_, tighter) = scores.items()
    for y, (name, score) in enumerate(exact):
        axes.plot(score, -y, "o", color=BLUE, markersize=11)
        label(axes, score + 0.35, -y, f"{name}: {score:.1f}, exact", BLUE, va="center")
    y = -len(exact)
    axes.plot([tighter, elbo], [y, y], color=RED, lw=5, solid_capstyle="butt")
    axes.plot([tighter, elbo], [y, y], "|", color=RED, markersize=18, markeredgewidth=3)
    words = f"VAE: below {tighter:.1f} (K = 50), by the -ELBO {elbo:.1f}"
    label(axes, elbo + 0.35, y, words, RED, va="center")
    axes.axvline(scores["logistic"], color=GREY, lw=1.5, ls=":")
    axes.set(xlim=(38, 56), ylim=(y - 0.6, 0.6), yticks=[], xlabel="-log p(x), nats per image")
    axes.spines["left"].set_visible(False)
    return figure
