"""Figures of lesson 1: two posteriors, and how sampling from the prior fails."""

import numpy as np

from ..story import BLUE, GREEN, GREY, RED, STYLES
from .slide import label, slide


def posteriors(z, prior, likelihoods, densities):
    """Prior, likelihood at x = 1 and posterior (n,) on the grid z, for the decoders z and z^2."""
    figure, panels = slide(("m(z) = z: one mode", "m(z) = z²: the mean lies between two modes"))
    for panel, likelihood, density in zip(panels, likelihoods, densities, strict=True):
        mean = (z * density).sum() / density.sum()
        panel.axvline(mean, color=GREEN, ls=STYLES[GREEN], lw=2)
        for values, colour in ((prior, GREY), (likelihood, RED), (density, BLUE)):
            panel.plot(z, values, color=colour, ls=STYLES[colour], lw=2.2)
        top = density >= density.max() * (1 - 1e-12)  # both modes where there are two
        panel.plot(z[top], density[top], "o", color="black", ms=9)
        panel.set(xlim=(-2.6, 2.6), ylim=(0, 1.95), xlabel="z", yticks=[0, 0.5, 1, 1.5])
    panels[0].set_ylabel("density, or likelihood")
    for x, y, text, colour in (
        (-2.5, 0.45, "prior p(z)", GREY),
        (1.55, 0.55, "likelihood\np(x|z)", RED),
        (-0.95, 0.7, "posterior\np(z|x)", BLUE),
        (-1.1, 1.5, "posterior mean", GREEN),
        (0.92, 0.95, "MAP", "black"),
    ):
        label(panels[0], x, y, text, colour)
    label(panels[1], 0.08, 0.75, "mean", GREEN)
    for side, align in ((-1.15, "right"), (1.15, "left")):
        label(panels[1], side, 1.52, "MAP", ha=align)
    return figure


def sampling_the_prior(logs, needed):
    """log(estimate / p(x)) of {draws: (repetitions, L)}, and the draws needed (L,) for each {s: (L,)}."""
    figure, panels = slide(("Estimates of p(x) fall short as L grows", "Draws for a standard error of 10 %"))
    for (draws, values), colour in zip(logs.items(), (BLUE, RED), strict=True):
        low, middle, high = np.quantile(values, [0.05, 0.5, 0.95], axis=0)  # (L,) each
        dimensions = np.arange(1, len(middle) + 1)
        panels[0].fill_between(dimensions, low, high, color=colour, alpha=0.2, lw=0)
        panels[0].plot(dimensions, middle, color=colour, ls=STYLES[colour], lw=2.2)
        label(panels[0], len(middle) + 0.6, middle[-1], f"{draws:,}\ndraws", colour, va="center")
    panels[0].axhline(0, color="black", lw=0.8)
    label(panels[0], 1, -43, "line: median of 100 estimates\nband: 5 to 95 %")
    panels[0].set(xlabel="dimension L of z", ylabel="log(estimate / p(x)), nats", xlim=(0, 38), ylim=(-45, 3))
    for (s, values), colour in zip(needed.items(), (BLUE, RED, GREEN), strict=True):
        panels[1].semilogy(np.arange(1, len(values) + 1), values, color=colour, ls=STYLES[colour], lw=2.2)
        label(panels[1], len(values) + 0.6, values[-1], f"s = {s}", colour, va="center")
    panels[1].set(xlabel="dimension L of z", ylabel="number of draws", xlim=(0, 38), ylim=(1, 1e56))
    for panel in panels:
        panel.set_xticks([0, 10, 20, 30])
    panels[1].set_yticks(10.0 ** np.arange(0, 51, 10))
    return figure
