"""Figures of lesson 14."""

import numpy as np

from ..story import BLUE, GREY, RED, canvas

SIZE = 14  # points


def information(sizes, estimates, mean_kl):
    """The estimate of the information from n images, its limit log n, and the mean KL, an upper bound."""
    figure, axes = canvas(height=4.4, width=8.6)
    axes.fill_between(sizes, np.log(sizes), mean_kl, color=GREY, alpha=0.15, lw=0)
    axes.plot(sizes, np.log(sizes), color=RED, ls="--", lw=2)
    axes.plot(sizes, estimates, "o-", color=BLUE, lw=2)
    axes.axhline(mean_kl, color="black", lw=2)
    axes.text(sizes[0], mean_kl + 0.35, "mean KL, an upper bound of the information", fontsize=SIZE)
    axes.text(14, 9.5, "no estimate can be in the gray region", color="#555555", fontsize=SIZE)
    axes.text(700, 5.1, "estimate", color=BLUE, fontsize=SIZE)
    axes.text(13, 3.4, "log n", color=RED, fontsize=SIZE)
    axes.set_xscale("log")
    axes.set_ylim(0, mean_kl + 1.8)
    axes.set_xlabel("n, images (logarithmic)", fontsize=SIZE)
    axes.set_ylabel("nats", fontsize=SIZE)
    axes.set_title("Information that z has about x, estimated from n images", loc="left", fontsize=SIZE)
    axes.tick_params(labelsize=SIZE, which="both")
    return figure
