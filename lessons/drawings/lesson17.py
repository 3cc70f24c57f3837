"""Figures of lesson 17."""

import numpy as np

from ..story import BLUE, GREEN, RED, canvas

SIZE = 14  # points


def variances(curve, courses):
    """The nll against v; a learned v from 1 and from the data's variance, and the optimal v."""
    (tried, nlls), (slow, good, best) = curve, courses
    figure, (left, right) = canvas(2, height=3.8, width=10.0)
    at = int(np.argmin(nlls))
    left.plot(tried, nlls, color=BLUE, lw=2.5)
    left.plot(tried[at], nlls[at], "o", color=RED, markersize=9)
    left.text(tried[at], nlls[at] + 75, "v = mean\nsquared error", color=RED, fontsize=SIZE, ha="center")
    left.set_xlabel("variance v", fontsize=SIZE)
    left.set_ylabel("nll, nats per image", fontsize=SIZE)
    left.set_title("The mean image at every v", fontsize=SIZE)
    right.semilogy(slow, color=RED, lw=2.5)
    right.semilogy(good, color=BLUE, lw=2.5)
    right.axhline(best, color=GREEN, lw=2.5, ls="--")
    right.text(len(slow) * 0.4, 0.6, "from 1, lr 0.001", color=RED, fontsize=SIZE)
    right.text(len(slow) * 0.35, 0.07, "from the data's variance", color=BLUE, fontsize=SIZE)
    right.text(0, best * 0.72, "optimal", color=GREEN, fontsize=SIZE)
    right.set_xlabel("step", fontsize=SIZE)
    right.set_ylabel("variance v", fontsize=SIZE)
    right.set_yticks([0.03, 0.1, 0.3, 1], ["0.03", "0.1", "0.3", "1"])
    right.set_ylim(0.015, 1.3)
    right.minorticks_off()
    right.set_title("A learned v", fontsize=SIZE)
    for axes in (left, right):
        axes.tick_params(labelsize=SIZE)
    return figure
