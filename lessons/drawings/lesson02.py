"""Figures of lesson 2: the closed form of the KL, the nearest Gaussian in each direction, two estimates."""

import numpy as np

from ..story import BLUE, GREY, RED, STYLES
from .slide import label, slide


def closed_form(stds, forward, backward):
    """KL(q || prior) and KL(prior || q) (n,) of q = N(0, std^2)."""
    figure, axes = slide(("Which is worse: too wide or too narrow?",), height=4.4, width=8)
    axes.plot(stds, forward, color=BLUE, ls=STYLES[BLUE], lw=2.5)
    axes.plot(stds, backward, color=RED, ls=STYLES[RED], lw=2.5)
    for std, values, x, y, colour, side in (  # a point and where its value is written
        (0.5, forward, 0.47, 0.14, BLUE, "right"),
        (0.5, backward, 0.55, 0.8, RED, "left"),
        (2.0, forward, 1.94, 0.84, BLUE, "right"),
        (2.0, backward, 2.05, 0.14, RED, "left"),
    ):
        value = np.interp(std, stds, values)
        axes.plot([std, std], [0, value], color=GREY, lw=1, ls=":")
        axes.plot(std, value, "o", color=colour, ms=8)
        label(axes, x, y, f"{value:.2f}", colour, ha=side)
    label(axes, 2.4, 1.85, "KL(q || prior)", BLUE, ha="right")
    label(axes, 2.3, 0.72, "KL(prior || q)", RED)
    axes.set(
        xlim=(0, 3), ylim=(0, 2.5), xlabel="std of q = N(0, std²); the prior has std 1", ylabel="KL, nats"
    )
    return figure


def both_ways(z, posterior, seeking, covering):
    """The posterior (n,) of lesson 1 and the two nearest Gaussians (n,)."""
    figure, axes = slide(("The nearest Gaussian depends on the direction",), height=4.2, width=8.5)
    axes.fill_between(z, posterior, color=GREY, alpha=0.35, lw=0)
    axes.plot(z, seeking, color=BLUE, ls=STYLES[BLUE], lw=2.5)
    axes.plot(z, covering, color=RED, ls=STYLES[RED], lw=2.5)
    label(axes, -1.25, 1.2, "posterior", GREY, ha="right")
    label(axes, 1.2, 2.5, "smallest\nKL(q || posterior)", BLUE)
    label(axes, 1.55, 0.5, "smallest\nKL(posterior || q)", RED)
    axes.set(xlabel="z", ylabel="density", xlim=(-3, 3.4), ylim=(0, 3.3), xticks=range(-3, 4))
    return figure


def estimates(plain, never_negative, mus, plain_std, never_negative_std):
    """Averages of 100 draws (10000,) of two estimators of a KL, and the std of one draw (n,) against mu."""
    titles = "Near the prior -log r falls below 0", "Above mu = 1.12 it has less variance"
    figure, (histogram, curves) = slide(titles)
    bins = np.linspace(-0.035, 0.045, 81)
    for values, colour in ((plain, BLUE), (never_negative, RED)):
        histogram.hist(values, bins, color=colour, histtype="step", lw=2)
    histogram.axvline(0, color="black", lw=1)
    label(histogram, -0.026, 250, "-log r", BLUE)
    label(histogram, -0.037, 7000, "mu = 0.1, r = p / q")
    label(histogram, 0.009, 1500, "(r - 1) - log r", RED)
    histogram.set(
        xlabel="average of 100 draws, nats", ylabel="count, of 10,000", xticks=[-0.02, 0, 0.02, 0.04]
    )
    histogram.set(yscale="log", ylim=(0.8, 2e4))
    curves.semilogy(mus, plain_std, color=BLUE, ls=STYLES[BLUE], lw=2.5)
    curves.semilogy(mus, never_negative_std, color=RED, ls=STYLES[RED], lw=2.5)
    label(curves, 2.5, 0.7, "-log r", BLUE, ha="right")
    label(curves, 1.8, 10, "(r - 1) - log r", RED, ha="right")
    curves.set(xlabel="mu of q = N(mu, 1)", ylabel="std of one draw, nats", xticks=[0, 0.5, 1, 1.5, 2, 2.5])
    return figure
