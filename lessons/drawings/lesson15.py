"""Figures of lesson 15."""

import numpy as np

from minivae import plots

from ..story import BLUE, GREEN, GREY, RED, canvas

SIZE = 14  # points


def ledger(own, mixed, low, alone):
    """Three numbers on one scale: -log p(x | y), -log p(x) with its two bounds, -log p(x) without labels."""
    figure, axes = canvas(height=3.0, width=8.6)
    axes.plot([low, low + np.log(10)], [1, 1], color=GREY, lw=12, alpha=0.4, solid_capstyle="butt")
    texts = (
        (own, 2, BLUE, "conditional model: -log p(x | y)"),
        (mixed, 1, RED, "the same model: -log p(x)"),
        (alone, 0, GREEN, "model without labels: -log p(x)"),
    )
    for value, height, colour, words in texts:
        axes.plot(value, height, "o", color=colour, markersize=11)
        left = value > (own + alone) / 2
        place = {"ha": "right" if left else "left", "va": "center", "color": colour, "fontsize": SIZE}
        axes.text(value + (-0.35 if left else 0.35), height, f"{words} = {value:.1f}", **place)
    axes.text(low + np.log(10) / 2, 1.3, "log 10", color=GREY, fontsize=SIZE, ha="center")
    axes.set(ylim=(-0.5, 2.5), yticks=[], xlim=(low - 0.5, alone + 0.5))
    axes.set_xlabel("nats per image", fontsize=SIZE)
    axes.tick_params(labelsize=SIZE)
    axes.spines["left"].set_visible(False)
    return figure


def asked(one_hot, number):
    """Pictures (10, n, D) for the labels 0 to 9, with a one-hot condition and with the label as a number."""
    figure, panels = canvas(2, height=5.4, width=9.6)
    for axes, pictures, title in zip(
        panels, (one_hot, number), ("one-hot label", "label as a number"), strict=True
    ):
        n = pictures.shape[1]
        sheet = plots.tile(pictures.reshape(-1, pictures.shape[-1]), (28, 28), columns=n, gap=4)
        axes.imshow(sheet, cmap="gray_r", vmin=0, vmax=1, interpolation="nearest")
        axes.set_yticks([14 + 32 * k for k in range(10)], [str(k) for k in range(10)], fontsize=SIZE)
        axes.set_xticks([])
        axes.tick_params(length=0)
        axes.spines[:].set_visible(False)
        axes.set_title(title, fontsize=SIZE)
    panels[0].set_ylabel("label asked for", fontsize=SIZE)
    figure.supxlabel("each column: the same z", fontsize=SIZE)
    return figure
